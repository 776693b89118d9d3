"""Judge whether a version may serve: measure it beside the champion, and hold it against gates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from index.errors import ArtifactError, InputError
from index.records import Listing
from jobs.gold_sets import ANNOTATED, GoldSets, annotated_sets, read_gold_files, shipped_sets
from jobs.lifecycle.opening import version_over
from jobs.lifecycle.timing import latency_figures
from jobs.workspace import Workspace, open_retriever
from rerank.evaluation.catalogue import Metric, metric_named
from rerank.evaluation.intervals import Figure
from rerank.evaluation.measure import figures_of
from rerank.lifecycle.gains import SliceGain, gains_of, slice_gains_of
from rerank.lifecycle.gates import (
    Gate,
    Verdict,
    floor_gates,
    gain_gates,
    latency_gates,
    size_gate,
    slice_gates,
)
from rerank.lifecycle.pairing import Pairing, pair
from rerank.lifecycle.parity import Reference, check_reference
from rerank.lifecycle.promotion_settings import (
    DEFAULT_FLOORS,
    GENERATED,
    HARD_SET,
    PromotionSettings,
)
from rerank.lifecycle.versions import Card, VersionRef
from rerank.store import Store

if TYPE_CHECKING:
    from index.artifacts import Manifest
    from index.retriever import Retriever
    from rerank.resolver import Resolver

FITS, PARITY, CHAMPION = "fits the index", "reference answers", "champion to compare with"

Progress = Callable[[str, float], None]

_CHECKED_OF_A_CROSS_ENCODER = 2
_KEPT_SLICES = 10  # of those judged, in the history: the worst
_KEPT_METRICS = tuple(dict.fromkeys(chain.from_iterable(DEFAULT_FLOORS.values())))


@dataclass(frozen=True, slots=True)
class Contender:
    """A model that may serve, opened on the index that serves."""

    folder: Path
    kind: str
    resolver: Resolver


def judge(
    workspace: Workspace,
    candidate: VersionRef,
    champion: VersionRef,
    settings: PromotionSettings,
    *,
    gold: Sequence[Path] = (),
    progress: Progress = lambda stage, share: None,
) -> Verdict:
    """Judge a decision model beside the champion, on the index that serves.

    A candidate that cannot be opened fails by that alone. A champion that cannot be opened is no
    bar: then there is nothing to compare with, which one gate says.

    :param gold: gold files to judge on, besides those of the settings.
    :raises InputError: if gold files are faulty, or there is nothing to judge on.
    :raises ArtifactError: if the index cannot be loaded.
    """
    progress("loading", 0.0)
    retriever, index = open_retriever(workspace)
    opened = _opened(workspace, candidate, retriever, index)
    if isinstance(opened, ArtifactError):
        return Verdict((Gate(FITS, False, words=str(opened)),))
    fits = Gate(FITS, True, words="files whole; embedder, features and card agree with it")
    other = _opened(workspace, champion, retriever, index)
    gates = [fits, _parity_gate(opened, settings)]
    if isinstance(other, ArtifactError):
        gates.append(Gate(CHAMPION, True, words=f"none, it cannot serve here: {other}"))
    beside = None if isinstance(other, ArtifactError) else other
    resolvers = [each.resolver for each in (opened, beside) if each is not None]
    sets, unmeasured = _sets(settings, gold, resolvers, retriever, Store(workspace.store_path))
    verdict = judge_on(opened, beside, sets, settings, retriever, progress=progress)
    return replace(verdict, gates=(*gates, *unmeasured, *verdict.gates))


def judge_on(
    candidate: Contender,
    champion: Contender | None,
    sets: GoldSets,
    settings: PromotionSettings,
    retriever: Retriever,
    *,
    progress: Progress = lambda stage, share: None,
) -> Verdict:
    """Measure and judge a model on sets of gold listings, beside the champion if there is one.

    :param retriever: what both resolvers retrieve with.
    :raises InputError: if no set has a listing that is judged.
    """
    other = champion.resolver if champion is not None else None
    pairing = pair(
        candidate.resolver,
        other,
        sets,
        retriever.records,
        seed=settings.seed,
        samples=settings.samples,
        progress=progress,
    )
    progress("gates", 0.0)
    gates = [
        gate
        for name, floors in settings.floors.items()
        if (pairing.sets == name).any()
        for gate in floor_gates(name, pairing.figures(name, _metrics(floors)), floors)
    ]
    gains, slices = gains_of(pairing, settings.gain), slice_gains_of(pairing, settings.slices)
    if champion is not None:
        gates += [*gain_gates(gains, settings.gain), *slice_gates(slices, settings.slices)]
    progress("latency", 0.0)
    listings: list[Listing] = [item.listing for item in chain.from_iterable(sets.values())]
    took = latency_figures(
        candidate.resolver,
        other,
        listings,
        settings.latency,
        seed=settings.seed,
        samples=settings.samples,
    )
    gates += [*latency_gates(took, settings.latency), _size(candidate.folder, settings.size_mb)]
    metrics = {
        "sets": _set_metrics(pairing),
        "gains": [each.as_dict() for each in gains],
        "slices": {"judged": len(slices), "worst": _worst(slices)},
        "latency": {name: figure.as_dict() for name, figure in took.items()},
    }
    return Verdict(tuple(gates), metrics)


def _opened(
    workspace: Workspace, ref: VersionRef, retriever: Retriever, index: Manifest
) -> Contender | ArtifactError:
    try:
        resolver = version_over(workspace, ref, retriever, index)
    except ArtifactError as exc:
        return exc
    return Contender(workspace.version_folder(ref), ref.kind, resolver)


def _parity_gate(candidate: Contender, settings: PromotionSettings) -> Gate:
    card = Card.read(candidate.folder)
    if card is None or card.reference is None:
        words = "none were kept when the model was made"
        return Gate(PARITY, not settings.parity, words=words)
    limit = _CHECKED_OF_A_CROSS_ENCODER if candidate.kind == "cross-encoder" else None
    try:
        words = check_reference(
            candidate.resolver, Reference.from_dict(card.reference), limit=limit
        )
    except ArtifactError as exc:
        return Gate(PARITY, False, words=str(exc))
    return Gate(PARITY, True, words=words)


def _sets(
    settings: PromotionSettings,
    gold: Sequence[Path],
    resolvers: Sequence[Resolver],
    retriever: Retriever,
    store: Store,
) -> tuple[GoldSets, list[Gate]]:
    """Return what is measured on, and a gate that says so for each set that cannot be made."""
    chosen = settings.sets
    sets = read_gold_files([*map(Path, chosen.gold), *gold])
    taken = sorted({HARD_SET, GENERATED, ANNOTATED} & set(sets))
    if taken:
        raise InputError(f"gold files: {taken[0]} is the name of a set of ours; rename the file")
    gates = []
    try:
        made = shipped_sets(retriever.records, chosen.generated)
    except InputError as exc:  # a registry so small that no model is kept out of training
        made = shipped_sets(retriever.records, 0)
        gates.append(Gate(GENERATED, True, words=f"not measured: {exc}"))
    if not chosen.hard_set:
        del made[HARD_SET]
    if chosen.annotations:
        taught = any("annotations" in resolver.model.parameters for resolver in resolvers)
        kept_out = annotated_sets(retriever, store, trained_on_annotations=taught).get(ANNOTATED)
        if kept_out:
            made[ANNOTATED] = kept_out
    return {**made, **sets}, gates


def _size(folder: Path, most: float) -> Gate:
    found = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return size_gate(found / 1e6, most)


def _set_metrics(pairing: Pairing) -> dict[str, Any]:
    found = {}
    for name in dict.fromkeys(pairing.sets.tolist()):
        found[name] = {"candidate": _as_dict(pairing.figures(name, _metrics(_KEPT_METRICS)))}
        if pairing.champion is not None:
            theirs = figures_of(
                pairing.champion,
                pairing.resampling,
                _metrics(_KEPT_METRICS),
                where=pairing.sets == name,
            )
            found[name]["champion"] = _as_dict(theirs)
    return found


def _metrics(names: Iterable[str]) -> list[Metric]:
    return [metric_named(name) for name in names]


def _as_dict(figures: dict[str, Figure]) -> dict[str, Any]:
    return {name: figure.as_dict() for name, figure in figures.items()}


def _worst(slices: Sequence[SliceGain]) -> list[dict[str, Any]]:
    ordered = sorted(slices, key=lambda each: each.gain.difference or 0.0)
    return [
        {"slice": each.slice_name, "value": each.value, **each.gain.as_dict()}
        for each in ordered[:_KEPT_SLICES]
    ]
