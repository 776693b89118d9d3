"""Checkpoints: everything that a stopped run needs to end as if it had not been stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from index.artifacts import read_manifest, write_manifest, writing_folder
from index.errors import MismatchError
from rerank.cross_encoder.validation import ValidationFigures

FORMAT_VERSION = 1
KIND = "cross-encoder checkpoint"
_TENSORS, _PROGRESS = "state.safetensors", "progress.json"
_BEST = "best/"
_REMEDY = "rerank train-cross-encoder"


@dataclass(slots=True)
class TrainingProgress:
    """How far a run is.

    :param steps: steps done.
    :param recent_loss: sum of the losses of the steps since the last validation.
    :param recent_steps: how many these are.
    :param history: an entry for each validation.
    :param best_step: the step whose weights validated best, 0 before the first validation.
    """

    steps: int = 0
    recent_loss: float = 0.0
    recent_steps: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: ValidationFigures | None = None
    best_step: int = 0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was saved: how far the run was, the learner's tensors and the best weights so far."""

    progress: TrainingProgress
    state: Mapping[str, Any]
    best_weights: Mapping[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint, identity: Mapping[str, Any]) -> None:
    """Write a checkpoint in the place of an earlier one, in one step.

    :param identity: what decides the course of the run; compared when it goes on.
    """
    from safetensors.torch import save_file

    tensors = {**checkpoint.state}
    tensors |= {f"{_BEST}{name}": each for name, each in checkpoint.best_weights.items()}
    with writing_folder(folder) as draft:
        save_file(tensors, str(draft / _TENSORS))
        text = json.dumps(asdict(checkpoint.progress), indent=1)
        (draft / _PROGRESS).write_text(text + "\n", encoding="utf-8")
        write_manifest(
            draft,
            kind=KIND,
            format_version=FORMAT_VERSION,
            parameters=dict(identity),
            libraries=("torch", "safetensors"),
        )


def load_checkpoint(folder: Path, identity: Mapping[str, Any]) -> Checkpoint:
    """Read a checkpoint of the same run.

    :raises ArtifactError: if it is missing or damaged.
    :raises MismatchError: if it was made with other settings, data or another base model.
    """
    from safetensors.torch import load_file

    manifest = read_manifest(folder, kind=KIND, format_version=FORMAT_VERSION, remedy=_REMEDY)
    own = _flat(json.loads(json.dumps(dict(identity))))
    stored = _flat(manifest.parameters)
    differing = sorted(key for key in {*own, *stored} if own.get(key) != stored.get(key))
    if differing:
        shown = "; ".join(
            f"{key}: {stored.get(key)!r:.40} then, {own.get(key)!r:.40} now"
            for key in differing[:5]
        )
        raise MismatchError(
            f"{folder}: the checkpoint is of a run with other settings or data ({shown}); go on "
            "with the same ones, or remove the folder and start anew"
        )
    content = json.loads((folder / _PROGRESS).read_text(encoding="utf-8"))
    best = content.pop("best")
    progress = TrainingProgress(**content, best=ValidationFigures(**best) if best else None)
    tensors = load_file(str(folder / _TENSORS))
    return Checkpoint(
        progress,
        {name: each for name, each in tensors.items() if not name.startswith(_BEST)},
        {n.removeprefix(_BEST): each for n, each in tensors.items() if n.startswith(_BEST)},
    )


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
