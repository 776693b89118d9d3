"""Answers to requests that come at once, given together, with what serves now.

A request's listings wait in a queue until the event loop has read what else has come: of few
listings calls of numpy weigh most, so that many cost little more than one. The loop resolves them
itself: numpy's short calls hold the interpreter, so that a thread of its own would resolve no
sooner, and each would wait for the other at every turn. Large requests are answered by parts, so
that small ones need not wait for them. A thread looks whether something else should serve and
loads it meanwhile; a request is answered by what it began with. It keeps the canary, too: while one
runs, its share of the listings is answered by the challenger.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from rerank.domain import Choices, Domain, domain_named
from rerank.evaluation.paired import PairedCounts
from rerank.index.artifacts import INDEX_FORMAT, INDEX_REMEDY, Manifest, read_manifest
from rerank.index.errors import ArtifactError, RefusedError, RerankError
from rerank.index.records import N_CANDIDATES, Listing
from rerank.jobs.models.serving_traffic import CanaryAnswerer, keeping
from rerank.jobs.scoring.answering import ScoreOptions
from rerank.jobs.service.access import Refusal
from rerank.lifecycle.canary import CanaryOutcome, CanaryState
from rerank.lifecycle.model_registry import ModelRegistry
from rerank.lifecycle.opening import LiveResolver, heeding_people, version_over
from rerank.lifecycle.traffic import (
    BothModels,
    CanaryKeeper,
    Side,
    running_canary,
    stop_unfit_challenger,
)
from rerank.lifecycle.versions import Pointer
from rerank.verdicts import open_verdicts
from rerank.workspace import Workspace

if TYPE_CHECKING:
    from rerank.resolver import Resolver

Result = TypeVar("Result")
Row = dict[str, Any]
"""A row of the contract, by column."""
OnBatch = Callable[[int, Sequence[str], float], None]
"""Is told of requests answered together: how many, the decisions, the seconds it took."""

MOST_TOGETHER = 256
"""Listings answered in one turn of the loop: 40 ms."""
_LOOK_EVERY_S = 1.0

_log = logging.getLogger("rerank.service")


@dataclass(frozen=True, slots=True)
class Serving:
    """What answers: one version of a model on one version of an index.

    :param index: the index's manifest.
    :param choices: what people choose from where they say what a listing sells.
    :param canary: answers while a canary runs; None without one.
    """

    resolver: Resolver
    domain: Domain
    index: Manifest
    choices: Choices
    canary: CanaryAnswerer | None = None

    @property
    def columns(self) -> frozenset[str]:
        """Names of the columns of an answer."""
        return frozenset(self.resolver.schema.names)

    def entry(self, key: str) -> Row:
        """Return what the catalogue says of a product.

        :raises Refusal: 404 if it has none of this id.
        """
        found = self.domain.entry(self.resolver.source, key)
        if found is None:
            raise Refusal(404, f"the {self.choices.words.catalogue} has no {key!r:.80}")
        return dict(found)

    def rows(self, listings: Sequence[Listing], top_k: int) -> list[Row]:
        """Answer listings, a row of the contract each; with a canary, of all candidates."""
        if self.canary is not None:
            return rows_of(self.canary.answer_listings(list(map(_named, listings))))
        return rows_of(self.resolver.resolve_table(listings, top_k=top_k))


def _named(listing: Listing) -> Listing:
    """Return a listing with an id, by which a canary splits: one without gets that of its text."""
    if listing.listing_id:
        return listing
    said = f"{listing.title}\0{listing.vendor}".encode("utf-8", "surrogatepass")
    return replace(listing, listing_id=f"text-{hashlib.sha256(said).hexdigest()[:20]}")


def rows_of(table: pa.Table) -> list[Row]:
    """Return a table as rows of plain values; structs in lists column by column.

    Some ten times faster than `pyarrow.Table.to_pylist`, which makes an object of each struct.
    """
    columns = [_values(column.combine_chunks()) for column in table.columns]
    names = table.column_names
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _values(column: pa.Array) -> list[Any]:
    kind = column.type
    if not (pa.types.is_list(kind) and pa.types.is_struct(kind.value_type)) or column.null_count:
        plain: list[Any] = column.to_pylist()
        return plain
    flat, offsets = column.flatten(), column.offsets.to_pylist()
    names = [field.name for field in kind.value_type]
    fields = [flat.field(at).to_pylist() for at in range(len(names))]
    structs = [dict(zip(names, values, strict=True)) for values in zip(*fields, strict=True)]
    first = offsets[0]
    return [structs[start - first : end - first] for start, end in pairwise(offsets)]


class _Everything(frozenset[str]):
    """Holds whatever is asked for."""

    def __contains__(self, item: object) -> bool:
        return True


class _Onlooker:
    """In a keeper's place where another process keeps the canary: splits alike, counts nothing."""

    counted = _Everything()

    def __init__(self, state: CanaryState) -> None:
        self.state: CanaryState | None = state


