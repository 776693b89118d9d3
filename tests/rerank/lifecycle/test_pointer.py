"""The pointer: read, replaced in one step, and refused when it is odd."""

from __future__ import annotations

import json
import os
import threading

import pytest

from rerank.index.errors import ArtifactError
from rerank.lifecycle.versions import (
    SHIPPED_MODEL,
    Pointer,
    VersionRef,
    read_pointer,
    replace_pointer,
)

ONE, OTHER = VersionRef("ltr", "1" * 16), VersionRef("pairwise", "2" * 16)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "models" / "active_model.json"


def test_without_a_file_the_shipped_model_is_champion(path):
    assert read_pointer(path) == Pointer(champion=SHIPPED_MODEL, generation=0)


def test_a_pointer_is_read_as_it_was_written(path):
    pointer = Pointer(
        champion=ONE,
        previous=OTHER,
        aliases={"challenger": OTHER, "ltr": ONE},
        generation=12,
        transition={"id": "a", "why": "né"},
        canary={"step": 2, "share": 0.1},
    )
    replace_pointer(path, pointer)
    assert read_pointer(path) == pointer
    assert [each.name for each in path.parent.iterdir()] == ["active_model.json"]


def test_a_file_of_an_older_release_is_read(path):
    path.parent.mkdir()
    path.write_text('{"name": "ltr", "version": "v1"}')
    assert read_pointer(path) == Pointer(champion=VersionRef("ltr", "v1"))


def test_names_of_a_version_begin_with_champion():
    pointer = Pointer(champion=ONE, aliases={"zeta": ONE, "alpha": ONE, "challenger": OTHER})
    assert pointer.names_of(ONE) == ["champion", "alpha", "zeta"]
    assert pointer.named("champion") == ONE
    assert pointer.named("challenger") == OTHER
    assert pointer.named("nobody") is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"name": "ltr"}',
        '{"name": "ltr", "version": 7}',
        '{"name": "ltr", "version": "../../etc"}',
        '{"name": "../ltr", "version": "v1"}',
        '{"name": "ltr", "version": "a\\u0000b"}',
        '{"name": "ltr", "version": "."}',
        '{"name": "index", "version": "v1"}',
        '{"name": "ltr", "version": "v1", "generation": -1}',
        '{"name": "ltr", "version": "v1", "generation": true}',
        '{"name": "ltr", "version": "v1", "generation": 1' + "0" * 30 + "}",
        "[" * 100_000,
        '{"name": "ltr", "version": "v1", "aliases": {"a/b": {"name": "ltr", "version": "v1"}}}',
        '{"name": "ltr", "version": "v1", "aliases": {"a": "v1"}}',
        '{"name": "ltr", "version": "v1", "aliases": ["a"]}',
        '{"name": "ltr", "version": "v1", "previous": "v0"}',
        '{"name": "ltr", "version": "v1", "canary": 3}',
        '{"name": "ltr", "version": "v1", "transition": []}',
    ],
)
def test_a_damaged_pointer_is_an_error_that_names_it_and_a_remedy(path, content):
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(ArtifactError, match=r"active_model\.json: expected JSON with 'name' and"):
        read_pointer(path)


def test_a_reader_never_sees_half_a_pointer_during_200_switches(path):
    """The writer alternates between two pointers whose every part differs."""
    one = Pointer(champion=ONE, aliases={"a": ONE}, transition={"to": "1" * 2000})
    other = Pointer(champion=OTHER, previous=ONE, aliases={}, generation=1, canary={"x": "2" * 99})
    replace_pointer(path, one)
    done = threading.Event()
    seen, odd = set(), []

    def read():
        while not done.is_set():
            found = read_pointer(path)
            seen.add(found.generation)
            if found not in (one, other):
                odd.append(found)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(200):
        replace_pointer(path, other if number % 2 == 0 else one)
    done.set()
    for reader in readers:
        reader.join()
    assert odd == []
    assert seen <= {0, 1}
    assert read_pointer(path) == one


def test_a_pointer_that_cannot_be_written_leaves_the_old_one(path, monkeypatch):
    replace_pointer(path, Pointer(champion=ONE))

    def full(descriptor):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        replace_pointer(path, Pointer(champion=OTHER))
    assert caught.value.filename == str(path)
    assert json.loads(path.read_text())["version"] == ONE.version
    assert [each.name for each in path.parent.iterdir()] == ["active_model.json"]
