"""Part `stages`: time and memory of each stage of scoring a file, in one process."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.benchmarks.children import in_child
from jobs.benchmarks.feeds import write_distinct
from jobs.benchmarks.figures import Figure
from jobs.benchmarks.process_memory import MIB, resident_bytes
from jobs.benchmarks.settings import TOP_K, Bench
from jobs.benchmarks.stage_clock import Hook, PeakMeter, StageClock, hooked

if TYPE_CHECKING:
    from jobs.scoring import Answerer

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
    memory = in_child(_memory, bench.home, short, target)
    total = Figure.of([run["total"] for run in runs])
    rows = []
    for stage in (*STAGES, REST):
        seconds = Figure.of([run["stages"].get(stage, 0.0) for run in runs])
        aside = Figure.of([run["aside"].get(stage, 0.0) for run in runs])
        rows.append(
            {
                "stage": stage,
                "microseconds": Figure.of([value / n * 1e6 for value in seconds.values]).as_json(),
                "aside_microseconds": Figure.of(
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

    from index import retriever
    from index.embedder import StaticEmbedder
    from index.lexicon import Lexicon
    from index.vector_index import FaissIndex
    from jobs.listing_files.batch import ListingBatch
    from jobs.listing_files.parquet_listings import ParquetListings
    from rerank import resolver
    from rerank.features import CandidateFeatures, CueReader, OfferFeatures
    from rerank.model import RerankModel
    from rerank.trees import OnnxTrees

    return [
        Hook("reading", ParquetListings, "batches"),
        Hook("reading", ListingBatch, "listings"),
        Hook("titles read", Lexicon, "read"),
        Hook("titles read", retriever, "name_evidence"),
        Hook("embedding", StaticEmbedder, "encode"),
        Hook("embedding", retriever, "listing_text"),
        Hook("FAISS", FaissIndex, "search"),
        Hook("fusion", retriever.Retriever, "retrieve"),
        Hook("candidate features", CueReader, "find"),
        Hook("candidate features", CandidateFeatures, "compute"),
        Hook("trees", OnnxTrees, "score"),
        Hook("offers, calibration", OfferFeatures, "compute"),
        Hook("offers, calibration", RerankModel, "probability"),
        Hook("answers", resolver, "answers_of"),
        Hook("answers", resolver.Resolver, "answer_table"),
        Hook("writing", pq.ParquetWriter, "write_table"),
        Hook("writing", pq.ParquetWriter, "close"),
    ]


def _times(home: Path, source: Path, target: Path, repeats: int) -> list[dict[str, Any]]:
    from jobs.scoring import ScoreOptions, answering

    found = []
    with answering(home, ScoreOptions(top_k=TOP_K), workers=1) as answerer:
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


def _memory(home: Path, source: Path, target: Path) -> dict[str, Any]:
    """Return what is resident once all is loaded, and the peak of each stage above it, in bytes."""
    from jobs.scoring import ScoreOptions, answering

    meter = PeakMeter()
    with answering(home, ScoreOptions(top_k=TOP_K), workers=1) as answerer:
        loaded = resident_bytes()
        with hooked(scoring_hooks(), meter.stage):
            _score(answerer, source, target)
    return {"loaded": loaded, "peaks": dict(meter.peaks)}


def _score(answerer: Answerer, source: Path, target: Path) -> None:
    from jobs.listing_files.selection import select_files
    from jobs.places import place_of
    from jobs.scoring import Existing, plan_score, run_plan

    plan = plan_score(select_files(str(source)), place_of(str(target)), existing=Existing.OVERWRITE)
    run_plan(plan, answerer)
