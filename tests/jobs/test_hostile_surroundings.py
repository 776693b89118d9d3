"""What surrounds a run: files that are none, YAML that never ends, closed streams, odd settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rerank.index.errors import RerankError
from rerank.jobs.cli import settle_streams
from rerank.lifecycle.gates import PromotionSettings
from rerank.packs.generic.catalogue import read_catalogue
from rerank.packs.gpu.registry import load_registry
from rerank.settings import read_settings


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A pipe that nobody writes into, under all endings that readers go by."""
    made = tmp_path / "pipe"
    os.mkfifo(made)
    for ending in ("csv", "jsonl", "parquet", "yaml", "json"):
        (tmp_path / f"pipe.{ending}").symlink_to(made)
    return made


def ending(pipe: Path, name: str) -> Path:
    return pipe.with_name(f"pipe.{name}")


COMMANDS = {
    "evaluate": ("evaluate", "--gold", "csv"),
    "compare-rankers": ("compare-rankers", "--gold", "csv"),
    "check-registry": ("check-registry", "csv"),
    "build-index": ("build-index", "--registry", "yaml"),
    "build-index of parquet": ("build-index", "--registry", "parquet"),
    "build-index --add": ("build-index", "--add", "csv"),
    "build-index --catalogue": ("build-index", "--catalogue", "yaml"),
    "train-dual": ("train-dual", "--config", "yaml"),
    "train-cross-encoder": ("train-cross-encoder", "--config", "yaml"),
    "train-pairwise": ("train-pairwise", "--input", "jsonl"),
    "store import": ("store", "import", "annotations", "csv"),
    "store import parquet": ("store", "import", "listings", "parquet"),
    "score": ("score", "csv", "out.parquet"),
    "monitor": ("monitor", "parquet"),
    "init": ("init", "csv"),
    "propose": ("propose", "parquet"),
    "prices": ("prices", "parquet"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(run, pipe, command):
    words = [
        ending(pipe, word) if word in ("csv", "jsonl", "parquet", "yaml") else word
        for word in COMMANDS[command]
    ]
    result = run(*words)
    assert result.exit_code == 1
    assert "pipe" in result.stderr
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("index/manifest.json", ("resolve", "rtx 3080")),
        ("index/manifest.json", ("status",)),
        ("models/active_model.json", ("resolve", "rtx 3080")),
        ("models/active_model.json", ("models", "list")),
        ("store.duckdb", ("resolve", "rtx 3080")),
        ("store.duckdb", ("store", "sql", "SELECT 1")),
    ],
)
@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_is_no_file_in_a_workspace_is_one_sentence(run, home, place, words, kind):
    path = home / place
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    result = run(*words)
    assert result.exit_code == 1
    assert str(path) in result.stderr
    assert isinstance(result.exception, SystemExit)


REPEATED = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n"
    for old, new in zip("abcdef", "bcdefg", strict=True)
)
YAML = {
    "nested": "[" * 100_000,
    "nested keys": "families: " + "{a: " * 500,
    "repeated": REPEATED,
    "inside itself": "families: &a [*a]\n",
    "digits": f"vendor: {'9' * 5_000}\nfamilies: []\n",
    "hexadecimal": f"vendor: NVIDIA\nfamilies: [0x{'f' * 5_000}]\n",
    "a date": "vendor: 2020-99-99\n",
    "a time": "vendor: 2020-02-30T25:61:61Z\n",
    "an object": "vendor: !!python/object:os.system x\n",
    "Latin-1": b"vendor: f\xfcr\n",
    "UTF-16": "vendor: x\n".encode("utf-16"),
    "a zero": "vendor: \0\n",
}


@pytest.mark.parametrize("case", YAML)
def test_yaml_that_never_ends_or_cannot_be_is_a_short_error(tmp_path, case):
    path, content = tmp_path / "x.yaml", YAML[case]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for read in (
        lambda: read_settings(PromotionSettings, path),
        lambda: load_registry(path),
        lambda: read_catalogue(path),
    ):
        with pytest.raises(RerankError) as found:
            read()
        assert str(path) in str(found.value)
        assert len(str(found.value)) < 1_000


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
@pytest.mark.parametrize("name", ["facts.csv", "pci.ids"])
def test_facts_in_another_encoding_are_one_sentence(run, tmp_path, encoding, name):
    content = {
        "facts.csv": "name,vendor,release_date,bus_interface,memory_gb,memory_type\nfür,,,,,\n",
        "pci.ids": "10de  für\n\t2684  AD102 [GeForce RTX 4090]\n",
    }[name]
    (tmp_path / name).write_bytes(content.encode(encoding))
    result = run("check-registry", tmp_path / name)
    assert result.exit_code == 1
    assert "expected UTF-8 text, found 0x" in result.stderr
    assert len(result.stderr.splitlines()) == 1


