"""Change what serves: promote a version, roll back, name one. Everything is checked before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from index.errors import ArtifactError, InputError, MismatchError, RefusedError
from jobs.lifecycle.opening import open_version, version_over
from jobs.lifecycle.parts import PARTS, keep_earlier_part, put_back, serving_part
from jobs.lifecycle.registry import Change, ModelRegistry
from jobs.workspace import Workspace
from rerank.lifecycle.history import Transition
from rerank.lifecycle.pointer import CHAMPION, Pointer
from rerank.lifecycle.versions import SHIPPED, SHIPPED_MODEL, VersionRef, checked_name

_SHOWN = 3  # of the gates that failed, in the error; all of them stand above it


@dataclass(frozen=True, slots=True)
class Judged:
    """What the gates say of a version, as the history keeps it.

    :param failed: names of the gates that were not passed.
    """

    gates: Sequence[Any] = ()
    metrics: dict[str, Any] = field(default_factory=dict)
    failed: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Switch:
    """A change of what serves that is to be made.

    :param pointer: what it was decided on; another change since then refuses it.
    """

    to: VersionRef
    pointer: Pointer
    why: str = ""
    force: bool = False

    @property
    def alias(self) -> str:
        """What is changed: the champion, or the index or embedder under it."""
        return self.to.kind if self.to.kind in PARTS else CHAMPION


def promote(registry: ModelRegistry, switch: Switch, judged: Judged) -> Pointer:
    """Let a version serve.

    :param judged: what the gates say; for an index or an embedder there are none.
    :raises RefusedError: if it serves already, a gate failed and is not overruled, or another
        change came in between.
    :raises ArtifactError: if it is damaged or does not fit what else serves.
    """
    if switch.force and not switch.why.strip():
        raise InputError("a promotion against the gates needs a reason: give it with --why")
    if _serves(registry, switch):
        raise RefusedError(f"{switch.to} serves already; nothing was changed")
    if judged.failed and not switch.force:
        more = "" if len(judged.failed) <= _SHOWN else f" and {len(judged.failed) - _SHOWN} more"
        raise RefusedError(
            f"{switch.to} stays out: {len(judged.failed)} of {len(judged.gates)} gates failed "
            f"({', '.join(judged.failed[:_SHOWN])}{more}); nothing was changed; overrule them with "
            "--force --why"
        )
    return _made(registry, "promote", switch, judged, previous=...)


def rollback(registry: ModelRegistry, switch: Switch) -> Pointer:
    """Let an earlier version serve again; no gates are judged.

    :raises RefusedError: if it serves already, or another change came in between.
    :raises ArtifactError: if it is damaged or does not fit what else serves.
    """
    if _serves(registry, switch):
        raise RefusedError(f"{switch.to} serves already; nothing was changed")
    previous = before_that(registry.history(), switch.alias, switch.to)
    if previous is None and switch.to != SHIPPED_MODEL:
        previous = SHIPPED_MODEL
    return _made(registry, "rollback", switch, Judged(), previous=previous)


def version_before(registry: ModelRegistry, pointer: Pointer, kind: str | None) -> VersionRef:
    """Return what a rollback without a version goes back to.

    :param kind: ``index`` or ``embedder``; None for the champion.
    :raises InputError: if nothing served before.
    """
    if kind is None:
        found = pointer.previous
    else:
        found = before_that(registry.history(), kind, _serving(registry, pointer, kind))
    if found is None:
        raise InputError(
            f"{kind or CHAMPION}: no version served before this one; name one with --to, such as "
            "`--to shipped`"
        )
    return found


def _serving(registry: ModelRegistry, pointer: Pointer, kind: str) -> VersionRef:
    """Return what serves as index or embedder; of a damaged one, what the pointer says it was."""
    try:
        return serving_part(registry.workspace, kind)
    except ArtifactError:
        return pointer.named(kind) or VersionRef(kind, SHIPPED)


def before_that(changes: Sequence[Transition], alias: str, ref: VersionRef) -> VersionRef | None:
    """Return what an alias named before it named a version, rollbacks left out; None if unknown."""
    made = [
        each
        for each in changes
        if each.alias == alias and each.to == ref and each.action != "rollback"
    ]
    if made and made[-1].before is None and alias in PARTS:
        return VersionRef(alias, SHIPPED)
    return made[-1].before if made else None


def name_version(
    registry: ModelRegistry, alias: str, to: VersionRef | None, *, why: str = ""
) -> Pointer:
    """Let an alias name a version, or nothing.

    :raises InputError: if the alias says what serves, or there is nothing to take away.
    """
    pointer = registry.pointer()
    checked_name(alias, "alias")
    if alias in (CHAMPION, SHIPPED, *PARTS):
        raise InputError(
            f"alias {alias}: it says what serves; change that with `rerank models promote`"
        )
    if to is None and alias not in pointer.aliases:
        raise InputError(f"alias {alias}: expected one that is there, found none of this name")
    if any(ref.version == alias for ref in registry.versions()):
        raise InputError(f"alias {alias}: a version has this name; choose another")
    action = "alias" if to is not None else "unalias"
    change = Change(action=action, alias=alias, to=to, why=why)
    return registry.change(change, expected_generation=pointer.generation)


def _serves(registry: ModelRegistry, switch: Switch) -> bool:
    if switch.alias == CHAMPION:
        return registry.is_champion(switch.to)
    if switch.pointer.named(switch.alias) not in (switch.to, None):
        return False  # a change that was killed after it had put the part in its place
    try:
        return switch.to == serving_part(registry.workspace, switch.alias)
    except ArtifactError:  # what lies there is damaged: a reason to put another there
        return False


def _made(
    registry: ModelRegistry, action: str, switch: Switch, judged: Judged, *, previous: Any
) -> Pointer:
    workspace, to = registry.workspace, switch.to
    change = Change(
        action=action,
        alias=switch.alias,
        to=to,
        why=switch.why,
        gates=judged.gates,
        metrics=judged.metrics,
        forced=switch.force and bool(judged.failed),
        previous=previous if switch.alias == CHAMPION else ...,
    )
    generation = switch.pointer.generation
    if switch.alias == CHAMPION:
        open_version(workspace, to)
        return registry.change(change, expected_generation=generation)
    if not switch.force:
        _check_part(workspace, to, switch.pointer.champion)
    keep_earlier_part(registry, to.kind)
    return registry.change(
        change, expected_generation=generation, prepare=lambda: put_back(workspace, to)
    )


def _check_part(workspace: Workspace, to: VersionRef, champion: VersionRef) -> None:
    """Check that the champion can serve on an index, or that the index fits an embedder.

    :raises ArtifactError: if the version is damaged.
    :raises MismatchError: if they do not belong together.
    """
    from index.gpu_index import load_retriever
    from jobs.embedders import embedder_of_index
    from jobs.lifecycle.version_folders import verified_manifest

    folder = workspace.version_folder(to)
    manifest = verified_manifest(folder, to.kind)
    if to.kind == "index":
        retriever, index = load_retriever(folder, embedder_of_index(workspace, folder))
        version_over(workspace, champion, retriever, index)
        return
    index = verified_manifest(workspace.active_index(), "index")
    if not index.parameters["embedder"].partition(":")[2]:  # it takes the workspace's own
        wanted = index.parameters["embedder_fingerprint"]
        if manifest.fingerprint != wanted:
            raise MismatchError(
                f"{folder}: the index was built with embedder {wanted}; promote that one, or use "
                "--force --why and build the index and train the ranker anew"
            )
