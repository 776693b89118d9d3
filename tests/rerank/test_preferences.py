"""Preference pairs: identity, checks, conflicts, round trips, counts, and where pairs come from."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from rerank.annotation.agreement import ADJUDICATOR
from rerank.annotation.preference_pairs import (
    OVERRULED,
    WITHOUT_GPU,
    WITHOUT_SHOWN,
    PairsSaved,
    PreferenceConflictError,
    added_items,
    bootstrap_pairs,
    candidate_items,
    implied_pairs,
    save_pairs,
    seed_of,
)
from rerank.calibration import Calibrator
from rerank.index.errors import FaultsError, InputError, StoreError
from rerank.index.records import Listing
from rerank.index.text import descriptor, listing_text
from rerank.model import FeatureRanker, OnnxTrees, RerankModel
from rerank.packs.gpu.candidates import CANDIDATE_FEATURES
from rerank.packs.gpu.cues import CueReader
from rerank.packs.gpu.offers import OFFER_FEATURES
from rerank.packs.gpu.pack import GpuResolver
from rerank.rankers.pairs import candidate_reference, parse_reference
from rerank.resolution import Thresholds
from rerank.store.database import Store
from rerank.store.rows import (
    Annotation,
    PairSource,
    PreferenceItem,
    PreferencePair,
    Verdict,
    delete_pairs,
    preference_counts,
    read_items,
    read_pairs,
)

AT = datetime(2026, 1, 2, 3, 4, 5, 678)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store.duckdb")


def item(reference, item_type="project", **rest):
    return PreferenceItem(item_type, reference, **rest)


def pair(a, b, label=1, annotator="ann", **rest):
    a, b = (item(x) if isinstance(x, str) else x for x in (a, b))
    return PreferencePair(a, b, label, rest.pop("source", PairSource.MANUAL), annotator, **rest)


def save(store, *pairs, overwrite=False):
    with store.writing() as session:
        return save_pairs(session, pairs, overwrite=overwrite)


def stored(store, **chosen):
    with store.reading() as session:
        return read_pairs(session, **chosen)


def test_a_pair_comes_back_as_it_was(store):
    a = item(
        "p1",
        metrics={"z": 0.1, "clarity": 1 / 3, "big": -1e300},
        embedding=(0.5, -0.25),
        created_at=AT,
    )
    b = item("p2", embedding_id="vectors:p2", created_at=AT)
    whole = pair(a, b, -1, reason_tags=("relevance", "metrics"), similarity=0.1, created_at=AT)
    assert save(store, whole) == PairsSaved(added=1, replaced=0, unchanged=0)
    [found] = stored(store)
    assert found == whole
    assert list(found.a.metrics) == ["z", "clarity", "big"]


def test_an_embedding_is_rounded_to_float32_once(store):
    a = item("p1", embedding=(0.1, 0.2))
    save(store, pair(a, "p2"))
    assert stored(store)[0].a.embedding == tuple(np.float32([0.1, 0.2]).tolist())
    assert save(store, pair(a, "p2")) == PairsSaved(0, 0, 1)


def test_swapped_items_with_the_opposite_label_are_the_same_pair(store):
    assert pair("p1", "p2").pair_id == pair("p2", "p1", -1).pair_id
    save(store, pair("p1", "p2"))
    assert save(store, pair("p2", "p1", -1)) == PairsSaved(0, 0, 1)
    assert save(store, pair("p1", "p2", annotator="bob")) == PairsSaved(1, 0, 0)


def test_types_and_references_cannot_be_mistaken_for_each_other():
    assert item("b:c", "a").item_id != item("c", "a:b").item_id
    assert item("p1").item_id == item("p1", metrics={"clarity": 1.0}).item_id


@pytest.mark.parametrize("label", [0, -1])
def test_another_label_is_a_conflict_and_nothing_is_written(store, label):
    save(store, pair("p1", "p2"))
    with pytest.raises(PreferenceConflictError, match=r"--replace.*\n.*before by 'ann'"):
        save(store, pair("p3", "p4"), pair("p1", "p2", label))
    [kept] = stored(store)
    assert (kept.a.reference_id, kept.label) == ("p1", 1)
    with store.reading() as session:
        assert read_items(session, [item("p3").item_id]) == {}


def test_a_conflict_can_be_replaced(store):
    save(store, pair("p1", "p2", reason_tags=("old",)))
    assert save(store, pair("p2", "p1", reason_tags=("new",)), overwrite=True) == PairsSaved(
        0, 1, 0
    )
    [found] = stored(store)
    assert (found.a.reference_id, found.label, found.reason_tags) == ("p2", 1, ("new",))


def test_a_pair_stated_twice_at_once_is_one_and_a_contradiction_is_refused(store):
    assert save(store, pair("p1", "p2"), pair("p2", "p1", -1)) == PairsSaved(1, 0, 0)
    with pytest.raises(PreferenceConflictError, match="state each pair once"):
        save(store, pair("p3", "p4"), pair("p3", "p4", 0), overwrite=True)


def test_an_item_keeps_what_it_is_stated_without(store):
    save(store, pair(item("p1", metrics={"clarity": 0.5}, created_at=AT), "p2"))
    save(store, pair(item("p1", embedding_id="e1"), "p3"), overwrite=True)
    found = stored(store)[0].a
    assert found == item("p1", metrics={"clarity": 0.5}, embedding_id="e1", created_at=AT)
    assert save(store, pair("p1", "p4")).added == 1


def test_other_metrics_of_an_item_are_a_conflict(store):
    save(store, pair(item("p1", metrics={"clarity": 0.5}), "p2"))
    changed = pair(item("p1", metrics={"clarity": 0.6}), "p3")
    with pytest.raises(PreferenceConflictError, match="'project' 'p1': stored with other metrics"):
        save(store, changed)
    assert len(stored(store)) == 1
    save(store, changed, overwrite=True)
    assert {p.a.metrics["clarity"] for p in stored(store)} == {0.6}
    with pytest.raises(PreferenceConflictError, match="given twice with other metrics"):
        save(
            store,
            pair(item("p5", metrics={"x": 1.0}), item("p6")),
            pair(item("p5", metrics={"x": 2.0}), item("p7")),
        )


@pytest.mark.parametrize(
    ("faulty", "match"),
    [
        (pair("p1", "p1"), "expected two different items, got 'project' 'p1' twice"),
        (pair(item("p1"), item("p2", "skill")), "expected two items of one type"),
        (pair("p1", "p2", 2), "expected a label of 1, 0 or -1, got 2"),
        (pair("p1", "p2", similarity=float("nan")), "similarity from -1 to 1, got nan"),
        (pair("p1", "p2", similarity=1.5), "similarity from -1 to 1, got 1.5"),
        (pair(item("p1", metrics={"m": float("nan")}), "p2"), "'m' is nan, expected a finite"),
        (pair(item("p1", metrics={"m": float("inf")}), "p2"), "'m' is inf, expected a finite"),
        (pair(item("p1", embedding=(1.0, float("nan"))), "p2"), "embedding of finite numbers"),
        (pair(item("p1", embedding=()), "p2"), "embedding of finite numbers"),
        (pair("", "p2"), "expected a type and a reference"),
        (pair(item("p1", " "), item("p2", " ")), "expected a type and a reference"),
        (pair("half \ud800", "p2"), "no Unicode text"),
        (pair("p1", "p2", annotator="\udcff"), "no Unicode text"),
    ],
)
def test_a_pair_that_is_not_sound_is_refused(store, faulty, match):
    with pytest.raises(FaultsError, match=match):
        save(store, pair("p8", "p9"), faulty)
    assert not store.path.exists() or stored(store) == []


def test_all_faults_are_reported_at_once(store):
    with pytest.raises(FaultsError) as caught:
        save(store, pair("p1", "p1", 7))
    assert len(caught.value.faults) == 2


@pytest.mark.parametrize(
    "reference",
    [
        "../../etc/passwd",
        "'; DROP TABLE preference_pairs; --",
        "日本語 مرحبا 🎉",
        'a\x00b\n\t"c\\',
        "x" * 1_000_000,
    ],
    ids=["path", "sql", "unicode", "control", "1 MB"],
)
def test_hostile_text_comes_back_unchanged(store, reference):
    hostile = pair(
        item(reference, reference, metrics={reference: 1.0}, embedding_id=reference),
        item("other", reference),
        annotator=reference,
        reason_tags=(reference,),
    )
    save(store, hostile)
    [found] = stored(store, item_type=reference)
    assert (found.a.reference_id, found.a.item_type, found.annotator) == (reference,) * 3
    assert found.a.metrics == {reference: 1.0}
    assert found.reason_tags == (reference,)


def test_pairs_are_read_by_type_source_and_id_in_a_stable_order(store):
    pairs = [
        pair("p2", "p1"),
        pair("p1", "p3", source=PairSource.USER_CHOICE),
        pair(item("s1", "a skill"), item("s2", "a skill")),
    ]
    save(store, *pairs)
    order = [(p.a.item_type, p.a.reference_id) for p in stored(store)]
    assert order == [("a skill", "s1"), ("project", "p1"), ("project", "p2")]
    assert [p.a.reference_id for p in stored(store, item_type="project")] == ["p1", "p2"]
    assert [p.a.reference_id for p in stored(store, source=PairSource.USER_CHOICE)] == ["p1"]
    assert [p.pair_id for p in stored(store, pair_ids=[pairs[0].pair_id, "?"])] == [
        pairs[0].pair_id
    ]
    assert stored(store, pair_ids=[]) == []


def test_deleted_pairs_are_gone_and_can_come_back(store):
    save(store, pair("p1", "p2"), pair("p1", "p3"))
    with store.writing() as session:
        delete_pairs(session, [pair("p1", "p2").pair_id])
    assert [p.b.reference_id for p in stored(store)] == ["p3"]
    assert save(store, pair("p1", "p2", -1)) == PairsSaved(1, 0, 0)


def test_counts_by_hand(store):
    embedded = item("p1", embedding=(1.0,))
    save(
        store,
        pair(embedded, item("p2", embedding_id="e"), reason_tags=("x", "y")),
        pair("p2", "p3", reason_tags=("x",)),
        pair("p1", "p3", -1),
        pair("p4", "p5", 0),
        pair("p5", "p4", 1, annotator="bob", source=PairSource.USER_CHOICE),
        pair(item("s1", "skill"), item("s2", "skill"), annotator=""),
    )
    with store.reading() as session:
        counts = preference_counts(session)
    assert counts.as_dict() == {
        "pairs": 6,
        "sources": {"manual": 5, "user_choice": 1},
        "labels": {"1": 4, "-1": 1, "0": 1},
        "item_types": {"project": 5, "skill": 1},
        "tags": {"x": 2, "y": 1},
        "annotators": {"ann": 4, "bob": 1},
        "items": 7,
        "embedded": 1,
        "referenced": 1,
        "conflicts": 1,
        "circles": 1,
    }


def test_counts_of_an_empty_store_are_zero(store):
    with store.reading() as session:
        counts = preference_counts(session)
    assert (counts.pairs, counts.items, counts.sources, counts.circles) == (0, 0, {}, 0)


def test_agreeing_annotators_are_no_conflict_however_they_put_it(store):
    save(store, pair("p1", "p2"), pair("p2", "p1", -1, annotator="bob"))
    with store.reading() as session:
        assert preference_counts(session).conflicts == 0


def test_the_store_itself_refuses_another_label(store):
    with pytest.raises(StoreError, match="CHECK constraint"), store.writing() as session:
        session.execute(
            "test",
            "INSERT INTO preference_pairs VALUES ('p', 'a', 'b', 5, [], NULL, 'manual', '', now())",
        )


MODELS = {"a-8": "A", "a-16": "A", "b-8": "B", "c-8": "C"}


def chose(listing_id, annotator, model, gpu_id=None, shown=("b-8", "a-8", "a-16", "c-8")):
    return Annotation(listing_id, annotator, Verdict.MATCH, gpu_id, model, shown)


def references(implied):
    return [
        (p.a.reference_id, p.b.reference_id, p.label, p.annotator, p.source.value)
        for p in implied[0]
    ]


def test_the_chosen_candidate_is_above_each_other_one_shown():
    found = references(implied_pairs([chose("L1", "ann", "A", "a-16")], MODELS))
    assert found == [
        ("L1::a-16", "L1::b-8", 1, "ann", "annotation"),
        ("L1::a-16", "L1::a-8", 1, "ann", "annotation"),
        ("L1::a-16", "L1::c-8", 1, "ann", "annotation"),
    ]


def test_a_model_without_a_variant_is_compared_with_other_models_only():
    found = references(implied_pairs([chose("L1", "ann", "A")], MODELS))
    assert [(a, b) for a, b, *_ in found] == [("L1::a-8", "L1::b-8"), ("L1::a-8", "L1::c-8")]


def test_a_choice_from_a_search_is_above_all_shown():
    found = references(implied_pairs([chose("L1", "ann", "C", "c-8", ("b-8", "a-8"))], MODELS))
    assert [(a, b) for a, b, *_ in found] == [("L1::c-8", "L1::b-8"), ("L1::c-8", "L1::a-8")]


def test_other_verdicts_unknown_gpus_and_imported_answers_imply_nothing():
    answers = [
        Annotation("L1", "ann", Verdict.NOT_GPU, shown=("a-8", "b-8")),
        Annotation("L2", "ann", Verdict.UNSURE, shown=("a-8", "b-8")),
        chose("L3", "ann", "Z", "z-1"),
        chose("L4", "ann", "Z"),
        chose("L5", "ann", "A", shown=()),
    ]
    assert implied_pairs(answers, MODELS) == ([], {WITHOUT_SHOWN: 1, WITHOUT_GPU: 1})


def test_an_answer_the_adjudicator_overruled_implies_nothing():
    answers = [
        chose("L1", "ann", "A", "a-8"),
        chose("L1", "bob", "B", "b-8", ("b-8", "a-8")),
        Annotation("L1", ADJUDICATOR, Verdict.MATCH, "b-8", "B"),
    ]
    implied = implied_pairs(answers, MODELS)
    assert [(a, b, who) for a, b, _, who, _ in references(implied)] == [
        ("L1::b-8", "L1::a-8", "bob")
    ]
    assert implied[1] == {OVERRULED: 1}


@pytest.mark.parametrize("listing_id", ["L1", "a::b", "../x", "日本"])
def test_a_candidates_reference_can_be_taken_apart(listing_id):
    assert parse_reference(candidate_reference(listing_id, "a-8")) == (listing_id, "a-8")


@pytest.mark.parametrize("reference", ["", "L1", "::a-8", "L1::", "L1:a-8"])
def test_what_is_no_candidates_reference_is_refused(reference):
    with pytest.raises(InputError, match="as LISTING_ID::GPU_ID, got"):
        parse_reference(reference)


@pytest.fixture
def resolver(tiny_retriever, linear_scorer, data_folder):
    """A resolver whose ranker looks at names only, over the tiny registry."""
    ranker = OnnxTrees(linear_scorer(CANDIDATE_FEATURES, {"named": 5, "name_quality": 1}))
    calibrator, thresholds = Calibrator((0.0, 1.0), (0.0, 1.0)), Thresholds(0.9, 0.3, 0.99)
    offer = OnnxTrees(linear_scorer(OFFER_FEATURES, {}))
    model = RerankModel("", FeatureRanker(ranker), "", offer, calibrator, thresholds, "m1")
    cues = CueReader.load(data_folder / "cues.txt")
    return GpuResolver(tiny_retriever, model, cues, index_version="i1")


def test_a_candidates_metrics_are_the_features_the_ranker_reads(resolver):
    listing = Listing("L1", "zotac geforce rtx 4060 ti 16gb twin edge")
    chosen = "geforce-rtx-4060-ti-16gb-gddr6"
    items = candidate_items(resolver, [listing], {"L1": [chosen, "no-such-gpu"]})
    assert list(items) == [("L1", chosen)]
    found = items["L1", chosen]
    evidence = resolver.evidence([listing])
    ids = [resolver.table.records[row].gpu_id for row in evidence.candidates.record]
    features = evidence.features[ids.index(chosen)]
    assert found.metrics == dict(zip(CANDIDATE_FEATURES, features.tolist(), strict=True))
    assert found.metrics["memory_fit"] == 1.0
    assert (found.item_type, found.reference_id, found.embedding_id) == (
        "gpu_candidate",
        f"L1::{chosen}",
        f"index:{chosen}",
    )


def cosines(retriever):
    """Return the similarity of listings and GPUs by the retriever's own embedder."""

    def similarity(listings, records):
        encode = retriever.embedder.encode
        queries = encode([listing_text(listing).embedded for listing in listings])
        return np.einsum("ij,ij->i", queries, encode([descriptor(r) for r in records]))

    return similarity


