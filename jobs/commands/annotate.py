"""`rerank annotate`."""

from __future__ import annotations

import getpass
from functools import partial
from pathlib import Path

import click

from index.errors import InputError
from jobs.annotation.asking import prepare, save_answer, take_in
from jobs.annotation.dialogue import Dialogue, summary
from jobs.annotation.keys import check_terminal
from jobs.annotation.terminal import hold
from jobs.options import NumberRange, home_option, seed_option
from jobs.workspace import Workspace
from rerank.annotation.queue import QueueStrategy
from rerank.store import Store
from rerank.store.importing import OnConflict

_LONGEST_NAME = 100
_CONFLICT_CHOICES = [choice.value for choice in OnConflict]


@click.command("annotate")
@click.argument(
    "listings_file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--annotator", metavar="NAME", help="Who answers; default: your login name.")
@click.option(
    "--queue",
    "strategy",
    type=click.Choice([s.value for s in QueueStrategy]),
    default=QueueStrategy.UNCERTAIN.value,
    show_default=True,
    help="Ask first where the model is uncertain or rankers disagree, varied over models "
    "and shops; or by chance.",
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Ask about N listings at most.")
@seed_option
@click.option(
    "--top-k", type=click.IntRange(1, 9), default=5, show_default=True, help="Candidates shown."
)
@click.option(
    "--on-conflict",
    type=click.Choice(_CONFLICT_CHOICES),
    default="refuse",
    show_default=True,
    help="For listings of the file that the store has with other "
    "content: stop, keep the store's, or replace them.",
)
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
def command(
    listings_file: Path | None,
    annotator: str | None,
    strategy: str,
    limit: int | None,
    seed: int,
    top_k: int,
    on_conflict: str,
    wait_s: float,
    home: Path,
) -> None:
    """Say what listings sell, the most useful ones first.

    Asks about the store's listings that NAME has not answered, one key an answer; each answer is
    saved at once. With LISTINGS_FILE (parquet, CSV or JSONL with listing_id and title, optionally
    vendor, description, price, shop, language), its listings are saved to the store, and only they
    are asked about. `?` explains the keys.

    \b
    Example:
      rerank annotate listings.csv
      rerank annotate --queue disagreement --limit 50
      rerank annotate --annotator anna --queue random --seed 1
    """
    check_terminal(
        "rerank annotate",
        "run it in a terminal; answers that stand in a file are read "
        "by `rerank store import annotations FILE`",
    )
    annotator = _checked_annotator(annotator)
    workspace = Workspace(home)
    store = Store(workspace.store_path, wait_s=wait_s)
    ids = None
    if listings_file is not None:
        ids = take_in(store, listings_file, on_conflict=OnConflict(on_conflict))
    queue, retriever = prepare(
        workspace,
        store,
        annotator,
        strategy=QueueStrategy(strategy),
        seed=seed,
        limit=limit,
        listing_ids=ids,
    )
    dialogue = Dialogue(
        queue,
        retriever,
        partial(save_answer, Store(workspace.store_path)),
        save_patiently=partial(save_answer, store) if wait_s else None,
        annotator=annotator,
        top_k=top_k,
        label=f"queue: {strategy}   {annotator}",
    )
    if queue.items:
        hold(dialogue)
    click.echo(summary(dialogue.counts, queue.n_left, listings_file))


def _checked_annotator(name: str | None) -> str:
    """Return who answers: the name given, else the login name.

    :raises InputError: if the system knows no login name, or the name cannot be shown.
    """
    if name is None:
        try:
            name = getpass.getuser()
        except (KeyError, OSError) as exc:
            raise InputError(
                "expected a login name, found none on this system; say who answers with "
                "--annotator NAME"
            ) from exc
    if not name.strip() or not name.isprintable() or len(name) > _LONGEST_NAME:
        raise InputError(
            f"expected a name of 1 to {_LONGEST_NAME} printable characters for --annotator, got "
            f"{name[: _LONGEST_NAME + 1]!r}"
        )
    return name.strip()
