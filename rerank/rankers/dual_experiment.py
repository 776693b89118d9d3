"""Train and measure the dual-objective ranker: search, ablation, model and report."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rerank.calibration import Calibrator, fit_calibrator
from rerank.evaluation.baselines import this_machine
from rerank.evaluation.intervals import (
    DEFAULT_SAMPLES,
    Comparison,
    Figure,
    Resampling,
    interval,
    rounded,
    wilson,
)
from rerank.evaluation.metrics import (
    ECE,
    ROC_AUC,
    SHARE,
    Better,
    Metric,
    as_numbers,
    normalised_gain,
)
from rerank.evaluation.outcomes import causes
from rerank.evaluation.paired import PairedTable
from rerank.index.artifacts import check_replaceable, locked, write_json
from rerank.index.errors import ArtifactError, InputError, MismatchError, require
from rerank.rankers.dual import (
    DUAL_KIND,
    HEADS,
    NO_ROW,
    DualEnsemble,
    DualModel,
    DualScores,
    centred_on_query,
    first_rows,
    in_places,
    ranked_rows,
    served,
)
from rerank.rankers.inputs import (
    CLIP,
    DualLabel,
    Input,
    InputKind,
    InputSchema,
    Scaling,
    doubt_of_first,
)
from rerank.rankers.networks import LabelledRows, Network, exported, fit_queries
from rerank.rankers.parameters import DualConfig, NetworkSettings, TrainingSettings
from rerank.rankers.scored import ReadLines, ScoredSet, SplitSet, split_by_canonical_id
from rerank.settings import as_content

Progress = Callable[[str, float], None]

MODEL_FOLDER, REPORT = "model", "report.json"


def train_dual(
    read: ReadLines,
    config: DualConfig,
    folder: Path,
    *,
    progress: Progress = lambda stage, share: None,
) -> dict[str, Any]:
    """Train on scored queries; write the model folder and the report; return the report.

    ``folder`` then holds ``model/``, ``report.json`` and, of a search, ``search.jsonl``. The model
    is written last: a run that fails leaves the one that was there.

    :raises InputError: if a split is empty, there is nothing to rank, or a pattern fits nothing.
    :raises MismatchError: if the folder holds a search of other data.
    :raises ArtifactError: if the folder, or the one of its model, is a file.
    """
    started = time.perf_counter()
    check_output(folder)
    progress("inputs and labels", 0.0)
    data = DualData.prepare(read.scored, config)
    searched = None
    if config.search.trials or config.search.minutes:
        config, searched = search(data, config, folder / JOURNAL, progress=progress)
    steps = run_steps(data, config, progress=progress)
    progress("intervals", 0.0)
    resamplings = Resamplings.draw(
        data.splits.test, seed=config.seed, samples=config.evaluation.samples
    )
    last = steps[-1].system
    model = DualModel(data.schema, data.label, last.ensemble, config)
    report = {
        "seed": config.seed,
        "samples": config.evaluation.samples,
        "machine": this_machine(),
        "lines": read.lines,
        "faulty_lines": list(read.faults),
        "data": _described(read.scored, data),
        "config": as_content(config),
        "search": searched,
        "steps": ablation_report(steps, resamplings),
        **_of_model(model, data.splits.test, data.rows.test, resamplings),
    }
    losses = [round(loss, 6) for loss in last.losses]
    seconds = time.perf_counter() - started  # with the steps of the ablation
    manifest = model.save(folder / MODEL_FOLDER, {"validation_losses": losses}, seconds=seconds)
    report["model_version"] = manifest.fingerprint
    write_json(report, folder / REPORT)
    return report


def check_output(folder: Path) -> None:
    """Check that a model and a report can be written into a folder, before anything is trained.

    :raises InputError: if something else has their names.
    :raises ArtifactError: if the folder, or the one of the model, is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise ArtifactError(f"{folder}: expected a folder, found a file; choose another place")
    check_replaceable(folder / MODEL_FOLDER, kind=DUAL_KIND)
    if (folder / REPORT).exists() and not (folder / MODEL_FOLDER).exists():
        raise InputError(
            f"{folder / REPORT}: expected no file of this name, or one beside the model that it is "
            "of; choose another place with --output, or remove it"
        )


