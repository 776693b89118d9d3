"""Fixtures: an empty workspace, and the benchmarks' command in-process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench.command import bench_command


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A workspace folder that does not exist yet."""
    return tmp_path / "home"


@pytest.fixture
def run(home: Path) -> Callable[..., Result]:
    """Run `python -m bench` with arguments in a fresh workspace."""

    def invoke(*arguments: object) -> Result:
        environment = {"RERANK_HOME": str(home)}
        return CliRunner().invoke(bench_command, [*map(str, arguments)], env=environment)

    return invoke
