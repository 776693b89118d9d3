"""Metrics as values: what they say of themselves, and that they fit functions and outcomes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rerank.evaluation.metrics import (
    METRICS,
    Better,
    Metric,
    metric_named,
    recall,
    share_at_precision,
)
from rerank.evaluation.outcomes import Outcomes, judge
from rerank.index.errors import InputError

INF = np.inf
SEED = 5


def floats(*values: float) -> Any:
    return np.array(values, np.float64)


def bools(*values: int) -> Any:
    return np.array(values, np.bool_)


def test_metrics_have_distinct_names_and_say_what_they_are():
    assert [metric.name for metric in METRICS] == [
        "precision_at_1",
        "recall_at_3",
        "recall_at_10",
        "recall_at_20",
        "mrr",
        "ndcg_at_10",
        "roc_auc",
        "pr_auc",
        "ece",
        "brier",
        "aurc",
        "nil_false_match_rate",
        "accepted_share",
        "accepted_share_at_precision",
        "precision_of_accepted",
        "memory_variant_accuracy",
        "open_memory_accuracy",
        "variant_ece",
    ]
    assert len({metric.label for metric in METRICS}) == len(METRICS)
    lower = {metric.name for metric in METRICS if metric.better is Better.LOWER}
    assert lower == {"ece", "brier", "aurc", "nil_false_match_rate", "variant_ece"}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_says_all_there_is_to_know_of_it(metric: Metric):
    assert len(metric.formula) > 10
    assert metric.definition
    assert metric.source
    assert (metric.per_listing is None) is not (metric.of_samples is None)
    assert metric.lowest < metric.highest


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_reads_columns_that_outcomes_have(metric: Metric):
    nothing: Outcomes = judge([], [])
    named = [getattr(nothing, name) for name in metric.columns]
    assert metric(*named) is None
    if metric.over is not None:
        assert getattr(nothing, metric.over).dtype == np.bool_


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_mean_is_the_mean_of_what_each_listing_adds(metric: Metric):
    rng = np.random.default_rng(SEED)
    named = {
        "ranks": rng.choice(floats(1, 2, 5, 30, INF), 40),
        "grades": rng.integers(0, 3, (40, 10)).astype(np.float64),
        "probability": rng.random(40),
    }
    values = [named.get(name, rng.random(40) < 0.6) for name in metric.columns]
    if metric.per_listing is not None:
        assert metric(*values) == pytest.approx(metric.per_listing(*values).mean())
    else:
        of_variant = metric.name == "variant_ece"
        expected = ("variant_probability", "memory_agrees") if of_variant else None
        assert metric.columns == (expected or ("probability", "correct"))


def test_parameters_of_metrics_are_checked():
    assert recall(7).name == "recall_at_7"
    assert recall(7)(floats(6, 7, 8)) == pytest.approx(2 / 3)
    assert share_at_precision(0.5)(floats(0.9, 0.1), bools(0, 1)) == 1.0
    with pytest.raises(InputError, match="cutoff must be at least 1, got 0"):
        recall(0)
    with pytest.raises(InputError, match="above 0 and up to 1, got 0"):
        share_at_precision(0)
    with pytest.raises(InputError, match=r"expected a metric of precision_at_1, .*; got 'f1'"):
        metric_named("f1")
