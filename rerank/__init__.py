"""Which GPU is it, and how sure? Listings in, canonical GPUs out, with a calibrated probability."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from rerank.index.records import GpuRecord, Listing
    from rerank.jobs.scoring.frames import register, resolve_table
    from rerank.lifecycle.opening import open_resolver
    from rerank.resolution import Decision, Resolution, ScoredCandidate
    from rerank.resolver import Resolver, predict_match_score
    from rerank.workspace import Workspace

__all__ = [
    "Decision",
    "GpuRecord",
    "Listing",
    "Resolution",
    "Resolver",
    "ScoredCandidate",
    "Workspace",
    "open_resolver",
    "predict_match_score",
    "register",
    "resolve_table",
]

_HOMES = {
    "rerank.index.records": ("GpuRecord", "Listing"),
    "rerank.jobs.scoring.frames": ("register", "resolve_table"),
    "rerank.lifecycle.opening": ("open_resolver",),
    "rerank.resolution": ("Decision", "Resolution", "ScoredCandidate"),
    "rerank.resolver": ("Resolver", "predict_match_score"),
    "rerank.workspace": ("Workspace",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that `import rerank` costs nothing."""
    if name == "__version__":
        from importlib.metadata import version

        from rerank.index.errors import DISTRIBUTION

        return version(DISTRIBUTION)
    if name not in _HOME_OF:
        raise AttributeError(f"module 'rerank' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
