"""Domains: what one kind of goods brings to the pipeline, found by its name.

A *pack* is a package in `rerank.packs` whose module ``pack`` holds ``PACK``, a `Domain`. It reads
catalogue and listings of its goods, proposes and describes candidates, trains on listings it makes
up, and words the answers; what ranks, calibrates, decides, registers and scores is the same for
all. Nothing outside of `rerank.packs` imports a pack: it is looked up here, by the name that an
index and a model carry in their manifests. What only one kind of goods has is asked of its tools:
`card_tools`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from rerank.index.artifacts import Manifest
from rerank.index.errors import MismatchError
from rerank.index.records import GpuRecord, LabelledListing, Listing

GPU = "gpu"
"""The domain of what was made before there were others, and of what ships."""
GENERIC = "generic"
"""The domain of every catalogue that comes as a table."""

_KEY = "domain"  # of a manifest's parameters


class FeatureNames(NamedTuple):
    """The names, in order, of what a domain computes: of each candidate, and of each offer."""

    candidate: tuple[str, ...]
    offer: tuple[str, ...]


class CardFigures(NamedTuple):
    """How a version does on listings its domain made up, as its card keeps it.

    :param metrics: figures, and what they were measured on.
    :param distribution: how its answers were spread; None where the domain compares none.
    """

    metrics: dict[str, Any]
    distribution: dict[str, Any] | None


class MeasuredSets(NamedTuple):
    """Gold listings that a domain brings or makes up.

    :param by_hand: sets that people made, by name.
    :param made_up: of what training never saw; ``name`` is that set's. Empty where none was asked.
    :param why_not: why none could be made up, "" if it could.
    """

    by_hand: dict[str, list[Any]]
    name: str
    made_up: list[Any]
    why_not: str = ""


class ProposedColumn(NamedTuple):
    """What was seen of a column of a table of products, and what it is taken for.

    :param filled: share of its cells that say something.
    :param examples: some of these, cut.
    :param remark: what is odd about it, "" for nothing.
    """

    name: str
    role: str
    unit: str
    filled: float
    examples: tuple[str, ...]
    remark: str


class CatalogueProposal(NamedTuple):
    """A catalogue of any goods as it was proposed of a bare table, and read.

    :param many: what several products are called.
    :param columns: in the table's order.
    :param remarks: what was odd or left out, a sentence each.
    :param n_rows: of the table, ``n_products`` of them products, ``n_models`` models of these.
    :param other_pack: that knows more of such goods than the one that was asked for; "" for none.
    """

    many: str
    columns: tuple[ProposedColumn, ...]
    remarks: tuple[str, ...]
    n_rows: int
    n_products: int
    n_models: int
    other_pack: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRequest:
    """What is asked of a training; a domain passes over what its goods do not know.

    :param precision: that decisions of ``match`` are to have; None leaves it to the domain.
    :param scale: made-up listings, as a multiple of the domain's usual number.
    :param annotation_weight: how many made-up listings an annotated one of the workspace's store
        counts as; None leaves annotations out.
    :param listings: files of listings, to learn how sellers write.
    :param labels: files of listings with the products they sell.
    """

    precision: float | None = None
    scale: float = 1.0
    seed: int = 7
    annotation_weight: float | None = None
    listings: tuple[Path, ...] = ()
    labels: tuple[Path, ...] = ()


class Lesson(NamedTuple):
    """A training that is prepared.

    :param into: writes a model folder; returns what was trained on and chosen, for the report.
    :param annotated: what people settled that it learns from, with a ``summary()``, or None.
    """

    into: Callable[[Path], dict[str, Any]]
    annotated: Any


class AskingWords(NamedTuple):
    """How people who are asked about listings call a domain's goods.

    :param catalogue: what holds what may be chosen.
    :param chosen: what choosing a candidate says.
    :param unlisted: what is none of the catalogue though it could be.
    :param not_one: that nothing of the kind is sold; ``such_as`` names some that are sold instead.
    :param several: that different ones are sold at once.
    :param any_variant: that a model is sold, and its variant is not known.
    """

    catalogue: str
    chosen: str
    unlisted: str
    not_one: str
    such_as: str
    several: str
    any_variant: str


class CatalogueNames(NamedTuple):
    """The names of what a catalogue holds.

    :param names: of `rerank.store.rows.KnownNames`.
    :param records: of which the store keeps a snapshot; none where it keeps none.
    :param version: of these.
    """

    names: Any
    records: Sequence[Any]
    version: str


class CatalogueChoice(NamedTuple):
    """What a listing may be said to sell.

    :param key: what the store calls it; so does ``model``.
    :param name: all that tells it from others, in words.
    :param heading: its name at the begin of a row, in at most ``widest`` columns.
    :param cells: what stands behind, as wide as that of every other choice.
    """

    key: str
    model: str
    name: str
    heading: str
    cells: str
    widest: int


class FoundChoices(NamedTuple):
    """What words find: the best of them, and how many there are in all."""

    best: Sequence[CatalogueChoice]
    total: int


class Choices(Protocol):
    """What people choose from where they say what a listing sells."""

    words: AskingWords

    def of(self, key: str) -> CatalogueChoice:
        """Return the choice that a candidate's key means."""

    def apart(self, candidates: Sequence[Any], title: str) -> list[str]:
        """Return what sets each candidate of a title apart from the others; "" for nothing."""

    def search(self, query: str, most: int) -> FoundChoices:
        """Return those of whose names each word of a query begins a word."""


