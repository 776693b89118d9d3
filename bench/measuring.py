"""How it is measured: fresh processes, feeds, stages, memory, ratios held against bars."""

from __future__ import annotations

import functools
import math
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rerank.evaluation.baselines import RepeatedFigure
from rerank.index.errors import InputError, RerankError
from rerank.index.records import N_CANDIDATES, GpuRecord, LabelledListing, Listing
from rerank.packs.gpu.bootstrap.generator import generate

if TYPE_CHECKING:
    from rerank.jobs.scoring.answering import Answerer


Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "RAYON_NUM_THREADS",
)
_SAMPLED_EVERY_S = 0.05
_SHOWN_CHARS = 400


class ScoreRun(NamedTuple):
    """One call of `rerank score`.

    :param seconds: from the start of its process to its end.
    :param peak_bytes: the greatest sum of resident sizes seen, worker processes included.
    """

    seconds: float
    peak_bytes: int


def in_child(
    function: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
) -> Result:
    """Call a module's function in a process of its own; what it raises is raised here.

    :raises RerankError: if the process ends unexpectedly.
    """
    context: Any = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(function, *arguments, **named).result()
        except BrokenProcessPool as exc:
            raise RerankError(
                f"{function.__name__}: its process ended unexpectedly, perhaps for want of memory"
            ) from exc


