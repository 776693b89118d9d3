"""What is measured: each metric once, with what it means, reads and ranges over.

A metric has one formula, over weighted listings: as they are, each weighs one; in a resample, as
often as it was drawn. It is None in the empty case: nothing was measured, which is neither 0 nor 1.
A listing without candidates is a miss, never left out: its rank is infinite. None depends on the
order of the listings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.index.errors import InputError
from rerank.index.records import N_CANDIDATES, Bools, Doubles

Weights = NDArray[np.floating[Any]]
PerListing = Callable[..., NDArray[Any]]
OfSamples = Callable[..., Doubles]

TOP_GRADE = 2
GRADED_PLACES = 10
CALIBRATION_BINS = 10
# What training holds by default (`TrainingParameters.precision`).
ACCEPTED_PRECISION = 0.99


class Better(Enum):
    """Which way a metric is better."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A named metric: what it measures, over which listings, and how.

    :param name: its key in reports and in the store.
    :param label: what people call it.
    :param definition: one line for people.
    :param formula: exactly what is computed.
    :param source: where its definition comes from.
    :param columns: what it reads of each listing: names of `Outcomes` attributes, in order.
    :param over: name of the boolean `Outcomes` attribute that says which listings count; None for
        all of them.
    :param per_listing: columns to one value a listing whose mean the metric is; None if it is no
        mean.
    :param of_samples: weights, shape (listings, samples), and columns to a value of each sample,
        NaN where it is not defined; of a metric that is no mean.
    :param lowest: the least value it can take.
    :param highest: the greatest.
    """

    name: str
    label: str
    definition: str
    formula: str
    source: str
    columns: tuple[str, ...] = ("probability", "correct")
    over: str | None = None
    better: Better = Better.HIGHER
    per_listing: PerListing | None = None
    of_samples: OfSamples | None = None
    lowest: float = 0.0
    highest: float = 1.0

    def __call__(self, *columns: NDArray[Any]) -> float | None:
        """Measure columns, each with one row a listing; None where nothing is measured.

        :raises InputError: if their lengths differ.
        """
        _check_lengths(*columns)
        if not len(columns[0]):
            return None
        if self.per_listing is not None:
            return float(self.per_listing(*columns).mean())
        value = float(self.weighted(np.ones((len(columns[0]), 1)), *columns)[0])
        return None if np.isnan(value) else value

    def weighted(self, weights: Weights, *columns: NDArray[Any]) -> Doubles:
        """Measure samples at once, shape (samples,); NaN where it is not defined.

        :param weights: shape (listings, samples), how often each listing is in each sample.
        """
        if self.per_listing is None:
            assert self.of_samples is not None
            return self.of_samples(weights, *columns)
        values = self.per_listing(*columns).astype(weights.dtype)
        return _ratio(values @ weights, weights.sum(axis=0))


def metric_named(name: str) -> Metric:
    """Return a metric of `METRICS`.

    :raises InputError: if there is none of that name.
    """
    found = next((metric for metric in METRICS if metric.name == name), None)
    if found is None:
        known = ", ".join(metric.name for metric in METRICS)
        raise InputError(f"expected a metric of {known}; got {name!r}")
    return found


def found_within(ranks: Doubles, cutoff: int) -> Doubles:
    """Return 1 for each listing with a rank up to ``cutoff``, else 0.

    :raises InputError: if ``cutoff`` is below 1.
    """
    if cutoff < 1:
        raise InputError(f"cutoff must be at least 1, got {cutoff}")
    return (ranks <= cutoff).astype(np.float64)


def normalised_gain(grades: Doubles, ideal: Doubles, cutoff: int) -> Doubles:
    """Return the nDCG of each listing: DCG / ideal DCG, 0 where the ideal is 0.

    DCG = sum of grade / log2(1 + place) over the first ``cutoff`` places; the gain is the grade
    itself, not 2^grade - 1.

    :param grades: shape (listings, places), in ranked order, 0 where nothing was ranked.
    :param ideal: shape (listings, any), all grades to be had, best first.
    :raises InputError: if ``cutoff`` is below 1 or the rows do not fit.
    """
    if cutoff < 1 or len(grades) != len(ideal):
        raise InputError(
            f"expected a cutoff of at least 1 and as many ideals as listings, got {cutoff}, "
            f"{len(ideal)} and {len(grades)}"
        )
    gain, best = _discounted(grades, cutoff), _discounted(ideal, cutoff)
    return np.divide(gain, best, out=np.zeros_like(gain), where=best > 0)


def as_numbers(values: NDArray[Any]) -> Doubles:
    """Return values as they are, true as 1."""
    return values.astype(np.float64)


def _discounted(grades: Doubles, cutoff: int) -> Doubles:
    top = grades[:, :cutoff].astype(np.float64)
    discounts = np.log2(np.arange(2, top.shape[1] + 2))
    return np.asarray((top / discounts).sum(axis=1), np.float64)


def _check_lengths(*columns: NDArray[Any]) -> None:
    lengths = [len(column) for column in columns]
    if len(set(lengths)) > 1:
        said = " and ".join(map(str, lengths))
        raise InputError(f"expected two columns of one length, got {said}")


def ladder(weights: Weights, probability: Doubles, correct: Bools) -> tuple[Weights, Weights]:
    """Take listings from the highest probability down, one step a distinct probability.

    :returns: how many are taken so far, from 0, and how many of these are right, in each sample:
        both of shape (steps + 1, samples).
    """
    order = np.argsort(-probability, kind="stable")
    falling = probability[order]
    last_of_tie = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
    counts = weights[order]
    shape = (len(last_of_tie) + 1, weights.shape[1])
    taken, right = np.zeros(shape, weights.dtype), np.zeros(shape, weights.dtype)
    taken[1:] = np.cumsum(counts, axis=0)[last_of_tie]
    counts *= correct[order][:, None]
    right[1:] = np.cumsum(counts, axis=0)[last_of_tie]
    return taken, right


def _roc_auc(weights: Weights, probability: Doubles, correct: Bools) -> Doubles:
    """Return the area under each sample's ROC curve, by trapezoids: ties count half."""
    taken, right = ladder(weights, probability, correct)
    wrong = taken - right
    strips = np.diff(wrong, axis=0) * (right[1:] + right[:-1])
    pairs = 2 * right[-1].astype(np.float64) * wrong[-1]
    return _ratio(strips.sum(axis=0, dtype=np.float64), pairs)


