"""`rerank evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from jobs.evaluating import EvaluationPlan, evaluate_workspace
from jobs.options import NumberRange, format_option, home_option, ranker_options, wait_option
from jobs.progress import stage_progress
from jobs.reports import report_text
from jobs.workspace import Workspace
from rerank.conformal import DEFAULT_COVERAGE
from rerank.evaluation.evaluate import DEFAULT_SEED
from rerank.evaluation.intervals import DEFAULT_SAMPLES


@click.command("evaluate")
@click.option(
    "--gold",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="Gold CSV, may be repeated; default: the shipped hard set and listings "
    "generated for models that nothing was trained on.",
)
@click.option("--annotations", is_flag=True, help="Measure on the store's annotated listings too.")
@click.option(
    "--bootstrap",
    type=click.IntRange(0),
    default=2000,
    show_default=True,
    help="Generated listings, without --gold and --annotations.",
)
@click.option(
    "--baselines/--no-baselines",
    default=True,
    show_default=True,
    help="Measure fuzzy matching, n-grams and the token rule beside it.",
)
@click.option(
    "--coverage",
    type=NumberRange(0, 1, min_open=True, max_open=True),
    default=DEFAULT_COVERAGE,
    show_default=True,
    help="Coverage that candidate sets are to hold.",
)
@click.option(
    "--samples",
    type=click.IntRange(1),
    default=DEFAULT_SAMPLES,
    show_default=True,
    help="Resamples behind each interval.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=DEFAULT_SEED,
    show_default=True,
    help="Of the resamples.",
)
@ranker_options
@format_option
@wait_option
@home_option
def command(output_format: str, home: Path, wait_s: float, **options: Any) -> None:
    """Measure the model against gold listings and baselines.

    Records the run in HOME/store.duckdb and writes HOME/reports/reranker_metrics.json and
    reranker_report.html, a page that opens offline. A gold file has the columns listing_id, title,
    vendor, kind (match, nil or ambiguous), gold_models, gold_memory_gb and gold_form; shop,
    language and listing_group, if there, are measured apart or kept together.

    \b
    Example:
      rerank evaluate
      rerank evaluate --gold my_gold.csv --no-baselines
      rerank evaluate --annotations --coverage 0.99
    """
    workspace = Workspace(home)
    plan = EvaluationPlan(gold_files=options.pop("gold"), **options)
    with stage_progress() as progress:
        report = evaluate_workspace(workspace, plan, wait_s=wait_s, progress=progress)
    click.echo(json.dumps(report) if output_format == "json" else report_text(report))
    click.echo(f"report: {workspace.report_path} and {workspace.report_page.name}", err=True)
