"""Train a version: LambdaRank or a ranker trained before, then what decides on its scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.calibration import (
    NO_MATCH,
    Calibrator,
    CandidateSets,
    choose_threshold,
    fit_calibrator,
    nonconformity,
    outcome_probabilities,
)
from rerank.domain import GPU
from rerank.evaluation.gold import Split, models_of
from rerank.index.artifacts import Manifest
from rerank.index.records import LabelledListing
from rerank.model import FeatureRanker, OnnxTrees, RerankModel, save_model
from rerank.packs.gpu.bootstrap.generator import generate
from rerank.packs.gpu.candidates import CANDIDATE_DIRECTIONS, CANDIDATE_FEATURES
from rerank.packs.gpu.cues import CueReader
from rerank.packs.gpu.offers import OFFER_DIRECTIONS, OFFER_FEATURES
from rerank.packs.gpu.training.evidence import (
    CalibrationSample,
    Prepared,
    Preparer,
    TrainingRows,
    joined,
    offer_rows,
    ranker_rows,
    scored_outcomes,
)
from rerank.packs.gpu.training.labelling import AnnotatedListings
from rerank.packs.gpu.training.sets import GeneratedSets, Progress, Stage, TrainingParameters
from rerank.rankers.kinds import RankerFolder
from rerank.ranking import CandidateSource, Ranker
from rerank.resolution import Decision, Thresholds
from rerank.resolver import Resolver, resolver_of
from rerank.trees import TrainedTrees, train_classifier, train_lambdarank


def train(
    retriever: CandidateSource,
    cues: CueReader,
    folder: Path,
    index: Manifest,
    parameters: TrainingParameters | None = None,
    *,
    trained: RankerFolder | None = None,
    annotated: AnnotatedListings | None = None,
    progress: Progress = lambda stage, share: None,
) -> dict[str, Any]:
    """Train on generated listings of the retriever's registry and write a model folder.

    :param trained: a ranker that is trained already: only what decides on its scores is trained,
        and its folder is copied into the model's. By default LambdaRank is trained first.
    :param annotated: listings that people labelled, to train on beside the generated ones; without
        any, the model is the same as if there were no annotations at all.
    :returns: what was trained on and chosen, for the report.
    :raises ArtifactError: if the ranker's folder is missing or damaged.
    :raises MismatchError: if the ranker reads what candidates of listings do not have.
    """
    started = time.perf_counter()
    parameters = parameters or TrainingParameters()
    annotated = annotated or AnnotatedListings()
    ranker = trained.load() if trained else None
    preparer = Preparer(retriever, cues)
    sets = GeneratedSets(preparer, parameters, progress)
    fitted = fit(sets.prepared, annotated, preparer, parameters, ranker=ranker, progress=progress)
    learnt = {} if trained else {"ranker": fitted.trees.top_importance()}
    summary = {
        "training": asdict(parameters),
        "listings": sets.sizes(),
        "index": {"version": index.fingerprint, **index.parameters},
        "importance": {**learnt, "offer": fitted.offer.top_importance()},
        **({"annotations": annotated.summary()} if annotated else {}),
    }
    # Half as many as the calibrator had, for these are resolved one and all.
    promised = calibrate_candidate_sets(
        resolver_of(GPU, retriever, fitted.model(), index_version="training", cues=cues),
        listings=parameters.validation_listings // 2,
        nil_share=parameters.nil_share,
        seed=parameters.seed,
        progress=partial(progress, "calibrating candidate sets"),
    )
    version = save_model(
        folder,
        ranker=trained or (fitted.trees.text, fitted.trees.onnx),
        offer=(fitted.offer.text, fitted.offer.onnx),
        calibrator=fitted.calibrator,
        thresholds=fitted.thresholds,
        parameters=summary,
        candidate_sets=promised,
        seconds=time.perf_counter() - started,
    )
    return {**summary, "version": version, "thresholds": asdict(fitted.thresholds)}


@dataclass(frozen=True, slots=True)
class FittedModel:
    """A ranker, and what is trained on its scores and decides.

    ``trees`` are the ranker's own; empty for one that was trained before.
    """

    ranker: Ranker
    trees: TrainedTrees
    offer: TrainedTrees
    calibrator: Calibrator
    thresholds: Thresholds

    def model(self) -> RerankModel:
        """Return it as a resolver takes it, without a version: not saved yet."""
        return RerankModel(
            self.trees.text,
            self.ranker,
            self.offer.text,
            OnnxTrees(self.offer.onnx),
            self.calibrator,
            self.thresholds,
            "",
        )


def fit(
    generated: Callable[[Stage], Iterable[Prepared]],
    annotated: AnnotatedListings,
    preparer: Preparer,
    parameters: TrainingParameters,
    *,
    ranker: Ranker | None = None,
    progress: Progress = lambda stage, share: None,
) -> FittedModel:
    """Train on prepared generated listings and annotated ones.

    :param generated: the listings of each stage; asked once for each, in the order of the stages.
    :param ranker: one that is trained already; by default LambdaRank is trained.
    """
    table = preparer.table

    def rows(
        stage: Stage, read: Callable[[Prepared], TrainingRows], taught: Sequence[LabelledListing]
    ) -> tuple[TrainingRows, NDArray[np.float64] | None]:
        """Return the rows of generated and annotated listings, and what each listing counts as."""
        plain = joined([read(prepared) for prepared in generated(stage)])
        both = joined([plain] + [read(prepared) for prepared in preparer.batches(taught)])
        return both, annotated.weights(len(plain[-1]), len(both[-1]) - len(plain[-1]))

    trees = TrainedTrees("", b"", {})
    if ranker is None:
        graded, weights = rows(Stage.RANKER, partial(ranker_rows, table=table), annotated.ranker)
        trees = train_lambdarank(
            graded.features,
            graded.relevance,
            graded.sizes.tolist(),
            CANDIDATE_FEATURES,
            parameters.ranker,
            directions=CANDIDATE_DIRECTIONS,
            weights=weights,
            progress=partial(progress, "training LambdaRank"),
        )
        ranker = FeatureRanker(OnnxTrees(trees.onnx))
    read_offers = partial(offer_rows, ranker=ranker, table=table)
    offers, weights = rows(Stage.OFFER, read_offers, annotated.offer)
    offer = train_classifier(
        offers.features,
        offers.correct,
        OFFER_FEATURES,
        parameters.offer,
        directions=OFFER_DIRECTIONS,
        weights=weights,
        progress=partial(progress, "training the offer classifier"),
    )
    judge = partial(scored_outcomes, ranker=ranker, offer=OnnxTrees(offer.onnx), table=table)
    outcomes, weights = rows(Stage.VALIDATION, judge, annotated.validation)
    return FittedModel(ranker, trees, offer, *_calibrate(outcomes, weights, parameters))


def _calibrate(
    outcomes: CalibrationSample, weights: NDArray[np.float64] | None, parameters: TrainingParameters
) -> tuple[Calibrator, Thresholds]:
    """Fit the calibrator and choose the thresholds on all validation listings.

    A threshold is one cut of a score that the calibrator leaves in order, so that what it has seen
    decides nothing: over 60 draws of 16,000 the precision is .8998 for .9. Chosen on half of them,
    it varies 1.4 times as much from draw to draw.
    """
    log_odds, correct = outcomes
    calibrator = fit_calibrator(log_odds, correct, weights=weights)
    match = choose_threshold(calibrator(log_odds), correct, parameters.precision, weights=weights)
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