def evaluate_dual(
    model: DualModel, scored: ScoredSet, *, samples: int, seed: int
) -> dict[str, Any]:
    """Measure a model on queries, against the order by cosine; return plain values.

    :param scored: queries that the model was not trained on; see `held_out`.
    :raises InputError: if a feature or an embedding that the model reads is lacking.
    """
    rows = rows_of(scored, model.schema, model.label)
    resamplings = Resamplings.draw(scored, seed=seed, samples=samples)
    scores = model.ensemble.score(rows.inputs, rows.offsets)
    systems = {FULL: outcomes_of(scored, scores.score, rows.label, scores.conflict_probability)}
    cosine = mean_cosine(model.schema, rows)
    if cosine is not None:
        systems = {EMBEDDING_ONLY: outcomes_of(scored, cosine, rows.label, None), **systems}
    labels = {EMBEDDING_ONLY: {"label": "cosine"}, FULL: {"label": "dual ranker"}}
    return {
        "seed": seed,
        "samples": samples,
        "model_version": model.version,
        "queries": scored.n_queries,
        "candidates": len(scored.candidate_id),
        "steps": step_figures(systems, labels, resamplings),
        **_of_model(model, scored, rows, resamplings),
    }


def mean_cosine(schema: InputSchema, rows: LabelledRows) -> np.ndarray[Any, Any] | None:
    """Return the mean of all cosines of a candidate, -1 if all are missing; None without any."""
    cosines = [
        at
        for at, each in enumerate(schema.inputs)
        if each.kind is InputKind.EMBEDDING and each.name.startswith("cosine(")
    ]
    if not cosines:
        return None
    values = rows.inputs[:, cosines].astype(np.float64)
    there = ~np.isnan(values)
    sums = np.where(there, values, 0.0).sum(axis=1)
    return np.where(there.any(axis=1), sums / np.maximum(there.sum(axis=1), 1), -1.0)


def _of_model(
    model: DualModel, scored: ScoredSet, rows: LabelledRows, resamplings: Resamplings
) -> dict[str, Any]:
    """Return what is told of the model alone: its doubt and its failures."""
    scores = model.ensemble.score(rows.inputs, rows.offsets)
    outcomes = outcomes_of(scored, scores.score, rows.label, scores.conflict_probability)
    found = failures_of(scored, rows, model, scores)
    return {
        "uncertainty": uncertainty_figures(
            resamplings.queries, scores.doubt, scores.error_probability, outcomes.error
        ),
        "failure_causes": causes(failure["cause"] for failure in found),
        "failures": found,
    }


def _described(scored: ScoredSet, data: DualData) -> dict[str, Any]:
    return {
        "queries": scored.n_queries,
        "candidates": len(scored.candidate_id),
        "canonical_ids": len(set(scored.canonical_id)),
        "domains": sorted(set(scored.domain)),
        "split": {
            name: {"queries": part.n_queries, "canonical_ids": len(set(part.canonical_id))}
            for name, part in data.splits._asdict().items()
        },
        "share_conflicting": round(float((scored.conflict >= CONFLICT_FROM).mean()), 4),
        "share_missing": round(float(np.isnan(scored.features).mean()), 4)
        if scored.features.size
        else 0.0,
        "inputs": {
            kind.value: sum(each.kind is kind for each in data.schema.inputs) for kind in InputKind
        },
    }


Row = NDArray[np.float32]

_SHOWN_INPUTS = 3


class OrderFault(Enum):
    """Why another candidate came first; the first that fits, in this order."""

    NO_CANDIDATES = "the query has no candidates"
    NO_DIFFERENCE = "both candidates have the same inputs"
    MISSING = "the best candidate lacks values that the chosen one has"
    CONFLICT_NOT_SEEN = "the chosen one conflicts, and its p_conflict is below .5"
    CONFLICT_OUTWEIGHED = "the chosen one conflicts, its p_conflict is .5 or more, yet it won"
    EMBEDDING = "the chosen one complies less; an embedding speaks for it most"
    EVIDENCE = "the chosen one complies less; a numeric feature speaks for it most"


class Deciding(NamedTuple):
    """An input that spoke for the chosen candidate.

    ``chosen`` is its value there, None if missing, ``best`` the same of the best candidate;
    ``effect`` is what the chosen one's score loses when it is given the best one's value.
    """

    name: str
    chosen: float | None
    best: float | None
    effect: float


