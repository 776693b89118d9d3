"""What is measured: each metric a function over arrays with one entry a listing.

Every metric returns None in the empty case: nothing was measured, which is neither 0 nor 1.
A listing without candidates is a miss, never left out: its rank is infinite. None depends on the
order of the listings. `rerank.evaluation.catalogue` lists them as values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rerank.index.errors import InputError
from rerank.index.records import N_CANDIDATES

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

TOP_GRADE = 2


def precision_at_1(ranks: Floats) -> float | None:
    """Share of listings whose best candidate is right.

    Definition: mean of [rank = 1]. Range [0, 1], higher is better. Empty: None.
    Source: Manning, Raghavan, Schütze, Introduction to Information Retrieval, 2008, 8.4.

    :param ranks: place of the first right model, from 1; infinite if it is not a candidate.
    """
    return recall_at(ranks, 1)


def recall_at(ranks: Floats, cutoff: int) -> float | None:
    """Share of listings with a right model among the first ``cutoff`` models.

    Definition: mean of [rank <= cutoff]; a listing has one right model, so this is recall and
    success at once. Range [0, 1], higher is better. Empty: None.
    Source: Manning, Raghavan, Schütze 2008, 8.4.

    :raises InputError: if ``cutoff`` is below 1.
    """
    return _mean(found_within(ranks, cutoff))


def mean_reciprocal_rank(ranks: Floats) -> float | None:
    """How far up the first right model stands.

    Definition: mean of 1 / rank, 0 where it is not found. Range [0, 1], higher is better.
    Empty: None. Source: Voorhees, The TREC-8 Question Answering Track Report, 1999.
    """
    return _mean(reciprocal_rank(ranks))


def ndcg_at(grades: Floats, ideal: Floats, cutoff: int) -> float | None:
    """How close the order comes to the ideal one, exact variants counting double.

    Definition: mean over listings of DCG / ideal DCG, DCG = sum of grade / log2(1 + place) over
    the first ``cutoff`` places; the gain is the grade itself, not 2^grade - 1. A listing whose
    ideal is 0 counts as 0. Grades: 2 the exact variant, or any of the model where the listing
    leaves it open, 1 its model, 0 else.
    Range [0, 1], higher is better. Empty: None.
    Source: Järvelin, Kekäläinen, Cumulated gain-based evaluation of IR techniques, 2002.

    :param grades: shape (listings, places), in ranked order, 0 where nothing was ranked.
    :param ideal: shape (listings, any), all grades to be had, best first.
    :raises InputError: if ``cutoff`` is below 1 or the rows do not fit.
    """
    return _mean(normalised_gain(grades, ideal, cutoff))


def roc_auc(probability: Floats, correct: Bools) -> float | None:
    """How well the probability tells right answers from wrong ones and from no match.

    Definition: the chance that a right answer has the higher probability of a random right and
    wrong pair, ties counting half (Mann-Whitney U / pairs). A no-match listing is a wrong answer.
    Range [0, 1], 0.5 is chance, higher is better. Empty or all of one outcome: None.
    Source: Hanley, McNeil, The meaning and use of the area under a ROC curve, 1982.
    """
    return _once(weighted_roc_auc, probability, correct)


def average_precision(probability: Floats, correct: Bools) -> float | None:
    """How few wrong answers stand above right ones (PR-AUC).

    Definition: sum over distinct probabilities, from the highest down, of the recall gained there
    times the precision of all listings so far: average precision, no interpolation, ties together.
    Chance is the share of right answers. Range [0, 1], higher is better. Empty or no right answer:
    None. Source: Davis, Goadrich, The Relationship Between Precision-Recall and ROC Curves, 2006.
    """
    return _once(weighted_average_precision, probability, correct)


def expected_calibration_error(probability: Floats, correct: Bools) -> float | None:
    """How far stated probabilities lie from what came true.

    Definition: 10 bins of equal width, |mean probability - share correct| in each, weighted by its
    listings; 1.0 falls into the last bin. Resampling adds noise to each bin's gap, so a bootstrap
    interval lies high and the value sits near its lower end. Range [0, 1], lower is better.
    Empty: None.
    Source: Naeini, Cooper, Hauskrecht, Obtaining Well Calibrated Probabilities, 2015.
    """
    return _once(weighted_expected_calibration_error, probability, correct)


def brier_score(probability: Floats, correct: Bools) -> float | None:
    """How far probabilities lie from the outcomes, listing by listing.

    Definition: mean of (probability - [correct])². Range [0, 1], lower is better. Empty: None.
    Source: Brier, Verification of forecasts expressed in terms of probability, 1950.
    """
    return _mean(squared_error(probability, correct))


def area_under_risk_coverage(probability: Floats, correct: Bools) -> float | None:
    """How many errors are accepted, over all shares that could be accepted (AURC).

    Definition: mean over k = 1..n of the share of wrong answers among the k listings of highest
    probability; where equal probabilities leave the order open, its expectation over all orders.
    Range [0, 1], lower is better. Empty: None. Source: Geifman, Uziel, El-Yaniv, Bias-Reduced
    Uncertainty Estimation for Deep Neural Classifiers, 2019.
    """
    return _once(weighted_area_under_risk_coverage, probability, correct)


def accepted_share_at_precision(
    probability: Floats, correct: Bools, precision: float
) -> float | None:
    """How many listings need no person if the accepted ones must be right so often.

    Definition: the largest share of all listings at or above a threshold on the probability with
    a share of right answers of at least ``precision``; 0 if no threshold has it. Equal
    probabilities are accepted together. The threshold is chosen with hindsight, so a fixed one
    does no better. Range [0, 1], higher is better. Empty: None.
    Source: Geifman, El-Yaniv, Selective Classification for Deep Neural Networks, 2017.

    :raises InputError: if ``precision`` is not in (0, 1].
    """
    if not 0 < precision <= 1:
        raise InputError(f"expected a precision above 0 and up to 1, got {precision}")
    metric = partial(weighted_accepted_share_at_precision, precision=precision)
    return _once(metric, probability, correct)


def false_accept_rate(accepted: Bools) -> float | None:
    """Share of no-match listings that were accepted as a GPU.

    Definition: mean of [decision is match] over no-match listings. Range [0, 1], lower is better.
    Empty: None. Source: ISO/IEC 19795-1 (false accept rate).
    """
    return _mean(accepted)


def accepted_share(accepted: Bools) -> float | None:
    """Share of GPU listings that need no person: decided `match`, rightly or not.

    Definition: mean of [decision is match] over GPU listings. Range [0, 1], higher is better.
    Empty: None. Source: Chow, On optimum recognition error and reject tradeoff, 1970 (coverage).
    """
    return _mean(accepted)


def precision_of_accepted(correct: Bools) -> float | None:
    """Share of accepted listings whose model is right; accepted no-match listings are wrong.

    Definition: mean of [correct] over listings decided `match`. Range [0, 1], higher is better.
    Empty: None. Source: Chow 1970 (one minus the selective risk).
    """
    return _mean(correct)


def memory_variant_accuracy(agrees: Bools) -> float | None:
    """Share of rightly named listings that state a memory size and got the variant that has it.

    Definition: mean of [memory agrees] over listings with the right model in first place and a
    stated size. Range [0, 1], higher is better. Empty: None. Source: this project's design.
    """
    return _mean(agrees)


def gain(ours: Floats | Bools, theirs: Floats | Bools) -> float | None:
    """How much better we are than a baseline on the same listings.

    Definition: mean of ours minus theirs. Range [-1, 1], higher is better, 0 is no difference.
    Empty: None. Source: paired difference, Efron, Tibshirani, An Introduction to the Bootstrap,
    1993.
    """
    _check_pairs(ours, theirs)
    return _mean(ours.astype(np.float64) - theirs.astype(np.float64))


def found_within(ranks: Floats, cutoff: int) -> Floats:
    """Return 1 for each listing with a rank up to ``cutoff``, else 0.

    :raises InputError: if ``cutoff`` is below 1.
    """
    if cutoff < 1:
        raise InputError(f"cutoff must be at least 1, got {cutoff}")
    return (ranks <= cutoff).astype(np.float64)


def reciprocal_rank(ranks: Floats) -> Floats:
    """Return 1 / rank of each listing, 0 where the rank is infinite."""
    return 1.0 / ranks


def normalised_gain(grades: Floats, ideal: Floats, cutoff: int) -> Floats:
    """Return the nDCG of each listing; arguments and errors as of `ndcg_at`."""
    if cutoff < 1 or len(grades) != len(ideal):
        raise InputError(
            f"expected a cutoff of at least 1 and as many ideals as listings, got {cutoff}, "
            f"{len(ideal)} and {len(grades)}"
        )
    gain, best = _discounted(grades, cutoff), _discounted(ideal, cutoff)
    return np.divide(gain, best, out=np.zeros_like(gain), where=best > 0)


def squared_error(probability: Floats, correct: Bools) -> Floats:
    """Return (probability - [correct])² of each listing.

    :raises InputError: if the lengths differ.
    """
    _check_pairs(probability, correct)
    return np.asarray((probability - correct) ** 2, np.float64)


def _once(metric: Weighted, probability: Floats, correct: Bools) -> float | None:
    """Measure the listings as they are: one sample that holds each once."""
    _check_pairs(probability, correct)
    if not len(probability):
        return None
    value = float(metric(np.ones((len(probability), 1)), probability, correct)[0])
    return None if np.isnan(value) else value


def _mean(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if len(values) else None


def _discounted(grades: Floats, cutoff: int) -> Floats:
    top = grades[:, :cutoff].astype(np.float64)
    discounts = np.log2(np.arange(2, top.shape[1] + 2))
    return np.asarray((top / discounts).sum(axis=1), np.float64)


def _check_pairs(one: NDArray[Any], other: NDArray[Any]) -> None:
    if len(one) != len(other):
        raise InputError(f"expected two columns of one length, got {len(one)} and {len(other)}")


Weights = NDArray[np.floating[Any]]
Weighted = Callable[..., Floats]

CALIBRATION_BINS = 10


class Ladder(NamedTuple):
    """Listings taken from the highest probability down, equal ones together, in each sample.

    :param taken: shape (steps + 1, samples), how many are taken so far, from 0.
    :param right: same shape, how many of them are right.
    """

    taken: Weights
    right: Weights


def ladder(weights: Weights, probability: Floats, correct: Bools) -> Ladder:
    """Take listings step by step, one step a distinct probability."""
    order = np.argsort(-probability, kind="stable")
    falling = probability[order]
    last_of_tie = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
    counts = weights[order]
    shape = (len(last_of_tie) + 1, weights.shape[1])
    taken, right = np.zeros(shape, weights.dtype), np.zeros(shape, weights.dtype)
    taken[1:] = np.cumsum(counts, axis=0)[last_of_tie]
    counts *= correct[order][:, None]
    right[1:] = np.cumsum(counts, axis=0)[last_of_tie]
    return Ladder(taken, right)


def mean_of(per_listing: Callable[..., NDArray[Any]]) -> Weighted:
    """Return the weighted form of a mean of ``per_listing(*columns)``."""

    def mean(weights: Weights, *columns: NDArray[Any]) -> Floats:
        values = per_listing(*columns).astype(weights.dtype)
        return _ratio(values @ weights, weights.sum(axis=0))

    return mean


def weighted_roc_auc(weights: Weights, probability: Floats, correct: Bools) -> Floats:
    """Return the area under each sample's ROC curve, by trapezoids: ties count half."""
    taken, right = ladder(weights, probability, correct)
    wrong = taken - right
    strips = np.diff(wrong, axis=0) * (right[1:] + right[:-1])
    pairs = 2 * right[-1].astype(np.float64) * wrong[-1]
    return _ratio(strips.sum(axis=0, dtype=np.float64), pairs)


