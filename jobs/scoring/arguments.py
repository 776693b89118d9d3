"""The options of `rerank score` that take more than a line to read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from index.errors import InputError
from jobs.listing_files.column_names import OPTIONAL, REQUIRED, ColumnNames, read_column_names
from jobs.listing_files.selection import Selection, select_files
from jobs.scoring.answering import Answerer
from jobs.scoring.earlier_answers import RememberingAnswerer
from jobs.scoring.plan import Existing, ScorePlan

_WORDS = {
    "listing_id": "listing's id", "title": "title", "vendor": "seller's brand field",
    "description": "description", "price": "price",
}  # fmt: skip


def column_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--columns`` and an option for each column that is read."""
    for name in reversed((*REQUIRED, *OPTIONAL)):
        flag = f"--{name.removeprefix('listing_')}-column"
        command = click.option(
            flag, f"{name}_column", metavar="NAME", help=f"Your column that is the {_WORDS[name]}."
        )(command)
    return click.option(
        "--columns", "columns_file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE.yaml", help="Your names of columns, a line each: `title: product_name`.",
    )(command)  # fmt: skip


def column_names_of(columns_file: Path | None, named: dict[str, str | None]) -> ColumnNames:
    """Return the user's names of columns: those of single options before those of the file.

    :param named: what single options gave, by the name of the option's parameter.
    :raises InputError: if the file is no mapping of columns.
    """
    columns = ColumnNames() if columns_file is None else read_column_names(columns_file)
    given = {key.removesuffix("_column"): name for key, name in named.items() if name is not None}
    return columns.renamed(given)


def existing_of(*, overwrite: bool, resume: bool) -> Existing:
    """Return what to do with outputs that are there.

    :raises click.UsageError: if both were asked for.
    """
    if overwrite and resume:
        raise click.UsageError("--overwrite and --resume exclude each other: give one of them")
    if overwrite:
        return Existing.OVERWRITE
    return Existing.RESUME if resume else Existing.REFUSE


def selected(
    context: click.Context, argument: click.Parameter, value: str | None
) -> Selection | None:
    """Find the files that a file, folder, glob or URI means.

    :raises click.BadParameter: if there is nothing.
    :raises InputError: if a folder has no file of listings.
    """
    try:
        return None if value is None else select_files(value)
    except FileNotFoundError as exc:
        raise click.BadParameter(str(exc), ctx=context, param=argument) from exc


def remembering(
    fresh: Answerer,
    plan: ScorePlan,
    since: Selection | None,
    *,
    say: Callable[[str], None],
) -> RememberingAnswerer:
    """Return what answers: earlier outputs where they can, else ``fresh``.

    :param say: takes how many earlier answers there are, if any were asked for.
    :raises InputError: if an earlier output is one that this run writes.
    """
    outputs = [] if since is None else since.places()
    written = {task.target.resolved.path for task in plan.tasks}
    for place in outputs:
        if place.path in written:
            raise InputError(
                f"{place}: cannot be read with --since and written in one run; choose another "
                "output"
            )
    answerer = RememberingAnswerer(fresh, outputs)
    if since is not None:
        say(f"{answerer.n_known:,} earlier answers of this model, index and options")
    return answerer


def check_summary(path: Path | None, existing: Existing) -> None:
    """Check, before any work, that a summary may be written.

    :raises InputError: if the file exists already, or is a folder.
    """
    if path is not None and path.is_dir():
        raise InputError(f"{path}: expected the name of a file, found a folder")
    if path is not None and path.exists() and existing is Existing.REFUSE:
        raise InputError(f"{path}: exists already; choose another name or give --overwrite")
