"""The contract of a vector index, held by the exact one and by FAISS flat, HNSW and IVF alike."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rerank.index.embedder import unit_rows
from rerank.index.errors import ArtifactError, InputError
from rerank.index.vector_index import ExactIndex, FaissIndex, IndexKind, VectorIndex

SEED, ROWS, DIMENSION, K = 11, 600, 24, 10
Vectors = NDArray[np.float32]
Build = Callable[[Vectors], VectorIndex]

# Share of the true nearest K that an index must find on clustered data.
RECALL_FLOOR = {"exact": 1.0, "flat": 1.0, "hnsw": 0.98, "ivf": 0.85}


def exact(vectors: Vectors) -> ExactIndex:
    index = ExactIndex(vectors.shape[1])
    index.add(vectors)
    return index


BUILDERS: dict[str, Build] = {
    "exact": exact,
    **{kind.value: partial(FaissIndex.build, kind=kind) for kind in IndexKind},
}


def load(path: Path) -> FaissIndex:
    return FaissIndex.load(path, count=ROWS, dimension=DIMENSION)


ANY = pytest.mark.parametrize("name", list(BUILDERS))
FAISS = pytest.mark.parametrize("kind", list(IndexKind), ids=lambda kind: kind.value)


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    """Unit vectors in clusters, as siblings in a registry are."""
    rng = np.random.default_rng(SEED)
    centres = rng.normal(size=(40, DIMENSION))
    return unit_rows(
        (centres[rng.integers(40, size=ROWS)] + 0.3 * rng.normal(size=(ROWS, DIMENSION))).astype(
            np.float32
        )
    )


@pytest.fixture(scope="module")
def queries(vectors: Vectors) -> Vectors:
    rng = np.random.default_rng(SEED + 1)
    return unit_rows(vectors[:64] + 0.1 * rng.normal(size=(64, DIMENSION)).astype(np.float32))


@ANY
def test_a_vector_finds_itself_with_similarity_one(name: str, vectors: Vectors) -> None:
    similarity, rows = BUILDERS[name](vectors).search(vectors, 1)
    assert (similarity.shape, rows.shape) == ((ROWS, 1), (ROWS, 1))
    found = np.mean(rows[:, 0] == np.arange(ROWS))
    assert found >= RECALL_FLOOR[name]
    np.testing.assert_allclose(similarity[rows[:, 0] == np.arange(ROWS)], 1.0, atol=1e-5)


@ANY
def test_order_and_similarity_are_those_of_brute_force(
    name: str, vectors: Vectors, queries: Vectors
) -> None:
    similarity, rows = BUILDERS[name](vectors).search(queries, K)
    truth = queries @ vectors.T
    best = np.argsort(-truth, axis=1, kind="stable")[:, :K]
    kept = [len(set(a) & set(b)) for a, b in zip(rows.tolist(), best.tolist(), strict=True)]
    assert np.mean(kept) / K >= RECALL_FLOOR[name]
    found = rows >= 0
    own = np.take_along_axis(truth, np.maximum(rows, 0), 1)
    np.testing.assert_allclose(similarity[found], own[found], atol=1e-5)
    assert (np.diff(similarity, axis=1) <= 0).all()
    assert all(len(set(row) - {-1}) == sum(at >= 0 for at in row) for row in rows.tolist())
    if RECALL_FLOOR[name] == 1.0:
        np.testing.assert_allclose(similarity, np.take_along_axis(truth, best, 1), atol=1e-5)


@ANY
def test_a_batch_equals_single_searches(name: str, vectors: Vectors, queries: Vectors) -> None:
    index = BUILDERS[name](vectors)
    similarity, rows = index.search(queries, K)
    for at in range(len(queries)):
        one_similarity, one_rows = index.search(queries[at : at + 1], K)
        np.testing.assert_array_equal(one_rows[0], rows[at])
        np.testing.assert_allclose(one_similarity[0], similarity[at], atol=1e-6)


@ANY
def test_added_vectors_get_the_next_rows(name: str, vectors: Vectors) -> None:
    index = BUILDERS[name](vectors[:500])
    assert len(index) == 500
    index.add(vectors[500:])
    assert len(index) == ROWS
    similarity, rows = index.search(vectors[500:], 1)
    own = rows[:, 0] == np.arange(500, ROWS)
    assert own.mean() >= RECALL_FLOOR[name]
    np.testing.assert_allclose(similarity[own], 1.0, atol=1e-5)


@ANY
def test_equal_similarities_come_by_row(name: str, vectors: Vectors) -> None:
    repeated = np.concatenate([vectors[1:5], np.repeat(vectors[:1], 6, axis=0), vectors[5:9]])
    similarity, rows = BUILDERS[name](repeated).search(vectors[:1], len(repeated))
    assert rows[0, :6].tolist() == [4, 5, 6, 7, 8, 9]
    np.testing.assert_allclose(similarity[0, :6], 1.0, atol=1e-5)


@pytest.mark.parametrize("name", ["exact", "flat", "ivf"])
def test_of_equal_similarities_the_first_rows_are_kept(name: str, vectors: Vectors) -> None:
    repeated = np.concatenate([vectors[1:5], np.repeat(vectors[:1], 6, axis=0)])
    _, rows = BUILDERS[name](repeated).search(vectors[:1], 3)
    assert rows[0].tolist() == [4, 5, 6]


@pytest.mark.parametrize("name", ["exact", "flat"])
@pytest.mark.parametrize("k", [1, 7, 50, 200])
def test_many_equal_similarities_are_those_of_a_stable_sort(name: str, k: int) -> None:
    rng = np.random.default_rng(SEED)
    few_values = rng.integers(-1, 2, (ROWS, 3)).astype(np.float32)
    similarity, rows = BUILDERS[name](few_values).search(few_values[:90], k)
    truth = few_values[:90] @ few_values.T
    best = np.argsort(-truth, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(rows, best)
    np.testing.assert_array_equal(similarity, np.take_along_axis(truth, best, 1))


@pytest.mark.parametrize("kind", [IndexKind.FLAT, IndexKind.IVF], ids=lambda kind: kind.value)
def test_a_cut_among_equals_keeps_the_first_rows_of_many_vectors_too(
    kind: IndexKind, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rerank.index.vector_index._FEW", 0)
    repeated = np.repeat(vectors[:12], 50, axis=0)[np.random.default_rng(SEED).permutation(600)]
    queries = np.concatenate([vectors[:12], np.zeros((2, DIMENSION), np.float32)])
    _, rows = FaissIndex.build(repeated, kind).search(queries, K)
    for query, found in zip(vectors[:12], rows[:12].tolist(), strict=True):
        assert found == np.flatnonzero((repeated == query).all(axis=1))[:K].tolist()
    assert rows[12:].tolist() == [list(range(K))] * 2


@ANY
def test_no_more_rows_than_there_are(name: str, vectors: Vectors) -> None:
    similarity, rows = BUILDERS[name](vectors[:7]).search(vectors[:2], 50)
    assert (similarity.shape, rows.shape) == ((2, 7), (2, 7))
    if name != "ivf":  # IVF looks into some of its lists and may stop short
        assert [sorted(row) for row in rows.tolist()] == [list(range(7))] * 2
    assert (similarity[rows < 0] == -1).all()
    assert (np.sort(rows < 0, axis=1) == (rows < 0)).all()


@ANY
def test_no_queries_give_no_rows(name: str, vectors: Vectors) -> None:
    similarity, rows = BUILDERS[name](vectors).search(vectors[:0], 3)
    assert (similarity.shape, rows.shape) == ((0, 3), (0, 3))


@ANY
@pytest.mark.parametrize("shape", [(3, DIMENSION + 1), (3, DIMENSION - 1), (DIMENSION,)])
def test_a_wrong_dimension_is_refused(name: str, shape: tuple[int, ...], vectors: Vectors) -> None:
    index = BUILDERS[name](vectors)
    wrong = np.zeros(shape, np.float32)
    message = rf"expected vectors of shape \(n, {DIMENSION}\), got"
    with pytest.raises(InputError, match=message):
        index.search(wrong, 1)
    with pytest.raises(InputError, match=message):
        index.add(wrong)
    assert len(index) == ROWS


@ANY
def test_building_twice_gives_the_same_answers(
    name: str, vectors: Vectors, queries: Vectors
) -> None:
    first, second = (BUILDERS[name](vectors).search(queries, K) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_faiss_finds_the_same_rows_of_many_vectors_as_numpy_of_few(
    vectors: Vectors, queries: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    similarity, rows = FaissIndex.build(vectors).search(queries, K)
    monkeypatch.setattr("rerank.index.vector_index._COMPARED", 1)  # a query at a time
    np.testing.assert_array_equal(FaissIndex.build(vectors).search(queries, K)[1], rows)
    monkeypatch.setattr("rerank.index.vector_index._FEW", 0)
    by_faiss, rows_by_faiss = FaissIndex.build(vectors).search(queries, K)
    np.testing.assert_array_equal(rows_by_faiss, rows)
    np.testing.assert_allclose(by_faiss, similarity, atol=1e-6)


def test_many_vectors_are_compressed_in_lists_and_found_again(tmp_path: Path) -> None:
    dice = np.random.default_rng(SEED)
    rows = unit_rows(dice.normal(size=(2000, DIMENSION)).astype(np.float32))
    queries = unit_rows(rows[:90] + 0.1 * dice.normal(size=(90, DIMENSION)).astype(np.float32))
    expected = exact(rows).search(queries, K)
    index = FaissIndex.build(rows, IndexKind.IVF)
    index.save(tmp_path / "i")
    loaded = FaissIndex.load(tmp_path / "i", count=2000, dimension=DIMENSION)
    np.testing.assert_array_equal(loaded.vectors(), rows)
    for each in (index, loaded):
        similarity, found = each.search(queries, K)
        hits = (found[:, :, None] == expected[1][:, None, :]).any(axis=1)
        assert hits.mean() > 0.95
        np.testing.assert_allclose(similarity[:, 0], expected[0][:, 0], atol=1e-6)
        alone = [each.search(query[None], K) for query in queries]
        np.testing.assert_array_equal(np.concatenate([rows for _, rows in alone]), found)
        np.testing.assert_array_equal(np.concatenate([cosine for cosine, _ in alone]), similarity)
    loaded.add(queries)
    assert loaded.search(queries[:5], 1)[1].ravel().tolist() == [*range(2000, 2005)]


def test_the_kind_follows_the_size() -> None:
    assert [IndexKind.of_size(n).value for n in (0, 100_000, 100_001)] == ["flat", "flat", "ivf"]


@FAISS
def test_a_loaded_index_answers_identically(
    kind: IndexKind, vectors: Vectors, queries: Vectors, tmp_path: Path
) -> None:
    index = FaissIndex.build(vectors, kind)
    index.save(tmp_path / "index.faiss")
    loaded = load(tmp_path / "index.faiss")
    assert len(loaded) == ROWS
    for mine, other in zip(index.search(queries, K), loaded.search(queries, K), strict=True):
        np.testing.assert_array_equal(mine, other)


@FAISS
def test_the_stored_vectors_come_back_in_row_order(
    kind: IndexKind, vectors: Vectors, tmp_path: Path
) -> None:
    index = FaissIndex.build(vectors[:500], kind)
    np.testing.assert_array_equal(index.vectors(), vectors[:500])
    index.add(vectors[500:])
    np.testing.assert_array_equal(index.vectors(), vectors)
    index.save(tmp_path / "index.faiss")
    np.testing.assert_array_equal(load(tmp_path / "index.faiss").vectors(), vectors)


def test_the_vectors_of_a_flat_file_are_those_faiss_reads(
    vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FaissIndex.build(vectors).save(tmp_path / "index.faiss")
    monkeypatch.setattr("rerank.index.vector_index._FEW", 0)
    by_faiss = load(tmp_path / "index.faiss").vectors()
    monkeypatch.undo()
    monkeypatch.setattr("rerank.index.vector_index._faiss", None)  # it is not asked
    loaded = load(tmp_path / "index.faiss")
    np.testing.assert_array_equal(loaded.vectors(), by_faiss)
    assert loaded.search(vectors[:2], 1)[1].tolist() == [[0], [1]]


@pytest.mark.parametrize("content", [b"", b"not an index", b"IxFI" + b"\0" * 8])
def test_a_file_that_is_no_index_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "index.faiss"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"index\.faiss: not a FAISS index; run `rerank build"):
        load(path)


def test_kinds_are_made_from_their_names() -> None:
    assert [kind.value for kind in IndexKind] == ["flat", "hnsw", "ivf"]
    assert IndexKind("hnsw") is IndexKind.HNSW


@pytest.mark.parametrize("name", ["exact", "flat", "hnsw"])
def test_an_empty_index_is_not_searched(name: str, vectors: Vectors) -> None:
    index = BUILDERS[name](vectors[:0])
    with pytest.raises(InputError, match="the index is empty; add some first"):
        index.search(vectors[:2], 3)
    index.add(vectors[:3])
    assert index.search(vectors[:2], 3)[1].shape == (2, 3)


def test_an_ivf_index_needs_vectors(vectors: Vectors) -> None:
    with pytest.raises(InputError, match="IVF index needs vectors"):
        FaissIndex.build(vectors[:0], IndexKind.IVF)


@ANY
@pytest.mark.parametrize("k", [0, -1])
def test_a_k_below_one_is_refused(name: str, k: int, vectors: Vectors) -> None:
    with pytest.raises(InputError, match=f"expected k of at least 1, got {k}"):
        BUILDERS[name](vectors).search(vectors[:1], k)
