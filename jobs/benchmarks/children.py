"""Measure in fresh processes: nothing that ran before is warm, held or in the way."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

from index.errors import RerankError
from jobs.benchmarks.process_memory import tree_resident_bytes

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "RAYON_NUM_THREADS",
)
_SAMPLED_EVERY_S = 0.05
_SHOWN_CHARS = 400


class ScoreRun(NamedTuple):
    """One call of `rerank score`.

    :param seconds: from the start of its process to its end.
    :param peak_bytes: the greatest sum of resident sizes seen, worker processes included.
    """

    seconds: float
    peak_bytes: int


def in_child(
    function: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
) -> Result:
    """Call a module's function in a process of its own; what it raises is raised here.

    :raises RerankError: if the process ends unexpectedly.
    """
    context: Any = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(function, *arguments, **named).result()
        except BrokenProcessPool as exc:
            raise RerankError(
                f"{function.__name__}: its process ended unexpectedly, perhaps for want of memory"
            ) from exc


@contextmanager
def threads_of_children(count: int | None) -> Iterator[None]:
    """Give processes that start inside of the block so many threads a library; None: their own."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    if count is not None:
        os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(count)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is not None:
                os.environ[name] = value
            else:
                os.environ.pop(name, None)


def run_score(home: Path, source: Path, target: Path, *, workers: int, top_k: int) -> ScoreRun:
    """Run `rerank score` over a file, as a user would, and watch it.

    :raises RerankError: if it fails.
    """
    command = [
        sys.executable,
        "-c",
        "from jobs.cli import main; main()",
        "score",
        str(source),
        str(target),
        "--overwrite",
        "--workers",
        str(workers),
        "--top-k",
        str(top_k),
        "--home",
        str(home),
    ]
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=said, stderr=said)
        peak = 0
        while True:
            try:
                code = process.wait(_SAMPLED_EVERY_S)
                break
            except subprocess.TimeoutExpired:
                peak = max(peak, tree_resident_bytes(process.pid))
            except BaseException:
                process.kill()
                process.wait()
                raise
        seconds = time.perf_counter() - started
        if code:
            said.seek(0)
            text = said.read().decode(errors="replace")[-_SHOWN_CHARS:]
            raise RerankError(f"rerank score {source.name}: exit code {code}: {text.strip()}")
    return ScoreRun(seconds, peak)
