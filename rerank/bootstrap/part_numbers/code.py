"""A board partner's part number and small helpers to write one."""

from __future__ import annotations

from dataclasses import dataclass

from rerank.bootstrap.dice import Dice

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
DIGITS = "0123456789"


@dataclass(frozen=True, slots=True)
class Code:
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


def full_code(text: str) -> Code:
    """Return a code that spells model and memory."""
    return Code(text, identifies=True, states_memory=True)


def model_code(text: str) -> Code:
    """Return a code that spells the model, but not the memory."""
    return Code(text, identifies=True, states_memory=False)


def shop_code(text: str) -> Code:
    """Return a code that only its maker can read."""
    return Code(text, identifies=False, states_memory=False)
