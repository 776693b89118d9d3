"""What the readers of registry files share: records with their places, faults, and field checks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from index.records import DEFAULT_FORM_FACTOR, FORM_FACTORS, GpuRecord
from index.text import normalise, runs

VENDORS = ("NVIDIA", "AMD", "Intel")
_YEARS = range(1990, 2101)
_MOST_MEMORY_GB = 10_000


@dataclass(slots=True)
class Reading:
    """Records read so far, where each came from, and what was wrong on the way.

    Records with a fault are kept where they can be made, so that one fault hides no other:
    nobody gets them, for faults end the loading.
    """

    records: list[GpuRecord] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def add(self, record: GpuRecord, place: str) -> None:
        """Add a record that was read at a place, such as ``file.yaml:3``."""
        self.records.append(record)
        self.places.append(place)

    def blame(self, place: str, faults: Sequence[str]) -> None:
        """Add faults found at a place."""
        self.faults += [f"{place}: {fault}" for fault in faults]


def gpu_slug(model: str, *, memory_gb: float, memory_type: str, form_factor: str) -> str:
    """Return the stable id of a variant, such as ``geforce-rtx-4060-ti-16gb-gddr6``."""
    size = f"{memory_gb:g}gb" if memory_gb >= 1 else f"{round(memory_gb * 1024)}mb"
    name = model.replace("+", " plus ")
    text = f"{name} {size} {memory_type}"
    if form_factor != DEFAULT_FORM_FACTOR:
        text += f" {form_factor}"
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-")


def squash(text: str) -> str:
    """Return the letters and digits of a text and nothing else: the form in which names collide."""
    return "".join(run.text for run in runs(normalise(text)))


def texts(value: Any) -> tuple[str, ...]:
    """Read a list given as one value, a list, or ';'-separated text."""
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(";") if part.strip())
    if isinstance(value, (list, tuple)):
        return tuple(str(part) for part in value if part is not None)
    return (str(value),)


def vendor_faults(vendor: Any) -> list[str]:
    """Return what is wrong with a chip vendor."""
    if vendor in VENDORS:
        return []
    return [f"vendor must be one of {', '.join(VENDORS)}, got {vendor!r}"]


def name_faults(name: str, what: str) -> list[str]:
    """Return what is wrong with a name in the column or key ``what``."""
    return [] if squash(name) else [f"{what} must hold letters or digits, got {name!r}"]


def year_faults(year: Any, what: str) -> list[str]:
    """Return what is wrong with a release year."""
    if type(year) is int and year in _YEARS:  # not True
        return []
    return [f"{what} must be {_YEARS[0]}-{_YEARS[-1]}, got {year!r}"]


def memory_faults(memory_gb: float) -> list[str]:
    """Return what is wrong with a memory size."""
    if 0 < memory_gb < _MOST_MEMORY_GB:
        return []
    return [f"memory_gb must be above 0 and in GB, got {memory_gb!r}"]


def form_faults(form: Any) -> list[str]:
    """Return what is wrong with a form factor."""
    if form in FORM_FACTORS:
        return []
    return [f"form_factor must be one of {', '.join(FORM_FACTORS)}, got {form!r}"]


def alias_faults(aliases: Sequence[str]) -> list[str]:
    """Return what is wrong with aliases and part numbers, other models left aside."""
    return [fault for alias in aliases for fault in name_faults(alias, "alias")]
