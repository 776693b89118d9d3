"""The card of a model that was just trained: what it learnt from and how well it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from index.artifacts import Manifest
from index.errors import InputError
from index.shipped import shipped
from jobs.lifecycle.distributions import answer_distribution
from jobs.lifecycle.opening import check_fit, schema_of_features
from jobs.lifecycle.origin import code_version, generator_fingerprint, user_name
from jobs.lifecycle.version_folders import verified_manifest
from rerank.lifecycle.history import utc_text
from rerank.lifecycle.versions import Card, VersionRef

if TYPE_CHECKING:
    from index.records import Listing
    from index.retriever import Retriever
    from rerank.annotation.labelling import AnnotatedListings
    from rerank.resolver import Resolver

_LISTINGS, _LISTINGS_OF_A_CROSS_ENCODER = 1000, 100
_SAMPLES = 500
_SEED = 29_029  # of all versions, so that their figures are of the same listings
_CARD_PARAMETERS = ("training", "thresholds", "ranker_kind")


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a model was trained over.

    :param seed: of the training.
    """

    retriever: Retriever
    index: Manifest
    seed: int
    annotated: AnnotatedListings | None = None


def trained_card(
    draft: Path,
    kind: str,
    learnt: Learnt,
    *,
    parent: VersionRef | None,
    progress: Callable[[str, float], None] = lambda stage, share: None,
) -> Card:
    """Try a model that was just written and return its card.

    :param parent: what served when it was trained.
    :raises ArtifactError: if the model cannot be loaded.
    """
    from rerank.features.cues import CueReader
    from rerank.lifecycle.parity import make_reference
    from rerank.model import RerankModel
    from rerank.resolver import Resolver

    progress("describing the version", 0.0)
    manifest = verified_manifest(draft, kind)
    model = RerankModel.load(draft)
    check_fit(model, draft, learnt.index, draft)
    cues = CueReader.load(shipped("cues.yaml"))
    resolver = Resolver(learnt.retriever, model, cues, index_version=learnt.index.fingerprint)
    metrics, listings = _measured(resolver, kind)
    distribution = answer_distribution(learnt.retriever, resolver, listings)
    reference = make_reference(resolver, learnt.retriever.records, seed=learnt.seed)
    return Card(
        kind=kind,
        version=manifest.fingerprint,
        created_at=utc_text(),
        created_by=user_name(),
        code_version=code_version(),
        parent=None if parent is None else parent.version,
        parameters={
            name: manifest.parameters[name]
            for name in _CARD_PARAMETERS
            if name in manifest.parameters
        },
        data=_data(manifest.parameters, learnt),
        feature_schema=schema_of_features(),
        metrics=metrics,
        files=manifest.files,
        reference=reference.as_dict(),
        distribution=distribution.as_json(),
    )


def _measured(resolver: Resolver, kind: str) -> tuple[dict[str, Any], Sequence[Listing]]:
    """Return figures with 95 % intervals on generated listings of unseen models, and those."""
    from rerank.bootstrap import generate
    from rerank.evaluation.gold import bootstrap_gold
    from rerank.evaluation.intervals import Resampling
    from rerank.evaluation.measure import figures_of
    from rerank.evaluation.outcomes import judge

    n = _LISTINGS_OF_A_CROSS_ENCODER if kind == "cross-encoder" else _LISTINGS
    records = resolver.table.records
    try:
        gold = bootstrap_gold(records, n, _SEED)
    except InputError:  # so small a registry has no models for tests: nothing is unseen
        return {}, [item.listing for item in generate(records, n, seed=_SEED)]
    listings = [item.listing for item in gold]
    outcomes = judge(gold, resolver.resolve_many(listings))
    resampling = Resampling.draw([item.group for item in gold], seed=_SEED, samples=_SAMPLES)
    figures = {name: each.as_dict() for name, each in figures_of(outcomes, resampling).items()}
    measured_on = {"listings": n, "seed": _SEED, "of": "generated listings of unseen models"}
    return {"measured_on": measured_on, "figures": figures}, listings


def _data(parameters: Mapping[str, Any], learnt: Learnt) -> dict[str, Any]:
    said = learnt.index.parameters
    data = {
        "registry": said["registry_fingerprint"],
        "index": learnt.index.fingerprint,
        "embedder": said["embedder_fingerprint"],
        "generator": generator_fingerprint(),
        "seed": learnt.seed,
        "listings": parameters.get("listings", {}),
    }
    if learnt.annotated:
        data["annotations"] = learnt.annotated.summary()
    return data