def weighted_average_precision(weights: Weights, probability: Floats, correct: Bools) -> Floats:
    """Return each sample's precision averaged over its right listings."""
    taken, right = ladder(weights, probability, correct)
    parts = np.diff(right, axis=0) * _share(right[1:], taken[1:])
    return _ratio(parts.sum(axis=0, dtype=np.float64), right[-1])


def weighted_area_under_risk_coverage(
    weights: Weights, probability: Floats, correct: Bools
) -> Floats:
    """Return each sample's mean selective risk, expected over random orders of ties.

    In a tie of m listings with e errors after N taken with E errors, the j-th is expected to
    leave E + ej/m errors among N + j: over j the risks sum to e + (E - eN/m)(H(N+m) - H(N)),
    H the harmonic numbers.
    """
    taken, right = ladder(weights, probability, correct)
    errors = taken - right
    steps, lost = np.diff(taken, axis=0), np.diff(errors, axis=0)
    harmonic = np.append(0.0, np.cumsum(1 / np.arange(1, float(taken[-1].max()) + 1)))
    spread = np.diff(harmonic[taken.astype(np.int64)], axis=0)
    risks = lost + (errors[:-1] - _share(lost, steps) * taken[:-1]) * spread
    return _ratio(risks.sum(axis=0, dtype=np.float64), taken[-1])


