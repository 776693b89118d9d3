"""Figures of a simulation: what answers lift, and what a queue lifts more than chance.

Intervals are over the repeats, which halve the same gold listings in other ways: they tell chance
in halving and asking from an effect on these listings, and nothing about other listings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rerank.annotation.queue import QueueStrategy
from rerank.evaluation import metrics
from rerank.evaluation.intervals import estimate
from rerank.evaluation.outcomes import Outcomes

_LEAST_PROBABILITY = 1e-3  # a certain error counts as one in a thousand, not as infinite


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric of a simulation's rest.

    :param higher: whether higher is better.
    """

    name: str
    label: str
    higher: bool
    of: Callable[[Outcomes], float | None]


@dataclass(frozen=True, slots=True)
class Run:
    """One model measured.

    :param queue: what asked; None for the model without answers.
    :param answers: how many were asked for.
    :param values: by the measure's name; None where nothing was measured.
    """

    repeat: int
    queue: QueueStrategy | None
    answers: int
    values: dict[str, float | None]


def log_loss(outcomes: Outcomes) -> float | None:
    """How surprised the probabilities are by the outcomes.

    Definition: mean of -log p of what came true, p held within [0.001, 0.999]. Range [0, 6.9],
    lower is better. Empty: None. Source: Good, Rational Decisions, 1952.
    """
    p = np.clip(outcomes.probability, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    if not len(p):
        return None
    return float(-np.log(np.where(outcomes.correct, p, 1 - p)).mean())


MEASURES = (
    Measure(
        "precision_at_1", "precision@1", True, lambda o: metrics.precision_at_1(o.ranks[o.is_match])
    ),
    Measure("brier", "Brier score", False, lambda o: metrics.brier_score(o.probability, o.correct)),
    Measure("log_loss", "log loss", False, log_loss),
    Measure(
        "aurc",
        "risk-coverage",
        False,
        lambda o: metrics.area_under_risk_coverage(o.probability, o.correct),
    ),
    Measure(
        "accepted_at_99",
        "accepted at 99 %",
        True,
        lambda o: metrics.accepted_share_at_precision(o.probability, o.correct, 0.99),
    ),
    Measure(
        "accepted_share", "accepted", True, lambda o: metrics.accepted_share(o.accepted[o.is_match])
    ),
    Measure(
        "precision_of_accepted",
        "precision of these",
        True,
        lambda o: metrics.precision_of_accepted(o.correct[o.accepted]),
    ),
    Measure(
        "nil_false_match_rate",
        "false matches",
        False,
        lambda o: metrics.false_accept_rate(o.accepted[o.is_nil]),
    ),
)


def measured(outcomes: Outcomes) -> dict[str, float | None]:
    """Return every measure of a model's outcomes by name."""
    return {measure.name: measure.of(outcomes) for measure in MEASURES}


def figures(runs: Sequence[Run], *, seed: int) -> dict[str, Any]:
    """Return means, lifts over the base and paired differences to the random queue, for JSON.

    A lift is a model's value less that of the base of its repeat, a difference less that of the
    random queue with as many answers; each a mean over repeats with its 95 % bootstrap interval.
    ``over_random`` is empty if the random queue was not simulated.

    :param seed: of the bootstrap.
    """
    table = {(run.queue, run.answers, run.repeat): run.values for run in runs}
    repeats = sorted({run.repeat for run in runs})
    arms = dict.fromkeys((run.queue, run.answers) for run in runs if run.queue is not None)

    def against(arm: Any, other: Any) -> dict[str, Any]:
        found = {}
        for measure in MEASURES:
            pairs = (
                (table[*arm, r][measure.name], table[*other, r][measure.name]) for r in repeats
            )
            found[measure.name] = _difference(pairs, seed)
        return found

    return {
        "base": {m.name: _mean(table[None, 0, r][m.name] for r in repeats) for m in MEASURES},
        "arms": [
            {
                "queue": queue.value,
                "answers": answers,
                "mean": {
                    m.name: _mean(table[queue, answers, r][m.name] for r in repeats)
                    for m in MEASURES
                },
                "lift": against((queue, answers), (None, 0)),
                "over_random": (
                    against((queue, answers), (QueueStrategy.RANDOM, answers))
                    if (QueueStrategy.RANDOM, answers) in arms and queue is not QueueStrategy.RANDOM
                    else {}
                ),
            }
            for queue, answers in arms
            if queue is not None
        ],
    }


def _difference(pairs: Iterable[tuple[float | None, float | None]], seed: int) -> dict[str, Any]:
    """Return the mean difference of pairs and its interval, to 6 digits: lifts are small."""
    gaps = np.array([a - b for a, b in pairs if a is not None and b is not None], np.float64)
    figure = estimate(lambda values: float(values.mean()) if len(values) else None, gaps, seed=seed)
    bounds = [None, None] if figure.ci95 is None else [round(end, 6) for end in figure.ci95]
    value = None if figure.value is None else round(figure.value, 6)
    return {"value": value, "ci95": bounds, "n": figure.n}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), 6) if known else None