def failures_of(
    scored: ScoredSet, rows: LabelledRows, model: DualModel, scores: DualScores
) -> list[dict[str, Any]]:
    """Describe every query whose first candidate is not the best, the most certain errors first,
    as plain values.
    """
    wrong = np.flatnonzero(is_error(scored, scores.score, rows.label))
    first, best = first_rows(scored, scores.score), first_rows(scored, rows.label)
    found = [
        _failure(scored, rows, model, scores, (number, int(first[number]), int(best[number])))
        for number in wrong.tolist()
    ]
    return sorted(found, key=lambda item: (item["error_probability"], item["query_id"]))


def _failure(
    scored: ScoredSet,
    rows: LabelledRows,
    model: DualModel,
    scores: DualScores,
    at: tuple[int, int, int],
) -> dict[str, Any]:
    number, chosen, best = at
    if chosen == NO_ROW:
        cause, deciding = OrderFault.NO_CANDIDATES, list[Deciding]()
    else:
        cause, deciding = _cause(rows, model, float(scores.conflict_probability[chosen]), at)

    def of(column: Floats, row: int) -> float | None:
        return None if row == NO_ROW else rounded(float(column[row]))

    ids = [None if row == NO_ROW else scored.candidate_id[row] for row in (chosen, best)]
    return {
        "query_id": scored.query_id[number],
        "text": scored.text[number],
        "domain": scored.domain[number],
        "cause": cause.value,
        "chosen": ids[0],
        "chosen_compliance": of(scored.compliance, chosen),
        "chosen_conflict": of(scored.conflict, chosen),
        "chosen_conflict_probability": of(scores.conflict_probability, chosen),
        "best": ids[1],
        "best_compliance": of(scored.compliance, best),
        "error_probability": rounded(float(scores.error_probability[number])),
        "deciding": [each._asdict() for each in deciding],
    }


def decided_by(
    chosen: Row, best: Row, inputs: Sequence[Input], score: Callable[[Any], Any]
) -> list[Deciding]:
    """Return the inputs that lifted the chosen candidate most, up to 3, strongest first.

    Each differing input in turn is given the best candidate's value, all others left as they are;
    inputs that make up for each other show less than they are worth together.
    """
    differing = np.flatnonzero(~np.isclose(chosen, best, rtol=0, atol=1e-7, equal_nan=True))
    if not len(differing):
        return []
    changed = np.repeat(chosen[None], len(differing) + 1, axis=0)
    changed[np.arange(len(differing)), differing] = best[differing]
    values = score(changed)
    effects = values[-1] - values[:-1]
    order = np.argsort(-effects, kind="stable")[:_SHOWN_INPUTS]
    return [
        Deciding(
            inputs[differing[at]].name,
            _plain(chosen[differing[at]]),
            _plain(best[differing[at]]),
            round(float(effects[at]), 4),
        )
        for at in order.tolist()
        if effects[at] > 0
    ]


def _cause(
    rows: LabelledRows, model: DualModel, probability: float, at: tuple[int, int, int]
) -> tuple[OrderFault, list[Deciding]]:
    """Return why a query's chosen row came before its best, and what decided."""
    _, first, other = at
    chosen, best = rows.inputs[first], rows.inputs[other]
    deciding = decided_by(
        chosen,
        best,
        model.schema.inputs,
        lambda inputs: model.ensemble.network.outputs(inputs)[0].mean(axis=0),
    )
    embeddings = {each.name for each in model.schema.inputs if each.kind is InputKind.EMBEDDING}
    if np.allclose(chosen, best, rtol=0, atol=1e-7, equal_nan=True):
        cause = OrderFault.NO_DIFFERENCE
    elif (np.isnan(best) & ~np.isnan(chosen)).any():
        cause = OrderFault.MISSING
    elif rows.conflict[first] >= CONFLICT_FROM > rows.conflict[other]:
        seen = probability >= CONFLICT_FROM
        cause = OrderFault.CONFLICT_OUTWEIGHED if seen else OrderFault.CONFLICT_NOT_SEEN
    elif deciding and deciding[0].name in embeddings:
        cause = OrderFault.EMBEDDING
    else:
        cause = OrderFault.EVIDENCE
    return cause, deciding


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)


Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

