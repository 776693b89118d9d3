"""A session of answering: who is asked about what, what is saved of it, what is taken back.

`rerank annotate` in a terminal and `rerank review` in a browser are faces of it: both ask one
`AnswerSession` for the next question and hand it what the person says.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rerank.annotation.agreement import ADJUDICATOR
from rerank.annotation.queue import NEAR_COSINE, QueueItem, TitleSimilarity, title_key
from rerank.domain import AskingWords, CatalogueChoice, Choices
from rerank.index.artifacts import locked, read_json, write_json
from rerank.index.errors import InputError, StoreBusyError
from rerank.index.records import Listing
from rerank.jobs.annotation.asking import AnswerBook, Queue, QueueKind, answer_text
from rerank.store.rows import Annotation, ListingLinks, Verdict

LEASE_S = 600.0
"""Seconds for which nobody else is asked what a person was shown."""
_REMEMBERED_S = 86_400.0  # that a listing was answered: queues that do not know it are gone
LONGEST_NOTE = 1000
"""Signs of a note."""
MOST_ALIKE = 50
"""Listings that one answer can hold for beside the one it is about."""


class Given(NamedTuple):
    """What a person says of a listing.

    :param choice: of a match.
    :param any_variant: the choice's model is sold, its variant is not known.
    """

    verdict: Verdict
    choice: CatalogueChoice | None = None
    any_variant: bool = False
    note: str = ""


class Alike(NamedTuple):
    """A listing that may be the same as one that is asked about.

    :param same: its title differs in case, signs and article numbers only.
    """

    listing: Listing
    same: bool


class Question(NamedTuple):
    """A listing as it is asked about.

    :param choices: the top candidates, best first.
    :param contrasts: what sets each of them apart, empty if nothing does.
    :param words: how its goods are called.
    :param shares: the probabilities of their models.
    :param blind: what the model thinks is not told: there are no shares, choices go by name.
    :param answer: what the person answered before, in words; empty if nothing.
    :param said: what others said, each with a name.
    :param suggested: what the model says instead of that.
    :param alike: what the answer may hold for, too.
    """

    item: QueueItem
    choices: tuple[CatalogueChoice, ...]
    contrasts: tuple[str, ...]
    words: AskingWords
    shares: tuple[float, ...] = ()
    blind: bool = False
    answer: str = ""
    said: tuple[tuple[str, str], ...] = ()
    suggested: str = ""
    links: ListingLinks = ListingLinks("", "")
    alike: tuple[Alike, ...] = ()

    @property
    def listing(self) -> Listing:
        """What is asked about."""
        return self.item.listing


class Counts(NamedTuple):
    """How far a queue is.

    :param today: answers since midnight, before and in this session.
    """

    answered: int
    total: int
    today: int


def verdict_words(words: AskingWords) -> dict[Verdict, str]:
    """Return what each verdict is called."""
    return {
        Verdict.MATCH: "match",
        Verdict.NONE_OF_THESE: "none of these",
        Verdict.NOT_GPU: words.not_one,
        Verdict.SEVERAL: words.several,
        Verdict.UNSURE: "unsure",
    }


def words_of_answer(given: Given, words: AskingWords) -> str:
    """Return an answer in words."""
    if given.choice is None:
        return verdict_words(words)[given.verdict]
    if given.any_variant:
        return _open_words(given.choice.model, words)
    return given.choice.name


def _open_words(model: str, words: AskingWords) -> str:
    return f"{model}, {words.any_variant.partition(', ')[2]}"


@dataclass(slots=True)
class _Opened:
    """A queue that is asked: where its listings stand, and until when it knows of answers."""

    queue: Queue
    since: float
    resemblance: Resemblance


class _Lease(NamedTuple):
    """Who was shown a listing, until when nobody else is, and when it was answered (0: never)."""

    person: str
    until: float
    answered: float = 0.0

    def is_free(self, person: str, since: float, now: float) -> bool:
        """Return whether a person may be asked about it in a queue made at a time."""
        return self.answered <= since and (self.person == person or now >= self.until)


class Leases:
    """Who was shown what, and what was answered lately: what keeps two from being asked the same.

    :param path: a file that all processes of a workspace share; None for this process alone.
    :param clock: seconds, of one clock for all who share the file.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        lease_s: float = LEASE_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path, self._lease_s, self.now = path, lease_s, clock
        self._own: dict[str, _Lease] = {}

    def read(self) -> dict[str, _Lease]:
        """Return the marks of now, by listing_id."""
        if self._path is None:
            return self._own
        try:
            return {key: _Lease(*each) for key, each in read_json(self._path).items()}
        except (
            OSError,
            ValueError,
            TypeError,
            AttributeError,
        ):  # nothing there yet, or nothing of ours
            return {}

    @contextmanager
    def changing(self) -> Iterator[dict[str, _Lease]]:
        """Lend the marks to be changed; no other process reads them meanwhile to change them.

        :raises StoreBusyError: if another process keeps them for seconds.
        """
        if self._path is None:
            yield self._own
            return
        busy = f"{self._path}: another process writes it; try again"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self._path.with_suffix(".lock"), lambda: StoreBusyError(busy), wait_s=5.0):
            marks = self.read()
            before, old = dict(marks), self.now() - _REMEMBERED_S
            yield marks
            if marks != before:
                kept = {key: each for key, each in marks.items() if max(each[1:]) > old}
                write_json(kept, self._path)

    def lend(self, marks: dict[str, _Lease], key: str, person: str) -> None:
        """Let a person be shown a listing, and for a while nobody else."""
        marks[key] = _Lease(person, self.now() + self._lease_s)

    def release(self, marks: dict[str, _Lease], key: str, person: str) -> None:
        """Let others be shown what a person was shown and did not answer."""
        if key in marks and marks[key].person == person and not marks[key].answered:
            del marks[key]


