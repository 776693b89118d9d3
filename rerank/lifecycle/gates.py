"""Gates: what a candidate has shown, held against what it must show. Nothing is measured here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rerank.evaluation.catalogue import Better, metric_named
from rerank.evaluation.comparison import Comparison
from rerank.evaluation.intervals import Figure
from rerank.lifecycle.gains import SliceGain
from rerank.lifecycle.promotion_settings import (
    Bounds,
    GainSettings,
    LatencySettings,
    SliceSettings,
)


@dataclass(frozen=True, slots=True)
class Gate:
    """One thing a candidate must show.

    :param name: what is judged.
    :param figure: what was found; None where it is no number.
    :param bound: what it is held against; None where it is no number.
    :param at_most: whether the figure may not be above the bound, instead of not below it.
    :param words: what else there is to know; why it failed where there is no number.
    """

    name: str
    passed: bool
    figure: Figure | None = None
    bound: float | None = None
    at_most: bool = False
    words: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "name": self.name,
            "passed": self.passed,
            "figure": None if self.figure is None else self.figure.as_dict(),
            "bound": self.bound,
            "at_most": self.at_most,
            "words": self.words,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a model may serve, with everything that says so.

    :param metrics: figures of both models and their differences, as JSON values.
    """

    gates: tuple[Gate, ...]
    metrics: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every gate is passed."""
        return not self.failed

    @property
    def failed(self) -> tuple[str, ...]:
        """The names of the gates that are not passed."""
        return tuple(gate.name for gate in self.gates if not gate.passed)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "passed": self.passed,
            "gates": [gate.as_dict() for gate in self.gates],
            "metrics": self.metrics,
        }


def floor_gates(set_name: str, figures: Mapping[str, Figure], floors: Bounds) -> list[Gate]:
    """Judge figures of one set by their values; what was not measured is not judged."""
    gates = []
    for name, bound in floors.items():
        figure, metric = figures[name], metric_named(name)
        at_most = metric.better is Better.LOWER
        label = f"{set_name}: {metric.label}"
        if figure.value is None:
            gates.append(Gate(label, True, words="no listing to measure it on"))
        else:
            passed = figure.value <= bound if at_most else figure.value >= bound
            gates.append(Gate(label, passed, figure, bound, at_most))
    return gates


def gain_gates(gains: Sequence[Comparison], settings: GainSettings) -> list[Gate]:
    """Judge the low ends of the gains over the champion."""
    gates, better = [], False
    for gain in gains:
        label = f"gain in {metric_named(gain.metric).label}"
        if gain.difference is None or gain.ci95 is None:
            gates.append(Gate(label, True, words="no listing to measure it on"))
            continue
        bound = settings.lowest[gain.metric]
        better = better or gain.ci95[0] > 0
        gates.append(
            Gate(label, gain.ci95[0] >= bound, _figure(gain), bound, words="low end of the gain")
        )
    if settings.require:
        words = "better beyond chance in one" if better else "no gain is beyond chance"
        gates.append(Gate("a gain beyond chance", better, words=words))
    return gates


def slice_gates(gains: Sequence[SliceGain], settings: SliceSettings) -> list[Gate]:
    """Judge slices: one gate for each that lost beyond chance, or one for all if none did.

    :param gains: with p-values corrected over all of them.
    """
    lost = [each for each in gains if is_lost(each.gain, settings.level)]
    if lost:
        return [
            Gate(
                each.label,
                False,
                _figure(each.gain),
                0.0,
                words=f"p {each.gain.p_adjusted:.2g} after Holm",
            )
            for each in lost
        ]
    if not gains:
        words = f"none has {settings.min_listings} listings"
        return [Gate("guarded slices", True, words=words)]
    worst = min(gains, key=lambda each: each.gain.difference or 0.0)
    return [
        Gate(
            f"{len(gains)} guarded slices",
            True,
            _figure(worst.gain),
            None,
            words=f"worst: {worst.label}",
        )
    ]


def is_lost(gain: Comparison, level: float) -> bool:
    """Tell whether a loss is beyond chance: the interval below 0, and the corrected p-value."""
    return (
        gain.ci95 is not None
        and gain.ci95[1] < 0
        and gain.p_adjusted is not None
        and gain.p_adjusted < level
    )


def latency_gates(figures: Mapping[str, Figure], settings: LatencySettings) -> list[Gate]:
    """Judge times and ratios by their values.

    :param figures: by name of the bound in the settings; those of ratios may be missing.
    """
    return [
        Gate(words, (figure.value or 0.0) <= bound, figure, bound, at_most=True)
        for name, words in _LATENCY_WORDS.items()
        if (figure := figures.get(name)) is not None
        for bound in [float(getattr(settings, name))]
    ]


def size_gate(megabytes: float, most: float) -> Gate:
    """Judge the size of the model's folder, in millions of bytes."""
    figure = Figure(round(megabytes, 3), None, 1)
    return Gate("size, MB", megabytes <= most, figure, most, at_most=True)


_LATENCY_WORDS = {
    "p50_ms": "latency p50, ms",
    "p99_ms": "latency p99, ms",
    "p50_ratio": "latency p50, ratio to champion",
    "p99_ratio": "latency p99, ratio to champion",
}


def _figure(compared: Comparison) -> Figure:
    return Figure(compared.difference, compared.ci95, compared.n)
