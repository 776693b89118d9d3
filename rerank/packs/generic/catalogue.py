"""A catalogue of any goods: what `catalogue.yaml` says of its table, and its products as `Fields`.

`read_catalogue` reads the file that `rerank init` writes and a person corrects; `read_products`
reads the products it names. Products that differ only in values of the catalogue's axes (colour,
size, region) are variants of one *model*.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import unescape
from math import isnan, nan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import yaml

from rerank.index.artifacts import writing_file
from rerank.index.errors import FaultsError, InputError
from rerank.index.records import Ints
from rerank.index.rows import listed
from rerank.packs.generic.fields import Fields
from rerank.packs.generic.pack_data import Pack, Scale, gtin14, pack_names, read_pack
from rerank.packs.generic.product_models import Models, ends_in_brackets, models_of
from rerank.packs.generic.product_table import (
    ProductTable,
    amounts_of,
    counted,
    read_table,
    unit_counts,
)
from rerank.prices import read_prices
from rerank.settings import TEXT, Settings, as_content, one_of, read_yaml, settings_of

if TYPE_CHECKING:
    import pyarrow as pa

ROLES = {
    "name": "what the product is called; the texts of several are joined",
    "brand": "who makes it",
    "identifier": "GTIN (EAN, UPC) or manufacturer's part number",
    "category": "what kind of thing it is, or a word that tells it apart",
    "text": "a longer description",
    "price": "what it costs: a weak hint",
    "number": "a number that listings may state, in `unit`",
    "axis": "products that differ in nothing else are variants of one model",
    "kept": "not read, but in the rows that come out",
    "ignored": "not read",
}
"""What a column may hold."""
_ENDINGS = "name's end in brackets"  # an axis that is no column
SHOWN_ROLES = ("brand", "identifier", "category", "number", "axis", "kept")
"""Of the columns that stand in resolved rows."""
_LEAST = 2


@dataclass(frozen=True, slots=True)
class Column(Settings):
    """What a column holds.

    :param unit: of numbers and axes whose cells state none, in any spelling of the pack's.
    """

    role: Annotated[str, one_of(*ROLES)]
    unit: str = ""


@dataclass(frozen=True, slots=True)
class ListingFeed(Settings):
    """A file of listings to learn from how sellers write, and its columns; "" for none."""

    file: Annotated[str, TEXT]
    title: Annotated[str, TEXT] = "title"
    listing_id: str = ""
    vendor: str = ""
    description: str = ""
    price: str = ""
    identifiers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Catalogue(Settings):
    """What `catalogue.yaml` says.

    :param products: the file of products. In the YAML beside it; as read, from where one stands.
    :param id: the column that tells products apart; "" numbers the rows.
    :param one: what one product is called on screen, ``many`` several.
    """

    products: Annotated[str, TEXT]
    id: str = ""
    pack: Annotated[str, TEXT] = "generic"
    one: Annotated[str, TEXT] = "product"
    many: Annotated[str, TEXT] = "products"
    columns: Mapping[str, Column] = field(default_factory=dict)
    listings: tuple[ListingFeed, ...] = ()

    def of_role(self, role: str) -> list[str]:
        """Return the columns of a role, in the catalogue's order."""
        return [name for name, column in self.columns.items() if column.role == role]


@dataclass(frozen=True, slots=True)
class Products:
    """The products of a catalogue, a row each.

    :param columns: what stands in resolved rows beside id and name, aligned with ``ids``.
    :param axes: what tells variants apart, names of columns and the ends of names in brackets, as
        in each row's ``Fields.axes``.
    :param model_of_record: number of each row's model, shape (n,); without axes its own.
    :param models: the models' names, by number.
    :param remarks: what was odd or left out, and why, a sentence each.
    :param n_read: rows of the file; ``n_dropped`` of these are no products.
    """

    ids: tuple[str, ...]
    fields: tuple[Fields, ...]
    columns: pa.Table
    axes: tuple[str, ...]
    model_of_record: Ints
    models: tuple[str, ...]
    remarks: tuple[str, ...]
    n_read: int
    n_dropped: int


