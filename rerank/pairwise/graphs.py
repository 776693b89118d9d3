"""A pairwise network as ONNX graphs that take raw rows: `rerank.pairwise.feature_space`.

The graphs are written out by hand, a dozen nodes: they prepare a row (standardise it, put the mean
where something is missing, say what is missing) and score it, so that who runs them needs nothing
but numbers, with NaN for what is not known.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.pairwise.feature_space import MOST_DEVIATIONS, FeatureSpace
from rerank.pairwise.network import LAYERS, Weights

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
