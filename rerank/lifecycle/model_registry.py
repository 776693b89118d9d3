"""The registry of models of a workspace: versions, what names them, every change and its history.

A change is made in this order, under a lock: the pointer is read and compared with the one the
change was decided on, replaced in one step, and the change then goes into the store. A process that
ends in between leaves the change in the pointer, from where the next one that opens the registry
brings it into the store: the pointer is what is true, the store remembers.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import EllipsisType
from typing import Any

from rerank.index.artifacts import (
    INDEX_FORMAT,
    MANIFEST,
    Manifest,
    locked,
    read_json,
    read_manifest,
    reading,
    typed_record,
    writing_folder,
)
from rerank.index.embedder import EMBEDDER_FORMAT
from rerank.index.errors import (
    ArtifactError,
    InputError,
    MismatchError,
    RefusedError,
    RerankWarning,
    StoreError,
    os_error_text,
)
from rerank.lifecycle.versions import (
    CHALLENGER,
    CHAMPION,
    SHIPPED,
    SHIPPED_MODEL,
    Pointer,
    VersionCard,
    VersionRef,
    all_kinds,
    checked_name,
    decision_kinds,
    remedy_of,
    replace_pointer,
    user_name,
)
from rerank.model import MODEL_FORMAT
from rerank.store.database import Session, Store
from rerank.workspace import Workspace

_WAIT_S = 10.0  # for another process that is writing to the store


class ModelRegistry:
    """The versions of a workspace and what serves of them."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
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
        """Return the versions there are, by kind and name; what ships is not among them."""
        found = []
        for each in all_kinds() if kind is None else (kind,):
            folder = self.workspace.versions_folder(each)
            names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
            found += [
                VersionRef(each, name)
                for name in sorted(names)
                if not name.startswith(".") and (folder / name).is_dir()
            ]
        return found

    def folder(self, ref: VersionRef) -> Path:
        """Return the folder of a version, of a shipped one where it ships.

        :raises InputError: if there is none.
        """
        if ref.version != SHIPPED:
            checked_name(ref.version, "version")
        folder = self.workspace.version_folder(ref)
        if not folder.is_dir():
            raise InputError(
                f"{folder}: expected the folder of {ref}, found none; `rerank models list` shows "
                "the versions there are"
            )
        return folder

    def find(self, text: str) -> VersionRef:
        """Return the version that a person means.

        :param text: an alias, ``shipped``, a version or the beginning of just one, at least four
            characters of it; or the ``model_version`` of a resolved row.
        :raises InputError: if it is none of these, or stands for several.
        """
        checked_name(text, "version")
        pointer = self.pointer()
        named = pointer.named(text)
        if named is not None:
            return named
        if text == SHIPPED or text == self.fingerprint(SHIPPED_MODEL):
            return SHIPPED_MODEL
        there = self.versions()
        exact = [ref for ref in there if ref.version == text]
        long_enough = len(text) >= _SHORTEST_PREFIX
        begun = [ref for ref in there if long_enough and ref.version.startswith(text)]
        found = exact or begun
        if len(found) == 1:
            return found[0]
        if found:
            raise InputError(
                f"version {text!r}: expected one, found {', '.join(map(str, found))}; write more "
                "of it"
            )
        aliases = ", ".join([CHAMPION, *sorted(pointer.aliases)])
        raise InputError(
            f"version {text!r}: expected an alias ({aliases}), `shipped`, a version or at least "
            f"{_SHORTEST_PREFIX} characters of one, found none such; `rerank models list` shows "
            "those there are"
        )

    def card(self, ref: VersionRef) -> VersionCard | None:
        """Read a version's card; None if it has none.

        :raises ArtifactError: if it is damaged.
        :raises MismatchError: if it is the card of another version.
        """
        folder = self.folder(ref)
        card = VersionCard.read(folder)
        if card is not None and ref.version not in (SHIPPED, card.version):
            raise MismatchError(
                f"{folder}: expected the card of {ref}, found that of {card.ref}; restore it"
            )
        return card

    def manifest(self, ref: VersionRef) -> Manifest:
        """Read and verify the manifest of a version and all its files.

        :raises ArtifactError: if a file is missing or damaged.
        """
        return verified_manifest(self.folder(ref), ref.kind)

    def fingerprint(self, ref: VersionRef) -> str:
        """Return what rows call a version: of a shipped one, the fingerprint of its manifest."""
        if ref.version != SHIPPED:
            return ref.version
        path = self.folder(ref) / MANIFEST
        with reading(path, "the manifest of a version", remedy_of(ref.kind)):
            return str(read_json(path)["fingerprint"])

    def register(self, draft: Path, card: VersionCard) -> VersionRef:
        """Move a complete folder to its version's place, with its card, and remember it.

        A version that is there and sound is kept as it is.
        """
        target = self.workspace.version_folder(card.ref)
        if not _is_sound(target, card):
            card.write(draft)
            target.parent.mkdir(parents=True, exist_ok=True)
            with writing_folder(target) as made:
                for path in draft.iterdir():
                    os.rename(path, made / path.name)
        self._write_history("the version", lambda session: save_cards(session, [card]))
        return card.ref

    def change(
        self,
        change: AliasChange,
        *,
        expected_generation: int,
        prepare: Callable[[], None] = lambda: None,
    ) -> Pointer:
        """Make a change of what an alias names; return the pointer that is true now.

        :param expected_generation: of the pointer that the change was decided on.
        :param prepare: is called under the lock, before the pointer is written.
        :raises RefusedError: if another change was made since, or another process is making one.
        :raises InputError: if the version is not there, or the alias cannot name it.
        :raises StoreError: if the change before this one cannot be written into the history.
        """
        self._check(change)
        folder = self.workspace.models_folder
        folder.mkdir(parents=True, exist_ok=True)
        busy = RefusedError(
            f"{folder / LOCK}: another process has been changing what serves for {PATIENCE_S:g} s; "
            "nothing was changed; try again"
        )
        with locked(folder / LOCK, lambda: busy, wait_s=PATIENCE_S):
            before = self.pointer()
            if before.generation != expected_generation:
                raise RefusedError(_overtaken(before))
            transition = Transition(
                id=secrets.token_hex(8),
                generation=before.generation + 1,
                action=change.action,
                alias=change.alias,
                before=before.named(change.alias),
                to=change.to,
                who=user_name(),
                at=utc_text(),
                why=change.why,
                forced=change.forced,
                gates=list(change.gates),
                metrics=change.metrics or {},
            )
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

    def _check(self, change: AliasChange) -> None:
        checked_name(change.alias, "alias")
        if change.to is None:
            if change.alias == CHAMPION:
                raise InputError("alias champion: something must serve; promote another version")
            return
        self.folder(change.to)
        if change.alias in (CHAMPION, CHALLENGER) and change.to.kind not in decision_kinds():
            raise InputError(
                f"alias {change.alias}: expected a version of {', '.join(decision_kinds())}, found "
                f"{change.to}"
            )
        if change.alias in all_kinds() and change.to.kind != change.alias:
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
                card = None if ref in known else self.card(ref)
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


