"""The annotation queue: which listings to ask about first, and which words set candidates apart.

What an answer is worth is the model's uncertainty or the rankers' disagreement; listings are then
chosen one by one, and what resembles a chosen or answered one is worth less (`diversity`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from rerank.evaluation.metrics import (
    ACCEPTED_SHARE,
    AURC,
    BRIER,
    FALSE_ACCEPTS,
    PRECISION_AT_1,
    PRECISION_OF_ACCEPTED,
    Better,
    Metric,
    share_at_precision,
)
from rerank.index.errors import InputError
from rerank.index.records import Bools, Doubles, Ints, Listing
from rerank.index.text import normalise, runs
from rerank.resolution import Resolution

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
        [item.resolution.best_guess or "" for item in everything],
        [item.shop for item in everything],
    )
    for at in range(len(items), len(everything)):
        diversity.take(at)
    value = np.array([*values, *[0.0] * len(answered)])
    while diversity.open.any():
        at = int(np.argmax(np.where(diversity.open, value * diversity.discount(), -1.0)))
        diversity.take(at)
        yield at


NEAR_COSINE = 0.9
"""From this cosine on, titles of one predicted model are the same question."""

# A number this long is an article number or an EAN; no model and no memory size has six digits.
_ARTICLE_DIGITS = 6
# Halving takes 3 more answers for one model, but 15 more from one shop: there are some hundred
# models and a handful of shops, and a shop with many listings shall be asked about more often.
_MODEL_DISCOUNT = 0.5
_SHOP_DISCOUNT = 0.25


def title_key(title: str) -> str:
    """Return what titles share that differ only in case, punctuation or article numbers.

    Runs of letters and digits in their order, without numbers of six digits or more; the stripped
    title itself if that leaves nothing.
    """
    words = [run.text for run in runs(normalise(title))]
    kept = [word for word in words if not (word.isdigit() and len(word) >= _ARTICLE_DIGITS)]
    return " ".join(kept) or title.strip()


class TitleSimilarity:
    """Cosine of TF-IDF vectors over the words of titles, in any order; 0 for a title without words.

    A word's weight is log(1 + titles / titles that hold it), each word counted once a title.

    :param keys: the titles as `title_key` returns them.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        words = [sorted(set(key.split())) for key in keys]
        columns = {word: at for at, word in enumerate(sorted(set().union(*words)))}
        self._n = len(keys)
        self._offsets = np.concatenate([[0], np.cumsum([len(held) for held in words])])
        self._columns: Ints = np.array([columns[word] for held in words for word in held], np.int64)
        rows = np.repeat(np.arange(self._n), np.diff(self._offsets))
        counts = np.bincount(self._columns, minlength=len(columns))
        weights = np.log1p(self._n / counts)[self._columns]
        norms = np.sqrt(np.bincount(rows, weights=weights**2, minlength=self._n))
        self._weights: Doubles = weights / norms[rows]
        by_column = np.argsort(self._columns, kind="stable")
        self._posting_rows, self._posting_weights = rows[by_column], self._weights[by_column]
        self._posting_offsets = np.concatenate([[0], np.cumsum(counts)])

    def to(self, at: int) -> Doubles:
        """Return the cosine of every title to one of them, shape (titles,), in [0, 1]."""
        own = slice(self._offsets[at], self._offsets[at + 1])
        columns = self._columns[own]
        if not len(columns):
            return np.zeros(self._n)
        spans = [
            slice(self._posting_offsets[column], self._posting_offsets[column + 1])
            for column in columns
        ]
        rows = np.concatenate([self._posting_rows[span] for span in spans])
        weights = np.concatenate(
            [
                self._posting_weights[span] * weight
                for span, weight in zip(spans, self._weights[own], strict=True)
            ]
        )
        return np.minimum(np.bincount(rows, weights=weights, minlength=self._n), 1.0)


class Diversity:
    """What is still worth asking after some listings were taken: the state of a greedy choice.

    The discount of a listing is (1 - its largest cosine to a taken one) * (1 + taken of its
    predicted model) ** -1/2 * (1 + taken of its shop) ** -1/4. A listing is closed once one with
    the same `title_key` was taken, or one of its predicted model with a cosine of `NEAR_COSINE`
    or more; titles alike whose predicted models differ stay open, as siblings are worth asking.

    `open` has the shape (listings,): which may still be taken.

    :param titles: shape (listings,); so are ``models`` and ``shops``.
    """

    def __init__(self, titles: Sequence[str], models: Sequence[str], shops: Sequence[str]) -> None:
        keys = [title_key(title) for title in titles]
        self._similarity = TitleSimilarity(keys)
        self._key, self._model, self._shop = _codes(keys), _codes(models), _codes(shops)
        self._nearest: Doubles = np.zeros(len(titles))
        self._taken_of_model: Doubles = np.zeros(len(titles))
        self._taken_of_shop: Doubles = np.zeros(len(titles))
        self.open: NDArray[np.bool_] = np.ones(len(titles), np.bool_)

    def take(self, at: int) -> None:
        """Take a listing: it and its like are closed, similar ones lose worth."""
        cosine = self._similarity.to(at)
        same_model = self._model == self._model[at]
        self.open &= ~((cosine >= NEAR_COSINE) & same_model) & (self._key != self._key[at])
        np.maximum(self._nearest, cosine, out=self._nearest)
        self._taken_of_model += same_model
        self._taken_of_shop += self._shop == self._shop[at]

    def discount(self) -> Doubles:
        """Return the share of its value each listing keeps, shape (listings,), in [0, 1]."""
        crowded = (1 + self._taken_of_model) ** -_MODEL_DISCOUNT
        return (1 - self._nearest) * crowded * (1 + self._taken_of_shop) ** -_SHOP_DISCOUNT


