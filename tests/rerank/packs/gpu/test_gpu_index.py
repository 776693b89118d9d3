"""The index folder: built, loaded, added to, and refused where it does not fit."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rerank.domain import CardTools, card_tools
from rerank.index.artifacts import MANIFEST
from rerank.index.embedder import HashEmbedder
from rerank.index.errors import ArtifactError, InputError, MismatchError
from rerank.index.records import GpuRecord, Listing, registry_fingerprint
from rerank.index.vector_index import IndexKind
from rerank.packs.gpu.retriever import Retriever, add_to_index, build_index, load_retriever

LISTINGS = [Listing("1", "RTX 4060 Ti 16GB"), Listing("2", "sapphire rx 6600 xt"), Listing("3", "")]
KINDS = pytest.mark.parametrize("kind", list(IndexKind), ids=lambda kind: kind.value)


@pytest.fixture
def folder(tmp_path: Path, tiny_registry: list[GpuRecord], hash_embedder: HashEmbedder) -> Path:
    build_index(tiny_registry, hash_embedder, tmp_path / "index")
    return tmp_path / "index"


def ids(retriever: Retriever) -> list[str]:
    batch = retriever.retrieve(LISTINGS)
    return [retriever.records[row].gpu_id for row in batch.record]


@KINDS
def test_a_built_index_is_loaded_with_its_registry_and_answers_as_the_exact_one(
    kind: IndexKind,
    tmp_path: Path,
    tiny_registry: list[GpuRecord],
    hash_embedder: HashEmbedder,
    tiny_retriever: Retriever,
) -> None:
    built = build_index(tiny_registry, hash_embedder, tmp_path / "i", kind=kind)
    retriever, manifest = load_retriever(tmp_path / "i", hash_embedder)
    assert manifest == built
    assert retriever.records == tiny_registry
    assert manifest.parameters == {
        "kind": kind.value,
        "embedder": "hash-128",
        "embedder_fingerprint": "hash-128",
        "dimension": 128,
        "registry_fingerprint": registry_fingerprint(tiny_registry),
        "gpus": 21,
        "models": 13,
    }
    assert sorted(manifest.files) == ["index.faiss", "records.jsonl"]
    if kind is not IndexKind.IVF:
        assert ids(retriever) == ids(tiny_retriever)


def test_building_again_gives_the_same_version_and_another_registry_another(
    tmp_path: Path, tiny_registry: list[GpuRecord], hash_embedder: HashEmbedder
) -> None:
    first = build_index(tiny_registry, hash_embedder, tmp_path / "a")
    again = build_index(tiny_registry, hash_embedder, tmp_path / "b")
    fewer = build_index(tiny_registry[1:], hash_embedder, tmp_path / "a")
    assert first.fingerprint == again.fingerprint != fewer.fingerprint
    assert len(load_retriever(tmp_path / "a", hash_embedder)[0].records) == 20


@KINDS
def test_added_gpus_are_found(
    kind: IndexKind, tmp_path: Path, tiny_registry: list[GpuRecord], hash_embedder: HashEmbedder
) -> None:
    build_index(tiny_registry[:-3], hash_embedder, tmp_path / "i", kind=kind)
    before, _ = load_retriever(tmp_path / "i", hash_embedder)
    assert "Radeon HD 7970" not in {record.model for record in before.records}
    manifest, added = add_to_index(tiny_registry, hash_embedder, tmp_path / "i")
    assert added == 3
    assert (manifest.parameters["gpus"], manifest.parameters["models"]) == (21, 13)
    assert manifest.parameters["kind"] == kind.value
    after, loaded = load_retriever(tmp_path / "i", hash_embedder)
    assert loaded == manifest
    assert after.records == tiny_registry
    batch = after.retrieve([Listing("1", "arc a770 8gb"), Listing("2", "hd 7970")], n_candidates=1)
    assert [after.records[row].gpu_id for row in batch.record] == [
        "arc-a770-8gb-gddr6",
        "radeon-hd-7970-3gb-gddr5",
    ]


def test_adding_equals_building_at_once(
    tmp_path: Path, tiny_registry: list[GpuRecord], hash_embedder: HashEmbedder
) -> None:
    whole = build_index(tiny_registry, hash_embedder, tmp_path / "whole")
    build_index(tiny_registry[:9], hash_embedder, tmp_path / "parts")
    manifest, _ = add_to_index(tiny_registry[9:], hash_embedder, tmp_path / "parts")
    assert manifest.files == whole.files
    assert manifest.fingerprint == whole.fingerprint


def test_adding_what_is_there_changes_nothing(
    folder: Path, tiny_registry: list[GpuRecord], hash_embedder: HashEmbedder
) -> None:
    before = (folder / MANIFEST).stat().st_mtime_ns
    manifest, added = add_to_index(tiny_registry[3:7], hash_embedder, folder)
    assert added == 0
    assert manifest.parameters["gpus"] == 21
    assert (folder / MANIFEST).stat().st_mtime_ns == before


def test_a_gpu_of_another_content_is_refused_and_nothing_is_written(
    folder: Path, tiny_registry: list[GpuRecord], hash_embedder: HashEmbedder
) -> None:
    before = (folder / MANIFEST).read_bytes()
    changed = replace(tiny_registry[4], memory_gb=17)
    fresh = replace(tiny_registry[0], gpu_id="new")
    message = rf"1 GPUs stand in the index with another content, first '{changed.gpu_id}'"
    with pytest.raises(InputError, match=message):
        add_to_index([fresh, changed], hash_embedder, folder)
    assert (folder / MANIFEST).read_bytes() == before


def test_another_embedder_is_refused(folder: Path, tiny_registry: list[GpuRecord]) -> None:
    other = HashEmbedder(64)
    message = (
        f"{folder}: built with embedder hash-128 (hash-128), asked to use hash-64 (hash-64); "
        "rebuild it with `rerank build-index`"
    )
    with pytest.raises(MismatchError, match=re.escape(message)):
        load_retriever(folder, other)
    with pytest.raises(MismatchError, match=re.escape(message)):
        add_to_index(tiny_registry, other, folder)


@pytest.mark.parametrize("name", ["records.jsonl", "index.faiss"])
def test_a_damaged_or_missing_file_is_named(
    folder: Path, name: str, hash_embedder: HashEmbedder
) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1])
    with pytest.raises(ArtifactError, match=rf"{name}: damaged.*rerank build-index"):
        load_retriever(folder, hash_embedder)
    (folder / name).unlink()
    with pytest.raises(ArtifactError, match=rf"{name}: missing from this index"):
        load_retriever(folder, hash_embedder)


def test_no_index_names_the_command(tmp_path: Path, hash_embedder: HashEmbedder) -> None:
    with pytest.raises(ArtifactError, match="no index here; make one with `rerank build-index`"):
        load_retriever(tmp_path / "absent", hash_embedder)


def test_records_and_vectors_must_be_as_many(
    folder: Path, tmp_path: Path, tiny_registry: list[GpuRecord], hash_embedder: HashEmbedder
) -> None:
    from rerank.index.artifacts import read_manifest, write_manifest
    from rerank.index.records import write_records

    manifest = read_manifest(folder, kind="index", format_version=1, remedy="-")
    write_records(tiny_registry[:5], folder / "records.jsonl")
    write_manifest(folder, kind="index", format_version=1, parameters=manifest.parameters)
    with pytest.raises(ArtifactError, match="expected 5 vectors of 128 numbers"):
        load_retriever(folder, hash_embedder)


def test_a_failing_build_leaves_the_old_index(
    folder: Path,
    tiny_registry: list[GpuRecord],
    hash_embedder: HashEmbedder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("rerank.packs.gpu.retriever.write_manifest", broken)
    with pytest.raises(OSError, match="disk full"):
        build_index(tiny_registry[:4], hash_embedder, folder)
    assert len(load_retriever(folder, hash_embedder)[0].records) == 21
    assert [path.name for path in folder.parent.iterdir()] == ["index"]


def test_the_stored_vectors_are_those_of_the_embedder(
    folder: Path, hash_embedder: HashEmbedder
) -> None:
    retriever, _ = load_retriever(folder, hash_embedder)
    batch = retriever.retrieve([Listing("1", "geforce rtx 4060 ti 8 gb")], n_candidates=21)
    from rerank.index.text import descriptor

    query = hash_embedder.encode(["geforce rtx 4060 ti 8 gb"])[0]
    gpus = hash_embedder.encode([descriptor(retriever.records[row]) for row in batch.record])
    np.testing.assert_allclose(batch.similarity, gpus @ query, atol=1e-5)


def test_gpus_given_twice_are_named_and_nothing_is_written(
    folder: Path, tiny_registry: list[GpuRecord], hash_embedder: HashEmbedder
) -> None:
    before = (folder / MANIFEST).read_bytes()
    one, two, three = (replace(tiny_registry[0], gpu_id=name) for name in ("one", "two", "three"))
    again = replace(two, memory_gb=99)
    with pytest.raises(InputError, match=r"got 2 gpu_ids more than once: one, two$"):
        add_to_index([one, two, three, one, again], hash_embedder, folder)
    assert (folder / MANIFEST).read_bytes() == before


def test_tools_of_cards_take_what_their_protocol_says():
    tools = card_tools()
    names = [name for name in vars(CardTools) if not name.startswith("_")]
    for name in names:
        said = list(inspect.signature(getattr(CardTools, name)).parameters.values())[1:]
        taken = list(inspect.signature(getattr(tools, name)).parameters.values())
        assert [(each.name, each.kind) for each in taken[: len(said)]] == [
            (each.name, each.kind) for each in said
        ], name
        assert all(each.default is not each.empty for each in taken[len(said) :]), name
    with pytest.raises(AttributeError, match="no tool 'polish'"):
        _ = tools.polish
