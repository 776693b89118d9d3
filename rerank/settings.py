"""Settings out of YAML: frozen dataclasses whose fields state what they may be.

pydantic checks a file against them, so that all its faults are reported at once; it is imported
when a file is read, not when a class is defined, since nothing else needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast, get_type_hints

import yaml

from rerank.index.errors import FaultsError, InputError
from rerank.index.rows import FastSafeLoader, read_yaml_text

_KEYS = {"compliance_weight": "lambda"}  # a word of Python cannot name a field
_KEY = "[key]"  # where pydantic puts what is wrong with a key itself
_UNKNOWN = ("unexpected_keyword_argument", "invalid_key")


def key_of(name: str) -> str:
    """Return the key that a field has in files."""
    return _KEYS.get(name, name)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the sections of a file inherit; an unknown key is a fault, an empty section none.

    What does not fit together is a ValueError of `__post_init__` that begins with the key.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "alias_generator": key_of}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        hints = get_type_hints(source)
        # a section that a file must hold and lacks is empty: errors then name the keys of it
        empty = {
            each.name: None
            for each in fields(source)
            if each.default_factory is MISSING and is_dataclass(hints[each.name])
        }
        return core_schema.no_info_before_validator_function(
            lambda value: (
                {**empty, **(value or {})} if isinstance(value, Mapping | None) else value
            ),
            handler(source),
        )


@dataclass(frozen=True, slots=True)
class Expected:
    """Says in an annotation what a value must be: ``Annotated[str, Expected("text", ...)]``.

    Nothing else is taken for a number or a flag, but for text that spells a number: YAML reads
    5e-4 as text.

    :param words: for errors, after "expected"; a number's noun stands before them.
    :param convert: is called on what the file says, before its type is looked at.
    """

    words: str
    test: Callable[[Any], bool] = lambda value: True
    convert: Callable[[Any], Any] = lambda value: value
    names: tuple[str, ...] = ()

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        nouns = {int: "a whole number ", float: "a number "}
        schema = {**handler(source), **({"strict": True} if source in (bool, *nouns) else {})}

        def checked(value: Any, inner: Callable[[Any], Any]) -> Any:
            try:
                spelled = source is float and isinstance(value, str)
                found = inner(float(value) if spelled else self.convert(value))
                if self.test(found):
                    return found
            except (ValueError, OverflowError):
                pass
            fault = f"expected {nouns.get(source, '')}{self.words}, found {value!r:.60}"
            near = get_close_matches(str(value), self.names, 1)
            raise ValueError(fault + (f"; did you mean {near[0]!r}?" if near else ""))

        return core_schema.no_info_wrap_validator_function(checked, schema)


FLAG = Expected("true or false")
TEXT = Expected("text", lambda text: bool(text.strip()))
TEXTS = Expected("a list of texts")


def between(low: float, high: float) -> Expected:
    """Expect a number from ``low`` to ``high``, both included."""
    return Expected(f"from {low:g} to {high:g}", lambda value: low <= value <= high)


def above(low: float, high: float) -> Expected:
    """Expect a number above ``low`` and at most ``high``."""
    return Expected(
        f"more than {low:g} and at most {high:g}", lambda value: bool(low < value <= high)
    )


def at_least(low: int) -> Expected:
    """Expect a number without an upper end."""
    return Expected(f"of at least {low}", lambda value: bool(value >= low))


def one_of(*names: str) -> Expected:
    """Expect one of some words."""
    return Expected(f"one of {', '.join(names)}", lambda value: value in names, names=names)


Kind = TypeVar("Kind", bound=Settings)


def read_settings(kind: type[Kind], path: Path) -> Kind:
    """Read a YAML file; what it does not say keeps its default.

    :raises InputError: if it cannot be read, or as something else than YAML only, if a key stands
        twice, or if it holds no keys.
    :raises FaultsError: with all unknown and missing keys and all values that cannot be.
    """
    return settings_of(kind, read_yaml(path), where=str(path))


def read_yaml(path: Path) -> object:
    """Return what a YAML file holds; no key stands there twice.

    :raises InputError: if it cannot be read, or as something else than YAML only.
    """
    try:
        return cast(object, yaml.load(read_yaml_text(path), Loader=_StrictLoader))
    except OSError as exc:
        raise InputError(f"{path}: cannot be read: {exc.strerror}") from exc
    except (yaml.YAMLError, ValueError) as exc:  # a date such as 2020-99-99 too
        problem = " ".join(str(exc).split()).replace(' in "<unicode string>",', " at")
        raise InputError(f"{path}: expected YAML, found something else: {problem:.300}") from exc


def settings_of(kind: type[Kind], content: object, *, where: str = "settings") -> Kind:
    """Return settings of keys and values, as `read_settings` does.

    :param where: what errors call them.
    """
    from pydantic import TypeAdapter, ValidationError

    if not isinstance(content, Mapping | None):
        raise InputError(f"{where}: expected keys and values, found {type(content).__name__}")
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as exc:
        known = list(key_names(kind))
        faults = [_fault(each, known) for each in exc.errors(include_url=False)]
        raise FaultsError(where, faults) from None


def as_content(settings: Settings) -> dict[str, Any]:
    """Return settings as the keys and values that `settings_of` takes, ready for JSON."""
    from pydantic import TypeAdapter

    found = TypeAdapter(type(settings)).dump_python(settings, mode="json", by_alias=True)
    return cast(dict[str, Any], found)


def key_names(section: type[Settings], prefix: str = "") -> Iterator[str]:
    """Yield the full name of each key, such as ``lora.alpha``."""
    hints = get_type_hints(section)
    for each in fields(section):
        if is_dataclass(hints[each.name]):
            yield from key_names(hints[each.name], f"{prefix}{each.name}.")
        else:
            yield prefix + key_of(each.name)


def _fault(error: Any, known: list[str]) -> str:
    """Return what pydantic found wrong as a line: the key, what was expected, what was found."""
    *parents, last = error["loc"]
    where = ".".join(str(part) for part in parents if not isinstance(part, int))
    if last != _KEY and (error["type"] in _UNKNOWN or not isinstance(last, int)):
        where = f"{where}.{last}" if where else str(last)
    if error["type"] in _UNKNOWN:
        return f"{where}: unknown key{_nearest(where, known)}"
    if error["type"] == "missing":  # all values that a file must hold are texts
        return f"{where}: missing; expected text"
    if error["type"] == "value_error":
        said = str(error["ctx"]["error"])
        if not said.startswith("expected"):  # of a section, whose key it names itself
            return f"{where}.{said}" if where else said
        return f"{where}: {'unknown key; ' if last == _KEY else ''}{said}"
    noun = "text" if error["type"] == "string_type" else "keys and values"
    return f"{where}: expected {noun}, found {error['input']!r:.60}"


def _nearest(where: str, known: list[str]) -> str:
    """Return the key that is meant: of the same name elsewhere, else of a similar one.

    Else those of its section; there are too many of all sections to read.
    """
    parents, dot, last = where.rpartition(".")
    elsewhere = [key for key in known if key.rpartition(".")[2] == last]
    sections = {key.partition(".")[0] for key in known}
    near = elsewhere or get_close_matches(where, [*known, *sorted(sections)], 1)
    if near:
        return f"; did you mean {near[0]!r}?"
    section = parents + dot
    beside = [key.removeprefix(section) for key in known if key.startswith(section)]
    return f"; known: {', '.join(dict.fromkeys(key.partition('.')[0] for key in beside))}"


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