SHOWN = {
    "timestamp 'infinity'": "infinity",
    "date '-infinity'": "-infinity",
    "timestamp '290000-01-01'": "290000-01-01 00:00:00",
    "timestamptz 'infinity'": "infinity",
    "timestamp_ns '2020-01-01 00:00:00.123456789'": "2020-01-01 00:00:00.123456789",
    "union_value(k := 1)": "1",
    "'10101'::BIT": "10101",
    "123456789012345678901234567890123456789012::BIGNUM": "1234567890123456789012345678901"
    "23456789012",
    "'12:00:00+02'::TIMETZ": "12:00:00+02",
    "[date 'infinity']": "[infinity]",
    "340282366920938463463374607431768211455::UHUGEINT": "340282366920938463463374607431768211455",
    "date '2020-02-03'": "2020-02-03",
    "42": 42,
}


def test_store_sql_shows_every_type_as_duckdb_does(run):
    query = ", ".join(f"{sql} AS column_{at}" for at, sql in enumerate(SHOWN))
    result = run("store", "sql", f"SELECT {query}, 1 AS column_0;", "--format", "json")
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)
    assert list(row.values()) == [*SHOWN.values(), 1]


def test_store_sql_keeps_order_and_says_what_is_wrong_as_ever(run):
    query = "FROM (VALUES ('infinity'::DATE, 2), ('2020-01-01', 1)) t(d, n) ORDER BY n DESC -- why"
    rows = json.loads(run("store", "sql", query, "--format", "json").stdout)
    assert [row["n"] for row in rows] == [2, 1]
    assert "Parser Error" in run("store", "sql", "SELCT 1").stderr


@pytest.mark.parametrize(
    "words",
    [
        ("bootstrap", "kept.csv", "--n", 3),
        ("dual-data", "kept.jsonl", "--synthetic", "--n", 3),
        ("prices", "resolved.parquet", "--out", "kept.parquet"),
        ("prices", "resolved.parquet", "--odd", "kept.parquet"),
        ("prices", "resolved.parquet", "--html", "kept.html"),
        ("ablate", "--out", "kept.json"),
        ("compare-rankers", "--report", "kept.json"),
    ],
)
def test_a_file_that_exists_is_replaced_only_if_told_to(run, tmp_path, words):
    named = [tmp_path / word if "kept" in str(word) else word for word in words]
    (kept,) = [word for word in named if isinstance(word, Path)]
    kept.write_text("of the user")
    result = run(*named)
    assert result.exit_code == 1
    assert f"{kept} exists already; choose another name or --overwrite" in result.stderr
    assert kept.read_text() == "of the user"


def test_bootstrap_replaces_a_file_if_told_to(run, tmp_path):
    kept = tmp_path / "kept.csv"
    kept.write_text("of the user")
    assert run("bootstrap", kept, "--n", 3, "--overwrite").exit_code == 0
    assert kept.read_text().startswith("listing_id,")


def test_streams_that_are_closed_lead_nowhere(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    monkeypatch.setattr(sys, "stderr", None)
    settle_streams()
    assert sys.stdin.read() == ""
    assert not sys.stdin.isatty()
    sys.stderr.write("unseen")
    sys.stdin.close()
    sys.stderr.close()


def test_without_streams_threads_locale_or_a_place_for_scratch_it_works(tmp_path, home):
    """Closed stdin and stderr, no thread, ASCII as locale, TMPDIR below a file: at once."""
    (tmp_path / "file").write_text("")
    (tmp_path / "für.csv").write_text("listing_id,title\n1,für RTX 3080 10GB\n", encoding="utf-8")
    target = tmp_path / "out.parquet"
    program = "from rerank.jobs.cli import main; main()"
    words = [sys.executable, "-c", program, "score", tmp_path / "für.csv", target]
    odd = {
        "OMP_NUM_THREADS": "0",
        "LC_ALL": "POSIX",
        "TMPDIR": str(tmp_path / "file" / "below"),
    }
    shell = ["sh", "-c", 'exec "$@" <&- 2>&-', "sh", *map(str, words), "--home", str(home)]
    assert subprocess.run(shell, env={**os.environ, **odd}, check=False).returncode == 0
    assert pq.read_table(target).column("model").to_pylist() == ["GeForce RTX 3080"]


def test_a_workspace_below_a_file_is_one_sentence(run, tmp_path):
    (tmp_path / "file").write_text("")
    for words in (("resolve", "rtx 3080"), ("store", "import", "annotations", tmp_path / "file")):
        result = run(*words, "--home", tmp_path / "file" / "home")
        assert result.exception is None or isinstance(result.exception, SystemExit)
