"""The rankers there are, by name, and the folders their trainings write.

Beside the four built in, an installed package brings one by an entry point of the group
`rerank.rankers`: its name is the kind's, its object takes a folder and returns what scores
candidates (`rerank.ranking.Ranker`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from rerank.index.errors import ArtifactError, MissingExtraError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from rerank.ranking import Ranker

GROUP = "rerank.rankers"
_TAKEN = ("embedder", "index", "served")  # what else has a folder among a workspace's models


class RankerKind(StrEnum):
    """What orders candidates, as `--ranker` names it.

    Iteration gives those built in; `RankerKind(name)` knows those of installed packages as well.

    :raises MissingExtraError: if nothing installed brings a ranker of the name.
    """

    LTR = "ltr"
    PAIRWISE = "pairwise"
    DUAL = "dual"
    CROSS_ENCODER = "cross-encoder"

    @classmethod
    def _missing_(cls, value: object) -> RankerKind:
        name = str(value)
        if name not in outside_rankers():
            raise MissingExtraError(
                f"expected a ranker, one of {', '.join([*cls, *outside_rankers()])}, got "
                f"{name!r:.80}; install the package that brings it"
            )
        kind = str.__new__(cls, name)
        kind._name_ = kind._value_ = name
        return kind

    @property
    def maker(self) -> str:
        """What trains such a ranker, for messages."""
        outside = self.value in outside_rankers()
        return "the package that brings it" if outside else f"`rerank train-{self.value}`"


def ranker_kinds() -> list[RankerKind]:
    """Return the kinds built in, then those of installed packages."""
    return [*RankerKind, *map(RankerKind, outside_rankers())]


@cache
def outside_rankers() -> dict[str, EntryPoint]:
    """Return the entry points of installed packages by name; names must fit for folders."""
    from importlib.metadata import entry_points  # not for who only resolves

    found = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    taken = {*RankerKind, *_TAKEN}
    return {
        each.name: each
        for each in found
        if each.name not in taken and each.name.replace("-", "_").isidentifier()
    }


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
        if not self.folder.is_dir():  # a folder may serve without one, a model may not
            raise ArtifactError(f"{self.folder}: no {self.kind} here; run {self.kind.maker}")
        if self.kind is RankerKind.PAIRWISE:
            from rerank.rankers.pairwise import PairwiseCandidateRanker

            return PairwiseCandidateRanker.load(self.folder)
        if self.kind is RankerKind.DUAL:
            from rerank.rankers.dual import DualCandidateRanker

            return DualCandidateRanker.load(self.folder)
        if self.kind is RankerKind.CROSS_ENCODER:
            from rerank.cross_encoder.ranker import CrossEncoderRanker, CrossEncoderScorer

            return CrossEncoderRanker(CrossEncoderScorer.load(self.folder))
        if self.kind is RankerKind.LTR:
            raise ValueError("LambdaRank has no folder of its own: it lies in its model's")
        ranker: Ranker = outside_rankers()[self.kind].load()(self.folder)
        return ranker
