"""What people settled, as a snapshot that stands before the model's answers.

A verdict is about a listing's text: its title and its description as a resolver reads them, and its
vendor. Two sources give them: what annotators settled on (`rerank.annotation.agreement`, all
listings of one text taken together), and what somebody said of a text directly, which is kept in
the store's table ``verdicts``. Of both the later one stands. A text on which people differ has no
verdict: the model answers.

    HOME/verdicts/current.json      which snapshot the store gives, and what the store was then
    HOME/verdicts/<version>.arrow   the snapshot, sorted by hash; processes map it into memory

Nothing of it is a source: all is derived from the store again where it is missing.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import Enum
from functools import cached_property
from hashlib import blake2b, sha256
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rerank.answer_columns import strings
from rerank.answers import Answers, DecidedBy
from rerank.index.artifacts import read_json, write_json, writing_file
from rerank.index.errors import InputError, MismatchError
from rerank.index.records import Ints, Listing
from rerank.index.text import MAX_DESCRIPTION_CHARS, normalise
from rerank.ranking import ModelTable
from rerank.resolution import DECISIONS, Decision, Thresholds
from rerank.store.database import Session, Store, utc_now
from rerank.store.rows import Annotation, Verdict
from rerank.workspace import Workspace


class Said(Enum):
    """What a person may say of a text; the first four are those of an annotation.

    ``NOT_THIS``: it does not sell this product; several stand beside each other. ``WITHDRAWN``:
    whatever was said before, the model decides.
    """

    MATCH = "match"
    NONE_OF_THESE = "none_of_these"
    NOT_GPU = "not_gpu"
    SEVERAL = "several"
    NOT_THIS = "not_this"
    WITHDRAWN = "withdrawn"


SAYABLE = tuple(said for said in Said if said is not Said.WITHDRAWN)
"""What may be said of a text directly."""
NAMING = (Said.MATCH, Said.NOT_THIS)
"""What names a product, or a model."""
_KINDS = tuple(Said)
_UNSURE = Verdict.UNSURE.value
_MATCH, _NOT_THIS, _WITHDRAWN = map(_KINDS.index, (Said.MATCH, Said.NOT_THIS, Said.WITHDRAWN))


@dataclass(frozen=True, slots=True)
class TextVerdict:
    """What somebody said of a text.

    :param description: None where it holds whatever the description is.
    :param key: the id of a variant or product; None where only the model is known, or none is said.
    :param model: its model; set exactly for `Said.MATCH` and `Said.NOT_THIS`.
    :param said_at: UTC; None means now.
    """

    title: str
    vendor: str
    description: str | None
    said: Said
    key: str | None
    model: str | None
    said_by: str
    said_at: datetime | None = None
    note: str = ""
    verdict_id: str = ""


_FIELDS = "title, vendor, description, verdict, gpu_id, model, said_by, said_at, note, verdict_id"


def save_verdict(session: Session, verdict: TextVerdict) -> str:
    """Write a verdict beside the earlier ones of its text, and return its id.

    :raises InputError: if the title is empty.
    """
    if not normalise(verdict.title):
        raise InputError("expected a title to give a verdict on, got none")
    known = verdict.verdict_id or secrets.token_hex(6)
    values = [
        *(verdict.title, verdict.vendor, verdict.description, verdict.said.value, verdict.key),
        *(verdict.model, verdict.said_by, verdict.said_at or utc_now(), verdict.note, known),
    ]
    session.execute(
        "save verdict", f"INSERT INTO verdicts ({_FIELDS}) VALUES (?{', ?' * 9})", values
    )
    return known


def read_verdicts(session: Session) -> list[TextVerdict]:
    """Return what was said of texts directly and not undone since, in its order."""
    rows = session.rows(
        "read verdicts",
        f"SELECT {_FIELDS} FROM verdicts WHERE undone_at IS NULL ORDER BY said_at, verdict_id",
    )
    return [
        TextVerdict(title, vendor, description, Said(said), *more)
        for title, vendor, description, said, *more in rows
    ]


def mark_undone(session: Session, verdict_id: str, who: str) -> None:
    """Let a verdict stand no longer; its row stays."""
    session.execute(
        "undo verdict",
        "UPDATE verdicts SET undone_by = ?, undone_at = ? WHERE verdict_id = ?",
        [who, utc_now(), verdict_id],
    )


_GAP = "\x1f"  # normalised text has none: to `str.split` it is a blank
_SERIAL = re.compile(r"\d{6,}")  # of a lot or an article; no model and no size has six digits
_BLANK = "#"


def text_of(title: str, vendor: str, description: str | None) -> str:
    """Return what two listings have in common that a verdict cannot tell apart."""
    text = f"{normalise(title)}{_GAP}{normalise(vendor)}"
    return text if description is None else f"{text}{_GAP}{_described(description)}"


def parts_of(text: str) -> dict[str, str | None]:
    """Return the normalised title, vendor and description of a `text_of`.

    The description is None where the verdict holds whatever it is.
    """
    title, vendor, *description = text.split(_GAP)
    shown = description[0] if description else None
    return {"title": title, "vendor": vendor, "description": shown}


def _described(description: str) -> str:
    return normalise(description)[:MAX_DESCRIPTION_CHARS] if description else ""


def _hashes(texts: Iterable[str]) -> NDArray[np.uint64]:
    """Return 64-bit hashes, the same in every process."""
    found = [blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8) for text in texts]
    return np.frombuffer(b"".join([each.digest() for each in found]), np.uint64)


def _bucket(text: str) -> str:
    """Return title and vendor of a text: what it is looked up by."""
    return _GAP.join(text.split(_GAP, 2)[:2])


def without_serials(text: str) -> str:
    """Return a text with the digits of long serials blanked, in title and description."""
    return _SERIAL.sub(_BLANK, text)


_SCHEMA = pa.schema(
    [
        ("hash", pa.uint64()),
        ("text", pa.string()),
        ("kind", pa.int8()),
        ("key", pa.dictionary(pa.int32(), pa.string())),
        ("model", pa.dictionary(pa.int32(), pa.string())),
        ("by", pa.dictionary(pa.int32(), pa.string())),
        ("at", pa.timestamp("us")),
    ]
)


class Hits(NamedTuple):
    """Listings that have a verdict: their numbers, and the rows of it.

    :param n_rows: how many rows from there on are of the same text; 1 but for `Said.NOT_THIS`.
    """

    listing: Ints
    row: Ints
    n_rows: Ints


class VerdictSnapshot:
    """What people had settled at one moment; it never changes. Threads may share it.

    :param table: of `_SCHEMA`, sorted by hash and text.
    :param version: of its content.
    :param near: let a verdict hold for texts too that differ only in long serials, where all
        verdicts on such texts agree.
    """

    def __init__(self, table: pa.Table, version: str, *, near: bool = False) -> None:
        self._table = table
        self._content = version
        self.near = near
        self._hash: NDArray[np.uint64] = _numpy(table.column("hash"))
        self._text = table.column("text")
        self.kind: NDArray[np.int8] = _numpy(table.column("kind"))

    def __len__(self) -> int:
        return len(self._hash)

    @property
    def version(self) -> str:
        """What tells it from every other snapshot."""
        return f"{self._content}+near" if self.near else self._content

    def with_near(self) -> VerdictSnapshot:
        """Return the same verdicts, holding for near-identical texts as well."""
        return VerdictSnapshot(self._table, self._content, near=True)

    def coded(self, column: str) -> tuple[NDArray[np.int32], list[str]]:
        """Return a column as numbers of its values, -1 for none, and the values."""
        encoded = self._table.column(column)
        chunk = encoded.chunk(0) if encoded.num_chunks == 1 else encoded.combine_chunks()
        return _numpy(chunk.indices.fill_null(-1)), chunk.dictionary.to_pylist()

    @property
    def n_standing(self) -> int:
        """How many verdicts there are."""
        return int(np.count_nonzero(self.kind != _WITHDRAWN))

    def by_text(self) -> Ints:
        """Return the rows of all verdicts, ordered by their texts."""
        import pyarrow.compute as pc  # not for who only resolves

        order = np.asarray(pc.sort_indices(self._text), np.int64)
        return np.asarray(order[self.kind[order] != _WITHDRAWN], np.int64)

    def times(self, rows: Ints) -> Ints:
        """Return when verdicts were given, in microseconds since 1970, UTC."""
        found = self._table.column("at").take(pa.array(rows)).cast(pa.int64())
        return np.asarray(found.to_numpy(), np.int64)

    def rows(self, rows: Ints) -> list[dict[str, Any]]:
        """Return verdicts as plain values: text, kind, key, model, by, at."""
        found = self._table.take(pa.array(rows)).drop_columns(["hash"]).to_pylist()
        return [{**each, "kind": _KINDS[each["kind"]]} for each in found]

    def of(self, listings: Sequence[Listing]) -> Hits:
        """Return which listings have a verdict, and which.

        One on the listing's own description goes before one on title and vendor alone, and both
        before one on a near text.
        """
        buckets = [f"{normalise(each.title)}{_GAP}{normalise(each.vendor)}" for each in listings]
        wanted = _hashes(buckets)
        start = np.searchsorted(self._hash, wanted)
        there = np.flatnonzero(self._hash[np.minimum(start, len(self) - 1)] == wanted)
        end = np.searchsorted(self._hash, wanted[there], side="right").tolist()
        first = start[there].tolist()
        texts = self._text.take(pa.array(start[there])).to_pylist()
        found: list[tuple[int, int, int]] = []
        for at, row, stop, text in zip(there.tolist(), first, end, texts, strict=True):
            said = listings[at].description
            whole = f"{buckets[at]}{_GAP}{_described(said) if said else ''}"
            if stop - row == 1:
                if text == whole or text == buckets[at]:
                    found.append((at, row, 1))
            elif hit := self._in_run(row, stop, whole, buckets[at]):
                found.append((at, *hit))
        if self.near:
            found = sorted([*found, *self._near_hits(listings, buckets, {hit[0] for hit in found})])
        columns = np.array(found, np.int64).reshape(-1, 3)
        return Hits(*columns.T)

    def _in_run(self, row: int, stop: int, whole: str, bucket: str) -> tuple[int, int] | None:
        """Return the rows of a text among those of its hash, and how many there are."""
        texts = self._text.slice(row, stop - row).to_pylist()
        text = next((text for text in (whole, bucket) if text in texts), None)
        if text is None:
            return None
        first = row + texts.index(text)
        return None if self.kind[first] == _WITHDRAWN else (first, texts.count(text))

    @cached_property
    def _near_rows(self) -> dict[str, list[int]]:
        """The rows whose texts hold long serials, by the text without."""
        found: dict[str, list[int]] = {}
        for row, text in enumerate(self._text.to_pylist()):
            if (bare := without_serials(text)) != text:
                found.setdefault(bare, []).append(row)
        return found

    def _near_hits(
        self, listings: Sequence[Listing], buckets: Sequence[str], settled: set[int]
    ) -> Iterator[tuple[int, int, int]]:
        for at, bucket in enumerate(buckets):
            if at in settled:
                continue
            whole = f"{bucket}{_GAP}{_described(listings[at].description)}"
            for text in (whole, bucket):
                bare = without_serials(text)
                rows = self._near_rows.get(bare, []) if bare != text else []
                if rows and self._agree(rows):
                    yield at, rows[-1], 1
                    break

    def _agree(self, rows: Sequence[int]) -> bool:
        said = {(each["kind"], each["key"], each["model"]) for each in self.rows(np.array(rows))}
        return len(said) == 1


def _numpy(column: Any) -> NDArray[Any]:
    chunk = column
    if isinstance(column, pa.ChunkedArray):
        chunk = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return np.asarray(chunk.to_numpy(zero_copy_only=False))


class StandingVerdicts:
    """A snapshot over a catalogue: puts people's verdicts before the answers of a resolver.

    :param key: what the table's records call their ids.
    """

    def __init__(self, snapshot: VerdictSnapshot, table: ModelTable, key: str) -> None:
        self.snapshot = snapshot
        keys = [getattr(record, key) for record in table.records]
        self._keys = strings(keys)
        self._models: Ints = np.asarray(table.model_of_record, np.int64)
        row_of_key = {name: row for row, name in enumerate(keys)}
        number = {r.model: at for r, at in zip(table.records, self._models.tolist(), strict=True)}
        self._first_of_model = np.full(int(self._models.max(initial=-1)) + 1, -1, np.int64)
        self._first_of_model[self._models[::-1]] = np.arange(len(keys))[::-1]
        self._key_codes, said = snapshot.coded("key")
        self._model_codes, names = snapshot.coded("model")
        self._by_codes, self._by = snapshot.coded("by")
        # a code of -1 finds what stands last
        self._row_of_code = np.array([*(row_of_key.get(name, -1) for name in said), -1], np.int64)
        self._number_of_code = np.array([*(number.get(name, -1) for name in names), -1], np.int64)

    def targets(self, rows: Ints) -> tuple[Ints, Ints]:
        """Return the records that verdicts name, -1 where none, and their models.

        A model of -1 is not in the catalogue; so is the whole where a key is named and is not.
        """
        record = self._row_of_code[self._key_codes[rows]]
        model = self._number_of_code[self._model_codes[rows]]
        named = self._key_codes[rows] >= 0
        model = np.where(named, np.where(record >= 0, self._models[record], -1), model)
        return record, model

    def questions(self) -> Ints:
        """Return the rows whose product or model is not in the catalogue (any more)."""
        rows = np.flatnonzero(self.snapshot.kind == _MATCH)
        return np.asarray(rows[self.targets(rows)[1] < 0], np.int64)

    def over(
        self, answers: Answers, listings: Sequence[Listing], asked: Ints, thresholds: Thresholds
    ) -> Answers:
        """Return answers in which those of people stand before the model's.

        What a person named stands first among the candidates, and is certain; where a person named
        nothing, no candidate is probable. What is named and not in the catalogue is a question: the
        model answers.

        :param asked: numbers of the listings that were resolved.
        :param thresholds: that hold for what is left where a person rejected single products.
        """
        own = self._own_answers(answers)
        hits = self.snapshot.of([listings[at] for at in asked.tolist()])
        hits = hits._replace(listing=asked[hits.listing])
        record, model = self.targets(hits.row)
        kind = self.snapshot.kind[hits.row]
        matched = (kind == _MATCH) & (model >= 0)
        none = (kind != _MATCH) & (kind != _NOT_THIS)
        partly = np.flatnonzero(kind == _NOT_THIS)
        answers = _none_sold(answers, hits.listing[none])
        answers = self._sold(answers, hits.listing[matched], record[matched], model[matched])
        answers, touched, first = self._without(answers, hits, partly, thresholds)
        decided = np.concatenate([np.flatnonzero(matched | none), first])
        return self._signed(answers, own, hits, np.union1d(decided, touched), decided)

    def _own_answers(self, answers: Answers) -> DecidedBy:
        """Return what the model answers itself."""
        n = len(answers)
        sold = np.diff(answers.offsets) > 0
        sold &= answers.decision != DECISIONS.index(Decision.NO_MATCH)
        record = np.full(n, -1, np.int64)
        record[sold] = answers.record[answers.offsets[:-1][sold]]
        nobody, never = np.full(n, -1, np.int64), np.zeros(n, np.int64)
        told = (answers.decision, self._keys, record, answers.match_probability)
        return DecidedBy(self._by, nobody, never, *told)

    def _signed(
        self, answers: Answers, own: DecidedBy, hits: Hits, person: Ints, decided: Ints
    ) -> Answers:
        """Say who changed hits, and when; of those that people decided, that it is the reason."""
        rows, listings = hits.row[person], hits.listing[person]
        who = self._by_codes[rows].astype(np.int64)
        at = self.snapshot.times(rows)
        by, when = _with(own.by, listings, who), _with(own.at, listings, at)
        reason = list(answers.reason)
        days = (at // _DAY_US).tolist()
        said: dict[tuple[int, int], str] = {}
        for listing, *key in compress(
            zip(listings.tolist(), who.tolist(), days, strict=True),
            np.isin(person, decided).tolist(),
        ):
            reason[listing] = said.get((key[0], key[1])) or said.setdefault(
                (key[0], key[1]), f"a person's verdict: {self._by[key[0]]}, {_date(key[1])}"
            )
        return replace(answers, reason=reason, decided=own._replace(by=by, at=when))

    def _sold(self, answers: Answers, listings: Ints, record: Ints, model: Ints) -> Answers:
        """Let listings sell records, or models where a record is -1: the first variant of it."""
        if not len(listings):
            return answers
        n = len(answers)
        wanted, wanted_model = np.full(n, -1, np.int64), np.full(n, -1, np.int64)
        wanted[listings], wanted_model[listings] = record, model
        shown = np.repeat(np.arange(n), np.diff(answers.offsets))
        rows = np.flatnonzero(wanted_model[shown] >= 0)
        fits = self._models[answers.record[rows]] == wanted_model[shown[rows]]
        open_ = wanted[shown[rows]] < 0
        fits &= open_ | (answers.record[rows] == wanted[shown[rows]])
        there, first = np.unique(shown[rows[fits]], return_index=True)
        wanted[there] = answers.record[rows[fits][first]]
        lacking = np.setdiff1d(listings, there)
        bare = lacking[wanted[lacking] < 0]
        wanted[bare] = self._first_of_model[wanted_model[bare]]
        answers = _with_first(answers, lacking, wanted[lacking])
        return self._certain(answers, listings, wanted, wanted_model, record >= 0)

    def _certain(
        self, answers: Answers, listings: Ints, wanted: Ints, model: Ints, exact: NDArray[np.bool_]
    ) -> Answers:
        """Put what is wanted of each listing first, its variants behind it, and make it certain."""
        n = len(answers)
        best = np.full(n, -1, np.int64)
        filled = np.flatnonzero(np.diff(answers.offsets) > 0)
        best[filled] = answers.record[answers.offsets[:-1][filled]]
        shown = np.repeat(np.arange(n), np.diff(answers.offsets))
        rows = np.flatnonzero(model[shown] >= 0)
        of = shown[rows]
        chosen = answers.record[rows] == wanted[of]
        same = self._models[answers.record[rows]] == model[of]
        order = np.arange(len(shown))
        order[rows] = rows[np.lexsort((rows, ~same, ~chosen, of))]
        probability = answers.probability.copy()
        probability[rows] = same
        variant = answers.variant_probability.copy()
        named = np.zeros(n, bool)
        named[listings[exact]] = True
        sure = same & named[of]
        variant[rows[sure]] = chosen[sure]
        stated = answers.memory_stated.copy()
        stated[listings] &= best[listings] == wanted[listings]
        told = replace(
            answers, probability=probability, variant_probability=variant, memory_stated=stated
        )
        return _decided(_taken(told, order), listings, Decision.MATCH, 1.0, 1.0)

    def _without(
        self, answers: Answers, hits: Hits, partly: Ints, thresholds: Thresholds
    ) -> tuple[Answers, Ints, Ints]:
        """Take away what people rejected; return the hits that changes, and those it decides.

        Where it came first, what is left is held to the thresholds with the probability that it
        had, and is never a match: what speaks against it was not looked at.
        """
        if not len(partly):
            return answers, partly, partly
        shown = np.repeat(np.arange(len(answers)), np.diff(answers.offsets))
        kept = np.ones(len(shown), bool)
        touched, first = [], []
        for hit in partly.tolist():
            listing, row = int(hits.listing[hit]), int(hits.row[hit])
            record, model = self.targets(np.arange(row, row + int(hits.n_rows[hit])))
            rows = np.arange(*answers.offsets[listing : listing + 2])
            candidates = answers.record[rows]
            away = np.isin(candidates, record[record >= 0])
            away |= np.isin(self._models[candidates], model[(record < 0) & (model >= 0)])
            kept[rows[away]] = False
            touched += [hit] * bool(away.any())
            first += [hit] * bool(away[:1].any())
        offsets = np.concatenate([[0], np.cumsum(np.bincount(shown[kept], minlength=len(answers)))])
        answers = replace(_taken(answers, np.flatnonzero(kept)), offsets=offsets)
        for hit in first:
            answers = self._decided_anew(answers, int(hits.listing[hit]), thresholds)
        return answers, np.array(touched, np.int64), np.array(first, np.int64)

    def _decided_anew(self, answers: Answers, listing: int, thresholds: Thresholds) -> Answers:
        rows = np.arange(*answers.offsets[listing : listing + 2])
        sure = float(answers.probability[rows[0]]) if len(rows) else 0.0
        models = self._models[answers.record[rows]]
        rivals = answers.probability[rows[models != models[:1]]] if len(rows) else np.zeros(0)
        decision = Decision.REVIEW if sure >= thresholds.review else Decision.NO_MATCH
        at = np.array([listing])
        unstated = replace(answers, memory_stated=_with(answers.memory_stated, at, False))
        return _decided(unstated, at, decision, sure, sure - float(rivals.max(initial=0.0)))


_DAY_US = 86_400_000_000


def _date(day: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def _with(values: NDArray[Any], at: Ints, value: Any) -> NDArray[Any]:
    changed = values.copy()
    changed[at] = value
    return changed


def _decided(
    answers: Answers, at: Ints, decision: Decision, probability: float, margin: float
) -> Answers:
    """Decide some listings anew, all alike."""
    return replace(
        answers,
        match_probability=_with(answers.match_probability, at, probability),
        margin=_with(answers.margin, at, margin),
        decision=_with(answers.decision, at, DECISIONS.index(decision)),
    )


def _taken(answers: Answers, rows: Ints) -> Answers:
    return replace(
        answers,
        record=answers.record[rows],
        similarity=answers.similarity[rows],
        score=answers.score[rows],
        probability=answers.probability[rows],
        variant_probability=answers.variant_probability[rows],
    )


def _with_first(answers: Answers, listings: Ints, records: Ints) -> Answers:
    """Put a candidate that nothing proposed before those of some listings."""
    if not len(listings):
        return answers
    at = answers.offsets[listings]
    more = np.zeros(len(answers.offsets), np.int64)
    more[listings + 1] = 1
    return replace(
        answers,
        offsets=answers.offsets + np.cumsum(more),
        record=np.insert(answers.record, at, records),
        similarity=np.insert(answers.similarity, at, 0.0),
        score=np.insert(answers.score, at, 0.0),
        probability=np.insert(answers.probability, at, 1.0),
        variant_probability=np.insert(answers.variant_probability, at, 1.0),
    )


def _none_sold(answers: Answers, listings: Ints) -> Answers:
    """Let listings sell nothing of the catalogue; their candidates stay, and are not probable."""
    if not len(listings):
        return answers
    chosen = np.zeros(len(answers), bool)
    chosen[listings] = True
    shown = np.repeat(chosen, np.diff(answers.offsets))
    told = replace(answers, probability=np.where(shown, 0.0, answers.probability))
    return _decided(told, listings, Decision.NO_MATCH, 0.0, 0.0)


class _Saying(NamedTuple):
    """What was said of a text; ``by`` is one person, ``direct`` where no annotation said it."""

    text: str
    said: str
    key: str | None
    model: str | None
    by: str
    at: datetime
    direct: bool


_ANNOTATED = """SELECT l.title, l.vendor, l.description, a.verdict, a.gpu_id, a.model,
    a.annotator AS who, a.annotated_at AS said_at FROM annotations AS a JOIN listings AS l
    USING (listing_id)"""
_DIRECT = """SELECT title, vendor, description, verdict, gpu_id, model, said_by AS who,
    said_at FROM verdicts WHERE undone_at IS NULL"""
_DIGEST = """SELECT count(*), coalesce(sum(hash(title, vendor, description, verdict, gpu_id, model,
    who, said_at)), 0)::VARCHAR FROM ({})"""
_SAID_SCHEMA = pa.schema(
    [
        ("text", pa.string()),
        ("said", pa.dictionary(pa.int32(), pa.string())),
        ("key", pa.dictionary(pa.int32(), pa.string())),
        ("model", pa.dictionary(pa.int32(), pa.string())),
        ("by", pa.dictionary(pa.int32(), pa.string())),
        ("at", pa.timestamp("us")),
        ("direct", pa.bool_()),
    ]
)


def snapshot_table(session: Session) -> pa.Table:
    """Return the verdicts of a store as a table of `_SCHEMA`, sorted by hash and text.

    :raises StoreError: if the store cannot be read.
    """
    said, hashes = _all_said(session)
    if not said.num_rows:
        return _SCHEMA.empty_table()
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    same = np.concatenate([[False], ordered[1:] == ordered[:-1]])
    alone = ~same & ~np.append(same[1:], False)
    groups = _in_groups(said.take(pa.array(order[~alone])), ordered[~alone])
    rows = order[alone]
    firm = _kinds(said)[rows] != _WITHDRAWN
    single = _as_rows(said.take(pa.array(rows[firm])), hashes[rows[firm]])
    found = pa.concat_tables([single, groups]).unify_dictionaries().combine_chunks()
    found = found.sort_by([("hash", "ascending"), ("text", "ascending")])
    for at, part in enumerate(_SCHEMA):  # values in order of the rows, not of the store
        if pa.types.is_dictionary(part.type):
            values = found.column(at).cast(pa.string()).dictionary_encode()
            found = found.set_column(at, part, values.combine_chunks())
    return found


def _kinds(said: pa.Table) -> NDArray[np.int8]:
    """Return what was said as numbers of `_KINDS`; unsure is as good as withdrawn."""
    column = said.column("said").combine_chunks()
    names = [
        Said.WITHDRAWN.value if name == _UNSURE else name for name in column.dictionary.to_pylist()
    ]
    numbers = np.array([_KINDS.index(Said(name)) for name in names], np.int8)
    return np.asarray(numbers[_numpy(column.indices)], np.int8)


def _all_said(session: Session) -> tuple[pa.Table, NDArray[np.uint64]]:
    """Return all that was said of texts, and the hash of each one's title and vendor."""
    tables, hashes = [_SAID_SCHEMA.empty_table()], [np.zeros(0, np.uint64)]
    for sql, direct in ((_ANNOTATED, False), (_DIRECT, True)):
        for batch in session.batches("read what people said", sql):
            columns = [batch.column(name).to_pylist() for name in ("title", "vendor")]
            texts = map(text_of, *columns, batch.column("description").to_pylist())
            found = list(texts)
            hashes.append(_hashes(map(_bucket, found)))
            rest = [batch.column(name) for name in ("verdict", "gpu_id", "model", "who", "said_at")]
            flags = pa.repeat(pa.scalar(direct), len(found))
            arrays = [pa.array(found, pa.string()), *rest, flags]
            named = pa.table(arrays, names=_SAID_SCHEMA.names)
            tables.append(named.cast(_SAID_SCHEMA))
    return pa.concat_tables(tables).unify_dictionaries(), np.concatenate(hashes)