CUTOFFS = (1, 3, 5)
UNCERTAINTY_BINS = 4
_PLACES = 10
_OVER_QUERIES = "mean over queries; a query without candidates counts as the worst"


@dataclass(frozen=True, slots=True, eq=False)
class RankedOutcomes:
    """What a ranking of a set came to.

    :param by_query: each metric's column, shape (queries,).
    :param conflict_probability: shape (candidates,), in [0, 1]; None of what states none.
    :param conflict: shape (candidates,), whether there is one.
    :param error: shape (queries,), whether another candidate has a higher label than the first.
    """

    by_query: Mapping[str, Floats]
    conflict_probability: Floats | None
    conflict: Bools
    error: Bools


def outcomes_of(
    scored: ScoredSet, scores: Floats, label: Floats, conflict_probability: Floats | None
) -> RankedOutcomes:
    """Rank a set's candidates by score and hold them against the truth.

    :param label: shape (candidates,), y, the gain of nDCG.
    """
    order = ranked_rows(scored, scores)
    compliance = in_places(scored, scored.compliance, order)
    gains = np.nan_to_num(in_places(scored, label, order))
    columns = {f"compliance_at_{k}": _mean_of_first(compliance, k) for k in CUTOFFS}
    columns["ndcg_at_10"] = normalised_gain(gains, -np.sort(-gains, axis=1), _PLACES)
    conflict = scored.conflict >= CONFLICT_FROM
    first = in_places(scored, conflict.astype(np.float64), order)[:, 0]
    columns["conflict_at_1"] = np.where(np.isnan(first), 1.0, first)
    return RankedOutcomes(columns, conflict_probability, conflict, is_error(scored, scores, label))


def _metric(name: str, label: str, definition: str, better: Better, source: str) -> Metric:
    return Metric(
        name=name,
        label=label,
        definition=definition,
        formula=f"mean of the column; {_OVER_QUERIES}",
        columns=(name,),
        better=better,
        source=source,
        per_listing=as_numbers,
    )


def _compliance(cutoff: int) -> Metric:
    return _metric(
        f"compliance_at_{cutoff}",
        f"compliance@{cutoff}",
        f"mean compliance of the first {cutoff} candidates; {_OVER_QUERIES}",
        Better.HIGHER,
        "Järvelin, Kekäläinen 2002 (cumulated gain, divided by the cutoff)",
    )


COMPLIANCE_AT_1 = _compliance(1)
NDCG_AT_10 = _metric(
    "ndcg_at_10",
    "nDCG@10",
    f"gain y, linear, over that of the best order; {_OVER_QUERIES}",
    Better.HIGHER,
    "Järvelin, Kekäläinen, Cumulated gain-based evaluation of IR techniques, 2002",
)
CONFLICT_AT_1 = _metric(
    "conflict_at_1",
    "conflict@1",
    "share of queries whose first candidate conflicts",
    Better.LOWER,
    "this project's design",
)
QUERY_METRICS = (COMPLIANCE_AT_1, _compliance(3), _compliance(5), NDCG_AT_10, CONFLICT_AT_1)


@dataclass(frozen=True, slots=True, eq=False)
class Resamplings:
    """One drawing of queries, for columns with one row a query and one row a candidate alike."""

    queries: Resampling
    candidates: Resampling

    @classmethod
    def draw(cls, scored: ScoredSet, *, seed: int, samples: int = DEFAULT_SAMPLES) -> Resamplings:
        """Draw bootstrap samples of the queries of a set."""
        queries = Resampling.draw(range(scored.n_queries), seed=seed, samples=samples)
        return cls(queries, Resampling(scored.query, queries.counts, seed))

    def figures(self, outcomes: RankedOutcomes) -> dict[str, Figure]:
        """Return each metric of a ranking with its 95 % interval."""
        found = {
            metric.name: self.queries.figure(metric, outcomes.by_query[metric.name])
            for metric in QUERY_METRICS
        }
        if outcomes.conflict_probability is not None:
            columns = outcomes.conflict_probability, outcomes.conflict
            found["conflict_auc"] = self.candidates.figure(ROC_AUC, *columns)
            found["conflict_ece"] = self.candidates.figure(ECE, *columns)
        return found