class Domain(Protocol):
    """What one kind of goods brings.

    Models and resolvers are `rerank.model.RerankModel` and `rerank.resolver.Resolver`, a workspace
    `rerank.workspace.Workspace`, a source `rerank.ranking.CandidateSource`: all import this module.
    """

    name: str
    features: FeatureNames
    key_column: str
    """What answers, and the catalogue's records, call the id of what is sold."""
    refusals: tuple[str, ...]
    """How reasons begin of listings that sell no product, whatever it is called."""
    training_stages: Mapping[str, float]
    """The stages of a training in their turn, with the part of the time that each takes."""

    def open_source(self, folder: Path, workspace: Any) -> tuple[Any, Manifest]:
        """Load an index folder.

        :raises ArtifactError: if it is missing or damaged.
        :raises MismatchError: if it was built with another embedder than the workspace has.
        """

    def columns_of(self, path: Path, index: Manifest) -> dict[str, str]:
        """Return which columns of a file of listings hold what, by our name.

        Those of the same name are left out; empty where the domain takes our names alone.

        :param index: of the catalogue that the listings are for.
        """

    def hits(self, source: Any, listing: Listing, n: int, route: str) -> list[dict[str, Any]]:
        """Return what a listing retrieves before any ranking, best first, for people.

        :raises InputError: if there is no such route.
        """

    def entry(self, source: Any, key: str) -> dict[str, Any] | None:
        """Return all that the catalogue says of a product, by column; None if it has none such."""

    def entry_columns(self, source: Any) -> list[str]:
        """Return the columns of entries."""

    def resolver(
        self,
        source: Any,
        model: Any,
        *,
        index_version: str,
        reopen: Callable[[], Any] | None = None,
        **own: Any,
    ) -> Any:
        """Put a model on what proposes candidates.

        :param own: what only this domain's resolver takes.
        """

    def lesson(
        self,
        workspace: Any,
        source: Any,
        index: Manifest,
        request: TrainingRequest,
        *,
        warn: Callable[[str], None],
        progress: Callable[[str, float], None],
    ) -> Lesson:
        """Prepare the training of a ranker, and of what decides on its scores.

        :param warn: is told of what cannot be used.
        :raises InputError: if a file cannot be read.
        """

    def choices(self, source: Any, index: Manifest) -> Choices:
        """Return what people choose from where they are asked what a listing sells."""

    def plain_guesses(self, source: Any, titles: Sequence[str]) -> list[str]:
        """Return the model that a plain rule over words names for each title; "" for none."""

    def names(self, folder: Path) -> CatalogueNames:
        """Return the names by which people mean what an index folder's catalogue holds.

        :raises ArtifactError: if it is missing or damaged.
        """

    def made_up(self, resolver: Any, n: int, *, seed: int) -> list[Listing]:
        """Return listings made up from the catalogue, some of which sell nothing of it."""

    def tried(self, resolver: Any, kind: str) -> CardFigures:
        """Measure a version of a ranker on listings made up from the catalogue."""

    def measures(self, source: Any) -> Any:
        """Return what resolved listings are measured by, beside their answers.

        :returns: `rerank.lifecycle.drift.ListingMeasures`.
        """

    def read_gold(self, path: Path, source: Any, index: Manifest) -> list[Any]:
        """Read a file of listings with what they sell, `rerank.evaluation.gold.GoldListing` each.

        :raises InputError: if it cannot be read, or holds another kind of truth.
        :raises FaultsError: if rows are faulty.
        """

    def settled_gold(self, store: Any, source: Any) -> list[Any]:
        """Return what people settled on in a `rerank.store.database.Store`, as gold listings.

        :raises StoreError: if the store cannot be read.
        """

    def kept_out(self, gold: Sequence[Any], models: Sequence[Any]) -> list[Any]:
        """Return the settled gold listings that taught none of some models."""

    def measured_sets(self, source: Any, index: Manifest, n: int) -> MeasuredSets:
        """Return the gold listings that a version is measured on where nobody gives any.

        :param n: listings to make up.
        """

    def promotion_settings(self) -> type[Any]:
        """Return the gates' settings with the defaults of the goods.

        :returns: `rerank.lifecycle.gates.PromotionSettings`, or a kind of it.
        """

    def instruments(self, resolver: Any, index: Manifest, *, baselines: bool) -> Any:
        """Return what an evaluation looks at beside the answers.

        `rerank.evaluation.evaluate.Instruments`, without candidate sets.

        :param baselines: whether other rules are to be measured too, where there are any.
        """

    def facts(self, source: Any) -> Any:
        """Return what gold listings are sliced by, a `rerank.evaluation.paired.GoldFacts`."""

    def touched_since(
        self, folder: Path, version: str
    ) -> Callable[[Sequence[str]], Sequence[int]] | None:
        """Return what finds the titles that may be answered otherwise than by an earlier index.

        :param folder: of the index that serves.
        :param version: of the one that answered.
        :returns: takes titles and gives the numbers of those; None if all may be.
        """

    def recall(self, kind: str, folder: Path, workspace: Any) -> dict[str, Any]:
        """Measure the recall of an index or embedder on made-up listings, for its card.

        :param kind: ``index`` or ``embedder``.
        :raises InputError: if the catalogue is too small to measure on.
        :raises ArtifactError: if something that is needed is damaged or gone.
        """


