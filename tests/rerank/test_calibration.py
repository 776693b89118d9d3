"""Calibration: recovers a known curve, monotone, and thresholds that keep their promise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
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


@pytest.mark.slow
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
    assert calibrator.probability == tuple(np.clip(calibrator.probability, 0.001, 0.999))
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


def logistic_by_definition(x: Any, y: Any, w: Any) -> Any:
    """Platt's curve as what it minimises says: the weighted log loss of his targets, and a ridge.

    Where it falls with the score, it is the share that he targets of all.
    """
    ones, zeros = w @ y, w @ (1 - y)
    target = np.where(y > 0, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    z = (x - x.mean()) / (x.std() or 1.0)

    def loss(slopes: Any) -> Any:
        odds = slopes[0] * z + slopes[1]
        return w @ (np.logaddexp(0, odds) - target * odds) + 0.5e-3 * slopes @ slopes

    slope, shift = minimize(loss, np.zeros(2), method="BFGS", options={"gtol": 1e-8}).x
    if slope < 0:
        return np.full(len(x), (ones + 1) / (ones + zeros + 2))
    return 1 / (1 + np.exp(-(slope * z + shift)))


@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.tuples(st.integers(-8, 8), st.booleans(), st.sampled_from([0.5, 1.0, 3.0])),
        min_size=2,
        max_size=24,
    )
)
def test_is_isotonic_regression_of_outcomes_and_curve_by_definition(rows: Any):
    x, y, w = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    assume(0 < y.sum() < len(y))
    found = fit_calibrator(x, y > 0, min_rows=1, weights=w)
    smooth = (y + logistic_by_definition(x, y, w)) / 2
    values = IsotonicRegression().fit(x, smooth, sample_weight=w).predict(x)
    levels, bounds = np.unique(values), (0.001, 0.999)
    knots = [w[values == level] @ x[values == level] / w[values == level].sum() for level in levels]
    grid = np.linspace(-9, 9, 73)
    np.testing.assert_allclose(
        found(grid), np.interp(grid, knots, np.clip(levels, *bounds)), atol=2e-5
    )


@pytest.mark.parametrize(
    ("scores", "min_rows", "blocks"),
    [
        (range(20), 4, [4, 4, 4, 4, 4]),
        (range(22), 4, [4, 4, 4, 4, 6]),
        (range(23), 4, [4, 4, 4, 4, 7]),
        (range(8), 50, [2, 2, 2, 2]),  # a quarter of the rows, where they are few
        (range(23), 50, [5, 5, 5, 8]),
        (range(400), None, [50] * 8),
        (range(3), 50, [1, 1, 1]),
        ([*range(4), *[4] * 10, 14, 15], 4, [4, 12]),  # an equal score is not parted, nor a rest
        ([*[0] * 5, *range(1, 8)], 3, [5, 3, 4]),
    ],
)
def test_blocks_have_so_many_rows_and_end_where_a_score_does(scores, min_rows, blocks):
    """Outcomes so clear that no two blocks are pooled: knots are the blocks' means."""
    x = np.array(scores, np.float64)
    ends = np.cumsum(blocks)
    share = np.linspace(0, 1, len(blocks))
    correct = np.concatenate(
        [
            np.arange(size) >= size - round(part * size)
            for part, size in zip(share, blocks, strict=True)
        ]
    )
    found = fit_calibrator(x, correct, **({} if min_rows is None else {"min_rows": min_rows}))
    assert found.log_odds == tuple(float(part.mean()) for part in np.split(x, ends[:-1]))


def test_no_share_of_rows_is_certain():
    x = np.repeat([0.0, 1.0], 2_000)
    assert fit_calibrator(x, x > 0).probability == (0.001, 0.999)


def test_scores_far_from_all_others_are_only_far():
    """The curve is not steep enough after all its steps, and e to its odds would be too large."""
    x = np.array([-1e4, *[0.0] * 500, *[1.0] * 500, 1e4])
    found = fit_calibrator(x, x > 0, min_rows=1)
    assert found.log_odds == (-1e4, 0.0, 1.0, 1e4)
    assert np.diff(found.probability).min() > 0


def test_a_score_that_falls_by_rounding_keeps_its_order():
    """A block's mean may come out below the one before it: knots never fall."""
    x = np.repeat([1.1, np.nextafter(1.1, 2)], [3, 5])
    found = fit_calibrator(x, np.arange(8) >= 3, min_rows=1)
    assert list(found.log_odds) == sorted(found.log_odds)


KNOTS = {"log_odds": [-1, 0.5], "probability": [0, 1]}


def test_knots_are_read_back():
    found = Calibrator.from_dict(KNOTS)
    assert found == Calibrator((-1.0, 0.5), (0.0, 1.0))
    assert Calibrator.from_dict({"log_odds": [-1.7e308, 1.7e308], "probability": [0.5, 0.5]})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"log_odds": [1, 0]}, "^log_odds: expected numbers that rise$"),
        ({"probability": [1, 0]}, "^probability: expected numbers that rise$"),
        ({"probability": [-0.01, 1]}, "^probability: expected numbers from 0 to 1, found -0.01"),
        ({"probability": [0, 1.01]}, "^probability: expected numbers from 0 to 1, found 1.01"),
        ({"log_odds": [math.inf]}, "^log_odds: expected numbers from .*, found inf$"),
        ({"log_odds": [-math.inf]}, "^log_odds: expected numbers from .*, found -inf$"),
        ({"log_odds": [1]}, "^expected as many log_odds as probabilities, found 1 and 2$"),
        ({"log_odds": [], "probability": []}, "found 0 and 0$"),
    ],
)
def test_what_is_no_map_is_refused(change: dict[str, Any], said: str):
    with pytest.raises(ValueError, match=said):
        Calibrator.from_dict(KNOTS | change)


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
    with pytest.raises(InputError, match=r"^calibration needs outcomes of both kinds$"):
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
    st.lists(
        st.tuples(st.integers(0, 20), st.booleans(), st.sampled_from([1.0, 0.25, 4.0])),
        max_size=40,
    ),
    st.sampled_from([0.5, 0.75, 0.8, 0.9, 1.0]),
    st.booleans(),
)
def test_threshold_is_the_lowest_that_keeps_its_promise(rows: Any, precision: float, weigh: bool):
    at, hit, own = np.array(rows, np.float64).reshape(-1, 3).T
    probability, correct, w = at / 20, hit > 0, own if weigh else np.ones(len(own))
    keeping = [
        t
        for t in np.unique(probability).tolist()
        if w @ (correct & (probability >= t)) >= precision * (w @ (probability >= t))
    ]
    found = choose_threshold(probability, correct, precision, weights=own if weigh else None)
    assert found == min(keeping, default=1.01)


@pytest.mark.slow
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


@pytest.mark.slow
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
