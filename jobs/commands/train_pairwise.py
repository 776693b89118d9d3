"""`rerank train-pairwise`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from jobs.options import NumberRange, format_option, home_option, seed_option
from jobs.pairwise import PairInput, train_pairwise_ranker
from jobs.pairwise_tables import ranker_text
from jobs.progress import progress_bar
from jobs.workspace import Workspace
from rerank.pairwise.dataset import DEFAULT_BAD_SHARE
from rerank.pairwise.parameters import Loss, PairwiseParameters
from rerank.pairwise.training import DEFAULT_NAME, TrainingPlan

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("train-pairwise")
@click.option(
    "--input",
    "dataset",
    type=_FILE,
    required=True,
    metavar="FILE",
    help="Pairs as JSON lines, such as `rerank pairs export` writes.",
)
@click.option(
    "--output",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder of pairwise rankers; default: HOME/models/pairwise, where it serves. "
    "Rankers of other names in it stay.",
)
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="What its files begin with.")
@click.option(
    "--embedding-dim",
    type=click.IntRange(0),
    show_default="as in the data",
    help="Length of the embeddings, such as 1536; 0 leaves them out.",
)
@click.option(
    "--embeddings",
    type=_FILE,
    metavar="FILE",
    help="JSON lines of embedding_id and embedding, for items that name theirs by id.",
)
@click.option(
    "--index-embeddings",
    is_flag=True,
    help="Look up embedding ids index:GPU_ID in the workspace's index.",
)
@click.option(
    "--hidden-dim",
    type=click.IntRange(2),
    default=256,
    show_default=True,
    help="Width of the first layer; the second has half of it.",
)
@click.option(
    "--learning-rate",
    type=NumberRange(0, min_open=True),
    default=0.001,
    show_default=True,
    help="Of AdamW.",
)
@click.option(
    "--batch-size", type=click.IntRange(1), default=32, show_default=True, help="Pairs a step."
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    help="Passes over the pairs, at most.",
)
@click.option(
    "--margin",
    type=NumberRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="By which the better item is to be ahead, of --loss margin.",
)
@click.option(
    "--loss",
    type=click.Choice([loss.value for loss in Loss]),
    default=Loss.MARGIN.value,
    show_default=True,
    help="Margin ranking loss or RankNet; equals add their squared difference.",
)
@click.option(
    "--validation-share",
    type=NumberRange(0, 0.9),
    default=0.2,
    show_default=True,
    help="Pairs held out; those of one listing or item stay together.",
)
@click.option(
    "--patience",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="Epochs without a lower loss on held-out pairs before it stops; 0: never.",
)
@click.option(
    "--max-bad-share",
    type=NumberRange(0, 1),
    default=DEFAULT_BAD_SHARE,
    show_default=True,
    help="Lines that may be no pair before it stops.",
)
@click.option(
    "--continue-from",
    type=_FILE,
    metavar="NAME.pth",
    help="Go on from a trained network, its metadata beside it.",
)
@seed_option
@format_option
@home_option
def command(
    dataset: Path,
    folder: Path | None,
    name: str,
    embedding_dim: int | None,
    embeddings: Path | None,
    index_embeddings: bool,
    max_bad_share: float,
    continue_from: Path | None,
    output_format: str,
    home: Path,
    **parameters: Any,
) -> None:
    """Train a pairwise ranker: a network that says which of two items is better.

    Reads items' metrics and, if there are any, their embeddings. Writes NAME.pth, NAME.onnx (two
    items), NAME_scorer.onnx (one item), NAME_metadata.json and active_model.json.

    \b
    Example:
      rerank train-pairwise --input data/ranker/dataset.jsonl
      rerank train-pairwise --input dataset.jsonl --output models/projects \\
        --name projects --loss ranknet --epochs 30
      rerank train-pairwise --input more.jsonl --output models/projects \\
        --name projects --continue-from models/projects/projects.pth
    """
    workspace = Workspace(home)
    parameters["loss"] = Loss(parameters["loss"])
    plan = TrainingPlan(
        folder=folder or workspace.pairwise_folder,
        name=name,
        embedding_dim=embedding_dim,
        parameters=PairwiseParameters(**parameters),
        continue_from=continue_from,
    )
    source = PairInput(
        dataset=dataset,
        embeddings=embeddings,
        max_bad_share=max_bad_share,
        index_embeddings=index_embeddings,
    )
    with progress_bar("training") as progress:
        metadata = train_pairwise_ranker(
            workspace,
            source,
            plan,
            progress=progress,
            warn=lambda message: click.echo(f"warning: {message}", err=True),
        )
    click.echo(
        json.dumps(metadata) if output_format == "json" else ranker_text(metadata, plan.folder)
    )
