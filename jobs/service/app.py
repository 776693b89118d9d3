"""The routes of the service: what each takes and answers, checked, documented and refused alike.

A route is an `Operation`: the same declaration is what requests are checked by and what
``/openapi.json`` says. Whatever goes wrong is told as JSON, with the id of the request.
"""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import parse_qsl

import numpy as np
import pyarrow as pa

from rerank.index.errors import DISTRIBUTION, InputError, RerankError
from rerank.index.records import N_CANDIDATES, Listing
from rerank.jobs.files.listings import number
from rerank.jobs.scoring.answering import renamed_columns
from rerank.jobs.service.access import (
    Keys,
    Limits,
    Refusal,
    Role,
    Telemetry,
    Visit,
    check_host,
    request_id,
)
from rerank.jobs.service.batching import Batcher, Row, Serving, versions
from rerank.resolution import DECISIONS
from rerank.store.database import WRITER_PATIENCE_S, Store
from rerank.verdicts import Said, TextVerdict, open_verdicts, parts_of, save_verdict, undo_verdict
from rerank.workspace import Workspace

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request

Schema = dict[str, Any]
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
DEFAULT_TOP_K = 5
_MOST_SHOWN = 1000  # candidates that may be asked for, as commands allow
_MOST_FIELDS = 100  # of a form
_LEFT = 499  # the sender went away before the answer; nobody sees this status but the log
_BOM = b"\xef\xbb\xbf"
_TEXTS = ("title", "vendor", "description")
_LARGEST = 2**63  # whole numbers from here on come out of JSON rounded
_log = logging.getLogger("rerank.service")


class Reply(NamedTuple):
    """What is answered.

    :param body: JSON unless ``media`` says otherwise.
    """

    body: bytes
    status: int = 200
    media: str = JSON
    headers: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a route.

    :param place: ``query`` or ``path``.
    :param json: whether its text is JSON.
    """

    name: str
    says: str
    schema: Schema
    place: str = "query"
    required: bool = False
    json: bool = False


@dataclass(slots=True)
class Asked:
    """A request whose sender may ask it.

    :param body: parsed, None where the route takes none; of a form its fields.
    :param base: the URL of the service as its sender reaches it, with "/" at the end.
    :param origin: of the page that sent it, "" for none.
    """

    visit: Visit
    query: Mapping[str, str]
    path: Mapping[str, str]
    body: Any
    base: str
    origin: str

    def text(self, name: str, default: str = "") -> str:
        """Return a parameter of the query."""
        return self.query.get(name, default)

    def whole(self, name: str, default: int, most: int) -> int:
        """Return a whole number of the query.

        :raises Refusal: 422 if it is none, below 1 or above ``most``.
        """
        given = self.query.get(name)
        if given is None:
            return default
        return whole_number(digits(given), name, most, given)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one route.

    :param role: that a key needs; None where everybody may ask.
    :param body: the schema of the body it takes; None for none.
    :param body_media: JSON, or a form.
    :param answer: the schema of the answer, by name or whole.
    :param statuses: that it may answer with beside 200 and those all have, and what they mean.
    """

    method: str
    path: str
    summary: str
    handler: Callable[[Asked], Awaitable[Reply]]
    answer: Schema
    role: Role | None = Role.READ
    body: Schema | None = None
    body_media: str = JSON
    parameters: tuple[Parameter, ...] = ()
    statuses: Mapping[int, str] = field(default_factory=dict)
    media: str = JSON


