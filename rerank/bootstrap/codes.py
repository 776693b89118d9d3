"""Part numbers as board partners write them, drawn from the table that reading them uses too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import NamedTuple

from rerank.bootstrap.grammar import Dice, Sequence_, fill, parse
from rerank.index.naming import parse_model
from rerank.index.part_numbers import PARTNERS, Board, Rule, written
from rerank.index.records import GpuRecord

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
DIGITS = "0123456789"


class PartNumber(NamedTuple):
    """A part number, and whether it spells the model and the memory size."""

    text: str
    identifies: bool
    states_memory: bool


def letters(n: int, dice: Dice) -> str:
    """Return n random capitals."""
    return "".join(dice.pick(LETTERS) for _ in range(n))


def digits(n: int, dice: Dice) -> str:
    """Return n random digits."""
    return "".join(dice.pick(DIGITS) for _ in range(n))


def part_number(partner: str, record: GpuRecord, dice: Dice) -> PartNumber | None:
    """Return a code of a product by a partner's rules, or None if it has none for it.

    :param partner: the ``codes`` column of partners.yaml, a key of `PARTNERS`.
    """
    board = Board(record, parse_model(record.model))
    for rule in PARTNERS.get(partner, ()):
        if board.kind in rule.kinds.split() and rule.when(board) and _falls_to(rule, dice):
            return PartNumber(_filled(rule.text, board, dice), *rule.says)
    return None


def _falls_to(rule: Rule, dice: Dice) -> bool:
    return rule.chance == 1 or (rule.chance > 0 and dice.chance(rule.chance))


def _filled(text: str, board: Board, dice: Dice) -> str:
    def field(name: str) -> str:
        draw = _DRAWS.get(name[0])
        if draw is not None:
            return draw(name[1:], board, dice)
        value = board.fields[name]
        return _filled(value, board, dice) if "<" in value else value

    return fill(_template(text), field, dice)


@cache
def _template(text: str) -> Sequence_:
    return parse(written(text))


def _listed(wanted: str, board: Board, dice: Dice) -> str:
    """Return a listed number that begins with a text, digits added up to a length."""
    start, _, length = wanted.partition(":")
    number = dice.pick(board.lists(start))
    return number + digits(max(0, int(length) - len(number)), dice)


_DRAWS: Mapping[str, Callable[[str, Board, Dice], str]] = {
    "?": lambda items, _, dice: dice.pick(items),
    "#": lambda n, _, dice: digits(int(n), dice),
    "@": lambda n, _, dice: letters(int(n), dice),
    "=": _listed,
}
