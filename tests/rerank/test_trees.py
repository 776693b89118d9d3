"""Served trees: each distinct row is scored once, and every row gets its own score."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rerank.model import OnnxTrees

LinearScorer = Callable[..., bytes]
NAMES = ("first", "second", "third")
WEIGHTS = {"first": 1.0, "second": -2.0, "third": 0.5}


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(*[st.integers(-3, 3)] * 3), max_size=30))
def test_every_row_gets_its_score(rows: list[tuple[int, ...]], linear_scorer: LinearScorer) -> None:
    trees = OnnxTrees(linear_scorer(NAMES, WEIGHTS))
    features = np.array(rows, np.float32).reshape(len(rows), 3)
    scores = trees.score(features)
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, features @ np.array([1.0, -2.0, 0.5], np.float32))


def test_both_zeros_and_strided_rows_are_scored(linear_scorer: LinearScorer) -> None:
    trees = OnnxTrees(linear_scorer(NAMES, WEIGHTS, bias=1.0))
    wide = np.array([[0.0, 0.0, 0.0], [9, 9, 9], [-0.0, 0.0, -0.0], [9, 9, 9]], np.float32)
    np.testing.assert_array_equal(trees.score(wide[::2]), [1.0, 1.0])
    assert trees.score(np.zeros((0, 3), np.float32)).shape == (0,)