@dataclass(slots=True)
class _Walk:
    """Where somebody is in a queue.

    :param trail: what was shown, in its order; ``at`` is the place in it.
    :param passed: of these, what was answered or skipped.
    """

    trail: list[str] = field(default_factory=list)
    at: int = 0
    passed: set[str] = field(default_factory=set)
    answers: dict[str, Annotation] = field(default_factory=dict)

    def go_on(self) -> None:
        """Go to what was shown and not passed, else behind the end."""
        places = enumerate(self.trail)
        self.at = next((at for at, key in places if key not in self.passed), len(self.trail))


class Resemblance:
    """What looks like what among listings that have no answer."""

    def __init__(self, items: Sequence[QueueItem]) -> None:
        self._items = items
        self._rows = {item.listing.listing_id: at for at, item in enumerate(items)}

    @cached_property
    def _keys(self) -> list[str]:
        return [title_key(item.listing.title) for item in self._items]

    @cached_property
    def _similarity(self) -> TitleSimilarity:
        return TitleSimilarity(self._keys)

    def of(self, listing_id: str) -> list[tuple[QueueItem, bool]]:
        """Return what is like a listing, what is the same but for signs and numbers first.

        Else what is predicted to be the same model, with a cosine of `NEAR_COSINE` or more.
        """
        at = self._rows.get(listing_id)
        if at is None:
            return []
        cosine, model = self._similarity.to(at), self._items[at].resolution.best_guess
        found = []
        for row in np.flatnonzero(cosine >= NEAR_COSINE).tolist():
            same = self._keys[row] == self._keys[at]
            if row != at and (same or self._items[row].resolution.best_guess == model):
                found.append((not same, -float(cosine[row]), row))
        return [(self._items[row], not other) for other, _, row in sorted(found)]


