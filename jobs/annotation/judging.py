"""Hold annotators against each other and against the model, over a workspace's store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from index.errors import InputError
from jobs.resolving import resolve_listings
from rerank.annotation.suspects import Suspect, standing_labels, suspects
from rerank.store import Store, utc_now
from rerank.store.annotations import Annotation, Verdict, read_annotations, save_annotations
from rerank.store.listings import read_listings
from rerank.store.names import GpuNames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from index.records import GpuRecord
    from rerank.resolver import Resolution, Resolver

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Answers:
    """All annotations of a store, and the titles of its listings by listing_id."""

    annotations: list[Annotation]
    titles: dict[str, str]


@dataclass(frozen=True, slots=True)
class SuspectReport:
    """Suspected labels, the most suspicious first.

    :param judged: how many labels were held against the model.
    :param without_listing: how many could not be: their listings are not in the store.
    """

    suspects: list[Suspect]
    titles: dict[str, str]
    judged: int
    without_listing: int


def read_answers(store: Store) -> Answers:
    """Read what people said."""
    with store.reading() as session:
        annotations = read_annotations(session)
        listings = read_listings(session, sorted({item.listing_id for item in annotations}))
    return Answers(annotations, {item.listing.listing_id: item.listing.title for item in listings})


def find_suspects(
    store: Store,
    resolver: Resolver,
    *,
    threshold: float | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> SuspectReport:
    """Resolve the annotated listings and return the labels that the model contradicts."""
    with store.reading() as session:
        labels = standing_labels(read_annotations(session))
        stored = read_listings(session, sorted({label.listing_id for label in labels}))
    listings = [item.listing for item in stored]
    resolved: dict[str, Resolution] = {}
    for start in range(0, len(listings), _BATCH):
        chunk = listings[start : start + _BATCH]
        answers = resolve_listings(resolver, chunk)
        resolved.update(zip((item.listing_id for item in chunk), answers, strict=True))
        progress((start + len(chunk)) / len(listings))
    judged = [
        (label, resolved[label.listing_id]) for label in labels if label.listing_id in resolved
    ]
    return SuspectReport(
        suspects(judged, threshold=threshold),
        {listing.listing_id: listing.title for listing in listings},
        judged=len(judged),
        without_listing=len(labels) - len(judged),
    )


def adjudicate(
    store: Store,
    records: Sequence[GpuRecord],
    listing_id: str,
    verdict: Verdict,
    *,
    gpu: str | None,
    annotator: str,
    note: str = "",
) -> Annotation:
    """Save an answer that was given by name; return it.

    :param gpu: what `rerank.store.names.GpuNames` understands; for a match only.
    :raises InputError: if the listing is neither stored nor annotated, or the GPU is unknown.
    """
    named = None if gpu is None else GpuNames(records).find(gpu)
    with store.writing() as session:
        known = bool(read_listings(session, [listing_id]))
        if not known and all(a.listing_id != listing_id for a in read_annotations(session)):
            raise InputError(
                f"expected a listing of the store, got {listing_id!r:.80}; "
                "`rerank annotations disputes` names those to decide"
            )
        answer = Annotation(
            listing_id,
            annotator,
            verdict,
            gpu_id=named.gpu_id if named else None,
            model=named.model if named else None,
            note=note,
            annotated_at=utc_now(),
        )
        save_annotations(session, [answer])
    return answer
