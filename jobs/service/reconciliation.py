"""OpenRefine: the Reconciliation Service API 0.2 over what serves, and matching as 1.0 drafts it.

A cell is a listing's title, the properties beside it its other fields. ``match`` stands only where
the decision is match, never because a score is high: OpenRefine then takes it without asking. What
was measured of a candidate are its features. https://www.w3.org/community/reports/reconciliation/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from html import escape
from typing import Any

from rerank.index.records import Listing
from rerank.jobs.files.listings import number
from rerank.jobs.service.access import Refusal
from rerank.jobs.service.app import Service
from rerank.jobs.service.batching import Row, Serving
from rerank.jobs.service.operations import (
    FORM,
    Asked,
    Operation,
    Parameter,
    Reply,
    Schema,
    digits,
    dumped,
    kind_of,
    loaded,
    whole_number,
)
from rerank.resolution import Decision

ORIGINS = ("http://127.0.0.1:3333", "http://localhost:3333")
"""Where OpenRefine's pages come from as it is installed."""
DEFAULT_LIMIT = 5
_MOST = 100  # candidates of a query, suggestions of a prefix
_FIELDS = {
    "vendor": "The seller's brand field.",
    "description": "What the seller says beside the title.",
    "price": "A number.",
    "identifiers": "GTINs and part numbers.",
}
"""What of a listing a property of a query may be; one of another name adds to the description."""
_MEASURED = ("probability", "variant_probability", "similarity", "score")
_DEEPEST = 5  # of lists in a property
_WIDTH, _HEIGHT = 420, 280
_STYLE = (
    "body{font:14px/1.4 system-ui,sans-serif;margin:12px;color-scheme:light dark}"
    "h1{font-size:16px;margin:0 0 8px}th{text-align:left;padding-right:12px;font-weight:500;"
    "vertical-align:top;opacity:.7}td{overflow-wrap:anywhere}"
)


_TEXT: Schema = {"type": "string"}
_ANY: Schema = {"type": "object"}
_LIST: Schema = {"type": "array", "items": _ANY}
_NUMBER: Schema = {"type": "integer", "minimum": 1, "maximum": 10**6}
_BESIDE: Schema = {
    "type": "array",
    "items": {"type": "object", "properties": {"pid": _TEXT, "v": {}}, "required": ["pid"]},
}
_QUERIES: Schema = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "properties": {"query": _TEXT, "limit": _NUMBER, "properties": _BESIDE},
        "required": ["query"],
    },
}
_EXTENSION: Schema = {
    "type": "object",
    "properties": {
        "ids": {"type": "array", "items": _TEXT},
        "properties": {
            "type": "array",
            "items": {"type": "object", "properties": {"id": _TEXT}, "required": ["id"]},
        },
    },
    "required": ["ids", "properties"],
}
_FORM: Schema = {
    "type": "object",
    "properties": {
        name: {"type": "string", "contentMediaType": "application/json", "contentSchema": schema}
        for name, schema in (("queries", _QUERIES), ("extend", _EXTENSION))
    },
    "anyOf": [{"required": ["queries"]}, {"required": ["extend"]}],
}
_CONDITION: Schema = {
    "type": "object",
    "properties": {"matchType": _TEXT, "propertyId": _TEXT, "propertyValue": {}},
    "required": ["matchType", "propertyValue"],
}
_MATCH: Schema = {
    "type": "object",
    "properties": {
        "queries": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "conditions": {"type": "array", "items": _CONDITION},
                    "limit": _NUMBER,
                },
                "required": ["conditions"],
            },
        }
    },
    "required": ["queries"],
}
_ODD = {400: "A parameter is no JSON.", 413: "Too many queries or ids."}
_ID = Parameter("id", "As candidates name it.", _TEXT, required=True)
_SENT = (
    Parameter("queries", "A batch of queries.", _QUERIES, json=True),
    Parameter("extend", "Products and columns.", _EXTENSION, json=True),
)
_TYPED = (
    Parameter("prefix", "What was typed.", _TEXT),
    Parameter("cursor", "Suggestions to leave out.", {**_NUMBER, "minimum": 0}),
)
_PROPOSED = (
    Parameter("type", "Any.", _TEXT),
    Parameter("limit", "The most.", {"type": "integer", "minimum": 1, "maximum": _MOST}),
)


@dataclass(frozen=True, slots=True)
class CellQuery:
    """One cell that is to be reconciled."""

    listing: Listing
    limit: int


