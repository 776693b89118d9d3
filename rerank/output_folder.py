"""May a folder be written to? Asked before anything is trained, since writing replaces it."""

from __future__ import annotations

import json
from pathlib import Path

from index.artifacts import MANIFEST
from index.errors import ArtifactError, InputError

_SHOWN = 60


def check_replaceable(folder: Path, *, kind: str) -> None:
    """Check that a folder is absent, empty or an earlier artifact of the same kind.

    What is damaged may be replaced as well, if its manifest still says what it was.

    :param kind: that of its manifest.
    :raises ArtifactError: if there is a file in its place.
    :raises InputError: if it holds anything else.
    """
    if folder.exists() and not folder.is_dir():
        raise ArtifactError(f"{folder}: expected a folder, found a file; choose another place")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    found = _kind_of(folder / MANIFEST)
    if found != kind:
        first = min(path.name for path in folder.iterdir())
        odd = f"an artifact of kind {found!r}" if found else f"{first!r:.{_SHOWN}}"
        raise InputError(
            f"{folder}: expected no folder, or that of an earlier {kind}, found {odd} in it; "
            "choose another place with --output"
        )


def _kind_of(manifest: Path) -> str:
    """Return what a manifest says its folder is; nothing if it is none of ours."""
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return ""
    ours = isinstance(content, dict) and {"kind", "format_version", "files"} <= content.keys()
    return str(content["kind"]) if ours else ""
