"""How a pairwise network is trained."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any


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
