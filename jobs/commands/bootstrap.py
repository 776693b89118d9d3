"""`rerank bootstrap`."""

from __future__ import annotations

from pathlib import Path

import click

from index.errors import InputError
from index.registry import load_registry
from index.shipped import shipped
from jobs.bootstrap_files import check_suffix, write_labelled
from jobs.options import NumberRange, registry_option, seed_option
from rerank.bootstrap import generate


@click.command("bootstrap")
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path), metavar="OUT")
@click.option(
    "-n",
    "--n",
    type=click.IntRange(1),
    default=10_000,
    show_default=True,
    help="Listings to write.",
)
@click.option(
    "--nil-share",
    type=NumberRange(0, 1),
    default=0.35,
    show_default=True,
    help="Share that sells no GPU of the registry.",
)
@seed_option
@registry_option
def command(target: Path, n: int, nil_share: float, seed: int, registry: Path | None) -> None:
    """Write generated, labelled listings of every GPU of the registry.

    OUT ends in .parquet, .csv or .jsonl; an existing file is replaced.

    \b
    Example:
      rerank bootstrap listings.csv --n 5000 --seed 1
    """
    check_suffix(target)
    if registry is not None and target.resolve() == registry.resolve():
        raise InputError(f"{target}: is the registry itself; choose another output")
    if nil_share != nil_share:
        raise click.UsageError("--nil-share: expected a number from 0 to 1, got nan")
    records = load_registry(registry or shipped("registry"))
    write_labelled(generate(records, n, seed=seed, nil_share=nil_share), target)
    click.echo(f"{n} listings in {target}", err=True)
