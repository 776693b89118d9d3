"""Put together what answers: the index of a workspace, and the ranker that was asked for.

A version answers where it serves as it did where it was made. A hundred generated listings with the
answers it gave then are kept in its card, and asked again when it is verified or promoted, and when
it is loaded where it has not passed yet: another library, another processor or a damaged file shows
there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rerank.domain import FeatureNames, card_tools, domain_in, domain_named
from rerank.index.artifacts import (
    Manifest,
    collecting_seldom,
    read_json,
    typed_record,
    write_json,
)
from rerank.index.errors import (
    ArtifactError,
    MismatchError,
    RerankError,
    RerankWarning,
    os_error_text,
)
from rerank.index.records import N_CANDIDATES, Listing
from rerank.lifecycle.versions import SHIPPED, VersionCard, VersionRef, feature_schema, remedy_of
from rerank.model import RerankModel
from rerank.rankers.kinds import RankerKind
from rerank.ranking import CandidateSource
from rerank.resolution import Resolution, ScoredCandidate
from rerank.resolver import Resolver, resolver_of
from rerank.workspace import Workspace, home_here, open_source

if TYPE_CHECKING:
    from rerank.verdicts import VerdictSnapshot

_CLOSE_SCORES = 1.0  # LambdaRank's: below it a rival is first in one of five generated listings


def open_resolver(
    home: Path | str | None = None,
    *,
    ranker: RankerKind | str | None = None,
    cascade: bool = False,
    verdicts: bool = False,
) -> Resolver:
    """Return the resolver of a workspace: what a pipeline imports.

    It stays as it is when another version is promoted, or a person gives another verdict;
    `LiveResolver` follows.

    :param home: the workspace; by default ``RERANK_HOME``, else `home_here`.
    :param ranker: what orders the candidates, such as ``"pairwise"``; None for the champion,
        whatever it is.
    :param cascade: let the workspace's cross-encoder rescore the first few of uncertain listings.
    :param verdicts: let what people settled stand before what the model answers; then answers say
        who decided (`Resolver.heeding`), if there is any verdict. By default the model alone
        answers, as evaluation and training need it.
    :raises TypeError: if the workspace is no path.
    :raises MissingExtraError: if nothing installed brings a ranker of the name.
    :raises ArtifactError: if the index or a model is damaged, or was never trained.
    :raises MismatchError: if index and model do not belong together.
    """
    workspace = workspace_at(home)
    kind = None if ranker is None else RankerKind(ranker)
    with collecting_seldom():
        resolver = resolver_over(workspace, *open_source(workspace), ranker=kind, cascade=cascade)
    return heeding_people(workspace, resolver, people_of(workspace)) if verdicts else resolver


def people_of(workspace: Workspace) -> VerdictSnapshot | None:
    """Return what people settled in a workspace, as `rerank.verdicts.open_verdicts` does.

    Where nobody ever said anything, what reads it is not even imported.
    """
    if not workspace.store_path.exists():
        return None
    from rerank.verdicts import open_verdicts

    return open_verdicts(workspace)


def heeding_people(
    workspace: Workspace, resolver: Resolver, people: VerdictSnapshot | None
) -> Resolver:
    """Return a resolver of a workspace with what people settled there before its answers.

    :param people: as `rerank.verdicts.open_verdicts` gives it; None returns the same resolver.
    """
    if people is None:
        return resolver
    from rerank.verdicts import StandingVerdicts

    standing = StandingVerdicts(people, resolver.table, resolver.key_column)
    own = Workspace(workspace.home.absolute())
    return resolver.heeding(standing, partial(_heeding_again, own, people.version))


def _heeding_again(workspace: Workspace, version: str, resolver: Resolver) -> Resolver:
    from rerank.verdicts import open_verdicts

    return heeding_people(workspace, resolver, open_verdicts(workspace, version=version))


def workspace_at(home: Path | str | None) -> Workspace:
    """Return a workspace; by default ``RERANK_HOME``'s, else that of `home_here`.

    :raises TypeError: if it is no path.
    """
    if home is not None and not isinstance(home, str | os.PathLike):
        raise TypeError(
            f"expected a workspace: pass its folder (str or Path), got {type(home).__name__}"
        )
    return Workspace(Path(home or os.environ.get("RERANK_HOME") or home_here()))


def resolver_over(
    workspace: Workspace,
    source: CandidateSource,
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
        return version_over(workspace, champion, source, index, cascade=cascade)
    except ArtifactError as exc:
        for other in others:
            with suppress(ArtifactError):
                resolver = version_over(workspace, other, source, index, cascade=cascade)
                warnings.warn(
                    f"{exc}; until then {other}, which was champion before, serves in its place",
                    RerankWarning,
                    stacklevel=3,
                )
                return resolver
        raise


def with_cascade(model: RerankModel, folder: Path) -> RerankModel:
    """Return the model with a cross-encoder behind its ranker, where the decision is uncertain.

    :param folder: the cross-encoder's.
    :raises ArtifactError: if it is missing or damaged.
    """
    from rerank.cross_encoder.cascade import Cascade, CloseScores, HeldForReview
    from rerank.cross_encoder.ranker import CrossEncoderRanker, CrossEncoderScorer

    scorer = CrossEncoderScorer.load(folder)
    held = HeldForReview(model, card_tools().offers())
    uncertain = (CloseScores(_CLOSE_SCORES), held)
    ranker = Cascade(model.ranker, CrossEncoderRanker(scorer), *uncertain)
    return replace(model, ranker=ranker, version=f"{model.version}+{scorer.version}")


def open_version(workspace: Workspace, ref: VersionRef, *, cascade: bool = False) -> Resolver:
    """Return the resolver of a version on the index that serves.

    :raises ArtifactError: if the version or the index is missing or damaged.
    :raises MismatchError: if they do not belong together, or it answers otherwise than it should.
    """
    return version_over(workspace, ref, *open_source(workspace), cascade=cascade)


def version_over(
    workspace: Workspace,
    ref: VersionRef,
    source: CandidateSource,
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
    except OSError as exc:
        raise ArtifactError(os_error_text(exc)) from exc

    domain = domain_in(index.parameters)

    def over(model: RerankModel) -> Resolver:
        reopen = partial(open_version, Workspace(workspace.home.absolute()), ref, cascade=cascade)
        return resolver_of(domain, source, model, index_version=index.fingerprint, reopen=reopen)

    resolver = over(model)
    if card is not None:
        check_card(card, ref, folder, resolver)
        if ask and card.reference is not None:
            _check_answers(workspace, card, folder, resolver, thorough)
    if not cascade:
        return resolver
    return over(with_cascade(model, workspace.cross_encoder_folder))


def check_fit(model: RerankModel, folder: Path, index: Manifest, index_folder: Path) -> None:
    """Check that a model was trained over the embedder of an index, or over columns like its.

    The registry may differ: the model reads features, which a registry that grew has as well.

    :raises MismatchError: if they differ.
    """
    own, wanted = domain_in(model.parameters), domain_in(index.parameters)
    if own != wanted:
        raise MismatchError(
            f"index {index_folder}: no model is trained over this catalogue yet (that of {folder} "
            f"is of the domain {own!r}); train one first, with `rerank train-ltr`"
        )
    trained = model.parameters.get("index", {})
    expected, found = (each.get("embedder_fingerprint") for each in (trained, index.parameters))
    if expected == found:
        return
    if "pack" in trained and "pack" in index.parameters:
        raise MismatchError(
            f"{folder}: trained when the catalogue had other columns, roles or another pack than "
            f"index {index_folder} was built with; train on this index with `rerank train-ltr`, "
            "or build that of the earlier catalogue file"
        )
    raise MismatchError(
        f"{folder}: trained with embedder {trained.get('embedder')} ({expected}), but index "
        f"{index_folder} was built with {index.parameters.get('embedder')} ({found}); train on "
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
    own = schema_of_features(resolver.features)
    if card.feature_schema and card.feature_schema != own:
        raise MismatchError(
            f"{folder}: made for features {card.feature_schema.get('sha256', '')!s:.12} "
            f"({card.feature_schema.get('missing')!r} where one is missing), this release computes "
            f"{own['sha256']:.12} ({own['missing']!r}); train again"
        )


def _check_answers(
    workspace: Workspace, card: VersionCard, folder: Path, resolver: Resolver, thorough: bool
) -> None:
    """Ask a version its reference, unless it has passed and nothing that answers is another.

    To ask takes a third of the time to open a resolver.
    """
    kept = workspace.home.is_dir()
    mark, passed = (_mark(card, resolver), _passed(workspace.passed_path)) if kept else ("", [])
    if mark in passed and not thorough:
        return
    limit = None
    if not thorough and card.kind == "cross-encoder":
        limit = CHECKED_OF_A_CROSS_ENCODER
    elif not thorough and not kept:
        limit = CHECKED_OF_SHIPPED
    try:
        check_reference(resolver, ReferenceAnswers.from_dict(card.reference or {}), limit=limit)
    except MismatchError as exc:
        raise MismatchError(f"{folder}: {exc}") from exc
    if kept and mark not in passed:
        with suppress(OSError):  # a workspace that may only be read is asked each time
            write_json({"passed": [*passed[1 - _MARKS :], mark]}, workspace.passed_path)


_MARKS = 20  # of versions and indexes that serve in turns


def _passed(path: Path) -> list[str]:
    try:
        found = read_json(path)["passed"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return found if isinstance(found, list) else []


def _mark(card: VersionCard, resolver: Resolver) -> str:
    """Return what changes with whatever could make a version answer otherwise than before.

    The files of version and index are verified whenever they are read. Besides them answers depend
    on this package, the libraries, the interpreter and the machine, which is another when it was
    started anew.
    """
    at = Path(__file__).parent.parent
    code = [
        (str(each.relative_to(at)), state.st_size, state.st_mtime_ns)
        for part in (at, at / "index")  # which is a link in a checkout
        for each in sorted(part.rglob("*.py"))
        for state in (each.stat(),)
    ]
    libraries = [np.__version__, sys.version]
    own = [resolver.model.version, resolver.index_version, card.reference]
    system = platform.uname()  # whole, it would ask a program for its last field
    machine = [system.system, system.node, system.release, system.version, system.machine]
    content = json.dumps([own, libraries, machine, _boot(), code])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _boot() -> str:
    """Return what Linux names each start of a machine by, "" elsewhere."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        return ""


