"""Split listings between two versions, or let a canary take its share; say how it went."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rerank.evaluation.paired import PairedCounts
from rerank.index.artifacts import locked
from rerank.index.errors import ArtifactError, RefusedError
from rerank.index.records import Ints, Listing
from rerank.jobs.files.listings import ListingBatch
from rerank.jobs.scoring.answering import (
    Answerer,
    ResolverAnswerer,
    ScoreOptions,
    answer_schema,
    naming_listings,
    with_listing_ids,
)
from rerank.jobs.scoring.plan import ScorePlan
from rerank.jobs.scoring.run import Progress, ScoreSummary, run_plan
from rerank.jobs.tables import plural, table
from rerank.lifecycle.canary import (
    ACCEPTED,
    ERRORS,
    NO_MATCH,
    CanaryOutcome,
    CanaryState,
    GuardrailFigure,
    arm_of,
    below,
    judge_guardrails,
    positions,
)
from rerank.lifecycle.model_registry import ModelRegistry
from rerank.lifecycle.opening import resolver_over, version_over
from rerank.lifecycle.traffic import (
    BothAnswers,
    BothModels,
    CanaryKeeper,
    Side,
    check_challenger,
    decision_rows,
    running_canary,
    save_decisions,
    stop_unfit_challenger,
)
from rerank.lifecycle.versions import CHALLENGER, CHAMPION, VersionRef
from rerank.resolution import DECISIONS
from rerank.resolver import Resolver
from rerank.store.database import Store
from rerank.workspace import open_source

_log = logging.getLogger(__name__)


Say = Callable[[str], None]
Tell = Callable[[Progress], None]
_LOCK = ".canary.lock"
_NO_FAULTS: Mapping[int, str] = {}


def run_split(
    registry: ModelRegistry,
    challenger: VersionRef,
    split: TrafficSplit,
    plan: ScorePlan,
    options: ScoreOptions,
    *,
    progress: Tell = lambda progress: None,
    say: Say = lambda text: None,
) -> tuple[ScoreSummary, SplitAnswerer]:
    """Score files, each row by the champion or the challenger.

    :raises InputError: if the challenger is the champion or cannot decide, or the plan is one file
        and that fails.
    :raises ArtifactError: if one of them is damaged or does not fit the index.
    """
    pointer = registry.pointer()
    check_challenger(pointer, challenger)
    champion = pointer.champion
    source, index = open_source(registry.workspace)
    first, second = (
        Side.of(version_over(registry.workspace, ref, source, index), top_k=options.top_k)
        for ref in (champion, challenger)
    )
    models = BothModels(first, second)
    store = Store(registry.workspace.store_path, wait_s=10.0)
    answerer = SplitAnswerer(models, split, store, options, index_version=index.fingerprint)
    summary = run_plan(plan, answerer, progress=progress, say=say)
    answerer.flush()
    return summary, answerer


def run_canary_night(
    registry: ModelRegistry,
    plan: ScorePlan,
    options: ScoreOptions,
    *,
    progress: Tell = lambda progress: None,
    say: Say = lambda text: None,
) -> ScoreSummary:
    """Score files while a canary runs; without one, the champion answers everything.

    :param say: takes each look at the guardrails, and warnings.
    :raises InputError: if the plan is one file and that fails.
    :raises ArtifactError: if the champion is damaged, or the canary's state.
    """
    pointer = registry.pointer()
    source, index = open_source(registry.workspace)
    champion = resolver_over(registry.workspace, source, index)
    state = running_canary(pointer)
    challenger: Resolver | None = None
    if state is not None:
        try:
            challenger = version_over(registry.workspace, state.challenger, source, index)
        except ArtifactError as exc:
            say(f"Warning: the canary ends, the champion serves: {exc}")
            stop_unfit_challenger(registry, pointer, state, exc)
    if challenger is None:
        say("No canary runs: the champion answers everything")
        return run_plan(plan, ResolverAnswerer(champion, options), progress=progress, say=say)
    first, second = (Side.of(each, top_k=options.top_k) for each in (champion, challenger))
    models = BothModels(first, second)
    with keeping(registry, lambda: CanaryKeeper(registry, pointer, say)) as keeper:
        answerer = CanaryAnswerer(models, keeper, options, index_version=index.fingerprint)
        summary = run_plan(plan, answerer, progress=progress, say=say)
        answerer.finish()
    if models.last_error:
        say(f"Warning: the challenger failed, the champion answered: {models.last_error}")
    return summary


Keeper = TypeVar("Keeper", bound=CanaryKeeper)


@contextmanager
def keeping(registry: ModelRegistry, make: Callable[[], Keeper]) -> Iterator[Keeper]:
    """Lend the canary to one run at a time; the kernel frees it when the run ends, however.

    :param make: its keeper, when it is this run's.
    :raises RefusedError: if another run has it.
    """
    path = registry.workspace.models_folder / _LOCK
    busy = f"{path}: another run serves listings for this canary; wait until it has ended"
    with locked(path, lambda: RefusedError(busy)):
        yield make()


_SHARES = (ACCEPTED, NO_MATCH, ERRORS)


def status_json(state: CanaryState | None) -> dict[str, Any]:
    """Return how far a canary is, as plain values."""
    if state is None:
        return {"running": False}
    return {
        "running": True,
        "experiment": state.experiment,
        "challenger": state.challenger.as_dict(),
        "champion": state.champion.as_dict(),
        "salt": state.salt,
        "step": state.step,
        "share": state.share,
        "windows": state.windows,
        "listings": state.counts.listings,
        "planned": state.settings.planned,
        "too_few": state.too_few,
        "guardrails": [
            {"name": each.name, "figure": round(each.figure, 6), "limit": each.limit}
            for each in _figures(state)
        ],
    }


def status_text(state: CanaryState | None) -> str:
    """Return how far a canary is, in a few lines."""
    if state is None:
        return "no canary runs; start one with `rerank models canary start VERSION`"
    counts, settings = state.counts, state.settings
    steps = ", ".join(f"{share:g}" for share in settings.steps)
    n = f"{counts.listings:,} of {settings.step_listings * state.step:,}"
    judged = ": too few to judge" if state.too_few else f", in {plural(state.windows, 'window')}"
    lines = [
        f"canary      {state.experiment}",
        f"challenger  {state.challenger}",
        f"champion    {state.champion}",
        f"step        {state.step} of {len(settings.steps)} (shares {steps}), "
        f"{state.share:.0%} of the listings",
        f"listings    {n}{judged}; {settings.planned:,} in all, answered by both",
        f"split       salt {state.salt}",
        "",
        table(
            ["guardrail", "figure", "limit"],
            [_row(each, too_few=state.too_few) for each in _figures(state)],
            left=(0,),
        ),
    ]
    return "\n".join(lines)


def _figures(state: CanaryState) -> list[GuardrailFigure]:
    return judge_guardrails(state.counts, state.settings.guardrails, 0.0)


def _row(each: GuardrailFigure, *, too_few: bool) -> list[str]:
    figure, limit = f"{each.figure:.2f}", f"{each.limit:g}"
    if each.name in _SHARES:
        figure, limit = f"{100 * each.figure:+.2f} %", f"{100 * each.limit:+g} %"
    return [each.name, "-" if too_few else figure, limit]


class TrafficAnswerer(Answerer):
    """Answers batches with two models and collects what is to be logged."""

    def __init__(self, models: BothModels, options: ScoreOptions, *, index_version: str) -> None:
        self.options = options
        self.schema = answer_schema(models.champion.schema, only_decisions=options.only_decisions)
        if models.champion.names_listings:
            self.schema = with_listing_ids(self.schema, options.columns)
        self.model_version = f"{models.champion.version}/{models.challenger.version}"
        self.index_version = index_version
        self._models = models
        self._log: list[pa.Table] = []


class CanaryAnswerer(TrafficAnswerer):
    """Answers batches; closes windows as their listings come, and follows what comes of them.

    After a breach the champion answers all that is left, after the last step the challenger.
    """

    def __init__(
        self, models: BothModels, keeper: CanaryKeeper, options: ScoreOptions, *, index_version: str
    ) -> None:
        super().__init__(models, options, index_version=index_version)
        self._keeper, self._serving = keeper, models.champion
        self._window = PairedCounts()
        self._counting: set[str] = set()  # of the running window

    def answer(self, batch: ListingBatch) -> pa.Table:
        """Answer a batch."""
        return self.answer_listings(batch.listings(), batch.faults)

    def answer_listings(
        self, listings: Sequence[Listing], faults: Mapping[int, str] = _NO_FAULTS
    ) -> pa.Table:
        """Answer listings; their ids are what they are split and counted by.

        :param faults: what is wrong with a listing, by its number.
        """
        parts = BatchParts(listings, faults, self.schema)
        n, start = len(listings), 0
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
        if outcome is CanaryOutcome.PASSED:
            self._serving = self._models.challenger
        self._window, self._log, self._counting = PairedCounts(), [], set()


_ROWS_AT_ONCE = 50_000  # of the log, written together


@dataclass(frozen=True, slots=True)
class TrafficSplit:
    """How listings are split.

    :param share: that the challenger answers, 0 to 1.
    :param both: let both models answer every listing, not only those of the challenger's share.
    """

    share: float = 0.5
    salt: str = "ab"
    both: bool = False


class SplitAnswerer(TrafficAnswerer):
    """Answers each row with its arm's model and logs what both models decide."""

    def __init__(
        self,
        models: BothModels,
        split: TrafficSplit,
        store: Store,
        options: ScoreOptions,
        *,
        index_version: str,
    ) -> None:
        super().__init__(models, options, index_version=index_version)
        # the same for the same models and salt, whatever the share
        said = "\0".join((models.champion.version, models.challenger.version, split.salt))
        digest = hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()
        self.experiment = f"ab-{digest[:12]}"
        self._split, self._store = split, store
        self._decisions: Counter[tuple[str, str]] = Counter()  # rows by arm and decision
        self._compared = self._differing = self._failed = self._logged = 0

    def answer(self, batch: ListingBatch) -> pa.Table:
        """Answer a batch."""
        parts = BatchParts(batch.listings(), batch.faults, self.schema)
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
            self._decisions.update({(arm, each): n for each, n in decided.items()})
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
            found = [self._decisions[arm, name] for name in names]
            total = sum(found)
            shares = [f"{n / total:.1%}" if total else "-" for n in found]
            rows.append([arm, version, f"{total:,}", *shares])
        lines = [
            table(
                ["arm", "model", "listings", *(name.replace("_", " ") for name in names)],
                rows,
                left=(0, 1),
            ),
            f"both models answered {self._compared:,} listings, {self._differing:,} of them with "
            "another decision",
        ]
        if self._failed:
            lines.append(
                f"the challenger failed on {self._failed:,} listings, which the champion "
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
        self._compared += len(rows) - int(both.failed.sum())
        self._differing += sum(a != b for a, b in zip(*decisions, strict=True))
        self._failed += int(both.failed.sum())
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


class BatchParts:
    """The answers to a batch, part by part.

    :param faults: what is wrong with a listing, by its number.
    :param schema: of the answers wanted.
    """

    def __init__(
        self, listings: Sequence[Listing], faults: Mapping[int, str], schema: pa.Schema
    ) -> None:
        self.listings = listings
        self._faults = faults
        self._schema = schema
        self._rows: list[Ints] = []
        self._tables: list[pa.Table] = []

    def faults_of(self, rows: Ints) -> dict[int, str]:
        """Return what is wrong with some rows, by their number among these."""
        if not self._faults:
            return {}
        own = {row: at for at, row in enumerate(rows.tolist())}
        return {own[row]: reason for row, reason in self._faults.items() if row in own}

    def answer(self, side: Side, rows: Ints) -> pa.Table:
        """Let one model answer some rows."""
        answers = side.ask([self.listings[row] for row in rows.tolist()], self.faults_of(rows))
        self.add(rows, answers)
        return answers

    def add(self, rows: Ints, answers: pa.Table) -> None:
        """Add the answers to some rows, one each."""
        self._rows.append(rows)
        self._tables.append(answers)

    def table(self) -> pa.Table:
        """Return a row for each of the batch, in its order."""
        place = np.concatenate([np.empty(0, np.int64), *self._rows])
        found = pa.concat_tables(self._tables) if self._tables else self._schema.empty_table()
        ordered = found.take(pa.array(np.argsort(place)))
        if self._tables:
            ordered = naming_listings(ordered, self.listings, self._schema)
        return pa.Table.from_arrays(
            [ordered.column(name) for name in self._schema.names], schema=self._schema
        )
