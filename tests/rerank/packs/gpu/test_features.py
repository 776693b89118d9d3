"""Features: every column by hand or by its documented range, batches, order, and reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rerank.index.records import GpuRecord, Listing
from rerank.index.text import normalise, runs
from rerank.packs.gpu.candidates import CANDIDATE_FEATURES, CandidateFeatures
from rerank.packs.gpu.card_answers import best_features, reasons_of
from rerank.packs.gpu.cues import CATEGORIES, CueHits, CueReader
from rerank.packs.gpu.lexicon import DOUBTS
from rerank.packs.gpu.name_evidence import NAME_FEATURES
from rerank.packs.gpu.offers import OFFER_FEATURES, offer_features
from rerank.packs.gpu.retriever import Retriever
from rerank.packs.gpu.stated_words import form_bits
from rerank.ranking import CandidateBatch
from rerank.resolution import DECISIONS, Decision

Floats = NDArray[np.float32]

CUES = CueReader(
    {
        "with": ["with"],
        "without": ["no"],
        "for": ["for"],
        "than": ["than"],
        "have": ["=[h]"],
        "wish": ["=[w]", "swap for"],
        "box": ["box"],
        "card_word": ["card"],
        "partner": ["msi", "asus"],
        "laptop": ["laptop"],
        "only": ["only"],
        "holder": ["holder"],
        "system": ["gaming pc", "pc"],
        "picture": ["printed", "3 d print*"],
        "rig": ["mining rig"],
    }
)
TITLES = [
    "MSI GeForce RTX 4060 Ti 16GB card",
    "",
    "see photos",
    "box for RTX 4080 only",
    "4080S 10GB",
    "GV-N406TEAGLE OC-8GD",
    "A100 80GB HBM2e SXM4",
    "Radeon HD7970 better than GTX 1060",
    "RTX 3080 laptop with box",
    "Quadro RTX 4000 8GB GDDR6",
    "RX6600XT RTX4060TIOC 20GB GDDR5",
]
EXTRA = {  # columns whose values are no signs, with their documented lowest and highest
    "suffix_missing": (-1, 5),
    "suffix_absent": (-1, 5),
    "suffix_extra": (-1, 5),
    "line_shared": (-1, 5),
    "line_absent": (-1, 5),
    "line_conflict": (-1, 5),
    "code_length": (-1, 40),
    "mention_at": (-1, 400),
    "name_quality": (-6, 6),
    "quality_gap": (-9, 0),
    "exact_rivals": (0, 20),
    "named_models": (0, 20),
    "mention_order": (0, 400),
    "code_gap": (-40, 0),
    "similarity_gap": (-2, 0),
    "words_shared": (0, 40),
    "words_absent": (0, 40),
    "words_foreign": (0, 60),
    "rival_words": (0, 60),
    "variant_rank": (0, 20),
}


def cues_of(batch: CandidateBatch) -> CueHits:
    return CUES.find([(reading.text, reading.runs) for reading in batch.readings])


def compute(retriever: Retriever, listings: Sequence[Listing], batch: CandidateBatch) -> Floats:
    return CandidateFeatures(retriever.table).compute(batch, cues_of(batch))


def as_listings(titles: Sequence[str]) -> list[Listing]:
    return [Listing(str(at), title) for at, title in enumerate(titles)]


def feature(retriever: Retriever, listing: Listing | str, gpu_id: str, name: str) -> float:
    """Return one feature of one candidate."""
    listing = Listing("1", listing) if isinstance(listing, str) else listing
    batch = retriever.retrieve([listing], n_candidates=50)
    ids = [retriever.records[row].gpu_id for row in batch.record]
    values = compute(retriever, [listing], batch)
    return float(values[ids.index(gpu_id), CANDIDATE_FEATURES.index(name)])


TI8, TI16, PLAIN = (
    "geforce-rtx-4060-ti-8gb-gddr6",
    "geforce-rtx-4060-ti-16gb-gddr6",
    "geforce-rtx-4060-8gb-gddr6",
)
SXM, PCIE = "a100-80gb-hbm2e-sxm4", "a100-40gb-hbm2"
MOBILE, DESKTOP = "geforce-rtx-3080-16gb-gddr6-mobile", "geforce-rtx-3080-10gb-gddr6x"
RX, XT, ARC = "radeon-rx-6600-8gb-gddr6", "radeon-rx-6600-xt-8gb-gddr6", "arc-a770-16gb-gddr6"
IDF_TI = np.log(14 / 2)


@pytest.mark.parametrize(
    ("title", "gpu_id", "name", "value"),
    [
        ("RTX 4060 Ti", TI8, "named", 1),
        ("RTX 4060 Ti", XT, "named", 0),
        ("GV-N406TEAGLE", TI8, "named", 1),
        ("see photos", TI8, "named", 0),
        ("RTX 4060 Ti", TI8, "quality_gap", 0),
        ("RTX 4060 Ti", XT, "quality_gap", -9),
        ("see photos", TI8, "quality_gap", -9),
        ("RTX 4060 Ti", TI8, "exact_rivals", 0),
        ("RTX 4060 Ti", PLAIN, "exact_rivals", 1),
        ("RTX 4060 Ti or RX 6600", TI8, "exact_rivals", 1),
        ("RTX 4060 Ti or RX 6600", ARC, "exact_rivals", 2),
        ("RTX 4060 Ti", XT, "named_models", 2),
        ("see photos", XT, "named_models", 0),
        ("RTX 4060 Ti or RX 6600", RX, "mention_order", 4),
        ("RTX 4060 Ti or RX 6600", TI8, "mention_order", 0),
        ("RTX 4060 Ti", ARC, "mention_order", 99),
        ("GV-N406TEAGLE", TI8, "code_gap", 0),
        ("GV-N406TEAGLE", XT, "code_gap", -7),
        ("see photos", XT, "code_gap", 0),
        ("RTX 4060 8GB", TI8, "memory_fit", 1),
        ("RTX 4060 8GB", TI16, "memory_fit", -1),
        ("RTX 4060", TI8, "memory_fit", 0),
        ("8GB or 16GB", TI16, "memory_fit", 1),
        ("4060 Ti 16GB", TI8, "model_memory_fit", 1),
        ("4060 16GB", PLAIN, "model_memory_fit", -1),
        ("4060", PLAIN, "model_memory_fit", 0),
        ("A100 HBM2", PCIE, "memory_type_fit", 1),
        ("A100 HBM2e", SXM, "memory_type_fit", 1),
        ("A100 GDDR6", SXM, "memory_type_fit", -1),
        ("A100", SXM, "memory_type_fit", 0),
        ("3080 GDDR6X", DESKTOP, "memory_type_fit", 1),
        ("3080 GDDR6", DESKTOP, "memory_type_fit", -1),
        ("A100 SXM4", SXM, "form_fit", 1),
        ("A100 SXM", SXM, "form_fit", 1),
        ("A100 SXM4", PCIE, "form_fit", -1),
        ("A100 PCI-E", PCIE, "form_fit", 1),
        ("A100 PCI Express", SXM, "form_fit", -1),
        ("A100", SXM, "form_fit", 0),
        ("3080 mobile", MOBILE, "form_fit", 1),
        ("3080 Max-Q", MOBILE, "form_fit", 1),
        ("3080 laptop GPU", DESKTOP, "form_fit", -1),
        ("3080 automobile", MOBILE, "form_fit", 0),
        ("GTX 4060", PLAIN, "vendor_fit", 1),
        ("AMD 4060", PLAIN, "vendor_fit", -1),
        ("4060", PLAIN, "vendor_fit", 0),
        ("Intel A770", ARC, "vendor_fit", 1),
        ("nvidia rx6600", RX, "vendor_fit", 1),
        ("nvidia 6600", RX, "vendor_fit", -1),
        ("EVGA 4060", PLAIN, "partner_fit", 1),
        ("sapphire 4060", PLAIN, "partner_fit", -1),
        ("asus 4060", PLAIN, "partner_fit", 0),
        ("this 4060", PLAIN, "partner_fit", 0),
        ("4060 Ti", TI8, "variant_rank", 0),
        ("4060 Ti", TI16, "variant_rank", 1),
        ("A100", SXM, "special_form", 1),
        ("A100", PCIE, "special_form", 0),
        ("RTX 4060 Ti", PLAIN, "words_foreign", IDF_TI),
        ("4060 Ti", TI8, "words_shared", IDF_TI),
        ("RTX 4060 Ti", PLAIN, "rival_words", IDF_TI),
        ("RTX 4060 Ti", TI8, "words_foreign", 0),
        ("4060", TI8, "words_shared", 0),
        ("better than RTX 4060", PLAIN, "compared", 1),
        ("RTX 4060 than", PLAIN, "compared", 0),
        ("than a b c d e 4060", PLAIN, "compared", 0),
        ("box for 4060", PLAIN, "meant_for", 1),
        ("RTX 4060 for you", PLAIN, "meant_for", 0),
        ("box for 4060", ARC, "meant_for", 0),
    ],
)
def test_candidate_columns_by_hand(
    title: str, gpu_id: str, name: str, value: float, tiny_retriever: Retriever
) -> None:
    assert feature(tiny_retriever, title, gpu_id, name) == pytest.approx(value, abs=1 / 1024)


def test_the_seller_s_brand_counts_for_the_partner_only(tiny_retriever: Retriever) -> None:
    listing = Listing("1", "6600 8GB", vendor="Sapphire NVIDIA")
    assert feature(tiny_retriever, listing, RX, "partner_fit") == 1
    assert feature(tiny_retriever, listing, RX, "vendor_fit") == 0


def test_name_columns_are_minus_one_where_nothing_is_named(tiny_retriever: Retriever) -> None:
    listings = as_listings(["", "see photos", "🎮"])
    values = compute(tiny_retriever, listings, tiny_retriever.retrieve(listings))
    assert len(values) == 60
    np.testing.assert_array_equal(values[:, : len(NAME_FEATURES)], -1)


def test_similarities_are_those_of_the_candidates_in_coarse_steps(
    tiny_retriever: Retriever,
) -> None:
    listings = as_listings(TITLES)
    batch = tiny_retriever.retrieve(listings)
    values = compute(tiny_retriever, listings, batch)
    similarity = values[:, CANDIDATE_FEATURES.index("similarity")]
    np.testing.assert_allclose(similarity, batch.similarity, atol=0.1 + 0.5 / 1024 + 1e-6)
    assert len(set(similarity.tolist())) <= 11  # -1 to 1 by 0.2
    gap = values[:, CANDIDATE_FEATURES.index("similarity_gap")]
    named = values[:, CANDIDATE_FEATURES.index("named")] == 1
    steps = (gap + np.where(named, 0, 0.5)) * 10
    np.testing.assert_allclose(steps, np.round(steps), atol=0.01)
    assert -3.01 <= steps.min() <= steps.max() <= 0.01
    spans = pairwise(batch.offsets.tolist())
    carried = batch.stated.forms & form_bits("mobile", "Max-Q", "MXM", "laptop")
    for (start, stop), reading, mobile in zip(spans, batch.readings, carried, strict=True):
        if reading.memory_gb or mobile:
            continue  # what contradicts a model is worth more than a cosine
        to_best = batch.similarity[start:stop] - batch.similarity[start:stop].max()
        expected = np.maximum(to_best, -0.3) * 10
        np.testing.assert_allclose(steps[start:stop], expected, atol=0.51)


def test_every_column_is_in_its_range_and_a_multiple_of_a_1024th(
    tiny_retriever: Retriever,
) -> None:
    listings = as_listings(TITLES)
    values = compute(tiny_retriever, listings, tiny_retriever.retrieve(listings))
    assert values.dtype == np.float32
    assert values.shape[1] == len(CANDIDATE_FEATURES) == len(set(CANDIDATE_FEATURES))
    np.testing.assert_array_equal(values * 1024, np.round(values * 1024))
    for name, column in zip(CANDIDATE_FEATURES, values.T, strict=True):
        low, high = EXTRA.get(name, (-1, 1))
        assert low <= column.min(), name
        assert column.max() <= high, name


def test_candidate_batches_equal_single_listings(tiny_retriever: Retriever) -> None:
    listings = as_listings(TITLES)
    batch = tiny_retriever.retrieve(listings)
    values = compute(tiny_retriever, listings, batch)
    for at, listing in enumerate(listings):
        one = tiny_retriever.retrieve([listing])
        own = values[batch.offsets[at] : batch.offsets[at + 1]]
        np.testing.assert_array_equal(own, compute(tiny_retriever, [listing], one))


def shuffled(batch: CandidateBatch, seed: int) -> tuple[CandidateBatch, NDArray[np.int64]]:
    """Return a batch with each listing's candidates in another order, and that order."""
    rng = np.random.default_rng(seed)
    spans = zip(batch.offsets, batch.offsets[1:], strict=False)
    order = np.concatenate([rng.permutation(np.arange(a, b)) for a, b in spans])
    mixed = replace(
        batch,
        record=batch.record[order],
        similarity=batch.similarity[order],
        shortlist=batch.shortlist[order],
        listing=batch.listing[order],
        pair=batch.pair[order],
        place=batch.place[order],
        variant_probability=batch.variant_probability[order],
    )
    return mixed, order


