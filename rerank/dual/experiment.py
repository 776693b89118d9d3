"""Train the dual-objective ranker: search, ablation, model and report, in one run."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from index.artifacts import write_json
from index.errors import ArtifactError, InputError
from rerank.dual.ablation import EMBEDDING_ONLY, AblatedStep, ablation_report, gains_over, run_steps
from rerank.dual.config import DualConfig, as_content
from rerank.dual.failures import causes, failures_of
from rerank.dual.figures import RankedOutcomes, Resamplings, outcomes_of, uncertainty_figures
from rerank.dual.fitting import CONFLICT_FROM, DualData, rows_of
from rerank.dual.inputs import InputSchema, Kind
from rerank.dual.model import KIND, DualModel
from rerank.dual.reading import ReadLines
from rerank.dual.scored_set import ScoredSet
from rerank.dual.search import JOURNAL, search
from rerank.dual.training import LabelledRows
from rerank.evaluation.machine import this_machine
from rerank.output_folder import check_replaceable

Progress = Callable[[str, float], None]

MODEL_FOLDER, REPORT = "model", "report.json"
RERANKER = "reranker"


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
    model = _model_of(data, config, steps[-1])
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
    losses = [round(loss, 6) for loss in steps[-1].system.trained.losses]
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
    check_replaceable(folder / MODEL_FOLDER, kind=KIND)
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
    scores = model.score_inputs(rows.inputs, rows.offsets)
    systems = {RERANKER: outcomes_of(scored, scores.score, rows.label, scores.conflict_probability)}
    cosine = mean_cosine(model.schema, rows)
    if cosine is not None:
        systems = {EMBEDDING_ONLY: outcomes_of(scored, cosine, rows.label, None), **systems}
    gains = gains_over(resamplings.queries, systems, baseline=next(iter(systems)))
    return {
        "seed": seed,
        "samples": samples,
        "model_version": model.version,
        "queries": scored.n_queries,
        "candidates": len(scored.candidate_id),
        "steps": [_step(name, own, resamplings, gains) for name, own in systems.items()],
        **_of_model(model, scored, rows, resamplings),
    }


def mean_cosine(schema: InputSchema, rows: LabelledRows) -> np.ndarray[Any, Any] | None:
    """Return the mean of all cosines of a candidate, -1 if all are missing; None without any."""
    cosines = [
        at
        for at, each in enumerate(schema.inputs)
        if each.kind is Kind.EMBEDDING and each.name.startswith("cosine(")
    ]
    if not cosines:
        return None
    values = rows.inputs[:, cosines].astype(np.float64)
    there = ~np.isnan(values)
    sums = np.where(there, values, 0.0).sum(axis=1)
    return np.where(there.any(axis=1), sums / np.maximum(there.sum(axis=1), 1), -1.0)


def _step(
    name: str, outcomes: RankedOutcomes, resamplings: Resamplings, gains: dict[str, Any]
) -> dict[str, Any]:
    label = "cosine" if name == EMBEDDING_ONLY else "dual ranker"
    figures = {key: figure.as_dict() for key, figure in resamplings.figures(outcomes).items()}
    return {"name": name, "label": label, "metrics": figures, "gain": gains.get(name, {})}


def _of_model(
    model: DualModel, scored: ScoredSet, rows: LabelledRows, resamplings: Resamplings
) -> dict[str, Any]:
    """Return what is told of the model alone: its doubt and its failures."""
    scores = model.score_inputs(rows.inputs, rows.offsets)
    outcomes = outcomes_of(scored, scores.score, rows.label, scores.conflict_probability)
    found = failures_of(scored, rows, model, scores)
    return {
        "uncertainty": uncertainty_figures(
            resamplings.queries, scores.doubt, scores.error_probability, outcomes.error
        ),
        "failure_causes": causes(found),
        "failures": [failure.as_dict() for failure in found],
    }


def _model_of(data: DualData, config: DualConfig, last: AblatedStep) -> DualModel:
    system = last.system
    return DualModel(
        schema=data.schema,
        label=data.label,
        onnx=system.trained.onnx,
        network=system.network,
        conflict_calibrator=system.conflict_calibrator,
        error_calibrator=system.error_calibrator,
        config=config,
    )


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
            kind.value: sum(each.kind is kind for each in data.schema.inputs) for kind in Kind
        },
    }
