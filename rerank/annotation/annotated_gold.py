"""What annotators settled, as gold to measure on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from rerank.annotation.consensus import Consensus
from rerank.annotation.labelling import labelled_of, words_of
from rerank.bootstrap import LabelledListing
from rerank.evaluation.gold import GoldKind, GoldListing
from rerank.retrieval import Retriever
from rerank.splits import Split, split_of
from rerank.store.annotations import Verdict
from rerank.store.listings import StoredListing

_KINDS = {
    Verdict.MATCH: GoldKind.MATCH,
    Verdict.NONE_OF_THESE: GoldKind.NIL,
    Verdict.NOT_GPU: GoldKind.NIL,
    Verdict.UNSURE: GoldKind.AMBIGUOUS,
}


def gold_of_annotations(
    settled: Iterable[Consensus], listings: Mapping[str, StoredListing], retriever: Retriever
) -> list[GoldListing]:
    """Return the annotated listings as gold; those without text are left out.

    Disputed answers stay, marked, so that errors on them are put down to the label. A model that
    the registry lacks stays too: no system can name it.

    :param listings: by listing_id.
    """
    settled = [answer for answer in settled if answer.listing_id in listings]
    texts = {key: item.listing for key, item in listings.items()}
    labelled, _ = labelled_of(
        [replace(answer, disputed=False) for answer in settled], texts, retriever
    )
    by_id = {item.listing.listing_id: item for item in labelled}
    memory = {record.gpu_id: record.memory_gb for record in retriever.table.records}
    forms = {record.gpu_id: record.form_factor for record in retriever.table.records}
    return [
        _gold(answer, listings[answer.listing_id], by_id.get(answer.listing_id), memory, forms)
        for answer in settled
    ]


def is_kept_out(gold: GoldListing) -> bool:
    """Tell whether training on annotations leaves a listing out: its side is that of the test.

    The side is that of the model, or of the title's words where there is none, as in
    `rerank.annotation.labelling`.
    """
    return split_of(gold.gold_models[0] if gold.gold_models else words_of(gold.title)) is Split.TEST


def _gold(
    answer: Consensus,
    stored: StoredListing,
    labelled: LabelledListing | None,
    memory: Mapping[str, float],
    forms: Mapping[str, str],
) -> GoldListing:
    listing = stored.listing
    gpu_id = labelled.gpu_id if labelled else None
    return GoldListing(
        listing.listing_id,
        listing.title,
        listing.vendor,
        _KINDS[answer.verdict],
        gold_models=(answer.model,) if answer.model else (),
        gold_memory_gb=memory[gpu_id] if labelled and gpu_id and labelled.memory_stated else None,
        gold_form=forms[gpu_id] if labelled and gpu_id and labelled.form_stated else "",
        description=listing.description,
        shop=stored.shop,
        language=stored.language,
        disputed=answer.disputed,
    )
