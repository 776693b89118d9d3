"""The history of what served, in the store."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from rerank.index.errors import ArtifactError
from rerank.lifecycle.model_registry import (
    Transition,
    has_transition,
    known_versions,
    on_day,
    read_card,
    read_transitions,
    save_cards,
    save_transition,
    served_by,
    utc_text,
)
from rerank.lifecycle.versions import SHIPPED_MODEL, VersionCard, VersionRef
from rerank.store.database import Store

A, B = VersionRef("ltr", "a" * 16), VersionRef("pairwise", "b" * 16)


def change(generation, at, to, before=None, alias="champion", **more):
    return Transition(
        id=f"t{generation}",
        generation=generation,
        action="promote",
        alias=alias,
        before=before,
        to=to,
        who="ann",
        at=at,
        **more,
    )


CHANGES = [
    change(1, "2026-05-01T10:00:00Z", A, SHIPPED_MODEL, why="first of ours"),
    change(2, "2026-05-01T11:00:00Z", B, None, alias="challenger"),
    change(
        3,
        "2026-05-03T09:00:00Z",
        B,
        A,
        forced=True,
        gates=[{"name": "size", "passed": False}],
        metrics={"gain": 0.5},
    ),
    change(4, "2026-05-03T23:59:59Z", A, B),
]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store.duckdb")


def test_changes_are_read_as_they_were_saved_and_in_their_order(store):
    with store.writing() as session:
        for each in reversed(CHANGES):
            save_transition(session, each)
    with store.reading() as session:
        assert read_transitions(session) == CHANGES
        assert has_transition(session, "t3")
        assert not has_transition(session, "t9")


def test_a_change_that_is_saved_again_is_there_once(store):
    for _ in range(2):
        with store.writing() as session:
            save_transition(session, CHANGES[0])
    with store.reading() as session:
        assert read_transitions(session) == CHANGES[:1]


def test_a_change_survives_the_pointer_as_json():
    for each in CHANGES:
        assert Transition.from_dict(each.as_dict()) == each


@pytest.mark.parametrize(
    "damage",
    [
        {"from": "ltr"},
        {"at": "yesterday"},
        {"at": None},
        {"generation": "3"},
        {"gates": {}},
        {"more": 1},
        {"to": {"name": "ltr"}},
    ],
)
def test_what_is_no_change_is_an_error(damage):
    with pytest.raises(ArtifactError, match="transition: expected the last change, found"):
        Transition.from_dict({**CHANGES[0].as_dict(), **damage})


@pytest.mark.parametrize(
    ("day", "generations"),
    [
        ("2026-04-30", []),
        ("2026-05-01", [1]),
        ("2026-05-02", [1]),
        ("2026-05-03", [1, 3, 4]),
        ("2026-05-04", [4]),
        ("2030-01-01", [4]),
    ],
)
def test_a_day_has_the_champion_it_began_with_and_its_own_changes(day, generations):
    found = on_day(CHANGES, date.fromisoformat(day))
    assert [each.generation for each in found] == generations


def test_a_version_has_the_times_it_was_champion():
    assert served_by(CHANGES, A.version) == [
        ("2026-05-01T10:00:00Z", "2026-05-03T09:00:00Z"),
        ("2026-05-03T23:59:59Z", None),
    ]
    assert served_by(CHANGES, B.version) == [("2026-05-03T09:00:00Z", "2026-05-03T23:59:59Z")]
    assert served_by(CHANGES, "c" * 16) == []


def test_a_clock_that_went_back_changes_no_order(store):
    late = replace(CHANGES[3], generation=5, id="t5", at="2020-01-01T00:00:00Z", to=B)
    with store.writing() as session:
        for each in (late, *CHANGES):
            save_transition(session, each)
    with store.reading() as session:
        found = read_transitions(session)
    assert [each.generation for each in found] == [1, 2, 3, 4, 5]
    assert served_by(found, B.version)[-1] == ("2020-01-01T00:00:00Z", None)


def test_cards_are_kept_but_for_what_only_the_folder_needs(store):
    card = VersionCard(
        kind="ltr",
        version=A.version,
        created_at="2026-05-01T09:30:00Z",
        created_by="ann",
        parent="shipped",
        parameters={"seed": 7},
        metrics={"x": [0.1, None]},
        reference={"answers": []},
    )
    with store.writing() as session:
        save_cards(session, [card, card])
    with store.reading() as session:
        assert known_versions(session) == {A}
        found = read_card(session, A)
        assert read_card(session, B) is None
    assert found is not None
    assert found["created_at"] == card.created_at
    assert (found["parameters"], found["metrics"]) == (card.parameters, card.metrics)
    assert (found["code_version"], found["reference"]) == (None, None)


def test_times_are_written_in_utc_without_fractions():
    assert utc_text().endswith("Z")
    assert len(utc_text()) == len("2026-05-01T09:30:00Z")
