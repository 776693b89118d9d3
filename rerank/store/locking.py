"""Wait for others: writers queue at a lock file that says who is in, everybody has a deadline."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from index.errors import StoreBusyError

_POLL_S = 0.05


@contextmanager
def writer_lock(store: Path, wait_s: float) -> Iterator[None]:
    """Hold the lock file beside a store; its content names the holder.

    The kernel frees the lock when its holder ends, however it ends.

    :param wait_s: how long to wait for another holder, in seconds.
    :raises StoreBusyError: if another process still holds it then.
    """
    path = store.with_name(store.name + ".lock")
    with path.open("a+", encoding="utf-8") as file:
        deadline = time.monotonic() + wait_s
        while not _locked(file.fileno()):
            if time.monotonic() >= deadline:
                file.seek(0)
                holder = file.read().strip() or "another process"
                raise StoreBusyError(
                    f"{store}: {holder} is writing to it; try again, or wait for it with "
                    "--wait SECONDS"
                )
            time.sleep(_POLL_S)
        file.truncate(0)
        file.write(f"{Path(sys.argv[0]).name or 'python'} (process {os.getpid()})\n")
        file.flush()
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


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
