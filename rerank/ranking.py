"""What a ranker reads and gives: the protocols and batches between candidates and their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rerank.features.cues import CueHits
from rerank.index.lexicon import Lexicon
from rerank.index.name_evidence import CandidateBatch
from rerank.index.records import N_CANDIDATES, Listing, falling_order

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
ModelTable = Lexicon
"""The registry's models as arrays; of the lexicon, what rankers and features read."""


@dataclass(frozen=True, slots=True)
class RankingBatch:
    """Listings with their candidates, as a ranker may read them.

    :param features: shape (candidates, len(CANDIDATE_FEATURES)), rows as those of ``candidates``.
    :param table: the registry's records, which ``candidates.record`` counts in.
    """

    listings: Sequence[Listing]
    candidates: CandidateBatch
    features: Floats
    table: ModelTable


class Ranker(Protocol):
    """Orders the candidates of each listing.

    What calibrates and decides is trained on one ranker's scores and goes with no other.
    """

    def score(self, batch: RankingBatch) -> Floats:
        """Return raw scores, shape (candidates,); comparable within one listing only."""


class CandidateSource(Protocol):
    """Proposes candidates."""

    @property
    def table(self) -> ModelTable:
        """The models candidates come from."""

    def retrieve(
        self, listings: Sequence[Listing], *, n_candidates: int = N_CANDIDATES
    ) -> CandidateBatch:
        """Return up to ``n_candidates`` variants of each listing."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything computed on the way to the decisions of a batch; for training and explanation.

    :param scores: shape (candidates,), the ranker's raw scores.
    :param best: shape (listings,), row of each listing's best candidate, -1 if it has none.
    :param order: shape (candidates,), rows as `answer_order` gives them.
    """

    candidates: CandidateBatch
    features: Floats
    scores: Floats
    offers: Floats
    best: Ints
    order: Ints
    cues: CueHits


def model_scores(batch: CandidateBatch, scores: Floats) -> Floats:
    """Return the score of each candidate's model: that of its best candidate, (candidates,)."""
    best = np.full(int(batch.pair.max(initial=-1)) + 1, -np.inf, np.float32)
    np.maximum.at(best, batch.pair, scores)
    return best[batch.pair]


def answer_order(batch: CandidateBatch, table: ModelTable, scores: Floats) -> Ints:
    """Return the rows of candidates by listing and falling score of their model.

    Equal ones come by gpu_id. Whatever a ranker makes of the variants of a model, they follow each
    other by P(variant | model): a ranker is taught to tell models apart.

    :param scores: shape (candidates,), of their models.
    """
    return falling_order(batch.listing, scores, variant_order(batch, table))


def variant_order(batch: CandidateBatch, table: ModelTable) -> Ints:
    """Return what orders a listing's candidates whose models score alike, the lowest first.

    Shape (candidates,): models by gpu_id, and the variants of each by P(variant | model).
    """
    rank = table.model_tie_rank[table.model_of_record[batch.record]]
    return np.asarray(rank * (int(batch.place.max(initial=0)) + 1) + batch.place, np.int64)
