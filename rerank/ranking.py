"""What a ranker reads and gives: the protocols and batches between candidates and their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rerank.index.records import N_CANDIDATES, Listing, Route, falling_order, place_in_run

if TYPE_CHECKING:
    from rerank.index.embedder import Embedder

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


class ModelTable(Protocol):
    """A catalogue's products and their models as arrays: what rankers and answers read of it."""

    @property
    def records(self) -> Sequence[Any]:
        """The products, a variant of a model each; of graphics cards `GpuRecord`."""

    @property
    def models(self) -> Sequence[str]:
        """The names of the models."""

    @property
    def model_of_record(self) -> NDArray[np.int32]:
        """The number of each record's model, shape (records,)."""

    @property
    def tie_rank(self) -> Ints:
        """Where each record stands by its id, shape (records,): it orders what scores alike."""

    @property
    def model_tie_rank(self) -> Ints:
        """The same of models, shape (models,)."""


@dataclass(frozen=True, slots=True)
class CandidateBatch:
    """Candidates of a batch of listings, flat; listing i owns rows offsets[i]:offsets[i + 1].

    :param readings: what each title shows, as the domain reads it.
    :param names: how well each named model fits its mention, as the domain compares them.
    :param record: shape (rows,), row of each candidate in the catalogue.
    :param similarity: shape (rows,), cosine between listing and product, -1 to 1.
    :param shortlist: shape (rows,), the score that chose and ordered the candidates.
    :param listing: shape (rows,), the listing each candidate belongs to.
    :param pair: shape (rows,), number of each candidate's (listing, model) pair.
    :param place: shape (rows,), of each candidate among those of its pair, 0 the likeliest.
    :param variant_probability: shape (rows,), P(variant | model) over all the model's variants; NaN
        by vectors alone, which tell no variants apart.
    :param stated: what each listing states that tells variants or makers apart.
    """

    readings: Any
    names: Any
    offsets: Ints
    record: Ints
    similarity: Floats
    shortlist: Floats
    listing: Ints
    pair: Ints
    place: Ints
    variant_probability: Floats
    stated: Any

    def take(self, rows: Ints | NDArray[np.bool_]) -> CandidateBatch:
        """Return some of the candidates; all listings stay, some perhaps without any.

        :param rows: in rising order.
        """
        listing = self.listing[rows]
        return replace(
            self,
            offsets=np.searchsorted(listing, np.arange(len(self.offsets))).astype(np.int64),
            record=self.record[rows],
            similarity=self.similarity[rows],
            shortlist=self.shortlist[rows],
            listing=listing,
            pair=self.pair[rows],
            place=self.place[rows],
            variant_probability=self.variant_probability[rows],
        )


@dataclass(frozen=True, slots=True)
class RankingBatch:
    """Listings with their candidates, as a ranker may read them.

    :param features: shape (candidates, len(CANDIDATE_FEATURES)), rows as those of ``candidates``.
    :param table: the registry's records, which ``candidates.record`` counts in.
    """

    listings: Sequence[Listing]
    candidates: CandidateBatch
    features: Floats
    table: ModelTable


class Ranker(Protocol):
    """Orders the candidates of each listing.

    What calibrates and decides is trained on one ranker's scores and goes with no other.
    """

    def score(self, batch: RankingBatch) -> Floats:
        """Return raw scores, shape (candidates,); comparable within one listing only."""


class CandidateSource(Protocol):
    """Proposes candidates."""

    @property
    def table(self) -> ModelTable:
        """The models candidates come from."""

    def retrieve(
        self, listings: Sequence[Listing], *, n_candidates: int = N_CANDIDATES
    ) -> CandidateBatch:
        """Return up to ``n_candidates`` variants of each listing."""


