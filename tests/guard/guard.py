#!/usr/bin/env python3
"""Hold what rerank answers against golden figures, whatever its code looks like inside.

    guard.py [--rerank PATH] [--shared PATH] [--all] [--update] [PART ...]

It knows the command line only, no module, so that code may move and be renamed under it. Parts:

score     the demo listings and the hard set, resolved: each answer, each column, each byte
evaluate  every figure of the report on shipped gold, but times and the machine
train     the version that `train-ltr` makes, a minute: its name and its files
gold      the figures that PATH/eval/gold.py of --shared prints

Without a PART: score and evaluate, and gold with --shared. The golden figures lie beside this
file, PART.txt, a line each: name | figure. Exit code 1 if one differs, 2 for a wrong call.
Processors and library versions may differ in last digits: golden are those of constraints.txt.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LISTINGS = {"demo": ROOT / "data/demo_listings.parquet", "hard_set": ROOT / "data/hard_set.csv"}
USUAL_PARTS = ("score", "evaluate")

# What another machine, day, user or commit changes, by the names in the JSON files.
PASSING_OF_REPORT = {"run_id", "started_at", "machine", "latency_ms"}
PASSING_OF_MANIFEST = {"libraries", "seconds"}
PASSING_OF_VERSION = {"code_version", "created_at", "created_by", "sha256"}

SEPARATOR = " | "
Figures = dict[str, str]


class GuardError(Exception):
    """A command that was to be measured failed, or a golden file is missing."""


@dataclass(frozen=True)
class Measured:
    """What is measured: the command, and the folder of gold files that not everyone has."""

    rerank: Path
    shared: Path | None = None

    def run(self, *words: str | Path, home: Path) -> str:
        """Return what `rerank WORDS --home HOME` says on stdout."""
        return run(self.rerank, *words, "--home", home)


def run(*words: str | Path, exit_codes: tuple[int, ...] = (0,)) -> str:
    """Return the stdout of a command.

    :raises GuardError: with the end of its stderr, if its exit code is not among `exit_codes`.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RERANK")}
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, env=environment)
    if done.returncode not in exit_codes:
        said = done.stderr.strip() or done.stdout.strip()
        what = " ".join(Path(word).name for word in words[:3])
        raise GuardError(f"`{what} ...` exited with {done.returncode}: {said[-2000:]}")
    return done.stdout