def ref(name: str) -> Schema:
    """Return a reference to a schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def dumped(content: Any) -> bytes:
    """Return plain values as JSON.

    :raises Refusal: 422 if they are nested deeper than JSON is written.
    """
    import orjson

    try:
        option = orjson.OPT_NON_STR_KEYS | orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z
        return orjson.dumps(content, default=str, option=option)
    except TypeError as exc:
        raise Refusal(422, "nested too deep: expected fields of at most 200 levels") from exc


def loaded(body: bytes) -> Any:
    """Return JSON as plain values.

    :raises Refusal: 400 if it is none.
    """
    import orjson

    try:
        return orjson.loads(body.removeprefix(_BOM))
    except orjson.JSONDecodeError as exc:
        raise Refusal(400, f"expected JSON in UTF-8: {exc}") from exc


def form_of(body: bytes) -> dict[str, str]:
    """Return a form as its fields, the last of each name.

    :raises Refusal: 400 if it is none.
    """
    try:
        return dict(
            parse_qsl(
                body.decode("ascii"),
                keep_blank_values=True,
                strict_parsing=bool(body),
                errors="strict",
                max_num_fields=_MOST_FIELDS,
            )
        )
    except ValueError as exc:
        raise Refusal(400, "expected a form, its fields URL-encoded UTF-8") from exc


def whole_number(value: Any, name: str, most: int, given: object) -> int:
    """Return a number of a request.

    :param given: as it was sent, for the message.
    :raises Refusal: 422 if it is no whole number from 1 to ``most``.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise Refusal(422, f"{name}: expected a whole number from 1 to {most}, found {given!r:.40}")
    return value


def digits(given: str) -> int | None:
    """Return the whole number that a text of a few digits says; None if it says none."""
    plain = given.isascii() and given.isdigit() and len(given) < 10
    return int(given) if plain else None


def listing_of(content: Any, where: str) -> Listing:
    """Return an object of a request as a listing.

    :raises Refusal: 422 if it is none; says what of it is wrong.
    """
    if not isinstance(content, dict):
        raise Refusal(422, f"{where}: expected an object with a title, found {kind_of(content)}")
    if "title" not in content:
        near = ", ".join(sorted(content)[:10]) or "no fields"
        raise Refusal(422, f"{where}: expected a field 'title', found {near[:200]}")
    for name in _TEXTS:
        value = content.get(name)
        if value is not None and not isinstance(value, str):
            raise Refusal(422, f"{where}: {name}: expected text or null, found {kind_of(value)}")
    for name in ("listing_id", "identifiers"):
        value = content.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, str | int)):
            raise Refusal(
                422,
                f"{where}: {name}: expected text, a whole number or null, found {kind_of(value)}",
            )
    price = content.get("price")
    if isinstance(price, bool | list | dict):
        raise Refusal(422, f"{where}: price: expected a number, found {kind_of(price)}")
    for name, value in content.items():
        if isinstance(value, float) and abs(value) >= _LARGEST:
            raise Refusal(
                422, f"{where}: {name[:60]}: too large a number to be read exactly: send it as text"
            )
    return Listing(
        _said(content.get("listing_id")),
        content["title"] or "",
        content.get("vendor") or "",
        content.get("description") or "",
        number(price),
        _said(content.get("identifiers")),
    )


def _said(value: Any) -> str:
    return "" if value is None else str(value)


def kind_of(value: Any) -> str:
    """Return what kind of JSON a value is, in words."""
    names = {
        str: "text",
        bool: "true or false",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "an object",
    }
    return names.get(type(value), "null")


_OBJECT: Schema = {"type": "object"}
_WORDS: Schema = {"type": "string", "pattern": r"[^\s]"}
_TOP_K = Parameter(
    "top_k",
    f"Candidates shown of each listing; {N_CANDIDATES} decide.",
    {"type": "integer", "minimum": 1, "maximum": _MOST_SHOWN, "default": DEFAULT_TOP_K},
)
_SEARCHED = (
    Parameter("title", "What a seller wrote.", {"type": "string", "pattern": r"\S"}, required=True),
    Parameter("vendor", "The seller's brand field.", {"type": "string"}),
    Parameter("top_k", "Candidates shown.", {**_TOP_K.schema, "default": 2 * DEFAULT_TOP_K}),
    Parameter("route", "Which lists of candidates are used.", {"type": "string"}),
)
_KEY = Parameter("id", "As answers name it.", {"type": "string"}, "path", required=True)


