"""Calibration: probabilities that come true, and candidate sets that hold the truth.

Log-odds become probabilities by smoothed isotonic regression: pool-adjacent-violators (Ayer et al.
1955) over the mean of each validation outcome and of what a logistic curve (Platt 1999) says of it:
the curve steadies blocks of few rows, the blocks bend the curve where outcomes do not follow it.
Stored as knots; between knots the probability is interpolated, so it is monotone in the log-odds.

Candidate sets hold it at a stated coverage, by split conformal prediction.

The outcomes of a listing are the models among its candidates and "no match". A set holds every
outcome whose nonconformity 1 - p is at most a threshold, the quantile of the nonconformity of the
truth over listings that neither trees, calibrator nor decisions were fitted to (Vovk, Gammerman and
Shafer 2005, Algorithmic Learning in a Random World; the score is that of the least ambiguous sets,
Sadinle, Lei and Wasserman 2019, JASA 114, doi:10.1080/01621459.2017.1395341). Nonconformity is
rounded to six decimals wherever it is computed, so that stored and computed values compare exactly.

There is a threshold for each decision (Mondrian; Angelopoulos and Bates 2023, Conformal Prediction:
A Gentle Introduction, section 4.1), so that the coverage holds among the listings held for review
as well. With one threshold for all, the many easy listings pay for the hard ones: at 95 % every
set is the best outcome alone, and of the sets of the listings held for review a quarter misses.

Calibration listings are generated, and those that are hard to read are more frequent among real
ones. So a second threshold, over all decisions together, holds the level for any mix of listings in
which none is more than `SHIFT` times as frequent as among the generated: what misses there misses
here at most `SHIFT` times as often, so it is calibrated at 1 - (1 - level) / SHIFT (a likelihood
ratio bounded as in Jin, Ren and Candes 2023, PNAS 120(6), doi:10.1073/pnas.2214889120). The higher
of both thresholds counts. Weighted conformal prediction (Tibshirani et al. 2019), with weights from
a classifier of generated and real listings by the offer's features, was measured and fell short:
errors of the listings that look alike are as rare as before, for what makes a real one hard is no
feature of it.

If a listing is exchangeable with the calibration listings of its decision, its set holds the truth
with at least the stated probability; over a shifted mix it does on average over the decisions. It
promises nothing for one listing, nor for a mix that is farther away.
"""

from __future__ import annotations

import itertools
import math
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.index.artifacts import numbers
from rerank.index.errors import InputError
from rerank.resolution import DECISIONS, ScoredCandidate

_FLOOR = 0.001  # no finite sample proves certainty
_STEPS = 100
_RIDGE = 1e-3  # rows: keeps the curve of one score alone defined


