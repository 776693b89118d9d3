"""`rerank train-ltr`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from jobs.options import home_option, seed_option
from jobs.progress import stage_progress
from jobs.training import scaled, train_workspace_model
from jobs.workspace import Workspace
from rerank.training import TrainingParameters


@click.command("train-ltr")
@click.option("--scale", type=click.FloatRange(0.01, 20), default=1.0, show_default=True,
              help="Generated listings, as a multiple of the default 80,000.")  # fmt: skip
@click.option("--precision", type=click.FloatRange(0.5, 0.9999), default=0.99, show_default=True,
              help="Precision that decisions of `match` are to have.")  # fmt: skip
@seed_option
@home_option
def command(scale: float, precision: float, seed: int, home: Path) -> None:
    """Train the ranker, the offer classifier and the calibrator on generated listings.

    Writes HOME/models/ltr/VERSION and lets it serve; older versions stay.

    \b
    Example:
      rerank train-ltr --precision 0.995
    """
    parameters = scaled(replace(TrainingParameters(), precision=precision, seed=seed), scale)
    with stage_progress() as progress:
        folder, summary = train_workspace_model(Workspace(home), parameters, progress=progress)
    chosen = summary["thresholds"]
    click.echo(
        f"model {summary['version']} in {folder}: match from {chosen['match']:.3f}, review from "
        f"{chosen['review']:.3f}, for a precision of {chosen['precision']:g}"
    )
