"""A clock for stages of work, put around public functions from outside.

A stage's time is its own: what stages inside of it take is theirs. Threads are told apart.
"""

from __future__ import annotations

import functools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, NamedTuple

from index.errors import InputError
from jobs.benchmarks.process_memory import peak_bytes, reset_peak, resident_bytes


class Hook(NamedTuple):
    """A function that is a stage, or part of one.

    :param owner: the class or module that it is an attribute of.
    """

    stage: str
    owner: Any
    name: str


class StageClock:
    """Adds up the seconds of each stage that ran in the thread that made the clock, and elsewhere.

    :param seconds: by stage, in the thread of the clock.
    :param aside: by stage, in other threads, beside it.
    :param now: the time in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self.seconds: dict[str, float] = defaultdict(float)
        self.aside: dict[str, float] = defaultdict(float)
        self._thread = threading.get_ident()
        self._inner = threading.local()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block as a stage."""
        outer = getattr(self._inner, "seconds", 0.0)
        self._inner.seconds = 0.0
        started = self._now()
        try:
            yield
        finally:
            took = self._now() - started
            here = threading.get_ident() == self._thread
            (self.seconds if here else self.aside)[name] += took - self._inner.seconds
            self._inner.seconds = outer + took


class PeakMeter:
    """Takes the greatest growth of resident memory within one call of each stage.

    What stages inside of it grow by is part of it. For one thread.

    :param peaks: bytes above what was resident when the call began, by stage.
    """

    def __init__(self) -> None:
        self.peaks: dict[str, int] = defaultdict(int)
        self._seen: list[int] = []  # of each open call, the greatest so far

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Watch a block as a stage."""
        if self._seen:
            self._seen[-1] = max(self._seen[-1], peak_bytes())
        reset_peak()
        before = resident_bytes()
        self._seen.append(before)
        try:
            yield
        finally:
            highest = max(self._seen.pop(), peak_bytes())
            self.peaks[name] = max(self.peaks[name], highest - before)
            if self._seen:
                self._seen[-1] = max(self._seen[-1], highest)


@contextmanager
def hooked(
    hooks: list[Hook], stage: Callable[[str], AbstractContextManager[None]]
) -> Iterator[None]:
    """Run a block with a stage's clock around every hook; afterwards all is as before.

    A function that returns an iterator is a stage whenever that is asked for its next item.

    :raises InputError: if a function is not there (any more), all of them named.
    """
    absent = [
        f"{hook.owner.__name__}.{hook.name}" for hook in hooks if not hasattr(hook.owner, hook.name)
    ]
    if absent:
        raise InputError(f"expected stages to measure, {', '.join(absent)} not found")
    with ExitStack() as undo:
        for hook in hooks:
            original = vars(hook.owner)[hook.name]
            undo.callback(setattr, hook.owner, hook.name, original)
            setattr(hook.owner, hook.name, _around(original, hook.stage, stage))
        yield


def _around(
    original: Callable[..., Any], name: str, stage: Callable[[str], AbstractContextManager[None]]
) -> Callable[..., Any]:
    def items(found: Iterator[Any]) -> Iterator[Any]:
        while True:
            with stage(name):
                try:
                    item = next(found)
                except StopIteration:
                    return
            yield item

    @functools.wraps(original)
    def timed(*arguments: Any, **named: Any) -> Any:
        with stage(name):
            found = original(*arguments, **named)
        return items(found) if isinstance(found, Iterator) else found

    return timed
