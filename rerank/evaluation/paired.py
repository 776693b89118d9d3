"""Systems beside each other on the same listings: the one table that comparisons read.

Whatever is compared, a model with baselines, rankers with each other, a version with the one that
serves, a ranker with itself without some features: each listing is a row, each system has its
columns, and all figures, differences and tests are over the same resamples of the listings' groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rerank.evaluation.baselines import Resolves
from rerank.evaluation.gold import GoldKind, GoldListing, Split, canonical_key, split_of
from rerank.evaluation.intervals import (
    DEFAULT_PERMUTATIONS,
    DEFAULT_SAMPLES,
    Comparison,
    Figure,
    Resampling,
    adjusted,
    compare,
    listings_needed,
)
from rerank.evaluation.metrics import (
    ACCEPTED_SHARE,
    BRIER,
    ECE,
    FALSE_ACCEPTS,
    METRICS,
    PRECISION_AT_1,
    SHARE,
    Better,
    Metric,
    metric_named,
)
from rerank.evaluation.outcomes import is_judged, judge
from rerank.index.errors import InputError
from rerank.index.records import Bools, Doubles, GpuRecord, Listing, Progress
from rerank.index.text import normalise
from rerank.model import RerankModel
from rerank.ranking import Ranker
from rerank.resolution import DECISIONS, Resolution

Figures = dict[str, Figure]
Texts = NDArray[np.object_]


class Columns(Protocol):
    """What metrics read of a system, by name: `Outcomes`, or a mapping."""

    def __getitem__(self, column: str, /) -> NDArray[Any]:
        """Return a column, one entry a listing."""


@dataclass(frozen=True, slots=True, eq=False)
class PairedTable:
    """Listings by systems.

    :param systems: what came of each system by name, all of the same listings in the same order.
        A system that was asked about some matches only has those alone as its ``is_match``.
    :param resampling: of these listings.
    :param slices: of each slice the value of every listing, empty where it is unknown.
    """

    systems: Mapping[str, Columns]
    resampling: Resampling
    slices: Mapping[str, Texts] = field(default_factory=dict)

    def counted(self, metric: Metric, *systems: str, where: Bools | None = None) -> Bools:
        """Return which listings a metric counts of all these systems, shape (listings,)."""
        mask = np.ones(self.resampling.n_rows, np.bool_) if where is None else where
        for system in systems if metric.over is not None else ():
            mask = mask & self.systems[system][str(metric.over)]
        return np.asarray(mask, np.bool_)

    def figures(
        self, system: str, metrics: Iterable[Metric] = METRICS, *, where: Bools | None = None
    ) -> Figures:
        """Return a system's figures by metric, over the listings of ``where``."""
        return {
            metric.name: self.resampling.figure(
                metric,
                *self.read(metric, system),
                where=self.counted(metric, system, where=where),
            )
            for metric in metrics
        }

    def compared(
        self,
        metric: Metric,
        system: str,
        baseline: str,
        *,
        where: Bools | None = None,
        permutations: int = DEFAULT_PERMUTATIONS,
    ) -> Comparison:
        """Return a system's difference to another on the listings that both were asked."""
        return compare(
            self.resampling,
            metric,
            self.read(metric, system),
            self.read(metric, baseline),
            system=system,
            baseline=baseline,
            where=self.counted(metric, system, baseline, where=where),
            permutations=permutations,
        )

    def against(
        self, baseline: str, metric: Metric, systems: Iterable[str] | None = None
    ) -> list[Comparison]:
        """Compare systems with one of them; p-values corrected over them by Holm.

        :param systems: None for all.
        """
        others = [name for name in (systems or self.systems) if name != baseline]
        return adjusted([self.compared(metric, name, baseline) for name in others])

    def sliced(self, name: str) -> dict[str, Bools]:
        """Return which listings have each value of a slice, by value."""
        column = self.slices[name].astype(str)
        return {value: column == value for value in np.unique(column).tolist()}

    def read(self, metric: Metric, system: str) -> list[NDArray[Any]]:
        """Return the columns of a system that a metric reads."""
        return [self.systems[system][column] for column in metric.columns]


def within(progress: Progress, name: str) -> Progress:
    """Return what shows a stage as one of a whole of this name."""
    return lambda stage, share: progress(f"{name}: {stage}", share)


