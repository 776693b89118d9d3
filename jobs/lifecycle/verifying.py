"""Check versions as they lie on this machine: files, cards, and the answers they must give."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill, wrap
from typing import NamedTuple

from index.artifacts import Manifest
from index.errors import ArtifactError, InputError, MismatchError
from jobs.lifecycle.opening import version_over
from jobs.lifecycle.parts import PARTS, place_of_part
from jobs.lifecycle.registry import ModelRegistry
from jobs.lifecycle.version_folders import verified_manifest
from jobs.tables import WIDTH
from jobs.workspace import open_retriever
from rerank.lifecycle.versions import DECISION_KINDS, SHIPPED, Card, VersionRef


class Verified(NamedTuple):
    """What was found of a version.

    :param said: what was checked, or what is wrong.
    """

    kind: str
    version: str
    sound: bool
    said: str


def verify(registry: ModelRegistry, ref: VersionRef | None = None) -> list[Verified]:
    """Check a version; None for all there are or have a name, and what serves as parts.

    :raises InputError: if there is no such version.
    """
    if ref is not None:
        return [_verified(registry, ref)]
    pointer = registry.pointer()
    behind = [] if pointer.previous is None else [pointer.previous]
    named = (ref for ref in pointer.aliases.values() if ref.kind not in PARTS)
    refs = dict.fromkeys([pointer.champion, *behind, *named, *registry.versions()])
    found = [_verified(registry, each) for each in refs]
    return [*found, *(_serving(registry, kind) for kind in PARTS)]


def verified_text(found: Sequence[Verified]) -> str:
    """Return what was found, a line each, below it what is wrong."""
    kinds = max(len(each.kind) for each in found)
    versions = max(len(each.version) for each in found)
    lines = []
    for each in found:
        head = f"{each.kind:{kinds}}  {each.version:{versions}}  "
        if each.sound:
            indent = " " * len(f"{head}sound  ")
            lines.append(fill(f"{head}sound  {each.said}", WIDTH, subsequent_indent=indent))
        else:  # paths are long: they have their own lines, and stay whole
            wrapped = wrap(each.said, WIDTH - 4, break_long_words=False, break_on_hyphens=False)
            lines += [f"{head}WRONG", *(f"    {line}" for line in wrapped)]
    return "\n".join(lines)


def _verified(registry: ModelRegistry, ref: VersionRef) -> Verified:
    try:
        return Verified(*ref, True, _checked(registry, ref))
    except (ArtifactError, InputError) as exc:
        return Verified(*ref, False, str(exc))


def _checked(registry: ModelRegistry, ref: VersionRef) -> str:
    """Check all of a version; return what was checked.

    :raises ArtifactError: if something is wrong.
    """
    manifest = registry.folders.manifest(ref)
    card = registry.card(ref)
    if card is not None:
        _check_files(card, manifest)
    said = [f"{len(manifest.files)} files", "no card" if card is None else "card"]
    if ref.kind in DECISION_KINDS:
        said.append(_answers(registry, ref, manifest, card))
    return ", ".join(said)


def _check_files(card: Card, manifest: Manifest) -> None:
    if card.files != manifest.files:
        odd = sorted(set(card.files.items()) ^ set(manifest.files.items()))
        raise MismatchError(
            f"{card.ref}: card and manifest name other files or fingerprints of them, first "
            f"{odd[0][0]}; restore the folder"
        )


def _answers(
    registry: ModelRegistry, ref: VersionRef, manifest: Manifest, card: Card | None
) -> str:
    retriever, index = open_retriever(registry.workspace)
    trained = manifest.parameters.get("index", {}).get("embedder_fingerprint")
    fits = trained == index.parameters["embedder_fingerprint"]
    if not fits and not registry.is_champion(ref):  # a champion must: it answers, or nothing does
        return "does not fit the index that serves, not asked"
    version_over(registry.workspace, ref, retriever, index, thorough=True)
    if card is None or card.reference is None:
        return "no reference to hold its answers against"
    if card.reference.get("index_version") != index.fingerprint:
        return "its reference was made over another index"
    return "answers as on the machine that trained it"


def _serving(registry: ModelRegistry, kind: str) -> Verified:
    folder = place_of_part(registry.workspace, kind)
    if not folder.exists():
        folder = registry.folder(VersionRef(kind, SHIPPED))
    try:
        manifest = verified_manifest(folder, kind)
    except ArtifactError as exc:
        return Verified(kind, "serves", False, str(exc))
    return Verified(kind, manifest.fingerprint, True, f"{len(manifest.files)} files, serves")
