"""The dual-objective model as a ranker of GPU candidates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index.errors import MismatchError
from rerank.dual.gpu_candidates import GPU_VECTOR, LISTING_VECTOR
from rerank.dual.inputs import gap_to_best
from rerank.dual.model import REMEDY, DualModel, DualScores
from rerank.features import CANDIDATE_FEATURES
from rerank.ranking import RankingBatch

Floats = NDArray[np.float32]

_PAIR = f"(query.{LISTING_VECTOR},candidate.{GPU_VECTOR})"
_COSINE, _COSINE_GAP = f"cosine{_PAIR}", f"cosine_gap{_PAIR}"


class DualCandidateRanker:
    """Scores candidates of listings by a model that was trained on GPU data.

    Embeddings enter by their cosine alone, which retrieval has computed: one call of ONNX Runtime
    a batch, and no vector is read.

    :raises MismatchError: if the model reads inputs that candidates of listings do not have.
    """

    def __init__(self, model: DualModel) -> None:
        self._model = model
        self._columns = [_reader(each.name) for each in model.schema.inputs]

    @classmethod
    def load(cls, folder: Path) -> DualCandidateRanker:
        """Load a model folder.

        :raises ArtifactError: if it is missing or damaged.
        :raises MismatchError: if it was trained on other data than GPU candidates.
        """
        return cls(DualModel.load(folder))

    def score(self, batch: RankingBatch) -> Floats:
        return self.judge(batch).score.astype(np.float32)

    def judge(self, batch: RankingBatch) -> DualScores:
        """Return scores, calibrated chances of a conflict and, of each listing, the doubt."""
        inputs = np.empty((len(batch.features), len(self._columns)), np.float32)
        for at, read in enumerate(self._columns):
            inputs[:, at] = read(batch)
        return self._model.score_inputs(inputs, batch.candidates.offsets)


def _reader(name: str) -> Callable[[RankingBatch], Floats]:
    if name == _COSINE:
        return lambda batch: batch.candidates.similarity
    if name == _COSINE_GAP:
        return lambda batch: gap_to_best(batch.candidates.similarity, batch.candidates.offsets)
    if name in CANDIDATE_FEATURES:
        column = CANDIDATE_FEATURES.index(name)
        return lambda batch: batch.features[:, column]
    raise MismatchError(
        f"the dual ranker reads {name!r}, which candidates of listings do not have; train it on "
        f"the file that `rerank dual-data --gpu` writes, without embedding_products: `{REMEDY}`"
    )
