"""`rerank status`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from jobs.options import format_option, home_option
from jobs.serving_status import serving_status, status_text
from jobs.workspace import Workspace


@click.command("status")
@format_option
@home_option
def command(output_format: str, home: Path) -> None:
    """Show what serves, and what there is to train on.

    Index, ranker and pairwise ranker: of the workspace or shipped, a network (onnx) or the
    heuristic; the rankers that `--ranker` and `--cascade` choose instead; and how many listings,
    annotations and pairs the store holds.

    \b
    Example:
      rerank status
      rerank status --format json
    """
    status = serving_status(Workspace(home))
    click.echo(json.dumps(status) if output_format == "json" else status_text(status))
