"""How a pairwise network is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from rerank.index.errors import FaultsError, InputError
from rerank.settings import key_of, number, read_yaml, section_of


class Loss(Enum):
    """What is minimised over pairs of which one item is better; d is the difference of scores in
    favour of the better item.

    ``MARGIN``: max(0, margin - d), the margin ranking loss. ``RANKNET``: log(1 + exp(-d)) (Burges
    et al., Learning to Rank using Gradient Descent, 2005). Pairs of equals add d squared to either.
    """

    MARGIN = "margin"
    RANKNET = "ranknet"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairwiseParameters:
    """How a pairwise network is trained; stored with it.

    :param margin: by which the better item is to be ahead, of the margin loss only.
    :param dropout: share of the first layer's outputs left out at each step.
    :param weight_decay: of AdamW (Loshchilov, Hutter, 2019).
    :param validation_share: share of pairs that training does not see, 0 to below 1.
    :param patience: epochs without a lower validation loss after which training stops and goes
        back to the best; 0: never, the last epoch counts.
    """

    hidden_dim: int = 256
    learning_rate: float = 0.001
    batch_size: int = 32
    epochs: int = 50
    margin: float = 1.0
    loss: Loss = Loss.MARGIN
    dropout: float = 0.1
    weight_decay: float = 0.01
    validation_share: float = 0.2
    patience: int = 10
    seed: int = 7

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {**values, "loss": self.loss.value}


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """What is learnt.

    :param compliance_weight: lambda: y = lambda * compliance + (1 - lambda) * (1 - conflict).
    """

    compliance_weight: float = number(0.5, 0.0, 1.0, "lambda")


@dataclass(frozen=True, slots=True)
class InputSettings:
    """What is read; see `rerank.rankers.inputs`.

    :param max_bad_share: lines that may be faulty, as a share of all.
    """

    conflict_features: tuple[str, ...] = ()
    ignored_features: tuple[str, ...] = ()
    embedding_products: bool = False
    max_bad_share: float = number(0.01, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class SplitSettings:
    """Percent of canonical ids that are held back."""

    validation_percent: int = number(10, 1, 49)
    test_percent: int = number(10, 1, 49)


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """The network's shape.

    :param hidden: units of each hidden layer.
    :param layers: hidden layers; 0 is a linear model.
    :param members: networks of the ensemble.
    """

    hidden: int = number(64, 1, 1024)
    layers: int = number(2, 0, 6)
    dropout: float = number(0.1, 0.0, 0.9)
    members: int = number(5, 1, 50)


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How it is trained.

    :param batch_queries: queries a step.
    :param patience: epochs without a better validation loss before it ends.
    :param min_gap: difference of y from which two candidates of a query are a pair.
    :param conflict_weight: weight of the conflict head's loss beside RankNet's.
    """

    learning_rate: float = number(0.003, 1e-6, 1.0)
    weight_decay: float = number(1e-4, 0.0, 1.0)
    batch_queries: int = number(64, 1, 4096)
    epochs: int = number(40, 1, 1000)
    patience: int = number(6, 1, 1000)
    min_gap: float = number(0.02, 0.0, 1.0)
    conflict_weight: float = number(1.0, 0.0, 100.0)


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """How it is measured: bootstrap samples of queries."""

    samples: int = number(1000, 1, 100_000)


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """Bounds of the search for settings; with neither there is none.

    :param trials: of the whole study, those of earlier runs included.
    :param minutes: of this run; no trial begins after them.
    """

    trials: int = number(0, 0, 100_000)
    minutes: float = number(0.0, 0.0, 100_000.0)


@dataclass(frozen=True, slots=True)
class DualConfig:
    """Everything `rerank train-dual` is told; stored with the model.

    :param data: path of the scored JSONL; empty if the command line names it.
    :param output: folder to write to; empty for the workspace's.
    """

    data: str = ""
    output: str = ""
    seed: int = number(7, 0, 2**31 - 1)
    label: LabelSettings = field(default_factory=LabelSettings)
    inputs: InputSettings = field(default_factory=InputSettings)
    split: SplitSettings = field(default_factory=SplitSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    search: SearchSettings = field(default_factory=SearchSettings)


def read_config(path: Path) -> DualConfig:
    """Read and check a configuration.

    :raises InputError: if the file cannot be read or is no YAML mapping.
    :raises FaultsError: with all unknown keys and all values out of range.
    """
    return config_of(read_yaml(path) or {}, where=str(path))


def config_of(content: object, *, where: str = "configuration") -> DualConfig:
    """Check a mapping as read from YAML; what it does not say keeps its default.

    :raises InputError: if it is no mapping.
    :raises FaultsError: with all its faults.
    """
    if not isinstance(content, Mapping):
        raise InputError(f"{where}: expected keys and values, found {type(content).__name__}")
    faults: list[str] = []
    config = section_of(DualConfig, content, "", faults)
    if faults:
        raise FaultsError(where, faults)
    assert isinstance(config, DualConfig)
    return config


def with_bounds(
    config: DualConfig, *, trials: int | None = None, minutes: float | None = None
) -> DualConfig:
    """Return the configuration with other bounds of its search; None keeps its own."""
    own = config.search
    return replace(
        config,
        search=SearchSettings(
            own.trials if trials is None else trials, own.minutes if minutes is None else minutes
        ),
    )


def as_content(settings: Any) -> dict[str, Any]:
    """Return settings as the mapping that `config_of` reads."""
    found: dict[str, Any] = {}
    for each in fields(settings):
        value = getattr(settings, each.name)
        if is_dataclass(value):
            value = as_content(value)
        found[key_of(each)] = list(value) if isinstance(value, tuple) else value
    return found
