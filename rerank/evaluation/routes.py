"""Where the right model stands in what each retrieval route finds, before any ranking."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

from index.records import Listing, Route
from rerank.evaluation.gold import GoldListing
from rerank.evaluation.outcomes import rank_of_models
from rerank.retrieval import Candidates, ModelTable

N_CANDIDATES = 20
ROUTE_CUTOFFS = (1, 3, 10, 20)
_BATCH = 500


class RoutedRetriever(Protocol):
    """A retriever whose routes can be asked one by one."""

    @property
    def table(self) -> ModelTable:
        """The models candidates come from."""

    def retrieve(
        self, listings: Sequence[Listing], *, n_candidates: int = 20, route: Route = Route.FUSED
    ) -> Candidates:
        """Return up to ``n_candidates`` variants of each listing, best first."""


def route_ranks(
    retriever: RoutedRetriever, matches: Sequence[GoldListing], route: Route
) -> list[float]:
    """Return the place of the first right model of each listing, infinite if it is not found."""
    ranks: list[float] = []
    for start in range(0, len(matches), _BATCH):
        chunk = matches[start : start + _BATCH]
        batch = retriever.retrieve(
            [item.listing for item in chunk], n_candidates=N_CANDIDATES, route=route
        )
        names = [retriever.table.records[row].model for row in batch.record.tolist()]
        bounds = pairwise(batch.offsets.tolist())
        ranks += [
            rank_of_models(names[a:b], item) for (a, b), item in zip(bounds, chunk, strict=True)
        ]
    return ranks