def _as_rows(said: pa.Table, hashes: NDArray[np.uint64]) -> pa.Table:
    own = [said.column(name) for name in ("key", "model", "by", "at")]
    arrays = [pa.array(hashes), said.column("text"), pa.array(_kinds(said)), *own]
    return pa.table(arrays, schema=_SCHEMA)


def _in_groups(said: pa.Table, hashes: NDArray[np.uint64]) -> pa.Table:
    """Return what stands of titles and vendors of which more than one thing was said."""
    groups: dict[str, tuple[int, list[_Saying]]] = {}
    for row, number in zip(said.to_pylist(), hashes.tolist(), strict=True):
        each = _Saying(**row)
        groups.setdefault(_bucket(each.text), (number, []))[1].append(each)
    rows = []
    for bucket, (number, group) in groups.items():
        for each in _of_bucket(bucket, group):
            kind = _KINDS.index(Said(each.said))
            rows.append((number, each.text, kind, each.key, each.model, each.by, each.at))
    arrays = [pa.array([row[at] for row in rows], part.type) for at, part in enumerate(_SCHEMA)]
    return pa.table(arrays, schema=_SCHEMA)


def _of_bucket(bucket: str, said: Sequence[_Saying]) -> Iterator[_Saying]:
    """Yield what stands of the texts of one title and vendor.

    What was said whatever the description is counts for each description as well.
    """
    texts: dict[str, list[_Saying]] = {}
    for row in said:
        texts.setdefault(row.text, []).append(row)
    of_any = texts.pop(bucket, [])
    for_any = standing(of_any)
    yield from for_any
    for text, own in texts.items():
        stands = standing([*of_any, *own])
        if not stands and for_any:  # else that would be found in its place
            stands = [own[-1]._replace(said=Said.WITHDRAWN.value, key=None, model=None)]
        yield from (row._replace(text=text) for row in stands)


