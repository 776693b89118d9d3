"""Train a cross-encoder on query packs: a pairwise margin loss over adapters and head."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import shutil
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.cross_encoder.base_model import (
    check_lengths,
    check_vocabulary,
    dequantised,
    load_adapter,
    load_base,
    load_tokenizer_json,
    memory_faults,
    merged,
    quiet_libraries,
    reads_token_types,
    save_adapter,
    trained_parameters,
    weights_fingerprint,
    with_adapter,
)
from rerank.cross_encoder.hyperparameters import CrossEncoderSettings, ScheduleSettings
from rerank.cross_encoder.packs import DrawnQuery, NegativeSampler, PackSets, QueryPack
from rerank.cross_encoder.ranker import (
    CROSS_ENCODER_FORMAT,
    CROSS_ENCODER_KIND,
    CROSS_ENCODER_REMEDY,
    LAYOUT,
    PairEncoder,
    TextPair,
    graph_scores,
    open_graph,
)
from rerank.index.artifacts import read_manifest, write_manifest, writing_folder
from rerank.index.errors import ArtifactError, InputError, MismatchError
from rerank.settings import settings_of

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


_DROPOUT_STRIDE = 1_000_003  # a prime: runs of neighbouring seeds share no step's seed
_FIRST, _SECOND, _WEIGHTS = "exp_avg", "exp_avg_sq", "weights"


class Learner:
    """Weights and optimiser. All that a step does follows from them, its number and its queries.

    ``scorer`` scores pairs with the present weights.
    """

    def __init__(self, model: Any, encoder: PairEncoder, settings: CrossEncoderSettings) -> None:
        import torch

        self.scorer = TorchScorer(model, encoder)
        self._model, self._settings = model, settings
        self._parameters = trained_parameters(model)
        self._optimizer: Any = torch.optim.AdamW(
            list(self._parameters.values()),
            lr=settings.optimizer.learning_rate,
            weight_decay=settings.optimizer.weight_decay,
        )

    def step(self, number: int, queries: Sequence[DrawnQuery], *, rate_factor: float) -> float:
        """Change the weights once; return the loss, a mean over queries, before the change.

        :param number: of the step; dropout is drawn from it and the seed.
        :param rate_factor: what the learning rate is multiplied with.
        :raises InputError: if the loss is no finite number.
        """
        import torch

        torch.manual_seed(self._settings.seed * _DROPOUT_STRIDE + number)
        self._model.train()
        self._optimizer.zero_grad()
        size, total = self._settings.steps.batch_queries, 0.0
        for start in range(0, len(queries), size):
            part = [query for query in queries[start : start + size] if query.negatives]
            if part:
                loss = self._loss(part) / len(queries)
                loss.backward()
                total += float(loss.detach())
        if not math.isfinite(total):
            raise InputError(
                f"step {number + 1}: the loss is {total}; lower optimizer.learning_rate, found "
                f"{self._settings.optimizer.learning_rate:g}"
            )
        chosen = self._settings.optimizer
        torch.nn.utils.clip_grad_norm_(list(self._parameters.values()), chosen.max_grad_norm)
        for group in self._optimizer.param_groups:
            group["lr"] = chosen.learning_rate * rate_factor
        self._optimizer.step()
        return total

    def weights(self) -> dict[str, Any]:
        """Return a copy of the weights that are trained, by name."""
        return {name: each.detach().clone() for name, each in self._parameters.items()}

    def set_weights(self, weights: Mapping[str, Any]) -> None:
        """Put saved weights in the place of the present ones."""
        import torch

        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(weights[name])

    def state(self) -> dict[str, Any]:
        """Return all tensors that the next step depends on, by name."""
        tensors = {f"{_WEIGHTS}/{name}": each for name, each in self.weights().items()}
        for name, parameter in self._parameters.items():
            moments = self._optimizer.state.get(parameter, {})
            for kind in (_FIRST, _SECOND):
                if kind in moments:
                    tensors[f"{kind}/{name}"] = moments[kind].clone()
        return tensors

    def set_state(self, tensors: Mapping[str, Any], *, steps_done: int) -> None:
        """Go on from what `state` returned after a number of steps."""
        import torch

        self.set_weights({name: tensors[f"{_WEIGHTS}/{name}"] for name in self._parameters})
        for name, parameter in self._parameters.items():
            if f"{_FIRST}/{name}" in tensors:
                self._optimizer.state[parameter] = {
                    "step": torch.tensor(float(steps_done)),
                    _FIRST: tensors[f"{_FIRST}/{name}"].clone(),
                    _SECOND: tensors[f"{_SECOND}/{name}"].clone(),
                }

    def _loss(self, queries: Sequence[DrawnQuery]) -> Any:
        """Return the sum over queries of the mean margin loss over their pairs."""
        import torch

        texts = [
            TextPair(query.query_text, text)
            for query in queries
            for text in (*query.positives, *query.negatives)
        ]
        with torch.autocast("cpu", torch.bfloat16, enabled=self._settings.precision == "bf16"):
            scores = self.scorer.forward(texts).float()
        sizes = [len(query.positives) + len(query.negatives) for query in queries]
        losses = []
        for query, own in zip(queries, scores.split(sizes), strict=True):
            positives, negatives = own.split([len(query.positives), len(query.negatives)])
            gaps = positives[:, None] - negatives[None, :]
            losses.append(torch.relu(self._settings.loss.margin - gaps).mean())
        return torch.stack(losses).sum()


CHECKPOINT_FORMAT = 1
CHECKPOINT_KIND = "cross-encoder checkpoint"
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
            kind=CHECKPOINT_KIND,
            format_version=CHECKPOINT_FORMAT,
            parameters=dict(identity),
            libraries=("torch", "safetensors"),
        )


def load_checkpoint(folder: Path, identity: Mapping[str, Any]) -> Checkpoint:
    """Read a checkpoint of the same run.

    :raises ArtifactError: if it is missing or damaged.
    :raises MismatchError: if it was made with other settings, data or another base model.
    """
    from safetensors.torch import load_file

    manifest = read_manifest(
        folder, kind=CHECKPOINT_KIND, format_version=CHECKPOINT_FORMAT, remedy=_REMEDY
    )
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


def rate_factor(step: int, n_steps: int, settings: ScheduleSettings) -> float:
    """Return what the learning rate is multiplied with in a step, in (0, 1].

    It rises to 1 in equal parts over the warmup; then it stays (constant), falls in equal parts
    (linear) or as half a cosine wave (cosine) towards 0, which it would reach after the last step.

    :param step: counted from 0.
    """
    warmup = round(n_steps * settings.warmup_share)
    if step < warmup:
        return (step + 1) / warmup
    if settings.name == "constant":
        return 1.0
    done = (step - warmup) / max(1, n_steps - warmup)
    return 1.0 - done if settings.name == "linear" else (1.0 + math.cos(math.pi * done)) / 2


ScorePairs = Callable[[Sequence[TextPair]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class ValidationFigures:
    """What was measured; each is a mean over queries that have a negative.

    :param loss: the margin loss over all pairs of a positive and a negative, 0 or more.
    :param pair_accuracy: share of those pairs in which the positive scores higher, 0 to 1.
    :param precision_at_1: share of queries whose best document is a positive, 0 to 1.
    :param mrr: mean of 1 / rank of the first positive, 0 to 1.
    :param queries: how many were measured.

    A negative that scores as high as a positive stands above it.
    """

    loss: float
    pair_accuracy: float
    precision_at_1: float
    mrr: float
    queries: int

    def is_better_than(self, other: ValidationFigures | None) -> bool:
        """Tell whether the first positives stand higher, or else the loss is lower."""
        return other is None or (self.mrr, -self.loss) > (other.mrr, -other.loss)


def validate(packs: Sequence[QueryPack], score: ScorePairs, *, margin: float) -> ValidationFigures:
    """Score every document of every query and measure; zeros if no query has a negative."""
    measured = [pack for pack in packs if pack.negatives]
    pairs = [
        TextPair(pack.query_text, item.text)
        for pack in measured
        for item in (*pack.positives, *pack.negatives)
    ]
    scores = np.asarray(score(pairs), np.float64) if pairs else np.zeros(0)
    rows, start = [], 0
    for pack in measured:
        middle = start + len(pack.positives)
        end = middle + len(pack.negatives)
        rows.append(_figures(scores[start:middle], scores[middle:end], margin))
        start = end
    if not rows:
        return ValidationFigures(0.0, 0.0, 0.0, 0.0, 0)
    loss, pair_accuracy, precision_at_1, mrr = np.mean(rows, axis=0).tolist()
    return ValidationFigures(loss, pair_accuracy, precision_at_1, mrr, len(rows))


def _figures(
    positives: NDArray[np.float64], negatives: NDArray[np.float64], margin: float
) -> tuple[float, float, float, float]:
    gaps = positives[:, None] - negatives[None, :]
    best = positives.max()
    above = int((negatives >= best).sum())
    return (
        float(np.maximum(0.0, margin - gaps).mean()),
        float((gaps > 0).mean()),
        float(above == 0),
        1.0 / (1 + above),
    )


_LIBRARIES = (
    "torch",
    "transformers",
    "peft",
    "bitsandbytes",
    "tokenizers",
    "onnx",
    "onnxruntime",
    "numpy",
)
_COMPARED_PAIRS = 128


@dataclass(frozen=True, slots=True)
class Saved:
    """What was written.

    :param parity: the largest difference between scores of the graph and of torch.
    :param int8_difference: the same of the graph of 8 bits; None if there is none.
    """

    version: str
    parity: float
    int8_difference: float | None


def save_trained(
    trained: Trained,
    base_folder: Path,
    sets: PackSets,
    settings: CrossEncoderSettings,
    folder: Path,
    *,
    seconds: float | None = None,
) -> Saved:
    """Write adapter, head, merged graph and what was measured; the folder appears when complete.

    :param seconds: that training took; None if it was stopped and went on.
    :raises ArtifactError: if the graph does not score as torch does.
    """
    pairs = _compared(sets)
    expected = trained.learner.scorer.score(pairs)
    with writing_folder(folder) as draft:
        save_adapter(trained.learner.scorer.model, draft / LAYOUT.adapter)
        tokenizer_json = trained.encoder.tokenizer_json
        (draft / LAYOUT.tokenizer).write_text(tokenizer_json, encoding="utf-8")
        history = json.dumps(trained.history, indent=1) + "\n"
        (draft / LAYOUT.history).write_text(history, encoding="utf-8")
        export_onnx(
            plain_model(base_folder, draft / LAYOUT.adapter, settings), draft / LAYOUT.graph
        )
        parity = _difference(draft / LAYOUT.graph, trained.encoder, pairs, expected)
        if parity > PARITY:
            raise ArtifactError(
                f"the exported graph's scores differ from torch's by up to {parity:.2g}, more "
                f"than {PARITY:g}; nothing was saved"
            )
        int8_difference = None
        if settings.export.int8:
            quantise_graph(draft / LAYOUT.graph, draft / LAYOUT.int8_graph)
            int8_difference = _difference(
                draft / LAYOUT.int8_graph, trained.encoder, pairs, expected
            )
        manifest = write_manifest(
            draft,
            kind=CROSS_ENCODER_KIND,
            format_version=CROSS_ENCODER_FORMAT,
            libraries=_LIBRARIES,
            seconds=seconds,
            parameters=_described(trained, sets, settings, parity, int8_difference),
        )
    return Saved(manifest.fingerprint, parity, int8_difference)


def _described(
    trained: Trained,
    sets: PackSets,
    settings: CrossEncoderSettings,
    parity: float,
    int8_difference: float | None,
) -> dict[str, Any]:
    """Return what the manifest says of a run, beside its files."""
    import torch

    return {
        **trained.identity,
        "settings": asdict(settings),
        "encoding": trained.encoder.parameters(),
        "seed": settings.seed,
        "queries": {"train": len(sets.train), "valid": len(sets.valid)},
        "steps": trained.steps,
        "best_step": trained.best_step,
        "validation": asdict(trained.best),
        "threads": torch.get_num_threads(),
        "parity": parity,
        "int8_difference": int8_difference,
    }


def open_trained(folder: Path, base_folder: Path) -> TorchScorer:
    """Open a saved adapter on its base model, quantised as in training; it scores the same.

    :raises ArtifactError: if the folder is missing or damaged.
    :raises MismatchError: if the base model has other weights than the one it was trained on.
    """
    manifest = read_manifest(
        folder,
        kind=CROSS_ENCODER_KIND,
        format_version=CROSS_ENCODER_FORMAT,
        remedy=CROSS_ENCODER_REMEDY,
    )
    expected, found = manifest.parameters["base_weights"], weights_fingerprint(base_folder)
    if expected != found:
        raise MismatchError(
            f"{folder}: trained on {manifest.parameters['settings']['model']['name']} with weights "
            f"{expected}, but {base_folder} has {found}; give the model it was trained on"
        )
    settings = settings_of(
        CrossEncoderSettings, manifest.parameters["settings"], where=f"{folder}: settings"
    )
    base = load_base(base_folder, quantization=settings.quantization, seed=settings.seed)
    model = load_adapter(base, folder / LAYOUT.adapter)
    tokenizer_json = (folder / LAYOUT.tokenizer).read_text(encoding="utf-8")
    encoder = PairEncoder(tokenizer_json, **manifest.parameters["encoding"])
    return TorchScorer(model, encoder)


def plain_model(base_folder: Path, adapter: Path, settings: CrossEncoderSettings) -> Any:
    """Return base, saved adapter and head merged into one model in fp32.

    A quantised base gets back the values that its 4 bits stand for, which the adapter was trained
    beside; merging into the 4 bits would round the adapter away.
    """
    base = load_base(base_folder, quantization=settings.quantization, seed=settings.seed)
    if settings.quantization == "nf4":
        base = dequantised(base)
    return merged(load_adapter(base, adapter))


def _compared(sets: PackSets) -> list[TextPair]:
    pairs = [
        TextPair(pack.query_text, item.text)
        for pack in (*sets.valid, *sets.train)
        for item in (*pack.positives, *pack.negatives)
    ]
    return pairs[:_COMPARED_PAIRS]


def _difference(
    graph: Path, encoder: PairEncoder, pairs: Sequence[TextPair], expected: NDArray[np.float32]
) -> float:
    found = graph_scores(open_graph(graph), encoder, pairs)
    return float(np.abs(found - expected).max(initial=0.0))


PARITY = 1e-4
"""How far scores of the graph may be from those of torch."""

_OPSET = 17


def export_onnx(model: Any, path: Path) -> None:
    """Trace a plain model: token arrays of shape (pairs, tokens) to ``scores``, shape (pairs,)."""
    import torch

    names = ["input_ids", "attention_mask"]
    names += ["token_type_ids"] if reads_token_types(model) else []

    class Scores(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tokens: Any) -> Any:
            return self.model(**dict(zip(names, tokens, strict=True))).logits.squeeze(-1)

    ids = torch.ones(2, 7, dtype=torch.long)
    sample = {"input_ids": ids, "attention_mask": ids, "token_type_ids": torch.zeros_like(ids)}
    model.set_attn_implementation("eager")
    axes = {name: {0: "pairs", 1: "tokens"} for name in names} | {"scores": {0: "pairs"}}
    with quiet_libraries(), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing warns of every shape it reads
        torch.onnx.export(
            Scores().eval(),
            tuple(sample[name] for name in names),
            str(path),
            input_names=names,
            output_names=["scores"],
            opset_version=_OPSET,
            dynamo=False,
            dynamic_axes=axes,
        )


def quantise_graph(source: Path, target: Path) -> None:
    """Write a graph with weights of 8 bits; activations are quantised as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)  # it advises on its own preprocessing
    try:
        quantize_dynamic(str(source), str(target), weight_type=QuantType.QInt8, per_channel=True)
    finally:
        root.setLevel(before)


_BATCH = 64


class TorchScorer:
    """A model with the encoder of its pairs."""

    def __init__(self, model: Any, encoder: PairEncoder) -> None:
        self.model, self._encoder = model, encoder
        self._token_types = reads_token_types(model)

    def forward(self, pairs: Sequence[TextPair]) -> Any:
        """Return a tensor of scores, shape (pairs,), in the mode and precision that are set."""
        import torch

        arrays = dict(self._encoder.encode(pairs))
        if not self._token_types:
            del arrays["token_type_ids"]
        feed = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return self.model(**feed).logits.squeeze(-1)

    def score(self, pairs: Sequence[TextPair]) -> NDArray[np.float32]:
        """Score pairs without dropout, in fp32; shape (pairs,)."""
        import torch

        self.model.eval()
        scores = np.zeros(len(pairs), np.float32)
        order = sorted(range(len(pairs)), key=lambda at: sum(map(len, pairs[at])))
        with torch.no_grad():
            for start in range(0, len(pairs), _BATCH):
                rows = order[start : start + _BATCH]
                scores[rows] = self.forward([pairs[row] for row in rows]).numpy()
        return scores