@dataclass(frozen=True, slots=True)
class Calibrator:
    """A monotone map from log-odds to probability.

    :param log_odds: knots, increasing.
    :param probability: their probabilities, non-decreasing, in [0, 1].
    """

    log_odds: tuple[float, ...]
    probability: tuple[float, ...]

    @classmethod
    def from_dict(cls, content: Any) -> Calibrator:
        """Return what `dataclasses.asdict` gave.

        :raises ValueError: if it is anything else, or no such map.
        :raises KeyError: if knots are missing.
        """
        most = sys.float_info.max
        log_odds = numbers(content["log_odds"], "log_odds", -most, most, rising=True)
        probability = numbers(content["probability"], "probability", 0, 1, rising=True)
        if not log_odds or len(log_odds) != len(probability):
            raise ValueError(
                f"expected as many log_odds as probabilities, found {len(log_odds)} and "
                f"{len(probability)}"
            )
        return cls(log_odds, probability)

    def __call__(self, log_odds: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return probabilities of the same shape, in [0, 1]."""
        return np.asarray(np.interp(log_odds, self.log_odds, self.probability), np.float64)


def fit_calibrator(
    log_odds: NDArray[np.floating],
    correct: NDArray[np.bool_],
    *,
    min_rows: int = 50,
    weights: NDArray[np.floating] | None = None,
) -> Calibrator:
    """Fit half a logistic curve, half isotonic blocks of at least ``min_rows`` rows.

    Rows of equal scores stand in one block, and sums are taken in an order of their own: the same
    rows give the same curve to the last bit, in whatever order they come.

    :param log_odds: shape (rows,); any monotone score of correctness.
    :param correct: shape (rows,).
    :param weights: shape (rows,), above 0: how many rows each counts as; None: all count as one.
    :raises InputError: if the rows are empty or all of one outcome.
    """
    if len(log_odds) != len(correct):
        raise InputError(f"got {len(log_odds)} scores but {len(correct)} outcomes")
    if not len(log_odds) or correct.all() or not correct.any():
        raise InputError("calibration needs outcomes of both kinds")
    w = np.ones(len(log_odds)) if weights is None else weights.astype(float)
    order = np.lexsort((w, correct, log_odds))
    x, y, w = log_odds[order].astype(float), correct[order].astype(float), w[order]
    smooth = (y + _logistic(x, y, w)) / 2
    blocks = _pool(_chunks(x, smooth, w, max(1, min(min_rows, len(x) // 4))))
    centres = np.maximum.accumulate([total_x / size for total_x, _, size in blocks]).tolist()
    values = [total_y / size for _, total_y, size in blocks]
    values = np.clip(np.maximum.accumulate(values), _FLOOR, 1 - _FLOOR).tolist()
    return Calibrator(tuple(centres), tuple(values))


def choose_threshold(
    probability: NDArray[np.floating],
    correct: NDArray[np.bool_],
    precision: float,
    *,
    weights: NDArray[np.floating] | None = None,
) -> float:
    """Return the lowest threshold at or above which the share correct reaches ``precision``.

    1.01 (nothing is accepted) if no threshold does.

    :param weights: shape (rows,), above 0: how many rows each counts as; None: all count as one.
    """
    w = np.ones(len(probability)) if weights is None else weights
    order = np.lexsort((w, correct, -probability))
    p, w = probability[order], w[order]
    share = np.cumsum(w * correct[order]) / np.cumsum(w)
    last_of_tie = np.append(np.diff(p) != 0, True)
    good = np.flatnonzero((share >= precision) & last_of_tie)
    return float(p[good[-1]]) if len(good) else 1.01


def _logistic(
    x: NDArray[np.float64], y: NDArray[np.float64], w: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return what a logistic curve fitted by Newton's method says of each row, never falling in x.

    Its targets are Platt's, which leave both outcomes possible, so that it stays finite where a
    score separates them.
    """
    ones, zeros = float(w @ y), float(w @ (1 - y))
    target = np.where(y > 0, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    design = np.stack([(x - x.mean()) / (x.std() or 1.0), np.ones_like(x)], axis=1)
    slopes = np.zeros(2)
    for _ in range(_STEPS):
        p = _sigmoid(design @ slopes)
        curvature = (design * (w * p * (1 - p))[:, None]).T @ design + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, design.T @ (w * (target - p)) - _RIDGE * slopes)
        slopes += step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-9:
            break
    if slopes[0] < 0:
        return np.full(len(x), (ones + 1) / (ones + zeros + 2))
    return _sigmoid(design @ slopes)


def _sigmoid(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -30, 30))), np.float64)


def _chunks(
    x: NDArray[np.float64], y: NDArray[np.float64], w: NDArray[np.float64], size: int
) -> Sequence[tuple[float, float, float]]:
    """Cut sorted rows into blocks of ``size`` rows or more: (sum of x, sum of y, rows), weighted.

    Blocks end where a score does.

    :param size: not above the number of rows.
    """
    ends = np.append(np.flatnonzero(np.diff(x)) + 1, len(x))
    edges = [0]
    while len(x) - edges[-1] >= 2 * size:
        edges.append(int(ends[np.searchsorted(ends, edges[-1] + size)]))
    if len(x) - edges[-1] < size:
        edges.pop()
    edges.append(len(x))
    return [
        (float((w * x)[a:b].sum()), float((w * y)[a:b].sum()), float(w[a:b].sum()))
        for a, b in itertools.pairwise(edges)
    ]


