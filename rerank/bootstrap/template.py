"""Title templates: ``{field}``, ``[optional part]`` and ``<one|of|these>``; a backslash quotes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from rerank.bootstrap.dice import Dice

OPTIONAL_SHARE = 0.5

_TOKEN = re.compile(r"\\.|[{}\[\]<>|]|[^\\{}\[\]<>|]+")
_BEFORE_PUNCTUATION = re.compile(r" +(?=[,)\]])|(?<=[(\[]) +")
_EMPTY_BRACKETS = re.compile(r"\(\s*\)|\[\s*\]")


@dataclass(frozen=True, slots=True)
class Field:
    """A name the context turns into text."""

    name: str


@dataclass(frozen=True, slots=True)
class Maybe:
    """A part that appears in half of the texts."""

    body: Sequence_


@dataclass(frozen=True, slots=True)
class Choice:
    """Exactly one of several parts."""

    options: tuple[Sequence_, ...]


Node = str | Field | Maybe | Choice
Sequence_ = tuple[Node, ...]


def parse(text: str) -> Sequence_:
    """Compile a template.

    :raises ValueError: when brackets do not pair.
    """
    tokens = _TOKEN.findall(text)
    nodes, end = _parse_until(tokens, 0, "")
    if end != len(tokens):
        raise ValueError(f"expected paired brackets in template, got {text!r}")
    return nodes


def render(nodes: Sequence_, field: Callable[[str], str], dice: Dice) -> str:
    """Return one text of the template, spaces tidied."""
    parts: list[str] = []
    _render_into(parts, nodes, field, dice)
    return tidy("".join(parts))


def tidy(text: str) -> str:
    """Collapse spaces and drop what an empty field leaves behind."""
    text = _EMPTY_BRACKETS.sub(" ", " ".join(text.split()))
    return " ".join(_BEFORE_PUNCTUATION.sub("", text).split()).strip(" ,-/|")


def _render_into(
    parts: list[str], nodes: Sequence_, field: Callable[[str], str], dice: Dice
) -> None:
    for node in nodes:
        if isinstance(node, str):
            parts.append(node)
        elif isinstance(node, Field):
            parts.append(field(node.name))
        elif isinstance(node, Maybe):
            if dice.chance(OPTIONAL_SHARE):
                _render_into(parts, node.body, field, dice)
        else:
            _render_into(parts, dice.pick(node.options), field, dice)


def _parse_until(tokens: list[str], start: int, closer: str) -> tuple[Sequence_, int]:
    nodes: list[Node] = []
    at = start
    while at < len(tokens):
        token = tokens[at]
        if token == closer or (closer == ">" and token == "|"):
            return tuple(nodes), at
        if token == "{":
            nodes.append(Field(tokens[at + 1]))
            at += 3
        elif token == "[":
            body, end = _parse_until(tokens, at + 1, "]")
            nodes.append(Maybe(body))
            at = end + 1
        elif token == "<":
            choice, at = _parse_choice(tokens, at + 1)
            nodes.append(choice)
        else:
            nodes.append(token[1:] if token.startswith("\\") else token)
            at += 1
    if closer:
        raise ValueError(f"expected {closer!r} in template, got {''.join(tokens)!r}")
    return tuple(nodes), at


def _parse_choice(tokens: list[str], start: int) -> tuple[Choice, int]:
    options: list[Sequence_] = []
    at = start
    while True:
        body, at = _parse_until(tokens, at, ">")
        options.append(body)
        at += 1
        if tokens[at - 1] == ">":
            return Choice(tuple(options)), at
