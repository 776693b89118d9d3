"""What a benchmark makes of its measurements: summaries, ratios, bars, tables; nothing is timed."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from bench.measuring import (
    BarCheck,
    Hook,
    PeakMeter,
    Scale,
    StageClock,
    comparisons_of,
    growth_exponent,
    hooked,
    quotient,
    settings_of,
)
from bench.report import SECTIONS, benchmark_page, comparisons_text, number
from bench.tools import NOISE, PARTS, chosen_parts, recall, synthetic_vectors
from rerank.evaluation.baselines import RepeatedFigure, rate_of
from rerank.index.errors import InputError
from rerank.index.vector_index import ExactIndex
from rerank.jobs.tables import WIDTH


def rate(*values: float) -> dict:
    return RepeatedFigure.of(values).as_json()


@pytest.fixture
def parts() -> dict:
    def row(feed, workers, without, with_start):
        return {
            "feed": feed,
            "workers": workers,
            "rate_without_start": rate(*without),
            "rate_with_start": rate(*with_start),
            "peak_mib": 500.0,
        }

    return {
        "end-to-end": {
            "listings": 1000,
            "top_k": 20,
            "repeat_share": 0.5,
            "rows": [
                row("distinct", 1, (6000, 5500, 6500), (5000,)),
                row("distinct", 2, (12000, 11000, 13000), (9000,)),
                row("repeating", 2, (18000,), (14000,)),
            ],
        },
        "rapidfuzz": {
            "listings": 50,
            "limit": 20,
            "rows": [
                {
                    "call": call,
                    "names": names,
                    "n_names": 1600,
                    "processes": processes,
                    "rate": rate(*values),
                }
                for call, names, processes, values in (
                    ("extract", "variants", 1, (750, 700, 850)),
                    ("cdist", "variants", 2, (1200,)),
                    ("extract", "models", 1, (1500,)),
                    ("cdist", "models", 2, (2400,)),
                )
            ],
        },
        "rivals": {
            "listings": 50,
            "n_names": 1600,
            "rows": [
                {"name": name, "version": "1.0", "rate": rate(*values), "precision_at_1": right}
                for name, values, right in (
                    ("rerank", (6000, 5000, 7000), 0.97),
                    ("EMM", (1500,), 0.6),
                )
            ],
            "missing": ["skrub `fuzzy_join`"],
        },
        "cross-encoder": {
            "listings": 5,
            "candidates": 20,
            "threads": 2,
            "package": "p",
            "rate": rate(200),
        },
        "floor": {
            "listings": 100,
            "vector_hits": 32,
            "candidates": 20,
            "rows": [
                {
                    "processes": n,
                    "ours": rate(6000 * n),
                    "floor_lightgbm": rate(10_000 * n),
                    "floor_served": rate(13_000 * n),
                }
                for n in (1, 2)
            ],
        },
        "memory": {
            "workers": 2,
            "top_k": 20,
            "rows": [
                {
                    "listings": 5_000_000,
                    "seconds": rate(400),
                    "rate": rate(12_500),
                    "peak_mib": 1500.0,
                }
            ],
        },
    }


@pytest.fixture
def report(parts) -> dict:
    return {
        "machine": {"cpu": "Abacus 9000", "cores": 2, "memory_gib": 8.0, "python": "3.11.1"},
        "libraries": {"numpy": "2.4"},
        "seed": 5,
        "quick": False,
        "model_version": "m1",
        "index_version": "i1",
        "registry": {"gpus": 1700, "models": 900, "kind": "flat"},
        "parts": parts,
        "failures": {},
        "comparisons": [each.as_json() for each in comparisons_of(parts)],
    }


def test_a_figure_is_the_median_and_the_range():
    figure = RepeatedFigure.of([3.0, 1.0, 2.0, 10.0])
    assert (figure.median, figure.low, figure.high) == (2.5, 1.0, 10.0)
    assert figure.values == (3.0, 1.0, 2.0, 10.0)


def test_a_figure_of_nothing_is_refused():
    with pytest.raises(InputError, match="at least one measurement"):
        RepeatedFigure.of([])


def test_a_figure_survives_json_with_six_digits():
    assert RepeatedFigure.from_json(RepeatedFigure.of([1234567.89]).as_json()).median == 1234570.0
    figure = RepeatedFigure.of([0.5, 0.25])
    assert RepeatedFigure.from_json(figure.as_json()) == figure


def test_a_rate_is_the_count_over_each_runs_seconds():
    assert rate_of(100, [2.0, 4.0]).values == (50.0, 25.0)


def test_a_quotients_range_holds_every_pairing():
    ours, theirs = RepeatedFigure.of([90, 100, 120]), RepeatedFigure.of([8, 10, 15])
    found = quotient(ours, theirs)
    assert (found.median, found.low, found.high) == (10.0, 6.0, 15.0)
    pairs = [a / b for a in ours.values for b in theirs.values]
    assert (found.low, found.high) == (min(pairs), max(pairs))


def test_growth_is_the_exponent():
    assert growth_exponent([10, 100, 1000], [2, 20, 200]) == pytest.approx(1.0)
    assert growth_exponent([10, 100], [5, 5]) == pytest.approx(0.0)
    assert growth_exponent([10, 100], [1, 100]) == pytest.approx(2.0)
    assert growth_exponent([10], [1]) is None
    with pytest.raises(InputError, match="above 0"):
        growth_exponent([10, 0], [1, 1])


def test_bars_follow_from_the_parts(parts):
    found = {each.name: each for each in comparisons_of(parts)}
    fuzzy = found["2 workers over RapidFuzz extract"]
    assert (fuzzy.measured.median, fuzzy.wanted, fuzzy.reached) == (16.0, 15.0, True)
    assert fuzzy.measured.low == pytest.approx(11000 / 850)
    assert found["2 workers over RapidFuzz cdist"].measured.median == 10.0
    assert found["2 workers over RapidFuzz cdist"].reached is None
    assert found["2 workers over extract, model names"].measured.median == 8.0
    assert found["2 workers over extract, model names"].reached is None
    neural = found["2 workers over MiniLM and cross-encoder"]
    assert (neural.measured.median, neural.reached) == (60.0, False)
    assert found["2 workers, start-up excluded"].reached
    assert found["2 workers, start-up included"].reached is False
    assert found["2 workers over the floor, LightGBM"].measured.median == 0.6
    served = found["2 workers over the floor, trees as served"]
    assert (round(served.measured.median, 3), served.reached) == (0.462, None)
    assert found["1 worker over the floor, LightGBM"].reached is None
    assert found["2 workers over 1"].measured.median == 2.0
    assert found["1 process over EMM"].measured.median == 4.0


def test_the_memory_bar_is_an_upper_one_and_for_long_feeds_only(parts):
    name = "peak memory, 5,000,000 listings"
    (found,) = [each for each in comparisons_of(parts) if each.name == name]
    assert (found.at_most, found.reached) == (True, True)
    parts["memory"]["rows"][0]["peak_mib"] = 1537.0
    (found,) = [each for each in comparisons_of(parts) if each.name == name]
    assert found.reached is False
    parts["memory"]["rows"][0]["listings"] = 20_000
    (found,) = comparisons_of({"memory": parts["memory"]})
    assert found.wanted is None


def test_without_our_own_rate_there_is_nothing_to_compare_with_others(parts):
    assert comparisons_of({}) == []
    assert comparisons_of({"rapidfuzz": parts["rapidfuzz"]}) == []


def test_comparisons_survive_json(parts):
    for each in comparisons_of(parts):
        again = BarCheck.from_json(each.as_json())
        assert (again.name, again.reached, again.unit) == (each.name, each.reached, each.unit)


def test_the_page_says_from_the_numbers_what_is_reached(report):
    page = benchmark_page(report)
    assert "4 of 6 bars measured here are reached; not: 2 workers, start-up included; " in page
    assert "| 2 workers over RapidFuzz extract | 16x | 12.9x - 18.6x | >= 15x | yes |" in page
    assert "| 2 workers over the floor, trees as served | 46.2% |" in page
    assert "Abacus 9000, 2 cores" in page
    assert "| EMM 1.0 | 1,500 | 1,500-1,500 | 0.600 |" in page
    assert "rerank is faster and right more often. Not installed where this was mea" in page
    assert "| distinct | 2 | 12,000 | 11,000-13,000 | 9,000 | 9,000-9,000 | 500 |" in page
    assert "## Growth with k" not in page
    assert "--quick`: sizes" not in page


def test_the_page_names_what_failed_and_warns_of_quick_figures(report):
    page = benchmark_page({**report, "quick": True, "failures": {"floor": "RerankError: no"}})
    assert "- `floor`: RerankError: no" in page
    assert "far too small" in page


def test_the_terminals_table_fits(report):
    text = comparisons_text(report)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "2 workers over the floor, trees as served" in text
    assert comparisons_text({"comparisons": []}).startswith("nothing to compare")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.012345, "0.0123"),
        (1.5, "1.5"),
        (99.94, "99.9"),
        (123.4, "123"),
        (12345, "12,300"),
        (5_000_000, "5,000,000"),
    ],
)
def test_numbers_have_three_digits(value, text):
    assert number(value) == text


def test_every_part_has_a_section():
    assert set(SECTIONS) == set(PARTS)


def test_parts_come_in_their_own_order_and_the_longest_only_if_asked_for():
    assert chosen_parts(None, Scale.DEFAULT) == [name for name in PARTS if name != "memory"]
    assert chosen_parts(None, Scale.FULL) == chosen_parts(None, Scale.QUICK) == list(PARTS)
    assert chosen_parts("memory, floor", Scale.DEFAULT) == ["floor", "memory"]
    with pytest.raises(InputError, match=r"expected parts among end-to-end, .*, found florr"):
        chosen_parts("florr", Scale.DEFAULT)
    with pytest.raises(InputError, match="found none"):
        chosen_parts(",", Scale.DEFAULT)


def test_only_the_full_scale_reaches_a_million():
    default, full = settings_of(Scale.DEFAULT, seed=1), settings_of(Scale.FULL, seed=1)
    assert (default.growth[-1], default.registry_sizes[-1]) == (100_000, 100_000)
    assert (full.growth[-1], full.registry_sizes[-1]) == (1_000_000, 1_000_000)
    assert full.memory_listings == 5_000_000
    small = settings_of(Scale.DEFAULT, seed=3, listings=500, repeats=7)
    assert (small.seed, small.listings, small.repeats) == (3, 500, 7)


def test_synthetic_vectors_are_unit_and_scatter_around_the_real_ones():
    rng = np.random.default_rng(0)
    real = rng.standard_normal((50, 64)).astype(np.float32)
    real /= np.linalg.norm(real, axis=1, keepdims=True)
    found = synthetic_vectors(real, 500, seed=4)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(found[:50], real, atol=1e-6)
    cosine = (found[50:] * np.tile(real, (9, 1))).sum(axis=1)
    assert cosine.mean() == pytest.approx(1 / np.sqrt(1 + NOISE**2), abs=0.01)
    np.testing.assert_array_equal(found, synthetic_vectors(real, 500, seed=4))
    assert not np.array_equal(found, synthetic_vectors(real, 500, seed=5))


def test_recall_counts_true_neighbours_wherever_they_stand():
    truth = np.array([[1, 2], [3, 4]])
    assert recall(truth[:, ::-1], truth) == 1.0
    assert recall(np.array([[1, 9], [-1, -1]]), truth) == 0.25


def test_recall_of_the_exact_index_is_one():
    vectors = synthetic_vectors(np.eye(8, dtype=np.float32), 40, seed=1)
    index = ExactIndex(8)
    index.add(vectors)
    _, rows = index.search(vectors[:5], 3)
    assert recall(rows, rows) == 1.0
    assert rows[:, 0].tolist() == [0, 1, 2, 3, 4]


class Kitchen:
    """Something with stages, and the time they take."""

    def __init__(self):
        self.now = 0.0

    def cook(self):
        self.now += 5.0
        return self.chop() + 1

    def chop(self):
        self.now += 2.0
        return 1

    def plates(self):
        yield from (self.chop() for _ in range(3))


def test_a_stages_time_is_without_the_stages_inside_of_it():
    kitchen = Kitchen()
    clock = StageClock(lambda: kitchen.now)
    hooks = [Hook("cooking", Kitchen, "cook"), Hook("chopping", Kitchen, "chop")]
    with hooked(hooks, clock.stage):
        assert kitchen.cook() == 2
        assert kitchen.chop() == 1
        other = threading.Thread(target=kitchen.chop)
        other.start()
        other.join()
    assert dict(clock.seconds) == {"cooking": 5.0, "chopping": 4.0}
    assert dict(clock.aside) == {"chopping": 2.0}


def test_hooks_are_undone_and_iterators_are_stages_item_by_item():
    seen, before = [], Kitchen.plates
    clock = StageClock()

    def stage(name):
        seen.append(name)
        return clock.stage(name)

    with hooked([Hook("serving", Kitchen, "plates")], stage):
        assert list(Kitchen().plates()) == [1, 1, 1]
    assert seen == ["serving"] * 5  # the call, three plates and the end
    assert Kitchen.plates is before


def test_stages_that_are_gone_are_named():
    hooks = [Hook("a", Kitchen, "cook"), Hook("b", Kitchen, "fry"), Hook("c", Kitchen, "bake")]
    with pytest.raises(InputError, match=r"Kitchen\.fry, Kitchen\.bake not found"):
        with hooked(hooks, StageClock().stage):
            pass


def test_the_peak_of_a_stage_counts_what_it_gave_back_and_what_is_inside():
    meter = PeakMeter()
    with meter.stage("outer"):
        with meter.stage("inner"):
            block = np.ones(256 << 20, np.uint8)  # far more than libraries give back meanwhile
            del block
        with meter.stage("idle"):
            pass
    assert meter.peaks["inner"] >= 128 << 20
    assert meter.peaks["outer"] >= 128 << 20
    assert meter.peaks["idle"] < 16 << 20
