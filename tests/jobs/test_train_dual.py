"""`rerank dual-data`, `train-dual` and `evaluate-dual`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
QUICK = """
seed: 3
inputs: {conflict_features: ["conflict_*"]}
split: {validation_percent: 20, test_percent: 20}
network: {hidden: 8, layers: 1, members: 2}
training: {epochs: 2}
evaluation: {samples: 50}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "quick.yaml"
    path.write_text(QUICK, encoding="utf-8")
    return path


@pytest.fixture
def photographs(run, tmp_path: Path) -> Path:
    path = tmp_path / "photographs.jsonl"
    result = run("dual-data", "--synthetic", path, "--n", 120, "--seed", 2)
    assert result.exit_code == 0, result.output
    assert "120 queries in" in result.stderr
    return path


def test_trains_reports_and_evaluates_in_the_workspace(run, home, config, photographs):
    result = run("train-dual", "--config", config, "--data", photographs)
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= 80
    for words in ("embedding only", "+ reranker", "conflict AUC", "gain over embedding only"):
        assert words in result.stdout
    assert "training: + conflict ..." in result.stderr
    folder = home / "models" / "dual"
    assert sorted(path.name for path in folder.iterdir()) == ["model", "report.json"]
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    again = run("evaluate-dual", photographs, "--samples", 50, "--seed", 3, "--format", "json")
    assert again.exit_code == 0, again.output
    found = json.loads(again.stdout)
    assert found["model_version"] == report["model_version"]
    assert found["queries"] == report["data"]["split"]["test"]["queries"]
    assert found["failure_causes"] == report["failure_causes"]
    named = run(
        "evaluate-dual",
        photographs,
        "--model",
        folder,
        "--samples",
        50,
        "--seed",
        3,
        "--format",
        "json",
    )
    assert named.stdout == again.stdout
    everything = run("evaluate-dual", photographs, "--all", "--samples", 5)
    assert max(map(len, everything.stdout.splitlines())) <= 80
    assert "120 queries, model" in everything.stderr


def test_searches_within_its_trials(run, config, photographs, tmp_path):
    pytest.importorskip("optuna")
    folder = tmp_path / "out"
    arguments = ("train-dual", "--config", config, "--data", photographs, "--output", folder)
    result = run(*arguments, "--trials", 1, "--format", "json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["search"]["trials"] == 1
    assert (folder / "search.jsonl").is_file()
    again = run(*arguments, "--trials", 2, "--format", "json")
    assert json.loads(again.stdout)["search"]["trials"] == 2


def test_the_same_seed_writes_the_same_file(run, photographs, tmp_path):
    other = tmp_path / "again.jsonl"
    run("dual-data", "--synthetic", other, "--n", 120, "--seed", 2)
    assert other.read_bytes() == photographs.read_bytes()


def test_all_faults_of_a_configuration_are_one_error(run, config, photographs):
    config.write_text("sede: 1\nnetwork: {hiden: 3, members: 0}\n", encoding="utf-8")
    result = run("train-dual", "--config", config, "--data", photographs)
    assert result.exit_code == 1
    assert "3 faults" in result.stderr
    assert "network.hiden: unknown key; did you mean 'network.hidden'?" in result.stderr
    config.write_text("seed: 1\nnetwork: {hidden: 8}\nseed: 2\n", encoding="utf-8")
    result = run("train-dual", "--config", config, "--data", photographs)
    assert "the key 'seed' stands twice" in result.stderr
    assert "Traceback" not in result.output


def test_without_data_the_call_is_wrong(run, config):
    result = run("train-dual", "--config", config)
    assert result.exit_code == 2
    assert "--data: neither it nor the key 'data'" in result.stderr


def test_faulty_lines_are_shown_and_beyond_a_share_they_stop_it(run, home, config, photographs):
    lines = photographs.read_text(encoding="utf-8").splitlines()
    lines[4] = '{"query_id": "broken"}'
    photographs.write_text("\n".join(lines), encoding="utf-8")
    borne = run("train-dual", "--config", config, "--data", photographs)
    assert borne.exit_code == 0, borne.output
    assert "line 5: lacks canonical_id" in borne.stderr
    lines[5] = lines[6] = "{"
    photographs.write_text("\n".join(lines), encoding="utf-8")
    before = (home / "models" / "dual" / "report.json").read_bytes()
    stopped = run("train-dual", "--config", config, "--data", photographs)
    assert stopped.exit_code == 1
    assert "of 120 lines at most 1.00% may be faulty: 3 faults" in stopped.stderr
    assert (home / "models" / "dual" / "report.json").read_bytes() == before


def test_evaluating_without_a_model_says_what_to_run(run, photographs):
    result = run("evaluate-dual", photographs)
    assert result.exit_code == 1
    assert "no dual ranker here; make one with `rerank train-dual`" in result.stderr


@pytest.mark.slow
def test_gpu_candidates_meet_what_is_asked_of_the_dual_ranker(run, tmp_path):
    path = tmp_path / "gpu.jsonl"
    assert run("dual-data", "--gpu", path, "--n", 3000, "--seed", 7).exit_code == 0
    text = (CONFIGS / "dual_gpu.yaml").read_text(encoding="utf-8")
    config = tmp_path / "gpu.yaml"
    quick = "training: {epochs: 12}\nnetwork: {members: 3}\n"
    config.write_text(text + quick, encoding="utf-8")
    result = run("train-dual", "--config", config, "--data", path, "--format", "json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    last = report["steps"][-1]
    assert last["metrics"]["conflict_auc"]["ci95"][0] >= 0.90
    assert last["metrics"]["conflict_ece"]["ci95"][1] <= 0.05
    assert last["gain"]["compliance_at_1"]["difference"] >= 0.03
    assert last["gain"]["compliance_at_1"]["ci95"][0] > 0
    assert last["gain"]["ndcg_at_10"]["difference"] >= 0.06
    assert last["gain"]["ndcg_at_10"]["relative_ci95"][0] > 0
    assert report["uncertainty"]["auc"]["ci95"][0] > 0.5
