"""Serve listings while a canary runs: its share by the challenger, watched, the rest as ever."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jobs.lifecycle.canary_keeping import CanaryKeeper
from jobs.lifecycle.row_gathering import BatchParts, Ints
from jobs.lifecycle.traffic import BothAnswers, BothModels, Side
from jobs.listing_files import ListingBatch
from jobs.scoring import InTurn, ScoreOptions, answer_schema
from rerank.lifecycle.assignment import below, positions
from rerank.lifecycle.canary import Outcome
from rerank.lifecycle.paired_counts import PairedCounts


class CanaryAnswerer(InTurn):
    """Answers batches; closes windows as their listings come, and follows what comes of them.

    After a breach the champion answers all that is left, after the last step the challenger.
    """

    def __init__(
        self, models: BothModels, keeper: CanaryKeeper, options: ScoreOptions, *, index_version: str
    ) -> None:
        self.options = options
        self.schema = answer_schema(only_decisions=options.only_decisions)
        self.model_version = f"{models.champion.version}/{models.challenger.version}"
        self.index_version = index_version
        self._models, self._keeper = models, keeper
        self._serving = models.champion
        self._window = PairedCounts()
        self._log: list[pa.Table] = []
        self._counting: set[str] = set()  # of the running window

    def answer(self, batch: ListingBatch) -> pa.Table:
        """Answer a batch."""
        parts = BatchParts(batch, self.schema)
        n, start = len(parts.listings), 0
        place = self._positions(parts)
        waiting: dict[Side, list[Ints]] = {}
        while start < n:
            state = self._keeper.state
            if state is None:
                waiting.setdefault(self._serving, []).append(np.arange(start, n))
                break
            inside = below(place[start:], state.share)
            chosen = start + np.flatnonzero(inside)[: state.settings.group]
            end = int(chosen[-1]) + 1 if len(chosen) == state.settings.group else n
            rest = np.setdiff1d(np.arange(start, end), chosen)
            waiting.setdefault(self._serving, []).append(rest)
            if len(chosen):
                self._ask_both(parts, chosen)
            start = end
        for side, rows in waiting.items():
            if len(joined := np.concatenate(rows)):
                parts.answer(side, joined)
        return parts.table()

    def _positions(self, parts: BatchParts) -> NDArray[np.uint64]:
        """Return where the listings of a batch lie in the split."""
        if self._keeper.state is None:
            return np.empty(0, np.uint64)
        ids = [listing.listing_id for listing in parts.listings]
        return positions(ids, self._keeper.state.salt)

    def finish(self) -> None:
        """Close the window that is open: the next run goes on from there."""
        if self._window.listings:
            self._close()

    def _ask_both(self, parts: BatchParts, rows: Ints) -> None:
        """Serve the challenger's answers to some listings and count those that are new."""
        listings = [parts.listings[row] for row in rows.tolist()]
        faults = parts.faults_of(rows)
        both = self._models.answer(listings, faults)
        parts.add(rows, both.challenger)
        new = []
        for at, listing in enumerate(listings):
            key = listing.listing_id
            known = key in self._keeper.counted or key in self._counting
            if not known and at not in faults and listing.title.strip():
                new.append(at)
                self._counting.add(key)
        if new:
            self._count(both.only(np.array(new)))

    def _count(self, both: BothAnswers) -> None:
        self._window += both.counts()
        self._log.append(both.log_rows())
        state = self._keeper.state
        if state is not None and self._window.listings >= state.settings.window_listings:
            self._close()

    def _close(self) -> None:
        outcome = self._keeper.close_window(self._window, pa.concat_tables(self._log))
        if outcome is Outcome.PASSED:
            self._serving = self._models.challenger
        self._window, self._log, self._counting = PairedCounts(), [], set()
