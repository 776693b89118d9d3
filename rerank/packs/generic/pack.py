"""The domain of any catalogue that comes as a table."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from rerank.domain import (
    GENERIC,
    CardFigures,
    CatalogueNames,
    FeatureNames,
    Lesson,
    MeasuredSets,
    TrainingRequest,
    marked,
)
from rerank.index.artifacts import Manifest
from rerank.index.errors import ArtifactError, InputError
from rerank.index.records import BETWEEN_IDENTIFIERS, Listing
from rerank.model import RerankModel, save_model
from rerank.packs.generic.choices import ProductChoices, ProductNames
from rerank.packs.generic.evidence import CANDIDATE_FEATURES, OFFER_FEATURES, Habits
from rerank.packs.generic.fields import Fields
from rerank.packs.generic.index import ProductRoute
from rerank.packs.generic.inference import feed_of
from rerank.packs.generic.pack_data import read_pack
from rerank.packs.generic.product_answers import REFUSALS, ProductResolver
from rerank.packs.generic.source import (
    ID,
    MODEL,
    NAME,
    ProductSource,
    fields_of,
    load_source,
    read_feed,
    read_rows,
)
from rerank.resolver import Resolver

if TYPE_CHECKING:
    from rerank.evaluation.evaluate import Instruments
    from rerank.evaluation.gold import GoldListing
    from rerank.lifecycle.gates import CataloguePromotion
    from rerank.packs.generic.learning import LearningParameters
    from rerank.packs.generic.measuring import CatalogueFacts, TitleWords
    from rerank.store.database import Store
    from rerank.workspace import Workspace

_FEWEST = 300  # made-up listings of a stage
_HABITS = "habits.safetensors"
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
    key_column = ID
    refusals = REFUSALS
    training_stages: Mapping[str, float] = {
        "making up listings for the ranker": 20,
        "making up listings for the offer classifier": 25,
        "making up listings for the calibration": 15,
        "training LambdaRank": 15,
        "training the offer classifier": 10,
        "looking at the feed": 5,
        "making up listings for candidate sets": 5,
        "describing the version": 5,
    }

    def open_source(self, folder: Path, workspace: Workspace) -> tuple[ProductSource, Manifest]:
        """Load an index folder."""
        return load_source(folder)

    def columns_of(self, path: Path, index: Manifest) -> dict[str, str]:
        """Return which columns of a file of listings hold what, by headers and first rows.

        Empty where none holds titles or the file cannot be read: its reader says so.
        """
        try:
            feed = feed_of(path, read_pack(index.parameters["pack"]), most_rows=_LOOKED_AT)
        except InputError:
            return {}
        named = {
            "listing_id": feed.listing_id,
            "title": feed.title,
            "vendor": feed.vendor,
            "description": feed.description,
            "price": feed.price,
            "identifiers": f"{BETWEEN_IDENTIFIERS} ".join(feed.identifiers),
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

    def entry(self, source: ProductSource, key: str) -> dict[str, Any] | None:
        """Return a product's id, name, model and own columns."""
        table = source.table
        row = table.row_of_id.get(key)
        if row is None:
            return None
        columns = self.entry_columns(source)
        return {name: table.rows.column(name)[row].as_py() for name in columns}

    def entry_columns(self, source: ProductSource) -> list[str]:
        """Return id, name, model and the catalogue's own columns."""
        return [ID, NAME, MODEL, *source.table.own_columns]

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
        from rerank.packs.generic.learning import train
        from rerank.packs.generic.measuring import labels_of

        pack = read_pack(index.parameters["pack"])
        listings = list(source.listings)
        for path in request.listings:
            listings += read_feed(feed_of(path, pack))
        store = None if request.annotation_weight is None else workspace.store_path
        labels = labels_of(request.labels, store, source.table, pack, warn)
        parameters = _parameters(request)

        def into(folder: Path) -> dict[str, Any]:
            started = time.perf_counter()
            trained = train(
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
                seconds=time.perf_counter() - started,
                attached={_HABITS: habits_bytes(trained.habits)},
            )
            return {**summary, "version": version, "thresholds": asdict(trained.thresholds)}

        return Lesson(into, None)

    def choices(self, source: ProductSource, index: Manifest) -> ProductChoices:
        """Return the catalogue's products as people choose among them."""
        return ProductChoices(source.table, str(index.parameters["one"]))

    def plain_guesses(self, source: ProductSource, titles: Sequence[str]) -> list[str]:
        """Return the model whose words, weighted by rarity, each title has most of."""
        readings = source.index.reader.read([Fields(name=title) for title in titles])
        found = source.index.retrieve(readings, n_candidates=1, routes=(ProductRoute.WORDS,))
        guesses = [""] * len(titles)
        for at, row in zip(found.listing.tolist(), found.record.tolist(), strict=True):
            guesses[at] = source.table.records[row].model
        return guesses

    def names(self, folder: Path) -> CatalogueNames:
        """Return the names of the products; the store keeps no snapshot of them."""
        rows, manifest = read_rows(folder)
        return CatalogueNames(ProductNames(rows), (), manifest.fingerprint)

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
        """Measure a version on made-up listings, and how listings of the feeds are answered."""
        from rerank.lifecycle.drift import answer_distribution
        from rerank.packs.generic.measuring import CARD_SEED, card_listings, made_up_figures

        source = cast("ProductSource", resolver.source)
        pack = read_pack(resolver.model.parameters["index"]["pack"])
        listings = card_listings(source, partial(self.made_up, resolver, seed=CARD_SEED))
        spread = answer_distribution(resolver, listings)
        return CardFigures(made_up_figures(resolver, source, pack), spread.as_json())

    def measures(self, source: ProductSource) -> TitleWords:
        """Return what listings are measured by."""
        from rerank.packs.generic.measuring import TitleWords

        return TitleWords(source)

    def read_gold(self, path: Path, source: ProductSource, index: Manifest) -> list[GoldListing]:
        """Read listings with the products they sell."""
        from rerank.packs.generic.measuring import read_catalogue_gold

        return read_catalogue_gold(path, source.table, read_pack(index.parameters["pack"]))

    def settled_gold(self, store: Store, source: ProductSource) -> list[GoldListing]:
        """Return what people settled on, without what is disputed or unsure."""
        from rerank.packs.generic.measuring import settled_catalogue_gold

        return settled_catalogue_gold(store, source.table)

    def kept_out(
        self, gold: Sequence[GoldListing], models: Sequence[RerankModel]
    ) -> list[GoldListing]:
        """Return all, or none where a model learnt from labels: it learns from all there are."""
        taught = any(model.parameters.get("labels") for model in models)
        return [] if taught else list(gold)

    def measured_sets(self, source: ProductSource, index: Manifest, n: int) -> MeasuredSets:
        """Return listings made up as training does, with a seed that no training has."""
        from rerank.lifecycle.gates import MADE_UP
        from rerank.packs.generic.measuring import made_up_gold

        pack = read_pack(index.parameters["pack"])
        return MeasuredSets({}, MADE_UP, made_up_gold(source, pack, n) if n else [])

    def promotion_settings(self) -> type[CataloguePromotion]:
        """Return the settings of gates for any goods."""
        from rerank.lifecycle.gates import CataloguePromotion

        return CataloguePromotion

    def instruments(self, resolver: Resolver, index: Manifest, *, baselines: bool) -> Instruments:
        """Return the routes to products, what listings are sliced by, causes and baselines."""
        from rerank.evaluation.evaluate import Instruments
        from rerank.evaluation.metrics import PRODUCT_METRICS
        from rerank.packs.generic.measuring import (
            MEASURED_ROUTES,
            CatalogueFacts,
            baselines_over,
            examine_products,
            explain_products,
        )

        source = cast("ProductSource", resolver.source)
        return Instruments(
            registry_version=index.parameters["registry_fingerprint"],
            facts=CatalogueFacts(),
            metrics=PRODUCT_METRICS,
            examine=partial(examine_products, resolver, source),
            explain=explain_products,
            routes=MEASURED_ROUTES,
            baselines=baselines_over(source.table) if baselines else (),
        )

    def facts(self, source: ProductSource) -> CatalogueFacts:
        """Return what gold listings are sliced by: shop and language."""
        from rerank.packs.generic.measuring import CatalogueFacts

        return CatalogueFacts()

    def touched_since(
        self, folder: Path, version: str
    ) -> Callable[[Sequence[str]], Sequence[int]] | None:
        """Return nothing: all words of a catalogue are weighed anew where it changes."""
        return None

    def recall(self, kind: str, folder: Path, workspace: Workspace) -> dict[str, Any]:
        """Measure nothing: what listings of the catalogue look like is learnt by training."""
        raise InputError(
            "the recall of a catalogue's index is measured where its ranker is trained"
        )


def _parameters(request: TrainingRequest) -> LearningParameters:
    from rerank.packs.generic.learning import LearningParameters

    usual = LearningParameters(precision=request.precision, seed=request.seed)
    return replace(
        usual,
        ranker_listings=max(_FEWEST, round(usual.ranker_listings * request.scale)),
        offer_listings=max(_FEWEST, round(usual.offer_listings * request.scale)),
        validation_listings=max(_FEWEST, round(usual.validation_listings * request.scale)),
        set_listings=max(_FEWEST, round(usual.set_listings * request.scale)),
    )


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
