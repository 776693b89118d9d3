"""Opening exported graphs: from bytes and from files, and what is said of anything else."""

from __future__ import annotations

import numpy as np
import pytest

from rerank.index.artifacts import open_session
from rerank.index.errors import ArtifactError


def doubling_graph() -> bytes:
    from onnx import TensorProto, helper

    def values(name):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [None])

    nodes = [helper.make_node("Add", ["x", "x"], ["twice"])]
    graph = helper.make_graph(nodes, "doubling", [values("x")], [values("twice")])
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_a_graph_runs_from_its_content_and_from_its_file(tmp_path, threads):
    file = tmp_path / "doubling.onnx"
    file.write_bytes(doubling_graph())
    for graph in (doubling_graph(), file):
        session = open_session(graph, where="a graph", remedy="make it", threads=threads)
        (twice,) = session.run(None, {"x": np.array([1.0, -2.5], np.float32)})
        assert twice.tolist() == [2.0, -5.0]


def test_anything_else_is_an_artifact_error_that_says_where_and_what_to_run(tmp_path):
    expected = "^doubling: expected an ONNX graph, found .*; run `rerank train-ltr`$"
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(doubling_graph()[:30])
    for graph in (b"no graph", doubling_graph()[:30], cut, tmp_path / "missing.onnx"):
        with pytest.raises(ArtifactError, match=expected):
            open_session(graph, where="doubling", remedy="rerank train-ltr")
