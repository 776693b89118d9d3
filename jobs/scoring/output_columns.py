"""The columns of a scored file: the input's under their own names, then the answers."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from jobs.scoring.explanations import EXPLANATION_FIELD
from rerank.resolution_table import CANDIDATE_SET_FIELD, OUTPUT_SCHEMA


def answer_schema(
    coverage: float | None = None, *, only_decisions: bool = False, explained: bool = False
) -> pa.Schema:
    """Return the columns a resolved row gets; that of candidate sets notes their coverage.

    :param only_decisions: leave the list of candidates out.
    :param explained: add the features that decided.
    """
    schema = OUTPUT_SCHEMA
    if only_decisions:
        schema = schema.remove(schema.get_field_index("candidates"))
    if coverage is not None:
        schema = schema.append(CANDIDATE_SET_FIELD.with_metadata({"coverage": f"{coverage:g}"}))
    return schema.append(EXPLANATION_FIELD) if explained else schema


def renamed_columns(names: Sequence[str], added: pa.Schema = OUTPUT_SCHEMA) -> dict[str, str]:
    """Return new names for input columns whose names the output needs (model -> input_model).

    Where the input has an ``input_model`` as well, that keeps its name, and ``model`` becomes
    ``input_input_model``: a column gives way only to the answers.
    """
    taken = {*names, *added.names}
    renamed = {}
    for name in names:
        if name in added.names:
            new = f"input_{name}"
            while new in taken:
                new = f"input_{new}"
            taken.add(new)
            renamed[name] = new
    return renamed


def output_schema(source: pa.Schema, added: pa.Schema = OUTPUT_SCHEMA) -> pa.Schema:
    """Return the columns of the output: the input's, renamed where they collide, then ours."""
    renamed = renamed_columns(source.names, added)
    kept = [column.with_name(renamed.get(column.name, column.name)) for column in source]
    return pa.schema([*kept, *added])
