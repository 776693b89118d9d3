"""The registry: load canonical GPUs from YAML, CSV or parquet, reporting every fault at once.

A YAML file names its chip vendor once and lists models by family, one line each::

    vendor: NVIDIA
    families:
      - generation: GeForce 40
        line: GeForce
        models:
          - {name: GeForce RTX 4060 Ti, chip: AD106, year: 2023, variants: [8GB GDDR6, 16GB GDDR6]}

A variant reads ``<size>(MB|GB) <memory type> [form factor]``; without one it is a PCIe card.
A table (CSV, parquet) has one variant a row with the columns of `TABLE_COLUMNS`.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from index.errors import FaultsError, InputError
from index.records import DEFAULT_FORM_FACTOR, FORM_FACTORS, GpuRecord
from index.text import normalise, runs

VENDORS = ("NVIDIA", "AMD", "Intel")
REQUIRED_COLUMNS = ("model", "vendor", "memory_gb", "memory_type")
TABLE_COLUMNS = (
    *REQUIRED_COLUMNS, "gpu_id", "line", "generation", "form_factor", "release_year",
    "codenames", "aliases", "part_numbers",
)  # fmt: skip

_VARIANT = re.compile(r"(\d+(?:\.\d+)?)\s?(MB|GB) ([A-Za-z0-9]+)(?: (\S+))?")
_MODEL_KEYS = {"name", "chip", "year", "variants", "aliases", "part_numbers"}
_FAMILY_KEYS = {"generation", "line", "models"}
_FILE_KEYS = {"vendor", "families"}
_LINE = "__line__"


@dataclass(slots=True)
class _Reading:
    """Records read so far, where each came from, and what was wrong on the way."""

    records: list[GpuRecord] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def add(self, record: GpuRecord, place: str) -> None:
        self.records.append(record)
        self.places.append(place)


def load_registry(source: Path) -> list[GpuRecord]:
    """Load a registry from a file or from a folder of YAML files, ordered by ``gpu_id``'s source.

    :param source: a ``.yaml``/``.yml``, ``.csv`` or ``.parquet`` file, or a folder of YAML files.
    :raises InputError: if there is nothing to read at ``source``.
    :raises FaultsError: with every unknown key, missing field, duplicate id and alias collision.
    """
    reading = _Reading()
    for path in _registry_files(source):
        if path.suffix in (".yaml", ".yml"):
            _read_yaml(path, reading)
        else:
            _read_rows(_table_rows(path), path, reading)
    reading.faults += _duplicates(reading) + _alias_collisions(reading)
    if reading.faults:
        raise FaultsError(f"registry {source}", reading.faults)
    if not reading.records:
        raise InputError(f"registry {source}: expected at least one GPU, found none")
    return reading.records


def registry_fingerprint(records: Iterable[GpuRecord]) -> str:
    """Return 16 hex digits that change with the content of the registry, not with its order."""
    lines = sorted(json.dumps(asdict(record), sort_keys=True) for record in records)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def gpu_slug(model: str, *, memory_gb: float, memory_type: str, form_factor: str) -> str:
    """Return the stable id of a variant, such as ``geforce-rtx-4060-ti-16gb-gddr6``."""
    size = f"{memory_gb:g}gb" if memory_gb >= 1 else f"{round(memory_gb * 1024)}mb"
    name = model.replace("+", " plus ")
    text = f"{name} {size} {memory_type}"
    if form_factor != DEFAULT_FORM_FACTOR:
        text += f" {form_factor}"
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-")


def write_records(records: Sequence[GpuRecord], path: Path) -> None:
    """Write records as JSON lines, the form in which an index folder carries its registry."""
    text = "".join(json.dumps(asdict(record)) + "\n" for record in records)
    path.write_text(text, encoding="utf-8")


def read_records(path: Path) -> list[GpuRecord]:
    """Read what `write_records` wrote.

    :raises InputError: if a line is not a record.
    """
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            fields = json.loads(line)
            lists = {name: tuple(fields[name]) for name in ("codenames", "aliases", "part_numbers")}
            records.append(GpuRecord(**{**fields, **lists}))
        except (ValueError, TypeError, KeyError) as exc:
            raise InputError(f"{path}:{number}: not a GPU record: {exc}") from exc
    return records


def _registry_files(source: Path) -> list[Path]:
    if source.is_dir():
        files = sorted([*source.glob("*.yaml"), *source.glob("*.yml")])
        if not files:
            raise InputError(f"registry {source}: expected .yaml files in this folder, found none")
        return files
    if not source.is_file():
        raise InputError(f"registry {source}: no such file or folder")
    if source.suffix not in (".yaml", ".yml", ".csv", ".parquet"):
        raise InputError(
            f"registry {source}: expected .yaml, .csv or .parquet, got {source.suffix!r}"
        )
    return [source]


class _LineLoader(yaml.SafeLoader):
    """A safe loader whose mappings know the line they start on."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping = super().construct_mapping(node, deep=deep)
        return {**mapping, _LINE: node.start_mark.line + 1}


