"""The pairwise network in torch, the only module of the package that imports it.

Both items of a pair go through one network: Linear, ReLU, Dropout, Linear, ReLU, and a linear head
that gives a score; what is learnt is the difference of the two scores.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.errors import ArtifactError, InputError
from rerank.pairwise.dataset import Pairs
from rerank.pairwise.parameters import Loss, PairwiseParameters

Floats = NDArray[np.float32]
Weights = dict[str, Floats]

LAYERS = ("shared.0", "shared.3", "head")
"""The linear layers in the state dict; each has a ``.weight`` (out, in) and a ``.bias``."""

MEAN, INVERSE_SCALE = "features.mean", "features.inverse_scale"
"""What the state dict holds besides: how raw rows are prepared."""

_SCORED_ROWS = 8192


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A trained network.

    :param weights: its state dict as arrays.
    :param losses: mean training loss a pair, of each epoch.
    :param validation_losses: of each epoch; empty without validation pairs.
    :param best_epoch: the epoch that the weights are of, from 1.
    """

    weights: Weights
    losses: list[float]
    validation_losses: list[float]
    best_epoch: int


def fit_network(
    inputs: Floats,
    training: Pairs,
    validation: Pairs,
    parameters: PairwiseParameters,
    *,
    start: Weights | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> Fitted:
    """Train a network on pairs of prepared rows.

    :param inputs: shape (items, n_inputs), finite.
    :param validation: may be empty: then nothing stops training early.
    :param start: weights to go on from; None starts with random ones.
    :raises InputError: if the loss is no longer a number.
    """
    import torch

    with _one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(parameters.seed)
        network = _network(inputs.shape[1], parameters)
        if start is not None:
            network.load_state_dict({name: torch.from_numpy(w) for name, w in start.items()})
        return _Fit(network, torch.from_numpy(inputs), parameters).run(
            training, validation, progress
        )


def scores_of(weights: Weights, inputs: Floats) -> Floats:
    """Return the network's scores of prepared rows as torch computes them, shape (rows,)."""
    import torch

    hidden_dim = len(weights[f"{LAYERS[0]}.bias"])
    network = _network(inputs.shape[1], PairwiseParameters(hidden_dim=hidden_dim))
    network.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()})
    network.eval()
    with torch.inference_mode():
        return np.asarray(network(torch.from_numpy(inputs)).squeeze(-1).numpy(), np.float32)


def save_state(path: Path, state: Mapping[str, Floats]) -> None:
    """Write arrays as a state dict of tensors, which loads with ``weights_only=True``."""
    import torch

    torch.save({name: torch.from_numpy(array.copy()) for name, array in state.items()}, path)


def load_state(path: Path) -> dict[str, Floats]:
    """Read a state dict of tensors.

    :raises ArtifactError: if the file holds anything else or lacks a layer.
    """
    import torch

    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        arrays = {name: np.asarray(tensor.numpy(), np.float32) for name, tensor in state.items()}
    except Exception as exc:  # torch's own errors and those of all it reads with
        raise ArtifactError(
            f"{path}: expected a state dict of tensors, found something else "
            f"({type(exc).__name__}); train it anew with `rerank train-pairwise`"
        ) from exc
    expected = {f"{layer}.{part}" for layer in LAYERS for part in ("weight", "bias")}
    lacking = sorted((expected | {MEAN, INVERSE_SCALE}) - arrays.keys())
    if lacking:
        raise ArtifactError(f"{path}: lacks {', '.join(lacking)}: no pairwise network of ours")
    return arrays


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch work alone: a batch is so small that threads would mostly wait for each other, and
    sums do not depend on how many there are.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _network(n_inputs: int, parameters: PairwiseParameters) -> Any:
    from torch import nn

    hidden = parameters.hidden_dim
    shared = nn.Sequential(
        nn.Linear(n_inputs, hidden),
        nn.ReLU(),
        nn.Dropout(parameters.dropout),
        nn.Linear(hidden, hidden // 2),
        nn.ReLU(),
    )
    return nn.Sequential(OrderedDict(shared=shared, head=nn.Linear(hidden // 2, 1)))


class _Fit:
    """One run of training."""

    def __init__(self, network: Any, inputs: Any, parameters: PairwiseParameters) -> None:
        import torch

        self._network = network
        self._inputs = inputs
        self._parameters = parameters
        self._optimiser = torch.optim.AdamW(
            network.parameters(),
            lr=parameters.learning_rate,
            weight_decay=parameters.weight_decay,
        )

    def run(self, training: Pairs, validation: Pairs, progress: Callable[[float], None]) -> Fitted:
        parameters = self._parameters
        losses: list[float] = []
        checked: list[float] = []
        best, best_epoch, lowest = self._weights(), 0, np.inf
        for epoch in range(1, parameters.epochs + 1):
            losses.append(self._epoch(training))
            if len(validation.label):
                checked.append(self._mean_loss(validation))
            if not np.isfinite([losses[-1], *checked[-1:]]).all():
                raise InputError(
                    f"expected a loss that is a number, found {losses[-1]} in epoch {epoch}; "
                    "lower --learning-rate"
                )
            if not (checked and parameters.patience):
                best_epoch = epoch
            elif checked[-1] < lowest:
                best, best_epoch, lowest = self._weights(), epoch, checked[-1]
            elif epoch - best_epoch >= parameters.patience:
                break
            progress(epoch / parameters.epochs)
        weights = self._weights() if best_epoch == len(losses) else best
        return Fitted(weights, losses, checked, best_epoch)

    def _epoch(self, pairs: Pairs) -> float:
        import torch

        self._network.train()
        size, n_pairs = self._parameters.batch_size, len(pairs.label)
        order, total = torch.randperm(n_pairs).numpy(), 0.0
        for start in range(0, n_pairs, size):
            batch = pairs.at(order[start : start + size])
            loss = self._loss(batch)
            self._optimiser.zero_grad()
            loss.backward()
            self._optimiser.step()
            total += float(loss.detach()) * len(batch.label)
        return total / n_pairs

    def _mean_loss(self, pairs: Pairs) -> float:
        import torch

        self._network.eval()
        total = 0.0
        with torch.inference_mode():
            for start in range(0, len(pairs.label), _SCORED_ROWS):
                batch = pairs.at(np.arange(start, min(start + _SCORED_ROWS, len(pairs.label))))
                total += float(self._loss(batch)) * len(batch.label)
        return total / len(pairs.label)

    def _loss(self, pairs: Pairs) -> Any:
        """Return the mean loss of pairs."""
        import torch

        rows = torch.from_numpy(np.concatenate([pairs.a, pairs.b]))
        scores = self._network(self._inputs[rows]).squeeze(-1)
        a, b = scores.tensor_split(2)
        label = torch.from_numpy(pairs.label)
        ahead = (a - b) * label
        if self._parameters.loss is Loss.MARGIN:
            ordered = torch.relu(self._parameters.margin - ahead)
        else:
            ordered = torch.nn.functional.softplus(-ahead)
        return torch.where(label == 0, (a - b) ** 2, ordered).mean()

    def _weights(self) -> Weights:
        state = self._network.state_dict()
        return {name: tensor.numpy().copy() for name, tensor in state.items()}