def weighted_accepted_share_at_precision(
    weights: Weights, probability: Floats, correct: Bools, precision: float
) -> Floats:
    """Return the largest share of each sample that a threshold accepts at ``precision``."""
    taken, right = ladder(weights, probability, correct)
    kept = _share(right[1:], taken[1:]) >= precision
    return _ratio(np.where(kept, taken[1:], 0).max(axis=0), taken[-1])


def weighted_expected_calibration_error(
    weights: Weights, probability: Floats, correct: Bools
) -> Floats:
    """Return the gap between stated and true shares of each sample, bin by bin."""
    gaps = np.zeros((CALIBRATION_BINS, len(probability)), weights.dtype)
    gaps[calibration_bin(probability), np.arange(len(probability))] = probability - correct
    total = np.abs(gaps @ weights).sum(axis=0, dtype=np.float64)
    return _ratio(total, weights.sum(axis=0))


def calibration_bin(probability: Floats) -> NDArray[np.int64]:
    """Return each probability's bin from 0, of 10 equal ones; a bin owns its lower edge."""
    place = (probability * CALIBRATION_BINS).astype(np.int64)
    return np.clip(place, 0, CALIBRATION_BINS - 1)


def _share(part: Weights, whole: Weights) -> Weights:
    """Divide; 0 where a sample holds none of the listings."""
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    quotient: Floats = np.full(len(whole), np.nan)
    np.divide(part, whole, out=quotient, where=whole > 0, dtype=np.float64)
    return quotient