class Service:
    """All routes over what serves."""

    def __init__(
        self, batcher: Batcher, keys: Keys, telemetry: Telemetry, limits: Limits | None = None
    ) -> None:
        self.batcher, self.keys, self.telemetry = batcher, keys, telemetry
        self.limits = limits or Limits()
        self.operations = self._operations()

    @asynccontextmanager
    async def running(self, app: Any) -> Any:
        """Answer while the application runs, and to the end what was asked before it stops."""
        self.batcher.start()
        yield
        await self.batcher.stop()

    async def resolve(self, asked: Asked) -> Reply:
        """Answer a listing with a row, a list of listings with a list of rows."""
        top_k = asked.whole("top_k", DEFAULT_TOP_K, _MOST_SHOWN)
        single = not isinstance(asked.body, list)
        given = [asked.body] if single else asked.body
        if not 1 <= len(given) <= self.limits.listings:
            raise Refusal(
                422 if not given else 413,
                f"expected 1 to {self.limits.listings} listings, found {len(given)}",
            )
        where = ["listing"] if single else [f"listing {at}" for at in range(len(given))]
        listings = [listing_of(each, at) for each, at in zip(given, where, strict=True)]
        asked.visit.listings = len(listings)

        def finish(rows: list[Row], serving: Serving) -> tuple[bytes, str]:
            answers = [joined(each, row) for each, row in zip(given, rows, strict=True)]
            return dumped(answers[0] if single else answers), rows[0]["model_version"]

        body, asked.visit.model_version = await self.batcher.resolve(listings, top_k, finish)
        return Reply(body)

    async def search(self, asked: Asked) -> Reply:
        """Answer what a title finds before any ranking."""
        if asked.body is None:
            listing = Listing("", asked.text("title"), asked.text("vendor"))
            top_k = asked.whole("top_k", 2 * DEFAULT_TOP_K, _MOST_SHOWN)
            route = asked.text("route", "fused")
        else:
            listing = listing_of(asked.body, "body")
            top_k = 2 * DEFAULT_TOP_K
            if "top_k" in asked.body:
                top_k = whole_number(asked.body["top_k"], "top_k", _MOST_SHOWN, asked.body["top_k"])
            route = asked.body.get("route", "fused")
        if not listing.title.strip():
            raise Refusal(422, "title: expected words to search, found none")
        if not isinstance(route, str):
            raise Refusal(422, f"route: expected text, found {kind_of(route)}")

        def found(serving: Serving) -> bytes:
            source = serving.resolver.source
            hits = serving.domain.hits(source, listing, top_k, route)
            return dumped({"title": listing.title, "route": route, "candidates": hits})

        return Reply(await self.batcher.ask(found))

    async def candidate(self, asked: Asked) -> Reply:
        """Answer what the catalogue says of one of its products."""
        key = asked.path["id"]

        def found(serving: Serving) -> bytes:
            entry = serving.domain.entry(serving.resolver.source, key)
            if entry is None:
                raise Refusal(404, f"the {serving.choices.words.catalogue} has no {key!r:.80}")
            return dumped(entry)

        return Reply(await self.batcher.ask(found))

    async def alive(self, asked: Asked) -> Reply:
        """Answer that the process runs."""
        return Reply(dumped({"status": "ok"}))

    async def ready(self, asked: Asked) -> Reply:
        """Answer what serves; 503 while nothing does."""
        ready = self.batcher.alive
        content = {
            "ready": ready,
            "release": version(DISTRIBUTION),
            **versions(self.batcher.serving),
            "fault": self.batcher.fault,
        }
        return Reply(dumped(content), 200 if ready else 503)

    async def metrics(self, asked: Asked) -> Reply:
        """Answer what Prometheus reads."""
        page = self.telemetry.page(self.batcher.waiting)
        return Reply(page, media="text/plain; version=0.0.4; charset=utf-8")

    async def openapi(self, asked: Asked) -> Reply:
        """Answer the description of all routes."""
        return Reply(dumped(openapi(self.operations, self.batcher.serving, self.limits)))

    def _operations(self) -> list[Operation]:
        return [*self._asking(), *self._telling()]

    def _asking(self) -> list[Operation]:
        """Return the routes that look something up."""
        many = {"type": "array", "minItems": 1, "maxItems": self.limits.listings}
        row_or_rows = {"oneOf": [ref("Row"), {"type": "array", "items": ref("Row")}]}
        return [
            Operation(
                "POST",
                "/resolve",
                "Name what listings sell, how sure that is, and why.",
                self.resolve,
                row_or_rows,
                body={"oneOf": [ref("Listing"), {**many, "items": ref("Listing")}]},
                parameters=(_TOP_K,),
            ),
            Operation(
                "GET",
                "/search",
                "Show what is found for a title, before any ranking.",
                self.search,
                ref("Found"),
                parameters=_SEARCHED,
            ),
            Operation(
                "POST",
                "/search",
                "Show what is found for a listing, before any ranking.",
                self.search,
                ref("Found"),
                body=ref("Search"),
            ),
            Operation(
                "GET",
                "/candidates/{id}",
                "Show what the catalogue says of one of its products.",
                self.candidate,
                _OBJECT,
                parameters=(_KEY,),
                statuses={404: "The catalogue has none of this id."},
            ),
        ]

    def _telling(self) -> list[Operation]:
        """Return the routes that say how the service is."""
        stopping = {503: "It is stopping."}
        says = "Describe these routes."
        text, media = {"type": "string"}, "text/plain"
        get = partial(Operation, "GET")
        return [
            get("/healthz", "Say that the process runs.", self.alive, ref("Alive"), None),
            get("/readyz", "Say what serves.", self.ready, ref("Ready"), None, statuses=stopping),
            get("/metrics", "Figures for Prometheus.", self.metrics, text, media=media),
            get("/openapi.json", says, self.openapi, _OBJECT, None),
        ]


