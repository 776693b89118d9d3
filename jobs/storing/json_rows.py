"""Rows of JSON lines for the store, each value as text; what is no such row or value is a fault."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from index.file_faults import undecodable
from rerank.store.incoming import Kind

_TYPES: dict[Kind, tuple[type, ...]] = {
    Kind.KEY: (str, int),
    Kind.TEXT: (str,),
    Kind.NUMBER: (int, float, str),
    Kind.TIME: (str,),
    Kind.LIST: (list, str),
}
_SHOWN_CHARS = 60


class JsonRows:
    """The rows of a file of JSON lines, read once.

    :param columns: those that mean something.
    """

    def __init__(self, path: Path, columns: Mapping[str, Kind]) -> None:
        self._path = path
        self._columns = columns
        self.names: dict[str, None] = {}
        """All keys, in the order of their first use; there once the rows were read."""
        self.faults: list[tuple[int, str]] = []
        """(line, what is wrong), of rows that are left out and of values that are null."""
        self.null_cells: list[tuple[int, str]] = []
        """(line, column) of values that are null because they are faulty."""

    def __iter__(self) -> Iterator[tuple[int, Sequence[str | None]]]:
        """Yield the line of each row and its values, in the order of the columns."""
        with self._path.open("rb") as file:
            for line, content in enumerate(file, 1):
                row = self._row(line, content)
                if row is not None:
                    self.names.update(dict.fromkeys(row))
                    yield line, [self._cell(line, name, row.get(name)) for name in self._columns]

    def _row(self, line: int, content: bytes) -> dict[str, Any] | None:
        if not content.strip():
            return None
        try:
            text = content.decode("utf-8-sig" if line == 1 else "utf-8")
            row = json.loads(text, object_pairs_hook=_object_of_different_keys)
        except UnicodeDecodeError as exc:
            self.faults.append((line, undecodable(exc)))
            return None
        except (ValueError, RecursionError) as exc:
            self.faults.append((line, f"expected a JSON object, found {_cut(text)!r} ({exc})"))
            return None
        if not isinstance(row, dict):
            self.faults.append((line, f"expected a JSON object, found {_cut(text)!r}"))
            return None
        return row

    def _cell(self, line: int, name: str, value: Any) -> str | None:
        if value is None:
            return None
        text = json.dumps(value, ensure_ascii=False) if isinstance(value, list) else str(value)
        if not _fits(value, self._columns[name]):
            shown = _cut(json.dumps(value, ensure_ascii=True))
            wrong = f"{name} must be {self._columns[name].one}, got {shown}"
        elif not _is_unicode(text):
            shown = _cut(json.dumps(value, ensure_ascii=True))
            wrong = f"{name} holds half of a surrogate pair, which is no text: {shown}"
        else:
            return text
        self.faults.append((line, wrong))
        self.null_cells.append((line, name))
        return None


def _fits(value: Any, kind: Kind) -> bool:
    if isinstance(value, list) and kind is Kind.LIST:
        return all(isinstance(part, str) for part in value)
    return isinstance(value, _TYPES[kind]) and not isinstance(value, bool)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _object_of_different_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"a key stands there twice: {max(names, key=names.count)!r}")
    return dict(pairs)


def _cut(text: str) -> str:
    text = text.strip()
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
