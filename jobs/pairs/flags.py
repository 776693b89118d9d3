"""Preference pairs out of a command's flags."""

from __future__ import annotations

from dataclasses import dataclass, fields

import click

from jobs.pairs.arguments import read_metrics
from rerank.store.preferences import PairSource, PreferenceItem, PreferenceLabel, PreferencePair

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
