"""Gates: figures by hand against bounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rerank.evaluation.intervals import DEFAULT_PERMUTATIONS, Comparison, Figure
from rerank.evaluation.metrics import metric_named
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
    is_lost,
    latency_gates,
    size_gate,
    slice_gains_of,
    slice_gates,
)


def gain(metric: str, low: float, high: float, p: float = 1.0) -> Comparison:
    return Comparison(metric, "candidate", "champion", (low + high) / 2, (low, high), p, p, 100)


def slice_gain(value: str, low: float, high: float, p: float) -> SliceGain:
    return SliceGain("generation", value, gain("precision_at_1", low, high, p))


UNMEASURED = "no listing to measure it on"


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
    figure = Figure(value, (0.0, 1.0), 9)
    label, at_most = f"mine: {metric_named(metric).label}", metric != "precision_at_1"
    found = floor_gates("mine", {metric: figure}, {metric: bound})
    assert found == [Gate(label, passed, figure, bound, at_most)]


def test_what_no_listing_measures_is_not_judged():
    unmeasured, found = Figure(None, None, 0), Figure(0.9, None, 4)
    assert floor_gates("mine", {"ece": unmeasured, "mrr": found}, {"ece": 0.1, "mrr": 0.8}) == [
        Gate("mine: ECE", True, words=UNMEASURED),
        Gate("mine: MRR", True, found, 0.8),
    ]
    settings = GainSettings(lowest={"precision_at_1": 0.1, "mrr": 0.1, "accepted_share": 0.1})
    without = [
        Comparison("precision_at_1", "a", "b", None, (0.0, 0.0), None, None, 0),
        Comparison("mrr", "a", "b", 0.2, None, None, None, 1),
        gain("accepted_share", 0.1, 0.3),
    ]
    assert gain_gates(without, settings) == [
        Gate("gain in precision@1", True, words=UNMEASURED),
        Gate("gain in MRR", True, words=UNMEASURED),
        Gate(
            "gain in share accepted",
            True,
            Figure(0.2, (0.1, 0.3), 100),
            0.1,
            words="low end of the gain",
        ),
    ]


def test_the_low_end_of_a_gain_decides():
    settings = GainSettings(lowest={"precision_at_1": -0.01, "accepted_share": -0.01})
    gates = gain_gates(
        [gain("precision_at_1", -0.01, 0.2), gain("accepted_share", -0.011, 0.3)], settings
    )
    assert [gate.passed for gate in gates] == [True, False]


@pytest.mark.parametrize(
    ("low", "passed", "words"),
    [
        (0.0, False, "no gain is beyond chance"),
        (0.001, True, "better beyond chance in one"),
    ],
)
def test_a_required_gain_is_one_beyond_chance(low, passed, words):
    settings = GainSettings(require=True, lowest={"mrr": -0.01, "precision_at_1": -0.01})
    gates = gain_gates([gain("mrr", low, 0.1), gain("precision_at_1", -0.005, 0.1)], settings)
    assert [gate.passed for gate in gates[:2]] == [True, True]
    assert gates[2:] == [Gate("a gain beyond chance", passed, words=words)]


def test_a_lower_error_is_a_gain():
    turned = as_gain(Comparison("ece", "a", "b", -0.02, (-0.05, 0.01), 0.3, 0.3, 9))
    assert (turned.difference, turned.ci95) == (0.02, (-0.01, 0.05))
    same = Comparison("mrr", "a", "b", -0.02, (-0.05, 0.01), 0.3, 0.3, 9)
    assert as_gain(same) is same


def test_a_slice_is_lost_where_interval_and_corrected_p_value_say_so():
    settings = SliceSettings(level=0.05)
    kept = [slice_gain("Ada", -0.1, 0.0, 0.001), slice_gain("Ampere", -0.2, -0.1, 0.05)]
    assert slice_gates(kept, settings) == [
        Gate(
            "2 guarded slices",
            True,
            Figure(pytest.approx(-0.15), (-0.2, -0.1), 100),
            words="worst: generation Ampere: precision@1",
        )
    ]
    lost = slice_gain("Turing", -0.2, -0.01, 0.049)
    assert slice_gates([*kept, lost], settings) == [
        Gate(
            "generation Turing: precision@1",
            False,
            Figure(pytest.approx(-0.105), (-0.2, -0.01), 100),
            0.0,
            words="p 0.049 after Holm",
        )
    ]
    assert slice_gates([], settings) == [Gate("guarded slices", True, words="none has 30 listings")]


def test_a_slice_that_nobody_could_measure_is_neither_lost_nor_the_worst():
    bare = Comparison("mrr", "candidate", "champion", None, None, None, None, 0)
    unknown = SliceGain("generation", "Fermi", bare)
    gained = slice_gain("Ada", 0.0, 0.2, 1.0)
    (gate,) = slice_gates([gained, unknown], SliceSettings())
    assert (gate.passed, gate.words) == (True, "worst: generation Fermi: MRR")
    assert not is_lost(bare, 0.05)
    assert not is_lost(replace(bare, ci95=(-0.2, -0.1)), 0.05)


def test_latency_is_judged_with_and_without_a_champion():
    settings = LatencySettings(p50_ms=2.0, p99_ms=9.0, p50_ratio=1.5, p99_ratio=2.0)
    alone = {"p50_ms": Figure(2.0, None, 5), "p99_ms": Figure(9.1, None, 5)}
    assert [gate.passed for gate in latency_gates(alone, settings)] == [True, False]
    beside = {**alone, "p50_ratio": Figure(1.6, None, 5), "p99_ratio": Figure(1.0, None, 5)}
    assert latency_gates(beside, settings) == [
        Gate(name, passed, beside[of], bound, at_most=True)
        for name, passed, of, bound in (
            ("latency p50, ms", True, "p50_ms", 2.0),
            ("latency p99, ms", False, "p99_ms", 9.0),
            ("latency p50, ratio to champion", False, "p50_ratio", 1.5),
            ("latency p99, ratio to champion", True, "p99_ratio", 2.0),
        )
    ]
    # No time was measured: there is none to judge.
    (gate,) = latency_gates({"p50_ms": Figure(None, None, 0)}, replace(settings, p50_ms=0.5))
    assert gate.passed
    assert latency_gates({}, settings) == []


def test_a_verdict_names_what_failed():
    gates = (size_gate(3.0, 3.0), size_gate(3.1004, 3.0), Gate("other", False, words="because"))
    verdict = GateVerdict(gates, {"sets": {}})
    assert (verdict.passed, verdict.failed) == (False, ("size, MB", "other"))
    assert verdict.as_dict() == {
        "passed": False,
        "gates": [gate.as_dict() for gate in gates],
        "metrics": {"sets": {}},
    }
    sized = {"name": "size, MB", "passed": False, "bound": 3.0, "at_most": True, "words": ""}
    assert gates[1].as_dict() == sized | {
        "figure": {"value": 3.1, "ci95": [None, None], "n": 1},
    }
    bare = {"name": "other", "passed": False, "bound": None, "at_most": False, "figure": None}
    assert gates[2].as_dict() == bare | {"words": "because"}
    assert GateVerdict(gates[:1]).passed


class FewSlices:
    """A table of pairs that counts so many listings in each slice, and keeps what it was asked."""

    systems = ("candidate", "champion")

    def __init__(self, listings: int) -> None:
        self.listings, self.asked = listings, []

    def sliced(self, name):
        if name == "set":
            return {"mine": "all"}
        of_each = {
            "model": ["A"],
            "language": ["de", "en", "no match"],
            "memory": ["no match", "8"],
        }
        return {value: f"{name} {value}" for value in of_each[name]}

    def counted(self, metric, system, *, where):
        assert system == "candidate"
        return np.array([self.listings, 0])

    def compared(self, metric, system, other, *, where, permutations):
        self.asked.append((where, metric.name, permutations))
        assert (system, other) == ("candidate", "champion")
        return replace(gain(metric.name, -0.2, -0.1), p_value=0.001)


def test_slices_are_compared_by_enough_permutations_that_the_least_p_value_can_pass():
    settings = SliceSettings(
        guarded=("set", "model", "language", "memory"), metrics=("mrr",), level=0.0001
    )
    table = FewSlices(30)
    found = slice_gains_of(table, settings)
    # Of one set alone, of one of two languages, but of no model where there is one.
    judged = ["all", "language de", "language en"]
    assert table.asked == [(where, "mrr", 60_000) for where in judged]
    assert [(each.slice_name, each.value) for each in found] == [
        ("set", "mine"),
        ("language", "de"),
        ("language", "en"),
    ]
    assert [each.gain.p_adjusted for each in found] == [0.003] * 3
    assert slice_gains_of(FewSlices(29), settings) == []
    several = replace(settings, level=0.5)
    slice_gains_of(table, several)
    assert table.asked[-1] == ("language en", "mrr", DEFAULT_PERMUTATIONS)
