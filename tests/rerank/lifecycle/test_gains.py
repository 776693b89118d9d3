"""Two models side by side: pairing, gains over all sets, slices, metrics that would tell."""

from __future__ import annotations

import pytest
from scripted_models import Scripted, answer

from rerank.evaluation.gold import GoldKind, GoldListing
from rerank.evaluation.intervals import Figure, Resampling
from rerank.evaluation.metrics import ACCEPTED_SHARE, PRECISION_AT_1, Metric
from rerank.evaluation.outcomes import judge
from rerank.evaluation.paired import PairedTable, RegistryFacts, pair, paired_metrics
from rerank.index.errors import InputError
from rerank.lifecycle.gates import (
    GainSettings,
    SliceSettings,
    gains_of,
    slice_gains_of,
    slice_gates,
)

AMD, NVIDIA = "Radeon RX 6600", "GeForce RTX 3080"


def matches(name: str, model: str, n: int) -> list[GoldListing]:
    return [
        GoldListing(f"{name}-{at}", f"{model} card {name} {at}", "", GoldKind.MATCH, (model,))
        for at in range(n)
    ]


def nils(name: str, n: int) -> list[GoldListing]:
    return [
        GoldListing(f"{name}-nil-{at}", f"wooden chair {at}", "", GoldKind.NIL) for at in range(n)
    ]


SETS = {
    "one": [*matches("amd", AMD, 40), *matches("nvidia", NVIDIA, 60), *nils("one", 30)],
    "two": matches("two", NVIDIA, 50),
}
EVERYTHING = [item for gold in SETS.values() for item in gold]
RIGHT = {
    item.listing_id: answer(item.gold_models[0])
    if item.gold_models
    else answer(NVIDIA, probability=0.1, decision="no_match")
    for item in EVERYTHING
}
GOOD = Scripted(RIGHT, answer(NVIDIA))


def without(ids: list[str], **how: object) -> Scripted:
    return Scripted(RIGHT | {name: answer("Arc A770", **how) for name in ids}, answer(NVIDIA))


def paired(candidate, champion, records, samples: int = 200):
    return pair(candidate, champion, SETS, RegistryFacts(records), seed=3, samples=samples)


def figures(table: PairedTable, name: str, *metrics: Metric) -> dict[str, Figure]:
    return table.figures("candidate", metrics, where=table.sliced("set")[name])


def test_figures_of_a_set_are_those_of_an_evaluation(tiny_registry):
    lossy = without([f"amd-{at}" for at in range(5)])
    both = paired(lossy, GOOD, tiny_registry)
    found = figures(both, "one", PRECISION_AT_1, ACCEPTED_SHARE)
    gold = sorted(SETS["one"], key=lambda item: item.listing_id)
    outcomes = judge(gold, lossy.resolve_many([item.listing for item in gold]))
    resampling = Resampling.draw([item.group for item in gold], seed=3, samples=200)
    alone = PairedTable({"candidate": outcomes}, resampling)
    assert found == alone.figures("candidate", (PRECISION_AT_1, ACCEPTED_SHARE))
    assert found["precision_at_1"].n == 100


def test_equal_models_gain_nothing_and_lose_no_slice(tiny_registry):
    both = paired(GOOD, GOOD, tiny_registry)
    for gain in gains_of(both, GainSettings()):
        assert (gain.difference, gain.ci95, gain.p_value, gain.n) == (0.0, (0.0, 0.0), 1.0, 150)
    slices = slice_gains_of(both, SliceSettings())
    judged = {(each.slice_name, each.value, each.gain.metric) for each in slices}
    assert ("chip vendor", "AMD", "precision_at_1") in judged
    assert ("set", "one", "nil_false_match_rate") in judged
    assert not any(value == "no match" for _, value, _ in judged)
    assert slice_gates(slices, SliceSettings())[0].passed


def test_a_loss_on_one_vendor_is_found_though_the_whole_hardly_moves(tiny_registry):
    bad = without([f"amd-{at}" for at in range(14)])
    both = paired(bad, GOOD, tiny_registry)
    (gain,) = gains_of(both, GainSettings(lowest={"precision_at_1": -0.2}))
    assert gain.difference == pytest.approx(-14 / 150)
    gates = slice_gates(slice_gains_of(both, SliceSettings()), SliceSettings())
    assert {gate.name for gate in gates if not gate.passed} >= {"chip vendor AMD: precision@1"}
    assert "set two: precision@1" not in {gate.name for gate in gates}


def test_slices_with_few_listings_are_not_judged(tiny_registry):
    bad = without([f"amd-{at}" for at in range(40)])
    slices = slice_gains_of(
        paired(bad, GOOD, tiny_registry), SliceSettings(min_listings=60, metrics=("mrr",))
    )
    assert ("chip vendor", "AMD") not in {(each.slice_name, each.value) for each in slices}
    assert ("set", "one") in {(each.slice_name, each.value) for each in slices}


def test_accepting_what_is_no_gpu_is_a_loss(tiny_registry):
    careless = without([f"one-nil-{at}" for at in range(20)])
    slices = slice_gains_of(paired(careless, GOOD, tiny_registry), SliceSettings())
    (found,) = [
        each.gain
        for each in slices
        if (each.slice_name, each.gain.metric) == ("set", "nil_false_match_rate")
    ]
    assert found.difference == pytest.approx(-20 / 30)
    assert found.ci95 is not None
    assert found.ci95[1] < 0


def test_without_a_champion_there_is_nothing_to_gain(tiny_registry):
    alone = paired(GOOD, None, tiny_registry)
    assert gains_of(alone, GainSettings()) == []
    assert slice_gains_of(alone, SliceSettings()) == []
    assert figures(alone, "two", PRECISION_AT_1)["precision_at_1"].value == 1.0


def test_sets_without_a_judged_listing_are_refused(tiny_registry):
    unclear = [GoldListing("u", "gpu", "", GoldKind.AMBIGUOUS)]
    with pytest.raises(InputError, match="expected gold listings to judge on, got 1 sets"):
        pair(GOOD, GOOD, {"unclear": unclear}, RegistryFacts(tiny_registry), seed=1, samples=20)


def test_paired_metrics_count_what_only_one_has_right():
    gold = EVERYTHING
    first = without([f"amd-{at}" for at in range(3)]).resolve_many([g.listing for g in gold])
    second = without(["two-1", "one-nil-0"]).resolve_many([g.listing for g in gold])
    found = {
        each["metric"]: each for each in paired_metrics(gold, first, second, seed=1, samples=50)
    }

    def only_right(name):
        return found[name]["only_b_right"], found[name]["only_a_right"]

    assert only_right("precision_at_1") == (3, 1)
    assert found["precision_at_1"]["gain"]["n"] == 150
    assert found["precision_at_1"]["gain"]["difference"] == pytest.approx(2 / 150, abs=1e-4)
    assert found["precision_at_1"]["listings_needed"] == 1175
    assert only_right("nil_false_match_rate") == (0, 1)
    assert found["nil_false_match_rate"]["gain"]["difference"] == pytest.approx(-1 / 30, abs=1e-4)
    assert found["accepted_share"]["listings_needed"] is None
    assert only_right("brier") == (None, None)
