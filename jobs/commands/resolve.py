"""`rerank resolve` and `search`: titles on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from rerank.domain import domain_in, domain_named
from rerank.explanation import Explanation
from rerank.index.records import N_CANDIDATES, Listing
from rerank.jobs.options import (
    candidate_set_option,
    format_option,
    home_option,
    ranker_options,
    then,
    verdict_options,
)
from rerank.jobs.tables import explanation_text, hits_text, resolution_text
from rerank.lifecycle.opening import heeding_people, open_resolver, people_of
from rerank.rankers.kinds import RankerKind
from rerank.resolution import Resolution
from rerank.workspace import Workspace, open_source


@click.command("resolve")
@click.argument("titles", metavar="TITLE...", nargs=-1, required=True)
@click.option("--vendor", default="", help="The seller's brand field.")
@format_option
@click.option("--explain", "explained", is_flag=True, help="Add the features that decided.")
@candidate_set_option
@click.option(
    "--top-k",
    type=click.IntRange(1, 1000),
    default=5,
    show_default=True,
    help=f"Candidates shown: of the {N_CANDIDATES} that decide, the best.",
)
@ranker_options
@verdict_options
@home_option
@then("`rerank score LISTINGS.csv resolved.parquet{home}` resolves a whole file")
def resolve_command(
    titles: tuple[str, ...],
    vendor: str,
    output_format: str,
    explained: bool,
    coverage: float | None,
    top_k: int,
    ranker: RankerKind | None,
    cascade: bool,
    verdicts: bool,
    near_verdicts: bool,
    home: Path,
) -> None:
    """Name the GPU each title sells, how sure that is, and why.

    A title has spaces: put quotes about each. For `-`, each line of stdin is a title.

    \b
    Example:
      rerank resolve "gigabyte RTX5070Ti windforce sff 16g"
      rerank resolve "RTX 4090 24gb" "Sapphire Nitro+ RX6700XT 12G"
      rerank resolve --format json --explain "RTX 3080 box only"
      rerank resolve --candidate-set 0.95 "MSI Gaming X GTX 1060 / 1070 untested"
      rerank resolve --format json - < titles.txt
    """
    resolver = open_resolver(home, ranker=ranker, cascade=cascade)
    people = people_of(Workspace(home)) if verdicts else None
    if people is not None:
        people = people.with_near() if near_verdicts else people
        resolver = heeding_people(Workspace(home), resolver, people)
    for number, listing in enumerate(_listings(titles, vendor)):
        answers = resolver.answers([listing], explain=explained)
        (whole,) = resolver.resolutions(answers)
        models = None if coverage is None else resolver.candidate_set(whole, coverage=coverage)
        why = answers.explanations[0] if explained and whole.candidates else None
        answer = replace(whole, candidates=whole.candidates[:top_k])
        if number and output_format == "table":
            click.echo()
        click.echo(_SHOWN_AS[output_format](listing, answer, models, why))


def _listings(titles: Iterable[str], vendor: str) -> Iterator[Listing]:
    for title in titles:
        if title == "-":
            lines = click.open_file("-", encoding="utf-8", errors="replace")
            yield from (Listing("", line.rstrip("\r\n"), vendor) for line in lines)
        else:
            yield Listing("", title, vendor)


def _json(
    listing: Listing, answer: Resolution, models: Sequence[str] | None, why: Explanation | None
) -> str:
    row: dict[str, Any] = {"title": listing.title, "vendor": listing.vendor, **asdict(answer)}
    if answer.provenance is not None:
        row |= answer.provenance.columns(answer.key_column)
        del row["provenance"]
    if models is not None:
        row["candidate_set"] = models
    if why is not None:
        row["explanation"] = asdict(why)
    return json.dumps(row, ensure_ascii=False)


def _text(
    listing: Listing, answer: Resolution, models: Sequence[str] | None, why: Explanation | None
) -> str:
    text = resolution_text(listing.title, answer, models)
    return text if why is None else f"{text}\n\n{explanation_text(why)}"


_SHOWN_AS = {"json": _json, "table": _text}


@click.command("search")
@click.argument("title")
@click.option("--vendor", default="", help="The seller's brand field.")
@click.option(
    "-k",
    "--top-k",
    type=click.IntRange(1, 1000),
    default=10,
    show_default=True,
    help="Candidates shown.",
)
@click.option(
    "--route",
    default="fused",
    show_default=True,
    help="vector: FAISS alone; name: names alone; fused: both. Over a catalogue of your own also "
    "word, ngram and identifier.",
)
@format_option
@home_option
@then("`rerank resolve {title}{home}` says which of them it is")
def search_command(
    title: str, vendor: str, top_k: int, route: str, output_format: str, home: Path
) -> None:
    """Show the candidates a title retrieves, before any ranking.

    \b
    Example:
      rerank search "RTX4090 founders edition" -k 5
      rerank search --route vector --format json "quadro p2000 5gb"
    """
    source, index = open_source(Workspace(home))
    domain = domain_named(domain_in(index.parameters))
    hits = domain.hits(source, Listing("", title, vendor), top_k, route)
    if output_format == "json":
        click.echo(json.dumps({"title": title, "route": route, "candidates": hits}))
    else:
        click.echo(hits_text(hits))
