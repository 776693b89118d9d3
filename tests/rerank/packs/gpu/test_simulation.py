"""The simulation of queues: halves, revealed answers and figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rerank.annotation.queue import (
    LOG_LOSS,
    MEASURES,
    Halving,
    QueueItem,
    QueueStrategy,
    SimulationPlan,
)
from rerank.evaluation.gold import GoldKind, GoldListing, Split, split_of
from rerank.evaluation.outcomes import Outcomes
from rerank.index.errors import InputError
from rerank.packs.gpu.training.simulation import (
    SimulatedRun,
    Simulation,
    answers_of,
    figures,
    halved,
    measured,
    teach_all,
)

NAMES = tuple(measure.name for measure in MEASURES)


def gold(listing_id: str, title: str, *models: str, kind: GoldKind | None = None) -> GoldListing:
    known = kind or (GoldKind.MATCH if models else GoldKind.NIL)
    return GoldListing(listing_id, title, "", known, models)


def listings() -> list[GoldListing]:
    """Six listings of each of ten models, two of each title, and twenty holders of two kinds."""
    sold = [
        gold(f"{model}-{at}", f"Card {model} edition {chr(97 + at // 2)}", f"GeForce GTX {model}")
        for model in range(700, 710)
        for at in range(6)
    ]
    others = [gold(f"h{at}", f"{'GPU holder' if at % 2 else 'Fan'} no {at}") for at in range(20)]
    return [*sold, *others]


@pytest.mark.parametrize("halving", list(Halving))
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_listing_is_in_one_half(halving, seed):
    pool, rest = halved(listings(), halving, seed=seed)
    assert sorted([*pool, *rest]) == list(range(80))
    assert 40 <= len(pool) <= 50  # whole groups, of at most ten


@pytest.mark.parametrize("seed", range(5))
def test_a_models_listings_and_like_worded_others_stay_together(seed):
    items = listings()
    pool, rest = halved(items, Halving.MODEL, seed=seed)
    assert {items[row].gold_models for row in pool if items[row].gold_models}.isdisjoint(
        items[row].gold_models for row in rest
    )
    words = [{items[row].title.split(" no ")[0] for row in half} for half in (pool, rest)]
    assert {"Fan", "GPU holder"}.isdisjoint(words[0] & words[1])


def test_halving_by_listing_parts_models_but_not_titles():
    items = listings()
    pool, rest = halved(items, Halving.LISTING, seed=1)
    titles = [{items[row].title for row in half} for half in (pool, rest)]
    models = [{items[row].gold_models for row in half} for half in (pool, rest)]
    assert titles[0].isdisjoint(titles[1])
    assert len(models[0] & models[1]) > 5


def test_halves_are_those_of_the_seed():
    assert halved(listings(), Halving.MODEL, seed=4) == halved(listings(), Halving.MODEL, seed=4)
    assert halved(listings(), Halving.MODEL, seed=4) != halved(listings(), Halving.MODEL, seed=5)


def test_answers_are_what_a_person_who_knows_the_gold_would_say(tiny_retriever):
    items = [
        gold("1", "Intel Arc A770 16GB", "Arc A770"),
        gold("2", "MSI 6600XT", "RX 6600 XT"),  # another spelling of the registry's name
        gold("3", "some RTX 3080 or so", "GeForce RTX 9999", "GeForce RTX 3080"),
        gold("4", "RTX 9999", "GeForce RTX 9999"),
        gold("5", "GPU support bracket"),
        gold("6", "card", kind=GoldKind.AMBIGUOUS),
    ]
    found = answers_of(items, tiny_retriever)
    assert {key: item.model for key, item in found.items()} == {
        "1": "Arc A770",
        "2": "Radeon RX 6600 XT",
        "3": "GeForce RTX 3080",
        "4": None,
        "5": None,
    }
    assert found["1"].gpu_id == "arc-a770-16gb-gddr6"
    assert [found[key].kind for key in "145"] == ["match", "nil", "nil"]


def test_every_answer_teaches_and_those_of_validation_models_calibrate(tiny_retriever):
    by_split = {split_of(r.model): r.model for r in tiny_retriever.records}
    items = [gold(model, model, model) for model in by_split.values()]
    taught = list(answers_of(items, tiny_retriever).values())
    annotated = teach_all(taught, weight=3.0)
    expected = [model for split, model in by_split.items() if split is not Split.VALIDATION]
    assert [item.model for item in annotated.ranker] == expected
    assert [item.model for item in annotated.offer] == expected
    assert by_split[Split.TEST] in expected
    assert {split_of(item.model or "") for item in annotated.validation} <= {Split.VALIDATION}
    assert len(annotated.offer) + len(annotated.validation) == len(items)
    assert annotated.weight == 3.0


def outcomes(probability: list[float], ranks: list[float], is_match: list[bool]) -> Outcomes:
    size = len(ranks)
    nothing = np.zeros(size, bool)
    return Outcomes(
        np.array(is_match),
        np.array(ranks, float),
        np.zeros((size, 10)),
        np.array(probability),
        np.array(probability) >= 0.8,
        nothing,
        nothing,
        nothing,
        np.ones(size),
    )


def test_measures_by_hand():
    """Two right, one wrong match held back, one holder accepted."""
    inf = float("inf")
    found = measured(outcomes([0.9, 0.8, 0.4, 0.8], [1, 1, 2, inf], [True, True, True, False]))
    assert found["precision_at_1"] == pytest.approx(2 / 3)
    assert found["brier"] == pytest.approx((0.01 + 0.04 + 0.16 + 0.64) / 4)
    logs = np.log([0.9, 0.8, 0.6, 0.2])
    assert found["log_loss"] == pytest.approx(-logs.mean())
    assert found["accepted_share"] == pytest.approx(2 / 3)
    assert found["precision_of_accepted"] == pytest.approx(2 / 3)
    assert found["nil_false_match_rate"] == 1.0
    assert found["accepted_at_99"] == 0.25
    assert set(found) == set(NAMES)


def test_log_loss_of_a_certain_error_is_finite():
    assert outcomes([1.0], [2], [True]).value(LOG_LOSS) == pytest.approx(np.log(1000))
    assert outcomes([], [], []).value(LOG_LOSS) is None


def run_of(repeat: int, queue: QueueStrategy | None, value: float | None) -> SimulatedRun:
    return SimulatedRun(repeat, queue, 0 if queue is None else 25, dict.fromkeys(NAMES, value))


def test_figures_are_paired_by_repeat():
    runs = []
    for repeat, (base, uncertain, random) in enumerate(
        [(0.50, 0.60, 0.55), (0.70, 0.80, 0.74), (0.20, 0.30, 0.27)]
    ):
        runs += [
            run_of(repeat, None, base),
            run_of(repeat, QueueStrategy.UNCERTAIN, uncertain),
            run_of(repeat, QueueStrategy.RANDOM, random),
        ]
    found = figures(runs, seed=1)
    assert found["base"]["brier"] == pytest.approx(1.4 / 3, abs=1e-6)
    uncertain, random = found["arms"]
    assert (uncertain["queue"], uncertain["answers"]) == ("uncertain", 25)
    assert uncertain["mean"]["brier"] == pytest.approx(1.7 / 3, abs=1e-6)
    assert uncertain["lift"]["brier"] == {"value": 0.1, "ci95": [0.1, 0.1], "n": 3}
    over = uncertain["over_random"]["brier"]
    assert over["value"] == pytest.approx((0.05 + 0.06 + 0.03) / 3, abs=1e-6)
    assert 0.03 <= over["ci95"][0] < over["value"] < over["ci95"][1] <= 0.06
    assert random["over_random"] == {}


def test_repeats_without_a_value_are_left_out():
    runs = [
        run_of(0, None, 0.5),
        run_of(0, QueueStrategy.UNCERTAIN, None),
        run_of(1, None, 0.5),
        run_of(1, QueueStrategy.UNCERTAIN, 0.6),
    ]
    [arm] = figures(runs, seed=1)["arms"]
    assert arm["lift"]["brier"]["n"] == 1
    assert arm["mean"]["brier"] == 0.6
    assert arm["over_random"] == {}


@pytest.mark.parametrize("answers", [(), (0, 5), (50, 25), (25, 25)])
def test_numbers_of_answers_must_rise(answers):
    with pytest.raises(InputError, match="expected rising numbers of answers"):
        SimulationPlan(answers=answers)


@pytest.mark.parametrize("changes", [{"repeats": 0}, {"queues": ()}])
def test_something_must_be_simulated(changes):
    with pytest.raises(InputError, match="expected at least 1 repeat and 1 queue"):
        SimulationPlan(**changes)


@pytest.fixture(scope="module")
def small_simulation(tmp_path_factory: pytest.TempPathFactory):
    """A simulation over generated gold and a laboratory of a few hundred listings."""
    from rerank.evaluation.gold import bootstrap_gold
    from rerank.index.records import shipped
    from rerank.packs.gpu.cues import CueReader
    from rerank.packs.gpu.training.sets import TrainingParameters
    from rerank.packs.gpu.training.simulation import Laboratory
    from rerank.workspace import Workspace, open_retriever

    retriever, _ = open_retriever(Workspace(tmp_path_factory.mktemp("empty")))
    sizes = TrainingParameters(ranker_listings=300, offer_listings=400, validation_listings=100)
    laboratory = Laboratory(retriever, CueReader.load(shipped("cues.txt")), sizes)
    items = bootstrap_gold(retriever.records, 120, seed=3)

    def make_items(resolver, plain, shops):
        pairs = zip(plain, shops, resolver.resolve_many(plain), strict=True)
        return [QueueItem(*pair, votes=("", "")) for pair in pairs]

    shops = ["shop"] * len(items)
    return laboratory, Simulation(laboratory, items, shops, make_items=make_items), items


@pytest.mark.slow
def test_a_simulation_repeats_itself_and_measures_every_arm(small_simulation):
    _, simulation, _ = small_simulation
    queues = (QueueStrategy.UNCERTAIN, QueueStrategy.RANDOM)
    plan = SimulationPlan(answers=(5, 10), repeats=2, queues=queues)
    runs = simulation.run(plan)
    arms = [(None, 0)] + [(queue, number) for queue in queues for number in (5, 10)]
    assert [(run.repeat, run.queue, run.answers) for run in runs] == [
        (repeat, *arm) for repeat in range(2) for arm in arms
    ]
    assert all(set(run.values) == set(NAMES) for run in runs)
    assert simulation.run(plan) == runs
    other = simulation.run(replace(plan, repeats=1, seed=8))
    assert [run.values for run in other] != [run.values for run in runs[: len(other)]]


@pytest.mark.slow
def test_gold_listings_need_different_ids(small_simulation):
    laboratory, _, items = small_simulation
    with pytest.raises(InputError, match="gold listings of different ids"):
        Simulation(laboratory, [items[0], items[0]], ["a", "b"], make_items=lambda a, b, c: [])
