"""`rerank evaluate`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from jobs.evaluating import evaluate_workspace
from jobs.options import format_option, home_option
from jobs.progress import stage_progress
from jobs.reports import report_text
from jobs.workspace import Workspace


@click.command("evaluate")
@click.option("--gold", type=click.Path(exists=True, dir_okay=False, path_type=Path), multiple=True,
              help="Gold CSV, may be repeated; default: the shipped hard set and listings "
              "generated for models that nothing was trained on.")  # fmt: skip
@click.option("--bootstrap", type=click.IntRange(0), default=2000, show_default=True,
              help="Generated listings, when no --gold is given.")  # fmt: skip
@click.option("--baselines/--no-baselines", default=True, show_default=True,
              help="Measure fuzzy matching, n-grams and the token rule beside it.")  # fmt: skip
@format_option
@home_option
def command(
    gold: tuple[Path, ...], bootstrap: int, baselines: bool, output_format: str, home: Path
) -> None:
    """Measure the model against gold listings and baselines.

    Writes HOME/reports/reranker_metrics.json. A gold file has the columns listing_id, title,
    vendor, kind (match, nil or ambiguous), gold_models, gold_memory_gb and gold_form.

    \b
    Example:
      rerank evaluate
      rerank evaluate --gold my_gold.csv --no-baselines
    """
    workspace = Workspace(home)
    with stage_progress() as progress:
        report = evaluate_workspace(
            workspace, gold, bootstrap=bootstrap, baselines=baselines, progress=progress
        )
    click.echo(json.dumps(report) if output_format == "json" else report_text(report))
    click.echo(f"report: {workspace.report_path}", err=True)
