"""Guardrails: what they measure, and how sure they are of a breach."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from simulated_traffic import decided

from rerank.evaluation.paired import PairedCounts, paired_counts
from rerank.lifecycle.canary import (
    ACCEPTED,
    ERRORS,
    GUARDRAILS,
    LATENCY,
    NO_MATCH,
    PSI,
    GuardrailLimits,
    judge_guardrails,
    level_between,
)

NONE = np.zeros(4, bool)
LIMITS = GuardrailLimits()


def figures(counts, level=0.001):
    return {each.name: each for each in judge_guardrails(counts, LIMITS, level)}


def test_pairs_are_counted_by_what_either_decides():
    champion = decided(np.array([0.99, 0.95, 0.5, 0.001]))
    challenger = decided(np.array([0.99, 0.5, 0.001, 0.95]))
    counts = paired_counts(champion, challenger, NONE, ratio=1.25)
    assert (counts.listings, counts.errors, counts.answered) == (4, 0, 4)
    assert (counts.lost, counts.gained) == (1, 1)
    assert (counts.refused_more, counts.refused_less) == (1, 1)
    assert counts.ratios == (1.25,)
    assert np.sum(counts.bins) == 4
    assert counts.bins[7][7] == 1


def test_listings_on_which_the_challenger_failed_count_as_errors_only():
    both = decided(np.array([0.99, 0.99, 0.001, 0.5]))
    failed = np.array([True, False, False, True])
    counts = paired_counts(both, decided(np.zeros(4)), failed)
    assert (counts.listings, counts.errors, counts.lost, counts.ratios) == (4, 2, 1, ())


def test_counts_add_up_and_come_back_from_json():
    one = paired_counts(
        decided(np.array([0.99, 0.5, 0.2, 0.0])), decided(np.zeros(4)), NONE, ratio=2.0
    )
    both = one + one
    assert (both.listings, both.lost, both.ratios) == (8, 2, (2.0, 2.0))
    assert PairedCounts() + one == one
    assert PairedCounts.from_json(both.as_json()) == both


def test_counts_that_contradict_each_other_are_refused():
    content = PairedCounts().as_json() | {"listings": 3}
    with pytest.raises(ValueError, match="3 listings answered by both, 0 in ranges"):
        PairedCounts.from_json(content)


def test_a_loss_of_acceptances_is_judged_by_the_paired_shares():
    champion, challenger = np.full(1000, 0.95), np.full(1000, 0.95)
    challenger[:60] = 0.5
    champion[60:70] = 0.5
    counts = paired_counts(decided(champion), decided(challenger), np.zeros(1000, bool))
    found = figures(counts)[ACCEPTED]
    z = (0.05 - 0.01) / math.sqrt(70 / 1000**2 - 0.05**2 / 1000)
    assert found.figure == pytest.approx(-0.05)
    assert found.p_value == pytest.approx(0.5 * math.erfc(z / math.sqrt(2)))
    assert found.breached
    assert found.words() == "share accepted -5.0 pp, limit -1 pp"


def test_a_change_of_refusals_counts_up_and_down():
    low, high = np.full(500, 0.01), np.full(500, 0.5)
    more = figures(paired_counts(decided(high), decided(low), np.zeros(500, bool)))[NO_MATCH]
    less = figures(paired_counts(decided(low), decided(high), np.zeros(500, bool)))[NO_MATCH]
    assert (more.figure, less.figure) == (1.0, -1.0)
    assert more.breached
    assert less.breached


def test_latency_is_the_median_of_groups_and_a_sign_test():
    counts = PairedCounts(ratios=(3.0,) * 9 + (1.0,))
    found = figures(counts, level=0.02)[LATENCY]
    assert (found.figure, found.breached) == (3.0, True)
    assert found.p_value == pytest.approx(11 / 1024)


def test_errors_are_judged_by_the_binomial_distribution():
    counts = PairedCounts(listings=1000, errors=5)
    found = figures(counts)[ERRORS]
    assert found.figure == 0.005
    assert found.p_value == pytest.approx(0.00366, rel=0.01)
    assert not found.breached


def test_shifted_probabilities_breach_the_index_only():
    random = np.random.default_rng(3)
    champion = random.uniform(0.955, 0.985, 400)
    challenger = np.where(random.random(400) < 0.6, champion, 0.995)
    counts = paired_counts(decided(champion), decided(challenger), np.zeros(400, bool))
    breached = [each.name for each in judge_guardrails(counts, LIMITS, 0.001) if each.breached]
    assert breached == [PSI]


def test_nothing_is_breached_before_there_is_anything():
    assert not any(each.breached for each in judge_guardrails(PairedCounts(), LIMITS, 0.05))


def test_the_levels_of_all_looks_add_up_to_alpha():
    shares = [0.0, 0.03, 0.25, 0.5, 0.99, 1.2]
    levels = [level_between(*pair, 0.05) for pair in pairwise(shares)]
    assert min(levels) > 0
    assert sum(levels) * len(GUARDRAILS) == pytest.approx(0.05)
