"""Guardrails: whether a challenger is worse than the champion by more than it may be.

Each tests, on the listings both answered, that the harm is within its limit, so that a challenger
that differs a little is not stopped for it. Looking many times would raise false alarms: the
chance of one is spent over the looks (Lan and DeMets, Biometrika 70(3), 1983, with their function
of the Pocock type) and shared evenly among the guardrails. Each look is tested at what it adds to
what is spent; the chances of all looks add up to alpha however they depend on each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from rerank.lifecycle.canary_settings import GuardrailLimits
from rerank.lifecycle.paired_counts import PairedCounts
from rerank.lifecycle.tails import binomial_tail, normal_tail

ACCEPTED, NO_MATCH, PSI, LATENCY, ERRORS = GUARDRAILS = (
    "share accepted",
    "no-match rate",
    "PSI of probability",
    "latency",
    "errors",
)
_SMOOTHING = 0.5  # added to each range: PSI is infinite where a share is 0


@dataclass(frozen=True, slots=True)
class GuardrailFigure:
    """A guardrail after a look.

    :param figure: change of the share accepted or of the no-match rate, -1 to 1; PSI; ratio of
        times; share of errors. 0 before there is anything to judge.
    :param limit: what the figure may be; of the share accepted, the least.
    :param p_value: of so much harm by chance if it is at its limit.
    :param level: below it the guardrail is breached.
    """

    name: str
    figure: float
    limit: float
    p_value: float
    level: float

    @property
    def breached(self) -> bool:
        """Whether the limit is exceeded beyond chance."""
        return self.p_value < self.level

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values, in the words of a gate in the history."""
        return {
            "name": self.name,
            "passed": not self.breached,
            "figure": round(self.figure, 6),
            "bound": self.limit,
            "p_value": self.p_value,
            "level": self.level,
            "words": self.words(),
        }

    def words(self) -> str:
        """Return the figure and its limit in a few words."""
        if self.name in (ACCEPTED, NO_MATCH):
            sign = "-" if self.name == ACCEPTED else "±"
            found = f"{100 * self.figure:+.1f} pp, limit {sign}{100 * abs(self.limit):g} pp"
        elif self.name == ERRORS:
            found = f"{100 * self.figure:.2g} %, limit {100 * self.limit:g} %"
        else:
            unit = " times the champion's" if self.name == LATENCY else ""
            found = f"{self.figure:.2f}{unit}, limit {self.limit:g}"
        return f"{self.name} {found}"


def judge(counts: PairedCounts, limits: GuardrailLimits, level: float) -> list[GuardrailFigure]:
    """Judge all guardrails on all listings so far.

    :param level: of each guardrail at this look.
    """
    n = counts.answered
    loss = _changed_share(counts.lost, counts.gained, n, limits.accepted_loss)
    refused = _changed_share(
        max(counts.refused_more, counts.refused_less),
        min(counts.refused_more, counts.refused_less),
        n,
        limits.no_match_change,
    )
    index, index_p = _stability(counts, limits.psi)
    slow = sum(ratio > limits.latency_ratio for ratio in counts.ratios)
    ratio = float(np.median(counts.ratios)) if counts.ratios else 0.0
    errors_p = binomial_tail(counts.errors, counts.listings, limits.error_rate)
    rise = (counts.refused_more - counts.refused_less) / n if n else 0.0
    return [
        GuardrailFigure(ACCEPTED, 0.0 - loss[0], -limits.accepted_loss, loss[1], level),
        GuardrailFigure(NO_MATCH, rise, limits.no_match_change, refused[1], level),
        GuardrailFigure(PSI, index, limits.psi, index_p, level),
        GuardrailFigure(
            LATENCY,
            ratio,
            limits.latency_ratio,
            binomial_tail(slow, len(counts.ratios), 0.5),
            level,
        ),
        GuardrailFigure(
            ERRORS, counts.errors / max(counts.listings, 1), limits.error_rate, errors_p, level
        ),
    ]


def level_between(before: float, after: float, alpha: float) -> float:
    """Return at which level each guardrail is tested at a look.

    :param before: share of the canary's listings at the look before, 0 to 1.
    :param after: share now.
    :param alpha: of all looks and guardrails together.
    """
    return alpha * (_spent(min(after, 1.0)) - _spent(min(before, 1.0))) / len(GUARDRAILS)


def _spent(share: float) -> float:
    return math.log1p((math.e - 1) * share)


def _changed_share(more: int, less: int, n: int, limit: float) -> tuple[float, float]:
    """Return the change of a paired share and the p-value of its being at most the limit.

    The test of a difference of paired shares with its own variance (Wald); near a small limit,
    where few pairs differ, that errs on the safe side.
    """
    if n == 0:
        return 0.0, 1.0
    change = (more - less) / n
    variance = (more + less) / n**2 - change**2 / n
    return change, _exceeds(change, limit, variance)


def _stability(counts: PairedCounts, limit: float) -> tuple[float, float]:
    """Return PSI and the p-value of its being at most the limit, by the delta method on pairs."""
    bins = np.asarray(counts.bins, np.float64)
    n = bins.sum()
    if n == 0:
        return 0.0, 1.0
    champion, challenger = bins.sum(axis=1), bins.sum(axis=0)
    filled = (champion + challenger) > 0
    bins = bins[np.ix_(filled, filled)]
    p, q = (each[filled] + _SMOOTHING for each in (champion, challenger))
    p, q = p / p.sum(), q / q.sum()
    index = float(np.sum((q - p) * np.log(q / p)))
    slope = (-np.log(q / p) + 1 - q / p)[:, None] + (np.log(q / p) + 1 - p / q)[None, :]
    mean = float(np.sum(bins * slope) / n)
    variance = float(np.sum(bins * (slope - mean) ** 2)) / n**2
    return index, _exceeds(index, limit, variance)


def _exceeds(value: float, limit: float, variance: float) -> float:
    """Return the p-value of a value's being at most a limit."""
    if variance <= 0:
        return 0.0 if value > limit else 1.0
    return normal_tail((value - limit) / math.sqrt(variance))