@contextmanager
def threads_of_children(count: int | None) -> Iterator[None]:
    """Give processes that start inside of the block so many threads a library; None: their own."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    if count is not None:
        os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(count)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is not None:
                os.environ[name] = value
            else:
                os.environ.pop(name, None)


def run_score(home: Path, source: Path, target: Path, *, workers: int, top_k: int) -> ScoreRun:
    """Run `rerank score` over a file, as a user would, and watch it.

    :raises RerankError: if it fails.
    """
    command = [
        sys.executable,
        "-c",
        "from rerank.jobs.cli import main; main()",
        "score",
        str(source),
        str(target),
        "--overwrite",
        "--workers",
        str(workers),
        "--top-k",
        str(top_k),
        "--home",
        str(home),
    ]
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=said, stderr=said)
        peak = 0
        while True:
            try:
                code = process.wait(_SAMPLED_EVERY_S)
                break
            except subprocess.TimeoutExpired:
                peak = max(peak, tree_resident_bytes(process.pid))
            except BaseException:
                process.kill()
                process.wait()
                raise
        seconds = time.perf_counter() - started
        if code:
            said.seek(0)
            text = said.read().decode(errors="replace")[-_SHOWN_CHARS:]
            raise RerankError(f"rerank score {source.name}: exit code {code}: {text.strip()}")
    return ScoreRun(seconds, peak)


WANTED_RATE = 10_000.0
WANTED_OVER_RAPIDFUZZ = 15.0
WANTED_OVER_CROSS_ENCODER = 100.0
WANTED_SHARE_OF_FLOOR = 0.5
WANTED_PEAK_MIB = 1536.0
LONG_FEED = 5_000_000

_TREES = {"lightgbm": "LightGBM", "served": "trees as served"}


@dataclass(frozen=True, slots=True)
class BarCheck:
    """A ratio or a figure, and the bar it is held against, if there is one.

    :param unit: ``times``, ``share``, ``listings/s`` or ``MiB``.
    :param wanted: at least this, or at most if ``at_most``; None where nothing is asked.
    """

    name: str
    measured: RepeatedFigure
    unit: str
    wanted: float | None = None
    at_most: bool = False

    @property
    def reached(self) -> bool | None:
        """Whether the median is on the right side of the bar; None without one."""
        if self.wanted is None:
            return None
        median = self.measured.median
        return median <= self.wanted if self.at_most else median >= self.wanted

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "name": self.name,
            **self.measured.as_json(),
            "unit": self.unit,
            "wanted": self.wanted,
            "at_most": self.at_most,
            "reached": self.reached,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> BarCheck:
        """Return what `as_json` wrote; whether the bar is reached is worked out anew."""
        return cls(
            content["name"],
            RepeatedFigure.from_json(content),
            content["unit"],
            content["wanted"],
            content["at_most"],
        )


def comparisons_of(parts: Mapping[str, Mapping[str, Any]]) -> list[BarCheck]:
    """Return what can be said with the parts that were measured, bars first."""
    rates = _rates(parts.get("end-to-end"))
    found = [
        *_end_to_end(rates),
        *_rapidfuzz(rates, parts.get("rapidfuzz")),
        *_rivals(parts.get("rivals")),
        *_cross_encoder(rates, parts.get("cross-encoder")),
        *_floor(parts.get("floor")),
        *_memory(parts.get("memory")),
    ]
    return sorted(found, key=lambda each: each.wanted is None)


def quotient(ours: RepeatedFigure, theirs: RepeatedFigure) -> RepeatedFigure:
    """Return how many times theirs ours is.

    The range goes from our least over their greatest to our greatest over their least: whichever
    of the measurements are paired, their quotient lies in it.
    """
    return RepeatedFigure(
        ours.median / theirs.median, ours.low / theirs.high, ours.high / theirs.low
    )


def growth_exponent(sizes: Sequence[float], values: Sequence[float]) -> float | None:
    """Return b of values ~ sizes ** b, by least squares over logarithms.

    1 is linear, 0 is flat. None with fewer than two sizes.

    :raises InputError: if the lengths differ or something is not above 0.
    """
    if len(sizes) != len(values) or min((*sizes, *values), default=1) <= 0:
        raise InputError("expected as many values as sizes, all above 0")
    if len(set(sizes)) < 2:
        return None
    x, y = [math.log(size) for size in sizes], [math.log(value) for value in values]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    above = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return above / sum((a - mean_x) ** 2 for a in x)


Rates = Mapping[tuple[str, int, str], RepeatedFigure]


def _rates(part: Mapping[str, Any] | None) -> Rates:
    """Return our rates end to end by feed, workers and ``with_start`` or ``without_start``."""
    return {
        (row["feed"], row["workers"], start): RepeatedFigure.from_json(row[f"rate_{start}"])
        for row in (part or {"rows": []})["rows"]
        for start in ("with_start", "without_start")
    }


def _end_to_end(rates: Rates) -> list[BarCheck]:
    if not rates:
        return []
    ours = rates["distinct", 2, "without_start"]
    return [
        BarCheck("2 workers, start-up excluded", ours, "listings/s", WANTED_RATE),
        BarCheck(
            "2 workers, start-up included",
            rates["distinct", 2, "with_start"],
            "listings/s",
            WANTED_RATE,
        ),
        BarCheck(
            "2 workers over 1", quotient(ours, rates["distinct", 1, "without_start"]), "times"
        ),
        BarCheck(
            "repeating over distinct titles",
            quotient(rates["repeating", 2, "without_start"], ours),
            "times",
        ),
    ]


def _rapidfuzz(rates: Rates, part: Mapping[str, Any] | None) -> list[BarCheck]:
    """Both as they are called on 2 cores; then with as many processes on either side."""
    if not rates or part is None:
        return []
    theirs = {
        (row["call"], row["names"]): RepeatedFigure.from_json(row["rate"]) for row in part["rows"]
    }
    two, one = rates["distinct", 2, "without_start"], rates["distinct", 1, "without_start"]
    extract, cdist = theirs["extract", "variants"], theirs["cdist", "variants"]
    return [
        BarCheck(
            "2 workers over RapidFuzz extract",
            quotient(two, extract),
            "times",
            WANTED_OVER_RAPIDFUZZ,
        ),
        BarCheck(
            "2 workers over extract, model names",
            quotient(two, theirs["extract", "models"]),
            "times",
        ),
        BarCheck("1 worker over RapidFuzz extract", quotient(one, extract), "times"),
        BarCheck("2 workers over RapidFuzz cdist", quotient(two, cdist), "times"),
        BarCheck(
            "2 workers over cdist, model names", quotient(two, theirs["cdist", "models"]), "times"
        ),
    ]


def _rivals(part: Mapping[str, Any] | None) -> list[BarCheck]:
    """All one by one, in one process each, over the same titles."""
    if part is None:
        return []
    ours, *others = part["rows"]
    rate = RepeatedFigure.from_json(ours["rate"])
    return [
        BarCheck(
            f"1 process over {each['name']}",
            quotient(rate, RepeatedFigure.from_json(each["rate"])),
            "times",
        )
        for each in others
    ]


def _cross_encoder(rates: Rates, part: Mapping[str, Any] | None) -> list[BarCheck]:
    if not rates or part is None:
        return []
    ratio = quotient(rates["distinct", 2, "without_start"], RepeatedFigure.from_json(part["rate"]))
    return [
        BarCheck(
            "2 workers over MiniLM and cross-encoder", ratio, "times", WANTED_OVER_CROSS_ENCODER
        )
    ]


def _floor(part: Mapping[str, Any] | None) -> list[BarCheck]:
    found = []
    for row in (part or {"rows": []})["rows"]:
        for trees, said in _TREES.items():
            share = quotient(
                RepeatedFigure.from_json(row["ours"]),
                RepeatedFigure.from_json(row[f"floor_{trees}"]),
            )
            several = row["processes"] > 1
            name = f"{'2 workers' if several else '1 worker'} over the floor, {said}"
            wanted = WANTED_SHARE_OF_FLOOR if several and trees == "lightgbm" else None
            found.append(BarCheck(name, share, "share", wanted))
    return found


def _memory(part: Mapping[str, Any] | None) -> list[BarCheck]:
    rows: Sequence[Mapping[str, Any]] = (part or {"rows": []})["rows"]
    return [
        BarCheck(
            f"peak memory, {row['listings']:,} listings",
            RepeatedFigure.of([row["peak_mib"]]),
            "MiB",
            WANTED_PEAK_MIB if row["listings"] >= LONG_FEED else None,
            at_most=True,
        )
        for row in rows
    ]


_CHUNK = 10_000
_VARIED = 20_000  # generated titles that an endless feed varies
SCHEMA = pa.schema(
    [
        ("listing_id", pa.string()),
        ("title", pa.string()),
        ("vendor", pa.string()),
        ("description", pa.string()),
        ("price", pa.float64()),
    ]
)


def registry_of(home: Path) -> list[GpuRecord]:
    """Return the registry of the index that a workspace serves."""
    from rerank.packs.gpu.retriever import index_records
    from rerank.workspace import Workspace

    return index_records(Workspace(home).active_index())


def distinct_items(records: Sequence[GpuRecord], *, seed: int) -> Iterator[LabelledListing]:
    """Yield labelled listings without end, no title twice; the same for a registry and seed."""
    seen: set[str] = set()
    while True:
        for item in generate(records, _CHUNK, seed=seed):
            if item.listing.title not in seen:
                seen.add(item.listing.title)
                listing = replace(item.listing, listing_id=f"b{len(seen):08d}")
                yield replace(item, listing=listing)
        seed += 1


def distinct_listings(records: Sequence[GpuRecord], *, seed: int) -> Iterator[Listing]:
    """Yield the listings of `distinct_items`."""
    return (item.listing for item in distinct_items(records, seed=seed))


def first_cards(home: Path, n: int, *, seed: int) -> tuple[list[str], list[str]]:
    """Return the first n titles that sell a card, as `first_listings` has them, and its model."""
    cards = (each for each in distinct_items(registry_of(home), seed=seed) if each.model)
    first = list(islice(cards, n))
    return [each.listing.title for each in first], [str(each.model) for each in first]


def first_listings(home: Path, n: int, *, seed: int) -> list[Listing]:
    """Return the first n distinct listings generated from a workspace's registry."""
    return list(islice(distinct_listings(registry_of(home), seed=seed), n))


