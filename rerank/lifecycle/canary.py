"""A canary: a share of the listings goes to a challenger, step by step, until it is champion.

The state is a value: what the pointer keeps, and all that the next look needs. Every look takes
what was counted since the one before; a step is over when its listings are.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from rerank.evaluation.paired import PairedCounts
from rerank.index.errors import ArtifactError, InputError
from rerank.lifecycle.versions import VersionRef, checked_name
from rerank.settings import Expected, Settings, as_content, between, settings_of

_RISING_SHARES = Expected(
    "a list of rising shares, each more than 0 and less than 1",
    lambda steps: 0 < len(steps) and all(a < b for a, b in pairwise((0, *steps, 1))),
)


@dataclass(frozen=True, slots=True)
class GuardrailLimits(Settings):
    """How far a challenger may fall behind the champion on the listings both answer.

    :param accepted_loss: of the share accepted, in parts of 1.
    :param no_match_change: of the share without a match, up or down.
    :param psi: population stability index of the probabilities, against the champion's.
    :param latency_ratio: median over groups of listings of its time to the champion's.
    :param error_rate: share of the listings on which it raises an error.
    """

    accepted_loss: Annotated[float, between(0.0001, 1)] = 0.01
    no_match_change: Annotated[float, between(0.0001, 1)] = 0.02
    psi: Annotated[float, between(0.001, 10)] = 0.1
    latency_ratio: Annotated[float, between(0.01, 1000)] = 1.5
    error_rate: Annotated[float, between(1e-6, 0.99)] = 0.001


@dataclass(frozen=True, slots=True)
class CanarySettings(Settings):
    """All keys of the file.

    :param steps: shares of the listings that the challenger answers, rising.
    :param window_listings: listings both answer between two looks at the guardrails.
    :param windows_per_step: before the next step.
    :param alpha: chance that a challenger within all limits is stopped, over the whole canary.
    :param group: listings timed together; each group gives one ratio of times.
    """

    steps: Annotated[tuple[float, ...], _RISING_SHARES] = (0.01, 0.1, 0.5)
    window_listings: Annotated[int, between(20, 1_000_000)] = 250
    windows_per_step: Annotated[int, between(1, 1000)] = 4
    alpha: Annotated[float, between(1e-6, 0.5)] = 0.05
    group: Annotated[int, between(1, 10_000)] = 25
    guardrails: GuardrailLimits = field(default_factory=GuardrailLimits)

    @property
    def step_listings(self) -> int:
        """Listings of a step."""
        return self.window_listings * self.windows_per_step

    @property
    def planned(self) -> int:
        """Listings of the whole canary."""
        return self.step_listings * len(self.steps)


class CanaryOutcome(Enum):
    """What a canary does after a look."""

    GOES_ON = "goes on"
    NEXT_STEP = "next step"
    PASSED = "passed"
    BREACHED = "breached"


@dataclass(frozen=True, slots=True)
class CanaryState:
    """A running canary.

    :param experiment: its name in the log.
    :param champion: what it is compared with.
    :param salt: of the split of listings.
    :param windows: looks so far.
    :param counts: of all listings so far.
    """

    experiment: str
    challenger: VersionRef
    champion: VersionRef
    salt: str
    settings: CanarySettings = field(default_factory=CanarySettings)
    windows: int = 0
    counts: PairedCounts = field(default_factory=PairedCounts)

    @property
    def step(self) -> int:
        """The number of the step, from 1."""
        done = self.counts.listings // self.settings.step_listings
        return min(done + 1, len(self.settings.steps))

    @property
    def too_few(self) -> bool:
        """Whether fewer listings were answered by both than one look at the guardrails has."""
        return self.counts.listings < self.settings.window_listings

    @property
    def share(self) -> float:
        """The share of listings that the challenger answers, 0 to 1."""
        return self.settings.steps[self.step - 1]

    def as_json(self) -> dict[str, Any]:
        """Return it as the pointer keeps it."""
        return {
            "experiment": self.experiment,
            "challenger": self.challenger.as_dict(),
            "champion": self.champion.as_dict(),
            "salt": self.salt,
            "settings": as_content(self.settings),
            "windows": self.windows,
            "counts": self.counts.as_json(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> CanaryState:
        """Return what `as_json` made plain.

        :raises ArtifactError: if it is damaged.
        """
        try:
            return cls(
                str(content["experiment"]),
                _ref(content["challenger"]),
                _ref(content["champion"]),
                str(content["salt"]),
                settings_of(CanarySettings, content["settings"]),
                int(content["windows"]),
                PairedCounts.from_json(content["counts"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError, InputError) as exc:
            raise ArtifactError(
                f"canary: expected its state, found something else ({type(exc).__name__}: {exc}); "
                "end it with `rerank models canary stop`, and start another"
            ) from exc


@dataclass(frozen=True, slots=True)
class Look:
    """A look at the guardrails.

    :param state: after it.
    :param window: what was counted since the look before.
    :param step: that it belongs to; ``share``: of the listings that the challenger answered.
    """

    state: CanaryState
    outcome: CanaryOutcome
    window: PairedCounts
    step: int
    share: float
    figures: tuple[GuardrailFigure, ...]

    @property
    def breached(self) -> tuple[GuardrailFigure, ...]:
        """The guardrails that are breached."""
        return tuple(figure for figure in self.figures if figure.breached)

    def words(self) -> str:
        """Return what came out of it in one line."""
        n, planned = self.state.counts.listings, self.state.settings.planned
        said = f"canary of {self.state.challenger}, {n} of {planned} listings"
        if self.breached:
            return f"{said}: stopped, {'; '.join(figure.words() for figure in self.breached)}"
        if self.outcome is CanaryOutcome.PASSED:
            return f"{said}: passed, it is champion"
        if self.outcome is CanaryOutcome.NEXT_STEP:
            return f"{said}: on to {self.state.share:.0%} of the listings"
        return f"{said}: goes on at {self.share:.0%}"


def look(state: CanaryState, window: PairedCounts) -> Look:
    """Judge the guardrails after a window, which may be of any size."""
    settings = state.settings
    after = replace(state, windows=state.windows + 1, counts=state.counts + window)
    level = level_between(
        state.counts.listings / settings.planned,
        after.counts.listings / settings.planned,
        settings.alpha,
    )
    figures = tuple(judge_guardrails(after.counts, settings.guardrails, level))
    if any(figure.breached for figure in figures):
        outcome = CanaryOutcome.BREACHED
    elif after.counts.listings >= settings.planned:
        outcome = CanaryOutcome.PASSED
    else:
        outcome = CanaryOutcome.NEXT_STEP if after.step > state.step else CanaryOutcome.GOES_ON
    return Look(after, outcome, window, state.step, state.share, figures)


def _ref(content: Mapping[str, str]) -> VersionRef:
    return VersionRef(content["name"], checked_name(content["version"], "version"))


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


def judge_guardrails(
    counts: PairedCounts, limits: GuardrailLimits, level: float
) -> list[GuardrailFigure]:
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


_RANGE = 2**64


def positions(listing_ids: Sequence[str], salt: str) -> NDArray[np.uint64]:
    """Return where listings lie in the range of arms, shape (listings,), even over 64 bits.

    The first 8 bytes, big endian, of sha256(salt, a zero byte, id).

    :param salt: another one gives another split, independent of the first.
    """
    start = hashlib.sha256(_bytes(salt) + b"\0")
    found = np.empty(len(listing_ids), np.uint64)
    for at, listing_id in enumerate(listing_ids):
        digest = start.copy()
        digest.update(_bytes(listing_id))
        found[at] = int.from_bytes(digest.digest()[:8], "big")
    return found


def below(found: NDArray[np.uint64], share: float) -> NDArray[np.bool_]:
    """Return which positions lie in the first ``share`` of the range.

    :param share: 0 to 1; 0 takes none, 1 all of them.
    """
    bound = int(share * _RANGE)  # exact: a float times a power of two
    if bound >= _RANGE:
        return np.ones(len(found), np.bool_)
    return np.asarray(found < np.uint64(bound), np.bool_)


def arm_of(listing_ids: Sequence[str], salt: str, share: float) -> NDArray[np.bool_]:
    """Return which listings fall to the challenger, shape (listings,).

    :param share: of all ids, 0 to 1.
    """
    return below(positions(listing_ids, salt), share)


def _bytes(text: str) -> bytes:
    """Return text as UTF-8; half of a surrogate pair, which JSON can spell, keeps its own bytes."""
    return text.encode("utf-8", "surrogatepass")


def normal_tail(z: float) -> float:
    """Return the probability that a standard normal variable exceeds ``z``."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def binomial_tail(successes: int, trials: int, rate: float) -> float:
    """Return the probability of at least so many successes of independent trials.

    :param rate: probability of a success, 0 < rate < 1.
    """
    if successes <= 0:
        return 1.0
    log_rate, log_rest = math.log(rate), math.log1p(-rate)
    whole = math.lgamma(trials + 1)
    terms = [
        whole
        - math.lgamma(k + 1)
        - math.lgamma(trials - k + 1)
        + k * log_rate
        + (trials - k) * log_rest
        for k in range(successes, trials + 1)
    ]
    return min(1.0, math.fsum(math.exp(term) for term in terms))


def chi_square_tail(value: float, degrees: int) -> float:
    """Return the probability that a chi-square variable exceeds a value.

    The closed form for whole degrees of freedom (Abramowitz and Stegun, 26.4.4 and 26.4.5).

    :param degrees: of freedom, at least 1.
    """
    if value <= 0:
        return 1.0
    half = value / 2
    odd = degrees % 2
    tail = math.erfc(math.sqrt(half)) if odd else 0.0
    powers = (step + 0.5 * odd for step in range(degrees // 2))
    tail += math.fsum(
        math.exp(power * math.log(half) - half - math.lgamma(power + 1)) for power in powers
    )
    return min(1.0, tail)
