"""The network: scaling, the exported graph, training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rerank.index.errors import InputError, RerankError
from rerank.rankers import dual
from rerank.rankers.dual import HEADS
from rerank.rankers.inputs import CLIP, Scaling
from rerank.rankers.networks import LabelledRows, Network, exported, fit_queries
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


def scaling_of(inputs: np.ndarray) -> Scaling:
    return Scaling.fit(inputs, limit=CLIP, least=1e-6, constant=1.0, divides=True)


def trained_on(
    train: LabelledRows,
    validation: LabelledRows,
    network: NetworkSettings,
    training: TrainingSettings,
    *,
    seed: int,
) -> tuple[Network, bytes, list[float]]:
    """A network of rows as they are, its graph and its validation losses."""
    scaling = scaling_of(train.inputs)
    scaled = (rows._replace(inputs=scaling.apply(rows.inputs)) for rows in (train, validation))
    fitted = fit_queries(*scaled, network, training, seed=seed)
    found = Network(scaling, fitted.layers)
    return found, graph_of(found, train.inputs), fitted.validation_losses


def graph_of(network: Network, rows: np.ndarray) -> bytes:
    return exported(network, rows, inputs=["inputs"], outputs=HEADS).graph


def served(graph: bytes, rows: np.ndarray) -> list[np.ndarray]:
    """What the graph says of rows: scores and log-odds of conflicts."""
    return dual.served(graph, "test", rows.shape[1]).outputs(rows)


def random_ensemble(widths: tuple[int, ...], scaling: Scaling) -> Network:
    rng = np.random.default_rng(0)
    shapes = zip((scaling.n_inputs, *widths), (*widths, 2), strict=True)
    layers = [
        (rng.normal(size=(4, a, b)).astype(np.float32), rng.normal(size=(4, 1, b)).astype("f4"))
        for a, b in shapes
    ]
    return Network(scaling, layers)


def computed(network: Network, rows: np.ndarray) -> np.ndarray:
    """What NumPy computes: slow, and independent of torch and the graph."""
    values = network.scaling.apply(rows)[None]
    for number, (weights, biases) in enumerate(network.layers, 1):
        values = values @ weights + biases
        if number < len(network.layers):
            values = np.maximum(values, 0.0)
    return values


def test_scaling_leaves_missing_values_out_and_marks_them():
    inputs = np.array([[1, 7, NAN, 0], [3, 7, NAN, NAN]], np.float32)
    scaling = scaling_of(inputs)
    assert scaling.mean.tolist() == [2, 7, 0, 0]
    assert scaling.inverse_scale.tolist() == [1, 1, 1, 1]  # constant or never there: 1
    assert scaling.indicators == (2, 3)
    found = scaling.apply(np.array([[100, 8, NAN, NAN]], np.float32))
    assert found.tolist() == [[CLIP, 1, 0, 0, 1, 1]]


@pytest.mark.parametrize("widths", [(), (5,), (7, 3)])
def test_the_exported_graph_computes_what_numpy_does(widths):
    inputs = rows_of(20, 1).inputs * 3
    ensemble = random_ensemble(widths, scaling_of(inputs))
    exact, (scores, log_odds) = (
        computed(ensemble, inputs),
        served(graph_of(ensemble, inputs), inputs),
    )
    assert scores.shape == (4, 120)
    np.testing.assert_allclose(scores, exact[..., 0], atol=1e-4)
    np.testing.assert_allclose(log_odds, exact[..., 1], atol=1e-4)
    np.testing.assert_allclose(ensemble.outputs(inputs), exact, atol=1e-4)


def test_a_graph_that_computes_something_else_is_not_handed_out(monkeypatch):
    inputs = rows_of(20, 1).inputs
    ensemble, scaling = random_ensemble((5,), scaling_of(inputs)), scaling_of(inputs)
    other = Network(scaling, [(one + 1e-3, two) for one, two in ensemble.layers])
    graph = graph_of(other, inputs)
    monkeypatch.setattr("rerank.rankers.networks._graph", lambda *arguments: graph)
    with pytest.raises(RerankError, match=r"network differs from torch by .*; nothing was written"):
        graph_of(ensemble, inputs)


def test_no_rows_have_no_outputs():
    rows = rows_of(2, 1).inputs
    found, _ = served(graph_of(random_ensemble((), scaling_of(rows)), rows), rows[:0])
    assert found.shape == (4, 0)


def test_training_learns_both_objectives_and_agrees_with_what_serves():
    shape, settings = NetworkSettings(hidden=16, layers=1, members=2), TrainingSettings(epochs=15)
    network, graph, losses = trained_on(
        rows_of(150, 1), rows_of(60, 2), shape, replace(settings, learning_rate=0.02), seed=4
    )
    test = rows_of(60, 3)
    scores, log_odds = served(graph, test.inputs)
    np.testing.assert_allclose(scores, computed(network, test.inputs)[..., 0], atol=1e-5)
    best = scores.mean(axis=0).reshape(60, 6).argmax(axis=1)
    right = test.label.reshape(60, 6).argmax(axis=1)
    assert (best == right).mean() > 0.8
    says = log_odds.mean(axis=0) > 0
    assert (says == (test.conflict > 0.5)).mean() > 0.9
    assert losses[-1] < losses[0]


def test_one_seed_gives_one_network_another_seed_another():
    shape, settings = NetworkSettings(hidden=8, members=2), TrainingSettings(epochs=2)
    rows = rows_of(40, 1), rows_of(20, 2)
    one, same, other = (trained_on(*rows, shape, settings, seed=seed)[1] for seed in (5, 5, 6))
    assert one == same
    assert one != other


def test_labels_that_do_not_differ_are_nothing_to_rank():
    rows = rows_of(10, 1)._replace(label=np.ones(60))
    with pytest.raises(InputError, match=r"no query has candidates whose labels differ by 0\.02"):
        fit_queries(rows, rows, NetworkSettings(), TrainingSettings(), seed=1)


def test_a_loss_that_grows_without_bounds_is_named():
    rows = rows_of(10, 1)
    settings = TrainingSettings(learning_rate=1e30, epochs=20, patience=20)
    with pytest.raises(InputError, match="training diverged: the loss is not finite"):
        fit_queries(rows, rows, NetworkSettings(), settings, seed=1)


def test_a_linear_model_orders_by_its_one_input_after_a_single_epoch():
    rng = np.random.default_rng(6)
    inputs = rng.normal(size=(40 * 6, 1)).astype(np.float32)
    label = 1 / (1 + np.exp(-inputs[:, 0].astype(np.float64)))
    rows = LabelledRows(inputs, label, 1 - label, np.arange(41, dtype=np.int64) * 6)
    linear = NetworkSettings(layers=0, members=5)
    for seed in range(5):
        _, graph, _ = trained_on(rows, rows, linear, TrainingSettings(epochs=1), seed=seed)
        scores = served(graph, inputs)[0].mean(axis=0)
        np.testing.assert_array_equal(np.argsort(scores), np.argsort(inputs[:, 0]))
