"""Read a registry's YAML files: models by family, the variants of a model in one line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from index.records import DEFAULT_FORM_FACTOR, FORM_FACTORS, GpuRecord
from index.registry_reading import (
    Reading,
    alias_faults,
    gpu_slug,
    memory_faults,
    name_faults,
    texts,
    vendor_faults,
    year_faults,
)
from index.yaml_loader import FastSafeLoader

_VARIANT = re.compile(r"(\d+(?:\.\d+)?)\s?(MB|GB) ([A-Za-z0-9]+)(?: (\S+))?")
_MODEL_KEYS = {"name", "chip", "year", "variants", "aliases", "part_numbers"}
_FAMILY_KEYS = {"generation", "line", "models"}
_FILE_KEYS = {"vendor", "families"}
_LINE = "__line__"


class _LineLoader(FastSafeLoader):
    """A safe loader whose mappings know the line they start on, and that notes repeated keys."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.repeated: list[tuple[int, str]] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(names)) < len(names):
            for at, name in enumerate(names):
                if name in names[:at]:
                    self.repeated.append((node.start_mark.line + 1, name))
        mapping = super().construct_mapping(node, deep=deep)
        return {**mapping, _LINE: node.start_mark.line + 1}


def read_yaml(path: Path, reading: Reading) -> None:
    """Add the records of a file, and every fault in it, to a reading."""
    try:
        loader = _LineLoader(path.read_text(encoding="utf-8"))
        try:
            content = loader.get_single_data()
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError) as exc:  # a date such as 2020-99-99 too
        line, fault = _fault_of(exc)
        place = f"{path}" if line is None else f"{path}:{line}"
        reading.blame(place, [f"not readable as YAML: {fault}"])
        return
    for line, key in loader.repeated:
        reading.blame(f"{path}:{line}", [f"key {key!r} stands there twice"])
    if not isinstance(content, dict) or not isinstance(content.get("families"), list):
        reading.blame(f"{path}", ["expected the keys 'vendor' and 'families' (a list)"])
        return
    _check_keys(content, _FILE_KEYS, f"{path}", reading)
    reading.blame(f"{path}", vendor_faults(content.get("vendor")))
    for family in content["families"]:
        _read_family(family, str(content.get("vendor")), path, reading)


def _fault_of(exc: yaml.YAMLError | ValueError) -> tuple[int | None, str]:
    """Return the line that cannot be read, if it is known, and what is wrong, in one line."""
    if isinstance(exc, yaml.reader.ReaderError):
        return None, f"{exc.reason} (#x{exc.character:04x} at position {exc.position})"
    if isinstance(exc, yaml.MarkedYAMLError) and exc.problem_mark is not None:
        said = ", ".join(text for text in (exc.context, exc.problem) if text)
        return exc.problem_mark.line + 1, said
    return None, " ".join(str(exc).split())


def _read_family(family: Any, vendor: str, path: Path, reading: Reading) -> None:
    if not isinstance(family, dict) or not isinstance(family.get("models"), list):
        place = f"{path}:{family[_LINE]}" if isinstance(family, dict) else f"{path}"
        reading.blame(place, [f"each family needs a list 'models', got {_shown(family)}"])
        return
    place = f"{path}:{family[_LINE]}"
    _check_keys(family, _FAMILY_KEYS, place, reading, required=("generation", "line"))
    for model in family["models"]:
        if isinstance(model, dict):
            _read_model(model, family, vendor, f"{path}:{model[_LINE]}", reading)
        else:
            reading.blame(place, [f"a model must be a mapping, got {model!r}"])


def _read_model(
    model: dict[str, Any], family: dict[str, Any], vendor: str, place: str, reading: Reading
) -> None:
    _check_keys(model, _MODEL_KEYS, place, reading, required=("name", "year", "variants"))
    name, year, variants = model.get("name"), model.get("year"), model.get("variants")
    aliases, part_numbers = texts(model.get("aliases")), texts(model.get("part_numbers"))
    if year is not None:
        reading.blame(place, year_faults(year, "year"))
    reading.blame(place, alias_faults([*aliases, *part_numbers]))
    if variants not in (None, "") and not (isinstance(variants, list) and variants):
        reading.blame(place, ["'variants' must be a list with at least one entry"])
    memories = _read_variants(variants if isinstance(variants, list) else [], place, reading)
    if name in (None, ""):
        return
    if not isinstance(name, str):
        reading.blame(place, [f"name must be text, got {_shown(name)}"])
        return
    if faults := name_faults(name, "name"):
        reading.blame(place, faults)
        return
    for memory_gb, memory_type, form in memories:
        record = GpuRecord(
            gpu_id=gpu_slug(name, memory_gb=memory_gb, memory_type=memory_type, form_factor=form),
            model=name,
            vendor=vendor,
            line=str(family.get("line", "")),
            generation=str(family.get("generation", "")),
            memory_gb=memory_gb,
            memory_type=memory_type,
            form_factor=form,
            release_year=year if isinstance(year, int) else 0,
            codenames=texts(model.get("chip")),
            aliases=aliases,
            part_numbers=part_numbers,
        )
        reading.add(record, place)


def _read_variants(
    variants: Sequence[Any], place: str, reading: Reading
) -> list[tuple[float, str, str]]:
    """Return (memory in GB, memory type, form factor) of each variant that can be read."""
    read = []
    for variant in variants:
        match = _VARIANT.fullmatch(str(variant))
        form = match[4] or DEFAULT_FORM_FACTOR if match else ""
        if not match or form not in FORM_FACTORS:
            reading.blame(
                place,
                [
                    "variant must read '<size>(MB|GB) <type> [form factor]' with a form of "
                    f"{', '.join(FORM_FACTORS)}; got {_shown(variant)}"
                ],
            )
            continue
        memory_gb = float(match[1]) / (1024 if match[2] == "MB" else 1)
        faults = memory_faults(memory_gb)
        reading.blame(place, [f"variant {variant!r}: {fault}" for fault in faults])
        if not faults:
            read.append((memory_gb, match[3], form))
    return read


def _check_keys(
    mapping: dict[str, Any],
    allowed: set[str],
    place: str,
    reading: Reading,
    *,
    required: Sequence[str] = (),
) -> None:
    unknown = sorted(str(key) for key in mapping if key != _LINE and key not in allowed)
    missing = sorted(key for key in required if mapping.get(key) in (None, ""))
    if unknown:
        names = ", ".join(sorted(allowed))
        reading.blame(place, [f"unknown keys {', '.join(unknown)}; allowed: {names}"])
    if missing:
        reading.blame(place, [f"missing {', '.join(missing)}"])


def _shown(value: Any) -> str:
    """Return the start of a value as the file's author knows it, without our line numbers."""
    if isinstance(value, dict):
        value = {key: inner for key, inner in value.items() if key != _LINE}
    return f"{value!r:.80}"
