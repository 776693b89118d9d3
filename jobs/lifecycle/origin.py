"""Who makes a version or a change, with which code, and with which grammar of listings."""

from __future__ import annotations

import getpass
import hashlib
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from index.shipped import shipped

_ROOT = Path(__file__).resolve().parents[2]
_PATIENCE_S = 10.0


def user_name() -> str:
    """Return the name of the user who runs this, without the machine's: that is private."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # of a user that the system has no name of, as in some containers
        return "unknown"


def code_version() -> str | None:
    """Return the release of rerank, with the commit if it runs from a checkout.

    ``0.1.0+1a2b3c4d5e6f``, with ``-dirty`` behind it if files differ from the commit; None if
    rerank is neither installed nor a checkout.
    """
    try:
        release = version("rerank")
    except PackageNotFoundError:
        release = None
    commit = _commit()
    return f"{release or '0'}+{commit}" if commit else release


def generator_fingerprint() -> str:
    """Return the fingerprint of the grammar that generates listings, by its files' content."""
    digest = hashlib.sha256()
    for path in sorted(shipped("bootstrap").iterdir()):
        digest.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _commit() -> str | None:
    if not (_ROOT / ".git").exists():
        return None
    command = [
        "git",
        "-C",
        str(_ROOT),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=12",
        "--exclude=*",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S)
    except (OSError, subprocess.TimeoutExpired):  # no git here, or a file system that hangs
        return None
    return done.stdout.strip() or None
