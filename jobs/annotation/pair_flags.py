"""What people type about preference pairs, read the same from an option and at a prompt."""

from __future__ import annotations

import getpass
import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from rerank.rankers.pairs import CANDIDATE_TYPE
from rerank.store.preferences import PairSource, PreferenceItem, PreferenceLabel, PreferencePair

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


PAIRS, QUERY_PACKS = "pairs", "query-packs"


@dataclass(frozen=True, slots=True)
class ExportFlags:
    """What was given; None or False is a flag that was not."""

    out: Path | None
    item_type: str | None
    embeddings: bool
    only_stats: bool
    n_generated: int | None
    negatives: int | None
    seed: int | None
    overwrite: bool

    def check(self, export_format: str) -> None:
        """Check that the flags go together.

        :raises click.UsageError: if one is of the other format, or nothing says where to write.
        """
        of_pairs = {
            "--item-type": self.item_type is not None,
            "--embeddings": self.embeddings,
            "--stats": self.only_stats,
        }
        of_packs = {
            "--bootstrap": self.n_generated is not None,
            "--negatives": self.negatives is not None,
            "--seed": self.seed is not None,
        }
        foreign = of_pairs if export_format == QUERY_PACKS else of_packs
        wrong = [name for name, given in foreign.items() if given]
        if wrong:
            raise click.UsageError(f"--format {export_format}: does not take {', '.join(wrong)}")
        if self.out is None and not self.only_stats:
            raise click.UsageError(
                "expected --out DIR"
                + (", or --stats to write nothing" if export_format == PAIRS else "")
            )


_LABELS: dict[str, PreferenceLabel] = {"1": 1, "0": 0, "-1": -1}
_OUTCOMES: dict[str, PreferenceLabel] = {"improved": 1, "same": 0, "worsened": -1}


@dataclass(frozen=True, slots=True)
class PairFlags:
    """The flags of `rerank pairs add` that describe a pair; None is one not given."""

    item_type: str | None = None
    item_a: str | None = None
    item_b: str | None = None
    label: str | None = None
    reason_tags: tuple[str, ...] | None = None
    similarity: float | None = None
    metrics_a: dict[str, float] | None = None
    metrics_b: dict[str, float] | None = None
    embedding_id_a: str | None = None
    embedding_id_b: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no flag was given."""
        return all(getattr(self, field.name) is None for field in fields(self))

    def pair(self, annotator: str) -> PreferencePair:
        """Return the pair.

        :raises click.UsageError: if a flag is missing or the items are one.
        """
        item_type, a, b, label = self.item_type, self.item_a, self.item_b, self.label
        if item_type is None or a is None or b is None or label is None:
            needed = ("item_type", "item_a", "item_b", "label")
            missing = [
                f"--{name.replace('_', '-')}" for name in needed if getattr(self, name) is None
            ]
            raise click.UsageError(f"missing {', '.join(missing)}; or use --interactive")
        if a == b:
            raise click.UsageError(
                f"--item-a and --item-b: expected two items, got {a!r:.80} twice"
            )
        return PreferencePair(
            PreferenceItem(item_type, a, self.metrics_a or {}, None, self.embedding_id_a),
            PreferenceItem(item_type, b, self.metrics_b or {}, None, self.embedding_id_b),
            _LABELS[label],
            PairSource.MANUAL,
            annotator,
            self.reason_tags or (),
            self.similarity,
        )


@dataclass(frozen=True, slots=True)
class CaptureFlags:
    """The flags of `rerank pairs capture` that describe what happened."""

    source: str
    item_type: str
    chosen: str | None
    over: tuple[str, ...]
    before: str | None
    after: str | None
    outcome: str | None
    reason_tags: tuple[str, ...] | None
    metrics: tuple[tuple[str, str], ...]

    def pairs(self, annotator: str) -> list[PreferencePair]:
        """Return the pairs: of a change one, of a choice one for each item that was not taken.

        :raises click.UsageError: if a flag is missing, does not belong, or items are one.
        """
        source = PairSource(self.source)
        given = self._flags_given()
        needed = {
            PairSource.USER_CHOICE: {"--chosen", "--over"},
            PairSource.BEFORE_AFTER: {"--before", "--after", "--improved, --worsened or --same"},
        }[source]
        if given != needed:
            wrong = sorted(given - needed)
            missing = ", ".join(sorted(needed - given))
            raise click.UsageError(
                f"--source {source.value}: "
                + (f"does not take {', '.join(wrong)}" if wrong else f"missing {missing}")
            )
        if source is PairSource.USER_CHOICE:
            references = [(self.chosen or "", other) for other in dict.fromkeys(self.over)]
        else:
            references = [(self.after or "", self.before or "")]
        return self._pairs(references, source, _OUTCOMES[self.outcome or "improved"], annotator)

    def _pairs(
        self,
        references: list[tuple[str, str]],
        source: PairSource,
        label: PreferenceLabel,
        annotator: str,
    ) -> list[PreferencePair]:
        items = self._items({name for pair in references for name in pair})
        same = [a for a, b in references if a == b]
        if same:
            raise click.UsageError(f"expected different items, got {same[0]!r:.80} twice")
        return [
            PreferencePair(items[a], items[b], label, source, annotator, self.reason_tags or ())
            for a, b in references
        ]

    def _items(self, references: set[str]) -> dict[str, PreferenceItem]:
        metrics: dict[str, dict[str, float]] = {}
        for reference, text in self.metrics:
            if reference not in references or reference in metrics:
                raise click.UsageError(
                    f"--metrics: expected an item of this call, once each, got {reference!r:.80}"
                )
            metrics[reference] = read_metrics(text)
        return {
            reference: PreferenceItem(self.item_type, reference, metrics.get(reference, {}))
            for reference in references
        }

    def _flags_given(self) -> set[str]:
        flags = {
            "--chosen": self.chosen,
            "--over": self.over or None,
            "--before": self.before,
            "--after": self.after,
            "--improved, --worsened or --same": self.outcome,
        }
        return {name for name, value in flags.items() if value is not None}


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
