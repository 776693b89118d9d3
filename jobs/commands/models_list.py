"""`rerank models list`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from jobs.lifecycle.describing import version_rows
from jobs.lifecycle.registry import ModelRegistry
from jobs.lifecycle.version_texts import list_text
from jobs.options import format_option, home_option
from jobs.workspace import Workspace
from rerank.lifecycle.versions import KINDS


@click.command("list")
@click.option("--kind", type=click.Choice(KINDS), help="Only versions of this kind.")
@format_option
@home_option
def command(kind: str | None, output_format: str, home: Path) -> None:
    """List the versions, what names them and which serves.

    Versions that ship are listed while they serve. The figure is precision@1 on generated listings
    of models that training never saw, with its 95 % interval.

    \b
    Example:
      rerank models list
      rerank models list --kind ltr --format json
    """
    rows = version_rows(ModelRegistry(Workspace(home)), kind)
    click.echo(json.dumps(rows) if output_format == "json" else list_text(rows))
