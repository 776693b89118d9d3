"""Let two versions answer the same listings, and say where they differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from index.errors import InputError
from jobs.gold_sets import annotated_gold, read_gold_files
from jobs.lifecycle.opening import version_over
from jobs.listing_files import open_listings
from jobs.workspace import Workspace, open_retriever
from rerank.evaluation.evaluate import DEFAULT_SEED
from rerank.evaluation.gold import GoldListing
from rerank.evaluation.intervals import DEFAULT_SAMPLES, Figure
from rerank.lifecycle.agreement import Answered, Shown, agreement, changed, decision_counts
from rerank.lifecycle.assignment import arm_of
from rerank.lifecycle.paired_metrics import PairedMetric, paired_metrics
from rerank.lifecycle.versions import DECISION_KINDS, VersionRef
from rerank.resolution import Resolution
from rerank.store import Store

if TYPE_CHECKING:
    from index.records import Listing
    from index.retriever import Retriever
    from rerank.resolver import Resolver

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonPlan:
    """What to compare on.

    :param listings: parquet, CSV or JSONL.
    :param gold: gold files that say what listings of the file sell; without any, the annotations
        of the workspace's store do.
    :param salt: with it, listings are put into the arms that it splits them into.
    :param share: of listings in the arm of B.
    """

    listings: Path
    gold: Sequence[Path] = ()
    salt: str | None = None
    share: float = 0.5
    seed: int = DEFAULT_SEED
    samples: int = DEFAULT_SAMPLES


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionComparison:
    """What came of it.

    :param left_out: rows of the file that could not be read.
    :param changes: listings that come out otherwise, in the order worth looking at.
    :param arms: of each listing of the file, whether it falls to B; None without a salt.
    :param judged: listings of the file whose truth is known.
    """

    first: VersionRef
    second: VersionRef
    listings: int
    left_out: int
    agreement: Mapping[str, Figure]
    decisions: Sequence[Sequence[int]]
    changes: Sequence[Answered]
    judged: int = 0
    metrics: Sequence[PairedMetric] = ()
    arms: Mapping[str, bool] | None = field(default=None)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; of the changed listings their number only."""
        in_b = None if self.arms is None else sum(self.arms.values())
        return {
            "a": self.first.as_dict(),
            "b": self.second.as_dict(),
            "listings": self.listings,
            "left_out": self.left_out,
            "in_arm_b": in_b,
            "changed": len(self.changes),
            "agreement": {name: each.as_dict() for name, each in self.agreement.items()},
            "decisions": [list(row) for row in self.decisions],
            "judged": self.judged,
            "metrics": [each.as_dict() for each in self.metrics],
        }


def compare_versions(
    workspace: Workspace,
    first: VersionRef,
    second: VersionRef,
    plan: ComparisonPlan,
    *,
    progress: Progress = lambda stage, share: None,
) -> VersionComparison:
    """Compare two decision models on the index that serves.

    :raises InputError: if a version is no decision model, the file holds no listing that can be
        read, or no listing of it stands in the gold files.
    :raises ArtifactError: if index or version are damaged or do not belong together.
    """
    for ref in (first, second):
        if ref.kind not in DECISION_KINDS:
            kinds = ", ".join(DECISION_KINDS)
            raise InputError(f"{ref}: expected a version that decides ({kinds})")
    progress("loading", 0.0)
    source = open_listings(plan.listings)
    retriever, index = open_retriever(workspace)
    truth = _truth(plan, retriever, Store(workspace.store_path))
    a, b = (version_over(workspace, ref, retriever, index) for ref in (first, second))
    rows: list[Answered] = []
    known: list[tuple[GoldListing, Resolution, Resolution]] = []
    for listings in _with_progress(source, progress):
        for listing, one, other in _both(a, b, listings):
            rows.append(Answered(listing, Shown.of(one), Shown.of(other)))
            gold = truth.get(listing.listing_id)
            if gold is not None:
                known.append((gold, one, other))
    _check(plan, rows, known)
    progress("figures", 0.0)
    ids = [row.listing.listing_id for row in rows]
    arms = None if plan.salt is None else arm_of(ids, plan.salt, plan.share).tolist()
    return VersionComparison(
        first=first,
        second=second,
        listings=len(rows),
        left_out=source.n_rows - len(rows),
        agreement=agreement(rows, seed=plan.seed),
        decisions=decision_counts(rows),
        changes=changed(rows),
        judged=len(known),
        metrics=_metrics(known, plan),
        arms=None if arms is None else dict(zip(ids, arms, strict=True)),
    )


def _truth(plan: ComparisonPlan, retriever: Retriever, store: Store) -> dict[str, GoldListing]:
    if plan.gold:
        sets = read_gold_files(plan.gold).values()
        return {item.listing_id: item for gold in sets for item in gold}
    return {item.listing_id: item for item in annotated_gold(retriever, store)}


def _with_progress(source: Any, progress: Progress) -> Iterator[Sequence[Listing]]:
    """Yield the listings of each batch, without rows that could not be read."""
    done = 0
    for batch in source.batches():
        progress("resolving", done / max(1, source.n_rows))
        listings = batch.listings()
        yield [each for at, each in enumerate(listings) if at not in batch.bad_rows]
        done += len(listings)


def _both(
    a: Resolver, b: Resolver, listings: Sequence[Listing]
) -> Iterator[tuple[Listing, Resolution, Resolution]]:
    yield from zip(listings, a.resolve_many(listings), b.resolve_many(listings), strict=True)


def _check(plan: ComparisonPlan, rows: Sequence[Any], known: Sequence[Any]) -> None:
    if not rows:
        raise InputError(f"{plan.listings}: expected listings, found no row that can be read")
    if plan.gold and not known:
        names = ", ".join(str(path) for path in plan.gold)
        raise InputError(
            f"{names}: expected the truth about listings of {plan.listings}, found none with the "
            "same listing_id; give the gold file of these listings"
        )


def _metrics(
    known: Sequence[tuple[GoldListing, Resolution, Resolution]], plan: ComparisonPlan
) -> list[PairedMetric]:
    if not known:
        return []
    gold, ours, theirs = zip(*known, strict=True)
    return paired_metrics(gold, ours, theirs, seed=plan.seed, samples=plan.samples)
