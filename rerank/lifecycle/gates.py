"""Gates: what a candidate has shown, held against what it must show. Nothing is measured here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from rerank.evaluation.intervals import DEFAULT_PERMUTATIONS, Comparison, Figure, adjusted
from rerank.evaluation.metrics import METRICS, Better, metric_named
from rerank.evaluation.paired import (
    CANDIDATE,
    CHAMPION,
    NO_MATCH,
    SET_SLICE,
    SLICES,
    UNKNOWN,
    PairedTable,
    as_gain,
)
from rerank.settings import FLAG, TEXTS, Settings, between, one_of, read_settings

FITS, PARITY, CHAMPION_GATE = "fits the index", "reference answers", "champion to compare with"


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
class GateVerdict:
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
        return [Gate("guarded slices", True, words=f"none has {settings.min_listings} listings")]
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


Bounds = Mapping[str, float]
"""Of metrics by name, the least value, or the greatest where lower is better."""

HARD_SET, GENERATED, ANNOTATED = "hard_set", "bootstrap_test", "annotations"
MADE_UP = "made_up"
"""The generated set of catalogues but graphics cards': it has no floors but those one sets."""
GUARDED = (SET_SLICE, "chip vendor", "generation", "language", "model", "memory")
# Two systems are paired over the same listings: not over those that each of them accepted.
PAIRED_METRICS = tuple(
    metric.name for metric in METRICS if metric.over in (None, "is_match", "is_nil")
)

_Slice = Annotated[str, one_of(SET_SLICE, *SLICES)]
# A metric is a share, and so are what it must reach and what it may lose.
_Share = Annotated[float, between(-1, 1)]
_AnyMetric = Annotated[str, one_of(*(metric.name for metric in METRICS))]
_PairedMetric = Annotated[str, one_of(*PAIRED_METRICS)]
DEFAULT_FLOORS: Mapping[str, Bounds] = {
    HARD_SET: {
        "precision_at_1": 0.90,
        "accepted_share": 0.65,
        "precision_of_accepted": 0.95,
        "nil_false_match_rate": 0.05,
        "ece": 0.10,
    },
    GENERATED: {
        "precision_at_1": 0.90,
        "accepted_share": 0.75,
        "precision_of_accepted": 0.97,
        "nil_false_match_rate": 0.05,
        "ece": 0.05,
    },
}
DEFAULT_GAIN: Bounds = {"precision_at_1": -0.003, "accepted_share": -0.01}


@dataclass(frozen=True, slots=True)
class SetSettings(Settings):
    """What is measured on.

    :param hard_set: the shipped hard set.
    :param generated: listings made up that nothing was trained on; 0 for none.
    :param annotations: the store's annotated listings that training keeps out.
    :param gold: gold files; a path counts from the folder of the settings' file.
    """

    hard_set: Annotated[bool, FLAG] = True
    generated: Annotated[int, between(0, 1_000_000)] = 4000
    annotations: Annotated[bool, FLAG] = True
    gold: Annotated[tuple[str, ...], TEXTS] = ()


@dataclass(frozen=True, slots=True)
class GainSettings(Settings):
    """What the candidate must gain over the champion, over all sets together.

    :param require: at least one of the metrics must be better beyond chance.
    :param lowest: of each metric, the least that the low end of the interval of its gain may be.
    """

    require: Annotated[bool, FLAG] = False
    lowest: Mapping[_PairedMetric, _Share] = field(default_factory=lambda: dict(DEFAULT_GAIN))

    def __post_init__(self) -> None:
        if self.require and not self.lowest:
            raise ValueError(
                "require: expected a metric in gain.lowest that is to gain, found none"
            )


@dataclass(frozen=True, slots=True)
class SliceSettings(Settings):
    """Which parts of the listings must not get worse.

    :param guarded: slices of `rerank evaluate`, and ``set``.
    :param metrics: what must not get worse on them.
    :param min_listings: slices with fewer are not judged.
    :param level: chance that any slice of an equal model is taken for worse.
    """

    guarded: tuple[_Slice, ...] = GUARDED
    metrics: tuple[_PairedMetric, ...] = (
        "precision_at_1",
        "accepted_share",
        "nil_false_match_rate",
    )
    min_listings: Annotated[int, between(1, 1_000_000)] = 30
    level: Annotated[float, between(1e-4, 0.5)] = 0.05


@dataclass(frozen=True, slots=True)
class LatencySettings(Settings):
    """How long one listing may take, the fastest of its runs; ratios are to the champion.

    :param listings: how many are timed; 0 for none, and no budget.
    :param runs: of each listing by each model, in turns.
    """

    listings: Annotated[int, between(0, 100_000)] = 200
    runs: Annotated[int, between(1, 100)] = 3
    p50_ms: Annotated[float, between(0.001, 1e6)] = 10.0
    p99_ms: Annotated[float, between(0.001, 1e6)] = 40.0
    p50_ratio: Annotated[float, between(0.01, 1e6)] = 1.5
    p99_ratio: Annotated[float, between(0.01, 1e6)] = 3.0