_SHORTEST_PREFIX = 4
_FORMATS = {"ranker": MODEL_FORMAT, "index": INDEX_FORMAT, "embedder": EMBEDDER_FORMAT}


def linked_copy(folder: Path, target: Path) -> None:
    """Copy an artifact without its card, by hard links where the file system can.

    Files of artifacts are replaced, never written again, so copies may share them.
    """
    shutil.copytree(
        folder,
        target,
        copy_function=_link_or_copy,
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("version.json"),
    )


def verified_manifest(folder: Path, kind: str) -> Manifest:
    """Read the manifest of an artifact of a kind and verify its files.

    :raises ArtifactError: if a file is missing, damaged or cannot be read.
    """
    own = "ranker" if kind in decision_kinds() else kind
    version, remedy = _FORMATS[own], remedy_of(kind)
    try:
        return read_manifest(folder, kind=own, format_version=version, remedy=remedy)
    except OSError as exc:
        raise ArtifactError(os_error_text(exc)) from exc


def _is_sound(folder: Path, card: VersionCard) -> bool:
    """Return whether a version's folder is there, undamaged and with a card."""
    try:
        return (
            verified_manifest(folder, card.kind).fingerprint == card.version
            and VersionCard.read(folder) is not None
        )
    except ArtifactError:
        return False


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)
    return target


LOCK = ".lock"
PATIENCE_S = 30.0  # a change takes milliseconds, and the wait for a busy store in it some seconds