def test_the_order_of_candidates_does_not_matter(tiny_retriever: Retriever) -> None:
    listings = as_listings(TITLES)
    batch = tiny_retriever.retrieve(listings)
    values = compute(tiny_retriever, listings, batch)
    for seed in range(5):
        mixed, order = shuffled(batch, seed)
        np.testing.assert_array_equal(compute(tiny_retriever, listings, mixed), values[order])


def test_no_candidates_give_no_rows(tiny_retriever: Retriever) -> None:
    listings = as_listings(["", "RTX 4060"])
    values = compute(tiny_retriever, listings, without_candidates(tiny_retriever, listings, {0, 1}))
    assert values.shape == (0, len(CANDIDATE_FEATURES))


# --- offers ---


def without_candidates(
    retriever: Retriever, listings: Sequence[Listing], bare: set[int]
) -> CandidateBatch:
    batch = retriever.retrieve(listings)
    kept = np.array([at not in bare for at in batch.listing], bool)
    return batch.take(kept)


def offers_of(
    retriever: Retriever, listings: Sequence[Listing], batch: CandidateBatch, scores: Floats
) -> tuple[Floats, NDArray[np.int64]]:
    features = compute(retriever, listings, batch)
    return offer_features(batch, retriever.table, features, scores, cues_of(batch))[:2]


