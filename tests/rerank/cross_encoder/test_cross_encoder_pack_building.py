"""Query packs out of labelled listings."""

from __future__ import annotations

import pytest

from rerank.cross_encoder.packs import build_packs
from rerank.evaluation.gold import Split, split_of
from rerank.index.records import LabelledListing, Listing
from rerank.packs.gpu.cues import CueReader
from rerank.packs.gpu.pack import GpuResolver


@pytest.fixture(scope="module")
def resolver(tiny_retriever, linear_model):
    model = linear_model({"name_quality": 1.0, "memory_fit": 0.5}, {})
    return GpuResolver(tiny_retriever, model, CueReader({"box": ["box"]}), index_version="i")


def sold(title: str, gpu_id: str | None, model: str | None, *, memory: bool = False):
    kind = "match" if model else "nil"
    return LabelledListing(
        Listing(title, title), kind, gpu_id, model, memory, False, None, "by hand"
    )


def test_a_pack_has_what_fits_above_the_confused_ones_in_the_rankers_order(resolver):
    item = sold(
        "palit rtx 4060 ti 16gb",
        "geforce-rtx-4060-ti-16gb-gddr6",
        "GeForce RTX 4060 Ti",
        memory=True,
    )
    built = build_packs([item], resolver, style="test")
    assert split_of("GeForce RTX 4060 Ti") is Split.VALIDATION
    assert built.train == []
    [pack] = built.valid
    assert pack.query_text == "palit rtx 4060 ti 16 gb"
    assert [d.doc_id for d in pack.positives] == ["geforce-rtx-4060-ti-16gb-gddr6"]
    ranked = [c.gpu_id for c in resolver.resolve(item.listing).candidates]
    expected = [gpu_id for gpu_id in ranked if gpu_id != "geforce-rtx-4060-ti-16gb-gddr6"]
    assert [d.doc_id for d in pack.negatives] == expected[:19]
    assert pack.negatives[0].doc_id == "geforce-rtx-4060-ti-8gb-gddr6"
    assert pack.meta == {"domain": "gpu", "prompt_style": "test", "model": "GeForce RTX 4060 Ti"}
    [short] = build_packs([item], resolver, negatives=2, style="test").valid
    assert short.negatives == pack.negatives[:2]


def test_where_no_memory_is_stated_every_plain_variant_is_positive(resolver):
    item = sold("msi gtx 1060 gaming", "geforce-gtx-1060-6gb-gddr5", "GeForce GTX 1060")
    [pack] = build_packs([item], resolver, style="test").train
    ids = [d.doc_id for d in pack.positives]
    assert ids == ["geforce-gtx-1060-6gb-gddr5", "geforce-gtx-1060-3gb-gddr5"]


def test_a_gpu_that_is_not_retrieved_is_a_positive_all_the_same(resolver, tiny_registry):
    models = {record.model: record for record in tiny_registry}
    model = next(m for m in sorted(models) if split_of(m) is not Split.TEST)
    built = build_packs([sold("see photos", models[model].gpu_id, model)], resolver, style="t")
    [pack] = [*built.train, *built.valid]
    assert models[model].gpu_id in {d.doc_id for d in pack.positives}


def test_sides_follow_the_models_and_the_rest_is_counted(resolver, tiny_registry):
    items = [
        sold(f"{record.model} {record.memory_gb:g}gb nr {at}", record.gpu_id, record.model)
        for at, record in enumerate(tiny_registry)
    ]
    built = build_packs([*items, sold("a box", None, None)], resolver, style="t")
    sides = {s: [i for i in items if split_of(i.model) is s] for s in Split}
    assert built.kept_out == len(sides[Split.TEST])
    assert built.without_match == 1
    assert len(built.valid) == len(sides[Split.VALIDATION])
    assert len(built.train) == len(sides[Split.EMBEDDER]) + len(sides[Split.RANKER])
    assert {split_of(pack.meta["model"]) for pack in built.valid} <= {Split.VALIDATION}


def test_a_text_of_both_sides_is_left_out_of_validation(resolver, tiny_registry):
    by_split = {split_of(record.model): record for record in tiny_registry}
    one, other = by_split[Split.RANKER], by_split[Split.VALIDATION]
    items = [sold("gpu", one.gpu_id, one.model), sold("gpu", other.gpu_id, other.model)]
    built = build_packs(items, resolver, style="t")
    assert (len(built.train), len(built.valid), built.on_both_sides) == (1, 0, 1)
