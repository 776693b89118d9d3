"""`rerank annotations`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from jobs.annotation.agreement_tables import (
    agreement_text,
    answer_text,
    dispute_values,
    disputes_text,
    suspect_values,
    suspects_text,
)
from jobs.annotation.judging import adjudicate as save_adjudication
from jobs.annotation.judging import find_suspects, read_answers
from jobs.options import NumberRange, format_option, home_option, seed_option, wait_option
from jobs.progress import progress_bar
from jobs.serving import open_resolver
from jobs.tables import cut
from jobs.workspace import Workspace, open_retriever
from rerank.annotation.agreement import agreements
from rerank.annotation.agreement import disputes as find_disputes
from rerank.annotation.consensus import ADJUDICATOR
from rerank.store import Store
from rerank.store.annotations import Verdict


@click.group("annotations")
def command() -> None:
    """Agreement of annotators, disputes and suspected label errors.

    \b
    Example:
      rerank annotations agreement
      rerank annotations disputes
      rerank annotations adjudicate L17 --verdict match --gpu "RTX 3080 12GB"
    """


@command.command("agreement", short_help="How far each two annotators agree.")
@seed_option
@format_option
@home_option
def agreement(seed: int, output_format: str, home: Path) -> None:
    """Show how far each two annotators agree on the listings both answered.

    Share of equal answers and Cohen's kappa (1: full agreement, 0: as by chance), with 95 %
    bootstrap intervals. Another variant of the same model is an equal answer.

    \b
    Example:
      rerank annotations agreement --format json
    """
    found = agreements(read_answers(Store(Workspace(home).store_path)).annotations, seed=seed)
    as_json = output_format == "json"
    click.echo(json.dumps([x.as_dict() for x in found]) if as_json else agreement_text(found))


@command.command("disputes", short_help="Listings on which annotators differ.")
@format_option
@home_option
def disputes(output_format: str, home: Path) -> None:
    """List the listings on which annotators differ and that nobody adjudicated.

    \b
    Example:
      rerank annotations disputes
    """
    answers = read_answers(Store(Workspace(home).store_path))
    found = find_disputes(answers.annotations)
    if output_format == "json":
        click.echo(json.dumps([dispute_values(item, answers.titles) for item in found]))
    else:
        click.echo(disputes_text(found, answers.titles))
    if found or output_format == "json":
        click.echo(f"{len(found)} dispute{'s' if len(found) != 1 else ''}", err=True)


@command.command("suspects", short_help="Labels that a confident model contradicts.")
@click.option(
    "--threshold",
    type=NumberRange(0, 1),
    help="Least probability of what the model says instead; default: the mean "
    "probability of the labels, for models and for no match.",
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Show this many, the most suspicious.",
)
@format_option
@home_option
def suspects(threshold: float | None, limit: int, output_format: str, home: Path) -> None:
    """List labels that a confident model contradicts, the most suspicious first.

    Each with its probability under the model and with what the model says instead. A model that
    was trained on the annotations has learned part of their errors.

    \b
    Example:
      rerank annotations suspects --limit 50
    """
    store, resolver = Store(Workspace(home).store_path), open_resolver(home)
    with progress_bar("resolving") as progress:
        report = find_suspects(store, resolver, threshold=threshold, progress=progress)
    shown = report.suspects[:limit]
    if output_format == "json":
        click.echo(json.dumps([suspect_values(item, report.titles) for item in shown]))
    else:
        click.echo(suspects_text(report, shown))
    if shown or output_format == "json":
        counts = f"{len(report.suspects)} suspects among {report.judged} labels, {len(shown)} shown"
        click.echo(counts, err=True)
    if report.without_listing:
        click.echo(f"not judged: {report.without_listing} whose listing is not stored", err=True)


@command.command("adjudicate", short_help="Settle what a listing sells.")
@click.argument("listing_id")
@click.option(
    "--verdict",
    type=click.Choice([verdict.value for verdict in Verdict]),
    required=True,
    help="What the listing sells.",
)
@click.option(
    "--gpu",
    metavar="NAME",
    help="Of a match: a gpu_id, a model, an alias, or a model with its memory (RTX 3080 12GB).",
)
@click.option(
    "--annotator",
    default=ADJUDICATOR,
    show_default=True,
    metavar="NAME",
    help="Who answers; only the adjudicator's answer settles a dispute.",
)
@click.option("--note", default="", help="Why, in words.")
@wait_option
@home_option
def adjudicate(
    listing_id: str,
    verdict: str,
    gpu: str | None,
    annotator: str,
    note: str,
    wait_s: float,
    home: Path,
) -> None:
    """Settle what a listing sells: this answer counts instead of all others.

    \b
    Example:
      rerank annotations adjudicate L17 --verdict match --gpu "RTX 3080 12GB"
      rerank annotations adjudicate L18 --verdict not_gpu --note "empty box"
    """
    chosen = Verdict(verdict)
    if (chosen is Verdict.MATCH) != (gpu is not None):
        raise click.UsageError("--gpu: expected with --verdict match, and only with it")
    workspace = Workspace(home)
    records = open_retriever(workspace)[0].records if gpu is not None else []
    answer = save_adjudication(
        Store(workspace.store_path, wait_s=wait_s),
        records,
        listing_id,
        chosen,
        gpu=gpu,
        annotator=annotator,
        note=note,
    )
    said = f"{answer_text(answer)}, said by {answer.annotator}"
    click.echo(f"{cut(listing_id, 40)}: {said}")