def plain(figures: Figures) -> dict[str, Any]:
    """Return figures as plain values for JSON."""
    return {name: figure.as_dict() for name, figure in figures.items()}


def as_gain(compared: Comparison) -> Comparison:
    """Return a comparison with its difference as a gain: above 0 where the first is better."""
    if metric_named(compared.metric).better is Better.HIGHER or compared.difference is None:
        return compared
    turned = None if compared.ci95 is None else (-compared.ci95[1], -compared.ci95[0])
    return replace(compared, difference=-compared.difference, ci95=turned)


UNKNOWN = "unknown"
NO_MATCH = "no match"
SET_SLICE = "set"
SLICES = ("chip vendor", "generation", "shop", "language", "model", "memory")
"""What judged listings are sliced by, besides their set."""
_UNSEEN = (Split.VALIDATION, Split.TEST)  # splits no tree was trained on


class GoldFacts(Protocol):
    """What a catalogue knows of gold listings."""

    @property
    def names(self) -> Mapping[str, str]:
        """Its models by their keys; empty where a gold listing can name no other."""

    def model(self, gold: GoldListing, /) -> str | None:
        """Return the first accepted name that the catalogue has; None if it has none."""

    def is_unseen(self, gold: GoldListing, /) -> bool:
        """Say whether no training step saw the model that a listing sells."""

    def slices(self, gold: GoldListing, /) -> tuple[str, ...]:
        """Return a listing's value of each of `SLICES`, empty where it is unknown."""


class RegistryFacts:
    """What a registry knows of the models that gold listings name."""

    def __init__(self, records: Iterable[GpuRecord]) -> None:
        self.names: dict[str, str] = {}
        self._made: dict[str, tuple[str, str]] = {}
        for record in records:
            self.names[canonical_key(record.model)] = record.model
            vendor, line = self._made.get(record.model, (record.vendor, record.generation))
            self._made[record.model] = min(vendor, record.vendor), min(line, record.generation)

    def model(self, gold: GoldListing) -> str | None:
        """Return the first accepted name that the registry has; None if it has none."""
        known = (self.names.get(canonical_key(model)) for model in gold.gold_models)
        return next((name for name in known if name), None)

    def is_unseen(self, gold: GoldListing) -> bool:
        """Say whether no training step saw the model that a listing sells."""
        model = self.model(gold)
        return model is not None and split_of(model) in _UNSEEN

    def slices(self, gold: GoldListing) -> tuple[str, ...]:
        """Return a listing's value of each of `SLICES`, empty where it is unknown."""
        if gold.kind is GoldKind.NIL:
            return (NO_MATCH, NO_MATCH, gold.shop, gold.language, NO_MATCH, NO_MATCH)
        return (
            *self._made.get(self.model(gold) or "", ("", "")),
            gold.shop,
            gold.language,
            "unseen in training" if self.is_unseen(gold) else "seen in training",
            "not stated" if gold.gold_memory_gb is None else "stated",
        )


def judged_rows(gold: Sequence[GoldListing]) -> list[int]:
    """Return the places of the listings that are judged, in the order of their ids."""
    return sorted(
        (at for at, item in enumerate(gold) if is_judged(item)), key=lambda at: gold[at].listing_id
    )


def judged_table(
    sets: Mapping[str, Sequence[GoldListing]],
    answers: Mapping[str, Mapping[str, Sequence[Resolution]]],
    facts: GoldFacts,
    *,
    seed: int,
    samples: int,
) -> PairedTable:
    """Hold answers against the judged listings of all sets, set by set, by listing_id.

    Each set is resampled by itself, so that it keeps its size in every sample.

    :param sets: at least one.
    :param answers: of each system, of each set, in the order of its listings.
    :param seed: of the first set's resamples; each of the others has the one after.
    """
    rows = [(name, at) for name, gold in sets.items() for at in judged_rows(gold)]
    judged = [sets[name][at] for name, at in rows]
    drawn = [
        Resampling.draw(
            (gold[at].group for at in judged_rows(gold)), seed=seed + number, samples=samples
        )
        for number, gold in enumerate(sets.values())
    ]  # a seed a set: sets of equal size would else be drawn alike
    slices = np.array([facts.slices(item) for item in judged], object).reshape(-1, len(SLICES))
    return PairedTable(
        {name: judge(judged, [own[of][at] for of, at in rows]) for name, own in answers.items()},
        Resampling.side_by_side(drawn),
        {
            SET_SLICE: np.array([name for name, _ in rows], object),
            **dict(zip(SLICES, slices.T, strict=True)),
        },
    )


