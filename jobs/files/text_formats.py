"""Rows of text and of workbooks: unpacked, in any encoding, between any delimiters."""

from __future__ import annotations

import atexit
import codecs
import io
import json
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime, time, timedelta
from itertools import islice
from pathlib import Path
from typing import IO, Any

from rerank.index.errors import InputError, require
from rerank.index.rows import (
    MOST_CELL_CHARS,
    UTF8,
    PlacedRow,
    delimiter_of,
    encoding_of,
    unpacked,
    unreadable,
)
from rerank.jobs.files.places import Fetched, Place

PACKED = ".gz"
Source = Place | Fetched
_SAMPLE_LINES = 50
_SHOWN = 40  # characters of a line
_KINDS = {
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    type(None): "null",
}
_MOST_JSON_BYTES = 256 << 20  # of a file that is one array, which is held whole
_MOST_SHEET_BYTES = 2 << 30  # of a workbook when it is unpacked
_BLOCK_BYTES = 1 << 20


def kind_words(value: Any) -> str:
    """Return what a value of JSON is, in words."""
    return _KINDS.get(type(value), "an object")


def opened(source: Source) -> IO[bytes]:
    """Open a file of text to be read from its start, unpacked if its name says that it is packed.

    :raises InputError: while it is read, if it is packed and damaged.
    """
    place = source.place if isinstance(source, Fetched) else source
    stream = source.stream()
    return unpacked(stream, source) if _packed(place) else stream


def _packed(place: Place) -> bool:
    return place.name.lower().endswith(PACKED)