def read_catalogue(path: Path) -> Catalogue:
    """Read a catalogue file; the files it names are looked for beside it.

    :raises InputError: if it cannot be read.
    :raises FaultsError: with all that it says and cannot say, and files that are missing.
    """
    content = read_yaml(path)
    columns = content.get("columns") if isinstance(content, dict) else None
    if isinstance(columns, dict):  # `colour: axis` is short for `colour: {role: axis}`
        for name, column in columns.items():
            columns[name] = {"role": column} if isinstance(column, str) else column
    found = settings_of(Catalogue, content, where=str(path))
    read_pack(found.pack)
    beside = path.parent
    files = [found.products, *(feed.file for feed in found.listings)]
    missing = [file for file in files if not (beside / file).is_file()]
    if missing:
        raise FaultsError(
            str(path), [f"{file}: there is no such file beside it" for file in missing]
        )
    return replace(
        found,
        products=str(beside / found.products),
        listings=tuple(replace(feed, file=str(beside / feed.file)) for feed in found.listings),
    )


def write_catalogue(
    catalogue: Catalogue,
    target: Path,
    *,
    notes: Mapping[str, str] | None = None,
    other_pack: str = "",
) -> None:
    """Write a catalogue file with comments that say what may be changed.

    :param notes: a comment on each column.
    :param other_pack: that may suit the products better.
    """
    notes = notes or {}
    packs = ", ".join(pack_names()) + (f"; try {other_pack}" if other_pack else "")
    lines = [
        "# What rerank knows of this catalogue. Correct what is wrong, then:",
        f"#   rerank build-index --catalogue {target.name}",
        "",
        *_noted(
            [
                (f"products: {_scalar(catalogue.products)}", "beside this file"),
                (f"id: {_scalar(catalogue.id)}", 'tells products apart; "" numbers the rows'),
                (
                    f"pack: {_scalar(catalogue.pack)}",
                    f"what is known of such goods: {packs}",
                ),
                (f"one: {_scalar(catalogue.one)}", "what one product is called on screen"),
                (f"many: {_scalar(catalogue.many)}", "and several"),
            ]
        ),
        "",
        "# What each column holds. Roles:",
        *(f"#   {role:<10}  {words}" for role, words in ROLES.items()),
        "columns:",
        *_noted(
            [
                (f"  {_scalar(name)}: {_flow(column)}", notes.get(name, ""))
                for name, column in catalogue.columns.items()
            ]
        ),
        "",
        "# Files of listings to learn from how sellers write; labels are not needed.",
        "listings:" if catalogue.listings else "listings: []",
        *(f"  - {_flow(feed)}" for feed in catalogue.listings),
    ]
    target.parent.mkdir(parents=True, exist_ok=True)
    with writing_file(target) as draft:
        draft.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _noted(lines: Sequence[tuple[str, str]]) -> list[str]:
    """Return lines with their comments in one column."""
    width = max((len(line) for line, note in lines if note), default=0)
    return [f"{line:<{width}}  # {note}".rstrip(" #") if note else line for line, note in lines]


def _flow(settings: Column | ListingFeed) -> str:
    said = {key: value for key, value in as_content(settings).items() if value}
    return "{" + ", ".join(f"{key}: {_value(value)}" for key, value in said.items()) + "}"


def _value(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_scalar, value)) + "]"
    return _scalar(str(value))


def _scalar(text: str) -> str:
    """Return a text as YAML, in quotes where it needs them."""
    if re.fullmatch(r"[^\W\d_](?:[\w ./()+-]*[\w)])?", text) and yaml.safe_load(text) == text:
        return text
    return json.dumps(text, ensure_ascii=False)


def read_products(catalogue: Catalogue) -> Products:
    """Read the products that a catalogue names.

    Rows without id or name are left out, and whole rows that stand twice.

    :raises InputError: if the file cannot be read, or holds fewer than two products.
    :raises FaultsError: if columns are missing, units unknown, or ids stand twice.
    """
    table = read_table(Path(catalogue.products))
    pack = read_pack(catalogue.pack)
    _check_columns(catalogue, table, pack)
    return _Reading(catalogue, table, pack).products()


def _check_columns(catalogue: Catalogue, table: ProductTable, pack: Pack) -> None:
    read = [name for name, column in catalogue.columns.items() if column.role != "ignored"]
    wanted = [*([catalogue.id] if catalogue.id else []), *read]
    faults = [
        f"column {name!r}: there is none; the file has {listed(table.names)}"
        for name in dict.fromkeys(wanted)
        if name not in table.names
    ]
    if not catalogue.of_role("name"):
        faults.append("no column has the role name: listings are compared with names")
    scales = pack.scales()
    faults += [
        f"column {name!r}: unit {column.unit!r} is none that pack {pack.name!r} knows; use one of "
        f"{', '.join(pack.units)}, or leave it out"
        for name, column in catalogue.columns.items()
        if column.unit and column.unit.lower() not in scales
    ]
    if faults:
        raise FaultsError(str(table.source), faults)