class _LateKeeper(CanaryKeeper):
    """Keeps windows when it is asked to settle: who answers does not wait for the store."""

    def __init__(self, registry: ModelRegistry, pointer: Pointer) -> None:
        super().__init__(registry, pointer, lambda text: _log.info("%s", text))
        self._closed: deque[tuple[PairedCounts, pa.Table]] = deque()

    def close_window(self, window: PairedCounts, log: pa.Table) -> CanaryOutcome | None:
        """Put a window by; what comes of it shows in ``state`` later."""
        self.counted.update(log.column("listing_id").to_pylist())
        self._closed.append((window, log))
        return None

    def settle(self) -> None:
        """Judge and keep what was put by."""
        while self._closed:
            super().close_window(*self._closed.popleft())


class Canary:
    """Follows the canary of a workspace, and keeps it unless another process does.

    :param verdicts: let what people settled stand before the challenger's answers, too.
    """

    def __init__(self, workspace: Workspace, *, verdicts: bool = False) -> None:
        self._registry, self._heeds = ModelRegistry(workspace), verdicts
        self._seen: tuple[object, ...] = ()
        self._keeper: _LateKeeper | _Onlooker | None = None
        self._answerer: CanaryAnswerer | None = None
        self._lent = ExitStack()

    def follow(self, champion: Resolver, index: Manifest) -> CanaryAnswerer | None:
        """Return what answers with both models while a canary runs, else None.

        :raises RerankError: if the pointer or the canary's state is damaged.
        """
        if isinstance(self._keeper, _LateKeeper):
            self._keeper.settle()
        pointer = self._registry.pointer()
        state = running_canary(pointer)
        if state is None or state.champion != pointer.champion:
            self.end()
            return None
        seen = state.experiment, champion
        if seen != self._seen:
            self.end()
            self._seen = seen
            self._open(champion, index, pointer, state)
        elif isinstance(self._keeper, _Onlooker) and self._answerer is not None:
            self._keeper.state = state
            self._keep(pointer)
        over = self._keeper is None or self._keeper.state is None
        return None if over else self._answerer

    def _open(
        self, champion: Resolver, index: Manifest, pointer: Pointer, state: CanaryState
    ) -> None:
        try:
            workspace = self._registry.workspace
            challenger = version_over(workspace, state.challenger, champion.source, index)
            if self._heeds:
                challenger = heeding_people(workspace, challenger, open_verdicts(workspace))
        except ArtifactError as exc:
            _log.warning("the canary ends, the champion serves: %s", exc)
            stop_unfit_challenger(self._registry, pointer, state, exc)
            return
        first, second = (Side.of(each, top_k=N_CANDIDATES) for each in (champion, challenger))
        self._models = BothModels(first, second)
        self._keeper = _Onlooker(state)
        self._options = ScoreOptions(), champion.index_version
        self._put(self._keeper)
        self._keep(pointer)

    def _put(self, keeper: Any) -> None:
        options, version = self._options
        self._keeper = keeper
        self._answerer = CanaryAnswerer(self._models, keeper, options, index_version=version)

    def _keep(self, pointer: Pointer) -> None:
        """Become the canary's keeper, if no other process is."""
        with suppress(RefusedError):
            lending = keeping(self._registry, lambda: _LateKeeper(self._registry, pointer))
            self._put(self._lent.enter_context(lending))

    def finish(self) -> None:
        """Keep what was counted so far; nobody answers any more."""
        if self._answerer is not None and isinstance(self._keeper, _LateKeeper):
            self._answerer.finish()
            self._keeper.settle()
        self.end()

    def end(self) -> None:
        """Let another process keep it."""
        self._lent.close()
        self._seen, self._keeper, self._answerer = (), None, None