def offer(retriever: Retriever, title: str) -> dict[str, float]:
    """Return the offer features of one title, its candidates scored by their shortlist."""
    listings = as_listings([title])
    batch = retriever.retrieve(listings)
    values, _ = offers_of(retriever, listings, batch, batch.shortlist)
    return dict(zip(OFFER_FEATURES, values[0].tolist(), strict=True))


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        (
            "MSI RTX 4060 Ti card",
            {
                "title_runs": 5,
                "mention_share": 0.4,
                "for_gap": 9,
                "cue_words": 0.4,
                "partner_before": 1,
                "card_word_after": 1,
                "box_before": 0,
            },
        ),
        (
            "box for RTX 4060",
            {
                "for_gap": 2,
                "box_before": 1,
                "box_after": 0,
                "for_before": 1,
                "mention_share": 0.75,
                "cue_words": 0,
            },
        ),
        ("RTX 4060 for laptop box", {"for_gap": 9, "laptop_excused": 1, "box_after": 1}),
        ("RTX 4060 with box", {"box_excused": 1, "box_before": 0, "box_after": 0, "with_after": 1}),
        ("no box, RTX 4060", {"box_excused": 1, "box_before": 0, "without_before": 1}),
        ("box box box box box 4060", {"box_before": 3}),
        ("for a for b c 4060", {"for_gap": 3, "for_before": 2}),
        ("for " + "x " * 12 + "4060", {"for_gap": 9}),
        ("see box", {"mention_share": -1, "for_gap": 9, "box_before": 1, "box_after": 0}),
        ("", {"title_runs": 0, "mention_share": -1, "cue_words": 0, "for_gap": 9}),
    ],
)
def test_offer_columns_by_hand(
    title: str, expected: dict[str, float], tiny_retriever: Retriever
) -> None:
    values = offer(tiny_retriever, title)
    found = {name: values[name] for name in expected}
    assert found == pytest.approx(expected, abs=1 / 1024)


