"""Open exported graphs. The only place that imports ONNX Runtime to run one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from index.errors import ArtifactError


def open_session(graph: bytes | Path, *, where: str, remedy: str, threads: int = 1) -> Any:
    """Return an `onnxruntime.InferenceSession` on the processor.

    :param graph: its content, or its file.
    :param where: what messages name.
    :param remedy: the command that makes it anew, for messages.
    :param threads: of the session; 0 for one on each core. A few rows take less time than waking
        more than one does.
    :raises ImportError: if onnxruntime is not installed.
    :raises ArtifactError: if it is no graph that onnxruntime runs.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Threads that spin while they wait make it many times slower where cores are shared.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source = graph if isinstance(graph, bytes) else str(graph)
    try:
        return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # its own classes, which share no other base
        raise ArtifactError(
            f"{where}: expected an ONNX graph, found something onnxruntime does not run "
            f"({str(exc)[:200]}); run `{remedy}`"
        ) from exc
