"""`compare-rankers`: every ranker that serves, what it costs, and the section of the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rerank.jobs.evaluating import both, ranker_costs, trained_costs
from rerank.jobs.report.page import render_report
from rerank.jobs.tables import duration_text, rate_text, size_text
from rerank.rankers.kinds import RankerKind
from rerank.workspace import Workspace

QUICK = ("--bootstrap", 40, "--samples", 20)


@pytest.fixture
def gold(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str = "my_gold.csv", kind: str = "match") -> Path:
        path = tmp_path / name
        model = "GeForce RTX 3060" if kind == "match" else ""
        path.write_text(
            "listing_id,title,vendor,kind,gold_models,gold_memory_gb,gold_form\n"
            f"1,Zotac RTX 3060 Twin Edge 12GB,,{kind},{model},,\n"
        )
        return path

    return write


def test_without_trained_rankers_lambdarank_stands_beside_two_orders(run, home, gold):
    result = run("compare-rankers", *QUICK, "--gold", gold(), "--limit", 30)
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "hard_set: 30 of 360 listings, drawn with seed 20, " in result.stdout
    report = json.loads((home / "reports" / "rankers.json").read_text())
    assert [each["name"] for each in report["rankers"]] == ["heuristic", "cosine", "LambdaRank"]
    heuristic, _, own = report["rankers"]
    assert (heuristic["version"], heuristic["size_bytes"], heuristic["resolving"]) == (None,) * 3
    costs = ranker_costs(Workspace(home).active_model())
    assert own["size_bytes"] == costs.size_bytes > 10_000
    assert own["resolving"]["rate"]["median"] > 0
    sets = report["sets"]
    assert {name: (each["n"], each["of"]) for name, each in sets.items()} == {
        "hard_set": (30, 360),
        "bootstrap_test": (30, 40),
        "my_gold": (1, 1),
    }
    mine = sets["my_gold"]["rankers"]["LambdaRank"]["metrics"]
    assert mine["precision_at_1"]["value"] == 1.0
    assert "ece" not in sets["hard_set"]["rankers"]["cosine"]["metrics"]


def test_lambdarank_has_the_figures_that_evaluate_finds(run, home):
    assert run("compare-rankers", *QUICK).exit_code == 0
    compared = json.loads((home / "reports" / "rankers.json").read_text())
    evaluated = json.loads(run("evaluate", "--no-baselines", *QUICK, "--format", "json").stdout)
    for name, content in compared["sets"].items():
        found = content["rankers"]["LambdaRank"]["metrics"]
        expected = evaluated["sets"][name]["metrics"]
        assert found == {metric: expected[metric] for metric in found}
    assert evaluated["rankers"] == compared
    page = (home / "reports" / "reranker_report.html").read_text()
    assert "Rankers, measured together" in page
    assert "was not among them" not in page


def test_names_that_are_taken_and_empty_sets_are_told(run, gold, tmp_path, data_folder):
    result = run("compare-rankers", "--gold", gold("hard_set.csv"))
    assert result.exit_code == 1
    assert "hard_set is the name of a shipped set; rename the file" in result.stderr
    result = run("compare-rankers", *QUICK, "--also", f"LambdaRank={data_folder / 'model'}")
    assert result.exit_code == 1
    assert "'LambdaRank' is the name of a ranker already" in result.stderr
    result = run("compare-rankers", "--gold", gold("odd.csv", "ambiguous"), *QUICK)
    assert result.exit_code == 1
    assert "odd: expected listings of kind match or nil, found none" in result.stderr
    for wrong in ("folder", "=x", f"a={tmp_path / 'nowhere'}"):
        result = run("compare-rankers", "--also", wrong)
        assert result.exit_code == 2
        assert "expected NAME=FOLDER" in result.stderr


def test_a_further_model_is_measured_under_its_name(run, home, data_folder):
    result = run(
        "compare-rankers", *QUICK, "--also", f"twin={data_folder / 'model'}", "--format", "json"
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    own, twin = found["rankers"][-2:]
    assert (twin["name"], twin["version"]) == ("twin", own["version"])
    difference = found["sets"]["hard_set"]["rankers"]["twin"]["differences"]["precision_at_1"]
    assert (difference["difference"], difference["p_adjusted"]) == (0.0, 1.0)


def test_the_report_file_can_be_named(run, home, tmp_path):
    target = tmp_path / "out" / "rankers.json"
    assert run("compare-rankers", *QUICK, "--report", target).exit_code == 0
    assert target.is_file()
    assert not (home / "reports").exists()


def test_the_page_says_that_its_model_was_not_measured():
    ranker = {
        "name": "LambdaRank",
        "description": "ltr",
        "version": "0123",
        "size_bytes": 2_500_000,
        "training_seconds": 50.0,
        "ranking": {"rate": {"median": 12345.0}},
        "resolving": None,
    }
    figure = {"value": 0.5, "ci95": [0.4, 0.6], "n": 3}
    rankers: dict[str, Any] = {
        "seed": 20,
        "started_at": "2026-01-02T03:04:05Z",
        "rankers": [ranker],
        "sets": {
            "odd<set>": {
                "n": 3,
                "of": 9,
                "rankers": {"LambdaRank": {"metrics": {"ece": figure}, "differences": {}}},
            }
        },
    }
    page = render_report({"model_version": "4567", "rankers": rankers})
    assert "Model 4567, which this page is about, was not among them" in page
    assert "odd&lt;set&gt;: 3 listings of 9, drawn with seed 20" in page
    for words in ("2.5 MB", "50 s", "12,300", "Measured 2026-01-02 03:04:05 UTC"):
        assert words in page
    assert "was not among them" not in render_report({"model_version": "0123", "rankers": rankers})


@pytest.mark.parametrize(
    "rankers",
    [
        {},
        {"sets": 3},
        {"rankers": [{"ranking": {"rate": "x"}}]},
        {"sets": {"a": {"rankers": {"b": None}}}},
    ],
)
def test_odd_comparisons_do_not_break_the_page(rankers):
    assert "How to read it" in render_report({"model_version": "1", "rankers": rankers})


def test_sizes_times_and_rates_are_written_short():
    assert [size_text(n) for n in (None, 183_400, 91_434_576)] == ["-", "183 kB", "91.4 MB"]
    assert [duration_text(s) for s in (None, 52.3, 750)] == ["-", "52 s", "12.5 min"]
    rates = [None, *({"rate": {"median": rate}} for rate in (5.432, 45.67, 13044.0))]
    assert [rate_text(rate) for rate in rates] == ["-", "5.43", "45.7", "13,000"]
    assert (both(1.0, 2.5), both(None, 2.0), both(1.0, None)) == (3.5, None, None)


def test_the_cascade_costs_what_both_of_its_rankers_do(run, home, tmp_path, tiny_bert):
    packs = [
        {
            "query_text": f"rtx {at}",
            "positives": [{"doc_id": "p", "text": f"geforce rtx {at}"}],
            "negatives": [{"doc_id": "n", "text": "radeon rx 580"}],
            "source_chunk": "c",
            "meta": {},
        }
        for at in range(20)
    ]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(pack) + "\n" for pack in packs))
    config = tmp_path / "config.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "model": {"name": str(tiny_bert)},
                "data": {"train": str(tmp_path / "train.jsonl")},
                "lengths": {"pair": 24, "query": 12},
                "lora": {"r": 2},
                "steps": {"epochs": 1, "batch_queries": 6},
            }
        )
    )
    assert run("train-cross-encoder", "--config", config).exit_code == 0
    trained = trained_costs(Workspace(home).trained_ranker(RankerKind.CROSS_ENCODER))
    assert trained.variant == "LoRA"
    assert trained.training_seconds is not None
    result = run("compare-rankers", *QUICK, "--limit", 20, "--format", "json")
    assert result.exit_code == 0, result.output
    own, cascade = json.loads(result.stdout)["rankers"][-2:]
    assert (cascade["name"], cascade["version"].partition("+")[0]) == ("cascade", own["version"])
    assert cascade["size_bytes"] == own["size_bytes"] + trained.size_bytes
    assert cascade["training_seconds"] == both(own["training_seconds"], trained.training_seconds)
    assert json.loads(run("status", "--format", "json").stdout)["cascade"] is not None
    tried = json.loads(run("smoke", "--format", "json").stdout)
    assert ("--cascade", True) in {(row["piece"], row["works"]) for row in tried}


@pytest.mark.slow
def test_trained_rankers_tell_what_they_cost_and_are_named_by_status_and_smoke(run, home, tmp_path):
    assert run("pairs", "bootstrap", "--n-pairs", 150).exit_code == 0
    assert run("pairs", "export", "--out", tmp_path / "pairs").exit_code == 0
    data = tmp_path / "pairs" / "dataset.jsonl"
    assert run("train-pairwise", "--input", data, "--epochs", 4, "--hidden-dim", 8).exit_code == 0
    assert run("train-decision", "pairwise", "--scale", 0.03).exit_code == 0
    result = run("compare-rankers", *QUICK, "--format", "json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    pairwise = found["rankers"][-1]
    folder = Workspace(home).trained_ranker(RankerKind.PAIRWISE).folder
    metadata = json.loads((folder / "pairwise_ranker_metadata.json").read_text())
    assert pairwise["name"] == "pairwise"
    assert pairwise["training_seconds"] > metadata["training_time"]
    scorer = folder / "pairwise_ranker_scorer.onnx"
    assert pairwise["size_bytes"] > scorer.stat().st_size
    own = found["sets"]["hard_set"]["rankers"]["pairwise"]
    evaluated = json.loads(
        run("evaluate", "--no-baselines", *QUICK, "--ranker", "pairwise", "--format", "json").stdout
    )
    expected = evaluated["sets"]["hard_set"]["metrics"]
    assert own["metrics"] == {metric: expected[metric] for metric in own["metrics"]}
    assert {"precision_at_1", "ndcg_at_10", "ece"} == set(own["differences"])

    status = json.loads(run("status", "--format", "json").stdout)
    assert status["served"] == {"pairwise": pairwise["version"]}
    assert status["cascade"] is None
    assert f"--ranker pairwise  version {pairwise['version']}" in run("status").stdout
    tried = {row["piece"]: row for row in json.loads(run("smoke", "--format", "json").stdout)}
    assert tried["--ranker pairwise"]["works"]
    assert "P(model)" in tried["--ranker pairwise"]["said"]
