"""Distributions of answers, what moved between two of them, and what to do about it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from rerank.index.errors import ArtifactError, InputError
from rerank.lifecycle.drift import (
    DECISION,
    PROBABILITY,
    UNKNOWN_WORDS,
    Distribution,
    Level,
    Movement,
    advice,
    distribution_by_reference,
    distribution_of,
    has_moved,
    movements,
)
from rerank.packs.gpu.cards import MEMORY, UNSEEN_MODELS, VENDOR, TitleReader
from rerank.packs.gpu.lexicon import Lexicon

WORDS = {"palit", "rtx", "geforce", "3080", "10", "gb", "rx", "6600", "sapphire", "card"}


@pytest.fixture(scope="module")
def lexicon(tiny_registry):
    return Lexicon(tiny_registry)


@pytest.fixture(scope="module")
def reader(lexicon):
    return TitleReader(lexicon, WORDS)


def rows_of(n, seed, *, low=0.2, amd=0.3, unseen=0.0, memory=0.6):
    """Return resolved rows: a share of low probabilities, of AMD cards, of unknown models."""
    random = np.random.default_rng(seed)
    probability = np.where(
        random.random(n) < low, random.uniform(0, 0.3, n), random.uniform(0.8, 1, n)
    )
    is_amd = random.random(n) < amd
    title = np.where(is_amd, "Sapphire RX 6600", "Palit GeForce RTX 3080").astype(object)
    title = title + np.where(random.random(n) < memory, " 10GB", "")
    title = np.where(random.random(n) < unseen, "Palit RTX 6090", title)
    return pa.table(
        {
            "title": title.tolist(),
            "best_guess": np.where(is_amd, "Radeon RX 6600", "GeForce RTX 3080").tolist(),
            "match_probability": probability,
            "margin": probability / 2,
            "decision": np.where(probability > 0.8, "match", "no_match").tolist(),
            "model_version": ["m1"] * n,
        }
    )


def compared(reader, rows, reference):
    batch = distribution_by_reference(rows, reader, reference)
    return movements(reference, batch, reader.limits)


@pytest.fixture(scope="module")
def reference(reader):
    return distribution_of(rows_of(1000, 1), reader)


def test_titles_show_what_registry_and_vocabulary_lack(reader):
    title = reader.read("Palit RTX 6090 16GB card")
    assert title.unseen == ("rtx 6090",)
    assert title.states_memory
    assert title.unknown == pytest.approx(2 / 6)  # 6090 and 16, of palit rtx 6090 16 gb card
    for known in ("RTX 3080 10GB", "rx6600 850w", "Arc A770", "GTX 1060", "RTX 40"):
        assert reader.read(known).unseen == ()
    assert reader.read("intel arc b990").unseen == ("arc 990",)
    assert reader.read("").unknown == 0.0


def test_rows_are_counted_by_every_measure(reader):
    found = distribution_of(rows_of(500, 2, low=0.0, amd=0.0, memory=1.0), reader)
    assert (found.n, found.model_version) == (500, "m1")
    assert found.measures[DECISION].share("match") == 1.0
    assert found.measures[VENDOR].labels == ("NVIDIA",)
    assert found.measures[MEMORY].share("yes") == 1.0
    assert found.measures[UNSEEN_MODELS].counts == (500, 0)
    assert found.measures[PROBABILITY].counts == pytest.approx((50,) * 10, abs=1)


def test_without_a_vocabulary_unknown_words_are_not_measured(lexicon):
    found = distribution_of(rows_of(10, 2), TitleReader(lexicon))
    assert UNKNOWN_WORDS not in found.measures


def test_a_distribution_comes_back_from_its_json(reference):
    content = json.loads(json.dumps(reference.as_json()))
    assert Distribution.from_json(content, where="card") == reference


def test_a_damaged_distribution_names_its_place():
    with pytest.raises(ArtifactError, match="card of x: expected counts"):
        Distribution.from_json({"measures": {}}, where="card of x")


def test_rows_without_answers_are_refused(reader):
    with pytest.raises(InputError, match="expected the columns best_guess, match_probability"):
        distribution_of(pa.table({"title": ["x"]}), reader)


def test_nothing_moves_between_two_batches_of_one_kind(reader, reference):
    found = compared(reader, rows_of(1000, 7), reference)
    assert len(found) == 7
    assert not has_moved(found)
    assert advice(found, source="f", remedies={}) == ["Nothing moved: nothing to do."]


def test_small_batches_do_not_alarm(reader, reference):
    alarms = sum(has_moved(compared(reader, rows_of(25, seed), reference)) for seed in range(100))
    assert alarms <= 4


def test_a_fall_of_probability_asks_for_annotations_and_training(reader, reference):
    found = compared(reader, rows_of(1000, 3, low=0.6), reference)
    moved = {each.measure: each for each in found if each.level is not Level.NONE}
    assert moved[PROBABILITY].level is Level.STRONG
    assert moved[DECISION].level is Level.STRONG
    assert moved[DECISION].before == pytest.approx(0.8, abs=0.03)
    assert moved[DECISION].after == pytest.approx(0.4, abs=0.05)
    assert (
        "annotate some 200 listings with `rerank annotate f.parquet`"
        in advice(found, source="f.parquet", remedies={})[0]
    )


def test_other_listings_with_the_same_answers_ask_for_nothing(reader, reference):
    found = compared(reader, rows_of(1000, 4, amd=0.6), reference)
    moved = {each.measure: each.level for each in found if each.level is not Level.NONE}
    assert moved[VENDOR] is Level.STRONG
    assert set(moved) <= {VENDOR, MEMORY, UNKNOWN_WORDS}
    assert advice(found, source="f", remedies={}) == [
        "The listings changed, the answers did not: nothing to do now."
    ]


def test_models_the_registry_lacks_are_named(reader, reference):
    rows = rows_of(1000, 5, unseen=0.06)
    found = compared(reader, rows, reference)
    unseen = next(each for each in found if each.measure == UNSEEN_MODELS)
    assert unseen.level is Level.STRONG
    n = reader.lacking(rows)["rtx 6090"]
    assert 40 <= n <= 80
    said = advice(found, source="f", remedies=reader.remedies(rows))
    assert said[0].startswith(f"The registry lacks models that listings name (rtx 6090 ({n}))")


def test_categories_the_reference_lacks_show_as_other(reader, reference):
    rows = rows_of(1000, 6)
    rows = rows.set_column(1, "best_guess", [["Arc A770"] * 1000])
    vendor = next(each for each in compared(reader, rows, reference) if each.measure == VENDOR)
    assert (vendor.part, vendor.before, vendor.after) == ("other", 0.0, 1.0)


def test_answers_that_moved_a_little_ask_for_fewer_annotations():
    moved = Movement(PROBABILITY, "below 0.5", 0.2, 0.3, 0.15, 0.001, Level.MODERATE)
    (said,) = advice([moved], source="f.csv", remedies={})
    assert "annotate some 100 listings with `rerank annotate f.csv`" in said


def test_a_reference_that_lacks_a_measure_is_compared_by_the_others(reader, reference):
    older = replace(
        reference, measures={k: v for k, v in reference.measures.items() if k != PROBABILITY}
    )
    found = compared(reader, rows_of(100, 5), older)
    assert {each.measure for each in found} == reference.measures.keys() - {PROBABILITY}


def test_a_reference_of_one_probability_has_one_range(reader):
    rows = rows_of(100, 5)
    at = rows.column_names.index("match_probability")
    alike = rows.set_column(at, "match_probability", pa.array([0.5] * 100))
    found = {each.measure: each for each in compared(reader, rows, distribution_of(alike, reader))}
    assert (found[PROBABILITY].part, found[PROBABILITY].level) == ("all", Level.NONE)
