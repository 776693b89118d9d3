"""Evidence of names and sizes: how well each model fits the way a title mentions it.

All arrays; one row for each (listing, model) that share a number, a core word or a part number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rerank.packs.gpu.lexicon import Lexicon
from rerank.packs.gpu.title_columns import CodeAt, Mentions, TitleReadings
from rerank.resolution import same_size

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

NAME_FEATURES = (
    "suffix_missing",
    "suffix_absent",
    "suffix_extra",
    "suffix_exact",
    "line_shared",
    "line_absent",
    "line_conflict",
    "prefix_fit",
    "glued_foreign",
    "code_length",
    "code_certain",
    "mention_at",
    "memory_glued",
    "name_quality",
)
"""Columns of `NameEvidence.values`, in order:

suffix_missing   suffixes that tell the model from a sibling and do not follow the number, 0..
suffix_absent    of these, how many stand nowhere in the title, 0..
suffix_extra     suffixes that follow the number, are not the model's but a sibling's, 0..
suffix_exact     1 if none is missing and none is extra; also for a part number of the model
line_shared      line words of the model shortly before the number, 0..
line_absent      line words of the model that stand nowhere in the title, 0..
line_conflict    words right before the number that are another model's line, 0..
prefix_fit       letters of the number: 1 equal, 0 neither side has any, -1 only one side has
glued_foreign    1 if letters that are no prefix of the model touch the number
code_length      letters and digits of a part number or alias of the model, 0 if none
code_certain     1 if the registry lists that part number or alias
mention_at       run in which the mention starts, 0..
memory_glued     1 if a memory size was glued behind the number (30506GB)
name_quality     their fixed weighted sum, used to shortlist candidates; about -2 to 4
"""

_QUALITY = np.array(
    [-0.45, -0.15, -0.35, 0.5, 0.3, -0.1, -0.45, 0.6, -0.2, 0.0, 0.5, -0.01, -0.1], np.float32
)
_CODE_BASE, _CODE_PER_LETTER = 0.3, 0.08
_CODE_FEATURES = ("code_length", "code_certain")
_OF_DOUBT = "suffix_exact line_conflict prefix_fit name_quality".split()
_FITTING_NAME = 1.0  # quality of a name without flaws, of no shared line word


@dataclass(frozen=True, slots=True)
class NameEvidence:
    """Rows sorted by (listing, model), each pair once.

    :param listing: shape (rows,), number of the listing in the batch.
    :param model: shape (rows,), number of the model in the lexicon.
    :param values: shape (rows, len(NAME_FEATURES)), float32.
    :param words: shape (listings, mask words), the affix words anywhere in each title.
    :param sizes: shape (listings, most stated), the sizes of each title.
    """

    listing: Ints
    model: Ints
    values: Floats
    words: NDArray[np.uint64]
    sizes: Floats

    def find(self, listing: Ints, model: Ints, n_models: int) -> Ints:
        """Return the row of each (listing, model) pair, or -1."""
        keys = self.listing * n_models + self.model
        wanted = listing.astype(np.int64) * n_models + model
        if not len(keys):
            return np.full(len(wanted), -1, np.int64)
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[at] == wanted, at, -1)


def name_evidence(lexicon: Lexicon, readings: TitleReadings) -> NameEvidence:
    """Compare every mention with every model of its key, and keep each pair's best row."""
    by_number = _mention_rows(lexicon, readings.mentions, readings.words)
    listing, model, values = by_number
    if readings.codes:
        coded = _code_rows(readings.codes)
        listing, model = np.append(listing, coded[0]), np.append(model, coded[1])
        values = np.concatenate([values, coded[2]])
    return _best_rows(listing, model, values, readings.words, readings.sizes)


def _mention_rows(
    lexicon: Lexicon, mentions: Mentions, all_words: NDArray[np.uint64]
) -> tuple[Ints, Ints, Floats]:
    """Return listing, model and values of each model of each mention's key.

    :param all_words: shape (listings, mask words).
    """
    if not len(mentions):
        return _no_rows()
    offsets, members = lexicon.models_by_key
    key = mentions.key
    repeats = offsets[key + 1] - offsets[key]
    mention = np.arange(len(mentions)).repeat(repeats)
    shift = offsets[key] - repeats.cumsum() + repeats
    model = members.take(shift[mention] + np.arange(len(mention))).astype(np.int64)
    # To take rows is four times as fast as to index by them.
    before, after = mentions.before.take(mention, axis=0), mentions.after.take(mention, axis=0)
    nearest = mentions.line_before.take(mention, axis=0)
    listing = mentions.title.take(mention)
    words = all_words.take(listing, axis=0)
    prefixes = mentions.prefixes.take(mention)
    glued, whole = mentions.glued.take(mention), mentions.whole.take(mention)
    own_before = lexicon.before_mask.take(model, axis=0)
    own_after = lexicon.after_mask.take(model, axis=0)
    own_prefix = lexicon.prefix_mask.take(model)
    own = own_before | own_after
    values = np.zeros((len(model), len(NAME_FEATURES)), np.float32)
    # "GT 9600" and "9600 GT" are the same words: a suffix may stand before the number.
    seen = after | before
    required = lexicon.required_mask.take(model, axis=0)
    values[:, 0] = _bits(required & ~seen)
    values[:, 1] = _bits(required & ~words)
    # Only what tells siblings apart: "LP" behind 3050 is no other model's suffix.
    values[:, 2] = _bits(after & ~own & lexicon.sibling_mask.take(model, axis=0))
    values[:, 3] = (values[:, 0] == 0) & (values[:, 2] == 0)
    values[:, 4] = _bits(own_before & seen)
    values[:, 5] = _bits(own_before & ~words)
    values[:, 6] = _bits(nearest & ~own)
    has, fits = own_prefix != 0, (own_prefix & prefixes) != 0
    values[:, 7] = np.where(has & fits, 1, np.where(has | whole, -1, 0))
    values[:, 8] = glued & ~fits & (_bits(nearest & own) == 0)
    values[:, 11] = mentions.at.take(mention)
    values[:, 12] = mentions.remainder_gb.take(mention) > 0
    values[:, -1] = 1.0 + values[:, :-1] @ _QUALITY
    return listing, model, values


