"""Worker processes: one function, made once in each of them, applied to a stream in order.

Resolving is bound by the processor and most of it holds Python's lock, so a second core needs a
second process.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import Any, TypeVar

from rerank.index.artifacts import ALLOCATIONS
from rerank.index.errors import InputError, RerankError

Item = TypeVar("Item")
Result = TypeVar("Result")

ONE_THREAD = dict.fromkeys(
    ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"], "1"
)
"""Variables that libraries read when they are loaded; workers of two threads wait in turns."""
_AHEAD = 2  # items handed out for each worker: one in work, one that waits for it
_of_this_process: dict[str, Callable[[Any], Any]] = {}


class WorkerEndedError(RerankError):
    """A worker process ended that should not have.

    :param fault: what is told of it; the message says what to do as well.
    """

    def __init__(self, fault: str) -> None:
        self.fault = fault
        super().__init__(f"{fault}; run again, with fewer workers if it happens again")


def working(
    count: int, make: Callable[[], Callable[[Item], Result]]
) -> AbstractContextManager[Callable[[Iterable[Item]], Iterator[tuple[Item, Result]]]]:
    """Return a context that applies a function to a stream of items in ``count`` processes.

    What it gives takes the items and yields (item, result) pairs in their order; it reads a few
    items ahead, not all. With one worker the function runs in this process.

    :param count: of worker processes, at least 1.
    :param make: makes the function; a module's function or a `functools.partial` of one, since it
        is sent to the processes. It runs once in each, at once. Items and results are sent as
        well.
    :raises InputError: if ``count`` is below 1.
    :raises WorkerEndedError: while items are taken, if a worker ends unexpectedly; what the
        function raises is raised here too, at the place of its item.
    """
    if count < 1:
        raise InputError(f"expected at least 1 worker, got {count}")
    return _here(make) if count == 1 else _in_processes(count, make)


@contextmanager
def _here(
    make: Callable[[], Callable[[Item], Result]],
) -> Iterator[Callable[[Iterable[Item]], Iterator[tuple[Item, Result]]]]:
    function = make()
    yield lambda items: ((item, function(item)) for item in items)


@contextmanager
def _in_processes(
    count: int, make: Callable[[], Callable[[Item], Result]]
) -> Iterator[Callable[[Iterable[Item]], Iterator[tuple[Item, Result]]]]:
    workers: list[_Worker] = []

    def apply(items: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
        waiting: deque[tuple[Item, Future[Result]]] = deque()
        try:
            for item in items:
                least_busy = min(workers, key=_Worker.n_unfinished)
                waiting.append((item, least_busy.submit(item)))
                if len(waiting) > _AHEAD * count:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        except BrokenProcessPool as exc:
            raise WorkerEndedError(
                f"one of {count} worker processes ended unexpectedly, perhaps for want of memory"
            ) from exc
        finally:
            for _, future in waiting:
                future.cancel()

    try:
        for _ in range(count):
            workers.append(_Worker(make))
        yield apply
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    """One process, in a pool of its own: in Python 3.11 one for several processes may wait forever
    if one of them ends while the next one starts.

    :param make: makes the function; the process begins with it at once, its faults come later.
    """

    def __init__(self, make: Callable[[], Callable[[Any], Any]]) -> None:
        self._make = make
        self._unfinished: list[Future[Any]] = []
        self._pool = ProcessPoolExecutor(
            1, mp_context=multiprocessing.get_context("spawn"), initializer=_become_worker
        )
        with _environment(ONE_THREAD):
            self._pool.submit(_prepare, make)

    def n_unfinished(self) -> int:
        self._unfinished = [future for future in self._unfinished if not future.done()]
        return len(self._unfinished)

    def submit(self, item: Item) -> Future[Any]:
        future = self._pool.submit(_apply, self._make, item)
        self._unfinished.append(future)
        return future

    def end(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def _apply(make: Callable[[], Callable[[Item], Result]], item: Item) -> Result:
    return _own_function(make)(item)


def _prepare(make: Callable[[], Callable[[Item], Result]]) -> None:
    _own_function(make)  # itself it cannot be sent


def _own_function(make: Callable[[], Callable[[Item], Result]]) -> Callable[[Item], Result]:
    """Return this process's function, made once; a pool serves one, so there is one to keep."""
    if "function" not in _of_this_process:
        gc.set_threshold(ALLOCATIONS)
        _of_this_process["function"] = make()
        gc.freeze()  # what was loaded stays: the collector need not walk it again and again
    return _of_this_process["function"]


def _become_worker() -> None:
    """Leave Ctrl-C to the parent, and end when it does, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.meta_path.insert(0, _WithoutPandas())


class _WithoutPandas(MetaPathFinder):
    """Hides pandas: pyarrow asks of its first array whether it is one of pandas'.

    To import it for that takes a third of a second and 40 MB in each process; nothing here uses it.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        """Find nothing.

        :raises ModuleNotFoundError: for pandas.
        """
        if fullname == "pandas":
            raise ModuleNotFoundError("No module named 'pandas' in workers", name=fullname)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set variables for processes that start inside of the block; what is set already stays."""
    missing = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            del os.environ[name]
