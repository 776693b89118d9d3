"""Metrics as values: the one list that evaluation, report and documentation go through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.errors import InputError
from rerank.evaluation import metrics, weighted
from rerank.evaluation.metrics import TOP_GRADE
from rerank.evaluation.weighted import Weighted

Floats = NDArray[np.float64]
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
    :param weighted: the same for many resamples at once (`rerank.evaluation.weighted`).
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
    metrics.found_within(np.zeros(0), cutoff)
    return _mean(
        f"recall_at_{cutoff}",
        f"recall@{cutoff}",
        f"share of GPU listings with the right model among the first {cutoff}",
        partial(metrics.recall_at, cutoff=cutoff),
        partial(metrics.found_within, cutoff=cutoff),
        over="is_match",
        source="Manning, Raghavan, Schütze 2008, 8.4",
    )


def share_at_precision(precision: float = ACCEPTED_PRECISION) -> Metric:
    """Return the accepted share at a stated precision.

    :raises InputError: if ``precision`` is not in (0, 1].
    """
    metrics.accepted_share_at_precision(np.zeros(0), np.zeros(0, np.bool_), precision)
    return _of_probability(
        "accepted_share_at_precision",
        f"share accepted at precision {precision:g}",
        f"largest share of listings above a threshold with at least {precision:.4g} of them right",
        partial(metrics.accepted_share_at_precision, precision=precision),
        partial(weighted.accepted_share_at_precision, precision=precision),
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


def _mean(
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
        weighted=weighted.mean_of(per_listing),
        per_listing=per_listing,
    )


def _share(
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
    return _mean(
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
    return metrics.ndcg_at(grades, _ideal(grades), _GRADED_PLACES)


def _gains(grades: Floats) -> Floats:
    return metrics.normalised_gain(grades, _ideal(grades), _GRADED_PLACES)


def _ideal(grades: Floats) -> Floats:
    """Every listing has one best answer; of several accepted names one counts."""
    return np.full((len(grades), 1), float(TOP_GRADE))


PRECISION_AT_1 = _mean(
    "precision_at_1",
    "precision@1",
    "share of GPU listings whose first candidate is the right one",
    metrics.precision_at_1,
    partial(metrics.found_within, cutoff=1),
    over="is_match",
    source="Manning, Raghavan, Schütze 2008, 8.4",
)
MRR = _mean(
    "mrr",
    "MRR",
    "mean over GPU listings of 1 / place of the right model, 0 if it is not found",
    metrics.mean_reciprocal_rank,
    metrics.reciprocal_rank,
    over="is_match",
    source="Voorhees, The TREC-8 Question Answering Track Report, 1999",
)
NDCG_AT_10 = _mean(
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
    metrics.roc_auc,
    weighted.roc_auc,
    source="Hanley, McNeil, The meaning and use of the area under a ROC curve, 1982",
)
PR_AUC = _of_probability(
    "pr_auc",
    "PR-AUC",
    "average precision: mean over right answers of the precision down to them",
    metrics.average_precision,
    weighted.average_precision,
    source="Davis, Goadrich, The Relationship Between Precision-Recall and ROC Curves, 2006",
)
ECE = _of_probability(
    "ece",
    "ECE",
    "mean gap between stated probability and share right, over 10 equal bins",
    metrics.expected_calibration_error,
    weighted.expected_calibration_error,
    better=Better.LOWER,
    source="Naeini, Cooper, Hauskrecht, Obtaining Well Calibrated Probabilities, 2015",
)
BRIER = _mean(
    "brier",
    "Brier score",
    "mean squared difference of probability and outcome (right 1, wrong 0)",
    metrics.brier_score,
    metrics.squared_error,
    columns=("probability", "correct"),
    over=None,
    source="Brier, Verification of forecasts expressed in terms of probability, 1950",
    better=Better.LOWER,
)
AURC = _of_probability(
    "aurc",
    "AURC",
    "share wrong among the accepted, averaged over all shares one could accept",
    metrics.area_under_risk_coverage,
    weighted.area_under_risk_coverage,
    better=Better.LOWER,
    source="Geifman, Uziel, El-Yaniv, Bias-Reduced Uncertainty Estimation for Deep Neural "
    "Classifiers, 2019",
)
FALSE_ACCEPTS = _share(
    "nil_false_match_rate",
    "no-match accepted",
    "share of no-match listings accepted as a GPU",
    metrics.false_accept_rate,
    "accepted",
    over="is_nil",
    source="ISO/IEC 19795-1 (false accept rate)",
    better=Better.LOWER,
)
ACCEPTED_SHARE = _share(
    "accepted_share",
    "share accepted",
    "share of GPU listings accepted without a person",
    metrics.accepted_share,
    "accepted",
    over="is_match",
    source="Chow, On optimum recognition error and reject tradeoff, 1970 (coverage)",
)
PRECISION_OF_ACCEPTED = _share(
    "precision_of_accepted",
    "precision of the accepted",
    "share of accepted listings that are right; an accepted no-match listing is wrong",
    metrics.precision_of_accepted,
    "correct",
    over="accepted",
    source="Chow 1970 (one minus the selective risk)",
)
MEMORY_VARIANT_ACCURACY = _share(
    "memory_variant_accuracy",
    "memory variant accuracy",
    "share of rightly named listings with a stated memory size that got the variant of that size",
    metrics.memory_variant_accuracy,
    "memory_agrees",
    over="memory_judged",
    source="this project's design",
)

METRICS = (
    PRECISION_AT_1,
    recall(3),
    recall(10),
    recall(20),
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
