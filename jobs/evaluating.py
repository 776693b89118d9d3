"""Evaluate, ablate and compare what a workspace serves: gold in, reports out as JSON and page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from rerank.calibration import DEFAULT_COVERAGE
from rerank.cross_encoder.ranker import (
    CROSS_ENCODER_FORMAT,
    CROSS_ENCODER_KIND,
    CROSS_ENCODER_REMEDY,
    LAYOUT,
)
from rerank.domain import GPU, TrainingRequest, card_tools, domain_named
from rerank.evaluation.baselines import rate_of, this_machine
from rerank.evaluation.evaluate import Instruments, evaluate
from rerank.evaluation.gold import GoldListing, read_gold, shipped_sets
from rerank.evaluation.intervals import DEFAULT_SAMPLES, DEFAULT_SEED, Resampling
from rerank.evaluation.outcomes import is_judged
from rerank.evaluation.paired import Competitor, drawn, within
from rerank.evaluation.runs import begin_run, record_ablation
from rerank.index.artifacts import Manifest, read_json, read_manifest, write_json, writing_file
from rerank.index.errors import InputError
from rerank.index.records import Floats, Progress
from rerank.jobs.report.page import render_report
from rerank.jobs.tables import ReportFigure, decimal, decimals, table
from rerank.lifecycle.opening import check_fit, resolver_over, with_cascade
from rerank.model import MODEL_FORMAT, MODEL_REMEDY, RerankModel, ranker_in
from rerank.rankers.dual import DUAL_FORMAT, DUAL_KIND, DUAL_REMEDY, FILES
from rerank.rankers.kinds import RankerFolder, RankerKind, ranker_kinds
from rerank.rankers.pairwise import PairwiseLayout, heuristic_candidate_scores, read_ranker
from rerank.ranking import RankingBatch, RoutedRetriever
from rerank.resolution import Decision
from rerank.resolver import Resolver, resolver_of
from rerank.store.database import Store
from rerank.workspace import Workspace, open_retriever, open_source

BOOTSTRAP_LISTINGS = 2000


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
    bootstrap: int = BOOTSTRAP_LISTINGS
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
    source, manifest = open_source(workspace)
    resolver = resolver_over(workspace, source, manifest, ranker=plan.ranker, cascade=plan.cascade)
    store = Store(workspace.store_path, wait_s=wait_s)
    report = evaluate(
        resolver,
        _sets(plan, workspace, manifest, resolver, store),
        store=store,
        instruments=_instruments(plan, manifest, resolver),
        seed=plan.seed,
        samples=plan.samples,
        progress=progress,
    )
    if "one" in manifest.parameters:
        report["one"] = manifest.parameters["one"]
    ablation = _last(workspace.ablation_path) or {}
    of_this_model = ablation.get("model_version") == report["model_version"]
    report["ablation"] = ablation if of_this_model else None
    report["rankers"] = _last(workspace.rankers_path)
    write_reports(workspace, report)
    return report


def write_reports(workspace: Workspace, report: dict[str, Any]) -> None:
    """Write a report as JSON and as a page that opens offline."""
    write_json(report, workspace.report_path)
    with writing_file(workspace.report_page) as path:
        path.write_text(render_report(report), encoding="utf-8")


def _sets(
    plan: EvaluationPlan, workspace: Workspace, index: Manifest, resolver: Resolver, store: Store
) -> GoldSets:
    source, domain = resolver.source, domain_named(resolver.domain)
    files = plan.gold_files or (() if plan.annotations else workspace.gold_files)
    sets = read_gold_files(files, partial(domain.read_gold, source=source, index=index))
    if plan.annotations:
        taken = sorted({ANNOTATED, TAUGHT} & set(sets))
        if taken:
            raise InputError(f"gold files: {taken[0]} is the annotations' own name; rename one")
        gold = domain.settled_gold(store, source)
        kept_out = domain.kept_out(gold, [resolver.model])
        kept = {item.listing_id for item in kept_out}
        taught = [item for item in gold if item.listing_id not in kept]
        annotated = {name: own for name, own in ((ANNOTATED, kept_out), (TAUGHT, taught)) if own}
        if not annotated:
            raise InputError(
                f"{store.path}: expected annotated listings, found none; answer some with "
                "`rerank annotate` or import them with `rerank store import`"
            )
        sets |= annotated
    if sets:
        return sets
    made = domain.measured_sets(source, index, plan.bootstrap)
    if made.why_not:
        raise InputError(made.why_not)
    sets = {**made.by_hand, **({made.name: made.made_up} if made.made_up else {})}
    if not sets:
        raise InputError(
            f"{workspace.home / 'gold'}: expected files of listings with what they sell, found "
            "none; name one with --gold, or measure on what people answered with --annotations"
        )
    return sets


def _instruments(plan: EvaluationPlan, index: Manifest, resolver: Resolver) -> Instruments:
    with_sets = resolver.model.candidate_sets
    if with_sets is not None:  # a coverage out of reach is found out before any work
        with_sets.threshold(plan.coverage, Decision.MATCH.value)
    own: Instruments = domain_named(resolver.domain).instruments(
        resolver, index, baselines=plan.baselines
    )
    return replace(
        own,
        coverage=plan.coverage,
        candidate_set=partial(resolver.candidate_set, coverage=plan.coverage)
        if with_sets is not None
        else None,
    )


def _last(path: Path) -> dict[str, Any] | None:
    """Return the last report of another command; None without one."""
    found: dict[str, Any] | None = read_json(path) if path.exists() else None
    return found


SIGNIFICANT = 0.05
_STORE_PATIENCE_S = 60.0  # after minutes of training a busy store must not cost the figures
_SHOWN = (("MRR", "mrr"), ("nDCG@10", "ndcg_at_10"))


def ablate_workspace(
    workspace: Workspace,
    gold_files: Sequence[Path] = (),
    *,
    scale: float,
    seed: int,
    progress: Progress = lambda stage, share: None,
) -> dict[str, Any]:
    """Train and measure every system on the workspace's index; only the figures are kept.

    They go to the store as a run of their own, and are returned.

    :param gold_files: each a set named after its file; without any, the shipped hard set and
        2,000 generated listings, of which those that sell a GPU are ranked.
    :param scale: listings to train on, as a multiple of the default 30,000.
    :param seed: of training and of the intervals.
    :raises InputError: if gold files are faulty, share a name or hold no match.
    """
    progress("loading", 0.0)
    retriever, manifest = open_retriever(workspace)
    version = resolver_over(workspace, retriever, manifest).model.version
    sets = read_gold_files(gold_files) or shipped_sets(retriever.records, BOOTSTRAP_LISTINGS)
    request = TrainingRequest(scale=scale, seed=seed)
    found = card_tools().ablate(retriever, sets, request, progress=progress)
    versions = {"model_version": version, "index_version": manifest.fingerprint}
    run = begin_run(
        "ablate",
        **versions,
        registry_version=card_tools().registry_fingerprint(retriever.records),
        seed=seed,
        samples=DEFAULT_SAMPLES,
        machine=found["machine"],
        latency_listings=0,
    )
    with Store(workspace.store_path, wait_s=_STORE_PATIENCE_S).writing() as session:
        record_ablation(session, run, found)
    return {**versions, "run_id": run["run_id"], "scale": scale, **found}


def ablation_text(report: Mapping[str, Any]) -> str:
    """Return a table for each set, of at most 80 columns."""
    header = ("", "precision@1", "95 %", *(label for label, _ in _SHOWN), "change")
    parts = [
        f"{name}: {content['n']} listings that sell a GPU\n\n"
        + table(header, [_row(step) for step in content["steps"]], left=(0,))
        for name, content in report["sets"].items()
    ]
    note = (
        "95 %: interval of precision@1. change: of precision@1 against all features;\n"
        "* where its p-value, corrected for the number of systems (Holm), is below .05."
    )
    return "\n\n".join([*parts, note])


def _row(step: Mapping[str, Any]) -> list[str]:
    first = ReportFigure.read(step["metrics"]["precision_at_1"])
    values = [decimal(step["metrics"][key]["value"]) for _, key in _SHOWN]
    return [step["label"], decimal(first.value), decimals(first), *values, _change(step)]


def _change(step: Mapping[str, Any]) -> str:
    difference = step["difference"].get("precision_at_1")
    if difference is None:
        return ""
    mark = "*" if difference["p_adjusted"] < SIGNIFICANT else " "
    return f"{difference['value']:+.3f}{mark}"


ANNOTATED = "annotations"
TAUGHT = "annotations_taught"

GoldSets = dict[str, list[GoldListing]]


def read_gold_files(
    paths: Sequence[Path], read: Callable[[Path], list[GoldListing]] = read_gold
) -> GoldSets:
    """Read gold files, each a set named after its file.

    :param read: as the domain's gold is written.
    :raises InputError: if two files share a name or one cannot be read.
    :raises FaultsError: if rows are faulty.
    """
    names = [path.stem for path in paths]
    if len(set(names)) < len(names):
        found = ", ".join(path.name for path in paths)
        raise InputError(f"gold files: expected different names, found {found}; rename one")
    return {path.stem: read(path) for path in paths}


BASELINE = "LambdaRank"
_LABELS = {
    RankerKind.LTR: BASELINE,
    RankerKind.PAIRWISE: "pairwise",
    RankerKind.DUAL: "dual",
    RankerKind.CROSS_ENCODER: "cross-encoder",
}
_WORDS = {
    RankerKind.LTR: "boosted trees over features",
    RankerKind.PAIRWISE: "network over features, trained on pairs",
    RankerKind.DUAL: "ensemble over features, two objectives",
    RankerKind.CROSS_ENCODER: "transformer over texts",
}
_HEURISTIC, _COSINE, _CASCADE = "heuristic", "cosine", "cascade"


class HeuristicOrder:
    """Orders by the weighted sum of features that serves where no pairwise ranker is trained."""

    def score(self, batch: RankingBatch) -> Floats:
        return heuristic_candidate_scores(batch.features)


class CosineOrder:
    """Orders by the cosine of the embeddings of listing and GPU."""

    def score(self, batch: RankingBatch) -> Floats:
        return np.asarray(batch.candidates.similarity, np.float32)


def entrants_of(
    workspace: Workspace, index: Manifest, also: Mapping[str, Path]
) -> list[Competitor]:
    """Return the two orderings, all rankers that serve, and the cascade if there is its model.

    :param also: further model folders by name, as `rerank train-decision` writes them.
    :raises InputError: if a name is taken.
    :raises ArtifactError: if a model is missing or damaged.
    :raises MismatchError: if a model belongs to another index.
    """
    own = [
        workspace.model_of(kind)
        for kind in ranker_kinds()
        if kind is RankerKind.LTR or workspace.served_folder(kind).is_dir()
    ]
    named = [*((folder, "") for folder in own), *((also[name], name) for name in also)]
    served = []
    for folder, name in named:
        model = RerankModel.load(folder)
        check_fit(model, folder, index, workspace.active_index())
        served.append(_served(name, model, ranker_costs(folder)))
    orderings = [
        Competitor(_HEURISTIC, HeuristicOrder(), "weighted sum of features, untrained"),
        Competitor(_COSINE, CosineOrder(), "similarity of embeddings alone"),
    ]
    found = [*orderings, *served, *_cascade(workspace, served[0])]
    names = [each.name for each in found]
    if taken := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"--also: {taken[0]!r} is the name of a ranker already; choose another")
    return found


def _served(name: str, model: RerankModel, costs: RankerCosts) -> Competitor:
    """Return a ranker that serves, by what it is if it has no name."""
    name = name or f"{_LABELS.get(costs.kind, costs.kind)} {costs.variant}".rstrip()
    words = _WORDS.get(costs.kind, "of an installed package")
    words += f", {costs.variant}" if costs.variant else ""
    return Competitor(
        name,
        model.ranker,
        words,
        model,
        size_bytes=costs.size_bytes,
        training_seconds=costs.training_seconds,
    )


def _cascade(workspace: Workspace, first: Competitor) -> Iterator[Competitor]:
    folder = workspace.cross_encoder_folder
    if not folder.is_dir() or first.model is None:
        return
    model = with_cascade(first.model, folder)
    second = trained_costs(workspace.trained_ranker(RankerKind.CROSS_ENCODER))
    yield Competitor(
        _CASCADE,
        model.ranker,
        f"{BASELINE}, then cross-encoder, {second.variant}",
        model,
        size_bytes=second.size_bytes + (first.size_bytes or 0),
        training_seconds=both(first.training_seconds, second.training_seconds),
    )


RANKERS_REPORT_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RankerComparisonPlan:
    """What to measure rankers on, and how.

    :param gold_files: each a set named after its file, beside the shipped ones.
    :param bootstrap: generated listings of models that nothing was trained on; 0 for none.
    :param limit: listings of each set, drawn by the seed, the same for all rankers; None for all.
    :param also: further model folders by name.
    """

    gold_files: Sequence[Path] = ()
    bootstrap: int = BOOTSTRAP_LISTINGS
    limit: int | None = None
    also: Mapping[str, Path] = field(default_factory=dict)
    seed: int = DEFAULT_SEED
    samples: int = DEFAULT_SAMPLES


def compare_rankers(
    workspace: Workspace,
    plan: RankerComparisonPlan,
    *,
    progress: Progress = lambda stage, share: None,
) -> dict[str, Any]:
    """Measure every ranker that serves, the cascade and two orderings on the same candidates.

    :raises InputError: if gold files are faulty, or names of files or rankers are taken.
    :raises ArtifactError: if a model is missing or damaged.
    :raises MismatchError: if a model belongs to another index.
    """
    progress("loading", 0.0)
    retriever, index = open_retriever(workspace)
    trials = card_tools().ranker_trials(retriever)
    entrants = entrants_of(workspace, index, plan.also)
    whole = _sets_measuring(plan, retriever)
    sets = {name: drawn(gold, plan.limit, seed=plan.seed) for name, gold in whole.items()}
    measured = {
        name: {
            "of": len(whole[name]),
            **trials.compared(
                gold,
                entrants,
                baseline=BASELINE,
                resampling=Resampling.draw(
                    (item.group for item in gold), seed=plan.seed, samples=plan.samples
                ),
                progress=within(progress, name),
            ),
        }
        for name, gold in sets.items()
    }
    pool = list(chain.from_iterable(sets.values()))
    pool = [pool[at] for at in np.random.default_rng(plan.seed).permutation(len(pool)).tolist()]

    return {
        "format_version": RANKERS_REPORT_FORMAT,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "index_version": index.fingerprint,
        "baseline": BASELINE,
        "limit": plan.limit,
        "seed": plan.seed,
        "samples": plan.samples,
        "machine": this_machine(),
        "rankers": [
            {
                "name": each.name,
                "description": each.description,
                "version": None if each.model is None else each.model.version,
                "size_bytes": each.size_bytes,
                "training_seconds": each.training_seconds,
                **_rates(each, trials, retriever, index, pool, progress),
            }
            for each in entrants
        ],
        "sets": measured,
    }


def _rates(
    each: Competitor,
    trials: Any,
    retriever: RoutedRetriever,
    index: Manifest,
    pool: Sequence[GoldListing],
    progress: Progress,
) -> dict[str, Any]:
    """Return how fast it ranks and decides, and resolves; null for what orders only.

    Ranking is measured on candidates whose features are computed already, resolving from title to
    answer.

    :param trials: of `rerank.domain.CardTools.ranker_trials`.
    """
    if each.model is None:
        return {"ranking": None, "resolving": None}
    progress(f"speed: {each.name}", 0.0)
    resolver = resolver_of(GPU, retriever, each.model, index_version=index.fingerprint)
    return {
        "ranking": _rate(partial(trials.ranking, each), pool),
        "resolving": _rate(
            lambda some: partial(resolver.answers, [item.listing for item in some]), pool
        ),
    }


def _sets_measuring(plan: RankerComparisonPlan, retriever: RoutedRetriever) -> GoldSets:
    """Return what is judged of the shipped sets and of those of the plan."""
    own, given = shipped_sets(retriever.records, plan.bootstrap), read_gold_files(plan.gold_files)
    if taken := sorted(set(own) & set(given)):
        raise InputError(f"gold files: {taken[0]} is the name of a shipped set; rename the file")
    judged = {name: list(filter(is_judged, gold)) for name, gold in {**own, **given}.items()}
    if empty := [name for name, gold in judged.items() if not gold]:
        raise InputError(f"{empty[0]}: expected listings of kind match or nil, found none")
    return judged


REPEATS = 3
_TRIED, _MOST = 16, 1024  # listings
_SECONDS = 3.0  # about what one measurement takes

Work = Callable[[], object]


def _rate(
    work_on: Callable[[Sequence[GoldListing]], Work], gold: Sequence[GoldListing]
) -> dict[str, Any]:
    """Measure work on as many listings as take some seconds; 1,024 at most, one batch."""
    few = gold[:_TRIED]
    tried = work_on(few)
    tried()
    wanted = round(len(few) * _SECONDS / max(_seconds(tried), 1e-6))
    many = gold[: max(len(few), min(wanted, _MOST))]
    work = work_on(many)
    took = [_seconds(work) for _ in range(REPEATS)]
    return {"listings": len(many), "rate": rate_of(len(many), took).as_json()}


def _seconds(work: Work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@dataclass(frozen=True, slots=True)
class RankerCosts:
    """Of a ranker and what decides on its scores.

    :param kind: what orders candidates.
    :param variant: a word on how it was trained, such as ``QLoRA``; empty if there is but one way.
    :param size_bytes: of the files that are read to order candidates; what decides is left out,
        since it is alike for all rankers.
    :param training_seconds: of the ranker and of what decides; None if one was not recorded.
    """

    kind: RankerKind
    variant: str
    size_bytes: int
    training_seconds: float | None


def ranker_costs(folder: Path) -> RankerCosts:
    """Return the costs of a model folder, LambdaRank's or what `rerank train-decision` wrote.

    :raises ArtifactError: if it is missing or damaged.
    """
    manifest = read_manifest(
        folder, kind="ranker", format_version=MODEL_FORMAT, remedy=MODEL_REMEDY
    )
    found = ranker_in(folder, manifest)
    if not isinstance(found, RankerFolder):
        return RankerCosts(RankerKind.LTR, "", _size([found]), manifest.seconds)
    own = trained_costs(found)
    return replace(own, training_seconds=both(own.training_seconds, manifest.seconds))


def both(seconds: float | None, others: float | None) -> float | None:
    """Return the sum of two times, None if one is not known."""
    return None if seconds is None or others is None else seconds + others


def trained_costs(ranker: RankerFolder) -> RankerCosts:
    """Return the costs of a ranker as its training wrote it, without what decides.

    :raises ArtifactError: if it is missing or damaged.
    """
    folder, variant, seconds = ranker.folder, "", None
    files = [path for path in folder.rglob("*") if path.is_file()]
    if ranker.kind is RankerKind.PAIRWISE:
        stored = read_ranker(folder)
        layout = PairwiseLayout.of(stored.name)
        files = [folder / layout.scorer, folder / layout.metadata]
        seconds = stored.metadata.get("training_time")
    elif ranker.kind is RankerKind.DUAL:
        files = [folder / name for name in FILES]
        seconds = read_manifest(
            folder, kind=DUAL_KIND, format_version=DUAL_FORMAT, remedy=DUAL_REMEDY
        ).seconds
    elif ranker.kind is RankerKind.CROSS_ENCODER:
        manifest = read_manifest(
            folder,
            kind=CROSS_ENCODER_KIND,
            format_version=CROSS_ENCODER_FORMAT,
            remedy=CROSS_ENCODER_REMEDY,
        )
        files = [folder / LAYOUT.graph, folder / LAYOUT.tokenizer]
        quantised = manifest.parameters["settings"]["quantization"] == "nf4"
        seconds, variant = manifest.seconds, "QLoRA" if quantised else "LoRA"
    return RankerCosts(ranker.kind, variant, _size(files), seconds)


def _size(files: list[Path]) -> int:
    return sum(file.stat().st_size for file in files)
