"""`rerank train-decision`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from jobs.options import NumberRange, home_option, seed_option, serve_option
from jobs.progress import stage_progress
from jobs.training import scaled, train_workspace_decision
from jobs.workspace import Workspace
from rerank.ranker_folder import RankerFolder, RankerKind
from rerank.training_sets import TrainingParameters

_KINDS = [kind.value for kind in RankerKind if kind is not RankerKind.LTR]


@click.command("train-decision")
@click.argument("kind", type=click.Choice(_KINDS))
@click.option(
    "--from",
    "trained",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="The trained ranker; by default the workspace's.",
)
@click.option(
    "--scale",
    type=NumberRange(0.01, 20),
    default=1.0,
    show_default=True,
    help="Generated listings, as a multiple of the default 66,000.",
)
@click.option(
    "--precision",
    type=NumberRange(0.5, 0.9999),
    default=0.99,
    show_default=True,
    help="Precision that decisions of `match` are to have.",
)
@serve_option
@seed_option
@home_option
def command(
    kind: str,
    trained: Path | None,
    scale: float,
    precision: float,
    serve: bool,
    seed: int,
    home: Path,
) -> None:
    """Train what decides on the scores of a ranker that is no LambdaRank.

    The offer classifier, the calibrator, the thresholds and the candidate sets belong to one
    ranker's scores. Copies the ranker beside them into HOME/models/served/KIND/VERSION, which
    `--ranker KIND` then serves; it becomes the challenger, for `rerank models promote`. A
    cross-encoder scores slowly: give it a small --scale.

    \b
    Example:
      rerank train-decision pairwise
      rerank train-decision cross-encoder --from my_run --scale 0.05
    """
    workspace = Workspace(home)
    chosen = workspace.trained_ranker(RankerKind(kind))
    if trained is not None:
        chosen = RankerFolder(chosen.kind, trained)
    parameters = scaled(replace(TrainingParameters(), precision=precision, seed=seed), scale)
    with stage_progress() as progress:
        version = train_workspace_decision(
            workspace, chosen, parameters, serve=serve, progress=progress
        )
    click.echo(version.text())