class Reconciliation:
    """The routes of OpenRefine over a service.

    :param origins: of pages that may read the answers.
    """

    def __init__(self, service: Service, origins: Sequence[str] = ORIGINS) -> None:
        self._service, self._batcher = service, service.batcher
        self._origins = frozenset(origins)

    async def asked(self, asked: Asked) -> Reply:
        """Answer queries or an extension; without either, say what this is."""
        sent = asked.query if asked.body is None else asked.body
        if "queries" in sent:
            return await self._queries(asked, _object(sent["queries"], "queries"))
        if "extend" in sent:
            return await self._extension(asked, _object(sent["extend"], "extend"))
        if asked.body is not None:
            raise Refusal(422, "expected a field 'queries' or 'extend', found neither")
        serving = self._batcher.serving
        return self._reply(asked, manifest(serving, asked.base, self._service.limits.listings))

    async def match(self, asked: Asked) -> Reply:
        """Answer queries as 1.0 drafts them."""
        queries = asked.body.get("queries") if isinstance(asked.body, dict) else None
        if not isinstance(queries, list):
            raise Refusal(422, "expected an object with a list 'queries'")
        wanted = [_drafted_query(each, f"query {at}") for at, each in enumerate(queries)]
        found = await self._candidates(asked, wanted)
        return self._reply(asked, {"results": [{"candidates": each} for each in found]})

    async def _queries(self, asked: Asked, queries: Mapping[str, Any]) -> Reply:
        wanted = [_query(each, f"query {name[:40]!r}") for name, each in queries.items()]
        found = await self._candidates(asked, wanted)
        answers = zip(queries, found, strict=True)
        return self._reply(asked, {name: {"result": each} for name, each in answers})

    async def _candidates(self, asked: Asked, wanted: Sequence[CellQuery]) -> list[list[Row]]:
        most = self._service.limits.listings
        if len(wanted) > most:
            raise Refusal(413, f"expected at most {most} queries, found {len(wanted)}")
        if not wanted:
            return []
        asked.visit.listings = len(wanted)

        def finish(rows: list[Row], serving: Serving) -> list[list[Row]]:
            return [
                reconciled(row, serving, query.limit)
                for row, query in zip(rows, wanted, strict=True)
            ]

        listings = [query.listing for query in wanted]
        return await self._batcher.resolve(listings, max(each.limit for each in wanted), finish)

    async def _extension(self, asked: Asked, content: Mapping[str, Any]) -> Reply:
        ids, properties = content.get("ids"), content.get("properties")
        names: list[Any] = [each.get("id") for each in _objects(properties, "properties")]
        if not isinstance(ids, list) or not all(isinstance(each, str) for each in [*ids, *names]):
            raise Refusal(422, "extend: expected lists 'ids' and 'properties' of ids that are text")
        most = self._service.limits.listings
        if len(ids) > most:
            raise Refusal(413, f"extend: expected at most {most} ids, found {len(ids)}")

        serving, rows = self._batcher.serving, {}
        for key in dict.fromkeys(ids):
            entry = serving.domain.entry(serving.resolver.source, key) or {}
            rows[key] = {name: _cells(entry.get(name)) for name in names}
        meta = [{"id": name, "name": _title(name)} for name in names]
        return self._reply(asked, {"meta": meta, "rows": rows})

    async def entities(self, asked: Asked) -> Reply:
        """Suggest products of whose names the words typed begin words."""
        serving, skipped = self._batcher.serving, _cursor(asked)
        found = serving.choices.search(asked.text("prefix"), skipped + DEFAULT_LIMIT * 2)
        notable = [_kind(serving)]
        result = [
            {"id": each.key, "name": each.name, "notable": notable} for each in found.best[skipped:]
        ]
        return self._reply(asked, {"result": result})

    async def properties(self, asked: Asked) -> Reply:
        """Suggest what may stand beside a cell, and the catalogue's columns."""
        said = columns_of(self._batcher.serving)
        named = {**{name: "Of the catalogue." for name in said}, **_FIELDS}
        return self._suggested(asked, named)

    async def types(self, asked: Asked) -> Reply:
        """Suggest the one type there is."""
        kind = _kind(self._batcher.serving)
        return self._suggested(asked, {kind["id"]: "All that the catalogue holds."})

    def _suggested(self, asked: Asked, named: Mapping[str, str]) -> Reply:
        prefix = asked.text("prefix").casefold()
        result = [
            {"id": name, "name": _title(name), "description": says}
            for name, says in named.items()
            if prefix in name.casefold() or prefix in _title(name).casefold()
        ]
        return self._reply(asked, {"result": result[_cursor(asked) :]})

    async def proposed(self, asked: Asked) -> Reply:
        """Propose the catalogue's columns for cells that are reconciled."""
        limit = asked.whole("limit", _MOST, _MOST)
        names = columns_of(self._batcher.serving)[:limit]
        content = {
            "type": asked.text("type", _kind(self._batcher.serving)["id"]),
            "limit": limit,
            "properties": [{"id": name, "name": _title(name)} for name in names],
        }
        return self._reply(asked, content)

    async def preview(self, asked: Asked) -> Reply:
        """Show a product in a small page."""
        key, serving = asked.text("id"), self._batcher.serving
        entry = serving.entry(key)
        page = page_of(serving.choices.of(key).name, entry)
        own = {
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
            "Referrer-Policy": "no-referrer",
            **self._shared(asked),
        }
        return Reply(page.encode(), media="text/html; charset=utf-8", headers=own)

    def _reply(self, asked: Asked, content: Any) -> Reply:
        return Reply(dumped(content), headers=self._shared(asked))

    def _shared(self, asked: Asked) -> dict[str, str]:
        """Return the headers that let a page of OpenRefine read an answer."""
        if asked.origin not in self._origins:
            return {}
        return {"Access-Control-Allow-Origin": asked.origin, "Vary": "Origin"}

    def operations(self) -> list[Operation]:
        """Return the routes."""
        get, post = partial(Operation, "GET"), partial(Operation, "POST")
        suggested = {"type": "object", "properties": {"result": _LIST}, "required": ["result"]}
        suggest = partial(get, answer=suggested, parameters=_TYPED)
        gone = {404: "The catalogue has none of this id."}
        asks, drafted = "Reconcile cells (OpenRefine).", "Reconcile cells as 1.0 drafts it."
        form: dict[str, Any] = {"body": _FORM, "body_media": FORM}
        page: dict[str, Any] = {"media": "text/html", "parameters": (_ID,), "statuses": gone}
        path = "/reconcile"
        return [
            get(path, asks, self.asked, _ANY, parameters=_SENT, statuses=_ODD),
            post(path, asks, self.asked, _ANY, **form),
            post(f"{path}/match", drafted, self.match, _ANY, body=_MATCH),
            suggest(f"{path}/suggest/entity", "Suggest products.", self.entities),
            suggest(f"{path}/suggest/property", "Suggest properties.", self.properties),
            suggest(f"{path}/suggest/type", "Suggest types.", self.types),
            get(
                f"{path}/properties", "Propose columns.", self.proposed, _ANY, parameters=_PROPOSED
            ),
            get(f"{path}/preview", "Show a product in a page.", self.preview, _TEXT, **page),
        ]


