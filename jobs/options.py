"""What several commands share: options, how far they are, and what to do next."""

from __future__ import annotations

import math
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cached_property, wraps
from itertools import accumulate
from pathlib import Path
from textwrap import fill
from threading import Event, Lock, Thread
from typing import Any, TextIO

import click
from click.core import ParameterSource
from click.exceptions import Exit

from rerank.index.errors import ArtifactError, InputError, require
from rerank.index.records import N_CANDIDATES, shipped
from rerank.jobs.tables import WIDTH
from rerank.rankers.kinds import RankerKind, ranker_kinds
from rerank.workspace import HOME_NAME, home_here

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class NumberRange(click.FloatRange):
    """A range of numbers; NaN, which `click.FloatRange` lets through, is outside of all."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number.

        :raises click.BadParameter: if it is none, or outside of the range.
        """
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"expected a number, got {value!r}", param, ctx)
        return number


def _named_home(context: click.Context, parameter: click.Parameter, home: Path) -> Path:
    """Name a workspace that was found in a folder above: nobody asked for it by name."""
    by_default = context.get_parameter_source("home") is ParameterSource.DEFAULT
    if by_default and home.is_absolute():
        click.echo(f"workspace {home}", err=True)
    return home


home_option: Decorator = click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    default=home_here,
    callback=_named_home,
    envvar="RERANK_HOME",
    show_default=f"{HOME_NAME} here or in a folder above",
    show_envvar=True,
    help="Workspace: index, models and reports; what it lacks comes from the shipped defaults.",
)

format_option: Decorator = click.option(
    "--format",
    "output_format",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="A table for people or JSON for programs.",
)

top_k_option: Decorator = click.option(
    "--top-k",
    type=click.IntRange(1, 1000),
    default=N_CANDIDATES,
    show_default=True,
    help=f"Candidates written for each listing: of the {N_CANDIDATES} that decide, the best.",
)

candidate_set_option: Decorator = click.option(
    "--candidate-set",
    "coverage",
    type=NumberRange(0, 1, min_open=True, max_open=True),
    metavar="COVERAGE",
    help="Add all models that the listing could sell, so many that the right one is among them "
    "for this share of listings. Usual: 0.95.",
)


class _RankerChoice(click.Choice[str]):
    """A ranker's name; those of installed packages are looked for when one is named."""

    case_sensitive = True

    def __init__(self) -> None:
        """Know none yet."""

    @cached_property
    def choices(self) -> tuple[str, ...]:  # type: ignore[override]
        """The names of all rankers."""
        return tuple(kind.value for kind in ranker_kinds())


_ranker_option: Decorator = click.option(
    "--ranker",
    type=_RankerChoice(),
    callback=lambda context, parameter, value: None if value is None else RankerKind(value),
    help="What orders the candidates: the newest version of this ranker; default: the champion of "
    "`rerank models`.",
)

_cascade_option: Decorator = click.option(
    "--cascade",
    is_flag=True,
    help="Let the workspace's cross-encoder rescore the first few candidates where the decision "
    "is uncertain.",
)


def ranker_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--ranker`` and ``--cascade``."""
    return _ranker_option(_cascade_option(command))


verdicts_option: Decorator = click.option(
    "--verdicts/--no-verdicts",
    default=True,
    help="Let what people settled stand before the model's answers; by default, if there is any. "
    "--no-verdicts is for measuring the model.",
)

_near_verdicts_option: Decorator = click.option(
    "--near-verdicts",
    is_flag=True,
    help="Let a verdict hold for texts too that differ only in long serials; `rerank verdicts "
    "near` shows which.",
)


def verdict_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--verdicts/--no-verdicts`` and ``--near-verdicts``."""
    return verdicts_option(_near_verdicts_option(command))


seed_option: Decorator = click.option(
    "--seed", type=click.IntRange(0), default=7, show_default=True, help="Same seed, same result."
)


def samples_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--samples``; what draws them is imported by who measures."""
    from rerank.evaluation.intervals import DEFAULT_SAMPLES

    return click.option(
        "--samples",
        type=click.IntRange(1),
        default=DEFAULT_SAMPLES,
        show_default=True,
        help="Resamples behind each interval.",
    )(command)


def resampling_seed_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--seed``."""
    from rerank.evaluation.intervals import DEFAULT_SEED

    return click.option(
        "--seed",
        type=click.IntRange(0),
        default=DEFAULT_SEED,
        show_default=True,
        help="Of the resamples, and of listings where some are drawn.",
    )(command)


