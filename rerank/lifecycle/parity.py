"""Parity: a model answers where it serves as it did where it was made.

A reference is a hundred generated listings with the answers a model gave when it was made. It is
kept in the version's card and asked again when the version is loaded, verified or promoted, on
the machine that serves: another library, another processor or a damaged file shows there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Protocol

from rerank.features.candidates import CANDIDATE_FEATURES
from rerank.features.offers import OFFER_FEATURES
from rerank.index.errors import ArtifactError, MismatchError
from rerank.index.records import N_CANDIDATES, GpuRecord, Listing
from rerank.model import RerankModel
from rerank.resolution import Resolution

REFERENCE_LISTINGS = 100
NIL_SHARE = 0.35
# Trees agree to the last digit; networks differ by some 1e-5 between processors.
PROBABILITY_TOLERANCE = 1e-4
SCORE_TOLERANCE = 1e-3
CHECKED_OF_A_CROSS_ENCODER = 2  # when it is loaded or judged: each takes it some 0.1 s
_SHOWN = 3


class ReferenceAnswerer(Protocol):
    """What is asked: `rerank.resolver.Resolver`, or anything that answers like it."""

    @property
    def model(self) -> RerankModel:
        """The model that decides."""

    @property
    def index_version(self) -> str:
        """The version of the index that proposes."""

    def resolve_many(
        self, listings: Sequence[Listing], *, top_k: int = N_CANDIDATES
    ) -> list[Resolution]:
        """Resolve listings, answers in their order."""


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
            answers = tuple(ReferenceAnswer(**each) for each in content["answers"])
            return cls(
                content["seed"], content["index_version"], tuple(content["features"]), answers
            )
        except (KeyError, TypeError) as exc:
            raise ArtifactError(
                "reference answers: expected seed, index_version, features and answers, found "
                f"something else ({type(exc).__name__}: {exc}); train the model again"
            ) from exc


def make_reference(
    resolver: ReferenceAnswerer,
    records: Sequence[GpuRecord],
    seed: int,
    n: int = REFERENCE_LISTINGS,
) -> ReferenceAnswers:
    """Generate listings from a registry, 35 % of them no match, and keep what is answered."""
    from rerank.bootstrap.generator import generate

    listings = [item.listing for item in generate(records, n, seed=seed, nil_share=NIL_SHARE)]
    answers = tuple(
        _kept(listing, answer)
        for listing, answer in zip(listings, resolver.resolve_many(listings), strict=True)
    )
    return ReferenceAnswers(seed, resolver.index_version, _own_features(), answers)


class ReferenceCheck(NamedTuple):
    """What came of asking a reference.

    :param asked: listings; 0 over another index, where answers cannot be compared.
    :param differing: of these, answered otherwise.
    :param words: what was checked, or the first three differences and what to do.
    """

    asked: int
    differing: int
    words: str


def check_reference(
    resolver: ReferenceAnswerer, reference: ReferenceAnswers, limit: int | None = None
) -> str:
    """Ask a reference as `ask_reference` does; return in words what was checked.

    :raises MismatchError: if features or answers differ; names the first three.
    """
    found = ask_reference(resolver, reference, limit)
    if found.differing:
        raise MismatchError(found.words)
    return found.words


def ask_reference(
    resolver: ReferenceAnswerer, reference: ReferenceAnswers, limit: int | None = None
) -> ReferenceCheck:
    """Ask a model what it was asked when it was made.

    The first candidate must be the same, or as good to within 0.001 of its score; its score within
    0.001, the probability within 0.0001; the decision the same, unless the probability lies that
    close to a threshold. Over another index candidates differ: then only features are compared.

    :param limit: how many listings to ask, the first ones; None for all.
    :raises MismatchError: if features differ.
    """
    _check_features(reference.features)
    if reference.index_version != resolver.index_version:
        words = (
            f"made over index {reference.index_version}, this is {resolver.index_version}: only "
            "the features' names were compared"
        )
        return ReferenceCheck(0, 0, words)
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
    return ReferenceCheck(len(asked), len(found), words)


def _own_features() -> tuple[str, ...]:
    return (*CANDIDATE_FEATURES, *OFFER_FEATURES)


def _check_features(stored: Sequence[str]) -> None:
    own = _own_features()
    if tuple(stored) == own:
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
        best.gpu_id if best else None,
        best.score if best else 0.0,
        answer.match_probability,
        answer.decision,
    )


def _difference(kept: ReferenceAnswer, answer: Resolution, thresholds: tuple[float, float]) -> str:
    """Return how an answer differs from the one that was kept; empty if it does not."""
    now = _kept(kept.listing, answer)
    as_good = {
        each.gpu_id for each in answer.candidates if each.score >= now.score - SCORE_TOLERANCE
    }
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
