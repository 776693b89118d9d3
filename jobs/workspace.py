"""The workspace: one folder with embedder, index and models; shipped defaults fill its gaps.

    HOME/embedder/                  what `rerank train-embedder` made
    HOME/index/                     what `rerank build-index` made
    HOME/models/ltr/<version>/      what `rerank train-ltr` made
    HOME/models/active_model.json   which of them serves
    HOME/models/pairwise/           what `rerank train-pairwise` made
    HOME/models/dual/               what `rerank train-dual` made
    HOME/models/cross-encoder/      what `rerank train-cross-encoder` made
    HOME/models/served/<ranker>/    what `rerank train-decision` made on one of these three
    HOME/reports/reranker_metrics.json, reranker_report.html   what `rerank evaluate` found
    HOME/reports/reranker_ablation.json   what `rerank ablate` found
    HOME/store.duckdb               what people said and what was measured

Heavy libraries are imported where they are needed, so that importing `jobs` costs nothing.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from index.artifacts import writing_file
from index.errors import ArtifactError
from index.shipped import shipped
from rerank.ranker_folder import RankerFolder, RankerKind

if TYPE_CHECKING:
    from index.artifacts import Manifest
    from index.embedder import Embedder
    from index.retriever import Retriever

DEFAULT_HOME = Path(".rerank")
_ACTIVE = "active_model.json"


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
        """Where versions of the model lie."""
        return self.home / "models" / "ltr"

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
        return RankerFolder(kind, folders[kind])

    def served_folder(self, kind: RankerKind) -> Path:
        """Where a ranker other than LambdaRank lies with what decides on its scores."""
        return self.home / "models" / "served" / kind.value

    def model_of(self, kind: RankerKind) -> Path:
        """Return the model of a ranker: LambdaRank's that serves, else what was trained here.

        :raises ArtifactError: if there is none.
        """
        if kind is RankerKind.LTR:
            return self.active_model()
        folder = self.served_folder(kind)
        if not folder.is_dir():
            raise ArtifactError(
                f"{folder}: no {kind.value} ranker serves here; train one with `rerank "
                f"train-{kind.value}`, then what decides on its scores with `rerank "
                f"train-decision {kind.value}`"
            )
        return folder

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
    def store_path(self) -> Path:
        """Where annotations, pairs and evaluation runs are kept; `rerank.store.Store` opens it."""
        return self.home / "store.duckdb"

    def active_index(self) -> Path:
        """Return the index that serves: the workspace's own, else the shipped one."""
        return self.index_folder if self.index_folder.exists() else shipped("index")

    def active_embedder(self) -> Path:
        """Return the default embedder that serves: the workspace's own, else the shipped one."""
        return self.embedder_folder if self.embedder_folder.exists() else shipped("embedder")

    def active_model(self) -> Path:
        """Return the model that serves: the one pointed at, else the shipped one.

        :raises ArtifactError: if the pointer is damaged or points at nothing.
        """
        pointer = self.models_folder.parent / _ACTIVE
        if not pointer.exists():
            return shipped("model")
        try:
            content = json.loads(pointer.read_text(encoding="utf-8"))
            folder = pointer.parent / str(content["name"]) / str(content["version"])
        except (ValueError, TypeError, KeyError) as exc:
            raise ArtifactError(
                f"{pointer}: expected JSON with 'name' and 'version', found something else "
                f"({type(exc).__name__}: {exc}); run `rerank train-ltr`"
            ) from exc
        if not folder.is_dir():
            raise ArtifactError(
                f"{pointer}: points at {folder}, which does not exist; run `rerank train-ltr`"
            )
        return folder

    def adopt_model(self, draft: Path, version: str) -> Path:
        """Move a complete model folder to its version's place and point at it, in this order."""
        folder = self.models_folder / version
        if folder.exists():  # of the same content, or damaged: a version is a fingerprint
            shutil.rmtree(folder)
        os.rename(draft, folder)
        with writing_file(self.models_folder.parent / _ACTIVE) as path:
            content = {"name": self.models_folder.name, "version": version}
            path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        return folder


def open_retriever(workspace: Workspace) -> tuple[Retriever, Manifest]:
    """Load the index that serves, with the embedder that made it."""
    from index.gpu_index import load_retriever
    from jobs.embedders import embedder_of_index

    folder = workspace.active_index()
    return load_retriever(folder, embedder_of_index(workspace, folder))


def default_embedder(workspace: Workspace) -> Embedder:
    """Load the static embedder that serves by default."""
    from index.embedder import StaticEmbedder

    return StaticEmbedder.load(workspace.active_embedder())
