"""`rerank models verify`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from jobs.lifecycle.registry import ModelRegistry
from jobs.lifecycle.verifying import verified_text, verify
from jobs.options import format_option, home_option
from jobs.workspace import Workspace


@click.command("verify")
@click.argument("version", required=False)
@format_option
@home_option
@click.pass_context
def command(context: click.Context, version: str | None, output_format: str, home: Path) -> None:
    """Check files, cards and answers of a version, or of all.

    Every file against its sha256, the card against its own, and, of models that fit the index that
    serves, the answers to the listings of their reference. Exit code 1 if anything is wrong.

    \b
    Example:
      rerank models verify
      rerank models verify champion
    """
    registry = ModelRegistry(Workspace(home))
    found = verify(registry, None if version is None else registry.find(version))
    if output_format == "json":
        click.echo(json.dumps([each._asdict() for each in found]))
    else:
        click.echo(verified_text(found))
    context.exit(0 if all(each.sound for each in found) else 1)
