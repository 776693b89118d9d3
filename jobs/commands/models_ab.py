"""`rerank models ab`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from jobs.lifecycle.ab_split import Split
from jobs.lifecycle.registry import ModelRegistry
from jobs.lifecycle.serving_traffic import run_split
from jobs.listing_files.selection import Selection
from jobs.options import NumberRange, home_option
from jobs.places import place_of
from jobs.scoring import ScoreOptions, plan_score
from jobs.scoring.arguments import (
    column_names_of,
    column_options,
    existing_of,
    interruptible,
    selected,
    warn_of_left_out,
)
from jobs.scoring.progress_line import ProgressLine
from jobs.workspace import Workspace


@click.command("ab")
@click.argument("source", metavar="LISTINGS", callback=selected)
@click.argument("target", metavar="OUT")
@click.option(
    "--challenger",
    required=True,
    metavar="VERSION",
    help="A version, the beginning of one, or an alias.",
)
@click.option(
    "--share",
    type=NumberRange(0, 1, min_open=True),
    default=0.5,
    show_default=True,
    help="Of the listings, that the challenger answers.",
)
@click.option(
    "--salt", default="ab", show_default=True, help="Another salt splits the listings another way."
)
@click.option(
    "--log-both",
    is_flag=True,
    help="Let both models answer every listing, not the challenger's share alone.",
)
@column_options
@click.option(
    "--top-k",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    help="Candidates written for each listing.",
)
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
@home_option
@click.pass_context
def command(
    context: click.Context,
    /,
    source: Selection,
    target: str,
    challenger: str,
    share: float,
    salt: str,
    log_both: bool,
    columns_file: Path | None,
    top_k: int,
    overwrite: bool,
    home: Path,
    **named_columns: str | None,
) -> None:
    """Split listings between the champion and a challenger, by their ids.

    Rows come out as of `rerank score`; `model_version` says which model answered. The same id and
    salt give the same model in every run. On the challenger's share both models decide, and both
    decisions are logged in the store (table traffic_decisions); elsewhere the champion's alone,
    unless --log-both is given.

    \b
    Example:
      rerank models ab listings.parquet answers.parquet --challenger 8e22
      rerank models ab feeds/ answers/ --challenger challenger --share 0.1
    """
    registry = ModelRegistry(Workspace(home))
    plan = plan_score(
        source, place_of(target), existing=existing_of(overwrite=overwrite, resume=False)
    )
    options = ScoreOptions(top_k, columns=column_names_of(columns_file, named_columns))
    line = ProgressLine(sys.stderr)
    warn_of_left_out(source, line)
    with interruptible(context, line, n_files=len(plan.tasks), remedy="run it again"):
        summary, answerer = run_split(
            registry,
            registry.find(challenger),
            Split(share, salt, log_both),
            plan,
            options,
            progress=line.show,
            say=line.say,
        )
    line.say(summary.line())
    click.echo(answerer.text())
    context.exit(1 if summary.failures else 0)
