"""Run one inference of each piece that serves, and say what made it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.errors import ArtifactError, MismatchError, RerankError
from index.file_faults import os_error_text
from index.records import Listing
from jobs.serving import open_resolver
from jobs.tables import WIDTH, cut, memory, table
from jobs.workspace import Workspace
from rerank.pairwise.candidate_ranker import PairwiseCandidateRanker
from rerank.pairwise.items import PairItem
from rerank.pairwise.ranker import PairwiseRanker, TrainedScorer
from rerank.ranker_folder import RankerKind
from rerank.ranking import RankingBatch
from rerank.resolver import Resolver

_HEURISTIC_METRICS = ("clarity", "impact", "keyword_score")


class Tried(NamedTuple):
    """One piece: whether it works, what made its answer, and the answer or what is wrong."""

    piece: str
    works: bool
    provenance: str
    said: str


class SmokeTest:
    """Tries the pieces of a workspace one after the other; one that fails stops no other."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    @cached_property
    def _served(self) -> Resolver:
        return open_resolver(self._workspace.home)

    def run(self) -> list[Tried]:
        """Try all pieces."""
        pieces: dict[str, Callable[[], tuple[str, str]]] = {
            "resolver": self._resolver,
            "pairwise ranker": self._pairwise,
            "candidate ranker": self._candidates,
            **self._chosen(),
        }
        return [_tried(piece, attempt) for piece, attempt in pieces.items()]

    def _resolver(self) -> tuple[str, str]:
        return _resolved(self._served)

    def _chosen(self) -> dict[str, Callable[[], tuple[str, str]]]:
        """Return what `--ranker` and `--cascade` can choose here."""
        kinds = [
            kind
            for kind in RankerKind
            if kind is not RankerKind.LTR and self._workspace.served_folder(kind).is_dir()
        ]
        pieces: dict[str, Callable[[], tuple[str, str]]] = {
            f"--ranker {kind.value}": partial(self._resolver_by, kind) for kind in kinds
        }
        if self._workspace.cross_encoder_folder.is_dir():
            pieces["--cascade"] = self._cascade
        return pieces

    def _resolver_by(self, kind: RankerKind) -> tuple[str, str]:
        return _resolved(open_resolver(self._workspace.home, ranker=kind))

    def _cascade(self) -> tuple[str, str]:
        return _resolved(open_resolver(self._workspace.home, cascade=True))

    def _pairwise(self) -> tuple[str, str]:
        ranker = PairwiseRanker.load(self._workspace.pairwise_folder)
        found = ranker.compare(*_items(ranker.trained))
        _check_finite("scores", np.array([found.a_score, found.b_score]))
        return ranker.provenance, (
            f"prefers {found.preference:+d}, confidence {found.confidence:.2f}"
        )

    def _candidates(self) -> tuple[str, str]:
        try:
            ranker = PairwiseCandidateRanker.load(self._workspace.pairwise_folder)
        except MismatchError:
            return "-", "the pairwise ranker is not one of candidates"
        resolver = self._served
        listing = _listing(resolver)
        evidence = resolver.evidence([listing])
        batch = RankingBatch([listing], evidence.candidates, evidence.features, resolver.table)
        scores = ranker.score(batch)
        _check_finite("scores", scores)
        best = resolver.table.records[int(evidence.candidates.record[int(np.argmax(scores))])]
        return ranker.provenance, f"first of {len(scores)}: {best.model}"


def smoke_text(tried: list[Tried]) -> str:
    """Return what was tried, for people."""
    width = WIDTH - 23 - max(len(each.piece) for each in tried)
    rows = [
        [each.piece, "ok" if each.works else "FAILED", each.provenance, cut(each.said, width)]
        for each in tried
    ]
    return table(("piece", "", "provenance", "answer"), rows, left=(0, 1, 2, 3))


def _tried(piece: str, attempt: Callable[[], tuple[str, str]]) -> Tried:
    try:
        return Tried(piece, True, *attempt())
    except RerankError as exc:
        return Tried(piece, False, "-", str(exc))
    except OSError as exc:
        return Tried(piece, False, "-", os_error_text(exc))
    except ModuleNotFoundError as exc:
        return Tried(piece, False, "-", f"{exc.name} is not installed")


def _resolved(resolver: Resolver) -> tuple[str, str]:
    answer = resolver.resolve(_listing(resolver))
    _check_finite("a match probability", np.array([answer.match_probability]))
    return "onnx", f"{answer.decision}: {answer.model}, probability {answer.match_probability:.3f}"


def _listing(resolver: Resolver) -> Listing:
    """Return a listing of a GPU of the registry, whatever registry it is."""
    record = resolver.table.records[0]
    return Listing("smoke", f"{record.model} {memory(record.memory_gb)}")


def _items(trained: TrainedScorer | None) -> tuple[PairItem, PairItem]:
    """Return two items with all that is read of one: 1 of everything, and 0."""
    names = _HEURISTIC_METRICS if trained is None else trained.metric_names
    dim = 0 if trained is None else trained.embedding_dim

    def item(value: float) -> PairItem:
        vector = np.full(dim, value, np.float32) if dim else None
        return PairItem("smoke", f"all {value:g}", dict.fromkeys(names, value), vector)

    return item(1.0), item(0.0)


def _check_finite(what: str, values: NDArray[np.floating]) -> None:
    if not (len(values) and np.isfinite(values).all()):
        raise ArtifactError(f"expected {what} that are numbers, got {values.tolist()}")
