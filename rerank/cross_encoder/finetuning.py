"""Train a cross-encoder on query packs: a margin loss over adapters and head."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import random
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
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
    quiet_libraries,
    reads_token_types,
    save_adapter,
    trained_parameters,
    weights_fingerprint,
    with_adapter,
)
from rerank.cross_encoder.hyperparameters import CrossEncoderSettings, ScheduleSettings
from rerank.cross_encoder.packs import NegativeSampler, PackSets, QueryPack, pairs_of
from rerank.cross_encoder.ranker import (
    CROSS_ENCODER_FORMAT,
    CROSS_ENCODER_KIND,
    CROSS_ENCODER_REMEDY,
    LAYOUT,
    PairEncoder,
    TextPair,
    graph_scores,
    open_graph,
    scored_by_length,
)
from rerank.index.artifacts import (
    read_json,
    read_manifest,
    read_text,
    silence_libraries,
    write_manifest,
    writing_folder,
)
from rerank.index.errors import ArtifactError, InputError, MismatchError
from rerank.settings import settings_of

Progress = Callable[[str, float], None]
_OF_NO_CONSEQUENCE = ("output", "export")  # settings that a stopped run may go on without
CHECKPOINT_FORMAT = 2
CHECKPOINT_KIND = "cross-encoder checkpoint"
_PROGRESS, _BEST = "progress.json", "best.safetensors"


@dataclass(slots=True)
class TrainingProgress:
    """How far a run is.

    :param recent_loss: sum of the losses of the steps since the last validation.
    :param history: an entry for each validation: step, epoch, training loss, figures.
    :param best: None before the first validation.
    :param best_step: the step whose weights validated best.
    """

    steps: int = 0
    recent_loss: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: ValidationFigures | None = None
    best_step: int = 0


@dataclass(frozen=True, slots=True)
class Trained:
    """A run's result.

    :param scorer: with the weights that validated best.
    :param identity: settings, and fingerprints of the data and the base model.
    """

    scorer: TorchScorer
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
    :raises InputError: if model, settings and data do not fit, memory runs out, the loss is no
        finite number, or a checkpoint is in the way.
    :raises MismatchError: if the checkpoint is of another run.
    """
    started = checkpoints.exists()
    if started and not resume:
        raise InputError(
            f"{checkpoints}: holds the checkpoint of a run that was stopped; go on with --resume, "
            "or remove the folder"
        )
    with memory_faults(), _own_random_numbers(), TemporaryDirectory() as scratch, quiet_libraries():
        progress("loading the model", 0.0)
        scorer = prepare(base_folder, settings)
        run = _Run(scorer, sets, settings, identity_of(base_folder, sets, settings))
        if started:
            run.take_up(checkpoints)
        trainer = _trainer(run, Path(scratch), checkpoints, progress)
        trainer.train(resume_from_checkpoint=str(checkpoints) if started else None)
        scorer.set_weights(run.best_weights)
    done = run.done
    best = done.best or ValidationFigures(0.0, 0.0, 0.0, 0.0, 0)
    return Trained(scorer, run.identity, done.history, best, done.best_step, done.steps)


def prepare(base_folder: Path, settings: CrossEncoderSettings) -> TorchScorer:
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
    return TorchScorer(with_adapter(base, settings), encoder)


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


def _fingerprint(packs: Iterable[QueryPack]) -> str:
    digest = hashlib.sha256()
    for pack in packs:
        digest.update(json.dumps(asdict(pack), sort_keys=True).encode())
    return digest.hexdigest()[:16]


@contextmanager
def _own_random_numbers() -> Iterator[None]:
    """Keep the caller's random numbers from the seed that transformers sets everywhere."""
    import torch

    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


