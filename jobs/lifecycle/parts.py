"""Versions of the two parts that serve from a fixed place: the index and the embedder.

They lie in HOME/index and HOME/embedder, where many things read them. Each is kept among the
versions as well, by links, so that an older one can be put back there in one step.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from index.artifacts import Manifest, writing_folder
from index.errors import ArtifactError, RefusedError, RerankWarning, StoreError
from jobs.lifecycle.origin import code_version, user_name
from jobs.lifecycle.part_figures import part_figures
from jobs.lifecycle.registry import Change, ModelRegistry
from jobs.lifecycle.version_folders import linked_copy, verified_manifest
from jobs.workspace import Workspace
from rerank.lifecycle.history import utc_text
from rerank.lifecycle.versions import SHIPPED, Card, VersionRef

PARTS = ("index", "embedder")
_DATA = ("registry_fingerprint", "embedder_fingerprint", "gpus", "models", "seed")


def place_of_part(workspace: Workspace, kind: str) -> Path:
    """Return where an index or an embedder serves."""
    return workspace.index_folder if kind == "index" else workspace.embedder_folder


def serving_part(workspace: Workspace, kind: str) -> VersionRef:
    """Return the version of the index or embedder that serves; what lies there decides.

    :raises ArtifactError: if it is damaged.
    """
    folder = place_of_part(workspace, kind)
    if not folder.exists():
        return VersionRef(kind, SHIPPED)
    return VersionRef(kind, verified_manifest(folder, kind).fingerprint)


@contextmanager
def keeping_part(
    workspace: Workspace, kind: str, data: Mapping[str, Any] | None = None
) -> Iterator[None]:
    """Keep the index or embedder that the block makes among the versions, and the one before it.

    Of what it is made from, ``data`` is what its manifest does not say. If the history cannot be
    written, a warning says so: what was made serves all the same.
    """
    registry = ModelRegistry(workspace)
    parent = None
    with _warned_of(kind):
        parent = keep_earlier_part(registry, kind)
    yield
    with _warned_of(kind):
        keep_part(registry, kind, parent=parent, data=data)


@contextmanager
def _warned_of(kind: str) -> Iterator[None]:
    try:
        yield
    except (StoreError, RefusedError) as exc:
        warnings.warn(
            f"the {kind} serves, but is not in the history of versions: {exc}",
            RerankWarning,
            stacklevel=5,
        )


def keep_part(
    registry: ModelRegistry,
    kind: str,
    *,
    parent: str | None,
    data: Mapping[str, Any] | None = None,
) -> VersionRef:
    """Keep what now serves as index or embedder among the versions, and say so in the history.

    :param parent: the version that served before.
    :param data: what it was made from, if its manifest does not say so.
    :raises ArtifactError: if it is damaged.
    """
    workspace = registry.workspace
    folder = place_of_part(workspace, kind)
    manifest = verified_manifest(folder, kind)
    ref = _kept(registry, kind, folder, manifest, parent, data)
    pointer = registry.pointer()
    if pointer.named(kind) != ref:
        registry.change(
            Change(action="train", alias=kind, to=ref), expected_generation=pointer.generation
        )
    return ref


def keep_earlier_part(registry: ModelRegistry, kind: str) -> str | None:
    """Keep what is about to be replaced, if it is not kept yet; return its version.

    A damaged one is not kept, nor one that ships, of which the name is returned.
    """
    folder = place_of_part(registry.workspace, kind)
    if not folder.exists():
        return SHIPPED
    try:
        manifest = verified_manifest(folder, kind)
    except ArtifactError:
        return None
    return _kept(registry, kind, folder, manifest, None).version


def put_back(workspace: Workspace, ref: VersionRef) -> None:
    """Let a kept index or embedder serve again, in one step.

    :raises ArtifactError: if it is missing or damaged; then nothing changes.
    """
    source = workspace.version_folder(ref)
    verified_manifest(source, ref.kind)
    with writing_folder(place_of_part(workspace, ref.kind)) as draft:
        if ref.version == SHIPPED:  # the installation's own files are not shared
            shutil.copytree(source, draft, dirs_exist_ok=True)
        else:
            linked_copy(source, draft)


def _kept(
    registry: ModelRegistry,
    kind: str,
    folder: Path,
    manifest: Manifest,
    parent: str | None,
    data: Mapping[str, Any] | None = None,
) -> VersionRef:
    ref = VersionRef(kind, manifest.fingerprint)
    if ref in registry.versions(kind) and registry.card(ref) is not None:
        return ref
    home = registry.workspace.versions_folder(kind)
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=home) as scratch:
        draft = Path(scratch) / kind
        linked_copy(folder, draft)
        said = {name: manifest.parameters[name] for name in _DATA if name in manifest.parameters}
        figures = part_figures(registry.workspace, kind, draft)
        return registry.register(
            draft, _card(ref, manifest, parent, {**said, **(data or {})}, figures)
        )


def _card(
    ref: VersionRef,
    manifest: Manifest,
    parent: str | None,
    data: dict[str, Any],
    figures: dict[str, Any],
) -> Card:
    return Card(
        kind=ref.kind,
        version=ref.version,
        created_at=utc_text(),
        created_by=user_name(),
        code_version=code_version(),
        parent=parent,
        parameters=manifest.parameters,
        data=data,
        metrics=figures,
        files=manifest.files,
    )
