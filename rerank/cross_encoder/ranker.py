"""The cross-encoder as a ranker: each listing's text beside each candidate's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rerank.index.artifacts import (
    Manifest,
    OnnxGraph,
    check_values,
    open_session,
    read_manifest,
    read_text,
    reading,
)
from rerank.index.errors import ArtifactError, InputError
from rerank.index.records import GpuRecord, Listing
from rerank.index.text import normalise, spaced, written_size
from rerank.ranking import RankingBatch

Floats = NDArray[np.float32]


class CrossEncoderRanker:
    """Scores candidates by their texts alone; reads no features."""

    def __init__(self, scorer: CrossEncoderScorer) -> None:
        self._scorer = scorer

    def score(self, batch: RankingBatch) -> Floats:
        listing, record = batch.candidates.listing, batch.candidates.record
        if not len(record):
            return np.zeros(0, np.float32)
        queries = {at: query_text(batch.listings[at]) for at in np.unique(listing).tolist()}
        documents = {at: gpu_text(batch.table.records[at]) for at in np.unique(record).tolist()}
        pairs = [
            TextPair(queries[at], documents[number])
            for at, number in zip(listing.tolist(), record.tolist(), strict=True)
        ]
        return self._scorer.score(pairs)


_BATCH = 64
_TOKEN_ARRAYS = ("input_ids", "attention_mask", "token_type_ids")
_LONGEST = 4096  # tokens


class CrossEncoderScorer:
    """Scores pairs of texts. Make one with `load`."""

    def __init__(self, graph: OnnxGraph, encoder: PairEncoder, manifest: Manifest) -> None:
        self._graph, self._encoder, self._manifest = graph, encoder, manifest

    @classmethod
    def load(cls, folder: Path, *, int8: bool = False, threads: int = 0) -> CrossEncoderScorer:
        """Load a folder that `rerank train-cross-encoder` wrote.

        :param int8: serve the graph with weights of 8 bits.
        :param threads: of ONNX Runtime; 0 for one on each core.
        :raises ArtifactError: if it is missing or damaged, or has no such graph.
        """
        manifest = read_manifest(
            folder,
            kind=CROSS_ENCODER_KIND,
            format_version=CROSS_ENCODER_FORMAT,
            remedy=CROSS_ENCODER_REMEDY,
        )
        graph = LAYOUT.int8_graph if int8 else LAYOUT.graph
        for name in (graph, LAYOUT.tokenizer):
            if name not in manifest.files:
                hint = " with `export: {int8: true}`" if int8 else ""
                raise ArtifactError(f"{folder}: lacks {name}; run `{CROSS_ENCODER_REMEDY}`{hint}")
        found = open_graph(folder / graph, threads=threads)
        with reading(folder, "a cross-encoder", CROSS_ENCODER_REMEDY):
            tokenizer_json = read_text(folder / LAYOUT.tokenizer)
            encoding = manifest.parameters["encoding"]
            check_values(encoding, dict.fromkeys(encoding, int))
            encoder = PairEncoder(tokenizer_json, **encoding)
            tried = graph_scores(found, encoder, [TextPair("a", "b"), TextPair("a b", "a b")])
            if not np.isfinite(tried).all():
                raise ValueError("its scores are no numbers")
        return cls(found, encoder, manifest)

    @property
    def version(self) -> str:
        """The identity of the model that scores."""
        return self._manifest.fingerprint

    @property
    def manifest(self) -> Manifest:
        """What the folder says of itself."""
        return self._manifest

    def score(self, pairs: Sequence[TextPair]) -> Floats:
        """Return a score for each pair, shape (pairs,): the higher, the better it fits the query.

        Scores of one query can be compared, others cannot. Equal pairs are scored once.
        """
        distinct = list(dict.fromkeys(pairs))
        found = graph_scores(self._graph, self._encoder, distinct)
        place = {pair: at for at, pair in enumerate(distinct)}
        return found[[place[pair] for pair in pairs]]


def open_graph(path: Path, *, threads: int = 0) -> OnnxGraph:
    """Open an exported graph.

    :param threads: of ONNX Runtime; 0 for one on each core.
    :raises ArtifactError: if it is none.
    """
    graph = open_session(path, where=str(path), remedy=CROSS_ENCODER_REMEDY, threads=threads)
    graph.expect(_TOKEN_ARRAYS, outputs=1)
    return graph


def graph_scores(graph: OnnxGraph, encoder: PairEncoder, pairs: Sequence[TextPair]) -> Floats:
    """Score pairs with an open graph, shape (pairs,)."""

    def score(some: Sequence[TextPair]) -> Floats:
        feed = {name: array for name, array in encoder.encode(some).items() if name in graph.inputs}
        return np.asarray(graph.run(feed)[0], np.float32).reshape(len(some))

    return scored_by_length(pairs, score)


def scored_by_length(
    pairs: Sequence[TextPair], score: Callable[[Sequence[TextPair]], Floats]
) -> Floats:
    """Score pairs some at a time, those of like length together; shape (pairs,)."""
    order = sorted(range(len(pairs)), key=lambda at: sum(map(len, pairs[at])))
    found = np.zeros(len(pairs), np.float32)
    for start in range(0, len(pairs), _BATCH):
        rows = order[start : start + _BATCH]
        found[rows] = score([pairs[row] for row in rows])
    return found


Ints = NDArray[np.int64]


class TextPair(NamedTuple):
    """A query and a document."""

    query: str
    document: str


class PairEncoder:
    """Encodes pairs with the settings a model was trained with.

    :param tokenizer_json: the content of a ``tokenizer.json``.
    :param pair_tokens: query, document and special tokens; the end of the longer one is cut.
    :param query_tokens: what is read of a query at most.
    :param pad_id: the number of the token that fills up shorter pairs.
    """

    def __init__(
        self, tokenizer_json: str, *, pair_tokens: int, query_tokens: int, pad_id: int
    ) -> None:
        from tokenizers import Tokenizer

        self._tokenizer: Any = Tokenizer.from_str(tokenizer_json)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(pair_tokens, strategy="longest_first")
        self._queries: Any = Tokenizer.from_str(tokenizer_json)
        self._queries.no_padding()
        self._queries.no_truncation()
        if not (0 < query_tokens <= _LONGEST and 3 < pair_tokens <= _LONGEST and pad_id >= 0):
            raise InputError(
                f"expected at most {_LONGEST} tokens of a pair and of a query, got {pair_tokens} "
                f"and {query_tokens}, padded with {pad_id}"
            )
        self._pair_tokens, self._query_tokens, self._pad_id = pair_tokens, query_tokens, pad_id
        self.tokenizer_json = tokenizer_json

    def parameters(self) -> dict[str, int]:
        """Return what, beside the tokenizer, makes an encoder that encodes the same."""
        return {
            "pair_tokens": self._pair_tokens,
            "query_tokens": self._query_tokens,
            "pad_id": self._pad_id,
        }

    def encode(self, pairs: Sequence[TextPair]) -> Mapping[str, Ints]:
        """Return ``input_ids``, ``attention_mask`` and ``token_type_ids``, shape (pairs, longest).

        :raises InputError: if there are no pairs.
        """
        if not pairs:
            raise InputError("expected at least one pair to encode, got none")
        queries = self._cut({pair.query for pair in pairs})
        encoded = self._tokenizer.encode_batch([(queries[p.query], p.document) for p in pairs])
        longest = max(len(entry.ids) for entry in encoded)
        shape = (len(pairs), longest)
        ids, mask = np.full(shape, self._pad_id, np.int64), np.zeros(shape, np.int64)
        types = np.zeros(shape, np.int64)
        for row, entry in enumerate(encoded):
            ids[row, : len(entry.ids)] = entry.ids
            types[row, : len(entry.ids)] = entry.type_ids
            mask[row, : len(entry.ids)] = 1
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}

    def _cut(self, queries: set[str]) -> dict[str, str]:
        """Return queries without what stands behind their last token that is read."""
        cut = {}
        for query in queries:
            offsets = self._queries.encode(query, add_special_tokens=False).offsets
            long = len(offsets) > self._query_tokens
            cut[query] = query[: offsets[self._query_tokens - 1][1]] if long else query
        return cut


_DESCRIPTION_CHARS = 120  # behind them stand terms of sale
_ALIASES = 2


def query_text(listing: Listing) -> str:
    """Return a listing as a query: title, vendor and the start of the description.

    Letters and digits stand apart, as in what the index embeds: a transformer's vocabulary does
    not know ``rtx4060ti``. The vendor is left out where the title names it.
    """
    title, vendor = normalise(listing.title), normalise(listing.vendor)
    if vendor and vendor.split(" ")[0] in title:
        vendor = ""
    extra = normalise(listing.description)[:_DESCRIPTION_CHARS] if listing.description else ""
    return spaced(f"{title} {vendor} {extra}")


@lru_cache(maxsize=16384)
def gpu_text(record: GpuRecord) -> str:
    """Return a GPU as a document: chip vendor, model, memory, form factor and aliases."""
    parts = (
        record.vendor,
        record.model,
        written_size(record.memory_gb),
        record.memory_type,
        record.form_factor,
        *record.aliases[:_ALIASES],
    )
    return spaced(normalise(" ".join(parts)))


CROSS_ENCODER_KIND = "cross-encoder"
CROSS_ENCODER_FORMAT = 1
CROSS_ENCODER_REMEDY = "rerank train-cross-encoder"


@dataclass(frozen=True, slots=True)
class CrossEncoderLayout:
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


LAYOUT = CrossEncoderLayout()
