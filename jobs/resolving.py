"""Resolve listings as they come: with the rows nothing can be resolved from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from index.records import Listing
from index.text import MAX_TITLE_CHARS, normalise
from rerank.resolution_table import CANDIDATE_SET_FIELD

if TYPE_CHECKING:
    from rerank.answers import Answers
    from rerank.resolver import Resolution, Resolver

# The ranker was trained on 20 candidates a listing; fewer would change what leads by how much.
_CONSIDERED = 20
_NO_FAULTS: Mapping[int, str] = {}


def resolve_listings(
    resolver: Resolver,
    listings: Sequence[Listing],
    *,
    top_k: int = 20,
    faults: Mapping[int, str] = _NO_FAULTS,
) -> list[Resolution]:
    """Resolve listings in order; one without a title, or with a fault, is no match and says why.

    :param top_k: candidates returned for each listing.
    :param faults: what is wrong with a row, by its number; such rows are not resolved.
    """
    return resolver.resolutions(_presented(resolver, listings, top_k, faults))


def resolve_with_sets(
    resolver: Resolver,
    listings: Sequence[Listing],
    *,
    coverage: float,
    top_k: int = 20,
    faults: Mapping[int, str] = _NO_FAULTS,
) -> tuple[list[Resolution], list[tuple[str, ...]]]:
    """Resolve as `resolve_listings` does, and return each listing's candidate set as well.

    The sets come from the candidates they were calibrated for, however many are returned.

    :param coverage: of the candidate sets, between 0 and 1.
    :raises InputError: if candidate sets cannot promise this coverage.
    :raises ArtifactError: if the model has no candidate sets.
    """
    answers, sets = _presented_with_sets(resolver, listings, coverage, top_k, faults)
    return resolver.resolutions(answers), sets


def resolve_to_table(
    resolver: Resolver,
    listings: Sequence[Listing],
    *,
    top_k: int = 20,
    coverage: float | None = None,
    faults: Mapping[int, str] = _NO_FAULTS,
) -> pa.Table:
    """Return what `resolve_listings` answers as a table of `OUTPUT_SCHEMA`, one row a listing.

    :param coverage: of candidate sets, which then are one more column, `CANDIDATE_SET_FIELD`;
        None for none.
    :raises InputError: if candidate sets cannot promise this coverage.
    :raises ArtifactError: if candidate sets are asked for and the model has none.
    """
    if coverage is None:
        return resolver.answer_table(_presented(resolver, listings, top_k, faults))
    answers, sets = _presented_with_sets(resolver, listings, coverage, top_k, faults)
    column = pa.array([list(models) for models in sets], CANDIDATE_SET_FIELD.type)
    return resolver.answer_table(answers).append_column(CANDIDATE_SET_FIELD, column)


def _presented(
    resolver: Resolver, listings: Sequence[Listing], top_k: int, faults: Mapping[int, str]
) -> Answers:
    """Resolve what can be resolved; say of the other rows, and of titles that were cut, why."""
    good = [
        at for at, listing in enumerate(listings) if at not in faults and normalise(listing.title)
    ]
    answers = resolver.answers([listings[at] for at in good], top_k=max(top_k, _CONSIDERED))
    if len(good) < len(listings):
        place = np.full(len(listings), -1)
        place[good] = np.arange(len(good))
        answers = answers.take(place)
    reasons = list(answers.reason)
    for at in set(range(len(listings))).difference(good):
        reasons[at] = faults.get(at, "no title")
    for at in good:
        if len(listings[at].title) > MAX_TITLE_CHARS:
            reasons[at] = f"{reasons[at]}; title cut at {MAX_TITLE_CHARS} characters"
    return replace(answers, reason=reasons).cut(top_k)


def _presented_with_sets(
    resolver: Resolver,
    listings: Sequence[Listing],
    coverage: float,
    top_k: int,
    faults: Mapping[int, str],
) -> tuple[Answers, list[tuple[str, ...]]]:
    considered = _presented(resolver, listings, _CONSIDERED, faults)
    sets = [
        resolver.candidate_set(answer, coverage=coverage)
        for answer in resolver.resolutions(considered)
    ]
    if top_k > _CONSIDERED:
        return _presented(resolver, listings, top_k, faults), sets
    return considered.cut(top_k), sets
