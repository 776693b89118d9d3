"""`rerank score`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from jobs.listing_files.selection import Selection
from jobs.options import candidate_set_option, home_option, ranker_options
from jobs.places import place_of
from jobs.scoring import ScoreOptions, plan_score, run_scoring
from jobs.scoring.arguments import (
    FilesCommand,
    column_names_of,
    column_options,
    engine_of,
    engine_options,
    existing_of,
    interruptible,
    selected,
    warn_of_left_out,
)
from jobs.scoring.progress_line import ProgressLine
from jobs.scoring.summary_file import check_summary, write_summary
from rerank.ranker_folder import RankerKind


@click.command("score", cls=FilesCommand)
@click.argument("source", callback=selected)
@click.argument("target", metavar="OUT")
@column_options
@click.option(
    "--top-k",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    help="Candidates written for each listing.",
)
@ranker_options
@click.option(
    "--explain",
    "explained",
    is_flag=True,
    help="Add the features that decided; some 200 listings a second.",
)
@click.option("--only-decisions", is_flag=True, help="Leave the list of candidates out.")
@candidate_set_option
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with a run that was stopped: keep what it finished, if the input, the "
    "options, the model and the index are still the same.",
)
@click.option(
    "--since",
    callback=selected,
    metavar="EARLIER",
    help="An earlier output, a file or folder: listings that have not changed keep the "
    "answer they got there from the same model, index and options.",
)
@engine_options
@click.option(
    "--summary",
    "summary_file",
    type=click.Path(path_type=Path),
    metavar="FILE.json",
    help="Write the counts, the rate and the files set aside as JSON.",
)
@home_option
@click.pass_context
def command(
    context: click.Context,
    /,
    source: Selection,
    target: str,
    columns_file: Path | None,
    top_k: int,
    ranker: RankerKind | None,
    cascade: bool,
    explained: bool,
    only_decisions: bool,
    coverage: float | None,
    overwrite: bool,
    resume: bool,
    since: Selection | None,
    engine_name: str,
    ray_address: str | None,
    workers: int,
    summary_file: Path | None,
    home: Path,
    **named_columns: str | None,
) -> None:
    """Resolve listings, parquet, CSV or JSONL, into parquet: a file, a folder or a glob.

    SOURCE needs an id and a title; vendor, description and price help if they are there. Every
    other column passes through. A folder or a glob is mirrored under the folder OUT. Both may be
    URIs such as s3://bucket/listings. Rows that cannot be read come out as no match and are
    listed in a file of rejects.

    \b
    Example:
      rerank score listings.csv resolved.parquet
      rerank score --resume feeds/ resolved/
      rerank score --since monday/ feeds/ tuesday/
      rerank score --engine ray --workers 8 feeds/ resolved/
      rerank score --title-column name --id-column sku "feeds/*.csv" resolved/
      rerank score --candidate-set 0.95 listings.csv resolved.parquet
    """
    existing = existing_of(overwrite=overwrite, resume=resume)
    engine = engine_of(engine_name, workers, ray_address)
    columns = column_names_of(columns_file, named_columns)
    plan = plan_score(source, place_of(target), existing=existing)
    check_summary(summary_file, plan, source, since)
    line = ProgressLine(sys.stderr)
    warn_of_left_out(source, line)
    options = ScoreOptions(top_k, coverage, only_decisions, columns, explained, ranker, cascade)
    with interruptible(context, line, n_files=plan.n_files, remedy="go on with --resume"):
        summary = run_scoring(
            home, plan, options, engine, since=since, progress=line.show, say=line.say
        )
    line.say(summary.line())
    write_summary(summary, summary_file)
    context.exit(1 if summary.failures else 0)