def uncertainty_figures(
    resampling: Resampling, doubt: Floats, error_probability: Floats, error: Bools
) -> dict[str, Any]:
    """Return whether doubt is larger where errors are more frequent, as plain values.

    ``auc`` is the chance that a query whose first candidate is wrong has more doubt than one whose
    is right; ``ece`` that of the stated chance of an error; ``bins`` are quarters of the queries by
    doubt, each with its share of errors and Wilson's interval.
    """
    order = np.argsort(doubt, kind="stable")
    bins = []
    for rows in np.array_split(order, UNCERTAINTY_BINS):
        if len(rows):
            share = float(error[rows].mean())
            low, high = wilson(share, len(rows))
            bins.append(
                {
                    "n": len(rows),
                    "mean_doubt": rounded(float(doubt[rows].mean())),
                    "mean_error_probability": rounded(float(error_probability[rows].mean())),
                    "share_wrong": rounded(share),
                    "ci95": [rounded(low), rounded(high)],
                }
            )
    return {
        "share_wrong": resampling.figure(SHARE, error).as_dict(),
        "auc": resampling.figure(ROC_AUC, doubt, error).as_dict(),
        "ece": resampling.figure(ECE, error_probability, error).as_dict(),
        "bins": bins,
    }


def _mean_of_first(grid: Floats, cutoff: int) -> Floats:
    top = grid[:, :cutoff]
    there = ~np.isnan(top)
    return np.asarray(np.nan_to_num(top).sum(axis=1) / np.maximum(there.sum(axis=1), 1), np.float64)


CONFLICT_FROM = 0.5  # a conflict given as a probability counts as one from here
# Labels are sums of decimal shares: below this two are the same.
SAME_LABEL = 1e-6


class SplitRows(NamedTuple):
    """The candidates of each split as a network reads them."""

    train: LabelledRows
    validation: LabelledRows
    test: LabelledRows


@dataclass(frozen=True, slots=True, eq=False)
class DualData:
    """Three splits with their inputs and labels.

    :param rows: of each split, all inputs of ``schema``.
    """

    splits: SplitSet
    schema: InputSchema
    label: DualLabel
    rows: SplitRows

    @classmethod
    def prepare(cls, scored: ScoredSet, config: DualConfig) -> DualData:
        """Split by canonical id; fit labels and schema on the training split alone.

        :raises InputError: if a split is empty or a pattern of the configuration fits no feature.
        """
        splits = split_by_canonical_id(
            scored,
            validation_percent=config.split.validation_percent,
            test_percent=config.split.test_percent,
        )
        schema = InputSchema.of(
            splits.train,
            conflict_features=config.inputs.conflict_features,
            ignored_features=config.inputs.ignored_features,
            products=config.inputs.embedding_products,
        )
        label = DualLabel.fit(splits.train, config.label.compliance_weight)
        rows = SplitRows(*(rows_of(each, schema, label) for each in splits))
        return cls(splits, schema, label, rows)


def rows_of(scored: ScoredSet, schema: InputSchema, label: DualLabel) -> LabelledRows:
    """Return a set's candidates with inputs and labels."""
    return LabelledRows(schema.compute(scored), label.of(scored), scored.conflict, scored.offsets)


@dataclass(frozen=True, slots=True, eq=False)
class FittedSystem:
    """A trained ensemble over some of the inputs, with its calibrators.

    :param columns: numbers of the inputs it reads.
    :param losses: validation loss after each epoch; the weights are of the lowest.
    """

    columns: NDArray[np.int64]
    losses: Sequence[float]
    ensemble: DualEnsemble

    def score(self, rows: LabelledRows) -> DualScores:
        """Score rows of all inputs, by ONNX Runtime as it will serve."""
        return self.ensemble.score(rows.inputs[:, self.columns], rows.offsets)


