"""The resolver: listings in, decisions out.

Retriever -> candidates -> features -> LambdaRank -> offer features -> probability -> decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.errors import ArtifactError, InputError
from index.records import Listing
from rerank.conformal import DEFAULT_COVERAGE, outcome_probabilities
from rerank.features import CandidateFeatures, CueReader, OfferFeatures
from rerank.features.cues import CueHits
from rerank.model import REMEDY, RerankModel
from rerank.reasons import reason_of
from rerank.retrieval import Candidates, ModelTable, Retriever

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


class Decision(Enum):
    """What to do with a listing."""

    MATCH = "match"
    REVIEW = "review"
    NO_MATCH = "no_match"


@dataclass(frozen=True, slots=True)
class ScoredCandidate:
    """One candidate of a resolved listing.

    ``score`` is comparable within its listing only; ``probability`` is the probability that its
    *model* is what the listing sells.
    """

    gpu_id: str
    model: str
    memory_gb: float
    form_factor: str
    similarity: float
    score: float
    probability: float


@dataclass(frozen=True, slots=True)
class Resolution:
    """The answer for one listing; the columns `rerank score` adds, in this order."""

    gpu_id: str | None
    model: str | None
    memory_gb: float | None
    form_factor: str | None
    match_probability: float
    margin: float
    decision: str
    reason: str
    candidates: tuple[ScoredCandidate, ...]
    model_version: str
    index_version: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything computed on the way to the decisions of a batch; for training and explanation.

    :param scores: shape (candidates,), the ranker's raw scores.
    :param best: shape (listings,), row of each listing's best candidate, -1 if it has none.
    """

    candidates: Candidates
    features: Floats
    scores: Floats
    offers: Floats
    best: Ints
    cues: CueHits


class Resolver:
    """Resolves listings with a retriever and a trained model. Cheap to call, heavy to make once."""

    def __init__(
        self, retriever: Retriever, model: RerankModel, cues: CueReader, *, index_version: str
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

    def resolve(self, listing: Listing, *, top_k: int = 20) -> Resolution:
        """Resolve one listing."""
        return self.resolve_many([listing], top_k=top_k)[0]

    def resolve_many(self, listings: Sequence[Listing], *, top_k: int = 20) -> list[Resolution]:
        """Resolve listings; answers come in the order of the listings.

        :param top_k: candidates considered and returned for each listing, at least 1.
        :raises InputError: if ``top_k`` is below 1.
        """
        if top_k < 1:
            raise InputError(f"top_k must be at least 1, got {top_k}")
        if not listings:
            return []
        evidence = self.evidence(listings, n_candidates=top_k)
        probability = np.where(evidence.best >= 0, self._model.probability(evidence.offers), 0.0)
        return [
            self._resolution(at, evidence, float(probability[at])) for at in range(len(listings))
        ]

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
                f"were any; train again with `{REMEDY}`"
            )
        outcomes = outcome_probabilities(resolution.candidates)
        return sets.select(outcomes, resolution.decision, level=coverage)

    def evidence(self, listings: Sequence[Listing], *, n_candidates: int = 20) -> Evidence:
        """Retrieve, rank and describe; what the decision is then made from."""
        candidates = self._retriever.retrieve(listings, n_candidates=n_candidates)
        return self.judge(listings, candidates)

    def judge(self, listings: Sequence[Listing], candidates: Candidates) -> Evidence:
        """Rank given candidates and describe the best of each listing."""
        cues = self._cues.find([(reading.text, reading.runs) for reading in candidates.readings])
        features = self._candidate_features.compute(listings, candidates, cues)
        scores = self._model.ranker.score(features)
        offers, best = self._offer_features.compute(candidates, self._table, features, scores, cues)
        return Evidence(candidates, features, scores, offers, best, cues)

    def _resolution(self, at: int, evidence: Evidence, probability: float) -> Resolution:
        batch = evidence.candidates
        start, stop = int(batch.offsets[at]), int(batch.offsets[at + 1])
        decision = self._decide(probability)
        ranked = self._ranked(evidence, start, stop, probability)
        reason = reason_of(at, evidence, decision.value)
        version, index_version = self._model.version, self._index_version
        if not ranked:
            return Resolution(
                None, None, None, None, 0.0, 0.0, Decision.NO_MATCH.value, reason, (), version,
                index_version,
            )  # fmt: skip
        best = ranked[0]
        rival = next((c.probability for c in ranked if c.model != best.model), 0.0)
        return Resolution(
            gpu_id=None if decision is Decision.NO_MATCH else best.gpu_id,
            model=best.model, memory_gb=best.memory_gb, form_factor=best.form_factor,
            match_probability=probability, margin=probability - rival, decision=decision.value,
            reason=reason, candidates=ranked, model_version=version, index_version=index_version,
        )  # fmt: skip

    def _decide(self, probability: float) -> Decision:
        thresholds = self._model.thresholds
        if probability >= thresholds.match:
            return Decision.MATCH
        return Decision.REVIEW if probability >= thresholds.review else Decision.NO_MATCH

    def _ranked(
        self, evidence: Evidence, start: int, stop: int, probability: float
    ) -> tuple[ScoredCandidate, ...]:
        """Return the candidates best first; ties by gpu_id."""
        rows = evidence.candidates.record[start:stop]
        scores = evidence.scores[start:stop]
        order = np.lexsort((self._table.tie_rank[rows], -scores))
        records = [self._table.records[row] for row in rows[order]]
        ranked = scores[order].tolist()
        shares = model_probabilities([record.model for record in records], ranked, probability)
        similarity = evidence.candidates.similarity[start:stop][order].tolist()
        return tuple(
            ScoredCandidate(
                record.gpu_id, record.model, record.memory_gb, record.form_factor,
                round(cosine, 4), round(score, 4), shares[record.model],
            )
            for record, cosine, score in zip(records, similarity, ranked, strict=True)
        )  # fmt: skip


def model_probabilities(
    models: Sequence[str], scores: Sequence[float], probability: float
) -> dict[str, float]:
    """Share out probability over models: the best gets ``probability``, rivals a part of the rest.

    A rival's part is proportional to exp(score - best score), and never more than the best's own:
    the margin is not negative. What no model takes is the probability of "no match".

    :param models: of the candidates, best first; a model may stand there several times.
    """
    best: dict[str, float] = {}
    for model, score in zip(models, scores, strict=True):
        best[model] = max(score, best.get(model, score))
    if not best:
        return {}
    top = models[0]
    weight = {m: float(np.exp(s - best[top])) for m, s in best.items() if m != top}
    total = 1.0 + sum(weight.values())
    shares = {m: min(probability, (1 - probability) * w / total) for m, w in weight.items()}
    return {**shares, top: probability}


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
