"""`rerank models`: what it shows, what it refuses, and versions of index and embedder."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace

import pytest
from invented_versions import flip, hollow_version, make_champion, working_version

import rerank.packs.gpu.retriever
from rerank.index.artifacts import write_manifest
from rerank.index.errors import MismatchError, RefusedError, RerankWarning
from rerank.index.records import shipped
from rerank.lifecycle.changing import (
    Switch,
    keep_earlier_part,
    keep_part,
    name_version,
    promote,
    put_back,
    serving_part,
    take_place,
)
from rerank.lifecycle.gates import GateVerdict
from rerank.lifecycle.model_registry import ModelRegistry, verified_manifest
from rerank.lifecycle.opening import make_reference, open_resolver, open_version
from rerank.lifecycle.versions import SHIPPED_MODEL, VersionCard, VersionRef
from rerank.model import RerankModel
from rerank.resolver import Resolver
from rerank.workspace import Workspace

QUICK_GATES = "sets: {generated: 100}\nsamples: 20\nlatency: {listings: 0}\nfloors: {}\n"
SHIPPED_INDEX = VersionRef("index", "shipped")


@pytest.fixture
def registry(home):
    return ModelRegistry(Workspace(home))


@pytest.fixture
def gates(tmp_path):
    path = tmp_path / "gates.yaml"
    path.write_text(QUICK_GATES)
    return path


def other_index(home, number: int) -> str:
    """Put a copy of the shipped index with another fingerprint in its place; return it."""
    draft = home / f"draft{number}"
    shutil.copytree(shipped("index"), draft)
    parameters = {**verified_manifest(draft, "index").parameters, "number": number}
    manifest = write_manifest(draft, kind="index", format_version=1, parameters=parameters)
    shutil.rmtree(home / "index", ignore_errors=True)
    draft.rename(home / "index")
    return manifest.fingerprint


# what is shown


def test_an_empty_workspace_lists_what_ships_and_stays_empty(run, home):
    card = VersionCard.read(shipped("model"))
    figure = card.metrics["figures"]["precision_at_1"]
    low, high = figure["ci95"]
    assert [line.split() for line in run("models", "list").stdout.splitlines()] == [
        ["kind", "version", "names", "made", "precision@1"],
        [
            "ltr",
            "shipped",
            "champion",
            card.created_at[:10],
            f"{figure['value']:.3f}",
            f"({low:.3f}-{high:.3f})",
        ],
        ["index", "shipped", "serves", "-", "-"],
        ["embedder", "shipped", "serves", "-", "-"],
    ]
    assert run("models", "history").stdout == "no changes\n"
    shown = run("models", "show", "champion").stdout
    assert "champion        from the beginning to now" in shown
    assert not home.exists()


def test_versions_are_listed_with_their_names_and_figures(run, registry):
    figure = {"value": 0.9876, "ci95": [0.98, 0.991], "n": 1000}
    ref = hollow_version(registry, 1, metrics={"figures": {"precision_at_1": figure}})
    make_champion(registry, ref)
    lines = run("models", "list").stdout.splitlines()
    assert lines[1].split()[:2] == ["ltr", "shipped"]  # it may be gone back to
    assert lines[2].split() == [
        "ltr",
        ref.version,
        "champion",
        "2026-03-01",
        "0.988",
        "(0.980-0.991)",
    ]
    assert max(map(len, lines)) <= 80
    rows = json.loads(run("models", "list", "--format", "json", "--kind", "ltr").stdout)
    assert [(row["version"], row["names"]) for row in rows] == [
        ("shipped", []),
        (ref.version, ["champion"]),
    ]
    assert rows[1]["precision_at_1"] == figure


def test_a_row_says_which_model_decided_it(run, home, registry):
    """`model_version` of a row leads to the card, and to the days on which it served."""
    ref = working_version(registry, 0.25, parent="shipped", data={"registry": "abc"})
    make_champion(registry, ref)
    row = json.loads(run("resolve", "rtx 3080 10gb", "--format", "json").stdout)
    make_champion(registry, SHIPPED_MODEL, "rollback")
    facts = json.loads(run("models", "show", row["model_version"], "--format", "json").stdout)
    assert (facts["kind"], facts["version"], facts["names"]) == ("ltr", ref.version, [])
    assert facts["card"]["data"] == {"registry": "abc"}
    (since, until), *_ = facts["served"]
    promoted, rolled_back = registry.history()
    assert (since, until) == (promoted.at, rolled_back.at)
    text = run("models", "show", f"{row['model_version']}+0123456789abcdef").stdout
    assert f"version         ltr {ref.version}" in text
    assert "parent          shipped" in text
    assert max(map(len, text.splitlines()[3:])) <= 80
    shutil.rmtree(registry.folder(ref))
    gone = run("models", "show", ref.version).stdout
    assert "not in this workspace any more" in gone
    assert "made            2026-03-01T08:00:00Z by ann" in gone
    assert f"from {promoted.at} to {rolled_back.at}" in gone


def test_a_damaged_card_hides_no_other_version(run, registry, home):
    one, other = (hollow_version(registry, number) for number in range(2))
    make_champion(registry, one)
    flip(registry.folder(other) / "version.json")
    (home / "store.duckdb").unlink()  # all of it is mended but for that card
    rows = json.loads(run("models", "list", "--kind", "ltr", "--format", "json").stdout)
    assert {row["version"]: row["names"] for row in rows} == {
        "shipped": [],
        one.version: ["champion"],
        other.version: ["damaged card"],
    }
    assert registry.remembered() == {one}
    shown = run("models", "show", other.version)
    assert shown.exit_code == 0
    assert "WRONG           " in shown.stdout
    assert "damaged card" in " ".join(shown.stdout.split())  # wherever a long path breaks its line


def test_a_damaged_card_is_shown_from_the_history(run, registry):
    ref = hollow_version(registry, 1, parent="shipped")
    make_champion(registry, ref)
    (registry.folder(ref) / "version.json").write_text("{")
    facts = json.loads(run("models", "show", "champion", "--format", "json").stdout)
    assert "version.json: damaged card" in facts["fault"]
    assert facts["card"]["parent"] == "shipped"
    assert facts["served"][0][1] is None


def test_a_champion_whose_folder_is_gone_is_listed_shown_and_found_missing(run, registry):
    champion, kept, aside = (hollow_version(registry, number) for number in range(3))
    make_champion(registry, champion)
    name_version(registry, "aside", aside)
    for ref in (champion, aside):
        shutil.rmtree(registry.folder(ref))
    rows = json.loads(run("models", "list", "--kind", "ltr", "--format", "json").stdout)
    assert {row["version"]: row["names"] for row in rows} == {
        "shipped": [],
        champion.version: ["champion", "missing"],
        kept.version: [],
        aside.version: ["aside", "missing"],
    }
    shown = run("models", "show", "champion").stdout
    assert "not in this workspace any more" in shown
    assert "by ann" in shown
    verified = run("models", "verify", "--format", "json")
    assert verified.exit_code == 1
    wrong = {each["version"] for each in json.loads(verified.stdout) if not each["sound"]}
    assert wrong == {champion.version, aside.version}


def test_a_champion_that_cannot_answer_here_is_wrong_another_version_is_not(run, registry):
    misfit = hollow_version(registry, 1)  # made over no index
    done = run("models", "verify")
    assert done.exit_code == 0, done.output
    make_champion(registry, misfit)
    done = run("models", "verify")
    assert done.exit_code == 1
    assert f"ltr       {misfit.version}  WRONG" in done.stdout


def test_a_shipped_challenger_is_listed(run, registry):
    make_champion(registry, hollow_version(registry, 1))
    name_version(registry, "challenger", SHIPPED_MODEL)
    rows = json.loads(run("models", "list", "--kind", "ltr", "--format", "json").stdout)
    assert (rows[0]["version"], rows[0]["names"]) == ("shipped", ["challenger"])


def test_show_cuts_nothing_that_a_card_says(run, registry):
    long = {f"setting_{number}": number / 7 for number in range(12)}
    figure = {"value": 0.9876, "ci95": [0.98, 0.991], "n": 1000}
    ref = hollow_version(
        registry,
        1,
        parameters={"training": {"ranker": long}, "thresholds": {"match": 0.85}},
        data={"listings": {"offer": 5, "ranker": 3}},
        metrics={
            "figures": {"precision_at_1": figure},
            "measured_on": {"listings": 1000, "of": "generated listings"},
        },
    )
    text = run("models", "show", ref.version).stdout
    lines = text.splitlines()
    assert max(len(line) for line in lines if not line.startswith("folder")) <= 80
    assert f"folder          {registry.folder(ref)}" in lines
    assert "…" not in text
    words = " ".join(text.split())
    assert all(f"{name}={value:g}" in words for name, value in long.items())
    assert "listings        offer=5, ranker=3" in lines
    assert "thresholds      match=0.85" in lines
    assert "                on 1,000 generated listings" in lines


def test_what_serves_in_place_of_a_damaged_champion_is_in_the_status(run, registry):
    make_champion(registry, working_version(registry, 0.25))
    champion = registry.pointer().champion
    assert champion.version in run("status").stdout
    flip(registry.folder(champion) / "ranker.onnx")
    status = json.loads(run("status", "--format", "json").stdout)["ranker"]
    assert status["version"] == registry.fingerprint(SHIPPED_MODEL)
    assert "ranker.onnx: damaged" in status["fault"]
    text = run("status").stdout
    assert "in place of the champion: `rerank models verify`" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_difference_is_shown_by_key(run, registry):
    one = hollow_version(registry, 1, data={"seed": 7, "same": 1}, parent=None)
    other = hollow_version(registry, 2, data={"seed": 8, "same": 1}, parent="shipped")
    found = json.loads(run("models", "diff", one.version, other.version, "--format", "json").stdout)
    assert found == {
        "data.seed": ["7", "8"],
        "parent": ["-", "shipped"],
        "version": [one.version, other.version],
    }
    text = run("models", "diff", one.version, other.version).stdout
    assert max(map(len, text.splitlines())) <= 80
    assert "differ in nothing" in run("models", "diff", one.version, one.version).stdout
    (registry.folder(other) / "version.json").unlink()
    bare = run("models", "diff", other.version, one.version)
    assert bare.exit_code == 1
    assert f"{other} has no card" in bare.stderr


def test_the_history_tells_who_when_from_to_and_why(run, registry):
    ref = hollow_version(registry, 1)
    assert run("models", "alias", "challenger", ref.version, "--why", "the new one").exit_code == 0
    assert run("models", "rollback", "--to", "shipped").exit_code == 1  # it serves already
    lines = run("models", "history").stdout.splitlines()
    (change,) = registry.history()
    assert lines == [
        f"   1  {change.at}  alias challenger, by {change.who}",
        f"      nothing -> ltr {ref.version}",
        "      why: the new one",
    ]
    assert "no change until that day" in run("models", "history", "--on", "2001-01-01").stdout
    assert run("models", "history", "--on", "yesterday").exit_code == 2
    assert json.loads(run("models", "history", "--format", "json").stdout) == [change.as_dict()]


def test_verify_names_what_is_wrong(run, registry):
    sound, broken = (working_version(registry, review) for review in (0.25, 0.35))
    make_champion(registry, sound)
    fine = run("models", "verify")
    assert fine.exit_code == 0, fine.output
    lines = fine.stdout.splitlines()
    assert lines[:2] == [
        f"ltr       {sound.version}  sound  6 files, card, no reference to hold its",
        f"{'':35}answers against",
    ]
    assert max(map(len, lines)) <= 80
    flip(registry.folder(broken) / "calibrator.json")
    result = run("models", "verify")
    assert result.exit_code == 1
    assert f"ltr       {broken.version}  WRONG\n    /" in result.stdout
    assert "calibrator.json: damaged" in " ".join(result.stdout.split())
    assert run("models", "verify", sound.version).exit_code == 0
    (row,) = json.loads(run("models", "verify", broken.version, "--format", "json").stdout)
    assert (row["version"], row["sound"]) == (broken.version, False)


@pytest.mark.parametrize(
    "arguments",
    [("alias", "x"), ("alias", "x", "champion", "--remove"), ("promote", "x", "--force")],
)
def test_wrong_calls_are_told_so(run, arguments):
    assert run("models", *arguments).exit_code == 2


# promotion and rollback


def test_an_equal_version_passes_the_gates_and_a_rollback_undoes_it(run, registry, gates, home):
    ref = working_version(registry, 0.25)
    run("models", "alias", "challenger", ref.version)
    result = run("models", "promote", "challenger", "--config", gates, "--why", "as good")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == f"ltr {ref.version} serves"
    assert "every gate is passed" in result.stdout
    change = registry.history()[-1]
    assert (change.action, change.why, change.forced) == ("promote", "as good", False)
    assert all(gate["passed"] for gate in change.gates)
    assert change.metrics
    assert registry.pointer().aliases == {}
    assert open_resolver(home).model.version == ref.version
    again = run("models", "promote", ref.version)
    assert again.exit_code == 1
    assert "serves already; nothing was changed" in again.stderr
    assert run("models", "rollback").stdout == "ltr shipped serves\n"
    last = run("models", "rollback")
    assert last.exit_code == 1
    assert "no version served before this one" in last.stderr
    assert run("models", "rollback", "--to", ref.version).exit_code == 0
    assert registry.pointer().previous == SHIPPED_MODEL


def test_a_promotion_opens_each_version_once_and_asks_its_reference_once(
    run, registry, gates, monkeypatch
):
    ref = working_version(registry, 0.25)
    resolver = open_version(registry.workspace, ref)
    # of another seed than the shipped version's own, which is asked as well
    reference = make_reference(resolver, seed=12)
    card = registry.card(ref)
    assert card is not None
    replace(card, reference=reference.as_dict()).write(registry.folder(ref))
    done = Counter()
    load, resolve_many = RerankModel.load, Resolver.resolve_many
    load_index = rerank.packs.gpu.retriever.load_retriever

    def loading(folder, **options):
        done[f"model {folder.name}"] += 1
        return load(folder, **options)

    def loading_index(*parts):
        done["index"] += 1
        return load_index(*parts)

    def asking(self, listings, **options):
        of_reference = [each.title for each in listings] == [each.title for each in asked]
        done[f"reference {self.model.version}"] += of_reference
        return resolve_many(self, listings, **options)

    asked = reference.answers
    monkeypatch.setattr(RerankModel, "load", loading)
    monkeypatch.setattr(rerank.packs.gpu.retriever, "load_retriever", loading_index)
    monkeypatch.setattr(Resolver, "resolve_many", asking)
    result = run("models", "promote", ref.version, "--config", gates)
    assert result.exit_code == 0, result.output
    assert registry.pointer().champion == ref
    once = {f"model {ref.version}": 1, "model model": 1, "index": 1}
    assert +done == once | {f"reference {ref.version}": 1}


def test_answers_that_changed_refuse_a_promotion_and_no_force_overrules_that(run, registry, gates):
    reference = dict(VersionCard.read(shipped("model")).reference)
    first, *others = reference["answers"]
    reference["answers"] = [{**first, "match_probability": 0.123}, *others]
    ref = working_version(registry, 0.305, reference=reference)
    refused = run("models", "promote", ref.version, "--config", gates)
    assert refused.exit_code == 1
    assert "stays out: 1 of " in refused.stderr
    assert "(reference answers); nothing was changed" in refused.stderr
    line = next(line for line in refused.stdout.splitlines() if "reference answers" in line)
    assert line.split()[2:] == ["1", "<=", "0", "FAIL"]
    forced = run("models", "promote", ref.version, "--config", gates, "--force", "--why", "must")
    assert forced.exit_code == 1
    assert "1 of 100 reference listings are answered otherwise" in forced.stderr
    assert registry.pointer().champion == SHIPPED_MODEL


def test_a_worse_version_is_refused_with_the_gates_and_forced_with_a_reason(
    run, registry, gates, home, tmp_path, monkeypatch
):
    gates.write_text(QUICK_GATES.replace("floors: {}", "floors: {hard_set: {accepted_share: 1}}"))
    ref = working_version(registry, 0.25)
    refused = run("models", "promote", ref.version, "--config", gates)
    assert refused.exit_code == 1
    assert "stays out: 1 of " in refused.stderr
    assert "(hard_set: share accepted); nothing was changed" in refused.stderr
    assert "FAIL" in refused.stdout
    assert registry.pointer().champion == SHIPPED_MODEL
    gates.replace(home / "promotion.yaml")  # the workspace's own; the folder one stands in has none
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "promotion.yaml").write_text("no: such key")
    monkeypatch.chdir(tmp_path)
    forced = run("models", "promote", ref.version, "--force", "--why", "must")
    assert forced.exit_code == 0, forced.output
    change = registry.history()[-1]
    assert (change.forced, change.why) == (True, "must")
    assert [gate["name"] for gate in change.gates if not gate["passed"]] == [
        "hard_set: share accepted"
    ]
    assert "overruled" in run("models", "history").stdout


@pytest.mark.parametrize("mended_by", ["rollback", "the same version again"])
def test_a_damaged_pointer_is_mended_with_what_the_history_says(run, registry, home, mended_by):
    ref = working_version(registry, 0.25)
    make_champion(registry, ref)
    (home / "models" / "active_model.json").write_text("")
    assert run("resolve", "rtx 3080").exit_code == 1
    if mended_by == "rollback":
        result = run("models", "rollback", "--to", ref.version[:6])
        assert result.exit_code == 0, result.output
        assert f"until then ltr {ref.version} counts as champion" in result.stderr
    else:
        with pytest.warns(RerankWarning, match="counts as champion"):
            take_place(registry, ref, verified_manifest(shipped("index"), "index"), serve=True)
    assert (registry.pointer().champion, registry.pointer().generation) == (ref, 2)
    assert open_resolver(home).model.version == ref.version


def test_a_damaged_version_is_promoted_by_no_force(run, registry, gates):
    ref = working_version(registry, 0.25)
    flip(registry.folder(ref) / "offer.onnx")
    result = run("models", "promote", ref.version, "--config", gates, "--force", "--why", "must")
    assert result.exit_code == 1
    assert "offer.onnx: damaged" in result.stderr
    assert registry.pointer().champion == SHIPPED_MODEL
    back = run("models", "rollback", "--to", ref.version)
    assert (back.exit_code, registry.pointer().generation) == (1, 0)


# the index and the embedder


def test_an_index_that_was_replaced_can_be_put_back(run, registry, home):
    home.mkdir()
    first = other_index(home, 1)
    keep_part(registry, "index", parent="shipped")
    assert keep_earlier_part(registry, "index") == first
    second = other_index(home, 2)
    keep_part(registry, "index", parent=first)
    assert {ref.version for ref in registry.versions("index")} == {first, second}
    assert open_resolver(home).index_version == second
    result = run("models", "rollback", "--part", "index", "--why", "lost GPUs")
    assert (result.exit_code, result.stdout) == (0, f"index {first} serves\n")
    assert open_resolver(home).index_version == first
    assert registry.pointer().named("index") == ("index", first)
    assert run("models", "promote", second).exit_code == 0
    assert serving_part(registry.workspace, "index") == ("index", second)
    assert run("models", "rollback", "--part", "index", "--to", "shipped").exit_code == 0
    assert open_resolver(home).index_version == registry.fingerprint(SHIPPED_INDEX)
    card = registry.card(VersionRef("index", second))
    assert card is not None
    assert card.parent == first
    assert card.data["gpus"] > 1000


def test_a_damaged_index_is_rolled_back(run, registry, home):
    home.mkdir()
    first = other_index(home, 1)
    keep_part(registry, "index", parent="shipped")
    other_index(home, 2)
    keep_part(registry, "index", parent=first)
    flip(home / "index" / "index.faiss")
    assert run("resolve", "rtx 3080").exit_code == 1
    assert run("models", "verify").exit_code == 1
    result = run("models", "rollback", "--part", "index")
    assert (result.exit_code, result.stdout) == (0, f"index {first} serves\n")
    assert open_resolver(home).index_version == first


def test_a_change_of_the_index_that_was_killed_half_way_is_made_whole_by_the_next(
    run, registry, home
):
    """The index is in its place, the pointer and the history do not say so yet."""
    home.mkdir()
    first = other_index(home, 1)
    keep_part(registry, "index", parent="shipped")
    other_index(home, 2)
    keep_part(registry, "index", parent=first)
    put_back(registry.workspace, VersionRef("index", first))
    result = run("models", "promote", first)
    assert result.exit_code == 0, result.output
    assert registry.pointer().named("index") == ("index", first)
    assert [each.to for each in registry.history()][-1] == ("index", first)
    assert run("models", "promote", first).exit_code == 1


def test_an_index_that_the_champion_does_not_fit_is_refused(registry, home):
    home.mkdir()
    other_index(home, 1)
    keep_part(registry, "index", parent=None)
    draft = home / "index"
    parameters = verified_manifest(draft, "index").parameters
    for name in ("embedder_fingerprint",):
        parameters[name] = "0123456789abcdef"
    odd = write_manifest(draft, kind="index", format_version=1, parameters=parameters)
    keep_part(registry, "index", parent=None)
    other_index(home, 2)
    switch = Switch(VersionRef("index", odd.fingerprint), registry.pointer())
    with pytest.raises(MismatchError, match="0123456789abcdef"):
        promote(registry, switch, GateVerdict(()))
    assert serving_part(registry.workspace, "index").version != odd.fingerprint


def test_the_card_of_an_index_or_embedder_says_what_it_finds_and_when_it_served(
    run, registry, home
):
    home.mkdir()
    shutil.copytree(shipped("embedder"), home / "embedder")
    keep_part(registry, "embedder", parent="shipped", data={"registry": "abc"})
    assert registry.card(registry.pointer().named("embedder")).data["registry"] == "abc"
    first = other_index(home, 1)
    keep_part(registry, "index", parent="shipped")
    for text in (registry.pointer().named("embedder").version, first):
        facts = json.loads(run("models", "show", text, "--format", "json").stdout)
        figures = facts["card"]["metrics"]["figures"]
        low, high = figures["recall_at_10"]["ci95"]
        assert 0.8 < low <= figures["recall_at_10"]["value"] <= high <= 1
        assert figures["recall_at_10"]["n"] == facts["card"]["metrics"]["measured_on"]["listings"]
        assert [until for _, until in facts["served"]] == [None]
    lines = run("models", "show", first).stdout.splitlines()
    shown = f"validation      recall@10 {figures['recall_at_10']['value']:.3f} "
    assert any(line.startswith(shown) for line in lines)
    assert any(line.startswith("embedder        ") for line in lines)
    assert any(line.startswith("served          from 20") for line in lines)


def test_a_damaged_index_is_not_put_back(run, registry, home):
    home.mkdir()
    first = other_index(home, 1)
    keep_part(registry, "index", parent=None)
    second = other_index(home, 2)
    keep_part(registry, "index", parent=first)
    flip(registry.folder(VersionRef("index", first)) / "records.jsonl")
    result = run("models", "rollback", "--part", "index")
    assert result.exit_code == 1
    assert "records.jsonl: damaged" in result.stderr
    assert open_resolver(home).index_version == second


# what becomes of a version that was just trained


def test_a_new_version_is_the_challenger_of_what_serves_unless_it_is_to_serve(registry):
    index = verified_manifest(shipped("index"), "index")
    one, two, three = (working_version(registry, review) for review in (0.2, 0.25, 0.35))
    assert not take_place(registry, one, index, serve=False)
    pointer = registry.pointer()
    assert (pointer.champion, pointer.named("challenger")) == (SHIPPED_MODEL, one)
    make_champion(registry, one)
    assert not take_place(registry, two, index, serve=False)
    assert not take_place(registry, two, index, serve=False)  # the same again changes nothing
    pointer = registry.pointer()
    assert (pointer.champion, pointer.named("challenger"), pointer.generation) == (one, two, 3)
    assert pointer.named("ltr") == two
    assert take_place(registry, three, index, serve=True)
    assert take_place(registry, three, index, serve=False)  # champion already
    pointer = registry.pointer()
    assert (pointer.champion, pointer.previous, pointer.generation) == (three, one, 4)
    assert [(each.action, each.why) for each in registry.history()] == [
        ("train", ""),
        ("promote", ""),
        ("train", ""),
        ("serve", "train --serve"),
    ]


def test_a_rollback_to_the_shipped_model_stands_when_something_is_trained(run, registry):
    index = verified_manifest(shipped("index"), "index")
    one, two = (working_version(registry, review) for review in (0.2, 0.25))
    make_champion(registry, one)
    assert run("models", "rollback", "--to", "shipped").exit_code == 0
    assert not take_place(registry, two, index, serve=False)
    pointer = registry.pointer()
    assert (pointer.champion, pointer.named("challenger")) == (SHIPPED_MODEL, two)


def test_a_ranker_of_another_kind_waits_as_challenger_of_the_shipped_model(registry):
    index = verified_manifest(shipped("index"), "index")
    ref = hollow_version(registry, 1, kind="pairwise")
    assert not take_place(registry, ref, index, serve=False)
    assert registry.pointer().champion == SHIPPED_MODEL
    assert registry.pointer().aliases == {"challenger": ref, "pairwise": ref}


@pytest.mark.parametrize("fault", ["another embedder", "damaged"])
def test_a_new_version_serves_if_the_champion_cannot(registry, fault):
    index = verified_manifest(shipped("index"), "index")
    old, new = (working_version(registry, review) for review in (0.2, 0.25))
    make_champion(registry, old)
    if fault == "damaged":
        flip(registry.folder(old) / "offer.onnx")
    else:
        index.parameters["embedder_fingerprint"] = "0123456789abcdef"
    assert take_place(registry, new, index, serve=False)
    assert ("damaged" in registry.history()[-1].why) == (fault == "damaged")


def test_a_promotion_decided_on_what_is_past_is_refused(registry):
    one, two = (working_version(registry, review) for review in (0.2, 0.25))
    seen = registry.pointer()
    make_champion(registry, one)
    with pytest.raises(RefusedError, match="another change came in between"):
        promote(registry, Switch(two, seen), GateVerdict(()))
