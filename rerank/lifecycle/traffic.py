"""Two models over the same listings: what both made of them, its log, and the canary it keeps.

Whatever the challenger does, each listing gets an answer.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rerank.answer_columns import OUTPUT_SCHEMA
from rerank.evaluation.paired import Decided, PairedCounts, paired_counts
from rerank.index.errors import ArtifactError, InputError, RefusedError, StoreError
from rerank.index.records import Bools, Listing
from rerank.lifecycle.canary import CanaryOutcome, CanarySettings, CanaryState, Look, look
from rerank.lifecycle.model_registry import AliasChange, ModelRegistry
from rerank.lifecycle.opening import open_version
from rerank.lifecycle.versions import CHALLENGER, CHAMPION, Pointer, VersionRef, decision_kinds
from rerank.resolution import Decision
from rerank.resolver import Resolver
from rerank.store.database import Session, Store, utc_now

Ask = Callable[[Sequence[Listing], Mapping[int, str]], pa.Table]
"""Answers listings, some with faults, by number, in a row of their domain's columns each."""

_log = logging.getLogger(__name__)

_LOGGED = pa.schema(
    [
        ("experiment", pa.string()),
        ("window_number", pa.int32()),
        ("listing_id", pa.string()),
        ("arm", pa.string()),
        ("served_version", pa.string()),
        ("model_version", pa.string()),
        ("gpu_id", pa.string()),
        ("model", pa.string()),
        ("best_guess", pa.string()),
        ("match_probability", pa.float64()),
        ("decision", pa.string()),
        ("latency_ms", pa.float64()),
        ("logged_at", pa.timestamp("us")),
    ]
)
_TAKEN = ("best_guess", "match_probability", "decision")
_SOLD = ("gpu_id", "model")  # what the log calls the first two columns of answers: id and name


def decision_rows(
    listing_ids: Sequence[str],
    answers: pa.Table,
    *,
    arm: str,
    served_version: pa.Array,
    model_version: str,
    latency_ms: float | None,
    failed: Bools | None = None,
) -> pa.Table:
    """Return one model's answers to some listings as rows of the log, without an experiment.

    :param answers: with the columns of their domain, what is sold and its name first.
    :param arm: of all of them.
    :param served_version: of each listing, the model whose answer was given out.
    :param failed: where the model raised an error; what it decided there is null.
    """
    n = len(listing_ids)
    named = {**dict(zip(_SOLD, answers.column_names, strict=False)), **{n: n for n in _TAKEN}}
    columns = {ours: answers.column(name).combine_chunks() for ours, name in named.items()}
    if failed is not None and failed.any():
        mask = pa.array(~failed)
        columns = {
            name: pc.if_else(mask, values, pa.scalar(None, values.type))
            for name, values in columns.items()
        }
    columns |= {
        "experiment": pa.repeat("", n),
        "window_number": pa.repeat(pa.scalar(0, pa.int32()), n),
        "listing_id": pa.array(listing_ids, pa.string()),
        "arm": pa.repeat(arm, n),
        "served_version": served_version,
        "model_version": pa.repeat(model_version, n),
        "latency_ms": pa.array([latency_ms] * n, pa.float64()),
        "logged_at": pa.array([utc_now()] * n, pa.timestamp("us")),
    }
    return pa.table([columns[name] for name in _LOGGED.names], schema=_LOGGED)


def save_decisions(
    session: Session, rows: pa.Table, *, experiment: str, window_number: int = 0
) -> None:
    """Insert rows of an experiment; those of the same listings and window are replaced."""
    numbers = pa.repeat(pa.scalar(window_number, pa.int32()), rows.num_rows)
    for name, values in (
        ("experiment", pa.repeat(experiment, rows.num_rows)),
        ("window_number", numbers),
    ):
        rows = rows.set_column(rows.column_names.index(name), name, values)
    with session.visible("logged", rows):
        session.execute(
            "replace logged decisions",
            """DELETE FROM traffic_decisions WHERE experiment = ? AND window_number = ?
            AND listing_id IN (SELECT listing_id FROM logged)""",
            [experiment, window_number],
        )
    session.insert("log decisions", "traffic_decisions", rows)