PerListing = Callable[..., NDArray[Any]]

# What training holds by default (`TrainingParameters.precision`).
ACCEPTED_PRECISION = 0.99
_GRADED_PLACES = 10


class Better(Enum):
    """Which way a metric is better."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A named metric: what it measures, over which listings, and how.

    :param name: its key in reports and in the store.
    :param label: what people call it.
    :param definition: one line for people; the docstring of ``function`` is exact.
    :param columns: names of the `Outcomes` attributes it reads, in order.
    :param over: name of the boolean `Outcomes` attribute that says which listings count; None for
        all of them.
    :param source: where its definition comes from.
    :param function: columns to a value, None in the empty case.
    :param weighted: the same for many resamples at once (`rerank.evaluation.metrics`).
    :param per_listing: columns to one value a listing whose mean the metric is; None if it is no
        mean.
    :param lowest: the least value it can take.
    :param highest: the greatest.
    """

    name: str
    label: str
    definition: str
    columns: tuple[str, ...]
    over: str | None
    better: Better
    source: str
    function: Callable[..., float | None]
    weighted: Weighted
    per_listing: PerListing | None = None
    lowest: float = 0.0
    highest: float = 1.0

    def __call__(self, *columns: NDArray[Any]) -> float | None:
        """Measure columns, each with one row a listing; None in the empty case."""
        return self.function(*columns)

    def as_dict(self) -> dict[str, Any]:
        """Return what people need to read its values."""
        return {
            "name": self.name,
            "label": self.label,
            "definition": self.definition,
            "range": [self.lowest, self.highest],
            "better": self.better.value,
            "source": self.source,
        }


