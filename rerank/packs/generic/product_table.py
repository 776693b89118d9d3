"""Read a file of products or listings as a table, whatever wrote it, and the amounts in its cells.

CSV of any delimiter and of the encodings that spreadsheets write, and JSON lines, packed by gzip or
not; parquet.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import islice
from math import isfinite, nan
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from rerank.index.errors import InputError, os_error_words
from rerank.index.rows import (
    TEXT_TYPES,
    csv_rows,
    delimiter_of,
    encoding_of,
    first_faults,
    json_objects,
    read_parquet,
    unpacked,
)
from rerank.prices import CURRENCIES, decimal_mark

if TYPE_CHECKING:
    import pyarrow as pa

_CHUNK_ROWS = 50_000
_SAMPLE_LINES = 50
ENDINGS = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".parquet")
_PACKED = ".gz"


@dataclass(frozen=True, slots=True)
class ProductTable:
    """The rows of a file.

    :param columns: texts where the file is text, any types where it is parquet.
    :param remarks: what was odd about the file, and what was done.
    :param n_dropped: rows that could not be read.
    """

    source: Path
    columns: pa.Table
    remarks: tuple[str, ...] = ()
    n_dropped: int = 0

    @property
    def names(self) -> list[str]:
        """The names of its columns."""
        return list(self.columns.column_names)

    def texts(
        self, name: str, rows: Sequence[int] | None = None, missing: Container[str] = ()
    ) -> list[str]:
        """Return a column as texts without space at the ends, "" where nothing stands.

        :param rows: those that are wanted, rising; all by default.
        :param missing: texts in lower case that say nothing.
        """
        import pyarrow as pa

        column = self.columns.column(name)
        if rows is not None:
            column = column.take(pa.array(rows, pa.int64()))
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if str(column.type) in TEXT_TYPES:
            texts = ["" if value is None else value.strip() for value in column.to_pylist()]
        else:
            texts = list(map(_text_of, column.to_pylist()))
        # brands and the like are kept once, not a million times
        once = {text: "" if text.lower() in missing else text for text in texts}
        return [once[text] for text in texts]


def _text_of(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, list | tuple):
        return ", ".join(filter(None, map(_text_of, value)))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value).strip()


def read_table(path: Path, *, most_rows: int | None = None) -> ProductTable:
    """Read a file.

    :param most_rows: the first rows, all by default.
    :raises InputError: if it cannot be read, has no rows, or columns of one name.
    """
    readers: dict[str, Callable[[Path, int | None], ProductTable]] = {
        ".parquet": _parquet_table,
        ".jsonl": _json_table,
        ".ndjson": _json_table,
    }
    ending = Path(path.name.lower().removesuffix(_PACKED)).suffix
    if ending not in ENDINGS or (_is_packed(path) and ending == ".parquet"):
        raise InputError(
            f"{path}: expected a file name ending in {', '.join(ENDINGS)}, found "
            f"{path.suffix or 'no ending'!r}; save a spreadsheet as CSV"
        )
    try:
        if not path.stat().st_size:
            raise InputError(f"{path}: expected rows, found an empty file; write it again")
        table = readers.get(ending, _csv_table)(path, most_rows)
    except OSError as exc:
        raise InputError(f"{path}: {os_error_words(exc)}") from exc
    if not table.columns.num_rows:
        raise InputError(f"{path}: expected rows, found only a header; write it again")
    twice = sorted(name for name, count in Counter(table.names).items() if count > 1)
    if twice:
        raise InputError(
            f"{path}: expected each column once, found twice {', '.join(twice)}; rename one"
        )
    return table


def _is_packed(path: Path) -> bool:
    return path.suffix.lower() == _PACKED


def _opened(path: Path) -> IO[bytes]:
    stream = path.open("rb")
    return unpacked(stream, path) if _is_packed(path) else stream


def _parquet_table(path: Path, most_rows: int | None) -> ProductTable:
    """Read parquet; the fields of structs stand as columns of names such as `specs.weight`."""
    import pyarrow as pa

    _, columns = read_parquet(path)
    while any(map(pa.types.is_struct, columns.schema.types)):
        columns = columns.flatten()
    return ProductTable(path, columns if most_rows is None else columns.slice(0, most_rows))


def _json_table(path: Path, most_rows: int | None) -> ProductTable:
    """Read JSON lines; values that are no text are written as text, lists with commas between."""
    columns: dict[str, list[str]] = {}
    n_rows, faults = 0, list[str]()
    with _opened(path) as stream:
        for line, found in json_objects(stream):
            if isinstance(found, InputError):
                faults.append(f"line {line}: {found}")
                continue
            for name, value in _flat(found):
                column = columns.setdefault(name, [])
                column.extend([""] * (n_rows - len(column)))
                column.append(_text_of(value))
            n_rows += 1
            if n_rows == most_rows:
                break
    if faults and not n_rows:
        raise InputError(f"{path}: {faults[0]}; write the file again")
    for column in columns.values():
        column.extend([""] * (n_rows - len(column)))
    return ProductTable(path, _arrow(list(columns), [list(columns.values())]), *_left_out(faults))


def _flat(found: Mapping[str, Any], parents: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of an object, those of objects in it under names such as `specs.weight`."""
    for name, value in found.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{parents}{name}.")
        else:
            yield f"{parents}{name}", value


