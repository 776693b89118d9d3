"""Train the reranker: LambdaRank, the offer classifier on other listings, then the calibrator
and the thresholds on models that neither has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.artifacts import Manifest
from index.errors import InputError
from index.records import GpuRecord
from rerank.bootstrap import LabelledListing, generate
from rerank.calibration import Calibrator, choose_threshold, fit_calibrator
from rerank.features import (
    CANDIDATE_DIRECTIONS,
    CANDIDATE_FEATURES,
    OFFER_FEATURES,
    CandidateFeatures,
    CueReader,
)
from rerank.model import RerankModel, Thresholds, save_model
from rerank.resolver import Evidence, Resolver
from rerank.retrieval import ModelTable, Retriever
from rerank.splits import Split, models_of
from rerank.tree_training import TrainedTrees, TreeParameters, train_classifier, train_lambdarank
from rerank.trees import OnnxTrees

Progress = Callable[[str, float], None]
_BATCH = 2000


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


def train(
    retriever: Retriever,
    cues: CueReader,
    folder: Path,
    index: Manifest,
    parameters: TrainingParameters | None = None,
    *,
    progress: Progress = lambda stage, share: None,
) -> dict[str, Any]:
    """Train on generated listings of the retriever's registry and write a model folder.

    :returns: what was trained on and chosen, for the report.
    """
    parameters = parameters or TrainingParameters()
    records = retriever.table.records
    sets = _listings(records, parameters)
    ranker = _train_ranker(retriever, cues, sets[_Stage.RANKER], parameters, progress)
    judge = _judge(retriever, cues, ranker)
    offers, correct = _offer_rows(judge, retriever, sets[_Stage.OFFER], parameters, progress)
    offer = train_classifier(
        offers, correct, OFFER_FEATURES, parameters.offer,
        progress=lambda share: progress("training the offer classifier", share),
    )  # fmt: skip
    calibrator, thresholds = _calibrate(
        judge, retriever, offer, sets[_Stage.VALIDATION], parameters, progress
    )
    summary = {
        "training": asdict(parameters), "listings": {s.value: len(v) for s, v in sets.items()},
        "index": {"version": index.fingerprint, **index.parameters},
        "importance": {"ranker": _top(ranker), "offer": _top(offer)},
    }  # fmt: skip
    version = save_model(
        folder, ranker=(ranker.text, ranker.onnx), offer=(offer.text, offer.onnx),
        calibrator=calibrator, thresholds=thresholds, parameters=summary,
    )  # fmt: skip
    return {**summary, "version": version, "thresholds": asdict(thresholds)}


class _Stage(Enum):
    """A set of generated listings, and the split whose models they sell."""

    RANKER = "ranker"
    OFFER = "offer"
    VALIDATION = "validation"

    @property
    def split(self) -> Split:
        return Split.VALIDATION if self is _Stage.VALIDATION else Split.RANKER


def _listings(
    records: Sequence[GpuRecord], parameters: TrainingParameters
) -> dict[_Stage, list[LabelledListing]]:
    """Generate each stage's listings from its split's models and its own seed."""
    sizes = {
        _Stage.RANKER: (parameters.ranker_listings, 0.0),
        _Stage.OFFER: (parameters.offer_listings, parameters.nil_share),
        _Stage.VALIDATION: (parameters.validation_listings, parameters.nil_share),
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


def _train_ranker(
    retriever: Retriever,
    cues: CueReader,
    listings: Sequence[LabelledListing],
    parameters: TrainingParameters,
    progress: Progress,
) -> TrainedTrees:
    features, relevance, sizes = [], [], []
    maker = CandidateFeatures(retriever.table)
    for start in range(0, len(listings), _BATCH):
        chunk = listings[start : start + _BATCH]
        progress("features for the ranker", start / len(listings))
        plain = [item.listing for item in chunk]
        batch = retriever.retrieve(plain)
        hits = cues.find([(reading.text, reading.runs) for reading in batch.readings])
        grades = relevance_of(chunk, batch.listing, batch.record, retriever.table)
        useful = np.bincount(batch.listing, grades, len(chunk)) > 0
        kept = useful[batch.listing]
        features.append(maker.compute(plain, batch, hits)[kept])
        relevance.append(grades[kept])
        sizes += np.diff(batch.offsets)[useful].tolist()
    return train_lambdarank(
        np.concatenate(features), np.concatenate(relevance), sizes, CANDIDATE_FEATURES,
        parameters.ranker, directions=CANDIDATE_DIRECTIONS,
        progress=lambda share: progress("training LambdaRank", share),
    )  # fmt: skip


def relevance_of(
    labelled: Sequence[LabelledListing],
    listing: NDArray[np.int64],
    record: NDArray[np.int64],
    table: ModelTable,
) -> NDArray[np.int64]:
    """Grade candidates: 2 a variant that fits all the listing states, 1 its model, else 0.

    A listing that does not state its form means an ordinary card where the model has one.
    """
    grades = np.zeros(len(listing), np.int64)
    by_id = {r.gpu_id: r for r in table.records}
    plain_models = {r.model for r in table.records if r.form_factor == "PCIe"}
    for row, (at, number) in enumerate(zip(listing.tolist(), record.tolist(), strict=True)):
        item, candidate = labelled[at], table.records[number]
        if item.gpu_id is None or candidate.model != item.model:
            continue
        truth = by_id[item.gpu_id]
        memory = not item.memory_stated or candidate.memory_gb == truth.memory_gb
        if item.form_stated:
            form = candidate.form_factor == truth.form_factor
        else:
            form = candidate.form_factor == "PCIe" or candidate.model not in plain_models
        grades[row] = 2 if memory and form else 1
    return grades


class _Judge:
    """A resolver's evidence without an offer model: what the offer model is trained on."""

    def __init__(self, retriever: Retriever, cues: CueReader, ranker: OnnxTrees) -> None:
        self._retriever = retriever
        self._resolver = Resolver(retriever, _model_of(ranker), cues, index_version="training")

    def evidence(self, labelled: Sequence[LabelledListing], held_out: set[int]) -> Evidence:
        """Return evidence; listings in ``held_out`` lose their true model's candidates."""
        plain = [item.listing for item in labelled]
        batch = self._retriever.retrieve(plain)
        if held_out:
            batch = _without_truth(batch, labelled, held_out, self._retriever.table)
        return self._resolver.judge(plain, batch)


