"""What `rerank annotate` draws besides listings: the search of the registry, help, the end."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.annotation.screen import (
    LEAST_HEIGHT,
    LEAST_WIDTH,
    MAX_CHOICES,
    Choice,
    Line,
    Screen,
    Size,
    Style,
    row_text,
    too_small,
)
from jobs.tables import cut, width_of


def search_screen(
    query: str, found: Sequence[Choice], size: Size, *, is_typing: bool, message: str
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
