"""`rerank train-dual`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from jobs.dual.tables import report_text
from jobs.options import NumberRange, format_option, home_option
from jobs.progress import stage_progress
from jobs.workspace import Workspace
from rerank.dual.config import read_config, with_bounds
from rerank.dual.experiment import check_output, train_dual
from rerank.dual.reading import read_scored

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("train-dual")
@click.option(
    "--config",
    "settings",
    type=_FILE,
    required=True,
    metavar="FILE",
    help="YAML: label, inputs, split, network, training, search.",
)
@click.option(
    "--data", type=_FILE, metavar="FILE", help="Scored JSON lines, instead of the configuration's."
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where to write, instead of the configuration's; default: HOME/models/dual.",
)
@click.option(
    "--trials",
    type=click.IntRange(0),
    metavar="N",
    help="Search settings until the study has N trials; runs go on with those before them.",
)
@click.option("--minutes", type=NumberRange(0), metavar="M", help="Begin no trial after M minutes.")
@format_option
@home_option
def command(
    settings: Path,
    data: Path | None,
    output: Path | None,
    trials: int | None,
    minutes: float | None,
    output_format: str,
    home: Path,
) -> None:
    """Train a ranker for compliance and against conflicts at once.

    Learns y = lambda * compliance + (1 - lambda) * (1 - conflict) from pairs of each query's
    candidates, measures what embeddings, attributes, conflict features and the network each
    earn on canonical ids that nothing was trained on, and writes DIR/model and
    DIR/report.json.

    \b
    Example:
      rerank train-dual --config configs/dual_gpu.yaml --data gpu.jsonl
      rerank train-dual --config configs/cotrr_lite.yaml --trials 30 --minutes 10
    """
    config = with_bounds(read_config(settings), trials=trials, minutes=minutes)
    path = data or (Path(config.data) if config.data else None)
    if path is None:
        raise click.UsageError(f"--data: neither it nor the key 'data' of {settings} names a file")
    folder = output or (Path(config.output) if config.output else Workspace(home).dual_folder)
    check_output(folder)
    with stage_progress() as progress:
        progress("reading", 0.0)
        read = read_scored(path, max_bad_share=config.inputs.max_bad_share)
        for fault in read.faults:
            click.echo(f"left out {path}: {fault}", err=True)
        report = train_dual(read, config, folder, progress=progress)
    click.echo(json.dumps(report) if output_format == "json" else report_text(report))
    click.echo(f"model {report['model_version']} and report in {folder}", err=True)
