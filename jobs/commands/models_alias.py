"""`rerank models alias`."""

from __future__ import annotations

from pathlib import Path

import click

from jobs.lifecycle.promoting import name_version
from jobs.lifecycle.registry import ModelRegistry
from jobs.options import home_option
from jobs.workspace import Workspace


@click.command("alias")
@click.argument("alias")
@click.argument("version", required=False)
@click.option("--remove", is_flag=True, help="Take the name away.")
@click.option("--why", default="", help="The reason, for the history.")
@home_option
def command(alias: str, version: str | None, remove: bool, why: str, home: Path) -> None:
    """Name a version, or take a name away.

    A name has letters, digits, `_`, `+` and `-`. That of a ranker (`pairwise`) says which of its
    versions `--ranker` serves. What `champion` names is changed with `rerank models promote`.

    \b
    Example:
      rerank models alias challenger 8e22ef1e4d47bdbd
      rerank models alias before-easter champion
      rerank models alias before-easter --remove
    """
    if remove == (version is not None):
        raise click.UsageError("give a VERSION to name, or --remove")
    registry = ModelRegistry(Workspace(home))
    to = None if version is None else registry.find(version)
    name_version(registry, alias, to, why=why)
    click.echo(f"{alias} names {'nothing' if to is None else to}")