def gold_option(text: str, *, name: str = "gold", required: bool = False) -> Decorator:
    """Return an option of gold files, which may be repeated.

    :param text: its help.
    """
    return click.option(
        "--gold",
        name,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        multiple=True,
        required=required,
        metavar="FILE",
        help=text,
    )


serve_option: Decorator = click.option(
    "--serve",
    is_flag=True,
    help="Let the new version answer at once, without `rerank models promote` comparing it first.",
)


def existing_file(name: str) -> Decorator:
    """Return an argument that must be a readable file."""
    return click.argument(name, type=click.Path(exists=True, dir_okay=False, path_type=Path))


class ConfigFile(click.Path):
    """A settings file, or one that travels with the package, by its name in `configs/`."""

    def __init__(self) -> None:
        super().__init__(exists=True, dir_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = Path(value)
        if not path.exists() and path.parent in (Path("configs"), Path()):
            with suppress(ArtifactError):
                value = shipped(f"configs/{path.name}")
        return super().convert(value, param, ctx)


NEXT_STEP = "next_step"
"""The attribute of a command's function with the step that follows it."""


def then(step: str) -> Decorator:
    """Return a decorator of a command that ends with the step that is useful next, on stderr.

    Nothing is said to programs, which ask for JSON, and nothing where the command fails.

    :param step: words with the command's parameters in braces; `{home}` stands for the option
        that names the workspace, if it was given, `{{` for a brace.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def followed(*args: Any, **options: Any) -> Any:
            context = click.get_current_context()
            try:
                found = function(*args, **options)
            except Exit as exc:
                if exc.exit_code == 0:
                    _say_next(step, context)
                raise
            _say_next(step, context)
            return found

        setattr(followed, NEXT_STEP, step)
        return followed

    return decorate


def _say_next(step: str, context: click.Context) -> None:
    given = context.params
    if given.get("output_format", "table") != "table":
        return
    home = given.get("home")
    named = context.get_parameter_source("home") is ParameterSource.COMMANDLINE
    quoted = {name: shlex.quote(str(value)) for name, value in given.items()}
    words = step.format_map(
        {**quoted, "home": f" --home {shlex.quote(str(home))}" if named else ""}
    )
    where = ""
    if home is not None:
        where = f"workspace {home}; " if home.is_dir() else "no workspace yet, what ships serves; "
    told = fill(f"{where}next: {words}", WIDTH, break_long_words=False, break_on_hyphens=False)
    click.echo(told, err=True)


def needs(extra: str) -> Decorator:
    """Return a decorator of a command that runs with an extra only: without it, a line says so."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def checked(*args: Any, **options: Any) -> Any:
            require(extra, f"rerank {click.get_current_context().info_name}")
            return function(*args, **options)

        return checked

    return decorate


def writes(*names: str) -> Decorator:
    """Return a decorator of a command that replaces a file only if it is told to.

    :param names: the parameters that name files to write.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @click.option("--overwrite", is_flag=True, help="Replace a file that exists.")
        @wraps(function)
        def checked(*args: Any, overwrite: bool, **options: Any) -> Any:
            for path in filter(None, map(options.get, names)):
                if path.exists() and not overwrite:
                    raise InputError(f"{path} exists already; choose another name or --overwrite")
            return function(*args, **options)

        return checked

    return decorate


wait_option: Decorator = click.option(
    "--wait",
    "wait_s",
    type=NumberRange(0),
    default=0.0,
    metavar="SECONDS",
    help="Wait this long for another process that is writing to the store.",
)

registry_option: Decorator = click.option(
    "--registry",
    type=click.Path(exists=True, path_type=Path),
    help="YAML, CSV or parquet file, or a folder of YAML; default: the shipped registry.",
)


_TERMINAL_S, _LOG_S = 0.2, 10.0


class StatusLine:
    """The line that says how far a command is: rewritten on a terminal, elsewhere one every 10 s.

    :param clock: seconds, rising; a parameter so that what is shown can be tested.

    Where ``stamped`` is set, lines begin with the time, but on a terminal.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._started = self._shown = clock()
        self.is_terminal = stream.isatty()
        self.period_s = _TERMINAL_S if self.is_terminal else _LOG_S
        self._width = 0
        self.stamped = False

    def offer(self, text: Callable[[float], str]) -> None:
        """Show a text, if some time has passed.

        :param text: takes the seconds since the line began.
        """
        now = self._clock()
        if now - self._shown < self.period_s:
            return
        self._shown = now
        shown = text(now - self._started)
        if self.is_terminal:
            self._stream.write("\r" + shown.ljust(self._width))
            self._width = len(shown)
        else:
            self._stream.write(self._line(shown))
        self._stream.flush()

    def say(self, text: str) -> None:
        """Write a line of its own."""
        self.clear()
        self._stream.write(self._line(text))
        self._stream.flush()

    def _line(self, text: str) -> str:
        """Return a line, in logs that are stamped with the time, UTC."""
        if not self.stamped or self.is_terminal:
            return f"{text}\n"
        return f"{datetime.now(UTC).isoformat(timespec='seconds').replace('+00:00', 'Z')} {text}\n"

    def clear(self) -> None:
        """Take the line away."""
        if self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()
            self._width = 0

    def restart(self) -> None:
        """Count seconds from now on."""
        self._started = self._shown = self._clock()

    @property
    def seconds(self) -> float:
        """How long ago the line began."""
        return self._clock() - self._started


def time_left(seconds: float, share: float) -> str:
    """Return how much longer what has taken so long will take, for people.

    :param share: of it that is done, above 0 and below 1.
    """
    return f"{clock_text(seconds * (1 - share) / share)} left"


def clock_text(seconds: float) -> str:
    """Write a duration as a clock shows it: ``1:02:03``, ``0:07``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Stages:
    """Says which stage a command is in and how long it will take, also while it tells nothing.

    :param told: name what begins in a line of its own where no line can be rewritten.
    :param parts: the stages in their turn, each with its part of the time: share and time left are
        then of the whole. A stage that is none of them leaves the share where it is.
    """

    def __init__(
        self, line: StatusLine, *, told: bool, parts: Mapping[str, float] | None = None
    ) -> None:
        self._line, self._told, self._stage, self._share = line, told, "", 0.0
        self._parts = {} if parts is None else parts
        starts = accumulate(self._parts.values(), initial=0.0)
        self._starts = dict(zip(self._parts, starts, strict=False))
        self._lock, self._ended = Lock(), Event()

    def show(self, stage: str, share: float) -> None:
        """Take the stage and the share of it that is done."""
        with self._lock:
            self._share = self._of_whole(stage, share) if self._parts else share
            if stage != self._stage:
                if not self._parts:
                    self._end_stage()
                    self._line.restart()
                self._stage = stage
                if self._told and not self._line.is_terminal:
                    self._line.say(f"{stage} ...")

    def tick(self) -> None:
        """Show them again and again until `close`."""
        while not self._ended.wait(self._line.period_s):
            self.tell()

    def tell(self) -> None:
        """Show them, if some time has passed."""
        with self._lock:
            self._line.offer(self._text)

    def close(self) -> None:
        """End the last stage."""
        self._ended.set()
        with self._lock:
            self._end_stage()

    def _end_stage(self) -> None:
        self._line.clear()
        if self._stage and self._line.is_terminal:
            self._line.say(f"{self._stage:36} {clock_text(self._line.seconds)}")

    def _of_whole(self, stage: str, share: float) -> float:
        """Return the share of all stages that is done; it never falls."""
        if stage not in self._parts:
            return self._share
        done = self._starts[stage] + self._parts[stage] * share
        return max(self._share, done / sum(self._parts.values()))

    def _text(self, seconds: float) -> str:
        if not 0 < self._share < 1:
            return f"{self._stage:36} {clock_text(seconds)}"
        return f"{self._stage:36} {self._share:4.0%}, {time_left(seconds, self._share)}"


@contextmanager
def stage_progress(
    parts: Mapping[str, float] | None = None, *, told: bool = True
) -> Iterator[Callable[[str, float], None]]:
    """Yield a function that takes (stage, share done) and shows both with the time left.

    A stage that tells no share shows how long it has taken so far.

    :param parts: as of `Stages`: one line then goes over all stages.
    :param told: name each stage as it begins, also where no line can be rewritten.
    """
    stages = Stages(StatusLine(sys.stderr), told=told, parts=parts)
    ticking = Thread(target=stages.tick, daemon=True)
    ticking.start()
    try:
        yield stages.show
    finally:
        stages.close()
        ticking.join()


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[float], None]]:
    """Yield a function that takes the share done of the one stage that a command has."""
    with stage_progress(told=False) as show:
        show(label, 0.0)
        yield lambda share: show(label, share)
