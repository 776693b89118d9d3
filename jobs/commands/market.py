"""`rerank prices` and `propose`: what listings are sold for, and what a catalogue lacks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq

from rerank.domain import domain_in, domain_named
from rerank.index.artifacts import writing_file
from rerank.index.errors import InputError
from rerank.jobs.files.listings import OUR_NAMES
from rerank.jobs.files.places import Place
from rerank.jobs.files.selection import select_files
from rerank.jobs.files.store_files import write_table
from rerank.jobs.options import home_option, then, writes
from rerank.jobs.report.pricing import price_report, prices_page, prices_text
from rerank.jobs.scoring.flat_files import without_formula
from rerank.jobs.scoring.plan import columns_of_output, opened_parquet
from rerank.jobs.tables import cut, plural, table
from rerank.proposals import Proposal, Unmatched, propose
from rerank.resolution import Decision
from rerank.workspace import Workspace, open_source

_NEW_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("prices")
@click.argument("sources", metavar="RESOLVED...", nargs=-1, required=True)
@click.option("--out", type=_NEW_FILE, metavar="FILE.parquet", help="Write all figures.")
@click.option("--odd", type=_NEW_FILE, metavar="FILE.parquet", help="Write all odd offers.")
@click.option("--html", type=_NEW_FILE, metavar="FILE.html", help="Write a page to look at.")
@click.option("--price-column", metavar="NAME", help="Your column that is the price.")
@click.option("--currency-column", metavar="NAME", help="Your column that is the currency.")
@click.option(
    "--day-column",
    metavar="NAME",
    help="Your column that is the day; default: the day in each file's or folder's name, else "
    "when it was written.",
)
@click.option("--review", is_flag=True, help="Count listings held for review, too.")
@then("`rerank score LISTINGS.csv resolved.parquet` resolves more to compare with")
@writes("out", "odd", "html")
def prices_command(
    sources: tuple[str, ...],
    out: Path | None,
    odd: Path | None,
    html: Path | None,
    price_column: str | None,
    currency_column: str | None,
    day_column: str | None,
    review: bool,
) -> None:
    """Say what models and variants sell for, by day, and which offers are odd.

    RESOLVED are parquet files that `rerank score` wrote, or folders of such, as `rerank nightly`
    leaves them. A listing counts by how sure its answer is; currencies are kept apart; prices are
    read as people write them, and those that cannot be are counted.

    \b
    Example:
      rerank prices resolved.parquet
      rerank prices resolved/ --html prices.html --out prices.parquet
      rerank prices resolved.parquet --price-column price --html prices.html
    """
    if out is not None and out == odd:
        raise click.UsageError("--out and --odd: name two files")
    columns = {"price": price_column, "currency": currency_column, "day": day_column}
    report = price_report(_places(sources), columns, review=review)
    for path, content in ((out, report.figures), (odd, report.odd)):
        if path is not None:
            with writing_file(path) as draft:
                pq.write_table(content, draft)
    if html is not None:
        with writing_file(html) as draft:
            draft.write_text(prices_page(report), encoding="utf-8")
    click.echo(prices_text(report))


def _places(sources: tuple[str, ...]) -> list[Place]:
    """Return the files that are meant.

    :raises InputError: if one is not there.
    """
    found: dict[str, Place] = {}
    for source in sources:
        try:
            places = select_files(source).places()
        except FileNotFoundError as exc:
            raise InputError(f"{exc}; give files that `rerank score` wrote") from exc
        found |= {place.path: place for place in places}
    return list(found.values())


@click.command("propose")
@click.argument("sources", metavar="RESOLVED...", nargs=-1, required=True)
@click.option(
    "--out",
    type=_NEW_FILE,
    metavar="FILE.csv",
    help="Write them, as .csv or .parquet, as rows of a registry, which `build-index --add` takes.",
)
@click.option("--accept", metavar="N,N", help="Write these only, by their numbers; default: all.")
@click.option(
    "--least",
    type=click.IntRange(2),
    default=3,
    show_default=True,
    help="Different titles that a product has at least.",
)
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="Shown.")
@home_option
@then("look at them, then `rerank build-index --add FILE.csv{home}`")
@writes("out")
def propose_command(
    sources: tuple[str, ...],
    out: Path | None,
    accept: str | None,
    least: int,
    top: int,
    home: Path,
) -> None:
    """Name products that listings sell and the registry or catalogue lacks.

    RESOLVED are parquet files that `rerank score` wrote. Listings that are no match, or held, are
    grouped by numbers that no known name has; each group gets a name, sizes, part numbers and
    examples. Look at them before you add them: what no listing states is taken from the line's
    other cards, and the column `assumed` says so.

    \b
    Example:
      rerank propose resolved.parquet
      rerank propose resolved.parquet --out new_gpus.csv --accept 1
    """
    source, index = open_source(Workspace(home))
    refusals = (*domain_named(domain_in(index.parameters)).refusals, *_NOT_READ)
    listings = [each for place in _places(sources) for each in unmatched(place, refusals)]
    records = source.table.records
    named = records if hasattr(records[0], "line") else source.table.models
    found = propose(listings, named, least=least)
    chosen = found if accept is None else _chosen(found, accept)
    if out is not None and chosen:
        rows = [row for each in chosen for row in each.rows()]
        if out.suffix == ".csv":
            rows = [
                {
                    name: without_formula(cell) if isinstance(cell, str) else cell
                    for name, cell in row
                }
                for row in map(dict.items, rows)
            ]
        write_table(pa.Table.from_pylist(rows), out, overwrite=True)  # `writes` has refused
    click.echo(proposals_text(found[:top], len(found), len(listings)))


_NOT_READ = ("bad row", "no title")


def unmatched(place: Place, refusals: tuple[str, ...]) -> list[Unmatched]:
    """Return the listings of a resolved file that are no match, or held, and may sell something.

    :param refusals: how reasons begin of those that sell nothing.
    :raises InputError: if it is no file of answers.
    """
    names = columns_of_output(place, OUR_NAMES)
    wanted = [names.listing_id, names.title, "decision", "reason"]
    try:
        with opened_parquet(place) as file:
            missing = sorted(set(wanted) - set(file.schema_arrow.names))
            if missing:
                raise InputError(
                    f"{place}: expected answers of `rerank score`, found no column "
                    f"{', '.join(missing)}; score the listings first"
                )
            columns = [file.read([name]).column(0).to_pylist() for name in wanted]
    except (pa.ArrowException, OSError) as exc:
        raise InputError(f"{place}: cannot be read as parquet: {exc}") from exc
    return [
        Unmatched(str(listing_id), title)
        for listing_id, title, decision, reason in zip(*columns, strict=True)
        if decision != Decision.MATCH
        and isinstance(title, str)
        and not (reason or "").startswith(refusals)
    ]


def proposals_text(shown: Sequence[Proposal], n_found: int, n_listings: int) -> str:
    """Return proposals for people."""
    held = f"{plural(n_listings, 'listing')} without a match that may sell something"
    if not shown:
        return f"{held}: none looks like a product of its own"
    rows = [
        [
            str(number),
            cut(each.name, 32),
            "/".join(f"{size:g}" for size in each.sizes) or "-",
            each.memory_type or "-",
            f"{len(each.listings):,}",
            cut(each.examples[0], 24),
        ]
        for number, each in enumerate(shown, 1)
    ]
    header = ("", "looks like", "GB", "type", "listings", "such as")
    more = f"\nand {n_found - len(shown):,} more: --top" if n_found > len(shown) else ""
    return f"{held}\n\n{table(header, rows, left=(1, 3, 5))}{more}"


def _chosen(found: list[Proposal], accept: str) -> list[Proposal]:
    """Return the proposals of some numbers.

    :raises click.UsageError: if one is no number of theirs.
    """
    numbers = [each.strip() for each in accept.split(",")]
    if not all(each.isdigit() and 0 < int(each) <= len(found) for each in numbers):
        raise click.UsageError(f"--accept: expected numbers from 1 to {len(found)}, got {accept!r}")
    return [found[int(each) - 1] for each in dict.fromkeys(numbers)]