CANDIDATE, CHAMPION = "candidate", "champion"
_BATCH = 500


def batches_of(
    gold: Sequence[GoldListing], show: Callable[[float], None]
) -> Iterator[list[Listing]]:
    """Yield the listings of a set in batches, showing the share that is done."""
    for start in range(0, len(gold), _BATCH):
        show(start / len(gold))
        yield [item.listing for item in gold[start : start + _BATCH]]


def pair(
    candidate: Resolves,
    champion: Resolves | None,
    sets: Mapping[str, Sequence[GoldListing]],
    facts: GoldFacts,
    *,
    seed: int,
    samples: int,
    progress: Progress = lambda stage, share: None,
) -> PairedTable:
    """Let the model that may serve, and the one that does, answer the listings of all sets.

    :param champion: None if it cannot be asked; then the table has the candidate alone.
    :param facts: what listings are sliced by.
    :param seed: of the resamples.
    :raises InputError: if no set has a listing that is judged.
    """
    judged = {name: gold for name, gold in sets.items() if any(map(is_judged, gold))}
    if not judged:
        raise InputError(f"expected gold listings to judge on, got {len(sets)} sets without any")
    models = {CANDIDATE: candidate} | ({} if champion is None else {CHAMPION: champion})
    answers: dict[str, dict[str, list[Resolution]]] = {}
    for label, resolver in models.items():
        for name, gold in judged.items():
            own = answers.setdefault(label, {}).setdefault(name, [])
            for listings in batches_of(gold, partial(progress, f"{label}: {name}")):
                own += resolver.resolve_many(listings)
    return judged_table(judged, answers, facts, seed=seed, samples=samples)


@dataclass(frozen=True, slots=True)
class Competitor:
    """A ranker with what decides on its scores, what it is and costs.

    :param name: its key in reports.
    :param description: a few words on what it is.
    :param model: None if it orders only, so that there is no probability.
    :param size_bytes: None where nothing is stored; so are ``training_seconds`` not recorded.
    """

    name: str
    ranker: Ranker
    description: str = ""
    model: RerankModel | None = None
    size_bytes: int | None = None
    training_seconds: float | None = None


def drawn(gold: Sequence[GoldListing], limit: int | None, *, seed: int) -> list[GoldListing]:
    """Return at most ``limit`` listings drawn by a seed, in their order; all without a limit."""
    if limit is None or len(gold) <= limit:
        return list(gold)
    rows = np.sort(np.random.default_rng(seed).choice(len(gold), limit, replace=False))
    return [gold[row] for row in rows.tolist()]


EDGES = (0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99)
"""Between the ranges of probability: narrow at the ends, where most answers lie."""
_BINS = len(EDGES) + 1
Table = tuple[tuple[int, ...], ...]


class Decided(NamedTuple):
    """One model's answers to some listings, each of shape (listings,)."""

    probability: Doubles
    accepted: Bools
    refused: Bools


