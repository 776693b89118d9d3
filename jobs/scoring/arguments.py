"""The options of scoring commands that take more than a line to read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from index.errors import InputError
from jobs.listing_files.column_names import OPTIONAL, REQUIRED, ColumnNames, read_column_names
from jobs.listing_files.selection import Selection, select_files
from jobs.scoring.engines import Engine, EngineKind
from jobs.scoring.plan import Existing
from jobs.scoring.progress_line import ProgressLine

_INTERRUPTED = 130  # 128 and the number of the signal, as shells have it
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


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--engine``, ``--ray-address`` and ``--workers``; `engine_of` reads them."""
    for option in (
        click.option(
            "--workers", type=click.IntRange(1, 256), default=1, show_default=True,
            help="Processes that resolve; two pay from some 20,000 listings.",
        ),
        click.option(
            "--ray-address", metavar="ADDRESS",
            help="Of a Ray cluster, HOST:PORT or auto; default: RAY_ADDRESS, else this machine.",
        ),
        click.option(
            "--engine", "engine_name", default=EngineKind.LOCAL.value, show_default=True,
            type=click.Choice([kind.value for kind in EngineKind]),
            help="What spreads the work: this process, or Ray, a file to each worker.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def engine_of(engine_name: str, workers: int, ray_address: str | None) -> Engine:
    """Return the engine that was asked for.

    :raises click.UsageError: if an address was given to an engine that has none.
    """
    kind = EngineKind(engine_name)
    if ray_address is not None and kind is not EngineKind.RAY:
        raise click.UsageError("--ray-address needs --engine ray: add it, or drop the address")
    return Engine(kind, workers, ray_address)


@contextmanager
def interruptible(
    context: click.Context, line: ProgressLine, *, n_files: int, remedy: str
) -> Iterator[None]:
    """End a run that Ctrl-C stops with one line, and take the progress line away in any case.

    :param remedy: what to do to go on.
    """
    try:
        yield
    except KeyboardInterrupt:
        done = f"{line.latest.files} of {n_files} files finished"
        line.say(f"Stopped: {done}, nothing half-written; {remedy}")
        context.exit(_INTERRUPTED)
    finally:
        line.clear()


def warn_of_left_out(source: Selection, line: ProgressLine) -> None:
    """Name files of a folder that are not read."""
    names = ", ".join(source.left_out[:3]) + (", ..." if len(source.left_out) > 3 else "")
    if names:
        line.say(f"Warning: {len(source.left_out)} files of other endings are left out: {names}")


def check_summary(path: Path | None, existing: Existing) -> None:
    """Check, before any work, that a summary may be written.

    :raises InputError: if the file exists already, or is a folder.
    """
    if path is not None and path.is_dir():
        raise InputError(f"{path}: expected the name of a file, found a folder")
    if path is not None and path.exists() and existing is Existing.REFUSE:
        raise InputError(f"{path}: exists already; choose another name or give --overwrite")
