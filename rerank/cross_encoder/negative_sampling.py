"""What is read of each query in an epoch: drawn anew, hard and random negatives mixed.

Everything drawn follows from (seed, epoch, query), so that a run that was stopped draws the same
when it goes on, wherever it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rerank.cross_encoder.query_packs import Document, QueryPack
from rerank.cross_encoder.settings import SamplingSettings

_TRIES = 4  # random documents looked at for each one wanted; a hit on the query's own is passed by


@dataclass(frozen=True, slots=True)
class DrawnQuery:
    """A query with the texts that it is trained on in one epoch."""

    query_text: str
    positives: tuple[str, ...]
    negatives: tuple[str, ...]


class NegativeSampler:
    """Draws documents for the queries of a training set."""

    def __init__(
        self, packs: Sequence[QueryPack], settings: SamplingSettings, *, seed: int
    ) -> None:
        self._packs, self._settings, self._seed = packs, settings, seed
        by_text = {item.text: item for pack in packs for item in (*pack.positives, *pack.negatives)}
        self._pool = list(by_text.values())

    def order(self, epoch: int) -> list[int]:
        """Return the numbers of all queries in the order of an epoch."""
        rng = np.random.default_rng([self._seed, epoch])
        return [int(at) for at in rng.permutation(len(self._packs))]

    def draw(self, number: int, epoch: int) -> DrawnQuery:
        """Draw documents for a query in an epoch.

        Where there are too few hard negatives, random ones take their place, and the other way
        round. No positive of the query is among the negatives.
        """
        pack, rng = self._packs[number], np.random.default_rng([self._seed, epoch, number])
        wanted = self._settings.negatives
        positives = _some(pack.positives, self._settings.positives, rng)
        hard = _some(pack.negatives, len(pack.negatives), rng)
        n_hard = min(len(hard), round(wanted * self._settings.hard_share))
        strange = self._strange(pack, wanted - n_hard, rng)
        n_hard = min(len(hard), wanted - len(strange))
        negatives = [*hard[:n_hard], *strange]
        return DrawnQuery(
            pack.query_text,
            tuple(item.text for item in positives),
            tuple(item.text for item in negatives),
        )

    def _strange(self, pack: QueryPack, wanted: int, rng: np.random.Generator) -> list[Document]:
        """Return documents of other queries, each once, none of this query's own."""
        own = {item.doc_id for item in (*pack.positives, *pack.negatives)}
        own_texts = {item.text for item in (*pack.positives, *pack.negatives)}
        found: dict[str, Document] = {}
        for at in rng.integers(len(self._pool), size=_TRIES * wanted + len(own) * (wanted > 0)):
            item = self._pool[int(at)]
            if len(found) < wanted and item.doc_id not in own and item.text not in own_texts:
                found[item.text] = item
        return list(found.values())


def _some(items: Sequence[Document], n: int, rng: np.random.Generator) -> list[Document]:
    """Return up to n items, in an order that is drawn."""
    return [items[int(at)] for at in rng.permutation(len(items))[:n]]