_SAYABLE = (Said.MATCH, Said.NONE_OF_THESE, Said.NOT_GPU, Said.NOT_THIS)
_NAMING = (Said.MATCH, Said.NOT_THIS)
_FOLLOW_S = 5.0  # that who gives a verdict waits until it stands in what serves
_NOBODY = "http"  # said it, where no keys tell people apart and no name was given


class Judging:
    """What people settle over HTTP: it stands before the model's answers from then on."""

    def __init__(self, service: Service, workspace: Workspace) -> None:
        self._batcher, self._keys, self._workspace = service.batcher, service.keys, workspace
        self._store = Store(workspace.store_path, wait_s=WRITER_PATIENCE_S)

    async def shown(self, asked: Asked) -> Reply:
        """Show what stands of a text, or a page of all."""
        title = asked.query.get("title")
        limit = asked.whole("limit", 100, _MOST_SHOWN)
        listing = Listing("", title or "", asked.text("vendor"), asked.text("description"))

        def found() -> bytes:
            snapshot = open_verdicts(self._workspace)
            rows = np.arange(0 if snapshot is None else len(snapshot))
            if snapshot is not None and title is not None:
                hits = snapshot.of([listing])
                pairs = zip(hits.row.tolist(), hits.n_rows.tolist(), strict=True)
                rows = np.concatenate([rows[:0], *(np.arange(at, at + n) for at, n in pairs)])
            shown = [] if snapshot is None else snapshot.rows(rows[:limit])
            return dumped({"verdicts": list(map(_plain_verdict, shown)), "total": len(rows)})

        return Reply(await asyncio.to_thread(found))

    async def given(self, asked: Asked) -> Reply:
        """Keep a verdict; answer whether it stands already in what serves."""
        listing, verdict = listing_of(asked.body, "body"), asked.body.get("verdict")
        said = next((each for each in _SAYABLE if each.value == verdict), None)
        if said is None:
            names = ", ".join(each.value for each in _SAYABLE)
            raise Refusal(422, f"verdict: expected one of {names}, found {verdict!r:.40}")
        if not listing.title.strip():
            raise Refusal(422, "title: expected the text that is judged, found none")
        key, model = await self._named(asked.body, said)
        note = asked.body.get("note")
        if note is not None and not isinstance(note, str):
            raise Refusal(422, f"note: expected text or null, found {kind_of(note)}")
        own = TextVerdict(
            listing.title,
            listing.vendor,
            asked.body.get("description"),
            said,
            key,
            model,
            self._who(asked, asked.body.get("by")),
            note=note or "",
        )

        def save() -> str:
            with self._store.writing() as session:
                return save_verdict(session, own)

        saved = await asyncio.to_thread(save)
        return Reply(dumped({"verdict_id": saved, "stands": await self._followed()}))

    async def undone(self, asked: Asked) -> Reply:
        """Let what stands of a text stand no longer."""
        title, vendor = asked.text("title"), asked.text("vendor")
        who = self._who(asked, asked.query.get("by"))

        def undo() -> str:
            with self._store.writing() as session:
                return undo_verdict(session, title, vendor, asked.query.get("description"), who)

        try:
            undone = await asyncio.to_thread(undo)
        except InputError as exc:
            raise Refusal(404, f"no verdict stands on {title!r:.80}") from exc
        return Reply(dumped({"undone": undone, "stands": not await self._followed()}))

    async def _named(self, body: Mapping[str, Any], said: Said) -> tuple[str | None, str | None]:
        """Return id and model that a verdict names, None for each that it does not.

        :raises Refusal: 422 if it names none or an unknown one, or should name none.
        """
        key, model = body.get("id"), body.get("model")
        if (said in _NAMING) != (key is not None or model is not None):
            wanted = "an id or a model" if said in _NAMING else "neither id nor model"
            raise Refusal(422, f"verdict {said.value}: expected {wanted}")

        def known(serving: Serving) -> tuple[str | None, str | None]:
            words = serving.choices.words
            if key is not None:
                entry = serving.domain.entry(serving.resolver.source, key)
                if entry is None or model not in (None, entry["model"]):
                    raise Refusal(422, f"id: the {words.catalogue} has no such, found {key!r:.80}")
                return key, entry["model"]
            if said in _NAMING and model not in serving.resolver.table.models:
                raise Refusal(422, f"model: the {words.catalogue} has no such: {model!r:.80}")
            return None, model

        return await self._batcher.ask(known)

    def _who(self, asked: Asked, given: Any) -> str:
        """Return who says so: the holder of the key, or who is named where there are no keys."""
        if asked.visit.holder and given is None:
            return asked.visit.holder
        if asked.visit.holder:
            raise Refusal(422, "by: leave it out, the key says who it is")
        if given is not None and (not isinstance(given, str) or not _PERSON.fullmatch(given)):
            raise Refusal(422, "by: expected a name of 1 to 60 signs")
        return given or _NOBODY

    async def _followed(self) -> bool:
        """Return whether what serves now heeds what was written."""
        if not self._batcher.heeds:
            return False
        try:
            async with asyncio.timeout(_FOLLOW_S):
                await asyncio.to_thread(self._batcher.look)
        except (TimeoutError, RerankError):
            return False
        return True

    def operations(self) -> list[Operation]:
        """Return the routes."""
        text: Schema = {"type": "string"}
        title, vendor, route = _SEARCHED[0], _SEARCHED[1], "/verdicts"
        any_title = Parameter("title", "All, if left out.", text)
        described = Parameter("description", "Of the listing.", text)
        limit = Parameter("limit", "The most shown.", _TOP_K.schema | {"default": 100})
        by = Parameter("by", "Who says so, where there are no keys.", _NAME_OF_PERSON)
        gone = {404: "No verdict stands on the text."}
        shown, given, undone = ref("Verdicts"), ref("Given"), ref("Undone")
        judge = partial(Operation, role=Role.JUDGE)
        parameters = (title, vendor, described, by)
        return [
            Operation(
                "GET",
                route,
                "Show what people settled.",
                self.shown,
                shown,
                parameters=(any_title, vendor, described, limit),
            ),
            judge("POST", route, "Settle a text.", self.given, given, body=ref("Verdict")),
            judge(
                "DELETE",
                route,
                "Take back what stands of a text.",
                self.undone,
                undone,
                parameters=parameters,
                statuses=gone,
            ),
        ]


