"""Calibration: recovers a known curve, monotone, and thresholds that keep their promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from rerank.calibration import Calibrator, choose_threshold, fit_calibrator
from rerank.evaluation.metrics import ECE
from rerank.index.errors import InputError
from rerank.index.records import shipped
from rerank.packs.gpu.registry import load_registry
from rerank.packs.gpu.training.evidence import CalibrationSample
from rerank.packs.gpu.training.sets import Stage, TrainingParameters, generated_listings
from rerank.packs.gpu.training.train import _calibrate

SEED = 11

samples = st.lists(
    st.tuples(st.floats(-20, 20, allow_subnormal=False), st.booleans()), min_size=2, max_size=200
)


def columns(pairs: list[tuple[float, bool]]) -> tuple[Any, Any]:
    values, correct = zip(*pairs, strict=True)
    return np.array(values, np.float64), np.array(correct, np.bool_)


def known_curve(n: int, seed: int) -> tuple[Any, Any, Any]:
    """Overconfident log-odds: the truth is sigmoid(x / 2 - 1). Returns x, truth, outcomes."""
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(1, 4, n)
    truth = 1 / (1 + np.exp(1 - log_odds / 2))
    return log_odds, truth, rng.random(n) < truth


def test_recovers_a_known_curve():
    log_odds, _, correct = known_curve(20_000, SEED)
    calibrator = fit_calibrator(log_odds, correct)
    fresh, truth, outcomes = known_curve(20_000, SEED + 1)
    found = calibrator(fresh)
    assert np.abs(found - truth).mean() < 0.02
    error = ECE(found, outcomes)
    assert error is not None
    assert error < 0.012
    naive = ECE(1 / (1 + np.exp(-fresh)), outcomes)
    assert naive is not None
    assert naive > 0.1


def test_few_outcomes_are_read_better_than_by_isotonic_regression_alone():
    ours, alone = [], []
    for seed in range(20):
        log_odds, _, correct = known_curve(800, seed)
        fresh, truth, _ = known_curve(2_000, seed + 100)
        isotonic = IsotonicRegression(out_of_bounds="clip").fit(log_odds, correct)
        ours.append(np.abs(fit_calibrator(log_odds, correct)(fresh) - truth).mean())
        alone.append(np.abs(isotonic.predict(fresh) - truth).mean())
    assert np.mean(ours) < 0.75 * np.mean(alone)


def test_outcomes_that_follow_no_logistic_curve_bend_it():
    """A score that says nothing below 0, all above 2: half the way from the curve to the blocks."""
    rng = np.random.default_rng(SEED)
    log_odds = rng.uniform(-4, 4, 20_000)
    truth = np.select([log_odds < 0, log_odds < 2], [0.3, 0.6], 0.99)
    found = fit_calibrator(log_odds, rng.random(20_000) < truth)(log_odds)
    assert np.abs(found - truth).mean() < 0.06


def test_a_score_that_is_higher_where_the_answer_is_wrong_says_the_share_right():
    rng = np.random.default_rng(SEED)
    log_odds = rng.normal(0, 4, 4_000)
    found = fit_calibrator(log_odds, rng.random(4_000) > 1 / (1 + np.exp(-log_odds)))
    assert found(log_odds) == pytest.approx(0.5, abs=0.03)


def test_stays_near_isotonic_regression_without_blocks():
    """With blocks of one row, only the logistic half differs."""
    log_odds, _, correct = known_curve(400, SEED)
    exact = IsotonicRegression(out_of_bounds="clip").fit(log_odds, correct).predict(log_odds)
    found = fit_calibrator(log_odds, correct, min_rows=1)(log_odds)
    assert np.abs(found - exact).mean() < 0.06


@settings(deadline=None)
@given(samples, st.integers(1, 60))
def test_is_monotone_and_never_certain(pairs: list[tuple[float, bool]], min_rows: int):
    log_odds, correct = columns(pairs)
    assume(correct.any() and not correct.all())
    calibrator = fit_calibrator(log_odds, correct, min_rows=min_rows)
    probability = calibrator(np.linspace(-30, 30, 500))
    assert (np.diff(probability) >= 0).all()
    assert 0 < probability.min() <= probability.max() < 1


@settings(deadline=None)
@given(samples, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter_even_where_scores_are_equal(pairs: Any, random: Any):
    pairs = [(round(score), hit) for score, hit in pairs]
    correct = [hit for _, hit in pairs]
    assume(any(correct) and not all(correct))
    weighted = [(*pair, random.choice([1.0, 0.7, 2.3])) for pair in pairs]
    shuffled = list(weighted)
    random.shuffle(shuffled)
    found = []
    for rows in (weighted, shuffled):
        scores, hits, weights = map(np.array, zip(*rows, strict=True))
        fitted = fit_calibrator(scores, hits, min_rows=5, weights=weights)
        found.append((fitted, choose_threshold(fitted(scores), hits, 0.8, weights=weights)))
    assert found[0] == found[1]


def test_rows_of_equal_scores_stand_in_one_block():
    scores, correct = np.repeat([0.0, 1.0], [30, 10]), np.arange(40) % 3 == 0
    assert fit_calibrator(scores, correct, min_rows=4).log_odds == (0.0, 1.0)


def test_a_single_knot_is_constant():
    calibrator = Calibrator((0.0,), (0.4,))
    assert calibrator(np.array([-9.0, 0.0, 9.0])).tolist() == [0.4, 0.4, 0.4]


def test_interpolates_between_knots_and_holds_beyond():
    calibrator = Calibrator((-1.0, 1.0), (0.2, 0.8))
    assert calibrator(np.array([-5.0, -1.0, 0.0, 1.0, 5.0])).tolist() == pytest.approx(
        [0.2, 0.2, 0.5, 0.8, 0.8]
    )


@pytest.mark.parametrize(
    "correct", [[], [True, True], [False, False]], ids=["empty", "all", "none"]
)
def test_one_outcome_cannot_be_calibrated(correct: list[bool]):
    with pytest.raises(InputError, match="outcomes of both kinds"):
        fit_calibrator(np.zeros(len(correct)), np.array(correct, np.bool_))


def test_columns_must_fit():
    with pytest.raises(InputError, match="3 scores but 2 outcomes"):
        fit_calibrator(np.zeros(3), np.array([True, False]))


def test_threshold_by_hand():
    probability = np.array([0.9, 0.8, 0.7, 0.6])
    correct = np.array([True, True, False, True])
    assert choose_threshold(probability, correct, 1.0) == 0.8
    assert choose_threshold(probability, correct, 0.75) == 0.6
    assert choose_threshold(probability, correct, 0.7) == 0.6


def test_a_tie_is_accepted_whole_or_not_at_all():
    probability = np.array([0.9, 0.8, 0.8])
    assert choose_threshold(probability, np.array([True, True, False]), 0.99) == 0.9


def test_nothing_is_accepted_when_no_threshold_is_precise_enough():
    assert choose_threshold(np.array([0.9, 0.8]), np.array([False, True]), 0.99) == 1.01
    assert choose_threshold(np.zeros(0), np.zeros(0, np.bool_), 0.99) == 1.01


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([i / 20 for i in range(21)]), st.booleans()), max_size=80),
    st.floats(0.5, 1),
)
def test_threshold_is_the_lowest_that_keeps_its_promise(pairs: Any, precision: float):
    probability, correct = columns(pairs) if pairs else (np.zeros(0), np.zeros(0, np.bool_))
    keeping = [
        t for t in np.unique(probability).tolist() if correct[probability >= t].mean() >= precision
    ]
    assert choose_threshold(probability, correct, precision) == min(keeping, default=1.01)


def test_a_threshold_of_all_listings_keeps_its_promise_and_varies_less_than_that_of_half():
    fresh, truth, _ = known_curve(20_000, 1_000)
    whole, halved = [], []
    for seed in range(40):
        log_odds, _, correct = known_curve(2_000, seed)
        even = np.arange(len(correct)) % 2 == 0
        calibrator, thresholds = _calibrate(
            CalibrationSample(log_odds, correct), None, TrainingParameters(precision=0.9)
        )
        whole.append(truth[calibrator(fresh) >= thresholds.match].mean())
        half = fit_calibrator(log_odds[even], correct[even])
        match = choose_threshold(half(log_odds[~even]), correct[~even], 0.9)
        halved.append(truth[half(fresh) >= match].mean())
    assert np.mean(whole) == pytest.approx(0.9, abs=0.01)
    assert np.std(whole) < 0.9 * np.std(halved)


def test_validation_listings_sell_a_card_more_often_than_those_of_the_offer_classifier():
    """As `TrainingParameters` says, and why."""
    parameters = TrainingParameters(
        ranker_listings=1, offer_listings=2_000, validation_listings=2_000
    )
    found = generated_listings(load_registry(shipped("registry")), parameters)
    shares = {
        stage: np.mean([item.kind != "match" for item in found[stage]])
        for stage in (Stage.OFFER, Stage.VALIDATION)
    }
    assert shares == pytest.approx({Stage.OFFER: 0.4, Stage.VALIDATION: 0.3}, abs=0.04)
