"""Read embeddings by id from JSON lines: ``{"embedding_id": "vectors:p1", "embedding": [...]}``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index.errors import FaultsError, InputError
from rerank.pairwise.items import item_of

Floats = NDArray[np.float32]


def read_embeddings(path: Path) -> dict[str, Floats]:
    """Return vectors by id; their lengths may differ.

    :raises FaultsError: if lines are no embeddings, all of them at once.
    :raises InputError: if there are none.
    """
    found: dict[str, Floats] = {}
    faults: list[str] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                embedding_id, vector = _parsed(line)
            except InputError as exc:
                faults.append(f"line {number}: {exc}")
                continue
            if embedding_id in found:
                faults.append(f"line {number}: {embedding_id!r:.80} stands in an earlier line")
            found[embedding_id] = vector
    if faults:
        raise FaultsError(f"{path}", faults)
    if not found:
        raise InputError(f"{path}: expected an embedding a line, found none")
    return found


def _parsed(line: bytes) -> tuple[str, Floats]:
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as exc:
        raise InputError(f"expected a JSON object, found {line[:40]!r} ({exc})") from exc
    item = item_of(row)
    if item.embedding_id is None or item.embedding is None:
        raise InputError("expected an object with embedding_id and embedding")
    return item.embedding_id, item.embedding
