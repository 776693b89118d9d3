"""Worker processes: one function, made once in each of them, applied to a stream in order.

Resolving is bound by the processor and most of it holds Python's lock, so a second core needs a
second process.
"""

from __future__ import annotations

import gc
import io
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from importlib.abc import MetaPathFinder
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from queue import SimpleQueue
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
_SHARE = sys.platform == "linux"
"""Whether workers are forked off the first of them, once it is loaded: start-up and memory for one.

Nothing of what it loaded has worked by then, so that there are no threads to be missed. On macOS
system libraries may not be forked, on Windows nothing may.
"""


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
        is sent to the processes. It begins at once, in each or in the first, off which the others
        are then forked. Items and results are sent as well.
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
    def apply(items: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
        waiting: deque[tuple[Item, Future[Result]]] = deque()
        try:
            for item in items:
                waiting.append((item, threads.submit(workers.ask, item)))
                if len(waiting) > _AHEAD * count:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            for _, future in waiting:
                future.cancel()

    workers, threads = _Workers(count, make), ThreadPoolExecutor(count)
    try:
        yield apply
    finally:
        threads.shutdown(cancel_futures=True)
        workers.end()


class _Workers:
    """Processes that answer one item at a time, each at the other end of a connection.

    :param count: of processes; each is begun at once.
    :param make: makes the function; its faults come with the first item.
    """

    def __init__(self, count: int, make: Callable[[], Callable[[Any], Any]]) -> None:
        context = multiprocessing.get_context("spawn")
        self._count = count
        self._idle: SimpleQueue[Connection] = SimpleQueue()
        self._processes = []
        pairs = [context.Pipe() for _ in range(count)]
        theirs = [other for _, other in pairs]
        with _environment(ONE_THREAD):
            for some in [theirs] if _SHARE else [[other] for other in theirs]:
                process = context.Process(target=_work, args=(some, make))
                process.start()
                self._processes.append(process)
        for own, other in pairs:
            other.close()  # else its end would not be heard when the process ends
            self._idle.put(own)

    def ask(self, item: Any) -> Any:
        """Let the next idle one answer; no more threads may ask than there are processes.

        :raises WorkerEndedError: if it ended.
        """
        connection = self._idle.get()
        try:
            _send(connection, _framed(item))
            result, fault = _received(connection)
        except (EOFError, OSError) as exc:
            raise WorkerEndedError(
                f"one of {self._count} worker processes ended unexpectedly, perhaps for want of "
                "memory"
            ) from exc
        finally:
            self._idle.put(connection)
        if fault is not None:
            raise fault
        return result

    def end(self) -> None:
        """End processes, which are idle, and wait for them."""
        while not self._idle.empty():
            self._idle.get().close()
        for process in self._processes:
            process.join()


def _work(connections: list[Connection], make: Callable[[], Callable[[Any], Any]]) -> None:
    """Answer what comes over connections until they close, in a process for each.

    The others are forked off this one when the function is made, and have its memory in common.
    """
    _become_worker()
    gc.set_threshold(ALLOCATIONS)
    try:
        function = make()
    except Exception as exc:
        function = _raising(exc)
    gc.freeze()  # what was loaded stays: the collector need not walk it again and again
    own, *others = connections
    children = []
    while others:
        if child := os.fork():
            children.append(child)
            others.pop().close()
        else:
            own.close()
            own, children = others.pop(), []
            break
    for other in others:
        other.close()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _answer(own, function)
    for child in children:
        os.waitpid(child, 0)
    os._exit(0)  # whatever this process shares with others is theirs to tidy up


def _answer(connection: Connection, function: Callable[[Any], Any]) -> None:
    while True:
        try:
            item = _received(connection)
        except EOFError:
            return
        try:
            reply = _framed((function(item), None))
        except Exception as exc:
            exc.add_note(traceback.format_exc())
            reply = _framed((None, exc))
        _send(connection, reply)


def _framed(content: Any) -> tuple[bytes, list[Any]]:
    """Return something as bytes, but for the buffers of its arrays, which are not copied."""
    frame, buffers = io.BytesIO(), list[Any]()
    ForkingPickler(frame, 5, True, buffers.append).dump(content)
    return frame.getvalue(), buffers


def _send(connection: Connection, content: tuple[bytes, list[Any]]) -> None:
    frame, buffers = content
    connection.send((frame, len(buffers)))
    for buffer in buffers:
        connection.send_bytes(buffer.raw())


def _received(connection: Connection) -> Any:
    """Return what was sent.

    :raises EOFError: if the connection was closed.
    """
    frame, buffers = connection.recv()
    return ForkingPickler.loads(frame, buffers=[connection.recv_bytes() for _ in range(buffers)])


def _raising(fault: Exception) -> Callable[[Any], Any]:
    def function(item: Any) -> Any:
        raise fault

    return function


def _become_worker() -> None:
    """Leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
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
    """End when the parent does, however it ends and whatever is at work here."""
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
