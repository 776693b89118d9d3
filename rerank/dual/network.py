"""The ensemble of small networks: its weights, its ONNX graph, and serving it. No torch.

A row's inputs are standardised, missing ones set to the mean with an indicator beside them, and
all held to 6 standard deviations. Each member then has its own layers with ReLU between them and
two heads: a ranking score and the log-odds of a conflict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.onnx_session import open_session

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

CLIP = 6.0  # standard deviations
HEADS = ("scores", "conflict_log_odds")
_OPSET, _IR_VERSION = 17, 8


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
        opsets = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
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
