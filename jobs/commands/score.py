"""`rerank score` and `nightly`, and the options and the run that all share who resolve a feed."""

from __future__ import annotations

import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import date
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from rerank.index.errors import RerankError
from rerank.jobs.cli import INTERRUPTED
from rerank.jobs.files.listings import (
    OPTIONAL,
    REQUIRED,
    ColumnNames,
    read_column_names,
)
from rerank.jobs.files.places import Place, place_of
from rerank.jobs.files.selection import Selection, select_files
from rerank.jobs.files.text_formats import checked_encoding, kept_input, plain_sample
from rerank.jobs.options import (
    Decorator,
    NumberRange,
    candidate_set_option,
    home_option,
    ranker_options,
    then,
    top_k_option,
    verdict_options,
)
from rerank.jobs.scoring.answering import ScoreOptions
from rerank.jobs.scoring.nightly import Night, nightly_text, run_night
from rerank.jobs.scoring.plan import (
    OUTPUT_ENDINGS,
    PARQUET,
    Existing,
    ScorePlan,
    columns_of_output,
    plan_score,
)
from rerank.jobs.scoring.run import (
    Engine,
    EngineKind,
    ProgressLine,
    ScoreSummary,
    check_summary,
    run_scoring,
    write_summary,
)
from rerank.jobs.workers import WorkerEndedError
from rerank.workspace import Workspace, columns_of_feed

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


def seen_columns(source: Selection, home: Path, given: ColumnNames) -> ColumnNames:
    """Return the columns of a feed: those that were given, else what the home's domain sees.

    It sees them by headers and first rows; those of the first file stand for all. They are said,
    since a person may know better.
    """
    place = source.places()[0]
    given = columns_of_output(place, given)
    own = given.own()
    with plain_sample(place) as first:
        seen = {} if first is None else columns_of_feed(Workspace(home), first)
    named = {
        ours: theirs
        for ours, theirs in seen.items()
        if ours not in own and theirs not in own.values()
    }
    if named:
        told = ", ".join(f"{ours} = {theirs!r}" for ours, theirs in named.items())
        click.echo(f"columns: {told}; name others with --title-column and the like", err=True)
    return given.renamed(named)


def selected(
    context: click.Context, argument: click.Parameter, value: str | None
) -> Selection | None:
    """Find the files that a file, folder, glob or URI means.

    :raises click.BadParameter: if a path names nothing.
    :raises InputError: if a folder has no file of listings, or a glob matches none.
    """
    if value == "-":
        return select_files(str(kept_input(sys.stdin.buffer)))
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


@dataclass(frozen=True, slots=True)
class Feed:
    """What every command that resolves a feed of listings was asked: from where, to where, how."""

    source: Selection
    out: Place
    home: Path
    options: ScoreOptions
    existing: Existing
    engine: Engine
    line: ProgressLine = field(default_factory=lambda: ProgressLine(sys.stderr))

    def plan(self, ending: str = PARQUET) -> ScorePlan:
        """Return what is to be written.

        :param ending: of a folder's outputs.
        :raises InputError: if something may not be.
        """
        return plan_score(self.source, self.out, existing=self.existing, ending=ending)

    @contextmanager
    def running(self, n_files: int, remedy: str) -> Iterator[dict[str, Callable[[Any], None]]]:
        """Yield who takes progress and warnings; name files that are left out, see to Ctrl-C.

        :param remedy: what to do to go on after it was stopped.
        """
        names = ", ".join(self.source.left_out[:3])
        names += ", ..." if len(self.source.left_out) > 3 else ""
        if names:
            self.line.say(
                f"Warning: {len(self.source.left_out)} files of other endings are left out: {names}"
            )
        with interruptible(click.get_current_context(), self.line, n_files=n_files, remedy=remedy):
            yield {"progress": self.line.show, "say": self.line.say}

    def end(self, summary: ScoreSummary, *told: str, file: Path | None = None) -> NoReturn:
        """Say what came of it and end the command: with exit code 1 if files failed.

        :param file: to write the summary to as JSON.
        """
        self.line.say(summary.line())
        if warning := summary.warning():
            self.line.say(warning)
        write_summary(summary, file)
        for text in told:
            click.echo(text)
        click.get_current_context().exit(1 if summary.failures else 0)