def _bits(masks: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Count the words of each row of masks, shape (rows, mask words)."""
    return np.asarray(np.add.reduce(np.bitwise_count(masks), axis=1, dtype=np.int64))


def _code_rows(codes: Sequence[CodeAt]) -> tuple[Ints, Ints, Floats]:
    flat = [(at, c.model, c.length, c.at, c.certain) for at, c, *_ in codes]
    listing, model, length, start, certain = (np.array(c) for c in zip(*flat, strict=True))
    values = np.zeros((len(flat), len(NAME_FEATURES)), np.float32)
    values[:, 3], values[:, 9], values[:, 10], values[:, 11] = 1, length, certain, start
    values[:, -1] = _CODE_BASE + _CODE_PER_LETTER * length + values[:, :-1] @ _QUALITY
    return listing.astype(np.int64), model.astype(np.int64), values


def _no_rows() -> tuple[Ints, Ints, Floats]:
    empty = np.zeros(0, np.int64)
    return empty, empty, np.zeros((0, len(NAME_FEATURES)), np.float32)


def _best_rows(
    listing: Ints, model: Ints, values: Floats, words: NDArray[np.uint64], sizes: Floats
) -> NameEvidence:
    """Keep the best mention of each pair; a part number seen elsewhere in the title joins it."""
    # A number beside its name shows more than either: the name's row is kept, if it fits at all.
    quality = values[:, -1]
    is_code = values[:, NAME_FEATURES.index("code_length")] > 0
    ranked = np.where(is_code, np.minimum(quality, _FITTING_NAME), quality)
    order = np.lexsort((-ranked, model, listing))
    listing, model, values = listing[order], model[order], values.take(order, axis=0)
    first = np.ones(len(order), bool)
    first[1:] = (listing[1:] != listing[:-1]) | (model[1:] != model[:-1])
    starts = first.nonzero()[0]
    best = values.take(starts, axis=0)
    if len(starts) < len(order):
        for name in (*_CODE_FEATURES, "name_quality"):
            column = NAME_FEATURES.index(name)
            best[:, column] = np.maximum.reduceat(values[:, column], starts)
    return NameEvidence(listing[starts], model[starts], best, words, sizes)


def surely_named(names: NameEvidence, readings: TitleReadings) -> Ints:
    """Return the model that each title names beyond doubt, -1 where it names none so.

    Shape (listings,). The number of the best such model, of equal ones the first: no suffix is
    missing or extra, neither line nor letters of the number are another's, and nothing else makes
    the title's name doubtful.
    """
    column = {name: names.values[:, NAME_FEATURES.index(name)] for name in _OF_DOUBT}
    sure = (column["suffix_exact"] == 1) & (column["line_conflict"] == 0)
    sure &= (column["prefix_fit"] >= 0) & (readings.doubts[names.listing] == 0)
    rows = sure.nonzero()[0]
    best_last = np.argsort(column["name_quality"][rows][::-1], kind="stable")
    rows = rows[::-1][best_last]
    found = np.full(len(readings), -1, np.int64)
    found[names.listing[rows]] = names.model[rows]
    return found


def agreement(agrees: NDArray[np.bool_], said: NDArray[np.bool_]) -> Floats:
    """Return 1 where what was said agrees, -1 where it does not, 0 where nothing was said."""
    return np.where(said, np.where(agrees, 1.0, -1.0), 0.0).astype(np.float32)


def memory_agreement(stated: Floats, memory_gb: Floats) -> Floats:
    """Return 1 where candidates have a size their listing states, -1 another, 0 if it is unsaid.

    :param stated: shape (candidates, most stated), the sizes of each candidate's listing.
    :param memory_gb: shape (candidates,).
    """
    return agreement(states_one_of(stated, memory_gb[:, None]), ~np.isnan(stated[:, 0]))


def states_one_of(stated: Floats, own: Floats) -> NDArray[np.bool_]:
    """Return whether any stated size is one of some sizes, shape (rows,).

    :param stated: shape (rows, most stated), filled up with NaN, as ``own`` is.
    :param own: shape (rows, sizes).
    """
    found = np.zeros(len(stated), np.bool_)
    for sizes in stated.T:
        rows = (~np.isnan(sizes)).nonzero()[0]  # most titles state one, or none
        if not len(rows):
            break
        found[rows] |= same_size(sizes[rows, None], own.take(rows, axis=0)).any(axis=1)
    return found
