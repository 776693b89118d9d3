"""The pairwise network in torch, the only module of the package that imports it.

Both items of a pair go through one network: Linear, ReLU, Dropout, Linear, ReLU, and a linear head
that gives a score; what is learnt is the difference of the two scores.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rerank.index.artifacts import open_session
from rerank.index.errors import ArtifactError, InputError, RerankError
from rerank.rankers.inputs import MOST_DEVIATIONS, FeatureSpace
from rerank.rankers.pairs import Pairs
from rerank.rankers.parameters import Loss, NetworkSettings, PairwiseParameters, TrainingSettings

Floats = NDArray[np.float32]
Weights = dict[str, Floats]

LAYERS = ("shared.0", "shared.3", "head")
"""The linear layers in the state dict; each has a ``.weight`` (out, in) and a ``.bias``."""

MEAN, INVERSE_SCALE = "features.mean", "features.inverse_scale"
"""What the state dict holds besides: how raw rows are prepared."""

_SCORED_ROWS = 8192


@dataclass(frozen=True, slots=True, eq=False)
class FittedNetwork:
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
) -> FittedNetwork:
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

    def run(
        self, training: Pairs, validation: Pairs, progress: Callable[[float], None]
    ) -> FittedNetwork:
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
        return FittedNetwork(weights, losses, checked, best_epoch)

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


INPUT, SCORE = "input", "score"
INPUT_A, INPUT_B, SCORE_DIFF = "input_a", "input_b", "score_diff"
_OPSET, _IR_VERSION = 15, 8  # the oldest that holds all nodes: what reads them may be old as well


def scorer_graph(space: FeatureSpace, weights: Weights) -> bytes:
    """Return the graph ``input`` (items, width) -> ``score`` (items,)."""
    nodes = _nodes(space, INPUT, SCORE, "")
    return _model("scorer", nodes, [INPUT], SCORE, space, weights)


def comparer_graph(space: FeatureSpace, weights: Weights) -> bytes:
    """Return the graph ``input_a``, ``input_b``, both (pairs, width) -> ``score_diff`` (pairs,),
    the score of a less that of b.
    """
    from onnx import helper

    nodes = [
        *_nodes(space, INPUT_A, "score_a", "a."),
        *_nodes(space, INPUT_B, "score_b", "b."),
        helper.make_node("Sub", ["score_a", "score_b"], [SCORE_DIFF]),
    ]
    return _model("comparer", nodes, [INPUT_A, INPUT_B], SCORE_DIFF, space, weights)


def _nodes(space: FeatureSpace, source: str, target: str, prefix: str) -> list[Any]:
    """Return the nodes from raw rows to scores; ``prefix`` keeps two copies apart."""
    from onnx import helper

    def node(kind: str, inputs: list[str], output: str, **options: Any) -> Any:
        return helper.make_node(kind, inputs, [output], **options)

    def own(name: str) -> str:
        return prefix + name

    first, second, head = ([f"{layer}.weight", f"{layer}.bias"] for layer in LAYERS)
    nodes = [
        node("IsNaN", [source], own("missing")),
        node("Sub", [source, "mean"], own("centred")),
        node("Mul", [own("centred"), "inverse_scale"], own("scaled")),
        node("Clip", [own("scaled"), "lowest", "highest"], own("clipped")),
        node("Where", [own("missing"), "zero", own("clipped")], own("filled")),
    ]
    prepared = own("filled")
    if space.indicators:
        prepared = own("prepared")
        nodes += [
            node("Cast", [own("missing")], own("said"), to=1),
            node("Gather", [own("said"), "indicators"], own("indicated"), axis=1),
            node("Concat", [own("filled"), own("indicated")], prepared, axis=1),
        ]
    return [
        *nodes,
        node("Gemm", [prepared, *first], own("hidden_1"), transB=1),
        node("Relu", [own("hidden_1")], own("relu_1")),
        node("Gemm", [own("relu_1"), *second], own("hidden_2"), transB=1),
        node("Relu", [own("hidden_2")], own("relu_2")),
        node("Gemm", [own("relu_2"), *head], own("column"), transB=1),
        node("Reshape", [own("column"), "flat"], target),
    ]


def _model(
    name: str,
    nodes: list[Any],
    inputs: list[str],
    output: str,
    space: FeatureSpace,
    weights: Weights,
) -> bytes:
    from onnx import TensorProto, checker, helper, numpy_helper

    constants: dict[str, NDArray[Any]] = {
        "mean": space.mean,
        "inverse_scale": space.inverse_scale,
        "lowest": np.array(-MOST_DEVIATIONS, np.float32),
        "highest": np.array(MOST_DEVIATIONS, np.float32),
        "zero": np.array(0, np.float32),
        "flat": np.array([-1], np.int64),
        **weights,
    }
    if space.indicators:
        constants["indicators"] = np.array(space.indicators, np.int64)
    float_rows = [
        helper.make_tensor_value_info(each, TensorProto.FLOAT, ["rows", space.width])
        for each in inputs
    ]
    scores = [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["rows"])]
    tensors = [numpy_helper.from_array(array, key) for key, array in constants.items()]
    graph = helper.make_graph(nodes, name, float_rows, scores, tensors)
    opsets = [helper.make_opsetid("", _OPSET)]
    model = helper.make_model(
        graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="rerank"
    )
    checker.check_model(model)
    return bytes(model.SerializeToString())


PARITY_TOLERANCE = 1e-5
"""How far an exported score may be from torch's."""

