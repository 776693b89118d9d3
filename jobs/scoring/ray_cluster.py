"""Start Ray on this machine, or connect to a cluster, without its chatter.

The one module that imports Ray, when a run asks for it.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from index.errors import MissingExtraError, RerankError

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
            "`pip install 'rerank[ray]'`"
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
