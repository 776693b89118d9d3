"""Wait for others: writers queue at a lock file that says who is in, everybody has a deadline."""

from __future__ import annotations

import fcntl
import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from index.errors import StoreBusyError
from rerank.store.disk_faults import disk_faults_named

_POLL_S = 0.05


@contextmanager
def writer_lock(store: Path, wait_s: float) -> Iterator[None]:
    """Hold the lock file beside a store; its content names the holder.

    The kernel frees the lock when its holder ends, however it ends.

    :param wait_s: how long to wait for another holder, in seconds.
    :raises StoreBusyError: if another process still holds it then.
    :raises StoreError: if the file may not be written, or the disk is full.
    """
    with _lock_file(store) as file:
        deadline = time.monotonic() + wait_s
        while not _locked(file.fileno()):
            if time.monotonic() >= deadline:
                file.seek(0)
                holder = file.read().decode("utf-8", "replace").strip() or "another process"
                raise StoreBusyError(
                    f"{store}: {holder} is writing to it; try again, or wait for it with "
                    "--wait SECONDS"
                )
            time.sleep(_POLL_S)
        _sign(file, store)
        yield


def patiently(connect: Callable[[], Any], patience_s: float, store: Path) -> Any:
    """Return what ``connect`` returns, trying again while it says that the store is busy.

    :raises StoreBusyError: if it still says so after ``patience_s`` seconds.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return connect()
        except StoreBusyError as exc:
            if time.monotonic() >= deadline:
                raise StoreBusyError(
                    f"{store}: still in use by another process after {patience_s:.0f} s; end it or "
                    "try again"
                ) from exc
            time.sleep(_POLL_S)


def _lock_file(store: Path) -> io.FileIO:
    """Open the lock file, without a buffer: what a full disk does not take is not tried again."""
    with disk_faults_named(store):
        return io.FileIO(store.with_name(store.name + ".lock"), "a+")


def _sign(file: io.FileIO, store: Path) -> None:
    name = Path(sys.argv[0]).name or "python"
    with disk_faults_named(store):
        file.truncate(0)
        file.write(f"{name} (process {os.getpid()})\n".encode("utf-8", "replace"))


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
