"""A fault at every call that changes a folder: nothing is lost, doubled or half there.

The suite breaks a seeded sample of the calls; `make faults` breaks ``RERANK_FAULTS`` of each
operation's, or all.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest
from broken_operations import OPERATIONS, Bench, Operation, warm
from failing_disk import Fault

SEED = 20261130
SAMPLE = os.environ.get("RERANK_FAULTS", "4")  # points of each operation


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    root = tmp_path_factory.mktemp("faults")
    (root / "warm").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        warm(root / "warm", patch)
        yield Bench(root.resolve())


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_a_fault_at_any_call_leaves_the_old_or_the_new(bench: Bench, operation: Operation) -> None:
    points = [(at, fault) for at in range(1, len(bench.calls(operation)) + 1) for fault in Fault]
    if SAMPLE != "all":
        dice = random.Random(f"{SEED} {operation.name}")
        points = dice.sample(points, min(int(SAMPLE), len(points)))
    broken = [found for at, fault in points if (found := bench.broken(operation, at, fault))]
    assert not broken, "\n".join(map(str, broken[:20]))
