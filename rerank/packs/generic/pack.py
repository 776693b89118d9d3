"""The domain of any catalogue that comes as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from rerank.domain import (
    GENERIC,
    CardFigures,
    FeatureNames,
    Lesson,
    TrainingRequest,
    marked,
)
from rerank.index.artifacts import Manifest
from rerank.index.errors import ArtifactError, InputError
from rerank.index.records import Listing
from rerank.model import RerankModel, save_model
from rerank.packs.generic.evidence import CANDIDATE_FEATURES, OFFER_FEATURES, Habits
from rerank.packs.generic.fields import Fields
from rerank.packs.generic.index import ProductRoute
from rerank.packs.generic.inference import feed_of
from rerank.packs.generic.pack_data import Pack, read_pack
from rerank.packs.generic.product_answers import ProductResolver
from rerank.packs.generic.product_table import read_table
from rerank.packs.generic.source import (
    CatalogueTable,
    ProductSource,
    fields_of,
    load_source,
    read_feed,
    read_listings,
)
from rerank.resolver import Resolver

if TYPE_CHECKING:
    from rerank.workspace import Workspace

Label = tuple[Fields, frozenset[int]]

_HABITS = "habits.safetensors"
_RIGHT_COLUMNS = ("product_id", "product_ids")
_BETWEEN = ";"
_LOOKED_AT = 2000  # rows of a feed, to see which column holds what
_ROUTES: dict[str, tuple[ProductRoute, ...]] = {
    "fused": tuple(ProductRoute),
    "name": (ProductRoute.WORDS, ProductRoute.NGRAMS, ProductRoute.IDENTIFIERS),
    **{route.value.removesuffix("s"): (route,) for route in ProductRoute},
}
_DROPPED = 0.3  # of the words of a name in listings that a card keeps


class GenericDomain:
    """See `rerank.domain.Domain`."""

    name = GENERIC
    features = FeatureNames(CANDIDATE_FEATURES, OFFER_FEATURES)

    def open_source(self, folder: Path, workspace: Workspace) -> tuple[ProductSource, Manifest]:
        """Load an index folder."""
        return load_source(folder)

    def columns_of(self, path: Path) -> dict[str, str]:
        """Return which columns of a file of listings hold what, by headers and first rows."""
        feed = feed_of(path, read_pack(GENERIC), most_rows=_LOOKED_AT)
        named = {
            "listing_id": feed.listing_id,
            "title": feed.title,
            "vendor": feed.vendor,
            "description": feed.description,
            "price": feed.price,
        }
        return {ours: theirs for ours, theirs in named.items() if theirs and ours != theirs}

    def hits(
        self, source: ProductSource, listing: Listing, n: int, route: str
    ) -> list[dict[str, Any]]:
        """Return products best first.

        ``similarity`` is the cosine of the vectors; ``shortlist`` the fused value that ordered
        them, comparable within one answer only.
        """
        chosen = _ROUTES.get(route)
        if chosen is None:
            raise InputError(f"route {route!r}: expected one of {', '.join(_ROUTES)}")
        readings = source.index.reader.read([fields_of(listing)])
        found = source.index.retrieve(readings, n_candidates=n, routes=chosen)
        columns = (found.record.tolist(), found.similarity.tolist(), found.shortlist.tolist())
        return [
            {
                "product_id": source.table.records[row].product_id,
                "name": source.table.records[row].name,
                "similarity": round(similarity, 4),
                "shortlist": round(shortlist, 4),
            }
            for row, similarity, shortlist in zip(*columns, strict=True)
        ]

    def resolver(
        self,
        source: ProductSource,
        model: RerankModel,
        *,
        index_version: str,
        reopen: Callable[[], Resolver] | None = None,
        habits: Habits | None = None,
    ) -> Resolver:
        """Put a model on a source of products."""
        if habits is None:
            habits = Habits.usual() if model.folder is None else read_habits(model.folder / _HABITS)
        return ProductResolver(source, model, habits, index_version=index_version, reopen=reopen)

    def lesson(
        self,
        workspace: Workspace,
        source: ProductSource,
        index: Manifest,
        request: TrainingRequest,
        *,
        warn: Callable[[str], None],
        progress: Callable[[str, float], None],
    ) -> Lesson:
        """Prepare the training on listings made up from the catalogue, and on labels."""
        learning = import_module("rerank.packs.generic.learning")
        pack = read_pack(index.parameters["pack"])
        listings = list(source.listings)
        for path in request.listings:
            listings += read_feed(feed_of(path, pack))
        labels = [
            label for path in request.labels for label in self._labels(path, source, pack, warn)
        ]
        if request.annotation_weight is not None:
            labels += stored_labels(workspace.store_path, source.table, warn)
        parameters = learning.LearningParameters(seed=request.seed)
        if request.precision is not None:
            parameters = replace(parameters, precision=request.precision)

        def into(folder: Path) -> dict[str, Any]:
            trained = learning.train(
                source.index,
                source.products,
                listings,
                labels,
                parameters,
                pack=pack,
                models=source.table.model_of_record,
                progress=progress,
            )
            for note in trained.notes:
                warn(note)
            summary = {
                "training": asdict(parameters),
                "listings": {"feed": len(listings)},
                "labels": len(labels),
                "rests_on": trained.rests_on,
                "measured": trained.measured,
                "index": {"version": index.fingerprint, **index.parameters},
            }
            version = save_model(
                folder,
                ranker=(trained.ranker.text, trained.ranker.onnx),
                offer=(trained.offer.text, trained.offer.onnx),
                calibrator=trained.calibrator,
                thresholds=trained.thresholds,
                parameters=marked(GENERIC, summary),
                candidate_sets=trained.candidate_sets,
                attached={_HABITS: habits_bytes(trained.habits)},
            )
            return {**summary, "version": version, "thresholds": asdict(trained.thresholds)}

        return Lesson(into, None)

    def made_up(self, resolver: Resolver, n: int, *, seed: int) -> list[Listing]:
        """Return names of products with words left out, and listings of the feeds, half each."""
        source = cast("ProductSource", resolver.source)
        rng = np.random.default_rng(seed)
        feed = source.listings
        some = [feed[int(at)] for at in rng.integers(0, len(feed), n // 2)] if feed else []
        # a card keeps no prices
        listings = [Listing("", each.name, each.brand, each.text) for each in some]
        names = source.table.rows.column("name")
        for row in rng.integers(0, len(names), n - len(listings)).tolist():
            words = names[row].as_py().split()
            kept = [word for word in words if rng.random() >= _DROPPED]
            listings.append(Listing("", " ".join(kept or words)))
        return listings

    def tried(self, resolver: Resolver, kind: str) -> CardFigures:
        """Return what training measured on listings that nothing was fitted to."""
        return CardFigures(resolver.model.parameters.get("measured", {}), None)

    def recall(self, kind: str, folder: Path, workspace: Workspace) -> dict[str, Any]:
        """Measure nothing: what listings of the catalogue look like is learnt by training."""
        raise InputError(
            "the recall of a catalogue's index is measured where its ranker is trained"
        )

    def _labels(
        self, path: Path, source: ProductSource, pack: Pack, warn: Callable[[str], None]
    ) -> list[Label]:
        """Read listings with the products they sell.

        :raises InputError: if no column holds products, or most of them are none of the catalogue.
        """
        table = read_table(path)
        column = next((name for name in _RIGHT_COLUMNS if name in table.names), None)
        if column is None:
            raise InputError(
                f"{path}: expected the column product_id, empty where nothing of the catalogue is "
                f"sold, found {', '.join(table.names)}"
            )
        said = table.texts(column)
        labels, unknown = [], []
        for at, own in read_listings(feed_of(path, pack)):
            ids = [key.strip() for key in said[at].split(_BETWEEN) if key.strip()]
            rows = [source.table.row_of_id[key] for key in ids if key in source.table.row_of_id]
            if ids and not rows:
                unknown.append(ids[0])
                continue
            labels.append((own, frozenset(rows)))
        if len(unknown) > len(labels):
            raise InputError(
                f"{path}: {len(unknown)} listings name products that the catalogue lacks, such as "
                f"{unknown[0]!r}; build the index of the catalogue they were judged with"
            )
        if unknown:
            warn(f"{path}: left out {len(unknown)} listings of unknown products: {unknown[0]!r}")
        return labels


def stored_labels(path: Path, table: CatalogueTable, warn: Callable[[str], None]) -> list[Label]:
    """Read what people settled on from a store, there or not; disputed answers are left out."""
    from rerank.annotation.agreement import read_settled
    from rerank.store.database import Store
    from rerank.store.rows import Verdict

    if not path.exists():
        return []
    with Store(path).reading() as session:
        settled, stored = read_settled(session)
    labels, unknown = [], 0
    for each in settled:
        item = stored.get(each.listing_id)
        if each.disputed or each.verdict is Verdict.UNSURE or item is None:
            continue
        rows: Sequence[int] = ()
        if each.verdict is Verdict.MATCH:
            row = table.row_of_id.get(each.gpu_id or "")
            rows = [row] if row is not None else table.rows_of_model.get(each.model or "", ())
            if not rows:
                unknown += 1
                continue
        labels.append((fields_of(item.listing), frozenset(rows)))
    if unknown:
        warn(f"left out {unknown} annotated listings of products that the catalogue lacks")
    return labels


def habits_bytes(habits: Habits) -> bytes:
    """Return habits as the file of a model folder."""
    from safetensors.numpy import save

    arrays = {each.name: np.asarray(getattr(habits, each.name)) for each in fields(Habits)}
    return save({name: np.ascontiguousarray(values) for name, values in arrays.items()})


def read_habits(path: Path) -> Habits:
    """Read what `habits_bytes` gave.

    :raises ArtifactError: if it is something else.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found = load_file(path)
        return Habits(
            pairs=int(found["pairs"].item()),
            base=tuple(found["base"].tolist()),
            tokens=found["tokens"],
            seen=found["seen"],
            kept=found["kept"],
            added=found["added"],
            prior=float(found["prior"].item()),
        )
    except (SafetensorError, KeyError, OSError, ValueError, TypeError) as exc:
        raise ArtifactError(f"{path}: expected habits of listings, found none: {exc}") from exc


PACK = GenericDomain()
