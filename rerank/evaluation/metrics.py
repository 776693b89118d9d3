"""What is measured: each metric a function over arrays with one entry a listing.

Every metric returns None in the empty case: nothing was measured, which is neither 0 nor 1.
A listing without candidates is a miss, never left out: its rank is infinite. None depends on the
order of the listings. `rerank.evaluation.catalogue` lists them as values.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.errors import InputError
from rerank.evaluation import weighted

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
    return _once(weighted.roc_auc, probability, correct)


def average_precision(probability: Floats, correct: Bools) -> float | None:
    """How few wrong answers stand above right ones (PR-AUC).

    Definition: sum over distinct probabilities, from the highest down, of the recall gained there
    times the precision of all listings so far: average precision, no interpolation, ties together.
    Chance is the share of right answers. Range [0, 1], higher is better. Empty or no right answer:
    None. Source: Davis, Goadrich, The Relationship Between Precision-Recall and ROC Curves, 2006.
    """
    return _once(weighted.average_precision, probability, correct)


def expected_calibration_error(probability: Floats, correct: Bools) -> float | None:
    """How far stated probabilities lie from what came true.

    Definition: 10 bins of equal width, |mean probability - share correct| in each, weighted by its
    listings; 1.0 falls into the last bin. Resampling adds noise to each bin's gap, so a bootstrap
    interval lies high and the value sits near its lower end. Range [0, 1], lower is better.
    Empty: None.
    Source: Naeini, Cooper, Hauskrecht, Obtaining Well Calibrated Probabilities, 2015.
    """
    return _once(weighted.expected_calibration_error, probability, correct)


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
    return _once(weighted.area_under_risk_coverage, probability, correct)


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
    metric = partial(weighted.accepted_share_at_precision, precision=precision)
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


def _once(metric: weighted.Weighted, probability: Floats, correct: Bools) -> float | None:
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
