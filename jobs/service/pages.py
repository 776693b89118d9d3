"""Pages for people: reviewing a queue in a browser, and trying a title.

Pages are rendered here and work without scripts; their one script adds keys and search as one
types. They load nothing from elsewhere. A listing's photo is fetched by the browser only where the
person asks for it, and then the page's policy names the photo's server and no other.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from markupsafe import Markup

from rerank.annotation.agreement import agreements
from rerank.index.errors import InputError, StoreBusyError
from rerank.index.records import Listing
from rerank.jobs.annotation.asking import AnswerBook, QueueKind, figure_text, prepare
from rerank.jobs.annotation.session import (
    LONGEST_NOTE,
    AnswerSession,
    Given,
    Leases,
    Question,
    verdict_words,
)
from rerank.jobs.service.access import Refusal, Role
from rerank.jobs.service.app import Service
from rerank.jobs.service.batching import Serving
from rerank.jobs.service.operations import FORM, OBJECT, PERSON, Asked, Operation, Reply
from rerank.jobs.tables import printable, template_environment
from rerank.store.database import WRITER_PATIENCE_S, Store
from rerank.store.rows import Verdict, read_annotations
from rerank.workspace import Workspace

if TYPE_CHECKING:
    from jinja2 import Environment

    from rerank.domain import Choices
    from rerank.resolution import Resolution
    from rerank.resolver import Resolver

_TEMPLATES: Final = Path(__file__).with_name("templates")
_ASSETS: Final = {
    "icon.svg": "image/svg+xml",
    "pages.css": "text/css; charset=utf-8",
    "pages.js": "text/javascript; charset=utf-8",
}
_HTML: Final = "text/html; charset=utf-8"
_KEY_COOKIE: Final = "rerank_key"
_NAME_COOKIE: Final = "rerank_person"
_FOUND: Final = 20  # of a search
_MOST_WORDS: Final = 40  # of a title that are left out in turn
_MOST_CHANGES: Final = 8
_TOLD: Final = {
    QueueKind.UNCERTAIN: "Most useful first",
    QueueKind.REVIEW: "Held for review",
    QueueKind.DISAGREEMENT: "Rankers disagree",
    QueueKind.RANDOM: "By chance",
    QueueKind.SECOND: "Second opinion, blind",
    QueueKind.DISPUTES: "Disputes",
    QueueKind.SUSPECTS: "Suspected errors",
}
_VERDICTS: Final = {
    "none": Given(Verdict.NONE_OF_THESE),
    "not_one": Given(Verdict.NOT_GPU),
    "several": Given(Verdict.SEVERAL),
    "unsure": Given(Verdict.UNSURE),
}


@cache
def _environment() -> Environment:
    """Return what renders templates: what they write is printable, and escaped."""
    return template_environment(_TEMPLATES, _shown)


def _shown(value: Any) -> Any:
    """Return what a template writes; of text, other than markup, what is printable."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return printable(value)


