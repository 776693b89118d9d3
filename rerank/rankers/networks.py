"""The network of the pairwise and of the dual ranker, the only module of rankers with torch.

A multi-layer perceptron over scaled rows (`rerank.rankers.inputs.Scaling`), ReLU between layers.
Its weights may have an axis of members before their own: an ensemble runs in one multiplication.
Two losses teach it: `fit_pairs` the order of pairs, `fit_queries` the order of a query's candidates
and which of them conflict. One loop fits, one graph exports, one check holds it against torch.

The graph is put together by hand. Of torch 2.13's two exporters one is deprecated and warns that it
will be removed; the other takes 2.5 to 5 s a graph where this takes 1 ms, needs onnxscript, writes
the paths of source files into the graph, and its graph takes twice the time for 20 rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rerank.index.artifacts import open_session, reading
from rerank.index.errors import ArtifactError, InputError, RerankError
from rerank.rankers.inputs import Scaling
from rerank.rankers.pairs import Pairs
from rerank.rankers.parameters import Loss, NetworkSettings, PairwiseParameters, TrainingSettings

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Layers = list[tuple[Any, Any]]
"""Of each layer its weights, shape (..., in, out), and its biases, which are added to (..., rows,
out); arrays, or tensors while they are taught."""

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A trained network over raw rows.

    :param layers: arrays; the last has a column a head.
    """

    scaling: Scaling
    layers: Layers

    def outputs(self, raw: Floats) -> Floats:
        """Return what torch computes of raw rows, shape ([members,] rows, heads)."""
        import torch

        layers = [(torch.from_numpy(one), torch.from_numpy(two)) for one, two in self.layers]
        with torch.inference_mode():
            found = _forward(layers, torch.from_numpy(self.scaling.apply(raw)))
        return np.asarray(found.numpy(), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What training gives.

    :param layers: arrays, as they were after the best epoch.
    :param losses: mean training loss, of each epoch.
    :param validation_losses: of each epoch; empty without anything to validate on.
    :param best_epoch: from 1.
    """

    layers: Layers
    losses: list[float]
    validation_losses: list[float]
    best_epoch: int


def _fit(
    lesson: _PairLesson | _QueryLesson,
    layers: Layers,
    settings: PairwiseParameters | TrainingSettings,
    progress: Progress,
) -> Fitted:
    """Teach layers until the validation loss has not fallen for ``patience`` epochs.

    :param lesson: examples with their mean loss, and the loss on what is not taught.

    :raises InputError: if the loss is no longer a number.
    """
    import torch

    tensors = [tensor.requires_grad_() for layer in layers for tensor in layer]
    optimiser = torch.optim.AdamW(
        tensors, lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    fitted = Fitted(_copied(layers), [], [], 0)
    for epoch in range(1, settings.epochs + 1):
        total = 0.0
        for examples in torch.split(torch.randperm(lesson.size), lesson.batch_size):
            loss = lesson.loss(layers, examples)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += float(loss.detach()) * len(examples)
        losses, checked = [*fitted.losses, total / lesson.size], fitted.validation_losses
        lowest = min(checked, default=np.inf)
        with torch.no_grad():
            checked = [*checked, *lesson.validation(layers)]
        if not np.isfinite([losses[-1], *checked[-1:]]).all():
            raise InputError(
                "training diverged: the loss is not finite: expected a loss that is a number, "
                f"found {losses[-1]} in epoch {epoch}; lower {lesson.rate_name}"
            )
        best, best_epoch = fitted.layers, fitted.best_epoch
        if not (checked and settings.patience) or checked[-1] < lowest:
            best, best_epoch = _copied(layers), epoch
        fitted = Fitted(best, losses, checked, best_epoch)
        if epoch - best_epoch >= max(1, settings.patience):
            break
        progress(epoch / settings.epochs)
    return fitted


def _forward(
    layers: Layers, values: Any, drop: Callable[[Any, int], Any] = lambda values, number: values
) -> Any:
    """Return outputs of scaled rows.

    :param drop: what dropout makes of the values of a hidden layer and its number, from 1.
    """
    import torch

    for number, (weights, biases) in enumerate(layers, 1):
        if weights.ndim == 2:  # sums as `torch.nn.Linear` does, biases first
            values = torch.addmm(biases, values, weights)
        else:
            values = values @ weights + biases
        if number < len(layers):
            values = drop(values.relu(), number)
    return values


def _copied(layers: Layers) -> Layers:
    return [(one.detach().numpy().copy(), two.detach().numpy().copy()) for one, two in layers]


@contextmanager
def _seeded(seed: int, *, threads: int) -> Iterator[None]:
    """Let torch draw from a seed, and sum in an order that does not depend on the machine's cores;
    a batch is so small that more threads would mostly wait for each other.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(min(threads, before))
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(before)


_SCORED_PAIRS = 8192


def fit_pairs(
    inputs: Floats,
    training: Pairs,
    validation: Pairs,
    parameters: PairwiseParameters,
    *,
    start: Layers | None = None,
    progress: Progress = lambda share: None,
) -> Fitted:
    """Teach a network of one head and two hidden layers the order of pairs.

    :param inputs: shape (items, inputs), scaled.
    :param validation: may be empty: then nothing stops training early.
    :param start: layers to go on from; None starts with random ones.
    :raises InputError: if the loss is no longer a number.
    """
    import torch

    hidden = parameters.hidden_dim
    with _seeded(parameters.seed, threads=1):
        layers = []
        for before, after in itertools.pairwise([inputs.shape[1], hidden, hidden // 2, 1]):
            drawn = torch.nn.Linear(before, after)
            layers.append((drawn.weight.detach().T.contiguous(), drawn.bias.detach()))
        if start is not None:
            layers = [(torch.tensor(one), torch.tensor(two)) for one, two in start]
        lesson = _PairLesson(torch.from_numpy(inputs), training, validation, parameters)
        return _fit(lesson, layers, parameters, progress)


class _PairLesson:
    """Pairs of items: both go through the network, the difference of their scores is learnt."""

    rate_name = "--learning-rate"

    def __init__(
        self, inputs: Any, training: Pairs, validation: Pairs, parameters: PairwiseParameters
    ) -> None:
        self.size, self.batch_size = len(training.label), parameters.batch_size
        self._inputs, self._parameters = inputs, parameters
        self._training, self._validation = training, validation

    def loss(self, layers: Layers, examples: Any) -> Any:
        from torch.nn.functional import dropout

        def drop(values: Any, number: int) -> Any:
            return dropout(values, self._parameters.dropout) if number == 1 else values

        return self._mean_loss(layers, self._training.at(examples.numpy()), drop)

    def validation(self, layers: Layers) -> list[float]:
        n_pairs, total = len(self._validation.label), 0.0
        for start in range(0, n_pairs, _SCORED_PAIRS):
            batch = self._validation.at(np.arange(start, min(start + _SCORED_PAIRS, n_pairs)))
            total += float(self._mean_loss(layers, batch)) * len(batch.label)
        return [total / n_pairs] if n_pairs else []

    def _mean_loss(self, layers: Layers, pairs: Pairs, *drop: Callable[[Any, int], Any]) -> Any:
        import torch

        rows = torch.from_numpy(np.concatenate([pairs.a, pairs.b]))
        a, b = _forward(layers, self._inputs[rows], *drop).squeeze(-1).tensor_split(2)
        label = torch.from_numpy(pairs.label)
        ahead = (a - b) * label
        if self._parameters.loss is Loss.MARGIN:
            ordered = torch.relu(self._parameters.margin - ahead)
        else:
            ordered = torch.nn.functional.softplus(-ahead)
        return torch.where(label == 0, (a - b) ** 2, ordered).mean()


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


def fit_queries(
    train: LabelledRows,
    validation: LabelledRows,
    network: NetworkSettings,
    training: TrainingSettings,
    *,
    seed: int,
    progress: Progress = lambda share: None,
) -> Fitted:
    """Teach an ensemble of two heads, a score and the log-odds of a conflict, the order of each
    query's candidates; the same for the same seed and machine.

    :param train: scaled rows, as those of ``validation``.
    :raises InputError: if no query has candidates whose labels differ, or the loss is no longer a
        number.
    """
    import torch

    with _seeded(seed, threads=2):
        layers = _drawn_as_he(train.inputs.shape[1], network)
        grid = _Grid.of(train)
        if not _pair_weights(grid, training.min_gap).any():
            raise InputError(
                f"no query has candidates whose labels differ by {training.min_gap:g} or more: "
                "there is nothing to rank"
            )
        times = torch.poisson(torch.ones(network.members, len(grid.label)))
        lesson = _QueryLesson(grid, _Grid.of(validation), times, network.dropout, training)
        return _fit(lesson, layers, training, progress)


def _drawn_as_he(width: int, network: NetworkSettings) -> Layers:
    """Return weights drawn as of He et al. 2015, and biases of 0.

    A linear model starts at 0: its loss has one minimum, which few steps on few queries would not
    reach from random weights. Drawn ones put the least similar candidate first for 300 queries.
    """
    import torch

    widths = [width, *[network.hidden] * network.layers, 2]
    spread = 1.0 if network.layers else 0.0
    layers = []
    for before, after in itertools.pairwise(widths):
        weights = torch.randn(network.members, before, after) * spread * (2.0 / before) ** 0.5
        layers.append((weights, torch.zeros(network.members, 1, after)))
    return layers


class _Grid(NamedTuple):
    """Queries as rows of equal length: tensors of shape (queries, most candidates, ...)."""

    inputs: Any
    label: Any
    conflict: Any
    there: Any

    @classmethod
    def of(cls, rows: LabelledRows) -> _Grid:
        import torch

        sizes = np.diff(rows.offsets)
        query = np.repeat(np.arange(len(sizes)), sizes)
        place = np.arange(len(query)) - rows.offsets[:-1][query]
        shape = (len(sizes), max(1, int(sizes.max(initial=1))))
        columns = []
        for column in (rows.inputs, rows.label, rows.conflict, np.ones(len(query), np.bool_)):
            kind = np.bool_ if column.dtype == np.bool_ else np.float32
            placed = np.zeros((*shape, *column.shape[1:]), kind)
            placed[query, place] = column
            columns.append(torch.from_numpy(placed))
        return cls(*columns)


def _pair_weights(grid: _Grid, min_gap: float) -> Any:
    """Return how far y of one candidate lies above another's, 0 where they are no pair."""
    gap = grid.label[:, :, None] - grid.label[:, None, :]
    both = grid.there[:, :, None] & grid.there[:, None, :]
    return gap * (both & (gap > 0) & (gap >= min_gap))


class _QueryLesson:
    """Queries with their candidates: RankNet's loss, and the conflict head's.

    :param times: shape (members, queries), how often each query counts for each member.
    """

    rate_name = "learning_rate"

    def __init__(
        self, grid: _Grid, held: _Grid, times: Any, dropout: float, training: TrainingSettings
    ) -> None:
        self.size, self.batch_size = len(grid.label), training.batch_queries
        self._grid, self._held, self._times = grid, held, times
        self._dropout, self._training = dropout, training

    def loss(self, layers: Layers, examples: Any) -> Any:
        import torch

        def drop(values: Any, number: int) -> Any:
            if self._dropout <= 0:
                return values
            return values * (torch.rand(values.shape) >= self._dropout) / (1.0 - self._dropout)

        batch = _Grid(*(tensor[examples] for tensor in self._grid))
        return self._summed_loss(_of_grid(layers, batch, drop), batch, self._times[:, examples])

    def validation(self, layers: Layers) -> list[float]:
        """Return the loss of the members' mean: what serves is the mean."""
        mean = _of_grid(layers, self._held).mean(dim=0, keepdim=True)
        return [float(self._summed_loss(mean, self._held, mean.new_ones(1, len(self._held.label))))]

    def _summed_loss(self, outputs: Any, batch: _Grid, times: Any) -> Any:
        """Return the loss, a mean over queries, summed over members."""
        from torch.nn.functional import binary_cross_entropy_with_logits, softplus

        scores, log_odds = outputs[..., 0], outputs[..., 1]
        weights = _pair_weights(batch, self._training.min_gap)
        doubt = softplus(scores[:, :, None, :] - scores[:, :, :, None])
        pairs = (weights * doubt).sum(dim=(2, 3)) / weights.sum(dim=(1, 2)).clamp_min(1e-9)
        target = batch.conflict.expand_as(log_odds)
        each = binary_cross_entropy_with_logits(log_odds, target, reduction="none")
        conflict = (each * batch.there).sum(dim=2) / batch.there.sum(dim=1).clamp_min(1)
        by_query = (pairs + self._training.conflict_weight * conflict) * times
        return (by_query.sum(dim=1) / times.sum(dim=1).clamp_min(1.0)).sum()


def _of_grid(layers: Layers, grid: _Grid, *drop: Callable[[Any, int], Any]) -> Any:
    """Return outputs of shape (members, queries, candidates, 2)."""
    queries, most, width = grid.inputs.shape
    values = _forward(layers, grid.inputs.reshape(1, -1, width), *drop)
    return values.reshape(len(values), queries, most, 2)


PARITY_TOLERANCE = 1e-5
"""How far an exported output may be from torch's."""

LARGE_OUTPUT = 10.0
"""From 8 on float32 has steps of 1e-6, and sums are off by some: beyond, the tolerance grows with
the largest output."""

_OPSET, _IR_VERSION = 15, 8  # the oldest that holds all nodes: what reads them may be old as well
_PARITY_ROWS = 4096
_HOLES = 0.3  # share of values that are taken out for the second half of the comparison


class Exported(NamedTuple):
    """A network as a graph.

    :param worst: the largest difference from torch.
    :param tolerance: what was allowed.
    :param largest: output of the network on the rows compared.
    """

    graph: bytes
    worst: float
    tolerance: float
    largest: float


def exported(
    network: Network, raw: Floats, *, inputs: Sequence[str], outputs: Sequence[str]
) -> Exported:
    """Export a network; compare it with torch on rows as they are and with holes.

    :param raw: rows, of which the first 4,096 are compared.
    :param inputs: name of the graph's input; with two, its output is what the first head says of
        the one less what it says of the other.
    :param outputs: names of the heads, or of that difference.
    :raises RerankError: if the graph computes something else.
    """
    graph = _graph(network, inputs, outputs)
    rows = raw[:_PARITY_ROWS]
    holes = rows.copy()
    holes[np.random.default_rng(0).random(rows.shape) < _HOLES] = np.nan
    rows = np.concatenate([rows, holes])
    expected, fed = network.outputs(rows), [rows]
    largest = float(np.abs(expected).max(initial=0.0))
    if len(inputs) > 1:
        expected, fed = expected - expected[..., ::-1, :], [rows, rows[::-1]]
    served = OnnxNetwork(
        graph,
        where="exported network",
        remedy="",
        width=rows.shape[1],
        inputs=len(inputs),
        outputs=len(outputs),
        axes=expected.ndim - 1,
    )
    found = served.outputs(*fed)
    worst = float(np.abs(np.stack(found, axis=-1) - expected).max(initial=0.0))
    tolerance = PARITY_TOLERANCE * max(1.0, largest / LARGE_OUTPUT)
    if not worst <= tolerance:
        raise RerankError(
            f"the exported network differs from torch by {worst:.2g} at outputs of up to "
            f"{largest:.3g}, more than {tolerance:.2g}; nothing was written"
        )
    return Exported(graph, worst, tolerance, largest)


def _graph(network: Network, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    from onnx import TensorProto, checker, helper, numpy_helper

    scaling, last = network.scaling, f"layer{len(network.layers)}"
    constants: dict[str, NDArray[Any]] = {
        "mean": scaling.mean,
        "inverse_scale": scaling.inverse_scale.astype(np.float32),
        "low": np.array(-scaling.limit, np.float32),
        "high": np.array(scaling.limit, np.float32),
        "zero": np.array(0, np.float32),
        "indicators": np.array(scaling.indicators, np.int64),
        **{f"head{at}": np.array(at, np.int64) for at in range(len(outputs))},
    }
    for number, layer in enumerate(network.layers, 1):
        constants |= zip((f"weights{number}", f"biases{number}"), layer, strict=True)
    steps = [step for source in inputs for step in _steps(source, len(network.layers))]
    found = f"{inputs[0]}.{last}"
    if len(inputs) > 1:
        steps.append(("Sub", [found, f"{inputs[1]}.{last}"], "difference", {}))
        found = "difference"
    for at, head in enumerate(outputs):
        steps.append(("Gather", [found, f"head{at}"], head, {"axis": -1}))
    members = network.layers[0][0].shape[:-2]

    def described(name: str, *shape: int | str) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))

    graph = helper.make_graph(
        [helper.make_node(kind, taken, [given], **more) for kind, taken, given, more in steps],
        "network",
        [described(name, "rows", len(scaling.mean)) for name in inputs],
        [described(name, *members, "rows") for name in outputs],
        [numpy_helper.from_array(np.array(v, order="C"), n) for n, v in constants.items()],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="rerank",
    )
    checker.check_model(model)
    return bytes(model.SerializeToString())


def _steps(source: str, n_layers: int) -> Iterator[tuple[str, list[str], str, dict[str, Any]]]:
    """Yield kind, inputs, output and attributes of the nodes from raw rows to the last layer.

    Names that begin with a dot are a source's own; constants are shared.
    """
    steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("IsNaN", [source], ".missing", {}),
        ("Sub", [source, "mean"], ".centred", {}),
        ("Mul", [".centred", "inverse_scale"], ".scaled", {}),
        ("Clip", [".scaled", "low", "high"], ".clipped", {}),
        ("Where", [".missing", "zero", ".clipped"], ".filled", {}),
        ("Cast", [".missing"], ".flags", {"to": 1}),
        ("Gather", [".flags", "indicators"], ".indicated", {"axis": 1}),
        ("Concat", [".filled", ".indicated"], ".layer0", {"axis": 1}),
    ]
    for number in range(1, n_layers + 1):
        last = number == n_layers
        shifted = f".layer{number}" if last else f".shifted{number}"
        steps += [
            ("MatMul", [f".layer{number - 1}", f"weights{number}"], f".sum{number}", {}),
            ("Add", [f".sum{number}", f"biases{number}"], shifted, {}),
            *([] if last else [("Relu", [shifted], f".layer{number}", {})]),
        ]
    for kind, taken, given, attributes in steps:
        named = [source + name if name.startswith(".") else name for name in taken]
        yield kind, named, source + given, attributes


class OnnxNetwork:
    """Serves an exported network, of this release or an earlier one.

    :param where: what messages name.
    :param remedy: the command that makes it anew, for messages.
    :param width: of the rows of each of its ``inputs``; it has so many ``outputs``.
    :param axes: of an output: the rows, or the members of an ensemble and the rows.
    :raises ImportError: if onnxruntime is not installed.
    :raises ArtifactError: if the content is no graph that onnxruntime runs, or another.
    """

    def __init__(
        self,
        content: bytes,
        *,
        where: str,
        remedy: str,
        width: int,
        inputs: int = 1,
        outputs: int = 1,
        axes: int = 1,
    ) -> None:
        # One thread: one listing's rows take less than waking more would.
        self._graph = open_session(content, where=where, remedy=remedy)
        self._graph.expect(inputs, outputs, width)
        with reading(where, "a graph that scores each row", remedy):
            tried = self.outputs(*[np.zeros((2, width), np.float32)] * inputs)
            for found in tried:
                if found.shape != (*tried[0].shape[: axes - 1], 2) or not np.isfinite(found).all():
                    raise ValueError(f"of two rows it says {found.tolist()!r:.80}")
        self._shapes = [found.shape[:-1] for found in tried]

    def outputs(self, *rows: Floats) -> list[Floats]:
        """Return each head's output of raw rows, NaN where a value is missing, shape ([members,]
        rows); equal rows get equal outputs.

        :param rows: for each of the graph's inputs.
        """
        if not len(rows[0]):
            return [np.zeros((*shape, 0), np.float32) for shape in self._shapes]
        fed = [np.ascontiguousarray(own, np.float32) for own in rows]
        return self._graph.run(dict(zip(self._graph.inputs, fed, strict=True)))


STATE_LAYERS = ("shared.0", "shared.3", "head")
"""The layers of a pairwise network in its state dict; each has a ``.weight`` (out, in) and a
``.bias``."""

MEAN, INVERSE_SCALE = "features.mean", "features.inverse_scale"
"""What the state dict holds besides: how raw rows are scaled."""


def save_state(path: Path, network: Network) -> None:
    """Write a pairwise network as a state dict, which loads with ``weights_only=True``."""
    import torch

    state: dict[str, Floats] = {
        MEAN: network.scaling.mean,
        INVERSE_SCALE: network.scaling.inverse_scale,
    }
    for name, (weights, biases) in zip(STATE_LAYERS, network.layers, strict=True):
        state |= {f"{name}.weight": weights.T, f"{name}.bias": biases}
    torch.save({name: torch.tensor(array).contiguous() for name, array in state.items()}, path)


def load_state(path: Path) -> tuple[Mapping[str, Floats], Layers]:
    """Read a state dict of a pairwise network: its scaling, by `MEAN` and `INVERSE_SCALE`, and its
    layers.

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
    expected = {f"{layer}.{part}" for layer in STATE_LAYERS for part in ("weight", "bias")}
    lacking = sorted((expected | {MEAN, INVERSE_SCALE}) - arrays.keys())
    if lacking:
        raise ArtifactError(f"{path}: lacks {', '.join(lacking)}: no pairwise network of ours")
    layers = [(arrays[f"{layer}.weight"].T, arrays[f"{layer}.bias"]) for layer in STATE_LAYERS]
    if not _fit_together(arrays, layers):
        shapes = {name: array.shape for name, array in arrays.items()}
        raise ArtifactError(
            f"{path}: expected layers of finite numbers, each of as many inputs as the one before "
            f"it has outputs, found shapes {shapes!r:.300}"
        )
    return arrays, layers


def _fit_together(arrays: Mapping[str, Floats], layers: Layers) -> bool:
    """Tell whether a state dict is a network with one output, whose rows can be scaled."""
    sizes = [len(layers[0][0]) if layers[0][0].ndim else 0, *(biases.size for _, biases in layers)]
    return (
        arrays[MEAN].ndim == 1
        and arrays[MEAN].shape == arrays[INVERSE_SCALE].shape
        and all(
            weights.shape == size and biases.shape == size[1:]
            for (weights, biases), size in zip(layers, itertools.pairwise(sizes), strict=True)
        )
        and sizes[-1] == 1
        and all(np.isfinite(array).all() for array in arrays.values())
    )
