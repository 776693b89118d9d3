"""Rankers on the same candidates: figures by hand, differences, what only orders."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from rerank.evaluation.gold import GoldKind, GoldListing
from rerank.evaluation.intervals import Resampling
from rerank.evaluation.paired import Competitor, drawn
from rerank.index.errors import InputError
from rerank.index.records import Listing, shipped
from rerank.model import RerankModel
from rerank.packs.gpu.cues import CueReader
from rerank.packs.gpu.retriever import Retriever
from rerank.packs.gpu.training.evidence import Preparer
from rerank.packs.gpu.training.shortlists import PreparedGold, compare_on, judged, prepare_gold
from rerank.ranking import RankingBatch

TITLES = {
    "ASUS Dual RTX 4060 Ti 16GB OC": ("GeForce RTX 4060 Ti", 16),
    "sapphire pulse RX 6600 XT": ("Radeon RX 6600 XT", None),
    "EVGA GTX 1060 3GB SC": ("GeForce GTX 1060", 3),
    "Intel Arc A770 Limited Edition": ("Arc A770", None),
    "oak bookshelf with three boards": ("", None),
}


class OneModelFirst:
    """Scores candidates of one model highest, and others the higher the later they come."""

    def __init__(self, model: str) -> None:
        self._model = model

    def score(self, batch: RankingBatch) -> np.ndarray:
        records = [batch.table.records[row] for row in batch.candidates.record.tolist()]
        first = np.array([record.model == self._model for record in records], np.bool_)
        return np.where(first, 1000, np.arange(len(records))).astype(np.float32)


def gold_listings() -> list[GoldListing]:
    return [
        GoldListing(
            str(at),
            title,
            "",
            GoldKind.MATCH if model else GoldKind.NIL,
            (model,) if model else (),
            memory,
        )
        for at, (title, (model, memory)) in enumerate(TITLES.items())
    ]


@pytest.fixture
def preparer(tiny_retriever: Retriever) -> Preparer:
    return Preparer(tiny_retriever, CueReader.load(shipped("cues.txt")))


@pytest.fixture
def prepared(preparer: Preparer) -> PreparedGold:
    return prepare_gold(preparer, gold_listings())


def measured(prepared: PreparedGold, competitors: Sequence[Competitor]) -> dict[str, dict]:
    resampling = Resampling.draw(range(len(prepared.gold)), seed=1, samples=50)
    return compare_on(prepared, competitors, baseline=competitors[0].name, resampling=resampling)


def test_what_puts_one_model_first_is_right_where_that_is_sold(prepared):
    found = measured(
        prepared,
        [Competitor("arc", OneModelFirst("Arc A770")), Competitor("none", OneModelFirst(""))],
    )
    figure = found["arc"]["metrics"]["precision_at_1"]
    assert (figure["value"], figure["n"]) == (0.25, 4)
    assert set(found["arc"]["metrics"]) == {"precision_at_1", "ndcg_at_10"}
    assert found["arc"]["differences"] == {}
    difference = found["none"]["differences"]["precision_at_1"]
    value = found["none"]["metrics"]["precision_at_1"]["value"]
    assert difference["difference"] == pytest.approx(value - 0.25)
    assert (difference["system"], difference["baseline"]) == ("none", "arc")
    assert "ece" not in found["none"]["differences"]


def test_a_model_is_measured_as_the_resolver_answers(shipped_parts):
    retriever, model, resolver = shipped_parts
    preparer = Preparer(retriever, CueReader.load(shipped("cues.txt")))
    gold = gold_listings()
    prepared = prepare_gold(preparer, gold)
    competitor = Competitor("LambdaRank", model.ranker, model=model)
    (batch,) = prepared.batches
    _, probability, _ = judged(competitor, batch, preparer.table)
    answers = resolver.resolve_many([item.listing for item in gold])
    assert probability.tolist() == [answer.match_probability for answer in answers]
    found = measured(prepared, [competitor, Competitor("again", model.ranker, model=model)])
    first = [answer.model for answer in answers[:4]]
    right = [name == item.gold_models[0] for name, item in zip(first, gold[:4], strict=True)]
    metrics = found["LambdaRank"]["metrics"]
    assert metrics["precision_at_1"]["value"] == np.mean(right)
    accepted = [answer.decision == "match" for answer in answers[:4]]
    assert metrics["accepted_share"]["value"] == np.mean(accepted)
    ece = found["again"]["differences"]["ece"]
    assert (ece["difference"], ece["p_value"], ece["n"]) == (0.0, 1.0, 5)


@pytest.fixture(scope="module")
def shipped_parts(tmp_path_factory: pytest.TempPathFactory):
    from rerank.lifecycle.opening import open_resolver
    from rerank.workspace import Workspace, open_retriever

    home = tmp_path_factory.mktemp("empty")
    retriever, _ = open_retriever(Workspace(home))
    return retriever, RerankModel.load(shipped("model")), open_resolver(home)


def test_batches_are_put_together_in_the_order_of_the_listings(preparer, monkeypatch):
    whole = prepare_gold(preparer, gold_listings())
    monkeypatch.setattr("rerank.packs.gpu.training.shortlists._BATCH", 2)
    parts = prepare_gold(preparer, gold_listings())
    assert [len(batch.listings) for batch in parts.batches] == [2, 2, 1]
    assert parts.truth.listing.tolist() == whole.truth.listing.tolist()
    assert parts.truth.grade.tolist() == whole.truth.grade.tolist()
    assert parts.is_match.tolist() == [True, True, True, True, False]


def test_nothing_to_rank_is_an_error(preparer):
    with pytest.raises(InputError, match="expected gold listings to rank, got none"):
        prepare_gold(preparer, [])


def test_listings_are_drawn_by_the_seed_and_keep_their_order():
    gold = gold_listings()
    assert drawn(gold, None, seed=1) == drawn(gold, 5, seed=1) == gold
    few = drawn(gold, 3, seed=1)
    assert few == drawn(gold, 3, seed=1)
    assert [int(item.listing_id) for item in few] == sorted(int(item.listing_id) for item in few)
    assert len({tuple(item.listing_id for item in drawn(gold, 3, seed=s)) for s in range(20)}) > 1


def test_a_listing_is_prepared_as_it_was_written(preparer):
    (batch,) = prepare_gold(preparer, gold_listings()[:1]).batches
    assert batch.listings == [Listing("0", "ASUS Dual RTX 4060 Ti 16GB OC", "", "")]
