"""A pairwise network in the place of LambdaRank: it orders the candidates of listings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index.errors import MismatchError
from rerank.features import CANDIDATE_FEATURES
from rerank.pairwise.artifact import REMEDY
from rerank.pairwise.heuristic import heuristic_candidate_scores
from rerank.pairwise.ranker import PairwiseRanker, Provenance, TrainedScorer
from rerank.ranking import RankingBatch

Floats = NDArray[np.float32]


class PairwiseCandidateRanker:
    """A `rerank.ranking.Ranker` over the features of candidates.

    :param ranker: a network trained on pairs of ``gpu_candidate`` items without embeddings, or the
        heuristic.
    :raises MismatchError: if the network reads what candidates do not have.
    """

    def __init__(self, ranker: PairwiseRanker) -> None:
        self._ranker = ranker
        self._columns = _columns(ranker.trained) if ranker.trained is not None else None

    @classmethod
    def load(cls, folder: Path, *, name: str | None = None) -> PairwiseCandidateRanker:
        """Load a folder; without one, or without onnxruntime, the heuristic ranks.

        :raises ArtifactError: if the folder is damaged.
        :raises MismatchError: if its network reads what candidates do not have.
        """
        return cls(PairwiseRanker.load(folder, name=name))

    @property
    def provenance(self) -> Provenance:
        """What makes the scores."""
        return self._ranker.provenance

    def score(self, batch: RankingBatch) -> Floats:
        """Return raw scores, shape (candidates,); comparable within one listing only."""
        return self.score_features(batch.features)

    def score_features(self, features: Floats) -> Floats:
        """Return a score a row, shape (rows,), all rows in one run of the network.

        :param features: shape (rows, len(CANDIDATE_FEATURES)).
        """
        if self._ranker.trained is None:
            return heuristic_candidate_scores(features)
        rows = features if self._columns is None else features[:, self._columns]
        return self._ranker.trained.scorer.score(rows)


def _columns(trained: TrainedScorer) -> NDArray[np.int64] | None:
    """Return the columns that the network reads; None if they are all, in order."""
    if trained.embedding_dim:
        raise MismatchError(
            f"ranker {trained.name}: expected one that reads candidates' features only, found one "
            f"that reads embeddings of {trained.embedding_dim} as well; run `{REMEDY} "
            "--embedding-dim 0`"
        )
    unknown = [name for name in trained.metric_names if name not in CANDIDATE_FEATURES]
    if unknown:
        raise MismatchError(
            f"ranker {trained.name}: reads {', '.join(unknown[:6])}, which candidates of this "
            f"release do not have; run `{REMEDY}` on pairs of gpu_candidate items"
        )
    if trained.metric_names == CANDIDATE_FEATURES:
        return None
    return np.array([CANDIDATE_FEATURES.index(name) for name in trained.metric_names], np.int64)
