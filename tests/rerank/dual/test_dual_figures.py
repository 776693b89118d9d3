"""Order, doubt, figures and failures, by hand numbers."""

from __future__ import annotations

import numpy as np
import pytest

from rerank.evaluation.intervals import Resampling
from rerank.rankers.dual import centred_on_query, first_rows
from rerank.rankers.dual_experiment import (
    Resamplings,
    decided_by,
    gains_over,
    is_error,
    outcomes_of,
    uncertainty_figures,
)
from rerank.rankers.inputs import Input, InputKind, doubt_of_first


def graded(make_set):
    """Two queries with candidates, one without."""
    return make_set(
        [3, 0, 1],
        compliance=np.array([0.2, 1, 0.6, 0.5]),
        conflict=np.array([1, 0, 0.4, 1]),
    )


def test_metrics_agree_with_hand_numbers(make_set):
    scored = graded(make_set)
    label = np.array([0.1, 1, 0.6, 0.25])
    found = outcomes_of(scored, np.array([2.0, 1, 3, 0]), label, None).by_query
    assert found["compliance_at_1"].tolist() == pytest.approx([0.6, 0, 0.5])
    assert found["compliance_at_3"].tolist() == pytest.approx([1.8 / 3, 0, 0.5])
    assert found["conflict_at_1"].tolist() == [0, 1, 1]
    gain = 0.6 + 0.1 / np.log2(3) + 1 / 2
    ideal = 1 + 0.6 / np.log2(3) + 0.1 / 2
    assert found["ndcg_at_10"].tolist() == pytest.approx([gain / ideal, 0, 1])
    assert is_error(scored, np.array([2.0, 1, 3, 0]), label).tolist() == [True, True, False]


def test_equal_scores_are_ordered_by_candidate_id(make_set):
    scored = make_set([3], candidate_id=("k2", "k1", "k3"))
    assert first_rows(scored, np.zeros(3)).tolist() == [1]
    assert first_rows(make_set([0]), np.zeros(0)).tolist() == [-1]


def test_doubt_is_low_where_all_members_agree_and_high_where_they_differ():
    members = np.array([[9.0, 0, 0, 9, 0, 0, 5], [9, 0, 0, 0, 8.9, 0, 5]])
    doubt = doubt_of_first(members, np.array([0, 3, 6, 6, 7]))
    sure = 1 - 1 / (1 + 2 * np.exp(-9))
    assert doubt[0] == pytest.approx(sure)
    assert doubt[1] == pytest.approx(0.5, abs=1e-3)
    assert doubt[2:].tolist() == pytest.approx([1, 0])  # no candidate; one alone
    assert doubt_of_first(np.zeros((2, 0)), np.array([0, 0])).tolist() == [1]


def test_what_a_member_adds_to_a_whole_query_does_not_count():
    scores = np.array([[1.0, 3, 7], [11, 13, 2]])
    assert centred_on_query(scores, np.array([0, 2, 3])).tolist() == [[-1, 1, 0], [-1, 1, 0]]


def test_intervals_resample_queries_and_their_candidates_together(make_set):
    scored = graded(make_set)
    drawn = Resamplings.draw(scored, seed=1, samples=50)
    np.testing.assert_array_equal(drawn.candidates.counts, drawn.queries.counts)
    assert drawn.candidates.group.tolist() == [0, 0, 0, 2]
    label = np.array([0.1, 1, 0.6, 0.25])
    outcomes = outcomes_of(scored, label, label, np.array([0.9, 0.1, 0.4, 0.8]))
    figures = drawn.figures(outcomes)
    assert figures["compliance_at_1"].value == pytest.approx((1 + 0 + 0.5) / 3)
    assert figures["conflict_auc"].value == 1
    assert figures["conflict_ece"].value == pytest.approx((0.1 + 0.1 + 0.4 + 0.2) / 4)


def test_gains_are_paired_and_relative(make_set):
    scored = make_set([2] * 40, compliance=np.tile([1, 0.5], 40), conflict=np.zeros(80))
    label = scored.compliance
    systems = {
        "base": outcomes_of(scored, -label, label, None),
        "ours": outcomes_of(scored, label, label, None),
    }
    drawn = Resampling.draw(range(40), seed=1, samples=100)
    gain = gains_over(drawn, systems, baseline="base")["ours"]["compliance_at_1"]
    assert (gain["difference"], gain["ci95"]) == (0.5, [0.5, 0.5])
    assert (gain["relative"], gain["relative_ci95"]) == (1.0, [1.0, 1.0])
    assert gain["p_value"] < 0.01


def test_doubt_that_follows_errors_has_an_auc_above_chance():
    doubt = np.linspace(0, 1, 80)
    error = doubt > 0.8
    drawn = Resampling.draw(range(80), seed=1, samples=100)
    found = uncertainty_figures(drawn, doubt, doubt, error)
    assert found["auc"]["value"] == 1
    assert [each["share_wrong"] for each in found["bins"]] == [0, 0, 0, 0.8]
    assert found["share_wrong"]["value"] == 0.2


def test_the_inputs_that_decided_are_those_whose_change_costs_most():
    inputs = [Input(name, InputKind.ATTRIBUTE) for name in "abc"]
    weights = np.array([1.0, 5, -1])
    found = decided_by(
        np.array([2, 1, 0], np.float32),
        np.array([0, 0, 0], np.float32),
        inputs,
        lambda rows: rows @ weights,
    )
    assert [(each.name, each.chosen, each.best, each.effect) for each in found] == [
        ("b", 1, 0, 5),
        ("a", 2, 0, 2),
    ]
