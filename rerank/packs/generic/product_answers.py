"""Answers over any catalogue: a resolver of products, the columns of its rows, and its words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, ClassVar, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rerank.answer_columns import candidate_lists
from rerank.answers import Answers, Verdicts
from rerank.domain import GENERIC
from rerank.index.records import Listing
from rerank.model import RerankModel
from rerank.packs.generic.evidence import (
    CANDIDATE_FEATURES,
    Habits,
    candidate_features,
    decided_scores,
)
from rerank.packs.generic.evidence import offer_features as product_offers
from rerank.packs.generic.reading import IdentifierKind
from rerank.packs.generic.source import ID, NAME, ProductBatch, ProductSource
from rerank.ranking import CandidateBatch, Evidence, RankingBatch, answer_order, model_scores
from rerank.resolution import (
    DECISIONS,
    Decision,
    Provenance,
    Resolution,
    ScoredCandidate,
    headline,
)
from rerank.resolver import Resolver

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_COLUMN = {name: at for at, name in enumerate(CANDIDATE_FEATURES)}
_MATCH, _REVIEW, _NO_MATCH = map(
    DECISIONS.index, (Decision.MATCH, Decision.REVIEW, Decision.NO_MATCH)
)
_WHOLE, _MOST = 0.85, 0.5  # of the weight of an entry's name
_FACTS = 6  # of a product that a person is shown
_SHOWN = 5  # candidates of a notebook's table
_OFFERS = {
    "cue_wanted": "wanted, not offered",
    "cue_box_only": "box only",
    "cue_service": "service",
    "cue_whole": "built into something else",
    "cue_other": "other goods",
    "cue_spare_part": "spare part",
    "cue_accessory": "accessory",
    "cue_lot": "several at once",
    "cue_broken": "broken",
}
REFUSALS = tuple(_OFFERS[cue] for cue in _OFFERS if cue not in ("cue_lot", "cue_broken"))
"""How reasons begin of what sells no product of any name."""


def fact_of(column: str, value: Any) -> str:
    """Return what a column of the catalogue says of a product, in words."""
    return f"{column} {value:g}" if isinstance(value, float) else f"{column} {value}"


@dataclass(frozen=True, slots=True)
class ProductCandidate:
    """One candidate of a listing; see `rerank.resolution.ScoredCandidate`."""

    product_id: str
    name: str
    similarity: float
    score: float
    probability: float
    variant_probability: float
    model: str

    @property
    def key(self) -> str:
        """What tells it from all others."""
        return self.product_id

    @property
    def shown(self) -> dict[str, str]:
        """What a person is shown of it, by the heads of columns."""
        return {"candidate": self.name, "product id": self.product_id}


@dataclass(frozen=True, slots=True, repr=False)
class ProductResolution:
    """The answer for one listing; see `rerank.resolution.Resolution`.

    :param own: the catalogue's own columns of what is sold, None for no match.
    """

    key_column: ClassVar[str] = ID
    product_id: str | None
    name: str | None
    own: dict[str, Any]
    best_guess: str | None
    match_probability: float
    variant_stated: bool
    variant_probability: float
    margin: float
    decision: Decision
    reason: str
    candidates: tuple[ProductCandidate, ...]
    model_version: str
    index_version: str

    def __repr__(self) -> str:
        return f"<{self._headline()}; {len(self.candidates)} candidates>"

    def _repr_html_(self) -> str:
        """Return a table for notebooks: the answer, and its best candidates."""
        rows = "".join(
            f"<tr><td>{escape(each.product_id)}</td><td>{escape(each.name)}</td>"
            f"<td>{each.probability:.3f}</td></tr>"
            for each in self.candidates[:_SHOWN]
        )
        head = "<tr><th>product</th><th>name</th><th>probability</th></tr>"
        return f"<p><b>{escape(self._headline())}</b></p><table>{head}{rows}</table>"

    @property
    def key(self) -> str | None:
        """What is sold; None for no match."""
        return self.product_id

    def as_stored(self) -> Resolution:
        """Return it as the store keeps answers: a product in a card's columns, without memory."""
        found = tuple(
            ScoredCandidate(
                each.product_id,
                each.model,
                cast("Any", None),
                "",
                each.similarity,
                each.score,
                each.probability,
                each.variant_probability,
            )
            for each in self.candidates
        )
        return Resolution(
            self.product_id,
            self.model,
            None,
            None,
            self.best_guess,
            self.match_probability,
            self.variant_stated,
            self.variant_probability,
            self.margin,
            self.decision,
            self.reason,
            found,
            self.model_version,
            self.index_version,
        )

    @property
    def provenance(self) -> Provenance | None:
        """Who decided, where people's verdicts are in use; else None."""
        return None

    @property
    def label(self) -> str | None:
        """What is sold as people tell it from others; None for no match."""
        return None if self.product_id is None else f"{self.product_id} {self.name}"

    @property
    def model(self) -> str | None:
        """The model that is sold; None for no match."""
        return None if self.product_id is None else self.best_guess

    @property
    def subject(self) -> str:
        """What is sold in words, or the best guess."""
        if self.name is None:
            return f"best guess {self.best_guess}" if self.best_guess else "nothing alike"
        return self.name if self.decision == Decision.MATCH else f"best guess {self.name}"

    @property
    def details(self) -> dict[str, str]:
        """What a person is told of what is sold, by labels."""
        if self.product_id is None:
            return {}
        told = {"product": self.product_id}
        facts = [fact_of(name, value) for name, value in self.own.items() if value is not None]
        if facts:
            told["facts"] = ", ".join(facts[:_FACTS])
        if not self.variant_stated:
            told["variant"] = f"not stated; this one {self.variant_probability:.3f}"
        return told

    def _headline(self) -> str:
        return headline(self.decision, self.subject, self.match_probability, self.reason)


