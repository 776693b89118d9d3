"""The dialogue of `rerank annotate`: what each key does, and the terminal it is held in.

What is asked and saved is an `AnswerSession`'s. Store and terminal are handed in, so that a
dialogue can be held without either.
"""

from __future__ import annotations

import codecs
import os
import select
import shutil
import signal
import sys
import termios
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from rerank.index.errors import InputError, StoreBusyError
from rerank.jobs.annotation.asking import AnswerBook, QueueKind
from rerank.jobs.annotation.screen import (
    MAX_CHOICES,
    Screen,
    Size,
    alike_screen,
    end_screen,
    help_screen,
    note_screen,
    question_screen,
    search_screen,
)
from rerank.jobs.annotation.session import (
    LONGEST_NOTE,
    AnswerSession,
    Given,
    Question,
    verdict_words,
    words_of_answer,
)
from rerank.store.rows import Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from rerank.domain import AskingWords, CatalogueChoice, Choices
    from rerank.jobs.annotation.asking import Queue


Picked = TypeVar("Picked")
_VERDICT_KEYS = {
    "n": Given(Verdict.NONE_OF_THESE),
    "x": Given(Verdict.NOT_GPU),
    "l": Given(Verdict.SEVERAL),
    "u": Given(Verdict.UNSURE),
}


class Key(Enum):
    """Keys and events that are no character."""

    ENTER = "\r"
    ESCAPE = "escape"  # alone: it opens what the terminal sends for other keys
    BACKSPACE = "\x7f"
    CLEAR = "\x15"
    CLOSED = "\x04"
    OTHER = "other"
    RESIZED = "resized"

    @classmethod
    def _missing_(cls, value: object) -> Key:
        return {"\n": cls.ENTER, "\x08": cls.BACKSPACE}.get(str(value), cls.OTHER)


