"""Rankers beside each other: what each makes of the same retrieved candidates of gold listings.

Candidates and features are computed once for a set, so that nothing but the ranker, and what
decides on its scores, changes from one to the next.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rerank.evaluation.baselines import Latency, this_machine
from rerank.evaluation.evaluate import Resolves, figures_of, resolve_all
from rerank.evaluation.gold import GoldListing
from rerank.evaluation.intervals import DEFAULT_SAMPLES, Figure, Resampling, adjusted, compare
from rerank.evaluation.metrics import (
    ACCEPTED_SHARE,
    ECE,
    FALSE_ACCEPTS,
    NDCG_AT_10,
    PRECISION_AT_1,
    PRECISION_OF_ACCEPTED,
    Metric,
)
from rerank.evaluation.outcomes import Outcomes
from rerank.evaluation.runs import (
    OWN_SYSTEM,
    AnsweredSet,
    EvaluationRun,
    JudgedSet,
    judged_set,
    record_run,
    record_set,
)
from rerank.evaluation.shortlists import PreparedBatch, PreparedGold
from rerank.features.offers import OfferFeatures
from rerank.index.errors import InputError
from rerank.index.records import GpuRecord, Listing
from rerank.index.text import normalise
from rerank.model import RerankModel
from rerank.ranking import Ranker
from rerank.resolution import DECISIONS, Decision, Resolution
from rerank.store.database import Store
from rerank.store.rows import save_registry

Progress = Callable[[str, float], None]
Floats = NDArray[np.float64]

ORDER_METRICS = (PRECISION_AT_1, NDCG_AT_10)
DECISION_METRICS = (ECE, ACCEPTED_SHARE, PRECISION_OF_ACCEPTED, FALSE_ACCEPTS)
COMPARED_METRICS = (PRECISION_AT_1, NDCG_AT_10, ECE)


@dataclass(frozen=True, slots=True)
class Competitor:
    """A ranker with what decides on its scores.

    :param name: its key in reports.
    :param model: None if it orders only, so that there is no probability.
    """

    name: str
    ranker: Ranker
    model: RerankModel | None = None

    def scores(self, batch: PreparedBatch) -> NDArray[np.float32]:
        """Return a score for each candidate of a batch."""
        return self.ranker.score(batch.ranking)

    def probability(self, batch: PreparedBatch, scores: NDArray[np.float32]) -> Floats:
        """Return each listing's `match_probability`, shape (listings,); 0 without a candidate.

        It has none if it orders only: NaN.
        """
        if self.model is None:
            return np.full(len(batch.ranking.listings), np.nan)
        offers, best = OfferFeatures().compute(
            batch.ranking.candidates,
            batch.ranking.table,
            batch.ranking.features,
            scores,
            batch.cues,
        )
        return np.where(best >= 0, self.model.probability(offers), 0.0)


def compare_on(
    prepared: PreparedGold,
    competitors: Sequence[Competitor],
    *,
    baseline: str,
    resampling: Resampling,
    progress: Progress = lambda stage, share: None,
) -> dict[str, dict[str, Any]]:
    """Return, by competitor, ``metrics`` with intervals and ``differences`` to one of them.

    A difference is of `COMPARED_METRICS`, paired, with a p-value corrected over the competitors of
    each metric by Holm; the one compared with has none, and one that orders only none of the ECE.

    :param baseline: name of the competitor that others are compared with.
    :param resampling: of the set's listings.
    """
    outcomes = {each.name: _outcomes(prepared, each, progress) for each in competitors}
    deciding = {each.name for each in competitors if each.model is not None}
    progress("metrics", 0.0)
    differences = _differences(outcomes, deciding, baseline, resampling)
    found: dict[str, dict[str, Any]] = {}
    for name, own in outcomes.items():
        measured = (*ORDER_METRICS, *(DECISION_METRICS if name in deciding else ()))
        figures = figures_of(own, resampling, measured)
        found[name] = {
            "metrics": {metric: figure.as_dict() for metric, figure in figures.items()},
            "differences": differences[name],
        }
    return found


def _outcomes(prepared: PreparedGold, competitor: Competitor, progress: Progress) -> Outcomes:
    scores, probability = [], []
    for at, batch in enumerate(prepared.batches):
        progress(competitor.name, at / len(prepared.batches))
        own = competitor.scores(batch)
        scores.append(own)
        probability.append(competitor.probability(batch, own))
    ranks, grades = prepared.truth.outcomes(np.concatenate(scores))
    sure = np.concatenate(probability)
    limit = np.inf if competitor.model is None else competitor.model.thresholds.match
    unmeasured = np.zeros(len(ranks), np.bool_)
    return Outcomes(
        is_match=prepared.is_match,
        ranks=ranks,
        grades=grades,
        probability=sure,
        accepted=sure >= limit,
        memory_agrees=unmeasured,
        memory_judged=unmeasured,
    )


def _differences(
    outcomes: Mapping[str, Outcomes], deciding: set[str], baseline: str, resampling: Resampling
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {name: {} for name in outcomes}
    for metric in COMPARED_METRICS:
        others = [name for name in outcomes if name != baseline]
        if metric in DECISION_METRICS:
            others = [name for name in others if name in deciding and baseline in deciding]
        columns = {name: list(_columns(metric, outcomes[name])) for name in (*others, baseline)}
        where = None if metric.over is None else getattr(outcomes[baseline], metric.over)
        compared = adjusted(
            [
                compare(
                    resampling,
                    metric,
                    columns[name],
                    columns[baseline],
                    system=name,
                    baseline=baseline,
                    where=where,
                )
                for name in others
            ]
        )
        for item in compared:
            found[item.system][metric.name] = item.as_dict()
    return found


def _columns(metric: Metric, outcomes: Outcomes) -> Iterator[NDArray[Any]]:
    return (getattr(outcomes, name) for name in metric.columns)


def drawn(gold: Sequence[GoldListing], limit: int | None, *, seed: int) -> list[GoldListing]:
    """Return at most ``limit`` listings drawn by a seed, in their order; all without a limit."""
    if limit is None or len(gold) <= limit:
        return list(gold)
    rows = np.sort(np.random.default_rng(seed).choice(len(gold), limit, replace=False))
    return [gold[row] for row in rows.tolist()]


Bools = NDArray[np.bool_]
Texts = NDArray[np.object_]

_UNTIMED = Latency(None, None, 0)
_VERSION = "as answered"  # of the registry in a store that nobody else reads


@dataclass(frozen=True, slots=True)
class Pairing:
    """Outcomes of two models on the judged listings of all sets, row by row the same listing.

    :param sets: the set of each listing.
    :param slices: of each slice, the value of every listing, empty where it is unknown.
    :param candidate: outcomes of the model that may serve.
    :param champion: outcomes of the one that does; None if it cannot be asked.
    :param resampling: of each set by itself, so that each keeps its size in every sample.
    """

    sets: Texts
    slices: Mapping[str, Texts]
    candidate: Outcomes
    champion: Outcomes | None
    resampling: Resampling

    def figures(self, name: str, metrics: Sequence[Metric]) -> dict[str, Figure]:
        """Return the candidate's figures on one set."""
        return figures_of(self.candidate, self.resampling, metrics, where=self.sets == name)