@dataclass(frozen=True, slots=True, repr=False)
class SettledProduct(ProductResolution):
    """The answer where people's verdicts are in use, whoever decided it."""

    provenance: Provenance = field()


class ProductResolver(Resolver):
    """Resolves listings to the products of a catalogue."""

    domain = GENERIC
    names_listings = True
    sold = (ID, NAME)
    key_column = ID

    def __init__(
        self,
        source: ProductSource,
        model: RerankModel,
        habits: Habits,
        *,
        index_version: str,
        reopen: Callable[[], Resolver] | None = None,
    ) -> None:
        super().__init__(cast("Any", source), model, index_version=index_version, reopen=reopen)
        self._products = source
        self._habits = habits
        self._rows = source.table.rows
        self.schema = self._columns = schema_of(self._rows, source.table.own_columns)

    @property
    def habits(self) -> Habits:
        """How listings differ from entries, as it was trained with."""
        return self._habits

    def judge(self, listings: Sequence[Listing], candidates: CandidateBatch) -> Evidence:
        """Rank given candidates and describe the best of each listing."""
        batch = cast("ProductBatch", candidates)
        features = candidate_features(
            self._products.index, batch.readings, batch.found, self._habits
        )
        ranking = RankingBatch(listings, candidates, features, self._table)
        scores = decided_scores(self._model.ranker.score(ranking), batch.found)
        order = answer_order(candidates, self._table, model_scores(candidates, scores))
        best = np.full(len(listings), -1, np.int64)
        filled = np.diff(batch.offsets) > 0
        best[filled] = order[batch.offsets[:-1][filled]]
        offers = product_offers(features, scores, batch.found)
        return Evidence(candidates, features, scores, offers, best, order, cast("Any", None))

    def verdicts(self, evidence: Evidence, probability: Floats) -> Verdicts:
        """Decide which listings sell a product, and say why."""
        thresholds = self._model.thresholds
        found = evidence.best >= 0
        batch = cast("ProductBatch", evidence.candidates)
        best = np.zeros((len(found), len(CANDIDATE_FEATURES)), np.float32)
        best[found] = evidence.features[evidence.best[found]]
        sure = np.where(found, probability, 0.0)
        sure = np.where(named(best, batch), np.maximum(sure, thresholds.match), sure)
        decision = np.where(sure >= thresholds.match, _MATCH, _REVIEW)
        decision[~found | (sure < thresholds.review)] = _NO_MATCH
        held = self._held(best, evidence, decision != _NO_MATCH)
        decision[list(held)] = _REVIEW
        stated = np.zeros(len(found), bool)
        stated[found] = batch.stated[evidence.best[found]]
        reason = [
            reason_of(row, bool(has), int(decided), bool(said), held.get(at, ""))
            for at, (row, has, decided, said) in enumerate(
                zip(best, found, decision, stated, strict=True)
            )
        ]
        return Verdicts(sure, decision, reason, stated)

    def _held(
        self, best: NDArray[np.float32], evidence: Evidence, likely: NDArray[np.bool_]
    ) -> dict[int, str]:
        """Return the likely matches that are left for review however probable, and why.

        What goes with a product names it, and may state its identifier: in a column, or after
        "for". What is a part of it ("three shelves") may only be said of it. A colour
        that the product is not sold in may be missing in the catalogue.
        """
        batch = cast("ProductBatch", evidence.candidates)
        identified = best[:, _COLUMN["identifier"]] >= _NAMES
        identified &= _states_identifier(batch, len(best)) | (best[:, _COLUMN["cue_for"]] > 0)
        offers = best[:, _APART].any(axis=1)
        offers |= identified & (best[:, _COLUMN["cue_spare_part"]] > 0)
        held = dict.fromkeys(np.flatnonzero(likely & offers).tolist(), "")
        rows = np.flatnonzero(likely).tolist()
        records = batch.found.record[evidence.best[rows]].tolist()
        told = self._products.table.axes.other_stated(batch.readings, rows, records)
        held |= {at: _OTHER_VARIANT for at, other in zip(rows, told, strict=True) if other}
        return held

    def rows(self, answers: Answers) -> pa.Table:
        """Return answers as a table of ``schema``."""
        filled = np.diff(answers.offsets) > 0
        first = answers.offsets[:-1][filled]
        best = np.zeros(len(answers), np.int64)
        best[filled] = answers.record[first]
        variant = np.zeros(len(answers))
        variant[filled] = answers.variant_probability[first]
        sold = pa.array(best, mask=~filled | (answers.decision == _NO_MATCH))
        guess = pa.array(best, mask=~filled)
        shown = [ID, NAME, *self._products.table.own_columns]
        columns = {name: self._rows.column(name).take(sold) for name in shown}
        decisions = pa.array(list(DECISIONS), pa.string())
        columns |= {
            "best_guess": self._rows.column("model").take(guess),
            "match_probability": pa.array(answers.match_probability),
            "variant_stated": pa.array(answers.memory_stated),
            "variant_probability": pa.array(variant),
            "margin": pa.array(answers.margin),
            "decision": decisions.take(pa.array(answers.decision)),
            "reason": pa.array(answers.reason, pa.string()),
            "candidates": self._candidates(answers),
            "model_version": pa.repeat(pa.scalar(self._model.version), len(answers)),
            "index_version": pa.repeat(pa.scalar(self._index_version), len(answers)),
        }
        return pa.table([columns[name] for name in self._columns.names], schema=self._columns)

    def _candidates(self, answers: Answers) -> pa.Array:
        row = pa.array(answers.record)
        fields = {name: self._rows.column(name).take(row).combine_chunks() for name in (ID, NAME)}
        own = ("similarity", "score", "probability", "variant_probability")
        fields |= {name: pa.array(getattr(answers, name)) for name in own}
        return candidate_lists(answers.offsets, fields, _CANDIDATE)

    def resolutions(self, answers: Answers) -> list[Any]:
        """Return answers as objects."""
        rows = self.rows(answers).to_pylist()
        names = self._rows.column("model").take(pa.array(answers.record)).to_pylist()
        found = []
        for at, row in enumerate(rows):
            start = int(answers.offsets[at])
            candidates = tuple(
                ProductCandidate(**each, model=names[start + place])
                for place, each in enumerate(row.pop("candidates"))
            )
            own = {name: row.pop(name) for name in self._products.table.own_columns}
            row["decision"] = Decision(row["decision"])
            row |= {"own": own, "candidates": candidates}
            if answers.decided is None:
                found.append(ProductResolution(**row))
            else:
                found.append(SettledProduct(**row, provenance=answers.decided.of(at)))
        return found