def standing(said: Sequence[_Saying]) -> list[_Saying]:
    """Return what stands of all that was said of one text: one row, none, or several rejections.

    The later of what annotators settled on and of what was said directly. Each annotator counts
    with his latest answer, on whichever listing of the text.
    """
    direct = sorted((row for row in said if row.direct), key=_in_time)
    settled = _settled([row for row in said if not row.direct])
    last = direct[-1] if direct else None
    if last is None or (settled is not None and settled.at > last.at):
        return [] if settled is None else [settled]
    if last.said == Said.WITHDRAWN.value:
        return []
    if last.said != Said.NOT_THIS.value:
        return [last]
    rejected: dict[tuple[str | None, str | None], _Saying] = {}
    for row in reversed(direct):
        if row.said != Said.NOT_THIS.value:
            break
        rejected.setdefault((row.key, row.model), row)
    return list(rejected.values())


def _in_time(row: _Saying) -> tuple[Any, ...]:
    """Return what sayings are ordered by, whatever order the store gives them in."""
    return row.at, row.by, row.said, row.key or "", row.model or ""


def _settled(said: Sequence[_Saying]) -> _Saying | None:
    """Return what annotators settled on, signed by all who hold it; None if they did not."""
    from rerank.annotation.agreement import ADJUDICATOR, consensus  # who only resolves needs none

    latest = {row.by: row for row in sorted(said, key=_in_time)}
    answers = [
        Annotation("", row.by, Verdict(row.said), row.key, row.model) for row in latest.values()
    ]
    if not answers:
        return None
    (found,) = consensus(answers)
    if found.disputed or found.verdict is Verdict.UNSURE:
        return None
    holders = [
        row
        for row in latest.values()
        if (row.said, row.model) == (found.verdict.value, found.model)
    ]
    if adjudicated := [row for row in holders if row.by == ADJUDICATOR]:
        holders = adjudicated
    return holders[0]._replace(
        key=found.gpu_id,
        by=", ".join(sorted(row.by for row in holders)),
        at=max(row.at for row in holders),
    )


