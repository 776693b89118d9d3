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
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, TypeVar

from rerank.domain import AskingWords, CatalogueChoice, Choices, FoundChoices
from rerank.index.errors import InputError, StoreBusyError
from rerank.jobs.annotation.asking import AnswerBook, Queue, QueueKind
from rerank.jobs.annotation.session import (
    LONGEST_NOTE,
    Alike,
    AnswerSession,
    Given,
    Question,
    verdict_words,
    words_of_answer,
)
from rerank.jobs.tables import cut, printable, width_of
from rerank.store.rows import Verdict

MAX_CHOICES = 9
"""Choices are taken by one digit."""

LEAST_WIDTH, LEAST_HEIGHT = 40, 14
_MAX_TITLE_LINES = 5
_MAX_TITLE_CHARS = 1000  # more than any window shows
_GAP = "   "
_N_ANSWERING = 4  # keys of `_keys_of` that answer, digits aside
_ROW_SIGNS = 6  # of a choice's row: two blanks and a probability

# How a line is drawn where the terminal may use colours, as ANSI codes.
STRONG, FAINT, NOTICE = "1", "2", "33"


class Line(NamedTuple):
    """One line of a screen, and the ANSI code it is drawn with; empty for none."""

    text: str
    style: str = ""


class Screen(NamedTuple):
    """What fills the window, no line wider than it.

    :param n_choices: how many numbered choices fitted; only these may be taken.
    :param is_complete: False if the window is too small to judge a listing by.
    """

    lines: tuple[Line, ...]
    n_choices: int = 0
    is_complete: bool = True


class Size(NamedTuple):
    """A window's columns and rows."""

    width: int
    height: int

    @property
    def is_too_small(self) -> bool:
        """Whether a listing cannot be judged in it."""
        return self.width < LEAST_WIDTH or self.height < LEAST_HEIGHT


def _keys_of(words: AskingWords) -> dict[str, tuple[str, str]]:
    """Return what the keys do beside the digits: as the last lines say it, and as the help does."""
    return {
        "n": ("none of these", f"none of these: {words.unlisted} (search first)"),
        "x": (words.not_one, f"{words.not_one}: {words.such_as}"),
        "l": (words.several, f"{words.several} at once, different ones"),
        "u": ("unsure", "unsure: the text does not tell"),
        "s": ("skip", "skip: save nothing, ask again another time"),
        "m": ("model", f"{words.any_variant}: the digit after it chooses the model alone"),
        "g": ("", "show what looks the same, and choose what the answer holds for, too"),
        "t": ("note", "write a note, kept with the answer"),
        "b": ("back", "back to the listing before, to change its answer"),
        "z": ("undo", "undo: take the last answer back, and ask again"),
        "/": ("search", f"search the {words.catalogue} and choose from what is found"),
        "?": ("help", ""),
        "q": ("quit", "quit; `rerank annotate` goes on where you left"),
    }


def question_screen(
    question: Question,
    size: Size,
    *,
    progress: str,
    message: str,
    note: str = "",
    n_also: int = 0,
) -> Screen:
    """Return the screen of one listing: title, our decision, candidates with their evidence, keys.

    A low window loses blank lines first, then lines of the title, then candidates.

    :param progress: the first line.
    :param message: the last line: what was saved, or why a key did nothing.
    :param note: that the answer will have.
    :param n_also: how many of those that look the same it will hold for.
    """
    if size.is_too_small:
        return too_small(size)
    title = [
        Line(text, STRONG)
        for text in wrapped(question.item.listing.title, size.width)[:_MAX_TITLE_LINES]
    ]
    facts = [*_facts(question), *_held(question, note, n_also)]
    blocks = [_choice(number, question, size.width) for number in range(len(question.choices))]
    foot = [*_keys(question.words, len(blocks), size.width), Line(message, NOTICE)]
    spare = size.height - 1 - len(facts) - len(foot)
    blank = max(0, min(3, spare - len(title) - sum(map(len, blocks))))
    while len(title) > 2 and len(title) + sum(map(len, blocks)) > spare:
        title.pop()
    while blocks and len(title) + sum(map(len, blocks)) > spare:
        blocks.pop()
    # the first blank line sets the candidates off, the second the title, the third the keys
    below, above, behind = ([Line("")] * (at < blank) for at in range(3))
    chosen = [line for block in blocks for line in block]
    lines = [Line(progress, FAINT), *above, *title, *facts, *below, *chosen, *behind, *foot]
    return _screen(lines, size, len(blocks))


