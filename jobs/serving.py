"""Put together what answers: the index of a workspace, and the ranker that was asked for."""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rerank.index.artifacts import Manifest, writing_folder
from rerank.index.errors import (
    ArtifactError,
    MismatchError,
    RerankError,
    RerankWarning,
    os_error_text,
)
from rerank.index.records import N_CANDIDATES, GpuRecord, Listing, Route, shipped
from rerank.index.text import normalise, runs
from rerank.lifecycle.model_registry import remedy_of
from rerank.lifecycle.versions import SHIPPED, VersionCard, VersionRef, feature_schema
from rerank.rankers.kinds import RankerKind
from rerank.workspace import DEFAULT_HOME, Workspace, open_retriever

if TYPE_CHECKING:
    from rerank.features.cues import CueReader
    from rerank.index.retriever import Retriever
    from rerank.model import RerankModel
    from rerank.resolution import Resolution
    from rerank.resolver import Resolver


_CLOSE_SCORES = 1.0  # LambdaRank's: below it a rival is first in one of five generated listings


def open_resolver(
    home: Path | str | None = None,
    *,
    ranker: RankerKind | None = None,
    cascade: bool = False,
) -> Resolver:
    """Return the resolver of a workspace: what a pipeline imports.

    It stays as it is when another version is promoted; `rerank.jobs.serving.LiveResolver` follows.

    :param home: the workspace; by default ``RERANK_HOME``, else ``.rerank``.
    :param ranker: what orders the candidates; None for the champion, whatever it is.
    :param cascade: let the workspace's cross-encoder rescore the first few of uncertain listings.
    :raises TypeError: if the workspace is no path.
    :raises ArtifactError: if the index or a model is damaged, or was never trained.
    :raises MismatchError: if index and model do not belong together.
    """
    workspace = _workspace(home)
    retriever, index = open_retriever(workspace)
    return resolver_over(workspace, retriever, index, ranker=ranker, cascade=cascade)


def _workspace(home: Path | str | None) -> Workspace:
    if home is not None and not isinstance(home, str | os.PathLike):
        raise TypeError(
            f"expected a workspace: pass its folder (str or Path), got {type(home).__name__}"
        )
    return Workspace(Path(home or os.environ.get("RERANK_HOME") or DEFAULT_HOME))


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
    champion, *others = workspace.serving_versions(ranker)
    try:
        return version_over(workspace, champion, retriever, index, cascade=cascade)
    except ArtifactError as exc:
        for other in others:
            with suppress(ArtifactError):
                resolver = version_over(workspace, other, retriever, index, cascade=cascade)
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
    from rerank.cross_encoder.cascade import Cascade, CloseScores, HeldForReview
    from rerank.cross_encoder.ranker import CrossEncoderRanker, CrossEncoderScorer

    scorer = CrossEncoderScorer.load(folder)
    uncertain = (CloseScores(_CLOSE_SCORES), HeldForReview(model, cues))
    ranker = Cascade(model.ranker, CrossEncoderRanker(scorer), *uncertain)
    return replace(model, ranker=ranker, version=f"{model.version}+{scorer.version}")


def open_version(workspace: Workspace, ref: VersionRef, *, cascade: bool = False) -> Resolver:
    """Return the resolver of a version on the index that serves.

    :raises ArtifactError: if the version or the index is missing or damaged.
    :raises MismatchError: if they do not belong together, or it answers otherwise than it should.
    """
    return version_over(workspace, ref, *open_retriever(workspace), cascade=cascade)


