"""Train the ensemble with torch: RankNet over pairs of a query's candidates, and a conflict head.

All members are trained at once, each with its own initial weights and its own bootstrap sample of
the training queries (a Poisson(1) weight each, Oza, Russell, Online Bagging and Boosting, 2001),
so that where they differ, the data leave the answer open. Source of the loss: Burges et al.,
Learning to Rank using Gradient Descent, 2005; each pair weighs as much as its labels differ.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.errors import InputError, RerankError
from rerank.dual.config import NetworkSettings, TrainingSettings
from rerank.dual.network import Ensemble, InputScaling, OnnxEnsemble

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

PARITY_TOLERANCE = 1e-5
_PARITY_ROWS = 4096
_THREADS = 2


class LabelledRows(NamedTuple):
    """Candidates as a network reads them.

    :param inputs: shape (candidates, inputs), NaN where missing.
    :param label: shape (candidates,), y in [0, 1].
    :param conflict: shape (candidates,), in [0, 1].
    :param offsets: shape (queries + 1,).
    """

    inputs: Floats
    label: NDArray[np.float64]
    conflict: NDArray[np.float64]
    offsets: Ints


@dataclass(frozen=True, slots=True, eq=False)
class TrainedEnsemble:
    """What training gives.

    :param onnx: the exported graph; it agrees with torch within 1e-5 of the largest output.
    :param losses: validation loss after each epoch; the weights are of the lowest.
    """

    ensemble: Ensemble
    onnx: bytes
    losses: tuple[float, ...]


def train_ensemble(
    train: LabelledRows,
    validation: LabelledRows,
    network: NetworkSettings,
    training: TrainingSettings,
    *,
    seed: int,
    progress: Callable[[float], None] = lambda share: None,
) -> TrainedEnsemble:
    """Train until the validation loss no longer falls; the same for the same seed and machine.

    :raises InputError: if no query has candidates whose labels differ.
    :raises RerankError: if the exported graph does not agree with torch.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(min(_THREADS, threads))
    try:
        return _train(train, validation, network, training, seed, progress)
    finally:
        torch.set_num_threads(threads)


class _Grid(NamedTuple):
    """Queries as rows of equal length: tensors of shape (queries, most candidates, ...)."""

    inputs: Any
    label: Any
    conflict: Any
    there: Any


def _train(
    train: LabelledRows,
    validation: LabelledRows,
    network: NetworkSettings,
    training: TrainingSettings,
    seed: int,
    progress: Callable[[float], None],
) -> TrainedEnsemble:
    import torch

    scaling = InputScaling.fit(train.inputs)
    grid, held = _grid(train, scaling), _grid(validation, scaling)
    if not _pair_weights(grid.label, grid.there, training.min_gap).any():
        raise InputError(
            f"no query has candidates whose labels differ by {training.min_gap:g} or more: there "
            "is nothing to rank"
        )
    generator = torch.Generator().manual_seed(seed)
    layers = _initial(scaling.width, network, generator)
    optimiser = torch.optim.AdamW(
        [tensor for layer in layers for tensor in layer],
        lr=training.learning_rate,
        weight_decay=training.weight_decay,
    )
    times = torch.poisson(torch.ones(network.members, len(grid.label)), generator=generator)
    best, losses, waited = _copied(layers), list[float](), 0
    for epoch in range(training.epochs):
        progress(epoch / training.epochs)
        order = torch.randperm(len(grid.label), generator=generator)
        for rows in torch.split(order, training.batch_queries):
            batch = _Grid(*(tensor[rows] for tensor in grid))
            outputs = _forward(batch.inputs, layers, network.dropout, generator)
            _step(optimiser, _loss(outputs, batch, training, times[:, rows]))
        losses.append(_validation_loss(held, layers, training))
        if not np.isfinite(losses[-1]):
            raise InputError("training diverged: the loss is not finite; lower learning_rate")
        waited = 0 if losses[-1] <= min(losses) else waited + 1
        if waited == 0:
            best = _copied(layers)
        if waited >= training.patience:
            break
    return _exported(scaling, best, train.inputs, tuple(losses))


def _step(optimiser: Any, loss: Any) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def _grid(rows: LabelledRows, scaling: InputScaling) -> _Grid:
    import torch

    sizes = np.diff(rows.offsets)
    query = np.repeat(np.arange(len(sizes)), sizes)
    place = np.arange(len(query)) - rows.offsets[:-1][query]
    shape = (len(sizes), max(1, int(sizes.max(initial=1))))
    inputs = np.zeros((*shape, scaling.width), np.float32)
    inputs[query, place] = scaling.apply(rows.inputs)
    label, conflict = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    label[query, place], conflict[query, place] = rows.label, rows.conflict
    there = np.zeros(shape, np.bool_)
    there[query, place] = True
    return _Grid(*map(torch.from_numpy, (inputs, label, conflict, there)))


