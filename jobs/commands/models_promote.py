"""`rerank models promote`."""

from __future__ import annotations

from pathlib import Path

import click

from jobs.lifecycle.gate_judging import judged_by_gates
from jobs.lifecycle.parts import PARTS
from jobs.lifecycle.promoting import Judged, Switch, promote
from jobs.lifecycle.registry import ModelRegistry
from jobs.options import home_option
from jobs.progress import stage_progress
from jobs.workspace import Workspace


@click.command("promote")
@click.argument("version")
@click.option(
    "--config",
    "settings",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Gates; default: ./configs/promotion.yaml, without it those that it ships with.",
)
@click.option(
    "--gold",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Judge on this gold file too. May be repeated.",
)
@click.option("--force", is_flag=True, help="Promote though gates fail; needs --why.")
@click.option("--why", default="", help="The reason, for the history.")
@home_option
def command(
    version: str, settings: Path | None, gold: tuple[Path, ...], force: bool, why: str, home: Path
) -> None:
    """Let a version serve, if it passes the gates.

    Candidate and champion answer the same listings; each gate is shown with its figures. A gate
    that fails refuses the promotion, exit code 1. An index or an embedder has no gates: it must
    fit the champion. What runs picks the change up by itself.

    \b
    Example:
      rerank models promote challenger
      rerank models promote 8e22 --gold my_gold.csv
      rerank models promote 8e22 --force --why "the champion is damaged"
    """
    if force and not why.strip():
        raise click.UsageError("--force needs a reason: --why")
    registry = ModelRegistry(Workspace(home))
    pointer = registry.pointer()
    to = registry.find(version)
    judged = Judged()
    if to.kind not in PARTS and to != pointer.champion:
        with stage_progress() as progress:
            text, judged = judged_by_gates(
                registry.workspace, to, pointer.champion, settings, gold, progress
            )
        click.echo(text)
    promote(registry, Switch(to, pointer, why, force), judged)
    click.echo(f"{to} serves")
