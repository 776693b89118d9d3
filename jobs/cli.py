"""The `rerank` command: a group whose commands are imported when they are called."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import click
from click.exceptions import NoSuchCommand

from rerank.index.artifacts import silence_libraries
from rerank.index.errors import DISTRIBUTION, RerankError, RerankWarning, extra_of, os_error_text

GROUPS = {
    "Use: name what listings sell": {
        "resolve": "Name what a title sells: a GPU, or a product of yours.",
        "score": "Resolve a file or folder of listings into parquet.",
        "nightly": "Score the day's listings and report: for cron.",
        "prices": "Say what models sell for, and which offers are odd.",
        "propose": "Name products that listings sell and you lack.",
        "search": "Show what is found for a title, before ranking.",
        "serve": "Answer over HTTP: listings, searches, products.",
        "demo": "Build, train, evaluate and score the shipped sample.",
    },
    "Build: what answers are looked up in": {
        "init": "Look at a table of any goods, and describe it.",
        "build-index": "Build the search index of the GPUs or your catalogue.",
        "check-registry": "Compare the known GPUs with a table of facts.",
        "bootstrap": "Generate labelled listings of every known GPU.",
        "dual-data": "Generate the data that `train-dual` reads.",
        "store": "Import, export and query listings, answers, measurements.",
    },
    "Train: make a new model": {
        "train-ltr": "Train the standard model and its probabilities.",
        "train-embedder": "Train what turns words into the index's vectors.",
        "train-pairwise": "Train a ranker on pairs: which of two is better.",
        "train-dual": "Train a ranker on agreement and contradictions at once.",
        "train-cross-encoder": "Train a language model on pairs of title and GPU.",
        "train-decision": "Teach one of these three when to accept its best guess.",
    },
    "Judge: measure models, label listings": {
        "evaluate": "Measure the model on labelled listings: a report.",
        "compare-rankers": "Measure all rankers on the same listings.",
        "evaluate-dual": "Measure what `train-dual` made.",
        "ablate": "Measure what each group of features is worth.",
        "annotate": "Label listings by hand, the most useful ones first.",
        "review": "The same in a browser; try titles there, too.",
        "verdicts": "Say what a text sells: it stands before the model.",
        "annotations": "Find where annotators, or labels and model, differ.",
        "pairs": "Collect and export which of two items is better.",
        "simulate-queue": "Measure how much labelling `annotate` saves.",
    },
    "Operate: keep it running": {
        "status": "Show what serves, and what there is to train on.",
        "smoke": "Try every part once, and say whether it works.",
        "models": "List model versions; let one serve, or go back.",
        "monitor": "Say what changed in a batch of listings, and what to do.",
    },
}
"""Commands with their lines in `rerank --help`, which must not import them to print it."""
COMMANDS = {name: line for group in GROUPS.values() for name, line in group.items()}


_MODULES = {
    "resolve": ("resolve", "search"),
    "score": ("score", "nightly"),
    "market": ("prices", "propose"),
    "serve": ("serve", "review"),
    "build": ("init", "build-index", "train-embedder", "check-registry"),
    "train": (
        "train-ltr",
        "train-pairwise",
        "train-dual",
        "train-cross-encoder",
        "train-decision",
        "bootstrap",
        "dual-data",
    ),
    "evaluation": (
        "evaluate",
        "compare-rankers",
        "evaluate-dual",
        "ablate",
        "simulate-queue",
        "status",
        "smoke",
        "demo",
    ),
    "annotate": ("annotate", "annotations", "pairs"),
    "store": ("store", "verdicts"),
    "models": ("models",),
    "traffic": ("monitor",),
}

INTERRUPTED = 130
"""The exit code after Ctrl-C: 128 and the number of the signal, as shells have it."""


class ExplainedCommand(click.Command):
    """A command whose faults are one line.

    What is wrong with its input or the disk becomes a line and exit code 1; so does Ctrl-C where
    the command itself does not see to it, with its own exit code.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            with _warnings_on_stderr():
                return super().invoke(ctx)
        except RerankError as exc:
            raise click.ClickException(str(exc)) from exc
        except BrokenPipeError:
            raise  # whoever read our output has seen enough: click ends without a word
        except OSError as exc:
            raise click.ClickException(os_error_text(exc)) from exc
        except ModuleNotFoundError as exc:
            extra = extra_of((exc.name or "").partition(".")[0])
            if extra is None:
                raise
            missing = f"{exc.name} is not installed: `pip install '{DISTRIBUTION}[{extra}]'`"
            raise click.ClickException(f"{missing} brings it") from exc
        except KeyboardInterrupt:
            click.echo("Stopped", err=True)
            ctx.exit(INTERRUPTED)


