"""Open a version of a model on an index, checked before it answers anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from index.errors import ArtifactError, MismatchError
from index.file_faults import os_error_text
from index.shipped import shipped
from jobs.lifecycle.version_folders import remedy_of
from jobs.workspace import Workspace, open_retriever
from rerank.lifecycle.versions import SHIPPED, Card, VersionRef, feature_schema

if TYPE_CHECKING:
    from index.artifacts import Manifest
    from index.retriever import Retriever
    from rerank.model import RerankModel
    from rerank.resolver import Resolver

_CHECKED_OF_A_CROSS_ENCODER = 2  # listings of the reference: each takes it some 0.1 s


def open_version(workspace: Workspace, ref: VersionRef) -> Resolver:
    """Return the resolver of a version on the index that serves.

    :raises ArtifactError: if the version or the index is missing or damaged.
    :raises MismatchError: if they do not belong together, or it answers otherwise than it should.
    """
    return version_over(workspace, ref, *open_retriever(workspace))


def version_over(
    workspace: Workspace,
    ref: VersionRef,
    retriever: Retriever,
    index: Manifest,
    *,
    thorough: bool = False,
) -> Resolver:
    """Put a version on a retriever that was loaded from an index.

    What its card says must hold here: its name, its features, and its answers to the listings of
    its reference.

    :param thorough: ask a cross-encoder all of these listings, not just a few.
    :raises ArtifactError: if the version is missing, damaged or cannot be read.
    :raises MismatchError: if it does not fit the index, its card or this release.
    """
    try:
        return _checked_version(workspace, ref, retriever, index, thorough)
    except OSError as exc:
        raise ArtifactError(os_error_text(exc)) from exc


def _checked_version(
    workspace: Workspace, ref: VersionRef, retriever: Retriever, index: Manifest, thorough: bool
) -> Resolver:
    from rerank.features.cues import CueReader
    from rerank.model import RerankModel
    from rerank.resolver import Resolver

    folder = workspace.version_folder(ref)
    if not folder.is_dir():
        raise ArtifactError(
            f"{workspace.pointer_path}: points at {folder}, which does not exist; run "
            f"`{remedy_of(ref.kind)}`, or `rerank models rollback`"
        )
    model = RerankModel.load(folder, remedy=remedy_of(ref.kind))
    check_fit(model, folder, index, workspace.active_index())
    cues = CueReader.load(shipped("cues.yaml"))
    resolver = Resolver(retriever, model, cues, index_version=index.fingerprint)
    card = Card.read(folder)
    if card is not None:
        check_card(card, ref, folder, resolver, thorough=thorough)
    return resolver


def check_fit(model: RerankModel, folder: Path, index: Manifest, index_folder: Path) -> None:
    """Check that a model was trained over the embedder of an index.

    The registry may differ: the model reads features, which a registry that grew has as well.

    :raises MismatchError: if the embedders differ.
    """
    trained = model.parameters.get("index", {})
    expected, found = trained.get("embedder_fingerprint"), index.parameters["embedder_fingerprint"]
    if expected != found:
        raise MismatchError(
            f"{folder}: trained with embedder {trained.get('embedder')} ({expected}), but index "
            f"{index_folder} was built with {index.parameters['embedder']} ({found}); train on "
            "this index with `rerank train-ltr`, or rebuild it with `rerank build-index`"
        )


def check_card(
    card: Card, ref: VersionRef, folder: Path, resolver: Resolver, *, thorough: bool = False
) -> None:
    """Check a version against its card.

    :raises MismatchError: if it is another version's, or features or answers differ.
    """
    model = resolver.model
    if card.version != model.version or ref.version not in (SHIPPED, card.version):
        raise MismatchError(
            f"{folder}: expected version {ref.version}, found a model {model.version} with the "
            f"card of {card.version}; restore the folder, or train again"
        )
    own = schema_of_features()
    if card.feature_schema and card.feature_schema != own:
        raise MismatchError(
            f"{folder}: made for features {card.feature_schema.get('sha256', '')!s:.12} "
            f"({card.feature_schema.get('missing')!r} where one is missing), this release computes "
            f"{own['sha256']:.12} ({own['missing']!r}); train again"
        )
    if card.reference is not None:
        slow = card.kind == "cross-encoder" and not thorough
        limit = _CHECKED_OF_A_CROSS_ENCODER if slow else None
        _check_answers(card.reference, folder, resolver, limit)


def _check_answers(
    content: dict[str, Any], folder: Path, resolver: Resolver, limit: int | None
) -> None:
    from rerank.lifecycle.parity import Reference, check_reference

    reference = Reference.from_dict(content)
    try:
        check_reference(resolver, reference, limit=limit)
    except MismatchError as exc:
        raise MismatchError(f"{folder}: {exc}") from exc


def schema_of_features() -> dict[str, object]:
    """Return the features that this release computes, as cards keep them."""
    from rerank.features import CANDIDATE_FEATURES, OFFER_FEATURES

    return feature_schema({"candidate": CANDIDATE_FEATURES, "offer": OFFER_FEATURES})
