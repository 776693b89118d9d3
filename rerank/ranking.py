"""What a ranker reads and gives: the protocols and batches between candidates and their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rerank.features.cues import CueHits
from rerank.index.lexicon import Lexicon, TitleReading
from rerank.index.name_evidence import NameEvidence
from rerank.index.records import N_CANDIDATES, Listing

Floats = NDArray[np.float32]
ModelTable = Lexicon
"""The registry's models as arrays; of the lexicon, what rankers and features read."""


@dataclass(frozen=True, slots=True)
class RankingBatch:
    """Listings with their candidates, as a ranker may read them.

    :param features: shape (candidates, len(CANDIDATE_FEATURES)), rows as those of ``candidates``.
    :param table: the registry's records, which ``candidates.record`` counts in.
    """

    listings: Sequence[Listing]
    candidates: Candidates
    features: Floats
    table: ModelTable


class Ranker(Protocol):
    """Orders the candidates of each listing.

    What calibrates and decides is trained on one ranker's scores and goes with no other.
    """

    def score(self, batch: RankingBatch) -> Floats:
        """Return raw scores, shape (candidates,); comparable within one listing only."""


class FeatureScorer(Protocol):
    """Scores rows of features, each by itself."""

    def score(self, features: Floats) -> Floats:
        """Return one score a row, shape (rows,)."""


@dataclass(frozen=True, slots=True)
class FeatureRanker:
    """A ranker that reads features only, such as LambdaRank's trees."""

    scorer: FeatureScorer

    def score(self, batch: RankingBatch) -> Floats:
        return self.scorer.score(batch.features)


Ints = NDArray[np.int64]


class Candidates(Protocol):
    """Candidates of a batch of listings; listing i owns rows offsets[i]:offsets[i + 1]."""

    @property
    def readings(self) -> Sequence[TitleReading]:
        """What each title shows."""

    @property
    def names(self) -> NameEvidence:
        """How well each named model fits its mention."""

    @property
    def offsets(self) -> Ints:
        """Shape (listings + 1,)."""

    @property
    def record(self) -> Ints:
        """Shape (rows,): registry row of each candidate."""

    @property
    def similarity(self) -> Floats:
        """Shape (rows,): cosine of listing and candidate."""

    @property
    def listing(self) -> Ints:
        """Shape (rows,): listing of each candidate."""


class CandidateSource(Protocol):
    """Proposes candidates."""

    @property
    def table(self) -> ModelTable:
        """The models candidates come from."""

    def retrieve(
        self, listings: Sequence[Listing], *, n_candidates: int = N_CANDIDATES
    ) -> Candidates:
        """Return up to ``n_candidates`` variants of each listing."""


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