def _codes(values: Sequence[str]) -> Ints:
    """Number values by their first occurrence."""
    places: dict[str, int] = {}
    return np.array([places.setdefault(value, len(places)) for value in values], np.int64)


@dataclass(frozen=True, slots=True)
class WordContrast:
    """What a title says of one candidate's name, without the words that all candidates share.

    :param said: words of its name that the title holds and some sibling's name lacks.
    :param unsaid: words of its name that the title lacks and some sibling's name lacks.
    :param unexplained: words of siblings' names that the title holds and its own name lacks.
    """

    said: tuple[str, ...] = ()
    unsaid: tuple[str, ...] = ()
    unexplained: tuple[str, ...] = ()

    @property
    def parts(self) -> list[str]:
        """What people are told, a few words each."""
        told = (
            ("title has", self.said),
            ("title lacks", self.unsaid),
            ("unexplained", self.unexplained),
        )
        return [f"{what} {' '.join(words)}" for what, words in told if words]


def word_contrasts(
    names: Sequence[Sequence[str]], says: Callable[[str], bool]
) -> list[WordContrast]:
    """Return what sets the names of candidates apart, in their order.

    :param names: of each candidate, the words of its name.
    :param says: whether the title holds a word.
    """
    shared = set[str](names[0]).intersection(*names) if names else set()
    told = dict.fromkeys(word for name in names for word in name if word not in shared)
    in_title = [word for word in told if says(word)]
    return [
        WordContrast(
            said=tuple(word for word in name if word in in_title),
            unsaid=tuple(word for word in name if word in told and word not in in_title),
            unexplained=tuple(word for word in in_title if word not in name),
        )
        for name in names
    ]


def holds_in_order(held: Sequence[str], wanted: Sequence[str]) -> bool:
    """Say whether some runs of a text are those wanted, one after the other."""
    size = len(wanted)
    return any(held[at : at + size] == wanted for at in range(len(held) - size + 1))


# Answers are few beside 80,000 generated listings and, as they were asked for, hard. In simulations
# with 25 to 100 answers 16 taught more than 4, and 160 did no harm; it stays lower, since with
# thousands of answers the generated listings must still be heard.
DEFAULT_WEIGHT = 20.0


class Halving(Enum):
    """What stays together when gold listings are halved.

    ``MODEL``: the listings of a model, and those without one that share their words; what is
    measured is what answers about some models teach about others. ``LISTING``: listings of one
    title; the models of the rest recur in the pool, as in a shop's next feed.
    """

    MODEL = "model"
    LISTING = "listing"


@dataclass(frozen=True, slots=True)
class SimulationPlan:
    """What is simulated.

    :param answers: numbers of answers after which a model is trained, rising.
    :param weight: how many generated listings an answer counts as.
    """

    answers: tuple[int, ...] = (25, 50, 100)
    repeats: int = 20
    queues: tuple[QueueStrategy, ...] = tuple(QueueStrategy)
    halving: Halving = Halving.MODEL
    weight: float = DEFAULT_WEIGHT
    seed: int = 7

    def __post_init__(self) -> None:
        rising = sorted(set(self.answers))
        if not rising or rising != list(self.answers) or rising[0] < 1:
            raise InputError(f"expected rising numbers of answers, got {list(self.answers)}")
        if self.repeats < 1 or not self.queues:
            raise InputError(
                f"expected at least 1 repeat and 1 queue, got {self.repeats} and {len(self.queues)}"
            )


_LEAST_SURPRISE = 1e-3  # a certain error counts as one in a thousand, not as infinite


def _surprise(probability: Doubles, correct: Bools) -> Doubles:
    p = np.clip(probability, _LEAST_SURPRISE, 1 - _LEAST_SURPRISE)
    return np.asarray(-np.log(np.where(correct, p, 1 - p)))


LOG_LOSS = Metric(
    name="log_loss",
    label="log loss",
    definition="how surprised the probabilities are by the outcomes",
    formula="mean of -log p of what came true, p held within [0.001, 0.999]",
    source="Good, Rational Decisions, 1952",
    better=Better.LOWER,
    per_listing=_surprise,
    highest=6.91,
)
MEASURES = (
    PRECISION_AT_1,
    BRIER,
    LOG_LOSS,
    replace(AURC, label="risk-coverage"),
    replace(share_at_precision(), name="accepted_at_99", label="accepted at 99 %"),
    replace(ACCEPTED_SHARE, label="accepted"),
    replace(PRECISION_OF_ACCEPTED, label="precision of these"),
    replace(FALSE_ACCEPTS, label="false matches"),
)
"""What is measured of a simulation's rest."""
