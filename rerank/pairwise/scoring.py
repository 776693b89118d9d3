"""Run the exported scorer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.onnx_session import open_session
from rerank.pairwise.artifact import REMEDY
from rerank.pairwise.graphs import INPUT, INPUT_A, INPUT_B, SCORE, SCORE_DIFF

Floats = NDArray[np.float32]


class OnnxScorer:
    """An exported network over raw rows (`rerank.pairwise.feature_space`).

    :param where: what messages name.
    :param threads: of the session; one listing's rows take less than waking more would.
    :raises ImportError: if onnxruntime is not installed.
    :raises ArtifactError: if the content is no graph that it runs.
    """

    def __init__(self, content: bytes, *, where: str, threads: int = 1) -> None:
        self._session: Any = open_session(content, where=where, remedy=REMEDY, threads=threads)

    def score(self, rows: Floats) -> Floats:
        """Return scores, shape (rows,); equal rows get equal scores."""
        if not len(rows):
            return np.zeros(0, np.float32)
        (scores,) = self._session.run([SCORE], {INPUT: np.ascontiguousarray(rows, np.float32)})
        return np.asarray(scores, np.float32)


def score_differences(content: bytes, a: Floats, b: Floats, *, where: str) -> Floats:
    """Run the graph that compares on pairs of raw rows; return score_diff, shape (pairs,).

    :raises ArtifactError: if the content is no graph that onnxruntime runs.
    """
    session = open_session(content, where=where, remedy=REMEDY)
    (found,) = session.run([SCORE_DIFF], {INPUT_A: a, INPUT_B: b})
    return np.asarray(found, np.float32)
