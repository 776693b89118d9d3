"""Progress of long work on stderr: a bar on a terminal, a line a stage in a log."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[float], None]]:
    """Yield a function that takes the share done; a bar shows it if stderr is a terminal."""
    if not sys.stderr.isatty():
        yield lambda share: None
        return
    bar: Any = click.progressbar(length=1000, label=label, file=sys.stderr)
    with bar:
        yield lambda share: bar.update(max(0, round(share * 1000) - bar.pos))


@contextmanager
def stage_progress() -> Iterator[Callable[[str, float], None]]:
    """Yield a function that takes (stage, share done): a bar for each stage in turn."""
    open_bar: Any = None
    current = ""

    def show(stage: str, share: float) -> None:
        nonlocal open_bar, current
        if stage != current:
            current = stage
            if open_bar is not None:
                _finish(open_bar)
            open_bar = _new_bar(stage)
        if open_bar is not None:
            open_bar.update(max(0, round(share * 1000) - open_bar.pos))

    try:
        yield show
    finally:
        if open_bar is not None:
            _finish(open_bar)


def _new_bar(stage: str) -> Any:
    if not sys.stderr.isatty():
        click.echo(f"{stage} ...", err=True)
        return None
    bar: Any = click.progressbar(length=1000, label=f"{stage:36}", file=sys.stderr)
    bar.render_progress()
    return bar


def _finish(bar: Any) -> None:
    bar.update(bar.length - bar.pos)
    bar.render_finish()
