"""`rerank score`."""

from __future__ import annotations

from pathlib import Path

import click

from jobs.listing_files import open_listings
from jobs.options import candidate_set_option, existing_file, home_option
from jobs.progress import progress_bar
from jobs.scoring import answer_schema, check_target, renamed_columns, score_file
from jobs.workspace import open_resolver


@click.command("score")
@existing_file("source")
@click.argument("target", type=click.Path(path_type=Path), metavar="OUT.parquet")
@click.option("--top-k", type=click.IntRange(1, 1000), default=20, show_default=True,
              help="Candidates written for each listing.")  # fmt: skip
@candidate_set_option
@click.option("--overwrite", is_flag=True, help="Replace OUT.parquet if it exists.")
@home_option
def command(
    source: Path, target: Path, top_k: int, coverage: float | None, overwrite: bool, home: Path
) -> None:
    """Resolve a parquet, CSV or JSONL file of listings into a parquet file.

    SOURCE needs the columns listing_id and title; vendor, description and price help if they
    are there. Every other column passes through.

    \b
    Example:
      rerank score listings.csv resolved.parquet
      rerank score --candidate-set 0.95 listings.csv resolved.parquet
    """
    check_target(source, target, overwrite=overwrite)
    listings = open_listings(source)
    for old, new in renamed_columns(listings.schema.names, answer_schema(coverage)).items():
        click.echo(f"Warning: your column {old!r} is kept as {new!r}", err=True)
    with progress_bar("scoring") as progress:
        summary = score_file(
            listings, target, open_resolver(home), top_k=top_k, coverage=coverage, progress=progress
        )
    click.echo(summary.line(), err=True)