def schema_of_features(features: FeatureNames) -> dict[str, object]:
    """Return the features that this release computes for a domain, as cards keep them."""
    return feature_schema(features._asdict())


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
        verdicts: bool = False,
    ) -> None:
        """Load what serves now.

        :param home: the workspace; by default ``RERANK_HOME``, else `home_here`.
        :param on_fault: is told, once, why something new cannot serve; by default the log is.
        :param retry_s: after how many seconds that is tried again if nothing has changed.
        :param verdicts: let people's verdicts stand before the model's answers, from the call on
            that follows them.
        :raises ArtifactError: if nothing of the workspace can serve.
        """
        self._workspace = workspace_at(home)
        self._on_fault = on_fault or logger.warning
        self._retry_s = retry_s
        self._loading = threading.Lock()
        self._fault: str | None = None
        self._retry_at = 0.0
        self._heeds = verdicts
        self._seen = self._identity()
        self._indexed = self._index()
        self._plain = resolver_over(self._workspace, *self._indexed[1:])
        (champion, *_) = self._workspace.serving_versions()
        serves = self._plain.model.folder == self._workspace.version_folder(champion)
        self._champion = champion if serves else None
        self._resolver = self._with_people()

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
            return self._identity() != self._seen
        except OSError:  # the disk is away for the moment: what is loaded needs it not
            return False

    def _identity(self) -> tuple[object, object]:
        """Return what changes with the model or index, and what changes with verdicts."""
        people = self._workspace.store_state() if self._heeds else None
        return self._workspace.identity(), people

    def _with_people(self) -> Resolver:
        people = people_of(self._workspace) if self._heeds else None
        return heeding_people(self._workspace, self._plain, people)

    def _follow(self) -> None:
        try:
            self._seen = self._identity()
            self._plain = self._loaded()
            self._resolver = self._with_people()
            self._fault = None
        except (RerankError, OSError) as exc:
            self._report(os_error_text(exc) if isinstance(exc, OSError) else str(exc))

    def _loaded(self) -> Resolver:
        """Load the champion, the index only if that changed; neither where both are as they were.

        The pointer changes with what else has a name, and with each look at a canary.
        """
        (champion, *_) = self._workspace.serving_versions()
        if self._indexed[0] != self._workspace.index_identity():
            self._indexed, self._champion = self._index(), None
        if champion != self._champion or self._fault is not None:
            self._plain = version_over(self._workspace, champion, *self._indexed[1:])
            self._champion = champion
        return self._plain

    def _index(self) -> tuple[tuple[object, ...], CandidateSource, Manifest]:
        return (self._workspace.index_identity(), *open_source(self._workspace))

    def _report(self, fault: str) -> None:
        self._retry_at = time.monotonic() + self._retry_s
        if fault != self._fault:
            self._fault = fault
            self._on_fault(f"{fault}; model {self._resolver.model.version} goes on serving")


