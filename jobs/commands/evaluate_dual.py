"""`rerank evaluate-dual`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from jobs.dual.tables import report_text
from jobs.options import format_option, home_option, seed_option
from jobs.workspace import Workspace
from rerank.dual.experiment import MODEL_FOLDER, evaluate_dual
from rerank.dual.model import DualModel
from rerank.dual.reading import read_scored
from rerank.dual.splitting import held_out
from rerank.evaluation.intervals import DEFAULT_SAMPLES


@click.command("evaluate-dual")
@click.argument("data", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--model",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Output of `train-dual`, or the model in it; default: HOME/models/dual.",
)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Measure on all queries, also on canonical ids the model may have been trained on.",
)
@click.option(
    "--samples",
    type=click.IntRange(1),
    default=DEFAULT_SAMPLES,
    show_default=True,
    help="Bootstrap samples of queries.",
)
@seed_option
@format_option
@home_option
def command(
    data: Path,
    model: Path | None,
    everything: bool,
    samples: int,
    seed: int,
    output_format: str,
    home: Path,
) -> None:
    """Measure a dual-objective ranker against the order by cosine.

    Reads scored JSON lines, as `train-dual` does, and measures on the canonical ids that the
    model's training kept for testing.

    \b
    Example:
      rerank evaluate-dual gpu.jsonl
      rerank evaluate-dual gpu.jsonl --model dual/model --format json
    """
    folder = model or Workspace(home).dual_folder
    within = folder / MODEL_FOLDER
    loaded = DualModel.load(within if model is None or within.is_dir() else folder)
    read = read_scored(data, max_bad_share=loaded.config.inputs.max_bad_share)
    for fault in read.faults:
        click.echo(f"left out {data}: {fault}", err=True)
    scored = read.scored
    if not everything:
        scored = held_out(scored, test_percent=loaded.config.split.test_percent)
    report = evaluate_dual(loaded, scored, samples=samples, seed=seed)
    click.echo(json.dumps(report) if output_format == "json" else report_text(report))
    click.echo(f"{report['queries']} queries, model {report['model_version']}", err=True)
