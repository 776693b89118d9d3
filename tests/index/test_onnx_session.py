"""Opening exported graphs: from bytes and from files, and what is said of anything else."""

from __future__ import annotations

import numpy as np
import pytest

from rerank.index.artifacts import open_session
from rerank.index.errors import ArtifactError


def doubling_graph(times: int = 1) -> bytes:
    """Return a graph of ``x`` that gives x + x, ``times`` over."""
    from onnx import TensorProto, helper

    def values(name):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [None])

    repeats = helper.make_tensor("repeats", TensorProto.INT64, [1], [times])
    nodes = [
        helper.make_node("Tile", ["x", "repeats"], ["tiled"]),
        helper.make_node("Add", ["tiled", "tiled"], ["twice"]),
    ]
    inputs, outputs = [values("x")], [values("twice")]
    graph = helper.make_graph(nodes, "doubling", inputs, outputs, [repeats])
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_a_graph_runs_from_its_content_and_from_its_file(tmp_path, threads):
    file = tmp_path / "doubling.onnx"
    file.write_bytes(doubling_graph())
    for graph in (doubling_graph(), file):
        session = open_session(graph, where="a graph", remedy="make it", threads=threads)
        (twice,) = session.run({"x": np.array([1.0, -2.5], np.float32)})
        assert twice.tolist() == [2.0, -5.0]


def test_anything_else_is_an_artifact_error_that_says_where_and_what_to_run(tmp_path):
    expected = "^doubling: expected an ONNX graph, found .*; run `rerank train-ltr`$"
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(doubling_graph()[:30])
    for graph in (b"no graph", doubling_graph()[:30], cut, tmp_path / "missing.onnx"):
        with pytest.raises(ArtifactError, match=expected):
            open_session(graph, where="doubling", remedy="rerank train-ltr")


def test_a_graph_that_would_take_more_memory_than_is_allowed_is_refused_and_runs_on(monkeypatch):
    graph = open_session(doubling_graph(2_000_000_000), where="g", remedy="rerank train-ltr")
    with pytest.raises(ArtifactError, match=r"^g: expected .*memory|^g: expected .*bytes"):
        graph.run({"x": np.ones(1, np.float32)})
    small = open_session(doubling_graph(2), where="g", remedy="rerank train-ltr")
    assert small.run({"x": np.ones(1, np.float32)})[0].tolist() == [2.0, 2.0]


@pytest.mark.parametrize(
    ("names", "outputs", "width"), [(2, 1, None), (1, 2, None), (["y"], 1, None), (1, 1, 7)]
)
def test_a_graph_of_other_inputs_or_outputs_is_refused(names, outputs, width):
    graph = open_session(doubling_graph(), where="g", remedy="rerank train-ltr")
    graph.expect(1, outputs=1)
    graph.expect(["x", "z"], outputs=1)
    with pytest.raises(
        ArtifactError, match=r"^g: expected a graph with .* found inputs x of shape"
    ):
        graph.expect(names, outputs, width)