def test_the_best_candidate_s_features_come_first(tiny_retriever: Retriever) -> None:
    listings = as_listings(TITLES)
    batch = tiny_retriever.retrieve(listings)
    scores = np.random.default_rng(1).normal(size=len(batch.record)).astype(np.float32)
    values, best = offers_of(tiny_retriever, listings, batch, scores)
    features = compute(tiny_retriever, listings, batch)
    np.testing.assert_array_equal(values[:, : len(CANDIDATE_FEATURES)], features[best])
    model = tiny_retriever.table.model_of_record[batch.record]
    names = list(OFFER_FEATURES)
    for at, (a, b) in enumerate(zip(batch.offsets, batch.offsets[1:], strict=False)):
        own = scores[a:b]
        assert model[best[at]] == model[a + own.argmax()]
        assert batch.place[best[at]] == 0
        of_model = [own[model[a:b] == each].max() for each in model[a:b]]
        rivals = own[model[a:b] != model[best[at]]]
        expected = {
            "score": own.max(),
            "lead": own.max() - rivals.max(),
            "score_spread": own.max() - np.mean(of_model),
        }
        found = {name: values[at, names.index(name)] for name in expected}
        assert found == pytest.approx(expected, abs=1 / 1024)


def test_a_listing_without_candidates_has_the_documented_values(
    tiny_retriever: Retriever,
) -> None:
    listings = as_listings(["box for nothing", "RTX 4060", "box"])
    batch = without_candidates(tiny_retriever, listings, {0, 2})
    scores = np.arange(len(batch.record), dtype=np.float32)
    values, best = offers_of(tiny_retriever, listings, batch, scores)
    assert best[[0, 2]].tolist() == [-1, -1]
    assert batch.pair[best[1]] == batch.pair[-1]
    row = dict(zip(OFFER_FEATURES, values[0].tolist(), strict=True))
    assert {row[name] for name in CANDIDATE_FEATURES} == {-1.0}
    expected = {
        "lead": 9,
        "score_spread": 0,
        "title_runs": 3,
        "mention_share": -1,
        "for_gap": 9,
        "box_before": 1,
        "for_before": 1,
    }
    assert {name: row[name] for name in expected} == expected


