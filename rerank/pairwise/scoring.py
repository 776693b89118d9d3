"""Run the exported scorer. The only place of the package that imports onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.errors import ArtifactError
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
        self._session: Any = _session(content, where, threads)

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
    session = _session(content, where, 1)
    (found,) = session.run([SCORE_DIFF], {INPUT_A: a, INPUT_B: b})
    return np.asarray(found, np.float32)


def _session(content: bytes, where: str, threads: int) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # its own classes, which share no other base
        raise ArtifactError(
            f"{where}: expected an ONNX graph, found something onnxruntime does not run "
            f"({str(exc)[:200]}); train it anew with `rerank train-pairwise`"
        ) from exc
