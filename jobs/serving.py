"""Put together what answers: the index of a workspace, and the ranker that was asked for."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from index.errors import ArtifactError, RerankWarning
from index.shipped import shipped
from jobs.lifecycle.opening import check_fit, version_over
from jobs.workspace import DEFAULT_HOME, Workspace, open_retriever
from rerank.lifecycle.versions import VersionRef
from rerank.ranker_folder import RankerKind

if TYPE_CHECKING:
    from index.artifacts import Manifest
    from index.retriever import Retriever
    from rerank.features import CueReader
    from rerank.model import RerankModel
    from rerank.resolver import Resolver

__all__ = ["check_fit", "open_resolver", "resolver_over", "with_cascade"]

_CLOSE_SCORES = 1.0  # LambdaRank's: below it a rival is first in one of five generated listings


def open_resolver(
    home: Path | str | None = None,
    *,
    ranker: RankerKind | None = None,
    cascade: bool = False,
) -> Resolver:
    """Return the resolver of a workspace: what a pipeline imports.

    It stays as it is when another version is promoted; `jobs.lifecycle.live.LiveResolver` follows.

    :param home: the workspace; by default ``RERANK_HOME``, else ``.rerank``.
    :param ranker: what orders the candidates; None for the champion, whatever it is.
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
    ranker: RankerKind | None = None,
    cascade: bool = False,
) -> Resolver:
    """Put a workspace's model on a retriever that was loaded from its index.

    A champion that is damaged, or does not answer as its card says, is not put there: the version
    before it is, with a `RerankWarning`.

    :raises ArtifactError: if neither can serve; it tells of the champion.
    """
    versions = workspace.serving_versions(ranker)
    resolver = _first_sound(workspace, versions, retriever, index)
    if not cascade:
        return resolver
    from rerank.features.cues import CueReader
    from rerank.resolver import Resolver

    cues = CueReader.load(shipped("cues.yaml"))
    model = with_cascade(resolver.model, workspace.cross_encoder_folder, cues)
    return Resolver(retriever, model, cues, index_version=index.fingerprint)


def _first_sound(
    workspace: Workspace, versions: Sequence[VersionRef], retriever: Retriever, index: Manifest
) -> Resolver:
    champion, *others = versions
    try:
        return version_over(workspace, champion, retriever, index)
    except ArtifactError as exc:
        for other in others:
            with suppress(ArtifactError):
                resolver = version_over(workspace, other, retriever, index)
                warnings.warn(
                    f"{exc}; until then {other}, which was champion before, serves in its place",
                    RerankWarning,
                    stacklevel=3,
                )
                return resolver
        raise


def with_cascade(model: RerankModel, folder: Path, cues: CueReader) -> RerankModel:
    """Return the model with a cross-encoder behind its ranker, where the decision is uncertain.

    :param folder: the cross-encoder's.
    :raises ArtifactError: if it is missing or damaged.
    """
    from rerank.cross_encoder.cascade import Cascade
    from rerank.cross_encoder.ranker import CrossEncoderRanker
    from rerank.cross_encoder.scorer import CrossEncoderScorer
    from rerank.cross_encoder.uncertainty import AnyOf, CloseScores, HeldForReview

    scorer = CrossEncoderScorer.load(folder)
    uncertain = AnyOf(CloseScores(_CLOSE_SCORES), HeldForReview(model, cues))
    ranker = Cascade(model.ranker, CrossEncoderRanker(scorer), uncertain)
    return replace(model, ranker=ranker, version=f"{model.version}+{scorer.version}")
