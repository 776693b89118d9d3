"""Embedders: the texts that stand for listings and GPUs, turned into unit vectors.

The default is a token table, which needs only numpy and a tokenizer; the pieces of words that such
a table has vectors of are chosen here too.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from itertools import chain, islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rerank.index.artifacts import (
    read_manifest,
    read_text,
    reading,
    write_manifest,
    writing_folder,
)

if TYPE_CHECKING:
    from tokenizers import Tokenizer

EMBEDDER_FORMAT = 1
_EMBEDDER_REMEDY = "rerank train-embedder"
_TABLE, _TOKENIZER = "embeddings.safetensors", "tokenizer.json"
_LONGEST = 128  # tokens of one text that count; titles have 10-40
_CHUNK = 512  # texts summed at once: their sums stay in a core's cache
_MOST_WORDS = 16_384  # remembered: most words of a feed stand in many of its titles


Ints = NDArray[np.int64]


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


class RunTexts(NamedTuple):
    """Texts by the runs that they are made of, most of which stand in many of them.

    :param vocabulary: all runs, by number; it grows at its end, what is in it stays.
    :param run: the numbers of all texts' runs, one text's after the other's.
    :param counts: shape (texts,), of each text's runs.
    """

    vocabulary: Sequence[str]
    run: Ints
    counts: Ints

    def joined(self) -> list[str]:
        """Return the texts, runs joined by spaces."""
        pieces = map(self.vocabulary.__getitem__, self.run.tolist())
        return [" ".join(islice(pieces, count)) for count in self.counts.tolist()]


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
        self._tokenizer.no_truncation()
        self._words = _TokensByWord(self._tokenizer)
        self._runs = _Tokens(self._tokenizer)
        self._vocabulary: Sequence[str] = ()  # whose tokens those are
        self._lock = Lock()  # threads share an embedder
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
        with reading(folder / _TABLE, "a table of vectors", _EMBEDDER_REMEDY):
            table = load_file(folder / _TABLE)["embeddings"].astype(np.float32)
            if table.ndim != 2 or not table.size or not np.isfinite(table).all():
                raise ValueError(f"expected numbers in rows, found shape {table.shape}")
        with reading(folder / _TOKENIZER, f"a tokenizer of {len(table)} tokens", _EMBEDDER_REMEDY):
            text = read_text(folder / _TOKENIZER)
            found = cls(table, text, name=name or folder.name, fingerprint=manifest.fingerprint)
            most = max(found._tokenizer.get_vocab().values())
            if most >= len(table):
                raise ValueError(f"its tokens are numbered up to {most}")
        return found

    @property
    def words(self) -> frozenset[str]:
        """Words with a token of their own; others are spelt out of pieces."""
        vocabulary = self._tokenizer.get_vocab()
        return frozenset(token for token in vocabulary if not token.startswith(CONTINUATION))

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        out = np.zeros((len(texts), self.dimension), np.float32)
        for start in range(0, len(texts), _CHUNK):
            ids, counts = self._words.tokens(texts[start : start + _CHUNK])
            self._add(ids, counts, out[start : start + _CHUNK])
        return unit_rows(out)

    def encode_runs(self, texts: RunTexts) -> NDArray[np.float32]:
        """Return what `encode` does of texts whose runs are numbered."""
        with self._lock:
            if texts.vocabulary is not self._vocabulary:
                self._vocabulary, self._runs = texts.vocabulary, _Tokens(self._tokenizer)
            self._runs.learn(texts.vocabulary[len(self._runs) :])
            ids, counts = self._runs.of(texts.run, texts.counts)
        out = np.zeros((len(counts), self.dimension), np.float32)
        ends = np.append(0, np.cumsum(counts))
        for start in range(0, len(counts), _CHUNK):
            part = slice(start, start + _CHUNK)
            own = ids[ends[start] : ends[min(start + _CHUNK, len(counts))]]
            self._add(own, counts[part], out[part])
        return unit_rows(out)

    def _add(self, ids: Ints, counts: Ints, out: NDArray[np.float32]) -> None:
        """Write the sum of each text's first token vectors.

        All first tokens are added at once, then all second ones: 15 times as fast as `reduceat`
        over all rows, and each sum has the order of its text, whatever the batch.

        :param ids: of all texts' tokens, one text's after the other's; ``counts`` of each.
        """
        if len(counts) == 1:  # the same sums, without a step in Python for each token
            np.add.reduce(self._table.take(ids[:_LONGEST], axis=0), axis=0, out=out[0])
            return
        longest_first = np.argsort(-counts, kind="stable")
        starts = (np.cumsum(counts) - counts)[longest_first]
        sums = np.zeros_like(out)
        for at in range(min(counts.max(initial=0), _LONGEST)):
            n = np.count_nonzero(counts > at)
            sums[:n] += self._table.take(ids[starts[:n] + at], axis=0)
        out[longest_first] = sums


class _TokensByWord:
    """The token ids of texts by those of their words, each of which is asked for once.

    What is remembered is bounded: a feed without end has words without end.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._lock = Lock()  # threads share an embedder
        self._forget()

    def tokens(self, texts: Sequence[str]) -> tuple[Ints, Ints]:
        """Return the ids of all texts' tokens, and how many each text has, shape (texts,)."""
        if len(texts) == 1:  # its words are soon asked for, and seldom again
            (found,) = self._tokenizer.encode_batch_fast([*texts], add_special_tokens=False)
            return np.array(found.ids, np.int64), np.array([len(found.ids)], np.int64)
        split = [text.split(" ") for text in texts]
        lengths = np.fromiter(map(len, split), np.int64, len(split))
        with self._lock:
            if len(self._number) > _MOST_WORDS:
                self._forget()
            words = chain.from_iterable(split)
            number = np.fromiter(map(self._number.__getitem__, words), np.int64, lengths.sum())
            new, self._number.new = self._number.new, []
            self._known.learn(new)
            return self._known.of(number, lengths)

    def _forget(self) -> None:
        self._number, self._known = _WordNumbers(), _Tokens(self._tokenizer)


