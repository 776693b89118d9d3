"""Annotations as data: what people settled, as labelled listings to train on, and as gold.

A model's listings are all on one side, so that what is measured stays unseen
(`rerank.evaluation.gold`):

- matches of a RANKER or EMBEDDER model teach the ranker and the offer classifier. Generated
  listings of EMBEDDER models do not, because the embedder has read their like and their
  similarities are too good; a person's answer is too dear to waste three of ten for that, and the
  ranker reads similarity in coarse steps that overrule no name. The offer classifier learns from
  the same listings as the ranker: few as they are beside the generated ones, a ranker is not sure
  of them for having seen them.
- matches of a VALIDATION model fit the calibrator and the thresholds.
- matches of a TEST model are not used at all.
- listings without a match have no model. Their side is that of the words of their title, numbers
  left out, so that near-identical ones are on one side; they teach the offer classifier.

Listings that people dispute or are unsure of are not used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from rerank.annotation.agreement import Consensus
from rerank.annotation.queue import DEFAULT_WEIGHT
from rerank.evaluation.gold import GoldKind, GoldListing, Split, split_of
from rerank.index.records import GpuRecord, LabelledListing, Listing
from rerank.index.text import normalise, runs
from rerank.packs.gpu.lexicon import Lexicon, TitleReading
from rerank.packs.gpu.stated_words import form_family, stated_forms
from rerank.ranking import CandidateSource
from rerank.resolution import same_size
from rerank.store.rows import StoredListing, Verdict

_PLAIN_FORM = "PCIe"
_BATCH = 2000
_MAX_NAMES = 20


@dataclass(frozen=True, slots=True)
class AnnotatedListings:
    """People's answers to train on beside generated listings; false if there are none.

    :param ranker: matches, for LambdaRank.
    :param offer: matches and others, for the offer classifier.
    :param validation: matches and others, for the calibrator and the thresholds.
    :param kept_out: number of those whose side is TEST.
    :param weight: how many generated listings each counts as.
    """

    ranker: Sequence[LabelledListing] = ()
    offer: Sequence[LabelledListing] = ()
    validation: Sequence[LabelledListing] = ()
    kept_out: int = 0
    weight: float = DEFAULT_WEIGHT

    def __bool__(self) -> bool:
        return bool(self.ranker or self.offer or self.validation)

    def weights(self, generated: int, annotated: int) -> NDArray[np.float64] | None:
        """Return a weight for each row, the generated first; None if no row is annotated."""
        if not annotated:
            return None
        return np.repeat([1.0, self.weight], [generated, annotated])

    def summary(self) -> dict[str, Any]:
        """Return what a manifest says of them: how many, their weight, their fingerprint."""
        return {
            "listings": len(self.offer) + len(self.validation),
            "ranker": len(self.ranker),
            "offer": len(self.offer),
            "validation": len(self.validation),
            "kept_out": self.kept_out,
            "weight": self.weight,
            "fingerprint": self._fingerprint(),
        }

    def _fingerprint(self) -> str:
        """Return a hash of all listings used and their labels, whatever their order."""
        used = sorted(
            (
                item.listing.listing_id,
                item.listing.title,
                item.listing.vendor,
                item.listing.description,
                item.gpu_id or "",
                item.memory_stated,
                item.form_stated,
            )
            for item in (*self.offer, *self.validation)
        )
        return hashlib.sha256(json.dumps(used).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Unusable:
    """Settled answers that cannot be trained on.

    :param unknown: models and gpu_ids that the registry of the index lacks, each once, sorted.
    :param of_unknown: how many listings were left out for that.
    :param without_text: how many listings have an answer but no text.
    """

    unknown: tuple[str, ...] = ()
    of_unknown: int = 0
    without_text: int = 0


def labelled_of(
    settled: Iterable[Consensus], listings: Mapping[str, Listing], retriever: CandidateSource
) -> tuple[list[LabelledListing], Unusable]:
    """Turn settled answers into labelled listings; disputed and unsure ones are left out.

    What a listing states is read from its title. Where nobody named the variant, or it is one the
    title contradicts, the truth is the model's variant that fits the title best.

    :param listings: by listing_id.
    :returns: the labelled listings in the order of the answers, and what could not be used.
    """
    sure = [c for c in settled if not c.disputed and c.verdict is not Verdict.UNSURE]
    present = [c for c in sure if c.listing_id in listings]
    variants = _variants_by_model(retriever)
    known = {record.gpu_id: record.model for record in retriever.table.records}
    faults = [fault for c in present if (fault := _unknown_name(c, variants, known))]
    usable = [c for c in present if not _unknown_name(c, variants, known)]
    texts = [listings[c.listing_id] for c in usable]
    labelled = [
        _labelled(c, listing, reading, variants)
        for c, listing, reading in zip(usable, texts, _readings(texts, retriever), strict=True)
    ]
    absent = len(sure) - len(present)
    return labelled, Unusable(tuple(sorted(set(faults))), len(faults), absent)


def on_sides(
    labelled: Iterable[LabelledListing], *, weight: float = DEFAULT_WEIGHT, all_teach: bool = False
) -> AnnotatedListings:
    """Give each listing to what may learn from its model, or from its title if it has none.

    :param all_teach: let TEST models teach like any other, where what is measured is unseen anyway.
    """
    sides = [(item, side_of(item)) for item in labelled]
    kept_out = 0 if all_teach else sum(side is Split.TEST for _, side in sides)
    teaching = [pair for pair in sides if all_teach or pair[1] is not Split.TEST]
    taught = [item for item, side in teaching if side is not Split.VALIDATION]
    validation = [item for item, side in teaching if side is Split.VALIDATION]
    matches = [item for item in taught if item.model is not None]
    return AnnotatedListings(matches, taught, validation, kept_out, weight)


def side_of(item: LabelledListing) -> Split:
    """Return the split of the model a listing sells, or else that of its title's words."""
    return split_of(item.model if item.model is not None else words_of(item.listing.title))


