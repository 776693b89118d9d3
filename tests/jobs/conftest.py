"""Fixtures: the command line in-process with an empty workspace, and small listing files."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from rerank.jobs.cli import main
from rerank.lifecycle.opening import open_resolver
from rerank.resolver import Resolver

Run = Callable[..., Result]
WriteListings = Callable[[str, list[dict[str, Any]]], Path]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A workspace folder that does not exist yet."""
    return tmp_path / "home"


@pytest.fixture
def run(home: Path) -> Run:
    """Run `rerank` with arguments in a fresh workspace."""

    def invoke(*arguments: object, text: str | bytes | None = None) -> Result:
        return CliRunner().invoke(
            main,
            [str(argument) for argument in arguments],
            input=text,
            env={"RERANK_HOME": str(home)},
        )

    return invoke


@pytest.fixture(scope="session")
def shipped_resolver(tmp_path_factory: pytest.TempPathFactory) -> Resolver:
    """The resolver of an empty workspace: the shipped embedder, index and model."""
    return open_resolver(tmp_path_factory.mktemp("empty"))


@pytest.fixture
def write_listings(tmp_path: Path) -> WriteListings:
    """Write rows as a file of the format its name says."""

    def write(name: str, rows: list[dict[str, Any]]) -> Path:
        path = tmp_path / name
        if path.suffix == ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        elif path.suffix == ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        else:
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        return path

    return write