class _Tokens:
    """The token ids of words, by the words' numbers.

    At a space every word ends, so that the ids of a text are those of its words, one after the
    other.

    :param tokenizer: one that splits at white space first, as a trained embedder's does.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        vocabulary = tokenizer.get_vocab()
        self._continues = np.zeros(max(vocabulary.values(), default=0) + 1, np.bool_)
        inner = [at for token, at in vocabulary.items() if token.startswith(CONTINUATION)]
        self._continues[inner] = True
        self._ids = self._starts = self._counts = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self._counts)

    def of(self, number: Ints, lengths: Ints) -> tuple[Ints, Ints]:
        """Return the ids of texts' tokens, and how many each text has, shape (texts,).

        :param number: of all texts' words; ``lengths`` how many words each text has.
        """
        starts, counts = self._starts[number], self._counts[number]
        ends = np.cumsum(counts)
        place = np.arange(counts.sum()) + np.repeat(starts - (ends - counts), counts)
        of_text = np.diff(np.append(0, ends)[np.append(0, np.cumsum(lengths))])
        return self._ids[place], of_text

    def learn(self, new: Sequence[str]) -> None:
        """Ask for the ids of words, which get the next numbers."""
        if not new:
            return
        flat, counts = self._at_once(new) or self._one_by_one(new)
        starts = len(self._ids) + np.cumsum(counts) - counts
        self._starts = np.concatenate([self._starts, starts])
        self._counts = np.concatenate([self._counts, counts])
        self._ids = np.concatenate([self._ids, flat])

    def _at_once(self, words: Sequence[str]) -> tuple[Ints, Ints] | None:
        """Return the ids of words and how many each has, asked as one text: a quarter of the time.

        None where the words are not to be told apart in it, such as one that begins like a piece.
        """
        if any(word.split() != [word] for word in words):
            return None
        (found,) = self._tokenizer.encode_batch_fast([" ".join(words)], add_special_tokens=False)
        ids = np.array(found.ids, np.int64)
        starts = np.flatnonzero(~self._continues[ids])
        if len(starts) != len(words) or starts[0]:
            return None
        return ids, np.diff(starts, append=len(ids))

    def _one_by_one(self, words: Sequence[str]) -> tuple[Ints, Ints]:
        found = self._tokenizer.encode_batch_fast(list(words), add_special_tokens=False)
        ids = [encoding.ids for encoding in found]
        counts = np.fromiter(map(len, ids), np.int64, len(ids))
        return np.fromiter(chain.from_iterable(ids), np.int64, counts.sum()), counts


class _WordNumbers(dict[str, int]):
    """Numbers words in the order in which they are first asked for.

    :param new: words since somebody last emptied it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.new: list[str] = []

    def __missing__(self, word: str) -> int:
        self[word] = number = len(self)
        self.new.append(word)
        return number


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
        # It writes memory as it lies, whatever the order of rows and columns there.
        stored = np.ascontiguousarray(table, np.float16)
        save_file({"embeddings": stored}, draft / _TABLE)
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
    norms = np.sqrt(np.add.reduce(vectors * vectors, axis=1, keepdims=True))
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