def write_distinct(home: Path, path: Path, n: int, *, seed: int) -> None:
    """Write a feed in which no title stands twice."""
    _write(path, islice(distinct_listings(registry_of(home), seed=seed), n))


def write_repeating(home: Path, path: Path, n: int, *, seed: int, share: float) -> None:
    """Write a feed in which a share of the rows repeats the whole text of another row.

    What is repeated is drawn with Zipf's weights, 1 / rank; the rows are shuffled.

    :param share: of the rows, 0 to below 1.
    """
    n_distinct = n - int(n * share)
    distinct = first_listings(home, n_distinct, seed=seed)
    rng = np.random.default_rng(seed)
    weights = 1 / np.arange(1, n_distinct + 1)
    drawn = rng.choice(n_distinct, n - n_distinct, p=weights / weights.sum())
    rows = rng.permutation(np.concatenate([np.arange(n_distinct), drawn])).tolist()
    _write(path, (replace(distinct[row], listing_id=f"r{at:08d}") for at, row in enumerate(rows)))


def write_endless(home: Path, path: Path, n: int, *, seed: int) -> None:
    """Write a feed of any length with distinct titles: generated ones, a lot number behind each.

    The number is a word that no other title has, so that whatever remembers words is strained.
    """
    varied = first_listings(home, min(n, _VARIED), seed=seed)

    def rows() -> Iterator[Listing]:
        for at in range(n):
            each = varied[at % len(varied)]
            yield replace(each, listing_id=f"e{at:08d}", title=f"{each.title} lot{at:08d}")

    _write(path, rows())


