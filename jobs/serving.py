"""Put together what answers: the index of a workspace, and the ranker that was asked for."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from index.errors import MismatchError
from index.shipped import shipped
from jobs.workspace import DEFAULT_HOME, Workspace, open_retriever
from rerank.ranker_folder import RankerKind

if TYPE_CHECKING:
    from index.artifacts import Manifest
    from index.retriever import Retriever
    from rerank.features import CueReader
    from rerank.model import RerankModel
    from rerank.resolver import Resolver

_CLOSE_SCORES = 1.0  # LambdaRank's: below it a rival is first in one of five generated listings


def open_resolver(
    home: Path | str | None = None,
    *,
    ranker: RankerKind = RankerKind.LTR,
    cascade: bool = False,
) -> Resolver:
    """Return the resolver of a workspace: what a pipeline imports.

    :param home: the workspace; by default ``RERANK_HOME``, else ``.rerank``.
    :param ranker: what orders the candidates.
    :param cascade: let the workspace's cross-encoder rescore the first few of uncertain listings.
    :raises ArtifactError: if the index or a model is damaged, or was never trained.
    :raises MismatchError: if index and model do not belong together.
    """
    workspace = Workspace(Path(home or os.environ.get("RERANK_HOME") or DEFAULT_HOME))
    retriever, index = open_retriever(workspace)
    return resolver_over(workspace, retriever, index, ranker=ranker, cascade=cascade)


def resolver_over(
    workspace: Workspace,
    retriever: Retriever,
    index: Manifest,
    *,
    ranker: RankerKind = RankerKind.LTR,
    cascade: bool = False,
) -> Resolver:
    """Put a workspace's model on a retriever that was loaded from its index."""
    from rerank.features.cues import CueReader
    from rerank.model import RerankModel
    from rerank.resolver import Resolver

    folder = workspace.model_of(ranker)
    model = RerankModel.load(folder)
    check_fit(model, folder, index, workspace.active_index())
    cues = CueReader.load(shipped("cues.yaml"))
    if cascade:
        model = _with_cascade(model, workspace.cross_encoder_folder, cues)
    return Resolver(retriever, model, cues, index_version=index.fingerprint)


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


def _with_cascade(model: RerankModel, folder: Path, cues: CueReader) -> RerankModel:
    """Return the model with a cross-encoder behind its ranker, where the decision is uncertain."""
    from rerank.cross_encoder.cascade import Cascade
    from rerank.cross_encoder.ranker import CrossEncoderRanker
    from rerank.cross_encoder.scorer import CrossEncoderScorer
    from rerank.cross_encoder.uncertainty import AnyOf, CloseScores, HeldForReview

    scorer = CrossEncoderScorer.load(folder)
    uncertain = AnyOf(CloseScores(_CLOSE_SCORES), HeldForReview(model, cues))
    ranker = Cascade(model.ranker, CrossEncoderRanker(scorer), uncertain)
    return replace(model, ranker=ranker, version=f"{model.version}+{scorer.version}")
