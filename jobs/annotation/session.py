"""A session of answering: who is asked about what, what is saved of it, what is taken back.

`rerank annotate` in a terminal and `rerank review` in a browser are faces of it: both ask one
`AnswerSession` for the next question and hand it what the person says.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rerank.annotation.agreement import ADJUDICATOR
from rerank.annotation.queue import NEAR_COSINE, QueueItem, TitleSimilarity, title_key
from rerank.index.errors import InputError
from rerank.jobs.annotation.asking import Queue, QueueKind, answer_text
from rerank.store.rows import Annotation, ListingLinks, Verdict

if TYPE_CHECKING:
    from rerank.domain import AskingWords, CatalogueChoice, Choices
    from rerank.index.records import Listing

Write = Callable[[Sequence[Annotation], Sequence[Annotation]], list[Annotation]]
"""Puts answers in a store and takes others out; returns what stood where the first are now."""

LEASE_S = 600.0
"""Seconds for which nobody else is asked what a person was shown."""
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
        Verdict.UNSURE: "unsure",
    }


def several(words: AskingWords) -> Given:
    """Return the answer that different goods are sold at once: none of them alone."""
    return Given(Verdict.NOT_GPU, note=words.several)


def words_of_answer(given: Given, words: AskingWords) -> str:
    """Return an answer in words."""
    if given.choice is None:
        is_lot = given.verdict is Verdict.NOT_GPU and given.note.startswith(words.several)
        return words.several if is_lot else verdict_words(words)[given.verdict]
    if given.any_variant:
        return f"{given.choice.model}, {words.any_variant.partition(', ')[2]}"
    return given.choice.name


def _told(answer: Annotation, words: AskingWords) -> str:
    told = answer_text(answer) if answer.model else verdict_words(words)[answer.verdict]
    return f"{told}; {answer.note}" if answer.note else told


@dataclass(slots=True)
class _Opened:
    """A queue that is asked: where its listings stand, and the answers given before it was."""

    queue: Queue
    since: int
    resemblance: Resemblance


@dataclass(slots=True)
class _Deed:
    """What one press of a key saved, what it replaced, and what the person had said before."""

    listing_id: str
    put: list[Annotation]
    replaced: list[Annotation]
    before: dict[str, Given]


@dataclass(slots=True)
class _Walk:
    """Where somebody is in a queue.

    :param trail: what was shown, in its order; ``at`` is the place in it.
    :param passed: of these, what was answered or skipped.
    """

    trail: list[str] = field(default_factory=list)
    at: int = 0
    passed: set[str] = field(default_factory=set)
    answers: dict[str, Given] = field(default_factory=dict)
    deeds: list[_Deed] = field(default_factory=list)

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
    skipped it or done nothing with it for `LEASE_S`.

    :param choices: what may be chosen.
    :param write: puts answers on disk.
    :param top_k: candidates shown.
    :param clock: in seconds.

    ``n_answers`` counts what was answered; it only rises.
    """

    def __init__(
        self,
        choices: Choices,
        write: Write,
        *,
        top_k: int,
        lease_s: float = LEASE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.choices, self._write, self._top_k = choices, write, top_k
        self._lease_s, self._clock = lease_s, clock
        self._lock = threading.RLock()
        self._opened: dict[tuple[QueueKind, str], _Opened] = {}
        self._items: dict[str, tuple[QueueItem, Queue]] = {}
        self._walks: dict[tuple[str, QueueKind], _Walk] = {}
        self._leases: dict[str, tuple[str, float]] = {}
        self._last_answer: dict[str, int] = {}
        self.n_answers = 0

    def open(self, person: str, kind: QueueKind, queue: Queue, *, since: int | None = None) -> None:
        """Let a queue be asked, in place of an earlier one of its kind.

        What the person has skipped is asked again.

        :param since: ``n_answers`` when the store was read for it; None for those of now.
        """
        with self._lock:
            own = self._walk(person, kind)
            own.passed &= own.answers.keys()
            self._leave(person, own)
            self._opened[self.key_of(person, kind)] = _Opened(
                queue,
                self.n_answers if since is None else since,
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
        """Return what a person is asked now; None behind the end of the queue."""
        with self._lock:
            for other in QueueKind:
                if other is not kind and (walk := self._walks.get((person, other))):
                    self._leave(person, walk)
            own = self._walk(person, kind)
            if own.at >= len(own.trail):
                found = self._next(person, own, self._opened[self.key_of(person, kind)])
                if found is None:
                    return None
                own.trail.append(found)
            key = own.trail[own.at]
            if key not in own.answers:
                self._leases[key] = (person, self._clock() + self._lease_s)
            return self._question(person, own, key, kind)

    def _walk(self, person: str, kind: QueueKind) -> _Walk:
        return self._walks.setdefault((person, kind), _Walk())

    def _leave(self, person: str, own: _Walk) -> None:
        """Give back what was shown and not passed, and stand behind the end."""
        for key in [key for key in own.trail if key not in own.passed]:
            own.trail.remove(key)
            self._release(person, key)
        own.at = len(own.trail)

    def _release(self, person: str, key: str) -> None:
        if self._leases.get(key, ("", 0.0))[0] == person:
            del self._leases[key]

    def _next(self, person: str, own: _Walk, opened: _Opened) -> str | None:
        shown = set(own.trail)
        for item in opened.queue.items:
            key = item.listing.listing_id
            if key not in shown and self._is_free(person, key, opened):
                return key
        return None

    def _is_free(self, person: str, key: str, opened: _Opened) -> bool:
        holder, until = self._leases.get(key, (person, 0.0))
        taken = holder != person and self._clock() < until
        return not taken and self._last_answer.get(key, 0) <= opened.since

    def _question(self, person: str, own: _Walk, key: str, kind: QueueKind) -> Question:
        item, queue = self._items[key]
        candidates = list(item.resolution.candidates[: self._top_k])
        blind = kind is QueueKind.SECOND
        if blind:  # their order would tell what the model thinks
            candidates.sort(key=lambda each: self.choices.of(each.key).name)
        apart = self.choices.apart(candidates, item.listing.title)
        words, given = self.choices.words, own.answers.get(key)
        said: list[tuple[str, str]] = []
        if kind.settles:
            said = [(each.annotator, _told(each, words)) for each in queue.said.get(key, ())]
        return Question(
            item,
            tuple(self.choices.of(each.key) for each in candidates),
            tuple(apart),
            words,
            () if blind else tuple(each.probability for each in candidates),
            blind,
            "" if given is None else words_of_answer(given, words),
            tuple(said),
            queue.suggested.get(key, ""),
            queue.links.get(key, ListingLinks("", "")),
            self._alike(person, key, kind),
        )

    def _alike(self, person: str, key: str, kind: QueueKind) -> tuple[Alike, ...]:
        opened = self._opened.get(self.key_of(person, kind))
        if opened is None:
            return ()
        found = [
            Alike(item.listing, same)
            for item, same in opened.resemblance.of(key)
            if self._is_free(person, item.listing.listing_id, opened)
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
        write: Write | None = None,
    ) -> str:
        """Save an answer, go on, and return it in words.

        :param also: listings that look alike and that it holds for as well.
        :param shown: the candidates that could be seen; None for all that are asked with.
        :param write: saves in place of the session's own.
        :raises InputError: if the listing is not asked about, or another is not like it.
        :raises StoreBusyError: if it could not be saved; then the question stands.
        """
        with self._lock:
            if listing_id not in self._items:
                raise InputError(f"listing {listing_id!r:.80} is not asked about")
            own = self._walk(person, kind)
            question = self._question(person, own, listing_id, kind)
        like = {each.listing.listing_id for each in question.alike}
        if unlike := [key for key in also if key not in like]:
            raise InputError(f"listing {unlike[0]!r:.80} is not like {listing_id!r:.80}")
        offered = question.choices if shown is None else shown
        put = [
            self._annotation(person, kind, key, given, offered, question)
            for key in (listing_id, *also)
        ]
        replaced = (write or self._write)(put, ())
        with self._lock:
            if listing_id not in own.trail:
                own.trail.append(listing_id)
            keys = {each.listing_id for each in put}
            before = {key: own.answers[key] for key in keys & own.answers.keys()}
            own.deeds.append(_Deed(listing_id, put, replaced, before))
            own.answers |= {each.listing_id: given for each in put}
            own.passed |= keys
            self.n_answers += 1
            for key in keys:
                self._last_answer[key] = self.n_answers
                self._release(person, key)
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
        with self._lock:
            own = self._walk(person, kind)
            own.passed.add(listing_id)
            self._release(person, listing_id)
            own.go_on()
            return listing_id not in own.answers

    def back(self, person: str, kind: QueueKind) -> bool:
        """Go to what was shown before, to change its answer; return whether there is any."""
        with self._lock:
            own = self._walk(person, kind)
            moved = own.at > 0
            own.at = max(0, own.at - 1)
            return moved

    def undo(self, person: str, kind: QueueKind, *, write: Write | None = None) -> str:
        """Take the last answer in a queue back, and ask again; return it in words, "" for none.

        What it replaced stands again.

        :raises StoreBusyError: if that could not be saved; then the answer stands.
        """
        with self._lock:
            own = self._walk(person, kind)
            if not own.deeds:
                return ""
            deed = own.deeds[-1]
        again = {(each.listing_id, each.annotator) for each in deed.replaced}
        gone = [each for each in deed.put if (each.listing_id, each.annotator) not in again]
        (write or self._write)(deed.replaced, gone)
        with self._lock:
            own.deeds.pop()
            given = own.answers[deed.listing_id]
            for key in {each.listing_id for each in deed.put}:
                if key in deed.before:
                    own.answers[key] = deed.before[key]
                    continue
                del own.answers[key]
                own.passed.discard(key)
                self._last_answer.pop(key, None)
            self._leases[deed.listing_id] = (person, self._clock() + self._lease_s)
            own.at = own.trail.index(deed.listing_id)
            return words_of_answer(given, self.choices.words)

    def counts(self, person: str) -> Counter[Verdict]:
        """Return how many listings got which answer; a changed answer counts once."""
        own = [walk for (who, _), walk in self._walks.items() if who == person]
        return Counter(given.verdict for walk in own for given in walk.answers.values())

    def progress(self, person: str, kind: QueueKind) -> Counts:
        """Return how far a queue is, the answers of all people in it."""
        with self._lock:
            opened = self._opened[self.key_of(person, kind)]
            keys = [item.listing.listing_id for item in opened.queue.items]
            done = sum(self._last_answer.get(key, 0) > opened.since for key in keys)
            known, today = opened.queue.n_answered, opened.queue.n_today
            return Counts(known + done, known + len(keys), today + done)
