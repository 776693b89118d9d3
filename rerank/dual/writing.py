"""Write scored queries as JSON lines, one a query; vectors that candidates share stand once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.dual.scored_set import ScoredSet

_DIGITS = 4  # of a component: a cosine is off by 1e-4 at most


class ScoredLines:
    """Writes sets in turn; remembers which vectors stand in a line already.

    :param share_vectors: a candidate's vectors are named by its id and written once: right where
        a candidate, such as a GPU, is that of many queries.
    """

    def __init__(self, *, share_vectors: bool = False) -> None:
        self._share = share_vectors
        self._written: set[str] = set()

    def lines(self, scored: ScoredSet) -> Iterator[str]:
        """Yield the lines of a set, each with its newline."""
        for number in range(scored.n_queries):
            rows = range(scored.offsets[number], scored.offsets[number + 1])
            candidates = []
            for row in rows:
                vectors: dict[str, Any] = {}
                for name, own in scored.candidate_vectors.items():
                    vector = _plain(own[row])
                    if self._share and vector is not None:
                        vector_id = f"{name}:{scored.candidate_id[row]}"
                        if vector_id not in self._written:
                            self._written.add(vector_id)
                            yield _line({"vector_id": vector_id, "vector": vector})
                        vectors[name] = vector_id
                    else:
                        vectors[name] = vector
                candidates.append(_candidate(scored, row, vectors))
            yield _line(
                {
                    "query_id": scored.query_id[number],
                    "canonical_id": scored.canonical_id[number],
                    "domain": scored.domain[number],
                    "text": scored.text[number],
                    "query_embeddings": {
                        name: _plain(own[number]) for name, own in scored.query_vectors.items()
                    },
                    "candidates": candidates,
                }
            )


def _candidate(scored: ScoredSet, row: int, vectors: dict[str, Any]) -> dict[str, Any]:
    values = scored.features[row].tolist()
    return {
        "candidate_id": scored.candidate_id[row],
        "compliance": round(float(scored.compliance[row]), _DIGITS),
        "conflict": round(float(scored.conflict[row]), _DIGITS),
        "features": {
            name: None if value != value else float(f"{value:.6g}")
            for name, value in zip(scored.feature_names, values, strict=True)
        },
        "embeddings": vectors,
    }


def _plain(vector: NDArray[np.float32]) -> list[float] | None:
    if np.isnan(vector).any():
        return None
    return [round(value, _DIGITS) for value in vector.astype(np.float64).tolist()]


def _line(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"
