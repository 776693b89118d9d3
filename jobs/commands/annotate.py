"""`rerank annotate`, `annotations` and `pairs`: what people say of listings, and what follows."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from rerank.annotation.agreement import ADJUDICATOR, agreements, disputes
from rerank.annotation.preference_pairs import PairsSaved, PreferenceConflictError
from rerank.index.errors import InputError
from rerank.jobs.annotation.asking import (
    AnswerBook,
    QueueKind,
    adjudicate,
    agreement_text,
    answer_text,
    dispute_values,
    disputes_text,
    find_suspects,
    prepare,
    read_answers,
    suspect_values,
    suspects_text,
    take_in,
)
from rerank.jobs.annotation.dialogue import Dialogue, check_terminal, hold, summary
from rerank.jobs.annotation.pair_collecting import (
    DEFAULT_NEGATIVES,
    DEFAULT_SEED,
    CandidateLookup,
    add_bootstrap_pairs,
    counts_text,
    describe,
    export_pairs,
    export_query_packs,
    follow_annotations,
    state_pairs,
)
from rerank.jobs.annotation.pair_flags import (
    LABELS,
    PAIRS,
    QUERY_PACKS,
    Flags,
    captured_pairs,
    check_export,
    confirm,
    login_name,
    prompted,
    read_metrics,
    read_similarity,
    read_tags,
    read_with,
    stated_pair,
)
from rerank.jobs.commands.score import (
    column_names_of,
    column_options,
    encoding_option,
    seen_columns,
)
from rerank.jobs.files.selection import select_files
from rerank.jobs.options import (
    NumberRange,
    format_option,
    home_option,
    progress_bar,
    seed_option,
    then,
    wait_option,
)
from rerank.jobs.tables import cut, plural
from rerank.lifecycle.opening import open_resolver
from rerank.rankers.pairs import CANDIDATE_TYPE
from rerank.resolution import Decision
from rerank.store.database import Store
from rerank.store.importing import OnConflict
from rerank.store.rows import PairSource, Verdict, preference_counts, read_pairs, take_back
from rerank.workspace import Workspace, domain_of_index

_LONGEST_NAME = 100
_CONFLICT_CHOICES = [choice.value for choice in OnConflict]


_ASKING = (
    click.argument(
        "listings_file",
        required=False,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
    ),
    click.option("--annotator", metavar="NAME", help="Who answers; default: your login name."),
    click.option(
        "--queue",
        "kind",
        type=click.Choice([kind.value for kind in QueueKind]),
        default=QueueKind.UNCERTAIN.value,
        show_default=True,
        help="Ask first where the model is uncertain or rankers disagree, varied over models "
        "and shops; or by chance; only what the model holds for review; for a second, blind "
        "answer; where annotators differ; labels that the model contradicts.",
    ),
    click.option(
        "--decision",
        type=click.Choice([each.value for each in Decision]),
        help="Of a file that `rerank score` wrote, those with this decision alone.",
    ),
    click.option(
        "--top-k", type=click.IntRange(1, 9), default=5, show_default=True, help="Candidates shown."
    ),
    click.option(
        "--on-conflict",
        type=click.Choice(_CONFLICT_CHOICES),
        default="refuse",
        show_default=True,
        help="For listings of the file that the store has with other content: stop, keep the "
        "store's, or replace them.",
    ),
    encoding_option,
    column_options,
    seed_option,
)


def asking_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what says which listings are asked about, in which order and whom."""
    for option in reversed(_ASKING):
        command = option(command)
    return command


def taken_in(
    store: Store, workspace: Workspace, path: Path | None, given: dict[str, Any]
) -> list[str] | None:
    """Save the listings of a file, if one is given, and return the ids to ask about.

    :param given: the options of `asking_options` that say how it is read.
    :raises click.UsageError: if there is a decision and no file.
    """
    decision, columns_file = given.pop("decision"), given.pop("columns_file")
    on_conflict, encoding = OnConflict(given.pop("on_conflict")), given.pop("encoding")
    if path is None:
        if decision is not None:
            raise click.UsageError("--decision: expected with a file; without: --queue review")
        return None
    columns = column_names_of(columns_file, given)
    return take_in(
        workspace,
        store,
        path,
        on_conflict=on_conflict,
        columns=seen_columns(select_files(str(path)), workspace.home, columns),
        encoding=encoding,
        decision=None if decision is None else Decision(decision),
    )


