"""Save a trained cross-encoder as a folder that is served without torch, and open it again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.artifacts import read_manifest, write_manifest, writing_folder
from index.errors import ArtifactError, MismatchError
from rerank.cross_encoder.adapter import load_adapter, merged, save_adapter
from rerank.cross_encoder.base_model import dequantised, load_base
from rerank.cross_encoder.export import PARITY, export_onnx, quantise_graph
from rerank.cross_encoder.layout import FORMAT_VERSION, KIND, LAYOUT, REMEDY
from rerank.cross_encoder.model_source import weights_fingerprint
from rerank.cross_encoder.pack_sets import PackSets
from rerank.cross_encoder.pair_encoding import PairEncoder, TextPair
from rerank.cross_encoder.scorer import graph_scores, open_graph
from rerank.cross_encoder.settings import CrossEncoderSettings
from rerank.cross_encoder.settings_reading import settings_of
from rerank.cross_encoder.torch_scorer import TorchScorer
from rerank.cross_encoder.training import Trained

_LIBRARIES = (
    "torch",
    "transformers",
    "peft",
    "bitsandbytes",
    "tokenizers",
    "onnx",
    "onnxruntime",
    "numpy",
)
_COMPARED_PAIRS = 128


@dataclass(frozen=True, slots=True)
class Saved:
    """What was written.

    :param parity: the largest difference between scores of the graph and of torch.
    :param int8_difference: the same of the graph of 8 bits; None if there is none.
    """

    version: str
    parity: float
    int8_difference: float | None


def save_trained(
    trained: Trained,
    base_folder: Path,
    sets: PackSets,
    settings: CrossEncoderSettings,
    folder: Path,
    *,
    seconds: float | None = None,
) -> Saved:
    """Write adapter, head, merged graph and what was measured; the folder appears when complete.

    :param seconds: that training took; None if it was stopped and went on.
    :raises ArtifactError: if the graph does not score as torch does.
    """
    import torch

    pairs = _compared(sets)
    expected = trained.learner.scorer.score(pairs)
    with writing_folder(folder) as draft:
        save_adapter(trained.learner.scorer.model, draft / LAYOUT.adapter)
        tokenizer_json = trained.encoder.tokenizer_json
        (draft / LAYOUT.tokenizer).write_text(tokenizer_json, encoding="utf-8")
        history = json.dumps(trained.history, indent=1) + "\n"
        (draft / LAYOUT.history).write_text(history, encoding="utf-8")
        export_onnx(
            plain_model(base_folder, draft / LAYOUT.adapter, settings), draft / LAYOUT.graph
        )
        parity = _difference(draft / LAYOUT.graph, trained.encoder, pairs, expected)
        if parity > PARITY:
            raise ArtifactError(
                f"the exported graph's scores differ from torch's by up to {parity:.2g}, more "
                f"than {PARITY:g}; nothing was saved"
            )
        int8_difference = None
        if settings.export.int8:
            quantise_graph(draft / LAYOUT.graph, draft / LAYOUT.int8_graph)
            int8_difference = _difference(
                draft / LAYOUT.int8_graph, trained.encoder, pairs, expected
            )
        manifest = write_manifest(
            draft,
            kind=KIND,
            format_version=FORMAT_VERSION,
            libraries=_LIBRARIES,
            seconds=seconds,
            parameters={
                **trained.identity,
                "settings": asdict(settings),
                "encoding": trained.encoder.parameters(),
                "seed": settings.seed,
                "queries": {"train": len(sets.train), "valid": len(sets.valid)},
                "steps": trained.steps,
                "best_step": trained.best_step,
                "validation": asdict(trained.best),
                "threads": torch.get_num_threads(),
                "parity": parity,
                "int8_difference": int8_difference,
            },
        )
    return Saved(manifest.fingerprint, parity, int8_difference)


def open_trained(folder: Path, base_folder: Path) -> TorchScorer:
    """Open a saved adapter on its base model, quantised as in training; it scores the same.

    :raises ArtifactError: if the folder is missing or damaged.
    :raises MismatchError: if the base model has other weights than the one it was trained on.
    """
    manifest = read_manifest(folder, kind=KIND, format_version=FORMAT_VERSION, remedy=REMEDY)
    expected, found = manifest.parameters["base_weights"], weights_fingerprint(base_folder)
    if expected != found:
        raise MismatchError(
            f"{folder}: trained on {manifest.parameters['settings']['model']['name']} with weights "
            f"{expected}, but {base_folder} has {found}; give the model it was trained on"
        )
    settings = settings_of(manifest.parameters["settings"], name=f"{folder}: settings")
    base = load_base(base_folder, quantization=settings.quantization, seed=settings.seed)
    model = load_adapter(base, folder / LAYOUT.adapter)
    tokenizer_json = (folder / LAYOUT.tokenizer).read_text(encoding="utf-8")
    encoder = PairEncoder(tokenizer_json, **manifest.parameters["encoding"])
    return TorchScorer(model, encoder)


def plain_model(base_folder: Path, adapter: Path, settings: CrossEncoderSettings) -> Any:
    """Return base, saved adapter and head merged into one model in fp32.

    A quantised base gets back the values that its 4 bits stand for, which the adapter was trained
    beside; merging into the 4 bits would round the adapter away.
    """
    base = load_base(base_folder, quantization=settings.quantization, seed=settings.seed)
    if settings.quantization == "nf4":
        base = dequantised(base)
    return merged(load_adapter(base, adapter))


def _compared(sets: PackSets) -> list[TextPair]:
    pairs = [
        TextPair(pack.query_text, item.text)
        for pack in (*sets.valid, *sets.train)
        for item in (*pack.positives, *pack.negatives)
    ]
    return pairs[:_COMPARED_PAIRS]


def _difference(
    graph: Path, encoder: PairEncoder, pairs: Sequence[TextPair], expected: NDArray[np.float32]
) -> float:
    found = graph_scores(open_graph(graph), encoder, pairs)
    return float(np.abs(found - expected).max(initial=0.0))
