"""Read the rows of files, each with its line, and say what is wrong with those that are none.

CSV and parquet may be of any columns; a line of JSON is an object. Text is UTF-8.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import json
import re
import sys
import zlib
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import yaml

from rerank.index.artifacts import open_regular, read_text
from rerank.index.errors import FaultsError, InputError, not_utf8_text, undecodable

if TYPE_CHECKING:
    import pyarrow as pa

    FastSafeLoader = yaml.SafeLoader
else:
    FastSafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_SHOWN_CHARS = 60
_SHOWN_NAMES = 20
_DEEPEST, _MOST_NODES = 50, 1_000_000  # of YAML: what people write has four levels
_LONGEST_NUMBER = 400  # digits; a float has 309
_BLOCK_BYTES = 1 << 20  # unpacked at once
UTF8 = "utf-8-sig"
"""The encoding of text that says nothing else, with a byte order mark or without."""
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


_STRAY_QUOTES_TO_THE_END = 100  # each costs a reading of all that follows
MOST_CELL_CHARS = 1_000_000
"""Of a cell: longer ones are no text that a person wrote, and take gigabytes by the thousand."""
_NO_QUOTE = "a quote that opens a cell swallows the lines after it"


def csv_rows(
    stream: IO[bytes], source: object, *, delimiter: str = ",", encoding: str = UTF8
) -> Iterator[PlacedRow]:
    """Yield the rows of CSV, the header among them.

    Stray quotes inside a cell are text: sellers write 24" and "new". A quote that opens a cell and
    swallows lines that look like rows makes its line a fault; those lines are rows.

    :param source: named in errors.
    :param encoding: another than UTF-8 where the caller knows it.
    :raises InputError: if such a quote is never closed and nothing after it looks like a row, or
        the text is no CSV.
    """
    csv.field_size_limit(sys.maxsize)  # a cell of any length is a bad row, not a bad file
    # a byte that is no UTF-8 becomes half a surrogate pair, which UTF-8 cannot hold
    errors = "surrogateescape" if encoding == UTF8 else "replace"
    with io.TextIOWrapper(stream, encoding, errors, newline="") as text:
        yield from map(_checked, _parsed(text, source, delimiter))


def _parsed(text: Iterable[str], source: object, delimiter: str) -> Iterator[PlacedRow]:
    """Yield rows; where a quote swallowed some, read on behind the line that it stands in."""
    rest, line, width, to_the_end = text, 0, 0, 0
    while True:
        held: list[str] = []
        reader = csv.reader(_kept(rest, held), delimiter=delimiter)
        lines: list[str] = []
        try:
            for row in reader:
                lines, held[:] = held.copy(), []
                if len(lines) > 1 and width and _has_swallowed(lines, width, delimiter):
                    break
                line += len(lines)
                width = width or len(row)
                if row:
                    yield PlacedRow(line, row)
            else:
                if len(lines) > 1 and _stays_open(lines, delimiter):
                    opened = line - len(lines) + 1
                    raise csv.Error(f"a quote opened on line {opened} is never closed")
                return
        except csv.Error as exc:
            raise unreadable(source, "CSV", exc) from exc
        to_the_end += _stays_open(lines, delimiter)
        if to_the_end > _STRAY_QUOTES_TO_THE_END:
            many = csv.Error(
                f"a quote opened on line {line + 1} is never closed, as many before it"
            )
            raise unreadable(source, "CSV", many)
        line += 1
        (cells,) = csv.reader(lines[:1], delimiter=delimiter)
        cells = [cell.rstrip("\r\n") for cell in cells]
        yield PlacedRow(line, cells, f"line {line}: {_NO_QUOTE}")
        rest = chain(lines[1:], rest)


def _kept(lines: Iterable[str], held: list[str]) -> Iterator[str]:
    for line in lines:
        held.append(line)
        yield line


def _has_swallowed(lines: Sequence[str], width: int, delimiter: str) -> bool:
    """Return whether lines that were read as one row are several, of which one opens a quote.

    They are where a line after the first has as many cells as the header, and its first cell looks
    like that of the first line. A description of several lines hardly has either.
    """
    if width < 2:  # any line looks like a row then
        return False
    first = next(csv.reader(lines[:1], delimiter=delimiter))[0]
    shape = _shape(first)
    for line in lines[1:]:
        cells = next(csv.reader([line], delimiter=delimiter), [])
        if width in (len(cells), line.count(delimiter) + 1) and _shape(cells[0]) == shape:
            return True
    return False


_RUNS = re.compile(r"(\d+)|[^\W\d_]+")


def _shape(cell: str) -> str:
    """Return a cell with each run of digits or of letters as one sign."""
    return _RUNS.sub(lambda run: "0" if run[1] else "a", cell.strip())


def _stays_open(lines: list[str], delimiter: str = ",") -> bool:
    try:
        list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error as exc:
        return "end of data" in str(exc)
    return False


_DELIMITERS = ",;\t|"
_DECODED_AT_ONCE = 1 << 20
_HIGH = 0x80  # the first byte that is no ASCII
_BOMS = {
    codecs.BOM_UTF32_LE: "UTF-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\f\r")
_LINES_LOOKED_AT = 100_000


def encoding_of(opened: Callable[[], IO[bytes]]) -> tuple[str, str]:
    """Return the encoding of a text, and, where it is guessed, what it is not.

    A text of which more lines are UTF-8 than not is UTF-8 with faulty lines.

    :param opened: opens it, to be read from its start.
    """
    with opened() as stream:
        block = stream.read(_DECODED_AT_ONCE)
        for mark, name in _BOMS.items():
            if block.startswith(mark):
                return name, ""
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            while block:
                decoder.decode(block)
                block = stream.read(_DECODED_AT_ONCE)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as exc:
            found = exc.object[exc.start]
        else:
            return UTF8, ""
    balance, bad = 0, bytearray()
    with opened() as stream:
        for line in islice((each for each in stream if not each.isascii()), _LINES_LOOKED_AT):
            try:
                line.decode()
                balance += 1
            except UnicodeDecodeError:
                balance -= 1
                bad += line
    old = _old_encoding_of(bytes(bad))
    if balance >= 0 or _CONTROLS & set(bad) or not _is_text(bytes(bad), old):
        return UTF8, ""
    return old, f"no UTF-8 (found {found:#04x})"


def _is_text(content: bytes, encoding: str) -> bool:
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return encoding != "Windows-1252" or "ÿ" not in text  # 0xff, which hardly a word has


def _old_encoding_of(head: bytes) -> str:
    """Return what a file that is no UTF-8 was likely written in: by the share of its letters.

    Where most letters are none of ASCII, the script is another than Latin: Chinese, whose pairs of
    bytes hardly any other text keeps to, or Cyrillic.
    """
    letters = [byte for byte in head if byte >= _HIGH or chr(byte).isalpha()]
    if sum(byte >= _HIGH for byte in letters) <= len(letters) / 2:
        return "Windows-1252"
    try:
        head.decode("gb18030")
    except UnicodeDecodeError:
        return "Windows-1251"
    return "GB18030"


def delimiter_of(lines: Sequence[str]) -> str:
    """Return what separates the cells: that which splits most lines into as many as the first."""

    def evenness(delimiter: str) -> tuple[int, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
        if not widths or widths[0] == 1:
            return 0, 0
        return sum(width == widths[0] for width in widths), widths[0]

    return max(_DELIMITERS, key=evenness)


def too_long(chars: int) -> str:
    """Say that a cell has too many characters."""
    return f"a cell of {chars:,} characters, expected at most {MOST_CELL_CHARS:,}"


def _checked(row: PlacedRow) -> PlacedRow:
    """Return a row with its fault, if it is no UTF-8, or has a cell that is too long."""
    text = "".join(row.content)
    if len(text) > MOST_CELL_CHARS and (longest := max(map(len, row.content))) > MOST_CELL_CHARS:
        return PlacedRow(row.line, row.content, f"line {row.line}: {too_long(longest)}")
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
        with open_regular(path) as stream:
            for row in csv_rows(stream, path):
                if row.fault is not None:
                    if row.fault.endswith(_NO_QUOTE):
                        told = f"{path}: {row.fault}; double the quote, or take it away"
                    elif "UTF-8" in row.fault:
                        told = not_utf8_text(path)
                    else:
                        told = f"{path}: {row.fault}; cut it"
                    raise InputError(told)
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
        with open_regular(path) as opened, pq.ParquetFile(opened) as file:
            names = file.schema_arrow.names
            table = file.read([name for name in names if wanted is None or name in wanted])
        table.validate(full=True)  # text that is no UTF-8, wherever it stands
    except (pa.ArrowException, OSError, UnicodeDecodeError) as exc:
        raise unreadable(path, "parquet", exc) from exc
    return names, table.replace_schema_metadata()


def read_yaml_text(path: Path) -> str:
    """Return the text of a YAML file that is safe to load.

    A loader walks down every level and into every alias, which a small file can make so many of
    that it never ends.

    :raises OSError: if it is no regular file, or cannot be opened.
    :raises ValueError: if it is no UTF-8.
    :raises yaml.YAMLError: if it is no YAML, too deep, or grows by its aliases without end.
    """
    text = read_text(path)
    loader = FastSafeLoader(text)
    n_nodes, sizes = 0, dict[str, int]()
    opened: list[tuple[str | None, int]] = []
    try:
        while loader.check_event():
            event: Any = loader.get_event()  # type: ignore[no-untyped-call]
            if isinstance(event, yaml.AliasEvent):
                if event.anchor in [anchor for anchor, _ in opened]:
                    raise yaml.YAMLError(f"*{event.anchor:.40} stands inside of what it repeats")
                n_nodes += sizes.get(str(event.anchor), 1)
            elif isinstance(event, yaml.NodeEvent):
                n_nodes += 1
                if isinstance(event, yaml.ScalarEvent) and event.implicit[0]:
                    _check_number(event.value)
                if isinstance(event, yaml.CollectionStartEvent):
                    opened.append((event.anchor, n_nodes))
            elif isinstance(event, yaml.CollectionEndEvent):
                anchor, start = opened.pop()
                if anchor is not None:
                    sizes[anchor] = n_nodes - start + 1
            if len(opened) > _DEEPEST:
                raise yaml.YAMLError(f"it is nested more than {_DEEPEST} levels deep")
            if n_nodes > _MOST_NODES:
                raise yaml.YAMLError(f"it holds more than {_MOST_NODES:,} values, with aliases")
    finally:
        loader.dispose()
    return text


def _check_number(text: str) -> None:
    """Refuse a number that no message could show."""
    if len(text) > _LONGEST_NUMBER and text.lstrip("+-")[:1].isdigit():
        raise yaml.YAMLError(f"a number of {len(text)} digits")


def unreadable(source: object, kind: str, exc: Exception) -> InputError:
    """Return the error for a file that is not what its name says."""
    first_line = str(exc).splitlines()[0] if str(exc) else type(exc).__name__
    return InputError(f"{source}: not readable as {kind} ({first_line}); write the file again")


def unpacked(stream: IO[bytes], source: object) -> IO[bytes]:
    """Return what a stream that gzip packed holds; closing it closes the stream.

    :param source: what messages name.
    :raises InputError: while it is read, if it is damaged or none.
    """
    return io.BufferedReader(_Unpacked(stream, source), _BLOCK_BYTES)


class _Unpacked(io.RawIOBase):
    def __init__(self, stream: IO[bytes], source: object) -> None:
        self._stream, self._source = stream, source
        self._unpacked = gzip.GzipFile(fileobj=stream, mode="rb")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            found = self._unpacked.read(len(buffer))
        except (gzip.BadGzipFile, EOFError, zlib.error) as exc:
            raise unreadable(self._source, "gzip", exc) from exc
        buffer[: len(found)] = found
        return len(found)

    def close(self) -> None:
        self._stream.close()
        super().close()


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


def listed(names: Sequence[str]) -> str:
    """Return the first of a file's names of columns, for messages; they may be long and many."""
    shown = ", ".join(map(shortened, names[:_SHOWN_NAMES]))
    return f"{shown}, ..." if len(names) > _SHOWN_NAMES else shown


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
        with open_regular(path) as stream:
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
