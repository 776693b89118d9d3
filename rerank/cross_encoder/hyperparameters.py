"""What a training run of the cross-encoder is told: the keys of its YAML file, with their limits.

Each field names its type, its default and what it may be; `rerank.cross_encoder.settings_reading`
checks a file against them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

LIMITS = "limits"
"""The key of a field's metadata that holds its `Limits`."""

ALL_LINEAR = "all-linear"
"""The only entry of ``lora.targets`` that stands for every linear layer but those of the head."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a value may be: between two numbers, both included unless said, or one of some words."""

    least: float | None = None
    most: float | None = None
    above: float | None = None
    words: tuple[str, ...] = ()

    def fault(self, value: Any) -> str | None:
        """Return what was expected instead of a value of the right type; None if it may stand."""
        if self.words:
            return None if value in self.words else f"one of {', '.join(self.words)}"
        if isinstance(value, str):
            return None if value.strip() else "some text"
        bounds = {"at least": self.least, "more than": self.above, "at most": self.most}
        met = {
            "at least": self.least is None or value >= self.least,
            "more than": self.above is None or value > self.above,
            "at most": self.most is None or value <= self.most,
        }
        if all(met.values()):
            return None
        return " and ".join(f"{word} {at:g}" for word, at in bounds.items() if at is not None)


def _limited(default: Any, **limits: Any) -> Any:
    return field(default=default, metadata={LIMITS: Limits(**limits)})


def _required() -> Any:
    return field(metadata={LIMITS: Limits()})


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """``model``.

    :param name: a folder, an installed package with a model folder, or a name on the hub; any
        model that transformers can give a head for sequence classification.
    """

    name: str = _required()


@dataclass(frozen=True, slots=True)
class DataSettings:
    """``data``.

    :param train: a file of query packs, JSONL.
    :param valid: another for validation; without one, queries are taken from ``train``.
    :param valid_share: the share of queries taken then.
    :param max_malformed_share: how many malformed lines of a file are passed over with a warning.
    """

    train: str = _required()
    valid: str | None = _limited(None)
    valid_share: float = _limited(0.1, above=0, most=0.5)
    max_malformed_share: float = _limited(0.01, least=0, most=1)


@dataclass(frozen=True, slots=True)
class LengthSettings:
    """``lengths``, in tokens.

    :param pair: query, document and special tokens; what is longer loses its end, the longer first.
    :param query: what is read of a query at most.
    """

    pair: int = _limited(96, least=8, most=8192)
    query: int = _limited(64, least=1, most=8192)


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """``sampling``: what is drawn of each query in each epoch.

    :param positives: positives at most.
    :param negatives: negatives at most.
    :param hard_share: the share of them that come from the query's own negatives; the others are
        documents of other queries.
    """

    positives: int = _limited(2, least=1, most=1000)
    negatives: int = _limited(4, least=1, most=1000)
    hard_share: float = _limited(0.75, least=0, most=1)


@dataclass(frozen=True, slots=True)
class LossSettings:
    """``loss``: max(0, margin - (positive's score - negative's score)), averaged over pairs."""

    margin: float = _limited(1.0, above=0, most=100)


@dataclass(frozen=True, slots=True)
class OptimizerSettings:
    """``optimizer``: AdamW (Loshchilov and Hutter, arXiv:1711.05101)."""

    name: str = _limited("adamw", words=("adamw",))
    learning_rate: float = _limited(5e-4, above=0, most=1)
    weight_decay: float = _limited(0.01, least=0, most=1)
    max_grad_norm: float = _limited(1.0, above=0, most=1000)


@dataclass(frozen=True, slots=True)
class ScheduleSettings:
    """``schedule``: the learning rate over the steps; a warmup from 0, then as its name says."""

    name: str = _limited("linear", words=("linear", "cosine", "constant"))
    warmup_share: float = _limited(0.1, least=0, most=0.9)


@dataclass(frozen=True, slots=True)
class StepSettings:
    """``steps``; a step is one change of the weights.

    :param max_steps: end sooner than ``epochs`` say; null for no bound.
    :param batch_queries: queries in one pass forward and back.
    :param accumulate: passes in a step.
    :param validate_every: steps between validations; null for one at the end of each epoch.
    :param checkpoint_every: steps between checkpoints.
    """

    epochs: int = _limited(2, least=1, most=10_000)
    max_steps: int | None = _limited(None, least=1)
    batch_queries: int = _limited(8, least=1, most=10_000)
    accumulate: int = _limited(1, least=1, most=10_000)
    validate_every: int | None = _limited(None, least=1)
    checkpoint_every: int = _limited(50, least=1)


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """``lora``: low-rank adapters (Hu et al., arXiv:2106.09685); the head is trained whole.

    :param targets: ends of the names of linear layers that get an adapter, or ``all-linear``.
    """

    r: int = _limited(8, least=1, most=1024)
    alpha: float = _limited(16.0, above=0, most=10_000)
    dropout: float = _limited(0.05, least=0, most=0.9)
    targets: tuple[str, ...] = _limited((ALL_LINEAR,))


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """``export``.

    :param int8: write a second graph with weights of 8 bits.
    """

    int8: bool = _limited(False)


@dataclass(frozen=True, slots=True)
class CrossEncoderSettings:
    """All keys of the YAML file.

    :param seed: of what is drawn, the head's first weights and dropout.
    :param output: the folder to write; None leaves it to the caller.
    :param precision: fp32, or bf16 for the passes forward (weights and optimiser stay in fp32).
    :param quantization: none for LoRA; nf4 for QLoRA: the frozen weights in 4 bits (Dettmers et
        al., arXiv:2305.14314).
    """

    model: ModelSettings
    data: DataSettings
    lengths: LengthSettings = LengthSettings()
    sampling: SamplingSettings = SamplingSettings()
    loss: LossSettings = LossSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    steps: StepSettings = StepSettings()
    lora: LoraSettings = LoraSettings()
    export: ExportSettings = ExportSettings()
    seed: int = _limited(7, least=0, most=2**31 - 1)
    output: str | None = _limited(None)
    precision: str = _limited("fp32", words=("fp32", "bf16"))
    quantization: str = _limited("none", words=("none", "nf4"))
