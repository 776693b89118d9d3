"""The `rerank` command: a group whose commands are imported when they are called."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

from rerank.index.errors import DISTRIBUTION, RerankError, RerankWarning, os_error_text

COMMANDS = {
    "resolve": "Name the GPU a title sells.",
    "score": "Resolve a file of listings into a parquet file.",
    "nightly": "Score the day's listings and report, as cron runs it.",
    "search": "Show the candidates a title retrieves.",
    "build-index": "Build the FAISS index of a registry, or add GPUs to it.",
    "bootstrap": "Write generated, labelled listings.",
    "dual-data": "Write scored queries to train a dual-objective ranker on.",
    "train-embedder": "Train the default embedder on generated pairs.",
    "train-ltr": "Train the ranker, the offer classifier and the calibrator.",
    "train-pairwise": "Train a ranker on pairs of items, by which is better.",
    "train-dual": "Train a ranker for compliance and against conflicts at once.",
    "train-cross-encoder": "Train a cross-encoder by LoRA or QLoRA.",
    "train-decision": "Train what decides on the scores of one of these three.",
    "evaluate": "Measure the model against gold listings and baselines.",
    "compare-rankers": "Measure all rankers of the workspace beside each other.",
    "evaluate-dual": "Measure a dual-objective ranker on scored queries.",
    "ablate": "Measure what each feature group earns.",
    "annotate": "Say what listings sell, the most useful ones first.",
    "annotations": "Agreement of annotators, disputes and suspected label errors.",
    "pairs": "Collect and export pairwise preferences.",
    "store": "Import, export and query what people said and what was measured.",
    "simulate-queue": "Measure what the annotation queue earns over random order.",
    "check-registry": "Compare the registry with a table of facts.",
    "models": "Versions, what serves of them, promotion and rollback.",
    "monitor": "Say what moved in a batch of listings, and what to do.",
    "status": "Show what serves, and what there is to train on.",
    "smoke": "Run one inference of each piece, and say what made it.",
    "demo": "Build, train, evaluate and score the shipped sample, all in one.",
}
"""Each command with its line in `rerank --help`, which must not import them to print it."""


_MODULES = {
    "resolve": ("resolve", "search"),
    "home": ("status", "smoke", "demo"),
    "score": ("score", "nightly"),
    "build": ("build-index", "train-embedder", "check-registry"),
    "train": (
        "train-ltr",
        "train-pairwise",
        "train-dual",
        "train-cross-encoder",
        "train-decision",
        "bootstrap",
        "dual-data",
    ),
    "evaluation": ("evaluate", "compare-rankers", "evaluate-dual", "ablate", "simulate-queue"),
    "annotate": ("annotate", "annotations", "pairs"),
    "store": ("store",),
    "models": ("models",),
    "traffic": ("monitor",),
}

INTERRUPTED = 130
"""The exit code after Ctrl-C: 128 and the number of the signal, as shells have it."""


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is called.

    :param lines: each command with its line in the group's help.
    :param modules: the modules of `rerank.jobs.commands`, each with the commands it holds as
        NAME_command.
    :param prefix: of their names there.
    """

    def __init__(
        self,
        *args: Any,
        lines: Mapping[str, str],
        modules: Mapping[str, Sequence[str]],
        prefix: str = "",
        **settings: Any,
    ) -> None:
        super().__init__(*args, **settings)
        self._lines, self._prefix = lines, prefix
        self._module_of = {name: module for module, names in modules.items() for name in names}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._lines)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lines:
            return None
        module = importlib.import_module(f"rerank.jobs.commands.{self._module_of[cmd_name]}")
        name = f"{self._prefix}{cmd_name}_command".replace("-", "_")
        command: click.Command = getattr(module, name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self._lines.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what is wrong with its input or the disk becomes one line, exit code 1.

        So does Ctrl-C where the command itself does not see to it, with its own exit code.
        """
        try:
            with _warnings_on_stderr():
                return super().invoke(ctx)
        except RerankError as exc:
            raise click.ClickException(str(exc)) from exc
        except BrokenPipeError:
            raise  # whoever read our output has seen enough: click ends without a word
        except OSError as exc:
            raise click.ClickException(os_error_text(exc)) from exc
        except KeyboardInterrupt:
            click.echo("Stopped", err=True)
            ctx.exit(INTERRUPTED)


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


@click.group(cls=LazyGroup, lines=COMMANDS, modules=_MODULES)
@click.version_option(package_name=DISTRIBUTION)
def main() -> None:
    """Resolve listings of graphics cards to canonical GPUs.

    \b
    Example:
      rerank resolve "gigabyte RTX5070Ti windforce sff 16g"
      rerank score listings.csv resolved.parquet
    """
    # OpenMP threads that spin while they wait make training 13 times slower on a machine whose
    # cores are shared; read when the libraries are loaded, so before any command is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