def _initial(width: int, network: NetworkSettings, generator: Any) -> list[list[Any]]:
    """Return weights and biases of each layer, drawn as of He et al. 2015.

    A linear model starts at 0: its loss has one minimum, which few steps on few queries would not
    reach from random weights. Drawn ones put the least similar candidate first for 300 queries.
    """
    import torch

    widths = [width, *[network.hidden] * network.layers, 2]
    spread = 1.0 if network.layers else 0.0
    layers = []
    for before, after in itertools.pairwise(widths):
        shape = (network.members, before, after)
        weights = torch.randn(shape, generator=generator) * spread * (2.0 / before) ** 0.5
        biases = torch.zeros(network.members, 1, after)
        layers.append([weights.requires_grad_(), biases.requires_grad_()])
    return layers


def _forward(
    inputs: Any, layers: list[list[Any]], dropout: float = 0.0, generator: Any = None
) -> Any:
    """Return outputs of shape (members, queries, candidates, 2)."""
    import torch

    values = inputs.reshape(1, -1, inputs.shape[-1])
    for number, (weights, biases) in enumerate(layers, 1):
        values = values @ weights + biases
        if number < len(layers):
            values = torch.relu(values)
            if dropout > 0:
                kept = torch.rand(values.shape, generator=generator) >= dropout
                values = values * kept / (1.0 - dropout)
    return values.reshape(len(values), *inputs.shape[:2], 2)


def _pair_weights(label: Any, there: Any, min_gap: float) -> Any:
    """Return how far y of one candidate lies above another's, 0 where they are no pair."""
    gap = label[:, :, None] - label[:, None, :]
    both = there[:, :, None] & there[:, None, :]
    return gap * (both & (gap > 0) & (gap >= min_gap))


def _loss(outputs: Any, batch: _Grid, training: TrainingSettings, times: Any) -> Any:
    """Return RankNet's loss and the conflict head's, summed over members.

    :param times: shape (members, queries), how often each query counts.
    """
    import torch

    functional = torch.nn.functional
    scores, log_odds = outputs[..., 0], outputs[..., 1]
    weights = _pair_weights(batch.label, batch.there, training.min_gap)
    doubt = functional.softplus(scores[:, :, None, :] - scores[:, :, :, None])
    pairs = (weights * doubt).sum(dim=(2, 3)) / weights.sum(dim=(1, 2)).clamp_min(1e-9)
    target = batch.conflict.expand_as(log_odds)
    each = functional.binary_cross_entropy_with_logits(log_odds, target, reduction="none")
    sizes = batch.there.sum(dim=1).clamp_min(1)
    conflict = (each * batch.there).sum(dim=2) / sizes
    by_query = (pairs + training.conflict_weight * conflict) * times
    return (by_query.sum(dim=1) / times.sum(dim=1).clamp_min(1.0)).sum()


def _validation_loss(held: _Grid, layers: list[list[Any]], training: TrainingSettings) -> float:
    """Return the loss of the members' mean: what serves is the mean."""
    import torch

    with torch.no_grad():
        mean = _forward(held.inputs, layers).mean(dim=0, keepdim=True)
        return float(_loss(mean, held, training, torch.ones(1, len(held.label))))


def _copied(layers: list[list[Any]]) -> list[list[Any]]:
    return [[tensor.detach().clone() for tensor in layer] for layer in layers]


def _exported(
    scaling: InputScaling, layers: list[list[Any]], inputs: Floats, losses: tuple[float, ...]
) -> TrainedEnsemble:
    import torch

    weights = [(one.numpy(), other.numpy()) for one, other in layers]
    ensemble = Ensemble(scaling, weights)
    onnx = ensemble.to_onnx()
    rows = inputs[:_PARITY_ROWS]
    found = OnnxEnsemble(onnx).outputs(rows)
    with torch.no_grad():
        expected = _forward(torch.from_numpy(scaling.apply(rows))[None], layers)[:, 0].numpy()
    gap = max(
        float(np.abs(own - expected[..., head]).max(initial=0.0)) for head, own in enumerate(found)
    )
    largest = float(np.abs(expected).max(initial=1.0))
    if gap > PARITY_TOLERANCE * largest:
        raise RerankError(
            f"the exported network differs from torch by {gap:.2g} at outputs of up to "
            f"{largest:.3g}; expected at most {PARITY_TOLERANCE:g} of that"
        )
    return TrainedEnsemble(ensemble, onnx, losses)