@dataclass(slots=True)
class _Work:
    """A request that waits.

    :param finish: makes the result of the rows.
    :param serving: what answers it, once some of it is answered.
    """

    future: asyncio.Future[Any]
    listings: Sequence[Listing]
    top_k: int
    finish: Callable[[list[Row], Serving], Any]
    rows: list[Row] = field(default_factory=list)
    serving: Serving | None = None

    @property
    def n_left(self) -> int:
        """How many of its listings have no answer yet."""
        return len(self.listings) - len(self.rows)

    def take(self, rows: list[Row], serving: Serving) -> None:
        """Keep the answers of some listings; with the last ones, deliver the result."""
        for row in rows:
            del row["candidates"][self.top_k :]
        self.rows += rows
        self.serving = serving
        if not self.n_left and not self.future.done():  # else nobody waits for it
            self.future.set_result(self.finish(self.rows, serving))

    def fail(self, fault: Exception) -> None:
        """Deliver an error."""
        if not self.future.done():
            self.future.set_exception(fault)


_Part = tuple[_Work, int]
"""A request, and how many of its listings are answered now."""


class Batcher:
    """Answers requests of one event loop, in it.

    :param most_waiting: listings that may wait.
    :param verdicts: let what people settled stand before what the model answers.
    :param on_batch: is told of what was answered together.
    :param on_look: is called from time to time, with what serves and what is wrong with what
        should.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        most_waiting: int,
        verdicts: bool = True,
        on_batch: OnBatch = lambda requests, decisions, seconds: None,
        on_look: Callable[[Serving, str | None], None] = lambda serving, fault: None,
        look_every_s: float = _LOOK_EVERY_S,
    ) -> None:
        """Load what serves.

        :raises ArtifactError: if nothing of the workspace can serve.
        """
        self._workspace = workspace
        self._live = LiveResolver(
            workspace.home, on_fault=lambda text: _log.warning("%s", text), verdicts=verdicts
        )
        self._looking = threading.Lock()
        self.heeds = verdicts
        self._most_waiting, self._on_batch, self._on_look = most_waiting, on_batch, on_look
        self._look_every_s = look_every_s
        self._queue: list[_Work] = []
        self._closing = threading.Event()
        self._canary = Canary(workspace, verdicts=verdicts)
        self.waiting = 0
        self.serving = self._opened(self._live.current)
        self._looker: threading.Thread | None = None
        self._try_to_look()

    @property
    def fault(self) -> str | None:
        """Why what should serve now does not; None if it does."""
        return self._live.fault

    @property
    def alive(self) -> bool:
        """Whether requests are answered."""
        return self._looker is not None and not self._closing.is_set()

    def start(self) -> None:
        """Begin to answer."""
        self._loop = asyncio.get_running_loop()
        self._closing.clear()
        self._looker = threading.Thread(target=self._look, name="rerank-look", daemon=True)
        self._looker.start()

    async def stop(self) -> None:
        """Answer what waits, and end."""
        self._closing.set()
        while self._queue:
            await asyncio.sleep(0)
        if self._looker is not None:
            await asyncio.to_thread(self._looker.join)
        await asyncio.to_thread(self._canary.finish)

    async def resolve(
        self,
        listings: Sequence[Listing],
        top_k: int,
        finish: Callable[[list[Row], Serving], Result],
    ) -> Result:
        """Return what is made of the rows that answer some listings.

        :param listings: one or more.
        :param finish: is given the rows, which are its own, and what answered.
        :raises Refusal: 503 if too many wait already.
        """
        weight = len(listings)
        if self._closing.is_set() or (self.waiting and self.waiting + weight > self._most_waiting):
            raise Refusal(503, "too much is asked at once: try again soon", {"Retry-After": "1"})
        work = _Work(self._loop.create_future(), listings, top_k, finish)
        self.waiting += weight
        self._queue.append(work)
        if len(self._queue) == 1:
            self._loop.call_soon(self._turn, 0)
        try:
            result: Result = await work.future
            return result
        finally:
            self.waiting -= weight

    def _turn(self, n_seen: int) -> None:
        """Answer what came, once nothing more comes with it.

        :param n_seen: how many requests waited when the loop looked last.
        """
        self._queue = [work for work in self._queue if not work.future.done()]  # some gave up
        n = len(self._queue)
        if n_seen < n < MOST_TOGETHER:  # what else has come is read before
            self._loop.call_soon(self._turn, n)
            return
        if parts := self._next_parts():
            self._answer(parts, parts[0][0].serving or self.serving)
            self._queue = [work for work in self._queue if not work.future.done()]
        if self._queue:
            self._loop.call_soon(self._turn, len(self._queue))

    def _next_parts(self) -> list[_Part]:
        """Return what is answered next: half for who waits longest, then who needs least."""
        if not self._queue:
            return []
        oldest, *others = self._queue
        reserved = min(oldest.n_left, MOST_TOGETHER // 2)
        room, parts = MOST_TOGETHER - reserved, []
        for work in sorted(others, key=lambda each: each.n_left):
            if room and work.serving in (None, oldest.serving):
                parts.append((work, min(work.n_left, room)))
                room -= parts[-1][1]
        return [(oldest, min(oldest.n_left, reserved + room)), *parts]

    def _answer(self, parts: Sequence[_Part], serving: Serving) -> None:
        """Answer parts of requests; one that fails fails alone."""
        started = time.perf_counter()
        listings = [listing for work, n in parts for listing in work.listings[len(work.rows) :][:n]]
        try:
            rows = serving.rows(listings, max(work.top_k for work, _ in parts))
        except Exception as exc:
            if len(parts) > 1:
                for part in parts:
                    self._answer([part], serving)
            else:
                parts[0][0].fail(exc)
            return
        self._on_batch(len(parts), [row["decision"] for row in rows], time.perf_counter() - started)
        at = 0
        for work, n in parts:
            try:
                work.take(rows[at : at + n], serving)
            except Exception as exc:
                work.fail(exc)
            at += n

    def _look(self) -> None:
        while not self._closing.wait(self._look_every_s):
            self._try_to_look()

    def _try_to_look(self) -> None:
        try:
            self.look()
        except (RerankError, OSError) as exc:
            _log.warning("%s; what serves goes on", exc)
        except Exception:
            _log.exception("looking for what serves failed; what serves goes on")

    def look(self) -> None:
        """Follow what should serve.

        :raises RerankError: if the pointer, or the canary's state, is damaged.
        """
        with self._looking:
            serving, resolver = self.serving, self._live.current
            if resolver is not serving.resolver:
                serving = self._opened(resolver)
                _log.info("now serves", extra={"own": versions(serving)})
            self.serving = serving  # before the challenger is loaded, which takes a moment
            canary = self._canary.follow(resolver, serving.index)
            if canary is not serving.canary:
                self.serving = replace(serving, canary=canary)
            self._on_look(self.serving, self._live.fault)

    def _opened(self, resolver: Resolver) -> Serving:
        folder = self._workspace.active_index()
        index = read_manifest(
            folder, kind="index", format_version=INDEX_FORMAT, remedy=INDEX_REMEDY
        )
        domain = domain_named(resolver.domain)
        return Serving(resolver, domain, index, domain.choices(resolver.source, index))


def versions(serving: Serving) -> Mapping[str, str]:
    """Return the versions of what serves."""
    return {
        "domain": serving.resolver.domain,
        "model_version": serving.resolver.model.version,
        "index_version": serving.resolver.index_version,
    }