class AnswerSession:
    """Asks people about the listings of queues and saves each answer before it asks on.

    Threads may share it. Nobody is asked about what another was shown, until that one has answered,
    skipped it or done nothing with it for `LEASE_S`; that holds over processes that share leases.

    :param choices: what may be chosen.
    :param book: puts answers on disk.
    :param top_k: candidates shown.
    :param leases: over the processes that may ask; by default this one alone.
    """

    def __init__(
        self,
        choices: Choices,
        book: AnswerBook,
        *,
        top_k: int,
        leases: Leases | None = None,
    ) -> None:
        self.choices, self._book, self._top_k = choices, book, top_k
        self._leases = leases or Leases()
        self._lock = threading.RLock()
        self._opened: dict[tuple[QueueKind, str], _Opened] = {}
        self._items: dict[str, tuple[QueueItem, Queue]] = {}
        self._walks: dict[tuple[str, QueueKind], _Walk] = {}

    def now(self) -> float:
        """Return the time by which answers are before or after a queue."""
        return self._leases.now()

    def open(
        self, person: str, kind: QueueKind, queue: Queue, *, since: float | None = None
    ) -> None:
        """Let a queue be asked, in place of an earlier one of its kind.

        What the person has skipped is asked again.

        :param since: `now` before the store was read for it; None for now.
        """
        with self._lock, self._leases.changing() as marks:
            own = self._walk(person, kind)
            own.passed &= own.answers.keys()
            self._leave(person, own, marks)
            self._opened[self.key_of(person, kind)] = _Opened(
                queue,
                self.now() if since is None else since,
                Resemblance(queue.unanswered),
            )
            self._items |= {item.listing.listing_id: (item, queue) for item in queue.items}

    def is_open(self, person: str, kind: QueueKind) -> bool:
        """Return whether a person can be asked what a queue has."""
        return self.key_of(person, kind) in self._opened

    @staticmethod
    def key_of(person: str, kind: QueueKind) -> tuple[QueueKind, str]:
        """Return what a queue is kept by: what is asked blind differs from person to person."""
        return kind, person if kind is QueueKind.SECOND else ""

    def ask(self, person: str, kind: QueueKind) -> Question | None:
        """Return what a person is asked now; None behind the end of the queue.

        :raises StoreBusyError: if another process keeps the leases.
        """
        with self._lock, self._leases.changing() as marks:
            for other in QueueKind:
                if other is not kind and (walk := self._walks.get((person, other))):
                    self._leave(person, walk, marks)
            own = self._walk(person, kind)
            if own.at >= len(own.trail):
                found = self._next(person, own, self._opened[self.key_of(person, kind)], marks)
                if found is None:
                    return None
                own.trail.append(found)
            key = own.trail[own.at]
            if key not in own.answers:
                self._leases.lend(marks, key, person)
            return self._question(person, own, key, kind, marks)

    def _walk(self, person: str, kind: QueueKind) -> _Walk:
        return self._walks.setdefault((person, kind), _Walk())

    def _leave(self, person: str, own: _Walk, marks: dict[str, _Lease]) -> None:
        """Give back what was shown and not passed, and stand behind the end."""
        for key in [key for key in own.trail if key not in own.passed]:
            own.trail.remove(key)
            self._leases.release(marks, key, person)
        own.at = len(own.trail)

    def _next(
        self, person: str, own: _Walk, opened: _Opened, marks: dict[str, _Lease]
    ) -> str | None:
        shown = {*own.trail}
        keys = (item.listing.listing_id for item in opened.queue.items)
        return next(
            (key for key in keys if key not in shown and self._is_free(person, key, opened, marks)),
            None,
        )

    def _is_free(self, person: str, key: str, opened: _Opened, marks: Mapping[str, _Lease]) -> bool:
        return key not in marks or marks[key].is_free(person, opened.since, self.now())

    def _question(
        self, person: str, own: _Walk, key: str, kind: QueueKind, marks: Mapping[str, _Lease]
    ) -> Question:
        item, queue = self._items[key]
        candidates = list(item.resolution.candidates[: self._top_k])
        blind = kind is QueueKind.SECOND
        if blind:  # their order would tell what the model thinks
            candidates.sort(key=lambda each: self.choices.of(each.key).name)
        apart = self.choices.apart(candidates, item.listing.title)
        answer, said = own.answers.get(key), queue.said.get(key, ()) if kind.settles else ()
        return Question(
            item,
            tuple(self.choices.of(each.key) for each in candidates),
            tuple(apart),
            self.choices.words,
            () if blind else tuple(each.probability for each in candidates),
            blind,
            "" if answer is None else self._words(answer),
            tuple((each.annotator, self._words(each, noted=True)) for each in said),
            queue.suggested.get(key, ""),
            queue.links.get(key, ListingLinks("", "")),
            self._alike(person, key, kind, marks),
        )

    def _words(self, answer: Annotation, *, noted: bool = False) -> str:
        """Return an answer that is saved in words, with its note if that is wanted."""
        told = verdict_words(self.choices.words)[answer.verdict]
        if answer.model is not None and answer.gpu_id is None:
            told = _open_words(answer.model, self.choices.words)
        elif answer.gpu_id is not None:
            try:
                told = self.choices.of(answer.gpu_id).name
            except KeyError:  # it left the catalogue
                told = answer_text(answer)
        return f"{told}; {answer.note}" if noted and answer.note else told

    def _alike(
        self, person: str, key: str, kind: QueueKind, marks: Mapping[str, _Lease]
    ) -> tuple[Alike, ...]:
        opened = self._opened.get(self.key_of(person, kind))
        if opened is None:
            return ()
        found = [
            Alike(item.listing, same)
            for item, same in opened.resemblance.of(key)
            if self._is_free(person, item.listing.listing_id, opened, marks)
        ]
        return tuple(found[:MOST_ALIKE])

    def answer(
        self,
        person: str,
        kind: QueueKind,
        listing_id: str,
        given: Given,
        *,
        also: Sequence[str] = (),
        shown: Sequence[CatalogueChoice] | None = None,
        book: AnswerBook | None = None,
    ) -> str:
        """Save an answer, go on, and return it in words.

        :param also: listings that look alike and that it holds for as well.
        :param shown: the candidates that could be seen; None for all that are asked with.
        :param book: saves in place of the session's own.
        :raises InputError: if the listing is not asked about, or another is not like it.
        :raises StoreBusyError: if it could not be saved; then the question stands.
        """
        with self._lock:
            if listing_id not in self._items:
                raise InputError(f"listing {listing_id!r:.80} is not asked about")
            own = self._walk(person, kind)
            question = self._question(person, own, listing_id, kind, self._leases.read())
        like = {each.listing.listing_id for each in question.alike}
        if unlike := [key for key in also if key not in like]:
            raise InputError(f"listing {unlike[0]!r:.80} is not like {listing_id!r:.80}")
        offered = question.choices if shown is None else shown
        put = [
            self._annotation(person, kind, key, given, offered, question)
            for key in (listing_id, *also)
        ]
        (book or self._book).save(person, kind, put)
        with self._lock, self._leases.changing() as marks:
            if listing_id not in own.trail:
                own.trail.append(listing_id)
            own.answers |= {each.listing_id: each for each in put}
            own.passed |= {each.listing_id for each in put}
            answered = _Lease(person, 0.0, self.now())
            marks.update({each.listing_id: answered for each in put})
            own.go_on()
        return words_of_answer(given, self.choices.words)

    @staticmethod
    def _annotation(
        person: str,
        kind: QueueKind,
        key: str,
        given: Given,
        offered: Sequence[CatalogueChoice],
        question: Question,
    ) -> Annotation:
        choice, note = given.choice, given.note
        if kind.settles:
            note = f"{person}: {note}" if note else person
        return Annotation(
            key,
            ADJUDICATOR if kind.settles else person,
            given.verdict,
            gpu_id=None if choice is None or given.any_variant else choice.key,
            model=None if choice is None else choice.model,
            shown=tuple(each.key for each in offered),
            model_version=question.item.resolution.model_version,
            note=note,
        )

    def skip(self, person: str, kind: QueueKind, listing_id: str) -> bool:
        """Go on without an answer; return whether the listing has none of this person."""
        with self._lock, self._leases.changing() as marks:
            own = self._walk(person, kind)
            own.passed.add(listing_id)
            self._leases.release(marks, listing_id, person)
            own.go_on()
            return listing_id not in own.answers

    def back(self, person: str, kind: QueueKind) -> bool:
        """Go to what was shown before, to change its answer; return whether there is any."""
        with self._lock:
            own = self._walk(person, kind)
            moved = own.at > 0
            own.at = max(0, own.at - 1)
            return moved

    def undo(self, person: str, kind: QueueKind, *, book: AnswerBook | None = None) -> str:
        """Take the last answer in a queue back, and ask again; return it in words, "" for none.

        What it replaced stands again. It may have been given in an earlier session.

        :raises StoreBusyError: if that could not be saved; then the answer stands.
        """
        taken = (book or self._book).undo(person, kind)
        if not taken:
            return ""
        with self._lock, self._leases.changing() as marks:
            own, first = self._walk(person, kind), taken[0].answer
            for each in taken:
                key = each.answer.listing_id
                own.answers.pop(key, None)
                if each.again is not None:
                    own.answers[key] = each.again
                    continue
                own.passed.discard(key)
                marks.pop(key, None)
            if first.listing_id in self._items:
                if first.listing_id not in own.trail:
                    own.trail.append(first.listing_id)
                self._leases.lend(marks, first.listing_id, person)
                own.at = own.trail.index(first.listing_id)
            return self._words(first)

    def counts(self, person: str) -> Counter[Verdict]:
        """Return how many listings got which answer; a changed answer counts once."""
        own = [walk for (who, _), walk in self._walks.items() if who == person]
        return Counter(answer.verdict for walk in own for answer in walk.answers.values())

    def progress(self, person: str, kind: QueueKind) -> Counts:
        """Return how far a queue is, the answers of all people in it."""
        with self._lock:
            opened = self._opened[self.key_of(person, kind)]
            keys = [item.listing.listing_id for item in opened.queue.items]
            marks = self._leases.read()
            done = sum(key in marks and marks[key].answered > opened.since for key in keys)
            known, today = opened.queue.n_answered, opened.queue.n_today
            return Counts(known + done, known + len(keys), today + done)
