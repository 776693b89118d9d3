"""One change of what serves at a time, over all processes of a machine."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from index.errors import RefusedError

LOCK = ".lock"
PATIENCE_S = 30.0  # a change takes milliseconds, and the wait for a busy store in it some seconds
_POLL_S = 0.02


@contextmanager
def change_lock(folder: Path, *, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Hold the lock of a workspace's models; the kernel frees it when its holder ends, however.

    :raises RefusedError: if another process holds it for longer than ``patience_s`` seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as file:
        deadline = time.monotonic() + patience_s
        while not _taken(file.fileno()):
            if time.monotonic() >= deadline:
                raise RefusedError(
                    f"{folder / LOCK}: another process has been changing what serves for "
                    f"{patience_s:g} s; nothing was changed; try again"
                )
            time.sleep(_POLL_S)
        yield


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
