"""`rerank annotations`: agreement, disputes, suspects and adjudication, over a real store."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from rerank.annotation.agreement import ADJUDICATOR, consensus
from rerank.index.records import Listing
from rerank.store.database import Store
from rerank.store.rows import (
    Annotation,
    StoredListing,
    Verdict,
    read_annotations,
    save_annotations,
    save_listings,
)
from rerank.workspace import Workspace

TITLES = {
    "L1": "palit geforce rtx 4060 ti dual 16gb gddr6",
    "L2": "empty box for sapphire radeon rx 6600 pulse, no card inside",
    "L3": "msi geforce gtx 1060 gaming x 6gb gddr5",
    "L4": "asus tuf oc geforce rtx 3080 10gb gddr6x",
}
TI = "GeForce RTX 4060 Ti"


@pytest.fixture
def store(home):
    store = Store(Workspace(home).store_path)
    with store.writing() as session:
        save_listings(session, [StoredListing(Listing(k, t)) for k, t in TITLES.items()])
    return store


def say(store, *answers):
    """Save answers (listing_id, annotator, model or verdict[, gpu_id])."""
    annotations = []
    for listing_id, annotator, what, *gpu_id in answers:
        verdict = Verdict(what) if what in {v.value for v in Verdict} else Verdict.MATCH
        model = what if verdict is Verdict.MATCH else None
        annotations.append(Annotation(listing_id, annotator, verdict, *(gpu_id or [None]), model))
    with store.writing() as session:
        save_annotations(session, annotations)


def answers(store):
    with store.reading() as session:
        return read_annotations(session)


def test_agreement_shows_each_two_annotators(run, store):
    say(
        store,
        ("L1", "ann", TI),
        ("L1", "bob", TI),
        ("L2", "ann", "not_gpu"),
        ("L2", "bob", "none_of_these"),
        ("L3", "cid", "unsure"),
    )
    result = run("annotations", "agreement")
    assert result.exit_code == 0
    header, row = result.stdout.splitlines()
    assert header.split() == ["annotator", "annotator", "listings", "agreed", "kappa"]
    assert row.split()[:4] == ["ann", "bob", "2", "0.50"]
    assert len(row) <= 80
    [found] = json.loads(run("annotations", "agreement", "--format", "json").stdout)
    assert (found["first"], found["second"], found["n"]) == ("ann", "bob", 2)
    assert found["agreed"]["value"] == 0.5
    assert found["kappa"]["value"] == pytest.approx(1 / 3, abs=1e-4)


def test_an_empty_store_has_nothing_to_show(run):
    assert run("annotations", "agreement").stdout.startswith("No two annotators")
    assert run("annotations", "agreement", "--format", "json").stdout == "[]\n"
    assert run("annotations", "disputes").stdout == "No disputes.\n"
    assert run("annotations", "suspects").stdout == "No suspects among 0 labels.\n"
    as_json = run("annotations", "disputes", "--format", "json")
    assert (as_json.stdout, as_json.stderr) == ("[]\n", "0 disputes\n")


def test_disputes_are_listed_with_every_answer_and_adjudication_settles_one(run, store):
    say(
        store,
        ("L1", "ann", TI, "geforce-rtx-4060-ti-16gb-gddr6"),
        ("L1", "bob", "GeForce RTX 4060"),
        ("L1", "cid", "unsure"),
        ("L2", "ann", "not_gpu"),
        ("L2", "bob", "unsure"),
    )
    result = run("annotations", "disputes")
    assert result.stderr.splitlines()[0] == "1 dispute"
    assert "next: `rerank annotations adjudicate" in result.stderr
    assert result.stdout.splitlines() == [
        f"L1  {TITLES['L1']}",
        f"  ann  {TI} (geforce-rtx-4060-ti-16gb-gddr6)",
        "  bob  GeForce RTX 4060",
        "  cid  unsure",
    ]
    [dispute] = json.loads(run("annotations", "disputes", "--format", "json").stdout)
    assert (dispute["listing_id"], dispute["title"]) == ("L1", TITLES["L1"])
    assert [a["verdict"] for a in dispute["answers"]] == ["match", "match", "unsure"]
    for answer in dispute["answers"]:
        assert answer["annotated_at"].endswith("Z")
        age = datetime.now(UTC) - datetime.fromisoformat(answer["annotated_at"])
        assert timedelta(0) <= age < timedelta(minutes=10)
    done = run("annotations", "adjudicate", "L1", "--verdict", "match", "--gpu", "RTX 4060 Ti 16GB")
    assert done.exit_code == 0
    assert done.stdout == f"L1: {TI} (geforce-rtx-4060-ti-16gb-gddr6), said by adjudicator\n"
    assert run("annotations", "disputes").stdout == "No disputes.\n"
    [settled, _] = consensus(answers(store))
    assert (settled.model, settled.gpu_id, settled.disputed) == (
        TI,
        "geforce-rtx-4060-ti-16gb-gddr6",
        False,
    )


def test_adjudication_can_be_changed_and_carries_a_note(run, store):
    say(store, ("L2", "ann", "not_gpu"))
    run("annotations", "adjudicate", "L2", "--verdict", "none_of_these")
    run("annotations", "adjudicate", "L2", "--verdict", "not_gpu", "--note", "a box")
    [found] = [a for a in answers(store) if a.annotator == ADJUDICATOR]
    assert (found.verdict, found.model, found.note) == (Verdict.NOT_GPU, None, "a box")


def test_another_annotators_answer_settles_nothing(run, store):
    say(store, ("L1", "ann", TI), ("L1", "bob", "GeForce RTX 4060"))
    run("annotations", "adjudicate", "L1", "--verdict", "match", "--gpu", TI, "--annotator", "dee")
    assert run("annotations", "disputes").stderr.startswith("1 dispute\n")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["L1", "--verdict", "match"], 2, "--gpu: expected with --verdict match, and only with it"),
        (["L1", "--verdict", "unsure", "--gpu", TI], 2, "and only with it"),
        (["L1", "--verdict", "maybe"], 2, "'maybe' is not one of"),
        (["L1"], 2, "Missing option '--verdict'"),
        (["L9", "--verdict", "unsure"], 1, "expected a listing of the store, got 'L9'"),
        (["L1", "--verdict", "match", "--gpu", "RTX 999999"], 1, "RTX 999999"),
        (["'; DROP TABLE listings; --", "--verdict", "unsure"], 1, "DROP TABLE"),
    ],
)
def test_an_adjudication_that_cannot_be_meant_changes_nothing(run, store, arguments, code, message):
    result = run("annotations", "adjudicate", *arguments)
    assert result.exit_code == code
    assert message in result.stderr
    assert answers(store) == []


def test_an_annotated_listing_can_be_adjudicated_without_its_text(run, store):
    say(store, ("imported", "ann", TI), ("imported", "bob", "not_gpu"))
    assert "imported  (not in the store)" in run("annotations", "disputes").stdout
    assert run("annotations", "adjudicate", "imported", "--verdict", "not_gpu").exit_code == 0


@pytest.mark.smoke
def test_a_wrong_label_is_suspected_first(run, store):
    say(
        store,
        ("L1", "ann", TI),
        ("L2", "ann", "not_gpu"),
        ("L3", "ann", "GeForce GTX 1060"),
        ("L3", "bob", "Radeon RX 6600"),
        ("L4", "ann", "not_gpu"),
        ("gone", "ann", TI),
    )
    result = run("annotations", "suspects", "--format", "json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert {(s["listing_id"], s["label"], s["suggestion"]) for s in found} == {
        ("L3", "Radeon RX 6600", "GeForce GTX 1060"),
        ("L4", "not_gpu", "GeForce RTX 3080"),
    }
    gaps = [s["probability"] - s["label_probability"] for s in found]
    assert gaps == sorted(gaps, reverse=True)
    assert found[0]["title"] in TITLES.values()
    assert result.stderr.splitlines() == [
        "2 suspects among 5 labels, 2 shown",
        "not judged: 1 whose listing is not stored",
    ]
    table = run("annotations", "suspects", "--limit", "1")
    assert table.stdout.count("says the model") == 1
    assert max(map(len, table.stdout.splitlines())) <= 80
    none = run("annotations", "suspects", "--threshold", "1")
    assert none.stdout == "No suspects among 5 labels.\n"


def test_what_is_no_probability_is_a_usage_error(run, store):
    for threshold in ("nan", "1.5", "x"):
        assert run("annotations", "suspects", "--threshold", threshold).exit_code == 2


def test_tables_keep_to_80_columns_whatever_is_stored(run, store):
    wide, odd = "日本語のとても長い題名" * 30, "a\tb\n\x1b[31m" * 20
    with store.writing() as session:
        save_listings(session, [StoredListing(Listing(odd, wide))])
        save_annotations(
            session,
            [
                Annotation(odd, wide, Verdict.NOT_GPU, note=odd),
                Annotation(odd, "bob " * 50, Verdict.MATCH, "g" * 90, "M" * 90),
            ],
        )
    for name in ("agreement", "disputes", "suspects"):
        result = run("annotations", name)
        assert result.exit_code == 0
        assert "\x1b" not in result.stdout
        columns = [sum(2 if ord(c) > 0x2E80 else 1 for c in x) for x in result.stdout.splitlines()]
        assert max(columns) <= 80
