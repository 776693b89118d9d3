"""Ask for a preference pair, one question after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import click

from jobs.pairs.arguments import LABELS, read_metrics, read_similarity, read_tags
from jobs.pairs.flags import PairFlags
from rerank.annotation.candidate_items import CANDIDATE_TYPE

T = TypeVar("T")


def prompted(flags: PairFlags) -> PairFlags:
    """Return flags with what was not given asked for on stderr; stdout is for the result.

    :raises click.Abort: if the answers end.
    """
    item_type = flags.item_type or _ask("Item type", default=CANDIDATE_TYPE)
    item_a = flags.item_a or _ask("Item a")
    item_b = flags.item_b or _ask_for_another(item_a)
    label = flags.label or _ask(
        "Label (1: a is better, -1: b is better, 0: neither)",
        type=click.Choice(LABELS),
        show_choices=False,
    )
    tags = flags.reason_tags
    if tags is None:
        tags = _read("Reason tags, separated by commas", read_tags)
    flags = replace(
        flags, item_type=item_type, item_a=item_a, item_b=item_b, label=label, reason_tags=tags
    )
    return flags if item_type == CANDIDATE_TYPE else _described(flags)


def confirm(question: str) -> bool:
    """Ask a question that is answered by y or n; no answer is no."""
    return click.confirm(question, default=False, err=True)


def _described(flags: PairFlags) -> PairFlags:
    """Ask for what is looked up of a candidate: its metrics, and the similarity."""
    metrics_a, metrics_b, similarity = flags.metrics_a, flags.metrics_b, flags.similarity
    if metrics_a is None:
        metrics_a = _read("Metrics of a, as NAME=NUMBER,...", read_metrics)
    if metrics_b is None:
        metrics_b = _read("Metrics of b, as NAME=NUMBER,...", read_metrics)
    if similarity is None:
        similarity = _read("Similarity, -1 to 1, if known", read_similarity)
    return replace(flags, metrics_a=metrics_a, metrics_b=metrics_b, similarity=similarity)


def _ask_for_another(item_a: str) -> str:
    while (item_b := _ask("Item b")) == item_a:
        click.echo("Expected another item than a.", err=True)
    return item_b


def _ask(question: str, **settings: Any) -> str:
    answer: str = click.prompt(question, err=True, **settings)
    return answer


def _read(question: str, read: Callable[[str], T]) -> T:
    """Ask until the answer can be read; an empty one can."""
    answer: T = click.prompt(question, default="", show_default=False, value_proc=read, err=True)
    return answer
