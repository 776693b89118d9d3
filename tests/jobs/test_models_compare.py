"""`rerank models compare`: the shipped model beside itself with another threshold."""

from __future__ import annotations

import csv
import json
import shutil

import pyarrow.parquet as pq
import pytest

from rerank.evaluation.gold import Split, split_of
from rerank.index.artifacts import MANIFEST, write_manifest
from rerank.index.records import shipped
from rerank.lifecycle.canary import arm_of
from rerank.lifecycle.versions import CARD, VersionRef
from rerank.packs.gpu.training.labelling import words_of
from rerank.workspace import Workspace

TITLES = [
    "Palit RTX 4080 SUPER JetStream 16GB",
    "Sapphire Pulse RX 6600 8G",
    "backplate for RTX 3080",
    "wooden chair",
    "Gainward RTX 3060 Ti Ghost",
    "PNY Quadro P2000 5GB",
    "Zotac GTX 1660 SUPER",
]
GOLD_MODELS = [
    "GeForce RTX 4080 SUPER",
    "Radeon RX 6600",
    "",
    "",
    "GeForce RTX 3060 Ti",
    "Quadro P2000",
    "GeForce GTX 1660 SUPER",
]


@pytest.fixture
def listings(write_listings):
    rows = [{"listing_id": f"l{at}", "title": title} for at, title in enumerate(TITLES)]
    return write_listings("feed.csv", rows)


@pytest.fixture
def gold(write_listings):
    rows = [
        {
            "listing_id": f"l{at}",
            "title": title,
            "vendor": "",
            "kind": "match" if model else "nil",
            "gold_models": model,
            "gold_memory_gb": "",
            "gold_form": "",
        }
        for at, (title, model) in enumerate(zip(TITLES, GOLD_MODELS, strict=True))
    ]
    return write_listings("truth.csv", rows)


@pytest.fixture
def wary(home) -> str:
    """The version of a model that accepts nothing, and says that annotations taught it."""
    draft = home / "draft"
    shutil.copytree(shipped("model"), draft, ignore=shutil.ignore_patterns(CARD))
    parameters = json.loads((draft / MANIFEST).read_text(encoding="utf-8"))["parameters"]
    parameters["thresholds"]["match"] = 1.01
    parameters["annotations"] = {"listings": 3}
    (draft / MANIFEST).unlink()
    made = write_manifest(draft, kind="ranker", format_version=1, parameters=parameters)
    folder = Workspace(home).version_folder(VersionRef("ltr", made.fingerprint))
    folder.parent.mkdir(parents=True)
    draft.rename(folder)
    return made.fingerprint


def test_a_version_agrees_with_itself(run, listings):
    found = run(
        "models", "compare", "champion", "champion", "--listings", listings, "--format", "json"
    )
    assert found.exit_code == 0, found.output
    report = json.loads(found.stdout)
    assert (report["listings"], report["changed"], report["judged"]) == (7, 0, 0)
    for figure in report["agreement"].values():
        assert figure == {"value": 1.0, "ci95": [0.6457, 1.0], "n": 7}
    assert sum(map(sum, report["decisions"])) == 7


def test_changed_decisions_are_shown_and_written(run, listings, wary, tmp_path):
    out = tmp_path / "changed.parquet"
    found = run(
        "models",
        "compare",
        "champion",
        wary[:6],
        "--listings",
        listings,
        "--out",
        out,
        "--show",
        2,
        "--salt",
        "autumn",
        "--share",
        0.5,
    )
    assert found.exit_code == 0, found.output
    lines = found.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[:2] == ["A  ltr shipped", f"B  ltr {wary}"]
    rows = pq.read_table(out).to_pylist()
    matches = [row["listing_id"] for row in rows]
    assert {row["a_decision"] for row in rows} == {"match"}
    assert {row["b_decision"] for row in rows} == {"review"}
    assert f"{len(rows)} listings come out otherwise: {len(rows)} by decision" in lines
    assert f"... and {len(rows) - 2} more" in lines
    probabilities = [row["a_match_probability"] for row in rows]
    assert probabilities == sorted(probabilities, reverse=True)
    assert all(row["a_gpu_id"] == row["b_gpu_id"] for row in rows)
    in_b = arm_of(matches, "autumn", 0.5).tolist()
    assert [row["arm"] == "b" for row in rows] == in_b
    assert "No listing of the file has a known truth. `rerank annotate` asks" in found.stdout


def test_changed_decisions_as_csv_have_no_arm_without_a_salt(run, listings, wary, tmp_path):
    out = tmp_path / "changed.csv"
    found = run("models", "compare", "champion", wary, "--listings", listings, "--out", out)
    assert found.exit_code == 0, found.output
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows
    assert "arm" not in rows[0]
    assert rows[0]["title"] in TITLES


def test_with_gold_metrics_are_paired_and_say_how_many_listings_would_tell(
    run, listings, gold, wary
):
    arguments = (
        "models",
        "compare",
        "champion",
        wary,
        "--listings",
        listings,
        "--gold",
        gold,
        "--samples",
        50,
    )
    report = json.loads(run(*arguments, "--format", "json").stdout)
    found = {each["metric"]: each for each in report["metrics"]}
    assert report["judged"] == 7
    assert found["precision_at_1"]["gain"]["difference"] == 0
    assert found["precision_at_1"]["listings_needed"] is None
    lost = found["accepted_share"]["only_a_right"]
    assert (found["accepted_share"]["only_b_right"], lost) == (0, report["changed"])
    assert found["accepted_share"]["gain"]["difference"] == pytest.approx(-lost / 5, abs=1e-4)
    text = run(*arguments).stdout
    assert max(map(len, text.splitlines())) <= 80
    assert f"share accepted: only B right 0, only A {lost} of 5: " in text
    assert "precision@1: only B right 0, only A 0 of 5: no difference to find" in text


def test_listings_that_taught_a_version_are_said_to_have(run, listings, gold, wary):
    kept_out = sum(split_of(model) is Split.TEST for model in GOLD_MODELS if model)
    kept_out += sum(split_of(words_of(TITLES[at])) is Split.TEST for at in (2, 3))
    answers = run("store", "import", "annotations", gold, "--annotator", "kim")
    assert answers.exit_code == 0, answers.output
    call = ("models", "compare", "champion", wary, "--listings", listings, "--samples", 20)
    report = json.loads(run(*call, "--format", "json").stdout)
    assert (report["judged"], report["taught"]) == (7, {"a": 0, "b": 7 - kept_out})
    text = run(*call, "--gold", gold).stdout
    told = f"B may have learnt from {7 - kept_out} of the 7 judged listings: there its figures show"
    assert told in " ".join(text.split())
    assert "A may have learnt" not in text


def test_wrong_calls_are_found_before_any_work(run, home, listings, write_listings, tmp_path):
    call = ("models", "compare", "champion", "champion", "--listings", listings)
    wrong = run(*call, "--out", "changed.txt")
    assert wrong.exit_code == 2
    assert "expected a name ending in .parquet, .csv or .jsonl" in wrong.stderr
    other = write_listings(
        "other.csv",
        [
            {
                "listing_id": "x",
                "title": "rtx",
                "vendor": "",
                "kind": "nil",
                "gold_models": "",
                "gold_memory_gb": "",
                "gold_form": "",
            },
        ],
    )
    strange = run(*call, "--gold", other)
    assert strange.exit_code == 1
    assert "found none with the same listing_id" in strange.stderr
    unknown = run("models", "compare", "champion", "0123456789", "--listings", listings)
    assert unknown.exit_code == 1
