"""Train a cross-encoder as a YAML file says, and save it where it is served from."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from index.errors import MissingExtraError
from jobs.embedders import packaged_folder
from jobs.workspace import Workspace
from rerank.cross_encoder.layout import KIND
from rerank.cross_encoder.pack_sets import PackSets, given_sets, split_by_query
from rerank.cross_encoder.query_packs import QueryPack, read_packs
from rerank.cross_encoder.settings import CrossEncoderSettings
from rerank.cross_encoder.settings_reading import read_settings
from rerank.cross_encoder.validation import ValidationFigures
from rerank.output_folder import check_replaceable

CHECKPOINT_SUFFIX = ".checkpoint"
_MALFORMED_SHOWN = 5

Warn = Callable[[str], None]
Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What a run made, for people.

    :param parity: the largest difference between scores of the saved graph and of torch.
    :param seconds: that training took, of this call.
    """

    folder: Path
    version: str
    best: ValidationFigures
    best_step: int
    steps: int
    parity: float
    int8_difference: float | None
    seconds: float


def train_cross_encoder(
    config: Path,
    workspace: Workspace,
    *,
    output: Path | None = None,
    resume: bool = False,
    warn: Warn = lambda message: None,
    progress: Progress = lambda stage, share: None,
) -> TrainingReport:
    """Train and save; a stopped run leaves a checkpoint beside the output to go on from.

    :param output: the folder to write; by default what the file says, else the workspace's.
    :raises InputError: if file, data, model or output cannot be used; nothing is written then.
    :raises ArtifactError: if the output is a file.
    :raises MissingExtraError: if peft or bitsandbytes is not installed.
    """
    settings = read_settings(config)
    target = output or (Path(settings.output) if settings.output else None)
    target = target or workspace.cross_encoder_folder
    check_replaceable(target, kind=KIND)
    _check_libraries(settings)
    sets = read_sets(settings, warn)

    from rerank.cross_encoder.artifact import save_trained
    from rerank.cross_encoder.model_source import model_folder
    from rerank.cross_encoder.training import train

    base = packaged_folder(settings.model.name) or model_folder(settings.model.name)
    checkpoints = target.with_name(target.name + CHECKPOINT_SUFFIX)
    started = time.perf_counter()
    trained = train(base, sets, settings, checkpoints, resume=resume, progress=progress)
    seconds = time.perf_counter() - started
    progress("saving", 0.0)
    saved = save_trained(trained, base, sets, settings, target, seconds=None if resume else seconds)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return TrainingReport(
        target,
        saved.version,
        trained.best,
        trained.best_step,
        trained.steps,
        saved.parity,
        saved.int8_difference,
        seconds,
    )


def read_sets(settings: CrossEncoderSettings, warn: Warn) -> PackSets:
    """Read the packs and put each query on one side.

    :param warn: is told of malformed lines that are passed over.
    :raises InputError: if a file cannot be used, or queries stand in both.
    """
    train = _packs(settings.data.train, settings, warn)
    if settings.data.valid is not None:
        return given_sets(train, _packs(settings.data.valid, settings, warn))
    return split_by_query(train, valid_share=settings.data.valid_share, seed=settings.seed)


def _packs(name: str, settings: CrossEncoderSettings, warn: Warn) -> list[QueryPack]:
    read = read_packs(Path(name), max_malformed_share=settings.data.max_malformed_share)
    if read.malformed:
        shown = "; ".join(read.malformed[:_MALFORMED_SHOWN])
        more = len(read.malformed) - _MALFORMED_SHOWN
        warn(
            f"{name}: passed over {len(read.malformed)} malformed lines: {shown}"
            + (f"; and {more} more" if more > 0 else "")
        )
    return read.packs


def _check_libraries(settings: CrossEncoderSettings) -> None:
    needed = ["peft", *(["bitsandbytes"] if settings.quantization == "nf4" else [])]
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"training a cross-encoder needs {' and '.join(missing)}; install "
            "`pip install 'rerank[neural]'`"
        )
