"""Baselines: one contract suite over all four, an exact slow version of each, values."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from rapidfuzz import fuzz, utils

from rerank.evaluation.baselines import (
    Baseline,
    FuzzyNames,
    NgramCosine,
    TokenCoverage,
    best_models,
    default_baselines,
)
from rerank.index.errors import InputError
from rerank.index.records import GpuRecord

MODELS = [
    "GeForce GTX 1060",
    "GeForce RTX 3060",
    "GeForce RTX 3060 Ti",
    "GeForce RTX 4060 Ti",
    "Quadro RTX 4000",
    "RTX 4000 Ada",
    "Radeon RX 6600",
    "Radeon RX 6600 XT",
    "Radeon HD 7970",
    "Tesla V100",
]
TITLES = [
    "MSI GeForce RTX 4060 Ti Ventus 8GB",
    "sapphire pulse radeon rx6600xt 8g",
    "hd7970 3gb dvi",
    "",
    "видеокарта",
]


def models_as_records() -> list[GpuRecord]:
    return [
        GpuRecord(f"{model}-{memory}", model, "NVIDIA", "", "", memory, "GDDR6", "PCIe", 2020)
        for model in MODELS
        for memory in (8, 4)
    ]


def slow_fuzzy(scorer: Callable[..., float]) -> Callable[[str], dict[str, float]]:
    def score(title: str) -> dict[str, float]:
        cleaned = utils.default_process(title)
        return {m: np.float32(scorer(cleaned, utils.default_process(m))) for m in MODELS}

    return score


def slow_ngrams(title: str) -> dict[str, float]:
    """Sparse TF-IDF cosine in dictionaries: smoothed IDF, runs of 2-4 characters of ` word `."""

    def grams(text: str) -> Counter[str]:
        words = [f" {word} " for word in text.lower().split()]
        return Counter(
            w[i : i + n] for w in words for n in (2, 3, 4) for i in range(len(w) - n + 1)
        )

    counts = {model: grams(model) for model in MODELS}
    held = Counter(gram for own in counts.values() for gram in own)
    idf = {gram: math.log((1 + len(MODELS)) / (1 + n)) + 1 for gram, n in held.items()}

    def unit(own: Counter[str]) -> dict[str, float]:
        raw = {gram: n * idf[gram] for gram, n in own.items() if gram in idf}
        norm = math.sqrt(sum(v * v for v in raw.values())) or 1.0
        return {gram: v / norm for gram, v in raw.items()}

    query = unit(grams(title))
    return {
        m: sum(v * query.get(g, 0.0) for g, v in unit(own).items()) for m, own in counts.items()
    }


def slow_coverage(title: str) -> dict[str, float]:
    tokens = {model: set(re.findall(r"[a-z]+|\d+", model.lower())) for model in MODELS}
    said = set(re.findall(r"[a-z]+|\d+", title.lower()))
    held = Counter(token for own in tokens.values() for token in own)
    idf = {token: math.log(len(MODELS) / n) for token, n in held.items()}
    return {m: sum(idf[t] * (1 if t in said else -1) for t in own) for m, own in tokens.items()}


EXACT = {
    "rapidfuzz_token_set_ratio": slow_fuzzy(fuzz.token_set_ratio),
    "rapidfuzz_wratio": slow_fuzzy(fuzz.WRatio),
    "char_ngram_tfidf": slow_ngrams,
    "token_coverage": slow_coverage,
}


@pytest.fixture(params=sorted(EXACT))
def baseline(request: pytest.FixtureRequest) -> Baseline:
    return next(b for b in default_baselines(models_as_records()) if b.name == request.param)


def test_scores_equal_the_slow_version(baseline: Baseline):
    for title, ranked in zip(TITLES, baseline.rank(TITLES, len(MODELS)), strict=True):
        scores = EXACT[baseline.name](title)
        found = [scores[model] for model in ranked]
        assert sorted(ranked) == sorted(MODELS)
        assert found == pytest.approx(sorted(scores.values(), reverse=True), abs=1e-5)


def test_batch_equals_single(baseline: Baseline):
    assert baseline.rank(TITLES, 4) == [baseline.rank([title], 4)[0] for title in TITLES]


def test_fewer_are_the_first_of_more(baseline: Baseline):
    many = baseline.rank(TITLES, 7)
    assert baseline.rank(TITLES, 3) == [row[:3] for row in many]
    assert all(len(set(row)) == 7 for row in many)
    assert all(len(row) == len(MODELS) for row in baseline.rank(TITLES, 99))


def test_order_and_repetition_of_models_do_not_matter(baseline: Baseline):
    records = models_as_records()
    again = next(b for b in default_baselines(reversed(records)) if b.name == baseline.name)
    assert again.rank(TITLES, 5) == baseline.rank(TITLES, 5)


def test_a_model_name_finds_itself(baseline: Baseline):
    assert [row[0] for row in baseline.rank(["Tesla V100", "Radeon HD 7970"], 1)] == [
        "Tesla V100",
        "Radeon HD 7970",
    ]


def test_a_title_without_evidence_is_ranked_all_the_same(baseline: Baseline):
    assert [len(row) for row in baseline.rank(["", "???", "日本"], 3)] == [3, 3, 3]


def test_no_titles_no_answers(baseline: Baseline):
    assert baseline.rank([], 3) == []


def test_k_must_be_positive(baseline: Baseline):
    with pytest.raises(InputError, match="k must be at least 1, got 0"):
        baseline.rank(["Tesla V100"], 0)
    with pytest.raises(InputError, match="k must be at least 1, got -1"):
        baseline.rank([], -1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: FuzzyNames("fuzzy", [], fuzz.WRatio),
        lambda: NgramCosine([]),
        lambda: TokenCoverage([]),
    ],
    ids=["fuzzy", "ngrams", "coverage"],
)
def test_models_are_needed(make: Callable[[], Baseline]):
    with pytest.raises(InputError, match="at least one model"):
        make()


def test_ties_go_by_name():
    models = ["a", "b", "c"]
    assert best_models(np.array([[1.0, 2.0, 2.0], [0.0, 0.0, 0.0]]), models, 2) == [
        ["b", "c"],
        ["a", "b"],
    ]


def test_token_set_ratio_cannot_tell_a_suffix():
    """Why it is a baseline: every token of the shorter name is there, so both score 100."""
    ratio = FuzzyNames("ratio", MODELS, fuzz.token_set_ratio)
    assert ratio.rank(["Zotac GeForce RTX 3060 Ti"], 2) == [
        ["GeForce RTX 3060", "GeForce RTX 3060 Ti"]
    ]


def test_coverage_sees_through_missing_spaces():
    rule = TokenCoverage(MODELS)
    assert [row[0] for row in rule.rank(["msi RTX3060TI gaming x", "RTX4000ada"], 1)] == [
        "GeForce RTX 3060 Ti",
        "RTX 4000 Ada",
    ]
