"""The trainable rankers, by name, and the folders their trainings write."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rerank.ranking import Ranker


class RankerKind(StrEnum):
    """What orders candidates, as `--ranker` names it."""

    LTR = "ltr"
    PAIRWISE = "pairwise"
    DUAL = "dual"
    CROSS_ENCODER = "cross-encoder"


@dataclass(frozen=True, slots=True)
class RankerFolder:
    """The folder of a ranker other than LambdaRank, which lies in its model's folder."""

    kind: RankerKind
    folder: Path

    def load(self) -> Ranker:
        """Load the ranker.

        :raises ArtifactError: if the folder is missing or damaged.
        :raises MismatchError: if it reads what candidates of listings do not have.
        """
        if self.kind is RankerKind.PAIRWISE:
            from rerank.rankers.pairwise import PairwiseCandidateRanker

            return PairwiseCandidateRanker.load(self.folder)
        if self.kind is RankerKind.DUAL:
            from rerank.rankers.dual import DualCandidateRanker

            return DualCandidateRanker.load(self.folder)
        if self.kind is RankerKind.CROSS_ENCODER:
            from rerank.cross_encoder.ranker import CrossEncoderRanker, CrossEncoderScorer

            return CrossEncoderRanker(CrossEncoderScorer.load(self.folder))
        raise ValueError("LambdaRank has no folder of its own: it lies in its model's")
