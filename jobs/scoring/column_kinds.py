"""Which types of columns can be read as one: those of a kind, numbers widened, null with all."""

from __future__ import annotations

import re

NULL = "null"
"""The kind of a column that holds nothing; agrees with every other."""
_DICTIONARY = re.compile(r"dictionary<values=(.+), indices=\w+, ordered=\d>")
_KINDS = {
    "text": re.compile(r"string|large_string|string_view"),
    "number": re.compile(r"u?int\d+|halffloat|float|double"),
    "decimal": re.compile(r"decimal\d+\(.*\)"),
    "binary": re.compile(r"binary|large_binary|binary_view|fixed_size_binary\[\d+\]"),
    "date": re.compile(r"date(32\[day\]|64\[ms\])"),
    "time of day": re.compile(r"time(32|64)\[\w+\]"),
    "duration": re.compile(r"duration\[\w+\]"),
}
_TIMESTAMP = re.compile(r"timestamp\[\w+(?:, tz=(.+))?\]")


def column_kind(type_words: str) -> str:
    """Return the kind of an Arrow type, by its words: those of one kind can be read as one column.

    A timestamp's kind has its time zone; nested types are of a kind only if they are the same.

    :param type_words: ``str()`` of the type.
    """
    encoded = _DICTIONARY.fullmatch(type_words)
    if encoded:
        return column_kind(encoded[1])
    stamp = _TIMESTAMP.fullmatch(type_words)
    if stamp:
        return f"timestamp {stamp[1] or 'without time zone'}"
    for kind, pattern in _KINDS.items():
        if pattern.fullmatch(type_words):
            return kind
    return type_words


def agree(one: str, other: str) -> bool:
    """Return whether two types, in words, can be read as one column."""
    kinds = {column_kind(one), column_kind(other)}
    return len(kinds) == 1 or NULL in kinds
