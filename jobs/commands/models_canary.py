"""`rerank models canary`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from jobs.lifecycle.canary_keeping import running_canary, start_canary, stop_canary
from jobs.lifecycle.canary_text import status_json, status_text
from jobs.lifecycle.registry import ModelRegistry
from jobs.lifecycle.serving_traffic import run_canary_night
from jobs.listing_files.selection import Selection
from jobs.options import format_option, home_option
from jobs.places import place_of
from jobs.scoring import ScoreOptions, plan_score
from jobs.scoring.arguments import (
    column_names_of,
    column_options,
    existing_of,
    interruptible,
    selected,
    warn_of_left_out,
)
from jobs.scoring.progress_line import ProgressLine
from jobs.workspace import Workspace
from rerank.lifecycle.canary_settings import CanarySettings, read_canary_settings

_OWN_SETTINGS = Path("configs") / "canary.yaml"


@click.group("canary")
def command() -> None:
    """Give a version a growing share of the listings, watched, until it is champion.

    1 % of the listings, then 10 %, then 50 %. On that share both models answer, and guardrails
    compare them: share accepted, no-match rate, drift of the probability, time, errors. A breach
    ends it, and the champion keeps serving. docs/canary.md explains all of it.

    \b
    Example:
      rerank models canary start challenger
      rerank models canary run feeds/ resolved/
      rerank models canary status
    """


@command.command("start", short_help="Begin with a version.")
@click.argument("version")
@click.option(
    "--config",
    "settings_file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Steps and guardrails; default: ./configs/canary.yaml, without it those that "
    "it ships with.",
)
@click.option("--salt", help="Of the split of listings; default: the canary's own name.")
@click.option("--why", default="", help="The reason, for the history.")
@home_option
def start(version: str, settings_file: Path | None, salt: str | None, why: str, home: Path) -> None:
    """Begin a canary; `canary run` then serves listings and judges.

    \b
    Example:
      rerank models canary start challenger --why "trained on May's annotations"
    """
    if settings_file is None and _OWN_SETTINGS.is_file():
        settings_file = _OWN_SETTINGS
    settings = CanarySettings() if settings_file is None else read_canary_settings(settings_file)
    registry = ModelRegistry(Workspace(home))
    state = start_canary(registry, registry.find(version), settings, salt=salt, why=why)
    click.echo(status_text(state))


@command.command("run", short_help="Serve listings, judge, and move on.")
@click.argument("source", metavar="LISTINGS", callback=selected)
@click.argument("target", metavar="OUT")
@column_options
@click.option(
    "--top-k",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    help="Candidates written for each listing.",
)
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
@home_option
@click.pass_context
def run(
    context: click.Context,
    /,
    source: Selection,
    target: str,
    columns_file: Path | None,
    top_k: int,
    overwrite: bool,
    home: Path,
    **named_columns: str | None,
) -> None:
    """Resolve listings as `rerank score` does, the canary's share by the challenger.

    Call it in place of `rerank score` or `nightly`, every night: it goes on where it was. Without
    a canary the champion answers everything.

    \b
    Example:
      rerank models canary run feeds/ resolved/
    """
    registry = ModelRegistry(Workspace(home))
    plan = plan_score(
        source, place_of(target), existing=existing_of(overwrite=overwrite, resume=False)
    )
    options = ScoreOptions(top_k, columns=column_names_of(columns_file, named_columns))
    line = ProgressLine(sys.stderr)
    warn_of_left_out(source, line)
    with interruptible(context, line, n_files=len(plan.tasks), remedy="run it again"):
        summary = run_canary_night(registry, plan, options, progress=line.show, say=line.say)
    line.say(summary.line())
    pointer = registry.pointer()
    click.echo(f"{pointer.champion} is champion")
    click.echo(status_text(running_canary(pointer)))
    context.exit(1 if summary.failures else 0)


@command.command("status", short_help="How far it is.")
@format_option
@home_option
def status(output_format: str, home: Path) -> None:
    """Show how far the canary is, with its guardrails.

    \b
    Example:
      rerank models canary status --format json
    """
    state = running_canary(ModelRegistry(Workspace(home)).pointer())
    as_json = output_format == "json"
    click.echo(json.dumps(status_json(state)) if as_json else status_text(state))


@command.command("stop", short_help="End it; the champion keeps serving.")
@click.option("--why", default="", help="The reason, for the history.")
@home_option
def stop(why: str, home: Path) -> None:
    """End the canary; the champion keeps serving everything.

    \b
    Example:
      rerank models canary stop --why "found a better one"
    """
    registry = ModelRegistry(Workspace(home))
    stop_canary(registry, why=why)
    click.echo(f"the canary has ended; {registry.pointer().champion} serves")
