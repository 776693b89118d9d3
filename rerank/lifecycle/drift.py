"""What moved between a reference and a batch of resolved listings, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from rerank.domain import domain_named
from rerank.index.errors import ArtifactError, InputError
from rerank.index.records import Doubles, Listing
from rerank.lifecycle.canary import chi_square_tail
from rerank.resolver import Resolver

PROBABILITY, MARGIN, DECISION = "probability", "margin", "decision"
UNKNOWN_WORDS = "unknown words"
ANSWER_MEASURES = (PROBABILITY, MARGIN, DECISION)
"""What the model made of the listings; the others say what the listings are."""

YES, NO = "yes", "no"
_UNKNOWN_EDGES = (0.05, 0.1, 0.2, 0.3, 0.5)  # shares of a title's words
_NEEDED = ("best_guess", "match_probability", "margin", "decision")


@dataclass(frozen=True, slots=True)
class Distribution:
    """Measures of a set of resolved listings.

    :param n: listings.
    :param model_version: what answered; empty if several did.
    :param measures: by name: `PROBABILITY` and `MARGIN` in ranges of about equal counts,
        `DECISION`, and those of the domain.
    """

    n: int
    model_version: str
    measures: Mapping[str, Histogram] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values, as a version's card keeps it."""
        measures = {name: found.as_json() for name, found in self.measures.items()}
        return {"listings": self.n, "model_version": self.model_version, "measures": measures}

    @classmethod
    def from_json(cls, content: Mapping[str, Any], *, where: str) -> Distribution:
        """Return what `as_json` made plain.

        :param where: what it was read from, for the error.
        :raises ArtifactError: if it is damaged.
        """
        try:
            measures = {
                str(name): Histogram.from_json(each) for name, each in content["measures"].items()
            }
            return cls(int(content["listings"]), str(content["model_version"]), measures)
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise ArtifactError(
                f"{where}: expected counts of answers to compare with, found something else "
                f"({type(exc).__name__}: {exc}); give another reference"
            ) from exc


class ListingMeasures(Protocol):
    """What a domain measures of resolved listings beside what a model made of them.

    :param columns: of rows that it reads where they are there, beside titles and answers.
    :param limits: by measure that is yes or no, to whose small shares the index is blind: the
        change of the share of yes that is moderate, and the one that is strong.
    """

    columns: tuple[str, ...]
    limits: Mapping[str, tuple[float, float]]

    def of(self, rows: pa.Table) -> dict[str, Histogram]:
        """Return how rows are spread, by measure.

        :param rows: with the column ``title`` and the best guess.
        """

    def remedies(self, rows: pa.Table) -> Mapping[str, str]:
        """Return by measure what to do, in a sentence, should its share of yes have risen."""


def distribution_of(rows: pa.Table, own: ListingMeasures) -> Distribution:
    """Return how resolved listings are spread.

    :param rows: with the column ``title`` and those that a resolver answers in.
    :param own: what their domain measures.
    :raises InputError: if columns are missing.
    """
    missing = [name for name in ("title", *_NEEDED) if name not in rows.column_names]
    if missing:
        raise InputError(
            f"resolved listings: expected the columns {', '.join(missing)}, found "
            f"{', '.join(rows.column_names)}; write them with `rerank score`"
        )
    measures = {
        PROBABILITY: Histogram.of_values(_numbers(rows, "match_probability")),
        MARGIN: Histogram.of_values(_numbers(rows, "margin")),
        DECISION: Histogram.of_labels(rows.column("decision").to_pylist()),
        **own.of(rows),
    }
    return Distribution(rows.num_rows, _single_version(rows), measures)


def answer_distribution(resolver: Resolver, listings: Sequence[Listing]) -> Distribution:
    """Resolve listings and return how they and their answers are spread: what a card keeps."""
    titles = pa.array([listing.title for listing in listings], pa.string())
    rows = resolver.resolve_table(listings).append_column("title", titles)
    return distribution_of(rows, domain_named(resolver.domain).measures(resolver.source))


