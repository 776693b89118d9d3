"""What is said of files: where text is no UTF-8, and what the system refuses."""

from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path

import pytest

from rerank.index.artifacts import writing_file, writing_folder
from rerank.index.errors import FaultsError, not_utf8_text, os_error_text


def test_the_first_line_that_is_no_utf8_is_named_with_its_byte(tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_bytes("a,Ünïted\n".encode() * 20_000 + b"b,caf\xe9\nc,\xff\n")
    assert not_utf8_text(path) == (
        f"{path}: line 20001: expected UTF-8 text, found 0xe9; save the file as UTF-8"
    )


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (errno.ENOSPC, "x.csv: the disk is full; free some space and run it again"),
        (errno.EACCES, "x.csv: permission denied; check who may use it and its folder"),
        (errno.EROFS, "x.csv: the file system is read-only; choose another place"),
        (errno.ENOENT, "x.csv: there is no such file or folder; check the path"),
        (errno.EXDEV, f"x.csv: {os.strerror(errno.EXDEV)}; check the path and the disk"),
    ],
)
def test_an_error_of_the_system_is_one_line_with_the_path_and_what_to_do(code: int, told: str):
    assert os_error_text(OSError(code, os.strerror(code), "x.csv")) == told


def test_an_error_without_a_path_or_a_number_says_what_there_is():
    full = OSError(errno.ENOSPC, "No space left on device")
    assert os_error_text(full) == "the disk is full; free some space and run it again"
    assert os_error_text(OSError("the terminal is gone")) == "the terminal is gone"


def test_errors_name_the_file_that_was_asked_for_and_not_its_draft(tmp_path: Path):
    target = tmp_path / "out.csv"

    def write(filename: str | None, code: int = errno.ENOSPC) -> None:
        with writing_file(target) as draft:
            raise OSError(code, "no", str(draft) if filename == "draft" else filename)

    for filename in (None, "draft"):
        with pytest.raises(OSError, match=r"No space left on device: '.*/out.csv'"):
            write(filename)
    with pytest.raises(OSError, match=r"no: 'other.csv'"):
        write("other.csv")
    with pytest.raises(PermissionError, match=r"Permission denied: '.*/out.csv'"):
        write("draft", errno.EACCES)
    assert list(tmp_path.iterdir()) == []


def test_errors_name_the_folder_that_was_asked_for_and_not_its_draft(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"No such file or directory: '.*/model'"):
        with writing_folder(tmp_path / "model") as draft:
            (draft / "absent" / "x").write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_faults_come_out_of_another_process_as_they_are():
    error = FaultsError("x.csv", [f"line {number}: no title" for number in range(30)])
    found = pickle.loads(pickle.dumps(error))
    assert (type(found), str(found), found.faults) == (FaultsError, str(error), error.faults)