def words_of(title: str) -> str:
    """Return the words of a title, sorted, without numbers: what near-identical titles share.

    The normalised title where there are no words.
    """
    text = normalise(title)
    words = {run.text for run in runs(text) if not run.text.isdigit()}
    return " ".join(sorted(words)) or text


def _readings(listings: Sequence[Listing], retriever: CandidateSource) -> Iterator[TitleReading]:
    """Yield what each title shows, by the lexicon that the features are read with."""
    for start in range(0, len(listings), _BATCH):
        yield from retriever.retrieve(listings[start : start + _BATCH], n_candidates=1).readings


def _variants_by_model(retriever: CandidateSource) -> dict[str, list[GpuRecord]]:
    """Return each model's variants, the most common first."""
    table = cast("Lexicon", retriever.table)
    found: dict[str, list[GpuRecord]] = {}
    for row in np.argsort(table.variant_rank, kind="stable").tolist():
        found.setdefault(table.records[row].model, []).append(table.records[row])
    return found


def _unknown_name(
    answer: Consensus, variants: Mapping[str, object], model_of: Mapping[str, str]
) -> str:
    """Return the name in an answer that the registry lacks, or an empty text."""
    if answer.model is not None and answer.model not in variants:
        return answer.model
    if answer.gpu_id is not None and model_of.get(answer.gpu_id) != answer.model:
        return answer.gpu_id
    return ""


def _labelled(
    answer: Consensus,
    listing: Listing,
    reading: TitleReading,
    variants: Mapping[str, Sequence[GpuRecord]],
) -> LabelledListing:
    if answer.model is None:
        return LabelledListing(listing, "nil", None, None, False, False, None, "annotation")
    of_model = variants[answer.model]
    forms = stated_forms(reading.text)
    named = next((r for r in of_model if r.gpu_id == answer.gpu_id), None)
    truth = named or max(of_model, key=lambda record: _fit(record, reading, forms))
    # A person who picks another form than the ordinary one has read it somewhere.
    chosen = named is not None and truth.form_factor != _PLAIN_FORM
    return LabelledListing(
        listing,
        "match",
        truth.gpu_id,
        truth.model,
        memory_stated=_states(reading, truth.memory_gb),
        form_stated=chosen or form_family(truth.form_factor) in forms,
        mentions=None,
        template="annotation",
    )


