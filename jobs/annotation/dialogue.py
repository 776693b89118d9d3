"""The dialogue of `rerank annotate`: what each key does. Terminal and store are handed in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from index.errors import StoreBusyError
from index.records import Listing
from jobs.annotation.keys import Key
from jobs.annotation.overlays import end_screen, help_screen, search_screen
from jobs.annotation.screen import MAX_CHOICES, Choice, Question, Screen, Size, question_screen
from jobs.searching import find_by_words, search
from rerank.annotation.contrast import contrasts
from rerank.store.annotations import Annotation, Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from index.retriever import Retriever
    from jobs.annotation.asking import Queue

_VERDICT_KEYS = {"n": Verdict.NONE_OF_THESE, "x": Verdict.NOT_GPU, "u": Verdict.UNSURE}
VERDICT_WORDS = {
    Verdict.MATCH: "match", Verdict.NONE_OF_THESE: "none of these", Verdict.NOT_GPU: "not a GPU",
    Verdict.UNSURE: "unsure",
}  # fmt: skip
_LONGEST_QUERY = 200


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
    :param top_k: candidates shown, at most `MAX_CHOICES`.
    :param label: what stands behind the counts in the first line.
    """

    def __init__(
        self,
        queue: Queue,
        retriever: Retriever,
        save: Callable[[Annotation], None],
        *,
        annotator: str,
        top_k: int,
        label: str,
    ) -> None:
        self._queue = queue
        self._retriever = retriever
        self._records = {record.gpu_id: record for record in retriever.records}
        self._save = save
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
            else:
                screen = question_screen(
                    question, terminal.size(), progress=self._progress(), message=self._message
                )
            terminal.show(screen)
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
            self._answer(_VERDICT_KEYS[str(key)], None, shown, terminal)
        elif key in _digits(len(shown)):
            self._answer(Verdict.MATCH, shown[int(str(key)) - 1], shown, terminal)
        elif key == "/":
            choice_found = self._search(terminal)
            if choice_found is not None:
                self._answer(Verdict.MATCH, choice_found, shown, terminal)
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
        choice: Choice | None,
        shown: Sequence[Choice],
        terminal: Terminal,
    ) -> None:
        item = self._queue.items[self._at]
        annotation = Annotation(
            item.listing.listing_id, self._annotator, verdict,
            gpu_id=choice.gpu_id if choice else None, model=choice.model if choice else None,
            shown=tuple(offered.gpu_id for offered in shown),
            model_version=item.resolution.model_version,
        )  # fmt: skip
        try:
            self._save(annotation)
        except StoreBusyError as exc:
            self._message = f"not saved: {exc}"
            return
        words = choice.name if choice else VERDICT_WORDS[verdict]
        self._answers[self._at] = (verdict, words)
        self._message = f"saved: {words}"
        self._go_on(terminal)

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

    def _search(self, terminal: Terminal) -> Choice | None:
        """Let the person type words and pick a match; None if they leave."""
        query, is_typing, message = "", True, ""
        while True:
            found = self._matches(query)
            screen = search_screen(
                query, found, terminal.size(), is_typing=is_typing, message=message
            )
            terminal.show(screen)
            key, message = terminal.read(), ""
            if key in (Key.ESCAPE, Key.CLOSED):
                return None
            if is_typing:
                query = _edited(query, key)
                is_typing = key is not Key.ENTER or not found
            elif key in _digits(screen.n_choices):
                return found[int(str(key)) - 1]
            elif key in ("/", Key.BACKSPACE):
                is_typing = True
            elif key is not Key.RESIZED:
                message = "a digit chooses, / types other words, Esc leaves"

    def _matches(self, query: str) -> list[Choice]:
        """Return GPUs whose names hold all words, then those that the query retrieves."""
        if not query.strip():
            return []
        named = [record.gpu_id for record in find_by_words(self._retriever.records, query)]
        hits = search(self._retriever, Listing("", query), n_candidates=MAX_CHOICES)
        ids = dict.fromkeys([*named, *[hit["gpu_id"] for hit in hits]])
        return [self._choice(gpu_id) for gpu_id in list(ids)[:MAX_CHOICES]]

    def _choice(self, gpu_id: str, probability: float | None = None) -> Choice:
        record = self._records[gpu_id]
        return Choice(
            gpu_id, record.model, record.memory_gb, record.memory_type, record.form_factor,
            probability,
        )  # fmt: skip

    def _question(self) -> Question:
        item = self._queue.items[self._at]
        candidates = item.resolution.candidates[: self._top_k]
        apart = contrasts(candidates, item.listing.title, self._retriever.lexicon)
        choices = tuple(self._choice(shown.gpu_id, shown.probability) for shown in candidates)
        _, answer = self._answers.get(self._at, (None, ""))
        return Question(item, choices, tuple(apart), answer)

    def _progress(self) -> str:
        done = self._queue.n_answered + len(self._answers)
        total = self._queue.n_answered + len(self._queue.items)
        today = self._queue.n_today + len(self._answers)
        return f"{done:,} of {total:,} answered, {today:,} today   {self._label}"


def _digits(count: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(1, count + 1))


def _edited(query: str, key: str | Key) -> str:
    """Return what is typed after one more key."""
    if key is Key.BACKSPACE:
        return query[:-1]
    if key is Key.CLEAR:
        return ""
    return (query + key)[:_LONGEST_QUERY] if isinstance(key, str) else query


def summary(counts: Counter[Verdict], n_left: int, listings_file: Path | None) -> str:
    """Return the line that ends a session.

    :param n_left: questions that were open when it began.
    """
    n_answered = counts.total()
    parts = [f"{counts[verdict]} {words}" for verdict, words in VERDICT_WORDS.items()
             if counts[verdict]]  # fmt: skip
    text = f"answered {n_answered:,}" + (f" ({', '.join(parts)})" if parts else "")
    if n_left == n_answered:
        return f"{text}, nothing left to ask"
    again = "rerank annotate" + (f" {listings_file}" if listings_file else "")
    return f"{text}, left {n_left - n_answered:,}; go on with `{again}`"
