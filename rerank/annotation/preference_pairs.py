"""Pairwise preferences: saving sound ones, those of generated listings, those answers imply.

A candidate of a listing is an item whose metrics are the features the ranker reads.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rerank.annotation.agreement import adjudication_of, by_listing, label_of
from rerank.domain import GPU, card_tools, domain_named
from rerank.evaluation.gold import Split, models_of
from rerank.index.errors import FaultsError, InputError
from rerank.index.records import N_CANDIDATES, GpuRecord, LabelledListing, Listing
from rerank.rankers.pairs import CANDIDATE_TYPE, candidate_reference
from rerank.ranking import CandidateBatch, Evidence, ModelTable
from rerank.resolver import Resolver
from rerank.store.database import Session
from rerank.store.rows import (
    Annotation,
    PairSource,
    PreferenceItem,
    PreferenceLabel,
    PreferencePair,
    read_items,
    read_pairs,
    write_items,
    write_pairs,
)

INDEX_PREFIX = "index:"
"""Opens the embedding_id of a candidate: the vector of a gpu_id in the index that serves."""

Similarity = Callable[[Sequence[Listing], Sequence[GpuRecord]], NDArray[np.float32]]
"""Returns the cosine, -1 to 1, of each listing and the GPU in the same place."""

Items = dict[tuple[str, str], PreferenceItem]
"""Candidates by (listing_id, gpu_id)."""

_BATCH = 500
_SHOWN = 60
_OTHER = "metrics or another embedding"


class PreferenceConflictError(FaultsError):
    """Pairs that contradict stored ones, or each other."""


@dataclass(frozen=True, slots=True)
class PairsSaved:
    """What saving pairs changed, in pairs."""

    added: int
    replaced: int
    unchanged: int

    def line(self) -> str:
        """Return it as a line of text."""
        return f"{self.added} added, {self.replaced} replaced, {self.unchanged} there already"


def save_pairs(
    session: Session, pairs: Sequence[PreferencePair], *, overwrite: bool = False
) -> PairsSaved:
    """Write pairs and their items; all or nothing.

    A pair that is stored with the same preference stays as it is, its source and time included.
    What an item is given without (metrics, embedding, embedding_id) stays as it is stored.

    :param overwrite: replace what differs from the pairs given instead of raising.
    :raises FaultsError: if pairs are not sound; see `check_pairs`.
    :raises PreferenceConflictError: if pairs given contradict each other, or if stored ones do
        and ``overwrite`` is not set: another label, or an item with other metrics or embedding.
    """
    check_pairs(pairs)
    given, items = _once(pairs), _items_once(pairs)
    stored = {pair.pair_id: pair for pair in read_pairs(session, pair_ids=list(given))}
    known = read_items(session, list(items))
    changed = [key for key, pair in given.items() if key in stored and _differs(pair, stored[key])]
    items_changed = [key for key, item in items.items() if _changes(item, known.get(key))]
    if not overwrite:
        contradicted = [key for key in changed if given[key].preferred != stored[key].preferred]
        _refuse(
            [_contradiction(given[key], stored[key]) for key in contradicted]
            + [f"{_shown(items[key])}: stored with other {_OTHER}" for key in items_changed],
            "nothing was saved; --replace takes the new ones",
        )
    write_items(
        session,
        [_merged(items[key], known[key]) for key in items_changed]
        + [item for key, item in items.items() if key not in known],
    )
    fresh = [key for key in given if key not in stored]
    replaced = changed if overwrite else []
    write_pairs(session, [given[key] for key in (*fresh, *replaced)])
    return PairsSaved(len(fresh), len(replaced), len(given) - len(fresh) - len(replaced))


def check_pairs(pairs: Iterable[PreferencePair]) -> None:
    """Check that pairs can be stored and learned from.

    :raises FaultsError: with all faults: an empty type or reference, text that is no Unicode,
        equal items, items of two types, a label or similarity out of range, numbers that are not
        finite.
    """
    faults = [fault for pair in pairs for fault in _pair_faults(pair)]
    if faults:
        raise FaultsError("preference pairs", list(dict.fromkeys(faults)))


def _pair_faults(pair: PreferencePair) -> list[str]:
    a, b = pair.a, pair.b
    faults = [*_item_faults(a), *_item_faults(b)]
    if a.item_type != b.item_type:
        faults.append(f"expected two items of one type, got {_shown(a)} and {_shown(b)}")
    elif a.reference_id == b.reference_id:
        faults.append(f"expected two different items, got {_shown(a)} twice")
    if pair.label not in (-1, 0, 1):
        faults.append(f"expected a label of 1, 0 or -1, got {pair.label!r}")
    if pair.similarity is not None and not -1 <= pair.similarity <= 1:
        faults.append(f"expected a similarity from -1 to 1, got {pair.similarity!r}")
    texts = [*pair.reason_tags, pair.annotator]
    return faults + [f"{_clipped(text)}: no Unicode text" for text in texts if not _is_text(text)]


def _item_faults(item: PreferenceItem) -> list[str]:
    texts = [item.item_type, item.reference_id, item.embedding_id or "", *item.metrics]
    faults = [f"{_clipped(text)}: no Unicode text" for text in texts if not _is_text(text)]
    if not item.item_type.strip() or not item.reference_id.strip():
        faults.append(f"{_shown(item)}: expected a type and a reference, found an empty one")
    faults += [
        f"{_shown(item)}: metric {name!r} is {value}, expected a finite number"
        for name, value in item.metrics.items()
        if not math.isfinite(value)
    ]
    vector = item.embedding
    if vector is not None and not (vector and all(map(math.isfinite, vector))):
        faults.append(f"{_shown(item)}: expected an embedding of finite numbers")
    return faults


def _once(pairs: Iterable[PreferencePair]) -> dict[str, PreferencePair]:
    """Return each pair once, by id.

    :raises PreferenceConflictError: if one is given with two preferences.
    """
    given: dict[str, PreferencePair] = {}
    conflicts = []
    for pair in pairs:
        first = given.setdefault(pair.pair_id, pair)
        if first.preferred != pair.preferred:
            conflicts.append(_contradiction(pair, first))
    _refuse(conflicts, "nothing was saved; state each pair once")
    return given


def _items_once(pairs: Iterable[PreferencePair]) -> dict[str, PreferenceItem]:
    """Return each item once, by id, its embedding rounded as it is stored.

    :raises PreferenceConflictError: if one is given with two contents.
    """
    items: dict[str, PreferenceItem] = {}
    conflicts = []
    for item in (item for pair in pairs for item in (pair.a, pair.b)):
        if item.embedding is not None:
            item = replace(item, embedding=tuple(np.asarray(item.embedding, np.float32).tolist()))
        if _changes(item, items.setdefault(item.item_id, item)):
            conflicts.append(f"{_shown(item)}: given twice with other {_OTHER}")
    _refuse(conflicts, "nothing was saved; give each item one content")
    return items


def _refuse(conflicts: Sequence[str], remedy: str) -> None:
    if conflicts:
        heading = f"conflicts with what was stated before ({remedy})"
        raise PreferenceConflictError(heading, conflicts)


def _contradiction(pair: PreferencePair, before: PreferencePair) -> str:
    who = f" by {_clipped(before.annotator)}" if before.annotator else ""
    return f"{_sentence(pair)}, but stated before{who} ({before.source.value}): {_sentence(before)}"


def _sentence(pair: PreferencePair) -> str:
    words = {1: "is better than", 0: "equals", -1: "is worse than"}[pair.label]
    return f"{_shown(pair.a)} {words} {_shown(pair.b)}"


def _shown(item: PreferenceItem) -> str:
    return f"{_clipped(item.item_type)} {_clipped(item.reference_id)}"


def _clipped(text: str) -> str:
    """Return text in quotes, on one line, cut if it is long."""
    return repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}..."


def _differs(pair: PreferencePair, stored: PreferencePair) -> bool:
    """Tell whether a statement says anything else than the stored one; who and when aside."""
    given = (pair.preferred, pair.reason_tags, pair.similarity)
    return given != (stored.preferred, stored.reason_tags, stored.similarity)


def _changes(item: PreferenceItem, stored: PreferenceItem | None) -> bool:
    """Tell whether what is given of an item differs from what is stored."""
    return stored is not None and _merged(item, stored) != stored


def _merged(item: PreferenceItem, stored: PreferenceItem) -> PreferenceItem:
    """Return the stored item with what is given of the new one."""
    return replace(
        stored,
        metrics=item.metrics or stored.metrics,
        embedding=item.embedding or stored.embedding,
        embedding_id=item.embedding_id or stored.embedding_id,
    )


def _is_text(text: str) -> bool:
    # half a surrogate pair, or an argument that is no UTF-8
    return not any("\ud800" <= char <= "\udfff" for char in text)


def candidate_items(
    resolver: Resolver, listings: Sequence[Listing], wanted: Mapping[str, Collection[str]]
) -> Items:
    """Return items of retrieved candidates.

    :param wanted: gpu_ids by listing_id; one that is not among the first candidates of its
        listing is left out; see `added_items` for those.
    """
    items: Items = {}
    records = resolver.table.records
    for start in range(0, len(listings), _BATCH):
        chunk = listings[start : start + _BATCH]
        batch = resolver.source.retrieve(chunk, n_candidates=N_CANDIDATES)
        pairs = enumerate(zip(batch.listing.tolist(), batch.record.tolist(), strict=True))
        also = [
            row
            for row, (at, number) in pairs
            if records[number].gpu_id in wanted.get(chunk[at].listing_id, ())
        ]
        evidence = resolver.weigh(chunk, batch, also=also)
        items |= _items_of(evidence, resolver.table, chunk, wanted)
    return items


def _items_of(
    evidence: Evidence,
    table: ModelTable,
    listings: Sequence[Listing],
    wanted: Mapping[str, Collection[str]],
) -> Items:
    """Return the wanted items out of the evidence on listings."""
    batch = evidence.candidates
    keys = (
        (listings[at].listing_id, table.records[number].gpu_id)
        for at, number in zip(batch.listing.tolist(), batch.record.tolist(), strict=True)
    )
    return {
        key: _item(*key, features=evidence.features[row])
        for row, key in enumerate(keys)
        if key[1] in wanted.get(key[0], ())
    }


def added_items(
    resolver: Resolver, missing: Sequence[tuple[Listing, str]], similarity: Similarity
) -> Items:
    """Return items of GPUs that are not among their listing's candidates.

    Each GPU is judged behind the listing's first candidates, without the others that are added,
    so that its features depend on nothing else that is asked for.

    :param missing: listings with a gpu_id each; one that the registry lacks is left out.
    """
    row_of = {record.gpu_id: row for row, record in enumerate(resolver.table.records)}
    known = [(listing, gpu_id) for listing, gpu_id in missing if gpu_id in row_of]
    items: Items = {}
    for start in range(0, len(known), _BATCH):
        chunk = known[start : start + _BATCH]
        listings = [listing for listing, _ in chunk]
        rows = np.array([row_of[gpu_id] for _, gpu_id in chunk], np.int64)
        cosines = similarity(listings, [resolver.table.records[row] for row in rows.tolist()])
        retrieved = resolver.evidence(listings, n_candidates=N_CANDIDATES).candidates
        evidence = resolver.judge(listings, _with_one_more(retrieved, rows, cosines))
        last = evidence.candidates.offsets[1:] - 1
        for (listing, gpu_id), features in zip(chunk, evidence.features[last], strict=True):
            key = (listing.listing_id, gpu_id)
            items[key] = _item(*key, features=features)
    return items


def _with_one_more(
    candidates: CandidateBatch, record: NDArray[np.int64], similarity: NDArray[np.float32]
) -> CandidateBatch:
    """Return candidates with one more behind those of each listing: shapes (listings,).

    It stands for itself, not among the variants of its model: it is described, not answered.
    """
    ends = candidates.offsets[1:]
    pair = int(candidates.pair.max(initial=-1)) + 1 + np.arange(len(ends))
    return replace(
        candidates,
        offsets=candidates.offsets + np.arange(len(candidates.offsets)),
        record=np.insert(candidates.record, ends, record),
        similarity=np.insert(candidates.similarity, ends, similarity),
        shortlist=np.insert(candidates.shortlist, ends, similarity),
        listing=np.insert(candidates.listing, ends, np.arange(len(ends))),
        pair=np.insert(candidates.pair, ends, pair),
        place=np.insert(candidates.place, ends, 0),
        variant_probability=np.insert(candidates.variant_probability, ends, 0.0),
    )


_LABELS: tuple[PreferenceLabel, ...] = (1, -1, 0)
BOOTSTRAP_PREFIX = "bootstrap-"
"""Opens the listing_id of a generated listing: ``bootstrap-SEED-gNUMBER``."""

_REFERENCE = re.compile(rf"{BOOTSTRAP_PREFIX}(\d{{1,18}})-g\d+::")
WITHOUT_GPU, WITHOUT_SHOWN, OVERRULED = (
    "matches with a GPU that the registry lacks",
    "matches without shown candidates",
    "matches that the adjudicator decided otherwise",
)
_LEAST_YIELD = 4  # nearly every listing gives a pair; a registry of a few GPUs gives none


def bootstrap_pairs(resolver: Resolver, n_pairs: int, *, seed: int) -> list[PreferencePair]:
    """Return pairs of candidates of generated listings, at most one a listing.

    A candidate that fits all a listing states is better than another variant of its model, which
    is better than another model (the grades the ranker is trained with); equal grades make a
    pair of equals. The reason tag is what they differ in, ``model`` or ``variant``. Labels take
    turns, 1, -1 and 0, so each has a third; listings deal models in turn, those of the ranker's
    training split, so that what is held out there stays unseen. The first pairs of a larger
    number are the pairs of a smaller one.

    :param n_pairs: at least 1.
    :param seed: of listings and draws; part of the references.
    :raises InputError: if ``n_pairs`` is below 1, the registry has no model of the split, or its
        listings retrieve too few candidates to compare.
    """
    if n_pairs < 1:
        raise InputError(f"expected at least 1 pair to make, got {n_pairs}")
    records = resolver.table.records
    models = models_of(records, Split.RANKER)
    if not models:
        raise InputError(f"the registry of {len(records)} GPUs has no models to generate from")
    pairs: list[PreferencePair] = []
    used, size = 0, n_pairs + n_pairs // 4 + 20
    while len(pairs) < n_pairs:
        listings = card_tools().generate(records, size, seed=seed, nil_share=0.0, models=models)
        for start in range(used, size, _BATCH):
            pairs += _pairs_of(resolver, listings[start : start + _BATCH], start, len(pairs), seed)
        if len(pairs) * _LEAST_YIELD < size:
            raise InputError(
                f"{size} generated listings gave {len(pairs)} pairs: too few have two candidates "
                "to compare; use a larger registry"
            )
        used, size = size, 2 * size
    return pairs[:n_pairs]


def seed_of(reference: str) -> int | None:
    """Return the seed in the reference of a generated listing's candidate, None in any other."""
    found = _REFERENCE.match(reference)
    return int(found[1]) if found else None