def fit_system(
    data: DualData,
    network: NetworkSettings,
    training: TrainingSettings,
    *,
    columns: NDArray[np.int64],
    seed: int,
    progress: Callable[[float], None] = lambda share: None,
) -> FittedSystem:
    """Train on the training split, calibrate on the validation split; the test split is unread."""
    train, validation, _ = (part._replace(inputs=part.inputs[:, columns]) for part in data.rows)
    scaling = Scaling.fit(train.inputs, limit=CLIP, least=1e-6, constant=1.0, divides=True)
    fitted = fit_queries(
        train._replace(inputs=scaling.apply(train.inputs)),
        validation._replace(inputs=scaling.apply(validation.inputs)),
        network,
        training,
        seed=seed,
        progress=progress,
    )
    ensemble = Network(scaling, fitted.layers)
    onnx = exported(ensemble, train.inputs, inputs=("inputs",), outputs=HEADS).graph
    serving = served(onnx, "exported ensemble", train.inputs.shape[1])
    scores, log_odds = serving.outputs(validation.inputs)
    centred = centred_on_query(scores, validation.offsets)
    wrong = is_error(data.splits.validation, centred.mean(axis=0), validation.label)
    filled = np.diff(validation.offsets) > 0
    doubt = doubt_of_first(centred, validation.offsets)
    mean_log_odds = log_odds.mean(axis=0, dtype=np.float64)
    calibrators = (
        _calibrator(mean_log_odds, validation.conflict >= CONFLICT_FROM),
        _calibrator(doubt[filled], wrong[filled]),
    )
    return FittedSystem(
        columns, fitted.validation_losses, DualEnsemble(onnx, serving, *calibrators)
    )


def is_error(scored: ScoredSet, scores: Floats, label: Floats) -> Bools:
    """Return of each query whether another candidate has a higher label than the first one.

    A query without candidates is an error.
    """
    first = first_rows(scored, scores)
    wrong = np.ones(scored.n_queries, bool)
    filled = first != NO_ROW
    best = np.maximum.reduceat(label, scored.offsets[:-1][filled]) if filled.any() else label[:0]
    wrong[filled] = label[first[filled]] < best - SAME_LABEL
    return wrong


def _calibrator(values: Floats, happened: Bools) -> Calibrator:
    """Calibrate; where only one outcome occurred, Laplace's share of it stands for all."""
    if not len(happened) or happened.all() or not happened.any():
        share = (float(happened.sum()) + 1.0) / (len(happened) + 2.0)
        return Calibrator((0.0,), (share,))
    return fit_calibrator(values, happened)


@dataclass(frozen=True, slots=True)
class Step:
    """One system of the ablation.

    :param linear: whether it has no hidden layer, whatever the configuration says.
    """

    name: str
    label: str
    kinds: frozenset[InputKind]
    linear: bool


EMBEDDING_ONLY, FULL = "embedding_only", "reranker"
STEPS = (
    Step(EMBEDDING_ONLY, "embedding only", frozenset([InputKind.EMBEDDING]), True),
    Step("attributes", "+ attributes", frozenset([InputKind.EMBEDDING, InputKind.ATTRIBUTE]), True),
    Step("conflict", "+ conflict", frozenset(InputKind), True),
    Step(FULL, "+ reranker", frozenset(InputKind), False),
)


@dataclass(frozen=True, slots=True, eq=False)
class AblatedStep:
    """A trained step and what it came to on the test queries."""

    step: Step
    system: FittedSystem
    outcomes: RankedOutcomes


def run_steps(
    data: DualData,
    config: DualConfig,
    *,
    progress: Callable[[str, float], None] = lambda stage, share: None,
) -> list[AblatedStep]:
    """Train every step that has inputs of its own; the last one is the model that is kept.

    Without embeddings, or without conflict features, the step about them is left out.
    """
    kinds = np.array([each.kind.value for each in data.schema.inputs])
    done: list[AblatedStep] = []
    read: set[tuple[bool, bytes]] = set()
    for step in STEPS:
        columns = np.flatnonzero(np.isin(kinds, [kind.value for kind in step.kinds]))
        key = step.linear, columns.tobytes()
        if not len(columns) or key in read:
            continue
        read.add(key)
        network = replace(config.network, layers=0) if step.linear else config.network

        def show(share: float, label: str = step.label) -> None:
            progress(f"training: {label}", share)

        system = fit_system(
            data, network, config.training, columns=columns, seed=config.seed, progress=show
        )
        scores = system.score(data.rows.test)
        outcomes = outcomes_of(
            data.splits.test, scores.score, data.rows.test.label, scores.conflict_probability
        )
        done.append(AblatedStep(step, system, outcomes))
    return done


