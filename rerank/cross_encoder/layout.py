"""The folder of a trained cross-encoder: what its files are called."""

from __future__ import annotations

from dataclasses import dataclass

KIND = "cross-encoder"
FORMAT_VERSION = 1
REMEDY = "rerank train-cross-encoder"


@dataclass(frozen=True, slots=True)
class Layout:
    """Files of the folder, beside its manifest.

    :param adapter: a folder that peft reads: adapters and head.
    :param graph: base, adapters and head merged: tokens to scores.
    :param int8_graph: the same with weights of 8 bits, if it was asked for.
    :param history: a JSON entry for each validation.
    """

    adapter: str = "adapter"
    tokenizer: str = "tokenizer.json"
    graph: str = "model.onnx"
    int8_graph: str = "model_int8.onnx"
    history: str = "history.json"


LAYOUT = Layout()