class _Reading:
    """Reads a table once, and gathers what there is to say about it."""

    def __init__(self, catalogue: Catalogue, table: ProductTable, pack: Pack) -> None:
        self._catalogue, self._table, self._pack = catalogue, table, pack
        self._missing = frozenset(pack.missing)
        self._remarks = list(table.remarks)
        self._rows: list[int] = []

    def products(self) -> Products:
        catalogue, table = self._catalogue, self._table
        n_rows = table.columns.num_rows
        self._rows, ids = self._kept()
        names = self._joined("name")
        brands = self._joined("brand")
        axes = catalogue.of_role("axis")
        units = [catalogue.columns[axis].unit for axis in axes]
        values = [self._texts(axis) for axis in axes]
        if any(endings := ends_in_brackets(names, brands)):
            axes, units = [*axes, _ENDINGS], [*units, ""]
            values.append(endings)
        fields = self._fields(names, brands, values)
        models = models_of(names, brands, values, units, self._pack)
        self._remark_on_names(names, models, axes)
        return Products(
            ids=tuple(ids),
            fields=tuple(fields),
            columns=self._shown(),
            axes=tuple(axes),
            model_of_record=models.of_record,
            models=models.names,
            remarks=tuple(self._remarks),
            n_read=n_rows + table.n_dropped,
            n_dropped=n_rows + table.n_dropped - len(ids),
        )

    def _texts(self, name: str) -> list[str]:
        """Return a column's texts of the rows that are kept, "" for what says nothing."""
        rows = self._rows if len(self._rows) < self._table.columns.num_rows else None
        return self._table.texts(name, rows, self._missing)

    def _joined(self, role: str) -> list[str]:
        columns = [self._texts(name) for name in self._catalogue.of_role(role)]
        if len(columns) == 1:
            return columns[0]
        return [_join(cells) for cells in zip(*columns, strict=True)] or [""] * len(self._rows)

    def _kept(self) -> tuple[list[int], list[str]]:
        """Return the rows that are products, and their ids.

        :raises FaultsError: if an id stands twice.
        """
        catalogue, source = self._catalogue, self._table.source
        self._rows = list(range(self._table.columns.num_rows))
        names = self._joined("name")
        if catalogue.id:
            ids = self._texts(catalogue.id)
        else:
            ids = [f"p{row}" for row in range(1, len(names) + 1)]
        self._drop_remark(sum(not key for key in ids), f"without {catalogue.id!r}")
        nameless = sum(bool(key) and not name for key, name in zip(ids, names, strict=True))
        self._drop_remark(nameless, "without name")
        rows = [at for at, key in enumerate(ids) if key and names[at]]
        rows = self._once(rows, ids)
        if not rows:
            raise InputError(f"{source}: expected products, found no row with id and name")
        if len(rows) < _LEAST:
            raise InputError(
                f"{source}: expected at least {_LEAST} products, found one: there is nothing to "
                "tell it from"
            )
        return rows, [ids[row] for row in rows]

    def _once(self, rows: list[int], ids: list[str]) -> list[int]:
        counts = Counter(ids[row] for row in rows)
        twice = {key for key, count in counts.items() if count > 1}
        if not twice:
            return rows
        cells: dict[str, list[tuple[str, ...]]] = {}
        again: set[int] = set()
        suspects = [row for row in rows if ids[row] in twice]
        texts = [self._table.texts(name, suspects) for name in self._table.names]
        for row, content in zip(suspects, zip(*texts, strict=True), strict=True):
            known = cells.setdefault(ids[row], [])
            if content in known:
                again.add(row)
            known.append(content)
        self._drop_remark(len(again), "equal to another in all cells")
        faults = [
            f"id {key!r} stands {counts[key]} times with different cells"
            for key, contents in cells.items()
            if len(set(contents)) > 1
        ]
        if faults:
            hint = "; a spreadsheet has rounded them" if any(map(_rounded, twice)) else ""
            raise FaultsError(
                f"{self._table.source}: expected each {self._catalogue.id!r} once{hint}", faults
            )
        return [row for row in rows if row not in again]

    def _drop_remark(self, count: int, why: str) -> None:
        if count:
            self._remarks.append(f"{counted(count, 'row')} {why}, left out")

    def _fields(
        self, names: list[str], brands: list[str], axes: Sequence[list[str]]
    ) -> list[Fields]:
        identifiers = [self._identifiers(name) for name in self._catalogue.of_role("identifier")]
        numbers = [self._numbers(name) for name in self._catalogue.of_role("number")]
        prices = self._prices()
        categories, texts = self._joined("category"), self._joined("text")
        texts = [_without_tags(text) if "<" in text or "&" in text else text for text in texts]
        units = [unit for unit, _ in numbers]
        empty: list[tuple[str, ...]] = [()] * len(names)
        found = zip(
            names,
            brands,
            zip(*identifiers, strict=True) if identifiers else empty,
            categories,
            texts,
            prices,
            zip(*(values for _, values in numbers), strict=True) if numbers else empty,
            zip(*axes, strict=True) if axes else empty,
            strict=True,
        )
        return [
            Fields(
                name=name,
                brand=brand,
                identifiers=tuple(dict.fromkeys(key for cell in keys for key in cell)),
                category=category,
                text=text,
                price=price,
                quantities=tuple(
                    (unit, value)
                    for unit, value in zip(units, values, strict=True)
                    if value == value
                ),
                axes=tuple(own),
            )
            for name, brand, keys, category, text, price, values, own in found
        ]

    def _identifiers(self, name: str) -> list[tuple[str, ...]]:
        found, remarks = clean_identifiers(self._texts(name))
        self._remarks += [f"{name}: {remark}" for remark in remarks]
        counts = Counter(key for keys in found for key in keys)
        shared = sum(count > 1 for count in counts.values())
        if shared:
            self._remarks.append(
                f"{name}: {counted(shared, 'identifier')} of more than one product"
            )
        return found

    def _numbers(self, name: str) -> tuple[str, list[float]]:
        unit, values, remarks = read_numbers(
            self._texts(name), self._catalogue.columns[name].unit, self._pack
        )
        self._remarks += [f"{name}: {remark}" for remark in remarks]
        return unit, values

    def _prices(self) -> list[float]:
        columns = []
        for name in self._catalogue.of_role("price"):
            texts = self._texts(name)
            columns.append([price.value for price in read_prices(texts)])
            lost = sum(bool(t) and isnan(v) for t, v in zip(texts, columns[-1], strict=True))
            if lost:
                self._remarks.append(
                    f"{name}: {counted(lost, 'cell')} without a price in it, left out"
                )
        if not columns:
            return [nan] * len(self._rows)
        return [next((v for v in cells if v == v), nan) for cells in zip(*columns, strict=True)]

    def _shown(self) -> pa.Table:
        """Return the columns of resolved rows: numbers as numbers, all else as it stands."""
        import pyarrow as pa

        columns = self._catalogue.columns
        names = [
            name
            for name, column in columns.items()
            if column.role in SHOWN_ROLES and name != self._catalogue.id
        ]
        table = self._table.columns.select(names)
        if len(self._rows) < table.num_rows:
            table = table.take(pa.array(self._rows, pa.int64()))
        for at, name in enumerate(names):
            if columns[name].role not in ("number", "kept"):
                continue
            if pa.types.is_large_string(table.column(name).type):
                numbers = _plain_numbers(self._texts(name))
                if numbers is not None:
                    table = table.set_column(at, name, pa.array(numbers, pa.float64()))
        return table

    def _remark_on_names(self, names: list[str], models: Models, axes: Sequence[str]) -> None:
        counts = Counter(names)
        top, most = counts.most_common(1)[0]
        if most == len(names):
            self._remarks.append(
                f"all {most} products are called {top!r:.60}: only identifiers, numbers and axes "
                "can tell them apart; give another column the role name"
            )
        elif models.alike:
            same = f"model and {', '.join(axes)}" if axes else "name and brand"
            hint = "" if axes else ", or a column with the role axis"
            self._remarks.append(
                f"{counted(models.alike, 'product')} with the same {same} as another: only "
                f"identifiers and numbers can tell them apart{hint}"
            )


