"""Gates: figures by hand against bounds."""

from __future__ import annotations

import pytest

from rerank.evaluation.intervals import Comparison, Figure
from rerank.evaluation.paired import as_gain
from rerank.lifecycle.gates import (
    GainSettings,
    Gate,
    GateVerdict,
    LatencySettings,
    SliceGain,
    SliceSettings,
    floor_gates,
    gain_gates,
    latency_gates,
    size_gate,
    slice_gates,
)


def gain(metric: str, low: float, high: float, p: float = 1.0) -> Comparison:
    return Comparison(metric, "candidate", "champion", (low + high) / 2, (low, high), p, p, 100)


def slice_gain(value: str, low: float, high: float, p: float) -> SliceGain:
    return SliceGain("generation", value, gain("precision_at_1", low, high, p))


@pytest.mark.parametrize(
    ("metric", "value", "bound", "passed"),
    [
        ("precision_at_1", 0.9, 0.9, True),
        ("precision_at_1", 0.899, 0.9, False),
        ("ece", 0.05, 0.05, True),
        ("ece", 0.051, 0.05, False),
        ("nil_false_match_rate", 0.2, 0.1, False),
    ],
)
def test_floors_are_least_values_and_greatest_where_lower_is_better(metric, value, bound, passed):
    (gate,) = floor_gates("mine", {metric: Figure(value, (0.0, 1.0), 9)}, {metric: bound})
    assert gate.passed is passed
    assert gate.at_most is (metric != "precision_at_1")
    assert gate.name.startswith("mine: ")


def test_what_no_listing_measures_is_not_judged():
    (gate,) = floor_gates("mine", {"ece": Figure(None, None, 0)}, {"ece": 0.1})
    assert (gate.passed, gate.words) == (True, "no listing to measure it on")


def test_the_low_end_of_a_gain_decides():
    settings = GainSettings(lowest={"precision_at_1": -0.01, "accepted_share": -0.01})
    gates = gain_gates(
        [gain("precision_at_1", -0.01, 0.2), gain("accepted_share", -0.011, 0.3)], settings
    )
    assert [gate.passed for gate in gates] == [True, False]


@pytest.mark.parametrize(("low", "passed"), [(0.0, False), (0.001, True)])
def test_a_required_gain_is_one_beyond_chance(low, passed):
    settings = GainSettings(require=True, lowest={"precision_at_1": -0.01, "mrr": -0.01})
    gates = gain_gates([gain("precision_at_1", -0.005, 0.1), gain("mrr", low, 0.1)], settings)
    assert [gate.passed for gate in gates] == [True, True, passed]
    assert gates[2].name == "a gain beyond chance"


def test_a_lower_error_is_a_gain():
    turned = as_gain(Comparison("ece", "a", "b", -0.02, (-0.05, 0.01), 0.3, 0.3, 9))
    assert (turned.difference, turned.ci95) == (0.02, (-0.01, 0.05))
    same = Comparison("mrr", "a", "b", -0.02, (-0.05, 0.01), 0.3, 0.3, 9)
    assert as_gain(same) is same


def test_a_slice_is_lost_where_interval_and_corrected_p_value_say_so():
    settings = SliceSettings(level=0.05)
    kept = [slice_gain("Ada", -0.1, 0.0, 0.001), slice_gain("Ampere", -0.2, -0.1, 0.05)]
    (gate,) = slice_gates(kept, settings)
    assert (gate.passed, gate.name) == (True, "2 guarded slices")
    assert gate.words == "worst: generation Ampere: precision@1"
    lost = slice_gain("Turing", -0.2, -0.01, 0.049)
    (gate,) = slice_gates([*kept, lost], settings)
    assert (gate.passed, gate.name) == (False, "generation Turing: precision@1")
    assert gate.words == "p 0.049 after Holm"
    (gate,) = slice_gates([], settings)
    assert (gate.passed, gate.words) == (True, "none has 30 listings")


def test_latency_is_judged_with_and_without_a_champion():
    settings = LatencySettings(p50_ms=2.0, p99_ms=9.0, p50_ratio=1.5, p99_ratio=2.0)
    alone = {"p50_ms": Figure(2.0, None, 5), "p99_ms": Figure(9.1, None, 5)}
    assert [gate.passed for gate in latency_gates(alone, settings)] == [True, False]
    beside = {**alone, "p50_ratio": Figure(1.6, None, 5), "p99_ratio": Figure(1.0, None, 5)}
    names = [gate.name for gate in latency_gates(beside, settings) if not gate.passed]
    assert names == ["latency p99, ms", "latency p50, ratio to champion"]
    assert latency_gates({}, settings) == []


def test_a_verdict_names_what_failed():
    gates = (size_gate(3.0, 3.0), size_gate(3.1, 3.0), Gate("other", False, words="because"))
    verdict = GateVerdict(gates, {"sets": {}})
    assert (verdict.passed, verdict.failed) == (False, ("size, MB", "other"))
    assert verdict.as_dict()["gates"][1] == {
        "name": "size, MB",
        "passed": False,
        "bound": 3.0,
        "at_most": True,
        "words": "",
        "figure": {"value": 3.1, "ci95": [None, None], "n": 1},
    }
    assert GateVerdict(gates[:1]).passed