def manifest(serving: Serving, base: str, batch: int) -> Schema:
    """Return what OpenRefine is told of the service first.

    :param base: its URL, with "/" at the end.
    :param batch: queries that may be asked at once.
    """
    own = f"{base}reconcile"

    def at(path: str) -> Schema:
        return {"service_url": own, "service_path": path}

    preview = f"{own}/preview?id={{{{id}}}}"
    return {
        "versions": ["0.2"],
        "name": f"rerank: {_kind(serving)['name']}",
        "identifierSpace": f"{base}candidates/",
        "schemaSpace": f"{own}/properties",
        "defaultTypes": [_kind(serving)],
        "view": {"url": preview},
        "preview": {"url": preview, "width": _WIDTH, "height": _HEIGHT},
        "suggest": {each: at(f"/suggest/{each}") for each in ("entity", "property", "type")},
        "extend": {"propose_properties": at("/properties"), "property_settings": []},
        "batchSize": batch,
    }


def reconciled(row: Row, serving: Serving, limit: int) -> list[Row]:
    """Return the candidates of an answer, the best first.

    A candidate's score is the probability in percent that it is sold, model and variant.
    """
    sold, matched = next(iter(row.values())), row["decision"] == Decision.MATCH.value
    kind, found = _kind(serving), []
    for at, each in enumerate(row["candidates"][:limit]):
        key = next(iter(each.values()))
        score = 100 * each["probability"] * each["variant_probability"]
        named = {"id": key, "name": serving.choices.of(key).name, "type": [kind]}
        measured = [{"id": name, "value": each[name]} for name in _MEASURED]
        own = {"score": round(score, 3), "match": matched and key == sold, "features": measured}
        said = {"description": f"{row['decision']}: {row['reason']}"} if not at else {}
        found.append({**named, **own, **said})
    return sorted(found, key=lambda each: -each["score"])


