"""What measures a workspace: `rerank evaluate` and its like, `status`, `smoke` and `demo`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from rerank.annotation.queue import DEFAULT_WEIGHT, Halving, QueueStrategy, SimulationPlan
from rerank.calibration import DEFAULT_COVERAGE
from rerank.domain import TrainingRequest
from rerank.index.artifacts import write_json
from rerank.jobs.annotation.asking import simulate_queues, simulation_text
from rerank.jobs.evaluating import (
    BOOTSTRAP_LISTINGS,
    EvaluationPlan,
    RankerComparisonPlan,
    ablate_workspace,
    ablation_text,
    compare_rankers,
    evaluate_workspace,
)
from rerank.jobs.options import (
    NumberRange,
    format_option,
    gold_option,
    home_option,
    needs,
    progress_bar,
    ranker_options,
    resampling_seed_option,
    samples_option,
    seed_option,
    stage_progress,
    then,
    wait_option,
    writes,
)
from rerank.jobs.status import (
    run_catalogue_demo,
    run_demo,
    serving_status,
    smoke_test,
    smoke_text,
    status_text,
)
from rerank.jobs.tables import comparison_text, report_text
from rerank.jobs.training import dual_text
from rerank.rankers.dual import DualModel
from rerank.rankers.dual_experiment import MODEL_FOLDER, evaluate_dual
from rerank.rankers.scored import held_out, read_scored
from rerank.workspace import Workspace


@click.command("evaluate")
@gold_option(
    "Gold CSV, may be repeated; default: those in HOME/gold, else the shipped hard set and "
    "listings generated for models that nothing was trained on."
)
@click.option("--annotations", is_flag=True, help="Measure on the store's annotated listings too.")
@click.option(
    "--bootstrap",
    type=click.IntRange(0),
    default=BOOTSTRAP_LISTINGS,
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
@samples_option
@resampling_seed_option
@ranker_options
@format_option
@wait_option
@home_option
@then("open the page in a browser; `rerank models list{home}` shows what else could serve")
def evaluate_command(output_format: str, home: Path, wait_s: float, **options: Any) -> None:
    """Measure the model against gold listings and baselines.

    Records the run in HOME/store.duckdb and writes HOME/reports/reranker_metrics.json and
    reranker_report.html, a page that opens offline. A gold file has the columns listing_id, title,
    vendor, kind (match, nil or ambiguous), gold_models, gold_memory_gb and gold_form; shop,
    language and listing_group, if there, are measured apart or kept together. With a catalogue of
    your own it has listing_id, title and product_id, empty where nothing of it is sold.

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


