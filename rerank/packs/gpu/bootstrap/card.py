"""One listing in the making: what the fields of its templates write, and what they state."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from rerank.index.records import DEFAULT_FORM_FACTOR, GpuRecord
from rerank.packs.gpu.bootstrap.catalog import (
    DROPPED_SUFFIXES,
    ModelEntry,
    Product,
    bits_text,
    bus_text,
    memory_french,
    memory_spaced,
    memory_text,
    memory_type,
)
from rerank.packs.gpu.bootstrap.grammar import (
    Dice,
    Partners,
    Sequence_,
    Vocabulary,
    fill,
    parse,
    render,
)
from rerank.packs.gpu.bootstrap.spelling import (
    EDITION_WORDS,
    babble,
    invented_word,
    spell,
    spell_cyrillic,
)
from rerank.packs.gpu.naming import parse_model
from rerank.packs.gpu.part_numbers import PARTNERS, Board, Rule, written

# Codes of these partners spell the model; one of them stands in when a title has only a code.
READABLE = ("asus", "gigabyte", "msi", "pny", "powercolor", "asrock", "afox")
VENDOR_WORDS = {
    "NVIDIA": ("NVIDIA", "NVIDIA", "nVidia", "Nvidia", "nvidia", "nVIDIA", "NVidia", "NVIDIA®"),
    "AMD": ("AMD", "AMD", "AMD", "amd", "AMD/ATI"),
    "Intel": ("Intel", "Intel", "INTEL", "intel"),
    "Matrox": ("Matrox", "Matrox", "MATROX", "matrox"),
}
ATI_UNTIL = 2011
MODERN_SINCE = 2018
FORM_WORDS = {
    "mobile": ("laptop", "Laptop", "mobile", "Notebook", "MXM", "для ноутбука", "Laptop GPU"),
    "MXM": ("MXM", "MXM 3.0", "MXM 3.0b", "MXM laptop", "MXM module"),
    "Max-Q": ("Max-Q", "Max-Q laptop", "Max Q", "MaxQ"),
    "AGP": ("AGP", "AGP 8x", "AGP8X"),
    "PCI": ("PCI", "PCI (not PCIe)", "PCI slot"),
    "server": ("Server Edition", "Server", "Passive server"),
    "workstation": ("Workstation Edition", "Workstation"),
    "PCIe": ("PCIe", "PCI-E", "PCIe x16", "PCI Express"),
}
OEM_NUMBERS = (
    "{d6}-001",
    "{d6}-001 {d6}-001",
    "0{x5}",
    "{x5}",
    "CN-0{x5}",
    "00FC{d3}",
    "03T{d4}",
    "FRU {d2}{l1}{d4}",
    "{l1}{d5}-001",
    "SPS {d6}-001",
    "P/N {x5}",
    "{d3}-{l5}",
)
COMPARISONS = (
    "equivalent to {vs}",
    "like {vs}",
    "better than {vs}",
    "(faster than {vs})",
    "= {vs}",
    "similar to {vs}",
    "beats {vs}",
    "vs {vs} performance",
    "лучше {vs}",
    "аналог {vs}",
    "besser als {vs}",
    "upgrade from {vs}",
)
SLANG = {
    ("GeForce GTX 1060", 6144): "1066",
    ("GeForce GTX 1060", 3072): "1063",
    ("GeForce GTX 1060", 5120): "1065",
}

NVIDIA_BOARDS = ("900-", "699-")
BOARD_NUMBER = re.compile(r"(?:900|699)-\w{5}|\w*\d{3}\w*")
# No letter that is a suffix of a model, nor begins one.
_SKU_TAIL_STARTS = "PNCBKFHJQE"
_RANDOM_ID = re.compile(r"^([dlx])(\d)$")
_HEX = "0123456789ABCDEFGHJKLMNPRTVWXY"


# Many sellers leave the memory size out; without them "unsaid" would look like "no card".
SILENT_SHARE = 0.35
MEMORY_FIELDS = frozenset(["mem", "mem_spaced", "mem_fr", "size_short"])
DENIALS = (
    *("not", "no", "non", "not a", "kein", "keine", "nicht", "pas", "pas de", "sans", "no es"),
    *("sin", "não é", "sem", "senza", "non", "niet", "ikke", "inte", "ei", "nie", "bez", "nem"),
    *("není", "nu", "не", "без", "değil", "bukan"),
)
LEADING_COMPARISONS = (
    "faster than {vs}",
    "better than a {vs}",
    "beats {vs} -",
    "stronger than {vs}:",
    "лучше чем {vs},",
    "мощнее {vs} -",
    "besser als {vs}:",
    "schneller als {vs} -",
    "mejor que {vs} -",
    "plus rapide que {vs},",
    "melhor que {vs} -",
    "lepsza niż {vs},",
    "jobb mint {vs},",
    "meglio di {vs} -",
    "equivalent to {vs},",
    "аналог {vs} -",
    "vs {vs} -",
    "replacement for {vs} -",
    "upgrade from {vs} to",
    "比{vs}快",
)


class Rivals(NamedTuple):
    """Other models than the one a listing is about.

    :param any: the name of a model of any kind.
    :param siblings: models of the same series.
    """

    any: str
    siblings: Sequence[ModelEntry]


class Card:
    """Renders fields for one product and remembers which facts they stated."""

    def __init__(
        self,
        entry: ModelEntry,
        product: Product,
        vocabulary: Vocabulary,
        partners: Partners,
        rivals: Rivals,
        dice: Dice,
    ) -> None:
        self.entry, self.product, self.dice = entry, product, dice
        self._vocabulary, self._partners, self._rivals = vocabulary, partners, rivals
        self.partner = partners.draw(product.record.vendor, product.year, dice)
        self.brand = dice.pick(self.partner.names)
        self.named = self.memory_stated = self.form_stated = self._vendor_said = False
        self._silent = dice.chance(SILENT_SHARE)
        self.evidence: list[str] = []
        self.used: list[str] = []

    def field(self, name: str) -> str:
        """Return the text of a field or of one of the words of a list."""
        self.used.append(name)
        if self._silent and name in MEMORY_FIELDS:
            return ""
        maker = FIELDS.get(name)
        if maker is not None:
            return maker(self)
        words = self._vocabulary.words.get(name)
        if words is not None:
            return render(self.dice.pick(words), self.field, self.dice)
        return self._random_id(name)

    def _random_id(self, name: str) -> str:
        match = _RANDOM_ID.match(name)
        if match is None:
            raise KeyError(f"expected a field or a word list, got {name!r}")
        kind, n = match[1], int(match[2])
        if kind == "d":
            return self.dice.pick("123456789") + digits(n - 1, self.dice)
        if kind == "l":
            return letters(n, self.dice)
        return "".join(self.dice.pick(_HEX) for _ in range(n))

    def prove(self, text: str) -> str:
        """Remember a text that must survive truncation."""
        self.evidence.append(text)
        return text

    def naming(self, text: str) -> str:
        """Remember a text that names the model."""
        self.named = True
        return self.prove(text)

    def model_text(self, words: tuple[str, ...], *, loose: bool) -> str:
        """Write a shape of the model name."""
        if self._vendor_said and words[0] == self.product.record.vendor:
            words = words[1:]
        return self.naming(spell(words, self.dice, loose=loose))

    def any_shape(self) -> tuple[str, ...]:
        """Return the full shape or a shorter one that is still decidable."""
        shapes = self.entry.shapes
        return self.dice.pick((shapes.full, *shapes.safe))

    def memory(self, text: str) -> str:
        """Remember that the memory size is stated."""
        self.memory_stated = True
        return self.prove(text.strip())

    def form(self) -> str:
        """Return a word for the form factor."""
        form = self.product.record.form_factor
        self.form_stated = True
        return self.prove(self.dice.pick(FORM_WORDS.get(form, (form,))))

    def bus(self) -> str:
        """Return the bus; it states the form factor of plug-in cards."""
        text = bus_text(self.product, self.dice)
        self.form_stated |= bool(text)
        return text

    def code(self, *, readable: bool) -> str:
        """Return the partner's part number; ``readable`` insists on one that spells the model."""
        if readable and self.product.record.part_numbers and self.dice.chance(0.3):
            return self.listed_code()
        made = part_number(self.partner.codes, self.product.record, self.dice)
        if readable and (made is None or not made.identifies):
            partners = self.dice.shuffled(READABLE)
            codes = (part_number(partner, self.product.record, self.dice) for partner in partners)
            made = next((code for code in codes if code is not None and code.identifies), None)
        if made is None:
            return self.model_text(self.any_shape(), loose=False) if readable else ""
        self.named |= made.identifies
        self.memory_stated |= made.states_memory
        text = made.text.replace("-", "") if self.dice.chance(0.05) else made.text
        return self.prove(text) if readable else text

    def listed_code(self) -> str:
        """Return a part number the registry lists, with a maker's tail behind it."""
        tails = (
            "",
            "",
            f"-{digits(2, self.dice)}",
            f"-{letters(2, self.dice)}",
            f"{letters(3, self.dice)}-{digits(1, self.dice)}GD",
            f"{digits(1, self.dice)}",
        )
        return self.naming(self.dice.pick(self.product.record.part_numbers) + self.dice.pick(tails))

    def vendor(self) -> str:
        """Return the chip vendor's name as sellers write it."""
        self._vendor_said = True
        record = self.product.record
        if record.vendor == "AMD" and record.release_year <= ATI_UNTIL and self.dice.chance(0.7):
            return self.dice.pick(("ATI", "ATI", "AMD ATI", "ati"))
        return self.dice.pick(VENDOR_WORDS[record.vendor])

    def maker(self) -> str:
        """Return the board partner or the chip vendor, sometimes neither."""
        roll = self.dice.random()
        return self.brand if roll < 0.5 else self.vendor() if roll < 0.8 else ""

    def line(self) -> str:
        """Return a product line of the partner, sometimes none."""
        if self.dice.chance(0.12):
            return ""
        return self._partners.line(self.partner, self.product.year, self.dice)

    def memory_kind(self) -> str:
        """Return the memory type, exact where a sibling variant differs in it."""
        record = self.product.record
        exact = any(
            other.record.memory_gb == record.memory_gb
            and other.record.memory_type != record.memory_type
            for other in self.entry.products
        )
        return memory_type(self.product, self.dice, exact=exact)

    def by_memory(self) -> str:
        """Return the name without its last suffixes where the memory size tells the model.

        Sellers write "RTX 4500 24GB" for the Ada card and "1050 4gb" for the 1050 Ti.
        """
        name = self.product.name
        edition = set(name.suffixes) & DROPPED_SUFFIXES
        size = self.memory(memory_text(self.product, self.dice))
        if not self.entry.memory_tells(self.product):
            return f"{self.model_text(self.entry.shapes.full, loose=False)} {size}"
        kept = tuple(word for word in name.suffixes if word not in edition)
        words = (*name.series, name.number, *kept)
        if words[0] == "RTX" and edition & EDITION_WORDS and self.dice.chance(0.5):
            words = ("Quadro", *words)
        gap = self.dice.pick((" ", " ", " - ", f" {self.field('pro_shop_word')} - ", " GPU "))
        return f"{self.model_text(words, loose=False)}{gap}{size}"

    def slang(self) -> str:
        """Return Russian shorthand: ``1066`` is the GTX 1060 with 6 GB."""
        record = self.product.record
        short = SLANG.get((record.model, self.product.megabytes))
        if short is None:
            return self.model_text(self.entry.shapes.short, loose=True)
        return self.naming(f"{short} {self.memory(memory_text(self.product, self.dice))}")

    def one_of(self, texts: tuple[str, ...]) -> str:
        """Return one of the texts with its fields filled in."""
        return fill(parse(self.dice.pick(texts)), self.field, self.dice)

    def feature(self) -> str:
        """Return a technical feature of the card's time and chip vendor."""
        if self.product.year < MODERN_SINCE:
            return self.field("feature_old")
        own = f"feature_{self.product.record.vendor}"
        return self.field(own if self.dice.chance(0.3) else "feature_new")

    def spare_part(self) -> str:
        """Return a spare part number: the registry's own where it has one, else a random one."""
        own = [p for p in self.product.record.part_numbers if BOARD_NUMBER.match(p)]
        if not own or self.dice.chance(0.4):
            return self.one_of(OEM_NUMBERS)
        number = self.dice.pick(own)
        if number.count("-") > 1 or not number.startswith(NVIDIA_BOARDS) or self.dice.chance(0.2):
            return number
        return f"{number}-{digits(4, self.dice)}-000"

    def denial(self) -> str:
        """Return words that deny a sibling's suffix, or nothing where no sibling has one."""
        own = self.product.name
        names = [each.products[0].name for each in self._rivals.siblings]
        same = [name for name in names if name.number == own.number and not own.suffixes]
        suffixes = [name.suffixes[0] for name in same if len(name.suffixes) == 1]
        if not suffixes:
            return ""
        return f"{self.dice.pick(DENIALS)} {self.dice.pick(suffixes)}"

    def sku(self) -> str:
        """Return a shop's or a small maker's own number that holds the model's short name."""
        head = self.dice.pick(("", "", "", "X", "S-", "H", f"{letters(2, self.dice)}-"))
        tail = self.dice.pick(_SKU_TAIL_STARTS) + self.dice.pick(
            ("", letters(1, self.dice), f"{letters(1, self.dice)}{digits(2, self.dice)}G")
        )
        own = "".join(self.entry.shapes.short).upper()
        if not own[0].isalpha() and head in ("X", "H"):
            head = ""  # X600 and H100 are models of their own
        text = f"{head}{own}{self.dice.pick(('', '', '-'))}{tail}"
        self.naming(own)
        return self.prove(text)

    def sibling(self) -> str:
        """Return another model of the series, without its brand."""
        others = [each for each in self._rivals.siblings if each is not self.entry]
        if not others:
            return self._rivals.any
        name = self.dice.pick(others).products[0].name
        return spell(name.shape(brand=False, series=self.dice.chance(0.7)), self.dice, loose=True)

    def needs_form(self) -> bool:
        """Return whether the form factor must be said for the variant to be decidable."""
        form = self.product.record.form_factor
        return not self.form_stated and form != DEFAULT_FORM_FACTOR and len(self.entry.forms) > 1


