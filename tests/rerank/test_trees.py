"""Served trees: every row gets its own score, by the graph, by walks or by bits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerank.index.errors import ArtifactError
from rerank.index.records import shipped
from rerank.model import OnnxTrees
from rerank.packs.gpu.candidates import CANDIDATE_FEATURES
from rerank.packs.gpu.offers import OFFER_FEATURES
from rerank.quickscorer import QuickScorer

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


def tree_text(*trees: str) -> str:
    return "tree\nversion=v4\n" + "".join(f"\nTree={at}\n{t}" for at, t in enumerate(trees))


STUMP = """num_leaves=2
split_feature=1
threshold=0.5
decision_type=2
left_child=-1
right_child=-2
leaf_value=-1.5 4
"""
# first <= 0 ? (second <= 2 ? 1 : 2) : (second <= 2 ? 4 : 8), the last of which asks twice
DEEP = """num_leaves=5
split_feature=0 1 1 1
threshold=1.0000000180025095e-35 2 2 2
decision_type=2 0 2 2
left_child=1 -1 3 -3
right_child=2 -2 -4 -5
leaf_value=1 2 4 8 16
"""
ALONE = "num_leaves=1\nleaf_value=0.25\n"


@pytest.mark.parametrize("few", [0, 200])
def test_the_leaf_of_each_row_is_found(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rerank.quickscorer._FEW_ROWS", few)
    rows = np.array([[0, 0], [0, 3], [1, 0], [1, 3], [-1, 0.5], [0, 2]], np.float32)
    assert QuickScorer(tree_text(STUMP)).score(rows).tolist() == [-1.5, 4, -1.5, 4, -1.5, 4]
    assert QuickScorer(tree_text(DEEP)).score(rows).tolist() == [1, 2, 4, 8, 1, 1]
    both = QuickScorer(tree_text(STUMP, ALONE, DEEP)).score(rows)
    assert both.tolist() == [-0.25, 6.25, 2.75, 12.25, -0.25, 5.25]
    assert QuickScorer(tree_text(STUMP)).score(rows[:0]).shape == (0,)


@pytest.mark.parametrize("leaves", [2, 16, 17, 32, 33, 64])
def test_trees_of_any_number_of_leaves_are_scored_by_bits(leaves: int) -> None:
    """A chain: the first value that reaches a row's own is its leaf."""
    inner = leaves - 1
    text = tree_text(
        f"num_leaves={leaves}\nsplit_feature={' '.join(['0'] * inner)}\n"
        f"threshold={' '.join(f'{at}.5' for at in range(inner))}\n"
        f"decision_type={' '.join(['2'] * inner)}\n"
        f"left_child={' '.join(str(~at) for at in range(inner))}\n"
        f"right_child={' '.join(str(at + 1) for at in range(inner - 1))} {~inner}\n"
        f"leaf_value={' '.join(str(10 + at) for at in range(leaves))}\n"
    )
    rows = np.arange(leaves, dtype=np.float32)[:, None]
    many = np.repeat(rows, 200, axis=0)
    assert QuickScorer(text).score(many).tolist() == (many[:, 0] + 10).tolist()
    assert QuickScorer(text).score(rows).tolist() == (rows[:, 0] + 10).tolist()


@pytest.mark.parametrize(
    ("name", "width"), [("ranker", len(CANDIDATE_FEATURES)), ("offer", len(OFFER_FEATURES))]
)
@pytest.mark.parametrize("rare", [0.5, 0.02])
def test_few_rows_and_many_get_the_scores_of_the_graph_to_the_last_one(
    name: str, width: int, rare: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    rows = rng.integers(-2000, 21_000, (500, width)) / 1024
    rows = np.where(rng.random(rows.shape) < rare, rows, rng.integers(-1, 3, rows.shape))
    features = rows.astype(np.float32)
    folder = shipped("model")
    content, text = (folder / f"{name}.onnx").read_bytes(), (folder / f"{name}.txt").read_text()
    run = OnnxTrees(content).score(features)
    quick = QuickScorer(text)
    np.testing.assert_array_equal(quick.score(features), run)
    for few in (1, 7, 150):
        np.testing.assert_array_equal(quick.score(features[:few]), run[:few])
    monkeypatch.setattr("rerank.quickscorer._AT_ONCE", 200)
    np.testing.assert_array_equal(quick.score(np.asfortranarray(features)), run)
    np.testing.assert_array_equal(OnnxTrees(content, text).score(features), run)


def test_trees_with_a_text_are_scored_without_their_graph() -> None:
    trees = OnnxTrees(b"no graph", tree_text(STUMP))
    assert trees.score(np.array([[0, 0], [0, 1]], np.float32)).tolist() == [-1.5, 4]
    assert trees.score(np.zeros((0, 2), np.float32)).shape == (0,)
    with pytest.raises(ArtifactError, match="expected an ONNX graph"):
        OnnxTrees(b"no graph", "no trees")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a text", "found none"),
        (tree_text(STUMP.replace("decision_type=2", "decision_type=1")), "over numbers"),
        (tree_text(STUMP.replace("decision_type=2", "decision_type=10")), "none of which is miss"),
    ],
)
def test_other_trees_are_refused(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        QuickScorer(text)