class RoutedRetriever(CandidateSource, Protocol):
    """Proposes a registry's records by routes that can be asked one by one."""

    @property
    def records(self) -> Sequence[Any]:
        """The registry, as `ModelTable.records`."""

    @property
    def embedder(self) -> Embedder:
        """What made the vectors of the records."""

    def retrieve(
        self,
        listings: Sequence[Listing],
        *,
        n_candidates: int = N_CANDIDATES,
        route: Route = Route.FUSED,
    ) -> CandidateBatch:
        """Return up to ``n_candidates`` variants of each listing, best first."""

    def retrieve_routes(self, listings: Sequence[Listing]) -> Mapping[Route, CandidateBatch]:
        """Return what `retrieve` does by each of the routes."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything computed on the way to the decisions of a batch; for training and explanation.

    :param scores: shape (candidates,), the ranker's raw scores.
    :param best: shape (listings,), row of each listing's best candidate, -1 if it has none.
    :param order: shape (candidates,), rows as `answer_order` gives them.
    :param candidates: those that were ranked.
    :param cues: the cue words that the domain found in the listings; None where it keeps none.
    :param proposed: all candidates, of which `first_cut` left ``candidates``; None where it cut
        none off.
    """

    candidates: CandidateBatch
    features: Floats
    scores: Floats
    offers: Floats
    best: Ints
    order: Ints
    cues: Any
    proposed: CandidateBatch | None = None


def first_cut(batch: CandidateBatch, models: int) -> Ints:
    """Return the rows that are worth ranking: the likeliest variant of each listing's first models.

    The first cut of a cascade (Wang, Lin and Metzler 2011, A cascade ranking model for efficient
    ranked retrieval): what costs most is asked of the few that a cheaper order puts first. A
    model's other variants wait with it, for a ranker tells models apart, not variants.

    :param batch: of each listing best first, as `CandidateSource` gives it.
    :param models: of each listing that are left, at least 1.
    :returns: in rising order.
    """
    likeliest: Ints = (batch.place == 0).nonzero()[0]
    return likeliest[place_in_run(batch.listing[likeliest]) < models]


def standing(evidence: Evidence, table: ModelTable) -> tuple[CandidateBatch, Floats, Ints]:
    """Return all that was proposed, the score of each one's model, and the order of its rows.

    Models that `first_cut` cut off stand behind those that were ranked, in the order in which they
    were proposed, and so far that what is shared out by `candidate_probabilities` passes them by.

    :returns: shape (proposed candidates,), twice; the order is that of `answer_order`.
    """
    ranked, proposed = evidence.candidates, evidence.proposed
    scores = model_scores(ranked, evidence.scores)
    if proposed is None:
        return ranked, scores, evidence.order
    filled = (ranked.offsets[1:] > ranked.offsets[:-1]).nonzero()[0]
    floor = np.zeros(len(ranked.offsets) - 1, np.float32)
    if len(filled):
        lowest = np.minimum.reduceat(scores, ranked.offsets[filled])
        floor[filled] = lowest - proposed.shortlist[proposed.offsets[filled]] - _BEHIND
    first = proposed.place == 0
    of_pair = np.empty(int(proposed.pair.max(initial=-1)) + 1, np.float32)
    of_pair[proposed.pair[first]] = floor[proposed.listing[first]] + proposed.shortlist[first]
    of_pair[ranked.pair] = scores
    of_model = of_pair[proposed.pair]
    return proposed, of_model, answer_order(proposed, table, of_model)


_BEHIND = np.float32(20.0)  # exp(-20) is nothing beside the .001 that no probability falls below


def model_scores(batch: CandidateBatch, scores: Floats) -> Floats:
    """Return the score of each candidate's model: that of its best candidate, (candidates,)."""
    best = np.full(int(batch.pair.max(initial=-1)) + 1, -np.inf, np.float32)
    np.maximum.at(best, batch.pair, scores)
    return best[batch.pair]


def answer_order(batch: CandidateBatch, table: ModelTable, scores: Floats) -> Ints:
    """Return the rows of candidates by listing and falling score of their model.

    Equal ones come by gpu_id. Whatever a ranker makes of the variants of a model, they follow each
    other by P(variant | model): a ranker is taught to tell models apart.

    :param scores: shape (candidates,), of their models.
    """
    return falling_order(batch.listing, scores, variant_order(batch, table))


def variant_order(batch: CandidateBatch, table: ModelTable) -> Ints:
    """Return what orders a listing's candidates whose models score alike, the lowest first.

    Shape (candidates,): models by gpu_id, and the variants of each by P(variant | model).
    """
    rank = table.model_tie_rank[table.model_of_record[batch.record]]
    return np.asarray(rank * (int(batch.place.max(initial=0)) + 1) + batch.place, np.int64)