_CURRENT = "current.json"
_FORMAT = 2  # of the snapshots
_KEPT = 4  # snapshots: runs that began with an earlier one may start workers yet
_RACY_NS = 1_000_000_000  # a file's time may stay the same over two writes nearer than this


def open_verdicts(workspace: Workspace, *, version: str | None = None) -> VerdictSnapshot | None:
    """Return what people have settled in a workspace now; None if nothing.

    The store is read only if it has changed since the last time.

    :param version: that it must be, as a run began with it.
    :raises MismatchError: if the verdicts are others by now.
    :raises StoreError: if the store cannot be read.
    """
    content, _, near = (version or "").partition("+")
    found = _mapped(workspace, content) if content else None
    if found is None:
        found = _current(workspace)
    if version is not None and (found is None or found.version != content):
        raise MismatchError(
            f"expected people's verdicts {version}, found "
            f"{'none' if found is None else found.version}: they changed when the run began; run "
            "again"
        )
    return found.with_near() if found is not None and near else found


def _current(workspace: Workspace) -> VerdictSnapshot | None:
    """Return the snapshot of now, made if it is not there yet."""
    store = workspace.store_path
    if not store.exists():
        return None
    note = _read_note(workspace)
    known, found = _noted(workspace, note)
    if known and note.get("store") == workspace.store_state():
        return found
    with Store(store).reading() as session:
        state = workspace.store_state()  # nobody writes while it is read
        asked = [session.rows("compare", _DIGEST.format(sql))[0] for sql in (_ANNOTATED, _DIRECT)]
        digest = [list(row) for row in asked]
        if not known or note.get("digest") != digest:
            found = _written(workspace, snapshot_table(session))
            pa.default_memory_pool().release_unused()
    if time.time_ns() - max(state[1], state[4]) < _RACY_NS:
        state = []
    with suppress(OSError):  # a workspace that may not be written is read again each time
        version = None if found is None else found.version
        content = {"format": _FORMAT, "version": version, "store": state, "digest": digest}
        write_json(content, workspace.verdicts_folder / _CURRENT)
    return found


