"""Comparisons: hand numbers, scipy's permutation test, fair under no effect, sharp under one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest, permutation_test

from rerank.evaluation import metrics
from rerank.evaluation.intervals import (
    Comparison,
    Resampling,
    adjusted,
    compare,
    holm,
    randomisation_test,
)
from rerank.evaluation.metrics import BRIER, METRICS, MRR, PRECISION_AT_1, ROC_AUC, Metric
from rerank.index.errors import InputError

SEED = 7


def ranks_of(right: Any) -> Any:
    return np.where(right, 1.0, 3.0)


def compared(ours: Any, theirs: Any, groups: Any = None, **options: Any) -> Comparison:
    """Compare precision@1 of two columns of ranks."""
    names = range(len(ours)) if groups is None else groups
    return compare(
        Resampling.draw(names, seed=SEED),
        PRECISION_AT_1,
        [ours],
        [theirs],
        system="ours",
        baseline="theirs",
        **options,
    )


# --- differences ----------------------------------------------------------------------------


def test_a_known_effect_is_found_with_its_size():
    """Of 1,000 listings both are right on 800, we alone on 80, they alone on 20."""
    ours = ranks_of(np.arange(1000) < 880)
    theirs = ranks_of((np.arange(1000) < 800) | (np.arange(1000) >= 980))
    found = compared(ours, theirs)
    assert (found.difference, found.n) == (pytest.approx(0.06), 1000)
    # Per listing 80 gains and 20 losses: variance .1 - .06², half width 1.96 sqrt(var / n).
    half = 1.96 * np.sqrt((0.1 - 0.06**2) / 1000)
    assert found.ci95 == pytest.approx((0.06 - half, 0.06 + half), abs=0.004)
    assert found.p_value == pytest.approx(1 / 2001)
    assert found.p_adjusted == found.p_value


def test_a_system_does_not_differ_from_itself():
    ranks = ranks_of(np.arange(50) % 3 > 0)
    found = compared(ranks, ranks)
    assert (found.difference, found.ci95, found.p_value) == (0.0, (0.0, 0.0), 1.0)


def test_exchanging_the_systems_only_turns_the_sign():
    rng = np.random.default_rng(SEED)
    one, other = ranks_of(rng.random(80) < 0.8), ranks_of(rng.random(80) < 0.7)
    there, back = compared(one, other), compared(other, one)
    assert there.difference == pytest.approx(-back.difference)  # type: ignore[operator]
    assert there.p_value == back.p_value
    assert there.ci95 == pytest.approx(tuple(-bound for bound in reversed(back.ci95 or ())))


def test_copies_of_one_gain_are_no_evidence():
    """40 listings of one group gained: alone they are overwhelming, together a coin's toss."""
    ours, theirs = ranks_of(np.ones(60)), ranks_of(np.arange(60) >= 40)
    groups = [0] * 40 + list(range(1, 21))
    assert compared(ours, theirs).p_value == pytest.approx(1 / 2001)
    assert compared(ours, theirs, groups).p_value == 1.0


def test_only_the_listings_of_a_slice_are_compared():
    ours, theirs = ranks_of(np.arange(40) < 40), ranks_of(np.arange(40) < 20)
    inside = np.arange(40) < 20
    assert compared(ours, theirs, where=inside).difference == 0.0
    assert compared(ours, theirs, where=~inside).difference == 1.0
    assert compared(ours, theirs, where=inside).n == 20


def test_what_was_not_measured_is_not_compared():
    nobody = compared(ranks_of(np.ones(3)), ranks_of(np.ones(3)), where=np.zeros(3, np.bool_))
    assert nobody == Comparison("precision_at_1", "ours", "theirs", None, None, None, None, 0)
    assert nobody.as_dict() == {
        "metric": "precision_at_1",
        "system": "ours",
        "baseline": "theirs",
        "difference": None,
        "ci95": [None, None],
        "p_value": None,
        "p_adjusted": None,
        "n": 0,
    }


def test_a_comparison_as_json_is_rounded():
    found = Comparison("mrr", "a", "b", 1 / 3, (0.1, 2 / 3), 1 / 2001, 2 / 2001, 9)
    assert found.as_dict() == {
        "metric": "mrr",
        "system": "a",
        "baseline": "b",
        "difference": 0.3333,
        "ci95": [0.1, 0.6667],
        "p_value": 0.0005,
        "p_adjusted": 0.001,
        "n": 9,
    }


# --- the randomisation test -----------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_p_of_a_mean_equals_the_permutation_test_of_scipy(seed: int):
    """11 listings: scipy goes through all 2,048 ways to swap."""
    rng = np.random.default_rng(seed)
    ours, theirs = rng.integers(1, 4, 11).astype(float), rng.integers(1, 6, 11).astype(float)
    exact = permutation_test(
        (1 / ours, 1 / theirs),
        lambda x, y: x.mean() - y.mean(),
        permutation_type="samples",
    ).pvalue
    found = randomisation_test(MRR, [ours], [theirs], np.arange(11), permutations=20_000, seed=seed)
    assert found == pytest.approx(exact, abs=0.015)


