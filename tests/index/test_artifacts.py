"""Artifact folders: verified on load, replaced whole or not at all."""

from __future__ import annotations

import errno
import gc
import itertools
import json
import os
import random
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from processes import forked_until_told, status_of

from rerank.index.artifacts import (
    ALLOCATIONS,
    MANIFEST,
    _exchange,
    collecting_seldom,
    locked,
    read_manifest,
    scratch_in,
    write_manifest,
    writing_file,
    writing_folder,
)
from rerank.index.errors import ArtifactError, RerankWarning

REMEDY = "rerank make-it"


def write(folder: Path, text: str = "old", **parameters: Any) -> str:
    with writing_folder(folder) as draft:
        (draft / "part").mkdir()
        (draft / "part" / "a.txt").write_text(text)
        (draft / "b.bin").write_bytes(b"\0\1\2")
        return write_manifest(
            draft,
            kind="toy",
            format_version=3,
            parameters=parameters,
            libraries=("numpy", "absent"),
        ).fingerprint


def read(folder: Path) -> Any:
    return read_manifest(folder, kind="toy", format_version=3, remedy=REMEDY)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- the manifest ---


def test_a_manifest_says_what_is_in_the_folder(tmp_path: Path) -> None:
    fingerprint = write(tmp_path / "x", seed=7, names=["a", "b"])
    manifest = read(tmp_path / "x")
    assert (manifest.kind, manifest.format_version) == ("toy", 3)
    assert manifest.parameters == {"seed": 7, "names": ["a", "b"]}
    assert sorted(manifest.files) == ["b.bin", "part/a.txt"]
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in manifest.files.values())
    assert manifest.fingerprint == fingerprint
    assert re.fullmatch(r"[0-9a-f]{16}", fingerprint)
    assert manifest.libraries["absent"] == "not installed"
    assert manifest.libraries["numpy"][0].isdigit()
    assert manifest.libraries["python"].startswith(f"3.{sys.version_info.minor}.")


def test_the_seconds_it_took_are_no_part_of_the_identity(tmp_path: Path) -> None:
    found = []
    for name, seconds in (("a", 12.34), ("b", 99.0), ("c", None)):
        with writing_folder(tmp_path / name) as draft:
            (draft / "x").write_text("same")
            write_manifest(draft, kind="toy", format_version=3, parameters={}, seconds=seconds)
        found.append(read_manifest(tmp_path / name, kind="toy", format_version=3, remedy=REMEDY))
    assert [manifest.seconds for manifest in found] == [12.3, 99.0, None]
    assert len({manifest.fingerprint for manifest in found}) == 1
    assert "seconds" not in json.loads((tmp_path / "c" / MANIFEST).read_text())
    content = json.loads((tmp_path / "a" / MANIFEST).read_text())
    (tmp_path / "a" / MANIFEST).write_text(json.dumps({**content, "seconds": "long"}))
    with pytest.raises(ArtifactError, match="seconds: expected a number, found 'long'"):
        read_manifest(tmp_path / "a", kind="toy", format_version=3, remedy=REMEDY)


def test_the_fingerprint_follows_files_and_parameters(tmp_path: Path) -> None:
    first = write(tmp_path / "a", seed=1)
    assert write(tmp_path / "b", seed=1) == first
    assert write(tmp_path / "c", seed=2) != first
    assert write(tmp_path / "d", "other", seed=1) != first


def no_folder(folder: Path) -> None:
    (folder / "part" / "a.txt").unlink()
    (folder / "part").rmdir()
    (folder / "b.bin").unlink()
    (folder / MANIFEST).unlink()
    folder.rmdir()


def change(path: str, content: bytes) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / path).write_bytes(content)

    return apply


def edit(**changes: Any) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        content = json.loads((folder / MANIFEST).read_text())
        (folder / MANIFEST).write_text(json.dumps({**content, **changes}))

    return apply


