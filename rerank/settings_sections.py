"""Settings out of YAML: dataclasses whose fields state their ranges; all faults reported at once.

A field of a settings dataclass is a number declared with `number`, a bool, a text, a tuple of texts
or another such dataclass.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import Field, field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from index.errors import InputError
from index.yaml_loader import FastSafeLoader


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