def _fit(record: GpuRecord, reading: TitleReading, forms: set[str]) -> tuple[bool, bool, bool]:
    """Return how well a variant fits a title: memory, form, and being an ordinary card."""
    plain = record.form_factor == _PLAIN_FORM
    form = form_family(record.form_factor) in forms if forms else plain
    return _states(reading, record.memory_gb), form, plain


def _states(reading: TitleReading, memory_gb: float) -> bool:
    sizes = np.array(reading.memory_gb, np.float32)
    return bool(np.any(same_size(sizes, np.float32(memory_gb))))


def read_annotated(
    path: Path,
    retriever: CandidateSource,
    *,
    weight: float,
    warn: Callable[[str], None] = lambda message: None,
) -> AnnotatedListings | None:
    """Read what annotators settled on from a store; None if there is none.

    :param path: of the store, there or not.
    :param weight: how many generated listings each annotated one counts as.
    :param warn: is told of annotations that cannot be used.
    :raises StoreError: if the store is damaged, of a newer release or being written to for long.
    """
    from rerank.annotation.agreement import read_settled
    from rerank.store.database import Store

    if not path.exists():
        return None
    with Store(path).reading() as session:
        settled, stored = read_settled(session)
    listings = {key: item.listing for key, item in stored.items()}
    labelled, unusable = labelled_of(settled, listings, retriever)
    if unusable.of_unknown:
        warn(
            f"left out {unusable.of_unknown} annotated listings: the index knows no "
            f"{_shortened(unusable.unknown)}"
        )
    if unusable.without_text:
        warn(
            f"left out {unusable.without_text} annotated listings whose text is not in the store; "
            "add it with `rerank store import`"
        )
    return on_sides(labelled, weight=weight)


def _shortened(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MAX_NAMES])
    return f"{shown} and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else shown


_KINDS = {
    Verdict.MATCH: GoldKind.MATCH,
    Verdict.NONE_OF_THESE: GoldKind.NIL,
    Verdict.NOT_GPU: GoldKind.NIL,
    Verdict.SEVERAL: GoldKind.NIL,
    Verdict.UNSURE: GoldKind.AMBIGUOUS,
}


def gold_of_annotations(
    settled: Iterable[Consensus], listings: Mapping[str, StoredListing], retriever: CandidateSource
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
    records = {record.gpu_id: record for record in retriever.table.records}
    return [
        _gold(answer, listings[answer.listing_id], by_id.get(answer.listing_id), records)
        for answer in settled
    ]


def is_kept_out(gold: GoldListing) -> bool:
    """Tell whether training on annotations leaves a listing out: its side is that of the test.

    The side is that of the model, or of the title's words where there is none, as of `side_of`.
    """
    return split_of(gold.gold_models[0] if gold.gold_models else words_of(gold.title)) is Split.TEST


def _gold(
    answer: Consensus,
    stored: StoredListing,
    labelled: LabelledListing | None,
    records: Mapping[str, GpuRecord],
) -> GoldListing:
    listing = stored.listing
    truth = records[labelled.gpu_id] if labelled and labelled.gpu_id else None
    return GoldListing(
        listing.listing_id,
        listing.title,
        listing.vendor,
        _KINDS[answer.verdict],
        gold_models=(answer.model,) if answer.model else (),
        gold_memory_gb=truth.memory_gb if labelled and truth and labelled.memory_stated else None,
        gold_form=truth.form_factor if labelled and truth and labelled.form_stated else "",
        description=listing.description,
        shop=stored.shop,
        language=stored.language,
        disputed=answer.disputed,
    )