def _read_note(workspace: Workspace) -> dict[str, Any]:
    """Return what is known of the last time; empty if nothing, or of another release."""
    try:
        note = read_json(workspace.verdicts_folder / _CURRENT)
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) and note.get("format") == _FORMAT else {}


def _noted(workspace: Workspace, note: dict[str, Any]) -> tuple[bool, VerdictSnapshot | None]:
    """Return whether a note says which snapshot it was, and that one."""
    if note.get("version") is None:
        return "version" in note, None
    found = _mapped(workspace, str(note["version"]))
    return found is not None, found


def _mapped(workspace: Workspace, version: str) -> VerdictSnapshot | None:
    """Return a snapshot over its file; None if there is none."""
    path = workspace.verdicts_folder / f"{version}.arrow"
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (OSError, pa.ArrowException):
        return None
    return VerdictSnapshot(table, version) if table.schema.equals(_SCHEMA) else None


def _written(workspace: Workspace, table: pa.Table) -> VerdictSnapshot | None:
    """Write a snapshot's file, if the workspace may be written, and return it; None if empty."""
    if not table.num_rows:
        return None
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, _SCHEMA) as writer:
        writer.write_table(table)
    content = sink.getvalue()
    version = sha256(content).hexdigest()[:12]
    folder = workspace.verdicts_folder
    with suppress(OSError):
        with writing_file(folder / f"{version}.arrow") as draft:
            draft.write_bytes(content)
        old = sorted(folder.glob("*.arrow"), key=lambda path: path.stat().st_mtime_ns)
        for path in old[:-_KEPT]:
            path.unlink(missing_ok=True)
    return _mapped(workspace, version) or VerdictSnapshot(table, version)


