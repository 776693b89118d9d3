"""How listings and the answers to them are spread: kept with a version, held against later ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from index.errors import ArtifactError, InputError
from index.lexicon import Lexicon
from index.text import Run, normalise, spaced
from rerank.lifecycle.histogram import Histogram

if TYPE_CHECKING:
    from index.records import Listing
    from rerank.resolver import Resolver

PROBABILITY, MARGIN, DECISION = "probability", "margin", "decision"
VENDOR, MEMORY, UNKNOWN_WORDS = "chip vendor", "memory stated", "unknown words"
UNSEEN_MODELS = "unseen models"
ANSWER_MEASURES = (PROBABILITY, MARGIN, DECISION)
"""What the model made of the listings; the others say what the listings are."""

YES, NO = "yes", "no"
_NONE = "none"
_UNKNOWN_EDGES = (0.05, 0.1, 0.2, 0.3, 0.5)  # shares of a title's words
_NEEDED = ("model", "match_probability", "margin", "decision")
_MODEL_DIGITS = (3, 4)  # of the numbers of models, from GT 710 to RX 9070


@dataclass(frozen=True, slots=True)
class Distribution:
    """Measures of a set of resolved listings.

    :param n: listings.
    :param model_version: what answered; empty if several did.
    :param measures: by name: `PROBABILITY` and `MARGIN` in ranges of about equal counts,
        `DECISION`, `VENDOR` (of the best candidate's chip), `MEMORY` (whether a title states a
        size), `UNKNOWN_WORDS` (the share of a title's words that the embedder has no token of its
        own for; missing where that is not known), `UNSEEN_MODELS` (whether a title has a number
        that the registry lacks right behind a line such as RTX).
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


class Title(NamedTuple):
    """What one title shows.

    :param unknown: share of its words that are not known, 0 to 1; 0 without words or vocabulary.
    :param unseen: names of models that the registry lacks, such as ``rtx 6090``.
    """

    states_memory: bool
    unknown: float
    unseen: tuple[str, ...]


class TitleReader:
    """Reads titles for what a registry and a vocabulary do not know.

    :param known_words: words that the embedder has a token of their own for; None if unknown.
    """

    def __init__(self, lexicon: Lexicon, known_words: Collection[str] | None = None) -> None:
        self._lexicon = lexicon
        self._known = None if known_words is None else frozenset(known_words)
        self._lines = {word for name in lexicon.names for word in name.line}
        self._numbers = {run for key in lexicon.keys for run in _numbers_in(key)}

    @property
    def has_vocabulary(self) -> bool:
        """Whether unknown words can be told."""
        return self._known is not None

    def read(self, title: str) -> Title:
        """Read one title."""
        reading = self._lexicon.read(title)
        words = spaced(reading.text).split()
        unknown = 0.0
        if self._known is not None and words:
            unknown = sum(word not in self._known for word in words) / len(words)
        return Title(bool(reading.memory_gb), unknown, tuple(self._unseen(reading.runs)))

    def _unseen(self, runs: Sequence[Run]) -> Iterator[str]:
        """Yield numbers behind a line word, at most one letter between: arc b990, rtx 6090."""
        for at, run in enumerate(runs):
            if not run.text.isdigit() or not run.text.isascii() or run.text in self._numbers:
                continue
            before = [each.text for each in runs[max(0, at - 2) : at]]
            if len(before) == 2 and len(before[1]) == 1 and before[1].isalpha():
                before = before[:1]
            else:
                before = before[-1:]
            if before and before[0] in self._lines and len(run.text) in _MODEL_DIGITS:
                yield f"{before[0]} {run.text}"


def distribution_of(rows: pa.Table, reader: TitleReader, lexicon: Lexicon) -> Distribution:
    """Return how resolved listings are spread.

    :param rows: with the column ``title`` and those of `rerank.resolution_table.OUTPUT_SCHEMA`.
    :raises InputError: if columns are missing.
    """
    missing = [name for name in ("title", *_NEEDED) if name not in rows.column_names]
    if missing:
        raise InputError(
            f"resolved listings: expected the columns {', '.join(missing)}, found "
            f"{', '.join(rows.column_names)}; write them with `rerank score`"
        )
    titles = [reader.read(title or "") for title in rows.column("title").to_pylist()]
    vendors = {record.model: record.vendor for record in lexicon.records}
    models = rows.column("model").to_pylist()
    measures = {
        PROBABILITY: Histogram.of_values(_numbers(rows, "match_probability")),
        MARGIN: Histogram.of_values(_numbers(rows, "margin")),
        DECISION: Histogram.of_labels(rows.column("decision").to_pylist()),
        VENDOR: Histogram.of_labels(vendors.get(model, _NONE) for model in models),
        MEMORY: _yes_or_no(title.states_memory for title in titles),
        UNSEEN_MODELS: _yes_or_no(bool(title.unseen) for title in titles),
    }
    if reader.has_vocabulary:
        shares = np.array([title.unknown for title in titles], np.float64)
        measures[UNKNOWN_WORDS] = Histogram.within(shares, _UNKNOWN_EDGES)
    return Distribution(rows.num_rows, _single_version(rows), measures)


def distribution_by_reference(
    rows: pa.Table, reader: TitleReader, lexicon: Lexicon, reference: Distribution
) -> Distribution:
    """Return how resolved listings are spread, counted in the ranges of a reference."""
    found = distribution_of(rows, reader, lexicon)
    measures = dict(found.measures)
    for name, column in ((PROBABILITY, "match_probability"), (MARGIN, "margin")):
        if name in reference.measures:
            edges = reference.measures[name].edges
            measures[name] = Histogram.within(_numbers(rows, column), edges)
    return Distribution(found.n, found.model_version, measures)


def unseen_models(rows: pa.Table, reader: TitleReader) -> Counter[str]:
    """Return names that the registry seems to lack, with how many titles have them."""
    found: Counter[str] = Counter()
    for title in rows.column("title").to_pylist():
        found.update(set(reader.read(title or "").unseen))
    return found


def resolved_rows(resolver: Resolver, listings: Sequence[Listing]) -> pa.Table:
    """Resolve listings into a table that `distribution_of` takes."""
    titles = pa.array([listing.title for listing in listings], pa.string())
    return resolver.resolve_table(listings).append_column("title", titles)


def _numbers(rows: pa.Table, column: str) -> Any:
    """Return a column as floats, what is missing as 0: no answer has no probability."""
    values = rows.column(column).cast(pa.float64()).fill_null(0.0)
    return np.nan_to_num(values.to_numpy(zero_copy_only=False), nan=0.0)


def _yes_or_no(values: Iterator[bool]) -> Histogram:
    counted = Counter(values)
    return Histogram((counted[False], counted[True]), labels=(NO, YES))


def _single_version(rows: pa.Table) -> str:
    if "model_version" not in rows.column_names:
        return ""
    versions = rows.column("model_version").unique().to_pylist()
    return str(versions[0]) if len(versions) == 1 else ""


def _numbers_in(key: str) -> Iterator[str]:
    """Yield the numbers of a model's key."""
    digits = "".join(char if char.isdigit() else " " for char in normalise(key))
    yield from digits.split()
