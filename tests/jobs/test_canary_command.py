"""`rerank models canary`: the commands, a challenger damaged on the way, and killed runs."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import suppress

import pyarrow.parquet as pq
import pytest
from processes import started
from second_model import add_version, sql, write

from rerank.lifecycle.model_registry import ModelRegistry
from rerank.workspace import Workspace


@pytest.fixture
def challenger(home, tmp_path):
    return add_version(home, tmp_path / "draft")


def test_the_commands_of_a_canary(run, home, tmp_path, challenger):
    source = write(tmp_path / "a.parquet")
    begun = run("models", "canary", "start", challenger.version[:8], "--why", "spring")
    assert begun.exit_code == 0, begun.output
    assert "step        1 of 3 (shares 0.01, 0.1, 0.5), 1% of the listings" in begun.output
    assert "listings    0 of 1,000: too few to judge; 3,000 in all" in begun.output
    assert "share accepted           -" in begun.output
    assert max(map(len, begun.stdout.splitlines())) <= 80
    done = run("models", "canary", "run", source, tmp_path / "out.parquet")
    assert done.exit_code == 0, done.output
    assert "ltr shipped is champion" in done.output
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 60
    status = run("models", "canary", "status", "--format", "json")
    told = json.loads(status.output)
    assert (told["planned"], told["too_few"]) == (3000, True)
    ended = run("models", "canary", "stop", "--why", "enough")
    assert ended.stdout == "the canary has ended; ltr shipped serves\n"
    again = run("models", "canary", "stop")
    assert again.exit_code == 1
    assert "no canary runs" in again.output
    plain = run("models", "canary", "run", source, tmp_path / "plain.parquet")
    assert "No canary runs: the champion answers everything" in plain.output


def test_the_workspace_decides_on_the_steps_not_the_folder_one_stands_in(
    run, home, tmp_path, challenger, monkeypatch
):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "canary.yaml").write_text("steps: [0.7]")
    monkeypatch.chdir(tmp_path)
    begun = run("models", "canary", "start", challenger.version)
    assert "step        1 of 3 (shares 0.01, 0.1, 0.5)" in begun.output
    run("models", "canary", "stop")
    (home / "canary.yaml").write_text("steps: [0.2, 0.4]\nalpha: 5e-2\n")
    begun = run("models", "canary", "start", challenger.version)
    assert "step        1 of 2 (shares 0.2, 0.4)" in begun.output
    (home / "canary.yaml").write_text("alpha: 5")
    refused = run("models", "canary", "start", challenger.version)
    assert refused.exit_code == 1
    assert f"{home / 'canary.yaml'}: 1 fault" in refused.output


def test_a_challenger_damaged_since_ends_the_canary(run, home, tmp_path, challenger):
    source = write(tmp_path / "a.parquet")
    assert run("models", "canary", "start", challenger.version).exit_code == 0
    os.truncate(Workspace(home).version_folder(challenger) / "offer.onnx", 10)
    done = run("models", "canary", "run", source, tmp_path / "out.parquet")
    assert done.exit_code == 0, done.output
    assert "Warning: the canary ends, the champion serves" in done.output
    registry = ModelRegistry(Workspace(home))
    assert registry.history()[-1].action == "canary breach"
    assert registry.pointer().canary is None


@pytest.mark.slow
def test_whenever_it_is_killed_pointer_and_log_agree(run, home, tmp_path, challenger):
    """The last run goes on from what the killed ones left; each counted listing is logged once."""
    config = tmp_path / "canary.yaml"
    config.write_text("steps: [0.9]\nwindow_listings: 40\nwindows_per_step: 1000\ngroup: 20\n")
    begun = run("models", "canary", "start", challenger.version, "--config", config)
    assert begun.exit_code == 0, begun.output
    source = write(tmp_path / "a.parquet", 3000)
    words = ["models", "canary", "run", "--overwrite", str(source), str(tmp_path / "out.parquet")]
    for delay_s in (1.2, 1.8, 2.4):
        child = started(home, *words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with suppress(subprocess.TimeoutExpired):
            child.wait(delay_s)
        child.kill()
        child.wait()
        json.loads(Workspace(home).pointer_path.read_text())
    write(tmp_path / "b.parquet", 50)
    done = run("models", "canary", "run", tmp_path / "b.parquet", tmp_path / "b_out.parquet")
    assert done.exit_code == 0, done.output
    state = ModelRegistry(Workspace(home)).pointer().canary
    assert state["windows"] > 0
    counted = sql(
        home,
        "SELECT count(*), count(DISTINCT listing_id), max(window_number) FROM traffic_decisions",
    )
    n = state["counts"]["listings"]
    assert counted == [(2 * n, n, state["windows"])]
    assert sql(home, "SELECT sum(listings), count(*) FROM canary_windows") == [
        (n, state["windows"])
    ]
