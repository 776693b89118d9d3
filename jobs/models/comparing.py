"""Hold answers against others: two versions on one file, a file against how answers were spread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import fill, wrap
from typing import Any

import pyarrow as pa

from rerank.domain import domain_in, domain_named
from rerank.evaluation.gold import GoldListing
from rerank.evaluation.intervals import DEFAULT_SAMPLES, DEFAULT_SEED, LEVEL, POWER
from rerank.evaluation.metrics import metric_named
from rerank.evaluation.paired import (
    AnswerChange,
    Answered,
    Shown,
    agreement,
    changed,
    decision_counts,
    paired_metrics,
    plain,
)
from rerank.index.artifacts import Manifest
from rerank.index.errors import FaultsError, InputError
from rerank.index.records import Listing, Progress
from rerank.index.rows import read_parquet
from rerank.index.text import normalise
from rerank.jobs.evaluating import read_gold_files
from rerank.jobs.files.listings import OUR_NAMES, ColumnNames, open_listings
from rerank.jobs.files.places import place_of
from rerank.jobs.files.text_formats import plain_sample
from rerank.jobs.scoring.plan import columns_of_output
from rerank.jobs.tables import WIDTH, cut, decimal, table
from rerank.lifecycle.canary import arm_of
from rerank.lifecycle.drift import (
    SMALL_BATCH,
    Distribution,
    Level,
    ListingMeasures,
    advice,
    distribution_by_reference,
    distribution_of,
    has_moved,
    movements,
)
from rerank.lifecycle.model_registry import ModelRegistry
from rerank.lifecycle.opening import resolver_over, version_over
from rerank.lifecycle.versions import VersionCard, VersionRef, decision_kinds
from rerank.ranking import CandidateSource
from rerank.resolution import DECISIONS, Resolution
from rerank.resolver import Resolver
from rerank.store.database import Store
from rerank.workspace import Workspace, open_source


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


@dataclass(frozen=True, slots=True)
class VersionComparison:
    """What came of it.

    :param report: all figures as plain values; of the changed listings their number only.
    :param changes: listings that come out otherwise, in the order worth looking at.
    :param columns: of what is sold, those of the answers' domain.
    :param arms: of each listing of the file, whether it falls to B; None without a salt.
    """

    report: dict[str, Any]
    changes: Sequence[Answered]
    columns: pa.Schema
    arms: Mapping[str, bool] | None


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
    kinds = decision_kinds()
    if odd := [ref for ref in (first, second) if ref.kind not in kinds]:
        raise InputError(f"{odd[0]}: expected a version that decides ({', '.join(kinds)})")
    progress("loading", 0.0)
    candidates, index = open_source(workspace)
    domain = domain_named(domain_in(index.parameters))
    columns = OUR_NAMES.renamed(domain.columns_of(plan.listings, index))
    source = open_listings(plan.listings, columns)
    settled = known_gold = domain.settled_gold(Store(workspace.store_path), candidates)
    if plan.gold:
        read = partial(domain.read_gold, source=candidates, index=index)
        known_gold = [item for gold in read_gold_files(plan.gold, read).values() for item in gold]
    truth = {item.listing_id: item for item in known_gold}
    a, b = (version_over(workspace, ref, candidates, index) for ref in (first, second))
    rows: list[Answered] = []
    known: list[tuple[GoldListing, Resolution, Resolution]] = []
    for listing, one, other in _answered(source, a, b, progress):
        rows.append(Answered(listing, Shown.of(one, a.sold), Shown.of(other, a.sold)))
        if (gold := truth.get(listing.listing_id)) is not None:
            known.append((gold, one, other))
    _check(plan, rows, known)
    progress("figures", 0.0)
    judged = [gold for gold, _, _ in known]
    ids = [row.listing.listing_id for row in rows]
    in_b = None if plan.salt is None else arm_of(ids, plan.salt, plan.share).tolist()
    arms = None if in_b is None else dict(zip(ids, in_b, strict=True))
    changes, agreed = changed(rows), agreement(rows, seed=plan.seed)
    agreed[a.schema.names[0]] = agreed.pop("key")
    sides = zip(*known, strict=True)
    metrics = paired_metrics(*sides, seed=plan.seed, samples=plan.samples) if known else []
    report = {
        "a": first.as_dict(),
        "b": second.as_dict(),
        "listings": len(rows),
        "left_out": source.n_rows - len(rows),
        "in_arm_b": None if arms is None else sum(arms.values()),
        "changed": len(changes),
        "agreement": plain(agreed),
        "decisions": decision_counts(rows),
        "judged": len(known),
        "taught": {"a": _taught(a, judged, settled), "b": _taught(b, judged, settled)},
        "metrics": metrics,
    }
    sold = pa.schema([a.schema.field(name) for name in a.sold])
    return VersionComparison(report, changes, sold, arms)


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


def _answered(
    source: Any, a: Resolver, b: Resolver, progress: Progress
) -> Iterator[tuple[Listing, Resolution, Resolution]]:
    """Yield the listings of a file with both answers, without rows that could not be read."""
    done = 0
    for batch in source.batches():
        progress("resolving", done / max(1, source.n_rows))
        listings = batch.listings()
        kept = [each for at, each in enumerate(listings) if at not in batch.bad_rows]
        yield from zip(kept, a.resolve_many(kept), b.resolve_many(kept), strict=True)
        done += len(listings)


def _check(plan: ModelComparisonPlan, rows: Sequence[Any], known: Sequence[Any]) -> None:
    if not rows:
        raise InputError(f"{plan.listings}: expected listings, found no row that can be read")
    if plan.gold and not known:
        names = ", ".join(str(path) for path in plan.gold)
        raise InputError(
            f"{names}: expected the truth about listings of {plan.listings}, found none with the "
            "same listing_id; give the gold file of these listings"
        )


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
    said = found.report
    n, in_b = said["listings"], said["in_arm_b"]
    left_out = f", {said['left_out']:,} rows left out" if said["left_out"] else ""
    arms = ""
    if found.arms is not None:
        arms = f"; by the salt {len(found.arms) - in_b:,} fall to A, {in_b:,} to B"
    agreed = [[name.replace("_", " "), _share(each)] for name, each in said["agreement"].items()]
    names = [decision.value.replace("_", " ") for decision in DECISIONS]
    decided = [
        [f"A {name}", *(f"{count:,}" for count in counts)]
        for name, counts in zip(names, said["decisions"], strict=True)
    ]
    versions = (f"{side.upper()}  {said[side]['name']} {said[side]['version']}" for side in "ab")
    parts = [
        "\n".join([*versions, f"{n:,} listings{left_out}{arms}"]),
        table(("the same", "share [95 %]"), agreed, left=(0,)),
        table(("decisions", *(f"B {name}" for name in names)), decided, left=(0,)),
        _changes(found.changes, most),
        _metrics_text(said),
    ]
    return "\n\n".join(parts)


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


def _metrics_text(said: Mapping[str, Any]) -> str:
    if not said["metrics"]:
        words = (
            "No listing of the file has a known truth. `rerank annotate` asks for it, --gold reads "
            "it from a file; the changed listings are worth most."
        )
        return "\n".join(wrap(words, WIDTH))
    rows = [
        [
            metric_named(each["metric"]).label,
            *(decimal(each[side]["value"], 4) for side in "ab"),
            f"{each['gain']['difference']:+.4f} {_interval(each['gain'])}",
            decimal(each["gain"]["p_adjusted"]),
        ]
        for each in said["metrics"]
    ]
    judged = f"{said['judged']:,} judged"
    needs = [
        line
        for side, n in said["taught"].items()
        for line in wrap(
            f"{side.upper()} may have learnt from {n:,} of the {judged} listings: there its "
            "figures show what it remembers, not how right it will be",
            WIDTH,
        )
        if n
    ]
    needs += [line for each in said["metrics"] for line in _needed(each)]
    header = (judged, "A", "B", "gain of B [95 %]", "p (Holm)")
    return "\n".join([table(header, rows, left=(0,)), "", *needs])


def _needed(each: Mapping[str, Any]) -> list[str]:
    """Return how many listings would tell two models apart, where a metric counts listings."""
    if each["only_b_right"] is None:
        return []
    n, needed = each["gain"]["n"], each["listings_needed"]
    words = (
        f"{metric_named(each['metric']).label}: only B right {each['only_b_right']}, only A "
        f"{each['only_a_right']} of {n}: "
    )
    if needed is None:
        words += "no difference to find"
    elif needed <= n:
        words += "enough listings for such a difference"
    else:
        words += (
            f"for such a difference {needed:,} are needed, "
            f"{needed - n:,} more (power {POWER:.0%}, level {LEVEL:.0%})"
        )
    return wrap(words, WIDTH, subsequent_indent="  ")


def _share(figure: Mapping[str, Any]) -> str:
    return f"{decimal(figure['value'], 4)} {_interval(figure)}"


def _interval(figure: Mapping[str, Any]) -> str:
    low, high = figure["ci95"]
    return "" if low is None else f"[{low:.4f}, {high:.4f}]"


_ANSWERS = ("best_guess", "match_probability", "margin", "decision")
_FORMERLY = {"model": "best_guess"}  # until no match had no model, the guess stood there
_READ = (*_ANSWERS, "model_version")
_TYPES = {  # of the others, text
    "match_probability": pa.float64(),
    "margin": pa.float64(),
    "variant_stated": pa.bool_(),
}


def monitor(
    workspace: Workspace,
    source: Path,
    reference: str | None,
    columns: ColumnNames,
    *,
    encoding: str | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Compare a file of listings, resolved or not, with a reference; return plain values.

    :param reference: a version or a file; None for the champion.
    :param encoding: of files of text; None lets each say.
    :raises InputError: if a file cannot be read or has no rows, or there is nothing to compare
        with.
    """
    candidates, index = open_source(workspace)
    files = _MonitoredFiles(workspace, columns, encoding, candidates, index, say)
    spread, name = files.reference(reference)
    rows = files.resolved(source)
    batch = distribution_by_reference(rows, files.own, spread)
    if spread.model_version and batch.model_version != spread.model_version:
        say(
            f"Warning: {source} was answered by {batch.model_version or 'several models'}, the "
            f"reference by {spread.model_version}: what moved may be the model"
        )
    if batch.n < SMALL_BATCH:
        say(f"Warning: only {batch.n} listings: small changes cannot be told from chance")
    found = movements(spread, batch, files.own.limits)
    return {
        "source": str(source),
        "listings": batch.n,
        "reference": name,
        "reference_listings": spread.n,
        "moved": has_moved(found),
        "measures": [each.as_json() for each in found],
        "advice": advice(found, source=str(source), remedies=files.own.remedies(rows)),
    }


