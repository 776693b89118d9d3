"""Train the default model: LambdaRank, then what decides on its scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from index.artifacts import Manifest
from rerank.annotation.labelling import AnnotatedListings
from rerank.decision_training import Decision, candidate_sets, fit_decision
from rerank.features import CANDIDATE_DIRECTIONS, CANDIDATE_FEATURES, CueReader
from rerank.model import RerankModel
from rerank.ranking import FeatureRanker
from rerank.resolver import Resolver
from rerank.retrieval import Retriever
from rerank.training_evidence import Prepared, Preparer, RankerRows, ranker_rows
from rerank.training_sets import GeneratedSets, Progress, Stage, TrainingParameters
from rerank.tree_training import TrainedTrees, train_lambdarank
from rerank.trees import OnnxTrees


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
class Fitted:
    """All that is trained."""

    ranker: TrainedTrees
    decision: Decision

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
) -> Fitted:
    """Train on prepared generated listings and annotated ones.

    :param generated: the listings of each stage; asked once for each, in the order of the stages.
    """
    trees = _train_ranker(generated(Stage.RANKER), annotated, preparer, parameters, progress)
    ranker = FeatureRanker(OnnxTrees(trees.onnx))
    return Fitted(trees, fit_decision(ranker, generated, annotated, preparer, parameters, progress))


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
