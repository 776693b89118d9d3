"""Artifacts whose manifest and checksums fit and whose content is made up."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rerank.index.artifacts import MANIFEST, write_manifest

ODD: tuple[Any, ...] = (None, -1, "x", [], {}, 10**400)
GONE = object()


def copied(folder: Path, target: Path) -> Path:
    """Return a copy of an artifact that may be forged, without its card."""
    return shutil.copytree(folder, target, ignore=shutil.ignore_patterns("version.json"))


def sign(folder: Path, parameters: dict[str, Any] | None = None) -> None:
    """Write the manifest anew: whatever the files hold now, their checksums fit."""
    said = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    write_manifest(
        folder,
        kind=said["kind"],
        format_version=said["format_version"],
        parameters=said["parameters"] if parameters is None else parameters,
    )


def places(content: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the places of an object of JSON: some keys, and the first value of each list."""
    yield place
    if isinstance(content, dict):
        for key in list(content)[:8]:
            yield from places(content[key], (*place, key))
    elif isinstance(content, list) and content:
        yield from places(content[0], (*place, 0))


def changed(content: Any, place: tuple[Any, ...], value: Any) -> Any:
    """Return JSON with another value in a place, or none there."""
    if not place:
        return value
    content = copy.deepcopy(content)
    *parents, last = place
    at = content
    for key in parents:
        at = at[key]
    if value is GONE:
        del at[last]
    else:
        at[last] = value
    return content
