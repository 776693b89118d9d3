"""The rankers of a workspace, put together to be measured beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index.artifacts import Manifest
from index.errors import InputError
from jobs.serving import check_fit, with_cascade
from jobs.workspace import Workspace
from rerank.evaluation.ranker_comparison import Competitor
from rerank.features import CueReader
from rerank.model import RerankModel
from rerank.pairwise.heuristic import heuristic_candidate_scores
from rerank.ranker_costs import RankerCosts, both, ranker_costs, trained_costs
from rerank.ranker_folder import RankerKind
from rerank.ranking import RankingBatch

Floats = NDArray[np.float32]

BASELINE = "LambdaRank"
_LABELS = {
    RankerKind.LTR: BASELINE,
    RankerKind.PAIRWISE: "pairwise",
    RankerKind.DUAL: "dual",
    RankerKind.CROSS_ENCODER: "cross-encoder",
}
_WORDS = {
    RankerKind.LTR: "boosted trees over features",
    RankerKind.PAIRWISE: "network over features, trained on pairs",
    RankerKind.DUAL: "ensemble over features, two objectives",
    RankerKind.CROSS_ENCODER: "transformer over texts",
}
_HEURISTIC, _COSINE, _CASCADE = "heuristic", "cosine", "cascade"


@dataclass(frozen=True, slots=True)
class Entrant:
    """A competitor with what it is and costs; None where nothing was stored or recorded.

    :param description: a few words on what it is.
    """

    competitor: Competitor
    description: str
    version: str | None = None
    size_bytes: int | None = None
    training_seconds: float | None = None

    @property
    def name(self) -> str:
        """Its key in the report."""
        return self.competitor.name


class HeuristicOrder:
    """Orders by the weighted sum of features that serves where no pairwise ranker is trained."""

    def score(self, batch: RankingBatch) -> Floats:
        return heuristic_candidate_scores(batch.features)


class CosineOrder:
    """Orders by the cosine of the embeddings of listing and GPU."""

    def score(self, batch: RankingBatch) -> Floats:
        return np.asarray(batch.candidates.similarity, np.float32)


def entrants_of(
    workspace: Workspace, index: Manifest, cues: CueReader, also: Mapping[str, Path]
) -> list[Entrant]:
    """Return the two orderings, all rankers that serve, and the cascade if there is its model.

    :param also: further model folders by name, as `rerank train-decision` writes them.
    :raises InputError: if a name is taken.
    :raises ArtifactError: if a model is missing or damaged.
    :raises MismatchError: if a model belongs to another index.
    """
    own = [
        workspace.model_of(kind)
        for kind in _LABELS
        if kind is RankerKind.LTR or workspace.served_folder(kind).is_dir()
    ]
    named = [*((folder, "") for folder in own), *((also[name], name) for name in also)]
    served = []
    for folder, name in named:
        model = RerankModel.load(folder)
        check_fit(model, folder, index, workspace.active_index())
        served.append(_served(name, model, ranker_costs(folder)))
    found = [*_orderings(), *served, *_cascade(workspace, served[0], cues)]
    names = [each.name for each in found]
    taken = sorted({name for name in names if names.count(name) > 1})
    if taken:
        raise InputError(f"--also: {taken[0]!r} is the name of a ranker already; choose another")
    return found


def _orderings() -> Iterator[Entrant]:
    yield Entrant(Competitor(_HEURISTIC, HeuristicOrder()), "weighted sum of features, untrained")
    yield Entrant(Competitor(_COSINE, CosineOrder()), "similarity of embeddings alone")


def _served(name: str, model: RerankModel, costs: RankerCosts) -> Entrant:
    """Return a ranker that serves, by what it is if it has no name."""
    name = name or f"{_LABELS[costs.kind]} {costs.variant}".rstrip()
    words = f"{_WORDS[costs.kind]}{f', {costs.variant}' if costs.variant else ''}"
    return Entrant(
        Competitor(name, model.ranker, model),
        words,
        model.version,
        costs.size_bytes,
        costs.training_seconds,
    )


def _cascade(workspace: Workspace, first: Entrant, cues: CueReader) -> Iterator[Entrant]:
    folder = workspace.cross_encoder_folder
    if not folder.is_dir() or first.competitor.model is None:
        return
    model = with_cascade(first.competitor.model, folder, cues)
    second = trained_costs(workspace.trained_ranker(RankerKind.CROSS_ENCODER))
    yield Entrant(
        Competitor(_CASCADE, model.ranker, model),
        f"{BASELINE}, then cross-encoder, {second.variant}",
        model.version,
        second.size_bytes + (first.size_bytes or 0),
        both(first.training_seconds, second.training_seconds),
    )
