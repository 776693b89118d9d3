"""`rerank store`: import, export, sql, tables."""

from __future__ import annotations

import json
from pathlib import Path

import click

from rerank.jobs.files.store_files import (
    TABLE_LIMIT,
    Contents,
    export_file,
    import_file,
    result_lines,
    run_query,
    summary_text,
    tables_text,
)
from rerank.jobs.options import existing_file, home_option, progress_bar, then, wait_option
from rerank.store.database import Store, migrate, scratch
from rerank.store.importing import OnConflict
from rerank.store.tables import described_tables, tables_markdown
from rerank.workspace import Workspace

_contents_argument = click.argument(
    "contents", metavar="[annotations|listings]", type=click.Choice([c.value for c in Contents])
)


@click.group("store")
def store_command() -> None:
    """Import, export and query what people said and what was measured.

    The store is HOME/store.duckdb. docs/store.md explains its tables.

    \b
    Example:
      rerank store import listings listings.csv
      rerank store sql "SELECT verdict, count(*) FROM annotations GROUP BY ALL"
    """


@store_command.command("import")
@_contents_argument
@existing_file("file")
@click.option("--annotator", metavar="NAME", help="Who answered, where the file does not say.")
@click.option(
    "--on-conflict",
    type=click.Choice([c.value for c in OnConflict]),
    default=OnConflict.REFUSE.value,
    show_default=True,
    help="What to do with rows that the store has with other content: write nothing at "
    "all, keep the stored ones, or replace them.",
)
@wait_option
@home_option
@then(
    "`rerank store sql 'SELECT ...'{home}` queries it, `rerank train-ltr{home}` learns from "
    "annotations"
)
def import_command(
    contents: str, file: Path, annotator: str | None, on_conflict: str, wait_s: float, home: Path
) -> None:
    """Import annotations or listings from CSV, JSON lines or parquet.

    \b
    listings     listing_id, title; if known vendor, description, price, shop,
                 language
    annotations  listing_id, annotator, verdict (match, none_of_these, not_gpu,
                 several, unsure) and for a match gpu_id: a gpu_id, a model's
                 name or alias, or a name with its memory (with a catalogue of
                 your own product_id: an id or a name); if known model, note,
                 annotated_at, and the listing's columns, which add it where it
                 is missing. Gold files (kind, gold_models) work too.

    All faults are reported at once. A file that was imported before changes nothing.

    \b
    Example:
      rerank store import listings listings.csv
      rerank store import annotations answers.parquet --on-conflict keep
      rerank store import annotations my_gold.csv --annotator gold
    """
    if annotator is not None and contents == Contents.LISTINGS.value:
        raise click.UsageError("--annotator goes with annotations, not with listings")
    with progress_bar(f"importing {contents}"):
        summary, unread = import_file(
            Workspace(home),
            file,
            Contents(contents),
            annotator=annotator,
            on_conflict=OnConflict(on_conflict),
            wait_s=wait_s,
        )
    if unread:
        click.echo(f"columns not read: {', '.join(unread)!s:.200}", err=True)
    click.echo(summary_text(summary, OnConflict(on_conflict)))


@store_command.command("export")
@_contents_argument
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--with-listings", is_flag=True, help="Add the columns of its listing to each annotation."
)
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
@home_option
@then("`rerank store import TABLE FILE` reads it into another workspace")
def export_command(
    contents: str, file: Path, with_listings: bool, overwrite: bool, home: Path
) -> None:
    """Export annotations or listings to CSV, JSON lines or parquet, as the file's name ends.

    What `rerank store import` reads, so that another store can be filled with it.

    \b
    Example:
      rerank store export annotations answers.parquet --with-listings
      rerank store export listings listings.csv --overwrite
    """
    if with_listings and contents == Contents.LISTINGS.value:
        raise click.UsageError("--with-listings goes with annotations, not with listings")
    found, plain = Workspace(home), Contents(contents)
    with progress_bar(f"exporting {contents}"):
        n_rows = export_file(found, file, plain, with_listings=with_listings, overwrite=overwrite)
    click.echo(f"{n_rows:,} {contents} written to {file}")


@store_command.command("sql")
@click.argument("query")
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["table", "json", "jsonl", "csv"]),
    default="table",
    show_default=True,
    help="How to print the rows.",
)
@click.option(
    "--limit",
    type=click.IntRange(0),
    metavar="ROWS",
    help=f"Print that many rows at most; default: {TABLE_LIMIT} in a table, else all.",
)
@home_option
@then("`rerank store tables` names all tables and columns")
def sql_command(query: str, output_format: str, limit: int | None, home: Path) -> None:
    """Run a query in DuckDB's SQL; it can read the store, and change nothing.

    `rerank store tables` says what there is to ask; docs/store.md has examples.

    \b
    Example:
      rerank store sql "SELECT verdict, count(*) FROM annotations GROUP BY ALL"
      rerank store sql "FROM listings WHERE price > 100" --format csv > dear.csv
    """
    if limit is None and output_format == "table":
        limit = TABLE_LIMIT
    rows, n_rows = run_query(Store(Workspace(home).store_path), query, limit=limit)
    for line in result_lines(rows, output_format):
        click.echo(line)
    if cut_off := n_rows - rows.num_rows:
        click.echo(f"{cut_off:,} of {n_rows:,} rows not shown; see --limit", err=True)


@store_command.command("tables")
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["table", "json", "markdown"]),
    default="table",
    show_default=True,
    help="How to print them.",
)
@then("`rerank store sql 'SELECT ...'` queries them")
def tables_command(output_format: str) -> None:
    """List the store's tables and columns with their meaning.

    \b
    Example:
      rerank store tables
      rerank store tables --format json
    """
    with scratch() as session:
        migrate(session, Path("(memory)"))
        tables = described_tables(session)
    if output_format == "json":
        click.echo(json.dumps(tables))
    elif output_format == "markdown":
        click.echo(tables_markdown(tables), nl=False)
    else:
        click.echo(tables_text(tables))
