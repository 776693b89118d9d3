"""Calibrate candidate sets: resolve generated listings of the validation models."""

from __future__ import annotations

from collections.abc import Callable

from rerank.bootstrap import generate
from rerank.conformal import NO_MATCH, CandidateSets, nonconformity, outcome_probabilities
from rerank.resolver import Decision, Resolver
from rerank.splits import Split, models_of

# Of no training stage: neither the calibrator nor the decisions' thresholds saw these listings.
_STAGE_SEED = 9
_BATCH = 500


def calibrate_candidate_sets(
    resolver: Resolver,
    *,
    listings: int,
    nil_share: float,
    seed: int,
    progress: Callable[[float], None] = lambda share: None,
) -> CandidateSets:
    """Resolve generated listings of the resolver's registry and keep how near the truth was.

    :param listings: number of them, all of models of the validation split.
    :param nil_share: share of them that sell something else.
    :param seed: of the training; the listings are its own draw.
    :raises InputError: if there are no listings.
    """
    records = resolver.table.records
    models = models_of(records, Split.VALIDATION)
    labelled = generate(
        records, listings, seed=seed * 1000 + _STAGE_SEED, nil_share=nil_share, models=models
    )
    scores: dict[str, list[float]] = {decision.value: [] for decision in Decision}
    for start in range(0, len(labelled), _BATCH):
        progress(start / len(labelled))
        chunk = labelled[start : start + _BATCH]
        answers = resolver.resolve_many([item.listing for item in chunk])
        for item, answer in zip(chunk, answers, strict=True):
            outcomes = outcome_probabilities(answer.candidates)
            truth = NO_MATCH if item.model is None else item.model
            scores[answer.decision].append(nonconformity(outcomes, truth))
    return CandidateSets.from_scores(scores, seed=seed)
