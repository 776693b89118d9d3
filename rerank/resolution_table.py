"""Resolutions as Arrow columns: what `rerank score` writes and the store keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from rerank.resolution import DECISIONS, Decision

if TYPE_CHECKING:
    from rerank.answers import Answers
    from rerank.resolution import Resolution
    from rerank.retrieval import ModelTable

_CANDIDATE = pa.struct(
    [
        ("gpu_id", pa.string()),
        ("model", pa.string()),
        ("memory_gb", pa.float64()),
        ("form_factor", pa.string()),
        ("similarity", pa.float64()),
        ("score", pa.float64()),
        ("probability", pa.float64()),
    ]
)
OUTPUT_SCHEMA = pa.schema(
    [
        ("gpu_id", pa.string()),
        ("model", pa.string()),
        ("memory_gb", pa.float64()),
        ("form_factor", pa.string()),
        ("match_probability", pa.float64()),
        ("margin", pa.float64()),
        ("decision", pa.string()),
        ("reason", pa.string()),
        ("candidates", pa.list_(_CANDIDATE)),
        ("model_version", pa.string()),
        ("index_version", pa.string()),
    ]
)
"""The columns a resolved row gets, in this order, after all columns of the input."""

CANDIDATE_SET_FIELD = pa.field("candidate_set", pa.list_(pa.string()))
"""The column after those, where candidate sets are asked for: models, or "no match"."""


@dataclass(frozen=True, slots=True)
class RegistryColumns:
    """The registry's columns that answers show, in its order, to be taken by row.

    :param values: arrays of shape (records,), by the names of the output's columns.
    """

    values: dict[str, pa.Array]

    @classmethod
    def of(cls, table: ModelTable) -> RegistryColumns:
        """Return the columns of a registry."""
        return cls(
            {
                name: pa.array(
                    [getattr(record, name) for record in table.records], _CANDIDATE.field(name).type
                )
                for name in ("gpu_id", "model", "memory_gb", "form_factor")
            }
        )

    def table(self, answers: Answers, *, model_version: str, index_version: str) -> pa.Table:
        """Return answers as a table of `OUTPUT_SCHEMA`."""
        filled = np.diff(answers.offsets) > 0
        best = np.zeros(len(answers), np.int64)
        best[filled] = answers.record[answers.offsets[:-1][filled]]
        shown = pa.array(best, mask=~filled)
        refused = answers.decision == DECISIONS.index(Decision.NO_MATCH)
        columns = {name: values.take(shown) for name, values in self.values.items()}
        columns["gpu_id"] = self.values["gpu_id"].take(pa.array(best, mask=~filled | refused))
        names = pa.array([decision.value for decision in DECISIONS])
        columns |= {
            "match_probability": pa.array(answers.match_probability),
            "margin": pa.array(answers.margin),
            "decision": names.take(pa.array(answers.decision)),
            "reason": pa.array(answers.reason, pa.string()),
            "candidates": self._candidates(answers),
            "model_version": pa.repeat(pa.scalar(model_version), len(answers)),
            "index_version": pa.repeat(pa.scalar(index_version), len(answers)),
        }
        return pa.table([columns[name] for name in OUTPUT_SCHEMA.names], schema=OUTPUT_SCHEMA)

    def _candidates(self, answers: Answers) -> pa.Array:
        row = pa.array(answers.record)
        fields = {name: values.take(row) for name, values in self.values.items()}
        for name in ("similarity", "score", "probability"):
            fields[name] = pa.array(getattr(answers, name))
        ordered = [fields[part.name] for part in _CANDIDATE]
        struct = pa.StructArray.from_arrays(ordered, fields=list(_CANDIDATE))
        return pa.ListArray.from_arrays(pa.array(answers.offsets, pa.int32()), struct)


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