def test_nothing_but_listings_without_candidates(tiny_retriever: Retriever) -> None:
    listings = as_listings(["", "box"])
    batch = without_candidates(tiny_retriever, listings, {0, 1})
    values, best = offers_of(tiny_retriever, listings, batch, np.zeros(0, np.float32))
    assert best.tolist() == [-1, -1]
    np.testing.assert_array_equal(values[:, : len(CANDIDATE_FEATURES)], -1)


def test_lead_without_a_rival_is_nine(tiny_registry: list[GpuRecord], make_retriever: Any) -> None:
    retriever = make_retriever([r for r in tiny_registry if r.model == "Arc A770"])
    assert offer(retriever, "A770")["lead"] == 9


def test_offer_batches_equal_single_listings_in_any_candidate_order(
    tiny_retriever: Retriever,
) -> None:
    listings = as_listings(TITLES)
    batch = tiny_retriever.retrieve(listings)
    scores = np.random.default_rng(2).normal(size=len(batch.record)).astype(np.float32)
    values, best = offers_of(tiny_retriever, listings, batch, scores)
    for at, listing in enumerate(listings):
        one = tiny_retriever.retrieve([listing])
        own = slice(batch.offsets[at], batch.offsets[at + 1])
        single, _ = offers_of(tiny_retriever, [listing], one, scores[own])
        np.testing.assert_array_equal(values[at], single[0])
    mixed, order = shuffled(batch, 3)
    again, other = offers_of(tiny_retriever, listings, mixed, scores[order])
    np.testing.assert_allclose(again, values, atol=1 / 1024)
    np.testing.assert_array_equal(mixed.record[other], batch.record[best])


