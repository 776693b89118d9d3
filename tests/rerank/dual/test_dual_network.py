"""The network: scaling, the exported graph, training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rerank.index.errors import InputError
from rerank.rankers.networks import (
    CLIP,
    Ensemble,
    InputScaling,
    LabelledRows,
    OnnxEnsemble,
    train_ensemble,
)
from rerank.rankers.parameters import NetworkSettings, TrainingSettings

NAN = np.nan


def rows_of(queries: int, seed: int, *, width: int = 3) -> LabelledRows:
    """Queries of 6 candidates: y rises with the first input, a conflict is a high second one."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(queries * 6, width)).astype(np.float32)
    conflict = (inputs[:, 1] > 0.5).astype(np.float64)
    label = 1 / (1 + np.exp(-inputs[:, 0].astype(np.float64)))
    inputs[::17, 2] = NAN
    return LabelledRows(inputs, label, conflict, np.arange(queries + 1, dtype=np.int64) * 6)


def random_ensemble(widths: tuple[int, ...], scaling: InputScaling) -> Ensemble:
    rng = np.random.default_rng(0)
    shapes = zip((scaling.width, *widths), (*widths, 2), strict=True)
    layers = [
        (rng.normal(size=(4, a, b)).astype(np.float32), rng.normal(size=(4, 1, b)).astype("f4"))
        for a, b in shapes
    ]
    return Ensemble(scaling, layers)


def test_scaling_leaves_missing_values_out_and_marks_them():
    inputs = np.array([[1, 7, NAN, 0], [3, 7, NAN, NAN]], np.float32)
    scaling = InputScaling.fit(inputs)
    assert scaling.mean.tolist() == [2, 7, 0, 0]
    assert scaling.scale.tolist() == [1, 1, 1, 1]  # constant or never there: 1
    assert scaling.indicated.tolist() == [2, 3]
    found = scaling.apply(np.array([[100, 8, NAN, NAN]], np.float32))
    assert found.tolist() == [[CLIP, 1, 0, 0, 1, 1]]


@pytest.mark.parametrize("widths", [(), (5,), (7, 3)])
def test_the_exported_graph_computes_what_numpy_does(widths):
    inputs = rows_of(20, 1).inputs * 3
    ensemble = random_ensemble(widths, InputScaling.fit(inputs))
    exact, served = ensemble.outputs(inputs), OnnxEnsemble(ensemble.to_onnx()).outputs(inputs)
    assert served.scores.shape == (4, 120)
    np.testing.assert_allclose(served.scores, exact.scores, atol=1e-4)
    np.testing.assert_allclose(served.conflict_log_odds, exact.conflict_log_odds, atol=1e-4)


def test_no_rows_have_no_outputs():
    ensemble = random_ensemble((), InputScaling.fit(rows_of(2, 1).inputs))
    found = OnnxEnsemble(ensemble.to_onnx()).outputs(np.zeros((0, 3), np.float32))
    assert found.scores.shape == (4, 0)


def test_training_learns_both_objectives_and_agrees_with_what_serves():
    shape, settings = NetworkSettings(hidden=16, layers=1, members=2), TrainingSettings(epochs=15)
    trained = train_ensemble(
        rows_of(150, 1), rows_of(60, 2), shape, replace(settings, learning_rate=0.02), seed=4
    )
    test = rows_of(60, 3)
    found = OnnxEnsemble(trained.onnx).outputs(test.inputs)
    exact = trained.ensemble.outputs(test.inputs)
    np.testing.assert_allclose(found.scores, exact.scores, atol=1e-5)
    best = found.scores.mean(axis=0).reshape(60, 6).argmax(axis=1)
    right = test.label.reshape(60, 6).argmax(axis=1)
    assert (best == right).mean() > 0.8
    says = found.conflict_log_odds.mean(axis=0) > 0
    assert (says == (test.conflict > 0.5)).mean() > 0.9
    assert trained.losses[-1] < trained.losses[0]


def test_one_seed_gives_one_network_another_seed_another():
    shape, settings = NetworkSettings(hidden=8, members=2), TrainingSettings(epochs=2)
    rows = rows_of(40, 1), rows_of(20, 2)
    one, same, other = (
        train_ensemble(*rows, shape, settings, seed=seed).onnx for seed in (5, 5, 6)
    )
    assert one == same
    assert one != other


def test_labels_that_do_not_differ_are_nothing_to_rank():
    rows = rows_of(10, 1)._replace(label=np.ones(60))
    with pytest.raises(InputError, match=r"no query has candidates whose labels differ by 0\.02"):
        train_ensemble(rows, rows, NetworkSettings(), TrainingSettings(), seed=1)


def test_a_loss_that_grows_without_bounds_is_named():
    rows = rows_of(10, 1)
    settings = TrainingSettings(learning_rate=1e30, epochs=20, patience=20)
    with pytest.raises(InputError, match="training diverged: the loss is not finite"):
        train_ensemble(rows, rows, NetworkSettings(), settings, seed=1)


def test_a_linear_model_orders_by_its_one_input_after_a_single_epoch():
    rng = np.random.default_rng(6)
    inputs = rng.normal(size=(40 * 6, 1)).astype(np.float32)
    label = 1 / (1 + np.exp(-inputs[:, 0].astype(np.float64)))
    rows = LabelledRows(inputs, label, 1 - label, np.arange(41, dtype=np.int64) * 6)
    linear = NetworkSettings(layers=0, members=5)
    for seed in range(5):
        trained = train_ensemble(rows, rows, linear, TrainingSettings(epochs=1), seed=seed)
        scores = OnnxEnsemble(trained.onnx).outputs(inputs).scores.mean(axis=0)
        np.testing.assert_array_equal(np.argsort(scores), np.argsort(inputs[:, 0]))
