"""Folders that release 0.1.0 trained still load, score the same and can be trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from rerank.rankers.dual import DualModel
from rerank.rankers.networks import Network
from rerank.rankers.pairs import item_of
from rerank.rankers.pairwise import Continued, PairwiseRanker
from rerank.rankers.scored import synthetic_candidates

EARLIER = Path(__file__).parent / "earlier"
SCORES = json.loads((EARLIER / "scores.json").read_text(encoding="utf-8"))


def test_a_pairwise_ranker_scores_the_same_by_its_graph_and_by_its_state_dict():
    ranker = PairwiseRanker.load(EARLIER / "pairwise")
    np.testing.assert_allclose(ranker.score_items(SCORES["items"]), SCORES["pairwise"], atol=2e-6)
    earlier = Continued.read(EARLIER / "pairwise" / "pairwise_ranker.pth")
    items = [item_of(item) for item in SCORES["items"]]
    rows = earlier.space.raw(items)
    found = Network(earlier.space.scaling, earlier.layers).outputs(rows)[:, 0]
    np.testing.assert_allclose(found, SCORES["pairwise"], atol=2e-6)


def test_a_dual_ranker_scores_the_same():
    found = DualModel.load(EARLIER / "dual").score(synthetic_candidates(2, seed=77))
    for name, expected in SCORES["dual"].items():
        np.testing.assert_allclose(getattr(found, name), expected, atol=2e-6)
