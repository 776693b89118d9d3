"""The annotation queue: which listings to ask about first.

What an answer is worth is the model's uncertainty or the rankers' disagreement; listings are then
chosen one by one, and what resembles a chosen or answered one is worth less (`diversity`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from index.errors import InputError
from index.records import Listing
from rerank.annotation.diversity import Diversity, title_key
from rerank.resolver import Resolution

# Vote entropy of three rankers has three values; uncertainty orders the listings within each.
_ENTROPY_SHARE = 0.9
_LEAST_PROBABILITY = 1e-4  # keeps odds finite


class QueueStrategy(Enum):
    """What makes a listing worth asking about.

    ``UNCERTAIN``: `uncertainty`. ``DISAGREEMENT``: `vote_entropy`, then uncertainty. ``RANDOM``:
    chance, for an unbiased sample.
    """

    UNCERTAIN = "uncertain"
    RANDOM = "random"
    DISAGREEMENT = "disagreement"


@dataclass(frozen=True, slots=True)
class QueueItem:
    """A listing that may be asked about and what is thought of it.

    :param shop: where it was found; empty if unknown.
    :param votes: the best model by each ranker.
    :param thresholds: the probabilities at which the model that resolved it changes its decision.
    """

    listing: Listing
    shop: str
    resolution: Resolution
    votes: tuple[str, ...]
    thresholds: tuple[float, ...] = (0.5,)


def order_queue(
    candidates: Sequence[QueueItem],
    *,
    strategy: QueueStrategy,
    seed: int,
    limit: int | None = None,
    answered: Sequence[QueueItem] = (),
) -> list[int]:
    """Return rows of ``candidates`` in the order to ask them; ties by listing_id.

    Titles that are the same but for case, punctuation and article numbers are asked once, by every
    strategy; all but ``RANDOM`` also leave out near-identical ones (see `Diversity`). So the queue
    may be shorter than the candidates. The order does not depend on that of ``candidates``.

    :param seed: of ``RANDOM``; the others draw nothing.
    :param limit: how many at most; None for all.
    :param answered: listings that need no answer any more and that others are compared with.
    :raises InputError: if ``limit`` or ``seed`` is negative.
    """
    if seed < 0 or (limit is not None and limit < 0):
        raise InputError(f"seed and limit must not be negative, got {seed} and {limit}")
    rows = sorted(range(len(candidates)), key=lambda at: candidates[at].listing.listing_id)
    limit = len(rows) if limit is None else min(limit, len(rows))
    items = [candidates[row] for row in rows]
    if strategy is QueueStrategy.RANDOM:
        places = _by_chance(items, seed, answered)
    else:
        value = uncertainty if strategy is QueueStrategy.UNCERTAIN else disagreement
        places = _by_value(items, [value(item) for item in items], answered)
    return [rows[at] for _, at in zip(range(limit), places, strict=False)]


def uncertainty(item: QueueItem) -> float:
    """Return how little the model knows what a listing sells, in [0, 1]; 0 is certain.

    The mean of two parts. ``1 - margin``: the probability of the most likely class less that of the
    second, where the classes are the candidates' models and "no match" (margin sampling; Settles,
    Active Learning Literature Survey, 2009, section 3.1). And the closeness of `match_probability`
    to the nearest threshold that decides: the ratio of their odds, the smaller over the larger.
    Without candidates the class is "no match" for certain, and the uncertainty 0.
    """
    answer = item.resolution
    shares = {candidate.model: candidate.probability for candidate in answer.candidates}
    second, first = sorted([0.0, max(0.0, 1.0 - sum(shares.values())), *shares.values()])[-2:]
    odds = _odds(answer.match_probability)
    deciding = [_odds(at) for at in item.thresholds if 0 < at < 1]
    closeness = max((min(odds, at) / max(odds, at) for at in deciding), default=0.0)
    return (1 - min(1.0, first - second) + closeness * bool(shares)) / 2


def vote_entropy(votes: Sequence[str]) -> float:
    """Return how much rankers disagree, in [0, 1]: 0 if all name one model, 1 if each another.

    The entropy of the shares of votes over the logarithm of the number of rankers (vote entropy;
    Dagan and Engelson, Committee-Based Sampling, ICML 1995). Fewer than two votes: 0.
    """
    if len(votes) < 2:
        return 0.0
    shares = [count / len(votes) for count in Counter(votes).values()]
    return sum(-share * math.log(share) for share in shares) / math.log(len(votes))


def disagreement(item: QueueItem) -> float:
    """Return the vote entropy of a listing, with uncertainty between equal ones, in [0, 1]."""
    entropy = vote_entropy(item.votes)
    return _ENTROPY_SHARE * entropy + (1 - _ENTROPY_SHARE) * uncertainty(item)


def _odds(probability: float) -> float:
    inside = min(max(probability, _LEAST_PROBABILITY), 1 - _LEAST_PROBABILITY)
    return inside / (1 - inside)


def _by_chance(
    items: Sequence[QueueItem], seed: int, answered: Sequence[QueueItem]
) -> Iterator[int]:
    """Yield places of items in random order, each title once."""
    asked = {title_key(item.listing.title) for item in answered}
    for at in np.random.default_rng(seed).permutation(len(items)).tolist():
        key = title_key(items[at].listing.title)
        if key not in asked:
            asked.add(key)
            yield at


def _by_value(
    items: Sequence[QueueItem], values: Sequence[float], answered: Sequence[QueueItem]
) -> Iterator[int]:
    """Yield places of items greedily: always the one of the largest discounted value."""
    everything = [*items, *answered]
    diversity = Diversity(
        [item.listing.title for item in everything],
        [item.resolution.model or "" for item in everything],
        [item.shop for item in everything],
    )
    for at in range(len(items), len(everything)):
        diversity.take(at)
    value = np.array([*values, *[0.0] * len(answered)])
    while diversity.open.any():
        at = int(np.argmax(np.where(diversity.open, value * diversity.discount(), -1.0)))
        diversity.take(at)
        yield at
