"""How much memory processes hold, read from Linux's /proc.

Resident set sizes count pages that processes share in each of them, so that the sum over a tree
of processes is an upper bound of what it takes from the machine.
"""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MIB = 1 << 20


def resident_bytes(pid: int | None = None) -> int:
    """Return the resident set size of a process, this one by default; 0 if it has ended."""
    try:
        text = (_PROC / str(pid or os.getpid()) / "statm").read_text()
    except OSError:
        return 0
    return int(text.split()[1]) * _PAGE_BYTES


def tree_resident_bytes(pid: int) -> int:
    """Return the sum over a process and all that descend from it."""
    return sum(resident_bytes(each) for each in _tree(pid))


def peak_bytes() -> int:
    """Return the greatest resident size of this process since its start or `reset_peak`."""
    for line in (_PROC / "self" / "status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resident_bytes()


def reset_peak() -> None:
    """Let `peak_bytes` begin anew (proc(5): clear_refs, 5)."""
    (_PROC / "self" / "clear_refs").write_text("5")


def _tree(pid: int) -> list[int]:
    found, at = [pid], 0
    while at < len(found):
        for listed in (_PROC / str(found[at]) / "task").glob("*/children"):
            try:
                found += map(int, listed.read_text().split())
            except OSError:  # the thread has ended in between
                continue
        at += 1
    return found
