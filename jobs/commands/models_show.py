"""`rerank models show`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from jobs.lifecycle.describing import version_facts
from jobs.lifecycle.registry import ModelRegistry
from jobs.lifecycle.version_texts import card_text
from jobs.options import format_option, home_option
from jobs.workspace import Workspace


@click.command("show")
@click.argument("version")
@format_option
@home_option
def command(version: str, output_format: str, home: Path) -> None:
    """Show where a version comes from and when it served.

    VERSION is an alias, a version, its first four characters or more, or the `model_version` of a
    resolved row: so it says which model decided that row. Of a cascade's, `a+b`, it shows a, the
    model that decides; b is the cross-encoder behind it.

    \b
    Example:
      rerank models show champion
      rerank models show 8e22ef1e4d47bdbd
    """
    facts = version_facts(ModelRegistry(Workspace(home)), version.partition("+")[0])
    click.echo(json.dumps(facts) if output_format == "json" else card_text(facts))