def _read_yaml(path: Path, reading: _Reading) -> None:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_LineLoader)  # noqa: S506
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        reading.faults.append(f"{path}: not readable as YAML: {exc}")
        return
    if not isinstance(content, dict) or not isinstance(content.get("families"), list):
        reading.faults.append(f"{path}: expected the keys 'vendor' and 'families' (a list)")
        return
    _check_keys(content, _FILE_KEYS, f"{path}", reading)
    vendor = content.get("vendor")
    if vendor not in VENDORS:
        reading.faults.append(f"{path}: vendor must be one of {', '.join(VENDORS)}, got {vendor!r}")
        return
    for family in content["families"]:
        if not isinstance(family, dict) or not isinstance(family.get("models"), list):
            reading.faults.append(f"{path}: each family needs a list 'models', got {family!r:.80}")
            continue
        place = f"{path}:{family[_LINE]}"
        _check_keys(family, _FAMILY_KEYS, place, reading, required=("generation", "line"))
        for model in family["models"]:
            _read_model(model, family, str(vendor), path, reading)


def _read_model(
    model: Any, family: dict[str, Any], vendor: str, path: Path, reading: _Reading
) -> None:
    if not isinstance(model, dict):
        reading.faults.append(f"{path}:{family[_LINE]}: a model must be a mapping, got {model!r}")
        return
    place = f"{path}:{model[_LINE]}"
    known = _check_keys(model, _MODEL_KEYS, place, reading, required=("name", "year", "variants"))
    if not known:
        return
    if not isinstance(model["name"], str) or not normalise(model["name"]):
        reading.faults.append(f"{place}: name must be text, got {model['name']!r}")
        return
    variants = model["variants"]
    if not isinstance(variants, list) or not variants:
        reading.faults.append(f"{place}: 'variants' must be a list with at least one entry")
        return
    if not _is_year(model["year"]):
        reading.faults.append(f"{place}: year must be 1990-2100, got {model['year']!r}")
        return
    for variant in variants:
        match = _VARIANT.fullmatch(str(variant))
        form = match[4] or DEFAULT_FORM_FACTOR if match else ""
        if not match or form not in FORM_FACTORS:
            reading.faults.append(
                f"{place}: variant must read '<size>(MB|GB) <type> [form factor]' with a form of "
                f"{', '.join(FORM_FACTORS)}; got {variant!r}"
            )
            continue
        memory_gb = float(match[1]) / (1024 if match[2] == "MB" else 1)
        record = GpuRecord(
            gpu_id=gpu_slug(
                model["name"], memory_gb=memory_gb, memory_type=match[3], form_factor=form
            ),
            model=model["name"], vendor=vendor, line=str(family.get("line", "")),
            generation=str(family.get("generation", "")), memory_gb=memory_gb,
            memory_type=match[3], form_factor=form, release_year=int(model["year"]),
            codenames=_texts(model.get("chip")), aliases=_texts(model.get("aliases")),
            part_numbers=_texts(model.get("part_numbers")),
        )  # fmt: skip
        reading.add(record, place)


def _check_keys(
    mapping: dict[str, Any],
    allowed: set[str],
    place: str,
    reading: _Reading,
    *,
    required: Sequence[str] = (),
) -> bool:
    unknown = sorted(str(key) for key in mapping if key != _LINE and key not in allowed)
    missing = sorted(key for key in required if mapping.get(key) in (None, ""))
    if unknown:
        names = ", ".join(sorted(allowed))
        reading.faults.append(f"{place}: unknown keys {', '.join(unknown)}; allowed: {names}")
    if missing:
        reading.faults.append(f"{place}: missing {', '.join(missing)}")
    return not missing