def _judge(retriever: Retriever, cues: CueReader, ranker: TrainedTrees) -> _Judge:
    return _Judge(retriever, cues, OnnxTrees(ranker.onnx))


def _model_of(ranker: OnnxTrees) -> RerankModel:
    """Wrap a bare ranker so that a resolver can carry it while the rest is still to be trained."""
    return RerankModel(
        "", ranker, "", ranker, Calibrator((0.0, 1.0), (0.0, 1.0)), Thresholds(1.0, 0.0, 1.0), ""
    )


def _without_truth(
    batch: Any, labelled: Sequence[LabelledListing], held_out: set[int], table: ModelTable
) -> Any:
    from dataclasses import replace

    listing = batch.listing
    model = [table.records[row].model for row in batch.record.tolist()]
    kept = np.array([
        at not in held_out or name != labelled[at].model
        for at, name in zip(listing.tolist(), model, strict=True)
    ], bool)  # fmt: skip
    counts = np.bincount(listing[kept], minlength=len(labelled))
    number = {name: at for at, name in enumerate(dict.fromkeys(r.model for r in table.records))}
    truth = np.array([
        number.get(item.model or "", -1) if at in held_out else -1
        for at, item in enumerate(labelled)
    ])  # fmt: skip
    names = batch.names
    named = truth[names.listing] != names.model
    return replace(
        batch, offsets=np.concatenate([[0], np.cumsum(counts)]), record=batch.record[kept],
        similarity=batch.similarity[kept], shortlist=batch.shortlist[kept],
        names=replace(
            names, listing=names.listing[named], model=names.model[named],
            values=names.values[named],
        ),
    )  # fmt: skip


def _offer_rows(
    judge: _Judge,
    retriever: Retriever,
    listings: Sequence[LabelledListing],
    parameters: TrainingParameters,
    progress: Progress,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    rng = np.random.default_rng(parameters.seed)
    offers, correct = [], []
    for start in range(0, len(listings), _BATCH):
        chunk = listings[start : start + _BATCH]
        progress("features for the offer classifier", start / len(listings))
        drawn = rng.random(len(chunk)) < parameters.hold_out_share
        evidence = judge.evidence(chunk, set(np.flatnonzero(drawn).tolist()))
        found = evidence.best >= 0
        offers.append(evidence.offers[found])
        correct.append(_is_correct(chunk, evidence, retriever.table)[found])
    return np.concatenate(offers), np.concatenate(correct)


def _is_correct(
    labelled: Sequence[LabelledListing], evidence: Evidence, table: ModelTable
) -> NDArray[np.bool_]:
    """Return whether each listing's best candidate is the model it sells."""
    rows = evidence.best
    return np.array([
        row >= 0 and item.kind == "match"
        and table.records[int(evidence.candidates.record[row])].model == item.model
        for item, row in zip(labelled, rows.tolist(), strict=True)
    ], bool)  # fmt: skip


def _calibrate(
    judge: _Judge,
    retriever: Retriever,
    offer: TrainedTrees,
    listings: Sequence[LabelledListing],
    parameters: TrainingParameters,
    progress: Progress,
) -> tuple[Calibrator, Thresholds]:
    """Fit the calibrator on one half of the validation listings, the thresholds on the other."""
    trees = OnnxTrees(offer.onnx)
    scores, correct = [], []
    for start in range(0, len(listings), _BATCH):
        chunk = listings[start : start + _BATCH]
        progress("calibrating", start / len(listings))
        evidence = judge.evidence(chunk, set())
        scores.append(np.where(evidence.best >= 0, trees.score(evidence.offers), -20.0))
        correct.append(_is_correct(chunk, evidence, retriever.table))
    log_odds, labels = np.concatenate(scores), np.concatenate(correct)
    even = np.arange(len(labels)) % 2 == 0
    calibrator = fit_calibrator(log_odds[even], labels[even])
    probability = calibrator(log_odds[~even])
    match = choose_threshold(probability, labels[~even], parameters.precision)
    return calibrator, Thresholds(match, min(parameters.review, match), parameters.precision)


def _top(trees: TrainedTrees, limit: int = 20) -> dict[str, float]:
    ranked = sorted(trees.importance.items(), key=lambda item: -item[1])
    return dict(ranked[:limit])
