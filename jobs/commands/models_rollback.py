"""`rerank models rollback`."""

from __future__ import annotations

from pathlib import Path

import click

from jobs.lifecycle.parts import PARTS
from jobs.lifecycle.promoting import Switch, rollback, version_before
from jobs.lifecycle.registry import ModelRegistry
from jobs.options import home_option
from jobs.workspace import Workspace
from rerank.lifecycle.versions import SHIPPED, VersionRef


@click.command("rollback")
@click.option(
    "--to", "version", metavar="VERSION", help="What is to serve; default: the one before."
)
@click.option("--part", type=click.Choice(PARTS), help="Roll the index or the embedder back.")
@click.option(
    "--force", is_flag=True, help="Put an index or embedder back that the champion does not fit."
)
@click.option("--why", default="", help="The reason, for the history.")
@home_option
def command(version: str | None, part: str | None, force: bool, why: str, home: Path) -> None:
    """Let the version before serve again, or a named one.

    No gates are judged, but a version that is damaged or fits no more is refused. What runs picks
    the change up by itself. A second rollback goes one further back.

    \b
    Example:
      rerank models rollback --why "too many wrong mobile cards"
      rerank models rollback --to shipped
      rerank models rollback --part index
    """
    registry = ModelRegistry(Workspace(home))
    pointer = registry.pointer()
    if version is None:
        to = version_before(registry, pointer, part)
    elif part is not None and version == SHIPPED:
        to = VersionRef(part, SHIPPED)
    else:
        to = registry.find(version)
    if part is not None and to.kind != part:
        raise click.UsageError(f"--part {part} and --to {version}: that is a version of {to.kind}")
    rollback(registry, Switch(to, pointer, why, force))
    click.echo(f"{to} serves")
