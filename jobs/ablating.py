"""Ablate a workspace's ranker: train it on parts of its features and lay out what each earns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from index.registry import registry_fingerprint
from index.shipped import shipped
from jobs.gold_sets import read_gold_files, shipped_sets
from jobs.serving import resolver_over
from jobs.tables import table
from jobs.training import scaled
from jobs.workspace import Workspace, open_retriever
from rerank.evaluation.intervals import DEFAULT_SAMPLES
from rerank.evaluation.latency import Latency
from rerank.evaluation.recording import Run, record_ablation
from rerank.features import CueReader
from rerank.store import Store

BOOTSTRAP_LISTINGS = 2000
SIGNIFICANT = 0.05
_STORE_PATIENCE_S = 60.0  # after minutes of training a busy store must not cost the figures
_SHOWN = (("MRR", "mrr"), ("nDCG@10", "ndcg_at_10"))


def ablate_workspace(
    workspace: Workspace,
    gold_files: Sequence[Path] = (),
    *,
    scale: float,
    seed: int,
    progress: Callable[[str, float], None] = lambda stage, share: None,
) -> dict[str, Any]:
    """Train and measure every system on the workspace's index; only the figures are kept.

    They go to the store as a run of their own, and are returned.

    :param gold_files: each a set named after its file; without any, the shipped hard set and
        2,000 generated listings, of which those that sell a GPU are ranked.
    :param scale: listings to train on, as a multiple of the default 30,000.
    :param seed: of training and of the intervals.
    :raises InputError: if gold files are faulty, share a name or hold no match.
    """
    from rerank.evaluation.ablation import ablate
    from rerank.training_evidence import Preparer
    from rerank.training_sets import TrainingParameters

    progress("loading", 0.0)
    retriever, manifest = open_retriever(workspace)
    version = resolver_over(workspace, retriever, manifest).model.version
    sets = read_gold_files(gold_files) or shipped_sets(retriever.records, BOOTSTRAP_LISTINGS)
    parameters = scaled(replace(TrainingParameters(), seed=seed), scale)
    preparer = Preparer(retriever, CueReader.load(shipped("cues.yaml")))
    found = ablate(preparer, sets, parameters, progress=progress)
    versions = {"model_version": version, "index_version": manifest.fingerprint}
    run = Run.begin(
        "ablate",
        **versions,
        registry_version=registry_fingerprint(retriever.records),
        seed=seed,
        samples=DEFAULT_SAMPLES,
        machine=found["machine"],
        latency=Latency(None, None, 0),
    )
    with Store(workspace.store_path, wait_s=_STORE_PATIENCE_S).writing() as session:
        record_ablation(session, run, found)
    return {**versions, "run_id": run.run_id, "scale": scale, **found}


def ablation_text(report: Mapping[str, Any]) -> str:
    """Return a table for each set, of at most 80 columns."""
    parts = [_set_text(name, content) for name, content in report["sets"].items()]
    note = (
        "95 %: interval of precision@1. change: of precision@1 against all features;\n"
        "* where its p-value, corrected for the number of systems (Holm), is below .05."
    )
    return "\n\n".join([*parts, note])


def _set_text(name: str, content: Mapping[str, Any]) -> str:
    header = ("", "precision@1", "95 %", *(label for label, _ in _SHOWN), "change")
    rows = [_row(step) for step in content["steps"]]
    return f"{name}: {content['n']} listings that sell a GPU\n\n" + table(header, rows, left=(0,))


def _row(step: Mapping[str, Any]) -> list[str]:
    metrics = step["metrics"]
    first = metrics["precision_at_1"]
    low, high = first["ci95"]
    values = [f"{metrics[key]['value']:.3f}" for _, key in _SHOWN]
    return [
        step["label"],
        f"{first['value']:.3f}",
        f"{low:.3f}-{high:.3f}",
        *values,
        _change(step),
    ]


def _change(step: Mapping[str, Any]) -> str:
    difference = step["difference"].get("precision_at_1")
    if difference is None:
        return ""
    mark = "*" if difference["p_adjusted"] < SIGNIFICANT else " "
    return f"{difference['value']:+.3f}{mark}"
