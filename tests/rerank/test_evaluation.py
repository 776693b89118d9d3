"""Evaluation: outcomes by hand with a scripted resolver, and the shipped model as a whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.embedder import StaticEmbedder
from index.errors import ArtifactError, InputError
from index.gpu_index import load_retriever
from index.records import GpuRecord, Listing, Route
from index.shipped import shipped
from rerank.evaluation.baselines import TokenCoverage, default_baselines
from rerank.evaluation.evaluate import BASELINE_LISTINGS, evaluate, evaluate_routes, figures_of
from rerank.evaluation.gold import GoldKind, GoldListing, bootstrap_gold, read_gold
from rerank.evaluation.outcomes import errors_of, grade, judge, rank_of_models
from rerank.features import CueReader
from rerank.model import RerankModel
from rerank.resolver import Resolution, Resolver, ScoredCandidate

INF = np.inf
SEED = 43


def gold(
    listing_id: str, title: str = "", *models: str, memory: float | None = None, form: str = ""
) -> GoldListing:
    kind = GoldKind.MATCH if models else GoldKind.NIL
    return GoldListing(listing_id, title, "", kind, models, memory, form)


def card(model: str, memory_gb: float = 8, form: str = "PCIe") -> ScoredCandidate:
    return ScoredCandidate(f"{model}-{memory_gb}-{form}", model, memory_gb, form, 0.5, 1.0, 0.5)


def answer(probability: float, decision: str, *candidates: ScoredCandidate) -> Resolution:
    best = candidates[0] if candidates else None
    return Resolution(
        gpu_id=best.gpu_id if best else None, model=best.model if best else None,
        memory_gb=best.memory_gb if best else None, form_factor=best.form_factor if best else None,
        match_probability=probability, margin=0.0, decision=decision, reason="scripted",
        candidates=candidates, model_version="m1", index_version="i1",
    )  # fmt: skip


@dataclass
class Scripted:
    """A resolver that says what it was told to say, by title."""

    answers: dict[str, Resolution]
    calls: int = 0

    def resolve(self, listing: Listing, *, top_k: int = 20) -> Resolution:
        return self.resolve_many([listing], top_k=top_k)[0]

    def resolve_many(
        self, listings: Sequence[Listing], *, top_k: int = 20
    ) -> Sequence[Resolution]:  # fmt: skip
        self.calls += 1
        return [self.answers[listing.title] for listing in listings]


GOLD = [
    gold("right", "a", "GeForce RTX 3080", memory=10),
    gold("review", "b", "GeForce RTX 3080"),
    gold("sibling", "c", "GeForce RTX 3080"),
    gold("variant", "d", "GeForce RTX 3080", memory=12),
    gold("lost", "e", "GeForce RTX 3080"),
    gold("empty", "f", "GeForce RTX 3080"),
    gold("nil", "g"),
    gold("trap", "h"),
    GoldListing("either", "i", "", GoldKind.AMBIGUOUS, ("A100",)),
]
RIGHT, TI, T4 = card("GeForce RTX 3080", 10), card("GeForce RTX 3080 Ti", 12), card("Tesla T4", 16)
ANSWERS = {
    "a": answer(0.95, "match", RIGHT, TI),
    "b": answer(0.65, "review", card("NVIDIA RTX 3080", 12), TI),
    "c": answer(0.85, "match", TI, card("GeForce RTX 3080 Ti", 20), RIGHT),
    "d": answer(0.75, "match", RIGHT, card("GeForce RTX 3080", 12)),
    "e": answer(0.35, "review", TI, T4),
    "f": answer(0.0, "no_match"),
    "g": answer(0.05, "no_match", T4),
    "h": answer(0.55, "match", T4),
    "i": answer(0.99, "match", T4),
}


def outcomes() -> Any:
    return judge(GOLD, [ANSWERS[item.title] for item in GOLD])


# --- outcomes -------------------------------------------------------------------------------


def test_outcomes_by_hand():
    found = outcomes()
    assert found.ranks.tolist() == [1, 1, 2, 1, INF, INF, INF, INF]
    assert found.is_match.tolist() == [True] * 6 + [False] * 2
    assert found.accepted.tolist() == [True, False, True, True, False, False, False, True]
    assert found.correct.tolist() == [True, True, False, True, False, False, False, False]
    assert found.memory_judged.tolist() == [True, False, False, True] + [False] * 4
    assert found.memory_agrees[found.memory_judged].tolist() == [True, False]
    assert found.grades[:, :3].tolist() == [
        [2, 0, 0], [2, 0, 0], [0, 2, 0], [1, 0, 0], *[[0, 0, 0]] * 4,
    ]  # fmt: skip


def test_figures_by_hand():
    figures = figures_of(outcomes())
    found = {name: (figure.value, figure.n) for name, figure in figures.items()}
    log = 1 / np.log2(3)
    assert found == {
        "precision_at_1": (pytest.approx(3 / 6), 6),
        "recall_at_3": (pytest.approx(4 / 6), 6),
        "recall_at_10": (pytest.approx(4 / 6), 6),
        "recall_at_20": (pytest.approx(4 / 6), 6),
        "mrr": (pytest.approx(3.5 / 6), 6),
        "ndcg_at_10": (pytest.approx((1 + 1 + log + 0.5) / 6), 6),
        # right: .95 .65 .75; wrong: .85 .35 .0 .05 .55 -> 15 pairs, lost .65<.85 and .75<.85.
        "roc_auc": (pytest.approx(13 / 15), 8),
        "ece": (pytest.approx((0.05 + 0.35 + 0.85 + 0.25 + 0.35 + 0.05 + 0.55) / 8), 8),
        "brier": (
            pytest.approx(
                (0.05**2 + 0.35**2 + 0.85**2 + 0.25**2 + 0.35**2 + 0.05**2 + 0.55**2) / 8
            ),
            8,
        ),
        "nil_false_match_rate": (0.5, 2),
        "accepted_share": (0.5, 6),
        "precision_of_accepted": (0.5, 4),
        "memory_variant_accuracy": (0.5, 2),
    }


def test_figures_of_nil_listings_alone():
    figures = figures_of(judge([gold("n", "g")], [ANSWERS["g"]]))
    assert figures["nil_false_match_rate"].value == 0.0
    assert figures["ece"].value == pytest.approx(0.05)
    assert {n for n, f in figures.items() if f.value is None} == {
        "precision_at_1", "recall_at_3", "recall_at_10", "recall_at_20", "mrr", "ndcg_at_10",
        "roc_auc", "accepted_share", "precision_of_accepted", "memory_variant_accuracy",
    }  # fmt: skip


def test_figures_of_nothing_are_all_none():
    figures = figures_of(judge([], []))
    assert {(figure.value, figure.ci95, figure.n) for figure in figures.values()} == {
        (None, None, 0)
    }


@settings(deadline=None)
@given(st.permutations(range(len(GOLD))), st.text(max_size=5))
def test_ids_and_order_do_not_matter(order: list[int], prefix: str):
    renamed = [replace(GOLD[i], listing_id=f"{prefix}{i}") for i in order]
    answers = [
        replace(
            ANSWERS[GOLD[i].title],
            candidates=tuple(
                replace(c, gpu_id=prefix + c.gpu_id) for c in ANSWERS[GOLD[i].title].candidates
            ),
        )
        for i in order
    ]
    before = figures_of(outcomes(), samples=2)
    after = figures_of(judge(renamed, answers), samples=2)
    assert {n: f.n for n, f in after.items()} == {n: f.n for n, f in before.items()}
    assert {n: f.value for n, f in after.items()} == {
        n: pytest.approx(f.value) for n, f in before.items()
    }


def test_variants_and_spellings_of_a_model_count_once():
    ranked = ["NVIDIA Tesla T4", "T4", "GeForce RTX 3080", "RTX 3080", "A100"]
    assert rank_of_models(ranked, gold("x", "", "A100")) == 3
    assert rank_of_models(ranked, gold("x", "", "A100", "Tesla T4")) == 1
    assert rank_of_models(ranked, gold("x", "", "A40")) == INF
    assert rank_of_models([], gold("x", "", "A40")) == INF


@pytest.mark.parametrize(
    ("memory", "form", "candidate", "expected"),
    [
        (None, "", card("RTX A2000", 6), 2),
        (12, "", card("RTX A2000", 12), 2),
        (12, "", card("RTX A2000", 6), 1),
        (1.28, "", card("RTX A2000", 1.25), 2),
        (0.5, "", card("RTX A2000", 0.25), 1),
        (12, "", card("RTX A2000", 11), 1),
        (None, "mobile", card("RTX A2000", 6, "mobile"), 2),
        (None, "MOBILE", card("RTX A2000", 6, "mobile"), 2),
        (None, "mobile", card("RTX A2000", 6, "PCIe"), 1),
        (6, "", card("RTX A4000", 6), 0),
    ],
)
def test_grades(memory: float | None, form: str, candidate: ScoredCandidate, expected: int):
    assert grade(gold("x", "", "RTX A2000", memory=memory, form=form), candidate) == expected


def test_gold_and_answers_must_pair_up():
    with pytest.raises(ValueError, match="shorter"):
        judge(GOLD, [ANSWERS["a"]])


# --- errors ---------------------------------------------------------------------------------


def test_errors_say_which_part_failed_the_costliest_first():
    errors = errors_of(GOLD, [ANSWERS[item.title] for item in GOLD])
    assert [(error["listing_id"], error["kind"]) for error in errors] == [
        ("sibling", "ranking"),
        ("variant", "ranking"),
        ("trap", "decision"),
        ("lost", "retrieval"),
        ("empty", "retrieval"),
        ("review", "decision"),
    ]
    assert errors[1] == {
        "listing_id": "variant", "title": "d", "want": "GeForce RTX 3080 12 GB",
        "got": "GeForce RTX 3080 10 GB", "probability": 0.75, "decision": "match",
        "kind": "ranking",
    }  # fmt: skip
    assert (errors[2]["want"], errors[2]["got"]) == ("no match", "Tesla T4 16 GB")
    assert errors[4]["got"] == "no candidates"


# --- the report -----------------------------------------------------------------------------


def report(**options: Any) -> dict[str, Any]:
    return evaluate(Scripted(ANSWERS), {"hand": GOLD, "nil": [GOLD[6]]}, **options)


def without_latency(found: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key != "latency_ms"}


def test_report_layout():
    baseline = TokenCoverage(["GeForce RTX 3080", "Tesla T4"])
    found = json.loads(json.dumps(report(baselines=[baseline])))
    assert sorted(found) == [
        "index_version", "latency_ms", "machine", "model_version", "seed", "sets",
    ]  # fmt: skip
    assert (found["model_version"], found["index_version"]) == ("m1", "i1")
    assert found["latency_ms"]["n"] == 10
    assert 0 <= found["latency_ms"]["p50"] <= found["latency_ms"]["p99"]
    assert sorted(found["machine"]) == ["cores", "platform", "python"]
    hand = found["sets"]["hand"]
    assert (hand["n"], hand["kinds"]) == (8, {"match": 6, "nil": 2, "ambiguous": 1})
    assert hand["metrics"]["precision_at_1"]["value"] == 0.5
    assert hand["error_counts"] == {"ranking": 2, "retrieval": 2, "decision": 2}
    assert sorted(hand["baselines"]["token_coverage"]) == [
        "gain_precision_at_1", "mrr", "precision_at_1", "recall_at_10", "recall_at_3",
    ]  # fmt: skip
    empty = found["sets"]["nil"]["baselines"]["token_coverage"]["precision_at_1"]
    assert empty == {"value": None, "ci95": [None, None], "n": 0}


def test_report_repeats_with_its_seed():
    assert without_latency(report(seed=3)) == without_latency(report(seed=3))
    one, other = (report(seed=seed)["sets"]["hand"]["metrics"] for seed in (3, 4))
    assert {n: f["value"] for n, f in one.items()} == {n: f["value"] for n, f in other.items()}
    assert one != other


def test_gain_is_ours_minus_theirs_on_the_same_listings():
    """By name order the rule puts the plain 3080 first everywhere: all six are its hits."""
    rule = TokenCoverage(["GeForce RTX 3080", "GeForce RTX 3080 Ti"])
    found = report(baselines=[rule])["sets"]["hand"]["baselines"]["token_coverage"]
    assert found["precision_at_1"]["value"] == 1.0
    assert found["gain_precision_at_1"]["value"] == pytest.approx(0.5 - 1.0)
    low, high = found["gain_precision_at_1"]["ci95"]
    assert -1 <= low < -0.5 < high <= 0


def test_baselines_see_a_subsample_of_matches_only():
    @dataclass
    class Counting:
        name: str = "counting"
        titles: tuple[str, ...] = ()

        def rank(self, titles: Sequence[str], k: int) -> list[list[str]]:
            self.titles = tuple(titles)
            return [["GeForce RTX 3080"]] * len(titles)

    many = [replace(GOLD[i % 9], listing_id=str(i)) for i in range(1800)]
    counting = Counting()
    found = evaluate(Scripted(ANSWERS), {"many": many}, baselines=[counting])
    assert len(counting.titles) == BASELINE_LISTINGS
    assert set(counting.titles) == set("abcdef")
    gain = found["sets"]["many"]["baselines"]["counting"]["gain_precision_at_1"]
    assert (gain["n"], gain["value"]) == (BASELINE_LISTINGS, pytest.approx(-0.5, abs=0.07))


def test_errors_are_capped_but_counted():
    many = [replace(GOLD[2], listing_id=str(i)) for i in range(80)]
    found = evaluate(Scripted(ANSWERS), {"many": many})["sets"]["many"]
    assert (len(found["errors"]), found["error_counts"]) == (50, {"ranking": 80})


def test_progress_is_told_and_stays_in_range():
    told: list[tuple[str, float]] = []
    report(progress=lambda stage, share: told.append((stage, share)))
    assert told[0] == ("hand: resolving", 0.0)
    assert told[-1] == ("latency", 0.0)
    assert all(0 <= share <= 1 for _, share in told)


@pytest.mark.parametrize("sets", [{}, {"empty": []}])
def test_nothing_to_evaluate_is_an_error(sets: dict[str, list[GoldListing]]):
    with pytest.raises(InputError, match=f"got {len(sets)} sets without any"):
        evaluate(Scripted(ANSWERS), sets)


# --- routes ---------------------------------------------------------------------------------


class ScriptedRetriever:
    """Answers each route with its own list of registry rows, for every listing the same."""

    def __init__(self, models: Sequence[str], rows: dict[Route, list[int]]) -> None:
        self.table: Any = SimpleNamespace(
            records=[GpuRecord(m, m, "", "", "", 8, "", "PCIe", 2020) for m in models]
        )
        self._rows = rows

    def retrieve(
        self, listings: Sequence[Listing], *, n_candidates: int = 20, route: Route = Route.FUSED
    ) -> Any:
        per_listing = [self._rows[route] if item.title else [] for item in listings]
        return SimpleNamespace(
            offsets=np.array([0, *accumulate(len(rows) for rows in per_listing)]),
            record=np.array([row for rows in per_listing for row in rows], np.int64),
        )


def test_recall_of_routes_by_hand():
    """Variants of one model count once, an unanswered listing is a miss, nil is left out."""
    models = ["A", "A", "B", "C", "D", "E"]
    rows = {Route.VECTOR: [0, 1, 2, 3], Route.NAME: [4, 3, 0, 5], Route.FUSED: [3, 4]}
    listings = [
        gold("1", "x", "C"), gold("2", "x", "D"), gold("3", "", "C"), gold("4", "x"),
        gold("5", "x", "E"),
    ]  # fmt: skip
    found = evaluate_routes(ScriptedRetriever(models, rows), listings)
    values = {
        route: [figures[f"recall_at_{k}"]["value"] for k in (1, 3, 10, 20)]
        for route, figures in found.items()
    }
    assert values == {
        "vector": [0, 0.25, 0.25, 0.25],
        "name": [0.25, 0.5, 0.75, 0.75],
        "fused": [0.25, 0.5, 0.5, 0.5],
    }
    assert found["vector"]["recall_at_1"]["n"] == 4


def test_routes_are_reported_when_a_retriever_is_given():
    retriever = ScriptedRetriever(["GeForce RTX 3080"], {route: [0] for route in Route})
    sets = report(retriever=retriever)["sets"]
    assert sets["hand"]["routes"] == evaluate_routes(retriever, GOLD)
    assert sets["nil"]["routes"]["fused"]["recall_at_1"]["value"] is None
    assert report()["sets"]["hand"]["routes"] == {}


# --- the shipped model ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped_report() -> dict[str, Any]:
    """The shipped model on the hard set and on 200 generated listings of unseen models."""
    try:
        folders = {name: shipped(name) for name in ("embedder", "index", "model")}
    except ArtifactError as error:
        pytest.skip(str(error))
    retriever, manifest = load_retriever(
        folders["index"], StaticEmbedder.load(folders["embedder"])
    )  # fmt: skip
    resolver = Resolver(
        retriever, RerankModel.load(folders["model"]), CueReader.load(shipped("cues.yaml")),
        index_version=manifest.fingerprint,
    )  # fmt: skip
    sets = {
        "hard_set": read_gold(shipped("hard_set.csv")),
        "bootstrap_test": bootstrap_gold(retriever.records, 200, SEED),
    }
    baselines = default_baselines(retriever.records)
    return evaluate(resolver, sets, baselines=baselines, retriever=retriever)


@pytest.mark.parametrize("name", ["hard_set", "bootstrap_test"])
def test_the_shipped_model_beats_every_baseline(shipped_report: dict[str, Any], name: str):
    found = shipped_report["sets"][name]["baselines"]
    lowest = {name: figures["gain_precision_at_1"]["ci95"][0] for name, figures in found.items()}
    assert len(lowest) == 4
    assert min(lowest.values()) > 0, lowest


@pytest.mark.parametrize("name", ["hard_set", "bootstrap_test"])
def test_the_shipped_figures_fit_together(shipped_report: dict[str, Any], name: str):
    report = shipped_report["sets"][name]
    values = {key: figure["value"] for key, figure in report["metrics"].items()}
    routes = {key: route["recall_at_20"]["value"] for key, route in report["routes"].items()}
    assert report["n"] == {"hard_set": 300, "bootstrap_test": 200}[name]
    assert values["precision_at_1"] <= values["recall_at_3"] <= values["recall_at_10"]
    assert values["recall_at_20"] == routes["fused"]  # ranking orders, it finds nothing new
    assert all(0 <= value <= 1 for value in values.values())


def test_the_shipped_report_is_json_and_names_its_versions(shipped_report: dict[str, Any]):
    json.dumps(shipped_report, allow_nan=False)
    assert len(shipped_report["model_version"]) == len(shipped_report["index_version"]) == 16
