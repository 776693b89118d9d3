"""Embedders: the texts that stand for listings and GPUs, turned into unit vectors.

The default is a token table, which needs only numpy and a tokenizer; the pieces of words that such
a table has vectors of are chosen here too.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rerank.index.artifacts import read_manifest, write_manifest, writing_folder

EMBEDDER_FORMAT = 1
_EMBEDDER_REMEDY = "rerank train-embedder"
_TABLE, _TOKENIZER = "embeddings.safetensors", "tokenizer.json"
_LONGEST = 128  # tokens of one text that count; titles have 10-40
_CHUNK = 8192


class Embedder(Protocol):
    """What the index needs of an embedder."""

    @property
    def name(self) -> str:
        """A name for people: a folder or a model name."""

    @property
    def fingerprint(self) -> str:
        """An identity that changes whenever the vectors would."""

    @property
    def dimension(self) -> int:
        """Length of each vector."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors of shape (texts, dimension); a text without tokens gives zeros."""


class StaticEmbedder:
    """A token table: a text's vector is the normalised mean of its tokens' vectors.

    Trained by `rerank.index.embedder_training`; served with the `tokenizers` library and numpy
    alone.
    """

    def __init__(
        self, table: NDArray[np.float32], tokenizer_json: str, *, name: str, fingerprint: str
    ) -> None:
        from tokenizers import Tokenizer

        self._table = table
        self._tokenizer = Tokenizer.from_str(tokenizer_json)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(_LONGEST)
        self.name, self.fingerprint, self.dimension = name, fingerprint, int(table.shape[1])

    @classmethod
    def load(cls, folder: Path, *, name: str | None = None) -> StaticEmbedder:
        """Load an embedder folder.

        :param name: what to call it; by default the folder's name.
        :raises ArtifactError: if the folder is missing or damaged.
        """
        from safetensors.numpy import load_file

        manifest = read_manifest(
            folder, kind="embedder", format_version=EMBEDDER_FORMAT, remedy=_EMBEDDER_REMEDY
        )
        table = load_file(folder / _TABLE)["embeddings"].astype(np.float32)
        text = (folder / _TOKENIZER).read_text(encoding="utf-8")
        return cls(table, text, name=name or folder.name, fingerprint=manifest.fingerprint)

    @property
    def words(self) -> frozenset[str]:
        """Words with a token of their own; others are spelt out of pieces."""
        vocabulary = self._tokenizer.get_vocab()
        return frozenset(token for token in vocabulary if not token.startswith(CONTINUATION))

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        out = np.zeros((len(texts), self.dimension), np.float32)
        for start in range(0, len(texts), _CHUNK):
            chunk = list(texts[start : start + _CHUNK])
            encoded = self._tokenizer.encode_batch_fast(chunk, add_special_tokens=False)
            out[start : start + _CHUNK] = self._sums([encoding.ids for encoding in encoded])
        return unit_rows(out)

    def _sums(self, ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Return the sum of each text's token vectors.

        All first tokens are added at once, then all second ones: 15 times as fast as `reduceat`
        over all rows, and each sum has the order of its text, whatever the batch.
        """
        counts = np.fromiter(map(len, ids), np.int64, len(ids))
        flat = np.fromiter(chain.from_iterable(ids), np.int64, counts.sum())
        longest_first = np.argsort(-counts, kind="stable")
        starts = (np.cumsum(counts) - counts)[longest_first]
        sums = np.zeros((len(ids), self.dimension), np.float32)
        for at in range(counts.max(initial=0)):
            n = np.count_nonzero(counts > at)
            sums[:n] += self._table[flat[starts[:n] + at]]
        out = np.empty_like(sums)
        out[longest_first] = sums
        return out


class HashEmbedder:
    """An embedder without training: hashed character trigrams. For tests and first experiments."""

    def __init__(self, dimension: int = 256) -> None:
        self.name = self.fingerprint = f"hash-{dimension}"
        self.dimension = dimension

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        out = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in enumerate(texts):
            padded = f" {text} "
            for at in range(len(padded) - 2):
                digest = hashlib.blake2b(padded[at : at + 3].encode(), digest_size=8).digest()
                value = int.from_bytes(digest, "little")
                out[row, value % self.dimension] += 1.0 if value >> 63 else -1.0
        return unit_rows(out)


def save_static_embedder(
    table: NDArray[np.float32], tokenizer_json: str, folder: Path, parameters: dict[str, object]
) -> None:
    """Write an embedder folder; the table is stored as float16, half the size at equal recall."""
    from safetensors.numpy import save_file

    with writing_folder(folder) as draft:
        save_file({"embeddings": table.astype(np.float16)}, draft / _TABLE)
        (draft / _TOKENIZER).write_text(tokenizer_json, encoding="utf-8")
        write_manifest(
            draft,
            kind="embedder",
            format_version=EMBEDDER_FORMAT,
            parameters=parameters,
            libraries=("sentence-transformers", "torch", "tokenizers"),
        )


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale each row to length 1; rows of zeros stay zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms == 0, 1, norms), np.float32)


UNKNOWN = "[UNK]"
CONTINUATION = "##"  # opens a piece that does not begin its word
_LEAST_COUNT = 2  # a piece seen once teaches nothing


def wordpiece_vocabulary(corpus: Sequence[str], size: int) -> list[str]:
    """Return about ``size`` pieces of the words of a corpus: the unknown one first, then by name.

    In: every character, at the start of a word and inside it, so that no word of known
    characters is unknown, even where ``size`` is too small for them; then the most frequent
    words; then the most frequent beginnings and endings of words. Of equally frequent ones the
    first by name.
    """
    words = Counter(word for text in corpus for word in text.split())
    alphabet = sorted({letter for word in words for letter in word})
    letters = [*alphabet, *(CONTINUATION + letter for letter in alphabet)]
    ranked = dict.fromkeys([*letters, *_frequent(words), *_frequent(_pieces(words))])
    kept = list(ranked)[: max(size - 1, len(letters))]
    return [UNKNOWN, *sorted(kept)]


def _pieces(words: Counter[str]) -> Counter[str]:
    """Count beginnings and endings of words."""
    pieces: Counter[str] = Counter()
    for word, count in words.items():
        for cut in range(1, len(word)):
            pieces[word[:cut]] += count
            pieces[CONTINUATION + word[cut:]] += count
    return pieces


def _frequent(counts: Counter[str]) -> list[str]:
    known = [piece for piece, count in counts.items() if count >= _LEAST_COUNT]
    return sorted(known, key=lambda piece: (-counts[piece], piece))
