"""Embedders of sentence-transformers: run by torch, or exported to ONNX and served without it."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.index.artifacts import (
    open_session,
    read_json,
    read_regular,
    read_text,
    reading,
    silence_libraries,
    write_json,
    writing_folder,
)
from rerank.index.embedder import unit_rows
from rerank.index.errors import ArtifactError, InputError

Vectors = NDArray[np.float32]

_BATCH = 64
_DEFAULT_LONGEST = 256  # tokens; what all-MiniLM-L6-v2 reads
_ONNX, _TOKENIZER, _SETTINGS = "onnx/model.onnx", "tokenizer.json", "sentence_bert_config.json"
_POOLING = "1_Pooling/config.json"
_OPSET = 17
_TOKEN_ARRAYS = ("input_ids", "attention_mask", "token_type_ids")
_EXPORT = "rerank build-index --embedder NAME --backend onnx"


class SentenceTransformerEmbedder:
    """Any sentence-transformers model, run by torch on the CPU."""

    def __init__(self, model: Any, *, name: str) -> None:
        self._model, self.name = model, name
        self.dimension = int(model.get_embedding_dimension())
        weights = sorted(model.state_dict().items())
        self.fingerprint = _digest(
            part
            for key, tensor in weights
            for part in (key.encode(), tensor.detach().numpy().tobytes())
        )

    @classmethod
    def load(cls, source: str, *, name: str | None = None) -> SentenceTransformerEmbedder:
        """Load a model by folder or name.

        :raises InputError: if sentence-transformers cannot find or read it.
        """
        return cls(_sentence_transformer(source), name=name or source)

    def encode(self, texts: Sequence[str]) -> Vectors:
        if not len(texts):
            return np.zeros((0, self.dimension), np.float32)
        vectors = self._model.encode(
            list(texts), batch_size=_BATCH, convert_to_numpy=True, show_progress_bar=False
        )
        return unit_rows(_without_blanks(np.asarray(vectors, np.float32), texts))


class OnnxEmbedder:
    """An exported transformer, run by ONNX Runtime: mean or first-token pooling, unit length."""

    def __init__(self, folder: Path, pooling: str, *, name: str) -> None:
        from tokenizers import Tokenizer

        self.name, self._pooling = name, pooling
        self._tokenizer = Tokenizer.from_str(read_text(folder / _TOKENIZER))
        self._tokenizer.enable_padding()
        self._tokenizer.enable_truncation(_longest(folder))
        where = str(folder / _ONNX)
        self._graph = open_session(folder / _ONNX, where=where, remedy=_EXPORT, threads=0)
        self._graph.expect(_TOKEN_ARRAYS, outputs=len(self._graph.outputs) or 1)
        self.dimension = int(self._graph.outputs[0].shape[-1])
        self.fingerprint = _digest(
            [
                read_regular(folder / _ONNX),
                read_regular(folder / _TOKENIZER),
                self._pooling.encode(),
            ]
        )

    @classmethod
    def load(cls, folder: Path, *, name: str | None = None) -> OnnxEmbedder:
        """Load a folder with ``tokenizer.json`` and ``onnx/model.onnx``.

        :raises ArtifactError: if one of them is missing or unreadable.
        """
        missing = [file for file in (_TOKENIZER, _ONNX) if not (folder / file).is_file()]
        if missing:
            raise ArtifactError(
                f"{folder}: expected {_TOKENIZER} and {_ONNX}, missing {', '.join(missing)}; "
                f"export the model with `{_EXPORT}`"
            )
        pooling = _pooling(folder)
        with reading(folder, "an ONNX embedder", _EXPORT):
            return cls(folder, pooling, name=name or str(folder))

    def encode(self, texts: Sequence[str]) -> Vectors:
        out = np.zeros((len(texts), self.dimension), np.float32)
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))  # little padding
        for start in range(0, len(texts), _BATCH):
            rows = order[start : start + _BATCH]
            out[rows] = self._encode_batch([texts[row] for row in rows])
        return unit_rows(_without_blanks(out, texts))

    def _encode_batch(self, texts: Sequence[str]) -> Vectors:
        encoded = self._tokenizer.encode_batch(list(texts))
        mask = np.array([entry.attention_mask for entry in encoded], np.int64)
        feed = {
            "input_ids": np.array([entry.ids for entry in encoded], np.int64),
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(mask),
        }
        used = {name: value for name, value in feed.items() if name in self._graph.inputs}
        hidden = np.asarray(self._graph.run(used)[0], np.float32)
        if self._pooling == "cls":
            return np.asarray(hidden[:, 0])
        weights = mask[:, :, None].astype(np.float32)
        return np.asarray((hidden * weights).sum(axis=1) / weights.sum(axis=1))


def export_onnx(source: str, folder: Path) -> Path:
    """Export a sentence-transformers model to a folder that `OnnxEmbedder` serves.

    :param source: folder or name of a model made of a transformer and mean or first-token pooling.
    :raises InputError: if it cannot be found, read or exported.
    """
    model = _sentence_transformer(source)
    transformer = getattr(model[0], "auto_model", None)
    if transformer is None or not hasattr(model.tokenizer, "backend_tokenizer"):
        raise InputError(
            f"embedder {source}: expected a transformer with a fast tokenizer, found "
            f"{type(model[0]).__name__}; use `--backend torch`"
        )
    with writing_folder(folder) as draft:
        (draft / _ONNX).parent.mkdir()
        (draft / _POOLING).parent.mkdir()
        model.tokenizer.backend_tokenizer.save(str(draft / _TOKENIZER))
        write_json({"max_seq_length": model.max_seq_length}, draft / _SETTINGS)
        write_json(model[1].get_config_dict(), draft / _POOLING)
        _pooling(draft)
        _export(transformer, draft / _ONNX)
    return folder


def _export(transformer: Any, path: Path) -> None:
    """Trace a transformer: (input_ids, attention_mask) -> last_hidden_state, of any shape."""
    import torch

    class LastHiddenState(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.transformer = transformer

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            found = self.transformer(input_ids=input_ids, attention_mask=attention_mask)
            return found.last_hidden_state

    names, output = ["input_ids", "attention_mask"], "last_hidden_state"
    ids = torch.ones(2, 7, dtype=torch.long)
    transformer.set_attn_implementation("eager")
    # Traced, though torch deprecates it: the newer export needs onnxscript, takes seconds a graph
    # and writes another one, which would give each embedder another fingerprint.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of every shape it reads
        torch.onnx.export(
            LastHiddenState().eval(),
            (ids, torch.ones_like(ids)),
            str(path),
            input_names=names,
            output_names=[output],
            opset_version=_OPSET,
            dynamo=False,
            dynamic_axes={name: {0: "batch", 1: "tokens"} for name in (*names, output)},
        )


def _sentence_transformer(source: str) -> Any:
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    silence_libraries()
    from sentence_transformers import SentenceTransformer

    try:
        return SentenceTransformer(source, device="cpu")
    except (OSError, ValueError, KeyError, RuntimeError) as exc:
        reason = (str(exc).splitlines() or [type(exc).__name__])[0]
        raise InputError(
            f"embedder {source!r}: expected the folder or name of a sentence-transformers model; "
            f"loading it failed ({reason})"
        ) from exc


def _pooling(folder: Path) -> str:
    path = folder / _POOLING
    if not path.is_file():
        return "mean"
    content = read_json(path)
    mode = content.get("pooling_mode")
    modes = {
        "mean": mode == "mean" or content.get("pooling_mode_mean_tokens"),
        "cls": mode == "cls" or content.get("pooling_mode_cls_token"),
    }
    for name, chosen in modes.items():
        if chosen:
            return name
    raise InputError(f"{path}: expected mean or cls pooling, found {content}; use torch instead")


def _longest(folder: Path) -> int:
    path = folder / _SETTINGS
    if not path.is_file():
        return _DEFAULT_LONGEST
    return int(read_json(path).get("max_seq_length", _DEFAULT_LONGEST))


def _without_blanks(vectors: Vectors, texts: Sequence[str]) -> Vectors:
    """Zero the rows of texts without tokens, which a transformer would give its [CLS] vector."""
    blank = [at for at, text in enumerate(texts) if not text.strip()]
    vectors[blank] = 0
    return vectors


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:16]