class LazyGroup(ExplainedCommand, click.Group):
    """A group that knows its commands by name and imports one when it is called.

    :param groups: each heading of the group's help with its commands and their lines.
    :param modules: the modules of `rerank.jobs.commands`, each with the commands it holds as
        NAME_command.
    :param prefix: of their names there.
    :param elsewhere: what is no command here, with where to find it.
    """

    def __init__(
        self,
        *args: Any,
        groups: Mapping[str, Mapping[str, str]],
        modules: Mapping[str, Sequence[str]],
        prefix: str = "",
        elsewhere: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(*args, **settings)
        self._groups, self._prefix, self._elsewhere = groups, prefix, elsewhere or {}
        self._module_of = {name: module for module, names in modules.items() for name in names}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for group in self._groups.values() for name in group]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._module_of:
            return None
        settle_libraries()  # click imports the command before it calls the group
        module = importlib.import_module(f"rerank.jobs.commands.{self._module_of[cmd_name]}")
        name = f"{self._prefix}{cmd_name}_command".replace("-", "_")
        command: click.Command = getattr(module, name)
        return command

    def main(self, *args: Any, **settings: Any) -> Any:
        """Run what was called, whatever is closed of the standard streams."""
        settle_streams()
        return super().main(*args, **settings)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that arguments call.

        :raises click.UsageError: if there is none, with the name nearest to what was typed.
        """
        if told := self._elsewhere.get(args[0]):
            raise click.UsageError(told)  # without usage: one line
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as exc:
            nearest = get_close_matches(args[0], self._module_of, n=1)
            raise NoSuchCommand(args[0], possibilities=nearest, ctx=ctx) from exc

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, lines in self._groups.items():
            with formatter.section(heading):
                formatter.write_dl(list(lines.items()))


@contextmanager
def _warnings_on_stderr() -> Iterator[None]:
    """Show our own warnings as commands show theirs: a line each, without the line of code."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", RerankWarning)
        others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any) -> None:
            if issubclass(category, RerankWarning):
                click.echo(f"warning: {message}", err=True)
            else:
                others(message, category, *place)

        warnings.showwarning = show  # type: ignore[assignment]
        yield


@click.group(
    cls=LazyGroup,
    groups=GROUPS,
    modules=_MODULES,
    elsewhere={"bench": "Benchmarks are run from a checkout of the repository: `make bench`."},
)
@click.version_option(package_name=DISTRIBUTION)
def main() -> None:
    """Resolve marketplace listings to a catalogue: graphics cards, or yours.

    \b
    Example:
      rerank resolve "gigabyte RTX5070Ti windforce sff 16g"
      rerank score listings.csv resolved.parquet
    """


def settle_streams() -> None:
    """Let standard streams that were closed lead nowhere.

    Python has none of them then, and the next file that is opened would get their number: what a
    library writes to stderr would stand in it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")


def settle_libraries() -> None:
    """Let OpenMP threads sleep while they wait and OpenBLAS have none, unless set otherwise.

    Spinning makes training 13 times slower on a machine whose cores are shared, and OpenBLAS's
    threads, which always spin, take more time than they save. Arrow's own allocator keeps what is
    freed: with the system's, as fast, scoring takes 50 MB less. It is read when the libraries are
    loaded: call it before they are imported.
    """
    silence_libraries()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
