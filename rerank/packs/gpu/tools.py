"""What commands of graphics cards alone ask of their pack; modules are read when they are asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from rerank.domain import Lesson, TrainingRequest
from rerank.index.records import shipped

if TYPE_CHECKING:
    from rerank.annotation.queue import SimulationPlan
    from rerank.domain import CardTools
    from rerank.evaluation.gold import GoldListing
    from rerank.index.artifacts import Manifest
    from rerank.index.embedder import Embedder
    from rerank.index.embedder_training import EmbedderParameters
    from rerank.index.records import GpuRecord, LabelledListing, Listing
    from rerank.packs.gpu.cues import CueReader
    from rerank.packs.gpu.lexicon import Lexicon
    from rerank.packs.gpu.registry_check import Finding
    from rerank.packs.gpu.training.sets import TrainingParameters
    from rerank.packs.gpu.training.shortlists import RankerTrials
    from rerank.rankers.kinds import RankerFolder
    from rerank.rankers.scored import ScoredSet
    from rerank.ranking import CandidateBatch, CandidateSource, RankingBatch, RoutedRetriever

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def shipped_cues() -> CueReader:
    """Return the words that say what is sold, as they ship."""
    from rerank.packs.gpu.cues import CueReader

    return CueReader.load(shipped("cues.txt"))


def parameters_of(request: TrainingRequest) -> TrainingParameters:
    """Return the usual parameters with what a request says otherwise."""
    from rerank.packs.gpu.training.sets import TrainingParameters, scaled

    usual = TrainingParameters()
    precision = usual.precision if request.precision is None else request.precision
    return scaled(replace(usual, precision=precision, seed=request.seed), request.scale)


_ELSEWHERE = {
    "update_index": "retriever",
    "add_to_index": "retriever",
    "load_registry": "registry",
    "registry_fingerprint": "retriever",
    "generate": "bootstrap.generator",
    "labelled_of": "training.labelling",
}
"""Modules of this pack, by the tools that are functions of theirs."""


class GpuTools:
    """See `rerank.domain.CardTools`."""

    def __getattr__(self, name: str) -> Any:
        if name not in _ELSEWHERE:
            raise AttributeError(f"graphics cards have no tool {name!r}")
        return getattr(import_module(f"rerank.packs.gpu.{_ELSEWHERE[name]}"), name)

    def build_index(
        self,
        records: Sequence[GpuRecord],
        embedder: Embedder,
        folder: Path,
        *,
        kind: str | None = None,
    ) -> Manifest:
        from rerank.index.vector_index import IndexKind
        from rerank.packs.gpu.retriever import build_index

        return build_index(records, embedder, folder, kind=IndexKind(kind) if kind else None)

    def check_registry(
        self, records: Sequence[GpuRecord], facts: Path
    ) -> tuple[int, Sequence[Finding]]:
        from rerank.packs.gpu.registry_check import check_registry, read_facts

        rows = read_facts(facts)
        return len(rows), check_registry(records, rows)

    def train_embedder(
        self,
        records: Sequence[GpuRecord],
        folder: Path,
        parameters: EmbedderParameters,
        *,
        listings: int,
        progress: Callable[[float], None],
    ) -> list[float]:
        from rerank.index.embedder_training import train_embedder
        from rerank.packs.gpu.training.sets import embedder_texts

        pairs, corpus = embedder_texts(records, listings, seed=parameters.seed * 1000)
        return train_embedder(pairs, corpus, folder, parameters, progress=progress)

    def offers(self) -> Callable[[RankingBatch, Floats], tuple[Floats, Ints]]:
        from rerank.packs.gpu.offers import offer_features

        cues = shipped_cues()

        def described(batch: RankingBatch, scores: Floats) -> tuple[Floats, Ints]:
            candidates = batch.candidates
            offers, best, _ = offer_features(
                candidates,
                cast("Lexicon", batch.table),
                batch.features,
                scores,
                cues.read(candidates.readings),
            )
            return offers, best

        return described

    def grades(
        self, labelled: Sequence[LabelledListing], batch: CandidateBatch, table: Any
    ) -> Ints:
        from rerank.packs.gpu.training.evidence import relevance_of

        return relevance_of(labelled, batch.listing, batch.record, table)

    def decision_lesson(
        self,
        source: CandidateSource,
        index: Manifest,
        request: TrainingRequest,
        trained: RankerFolder,
        *,
        progress: Callable[[str, float], None],
    ) -> Lesson:
        from rerank.packs.gpu.training.train import train

        parameters = parameters_of(request)

        def into(folder: Path) -> dict[str, Any]:
            cues = shipped_cues()
            return train(
                source, cues, folder, index, parameters, trained=trained, progress=progress
            )

        return Lesson(into, None)

    def ablate(
        self,
        source: CandidateSource,
        sets: Mapping[str, Sequence[GoldListing]],
        request: TrainingRequest,
        *,
        progress: Callable[[str, float], None],
    ) -> dict[str, Any]:
        from rerank.packs.gpu.training.ablation import ablate
        from rerank.packs.gpu.training.evidence import Preparer

        preparer = Preparer(source, shipped_cues())
        return ablate(preparer, sets, parameters_of(request), progress=progress)

    def simulate(
        self,
        source: CandidateSource,
        gold: Sequence[GoldListing],
        shops: Sequence[str],
        plan: SimulationPlan,
        *,
        scale: float,
        make_items: Callable[..., Any],
        progress: Callable[[str, float], None],
    ) -> tuple[Sequence[Any], dict[str, Any]]:
        from rerank.packs.gpu.training.simulation import Laboratory, Simulation, figures

        progress("generated listings", 0.0)
        laboratory = Laboratory(
            source,
            shipped_cues(),
            parameters_of(TrainingRequest(scale=scale, seed=plan.seed)),
            progress=partial(progress, "generated listings"),
        )
        simulation = Simulation(laboratory, gold, shops, make_items=make_items)
        runs = simulation.run(plan, progress=partial(progress, "asking and training"))
        return runs, figures(runs, seed=plan.seed)

    def ranker_trials(self, source: CandidateSource) -> RankerTrials:
        from rerank.packs.gpu.training.evidence import Preparer
        from rerank.packs.gpu.training.shortlists import RankerTrials

        return RankerTrials(Preparer(source, shipped_cues()))

    def scored_queries(
        self,
        source: RoutedRetriever,
        n: int,
        *,
        seed: int,
        progress: Callable[[float], None],
    ) -> Iterator[ScoredSet]:
        from rerank.index.text import descriptor, listing_text
        from rerank.packs.gpu.training.evidence import Preparer
        from rerank.packs.gpu.training.scored_making import generated_listings, gpu_candidates

        embedder, records = source.embedder, source.records

        def encode(listings: Sequence[Listing]) -> Floats:
            return embedder.encode([listing_text(listing).embedded for listing in listings])

        vectors = embedder.encode([descriptor(record) for record in records])
        # All that was retrieved: what names have cut already, embeddings need not tell apart.
        preparer = Preparer(source, shipped_cues(), ranked_models=None)
        labelled = generated_listings(records, n, seed=seed)
        return gpu_candidates(preparer, labelled, encode, vectors, progress=progress)


TOOLS = cast("CardTools", GpuTools())