@pytest.fixture
def large_retriever(tiny_registry, make_retriever, make_gpu):
    """A retriever over more GPUs than are candidates of one listing."""
    others = [make_gpu(f"GeForce GTX {n}", 4) for n in range(710, 1000, 5)]
    return make_retriever([*tiny_registry, *others])


@pytest.fixture
def large_resolver(resolver, large_retriever):
    return GpuResolver(large_retriever, resolver.model, resolver._cues, index_version="i")


def test_a_gpu_that_is_not_retrieved_has_the_features_of_one_candidate_more(
    large_resolver, large_retriever
):
    listings = [Listing("L1", "zotac geforce rtx 4060 ti 16gb"), Listing("L2", "rx 6600 8 gb")]
    missing = []
    for listing in listings:
        rows = large_resolver.evidence([listing]).candidates.record
        proposed = {large_resolver.table.records[row].gpu_id for row in rows}
        lacking = [r.gpu_id for r in large_resolver.table.records if r.gpu_id not in proposed]
        missing += [(listing, gpu_id) for gpu_id in (lacking[0], lacking[-1], "no-such-gpu")]
    similarity = cosines(large_retriever)
    items = added_items(large_resolver, missing, similarity)
    assert list(items) == [
        (listing.listing_id, gpu_id) for listing, gpu_id in missing if gpu_id != "no-such-gpu"
    ]
    for (listing_id, gpu_id), found in items.items():
        assert (found.reference_id, found.embedding_id) == (
            f"{listing_id}::{gpu_id}",
            f"index:{gpu_id}",
        )
        [listing] = [one for one in listings if one.listing_id == listing_id]
        alone = added_items(large_resolver, [(listing, gpu_id)], similarity)
        assert alone == {(listing_id, gpu_id): found}