@dataclass(frozen=True, slots=True)
class PairedCounts:
    """Counts over the listings that both models were asked; they add up.

    :param listings: that the challenger was asked.
    :param errors: of them, those on which it raised an error; the other counts leave them out.
    :param lost: accepted by the champion only; ``gained``: by the challenger only.
    :param refused_more: no match by the challenger only; ``refused_less``: by the champion only.
    :param bins: of (champion's range, challenger's range) of probability, shape (8, 8).
    :param ratios: of each group timed, the challenger's time to the champion's.
    """

    listings: int = 0
    errors: int = 0
    lost: int = 0
    gained: int = 0
    refused_more: int = 0
    refused_less: int = 0
    bins: Table = ((0,) * _BINS,) * _BINS
    ratios: tuple[float, ...] = ()

    def __add__(self, other: PairedCounts) -> PairedCounts:
        bins = np.add(self.bins, other.bins)
        return PairedCounts(
            self.listings + other.listings,
            self.errors + other.errors,
            self.lost + other.lost,
            self.gained + other.gained,
            self.refused_more + other.refused_more,
            self.refused_less + other.refused_less,
            _as_table(bins),
            (*self.ratios, *other.ratios),
        )

    @property
    def answered(self) -> int:
        """Listings that both answered."""
        return self.listings - self.errors

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        content = {each.name: getattr(self, each.name) for each in fields(self)}
        content["bins"] = [list(row) for row in self.bins]
        content["ratios"] = [round(ratio, 3) for ratio in self.ratios]
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> PairedCounts:
        """Return what `as_json` made plain.

        :raises ValueError: if counts are missing, negative or contradict each other.
        :raises TypeError: if there are others.
        """
        bins = np.asarray(content["bins"], np.int64)
        plain = {key: value for key, value in content.items() if key not in ("bins", "ratios")}
        found = cls(
            **{key: int(value) for key, value in plain.items()},
            bins=_as_table(bins),
            ratios=tuple(float(ratio) for ratio in content["ratios"]),
        )
        sound = bins.shape == (_BINS, _BINS) and bins.min() >= 0 and bins.sum() == found.answered
        if not sound or min(found.listings, found.errors, found.answered) < 0:
            raise ValueError(f"{found.answered} listings answered by both, {bins.sum()} in ranges")
        return found


def paired_counts(
    champion: Decided, challenger: Decided, failed: Bools, *, ratio: float | None = None
) -> PairedCounts:
    """Count a group of listings.

    :param failed: shape (listings,), where the challenger raised an error; its answers there are
        not read.
    :param ratio: of the group's times, the challenger's to the champion's; None if not timed.
    """
    kept = ~failed
    bins = np.zeros((_BINS, _BINS), np.int64)
    np.add.at(bins, (_range(champion.probability[kept]), _range(challenger.probability[kept])), 1)
    timed = ratio is not None and math.isfinite(ratio)
    return PairedCounts(
        len(failed),
        int(failed.sum()),
        lost=_count(champion.accepted & ~challenger.accepted & kept),
        gained=_count(~champion.accepted & challenger.accepted & kept),
        refused_more=_count(~champion.refused & challenger.refused & kept),
        refused_less=_count(champion.refused & ~challenger.refused & kept),
        bins=_as_table(bins),
        ratios=(float(ratio),) if timed and ratio is not None else (),
    )


def _range(probability: Doubles) -> NDArray[np.int64]:
    return np.asarray(np.searchsorted(EDGES, probability, side="right"), np.int64)


def _count(where: Bools) -> int:
    return int(np.count_nonzero(where))


def _as_table(bins: NDArray[np.int64]) -> Table:
    return tuple(tuple(row) for row in bins.tolist())


VERSION_METRICS = (PRECISION_AT_1, ACCEPTED_SHARE, FALSE_ACCEPTS, ECE, BRIER)
COUNTED = (PRECISION_AT_1, ACCEPTED_SHARE, FALSE_ACCEPTS)
"""Metrics that are right or wrong on each listing, so that McNemar's test applies."""


def paired_metrics(
    gold: Sequence[GoldListing],
    first: Sequence[Resolution],
    second: Sequence[Resolution],
    *,
    seed: int,
    samples: int,
) -> list[dict[str, Any]]:
    """Hold both models' answers against gold listings, which come in the same order.

    Ambiguous listings are left out; a metric without a listing to measure it on is too.

    :returns: of each metric plain values: ``a`` and ``b``, and the ``gain`` of b over a, above 0
        where b is better, whichever way the metric runs, p-values corrected over all by Holm; of
        one that counts listings how many only b or only a has right, and how many would tell the
        two apart (`listings_needed`).
    """
    groups = [item.group for item in gold if is_judged(item)]
    table = PairedTable(
        {"a": judge(gold, first), "b": judge(gold, second)},
        Resampling.draw(groups, seed=seed, samples=samples),
    )
    own, others = (table.figures(name, VERSION_METRICS) for name in "ba")
    measured = [metric for metric in VERSION_METRICS if own[metric.name].value is not None]
    gains = adjusted([as_gain(table.compared(metric, "b", "a")) for metric in measured])
    return [
        {
            "metric": metric.name,
            "a": others[metric.name].as_dict(),
            "b": own[metric.name].as_dict(),
            "gain": gain.as_dict(),
            **_discordance(table, metric),
        }
        for metric, gain in zip(measured, gains, strict=True)
    ]


