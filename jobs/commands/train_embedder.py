"""`rerank train-embedder`."""

from __future__ import annotations

from pathlib import Path

import click

from index.embedder_training import EmbedderParameters
from index.registry import load_registry, registry_fingerprint
from index.shipped import shipped
from jobs.lifecycle.origin import generator_fingerprint
from jobs.lifecycle.parts import keeping_part
from jobs.options import home_option, registry_option, seed_option
from jobs.progress import progress_bar
from jobs.training import train_workspace_embedder
from jobs.workspace import Workspace


@click.command("train-embedder")
@click.option(
    "--listings",
    type=click.IntRange(100),
    default=24_000,
    show_default=True,
    help="Generated listings to train on.",
)
@click.option("--epochs", type=click.IntRange(1), default=4, show_default=True)
@click.option("--dimension", type=click.IntRange(8, 4096), default=256, show_default=True)
@seed_option
@registry_option
@home_option
def command(
    listings: int, epochs: int, dimension: int, seed: int, registry: Path | None, home: Path
) -> None:
    """Train the default embedder on generated pairs of listings and GPUs.

    Writes HOME/embedder. An index knows its embedder, so build the index and train the ranker
    anew afterwards.

    \b
    Example:
      rerank train-embedder && rerank build-index && rerank train-ltr
    """
    records = load_registry(registry or shipped("registry"))
    workspace = Workspace(home)
    folder = workspace.embedder_folder
    parameters = EmbedderParameters(dimension=dimension, epochs=epochs, seed=seed)
    data = {
        "registry": registry_fingerprint(records),
        "generator": generator_fingerprint(),
        "listings": listings,
    }
    with (
        keeping_part(workspace, "embedder", data),
        progress_bar("training the embedder") as progress,
    ):
        losses = train_workspace_embedder(
            records, folder, listings=listings, parameters=parameters, progress=progress
        )
    click.echo(f"embedder in {folder}; loss by epoch: {', '.join(f'{x:.4f}' for x in losses)}")