def ablation_report(steps: Sequence[AblatedStep], resamplings: Resamplings) -> list[dict[str, Any]]:
    """Return each step's figures, and its gains over the first step, as plain values."""
    described = {
        each.step.name: {
            "label": each.step.label,
            "inputs": len(each.system.columns),
            "linear": each.step.linear,
            "epochs": len(each.system.losses),
        }
        for each in steps
    }
    return step_figures({each.step.name: each.outcomes for each in steps}, described, resamplings)


def step_figures(
    systems: Mapping[str, RankedOutcomes],
    described: Mapping[str, Mapping[str, Any]],
    resamplings: Resamplings,
) -> list[dict[str, Any]]:
    """Return each system's figures, and its gains over the first one, as plain values."""
    gains = gains_over(resamplings.queries, systems, baseline=next(iter(systems)))
    return [
        {
            "name": name,
            **described[name],
            "metrics": {key: each.as_dict() for key, each in resamplings.figures(own).items()},
            "gain": gains.get(name, {}),
        }
        for name, own in systems.items()
    ]


def gains_over(
    resampling: Resampling, systems: Mapping[str, RankedOutcomes], *, baseline: str
) -> dict[str, dict[str, Any]]:
    """Compare each system with the baseline on the same queries, metric by metric.

    ``difference`` with its interval and p-value (Holm over the systems), and ``relative``, the
    difference as a share of the baseline's value, with its interval, both resampled together.
    """
    table = PairedTable({name: own.by_query for name, own in systems.items()}, resampling)
    found: dict[str, dict[str, Any]] = {name: {} for name in systems if name != baseline}
    for metric in QUERY_METRICS:
        for item in table.against(baseline, metric):
            columns = (systems[name].by_query[metric.name] for name in (item.system, baseline))
            relative = _relative(resampling, metric, *columns)
            found[item.system][metric.name] = {**_difference(item), **relative}
    return found


def _difference(item: Comparison) -> dict[str, Any]:
    plain = item.as_dict()
    return {key: plain[key] for key in ("difference", "ci95", "p_value", "p_adjusted")}


def _relative(
    resampling: Resampling, metric: Metric, ours: np.ndarray[Any, Any], base: np.ndarray[Any, Any]
) -> dict[str, Any]:
    own, other = metric(ours), metric(base)
    if own is None or not other:
        return {"relative": None, "relative_ci95": [None, None]}
    below = resampling.values(metric, base)
    sampled = resampling.values(metric, ours) / np.where(below > 0, below, np.nan) - 1.0
    value = own / other - 1.0
    low, high = interval(sampled, value)
    return {"relative": rounded(value), "relative_ci95": [rounded(low), rounded(high)]}


JOURNAL = "search.jsonl"
_OBJECTIVE = "ndcg_at_10"
_DATA = "searched"
_JOURNAL_BEGINS = b'{"op_code"'


def search(
    data: DualData,
    config: DualConfig,
    journal: Path,
    *,
    progress: Callable[[str, float], None] = lambda stage, share: None,
) -> tuple[DualConfig, dict[str, Any]]:
    """Return the configuration with the best settings found, and what was tried.

    Each trial trains on the training split and is judged by nDCG@10 on the validation split, by
    Optuna's TPE (Bergstra et al., Algorithms for Hyper-Parameter Optimization, 2011). Trials of a
    journal that is there count: with 20 of 30 done, 10 follow. What a trial draws follows from the
    seed and the trials completed before it, so a search that was stopped goes on as if it had not
    been.

    :param journal: a file of JSON lines, made if it is not there.
    :raises ArtifactError: if the journal is none.
    :raises MismatchError: if it is of other data or another configuration.
    :raises MissingExtraError: if Optuna is not installed.
    """
    require("neural", "a search (search.trials or search.minutes above 0)", "optuna")
    import optuna

    optuna.logging.set_verbosity(logging.WARNING)
    study, bounds = _study(journal, _fingerprint(data, config)), config.search
    ends = time.monotonic() + bounds.minutes * 60 if bounds.minutes else math.inf
    done = _completed(study)
    while (not bounds.trials or len(done) < bounds.trials) and time.monotonic() < ends:
        progress("searching settings", len(done) / (bounds.trials or len(done) + 1))
        # Trials come one after the other: one that still runs was killed, and tells nothing.
        seed = config.seed + len(done)
        study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=False)
        trial = study.ask()
        study.tell(trial, _validation_gain(data, _suggested(trial, config)))
        done = _completed(study)
    report: dict[str, Any] = {"objective": _OBJECTIVE, "trials": len(done), "best": None}
    if not done:
        return config, report
    best = study.best_trial
    report["best"] = {"number": best.number, "value": round(best.value, 4), "settings": best.params}
    return _with(config, best.params), report


