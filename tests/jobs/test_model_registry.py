"""The registry of models: names, changes, history, and what a process that dies leaves."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from datetime import date
from pathlib import Path

import pytest
from invented_versions import flip, hollow_version, make_champion

from rerank.index.errors import ArtifactError, InputError, RefusedError, RerankWarning
from rerank.lifecycle.changing import before_that, name_version
from rerank.lifecycle.model_registry import (
    AliasChange,
    ModelRegistry,
    read_transitions,
    utc_text,
)
from rerank.lifecycle.versions import (
    SHIPPED_MODEL,
    VersionRef,
    code_version,
    read_pointer,
    user_name,
)
from rerank.store.database import Store
from rerank.workspace import Workspace

HERE = Path(__file__).parent


@pytest.fixture
def registry(home):
    return ModelRegistry(Workspace(home))


def python(code: str, *arguments: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        text=True,
        cwd=HERE.parents[1],
        env={"PYTHONPATH": str(HERE), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


# versions and names


def test_a_registered_version_lies_under_its_fingerprint_with_its_card(registry, home):
    ref = hollow_version(registry, 1, code_version="0.1.0")
    assert registry.versions() == [ref]
    assert registry.folder(ref) == home / "models" / "ltr" / ref.version
    card = registry.card(ref)
    assert card is not None
    assert (card.version, card.code_version) == (ref.version, "0.1.0")
    assert registry.manifest(ref).fingerprint == ref.version
    other = hollow_version(registry, 1, kind="dual")
    assert registry.folder(other) == home / "models" / "served" / "dual" / other.version
    assert registry.remembered() == {ref, other}


def test_a_version_that_is_there_is_kept_as_it_is(registry):
    ref = hollow_version(registry, 1)
    before = registry.card(ref)
    assert hollow_version(registry, 1, created_by="bob") == ref
    assert registry.card(ref) == before


def test_a_damaged_version_is_replaced_when_it_is_made_again(registry):
    ref = hollow_version(registry, 1)
    flip(registry.folder(ref) / "content.txt")
    with pytest.raises(ArtifactError, match=r"content\.txt: damaged"):
        registry.manifest(ref)
    hollow_version(registry, 1)
    assert registry.manifest(ref).fingerprint == ref.version


def test_a_version_is_found_by_alias_whole_name_and_beginning(registry):
    refs = [hollow_version(registry, number) for number in range(3)]
    name_version(registry, "challenger", refs[1])
    assert registry.find("champion") == SHIPPED_MODEL
    assert registry.find("shipped") == SHIPPED_MODEL
    assert registry.find(registry.fingerprint(SHIPPED_MODEL)) == SHIPPED_MODEL
    assert registry.find("challenger") == refs[1]
    for ref in refs:
        assert registry.find(ref.version) == ref
        assert registry.find(ref.version[:8]) == ref
    with pytest.raises(InputError, match=r"an alias \(champion, challenger\), `shipped`"):
        registry.find(refs[0].version[:3])
    with pytest.raises(InputError, match="found none such"):
        registry.find("0" * 16)


def test_a_beginning_of_two_versions_is_not_guessed(registry, home):
    refs = [hollow_version(registry, number) for number in range(2)]
    for ref, name in zip(refs, ("abcd1", "abcd2"), strict=True):
        registry.folder(ref).rename(registry.folder(ref).with_name(name))
    with pytest.raises(InputError, match="expected one, found ltr abcd1, ltr abcd2; write more"):
        registry.find("abcd")


@pytest.mark.parametrize("name", ["../ltr/v1", "a/b", "..", ".", "/etc/passwd", "a\0", "a\\b", ""])
def test_names_with_path_separators_are_refused_everywhere(registry, home, run, name):
    for refused in (
        lambda: registry.find(name),
        lambda: registry.folder(VersionRef("ltr", name)),
        lambda: name_version(registry, name, SHIPPED_MODEL),
        lambda: registry.change(
            AliasChange(action="promote", alias="champion", to=VersionRef("ltr", name)),
            expected_generation=0,
        ),
    ):
        with pytest.raises(InputError, match="expected 1 to 64 letters, digits"):
            refused()
    assert not (home / "models" / "active_model.json").exists()
    for arguments in (("show", name), ("promote", name), ("rollback", "--to", name)):
        result = run("models", *arguments)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "expected 1 to 64 letters, digits" in result.stderr


@pytest.mark.parametrize("alias", ["champion", "shipped", "index", "embedder"])
def test_what_serves_is_not_changed_by_naming_it(registry, alias):
    ref = hollow_version(registry, 1)
    with pytest.raises(InputError, match="change that with `rerank models promote`"):
        name_version(registry, alias, ref)


def test_an_alias_of_a_ranker_names_only_its_versions(registry):
    ref = hollow_version(registry, 1)
    with pytest.raises(InputError, match="alias pairwise: expected one of its kind, found ltr"):
        name_version(registry, "pairwise", ref)


def test_an_alias_comes_and_goes(registry):
    ref = hollow_version(registry, 1)
    assert name_version(registry, "easter", ref).aliases == {"easter": ref}
    assert name_version(registry, "easter", None).aliases == {}
    with pytest.raises(InputError, match="expected one that is there, found none"):
        name_version(registry, "easter", None)
    with pytest.raises(InputError, match="a version has this name"):
        name_version(registry, ref.version, ref)
    assert [each.action for each in registry.history()] == ["alias", "unalias"]


# changes


def test_changes_are_in_the_pointer_and_in_the_history(registry, home):
    one, other = (hollow_version(registry, number) for number in range(2))
    make_champion(registry, one, "first")
    change = AliasChange(
        action="promote",
        alias="champion",
        to=other,
        why="better",
        forced=True,
        gates=[{"name": "size", "passed": False}],
        metrics={"gain": 0.01},
        also={"ltr": other},
    )
    pointer = registry.change(change, expected_generation=1)
    assert pointer == read_pointer(home / "models" / "active_model.json")
    assert (pointer.champion, pointer.previous, pointer.generation) == (other, one, 2)
    assert pointer.aliases == {"ltr": other}
    first, second = registry.history()
    assert (first.before, first.to, first.action) == (SHIPPED_MODEL, one, "first")
    assert (second.before, second.to, second.why, second.forced) == (one, other, "better", True)
    assert second.gates == [{"name": "size", "passed": False}]
    assert second.metrics == {"gain": 0.01}
    assert second.as_dict() == pointer.transition
    assert registry.history(date.fromisoformat(second.at[:10])) == [first, second]
    assert registry.history(date(2001, 1, 1)) == []


def test_a_challenger_that_is_promoted_is_challenger_no_more_and_ends_a_canary(registry):
    ref = hollow_version(registry, 1)
    change = AliasChange(action="canary", alias="challenger", to=ref, canary={"step": 1})
    assert registry.change(change, expected_generation=0).canary == {"step": 1}
    kept = registry.change(AliasChange(action="alias", alias="x", to=ref), expected_generation=1)
    assert kept.canary == {"step": 1}
    pointer = make_champion(registry, ref)
    assert (pointer.aliases, pointer.canary) == ({"x": ref}, None)


def test_a_change_that_was_decided_on_an_older_state_is_refused(registry):
    one, other = (hollow_version(registry, number) for number in range(2))
    make_champion(registry, one)
    with pytest.raises(
        RefusedError,
        match="another change came in between: promote of champion "
        f"to ltr {one.version} by .* at 20.*nothing was changed",
    ):
        registry.change(
            AliasChange(action="promote", alias="champion", to=other), expected_generation=0
        )
    assert registry.pointer().champion == one
    assert len(registry.history()) == 1


def test_what_is_not_there_cannot_be_named(registry, home):
    with pytest.raises(InputError, match="expected the folder of ltr abc, found none"):
        make_champion(registry, VersionRef("ltr", "abc"))
    with pytest.raises(InputError, match="alias champion: something must serve"):
        registry.change(
            AliasChange(action="alias", alias="champion", to=None), expected_generation=0
        )
    assert not (home / "store.duckdb").exists()


def test_a_version_before_is_the_one_a_promotion_found_and_no_rollback(registry):
    one, two = (hollow_version(registry, number) for number in range(2))
    make_champion(registry, one, "first")
    make_champion(registry, two, "promote")
    make_champion(registry, one, "rollback")
    changes = registry.history()
    assert before_that(changes, "champion", one) == SHIPPED_MODEL
    assert before_that(changes, "champion", two) == one
    assert before_that(changes, "champion", SHIPPED_MODEL) is None


def test_a_damaged_pointer_is_rebuilt_from_the_history(registry, home):
    one, two = (hollow_version(registry, number) for number in range(2))
    make_champion(registry, one)
    make_champion(registry, two)
    (home / "models" / "active_model.json").write_text("half a po")
    with pytest.warns(RerankWarning, match=f"until then ltr {two.version} counts as champion"):
        pointer = registry.pointer()
    assert (pointer.champion, pointer.previous, pointer.generation) == (two, one, 2)
    with pytest.warns(RerankWarning, match="expected JSON"):
        registry.change(
            AliasChange(action="rollback", alias="champion", to=one), expected_generation=2
        )
    assert registry.pointer().champion == one


def test_a_card_says_by_whom_and_with_which_code_but_not_on_which_machine():
    code = code_version()
    assert code is not None
    assert re.fullmatch(r"0\.1\.0(\+[0-9a-f]{7,40}(-dirty)?)?", code)
    assert "@" not in user_name()
    assert user_name()


# processes that die, are many, or find a full disk

KILLED_AT_EACH_STEP = """
    import json, os, sys
    from pathlib import Path
    from rerank.lifecycle.model_registry import AliasChange, ModelRegistry
    from rerank.workspace import Workspace
    from rerank.lifecycle.versions import read_pointer
    from rerank.lifecycle.versions import VersionRef
    from rerank.store.database import Session

    home, refs = Path(sys.argv[1]), [VersionRef("ltr", text) for text in sys.argv[2:]]

    def change_and_die(to, generation, step):
        left = step

        def dying(call):
            def counted(*arguments, **named):
                nonlocal left
                left -= 1
                if left == 0:
                    os._exit(9)
                found = call(*arguments, **named)
                left -= 1
                if left == 0:
                    os._exit(9)
                return found
            return counted

        for name in ("replace", "rename", "fsync", "open", "unlink", "close"):
            setattr(os, name, dying(getattr(os, name)))
        Path.write_text = dying(Path.write_text)
        Session.execute = dying(Session.execute)
        change = AliasChange(action="promote", alias="champion", to=to)
        ModelRegistry(Workspace(home)).change(change, expected_generation=generation)
        os._exit(0)

    for step in range(1, 80):
        before = ModelRegistry(Workspace(home)).pointer()
        to = refs[1] if before.champion == refs[0] else refs[0]
        child = os.fork()
        if child == 0:
            change_and_die(to, before.generation, step)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        found = read_pointer(home / "models" / "active_model.json")
        changes = ModelRegistry(Workspace(home)).history()  # mends what the child could not write
        print(json.dumps({
            "code": code, "before": before.champion, "to": to, "found": found.champion,
            "generations": found.generation - before.generation, "last": changes[-1].to,
            "in_order": [each.generation for each in changes]
            == list(range(1, found.generation + 1)),
        }))
        if code == 0:
            break