def digest(content: bytes | Any) -> str:
    """Return the sha256 of bytes, or of any JSON value whatever the order of its keys."""
    if not isinstance(content, bytes):
        content = json.dumps(content, sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()


def without(values: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """Return a dict without some of its keys."""
    return {name: value for name, value in values.items() if name not in names}


def score_figures(measured: Measured, folder: Path) -> Figures:
    """Return each answer, and a digest of each column and of the bytes of each file."""
    figures: Figures = {}
    for name, listings in LISTINGS.items():
        measured.run("score", listings, folder / f"{name}.parquet", home=folder / "home")
        table = pq.read_table(folder / f"{name}.parquet")
        for row in table.to_pylist():
            probability = f"{row['match_probability']:.6f}"
            answer = (row["decision"], row["gpu_id"] or "-", probability, row["reason"])
            figures[row["listing_id"]] = SEPARATOR.join(answer)
        figures |= file_figures(folder, f"{name}*.parquet")
    return figures


def file_figures(folder: Path, pattern: str) -> Figures:
    """Return digests of parquet files: columns and metadata first, they say where bytes differ."""
    figures: Figures = {}
    for path in sorted(folder.glob(pattern)):
        table = pq.read_table(path)
        for column in table.column_names:
            figures[f"{path.stem} column {column}"] = column_digest(table, column)
        metadata = pq.read_metadata(path).metadata or {}
        metadata.pop(b"ARROW:schema", None)
        figures[f"{path.stem} metadata"] = digest(
            {key.decode(): value.decode() for key, value in metadata.items()}
        )
        figures[f"{path.stem} bytes"] = digest(path.read_bytes())
    return figures


def column_digest(table: pa.Table, name: str) -> str:
    """Return the digest of a column's type and values to the last digit."""
    column = table.column(name)
    return digest([str(column.type), column.to_pylist()])


def evaluate_figures(measured: Measured, folder: Path) -> Figures:
    """Return the headline figures of the report, and digests of all that it says."""
    said = measured.run("evaluate", "--format", "json", home=folder / "home")
    report = without(json.loads(said), PASSING_OF_REPORT)
    figures: Figures = {}
    for name, of_set in report["sets"].items():
        long = of_set.keys() & {"curves", "slices", "confusions", "failures"}
        figures |= dict(leaves(without(of_set, long), name))
        figures |= {f"{name} {part} digest": digest(of_set[part]) for part in sorted(long)}
    figures |= dict(leaves(without(report, {"sets"}), "report"))
    figures["report digest"] = digest(report)
    return figures


def leaves(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Yield each figure within JSON values by its path; a value with its interval is one."""
    if isinstance(value, dict) and value.keys() & {"value", "difference"}:
        in_order = sorted(value.items(), key=lambda item: item[0] != "value")
        said = (f"{key} {json.dumps(inner)}".replace('"', "") for key, inner in in_order)
        yield name, ", ".join(said).removeprefix("value ")
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{name} {key}")
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for at, inner in enumerate(value, 1):
            yield from leaves(inner, f"{name} {at}")
    else:
        yield name, json.dumps(value).strip('"')


def train_figures(measured: Measured, folder: Path) -> Figures:
    """Return the name, the headline figures and the files of the version that is trained."""
    measured.run("train-ltr", home=folder / "home")
    (path,) = (folder / "home/models").rglob("manifest.json")
    manifest = json.loads(path.read_text())
    version = json.loads((path.parent / "version.json").read_text())
    figures = {"version": path.parent.name, "fingerprint": manifest["fingerprint"]}
    figures |= dict(leaves(version["data"], "data"))
    figures |= dict(leaves(version["parameters"]["thresholds"], "threshold"))
    figures |= dict(leaves(version["metrics"], "metrics"))
    passing = {"manifest.json": PASSING_OF_MANIFEST, "version.json": PASSING_OF_VERSION}
    for file in sorted(path.parent.iterdir()):
        content: Any = file.read_bytes()
        if file.name in passing:
            content = without(json.loads(content), passing[file.name])
        figures[f"file {file.name}"] = digest(content)
    return figures


def gold_figures(measured: Measured, folder: Path) -> Figures:
    """Return the figures that the shared script prints: numbers only, not the bars it holds."""
    if measured.shared is None:
        raise GuardError("the part gold needs --shared PATH")
    script = (sys.executable, measured.shared.resolve() / "eval/gold.py")
    options = ("--rerank", measured.rerank, "--home", folder / "home")
    said = run(*script, *options, exit_codes=(0, 1))
    found = re.findall(r"^(?:ok|MISS)\s+(\w+)\s+(\w+)\s+([-+.\w]+)", said, re.MULTILINE)
    if not found:
        raise GuardError(f"eval/gold.py printed no figures, but {said[-500:]!r}")
    return {f"{gold} {metric}": value for gold, metric, value in found}


PARTS: dict[str, Callable[[Measured, Path], Figures]] = {
    "score": score_figures,
    "evaluate": evaluate_figures,
    "train": train_figures,
    "gold": gold_figures,
}


def measure(part: str, measured: Measured) -> Figures:
    """Return the figures of a part, from the shipped defaults in a fresh workspace."""
    with tempfile.TemporaryDirectory(prefix="guard-") as folder:
        return PARTS[part](measured, Path(folder))


def differences(expected: Figures, got: Figures) -> list[str]:
    """Return what differs, in the order of the golden file: name, expected, got."""
    names = [*expected, *(name for name in got if name not in expected)]
    return [
        f"{name}\n    expected  {expected.get(name, 'no such figure')}"
        f"\n    got       {got.get(name, 'no such figure')}"
        for name in names
        if expected.get(name) != got.get(name)
    ]


def read_golden(path: Path) -> Figures:
    """Return the figures of a golden file.

    :raises GuardError: if there is none.
    """
    if not path.exists():
        raise GuardError(f"there is no {path.name}; write it with --update")
    split = (line.partition(SEPARATOR) for line in path.read_text(encoding="utf-8").splitlines())
    return {name: value for name, _, value in split}


def check(part: str, measured: Measured) -> str:
    """Measure a part; return "" if it is as the golden file says, else what differs first."""
    golden = read_golden(HERE / f"{part}.txt")
    found = differences(golden, measure(part, measured))
    more = f"\n    and {len(found) - 1} more of {len(golden)} figures" if len(found) > 1 else ""
    return f"{found[0]}{more}" if found else ""


def update(part: str, measured: Measured) -> str:
    """Measure a part twice and write it; return what differs first if the two are not equal."""
    first, second = measure(part, measured), measure(part, measured)
    found = differences(first, second)
    if found:
        return f"nothing written, two runs are not equal: {found[0]}"
    lines = [f"{name}{SEPARATOR}{value}\n" for name, value in first.items()]
    (HERE / f"{part}.txt").write_text("".join(lines), encoding="utf-8")
    return ""


def usual_command() -> Path:
    """Return the command of the checkout's environment, else of the one that runs this."""
    own = ROOT / ".venv/bin/rerank"
    return own if own.exists() else Path(sys.executable).parent / "rerank"


def foreign_checkout(rerank: Path) -> Path | None:
    """Return the other checkout whose code a command runs, or None: then it proves nothing here."""
    python = rerank.parent / "python"
    if not python.exists():
        return None
    code = "import pathlib, rerank; print(pathlib.Path(rerank.__file__).resolve().parents[1])"
    done = subprocess.run(
        [str(python), "-P", "-c", code], capture_output=True, text=True, cwd=python.anchor
    )
    source = Path(done.stdout.strip())
    is_checkout = done.returncode == 0 and (source / "tests").is_dir()
    return source if is_checkout and source != ROOT else None


def say(line: str) -> None:
    """Write a line at once, so that it is seen before the next part ends."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def parsed(words: list[str] | None) -> argparse.Namespace:
    """Return the options, with the parts to do in their order and `rerank` where it lies."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    argument = parser.add_argument
    argument("parts", nargs="*", metavar="PART", help="score, evaluate, train, gold")
    argument("--all", action="store_true", help="train too; gold only with --shared")
    argument("--update", action="store_true", help="measure twice, write the golden files anew")
    argument("--shared", type=Path, metavar="PATH", help="folder with eval/gold.py")
    usual = "the command; default: .venv/bin/rerank, else the one beside this python"
    argument("--rerank", type=Path, default=usual_command(), metavar="PATH", help=usual)
    options = parser.parse_args(words)
    wanted = set(options.parts)
    if unknown := wanted - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if "gold" in wanted and options.shared is None:
        parser.error("the part gold needs --shared PATH")
    if options.shared and not (options.shared / "eval/gold.py").exists():
        parser.error(f"--shared: {options.shared} has no eval/gold.py")
    if not options.rerank.exists():
        parser.error(f"--rerank: {options.rerank} does not exist")
    options.rerank = options.rerank.absolute()
    if options.all or not wanted:
        wanted |= set(USUAL_PARTS) | ({"train"} if options.all else set())
        wanted |= {"gold"} if options.shared else set()
    options.parts = [part for part in PARTS if part in wanted]
    return options


def main(words: list[str] | None = None) -> int:
    """Do the parts that are asked for, a line each; return the exit code."""
    options = parsed(words)
    measured = Measured(options.rerank, options.shared)
    if other := foreign_checkout(options.rerank):
        say(f"warning: {options.rerank} runs the code of {other}, not of this checkout")
    act, failed = update if options.update else check, False
    for part in options.parts:
        start = time.monotonic()
        try:
            found = act(part, measured)
            word = f"differs: {found}" if found else "written" if options.update else "ok"
        except GuardError as error:
            found = word = f"failed: {error}"
        failed = failed or bool(found)
        say(f"{part:9} {time.monotonic() - start:5.1f} s  {word}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
