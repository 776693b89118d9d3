"""The registry of models of a workspace: versions, what names them, every change and its history.

A change is made in this order, under a lock: the pointer is read and compared with the one the
change was decided on, replaced in one step, and the change then goes into the store. A process that
ends in between leaves the change in the pointer, from where the next one that opens the registry
brings it into the store: the pointer is what is true, the store remembers.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from index.errors import ArtifactError, InputError, RefusedError, RerankWarning, StoreError
from jobs.lifecycle.change_lock import change_lock
from jobs.lifecycle.origin import user_name
from jobs.lifecycle.version_folders import VersionFolders
from jobs.workspace import Workspace
from rerank.lifecycle.changes import TRAINED, Change, changed, transition_of
from rerank.lifecycle.history import (
    Transition,
    has_transition,
    known_versions,
    on_day,
    read_card,
    read_transitions,
    save_cards,
    save_transition,
)
from rerank.lifecycle.pointer import CHALLENGER, CHAMPION, Pointer, replace_pointer
from rerank.lifecycle.versions import DECISION_KINDS, KINDS, Card, VersionRef, checked_name
from rerank.store import Session, Store

__all__ = ["Change", "ModelRegistry"]

_WAIT_S = 10.0  # for another process that is writing to the store


class ModelRegistry:
    """The versions of a workspace and what serves of them."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.folders = VersionFolders(workspace)
        self._store = Store(workspace.store_path, wait_s=_WAIT_S)

    def pointer(self) -> Pointer:
        """Return what serves; if the file is damaged, what the history says of it, with a warning.

        What the history lacks of the last change is added to it.
        """
        try:
            pointer = self.workspace.pointer()
        except ArtifactError as exc:
            pointer = self._rebuilt()
            warnings.warn(
                f"{exc}; until then {pointer.champion} counts as champion, as the history says",
                RerankWarning,
                stacklevel=2,
            )
        self._mend(pointer)
        return pointer

    def is_champion(self, ref: VersionRef) -> bool:
        """Return whether a version serves; none does by a pointer that is damaged."""
        try:
            return self.workspace.pointer().champion == ref
        except ArtifactError:
            return False

    def versions(self, kind: str | None = None) -> list[VersionRef]:
        """Return the versions there are in the workspace, by kind and name."""
        return self.folders.all(kind)

    def folder(self, ref: VersionRef) -> Path:
        """Return where a version lies.

        :raises InputError: if there is no such version.
        """
        return self.folders.of(ref)

    def find(self, text: str) -> VersionRef:
        """Return the version that an alias, a version or the beginning of one names.

        :raises InputError: if it names none or several.
        """
        return self.folders.find(text, self.pointer())

    def card(self, ref: VersionRef) -> Card | None:
        """Return a version's card, None if it has none.

        :raises ArtifactError: if it is damaged.
        """
        return self.folders.card(ref)

    def register(self, draft: Path, card: Card) -> VersionRef:
        """Move a complete folder among the versions and remember its card; return the version."""
        self.folders.add(draft, card)
        self._write_history("the version", lambda session: save_cards(session, [card]))
        return card.ref

    def change(
        self,
        change: Change,
        *,
        expected_generation: int,
        prepare: Callable[[], None] = lambda: None,
    ) -> Pointer:
        """Make a change of what an alias names; return the pointer that is true now.

        :param expected_generation: of the pointer that the change was decided on.
        :param prepare: is called under the lock, before the pointer is written.
        :raises RefusedError: if another change was made since.
        :raises InputError: if the version is not there, or the alias cannot name it.
        :raises StoreError: if the change before this one cannot be written into the history.
        """
        self._check(change)
        with change_lock(self.workspace.models_folder):
            before = self.pointer()
            if before.generation != expected_generation:
                raise RefusedError(_overtaken(before))
            transition = transition_of(change, before, user_name())
            prepare()
            after = changed(before, change, transition)
            replace_pointer(self.workspace.pointer_path, after)
            self._write_history("the change", lambda session: self._save(session, transition))
        return after

    def history(self, on: date | None = None) -> list[Transition]:
        """Return the changes, oldest first.

        :param on: only those that tell what served on this day, UTC.
        """
        self.pointer()
        with self._store.reading() as session:
            found = read_transitions(session)
        return found if on is None else on_day(found, on)

    def remembered(self) -> set[VersionRef]:
        """Return the versions that the history knows, here or not."""
        with self._store.reading() as session:
            return known_versions(session)

    def remembered_card(self, ref: VersionRef) -> dict[str, Any] | None:
        """Return what the history keeps of a version's card; None if nothing."""
        with self._store.reading() as session:
            return read_card(session, ref)

    def _check(self, change: Change) -> None:
        checked_name(change.alias, "alias")
        if change.to is None:
            if change.alias == CHAMPION:
                raise InputError("alias champion: something must serve; promote another version")
            return
        self.folders.of(change.to)
        if change.alias in (CHAMPION, CHALLENGER) and change.to.kind not in DECISION_KINDS:
            raise InputError(
                f"alias {change.alias}: expected a version of {', '.join(DECISION_KINDS)}, found "
                f"{change.to}"
            )
        if change.alias in KINDS and change.to.kind != change.alias:
            raise InputError(f"alias {change.alias}: expected one of its kind, found {change.to}")

    def _mend(self, pointer: Pointer) -> None:
        """Bring the pointer's last change into the store, if whoever made it could not."""
        if pointer.transition is None:
            return
        try:
            transition = Transition.from_dict(pointer.transition)
        except ArtifactError as exc:  # what serves is legible: that counts
            warnings.warn(
                f"{self.workspace.pointer_path}: {exc}; if the history lacks that change, it stays "
                "without it; the next change mends the file",
                RerankWarning,
                stacklevel=3,
            )
            return
        if self.workspace.store_path.exists():
            with self._store.reading() as session:
                if has_transition(session, transition.id):
                    return
        with self._store.writing() as session:
            self._save(session, transition)

    def _save(self, session: Session, transition: Transition) -> None:
        """Save a change, and the cards that the store has missed; a damaged one stays out."""
        known = known_versions(session)
        for ref in self.versions():
            with suppress(ArtifactError):
                card = None if ref in known else self.folders.card(ref)
                save_cards(session, [] if card is None else [card])
        save_transition(session, transition)

    def _write_history(self, what: str, write: Callable[[Session], None]) -> None:
        """Write into the store what is done already; if that fails, the next process will."""
        try:
            with self._store.writing() as session:
                write(session)
        except (StoreError, OSError) as exc:
            warnings.warn(
                f"{what} is made, but not in the history yet, which the next `rerank models` "
                f"command will mend: {exc}",
                RerankWarning,
                stacklevel=3,
            )

    def _rebuilt(self) -> Pointer:
        """Return what the history says of a pointer that is damaged."""
        with self._store.reading() as session:
            past = read_transitions(session)
        pointer, aliases = Pointer(), dict[str, VersionRef]()
        for each in past:
            if each.alias != CHAMPION:
                aliases.pop(each.alias, None)
                aliases |= {} if each.to is None else {each.alias: each.to}
            elif each.to is not None:
                pointer = replace(pointer, champion=each.to, previous=each.before)
                if aliases.get(CHALLENGER) == each.to:
                    del aliases[CHALLENGER]
            if each.to is not None and each.action in TRAINED:
                aliases[each.to.kind] = each.to
            pointer = replace(pointer, generation=each.generation)
        return replace(pointer, aliases=aliases)


def _overtaken(now: Pointer) -> str:
    last = ""
    if now.transition is not None:
        with suppress(ArtifactError):
            last = f": {Transition.from_dict(now.transition).words()}"
    return (
        f"another change came in between{last}; nothing was changed; look at `rerank models list` "
        "and decide again"
    )
