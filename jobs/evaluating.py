"""Evaluate what a workspace serves: record the run, write the report as JSON and as a page."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from index.artifacts import write_json, writing_file
from index.errors import InputError
from index.registry import registry_fingerprint
from jobs.gold_sets import ANNOTATED, TAUGHT, annotated_sets, read_gold_files, shipped_sets
from jobs.report_html import render_report
from jobs.serving import resolver_over
from jobs.workspace import Workspace, open_retriever
from rerank.conformal import DEFAULT_COVERAGE
from rerank.evaluation.answering import Instruments
from rerank.evaluation.baselines import default_baselines
from rerank.evaluation.candidate_sets import covered
from rerank.evaluation.evaluate import DEFAULT_SEED, evaluate
from rerank.evaluation.failures import failures
from rerank.evaluation.gold import GoldListing
from rerank.evaluation.intervals import DEFAULT_SAMPLES
from rerank.ranker_folder import RankerKind
from rerank.resolver import Decision
from rerank.store import Store

if TYPE_CHECKING:
    from index.retriever import Retriever
    from rerank.resolver import Resolution, Resolver

_ALL_FAILURES = 10_000

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPlan:
    """What to evaluate on, and how.

    :param gold_files: each becomes a set named after the file; without any, the shipped hard set.
    :param annotations: add the store's annotated listings. If the model was trained on
        annotations, those whose side may have taught it are a set of their own,
        ``annotations_taught``, and ``annotations`` are those that training keeps out.
    :param bootstrap: generated listings of models that nothing was trained on, where neither gold
        files nor annotations are given; 0 for none.
    :param coverage: what candidate sets are to hold, in (0, 1).
    """

    gold_files: Sequence[Path] = ()
    annotations: bool = False
    bootstrap: int = 2000
    baselines: bool = True
    coverage: float = DEFAULT_COVERAGE
    seed: int = DEFAULT_SEED
    samples: int = DEFAULT_SAMPLES
    ranker: RankerKind | None = None
    cascade: bool = False


def evaluate_workspace(
    workspace: Workspace,
    plan: EvaluationPlan,
    *,
    wait_s: float = 0.0,
    progress: Progress = lambda stage, share: None,
) -> dict[str, Any]:
    """Evaluate, record the run in the store, write both reports and return the report.

    :param wait_s: how long to wait for another process that writes to the store, in seconds.
    :raises InputError: if gold files are faulty, share a name, or there is nothing to evaluate.
    :raises StoreError: if the store cannot be used.
    """
    progress("loading", 0.0)
    retriever, manifest = open_retriever(workspace)
    resolver = resolver_over(
        workspace, retriever, manifest, ranker=plan.ranker, cascade=plan.cascade
    )
    store = Store(workspace.store_path, wait_s=wait_s)
    report = evaluate(
        resolver,
        _sets(plan, retriever, resolver, store),
        store=store,
        instruments=_instruments(plan, retriever, resolver),
        seed=plan.seed,
        samples=plan.samples,
        progress=progress,
    )
    report["ablation"] = _ablation(workspace, report["model_version"])
    report["rankers"] = _rankers(workspace)
    write_reports(workspace, report)
    return report


def write_reports(workspace: Workspace, report: dict[str, Any]) -> None:
    """Write a report as JSON and as a page that opens offline."""
    write_json(report, workspace.report_path)
    with writing_file(workspace.report_page) as path:
        path.write_text(render_report(report), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class _ResolversSets:
    """A resolver's candidate sets at one coverage."""

    resolver: Resolver
    level: float

    def of(self, answer: Resolution) -> Sequence[str]:
        return self.resolver.candidate_set(answer, coverage=self.level)

    def covers(self, found: Sequence[str], gold: GoldListing) -> bool:
        return covered(found, gold)


def _sets(
    plan: EvaluationPlan, retriever: Retriever, resolver: Resolver, store: Store
) -> dict[str, list[GoldListing]]:
    sets = read_gold_files(plan.gold_files)
    if plan.annotations:
        taken = sorted({ANNOTATED, TAUGHT} & set(sets))
        if taken:
            raise InputError(f"gold files: {taken[0]} is the annotations' own name; rename one")
        annotated = annotated_sets(
            retriever, store, trained_on_annotations="annotations" in resolver.model.parameters
        )
        if not annotated:
            raise InputError(
                f"{store.path}: expected annotated listings, found none; answer some with "
                "`rerank annotate` or import them with `rerank store import`"
            )
        sets |= annotated
    return sets or shipped_sets(retriever.records, plan.bootstrap)


def _instruments(plan: EvaluationPlan, retriever: Retriever, resolver: Resolver) -> Instruments:
    with_sets = resolver.model.candidate_sets
    if with_sets is not None:  # a coverage out of reach is found out before any work
        with_sets.threshold(plan.coverage, Decision.MATCH.value)
    return Instruments(
        records=retriever.records,
        registry_version=registry_fingerprint(retriever.records),
        baselines=default_baselines(retriever.records) if plan.baselines else (),
        retriever=retriever,
        explain=partial(failures, resolver, limit=_ALL_FAILURES),
        candidate_sets=_ResolversSets(resolver, plan.coverage) if with_sets is not None else None,
    )


def _ablation(workspace: Workspace, model_version: str) -> dict[str, Any] | None:
    """Return the last ablation, if it was made with the model that was evaluated."""
    path = workspace.ablation_path
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found if found.get("model_version") == model_version else None


def _rankers(workspace: Workspace) -> dict[str, Any] | None:
    """Return the last comparison of rankers, whose versions it names; None without one."""
    path = workspace.rankers_path
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
