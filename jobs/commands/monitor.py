"""`rerank monitor`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from jobs.lifecycle.monitoring import monitor
from jobs.options import existing_file, format_option, home_option
from jobs.scoring.arguments import column_names_of, column_options
from jobs.workspace import Workspace


@click.command("monitor")
@existing_file("source")
@click.option(
    "--reference",
    metavar="VERSION|FILE",
    help="What to compare with; default: the champion as it was when trained.",
)
@column_options
@click.option("--fail-on-drift", is_flag=True, help="Exit with 1 if anything moved.")
@format_option
@home_option
@click.pass_context
def command(
    context: click.Context,
    /,
    source: Path,
    reference: str | None,
    columns_file: Path | None,
    fail_on_drift: bool,
    output_format: str,
    home: Path,
    **named_columns: str | None,
) -> None:
    """Say what moved between a batch of listings and a reference, and what to do.

    SOURCE is a file that `rerank score` wrote, or listings, which are resolved first. Probability,
    margin, decisions, chip vendors, stated memory, unknown words and models that the registry
    lacks are compared; what is no more than chance does not count.

    \b
    Example:
      rerank monitor resolved/today.parquet
      rerank monitor today.parquet --reference may.parquet --fail-on-drift
    """
    columns = column_names_of(columns_file, named_columns)
    report = monitor(
        Workspace(home), source, reference, columns, say=lambda text: click.echo(text, err=True)
    )
    as_json = output_format == "json"
    click.echo(json.dumps(report.as_json()) if as_json else report.text())
    context.exit(1 if fail_on_drift and report.moved else 0)