"""


def test_a_kill_at_any_step_of_a_promotion_leaves_the_old_or_the_new_pointer(registry, home):
    """Killed before and after every call that touches the disk, until one lives through it."""
    refs = [hollow_version(registry, number) for number in range(2)]
    make_champion(registry, refs[0])
    child = python(KILLED_AT_EACH_STEP, home, *(ref.version for ref in refs))
    said, errors = child.communicate(timeout=300)
    rows = [json.loads(line) for line in said.splitlines()]
    assert rows, errors
    for row in rows:
        assert row["code"] in (0, 9), errors
        assert row["found"] in (row["before"], row["to"])
        assert row["generations"] == (row["found"] == row["to"])
        assert row["last"] == row["found"]
        assert row["in_order"]
    assert (rows[-1]["code"], rows[-1]["found"]) == (0, rows[-1]["to"])
    switched = [row["found"] == row["to"] for row in rows]
    assert len(rows) > 15
    assert {True, False} == set(switched[:-1]), "kills on both sides of the switch"
    assert switched == sorted(switched), "one step switches: after it, each kill leaves the new"


def test_a_change_that_did_not_reach_the_history_is_mended_by_the_next(registry, home):
    one, other = (hollow_version(registry, number) for number in range(2))
    make_champion(registry, one)
    (home / "store.duckdb").rename(home / "kept.duckdb")
    (home / "store.duckdb").mkdir()  # nothing can be written there
    with pytest.raises(Exception, match=r"store\.duckdb"):  # refused before the switch
        make_champion(registry, other)
    (home / "store.duckdb").rmdir()
    (home / "kept.duckdb").rename(home / "store.duckdb")
    assert registry.pointer().champion == one
    with Store(home / "store.duckdb").writing() as session:
        session.execute("t", "DELETE FROM model_transitions")
        session.execute("t", "DELETE FROM model_versions")
    assert [each.to for each in registry.history()] == [one]
    assert registry.remembered() == {one, other}


def test_a_damaged_last_change_stops_neither_serving_nor_the_next_change(registry, home):
    one, other = (hollow_version(registry, number) for number in range(2))
    make_champion(registry, one)
    path = home / "models" / "active_model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "transition": {"id": "a"}}))
    with pytest.warns(RerankWarning, match="the next change mends the file"):
        assert registry.pointer().champion == one
    with pytest.warns(RerankWarning, match="transition: expected the last change"):
        make_champion(registry, other)
    assert registry.pointer().champion == other
    assert [each.to for each in registry.history()] == [one, other]


def test_a_damaged_pointer_is_rebuilt_with_all_its_names(registry, home):
    one, other = (hollow_version(registry, number) for number in range(2))
    make_champion(registry, one)
    name_version(registry, "before-easter", one)
    name_version(registry, "gone", one)
    name_version(registry, "gone", None)
    registry.change(
        AliasChange(action="train", alias="challenger", to=other, also={"ltr": other}),
        expected_generation=registry.pointer().generation,
    )
    whole = registry.pointer()
    assert whole.aliases == {"before-easter": one, "challenger": other, "ltr": other}
    (home / "models" / "active_model.json").write_text("{")
    with pytest.warns(RerankWarning, match="as the history says"):
        found = registry.pointer()
    assert (found.champion, found.aliases) == (whole.champion, whole.aliases)
    with pytest.warns(RerankWarning, match="as the history says"):
        make_champion(registry, other)
    assert registry.pointer().aliases == {"before-easter": one, "ltr": other}


PROMOTING = """
    import sys
    from pathlib import Path
    from rerank.index.errors import RefusedError
    from rerank.lifecycle.model_registry import AliasChange, ModelRegistry
    from rerank.workspace import Workspace
    from rerank.lifecycle.versions import VersionRef

    registry = ModelRegistry(Workspace(Path(sys.argv[1])))
    generation = registry.pointer().generation
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        registry.change(
            AliasChange(action="promote", alias="champion", to=VersionRef("ltr", sys.argv[2])),
            expected_generation=generation,
        )
        print("won")
    except RefusedError as exc:
        print("refused:", exc)
