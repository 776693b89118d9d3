"""What a training run of the cross-encoder is told: the keys of its YAML file, with their limits.

Each field names its type, its default and what it may be; `rerank.settings` checks a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from rerank.settings import FLAG, TEXT, Expected, Settings, above, at_least, between, one_of

ALL_LINEAR = "all-linear"
"""The only entry of ``lora.targets`` that stands for every linear layer but those of the head."""

_TARGETS = Expected(
    "a list of texts, at least one name or [all-linear]",
    lambda names: bool(names) and all(names),
    convert=lambda names: [names] if isinstance(names, str) else names,
)


@dataclass(frozen=True, slots=True)
class ModelSettings(Settings):
    """``model``.

    :param name: a folder, an installed package with a model folder, or a name on the hub; any
        model that transformers can give a head for sequence classification.
    """

    name: Annotated[str, TEXT]


@dataclass(frozen=True, slots=True)
class DataSettings(Settings):
    """``data``.

    :param train: a file of query packs, JSONL.
    :param valid: another for validation; without one, queries are taken from ``train``.
    :param valid_share: the share of queries taken then.
    :param max_malformed_share: how many malformed lines of a file are passed over with a warning.
    """

    train: Annotated[str, TEXT]
    valid: Annotated[str, TEXT] | None = None
    valid_share: Annotated[float, above(0, 0.5)] = 0.1
    max_malformed_share: Annotated[float, between(0, 1)] = 0.01


@dataclass(frozen=True, slots=True)
class LengthSettings(Settings):
    """``lengths``, in tokens.

    :param pair: query, document and special tokens; what is longer loses its end, the longer first.
    :param query: what is read of a query at most.
    """

    pair: Annotated[int, between(8, 8192)] = 96
    query: Annotated[int, between(1, 8192)] = 64

    def __post_init__(self) -> None:
        if self.query > self.pair - 4:
            raise ValueError(
                f"query: expected at most lengths.pair - 4 = {self.pair - 4}, so that a document "
                f"has room beside it, found {self.query}"
            )


@dataclass(frozen=True, slots=True)
class SamplingSettings(Settings):
    """``sampling``: what is drawn of each query in each epoch.

    :param positives: positives at most.
    :param negatives: negatives at most.
    :param hard_share: the share of them that come from the query's own negatives; the others are
        documents of other queries.
    """

    positives: Annotated[int, between(1, 1000)] = 2
    negatives: Annotated[int, between(1, 1000)] = 4
    hard_share: Annotated[float, between(0, 1)] = 0.75


@dataclass(frozen=True, slots=True)
class LossSettings(Settings):
    """``loss``: max(0, margin - (positive's score - negative's score)), averaged over pairs."""

    margin: Annotated[float, above(0, 100)] = 1.0


@dataclass(frozen=True, slots=True)
class OptimizerSettings(Settings):
    """``optimizer``: AdamW (Loshchilov and Hutter, arXiv:1711.05101)."""

    name: Annotated[str, one_of("adamw")] = "adamw"
    learning_rate: Annotated[float, above(0, 1)] = 5e-4
    weight_decay: Annotated[float, between(0, 1)] = 0.01
    max_grad_norm: Annotated[float, above(0, 1000)] = 1.0


@dataclass(frozen=True, slots=True)
class ScheduleSettings(Settings):
    """``schedule``: the learning rate over the steps; a warmup from 0, then as its name says."""

    name: Annotated[str, one_of("linear", "cosine", "constant")] = "linear"
    warmup_share: Annotated[float, between(0, 0.9)] = 0.1


@dataclass(frozen=True, slots=True)
class StepSettings(Settings):
    """``steps``; a step is one change of the weights.

    :param max_steps: end sooner than ``epochs`` say; null for no bound.
    :param batch_queries: queries in one pass forward and back.
    :param accumulate: passes in a step.
    :param validate_every: steps between validations; null for one at the end of each epoch.
    :param checkpoint_every: steps between checkpoints.
    """

    epochs: Annotated[int, between(1, 10_000)] = 2
    max_steps: Annotated[int, at_least(1)] | None = None
    batch_queries: Annotated[int, between(1, 10_000)] = 8
    accumulate: Annotated[int, between(1, 10_000)] = 1
    validate_every: Annotated[int, at_least(1)] | None = None
    checkpoint_every: Annotated[int, at_least(1)] = 50


@dataclass(frozen=True, slots=True)
class LoraSettings(Settings):
    """``lora``: low-rank adapters (Hu et al., arXiv:2106.09685); the head is trained whole.

    :param targets: ends of the names of linear layers that get an adapter, or ``all-linear``.
    """

    r: Annotated[int, between(1, 1024)] = 8
    alpha: Annotated[float, above(0, 10_000)] = 16.0
    dropout: Annotated[float, between(0, 0.9)] = 0.05
    targets: Annotated[tuple[str, ...], _TARGETS] = (ALL_LINEAR,)


@dataclass(frozen=True, slots=True)
class ExportSettings(Settings):
    """``export``.

    :param int8: write a second graph with weights of 8 bits.
    """

    int8: Annotated[bool, FLAG] = False


@dataclass(frozen=True, slots=True)
class CrossEncoderSettings(Settings):
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
    seed: Annotated[int, between(0, 2**31 - 1)] = 7
    output: Annotated[str, TEXT] | None = None
    precision: Annotated[str, one_of("fp32", "bf16")] = "fp32"
    quantization: Annotated[str, one_of("none", "nf4")] = "none"
