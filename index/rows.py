"""Read the rows of files, each with its line, and say what is wrong with those that are none.

CSV and parquet may be of any columns; a line of JSON is an object. Text is UTF-8.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import yaml

from rerank.index.errors import FaultsError, InputError, not_utf8_text, undecodable

if TYPE_CHECKING:
    import pyarrow as pa

    FastSafeLoader = yaml.SafeLoader
else:
    FastSafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_SHOWN_CHARS = 60
TEXT_TYPES = ("null", "string", "large_string", "string_view")
"""The types of Arrow that hold text or nothing, in words."""
Hook = Callable[[list[tuple[str, Any]]], Any]


class PlacedRow(NamedTuple):
    """A row that is not blank: its place, what it holds, and what is wrong with it.

    :param line: that it ends on, from 1.
    :param content: the cells of CSV, an object of JSON, or the text that is none.
    :param fault: what is no UTF-8 or no JSON; there are replacement characters in its place.
    """

    line: int
    content: Any
    fault: str | None = None


def csv_rows(
    stream: IO[bytes], source: object, *, delimiter: str = ",", encoding: str = "utf-8-sig"
) -> Iterator[PlacedRow]:
    """Yield the rows of CSV, the header among them.

    Stray quotes inside a cell are text: sellers write 24" and "new". A quote that opens a cell
    and swallows the rest of the file is a fault.

    :param source: named in errors.
    :param encoding: another than UTF-8 where the caller knows it.
    :raises InputError: if such a quote is never closed, or the text is no CSV.
    """
    csv.field_size_limit(sys.maxsize)  # a cell of any length is a bad row, not a bad file
    held: list[str] = []

    def recorded() -> Iterator[str]:
        # a byte that is no UTF-8 becomes half a surrogate pair, which UTF-8 cannot hold
        with io.TextIOWrapper(stream, encoding, "surrogateescape", newline="") as text:
            for line in text:
                held.append(line)
                yield line

    reader = csv.reader(recorded(), delimiter=delimiter)
    last: list[str] = []
    try:
        for row in reader:
            last = held.copy()
            held.clear()
            if row:
                yield _checked(PlacedRow(reader.line_num, row))
        if len(last) > 1 and _stays_open(last):
            opened = reader.line_num - len(last) + 1
            raise csv.Error(f"a quote opened on line {opened} is never closed")
    except csv.Error as exc:
        raise unreadable(source, "CSV", exc) from exc


def _stays_open(lines: list[str]) -> bool:
    try:
        list(csv.reader(lines, strict=True))
    except csv.Error as exc:
        return "end of data" in str(exc)
    return False


def _checked(row: PlacedRow) -> PlacedRow:
    """Return a row with replacement characters and its fault, if it is no UTF-8."""
    text = "".join(row.content)
    try:
        if text.isascii() or text.encode():
            return row
    except UnicodeEncodeError:
        pass
    raw = [cell.encode("utf-8", "surrogateescape") for cell in row.content]
    try:
        b",".join(raw).decode()
        found = ""
    except UnicodeDecodeError as exc:
        found = f", found {exc.object[exc.start]:#04x}"
    cells = [cell.decode("utf-8", "replace") for cell in raw]
    return PlacedRow(row.line, cells, f"line {row.line}: expected UTF-8 text{found}")


def read_csv(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the line and the cells of each row, the header first.

    :raises InputError: if the file cannot be read, is no CSV, or a row is no UTF-8.
    """
    try:
        with path.open("rb") as stream:
            for row in csv_rows(stream, path):
                if row.fault is not None:
                    raise InputError(not_utf8_text(path))
                yield row.line, row.content
    except OSError as exc:
        raise InputError(f"{path}: cannot be read: {exc.strerror}") from exc


def read_parquet(path: Path, wanted: Container[str] | None = None) -> tuple[list[str], pa.Table]:
    """Return the names of a file's columns and the rows of those that are wanted, in its order.

    :param wanted: None for all.
    :raises InputError: if it is no parquet, or text in it is no UTF-8.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            table = file.read([name for name in names if wanted is None or name in wanted])
        table.validate(full=True)  # text that is no UTF-8, wherever it stands
    except (pa.ArrowException, OSError, UnicodeDecodeError) as exc:
        raise unreadable(path, "parquet", exc) from exc
    return names, table.replace_schema_metadata()


def unreadable(source: object, kind: str, exc: Exception) -> InputError:
    """Return the error for a file that is not what its name says."""
    first_line = str(exc).splitlines()[0] if str(exc) else type(exc).__name__
    return InputError(f"{source}: not readable as {kind} ({first_line}); write the file again")


def json_objects(
    lines: Iterable[bytes], hook: Hook | None = None
) -> Iterator[tuple[int, dict[str, Any] | InputError]]:
    """Yield the number of each line that is not blank and its object, or why it holds none.

    :param hook: makes an object of its pairs; a ValueError of it is a fault of the line.
    """
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield number, _object(line, hook)
            except InputError as exc:
                yield number, exc


def _object(line: bytes, hook: Hook | None) -> dict[str, Any]:
    try:
        text = line.decode("utf-8-sig").strip()
        found = json.loads(text, object_pairs_hook=hook)
        why = ""
    except UnicodeDecodeError as exc:
        raise InputError(undecodable(exc)) from exc
    except (ValueError, RecursionError) as exc:
        found, why = None, f" ({exc})"
    if not isinstance(found, dict):
        raise InputError(f"expected a JSON object, found {shortened(text)!r}{why}")
    return found


def shortened(text: str) -> str:
    """Return the beginning of a text, for messages."""
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."


class LinesTaken(NamedTuple):
    """What there was in a file beside the objects that were taken.

    :param lines: those that are not blank.
    :param faults: of those that were left out, each with its line.
    :param sha256: of the file.
    """

    lines: int
    faults: tuple[str, ...]
    sha256: str


def first_faults(faults: Sequence[str], most: int = 5) -> list[str]:
    """Return the first few of the lines' faults, and how many more there are."""
    rest = len(faults) - most
    return [*faults[:most], *([f"and {rest} more such lines"] if rest > 0 else [])]


def read_json_lines(
    path: Path, take: Callable[[dict[str, Any]], None], *, bad_share: float = 0.0, told: str = ""
) -> LinesTaken:
    """Hand each line's object over; lines that hold none, or are not taken, are left out.

    :param take: raises an InputError for an object that is not what it takes.
    :param bad_share: of the lines that may be left out, 0 to 1.
    :param told: what is said if more are, with ``{bad}``, ``{lines}`` and ``{share}``.
    :raises FaultsError: if more are left out; with all of them, each with its line.
    :raises InputError: if the file cannot be read.
    """
    digest, lines, faults = hashlib.sha256(), 0, []

    def hashed(stream: IO[bytes]) -> Iterator[bytes]:
        for line in stream:
            digest.update(line)
            yield line

    try:
        with path.open("rb") as stream:
            for number, found in json_objects(hashed(stream)):
                lines += 1
                try:
                    if isinstance(found, InputError):
                        raise found
                    take(found)
                except InputError as exc:
                    faults.append(f"line {number}: {exc}")
    except OSError as exc:
        raise InputError(f"{path}: cannot be read: {exc.strerror}") from exc
    if len(faults) > bad_share * lines:
        words = told.format(bad=len(faults), lines=lines, share=bad_share)
        raise FaultsError(f"{path}: {words}" if words else str(path), faults)
    return LinesTaken(lines, tuple(faults), digest.hexdigest())
