"""`rerank ablate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rerank.jobs.evaluating import ablation_text, read_gold_files
from rerank.store.database import Store

HEADER = "listing_id,title,vendor,kind,gold_models,gold_memory_gb,gold_form\n"
ROWS = [
    "1,Asus Dual RTX 4060 Ti 16GB white,,match,GeForce RTX 4060 Ti,16,",
    "2,XFX Speedster RX 6600 8G,,match,Radeon RX 6600,8,",
    "3,gigabyte arc a770 16gb,,match,Arc A770,16,",
    "4,bracket for an RTX 3080,,nil,,,",
]


def write_gold(folder: Path, rows: list[str], name: str = "mine.csv") -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(HEADER + "\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.mark.slow
def test_ablates_and_writes_what_it_found(run, home, tmp_path):
    path = write_gold(tmp_path, ROWS)
    result = run("ablate", "--gold", path, "--scale", 0.01)
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "mine: 3 listings that sell a GPU" in result.stdout
    assert "fuzzy names only" in result.stdout
    assert "training: + LambdaRank ..." in result.stderr
    assert "reranker_ablation.json" in result.stderr
    report = json.loads((home / "reports" / "reranker_ablation.json").read_text(encoding="utf-8"))
    assert sorted(report) == [
        "index_version",
        "machine",
        "model_version",
        "run_id",
        "scale",
        "seed",
        "sets",
    ]
    assert (report["scale"], report["seed"], report["sets"]["mine"]["n"]) == (0.01, 7, 3)
    assert len(report["sets"]["mine"]["steps"]) == 17
    kept = sorted(file.name for file in home.iterdir())
    assert kept == ["reports", "store.duckdb", "store.duckdb.lock"]  # no model
    with Store(home / "store.duckdb").reading() as session:
        stored = dict(
            session.rows(
                "figures",
                "SELECT system, value FROM evaluation_figures WHERE run_id = ? AND metric = 'mrr'",
                [report["run_id"]],
            )
        )
        compared = session.rows("n", "SELECT DISTINCT baseline, n FROM evaluation_comparisons")
    steps = report["sets"]["mine"]["steps"]
    assert stored == {step["name"]: step["metrics"]["mrr"]["value"] for step in steps}
    assert len(compared) == 1
    assert compared[0][1] == 3


@pytest.mark.slow
def test_writes_json_where_it_is_told_to(run, home, tmp_path):
    out = tmp_path / "new" / "found.json"
    path = write_gold(tmp_path, ROWS)
    result = run("ablate", "--gold", path, "--scale", 0.01, "--format", "json", "--out", out)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads(out.read_text(encoding="utf-8"))
    assert not (home / "reports").exists()


def test_a_gold_file_without_a_match_is_one_clear_error(run, home, tmp_path):
    result = run("ablate", "--gold", write_gold(tmp_path, ROWS[3:]), "--scale", 0.01)
    assert result.exit_code == 1
    assert "mine: expected listings of kind match, found none among 1" in result.stderr
    assert not home.exists()


def test_gold_files_of_one_name_are_refused(run, tmp_path):
    first = write_gold(tmp_path / "a", ROWS)
    second = write_gold(tmp_path / "b", ROWS)
    result = run("ablate", "--gold", first, "--gold", second)
    assert result.exit_code == 1
    assert "expected different names, found mine.csv, mine.csv; rename one" in result.stderr
    assert list(read_gold_files([first])) == ["mine"]
    assert read_gold_files([]) == {}


@pytest.mark.parametrize("arguments", [("--scale", 0), ("--seed", -1), ("--gold", "absent.csv")])
def test_impossible_options_are_usage_errors(run, arguments):
    assert run("ablate", *arguments).exit_code == 2


def test_help_shows_an_example(run):
    result = run("ablate", "--help")
    assert "rerank ablate --gold my_gold.csv" in result.output


def step(label: str, value: float, p_adjusted: float | None = None) -> dict[str, Any]:
    figure = {"value": value, "ci95": [value - 0.1, value + 0.1], "n": 10}
    change = {"value": value - 0.9, "ci95": [0, 0], "p_value": 0.01, "p_adjusted": p_adjusted}
    return {
        "name": label,
        "label": label,
        "group": "ladder",
        "features": [],
        "metrics": dict.fromkeys(["precision_at_1", "mrr", "ndcg_at_10", "recall_at_3"], figure),
        "difference": {} if p_adjusted is None else {"precision_at_1": change},
    }


def test_the_table_marks_what_chance_does_not_explain():
    steps = [step("some", 0.5, 0.04), step("less", 0.7, 0.05), step("all", 0.9)]
    text = ablation_text({"sets": {"mine": {"n": 10, "steps": steps}}})
    lines = [line.split() for line in text.splitlines()]
    assert ["some", "0.500", "0.400-0.600", "0.500", "0.500", "-0.400*"] in lines
    assert ["less", "0.700", "0.600-0.800", "0.700", "0.700", "-0.200"] in lines
    assert ["all", "0.900", "0.800-1.000", "0.900", "0.900"] in lines
