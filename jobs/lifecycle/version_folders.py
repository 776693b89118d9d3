"""The folders of versions in a workspace: which there are, which a name means, how one is added.

A version's folder is complete when it appears and never changes afterwards.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from index.artifacts import MANIFEST, Manifest, read_manifest, writing_folder
from index.errors import ArtifactError, InputError, MismatchError
from index.file_faults import os_error_text
from jobs.workspace import Workspace
from rerank.lifecycle.pointer import CHAMPION, Pointer
from rerank.lifecycle.versions import (
    DECISION_KINDS,
    KINDS,
    SHIPPED,
    SHIPPED_MODEL,
    Card,
    VersionRef,
    checked_name,
)

_SHORTEST_PREFIX = 4
_REMEDIES = {
    "ltr": "rerank train-ltr",
    "index": "rerank build-index",
    "embedder": "rerank train-embedder",
}


class VersionFolders:
    """The versions of one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def all(self, kind: str | None = None) -> list[VersionRef]:
        """Return the versions there are, by kind and name; what ships is not among them."""
        found = []
        for each in KINDS if kind is None else (kind,):
            folder = self._workspace.versions_folder(each)
            names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
            found += [
                VersionRef(each, name)
                for name in sorted(names)
                if not name.startswith(".") and (folder / name).is_dir()
            ]
        return found

    def of(self, ref: VersionRef) -> Path:
        """Return the folder of a version, of a shipped one where it ships.

        :raises InputError: if there is none.
        """
        if ref.version != SHIPPED:
            checked_name(ref.version, "version")
        folder = self._workspace.version_folder(ref)
        if not folder.is_dir():
            raise InputError(
                f"{folder}: expected the folder of {ref}, found none; `rerank models list` shows "
                "the versions there are"
            )
        return folder

    def find(self, text: str, pointer: Pointer) -> VersionRef:
        """Return the version that a person means.

        :param text: an alias, ``shipped``, a version or the beginning of just one, at least four
            characters of it; or the ``model_version`` of a resolved row.
        :raises InputError: if it is none of these, or stands for several.
        """
        checked_name(text, "version")
        named = pointer.named(text)
        if named is not None:
            return named
        if text == SHIPPED or text == self.fingerprint(SHIPPED_MODEL):
            return SHIPPED_MODEL
        there = self.all()
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

    def card(self, ref: VersionRef) -> Card | None:
        """Read a version's card; None if it has none.

        :raises ArtifactError: if it is damaged.
        :raises MismatchError: if it is the card of another version.
        """
        folder = self.of(ref)
        card = Card.read(folder)
        if card is not None and ref.version not in (SHIPPED, card.version):
            raise MismatchError(
                f"{folder}: expected the card of {ref}, found that of {card.ref}; restore it"
            )
        return card

    def manifest(self, ref: VersionRef) -> Manifest:
        """Read and verify the manifest of a version and all its files.

        :raises ArtifactError: if a file is missing or damaged.
        """
        return verified_manifest(self.of(ref), ref.kind)

    def fingerprint(self, ref: VersionRef) -> str:
        """Return what rows call a version: of a shipped one, the fingerprint of its manifest."""
        if ref.version != SHIPPED:
            return ref.version
        content = json.loads((self.of(ref) / MANIFEST).read_text(encoding="utf-8"))
        return str(content["fingerprint"])

    def add(self, draft: Path, card: Card) -> Path:
        """Move a complete folder to its version's place, with its card; return the place.

        A version that is there and sound is kept as it is.
        """
        target = self._workspace.version_folder(card.ref)
        if not _is_sound(target, card):
            card.write(draft)
            target.parent.mkdir(parents=True, exist_ok=True)
            with writing_folder(target) as made:
                for path in draft.iterdir():
                    os.rename(path, made / path.name)
        return target


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
    try:
        return _verified_manifest(folder, kind)
    except OSError as exc:
        raise ArtifactError(os_error_text(exc)) from exc


def remedy_of(kind: str) -> str:
    """Return the command that makes a version of a kind."""
    return _REMEDIES.get(kind, "rerank train-decision")


def _verified_manifest(folder: Path, kind: str) -> Manifest:
    remedy = remedy_of(kind)
    if kind in DECISION_KINDS:
        from rerank.model import FORMAT_VERSION as FORMAT

        return read_manifest(folder, kind="ranker", format_version=FORMAT, remedy=remedy)
    if kind == "index":
        from index.gpu_index import FORMAT_VERSION as INDEX_FORMAT

        return read_manifest(folder, kind=kind, format_version=INDEX_FORMAT, remedy=remedy)
    from index.embedder import FORMAT_VERSION as EMBEDDER_FORMAT

    return read_manifest(folder, kind=kind, format_version=EMBEDDER_FORMAT, remedy=remedy)


def prefix_of(version: str, others: Sequence[str], *, shortest: int = 8) -> str:
    """Return the shortest beginning of a version that no other one has."""
    for length in range(shortest, len(version)):
        if sum(each.startswith(version[:length]) for each in others) <= 1:
            return version[:length]
    return version


def _is_sound(folder: Path, card: Card) -> bool:
    """Return whether a version's folder is there, undamaged and with a card."""
    try:
        return (
            verified_manifest(folder, card.kind).fingerprint == card.version
            and Card.read(folder) is not None
        )
    except ArtifactError:
        return False


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)
    return target
