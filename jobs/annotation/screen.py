"""What `rerank annotate` draws of a listing: plain lines for a window, nothing read or written."""

from __future__ import annotations

import codecs
import os
import select
import signal
import sys
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from types import FrameType
from typing import TYPE_CHECKING, Any

from rerank.index.errors import InputError
from rerank.jobs.tables import cut, memory, width_of

if TYPE_CHECKING:
    from rerank.annotation.queue import Contrast, QueueItem
    from rerank.index.records import GpuRecord


MAX_CHOICES = 9
"""Choices are taken by one digit."""

LEAST_WIDTH, LEAST_HEIGHT = 40, 14
_MAX_TITLE_LINES = 5
_MAX_TITLE_CHARS = 1000  # more than any window shows
_ANSWER_KEYS = "n none of these   x not a GPU   u unsure   s skip"
_OTHER_KEYS = "b back   / search   ? help   q quit"


class Style(Enum):
    """How a line is drawn where the terminal may use colours, as ANSI codes."""

    PLAIN = ""
    STRONG = "1"
    FAINT = "2"
    NOTICE = "33"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a screen, never wider than the window."""

    text: str
    style: Style = Style.PLAIN


@dataclass(frozen=True, slots=True)
class Screen:
    """What fills the window.

    :param n_choices: how many numbered choices fitted; only these may be taken.
    :param is_complete: False if the window is too small to judge a listing by.
    """

    lines: tuple[Line, ...]
    n_choices: int = 0
    is_complete: bool = True


@dataclass(frozen=True, slots=True)
class Size:
    """A window's columns and rows."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class GpuChoice:
    """A GPU that a person may pick.

    :param probability: of its model, for the listing; None if that was not computed.
    """

    gpu_id: str
    model: str
    memory_gb: float
    memory_type: str
    form_factor: str
    probability: float | None = None

    @property
    def name(self) -> str:
        """Model and variant in words."""
        return f"{self.model} {memory(self.memory_gb)} {self.memory_type} {self.form_factor}"


def choice_of(record: GpuRecord, probability: float | None = None) -> GpuChoice:
    """Return a GPU of the registry as a choice."""
    return GpuChoice(
        record.gpu_id,
        record.model,
        record.memory_gb,
        record.memory_type,
        record.form_factor,
        probability,
    )


@dataclass(frozen=True, slots=True)
class Question:
    """A listing as it is asked about.

    :param choices: the top candidates, best first.
    :param contrasts: what sets each of them apart.
    :param answer: what was answered before, in words; empty if nothing was.
    """

    item: QueueItem
    choices: tuple[GpuChoice, ...]
    contrasts: tuple[Contrast, ...]
    answer: str = ""


def question_screen(question: Question, size: Size, *, progress: str, message: str) -> Screen:
    """Return the screen of one listing: title, our decision, candidates with their evidence, keys.

    A low window loses blank lines first, then lines of the title, then candidates.

    :param progress: the first line.
    :param message: the last line: what was saved, or why a key did nothing.
    """
    if size.width < LEAST_WIDTH or size.height < LEAST_HEIGHT:
        return too_small(size)
    width = size.width
    head = [Line(cut(progress, width), Style.FAINT)]
    title = wrapped(question.item.listing.title, width)[:_MAX_TITLE_LINES]
    facts = _facts(question, width)
    blocks = [_choice(number, question, width) for number in range(1, len(question.choices) + 1)]
    foot = _keys(len(blocks), width)
    foot.append(Line(cut(message, width), Style.NOTICE))
    blank = 3
    spare = size.height - len(head) - len(facts) - len(foot)
    while blank and len(title) + sum(map(len, blocks)) + blank > spare:
        blank -= 1
    while len(title) > 2 and len(title) + sum(map(len, blocks)) > spare:
        title.pop()
    while blocks and len(title) + sum(map(len, blocks)) > spare:
        blocks.pop()
    gaps = [[Line("")] if at < blank else [] for at in range(3)]
    lines = [
        *head,
        *gaps[1],
        *[Line(text, Style.STRONG) for text in title],
        *facts,
        *gaps[0],
        *[line for block in blocks for line in block],
        *gaps[2],
        *foot,
    ]
    return Screen(tuple(lines), len(blocks))