LARGE_SCORE = 10.0
"""From 8 on float32 has steps of 1e-6, and sums are off by some: beyond, the tolerance grows with
the largest score."""

_PARITY_ROWS = 4096
_HOLES = 0.3  # share of values that are taken out for the second half of the comparison


@dataclass(frozen=True, slots=True)
class Exported:
    """A network as graphs.

    :param parity: the largest differences from torch, and what was allowed.
    """

    scorer: bytes
    comparer: bytes
    parity: dict[str, float]


def export(space: FeatureSpace, weights: Weights, raw: Floats) -> Exported:
    """Export a network; compare it with torch on rows as they are, with holes, and on pairs.

    :param raw: rows of items, of which the first 4,096 are compared.
    :raises RerankError: if the graphs score otherwise.
    """
    scorer, comparer = scorer_graph(space, weights), comparer_graph(space, weights)
    rows = raw[:_PARITY_ROWS]
    holes = rows.copy()
    holes[np.random.default_rng(0).random(rows.shape) < _HOLES] = np.nan
    rows = np.concatenate([rows, holes])
    expected = scores_of(weights, space.prepared(rows))
    found = OnnxScorer(scorer, where="exported scorer").score(rows)
    compared = score_differences(comparer, rows, rows[::-1].copy(), where="exported comparer")
    worst = {
        "score": float(np.abs(found - expected).max()),
        "score_diff": float(np.abs(compared - (expected - expected[::-1])).max()),
    }
    largest = float(np.abs(expected).max())
    allowed = PARITY_TOLERANCE * max(1.0, largest / LARGE_SCORE)
    if not max(worst.values()) <= allowed:
        raise RerankError(
            f"the exported network differs from torch by {max(worst.values()):.2g}, more than "
            f"{allowed:.2g}; nothing was written"
        )
    return Exported(scorer, comparer, {**worst, "tolerance": allowed, "largest_score": largest})


class OnnxScorer:
    """An exported network over raw rows (`rerank.rankers.inputs`).

    :param where: what messages name.
    :param threads: of the session; one listing's rows take less than waking more would.
    :raises ImportError: if onnxruntime is not installed.
    :raises ArtifactError: if the content is no graph that it runs.
    """

    def __init__(self, content: bytes, *, where: str, threads: int = 1) -> None:
        self._session: Any = open_session(
            content, where=where, remedy=PAIRWISE_REMEDY, threads=threads
        )

    def score(self, rows: Floats) -> Floats:
        """Return scores, shape (rows,); equal rows get equal scores."""
        if not len(rows):
            return np.zeros(0, np.float32)
        (scores,) = self._session.run([SCORE], {INPUT: np.ascontiguousarray(rows, np.float32)})
        return np.asarray(scores, np.float32)


