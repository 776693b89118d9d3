"""Labelled listings as rows to train on: their candidates and features, grades and outcomes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from rerank.index.records import LabelledListing, Listing
from rerank.model import OnnxTrees
from rerank.packs.gpu.candidates import RANKED_MODELS, CandidateFeatures
from rerank.packs.gpu.cues import CueHits, CueReader
from rerank.packs.gpu.lexicon import Lexicon
from rerank.packs.gpu.offers import offer_features
from rerank.ranking import (
    CandidateBatch,
    CandidateSource,
    Evidence,
    ModelTable,
    Ranker,
    RankingBatch,
    first_cut,
)

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_BATCH = 2000
_NO_CANDIDATES = -20.0  # log-odds


@dataclass(frozen=True, slots=True)
class Prepared:
    """Labelled listings with all that needs no trained model.

    :param labelled: `LabelledListing` or `GoldListing`: what has a ``listing``.
    :param features: shape (candidates, candidate features).
    """

    labelled: Sequence[Any]
    candidates: CandidateBatch
    cues: CueHits
    features: Floats

    @property
    def listings(self) -> list[Listing]:
        """The listings alone."""
        return [item.listing for item in self.labelled]


class RankerRows(NamedTuple):
    """What LambdaRank trains on: listings of which at least one candidate is right.

    ``features`` has shape (rows, features), ``relevance`` shape (rows,), grades 0 to 2; ``sizes``
    has the number of rows of each listing.
    """

    features: Floats
    relevance: Ints
    sizes: Ints


class OfferRows(NamedTuple):
    """What the offer classifier trains on: listings that have a candidate.

    ``features`` has shape (listings, features), ``correct`` shape (listings,): whether the best
    candidate is what the listing sells.
    """

    features: Floats
    correct: Bools


class CalibrationSample(NamedTuple):
    """What calibration is fitted to.

    ``log_odds`` has shape (listings,), by the offer classifier, -20 for a listing without
    candidates; ``correct`` shape (listings,): whether the best candidate is what is sold.
    """

    log_odds: NDArray[np.float64]
    correct: Bools


TrainingRows = TypeVar("TrainingRows", RankerRows, OfferRows, CalibrationSample)


def joined(parts: Sequence[TrainingRows]) -> TrainingRows:
    """Return the rows of several sets, in their order; at least one."""
    return type(parts[0])(*(np.concatenate(column) for column in zip(*parts, strict=True)))


class Preparer:
    """Retrieves candidates of labelled listings and computes their features.

    :param ranked_models: how many models of each listing stay, by `first_cut`; None for all that
        were retrieved.
    """

    def __init__(
        self,
        retriever: CandidateSource,
        cues: CueReader,
        *,
        ranked_models: int | None = RANKED_MODELS,
    ) -> None:
        self._retriever = retriever
        self._cues = cues
        self._ranked_models = ranked_models
        self._features = CandidateFeatures(self.table)

    @property
    def table(self) -> Lexicon:
        """The models candidates come from."""
        return cast("Lexicon", self._retriever.table)

    def prepare(self, labelled: Sequence[Any], *, held_out: Collection[int] = ()) -> Prepared:
        """Prepare listings; those in ``held_out`` lose their true model's candidates."""
        plain = [item.listing for item in labelled]
        batch = self._retriever.retrieve(plain)
        if held_out:
            batch = _without_truth(batch, labelled, held_out, self.table)
        if self._ranked_models is not None:
            batch = batch.take(first_cut(batch, self._ranked_models))
        cues = self._cues.read(batch.readings)
        return Prepared(labelled, batch, cues, self._features.compute(batch, cues))

    def batches(
        self,
        labelled: Sequence[Any],
        *,
        held_out: Bools | None = None,
        size: int = _BATCH,
        progress: Callable[[float], None] = lambda share: None,
    ) -> Iterator[Prepared]:
        """Prepare many listings, ``size`` at a time.

        :param held_out: shape (listings,), which of them lose their truth; by default none.
        """
        for start in range(0, len(labelled), size):
            progress(start / len(labelled))
            chunk = labelled[start : start + size]
            lost = () if held_out is None else np.flatnonzero(held_out[start : start + size])
            yield self.prepare(chunk, held_out={int(at) for at in lost})


