"""The examples run: our part of each, with a stand-in for the orchestrator it is written for."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from rerank.jobs.cli import main

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
TITLES = ["EVGA RTX 3080 10GB", "backplate for RTX 3080"]


def run_example(monkeypatch, name, **stand_ins):
    for module, content in stand_ins.items():
        made = ModuleType(module)
        made.__dict__.update(content)
        monkeypatch.setitem(sys.modules, module.replace("__", "."), made)
    return runpy.run_path(str(EXAMPLES / name))


@pytest.fixture(autouse=True)
def empty_home(monkeypatch, tmp_path):
    monkeypatch.setenv("RERANK_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short(example):
    assert len(example.read_text(encoding="utf-8").splitlines()) < 30


def test_the_dbt_model_gives_a_relation_of_its_session(monkeypatch):
    session = duckdb.connect()
    session.execute("CREATE TABLE listings AS SELECT unnest(?) AS title", [TITLES])
    configured = {}
    dbt = SimpleNamespace(config=configured.update, ref=session.table)
    dbt.config = lambda **given: configured.update(given)
    found = run_example(monkeypatch, "dbt_model.py")["model"](dbt, session)
    found.create("resolved")
    rows = session.execute("SELECT decision, model FROM resolved ORDER BY decision").fetchall()
    assert rows == [("match", "GeForce RTX 3080"), ("no_match", None)]
    assert configured == {"materialized": "table"}


def test_the_dagster_assets_follow_each_other(monkeypatch):
    made = run_example(
        monkeypatch, "dagster_asset.py", dagster={"asset": lambda function: function}
    )
    resolved = made["resolved_listings"](pl.DataFrame({"title": TITLES}))
    assert resolved["decision"].to_list() == ["match", "no_match"]
    assert made["unsure_listings"](resolved).height == 0


def test_the_airflow_task_scores_a_folder(monkeypatch, tmp_path):
    (tmp_path / "feeds").mkdir()
    (tmp_path / "feeds/a.csv").write_text(f"listing_id,title\n1,{TITLES[0]}\n")

    def run(words, check):
        assert CliRunner().invoke(main, words[1:]).exit_code == 0

    monkeypatch.setattr(subprocess, "run", run)
    stand_in = {"task": lambda **settings: lambda function: function}
    made = run_example(monkeypatch, "airflow_task.py", airflow={}, airflow__sdk=stand_in)
    counts = made["resolve"](str(tmp_path / "feeds"), str(tmp_path / "resolved"))
    assert counts["decisions"]["match"] == 1
    assert pq.read_table(tmp_path / "resolved/a.parquet").num_rows == 1
