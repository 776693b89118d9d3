"""Texts of query and document as the tokens a cross-encoder reads; the same in training and
serving, by the `tokenizers` library alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.errors import InputError

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