def score_differences(content: bytes, a: Floats, b: Floats, *, where: str) -> Floats:
    """Run the graph that compares on pairs of raw rows; return score_diff, shape (pairs,).

    :raises ArtifactError: if the content is no graph that onnxruntime runs.
    """
    session = open_session(content, where=where, remedy=PAIRWISE_REMEDY)
    (found,) = session.run([SCORE_DIFF], {INPUT_A: a, INPUT_B: b})
    return np.asarray(found, np.float32)


Ints = NDArray[np.int64]

CLIP = 6.0  # standard deviations
HEADS = ("scores", "conflict_log_odds")
_DUAL_OPSET, _DUAL_IR_VERSION = 17, 8


class MemberOutputs(NamedTuple):
    """What each member says, both of shape (members, rows)."""

    scores: Floats
    conflict_log_odds: Floats


@dataclass(frozen=True, slots=True, eq=False)
class InputScaling:
    """How raw inputs become the network's.

    :param mean: shape (inputs,), of values that are there.
    :param scale: shape (inputs,), their standard deviation; 1 for a constant.
    :param indicated: numbers of the inputs that are missing in some training row: each gets an
        indicator, 1 where it is missing.
    """

    mean: Floats
    scale: Floats
    indicated: Ints

    @classmethod
    def fit(cls, inputs: Floats) -> InputScaling:
        """Take means and deviations of training rows; an input that is always missing is 0."""
        missing = np.isnan(inputs)
        counts = np.maximum((~missing).sum(axis=0), 1)
        filled = np.where(missing, 0.0, inputs).astype(np.float64)
        mean = filled.sum(axis=0) / counts
        variance = (np.where(missing, 0.0, filled - mean) ** 2).sum(axis=0) / counts
        scale = np.sqrt(variance)
        scale[scale < 1e-6 * np.maximum(1.0, np.abs(mean))] = 1.0
        return cls(
            mean.astype(np.float32),
            scale.astype(np.float32),
            np.flatnonzero(missing.any(axis=0)).astype(np.int64),
        )

    @property
    def width(self) -> int:
        """Numbers a scaled row has."""
        return len(self.mean) + len(self.indicated)

    def apply(self, inputs: Floats) -> Floats:
        """Return scaled rows, shape (rows, width)."""
        missing = np.isnan(inputs)
        scaled = np.where(missing, 0.0, (inputs - self.mean) / self.scale)
        indicators = missing[:, self.indicated]
        return np.column_stack([np.clip(scaled, -CLIP, CLIP), indicators]).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """Trained weights.

    :param layers: of each layer its weights, shape (members, in, out), and its biases, shape
        (members, 1, out); the last has the two heads.
    """

    scaling: InputScaling
    layers: Sequence[tuple[Floats, Floats]]

    def outputs(self, inputs: Floats) -> MemberOutputs:
        """Return what NumPy computes: slow, and what the exported graph is tested against."""
        values: NDArray[Any] = self.scaling.apply(inputs)[None]
        for number, (weights, biases) in enumerate(self.layers, 1):
            values = values @ weights + biases
            if number < len(self.layers):
                values = np.maximum(values, 0.0)
        return MemberOutputs(values[:, :, 0], values[:, :, 1])

    def to_onnx(self) -> bytes:
        """Return a graph: ``inputs`` of shape (rows, inputs) to the two `HEADS`."""
        from onnx import TensorProto, helper, numpy_helper

        constants = {
            "mean": self.scaling.mean,
            "scale": self.scaling.scale,
            "zero": np.zeros((), np.float32),
            "low": np.array(-CLIP, np.float32),
            "high": np.array(CLIP, np.float32),
            "indicated": self.scaling.indicated,
            "axis": np.array([0], np.int64),
            "score": np.array(0, np.int64),
            "conflict": np.array(1, np.int64),
        }
        nodes = [
            helper.make_node("IsNaN", ["inputs"], ["missing"]),
            helper.make_node("Sub", ["inputs", "mean"], ["centred"]),
            helper.make_node("Div", ["centred", "scale"], ["scaled"]),
            helper.make_node("Where", ["missing", "zero", "scaled"], ["filled"]),
            helper.make_node("Clip", ["filled", "low", "high"], ["held"]),
            helper.make_node("Cast", ["missing"], ["flags"], to=TensorProto.FLOAT),
            helper.make_node("Gather", ["flags", "indicated"], ["indicators"], axis=1),
            helper.make_node("Concat", ["held", "indicators"], ["row"], axis=1),
            helper.make_node("Unsqueeze", ["row", "axis"], ["layer0"]),
        ]
        for number, (weights, biases) in enumerate(self.layers, 1):
            constants |= {f"weights{number}": weights, f"biases{number}": biases}
            nodes += _layer(number, last=number == len(self.layers))
        nodes += [
            helper.make_node("Gather", [f"layer{len(self.layers)}", column], [head], axis=2)
            for column, head in zip(("score", "conflict"), HEADS, strict=True)
        ]
        members, width = len(self.layers[0][0]), len(self.scaling.mean)
        graph = helper.make_graph(
            nodes,
            "dual",
            [helper.make_tensor_value_info("inputs", TensorProto.FLOAT, [None, width])],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, [members, None]) for n in HEADS],
            [numpy_helper.from_array(np.array(v, order="C"), n) for n, v in constants.items()],
        )
        opsets = [helper.make_opsetid("", _DUAL_OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_DUAL_IR_VERSION)
        return bytes(model.SerializeToString())


def _layer(number: int, *, last: bool) -> list[Any]:
    """Return the nodes from one layer's values to the next's; the last has no ReLU."""
    from onnx import helper

    before, summed, after = f"layer{number - 1}", f"sum{number}", f"layer{number}"
    shifted = after if last else f"shifted{number}"
    nodes = [
        helper.make_node("MatMul", [before, f"weights{number}"], [summed]),
        helper.make_node("Add", [summed, f"biases{number}"], [shifted]),
    ]
    return nodes if last else [*nodes, helper.make_node("Relu", [shifted], [after])]


class OnnxEnsemble:
    """Serves an exported ensemble.

    :raises ArtifactError: if the content is no graph that onnxruntime runs.
    """

    def __init__(self, content: bytes, *, threads: int = 1) -> None:
        self._session: Any = open_session(
            content, where="exported ensemble", remedy="rerank train-dual", threads=threads
        )
        self._members = self._session.get_outputs()[0].shape[0]

    def outputs(self, inputs: Floats) -> MemberOutputs:
        """Return what each member says of rows of inputs, NaN where a value is missing."""
        if not len(inputs):
            empty = np.zeros((self._members, 0), np.float32)
            return MemberOutputs(empty, empty)
        rows = np.ascontiguousarray(inputs, np.float32)
        scores, log_odds = self._session.run(list(HEADS), {"inputs": rows})
        return MemberOutputs(np.asarray(scores), np.asarray(log_odds))


DUAL_PARITY_TOLERANCE = 1e-5
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
    if gap > DUAL_PARITY_TOLERANCE * largest:
        raise RerankError(
            f"the exported network differs from torch by {gap:.2g} at outputs of up to "
            f"{largest:.3g}; expected at most {DUAL_PARITY_TOLERANCE:g} of that"
        )
    return TrainedEnsemble(ensemble, onnx, losses)


PAIRWISE_REMEDY = "rerank train-pairwise"
