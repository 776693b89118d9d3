"""Query packs out of labelled listings: what fits them above what was retrieved and does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rerank.bootstrap import LabelledListing
from rerank.cross_encoder.pair_texts import gpu_text, query_text
from rerank.cross_encoder.query_packs import Document, QueryPack
from rerank.resolver import Resolver
from rerank.splits import Split, split_of
from rerank.training_evidence import relevance_of

_BATCH = 1000
_EXACT = 2  # the grade of a variant that fits all a listing states
_DOMAIN = "gpu"


@dataclass(frozen=True, slots=True)
class PacksBuilt:
    """Packs by their side, and what gave none.

    :param kept_out: listings of models that are kept for tests.
    :param without_match: listings that sell no GPU of the registry, so that nothing fits them.
    :param on_both_sides: validation packs left out, whose text is that of a training pack.
    """

    train: list[QueryPack]
    valid: list[QueryPack]
    kept_out: int
    without_match: int
    on_both_sides: int


def build_packs(
    labelled: Sequence[LabelledListing], resolver: Resolver, *, negatives: int = 19, style: str
) -> PacksBuilt:
    """Build a pack for each listing that sells a GPU, on the side of its model's split.

    Positives are the true variant and each retrieved one that fits all the listing states;
    negatives the other candidates in the resolver's order, so that what it confuses comes first.
    Models of the split TEST are kept out. Texts that hide which of two models is sold, and so
    stand on both sides, are left out of validation.

    :param negatives: at most, of each listing.
    :param style: where the listings come from; noted in each pack's ``meta``.
    """
    sold = [item for item in labelled if item.model is not None]
    taught = [item for item in sold if split_of(item.model or "") is not Split.TEST]
    sides: dict[bool, list[QueryPack]] = {False: [], True: []}
    for start in range(0, len(taught), _BATCH):
        chunk = taught[start : start + _BATCH]
        for item, pack in zip(chunk, _packs(chunk, resolver, negatives, style), strict=True):
            sides[split_of(item.model or "") is Split.VALIDATION].append(pack)
    queries = {pack.query_text for pack in sides[False]}
    valid = [pack for pack in sides[True] if pack.query_text not in queries]
    return PacksBuilt(
        sides[False],
        valid,
        len(sold) - len(taught),
        len(labelled) - len(sold),
        len(sides[True]) - len(valid),
    )


def _packs(
    labelled: Sequence[LabelledListing], resolver: Resolver, negatives: int, style: str
) -> list[QueryPack]:
    table = resolver.table
    evidence = resolver.evidence([item.listing for item in labelled])
    batch = evidence.candidates
    grades = relevance_of(labelled, batch.listing, batch.record, table)
    order = np.lexsort((table.tie_rank[batch.record], -evidence.scores, batch.listing))
    by_id = {record.gpu_id: record for record in table.records}
    packs = []
    for at, item in enumerate(labelled):
        rows = order[batch.offsets[at] : batch.offsets[at + 1]]
        truth = by_id[item.gpu_id or ""]
        fitting = [truth, *(table.records[batch.record[r]] for r in rows if grades[r] == _EXACT)]
        positives = {r.gpu_id: Document(r.gpu_id, gpu_text(r)) for r in fitting}
        texts = {document.text for document in positives.values()}
        others = [table.records[batch.record[r]] for r in rows if grades[r] < _EXACT]
        wrong = [Document(record.gpu_id, gpu_text(record)) for record in others]
        kept = [d for d in wrong if d.doc_id not in positives and d.text not in texts]
        packs.append(
            QueryPack(
                query_text(item.listing),
                tuple(positives.values()),
                tuple(kept[:negatives]),
                source_chunk=item.listing.listing_id,
                meta={"domain": _DOMAIN, "prompt_style": style, "model": item.model},
            )
        )
    return packs