DAMAGE: list[tuple[str, Callable[[Path], None], str]] = [
    ("no folder", no_folder, "x: no toy here; make one with `rerank make-it`"),
    ("no manifest", lambda f: (f / MANIFEST).unlink(), "expected manifest.json, found none"),
    ("empty manifest", change(MANIFEST, b""), "unreadable manifest"),
    ("binary manifest", change(MANIFEST, b"\xff\xfe"), "unreadable manifest"),
    ("half a manifest", change(MANIFEST, b'{"kind": "toy", "fi'), "unreadable manifest"),
    ("a list", change(MANIFEST, b"[1, 2]"), "unreadable manifest"),
    ("a field too many", edit(colour="red"), "unreadable manifest"),
    ("another kind", edit(kind="index"), "expected a toy, found a index"),
    ("another format", edit(format_version=4), "expected format 3, found 4"),
    ("no files", edit(files=None), "unreadable manifest (files: expected dict, found None)"),
    ("a list of files", edit(files=["a"]), "files: expected dict, found ['a'])"),
    ("a digest that is none", edit(files={"b.bin": 3}), "files: b.bin: expected str, found 3"),
    ("no parameters", edit(parameters=None), "parameters: expected dict, found None"),
    ("a format in words", edit(format_version="three"), "format_version: expected int, found 'th"),
    ("changed parameters", edit(parameters={"seed": 8}), "damaged: expected fingerprint"),
    ("a forgotten file", edit(files={}), "damaged: expected fingerprint"),
    ("a changed file", change("part/a.txt", b"olk"), "a.txt: damaged: expected sha256"),
    ("a cut file", change("b.bin", b"\0\1"), "b.bin: damaged: expected sha256"),
    ("a lost file", lambda f: (f / "b.bin").unlink(), "b.bin: missing from this toy"),
]


