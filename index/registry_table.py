"""Read a registry's tables (CSV, parquet): one variant a row."""

from __future__ import annotations

import csv
import math
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from index.csv_rows import csv_rows
from index.errors import InputError
from index.file_faults import not_utf8_text
from index.records import DEFAULT_FORM_FACTOR, GpuRecord
from index.registry_reading import (
    Reading,
    alias_faults,
    form_faults,
    gpu_slug,
    memory_faults,
    name_faults,
    texts,
    vendor_faults,
    year_faults,
)

REQUIRED_COLUMNS = ("model", "vendor", "memory_gb", "memory_type")
TABLE_COLUMNS = (
    *REQUIRED_COLUMNS,
    "gpu_id",
    "line",
    "generation",
    "form_factor",
    "release_year",
    "codenames",
    "aliases",
    "part_numbers",
)

Row = dict[str, Any]
Cells = Generator[tuple[str, Sequence[Any]], None, None]  # with their place; column names first


def read_table(path: Path, reading: Reading) -> None:
    """Add the records of a file, and every fault in it, to a reading.

    :raises InputError: if it is no CSV in UTF-8 and no parquet file.
    """
    source = _csv_rows(path) if path.suffix == ".csv" else _parquet_rows(path)
    with closing(source):
        columns = next(source)[1]
        if not columns or not _check_columns(list(columns), path, reading):
            return
        for place, cells in source:
            if len(cells) > len(columns):
                reading.blame(
                    place,
                    [
                        f"{len(cells)} cells, expected {len(columns)}: "
                        f"{cells[len(columns)]!r:.40} is "
                        "in no column"
                    ],
                )
            _read_row(dict(zip(columns, map(_cell, cells), strict=False)), place, reading)


def _csv_rows(path: Path) -> Cells:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv_rows(file)
            yield f"{path}", next(rows, (0, []))[1]
            for line, cells in rows:
                yield f"{path}:{line}", cells
    except UnicodeDecodeError as exc:
        raise InputError(f"registry {not_utf8_text(path)}") from exc
    except csv.Error as exc:
        raise InputError(f"registry {path}: not readable as CSV: {exc}") from exc


def _parquet_rows(path: Path) -> Cells:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        table.validate(full=True)
    except (pa.ArrowException, OSError) as exc:
        raise InputError(f"registry {path}: not readable as parquet: {exc}") from exc
    yield f"{path}", table.column_names
    values = [column.to_pylist() for column in table.columns]
    for number, cells in enumerate(zip(*values, strict=True), 1):
        yield f"{path}: row {number}", cells


def _check_columns(columns: list[str], path: Path, reading: Reading) -> bool:
    """Report columns that are unknown, missing or there twice; return whether rows can be read."""
    unknown = sorted(set(columns) - set(TABLE_COLUMNS))
    absent = [name for name in REQUIRED_COLUMNS if name not in columns]
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if unknown or absent:
        reading.blame(
            f"{path}",
            [
                f"columns unknown: {', '.join(unknown) or 'none'}; "
                f"missing: {', '.join(absent) or 'none'}"
            ],
        )
    if twice:
        reading.blame(f"{path}", [f"columns there twice: {', '.join(twice)}"])
    return not absent


def _read_row(row: Row, place: str, reading: Reading) -> None:
    faults, record = _row_faults(row), _record(row)
    reading.blame(place, faults)
    if record is not None:
        reading.add(record, place)


def _row_faults(row: Row) -> list[str]:
    empty = [name for name in REQUIRED_COLUMNS if row.get(name) is None]
    faults = [f"missing {', '.join(empty)}"] if empty else []
    if row.get("memory_gb") is not None:
        faults += _memory_faults(row)
    if row.get("release_year") is not None:
        faults += _release_year_faults(row)
    if row.get("vendor") is not None:
        faults += vendor_faults(row["vendor"])
    if row.get("model") is not None:
        faults += name_faults(_text(row["model"]), "model")
    faults += form_faults(row.get("form_factor") or DEFAULT_FORM_FACTOR)
    return faults + alias_faults([*texts(row.get("aliases")), *texts(row.get("part_numbers"))])


def _record(row: Row) -> GpuRecord | None:
    """Return the record of a row, None if it lacks what makes one."""
    model, memory_type = _text(row.get("model")), _text(row.get("memory_type"))
    memory_gb, year = _number(row.get("memory_gb")), _number(row.get("release_year"))
    if name_faults(model, "model") or not memory_type or not memory_gb or memory_faults(memory_gb):
        return None
    form = _text(row.get("form_factor")) or DEFAULT_FORM_FACTOR
    return GpuRecord(
        gpu_id=_text(row.get("gpu_id"))
        or gpu_slug(model, memory_gb=memory_gb, memory_type=memory_type, form_factor=form),
        model=model,
        vendor=_text(row.get("vendor")),
        line=_text(row.get("line")),
        generation=_text(row.get("generation")),
        memory_gb=memory_gb,
        memory_type=memory_type,
        form_factor=form,
        release_year=int(year) if year and math.isfinite(year) else 0,
        codenames=texts(row.get("codenames")),
        aliases=texts(row.get("aliases")),
        part_numbers=texts(row.get("part_numbers")),
    )


def _memory_faults(row: Row) -> list[str]:
    memory_gb = _number(row["memory_gb"])
    return _not_a_number(row, "memory_gb") if memory_gb is None else memory_faults(memory_gb)


def _release_year_faults(row: Row) -> list[str]:
    """Return what is wrong with a year that is given; 0 says that it is not known."""
    year = _number(row["release_year"])
    if year is None:
        return _not_a_number(row, "release_year")
    whole = math.isfinite(year) and year == int(year)
    return year_faults(int(year) if whole else year, "release_year") if year else []


def _not_a_number(row: Row, name: str) -> list[str]:
    return [f"{name} must be a number, got {row[name]!r:.40}"]


def _number(value: Any) -> float | None:
    """Return a number, 2020.0 too: what pandas makes of years where one is missing."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _cell(value: Any) -> Any:
    """Return None for an empty cell, be it empty text or pandas' NaN."""
    return None if value == "" or (isinstance(value, float) and math.isnan(value)) else value


def _text(value: Any) -> str:
    """Return a cell as text: 17 for 17.0, nothing for an empty one."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else str(value)