def _average_precision(weights: Weights, probability: Doubles, correct: Bools) -> Doubles:
    """Return each sample's precision averaged over its right listings."""
    taken, right = ladder(weights, probability, correct)
    parts = np.diff(right, axis=0) * _share(right[1:], taken[1:])
    return _ratio(parts.sum(axis=0, dtype=np.float64), right[-1])


def _area_under_risk_coverage(weights: Weights, probability: Doubles, correct: Bools) -> Doubles:
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


def _best_f1(weights: Weights, probability: Doubles, correct: Bools, is_match: Bools) -> Doubles:
    """Return the largest F1 that a threshold has in each sample."""
    taken, right = ladder(weights, probability, correct)
    matches = is_match.astype(weights.dtype) @ weights
    found: Doubles = np.asarray(
        (2 * right / np.maximum(taken + matches, 1)).max(axis=0), np.float64
    )
    found[weights.sum(axis=0) == 0] = np.nan
    return found


def _accepted_share_at_precision(
    weights: Weights, probability: Doubles, correct: Bools, precision: float
) -> Doubles:
    """Return the largest share of each sample that a threshold accepts at ``precision``."""
    taken, right = ladder(weights, probability, correct)
    kept = _share(right[1:], taken[1:]) >= precision
    return _ratio(np.where(kept, taken[1:], 0).max(axis=0), taken[-1])