def _quantity(card: Card) -> str:
    n = card.dice.pick(("2", "3", "4", "5", "10"))
    return card.dice.pick(
        (
            f"{n}x",
            f"Lot of {n}",
            f"Lot of {n} -",
            f"{n} x",
            f"({n})",
            f"{n}PK",
            f"{n} pcs",
            f"LOT {n}",
            f"Set of {n}",
            "Pair of",
            f"{n}X",
        )
    )


def _pro_code(card: Card) -> str:
    made = part_number("pny", card.product.record, card.dice)
    return made.text if made else ""


def _naming_pro_code(card: Card) -> str:
    """Return a part number that names the model, or the name where there is none."""
    made = part_number("pny", card.product.record, card.dice)
    if made is None or not made.identifies:
        return card.model_text(card.entry.shapes.full, loose=False)
    return card.naming(made.text)


def _glued(card: Card) -> str:
    shapes = card.entry.shapes
    words = next(
        (s for s in shapes.safe if s[0] not in ("GeForce", "Radeon", "NVIDIA", "AMD")), shapes.full
    )
    joined = "".join(words) if not words[-1][0].isdigit() or len(words) < 3 else " ".join(words)
    return card.naming(joined.upper())


# The fields of match.yaml and nil.yaml, described at its top.
FIELDS: dict[str, Callable[[Card], str]] = {
    "maker": Card.maker,
    "brand": lambda c: c.brand,
    "brand_caps": lambda c: c.brand.upper(),
    "vendor": Card.vendor,
    "family": lambda c: " ".join(c.product.name.brand),
    "nv": lambda c: "NV" if c.product.record.vendor == "NVIDIA" else c.vendor(),
    "vendor_caps": lambda c: c.vendor().upper(),
    "product": Card.line,
    "product_caps": lambda c: c.line().upper(),
    "pro_brand": lambda c: c.dice.pick(c._vocabulary.professional_names),
    "name": lambda c: c.model_text(
        c.entry.shapes.full if c.dice.chance(0.85) else c.any_shape(), loose=False
    ),
    "name_caps": lambda c: c.model_text(c.any_shape(), loose=False).upper(),
    "loose": lambda c: c.model_text(c.any_shape(), loose=True),
    "again": lambda c: c.model_text(c.any_shape(), loose=True),
    "loose_twice": lambda c: f"{c.field('loose')} {c.field('loose')}",
    "bare": lambda c: c.model_text(c.entry.shapes.short, loose=True),
    # The name with a wrong or borrowed series word.
    "odd": lambda c: c.model_text(
        c.dice.pick(c.entry.shapes.odd) if c.entry.shapes.odd else c.any_shape(), loose=True
    ),
    "by_memory": Card.by_memory,
    "slang": Card.slang,
    "glued": _glued,
    "glued_gf": lambda c: ("GF" if c.product.geforce else "") + _glued(c),
    "cyr": lambda c: c.naming(spell_cyrillic(c.any_shape(), c.dice)),
    "mem": lambda c: c.memory(
        memory_text(c.product, c.dice, cyrillic=any(f.endswith(("_ru", "_uk")) for f in c.used))
    ),
    "mem_spaced": lambda c: c.memory(memory_spaced(c.product)),
    "mem_fr": lambda c: c.memory(memory_french(c.product, c.dice)),
    "size_short": lambda c: c.memory(c.product.size),
    "mt": Card.memory_kind,
    "bus": Card.bus,
    "bits": lambda c: bits_text(c.product, c.dice),
    "form": Card.form,
    "code": lambda c: c.code(readable=False),
    "idcode": lambda c: c.code(readable=True),
    "pro_code": _pro_code,
    "brand_pro_code": lambda c: f"PNY {_pro_code(c)}",
    "only_pro_code": _naming_pro_code,
    "oem": Card.spare_part,
    "old": lambda c: c.one_of(COMPARISONS),
    # Other goods carry the same numbers.
    "number": lambda c: c.product.name.digits or digits(3, c.dice),
    "beats": lambda c: c.one_of(LEADING_COMPARISONS),
    "qty": _quantity,
    "qty_tail": lambda c: c.dice.pick(("x2", "X 2", "(2 pcs)", "- 2 available", "lot of 4", "2шт")),
    "feature": Card.feature,
    "chip": lambda c: c.dice.pick(c.product.record.codenames) if c.product.record.codenames else "",
    "vs": lambda c: c._rivals.any,
    "sibling": Card.sibling,
    "sibling_more": Card.sibling,
    "core": lambda c: c.product.name.number,
    "babble": lambda c: babble(c.dice),
    "invented": lambda c: invented_word(c.dice),
    "sku": Card.sku,
    "denial": Card.denial,
    # Said in a description, whether or not the title is silent.
    "mem_told": lambda c: c.memory(memory_text(c.product, c.dice)),
}


LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
DIGITS = "0123456789"


class PartNumber(NamedTuple):
    """A part number, and whether it spells the model and the memory size."""

    text: str
    identifies: bool
    states_memory: bool


def letters(n: int, dice: Dice) -> str:
    """Return n random capitals."""
    return "".join(dice.pick(LETTERS) for _ in range(n))


def digits(n: int, dice: Dice) -> str:
    """Return n random digits."""
    return "".join(dice.pick(DIGITS) for _ in range(n))


def part_number(partner: str, record: GpuRecord, dice: Dice) -> PartNumber | None:
    """Return a code of a product by a partner's rules, or None if it has none for it.

    :param partner: the ``codes`` column of partners.yaml, a key of `PARTNERS`.
    """
    board = Board(record, parse_model(record.model))
    for rule in PARTNERS.get(partner, ()):
        if board.kind in rule.kinds.split() and rule.when(board) and _falls_to(rule, dice):
            return PartNumber(_filled(rule.text, board, dice), *rule.says)
    return None


def _falls_to(rule: Rule, dice: Dice) -> bool:
    return rule.chance == 1 or (rule.chance > 0 and dice.chance(rule.chance))


def _filled(text: str, board: Board, dice: Dice) -> str:
    def field(name: str) -> str:
        draw = _DRAWS.get(name[0])
        if draw is not None:
            return draw(name[1:], board, dice)
        value = board.fields[name]
        return _filled(value, board, dice) if "<" in value else value

    return fill(_template(text), field, dice)


@cache
def _template(text: str) -> Sequence_:
    return parse(written(text))


def _listed(wanted: str, board: Board, dice: Dice) -> str:
    """Return a listed number that begins with a text, digits added up to a length."""
    start, _, length = wanted.partition(":")
    number = dice.pick(board.lists(start))
    return number + digits(max(0, int(length) - len(number)), dice)


_DRAWS: Mapping[str, Callable[[str, Board, Dice], str]] = {
    "?": lambda items, _, dice: dice.pick(items),
    "#": lambda n, _, dice: digits(int(n), dice),
    "@": lambda n, _, dice: letters(int(n), dice),
    "=": _listed,
}