REFERENCE_LISTINGS = 100
# Trees agree to the last digit; networks differ by some 1e-5 between processors.
PROBABILITY_TOLERANCE = 1e-4
SCORE_TOLERANCE = 1e-3
CHECKED_OF_SHIPPED = 20  # where there is no workspace to remember in that it passed
CHECKED_OF_A_CROSS_ENCODER = 2  # when it is loaded or judged: each takes it some 0.1 s
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class ReferenceAnswer:
    """A listing and what was answered.

    :param gpu_id: of the first candidate, whatever the decision; None without candidates.
    :param score: the ranker's, of that candidate; 0 without candidates.
    :param match_probability: 0 to 1.
    """

    title: str
    vendor: str
    description: str
    gpu_id: str | None
    score: float
    match_probability: float
    decision: str

    @property
    def listing(self) -> Listing:
        """The listing alone."""
        return Listing("", self.title, self.vendor, self.description)


@dataclass(frozen=True, slots=True)
class ReferenceAnswers:
    """Listings with their answers, and what they were answered with.

    :param seed: of the generator.
    :param features: names of all features the model reads, in their order.
    """

    seed: int
    index_version: str
    features: tuple[str, ...]
    answers: tuple[ReferenceAnswer, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "seed": self.seed,
            "index_version": self.index_version,
            "features": list(self.features),
            "answers": [asdict(each) for each in self.answers],
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> ReferenceAnswers:
        """Return what `as_dict` gave.

        :raises ArtifactError: if it is something else.
        """
        try:
            answers = tuple(typed_record(ReferenceAnswer, each) for each in content["answers"])
            features = tuple(map(str, content["features"]))
            return cls(int(content["seed"]), str(content["index_version"]), features, answers)
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise ArtifactError(
                "reference answers: expected seed, index_version, features and answers, found "
                f"something else ({type(exc).__name__}: {exc}); train the model again"
            ) from exc


def make_reference(resolver: Resolver, seed: int, n: int = REFERENCE_LISTINGS) -> ReferenceAnswers:
    """Ask listings that the domain makes up of its catalogue, and keep what is answered."""
    listings = domain_named(resolver.domain).made_up(resolver, n, seed=seed)
    answers = tuple(
        _kept(listing, answer)
        for listing, answer in zip(listings, resolver.resolve_many(listings), strict=True)
    )
    return ReferenceAnswers(seed, resolver.index_version, _in_order(resolver.features), answers)


def check_reference(
    resolver: Resolver, reference: ReferenceAnswers, limit: int | None = None
) -> str:
    """Ask a reference as `ask_reference` does; return in words what was checked.

    :raises MismatchError: if features or answers differ; names the first three.
    """
    _, differing, words = ask_reference(resolver, reference, limit)
    if differing:
        raise MismatchError(words)
    return words


def ask_reference(
    resolver: Resolver, reference: ReferenceAnswers, limit: int | None = None
) -> tuple[int, int, str]:
    """Ask a model what it was asked when it was made.

    The first candidate must be the same, or as good to within 0.001 of its score; its score within
    0.001, the probability within 0.0001; the decision the same, unless the probability lies that
    close to a threshold. Over another index candidates differ: then only features are compared.

    :param limit: how many listings to ask, the first ones; None for all.
    :returns: how many were asked, 0 over another index; how many of these are answered otherwise;
        in words what was checked, or the first three differences and what to do.
    :raises MismatchError: if features differ.
    """
    _check_features(reference.features, _in_order(resolver.features))
    if reference.index_version != resolver.index_version:
        words = (
            f"made over index {reference.index_version}, this is {resolver.index_version}: only "
            "the features' names were compared"
        )
        return 0, 0, words
    asked = reference.answers[:limit]
    answers = resolver.resolve_many([kept.listing for kept in asked])
    thresholds = (resolver.model.thresholds.match, resolver.model.thresholds.review)
    found = [
        f"{kept.title!r}: {difference}"
        for kept, answer in zip(asked, answers, strict=True)
        if (difference := _difference(kept, answer, thresholds))
    ]
    words = f"{len(asked)} reference listings are answered as when the model was made"
    if found:
        shown = "; ".join(found[:_SHOWN])
        words = (
            f"{len(found)} of {len(asked)} reference listings are answered otherwise than when the "
            f"model was made: {shown}; restore the model, or compare the installed libraries with "
            "those of its manifest"
        )
    return len(asked), len(found), words


def _in_order(features: FeatureNames) -> tuple[str, ...]:
    return (*features.candidate, *features.offer)


def _check_features(stored: Sequence[str], own: Sequence[str]) -> None:
    if list(stored) == list(own):
        return
    same = zip(stored, own, strict=False)
    at = next((at for at, (a, b) in enumerate(same) if a != b), min(len(stored), len(own)))
    wanted, found = (names[at] if at < len(names) else "nothing" for names in (stored, own))
    raise MismatchError(
        f"feature {at} was {wanted!r} when the model was made, this release computes {found!r}; "
        "train the model again, or install the release it was made with"
    )


def _kept(listing: Listing, answer: Resolution) -> ReferenceAnswer:
    best = answer.candidates[0] if answer.candidates else None
    return ReferenceAnswer(
        listing.title,
        listing.vendor,
        listing.description,
        best.key if best else None,
        best.score if best else 0.0,
        answer.match_probability,
        answer.decision.value,
    )


def _as_good(candidates: Sequence[ScoredCandidate]) -> set[str]:
    """Return the candidates that are as good as the first to within rounding.

    Their model scores as high, and they are the likeliest of its variants.
    """
    least = candidates[0].score - SCORE_TOLERANCE if candidates else 0.0
    likeliest: dict[str, float] = {}
    for each in candidates:
        likeliest.setdefault(each.model, each.variant_probability - PROBABILITY_TOLERANCE)
    return {
        each.key
        for each in candidates
        if each.score >= least and each.variant_probability >= likeliest[each.model]
    }


def _difference(kept: ReferenceAnswer, answer: Resolution, thresholds: tuple[float, float]) -> str:
    """Return how an answer differs from the one that was kept; empty if it does not."""
    now = _kept(kept.listing, answer)
    as_good = _as_good(answer.candidates)
    if kept.gpu_id != now.gpu_id and kept.gpu_id not in as_good:
        return f"was {kept.gpu_id}, is {now.gpu_id}"
    if abs(kept.score - now.score) > SCORE_TOLERANCE:
        return f"score was {kept.score:.4f}, is {now.score:.4f}"
    if abs(kept.match_probability - now.match_probability) > PROBABILITY_TOLERANCE:
        return f"probability was {kept.match_probability:.4f}, is {now.match_probability:.4f}"
    on_threshold = any(
        abs(kept.match_probability - at) <= PROBABILITY_TOLERANCE for at in thresholds
    )
    if kept.decision != now.decision and not on_threshold:
        return f"was {kept.decision}, is {now.decision}"
    return ""
