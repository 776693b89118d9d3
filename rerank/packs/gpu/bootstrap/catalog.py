"""The registry as the generator draws from it: products, their models, and dealt decks of them.

Besides, the texts in which sellers state a product's memory size, memory type and bus.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from rerank.index.records import DEFAULT_FORM_FACTOR, GpuRecord
from rerank.packs.gpu.bootstrap.grammar import Dice, Weighted
from rerank.packs.gpu.bootstrap.spelling import (
    EDITION_WORDS,
    MarketingName,
    Shapes,
    is_mobile,
    key_of,
    name_parts,
    shapes_by_model,
)

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
    them even a name without its edition ("RTX 4500 24GB") means this model. ``markets`` are the
    segments of its variants, with their years.
    """

    model: str
    products: tuple[Product, ...]
    draw: Weighted[Product]
    shapes: Shapes
    forms: frozenset[str]
    copies: int
    own_sizes: frozenset[float]
    markets: tuple[tuple[str, int], ...]

    def memory_tells(self, product: Product) -> bool:
        """Return whether the size tells this variant from all models without the last suffixes."""
        dropped = set(product.name.suffixes) & DROPPED_SUFFIXES
        return bool(dropped) and product.record.memory_gb in self.own_sizes

    def suits(self, segments: Collection[str], since: int) -> bool:
        """Return whether a variant of the model belongs to one of the segments, not too old."""
        return any(
            (not segments or segment in segments) and year >= since
            for segment, year in self.markets
        )


def segment_of(product: Product) -> str:
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
    """All models of a registry that are sold apart, and decks that deal them evenly.

    Names of the others tell, too, what means one model alone. It never changes: `catalog_of` keeps
    the latest, for a training draws six times from one registry.
    """

    def __init__(self, registry: Sequence[GpuRecord]) -> None:
        by_model: dict[str, list[GpuRecord]] = defaultdict(list)
        for record in sorted(registry, key=lambda r: r.gpu_id):
            by_model[record.model].append(record)
        shapes = shapes_by_model(record for records in by_model.values() for record in records)
        self.entries = {
            model: _entry(model, by_model[model], shapes[model], own)
            for model, own in sorted(_own_sizes(by_model).items())
            if by_model[model][0].sold_apart
        }
        self._suiting: dict[tuple[frozenset[str], int], list[str]] = {}
        self._series: dict[tuple[str, ...], list[ModelEntry]] = defaultdict(list)
        for entry in self.entries.values():
            self._series[_series_of(entry)].append(entry)

    @cached_property
    def spellings(self) -> frozenset[str]:
        """What remains of all names when spaces and case do not count."""
        shapes = (entry.shapes for entry in self.entries.values())
        return frozenset(key_of(shape) for each in shapes for shape in (each.full, *each.safe))

    def suiting(self, segments: Collection[str], since: int) -> list[str]:
        """Return the models of which a variant belongs to one of the segments, not too old."""
        key = frozenset(segments), since
        if key not in self._suiting:
            own = [model for model, each in self.entries.items() if each.suits(*key)]
            self._suiting[key] = own
        return self._suiting[key]

    def siblings(self, entry: ModelEntry) -> Sequence[ModelEntry]:
        """Return the models of an entry's series, itself among them."""
        return self._series[_series_of(entry)]

    def deck(self, dice: Dice, models: Collection[str] | None = None) -> Deck:
        """Return a deck of all models, or of these.

        :raises ValueError: when a model is not in the registry.
        """
        chosen = self.entries if models is None else sorted(models)
        unknown = [model for model in chosen if model not in self.entries]
        if unknown or not chosen:
            raise ValueError(f"expected models of the registry, got {unknown[:5]!r}")
        return Deck([self.entries[model] for model in chosen], dice)


@lru_cache(1)
def catalog_of(registry: tuple[GpuRecord, ...]) -> Catalog:
    """Return the catalogue of a registry, the same for the same content."""
    return Catalog(registry)


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


def _series_of(entry: ModelEntry) -> tuple[str, ...]:
    name = entry.products[0].name
    return (*name.brand, *name.series)


def _own_sizes(by_model: dict[str, list[GpuRecord]]) -> dict[str, frozenset[float]]:
    holders: dict[tuple[str, float], set[str]] = defaultdict(set)
    for model, records in by_model.items():
        for record in records:
            if not is_mobile(record):
                holders[name_parts(model).digits, record.memory_gb].add(model)
    return {
        model: frozenset(
            r.memory_gb
            for r in records
            if holders[name_parts(model).digits, r.memory_gb] == {model}
        )
        for model, records in by_model.items()
    }


def _entry(
    model: str, records: list[GpuRecord], shapes: Shapes, own_sizes: frozenset[float]
) -> ModelEntry:
    name = name_parts(model)
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
        tuple(sorted({(segment_of(product), product.year) for product in products})),
    )


def _copies(records: list[GpuRecord], frequent: bool) -> int:
    """Laptop chips are a third of the registry and hardly ever sold alone."""
    if all(is_mobile(record) for record in records):
        return MOBILE_COPIES
    return FREQUENT_COPIES if frequent else DESKTOP_COPIES


