"""GPU candidates: what is true of them, and the ranker over them."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from rerank.index.records import LabelledListing, Listing, shipped
from rerank.index.text import descriptor, listing_text
from rerank.packs.gpu.candidates import CANDIDATE_FEATURES
from rerank.packs.gpu.cues import CueReader
from rerank.packs.gpu.training.evidence import Preparer
from rerank.packs.gpu.training.scored_making import (
    Judgement,
    generated_listings,
    gpu_candidates,
    judge,
)
from rerank.rankers.dual import DualCandidateRanker, DualModel
from rerank.rankers.dual_experiment import train_dual
from rerank.rankers.parameters import DualConfig
from rerank.rankers.scored import ReadLines
from rerank.ranking import RankingBatch
from rerank.settings import settings_of

CONFIG = {
    "inputs": {"conflict_features": ["memory_fit", "suffix_*"]},
    "split": {"validation_percent": 25, "test_percent": 25},
    "network": {"hidden": 8, "layers": 1, "members": 2},
    "training": {"epochs": 4},
    "evaluation": {"samples": 20},
}


def listing(truth, *, memory: bool = False, form: bool = False) -> LabelledListing:
    return LabelledListing(
        Listing("1", "a card"),
        kind="match",
        gpu_id=truth.gpu_id,
        model=truth.model,
        memory_stated=memory,
        form_stated=form,
        mentions=None,
        template="",
    )


@pytest.mark.parametrize(
    ("candidate", "memory", "expected"),
    [
        (("GeForce RTX 4060 Ti", 16), True, Judgement(1.0, 0.0)),
        (("GeForce RTX 4060 Ti", 8), True, Judgement(5 / 7, 1.0)),  # memory is 2 of 7
        (("GeForce RTX 4060 Ti", 8), False, Judgement(1.0, 0.0)),
        (("GeForce RTX 4060", 8), False, Judgement(3 / 5, 1.0)),  # the suffix is 2 of 5
        (("GeForce RTX 4080", 16), True, Judgement(0.0, 1.0)),
    ],
)
def test_candidates_are_judged_by_the_record_the_listing_was_made_of(
    make_gpu, candidate, memory, expected
):
    truth = make_gpu("GeForce RTX 4060 Ti", 16)
    item = listing(truth, memory=memory)
    found = judge(item, truth, make_gpu(*candidate), {truth.model, candidate[0]})
    assert found.compliance == pytest.approx(expected.compliance)
    assert found.conflict == expected.conflict


def test_form_counts_as_stated_and_else_as_an_ordinary_card(make_gpu):
    card, laptop = make_gpu("GeForce RTX 3080", 10), make_gpu("GeForce RTX 3080", 16, form="mobile")
    plain = {card.model}
    assert judge(listing(card), card, laptop, plain) == Judgement(4 / 5, 0.0)
    assert judge(listing(laptop, form=True), laptop, card, plain) == Judgement(4 / 5, 1.0)
    only_mobile = make_gpu("GeForce MX450", 2, form="mobile")
    assert judge(listing(only_mobile), only_mobile, only_mobile, plain) == Judgement(1.0, 0.0)


def test_another_vendors_card_of_the_same_number_complies_with_nothing(make_gpu):
    truth = make_gpu("GeForce GTX 770", 2)
    other = make_gpu("Radeon HD 770", 2, vendor="AMD", line="Radeon")
    assert judge(listing(truth), truth, other, set()) == Judgement(0.0, 1.0)


@pytest.fixture(scope="module")
def scored(tiny_retriever):
    """Generated listings of a dozen models with their candidates, and how they were prepared."""
    preparer = Preparer(tiny_retriever, CueReader.load(shipped("cues.txt")))
    labelled = generated_listings(tiny_retriever.records, 300, seed=3)

    def encode(listings):
        return tiny_retriever.embedder.encode([listing_text(each).embedded for each in listings])

    gpus = tiny_retriever.embedder.encode([descriptor(r) for r in tiny_retriever.records])
    (found,) = gpu_candidates(preparer, labelled, encode, gpus)
    return found, preparer, labelled


def test_queries_are_the_listings_and_their_canonical_id_the_model(scored, tiny_retriever):
    found, _, labelled = scored
    assert found.canonical_id == tuple(item.model for item in labelled)
    assert found.text[0] == labelled[0].listing.title
    vendors = {record.model: record.vendor for record in tiny_retriever.records}
    assert found.domain == tuple(vendors[item.model] for item in labelled)
    right = [item.gpu_id for item in labelled]
    for at, (start, end) in enumerate(itertools.pairwise(found.offsets.tolist())):
        ids = found.candidate_id[start:end]
        if right[at] in ids:
            row = start + ids.index(right[at])
            assert (found.conflict[row], found.features.shape[1]) == (0, len(CANDIDATE_FEATURES))


def test_the_ranker_scores_a_batch_as_the_model_scores_its_queries(scored, tmp_path):
    found, preparer, labelled = scored
    train_dual(ReadLines(found, 300, ()), settings_of(DualConfig, CONFIG), tmp_path)
    ranker = DualCandidateRanker.load(tmp_path / "model")
    prepared = preparer.prepare(labelled[:40])
    batch = RankingBatch(
        [item.listing for item in labelled[:40]],
        prepared.candidates,
        prepared.features,
        preparer.table,
    )
    expected = DualModel.load(tmp_path / "model").score(found.of_queries(np.arange(300) < 40))
    scores = ranker.score(batch)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected.score, atol=1e-4)
    np.testing.assert_allclose(ranker.judge(batch).doubt, expected.doubt, atol=1e-4)


def test_a_batch_without_candidates_has_no_scores(scored, tmp_path):
    found, preparer, labelled = scored
    train_dual(ReadLines(found, 300, ()), settings_of(DualConfig, CONFIG), tmp_path)
    prepared = preparer.prepare(labelled[:1])
    empty = replace(
        prepared.candidates,
        offsets=np.zeros(2, np.int64),
        record=np.zeros(0, np.int64),
        similarity=np.zeros(0, np.float32),
        shortlist=np.zeros(0, np.float32),
        listing=np.zeros(0, np.int64),
    )
    batch = RankingBatch([labelled[0].listing], empty, prepared.features[:0], preparer.table)
    found_scores = DualCandidateRanker.load(tmp_path / "model").judge(batch)
    assert found_scores.score.shape == (0,)
    assert found_scores.error_probability.tolist() == [1]