TRAINED = ("first", "train", "serve")
"""Actions of a training, which also let the kind's name stand for the new version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasChange:
    """What is to become of an alias, and why.

    :param to: None takes the alias away.
    :param forced: whether failing gates were overruled.
    :param canary: the state of the canary afterwards; ``...`` keeps it, unless the champion
        changes, which ends it.
    :param previous: what is to serve if the new champion is damaged; ``...`` for what was champion.
    :param also: other aliases that are set in the same step.
    """

    action: str
    alias: str
    to: VersionRef | None
    why: str = ""
    forced: bool = False
    gates: Sequence[Any] = ()
    metrics: dict[str, Any] | None = None
    canary: dict[str, Any] | EllipsisType | None = ...
    previous: VersionRef | EllipsisType | None = ...
    also: dict[str, VersionRef] | None = None


def changed(before: Pointer, change: AliasChange, transition: Transition) -> Pointer:
    """Return the pointer after a change."""
    aliases = {**before.aliases, **(change.also or {})}
    champion, previous, canary = before.champion, before.previous, before.canary
    if change.alias == CHAMPION and change.to is not None:
        if change.to != champion:
            champion, previous, canary = change.to, champion, None
        if aliases.get(CHALLENGER) == champion:
            del aliases[CHALLENGER]
    elif change.to is None:
        aliases.pop(change.alias, None)
    else:
        aliases[change.alias] = change.to
    if not isinstance(change.previous, EllipsisType):
        previous = change.previous
    if not isinstance(change.canary, EllipsisType):
        canary = change.canary
    return Pointer(
        champion=champion,
        previous=previous,
        aliases=aliases,
        generation=transition.generation,
        transition=transition.as_dict(),
        canary=canary,
    )


_CARD_COLUMNS = (
    "kind",
    "version",
    "created_at",
    "created_by",
    "code_version",
    "parent",
    "parameters",
    "data",
    "feature_schema",
    "metrics",
    "files",
)
_JSON_COLUMNS = ("parameters", "data", "feature_schema", "metrics", "files")
_COLUMNS = (
    "transition_id",
    "generation",
    "action",
    "alias",
    "from_kind",
    "from_version",
    "to_kind",
    "to_version",
    "who",
    "changed_at",
    "why",
    "forced",
    "gates",
    "metrics",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A change of what an alias names, as the pointer and the history keep it.

    :param generation: the number of the change; it orders them.
    :param before: what the alias named; None if nothing.
    :param to: what it names since; None if nothing.
    :param at: UTC, ISO 8601.
    :param forced: whether failing gates were overruled.
    :param gates: each gate that was judged, as JSON values.
    :param metrics: figures the change was decided on, as JSON values.
    """

    id: str
    generation: int
    action: str
    alias: str
    before: VersionRef | None
    to: VersionRef | None
    who: str
    at: str
    why: str = ""
    forced: bool = False
    gates: list[Any] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return it as the pointer keeps it, JSON values."""
        named = {"from": self.before, "to": self.to}
        return {
            **{name: value for name, value in asdict(self).items() if name != "before"},
            **{name: None if ref is None else ref.as_dict() for name, ref in named.items()},
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Transition:
        """Return what `as_dict` gave.

        :raises ArtifactError: if it is something else.
        """
        try:
            plain = {name: value for name, value in content.items() if name != "from"}
            named = {"before": _named(content["from"]), "to": _named(content["to"])}
            found = typed_record(cls, {**plain, **named})
            _moment(found.at)
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise ArtifactError(
                f"transition: expected the last change, found something else "
                f"({type(exc).__name__}: {exc})"
            ) from exc
        return found

    def words(self) -> str:
        """Return it in a few words: what was done by whom and when."""
        named = "nothing" if self.to is None else str(self.to)
        return f"{self.action} of {self.alias} to {named} by {self.who} at {self.at}"


def save_cards(session: Session, cards: Iterable[VersionCard]) -> None:
    """Insert versions that the store does not have yet."""
    for card in cards:
        content = asdict(card)
        values = [
            json.dumps(content[name], sort_keys=True) if name in _JSON_COLUMNS else content[name]
            for name in _CARD_COLUMNS
        ]
        values[_CARD_COLUMNS.index("created_at")] = _moment(card.created_at)
        _insert(session, "save version", "model_versions", _CARD_COLUMNS, values)


def known_versions(session: Session) -> set[VersionRef]:
    """Return the versions the store has."""
    found = session.rows("read versions", "SELECT kind, version FROM model_versions")
    return {VersionRef(*row) for row in found}


def read_card(session: Session, ref: VersionRef) -> dict[str, Any] | None:
    """Return what the store keeps of a version's card, as JSON values; None if nothing."""
    rows = session.rows(
        "read version",
        f"SELECT {', '.join(_CARD_COLUMNS)} FROM model_versions WHERE kind = ? AND version = ?",
        [*ref],
    )
    if not rows:
        return None
    content = dict(zip(_CARD_COLUMNS, rows[0], strict=True))
    for name in _JSON_COLUMNS:
        content[name] = json.loads(content[name])
    content["created_at"] = utc_text(content["created_at"].replace(tzinfo=UTC))
    return {**content, "reference": None, "distribution": None}


