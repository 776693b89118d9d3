"""Serve a trained cross-encoder: ONNX Runtime and the `tokenizers` library, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.artifacts import Manifest, read_manifest
from index.errors import ArtifactError
from index.onnx_session import open_session
from rerank.cross_encoder.layout import FORMAT_VERSION, KIND, LAYOUT, REMEDY
from rerank.cross_encoder.pair_encoding import PairEncoder, TextPair

Floats = NDArray[np.float32]
_BATCH = 64


class CrossEncoderScorer:
    """Scores pairs of texts. Make one with `load`."""

    def __init__(self, session: Any, encoder: PairEncoder, manifest: Manifest) -> None:
        self._session, self._encoder, self._manifest = session, encoder, manifest

    @classmethod
    def load(cls, folder: Path, *, int8: bool = False, threads: int = 0) -> CrossEncoderScorer:
        """Load a folder that `rerank train-cross-encoder` wrote.

        :param int8: serve the graph with weights of 8 bits.
        :param threads: of ONNX Runtime; 0 for one on each core.
        :raises ArtifactError: if it is missing or damaged, or has no such graph.
        """
        manifest = read_manifest(folder, kind=KIND, format_version=FORMAT_VERSION, remedy=REMEDY)
        graph = LAYOUT.int8_graph if int8 else LAYOUT.graph
        for name in (graph, LAYOUT.tokenizer):
            if name not in manifest.files:
                hint = " with `export: {int8: true}`" if int8 else ""
                raise ArtifactError(f"{folder}: lacks {name}; run `{REMEDY}`{hint}")
        tokenizer_json = (folder / LAYOUT.tokenizer).read_text(encoding="utf-8")
        encoder = PairEncoder(tokenizer_json, **manifest.parameters["encoding"])
        return cls(open_graph(folder / graph, threads=threads), encoder, manifest)

    @property
    def version(self) -> str:
        """The identity of the model that scores."""
        return self._manifest.fingerprint

    @property
    def manifest(self) -> Manifest:
        """What the folder says of itself."""
        return self._manifest

    def score(self, pairs: Sequence[TextPair]) -> Floats:
        """Return a score for each pair, shape (pairs,): the higher, the better it fits the query.

        Scores of one query can be compared, others cannot. Equal pairs are scored once.
        """
        distinct = list(dict.fromkeys(pairs))
        found = graph_scores(self._session, self._encoder, distinct)
        place = {pair: at for at, pair in enumerate(distinct)}
        return found[[place[pair] for pair in pairs]]


def open_graph(path: Path, *, threads: int = 0) -> Any:
    """Open an exported graph.

    :param threads: of ONNX Runtime; 0 for one on each core.
    :raises ArtifactError: if it is none.
    """
    return open_session(path, where=str(path), remedy=REMEDY, threads=threads)


def graph_scores(session: Any, encoder: PairEncoder, pairs: Sequence[TextPair]) -> Floats:
    """Score pairs with an open graph, shape (pairs,); those of like length together."""
    inputs = {entry.name for entry in session.get_inputs()}
    order = sorted(range(len(pairs)), key=lambda at: sum(map(len, pairs[at])))
    found = np.zeros(len(pairs), np.float32)
    for start in range(0, len(pairs), _BATCH):
        rows = order[start : start + _BATCH]
        arrays = encoder.encode([pairs[row] for row in rows])
        feed = {name: array for name, array in arrays.items() if name in inputs}
        (scores,) = session.run(None, feed)
        found[rows] = np.asarray(scores, np.float32).reshape(-1)
    return found