def save_window(session: Session, seen: Look) -> None:
    """Insert a window of a canary with its guardrails."""
    state = seen.state
    session.execute(
        "save canary window",
        """INSERT OR REPLACE INTO canary_windows (experiment, window_number, step, share, listings,
        guardrails, breached, outcome, closed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        [
            state.experiment,
            state.windows,
            seen.step,
            seen.share,
            seen.window.listings,
            json.dumps([figure.as_json() for figure in seen.figures]),
            bool(seen.breached),
            seen.outcome.value,
            utc_now(),
        ],
    )


def forget_after(session: Session, experiment: str, window_number: int) -> None:
    """Remove windows that the pointer does not know: a process ended before it told it of them."""
    for table in ("traffic_decisions", "canary_windows"):
        session.execute(
            "forget unknown windows",
            f"DELETE FROM {table} WHERE experiment = ? AND window_number > ?",
            [experiment, window_number],
        )


def logged_listings(session: Session, experiment: str, window_number: int) -> set[str]:
    """Return the ids of the listings that an experiment has counted up to a window."""
    rows = session.rows(
        "read counted listings",
        """SELECT DISTINCT listing_id FROM traffic_decisions
        WHERE experiment = ? AND window_number <= ?""",
        [experiment, window_number],
    )
    return {row[0] for row in rows}


class Side:
    """One of the two models.

    :param version: as its rows say.
    :param schema: of the rows it answers in.
    :param names_listings: see `rerank.resolver.Resolver`.
    """

    def __init__(
        self,
        version: str,
        ask: Ask,
        schema: pa.Schema = OUTPUT_SCHEMA,
        *,
        names_listings: bool = False,
    ) -> None:
        self.version = version
        self.ask = ask
        self.schema = schema
        self.names_listings = names_listings

    @classmethod
    def of(cls, resolver: Resolver, *, top_k: int) -> Side:
        """Return a resolver as a side."""
        return cls(
            resolver.model.version,
            lambda listings, faults: resolver.resolve_table(listings, top_k=top_k, faults=faults),
            resolver.schema,
            names_listings=resolver.names_listings,
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
        answers: list[pa.Table | None] = [None, None]
        seconds = [0.0, 0.0]
        for at in (1, 0) if self._groups % 2 else (0, 1):
            started = self._clock()
            answers[at] = (self._tried if at else self.champion.ask)(listings, faults)
            seconds[at] = self._clock() - started
        first, second = answers
        second_s = None if second is None else seconds[1]
        failed = np.zeros(len(listings), np.bool_)
        if second is None:
            second, failed = self._one_by_one(listings, faults, first)
        versions = self.champion.version, self.challenger.version
        ids = [listing.listing_id for listing in listings]
        took = seconds[0], second_s
        return BothAnswers(ids, first, second, failed, took, len(listings), versions)

    def _tried(self, listings: Sequence[Listing], faults: Mapping[int, str]) -> pa.Table | None:
        """Return the challenger's answers; None if it raised an error."""
        try:
            return self.challenger.ask(listings, faults)
        except Exception as exc:  # whatever it is, it must not cost a listing its answer
            self.last_error = f"{type(exc).__name__}: {' '.join(str(exc).split())}"[:300]
            _log.debug("challenger %s failed", self.challenger.version, exc_info=exc)
            return None

    def _one_by_one(
        self, listings: Sequence[Listing], faults: Mapping[int, str], champion: pa.Table
    ) -> tuple[pa.Table, Bools]:
        """Ask for each listing alone, so that one that fails does not count for its group."""
        rows = [
            self._tried([listing], {0: faults[at]} if at in faults else {})
            for at, listing in enumerate(listings)
        ]
        failed = np.array([row is None for row in rows], np.bool_)
        answers = [champion.slice(at, 1) if row is None else row for at, row in enumerate(rows)]
        return pa.concat_tables(answers), failed


def _decided(answers: pa.Table) -> Decided:
    decision = answers.column("decision")
    return Decided(
        answers.column("match_probability").to_numpy(),
        _equals(decision, Decision.MATCH),
        _equals(decision, Decision.NO_MATCH),
    )


def _equals(column: pa.ChunkedArray, decision: Decision) -> Bools:
    return np.asarray(pc.equal(column, decision.value).to_numpy(zero_copy_only=False), np.bool_)


START, WINDOW, STEP, BREACH, PASSED, STOP = (
    "canary start",
    "canary window",
    "canary step",
    "canary breach",
    "canary passed",
    "canary stop",
)
_ACTIONS = {
    CanaryOutcome.GOES_ON: WINDOW,
    CanaryOutcome.NEXT_STEP: STEP,
    CanaryOutcome.BREACHED: BREACH,
    CanaryOutcome.PASSED: PASSED,
}
_TRIES = 3  # of a change that another one, which left the canary alone, came before
_WAIT_S = 10.0  # for another process that is writing to the store


def check_challenger(pointer: Pointer, challenger: VersionRef) -> None:
    """Check that a version can be held against the champion.

    :raises InputError: if it cannot decide, or is the champion.
    """
    if challenger.kind not in decision_kinds() or challenger == pointer.champion:
        raise InputError(
            f"{challenger}: expected a version of {', '.join(decision_kinds())} that is not the "
            "champion; `rerank models list` shows those there are"
        )


def start_canary(
    registry: ModelRegistry,
    challenger: VersionRef,
    settings: CanarySettings,
    *,
    salt: str | None = None,
    why: str = "",
) -> CanaryState:
    """Begin to give a version a share of the listings.

    :param salt: of the split; None for the name of the experiment.
    :raises RefusedError: if a canary runs already, or another change came in between.
    :raises InputError: if the version cannot decide, or is the champion.
    :raises ArtifactError: if it is damaged or does not fit the index.
    """
    pointer = registry.pointer()
    if pointer.canary is not None:
        raise RefusedError(
            f"a canary runs already ({pointer.canary.get('experiment')}); end it with `rerank "
            "models canary stop`"
        )
    check_challenger(pointer, challenger)
    open_version(registry.workspace, challenger)
    experiment = f"canary-{pointer.generation + 1}-{challenger.version[:8]}"
    state = CanaryState(experiment, challenger, pointer.champion, salt or experiment, settings)
    change = AliasChange(
        action=START, alias=CHALLENGER, to=challenger, why=why, canary=state.as_json()
    )
    registry.change(change, expected_generation=pointer.generation)
    return state


def stop_canary(registry: ModelRegistry, *, why: str = "") -> None:
    """End the canary; the champion keeps serving. One whose state is damaged can be ended too.

    :raises InputError: if none runs.
    """
    pointer = registry.pointer()
    if pointer.canary is None:
        raise InputError("no canary runs; start one with `rerank models canary start VERSION`")
    change = AliasChange(
        action=STOP, alias=CHALLENGER, to=pointer.named(CHALLENGER), why=why, canary=None
    )
    registry.change(change, expected_generation=pointer.generation)


def running_canary(pointer: Pointer) -> CanaryState | None:
    """Return the canary that runs, None if there is none.

    :raises ArtifactError: if its state is damaged.
    """
    return None if pointer.canary is None else CanaryState.from_json(pointer.canary)


def stop_unfit_challenger(
    registry: ModelRegistry, pointer: Pointer, state: CanaryState, exc: ArtifactError
) -> None:
    """End a canary whose challenger cannot be loaded any more; the champion keeps serving."""
    change = AliasChange(
        action=BREACH,
        alias=CHALLENGER,
        to=None,
        why=f"cannot be loaded: {exc}"[:500],
        canary=None,
        metrics={"experiment": state.experiment},
    )
    registry.change(change, expected_generation=pointer.generation)


class CanaryKeeper:
    """A canary while listings are served.

    :param state: None once it is over.
    :param counted: listings that counted already; one counts once in a canary, or a feed that is
        served every night would count as new evidence every night.
    """

    def __init__(
        self, registry: ModelRegistry, pointer: Pointer, say: Callable[[str], None]
    ) -> None:
        self.state = running_canary(pointer)
        self.counted: set[str] = set()
        self.looks: list[Look] = []
        self._registry, self._say = registry, say
        self._generation = pointer.generation
        self._store = Store(registry.workspace.store_path, wait_s=_WAIT_S)
        if self.state is not None:
            with self._store.writing() as session:
                forget_after(session, self.state.experiment, self.state.windows)
                self.counted = logged_listings(session, self.state.experiment, self.state.windows)

    def close_window(self, window: PairedCounts, log: pa.Table) -> CanaryOutcome | None:
        """Judge a window, keep it and do what follows; None if it could not be kept.

        A store that cannot be written costs the window; another change of what serves ends the
        canary here. Neither ends the run.
        """
        state = self.state
        if state is None:
            return None
        seen = look(state, window)
        try:
            with self._store.writing() as session:
                forget_after(session, state.experiment, state.windows)
                save_decisions(
                    session, log, experiment=state.experiment, window_number=seen.state.windows
                )
                save_window(session, seen)
            if not self._changed(state, seen):
                return None
        except (StoreError, OSError) as exc:
            self._say(f"Warning: {window.listings} listings of the canary do not count: {exc}")
            return None
        self.counted.update(log.column("listing_id").to_pylist())
        self.looks.append(seen)
        self._say(seen.words())
        over = seen.outcome in (CanaryOutcome.BREACHED, CanaryOutcome.PASSED)
        self.state = None if over else seen.state
        return seen.outcome

    def _changed(self, state: CanaryState, seen: Look) -> bool:
        """Tell the pointer of a window; return whether it knows of it now."""
        for _ in range(_TRIES):
            try:
                after = self._registry.change(
                    _change_after(seen), expected_generation=self._generation
                )
            except RefusedError as exc:
                if self._same_canary(state, exc):
                    continue
                return False
            self._generation = after.generation
            return True
        return False

    def _same_canary(self, state: CanaryState, exc: RefusedError) -> bool:
        """Return whether the canary is as it was, in spite of another change; else end it here."""
        pointer = self._registry.pointer()
        if pointer.canary == state.as_json():
            self._generation = pointer.generation
            return True
        self._say(f"Warning: the canary ends here, the champion serves: {exc}")
        known = running_canary(pointer)
        last = known if known is not None and known.experiment == state.experiment else state
        with self._store.writing() as session:
            forget_after(session, state.experiment, last.windows)
        self.state = None
        return False


def _change_after(seen: Look) -> AliasChange:
    state, action = seen.state, _ACTIONS[seen.outcome]
    metrics: dict[str, Any] = {
        "experiment": state.experiment,
        "window": state.windows,
        "step": seen.step,
        "share": seen.share,
        "listings": state.counts.listings,
    }
    figures = [figure.as_json() for figure in seen.figures]
    over = seen.outcome in (CanaryOutcome.BREACHED, CanaryOutcome.PASSED)
    return AliasChange(
        action=action,
        alias=CHAMPION if seen.outcome is CanaryOutcome.PASSED else CHALLENGER,
        to=state.challenger,
        why=seen.words(),
        gates=figures,
        metrics=metrics,
        canary=None if over else state.as_json(),
    )
