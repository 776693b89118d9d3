"""What cards of versions say of graphics cards: figures on generated listings, and their spread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from rerank.evaluation.baselines import route_ranks
from rerank.evaluation.gold import GoldKind, bootstrap_gold
from rerank.evaluation.intervals import Resampling
from rerank.evaluation.metrics import recall
from rerank.evaluation.outcomes import judge
from rerank.evaluation.paired import PairedTable, plain
from rerank.index.embedder import StaticEmbedder
from rerank.index.errors import InputError
from rerank.index.records import N_CANDIDATES, Listing, Route
from rerank.index.text import CharacterRun, descriptor, normalise, spaced
from rerank.index.vector_index import ExactIndex
from rerank.lifecycle.drift import UNKNOWN_WORDS, Histogram, unknown_words, yes_or_no
from rerank.packs.gpu.bootstrap.generator import generate
from rerank.packs.gpu.lexicon import Lexicon
from rerank.packs.gpu.retriever import Retriever, index_records, load_retriever
from rerank.resolver import Resolver
from rerank.workspace import Workspace, embedder_of_index

_LISTINGS, _LISTINGS_OF_A_CROSS_ENCODER = 1000, 100
_SAMPLES = 500
_SEED = 29_029  # of all versions, so that their figures are of the same listings
_CUTOFFS = (1, 10, N_CANDIDATES)

VENDOR, MEMORY, UNSEEN_MODELS = "chip vendor", "memory stated", "unseen models"
_NONE = "none"
_MODEL_DIGITS = (3, 4)  # of the numbers of models, from GT 710 to RX 9070
_NAMED = 3  # models that the registry lacks, in the advice


def measured(resolver: Resolver, kind: str) -> tuple[dict[str, Any], Sequence[Listing]]:
    """Return figures with 95 % intervals on generated listings of unseen models, and those."""
    n = _LISTINGS_OF_A_CROSS_ENCODER if kind == "cross-encoder" else _LISTINGS
    records = resolver.table.records
    try:
        gold = bootstrap_gold(records, n, _SEED)
    except InputError:  # so small a registry has no models for tests: nothing is unseen
        return {}, [item.listing for item in generate(records, n, seed=_SEED)]
    listings = [item.listing for item in gold]
    outcomes = judge(gold, resolver.resolve_many(listings))
    resampling = Resampling.draw([item.group for item in gold], seed=_SEED, samples=_SAMPLES)
    figures = plain(PairedTable({kind: outcomes}, resampling).figures(kind))
    measured_on = {"listings": n, "seed": _SEED, "of": "generated listings of unseen models"}
    return {"measured_on": measured_on, "figures": figures}, listings


def part_recall(kind: str, folder: Path, workspace: Workspace) -> dict[str, Any]:
    """Return recall on generated listings of unseen models, with 95 % intervals.

    An index is asked with vectors and names, an embedder by vectors alone, exactly, over the
    registry of the index that serves.

    :param kind: ``index`` or ``embedder``.
    :raises ArtifactError: if the embedder of an index is gone.
    :raises InputError: if so small a registry has no unseen models.
    """
    if kind == "index":
        return _recall(load_retriever(folder, embedder_of_index(workspace, folder))[0], Route.FUSED)
    return _recall(_of_embedder(workspace, folder), Route.VECTOR)


def _of_embedder(workspace: Workspace, folder: Path) -> Retriever:
    embedder = StaticEmbedder.load(folder)
    records = index_records(workspace.active_index())
    vectors = embedder.encode([descriptor(record) for record in records])
    exact = ExactIndex(embedder.dimension)
    exact.add(vectors)
    return Retriever(records, vectors, exact, embedder)


def _recall(retriever: Retriever, route: Route) -> dict[str, Any]:
    """Measure a retriever.

    :raises InputError: if its registry has no models for tests.
    """
    gold = bootstrap_gold(retriever.records, _LISTINGS, _SEED)
    matches = [item for item in gold if item.kind is GoldKind.MATCH]
    ranks = np.array(route_ranks(retriever, matches, route), np.float64)
    resampling = Resampling.draw([item.group for item in matches], seed=_SEED, samples=_SAMPLES)
    figures = {
        metric.name: resampling.figure(metric, ranks).as_dict() for metric in map(recall, _CUTOFFS)
    }
    measured_on = {
        "listings": len(matches),
        "seed": _SEED,
        "of": "generated listings of unseen models",
        "route": route.value,
    }
    return {"measured_on": measured_on, "figures": figures}


class Title(NamedTuple):
    """What one title shows.

    :param unknown: share of its words that are not known, 0 to 1; 0 without words or vocabulary.
    :param unseen: names of models that the registry lacks, such as ``rtx 6090``.
    """

    states_memory: bool
    unknown: float
    unseen: tuple[str, ...]


class TitleReader:
    """Reads titles for what a registry and a vocabulary do not know: `ListingMeasures` of cards.

    Measured are the chip vendor of the best candidate, whether a title states a size of memory,
    the share of a title's words that the embedder has no token of its own for (missing where that
    is not known), and whether a title has a number that the registry lacks right behind a line such
    as RTX.

    :param known_words: words that the embedder has a token of their own for; None if unknown.
    """

    columns: tuple[str, ...] = ()
    limits: Mapping[str, tuple[float, float]] = {MEMORY: (0.1, 0.2), UNSEEN_MODELS: (0.02, 0.05)}

    def __init__(self, lexicon: Lexicon, known_words: Collection[str] | None = None) -> None:
        self._lexicon = lexicon
        self._known = None if known_words is None else frozenset(known_words)
        self._lines = {word for name in lexicon.names for word in name.line}
        self._numbers = {run for key in lexicon.keys for run in _numbers_in(key)}

    @classmethod
    def of_source(cls, retriever: Retriever) -> TitleReader:
        """Return what reads titles for what a retriever does not know.

        Only a static embedder says which words it knows.
        """
        return cls(retriever.lexicon, getattr(retriever.embedder, "words", None))

    def of(self, rows: pa.Table) -> dict[str, Histogram]:
        """Return how resolved rows are spread."""
        titles = [self.read(title or "") for title in rows.column("title").to_pylist()]
        vendors = {record.model: record.vendor for record in self._lexicon.records}
        models = rows.column("best_guess").to_pylist()
        measures = {
            VENDOR: Histogram.of_labels(vendors.get(model, _NONE) for model in models),
            MEMORY: yes_or_no(title.states_memory for title in titles),
            UNSEEN_MODELS: yes_or_no(bool(title.unseen) for title in titles),
        }
        if self._known is not None:
            measures[UNKNOWN_WORDS] = unknown_words([title.unknown for title in titles])
        return measures

    def remedies(self, rows: pa.Table) -> Mapping[str, str]:
        """Return what to do where the registry lacks models that listings name, with some names."""
        lacking = sorted(self.lacking(rows).items(), key=lambda pair: (-pair[1], pair[0]))
        names = ", ".join(f"{name} ({n})" for name, n in lacking[:_NAMED])
        named = f" ({names})" if names else ""
        return {
            UNSEEN_MODELS: f"The registry lacks models that listings name{named}: add what of "
            "them is a GPU with `rerank build-index --add`."
        }

    def lacking(self, rows: pa.Table) -> Counter[str]:
        """Return names that the registry seems to lack, with how many titles have them."""
        found: Counter[str] = Counter()
        for title in rows.column("title").to_pylist():
            found.update(set(self.read(title or "").unseen))
        return found

    def read(self, title: str) -> Title:
        """Read one title."""
        reading = self._lexicon.read(title)
        words = spaced(reading.text).split()
        unknown = 0.0
        if self._known is not None and words:
            unknown = sum(word not in self._known for word in words) / len(words)
        return Title(bool(reading.memory_gb), unknown, tuple(self._unseen(reading.runs)))

    def _unseen(self, runs: Sequence[CharacterRun]) -> Iterator[str]:
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


def _numbers_in(key: str) -> Iterator[str]:
    """Yield the numbers of a model's key."""
    digits = "".join(char if char.isdigit() else " " for char in normalise(key))
    yield from digits.split()
