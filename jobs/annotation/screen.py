"""What `rerank annotate` draws of a listing: plain lines for a window, nothing read or written."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from jobs.tables import cut, memory, width_of

if TYPE_CHECKING:
    from index.records import GpuRecord
    from rerank.annotation.contrast import Contrast
    from rerank.annotation.queue import QueueItem

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
class Choice:
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


def choice_of(record: GpuRecord, probability: float | None = None) -> Choice:
    """Return a GPU of the registry as a choice."""
    return Choice(
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
    choices: tuple[Choice, ...]
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


def row_text(number: int, choice: Choice, width: int) -> str:
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
