"""Wrong answers put beside the evidence they came from: which rows were chosen and right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.errors import InputError
from index.records import GpuRecord
from rerank.evaluation.gold import GoldKind, GoldListing, canonical_key
from rerank.evaluation.metrics import TOP_GRADE
from rerank.evaluation.outcomes import errors_of, grade
from rerank.explanation import ranking_shares
from rerank.resolver import Evidence, Resolution, Resolver, ScoredCandidate
from rerank.retrieval import ModelTable

N_CANDIDATES = 20
NO_ROW = -1

Shares = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Case:
    """A wrong answer.

    :param error: what `errors_of` says of it.
    :param number: its listing's place in the evidence.
    :param chosen: row of the first candidate in the evidence, -1 if there was no candidate.
    :param right: row of the best-ranked right candidate, -1 if there is none.
    """

    error: dict[str, Any]
    gold: GoldListing
    answer: Resolution
    number: int
    chosen: int
    right: int

    @property
    def is_decision(self) -> bool:
        """Whether the order left nothing to wish for, so that only the decision was wrong."""
        return self.gold.kind is GoldKind.NIL or (self.chosen == self.right != NO_ROW)


class KnownModels:
    """Which records of a registry a gold listing may mean."""

    def __init__(self, table: ModelTable) -> None:
        self._table = table

    @cached_property
    def by_key(self) -> dict[str, list[int]]:
        """Rows of the registry by `canonical_key` of their model."""
        rows: dict[str, list[int]] = {}
        for row, record in enumerate(self._table.records):
            rows.setdefault(canonical_key(record.model), []).append(row)
        return rows

    def holds(self, gold: GoldListing) -> bool:
        """Say whether a right model is there, in the memory size the listing states."""
        return any(fits(gold, self._table.records[row]) for row in self._rows(gold))

    def is_named(self, gold: GoldListing, evidence: Evidence, number: int) -> bool:
        """Say whether the lexicon reads a right model in the title of a listing."""
        models = np.unique(self._table.model_of_record[self._rows(gold)]).astype(np.int64)
        listing = np.full(len(models), number, np.int64)
        found = evidence.candidates.names.find(listing, models, self._table.n_models)
        return bool((found >= 0).any())

    def _rows(self, gold: GoldListing) -> list[int]:
        keys = dict.fromkeys(canonical_key(model) for model in gold.gold_models)
        return [row for key in keys for row in self.by_key.get(key, ())]


def find_cases(
    resolver: Resolver,
    gold: Sequence[GoldListing],
    answers: Sequence[Resolution],
    *,
    limit: int,
) -> tuple[list[Case], Evidence]:
    """Return the first ``limit`` wrong answers, costliest first, and the evidence of them alone.

    :raises InputError: if answers are not those of the resolver.
    """
    # Ids may repeat where sets were put together; places do not.
    placed = [replace(item, listing_id=f"{at:09d}") for at, item in enumerate(gold)]
    errors = errors_of(placed, answers)[:limit]
    places = [int(error["listing_id"]) for error in errors]
    listings = [gold[place].listing for place in places]
    evidence = resolver.evidence(listings, n_candidates=N_CANDIDATES)
    cases = [
        _case(error, gold[place], answers[place], evidence, number, resolver.table)
        for number, (error, place) in enumerate(zip(errors, places, strict=True))
    ]
    return cases, evidence


def fits(gold: GoldListing, variant: GpuRecord | ScoredCandidate) -> bool:
    """Say whether this is a right model in the memory size the listing states, if it does."""
    bare = ScoredCandidate("", variant.model, variant.memory_gb, "", 0.0, 0.0, 0.0)
    return grade(replace(gold, gold_form=""), bare) == TOP_GRADE


def ranker_shares(
    resolver: Resolver, evidence: Evidence, cases: Sequence[Case]
) -> dict[int, Shares]:
    """Return what each feature did for the chosen candidate, less for the right one if there is.

    In units of the ranker's score, shape (features,), by the number of each case that is no mere
    wrong decision. One call explains all rows.
    """
    ranked = [case for case in cases if not case.is_decision and case.chosen != NO_ROW]
    rows = sorted({row for case in ranked for row in (case.chosen, case.right)} - {NO_ROW})
    if not rows:
        return {}
    shares = ranking_shares(resolver.model, evidence.features[rows])
    by_row = dict(zip(rows, shares, strict=True))
    nothing = np.zeros(shares.shape[1])
    return {case.number: by_row[case.chosen] - by_row.get(case.right, nothing) for case in ranked}


def offer_shares(
    resolver: Resolver, evidence: Evidence, cases: Sequence[Case]
) -> dict[int, Shares]:
    """Return what each feature did for accepting, by the number of each wrong decision.

    In log-odds, shape (offer features,). One call explains all rows.
    """
    from rerank.tree_training import contributions

    numbers = [case.number for case in cases if case.is_decision]
    if not numbers:
        return {}
    shares = contributions(resolver.model.offer_text, evidence.offers[numbers])[:, :-1]
    return dict(zip(numbers, shares, strict=True))


def _case(
    error: dict[str, Any],
    gold: GoldListing,
    answer: Resolution,
    evidence: Evidence,
    number: int,
    table: ModelTable,
) -> Case:
    start, stop = evidence.candidates.offsets[number : number + 2].tolist()
    records = evidence.candidates.record[start:stop].tolist()
    rows = {table.records[record].gpu_id: start + at for at, record in enumerate(records)}
    unknown = [c.gpu_id for c in answer.candidates if c.gpu_id not in rows]
    if unknown:
        raise InputError(
            f"listing {gold.listing_id!r}: the answer has the candidate {unknown[0]!r}, which the "
            "resolver does not retrieve for it; pass the resolver that gave the answers"
        )
    right = _right(gold, answer.candidates)
    return Case(
        error,
        gold,
        answer,
        number,
        chosen=rows[answer.candidates[0].gpu_id] if answer.candidates else NO_ROW,
        right=NO_ROW if right is None else rows[right.gpu_id],
    )


def _right(gold: GoldListing, candidates: Sequence[ScoredCandidate]) -> ScoredCandidate | None:
    """Return the best-ranked right candidate: the first itself, unless it is wrong.

    Of several behind it, one that has the stated form as well comes first.
    """
    if candidates and fits(gold, candidates[0]):
        return candidates[0]
    exact = (c for c in candidates if grade(gold, c) == TOP_GRADE)
    return next(exact, None) or next((c for c in candidates if fits(gold, c)), None)