def pair(
    candidate: Resolves,
    champion: Resolves | None,
    sets: Mapping[str, Sequence[GoldListing]],
    records: Sequence[GpuRecord],
    *,
    seed: int,
    samples: int,
    progress: Progress = lambda stage, share: None,
) -> Pairing:
    """Let both models answer the listings of all sets.

    :param records: the registry, for what listings are sliced by.
    :param seed: of the resamples.
    :raises InputError: if no set has a listing that is judged.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "pairing.duckdb")
        with store.writing() as session:
            save_registry(session, records, _VERSION)
        ours = _judged(store, "candidate", candidate, sets, records, seed, progress)
        theirs = (
            None
            if champion is None
            else _judged(store, "champion", champion, sets, records, seed, progress)
        )
    named = {name: judged for name, judged in ours.items() if len(judged.listing_ids)}
    if not named:
        raise InputError(f"expected gold listings to judge on, got {len(sets)} sets without any")
    drawn = [
        Resampling.draw(judged.groups, seed=seed + at, samples=samples)
        for at, judged in enumerate(named.values())
    ]  # a seed a set: sets of equal size would else be drawn alike
    first = next(iter(named.values()))
    return Pairing(
        sets=_texts([np.full(len(each.listing_ids), name) for name, each in named.items()]),
        slices={
            name: _texts([each.slices[name] for each in named.values()]) for name in first.slices
        },
        candidate=_joined([each.outcomes for each in named.values()]),
        champion=None if theirs is None else _joined([theirs[name].outcomes for name in named]),
        resampling=_side_by_side(drawn),
    )


def _judged(
    store: Store,
    label: str,
    resolver: Resolves,
    sets: Mapping[str, Sequence[GoldListing]],
    records: Sequence[GpuRecord],
    seed: int,
    progress: Progress,
) -> dict[str, JudgedSet]:
    run = EvaluationRun.begin(
        "evaluate",
        model_version=label,
        index_version="",
        registry_version=_VERSION,
        seed=seed,
        samples=1,
        machine=this_machine(),
        latency=_UNTIMED,
    )
    answered = {
        name: resolve_all(resolver, gold, _within(progress, f"{label}: {name}"))
        for name, gold in sets.items()
    }
    with store.writing() as session:
        record_run(session, run)
        for name, gold in sets.items():
            record_set(session, run, _plain(name, gold, answered[name]), records)
    with store.reading() as session:
        return {name: judged_set(session, run.run_id, name, OWN_SYSTEM) for name in sets}


def _plain(name: str, gold: Sequence[GoldListing], answers: Sequence[Resolution]) -> AnsweredSet:
    return AnsweredSet(name, gold, answers, {}, [], [], {})


def _within(progress: Progress, name: str) -> Progress:
    return lambda stage, share: progress(name, share)


def _texts(parts: Sequence[NDArray[Any]]) -> Texts:
    return np.concatenate([part.astype(object) for part in parts])


def _joined(parts: Sequence[Outcomes]) -> Outcomes:
    columns = {
        each.name: np.concatenate([getattr(part, each.name) for part in parts])
        for each in fields(Outcomes)
    }
    return Outcomes(**columns)


def _side_by_side(parts: Sequence[Resampling]) -> Resampling:
    """Join resamplings of separate sets: each sample holds one sample of every set."""
    starts = np.cumsum([0, *(part.n_groups for part in parts)])
    groups = [part.group + start for part, start in zip(parts, starts, strict=False)]
    return Resampling(
        np.concatenate(groups), np.concatenate([part.counts for part in parts]), parts[0].seed
    )


EDGES = (0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99)
"""Between the ranges of probability: narrow at the ends, where most answers lie."""
_BINS = len(EDGES) + 1
Table = tuple[tuple[int, ...], ...]


class Decided(NamedTuple):
    """One model's answers to some listings, each of shape (listings,)."""

    probability: Floats
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


