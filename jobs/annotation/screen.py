"""What `rerank annotate` draws: a window's lines for a question, a search, the help and the end.

Nothing is read or written here; `rerank.jobs.annotation.dialogue` shows the screens.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rerank.jobs.annotation.session import Alike, Question
from rerank.jobs.tables import cut, printable, width_of

if TYPE_CHECKING:
    from rerank.domain import AskingWords, CatalogueChoice, FoundChoices


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