class CardTools(Protocol):
    """What only graphics cards have, for the commands that are of them alone."""

    def build_index(
        self, records: Sequence[Any], embedder: Any, folder: Path, *, kind: str | None = None
    ) -> Manifest:
        """Embed a registry and write an index folder, replacing an older one whole.

        :param embedder: a `rerank.index.embedder.Embedder`.
        :param kind: a value of `rerank.index.vector_index.IndexKind`; None for that of its size.
        """

    def add_to_index(
        self, records: Sequence[Any], embedder: Any, folder: Path
    ) -> tuple[Manifest, int]:
        """Add cards that an index lacks; return its new manifest and how many were added.

        :raises InputError: if a gpu_id is given twice, or is there already with another content.
        :raises MismatchError: if the index was built with another embedder.
        """

    def update_index(
        self, records: Sequence[Any], embedder: Any, folder: Path, target: Path
    ) -> tuple[Manifest, int | None]:
        """Bring an index up to a registry: add what it lacks, if all else stayed; else build anew.

        :param folder: the index that is there; ``target``: where the new one goes.
        :returns: its manifest, and how many were added; None if it was built anew.
        """

    def load_registry(self, source: Path) -> list[GpuRecord]:
        """Read a registry: a YAML, CSV or parquet file, or a folder of YAML files.

        :raises InputError: if there is none.
        :raises FaultsError: with all that is wrong with its content.
        """

    def registry_fingerprint(self, records: Sequence[GpuRecord]) -> str:
        """Return what a registry's content is known by, whatever the order of its models."""

    def check_registry(
        self, records: Sequence[GpuRecord], facts: Path
    ) -> tuple[int, Sequence[Any]]:
        """Hold a registry against a table of facts.

        :returns: the facts in scope, and differences, each with ``kind``, ``vendor``, ``model``
            and what ``registry`` and ``facts`` say.
        :raises InputError: if the table cannot be read.
        """

    def generate(
        self,
        registry: Sequence[GpuRecord],
        n: int,
        *,
        seed: int,
        nil_share: float,
        models: Collection[str] | None = None,
    ) -> list[LabelledListing]:
        """Return generated listings, the same for the same arguments and registry content.

        :param nil_share: share of listings that sell no card of the registry.
        :param models: the models sold in matches; nil listings may name any.
        """

    def train_embedder(
        self,
        records: Sequence[GpuRecord],
        folder: Path,
        parameters: Any,
        *,
        listings: int,
        progress: Callable[[float], None],
    ) -> list[float]:
        """Train the static embedder on generated listings; return the mean loss of each epoch.

        :param parameters: `rerank.index.embedder_training.EmbedderParameters`.
        :param listings: generated, each with the card it sells.
        """

    def offers(self) -> Callable[[Any, Any], tuple[Any, Any]]:
        """Return what describes the best candidates of a ranker's scores.

        It takes a `rerank.ranking.RankingBatch` and scores, shape (candidates,); it returns offer
        features, shape (listings, features), and the row of each listing's best candidate, -1 if
        it has none.
        """

    def grades(self, labelled: Sequence[LabelledListing], batch: Any, table: Any) -> Any:
        """Grade candidates: 2 a variant that fits all the listing states, 1 its model, else 0.

        :param batch: a `rerank.ranking.CandidateBatch` of the listings.
        :param table: the `rerank.ranking.ModelTable` it counts in.
        :returns: shape (candidates,).
        """

    def labelled_of(
        self, settled: Iterable[Any], listings: Mapping[str, Listing], retriever: Any
    ) -> tuple[list[LabelledListing], Any]:
        """Turn settled answers into labelled listings; disputed and unsure ones are left out.

        :param settled: `rerank.annotation.agreement.Consensus` each.
        :param listings: by listing_id.
        :returns: in the order of the answers, and what could not be used: ``unknown`` models,
            ``of_unknown`` listings of these and ``without_text``.
        """

    def decision_lesson(
        self,
        source: Any,
        index: Manifest,
        request: TrainingRequest,
        trained: Any,
        *,
        progress: Callable[[str, float], None],
    ) -> Lesson:
        """Prepare the training of what decides on the scores of a ranker that is trained already.

        :param trained: its `rerank.rankers.kinds.RankerFolder`.
        """

    def ablate(
        self,
        source: Any,
        sets: Mapping[str, Sequence[Any]],
        request: TrainingRequest,
        *,
        progress: Callable[[str, float], None],
    ) -> dict[str, Any]:
        """Train and measure systems that lack features on sets of gold listings, by name.

        :raises InputError: if a set holds no match.
        """

    def simulate(
        self,
        source: Any,
        gold: Sequence[Any],
        shops: Sequence[str],
        plan: Any,
        *,
        scale: float,
        make_items: Callable[..., Any],
        progress: Callable[[str, float], None],
    ) -> tuple[Sequence[Any], dict[str, Any]]:
        """Simulate queues on gold listings of shops; return all runs, and their figures.

        :param plan: a `rerank.annotation.queue.SimulationPlan`.
        :param scale: generated listings to train on, as a multiple of the default.
        :param make_items: what resolves listings of shops and asks all rankers for their votes.
        :raises InputError: if two gold listings share an id.
        """

    def ranker_trials(self, source: Any) -> Any:
        """Return what measures rankers on the same candidates of a source."""

    def scored_queries(
        self, source: Any, n: int, *, seed: int, progress: Callable[[float], None]
    ) -> Iterator[Any]:
        """Generate listings; yield `rerank.rankers.scored.ScoredSet` of their candidates."""


