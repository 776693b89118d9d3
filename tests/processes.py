"""Processes that tests start, interrupt and kill.

Where many are killed, each is forked off a server that has imported already what it needs: an
interpreter of its own would take longer to import it than to do what it is killed for.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["pytest", "rerank.jobs.commands.store", "rerank.jobs.scoring.run", "rerank.store.importing"]
)


def started(home: object, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Start `rerank` with arguments as a command of its own.

    :param options: of `subprocess.Popen`, of its output.
    """
    return subprocess.Popen(
        [sys.executable, "-c", "from rerank.jobs.cli import main; main()", *map(str, arguments)],
        env={**os.environ, "RERANK_HOME": str(home)},
        text=True,
        **options,
    )


def forked(function: Callable[..., object], *arguments: Any) -> BaseProcess:
    """Start a process that calls a module's function."""
    process = FORKS.Process(target=function, args=arguments)
    process.start()
    return process


def forked_until_told(function: Callable[..., object], *arguments: Any) -> BaseProcess:
    """Start a process whose function sends something into its last argument, and return then."""
    told, tell = FORKS.Pipe(duplex=False)
    with told, tell:
        process = forked(function, *arguments, tell)
        tell.close()
        told.recv()
    return process


def command(home: object, *arguments: object) -> None:
    """Run `rerank` with arguments, without a word."""
    from rerank.jobs.cli import main

    os.environ["RERANK_HOME"] = str(home)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        sys.stdout = sys.stderr = nowhere
        main([str(argument) for argument in arguments])


def status_of(process: BaseProcess, patience_s: float = 300) -> int:
    """Return how a process ended: its exit code, or less than 0 for a signal."""
    process.join(patience_s)
    assert process.exitcode is not None, f"still running after {patience_s:g} s"
    return process.exitcode
