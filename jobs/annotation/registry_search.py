"""The search of the registry in `rerank annotate`: words are typed, a digit picks a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from index.records import GpuRecord
from jobs.annotation.keys import Key, digit_keys
from jobs.annotation.overlays import search_screen
from jobs.annotation.screen import Choice, choice_of
from jobs.searching import find_by_words

if TYPE_CHECKING:
    from jobs.annotation.dialogue import Terminal

_LONGEST_QUERY = 200


def search_registry(records: Sequence[GpuRecord], terminal: Terminal) -> Choice | None:
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