def _range(probability: Floats) -> NDArray[np.int64]:
    return np.asarray(np.searchsorted(EDGES, probability, side="right"), np.int64)


def _count(where: Bools) -> int:
    return int(np.count_nonzero(where))


def _as_table(bins: NDArray[np.int64]) -> Table:
    return tuple(tuple(row) for row in bins.tolist())


# Cells of (groups, samples) that are drawn: 100 MB.
_MOST_CELLS = 100_000_000
_FEWEST_SAMPLES = 100
ASPECTS = ("decision", "sold_model", "gpu_id")
"""What is compared: decision, model and variant, the latter two None for no match."""


class AnswerChange(Enum):
    """What of an answer is another one, by the first that is."""

    DECISION = "decision"
    MODEL = "model"
    VARIANT = "variant"


@dataclass(frozen=True, slots=True)
class Shown:
    """What a listing got of one model, without its candidates."""

    decision: str
    model: str | None
    memory_gb: float | None
    gpu_id: str | None
    match_probability: float
    reason: str

    @property
    def sold_model(self) -> str | None:
        """The model, unless the decision is that none is sold and it is a guess."""
        return None if self.decision == Decision.NO_MATCH.value else self.model

    @classmethod
    def of(cls, answer: Resolution) -> Shown:
        """Return an answer without its candidates."""
        return cls(
            answer.decision,
            answer.model,
            answer.memory_gb,
            answer.gpu_id,
            answer.match_probability,
            answer.reason,
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
        if self.first.sold_model != self.second.sold_model:
            return AnswerChange.MODEL
        return AnswerChange.VARIANT if self.first.gpu_id != self.second.gpu_id else None

    @property
    def probability(self) -> float:
        """The higher of the two probabilities."""
        return max(self.first.match_probability, self.second.match_probability)


def agreement(rows: Sequence[Answered], *, seed: int) -> dict[str, Figure]:
    """Return the shares of listings on which decision, model and gpu_id are the same.

    Intervals are bootstrapped over titles, 1000 samples, fewer from 100,000 titles on.

    :returns: by name of `ASPECTS`; values None without rows.
    """
    titles = [normalise(row.listing.title) for row in rows]
    room = _MOST_CELLS // max(1, len(set(titles)))
    samples = max(_FEWEST_SAMPLES, min(DEFAULT_SAMPLES, room))
    resampling = Resampling.draw(titles, seed=seed, samples=samples)
    return {
        aspect: resampling.figure(
            _share,
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
    found = [row for row in rows if row.change is not None]
    return sorted(
        found,
        key=lambda row: (
            row.change is AnswerChange.VARIANT,
            -row.probability,
            row.listing.listing_id,
        ),
    )


def _share(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if len(values) else None
