"""The demo: index, training, evaluation and scoring in one workspace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from index.gpu_index import build_index
from index.registry import load_registry
from index.shipped import shipped
from jobs.evaluating import EvaluationPlan, evaluate_workspace
from jobs.lifecycle.parts import keeping_part
from jobs.listing_files import open_listings
from jobs.reports import baselines_text
from jobs.scoring import ScoreSummary, score_file
from jobs.serving import open_resolver
from jobs.tables import cut, memory, table
from jobs.training import train_workspace_model
from jobs.workspace import Workspace, default_embedder
from rerank.training_sets import TrainingParameters

_ROWS_SHOWN = 12
_HEADLINES = (
    ("precision@1", "precision_at_1"),
    ("recall@10", "recall_at_10"),
    ("MRR", "mrr"),
    ("precision of the accepted", "precision_of_accepted"),
    ("share accepted", "accepted_share"),
    ("false matches of no-match listings", "nil_false_match_rate"),
    ("ECE", "ece"),
)


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo made."""

    report: dict[str, Any]
    summary: ScoreSummary
    scored: Path
    model: Path


def run_demo(
    workspace: Workspace,
    parameters: TrainingParameters | None = None,
    *,
    bootstrap: int = 2000,
    progress: Callable[[str, float], None] = lambda stage, share: None,
) -> DemoResult:
    """Build the index, train, evaluate and score the shipped listings.

    With default parameters it makes again what ships.

    :param bootstrap: generated listings in the evaluation.
    """
    progress("building the index", 0.0)
    records = load_registry(shipped("registry"))
    with keeping_part(workspace, "index"):
        build_index(records, default_embedder(workspace), workspace.index_folder)
    trained = train_workspace_model(
        workspace, parameters or TrainingParameters(), serve=True, progress=progress
    )
    report = evaluate_workspace(workspace, EvaluationPlan(bootstrap=bootstrap), progress=progress)
    progress("scoring the shipped listings", 0.0)
    scored = workspace.home / "demo_resolved.parquet"
    listings = open_listings(shipped("demo_listings.parquet"))
    summary = score_file(listings, scored, open_resolver(workspace.home))
    return DemoResult(report, summary, scored, trained.folder)


def demo_text(workspace: Workspace, result: DemoResult) -> str:
    """Return a dozen resolved rows, the figures and where the files lie."""
    sets = result.report["sets"]
    parts = [
        "Some of the shipped listings, resolved:",
        _rows_text(pq.read_table(result.scored).to_pylist()),
        "Measured on the shipped hard set and on models that training never saw:",
        _headlines_text(sets),
    ]
    for name, content in sets.items():
        parts.append(f"Against baselines, {name}:\n{baselines_text(content)}")
    files = {
        "resolved listings": result.scored,
        "index": workspace.index_folder,
        "model": result.model,
        "report": workspace.report_page,
    }
    parts.append("\n".join(f"{name:18} {path}" for name, path in files.items()))
    return "\n\n".join(parts)


def _rows_text(rows: Sequence[dict[str, Any]]) -> str:
    step = max(1, len(rows) // _ROWS_SHOWN)
    cells = []
    for row in rows[::step][:_ROWS_SHOWN]:
        said = row["decision"].replace("_", " ")
        name = "" if row["decision"] == "no_match" else f"{row['model']} {memory(row['memory_gb'])}"
        why = row["reason"] if row["decision"] == "no_match" else ""
        probability = f"{row['match_probability']:.2f}"
        cells.append([cut(row["title"] or "(none)", 32), said, probability, cut(name or why, 28)])
    return table(("title", "decision", "p", "GPU, or why none"), cells, left=(0, 1, 3))


def _headlines_text(sets: dict[str, Any]) -> str:
    rows = []
    for label, key in _HEADLINES:
        figures = [content["metrics"][key]["value"] for content in sets.values()]
        rows.append([label, *("-" if value is None else f"{value:.3f}" for value in figures)])
    return table(("", *sets), rows, left=(0,))