def wrapped(text: str, width: int) -> list[str]:
    """Return printable text in lines of at most ``width`` columns, cut between words if it can be.

    Control characters, and those that change the direction of writing, become spaces.
    """
    shown = "".join(char if char.isprintable() else " " for char in text[:_MAX_TITLE_CHARS])
    lines = [""]
    for word in shown.split():
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if width_of(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for char in word:
            if width_of(lines[-1] + char) > width:
                lines.append("")
            lines[-1] += char
    return lines


def decided(item: QueueItem) -> str:
    """Return our decision in words."""
    answer = item.resolution
    decision = f"{answer.decision.replace('_', ' ')}, probability {answer.match_probability:.2f}"
    if answer.model is None:
        return decision
    verb = "" if answer.decision == "match" else "best guess "
    return f"{decision}, {verb}{answer.model} {memory(answer.memory_gb)}"


def too_small(size: Size) -> Screen:
    """Return the screen of a window that cannot show a listing."""
    need = f"make the window at least {LEAST_WIDTH} x {LEAST_HEIGHT}"
    lines = wrapped(f"{need}, it is {size.width} x {size.height}; q quits", max(1, size.width))
    return Screen(tuple(map(Line, lines[: max(1, size.height)])), is_complete=False)


def _facts(question: Question, width: int) -> list[Line]:
    """Return what is known besides the title, and what we would decide."""
    item, answer = question.item, question.item.resolution
    price = "" if item.listing.price is None else f"price {item.listing.price:,.2f}"
    vendor = f"vendor {item.listing.vendor}" if item.listing.vendor else ""
    shop = f"shop {cut(item.shop, 24)}" if item.shop else ""
    known = "   ".join(part for part in (price, shop, vendor) if part)
    lines = [Line(cut(known, width))] if known else []
    lines.append(Line(cut(f"we say: {decided(item)}", width), Style.FAINT))
    lines.append(Line(cut(f"because: {answer.reason}", width), Style.FAINT))
    if question.answer:
        lines.append(Line(cut(f"your answer: {question.answer}", width), Style.NOTICE))
    return lines


def _choice(number: int, question: Question, width: int) -> list[Line]:
    """Return a candidate's line and, if there is any, that of what sets it apart."""
    lines = [Line(row_text(number, question.choices[number - 1], width))]
    evidence = contrast_text(question.contrasts[number - 1])
    if evidence:
        lines.append(Line(cut(f"    {evidence}", width), Style.FAINT))
    return lines


def contrast_text(contrast: Contrast) -> str:
    """Return a candidate's evidence as a person reads it; empty if nothing sets it apart."""
    parts = [
        f"{label} {' '.join(words)}"
        for label, words in (
            ("title has", contrast.said),
            ("title lacks", contrast.unsaid),
            ("unexplained", contrast.unexplained),
        )
        if words
    ]
    if contrast.code:
        parts.append(f"{contrast.code} names it")
    return "; ".join([*parts, *[part for part in (contrast.memory, contrast.form) if part]])


def row_text(number: int, choice: GpuChoice, width: int) -> str:
    """Return a choice as one row; the name takes what the columns behind it leave."""
    share = "" if choice.probability is None else f"{choice.probability:.2f}"
    room = min(44, width - 33)
    name = cut(f"{number} {choice.model}", room)
    blank = " " * (room - width_of(name))
    size, kind, form = memory(choice.memory_gb), choice.memory_type, choice.form_factor
    return cut(f"{name}{blank} {size:>7} {kind:7} {form:11} {share:>4}".rstrip(), width)


def _keys(n_choices: int, width: int) -> list[Line]:
    numbers = f"1-{n_choices} a candidate   " if n_choices else ""
    texts = [f"{numbers}{_ANSWER_KEYS}", _OTHER_KEYS]
    return [Line(text, Style.FAINT) for keys in texts for text in _wrapped_keys(keys, width)]


def _wrapped_keys(keys: str, width: int) -> list[str]:
    """Return a line of keys in as many lines as it needs, cut between keys only."""
    lines = [""]
    for key in keys.split("   "):
        joined = f"{lines[-1]}   {key}" if lines[-1] else key
        if width_of(joined) > width:
            lines.append(key)
        else:
            lines[-1] = joined
    return lines


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


def search_screen(
    query: str, found: Sequence[GpuChoice], size: Size, *, is_typing: bool, message: str
) -> Screen:
    """Return the screen on which the registry is searched.

    :param found: the matches, best first; as many are shown as digits and rows suffice for.
    :param is_typing: words are being typed; otherwise a digit picks a match.
    """
    if size.width < LEAST_WIDTH or size.height < LEAST_HEIGHT:
        return too_small(size)
    width = size.width
    shown = found[: min(MAX_CHOICES, size.height - 6)]
    keys = (
        "Enter: choose   Esc: back to the listing"
        if is_typing
        else (f"1-{len(shown)} choose   / other words   Esc: back to the listing")
    )
    # The end of what is typed matters most: a long query is shown from behind.
    typed = f"/ {query}_" if is_typing else f"/ {query}"
    while width_of(typed) > width:
        typed = "/ " + typed[3:]
    lines = [Line(cut("Search the registry", width), Style.FAINT), Line(typed, Style.STRONG)]
    lines.append(Line(""))
    lines += [Line(row_text(number, choice, width)) for number, choice in enumerate(shown, 1)]
    if not shown:
        text = "Nothing found: no name has all words." if query.strip() else "Type a name."
        lines.append(Line(cut(text, width)))
    more = len(found) - len(shown)
    lines.append(Line(cut(f"{more:,} more: type more words" if more else "", width), Style.FAINT))
    lines.append(Line(cut(keys, width), Style.FAINT))
    lines.append(Line(cut(message, width), Style.NOTICE))
    return Screen(tuple(lines), 0 if is_typing else len(shown))


def help_screen(size: Size) -> Screen:
    """Return the screen that explains the keys."""
    lines = [
        "What does the listing sell? One key answers, and the answer is saved at once.",
        "",
        "1-9  this candidate, with its memory and form factor",
        "n    none of these: a GPU, but not in the registry (search first)",
        "x    not a GPU: an accessory, a laptop, a whole computer, a box",
        "u    unsure: the text does not tell",
        "s    skip: save nothing, ask again another time",
        "b    back to the listing before, to change its answer",
        "/    search the registry and choose from what is found",
        "q    quit; `rerank annotate` goes on where you left",
        "",
        "Any key returns to the listing.",
    ]
    return Screen(tuple(Line(cut(text, size.width)) for text in lines[: size.height]))


def end_screen(size: Size, *, message: str) -> Screen:
    """Return the screen behind the last listing, from where its answer can still be changed."""
    lines = (
        Line("That was the last one.", Style.STRONG),
        Line(""),
        Line("b back to change an answer   q quit", Style.FAINT),
        Line(message, Style.NOTICE),
    )
    fitting = [Line(cut(line.text, size.width), line.style) for line in lines[: size.height]]
    return Screen(tuple(fitting))