def version_over(
    workspace: Workspace,
    ref: VersionRef,
    retriever: Retriever,
    index: Manifest,
    *,
    thorough: bool = False,
    cascade: bool = False,
    ask: bool = True,
) -> Resolver:
    """Put a version on a retriever that was loaded from an index.

    What its card says must hold here: its name, its features, and its answers to the listings of
    its reference.

    :param ask: False leaves these answers to the caller, who is going to judge them.
    :param thorough: ask a cross-encoder all of these listings, not just a few.
    :param cascade: put the workspace's cross-encoder behind its ranker.
    :raises ArtifactError: if the version is missing, damaged or cannot be read.
    :raises MismatchError: if it does not fit the index, its card or this release.
    """
    from rerank.features.cues import CueReader
    from rerank.model import RerankModel
    from rerank.resolver import Resolver

    folder = workspace.version_folder(ref)
    if not folder.is_dir():
        raise ArtifactError(
            f"{workspace.pointer_path}: points at {folder}, which does not exist; run "
            f"`{remedy_of(ref.kind)}`, or `rerank models rollback`"
        )
    try:
        model = RerankModel.load(folder, remedy=remedy_of(ref.kind))
        check_fit(model, folder, index, workspace.active_index())
        card = VersionCard.read(folder)
        cues = CueReader.load(shipped("cues.yaml"))
    except OSError as exc:
        raise ArtifactError(os_error_text(exc)) from exc

    def over(model: RerankModel) -> Resolver:
        own = Workspace(workspace.home.absolute())
        reopen = partial(open_version, own, ref, cascade=cascade)
        return Resolver(retriever, model, cues, index_version=index.fingerprint, reopen=reopen)

    resolver = over(model)
    if card is not None:
        check_card(card, ref, folder, resolver)
        if ask and card.reference is not None:
            _check_answers(card, folder, resolver, thorough)
    if not cascade:
        return resolver
    return over(with_cascade(model, workspace.cross_encoder_folder, cues))


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


def check_card(card: VersionCard, ref: VersionRef, folder: Path, resolver: Resolver) -> None:
    """Check a version against its card, but for its answers.

    :raises MismatchError: if it is another version's, or features differ.
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


def _check_answers(card: VersionCard, folder: Path, resolver: Resolver, thorough: bool) -> None:
    from rerank.lifecycle.parity import (
        CHECKED_OF_A_CROSS_ENCODER,
        ReferenceAnswers,
        check_reference,
    )

    slow = card.kind == "cross-encoder" and not thorough
    limit = CHECKED_OF_A_CROSS_ENCODER if slow else None
    try:
        check_reference(resolver, ReferenceAnswers.from_dict(card.reference or {}), limit=limit)
    except MismatchError as exc:
        raise MismatchError(f"{folder}: {exc}") from exc


def schema_of_features() -> dict[str, object]:
    """Return the features that this release computes, as cards keep them."""
    from rerank.features.candidates import CANDIDATE_FEATURES
    from rerank.features.offers import OFFER_FEATURES

    return feature_schema({"candidate": CANDIDATE_FEATURES, "offer": OFFER_FEATURES})


logger = logging.getLogger(__name__)

_RETRY_S = 60.0


class LiveResolver:
    """Resolves with whatever is champion of a workspace when it is called. Safe for threads.

    Each call compares the pointer and the index with what was loaded. If they changed, the thread
    that sees it first loads what is new, while the others go on with the old; it takes over when
    it is loaded, fits and answers as its card says. If it does not, the old one stays, which is
    reported once, and it is tried again from time to time.
    """

    def __init__(
        self,
        home: Path | str | None = None,
        *,
        on_fault: Callable[[str], None] | None = None,
        retry_s: float = _RETRY_S,
    ) -> None:
        """Load what serves now.

        :param home: the workspace; by default ``RERANK_HOME``, else ``.rerank``.
        :param on_fault: is told, once, why something new cannot serve; by default the log is.
        :param retry_s: after how many seconds that is tried again if nothing has changed.
        :raises ArtifactError: if nothing of the workspace can serve.
        """
        self._workspace = _workspace(home)
        self._on_fault = on_fault or logger.warning
        self._retry_s = retry_s
        self._loading = threading.Lock()
        self._fault: str | None = None
        self._retry_at = 0.0
        self._indexed: tuple[tuple[object, ...], Retriever, Manifest] | None = None
        self._seen = self._workspace.identity()
        self._resolver = open_resolver(self._workspace.home)

    @property
    def fault(self) -> str | None:
        """Why what should serve now does not; None if it does."""
        return self._fault

    @property
    def current(self) -> Resolver:
        """The resolver of what serves now. Hold it for calls that must be of one version."""
        if self._is_outdated() and self._loading.acquire(blocking=False):
            try:
                if self._is_outdated():  # else another thread has seen to it in between
                    self._follow()
            finally:
                self._loading.release()
        return self._resolver

    def resolve(self, listing: Listing | str, *, top_k: int = N_CANDIDATES) -> Resolution:
        """Resolve one listing, or a title alone."""
        return self.current.resolve(listing, top_k=top_k)

    def resolve_many(
        self, listings: Iterable[Listing | str], *, top_k: int = N_CANDIDATES
    ) -> list[Resolution]:
        """Resolve listings or titles, all by one version; answers come in their order.

        :raises InputError: if ``top_k`` is below 1.
        """
        return self.current.resolve_many(listings, top_k=top_k)

    def _is_outdated(self) -> bool:
        if self._fault is not None and time.monotonic() >= self._retry_at:
            return True
        try:
            return self._workspace.identity() != self._seen
        except OSError:  # the disk is away for the moment: what is loaded needs it not
            return False

    def _follow(self) -> None:
        try:
            self._seen = self._workspace.identity()
            self._resolver = self._loaded()
            self._fault = None
        except (RerankError, OSError) as exc:
            self._report(os_error_text(exc) if isinstance(exc, OSError) else str(exc))

    def _loaded(self) -> Resolver:
        """Load the champion; the index only if that changed."""
        (champion, *_) = self._workspace.serving_versions()
        identity = self._workspace.index_identity()
        if self._indexed is None or self._indexed[0] != identity:
            self._indexed = (identity, *open_retriever(self._workspace))
        return version_over(self._workspace, champion, *self._indexed[1:])

    def _report(self, fault: str) -> None:
        self._retry_at = time.monotonic() + self._retry_s
        if fault != self._fault:
            self._fault = fault
            self._on_fault(f"{fault}; model {self._resolver.model.version} goes on serving")


def own_index(workspace: Workspace) -> Path:
    """Return the workspace's index folder, a copy of the shipped one if it had none."""
    if not workspace.index_folder.exists():
        with writing_folder(workspace.index_folder) as draft:
            shutil.copytree(shipped("index"), draft, dirs_exist_ok=True)
    return workspace.index_folder