def _discordance(table: PairedTable, metric: Metric) -> dict[str, int | None]:
    if metric not in COUNTED or metric.per_listing is None:
        return dict.fromkeys(("only_b_right", "only_a_right", "listings_needed"))
    where = table.counted(metric, "a", "b")
    a, b = (metric.per_listing(*table.read(metric, name))[where] > 0 for name in "ab")
    if metric.better is Better.LOWER:
        a, b = b, a
    gained, lost = _count(b & ~a), _count(a & ~b)
    needed = listings_needed(gained, lost, len(a))
    return {"only_b_right": gained, "only_a_right": lost, "listings_needed": needed}


# Cells of (groups, samples) that are drawn: 100 MB.
_MOST_CELLS = 100_000_000
_FEWEST_SAMPLES = 100
ASPECTS = ("decision", "model", "key")
"""What is compared: decision, model and variant, the latter two None for no match."""


class AnswerChange(Enum):
    """What of an answer is another one, by the first that is."""

    DECISION = "decision"
    MODEL = "model"
    VARIANT = "variant"


@dataclass(frozen=True, slots=True)
class Shown:
    """What a listing got of one model, without its candidates.

    :param key: what is sold, with its ``model``; None for no match.
    :param label: the same for people.
    :param sold: the same in the columns of its domain.
    """

    decision: str
    model: str | None
    key: str | None
    label: str | None
    best_guess: str | None
    match_probability: float
    reason: str
    sold: tuple[Any, ...] = ()

    @classmethod
    def of(cls, answer: Resolution, columns: Sequence[str] = ()) -> Shown:
        """Return an answer without its candidates.

        :param columns: of its domain that say what is sold.
        """
        return cls(
            answer.decision,
            answer.model,
            answer.key,
            answer.label,
            answer.best_guess,
            answer.match_probability,
            answer.reason,
            tuple(getattr(answer, name) for name in columns),
        )


@dataclass(frozen=True, slots=True)
class Answered:
    """A listing with what both models made of it."""

    listing: Listing
    first: Shown
    second: Shown

    @property
    def change(self) -> AnswerChange | None:
        """What comes out otherwise, None if nothing; guesses below no_match do not count."""
        if self.first.decision != self.second.decision:
            return AnswerChange.DECISION
        if self.first.model != self.second.model:
            return AnswerChange.MODEL
        return AnswerChange.VARIANT if self.first.key != self.second.key else None

    @property
    def probability(self) -> float:
        """The higher of the two probabilities."""
        return max(self.first.match_probability, self.second.match_probability)


def agreement(rows: Sequence[Answered], *, seed: int) -> dict[str, Figure]:
    """Return the shares of listings on which decision, model and variant are the same.

    Intervals are bootstrapped over titles, 1000 samples, fewer from 100,000 titles on.

    :returns: by name of `ASPECTS`; values None without rows.
    """
    titles = [normalise(row.listing.title) for row in rows]
    room = _MOST_CELLS // max(1, len(set(titles)))
    samples = max(_FEWEST_SAMPLES, min(DEFAULT_SAMPLES, room))
    resampling = Resampling.draw(titles, seed=seed, samples=samples)
    return {
        aspect: resampling.figure(
            SHARE,
            np.array(
                [getattr(row.first, aspect) == getattr(row.second, aspect) for row in rows],
                np.bool_,
            ),
        )
        for aspect in ASPECTS
    }


def decision_counts(rows: Sequence[Answered]) -> list[list[int]]:
    """Return how many listings got which decisions: of the first model down, the second across."""
    order = {decision.value: at for at, decision in enumerate(DECISIONS)}
    counts = [[0] * len(order) for _ in order]
    for row in rows:
        counts[order[row.first.decision]][order[row.second.decision]] += 1
    return counts


def changed(rows: Sequence[Answered]) -> list[Answered]:
    """Return the listings that come out otherwise, the most probable first, ties by listing_id.

    Those with another variant of the same model come after all others: they are many, and a
    listing often leaves the variant open.
    """
    return sorted(
        [row for row in rows if row.change is not None],
        key=lambda row: (
            row.change is AnswerChange.VARIANT,
            -row.probability,
            row.listing.listing_id,
        ),
    )
