"""The index folder of any catalogue, and what proposes its products.

Beside the routes' files (`ProductIndex`) it holds what resolved rows show of the products, all that
they say, from which training makes listings up, and a sample of the feeds that the catalogue names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from math import nan
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rerank.domain import GENERIC, marked
from rerank.index.artifacts import (
    INDEX_FORMAT,
    INDEX_REMEDY,
    MANIFEST,
    Manifest,
    check_values,
    read_manifest,
    reading,
    write_manifest,
    writing_folder,
)
from rerank.index.errors import ArtifactError
from rerank.index.records import (
    BETWEEN_IDENTIFIERS,
    N_CANDIDATES,
    Listing,
    place_in_group,
)
from rerank.index.rows import TEXT_TYPES
from rerank.packs.generic.axes import Axes
from rerank.packs.generic.catalogue import (
    Catalogue,
    ListingFeed,
    Products,
    clean_identifiers,
    read_catalogue,
    read_products,
)
from rerank.packs.generic.fields import Fields
from rerank.packs.generic.index import Found, ProductIndex
from rerank.packs.generic.pack_data import read_pack
from rerank.packs.generic.product_table import read_table
from rerank.packs.generic.reading import Ints
from rerank.packs.generic.token_arrays import within
from rerank.ranking import CandidateBatch

Floats = NDArray[np.float32]

_PRODUCTS, _FIELDS, _FEED = "products.parquet", "fields.parquet", "listings.parquet"
_EMBEDDER = "n-grams"
_LAYOUT = 2  # of the routes' files; raised when this release cannot read those of an earlier one
_PARAMETERS: dict[str, Any] = {
    **dict.fromkeys(("pack", "one", "many"), str),
    **dict.fromkeys(("products", "models", "listings"), int),
    "layout": int | None,
    "axes": list | None,
}
_MOST_LISTINGS = 20_000  # kept of the feeds
ID, NAME, MODEL, NUMBER = "product_id", "name", "model", "model_number"
_OWN = (ID, NAME, MODEL, NUMBER)
_RESERVED = frozenset(
    "best_guess match_probability variant_stated variant_probability margin decision reason"
    " candidates model_version index_version candidate_set explanation listing_id title".split()
)
_FIELDS_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("brand", pa.string()),
        ("identifiers", pa.list_(pa.string())),
        ("category", pa.string()),
        ("text", pa.string()),
        ("price", pa.float64()),
        ("units", pa.list_(pa.string())),
        ("values", pa.list_(pa.float64())),
        ("axes", pa.list_(pa.string())),
    ]
)


class CatalogueProduct(NamedTuple):
    """One row of a catalogue; its model is what it shares with its variants."""

    product_id: str
    name: str
    model: str


class _Products(Sequence[CatalogueProduct]):
    """The products of a table, each made when it is asked for: a million would take seconds."""

    def __init__(self, rows: pa.Table) -> None:
        self._columns = [rows.column(name) for name in (ID, NAME, MODEL)]

    def __len__(self) -> int:
        return len(self._columns[0])

    @overload
    def __getitem__(self, at: int) -> CatalogueProduct: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[CatalogueProduct]: ...

    def __getitem__(self, at: int | slice) -> CatalogueProduct | Sequence[CatalogueProduct]:
        if isinstance(at, slice):
            return [self[row] for row in range(*at.indices(len(self)))]
        if not 0 <= at < len(self):
            raise IndexError(at)
        return CatalogueProduct(*(column[at].as_py() for column in self._columns))


class CatalogueTable:
    """The catalogue's products and models, by row and number.

    :param rows: columns product_id, name, model, model_number, then the catalogue's own that
        answers show.
    :param axes: what tells variants of a model apart.
    """

    def __init__(self, rows: pa.Table, axes: Axes) -> None:
        self.rows = rows
        self.axes = axes
        self._records = _Products(rows)
        self.model_of_record: Ints = rows.column(NUMBER).to_numpy().astype(np.int64)
        self.n_models = int(self.model_of_record.max(initial=-1)) + 1
        self.model_tie_rank: Ints = np.arange(self.n_models, dtype=np.int64)

    @property
    def own_columns(self) -> list[str]:
        """Names of the columns that answers show beside id and name."""
        return [name for name in self.rows.column_names if name not in _OWN]

    @property
    def records(self) -> Sequence[CatalogueProduct]:
        """The products, by row."""
        return self._records

    @cached_property
    def row_of_id(self) -> dict[str, int]:
        """The row of each product."""
        return {key: row for row, key in enumerate(self.rows.column(ID).to_pylist())}

    @cached_property
    def rows_of_model(self) -> dict[str, list[int]]:
        """The rows of each model, by its name."""
        found: dict[str, list[int]] = {}
        for row, name in enumerate(self.rows.column(MODEL).to_pylist()):
            found.setdefault(name, []).append(row)
        return found


class ProductBatch(CandidateBatch):
    """Candidates of a batch of listings, whose rows are those of ``found``.

    ``record`` has in each row's place the variant that the listing states, or the common one;
    ``stated``, shape (rows,), is whether the listing states what tells the variant apart.
    """

    __slots__ = ()

    @property
    def found(self) -> Found:
        """What was found of each row, which features read."""
        found: Found = self.names
        return found


class ProductSource:
    """Proposes products of a catalogue."""

    def __init__(self, index: ProductIndex, table: CatalogueTable, folder: Path) -> None:
        self.index = index
        self.table = table
        self._folder = folder

    @property
    def products(self) -> list[Fields]:
        """All that the products say, by row: read anew each time."""
        return _fields_of(_table_in(self._folder / _FIELDS))

    @property
    def listings(self) -> list[Fields]:
        """A sample of the feeds that the catalogue names, read anew each time."""
        return _fields_of(_table_in(self._folder / _FEED))

    def retrieve(
        self, listings: Sequence[Listing], *, n_candidates: int = N_CANDIDATES
    ) -> ProductBatch:
        """Return up to ``n_candidates`` products of each listing."""
        readings = self.index.reader.read([fields_of(listing) for listing in listings])
        found = self.index.retrieve(readings, n_candidates=n_candidates)
        model = self.table.model_of_record[found.record]
        choice = self.table.axes.choose(readings, found, model)
        keys = found.listing * self.table.n_models + model
        _, pair = np.unique(keys, return_inverse=True)
        return ProductBatch(
            readings,
            found,
            found.offsets,
            choice.record,
            found.similarity,
            found.shortlist,
            found.listing,
            pair.astype(np.int64),
            place_in_group(pair.astype(np.int64)),
            choice.probability,
            choice.stated,
        )


def fields_of(listing: Listing) -> Fields:
    """Return what a listing says, by role."""
    price = nan if listing.price is None else float(listing.price)
    stated = listing.identifiers.split(BETWEEN_IDENTIFIERS) if listing.identifiers else ()
    # each by itself: GTINs and part numbers of several columns stand side by side
    identifiers = tuple(key for text in stated for key in clean_identifiers([text])[0][0])
    return Fields(
        name=listing.title,
        brand=listing.vendor,
        identifiers=identifiers,
        text=listing.description,
        price=price,
    )


def build_source(
    path: Path, folder: Path, *, progress: Callable[[str, float], None]
) -> tuple[Manifest, tuple[str, ...]]:
    """Build the index of a catalogue file, replacing an older one whole.

    :returns: its manifest, and what was odd about the products, a sentence each.
    :raises InputError: if a file cannot be read or holds fewer than two products.
    :raises FaultsError: with all that catalogue and products cannot say.
    """
    progress("reading the products", 0.0)
    catalogue = read_catalogue(path)
    products = read_products(catalogue)
    progress("reading the listings", 0.2)
    feed = [row for each in catalogue.listings for row in read_feed(each)]
    progress("indexing the products", 0.3)
    index = ProductIndex.build(products.fields, read_pack(catalogue.pack))
    rows = _rows_of(products)
    with writing_folder(folder) as draft:
        index.save(draft)
        pq.write_table(rows, draft / _PRODUCTS)
        pq.write_table(_table_of(products.fields), draft / _FIELDS)
        pq.write_table(_table_of(_sampled(feed)), draft / _FEED)
        manifest = write_manifest(
            draft,
            kind="index",
            format_version=INDEX_FORMAT,
            parameters=_parameters(catalogue, products, len(feed)),
            libraries=("faiss-cpu", "numpy", "scipy", "rapidfuzz"),
        )
    return manifest, products.remarks


def _parameters(catalogue: Catalogue, products: Products, listings: int) -> dict[str, Any]:
    columns = {name: column.role for name, column in catalogue.columns.items()}
    said = repr((catalogue.pack, sorted(columns.items())))
    content = repr((products.ids, products.fields))
    return marked(
        GENERIC,
        {
            "kind": "products",
            "layout": _LAYOUT,
            "embedder": _EMBEDDER,
            # A model reads features: it serves on the catalogue that grew, as long as its columns
            # hold the same.
            "embedder_fingerprint": hashlib.sha256(said.encode()).hexdigest()[:16],
            "registry_fingerprint": hashlib.sha256(content.encode()).hexdigest()[:16],
            "products": len(products.ids),
            "models": len(products.models),
            "listings": listings,
            "pack": catalogue.pack,
            "one": catalogue.one,
            "many": catalogue.many,
            "axes": list(products.axes),
        },
    )


def load_source(folder: Path) -> tuple[ProductSource, Manifest]:
    """Load an index folder.

    :raises ArtifactError: if it is missing or damaged.
    """
    rows, manifest = read_rows(folder)
    index = ProductIndex.load(folder)
    with reading(folder, "the products of its readings", INDEX_REMEDY):
        if len(rows) != len(index):
            raise ValueError(f"found {len(rows)} products and readings of {len(index)}")
        names = manifest.parameters.get("axes")
        fields = _fields_of(_table_in(folder / _FIELDS)) if names else []
        values = [each.axes for each in fields]
        model = rows.column(NUMBER).to_numpy().astype(np.int64)
        axes = Axes(index.reader, model, values, index.readings, index.reader.alternatives)
        return ProductSource(index, CatalogueTable(rows, axes), folder), manifest


def _table_in(path: Path) -> pa.Table:
    """Return a parquet file's table: pyarrow's `read_table` first imports pandas, if it can."""
    with pq.ParquetFile(path) as file:
        return file.read()


def read_rows(folder: Path) -> tuple[pa.Table, Manifest]:
    """Read what resolved rows show of an index folder's products; see `CatalogueTable`.

    :raises ArtifactError: if it is missing or damaged.
    """
    manifest = read_manifest(folder, kind="index", format_version=INDEX_FORMAT, remedy=INDEX_REMEDY)
    if manifest.parameters.get("layout") != _LAYOUT:
        raise ArtifactError(
            f"{folder}: built by another version of rerank; build it again with `{INDEX_REMEDY} "
            "--catalogue catalogue.yaml`"
        )
    with reading(folder / MANIFEST, "what a catalogue is", INDEX_REMEDY):
        check_values(manifest.parameters, _PARAMETERS)
    with reading(folder / _PRODUCTS, "products", INDEX_REMEDY):
        rows = _table_in(folder / _PRODUCTS)
        within(rows.column(NUMBER).to_numpy(), max(1, len(rows)))
        if not {str(rows.schema.field(name).type) for name in (ID, NAME, MODEL)} <= {*TEXT_TYPES}:
            raise ValueError("expected ids, names and models as text")
        return rows, manifest


def read_feed(feed: ListingFeed) -> list[Fields]:
    """Read a file of listings; rows without a title are left out.

    :raises InputError: if it cannot be read or lacks a column.
    """
    return [fields for _, fields in read_listings(feed)]


def read_listings(feed: ListingFeed) -> list[tuple[int, Fields]]:
    """Read a file of listings: the number of each row that has a title, and what it says.

    :raises InputError: if it cannot be read or lacks a column.
    """
    table = read_table(Path(feed.file))
    n = table.columns.num_rows

    def texts(name: str) -> Sequence[str]:
        return table.texts(name) if name else [""] * n

    keys = [texts(name) for name in feed.identifiers]
    rows = zip(
        texts(feed.title),
        texts(feed.vendor),
        texts(feed.description),
        texts(feed.price),
        zip(*keys, strict=True) if keys else [()] * n,
        strict=True,
    )
    return [
        (at, Fields(title, vendor, tuple(filter(None, own)), text=text, price=_price(price)))
        for at, (title, vendor, text, price, own) in enumerate(rows)
        if title.strip()
    ]


def _price(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return nan


def _sampled(listings: Sequence[Fields]) -> Sequence[Fields]:
    """Return so many listings as are kept, from the whole feed evenly."""
    if len(listings) <= _MOST_LISTINGS:
        return listings
    step = len(listings) / _MOST_LISTINGS
    return [listings[int(at * step)] for at in range(_MOST_LISTINGS)]


def _rows_of(products: Products) -> pa.Table:
    """Return what answers show of products, own columns that are called as ours renamed."""
    names = products.models
    own = {
        ID: pa.array(products.ids, pa.string()),
        NAME: pa.array([fields.name for fields in products.fields], pa.string()),
        MODEL: pa.array([names[at] for at in products.model_of_record.tolist()], pa.string()),
        NUMBER: pa.array(products.model_of_record, pa.int64()),
    }
    taken = {*own, *_RESERVED}
    for name, values in zip(products.columns.column_names, products.columns.columns, strict=True):
        shown = name
        while shown in taken:
            shown = f"product_{shown}"
        taken.add(shown)
        own[shown] = values.combine_chunks()
    return pa.table(own)


def _table_of(rows: Sequence[Fields]) -> pa.Table:
    columns = {
        "name": [row.name for row in rows],
        "brand": [row.brand for row in rows],
        "identifiers": [list(row.identifiers) for row in rows],
        "category": [row.category for row in rows],
        "text": [row.text for row in rows],
        "price": [row.price for row in rows],
        "units": [[unit for unit, _ in row.quantities] for row in rows],
        "values": [[value for _, value in row.quantities] for row in rows],
        "axes": [list(row.axes) for row in rows],
    }
    return pa.table(columns, schema=_FIELDS_SCHEMA)


def _fields_of(table: pa.Table) -> list[Fields]:
    columns = [table.column(name).to_pylist() for name in _FIELDS_SCHEMA.names]
    return [
        Fields(
            name,
            brand,
            tuple(identifiers),
            category,
            text,
            price,
            tuple(zip(units, values, strict=True)),
            tuple(axes),
        )
        for name, brand, identifiers, category, text, price, units, values, axes in zip(
            *columns, strict=True
        )
    ]