def _pairs_of(
    resolver: Resolver, labelled: Sequence[LabelledListing], first: int, made: int, seed: int
) -> list[PreferencePair]:
    """Return pairs of some listings, of which ``first`` came before and gave ``made`` pairs."""
    own = f"{BOOTSTRAP_PREFIX}{seed}-"  # ids that no other seed has
    labelled = [
        replace(item, listing=replace(item.listing, listing_id=own + item.listing.listing_id))
        for item in labelled
    ]
    listings = [item.listing for item in labelled]
    batch = resolver.source.retrieve(listings, n_candidates=N_CANDIDATES)
    grades = card_tools().grades(labelled, batch, resolver.table)
    gpu_ids = [resolver.table.records[row].gpu_id for row in batch.record.tolist()]
    drawn: list[tuple[str, str, str, PreferenceLabel, tuple[str, ...]]] = []
    also: list[int] = []
    for at, listing in enumerate(listings):
        start, stop = int(batch.offsets[at]), int(batch.offsets[at + 1])
        label = _LABELS[(made + len(drawn)) % len(_LABELS)]
        rng = np.random.default_rng([seed, first + at])
        rows = _draw(grades[start:stop], label, rng)
        if rows is not None:
            a, b = start + rows[0], start + rows[1]
            tags = () if label == 0 else ("model" if min(grades[a], grades[b]) == 0 else "variant",)
            drawn.append((listing.listing_id, gpu_ids[a], gpu_ids[b], label, tags))
            also += [a, b]
    evidence = resolver.weigh(listings, batch, also=also)
    wanted = {listing_id: (a, b) for listing_id, a, b, _, _ in drawn}
    items = _items_of(evidence, resolver.table, listings, wanted)
    return [
        PreferencePair(items[key, a], items[key, b], label, PairSource.BOOTSTRAP, reason_tags=tags)
        for key, a, b, label, tags in drawn
    ]


