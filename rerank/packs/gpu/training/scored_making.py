"""Make scored queries of generated listings with their retrieved candidates.

Labels come from the true variant's record, never from the features that a ranker reads:

    compliance   0 for another chip vendor or number, which is another product; else agreement with
                 what the listing states, as a weighted share of number, suffixes, line, memory
                 where it states it, and form (unstated, an ordinary card where there is one)
    conflict     1 if a fact of the listing contradicts the candidate: another number, suffix, line
                 or chip vendor, another memory size or form than it states; else 0
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rerank.evaluation.gold import Split, models_of
from rerank.index.records import DEFAULT_FORM_FACTOR, GpuRecord, LabelledListing, Listing
from rerank.packs.gpu.bootstrap.generator import generate
from rerank.packs.gpu.candidates import CANDIDATE_FEATURES
from rerank.packs.gpu.naming import parse_model
from rerank.packs.gpu.stated_words import form_family
from rerank.packs.gpu.training.evidence import Prepared, Preparer
from rerank.rankers.inputs import GPU_VECTOR, LISTING_VECTOR
from rerank.rankers.scored import ScoredSet

Floats = NDArray[np.float32]
# A wrong form or line word is often the same product in other words, a wrong suffix never.
FACT_WEIGHTS = {"number": 1.0, "suffix": 2.0, "memory": 2.0, "line": 1.0, "form": 1.0}
_SPLITS = (Split.RANKER, Split.VALIDATION, Split.TEST)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is true of a candidate: compliance from 0 to 1, conflict 0 or 1."""

    compliance: float
    conflict: float


def generated_listings(records: Sequence[GpuRecord], n: int, *, seed: int) -> list[LabelledListing]:
    """Generate listings that sell a GPU of a model whose similarity the embedder was not taught."""
    models = [model for split in _SPLITS for model in models_of(records, split)]
    return generate(records, n, seed=seed, nil_share=0.0, models=models)


def judge(
    item: LabelledListing, truth: GpuRecord, candidate: GpuRecord, plain_models: Collection[str]
) -> Judgement:
    """Hold a candidate against what a listing states of the variant it sells.

    :param plain_models: models that come as an ordinary PCIe card.
    """
    own, other = parse_model(truth.model), parse_model(candidate.model)
    agrees = {
        "number": candidate.vendor == truth.vendor
        and (own.prefix, own.core) == (other.prefix, other.core),
        "suffix": own.suffix == other.suffix,
        "line": own.line == other.line,
    }
    contradicts = candidate.model != truth.model
    if item.memory_stated:
        agrees["memory"] = candidate.memory_gb == truth.memory_gb
        contradicts |= not agrees["memory"]
    if item.form_stated:
        agrees["form"] = form_family(candidate.form_factor) == form_family(truth.form_factor)
        contradicts |= not agrees["form"]
    else:
        ordinary = candidate.form_factor == DEFAULT_FORM_FACTOR
        agrees["form"] = ordinary or candidate.model not in plain_models
    if not agrees["number"]:
        return Judgement(0.0, 1.0)
    total = sum(FACT_WEIGHTS[fact] for fact in agrees)
    share = sum(FACT_WEIGHTS[fact] for fact, agreed in agrees.items() if agreed) / total
    return Judgement(share, float(contradicts))


def gpu_candidates(
    preparer: Preparer,
    labelled: Sequence[LabelledListing],
    encode: Callable[[Sequence[Listing]], Floats],
    gpu_vectors: Floats,
    *,
    progress: Callable[[float], None] = lambda share: None,
) -> Iterator[ScoredSet]:
    """Yield generated listings with their retrieved candidates, some thousand queries at a time.

    The canonical id is the model sold, the domain its chip vendor.

    :param encode: embeds listings, shape (listings, width).
    :param gpu_vectors: shape (records, width), of the registry's records.
    """
    by_id = {record.gpu_id: record for record in preparer.table.records}
    plain = {r.model for r in by_id.values() if r.form_factor == DEFAULT_FORM_FACTOR}
    for prepared in preparer.batches(labelled, progress=progress):
        truths = [by_id[item.gpu_id or ""] for item in prepared.labelled]
        listings = encode([item.listing for item in prepared.labelled])
        yield _scored(prepared, preparer, truths, plain, (listings, gpu_vectors))


def _scored(
    prepared: Prepared,
    preparer: Preparer,
    truths: Sequence[GpuRecord],
    plain: Collection[str],
    vectors: tuple[Floats, Floats],
) -> ScoredSet:
    batch, records = prepared.candidates, preparer.table.records
    judged = [
        judge(prepared.labelled[at], truths[at], records[row], plain)
        for at, row in zip(batch.listing.tolist(), batch.record.tolist(), strict=True)
    ]
    return ScoredSet(
        query_id=tuple(item.listing.listing_id for item in prepared.labelled),
        canonical_id=tuple(truth.model for truth in truths),
        domain=tuple(truth.vendor for truth in truths),
        text=tuple(item.listing.title for item in prepared.labelled),
        offsets=batch.offsets,
        candidate_id=tuple(records[row].gpu_id for row in batch.record),
        compliance=np.array([each.compliance for each in judged], np.float64),
        conflict=np.array([each.conflict for each in judged], np.float64),
        feature_names=CANDIDATE_FEATURES,
        features=prepared.features,
        query_vectors={LISTING_VECTOR: vectors[0]},
        candidate_vectors={GPU_VECTOR: vectors[1][batch.record]},
    )
