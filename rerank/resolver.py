"""The resolver: listings in, decisions out.

Retriever -> candidates -> features -> ranker -> offer features -> probability -> decision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from rerank.answers import CANDIDATE_SET_FIELD, Answers, RegistryColumns, answers_of, joined
from rerank.conformal import DEFAULT_COVERAGE, outcome_probabilities
from rerank.features.candidates import CandidateFeatures
from rerank.features.cues import CueReader
from rerank.features.offers import OfferFeatures
from rerank.index.errors import ArtifactError, InputError
from rerank.index.records import N_CANDIDATES, Listing
from rerank.index.text import MAX_TITLE_CHARS, normalise
from rerank.model import MODEL_REMEDY, RerankModel
from rerank.ranking import Candidates, CandidateSource, Evidence, ModelTable, RankingBatch
from rerank.resolution import Resolution

_BLOCK = 1024  # listings resolved at once: larger arrays leave the cache and cost page faults


class Resolver:
    """Resolves listings with a retriever and a trained model. Cheap to call, heavy to make once."""

    def __init__(
        self, retriever: CandidateSource, model: RerankModel, cues: CueReader, *, index_version: str
    ) -> None:
        self._retriever = retriever
        self._model = model
        self._cues = cues
        self._index_version = index_version
        self._table = retriever.table
        self._candidate_features = CandidateFeatures(self._table)
        self._offer_features = OfferFeatures()

    @property
    def model(self) -> RerankModel:
        """The model that decides."""
        return self._model

    @property
    def index_version(self) -> str:
        """The version of the index that proposes."""
        return self._index_version

    @property
    def table(self) -> ModelTable:
        """The models candidates come from."""
        return self._table

    def resolve(self, listing: Listing, *, top_k: int = N_CANDIDATES) -> Resolution:
        """Resolve one listing."""
        return self.resolve_many([listing], top_k=top_k)[0]

    def resolve_many(
        self, listings: Sequence[Listing], *, top_k: int = N_CANDIDATES
    ) -> list[Resolution]:
        """Resolve listings; answers come in the order of the listings.

        :param top_k: candidates considered and returned for each listing, at least 1.
        :raises InputError: if ``top_k`` is below 1.
        """
        return self.resolutions(self.answers(listings, top_k=top_k))

    def resolve_table(self, listings: Sequence[Listing], *, top_k: int = N_CANDIDATES) -> pa.Table:
        """Resolve listings into the columns of `OUTPUT_SCHEMA`; what `resolve_many` answers.

        :raises InputError: if ``top_k`` is below 1.
        """
        return self.answer_table(self.answers(listings, top_k=top_k))

    def answers(self, listings: Sequence[Listing], *, top_k: int = N_CANDIDATES) -> Answers:
        """Resolve listings into arrays; listings of equal text are resolved once.

        :raises InputError: if ``top_k`` is below 1.
        """
        if top_k < 1:
            raise InputError(f"top_k must be at least 1, got {top_k}")
        places: dict[tuple[str, str, str], int] = {}
        place = [
            places.setdefault((each.title, each.vendor, each.description), len(places))
            for each in listings
        ]
        if len(places) == len(listings):
            return self._answers(listings, top_k)
        first = np.unique(place, return_index=True)[1].tolist()
        return self._answers([listings[at] for at in first], top_k).take(np.array(place))

    def resolutions(self, answers: Answers) -> list[Resolution]:
        """Return answers as objects."""
        return answers.resolutions(
            self._table, model_version=self._model.version, index_version=self._index_version
        )

    def answer_table(self, answers: Answers) -> pa.Table:
        """Return answers as the columns of `OUTPUT_SCHEMA`."""
        return self._registry_columns.table(
            answers, model_version=self._model.version, index_version=self._index_version
        )

    @cached_property
    def _registry_columns(self) -> RegistryColumns:
        return RegistryColumns.of(self._table)

    def _answers(self, listings: Sequence[Listing], top_k: int) -> Answers:
        blocks = [listings[at : at + _BLOCK] for at in range(0, len(listings), _BLOCK)] or [[]]
        parts = []
        for block in blocks:
            evidence = self.evidence(block, n_candidates=top_k)
            probability = self._model.probability(evidence.offers)
            parts.append(answers_of(evidence, probability, self._model.thresholds, self._table))
        return joined(parts)

    def candidate_set(
        self, resolution: Resolution, *, coverage: float = DEFAULT_COVERAGE
    ) -> tuple[str, ...]:
        """Return the models that a listing may sell, the most probable first, never none of them.

        ``rerank.conformal.NO_MATCH`` among them says that it may sell none. Of listings like those
        calibrated on, the set holds the truth for at least a share of ``coverage``.

        :param resolution: as `resolve_many` returned it with the default ``top_k``: the set is
            calibrated for these candidates, neither cut nor more.
        :raises InputError: if ``coverage`` is outside (0, 1) or higher than can be promised.
        :raises ArtifactError: if the model was trained before there were candidate sets.
        """
        sets = self._model.candidate_sets
        if sets is None:
            raise ArtifactError(
                f"model {self._model.version} has no candidate sets: it was trained before there "
                f"were any; train again with `{MODEL_REMEDY}`"
            )
        outcomes = outcome_probabilities(resolution.candidates)
        return sets.select(outcomes, resolution.decision, level=coverage)

    def evidence(
        self, listings: Sequence[Listing], *, n_candidates: int = N_CANDIDATES
    ) -> Evidence:
        """Retrieve, rank and describe; what the decision is then made from."""
        candidates = self._retriever.retrieve(listings, n_candidates=n_candidates)
        return self.judge(listings, candidates)

    def judge(self, listings: Sequence[Listing], candidates: Candidates) -> Evidence:
        """Rank given candidates and describe the best of each listing."""
        cues = self._cues.find([(reading.text, reading.runs) for reading in candidates.readings])
        features = self._candidate_features.compute(listings, candidates, cues)
        batch = RankingBatch(listings, candidates, features, self._table)
        scores = self._model.ranker.score(batch)
        offers, best = self._offer_features.compute(candidates, self._table, features, scores, cues)
        return Evidence(candidates, features, scores, offers, best, cues)


def predict_match_score(
    listing_embedding: Any, candidate_embeddings: Any
) -> list[tuple[int, float]]:
    """Rank candidates of one listing by cosine of their embeddings alone.

    :param listing_embedding: shape (dimension,).
    :param candidate_embeddings: shape (candidates, dimension).
    :returns: (row of the candidate, cosine in [-1, 1]) pairs, best first, ties by row.
    :raises InputError: if the shapes do not fit.
    """
    query = np.asarray(listing_embedding, np.float64)
    rows = np.asarray(candidate_embeddings, np.float64)
    if query.ndim != 1 or rows.ndim != 2 or rows.shape[1] != len(query):
        raise InputError(f"expected shapes (d,) and (n, d), got {query.shape} and {rows.shape}")
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(query)
    cosine = (rows @ query) / np.where(norms == 0, 1, norms)
    order = np.argsort(-cosine, kind="stable")
    return [(int(row), float(cosine[row])) for row in order]


_NO_FAULTS: Mapping[int, str] = {}


def resolve_listings(
    resolver: Resolver,
    listings: Sequence[Listing],
    *,
    top_k: int = N_CANDIDATES,
    faults: Mapping[int, str] = _NO_FAULTS,
) -> list[Resolution]:
    """Resolve listings in order; one without a title, or with a fault, is no match and says why.

    :param top_k: candidates returned for each listing.
    :param faults: what is wrong with a row, by its number; such rows are not resolved.
    """
    return resolver.resolutions(_presented(resolver, listings, top_k, faults))


def resolve_with_sets(
    resolver: Resolver,
    listings: Sequence[Listing],
    *,
    coverage: float,
    top_k: int = N_CANDIDATES,
    faults: Mapping[int, str] = _NO_FAULTS,
) -> tuple[list[Resolution], list[tuple[str, ...]]]:
    """Resolve as `resolve_listings` does, and return each listing's candidate set as well.

    The sets come from the candidates they were calibrated for, however many are returned.

    :param coverage: of the candidate sets, between 0 and 1.
    :raises InputError: if candidate sets cannot promise this coverage.
    :raises ArtifactError: if the model has no candidate sets.
    """
    answers, sets = _presented_with_sets(resolver, listings, coverage, top_k, faults)
    return resolver.resolutions(answers), sets


def resolve_to_table(
    resolver: Resolver,
    listings: Sequence[Listing],
    *,
    top_k: int = N_CANDIDATES,
    coverage: float | None = None,
    faults: Mapping[int, str] = _NO_FAULTS,
) -> pa.Table:
    """Return what `resolve_listings` answers as a table of `OUTPUT_SCHEMA`, one row a listing.

    :param coverage: of candidate sets, which then are one more column, `CANDIDATE_SET_FIELD`;
        None for none.
    :raises InputError: if candidate sets cannot promise this coverage.
    :raises ArtifactError: if candidate sets are asked for and the model has none.
    """
    if coverage is None:
        return resolver.answer_table(_presented(resolver, listings, top_k, faults))
    answers, sets = _presented_with_sets(resolver, listings, coverage, top_k, faults)
    column = pa.array([list(models) for models in sets], CANDIDATE_SET_FIELD.type)
    return resolver.answer_table(answers).append_column(CANDIDATE_SET_FIELD, column)


def _presented(
    resolver: Resolver, listings: Sequence[Listing], top_k: int, faults: Mapping[int, str]
) -> Answers:
    """Resolve what can be resolved; say of the other rows, and of titles that were cut, why."""
    good = [
        at for at, listing in enumerate(listings) if at not in faults and normalise(listing.title)
    ]
    answers = resolver.answers([listings[at] for at in good], top_k=max(top_k, N_CANDIDATES))
    if len(good) < len(listings):
        place = np.full(len(listings), -1)
        place[good] = np.arange(len(good))
        answers = answers.take(place)
    reasons = list(answers.reason)
    for at in set(range(len(listings))).difference(good):
        reasons[at] = faults.get(at, "no title")
    for at in good:
        if len(listings[at].title) > MAX_TITLE_CHARS:
            reasons[at] = f"{reasons[at]}; title cut at {MAX_TITLE_CHARS} characters"
    return replace(answers, reason=reasons).cut(top_k)


def _presented_with_sets(
    resolver: Resolver,
    listings: Sequence[Listing],
    coverage: float,
    top_k: int,
    faults: Mapping[int, str],
) -> tuple[Answers, list[tuple[str, ...]]]:
    considered = _presented(resolver, listings, N_CANDIDATES, faults)
    sets = [
        resolver.candidate_set(answer, coverage=coverage)
        for answer in resolver.resolutions(considered)
    ]
    if top_k > N_CANDIDATES:
        return _presented(resolver, listings, top_k, faults), sets
    return considered.cut(top_k), sets
