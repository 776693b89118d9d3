"""Write a trained model as ONNX, and check that the graph scores as torch does."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

from rerank.cross_encoder.base_model import reads_token_types
from rerank.cross_encoder.quiet_libraries import quiet_libraries

PARITY = 1e-4
"""How far scores of the graph may be from those of torch."""

_OPSET = 17


def export_onnx(model: Any, path: Path) -> None:
    """Trace a plain model: token arrays of shape (pairs, tokens) to ``scores``, shape (pairs,)."""
    import torch

    names = ["input_ids", "attention_mask"]
    names += ["token_type_ids"] if reads_token_types(model) else []

    class Scores(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tokens: Any) -> Any:
            return self.model(**dict(zip(names, tokens, strict=True))).logits.squeeze(-1)

    ids = torch.ones(2, 7, dtype=torch.long)
    sample = {"input_ids": ids, "attention_mask": ids, "token_type_ids": torch.zeros_like(ids)}
    model.set_attn_implementation("eager")
    axes = {name: {0: "pairs", 1: "tokens"} for name in names} | {"scores": {0: "pairs"}}
    with quiet_libraries(), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing warns of every shape it reads
        torch.onnx.export(
            Scores().eval(),
            tuple(sample[name] for name in names),
            str(path),
            input_names=names,
            output_names=["scores"],
            opset_version=_OPSET,
            dynamo=False,
            dynamic_axes=axes,
        )


def quantise_graph(source: Path, target: Path) -> None:
    """Write a graph with weights of 8 bits; activations are quantised as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)  # it advises on its own preprocessing
    try:
        quantize_dynamic(str(source), str(target), weight_type=QuantType.QInt8, per_channel=True)
    finally:
        root.setLevel(before)
