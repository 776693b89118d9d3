"""Simulate annotation queues on gold listings: what their answers earn, as figures and text."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from index.errors import InputError
from index.shipped import shipped
from jobs.annotation.asking import queue_items
from jobs.tables import WIDTH, table
from jobs.training import scaled
from jobs.workspace import Workspace, open_retriever
from rerank.annotation.simulation_figures import MEASURES
from rerank.evaluation.gold import GoldListing, read_gold

if TYPE_CHECKING:
    from rerank.annotation.simulation import SimulationPlan

Progress = Callable[[str, float], None]

# Not `accepted_at_99`: with hindsight, it hangs on the two or three worst errors of a rest.
_SHOWN = (
    "precision_at_1",
    "brier",
    "log_loss",
    "accepted_share",
    "precision_of_accepted",
    "nil_false_match_rate",
)


def simulate_queues(
    workspace: Workspace,
    gold_files: Sequence[Path],
    plan: SimulationPlan,
    *,
    scale: float,
    progress: Progress = lambda stage, share: None,
) -> dict[str, Any]:
    """Return a report of plain values; nothing that is trained is kept.

    :param gold_files: each is a shop.
    :param scale: generated listings to train on, as a multiple of the default.
    :raises InputError: if files share a name or one is no gold file.
    """
    from rerank.annotation.laboratory import Laboratory
    from rerank.annotation.simulation import Simulation
    from rerank.annotation.simulation_figures import figures
    from rerank.features import CueReader
    from rerank.training_sets import TrainingParameters

    gold, shops = _read_all(gold_files)
    retriever, index = open_retriever(workspace)
    parameters = scaled(replace(TrainingParameters(), seed=plan.seed), scale)
    progress("generated listings", 0.0)
    laboratory = Laboratory(
        retriever,
        CueReader.load(shipped("cues.yaml")),
        parameters,
        progress=lambda share: progress("generated listings", share),
    )
    simulation = Simulation(laboratory, gold, shops, make_items=queue_items)
    runs = simulation.run(plan, progress=lambda share: progress("asking and training", share))
    return {
        "sets": {path.stem: shops.count(path.stem) for path in gold_files},
        "index_version": index.fingerprint,
        "scale": scale,
        "plan": {
            **asdict(plan),
            "queues": [queue.value for queue in plan.queues],
            "halving": plan.halving.value,
            "answers": list(plan.answers),
        },
        **figures(runs, seed=plan.seed),
        "runs": [{**asdict(run), "queue": run.queue.value if run.queue else None} for run in runs],
    }


def simulation_text(report: dict[str, Any]) -> str:
    """Return the lifts of the main measures and what each queue adds to the random one."""
    plan = report["plan"]
    names = ", ".join(f"{name} ({count})" for name, count in report["sets"].items())
    heading = (
        f"Simulated answers about half of {names}, measured on the other half; halves by "
        f"{plan['halving']}, {plan['repeats']} repeats, weight {plan['weight']:g}, scale "
        f"{report['scale']:g}. Lift: over the same model without answers. Means with 95 % "
        "intervals over repeats; + better than random order, - worse, as far as repeats can tell."
    )
    parts = [textwrap.fill(heading, WIDTH)]
    for measure in MEASURES:
        if measure.name in _SHOWN:
            parts.append(_measure_text(report, measure.name, measure.label, measure.higher))
    return "\n\n".join(parts)


def _measure_text(report: dict[str, Any], name: str, label: str, higher: bool) -> str:
    rows = []
    for arm in report["arms"]:
        over = arm["over_random"].get(name)
        rows.append(
            [
                arm["queue"],
                str(arm["answers"]),
                _number(arm["mean"][name]),
                _with_interval(arm["lift"][name]),
                _with_interval(over) if over else "",
                _mark(over, higher) if over else "",
            ]
        )
    heading = f"{label} ({'higher' if higher else 'lower'} is better), without answers "
    heading += _number(report["base"][name])
    header = ("queue", "asked", "mean", "lift", "over random", "")
    return f"{heading}\n{table(header, rows, left=(0,))}"


def _number(value: float | None, *, signed: bool = False) -> str:
    """Return a number of at most 1 without its leading zero."""
    if value is None:
        return "-"
    text = f"{value:+.4f}" if signed else f"{value:.4f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def _with_interval(figure: dict[str, Any]) -> str:
    value, (low, high) = figure["value"], figure["ci95"]
    if value is None:
        return "-"
    ends = ", ".join(_number(end, signed=True) for end in (low, high))
    return f"{_number(value, signed=True)} ({ends})"


def _mark(over: dict[str, Any], higher: bool) -> str:
    low, high = over["ci95"]
    if low is None or low <= 0 <= high:
        return ""
    return "+" if (low > 0) == higher else "-"


def _read_all(paths: Sequence[Path]) -> tuple[list[GoldListing], list[str]]:
    """Return all gold listings and the name of each one's file, which keeps their ids apart."""
    names = [path.stem for path in paths]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"expected gold files of different names, got {', '.join(twice)} twice")
    gold: list[GoldListing] = []
    shops: list[str] = []
    for path in paths:
        for item in read_gold(path):
            gold.append(replace(item, listing_id=f"{path.stem}/{item.listing_id}"))
            shops.append(path.stem)
    return gold, shops
