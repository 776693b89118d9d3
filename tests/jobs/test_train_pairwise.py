"""`train-pairwise`, `status` and `smoke`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from rerank.jobs.training import index_vectors
from rerank.rankers.pairwise import PairwiseRanker
from rerank.workspace import Workspace


def sections(n_pairs: int = 60) -> list[dict]:
    """Return pairs of profile sections of which the clearer one is better."""
    rng, rows = np.random.default_rng(4), []
    for at in range(n_pairs):
        a, b = (
            {
                "item_type": "profile_section",
                "item_reference_id": f"{side}{at}",
                "metrics": {"clarity": round(float(rng.random()), 3), "tone": 1.0},
            }
            for side in "ab"
        )
        label = 1 if a["metrics"]["clarity"] > b["metrics"]["clarity"] else -1
        rows.append({"item_a": a, "item_b": b, "label": label, "reason_tags": []})
    return rows


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    path = tmp_path / "dataset.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in sections()), encoding="utf-8")
    return path


def quick(*more: object) -> tuple[object, ...]:
    return ("--epochs", 15, "--hidden-dim", 16, "--learning-rate", 0.01, *more)


def test_a_ranker_is_trained_into_the_workspace_and_serves(run, home, dataset):
    dataset.write_text(dataset.read_text() + "{\n")
    result = run("train-pairwise", "--input", dataset, *quick())
    assert result.exit_code == 0, result.output
    assert "reads     2 metrics, no embeddings" in result.stdout
    assert "48 taught it, 12 held out, 1 lines left out" in result.stdout
    assert max(map(len, result.stdout.splitlines()[1:])) <= 80
    assert "warning: left out: line 61: expected a JSON object" in result.stderr
    assert "warning: metrics that are constant and were neutralised: tone" in result.stderr
    status = json.loads(run("status", "--format", "json").stdout)["pairwise"]
    assert (status["provenance"], status["name"]) == ("onnx", "pairwise_ranker")
    assert status["metrics"] == ["clarity", "tone"]
    assert status["candidates"].startswith("not ranked")
    assert PairwiseRanker.load(home / "models" / "pairwise").provenance == "onnx"


def test_metadata_are_printed_as_json_and_training_goes_on(run, tmp_path, dataset):
    folder = tmp_path / "rankers"
    arguments = ("train-pairwise", "--input", dataset, "--output", folder, "--format", "json")
    first = json.loads(run(*arguments, *quick("--loss", "ranknet", "--seed", 3)).stdout)
    assert first["configuration"]["loss"] == "ranknet"
    assert first["configuration"]["seed"] == 3
    assert first["metrics"]["validation"]["pair_accuracy"]["value"] >= 0.9
    more = quick("--name", "next", "--continue-from", folder / "pairwise_ranker.pth")
    second = json.loads(run(*arguments, *more).stdout)
    assert second["continued_from"]["name"] == "pairwise_ranker"
    assert {path.name for path in folder.glob("*.pth")} == {"pairwise_ranker.pth", "next.pth"}


def test_one_seed_makes_one_ranker(run, tmp_path, dataset):
    scorers = []
    for name in ("one", "two"):
        folder = tmp_path / name
        result = run("train-pairwise", "--input", dataset, "--output", folder, *quick())
        assert result.exit_code == 0, result.output
        scorers.append((folder / "pairwise_ranker_scorer.onnx").read_bytes())
    assert scorers[0] == scorers[1]


def test_without_held_out_pairs_training_warns(run, dataset):
    result = run("train-pairwise", "--input", dataset, *quick("--validation-share", 0))
    assert result.exit_code == 0, result.output
    assert "no pairs were held out" in result.stderr
    assert [line.split()[-1] for line in result.stdout.splitlines()[-3:]] == ["-", "-", "-"]


def test_too_many_malformed_lines_stop_the_run(run, home, dataset):
    dataset.write_text(dataset.read_text() + "[]\n" * 10)
    result = run("train-pairwise", "--input", dataset, *quick())
    assert result.exit_code == 1
    assert "10 of 70 lines are no pairs, more than the share of 0.05" in result.stderr
    assert "line 61: expected a JSON object, found '[]'" in result.stderr
    assert not home.exists()
    allowed = run("train-pairwise", "--input", dataset, *quick("--max-bad-share", 0.2))
    assert allowed.exit_code == 0, allowed.output


def test_embeddings_come_from_a_file_by_their_id(run, tmp_path, dataset):
    rows = [json.loads(line) for line in dataset.read_text().splitlines()]
    ids = [f"v:{at}" for at in range(2 * len(rows))]
    items = [row[side] for row in rows for side in ("item_a", "item_b")]
    for name, item in zip(ids, items, strict=True):
        item["embedding_id"] = name
    dataset.write_text("".join(json.dumps(row) + "\n" for row in rows))
    vectors = tmp_path / "vectors.jsonl"
    lines = (
        {"embedding_id": name, "embedding": [at % 3, 1.0 + at]} for at, name in enumerate(ids[1:])
    )
    vectors.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = run("train-pairwise", "--input", dataset, "--embeddings", vectors, *quick())
    assert result.exit_code == 0, result.output
    assert "reads     2 metrics, embeddings of 2" in result.stdout
    assert "1 embeddings named by their id are not known, such as 'v:0'" in result.stderr
    without = run("train-pairwise", "--input", dataset, *quick())
    assert "120 embeddings named by their id are not known" in without.stderr
    assert "reads     2 metrics, no embeddings" in without.stdout
    wrong = run("train-pairwise", "--input", dataset, "--embedding-dim", 1536, *quick())
    assert wrong.exit_code == 1
    assert "expected embeddings of 1536 numbers" in wrong.stderr
    assert "found no embeddings" in wrong.stderr


def test_vectors_of_gpus_are_found_in_the_index(home):
    found = index_vectors(Workspace(home), ["index:geforce-rtx-5070-ti-16gb-gddr7", "index:x", "y"])
    assert set(found) == {"index:geforce-rtx-5070-ti-16gb-gddr7"}
    assert np.linalg.norm(*found.values()) == pytest.approx(1, abs=1e-3)


def test_status_of_an_empty_workspace(run):
    result = run("status")
    assert result.exit_code == 0, result.output
    assert "pairwise  heuristic" in result.stdout
    assert "ranker    shipped" in result.stdout
    assert "store     none" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_smoke_says_what_made_each_answer(run):
    result = run("smoke")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()[1:]]
    assert [line[0] for line in lines] == ["resolver", "pairwise", "candidate"]
    rows = json.loads(run("smoke", "--format", "json").stdout)
    assert [(row["works"], row["provenance"]) for row in rows] == [
        (True, "onnx"),
        (True, "heuristic"),
        (True, "heuristic"),
    ]


def test_smoke_without_onnxruntime_says_so_and_that_the_heuristic_serves(run, dataset, monkeypatch):
    assert run("train-pairwise", "--input", dataset, *quick()).exit_code == 0
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    rows = json.loads(run("smoke", "--format", "json").stdout)
    assert [(row["works"], row["provenance"]) for row in rows[:2]] == [
        (True, "onnx"),  # its trees are read without it
        (True, "heuristic"),
    ]
    status = json.loads(run("status", "--format", "json").stdout)
    assert status["pairwise"]["provenance"] == "heuristic"


def test_smoke_fails_where_a_piece_is_damaged(run, home, dataset):
    assert run("train-pairwise", "--input", dataset, *quick()).exit_code == 0
    rows = json.loads(run("smoke", "--format", "json").stdout)
    assert [row["provenance"] for row in rows] == ["onnx", "onnx", "-"]
    scorer = home / "models" / "pairwise" / "pairwise_ranker_scorer.onnx"
    scorer.write_bytes(b"nothing")
    result = run("smoke")
    assert result.exit_code == 1
    assert "pairwise ranker: " in result.stderr
    assert "damaged" in result.stderr
    assert result.stdout.splitlines()[1].split()[:2] == ["resolver", "ok"]


@pytest.mark.slow
def test_pairs_of_generated_listings_train_a_ranker_of_candidates(run, tmp_path):
    assert run("pairs", "bootstrap", "--n-pairs", 600).exit_code == 0
    assert run("pairs", "export", "--out", tmp_path / "set").exit_code == 0
    result = run(
        "train-pairwise",
        "--input",
        tmp_path / "set" / "dataset.jsonl",
        "--epochs",
        15,
        "--format",
        "json",
    )
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    metadata = json.loads(result.stdout)
    assert metadata["metric_dim"] == 37
    assert metadata["metrics"]["validation"]["pair_accuracy"]["value"] >= 0.95
    status = json.loads(run("status", "--format", "json").stdout)
    assert status["pairwise"]["candidates"] == "onnx"
    assert status["store"]["pairs"] == 600
    rows = json.loads(run("smoke", "--format", "json").stdout)
    assert [(row["works"], row["provenance"]) for row in rows] == [(True, "onnx")] * 3