def wrapped(text: str, width: int) -> list[str]:
    """Return printable text in lines of at most ``width`` columns, cut between words if it can be.

    Control characters, and those that change the direction of writing, become spaces.
    """
    return _packed(printable(text[:_MAX_TITLE_CHARS]).split(), width, " ")


def _packed(parts: Sequence[str], width: int, gap: str) -> list[str]:
    """Return parts, ``gap`` between them, in lines; one that is wider than a line is cut."""
    lines = [""]
    for part in parts:
        joined = f"{lines[-1]}{gap}{part}" if lines[-1] else part
        if width_of(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for char in part:
            if width_of(lines[-1] + char) > width:
                lines.append("")
            lines[-1] += char
    return lines


def too_small(size: Size) -> Screen:
    """Return the screen of a window that cannot show a listing."""
    need = f"make the window at least {LEAST_WIDTH} x {LEAST_HEIGHT}"
    lines = wrapped(f"{need}, it is {size.width} x {size.height}; q quits", max(1, size.width))
    return Screen(tuple(map(Line, lines[: max(1, size.height)])), is_complete=False)


def _screen(lines: Sequence[Line], size: Size, n_choices: int = 0) -> Screen:
    """Return lines cut to the window."""
    fitting = (Line(cut(line.text, size.width), line.style) for line in lines[: size.height])
    return Screen(tuple(fitting), n_choices)


def _facts(question: Question) -> list[Line]:
    """Return what is known besides the title, and what we would decide."""
    item, listing, answer = question.item, question.item.listing, question.item.resolution
    known = (
        "" if listing.price is None else f"price {listing.price:,.2f}",
        item.shop and f"shop {cut(item.shop, 24)}",
        listing.vendor and f"vendor {listing.vendor}",
        question.links.link,
    )
    decided = f"{answer.decision.replace('_', ' ')}, probability {answer.match_probability:.2f}"
    if answer.best_guess is not None:
        decided += f", {answer.subject}"
    lines = (
        Line(_GAP.join(filter(None, known))),
        Line("" if question.blind else f"we say: {decided}", FAINT),
        Line("" if question.blind else f"because: {answer.reason}", FAINT),
        *(Line(f"{who} said: {words}", NOTICE) for who, words in question.said),
        Line(question.suggested and f"the model says: {question.suggested}", FAINT),
        Line(question.answer and f"your answer: {question.answer}", NOTICE),
    )
    return [line for line in lines if line.text]


def _held(question: Question, note: str, n_also: int) -> list[Line]:
    """Return what an answer is kept with, and what else it may hold for."""
    alike = f"{len(question.alike)} more look the same: g shows them" if question.alike else ""
    if n_also:
        alike = f"the answer holds for {n_also} of {len(question.alike)} more that look the same"
    lines = Line(alike, NOTICE if n_also else FAINT), Line(note and f"note: {note}", NOTICE)
    return [line for line in lines if line.text]


def alike_screen(
    shown: Sequence[Alike], ticked: Collection[str], size: Size, *, n_more: int, title: str
) -> Screen:
    """Return the screen of listings that look the same as one, some of them ticked.

    :param shown: as many are shown as digits and rows suffice for.
    :param n_more: how many stand behind them.
    :param title: of the one that is asked about.
    """
    if size.is_too_small:
        return too_small(size)
    room = shown[: min(MAX_CHOICES, size.height - 6)]
    rows = []
    for number, each in enumerate(room, 1):
        tick = "x" if each.listing.listing_id in ticked else " "
        other = "" if each.same else "similar, not the same: "
        rows.append(Line(f"{number} [{tick}] {other}{printable(each.listing.title)}"))
    behind = n_more + len(shown) - len(room)
    lines = [
        Line("The answer will hold for those you tick, too", FAINT),
        Line(printable(title), STRONG),
        Line(""),
        *rows,
        Line(f"{behind} more behind these: n" if behind else "", FAINT),
        Line(f"1-{len(room)} tick{_GAP}a all of these, or none{_GAP}Enter, Esc: back", FAINT),
    ]
    return _screen(lines, size, len(room))


def note_screen(note: str, size: Size) -> Screen:
    """Return the screen on which a note is written."""
    typed = f"{note}_"
    while width_of(typed) > size.width:
        typed = typed[1:]
    lines = [
        Line("Note, kept with the answer", FAINT),
        Line(typed, STRONG),
        Line(f"Enter: keep it{_GAP}Esc: leave it as it was", FAINT),
    ]
    return _screen(lines, size)


def _choice(at: int, question: Question, width: int) -> list[Line]:
    """Return a candidate's line and, if there is any, that of what sets it apart."""
    share = f"{question.shares[at]:.2f}" if question.shares else ""
    row = Line(row_text(at + 1, question.choices[at], width, share))
    evidence = question.contrasts[at]
    return [row, Line(f"    {evidence}", FAINT)] if evidence else [row]


def row_text(number: int, choice: CatalogueChoice, width: int, share: str = "") -> str:
    """Return a choice as one row; the name takes what the columns behind it leave."""
    room = min(choice.widest, width - width_of(choice.cells) - _ROW_SIGNS)
    name = cut(f"{number} {choice.heading}", room)
    blank = " " * (room - width_of(name))
    return cut(f"{name}{blank} {choice.cells} {share:>4}".rstrip(), width)


def _keys(words: AskingWords, n_choices: int, width: int) -> list[Line]:
    keys = [f"{key} {short}" for key, (short, _) in _keys_of(words).items() if short]
    numbers = [f"1-{n_choices} a candidate"] if n_choices else []
    answering, other = (
        _packed([*numbers, *keys[:_N_ANSWERING]], width, _GAP),
        _packed(keys[_N_ANSWERING:], width, _GAP),
    )
    return [Line(text, FAINT) for text in (*answering, *other)]


def search_screen(
    query: str,
    found: FoundChoices,
    size: Size,
    *,
    catalogue: str,
    is_typing: bool,
    message: str,
) -> Screen:
    """Return the screen on which a catalogue is searched.

    :param found: as many are shown as digits and rows suffice for.
    :param catalogue: what it is called.
    :param is_typing: words are being typed; otherwise a digit picks a match.
    """
    if size.is_too_small:
        return too_small(size)
    shown = found.best[: min(MAX_CHOICES, size.height - 6)]
    rows = [Line(row_text(number, choice, size.width)) for number, choice in enumerate(shown, 1)]
    nothing = "Nothing found: no name has all words." if query.strip() else "Type a name."
    more = found.total - len(shown)
    chooses = "Enter: choose" if is_typing else f"1-{len(shown)} choose{_GAP}/ other words"
    # The end of what is typed matters most: a long query is shown from behind.
    typed = f"/ {query}_" if is_typing else f"/ {query}"
    while width_of(typed) > size.width:
        typed = "/ " + typed[3:]
    lines = [
        Line(f"Search the {catalogue}", FAINT),
        Line(typed, STRONG),
        Line(""),
        *(rows or [Line(nothing)]),
        Line(f"{more:,} more: type more words" if more else "", FAINT),
        Line(f"{chooses}{_GAP}Esc: back to the listing", FAINT),
        Line(message, NOTICE),
    ]
    return _screen(lines, size, 0 if is_typing else len(shown))


def help_screen(words: AskingWords, size: Size) -> Screen:
    """Return the screen that explains the keys."""
    lines = [
        "What does the listing sell? One key answers, and the answer is saved at once.",
        "",
        f"1-9  {words.chosen}",
        *(f"{key:5}{told}" for key, (_, told) in _keys_of(words).items() if told),
        "",
        "Any key returns to the listing.",
    ]
    return _screen(list(map(Line, lines)), size)


def end_screen(size: Size, *, message: str) -> Screen:
    """Return the screen behind the last listing, from where its answer can still be changed."""
    keys = Line("b back to change an answer   q quit", FAINT)
    lines = [Line("That was the last one.", STRONG), Line(""), keys, Line(message, NOTICE)]
    return _screen(lines, size)


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
    "z": lambda dialogue, question, terminal: dialogue._undo(),
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
