"""`rerank pairs`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from jobs.options import format_option, home_option, seed_option, wait_option
from jobs.pairs.arguments import (
    LABELS,
    login_name,
    read_metrics,
    read_similarity,
    read_tags,
    read_with,
)
from jobs.pairs.candidate_lookup import CandidateLookup
from jobs.pairs.collecting import add_bootstrap_pairs, follow_annotations, state_pairs
from jobs.pairs.export_flags import PAIRS, QUERY_PACKS, ExportFlags
from jobs.pairs.files import describe, export_pairs
from jobs.pairs.flags import CaptureFlags, PairFlags
from jobs.pairs.prompts import confirm, prompted
from jobs.pairs.query_packs import DEFAULT_NEGATIVES, DEFAULT_SEED, export_query_packs
from jobs.pairs.tables import counts_text, followed_text
from jobs.workspace import Workspace
from rerank.annotation.candidate_items import CANDIDATE_TYPE
from rerank.annotation.preferences import PreferenceConflictError
from rerank.store import Store
from rerank.store.preference_counts import preference_counts
from rerank.store.preferences import PairSource, PreferencePair, read_pairs

_tags_option = click.option(
    "--reason-tags", callback=read_with(read_tags), metavar="TAG,TAG", help="Why, in words."
)
_annotator_option = click.option(
    "--annotator",
    callback=login_name,
    metavar="NAME",
    help="Who says so; default: your login name.",
)
_replace_option = click.option("--replace", is_flag=True, help="Replace what is stored otherwise.")


@click.group("pairs")
def command() -> None:
    """Collect and export pairwise preferences.

    \b
    Example:
      rerank pairs bootstrap --n-pairs 200
      rerank pairs add --item-type project --item-a p1 --item-b p2 --label 1
      rerank pairs export --out data/ranker
    """


@command.command("add", short_help="State which of two items is better.")
@click.option("--interactive", is_flag=True, help="Ask for what no flag gives, pair after pair.")
@click.option(
    "--item-type",
    help="Any word, such as project. A gpu_candidate is a GPU proposed "
    "for a stored listing; its metrics are the ranker's features.",
)
@click.option("--item-a", metavar="REF", help="The first item; LISTING_ID::GPU_ID of a candidate.")
@click.option("--item-b", metavar="REF", help="The second item.")
@click.option("--label", type=click.Choice(LABELS), help="1: a is better, -1: b is, 0: neither.")
@_tags_option
@click.option(
    "--similarity",
    callback=read_with(read_similarity),
    metavar="NUMBER",
    help="Cosine of the two, -1 to 1.",
)
@click.option(
    "--metrics-a",
    callback=read_with(read_metrics),
    metavar="NAME=NUMBER,...",
    help="Numbers that describe the first item.",
)
@click.option(
    "--metrics-b",
    callback=read_with(read_metrics),
    metavar="NAME=NUMBER,...",
    help="Numbers that describe the second item.",
)
@click.option("--embedding-id-a", metavar="ID", help="Where the first item's embedding is.")
@click.option("--embedding-id-b", metavar="ID", help="Where the second item's embedding is.")
@_annotator_option
@_replace_option
@wait_option
@home_option
def add(
    interactive: bool, annotator: str, replace: bool, wait_s: float, home: Path, **given: Any
) -> None:
    """State which of two items is better, by flags or, without flags, by questions.

    The same two items the other way round with the opposite label are the same pair. One that
    contradicts what the same annotator stated before is refused unless --replace is given.

    \b
    Example:
      rerank pairs add --interactive
      rerank pairs add --item-type project --item-a proj-1 --item-b proj-2 \\
        --label 1 --reason-tags relevance,metrics --metrics-a clarity=0.8
    """
    workspace, flags = Workspace(home), PairFlags(**given)
    if interactive or flags.is_empty:
        _ask_for_pairs(workspace, annotator, flags, wait_s=wait_s, replace=replace)
        return
    pair = flags.pair(annotator)
    click.echo(state_pairs(workspace, [pair], wait_s=wait_s, overwrite=replace).line())


@command.command("bootstrap", short_help="Make pairs of generated listings.")
@click.option(
    "--n-pairs", type=click.IntRange(1), default=200, show_default=True, help="Pairs to make."
)
@seed_option
@_replace_option
@wait_option
@home_option
def bootstrap(n_pairs: int, seed: int, replace: bool, wait_s: float, home: Path) -> None:
    """Make pairs of generated listings: the right candidate above a wrong one, or equals.

    \b
    Example:
      rerank pairs bootstrap --n-pairs 200 --seed 1
    """
    saved = add_bootstrap_pairs(
        Workspace(home), n_pairs, seed=seed, wait_s=wait_s, overwrite=replace
    )
    click.echo(saved.line())


@command.command("capture", short_help="Record a user's choice or a change.")
@click.option(
    "--source",
    type=click.Choice([PairSource.USER_CHOICE.value, PairSource.BEFORE_AFTER.value]),
    required=True,
    help="A choice among several items, or a change of one.",
)
@click.option("--item-type", default=CANDIDATE_TYPE, show_default=True, help="As of `pairs add`.")
@click.option("--chosen", metavar="REF", help="user_choice: what was taken.")
@click.option(
    "--over", metavar="REF", multiple=True, help="user_choice: what was not, may be repeated."
)
@click.option("--before", metavar="REF", help="before_after: the item before the change.")
@click.option("--after", metavar="REF", help="before_after: the item after it.")
@click.option("--improved", "outcome", flag_value="improved", help="before_after: it got better.")
@click.option("--worsened", "outcome", flag_value="worsened", help="before_after: it got worse.")
@click.option("--same", "outcome", flag_value="same", help="before_after: neither.")
@_tags_option
@click.option(
    "--metrics",
    nargs=2,
    multiple=True,
    metavar="REF NAME=NUMBER,...",
    help="Numbers that describe an item, may be repeated.",
)
@_annotator_option
@_replace_option
@wait_option
@home_option
def capture(annotator: str, replace: bool, wait_s: float, home: Path, **given: Any) -> None:
    """Record a user's choice, or whether a change was one for the better.

    A choice makes one pair for each item that was not taken. Of a change, the item after it is
    item a: the label 1 is an improvement.

    \b
    Example:
      rerank pairs capture --source user_choice --item-type headline \\
        --chosen h2 --over h1 --over h3 --reason-tags clarity
      rerank pairs capture --source before_after --item-type headline \\
        --before h1 --after h1-v2 --improved
    """
    pairs = CaptureFlags(**given).pairs(annotator)
    click.echo(state_pairs(Workspace(home), pairs, wait_s=wait_s, overwrite=replace).line())


@command.command("from-annotations", short_help="Make the pairs that annotations imply.")
@_replace_option
@wait_option
@home_option
def from_annotations(replace: bool, wait_s: float, home: Path) -> None:
    """Make the pairs that annotations imply: the chosen candidate above each other one shown.

    May be repeated: pairs of answers that were changed since are changed or removed.

    \b
    Example:
      rerank pairs from-annotations
    """
    followed = follow_annotations(Workspace(home), wait_s=wait_s, overwrite=replace)
    click.echo(followed_text(followed))


@command.command("stats", short_help="Count what is stored.")
@format_option
@home_option
def stats(output_format: str, home: Path) -> None:
    """Count the pairs by source, label, item type and tag, and the contradictions.

    \b
    Example:
      rerank pairs stats --format json
    """
    with Store(Workspace(home).store_path).reading() as session:
        counts = preference_counts(session)
    click.echo(json.dumps(counts.as_dict()) if output_format == "json" else counts_text(counts))


@command.command("export", short_help="Write a data set for training.")
@click.option(
    "--format",
    "export_format",
    type=click.Choice([PAIRS, QUERY_PACKS]),
    default=PAIRS,
    show_default=True,
    help="Pairs for pairwise rankers, or query packs for `rerank train-cross-encoder`.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder to write: dataset.jsonl and metadata.json, or train.jsonl, "
    "valid.jsonl and metadata.json.",
)
@click.option("--item-type", help="pairs: only those of this type.")
@click.option(
    "--embeddings", is_flag=True, help="pairs: write candidates' vectors, not only their ids."
)
@click.option(
    "--stats",
    "only_stats",
    is_flag=True,
    help="pairs: print what metadata.json would hold, as JSON, and write nothing; "
    "`pairs stats` has a table.",
)
@click.option(
    "--bootstrap",
    "n_generated",
    type=click.IntRange(0),
    metavar="N",
    help="query-packs: add packs of this many generated listings.",
)
@click.option(
    "--negatives",
    type=click.IntRange(1, 1000),
    metavar="N",
    help=f"query-packs: of a pack, at most; default {DEFAULT_NEGATIVES}.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    metavar="N",
    help=f"query-packs: of generated listings; default {DEFAULT_SEED}.",
)
@click.option("--overwrite", is_flag=True, help="Replace the folder if it exists.")
@home_option
def export(export_format: str, home: Path, **given: Any) -> None:
    """Write pairs, or query packs of annotated listings, as a data set for training.

    A query pack is a listing with the GPUs that fit it and mined hard negatives: the candidates
    that are retrieved and wrong, in the order of the model that serves.

    \b
    Example:
      rerank pairs export --out data/ranker
      rerank pairs export --stats
      rerank pairs export --format query-packs --bootstrap 3000 --out query-packs
    """
    flags = ExportFlags(**given)
    flags.check(export_format)
    workspace = Workspace(home)
    if export_format == QUERY_PACKS:
        _export_query_packs(workspace, flags)
        return
    with Store(workspace.store_path).reading() as session:
        pairs = read_pairs(session, item_type=flags.item_type)
    vectors = CandidateLookup(workspace).embeddings_of(pairs) if flags.embeddings else None
    if flags.only_stats or flags.out is None:
        click.echo(json.dumps(describe(pairs, embeddings=vectors), indent=2, ensure_ascii=False))
        return
    metadata = export_pairs(pairs, flags.out, embeddings=vectors, overwrite=flags.overwrite)
    click.echo(f"{metadata['pairs']} pairs of {metadata['items']} items in {flags.out}")


def _export_query_packs(workspace: Workspace, flags: ExportFlags) -> None:
    assert flags.out is not None  # checked
    metadata = export_query_packs(
        workspace,
        flags.out,
        bootstrap=flags.n_generated or 0,
        negatives=flags.negatives or DEFAULT_NEGATIVES,
        seed=DEFAULT_SEED if flags.seed is None else flags.seed,
        overwrite=flags.overwrite,
        warn=lambda message: click.echo(f"warning: {message}", err=True),
    )
    click.echo(
        f"{metadata['train']} query packs to train on and {metadata['valid']} to validate on in "
        f"{flags.out}"
    )


def _ask_for_pairs(
    workspace: Workspace, annotator: str, flags: PairFlags, *, wait_s: float, replace: bool
) -> None:
    """Ask for pairs and save each at once, until the answer is that it was the last."""
    while True:
        pair = prompted(flags).pair(annotator)
        _save_asking(workspace, pair, wait_s=wait_s, replace=replace)
        flags = PairFlags(item_type=pair.a.item_type)
        if not confirm("Another pair?"):
            return


def _save_asking(
    workspace: Workspace, pair: PreferencePair, *, wait_s: float, replace: bool
) -> None:
    try:
        saved = state_pairs(workspace, [pair], wait_s=wait_s, overwrite=replace)
    except PreferenceConflictError as exc:
        click.echo(str(exc), err=True)
        if not confirm("Replace it?"):
            return
        saved = state_pairs(workspace, [pair], wait_s=wait_s, overwrite=True)
    click.echo(saved.line())
