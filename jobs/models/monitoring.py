"""Compare a file of listings with how a model's answers were spread when it was made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from rerank.domain import domain_in, domain_named
from rerank.index.errors import FaultsError, InputError
from rerank.index.rows import read_parquet
from rerank.jobs.files.listings import OUR_NAMES, ColumnNames, open_listings
from rerank.jobs.files.places import place_of
from rerank.jobs.files.text_formats import plain_sample
from rerank.jobs.scoring.plan import columns_of_output
from rerank.jobs.tables import WIDTH, cut, table
from rerank.lifecycle.drift import (
    SMALL_BATCH,
    Distribution,
    Level,
    ListingMeasures,
    Movement,
    advice,
    distribution_by_reference,
    distribution_of,
    has_moved,
    movements,
)
from rerank.lifecycle.model_registry import ModelRegistry
from rerank.lifecycle.opening import resolver_over
from rerank.lifecycle.versions import VersionCard
from rerank.workspace import Workspace, open_source

if TYPE_CHECKING:
    from rerank.index.artifacts import Manifest
    from rerank.ranking import CandidateSource


_ANSWERS = ("best_guess", "match_probability", "margin", "decision")
_FORMERLY = {"model": "best_guess"}  # until no match had no model, the guess stood there
_READ = (*_ANSWERS, "model_version")
_TYPES = {  # of the others, text
    "match_probability": pa.float64(),
    "margin": pa.float64(),
    "variant_stated": pa.bool_(),
}


@dataclass(frozen=True, slots=True)
class DriftReport:
    """A batch held against a reference.

    :param reference: what it is held against, in words.
    :param advice: what to do, a sentence each.
    """

    source: str
    listings: int
    reference: str
    reference_listings: int
    movements: Sequence[Movement]
    advice: Sequence[str]

    @property
    def moved(self) -> bool:
        """Whether anything moved."""
        return has_moved(self.movements)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "source": self.source,
            "listings": self.listings,
            "reference": self.reference,
            "reference_listings": self.reference_listings,
            "moved": self.moved,
            "measures": [each.as_json() for each in self.movements],
            "advice": list(self.advice),
        }

    def text(self) -> str:
        """Return it for people, in at most 80 columns."""
        held = f"{self.listings:,} listings against {self.reference_listings:,} of {self.reference}"
        said = [fill(each, WIDTH, break_on_hyphens=False) for each in self.advice]
        return "\n".join([cut(held, WIDTH), "", _movements_table(self.movements), "", *said])


def monitor(
    workspace: Workspace,
    source: Path,
    reference: str | None,
    columns: ColumnNames,
    *,
    say: Callable[[str], None] = lambda text: None,
) -> DriftReport:
    """Compare a file of listings, resolved or not, with a reference.

    :param reference: a version or a file; None for the champion.
    :raises InputError: if a file cannot be read or has no rows, or there is nothing to compare
        with.
    """
    candidates, index = open_source(workspace)
    files = _MonitoredFiles(workspace, columns, candidates, index, say)
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
    said = advice(found, source=str(source), remedies=files.own.remedies(rows))
    return DriftReport(str(source), batch.n, name, spread.n, found, said)


class _MonitoredFiles:
    """Reads what is compared, in the index that serves."""

    def __init__(
        self,
        workspace: Workspace,
        columns: ColumnNames,
        source: CandidateSource,
        index: Manifest,
        say: Callable[[str], None],
    ) -> None:
        self._workspace, self._columns, self._say = workspace, columns, say
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
            for batch in open_listings(place, columns).batches():
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
            file = open_listings(place_of(str(source)), columns)
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


def _movements_table(found: Sequence[Movement]) -> str:
    rows = [
        [
            each.measure,
            cut(each.part, 14),
            f"{each.before:.1%}",
            f"{each.after:.1%}",
            f"{each.index:.3f}",
            f"{each.p_value:.1g}",
            "" if each.level is Level.NONE else each.level.value,
        ]
        for each in found
    ]
    header = ("measure", "part", "reference", "now", "PSI", "p", "moved")
    return table(header, rows, left=(0, 1, 6))