def test_offer_names_are_unique_and_cover_every_category() -> None:
    assert len(set(OFFER_FEATURES)) == len(OFFER_FEATURES)
    assert OFFER_FEATURES[: len(CANDIDATE_FEATURES)] == CANDIDATE_FEATURES
    places = ("before", "after", "excused")
    ends = [f"{category}_{where}" for category in CATEGORIES for where in places]
    assert [name for name in OFFER_FEATURES if name in ends] == ends


# --- reasons ---


class Readings(list[Any]):
    def __init__(self, read: list[Any], doubts: NDArray[np.int64]) -> None:
        super().__init__(read)
        self.doubts = doubts
        self.titles = [SimpleNamespace(title=each.text) for each in read]

    def words_of(self, at: int, start: int, stop: int) -> str:
        runs_of = self[at].runs
        return str(self[at].text[runs_of[start].start : runs_of[stop - 1].end])


def evidence(title: str, *, best: int = 0, doubts: int = 0, **values: float) -> Any:
    row = np.zeros((1, len(CANDIDATE_FEATURES)), np.float32)
    for name, value in values.items():
        row[0, CANDIDATE_FEATURES.index(name)] = value
    text = normalise(title)
    reading = SimpleNamespace(text=text, runs=runs(text))
    offers = np.zeros((1, len(OFFER_FEATURES)), np.float32)
    offers[0, OFFER_FEATURES.index("support")] = 1
    return SimpleNamespace(
        best=np.array([best]),
        features=row,
        offers=offers,
        cues=CUES.find([(text, reading.runs)]),
        candidates=SimpleNamespace(readings=Readings([reading], np.array([doubts]))),
    )


def number_of(decision: str) -> NDArray[np.int64]:
    return np.array([DECISIONS.index(Decision(decision))])


GOOD = {"named": 1, "suffix_exact": 1}


def reasons(found: Any, decision: str, in_sizes: bool = False) -> list[str]:
    return reasons_of(found, best_features(found), number_of(decision), np.array([in_sizes]))


@pytest.mark.parametrize(
    ("title", "decision", "values", "reason"),
    [
        ("", "match", GOOD, "model number agrees"),
        ("", "match", {**GOOD, "memory_fit": 1}, "model number + memory agree"),
        ("", "match", {"code_length": 6, "form_fit": 1}, "part number + form factor agree"),
        ("", "match", {}, "similar text"),
        ("", "match", {"named": 1}, "similar text"),
        (
            "",
            "review",
            {**GOOD, "memory_fit": -1},
            "model number agrees; but another memory size is stated",
        ),
        (
            "",
            "review",
            {"suffix_missing": 1, "suffix_extra": 2, "vendor_fit": -1},
            "similar text; but a suffix of the name is missing, an extra suffix is stated, "
            "another chip vendor is named",
        ),
        ("", "review", {"memory_fit": 1}, "memory agrees"),
        ("box for 4060", "review", GOOD, "model number agrees; but box only: box"),
        ("box for 4060", "match", GOOD, "model number agrees"),
        ("box for 4060", "no_match", GOOD, "box only: box"),
        ("4060 with box", "no_match", GOOD, "weak evidence"),
        ("GPU holder", "no_match", {"named": 0}, "accessory: holder"),
        ("card box for laptop", "no_match", GOOD, "box only: box"),
        ("card in laptop, box holder", "no_match", GOOD, "whole laptop: laptop"),
        ("laptop card", "no_match", GOOD, "weak evidence"),
        ("box, laptop card", "review", GOOD, "model number agrees; but box only: box"),
        ("holder, card in a box", "no_match", GOOD, "accessory: holder"),
        ("Gaming-PC with 4060", "no_match", GOOD, "whole computer: gaming-pc"),
        ("4060 mining rig", "no_match", GOOD, "mining rig"),
        ("8GB PC3-10600 for 4060", "no_match", GOOD, "other part: pc3-10600"),
        ("8GB pc 4060", "no_match", GOOD, "whole computer: pc"),
        ("pc with 4060, PC4-19200", "no_match", GOOD, "whole computer: pc"),
        ("3D-printed stand 4060", "no_match", GOOD, "accessory or dummy: 3d-printed"),
        ("printed poster 4060", "no_match", GOOD, "picture or print: printed"),
        ("my laptop", "no_match", GOOD, "whole laptop: laptop"),
        ("photos", "no_match", {"named": 0}, "names no GPU of the registry"),
        ("photos", "no_match", {"named": 1}, "weak evidence"),
    ],
)
def test_reasons(title: str, decision: str, values: dict[str, Any], reason: str) -> None:
    assert reasons(evidence(title, **values), decision) == [reason]