_PERSON = re.compile(r"[^\x00-\x1f\x7f]{1,60}")
_NAME_OF_PERSON: Schema = {"type": "string", "pattern": f"^{_PERSON.pattern}$"}


def _plain_verdict(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of a snapshot in plain values; its text is as it is compared."""
    return {
        **parts_of(row["text"]),
        "verdict": row["kind"].value,
        "id": row["key"],
        "model": row["model"],
        "by": row["by"],
        "at": row["at"],
    }


def joined(given: Mapping[str, Any], row: Row) -> Row:
    """Return a listing's own fields and its answer; a field gives way to an answer of its name."""
    if row.keys().isdisjoint(given):
        return {**given, **row}
    renamed = renamed_columns(list(given), pa.schema([(name, pa.null()) for name in row]))
    return {**{renamed.get(name, name): value for name, value in given.items()}, **row}


def _type_schema(kind: pa.DataType) -> Schema:
    """Return the JSON schema of a column's values, which may be null."""
    if pa.types.is_list(kind):
        return {"type": ["array", "null"], "items": _type_schema(kind.value_type)}
    if pa.types.is_struct(kind):
        fields = {part.name: _type_schema(part.type) for part in kind}
        return {"type": ["object", "null"], "properties": fields}
    if pa.types.is_boolean(kind):
        return {"type": ["boolean", "null"]}
    if pa.types.is_integer(kind):
        return {"type": ["integer", "null"]}
    if pa.types.is_floating(kind):
        return {"type": ["number", "null"]}
    return {"type": ["string", "null"]}


def _schemas(serving: Serving) -> dict[str, Schema]:
    text: Schema = {"type": ["string", "null"]}
    code: Schema = {"type": ["string", "integer", "null"]}
    listing: dict[str, Schema] = {
        "title": text,
        "listing_id": code,
        "vendor": text,
        "description": text,
        "price": {
            "type": ["number", "string", "null"],
            "exclusiveMinimum": -_LARGEST,
            "exclusiveMaximum": _LARGEST,
        },
        "identifiers": code,
    }
    columns = {column.name: _type_schema(column.type) for column in serving.resolver.schema}
    columns["decision"] = {"type": "string", "enum": [each.value for each in DECISIONS]}
    searched = {
        **listing,
        "title": _WORDS,
        "top_k": {"type": "integer", "minimum": 1, "maximum": _MOST_SHOWN},
        "route": {"type": "string"},
    }
    words: Schema = {"type": "string"}

    return {
        **_verdict_schemas(listing),
        "Listing": {
            **_record(listing, ["title"]),
            "description": "Fields of other names come back as they were given. Numbers beyond 64 "
            "bits are refused.",
        },
        "Row": {
            **_record(columns, list(columns)),
            "description": "The listing's fields, then the answer.",
        },
        "Search": _record(searched, ["title"]),
        "Found": _record(
            {
                "title": words,
                "route": words,
                "candidates": {"type": "array", "items": {"type": "object"}},
            },
            ["title", "route", "candidates"],
        ),
        "Alive": _record({"status": words}, ["status"]),
        "Ready": _record(
            {
                "ready": {"type": "boolean"},
                "release": words,
                "domain": words,
                "model_version": words,
                "index_version": words,
                "fault": text,
            },
            ["ready", "release", "model_version", "index_version"],
        ),
        "Error": _record({"error": words, "request_id": words}, ["error", "request_id"]),
    }


def _record(properties: Mapping[str, Schema], required: Sequence[str]) -> Schema:
    return {"type": "object", "properties": dict(properties), "required": list(required)}


def _verdict_schemas(listing: Mapping[str, Schema]) -> dict[str, Schema]:
    """Return the schemas of what people settle.

    :param listing: those of a listing's fields.
    """
    words: Schema = {"type": "string"}
    truth: Schema = {"type": "boolean"}
    text: Schema = {"type": ["string", "null"]}
    settled = {
        **{name: listing[name] for name in ("title", "vendor", "description")},
        "verdict": {**words, "enum": [each.value for each in _SAYABLE]},
        **{name: text for name in ("id", "model")},
        "by": words,
    }
    at: Schema = {"type": "string", "format": "date-time"}
    shown = {**settled, "at": at, "verdict": {**words, "enum": [each.value for each in Said]}}
    page = {"type": "array", "items": _record(shown, list(shown))}
    return {
        "Verdict": _record(
            {**settled, "title": _WORDS, "by": _NAME_OF_PERSON, "note": text}, ["title", "verdict"]
        ),
        "Verdicts": _record(
            {"verdicts": page, "total": {"type": "integer"}}, ["verdicts", "total"]
        ),
        "Given": _record({"verdict_id": words, "stands": truth}, ["verdict_id", "stands"]),
        "Undone": _record({"undone": words, "stands": truth}, ["undone", "stands"]),
    }


_WITH_BODY = {
    400: "The body is no JSON in UTF-8.",
    408: "The body did not come in time.",
    413: "The body is too large, or holds too many listings.",
    415: "The body is of another kind.",
}
_ALWAYS = {500: "Something failed here.", 503: "Too much is asked at once, or it took too long."}


def openapi(operations: Sequence[Operation], serving: Serving, limits: Limits) -> Schema:
    """Return the description of all routes, in OpenAPI 3.1."""
    paths: dict[str, Schema] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _described(each)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "rerank",
            "version": version(DISTRIBUTION),
            "description": "Names what marketplace listings sell. A body has at most "
            f"{limits.body_bytes:,} bytes and {limits.listings:,} listings.",
        },
        "paths": paths,
        "components": {
            "schemas": _schemas(serving),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _described(operation: Operation) -> Schema:
    """Return the description of a method of a route."""
    faults = {**_ALWAYS, **operation.statuses}
    if operation.role is not None:
        faults |= {401: "A key is needed.", 403: "The key's role is not enough."}
    if operation.body is not None:
        faults |= _WITH_BODY
    if operation.body is not None or operation.parameters:
        faults |= {422: "A value is not as described."}
    content = {operation.media: {"schema": operation.answer}}
    error = {JSON: {"schema": ref("Error")}}
    said: Schema = {
        "summary": operation.summary,
        "operationId": f"{operation.method.lower()}{operation.path.title().translate(_PLAIN)}",
        "responses": {
            "200": {"description": "The answer.", "content": content},
            **{
                str(status): {"description": text, "content": error}
                for status, text in sorted(faults.items())
            },
        },
    }
    if operation.path == "/readyz":
        said["responses"]["503"]["content"] = content
    if operation.parameters:
        said["parameters"] = [
            {
                "name": own.name,
                "in": own.place,
                "required": own.required,
                "description": own.says,
                **({"content": {JSON: {"schema": own.schema}}} if own.json else {}),
                **({} if own.json else {"schema": own.schema}),
            }
            for own in operation.parameters
        ]
    if operation.body is not None:
        body = {operation.body_media: {"schema": operation.body}}
        said["requestBody"] = {"required": True, "content": body}
    if operation.role is not None:
        said["security"] = [{"bearer": []}, {"header": []}, {}]
    return said


_PLAIN = str.maketrans("", "", "/{}.")


def application(service: Service) -> Starlette:
    """Return the routes as an ASGI application."""
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.routing import Route

    paths: dict[str, dict[str, Operation]] = {}
    for each in service.operations:
        paths.setdefault(each.path, {})[each.method] = each
    routes = [
        Route(
            path.replace("{id}", "{id:path}"),
            _endpoint(service, methods),
            methods=list(methods),
        )
        for path, methods in paths.items()
    ]
    app = Starlette(
        routes=routes,
        lifespan=service.running,
        exception_handlers={HTTPException: cast("Any", _refused)},
    )
    app.router.redirect_slashes = False
    app.add_middleware(cast("Any", _Watched), telemetry=service.telemetry)
    return app


_VISIT = "rerank.visit"  # of a scope


class _Watched:
    """Gives each request its id, and keeps how it went."""

    def __init__(self, app: Any, telemetry: Telemetry) -> None:
        self._app, self._telemetry = app, telemetry

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        visit = Visit(request_id(given.decode("latin-1")), scope["method"])
        scope[_VISIT] = visit
        status = _LEFT

        async def sent(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = (b"x-request-id", visit.request_id.encode())
                message["headers"] = [*message["headers"], own]
            await send(message)

        try:
            await self._app(scope, receive, sent)
        finally:
            self._telemetry.answered(visit, status)


async def _refused(request: Request, exc: Any) -> Any:
    """Answer what no route takes."""
    method = request.method
    said = {404: "there is no such route; /openapi.json lists them", 405: f"it takes no {method}"}
    return _fault_response(request, Refusal(exc.status_code, said[exc.status_code], exc.headers))


def _fault_response(request: Request, fault: Refusal) -> Any:
    visit: Visit = request.scope[_VISIT]
    visit.fault = str(fault)
    body = dumped({"error": str(fault), "request_id": visit.request_id})
    return _response(Reply(body, fault.status), fault.headers)


def _response(reply: Reply, headers: Mapping[str, str] | None = None) -> Any:
    from starlette.responses import Response

    own = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
    own |= {**reply.headers, **(headers or {})}
    return Response(reply.body, reply.status, own, reply.media)


def _endpoint(
    service: Service, methods: Mapping[str, Operation]
) -> Callable[[Request], Awaitable[Any]]:
    """Return what answers requests of one path."""

    async def answer(request: Request) -> Any:
        operation = methods["GET" if request.method == "HEAD" else request.method]
        visit: Visit = request.scope[_VISIT]
        visit.route = operation.path
        try:
            return _response(await _answered(service, operation, request, visit))
        except Refusal as exc:
            return _fault_response(request, exc)
        except TimeoutError:
            text = f"no answer within {service.limits.answer_s:g} s: ask for less at once"
            return _fault_response(request, Refusal(503, text, {"Retry-After": "1"}))
        except InputError as exc:
            return _fault_response(request, Refusal(422, str(exc)))
        except RerankError as exc:
            _log.warning("%s", exc, extra={"own": {"request_id": visit.request_id}})
            return _fault_response(request, Refusal(503, str(exc)))
        except Exception as exc:
            if type(exc).__name__ == "ClientDisconnect":
                raise
            _log.exception("failed", extra={"own": {"request_id": visit.request_id}})
            text = "something failed here; the log says what, by the request's id"
            return _fault_response(request, Refusal(500, text))

    return answer


async def _answered(
    service: Service, operation: Operation, request: Request, visit: Visit
) -> Reply:
    check_host(request.headers.get("host", ""), service.keys)
    if operation.role is not None:
        visit.holder = service.keys.admit(request.headers, operation.role)
    body = None
    if operation.body is not None:
        read = form_of if operation.body_media == FORM else loaded
        body = read(await body_of(request, operation.body_media, service.limits))
    base, origin = str(request.base_url), request.headers.get("origin", "")
    asked = Asked(visit, request.query_params, request.path_params, body, base, origin)
    async with asyncio.timeout(service.limits.answer_s):
        return await operation.handler(asked)


async def body_of(request: Request, wanted: str, limits: Limits) -> bytes:
    """Return the body of a request.

    :param wanted: its kind.
    :raises Refusal: if it is of another kind, too large, or comes too slowly.
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    also = wanted == JSON and media.startswith("application/") and media.endswith("+json")
    if media != wanted and not also:
        raise Refusal(415, f"expected Content-Type: {wanted}, found {media[:60] or 'none'}")
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise Refusal(415, f"expected a body as it is, found Content-Encoding: {encoding[:40]}")
    closing = {"Connection": "close"}  # the rest of the body is not read
    large = Refusal(413, f"expected at most {limits.body_bytes:,} bytes, found more", closing)
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced[:20]) > limits.body_bytes:
        raise large
    parts, size = [], 0
    try:
        async with asyncio.timeout(limits.body_s):
            async for part in request.stream():
                size += len(part)
                if size > limits.body_bytes:
                    raise large
                parts.append(part)
    except TimeoutError as exc:
        text = f"the body did not come within {limits.body_s:g} s"
        raise Refusal(408, text, closing) from exc
    return b"".join(parts)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 takes any that is free.

    :raises OSError: if the port is taken or the host is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as exc:
        raise OSError(exc.errno, exc.strerror, f"{host}:{port}") from exc


def serve(service: Service, listening: socket.socket) -> None:
    """Answer until the process is told to end, then what was asked before, and return."""
    import uvicorn
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    class Told(HttpToolsProtocol):
        """Says as JSON, too, that what came is no HTTP."""

        def send_400_response(self, msg: str) -> None:
            body = dumped({"error": f"expected HTTP/1.1: {msg}", "request_id": request_id(None)})
            head = (
                f"HTTP/1.1 400 Bad Request\r\ncontent-type: {JSON}\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
            self.transport.close()

    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    _log.info(
        "listening",
        extra={"own": {"url": f"http://{shown}:{port}", **versions(service.batcher.serving)}},
    )
    config = uvicorn.Config(
        application(service),
        http=Told,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=int(service.limits.answer_s) + 1,
    )
    with _ending_quietly():
        uvicorn.Server(config).run(sockets=[listening])
    _log.info("stopped")


@contextmanager
def _ending_quietly() -> Iterator[None]:
    """Let the signals that end the service end it well: uvicorn raises them again afterwards."""
    before = {
        each: signal.signal(each, lambda number, frame: None)
        for each in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