def _expected_calibration_error(weights: Weights, probability: Doubles, correct: Bools) -> Doubles:
    """Return the gap between stated and true shares of each sample, bin by bin."""
    gaps = np.zeros((CALIBRATION_BINS, len(probability)), weights.dtype)
    gaps[calibration_bin(probability), np.arange(len(probability))] = probability - correct
    total = np.abs(gaps @ weights).sum(axis=0, dtype=np.float64)
    return _ratio(total, weights.sum(axis=0))


def calibration_bin(probability: Doubles) -> NDArray[np.int64]:
    """Return each probability's bin from 0, of 10 equal ones; a bin owns its lower edge."""
    place = (probability * CALIBRATION_BINS).astype(np.int64)
    return np.clip(place, 0, CALIBRATION_BINS - 1)


def _share(part: Weights, whole: Weights) -> Weights:
    """Divide; 0 where a sample holds none of the listings."""
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Doubles:
    quotient: Doubles = np.full(len(whole), np.nan)
    np.divide(part, whole, out=quotient, where=whole > 0, dtype=np.float64)
    return quotient


def recall(cutoff: int) -> Metric:
    """Return recall at a cutoff.

    :raises InputError: if ``cutoff`` is below 1.
    """
    found_within(np.zeros(0), cutoff)
    return Metric(
        name=f"recall_at_{cutoff}",
        label=f"recall@{cutoff}",
        definition=f"share of GPU listings with the right model among the first {cutoff}",
        formula=f"mean of [rank <= {cutoff}]; rank: place of the first right model, infinite if it "
        "is not a candidate. A listing has one right model, so this is recall and success at once",
        source="Manning, Raghavan, Schütze 2008, 8.4",
        columns=("ranks",),
        over="is_match",
        per_listing=partial(found_within, cutoff=cutoff),
    )


def share_at_precision(precision: float = ACCEPTED_PRECISION) -> Metric:
    """Return the accepted share at a stated precision.

    :raises InputError: if ``precision`` is not in (0, 1].
    """
    if not 0 < precision <= 1:
        raise InputError(f"expected a precision above 0 and up to 1, got {precision}")
    return Metric(
        name="accepted_share_at_precision",
        label=f"share accepted at precision {precision:g}",
        definition="largest share of listings above a threshold with at least "
        f"{precision:.4g} of them right",
        formula="largest share of all listings at or above a threshold on the probability with a "
        f"share of right answers of at least {precision:g}; 0 if no threshold has it. Equal "
        "probabilities are accepted together. The threshold is chosen with hindsight, so a fixed "
        "one does no better",
        source="Geifman, El-Yaniv, Selective Classification for Deep Neural Networks, 2017",
        of_samples=partial(_accepted_share_at_precision, precision=precision),
    )


AVERAGE = Metric(
    name="average",
    label="average",
    definition="mean of one value a listing",
    formula="sum / count",
    source="-",
    columns=("values",),
    per_listing=as_numbers,
    lowest=-np.inf,
    highest=np.inf,
)
"""Of any column: a size, a gain."""

SHARE = replace(
    AVERAGE,
    name="share",
    label="share",
    definition="share of listings of which something is true",
    lowest=0.0,
    highest=1.0,
)
"""Of any column of truths."""

