"""`rerank demo`."""

from __future__ import annotations

from pathlib import Path

import click

from jobs.demo import demo_text, run_demo
from jobs.options import NumberRange, home_option
from jobs.progress import stage_progress
from jobs.training import scaled
from jobs.workspace import Workspace
from rerank.training_sets import TrainingParameters


@click.command("demo")
@click.option(
    "--scale",
    type=NumberRange(0.01, 20),
    default=1.0,
    show_default=True,
    help="Training listings, as a multiple of the default 80,000.",
)
@home_option
def command(scale: float, home: Path) -> None:
    """Build the index, train, evaluate and score the shipped sample: a tour in minutes.

    \b
    Example:
      rerank demo
      rerank demo --scale 0.1 --home /tmp/tour
    """
    workspace = Workspace(home)
    with stage_progress() as progress:
        result = run_demo(workspace, scaled(TrainingParameters(), scale), progress=progress)
    click.echo(demo_text(workspace, result))
    click.echo(result.summary.line(), err=True)
