"""Agreement of two models, by hand."""

from __future__ import annotations

from dataclasses import replace

from scripted_models import answer

from rerank.evaluation.intervals import wilson
from rerank.evaluation.paired import (
    AnswerChange,
    Answered,
    Shown,
    agreement,
    changed,
    decision_counts,
)
from rerank.index.records import Listing

MATCH = Shown.of(answer("Arc A770", probability=0.9))
REVIEW = replace(MATCH, decision="review", match_probability=0.5)
NONE = replace(MATCH, decision="no_match", key=None, model=None, match_probability=0.1)


def row(name: str, first: Shown, second: Shown) -> Answered:
    return Answered(Listing(name, f"card {name}"), first, second)


def test_what_changed_is_the_first_that_did():
    other = replace(MATCH, model="Radeon RX 6600", key="x")
    assert row("1", MATCH, REVIEW).change is AnswerChange.DECISION
    assert row("1", MATCH, other).change is AnswerChange.MODEL
    assert row("1", MATCH, replace(MATCH, key="x")).change is AnswerChange.VARIANT
    assert row("1", MATCH, replace(MATCH, match_probability=0.8)).change is None
    assert row("1", NONE, replace(NONE, best_guess="Radeon RX 6600")).change is None


def test_shares_and_counts():
    rows = [
        row("1", MATCH, MATCH),
        row("2", MATCH, REVIEW),
        row("3", NONE, NONE),
        row("4", NONE, replace(NONE, best_guess="other")),
    ]
    found = agreement(rows, seed=1)
    assert {name: figure.value for name, figure in found.items()} == {
        "decision": 0.75,
        "model": 1.0,
        "key": 1.0,
    }
    assert found["model"].ci95 == wilson(1.0, 4)
    assert decision_counts(rows) == [[1, 1, 0], [0, 0, 0], [0, 0, 2]]


def test_changes_are_ordered_by_what_they_are_then_by_probability_then_by_id():
    variant = replace(MATCH, key="x", match_probability=0.99)
    rows = [
        row("d", MATCH, variant),
        row("c", REVIEW, NONE),
        row("b", MATCH, REVIEW),
        row("a", MATCH, REVIEW),
        row("e", MATCH, MATCH),
    ]
    assert [each.listing.listing_id for each in changed(rows)] == ["a", "b", "c", "d"]


def test_listings_of_one_title_are_one_piece_of_evidence():
    same = [Answered(Listing(str(at), "one title"), MATCH, MATCH) for at in range(9)]
    rows = [*same, row("x", MATCH, NONE)]
    figure = agreement(rows, seed=2)["decision"]
    assert figure.value == 0.9
    assert figure.ci95 is not None
    assert figure.ci95[0] == 0.0


def test_without_rows_nothing_is_measured():
    assert agreement([], seed=1)["decision"].value is None
    assert changed([]) == []
