"""Somebody who says what listings sell, and reads what stands of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np

from rerank.index.records import Listing
from rerank.store.database import Store
from rerank.store.rows import Annotation, StoredListing, Verdict, save_annotations, save_listings
from rerank.verdicts import Said, TextVerdict, open_verdicts, save_verdict, undo_verdict
from rerank.workspace import Workspace

START = datetime(2026, 3, 1, 12)


class Judge:
    """Says things, a minute after each other."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace, self.now = workspace, START
        self.store = Store(workspace.store_path)

    def _tick(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now

    def annotate(
        self, listing: Listing, who: str, said: str, key: str = "", model: str = ""
    ) -> None:
        with self.store.writing() as session:
            save_listings(session, [StoredListing(listing)])
            answer = Annotation(
                listing.listing_id,
                who,
                Verdict(said),
                key or None,
                model or None,
                annotated_at=self._tick(),
            )
            save_annotations(session, [answer])

    def say(self, title: str, said: str, key: str = "", model: str = "", **more: Any) -> None:
        given = {"vendor": "", "description": None, **more}
        with self.store.writing() as session:
            verdict = TextVerdict(
                title,
                given["vendor"],
                given["description"],
                Said(said),
                key or None,
                model or None,
                "kim",
                self._tick(),
            )
            save_verdict(session, verdict)

    def undo(self, title: str, description: str | None = None) -> str:
        with self.store.writing() as session:
            return undo_verdict(session, title, "", description, "kim")

    def said_of(self, *listings: Listing, near: bool = False) -> list[str]:
        """Return, for each listing, what stands: the kind and the product or model."""
        snapshot = open_verdicts(self.workspace)
        found = [""] * len(listings)
        if snapshot is None:
            return found
        snapshot = snapshot.with_near() if near else snapshot
        for listing, row, n_rows in zip(
            *(part.tolist() for part in snapshot.of(listings)), strict=True
        ):
            rows = snapshot.rows(np.arange(row, row + n_rows))
            said = [row["key"] or row["model"] or "" for row in rows]
            found[listing] = f"{rows[0]['kind'].value} {' '.join(sorted(said))}".strip()
        return found