def _pool(blocks: Sequence[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    """Merge neighbours until the shares rise from block to block."""
    pooled: list[tuple[float, float, float]] = []
    for block in blocks:
        pooled.append(block)
        while len(pooled) > 1 and pooled[-2][1] / pooled[-2][2] >= pooled[-1][1] / pooled[-1][2]:
            a, b = pooled[-2], pooled.pop()
            pooled[-1] = (a[0] + b[0], a[1] + b[1], a[2] + b[2])
    return pooled


NO_MATCH = "no match"
"""The outcome that a listing sells none of the registry's models; written so everywhere."""

DEFAULT_COVERAGE = 0.95
MISSED = math.inf
"""Nonconformity of a truth that is no outcome: the model sold is not among the candidates."""

SHIFT = 4.0
"""How many times as frequent as among generated listings one may be that the sets are used on.

On shops' and people's listings and the hard set the best outcome was wrong up to 3.2 times as often
as on generated ones, before these held their kinds; .2 to 2.2 times since. Over catalogues of other
goods, sets of made-up listings hold .94 to .96 at a stated .95 where most is alike (Amazon-Google),
and .91 to .93 at half this shift."""

METHOD = (
    f"split conformal, nonconformity 1 - p, one threshold a group, one for a shift of {SHIFT:g}"
)
# Fewer listings of a decision could not carry a coverage of 99 %.
MIN_LISTINGS = 100
_ANY = "any"
_QUANTILES = 5000
_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Nonconformity:
    """How far the truth was from certain in one group of calibration listings.

    :param listings: of the group, those whose truth was missed included.
    :param reached: of them, those whose truth was among the outcomes.
    :param scores: non-decreasing, at most 5,000: all of them, or those of the ranks
        ceil(j * reached / 5,000), j from 1 to 5,000.
    """

    listings: int
    reached: int
    scores: tuple[float, ...]

    @classmethod
    def of(cls, scores: Iterable[float]) -> Nonconformity:
        """Condense nonconformity scores in [0, 1], `MISSED` among them."""
        every = list(scores)
        finite = sorted(round(score, _DECIMALS) for score in every if score != MISSED)
        size = min(len(finite), _QUANTILES)
        kept = tuple(finite[-(-j * len(finite) // size) - 1] for j in range(1, size + 1))
        return cls(len(every), len(finite), kept)

    @classmethod
    def from_dict(cls, content: Any) -> Nonconformity:
        """Return what `dataclasses.asdict` gave.

        :raises ValueError: if it is anything else.
        :raises KeyError: if a field is missing.
        """
        listings, reached = content["listings"], content["reached"]
        scores = numbers(content["scores"], "scores", 0, 1, rising=True)
        if {type(listings), type(reached)} != {int} or not 0 <= reached <= listings:
            raise ValueError(
                f"expected how many listings there were and were reached, found {listings!r:.40} "
                f"and {reached!r:.40}"
            )
        if len(scores) != min(reached, _QUANTILES):
            raise ValueError(f"expected {min(reached, _QUANTILES)} scores, found {len(scores)}")
        return cls(listings, reached, scores)

    def at_most(self, score: float) -> int:
        """Return how many scores of the group, at least, are at most ``score``."""
        place = bisect_right(self.scores, score)
        return -(-place * self.reached // max(1, len(self.scores)))

    @property
    def highest_level(self) -> float:
        """The highest coverage that these listings can promise."""
        return self.reached / (self.listings + 1)

    def threshold(self, level: float) -> float | None:
        """Return the ceil((n + 1) * level)-th smallest score or one above; None if out of reach."""
        rank = max(1, math.ceil((self.listings + 1) * level - 1e-9))
        if rank > self.reached:
            return None
        return self.scores[(rank - 1) * len(self.scores) // self.reached]


@dataclass(frozen=True, slots=True)
class CandidateSets:
    """Candidate sets at any coverage.

    :param groups: by decision; ``any`` alone where some decision has too few listings.
    :param seed: of the generated calibration listings.
    """

    groups: Mapping[str, Nonconformity]
    seed: int
    _thresholds: dict[float, dict[str, float]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def from_scores(cls, scores: Mapping[str, Sequence[float]], *, seed: int = 0) -> CandidateSets:
        """Calibrate on the nonconformity of the truth, by decision.

        One threshold serves all decisions where one of them has fewer than 100 listings.

        :param scores: for each decision that can be made: 1 - p of the truth, or `MISSED`.
        :raises InputError: if there is no score, or one is neither in [0, 1] nor `MISSED`.
        """
        pooled = [score for group in scores.values() for score in group]
        odd = [score for score in pooled if not (0 <= score <= 1 or score == MISSED)]
        if odd:
            raise InputError(f"nonconformity must be in [0, 1] or infinite, got {odd[0]!r}")
        if not pooled:
            raise InputError("candidate sets need listings to calibrate on, got none")
        if min(map(len, scores.values())) < MIN_LISTINGS:
            return cls({_ANY: Nonconformity.of(pooled)}, seed)
        return cls({name: Nonconformity.of(group) for name, group in scores.items()}, seed)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> CandidateSets:
        """Return what `as_dict` was made of.

        :raises ValueError: if it is anything else.
        :raises KeyError: if a field is missing.
        """
        groups = {name: Nonconformity.from_dict(group) for name, group in content["groups"].items()}
        if not groups or not {*groups} <= {_ANY, *DECISIONS}:
            raise ValueError(
                f"groups: expected {', '.join(DECISIONS)}, or {_ANY}, found {list(groups)!r:.80}"
            )
        seed = content["seed"]
        if type(seed) is not int:
            raise ValueError(f"expected a seed, found {seed!r:.40}")
        return cls(groups, seed)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        groups = {name: asdict(group) for name, group in self.groups.items()}
        return {**self.summary(), "groups": groups}

    def summary(self) -> dict[str, Any]:
        """Return what a manifest says of it: method, number of listings, seed."""
        listings = {name: group.listings for name, group in self.groups.items()}
        return {"method": METHOD, "listings": listings, "seed": self.seed}

    def threshold(self, level: float, decision: str) -> float:
        """Return the highest nonconformity that a set at a coverage admits, in [0, 1].

        :param level: the coverage, between 0 and 1.
        :raises InputError: if ``level`` is outside (0, 1), or higher than the calibration
            listings of any decision can promise.
        """
        if level not in self._thresholds:
            self._thresholds[level] = self._at(level)
        found = self._thresholds[level]
        if _ANY in found:
            return found[_ANY]
        if decision not in found:
            names = ", ".join(self.groups)
            raise InputError(f"expected a decision among {names}, got {decision!r}")
        return found[decision]

    def _at(self, level: float) -> dict[str, float]:
        """Return the threshold of each group at a coverage."""
        if not 0 < level < 1:
            raise InputError(f"coverage must be above 0 and below 1, such as 0.95, got {level!r}")
        shifted = self._shifted(1 - (1 - level) / SHIFT)
        thresholds: dict[str, float] = {}
        for name, group in self.groups.items():
            own = group.threshold(level)
            if own is None:
                raise InputError(self._out_of_reach(level))
            thresholds[name] = max(own, shifted)
        return thresholds

    def _shifted(self, level: float) -> float:
        """Return the threshold over all groups; 1, all outcomes, where none promises the level."""
        groups = self.groups.values()
        rank = math.ceil((sum(group.listings for group in groups) + 1) * level - 1e-9)
        every = sorted({score for group in groups for score in group.scores} | {1.0})
        place = bisect_left(every, rank, key=lambda at: sum(g.at_most(at) for g in groups))
        return every[min(place, len(every) - 1)]

    def _out_of_reach(self, level: float) -> str:
        highest = min(group.highest_level for group in self.groups.values())
        counts = ", ".join(
            f"{name} {group.reached} of {group.listings}" for name, group in self.groups.items()
        )
        return (
            f"coverage {level:g} is out of reach: the highest these candidate sets can promise "
            f"is {math.floor(highest * 1e4) / 1e4:g} (calibration listings whose truth was "
            f"among the candidates: {counts}); ask for less, or train on more listings with "
            "`rerank train-ltr --scale`"
        )

    def select(
        self, probabilities: Mapping[str, float], decision: str, *, level: float = DEFAULT_COVERAGE
    ) -> tuple[str, ...]:
        """Return the outcomes at a coverage, the most probable first.

        Never empty: where no outcome is near enough, the most probable one stands alone, which
        can only raise the coverage. A higher level gives the same set or a larger one.

        :param probabilities: of all outcomes, in [0, 1]; ties keep their order.
        :raises InputError: as `threshold`, or if there is no outcome.
        """
        if not probabilities:
            raise InputError("expected at least one outcome, got none")
        threshold = self.threshold(level, decision)
        ranked = sorted(probabilities, key=lambda outcome: -probabilities[outcome])
        cutoff = bisect_right(
            ranked, threshold, key=lambda name: nonconformity(probabilities, name)
        )
        return tuple(ranked[: max(1, cutoff)])


def outcome_probabilities(candidates: Sequence[ScoredCandidate]) -> dict[str, float]:
    """Return the probability of each model among a listing's candidates and of `NO_MATCH`.

    Models come as their best candidates do; they and "no match" sum to 1.
    """
    shares: dict[str, float] = {}
    for candidate in candidates:
        shares.setdefault(candidate.model, candidate.probability)
    return {**shares, NO_MATCH: max(0.0, 1.0 - sum(shares.values()))}


def nonconformity(probabilities: Mapping[str, float], outcome: str) -> float:
    """Return 1 - p of an outcome in [0, 1], `MISSED` if it is none of the outcomes."""
    return round(1.0 - probabilities[outcome], _DECIMALS) if outcome in probabilities else MISSED
