"""`rerank pairs`: every way to collect pairs, what is refused, counts and the exported files."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from rerank.index.records import Listing
from rerank.jobs.annotation.pair_collecting import add_bootstrap_pairs
from rerank.packs.gpu.candidates import CANDIDATE_FEATURES
from rerank.store.database import Store
from rerank.store.rows import (
    Annotation,
    StoredListing,
    Verdict,
    read_pairs,
    save_annotations,
    save_listings,
)
from rerank.workspace import Workspace

TITLE = "palit geforce rtx 4060 ti dual 16gb gddr6"
RIGHT = "geforce-rtx-4060-ti-16gb-gddr6"
SIBLING = "geforce-rtx-4060-ti-8gb-gddr6"
OTHER = "geforce-rtx-4060-8gb-gddr6"
ADD = ("pairs", "add", "--annotator", "ann", "--item-type", "project")


@pytest.fixture
def store(home):
    return Store(Workspace(home).store_path)


@pytest.fixture
def listing(store):
    with store.writing() as session:
        save_listings(session, [StoredListing(Listing("L::1", TITLE))])
    return "L::1"


def pairs_of(store):
    with store.reading() as session:
        return read_pairs(session)


def told(store):
    """Return what the stored pairs say, without metrics."""
    return [
        (p.a.reference_id, p.b.reference_id, p.label, p.source.value, p.annotator)
        for p in pairs_of(store)
    ]


def test_a_pair_by_flags_is_stored_with_all_of_them(run, store):
    result = run(
        *ADD,
        "--item-a",
        "proj-1",
        "--item-b",
        "proj-2",
        "--label",
        "-1",
        "--reason-tags",
        "relevance, metrics,relevance",
        "--similarity",
        "0.85",
        "--metrics-a",
        "clarity=0.8, impact=1e-3",
        "--metrics-b",
        "clarity=-2",
        "--embedding-id-a",
        "e1",
    )
    assert (result.exit_code, result.stdout) == (0, "1 added, 0 replaced, 0 there already\n")
    [found] = pairs_of(store)
    assert told(store) == [("proj-1", "proj-2", -1, "manual", "ann")]
    assert found.reason_tags == ("relevance", "metrics")
    assert found.similarity == 0.85
    assert (found.a.metrics, found.b.metrics) == (
        {"clarity": 0.8, "impact": 0.001},
        {"clarity": -2.0},
    )
    assert (found.a.embedding_id, found.b.embedding_id) == ("e1", None)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--item-a", "x"], "missing --item-b, --label; or use --interactive"),
        (["--item-a", "x", "--item-b", "x", "--label", "1"], "expected two items, got 'x' twice"),
        (["--item-a", "x", "--item-b", "y", "--label", "2"], "'2' is not one of '1', '0', '-1'"),
        (["--metrics-a", "clarity"], "expected NAME=NUMBER"),
        (["--metrics-a", "clarity=nan"], "got 'clarity=nan'"),
        (["--metrics-a", "c=1,c=2"], "each name once, got 'c=2'"),
        (["--metrics-b", "=1"], "expected NAME=NUMBER"),
        (["--similarity", "1.5"], "expected a number from -1 to 1, got '1.5'"),
        (["--similarity", "nan"], "expected a number from -1 to 1, got 'nan'"),
    ],
)
def test_flags_that_cannot_be_meant_are_usage_errors(run, store, flags, message):
    result = run(*ADD, *flags)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not store.path.exists()


def test_the_opposite_label_is_shown_and_needs_replace(run, store):
    run(*ADD, "--item-a", "p1", "--item-b", "p2", "--label", "1")
    opposite = (*ADD, "--item-a", "p2", "--item-b", "p1", "--label", "1")
    result = run(*opposite)
    assert result.exit_code == 1
    assert (
        "'project' 'p2' is better than 'project' 'p1', but stated before by 'ann'" in result.stderr
    )
    assert "--replace" in result.stderr
    assert told(store) == [("p1", "p2", 1, "manual", "ann")]
    assert run(*opposite, "--replace").stdout == "0 added, 1 replaced, 0 there already\n"
    assert told(store) == [("p2", "p1", 1, "manual", "ann")]


def test_an_empty_reference_is_one_clear_error(run, store):
    result = run(*ADD, "--item-a", "", "--item-b", "p2", "--label", "1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "expected a type and a reference, found an empty one" in result.stderr


def test_pairs_can_be_added_by_answers(run, store):
    answers = [
        "project",
        "p1",
        "p1",
        "p2",
        "7",
        "1",
        "why",
        "clarity=x",
        "clarity=0.5",
        "",
        "0.3",
        "y",
        "p3",
        "p4",
        "0",
        "",
        "",
        "",
        "",
        "n",
    ]
    result = run("pairs", "add", "--annotator", "ann", text="\n".join(answers) + "\n")
    assert result.exit_code == 0
    assert result.stdout.count("1 added") == 2
    assert "Expected another item than a." in result.stderr
    assert "got 'clarity=x'" in result.stderr
    assert told(store) == [("p1", "p2", 1, "manual", "ann"), ("p3", "p4", 0, "manual", "ann")]
    first = pairs_of(store)[0]
    assert (first.a.metrics, first.b.metrics, first.similarity) == ({"clarity": 0.5}, {}, 0.3)


def test_a_conflict_is_asked_about_and_flags_are_not_asked_for(run, store):
    run(*ADD, "--item-a", "p1", "--item-b", "p2", "--label", "1")
    flags = (
        "--interactive",
        "--item-a",
        "p1",
        "--item-b",
        "p2",
        "--label",
        "-1",
        "--reason-tags",
        "x",
        "--metrics-a",
        "",
        "--metrics-b",
        "",
        "--similarity",
        "0",
    )
    kept = run(*ADD, *flags, text="n\nn\n")
    assert kept.exit_code == 0
    assert told(store) == [("p1", "p2", 1, "manual", "ann")]
    assert run(*ADD, *flags, text="y\nn\n").stdout == "0 added, 1 replaced, 0 there already\n"
    assert told(store) == [("p1", "p2", -1, "manual", "ann")]


def test_answers_that_end_keep_the_pairs_before(run, store):
    result = run(*ADD, "--interactive", text="p1\np2\n1\n\n\n\n\ny\np3\n")
    assert result.exit_code == 1
    assert "Aborted" in result.stderr
    assert len(told(store)) == 1


def test_a_candidates_metrics_come_from_the_ranker(run, store, listing):
    result = run(
        "pairs",
        "add",
        "--item-type",
        "gpu_candidate",
        "--item-a",
        f"{listing}::{RIGHT}",
        "--item-b",
        f"{listing}::{OTHER}",
        "--label",
        "1",
    )
    assert result.exit_code == 0
    [found] = pairs_of(store)
    assert tuple(found.a.metrics) == CANDIDATE_FEATURES
    assert (found.a.metrics["memory_fit"], found.b.metrics["memory_fit"]) == (1.0, -1.0)
    assert found.a.embedding_id == f"index:{RIGHT}"
    assert -1 <= found.similarity < 1


def test_all_faults_of_a_pair_of_candidates_are_reported_at_once(run, store, listing):
    result = run(
        "pairs",
        "add",
        "--item-type",
        "gpu_candidate",
        "--item-a",
        "L2::gone-8gb",
        "--item-b",
        f"L2::{OTHER}",
        "--label",
        "1",
    )
    assert result.exit_code == 1
    assert "listing 'L2' is not in the store" in result.stderr
    assert "no GPU of the registry has the gpu_id 'gone-8gb'" in result.stderr


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (f"L2::{RIGHT}", f"L2::{OTHER}", "listing 'L2' is not in the store: import it with"),
        (
            f"L::1::{RIGHT}",
            "L::1::no-such-gpu",
            "no GPU of the registry has the gpu_id 'no-such-gpu': `rerank search` shows gpu_ids",
        ),
        ("nothing", f"L::1::{OTHER}", "expected a gpu_candidate as LISTING_ID::GPU_ID"),
        (f"L::1::{RIGHT}", f"L2::{OTHER}", "expected two candidates of one listing"),
    ],
)
def test_a_candidate_without_features_is_one_clear_error(run, store, listing, a, b, message):
    result = run(
        "pairs", "add", "--item-type", "gpu_candidate", "--item-a", a, "--item-b", b, "--label", "1"
    )
    assert result.exit_code == 1
    assert message in result.stderr
    assert ("import" in result.stderr) == ("not in the store" in message)
    assert pairs_of(store) == []


def test_a_choice_makes_a_pair_for_each_item_not_taken(run, store):
    result = run(
        "pairs",
        "capture",
        "--source",
        "user_choice",
        "--item-type",
        "headline",
        "--chosen",
        "h2",
        "--over",
        "h1",
        "--over",
        "h3",
        "--over",
        "h1",
        "--reason-tags",
        "clarity",
        "--metrics",
        "h2",
        "clarity=0.9",
        "--annotator",
        "ann",
    )
    assert (result.exit_code, result.stdout) == (0, "2 added, 0 replaced, 0 there already\n")
    assert told(store) == [
        ("h2", "h1", 1, "user_choice", "ann"),
        ("h2", "h3", 1, "user_choice", "ann"),
    ]
    found = pairs_of(store)[0]
    assert (found.a.metrics, found.b.metrics) == ({"clarity": 0.9}, {})
    assert found.reason_tags == ("clarity",)


@pytest.mark.parametrize(("outcome", "label"), [("improved", 1), ("worsened", -1), ("same", 0)])
def test_a_change_is_labelled_by_its_direction(run, store, outcome, label):
    result = run(
        "pairs",
        "capture",
        "--source",
        "before_after",
        "--item-type",
        "headline",
        "--before",
        "h1",
        "--after",
        "h1-v2",
        f"--{outcome}",
        "--annotator",
        "ann",
    )
    assert result.exit_code == 0
    assert told(store) == [("h1-v2", "h1", label, "before_after", "ann")]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["user_choice", "--chosen", "a"], "--source user_choice: missing --over"),
        (["user_choice", "--chosen", "a", "--over", "b", "--same"], "does not take --improved"),
        (["before_after", "--before", "a", "--improved"], "missing --after"),
        (["before_after", "--before", "a", "--after", "b"], "missing --improved, --worsened"),
        (["before_after", "--chosen", "b"], "--source before_after: does not take --chosen"),
        (["user_choice", "--chosen", "a", "--over", "a"], "different items, got 'a' twice"),
        (
            ["user_choice", "--chosen", "a", "--over", "b", "--metrics", "c", "x=1"],
            "expected an item of this call, once each, got 'c'",
        ),
        (["user_choice", "--chosen", "a", "--over", "b", "--metrics", "a", "x"], "NAME=NUMBER"),
        (["bootstrap"], "'bootstrap' is not one of"),
    ],
)
def test_a_capture_that_lacks_something_is_a_usage_error(run, store, flags, message):
    result = run("pairs", "capture", "--item-type", "headline", "--source", *flags)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not store.path.exists()


def annotate(store, *annotations):
    with store.writing() as session:
        save_annotations(session, annotations)


def chose(
    annotator, gpu_id, listing_id="L::1", model="GeForce RTX 4060 Ti", shown=(OTHER, RIGHT, SIBLING)
):
    return Annotation(listing_id, annotator, Verdict.MATCH, gpu_id, model, shown)


def test_annotations_become_pairs_once(run, store, listing):
    annotate(
        store,
        chose("ann", RIGHT),
        chose("bob", None),
        chose("cid", RIGHT, "L2"),
        chose("dee", RIGHT, shown=()),
    )
    result = run("pairs", "from-annotations")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "3 added, 0 replaced, 0 there already, 0 removed",
        "left out: 2 pairs whose listing is not in the store",
        "left out: 1 matches without shown candidates",
    ]
    assert sorted(told(store)) == sorted(
        [
            (f"L::1::{RIGHT}", f"L::1::{OTHER}", 1, "annotation", "ann"),
            (f"L::1::{RIGHT}", f"L::1::{SIBLING}", 1, "annotation", "ann"),
            (f"L::1::{RIGHT}", f"L::1::{OTHER}", 1, "annotation", "bob"),
        ]
    )
    before = pairs_of(store)
    assert run("pairs", "from-annotations").stdout.startswith("0 added, 0 replaced, 3 there")
    assert pairs_of(store) == before


def test_an_answer_found_by_search_is_above_what_retrieval_proposed(run, store, listing):
    searched = "arc-a770-16gb-gddr6"
    annotate(store, chose("ann", searched, model="Arc A770"))
    result = run("pairs", "from-annotations")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "3 added, 0 replaced, 0 there already, 0 removed",
        "not retrieved: 3 new pairs with a GPU that the listing does not retrieve",
    ]
    pairs = pairs_of(store)
    assert {(p.a.reference_id, p.b.reference_id, p.label) for p in pairs} == {
        (f"L::1::{searched}", f"L::1::{other}", 1) for other in (OTHER, RIGHT, SIBLING)
    }
    found = pairs[0].a
    assert tuple(found.metrics) == CANDIDATE_FEATURES
    assert (found.metrics["memory_fit"], found.embedding_id) == (1.0, f"index:{searched}")
    assert all(p.similarity is not None and p.similarity < 1 for p in pairs)
    assert run("pairs", "from-annotations").stdout.startswith("0 added, 0 replaced, 3 there")


def test_an_answer_with_a_gpu_that_the_registry_lacks_is_said_to_be_left_out(run, store, listing):
    annotate(store, chose("ann", "gone-8gb", model="Gone"))
    assert run("pairs", "from-annotations").stdout.splitlines() == [
        "0 added, 0 replaced, 0 there already, 0 removed",
        "left out: 1 matches with a GPU that the registry lacks",
    ]


def test_pairs_follow_an_answer_that_was_changed(run, store, listing):
    annotate(store, chose("ann", RIGHT))
    run("pairs", "from-annotations")
    annotate(store, chose("ann", SIBLING))
    result = run("pairs", "from-annotations")
    assert result.stdout == "1 added, 1 replaced, 0 there already, 1 removed\n"
    preferred = {(p.a.reference_id, p.b.reference_id) for p in pairs_of(store)}
    assert preferred == {
        (f"L::1::{SIBLING}", f"L::1::{OTHER}"),
        (f"L::1::{SIBLING}", f"L::1::{RIGHT}"),
    }


def test_a_pair_stated_by_hand_is_not_overruled_by_an_annotation(run, store, listing):
    run(
        "pairs",
        "add",
        "--item-type",
        "gpu_candidate",
        "--item-a",
        f"L::1::{OTHER}",
        "--item-b",
        f"L::1::{RIGHT}",
        "--label",
        "1",
        "--annotator",
        "ann",
    )
    annotate(store, chose("ann", RIGHT))
    result = run("pairs", "from-annotations")
    assert result.exit_code == 1
    assert "stated before by 'ann' (manual)" in result.stderr
    assert len(told(store)) == 1
    assert run("pairs", "from-annotations", "--replace").stdout.startswith("1 added, 1 replaced")


@pytest.mark.smoke
def test_two_hundred_bootstrap_pairs_are_balanced_and_exported(run, store, tmp_path):
    assert run("pairs", "bootstrap", "--n-pairs", "200", "--seed", "5").stdout.startswith(
        "200 added"
    )
    assert run("pairs", "bootstrap", "--n-pairs", "200", "--seed", "5").stdout == (
        "0 added, 0 replaced, 200 there already\n"
    )
    pairs = pairs_of(store)
    assert Counter(p.label for p in pairs) == {1: 67, -1: 67, 0: 66}
    assert all(p.similarity is not None for p in pairs)
    result = run("pairs", "export", "--out", tmp_path / "out", "--embeddings")
    assert result.stdout == f"200 pairs of 400 items in {tmp_path / 'out'}\n"
    metadata = json.loads((tmp_path / "out/metadata.json").read_text(encoding="utf-8"))
    assert metadata["bootstrap_seeds"] == [5]
    assert metadata["embedding_dim"] == 256
    assert metadata["feature_names"] == list(CANDIDATE_FEATURES)
    line = json.loads((tmp_path / "out/dataset.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert len(line["item_a"]["embedding"]) == 256


def test_bootstrap_says_if_a_pair_was_changed_by_hand(run, home, store):
    add_bootstrap_pairs(Workspace(home), 3, seed=1, wait_s=0, overwrite=False)
    with store.writing() as session:
        session.execute("test", "UPDATE preference_pairs SET label = -label")
    result = run("pairs", "bootstrap", "--n-pairs", "3", "--seed", "1")
    assert result.exit_code == 1
    assert "stated before (bootstrap)" in result.stderr


def filled(run):
    run(
        *ADD,
        "--item-a",
        "p1",
        "--item-b",
        "p2",
        "--label",
        "1",
        "--reason-tags",
        "a,b",
        "--similarity",
        "0.85",
        "--metrics-a",
        "clarity=0.1",
        "--embedding-id-b",
        "e2",
    )
    run("pairs", "add", "--item-type", "skill", "--item-a", "s", "--item-b", "t", "--label", "-1")


def test_exported_lines_have_exactly_the_documented_fields(run, tmp_path):
    filled(run)
    result = run("pairs", "export", "--out", tmp_path / "data" / "ranker")
    assert result.exit_code == 0
    folder = tmp_path / "data" / "ranker"
    assert sorted(path.name for path in folder.iterdir()) == ["dataset.jsonl", "metadata.json"]
    lines = (folder / "dataset.jsonl").read_text(encoding="utf-8").splitlines()
    first, second = map(json.loads, lines)
    assert list(first) == ["item_a", "item_b", "label", "reason_tags", "similarity"]
    assert (first["label"], first["reason_tags"], first["similarity"]) == (1, ["a", "b"], 0.85)
    assert list(first["item_a"]) == [
        "id",
        "item_type",
        "item_reference_id",
        "metrics",
        "created_at",
    ]
    assert first["item_b"]["embedding_id"] == "e2"
    assert first["item_a"]["metrics"] == {"clarity": 0.1}
    assert first["item_a"]["item_type"] == "project"
    assert first["item_a"]["item_reference_id"] == "p1"
    assert first["item_a"]["id"] != first["item_b"]["id"]
    assert first["item_a"]["created_at"].endswith("Z")
    age = datetime.now(UTC) - datetime.fromisoformat(first["item_a"]["created_at"])
    assert timedelta(0) <= age < timedelta(minutes=10)
    assert (second["label"], second["reason_tags"], second["similarity"]) == (-1, [], None)


def test_metadata_counts_what_was_exported(run, tmp_path):
    filled(run)
    run("pairs", "export", "--out", tmp_path / "out")
    metadata = json.loads((tmp_path / "out/metadata.json").read_text(encoding="utf-8"))
    created = metadata.pop("created_at")
    assert created.endswith("Z")
    assert datetime.fromisoformat(created).utcoffset() == timedelta(0)
    assert metadata == {
        "format_version": 1,
        "pairs": 2,
        "items": 4,
        "feature_names": ["clarity"],
        "embedding_dim": None,
        "labels": {"-1": 1, "0": 0, "1": 1},
        "sources": {"manual": 2},
        "item_types": {"project": 1, "skill": 1},
        "reason_tags": {"a": 1, "b": 1},
        "bootstrap_seeds": [],
    }


def test_statistics_alone_write_nothing(run, tmp_path):
    filled(run)
    result = run("pairs", "export", "--stats", "--item-type", "skill", "--out", tmp_path / "out")
    assert json.loads(result.stdout)["item_types"] == {"skill": 1}
    assert not (tmp_path / "out").exists()
    assert run("pairs", "export").exit_code == 2


def test_one_item_type_can_be_exported_and_an_export_repeated_is_the_same(run, tmp_path):
    filled(run)
    out = tmp_path / "out"
    assert run("pairs", "export", "--out", out, "--item-type", "skill").exit_code == 0
    before = (out / "dataset.jsonl").read_bytes()
    assert before.count(b"\n") == 1
    refused = run("pairs", "export", "--out", out, "--item-type", "skill")
    assert refused.exit_code == 1
    assert "holds an export already; replace it with --overwrite" in refused.stderr
    assert (
        run("pairs", "export", "--out", out, "--item-type", "skill", "--overwrite").exit_code == 0
    )
    assert (out / "dataset.jsonl").read_bytes() == before


def test_a_folder_with_anything_else_is_never_replaced(run, tmp_path):
    filled(run)
    kept = tmp_path / "out" / "thesis.txt"
    kept.parent.mkdir()
    kept.write_text("years of work")
    result = run("pairs", "export", "--out", kept.parent, "--overwrite")
    assert result.exit_code == 1
    assert "found 'thesis.txt' in it" in result.stderr
    assert kept.read_text() == "years of work"


def test_nothing_to_export_is_one_clear_error(run, tmp_path):
    result = run("pairs", "export", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "expected pairs to export, found none" in result.stderr
    assert not (tmp_path / "out").exists()


def test_statistics_are_shown_as_a_table_and_as_json(run):
    filled(run)
    run(*ADD, "--item-a", "p2", "--item-b", "p1", "--label", "1", "--annotator", "bob")
    counts = json.loads(run("pairs", "stats", "--format", "json").stdout)
    assert counts["pairs"] == 3
    assert counts["item_types"] == {"project": 2, "skill": 1}
    assert (counts["items"], counts["referenced"], counts["conflicts"]) == (4, 1, 1)
    table = run("pairs", "stats").stdout
    assert "item type   project" in table
    assert max(map(len, table.splitlines())) <= 80


def test_odd_text_on_the_way_out_is_exact(run, tmp_path):
    odd = "日本 \" \\ \u2028 '; DROP TABLE x; -- ../.."
    run("pairs", "add", "--item-type", odd, "--item-a", odd, "--item-b", odd + "2", "--label", "0")
    assert run("pairs", "export", "--out", tmp_path / "out").exit_code == 0
    text = (tmp_path / "out/dataset.jsonl").read_text(encoding="utf-8")
    assert json.loads(text)["item_a"]["item_reference_id"] == odd
    assert max(map(len, run("pairs", "stats").stdout.splitlines())) <= 80
