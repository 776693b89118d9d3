"""Let two versions answer the same listings, and say where they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from rerank.domain import domain_in, domain_named
from rerank.evaluation.gold import GoldListing
from rerank.evaluation.intervals import DEFAULT_SAMPLES, DEFAULT_SEED, LEVEL, POWER, Figure
from rerank.evaluation.paired import (
    AnswerChange,
    Answered,
    PairedMetric,
    Shown,
    agreement,
    changed,
    decision_counts,
    paired_metrics,
)
from rerank.index.errors import InputError
from rerank.index.text import normalise
from rerank.jobs.evaluating import read_gold_files
from rerank.jobs.files.listings import OUR_NAMES, open_listings
from rerank.jobs.tables import WIDTH, cut, decimal, table
from rerank.lifecycle.canary import arm_of
from rerank.lifecycle.opening import version_over
from rerank.lifecycle.versions import VersionRef, decision_kinds
from rerank.resolution import DECISIONS, Resolution
from rerank.store.database import Store
from rerank.workspace import Workspace, open_source

if TYPE_CHECKING:
    from rerank.index.records import Listing
    from rerank.resolver import Resolver


Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelComparisonPlan:
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
    :param columns: of what is sold, those of the answers' domain; ``key`` tells variants apart.
    :param arms: of each listing of the file, whether it falls to B; None without a salt.
    :param judged: listings of the file whose truth is known.
    :param taught: of these, how many may have taught the first, and the second.
    """

    first: VersionRef
    second: VersionRef
    listings: int
    left_out: int
    agreement: Mapping[str, Figure]
    decisions: Sequence[Sequence[int]]
    changes: Sequence[Answered]
    columns: pa.Schema
    key: str
    judged: int = 0
    taught: tuple[int, int] = (0, 0)
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
            "agreement": {
                self.key if name == "key" else name: each.as_dict()
                for name, each in self.agreement.items()
            },
            "decisions": [list(row) for row in self.decisions],
            "judged": self.judged,
            "taught": dict(zip("ab", self.taught, strict=True)),
            "metrics": [each.as_dict() for each in self.metrics],
        }


def compare_versions(
    workspace: Workspace,
    first: VersionRef,
    second: VersionRef,
    plan: ModelComparisonPlan,
    *,
    progress: Progress = lambda stage, share: None,
) -> VersionComparison:
    """Compare two decision models on the index that serves.

    :raises InputError: if a version is no decision model, the file holds no listing that can be
        read, or no listing of it stands in the gold files.
    :raises ArtifactError: if index or version are damaged or do not belong together.
    """
    for ref in (first, second):
        if ref.kind not in decision_kinds():
            kinds = ", ".join(decision_kinds())
            raise InputError(f"{ref}: expected a version that decides ({kinds})")
    progress("loading", 0.0)
    candidates, index = open_source(workspace)
    domain = domain_named(domain_in(index.parameters))
    source = open_listings(
        plan.listings, OUR_NAMES.renamed(domain.columns_of(plan.listings, index))
    )
    settled = known_gold = domain.settled_gold(Store(workspace.store_path), candidates)
    if plan.gold:
        read = partial(domain.read_gold, source=candidates, index=index)
        known_gold = [item for gold in read_gold_files(plan.gold, read).values() for item in gold]
    truth = {item.listing_id: item for item in known_gold}
    a, b = (version_over(workspace, ref, candidates, index) for ref in (first, second))
    rows: list[Answered] = []
    known: list[tuple[GoldListing, Resolution, Resolution]] = []
    for listings in _with_progress(source, progress):
        for listing, one, other in _both(a, b, listings):
            rows.append(Answered(listing, Shown.of(one, a.sold), Shown.of(other, a.sold)))
            gold = truth.get(listing.listing_id)
            if gold is not None:
                known.append((gold, one, other))
    _check(plan, rows, known)
    progress("figures", 0.0)
    judged = [gold for gold, _, _ in known]
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
        columns=pa.schema([a.schema.field(name) for name in a.sold]),
        key=a.schema.names[0],
        judged=len(known),
        taught=(_taught(a, judged, settled), _taught(b, judged, settled)),
        metrics=_metrics(known, plan),
        arms=None if arms is None else dict(zip(ids, arms, strict=True)),
    )


