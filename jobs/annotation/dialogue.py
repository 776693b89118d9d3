"""The dialogue of `rerank annotate`: what each key does. Terminal and store are handed in."""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from rerank.annotation.queue import contrasts
from rerank.index.errors import StoreBusyError
from rerank.index.records import GpuRecord
from rerank.jobs.annotation.screen import (
    MAX_CHOICES,
    GpuChoice,
    Key,
    Keyboard,
    Question,
    Screen,
    Size,
    Style,
    choice_of,
    digit_keys,
    end_screen,
    help_screen,
    open_keyboard,
    question_screen,
    search_screen,
)
from rerank.jobs.serving import find_by_words
from rerank.store.rows import Annotation, Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from rerank.index.retriever import Retriever
    from rerank.jobs.annotation.asking import Queue


_VERDICT_KEYS = {"n": Verdict.NONE_OF_THESE, "x": Verdict.NOT_GPU, "u": Verdict.UNSURE}
VERDICT_WORDS = {
    Verdict.MATCH: "match",
    Verdict.NONE_OF_THESE: "none of these",
    Verdict.NOT_GPU: "not a GPU",
    Verdict.UNSURE: "unsure",
}
Save = Callable[[Annotation], None]


class Terminal(Protocol):
    """Where the dialogue takes place."""

    def size(self) -> Size:
        """Return the size of the window now."""

    def show(self, screen: Screen) -> None:
        """Fill the window."""

    def read(self) -> str | Key:
        """Wait for a key."""

    def forget(self) -> None:
        """Drop keys pressed before now."""


class Dialogue:
    """Asks about the listings of a queue and saves each answer before it asks on.

    :param save: writes one answer; when it returns, the answer is on disk.
    :param save_patiently: the same, waiting for other processes that write to the store; None if
        an answer that does not find the store free is not waited for.
    :param top_k: candidates shown, at most `MAX_CHOICES`.
    :param label: what stands behind the counts in the first line.
    """

    def __init__(
        self,
        queue: Queue,
        retriever: Retriever,
        save: Save,
        *,
        save_patiently: Save | None = None,
        annotator: str,
        top_k: int,
        label: str,
    ) -> None:
        self._queue = queue
        self._retriever = retriever
        self._records = {record.gpu_id: record for record in retriever.records}
        self._save = save
        self._save_patiently = save_patiently
        self._annotator = annotator
        self._top_k = min(top_k, MAX_CHOICES)
        self._label = label
        self._at = 0
        self._reached = 0  # the first listing that was neither answered nor skipped
        self._answers: dict[int, tuple[Verdict, str]] = {}
        self._message = ""

    @property
    def counts(self) -> Counter[Verdict]:
        """How many listings got which answer; a changed answer counts once."""
        return Counter(verdict for verdict, _ in self._answers.values())

    def run(self, terminal: Terminal) -> None:
        """Ask until the person quits; behind the last listing they may still go back."""
        while True:
            question = self._question() if self._at < len(self._queue.items) else None
            if question is None:
                screen = end_screen(terminal.size(), message=self._message)
                terminal.show(screen)
            else:
                screen = self._show(question, self._message, terminal)
            key = terminal.read()
            if key is Key.CLOSED or key == "q":
                return
            if key is Key.RESIZED:
                continue
            self._message = ""
            if question is not None:
                self._act(key, question, screen, terminal)
            elif key == "b":
                self._back()

    def _act(self, key: str | Key, question: Question, screen: Screen, terminal: Terminal) -> None:
        """Do what a key asks for; an unknown one only gives a hint."""
        shown = question.choices[: screen.n_choices]
        if key == "?":
            terminal.show(help_screen(terminal.size()))
            terminal.read()
        elif not screen.is_complete:
            pass  # what cannot be seen cannot be judged
        elif key in _VERDICT_KEYS:
            self._answer(_VERDICT_KEYS[str(key)], None, question, screen, terminal)
        elif key in digit_keys(len(shown)):
            self._answer(Verdict.MATCH, shown[int(str(key)) - 1], question, screen, terminal)
        elif key == "/":
            choice_found = search_registry(self._retriever.records, terminal)
            if choice_found is not None:
                self._answer(Verdict.MATCH, choice_found, question, screen, terminal)
        elif key == "b":
            self._back()
        elif key == "s":
            self._message = "skipped" if self._at not in self._answers else "not changed"
            self._go_on(terminal)
        else:
            name = f"key {key!r}" if isinstance(key, str) else "this key"
            self._message = f"{name} does nothing here; ? lists the keys"

    def _answer(
        self,
        verdict: Verdict,
        choice: GpuChoice | None,
        question: Question,
        screen: Screen,
        terminal: Terminal,
    ) -> None:
        annotation = Annotation(
            question.item.listing.listing_id,
            self._annotator,
            verdict,
            gpu_id=choice.gpu_id if choice else None,
            model=choice.model if choice else None,
            shown=tuple(offered.gpu_id for offered in question.choices[: screen.n_choices]),
            model_version=question.item.resolution.model_version,
        )
        words = choice.name if choice else VERDICT_WORDS[verdict]
        self._show(question, f"saving: {words}", terminal)
        try:
            self._write(annotation, question, terminal)
        except StoreBusyError as exc:
            self._message = f"not saved: {exc}"
            terminal.forget()
            return
        self._answers[self._at] = (verdict, words)
        self._message = f"saved: {words}"
        self._go_on(terminal)

    def _write(self, annotation: Annotation, question: Question, terminal: Terminal) -> None:
        """Save an answer; if the store is not free, say so and wait.

        :raises StoreBusyError: if it is not free for longer than is waited.
        """
        try:
            self._save(annotation)
        except StoreBusyError:
            if self._save_patiently is None:
                raise
            message = "not saved yet: waiting for another process that writes to the store"
            self._show(question, message, terminal)
            self._save_patiently(annotation)

    def _show(self, question: Question, message: str, terminal: Terminal) -> Screen:
        screen = question_screen(
            question, terminal.size(), progress=self._progress(), message=message
        )
        terminal.show(screen)
        return screen

    def _go_on(self, terminal: Terminal) -> None:
        """Go to the first listing that was not asked yet, with keys that were meant for it."""
        self._reached = max(self._reached, self._at + 1)
        self._at = self._reached
        terminal.forget()

    def _back(self) -> None:
        if self._at == 0:
            self._message = "this is the first listing of this session"
        else:
            self._at -= 1

    def _question(self) -> Question:
        item = self._queue.items[self._at]
        candidates = item.resolution.candidates[: self._top_k]
        apart = contrasts(candidates, item.listing.title, self._retriever.lexicon)
        choices = tuple(
            choice_of(self._records[shown.gpu_id], shown.probability) for shown in candidates
        )
        _, answer = self._answers.get(self._at, (None, ""))
        return Question(item, choices, tuple(apart), answer)

    def _progress(self) -> str:
        done = self._queue.n_answered + len(self._answers)
        total = self._queue.n_answered + len(self._queue.items)
        today = self._queue.n_today + len(self._answers)
        return f"{done:,} of {total:,} answered, {today:,} today   {self._label}"


