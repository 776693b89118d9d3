"""Ask everything that is measured about gold listings: the resolver, baselines, routes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from index.records import GpuRecord, Listing, Route
from rerank.evaluation.baselines import Baseline
from rerank.evaluation.failures import Failure
from rerank.evaluation.gold import GoldKind, GoldListing
from rerank.evaluation.outcomes import rank_of_models
from rerank.evaluation.recording import Answered
from rerank.evaluation.routes import N_CANDIDATES, RoutedRetriever, route_ranks
from rerank.resolver import Resolution

Progress = Callable[[str, float], None]

# Baselines are slow (WRatio: some 200 titles/s) and their figures need no more.
BASELINE_LISTINGS = 600
BASELINE_DEPTH = 10
ROUTE_SYSTEMS = {route: f"route {route.value}" for route in Route}
_BATCH = 500


class Resolves(Protocol):
    """What is evaluated: `rerank.resolver.Resolver`, or anything that answers like it."""

    def resolve(self, listing: Listing, *, top_k: int = 20) -> Resolution:
        """Resolve one listing."""

    def resolve_many(self, listings: Sequence[Listing], *, top_k: int = 20) -> Sequence[Resolution]:
        """Resolve listings, answers in their order."""


class CandidateSets(Protocol):
    """Makes candidate sets and holds them against the truth."""

    @property
    def level(self) -> float:
        """The coverage they promise."""

    def of(self, answer: Resolution) -> Sequence[str]:
        """Return the outcomes in the set of an answer."""

    def covers(self, found: Sequence[str], gold: GoldListing) -> bool:
        """Tell whether a set holds the truth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruments:
    """What an evaluation looks at besides the answers; each may be missing.

    :param records: the registry, for facts about models; ``registry_version`` names it.
    :param retriever: its routes are measured one by one.
    :param explain: finds why answers are wrong, given gold and answers.
    """

    records: Sequence[GpuRecord] = ()
    registry_version: str = ""
    baselines: Sequence[Baseline] = ()
    retriever: RoutedRetriever | None = None
    explain: Callable[[Sequence[GoldListing], Sequence[Resolution]], Sequence[Failure]] | None = (
        None
    )
    candidate_sets: CandidateSets | None = None


def resolve_all(
    resolver: Resolves, gold: Sequence[GoldListing], progress: Progress
) -> list[Resolution]:
    """Resolve gold listings in batches, answers in their order."""
    answers: list[Resolution] = []
    for start in range(0, len(gold), _BATCH):
        progress("resolving", start / len(gold))
        chunk = [item.listing for item in gold[start : start + _BATCH]]
        answers += resolver.resolve_many(chunk, top_k=N_CANDIDATES)
    return answers


def answered_set(
    name: str,
    gold: Sequence[GoldListing],
    answers: Sequence[Resolution],
    failures: Sequence[Failure],
    tools: Instruments,
    seed: int,
    progress: Progress,
) -> Answered:
    """Put answers together with what baselines, routes and candidate sets make of the listings."""
    matches = [item for item in gold if item.kind is GoldKind.MATCH]
    ranks = _baseline_ranks(matches, tools.baselines, seed, progress)
    if tools.retriever is not None:
        for route, system in ROUTE_SYSTEMS.items():
            found = route_ranks(tools.retriever, matches, route)
            ranks[system] = {
                item.listing_id: rank for item, rank in zip(matches, found, strict=True)
            }
    sets, covers = _candidate_sets(gold, answers, tools.candidate_sets)
    causes = {failure.listing_id: failure.cause.value for failure in failures}
    return Answered(name, gold, answers, causes, sets, covers, ranks)


def _candidate_sets(
    gold: Sequence[GoldListing], answers: Sequence[Resolution], maker: CandidateSets | None
) -> tuple[list[Sequence[str]], list[bool]]:
    """Return each listing's candidate set and whether it holds the truth; nothing without sets."""
    if maker is None:
        return [], []
    found = [maker.of(answer) for answer in answers]
    judged = [item.kind is not GoldKind.AMBIGUOUS for item in gold]
    covers = [
        known and maker.covers(names, item)
        for known, names, item in zip(judged, found, gold, strict=True)
    ]
    return found, covers


def _baseline_ranks(
    matches: Sequence[GoldListing], baselines: Sequence[Baseline], seed: int, progress: Progress
) -> dict[str, dict[str, float]]:
    """Ask the baselines about at most 600 of the matches, drawn once for all of them."""
    size = min(len(matches), BASELINE_LISTINGS)
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.choice(len(matches), size, replace=False)) if size else np.zeros(0, int)
    asked = [matches[row] for row in drawn.tolist()]
    ranks = {}
    for at, baseline in enumerate(baselines):
        progress(f"baseline {baseline.name}", at / len(baselines))
        ranked = baseline.rank([item.title for item in asked], BASELINE_DEPTH)
        ranks[baseline.name] = {
            item.listing_id: rank_of_models(models, item)
            for item, models in zip(asked, ranked, strict=True)
        }
    return ranks