def _taught(
    resolver: Resolver, judged: Sequence[GoldListing], settled: Sequence[GoldListing]
) -> int:
    """Return how many judged listings may have taught a version.

    Those are what people settled on, by id or title, but what training kept out. Where labels came
    from files, which leave no trace but their number, it may be any.
    """
    kept_out = domain_named(resolver.domain).kept_out(judged, [resolver.model])
    unseen = {item.listing_id for item in kept_out}
    ids = {item.listing_id for item in settled}
    titles = {normalise(item.title) for item in settled}
    any_may = bool(resolver.model.parameters.get("labels"))
    return sum(
        any_may or item.listing_id in ids or normalise(item.title) in titles
        for item in judged
        if item.listing_id not in unseen
    )


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


def _check(plan: ModelComparisonPlan, rows: Sequence[Any], known: Sequence[Any]) -> None:
    if not rows:
        raise InputError(f"{plan.listings}: expected listings, found no row that can be read")
    if plan.gold and not known:
        names = ", ".join(str(path) for path in plan.gold)
        raise InputError(
            f"{names}: expected the truth about listings of {plan.listings}, found none with the "
            "same listing_id; give the gold file of these listings"
        )


def _metrics(
    known: Sequence[tuple[GoldListing, Resolution, Resolution]], plan: ModelComparisonPlan
) -> list[PairedMetric]:
    if not known:
        return []
    gold, ours, theirs = zip(*known, strict=True)
    return paired_metrics(gold, ours, theirs, seed=plan.seed, samples=plan.samples)


_TEXT = pa.string()
_ANSWERED = (("best_guess", _TEXT), ("match_probability", pa.float64()), ("reason", _TEXT))


def _schema_of(sold: pa.Schema) -> pa.Schema:
    """Return the columns of changed listings.

    :param sold: those of the answers' domain.
    """
    own = [("decision", _TEXT), *((each.name, each.type) for each in sold), *_ANSWERED]
    sides = [(f"{side}_{name}", kind) for side in "ab" for name, kind in own]
    ours = [(name, _TEXT) for name in ("listing_id", "title", "vendor", "changed")]
    return pa.schema([*ours, *sides, ("arm", _TEXT)])


def comparison_text(found: VersionComparison, *, most: int) -> str:
    """Return what two versions agree on, where they differ, and which is right more often.

    :param most: changed listings to show.
    """
    n = f"{found.listings:,} listings"
    left_out = f", {found.left_out:,} rows left out" if found.left_out else ""
    parts = [
        f"A  {found.first}\nB  {found.second}\n{n}{left_out}{_arms(found)}",
        _agreement(found),
        _decisions(found),
        _changes(found.changes, most),
        _metrics_comparison_text(found),
    ]
    return "\n\n".join(part for part in parts if part)


def changed_rows(found: VersionComparison) -> pa.Table:
    """Return the changed listings as a table, in their order.

    :returns: listing_id, title, vendor; ``changed``, what of it: decision, model or variant; of A
        and B decision, what is sold (of cards model, memory_gb and gpu_id), best_guess,
        match_probability and reason; with a salt the arm, ``a`` or ``b``.
    """
    rows = []
    for each in found.changes:
        listing, change = each.listing, each.change
        row = {
            "listing_id": listing.listing_id,
            "title": listing.title,
            "vendor": listing.vendor,
            "changed": None if change is None else change.value,
        }
        for side, shown in (("a", each.first), ("b", each.second)):
            named = ("decision", *(name for name, _ in _ANSWERED))
            row |= {f"{side}_{name}": getattr(shown, name) for name in named}
            sold = zip(found.columns.names, shown.sold, strict=True)
            row |= {f"{side}_{name}": value for name, value in sold}
        if found.arms is not None:
            row["arm"] = "b" if found.arms[listing.listing_id] else "a"
        rows.append(row)
    full = pa.Table.from_pylist(rows, _schema_of(found.columns))
    return full if found.arms is not None else full.drop_columns(["arm"])