def _table_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (place, row) of a CSV or parquet registry."""
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8-sig") as file:
            for number, row in enumerate(csv.DictReader(file), 2):
                yield f"{path}:{number}", dict(row)
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path).to_pylist()
    except (pa.ArrowException, OSError) as exc:
        raise InputError(f"registry {path}: not readable as parquet: {exc}") from exc
    for number, row in enumerate(rows, 1):
        yield f"{path}: row {number}", row


def _read_rows(
    rows: Iterable[tuple[str, dict[str, Any]]], path: Path, reading: _Reading
) -> None:
    for number, (place, row) in enumerate(rows):
        if number == 0:
            unknown = sorted(str(name) for name in set(row) - set(TABLE_COLUMNS))
            absent = [name for name in REQUIRED_COLUMNS if name not in row]
            if unknown or absent:
                reading.faults.append(
                    f"{path}: columns unknown: {', '.join(unknown) or 'none'}; "
                    f"missing: {', '.join(absent) or 'none'}"
                )
                return
        empty = [name for name in REQUIRED_COLUMNS if row.get(name) in (None, "")]
        if empty:
            reading.faults.append(f"{place}: missing {', '.join(empty)}")
            continue
        record = _row_record(row, place, reading)
        if record is not None:
            reading.add(record, place)


def _row_record(row: dict[str, Any], place: str, reading: _Reading) -> GpuRecord | None:
    faults = []
    try:
        memory_gb = float(row["memory_gb"])
        year = int(row.get("release_year") or 0)
    except (TypeError, ValueError) as exc:
        reading.faults.append(f"{place}: memory_gb and release_year must be numbers: {exc}")
        return None
    form = row.get("form_factor") or DEFAULT_FORM_FACTOR
    if not 0 < memory_gb < 10_000:
        faults.append(f"memory_gb must be above 0 and in GB, got {memory_gb!r}")
    if row["vendor"] not in VENDORS:
        faults.append(f"vendor must be one of {', '.join(VENDORS)}, got {row['vendor']!r}")
    if form not in FORM_FACTORS:
        faults.append(f"form_factor must be one of {', '.join(FORM_FACTORS)}, got {form!r}")
    if not runs(normalise(str(row["model"]))):
        faults.append(f"model must hold letters or digits, got {row['model']!r}")
    reading.faults += [f"{place}: {fault}" for fault in faults]
    if faults:
        return None
    model, memory_type = str(row["model"]), str(row["memory_type"])
    return GpuRecord(
        gpu_id=row.get("gpu_id")
        or gpu_slug(model, memory_gb=memory_gb, memory_type=memory_type, form_factor=form),
        model=model, vendor=row["vendor"], line=row.get("line") or "",
        generation=row.get("generation") or "", memory_gb=memory_gb, memory_type=memory_type,
        form_factor=form, release_year=year, codenames=_texts(row.get("codenames")),
        aliases=_texts(row.get("aliases")), part_numbers=_texts(row.get("part_numbers")),
    )  # fmt: skip


def _texts(value: Any) -> tuple[str, ...]:
    """Read a list given as one value, a list, or ';'-separated text."""
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(";") if part.strip())
    if isinstance(value, (list, tuple)):
        return tuple(str(part) for part in value)
    return (str(value),)


def _is_year(value: Any) -> bool:
    return isinstance(value, int) and 1990 <= value <= 2100


def squash(text: str) -> str:
    """Return the letters and digits of a text and nothing else: the form in which names collide."""
    return "".join(run.text for run in runs(normalise(text)))


def _duplicates(reading: _Reading) -> list[str]:
    seen: dict[str, str] = {}
    faults = []
    for record, place in zip(reading.records, reading.places, strict=True):
        if record.gpu_id in seen:
            first = seen[record.gpu_id]
            faults.append(f"{place}: gpu_id {record.gpu_id!r} stands already at {first}")
        seen.setdefault(record.gpu_id, place)
    return faults


def _alias_collisions(reading: _Reading) -> list[str]:
    """Find aliases and part numbers that equal another model's name, alias or part number."""
    owner: dict[str, tuple[str, str]] = {}
    for record, place in zip(reading.records, reading.places, strict=True):
        owner.setdefault(squash(record.model), (record.model, place))
    faults = []
    for record, place in zip(reading.records, reading.places, strict=True):
        for alias in (*record.aliases, *record.part_numbers):
            model, where = owner.setdefault(squash(alias), (record.model, place))
            fault = f"{place}: alias {alias!r} of {record.model} belongs to {model} ({where})"
            if model != record.model and fault not in faults:
                faults.append(fault)
    return faults


__all__ = [
    "REQUIRED_COLUMNS", "TABLE_COLUMNS", "VENDORS", "gpu_slug", "load_registry",
    "read_records", "registry_fingerprint", "squash", "write_records",
]  # fmt: skip