def _draw(
    grades: NDArray[np.int64], label: PreferenceLabel, rng: np.random.Generator
) -> tuple[int, int] | None:
    """Draw two candidates whose grades make the label; None if there are none.

    Unequal ones are of the best grade and of a lower one, each lower grade equally likely: nearly
    all candidates are of other models, and variants would hardly ever be compared.
    """
    if label == 0:
        order = rng.permutation(len(grades))
        for at, row in enumerate(order.tolist()):
            for other in order[at + 1 :].tolist():
                if grades[row] == grades[other]:
                    return row, other
        return None
    found = np.unique(grades)
    if len(found) < 2:
        return None
    right = int(rng.choice(np.flatnonzero(grades == found[-1])))
    wrong = int(rng.choice(np.flatnonzero(grades == rng.choice(found[:-1]))))
    return (right, wrong) if label == 1 else (wrong, right)


def implied_pairs(
    annotations: Iterable[Annotation], models: Mapping[str, str]
) -> tuple[list[PreferencePair], Counter[str]]:
    """Return the pairs that matches imply: the chosen candidate is better than each other shown.

    If the annotator chose no variant, the first shown variant of the model stands for it, and the
    model's other variants are not compared. Other verdicts compare no candidates.

    :param models: model by gpu_id; shown GPUs without one are left out.
    :returns: pairs without metrics, by listing, annotator and place on the screen; how many matches
        imply nothing, by why.
    """
    pairs: list[PreferencePair] = []
    left_out: Counter[str] = Counter()
    for _, answers in by_listing(annotations):
        settling = adjudication_of(answers)
        for answer in answers:
            if answer.model is None or answer is settling:
                continue
            if settling is not None and label_of(settling) != label_of(answer):
                left_out[OVERRULED] += 1
            elif not answer.shown:
                left_out[WITHOUT_SHOWN] += 1
            elif answer.gpu_id is not None and answer.gpu_id not in models:
                left_out[WITHOUT_GPU] += 1
            else:
                pairs += _implied_by(answer, models)
    return pairs, left_out