class Dialogue:
    """Asks about the listings of a queue and saves each answer before it asks on.

    :param choices: what may be chosen.
    :param book: puts answers on disk and takes them back.
    :param patient_book: the same, waiting for other processes that write to the store; None if
        an answer that does not find the store free is not waited for.
    :param top_k: candidates shown, at most `MAX_CHOICES`.
    :param label: what stands behind the counts in the first line.
    """

    def __init__(
        self,
        queue: Queue,
        choices: Choices,
        book: AnswerBook,
        *,
        patient_book: AnswerBook | None = None,
        annotator: str,
        top_k: int,
        label: str,
        kind: QueueKind = QueueKind.UNCERTAIN,
    ) -> None:
        self._choices, self._annotator, self._label, self._kind = choices, annotator, label, kind
        self._book, self._patient_book = book, patient_book
        self._session = AnswerSession(choices, book, top_k=min(top_k, MAX_CHOICES))
        self._session.open(annotator, kind, queue)
        self._message = ""
        self._any_variant = False  # the next digit chooses a model, its variant unknown
        self._note, self._also = "", set[str]()  # of the answer to what is asked

    @property
    def counts(self) -> Counter[Verdict]:
        """How many listings got which answer; a changed answer counts once."""
        return self._session.counts(self._annotator)

    def run(self, terminal: Terminal) -> None:
        """Ask until the person quits; behind the last listing they may still go back."""
        asked: str | None = None
        while True:
            question = self._session.ask(self._annotator, self._kind)
            now = None if question is None else question.listing.listing_id
            if now != asked:
                asked, self._note, self._also = now, "", set()
            if question is None:
                terminal.show(end_screen(terminal.size(), message=self._message))
            else:
                screen = self._show(question, self._message, terminal)
            key = terminal.read()
            if key is Key.CLOSED or key == "q":
                return
            if key is Key.RESIZED:
                continue
            self._message, any_variant = "", self._any_variant
            self._any_variant = False
            if question is not None:
                self._act(key, question, screen, terminal, any_variant)
            elif key == "b":
                self._session.back(self._annotator, self._kind)
            elif key == "z":
                self._undo()

    def _act(
        self,
        key: str | Key,
        question: Question,
        screen: Screen,
        terminal: Terminal,
        any_variant: bool,
    ) -> None:
        """Do what a key asks for; an unknown one only gives a hint."""
        shown = question.choices[: screen.n_choices]
        if key == "?":
            terminal.show(help_screen(self._choices.words, terminal.size()))
            terminal.read()
        elif not screen.is_complete:
            pass  # what cannot be seen cannot be judged
        elif (given := self._given(key, shown, any_variant)) is not None:
            self._answer(given, question, shown, terminal)
        elif key == "/":
            picked = search_catalogue(self._choices, terminal)
            if picked is not None:
                given = Given(Verdict.MATCH, picked, any_variant)
                self._answer(given, question, shown, terminal)
        elif key in _MOVES:
            _MOVES[str(key)](self, question, terminal)
        else:
            name = f"key {key!r}" if isinstance(key, str) else "this key"
            self._message = f"{name} does nothing here; ? lists the keys"

    def _given(
        self, key: str | Key, shown: Sequence[CatalogueChoice], any_variant: bool
    ) -> Given | None:
        """Return what a key answers; None if it answers nothing."""
        picked = picked_by(key, shown)
        if picked is not None:
            return Given(Verdict.MATCH, picked, any_variant)
        return _VERDICT_KEYS.get(key) if isinstance(key, str) else None

    def _write_note(self, question: Question, terminal: Terminal) -> None:
        note, key = self._note, None
        while key not in (Key.ENTER, Key.ESCAPE, Key.CLOSED):
            terminal.show(note_screen(note, terminal.size()))
            key = terminal.read()
            note = _edited(note, key, LONGEST_NOTE)
        if key is Key.ENTER:
            self._note = note.strip()

    def _show_alike(self, question: Question, terminal: Terminal) -> None:
        """Let the person tick what the answer holds for as well; what was not seen is not."""
        alike, at = question.alike, 0
        if not alike:
            self._message = "no other listing looks the same"
            return
        while True:
            title, n_more = question.listing.title, max(0, len(alike) - at - MAX_CHOICES)
            page = alike[at : at + MAX_CHOICES]
            screen = alike_screen(page, self._also, terminal.size(), n_more=n_more, title=title)
            terminal.show(screen)
            key = terminal.read()
            if key in (Key.ENTER, Key.ESCAPE, Key.CLOSED, "g", "q"):
                return
            seen = [each.listing.listing_id for each in page[: screen.n_choices]]
            if key == "n" and seen:
                at = (at + len(seen)) % len(alike)
            elif key == "a":
                self._also = self._also - {*seen} if self._also >= {*seen} else self._also | {*seen}
            elif (ticked := picked_by(key, seen)) is not None:
                self._also ^= {ticked}

    def _back(self, question: Question, terminal: Terminal) -> None:
        if not self._session.back(self._annotator, self._kind):
            self._message = "this is the first listing of this session"

    def _skip(self, question: Question, terminal: Terminal) -> None:
        skipped = self._session.skip(self._annotator, self._kind, question.listing.listing_id)
        self._message = "skipped" if skipped else "not changed"
        terminal.forget()

    def _open_variant(self, question: Question, terminal: Terminal) -> None:
        self._any_variant = True
        self._message = f"{self._choices.words.any_variant}: a digit or / chooses"

    def _take_back(self, question: Question, terminal: Terminal) -> None:
        self._undo()

    def _undo(self) -> None:
        """Take the last answer back; if the store is not free, it stands."""
        try:
            words = self._session.undo(self._annotator, self._kind, book=self._patient_book)
        except StoreBusyError as exc:
            self._message = f"not taken back: {exc}"
        else:
            self._message = f"taken back: {words}" if words else "there is no answer to take back"

    def _answer(
        self,
        given: Given,
        question: Question,
        shown: Sequence[CatalogueChoice],
        terminal: Terminal,
    ) -> None:
        """Save an answer and go on; if the store is not free, say so and wait."""
        given = given._replace(note=self._note)
        words = words_of_answer(given, self._choices.words)
        also = [each.listing.listing_id for each in question.alike]
        also = [key for key in also if key in self._also]
        waiting = "not saved yet: waiting for another process that writes to the store"
        tries = [(self._book, f"saving: {words}"), (self._patient_book, waiting)]
        for book, message in tries:
            if book is None:
                continue
            self._show(question, message, terminal)
            try:
                self._session.answer(
                    self._annotator,
                    self._kind,
                    question.listing.listing_id,
                    given,
                    also=also,
                    shown=shown,
                    book=book,
                )
            except StoreBusyError as exc:
                self._message = f"not saved: {exc}"
            else:
                self._message = f"saved: {words}" + (f", and of {len(also)} more" if also else "")
                break
        terminal.forget()

    def _show(self, question: Question, message: str, terminal: Terminal) -> Screen:
        counts = self._session.progress(self._annotator, self._kind)
        progress = (
            f"{counts.answered:,} of {counts.total:,} answered, {counts.today:,} today   "
            f"{self._label}"
        )
        screen = question_screen(
            question,
            terminal.size(),
            progress=progress,
            message=message,
            note=self._note,
            n_also=len(self._also),
        )
        terminal.show(screen)
        return screen


_MOVES: dict[str, Callable[[Dialogue, Question, Terminal], None]] = {
    "b": Dialogue._back,
    "s": Dialogue._skip,
    "m": Dialogue._open_variant,
    "z": Dialogue._take_back,
    "g": Dialogue._show_alike,
    "t": Dialogue._write_note,
}


def picked_by(key: str | Key, shown: Sequence[Picked]) -> Picked | None:
    """Return which of some numbered choices a key takes, if any."""
    keys = {str(number): choice for number, choice in enumerate(shown, 1)}
    return keys.get(key) if isinstance(key, str) else None


def summary(
    counts: Counter[Verdict], words: AskingWords, n_left: int, listings_file: Path | None
) -> str:
    """Return the line that ends a session.

    :param n_left: questions that were open when it began.
    """
    n_answered = counts.total()
    parts = [
        f"{counts[verdict]} {called}"
        for verdict, called in verdict_words(words).items()
        if counts[verdict]
    ]
    text = f"answered {n_answered:,}" + (f" ({', '.join(parts)})" if parts else "")
    if n_left == n_answered:
        return f"{text}, nothing left to ask"
    again = "rerank annotate" + (f" {listings_file}" if listings_file else "")
    return f"{text}, left {n_left - n_answered:,}; go on with `{again}`"


