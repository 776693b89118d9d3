"""The answers are those of the golden files: `make guard` holds more of them than this."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from guard import differences, foreign_checkout, main

COMMAND = Path(sys.executable).parent / "rerank"


@pytest.mark.smoke
def test_demo_listings_and_hard_set_are_answered_as_before(capsys):
    if other := foreign_checkout(COMMAND):
        pytest.skip(f"the installed rerank runs the code of {other}")
    code = main(["score", "--rerank", str(COMMAND)])
    assert code == 0, capsys.readouterr().out


def test_names_what_differs_in_the_order_of_the_golden_figures():
    expected = {"hard-001": "match", "hard-002": "review", "hard-003": "match"}
    got = {"hard-003": "review", "hard-001": "match", "hard-004": "no_match"}
    assert [found.split() for found in differences(expected, got)] == [
        ["hard-002", "expected", "review", "got", "no", "such", "figure"],
        ["hard-003", "expected", "match", "got", "review"],
        ["hard-004", "expected", "no", "such", "figure", "got", "no_match"],
    ]
    assert differences(expected, dict(expected)) == []
