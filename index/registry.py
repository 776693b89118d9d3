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

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from index.errors import FaultsError, InputError
from index.records import GpuRecord
from index.registry_reading import VENDORS, Reading, gpu_slug, squash
from index.registry_table import REQUIRED_COLUMNS, TABLE_COLUMNS, read_table
from index.registry_yaml import read_yaml

_YAML = (".yaml", ".yml")


def load_registry(source: Path) -> list[GpuRecord]:
    """Load a registry from a file or from a folder of YAML files, ordered by ``gpu_id``'s source.

    :param source: a ``.yaml``/``.yml``, ``.csv`` or ``.parquet`` file, or a folder of YAML files.
    :raises InputError: if there is nothing to read at ``source``.
    :raises FaultsError: with every unknown key, missing or wrong field, duplicate id, and name or
        alias of two models.
    """
    reading = Reading()
    for path in _registry_files(source):
        read = read_yaml if path.suffix in _YAML else read_table
        read(path, reading)
    reading.faults += _duplicates(reading) + _spelling_collisions(reading)
    reading.faults += _alias_collisions(reading)
    if reading.faults:
        raise FaultsError(f"registry {source}", reading.faults)
    if not reading.records:
        raise InputError(f"registry {source}: expected at least one GPU, found none")
    return reading.records


def registry_fingerprint(records: Iterable[GpuRecord]) -> str:
    """Return 16 hex digits that change with the content of the registry, not with its order."""
    lines = sorted(json.dumps(asdict(record), sort_keys=True) for record in records)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


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
    if source.suffix not in (*_YAML, ".csv", ".parquet"):
        raise InputError(
            f"registry {source}: expected .yaml, .csv or .parquet, got {source.suffix!r}"
        )
    return [source]


def _duplicates(reading: Reading) -> list[str]:
    seen: dict[str, str] = {}
    faults = []
    for record, place in zip(reading.records, reading.places, strict=True):
        if record.gpu_id in seen:
            first = seen[record.gpu_id]
            faults.append(f"{place}: gpu_id {record.gpu_id!r} stands already at {first}")
        seen.setdefault(record.gpu_id, place)
    return faults


def _spelling_collisions(reading: Reading) -> list[str]:
    """Find models that differ in spaces, signs or case only: 4090D and 4090 D."""
    first: dict[str, tuple[str, str]] = {}
    faults: dict[str, str] = {}
    for record, place in zip(reading.records, reading.places, strict=True):
        model, where = first.setdefault(squash(record.model), (record.model, place))
        if model != record.model:
            fault = f"{place}: model {record.model!r} is spelled as {model!r} ({where})"
            faults.setdefault(record.model, fault)
    return list(faults.values())


def _alias_collisions(reading: Reading) -> list[str]:
    """Find aliases and part numbers that equal another model's name, alias or part number."""
    owner: dict[str, tuple[str, str]] = {}
    for record, place in zip(reading.records, reading.places, strict=True):
        owner.setdefault(squash(record.model), (record.model, place))
    faults = []
    for record, place in zip(reading.records, reading.places, strict=True):
        for alias in filter(squash, (*record.aliases, *record.part_numbers)):
            model, where = owner.setdefault(squash(alias), (record.model, place))
            fault = f"{place}: alias {alias!r} of {record.model} belongs to {model} ({where})"
            if model != record.model and fault not in faults:
                faults.append(fault)
    return faults


__all__ = [
    "REQUIRED_COLUMNS",
    "TABLE_COLUMNS",
    "VENDORS",
    "gpu_slug",
    "load_registry",
    "read_records",
    "registry_fingerprint",
    "squash",
    "write_records",
]