@click.command("ablate")
@gold_option(
    "Gold CSV, may be repeated; default: the shipped hard set and listings "
    "generated for models that nothing was trained on."
)
@click.option(
    "--scale",
    type=NumberRange(0.01, 20),
    default=0.3,
    show_default=True,
    help="Generated training listings, as a multiple of the default 30,000.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write instead of HOME/reports/reranker_ablation.json, "
    "which `rerank evaluate` puts into its report.",
)
@seed_option
@format_option
@home_option
@needs("train")
@then("`rerank evaluate{home}` puts these figures into its report")
@writes("out")
def ablate_command(
    gold: tuple[Path, ...],
    scale: float,
    out: Path | None,
    seed: int,
    output_format: str,
    home: Path,
) -> None:
    """Measure how much each kind of evidence and each group of features helps.

    Ranks the same candidates by fuzzy names, by cosine, by ever more evidence and by LambdaRank,
    then by LambdaRank without one feature group at a time. Each is trained anew on the same
    generated listings; nothing of it is kept but the figures.

    \b
    Example:
      rerank ablate
      rerank ablate --gold my_gold.csv --scale 1 --out ablation.json
    """
    workspace = Workspace(home)
    with stage_progress() as progress:
        report = ablate_workspace(workspace, gold, scale=scale, seed=seed, progress=progress)
    path = out or workspace.ablation_path
    write_json(report, path)
    click.echo(json.dumps(report) if output_format == "json" else ablation_text(report))
    click.echo(f"report: {path}", err=True)


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
@gold_option("Gold CSV to measure on beside the shipped sets; may be repeated.", name="gold_files")
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
@samples_option
@resampling_seed_option
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where to write instead of HOME/reports/rankers.json, which `rerank evaluate` "
    "puts into its page.",
)
@format_option
@home_option
@then(
    "`rerank models promote KIND{home}` lets another ranker serve; `rerank evaluate{home}` "
    "puts these figures into its report"
)
@writes("report")
def compare_rankers_command(
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
    """Measure all rankers of the workspace on the same listings: how right, how fast, how big.

    LambdaRank, and pairwise, dual and cross-encoder if `rerank train-decision` has prepared them;
    LambdaRank with the cross-encoder behind it; plain rules and cosine similarity for comparison.
    All rank the same candidates of the shipped hard set, generated listings and gold files.

    \b
    Example:
      rerank compare-rankers
      rerank compare-rankers --gold my_gold.csv --limit 300
      rerank compare-rankers --also qlora=other/models/served/cross-encoder/1a2b
    """
    workspace = Workspace(home)
    plan = RankerComparisonPlan(
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
@samples_option
@seed_option
@format_option
@home_option
@then("`rerank train-decision dual{home}` teaches it when to accept its best guess")
def evaluate_dual_command(
    data: Path,
    model: Path | None,
    everything: bool,
    samples: int,
    seed: int,
    output_format: str,
    home: Path,
) -> None:
    """Measure what `train-dual` made against plain cosine similarity.

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
    with progress_bar("measuring"):
        report = evaluate_dual(loaded, scored, samples=samples, seed=seed)
    click.echo(json.dumps(report) if output_format == "json" else dual_text(report))
    click.echo(f"{report['queries']} queries, model {report['model_version']}", err=True)


@click.command("simulate-queue")
@gold_option("Gold CSV, as `rerank evaluate` reads it; may be repeated.", required=True)
@click.option(
    "--answers",
    default="25,50,100",
    show_default=True,
    metavar="N,N,...",
    callback=lambda ctx, param, value: _numbers(value),
    help="Numbers of answers after which a model is trained.",
)
@click.option(
    "--repeats",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Ways to halve the listings into those asked about and the rest.",
)
@click.option(
    "--scale",
    type=NumberRange(0.01, 20),
    default=0.1,
    show_default=True,
    help="Generated listings to train on, as a multiple of the default 80,000.",
)
@click.option(
    "--queue",
    "queues",
    default="uncertain,disagreement,random",
    show_default=True,
    metavar="NAME,NAME,...",
    callback=lambda ctx, param, value: _queues(value),
    help="Queues to compare.",
)
@click.option(
    "--split",
    "halving",
    type=click.Choice([h.value for h in Halving]),
    default="model",
    show_default=True,
    help="Keep a model's listings in one half, so that the rest is of "
    "other models, or only those of one title.",
)
@click.option(
    "--annotation-weight",
    type=NumberRange(0, 10_000, min_open=True),
    default=DEFAULT_WEIGHT,
    show_default=True,
    help="How many generated listings an answer counts as.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.json",
    help="Write the report here too, with every single measurement.",
)
@format_option
@seed_option
@home_option
@needs("train")
@then("`rerank annotate LISTINGS{home}` asks in the order that learns most")
@writes("out")
def simulate_queue_command(
    gold: tuple[Path, ...],
    answers: tuple[int, ...],
    repeats: int,
    scale: float,
    queues: tuple[QueueStrategy, ...],
    halving: str,
    annotation_weight: float,
    out: Path | None,
    output_format: str,
    seed: int,
    home: Path,
) -> None:
    """Measure how much `rerank annotate` learns by asking in its order, not by chance.

    Labels of gold files are revealed as the queue asks for them, models are trained with them and
    measured on the rest. Nothing that is trained or asked is kept: neither the workspace nor its
    store changes.

    \b
    Example:
      rerank simulate-queue --gold my_gold.csv
      rerank simulate-queue --gold my_gold.csv --split listing --answers 50 \\
        --out queue.json
    """
    plan = SimulationPlan(
        answers=answers,
        repeats=repeats,
        queues=queues,
        halving=Halving(halving),
        weight=annotation_weight,
        seed=seed,
    )
    with stage_progress() as progress:
        report = simulate_queues(Workspace(home), gold, plan, scale=scale, progress=progress)
    if out is not None:
        write_json(report, out)
    click.echo(json.dumps(report) if output_format == "json" else simulation_text(report))


def _numbers(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    numbers = [int(part) for part in parts if part.isdecimal()]
    if len(numbers) < len(parts) or 0 in numbers or sorted(set(numbers)) != numbers:
        raise click.BadParameter(f"expected rising numbers above 0 such as 25,50, got {text!r}")
    return tuple(numbers)


def _queues(text: str) -> tuple[QueueStrategy, ...]:
    names = {strategy.value: strategy for strategy in QueueStrategy}
    chosen = list(dict.fromkeys(part.strip() for part in text.split(",")))
    unknown = [name for name in chosen if name not in names]
    if unknown:
        raise click.BadParameter(f"expected some of {', '.join(names)}, got {unknown[0]!r}")
    return tuple(names[name] for name in chosen)


@click.command("demo")
@click.option(
    "--scale",
    type=NumberRange(0.01, 20),
    default=1.0,
    show_default=True,
    help="Training listings, as a multiple of the default 80,000.",
)
@click.option(
    "--catalogue",
    is_flag=True,
    help="Resolve to a table of power tools, as to a catalogue of your own; HOME should be empty.",
)
@home_option
@needs("train")
@then(
    "`rerank resolve TITLE{home}` answers a title of yours, `rerank score LISTINGS.csv "
    "resolved.parquet{home}` a file"
)
def demo_command(scale: float, catalogue: bool, home: Path) -> None:
    """Build the index, train, evaluate and score the shipped sample: a tour in minutes.

    \b
    Example:
      rerank demo
      rerank demo --catalogue --home /tmp/tools
      rerank demo --scale 0.1 --home /tmp/tour
    """
    run = run_catalogue_demo if catalogue else run_demo
    with stage_progress() as progress:
        told, summary = run(Workspace(home), TrainingRequest(scale=scale), progress=progress)
    click.echo(told)
    click.echo(summary.line(), err=True)


@click.command("smoke")
@format_option
@home_option
@click.pass_context
@then("`rerank score LISTINGS.csv resolved.parquet{home}` resolves a file")
def smoke_command(ctx: click.Context, output_format: str, home: Path) -> None:
    """Try every part once on a made-up listing, and say whether it works.

    The resolver, the pairwise ranker, and the resolver with each ranker that `--ranker` and
    `--cascade` can choose. Exit code 1 if one of them fails, with what is wrong.

    \b
    Example:
      rerank smoke
    """
    with progress_bar("trying every part"):
        tried = smoke_test(Workspace(home))
    click.echo(json.dumps(tried) if output_format == "json" else smoke_text(tried))
    for each in tried:
        if not each["works"]:
            click.echo(f"{each['piece']}: {each['said']}", err=True)
    if not all(each["works"] for each in tried):
        ctx.exit(1)


@click.command("status")
@format_option
@home_option
@then("`rerank resolve TITLE{home}` answers with it")
def status_command(output_format: str, home: Path) -> None:
    """Show which index and models answer, and what there is to train on.

    Of each, whether it is the workspace's own or ships with rerank; which other rankers `--ranker`
    and `--cascade` can choose; and how many listings, annotations and pairs the store holds.

    \b
    Example:
      rerank status
      rerank status --format json
    """
    status = serving_status(Workspace(home))
    click.echo(json.dumps(status) if output_format == "json" else status_text(status))
