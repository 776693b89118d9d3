"""What serves when a version is damaged, and services that follow promotions."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from invented_versions import flip, make_champion, working_version

from rerank.index.errors import ArtifactError, MismatchError, RerankWarning
from rerank.index.records import Listing, shipped
from rerank.lifecycle import opening
from rerank.lifecycle.model_registry import ModelRegistry
from rerank.lifecycle.opening import LiveResolver, make_reference, open_resolver, open_version
from rerank.lifecycle.versions import SHIPPED_MODEL, Pointer, VersionRef, replace_pointer
from rerank.verdicts import open_verdicts
from rerank.workspace import Workspace

LISTING = Listing("1", "Palit RTX 3080 GamingPro 10GB used")


@pytest.fixture
def registry(home):
    return ModelRegistry(Workspace(home))


@pytest.fixture
def two(registry):
    """Two sound versions; the second is champion, the first was before."""
    refs = [working_version(registry, review) for review in (0.25, 0.35)]
    for ref in refs:
        make_champion(registry, ref)
    return refs


def test_the_champion_serves_whatever_its_kind(registry, two, home):
    assert open_resolver(home).model.version == two[1].version
    make_champion(registry, two[0], "rollback")
    assert open_resolver(home).model.version == two[0].version
    assert open_version(registry.workspace, two[1]).model.version == two[1].version


@pytest.mark.parametrize(
    "damage", ["flipped", "missing file", "missing folder", "card", "unreadable", "unreadable card"]
)
def test_a_damaged_champion_is_found_before_it_serves_and_the_one_before_does(
    registry, two, home, run, damage
):
    folder = registry.folder(two[1])
    if damage == "flipped":
        flip(folder / "ranker.onnx")
    elif damage == "missing file":
        (folder / "offer.onnx").unlink()
    elif damage == "card":
        flip(folder / "version.json")
    elif damage.startswith("unreadable"):  # by whoever runs this: root may read all files
        path = folder / ("version.json" if "card" in damage else "manifest.json")
        path.unlink()
        path.mkdir()
    else:
        shutil.rmtree(folder)
    with pytest.warns(RerankWarning, match=f"until then ltr {two[0].version}, which was champion"):
        assert open_resolver(home).model.version == two[0].version
    result = run("resolve", LISTING.title)
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: ")
    assert str(folder) in result.stderr
    assert result.stderr.count("warning: ") == 1
    flip(registry.folder(two[0]) / "calibrator.json")
    with pytest.raises(ArtifactError, match=str(folder)):  # of the champion, as without others
        open_resolver(home)


def test_a_damaged_version_names_the_command_that_makes_its_kind(registry, two):
    other = VersionRef("pairwise", two[0].version)
    folder = registry.workspace.version_folder(other)
    shutil.copytree(registry.folder(two[0]), folder)
    flip(folder / "offer.onnx")
    with pytest.raises(ArtifactError, match="run `rerank train-decision`"):
        open_version(registry.workspace, other)


def test_after_the_first_training_the_shipped_model_stands_behind(registry, home):
    ref = working_version(registry, 0.25)
    make_champion(registry, ref, "first")
    flip(registry.folder(ref) / "ranker.onnx")
    with pytest.warns(RerankWarning, match="until then ltr shipped"):
        resolver = open_resolver(home)
    assert resolver.model.version == registry.fingerprint(SHIPPED_MODEL)


def test_a_version_that_answers_otherwise_than_when_it_was_made_does_not_serve(
    registry, home, shipped_resolver
):
    """A calibrator that was changed, with a manifest that agrees, shows in the answers."""
    kept = make_reference(shipped_resolver, seed=3, n=20)
    sound = working_version(registry, 0.25, reference=kept.as_dict())
    assert open_version(registry.workspace, sound).model.version == sound.version
    moved = replace(
        kept,
        answers=tuple(
            replace(a, match_probability=a.match_probability / 2 + 0.3) for a in kept.answers
        ),
    )
    other = working_version(registry, 0.35, reference=moved.as_dict())
    with pytest.raises(MismatchError, match="20 of 20 reference listings are answered otherwise"):
        open_version(registry.workspace, other)


def test_a_version_that_passed_is_asked_again_only_where_something_that_answers_changed(
    registry, home, shipped_resolver, monkeypatch
):
    kept = make_reference(shipped_resolver, seed=3, n=2)
    make_champion(registry, working_version(registry, 0.25, reference=kept.as_dict()))
    asked = []
    monkeypatch.setattr(opening, "check_reference", lambda *of, limit: asked.append(limit))
    open_resolver(home)
    open_resolver(home)
    assert asked == [None]
    monkeypatch.setattr(opening, "_boot", lambda: "another machine")
    open_resolver(home)
    open_resolver(home)
    assert asked == [None, None]
    open_resolver(home / "not there yet")
    assert asked[2:] == [opening.CHECKED_OF_SHIPPED]
    assert not (home / "not there yet").exists()


def test_what_was_remembered_of_versions_may_be_damaged(home):
    home.mkdir(exist_ok=True)
    Workspace(home).passed_path.write_text("[1", encoding="utf-8")
    open_resolver(home)
    assert len(opening._passed(Workspace(home).passed_path)) == 1


def test_resolving_with_a_version_that_is_checked_opens_no_store(registry, home, shipped_resolver):
    kept = make_reference(shipped_resolver, seed=3, n=5)
    make_champion(registry, working_version(registry, 0.25, reference=kept.as_dict()))
    store = Workspace(home).store_path
    os.utime(store, (0, 0))  # nobody has written it lately
    assert open_verdicts(Workspace(home)) is None  # from now on known without a look inside
    code = (
        "from rerank.jobs.cli import main\n"
        f"main(['resolve', 'rtx 3080', '--home', {str(home)!r}], standalone_mode=False)\n"
        "import sys; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "rerank.lifecycle.opening" in loaded
    assert not loaded & {"duckdb", "torch", "lightgbm", "sklearn", "pandas"}


def test_a_version_in_the_folder_of_another_does_not_serve(registry, two):
    one, other = (registry.folder(ref) for ref in two)
    shutil.rmtree(other)
    shutil.copytree(one, other)
    with pytest.raises(MismatchError, match=f"expected version {two[1].version}, found a model"):
        open_version(registry.workspace, two[1])


def test_a_version_with_other_features_or_missing_values_does_not_serve(registry):
    ref = working_version(registry, 0.25)
    card = registry.card(ref)
    assert card is not None
    schema = {**card.feature_schema, "missing": "NaN"}
    replace(card, feature_schema=schema).write(registry.folder(ref))
    with pytest.raises(MismatchError, match=r"'NaN' where one is missing.*'never NaN"):
        open_version(registry.workspace, ref)


def test_a_version_without_a_card_serves(registry, home):
    ref = working_version(registry, 0.25)
    (registry.folder(ref) / "version.json").unlink()
    make_champion(registry, ref)
    assert open_resolver(home).model.version == ref.version


# services


def test_a_service_follows_promotion_and_rollback(registry, two, home):
    live = LiveResolver(home)
    assert live.resolve(LISTING).model_version == two[1].version
    make_champion(registry, two[0], "rollback")
    assert live.resolve(LISTING).model_version == two[0].version
    assert live.resolve(LISTING).model == "GeForce RTX 3080"
    make_champion(registry, SHIPPED_MODEL)
    shipped_version = registry.fingerprint(SHIPPED_MODEL)
    assert {a.model_version for a in live.resolve_many([LISTING] * 3)} == {shipped_version}
    assert live.fault is None


def test_a_service_follows_the_index(home, registry, two):
    live = LiveResolver(home)
    assert live.resolve(LISTING).model == "GeForce RTX 3080"
    before = live.current
    assert live.current is before
    shutil.copytree(shipped("index"), home / "index")
    assert live.current is not before
    assert live.resolve(LISTING).index_version == before.index_version


def test_a_service_goes_on_with_the_old_if_the_new_is_damaged_and_says_so_once(registry, two, home):
    told = []
    live = LiveResolver(home, on_fault=told.append)
    flip(registry.folder(two[0]) / "offer.onnx")
    make_champion(registry, two[0], "rollback")
    for _ in range(3):
        assert live.resolve(LISTING).model_version == two[1].version
    (line,) = told
    assert "offer.onnx: damaged" in line
    assert line.endswith(f"model {two[1].version} goes on serving")
    assert live.fault is not None
    flip(registry.folder(two[0]) / "offer.onnx")  # mended: the same byte again
    assert live.resolve(LISTING).model_version == two[1].version  # not looked at again yet
    make_champion(registry, SHIPPED_MODEL)
    assert live.resolve(LISTING).model_version == registry.fingerprint(SHIPPED_MODEL)
    assert live.fault is None


def test_a_service_tries_what_failed_again_after_a_while(registry, two, home):
    told = []
    live = LiveResolver(home, on_fault=told.append, retry_s=0.0)
    flip(registry.folder(two[0]) / "offer.onnx")
    make_champion(registry, two[0], "rollback")
    for _ in range(2):
        assert live.resolve(LISTING).model_version == two[1].version
    assert len(told) == 1
    flip(registry.folder(two[0]) / "offer.onnx")
    assert live.resolve(LISTING).model_version == two[0].version
    assert live.fault is None


@pytest.mark.parametrize("content", ["", "half a po", '{"name": "ltr", "version": "gone"}'])
def test_a_service_survives_a_pointer_that_is_damaged(registry, two, home, content):
    told = []
    live = LiveResolver(home, on_fault=told.append)
    (home / "models" / "active_model.json").write_text(content)
    assert live.resolve(LISTING).model_version == two[1].version
    assert len(told) == 1


@pytest.mark.slow
def test_no_request_fails_while_threads_resolve_and_200_switches_go_on(registry, two, home):
    live = LiveResolver(home, on_fault=lambda fault: faults.append(fault))
    faults, versions, errors = [], set(), []
    done = threading.Event()

    def serve():
        while not done.is_set():
            try:
                answers = live.resolve_many([LISTING, LISTING])
                assert len({each.model_version for each in answers}) == 1
                assert answers[0].model == "GeForce RTX 3080"
                versions.add(answers[0].model_version)
            except Exception as exc:
                errors.append(exc)

    threads = [threading.Thread(target=serve) for _ in range(4)]
    for thread in threads:
        thread.start()
    path = home / "models" / "active_model.json"
    for number in range(200):
        replace_pointer(path, Pointer(champion=two[number % 2], generation=number))
    done.set()
    for thread in threads:
        thread.join()
    assert (errors, faults) == ([], [])
    assert versions <= {ref.version for ref in two}
    assert live.resolve(LISTING).model_version == two[1].version


def test_a_ranker_by_name_is_the_newest_of_its_kind(registry, two, home):
    workspace = registry.workspace
    from rerank.rankers.kinds import RankerKind

    assert workspace.serving_versions(RankerKind.LTR) == [two[1]]
    replace_pointer(
        workspace.pointer_path,
        Pointer(champion=VersionRef("pairwise", "p"), aliases={"ltr": two[0]}),
    )
    assert workspace.serving_versions(RankerKind.LTR) == [two[0]]
    assert workspace.serving_versions(RankerKind.PAIRWISE) == [VersionRef("pairwise", "p")]
    replace_pointer(workspace.pointer_path, Pointer(champion=VersionRef("pairwise", "p")))
    assert workspace.serving_versions(RankerKind.LTR) == [SHIPPED_MODEL]
    with pytest.raises(ArtifactError, match="no dual ranker serves here; train one with"):
        workspace.serving_versions(RankerKind.DUAL)
