"""`rerank train-cross-encoder`."""

from __future__ import annotations

from pathlib import Path

import click

from jobs.cross_encoder.training import train_cross_encoder
from jobs.options import home_option
from jobs.progress import stage_progress
from jobs.workspace import Workspace


@click.command("train-cross-encoder")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="YAML file; its keys are in docs/cross-encoder.md.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder to write; default: `output` of the file, else HOME/models/cross-encoder.",
)
@click.option("--resume", is_flag=True, help="Go on with a run that was stopped, if there is one.")
@home_option
def command(config: Path, output: Path | None, resume: bool, home: Path) -> None:
    """Train a cross-encoder on query packs, by LoRA or QLoRA.

    A run that was stopped leaves DIR.checkpoint beside DIR; with --resume it ends as it would
    have ended. The folder holds adapter, head, and the merged model as ONNX. On the CPU.
    `rerank pairs export --format query-packs` writes what it trains on.

    \b
    Example:
      rerank train-cross-encoder --config configs/train_qlora.yaml
      rerank train-cross-encoder --config configs/train_qlora.yaml --resume
    """
    with stage_progress() as progress:
        report = train_cross_encoder(
            config,
            Workspace(home),
            output=output,
            resume=resume,
            warn=lambda message: click.echo(f"warning: {message}", err=True),
            progress=progress,
        )
    best = report.best
    click.echo(
        f"{report.steps} steps in {report.seconds:.0f} s; step {report.best_step} validated best, "
        f"on {best.queries} queries: precision@1 {best.precision_at_1:.3f}, MRR {best.mrr:.3f}, "
        f"loss {best.loss:.3f}",
        err=True,
    )
    int8 = "" if report.int8_difference is None else f", of 8 bits {report.int8_difference:.1g}"
    click.echo(
        f"cross-encoder {report.version} in {report.folder}: graph and torch differ by at most "
        f"{report.parity:.1g}{int8}"
    )