def save_transition(session: Session, transition: Transition) -> None:
    """Insert a change unless it is there already: it may be saved again after a kill."""
    before, to = transition.before or (None, None), transition.to or (None, None)
    values = [
        transition.id,
        transition.generation,
        transition.action,
        transition.alias,
        *before,
        *to,
        transition.who,
        _moment(transition.at),
        transition.why,
        transition.forced,
        json.dumps(transition.gates),
        json.dumps(transition.metrics),
    ]
    _insert(session, "save transition", "model_transitions", _COLUMNS, values)


def has_transition(session: Session, transition_id: str) -> bool:
    """Return whether the history has a change."""
    sql = "SELECT 1 FROM model_transitions WHERE transition_id = ?"
    return bool(session.rows("find transition", sql, [transition_id]))


def read_transitions(session: Session) -> list[Transition]:
    """Return all changes in their order."""
    rows = session.rows(
        "read transitions",
        f"SELECT {', '.join(_COLUMNS)} FROM model_transitions ORDER BY generation, transition_id",
    )
    return [
        Transition(
            id=key,
            generation=generation,
            action=action,
            alias=alias,
            before=None if before[0] is None else VersionRef(*before),
            to=None if to[0] is None else VersionRef(*to),
            who=who,
            at=utc_text(at.replace(tzinfo=UTC)),
            why=why,
            forced=forced,
            gates=json.loads(gates),
            metrics=json.loads(metrics),
        )
        for key, generation, action, alias, *before_to, who, at, why, forced, gates, metrics in rows
        for before, to in [(before_to[:2], before_to[2:])]
    ]


def on_day(transitions: Iterable[Transition], day: date) -> list[Transition]:
    """Return the changes of the champion that tell what served on a day, UTC.

    Those made on the day, after the last one before it: what it named served when the day began.
    A day is found by the clocks of the machines that made the changes.
    """
    begin = datetime.combine(day, datetime.min.time())
    champions = [each for each in transitions if each.alias == CHAMPION]
    before = [each for each in champions if _moment(each.at) < begin]
    within = [each for each in champions if begin <= _moment(each.at) < begin + timedelta(days=1)]
    return [*before[-1:], *within]


def served_by(
    transitions: Iterable[Transition], version: str, alias: str = CHAMPION
) -> list[tuple[str, str | None]]:
    """Return when a version was champion: from when, and until when; None if it still is.

    :param alias: ``index`` or ``embedder`` for when it served as that.
    """
    spans: list[tuple[str, str | None]] = []
    since = None
    for each in transitions:
        if each.alias != alias:
            continue
        if since is not None:
            spans.append((since, each.at))
        since = each.at if each.to is not None and each.to.version == version else None
    return spans if since is None else [*spans, (since, None)]


def utc_text(moment: datetime | None = None) -> str:
    """Return a time, by default now, as cards and transitions keep it: ``2026-05-01T09:30:00Z``."""
    moment = (moment or datetime.now(UTC)).astimezone(UTC)
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def _moment(text: str) -> datetime:
    """Return a kept time as the store takes it: UTC, without a zone."""
    return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)


def _insert(
    session: Session, step: str, table: str, columns: tuple[str, ...], values: list[Any]
) -> None:
    marks = ", ".join("?" for _ in columns)
    session.execute(
        step,
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks}) ON CONFLICT DO NOTHING",
        values,
    )


def _named(content: dict[str, str] | None) -> VersionRef | None:
    return None if content is None else VersionRef(content["name"], content["version"])
