"""The domain of graphics cards: a resolver that reads titles by the lexicon of their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from rerank.answers import Answers, Verdicts
from rerank.domain import (
    GPU,
    CardFigures,
    CatalogueNames,
    FeatureNames,
    Lesson,
    MeasuredSets,
    TrainingRequest,
)
from rerank.index.errors import InputError
from rerank.index.records import GpuRecord, Listing, Route, registry_fingerprint, shipped
from rerank.model import RerankModel
from rerank.packs.gpu.candidates import CANDIDATE_FEATURES, RANKED_MODELS, CandidateFeatures
from rerank.packs.gpu.card_answers import REFUSALS, verdicts_of
from rerank.packs.gpu.cues import CueReader
from rerank.packs.gpu.offers import OFFER_FEATURES, offer_features
from rerank.ranking import CandidateBatch, CandidateSource, Evidence, RankingBatch
from rerank.resolution import Resolution
from rerank.resolver import Resolver

if TYPE_CHECKING:
    import pyarrow as pa

    from rerank.answer_columns import RegistryColumns
    from rerank.evaluation.evaluate import Instruments
    from rerank.evaluation.gold import GoldListing
    from rerank.evaluation.paired import RegistryFacts
    from rerank.index.artifacts import Manifest
    from rerank.lifecycle.gates import PromotionSettings
    from rerank.packs.gpu.cards import TitleReader
    from rerank.packs.gpu.choices import GpuChoices
    from rerank.packs.gpu.lexicon import Lexicon
    from rerank.packs.gpu.retriever import Retriever
    from rerank.store.database import Store
    from rerank.workspace import Workspace


class GpuResolver(Resolver):
    """Resolves listings of graphics cards.

    :param cues: words that say what is sold; by default those that ship.
    """

    domain = GPU
    sold = ("model", "memory_gb", "gpu_id")
    key_column = "gpu_id"
    ranked_models = RANKED_MODELS

    def __init__(
        self,
        retriever: CandidateSource,
        model: RerankModel,
        cues: CueReader | None = None,
        *,
        index_version: str,
        reopen: Callable[[], Resolver] | None = None,
    ) -> None:
        super().__init__(retriever, model, index_version=index_version, reopen=reopen)
        self._cues = cues or CueReader.load(shipped("cues.txt"))
        self._lexicon = cast("Lexicon", self._table)
        self._candidate_features = CandidateFeatures(self._lexicon)

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns a resolved row gets; Arrow is loaded by who asks for them."""
        from rerank.answer_columns import OUTPUT_SCHEMA

        return OUTPUT_SCHEMA

    @cached_property
    def _registry_columns(self) -> RegistryColumns:
        from rerank.answer_columns import RegistryColumns

        return RegistryColumns(self._table)

    def judge(self, listings: Sequence[Listing], candidates: CandidateBatch) -> Evidence:
        """Rank given candidates and describe the best of each listing."""
        cues = self._cues.read(candidates.readings)
        features = self._candidate_features.compute(candidates, cues)
        batch = RankingBatch(listings, candidates, features, self._table)
        scores = self._model.ranker.score(batch)
        offers = offer_features(candidates, self._lexicon, features, scores, cues)
        return Evidence(candidates, features, scores, *offers, cues)

    def verdicts(self, evidence: Evidence, probability: NDArray[np.float64]) -> Verdicts:
        """Decide which listings sell a card, and say why."""
        return verdicts_of(evidence, probability, self._model.thresholds, self._lexicon)

    def rows(self, answers: Answers) -> pa.Table:
        """Return answers as a table of `OUTPUT_SCHEMA`."""
        return self._registry_columns.table(
            answers, model_version=self._model.version, index_version=self._index_version
        )

    def resolutions(self, answers: Answers) -> list[Resolution]:
        """Return answers as objects."""
        return answers.resolutions(
            self._table, model_version=self._model.version, index_version=self._index_version
        )


_NIL_SHARE = 0.35  # of the listings whose answers a card keeps
_ALL_FAILURES = 10_000
_RULE_TITLES = 500  # read at once