def distribution_by_reference(
    rows: pa.Table, own: ListingMeasures, reference: Distribution
) -> Distribution:
    """Return how resolved listings are spread, counted in the ranges of a reference."""
    found = distribution_of(rows, own)
    measures = dict(found.measures)
    for name, column in ((PROBABILITY, "match_probability"), (MARGIN, "margin")):
        if name in reference.measures:
            edges = reference.measures[name].edges
            measures[name] = Histogram.within(_numbers(rows, column), edges)
    return Distribution(found.n, found.model_version, measures)


def yes_or_no(values: Iterable[bool]) -> Histogram:
    """Count what is so and what is not."""
    counted = Counter(values)
    return Histogram((counted[False], counted[True]), labels=(NO, YES))


def unknown_words(shares: Sequence[float]) -> Histogram:
    """Count titles by the share of their words that nobody knows, each 0 to 1."""
    return Histogram.within(np.array(shares, np.float64), _UNKNOWN_EDGES)


def _numbers(rows: pa.Table, column: str) -> Any:
    """Return a column as floats, what is missing as 0: no answer has no probability."""
    values = rows.column(column).cast(pa.float64()).fill_null(0.0)
    return np.nan_to_num(values.to_numpy(zero_copy_only=False), nan=0.0)


def _single_version(rows: pa.Table) -> str:
    if "model_version" not in rows.column_names:
        return ""
    versions = rows.column("model_version").unique().to_pylist()
    return str(versions[0]) if len(versions) == 1 else ""


SIGNIFICANCE = 0.01
"""Of all measures together: each is tested at this over their number (Bonferroni)."""
SMALL_BATCH = 200
"""Below so many listings, only large changes can be told from chance."""
_MODERATE, _STRONG = 0.1, 0.25  # of the stability index: the usual rule of thumb


class Level(Enum):
    """How far a measure moved."""

    NONE = "no"
    MODERATE = "moderately"
    STRONG = "strongly"


@dataclass(frozen=True, slots=True)
class Movement:
    """A measure in the reference and in the batch.

    :param part: the range or category that changed the most, in words.
    :param before: its share in the reference, 0 to 1.
    :param after: its share in the batch.
    :param index: population stability index, 0 if alike.
    :param p_value: of counts as far apart by chance.
    """

    measure: str
    part: str
    before: float
    after: float
    index: float
    p_value: float
    level: Level

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "measure": self.measure,
            "part": self.part,
            "reference": round(self.before, 6),
            "batch": round(self.after, 6),
            "psi": round(self.index, 6),
            "p_value": self.p_value,
            "moved": self.level.value,
        }


def movements(
    reference: Distribution, batch: Distribution, limits: Mapping[str, tuple[float, float]]
) -> list[Movement]:
    """Compare a batch with a reference, by every measure that both have.

    A measure moved if its counts differ significantly and its index is 0.1 or more (strongly:
    0.25), or, of one that has limits, if the share of yes changed by as much.

    :param batch: counted in the ranges of the reference.
    :param limits: of the domain, see `ListingMeasures`.
    """
    shared = [name for name in reference.measures if name in batch.measures]
    alpha = SIGNIFICANCE / max(len(shared), 1)
    return [
        _movement(name, reference.measures[name], batch.measures[name], alpha, limits.get(name))
        for name in shared
    ]


def has_moved(found: Sequence[Movement]) -> bool:
    """Return whether anything moved."""
    return any(each.level is not Level.NONE for each in found)


