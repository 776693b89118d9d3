"""A place to train models again and again on the same generated listings and other annotations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from rerank.annotation.labelling import AnnotatedListings
from rerank.bootstrap import LabelledListing
from rerank.features import CueReader
from rerank.resolver import Resolver
from rerank.retrieval import Retriever
from rerank.training import fit
from rerank.training_evidence import Prepared, Preparer
from rerank.training_sets import Stage, TrainingParameters, generated_listings, held_out
from rerank.tree_training import TreeParameters

# A quarter of the trees that are trained for use, each four times as steep: hundreds of trainings
# are compared with each other, none is used.
_FEWER_TREES = 4
# The threshold for a stated precision rests on a few errors; on few listings it jumps about, and
# so would the share accepted. Listings to calibrate on cost little: no tree is trained on them.
_MORE_VALIDATION = 4


class Laboratory:
    """Generated listings with all that needs no model, computed once and kept in memory.

    :param parameters: sizes and seed; trees are fewer and steeper than it says, and it calibrates
        on four times as many listings.
    """

    def __init__(
        self,
        retriever: Retriever,
        cues: CueReader,
        parameters: TrainingParameters,
        *,
        progress: Callable[[float], None] = lambda share: None,
    ) -> None:
        self._retriever, self._cues = retriever, cues
        self._parameters = replace(
            parameters,
            ranker=_steeper(parameters.ranker),
            offer=_steeper(parameters.offer),
            validation_listings=parameters.validation_listings * _MORE_VALIDATION,
        )
        self._preparer = Preparer(retriever, cues)
        self._prepared: dict[Stage, Sequence[Prepared]] = {}
        for stage, listings in self._generated().items():
            progress(len(self._prepared) / len(Stage))
            lost = held_out(len(listings), parameters) if stage is Stage.OFFER else None
            self._prepared[stage] = list(self._preparer.batches(listings, held_out=lost))

    @property
    def retriever(self) -> Retriever:
        """What proposes candidates."""
        return self._retriever

    def resolver(self, annotated: AnnotatedListings) -> Resolver:
        """Train a model with annotations and return a resolver that carries it."""
        fitted = fit(self._prepared.__getitem__, annotated, self._preparer, self._parameters)
        return Resolver(self._retriever, fitted.model(), self._cues, index_version="simulation")

    def _generated(self) -> dict[Stage, list[LabelledListing]]:
        return generated_listings(self._retriever.table.records, self._parameters)


def _steeper(trees: TreeParameters) -> TreeParameters:
    return replace(
        trees,
        trees=max(1, trees.trees // _FEWER_TREES),
        learning_rate=trees.learning_rate * _FEWER_TREES,
    )
