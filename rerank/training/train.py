"""Train the default model: LambdaRank, then what decides on its scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.annotation.labelling import AnnotatedListings
from rerank.bootstrap.generator import generate
from rerank.calibration import Calibrator, choose_threshold, fit_calibrator
from rerank.conformal import NO_MATCH, CandidateSets, nonconformity, outcome_probabilities
from rerank.features.candidates import CANDIDATE_DIRECTIONS, CANDIDATE_FEATURES
from rerank.features.cues import CueReader
from rerank.features.offers import OFFER_FEATURES
from rerank.index.artifacts import Manifest
from rerank.model import OnnxTrees, RerankModel, save_model
from rerank.rankers.kinds import RankerFolder
from rerank.ranking import CandidateSource, FeatureRanker, Ranker
from rerank.resolution import Decision, Thresholds
from rerank.resolver import Resolver
from rerank.splits import Split, models_of
from rerank.training.evidence import (
    CalibrationSample,
    OfferRows,
    Prepared,
    Preparer,
    RankerRows,
    offer_rows,
    ranker_rows,
    scored_outcomes,
)
from rerank.training.sets import GeneratedSets, Progress, Stage, TrainingParameters
from rerank.training.trees import TrainedTrees, train_classifier, train_lambdarank


def train(
    retriever: CandidateSource,
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
    started = time.perf_counter()
    parameters = parameters or TrainingParameters()
    annotated = annotated or AnnotatedListings()
    preparer = Preparer(retriever, cues)
    sets = GeneratedSets(preparer, parameters, progress)
    fitted = fit(sets.prepared, annotated, preparer, parameters, progress=progress)
    resolver = Resolver(retriever, fitted.model(), cues, index_version="training")
    ranker, decision = fitted.ranker, fitted.decision
    summary = {
        "training": asdict(parameters),
        "listings": sets.sizes(),
        "index": {"version": index.fingerprint, **index.parameters},
        "importance": {"ranker": ranker.top_importance(), "offer": decision.offer.top_importance()},
        **({"annotations": annotated.summary()} if annotated else {}),
    }
    promised = candidate_sets(resolver, parameters, progress)
    seconds = time.perf_counter() - started
    version = decision.saved(folder, (ranker.text, ranker.onnx), summary, promised, seconds)
    return {**summary, "version": version, "thresholds": asdict(decision.thresholds)}


@dataclass(frozen=True, slots=True)
class FittedModel:
    """All that is trained."""

    ranker: TrainedTrees
    decision: DecisionModel

    def model(self) -> RerankModel:
        """Return it as a resolver takes it, without a version: not saved yet."""
        return self.decision.model(FeatureRanker(OnnxTrees(self.ranker.onnx)), self.ranker.text)


def fit(
    generated: Callable[[Stage], Iterable[Prepared]],
    annotated: AnnotatedListings,
    preparer: Preparer,
    parameters: TrainingParameters,
    *,
    progress: Progress = lambda stage, share: None,
) -> FittedModel:
    """Train on prepared generated listings and annotated ones.

    :param generated: the listings of each stage; asked once for each, in the order of the stages.
    """
    trees = _train_ranker(generated(Stage.RANKER), annotated, preparer, parameters, progress)
    ranker = FeatureRanker(OnnxTrees(trees.onnx))
    return FittedModel(
        trees, fit_decision(ranker, generated, annotated, preparer, parameters, progress)
    )


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
        rows.features,
        rows.relevance,
        rows.sizes.tolist(),
        CANDIDATE_FEATURES,
        parameters.ranker,
        directions=CANDIDATE_DIRECTIONS,
        weights=annotated.weights(len(plain.sizes), len(rows.sizes) - len(plain.sizes)),
        progress=partial(progress, "training LambdaRank"),
    )


@dataclass(frozen=True, slots=True)
class DecisionModel:
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
    retriever: CandidateSource,
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
) -> DecisionModel:
    """Train what decides on a ranker's scores: offer classifier, calibrator and thresholds.

    :param generated: the listings of each stage; asked for those of the offers and the validation.
    """
    offer = _train_offer(ranker, generated(Stage.OFFER), annotated, preparer, parameters, progress)
    judge = partial(
        scored_outcomes, ranker=ranker, offer=OnnxTrees(offer.onnx), table=preparer.table
    )
    plain = CalibrationSample.joined([judge(prepared) for prepared in generated(Stage.VALIDATION)])
    taught = [judge(prepared) for prepared in preparer.batches(annotated.validation)]
    outcomes = CalibrationSample.joined([plain, *taught])
    weights = annotated.weights(len(plain.correct), len(annotated.validation))
    return DecisionModel(offer, *_calibrate(outcomes, weights, parameters))


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
    outcomes: CalibrationSample, weights: NDArray[np.float64] | None, parameters: TrainingParameters
) -> tuple[Calibrator, Thresholds]:
    """Fit the calibrator on every other validation listing, the thresholds on the rest."""
    log_odds, correct = outcomes
    even = np.arange(len(correct)) % 2 == 0
    first, second = (None, None) if weights is None else (weights[even], weights[~even])
    calibrator = fit_calibrator(log_odds[even], correct[even], weights=first)
    probability = calibrator(log_odds[~even])
    match = choose_threshold(probability, correct[~even], parameters.precision, weights=second)
    return calibrator, Thresholds(match, min(parameters.review, match), parameters.precision)


# Of no training stage: neither the calibrator nor the decisions' thresholds saw these listings.
_STAGE_SEED = 9
_BATCH = 500


def calibrate_candidate_sets(
    resolver: Resolver,
    *,
    listings: int,
    nil_share: float,
    seed: int,
    progress: Callable[[float], None] = lambda share: None,
) -> CandidateSets:
    """Resolve generated listings of the resolver's registry and keep how near the truth was.

    :param listings: number of them, all of models of the validation split.
    :param nil_share: share of them that sell something else.
    :param seed: of the training; the listings are its own draw.
    :raises InputError: if there are no listings.
    """
    records = resolver.table.records
    models = models_of(records, Split.VALIDATION)
    labelled = generate(
        records, listings, seed=seed * 1000 + _STAGE_SEED, nil_share=nil_share, models=models
    )
    scores: dict[str, list[float]] = {decision.value: [] for decision in Decision}
    for start in range(0, len(labelled), _BATCH):
        progress(start / len(labelled))
        chunk = labelled[start : start + _BATCH]
        answers = resolver.resolve_many([item.listing for item in chunk])
        for item, answer in zip(chunk, answers, strict=True):
            outcomes = outcome_probabilities(answer.candidates)
            truth = NO_MATCH if item.model is None else item.model
            scores[answer.decision].append(nonconformity(outcomes, truth))
    return CandidateSets.from_scores(scores, seed=seed)
