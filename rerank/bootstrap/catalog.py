"""The registry prepared for drawing: variants by model, shapes of names, dealt decks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from index.records import DEFAULT_FORM_FACTOR, GpuRecord
from rerank.bootstrap.dice import Dice, Weighted
from rerank.bootstrap.model_name import parse_model
from rerank.bootstrap.product import Product
from rerank.bootstrap.spelling import EDITION_WORDS, Shapes, is_mobile, shapes_by_model

DROPPED_SUFFIXES = EDITION_WORDS | {"NVL", "Ti", "SUPER", "XT", "XTX", "GRE"}
PRO_LINES = ("quadro", "nvs", "firepro", "firegl", "firemv", "pro", "workstation")
DATACENTER_LINES = ("tesla", "data center", "grid", "instinct", "firestream")
MINING_LINES = ("cmp", "mining", "p10")
MOBILE_COPIES, DESKTOP_COPIES, FREQUENT_COPIES = 1, 4, 9
# Series with many siblings and most listings are dealt twice as often.
FREQUENT_SERIES = frozenset(["RTX", "GTX", "RX"])
# Mobile, SXM, AGP ... variants of a model that also comes as a PCIe card are rarely sold.
SPECIAL_FORM_WEIGHT = 0.35


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model with its variants in the order of gpu_id.

    ``own_sizes`` are memory sizes in GB that no other model of the same number has: with one of
    them even a name without its edition ("RTX 4500 24GB") means this model.
    """

    model: str
    products: tuple[Product, ...]
    draw: Weighted[Product]
    shapes: Shapes
    forms: frozenset[str]
    copies: int
    own_sizes: frozenset[float]

    def memory_tells(self, product: Product) -> bool:
        """Return whether the size tells this variant from all models without the last suffixes."""
        dropped = set(product.name.suffixes) & DROPPED_SUFFIXES
        return bool(dropped) and product.record.memory_gb in self.own_sizes

    def suits(self, segments: Collection[str], since: int) -> bool:
        """Return whether a variant of the model belongs to one of the segments, not too old."""
        return any(
            (not segments or self.segment(product) in segments) and product.year >= since
            for product in self.products
        )

    def segment(self, product: Product) -> str:
        """Return the kind of market the variant is sold on."""
        record = product.record
        line = record.line.lower()
        if is_mobile(record):
            return "mobile"
        if any(word in line for word in MINING_LINES) or record.model.startswith(("P10", "CMP")):
            return "mining"
        if any(word in line for word in DATACENTER_LINES):
            return "datacenter"
        return "pro" if any(word in line for word in PRO_LINES) else "consumer"


class Catalog:
    """All models of a registry, and decks that deal them evenly."""

    def __init__(self, registry: Sequence[GpuRecord]) -> None:
        by_model: dict[str, list[GpuRecord]] = defaultdict(list)
        for record in sorted(registry, key=lambda r: r.gpu_id):
            by_model[record.model].append(record)
        shapes = shapes_by_model(record for records in by_model.values() for record in records)
        self.entries = {
            model: _entry(model, by_model[model], shapes[model], own)
            for model, own in sorted(_own_sizes(by_model).items())
        }

    def deck(self, dice: Dice, models: Collection[str] | None = None) -> Deck:
        """Return a deck of all models, or of these.

        :raises ValueError: when a model is not in the registry.
        """
        chosen = self.entries if models is None else sorted(models)
        unknown = [model for model in chosen if model not in self.entries]
        if unknown or not chosen:
            raise ValueError(f"expected models of the registry, got {unknown[:5]!r}")
        return Deck([self.entries[model] for model in chosen], dice)


class Deck:
    """Deals every model equally often, in random order."""

    def __init__(self, entries: Sequence[ModelEntry], dice: Dice) -> None:
        self._cards = [entry for entry in entries for _ in range(entry.copies)]
        self._dice = dice
        self._pile: list[ModelEntry] = []

    def deal(self) -> tuple[ModelEntry, Product]:
        """Return the next model and one of its variants."""
        if not self._pile:
            self._pile = self._dice.shuffled(self._cards)
        entry = self._pile.pop()
        return entry, entry.draw.draw(self._dice)


def _own_sizes(by_model: dict[str, list[GpuRecord]]) -> dict[str, frozenset[float]]:
    holders: dict[tuple[str, float], set[str]] = defaultdict(set)
    for model, records in by_model.items():
        for record in records:
            if not is_mobile(record):
                holders[parse_model(model).digits, record.memory_gb].add(model)
    return {
        model: frozenset(
            r.memory_gb
            for r in records
            if holders[parse_model(model).digits, r.memory_gb] == {model}
        )
        for model, records in by_model.items()
    }


def _entry(
    model: str, records: list[GpuRecord], shapes: Shapes, own_sizes: frozenset[float]
) -> ModelEntry:
    name = parse_model(model)
    products = tuple(Product(record, name) for record in records)
    forms = frozenset(record.form_factor for record in records)
    plain = DEFAULT_FORM_FACTOR in forms
    weights = [
        SPECIAL_FORM_WEIGHT if plain and r.form_factor != DEFAULT_FORM_FACTOR else 1.0
        for r in records
    ]
    frequent = (
        name.main_series in FREQUENT_SERIES
        and max(record.release_year for record in records) >= 2010
    )
    return ModelEntry(
        model,
        products,
        Weighted(products, weights),
        shapes,
        forms,
        _copies(records, frequent),
        own_sizes,
    )


def _copies(records: list[GpuRecord], frequent: bool) -> int:
    """Laptop chips are a third of the registry and hardly ever sold alone."""
    if all(is_mobile(record) for record in records):
        return MOBILE_COPIES
    return FREQUENT_COPIES if frequent else DESKTOP_COPIES
