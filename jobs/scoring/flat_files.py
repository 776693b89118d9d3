"""Outputs for spreadsheets and scripts: CSV, JSON lines and workbooks, flat, without candidates."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rerank.index.errors import InputError, require
from rerank.jobs.files.listings import json_values
from rerank.jobs.files.store_files import csv_text, plain

_DIGITS = 4
_FORMULA = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?[\d.,\s]*\d[\d.,\s]*(e[+-]?\d+)?", re.IGNORECASE)
_MOST_SHEET_ROWS = 1_048_576
_MOST_CELL_CHARS = 32_767
_EXACT_IN_SHEETS = 10**15
_UNSHOWN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # what XML does not know


def flat_answers(answers: pa.Table) -> pa.Table:
    """Return answers without candidates: of these the best other model is kept, as ``rival``.

    Probabilities have four decimals; a candidate set is one text.
    """
    columns: dict[str, Any] = {}
    for field in answers.schema:
        column = answers.column(field.name)
        if field.name == "candidates":
            continue
        if pa.types.is_floating(field.type):
            column = pc.round(column, _DIGITS)
        elif field.type == pa.list_(pa.string()):
            column = pc.binary_join(column, "; ")
        columns[field.name] = column
        if field.name == "margin" and "candidates" in answers.column_names:
            sure = answers.column("match_probability")
            names, there = _rivals(answers.column("candidates"))
            rest = pc.round(pc.subtract(sure, answers.column("margin")), _DIGITS)
            columns["rival"] = names
            columns["rival_probability"] = pc.if_else(there, rest, pa.scalar(None, pa.float64()))
    return pa.table(columns)


def flat_schema(schema: pa.Schema) -> pa.Schema:
    """Return the columns of an output whose answers are flat.

    :param schema: of one with candidates.
    """
    kept = schema.empty_table()
    return flat_answers(kept).schema if "candidates" in schema.names else schema


def _rivals(candidates: pa.ChunkedArray) -> tuple[pa.Array, pa.Array]:
    """Return the best other model of each row, null for none, and whether there is one.

    Variants of a model have its probability; where candidates do not name their model, that parts
    them.
    """
    lists = candidates.combine_chunks()
    lists = lists if isinstance(lists, pa.Array) else pa.concat_arrays(lists.chunks)
    flat, sizes = lists.flatten(), lists.value_lengths().fill_null(0)
    is_named = flat.type.get_field_index("model") >= 0
    names = flat.field("model" if is_named else "name")
    keys = (names if is_named else flat.field("probability")).dictionary_encode().indices
    counts = sizes.to_numpy(zero_copy_only=False).astype(np.int64)
    row, starts = np.repeat(np.arange(len(counts)), counts), np.cumsum(counts) - counts
    codes = keys.to_numpy(zero_copy_only=False)
    others = np.flatnonzero(codes != codes[starts[row]]) if len(row) else row
    rows, first = np.unique(row[others], return_index=True)
    found = np.full(len(counts), -1, np.int64)
    found[rows] = others[first]
    return names.take(pa.array(found, mask=found < 0)), pa.array(found >= 0)


class FlatFile:
    """An output that is no parquet; it keeps no record of how it was made.

    :param sink: takes the bytes; closed by its owner.
    """

    def __init__(self, sink: Any, schema: pa.Schema) -> None:
        self._sink, self._names = sink, list(schema.names)

    def add(self, rows: pa.Table, answers: pa.Table) -> None:
        """Take the next rows of the input, with their answers.

        :raises InputError: if the format holds no more.
        """
        columns = [*rows.columns, *flat_answers(answers).columns]
        self._write(zip(*map(_values, columns), strict=True))

    def finish(self, metadata: Mapping[str, str]) -> None:
        """Write what is left; what parquet says in its footer has no place."""

    def close(self) -> None:
        """End what writes."""

    def _write(self, rows: Iterable[Sequence[Any]]) -> None:
        raise NotImplementedError


def _values(column: pa.ChunkedArray) -> list[Any]:
    """Return the values of a column as JSON knows them."""
    kind = column.type
    if pa.types.is_temporal(kind) or pa.types.is_nested(kind) or pa.types.is_dictionary(kind):
        return json_values(column)
    return [
        value if isinstance(value, str | int | None) else plain(value)
        for value in column.to_pylist()
    ]


def without_formula(text: str) -> str:
    """Return a cell that no spreadsheet computes: an apostrophe goes before what begins as one."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


class CsvFile(FlatFile):
    """CSV in UTF-8, lists and structs as JSON."""

    def __init__(self, sink: Any, schema: pa.Schema) -> None:
        super().__init__(sink, schema)
        self._write([self._names])

    def _write(self, rows: Iterable[Sequence[Any]]) -> None:
        text = io.StringIO(newline="")
        cells = ([without_formula(csv_text(value)) for value in row] for row in rows)
        csv.writer(text, lineterminator="\r\n").writerows(cells)
        self._sink.write(text.getvalue().encode("utf-8", "replace"))


class JsonLinesFile(FlatFile):
    """JSON, an object a line."""

    def _write(self, rows: Iterable[Sequence[Any]]) -> None:
        objects = (dict(zip(self._names, row, strict=True)) for row in rows)
        lines = (json.dumps(each, ensure_ascii=False, default=str) + "\n" for each in objects)
        self._sink.write("".join(lines).encode("utf-8", "replace"))


class Workbook(FlatFile):
    """A workbook of one sheet; all text is text, whatever it begins with.

    Numbers that a spreadsheet would round are text, too.

    :raises MissingExtraError: if openpyxl is not installed.
    """

    def __init__(self, sink: Any, schema: pa.Schema) -> None:
        require("tables", "a workbook", "openpyxl")
        from openpyxl import Workbook as Book
        from openpyxl.cell import WriteOnlyCell

        super().__init__(sink, schema)
        self._book, self._n_rows = Book(write_only=True), 0
        self._sheet = self._book.create_sheet("listings")
        self._cell_of = WriteOnlyCell
        self._write([self._names])

    def finish(self, metadata: Mapping[str, str]) -> None:
        """Pack the sheet."""
        self._book.save(self._sink)

    def _write(self, rows: Iterable[Sequence[Any]]) -> None:
        for row in rows:
            self._n_rows += 1
            if self._n_rows > _MOST_SHEET_ROWS:
                raise InputError(
                    f"a sheet holds {_MOST_SHEET_ROWS:,} rows, and the output more; write .csv or "
                    ".parquet"
                )
            self._sheet.append([self._cell(value) for value in row])

    def _cell(self, value: Any) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float) and abs(value) < _EXACT_IN_SHEETS:
            return value
        text = value if isinstance(value, str) else csv_text(value)
        cell = self._cell_of(self._sheet, _UNSHOWN.sub("", text)[:_MOST_CELL_CHARS])
        cell.data_type = "s"  # else what begins with "=" is a formula
        return cell


FLAT: Mapping[str, Callable[[Any, pa.Schema], FlatFile]] = {
    ".csv": CsvFile,
    ".jsonl": JsonLinesFile,
    ".ndjson": JsonLinesFile,
    ".xlsx": Workbook,
}
"""What writes an output, by the ending of its name; parquet is written elsewhere."""