class GpuDomain:
    """See `rerank.domain.Domain`."""

    name = GPU
    features = FeatureNames(CANDIDATE_FEATURES, OFFER_FEATURES)
    key_column = "gpu_id"
    refusals = REFUSALS
    training_stages: Mapping[str, float] = {
        "making up listings": 12,
        "features for the ranker": 22,
        "training LambdaRank": 11,
        "features for the offer classifier": 23,
        "training the offer classifier": 8,
        "calibrating": 13,
        "calibrating candidate sets": 5,
        "describing the version": 6,
    }

    def open_source(self, folder: Path, workspace: Workspace) -> tuple[Retriever, Manifest]:
        """Load an index folder with the embedder that made it."""
        from rerank.packs.gpu.retriever import load_retriever
        from rerank.workspace import embedder_of_index

        return load_retriever(folder, embedder_of_index(workspace, folder))

    def columns_of(self, path: Path, index: Manifest) -> dict[str, str]:
        """Return nothing: feeds of cards say which columns they mean."""
        return {}

    def hits(self, source: Retriever, listing: Listing, n: int, route: str) -> list[dict[str, Any]]:
        """Return candidates best first.

        ``similarity`` is the cosine of the embeddings; ``shortlist`` the value that ordered them,
        comparable within one answer only.

        :raises InputError: if there is no such route.
        """
        routes = [each.value for each in Route]
        if route not in routes:
            raise InputError(f"route {route!r:.40}: expected one of {', '.join(routes)}")
        batch = source.retrieve([listing], n_candidates=n, route=Route(route))
        columns = (batch.record.tolist(), batch.similarity.tolist(), batch.shortlist.tolist())
        found = []
        for row, similarity, shortlist in zip(*columns, strict=True):
            record = source.records[row]
            found.append(
                {
                    "gpu_id": record.gpu_id,
                    "model": record.model,
                    "memory_gb": record.memory_gb,
                    "form_factor": record.form_factor,
                    "similarity": round(similarity, 4),
                    "shortlist": round(shortlist, 4),
                }
            )
        return found

    def entry(self, source: Retriever, key: str) -> dict[str, Any] | None:
        """Return a card's row of the registry."""
        found = next((each for each in source.records if each.gpu_id == key), None)
        return None if found is None else asdict(found)

    def entry_columns(self, source: CandidateSource) -> list[str]:
        """Return the columns of the registry."""
        return [each.name for each in fields(GpuRecord)]

    def resolver(
        self,
        source: CandidateSource,
        model: RerankModel,
        *,
        index_version: str,
        reopen: Callable[[], Resolver] | None = None,
        cues: CueReader | None = None,
    ) -> Resolver:
        """Put a model on a retriever."""
        return GpuResolver(source, model, cues, index_version=index_version, reopen=reopen)

    def lesson(
        self,
        workspace: Workspace,
        source: Retriever,
        index: Manifest,
        request: TrainingRequest,
        *,
        warn: Callable[[str], None],
        progress: Callable[[str, float], None],
    ) -> Lesson:
        """Prepare the training on generated listings and what annotators settled on.

        :raises InputError: if files are named: cards are learnt from what is generated.
        """
        from rerank.packs.gpu.tools import parameters_of
        from rerank.packs.gpu.training.labelling import read_annotated
        from rerank.packs.gpu.training.train import train

        if request.listings or request.labels:
            raise InputError(
                "graphics cards are learnt from generated listings and annotations: leave out "
                "--listings and --labels; `rerank store import` takes labels"
            )
        parameters = parameters_of(request)
        annotated = None
        if request.annotation_weight is not None:
            weight = request.annotation_weight
            annotated = read_annotated(workspace.store_path, source, weight=weight, warn=warn)
        cues = CueReader.load(shipped("cues.txt"))

        def into(folder: Path) -> dict[str, Any]:
            return train(
                source, cues, folder, index, parameters, annotated=annotated, progress=progress
            )

        return Lesson(into, annotated)

    def choices(self, source: Retriever, index: Manifest) -> GpuChoices:
        """Return the registry's cards as people choose among them."""
        from rerank.packs.gpu.choices import GpuChoices

        return GpuChoices(source)

    def plain_guesses(self, source: CandidateSource, titles: Sequence[str]) -> list[str]:
        """Return the model that the token-coverage rule names for each title."""
        from rerank.evaluation.baselines import TokenCoverage

        rule = TokenCoverage([record.model for record in source.table.records])
        parts = (titles[at : at + _RULE_TITLES] for at in range(0, len(titles), _RULE_TITLES))
        return [best for part in parts for (best,) in rule.rank(part, 1)]

    def names(self, folder: Path) -> CatalogueNames:
        """Return the registry's names; the store keeps a snapshot of it."""
        from rerank.packs.gpu.names import GpuNames
        from rerank.packs.gpu.retriever import index_records

        records = index_records(folder)
        return CatalogueNames(GpuNames(records), records, registry_fingerprint(records))

    def made_up(self, resolver: Resolver, n: int, *, seed: int) -> list[Listing]:
        """Generate listings of the registry, 35 % of them no match."""
        from rerank.packs.gpu.bootstrap.generator import generate

        made = generate(resolver.table.records, n, seed=seed, nil_share=_NIL_SHARE)
        return [item.listing for item in made]

    def tried(self, resolver: Resolver, kind: str) -> CardFigures:
        """Measure a version on generated listings of models that nothing was trained on."""
        from rerank.lifecycle.drift import answer_distribution
        from rerank.packs.gpu.cards import measured

        metrics, listings = measured(resolver, kind)
        return CardFigures(metrics, answer_distribution(resolver, listings).as_json())

    def measures(self, source: Retriever) -> TitleReader:
        """Return what titles of cards are measured by."""
        from rerank.packs.gpu.cards import TitleReader

        return TitleReader.of_source(source)

    def read_gold(self, path: Path, source: CandidateSource, index: Manifest) -> list[GoldListing]:
        """Read a gold file; see `rerank.evaluation.gold.read_gold`."""
        from rerank.evaluation.gold import read_gold

        return read_gold(path)

    def settled_gold(self, store: Store, source: Retriever) -> list[GoldListing]:
        """Return what annotators settled on."""
        from rerank.annotation.agreement import read_settled
        from rerank.packs.gpu.training.labelling import gold_of_annotations

        with store.reading() as session:
            settled = read_settled(session)
        return gold_of_annotations(*settled, source)

    def kept_out(
        self, gold: Sequence[GoldListing], models: Sequence[RerankModel]
    ) -> list[GoldListing]:
        """Return all, or those of the test split where a model learnt from annotations."""
        from rerank.packs.gpu.training.labelling import is_kept_out

        taught = any("annotations" in model.parameters for model in models)
        return [item for item in gold if not taught or is_kept_out(item)]

    def measured_sets(self, source: Retriever, index: Manifest, n: int) -> MeasuredSets:
        """Return the shipped hard set, and generated listings of models nothing was trained on."""
        from rerank.evaluation.gold import shipped_sets
        from rerank.lifecycle.gates import GENERATED

        why_not = ""
        try:
            sets = shipped_sets(source.records, n)
        except InputError as exc:  # a registry so small that no model is kept out of training
            sets, why_not = shipped_sets(source.records, 0), str(exc)
        made_up = sets.pop(GENERATED, [])
        return MeasuredSets(sets, GENERATED, made_up, why_not)

    def promotion_settings(self) -> type[PromotionSettings]:
        """Return the settings of gates for cards."""
        from rerank.lifecycle.gates import PromotionSettings

        return PromotionSettings

    def instruments(self, resolver: Resolver, index: Manifest, *, baselines: bool) -> Instruments:
        """Return the routes to cards, plain rules beside them, and why answers are wrong."""
        from rerank.evaluation.baselines import default_baselines
        from rerank.evaluation.evaluate import Instruments, examine
        from rerank.packs.gpu.failures import failures

        retriever = cast("Retriever", resolver.source)
        return Instruments(
            records=retriever.records,
            registry_version=registry_fingerprint(retriever.records),
            baselines=default_baselines(retriever.records) if baselines else (),
            examine=partial(examine, resolver, retriever),
            explain=partial(failures, resolver, limit=_ALL_FAILURES),
        )

    def facts(self, source: Retriever) -> RegistryFacts:
        """Return what the registry knows of the models that gold listings name."""
        from rerank.evaluation.paired import RegistryFacts

        return RegistryFacts(source.records)

    def touched_since(
        self, folder: Path, version: str
    ) -> Callable[[Sequence[str]], Sequence[int]] | None:
        """Return what finds titles that GPUs added since may have touched."""
        from rerank.packs.gpu.retriever import touched_since

        return touched_since(folder, version)

    def recall(self, kind: str, folder: Path, workspace: Workspace) -> dict[str, Any]:
        """Measure recall on generated listings of models that nothing was trained on."""
        from rerank.packs.gpu.cards import part_recall

        return part_recall(kind, folder, workspace)


PACK = GpuDomain()
