"""Ablation: ranks by hand and against the evaluation's own, the plain ranker, a small whole run."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerank.evaluation.gold import GoldKind, GoldListing, bootstrap_gold
from rerank.evaluation.outcomes import judge
from rerank.index.embedder import StaticEmbedder
from rerank.index.errors import InputError
from rerank.index.records import shipped
from rerank.model import RerankModel
from rerank.packs.gpu.candidates import CANDIDATE_FEATURES
from rerank.packs.gpu.cues import CueReader
from rerank.packs.gpu.pack import GpuResolver
from rerank.packs.gpu.retriever import Retriever, load_retriever
from rerank.packs.gpu.training.ablation import (
    COLUMNS,
    COSINE,
    FEATURE_GROUPS,
    FULL,
    FUZZY,
    LADDER,
    LEFT_OUT,
    METRICS,
    SYSTEMS,
    ScoreLearner,
    ablate,
    columns_of,
    fit_pairwise,
    train_system,
)
from rerank.packs.gpu.training.evidence import Preparer, RankerRows
from rerank.packs.gpu.training.sets import TrainingParameters
from rerank.packs.gpu.training.shortlists import RankedCandidates
from rerank.trees import TreeParameters

INF = np.inf


# --- the systems ----------------------------------------------------------------------------


def test_every_feature_is_in_exactly_one_group():
    counts = Counter(name for group in FEATURE_GROUPS for name in group.features)
    assert set(counts) == set(CANDIDATE_FEATURES)
    assert set(counts.values()) == {1}


def test_a_group_left_out_leaves_all_the_others():
    for group, system in zip(FEATURE_GROUPS, LEFT_OUT, strict=True):
        assert system.shown == group.features
        assert system.learner is ScoreLearner.TREES
        assert sorted((*system.features, *group.features)) == sorted(CANDIDATE_FEATURES)


def test_each_step_of_the_ladder_keeps_what_the_one_before_read():
    names = [step.name for step in LADDER]
    assert names == [
        "fuzzy",
        "cosine",
        "overlap_and_vendor",
        "contradictions",
        "lambdarank",
        FULL,
    ]
    _, cosine, overlap, contradictions, trees, full = LADDER
    assert set(cosine.features) < set(overlap.features) < set(contradictions.features)
    assert trees.features == contradictions.features
    assert full.features == CANDIDATE_FEATURES
    assert [step.learner for step in LADDER[2:]] == [
        ScoreLearner.LINEAR,
        ScoreLearner.LINEAR,
        ScoreLearner.TREES,
        ScoreLearner.TREES,
    ]


def test_systems_have_names_of_their_own_and_read_known_columns():
    assert len({system.name for system in SYSTEMS}) == len(SYSTEMS) == 6 + len(FEATURE_GROUPS)
    assert {name for system in SYSTEMS for name in system.features} <= set(COLUMNS)
    assert max(len(system.label) for system in SYSTEMS) <= 27  # a column of the table


# --- ranks ----------------------------------------------------------------------------------


def candidates(
    listing: list[int], key: list[int], grade: list[int], *, n: int = 1
) -> RankedCandidates:
    columns = (np.array(column, np.int64) for column in (listing, key, key, grade))
    return RankedCandidates(n, *columns, tie=np.arange(len(listing)))


def test_ranks_by_hand_count_variants_of_a_model_once():
    found = candidates([0] * 5, [7, 7, 8, 9, 9], [0, 0, 0, 1, 2])
    ranks, grades = found.outcomes(np.array([5.0, 4, 3, 2, 1]))
    assert ranks.tolist() == [3]
    assert grades[0].tolist() == [0, 0, 1] + [0] * 7  # the variant of grade 2 comes behind
    ranks, grades = found.outcomes(np.array([1.0, 1, 1, 1, 2]))
    assert (ranks.tolist(), grades[0, 0]) == ([1], 1)  # a score places models, not their variants


def test_listings_without_a_right_candidate_or_any_are_misses():
    found = candidates([0, 2, 2], [1, 1, 2], [0, 0, 2], n=4)
    ranks, grades = found.outcomes(np.array([1.0, 2, 1]))
    assert ranks.tolist() == [INF, INF, 2, INF]
    assert grades.sum(axis=1).tolist() == [0, 0, 2, 0]
    assert candidates([], [], [], n=2).outcomes(np.zeros(0))[0].tolist() == [INF, INF]


def test_equal_scores_are_ordered_by_the_tie_column():
    found = candidates([0, 0], [1, 2], [0, 1])
    assert found.outcomes(np.zeros(2))[0].tolist() == [2]
    turned = replace(found, tie=np.array([1, 0]))
    assert turned.outcomes(np.zeros(2))[0].tolist() == [1]


def test_a_grade_behind_the_tenth_place_is_not_seen():
    found = candidates([0] * 12, list(range(12)), [0] * 11 + [2])
    ranks, grades = found.outcomes(-np.arange(12.0))
    assert (ranks.tolist(), grades.sum()) == ([12], 0)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 2), st.integers(-3, 3)),
        max_size=30,
    )
)
def test_ranks_equal_a_naive_walk_down_each_listing(rows: list[tuple[int, int, int, int]]):
    rows.sort(key=lambda row: row[0])
    # A model is right or not, whatever its variant; only the grade of a right one varies.
    rows = [(at, key, max(1, grade) if key % 2 else 0, score) for at, key, grade, score in rows]
    listing, key, grade = ([row[at] for row in rows] for at in range(3))
    scores = np.array([row[3] for row in rows], float)
    ranks, grades = candidates(listing, key, grade, n=4).outcomes(scores)
    for at in range(4):
        own = [number for number in range(len(rows)) if listing[number] == at]
        top = {key[n]: max(scores[m] for m in own if key[m] == key[n]) for n in own}
        own.sort(key=lambda number: (-top[key[number]], number))
        best: dict[int, int] = {}
        for number in own:
            best.setdefault(key[number], number)
        places = [place for place, model in enumerate(best, start=1) if model % 2]
        assert ranks[at] == (places[0] if places else INF)
        expected = np.zeros(10)
        if places:
            expected[places[0] - 1] = grade[list(best.values())[places[0] - 1]]
        assert grades[at].tolist() == expected.tolist()


# --- the plain ranker -----------------------------------------------------------------------


def test_the_plain_ranker_recovers_known_weights():
    """100,000 candidates in pairs; which is better follows a logistic of a known weighted sum."""
    rng = np.random.default_rng(5)
    features = rng.normal(size=(100_000, 3)) * [1.0, 10.0, 0.1]
    truth = np.array([1.0, -0.2, 0.0])
    gap = (features[::2] - features[1::2]) @ truth
    first = rng.random(len(gap)) < 1 / (1 + np.exp(-gap))
    relevance = np.column_stack([first, ~first]).astype(np.int64).ravel()
    found = fit_pairwise(features, relevance, [2] * len(gap))
    assert found.weights[0] == pytest.approx(1.0, abs=0.03)
    assert found.weights[1] == pytest.approx(-0.2, abs=0.006)
    assert found.weights[2] == pytest.approx(0.0, abs=0.3)  # of a spread of 0.1


def test_the_plain_ranker_separates_what_can_be_separated():
    features = np.array([[0.0, 1], [1, 1], [5, 1], [3, 1], [2, 1]])
    ranker = fit_pairwise(features, np.array([0, 2, 2, 1, 0]), [2, 3])
    assert ranker.weights[0] > 0
    assert ranker.weights[1] == 0  # tells nothing
    assert np.isfinite(ranker.weights).all()
    assert ranker.score(features).tolist() == (features @ ranker.weights).tolist()


@pytest.mark.parametrize(
    ("relevance", "sizes", "match"),
    [
        ([0, 1], [3], "sizes that add up to them, got 2 grades and a sum of 3"),
        ([0], [2], "got 1 grades"),
        ([1, 1], [2], "expected candidates of different grades"),
        ([1, 0], [1, 1], "expected candidates of different grades"),
    ],
)
def test_what_the_plain_ranker_cannot_learn_from(
    relevance: list[int], sizes: list[int], match: str
):
    with pytest.raises(InputError, match=match):
        fit_pairwise(np.zeros((2, 1)), np.array(relevance), sizes)


# --- the shipped index ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped_parts() -> tuple[Retriever, CueReader]:
    retriever, _ = load_retriever(shipped("index"), StaticEmbedder.load(shipped("embedder")))
    return retriever, CueReader.load(shipped("cues.txt"))


@pytest.fixture(scope="module")
def preparer(shipped_parts: tuple[Retriever, CueReader]) -> Preparer:
    return Preparer(*shipped_parts)


@pytest.fixture(scope="module")
def gold(shipped_parts: tuple[Retriever, CueReader]) -> list[GoldListing]:
    return bootstrap_gold(shipped_parts[0].records, 120, seed=91)


def test_ranks_are_those_the_evaluation_finds(
    shipped_parts: tuple[Retriever, CueReader], gold: list[GoldListing]
):
    retriever, cues = shipped_parts
    model = RerankModel.load(shipped("model"))
    resolver = GpuResolver(retriever, model, cues, index_version="i")
    matches = [item for item in gold if item.kind is GoldKind.MATCH]
    listings = [item.listing for item in matches]
    evidence = resolver.evidence(listings)
    judged = judge(matches, resolver.resolve_many(listings))
    found = RankedCandidates.of(matches, [evidence.candidates], resolver.table)
    ranks, grades = found.outcomes(evidence.scores)
    assert ranks.tolist() == judged.ranks.tolist()
    assert grades.tolist() == judged.grades.tolist()
    assert (ranks == 1).mean() > 0.9


def test_the_columns_besides_the_features(preparer: Preparer, gold: list[GoldListing]):
    from rapidfuzz import fuzz

    labelled: Any = gold[:5]  # a preparer reads no more of them than their listings
    prepared = preparer.prepare(labelled)
    columns = columns_of(prepared, preparer)
    assert columns.shape == (len(prepared.features), len(COLUMNS))
    assert columns[:, : len(CANDIDATE_FEATURES)].tolist() == prepared.features.tolist()
    cosine, ratio = columns[:, COLUMNS.index(COSINE)], columns[:, COLUMNS.index(FUZZY)]
    assert cosine == pytest.approx(prepared.candidates.similarity, abs=1 / 2048)
    model = preparer.table.records[int(prepared.candidates.record[0])].model
    assert ratio[0] == pytest.approx(
        fuzz.token_set_ratio(_words(gold[0].title), _words(model)), abs=1e-3
    )


def _words(text: str) -> str:
    plain = "".join(char if char.isalnum() or char == "_" else " " for char in text.lower())
    return plain.strip()


def test_a_system_reads_its_own_columns_alone():
    rng = np.random.default_rng(3)
    columns = rng.integers(0, 3, (400, len(COLUMNS))).astype(np.float32)
    sizes, relevance = np.full(100, 4), np.tile([2, 0, 1, 0], 100)
    columns[:, COLUMNS.index("words_shared")] += 2 * relevance
    rows = RankerRows(columns, relevance, sizes)
    parameters = TrainingParameters(ranker=TreeParameters(trees=5, min_rows_in_leaf=5))
    for system in LADDER[1:5]:
        score = train_system(system, rows, parameters, lambda share: None)
        others = [at for at, name in enumerate(COLUMNS) if name not in system.features]
        changed = columns.copy()
        changed[:, others] += 5
        assert score(changed).tolist() == score(columns).tolist(), system.name
    trees = train_system(LADDER[5], rows, parameters, lambda share: None)
    better = trees(columns).reshape(100, 4)
    assert (better.argmax(axis=1) == 0).mean() > 0.9


@pytest.fixture(scope="module")
def report(preparer: Preparer, gold: list[GoldListing]) -> dict[str, Any]:
    parameters = TrainingParameters(ranker_listings=300, ranker=TreeParameters(trees=20))
    systems = (*LADDER, LEFT_OUT[0], LEFT_OUT[-1])
    return ablate(preparer, {"generated": gold}, parameters, systems=systems, samples=200)


def test_the_report_is_laid_out_as_documented(report: dict[str, Any], gold: list[GoldListing]):
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert sorted(report) == ["machine", "seed", "sets"]
    assert report["seed"] == 7
    content = report["sets"]["generated"]
    assert content["n"] == sum(item.kind is GoldKind.MATCH for item in gold)
    steps = content["steps"]
    assert [step["group"] for step in steps] == ["ladder"] * 6 + ["left_out"] * 2
    assert steps[-1]["name"] == "without_priors"
    assert steps[-1]["features"] == ["variant_rank", "special_form"]
    names = [metric.name for metric in METRICS]
    for step in steps:
        assert list(step["metrics"]) == names
        for figure in step["metrics"].values():
            low, high = figure["ci95"]
            assert 0 <= low <= figure["value"] <= high <= 1
            assert figure["n"] == content["n"]
        assert list(step["difference"]) == ([] if step["name"] == FULL else names)


def test_differences_are_to_the_system_with_all_features(report: dict[str, Any]):
    steps = report["sets"]["generated"]["steps"]
    full = next(step for step in steps if step["name"] == FULL)
    for step in steps:
        for name, difference in step["difference"].items():
            change = step["metrics"][name]["value"] - full["metrics"][name]["value"]
            assert difference["value"] == pytest.approx(change, abs=1.1e-4)
            low, high = difference["ci95"]
            assert low <= difference["value"] <= high
            assert difference["p_value"] <= difference["p_adjusted"] <= 1


def test_evidence_beats_fuzzy_names(report: dict[str, Any]):
    steps = {step["name"]: step for step in report["sets"]["generated"]["steps"]}
    value = {name: step["metrics"]["precision_at_1"]["value"] for name, step in steps.items()}
    assert value["fuzzy"] < value["overlap_and_vendor"]
    assert steps["fuzzy"]["difference"]["precision_at_1"]["p_adjusted"] < 0.05
    assert value[FULL] > 0.9


def test_a_run_can_be_repeated(preparer: Preparer, gold: list[GoldListing], report: Any):
    parameters = TrainingParameters(ranker_listings=300, ranker=TreeParameters(trees=20))
    again = ablate(preparer, {"generated": gold}, parameters, systems=LADDER, samples=200)
    before, after = (r["sets"]["generated"]["steps"] for r in (report, again))
    assert [step["metrics"] for step in after] == [step["metrics"] for step in before[:6]]


def test_what_cannot_be_ablated(preparer: Preparer, gold: list[GoldListing]):
    parameters = TrainingParameters(ranker_listings=300)
    nil = [item for item in gold if item.kind is GoldKind.NIL][:3]
    with pytest.raises(InputError, match="only nil: expected listings of kind match, found none"):
        ablate(preparer, {"only nil": nil}, parameters)
    with pytest.raises(InputError, match="expected the system 'all_features' to compare with"):
        ablate(preparer, {"generated": gold}, parameters, systems=LADDER[:2])