def test_a_retrieved_candidate_added_again_has_the_features_it_had(resolver, tiny_retriever):
    listing = Listing("L1", "gigabyte 4060 ti, 8 gb")
    gpu_id = "geforce-rtx-4060-8gb-gddr6"
    [before] = candidate_items(resolver, [listing], {"L1": [gpu_id]}).values()
    [after] = added_items(resolver, [(listing, gpu_id)], cosines(tiny_retriever)).values()
    differing = {name for name, x in before.metrics.items() if after.metrics[name] != x}
    assert differing == set()


def test_bootstrap_pairs_put_the_right_candidate_above_wrong_ones(resolver):
    pairs = bootstrap_pairs(resolver, 30, seed=3)
    assert [p.label for p in pairs] == [1, -1, 0] * 10
    assert {p.source for p in pairs} == {PairSource.BOOTSTRAP}
    model = {record.gpu_id: record.model for record in resolver.table.records}
    for made in pairs:
        (first, a), (second, b) = (parse_reference(x.reference_id) for x in (made.a, made.b))
        assert first == second
        expected = {0: ()}.get(made.label, ("variant" if model[a] == model[b] else "model",))
        assert made.reason_tags == expected
        if made.reason_tags == ("model",):
            better, worse = (made.a, made.b) if made.label == 1 else (made.b, made.a)
            assert better.metrics["named"] >= worse.metrics["named"]
    assert len({parse_reference(p.a.reference_id)[0] for p in pairs}) == 30


