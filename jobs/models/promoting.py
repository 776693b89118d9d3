"""Judge a version by its gates before it serves, and say what each gate saw."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np

from rerank.domain import domain_in, domain_named
from rerank.evaluation.baselines import Resolves, fastest_ms
from rerank.evaluation.intervals import Comparison, Figure, estimate
from rerank.evaluation.metrics import metric_named
from rerank.evaluation.paired import CANDIDATE, SET_SLICE, GoldFacts, PairedTable, pair, plain
from rerank.index.artifacts import Manifest
from rerank.index.errors import ArtifactError, InputError
from rerank.index.records import Doubles, Listing, Progress
from rerank.jobs.evaluating import GoldSets, read_gold_files
from rerank.jobs.tables import WIDTH, cut, table
from rerank.lifecycle.gates import (
    ANNOTATED,
    CHAMPION_GATE,
    DEFAULT_FLOORS,
    FITS,
    GENERATED,
    HARD_SET,
    MADE_UP,
    PARITY,
    Gate,
    GateVerdict,
    LatencySettings,
    PromotionSettings,
    SliceGain,
    floor_gates,
    gain_gates,
    gains_of,
    latency_gates,
    read_promotion_settings,
    size_gate,
    slice_gains_of,
    slice_gates,
)
from rerank.lifecycle.opening import (
    CHECKED_OF_A_CROSS_ENCODER,
    ReferenceAnswers,
    ask_reference,
    version_over,
)
from rerank.lifecycle.versions import (
    VersionCard,
    VersionRef,
)
from rerank.ranking import CandidateSource
from rerank.resolver import Resolver
from rerank.store.database import Store
from rerank.workspace import Workspace, domain_of_index, open_source

_KEPT_SLICES = 10  # of those judged, in the history: the worst
_KEPT_METRICS = tuple(dict.fromkeys(chain.from_iterable(DEFAULT_FLOORS.values())))


def judge(
    workspace: Workspace,
    candidate: VersionRef,
    champion: VersionRef,
    settings: PromotionSettings,
    *,
    gold: Sequence[Path] = (),
    progress: Progress = lambda stage, share: None,
) -> GateVerdict:
    """Judge a decision model beside the champion, on the index that serves.

    A candidate that cannot be opened fails by that alone. A champion that cannot be opened is no
    bar: then there is nothing to compare with, which one gate says.

    :param gold: gold files to judge on, besides those of the settings.
    :raises InputError: if gold files are faulty, or there is nothing to judge on.
    :raises ArtifactError: if the index cannot be loaded.
    """
    progress("loading", 0.0)
    source, index = open_source(workspace)
    opened = _opened(workspace, candidate, source, index, ask=False)
    if isinstance(opened, ArtifactError):
        return GateVerdict((Gate(FITS, False, words=str(opened)),))
    fits = Gate(FITS, True, words="files whole; embedder, features and card agree with it")
    other = _opened(workspace, champion, source, index, ask=True)
    folder = workspace.version_folder(candidate)
    gates = [fits, _parity_gate(opened, folder, settings)]
    if isinstance(other, ArtifactError):
        gates.append(Gate(CHAMPION_GATE, True, words=f"none, it cannot serve here: {other}"))
    beside = None if isinstance(other, ArtifactError) else other
    resolvers = [each for each in (opened, beside) if each is not None]
    paths = [*map(Path, settings.sets.gold), *gold] or workspace.gold_files
    sets, unmeasured = _sets(settings, paths, resolvers, index, Store(workspace.store_path))
    facts = domain_named(domain_in(index.parameters)).facts(source)
    verdict = judge_on(opened, beside, sets, settings, facts, progress=progress)
    files = (path for path in folder.rglob("*") if path.is_file())
    size = size_gate(sum(path.stat().st_size for path in files) / 1e6, settings.size_mb)
    return replace(verdict, gates=(*gates, *unmeasured, *verdict.gates, size))


def judge_on(
    candidate: Resolver,
    champion: Resolver | None,
    sets: GoldSets,
    settings: PromotionSettings,
    facts: GoldFacts,
    *,
    progress: Progress = lambda stage, share: None,
) -> GateVerdict:
    """Measure and judge a model on sets of gold listings, beside the champion if there is one.

    :param facts: what the listings are sliced by.
    :raises InputError: if no set has a listing that is judged.
    """
    table = pair(
        candidate,
        champion,
        sets,
        facts,
        seed=settings.seed,
        samples=settings.samples,
        progress=progress,
    )
    progress("gates", 0.0)
    in_set = table.sliced(SET_SLICE)
    gates = [
        gate
        for name, floors in settings.floors.items()
        if name in in_set
        for gate in floor_gates(
            name, table.figures(CANDIDATE, map(metric_named, floors), where=in_set[name]), floors
        )
    ]
    gains, slices = gains_of(table, settings.gain), slice_gains_of(table, settings.slices)
    if champion is not None:
        gates += [*gain_gates(gains, settings.gain), *slice_gates(slices, settings.slices)]
    progress("latency", 0.0)
    listings: list[Listing] = [item.listing for item in chain.from_iterable(sets.values())]
    took = latency_figures(
        candidate,
        champion,
        listings,
        settings.latency,
        seed=settings.seed,
        samples=settings.samples,
    )
    gates += latency_gates(took, settings.latency)
    return GateVerdict(tuple(gates), _kept_figures(table, gains, slices, took))


def _kept_figures(
    table: PairedTable,
    gains: Sequence[Comparison],
    slices: Sequence[SliceGain],
    took: dict[str, Figure],
) -> dict[str, Any]:
    """Return what the history keeps: each system's figures on each set, gains and times."""
    in_set = table.sliced(SET_SLICE)
    return {
        "sets": {
            name: {
                system: plain(
                    table.figures(system, map(metric_named, _KEPT_METRICS), where=in_set[name])
                )
                for system in table.systems
            }
            for name in dict.fromkeys(table.slices[SET_SLICE].tolist())
        },
        "gains": [each.as_dict() for each in gains],
        "slices": {
            "judged": len(slices),
            "worst": [
                {"slice": each.slice_name, "value": each.value, **each.gain.as_dict()}
                for each in sorted(slices, key=lambda each: each.gain.difference or 0.0)
            ][:_KEPT_SLICES],
        },
        "latency": plain(took),
    }