@dataclass(frozen=True, slots=True)
class PromotionSettings(Settings):
    """All gates.

    :param samples: resamples behind each interval; ``seed`` draws them.
    :param size_mb: of the model's folder, in millions of bytes.
    :param parity: a model without reference answers is refused.
    :param floors: of each set, of each metric, the least value, or the greatest where lower is
        better; a set that is not measured is not judged.
    """

    seed: Annotated[int, between(0, 2**31 - 1)] = 20
    samples: Annotated[int, between(20, 100_000)] = 1000
    size_mb: Annotated[float, between(0.001, 1e6)] = 60.0
    parity: Annotated[bool, FLAG] = False
    sets: SetSettings = field(default_factory=SetSettings)
    gain: GainSettings = field(default_factory=GainSettings)
    slices: SliceSettings = field(default_factory=SliceSettings)
    latency: LatencySettings = field(default_factory=LatencySettings)
    floors: Mapping[str, Mapping[_AnyMetric, _Share]] = field(
        default_factory=lambda: dict(DEFAULT_FLOORS)
    )


@dataclass(frozen=True, slots=True)
class CatalogueLatency(LatencySettings):
    """How long a listing may take over any goods, of which less is known than of one kind's names.

    With 3,000 products on two busy cores the median takes 25 ms.
    """

    p50_ms: Annotated[float, between(0.001, 1e6)] = 100.0
    p99_ms: Annotated[float, between(0.001, 1e6)] = 400.0


@dataclass(frozen=True, slots=True)
class CatalogueGain(GainSettings):
    """What is to be gained over any goods, where training again moves figures by more.

    With another seed .01 of made-up listings have another product first, and what is accepted
    moves by up to .06: as good a model is to pass.
    """

    lowest: Mapping[_PairedMetric, _Share] = field(
        default_factory=lambda: {"precision_at_1": -0.01, "accepted_share": -0.07}
    )


@dataclass(frozen=True, slots=True)
class CataloguePromotion(PromotionSettings):
    """All gates over a catalogue of any goods."""

    gain: CatalogueGain = field(default_factory=CatalogueGain)
    latency: CatalogueLatency = field(default_factory=CatalogueLatency)


def read_promotion_settings(
    path: Path, kind: type[PromotionSettings] = PromotionSettings
) -> PromotionSettings:
    """Read and check a file of settings; its gold files count from its own folder.

    :param kind: with the defaults of the goods.
    :raises InputError: as `rerank.settings.read_settings`.
    """
    settings = read_settings(kind, path)
    gold = tuple(str(path.parent / name) for name in settings.sets.gold)
    return replace(settings, sets=replace(settings.sets, gold=gold))


@dataclass(frozen=True, slots=True)
class SliceGain:
    """What the candidate gains on one slice, by one metric."""

    slice_name: str
    value: str
    gain: Comparison

    @property
    def label(self) -> str:
        """The slice and the metric in words."""
        return f"{self.slice_name} {self.value}: {metric_named(self.gain.metric).label}"


def gains_of(table: PairedTable, settings: GainSettings) -> list[Comparison]:
    """Compare on all sets together; none without a champion.

    :returns: of each metric the gain, p-values corrected over them by Holm.
    """
    if CHAMPION not in table.systems:
        return []
    metrics = map(metric_named, settings.lowest)
    return adjusted([as_gain(table.compared(metric, CANDIDATE, CHAMPION)) for metric in metrics])


def slice_gains_of(table: PairedTable, settings: SliceSettings) -> list[SliceGain]:
    """Compare on each guarded slice with enough listings; none without a champion.

    No-match listings are a value of most slices, the same ones each time: the sets guard them.

    :returns: p-values corrected over all slices and metrics by Holm, from so many permutations
        that the least of them can still pass.
    """
    if CHAMPION not in table.systems:
        return []
    asked = [
        (name, value, metric, where)
        for name in settings.guarded
        for values in [table.sliced(name)]
        for value, where in values.items()
        if value != NO_MATCH and (name == SET_SLICE or len(values.keys() - {NO_MATCH}) > 1)
        for metric in map(metric_named, settings.metrics)
        if int(table.counted(metric, CANDIDATE, where=where).sum()) >= settings.min_listings
    ]
    permutations = max(DEFAULT_PERMUTATIONS, math.ceil(2 * len(asked) / settings.level))
    gains = adjusted(
        [
            as_gain(
                table.compared(metric, CANDIDATE, CHAMPION, where=where, permutations=permutations)
            )
            for _, _, metric, where in asked
        ]
    )
    return [
        SliceGain(name, value or UNKNOWN, gain)
        for (name, value, _, _), gain in zip(asked, gains, strict=True)
    ]