def page(name: str, *, photo: str = "", status: int = 200, **content: Any) -> Reply:
    """Return a page, which may show what is its own, and one photo that was asked for."""
    images = " ".join(["'self'", *filter(None, [_server_of(photo)])])
    policy = (
        f"default-src 'self'; img-src {images}; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    )
    text = _environment().get_template(name).render(photo=photo, **content)
    own = {"Content-Security-Policy": policy, "Referrer-Policy": "same-origin"}
    return Reply(text.encode("utf-8", "replace"), status, _HTML, own)


def _server_of(url: str) -> str:
    """Return the origin of an address as a policy names it, "" if it is not plain enough."""
    parts = urlsplit(url) if url else None
    if parts is None or not parts.netloc.isascii() or set(parts.netloc) & set(" ;,'\"@*"):
        return ""
    return f"{parts.scheme}://{parts.netloc}"


def to(path: str, **headers: str) -> Reply:
    """Return what sends a browser on."""
    return Reply(b"", 303, _HTML, {"Location": path, **headers})


def cookies_of(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the cookies of a request; none if they are no cookies."""
    try:
        found = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return {}
    return {name: each.value for name, each in found.items()}


def check_own_page(asked: Asked) -> None:
    """Check that a form was sent by a page of the service, or by no browser.

    :raises Refusal: 403 if a page of another site sent it.
    """
    origin, site = asked.headers.get("origin"), asked.headers.get("sec-fetch-site")
    own = site in ("same-origin", "none")
    if site is None:  # where there is no TLS, browsers say the origin alone
        own = origin is None or urlsplit(origin).netloc == asked.headers.get("host", "")
    if not own:
        raise Refusal(403, "a page of another site sent this; answer on the service's own page")


class ReviewPages:
    """`/review` and `/try`: the pages over a service.

    :param person: who answers where neither a key nor the person says.
    :param kind: the queue that is asked first.
    :param listing_ids: the only ones asked about; None for all of the store.
    :param top_k: candidates shown, 1 to 9.
    """

    def __init__(
        self,
        service: Service,
        workspace: Workspace,
        *,
        person: str = "reviewer",
        kind: QueueKind = QueueKind.UNCERTAIN,
        listing_ids: Sequence[str] | None = None,
        seed: int = 0,
        top_k: int = 5,
    ) -> None:
        self._service, self._workspace = service, workspace
        self._store = Store(workspace.store_path, wait_s=WRITER_PATIENCE_S)
        self._default, self._kind, self._top_k = person, kind, top_k
        self._seed, self._listing_ids = seed, listing_ids
        self._kinds: dict[str, QueueKind] = {}
        self._messages: dict[str, str] = {}
        self._opening: dict[tuple[QueueKind, str], asyncio.Task[None]] = {}
        self._session: AnswerSession | None = None
        self._versions: tuple[str, str] = ("", "")

    async def asked(self, asked: Asked) -> Reply:
        """Show what is to be answered next."""
        person = self._who(asked)
        if isinstance(person, Reply):
            return person
        if (named := asked.query.get("queue")) is not None:
            self._kinds[person] = _kind_of(named)
        kind = self._kinds.get(person, self._kind)
        common = {**self._common(person), "kind": kind, "message": self._messages.pop(person, "")}
        try:
            session = await self._open(person, kind, again="again" in asked.query)
        except InputError as exc:
            return page("review.html.j2", question=None, nothing=str(exc), counts=None, **common)
        question = await asyncio.to_thread(session.ask, person, kind)
        counts = session.progress(person, kind)
        if question is None:
            return page("review.html.j2", question=None, nothing="", counts=counts, **common)
        query = asked.text("q")[:200]
        return page(
            "review.html.j2",
            photo=question.links.photo if "photo" in asked.query else "",
            counts=counts,
            question=question,
            nothing="",
            told=told_of(question),
            verdicts=verdict_words(question.words),
            query=query,
            found=session.choices.search(query, _FOUND),
            **common,
        )

    async def acted(self, asked: Asked) -> Reply:
        """Save an answer, skip, go back or take back; then show what comes next."""
        check_own_page(asked)
        person = self._admitted(asked)
        sent: Mapping[str, str] = asked.body
        kind = _kind_of(sent.get("queue", ""))
        session = await self._open(person, kind)
        what, key = sent.get("do", ""), sent.get("listing", "")
        try:
            if what == "undo":
                words = await asyncio.to_thread(session.undo, person, kind)
                said = f"Taken back: {words}" if words else "There is no answer to take back."
            elif what == "back":
                said = "" if session.back(person, kind) else "This is the first listing."
            elif not what:
                said = "Choose what it sells; a note is kept with the answer."
            elif what == "skip":
                said = "Skipped." if session.skip(person, kind, key) else "Not changed."
            else:
                said = await self._answered(session, person, kind, sent)
        except StoreBusyError as exc:
            said = f"Not saved, try again: {exc}"
        self._messages[person] = said
        return to("/review")

    async def _answered(
        self, session: AnswerSession, person: str, kind: QueueKind, sent: Mapping[str, str]
    ) -> str:
        given = given_by(sent.get("do", ""), session.choices)
        note = sent.get("note", "").strip()
        if len(note) > LONGEST_NOTE:
            raise Refusal(422, f"note: expected at most {LONGEST_NOTE:,} signs")
        if note:
            given = given._replace(note=note)
        also = [name.partition(":")[2] for name in sent if name.startswith("also:")]
        save = partial(session.answer, person, kind, sent.get("listing", ""), given, also=also)
        words = await asyncio.to_thread(save)
        return f"Saved: {words}" + (f", and of {len(also)} more" if also else "")

    async def searched(self, asked: Asked) -> Reply:
        """Show what words find, as a part of a page."""
        person = self._admitted(asked)
        session = await self._open(person, self._kinds.get(person, self._kind))
        found = await asyncio.to_thread(session.choices.search, asked.text("q")[:200], _FOUND)
        words = session.choices.words
        return page("found.html.j2", query=asked.text("q")[:200], found=found, words=words)

    async def progress(self, asked: Asked) -> Reply:
        """Show who answered how much, and how far they agree."""
        person = self._who(asked)
        if isinstance(person, Reply):
            return person

        def read() -> dict[str, Any]:
            with self._store.reading() as session:
                annotations = read_annotations(session)
            counts = Counter(each.annotator for each in annotations)
            return {"people": counts.most_common(), "agreed": agreements(annotations, seed=0)}

        figures = await asyncio.to_thread(read)
        return page("progress.html.j2", figure=figure_text, **figures, **self._common(person))

    async def named(self, asked: Asked) -> Reply:
        """Keep who somebody is: a key where the service asks for one, else a name."""
        check_own_page(asked)
        key, name = asked.body.get("key", "").strip(), asked.body.get("name", "").strip()
        secure = "; Secure" if asked.base.startswith("https") else ""
        if self._service.keys:
            if self._service.keys.holder(key) is None:
                return self._door("That key is not known.")
            cookie = f"{_KEY_COOKIE}={quote(key)}; HttpOnly"
        elif not PERSON.fullmatch(name) or not name.isprintable():
            raise Refusal(422, "name: expected a name of 1 to 60 signs")
        else:
            cookie = f"{_NAME_COOKIE}={quote(name)}"
        return to("/review", **{"Set-Cookie": f"{cookie}; Path=/; SameSite=Strict{secure}"})

    async def tried(self, asked: Asked) -> Reply:
        """Show what a title is answered with, why, and what would change it."""
        person = self._who(asked, Role.READ)
        if isinstance(person, Reply):
            return person
        listing = Listing("", asked.text("title")[:2000], asked.text("vendor")[:200])
        found = None
        if listing.title.strip():
            found = trial(listing, self._service.batcher.serving)
        name = "tried.html.j2" if "part" in asked.query else "try.html.j2"
        return page(name, listing=listing, found=found, **self._common(person))

    async def asset(self, asked: Asked) -> Reply:
        """Return the style or the script of the pages."""
        name = asked.path["id"]
        if name not in _ASSETS:
            raise Refusal(404, f"the pages have no {name!r:.80}")
        return Reply((_TEMPLATES / name).read_bytes(), media=_ASSETS[name])

    def _common(self, person: str) -> dict[str, Any]:
        words = self._service.batcher.serving.choices.words
        own = {"person": person, "keys": bool(self._service.keys), "queues": _TOLD}
        return {**own, "words": words}

    def _door(self, message: str, status: int = 401) -> Reply:
        return page("door.html.j2", status=status, message=message, **self._common(""))

    def _who(self, asked: Asked, role: Role = Role.JUDGE) -> str | Reply:
        """Return who looks at a page, or the page that asks for a key."""
        try:
            return self._admitted(asked, role)
        except Refusal as exc:
            return self._door("" if exc.status == 401 else str(exc), exc.status)

    def _admitted(self, asked: Asked, role: Role = Role.JUDGE) -> str:
        """Return who asks.

        :raises Refusal: 401 or 403 if a key is needed, and this is none or its role not enough.
        """
        own = cookies_of(asked.headers)
        if not self._service.keys:
            name = unquote(own.get(_NAME_COOKIE, ""))
            return name if PERSON.fullmatch(name) and name.isprintable() else self._default
        key = unquote(own.get(_KEY_COOKIE, ""))
        sent = {"x-api-key": key} if key else asked.headers
        asked.visit.holder = self._service.keys.admit(sent, role)
        return asked.visit.holder

    async def _open(self, person: str, kind: QueueKind, *, again: bool = False) -> AnswerSession:
        """Return the session with a queue open, made anew when another model or index serves."""
        serving = self._service.batcher.serving
        own = serving.resolver.model.version, serving.resolver.index_version
        if self._session is None or own != self._versions:
            self._versions, self._opening = own, {}
            self._session = AnswerSession(
                serving.choices,
                AnswerBook(self._store),
                top_k=self._top_k,
                leases=Leases(self._workspace.leases_path),
            )
        session = self._session
        named = session.key_of(person, kind)
        if named not in self._opening and (again or not session.is_open(person, kind)):
            opening = asyncio.create_task(self._opened(session, person, kind, serving))
            opening.add_done_callback(partial(self._is_opened, named))
            self._opening[named] = opening
        if (task := self._opening.get(named)) is not None:
            await asyncio.shield(task)  # who asks again, where it takes long, waits for the same
        return session

    def _is_opened(self, named: tuple[QueueKind, str], done: asyncio.Task[None]) -> None:
        if self._opening.get(named) is done:
            del self._opening[named]
        if not done.cancelled():
            done.exception()  # who waits is told; where nobody does, the next one who asks is

    async def _opened(
        self, session: AnswerSession, person: str, kind: QueueKind, serving: Serving
    ) -> None:
        """Let a session ask a queue, made of what has answers by now."""
        prepared = partial(
            prepare,
            self._workspace,
            self._store,
            person,
            kind=kind,
            seed=self._seed,
            listing_ids=self._listing_ids,
            shared=True,
            opened=(serving.resolver.source, serving.index),
        )
        since = session.now()
        queue, _ = await asyncio.to_thread(prepared)
        session.open(person, kind, queue, since=since)

    def operations(self) -> list[Operation]:
        """Return the routes."""
        shown = (
            ("/review", "Review listings.", self.asked),
            ("/review/search", "Search.", self.searched),
            ("/review/progress", "See how far it is.", self.progress),
            ("/try", "Try a title.", self.tried),
            ("/assets/{id}", "The pages' own files.", self.asset),
        )
        sent = (
            ("/review", "Answer.", self.acted),
            ("/review/person", "Say who one is.", self.named),
        )
        own: dict[str, Any] = {"role": None, "page": True}
        form: dict[str, Any] = {"body": OBJECT, "body_media": FORM, **own}
        return [
            *(Operation("GET", *each, OBJECT, **own) for each in shown),
            *(Operation("POST", *each, OBJECT, **form) for each in sent),
        ]


def _kind_of(name: str) -> QueueKind:
    try:
        return QueueKind(name)
    except ValueError as exc:
        names = ", ".join(QueueKind)
        raise Refusal(422, f"queue: expected one of {names}, found {name!r:.40}") from exc


def given_by(what: str, choices: Choices) -> Given:
    """Return what a button says: ``key:ID``, ``model:ID`` or one of the words of `_VERDICTS`.

    :raises Refusal: 422 if it says nothing.
    """
    if what in _VERDICTS:
        return _VERDICTS[what]
    kind, _, key = what.partition(":")
    if kind in ("key", "model"):
        try:
            return Given(Verdict.MATCH, choices.of(key), any_variant=kind == "model")
        except KeyError as exc:
            raise Refusal(422, f"do: the {choices.words.catalogue} has no {key!r:.80}") from exc
    raise Refusal(422, f"do: expected an answer, found {what!r:.40}")


def told_of(question: Question) -> str:
    """Return what the model decides of a listing, in words; "" where that is not to be seen."""
    if question.blind:
        return ""
    answer = question.item.resolution
    sold = answer.subject if answer.best_guess is not None else "nothing like it"
    decided = answer.decision.replace("_", " ")
    return f"{decided}: {sold}, probability {answer.match_probability:.2f}"


class Change(NamedTuple):
    """What a title would be answered with if it were written otherwise.

    :param how: ``without`` some words of it, or ``with`` some more.
    """

    how: str
    words: str
    answer: Resolution


class Trial(NamedTuple):
    """What is shown of a title that somebody tries.

    :param why: `rerank.explanation.Explanation`.
    :param contrasts: what sets each candidate apart.
    """

    answer: Resolution
    why: Any
    names: list[str]
    contrasts: list[str]
    changes: list[Change]


def trial(listing: Listing, serving: Serving, shown: int = 5) -> Trial:
    """Return what a title is answered with, and what would change that."""
    resolver, choices = serving.resolver, serving.choices
    answers = resolver.answers([listing], explain=True)
    (answer,) = resolver.resolutions(answers)
    best = list(answer.candidates[:shown])
    names = [choices.of(each.key).name for each in best]
    return Trial(
        replace(answer, candidates=tuple(best)),
        answers.explanations[0],
        names,
        choices.apart(best, listing.title),
        changes(resolver, choices, listing, answer),
    )


def changes(
    resolver: Resolver, choices: Choices, listing: Listing, answer: Resolution
) -> list[Change]:
    """Return how the answer changes with one word less, and with the words of other candidates.

    Each is asked: nothing is inferred from what the model weighs.
    """
    words = listing.title.split()[:_MOST_WORDS]
    wordings = [
        ("without", word, " ".join([*words[:at], *words[at + 1 :]]))
        for at, word in enumerate(words)
        if len(words) > 1
    ]
    names = [_name_words(choices.of(each.key).name) for each in answer.candidates[:6]]
    for name in names[1:]:
        if more := " ".join(word for word in name if word not in names[0]):
            wordings.append(("with", more, f"{listing.title} {more}"))
    asked = resolver.resolve_many([replace(listing, title=title) for _, _, title in wordings])
    own = (answer.decision, answer.key)
    found: dict[tuple[str, str], Change] = {}
    for (how, text, _), other in zip(wordings, asked, strict=True):
        if (other.decision, other.key) != own:
            found.setdefault((how, text), Change(how, text, other))
    order = sorted(found.values(), key=lambda each: each.answer.decision == answer.decision)
    return order[:_MOST_CHANGES]


_SIZE = re.compile(r"(\d) ([A-Z]{2}|[a-z]{1,3})\b")


def _name_words(name: str) -> list[str]:
    """Return the words of a name, a number with its unit as one."""
    return _SIZE.sub(r"\1\2", name).split()
