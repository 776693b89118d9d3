"""A lock on the journal of a search that ends with the process which holds it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class JournalLock:
    """Locks a file for writers, for Optuna's journal (its ``BaseJournalFileLock``).

    Optuna's own is a file beside the journal. Of a killed run that stays, and the next run waits
    for it without end; this one the kernel lets go.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Wait until no other process writes; the journal must be there."""
        self._descriptor = os.open(self._journal, os.O_RDWR)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        """Let other processes write."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
