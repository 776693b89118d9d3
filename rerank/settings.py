"""Settings out of YAML: dataclasses whose fields state their ranges; all faults reported at once.

A field of a settings dataclass is a number declared with `number`, a bool, a text, a tuple of texts
or another such dataclass.
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, field, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from rerank.cross_encoder.hyperparameters import LIMITS, CrossEncoderSettings
from rerank.index.errors import FaultsError, InputError
from rerank.index.rows import FastSafeLoader


def number(default: float, low: float, high: float, key: str = "") -> Any:
    """Declare a number with the range it may lie in and, if it differs, its key in the file."""
    return field(default=default, metadata={"range": (low, high), "key": key})


def read_yaml(path: Path) -> Any:
    """Read a YAML file.

    :raises InputError: if it cannot be read, or as something else than YAML only, or if a key
        stands twice.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except OSError as exc:
        raise InputError(f"{path}: cannot be read: {exc.strerror}") from exc
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        problem = " ".join(str(exc).split())
        raise InputError(f"{path}: expected YAML, found something else: {problem}") from exc


class _StrictLoader(FastSafeLoader):
    """Refuses a key that stands twice; YAML's loaders let the later one win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set[str]()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        problem=f"the key {key.value!r:.60} stands twice",
                        problem_mark=key.start_mark,
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def section_of(kind: Any, content: Mapping[Any, Any], at: str, faults: list[str]) -> Any:
    """Return a settings dataclass of a mapping; what it does not say keeps its default.

    :param at: what the names of keys begin with in faults, such as ``network.``.
    :param faults: what is wrong is added here; a faulty value keeps its default.
    """
    known = {key_of(each): each for each in fields(kind)}
    faults += unknown_keys(content, list(known), at)
    types, values = get_type_hints(kind), {}
    for key, each in known.items():
        if key not in content:
            continue
        value, wanted = content[key], types[each.name]
        if is_dataclass(wanted):
            if isinstance(value, Mapping):
                values[each.name] = section_of(wanted, value, f"{at}{key}.", faults)
            else:
                faults.append(f"{at}{key}: expected keys and values, found {value!r:.40}")
            continue
        fault = _fault(wanted, value, each.metadata.get("range"))
        if fault:
            faults.append(f"{at}{key}: {fault}")
        else:
            values[each.name] = _converted(wanted, value)
    return kind(**values)


def key_of(each: Field[Any]) -> str:
    """Return the key that a field has in the file."""
    return each.metadata.get("key") or each.name


def unknown_keys(content: Mapping[Any, Any], known: list[str], at: str) -> Iterator[str]:
    """Yield a fault for each key that is not known, with the nearest that is."""
    for key in content:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            yield f"{at}{key}: unknown key; {hint}"


def _fault(wanted: Any, value: Any, bounds: tuple[float, float] | None) -> str:
    if wanted is bool:
        return "" if isinstance(value, bool) else f"expected true or false, found {value!r:.40}"
    if wanted is str:
        return "" if isinstance(value, str) else f"expected a text, found {value!r:.40}"
    if bounds is None:
        sound = isinstance(value, list) and all(isinstance(name, str) for name in value)
        return "" if sound else f"expected a list of texts, found {value!r:.40}"
    low, high = bounds
    kinds = (int,) if wanted is int else (int, float)
    sound = isinstance(value, kinds) and not isinstance(value, bool) and low <= value <= high
    noun = "a whole number" if wanted is int else "a number"
    hint = ""
    if isinstance(value, str) and wanted is float:
        hint = " (YAML reads 1e-4 as text; write 1.0e-4)"
    return "" if sound else f"expected {noun} from {low:g} to {high:g}, found {value!r:.40}{hint}"


def _converted(wanted: Any, value: Any) -> Any:
    if wanted is float:
        return float(value)
    return tuple(value) if isinstance(value, list) else value


_ABSENT = object()
_TYPE_NAMES = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    tuple: "a list of texts",
}


def read_settings(path: Path) -> CrossEncoderSettings:
    """Read a YAML file.

    :raises InputError: if it cannot be read as YAML.
    :raises FaultsError: if keys are unknown or missing, or values of the wrong type or size.
    """
    return settings_of(read_yaml(path), name=str(path))


def settings_of(content: Any, *, name: str = "settings") -> CrossEncoderSettings:
    """Return settings out of nested mappings.

    :param name: what errors call them.
    :raises FaultsError: as `read_settings`.
    """
    reading = _Reading()
    settings = reading.section(CrossEncoderSettings, content, "")
    faults = [*reading.faults, *_conflicts(settings)]
    if faults:
        raise FaultsError(name, faults)
    return typing.cast(CrossEncoderSettings, settings)


def key_names(section: type = CrossEncoderSettings, prefix: str = "") -> Iterator[str]:
    """Yield the full name of each key, such as ``lora.alpha``."""
    hints = typing.get_type_hints(section)
    for item in fields(section):
        if is_dataclass(hints[item.name]):
            yield from key_names(hints[item.name], f"{prefix}{item.name}.")
        else:
            yield prefix + item.name


def _conflicts(settings: Any) -> list[str]:
    """Return what does not fit together; what is None was faulty by itself."""
    faults = []
    lengths, lora = getattr(settings, "lengths", None), getattr(settings, "lora", None)
    pair, query = getattr(lengths, "pair", None), getattr(lengths, "query", None)
    if pair is not None and query is not None and query > pair - 4:
        faults.append(
            f"lengths.query: expected at most lengths.pair - 4 = {pair - 4}, so that a document "
            f"has room beside it, found {query}"
        )
    if lora is not None and lora.targets == ():
        faults.append("lora.targets: expected at least one name, or [all-linear], found none")
    return faults


class _Reading:
    """Builds sections and collects what is wrong with them."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def section(self, kind: Any, content: Any, prefix: str) -> Any:
        """Return a section, or None after a fault that leaves it without a required value."""
        if content is None:
            content = {}
        if not isinstance(content, dict):
            where = prefix.rstrip(".") or "the file"
            self.faults.append(f"{where}: expected keys and values, found {content!r:.60}")
            return None
        names = [item.name for item in fields(kind)]
        for key in content:
            if key not in names:
                self.faults.append(_unknown(f"{prefix}{key}"))
        hints = typing.get_type_hints(kind)
        values = {}
        for item in fields(kind):
            given = content.get(item.name, _ABSENT)
            if is_dataclass(hints[item.name]):
                given = None if given is _ABSENT else given
                value = self.section(hints[item.name], given, f"{prefix}{item.name}.")
            else:
                value = self._value(item, hints[item.name], given, prefix + item.name)
            values[item.name] = value
        return kind(**values)

    def _value(self, item: Field[Any], hint: Any, given: Any, name: str) -> Any:
        if given is _ABSENT:
            if item.default is MISSING:
                self.faults.append(f"{name}: missing; expected {_TYPE_NAMES[hint]}")
                return None
            return item.default
        options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        if given is None and type(None) in options:
            return None
        kind = next(option for option in options if option is not type(None))
        kind = typing.get_origin(kind) or kind
        value = _converted_settings_reading(given, kind)
        if value is _ABSENT:
            self.faults.append(f"{name}: expected {_TYPE_NAMES[kind]}, found {given!r:.60}")
            return None
        expected = None if kind is tuple else item.metadata[LIMITS].fault(value)
        if expected is not None:
            self.faults.append(f"{name}: expected {expected}, found {given!r:.60}")
            return None
        return value


def _unknown(name: str) -> str:
    known = list(key_names()) + sorted({key.split(".")[0] for key in key_names()})
    last = name.rpartition(".")[2]
    elsewhere = [key for key in known if key.rpartition(".")[2] == last]
    near = elsewhere or get_close_matches(name, known, n=1, cutoff=0.6)
    return f"{name}: unknown key" + (f"; did you mean {near[0]}?" if near else "")


def _converted_settings_reading(given: Any, kind: Any) -> Any:
    """Return a value of a type; `_ABSENT` if it is of another."""
    if kind is float:
        return _number(given)
    if kind is tuple:
        given = [given] if isinstance(given, str) else given
        if isinstance(given, list) and all(isinstance(each, str) and each for each in given):
            return tuple(given)
        return _ABSENT
    if isinstance(given, bool) and kind is not bool:
        return _ABSENT
    return given if isinstance(given, kind) else _ABSENT


def _number(given: Any) -> Any:
    """Return a finite number; YAML reads 5e-4 without a point as text."""
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        return _ABSENT
    try:
        number = float(given)
    except (ValueError, OverflowError):
        return _ABSENT
    return number if abs(number) < float("inf") else _ABSENT