def _study(journal: Path, fingerprint: str) -> Any:
    """Return the study of a journal, or a new one, if it is of this data and configuration."""
    study = _opened(journal)
    if _DATA not in study.user_attrs:
        study.set_user_attr(_DATA, fingerprint)
    known = study.user_attrs[_DATA]
    if known != fingerprint:
        raise MismatchError(
            f"{journal}: is a search over other data or another configuration ({known}, now "
            f"{fingerprint}); remove it or choose another output"
        )
    return study


def _opened(journal: Path) -> Any:
    """Return the study of a journal, or a new one."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    journal.parent.mkdir(parents=True, exist_ok=True)
    _cut_unfinished_line(journal)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            lock: Any = JournalLock(journal)
            storage = JournalStorage(JournalFileBackend(str(journal), lock_obj=lock))
            return optuna.create_study(
                storage=storage,
                study_name="train-dual",
                direction="maximize",
                load_if_exists=True,
            )
        except (ValueError, KeyError, TypeError) as exc:
            raise ArtifactError(
                f"{journal}: expected Optuna's journal, found something else ({exc}); remove it "
                "or choose another output"
            ) from exc


def _cut_unfinished_line(journal: Path) -> None:
    """Drop a last line that a run which was killed, or a full disk, left without its end: Optuna
    would append to it, and no longer read the journal.
    """
    if not journal.is_file():
        return
    content = journal.read_bytes()
    if content.startswith(_JOURNAL_BEGINS) and not content.endswith(b"\n"):
        os.truncate(journal, content.rfind(b"\n") + 1)


def _completed(study: Any) -> list[Any]:
    return [trial for trial in study.trials if trial.state.name == "COMPLETE"]


def _suggested(trial: Any, config: DualConfig) -> DualConfig:
    return _with(
        config,
        {
            "hidden": trial.suggest_categorical("hidden", [16, 32, 64, 128]),
            "layers": trial.suggest_int("layers", 1, 3),
            "dropout": trial.suggest_float("dropout", 0.0, 0.4),
            "learning_rate": trial.suggest_float("learning_rate", 3e-4, 2e-2, log=True),
            "weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True),
            "batch_queries": trial.suggest_categorical("batch_queries", [32, 64, 128]),
            "conflict_weight": trial.suggest_float("conflict_weight", 0.1, 3.0, log=True),
        },
    )


def _with(config: DualConfig, settings: dict[str, Any]) -> DualConfig:
    network = {name: own for name, own in settings.items() if name in asdict(config.network)}
    training = {name: own for name, own in settings.items() if name in asdict(config.training)}
    return replace(
        config,
        network=replace(config.network, **network),
        training=replace(config.training, **training),
    )


def _validation_gain(data: DualData, config: DualConfig) -> float:
    columns = np.arange(len(data.schema.inputs))
    system = fit_system(data, config.network, config.training, columns=columns, seed=config.seed)
    rows = data.rows.validation
    outcomes = outcomes_of(data.splits.validation, system.score(rows).score, rows.label, None)
    return float(outcomes.by_query[_OBJECTIVE].mean())


def _fingerprint(data: DualData, config: DualConfig) -> str:
    """Return what a search is of: training and validation rows, and all settings but its bounds."""
    content = {
        name: own
        for name, own in as_content(config).items()
        if name not in ("search", "data", "output", "evaluation")
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for rows in (data.rows.train, data.rows.validation):
        for column in rows:
            digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()[:16]


class JournalLock:
    """Locks a file for writers, for Optuna's journal (its ``BaseJournalFileLock``).

    Optuna's own is a file beside the journal. Of a killed run that stays, and the next run waits
    for it without end; this one the kernel lets go.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._held = ExitStack()

    def acquire(self) -> bool:
        """Wait until no other process writes."""
        self._held.enter_context(locked(self._journal, RuntimeError, wait_s=math.inf))
        return True

    def release(self) -> None:
        """Let other processes write."""
        self._held.close()