def _encoding(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    return None if value is None else checked_encoding(value)


encoding_option: Decorator = click.option(
    "--encoding",
    metavar="NAME",
    callback=_encoding,
    help="Of files of text, such as windows-1252; by default each is looked at, and it is said.",
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
_answer_options = (
    verdict_options,
    click.option("--only-decisions", is_flag=True, help="Leave the list of candidates out."),
    candidate_set_option,
    click.option(
        "--engine",
        "engine_name",
        default=EngineKind.LOCAL.value,
        show_default=True,
        type=click.Choice([kind.value for kind in EngineKind]),
        help="What spreads the work: this process, or Ray, a file to each worker.",
    ),
    click.option(
        "--ray-address",
        metavar="ADDRESS",
        help="Of a Ray cluster, HOST:PORT or auto; default: RAY_ADDRESS, else this machine.",
    ),
    click.option(
        "--workers",
        type=click.IntRange(1, 256),
        default=1,
        show_default=True,
        help="Processes that resolve; two pay from some 20,000 listings.",
    ),
)


def feed_command(
    name: str, *more: Decorator, source: str = "LISTINGS", within: Any = click, **settings: Any
) -> Callable[[Callable[..., None]], click.Command]:
    """Make a command of a function that takes a `Feed`, and by name what else was asked.

    :param more: options that not every feed has; those that a `Feed` holds go into it.
    :param source: what the help calls the listings that are read.
    :param within: the group that the command is added to, where that is no `LazyGroup`.
    """
    options: tuple[Decorator, ...] = (
        click.argument("source", metavar=source, callback=selected),
        click.argument("target", metavar="OUT"),
        *more,
        column_options,
        encoding_option,
        click.option(
            "--strict",
            is_flag=True,
            help="Set files of a folder aside whose columns differ; else they are united by name.",
        ),
        top_k_option,
        home_option,
    )

    def decorated(function: Callable[..., None]) -> click.Command:
        @wraps(function)
        def called(**given: Any) -> None:
            function(_feed_of(given), **given)

        command: Any = called
        for option in reversed(options):
            command = option(command)
        made: click.Command = within.command(name, cls=FilesCommand, **settings)(command)
        return made

    return decorated


def _feed_of(given: dict[str, Any]) -> Feed:
    """Take out of what was given on the command line what a `Feed` holds.

    :raises click.UsageError: if options exclude each other.
    """
    named = {key: given.pop(key) for key in list(given) if key.endswith("_column")}
    overwrite, resume = given.pop("overwrite", False), given.pop("resume", False)
    if overwrite and resume:
        raise click.UsageError("--overwrite and --resume exclude each other: give one of them")
    kind = EngineKind(given.pop("engine_name", EngineKind.LOCAL))
    engine = Engine(kind, given.pop("workers", 1), given.pop("ray_address", None))
    if engine.address is not None and kind is not EngineKind.RAY:
        raise click.UsageError("--ray-address needs --engine ray: add it, or drop the address")
    columns = column_names_of(given.pop("columns_file"), named)
    asked = {each.name for each in fields(ScoreOptions)} & given.keys()
    source, home = given.pop("source"), given.pop("home")
    columns = seen_columns(source, home, columns)
    return Feed(
        source,
        place_of(given.pop("target")),
        home,
        ScoreOptions(columns=columns, **{name: given.pop(name) for name in asked}),
        Existing.OVERWRITE if overwrite else Existing.RESUME if resume else Existing.REFUSE,
        engine,
    )


@feed_command(
    "score",
    ranker_options,
    click.option(
        "--explain",
        "explained",
        is_flag=True,
        help="Add the features that decided; some 200 listings a second.",
    ),
    *_answer_options,
    overwrite_option,
    click.option(
        "--format",
        "output_format",
        type=click.Choice([ending[1:] for ending in OUTPUT_ENDINGS]),
        help="Of a folder's outputs, by default parquet; that of one file is its ending.",
    ),
    click.option(
        "--resume",
        is_flag=True,
        help="Go on with a run that was stopped: keep what it finished, if the input, the "
        "options, the model and the index are still the same.",
    ),
    click.option(
        "--since",
        callback=selected,
        metavar="EARLIER",
        help="An earlier output, a file or folder: listings that have not changed keep the "
        "answer they got there from the same model, index and options.",
    ),
    click.option(
        "--summary",
        "summary_file",
        type=click.Path(path_type=Path),
        metavar="FILE.json",
        help="Write the counts, the rate and the files set aside as JSON.",
    ),
    source="SOURCE",
)
@then(
    "`rerank monitor {target}{home}` says what is unusual about it, `rerank annotate "
    "{source}{home}` asks about what is unsure"
)
def score_command(
    feed: Feed, *, since: Selection | None, summary_file: Path | None, output_format: str | None
) -> None:
    """Resolve listings, parquet, CSV or JSONL, into parquet: a file, a folder or a glob.

    SOURCE needs an id and a title; vendor and description help if they are there: a description
    says what is sold, and the memory where the title is silent. The price decides nothing. It and
    every other column pass through. A folder or a glob is mirrored under the folder OUT. Both may
    be URIs such as s3://bucket/listings. Rows that cannot be read come out as no match and are
    listed in a file of rejects.

    \b
    Example:
      rerank score listings.csv resolved.parquet
      rerank score --resume feeds/ resolved/
      rerank score --since monday/ feeds/ tuesday/
      rerank score --engine ray --workers 8 feeds/ resolved/
      rerank score --title-column name --id-column sku "feeds/*.csv" resolved/
      rerank score --candidate-set 0.95 listings.csv resolved.parquet
    """
    if output_format is not None and not feed.source.is_folder:
        raise click.UsageError("--format is of a folder's outputs; name the file by its ending")
    plan = feed.plan(PARQUET if output_format is None else f".{output_format}")
    check_summary(summary_file, plan, feed.source, since)
    with feed.running(plan.n_files, "go on with --resume") as heard:
        summary = run_scoring(feed.home, plan, feed.options, feed.engine, since=since, **heard)
    feed.end(summary, file=summary_file)


FALLEN = 3
"""The exit code of a night whose share of matches is lower than it may be."""


class Day(click.ParamType[date]):
    """A day of the calendar, written as folders are named by it."""

    name = "day"

    def convert(
        self, value: str | date, param: click.Parameter | None, ctx: click.Context | None
    ) -> date:
        """Return the day that a text names.

        :raises click.BadParameter: if it names none.
        """
        if isinstance(value, date):
            return value
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            self.fail(f"expected a day as YYYY-MM-DD, got {value!r}", param, ctx)
        try:
            return date.fromisoformat(value)
        except ValueError:
            self.fail(f"expected a day of the calendar, got {value}: no such day", param, ctx)


@feed_command(
    "nightly",
    click.option(
        "--registry",
        type=click.Path(exists=True, path_type=Path),
        help="Rebuild the index if this registry's content changed: YAML, CSV or parquet, or "
        "a folder of YAML. Without it the index stays as it is.",
    ),
    click.option(
        "--date",
        "day",
        type=Day(),
        metavar="YYYY-MM-DD",
        help="The day, which names the folder; default: today.",
    ),
    click.option(
        "--shop-column",
        "shop",
        metavar="NAME",
        help="Your column that says which shop a listing is of; default: `shop`, if there.",
    ),
    click.option(
        "--min-match-share",
        "least_share",
        type=NumberRange(0, 1),
        metavar="SHARE",
        help=f"End with exit code {FALLEN} where less of the listings is a match.",
    ),
    click.option(
        "--max-fall",
        "most_fall",
        type=NumberRange(0, 1),
        metavar="SHARE",
        help="The same where the share of matches fell by more since the day before.",
    ),
    *_answer_options,
)
@then("`rerank annotate LISTINGS{home}` asks about what is unsure")
def nightly_command(
    feed: Feed,
    *,
    registry: Path | None,
    day: date | None,
    shop: str | None,
    least_share: float | None,
    most_fall: float | None,
) -> None:
    """Score the day's listings into OUT/YYYY-MM-DD and report, as cron runs it.

    Rebuilds the index if the registry changed, keeps the answers of listings that have not changed
    since the latest finished day without failures, and writes _summary.json into the day's folder.
    Run again on the same day, it does only what is missing. One run at a time writes to OUT.

    \b
    Example:
      rerank nightly feeds/ resolved/
      rerank nightly --registry gpus.csv --min-match-share 0.2 feeds/ resolved/
      rerank nightly --date 2026-01-31 "feeds/*.parquet" resolved/
    """
    night = Night(
        Workspace(feed.home),
        feed.source,
        feed.out,
        day or date.today(),
        registry,
        feed.options,
        feed.engine,
        shop,
        least_share,
        most_fall,
    )
    feed.line.stamped = True
    n_files = len(feed.source.places()) + len(feed.source.faults)
    with feed.running(n_files, "run it again") as heard:
        content = run_night(night, **heard)
    click.echo(nightly_text(content))
    code = 1 if content["failures"] else FALLEN if content["fallen"] else 0
    click.get_current_context().exit(code)
