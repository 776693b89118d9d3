"""`rerank ablate`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from index.artifacts import write_json
from jobs.ablating import ablate_workspace, ablation_text
from jobs.options import NumberRange, format_option, home_option, seed_option
from jobs.progress import stage_progress
from jobs.workspace import Workspace


@click.command("ablate")
@click.option(
    "--gold",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="Gold CSV, may be repeated; default: the shipped hard set and listings "
    "generated for models that nothing was trained on.",
)
@click.option(
    "--scale",
    type=NumberRange(0.01, 20),
    default=0.3,
    show_default=True,
    help="Generated training listings, as a multiple of the default 30,000.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write instead of HOME/reports/reranker_ablation.json, "
    "which `rerank evaluate` puts into its report.",
)
@seed_option
@format_option
@home_option
def command(
    gold: tuple[Path, ...],
    scale: float,
    out: Path | None,
    seed: int,
    output_format: str,
    home: Path,
) -> None:
    """Measure what each kind of evidence and each feature group earns.

    Ranks the same candidates by fuzzy names, by cosine, by ever more evidence and by LambdaRank,
    then by LambdaRank without one feature group at a time. Each is trained anew on the same
    generated listings; nothing of it is kept but the figures.

    \b
    Example:
      rerank ablate
      rerank ablate --gold my_gold.csv --scale 1 --out ablation.json
    """
    workspace = Workspace(home)
    with stage_progress() as progress:
        report = ablate_workspace(workspace, gold, scale=scale, seed=seed, progress=progress)
    path = out or workspace.ablation_path
    write_json(report, path)
    click.echo(json.dumps(report) if output_format == "json" else ablation_text(report))
    click.echo(f"report: {path}", err=True)
