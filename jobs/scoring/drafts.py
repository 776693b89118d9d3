"""Write a file that appears complete or not at all.

A draft is a hidden sibling of its target: flushed to disk, then renamed, then its folder flushed.
On this machine it is locked while it is written, so that what a killed run left is told from what
another run is writing. Object stores show nothing of an upload that was not finished.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from index.artifacts import sync_folder
from index.errors import InputError
from jobs.places import Place

_ENDING = ".scoring"


class Draft:
    """A file that is being written; ``sink`` takes its bytes."""

    def __init__(self, target: Place) -> None:
        self._target = target
        target.make_parent()
        self._place = target.sibling(f".{target.name}.{secrets.token_hex(4)}{_ENDING}")
        self._lock = None if self._place.local is None else _locked(self._place.local)
        self.sink: Any = None
        try:
            self.sink = self._place.filesystem.open_output_stream(self._place.path)
        except BaseException:
            self.discard()
            raise

    def finish(self) -> None:
        """Put all bytes on disk; the target is not touched yet."""
        self.sink.close()
        if self._lock is not None:
            os.fsync(self._lock)

    def publish(self) -> None:
        """Rename the finished draft to its target."""
        if self._place.local is None or self._target.local is None:
            self._place.filesystem.move(self._place.path, self._target.path)
        else:
            os.replace(self._place.local, self._target.local)
            sync_folder(self._target.local.parent)

    def discard(self) -> None:
        """Remove what was not published, and let go."""
        with suppress(OSError, pa.ArrowException):
            if self.sink is not None:
                self.sink.close()
        with suppress(OSError, pa.ArrowException):
            self._place.filesystem.delete_file(self._place.path)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


@contextmanager
def drafting(target: Place) -> Iterator[Draft]:
    """Yield a draft, to be finished and published; otherwise it is gone when the block ends."""
    draft = Draft(target)
    try:
        yield draft
    finally:
        draft.discard()


@contextmanager
def exclusive(folder: Place) -> Iterator[None]:
    """Let one run at a time write to a folder of this machine.

    :raises InputError: if another run is writing to it.
    """
    if folder.local is None:
        yield
        return
    folder.local.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder.local, os.O_RDONLY)
    try:
        if not _lock(handle):
            raise InputError(f"{folder}: another run is scoring into it; wait until it has ended")
        yield
    finally:
        os.close(handle)


def remove_left_overs(target: Place) -> None:
    """Remove the drafts of a target that killed runs left; none that is being written."""
    if target.local is None or not target.local.parent.is_dir():
        return
    with os.scandir(target.local.parent) as entries:
        names = [
            entry.path
            for entry in entries
            if entry.name.startswith(f".{target.name}.") and entry.name.endswith(_ENDING)
        ]
    for name in names:
        with suppress(FileNotFoundError):
            handle = os.open(name, os.O_RDONLY)
            try:
                if _lock(handle):
                    os.unlink(name)
            finally:
                os.close(handle)


def _locked(path: Path) -> int:
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
    _lock(handle)
    return handle


def _lock(handle: int) -> bool:
    """Lock an open file or folder until it is closed; return whether nobody else has."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
