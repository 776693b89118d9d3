"""Figures of a validation, the learning rate, the encoding of pairs and the memory check."""

from __future__ import annotations

import numpy as np
import pytest

from rerank.cross_encoder.base_model import check_memory, load_tokenizer_json, memory_faults
from rerank.cross_encoder.finetuning import ValidationFigures, rate_factor, validate
from rerank.cross_encoder.hyperparameters import ScheduleSettings
from rerank.cross_encoder.packs import Document, QueryPack
from rerank.cross_encoder.ranker import PairEncoder, TextPair
from rerank.index.errors import InputError

SCORES = {"p1": 2.0, "p2": 0.0, "n1": 1.5, "n2": -1.0, "p3": 0.0, "n3": 0.0}


def pack(positives: str, negatives: str) -> QueryPack:
    return QueryPack(
        "q",
        tuple(Document(n, n) for n in positives.split()),
        tuple(Document(n, n) for n in negatives.split()),
    )


def by_table(pairs):
    return np.array([SCORES[pair.document] for pair in pairs], np.float32)


def test_figures_by_hand():
    packs = [pack("p1 p2", "n1 n2"), pack("p3", "n3"), pack("p1", "")]
    found = validate(packs, by_table, margin=1.0)
    # gaps .5, 3, -1.5, 1 make losses .5, 0, 2.5, 0; the tie of the second query counts against it
    assert found == ValidationFigures(
        loss=(0.75 + 1.0) / 2, pair_accuracy=(0.75 + 0) / 2, precision_at_1=0.5, mrr=0.75, queries=2
    )


def test_without_negatives_there_is_nothing_to_measure():
    assert validate([pack("p1", "")], by_table, margin=1.0).queries == 0


def test_figures_are_better_by_mrr_then_by_loss():
    worse = ValidationFigures(0.5, 0.5, 0.5, 0.6, 9)
    assert worse.is_better_than(None)
    assert ValidationFigures(0.9, 0.5, 0.5, 0.7, 9).is_better_than(worse)
    assert ValidationFigures(0.4, 0.5, 0.5, 0.6, 9).is_better_than(worse)
    assert not worse.is_better_than(worse)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("constant", [0.5, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
        ("linear", [0.5, 1, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]),
        ("cosine", [0.5, 1, 1, 0.9619, 0.8536, 0.6913, 0.5, 0.3087, 0.1464, 0.0381]),
    ],
)
def test_the_learning_rate_rises_and_falls(name, expected):
    schedule = ScheduleSettings(name, warmup_share=0.2)
    found = [rate_factor(step, 10, schedule) for step in range(10)]
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.fixture
def tokenizer(tiny_bert):
    return load_tokenizer_json(tiny_bert)


def test_a_pair_is_encoded_with_its_sides_and_padding(tokenizer):
    content, pad_id = tokenizer
    encoder = PairEncoder(content, pair_tokens=32, query_tokens=16, pad_id=pad_id)
    found = encoder.encode([TextPair("rtx 40", "geforce"), TextPair("gtx", "arc")])
    rtx, geforce, gtx, arc = 7, 5, 8, 10
    four, zero = 5 + 15 + 4, 5 + 15 + 10
    assert found["input_ids"].tolist() == [
        [2, rtx, four, zero, 3, geforce, 3],
        [2, gtx, 3, arc, 3, 0, 0],
    ]
    assert found["token_type_ids"].tolist() == [[0, 0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0, 0]]
    assert found["attention_mask"].sum(axis=1).tolist() == [7, 5]


def test_long_queries_and_pairs_are_cut(tokenizer):
    content, pad_id = tokenizer
    encoder = PairEncoder(content, pair_tokens=12, query_tokens=3, pad_id=pad_id)
    pair = TextPair("rtx gtx arc ti ti ti ti", "geforce " * 20)
    assert encoder.encode([pair])["input_ids"].tolist() == [[2, 7, 8, 10, 3, *[5] * 6, 3]]
    same = encoder.encode([TextPair("rtx gtx arc", "geforce " * 20)])
    np.testing.assert_array_equal(encoder.encode([pair])["input_ids"], same["input_ids"])
    assert encoder.parameters() == {"pair_tokens": 12, "query_tokens": 3, "pad_id": 0}
    with pytest.raises(InputError, match="at least one pair"):
        encoder.encode([])


def test_too_little_memory_is_said_before_loading(tmp_path):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable:    1048576 kB\n")
    check_memory(2**30, "model m", meminfo=meminfo)
    with pytest.raises(InputError, match=r"model m needs about 2\.0 GB of memory, 1\.0 GB are fre"):
        check_memory(2**31, "model m", meminfo=meminfo)
    check_memory(2**60, "model m", meminfo=tmp_path / "none")


def test_memory_that_runs_out_is_one_clear_error():
    with pytest.raises(InputError, match="memory ran out in training; take a smaller model"):
        with memory_faults():
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")
    with pytest.raises(RuntimeError, match="shapes differ"), memory_faults():
        raise RuntimeError("shapes differ")
