"""One key at a time from a terminal, without Enter; the terminal is restored whatever happens."""

from __future__ import annotations

import codecs
import os
import select
import signal
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from types import FrameType
from typing import Any

from index.errors import InputError

# A terminal sends an arrow key as Esc and more, at once; a person who presses Esc sends it alone.
_REST_OF_KEY_S = 0.05


class Key(Enum):
    """Keys and events that are no character."""

    ENTER = "enter"
    ESCAPE = "escape"
    BACKSPACE = "backspace"
    CLEAR = "clear"
    OTHER = "other"
    RESIZED = "resized"
    CLOSED = "closed"


_NAMES: dict[str, Key] = {
    "\r": Key.ENTER,
    "\n": Key.ENTER,
    "\x7f": Key.BACKSPACE,
    "\x08": Key.BACKSPACE,
    "\x15": Key.CLEAR,
    "\x04": Key.CLOSED,
}


def digit_keys(count: int) -> tuple[str, ...]:
    """Return the keys that take one of some numbered choices."""
    return tuple(str(number) for number in range(1, count + 1))


def check_terminal(purpose: str, instead: str) -> None:
    """Check that a person sits in front.

    :param purpose: what needs the terminal.
    :param instead: what to do without one.
    :raises InputError: if stdin or stdout is not a terminal.
    """
    for name, stream in (("stdin", sys.stdin), ("stdout", sys.stdout)):
        if not stream.isatty():
            raise InputError(
                f"{purpose} reads single keys from a terminal, but {name} is not one; {instead}"
            )


class Keyboard:
    """Keys of the terminal behind a descriptor; use it through `open_keyboard`."""

    def __init__(self, descriptor: int, events: int) -> None:
        self._descriptor = descriptor
        self._events = events
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._pending: list[str | Key] = []

    def read(self) -> str | Key:
        """Wait for one key: a printable character, or a `Key`."""
        while not self._pending:
            ready, _, _ = select.select([self._descriptor, self._events], [], [])
            if self._events in ready:
                os.read(self._events, 1024)
                return Key.RESIZED
            self._take()
        return self._pending.pop(0)

    def forget(self) -> None:
        """Drop keys pressed before now: they were not meant for what is shown next."""
        termios.tcflush(self._descriptor, termios.TCIFLUSH)
        self._pending.clear()

    def _take(self) -> None:
        try:
            data = os.read(self._descriptor, 1024)
        except OSError:  # the terminal is gone
            data = b""
        if not data:
            self._pending.append(Key.CLOSED)
            return
        if data == b"\x1b" and select.select([self._descriptor], [], [], _REST_OF_KEY_S)[0]:
            data += os.read(self._descriptor, 1024)
        if data.startswith(b"\x1b"):
            self._pending.append(Key.ESCAPE if data == b"\x1b" else Key.OTHER)
            return
        for char in self._decode(data):
            self._pending.append(char if char.isprintable() else _NAMES.get(char, Key.OTHER))


@contextmanager
def open_keyboard() -> Iterator[Keyboard]:
    """Lend the keyboard of stdin; echo and line editing are off until the block ends.

    Ctrl-C raises KeyboardInterrupt and SIGTERM ends the program, both after the terminal was
    restored. A changed window size, and coming back from Ctrl-Z, arrive as `Key.RESIZED`.
    """
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    events, sender = os.pipe()
    os.set_blocking(sender, False)
    handlers: dict[signal.Signals, Any] = {
        signal.SIGTERM: _end,
        signal.SIGWINCH: _wake,
        signal.SIGCONT: lambda number, frame: _single_keys(descriptor),
    }
    earlier = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    earlier_sender = signal.set_wakeup_fd(sender, warn_on_full_buffer=False)
    try:
        _single_keys(descriptor)
        yield Keyboard(descriptor, events)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        signal.set_wakeup_fd(earlier_sender)
        for number, handler in earlier.items():
            signal.signal(number, handler)
        os.close(events)
        os.close(sender)


def _single_keys(descriptor: int) -> None:
    mode = termios.tcgetattr(descriptor)
    mode[3] &= ~(termios.ICANON | termios.ECHO)
    termios.tcsetattr(descriptor, termios.TCSADRAIN, mode)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _wake(number: int, frame: FrameType | None) -> None:
    """Do nothing: that the signal came is read from the pipe."""
