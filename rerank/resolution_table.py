"""Resolutions as Arrow columns: what `rerank score` writes and the store keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from rerank.resolver import Resolution

_CANDIDATE = pa.struct([
    ("gpu_id", pa.string()), ("model", pa.string()), ("memory_gb", pa.float64()),
    ("form_factor", pa.string()), ("similarity", pa.float64()), ("score", pa.float64()),
    ("probability", pa.float64()),
])  # fmt: skip
OUTPUT_SCHEMA = pa.schema([
    ("gpu_id", pa.string()), ("model", pa.string()), ("memory_gb", pa.float64()),
    ("form_factor", pa.string()), ("match_probability", pa.float64()), ("margin", pa.float64()),
    ("decision", pa.string()), ("reason", pa.string()), ("candidates", pa.list_(_CANDIDATE)),
    ("model_version", pa.string()), ("index_version", pa.string()),
])  # fmt: skip
"""The columns a resolved row gets, in this order, after all columns of the input."""

CANDIDATE_SET_FIELD = pa.field("candidate_set", pa.list_(pa.string()))
"""The column after those, where candidate sets are asked for: models, or "no match"."""


def answer_columns(answers: Sequence[Resolution]) -> list[pa.Array]:
    """Return resolutions as the columns of `OUTPUT_SCHEMA`."""
    columns = []
    for column in OUTPUT_SCHEMA:
        values: list[Any] = [getattr(answer, column.name) for answer in answers]
        if column.name == "candidates":
            columns.append(_candidate_column(values))
        else:
            columns.append(pa.array(values, column.type))
    return columns


def _candidate_column(answers: Sequence[Sequence[Any]]) -> pa.Array:
    """Build the list column from flat arrays: twelve times faster than from 80,000 dicts."""
    offsets = [0]
    for candidates in answers:
        offsets.append(offsets[-1] + len(candidates))
    flat = [candidate for candidates in answers for candidate in candidates]
    fields = [
        pa.array([getattr(candidate, part.name) for candidate in flat], part.type)
        for part in _CANDIDATE
    ]
    struct = pa.StructArray.from_arrays(fields, fields=list(_CANDIDATE))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), struct)
