"""`rerank prices`: what resolved listings are sold for."""

from __future__ import annotations

from pathlib import Path

import click
import pyarrow.parquet as pq

from rerank.index.artifacts import writing_file
from rerank.index.errors import InputError
from rerank.jobs.files.places import Place
from rerank.jobs.files.selection import select_files
from rerank.jobs.options import then
from rerank.jobs.report.pricing import PriceColumns, price_report, prices_page, prices_text

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
    columns = PriceColumns(price_column, currency_column, day_column)
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
