"""Artifact folders: a manifest, verified files, written beside and renamed into place.

An index or a model is a folder. Its `manifest.json` names the format, the parameters and the
sha256 of every file, so that a damaged or half-copied folder is found before it answers.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from index.errors import ArtifactError

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an artifact folder says about itself.

    :param kind: what the folder holds, such as ``index`` or ``ranker``.
    :param format_version: raised when an older reader could misread the files.
    :param parameters: everything needed to make it again, the seed included.
    :param fingerprint: sha256 over all files; the artifact's identity (16 hex digits).
    """

    kind: str
    format_version: int
    parameters: dict[str, Any]
    libraries: dict[str, str]
    files: dict[str, str]
    fingerprint: str


@contextmanager
def writing_folder(target: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Yield a temporary sibling folder that replaces ``target`` when the block ends well.

    :raises ArtifactError: if ``target`` exists and must not be overwritten.
    """
    if target.exists() and not overwrite:
        raise ArtifactError(f"{target} exists already; remove it or choose another place")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".draft", dir=target.parent))
    try:
        yield draft
        _replace_folder(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def writing_file(target: Path) -> Iterator[Path]:
    """Yield a temporary sibling path that replaces ``target`` when the block ends well."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=f".{target.name}.", suffix=target.suffix, dir=target.parent
    )
    os.close(handle)
    draft = Path(name)
    try:
        yield draft
        os.chmod(draft, 0o644)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)


def write_manifest(
    folder: Path,
    *,
    kind: str,
    format_version: int,
    parameters: dict[str, Any],
    libraries: Sequence[str] = (),
) -> Manifest:
    """Write the manifest of a folder whose files are complete, and flush them to disk."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != MANIFEST:
            files[path.relative_to(folder).as_posix()] = _sha256(path)
    manifest = Manifest(
        kind=kind,
        format_version=format_version,
        parameters=parameters,
        libraries={"python": platform.python_version(), **_versions(libraries)},
        files=files,
        fingerprint=_fingerprint(files, parameters),
    )
    content = {name: getattr(manifest, name) for name in Manifest.__slots__}
    text = json.dumps(content, indent=2, sort_keys=True) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    return manifest


def read_manifest(folder: Path, *, kind: str, format_version: int, remedy: str) -> Manifest:
    """Read and verify the manifest of an artifact folder.

    :param remedy: the command that makes the artifact anew, shown in every error.
    :raises ArtifactError: if the folder is missing, of another kind or format, or damaged.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        raise ArtifactError(f"{folder}: no {kind} here; make one with `{remedy}`")
    try:
        manifest = Manifest(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ArtifactError(
            f"{folder}: expected {MANIFEST}, found none: not a complete {kind}; run `{remedy}`"
        ) from None
    except (ValueError, TypeError) as exc:
        raise ArtifactError(f"{path}: unreadable manifest ({exc}); run `{remedy}`") from exc
    if manifest.kind != kind:
        raise ArtifactError(f"{folder}: expected a {kind}, found a {manifest.kind}; run `{remedy}`")
    if manifest.format_version != format_version:
        raise ArtifactError(
            f"{folder}: expected format {format_version}, found {manifest.format_version}; "
            f"run `{remedy}`"
        )
    _verify(folder, manifest, remedy)
    return manifest


def _verify(folder: Path, manifest: Manifest, remedy: str) -> None:
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise ArtifactError(f"{path}: missing from this {manifest.kind}; run `{remedy}`")
        found = _sha256(path)
        if found != expected:
            raise ArtifactError(
                f"{path}: damaged: expected sha256 {expected[:12]}, found {found[:12]}; "
                f"run `{remedy}`"
            )


def _replace_folder(draft: Path, target: Path) -> None:
    """Put ``draft`` where ``target`` is; an interruption leaves the old or the new folder whole."""
    if not target.exists():
        os.rename(draft, target)
        return
    retired = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".old", dir=target.parent))
    os.rename(target, retired / target.name)
    try:
        os.rename(draft, target)
    except OSError:
        os.rename(retired / target.name, target)
        raise
    finally:
        shutil.rmtree(retired, ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fingerprint(files: dict[str, str], parameters: dict[str, Any]) -> str:
    text = json.dumps([files, parameters], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _versions(libraries: Sequence[str]) -> dict[str, str]:
    found = {}
    for library in libraries:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "not installed"
    return found
