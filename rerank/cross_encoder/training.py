"""Train a cross-encoder on query packs: a pairwise margin loss over adapters and head."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from index.errors import InputError
from rerank.cross_encoder.adapter import with_adapter
from rerank.cross_encoder.base_model import (
    check_lengths,
    check_vocabulary,
    load_base,
    load_tokenizer_json,
)
from rerank.cross_encoder.checkpoint import (
    Checkpoint,
    TrainingProgress,
    load_checkpoint,
    save_checkpoint,
)
from rerank.cross_encoder.learner import Learner
from rerank.cross_encoder.memory_check import memory_faults
from rerank.cross_encoder.model_source import weights_fingerprint
from rerank.cross_encoder.negative_sampling import NegativeSampler
from rerank.cross_encoder.pack_sets import PackSets
from rerank.cross_encoder.pair_encoding import PairEncoder
from rerank.cross_encoder.query_packs import QueryPack
from rerank.cross_encoder.schedule import rate_factor
from rerank.cross_encoder.settings import CrossEncoderSettings
from rerank.cross_encoder.validation import ValidationFigures, validate

Progress = Callable[[str, float], None]
_OF_NO_CONSEQUENCE = ("output", "export")  # settings that a stopped run may go on without


@dataclass(frozen=True, slots=True)
class Trained:
    """A run's result.

    :param learner: with the weights that validated best.
    :param identity: settings, and fingerprints of the data and the base model.
    :param history: an entry for each validation: step, epoch, training loss, figures.
    """

    learner: Learner
    encoder: PairEncoder
    identity: Mapping[str, Any]
    history: list[dict[str, Any]]
    best: ValidationFigures
    best_step: int
    steps: int


def train(
    base_folder: Path,
    sets: PackSets,
    settings: CrossEncoderSettings,
    checkpoints: Path,
    *,
    resume: bool = False,
    progress: Progress = lambda stage, share: None,
) -> Trained:
    """Train, and keep a checkpoint while it lasts; whoever saves the result removes it.

    :param base_folder: the model that ``settings.model.name`` means.
    :param checkpoints: the checkpoint's folder.
    :param resume: go on from the checkpoint, if there is one.
    :raises InputError: if model, settings and data do not fit, memory runs out, or a checkpoint
        is in the way.
    :raises MismatchError: if the checkpoint is of another run.
    """
    if checkpoints.exists() and not resume:
        raise InputError(
            f"{checkpoints}: holds the checkpoint of a run that was stopped; go on with --resume, "
            "or remove the folder"
        )
    import torch

    with memory_faults(), torch.random.fork_rng(devices=[]):
        progress("loading the model", 0.0)
        learner, encoder = prepare(base_folder, settings)
        identity = identity_of(base_folder, sets, settings)
        run = _Run(learner, sets, settings, checkpoints, identity)
        if checkpoints.exists():
            run.go_on(load_checkpoint(checkpoints, identity))
        run.to_the_end(progress)
        done = run.done
        learner.set_weights(run.best_weights)
    best = done.best or ValidationFigures(0.0, 0.0, 0.0, 0.0, 0)
    return Trained(learner, encoder, identity, done.history, best, done.best_step, done.steps)


def prepare(base_folder: Path, settings: CrossEncoderSettings) -> tuple[Learner, PairEncoder]:
    """Load the base model, put new adapters on it and make the encoder of its pairs.

    :raises InputError: if it cannot be loaded, is too short for the pairs, or the tokenizer is of
        another model.
    """
    tokenizer_json, pad_id = load_tokenizer_json(base_folder)
    encoder = PairEncoder(
        tokenizer_json,
        pair_tokens=settings.lengths.pair,
        query_tokens=settings.lengths.query,
        pad_id=pad_id,
    )
    base = load_base(base_folder, quantization=settings.quantization, seed=settings.seed)
    check_lengths(base, settings)
    check_vocabulary(base, tokenizer_json)
    if base.config.pad_token_id is None:  # decoders find a text's end by it
        base.config.pad_token_id = pad_id
    return Learner(with_adapter(base, settings), encoder, settings), encoder


def identity_of(
    base_folder: Path, sets: PackSets, settings: CrossEncoderSettings
) -> dict[str, Any]:
    """Return what decides the course of a run; two runs of one identity end the same."""
    chosen = {k: v for k, v in asdict(settings).items() if k not in _OF_NO_CONSEQUENCE}
    return {
        "settings": chosen,
        "base_weights": weights_fingerprint(base_folder),
        "train_packs": _fingerprint(sets.train),
        "valid_packs": _fingerprint(sets.valid),
    }


def remove_checkpoint(folder: Path) -> None:
    """Remove a checkpoint that is not needed any more."""
    shutil.rmtree(folder, ignore_errors=True)


def _fingerprint(packs: Iterable[QueryPack]) -> str:
    digest = hashlib.sha256()
    for pack in packs:
        digest.update(json.dumps(asdict(pack), sort_keys=True).encode())
    return digest.hexdigest()[:16]


class _Run:
    """The steps of a run, with validations and checkpoints between them."""

    def __init__(
        self,
        learner: Learner,
        sets: PackSets,
        settings: CrossEncoderSettings,
        checkpoints: Path,
        identity: Mapping[str, Any],
    ) -> None:
        self._learner, self._sets, self._settings = learner, sets, settings
        self._checkpoints, self._identity = checkpoints, identity
        self._sampler = NegativeSampler(sets.train, settings.sampling, seed=settings.seed)
        self._order: tuple[int, list[int]] = (-1, [])
        steps = settings.steps
        self._step_queries = steps.batch_queries * steps.accumulate
        self._epoch_steps = math.ceil(len(sets.train) / self._step_queries)
        planned = steps.epochs * self._epoch_steps
        self._n_steps = min(planned, steps.max_steps) if steps.max_steps else planned
        self.done = TrainingProgress()
        self.best_weights: Mapping[str, Any] = {}

    def go_on(self, checkpoint: Checkpoint) -> None:
        """Take up a run where it was stopped."""
        self.done, self.best_weights = checkpoint.progress, checkpoint.best_weights
        self._learner.set_state(checkpoint.state, steps_done=self.done.steps)

    def to_the_end(self, progress: Progress) -> None:
        """Do the steps that are left."""
        done = self.done
        while done.steps < self._n_steps:
            progress("training the cross-encoder", done.steps / self._n_steps)
            factor = rate_factor(done.steps, self._n_steps, self._settings.schedule)
            loss = self._learner.step(done.steps, self._queries(done.steps), rate_factor=factor)
            done.steps += 1
            done.recent_loss += loss
            done.recent_steps += 1
            last = done.steps == self._n_steps
            every = self._settings.steps.validate_every or self._epoch_steps
            if last or done.steps % every == 0:
                self._validate()
            if last or done.steps % self._settings.steps.checkpoint_every == 0:
                self._save()

    def _queries(self, step: int) -> list[Any]:
        epoch, place = divmod(step, self._epoch_steps)
        if self._order[0] != epoch:
            self._order = (epoch, self._sampler.order(epoch))
        numbers = self._order[1][place * self._step_queries : (place + 1) * self._step_queries]
        return [self._sampler.draw(number, epoch) for number in numbers]

    def _validate(self) -> None:
        done = self.done
        margin = self._settings.loss.margin
        figures = validate(self._sets.valid, self._learner.scorer.score, margin=margin)
        done.history.append(
            {
                "step": done.steps,
                "epoch": done.steps / self._epoch_steps,
                "training_loss": done.recent_loss / done.recent_steps,
                **asdict(figures),
            }
        )
        done.recent_loss, done.recent_steps = 0.0, 0
        if figures.is_better_than(done.best):
            done.best, done.best_step = figures, done.steps
            self.best_weights = self._learner.weights()

    def _save(self) -> None:
        checkpoint = Checkpoint(self.done, self._learner.state(), self.best_weights)
        save_checkpoint(self._checkpoints, checkpoint, self._identity)