def describe(folder: Path, manifest: Manifest) -> str:
    """Return a line that says what an index holds."""
    facts = manifest.parameters
    return (
        f"index {manifest.fingerprint} in {folder}: {facts['gpus']} GPUs of {facts['models']} "
        f"models, {facts['kind']}, embedder {facts['embedder']} ({facts['dimension']} dimensions)"
    )


_SHORTEST_CODE = 4  # letters and digits: fewer begin part numbers by chance


def search(
    retriever: Retriever, listing: Listing, *, n_candidates: int, route: Route = Route.FUSED
) -> list[dict[str, Any]]:
    """Return candidates best first.

    ``similarity`` is the cosine of the embeddings; ``shortlist`` the value that ordered them,
    comparable within one answer only.
    """
    batch = retriever.retrieve([listing], n_candidates=n_candidates, route=route)
    found = []
    for row, similarity, shortlist in zip(
        batch.record.tolist(), batch.similarity.tolist(), batch.shortlist.tolist(), strict=True
    ):
        record = retriever.records[row]
        found.append(
            {
                "gpu_id": record.gpu_id,
                "model": record.model,
                "memory_gb": record.memory_gb,
                "form_factor": record.form_factor,
                "similarity": round(similarity, 4),
                "shortlist": round(shortlist, 4),
            }
        )
    return found


def find_by_words(records: Sequence[GpuRecord], query: str) -> list[GpuRecord]:
    """Return the GPUs of whose names each word of a query begins a word.

    A name is the model, the aliases, the memory size and the form factor; so `406` and `4060 16`
    find an RTX 4060 Ti with 16 GB. A query of four signs or more that begins a part number finds
    its GPU too. Names with the fewest other words come first, equals in the order of the registry.
    """
    wanted = [run.text for run in runs(normalise(query))]
    if not wanted:
        return []
    code = "".join(wanted)
    found = []
    for at, record in enumerate(records):
        name = (record.model, *record.aliases, f"{record.memory_gb:g} gb", record.form_factor)
        held = {run.text for run in runs(normalise(" ".join(name)))}
        if all(any(word.startswith(start) for word in held) for start in wanted) or (
            len(code) >= _SHORTEST_CODE
            and any(_squashed(number).startswith(code) for number in record.part_numbers)
        ):
            found.append((len(runs(normalise(record.model))), at))
    return [records[at] for _, at in sorted(found)]


def _squashed(text: str) -> str:
    return "".join(run.text for run in runs(normalise(text)))
