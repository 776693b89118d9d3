"""Evaluate what a workspace serves and write its report."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from index.artifacts import writing_file
from index.errors import InputError
from index.shipped import shipped
from jobs.workspace import Workspace, open_retriever, resolver_over
from rerank.evaluation.baselines import default_baselines
from rerank.evaluation.evaluate import evaluate
from rerank.evaluation.gold import GoldListing, bootstrap_gold, read_gold

BOOTSTRAP_SEED = 20  # of no training split

Progress = Callable[[str, float], None]


def evaluate_workspace(
    workspace: Workspace,
    gold_files: Sequence[Path] = (),
    *,
    bootstrap: int = 2000,
    baselines: bool = True,
    progress: Progress = lambda stage, share: None,
) -> dict[str, Any]:
    """Measure on gold files, or on the shipped hard set and generated listings of unseen models.

    Writes the report to the workspace and returns it.

    :param gold_files: each becomes a set named after the file.
    :param bootstrap: generated listings of models that nothing was trained on; 0 for none.
    """
    progress("loading", 0.0)
    retriever, manifest = open_retriever(workspace)
    sets = {path.stem: read_gold(path) for path in gold_files or [shipped("hard_set.csv")]}
    if len(sets) < len(gold_files):
        names = ", ".join(path.name for path in gold_files)
        raise InputError(f"gold files: expected different names, found {names}; rename one")
    if bootstrap and not gold_files:
        sets["bootstrap_test"] = _unseen(retriever.records, bootstrap)
    report = evaluate(
        resolver_over(workspace, retriever, manifest), sets, retriever=retriever,
        baselines=default_baselines(retriever.records) if baselines else (), progress=progress,
    )  # fmt: skip
    with writing_file(workspace.report_path) as path:
        path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


def _unseen(records: Sequence[Any], n: int) -> list[GoldListing]:
    return bootstrap_gold(records, n, BOOTSTRAP_SEED)
