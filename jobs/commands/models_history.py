"""`rerank models history`."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import click

from jobs.lifecycle.registry import ModelRegistry
from jobs.lifecycle.version_texts import history_text
from jobs.options import format_option, home_option
from jobs.workspace import Workspace


@click.command("history")
@click.option(
    "--on",
    "day",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DAY",
    help="Only what tells which model served on this day (UTC).",
)
@format_option
@home_option
def command(day: datetime | None, output_format: str, home: Path) -> None:
    """List every change of what serves: who, when, from, to, why.

    In the order they were made, whatever the clocks said. With --on: the change that had made
    the champion of that day's beginning, and those of the day. JSON has gates and figures too.

    \b
    Example:
      rerank models history
      rerank models history --on 2026-05-01
    """
    found = ModelRegistry(Workspace(home)).history(None if day is None else day.date())
    if output_format == "json":
        click.echo(json.dumps([change.as_dict() for change in found]))
    elif day is not None and not found:
        click.echo("no change until that day: what was there first served, usually ltr shipped")
    else:
        click.echo(history_text(found))