def ranker_rows(prepared: Prepared, table: Lexicon) -> RankerRows:
    """Return the candidates of listings whose right model was retrieved."""
    batch = prepared.candidates
    grades = relevance_of(prepared.labelled, batch.listing, batch.record, table)
    useful = np.bincount(batch.listing, grades, len(prepared.labelled)) > 0
    kept = useful[batch.listing]
    return RankerRows(prepared.features[kept], grades[kept], np.diff(batch.offsets)[useful])


def relevance_of(
    labelled: Sequence[LabelledListing], listing: Ints, record: Ints, table: ModelTable
) -> Ints:
    """Grade candidates: 2 a variant that fits all the listing states, 1 its model, else 0.

    A listing that does not state its form means an ordinary card where the model has one.
    """
    grades = np.zeros(len(listing), np.int64)
    by_id = {r.gpu_id: r for r in table.records}
    plain_models = {r.model for r in table.records if r.form_factor == "PCIe"}
    for row, (at, number) in enumerate(zip(listing.tolist(), record.tolist(), strict=True)):
        item, candidate = labelled[at], table.records[number]
        if item.gpu_id is None or candidate.model != item.model:
            continue
        truth = by_id[item.gpu_id]
        memory = not item.memory_stated or candidate.memory_gb == truth.memory_gb
        if item.form_stated:
            form = candidate.form_factor == truth.form_factor
        else:
            form = candidate.form_factor == "PCIe" or candidate.model not in plain_models
        grades[row] = 2 if memory and form else 1
    return grades


def evidence_of(prepared: Prepared, ranker: Ranker, table: Lexicon) -> Evidence:
    """Rank prepared listings and describe the best candidate of each, as a resolver does."""
    batch = RankingBatch(prepared.listings, prepared.candidates, prepared.features, table)
    scores = ranker.score(batch)
    offers = offer_features(prepared.candidates, table, prepared.features, scores, prepared.cues)
    return Evidence(prepared.candidates, prepared.features, scores, *offers, prepared.cues)


def is_correct(labelled: Sequence[LabelledListing], evidence: Evidence, table: Lexicon) -> Bools:
    """Return whether each listing's best candidate is the model it sells, shape (listings,)."""
    rows = evidence.best
    return np.array(
        [
            row >= 0
            and item.kind == "match"
            and table.records[int(evidence.candidates.record[row])].model == item.model
            for item, row in zip(labelled, rows.tolist(), strict=True)
        ],
        bool,
    )


def offer_rows(prepared: Prepared, ranker: Ranker, table: Lexicon) -> OfferRows:
    """Return the best candidates of listings that have one, and whether they are right."""
    evidence = evidence_of(prepared, ranker, table)
    found = evidence.best >= 0
    correct = is_correct(prepared.labelled, evidence, table)
    return OfferRows(evidence.offers[found], correct[found])


def scored_outcomes(
    prepared: Prepared, ranker: Ranker, offer: OnnxTrees, table: Lexicon
) -> CalibrationSample:
    """Return each listing's log-odds by the offer classifier, and whether the best is right."""
    evidence = evidence_of(prepared, ranker, table)
    log_odds = np.where(evidence.best >= 0, offer.score(evidence.offers), _NO_CANDIDATES)
    return CalibrationSample(log_odds, is_correct(prepared.labelled, evidence, table))


def _without_truth(
    batch: CandidateBatch,
    labelled: Sequence[LabelledListing],
    held_out: Collection[int],
    table: Lexicon,
) -> CandidateBatch:
    number = {model: at for at, model in enumerate(table.models)}
    truth = np.array(
        [
            number.get(item.model or "", -1) if at in held_out else -1
            for at, item in enumerate(labelled)
        ]
    )
    names = batch.names
    named = truth[names.listing] != names.model
    left = batch.take(table.model_of_record[batch.record] != truth[batch.listing])
    return replace(
        left,
        names=replace(
            names,
            listing=names.listing[named],
            model=names.model[named],
            values=names.values[named],
        ),
    )