class _Run:
    """What a run does beside its steps: validate, keep the best weights, write checkpoints."""

    def __init__(
        self,
        scorer: TorchScorer,
        sets: PackSets,
        settings: CrossEncoderSettings,
        identity: Mapping[str, Any],
    ) -> None:
        self.scorer, self.sets, self.settings, self.identity = scorer, sets, settings, identity
        self.done = TrainingProgress()
        self.best_weights: dict[str, Any] = {}

    def validate(self, step: int, epoch: float) -> None:
        """Measure the weights after a step, and keep them if they are the best so far."""
        done = self.done
        figures = validate(self.sets.valid, self.scorer.score, margin=self.settings.loss.margin)
        steps = step - (done.history[-1]["step"] if done.history else 0)
        entry = {"step": step, "epoch": epoch, "training_loss": done.recent_loss / steps}
        done.history.append(entry | asdict(figures))
        done.recent_loss = 0.0
        if figures.is_better_than(done.best):
            done.best, done.best_step = figures, step
            self.best_weights = self.scorer.weights()

    def save(self, step: int, written: Path, folder: Path) -> None:
        """Put what transformers wrote after a step in the place of an earlier one, as a whole."""
        from safetensors.torch import save_file

        self.done.steps = step
        with writing_folder(folder) as draft:
            shutil.copytree(written, draft, dirs_exist_ok=True)
            save_file(self.best_weights, str(draft / _BEST))
            text = json.dumps(asdict(self.done), indent=1)
            (draft / _PROGRESS).write_text(text + "\n", encoding="utf-8")
            write_manifest(
                draft,
                kind=CHECKPOINT_KIND,
                format_version=CHECKPOINT_FORMAT,
                parameters=dict(self.identity),
                libraries=("torch", "transformers", "peft", "safetensors"),
            )

    def take_up(self, folder: Path) -> None:
        """Go on from a checkpoint of the same run.

        :raises ArtifactError: if it is missing or damaged.
        :raises MismatchError: if it was made with other settings, data or another base model.
        """
        from safetensors.torch import load_file

        manifest = read_manifest(
            folder,
            kind=CHECKPOINT_KIND,
            format_version=CHECKPOINT_FORMAT,
            remedy=CROSS_ENCODER_REMEDY,
        )
        own = dict(_flat(json.loads(json.dumps(self.identity))))
        stored = dict(_flat(manifest.parameters))
        differing = sorted(key for key in {*own, *stored} if own.get(key) != stored.get(key))
        if differing:
            shown = "; ".join(
                f"{key}: {stored.get(key)!r:.40} then, {own.get(key)!r:.40} now"
                for key in differing[:5]
            )
            raise MismatchError(
                f"{folder}: the checkpoint is of a run with other settings or data ({shown}); go "
                "on with the same ones, or remove the folder and start anew"
            )
        content = read_json(folder / _PROGRESS)
        best = content.pop("best")
        self.done = TrainingProgress(**content, best=ValidationFigures(**best) if best else None)
        self.best_weights = load_file(str(folder / _BEST))


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _trainer(run: _Run, scratch: Path, checkpoints: Path, progress: Progress) -> Any:
    """Return what does the steps of a run, from its first or from where it was taken up.

    :param scratch: where transformers writes what `_Run.save` takes over.
    """
    import torch
    from transformers import PrinterCallback, TrainerCallback, TrainingArguments

    settings, steps, model = run.settings, run.settings.steps, run.scorer.model
    queries = NegativeSampler(run.sets.train, settings.sampling, seed=settings.seed)
    epoch_steps = math.ceil(len(queries) / (steps.batch_queries * steps.accumulate))
    n_steps = min(steps.epochs * epoch_steps, steps.max_steps or steps.epochs * epoch_steps)
    arguments = TrainingArguments(
        str(scratch),
        seed=settings.seed,
        max_steps=n_steps,
        per_device_train_batch_size=steps.batch_queries,
        gradient_accumulation_steps=steps.accumulate,
        max_grad_norm=settings.optimizer.max_grad_norm,
        train_sampling_strategy="sequential",  # the sampler itself shuffles
        eval_strategy="steps",
        eval_steps=steps.validate_every or epoch_steps,
        save_strategy="steps",
        save_steps=steps.checkpoint_every,
        save_total_limit=1,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
    )

    class Keeper(TrainerCallback):  # type: ignore[misc, unused-ignore]
        def on_save(self, args: Any, state: Any, control: Any, **found: Any) -> None:
            run.save(state.global_step, scratch / f"checkpoint-{state.global_step}", checkpoints)

    weights = list(trained_parameters(model).values())
    chosen = settings.optimizer
    optimizer = torch.optim.AdamW(weights, chosen.learning_rate, weight_decay=chosen.weight_decay)
    factor = partial(rate_factor, n_steps=n_steps, settings=settings.schedule)
    trainer = _query_trainer(run, progress)(
        model,
        arguments,
        data_collator=lambda drawn: {"queries": drawn},
        train_dataset=queries,
        eval_dataset=run.sets.valid,
        callbacks=[Keeper()],
        optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _query_trainer(run: _Run, progress: Progress) -> Any:
    """Return the class of what trains a run: its loss, its validation and what a checkpoint is."""
    import torch
    from transformers import Trainer

    settings = run.settings

    class QueryTrainer(Trainer):  # type: ignore[misc, unused-ignore]
        loss_is_scaled_for_ga = True  # each query counts the same, however many a pass holds
        control: Any

        def get_batch_samples(self, *arguments: Any) -> tuple[list[Any], int]:
            progress("training the cross-encoder", self.state.global_step / self.state.max_steps)
            batches, _ = super().get_batch_samples(*arguments)
            return batches, sum(len(batch["queries"]) for batch in batches)

        def compute_loss(
            self,
            model: Any,
            inputs: dict[str, Any],
            return_outputs: bool = False,
            num_items_in_batch: Any = None,
        ) -> Any:
            with torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bf16"):
                loss = _margin_loss(run.scorer, inputs["queries"], settings.loss.margin)
            loss = loss / num_items_in_batch
            if not math.isfinite(loss):
                raise InputError(
                    f"step {self.state.global_step + 1}: the loss is {float(loss)}; lower "
                    f"optimizer.learning_rate, found {settings.optimizer.learning_rate:g}"
                )
            run.done.recent_loss += float(loss.detach())
            return loss

        def evaluate(self, *arguments: Any, **options: Any) -> dict[str, float]:
            run.validate(self.state.global_step, self.state.epoch)
            tell = self.callback_handler.on_evaluate  # or it would validate again at once
            self.control = tell(self.args, self.state, self.control, {})
            return {}

        def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
            save_adapter(self.model, Path(output_dir or self.args.output_dir))

    return QueryTrainer


def _margin_loss(scorer: TorchScorer, queries: Sequence[QueryPack], margin: float) -> Any:
    """Return the sum over queries of the mean margin loss over their pairs, 0 without negatives."""
    import torch

    sizes = [len(each) for query in queries for each in (query.positives, query.negatives)]
    sides = scorer.forward(pairs_of(queries)).float().split(sizes)
    gaps = [
        (positives[:, None] - negatives[None, :]).reshape(-1)
        for positives, negatives in zip(sides[::2], sides[1::2], strict=True)
    ]
    return torch.stack([torch.relu(margin - each).sum() / max(1, len(each)) for each in gaps]).sum()


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
    pairs = pairs_of(measured)
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
    pairs = pairs_of((*sets.valid, *sets.train))[:_COMPARED_PAIRS]
    expected = trained.scorer.score(pairs)
    with writing_folder(folder) as draft:
        save_adapter(trained.scorer.model, draft / LAYOUT.adapter)
        tokenizer_json = trained.scorer.encoder.tokenizer_json
        (draft / LAYOUT.tokenizer).write_text(tokenizer_json, encoding="utf-8")
        history = json.dumps(trained.history, indent=1) + "\n"
        (draft / LAYOUT.history).write_text(history, encoding="utf-8")
        export_onnx(
            plain_model(base_folder, draft / LAYOUT.adapter, settings), draft / LAYOUT.graph
        )
        parity = _difference(draft / LAYOUT.graph, trained.scorer.encoder, pairs, expected)
        if parity > PARITY:
            raise ArtifactError(
                f"the exported graph's scores differ from torch's by up to {parity:.2g}, more "
                f"than {PARITY:g}; nothing was saved"
            )
        int8_difference = None
        if settings.export.int8:
            quantise_graph(draft / LAYOUT.graph, draft / LAYOUT.int8_graph)
            int8_difference = _difference(
                draft / LAYOUT.int8_graph, trained.scorer.encoder, pairs, expected
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
        "encoding": trained.scorer.encoder.parameters(),
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
    tokenizer_json = read_text(folder / LAYOUT.tokenizer)
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
    model = load_adapter(base, adapter)
    with quiet_libraries():
        return model.merge_and_unload().eval()


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
    silence_libraries()
    from onnxruntime.quantization import QuantType, quantize_dynamic

    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)  # it advises on its own preprocessing
    try:
        quantize_dynamic(str(source), str(target), weight_type=QuantType.QInt8, per_channel=True)
    finally:
        root.setLevel(before)


class TorchScorer:
    """A model with the encoder of its pairs."""

    def __init__(self, model: Any, encoder: PairEncoder) -> None:
        self.model, self.encoder = model, encoder
        self._token_types = reads_token_types(model)

    def forward(self, pairs: Sequence[TextPair]) -> Any:
        """Return a tensor of scores, shape (pairs,), in the mode and precision that are set."""
        import torch

        arrays = dict(self.encoder.encode(pairs))
        if not self._token_types:
            del arrays["token_type_ids"]
        feed = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return self.model(**feed).logits.squeeze(-1)

    def score(self, pairs: Sequence[TextPair]) -> NDArray[np.float32]:
        """Score pairs without dropout, in fp32; shape (pairs,)."""
        import torch

        self.model.eval()
        with torch.no_grad():
            return scored_by_length(pairs, lambda some: self.forward(some).numpy())

    def weights(self) -> dict[str, Any]:
        """Return a copy of the weights that are trained, by name."""
        found = trained_parameters(self.model).items()
        return {name: each.detach().clone() for name, each in found}

    def set_weights(self, weights: Mapping[str, Any]) -> None:
        """Put others in the place of the weights that are trained."""
        self.model.load_state_dict(weights, strict=False)
