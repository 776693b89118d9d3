"""The sets that training reads: its parameters, and each stage's generated listings, prepared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial

import numpy as np
from numpy.typing import NDArray

from rerank.evaluation.gold import Split, models_of
from rerank.index.errors import InputError
from rerank.index.records import GpuRecord, LabelledListing
from rerank.index.text import descriptor, listing_text
from rerank.packs.gpu.bootstrap.generator import generate
from rerank.packs.gpu.training.evidence import Prepared, Preparer
from rerank.trees import TreeParameters

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class TrainingParameters:
    """Sizes, seeds and the stated precision; stored in the model's manifest.

    :param nil_share: share of listings that sell none of the GPUs, of those that the offer
        classifier learns from and that candidate sets are calibrated on.
    :param validation_nil_share: of those that probabilities and thresholds are fitted to. Lower:
        a generated one nearly always names a GPU, among real ones few do, and with the same share
        real cards were right more often than was said at every probability between.
    :param hold_out_share: share of offer listings whose GPU is taken out of the candidates, so
        that GPUs outside the registry are seen as no match.
    """

    ranker_listings: int = 30_000
    offer_listings: int = 50_000
    validation_listings: int = 16_000
    nil_share: float = 0.4
    validation_nil_share: float = 0.3
    hold_out_share: float = 0.05
    precision: float = 0.99
    review: float = 0.3
    seed: int = 7
    ranker: TreeParameters = field(
        default_factory=lambda: TreeParameters(trees=100, leaves=16, learning_rate=0.16)
    )
    offer: TreeParameters = field(
        default_factory=lambda: TreeParameters(
            trees=200, leaves=31, learning_rate=0.1, feature_fraction=0.4
        )
    )


def scaled(parameters: TrainingParameters, scale: float) -> TrainingParameters:
    """Return parameters with the numbers of listings multiplied."""
    return replace(
        parameters,
        ranker_listings=round(parameters.ranker_listings * scale),
        offer_listings=round(parameters.offer_listings * scale),
        validation_listings=round(parameters.validation_listings * scale),
    )


class Stage(Enum):
    """A set of generated listings, and the split whose models they sell."""

    RANKER = "ranker"
    OFFER = "offer"
    VALIDATION = "validation"

    @property
    def split(self) -> Split:
        """The split of the models sold."""
        return Split.VALIDATION if self is Stage.VALIDATION else Split.RANKER


_PREPARING = {
    Stage.RANKER: "features for the ranker",
    Stage.OFFER: "features for the offer classifier",
    Stage.VALIDATION: "calibrating",
}


def generated_listings(
    records: Sequence[GpuRecord], parameters: TrainingParameters
) -> dict[Stage, list[LabelledListing]]:
    """Generate each stage's listings from its split's models and its own seed.

    :raises InputError: if the registry has no models for a split.
    """
    sizes = {
        Stage.RANKER: (parameters.ranker_listings, 0.0),
        Stage.OFFER: (parameters.offer_listings, parameters.nil_share),
        Stage.VALIDATION: (parameters.validation_listings, parameters.validation_nil_share),
    }
    sets = {}
    for number, (stage, (size, nil_share)) in enumerate(sizes.items()):
        models = models_of(records, stage.split)
        if not models:
            raise InputError(
                f"the registry has no models for the {stage.split.value} split; training needs "
                f"at least some 20 models, got {len({r.model for r in records})}"
            )
        seed = parameters.seed * 1000 + number
        sets[stage] = generate(records, size, seed=seed, nil_share=nil_share, models=models)
    return sets


def held_out(listings: int, parameters: TrainingParameters) -> NDArray[np.bool_]:
    """Draw which of the generated offer listings lose their GPU, shape (listings,)."""
    rng = np.random.default_rng(parameters.seed)
    return np.asarray(rng.random(listings) < parameters.hold_out_share, np.bool_)


class GeneratedSets:
    """The generated listings of all stages, prepared when a stage asks for them."""

    def __init__(
        self, preparer: Preparer, parameters: TrainingParameters, progress: Progress
    ) -> None:
        self._preparer, self._parameters, self._progress = preparer, parameters, progress
        progress("making up listings", 0.0)
        self._listings = generated_listings(preparer.table.records, parameters)

    def sizes(self) -> dict[str, int]:
        """Return the number of listings of each stage."""
        return {stage.value: len(listings) for stage, listings in self._listings.items()}

    def prepared(self, stage: Stage) -> Iterator[Prepared]:
        """Yield a stage's listings in batches; some of the offers lose their GPU."""
        listings = self._listings[stage]
        lost = held_out(len(listings), self._parameters) if stage is Stage.OFFER else None
        shown = partial(self._progress, _PREPARING[stage])
        return self._preparer.batches(listings, held_out=lost, progress=shown)


_NIL_LISTINGS_PER_PAIR = 1 / 3  # they widen the vocabulary; no pair is made of them
_TRAINED_ON = (Split.EMBEDDER,)


def embedder_texts(
    records: Sequence[GpuRecord], listings: int, *, seed: int
) -> tuple[list[tuple[str, str, str]], list[str]]:
    """Return what the static embedder learns: pairs of texts, each with its model, and a corpus.

    Listings are of the embedder's split only, so that the ranker sees how a similarity does on
    models the embedder has not read of; descriptors are of all models, as the index's are.

    :param listings: to generate for pairs.
    """
    models = [model for split in _TRAINED_ON for model in models_of(records, split)]
    by_id = {record.gpu_id: record for record in records}
    sold = generate(records, listings, seed=seed + 11, nil_share=0.0, models=models)
    nil = generate(records, round(listings * _NIL_LISTINGS_PER_PAIR), seed=seed + 12, nil_share=1.0)
    pairs = [
        (item.model, listing_text(item.listing).embedded, descriptor(by_id[item.gpu_id]))
        for item in sold
        if item.model is not None and item.gpu_id is not None
    ]
    pairs += [(record.model, descriptor(record), descriptor(record)) for record in records]
    corpus = [text for _, *texts in pairs for text in texts]
    corpus += [listing_text(item.listing).embedded for item in nil]
    return pairs, corpus
