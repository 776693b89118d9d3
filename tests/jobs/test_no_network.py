"""Nothing phones home: no connection, no name asked for, nothing left in the user's cache."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerank.index.artifacts import silence_libraries
from rerank.trees import TreeParameters, train_classifier


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was asked of the network, which refuses all."""
    found: list[object] = []

    def refuse(*arguments: Any, **_: Any) -> None:
        found.append(arguments)
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket.socket, "sendto", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return found


def test_resolving_scoring_and_training_ask_nobody(run, write_listings, tmp_path, asked):
    assert run("resolve", "rtx 3080 10gb").exit_code == 0
    source = write_listings("in.csv", [{"listing_id": "1", "title": "rtx 3080"}])
    assert run("score", source, tmp_path / "out.parquet").exit_code == 0
    rows = np.random.default_rng(0).integers(0, 9, (300, 3)).astype(np.float32)
    parameters = TreeParameters(trees=3, leaves=4)
    train_classifier(rows, rows[:, 0] > 4, ["a", "b", "c"], parameters)
    assert asked == []


PROGRAM = """
from pathlib import Path
from rerank.index.artifacts import open_session
from rerank.index.records import shipped
open_session(shipped("model") / "offer.onnx", where="offer.onnx", remedy="-")
"""


def test_opening_a_graph_leaves_nothing_in_the_users_cache(tmp_path: Path):
    own = {name: value for name, value in os.environ.items() if "TELEMETRY" not in name}
    environment = {**own, "XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True)
    assert [path for path in tmp_path.rglob("*") if "nnx" in path.name or "id" in path.name] == []


def test_what_libraries_tell_their_makers_is_off_unless_the_user_wants_it(monkeypatch):
    environment = {"ORT_DISABLE_TELEMETRY": "0"}
    monkeypatch.setattr(os, "environ", environment)
    silence_libraries()
    assert environment == {
        "ORT_DISABLE_TELEMETRY": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
