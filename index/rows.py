"""Read CSV rows with their lines, and notice a quote that is opened and never closed."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import yaml


def csv_rows(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield (line the row ends on, cells) of each row that is not blank.

    Stray quotes inside a cell are text: sellers write 24" and "new". A quote that opens a cell
    and swallows the rest of the file is a fault.

    :raises csv.Error: if such a quote is never closed, or the text is no CSV.
    """
    csv.field_size_limit(sys.maxsize)  # a cell of any length is a bad row, not a bad file
    held: list[str] = []

    def recorded() -> Iterator[str]:
        for line in lines:
            held.append(line)
            yield line

    reader = csv.reader(recorded())
    last: list[str] = []
    for row in reader:
        last = held.copy()
        held.clear()
        if row:
            yield reader.line_num, row
    if len(last) > 1 and _stays_open(last):
        raise csv.Error(f"a quote opened on line {reader.line_num - len(last) + 1} is never closed")


def _stays_open(lines: list[str]) -> bool:
    try:
        list(csv.reader(lines, strict=True))
    except csv.Error as exc:
        return "end of data" in str(exc)
    return False


if TYPE_CHECKING:
    FastSafeLoader = yaml.SafeLoader
else:
    FastSafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