def domain_in(parameters: Mapping[str, Any]) -> str:
    """Return the name of the domain that an artifact is of, by its manifest's parameters."""
    return str(parameters.get(_KEY, GPU))


@cache
def domain_named(name: str) -> Domain:
    """Return a domain.

    :raises MismatchError: if no pack of the name is installed.
    """
    try:
        if not name.isidentifier():
            raise ModuleNotFoundError(name="rerank.packs")
        found: Domain = import_module(f"rerank.packs.{name}.pack").PACK
    except ModuleNotFoundError as exc:
        if exc.name is None or not exc.name.startswith("rerank.packs"):
            raise
        raise MismatchError(
            f"made for the domain {name!r:.80}, of which this release has no pack; install the "
            "release that made it"
        ) from exc
    return found


def card_tools() -> CardTools:
    """Return what only graphics cards have; the pack's modules are read when one is asked for."""
    found: CardTools = import_module(f"rerank.packs.{GPU}.tools").TOOLS
    return found


def feature_names(parameters: Mapping[str, Any]) -> FeatureNames:
    """Return the features that an artifact's domain computes in this release."""
    return domain_named(domain_in(parameters)).features


def marked(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest's parameters with the domain in them; graphics cards' are as they were."""
    return {**parameters} if name == GPU else {**parameters, _KEY: name}


def init_catalogue(
    products: Path, listings: Sequence[Path], target: Path, *, pack: str
) -> CatalogueProposal:
    """Propose a catalogue of a table of products, and write it for a person to correct.

    :param listings: files of listings that training may learn from.
    :param pack: what is known of such goods, by its name in the shipped data.
    :raises InputError: if a file cannot be read, no column holds names, or there are fewer than
        two products.
    :raises ArtifactError: if the target exists.
    """
    found: CatalogueProposal = import_module(f"rerank.packs.{GENERIC}.inference").init_catalogue(
        products, listings, target, pack=pack
    )
    return found


def build_catalogue_index(
    catalogue: Path, folder: Path, *, progress: Callable[[str, float], None]
) -> tuple[Manifest, tuple[str, ...]]:
    """Build the index of a catalogue file, replacing an older one whole.

    :returns: its manifest, and what was odd about the products, a sentence each.
    :raises InputError: if a file cannot be read or holds fewer than two products.
    :raises FaultsError: with all that catalogue and products cannot say.
    """
    found: tuple[Manifest, tuple[str, ...]] = import_module(
        f"rerank.packs.{GENERIC}.source"
    ).build_source(catalogue, folder, progress=progress)
    return found