GB_UNITS = Weighted(
    ("GB", "Gb", "gb", " GB", " Gb", "G", " gb", "Gb ", "g", " G"),
    (40, 8, 8, 14, 5, 14, 4, 3, 2, 2),
)
GB_UNITS_RU = Weighted(
    ("GB", "Gb", "gb", " GB", " Gb", "G", " ГБ", "ГБ", "гб", " гб", "Гб", " гига"),
    (16, 10, 12, 6, 5, 8, 8, 8, 8, 5, 6, 1),
)
MB_UNITS = Weighted(
    ("MB", "Mb", "mb", " MB", " Mb", "M", "m", " МБ", " Мб"), (30, 12, 8, 10, 8, 10, 2, 2, 3)
)
GO_UNITS = ("Go", " Go", "GB", " GB")
BITS_BY_GIGABYTES = {
    1: (64, 128, 256),
    2: (64, 128, 256),
    3: (192, 384),
    4: (128, 256),
    5: (160, 320),
    6: (192, 96),
    8: (128, 256),
    10: (320, 160),
    11: (352,),
    12: (192, 384),
    16: (256, 128),
    20: (320, 160),
    24: (384,),
    32: (512, 256),
    48: (384,),
}
BITS_SUFFIXES = ("-bit", "-Bit", " bit", "bit", "-BIT", " Bits", "Bit")


def memory_text(product: Product, dice: Dice, *, cyrillic: bool = False) -> str:
    """Return the memory size: ``8GB``, ``8 Гб``, ``512MB``, ``4096Mb``."""
    megabytes = product.megabytes
    whole, rest = divmod(megabytes, 1024)
    if not rest and not (megabytes <= 8192 and dice.chance(0.06)):
        return f"{whole}{(GB_UNITS_RU if cyrillic else GB_UNITS).draw(dice)}"
    if megabytes > 1024 and rest and dice.chance(0.4):
        size = f"{megabytes / 1024:g}"
        return f"{size.replace('.', ',') if cyrillic else size}{GB_UNITS.draw(dice)}"
    return f"{megabytes}{MB_UNITS.draw(dice)}"


def memory_french(product: Product, dice: Dice) -> str:
    """Return the memory size in Go or Mo."""
    whole, rest = divmod(product.megabytes, 1024)
    return f"{product.megabytes} Mo" if rest else f"{whole}{dice.pick(GO_UNITS)}"


def memory_spaced(product: Product) -> str:
    """Return the memory size as catalogues write it: ``8 GB``."""
    whole, rest = divmod(product.megabytes, 1024)
    return f"{product.megabytes} MB" if rest else f"{whole} GB"


def memory_type(product: Product, dice: Dice, *, exact: bool) -> str:
    """Return the memory type; sellers shorten GDDR6X to GDDR6, DDR6 or D6 unless it tells apart."""
    text = product.record.memory_type
    roll = dice.random()
    if exact or roll < 0.72:
        return text.lower() if roll < 0.06 else text
    if roll < 0.73:
        return text.replace("GDDR", "GDRR")
    if roll < 0.8:
        return text.removeprefix("G")
    if roll < 0.86 and text.endswith("X"):
        return text.removesuffix("X")
    if roll < 0.9 and "DDR" in text:
        return "D" + text.split("DDR")[1]
    return f"{text} " if roll < 0.95 else text.replace("DDR", "ddr").replace("G", "g")


def bus_text(product: Product, dice: Dice) -> str:
    """Return the bus: ``PCI Express 4.0 x16``, ``AGP 8X``."""
    form = product.record.form_factor
    if form == "AGP":
        return dice.pick(("AGP", "AGP 8x", "AGP 4x/8x", "AGP 8X"))
    if form == "PCI":
        return dice.pick(("PCI", "PCI (not PCI-E)", "PCI slot"))
    if form != "PCIe":
        return ""
    year = product.year
    generation = "5.0" if year >= 2025 else "4.0" if year >= 2020 else "3.0"
    generation = generation if year >= 2012 else "2.0" if year >= 2008 else "1.0"
    lanes = dice.pick((" x16", " x16", "", " x8", " x 16", "x16"))
    return dice.pick(
        (
            f"PCI Express {generation}{lanes}",
            f"PCI Express {generation}{lanes}",
            f"PCIe {generation}{lanes}",
            f"PCI-E {generation}{lanes}",
            "PCIe",
            "PCI-E",
            "PCIe x16",
            "PCI-Express x16",
            f"PCI-E {generation}",
        )
    )


def bits_text(product: Product, dice: Dice) -> str:
    """Return a bus width plausible for the memory size: ``256-bit``."""
    widths = BITS_BY_GIGABYTES.get(product.megabytes // 1024, (64, 128))
    return f"{dice.pick(widths)}{dice.pick(BITS_SUFFIXES)}"


@dataclass(frozen=True, slots=True)
class Product:
    """A registry record with its name in parts."""

    record: GpuRecord
    name: MarketingName

    @property
    def megabytes(self) -> int:
        """Return the memory size in MB."""
        return round(self.record.memory_gb * 1024)

    @property
    def size(self) -> str:
        """Return the size as part numbers write it: ``8G``, ``512M``, ``1536M``."""
        whole, rest = divmod(self.megabytes, 1024)
        return f"{self.megabytes}M" if rest else f"{whole}G"

    @property
    def year(self) -> int:
        """Return the release year."""
        return self.record.release_year

    @property
    def geforce(self) -> bool:
        """Return whether the model is a GeForce."""
        return self.name.brand == ("GeForce",)
