"""Options that several commands share."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Any

import click

from rerank.index.errors import ArtifactError, require
from rerank.index.records import N_CANDIDATES, shipped
from rerank.rankers.kinds import RankerKind, ranker_kinds
from rerank.workspace import DEFAULT_HOME

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


home_option: Decorator = click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_HOME,
    envvar="RERANK_HOME",
    show_default=True,
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

_ranker_option: Decorator = click.option(
    "--ranker",
    type=click.Choice([kind.value for kind in ranker_kinds()]),
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


def needs(extra: str) -> Decorator:
    """Return a decorator of a command that runs with an extra only: without it, a line says so."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def checked(*args: Any, **options: Any) -> Any:
            require(extra, f"rerank {click.get_current_context().info_name}")
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


def _unheard(share: float) -> None:
    """Take a share done that nobody is shown."""


@contextmanager
def progress_bar(label: str, *, told: bool = False) -> Iterator[Callable[[float], None]]:
    """Yield a function that takes the share done; a bar shows it if stderr is a terminal.

    :param told: name what begins in a line where there is no bar.
    """
    if not sys.stderr.isatty():
        if told:
            click.echo(f"{label.strip()} ...", err=True)
        yield _unheard
        return
    bar: Any
    with click.progressbar(length=1000, label=label, file=sys.stderr) as bar:
        bar.render_progress()
        yield lambda share: bar.update(max(0, round(share * 1000) - bar.pos))
        bar.update(bar.length - bar.pos)


@contextmanager
def stage_progress() -> Iterator[Callable[[str, float], None]]:
    """Yield a function that takes (stage, share done): a bar for each stage in turn."""
    stage = ""
    advance: Callable[[float], None] = _unheard

    def show(name: str, share: float) -> None:
        nonlocal stage, advance
        if name != stage:
            bars.close()
            stage, advance = name, bars.enter_context(progress_bar(f"{name:36}", told=True))
        advance(share)

    with ExitStack() as bars:
        yield show