@click.command("annotate")
@asking_options
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Ask about N listings at most.")
@click.option(
    "--wait",
    "wait_s",
    type=NumberRange(0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Wait this long for another process that is writing to the store.",
)
@home_option
@then("`rerank train-ltr{home}` learns from the answers")
def annotate_command(
    listings_file: Path | None,
    annotator: str | None,
    kind: str,
    limit: int | None,
    seed: int,
    top_k: int,
    wait_s: float,
    home: Path,
    **reading: Any,
) -> None:
    """Label listings by hand, in a terminal, the most useful ones first.

    Asks about the store's listings that NAME has not answered, one key an answer; each answer is
    saved at once. With LISTINGS_FILE (whatever `rerank score` reads or has written), its listings
    are saved to the store, and only they are asked about. `?` explains the keys.

    \b
    Example:
      rerank annotate listings.csv
      rerank annotate --queue disagreement --limit 50
      rerank annotate --annotator anna --queue random --seed 1
      rerank annotate resolved.parquet --decision review
    """
    check_terminal(
        "rerank annotate",
        "run it in a terminal; answers that stand in a file are read "
        "by `rerank store import annotations FILE`",
    )
    annotator = checked_annotator(annotator)
    workspace = Workspace(home)
    store = Store(workspace.store_path, wait_s=wait_s)
    ids = taken_in(store, workspace, listings_file, reading)
    queue, choices = prepare(
        workspace,
        store,
        annotator,
        kind=QueueKind(kind),
        seed=seed,
        limit=limit,
        listing_ids=ids,
    )
    dialogue = Dialogue(
        queue,
        choices,
        AnswerBook(Store(workspace.store_path)),
        patient_book=AnswerBook(store) if wait_s else None,
        annotator=annotator,
        top_k=top_k,
        label=f"queue: {kind}   {annotator}",
        kind=QueueKind(kind),
    )
    if queue.items:
        hold(dialogue)
    click.echo(summary(dialogue.counts, choices.words, queue.n_left, listings_file))


def checked_annotator(name: str | None) -> str:
    """Return who answers: the name given, else the login name.

    :raises click.UsageError: if the system knows no login name.
    :raises InputError: if the name cannot be shown.
    """
    name = login_name() if name is None else name
    if not name.strip() or not name.isprintable() or len(name) > _LONGEST_NAME:
        raise InputError(
            f"expected a name of 1 to {_LONGEST_NAME} printable characters for --annotator, got "
            f"{name[: _LONGEST_NAME + 1]!r}"
        )
    return name.strip()


@click.group("annotations")
def annotations_command() -> None:
    """Agreement of annotators, disputes and suspected label errors.

    \b
    Example:
      rerank annotations agreement
      rerank annotations disputes
      rerank annotations adjudicate L17 --verdict match --gpu "RTX 3080 12GB"
    """


@annotations_command.command("agreement", short_help="How far each two annotators agree.")
@seed_option
@format_option
@home_option
@then("`rerank annotations disputes{home}` lists what they differ on")
def agreement(seed: int, output_format: str, home: Path) -> None:
    """Show how far each two annotators agree on the listings both answered.

    Share of equal answers and Cohen's kappa (1: full agreement, 0: as by chance), with 95 %
    bootstrap intervals. Another variant of the same model is an equal answer.

    \b
    Example:
      rerank annotations agreement --format json
    """
    annotations, _ = read_answers(Store(Workspace(home).store_path))
    found = agreements(annotations, seed=seed)
    _echo(output_format, [item.as_dict() for item in found], agreement_text(found))


def _echo(output_format: str, values: Any, text: str) -> None:
    click.echo(json.dumps(values) if output_format == "json" else text)


@annotations_command.command("disputes", short_help="Listings on which annotators differ.")
@format_option
@home_option
@then("`rerank annotations adjudicate LISTING_ID{home}` settles one")
def disputes_command(output_format: str, home: Path) -> None:
    """List the listings on which annotators differ and that nobody adjudicated.

    \b
    Example:
      rerank annotations disputes
    """
    annotations, titles = read_answers(Store(Workspace(home).store_path))
    found = disputes(annotations)
    values = [dispute_values(item, titles) for item in found]
    _echo(output_format, values, disputes_text(found, titles))
    if found or output_format == "json":
        click.echo(plural(len(found), "dispute"), err=True)


@annotations_command.command("suspects", short_help="Labels that a confident model contradicts.")
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
@then("`rerank annotations adjudicate LISTING_ID{home}` settles one")
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
    values = [suspect_values(item, report.titles) for item in shown]
    _echo(output_format, values, suspects_text(report, shown))
    if shown or output_format == "json":
        counts = f"{len(report.suspects)} suspects among {report.judged} labels, {len(shown)} shown"
        click.echo(counts, err=True)
    if report.without_listing:
        click.echo(f"not judged: {report.without_listing} whose listing is not stored", err=True)


@annotations_command.command("adjudicate", short_help="Settle what a listing sells.")
@click.argument("listing_id")
@click.option(
    "--verdict",
    type=click.Choice([verdict.value for verdict in Verdict]),
    required=True,
    help="What the listing sells.",
)
@click.option(
    "--gpu",
    "--product",
    "gpu",
    metavar="NAME",
    help="Of a match: a gpu_id, a model, an alias, or a model with its memory (RTX 3080 12GB); "
    "a product_id or a product's name.",
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
@then("`rerank train-ltr{home}` learns from it")
def adjudicate_command(
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
    folder = workspace.active_index()
    names = domain_of_index(folder).names(folder).names if gpu is not None else None
    answer = adjudicate(
        Store(workspace.store_path, wait_s=wait_s),
        names,
        listing_id,
        chosen,
        gpu=gpu,
        annotator=annotator,
        note=note,
    )
    said = f"{answer_text(answer)}, said by {answer.annotator}"
    click.echo(f"{cut(listing_id, 40)}: {said}")


_annotator_option = click.option(
    "--annotator",
    callback=login_name,
    metavar="NAME",
    help="Who says so; default: your login name.",
)


@annotations_command.command("undo", short_help="Take the last answer back.")
@_annotator_option
@wait_option
@home_option
@then("`rerank annotations undo{home}` takes the one before it back")
def undo_command(annotator: str, wait_s: float, home: Path) -> None:
    """Take the last answer of NAME back, given in `rerank annotate`, `rerank review` or /review.

    What it replaced stands again, and so does the model's answer. One that was given for several
    listings at once is taken back of all. Answers that were changed since, or imported, stay.

    \b
    Example:
      rerank annotations undo --annotator anna
    """
    with Store(Workspace(home).store_path, wait_s=wait_s).writing() as session:
        taken = take_back(session, annotator)
    if not taken:
        raise InputError(f"expected an answer of {annotator!r:.80} to take back, found none")
    for answer, again in taken:
        now = "it has no answer" if again is None else answer_text(again)
        click.echo(f"{cut(answer.listing_id, 40)}: {answer_text(answer)} taken back, now {now}")


_tags_option = click.option(
    "--reason-tags", callback=read_with(read_tags), metavar="TAG,TAG", help="Why, in words."
)
_replace_option = click.option("--replace", is_flag=True, help="Replace what is stored otherwise.")


@click.group("pairs")
def pairs_command() -> None:
    """Collect and export preferences: which of two items is better.

    \b
    Example:
      rerank pairs bootstrap --n-pairs 200
      rerank pairs add --item-type project --item-a p1 --item-b p2 --label 1
      rerank pairs export --out data/ranker
    """


@pairs_command.command("add", short_help="State which of two items is better.")
@click.option("--interactive", is_flag=True, help="Ask for what no flag gives, pair after pair.")
@click.option(
    "--item-type",
    help="Any word, such as project. A gpu_candidate is a GPU proposed "
    "for a stored listing; its metrics are the ranker's features.",
)
@click.option("--item-a", metavar="REF", help="The first item; LISTING_ID::GPU_ID of a candidate.")
@click.option("--item-b", metavar="REF", help="The second item.")
@click.option(
    "--label", type=click.Choice(list(LABELS)), help="1: a is better, -1: b is, 0: neither."
)
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
@then("`rerank pairs stats{home}` counts them")
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
    save = partial(state_pairs, Workspace(home), wait_s=wait_s, overwrite=replace)
    if interactive or all(value is None for value in given.values()):
        _ask_for_pairs(save, annotator, given)
    else:
        click.echo(save([stated_pair(given, annotator)]).line())


@pairs_command.command("bootstrap", short_help="Make pairs of generated listings.")
@click.option(
    "--n-pairs", type=click.IntRange(1), default=200, show_default=True, help="Pairs to make."
)
@seed_option
@_replace_option
@wait_option
@home_option
@then("`rerank pairs export --out DIR{home}` writes them for training")
def bootstrap(n_pairs: int, seed: int, replace: bool, wait_s: float, home: Path) -> None:
    """Make pairs of generated listings: the right candidate above a wrong one, or equals.

    \b
    Example:
      rerank pairs bootstrap --n-pairs 200 --seed 1
    """
    with progress_bar("making pairs"):
        saved = add_bootstrap_pairs(
            Workspace(home), n_pairs, seed=seed, wait_s=wait_s, overwrite=replace
        )
    click.echo(saved.line())


@pairs_command.command("capture", short_help="Record a user's choice or a change.")
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
@then("`rerank pairs stats{home}` counts them")
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
    pairs = captured_pairs(given, annotator)
    click.echo(state_pairs(Workspace(home), pairs, wait_s=wait_s, overwrite=replace).line())


@pairs_command.command("from-annotations", short_help="Make the pairs that annotations imply.")
@_replace_option
@wait_option
@home_option
@then("`rerank pairs export --out DIR{home}` writes them for training")
def from_annotations(replace: bool, wait_s: float, home: Path) -> None:
    """Make the pairs that annotations imply: the chosen candidate above each other one shown.

    May be repeated: pairs of answers that were changed since are changed or removed.

    \b
    Example:
      rerank pairs from-annotations
    """
    click.echo(follow_annotations(Workspace(home), wait_s=wait_s, overwrite=replace))


@pairs_command.command("stats", short_help="Count what is stored.")
@format_option
@home_option
@then("`rerank pairs export --out DIR{home}` writes them for training")
def stats(output_format: str, home: Path) -> None:
    """Count the pairs by source, label, item type and tag, and the contradictions.

    \b
    Example:
      rerank pairs stats --format json
    """
    with Store(Workspace(home).store_path).reading() as session:
        counts = preference_counts(session)
    _echo(output_format, counts.as_dict(), counts_text(counts))


@pairs_command.command("export", short_help="Write a data set for training.")
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
@then("`rerank train-pairwise` or `rerank train-cross-encoder` learns from it")
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
    check_export(export_format, given)
    workspace, out, overwrite = Workspace(home), given["out"], given["overwrite"]
    if export_format == QUERY_PACKS:
        metadata = export_query_packs(
            workspace,
            out,
            bootstrap=given["n_generated"] or 0,
            negatives=given["negatives"] or DEFAULT_NEGATIVES,
            seed=DEFAULT_SEED if given["seed"] is None else given["seed"],
            overwrite=overwrite,
            warn=lambda message: click.echo(f"warning: {message}", err=True),
        )
        numbers = f"{metadata['train']} query packs to train on and {metadata['valid']} to validate"
        click.echo(f"{numbers} on in {out}")
        return
    with Store(workspace.store_path).reading() as session:
        pairs = read_pairs(session, item_type=given["item_type"])
    vectors = CandidateLookup(workspace).embeddings_of(pairs) if given["embeddings"] else None
    if given["only_stats"]:
        click.echo(json.dumps(describe(pairs, embeddings=vectors), indent=2, ensure_ascii=False))
        return
    metadata = export_pairs(pairs, out, embeddings=vectors, overwrite=overwrite)
    click.echo(f"{metadata['pairs']} pairs of {metadata['items']} items in {out}")


def _ask_for_pairs(save: Callable[..., PairsSaved], annotator: str, given: Flags) -> None:
    """Ask for pairs and save each at once, until the answer is that it was the last."""
    while True:
        pair = stated_pair(prompted(given), annotator)
        try:
            click.echo(save([pair]).line())
        except PreferenceConflictError as exc:
            click.echo(str(exc), err=True)
            if confirm("Replace it?"):
                click.echo(save([pair], overwrite=True).line())
        given = dict.fromkeys(given) | {"item_type": pair.a.item_type}
        if not confirm("Another pair?"):
            return
