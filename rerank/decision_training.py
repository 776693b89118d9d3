"""Train what decides on a ranker's scores: the offer classifier on other listings than the
ranker's, then the calibrator and the thresholds on models that neither has seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.artifacts import Manifest
from rerank.annotation.labelling import AnnotatedListings
from rerank.calibration import Calibrator, choose_threshold, fit_calibrator
from rerank.candidate_set_training import calibrate_candidate_sets
from rerank.conformal import CandidateSets
from rerank.features import OFFER_FEATURES, CueReader
from rerank.model import RerankModel, Thresholds, save_model
from rerank.ranker_folder import RankerFolder
from rerank.ranking import Ranker
from rerank.resolver import Resolver
from rerank.retrieval import Retriever
from rerank.training_evidence import (
    OfferRows,
    Outcomes,
    Prepared,
    Preparer,
    offer_rows,
    scored_outcomes,
)
from rerank.training_sets import GeneratedSets, Progress, Stage, TrainingParameters
from rerank.tree_training import TrainedTrees, train_classifier
from rerank.trees import OnnxTrees


@dataclass(frozen=True, slots=True)
class Decision:
    """What is trained on a ranker's scores, and decides."""

    offer: TrainedTrees
    calibrator: Calibrator
    thresholds: Thresholds

    def model(self, ranker: Ranker, ranker_text: str = "") -> RerankModel:
        """Return it with its ranker as a resolver takes them, without a version: not saved yet."""
        return RerankModel(
            ranker_text,
            ranker,
            self.offer.text,
            OnnxTrees(self.offer.onnx),
            self.calibrator,
            self.thresholds,
            "",
        )

    def saved(
        self,
        folder: Path,
        ranker: tuple[str, bytes] | RankerFolder,
        parameters: dict[str, Any],
        candidate_sets: CandidateSets,
        seconds: float,
    ) -> str:
        """Write the model folder of a ranker and this; return its version.

        :param seconds: that training took.
        """
        return save_model(
            folder,
            ranker=ranker,
            offer=(self.offer.text, self.offer.onnx),
            calibrator=self.calibrator,
            thresholds=self.thresholds,
            parameters=parameters,
            candidate_sets=candidate_sets,
            seconds=seconds,
        )


def train_decision(
    trained: RankerFolder,
    retriever: Retriever,
    cues: CueReader,
    folder: Path,
    index: Manifest,
    parameters: TrainingParameters | None = None,
    *,
    progress: Progress = lambda stage, share: None,
) -> dict[str, Any]:
    """Train what decides on a ranker that is trained already, and write the model of both.

    :param trained: the ranker's folder; it is copied into the model's.
    :param folder: where the model goes.
    :returns: what was trained on and chosen, for the report.
    :raises ArtifactError: if the ranker's folder is missing or damaged.
    :raises MismatchError: if the ranker reads what candidates of listings do not have.
    """
    started = time.perf_counter()
    parameters = parameters or TrainingParameters()
    ranker = trained.load()
    preparer = Preparer(retriever, cues)
    sets = GeneratedSets(preparer, parameters, progress)
    decision = fit_decision(
        ranker, sets.prepared, AnnotatedListings(), preparer, parameters, progress
    )
    resolver = Resolver(retriever, decision.model(ranker), cues, index_version="training")
    summary = {
        "training": asdict(parameters),
        "listings": sets.sizes(),
        "index": {"version": index.fingerprint, **index.parameters},
        "importance": {"offer": decision.offer.top_importance()},
    }
    promised = candidate_sets(resolver, parameters, progress)
    seconds = time.perf_counter() - started
    version = decision.saved(folder, trained, summary, promised, seconds)
    return {**summary, "version": version, "thresholds": asdict(decision.thresholds)}


def fit_decision(
    ranker: Ranker,
    generated: Callable[[Stage], Iterable[Prepared]],
    annotated: AnnotatedListings,
    preparer: Preparer,
    parameters: TrainingParameters,
    progress: Progress = lambda stage, share: None,
) -> Decision:
    """Train what decides on a ranker's scores: offer classifier, calibrator and thresholds.

    :param generated: the listings of each stage; asked for those of the offers and the validation.
    """
    offer = _train_offer(ranker, generated(Stage.OFFER), annotated, preparer, parameters, progress)
    judge = partial(
        scored_outcomes, ranker=ranker, offer=OnnxTrees(offer.onnx), table=preparer.table
    )
    plain = Outcomes.joined([judge(prepared) for prepared in generated(Stage.VALIDATION)])
    taught = [judge(prepared) for prepared in preparer.batches(annotated.validation)]
    outcomes = Outcomes.joined([plain, *taught])
    weights = annotated.weights(len(plain.correct), len(annotated.validation))
    return Decision(offer, *_calibrate(outcomes, weights, parameters))


def candidate_sets(
    resolver: Resolver, parameters: TrainingParameters, progress: Progress
) -> CandidateSets:
    """Calibrate candidate sets on as many listings as the calibrator had, and the thresholds."""
    return calibrate_candidate_sets(
        resolver,
        listings=parameters.validation_listings // 2,
        nil_share=parameters.nil_share,
        seed=parameters.seed,
        progress=partial(progress, "calibrating candidate sets"),
    )


def _train_offer(
    ranker: Ranker,
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
        rows.features,
        rows.correct,
        OFFER_FEATURES,
        parameters.offer,
        weights=annotated.weights(len(plain.correct), len(rows.correct) - len(plain.correct)),
        progress=partial(progress, "training the offer classifier"),
    )


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