def advice(found: Sequence[Movement], *, source: str, remedies: Mapping[str, str]) -> list[str]:
    """Return what to do, a sentence each.

    :param source: the file of the batch, as commands take it.
    :param remedies: of the domain, see `ListingMeasures`.
    """
    moved = {each.measure: each for each in found if each.level is not Level.NONE}
    said = []
    for name, sentence in remedies.items():
        risen = moved.pop(name, None)
        if risen is not None and risen.after > risen.before:
            said.append(sentence)
    answers = [moved[name].level for name in ANSWER_MEASURES if name in moved]
    if Level.STRONG in answers:
        said.append(
            f"The answers moved strongly: annotate some 200 listings with `rerank annotate "
            f"{source}`, then train with `rerank train-ltr` and compare with `rerank models "
            "compare`."
        )
    elif answers:
        said.append(
            f"The answers moved: annotate some 100 listings with `rerank annotate {source}`, and "
            "train again if `rerank evaluate --annotations` shows a loss."
        )
    elif moved:
        said.append("The listings changed, the answers did not: nothing to do now.")
    return said or ["Nothing moved: nothing to do."]


def _movement(
    name: str,
    reference: Histogram,
    batch: Histogram,
    alpha: float,
    own_limits: tuple[float, float] | None,
) -> Movement:
    before, after = side_by_side(reference, batch)
    index, p_value = stability_index(before, after), homogeneity_p_value(before, after)
    only_yes = own_limits is not None
    part, share_before, share_after = _most_changed(reference, before, after, only_yes=only_yes)
    limits, measured = ((_MODERATE, _STRONG), index)
    if own_limits is not None:
        limits, measured = own_limits, abs(share_after - share_before)
    level = Level.NONE
    if p_value < alpha and measured >= limits[0]:
        level = Level.STRONG if measured >= limits[1] else Level.MODERATE
    return Movement(name, part, share_before, share_after, index, p_value, level)


def _most_changed(
    reference: Histogram, before: Doubles, after: Doubles, *, only_yes: bool
) -> tuple[str, float, float]:
    """Return the range below an edge, or the category, whose share changed the most."""
    a, b = before / max(before.sum(), 1), after / max(after.sum(), 1)
    if only_yes:
        at = reference.labels.index(YES)
        return YES, float(a[at]), float(b[at])
    if reference.labels:
        labels = [*reference.labels, *([] if OTHER in reference.labels else [OTHER])]
        at = int(np.argmax(np.abs(a - b)))
        return labels[at], float(a[at]), float(b[at])
    a, b = np.cumsum(a)[:-1], np.cumsum(b)[:-1]
    if not len(a):
        return "all", 1.0, 1.0
    at = int(np.argmax(np.abs(a - b)))
    return f"below {reference.edges[at]:.3g}", float(a[at]), float(b[at])


