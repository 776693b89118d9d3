"""`rerank nightly`."""

from __future__ import annotations

import re
import sys
from datetime import date
from pathlib import Path

import click

from jobs.listing_files.selection import Selection
from jobs.nightly import Night, run_night
from jobs.nightly_report import report_text
from jobs.options import candidate_set_option, home_option
from jobs.places import place_of
from jobs.scoring import ScoreOptions
from jobs.scoring.arguments import (
    FilesCommand,
    column_names_of,
    column_options,
    engine_of,
    engine_options,
    interruptible,
    selected,
    warn_of_left_out,
)
from jobs.scoring.progress_line import ProgressLine
from jobs.workspace import Workspace


class Day(click.ParamType[date]):
    """A day of the calendar, written as folders are named by it."""

    name = "day"

    def convert(
        self, value: str | date, param: click.Parameter | None, ctx: click.Context | None
    ) -> date:
        """Return the day that a text names.

        :raises click.BadParameter: if it names none.
        """
        if isinstance(value, date):
            return value
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            self.fail(f"expected a day as YYYY-MM-DD, got {value!r}", param, ctx)
        try:
            return date.fromisoformat(value)
        except ValueError:
            self.fail(f"expected a day of the calendar, got {value}: no such day", param, ctx)


@click.command("nightly", cls=FilesCommand)
@click.argument("listings", callback=selected)
@click.argument("out")
@click.option(
    "--registry",
    type=click.Path(exists=True, path_type=Path),
    help="Rebuild the index if this registry's content changed: YAML, CSV or parquet, or "
    "a folder of YAML. Without it the index stays as it is.",
)
@click.option(
    "--date",
    "day",
    type=Day(),
    metavar="YYYY-MM-DD",
    help="The day, which names the folder; default: today.",
)
@column_options
@click.option(
    "--top-k",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    help="Candidates written for each listing.",
)
@click.option("--only-decisions", is_flag=True, help="Leave the list of candidates out.")
@candidate_set_option
@engine_options
@home_option
@click.pass_context
def command(
    context: click.Context,
    /,
    listings: Selection,
    out: str,
    registry: Path | None,
    day: date | None,
    columns_file: Path | None,
    top_k: int,
    only_decisions: bool,
    coverage: float | None,
    engine_name: str,
    ray_address: str | None,
    workers: int,
    home: Path,
    **named_columns: str | None,
) -> None:
    """Score the day's listings into OUT/YYYY-MM-DD and report, as cron runs it.

    Rebuilds the index if the registry changed, keeps the answers of listings that have not changed
    since the latest finished day without failures, and writes _summary.json into the day's folder.
    Run again on the same day, it goes on where it was. One run at a time writes to OUT.

    \b
    Example:
      rerank nightly feeds/ resolved/
      rerank nightly --registry gpus.csv --workers 2 feeds/ resolved/
      rerank nightly --date 2026-01-31 "feeds/*.parquet" resolved/
    """
    line = ProgressLine(sys.stderr)
    columns = column_names_of(columns_file, named_columns)
    night = Night(
        Workspace(home),
        listings,
        place_of(out),
        day or date.today(),
        registry,
        ScoreOptions(top_k, coverage, only_decisions, columns),
        engine_of(engine_name, workers, ray_address),
    )
    warn_of_left_out(listings, line)
    with interruptible(
        context, line, n_files=len(listings.places()) + len(listings.faults), remedy="run it again"
    ):
        content = run_night(night, progress=line.show, say=line.say)
    click.echo(report_text(content))
    context.exit(1 if content["failures"] else 0)