_LONGEST_QUERY = 200


def search_catalogue(choices: Choices, terminal: Terminal) -> CatalogueChoice | None:
    """Let the person type words and pick one of those that have them all; None if they leave."""
    query, is_typing, message = "", True, ""
    while True:
        found = choices.search(query, MAX_CHOICES)
        screen = search_screen(
            query,
            found,
            terminal.size(),
            catalogue=choices.words.catalogue,
            is_typing=is_typing,
            message=message,
        )
        terminal.show(screen)
        key, message = terminal.read(), ""
        if key in (Key.ESCAPE, Key.CLOSED):
            return None
        if is_typing:
            query = _edited(query, key, _LONGEST_QUERY)
            is_typing = key is not Key.ENTER or not found.best
        elif (picked := picked_by(key, found.best[: screen.n_choices])) is not None:
            return picked
        elif key in ("/", Key.BACKSPACE):
            is_typing = True
        elif key is not Key.RESIZED:
            message = "a digit chooses, / types other words, Esc leaves"


def _edited(typed: str, key: str | Key, most: int) -> str:
    """Return what is typed after one more key."""
    if isinstance(key, str):
        return (typed + key)[:most]
    return {Key.BACKSPACE: typed[:-1], Key.CLEAR: ""}.get(key, typed)


_HOME, _CLEAR_LINE, _CLEAR_BELOW, _CLEAR = "\x1b[H", "\x1b[K", "\x1b[J", "\x1b[2J"
_HIDE_CURSOR, _SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
# A terminal sends an arrow key as Esc and more, at once; a person who presses Esc sends it alone.
_REST_OF_KEY_S = 0.05


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


class Terminal:
    """Draws screens over each other and reads single keys; use it through `open_terminal`.

    :param descriptor: of the keyboard.
    :param events: a pipe that a signal writes to.
    """

    def __init__(self, descriptor: int, events: int) -> None:
        self._descriptor, self._events = descriptor, events
        self._plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._pending: list[str | Key] = []

    def size(self) -> Size:
        """Return the size of the window now."""
        return Size(*shutil.get_terminal_size())

    def show(self, screen: Screen) -> None:
        """Fill the window, line over line, so that nothing flickers."""
        text = f"{_CLEAR_LINE}\r\n".join(
            f"\x1b[{line.style}m{line.text}\x1b[0m" if line.style and not self._plain else line.text
            for line in screen.lines
        )
        _write(f"{_HOME}{text}{_CLEAR_LINE}{_CLEAR_BELOW}")

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
        data = b""
        with suppress(OSError):  # the terminal is gone
            data = os.read(self._descriptor, 1024)
        if data == b"\x1b" and select.select([self._descriptor], [], [], _REST_OF_KEY_S)[0]:
            data += os.read(self._descriptor, 1024)
        if not data:
            self._pending.append(Key.CLOSED)
        elif data.startswith(b"\x1b"):
            self._pending.append(Key.ESCAPE if data == b"\x1b" else Key.OTHER)
        else:
            self._pending += [c if c.isprintable() else Key(c) for c in self._decode(data)]


@contextmanager
def open_terminal() -> Iterator[Terminal]:
    """Lend the terminal; it is as before, and its window empty, when the block ends.

    Echo and line editing are off until then. Ctrl-C raises KeyboardInterrupt and SIGTERM ends the
    program, both after the terminal was restored. A changed window size, and coming back from
    Ctrl-Z, arrive as `Key.RESIZED`.
    """
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    events, sender = os.pipe()
    os.set_blocking(sender, False)
    handlers: dict[signal.Signals, Any] = {
        signal.SIGTERM: _end,
        signal.SIGWINCH: lambda number, frame: None,  # that it came is read from the pipe
        signal.SIGCONT: lambda number, frame: _single_keys(descriptor),
    }
    earlier = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    earlier_sender = signal.set_wakeup_fd(sender, warn_on_full_buffer=False)
    try:
        _single_keys(descriptor)
        _write(_HIDE_CURSOR + _CLEAR)
        yield Terminal(descriptor, events)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        signal.set_wakeup_fd(earlier_sender)
        for number, handler in earlier.items():
            signal.signal(number, handler)
        os.close(events)
        os.close(sender)
        _write(_CLEAR + _HOME + _SHOW_CURSOR)


def _single_keys(descriptor: int) -> None:
    mode = termios.tcgetattr(descriptor)
    mode[3] &= ~(termios.ICANON | termios.ECHO)
    termios.tcsetattr(descriptor, termios.TCSADRAIN, mode)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def hold(dialogue: Dialogue) -> None:
    """Hold a dialogue in this terminal; Ctrl-C ends it as `q` does: every answer is saved."""
    with suppress(KeyboardInterrupt), open_terminal() as terminal:
        dialogue.run(terminal)


def _write(text: str) -> None:
    # Not all terminals can print all characters: a title must not end the program.
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()
