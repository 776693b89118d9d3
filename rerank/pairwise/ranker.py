"""Score, compare and rank items with a trained pairwise network, or with the heuristic.

ranker = PairwiseRanker.load(Path("models/projects"))
ranker.compare(
    {"item_type": "project", "id": "p1", "metrics": {"clarity": 0.8}},
    {"item_type": "project", "id": "p2", "metrics": {"clarity": 0.2}},
)
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.errors import ArtifactError, InputError
from rerank.pairwise.artifact import REMEDY, read_ranker
from rerank.pairwise.feature_space import raw_rows
from rerank.pairwise.heuristic import heuristic_confidence_scale, heuristic_scores
from rerank.pairwise.items import AnyItem, PairItem, item_of
from rerank.pairwise.judging import Preference
from rerank.pairwise.scoring import OnnxScorer

Floats = NDArray[np.float32]
Provenance = Literal["onnx", "heuristic"]

_MOST_SHOWN = 6
logger = logging.getLogger(__name__)


class ItemScore(NamedTuple):
    """A score, comparable among the scores of one ranker, and what made it."""

    score: float
    provenance: Provenance


class Comparison(NamedTuple):
    """Which of two items is better.

    ``preference`` is 1 for a, -1 for b, 0 for neither; ``confidence`` is the probability that the
    item of the higher score is the better one, if either is: 0.5 to 1, calibrated on the validation
    pairs of a trained network, a rule of thumb of the heuristic.
    """

    a_score: float
    b_score: float
    preference: int
    confidence: float
    provenance: Provenance


class RankedItem(NamedTuple):
    """An item in its place."""

    item: PairItem
    score: float
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class TrainedScorer:
    """An exported network and what it reads.

    :param metric_names: columns after the embedding's, in order.
    :param embedding_dim: 0 if it reads no embedding.
    """

    name: str
    scorer: OnnxScorer
    metric_names: tuple[str, ...]
    embedding_dim: int
    preference: Preference
    metadata: Mapping[str, Any]


class PairwiseRanker:
    """Ranks items; make one with `load`.

    :param trained: None lets the heuristic serve.
    :param why_heuristic: why it does; empty if it does not.
    :param embeddings: vectors of items that name theirs by ``embedding_id``.
    """

    def __init__(
        self,
        trained: TrainedScorer | None = None,
        *,
        why_heuristic: str = "",
        embeddings: Mapping[str, Floats] | None = None,
    ) -> None:
        self.trained = trained
        self.why_heuristic = why_heuristic
        self._embeddings = embeddings or {}

    @classmethod
    def load(
        cls,
        folder: Path | str,
        *,
        name: str | None = None,
        embeddings: Mapping[str, Floats] | None = None,
    ) -> PairwiseRanker:
        """Load the ranker of a folder that serves, or the one of a name.

        Where there is no folder, or onnxruntime is not installed, the heuristic serves.

        :raises ArtifactError: if there is a folder and it is damaged, or of something else.
        """
        folder = Path(folder)
        if not folder.exists():
            return cls(why_heuristic=f"no ranker there: run `{REMEDY}`")
        stored = read_ranker(folder, name)
        if find_spec("onnxruntime") is None:
            why = "onnxruntime is not installed"
            logger.warning("%s: the heuristic serves in place of %s", why, stored.name)
            return cls(why_heuristic=why)
        scorer = OnnxScorer(stored.scorer, where=f"{folder}: ranker {stored.name}")
        said = stored.metadata
        try:
            trained = TrainedScorer(
                stored.name,
                scorer,
                tuple(said["feature_names"]),
                int(said["embedding_dim"]),
                Preference(**said["preference"]),
                said,
            )
        except (KeyError, TypeError, ValueError) as exc:
            raise ArtifactError(
                f"{folder}: the metadata of ranker {stored.name} lacks what this release reads "
                f"({type(exc).__name__}: {exc}); run `{REMEDY}`"
            ) from exc
        return cls(trained, embeddings=embeddings)

    @property
    def provenance(self) -> Provenance:
        """What makes the scores."""
        return "heuristic" if self.trained is None else "onnx"

    def score_item(self, item: AnyItem) -> ItemScore:
        """Score one item.

        :raises InputError: if it is malformed, or holds nothing that the network reads.
        """
        return ItemScore(float(self.score_items([item])[0]), self.provenance)

    def score_items(self, items: Sequence[AnyItem]) -> Floats:
        """Return scores of items, shape (items,).

        :raises InputError: if one is malformed, or holds nothing that the network reads.
        """
        read = [item_of(item) for item in items]
        if self.trained is None:
            return heuristic_scores(read)
        read = [item.resolved(self._embeddings) for item in read]
        self._check(read, self.trained)
        rows = raw_rows(read, self.trained.metric_names, self.trained.embedding_dim)
        return self.trained.scorer.score(rows)

    def compare(self, a: AnyItem, b: AnyItem) -> Comparison:
        """Say which of two items is better.

        :raises InputError: if one is malformed, or holds nothing that the network reads.
        """
        first, second = item_of(a), item_of(b)
        a_score, b_score = self.score_items([first, second]).tolist()
        if self.trained is not None:
            preference = self.trained.preference
        else:
            preference = Preference(scale=heuristic_confidence_scale(first))
        difference = a_score - b_score
        return Comparison(
            a_score,
            b_score,
            preference.label(difference),
            preference.confidence(difference),
            self.provenance,
        )

    def rank(self, items: Sequence[AnyItem]) -> list[RankedItem]:
        """Return items, the best first, equal ones by type and reference.

        :raises InputError: if one is malformed, or holds nothing that the network reads.
        """
        read = [item_of(item) for item in items]
        scores = self.score_items(read).tolist()
        ranked = [
            RankedItem(item, score, self.provenance)
            for item, score in zip(read, scores, strict=True)
        ]
        return sorted(ranked, key=lambda each: (-each.score, each.item.key))

    @staticmethod
    def _check(items: Sequence[PairItem], trained: TrainedScorer) -> None:
        """Refuse items of which the network would see nothing: their scores would be its mean."""
        known = set(trained.metric_names)
        for item in items:
            if known.isdisjoint(item.metrics) and not (
                trained.embedding_dim and item.embedding is not None
            ):
                names = ", ".join(trained.metric_names[:_MOST_SHOWN])
                more = ", ..." if len(trained.metric_names) > _MOST_SHOWN else ""
                raise InputError(
                    f"{item.item_type or 'item'} {item.reference_id!r:.80}: expected some of what "
                    f"ranker {trained.name} reads ({names}{more}; embeddings of "
                    f"{trained.embedding_dim}), found {sorted(item.metrics)[:_MOST_SHOWN]}"
                )
