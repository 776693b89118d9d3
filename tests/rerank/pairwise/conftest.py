"""Fixtures: files of pairs whose better item is known, and a ranker trained on one."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerank.rankers.pairs import read_dataset
from rerank.rankers.pairwise import TrainingPlan, train_pairwise
from rerank.rankers.parameters import PairwiseParameters

Row = dict[str, Any]
WriteRows = Callable[..., Path]


def project(name: str, *, kind: str = "project", **metrics: float | None) -> Row:
    """Return an item as a data set writes it."""
    return {"id": f"id-{name}", "item_type": kind, "item_reference_id": name, "metrics": metrics}


def pair(a: Row, b: Row, label: int) -> Row:
    return {"item_a": a, "item_b": b, "label": label, "reason_tags": [], "similarity": None}


def value_of(row: Row) -> float:
    """What invented items are worth: impact counts double, a large size is bad."""
    metrics = row["metrics"]
    return 2 * metrics["impact"] + metrics["clarity"] - metrics["size"] / 1000


def projects(n_pairs: int, seed: int = 3) -> list[Row]:
    """Return pairs of projects, each item in one pair, labelled by `value_of`; near ones are equal.

    ``year`` never changes, ``stars`` are unknown of some.
    """
    rng = np.random.default_rng(seed)

    def item(name: str) -> Row:
        impact, clarity, size, stars = rng.random(4).round(3).tolist()
        return project(
            name,
            impact=impact,
            clarity=clarity,
            size=1000 * size,
            year=2024.0,
            **({} if stars < 0.3 else {"stars": stars}),
        )

    made = [(item(f"a{at}"), item(f"b{at}")) for at in range(n_pairs)]
    differences = [value_of(a) - value_of(b) for a, b in made]
    return [
        pair(a, b, 0 if abs(difference) < 0.15 else int(np.sign(difference)))
        for (a, b), difference in zip(made, differences, strict=True)
    ]


@pytest.fixture(scope="session")
def make_projects() -> Callable[..., list[Row]]:
    """Return `projects`."""
    return projects


@pytest.fixture
def write_rows(tmp_path: Path) -> WriteRows:
    """Write rows, or lines as they are, as a file of pairs."""

    def write(rows: Sequence[Row | str], name: str = "dataset.jsonl") -> Path:
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path = tmp_path / name
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with a ranker of 300 pairs of projects, and its metadata."""
    folder = tmp_path_factory.mktemp("pairwise")
    path = folder / "dataset.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in projects(300)), encoding="utf-8")
    plan = TrainingPlan(
        folder=folder / "ranker", parameters=PairwiseParameters(hidden_dim=32, epochs=20)
    )
    return plan.folder, train_pairwise(read_dataset(path), plan)