def test_bootstrap_pairs_depend_on_the_seed_and_grow_at_the_end(resolver):
    pairs = bootstrap_pairs(resolver, 20, seed=3)
    assert bootstrap_pairs(resolver, 7, seed=3) == pairs[:7]
    other = bootstrap_pairs(resolver, 7, seed=4)
    assert not {p.pair_id for p in other} & {p.pair_id for p in pairs}
    assert {seed_of(p.a.reference_id) for p in other} == {4}


def test_the_seed_of_anything_but_a_generated_listing_is_unknown():
    assert seed_of("L1::a-8") is None
    assert seed_of("bootstrap-x-g1::a-8") is None


def test_bootstrap_needs_at_least_a_pair_to_make(resolver):
    with pytest.raises(InputError, match="at least 1 pair to make, got 0"):
        bootstrap_pairs(resolver, 0, seed=1)


@pytest.mark.parametrize(
    ("model", "message"),
    [("GeForce RTX 4060", "too few have two candidates"), ("A100", "no models to generate from")],
)
def test_bootstrap_of_a_registry_without_rivals_is_one_clear_error(
    resolver, make_retriever, make_gpu, model, message
):
    alone = make_retriever([make_gpu(model, 8)])
    single = GpuResolver(alone, resolver.model, resolver._cues, index_version="i")
    with pytest.raises(InputError, match=message):
        bootstrap_pairs(single, 5, seed=1)


def test_saving_again_with_new_times_changes_nothing(store):
    first = pair(item("p1", created_at=AT), item("p2", created_at=AT), created_at=AT)
    save(store, first)
    later = datetime(2027, 1, 1)
    again = replace(first, a=item("p1", created_at=later), created_at=later)
    assert save(store, again, overwrite=True) == PairsSaved(0, 0, 1)
    assert stored(store) == [first]