def recall(cutoff: int) -> Metric:
    """Return recall at a cutoff.

    :raises InputError: if ``cutoff`` is below 1.
    """
    found_within(np.zeros(0), cutoff)
    return _mean_catalogue(
        f"recall_at_{cutoff}",
        f"recall@{cutoff}",
        f"share of GPU listings with the right model among the first {cutoff}",
        partial(recall_at, cutoff=cutoff),
        partial(found_within, cutoff=cutoff),
        over="is_match",
        source="Manning, Raghavan, Schütze 2008, 8.4",
    )


def share_at_precision(precision: float = ACCEPTED_PRECISION) -> Metric:
    """Return the accepted share at a stated precision.

    :raises InputError: if ``precision`` is not in (0, 1].
    """
    accepted_share_at_precision(np.zeros(0), np.zeros(0, np.bool_), precision)
    return _of_probability(
        "accepted_share_at_precision",
        f"share accepted at precision {precision:g}",
        f"largest share of listings above a threshold with at least {precision:.4g} of them right",
        partial(accepted_share_at_precision, precision=precision),
        partial(weighted_accepted_share_at_precision, precision=precision),
        source="Geifman, El-Yaniv, Selective Classification for Deep Neural Networks, 2017",
    )


def metric_named(name: str) -> Metric:
    """Return a metric of `METRICS`.

    :raises InputError: if there is none of that name.
    """
    found = next((metric for metric in METRICS if metric.name == name), None)
    if found is None:
        known = ", ".join(metric.name for metric in METRICS)
        raise InputError(f"expected a metric of {known}; got {name!r}")
    return found


def _mean_catalogue(
    name: str,
    label: str,
    definition: str,
    function: Callable[..., float | None],
    per_listing: PerListing,
    *,
    over: str | None,
    source: str,
    columns: tuple[str, ...] = ("ranks",),
    better: Better = Better.HIGHER,
) -> Metric:
    return Metric(
        name=name,
        label=label,
        definition=definition,
        columns=columns,
        over=over,
        better=better,
        source=source,
        function=function,
        weighted=mean_of(per_listing),
        per_listing=per_listing,
    )


def _share_catalogue(
    name: str,
    label: str,
    definition: str,
    function: Callable[..., float | None],
    column: str,
    *,
    over: str,
    source: str,
    better: Better = Better.HIGHER,
) -> Metric:
    return _mean_catalogue(
        name,
        label,
        definition,
        function,
        _as_numbers,
        columns=(column,),
        over=over,
        source=source,
        better=better,
    )


def _of_probability(
    name: str,
    label: str,
    definition: str,
    function: Callable[..., float | None],
    many: Weighted,
    *,
    source: str,
    better: Better = Better.HIGHER,
) -> Metric:
    return Metric(
        name=name,
        label=label,
        definition=definition,
        columns=("probability", "correct"),
        over=None,
        better=better,
        source=source,
        function=function,
        weighted=many,
    )


def _as_numbers(values: NDArray[Any]) -> Floats:
    return values.astype(np.float64)


def _ndcg(grades: Floats) -> float | None:
    return ndcg_at(grades, _ideal(grades), _GRADED_PLACES)


def _gains(grades: Floats) -> Floats:
    return normalised_gain(grades, _ideal(grades), _GRADED_PLACES)


def _ideal(grades: Floats) -> Floats:
    """Every listing has one best answer; of several accepted names one counts."""
    return np.full((len(grades), 1), float(TOP_GRADE))