def _implied_by(answer: Annotation, models: Mapping[str, str]) -> list[PreferencePair]:
    shown = [gpu_id for gpu_id in dict.fromkeys(answer.shown) if gpu_id in models]
    variants = [gpu_id for gpu_id in shown if models[gpu_id] == answer.model]
    chosen = answer.gpu_id or next(iter(variants), None)
    if chosen is None:
        return []
    undecided = set(variants) if answer.gpu_id is None else {chosen}
    return [
        PreferencePair(
            _item(answer.listing_id, chosen),
            _item(answer.listing_id, other),
            1,
            PairSource.ANNOTATION,
            answer.annotator,
            created_at=answer.annotated_at,
        )
        for other in [gpu_id for gpu_id in shown if gpu_id not in undecided]
    ]


def _item(
    listing_id: str, gpu_id: str, *, features: NDArray[np.float32] | None = None
) -> PreferenceItem:
    """Return a GPU proposed for a listing as an item.

    :param features: shape (candidate features,); None leaves metrics and embedding open.
    """
    reference = candidate_reference(listing_id, gpu_id)
    if features is None:
        return PreferenceItem(CANDIDATE_TYPE, reference)
    metrics = dict(zip(domain_named(GPU).features.candidate, features.tolist(), strict=True))
    return PreferenceItem(CANDIDATE_TYPE, reference, metrics, embedding_id=INDEX_PREFIX + gpu_id)