def _write(path: Path, listings: Iterator[Listing]) -> None:
    with pq.ParquetWriter(path, SCHEMA) as writer:
        while chunk := list(islice(listings, _CHUNK)):
            columns = [
                pa.array([getattr(each, name) for each in chunk], SCHEMA.field(name).type)
                for name in SCHEMA.names
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA))


_PROC = Path("/proc")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MIB = 1 << 20


def resident_bytes(pid: int | None = None) -> int:
    """Return the resident set size of a process, this one by default; 0 if it has ended."""
    try:
        text = (_PROC / str(pid or os.getpid()) / "statm").read_text()
    except OSError:
        return 0
    return int(text.split()[1]) * _PAGE_BYTES


def tree_resident_bytes(pid: int) -> int:
    """Return the sum over a process and all that descend from it."""
    return sum(resident_bytes(each) for each in _tree(pid))


def peak_bytes() -> int:
    """Return the greatest resident size of this process since its start or `reset_peak`."""
    for line in (_PROC / "self" / "status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resident_bytes()


def reset_peak() -> None:
    """Let `peak_bytes` begin anew (proc(5): clear_refs, 5)."""
    (_PROC / "self" / "clear_refs").write_text("5")


def _tree(pid: int) -> list[int]:
    found, at = [pid], 0
    while at < len(found):
        for listed in (_PROC / str(found[at]) / "task").glob("*/children"):
            try:
                found += map(int, listed.read_text().split())
            except OSError:  # the thread has ended in between
                continue
        at += 1
    return found


SERVED_VECTOR_HITS = 32  # neighbours the retriever asks FAISS for
REPEAT_SHARE = 0.5
WORKERS = (1, 2)
CANDIDATE_COUNTS = (5, 10, N_CANDIDATES, 50, 100)
DEFAULT_SEED = 11


class Scale(Enum):
    """How large the measurements are."""

    QUICK = "quick"
    DEFAULT = "default"
    FULL = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchSettings:
    """Sizes of all measurements; in listings where nothing else is said.

    :param repeats: of each measurement; those that take minutes are made once.
    :param registry_sizes: of synthetic registries, in vectors.
    :param registry_queries: searched in each of them.
    """

    scale: Scale
    seed: int = DEFAULT_SEED
    repeats: int = 3
    listings: int = 100_000
    fuzzy_listings: int = 1000
    neural_listings: int = 100
    floor_listings: int = 40_960
    stage_listings: int = 20_000
    candidate_listings: int = 5000
    thread_listings: int = 16_384
    memory_listings: int = 5_000_000
    growth: tuple[int, ...] = (10_000, 100_000)
    registry_sizes: tuple[int, ...] = (1000, 10_000, 100_000)
    registry_queries: int = 1000

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            **asdict(self),
            "scale": self.scale.value,
            "growth": list(self.growth),
            "registry_sizes": list(self.registry_sizes),
        }


@dataclass(frozen=True, slots=True)
class Bench:
    """What every part is given.

    :param home: the workspace whose resolver is measured.
    :param folder: for feeds and outputs; emptied at the end.
    """

    home: Path
    folder: Path
    settings: BenchSettings


_QUICK = BenchSettings(
    scale=Scale.QUICK,
    repeats=1,
    listings=600,
    fuzzy_listings=20,
    neural_listings=2,
    floor_listings=600,
    stage_listings=600,
    candidate_listings=100,
    thread_listings=300,
    memory_listings=20_000,
    growth=(300, 600),
    registry_sizes=(500, 1000),
    registry_queries=50,
)


def settings_of(
    scale: Scale, *, seed: int, listings: int | None = None, repeats: int | None = None
) -> BenchSettings:
    """Return the sizes of a scale.

    :param listings: of the end-to-end feeds, instead of the scale's own.
    :param repeats: instead of the scale's own.
    """
    found = _QUICK if scale is Scale.QUICK else BenchSettings(scale=scale)
    if scale is Scale.FULL:
        found = replace(
            found,
            growth=(*found.growth, 1_000_000),
            registry_sizes=(*found.registry_sizes, 1_000_000),
        )
    return replace(
        found, seed=seed, listings=listings or found.listings, repeats=repeats or found.repeats
    )


