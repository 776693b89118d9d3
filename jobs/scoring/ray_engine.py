"""Score on Ray, on this machine or a cluster, without its chatter.

The one module that imports Ray, when a run asks for it.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

from rerank.index.errors import MissingExtraError, RerankError
from rerank.jobs.workers import ONE_THREAD, Item, Result, WorkerEndedError

REACH_S = 30.0
"""How long a cluster may take to answer; Ray itself goes on trying for minutes."""
_STORE_BYTES = 80 << 20  # Ray's smallest is 75 MB; nothing but counts is put there
_STDERR = 2  # the descriptor
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # sends nothing to anybody
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # a worker that is restarted is no news
}
_PROBE = "import sys, ray; ray.init(sys.argv[1], log_to_driver=False, logging_level='ERROR')"


def import_ray() -> Any:
    """Return the module ``ray``.

    :raises MissingExtraError: if it is not installed, or without Ray Data.
    """
    for name, value in _SETTINGS.items():  # read when Ray is imported or started
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ImportError as exc:
        raise MissingExtraError(
            f"--engine ray needs Ray Data, which cannot be imported ({exc}); install it with "
            "`pip install 'listing-rerank[ray]'`"
        ) from exc
    return ray


def ray_data() -> tuple[Any, tuple[type[Exception], ...]]:
    """Return the module ``ray.data``, set to be quiet, and the errors of workers that died."""
    ray = import_ray()
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    errors = ray.exceptions
    return ray.data, (
        errors.RayActorError,
        errors.WorkerCrashedError,
        errors.OutOfMemoryError,
        errors.NodeDiedError,
    )


@contextmanager
def connected(address: str | None, *, workers: int) -> Iterator[None]:
    """Hold a connection to a cluster, or a cluster of this process's own, while the block runs.

    What Ray prints goes to stderr.

    :param address: HOST:PORT or ``auto``; without it that of RAY_ADDRESS, which `ray job submit`
        sets; without either, Ray starts on this machine and ends with the block.
    :param workers: processors that a cluster of this machine lends out.
    :raises MissingExtraError: if Ray is not installed.
    :raises RerankError: if the cluster cannot be reached in `REACH_S`, or Ray cannot start.
    """
    ray = import_ray()
    address = address or os.environ.get("RAY_ADDRESS")
    own: dict[str, Any] = {}
    if address is None:
        own = {
            "num_cpus": workers,
            "object_store_memory": _STORE_BYTES,
            "include_dashboard": False,
        }
    else:
        _check_reach(address)
    with redirect_stdout(sys.stderr):
        try:
            with _silence(), _keeping_sigterm():
                ray.init(
                    address=address or "local",
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    **own,
                )
        except (OSError, RuntimeError, ValueError) as exc:
            where = address or "this machine"
            raise RerankError(f"Ray cannot be started on {where} ({_last_line(str(exc))})") from exc
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def _silence() -> Iterator[None]:
    """Let nothing through to stderr: Ray's core writes there, past Python, that it says less."""
    kept = os.dup(_STDERR)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), _STDERR)
        yield
    finally:
        os.dup2(kept, _STDERR)
        os.close(kept)


@contextmanager
def _keeping_sigterm() -> Iterator[None]:
    """Put this process's own handler of SIGTERM back: Ray's ends it without a word."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if callable(handler) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _check_reach(address: str) -> None:
    """Connect in a process of its own, which can be ended when it takes too long.

    :raises RerankError: if there is no cluster.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, address],
            capture_output=True,
            text=True,
            timeout=REACH_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        found = f"no answer within {REACH_S:g} s"
    else:
        if done.returncode == 0:
            return
        found = _last_line(done.stderr)
    raise RerankError(
        f"--ray-address {address}: expected a Ray cluster, found none ({found}); give HOST:PORT of "
        "its head (port 6379 as a rule), or leave it out to start Ray on this machine"
    )


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1].strip()


# A file whose worker dies is done again by another, but not for ever: it may be the file's fault.
_RETRIES = 2


class RayWorker:
    """An actor: applies a function, made once in it, to items by their numbers.

    :param items: all items.
    """

    def __init__(self, items: Sequence[Any], make: Callable[[], Callable[[Any], Any]]) -> None:
        self._items = items
        for name, value in ({"OMP_WAIT_POLICY": "PASSIVE"} | ONE_THREAD).items():
            os.environ.setdefault(name, value)
        self._function = make()

    def __call__(self, rows: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Apply the function to the items of some rows.

        :param rows: the column ``number``; what comes back has ``result``, JSON text, beside it.
        """
        numbers = [int(number) for number in rows["number"]]
        results = [self._function(self._items[number]) for number in numbers]
        return {"number": numbers, "result": [json.dumps(result) for result in results]}


@contextmanager
def working_on_ray(
    count: int, make: Callable[[], Callable[[Item], Result]], *, address: str | None = None
) -> Iterator[Callable[[Iterable[Item]], Iterator[tuple[Item, Result]]]]:
    """Do what `rerank.jobs.workers.working` does in actors of Ray, in whatever order they end.

    :param count: actors, each with one processor.
    :param make: makes the function; its results are plain values.
    :param address: of a running cluster; without one, one of this machine serves this block.
    :raises MissingExtraError: if Ray is not installed.
    :raises RerankError: if the cluster cannot be reached, or no worker can be started.
    :raises WorkerEndedError: if workers die again and again.
    """

    def apply(items: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
        every = list(items)
        for number, text in _results(len(every), count, (every, make)):
            yield every[number], json.loads(text)

    with connected(address, workers=count):
        yield apply


def _results(n_items: int, workers: int, worker: tuple[Any, ...]) -> Iterator[tuple[int, str]]:
    """Yield the numbers of items with the workers' results, as they come.

    :param worker: what a worker is made of.
    """
    data, died = ray_data()
    items = data.from_items([{"number": n} for n in range(n_items)], override_num_blocks=n_items)
    pool = data.ActorPoolStrategy(size=min(workers, n_items), max_tasks_in_flight_per_actor=1)
    with warnings.catch_warnings():
        # Ray 2.60 calls its own way to limit retries deprecated and names no other
        warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
        results = items.map_batches(
            RayWorker,
            fn_constructor_args=worker,
            batch_size=1,
            compute=pool,
            num_cpus=1,
            max_restarts=-1,
            max_task_retries=_RETRIES,
        )
    try:
        for row in results.iter_rows():
            yield row["number"], row["result"]
    except died as exc:
        raise _death(str(exc)) from exc


def _death(text: str) -> RerankError:
    """Return the error for a worker that died.

    :param text: what Ray says of it.
    """
    if "creation task" in text:
        return RerankError(
            f"a Ray worker cannot be started ({text.strip().splitlines()[-1]}); install the same "
            "release of rerank, with its extra `ray`, on every machine of the cluster"
        )
    return WorkerEndedError(
        f"a file's Ray worker ended unexpectedly {_RETRIES + 1} times, perhaps for want of memory"
    )
