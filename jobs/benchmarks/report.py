"""The report of a benchmark: what it was measured on, its parts, and how reports are merged."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from index.artifacts import library_versions, read_manifest
from index.errors import ArtifactError, MismatchError
from jobs.benchmarks.settings import BenchSettings, Scale
from jobs.workspace import Workspace
from rerank.evaluation.machine import this_machine

FORMAT = 1
_LIBRARIES = (
    "faiss-cpu",
    "lightgbm",
    "numpy",
    "onnxruntime",
    "pyarrow",
    "rapidfuzz",
    "tokenizers",
    "torch",
    "transformers",
)
_COMPARED = ("format", "machine", "libraries", "seed", "quick", "model_version", "index_version")


def new_report(home: Path, settings: BenchSettings) -> dict[str, Any]:
    """Return a report without parts: what they are about to be measured on.

    :raises ArtifactError: if the workspace's index or model is damaged.
    """
    from index import gpu_index
    from rerank import model

    workspace = Workspace(home)
    index = read_manifest(
        workspace.active_index(),
        kind="index",
        format_version=gpu_index.FORMAT_VERSION,
        remedy=gpu_index.REMEDY,
    )
    ranker = read_manifest(
        workspace.active_model(),
        kind="ranker",
        format_version=model.FORMAT_VERSION,
        remedy=model.REMEDY,
    )
    return {
        "format": FORMAT,
        "machine": _machine(),
        "libraries": library_versions(_LIBRARIES),
        "seed": settings.seed,
        "quick": settings.scale is Scale.QUICK,
        "settings": settings.as_json(),
        "model_version": ranker.fingerprint,
        "index_version": index.fingerprint,
        "registry": {name: index.parameters[name] for name in ("gpus", "models", "kind")},
        "comparisons": [],
        "parts": {},
        "failures": {},
    }


def merged(fresh: Mapping[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report with the parts of both; where both have one, the fresh one's.

    A part counts as failed if it failed last.

    :raises MismatchError: if they were not measured on the same machine, model and sizes, or with
        the same seed and libraries: their ratios would mean nothing.
    """
    odd = [name for name in _COMPARED if fresh.get(name) != earlier.get(name)]
    if odd:
        said = "; ".join(f"{name} {fresh.get(name)!r}, there {earlier.get(name)!r}" for name in odd)
        raise MismatchError(
            f"expected an earlier report of the same making, found another: {said}; give another "
            "--out, or measure all parts anew without --only"
        )
    kept = {name: text for name, text in earlier["failures"].items() if name not in fresh["parts"]}
    return {
        **fresh,
        "parts": {**earlier["parts"], **fresh["parts"]},
        "failures": {**kept, **fresh["failures"]},
    }


def read_report(path: Path) -> dict[str, Any]:
    """Read a report.

    :raises ArtifactError: if the file is none.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as exc:
        raise ArtifactError(f"{path}: expected a report of `rerank bench`, found no JSON") from exc
    parts = ("parts", "failures", "comparisons")
    if not isinstance(content, dict) or any(name not in content for name in parts):
        raise ArtifactError(
            f"{path}: expected a report of `rerank bench`, found other JSON; give another --out"
        )
    return content


def _machine() -> dict[str, Any]:
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": _cpu_name(),
        **this_machine(),
        "memory_gib": round(memory_bytes / (1 << 30), 1),
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown"
