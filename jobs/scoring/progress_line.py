"""The progress of scoring on stderr: a line that is rewritten, in a log one now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from jobs.scoring.tally import Progress

_TERMINAL_S = 0.2
_LOG_S = 60.0


class ProgressLine:
    """Shows rows, rows/s and the time left.

    :param clock: seconds, rising; a parameter so that what is shown can be tested.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._started = self._shown = clock()
        self._is_terminal = stream.isatty()
        self._width = 0
        self.latest = Progress(0.0, 0, 0, 0)

    def show(self, progress: Progress) -> None:
        """Show how far the run is, if some time has passed."""
        self.latest = progress
        now = self._clock()
        if now - self._shown < (_TERMINAL_S if self._is_terminal else _LOG_S):
            return
        self._shown = now
        text = progress_text(progress, now - self._started)
        if self._is_terminal:
            self._stream.write("\r" + text.ljust(self._width))
            self._width = len(text)
        else:
            self._stream.write(text + "\n")
        self._stream.flush()

    def say(self, text: str) -> None:
        """Write a line of its own."""
        self.clear()
        self._stream.write(text + "\n")
        self._stream.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()
            self._width = 0


def progress_text(progress: Progress, seconds: float) -> str:
    """Return the line that says how far a run is."""
    parts = [f"scoring {progress.share:4.0%}"]
    if progress.n_files > 1:
        parts.append(f"{progress.files}/{progress.n_files} files")
    parts.append(f"{progress.rows:,} rows")
    if seconds > 0:
        parts.append(f"{progress.rows / seconds:,.0f} rows/s")
    if 0 < progress.share < 1:
        parts.append(f"{_duration(seconds * (1 - progress.share) / progress.share)} left")
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
