"""`--candidate-set` of `rerank resolve` and `rerank score`, and candidate sets for older models."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from rerank.answer_columns import OUTPUT_SCHEMA
from rerank.calibration import NO_MATCH
from rerank.evaluation.gold import bootstrap_gold, covered
from rerank.index.artifacts import write_manifest
from rerank.index.records import Listing, shipped
from rerank.jobs.scoring.answering import renamed_columns
from rerank.jobs.tables import resolution_text
from rerank.lifecycle.versions import CARD, Pointer, VersionRef, replace_pointer
from rerank.workspace import Workspace

# Held for review: two cards are named, one may be sold.
UNSURE = "MSI Gaming X GTX 1060 / 1070 untested"
ROWS = [
    {"listing_id": "a", "title": "gigabyte RTX5070Ti windforce sff 16g"},
    {"listing_id": "b", "title": ""},
    {"listing_id": "c", "title": UNSURE},
]


def older_model(home):
    """Let a copy of the shipped model serve in a workspace, without candidate sets."""
    draft = home / "models" / "ltr" / "draft"
    shutil.copytree(shipped("model"), draft, ignore=shutil.ignore_patterns(CARD))
    (draft / "candidate_sets.json").unlink()
    manifest = json.loads((draft / "manifest.json").read_text())
    del manifest["files"]["candidate_sets.json"]
    del manifest["parameters"]["candidate_sets"]
    write_manifest(
        draft,
        kind="ranker",
        format_version=1,
        parameters=manifest["parameters"],
        libraries=("lightgbm", "onnxmltools", "onnxruntime", "numpy"),
    )
    version = json.loads((draft / "manifest.json").read_text())["fingerprint"]
    folder = draft.rename(draft.with_name(version))
    champion = VersionRef("ltr", version)
    replace_pointer(Workspace(home).pointer_path, Pointer(champion=champion))
    return folder


# --- resolve ---


def test_resolve_shows_the_set_at_a_coverage(run, shipped_resolver):
    result = run("resolve", UNSURE, "--candidate-set", 0.95)
    assert result.exit_code == 0
    (line,) = [line for line in result.output.splitlines() if "candidate set" in line]
    (answer,) = shipped_resolver.resolve_many([Listing("", UNSURE)])
    found = shipped_resolver.candidate_set(answer, coverage=0.95)
    assert answer.decision == "review"
    assert set(found) == {"GeForce GTX 1060", NO_MATCH}
    assert line == f"  candidate set  {{{', '.join(found)}}}"


def test_json_has_the_set_after_the_contract(run, shipped_resolver):
    plain = json.loads(run("resolve", UNSURE, "--format", "json").stdout)
    result = run("resolve", UNSURE, "--format", "json", "--candidate-set", 0.99, "--explain")
    row = json.loads(result.stdout)
    assert list(row) == [*plain, "candidate_set", "explanation"]
    answer = shipped_resolver.resolve(Listing("", UNSURE))
    assert row["candidate_set"] == list(shipped_resolver.candidate_set(answer, coverage=0.99))
    assert {name: row[name] for name in plain} == plain


def test_without_the_option_nothing_is_said_of_sets(run):
    plain, asked = run("resolve", UNSURE), run("resolve", UNSURE, "--candidate-set", 0.9)
    lines = asked.output.splitlines()
    (at,) = [at for at, line in enumerate(lines) if "candidate set" in line]
    assert [*lines[:at], *lines[at + 1 :]] == plain.output.splitlines()


def test_a_title_that_says_nothing_sells_none(run):
    result = run("resolve", "-", "--format", "json", "--candidate-set", 0.95, text="\n\n")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["candidate_set"] for row in rows] == [[NO_MATCH], [NO_MATCH]]


def test_a_large_set_is_wrapped_at_80_columns(shipped_resolver):
    answer = shipped_resolver.resolve(Listing("", UNSURE))
    models = [f"GeForce RTX 40{number} SUPER" for number in range(60, 70)]
    text = resolution_text("title", answer, models)
    assert max(map(len, text.splitlines())) <= 80
    start = text.index("candidate set  {") + len("candidate set  ")
    shown = " ".join(text[start : text.index("}") + 1].split())
    assert shown == "{" + ", ".join(models) + "}"


@pytest.mark.parametrize(
    ("coverage", "said"), [(0, "0<x<1"), (1, "0<x<1"), ("most", "valid float")]
)
def test_a_coverage_outside_0_and_1_is_a_wrong_call(run, coverage, said):
    result = run("resolve", UNSURE, "--candidate-set", coverage)
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize("command", ["resolve", "score"])
def test_a_coverage_out_of_reach_is_one_error(command, run, write_listings, tmp_path):
    target = tmp_path / "out.parquet"
    places = [UNSURE] if command == "resolve" else [write_listings("in.csv", ROWS), target]
    result = run(command, *places, "--candidate-set", 0.9999)
    assert result.exit_code == 1
    assert "Error: coverage 0.9999 is out of reach: the highest" in result.stderr
    assert result.stdout == ""
    assert not target.exists()


# --- however many candidates are shown ---


@pytest.mark.parametrize("top_k", [1, 3, 20, 60])
def test_the_number_shown_does_not_change_the_set(top_k, shipped_resolver):
    listings = [Listing(row["listing_id"], row["title"]) for row in ROWS]
    whole = shipped_resolver.resolve_many(listings)
    expected = [list(shipped_resolver.candidate_set(each, coverage=0.99)) for each in whole]
    table = shipped_resolver.resolve_table(listings, coverage=0.99, top_k=top_k)
    assert table.column("candidate_set").to_pylist() == expected
    assert table.drop_columns("candidate_set").equals(
        shipped_resolver.resolve_table(listings, top_k=top_k)
    )


# --- score ---


def test_score_adds_a_column_after_the_contract(run, write_listings, tmp_path, shipped_resolver):
    source = write_listings("in.parquet", ROWS)
    result = run("score", source, tmp_path / "sets.parquet", "--candidate-set", 0.95)
    assert result.exit_code == 0, result.output
    table = pq.read_table(tmp_path / "sets.parquet")
    assert table.column_names == ["listing_id", "title", *OUTPUT_SCHEMA.names, "candidate_set"]
    assert table.schema.field("candidate_set").metadata[b"coverage"] == b"0.95"
    first, empty, unsure = table.column("candidate_set").to_pylist()
    assert (first, empty) == (["GeForce RTX 5070 Ti"], [NO_MATCH])
    assert set(unsure) == {"GeForce GTX 1060", NO_MATCH}
    assert run("score", source, tmp_path / "plain.parquet").exit_code == 0
    plain = pq.read_table(tmp_path / "plain.parquet")
    assert table.drop_columns("candidate_set").to_pylist() == plain.to_pylist()


def test_an_input_column_gives_way_only_where_sets_are_asked_for(run, write_listings, tmp_path):
    rows = [{"listing_id": "a", "title": "rtx 3080 10gb", "candidate_set": "mine"}]
    source = write_listings("in.csv", rows)
    asked = run("score", source, tmp_path / "a.parquet", "--candidate-set", 0.95)
    assert "your column 'candidate_set' is kept as 'input_candidate_set'" in asked.stderr
    (row,) = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert (row["input_candidate_set"], row["candidate_set"]) == ("mine", ["GeForce RTX 3080"])
    plain = run("score", source, tmp_path / "b.parquet")
    assert "Warning" not in plain.stderr
    (row,) = pq.read_table(tmp_path / "b.parquet").to_pylist()
    assert row["candidate_set"] == "mine"
    assert renamed_columns(["candidate_set"]) == {}


# --- models trained before there were candidate sets ---


def test_an_older_model_answers_and_says_what_to_do_for_sets(run, home):
    older_model(home)
    plain = json.loads(run("resolve", UNSURE, "--format", "json").stdout)
    assert plain["decision"] == "review"
    result = run("resolve", UNSURE, "--candidate-set", 0.95)
    assert result.exit_code == 1
    assert "has no candidate sets: it was trained before there were any" in result.stderr
    assert "train again with `rerank train-ltr`" in result.stderr


def test_what_ships_reaches_its_coverage_on_unseen_models(shipped_resolver):
    """1,500 generated listings of models that nothing was trained or calibrated on."""
    gold = bootstrap_gold(shipped_resolver.table.records, 1500, 20)
    answers = shipped_resolver.resolve_many([item.listing for item in gold])
    sizes = {}
    for level in (0.9, 0.95, 0.99):
        sets = [shipped_resolver.candidate_set(answer, coverage=level) for answer in answers]
        held = np.mean([covered(found, item) for found, item in zip(sets, gold, strict=True)])
        assert held >= level - 3 * np.sqrt(level * (1 - level) / len(gold))
        sizes[level] = np.mean([len(found) for found in sets])
    assert 1 <= sizes[0.9] <= sizes[0.95] <= sizes[0.99]
    assert sizes[0.95] < 1.2