PRECISION_AT_1 = _mean_catalogue(
    "precision_at_1",
    "precision@1",
    "share of GPU listings whose first candidate is the right one",
    precision_at_1,
    partial(found_within, cutoff=1),
    over="is_match",
    source="Manning, Raghavan, Schütze 2008, 8.4",
)
MRR = _mean_catalogue(
    "mrr",
    "MRR",
    "mean over GPU listings of 1 / place of the right model, 0 if it is not found",
    mean_reciprocal_rank,
    reciprocal_rank,
    over="is_match",
    source="Voorhees, The TREC-8 Question Answering Track Report, 1999",
)
NDCG_AT_10 = _mean_catalogue(
    "ndcg_at_10",
    "nDCG@10",
    "gain of the order over the ideal one: exact variant 2, its model 1",
    _ndcg,
    _gains,
    columns=("grades",),
    over="is_match",
    source="Järvelin, Kekäläinen, Cumulated gain-based evaluation of IR techniques, 2002",
)
ROC_AUC = _of_probability(
    "roc_auc",
    "ROC-AUC",
    "chance that a right answer has a higher probability than a wrong one",
    roc_auc,
    weighted_roc_auc,
    source="Hanley, McNeil, The meaning and use of the area under a ROC curve, 1982",
)
PR_AUC = _of_probability(
    "pr_auc",
    "PR-AUC",
    "average precision: mean over right answers of the precision down to them",
    average_precision,
    weighted_average_precision,
    source="Davis, Goadrich, The Relationship Between Precision-Recall and ROC Curves, 2006",
)
ECE = _of_probability(
    "ece",
    "ECE",
    "mean gap between stated probability and share right, over 10 equal bins",
    expected_calibration_error,
    weighted_expected_calibration_error,
    better=Better.LOWER,
    source="Naeini, Cooper, Hauskrecht, Obtaining Well Calibrated Probabilities, 2015",
)
BRIER = _mean_catalogue(
    "brier",
    "Brier score",
    "mean squared difference of probability and outcome (right 1, wrong 0)",
    brier_score,
    squared_error,
    columns=("probability", "correct"),
    over=None,
    source="Brier, Verification of forecasts expressed in terms of probability, 1950",
    better=Better.LOWER,
)
AURC = _of_probability(
    "aurc",
    "AURC",
    "share wrong among the accepted, averaged over all shares one could accept",
    area_under_risk_coverage,
    weighted_area_under_risk_coverage,
    better=Better.LOWER,
    source="Geifman, Uziel, El-Yaniv, Bias-Reduced Uncertainty Estimation for Deep Neural "
    "Classifiers, 2019",
)
FALSE_ACCEPTS = _share_catalogue(
    "nil_false_match_rate",
    "no-match accepted",
    "share of no-match listings accepted as a GPU",
    false_accept_rate,
    "accepted",
    over="is_nil",
    source="ISO/IEC 19795-1 (false accept rate)",
    better=Better.LOWER,
)
ACCEPTED_SHARE = _share_catalogue(
    "accepted_share",
    "share accepted",
    "share of GPU listings accepted without a person",
    accepted_share,
    "accepted",
    over="is_match",
    source="Chow, On optimum recognition error and reject tradeoff, 1970 (coverage)",
)
PRECISION_OF_ACCEPTED = _share_catalogue(
    "precision_of_accepted",
    "precision of the accepted",
    "share of accepted listings that are right; an accepted no-match listing is wrong",
    precision_of_accepted,
    "correct",
    over="accepted",
    source="Chow 1970 (one minus the selective risk)",
)
MEMORY_VARIANT_ACCURACY = _share_catalogue(
    "memory_variant_accuracy",
    "memory variant accuracy",
    "share of rightly named listings with a stated memory size that got the variant of that size",
    memory_variant_accuracy,
    "memory_agrees",
    over="memory_judged",
    source="this project's design",
)

METRICS = (
    PRECISION_AT_1,
    recall(3),
    recall(10),
    recall(N_CANDIDATES),
    MRR,
    NDCG_AT_10,
    ROC_AUC,
    PR_AUC,
    ECE,
    BRIER,
    AURC,
    FALSE_ACCEPTS,
    ACCEPTED_SHARE,
    share_at_precision(),
    PRECISION_OF_ACCEPTED,
    MEMORY_VARIANT_ACCURACY,
)