def _opened(
    workspace: Workspace, ref: VersionRef, source: CandidateSource, index: Manifest, *, ask: bool
) -> Resolver | ArtifactError:
    try:
        return version_over(workspace, ref, source, index, ask=ask)
    except ArtifactError as exc:
        return exc


def _parity_gate(candidate: Resolver, folder: Path, settings: PromotionSettings) -> Gate:
    card = VersionCard.read(folder)
    if card is None or card.reference is None:
        return Gate(PARITY, not settings.parity, words="none were kept when the model was made")
    limit = CHECKED_OF_A_CROSS_ENCODER if card.kind == "cross-encoder" else None
    try:
        reference = ReferenceAnswers.from_dict(card.reference)
        asked, differing, words = ask_reference(candidate, reference, limit=limit)
    except ArtifactError as exc:
        return Gate(PARITY, False, words=str(exc))
    figure = Figure(float(differing), None, asked) if asked else None
    return Gate(PARITY, not differing, figure, 0.0 if figure else None, True, words)


def _sets(
    settings: PromotionSettings,
    gold: Sequence[Path],
    resolvers: Sequence[Resolver],
    index: Manifest,
    store: Store,
) -> tuple[GoldSets, list[Gate]]:
    """Return what is measured on, and a gate that says so for each set that cannot be made."""
    chosen, source = settings.sets, resolvers[0].source
    domain = domain_named(resolvers[0].domain)
    sets = read_gold_files(gold, partial(domain.read_gold, source=source, index=index))
    taken = sorted({HARD_SET, GENERATED, ANNOTATED, MADE_UP} & set(sets))
    if taken:
        raise InputError(f"gold files: {taken[0]} is the name of a set of ours; rename the file")
    gates = []
    own = domain.measured_sets(source, index, chosen.generated)
    made = dict(own.by_hand) if chosen.hard_set else {}
    if own.made_up:
        made[own.name] = own.made_up
    if own.why_not:
        gates.append(Gate(own.name, True, words=f"not measured: {own.why_not}"))
    if chosen.annotations:
        models = [resolver.model for resolver in resolvers]
        kept_out = domain.kept_out(domain.settled_gold(store, source), models)
        if kept_out:
            made[ANNOTATED] = kept_out
    return {**made, **sets}, gates


