"""A full disk or a missing permission is no damaged store: what to say of them instead."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from index.errors import StoreError
from index.file_faults import FORBIDDEN, FULL, READ_ONLY


def disk_fault(path: Path | None, said: str, *, reading: bool = False) -> StoreError | None:
    """Return the error for what the operating system would not do; None if it was not that.

    :param path: the store; None for one in memory, which may spill to the disk.
    :param said: an error's text: DuckDB tells the system's reason in it, and nowhere else.
    """
    where = "" if path is None else f"{path}: "
    for words in _said(FULL, said):
        return StoreError(f"{where}{words}; nothing was written; free some space")
    for words in _said(READ_ONLY, said):
        return StoreError(f"{where}{words}; nothing was written; choose another place with --home")
    for words in _said(FORBIDDEN, said):
        if reading:
            return StoreError(f"{where}you may not read this file ({words}); check its permissions")
        return StoreError(
            f"{where}you may not write this file ({words}); nothing was written; check its "
            "permissions, those of the .lock file beside it and of their folder"
        )
    return None


@contextmanager
def disk_faults_named(store: Path) -> Iterator[None]:
    """Raise as the store's what the system refuses the block to do with files beside it.

    :raises StoreError: if the disk is full or they may not be written.
    """
    try:
        yield
    except OSError as exc:
        fault = disk_fault(store, str(exc))
        if fault is None:
            raise
        raise fault from exc


def _said(faults: dict[int, str], text: str) -> list[str]:
    return [words for code, words in faults.items() if os.strerror(code) in text]
