"""Training into a workspace: the embedder, and the model that ranks and decides."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from index.embedder import descriptor, listing_text
from index.embedder_training import EmbedderParameters, train_embedder
from index.errors import ArtifactError
from index.records import GpuRecord
from index.shipped import shipped
from jobs.lifecycle.registry import ModelRegistry
from jobs.lifecycle.trained_versions import take_place
from jobs.lifecycle.training_cards import Learnt, trained_card
from jobs.workspace import Workspace, open_retriever
from rerank.bootstrap import generate
from rerank.features import CueReader
from rerank.lifecycle.versions import VersionRef
from rerank.ranker_folder import RankerFolder, RankerKind
from rerank.splits import Split, models_of

if TYPE_CHECKING:
    from index.retriever import Retriever
    from rerank.annotation.labelling import AnnotatedListings
    from rerank.training_sets import TrainingParameters

_NIL_LISTINGS_PER_PAIR = 1 / 3  # they widen the vocabulary; no pair is made of them
_TRAINED_ON = (Split.EMBEDDER,)
_MAX_NAMES = 20


def train_workspace_embedder(
    records: Sequence[GpuRecord],
    folder: Path,
    *,
    listings: int = 24_000,
    parameters: EmbedderParameters | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> list[float]:
    """Train the static embedder on generated listings; return the mean loss of each epoch.

    Listings are of the embedder's split only, so that the ranker sees how a similarity does on
    models the embedder has not read of; descriptors are of all models, as the index's are.
    """
    parameters = parameters or EmbedderParameters()
    models = [model for split in _TRAINED_ON for model in models_of(records, split)]
    by_id = {record.gpu_id: record for record in records}
    seed = parameters.seed * 1000
    sold = generate(records, listings, seed=seed + 11, nil_share=0.0, models=models)
    nil = generate(records, round(listings * _NIL_LISTINGS_PER_PAIR), seed=seed + 12, nil_share=1.0)
    pairs = [
        (item.model, listing_text(item.listing), descriptor(by_id[item.gpu_id]))
        for item in sold
        if item.model is not None and item.gpu_id is not None
    ]
    pairs += [(record.model, descriptor(record), descriptor(record)) for record in records]
    corpus = [text for _, *texts in pairs for text in texts]
    corpus += [listing_text(item.listing) for item in nil]
    return train_embedder(pairs, corpus, folder, parameters, progress=progress)


def scaled(parameters: TrainingParameters, scale: float) -> TrainingParameters:
    """Return parameters with the numbers of listings multiplied."""
    return replace(
        parameters,
        ranker_listings=round(parameters.ranker_listings * scale),
        offer_listings=round(parameters.offer_listings * scale),
        validation_listings=round(parameters.validation_listings * scale),
    )


@dataclass(frozen=True, slots=True)
class TrainedVersion:
    """A version that was just trained.

    :param serves: whether it is champion now; else it is the challenger, or champion's equal.
    :param summary: what it was trained on and what was chosen.
    """

    ref: VersionRef
    folder: Path
    serves: bool
    summary: dict[str, Any]

    def text(self) -> str:
        """Return where it lies, its thresholds, and what becomes of it, for people."""
        chosen = self.summary["thresholds"]
        fate = (
            "it serves"
            if self.serves
            else (
                "it is the challenger: `rerank models compare champion challenger`, `rerank models "
                "promote challenger`"
            )
        )
        return (
            f"model {self.ref.version} in {self.folder}: match from {chosen['match']:.3f}, review "
            f"from {chosen['review']:.3f}, for a precision of {chosen['precision']:g}\n{fate}"
        )


def train_workspace_model(
    workspace: Workspace,
    parameters: TrainingParameters,
    *,
    annotation_weight: float | None = None,
    serve: bool = False,
    warn: Callable[[str], None] = lambda message: None,
    progress: Callable[[str, float], None] = lambda stage, share: None,
) -> TrainedVersion:
    """Train on the workspace's index and register the new version.

    :param annotation_weight: how many generated listings an annotated one of the workspace's store
        counts as; None leaves annotations out.
    :param serve: let it serve at once, whatever serves now.
    :param warn: is told of annotations that could not be used.
    """
    from rerank.training import train

    retriever, manifest = open_retriever(workspace)
    annotated = None
    if annotation_weight is not None:
        annotated = read_annotated(workspace, retriever, weight=annotation_weight, warn=warn)
    cues = CueReader.load(shipped("cues.yaml"))

    def into(draft: Path) -> dict[str, Any]:
        return train(
            retriever, cues, draft, manifest, parameters, annotated=annotated, progress=progress
        )

    learnt = Learnt(retriever, manifest, parameters.seed, annotated)
    return _registered(workspace, RankerKind.LTR, into, learnt, serve=serve, progress=progress)


def train_workspace_decision(
    workspace: Workspace,
    trained: RankerFolder,
    parameters: TrainingParameters,
    *,
    serve: bool = False,
    progress: Callable[[str, float], None] = lambda stage, share: None,
) -> TrainedVersion:
    """Train what decides on a ranker's scores, and register the version of both.

    :param serve: let it serve at once, whatever serves now.
    :raises ArtifactError: if the ranker's folder is missing or damaged.
    :raises MismatchError: if the ranker reads what candidates of listings do not have.
    """
    from rerank.decision_training import train_decision

    if not trained.folder.is_dir():
        raise ArtifactError(
            f"{trained.folder}: no trained {trained.kind.value} ranker here; make one with "
            f"`rerank train-{trained.kind.value}`, or name its folder with --from"
        )
    retriever, manifest = open_retriever(workspace)
    cues = CueReader.load(shipped("cues.yaml"))

    def into(draft: Path) -> dict[str, Any]:
        return train_decision(
            trained, retriever, cues, draft, manifest, parameters, progress=progress
        )

    learnt = Learnt(retriever, manifest, parameters.seed)
    return _registered(workspace, trained.kind, into, learnt, serve=serve, progress=progress)


def _registered(
    workspace: Workspace,
    kind: RankerKind,
    train_into: Callable[[Path], dict[str, Any]],
    learnt: Learnt,
    *,
    serve: bool,
    progress: Callable[[str, float], None],
) -> TrainedVersion:
    """Train into a hidden folder, describe the version, register it and let it take its place."""
    registry = ModelRegistry(workspace)
    parent = registry.pointer().champion
    workspace.models_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=workspace.models_folder) as scratch:
        draft = Path(scratch) / "model"
        summary = train_into(draft)
        card = trained_card(draft, kind.value, learnt, parent=parent, progress=progress)
        ref = registry.register(draft, card)
    serves = take_place(registry, ref, learnt.index, serve=serve)
    return TrainedVersion(ref, registry.folder(ref), serves, summary)


def read_annotated(
    workspace: Workspace,
    retriever: Retriever,
    *,
    weight: float,
    warn: Callable[[str], None] = lambda message: None,
) -> AnnotatedListings | None:
    """Read what annotators settled on from the workspace's store; None if there is no store.

    :raises StoreError: if the store is damaged, of a newer release or being written to for long.
    """
    from rerank.annotation.consensus import consensus
    from rerank.annotation.labelling import labelled_of, on_sides
    from rerank.store import Store
    from rerank.store.annotations import read_annotations
    from rerank.store.listings import read_listings

    if not workspace.store_path.exists():
        return None
    with Store(workspace.store_path).reading() as session:
        settled = consensus(read_annotations(session))
        stored = read_listings(session) if settled else []
    listings = {item.listing.listing_id: item.listing for item in stored}
    labelled, unusable = labelled_of(settled, listings, retriever)
    if unusable.of_unknown:
        warn(
            f"left out {unusable.of_unknown} annotated listings: the index knows no "
            f"{_shortened(unusable.unknown)}"
        )
    if unusable.without_text:
        warn(
            f"left out {unusable.without_text} annotated listings whose text is not in the store; "
            "add it with `rerank store import`"
        )
    return on_sides(labelled, weight=weight)


def _shortened(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MAX_NAMES])
    return f"{shown} and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else shown
