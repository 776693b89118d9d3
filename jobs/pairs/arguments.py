"""What people type about preference pairs, read the same from an option and at a prompt."""

from __future__ import annotations

import getpass
import math
from collections.abc import Callable
from typing import Any, TypeVar

import click

LABELS = ("1", "0", "-1")
T = TypeVar("T")


def read_metrics(text: str) -> dict[str, float]:
    """Return numbers by name out of ``clarity=0.8,impact=0.7``.

    :raises click.BadParameter: at a name without a finite number, or one that stands twice.
    """
    metrics: dict[str, float] = {}
    for part in filter(str.strip, text.split(",")):
        name, _, number = (piece.strip() for piece in part.partition("="))
        value = _number(number)
        if not name or name in metrics or not math.isfinite(value):
            raise click.BadParameter(
                f"expected NAME=NUMBER, finite and each name once, got {part!r:.60}"
            )
        metrics[name] = value
    return metrics


def read_tags(text: str) -> tuple[str, ...]:
    """Return the words between commas, each once, in their order."""
    return tuple(dict.fromkeys(tag.strip() for tag in text.split(",") if tag.strip()))


def read_similarity(text: str) -> float | None:
    """Return a number from -1 to 1; None for an empty text.

    :raises click.BadParameter: at anything else.
    """
    value = _number(text)
    if not text.strip():
        return None
    if not -1 <= value <= 1:  # nan is not, either
        raise click.BadParameter(f"expected a number from -1 to 1, got {text!r:.60}")
    return value


def read_with(read: Callable[[str], T]) -> Callable[..., T | None]:
    """Return a callback that reads an option's text, if it is given."""

    def callback(ctx: click.Context, param: click.Parameter, value: str | None) -> T | None:
        return None if value is None else read(value)

    return callback


def login_name(ctx: Any = None, param: Any = None, value: str | None = None) -> str:
    """Return the name given, else the user's login name; also the callback of ``--annotator``.

    :raises click.UsageError: if there is none to be found.
    """
    if value is not None and value.strip():
        return value.strip()
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError) as exc:  # a container's user may have no name
        raise click.UsageError("the user has no login name; name one with --annotator") from exc


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
