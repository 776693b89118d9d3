"""`rerank models ab`, `models canary` and `monitor`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from rerank.jobs.commands.score import (
    Feed,
    column_names_of,
    column_options,
    encoding_option,
    feed_command,
    overwrite_option,
)
from rerank.jobs.models.comparing import drift_text, monitor
from rerank.jobs.models.serving_traffic import (
    TrafficSplit,
    run_canary_night,
    run_split,
    status_json,
    status_text,
)
from rerank.jobs.options import (
    ConfigFile,
    NumberRange,
    existing_file,
    format_option,
    home_option,
    progress_bar,
    then,
)
from rerank.lifecycle.canary import CanarySettings
from rerank.lifecycle.model_registry import ModelRegistry
from rerank.lifecycle.traffic import running_canary, start_canary, stop_canary
from rerank.settings import read_settings
from rerank.workspace import Workspace


@feed_command(
    "ab",
    click.option(
        "--challenger",
        required=True,
        metavar="VERSION",
        help="A version, the beginning of one, or an alias.",
    ),
    click.option(
        "--share",
        type=NumberRange(0, 1, min_open=True),
        default=0.5,
        show_default=True,
        help="Of the listings, that the challenger answers.",
    ),
    click.option(
        "--salt",
        default="ab",
        show_default=True,
        help="Another salt splits the listings another way.",
    ),
    click.option(
        "--log-both",
        is_flag=True,
        help="Let both models answer every listing, not the challenger's share alone.",
    ),
    overwrite_option,
)
@then(
    "`rerank models compare champion {challenger} --listings LISTINGS{home}` says where they differ"
)
def models_ab_command(
    feed: Feed, *, challenger: str, share: float, salt: str, log_both: bool
) -> None:
    """Split listings between the champion and a challenger, by their ids.

    Rows come out as of `rerank score`; `model_version` says which model answered. The same id and
    salt give the same model in every run. On the challenger's share both models decide, and both
    decisions are logged in the store (table traffic_decisions); elsewhere the champion's alone,
    unless --log-both is given.

    \b
    Example:
      rerank models ab listings.parquet resolved.parquet --challenger 8e22
      rerank models ab feeds/ answers/ --challenger challenger --share 0.1
    """
    registry, plan = ModelRegistry(Workspace(feed.home)), feed.plan()
    with feed.running(len(plan.tasks), "run it again") as heard:
        split = TrafficSplit(share, salt, log_both)
        summary, answerer = run_split(
            registry, registry.find(challenger), split, plan, feed.options, **heard
        )
    feed.end(summary, answerer.text())


@click.group("canary")
def models_canary_command() -> None:
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


@models_canary_command.command("start", short_help="Begin to give a version a share.")
@click.argument("version")
@click.option(
    "--config",
    "settings_file",
    metavar="FILE",
    type=ConfigFile(),
    help="Steps and guardrails; default: canary.yaml in the workspace, without it those that "
    "it ships with.",
)
@click.option("--salt", help="Of the split of listings; default: the canary's own name.")
@click.option("--why", default="", help="The reason, for the history.")
@home_option
@then("`rerank models canary run LISTINGS OUT{home}` in place of `rerank score`, every night")
def start(version: str, settings_file: Path | None, salt: str | None, why: str, home: Path) -> None:
    """Begin to give a version a share of the listings; `canary run` then does so.

    \b
    Example:
      rerank models canary start challenger --why "trained on May's annotations"
    """
    workspace = Workspace(home)
    path = settings_file or workspace.settings_file("canary")
    settings = CanarySettings() if path is None else read_settings(CanarySettings, path)
    registry = ModelRegistry(workspace)
    state = start_canary(registry, registry.find(version), settings, salt=salt, why=why)
    click.echo(status_text(state))


@feed_command(
    "run",
    overwrite_option,
    within=models_canary_command,
    short_help="Resolve listings, compare, raise the share.",
)
@then("`rerank models canary status{home}` shows the guardrails")
def run(feed: Feed) -> None:
    """Resolve listings as `rerank score` does, the canary's share by the challenger.

    Call it in place of `rerank score` or `nightly`, every night: each run goes on from the share
    that the last one reached. Without a canary the champion answers everything.

    \b
    Example:
      rerank models canary run feeds/ resolved/
    """
    registry, plan = ModelRegistry(Workspace(feed.home)), feed.plan()
    with feed.running(len(plan.tasks), "run it again") as heard:
        summary = run_canary_night(registry, plan, feed.options, **heard)
    pointer = registry.pointer()
    feed.end(summary, f"{pointer.champion} is champion", status_text(running_canary(pointer)))


@models_canary_command.command("status", short_help="Show its share and how it compares.")
@format_option
@home_option
@then(
    "`rerank models canary run LISTINGS OUT{home}` goes on, `rerank models canary "
    "stop{home}` ends it"
)
def status(output_format: str, home: Path) -> None:
    """Show how far the canary is, with its guardrails.

    \b
    Example:
      rerank models canary status --format json
    """
    state = running_canary(ModelRegistry(Workspace(home)).pointer())
    click.echo(json.dumps(status_json(state)) if output_format == "json" else status_text(state))


@models_canary_command.command("stop", short_help="End it; the champion keeps serving.")
@click.option("--why", default="", help="The reason, for the history.")
@home_option
@then("`rerank models list{home}` shows what else could serve")
def stop(why: str, home: Path) -> None:
    """End the canary; the champion keeps serving everything.

    \b
    Example:
      rerank models canary stop --why "found a better one"
    """
    registry = ModelRegistry(Workspace(home))
    stop_canary(registry, why=why)
    click.echo(f"the canary has ended; {registry.pointer().champion} serves")


@click.command("monitor")
@existing_file("source")
@click.option(
    "--reference",
    metavar="VERSION|FILE",
    help="What to compare with; default: the champion as it was when trained.",
)
@column_options
@encoding_option
@click.option("--fail-on-drift", is_flag=True, help="Exit with 1 if anything moved.")
@format_option
@home_option
@click.pass_context
@then("`rerank annotate {source}{home}` asks about what is unsure")
def monitor_command(
    context: click.Context,
    /,
    source: Path,
    reference: str | None,
    columns_file: Path | None,
    encoding: str | None,
    fail_on_drift: bool,
    output_format: str,
    home: Path,
    **named_columns: str | None,
) -> None:
    """Say what changed between a batch of listings and an earlier one, and what to do.

    SOURCE is a file that `rerank score` wrote, or listings, which are resolved first. Probability,
    margin, decisions and what titles say are compared: of cards chip vendors, stated memory,
    unknown words and models that the registry lacks. What is no more than chance does not count.

    \b
    Example:
      rerank monitor resolved/today.parquet
      rerank monitor today.parquet --reference may.parquet --fail-on-drift
    """
    columns = column_names_of(columns_file, named_columns)
    with progress_bar("comparing with the reference"):
        report = monitor(
            Workspace(home),
            source,
            reference,
            columns,
            encoding=encoding,
            say=lambda text: click.echo(text, err=True),
        )
    click.echo(json.dumps(report) if output_format == "json" else drift_text(report))
    context.exit(1 if fail_on_drift and report["moved"] else 0)
