"""An A/B test: each listing is answered by the model whose share its id falls in."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from jobs.lifecycle.row_gathering import BatchParts, Ints
from jobs.lifecycle.traffic import BothModels
from jobs.listing_files import ListingBatch
from jobs.scoring import InTurn, ScoreOptions, answer_schema
from jobs.tables import table
from rerank.lifecycle.assignment import arm_of
from rerank.lifecycle.pointer import CHALLENGER, CHAMPION
from rerank.lifecycle.traffic_log import decision_rows, save_decisions
from rerank.resolution import DECISIONS
from rerank.store import Store

_ROWS_AT_ONCE = 50_000  # of the log, written together


@dataclass(frozen=True, slots=True)
class Split:
    """How listings are split.

    :param share: that the challenger answers, 0 to 1.
    :param both: let both models answer every listing, not only those of the challenger's share.
    """

    share: float = 0.5
    salt: str = "ab"
    both: bool = False


@dataclass(slots=True)
class SplitCounts:
    """What came out of an A/B test so far.

    :param decisions: rows by (arm, decision).
    :param compared: rows that both models answered; ``differing``: of them, other decisions.
    :param failed: rows on which the challenger raised an error.
    """

    decisions: Counter[tuple[str, str]] = field(default_factory=Counter)
    compared: int = 0
    differing: int = 0
    failed: int = 0


class SplitAnswerer(InTurn):
    """Answers each row with its arm's model and logs what both models decide."""

    def __init__(
        self,
        models: BothModels,
        split: Split,
        store: Store,
        options: ScoreOptions,
        *,
        index_version: str,
    ) -> None:
        self.options = options
        self.schema = answer_schema(only_decisions=options.only_decisions)
        self.model_version = f"{models.champion.version}/{models.challenger.version}"
        self.index_version = index_version
        self.experiment = experiment_name(models, split)
        self.counts = SplitCounts()
        self._models, self._split, self._store = models, split, store
        self._log: list[pa.Table] = []
        self._logged = 0

    def answer(self, batch: ListingBatch) -> pa.Table:
        """Answer a batch."""
        parts = BatchParts(batch, self.schema)
        ids = [listing.listing_id for listing in parts.listings]
        challenged = arm_of(ids, self._split.salt, self._split.share)
        for arm, rows in (
            (CHALLENGER, np.flatnonzero(challenged)),
            (CHAMPION, np.flatnonzero(~challenged)),
        ):
            if not len(rows):
                continue
            if arm == CHALLENGER or self._split.both:
                served = self._ask_both(parts, arm, rows)
            else:
                served = self._ask_champion(parts, rows)
            decided = Counter(served.column("decision").to_pylist())
            self.counts.decisions.update({(arm, each): n for each, n in decided.items()})
        if self._logged >= _ROWS_AT_ONCE:
            self.flush()
        return parts.table()

    def flush(self) -> None:
        """Write what was logged so far into the store.

        :raises StoreError: if that cannot be.
        """
        if not self._log:
            return
        with self._store.writing() as session:
            save_decisions(session, pa.concat_tables(self._log), experiment=self.experiment)
        self._log, self._logged = [], 0

    def text(self) -> str:
        """Return what came out of it for people."""
        names = [decision.value for decision in DECISIONS]
        rows = []
        for arm, version in zip((CHAMPION, CHALLENGER), self.model_version.split("/"), strict=True):
            found = [self.counts.decisions[arm, name] for name in names]
            total = sum(found)
            shares = [f"{n / total:.1%}" if total else "-" for n in found]
            rows.append([arm, version, f"{total:,}", *shares])
        counts = self.counts
        lines = [
            table(
                ["arm", "model", "listings", *(name.replace("_", " ") for name in names)],
                rows,
                left=(0, 1),
            ),
            f"both models answered {counts.compared:,} listings, {counts.differing:,} of them with "
            "another decision",
        ]
        if counts.failed:
            lines.append(
                f"the challenger failed on {counts.failed:,} listings, which the champion "
                f"answered: {self._models.last_error}"
            )
        lines.append(f"logged as {self.experiment} in the table traffic_decisions")
        return "\n".join(lines)

    def _ask_both(self, parts: BatchParts, arm: str, rows: Ints) -> pa.Table:
        listings = [parts.listings[row] for row in rows.tolist()]
        both = self._models.answer(listings, parts.faults_of(rows))
        challenger_serves = arm == CHALLENGER
        served = both.challenger if challenger_serves else both.champion
        parts.add(rows, served)
        decisions = [
            each.column("decision").to_pylist() for each in (both.champion, both.challenger)
        ]
        self.counts.compared += len(rows) - int(both.failed.sum())
        self.counts.differing += sum(a != b for a, b in zip(*decisions, strict=True))
        self.counts.failed += int(both.failed.sum())
        self._keep(both.log_rows(arm=arm, challenger_serves=challenger_serves))
        return served

    def _ask_champion(self, parts: BatchParts, rows: Ints) -> pa.Table:
        answers = parts.answer(self._models.champion, rows)
        ids = [parts.listings[row].listing_id for row in rows.tolist()]
        version = self._models.champion.version
        self._keep(
            decision_rows(
                ids,
                answers,
                arm=CHAMPION,
                served_version=pa.repeat(version, len(ids)),
                model_version=version,
                latency_ms=None,
            )
        )
        return answers

    def _keep(self, rows: pa.Table) -> None:
        self._log.append(rows)
        self._logged += rows.num_rows


def experiment_name(models: BothModels, split: Split) -> str:
    """Return the name of an A/B test: the same for the same models and salt, whatever the share."""
    said = "\0".join((models.champion.version, models.challenger.version, split.salt))
    return f"ab-{hashlib.sha256(said.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"
