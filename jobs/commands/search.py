"""`rerank search`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from index.records import Listing, Route
from jobs.options import format_option, home_option
from jobs.searching import search
from jobs.tables import hits_text
from jobs.workspace import Workspace, open_retriever


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
    type=click.Choice([route.value for route in Route]),
    default="fused",
    show_default=True,
    help="FAISS alone, names alone, or both.",
)
@format_option
@home_option
def command(
    title: str, vendor: str, top_k: int, route: str, output_format: str, home: Path
) -> None:
    """Show the candidates a title retrieves, before any ranking.

    \b
    Example:
      rerank search "RTX4090 founders edition" -k 5
      rerank search --route vector --format json "quadro p2000 5gb"
    """
    retriever, _ = open_retriever(Workspace(home))
    hits = search(retriever, Listing("", title, vendor), n_candidates=top_k, route=Route(route))
    if output_format == "json":
        click.echo(json.dumps({"title": title, "route": route, "candidates": hits}))
    else:
        click.echo(hits_text(hits))
