"""What pairwise and dual trainings are told, with the limits of each value."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Annotated, Any

from rerank.settings import FLAG, TEXTS, Settings, between


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
class LabelSettings(Settings):
    """What is learnt.

    :param compliance_weight: lambda: y = lambda * compliance + (1 - lambda) * (1 - conflict).
    """

    compliance_weight: Annotated[float, between(0.0, 1.0)] = 0.5


@dataclass(frozen=True, slots=True)
class InputSettings(Settings):
    """What is read; see `rerank.rankers.inputs`.

    :param max_bad_share: lines that may be faulty, as a share of all.
    """

    conflict_features: Annotated[tuple[str, ...], TEXTS] = ()
    ignored_features: Annotated[tuple[str, ...], TEXTS] = ()
    embedding_products: Annotated[bool, FLAG] = False
    max_bad_share: Annotated[float, between(0.0, 1.0)] = 0.01


@dataclass(frozen=True, slots=True)
class SplitSettings(Settings):
    """Percent of canonical ids that are held back."""

    validation_percent: Annotated[int, between(1, 49)] = 10
    test_percent: Annotated[int, between(1, 49)] = 10


@dataclass(frozen=True, slots=True)
class NetworkSettings(Settings):
    """The network's shape.

    :param hidden: units of each hidden layer.
    :param layers: hidden layers; 0 is a linear model.
    :param members: networks of the ensemble.
    """

    hidden: Annotated[int, between(1, 1024)] = 64
    layers: Annotated[int, between(0, 6)] = 2
    dropout: Annotated[float, between(0.0, 0.9)] = 0.1
    members: Annotated[int, between(1, 50)] = 5


@dataclass(frozen=True, slots=True)
class TrainingSettings(Settings):
    """How it is trained.

    :param batch_queries: queries a step.
    :param patience: epochs without a better validation loss before it ends.
    :param min_gap: difference of y from which two candidates of a query are a pair.
    :param conflict_weight: weight of the conflict head's loss beside RankNet's.
    """

    learning_rate: Annotated[float, between(1e-6, 1.0)] = 0.003
    weight_decay: Annotated[float, between(0.0, 1.0)] = 1e-4
    batch_queries: Annotated[int, between(1, 4096)] = 64
    epochs: Annotated[int, between(1, 1000)] = 40
    patience: Annotated[int, between(1, 1000)] = 6
    min_gap: Annotated[float, between(0.0, 1.0)] = 0.02
    conflict_weight: Annotated[float, between(0.0, 100.0)] = 1.0


@dataclass(frozen=True, slots=True)
class EvaluationSettings(Settings):
    """How it is measured: bootstrap samples of queries."""

    samples: Annotated[int, between(1, 100_000)] = 1000


@dataclass(frozen=True, slots=True)
class SearchSettings(Settings):
    """Bounds of the search for settings; with neither there is none.

    :param trials: of the whole study, those of earlier runs included.
    :param minutes: of this run; no trial begins after them.
    """

    trials: Annotated[int, between(0, 100_000)] = 0
    minutes: Annotated[float, between(0.0, 100_000.0)] = 0.0


@dataclass(frozen=True, slots=True)
class DualConfig(Settings):
    """Everything `rerank train-dual` is told; stored with the model.

    :param data: path of the scored JSONL; empty if the command line names it.
    :param output: folder to write to; empty for the workspace's.
    """

    data: str = ""
    output: str = ""
    seed: Annotated[int, between(0, 2**31 - 1)] = 7
    label: LabelSettings = field(default_factory=LabelSettings)
    inputs: InputSettings = field(default_factory=InputSettings)
    split: SplitSettings = field(default_factory=SplitSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    search: SearchSettings = field(default_factory=SearchSettings)


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
