"""The options of scoring commands that take more than a line to read."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from index.errors import RerankError
from jobs.cli import INTERRUPTED
from jobs.listing_files.column_names import OPTIONAL, REQUIRED, ColumnNames, read_column_names
from jobs.listing_files.selection import Selection, select_files
from jobs.scoring.engines import Engine, EngineKind
from jobs.scoring.plan import Existing
from jobs.scoring.progress_line import ProgressLine
from jobs.workers import WorkerEndedError

_WORDS = {
    "listing_id": "listing's id",
    "title": "title",
    "vendor": "seller's brand field",
    "description": "description",
    "price": "price",
}


def column_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--columns`` and an option for each column that is read."""
    for name in reversed((*REQUIRED, *OPTIONAL)):
        flag = f"--{name.removeprefix('listing_')}-column"
        command = click.option(
            flag, f"{name}_column", metavar="NAME", help=f"Your column that is the {_WORDS[name]}."
        )(command)
    return click.option(
        "--columns",
        "columns_file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE.yaml",
        help="Your names of columns, a line each: `title: product_name`.",
    )(command)


def column_names_of(columns_file: Path | None, named: dict[str, str | None]) -> ColumnNames:
    """Return the user's names of columns: those of single options before those of the file.

    :param named: what single options gave, by the name of the option's parameter.
    :raises InputError: if the file is no mapping of columns, or a column was named for two things.
    """
    columns = ColumnNames() if columns_file is None else read_column_names(columns_file)
    given = {key.removesuffix("_column"): name for key, name in named.items() if name is not None}
    columns = columns.renamed(given)
    columns.check_apart()
    return columns


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

    :raises click.BadParameter: if a path names nothing.
    :raises InputError: if a folder has no file of listings, or a glob matches none.
    """
    try:
        return None if value is None else select_files(value)
    except FileNotFoundError as exc:
        raise click.BadParameter(str(exc), ctx=context, param=argument) from exc


class FilesCommand(click.Command):
    """A command of one SOURCE, which says what to do if a shell has put many in its place."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as exc:
            if "unexpected extra argument" not in exc.message:
                raise
            text = f'{exc.message.rstrip(".")}; quote a glob, as in "feeds/*.csv"'
            raise click.UsageError(text, ctx) from exc


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--engine``, ``--ray-address`` and ``--workers``; `engine_of` reads them."""
    for option in (
        click.option(
            "--workers",
            type=click.IntRange(1, 256),
            default=1,
            show_default=True,
            help="Processes that resolve; two pay from some 20,000 listings.",
        ),
        click.option(
            "--ray-address",
            metavar="ADDRESS",
            help="Of a Ray cluster, HOST:PORT or auto; default: RAY_ADDRESS, else this machine.",
        ),
        click.option(
            "--engine",
            "engine_name",
            default=EngineKind.LOCAL.value,
            show_default=True,
            type=click.Choice([kind.value for kind in EngineKind]),
            help="What spreads the work: this process, or Ray, a file to each worker.",
        ),
    ):
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
    """End a run that Ctrl-C or SIGTERM stops with one line, and clear the progress line at the end.

    :param remedy: what to do to go on.
    :raises RerankError: if a worker ended, with what is finished and how to go on.
    """

    def done() -> str:
        return f"{line.latest.files} of {n_files} files finished"

    try:
        with interrupted_once():
            yield
    except KeyboardInterrupt:
        line.say(f"Stopped: {done()}, nothing half-written; {remedy}")
        context.exit(INTERRUPTED)
    except WorkerEndedError as exc:
        raise RerankError(
            f"{exc.fault}; {done()}; {remedy}, with fewer workers if it happens again"
        ) from exc
    finally:
        line.clear()


@contextmanager
def interrupted_once() -> Iterator[None]:
    """Let Ctrl-C or SIGTERM, whichever comes first, interrupt the block; pass over further ones.

    A second one would break off the tidying up: a pool of processes that is broken off while it
    ends may wait for ever. What is ignored already (`nohup`) stays so; only the main thread may
    handle signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def warn_of_left_out(source: Selection, line: ProgressLine) -> None:
    """Name files of a folder that are not read."""
    names = ", ".join(source.left_out[:3]) + (", ..." if len(source.left_out) > 3 else "")
    if names:
        line.say(f"Warning: {len(source.left_out)} files of other endings are left out: {names}")
