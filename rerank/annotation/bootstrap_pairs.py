"""Preferences out of generated listings: a start before anybody has stated one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from index.errors import InputError
from rerank.annotation.candidate_items import N_CANDIDATES, items_of
from rerank.bootstrap import LabelledListing, generate
from rerank.resolver import Resolver
from rerank.splits import Split, models_of
from rerank.store.preferences import PairSource, PreferenceLabel, PreferencePair
from rerank.training_evidence import relevance_of

_LABELS: tuple[PreferenceLabel, ...] = (1, -1, 0)
_BATCH = 500
BOOTSTRAP_PREFIX = "bootstrap-"
"""Opens the listing_id of a generated listing: ``bootstrap-SEED-gNUMBER``."""

_REFERENCE = re.compile(rf"{BOOTSTRAP_PREFIX}(\d{{1,18}})-g\d+::")
_LEAST_YIELD = 4  # nearly every listing gives a pair; a registry of a few GPUs gives none


def bootstrap_pairs(resolver: Resolver, n_pairs: int, *, seed: int) -> list[PreferencePair]:
    """Return pairs of candidates of generated listings, at most one a listing.

    A candidate that fits all a listing states is better than another variant of its model, which
    is better than another model (the grades the ranker is trained with); equal grades make a
    pair of equals. The reason tag is what they differ in, ``model`` or ``variant``. Labels take
    turns, 1, -1 and 0, so each has a third; listings deal models in turn, those of the ranker's
    training split, so that what is held out there stays unseen. The first pairs of a larger
    number are the pairs of a smaller one.

    :param n_pairs: at least 1.
    :param seed: of listings and draws; part of the references.
    :raises InputError: if ``n_pairs`` is below 1, the registry has no model of the split, or its
        listings retrieve too few candidates to compare.
    """
    if n_pairs < 1:
        raise InputError(f"expected at least 1 pair to make, got {n_pairs}")
    records = resolver.table.records
    models = models_of(records, Split.RANKER)
    if not models:
        raise InputError(f"the registry of {len(records)} GPUs has no models to generate from")
    pairs: list[PreferencePair] = []
    used, size = 0, n_pairs + n_pairs // 4 + 20
    while len(pairs) < n_pairs:
        listings = generate(records, size, seed=seed, nil_share=0.0, models=models)
        for start in range(used, size, _BATCH):
            pairs += _pairs_of(resolver, listings[start : start + _BATCH], start, len(pairs), seed)
        if len(pairs) * _LEAST_YIELD < size:
            raise InputError(
                f"{size} generated listings gave {len(pairs)} pairs: too few have two candidates "
                "to compare; use a larger registry"
            )
        used, size = size, 2 * size
    return pairs[:n_pairs]


def seed_of(reference: str) -> int | None:
    """Return the seed in the reference of a generated listing's candidate, None in any other."""
    found = _REFERENCE.match(reference)
    return int(found[1]) if found else None


def _pairs_of(
    resolver: Resolver, labelled: Sequence[LabelledListing], first: int, made: int, seed: int
) -> list[PreferencePair]:
    """Return pairs of some listings, of which ``first`` came before and gave ``made`` pairs."""
    labelled = [_renamed(item, seed) for item in labelled]
    listings = [item.listing for item in labelled]
    evidence = resolver.evidence(listings, n_candidates=N_CANDIDATES)
    batch = evidence.candidates
    grades = relevance_of(labelled, batch.listing, batch.record, resolver.table)
    gpu_ids = [resolver.table.records[row].gpu_id for row in batch.record.tolist()]
    drawn: list[tuple[str, str, str, PreferenceLabel, tuple[str, ...]]] = []
    for at, listing in enumerate(listings):
        start, stop = int(batch.offsets[at]), int(batch.offsets[at + 1])
        label = _LABELS[(made + len(drawn)) % len(_LABELS)]
        rng = np.random.default_rng([seed, first + at])
        rows = _draw(grades[start:stop], label, rng)
        if rows is not None:
            a, b = start + rows[0], start + rows[1]
            tags = () if label == 0 else ("model" if min(grades[a], grades[b]) == 0 else "variant",)
            drawn.append((listing.listing_id, gpu_ids[a], gpu_ids[b], label, tags))
    wanted = {listing_id: (a, b) for listing_id, a, b, _, _ in drawn}
    items = items_of(evidence, resolver.table, listings, wanted)
    return [
        PreferencePair(
            items[listing_id, a],
            items[listing_id, b],
            label,
            PairSource.BOOTSTRAP,
            reason_tags=tags,
        )
        for listing_id, a, b, label, tags in drawn
    ]


def _draw(
    grades: NDArray[np.int64], label: PreferenceLabel, rng: np.random.Generator
) -> tuple[int, int] | None:
    """Draw two candidates whose grades make the label; None if there are none.

    Unequal ones are of the best grade and of a lower one, each lower grade equally likely: nearly
    all candidates are of other models, and variants would hardly ever be compared.
    """
    if label == 0:
        order = rng.permutation(len(grades))
        for at, row in enumerate(order.tolist()):
            for other in order[at + 1 :].tolist():
                if grades[row] == grades[other]:
                    return row, other
        return None
    found = np.unique(grades)
    if len(found) < 2:
        return None
    right = int(rng.choice(np.flatnonzero(grades == found[-1])))
    wrong = int(rng.choice(np.flatnonzero(grades == rng.choice(found[:-1]))))
    return (right, wrong) if label == 1 else (wrong, right)


def _renamed(item: LabelledListing, seed: int) -> LabelledListing:
    """Give a generated listing an id that is its own among all seeds."""
    listing_id = f"{BOOTSTRAP_PREFIX}{seed}-{item.listing.listing_id}"
    return replace(item, listing=replace(item.listing, listing_id=listing_id))