def _join(cells: Iterable[str]) -> str:
    """Join texts, without those that another holds."""
    said: list[str] = []
    for cell in filter(None, cells):
        if not any(cell.lower() in other.lower() for other in said):
            said.append(cell)
    return " ".join(said)


_TAG = re.compile(r"<[/!a-zA-Z][^<>]*>")


def _without_tags(text: str) -> str:
    """Return the words of HTML."""
    return " ".join(unescape(_TAG.sub(" ", text)).split())


def _plain_numbers(texts: Sequence[str]) -> list[float | None] | None:
    try:
        return [float(text) if text else None for text in texts]
    except ValueError:
        return None


_ROUNDED = re.compile(r"\d(?:[.,]\d+)?e\+?\d{1,2}", re.IGNORECASE)
_BETWEEN = re.compile(r"\s*[;|]\s*|,\s+")
_GTIN_DIGITS = 8
_MOSTLY = 0.5


def _rounded(text: str) -> bool:
    return _ROUNDED.fullmatch(text) is not None


def clean_identifiers(texts: Sequence[str]) -> tuple[list[tuple[str, ...]], list[str]]:
    """Return the identifiers in each cell, and remarks on what a spreadsheet made of them.

    Rounded ones (4.71E+12) are left out. In a column that mostly holds GTINs, one that lost its
    leading zeros gets them back where its check digit then is right, and one whose check digit is
    wrong is left out: an identifier decides, so a wrong one would decide wrongly.
    """
    cells = [[_unfloated(part) for part in _BETWEEN.split(text) if part] for text in texts]
    parts = [part for cell in cells for part in cell]
    digits = [part for part in parts if len(part) >= _GTIN_DIGITS and part.isdigit()]
    of_gtins = len(digits) > _MOSTLY * len(parts) and sum(
        bool(_gtin_of(part)) for part in digits
    ) > _MOSTLY * len(digits)
    rounded = restored = wrong = 0
    example = ""
    found = []
    for cell in cells:
        kept = []
        for part in cell:
            if _rounded(part):
                rounded, example = rounded + 1, example or part
                continue
            if of_gtins and part.isdigit() and not gtin14(part):
                padded = _gtin_of(part)
                if not padded:
                    wrong += 1
                    continue
                restored, part = restored + 1, padded
            kept.append(part)
        found.append(tuple(kept))
    told = {
        f"rounded by a spreadsheet ({example}), left out: export them as text": rounded,
        "without leading zeros, restored by the check digit": restored,
        "with a wrong check digit, left out": wrong,
    }
    remarks = [f"{counted(n, 'identifier')} {words}" for words, n in told.items() if n]
    return found, remarks