"""


def test_of_two_promotions_at_once_one_wins_and_the_other_says_so(registry, home):
    refs = [hollow_version(registry, number) for number in range(2)]
    both = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(PROMOTING), str(home), ref.version],
            text=True,
            cwd=HERE.parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for ref in refs
    ]
    for child in both:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in both:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    said = [child.communicate(timeout=300)[0] for child in both]
    assert sorted(words.split()[0] for words in said) == ["refused:", "won"]
    winner = refs[0] if said[0].startswith("won") else refs[1]
    assert registry.pointer().champion == winner
    (loser,) = [words for words in said if words.startswith("refused")]
    assert f"another change came in between: promote of champion to {winner}" in loser
    assert [each.to for each in registry.history()] == [winner]


FULL_DISK = """
    import resource, signal, sys
    from pathlib import Path
    from rerank.index.errors import os_error_text
    from rerank.lifecycle.model_registry import AliasChange, ModelRegistry
    from rerank.workspace import Workspace
    from rerank.lifecycle.versions import VersionRef

    registry = ModelRegistry(Workspace(Path(sys.argv[1])))
    generation = registry.pointer().generation
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))  # no file may grow beyond 64 bytes
    try:
        registry.change(
            AliasChange(action="promote", alias="champion", to=VersionRef("ltr", sys.argv[2])),
            expected_generation=generation,
        )
        print("made")
    except OSError as exc:
        print(os_error_text(exc))
