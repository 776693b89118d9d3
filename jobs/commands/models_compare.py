"""`rerank models compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from jobs.lifecycle.comparing import ComparisonPlan, compare_versions
from jobs.lifecycle.registry import ModelRegistry
from jobs.options import NumberRange, format_option, home_option
from jobs.progress import stage_progress
from jobs.workspace import Workspace
from rerank.evaluation.evaluate import DEFAULT_SEED
from rerank.evaluation.intervals import DEFAULT_SAMPLES


@click.command("compare")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option(
    "--listings",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE",
    help="Parquet, CSV or JSONL.",
)
@click.option(
    "--gold",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE",
    help="What listings of the file sell, by listing_id; "
    "may be repeated. Default: the store's annotations.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    callback=lambda ctx, param, value: _with_known_ending(value),
    help="Write all changed listings: .parquet, .csv or .jsonl.",
)
@click.option(
    "--show",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="Changed listings to show.",
)
@click.option(
    "--salt",
    help="Say which arm listings fall to when `rerank models ab` splits them by this salt.",
)
@click.option(
    "--share",
    type=NumberRange(0, 1),
    default=0.5,
    show_default=True,
    help="Share of listings in the arm of B, with --salt.",
)
@click.option(
    "--samples",
    type=click.IntRange(1),
    default=DEFAULT_SAMPLES,
    show_default=True,
    help="Resamples behind each interval.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=DEFAULT_SEED,
    show_default=True,
    help="Of the resamples.",
)
@format_option
@home_option
def command(
    first: str,
    second: str,
    out: Path | None,
    show: int,
    output_format: str,
    home: Path,
    **plan: Any,
) -> None:
    """Let two versions answer the same listings.

    Shows how often they agree, which listings come out otherwise, and, where it is known what
    listings sell, which version is right more often and how many listings it takes to tell.

    \b
    Example:
      rerank models compare champion challenger --listings feed.parquet
      rerank models compare champion 8e22 --listings feed.csv --out changed.csv
    """
    from jobs.lifecycle.comparison_text import changed_rows, comparison_text
    from jobs.storing.files import write_table

    registry = ModelRegistry(Workspace(home))
    a, b = registry.find(first), registry.find(second)
    with stage_progress() as progress:
        found = compare_versions(
            registry.workspace, a, b, ComparisonPlan(**plan), progress=progress
        )
    if out is not None:
        write_table(changed_rows(found), out, overwrite=True)
    as_text = output_format == "table"
    click.echo(comparison_text(found, most=show) if as_text else json.dumps(found.as_dict()))


def _with_known_ending(path: Path | None) -> Path | None:
    """Find a wrong name before the listings are resolved, which may take minutes."""
    if path is not None and path.suffix.lower() not in (".parquet", ".csv", ".jsonl"):
        raise click.BadParameter(f"{path}: expected a name ending in .parquet, .csv or .jsonl")
    return path
