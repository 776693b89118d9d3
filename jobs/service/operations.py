"""What a route takes and answers: declared once, checked by it, and described by it in OpenAPI."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl

import pyarrow as pa

from rerank.index.errors import DISTRIBUTION
from rerank.index.records import N_CANDIDATES, Listing
from rerank.jobs.files.listings import number
from rerank.jobs.service.access import Limits, Refusal, Role, Visit
from rerank.jobs.service.batching import Serving
from rerank.resolution import DECISIONS
from rerank.verdicts import SAYABLE, Said

if TYPE_CHECKING:
    from starlette.requests import Request

Schema = dict[str, Any]
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
DEFAULT_TOP_K = 5
MOST_SHOWN = 1000  # candidates that may be asked for, as commands allow
_MOST_FIELDS = 100  # of a form
_BOM = b"\xef\xbb\xbf"
_TEXTS = ("title", "vendor", "description")
_LARGEST = 2**63  # whole numbers from here on come out of JSON rounded


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
    """

    visit: Visit
    body: Any
    request: Request

    @property
    def query(self) -> Mapping[str, str]:
        """What stands behind the path."""
        return self.request.query_params

    @property
    def path(self) -> Mapping[str, str]:
        """What the path names."""
        return self.request.path_params

    @property
    def headers(self) -> Mapping[str, str]:
        """By lower-case name."""
        return self.request.headers

    @property
    def base(self) -> str:
        """The URL of the service as its sender reaches it, with "/" at the end."""
        return str(self.request.base_url)

    @property
    def origin(self) -> str:
        """Of the page that sent it, "" for none."""
        return self.headers.get("origin", "")

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
    :param page: it is for people in a browser, and not described.
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
    page: bool = False


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


OBJECT: Schema = {"type": "object"}
_WORDS: Schema = {"type": "string", "pattern": r"[^\s]"}
TOP_K = Parameter(
    "top_k",
    f"Candidates shown of each listing; {N_CANDIDATES} decide.",
    {"type": "integer", "minimum": 1, "maximum": MOST_SHOWN, "default": DEFAULT_TOP_K},
)
SEARCHED = (
    Parameter("title", "What a seller wrote.", {"type": "string", "pattern": r"\S"}, required=True),
    Parameter("vendor", "The seller's brand field.", {"type": "string"}),
    Parameter("top_k", "Candidates shown.", {**TOP_K.schema, "default": 2 * DEFAULT_TOP_K}),
    Parameter("route", "Which lists of candidates are used.", {"type": "string"}),
)

PERSON = re.compile(r"[^\x00-\x1f\x7f]{1,60}")
NAME_OF_PERSON: Schema = {"type": "string", "pattern": f"^{PERSON.pattern}$"}


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
        "top_k": {"type": "integer", "minimum": 1, "maximum": MOST_SHOWN},
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
        "verdict": {**words, "enum": [each.value for each in SAYABLE]},
        **{name: text for name in ("id", "model")},
        "by": words,
    }
    at: Schema = {"type": "string", "format": "date-time"}
    shown = {**settled, "at": at, "verdict": {**words, "enum": [each.value for each in Said]}}
    page = {"type": "array", "items": _record(shown, list(shown))}
    return {
        "Verdict": _record(
            {**settled, "title": _WORDS, "by": NAME_OF_PERSON, "note": text}, ["title", "verdict"]
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
        if not each.page:
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
