"""What is known of versions, as JSON values: from their cards, the pointer and the history."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from index.errors import ArtifactError, InputError
from jobs.lifecycle.parts import PARTS, serving_part
from jobs.lifecycle.registry import ModelRegistry
from rerank.lifecycle.history import served_by
from rerank.lifecycle.pointer import CHAMPION, Pointer
from rerank.lifecycle.versions import KINDS, SHIPPED, SHIPPED_MODEL, VersionRef

_SERVES = "serves"
_DAMAGED, _MISSING = "damaged card", "missing"


def version_rows(registry: ModelRegistry, kind: str | None = None) -> list[dict[str, Any]]:
    """Return the versions, each with its names; of what ships only what serves or has a name.

    A version that has a name but no folder any more is among them, as ``missing``.
    """
    pointer = registry.pointer()
    serving = [_serving_part(registry, part) for part in PARTS]
    named = [pointer.champion, *pointer.aliases.values(), *(ref for ref in serving if ref)]
    first = [ref for ref in named if kind in (None, ref.kind)]
    wanted = sorted(
        dict.fromkeys([*first, *registry.versions(kind)]),
        key=lambda ref: (KINDS.index(ref.kind), ref.version != SHIPPED, ref.version),
    )
    rows = []
    for ref in wanted:
        names = names_of(registry, pointer, ref)
        try:
            card = _card(registry, ref)
        except InputError:
            card, names = None, [*names, _MISSING]
        except ArtifactError:  # `show` and `verify` tell what is wrong
            card, names = None, [*names, _DAMAGED]
        figures = {} if card is None else card["metrics"].get("figures", {})
        rows.append(
            {
                **_named(ref, names),
                "created_at": None if card is None else card["created_at"],
                "created_by": None if card is None else card["created_by"],
                "precision_at_1": figures.get("precision_at_1"),
            }
        )
    return rows


def version_facts(registry: ModelRegistry, text: str) -> dict[str, Any]:
    """Return what is known of a version, be it in the workspace or only in the history.

    If its card is missing or damaged, the history's is returned, and ``fault`` says what is wrong.

    :param text: an alias, a version, the beginning of one, or a row's ``model_version``.
    :raises InputError: if nothing is known of it.
    """
    changes = registry.history()
    pointer = registry.pointer()
    try:
        ref = registry.find(text)
    except InputError:
        past = {each.to for each in changes if each.to is not None} | registry.remembered()
        gone = next((each for each in past if each.version == text), None)
        if gone is None:
            raise
        ref = gone
    served = served_by(changes, ref.version, ref.kind if ref.kind in PARTS else CHAMPION)
    if ref == SHIPPED_MODEL:
        served = [*_before_all(registry), *served]
    folder = registry.workspace.version_folder(ref)
    fault = None
    try:
        card = _card(registry, ref)
    except (ArtifactError, InputError) as exc:
        card, fault = registry.remembered_card(ref), str(exc)
    there = folder.is_dir()
    return {
        **_named(ref, names_of(registry, pointer, ref)),
        "folder": str(folder) if there else None,
        "fingerprint": registry.folders.fingerprint(ref) if there else ref.version,
        "card": card,
        "fault": fault if there else None,
        "served": served,
    }


def names_of(registry: ModelRegistry, pointer: Pointer, ref: VersionRef) -> list[str]:
    """Return the aliases of a version, with ``serves`` for the index and the embedder that do."""
    if ref.kind not in PARTS:
        return pointer.names_of(ref)
    names = [name for name in pointer.names_of(ref) if name != ref.kind]
    return [_SERVES, *names] if _serving_part(registry, ref.kind) == ref else names


def _before_all(registry: ModelRegistry) -> list[tuple[str, str | None]]:
    """Return when the shipped model was champion before there was any change."""
    first = next((each for each in registry.history() if each.alias == CHAMPION), None)
    if first is None:
        return [("the beginning", None)]
    return [("the beginning", first.at)] if first.before == SHIPPED_MODEL else []


def _serving_part(registry: ModelRegistry, kind: str) -> VersionRef | None:
    try:
        return serving_part(registry.workspace, kind)
    except ArtifactError:
        return None


def _card(registry: ModelRegistry, ref: VersionRef) -> dict[str, Any] | None:
    card = registry.card(ref)
    return None if card is None else asdict(card)


def _named(ref: VersionRef, names: list[str]) -> dict[str, Any]:
    return {"kind": ref.kind, "version": ref.version, "names": names}