PRECISION_AT_1 = Metric(
    name="precision_at_1",
    label="precision@1",
    definition="share of GPU listings whose first candidate is the right one",
    formula="mean of [rank = 1]",
    source="Manning, Raghavan, Schütze 2008, 8.4",
    columns=("ranks",),
    over="is_match",
    per_listing=partial(found_within, cutoff=1),
)
MRR = Metric(
    name="mrr",
    label="MRR",
    definition="mean over GPU listings of 1 / place of the right model, 0 if it is not found",
    formula="mean of 1 / rank, 0 where it is infinite",
    source="Voorhees, The TREC-8 Question Answering Track Report, 1999",
    columns=("ranks",),
    over="is_match",
    per_listing=lambda ranks: 1.0 / ranks,
)
NDCG_AT_10 = Metric(
    name="ndcg_at_10",
    label="nDCG@10",
    definition="gain of the order over the ideal one: exact variant 2, its model 1",
    formula="mean of DCG / ideal DCG over the first 10 places (`normalised_gain`). Grades: 2 the "
    "exact variant, or any of the model where the listing leaves it open, 1 its model, 0 else. "
    "Every listing has one best answer; of several accepted names one counts",
    source="Järvelin, Kekäläinen, Cumulated gain-based evaluation of IR techniques, 2002",
    columns=("grades",),
    over="is_match",
    per_listing=lambda grades: normalised_gain(
        grades, np.full((len(grades), 1), float(TOP_GRADE)), GRADED_PLACES
    ),
)
ROC_AUC = Metric(
    name="roc_auc",
    label="ROC-AUC",
    definition="chance that a right answer has a higher probability than a wrong one",
    formula="the chance that a right answer has the higher probability of a random right and wrong "
    "pair, ties counting half (Mann-Whitney U / pairs); a no-match listing is a wrong answer. 0.5 "
    "is chance; not defined if all are of one outcome",
    source="Hanley, McNeil, The meaning and use of the area under a ROC curve, 1982",
    of_samples=_roc_auc,
)
PR_AUC = Metric(
    name="pr_auc",
    label="PR-AUC",
    definition="average precision: mean over right answers of the precision down to them",
    formula="sum over distinct probabilities, from the highest down, of the recall gained there "
    "times the precision of all listings so far: no interpolation, ties together. Chance is the "
    "share of right answers; not defined without one",
    source="Davis, Goadrich, The Relationship Between Precision-Recall and ROC Curves, 2006",
    of_samples=_average_precision,
)
ECE = Metric(
    name="ece",
    label="ECE",
    definition="mean gap between stated probability and share right, over 10 equal bins",
    formula="10 bins of equal width, |mean probability - share correct| in each, weighted by its "
    "listings; 1.0 falls into the last bin. Resampling adds noise to each bin's gap, so a "
    "bootstrap interval lies high and the value sits near its lower end",
    source="Naeini, Cooper, Hauskrecht, Obtaining Well Calibrated Probabilities, 2015",
    better=Better.LOWER,
    of_samples=_expected_calibration_error,
)
BRIER = Metric(
    name="brier",
    label="Brier score",
    definition="mean squared difference of probability and outcome (right 1, wrong 0)",
    formula="mean of (probability - [correct])²",
    source="Brier, Verification of forecasts expressed in terms of probability, 1950",
    better=Better.LOWER,
    per_listing=lambda probability, correct: (probability - correct) ** 2,
)
AURC = Metric(
    name="aurc",
    label="AURC",
    definition="share wrong among the accepted, averaged over all shares one could accept",
    formula="mean over k = 1..n of the share of wrong answers among the k listings of highest "
    "probability; where equal probabilities leave the order open, its expectation over all orders",
    source="Geifman, Uziel, El-Yaniv, Bias-Reduced Uncertainty Estimation for Deep Neural "
    "Classifiers, 2019",
    better=Better.LOWER,
    of_samples=_area_under_risk_coverage,
)
FALSE_ACCEPTS = Metric(
    name="nil_false_match_rate",
    label="no-match accepted",
    definition="share of no-match listings accepted as a GPU",
    formula="mean of [decision is match] over no-match listings",
    source="ISO/IEC 19795-1 (false accept rate)",
    columns=("accepted",),
    over="is_nil",
    better=Better.LOWER,
    per_listing=as_numbers,
)
ACCEPTED_SHARE = Metric(
    name="accepted_share",
    label="share accepted",
    definition="share of GPU listings accepted without a person",
    formula="mean of [decision is match] over GPU listings, rightly or not",
    source="Chow, On optimum recognition error and reject tradeoff, 1970 (coverage)",
    columns=("accepted",),
    over="is_match",
    per_listing=as_numbers,
)
PRECISION_OF_ACCEPTED = Metric(
    name="precision_of_accepted",
    label="precision of the accepted",
    definition="share of accepted listings that are right; an accepted no-match listing is wrong",
    formula="mean of [correct] over listings decided `match`",
    source="Chow 1970 (one minus the selective risk)",
    columns=("correct",),
    over="accepted",
    per_listing=as_numbers,
)
MEMORY_VARIANT_ACCURACY = Metric(
    name="memory_variant_accuracy",
    label="memory variant accuracy",
    definition="share of rightly named listings of known memory that got the variant of that size",
    formula="mean of [memory agrees] over listings with the right model in first place and a size "
    "in the gold",
    source="this project's design",
    columns=("memory_agrees",),
    over="memory_judged",
    per_listing=as_numbers,
)
OPEN_MEMORY_ACCURACY = Metric(
    name="open_memory_accuracy",
    label="memory right where unsaid",
    definition="the same of listings that leave the size open: the common one is answered",
    formula="mean of [memory agrees] over listings with the right model in first place, a size in "
    "the gold and none read in the listing",
    source="this project's design",
    columns=("memory_agrees",),
    over="memory_open",
    per_listing=as_numbers,
)
VARIANT_ECE = Metric(
    name="variant_ece",
    label="ECE of the variant",
    definition="mean gap between variant_probability and share of right sizes, over 10 equal bins",
    formula="as ECE, of variant_probability and [memory agrees], over listings with the right "
    "model in first place and a size in the gold; another variant of the right size counts as "
    "right, so that it lies high where variants share a size",
    source="Naeini, Cooper, Hauskrecht, Obtaining Well Calibrated Probabilities, 2015",
    columns=("variant_probability", "memory_agrees"),
    over="memory_judged",
    better=Better.LOWER,
    of_samples=_expected_calibration_error,
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
    OPEN_MEMORY_ACCURACY,
    VARIANT_ECE,
)

