"""Stated memory sizes held against those of GPUs."""

from __future__ import annotations

import numpy as np
import pytest

from rerank.index.records import GpuRecord
from rerank.packs.gpu.lexicon import Lexicon
from rerank.packs.gpu.name_evidence import memory_agreement
from rerank.packs.gpu.title_columns import TitleReadings, padded
from rerank.resolution import same_size, same_size_by_hand


def test_memory_agreement(tiny_registry: list[GpuRecord]) -> None:
    lexicon = Lexicon(tiny_registry)
    readings = [lexicon.read(t) for t in ("RTX 4060 8GB", "RTX 4060", "8GB or 16GB", "3072MB")]
    sizes = TitleReadings.of(lexicon, readings).sizes
    listing = np.array([0, 0, 1, 2, 2, 2, 3, 3])
    memory = np.array([8, 16, 8, 8, 16, 3, 3, 6], np.float32)
    expected = [1, -1, 0, 1, 1, -1, 1, -1]
    assert memory_agreement(sizes[listing], memory).tolist() == expected


@pytest.mark.parametrize(
    ("stated", "own", "expected"),
    [
        (8, 8, True),
        (1.25, 1.28, False),
        (94, 96, False),
        (96, 94, False),
        (12, 11, False),
        (7.9, 8, True),
        (np.nan, 8, False),
    ],
)
def test_sizes_are_the_same_within_two_percent(stated: float, own: float, expected: bool) -> None:
    assert same_size(np.float32([stated]), np.float32(own)).tolist() == [expected]


@pytest.mark.parametrize(
    ("written", "own", "expected"),
    [(1.28, 1.25, True), (0.512, 0.5, True), (1.25, 1.25, True), (96, 94, False), (94, 96, False)],
)
def test_people_turn_mb_into_gb_by_1000_too(written: float, own: float, expected: bool) -> None:
    assert same_size_by_hand(written, own) is expected


def test_ragged_rows_are_filled_with_nan() -> None:
    assert np.isnan(padded([])).shape == (0, 1)
    filled = padded([[1.0], [], [2.0, 3.0]])
    assert np.nan_to_num(filled, nan=-1).tolist() == [[1, -1], [-1, -1], [2, 3]]
