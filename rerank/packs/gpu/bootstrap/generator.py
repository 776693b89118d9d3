"""Generate labelled listings from a registry: training data without a single real label."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rerank.index.records import GpuRecord, LabelledListing, Listing
from rerank.packs.gpu.bootstrap.card import Card, Rivals
from rerank.packs.gpu.bootstrap.catalog import (
    Catalog,
    Deck,
    ModelEntry,
    Product,
    catalog_of,
    segment_of,
)
from rerank.packs.gpu.bootstrap.grammar import (
    DEFAULT_PATH,
    Dice,
    Grammar,
    Partners,
    Vocabulary,
    Weighted,
    load_vocabulary,
    render,
)
from rerank.packs.gpu.bootstrap.spelling import babble, disturb, key_of

DEFAULT_NIL_SHARE = 0.35
# How often a listing's vendor column and description are filled.
VENDOR_SHARE = 0.4
DESCRIPTION_SHARE = 0.12
# How often words of a language that is not known stand before or behind what is said, whatever is
# sold: so such words say nothing, and neither does how many there are.
UNKNOWN_WORDS_SHARE = 0.15
# How often a suffix is left out where the memory size tells the model all the same.
MEMORY_TELLS, MEMORY_TELLS_SHARE = "memory_tells", 0.2
# Words of a GPU outside the registry must not spell one inside it.
GHOST_LISTS = ("ghost_gpu", "legacy_gpu")


def generate(
    registry: Sequence[GpuRecord],
    n: int,
    *,
    seed: int,
    nil_share: float = DEFAULT_NIL_SHARE,
    models: Collection[str] | None = None,
    words: Path = DEFAULT_PATH,
) -> list[LabelledListing]:
    """Return n labelled listings, the same for the same arguments and registry content.

    :param nil_share: share of listings that sell no GPU of the registry.
    :param models: the models sold in matches; nil listings may name any.
    :raises ValueError: when the registry is empty, a model unknown or the share not in [0, 1].
    """
    if not registry or not 0.0 <= nil_share <= 1.0:
        raise ValueError(
            f"expected a registry and a nil_share in [0, 1], got {len(registry)} records and "
            f"{nil_share!r}"
        )
    dice = Dice(np.random.default_rng(seed))
    catalog = catalog_of(tuple(registry))
    writer = _Writer(
        _without_real_names(load_vocabulary(words), catalog),
        sold=catalog.deck(dice, models),
        catalog=catalog,
        dice=dice,
    )
    return [
        writer.nil(f"g{i:07d}") if dice.chance(nil_share) else writer.match(f"g{i:07d}")
        for i in range(n)
    ]


class _Writer:
    """Draws a product and a grammar and writes one listing at a time."""

    def __init__(self, vocabulary: Vocabulary, *, sold: Deck, catalog: Catalog, dice: Dice) -> None:
        self._vocabulary, self._catalog, self._dice = vocabulary, catalog, dice
        self._sold, self._rivals = sold, catalog.deck(dice)
        self._mentioned = {
            g.name: catalog.deck(dice, catalog.suiting(g.segments, g.since) or None)
            for g in vocabulary.nil
        }
        self._partners = Partners(vocabulary)
        self._nil = Weighted(vocabulary.nil, [g.weight for g in vocabulary.nil])
        self._match = {
            segment: _suiting(vocabulary.match, segment)
            for segment in sorted({s for g in vocabulary.match for s in g.segments})
        }

    def match(self, listing_id: str) -> LabelledListing:
        """Return a listing that sells a GPU."""
        entry, product = self._sold.deal()
        card = self._card(entry, product)
        if entry.memory_tells(product) and self._dice.chance(MEMORY_TELLS_SHARE):
            grammar = self._match[MEMORY_TELLS].draw(self._dice)
        else:
            grammar = self._match[segment_of(product)].draw(self._dice)
        title = self._title(card, grammar)
        if not card.named:  # cyrillic and code-only templates name it too; this is a guard
            title = f"{title} {card.field('name')}"
        if card.needs_form():
            title = f"{title} {card.form()}"
        return LabelledListing(
            listing=self._listing(listing_id, title, card, "sentence_match"),
            kind="match",
            gpu_id=product.record.gpu_id,
            model=product.record.model,
            memory_stated=card.memory_stated,
            form_stated=card.form_stated,
            mentions=None,
            template=grammar.name,
        )

    def nil(self, listing_id: str) -> LabelledListing:
        """Return a listing that sells something else."""
        grammar = self._nil.draw(self._dice)
        card = self._card(*self._mentioned[grammar.name].deal())
        title = self._title(card, grammar)
        return LabelledListing(
            listing=self._listing(listing_id, title, card, grammar.descriptions),
            kind="nil",
            gpu_id=None,
            model=None,
            memory_stated=card.memory_stated,
            form_stated=card.form_stated,
            mentions=card.product.record.model if card.named else None,
            template=grammar.name,
        )

    def _card(self, entry: ModelEntry, product: Product) -> Card:
        rival, _ = self._rivals.deal()
        other = " ".join(rival.shapes.full) if rival is not entry else "others"
        rivals = Rivals(other, self._catalog.siblings(entry))
        return Card(entry, product, self._vocabulary, self._partners, rivals, self._dice)

    def _title(self, card: Card, grammar: Grammar) -> str:
        dice = self._dice
        title = render(dice.pick(grammar.templates), card.field, dice)
        if not dice.chance(UNKNOWN_WORDS_SHARE):
            return title
        before, behind = dice.pick(((True, False), (False, True), (True, True)))
        title = f"{babble(dice)} {title}" if before else title
        return f"{title}{dice.pick((' ', ', ', ' - '))}{babble(dice)}" if behind else title

    def _listing(self, listing_id: str, title: str, card: Card, descriptions: str) -> Listing:
        dice = self._dice
        vendor = description = ""
        if dice.chance(VENDOR_SHARE):
            vendor = self._vendor_column(card, title)
        # What is cut off or misspelt of another thing may be all that tells it from a card.
        evidence = list(card.evidence) if descriptions == "sentence_match" else [title]
        telling = descriptions not in ("", "sentence_match")
        if telling or dice.chance(DESCRIPTION_SHARE):
            texts = self._vocabulary.words[descriptions or "sentence"]
            description = render(dice.pick(texts), card.field, dice)
        return Listing(
            listing_id=listing_id,
            title=disturb(title, evidence, dice),
            vendor=vendor,
            description=description,
        )

    def _vendor_column(self, card: Card, title: str) -> str:
        roll = self._dice.random()
        if not card.named and roll < 0.8:  # other goods: their maker mostly comes first
            return title.split(" ", 1)[0]
        if roll < 0.55:
            return card.brand
        if roll < 0.75:
            return card.product.record.vendor
        return card.field("shop" if roll < 0.88 else "vendor_column")


def _suiting(grammars: Sequence[Grammar], segment: str) -> Weighted[Grammar]:
    suiting = [g for g in grammars if segment in g.segments]
    return Weighted(suiting, [g.weight for g in suiting])


def _without_real_names(vocabulary: Vocabulary, catalog: Catalog) -> Vocabulary:
    """Drop invented and ancient GPUs that the registry knows after all."""
    words, real = dict(vocabulary.words), catalog.spellings
    for name in GHOST_LISTS:
        words[name] = tuple(
            text
            for text in words[name]
            if key_of("".join(part for part in text if isinstance(part, str)).split()) not in real
        )
    return replace(vocabulary, words=words)