_VARIANT_AT_1 = Metric(
    name="variant_at_1",
    label="precision@1, variant included",
    definition="share of GPU listings with the right variant of the right model in first place",
    formula="mean of [the first candidate is one that the gold names]",
    source="Manning, Raghavan, Schütze 2008, 8.4",
    columns=("grades",),
    over="is_match",
    per_listing=lambda grades: as_numbers(grades[:, 0] == TOP_GRADE),
)
_BEST_F1 = Metric(
    name="best_f1",
    label="best F1",
    definition="largest F1 of a threshold on the probability",
    formula="largest of 2 right / (accepted + matches) over thresholds on the probability, chosen "
    "with hindsight; equal probabilities are accepted together",
    source="van Rijsbergen, Information Retrieval, 1979, chapter 7",
    columns=("probability", "correct", "is_match"),
    of_samples=_best_f1,
)
_VARIANT_ACCURACY = replace(
    MEMORY_VARIANT_ACCURACY,
    name="variant_accuracy",
    label="variant right",
    definition="share of rightly named listings of a known variant that got it",
)
_OPEN_VARIANT_ACCURACY = replace(
    OPEN_MEMORY_ACCURACY,
    name="open_variant_accuracy",
    label="variant right where unsaid",
    definition="the same of listings that leave the variant open: the common one is answered",
)
_OF_MEMORY = (MEMORY_VARIANT_ACCURACY, OPEN_MEMORY_ACCURACY, VARIANT_ECE)
PRODUCT_METRICS = (
    PRECISION_AT_1,
    _VARIANT_AT_1,
    *(metric for metric in METRICS[1:] if metric not in _OF_MEMORY),
    _BEST_F1,
    _VARIANT_ACCURACY,
    _OPEN_VARIANT_ACCURACY,
    replace(
        VARIANT_ECE,
        definition="mean gap between variant_probability and share of right variants",
    ),
)
"""Those of a catalogue of products, whose variants differ in other things than memory."""
