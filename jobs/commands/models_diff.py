"""`rerank models diff`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from index.errors import InputError
from jobs.lifecycle.describing import version_facts
from jobs.lifecycle.registry import ModelRegistry
from jobs.lifecycle.version_texts import diff_text, differences
from jobs.options import format_option, home_option
from jobs.workspace import Workspace


@click.command("diff")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@format_option
@home_option
def command(first: str, second: str, output_format: str, home: Path) -> None:
    """Show what two versions differ in: parameters, data, features, figures.

    It reads their cards. `rerank models compare` lets them answer.

    \b
    Example:
      rerank models diff champion challenger
    """
    registry = ModelRegistry(Workspace(home))
    facts = [version_facts(registry, each) for each in (first, second)]
    bare = [f"{each['kind']} {each['version']}" for each in facts if each["card"] is None]
    if bare:
        raise InputError(
            f"{bare[0]} has no card: it was made before there were cards; `rerank models "
            "compare` lets two versions answer the same listings"
        )
    rows = differences(facts[0]["card"], facts[1]["card"])
    if output_format == "json":
        click.echo(json.dumps({key: [one, other] for key, one, other in rows}))
    else:
        click.echo(diff_text((facts[0]["version"], facts[1]["version"]), rows))
