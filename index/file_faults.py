"""What is wrong with a file, in words: a full disk, no permission, text that is no UTF-8."""

from __future__ import annotations

import errno
import os
from pathlib import Path

FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up"}
FORBIDDEN = {errno.EACCES: "permission denied", errno.EPERM: "operation not permitted"}
READ_ONLY = {errno.EROFS: "the file system is read-only"}
_FAULTS = {
    **{code: (words, "free some space and run it again") for code, words in FULL.items()},
    **{code: (words, "check who may use it and its folder") for code, words in FORBIDDEN.items()},
    **{code: (words, "choose another place") for code, words in READ_ONLY.items()},
    errno.ENOENT: ("there is no such file or folder", "check the path"),
    errno.ENOTDIR: ("a part of the path is no folder", "check the path"),
    errno.EISDIR: ("expected a file, found a folder", "check the path"),
    errno.EEXIST: ("something of this name is in the way", "choose another name"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter one"),
    errno.EMFILE: ("too many files are open", "raise the limit that `ulimit -n` shows"),
    errno.EIO: ("the disk reports an error", "check the disk"),
}


def os_error_text(exc: OSError) -> str:
    """Return an error of the operating system as one line: the path, what is wrong, what to do."""
    if exc.errno is None:
        return str(exc)
    where = "" if exc.filename is None else f"{exc.filename}: "
    words, remedy = _FAULTS.get(exc.errno, (os.strerror(exc.errno), "check the path and the disk"))
    return f"{where}{words}; {remedy}"


def not_utf8_text(path: Path) -> str:
    """Return where a file that is no UTF-8 is so first: its path, the line and the byte."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as exc:
                return f"{path}: line {number}: {undecodable(exc)}"
    return f"{path}: expected UTF-8 text; save the file as UTF-8"


def undecodable(exc: UnicodeDecodeError) -> str:
    """Return what stands in the place of UTF-8."""
    return f"expected UTF-8 text, found {exc.object[exc.start]:#04x}; save the file as UTF-8"
