"""What people settle over HTTP: it stands before the model's answers from then on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from rerank.index.errors import InputError, RerankError
from rerank.index.records import Listing
from rerank.jobs.service.access import Refusal, Role
from rerank.jobs.service.app import Service
from rerank.jobs.service.operations import (
    MOST_SHOWN,
    NAME_OF_PERSON,
    PERSON,
    SEARCHED,
    TOP_K,
    Asked,
    Operation,
    Parameter,
    Reply,
    Schema,
    dumped,
    kind_of,
    listing_of,
    ref,
)
from rerank.store.database import WRITER_PATIENCE_S, Store
from rerank.verdicts import (
    NAMING,
    SAYABLE,
    Said,
    TextVerdict,
    open_verdicts,
    parts_of,
    save_verdict,
    undo_verdict,
)
from rerank.workspace import Workspace

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
        limit = asked.whole("limit", 100, MOST_SHOWN)
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
        said = next((each for each in SAYABLE if each.value == verdict), None)
        if said is None:
            names = ", ".join(each.value for each in SAYABLE)
            raise Refusal(422, f"verdict: expected one of {names}, found {verdict!r:.40}")
        if not listing.title.strip():
            raise Refusal(422, "title: expected the text that is judged, found none")
        key, model = self._named(asked.body, said)
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

    def _named(self, body: Mapping[str, Any], said: Said) -> tuple[str | None, str | None]:
        """Return id and model that a verdict names, None for each that it does not.

        :raises Refusal: 422 if it names none or an unknown one, or should name none.
        """
        key, model = body.get("id"), body.get("model")
        if (said in NAMING) != (key is not None or model is not None):
            wanted = "an id or a model" if said in NAMING else "neither id nor model"
            raise Refusal(422, f"verdict {said.value}: expected {wanted}")

        serving = self._batcher.serving
        words = serving.choices.words
        if key is not None:
            entry = serving.domain.entry(serving.resolver.source, key)
            if entry is None or model not in (None, entry["model"]):
                raise Refusal(422, f"id: the {words.catalogue} has no such, found {key!r:.80}")
            return key, entry["model"]
        if said in NAMING and model not in serving.resolver.table.models:
            raise Refusal(422, f"model: the {words.catalogue} has no such: {model!r:.80}")
        return None, model

    def _who(self, asked: Asked, given: Any) -> str:
        """Return who says so: the holder of the key, or who is named where there are no keys."""
        if asked.visit.holder and given is None:
            return asked.visit.holder
        if asked.visit.holder:
            raise Refusal(422, "by: leave it out, the key says who it is")
        if given is not None and (not isinstance(given, str) or not PERSON.fullmatch(given)):
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
        title, vendor, route = SEARCHED[0], SEARCHED[1], "/verdicts"
        any_title = Parameter("title", "All, if left out.", text)
        described = Parameter("description", "Of the listing.", text)
        limit = Parameter("limit", "The most shown.", TOP_K.schema | {"default": 100})
        by = Parameter("by", "Who says so, where there are no keys.", NAME_OF_PERSON)
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
