"""A disk that fails on demand: every call that changes a folder is counted, and one of them fails.

What Python calls is caught where it calls it: opening to write, writing, flushing to disk,
renaming, linking, removing, locking, and the commit of a DuckDB transaction. DuckDB's own writes
between commits, and those of C++ libraries into a draft, are not seen one by one: a draft's
appearance, its flush and its rename are.

A disk is put under a process that ends soon: nothing is put back.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

KILLED = 137


class Fault(Enum):
    """How a call fails.

    Python repeats a call that a signal interrupted (PEP 475), so what a program sees of EINTR is
    what its handler of the signal raises: Ctrl-C.
    """

    EIO = "input/output error"
    ENOSPC = "disk full"
    SIGINT = "Ctrl-C"
    KILL = "killed"
    LOST = "power cut: what was not flushed is gone"


@dataclass
class Disk:
    """Counts the changes below a folder; the ``at``-th, from 1, meets the fault.

    :param spare: a folder of the same file system, for what a power cut brings back.
    """

    root: Path
    spare: Path
    at: int = 0
    fault: Fault = Fault.KILL
    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._prefix = str(self.root.resolve())
        self._unsynced: dict[str, int] = {}  # length of a file when it was flushed last
        self._renames: dict[str, list[Callable[[], None]]] = {}  # by folder, undone last first
        self._owner = os.getpid()

    def mine(self, path: Any) -> str | None:
        """Return a path below the folder as an absolute one; None for any other."""
        if isinstance(path, int):
            try:
                path = os.readlink(f"/proc/self/fd/{path}")
            except OSError:
                return None
        text = os.path.join(os.getcwd(), os.fsdecode(path))
        text = os.path.join(os.path.realpath(os.path.dirname(text)), os.path.basename(text))
        return text if text.startswith(self._prefix) else None

    def meet(self, call: str, path: str) -> None:
        """Count a call that is about to be made, and fail if it is the one."""
        if os.getpid() != self._owner:
            return
        self.calls.append(f"{call} {path.removeprefix(self._prefix + '/')}")
        if len(self.calls) != self.at:
            return
        if self.fault is Fault.SIGINT:
            os.kill(os.getpid(), signal.SIGINT)  # reaches the main thread, whoever called
            return
        if self.fault in (Fault.KILL, Fault.LOST):
            if self.fault is Fault.LOST:
                self._lose()
            os._exit(KILLED)
        code = errno.EIO if self.fault is Fault.EIO else errno.ENOSPC
        if call == "commit":
            import duckdb

            raise duckdb.IOException(f'Could not write file "{path}": {os.strerror(code)}')
        raise OSError(code, os.strerror(code), path)

    def written(self, path: str) -> None:
        """Remember that a file has bytes that are not on disk yet."""
        if path not in self._unsynced:
            self._unsynced[path] = 0

    def synced(self, path: str) -> None:
        """A file, or the names in a folder, are on disk."""
        self._unsynced.pop(path, None)
        self._renames.pop(path, None)

    def renamed(self, source: str, target: str, undo: Callable[[], None]) -> None:
        """A name changed; until its folder is flushed a power cut takes that back."""
        for path in [path for path in self._unsynced if (path + "/").startswith(source + "/")]:
            self._unsynced[target + path[len(source) :]] = self._unsynced.pop(path)
        self._renames.setdefault(os.path.dirname(target), []).append(undo)

    def kept(self, path: str) -> str | None:
        """Keep what a rename is about to replace; return where."""
        if not os.path.lexists(path):
            return None
        place = str(self.spare / f"{len(self.calls)}-{os.path.basename(path)}")
        _LINK(path, place)
        return place

    def _lose(self) -> None:
        for path, length in self._unsynced.items():
            if os.path.isfile(path):
                _TRUNCATE(path, min(length, os.path.getsize(path)))
        for undoing in self._renames.values():
            for undo in reversed(undoing):
                undo()


_LINK, _RENAME, _TRUNCATE = os.link, os.rename, os.truncate
_OPEN, _OS_OPEN = io.open, os.open
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def put_under(disk: Disk) -> None:
    """Let this process's changes go through a disk from now on."""
    _open_through(disk)
    _change_through(disk)
    _products_calls_through(disk)


