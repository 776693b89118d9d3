"""Failure analysis: each wrong answer with what was right, where the two differ, and the cause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.errors import InputError
from index.records import GpuRecord
from rerank.evaluation.causes import Cause, Situation, cause_of
from rerank.evaluation.failure_cases import (
    NO_ROW,
    Case,
    KnownModels,
    Shares,
    find_cases,
    offer_shares,
    ranker_shares,
)
from rerank.evaluation.gold import GoldKind, GoldListing
from rerank.evaluation.outcomes import lost_to
from rerank.explanation import strongest, words_of
from rerank.features import CANDIDATE_FEATURES, OFFER_FEATURES
from rerank.resolver import Evidence, Resolution, Resolver
from rerank.retrieval import ModelTable


@dataclass(frozen=True, slots=True)
class FeatureGap:
    """One feature of a failure.

    :param right: its value for the right candidate; None where there is no other one to compare.
    :param chosen: its value for the candidate that was answered.
    :param contribution: what it did for the chosen candidate (SHAP). Of a wrong order: in units of
        the ranker's score, less what it did for the right candidate; above 0 it helped the wrong
        one. Of a wrong decision: in log-odds of accepting; below 0 it held back.
    """

    feature: str
    words: str
    right: float | None
    chosen: float
    contribution: float


@dataclass(frozen=True, slots=True)
class Failure:
    """One wrong answer.

    :param lost_to: the part that failed, a value of `ErrorKind`.
    :param right: the best-ranked right candidate; None if it is not among the candidates.
    :param features: those that decided, the largest contribution first, at most 8.
    """

    listing_id: str
    title: str
    want: str
    got: str
    decision: str
    probability: float
    lost_to: str
    cause: Cause
    right: str | None
    features: tuple[FeatureGap, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; the cause is its value."""
        return {
            "listing_id": self.listing_id,
            "title": self.title,
            "want": self.want,
            "got": self.got,
            "decision": self.decision,
            "probability": self.probability,
            "lost_to": self.lost_to,
            "cause": self.cause.value,
            "right": self.right,
            "features": [asdict(feature) for feature in self.features],
        }


def failures(
    resolver: Resolver,
    gold: Sequence[GoldListing],
    answers: Sequence[Resolution],
    *,
    limit: int = 200,
) -> list[Failure]:
    """Return what went wrong and why, the costliest first, in the order of `errors_of`.

    Importing LightGBM takes 2 s; some hundred failures then take a second.

    :param answers: of this resolver with its default of 20 candidates, in the order of ``gold``.
    :param limit: how many failures are analysed, from 0.
    :raises InputError: if the limit is negative or answers are not those of the resolver.
    """
    if limit < 0:
        raise InputError(f"limit must be at least 0, got {limit}")
    cases, evidence = find_cases(resolver, gold, answers, limit=limit)
    ranking = ranker_shares(resolver, evidence, cases)
    offers = offer_shares(resolver, evidence, cases)
    known, table = KnownModels(resolver.table), resolver.table
    found = []
    for case in cases:
        shares = offers.get(case.number)
        situation = _situation(case, evidence, known, table, shares)
        gaps = _gaps(case, evidence, ranking.get(case.number), shares)
        found.append(_failure(case, known, situation, gaps))
    return found


def causes(found: Iterable[Failure]) -> dict[str, int]:
    """Count failures by cause, the most frequent first, ties by name."""
    counts = Counter(failure.cause.value for failure in found)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _failure(
    case: Case, known: KnownModels, situation: Situation, gaps: tuple[FeatureGap, ...]
) -> Failure:
    right, error = situation.right, case.error
    part = lost_to(case.gold, case.answer, known.by_key)
    return Failure(
        listing_id=case.gold.listing_id,
        title=case.gold.title,
        want=error["want"],
        got=error["got"],
        decision=error["decision"],
        probability=error["probability"],
        lost_to=error["kind"] if part is None else part.value,
        cause=cause_of(situation),
        right=f"{right.model} {right.memory_gb:g} GB {right.form_factor}" if right else None,
        features=gaps,
    )


def _situation(
    case: Case,
    evidence: Evidence,
    known: KnownModels,
    table: ModelTable,
    shares: Shares | None,
) -> Situation:
    return Situation(
        reading=evidence.candidates.readings[case.number],
        is_match=case.gold.kind is GoldKind.MATCH,
        in_registry=known.holds(case.gold),
        named=known.is_named(case.gold, evidence, case.number),
        chosen=_record(case.chosen, evidence, table),
        right=_record(case.right, evidence, table),
        chosen_values=_by_name(CANDIDATE_FEATURES, evidence.features, case.chosen),
        right_values=_by_name(CANDIDATE_FEATURES, evidence.features, case.right),
        offer_values=_by_name(OFFER_FEATURES, evidence.offers, case.number),
        offer_shares={} if shares is None else dict(zip(OFFER_FEATURES, shares, strict=True)),
    )


def _gaps(
    case: Case, evidence: Evidence, ranking: Shares | None, offer: Shares | None
) -> tuple[FeatureGap, ...]:
    right: NDArray[np.float32] | None = None
    if offer is not None:
        names, shares, chosen = OFFER_FEATURES, offer, evidence.offers[case.number]
    elif ranking is not None:
        names, shares, chosen = CANDIDATE_FEATURES, ranking, evidence.features[case.chosen]
        right = None if case.right == NO_ROW else evidence.features[case.right]
    else:
        return ()
    return tuple(
        FeatureGap(
            names[at],
            words_of(names[at]),
            None if right is None else _rounded(right[at]),
            _rounded(chosen[at]),
            _rounded(shares[at]),
        )
        for at in strongest(names, shares)
    )


def _record(row: int, evidence: Evidence, table: ModelTable) -> GpuRecord | None:
    return None if row == NO_ROW else table.records[int(evidence.candidates.record[row])]


def _by_name(names: Sequence[str], values: NDArray[np.float32], row: int) -> dict[str, float]:
    return {} if row == NO_ROW else dict(zip(names, values[row].tolist(), strict=True))


def _rounded(value: float) -> float:
    return round(float(value), 4)