def _csv_table(path: Path, most_rows: int | None) -> ProductTable:
    encoding, why = encoding_of(lambda: _opened(path))
    told = f"{path.name} is {why}: read as {encoding}; save it as UTF-8 if letters look wrong"
    remarks = (told,) if why else ()
    with TextIOWrapper(_opened(path), encoding, errors="replace", newline="") as text:
        delimiter = delimiter_of(list(islice(text, _SAMPLE_LINES)))
    faults: list[str] = []
    with _opened(path) as stream:
        rows = csv_rows(stream, path, delimiter=delimiter, encoding=encoding)
        header = next(rows, None)
        if header is None:
            raise InputError(f"{path}: expected rows, found only blank lines; write it again")
        names = [name.strip() or f"column {at}" for at, name in enumerate(header.content, 1)]

        def sound() -> Iterator[list[str]]:
            for line, cells, fault in rows:
                spare = len(names) - len(cells)
                if spare < 0 and not any(cells[spare:]):
                    cells = cells[:spare]
                if fault or len(cells) > len(names):
                    faults.append(fault or f"line {line}: {len(cells)} cells under {len(names)}")
                    continue
                yield [*cells, *[""] * spare] if spare > 0 else cells

        chunks, kept = [], islice(sound(), most_rows)
        while chunk := list(islice(kept, _CHUNK_ROWS)):
            chunks.append([list(column) for column in zip(*chunk, strict=True)])
    lost, n_dropped = _left_out(faults)
    return ProductTable(path, _arrow(names, chunks), (*remarks, *lost), n_dropped)


def _left_out(faults: Sequence[str]) -> tuple[tuple[str, ...], int]:
    if not faults:
        return (), 0
    shown = "; ".join(first_faults(faults, 3))
    return (f"{counted(len(faults), 'row')} unreadable, left out: {shown}",), len(faults)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in English."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _arrow(names: list[str], chunks: Sequence[Sequence[list[str]]]) -> pa.Table:
    import pyarrow as pa

    kind = pa.large_string()
    arrays = [
        pa.chunked_array([pa.array(chunk[at], kind) for chunk in chunks], kind)
        for at in range(len(names))
    ]
    return pa.Table.from_arrays(arrays, names)


class Amount(NamedTuple):
    """A number as a cell states it.

    :param value: NaN where the cell holds none.
    :param unit: what stands beside it, lower case: a unit, a currency, or any short word; "" for
        nothing.
    """

    value: float
    unit: str


NO_AMOUNT = Amount(nan, "")
_AMOUNT = re.compile(
    r"(?:(?:approx\.?|circa|ca\.?|env\.?)\s+|[~≈±]\s*)?(?P<before>[^\d\s.,+-]{1,4}\s?)?"
    r"(?P<number>[-+]?(?:\d{1,3}(?:['’\u00a0\u202f .,]\d{3})+(?!\d)|\d+)(?:[.,]\d+)?)"
    r"[.,]?\s*(?P<unit>[^\d\s.,].{0,19})?",
    re.IGNORECASE,
)
_SPACES = re.compile(r"['’\s]")


def amount_of(text: str, decimal: str = ".") -> Amount:
    """Return the number a cell states, and the unit or currency beside it.

    :param decimal: what stands before decimals, as `decimal_mark` found it.
    """
    found = _AMOUNT.fullmatch(text.strip())
    if found is None:
        return NO_AMOUNT
    digits = _SPACES.sub("", found["number"])
    other = "." if decimal == "," else ","
    before, behind = ((found[part] or "").strip().lower() for part in ("before", "unit"))
    if before and before not in CURRENCIES:
        return NO_AMOUNT
    try:
        value = float(digits.replace(other, "").replace(decimal, "."))
    except ValueError:  # two points: a version or a date
        return NO_AMOUNT
    return (
        Amount(value, behind.lstrip("-").rstrip(".").strip() or before)
        if isfinite(value)
        else NO_AMOUNT
    )


def amounts_of(texts: Sequence[str], known: Container[str]) -> list[Amount]:
    """Return the numbers of a column's cells; its own `decimal_mark` parts their decimals.

    :param known: units; of what else stands beside a number the first word counts if it is one,
        as in "10 x optical".
    """
    told = set(texts)
    mark = decimal_mark(sorted(told))
    found = {}
    for text in told:
        value, unit = amount_of(text, mark)
        first = unit.partition(" ")[0].strip(",;(")
        one = unit not in known and first in known and not any(map(str.isdigit, unit))
        found[text] = Amount(value, first if one else unit)
    return [found[text] for text in texts]


def unit_counts(amounts: Sequence[Amount]) -> Mapping[str, int]:
    """Return how often each unit stands beside the numbers of a column."""
    return Counter(amount.unit for amount in amounts if amount.value == amount.value)