def _open_through(disk: Disk) -> None:
    class Raw(io.FileIO):
        def write(self, data: Any) -> int:
            path = disk.mine(self.fileno())
            if path is not None:
                disk.meet("write", path)
                disk.written(path)
            return super().write(data)

    def opened(
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        path = None if set("wax+").isdisjoint(mode) else disk.mine(file)
        if path is None or buffering == 0:
            return _OPEN(file, mode, buffering, encoding, errors, newline, closefd, opener)
        if not isinstance(file, int):
            disk.meet("open", path)
        raw = Raw(file, mode.replace("b", "").replace("t", ""), closefd, opener)
        binary = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        if "b" in mode:
            return binary
        return io.TextIOWrapper(binary, encoding or "utf-8", errors, newline)

    def os_opened(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        place = disk.mine(path) if flags & _WRITES and dir_fd is None else None
        if place is not None and not stat.S_ISDIR(_mode(place)):
            disk.meet("open", place)
        return _OS_OPEN(path, flags, mode, dir_fd=dir_fd)

    io.open = builtins.open = opened  # type: ignore[assignment]
    os.open = os_opened  # type: ignore[assignment]


def _mode(path: str) -> int:
    try:
        return os.stat(path).st_mode
    except OSError:
        return 0


_CHANGES = ("fsync", "write", "sendfile", "unlink", "remove", "rmdir", "mkdir", "ftruncate", "link")


def _change_through(disk: Disk) -> None:
    for name in _CHANGES:
        setattr(os, name, _counted(disk, name, getattr(os, name)))
    for name in ("rename", "replace"):
        setattr(os, name, _renaming(disk, name))


def _counted(disk: Disk, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def through(*given: Any, dir_fd: int | None = None, **more: Any) -> Any:
        changed = given[1] if name == "link" else given[0]
        place = disk.mine(changed if dir_fd is None else dir_fd)
        if place is not None:
            disk.meet(name, place)
        found = call(*given, **more) if dir_fd is None else call(*given, dir_fd=dir_fd, **more)
        if place is not None and name == "fsync":
            disk.synced(place)
        elif place is not None and name in ("write", "sendfile"):
            disk.written(place)
        return found

    return through


def _renaming(disk: Disk, name: str) -> Callable[..., None]:
    def through(source: Any, target: Any, **more: Any) -> None:
        old, new = disk.mine(source), disk.mine(target)
        if old is None or new is None:
            _RENAME(source, target, **more)
            return
        disk.meet(name, new)
        kept = None if os.path.isdir(new) else disk.kept(new)
        _RENAME(source, target, **more)

        def undo() -> None:
            _RENAME(new, old)
            if kept is not None:
                _RENAME(kept, new)

        disk.renamed(old, new, undo)

    return through


def _products_calls_through(disk: Disk) -> None:
    import filelock

    from rerank.index import artifacts
    from rerank.jobs.scoring import one_file
    from rerank.store.database import Session

    exchange, lock = artifacts._exchange, filelock.lock_descriptor
    execute, open_draft = Session.execute, one_file.Draft.open

    def exchanged(one: Path, other: Path) -> bool:
        disk.meet("exchange", str(other))
        done = exchange(one, other)
        disk.renamed(str(one), str(other), lambda: exchange(one, other) and None)
        return done

    def locked(descriptor: int, **more: Any) -> Any:
        place = disk.mine(descriptor)
        if place is not None:
            disk.meet("lock", place)
        return lock(descriptor, **more)

    def executed(session: Session, step: str, sql: str, *values: Any) -> Any:
        if sql != "COMMIT":
            return execute(session, step, sql, *values)
        path = str(session._path)
        with session._named(step, sql):
            disk.meet("commit", path)
        found = execute(session, step, sql, *values)
        if disk.fault in (Fault.KILL, Fault.LOST):
            disk.meet("committed", path)
        return found

    class Sink:
        """An Arrow stream into a draft whose calls are counted."""

        def __init__(self, stream: Any, path: str) -> None:
            self._stream, self._path = stream, path

        def __getattr__(self, name: str) -> Any:
            return getattr(self._stream, name)

        def write(self, data: Any) -> Any:
            disk.meet("write", self._path)
            disk.written(self._path)
            return self._stream.write(data)

    def opened(draft: one_file.Draft) -> None:
        open_draft(draft)
        if draft._place.local is not None and (path := disk.mine(draft._place.local)):
            draft.sink = Sink(draft.sink, path)

    artifacts._exchange = exchanged
    filelock.lock_descriptor = locked  # type: ignore[assignment]
    Session.execute = executed  # type: ignore[method-assign]
    one_file.Draft.open = opened  # type: ignore[method-assign]
