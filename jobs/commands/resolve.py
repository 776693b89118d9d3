"""`rerank resolve`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from index.records import Listing
from jobs.explanation import Explanation, explain
from jobs.options import format_option, home_option
from jobs.resolving import resolve_listings
from jobs.tables import explanation_text, resolution_text
from jobs.workspace import open_resolver
from rerank.resolver import Resolution


@click.command("resolve")
@click.argument("title")
@click.option("--vendor", default="", help="The seller's brand field.")
@format_option
@click.option("--explain", "explained", is_flag=True, help="Add the features that decided.")
@click.option("--top-k", type=click.IntRange(1, 1000), default=5, show_default=True,
              help="Candidates shown.")  # fmt: skip
@home_option
def command(
    title: str, vendor: str, output_format: str, explained: bool, top_k: int, home: Path
) -> None:
    """Name the GPU a title sells, how sure that is, and why.

    TITLE may be `-`: then each line of stdin is a title.

    \b
    Example:
      rerank resolve "gigabyte RTX5070Ti windforce sff 16g"
      rerank resolve --format json --explain "RTX 3080 box only"
      rerank resolve --format json - < titles.txt
    """
    resolver = open_resolver(home)
    for number, listing in enumerate(_listings(title, vendor)):
        (answer,) = resolve_listings(resolver, [listing], top_k=top_k)
        why = explain(resolver, listing) if explained and answer.candidates else None
        _show(number, listing, answer, why, output_format)


def _listings(title: str, vendor: str) -> Iterable[Listing]:
    if title != "-":
        return [Listing("", title, vendor)]
    lines = click.open_file("-", encoding="utf-8", errors="replace")
    return (Listing("", line.rstrip("\r\n"), vendor) for line in lines)


def _show(
    number: int, listing: Listing, answer: Resolution, why: Explanation | None, output_format: str
) -> None:
    if output_format == "json":
        row: dict[str, Any] = {"title": listing.title, "vendor": listing.vendor, **asdict(answer)}
        if why is not None:
            row["explanation"] = asdict(why)
        click.echo(json.dumps(row, ensure_ascii=False))
        return
    if number:
        click.echo()
    click.echo(resolution_text(listing.title, answer))
    if why is not None:
        click.echo("\n" + explanation_text(why))
