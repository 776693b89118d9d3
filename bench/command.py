"""`python -m bench`, from a checkout: what the wheel has no use for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from bench.measuring import DEFAULT_SEED, Scale, settings_of
from bench.report import benchmark_page, comparisons_text, read_report, run_bench
from bench.tools import chosen_parts
from rerank.index.artifacts import write_json, writing_file
from rerank.jobs.cli import ExplainedCommand
from rerank.jobs.options import format_option, home_option
from rerank.workspace import Workspace


@click.command("bench", cls=ExplainedCommand)
@click.option("--quick", is_flag=True, help="Everything tiny: a first look in a minute.")
@click.option(
    "--full",
    is_flag=True,
    help="Up to 1,000,000 listings and vectors, and 5,000,000 "
    "listings for memory: an hour or more.",
)
@click.option(
    "--only",
    metavar="PART,...",
    help="Measure these parts; others stay as they are in an earlier report.",
)
@click.option(
    "--listings", type=click.IntRange(100), help="Of the feeds scored end to end; default: 100,000."
)
@click.option("--repeats", type=click.IntRange(1, 100), help="Of each measurement; default: 3.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write instead of HOME/reports/bench.json.",
)
@click.option(
    "--page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the tables instead of bench.md beside it.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=DEFAULT_SEED,
    show_default=True,
    help="Of the generated listings and vectors.",
)
@format_option
@home_option
@click.pass_context
def bench_command(
    context: click.Context,
    /,
    quick: bool,
    full: bool,
    only: str | None,
    listings: int | None,
    repeats: int | None,
    out: Path | None,
    page: Path | None,
    seed: int,
    output_format: str,
    home: Path,
) -> None:
    """Measure speed, memory and growth, side by side with what others do.

    Parts: end-to-end, rapidfuzz, rivals, cross-encoder, floor, stages, listings, registry,
    candidates, threads, memory (with --full or --quick, or by name). A part that fails is named,
    the others are kept, and the exit code is 1.

    \b
    Example:
      python -m bench --quick
      python -m bench --page docs/benchmarks.md
      python -m bench --only end-to-end,rapidfuzz --listings 20000
    """
    if quick and full:
        raise click.UsageError("--quick and --full exclude each other: give one of them")
    scale = Scale.QUICK if quick else Scale.FULL if full else Scale.DEFAULT
    names = chosen_parts(only, scale)
    out = out or Workspace(home).report_path.with_name("bench.json")
    page = page or out.with_suffix(".md")

    def save(report: dict[str, Any]) -> None:
        write_json(report, out)
        with writing_file(page) as draft:
            draft.write_text(benchmark_page(report), encoding="utf-8")

    report = run_bench(
        home,
        settings_of(scale, seed=seed, listings=listings, repeats=repeats),
        names,
        earlier=read_report(out) if only and out.exists() else None,
        say=lambda text: click.echo(text, err=True),
        save=save,
    )
    click.echo(json.dumps(report) if output_format == "json" else comparisons_text(report))
    click.echo(f"report: {out} and {page}", err=True)
    context.exit(1 if report["failures"] else 0)