def drift_text(report: Mapping[str, Any]) -> str:
    """Return it for people, in at most 80 columns."""
    against = f"{report['reference_listings']:,} of {report['reference']}"
    rows = [
        [
            each["measure"],
            cut(each["part"], 14),
            f"{each['reference']:.1%}",
            f"{each['batch']:.1%}",
            f"{each['psi']:.3f}",
            f"{each['p_value']:.1g}",
            "" if each["moved"] == Level.NONE.value else each["moved"],
        ]
        for each in report["measures"]
    ]
    header = ("measure", "part", "reference", "now", "PSI", "p", "moved")
    said = [fill(each, WIDTH, break_on_hyphens=False) for each in report["advice"]]
    held = cut(f"{report['listings']:,} listings against {against}", WIDTH)
    return "\n".join([held, "", table(header, rows, left=(0, 1, 6)), "", *said])


class _MonitoredFiles:
    """Reads what is compared, in the index that serves."""

    def __init__(
        self,
        workspace: Workspace,
        columns: ColumnNames,
        encoding: str | None,
        source: CandidateSource,
        index: Manifest,
        say: Callable[[str], None],
    ) -> None:
        self._workspace, self._columns, self._say = workspace, columns, say
        self._encoding = encoding
        self._source, self._index = source, index
        self._domain = domain_named(domain_in(index.parameters))
        self.own: ListingMeasures = self._domain.measures(source)

    def reference(self, name: str | None) -> tuple[Distribution, str]:
        """Return what to compare with, and what it is in words."""
        if name is not None and Path(name).is_file():
            return distribution_of(self.resolved(Path(name)), self.own), name
        registry = ModelRegistry(self._workspace)
        ref = registry.pointer().champion if name is None else registry.find(name)
        card: VersionCard | None = registry.card(ref)
        content: Mapping[str, Any] | None = None if card is None else card.distribution
        if content is None:
            raise InputError(
                f"{ref}: nothing says how its answers were spread when it was made; give a file "
                "that was resolved earlier with --reference, or train with `rerank train-ltr`"
            )
        where = str(registry.folder(ref))
        return Distribution.from_json(content, where=where), f"{ref}, at training"

    def resolved(self, source: Path) -> pa.Table:
        """Return the rows of a file with titles and answers; listings without are resolved first.

        :raises InputError: if it cannot be read, or has no rows.
        """
        place = place_of(str(source))
        columns = columns_of_output(place, self._columns)
        if columns == OUR_NAMES:
            with plain_sample(place) as sample:
                seen = {} if sample is None else self._domain.columns_of(sample, self._index)
            columns = columns.renamed(seen)
        if (rows := self._answered(source, columns)) is None:
            self._say(f"{source}: not resolved yet; resolving it first")
            resolver = resolver_over(self._workspace, self._source, self._index)
            parts = []
            for batch in open_listings(place, columns, self._encoding).batches():
                listings = batch.listings()
                answers = resolver.resolve_table(listings, top_k=1, faults=batch.faults)
                titles = pa.array([listing.title for listing in listings], pa.string())
                read = [*_READ, *self.own.columns]
                parts.append(answers.select(read).append_column("title", titles))
            rows = pa.concat_tables(parts) if parts else pa.table({})
        if rows.num_rows == 0:
            raise InputError(f"{source}: expected listings, found none")
        return rows

    def _answered(self, source: Path, columns: ColumnNames) -> pa.Table | None:
        """Return the columns of a file that `rerank score` wrote; None if it is none.

        :raises InputError: if it cannot be read, or a column holds something else.
        """
        title, read = columns.title, (*_READ, *self.own.columns)
        wanted = {title, *read, *_FORMERLY}
        if source.suffix == ".parquet":
            names, rows = read_parquet(source, wanted)
        else:
            file = open_listings(place_of(str(source)), columns, self._encoding)
            names, title = file.schema.names, file.columns.title
            if not {title, *_ANSWERS} <= set(names):
                return None
            kept = [name for name in names if name in wanted | {title}]
            rows = pa.concat_tables(batch.table.select(kept) for batch in file.batches())
        former = {} if "best_guess" in names else _FORMERLY
        named = {name: former.get(name, name) for name in names} | {title: "title"}
        if not {"title", *_ANSWERS} <= {named[name] for name in names}:
            return None
        rows = rows.rename_columns([named[name] for name in rows.column_names])
        there = [name for name in ("title", *read) if name in rows.column_names]
        return _typed(rows.select(there), source)


def _typed(rows: pa.Table, source: Path) -> pa.Table:
    """Return columns as `rerank score` writes them; titles were kept as the input had them."""
    faults = []
    for at, name in enumerate(rows.column_names):
        wanted = _TYPES.get(name, pa.string())
        try:
            rows = rows.set_column(at, name, rows.column(at).cast(wanted))
        except pa.ArrowException:
            faults.append(f"column {name}: expected {wanted}, found {rows.column(at).type}")
    if faults:
        raise FaultsError(str(source), faults)
    return rows
