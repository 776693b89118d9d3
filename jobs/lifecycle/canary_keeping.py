"""Keep a canary: its state in the pointer, its log in the store, and what becomes of it.

A window goes into the store first, then into the pointer, which alone is true. A process killed in
between loses that window: whoever goes on removes what the pointer does not know of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from index.errors import ArtifactError, InputError, RefusedError, StoreError
from jobs.lifecycle.opening import open_version
from jobs.lifecycle.registry import Change, ModelRegistry
from rerank.lifecycle.canary import CanaryState, Look, Outcome, look
from rerank.lifecycle.canary_settings import CanarySettings
from rerank.lifecycle.paired_counts import PairedCounts
from rerank.lifecycle.pointer import CHALLENGER, CHAMPION, Pointer
from rerank.lifecycle.traffic_log import (
    forget_after,
    logged_listings,
    save_decisions,
    save_window,
)
from rerank.lifecycle.versions import DECISION_KINDS, VersionRef
from rerank.store import Store

START, WINDOW, STEP, BREACH, PASSED, STOP = (
    "canary start",
    "canary window",
    "canary step",
    "canary breach",
    "canary passed",
    "canary stop",
)
_ACTIONS = {
    Outcome.GOES_ON: WINDOW,
    Outcome.NEXT_STEP: STEP,
    Outcome.BREACHED: BREACH,
    Outcome.PASSED: PASSED,
}
_TRIES = 3  # of a change that another one, which left the canary alone, came before
_WAIT_S = 10.0  # for another process that is writing to the store


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
    if challenger.kind not in DECISION_KINDS or challenger == pointer.champion:
        raise InputError(
            f"{challenger}: expected a version of {', '.join(DECISION_KINDS)} that is not the "
            "champion; `rerank models list` shows those there are"
        )
    open_version(registry.workspace, challenger)
    experiment = f"canary-{pointer.generation + 1}-{challenger.version[:8]}"
    state = CanaryState(experiment, challenger, pointer.champion, salt or experiment, settings)
    change = Change(action=START, alias=CHALLENGER, to=challenger, why=why, canary=state.as_json())
    registry.change(change, expected_generation=pointer.generation)
    return state


def stop_canary(registry: ModelRegistry, *, why: str = "") -> None:
    """End the canary; the champion keeps serving. One whose state is damaged can be ended too.

    :raises InputError: if none runs.
    """
    pointer = registry.pointer()
    if pointer.canary is None:
        raise InputError("no canary runs; start one with `rerank models canary start VERSION`")
    change = Change(
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
    change = Change(
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

    def close_window(self, window: PairedCounts, log: pa.Table) -> Outcome | None:
        """Judge a window, keep it and do what follows; None if it could not be kept.

        A store that cannot be written costs the window; another change of what serves ends the
        canary here. Neither ends the run.
        """
        if self.state is None:
            return None
        seen = look(self.state, window)
        try:
            with self._store.writing() as session:
                forget_after(session, self.state.experiment, self.state.windows)
                save_decisions(
                    session,
                    log,
                    experiment=self.state.experiment,
                    window_number=seen.state.windows,
                )
                save_window(session, seen)
        except (StoreError, OSError) as exc:
            self._say(f"Warning: {window.listings} listings of the canary do not count: {exc}")
            return None
        if not self._changed(seen):
            return None
        self.counted.update(log.column("listing_id").to_pylist())
        self.looks.append(seen)
        self._say(seen.words())
        over = seen.outcome in (Outcome.BREACHED, Outcome.PASSED)
        self.state = None if over else seen.state
        return seen.outcome

    def _changed(self, seen: Look) -> bool:
        """Tell the pointer of a window; return whether it knows of it now."""
        for _ in range(_TRIES):
            try:
                after = self._registry.change(
                    _change_after(seen), expected_generation=self._generation
                )
            except RefusedError as exc:
                if self._same_canary(exc):
                    continue
                return False
            except (StoreError, OSError) as exc:
                self._say(
                    f"Warning: {seen.window.listings} listings of the canary do not count: {exc}"
                )
                return False
            self._generation = after.generation
            return True
        return False

    def _same_canary(self, exc: RefusedError) -> bool:
        """Return whether the canary is as it was, in spite of another change; else end it here."""
        state, pointer = self.state, self._registry.pointer()
        if state is not None and pointer.canary == state.as_json():
            self._generation = pointer.generation
            return True
        self._say(f"Warning: the canary ends here, the champion serves: {exc}")
        if state is not None:
            with self._store.writing() as session:
                known = running_canary(pointer)
                mine = known is not None and known.experiment == state.experiment
                forget_after(
                    session,
                    state.experiment,
                    known.windows if known is not None and mine else state.windows,
                )
        self.state = None
        return False


def _change_after(seen: Look) -> Change:
    state, action = seen.state, _ACTIONS[seen.outcome]
    metrics: dict[str, Any] = {
        "experiment": state.experiment,
        "window": state.windows,
        "step": seen.step,
        "share": seen.share,
        "listings": state.counts.listings,
    }
    figures = [figure.as_json() for figure in seen.figures]
    over = seen.outcome in (Outcome.BREACHED, Outcome.PASSED)
    return Change(
        action=action,
        alias=CHAMPION if seen.outcome is Outcome.PASSED else CHALLENGER,
        to=state.challenger,
        why=seen.words(),
        gates=figures,
        metrics=metrics,
        canary=None if over else state.as_json(),
    )
