"""`rerank train-ltr`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from jobs.options import NumberRange, home_option, seed_option, serve_option
from jobs.progress import stage_progress
from jobs.training import scaled, train_workspace_model
from jobs.workspace import Workspace
from rerank.annotation.labelling import DEFAULT_WEIGHT
from rerank.training_sets import TrainingParameters


@click.command("train-ltr")
@click.option(
    "--scale",
    type=NumberRange(0.01, 20),
    default=1.0,
    show_default=True,
    help="Generated listings, as a multiple of the default 80,000.",
)
@click.option(
    "--precision",
    type=NumberRange(0.5, 0.9999),
    default=0.99,
    show_default=True,
    help="Precision that decisions of `match` are to have.",
)
@click.option(
    "--annotations/--no-annotations",
    default=True,
    show_default=True,
    help="Also train on what annotators settled on, if the workspace's store has any.",
)
@click.option(
    "--annotation-weight",
    type=NumberRange(0, 10_000, min_open=True),
    default=DEFAULT_WEIGHT,
    show_default=True,
    help="How many generated listings an annotated one counts as.",
)
@serve_option
@seed_option
@home_option
def command(
    scale: float,
    precision: float,
    annotations: bool,
    annotation_weight: float,
    serve: bool,
    seed: int,
    home: Path,
) -> None:
    """Train the ranker, the offer classifier and the calibrator.

    On generated listings and what `rerank annotate` collected. A model's listings are all on one
    side: those of models kept for calibration or for tests teach no ranker. Disputed and unsure
    answers are left out. Writes HOME/models/ltr/VERSION; older versions stay. It serves if the
    shipped model served before, or what serves does not fit the index; else it is the challenger,
    for `rerank models promote`.

    \b
    Example:
      rerank train-ltr --precision 0.995
      rerank train-ltr --annotation-weight 10
    """
    parameters = scaled(replace(TrainingParameters(), precision=precision, seed=seed), scale)
    with stage_progress() as progress:
        trained = train_workspace_model(
            Workspace(home),
            parameters,
            serve=serve,
            annotation_weight=annotation_weight if annotations else None,
            warn=lambda message: click.echo(f"warning: {message}", err=True),
            progress=progress,
        )
    used = trained.summary.get("annotations")
    if used:
        click.echo(
            f"annotated listings: {used['ranker']} for the ranker, {used['offer']} for the offer "
            f"classifier, {used['validation']} to calibrate on, {used['kept_out']} kept out",
            err=True,
        )
    click.echo(trained.text())
