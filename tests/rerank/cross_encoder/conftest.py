"""Fixtures: a task that two layers can learn, and settings for it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from rerank.cross_encoder.hyperparameters import CrossEncoderSettings
from rerank.cross_encoder.packs import Document, PackSets, QueryPack, split_by_query
from rerank.settings import settings_of

NUMBERS = [str(number) for number in range(10, 20)]


def _document(number: str) -> Document:
    return Document(f"d{number}", f"geforce gtx {number}")


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """So small models are slower on many threads, the more so where the machine is shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def number_packs() -> list[QueryPack]:
    """Queries that name a number; the document with the same number is the positive."""
    dice = random.Random(3)
    packs = []
    for at in range(40):
        number = NUMBERS[at % 10]
        others = dice.sample([n for n in NUMBERS if n != number], 4)
        packs.append(
            QueryPack(
                f"card {number} {'gb ' * (at // 10)}".strip(),
                (_document(number),),
                tuple(_document(other) for other in others),
            )
        )
    return packs


@pytest.fixture(scope="session")
def number_sets(number_packs: list[QueryPack]) -> PackSets:
    return split_by_query(number_packs, valid_share=0.25, seed=1)


@pytest.fixture(scope="session")
def make_settings() -> Callable[..., CrossEncoderSettings]:
    """Return a function that makes settings for the tiny model; arguments replace keys."""

    def make(**changed: Any) -> CrossEncoderSettings:
        content: dict[str, Any] = {
            "model": {"name": "tiny"},
            "data": {"train": "train.jsonl"},
            "lengths": {"pair": 32, "query": 16},
            "optimizer": {"learning_rate": 0.01},
            "steps": {"epochs": 2, "batch_queries": 5, "checkpoint_every": 4},
            "lora": {"r": 4, "alpha": 8},
        }
        for key, value in changed.items():
            merged = {**content.get(key, {}), **value} if isinstance(value, dict) else value
            content[key] = merged
        return settings_of(CrossEncoderSettings, content)

    return make
