"""`rerank smoke`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from jobs.options import format_option, home_option
from jobs.smoke_test import SmokeTest, smoke_text
from jobs.workspace import Workspace


@click.command("smoke")
@format_option
@home_option
@click.pass_context
def command(ctx: click.Context, output_format: str, home: Path) -> None:
    """Run one inference of each piece, and say what made it.

    The resolver, the pairwise ranker, the pairwise ranker over the candidates of a listing, and
    the resolver with each ranker that `--ranker` and `--cascade` can choose.
    Exit code 1 if one of them fails; what is wrong stands in the answer.

    \b
    Example:
      rerank smoke
    """
    tried = SmokeTest(Workspace(home)).run()
    rows = [each._asdict() for each in tried]
    click.echo(json.dumps(rows) if output_format == "json" else smoke_text(tried))
    for each in tried:
        if not each.works:
            click.echo(f"{each.piece}: {each.said}", err=True)
    if not all(each.works for each in tried):
        ctx.exit(1)
