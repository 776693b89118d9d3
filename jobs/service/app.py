"""The service: its routes over what serves, as an application that answers and refuses.

Whatever goes wrong is told as JSON, with the id of the request.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from rerank.index.errors import DISTRIBUTION, InputError, RerankError
from rerank.index.records import Listing
from rerank.jobs.scoring.answering import renamed_columns
from rerank.jobs.service.access import (
    Keys,
    Limits,
    Refusal,
    Telemetry,
    Visit,
    check_host,
    request_id,
)
from rerank.jobs.service.batching import Batcher, Row, Serving, versions
from rerank.jobs.service.operations import (
    DEFAULT_TOP_K,
    FORM,
    JSON,
    MOST_SHOWN,
    OBJECT,
    SEARCHED,
    TOP_K,
    Asked,
    Operation,
    Parameter,
    Reply,
    dumped,
    form_of,
    kind_of,
    listing_of,
    loaded,
    openapi,
    ref,
    whole_number,
)

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request

_LEFT = 499  # the sender went away before the answer; nobody sees this status but the log
_KEY = Parameter("id", "As answers name it.", {"type": "string"}, "path", required=True)
_log = logging.getLogger("rerank.service")


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
        top_k = asked.whole("top_k", DEFAULT_TOP_K, MOST_SHOWN)
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
            top_k = asked.whole("top_k", 2 * DEFAULT_TOP_K, MOST_SHOWN)
            route = asked.text("route", "fused")
        else:
            listing = listing_of(asked.body, "body")
            top_k = 2 * DEFAULT_TOP_K
            if "top_k" in asked.body:
                top_k = whole_number(asked.body["top_k"], "top_k", MOST_SHOWN, asked.body["top_k"])
            route = asked.body.get("route", "fused")
        if not listing.title.strip():
            raise Refusal(422, "title: expected words to search, found none")
        if not isinstance(route, str):
            raise Refusal(422, f"route: expected text, found {kind_of(route)}")

        serving = self.batcher.serving
        hits = serving.domain.hits(serving.resolver.source, listing, top_k, route)
        return Reply(dumped({"title": listing.title, "route": route, "candidates": hits}))

    async def candidate(self, asked: Asked) -> Reply:
        """Answer what the catalogue says of one of its products."""
        return Reply(dumped(self.batcher.serving.entry(asked.path["id"])))

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
                parameters=(TOP_K,),
            ),
            Operation(
                "GET",
                "/search",
                "Show what is found for a title, before any ranking.",
                self.search,
                ref("Found"),
                parameters=SEARCHED,
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
                OBJECT,
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
            get("/openapi.json", says, self.openapi, OBJECT, None),
        ]


def joined(given: Mapping[str, Any], row: Row) -> Row:
    """Return a listing's own fields and its answer; a field gives way to an answer of its name."""
    if row.keys().isdisjoint(given):
        return {**given, **row}
    renamed = renamed_columns(list(given), pa.schema([(name, pa.null()) for name in row]))
    return {**{renamed.get(name, name): value for name, value in given.items()}, **row}


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
            _Endpoint(service, methods),
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


class _Endpoint:
    """Answers requests of one path.

    An object, as Starlette wraps functions twice: a tenth of what a request costs.
    """

    def __init__(self, service: Service, methods: Mapping[str, Operation]) -> None:
        self._service, self._methods = service, methods

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from starlette.requests import Request

        response = await self._response(Request(scope, receive))
        await response(scope, receive, send)

    async def _response(self, request: Request) -> Any:
        operation = self._methods["GET" if request.method == "HEAD" else request.method]
        visit: Visit = request.scope[_VISIT]
        visit.route = operation.path
        try:
            return _response(await _answered(self._service, operation, request, visit))
        except Refusal as exc:
            return _fault_response(request, exc)
        except TimeoutError:
            seconds = self._service.limits.answer_s
            text = f"no answer within {seconds:g} s: ask for less at once"
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
    async with asyncio.timeout(service.limits.answer_s):
        return await operation.handler(Asked(visit, body, request))


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
