"""What becomes of a version that was just trained: champion, or challenger of what serves."""

from __future__ import annotations

from index.artifacts import Manifest
from index.errors import ArtifactError
from jobs.lifecycle.registry import Change, ModelRegistry
from rerank.lifecycle.pointer import CHALLENGER, CHAMPION, Pointer
from rerank.lifecycle.versions import SHIPPED, VersionRef


def take_place(registry: ModelRegistry, ref: VersionRef, index: Manifest, *, serve: bool) -> bool:
    """Give a new version its names; return whether it serves.

    It serves at once if asked to, if what serves cannot on this index, and, if it is a LambdaRank
    model, if the shipped one serves: that is what training is for. Else it becomes the challenger,
    which gates compare with the champion.

    :raises RefusedError: if another change came in between.
    """
    pointer = registry.pointer()
    also = {ref.kind: ref}
    if registry.is_champion(ref):
        return True
    if serve:
        change = Change(action="serve", alias=CHAMPION, to=ref, why="train --serve", also=also)
    elif why := _why_first(registry, pointer, ref, index):
        change = Change(action="first", alias=CHAMPION, to=ref, why=why, also=also)
    elif pointer.named(CHALLENGER) == ref and pointer.named(ref.kind) == ref:
        return False
    else:
        change = Change(action="train", alias=CHALLENGER, to=ref, also=also)
    registry.change(change, expected_generation=pointer.generation)
    return change.alias == CHAMPION


def _why_first(registry: ModelRegistry, pointer: Pointer, ref: VersionRef, index: Manifest) -> str:
    """Return why a new version serves without being asked to, in words; empty if it does not."""
    champion = pointer.champion
    if champion.version == SHIPPED and ref.kind == champion.kind:
        return "the shipped model served before"
    try:
        trained = registry.folders.manifest(champion).parameters.get("index", {})
    except ArtifactError as exc:
        return f"the champion is damaged: {exc}"
    if trained.get("embedder_fingerprint") != index.parameters["embedder_fingerprint"]:
        return "the champion was trained over another embedder than the index has"
    return ""
