"""What a network reads of items, and that the graphs prepare it as training did."""

from __future__ import annotations

import numpy as np
import pytest

from rerank.index.errors import ArtifactError, InputError
from rerank.rankers.inputs import FeatureSpace
from rerank.rankers.networks import Network, OnnxNetwork, exported
from rerank.rankers.pairs import PairItem

NAN = float("nan")


def items_of(*metrics, embeddings=None):
    vectors = embeddings or [None] * len(metrics)
    return [
        PairItem("project", f"p{at}", each, None if v is None else np.array(v, np.float32))
        for at, (each, v) in enumerate(zip(metrics, vectors, strict=True))
    ]


def test_metrics_are_the_union_of_names_and_are_standardised():
    items = items_of({"size": 1.0}, {"size": 3.0, "stars": 5.0}, {"size": 5.0, "stars": 9.0})
    space = FeatureSpace.fit(items, 0)
    assert space.metric_names == ("size", "stars")
    assert space.indicator_names == ["stars"]
    raw = space.raw(items)
    np.testing.assert_array_equal(raw, [[1, NAN], [3, 5], [5, 9]])
    deviation = (8 / 3) ** 0.5
    expected = [[-2 / deviation, 0, 1], [0, -1, 0], [2 / deviation, 1, 0]]
    np.testing.assert_allclose(space.scaling.apply(raw), expected, rtol=1e-6)


def test_constant_missing_and_infinite_metrics_are_neutralised_and_reported():
    items = items_of(
        {"year": 0.1, "size": 1, "gone": NAN},
        {"year": 0.1, "size": np.inf},
        {"year": 0.1, "size": 4},
    )
    space = FeatureSpace.fit(items, 0)
    prepared = space.scaling.apply(space.raw(items))
    assert np.isfinite(prepared).all()
    assert (prepared[:, [0, 2]] == 0).all()
    assert space.report(items) == {
        "missing": {"gone": 2},
        "non_finite": {"size": 1, "gone": 1},
        "constant": ["year", "gone"],
        "embeddings_missing": 0,
        "embeddings_non_finite": 0,
        "embedding_columns_constant": 0,
    }


def test_what_varies_by_less_than_float32_can_tell_is_constant():
    items = items_of({"at": 1e9, "price": 1e-9}, {"at": 1e9 + 64, "price": 3e-9})
    prepared = (space := FeatureSpace.fit(items, 0)).scaling.apply(space.raw(items))
    np.testing.assert_allclose(prepared, [[0, -1], [0, 1]], rtol=1e-6)


def test_a_missing_embedding_is_its_mean_and_an_indicator_says_so():
    items = items_of({}, {}, {}, embeddings=[[1, 7, 2], None, [3, 7, 6]])
    space = FeatureSpace.fit(items, 3)
    assert (space.width, space.scaling.n_inputs, space.indicator_names) == (3, 4, ["embedding"])
    root = 3**0.5  # an embedding as a whole varies as much as one metric
    expected = [[-1 / root, 0, -1 / root, 0], [0, 0, 0, 1], [1 / root, 0, 1 / root, 0]]
    np.testing.assert_allclose(space.scaling.apply(space.raw(items)), expected, rtol=1e-6)
    assert space.report(items)["embeddings_missing"] == 1
    assert space.report(items)["embedding_columns_constant"] == 1


def test_what_lies_far_outside_of_the_training_data_is_cut_off():
    space = FeatureSpace.fit(items_of({"size": 0.0}, {"size": 2.0}), 0)
    prepared = space.scaling.apply(
        space.raw(items_of({"size": 1e29}, {"size": -1e29}, {"size": 1e300}))
    )
    assert prepared.ravel().tolist() == [8.0, -8.0, 0.0]


def test_items_without_anything_to_read_are_an_error():
    with pytest.raises(InputError, match="expected items with metrics or embeddings"):
        FeatureSpace.fit(items_of({}, {}), 0)


def test_an_embedding_of_another_length_is_an_error():
    space = FeatureSpace.fit(items_of({}, {}, embeddings=[[1, 2], [3, 4]]), 2)
    with pytest.raises(InputError, match="project 'p0': expected an embedding of 2 numbers, found"):
        space.raw(items_of({}, embeddings=[[1, 2, 3]]))


@pytest.mark.parametrize("with_holes", [True, False], ids=["holes", "whole"])
def test_graphs_score_raw_rows_as_torch_scores_prepared_ones(with_holes):
    rng = np.random.default_rng(5)
    raw = rng.normal(3, 20, (50, 6)).astype(np.float32)
    if with_holes:
        raw[rng.random(raw.shape) < 0.2] = np.nan
    vectors = [row[:2] if np.isfinite(row[:2]).all() else None for row in raw]
    items = items_of(
        *(dict(zip("abcd", row[2:].tolist(), strict=True)) for row in raw), embeddings=vectors
    )
    space = FeatureSpace.fit(items, 2)
    layers = [
        (rng.normal(size=shape).astype(np.float32), rng.normal(size=shape[1]).astype(np.float32))
        for shape in [(space.scaling.n_inputs, 8), (8, 4), (4, 1)]
    ]
    rows = space.raw(items)
    network = Network(space.scaling, layers)
    values = space.scaling.apply(rows)
    for number, (weights, biases) in enumerate(layers, 1):
        values = values @ weights + biases
        values = np.maximum(values, 0) if number < 3 else values
    expected = values[:, 0]
    np.testing.assert_allclose(network.outputs(rows)[:, 0], expected, atol=1e-5)

    def served(inputs, output, *fed):
        graph = exported(network, rows, inputs=inputs, outputs=[output]).graph
        (found,) = OnnxNetwork(
            graph, where="test", remedy="", width=fed[0].shape[1], inputs=len(inputs)
        ).outputs(*fed)
        return found

    def score(some):
        return served(["input"], "score", some)

    np.testing.assert_allclose(score(rows), expected, atol=1e-5)
    found = served(["input_a", "input_b"], "score_diff", rows, rows[::-1])
    np.testing.assert_allclose(found, expected - expected[::-1], atol=2e-5)
    alone = np.concatenate([score(rows[at : at + 1]) for at in range(len(rows))])
    np.testing.assert_allclose(alone, score(rows), atol=1e-6)
    assert score(rows[:0]).shape == (0,)


def test_what_is_no_graph_is_an_artifact_error():
    with pytest.raises(ArtifactError, match="NAME: expected an ONNX graph, found something"):
        OnnxNetwork(b"no graph", where="NAME", remedy="rerank train-pairwise", width=1)
