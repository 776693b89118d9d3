"""Ranking by text, and the cascade: which listings and candidates are rescored, and their order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from rerank.cross_encoder.cascade import Cascade, CloseScores, HeldForReview
from rerank.cross_encoder.ranker import CrossEncoderRanker, gpu_text, query_text
from rerank.domain import card_tools
from rerank.index.errors import InputError
from rerank.index.records import Listing
from rerank.packs.gpu.candidates import CANDIDATE_FEATURES
from rerank.ranking import RankingBatch

LISTINGS = [
    Listing("a", "Gigabyte RTX4060Ti 16GB"),
    Listing("b", ""),
    Listing("c", "RTX 4060 or A770"),
    Listing("d", "4080S", vendor="MSI"),
]


class Given:
    """A ranker with scores that are given by the listing's place and the candidate's."""

    def __init__(self, scores: Callable[[int, int], float]) -> None:
        self._scores = scores
        self.seen: list[tuple[int, int]] = []

    def score(self, batch):
        rows = zip(batch.candidates.listing.tolist(), batch.candidates.record.tolist(), strict=True)
        self.seen = list(rows)
        assert batch.features.shape == (len(self.seen), len(CANDIDATE_FEATURES))
        assert len(batch.candidates.offsets) == len(batch.listings) + 1
        return np.array([self._scores(at, record) for at, record in self.seen], np.float32)


@pytest.fixture
def batch(tiny_retriever):
    candidates = tiny_retriever.retrieve(LISTINGS, n_candidates=6)
    features = np.zeros((len(candidates.record), len(CANDIDATE_FEATURES)), np.float32)
    return RankingBatch(LISTINGS, candidates, features, tiny_retriever.table)


def always(*wanted: int):
    return lambda batch, scores: np.isin(np.arange(len(batch.listings)), wanted)


def order_of(batch, scores, listing):
    """Return the records of a listing, best first."""
    rows = np.flatnonzero(batch.candidates.listing == listing)
    ties = batch.table.tie_rank[batch.candidates.record[rows]]
    return batch.candidates.record[rows][np.lexsort((ties, -scores[rows]))].tolist()


def test_the_top_few_of_uncertain_listings_are_put_in_the_seconds_order(batch):
    first, second = Given(lambda at, record: 10.0 - record), Given(lambda at, record: 100 * record)
    plain = first.score(batch)
    scores = Cascade(first, second, always(0), top=3).score(batch)
    before, after = order_of(batch, plain, 0), order_of(batch, scores, 0)
    assert after == [*before[:3][::-1], *before[3:]]
    assert sorted(second.seen) == sorted((0, record) for record in before[:3])
    others = batch.candidates.listing != 0
    np.testing.assert_array_equal(scores[others], plain[others])


def test_the_rescored_keep_the_scores_of_the_first(batch):
    first, second = Given(lambda at, record: 10.0 - record), Given(lambda at, record: record)
    cascade = Cascade(first, second, always(0, 2, 3), top=4, second_weight=5)
    np.testing.assert_array_equal(
        np.sort(cascade.score(batch)),
        np.sort(first.score(batch)),
    )


def test_the_seconds_weight_decides_how_much_it_may_overturn(batch):
    first, second = Given(lambda at, record: -float(record)), Given(lambda at, record: record)
    plain = order_of(batch, first.score(batch), 0)
    for weight, expected in ((0.5, plain), (2.0, plain[:3][::-1] + plain[3:])):
        cascade = Cascade(first, second, always(0), top=3, second_weight=weight)
        assert order_of(batch, cascade.score(batch), 0) == expected


def test_ties_of_the_first_are_told_apart_and_stay_above_the_rest(batch):
    second = Given(lambda at, record: record)
    flat = Given(lambda at, record: 1.0)
    scores = Cascade(flat, second, always(0), top=3).score(batch)
    rows = np.flatnonzero(batch.candidates.listing == 0)
    few = sorted(record for at, record in second.seen)
    assert order_of(batch, scores, 0)[:3] == few[::-1]
    np.testing.assert_allclose(scores[rows], 1.0, atol=1e-6)
    assert len(set(scores[rows].tolist())) == 4


def test_without_uncertain_listings_the_second_is_not_asked(batch):
    first, second = Given(lambda at, record: -float(record)), Given(lambda at, record: 0)
    scores = Cascade(first, second, always()).score(batch)
    np.testing.assert_array_equal(scores, first.score(batch))
    assert second.seen == []


def test_a_listing_without_candidates_may_be_uncertain(tiny_retriever):
    candidates = tiny_retriever.retrieve([], n_candidates=3)
    empty = RankingBatch(
        [], candidates, np.zeros((0, len(CANDIDATE_FEATURES)), np.float32), tiny_retriever.table
    )
    second = Given(lambda at, record: 0)
    cascade = Cascade(second, second, CloseScores(1.0))
    assert cascade.score(empty).shape == (0,)


@pytest.mark.parametrize("given", [{"top": 1}, {"second_weight": 0.0}])
def test_a_cascade_of_nothing_is_an_input_error(given):
    with pytest.raises(InputError, match="expected top of at least 2 and a second_weight above 0"):
        Cascade(Given(lambda at, r: 0), Given(lambda at, r: 0), CloseScores(1), **given)


def test_scores_are_close_only_between_models(batch):
    model = batch.table.model_of_record
    ours = int(model[order_of(batch, np.zeros(len(batch.candidates.record)), 0)[0]])
    by_model = Given(lambda at, record: 3.0 if model[record] == ours else 1.5)
    scores = by_model.score(batch)
    mixed = {
        at: {int(model[record]) for own, record in by_model.seen if own == at}
        for at in range(len(LISTINGS))
    }
    for gap, close in ((1.4, False), (1.5, True)):
        found = CloseScores(gap)(batch, scores)
        assert bool(found[0]) is close
        for at in range(1, 4):
            equals = ours not in mixed[at] and len(mixed[at]) > 1
            assert bool(found[at]) is (equals or (close and len(mixed[at]) > 1))


def test_held_for_review(batch, linear_model):
    scores = np.zeros(len(batch.candidates.record), np.float32)
    there = np.diff(batch.candidates.offsets) > 0
    offers = card_tools().offers()
    for bias, held in ((0.0, True), (4.0, False), (-4.0, False)):
        found = HeldForReview(linear_model({}, {}, bias), offers)(batch, scores)
        np.testing.assert_array_equal(found, there & held)


def test_a_listing_is_rescored_if_one_of_several_reasons_says_so(batch):
    first, second = Given(lambda at, record: -float(record)), Given(lambda at, record: 0)
    Cascade(first, second, always(), always(0), always(2)).score(batch)
    assert {at for at, _ in second.seen} == {0, 2}


def test_texts_of_listings_and_gpus(make_gpu):
    assert query_text(Listing("1", "Asus RTX4060Ti 8G", vendor="ASUS")) == "asus rtx 4060 ti 8 g"
    long = Listing("1", "RX6600", vendor="XFX", description="used " * 50)
    assert query_text(long).startswith("rx 6600 xfx used used")
    assert len(query_text(long)) < 140
    gpu = make_gpu("GeForce GT 710", 0.5, "DDR3", aliases=("GT710", "N710", "X"))
    assert gpu_text(gpu) == "nvidia geforce gt 710 512 mb ddr 3 pcie gt 710 n 710"


class Overlap:
    """Scores a pair by the words that both sides share."""

    def score(self, pairs):
        shared = [len(set(p.query.split()) & set(p.document.split())) for p in pairs]
        return np.array(shared, np.float32)


def test_a_ranker_scores_each_candidate_beside_its_own_listing(batch):
    scores = CrossEncoderRanker(Overlap()).score(batch)
    records, listing = batch.candidates.record.tolist(), batch.candidates.listing.tolist()
    for score, record, at in zip(scores, records, listing, strict=True):
        words = set(query_text(LISTINGS[at]).split())
        assert score == len(words & set(gpu_text(batch.table.records[record]).split()))
    best = batch.table.records[order_of(batch, scores, 0)[0]]
    assert (best.model, best.memory_gb) == ("GeForce RTX 4060 Ti", 16)
