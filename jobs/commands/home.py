"""`rerank demo`, `smoke` and `status`: a workspace as a whole."""

from __future__ import annotations

import json
from pathlib import Path

import click

from rerank.domain import TrainingRequest
from rerank.jobs.options import (
    NumberRange,
    format_option,
    home_option,
    needs,
    progress_bar,
    stage_progress,
    then,
)
from rerank.jobs.status import (
    catalogue_demo_text,
    demo_text,
    run_catalogue_demo,
    run_demo,
    serving_status,
    smoke_test,
    smoke_text,
    status_text,
)
from rerank.workspace import Workspace


@click.command("demo")
@click.option(
    "--scale",
    type=NumberRange(0.01, 20),
    default=1.0,
    show_default=True,
    help="Training listings, as a multiple of the default 80,000.",
)
@click.option(
    "--catalogue",
    is_flag=True,
    help="Resolve to a table of power tools, as to a catalogue of your own; HOME should be empty.",
)
@home_option
@needs("train")
@then(
    "`rerank resolve TITLE{home}` answers a title of yours, `rerank score LISTINGS.csv "
    "resolved.parquet{home}` a file"
)
def demo_command(scale: float, catalogue: bool, home: Path) -> None:
    """Build the index, train, evaluate and score the shipped sample: a tour in minutes.

    \b
    Example:
      rerank demo
      rerank demo --catalogue --home /tmp/tools
      rerank demo --scale 0.1 --home /tmp/tour
    """
    workspace, request = Workspace(home), TrainingRequest(scale=scale)
    if catalogue:
        with stage_progress() as progress:
            made = run_catalogue_demo(workspace, request, progress=progress)
        click.echo(catalogue_demo_text(made))
        click.echo(made.summary.line(), err=True)
        return
    with stage_progress() as progress:
        result = run_demo(workspace, request, progress=progress)
    click.echo(demo_text(workspace, result))
    click.echo(result.summary.line(), err=True)


@click.command("smoke")
@format_option
@home_option
@click.pass_context
@then("`rerank score LISTINGS.csv resolved.parquet{home}` resolves a file")
def smoke_command(ctx: click.Context, output_format: str, home: Path) -> None:
    """Try every part once on a made-up listing, and say whether it works.

    The resolver, the pairwise ranker, and the resolver with each ranker that `--ranker` and
    `--cascade` can choose. Exit code 1 if one of them fails, with what is wrong.

    \b
    Example:
      rerank smoke
    """
    with progress_bar("trying every part"):
        tried = smoke_test(Workspace(home))
    rows = [each._asdict() for each in tried]
    click.echo(json.dumps(rows) if output_format == "json" else smoke_text(tried))
    for each in tried:
        if not each.works:
            click.echo(f"{each.piece}: {each.said}", err=True)
    if not all(each.works for each in tried):
        ctx.exit(1)


@click.command("status")
@format_option
@home_option
@then("`rerank resolve TITLE{home}` answers with it")
def status_command(output_format: str, home: Path) -> None:
    """Show which index and models answer, and what there is to train on.

    Of each, whether it is the workspace's own or ships with rerank; which other rankers `--ranker`
    and `--cascade` can choose; and how many listings, annotations and pairs the store holds.

    \b
    Example:
      rerank status
      rerank status --format json
    """
    status = serving_status(Workspace(home))
    click.echo(json.dumps(status) if output_format == "json" else status_text(status))
