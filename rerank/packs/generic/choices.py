"""Products as people name them and choose among them: what sets candidates apart, search, names."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rerank.annotation.queue import WordContrast, holds_in_order, word_contrasts
from rerank.domain import AskingWords, CatalogueChoice, FoundChoices
from rerank.index.errors import InputError
from rerank.index.rows import TEXT_TYPES
from rerank.index.text import normalise, runs, squash
from rerank.packs.generic.product_answers import ProductCandidate, fact_of
from rerank.packs.generic.source import ID, MODEL, NAME, CatalogueTable
from rerank.store.rows import NamedGpu

_WIDEST = 100  # columns of a product's name
_WIDEST_ID = 20
_MOST_WORDS = 5  # of a kind that set a candidate apart: what a line of a terminal has room for
_MOST_FACTS = 3
_SHORTEST_CODE = 4  # letters and digits: fewer begin part numbers by chance
_MOST_SHOWN = 5
_VOWELS = tuple("aeiou")


class ProductChoices:
    """The products of a catalogue; see `rerank.domain.Choices`.

    :param one: what one of them is called.
    """

    def __init__(self, table: CatalogueTable, one: str) -> None:
        self._table = table
        article = "an" if one.lower().startswith(_VOWELS) else "a"
        self.words = AskingWords(
            catalogue="catalogue",
            chosen="this candidate",
            unlisted=f"{article} {one}, but not in the catalogue",
            not_one="not such goods",
            such_as="an accessory, a spare part, an empty box, something wanted",
            several="several products",
            any_variant="this model, variant unknown",
        )
        longest = pc.max(pc.utf8_length(table.rows.column(ID))).as_py() or 0
        self._id_width = min(_WIDEST_ID, longest)

    def of(self, key: str) -> CatalogueChoice:
        """Return a product by its id."""
        return self._choice(self._table.row_of_id[key])

    def apart(self, candidates: Sequence[ProductCandidate], title: str) -> list[str]:
        """Return what sets each candidate of a title apart: words of names, then columns."""
        held = [run.text for run in runs(normalise(title))]
        names = [_words(candidate.name) for candidate in candidates]
        spelled: dict[str, str] = {}  # one word however it is spelled, as the first name has it
        for word in (word for name in names for word in name):
            spelled.setdefault(squash(word), word)
        names = [[spelled[squash(word)] for word in name] for name in names]
        words = word_contrasts(names, lambda word: holds_in_order(held, _runs(word)))
        facts = self._facts([self._table.row_of_id[each.product_id] for each in candidates])
        return [
            "; ".join([*_shortened(own).parts, *told])
            for own, told in zip(words, facts, strict=True)
        ]

    def search(self, query: str, most: int) -> FoundChoices:
        """Return the products of whose names each word of a query begins a word.

        A name is all that resolved rows show of a product; a query of four signs or more that
        begins its id or another of its texts, blanks and signs aside, finds it too. Names with
        the fewest other words come first, equals in the catalogue's order.
        """
        (folded,) = _folded(pa.array([query])).to_pylist()
        wanted = folded.split()
        if not wanted:
            return FoundChoices([], 0)
        texts, codes, n_words = self._searched
        held = np.ones(len(texts), bool)
        for word in wanted:
            held &= pc.match_substring(texts, f" {word}").to_numpy(zero_copy_only=False)
        code = "".join(wanted)
        if len(code) >= _SHORTEST_CODE:
            held |= pc.match_substring(codes, f" {code}").to_numpy(zero_copy_only=False)
        rows = np.flatnonzero(held)
        order = rows[np.argsort(n_words[rows], kind="stable")]
        return FoundChoices([self._choice(row) for row in order[:most].tolist()], len(rows))

    def _choice(self, row: int) -> CatalogueChoice:
        key, name, model = (self._table.rows.column(own)[row].as_py() for own in (ID, NAME, MODEL))
        shown = key if len(key) <= self._id_width else key[: self._id_width - 1] + "…"
        return CatalogueChoice(
            key, model, f"{name} ({key})", name, f"{shown:{self._id_width}}", _WIDEST
        )

    def _facts(self, rows: Sequence[int]) -> list[list[str]]:
        """Return of each row what own columns say otherwise than of the others, names aside."""
        found: list[list[str]] = [[] for _ in rows]
        chosen = self._table.rows.take(pa.array(rows, pa.int64()))
        held = [{*_folded_words(name)} for name in chosen.column(NAME).to_pylist()]
        for column in self._telling:
            values = chosen.column(column).to_pylist()
            if len({*values}) < 2:
                continue
            for told, words, value in zip(found, held, values, strict=True):
                said = value is not None and not {*_folded_words(str(value))} <= words
                if said and len(told) < _MOST_FACTS:
                    told.append(fact_of(column, value))
        return found

    @cached_property
    def _telling(self) -> list[str]:
        """Own columns, those first that say the same of many products: a kind, a size, a price."""
        rows = self._table.rows
        counts = {name: pc.count_distinct(rows.column(name)).as_py() for name in self._own}
        return sorted((name for name in self._own if counts[name] > 1), key=counts.__getitem__)

    @property
    def _own(self) -> list[str]:
        return self._table.own_columns

    @cached_property
    def _searched(self) -> tuple[pa.Array, pa.Array, Any]:
        """What words and codes are sought in, and the number of words of each name."""
        rows = self._table.rows
        texts = [name for name in self._own if str(rows.schema.field(name).type) in TEXT_TYPES]
        columns = [rows.column(name).cast(pa.string()) for name in (NAME, ID, *texts)]
        folded = [_folded(column.combine_chunks()) for column in columns]
        codes = [
            pc.binary_join_element_wise("", pc.replace_substring(each, " ", ""), " ")
            for each in folded[1:]
        ]
        n_words = pc.count_substring(folded[0], " ").to_numpy(zero_copy_only=False)
        return _joined(folded), _joined(codes), n_words


class ProductNames:
    """The names of a catalogue's products: ids, and names and models, case and blanks aside.

    :param rows: the catalogue's, as `rerank.packs.generic.source.read_rows` gives them.
    """

    one, key = "product", "product_id"

    def __init__(self, rows: pa.Table) -> None:
        columns = [rows.column(name).to_pylist() for name in (ID, NAME, MODEL)]
        self._model = dict(zip(columns[0], columns[2], strict=True))
        self._by_name: dict[str, list[str]] = {}
        self._by_model: dict[str, list[str]] = {}
        for key, name, model in zip(*columns, strict=True):
            self._by_name.setdefault(_key(name), []).append(key)
            self._by_model.setdefault(_key(model), []).append(key)

    def find(self, name: str) -> NamedGpu:
        """Return what a name stands for: a product, or a model of several.

        :raises InputError: if the name is unknown, or several models are called so.
        """
        key = name.strip()
        if key in self._model:
            return NamedGpu(self._model[key], key)
        found = self._by_name.get(_key(name)) or self._by_model.get(_key(name)) or []
        models = sorted({self._model[each] for each in found})
        if len(models) == 1:
            return NamedGpu(models[0], found[0] if len(found) == 1 else None)
        if models:
            shown = " or ".join(found[:_MOST_SHOWN])
            raise InputError(f"{name!r:.80} may be {shown}; say which by its id")
        raise InputError(f"no product of the catalogue has the id or the name {name!r:.80}")

    def find_first(
        self, names: Sequence[str], *, memory_gb: float | None = None, form_factor: str = ""
    ) -> NamedGpu:
        """Return what the first of several accepted names stands for that the catalogue knows.

        :raises InputError: if none of them is known.
        """
        faults = []
        for name in names:
            try:
                return self.find(name)
            except InputError as exc:
                faults.append(str(exc))
        raise InputError("; ".join(faults[:_MOST_SHOWN]) or "no product is named")


def _key(name: str) -> str:
    return " ".join(name.casefold().split())


def _runs(word: str) -> list[str]:
    return [run.text for run in runs(normalise(word))]


def _words(name: str) -> list[str]:
    """Return a name's words, signs alone left out."""
    return [word for word in name.split() if squash(word)]


def _shortened(own: WordContrast) -> WordContrast:
    return WordContrast(*(each[:_MOST_WORDS] for each in (own.said, own.unsaid, own.unexplained)))


def _folded(texts: pa.Array) -> pa.Array:
    """Return texts in lower case without marks, runs of letters and of digits each by themselves.

    By Arrow, as a whole column: a million products are searched as their reader types.
    """
    steps = (
        (r"\p{M}+", ""),
        (r"[^\p{L}\p{N}]+", " "),
        (r"(\p{L})(\p{N})", r"\1 \2"),
        (r"(\p{N})(\p{L})", r"\1 \2"),
    )
    found = pc.utf8_lower(pc.utf8_normalize(texts, form="NFKD"))
    for pattern, by in steps:
        found = pc.replace_substring_regex(found, pattern, by)
    return pc.utf8_trim(found, " ")


def _folded_words(text: str) -> Sequence[str]:
    return [run.text for run in runs(normalise(text))]


def _joined(columns: Sequence[pa.Array]) -> pa.Array:
    """Return a row's texts in one, a blank before each word."""
    blank = pa.repeat(pa.scalar(""), len(columns[0]))
    return pc.binary_join_element_wise(
        blank, *columns, " ", null_handling="replace", null_replacement=""
    )
