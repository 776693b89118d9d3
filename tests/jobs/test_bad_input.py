"""Bad input: one clear error that names the file, exit code 1, nothing written."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rerank.index.artifacts import write_manifest
from rerank.index.records import shipped


def _parquet(**columns: object) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


_WHOLE = _parquet(listing_id=list(range(5000)), title=[f"gtx {n}" for n in range(5000)])
FILES = {
    "no_bytes_csv": ("in.csv", b"", "0 bytes"),
    "no_bytes_parquet": ("in.parquet", b"", "0 bytes"),
    "no_bytes_jsonl": ("in.jsonl", b"", "0 bytes"),
    "blank_jsonl": ("in.jsonl", b"\n\n", "only blank lines"),
    "blank_csv": ("in.csv", b"\n\n", "missing listing_id, title, found none"),
    "unknown_suffix": (
        "in.xls",
        b"x",
        r"ending in \.parquet, \.csv, .* or \.json\.gz, found '\.xls'",
    ),
    "column_missing": ("in.csv", b"listing_id,name\n1,a\n", "missing title, found listing_id, n"),
    "column_missing_jsonl": ("in.jsonl", b'{"title": "a"}\n', "missing listing_id, found title"),
    "column_missing_parquet": ("in.parquet", _parquet(title=["a"]), "missing listing_id"),
    "no_workbook": ("in.xlsx", b"x", "not readable as a workbook"),
    "damaged_gzip": ("in.csv.gz", b"\x1f\x8b\x08\x00rest", "not readable as gzip"),
    "hashes": ("in.csv", b"listing_id#title\n1#a\n", "separate columns by commas"),
    "column_twice": ("in.csv", b"listing_id,title,title\n1,a,b\n", "found twice title"),
    "no_encoding": ("in.csv", b"listing_id,title\n1,f\xff\n", "line 2: expected UTF-8.*0xff"),
    "binary_csv": ("in.csv", bytes(range(128, 256)), "expected UTF-8"),
    "garbage_parquet": ("in.parquet", b"PAR1 not really", "not readable as parquet"),
    "truncated_parquet": ("in.parquet", _WHOLE[: len(_WHOLE) // 2], "not readable as parquet"),
    "damaged_parquet": ("in.parquet", _WHOLE[:30] + b"\xff" * 4000 + _WHOLE[4030:], "not readable"),
    "title_of_numbers": ("in.parquet", _parquet(listing_id=[1], title=[2]), "text.*found int64"),
    "bad_json": ("in.jsonl", b'{"title": "a"}\n{"title": "b', "missing listing_id, found title"),
    "json_list": ("in.jsonl", b"[1, 2]\n", r"in\.jsonl:1: expected a JSON .* a list: \[1, 2\]"),
    "json_not_utf8": ("in.jsonl", b'{"title": "\xff"}\n', r"in\.jsonl:1: .*no UTF-8 \(0xff"),
}


@pytest.mark.parametrize("case", FILES)
def test_unusable_file_is_one_clear_error(run, tmp_path, case):
    name, content, expected = FILES[case]
    source, target = tmp_path / name, tmp_path / "out" / "out.parquet"
    source.write_bytes(content)
    result = run("score", source, target)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {source}")
    assert len(result.stderr.splitlines()) == 1
    assert re.search(expected, result.stderr), result.stderr
    assert not target.exists()
    assert not target.parent.exists() or not list(target.parent.iterdir())


def test_missing_file_is_a_usage_error(run, tmp_path):
    result = run("score", tmp_path / "none.csv", tmp_path / "out.parquet")
    assert result.exit_code == 2
    assert "does not exist" in result.stderr


def test_target_in_a_file_is_an_error(run, write_listings, tmp_path):
    source = write_listings("in.csv", [{"listing_id": "1", "title": "rtx 3080"}])
    result = run("score", source, source / "out.parquet")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")


@pytest.fixture
def own(home: Path) -> Path:
    """A workspace with copies of all that ships."""
    shutil.copytree(shipped("index"), home / "index")
    shutil.copytree(shipped("embedder"), home / "embedder")
    without_card = shutil.ignore_patterns("version.json")  # it would be of another version
    shutil.copytree(shipped("model"), home / "models" / "ltr" / "v1", ignore=without_card)
    (home / "models" / "active_model.json").write_text('{"name": "ltr", "version": "v1"}')
    return home


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def test_a_copied_workspace_serves(run, own):
    assert run("resolve", "rtx 3080 10gb").exit_code == 0


@pytest.mark.parametrize(
    ("file", "remedy"),
    [
        ("index/index.faiss", "rerank build-index"),
        ("index/records.jsonl", "rerank build-index"),
        ("embedder/embeddings.safetensors", "rerank train-embedder"),
        ("models/ltr/v1/ranker.onnx", "rerank train-ltr"),
        ("models/ltr/v1/calibrator.json", "rerank train-ltr"),
    ],
)
@pytest.mark.parametrize("damage", ["flipped", "removed", "cut"])
def test_a_damaged_artifact_names_the_file_and_the_remedy(run, own, file, remedy, damage):
    path = own / file
    if damage == "flipped":
        _flip(path)
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:100])
    else:
        path.unlink()
    result = run("resolve", "rtx 3080")
    assert result.exit_code == 1
    assert str(path) in result.stderr
    assert remedy in result.stderr
    assert len(result.stderr.splitlines()) == 1


def _parameters(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())["parameters"]


@pytest.mark.parametrize("folder", ["index", "embedder", "models/ltr/v1"])
@pytest.mark.parametrize("manifest", ["gone", "empty", "text", "list"])
def test_a_half_written_artifact_is_an_error(run, own, folder, manifest):
    path = own / folder / "manifest.json"
    if manifest == "gone":
        path.unlink()
    else:
        path.write_text({"empty": "", "text": "not JSON", "list": "[1]"}[manifest])
    result = run("resolve", "rtx 3080")
    assert result.exit_code == 1
    assert str(own / folder) in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "pointer", ["", "[]", "{}", '{"name": "ltr"}', '{"name": "ltr", "version": "v9"}', "null"]
)
def test_a_bad_model_pointer_is_an_error(run, own, pointer):
    path = own / "models" / "active_model.json"
    path.write_text(pointer)
    result = run("resolve", "rtx 3080")
    assert result.exit_code == 1
    assert str(path) in result.stderr
    assert "rerank train-ltr" in result.stderr


def test_a_model_of_another_embedder_is_refused(run, own):
    folder = own / "models" / "ltr" / "v1"
    parameters = _parameters(folder)
    parameters["index"]["embedder_fingerprint"] = "0123456789abcdef"
    write_manifest(folder, kind="ranker", format_version=1, parameters=parameters)
    result = run("resolve", "rtx 3080")
    assert result.exit_code == 1
    assert "trained with embedder" in result.stderr
    assert "0123456789abcdef" in result.stderr
    assert "rerank train-ltr" in result.stderr


def test_an_index_of_another_embedder_is_refused(run, own):
    folder = own / "index"
    parameters = _parameters(folder)
    parameters["embedder_fingerprint"] = "0123456789abcdef"
    write_manifest(folder, kind="index", format_version=1, parameters=parameters)
    result = run("resolve", "rtx 3080")
    assert result.exit_code == 1
    assert "built with embedder" in result.stderr
    assert "rerank build-index" in result.stderr


def test_a_model_of_other_features_is_refused(run, own):
    folder = own / "models" / "ltr" / "v1"
    parameters = _parameters(folder)
    parameters["candidate_features"][0] = "moon_phase"
    write_manifest(folder, kind="ranker", format_version=1, parameters=parameters)
    result = run("resolve", "rtx 3080")
    assert result.exit_code == 1
    assert "candidate_features[0] is 'moon_phase'" in result.stderr


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("r.csv", "model,vendor\nX 1,NVIDIA\n", "missing: memory_gb, memory_type"),
        ("r.yaml", "vendor: Acme\nfamilies: []\n", "vendor must be one of"),
        ("r.txt", "x", "expected .yaml, .csv or .parquet"),
    ],
)
def test_a_bad_registry_builds_no_index(run, home, tmp_path, name, content, expected):
    (tmp_path / name).write_text(content)
    result = run("build-index", "--registry", tmp_path / name)
    assert result.exit_code == 1
    assert expected in result.stderr
    assert not (home / "index").exists()


def test_adding_excludes_a_registry_and_an_embedder(run, tmp_path):
    (tmp_path / "r.csv").write_text("x")
    both = ("--add", tmp_path / "r.csv", "--registry", tmp_path / "r.csv")
    result = run("build-index", *both)
    assert result.exit_code == 2
    assert "--registry" in result.stderr


def test_an_unknown_embedder_is_an_error(run, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    result = run("build-index", "--embedder", "/no/such/model")
    assert result.exit_code == 1
    assert "/no/such/model" in result.stderr


@pytest.mark.parametrize("name", ["out.txt", "out"])
def test_bootstrap_refuses_an_unknown_format(run, tmp_path, name):
    result = run("bootstrap", tmp_path / name, "--n", 1)
    assert result.exit_code == 1
    assert "expected a name ending in .parquet, .csv, .jsonl" in result.stderr


def test_a_bad_gold_file_writes_no_report(run, home, tmp_path):
    (tmp_path / "g.csv").write_text("listing_id,title\n1,a\n")
    result = run("evaluate", "--gold", tmp_path / "g.csv")
    assert result.exit_code == 1
    assert "g.csv" in result.stderr
    assert not (home / "reports").exists()
