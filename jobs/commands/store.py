"""`rerank store` and `verdicts`: what the store holds, and what people settled of a text."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import numpy as np

from rerank.index.artifacts import writing_file
from rerank.index.records import Listing
from rerank.jobs.annotation.pair_flags import login_name
from rerank.jobs.commands.score import (
    column_names_of,
    column_options,
    encoding_option,
    seen_columns,
)
from rerank.jobs.files.listings import BATCH_ROWS, OUR_NAMES, ColumnNames, open_listings
from rerank.jobs.files.places import place_of
from rerank.jobs.files.selection import select_files
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
from rerank.jobs.options import (
    existing_file,
    format_option,
    home_option,
    progress_bar,
    then,
    wait_option,
    writes,
)
from rerank.jobs.scoring.answering import Correction
from rerank.jobs.scoring.one_file import writer_of
from rerank.jobs.scoring.plan import check_file_target
from rerank.jobs.status import stale_verdicts
from rerank.jobs.tables import WIDTH, cut, plural, table
from rerank.store.database import Store, migrate, scratch
from rerank.store.importing import OnConflict
from rerank.store.tables import described_tables, tables_markdown
from rerank.verdicts import (
    NAMING,
    SAYABLE,
    Said,
    TextVerdict,
    VerdictSnapshot,
    open_verdicts,
    parts_of,
    save_verdict,
    undo_verdict,
)
from rerank.workspace import Workspace, domain_of_index

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


_vendor_option = click.option("--vendor", default="", help="The seller's brand field.")
_description_option = click.option(
    "--description", help="Of listings with this description only; default: whatever it is."
)
_by_option = click.option(
    "--annotator",
    callback=login_name,
    metavar="NAME",
    help="Who says so; default: your login name.",
)


@click.group("verdicts")
def verdicts_command() -> None:
    """Settle what a text sells: it stands before the model in resolve, score and nightly.

    What annotators agree on or somebody adjudicated stands too. docs/verdicts.md explains it.

    \b
    Example:
      rerank verdicts set "RTX 3080 10GB Gaming" --gpu "RTX 3080 10GB"
      rerank verdicts list
      rerank verdicts undo "RTX 3080 10GB Gaming"
    """


@verdicts_command.command("set", short_help="Say what a text sells.")
@click.argument("title")
@_vendor_option
@_description_option
@click.option(
    "--verdict",
    type=click.Choice([said.value for said in SAYABLE]),
    default=Said.MATCH.value,
    show_default=True,
    help="What it sells; not_this: whatever it sells, not this GPU.",
)
@click.option(
    "--gpu",
    "--product",
    "gpu",
    metavar="NAME",
    help="Of match and not_this: a gpu_id, a model, an alias, or a model with its memory; a "
    "product_id or a product's name.",
)
@_by_option
@click.option("--note", default="", help="Why, in words.")
@wait_option
@home_option
def set_command(
    title: str,
    vendor: str,
    description: str | None,
    verdict: str,
    gpu: str | None,
    annotator: str,
    note: str,
    wait_s: float,
    home: Path,
) -> None:
    """Say what listings of a title and vendor sell, from now on.

    Case, blanks and odd signs make no difference. A model named without its memory leaves the
    memory to the model that answers.

    \b
    Example:
      rerank verdicts set "RTX 3080 Gaming Z" --vendor MSI --gpu "RTX 3080 12GB"
      rerank verdicts set "RTX 3080 waterblock kit" --verdict not_gpu
      rerank verdicts set "RTX 4060 lp" --verdict not_this --gpu "RTX 4060 Ti"
    """
    said, workspace = Said(verdict), Workspace(home)
    if (said in NAMING) != (gpu is not None):
        raise click.UsageError("--gpu: expected with the verdicts match and not_this, and only so")
    named = None
    if gpu is not None:
        folder = workspace.active_index()
        named = domain_of_index(folder).names(folder).names.find(gpu)
    key, model = (named.gpu_id, named.model) if named else (None, None)
    given = TextVerdict(title, vendor, description, said, key, model, annotator, note=note)
    with Store(workspace.store_path, wait_s=wait_s).writing() as session:
        save_verdict(session, given)
    click.echo(f"{cut(title, 40)}: {_words(said, key, model)}, said by {annotator}")
    more = ["--vendor", vendor] if vendor else []
    more += [] if description is None else ["--description", description]
    click.echo(
        f"take it back with `{shlex.join(['rerank', 'verdicts', 'undo', title, *more])}`", err=True
    )


@verdicts_command.command("undo", short_help="Let a verdict stand no longer.")
@click.argument("title")
@_vendor_option
@_description_option
@_by_option
@wait_option
@home_option
@then("`rerank verdicts list{home}` shows what stands")
def undo_command(
    title: str, vendor: str, description: str | None, annotator: str, wait_s: float, home: Path
) -> None:
    """Take back what stands of a text; what stood before it stands again.

    What annotators settled on stays in the store and stands no longer: the model answers until
    somebody says more.

    \b
    Example:
      rerank verdicts set "RTX 3080 Gaming Z" --vendor MSI --gpu "RTX 3080 12GB"
      rerank verdicts undo "RTX 3080 Gaming Z" --vendor MSI
    """
    workspace = Workspace(home)
    with Store(workspace.store_path, wait_s=wait_s).writing() as session:
        undone = undo_verdict(session, title, vendor, description, annotator)
    now = _standing(workspace, Listing("", title, vendor, description or ""))
    click.echo(f"{cut(title, 40)}: {undone} undone; now {now or 'the model answers'}")


def _standing(workspace: Workspace, listing: Listing) -> str:
    """Return what stands of a listing, in words; empty if nothing."""
    snapshot = open_verdicts(workspace)
    hits = None if snapshot is None else snapshot.of([listing])
    if snapshot is None or hits is None or not len(hits.row):
        return ""
    ((row,), (n_rows,)) = hits.row.tolist(), hits.n_rows.tolist()
    return ", ".join(
        _row_words(_plain(each)) for each in snapshot.rows(np.arange(row, row + n_rows))
    )


@verdicts_command.command("list", short_help="Show what stands.")
@click.option("--stale", is_flag=True, help="Only those whose GPU or product is no longer known.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    help="Show this many, by text.",
)
@format_option
@home_option
@then("`rerank verdicts undo TEXT{home}` takes one back")
def list_command(stale: bool, limit: int, output_format: str, home: Path) -> None:
    """List the verdicts that stand, and what of them became a question.

    A verdict whose GPU or product left the registry or catalogue is a question: the model answers
    until somebody says more.

    \b
    Example:
      rerank verdicts list
      rerank verdicts list --stale --format json
    """
    workspace = Workspace(home)
    snapshot = open_verdicts(workspace)
    questions = stale_verdicts(workspace, snapshot)
    shown: list[dict[str, Any]] = []
    total = 0
    if snapshot is not None:
        texts = snapshot.by_text()
        chosen = texts[np.isin(texts, questions)] if stale else texts
        total = len(chosen)
        asked = set(questions.tolist())
        shown = [
            {**_plain(row), "stale": number in asked}
            for number, row in zip(
                chosen[:limit].tolist(), snapshot.rows(chosen[:limit]), strict=True
            )
        ]
    click.echo(json.dumps(shown, ensure_ascii=False) if output_format == "json" else _list(shown))
    if questions.size and not stale:
        say = plural(len(questions), "verdict")
        click.echo(f"{say} of what is no longer known: `rerank verdicts list --stale`", err=True)
    if total > len(shown):
        click.echo(f"{total - len(shown):,} of {total:,} not shown; see --limit", err=True)


@verdicts_command.command("near", short_help="Show what --near-verdicts would touch.")
@existing_file("listings_file")
@click.option(
    "--limit", type=click.IntRange(1), default=50, show_default=True, help="Show so many."
)
@format_option
@home_option
@then("`rerank score --near-verdicts {listings_file} resolved.parquet{home}` lets them hold")
def near_command(listings_file: Path, limit: int, output_format: str, home: Path) -> None:
    """Show the listings of a file that a verdict would hold for with --near-verdicts alone.

    Their texts differ from a verdict's in long serials only (six digits or more), such as numbers
    of lots and articles. Where such verdicts differ from each other, none holds.

    \b
    Example:
      rerank verdicts near listings.csv
    """
    snapshot = open_verdicts(Workspace(home))
    columns = seen_columns(select_files(str(listings_file)), home, OUR_NAMES)
    found = [] if snapshot is None else list(_near(snapshot, listings_file, columns))
    if output_format == "json":
        click.echo(json.dumps(found, ensure_ascii=False))
    else:
        rows = [
            [cut(row["listing_id"], 12), cut(row["title"], 30), cut(row["verdict_on"], 30)]
            for row in found[:limit]
        ]
        if rows:
            click.echo(table(("listing", "title", "verdict on"), rows, left=(0, 1, 2)))
    count = plural(len(found), "listing")
    click.echo(f"--near-verdicts would touch {count}, from now on of each run", err=True)


def _near(snapshot: VerdictSnapshot, path: Path, columns: ColumnNames) -> Iterator[dict[str, str]]:
    near = snapshot.with_near()
    for batch in open_listings(path, columns).batches(BATCH_ROWS):
        listings = batch.listings()
        hits = near.of(listings)
        new = ~np.isin(hits.listing, snapshot.of(listings).listing)
        for at, row in zip(hits.listing[new].tolist(), near.rows(hits.row[new]), strict=True):
            own, said = listings[at], _plain(row)
            yield {
                "listing_id": own.listing_id,
                "title": own.title,
                "vendor": own.vendor,
                "verdict_on": said["title"],
                "verdict": _row_words(said),
            }


@verdicts_command.command("apply", short_help="Correct results that `score` wrote.")
@existing_file("results")
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@encoding_option
@column_options
@writes("out")
@home_option
@then("`rerank verdicts list{home}` shows what stands")
def apply_command(
    results: Path,
    out: Path,
    encoding: str | None,
    columns_file: Path | None,
    home: Path,
    **named: str | None,
) -> None:
    """Write results of `rerank score` anew, corrected by what people settled since.

    A row that a verdict is about gets the person's answer, who gave it and when; what the model
    had answered in RESULTS stands beside it. All other rows stay as they are. The ending of OUT
    says its format, as in `rerank score`.

    \b
    Example:
      rerank verdicts apply resolved.parquet corrected.parquet
      rerank verdicts apply resolved.parquet corrected.csv
    """
    selection = select_files(str(results))
    place, target = selection.places()[0], place_of(out)
    check_file_target(place, target)
    columns = seen_columns(selection, home, column_names_of(columns_file, named))
    file = open_listings(results, columns, encoding)
    correct = Correction(home, place, file)
    n_rows = n_corrected = 0
    with (
        progress_bar("correcting") as progress,
        writing_file(out) as draft,
        draft.open("wb") as sink,
    ):
        with closing(writer_of(target, sink, correct.schema)) as writer:
            for batch in file.batches(BATCH_ROWS):
                rows, answers, corrected = correct(batch)
                writer.add(rows, answers)
                n_rows, n_corrected = n_rows + len(rows), n_corrected + corrected
                progress(n_rows / file.n_rows)
            writer.finish({})
    click.echo(f"{out}: {plural(n_rows, 'row')}, {n_corrected:,} corrected by people")


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {
        **parts_of(row["text"]),
        "verdict": row["kind"].value,
        "gpu_id": row["key"],
        "model": row["model"],
        "by": row["by"],
        "at": f"{row['at'].isoformat()}Z",
    }


def _list(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "No verdict stands."
    width = WIDTH - 12 - 30 - 12
    cells = [
        [
            cut(f"{row['title']} ({row['vendor']})" if row["vendor"] else row["title"], width - 2),
            cut(("? " if row["stale"] else "") + _row_words(row), 30),
            cut(row["by"], 10),
            row["at"][:10],
        ]
        for row in rows
    ]
    return table(("text", "verdict", "by", "at"), cells, left=(0, 1, 2, 3))


def _row_words(row: dict[str, Any]) -> str:
    return _words(Said(row["verdict"]), row["gpu_id"], row["model"])


def _words(said: Said, key: str | None, model: str | None) -> str:
    named = key or model
    if named is None:
        return said.value.replace("_", " ")
    return f"not {named}" if said is Said.NOT_THIS else named
