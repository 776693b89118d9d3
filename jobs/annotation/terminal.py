"""The terminal `rerank annotate` runs in: keys in, screens out."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from jobs.annotation.dialogue import Dialogue
from jobs.annotation.keys import Key, Keyboard, open_keyboard
from jobs.annotation.screen import Screen, Size, Style

_HOME, _CLEAR_LINE, _CLEAR_BELOW, _CLEAR = "\x1b[H", "\x1b[K", "\x1b[J", "\x1b[2J"
_HIDE_CURSOR, _SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


class AnnotationTerminal:
    """Draws screens over each other; use it through `open_terminal`."""

    def __init__(self, keyboard: Keyboard) -> None:
        self._keyboard = keyboard
        self._plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"

    def size(self) -> Size:
        """Return the size of the window now."""
        width, height = shutil.get_terminal_size()
        return Size(width, height)

    def show(self, screen: Screen) -> None:
        """Fill the window, line over line, so that nothing flickers."""
        text = f"{_CLEAR_LINE}\r\n".join(
            line.text
            if self._plain or line.style is Style.PLAIN
            else f"\x1b[{line.style.value}m{line.text}\x1b[0m"
            for line in screen.lines
        )
        _write(f"{_HOME}{text}{_CLEAR_LINE}{_CLEAR_BELOW}")

    def read(self) -> str | Key:
        """Wait for a key."""
        return self._keyboard.read()

    def forget(self) -> None:
        """Drop keys pressed before now."""
        self._keyboard.forget()


@contextmanager
def open_terminal() -> Iterator[AnnotationTerminal]:
    """Lend the terminal; it is as before, and its window empty, when the block ends."""
    with open_keyboard() as keyboard:
        _write(_HIDE_CURSOR + _CLEAR)
        try:
            yield AnnotationTerminal(keyboard)
        finally:
            _write(_CLEAR + _HOME + _SHOW_CURSOR)


def hold(dialogue: Dialogue) -> None:
    """Hold a dialogue in this terminal; Ctrl-C ends it as `q` does: every answer is saved."""
    with suppress(KeyboardInterrupt), open_terminal() as terminal:
        dialogue.run(terminal)


def _write(text: str) -> None:
    # Not all terminals can print all characters: a title must not end the program.
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()
