"""Folders that may be written to."""

from __future__ import annotations

import pytest

from rerank.index.artifacts import check_replaceable, write_manifest, writing_folder
from rerank.index.errors import ArtifactError, InputError


def write_artifact(folder, kind):
    with writing_folder(folder) as draft:
        (draft / "weights").write_text("1")
        write_manifest(draft, kind=kind, format_version=1, parameters={})


def test_none_an_empty_one_and_one_of_the_same_kind_may_be_replaced(tmp_path):
    check_replaceable(tmp_path / "none", kind="lamp")
    (tmp_path / "empty").mkdir()
    check_replaceable(tmp_path / "empty", kind="lamp")
    write_artifact(tmp_path / "own", "lamp")
    check_replaceable(tmp_path / "own", kind="lamp")
    (tmp_path / "own" / "weights").write_text("damaged")
    check_replaceable(tmp_path / "own", kind="lamp")


def test_anything_else_is_refused(tmp_path):
    write_artifact(tmp_path / "other", "desk")
    with pytest.raises(InputError, match="of an earlier lamp, found an artifact of kind 'desk'"):
        check_replaceable(tmp_path / "other", kind="lamp")
    (tmp_path / "file").write_text("dear")
    with pytest.raises(ArtifactError, match="expected a folder, found a file"):
        check_replaceable(tmp_path / "file", kind="lamp")


@pytest.mark.parametrize("manifest", [None, "{", "[]", '{"kind": "lamp"}', "[" * 100_000])
def test_a_manifest_of_others_makes_no_artifact_of_ours(tmp_path, manifest):
    (tmp_path / "letter.txt").write_text("dear")
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(InputError, match=r"found 'letter\.txt' in it; choose another place"):
        check_replaceable(tmp_path, kind="lamp")
