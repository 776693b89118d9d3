"""What people settled: what stands of it, whom it is about, and what it does to answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from judge import START, Judge

from rerank.index.errors import InputError, MismatchError
from rerank.index.records import Listing
from rerank.model import RerankModel
from rerank.packs.gpu.pack import GpuResolver
from rerank.packs.gpu.retriever import Retriever
from rerank.resolver import Resolver
from rerank.store.rows import StoredListing, save_listings
from rerank.verdicts import (
    StandingVerdicts,
    open_verdicts,
)
from rerank.workspace import Workspace

TI16, TI8 = "geforce-rtx-4060-ti-16gb-gddr6", "geforce-rtx-4060-ti-8gb-gddr6"
XT = "radeon-rx-6600-xt-8gb-gddr6"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "home")


@pytest.fixture(scope="module")
def model(linear_model: Callable[..., RerankModel]) -> RerankModel:
    return linear_model({"name_quality": 1.0, "memory_fit": 0.5}, {"named": 6.0}, -3.0)


@pytest.fixture(scope="module")
def resolver(tiny_retriever: Retriever, model: RerankModel) -> Resolver:
    return GpuResolver(tiny_retriever, model, index_version="index-1")


@pytest.fixture
def judge(workspace: Workspace) -> Judge:
    return Judge(workspace)


def heeding(resolver: Resolver, workspace: Workspace, *, near: bool = False) -> Resolver:
    snapshot = open_verdicts(workspace)
    assert snapshot is not None
    snapshot = snapshot.with_near() if near else snapshot
    return resolver.heeding(StandingVerdicts(snapshot, resolver.table, "gpu_id"))


# --- what stands ---


def test_nobody_said_anything(workspace: Workspace) -> None:
    assert open_verdicts(workspace) is None
    assert not workspace.home.exists()


def test_a_text_is_compared_as_a_resolver_reads_it_with_its_vendor(judge: Judge) -> None:
    judge.annotate(Listing("1", "Zotac  RTX 4060", "Zotac"), "ann", "match", "k", "m")
    assert judge.said_of(
        Listing("9", "ZOTAC RTX™ 4060", "zotac"),
        Listing("9", "Zotac RTX 4060"),
        Listing("9", "Zotac RTX 4060", "Zotac", "box only"),
    ) == ["match k", "", ""]


def test_what_annotators_differ_on_or_do_not_know_is_not_settled(judge: Judge) -> None:
    one, two, three = (Listing(str(n), f"card {n}") for n in (1, 2, 3))
    judge.annotate(one, "ann", "match", "k", "m")
    judge.annotate(one, "bob", "not_gpu")
    judge.annotate(two, "ann", "unsure")
    judge.annotate(three, "ann", "match", "k", "m")
    judge.annotate(three, "bob", "match", "l", "m")
    assert judge.said_of(one, two, three) == ["", "", "match m"]
    judge.annotate(one, "adjudicator", "not_gpu")
    assert judge.said_of(one) == ["not_gpu"]


def test_all_listings_of_a_text_are_one(judge: Judge) -> None:
    first, again = Listing("1", "RTX 4060"), Listing("2", "rtx 4060 ")
    judge.annotate(first, "ann", "not_gpu")
    judge.annotate(again, "bob", "match", "k", "m")
    assert judge.said_of(first) == [""]
    judge.annotate(again, "bob", "not_gpu")
    assert judge.said_of(first, again) == ["not_gpu", "not_gpu"]


def test_the_later_of_annotations_and_what_is_said_directly_stands(judge: Judge) -> None:
    listing = Listing("1", "RTX 4060", description="new")
    judge.annotate(listing, "ann", "match", "k", "m")
    judge.say("RTX 4060", "none_of_these")
    other = Listing("2", "RTX 4060", description="used")
    assert judge.said_of(listing, other) == ["none_of_these", "none_of_these"]
    judge.annotate(listing, "ann", "match", "l", "m")
    assert judge.said_of(listing, other) == ["match l", "none_of_these"]
    judge.annotate(listing, "bob", "not_gpu")  # now they differ, what was said before stands
    assert judge.said_of(listing, other) == ["none_of_these", "none_of_these"]


def test_undoing_brings_back_what_stood_before(judge: Judge) -> None:
    listing = Listing("1", "RTX 4060")
    judge.annotate(listing, "ann", "match", "k", "m")
    judge.say("RTX 4060", "not_gpu")
    judge.say("RTX 4060", "match", "l", "m")
    assert judge.said_of(listing) == ["match l"]
    found = []
    for _ in range(3):
        judge.undo("RTX 4060")
        found += judge.said_of(listing)
    assert found == ["not_gpu", "match k", ""]
    with pytest.raises(InputError, match="no verdict stands on 'RTX 4060'"):
        judge.undo("RTX 4060")
    with judge.store.reading() as session:
        assert session.rows("count", "SELECT count(*) FROM annotations") == [(1,)]


def test_rejections_stand_beside_each_other(judge: Judge) -> None:
    judge.say("RTX 4060", "match", "k", "m")
    judge.say("RTX 4060", "not_this", "k", "m")
    judge.say("RTX 4060", "not_this", model="n")
    assert judge.said_of(Listing("1", "RTX 4060")) == ["not_this k n"]
    judge.undo("RTX 4060")
    assert judge.said_of(Listing("1", "RTX 4060")) == ["not_this k"]


def test_near_texts_count_where_asked_for_and_agreeing(judge: Judge) -> None:
    judge.say("RTX 4060 lot 20260101", "match", "k", "m")
    judge.say("RTX 3080 lot 20260101", "match", "k", "m")
    judge.say("RTX 3080 lot 20260102", "not_gpu")
    asked = [Listing("", f"RTX {n} lot 777777") for n in (4060, 3080)]
    asked.append(Listing("", "RTX 4060 lot 12345"))
    assert judge.said_of(*asked) == ["", "", ""]
    assert judge.said_of(*asked, near=True) == ["match k", "", ""]


# --- the snapshot ---


def test_a_snapshot_is_kept_and_made_again_where_what_people_said_changed(
    judge: Judge, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge.say("RTX 4060", "not_gpu")
    first = open_verdicts(workspace)
    assert first is not None
    assert (workspace.verdicts_folder / f"{first.version}.arrow").exists()
    with judge.store.writing() as session:  # what else the store keeps does not matter
        save_listings(session, [StoredListing(Listing("7", "another"))])
    with monkeypatch.context() as patched:
        patched.setattr("rerank.verdicts.snapshot_table", None)
        again = open_verdicts(workspace)
    assert again is not None
    assert again.version == first.version
    judge.say("RTX 4060", "match", "k", "m")
    now = open_verdicts(workspace)
    assert now is not None
    assert now.version != first.version
    began = open_verdicts(workspace, version=first.version)
    assert began is not None
    assert len(began) == 1
    for path in workspace.verdicts_folder.iterdir():
        path.unlink()
    with pytest.raises(MismatchError, match=r"people's verdicts .* changed when the run began"):
        open_verdicts(workspace, version=first.version)


def test_what_is_undone_is_as_if_it_was_not_said(judge: Judge, workspace: Workspace) -> None:
    judge.say("RTX 4060", "not_gpu")
    judge.undo("RTX 4060")
    assert open_verdicts(workspace) is None


def test_a_version_is_of_what_was_said_and_not_of_the_order_it_lies_in(tmp_path: Path) -> None:
    versions = set()
    for name, numbers in (("one", range(6)), ("two", reversed(range(6)))):
        judge = Judge(Workspace(tmp_path / name))
        for number in numbers:
            judge.now = START + timedelta(minutes=number)
            judge.annotate(Listing(f"{number}", f"card {number}"), f"p{number}", "match", "k", "m")
        found = open_verdicts(judge.workspace)
        assert found is not None
        versions.add(found.version)
    assert len(versions) == 1


def test_texts_of_one_hash_are_told_apart(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "rerank.verdicts._hashes", lambda texts: np.array([5 for _ in texts], np.uint64)
    )
    for number in range(5):
        judge.say(f"card {number}", "match", f"k{number}", "m")
    asked = [Listing("", f"card {number}") for number in (3, 0, 9)]
    assert judge.said_of(*asked) == ["match k3", "match k0", ""]


# --- answers ---


def test_what_a_person_named_is_the_answer_and_the_models_own_stands_beside(
    resolver: Resolver, judge: Judge, workspace: Workspace
) -> None:
    titles = ["RTX 4060 Ti 16GB", "RTX 4060 Ti", "RTX 3080", "see photos", "RX 6600"]
    judge.say(titles[0], "match", TI8, "GeForce RTX 4060 Ti")
    judge.say(titles[1], "match", model="GeForce RTX 4060 Ti")
    judge.say(titles[2], "not_gpu")
    judge.say(titles[3], "match", XT, "Radeon RX 6600 XT")
    both = heeding(resolver, workspace)
    plain, found = (each.resolve_many(titles) for each in (resolver, both))
    assert [answer.gpu_id for answer in found[:4]] == [TI8, plain[1].gpu_id, None, XT]
    assert [answer.best_guess for answer in found[:4]] == [
        "GeForce RTX 4060 Ti",
        "GeForce RTX 4060 Ti",
        "GeForce RTX 3080",
        "Radeon RX 6600 XT",
    ]
    assert [(answer.decision, answer.match_probability, answer.margin) for answer in found[:4]] == [
        ("match", 1, 1),
        ("match", 1, 1),
        ("no_match", 0, 0),
        ("match", 1, 1),
    ]
    for mine, own in zip(found, plain, strict=True):
        assert mine.provenance is not None
        said = mine.provenance
        assert (said.model_decision, said.model_key) == (own.decision, own.gpu_id)
        assert said.model_probability == own.match_probability
    assert [answer.provenance.decision_source for answer in found if answer.provenance] == [
        *["person"] * 4,
        "model",
    ]
    assert found[0].reason == "a person's verdict: kim, 2026-03-01"
    assert found[4] == both.resolve(titles[4])
    first = found[0].candidates
    assert [each.gpu_id for each in first[:2]] == [TI8, TI16]
    assert [(each.probability, each.variant_probability) for each in first[:2]] == [(1, 1), (1, 0)]
    assert {each.probability for each in first[2:]} == {0}
    assert {each.probability for each in found[2].candidates} == {0}
    assert plain[0].provenance is None


def test_what_nothing_proposed_stands_first_and_counts_for_its_place(
    resolver: Resolver, judge: Judge, workspace: Workspace, tiny_retriever: Retriever
) -> None:
    lacking = [
        record.gpu_id
        for record in tiny_retriever.records
        if record.gpu_id not in {each.gpu_id for each in resolver.resolve("RTX 4060").candidates}
    ]
    assert lacking
    models = {record.gpu_id: record.model for record in tiny_retriever.records}
    judge.say("RTX 4060", "match", lacking[0], models[lacking[0]])
    table = heeding(resolver, workspace).resolve_table(["RX 6600", "RTX 4060", "RX 6600"], top_k=3)
    rows = table.to_pylist()
    assert rows[1]["gpu_id"] == rows[1]["candidates"][0]["gpu_id"] == lacking[0]
    assert [len(row["candidates"]) for row in rows] == [3, 3, 3]
    plain = resolver.resolve_table(["RX 6600", "RTX 4060", "RX 6600"], top_k=3).to_pylist()
    for at in (0, 2):
        assert {**rows[at], **plain[at]} == rows[at]


def test_rejected_products_are_not_shown_again(
    resolver: Resolver, judge: Judge, workspace: Workspace
) -> None:
    own = resolver.resolve("RTX 4060 Ti 16GB")
    judge.say("RTX 4060 Ti 16GB", "not_this", TI16, "GeForce RTX 4060 Ti")
    judge.say("RTX 4060", "not_this", model="Radeon HD 7970")
    found, other = heeding(resolver, workspace).resolve_many(["RTX 4060 Ti 16GB", "RTX 4060"])
    assert own.gpu_id == TI16
    assert found.decision != "match"
    assert TI16 not in [each.gpu_id for each in found.candidates]
    assert found.provenance is not None
    assert found.provenance.decision_source == "person"
    assert other.provenance is not None
    assert other.provenance.decision_source == "person"
    own = resolver.resolve("RTX 4060")
    shown = tuple(each for each in own.candidates if each.model != "Radeon HD 7970")
    assert (other.candidates, len(shown)) == (shown, len(own.candidates) - 1)
    assert (other.gpu_id, other.decision, other.reason) == (own.gpu_id, own.decision, own.reason)


def test_what_left_the_registry_is_a_question_and_the_model_answers(
    resolver: Resolver, judge: Judge, workspace: Workspace
) -> None:
    judge.say("RTX 4060", "match", "gone", "GeForce RTX 4060")
    judge.say("RTX 3080", "match", model="Gone Too")
    judge.say("RX 6600", "match", XT, "Radeon RX 6600 XT")
    both = heeding(resolver, workspace)
    found = both.resolve_many(["RTX 4060", "RTX 3080", "RX 6600"])
    sources = [answer.provenance.decision_source for answer in found if answer.provenance]
    assert sources == ["model", "model", "person"]
    assert found[0].gpu_id == resolver.resolve("RTX 4060").gpu_id
    snapshot = open_verdicts(workspace)
    assert snapshot is not None
    questions = StandingVerdicts(snapshot, resolver.table, "gpu_id").questions()
    assert {row["text"].split("\x1f")[0] for row in snapshot.rows(questions)} == {
        "rtx 4060",
        "rtx 3080",
    }


def test_answers_are_the_same_alone_in_a_batch_and_in_a_table(
    resolver: Resolver, judge: Judge, workspace: Workspace
) -> None:
    titles = ["RTX 4060 Ti", "", "RTX 3080", "RTX 4060 Ti", "see photos"]
    judge.say("RTX 4060 Ti", "match", TI16, "GeForce RTX 4060 Ti")
    judge.say("see photos", "none_of_these")
    both = heeding(resolver, workspace)
    together = both.resolve_many(titles)
    assert together == [both.resolve(title) for title in titles]
    table = both.resolve_table(titles)
    assert table.schema == both.schema
    assert table.column_names[-6:] == [
        "decision_source",
        "decided_by",
        "decided_at",
        "model_decision",
        "model_gpu_id",
        "model_probability",
    ]
    rows = table.to_pylist()
    assert [row["decision_source"] for row in rows] == [
        *("person", "model", "model", "person", "person")
    ]
    for row, answer in zip(rows, together, strict=True):
        assert answer.provenance is not None
        told = answer.provenance.columns("gpu_id")
        at = row["decided_at"]
        row["decided_at"] = None if at is None else f"{at.replace(tzinfo=None).isoformat()}Z"
        assert {name: row[name] for name in told} == told
    assert together[1].reason == "no title"


def test_a_title_is_needed(judge: Judge) -> None:
    with pytest.raises(InputError, match="expected a title"):
        judge.say(" ", "not_gpu")