@pytest.mark.parametrize("decision", ["match", "review", "no_match"])
def test_the_reason_without_a_candidate(decision: str) -> None:
    found = reasons(evidence("box", best=-1), decision)
    assert found == ["no candidate"]


@pytest.mark.parametrize(
    ("memory_fit", "in_sizes", "reason"),
    [
        (0, True, "model number agrees, memory not stated"),
        (0, False, "model number agrees"),
        (1, True, "model number + memory agree"),
        (-1, True, "model number agrees; but another memory size is stated"),
    ],
)
def test_the_reason_says_that_the_memory_is_open(
    memory_fit: int, in_sizes: bool, reason: str
) -> None:
    found = evidence("4060", **GOOD, memory_fit=memory_fit)
    assert reasons(found, "match", in_sizes) == [reason]


@pytest.mark.parametrize(
    ("doubt", "memory_fit", "words"),
    [
        ("cut_off", 1, "the title is cut off"),
        ("unknown_suffix", 1, "no such model has this suffix"),
        ("unknown_size", -1, "no such model has this memory size"),
        ("unknown_size", 0, "no such model has this memory size"),
        ("code_conflict", 1, "the part number is another model's"),
    ],
)
def test_the_reason_names_a_doubt(doubt: str, memory_fit: int, words: str) -> None:
    found = evidence("4060", doubts=1 << DOUBTS.index(doubt), **GOOD, memory_fit=memory_fit)
    agrees = "model number + memory agree" if memory_fit > 0 else "model number agrees"
    reason = reasons(found, "review", True)
    assert reason == [f"{agrees}; but {words}"]


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("RTX 4060", {"bare": 0, "support": 1, "letters_behind": 0, "mention_wished": 0}),
        ("4060", {"bare": 1, "support": 0}),
        ("4060KLM", {"bare": 1, "letters_behind": 3}),
        ("4060 OC", {"letters_behind": 0}),
        ("MSI 4060 card", {"bare": 0, "support": 2}),
        ("[H] cash [W] RTX 4060", {"mention_wished": 1}),
        ("[H] RTX 4060 [W] cash", {"mention_wished": 0}),
        ("RTX 4060, Arc A770", {"others_named": 1, "others_lined": 1}),
        ("RTX 4060 swap for Arc A770", {"others_named": 0, "others_lined": 0}),
        ("RTX 4060, better than Arc A770", {"others_named": 0}),
    ],
)
def test_what_makes_an_offer_of_a_name(
    title: str, expected: dict[str, float], tiny_retriever: Retriever
) -> None:
    listings = as_listings([title])
    batch = tiny_retriever.retrieve(listings)
    models = [tiny_retriever.records[row].model for row in batch.record]
    scores = batch.shortlist + 9 * (np.array(models) == "GeForce RTX 4060")
    values, _ = offers_of(tiny_retriever, listings, batch, scores.astype(np.float32))
    row = dict(zip(OFFER_FEATURES, values[0].tolist(), strict=True))
    assert {name: row[name] for name in expected} == expected


def test_a_description_has_columns_of_its_own(tiny_retriever: Retriever) -> None:
    listings = [
        Listing(title="MSI RTX 4060", description="laptop, no box"),
        Listing(title="MSI RTX 4060"),
    ]
    batch = tiny_retriever.retrieve(listings)
    features = compute(tiny_retriever, listings, batch)
    cues = CUES.read(batch.readings)
    values = offer_features(batch, tiny_retriever.table, features, batch.shortlist, cues)[0]
    columns = [OFFER_FEATURES.index(f"{name}_described") for name in ("laptop", "box", "without")]
    assert values[:, columns].tolist() == [[1, 0, 1], [0, 0, 0]]
    assert values[:, OFFER_FEATURES.index("laptop_after")].tolist() == [0, 0]
