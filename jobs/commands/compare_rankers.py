"""`rerank compare-rankers`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from index.artifacts import write_json
from jobs.comparing.measuring import (
    BOOTSTRAP_LISTINGS,
    ComparisonPlan,
    compare_rankers,
)
from jobs.comparing.text import comparison_text
from jobs.options import format_option, home_option
from jobs.progress import stage_progress
from jobs.workspace import Workspace
from rerank.evaluation.evaluate import DEFAULT_SEED
from rerank.evaluation.intervals import DEFAULT_SAMPLES


def _named_folders(
    context: click.Context, parameter: click.Parameter, given: tuple[str, ...]
) -> dict[str, Path]:
    """Return the folders of ``NAME=FOLDER`` by name."""
    found: dict[str, Path] = {}
    for text in given:
        name, separator, folder = text.partition("=")
        name = name.strip()
        if not (separator and name and name.isprintable() and Path(folder).is_dir()):
            raise click.BadParameter(f"expected NAME=FOLDER with a folder that is there: {text!r}")
        if name in found:
            raise click.BadParameter(f"{name!r} is given twice")
        found[name] = Path(folder)
    return found


@click.command("compare-rankers")
@click.option(
    "--gold",
    "gold_files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Gold CSV to measure on beside the shipped sets; may be repeated.",
)
@click.option(
    "--bootstrap",
    type=click.IntRange(0),
    default=BOOTSTRAP_LISTINGS,
    show_default=True,
    help="Generated listings of models that nothing was trained on.",
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    metavar="N",
    help="Listings of each set, drawn by the seed; a cross-encoder does some 5 a "
    "second.  [default: all]",
)
@click.option(
    "--also",
    multiple=True,
    metavar="NAME=FOLDER",
    callback=_named_folders,
    help="A further model folder of `rerank train-decision`; may be repeated.",
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
    help="Of the listings drawn and the resamples.",
)
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where to write instead of HOME/reports/rankers.json, which `rerank evaluate` "
    "puts into its page.",
)
@format_option
@home_option
def command(
    gold_files: tuple[Path, ...],
    bootstrap: int,
    limit: int | None,
    also: dict[str, Path],
    samples: int,
    seed: int,
    report: Path | None,
    output_format: str,
    home: Path,
) -> None:
    """Measure all rankers that serve in the workspace beside each other.

    LambdaRank, pairwise, dual and cross-encoder, as far as `rerank train-decision` made them
    serve; LambdaRank with the cross-encoder behind it; the heuristic and the cosine as orders
    only. All rank the same candidates of the shipped hard set, generated listings and gold files.

    \b
    Example:
      rerank compare-rankers
      rerank compare-rankers --gold my_gold.csv --limit 300
      rerank compare-rankers --also qlora=other/models/served/cross-encoder/1a2b
    """
    workspace = Workspace(home)
    plan = ComparisonPlan(
        gold_files=gold_files,
        bootstrap=bootstrap,
        limit=limit,
        also=also,
        seed=seed,
        samples=samples,
    )
    with stage_progress() as progress:
        found = compare_rankers(workspace, plan, progress=progress)
    path = report or workspace.rankers_path
    write_json(found, path)
    click.echo(json.dumps(found) if output_format == "json" else comparison_text(found))
    click.echo(f"report: {path}", err=True)
