"""The retriever: recall of each route, its limits, and batches that equal single listings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from rerank.index.embedder import HashEmbedder
from rerank.index.records import N_CANDIDATES, GpuRecord, Listing, Route
from rerank.index.text import descriptor
from rerank.index.vector_index import FaissIndex, IndexKind, VectorIndex
from rerank.packs.gpu.name_evidence import name_evidence, surely_named
from rerank.packs.gpu.retriever import Neighbours, Retriever

MakeRetriever = Callable[[Sequence[GpuRecord]], Retriever]

# (title, the variant it sells)
SOLD = [
    ("Gigabyte RTX4060Ti windforce 16g", "geforce-rtx-4060-ti-16gb-gddr6"),
    ("GV-N406TEAGLE OC-8GD", "geforce-rtx-4060-ti-8gb-gddr6"),
    ("4080S founders", "geforce-rtx-4080-super-16gb-gddr6x"),
    ("RTX 308012GB", "geforce-rtx-3080-12gb-gddr6x"),
    ("EVGA 06G-P4-6163-KR", "geforce-gtx-1060-6gb-gddr5"),
    ("джифорс гтх 1060 3гб", "geforce-gtx-1060-3gb-gddr5"),
    ("Quadro RTX 4000 8GB", "quadro-rtx-4000-8gb-gddr6"),
    ("RTX 4000 Ada SFF-less 20GB", "rtx-4000-ada-20gb-gddr6"),
    ("nvidia a100 80gb sxm4", "a100-80gb-hbm2e-sxm4"),
    ("sapphire 6600 xt pulse", "radeon-rx-6600-xt-8gb-gddr6"),
    ("EAH7970/3GD5", "radeon-hd-7970-3gb-gddr5"),
    ("intel arc A770 limited 16GB", "arc-a770-16gb-gddr6"),
]
LISTINGS = [Listing(str(at), title) for at, (title, _) in enumerate(SOLD)]


def candidates(retriever: Retriever, title: str, **options: object) -> list[GpuRecord]:
    batch = retriever.retrieve([Listing("1", title)], **options)  # type: ignore[arg-type]
    return [retriever.records[row] for row in batch.record]


@pytest.mark.parametrize("route", [Route.NAME, Route.FUSED])
def test_the_sold_variant_is_the_first_candidate(route: Route, tiny_retriever: Retriever) -> None:
    batch = tiny_retriever.retrieve(LISTINGS, route=route)
    first = [tiny_retriever.records[row].gpu_id for row in batch.record[batch.offsets[:-1]]]
    assert first == [gpu_id for _, gpu_id in SOLD]


def test_vectors_alone_find_names_written_as_in_the_registry(tiny_retriever: Retriever) -> None:
    for record in tiny_retriever.records:
        found = candidates(tiny_retriever, record.model, route=Route.VECTOR, n_candidates=8)
        assert record.model in {candidate.model for candidate in found}


def test_vectors_alone_show_as_many_as_asked(
    tiny_retriever: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rerank.packs.gpu.retriever._VECTOR_HITS", 3)
    found = candidates(tiny_retriever, "rtx 4060", route=Route.VECTOR, n_candidates=200)
    # of one model there are five variants, and four are shown
    assert len(found) == len(tiny_retriever.records) - 1


def test_all_routes_at_once_are_each_route_alone(tiny_retriever: Retriever) -> None:
    listings = [Listing("1", "rtx 4060 ti 16gb"), Listing("2", "oak bookshelf")]
    together = tiny_retriever.retrieve_routes(listings, n_candidates=5)
    assert list(together) == list(Route)
    for route, found in together.items():
        alone = tiny_retriever.retrieve(listings, n_candidates=5, route=route)
        assert found.record.tolist() == alone.record.tolist()
        assert found.offsets.tolist() == alone.offsets.tolist()
        assert found.shortlist.tolist() == alone.shortlist.tolist()


def test_every_route_stays_within_its_limits(tiny_retriever: Retriever) -> None:
    for route in Route:
        for limit in (1, 2, 5, N_CANDIDATES):
            batch = tiny_retriever.retrieve(LISTINGS, n_candidates=limit, route=route)
            counts = np.diff(batch.offsets)
            assert batch.offsets[0] == 0
            assert batch.offsets[-1] == len(batch.record)
            assert counts.max() <= limit
            for start, stop in zip(batch.offsets, batch.offsets[1:], strict=False):
                rows = batch.record[start:stop].tolist()
                assert len(set(rows)) == len(rows)
                assert (np.diff(batch.shortlist[start:stop]) <= 0).all()


def test_a_smaller_limit_keeps_the_best(tiny_retriever: Retriever) -> None:
    many = tiny_retriever.retrieve(LISTINGS)
    few = tiny_retriever.retrieve(LISTINGS, n_candidates=3)
    for at in range(len(LISTINGS)):
        best = many.record[many.offsets[at] : many.offsets[at] + 3]
        np.testing.assert_array_equal(few.record[few.offsets[at] : few.offsets[at + 1]], best)


def test_at_most_four_variants_of_a_model(tiny_retriever: Retriever) -> None:
    found = candidates(tiny_retriever, "RTX 3080")
    models = [record.model for record in found]
    assert models.count("GeForce RTX 3080") == 4
    assert max(models.count(model) for model in models) <= 4


def test_of_many_variants_the_stated_memory_is_kept(tiny_retriever: Retriever) -> None:
    assert candidates(tiny_retriever, "RTX 3080 20GB")[0].memory_gb == 20


def test_without_a_stated_memory_the_registry_s_order_decides(tiny_retriever: Retriever) -> None:
    found = [r for r in candidates(tiny_retriever, "arc a770") if r.model == "Arc A770"]
    assert [record.memory_gb for record in found] == [16, 8]


def test_similarity_is_the_cosine_of_the_embeddings(tiny_retriever: Retriever) -> None:
    batch = tiny_retriever.retrieve(LISTINGS[:3])
    embedder = tiny_retriever.embedder
    for row, (at, record) in enumerate(zip(batch.listing, batch.record, strict=True)):
        text = batch.readings[at].text
        gpu = tiny_retriever.records[record]
        from rerank.index.text import spaced

        pair = embedder.encode([spaced(text), descriptor(gpu)])
        assert batch.similarity[row] == pytest.approx(float(pair[0] @ pair[1]), abs=1e-5)
    vectors = tiny_retriever.retrieve(LISTINGS[:3], route=Route.VECTOR)
    np.testing.assert_array_equal(vectors.similarity, vectors.shortlist)


@pytest.mark.parametrize("route", list(Route), ids=lambda route: route.value)
def test_a_batch_equals_single_listings(route: Route, tiny_retriever: Retriever) -> None:
    listings = [*LISTINGS, Listing("d", "RTX 3080", "ASUS", "10 GB card")]
    batch = tiny_retriever.retrieve(listings, route=route)
    for at, listing in enumerate(listings):
        one = tiny_retriever.retrieve([listing], route=route)
        own = slice(batch.offsets[at], batch.offsets[at + 1])
        np.testing.assert_array_equal(batch.record[own], one.record)
        np.testing.assert_allclose(batch.shortlist[own], one.shortlist, atol=1e-5)
        assert batch.readings[at] == one.readings[0]


@pytest.mark.parametrize("title", ["", "🎮", "&nbsp;", "see photos"])
def test_a_title_that_names_nothing_still_gets_candidates(
    title: str, tiny_retriever: Retriever
) -> None:
    batch = tiny_retriever.retrieve([Listing("1", title)], n_candidates=5)
    assert batch.offsets.tolist() == [0, 5]
    if title != "see photos":
        np.testing.assert_array_equal(batch.similarity, 0)
    assert np.isfinite(batch.shortlist).all()


def test_a_nameless_title_among_others_has_no_candidates_by_name(
    tiny_retriever: Retriever,
) -> None:
    listings = [Listing("1", ""), Listing("2", "RTX 4060"), Listing("3", "box")]
    batch = tiny_retriever.retrieve(listings, route=Route.NAME)
    assert np.diff(batch.offsets).tolist() == [0, 3, 0]
    assert set(batch.listing.tolist()) == {1}


@pytest.mark.parametrize("kind", list(IndexKind), ids=lambda kind: kind.value)
def test_faiss_gives_the_candidates_of_the_exact_index(
    kind: IndexKind, tiny_retriever: Retriever, hash_embedder: HashEmbedder
) -> None:
    records = tiny_retriever.records
    vectors = hash_embedder.encode([descriptor(record) for record in records])
    index = FaissIndex.build(vectors, kind)
    retriever = Retriever(records, vectors, index, hash_embedder)
    mine, exact = (r.retrieve(LISTINGS, n_candidates=2) for r in (retriever, tiny_retriever))
    share = np.mean(mine.record[mine.offsets[:-1]] == exact.record[exact.offsets[:-1]])
    assert share == 1.0


def test_the_order_of_the_registry_does_not_change_the_first_candidate(
    tiny_registry: list[GpuRecord], make_retriever: MakeRetriever
) -> None:
    other = make_retriever(sorted(tiny_registry, key=lambda record: record.release_year))
    batch = other.retrieve(LISTINGS)
    first = [other.records[row].gpu_id for row in batch.record[batch.offsets[:-1]]]
    assert first == [gpu_id for _, gpu_id in SOLD]


# --- beside a name ---


class Counted:
    """An index that counts what it is asked."""

    def __init__(self, index: VectorIndex) -> None:
        self.index, self.asked = index, 0

    def __len__(self) -> int:
        return len(self.index)

    def add(self, vectors: NDArray[np.float32]) -> None:
        self.index.add(vectors)

    def search(
        self, queries: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        self.asked += len(queries)
        return self.index.search(queries, k)


@pytest.fixture
def counted(
    tiny_registry: list[GpuRecord], hash_embedder: HashEmbedder
) -> tuple[Retriever, Counted]:
    """A retriever with the index it searches."""
    vectors = hash_embedder.encode([descriptor(record) for record in tiny_registry])
    index = Counted(FaissIndex.build(vectors))
    return Retriever(tiny_registry, vectors, index, hash_embedder), index


def test_a_sure_name_is_searched_once_for_all_its_titles(
    counted: tuple[Retriever, Counted],
) -> None:
    retriever, index = counted
    titles = [
        Listing(str(at), f"RTX 3080 {word}") for at, word in enumerate("eagle oc pny".split())
    ]
    retriever.retrieve(titles)
    asked = index.asked
    assert asked > 0
    retriever.retrieve(titles)
    assert index.asked == asked
    retriever.retrieve([Listing("1", "see photos"), Listing("2", "RTX 3080 Super")])
    assert index.asked == asked + 2


@pytest.mark.parametrize("title", ["RTX 3080 eagle", "Arc A770 16GB", "GTX 1060 or RTX 4060"])
def test_what_stands_beside_a_name_equals_plain_python(
    title: str, tiny_retriever: Retriever
) -> None:
    """A twin that takes one cosine at a time."""
    records, models = tiny_retriever.records, tiny_retriever.lexicon.models
    vectors = tiny_retriever.embedder.encode([descriptor(record) for record in records])
    batch = tiny_retriever.retrieve([Listing("1", title)])
    names = name_evidence(tiny_retriever.lexicon, batch.readings)
    sure = models[surely_named(names, batch.readings)[0]]
    first = next(at for at, record in enumerate(records) if record.model == sure)
    nearness: dict[str, float] = {}
    for at, record in enumerate(records):
        cosine = float(vectors[at] @ vectors[first])
        nearness[record.model] = max(cosine, nearness.get(record.model, -1.0))
    named = {models[model] for model in names.model.tolist()}
    found = dict.fromkeys(records[row].model for row in batch.record.tolist())
    beside = [nearness[model] for model in found if model not in named]
    assert beside == sorted(beside, reverse=True)
    assert beside


def test_neighbours_do_not_depend_on_who_asks_first(make_retriever: MakeRetriever) -> None:
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((90, 16)).astype(np.float32)
    index = FaissIndex.build(vectors)
    whole = Neighbours(index, vectors[:80])
    rows, nearness = whole.of(np.arange(80))
    for some in (np.array([79, 3, 3]), np.array([40]), np.zeros(0, np.int64)):
        alone = Neighbours(index, vectors[:80])
        found, cosine = alone.of(some)
        np.testing.assert_array_equal(found, rows[some])
        np.testing.assert_array_equal(cosine, nearness[some])
        np.testing.assert_array_equal(alone.of(some)[0], found)


# --- nothing to find ---


@pytest.mark.parametrize("route", list(Route), ids=lambda route: route.value)
def test_no_listings_give_no_candidates(route: Route, tiny_retriever: Retriever) -> None:
    batch = tiny_retriever.retrieve([], route=route)
    assert batch.offsets.tolist() == [0]
    assert len(batch.record) == 0


def test_one_nameless_title_has_no_candidates_by_name(tiny_retriever: Retriever) -> None:
    batch = tiny_retriever.retrieve([Listing("1", "see photos")], route=Route.NAME)
    assert batch.offsets.tolist() == [0, 0]
