"""Splits by model: stable, disjoint, of the stated shares."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from rerank.evaluation.gold import Split, models_of, split_of
from rerank.index.records import GpuRecord


def record(model: str, memory_gb: float = 8) -> GpuRecord:
    return GpuRecord(f"{model}-{memory_gb}", model, "NVIDIA", "", "", memory_gb, "", "PCIe", 2020)


RECORDS = [record(f"GPU {number}", memory) for number in range(300) for memory in (4, 8)]


@pytest.mark.parametrize(
    ("model", "is_test"),
    [
        ("GeForce RTX 3080", True),
        ("Radeon RX 6600 XT", True),
        ("Radeon HD 7970", True),
        ("Arc A770", True),
        ("GeForce GTX 1060", False),
        ("Radeon RX 580", False),
        ("Tesla V100", False),
    ],
)
def test_what_is_unseen_never_changes(model: str, is_test: bool):
    """Figures on unseen models compare over releases only if those models stay unseen."""
    assert (split_of(model) is Split.TEST) == is_test


def test_held_out_shares_are_as_stated():
    counts = Counter(split_of(f"model {number}") for number in range(20_000))
    shares = {split: counts[split] / 20_000 for split in Split}
    assert shares[Split.TEST] == pytest.approx(0.10, abs=0.01)
    assert shares[Split.VALIDATION] == pytest.approx(0.10, abs=0.01)
    assert min(shares.values()) > 0.09


def test_what_is_not_sold_apart_is_in_no_split():
    inside = [replace(record(f"Inside {number}"), sold_apart=False) for number in range(50)]
    for split in Split:
        assert models_of([*RECORDS, *inside], split) == models_of(RECORDS, split)


def test_every_model_is_in_exactly_one_split():
    models = [model for split in Split for model in models_of(RECORDS, split)]
    assert sorted(models) == sorted({item.model for item in RECORDS})


def test_models_are_sorted_and_named_once():
    for split in Split:
        models = models_of(reversed(RECORDS), split)
        assert list(models) == sorted(set(models))


def test_a_growing_registry_moves_no_model():
    for split in Split:
        assert set(models_of(RECORDS[:100], split)) <= set(models_of(RECORDS, split))


def test_an_empty_registry_has_no_models():
    assert [len(models_of([], split)) for split in Split] == [0] * len(Split)