def _arms(found: VersionComparison) -> str:
    if found.arms is None:
        return ""
    in_b = sum(found.arms.values())
    return f"; by the salt {len(found.arms) - in_b:,} fall to A, {in_b:,} to B"


def _agreement(found: VersionComparison) -> str:
    words = {"key": found.key.replace("_", " ")}
    rows = [[words.get(name, name), _share(each)] for name, each in found.agreement.items()]
    return table(("the same", "share [95 %]"), rows, left=(0,))


def _decisions(found: VersionComparison) -> str:
    names = [decision.value.replace("_", " ") for decision in DECISIONS]
    rows = [
        [f"A {name}", *(f"{count:,}" for count in counts)]
        for name, counts in zip(names, found.decisions, strict=True)
    ]
    return table(("decisions", *(f"B {name}" for name in names)), rows, left=(0,))


def _changes(changes: Sequence[Answered], most: int) -> str:
    if not changes:
        return "No listing comes out otherwise."
    counts = Counter(each.change for each in changes)
    parts = ", ".join(f"{counts[kind]:,} by {kind.value}" for kind in AnswerChange if counts[kind])
    lines = [f"{len(changes):,} listings come out otherwise: {parts}"]
    for each in changes[:most]:
        title = " ".join(each.listing.title.split())
        lines += ["", cut(f"{each.listing.listing_id}  {title}", WIDTH)]
        lines += [_answer("A", each.first), _answer("B", each.second)]
    left = len(changes) - most
    return "\n".join([*lines, *(["", f"... and {left:,} more"] if left > 0 else [])])


def _answer(side: str, shown: Shown) -> str:
    guess = "no candidate" if shown.best_guess is None else f"guess: {shown.best_guess}"
    decision = shown.decision.replace("_", " ")
    return (
        f"  {side} {decision:8}  {cut(shown.label or guess, 50):50}  {shown.match_probability:.3f}"
    )


def _metrics_comparison_text(found: VersionComparison) -> str:
    if not found.metrics:
        words = (
            "No listing of the file has a known truth. `rerank annotate` asks for it, --gold reads "
            "it from a file; the changed listings are worth most."
        )
        return "\n".join(wrap(words, WIDTH))
    rows = [
        [
            each.metric.label,
            decimal(each.first.value, 4),
            decimal(each.second.value, 4),
            f"{each.gain.difference:+.4f} {_interval(each.gain.ci95)}",
            decimal(each.gain.p_adjusted),
        ]
        for each in found.metrics
    ]
    header = (f"{found.judged:,} judged", "A", "B", "gain of B [95 %]", "p (Holm)")
    taught = [
        f"{side} may have learnt from {n:,} of the {found.judged:,} judged listings: there its "
        "figures show what it remembers, not how right it will be"
        for side, n in zip("AB", found.taught, strict=True)
        if n
    ]
    needs = [line for text in taught for line in wrap(text, WIDTH)]
    needs += [line for each in found.metrics if each.discordance for line in _needed(each)]
    return "\n".join([table(header, rows, left=(0,)), "", *needs])


def _needed(each: PairedMetric) -> list[str]:
    counts = each.discordance
    assert counts is not None
    right = f"{each.metric.label}: only B right {counts.gained}, only A {counts.lost}"
    if each.needed is None:
        words = f"{right} of {counts.n}: no difference to find"
    elif each.needed <= counts.n:
        words = f"{right} of {counts.n}: enough listings for such a difference"
    else:
        words = (
            f"{right} of {counts.n}: for such a difference {each.needed:,} are needed, "
            f"{each.needed - counts.n:,} more (power {POWER:.0%}, level {LEVEL:.0%})"
        )
    return wrap(words, WIDTH, subsequent_indent="  ")


def _share(figure: Figure) -> str:
    return f"{decimal(figure.value, 4)} {_interval(figure.ci95)}"


def _interval(bounds: tuple[float, float] | None) -> str:
    return "" if bounds is None else f"[{bounds[0]:.4f}, {bounds[1]:.4f}]"
