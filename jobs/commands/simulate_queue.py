"""`rerank simulate-queue`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from index.artifacts import writing_file
from jobs.options import NumberRange, format_option, home_option, seed_option
from jobs.progress import stage_progress
from jobs.simulating import simulate_queues, simulation_text
from jobs.workspace import Workspace
from rerank.annotation.labelling import DEFAULT_WEIGHT
from rerank.annotation.queue import QueueStrategy
from rerank.annotation.simulation import Halving, SimulationPlan


@click.command("simulate-queue")
@click.option(
    "--gold",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    required=True,
    help="Gold CSV, as `rerank evaluate` reads it; may be repeated.",
)
@click.option(
    "--answers",
    default="25,50,100",
    show_default=True,
    metavar="N,N,...",
    callback=lambda ctx, param, value: _numbers(value),
    help="Numbers of answers after which a model is trained.",
)
@click.option(
    "--repeats",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Ways to halve the listings into those asked about and the rest.",
)
@click.option(
    "--scale",
    type=NumberRange(0.01, 20),
    default=0.1,
    show_default=True,
    help="Generated listings to train on, as a multiple of the default 80,000.",
)
@click.option(
    "--queue",
    "queues",
    default="uncertain,disagreement,random",
    show_default=True,
    metavar="NAME,NAME,...",
    callback=lambda ctx, param, value: _queues(value),
    help="Queues to compare.",
)
@click.option(
    "--split",
    "halving",
    type=click.Choice([h.value for h in Halving]),
    default="model",
    show_default=True,
    help="Keep a model's listings in one half, so that the rest is of "
    "other models, or only those of one title.",
)
@click.option(
    "--annotation-weight",
    type=NumberRange(0, 10_000, min_open=True),
    default=DEFAULT_WEIGHT,
    show_default=True,
    help="How many generated listings an answer counts as.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.json",
    help="Write the report here too, with every single measurement.",
)
@format_option
@seed_option
@home_option
def command(
    gold: tuple[Path, ...],
    answers: tuple[int, ...],
    repeats: int,
    scale: float,
    queues: tuple[QueueStrategy, ...],
    halving: str,
    annotation_weight: float,
    out: Path | None,
    output_format: str,
    seed: int,
    home: Path,
) -> None:
    """Measure what the annotation queue earns over random order.

    Labels of gold files are revealed as the queue asks for them, models are trained with them and
    measured on the rest. Nothing that is trained or asked is kept: neither the workspace nor its
    store changes.

    \b
    Example:
      rerank simulate-queue --gold my_gold.csv
      rerank simulate-queue --gold my_gold.csv --split listing --answers 50 \\
        --out queue.json
    """
    plan = SimulationPlan(
        answers=answers,
        repeats=repeats,
        queues=queues,
        halving=Halving(halving),
        weight=annotation_weight,
        seed=seed,
    )
    with stage_progress() as progress:
        report = simulate_queues(Workspace(home), gold, plan, scale=scale, progress=progress)
    if out is not None:
        with writing_file(out) as path:
            path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    click.echo(json.dumps(report) if output_format == "json" else simulation_text(report))


def _numbers(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    numbers = [int(part) for part in parts if part.isdecimal()]
    if len(numbers) < len(parts) or 0 in numbers or sorted(set(numbers)) != numbers:
        raise click.BadParameter(f"expected rising numbers above 0 such as 25,50, got {text!r}")
    return tuple(numbers)


def _queues(text: str) -> tuple[QueueStrategy, ...]:
    names = {strategy.value: strategy for strategy in QueueStrategy}
    chosen = list(dict.fromkeys(part.strip() for part in text.split(",")))
    unknown = [name for name in chosen if name not in names]
    if unknown:
        raise click.BadParameter(f"expected some of {', '.join(names)}, got {unknown[0]!r}")
    return tuple(names[name] for name in chosen)
