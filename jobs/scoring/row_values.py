"""Values of any Arrow type as what JSON can hold, the same whatever else is installed.

pyarrow makes pandas' objects of nanoseconds where it finds pandas, and fails where it does not;
Python's own dates end with the year 9999. So times become text before they are taken from Arrow.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa


def json_values(column: pa.ChunkedArray) -> list[Any]:
    """Return the values of a column; times as text, bytes with replacement characters.

    Where Arrow cannot write a type as text, such as times of a zone that it does not know, a value
    is the name of its type.
    """
    kind = column.type
    try:
        return [
            _without_bytes(value) for value in column.cast(_with_times_as_text(kind)).to_pylist()
        ]
    except (pa.ArrowException, ValueError, OverflowError):
        return [f"<{kind}>" if there else None for there in column.is_valid().to_pylist()]


def _with_times_as_text(kind: pa.DataType) -> pa.DataType:
    types = pa.types
    if types.is_temporal(kind):
        return pa.string()
    if types.is_dictionary(kind):
        return _with_times_as_text(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return pa.large_list(_with_times_as_text(kind.value_type))
    if types.is_struct(kind):
        return pa.struct([field.with_type(_with_times_as_text(field.type)) for field in kind])
    if types.is_map(kind):
        return pa.map_(_with_times_as_text(kind.key_type), _with_times_as_text(kind.item_type))
    return kind


def _without_bytes(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, dict):
        return {key: _without_bytes(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_bytes(inner) for inner in value]
    return value