"""


def test_a_disk_that_takes_no_more_leaves_the_old_champion(registry, home):
    one, other = (hollow_version(registry, number) for number in range(2))
    make_champion(registry, one)
    before = (home / "models" / "active_model.json").read_bytes()
    said, errors = python(FULL_DISK, home, other.version).communicate(timeout=300)
    assert "made" not in said, errors
    assert "File too large" in said
    assert (home / "models" / "active_model.json").read_bytes() == before
    assert not [path for path in (home / "models").iterdir() if path.name.endswith(".draft")]
    make_champion(registry, other)
    assert [each.to for each in registry.history()] == [one, other]


def test_a_clock_that_goes_back_changes_no_order(registry, monkeypatch):
    refs = [hollow_version(registry, number) for number in range(2)]
    times = iter(["2026-06-01T10:00:00Z", "2019-01-01T00:00:00Z", "2019-01-01T00:00:00Z"])
    monkeypatch.setattr(
        "rerank.lifecycle.model_registry.utc_text",
        lambda kept=None: next(times) if kept is None else utc_text(kept),
    )
    make_champion(registry, refs[0])
    make_champion(registry, refs[1])
    pointer = make_champion(registry, refs[0])
    assert (pointer.champion, pointer.previous, pointer.generation) == (refs[0], refs[1], 3)
    assert [each.generation for each in registry.history()] == [1, 2, 3]
    assert [each.to for each in registry.history()] == [refs[0], refs[1], refs[0]]


def test_a_pointer_of_an_older_release_is_changed_like_any_other(registry, home):
    ref = hollow_version(registry, 1)
    old = home / "models" / "ltr" / "v1"
    registry.folder(ref).rename(old)
    (home / "models" / "active_model.json").write_text('{"name": "ltr", "version": "v1"}')
    pointer = make_champion(registry, SHIPPED_MODEL, "rollback")
    assert (pointer.previous, pointer.generation) == (VersionRef("ltr", "v1"), 1)
    with Store(home / "store.duckdb").reading() as session:
        (change,) = read_transitions(session)
    assert change.before == VersionRef("ltr", "v1")
    assert json.loads((home / "models" / "active_model.json").read_text())["name"] == "ltr"