def summary(counts: Counter[Verdict], n_left: int, listings_file: Path | None) -> str:
    """Return the line that ends a session.

    :param n_left: questions that were open when it began.
    """
    n_answered = counts.total()
    parts = [
        f"{counts[verdict]} {words}" for verdict, words in VERDICT_WORDS.items() if counts[verdict]
    ]
    text = f"answered {n_answered:,}" + (f" ({', '.join(parts)})" if parts else "")
    if n_left == n_answered:
        return f"{text}, nothing left to ask"
    again = "rerank annotate" + (f" {listings_file}" if listings_file else "")
    return f"{text}, left {n_left - n_answered:,}; go on with `{again}`"


_LONGEST_QUERY = 200


def search_registry(records: Sequence[GpuRecord], terminal: Terminal) -> GpuChoice | None:
    """Let the person type words and pick one of the GPUs that have them all; None if they leave."""
    query, is_typing, message = "", True, ""
    while True:
        found = [choice_of(record) for record in find_by_words(records, query)]
        screen = search_screen(query, found, terminal.size(), is_typing=is_typing, message=message)
        terminal.show(screen)
        key, message = terminal.read(), ""
        if key in (Key.ESCAPE, Key.CLOSED):
            return None
        if is_typing:
            query = _edited(query, key)
            is_typing = key is not Key.ENTER or not found
        elif key in digit_keys(screen.n_choices):
            return found[int(str(key)) - 1]
        elif key in ("/", Key.BACKSPACE):
            is_typing = True
        elif key is not Key.RESIZED:
            message = "a digit chooses, / types other words, Esc leaves"


def _edited(query: str, key: str | Key) -> str:
    """Return what is typed after one more key."""
    if key is Key.BACKSPACE:
        return query[:-1]
    if key is Key.CLEAR:
        return ""
    return (query + key)[:_LONGEST_QUERY] if isinstance(key, str) else query


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
