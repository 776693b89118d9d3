"""Train the reranker: LambdaRank, the offer classifier on other listings, then the calibrator
and the thresholds on models that neither has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.artifacts import Manifest
from index.errors import InputError
from index.records import GpuRecord
from rerank.annotation.labelling import AnnotatedListings
from rerank.bootstrap import LabelledListing, generate
from rerank.calibration import Calibrator, choose_threshold, fit_calibrator
from rerank.candidate_set_training import calibrate_candidate_sets
from rerank.conformal import CandidateSets
from rerank.features import CANDIDATE_DIRECTIONS, CANDIDATE_FEATURES, OFFER_FEATURES, CueReader
from rerank.model import RerankModel, Thresholds, save_model
from rerank.resolver import Resolver
from rerank.retrieval import Retriever
from rerank.splits import Split, models_of
from rerank.training_evidence import (
    OfferRows,
    Outcomes,
    Prepared,
    Preparer,
    RankerRows,
    offer_rows,
    ranker_rows,
    scored_outcomes,
)
from rerank.tree_training import TrainedTrees, TreeParameters, train_classifier, train_lambdarank
from rerank.trees import OnnxTrees

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class TrainingParameters:
    """Sizes, seeds and the stated precision; stored in the model's manifest.

    :param hold_out_share: share of offer listings whose GPU is taken out of the candidates, so
        that GPUs outside the registry are seen as no match.
    """

    ranker_listings: int = 30_000
    offer_listings: int = 50_000
    validation_listings: int = 16_000
    nil_share: float = 0.4
    hold_out_share: float = 0.05
    precision: float = 0.99
    review: float = 0.3
    seed: int = 7
    ranker: TreeParameters = field(default_factory=lambda: TreeParameters(trees=240))
    offer: TreeParameters = field(
        default_factory=lambda: TreeParameters(trees=300, leaves=31, learning_rate=0.06)
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
    Stage.RANKER: "features for the ranker", Stage.OFFER: "features for the offer classifier",
    Stage.VALIDATION: "calibrating",
}  # fmt: skip


def train(
    retriever: Retriever,
    cues: CueReader,
    folder: Path,
    index: Manifest,
    parameters: TrainingParameters | None = None,
    *,
    annotated: AnnotatedListings | None = None,
    progress: Progress = lambda stage, share: None,
) -> dict[str, Any]:
    """Train on generated listings of the retriever's registry and write a model folder.

    :param annotated: listings that people labelled, to train on beside the generated ones; without
        any, the model is the same as if there were no annotations at all.
    :returns: what was trained on and chosen, for the report.
    """
    parameters = parameters or TrainingParameters()
    annotated = annotated or AnnotatedListings()
    preparer = Preparer(retriever, cues)
    sets = generated_listings(retriever.table.records, parameters)

    def prepared(stage: Stage) -> Iterable[Prepared]:
        lost = held_out(len(sets[stage]), parameters) if stage is Stage.OFFER else None
        shown = partial(progress, _PREPARING[stage])
        return preparer.batches(sets[stage], held_out=lost, progress=shown)

    fitted = fit(prepared, annotated, preparer, parameters, progress=progress)
    resolver = Resolver(retriever, fitted.model(), cues, index_version="training")
    ranker, offer, thresholds = fitted.ranker, fitted.offer, fitted.thresholds
    summary = {
        "training": asdict(parameters), "listings": {s.value: len(v) for s, v in sets.items()},
        "index": {"version": index.fingerprint, **index.parameters},
        "importance": {"ranker": _top(ranker), "offer": _top(offer)},
        **({"annotations": annotated.summary()} if annotated else {}),
    }  # fmt: skip
    version = save_model(
        folder, ranker=(ranker.text, ranker.onnx), offer=(offer.text, offer.onnx),
        calibrator=fitted.calibrator, thresholds=thresholds, parameters=summary,
        candidate_sets=_candidate_sets(resolver, parameters, progress),
    )  # fmt: skip
    return {**summary, "version": version, "thresholds": asdict(thresholds)}


def generated_listings(
    records: Sequence[GpuRecord], parameters: TrainingParameters
) -> dict[Stage, list[LabelledListing]]:
    """Generate each stage's listings from its split's models and its own seed.

    :raises InputError: if the registry has no models for a split.
    """
    sizes = {
        Stage.RANKER: (parameters.ranker_listings, 0.0),
        Stage.OFFER: (parameters.offer_listings, parameters.nil_share),
        Stage.VALIDATION: (parameters.validation_listings, parameters.nil_share),
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


@dataclass(frozen=True, slots=True)
class Fitted:
    """All that is trained."""

    ranker: TrainedTrees
    offer: TrainedTrees
    calibrator: Calibrator
    thresholds: Thresholds

    def model(self) -> RerankModel:
        """Return it as a resolver takes it, without a version, as it was not saved."""
        ranker, offer = OnnxTrees(self.ranker.onnx), OnnxTrees(self.offer.onnx)
        return RerankModel(
            self.ranker.text, ranker, self.offer.text, offer, self.calibrator, self.thresholds, ""
        )


def fit(
    generated: Callable[[Stage], Iterable[Prepared]],
    annotated: AnnotatedListings,
    preparer: Preparer,
    parameters: TrainingParameters,
    *,
    progress: Progress = lambda stage, share: None,
) -> Fitted:
    """Train on prepared generated listings and annotated ones.

    :param generated: the listings of each stage; asked once for each, in the order of the stages.
    """
    ranker = _train_ranker(generated(Stage.RANKER), annotated, preparer, parameters, progress)
    trees = OnnxTrees(ranker.onnx)
    offer = _train_offer(trees, generated(Stage.OFFER), annotated, preparer, parameters, progress)
    judge = partial(
        scored_outcomes, ranker=trees, offer=OnnxTrees(offer.onnx), table=preparer.table
    )
    plain = Outcomes.joined([judge(prepared) for prepared in generated(Stage.VALIDATION)])
    taught = [judge(prepared) for prepared in preparer.batches(annotated.validation)]
    outcomes = Outcomes.joined([plain, *taught])
    weights = annotated.weights(len(plain.correct), len(annotated.validation))
    return Fitted(ranker, offer, *_calibrate(outcomes, weights, parameters))


def _train_ranker(
    generated: Iterable[Prepared],
    annotated: AnnotatedListings,
    preparer: Preparer,
    parameters: TrainingParameters,
    progress: Progress,
) -> TrainedTrees:
    read = partial(ranker_rows, table=preparer.table)
    plain = RankerRows.joined([read(prepared) for prepared in generated])
    taught = [read(prepared) for prepared in preparer.batches(annotated.ranker)]
    rows = RankerRows.joined([plain, *taught])
    return train_lambdarank(
        rows.features, rows.relevance, rows.sizes.tolist(), CANDIDATE_FEATURES, parameters.ranker,
        directions=CANDIDATE_DIRECTIONS,
        weights=annotated.weights(len(plain.sizes), len(rows.sizes) - len(plain.sizes)),
        progress=partial(progress, "training LambdaRank"),
    )  # fmt: skip


def _train_offer(
    ranker: OnnxTrees,
    generated: Iterable[Prepared],
    annotated: AnnotatedListings,
    preparer: Preparer,
    parameters: TrainingParameters,
    progress: Progress,
) -> TrainedTrees:
    read = partial(offer_rows, ranker=ranker, table=preparer.table)
    plain = OfferRows.joined([read(prepared) for prepared in generated])
    taught = [read(prepared) for prepared in preparer.batches(annotated.offer)]
    rows = OfferRows.joined([plain, *taught])
    return train_classifier(
        rows.features, rows.correct, OFFER_FEATURES, parameters.offer,
        weights=annotated.weights(len(plain.correct), len(rows.correct) - len(plain.correct)),
        progress=partial(progress, "training the offer classifier"),
    )  # fmt: skip


def _calibrate(
    outcomes: Outcomes, weights: NDArray[np.float64] | None, parameters: TrainingParameters
) -> tuple[Calibrator, Thresholds]:
    """Fit the calibrator on every other validation listing, the thresholds on the rest."""
    log_odds, correct = outcomes
    even = np.arange(len(correct)) % 2 == 0
    first, second = (None, None) if weights is None else (weights[even], weights[~even])
    calibrator = fit_calibrator(log_odds[even], correct[even], weights=first)
    probability = calibrator(log_odds[~even])
    match = choose_threshold(probability, correct[~even], parameters.precision, weights=second)
    return calibrator, Thresholds(match, min(parameters.review, match), parameters.precision)


def _candidate_sets(
    resolver: Resolver, parameters: TrainingParameters, progress: Progress
) -> CandidateSets:
    """Calibrate candidate sets on as many listings as the calibrator had, and the thresholds."""
    return calibrate_candidate_sets(
        resolver, listings=parameters.validation_listings // 2, nil_share=parameters.nil_share,
        seed=parameters.seed, progress=partial(progress, "calibrating candidate sets"),
    )  # fmt: skip


def _top(trees: TrainedTrees, limit: int = 20) -> dict[str, float]:
    ranked = sorted(trees.importance.items(), key=lambda item: -item[1])
    return dict(ranked[:limit])