_CANDIDATE = pa.struct(
    [
        (ID, pa.string()),
        (NAME, pa.string()),
        ("similarity", pa.float64()),
        ("score", pa.float64()),
        ("probability", pa.float64()),
        ("variant_probability", pa.float64()),
    ]
)


def schema_of(rows: pa.Table, own: Sequence[str]) -> pa.Schema:
    """Return the columns that a resolved row gets over a catalogue, in their order."""
    return pa.schema(
        [
            (ID, pa.string()),
            (NAME, pa.string()),
            *((name, rows.schema.field(name).type) for name in own),
            ("best_guess", pa.string()),
            ("match_probability", pa.float64()),
            ("variant_stated", pa.bool_()),
            ("variant_probability", pa.float64()),
            ("margin", pa.float64()),
            ("decision", pa.string()),
            ("reason", pa.string()),
            ("candidates", pa.list_(_CANDIDATE)),
            ("model_version", pa.string()),
            ("index_version", pa.string()),
        ]
    )


_DECIDES, _NAMES = 3, 2  # levels of `Found.identifier`
_APART = [_COLUMN["not_sold"], _COLUMN["cue_accessory"]]
_OTHER_VARIANT = "no such variant in the catalogue"
_READ = (
    "identifier shared_code cover_entry unit_agree identifier_conflict code_conflict brand_fit"
    " unit_conflict max_rival better"
).split() + [name for name in _OFFERS if name in _COLUMN]
_READ_COLUMNS = [_COLUMN[name] for name in _READ]