@pytest.mark.parametrize(
    ("damage", "message"), [row[1:] for row in DAMAGE], ids=[row[0] for row in DAMAGE]
)
def test_damage_is_found_named_and_has_a_remedy(
    tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    write(tmp_path / "x")
    damage(tmp_path / "x")
    with pytest.raises(ArtifactError, match=re.escape(message)) as caught:
        read(tmp_path / "x")
    assert str(tmp_path / "x") in str(caught.value)
    assert f"`{REMEDY}`" in str(caught.value)


# --- writing ---


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    write(tmp_path / "x", "old")
    (tmp_path / "x" / "stray").write_text("left by someone")
    write(tmp_path / "x", "new")
    assert (tmp_path / "x" / "part" / "a.txt").read_text() == "new"
    assert names(tmp_path / "x") == ["b.bin", MANIFEST, "part"]
    assert names(tmp_path) == ["x"]


def test_parents_are_made(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b" / "x")
    assert read(tmp_path / "a" / "b" / "x").kind == "toy"


def test_overwriting_can_be_refused(tmp_path: Path) -> None:
    write(tmp_path / "x", "old")
    with (
        pytest.raises(ArtifactError, match=r"x exists already; remove it or choose another place"),
        writing_folder(tmp_path / "x", overwrite=False),
    ):
        pytest.fail("the block must not run")
    assert (tmp_path / "x" / "part" / "a.txt").read_text() == "old"
    with writing_folder(tmp_path / "y", overwrite=False) as draft:
        (draft / "f").write_text("f")
    assert names(tmp_path) == ["x", "y"]


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_exception_while_writing_leaves_the_old_folder(
    tmp_path: Path, stop: type[BaseException]
) -> None:
    write(tmp_path / "x", "old")

    def interrupted() -> None:
        with writing_folder(tmp_path / "x") as draft:
            (draft / "part").mkdir()
            (draft / "part" / "a.txt").write_text("new")
            raise stop("stopped here")

    with pytest.raises(stop, match="stopped here"):
        interrupted()
    assert (tmp_path / "x" / "part" / "a.txt").read_text() == "old"
    assert read(tmp_path / "x").kind == "toy"
    assert names(tmp_path) == ["x"]


def test_an_exception_while_writing_a_first_folder_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with writing_folder(tmp_path / "x") as draft:
            (draft / "a.txt").write_text("new")
            raise RuntimeError("stopped here")

    with pytest.raises(RuntimeError, match="stopped here"):
        interrupted()
    assert names(tmp_path) == []


def failing_rename(monkeypatch: pytest.MonkeyPatch, call: int, error: BaseException) -> None:
    """Let the given call of os.rename (from 1) fail, and all others work."""
    real, calls = os.rename, iter(range(1, 100))

    def rename(source: Path, target: Path) -> None:
        if next(calls) == call:
            raise error
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)


@pytest.fixture(params=["exchange", "renames"])
def replacing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to replace a folder: in one step, and where the file system has no such step."""
    if request.param == "renames":
        monkeypatch.setattr("rerank.index.artifacts._exchange", lambda one, other: False)
    return str(request.param)


@pytest.mark.usefixtures("replacing")
def test_a_folder_is_replaced_either_way(tmp_path: Path) -> None:
    for text in ("old", "new", "newest"):
        write(tmp_path / "x", text)
        assert (tmp_path / "x" / "part" / "a.txt").read_text() == text
        assert names(tmp_path) == ["x"]


def test_this_file_system_exchanges(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "file").touch()
    assert _exchange(tmp_path / "a", tmp_path / "b")
    assert (names(tmp_path / "a"), names(tmp_path / "b")) == ([], ["file"])
    with pytest.raises(FileNotFoundError, match="absent"):
        _exchange(tmp_path / "a", tmp_path / "absent")


@pytest.mark.parametrize(
    ("library", "code"),
    [
        (SimpleNamespace(), 0),  # no such call: macOS, an old C library
        (SimpleNamespace(renameat2=lambda *names: -1), errno.EINVAL),  # NFS
        (SimpleNamespace(renameat2=lambda *names: -1), errno.EACCES),
    ],
)
def test_what_cannot_exchange_says_so_and_what_must_not_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: SimpleNamespace, code: int
) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda *name, **how: library)
    monkeypatch.setattr("ctypes.get_errno", lambda: code)
    if code == errno.EACCES:
        with pytest.raises(PermissionError, match="b"):
            _exchange(tmp_path / "a", tmp_path / "b")
    else:
        assert _exchange(tmp_path / "a", tmp_path / "b") is False


def test_garbage_is_looked_for_seldom_and_then_as_before() -> None:
    before = gc.get_threshold()
    with collecting_seldom():
        assert gc.get_threshold()[0] == ALLOCATIONS > before[0]
    assert gc.get_threshold() == before


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("call", [1, 2])
def test_a_failing_rename_leaves_the_old_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int, error: type[BaseException]
) -> None:
    write(tmp_path / "x", "old")
    monkeypatch.setattr("rerank.index.artifacts._exchange", lambda one, other: False)
    failing_rename(monkeypatch, call, error("disk on fire"))
    with pytest.raises(error, match="disk on fire"):
        write(tmp_path / "x", "new")
    assert (tmp_path / "x" / "part" / "a.txt").read_text() == "old"
    assert read(tmp_path / "x").kind == "toy"
    assert names(tmp_path) == ["x"]


def test_an_exchange_that_fails_leaves_the_old_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(one: Path, other: Path) -> bool:
        raise OSError("disk on fire")

    write(tmp_path / "x", "old")
    monkeypatch.setattr("rerank.index.artifacts._exchange", broken)
    with pytest.raises(OSError, match="disk on fire"):
        write(tmp_path / "x", "new")
    assert read(tmp_path / "x").kind == "toy"
    assert names(tmp_path) == ["x"]


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("precious")
    with pytest.raises(ArtifactError, match="x: expected a folder, found a file; remove it"):
        write(tmp_path / "x")
    assert (tmp_path / "x").read_text() == "precious"


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    write(tmp_path / "real", "old")
    (tmp_path / "x").symlink_to(tmp_path / "real")
    write(tmp_path / "x", "new")
    assert (tmp_path / "x").is_symlink()
    assert (tmp_path / "real" / "part" / "a.txt").read_text() == "new"
    assert names(tmp_path) == ["real", "x"]


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "report.json"
    with writing_file(target) as draft:
        assert draft.suffix == ".json"
        draft.write_text("old")
    assert target.read_text() == "old"
    assert stat.S_IMODE(target.stat().st_mode) == 0o644

    def interrupted() -> None:
        with writing_file(target) as draft:
            draft.write_text("half")
            raise KeyboardInterrupt("stopped here")

    with pytest.raises(KeyboardInterrupt, match="stopped here"):
        interrupted()
    assert target.read_text() == "old"
    assert names(tmp_path / "deep") == ["report.json"]


@pytest.mark.parametrize("mask", [0o022, 0o027])
def test_folders_and_files_have_ordinary_modes(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        with writing_folder(tmp_path / "x") as draft:
            (draft / "part").mkdir()
            (draft / "part" / "a.txt").touch(mode=0o600)
            write_manifest(draft, kind="toy", format_version=3, parameters={})
        with writing_file(tmp_path / "report.json") as path:
            path.write_text("{}")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    folder, file = 0o777 & ~mask, 0o666 & ~mask
    assert modes == {
        "x": folder,
        "part": folder,
        "a.txt": file,
        MANIFEST: file,
        "report.json": file,
    }


def test_parameters_are_returned_as_they_are_read(tmp_path: Path) -> None:
    with writing_folder(tmp_path / "x") as draft:
        parameters = {"10": 1, "shape": (1, 2), "nested": {2: "b", 10: "a"}}
        made = write_manifest(draft, kind="toy", format_version=3, parameters=parameters)
    assert read(tmp_path / "x") == made


def replace_forever(folder: Path, told: Connection) -> None:
    for number in itertools.count():
        with writing_folder(folder) as draft:
            for part in range(20):
                (draft / f"{part}.txt").write_text(str(number))
            write_manifest(draft, kind="toy", format_version=3, parameters={"number": number})
        if number == 0:
            told.send("started")


@pytest.mark.slow
def test_a_killed_writer_leaves_a_whole_folder(tmp_path: Path) -> None:
    """Kill -9 at 30 random moments; meanwhile a reader never finds the folder gone."""
    folder, rng = tmp_path / "x", random.Random(7)
    reached = set()
    for _ in range(30):
        writer = forked_until_told(replace_forever, folder)
        until = time.monotonic() + rng.uniform(0.0, 0.1)
        while time.monotonic() < until:
            assert folder.is_dir()
        writer.kill()
        assert status_of(writer) == -signal.SIGKILL
        number = read(folder).parameters["number"]
        assert {path.read_text() for path in folder.glob("*.txt")} == {str(number)}
        assert len(list(folder.iterdir())) == 21
        reached.add(number)
    assert len(reached) > 1
    write(folder, "after all")
    assert read(folder).parameters == {}


HOLDS_THE_LOCK = """
import sys
from pathlib import Path
from rerank.index.artifacts import locked
with locked(Path(sys.argv[1]), RuntimeError):
    print("in", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("is_folder", [True, False], ids=["folder", "file"])
def test_a_lock_has_one_holder_and_ends_with_it(tmp_path: Path, is_folder: bool) -> None:
    path = tmp_path if is_folder else tmp_path / "some.lock"
    command = [sys.executable, "-c", HOLDS_THE_LOCK, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as holder:  # type: ignore[call-overload]
        assert holder.stdout.readline() == b"in\n"
        with pytest.raises(KeyError, match="held"), locked(path, lambda: KeyError("held")):
            pass
        holder.kill()
    with locked(path, lambda: KeyError("held"), wait_s=60):
        with pytest.raises(KeyError, match="again"), locked(path, lambda: KeyError("again")):
            pass
    with locked(path, lambda: KeyError("held")):
        pass


def test_what_a_killed_run_left_is_removed_and_what_is_held_is_not(tmp_path: Path) -> None:
    with scratch_in(tmp_path) as held:
        left = tmp_path / ".k1.scratch"
        left.mkdir()
        (left / "model.txt").write_text("half", encoding="utf-8")
        for folder in (held, left):
            os.utime(folder, (0, 0))
        new = tmp_path / ".k2.scratch"
        new.mkdir()  # another run is about to hold it
        other = scratch_in(tmp_path)
        with pytest.warns(RerankWarning, match="removed a half-made folder that a run left"):
            other.__enter__()
        assert not left.exists()
        assert held.is_dir()
        other.__exit__(None, None, None)
    assert sorted(tmp_path.iterdir()) == [new]