def judged_by_gates(
    workspace: Workspace,
    candidate: VersionRef,
    champion: VersionRef,
    settings: Path | None,
    gold: Sequence[Path],
    progress: Progress,
) -> GateVerdict:
    """Judge by the settings of a file.

    :param settings: None for the workspace's own, without them the defaults.
    :raises ArtifactError: if the candidate is damaged or does not fit the index.
    :raises FaultsError: if the settings are faulty.
    """
    path = settings or workspace.settings_file("promotion")
    kind = domain_of_index(workspace.active_index()).promotion_settings()
    chosen = kind() if path is None else read_promotion_settings(path, kind)
    return judge(workspace, candidate, champion, chosen, gold=gold, progress=progress)


_NAME_WIDTH = 36
_WORDS = "    "


def verdict_text(verdict: GateVerdict) -> str:
    """Return all gates and the outcome, at most 80 columns wide."""
    rows = [
        [
            cut(gate.name, _NAME_WIDTH),
            _figure(gate.figure),
            _bound(gate),
            "pass" if gate.passed else "FAIL",
        ]
        for gate in verdict.gates
    ]
    header, *lines = table(("gate", "figure [95 %]", "bound", ""), rows, left=(0,)).splitlines()
    shown = [header]
    for gate, line in zip(verdict.gates, lines, strict=True):
        shown += [line, *wrap(gate.words, WIDTH, initial_indent=_WORDS, subsequent_indent=_WORDS)]
    failed = len(verdict.failed)
    outcome = f"{failed} of {len(verdict.gates)} gates failed" if failed else "every gate is passed"
    return "\n".join([*shown, "", outcome])


def _figure(figure: Figure | None) -> str:
    if figure is None or figure.value is None:
        return ""
    text = f"{figure.value:.4g}"
    if figure.ci95 is None:
        return text
    return f"{text} [{figure.ci95[0]:.3g}, {figure.ci95[1]:.3g}]"


def _bound(gate: Gate) -> str:
    if gate.bound is None:
        return ""
    return f"{'<=' if gate.at_most else '>='} {gate.bound:g}"


QUANTILES = {"p50": 0.5, "p99": 0.99}


def latency_figures(
    candidate: Resolves,
    champion: Resolves | None,
    listings: Sequence[Listing],
    settings: LatencySettings,
    *,
    seed: int,
    samples: int,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> dict[str, Figure]:
    """Return quantiles in milliseconds and their ratios to the champion's, with intervals.

    Of each listing's runs the fastest counts: what else the machine does can only slow one down.
    Intervals are over listings, drawn together for both models.

    :param listings: those timed are spread evenly over them.
    :param clock: in nanoseconds.
    :returns: ``p50_ms``, ``p99_ms`` and, with a champion, ``p50_ratio``, ``p99_ratio`` and the
        champion's ``champion_p50_ms``, ``champion_p99_ms``; empty if nothing is to be timed.
    """
    if not settings.listings or not listings:
        return {}
    models = [candidate] if champion is None else [candidate, champion]
    took = fastest_ms(models, listings, most=settings.listings, runs=settings.runs, clock=clock)
    found = {}
    for name, share in QUANTILES.items():
        of_one, of_both = partial(_quantile, share=share), partial(_ratio, share=share)
        found[f"{name}_ms"] = estimate(of_one, took[0], seed=seed, samples=samples)
        if champion is not None:
            found[f"champion_{name}_ms"] = estimate(of_one, took[1], seed=seed, samples=samples)
            found[f"{name}_ratio"] = estimate(of_both, *took, seed=seed, samples=samples)
    return found


def _quantile(values: Doubles, *, share: float) -> float:
    return float(np.quantile(values, share))


def _ratio(values: Doubles, others: Doubles, *, share: float) -> float:
    return _quantile(values, share=share) / _quantile(others, share=share)
