"""Inputs, labels and the split."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rerank.evaluation.gold import percent_of, split_of
from rerank.index.errors import InputError
from rerank.rankers.inputs import DualLabel, InputKind, InputSchema, gap_to_best
from rerank.rankers.scored import held_out, split_by_canonical_id


def with_vectors(make_set, **other):
    return make_set(
        [2, 1],
        feature_names=("conflict_a", "glass"),
        features=np.array([[0.1, 1], [np.nan, 2], [0.3, 3]], np.float32),
        query_vectors={"text": np.array([[1, 0], [0, 2]], np.float32)},
        candidate_vectors={
            "image": np.array([[3, 4], [2, 0], [np.nan, np.nan]], np.float32),
            "region": np.array([[0, 5, 0], [1, 0, 0], [0, 0, 0]], np.float32),
        },
        **other,
    )


def test_embeddings_enter_as_cosine_gap_and_unit_components(make_set):
    scored = with_vectors(make_set)
    schema = InputSchema.of(scored, conflict_features=["conflict_*"])
    pair = "(query.text,candidate.image)"
    assert [each.name for each in schema.inputs] == [
        f"cosine{pair}",
        f"cosine_gap{pair}",
        "candidate.region[0]",
        "candidate.region[1]",
        "candidate.region[2]",
        "glass",
        "conflict_a",
    ]
    assert [each.kind for each in schema.inputs][-2:] == [InputKind.ATTRIBUTE, InputKind.CONFLICT]
    nan = np.nan
    np.testing.assert_allclose(
        schema.compute(scored),
        [
            [0.6, -0.4, 0, 1, 0, 1, 0.1],
            [1, 0, 1, 0, 0, 2, nan],
            [nan, nan, nan, nan, nan, 3, 0.3],
        ],
        atol=1e-6,
    )


def test_products_sum_to_the_cosine(make_set):
    schema = InputSchema.of(with_vectors(make_set), products=True)
    inputs = schema.compute(with_vectors(make_set))
    np.testing.assert_allclose(inputs[:2, 2:4].sum(axis=1), inputs[:2, 0], atol=1e-6)


def test_a_schema_survives_json(make_set):
    schema = InputSchema.of(with_vectors(make_set), conflict_features=["conflict_a"])
    assert InputSchema.from_dict(json.loads(json.dumps(schema.as_dict()))) == schema


def test_a_pattern_without_a_feature_is_an_error(make_set):
    with pytest.raises(InputError, match="conflict_features: 'konflict' fits no feature"):
        InputSchema.of(with_vectors(make_set), conflict_features=["konflict"])


def test_data_that_lack_an_input_are_refused(make_set):
    schema = InputSchema.of(with_vectors(make_set))
    bare = make_set([1])
    with pytest.raises(InputError, match="expected the feature conflict_a, no candidate has it"):
        schema.compute(bare)
    wrong = with_vectors(make_set)
    wrong.query_vectors["text"] = np.ones((2, 3), np.float32)
    with pytest.raises(
        InputError, match="embedding text of the query: expected 2 numbers, found 3"
    ):
        schema.compute(wrong)


def test_the_gap_to_the_best_skips_missing_values():
    values = np.array([0.2, np.nan, 0.5, 0.9], np.float32)
    expected = [-0.3, np.nan, 0, 0]
    np.testing.assert_allclose(gap_to_best(values, np.array([0, 3, 3, 4])), expected, atol=1e-6)


def test_the_label_weighs_two_objectives_and_spreads_over_each_domain(make_set):
    scored = make_set(
        [2, 2],
        domain=("bars", "cafes"),
        compliance=np.array([1, 0.5, 0.5, 0.5]),
        conflict=np.array([0, 1, 0, 0.5]),
    )
    label = DualLabel.fit(scored, 0.6)
    # bars: .6 + .4 = 1 and .3; cafes: .7 and .5; each domain from its lowest to its highest
    assert label.ranges["bars"] == pytest.approx((0.3, 1.0))
    assert label.ranges["cafes"] == pytest.approx((0.5, 0.7))
    np.testing.assert_allclose(label.of(scored), [1, 0, 1, 0], atol=1e-9)
    other = make_set([1], domain=("kiosks",), compliance=np.array([0.5]), conflict=np.zeros(1))
    np.testing.assert_allclose(label.of(other), [(0.7 - 0.3) / 0.7])


def test_a_domain_of_one_value_has_labels_of_one(make_set):
    scored = make_set([2], compliance=np.full(2, 0.3), conflict=np.zeros(2))
    assert DualLabel.fit(scored, 0.5).of(scored).tolist() == [1, 1]


def test_no_canonical_id_is_in_two_splits(photographs):
    parts = split_by_canonical_id(photographs, validation_percent=20, test_percent=20)
    ids = [set(part.canonical_id) for part in parts]
    assert set.union(*ids) == set(photographs.canonical_id)
    assert sum(map(len, ids)) == len(set(photographs.canonical_id))
    assert sum(part.n_queries for part in parts) == photographs.n_queries
    assert held_out(photographs, test_percent=20).query_id == parts.test.query_id


def test_gpu_models_fall_where_lambdarank_has_them():
    for model in ("GeForce RTX 4070", "Radeon RX 6600", "Arc A770", "A100", "Quadro P2000"):
        assert (percent_of(model) >= 90) == (split_of(model).value == "test")


def test_an_empty_split_is_an_error(make_set):
    with pytest.raises(InputError, match="split has no queries: 1 canonical ids"):
        split_by_canonical_id(make_set([1]), validation_percent=10, test_percent=10)