def named(best: NDArray[np.float32], batch: ProductBatch) -> NDArray[np.bool_]:
    """Return which listings name their best candidate by an identifier that it alone has.

    Words cannot outvote a GTIN, or what stands in a column of identifiers: such a listing is a
    match, whatever it is called, unless it states another one or offers something else. A part
    number in a title may be of what an accessory fits, and is weighed as other words are.

    :param best: features of the best candidates, shape (listings, features); 0 where there is none.
    """
    decides = best[:, _COLUMN["identifier"]] >= _DECIDES
    offers = best[:, [_COLUMN[cue] for cue in _OFFERS if cue in _COLUMN]] > 0
    contradicted = best[:, _COLUMN["identifier_conflict"]] > 0
    told = _states_identifier(batch, len(best))
    return np.asarray(told & decides & ~contradicted & ~offers.any(axis=1))


def _states_identifier(batch: ProductBatch, n: int) -> NDArray[np.bool_]:
    """Return which listings have a GTIN, or an identifier in a column."""
    readings = batch.readings
    having = readings.identifiers.rows[readings.sources != IdentifierKind.NAMED]
    return np.asarray(np.bincount(having, minlength=n)[:n] > 0)


def reason_of(
    row: NDArray[np.float32], found: bool, decision: int, stated: bool, held: str = ""
) -> str:
    """Return in a few words why the best candidate was matched, held back or refused.

    :param row: its features.
    :param stated: whether the listing states its variant.
    :param held: what else holds a match back.
    """
    if not found:
        return "no candidate"
    value = dict(zip(_READ, row[_READ_COLUMNS].tolist(), strict=True))
    offered = next((words for cue, words in _OFFERS.items() if value.get(cue, 0) > 0), "")
    if decision == _NO_MATCH:
        return offered or "weak evidence"
    against = [held] if held else _against(value)
    text = _agreeing(value)
    text += "" if stated or held else ", variant not stated"
    if decision == _REVIEW and offered:
        against.insert(0, offered)
    return f"{text}; but {', '.join(against)}" if against else text


def _agreeing(value: dict[str, float]) -> str:
    if value["identifier"] >= _DECIDES:
        return "identifier agrees"
    parts = []
    if value["shared_code"] > 0:
        parts.append("code")
    if value["cover_entry"] >= _WHOLE:
        parts.append("whole name")
    elif value["cover_entry"] >= _MOST:
        parts.append("most of the name")
    if value["unit_agree"] > 0:
        parts.append("numbers")
    if not parts:
        return "similar text"
    one = len(parts) == 1 and parts[0] != "numbers"
    return f"{' + '.join(parts)} {'agrees' if one else 'agree'}"


def _against(value: dict[str, float]) -> list[str]:
    signs = (
        (value["identifier_conflict"] > 0, "another identifier is stated"),
        (
            value["code_conflict"] > 0 and value["identifier"] < _DECIDES,
            "another code is stated",
        ),
        (value["brand_fit"] < 0, "another brand is named"),
        (value["unit_conflict"] > 0, "a number differs"),
        (value["max_rival"] > 0 and value["better"] > 0, "another product fits as well"),
    )
    return [words for holds, words in signs if holds]