@pytest.mark.parametrize("seed", range(3))
def test_p_of_a_curve_equals_the_permutation_test_of_scipy(seed: int):
    rng = np.random.default_rng(seed)
    correct = np.arange(10) % 2 > 0
    ours, theirs = correct * 0.3 + rng.random(10), rng.random(10)

    def gain(one: Any, other: Any) -> float:
        difference = (metrics.ROC_AUC(one, correct), metrics.ROC_AUC(other, correct))
        return float(difference[0]) - float(difference[1])  # type: ignore[arg-type]

    exact = permutation_test(
        (ours, theirs), gain, permutation_type="samples", vectorized=False
    ).pvalue
    found = randomisation_test(
        ROC_AUC, [ours, correct], [theirs, correct], np.arange(10), permutations=20_000, seed=seed
    )
    assert found == pytest.approx(exact, abs=0.015)


def test_p_by_group_equals_the_permutation_test_over_sums_of_groups():
    rng = np.random.default_rng(SEED)
    group = rng.integers(0, 9, 60)
    ours, theirs = rng.choice([1.0, 2.0], 60), rng.choice([1.0, 3.0], 60)
    sums = [np.bincount(group, 1 / ranks) for ranks in (ours, theirs)]
    exact = permutation_test(
        sums, lambda x, y: x.sum() - y.sum(), permutation_type="samples"
    ).pvalue
    found = randomisation_test(MRR, [ours], [theirs], group + 4, permutations=20_000, seed=SEED)
    assert found == pytest.approx(exact, abs=0.015)


@pytest.mark.parametrize(
    "metric", [metric for metric in METRICS if metric.per_listing], ids=lambda metric: metric.name
)
def test_sums_of_a_mean_and_its_weighted_form_give_one_p(metric: Metric):
    """The general way, swapping whole columns, is a check on the shortcut for means."""
    rng = np.random.default_rng(SEED)
    ours, theirs = (
        {
            "ranks": rng.choice([1.0, 2.0, np.inf], 30),
            "probability": rng.random(30),
            "grades": rng.integers(0, 3, (30, 10)).astype(float),
        }
        for _ in range(2)
    )
    columns = [
        [system.get(name, rng.random(30) < 0.7) for name in metric.columns]
        for system in (ours, theirs)
    ]
    groups = rng.integers(0, 12, 30)
    short, general = (
        randomisation_test(each, *columns, groups, permutations=500, seed=SEED)
        for each in (metric, replace(metric, per_listing=None, of_samples=metric.weighted))
    )
    assert short == general


def test_p_values_without_an_effect_are_uniform():
    """300 pairs of systems that err alike: each p-value is as likely as any other."""
    found = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        correct, groups = rng.random(60) < 0.7, rng.integers(0, 30, 60)
        ours, theirs = rng.random((2, 60))
        found.append(
            randomisation_test(
                BRIER, [ours, correct], [theirs, correct], groups, permutations=199, seed=seed
            )
        )
    assert kstest(found, "uniform").pvalue > 0.01
    assert np.mean(np.array(found) <= 0.05) < 0.09


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_p_is_never_zero_and_never_above_one(pairs: list[tuple[bool, bool]]):
    ours, theirs = (ranks_of(np.array(column)) for column in zip(*pairs, strict=True))
    rows = np.arange(len(pairs))
    p = randomisation_test(PRECISION_AT_1, [ours], [theirs], rows, permutations=99, seed=SEED)
    assert 1 / 100 <= p <= 1


def test_the_number_of_permutations_may_exceed_a_block():
    """3,000 groups and 1,000 permutations are several blocks; nothing is gained or lost."""
    ours = ranks_of(np.arange(3000) < 2400)
    assert compared(ours, ours, permutations=1000).p_value == 1.0
    worse = ranks_of(np.arange(3000) < 2000)
    assert compared(ours, worse, permutations=1000).p_value == pytest.approx(1 / 1001)


# --- several comparisons --------------------------------------------------------------------


def test_holm_by_hand():
    # Sorted .005 .01 .03 .04, times 4 3 2 1: .02 .03 .06 .04, which may not fall: .06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), max_size=20), st.randoms(use_true_random=False))
def test_holm_lies_between_no_correction_and_bonferroni_whatever_the_order(
    p_values: list[float], random: Any
):
    found = holm(p_values)
    for p, raised in zip(p_values, found, strict=True):
        assert p <= raised <= min(1.0, p * len(p_values)) or raised == pytest.approx(p)
    order = list(range(len(p_values)))
    random.shuffle(order)
    assert holm([p_values[at] for at in order]) == [found[at] for at in order]


def test_comparisons_are_corrected_together_and_keep_their_order():
    made = [
        Comparison("mrr", name, "base", 0.1, (0.0, 0.2), p, p, 10)
        for name, p in [("a", 0.03), ("b", None), ("c", 0.01)]
    ]
    found = adjusted(made)
    assert [c.system for c in found] == ["a", "b", "c"]
    assert [c.p_adjusted for c in found] == [pytest.approx(0.03), None, pytest.approx(0.02)]
    assert [c.p_value for c in found] == [0.03, None, 0.01]


# --- faults ---------------------------------------------------------------------------------


def test_faulty_arguments_are_errors():
    ranks = ranks_of(np.ones(3))
    with pytest.raises(InputError, match="at least 1 permutation, got 0"):
        compared(ranks, ranks, permutations=0)
    with pytest.raises(InputError, match=r"got lengths \[2\]"):
        compared(ranks, ranks[:2])
    with pytest.raises(
        InputError, match=r"roc_auc reads probability, correct: expected 2 .* 1 and"
    ):
        compare(
            Resampling.draw(range(3), seed=SEED),
            ROC_AUC,
            [ranks],
            [ranks],
            system="a",
            baseline="b",
        )
    for value in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="p-values from 0 to 1"):
            holm([0.5, value])
