"""What people type about preference pairs: read, checked and asked for the same everywhere.

A command's flags come as a mapping by parameter; None is one that was not given.
"""

from __future__ import annotations

import getpass
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from rerank.rankers.pairs import CANDIDATE_TYPE
from rerank.store.rows import PairSource, PreferenceItem, PreferenceLabel, PreferencePair

LABELS: dict[str, PreferenceLabel] = {"1": 1, "0": 0, "-1": -1}
Flags = Mapping[str, Any]
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
    return lambda context, parameter, value: None if value is None else read(value)


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


PAIRS, QUERY_PACKS = "pairs", "query-packs"
_OF_FORMAT = {
    PAIRS: {"--item-type": "item_type", "--embeddings": "embeddings", "--stats": "only_stats"},
    QUERY_PACKS: {"--bootstrap": "n_generated", "--negatives": "negatives", "--seed": "seed"},
}


def check_export(export_format: str, given: Flags) -> None:
    """Check that the flags of an export go together.

    :raises click.UsageError: if one is of the other format, or nothing says where to write.
    """
    wrong = [
        flag
        for flag, name in _OF_FORMAT[PAIRS if export_format == QUERY_PACKS else QUERY_PACKS].items()
        if given[name] is not None and given[name] is not False
    ]
    if wrong:
        raise click.UsageError(f"--format {export_format}: does not take {', '.join(wrong)}")
    if given["out"] is None and not given["only_stats"]:
        nothing = ", or --stats to write nothing" if export_format == PAIRS else ""
        raise click.UsageError(f"expected --out DIR{nothing}")


def stated_pair(given: Flags, annotator: str) -> PreferencePair:
    """Return the pair that the flags of `rerank pairs add` describe.

    :raises click.UsageError: if a flag is missing or the items are one.
    """
    needed = ("item_type", "item_a", "item_b", "label")
    missing = [f"--{name.replace('_', '-')}" for name in needed if given[name] is None]
    if missing:
        raise click.UsageError(f"missing {', '.join(missing)}; or use --interactive")
    if given["item_a"] == given["item_b"]:
        raise click.UsageError(
            f"--item-a and --item-b: expected two items, got {given['item_a']!r:.80} twice"
        )
    a, b = (
        PreferenceItem(
            given["item_type"],
            given[f"item_{side}"],
            given[f"metrics_{side}"] or {},
            embedding_id=given[f"embedding_id_{side}"],
        )
        for side in "ab"
    )
    label, tags = LABELS[given["label"]], given["reason_tags"] or ()
    return PreferencePair(a, b, label, PairSource.MANUAL, annotator, tags, given["similarity"])


_OUTCOMES: dict[str | None, PreferenceLabel] = {None: 1, "improved": 1, "same": 0, "worsened": -1}
_OF_SOURCE = {
    PairSource.USER_CHOICE: {"chosen": "--chosen", "over": "--over"},
    PairSource.BEFORE_AFTER: {
        "before": "--before",
        "after": "--after",
        "outcome": "--improved, --worsened or --same",
    },
}


def captured_pairs(given: Flags, annotator: str) -> list[PreferencePair]:
    """Return the pairs of `rerank pairs capture`.

    Of a change it is one, of a choice one for each item that was not taken.

    :raises click.UsageError: if a flag is missing, does not belong, or items are one.
    """
    source = PairSource(given["source"])
    flags = {name: flag for names in _OF_SOURCE.values() for name, flag in names.items()}
    needed = set(_OF_SOURCE[source].values())
    told = {flag for name, flag in flags.items() if given[name] not in (None, ())}
    if told != needed:
        wrong, missing = ", ".join(sorted(told - needed)), ", ".join(sorted(needed - told))
        fault = f"does not take {wrong}" if wrong else f"missing {missing}"
        raise click.UsageError(f"--source {source.value}: {fault}")
    if source is PairSource.USER_CHOICE:
        references = [(given["chosen"], other) for other in dict.fromkeys(given["over"])]
    else:
        references = [(given["after"], given["before"])]
    items = _captured_items({name for pair in references for name in pair}, given)
    same = [a for a, b in references if a == b]
    if same:
        raise click.UsageError(f"expected different items, got {same[0]!r:.80} twice")
    label, tags = _OUTCOMES[given["outcome"]], given["reason_tags"] or ()
    return [
        PreferencePair(items[a], items[b], label, source, annotator, tags) for a, b in references
    ]


def _captured_items(references: set[str], given: Flags) -> dict[str, PreferenceItem]:
    metrics: dict[str, dict[str, float]] = {}
    for reference, text in given["metrics"]:
        if reference not in references or reference in metrics:
            raise click.UsageError(
                f"--metrics: expected an item of this call, once each, got {reference!r:.80}"
            )
        metrics[reference] = read_metrics(text)
    return {
        reference: PreferenceItem(given["item_type"], reference, metrics.get(reference, {}))
        for reference in references
    }


def prompted(given: Flags) -> dict[str, Any]:
    """Return flags with what was not given asked for on stderr; stdout is for the result.

    What is looked up of a candidate, its metrics and the similarity, is asked of other items only.

    :raises click.Abort: if the answers end.
    """
    answers = dict(given)

    def ask(name: str, question: str, **settings: Any) -> None:
        """Ask until the answer can be read."""
        if answers[name] is None or answers[name] == "":
            answers[name] = click.prompt(question, err=True, **settings)

    def ask_to_read(name: str, question: str, read: Callable[[str], Any]) -> None:
        ask(name, question, default="", show_default=False, value_proc=read)

    def another(item_b: str) -> str:
        if item_b == answers["item_a"]:
            raise click.BadParameter("Expected another item than a.")
        return item_b

    ask("item_type", "Item type", default=CANDIDATE_TYPE)
    ask("item_a", "Item a")
    ask("item_b", "Item b", value_proc=another)
    told = "Label (1: a is better, -1: b is better, 0: neither)"
    ask("label", told, type=click.Choice(list(LABELS)), show_choices=False)
    ask_to_read("reason_tags", "Reason tags, separated by commas", read_tags)
    if answers["item_type"] != CANDIDATE_TYPE:
        ask_to_read("metrics_a", "Metrics of a, as NAME=NUMBER,...", read_metrics)
        ask_to_read("metrics_b", "Metrics of b, as NAME=NUMBER,...", read_metrics)
        ask_to_read("similarity", "Similarity, -1 to 1, if known", read_similarity)
    return answers


def confirm(question: str) -> bool:
    """Ask a question that is answered by y or n; no answer is no."""
    return click.confirm(question, default=False, err=True)