def text_encoding(source: Source, asked: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the encoding of a file of text, and what to say where nobody asked for it.

    :param asked: by the user; None lets the file say.
    :raises InputError: if there is no encoding of that name.
    """
    if asked is not None:
        return checked_encoding(asked), ()
    encoding, why = encoding_of(lambda: opened(source))
    if encoding == UTF8:
        return UTF8, ()
    said = f"{why}: read as {encoding}" if why else f"read as {encoding}"
    return encoding, (f"{source}: {said}; give --encoding if letters look wrong",)


def checked_encoding(name: str) -> str:
    """Return the encoding that a person means.

    :raises InputError: if there is none of that name, or it is none of text.
    """
    with suppress(LookupError):
        if (found := codecs.lookup(name)).name == "utf-8":
            return UTF8
        if found._is_text_encoding:
            return name
    raise InputError(
        f"encoding {name!r:.40}: expected one such as utf-8, utf-16, windows-1252 or gb18030"
    )


def text_lines(source: Source, encoding: str) -> Iterator[bytes]:
    """Yield the lines of a file of text in UTF-8; bytes that are no such text as they are."""
    with opened(source) as stream:
        if encoding == UTF8:
            yield from stream
        else:
            with io.TextIOWrapper(stream, encoding, "replace", newline="\n") as text:
                yield from (line.encode("utf-8", "replace") for line in text)


def delimiter_in(source: Source, encoding: str, fits: Callable[[list[str]], bool]) -> str:
    """Return what separates the cells of a CSV file.

    That is the comma, unless the header lacks columns by it and has them by another.

    :param fits: whether a header has the columns that are read.
    """
    errors = "replace"
    with io.TextIOWrapper(opened(source), encoding, errors, newline="") as text:
        lines = list(islice(text, _SAMPLE_LINES))
    header = next((line for line in lines if line.strip()), "").rstrip("\r\n")
    if fits(_cells(header, ",")):
        return ","
    found = delimiter_of(lines) if len(_cells(header, ",")) < 2 else ","
    return next((each for each in ";\t|" if fits(_cells(header, each))), found)


def _cells(header: str, delimiter: str) -> list[str]:
    return [cell.strip('"') for cell in header.split(delimiter)]


def json_rows(source: Source, encoding: str) -> Iterator[PlacedRow]:
    """Yield the objects of JSON lines, or of a file that is one array of them.

    :raises InputError: if an array is damaged, or too large to be held whole.
    """
    if source_suffix(source) == ".json" and (array := _array(source, encoding)) is not None:
        for number, value in enumerate(array, 1):
            fault = None if isinstance(value, dict) else kind_words(value)
            yield PlacedRow(number, _sound(value) if fault is None else value, fault)
        return
    for number, line in enumerate(text_lines(source, encoding), 1):
        if line.strip():
            yield _json_row(number, line)


def _array(source: Source, encoding: str) -> list[Any] | None:
    """Return the array that a file is; None if it does not begin as one."""
    with opened(source) as stream:
        head = stream.read(_SHOWN)
        if not head.decode(encoding, "ignore").lstrip().startswith("["):
            return None
        content = head + stream.read(_MOST_JSON_BYTES)
        if stream.read(1):
            raise InputError(
                f"{source}: expected an array of at most {_MOST_JSON_BYTES >> 20} MB, found more; "
                "write JSON lines, an object a line"
            )
    try:
        found: list[Any] = json.loads(content.decode(encoding))
    except (ValueError, RecursionError) as exc:
        raise unreadable(source, "JSON", exc) from exc
    return found


def source_suffix(source: Source) -> str:
    """Return the ending of a file's name in small letters, without that of packed ones."""
    place = source.place if isinstance(source, Fetched) else source
    return place.suffix.removesuffix(PACKED)


def _sound(row: dict[str, Any]) -> dict[str, Any]:
    return {key.encode("utf-8", "replace").decode(): row[key] for key in row}


def _json_row(number: int, line: bytes) -> PlacedRow:
    try:
        text = line.strip().decode(UTF8 if number == 1 else "utf-8")
        if len(text) > MOST_CELL_CHARS:
            told = f"{len(text):,} characters, of which {MOST_CELL_CHARS:,} are the most"
            return PlacedRow(number, text, told)
        row = json.loads(text)
        if isinstance(row, dict):
            return PlacedRow(number, _sound(row))
        found = kind_words(row)
    except UnicodeDecodeError as exc:
        found = f"text that is no UTF-8 ({exc.object[exc.start]:#04x} at byte {exc.start + 1})"
    except json.JSONDecodeError as exc:
        found = f"what is no JSON (character {exc.pos + 1}: {exc.msg.removesuffix(' at')})"
    except (ValueError, RecursionError):
        found = "a number too long, or lists too deep, to be read"
    text = line.decode("utf-8", "replace").strip()
    return PlacedRow(number, text, f"{found}: {text[:_SHOWN]}")


def workbook_rows(source: Source) -> Iterator[PlacedRow]:
    """Yield the rows of a workbook's first sheet as objects, by the names in its first row.

    Dates and times are text in ISO 8601.

    :raises MissingExtraError: if openpyxl is not installed.
    :raises InputError: if it is no workbook, has no names of columns, or is too large.
    """
    require("tables", f"{source}: a workbook", "openpyxl")
    from openpyxl import load_workbook

    with source.file() as stream:
        try:
            with zipfile.ZipFile(stream) as packed:
                size = sum(info.file_size for info in packed.infolist())
            if size > _MOST_SHEET_BYTES:
                raise InputError(
                    f"{source}: expected a workbook of at most {_MOST_SHEET_BYTES >> 30} GB when "
                    f"unpacked, found {size / (1 << 30):.1f}; save it as CSV"
                )
            stream.seek(0)
            book = load_workbook(stream, read_only=True, data_only=True)
            sheet = book.worksheets[0]
            sheet.reset_dimensions()  # some writers state too few
            yield from _sheet_rows(source, sheet.iter_rows(values_only=True))
        except (zipfile.BadZipFile, KeyError, IndexError, ValueError, SyntaxError, OSError) as exc:
            if isinstance(exc, InputError):
                raise
            raise unreadable(source, "a workbook", exc) from exc


def _sheet_rows(source: Source, rows: Iterator[tuple[Any, ...]]) -> Iterator[PlacedRow]:
    names: list[str] = []
    for number, cells in enumerate(rows, 1):
        values = [_cell(value) for value in cells]
        while values and values[-1] is None:
            values.pop()
        if not values:
            continue
        if not names:
            names = ["" if value is None else str(value).strip() for value in values]
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise InputError(
                    f"{source}: expected a name of its own over each column of the first sheet, "
                    f"found twice or missing {', '.join(map(repr, twice))}; name them"
                )
        elif len(values) > len(names):
            wrong = f"{len(values)} cells under {len(names)} names"
            yield PlacedRow(number, values, wrong)
        else:
            values += [None] * (len(names) - len(values))
            yield PlacedRow(number, dict(zip(names, values, strict=True)))


def _cell(value: Any) -> Any:
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    return value if value != "" else None


_READ_BY_ALL = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
_ROWS_OF_A_SAMPLE = 2_000


@contextmanager
def plain_sample(place: Place) -> Iterator[Path | None]:
    """Yield a file with a place's first rows in a format that all readers know; None if away.

    :raises InputError: if it cannot be read.
    """
    if place.local is None or not place.local.is_file() or place.suffix in _READ_BY_ALL:
        yield place.local if place.local is not None and place.local.is_file() else None
        return
    inner = source_suffix(place)
    with tempfile.TemporaryDirectory(prefix="rerank-") as folder:
        sample = Path(folder) / f"{place.name}{'.jsonl' if inner in ('.json', '.xlsx') else inner}"
        with sample.open("wb") as file:
            if inner in (".csv", ".tsv"):
                with opened(place) as lines:
                    file.writelines(islice(lines, _ROWS_OF_A_SAMPLE))
            else:
                rows = workbook_rows(place) if inner == ".xlsx" else json_rows(place, UTF8)
                found = (row.content for row in rows if row.fault is None)
                lines_of = (json.dumps(row) for row in islice(found, _ROWS_OF_A_SAMPLE))
                file.writelines(f"{line}\n".encode() for line in lines_of)
        yield sample


def kept_input(stream: IO[bytes]) -> Path:
    """Keep what comes in by a pipe, until the process ends, in a file named by what it holds.

    :raises InputError: if nothing comes.
    """
    folder = tempfile.mkdtemp(prefix="rerank-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    raw = Path(folder) / "standard input"
    with raw.open("wb") as file:
        shutil.copyfileobj(stream, file, _BLOCK_BYTES)
    with raw.open("rb") as file:
        head = file.read(_BLOCK_BYTES)
    if not head:
        raise InputError("standard input: expected listings, found nothing; pipe a file into it")
    return raw.rename(raw.with_name(raw.name + sniffed_ending(head)))


def sniffed_ending(head: bytes) -> str:
    """Return what the name of a file that begins so would end in."""
    if head.startswith(b"\x1f\x8b"):
        with suppress(OSError, EOFError, zlib.error):
            inside = zlib.decompressobj(wbits=31).decompress(head, 1 << 12)
            return sniffed_ending(inside) + PACKED
    if head.startswith(b"PAR1"):
        return ".parquet"
    if head.startswith(b"PK\x03\x04"):
        return ".xlsx"
    encoding, _ = encoding_of(lambda: io.BytesIO(head[: head.rfind(b"\n") + 1] or head))
    text = head.decode(encoding, "ignore").lstrip()
    return ".json" if text.startswith("[") else ".jsonl" if text.startswith("{") else ".csv"
