"""`rerank dual-data`."""

from __future__ import annotations

from pathlib import Path

import click

from jobs.dual.data_files import write_gpu, write_synthetic
from jobs.options import home_option, seed_option
from jobs.progress import progress_bar
from jobs.workspace import Workspace


@click.command("dual-data")
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path), metavar="OUT.jsonl")
@click.option(
    "--gpu/--synthetic",
    default=True,
    show_default="--gpu",
    help="Generated listings with the GPU candidates of the index, or invented "
    "photographs of drinks.",
)
@click.option(
    "-n", "--n", type=click.IntRange(1), default=4000, show_default=True, help="Queries to write."
)
@seed_option
@home_option
def command(target: Path, gpu: bool, n: int, seed: int, home: Path) -> None:
    """Write scored queries: what `train-dual` reads.

    GPU candidates: compliance is agreement with what the listing states, conflict a
    contradiction of it, both from the record it was generated of. Photographs: vectors,
    region statistics, colour difference, subject ratio and conflict scores, some of them
    missing. 4,000 listings make 80 MB; an existing file is replaced.

    \b
    Example:
      rerank dual-data --gpu gpu.jsonl --n 4000 --seed 1
      rerank dual-data --synthetic photographs.jsonl --n 1500
    """
    if gpu:
        with progress_bar("candidates") as progress:
            write_gpu(Workspace(home), target, n, seed=seed, progress=progress)
    else:
        write_synthetic(target, n, seed=seed)
    click.echo(f"{n} queries in {target}", err=True)
