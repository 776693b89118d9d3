"""Run the parts of a benchmark; one that fails does not lose the others."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jobs.benchmarks.comparisons import comparisons_of
from jobs.benchmarks.parts import PARTS, Part
from jobs.benchmarks.report import merged, new_report
from jobs.benchmarks.settings import Bench, BenchSettings

_SAID_CHARS = 500


def run_bench(
    home: Path,
    settings: BenchSettings,
    names: Sequence[str],
    *,
    parts: Mapping[str, Part] = PARTS,
    earlier: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = lambda text: None,
    save: Callable[[dict[str, Any]], None] = lambda report: None,
) -> dict[str, Any]:
    """Measure parts and return the report.

    A part that fails is noted with its error; what an earlier report has of it stays.

    :param names: of parts, measured in this order.
    :param parts: what measures each.
    :param earlier: a report to merge into.
    :param say: takes what is being measured.
    :param save: takes the report after every part.
    :raises MismatchError: if the earlier report was measured on something else.
    """
    report = new_report(home, settings)
    if earlier is not None:
        report = merged(report, earlier)
    for name in names:
        measured, failure = _measure(name, parts[name], home, settings, say)
        if measured is not None:
            report["parts"][name] = measured
        report["failures"].pop(name, None)
        if failure:
            report["failures"][name] = failure
        found = comparisons_of(report["parts"])
        report["comparisons"] = [comparison.as_json() for comparison in found]
        save(report)
    return report


def _measure(
    name: str, part: Part, home: Path, settings: BenchSettings, say: Callable[[str], None]
) -> tuple[dict[str, Any] | None, str]:
    """Return what a part measured, or why it failed."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="rerank_bench_") as folder:
        try:
            found = part(Bench(home, Path(folder), settings), lambda text: say(f"{name}: {text}"))
        except Exception as exc:  # whatever it is, the other parts took minutes
            failure = f"{type(exc).__name__}: {exc}"[:_SAID_CHARS]
            say(f"{name}: failed: {failure}")
            return None, failure
    say(f"{name}: measured in {time.perf_counter() - started:.0f} s")
    return found, ""