def undo_verdict(
    session: Session, title: str, vendor: str, description: str | None, who: str
) -> str:
    """Let what stands of a text stand no longer; return what that was, as `Said` has it.

    What was said directly is marked, so that what stood before it stands again. What annotators
    settled on stays in the store, and is overruled: the model decides until somebody says more.

    :param description: None for whatever the description is.
    :raises InputError: if nothing stands.
    """
    text = text_of(title, vendor, description)
    said, hashes = _all_said(session)
    mine = np.flatnonzero(hashes == _hashes([_bucket(text)])[0])
    rows = [_Saying(**row) for row in said.take(pa.array(mine)).to_pylist()]
    stands = [row for row in _of_bucket(_bucket(text), rows) if row.said != Said.WITHDRAWN.value]
    if description is not None:
        stands = [row for row in stands if row.text == text] or [
            row for row in stands if row.text == _bucket(text)
        ]
    if not stands:
        raise InputError(f"no verdict stands on {title!r:.80}; `rerank verdicts list` shows all")
    last = max(stands, key=lambda row: row.at)
    own = [
        each.verdict_id
        for each in read_verdicts(session)
        if (each.said.value, each.said_by, each.said_at) == (last.said, last.by, last.at)
        and text_of(each.title, each.vendor, each.description) == text
    ]
    if last.direct and own:
        mark_undone(session, own[-1], who)
    else:
        save_verdict(
            session, TextVerdict(title, vendor, description, Said.WITHDRAWN, None, None, who)
        )
    return last.said
