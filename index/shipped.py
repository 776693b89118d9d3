"""Where the data that ships with the project lies: in a checkout and in an installed wheel."""

from __future__ import annotations

from pathlib import Path

from index.errors import ArtifactError

_ROOT = Path(__file__).resolve().parent.parent


def shipped(name: str) -> Path:
    """Return the path of a shipped file or folder, such as ``registry``.

    :raises ArtifactError: if the installation lacks it.
    """
    for folder in ("rerank_data", "data"):
        path = _ROOT / folder / name
        if path.exists():
            return path
    raise ArtifactError(f"shipped data {name!r} is missing from {_ROOT}; install rerank again")