def _kind(serving: Serving) -> dict[str, str]:
    """Return the type of all that the catalogue holds."""
    one = str(serving.index.parameters.get("one", "GPU"))
    return {"id": serving.resolver.domain, "name": one}


def columns_of(serving: Serving) -> list[str]:
    """Return the columns of the catalogue."""
    return serving.domain.entry_columns(serving.resolver.source)


def page_of(name: str, entry: Mapping[str, Any]) -> str:
    """Return a product as a page that loads nothing."""
    rows = "".join(
        f"<tr><th>{escape(_title(column))}</th><td>{escape(_shown(value))}</td></tr>"
        for column, value in entry.items()
        if value not in (None, "", [], ())
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(name)}</title>'
        f"<style>{_STYLE}</style><h1>{escape(name)}</h1><table>{rows}</table></html>"
    )


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _title(name: str) -> str:
    return name.replace("_", " ")


def _cells(value: Any) -> list[Schema]:
    """Return what stands in a column as an extension tells it."""
    if value is None or value == "":
        return []
    if isinstance(value, list | tuple):
        return [cell for each in value for cell in _cells(each)]
    if isinstance(value, bool):
        return [{"bool": value}]
    if isinstance(value, int):
        return [{"int": value}]
    if isinstance(value, float):
        return [{"float": value}]
    return [{"date": value.isoformat()}] if isinstance(value, date) else [{"str": str(value)}]


def _object(text: str, name: str) -> dict[str, Any]:
    content = loaded(text.encode("utf-8", "surrogatepass"))
    if not isinstance(content, dict):
        raise Refusal(422, f"{name}: expected an object, found {kind_of(content)}")
    return content


def _objects(content: Any, name: str) -> list[dict[str, Any]]:
    if not isinstance(content, list) or not all(isinstance(each, dict) for each in content):
        raise Refusal(422, f"{name}: expected a list of objects")
    return content


def _cursor(asked: Asked) -> int:
    given = asked.text("cursor", "0")
    return 0 if given == "0" else whole_number(digits(given), "cursor", 10**6, given)


def _query(content: Any, where: str) -> CellQuery:
    if not isinstance(content, dict):
        raise Refusal(422, f"{where}: expected an object, found {kind_of(content)}")
    properties = [
        (each.get("pid"), each.get("v"))
        for each in _objects(content.get("properties", []), f"{where}: properties")
    ]
    return _cell(content.get("query"), properties, content.get("limit"), where)


def _drafted_query(content: Any, where: str) -> CellQuery:
    if not isinstance(content, dict):
        raise Refusal(422, f"{where}: expected an object, found {kind_of(content)}")
    title, properties = None, []
    for each in _objects(content.get("conditions"), f"{where}: conditions"):
        value = each.get("propertyValue")
        if each.get("matchType") == "name":
            title = value
        else:
            properties.append((each.get("propertyId"), value))
    return _cell(title, properties, content.get("limit"), where)


def _cell(title: Any, properties: Sequence[tuple[Any, Any]], limit: Any, where: str) -> CellQuery:
    """Return a cell with the properties beside it as a query."""
    if not isinstance(title, str):
        raise Refusal(422, f"{where}: expected a query that is text, found {kind_of(title)}")
    most = DEFAULT_LIMIT if limit is None else whole_number(limit, f"{where}: limit", 10**6, limit)
    fields: dict[str, list[str]] = {}
    for name, value in properties:
        if not isinstance(name, str):
            raise Refusal(
                422, f"{where}: expected properties that are named, found one that is not"
            )
        own = name if name in _FIELDS else "description"
        fields.setdefault(own, []).extend(_said(value))
    listing = Listing("", title, " ".join(fields.get("vendor", [])))
    listing = replace(
        listing,
        description=" ".join(fields.get("description", [])),
        price=number(next(iter(fields.get("price", [])), None)),
        identifiers=";".join(fields.get("identifiers", [])),
    )
    return CellQuery(listing, min(most, _MOST))


def _said(value: Any, depth: int = 0) -> list[str]:
    """Return a property's value as words: of one that is reconciled, its name."""
    if depth > _DEEPEST:
        return []
    if isinstance(value, list):
        return [text for each in value for text in _said(each, depth + 1)]
    if isinstance(value, dict):
        return _said(value.get("name", value.get("id")), depth + 1)
    return [] if value is None else [f"{value:g}" if isinstance(value, float) else str(value)]