OTHER = "other"
"""The category of what a reference had none of."""
_SMOOTHING = 0.5  # added to each count: PSI is infinite where a share is 0
_LEAST_EXPECTED = 5  # Cochran, Biometrics 10(4), 1954: with fewer, chi-square is a poor guide


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often something was found, by range or by category.

    :param counts: by range, lowest first, or by label.
    :param edges: between the ranges, rising, one less than there are ranges; a value equal to an
        edge lies above it. Empty for categories.
    :param labels: of categories; empty for ranges.
    """

    counts: tuple[int, ...]
    edges: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()

    @classmethod
    def of_values(cls, values: Doubles, *, ranges: int = 10) -> Histogram:
        """Count values in ranges that hold about as many each; of equal values none is parted.

        :param values: shape (n,), finite.
        """
        levels = np.arange(1, ranges) / ranges
        quantiles = np.quantile(values, levels, method="higher") if len(values) else np.empty(0)
        edges = np.unique(np.round(quantiles, 6))
        edges = edges[edges > values.min(initial=np.inf)]
        return cls.within(values, edges.tolist())

    @classmethod
    def within(cls, values: Doubles, edges: Sequence[float]) -> Histogram:
        """Count values between given edges."""
        place = np.searchsorted(np.asarray(edges, np.float64), values, side="right")
        counts = np.bincount(place, minlength=len(edges) + 1)
        return cls(tuple(counts.tolist()), edges=tuple(edges))

    @classmethod
    def of_labels(cls, labels: Iterable[str]) -> Histogram:
        """Count categories, by name."""
        counted = Counter(labels)
        names = sorted(counted)
        return cls(tuple(counted[name] for name in names), labels=tuple(names))

    @property
    def n(self) -> int:
        """How many there are in all."""
        return sum(self.counts)

    def share(self, label: str) -> float:
        """Return the share of a category, 0 to 1; 0 of one that is not there."""
        found = dict(zip(self.labels, self.counts, strict=True)).get(label, 0)
        return found / self.n if self.n else 0.0

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        keys = {"labels": list(self.labels)} if self.labels else {"edges": list(self.edges)}
        return {"counts": list(self.counts), **keys}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Histogram:
        """Return what `as_json` made plain.

        :raises ValueError: if counts do not fit edges or labels.
        """
        counts = tuple(int(count) for count in content["counts"])
        edges = tuple(float(edge) for edge in content.get("edges", ()))
        labels = tuple(str(label) for label in content.get("labels", ()))
        if len(counts) != (len(labels) or len(edges) + 1) or min(counts, default=0) < 0:
            raise ValueError(f"{len(counts)} counts, {len(edges)} edges, {len(labels)} labels")
        return cls(counts, edges, labels)


def side_by_side(reference: Histogram, batch: Histogram) -> tuple[Doubles, Doubles]:
    """Return the counts of both by the same ranges or categories, each of shape (bins,).

    Categories that the reference lacks are one, `OTHER`.
    """
    if not reference.labels:
        return np.asarray(reference.counts, np.float64), np.asarray(batch.counts, np.float64)
    own = dict(zip(reference.labels, reference.counts, strict=True))
    other = dict(zip(batch.labels, batch.counts, strict=True))
    names = list(dict.fromkeys([*own, OTHER]))
    first = [own.get(name, 0) for name in names]
    second = [other.get(name, 0) for name in names]
    second[names.index(OTHER)] += sum(n for name, n in other.items() if name not in names)
    return np.asarray(first, np.float64), np.asarray(second, np.float64)


def stability_index(reference: Doubles, batch: Doubles) -> float:
    """Return the population stability index of counts, both of shape (bins,); 0 if alike, no bound.

    The sum of (b - a) ln(b / a) over shares a and b: the two directions of the Kullback-Leibler
    divergence together (Jeffreys, 1946). Bins that both lack do not count; 0.5 is added to the
    others. Below 0.1 is read as stable, above 0.25 as changed (Siddiqi, Credit Risk Scorecards,
    2006): a rule of thumb.
    """
    filled = (reference + batch) > 0
    if filled.sum() < 2:
        return 0.0
    a, b = reference[filled] + _SMOOTHING, batch[filled] + _SMOOTHING
    a, b = a / a.sum(), b / b.sum()
    return float(np.sum((b - a) * np.log(b / a)))


def homogeneity_p_value(reference: Doubles, batch: Doubles) -> float:
    """Return how probable counts as far apart are where both are drawn from one distribution.

    Pearson's chi-square for two samples; bins are joined, the rarest first, until each has five
    expected in either sample. 1 where that leaves a single bin.
    """
    totals = reference.sum(), batch.sum()
    if min(totals) == 0:
        return 1.0
    pooled = (reference + batch) * min(totals) / sum(totals)
    order = np.argsort(-pooled, kind="stable")
    kept = int(np.sum(pooled >= _LEAST_EXPECTED))
    group = np.minimum(np.arange(len(order)), kept)
    counts = np.stack([np.bincount(group, each[order]) for each in (reference, batch)])
    if 0 < kept < len(order) and pooled[order[kept:]].sum() < _LEAST_EXPECTED:
        counts = np.hstack([counts[:, :-2], counts[:, -2:].sum(axis=1, keepdims=True)])
    if counts.shape[1] < 2:
        return 1.0
    expected = np.outer(totals, counts.sum(axis=0)) / sum(totals)
    statistic = float(np.sum((counts - expected) ** 2 / expected))
    return chi_square_tail(statistic, counts.shape[1] - 1)