def _unfloated(part: str) -> str:
    """Return digits without the ".0" of a column that was read as numbers."""
    whole, point, rest = part.partition(".")
    return whole if point and rest == "0" and whole.isdigit() and len(whole) > 4 else part


def _gtin_of(digits: str) -> str:
    """Return digits as a GTIN, with the zeros that it lost; "" for none."""
    if gtin14(digits):
        return digits
    return next(
        (
            padded
            for padded in (digits.zfill(12), digits.zfill(13))
            if len(padded) > len(digits) and gtin14(padded)
        ),
        "",
    )


def read_numbers(texts: Sequence[str], unit: str, pack: Pack) -> tuple[str, list[float], list[str]]:
    """Return the base unit of a column, its values in it, NaN where there is none, and remarks.

    A unit beside a number counts before the column's.

    :param unit: of numbers without one, "" if it is not known: the most frequent in the column.
    """
    scales = pack.scales()
    amounts = amounts_of(texts, scales)
    counts = {u: count for u, count in unit_counts(amounts).items() if u in scales}
    stated = max(counts, key=lambda u: counts[u], default="")
    own = scales.get(unit.lower() or stated)
    base = own.base if own else ""
    values, strange, lost = [], Counter[str](), list[str]()
    for text, amount in zip(texts, amounts, strict=True):
        value, said = amount
        scale = scales.get(said) if said else own
        if said and (scale is None or scale.base != base):
            strange[said] += bool(scale)
            lost += [] if scale else [text]
            value = nan
        elif isnan(value) and text:
            lost.append(text)
        values.append(round(value * scale.scale, 9) if scale else value)
    return base, values, _unit_remarks(counts, base, strange, lost, scales)


def _unit_remarks(
    counts: Mapping[str, int],
    base: str,
    strange: Counter[str],
    lost: Sequence[str],
    scales: Mapping[str, Scale],
) -> list[str]:
    remarks = []
    own = {spelling: count for spelling, count in counts.items() if spelling not in strange}
    told = ", ".join(f"{count} in {spelling}" for spelling, count in own.items())
    if len({scales[spelling].scale for spelling in own}) > 1:
        remarks.append(f"units differ ({told}): each is read by its own")
    elif {spelling.replace("ib", "b") for spelling in own} < set(own):
        remarks.append(f"units differ ({told}): the same here, since shops write GB for GiB")
    strange = +strange
    if strange:
        told = ", ".join(f"{count} in {spelling}" for spelling, count in strange.items())
        remarks.append(f"{told} among values in {base}, left out")
    if lost:
        remarks.append(f"{counted(len(lost), 'cell')} without a number ({lost[0]!r:.40}), left out")
    return remarks