class Hook(NamedTuple):
    """A function that is a stage, or part of one.

    :param owner: the class or module that it is an attribute of.
    """

    stage: str
    owner: Any
    name: str


class StageClock:
    """Adds up the seconds of each stage that ran in the thread that made the clock, and elsewhere.

    :param seconds: by stage, in the thread of the clock.
    :param aside: by stage, in other threads, beside it.
    :param now: the time in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self.seconds: dict[str, float] = defaultdict(float)
        self.aside: dict[str, float] = defaultdict(float)
        self._thread = threading.get_ident()
        self._inner = threading.local()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block as a stage."""
        outer = getattr(self._inner, "seconds", 0.0)
        self._inner.seconds = 0.0
        started = self._now()
        try:
            yield
        finally:
            took = self._now() - started
            here = threading.get_ident() == self._thread
            (self.seconds if here else self.aside)[name] += took - self._inner.seconds
            self._inner.seconds = outer + took


class PeakMeter:
    """Takes the greatest growth of resident memory within one call of each stage.

    What stages inside of it grow by is part of it. For one thread.

    :param peaks: bytes above what was resident when the call began, by stage.
    """

    def __init__(self) -> None:
        self.peaks: dict[str, int] = defaultdict(int)
        self._seen: list[int] = []  # of each open call, the greatest so far

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Watch a block as a stage."""
        if self._seen:
            self._seen[-1] = max(self._seen[-1], peak_bytes())
        reset_peak()
        before = resident_bytes()
        self._seen.append(before)
        try:
            yield
        finally:
            highest = max(self._seen.pop(), peak_bytes())
            self.peaks[name] = max(self.peaks[name], highest - before)
            if self._seen:
                self._seen[-1] = max(self._seen[-1], highest)


@contextmanager
def hooked(
    hooks: list[Hook], stage: Callable[[str], AbstractContextManager[None]]
) -> Iterator[None]:
    """Run a block with a stage's clock around every hook; afterwards all is as before.

    A function that returns an iterator is a stage whenever that is asked for its next item.

    :raises InputError: if a function is not there (any more), all of them named.
    """
    absent = [
        f"{hook.owner.__name__}.{hook.name}" for hook in hooks if not hasattr(hook.owner, hook.name)
    ]
    if absent:
        raise InputError(f"expected stages to measure, {', '.join(absent)} not found")
    with ExitStack() as undo:
        for hook in hooks:
            original = vars(hook.owner)[hook.name]
            undo.callback(setattr, hook.owner, hook.name, original)
            setattr(hook.owner, hook.name, _around(original, hook.stage, stage))
        yield


def _around(
    original: Callable[..., Any], name: str, stage: Callable[[str], AbstractContextManager[None]]
) -> Callable[..., Any]:
    def items(found: Iterator[Any]) -> Iterator[Any]:
        while True:
            with stage(name):
                try:
                    item = next(found)
                except StopIteration:
                    return
            yield item

    @functools.wraps(original)
    def timed(*arguments: Any, **named: Any) -> Any:
        with stage(name):
            found = original(*arguments, **named)
        return items(found) if isinstance(found, Iterator) else found

    return timed


STAGES = (
    "reading",
    "titles read",
    "embedding",
    "FAISS",
    "fusion",
    "candidate features",
    "trees",
    "offers, calibration",
    "answers",
    "writing",
)
REST = "everything else"
_MEMORY_ROWS = 8192  # each stage is called on blocks of 1,024 rows: more rows, the same peaks


def measure_stages(bench: Bench, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure the seconds of each stage over a feed, and, in a run of its own, its memory."""
    n, settings = bench.settings.stage_listings, bench.settings
    source, short = bench.folder / "stages.parquet", bench.folder / "stages_memory.parquet"
    in_child(write_distinct, bench.home, source, n, seed=settings.seed)
    in_child(write_distinct, bench.home, short, min(n, _MEMORY_ROWS), seed=settings.seed)
    target = bench.folder / "stages_resolved.parquet"
    say(f"time of each stage over {n:,} listings")
    runs = in_child(_times, bench.home, source, target, settings.repeats)
    say("memory of each stage")
    memory = in_child(_memory_stages, bench.home, short, target)
    total = RepeatedFigure.of([run["total"] for run in runs])
    rows = []
    for stage in (*STAGES, REST):
        seconds = RepeatedFigure.of([run["stages"].get(stage, 0.0) for run in runs])
        aside = RepeatedFigure.of([run["aside"].get(stage, 0.0) for run in runs])
        rows.append(
            {
                "stage": stage,
                "microseconds": RepeatedFigure.of(
                    [value / n * 1e6 for value in seconds.values]
                ).as_json(),
                "aside_microseconds": RepeatedFigure.of(
                    [value / n * 1e6 for value in aside.values]
                ).as_json(),
                "share": round(seconds.median / total.median, 4),
                "peak_mib": round(memory["peaks"].get(stage, 0) / MIB, 2)
                if stage != REST
                else None,
            }
        )
    return {
        "listings": n,
        "processes": 1,
        "total_seconds": total.as_json(),
        "rows": rows,
        "loaded_mib": round(memory["loaded"] / MIB, 1),
    }


