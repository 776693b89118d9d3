"""A small set of scored queries by hand, and a trained model over invented photographs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerank.rankers.dual_experiment import train_dual
from rerank.rankers.parameters import DualConfig
from rerank.rankers.scored import ReadLines, ScoredSet, synthetic_candidates
from rerank.settings import settings_of

MakeSet = Callable[..., ScoredSet]
SMALL = {
    "seed": 3,
    "inputs": {"conflict_features": ["conflict_*"]},
    "split": {"validation_percent": 20, "test_percent": 20},
    "network": {"hidden": 24, "layers": 1, "members": 3},
    "training": {"epochs": 12, "patience": 4, "learning_rate": 0.01},
    "evaluation": {"samples": 200},
}


@pytest.fixture(scope="session")
def small_config() -> DualConfig:
    return settings_of(DualConfig, SMALL)


@pytest.fixture(scope="session")
def photographs() -> ScoredSet:
    return synthetic_candidates(700, seed=5)


@pytest.fixture(scope="session")
def trained(
    photographs: ScoredSet, small_config: DualConfig, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """The folder and the report of a training on 700 requests."""
    folder = tmp_path_factory.mktemp("dual")
    read = ReadLines(photographs, photographs.n_queries, ())
    return folder, train_dual(read, small_config, folder)


@pytest.fixture(scope="session")
def make_set() -> MakeSet:
    """Return a function that makes a set of queries with given rows; sizes say whose they are."""

    def make(sizes: list[int], **columns: Any) -> ScoredSet:
        rows = sum(sizes)
        plain = ScoredSet(
            query_id=tuple(f"q{at}" for at in range(len(sizes))),
            canonical_id=tuple(f"c{at}" for at in range(len(sizes))),
            domain=("d",) * len(sizes),
            text=("",) * len(sizes),
            offsets=np.cumsum([0, *sizes]).astype(np.int64),
            candidate_id=tuple(f"k{at}" for at in range(rows)),
            compliance=np.zeros(rows),
            conflict=np.zeros(rows),
            feature_names=(),
            features=np.zeros((rows, 0), np.float32),
            query_vectors={},
            candidate_vectors={},
        )
        return replace(plain, **columns)

    return make
