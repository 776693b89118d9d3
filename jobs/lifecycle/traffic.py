"""Let two models answer the same listings; whatever the challenger does, each gets an answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from index.records import Listing
from jobs.resolving import resolve_to_table
from rerank.lifecycle.paired_counts import Decided, PairedCounts, paired_counts
from rerank.lifecycle.pointer import CHALLENGER
from rerank.lifecycle.traffic_log import decision_rows
from rerank.resolution import Decision

if TYPE_CHECKING:
    from rerank.resolver import Resolver

Bools = NDArray[np.bool_]
Ask = Callable[[Sequence[Listing], Mapping[int, str]], pa.Table]
"""Answers listings, of which some have faults, by number, in a row of `OUTPUT_SCHEMA` each."""

_log = logging.getLogger(__name__)


class Side:
    """One of the two models.

    :param version: as its rows say.
    """

    def __init__(self, version: str, ask: Ask) -> None:
        self.version = version
        self.ask = ask

    @classmethod
    def of(cls, resolver: Resolver, *, top_k: int) -> Side:
        """Return a resolver as a side."""
        return cls(
            resolver.model.version,
            lambda listings, faults: resolve_to_table(
                resolver, listings, top_k=top_k, faults=faults
            ),
        )


@dataclass(frozen=True, slots=True)
class BothAnswers:
    """What both made of some listings.

    :param challenger: its answers, the champion's where it failed: what is served.
    :param failed: shape (listings,), where the challenger raised an error.
    :param seconds: that champion and challenger took for the whole group of ``group`` listings;
        the challenger's is None after an error.
    :param versions: of champion and challenger.
    """

    listing_ids: Sequence[str]
    champion: pa.Table
    challenger: pa.Table
    failed: Bools
    seconds: tuple[float, float | None]
    group: int
    versions: tuple[str, str]

    def only(self, rows: NDArray[np.int64]) -> BothAnswers:
        """Return those to some of the listings, by number; the times stay the whole group's."""
        taken = pa.array(rows)
        return replace(
            self,
            listing_ids=[self.listing_ids[row] for row in rows.tolist()],
            champion=self.champion.take(taken),
            challenger=self.challenger.take(taken),
            failed=self.failed[rows],
        )

    def counts(self) -> PairedCounts:
        """Return them as guardrails read them."""
        first, second = self.seconds
        ratio = None if second is None or first <= 0 else second / first
        return paired_counts(
            _decided(self.champion), _decided(self.challenger), self.failed, ratio=ratio
        )

    def log_rows(self, *, arm: str = CHALLENGER, challenger_serves: bool = True) -> pa.Table:
        """Return a row of the log for each model and listing, the champion's first.

        :param arm: whose share the listings fell in.
        """
        served = (self.challenger if challenger_serves else self.champion).column("model_version")
        nothing = np.zeros(len(self.listing_ids), np.bool_)
        parts = []
        for at, (answers, failed) in enumerate(
            ((self.champion, nothing), (self.challenger, self.failed))
        ):
            seconds = self.seconds[at]
            each = None if seconds is None else 1000 * seconds / max(self.group, 1)
            parts.append(
                decision_rows(
                    self.listing_ids,
                    answers,
                    arm=arm,
                    served_version=served.combine_chunks(),
                    model_version=self.versions[at],
                    latency_ms=each,
                    failed=failed,
                )
            )
        return pa.concat_tables(parts)


class BothModels:
    """Asks champion and challenger in turns: who is first changes from group to group.

    :param clock: seconds, rising; a parameter so that a slow model can be made up.
    """

    def __init__(
        self, champion: Side, challenger: Side, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.champion, self.challenger = champion, challenger
        self.last_error = ""
        self._clock = clock
        self._groups = 0

    def answer(self, listings: Sequence[Listing], faults: Mapping[int, str]) -> BothAnswers:
        """Let both answer a group of listings."""
        self._groups += 1
        second: pa.Table | None = None
        second_s: float | None = None
        if self._groups % 2:
            second, second_s = self._challenger(listings, faults)
        started = self._clock()
        first = self.champion.ask(listings, faults)
        first_s = self._clock() - started
        if not self._groups % 2:
            second, second_s = self._challenger(listings, faults)
        failed = np.zeros(len(listings), np.bool_)
        if second is None:
            second, failed = self._one_by_one(listings, faults, first)
        versions = self.champion.version, self.challenger.version
        ids = [listing.listing_id for listing in listings]
        return BothAnswers(ids, first, second, failed, (first_s, second_s), len(listings), versions)

    def _challenger(
        self, listings: Sequence[Listing], faults: Mapping[int, str]
    ) -> tuple[pa.Table | None, float | None]:
        """Return the challenger's answers and its seconds, neither if it raised an error."""
        started = self._clock()
        try:
            answers = self.challenger.ask(listings, faults)
        except Exception as exc:  # whatever it is, it must not cost a listing its answer
            self._note(exc)
            return None, None
        return answers, self._clock() - started

    def _one_by_one(
        self, listings: Sequence[Listing], faults: Mapping[int, str], champion: pa.Table
    ) -> tuple[pa.Table, Bools]:
        """Ask for each listing alone, so that one that fails does not count for its group."""
        failed = np.zeros(len(listings), np.bool_)
        rows = []
        for at, listing in enumerate(listings):
            try:
                rows.append(self.challenger.ask([listing], {0: faults[at]} if at in faults else {}))
            except Exception as exc:  # as above
                self._note(exc)
                failed[at] = True
                rows.append(champion.slice(at, 1))
        return pa.concat_tables(rows), failed

    def _note(self, exc: Exception) -> None:
        self.last_error = f"{type(exc).__name__}: {' '.join(str(exc).split())}"[:300]
        _log.debug("challenger %s failed", self.challenger.version, exc_info=exc)


def _decided(answers: pa.Table) -> Decided:
    decision = answers.column("decision")
    return Decided(
        answers.column("match_probability").to_numpy(),
        _equals(decision, Decision.MATCH),
        _equals(decision, Decision.NO_MATCH),
    )


def _equals(column: pa.ChunkedArray, decision: Decision) -> Bools:
    return np.asarray(pc.equal(column, decision.value).to_numpy(zero_copy_only=False), np.bool_)