def scoring_hooks() -> list[Hook]:
    """Return the public functions that make up the stages; `fusion` is what is left of retrieval.

    Cue words are part of the candidate features, which they feed.
    """
    import pyarrow.parquet as pq

    from rerank import resolver
    from rerank.answer_columns import RegistryColumns
    from rerank.index.embedder import StaticEmbedder
    from rerank.index.vector_index import FaissIndex
    from rerank.jobs.files.listings import ListingBatch, ParquetListings
    from rerank.model import OnnxTrees, RerankModel
    from rerank.packs.gpu import pack, retriever
    from rerank.packs.gpu.candidates import CandidateFeatures
    from rerank.packs.gpu.cues import CueReader
    from rerank.packs.gpu.title_columns import ColumnReader

    return [
        Hook("reading", ParquetListings, "batches"),
        Hook("reading", ListingBatch, "listings"),
        Hook("titles read", ColumnReader, "read"),
        Hook("titles read", retriever, "name_evidence"),
        Hook("embedding", StaticEmbedder, "encode"),
        Hook("FAISS", FaissIndex, "search"),
        Hook("fusion", retriever.Retriever, "retrieve"),
        Hook("candidate features", CueReader, "read"),
        Hook("candidate features", CandidateFeatures, "compute"),
        Hook("trees", OnnxTrees, "score"),
        Hook("offers, calibration", pack, "offer_features"),
        Hook("offers, calibration", RerankModel, "probability"),
        Hook("answers", resolver, "answers_of"),
        Hook("answers", RegistryColumns, "table"),
        Hook("writing", pq.ParquetWriter, "write_table"),
        Hook("writing", pq.ParquetWriter, "close"),
    ]


def _times(home: Path, source: Path, target: Path, repeats: int) -> list[dict[str, Any]]:
    from rerank.jobs.scoring.answering import ScoreOptions, answering

    found = []
    with answering(home, ScoreOptions(top_k=N_CANDIDATES), workers=1) as answerer:
        _score(answerer, source, target)
        for _ in range(repeats):
            clock = StageClock()
            started = time.perf_counter()
            with hooked(scoring_hooks(), clock.stage):
                _score(answerer, source, target)
            total = time.perf_counter() - started
            stages = {**clock.seconds, REST: total - sum(clock.seconds.values())}
            found.append({"total": total, "stages": stages, "aside": dict(clock.aside)})
    return found


def _memory_stages(home: Path, source: Path, target: Path) -> dict[str, Any]:
    """Return what is resident once all is loaded, and the peak of each stage above it, in bytes."""
    from rerank.jobs.scoring.answering import ScoreOptions, answering

    meter = PeakMeter()
    with answering(home, ScoreOptions(top_k=N_CANDIDATES), workers=1) as answerer:
        loaded = resident_bytes()
        with hooked(scoring_hooks(), meter.stage):
            _score(answerer, source, target)
    return {"loaded": loaded, "peaks": dict(meter.peaks)}


def _score(answerer: Answerer, source: Path, target: Path) -> None:
    from rerank.jobs.files.places import place_of
    from rerank.jobs.files.selection import select_files
    from rerank.jobs.scoring.plan import Existing, plan_score
    from rerank.jobs.scoring.run import run_plan

    plan = plan_score(select_files(str(source)), place_of(str(target)), existing=Existing.OVERWRITE)
    run_plan(plan, answerer)
