"""What `rerank pairs` does: collect pairs, follow annotations, export pairs or query packs.

An export is a folder that appears when it is complete: lines of JSON, and metadata.json.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.annotation.agreement import read_settled
from rerank.annotation.preference_pairs import (
    INDEX_PREFIX,
    OVERRULED,
    WITHOUT_GPU,
    WITHOUT_SHOWN,
    PairsSaved,
    added_items,
    bootstrap_pairs,
    candidate_items,
    implied_pairs,
    save_pairs,
    seed_of,
)
from rerank.cross_encoder.packs import PacksBuilt, build_packs, write_packs
from rerank.domain import card_tools
from rerank.evaluation.gold import Split, models_of
from rerank.index.artifacts import writing_folder
from rerank.index.errors import FaultsError, InputError
from rerank.index.records import GpuRecord, LabelledListing, Listing
from rerank.index.text import descriptor, listing_text
from rerank.jobs.files.store_files import plain
from rerank.jobs.tables import cut, table
from rerank.lifecycle.opening import resolver_over
from rerank.rankers.pairs import CANDIDATE_TYPE, parse_reference
from rerank.ranking import RoutedRetriever
from rerank.resolver import Resolver
from rerank.store.database import Store, utc_now
from rerank.store.rows import (
    PairSource,
    PreferenceCounts,
    PreferenceItem,
    PreferencePair,
    delete_pairs,
    read_annotations,
    read_listings,
    read_pairs,
)
from rerank.workspace import Workspace, open_retriever

PAIRS_FORMAT = 1
DATASET, METADATA = "dataset.jsonl", "metadata.json"
Embeddings = Mapping[str, Sequence[float]]


def export_pairs(
    pairs: Sequence[PreferencePair],
    target: Path,
    *,
    embeddings: Embeddings | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a folder that appears when it is complete; return its metadata.

    :param embeddings: vectors by embedding_id, for items that have none of their own.
    :raises InputError: if there are no pairs, embeddings differ in length, or ``target`` holds
        an export that must not be overwritten, or anything else.
    """
    check_target(target, {DATASET, METADATA}, overwrite=overwrite)
    metadata = describe(pairs, embeddings=embeddings)
    if not pairs:
        raise InputError(
            "expected pairs to export, found none; collect some with `rerank pairs add`, "
            "`bootstrap`, `capture` or `from-annotations`"
        )
    own = embeddings or {}
    rows = (
        {
            "item_a": _item_row(pair.a, own),
            "item_b": _item_row(pair.b, own),
            "label": pair.label,
            "reason_tags": list(pair.reason_tags),
            "similarity": pair.similarity,
        }
        for pair in pairs
    )
    lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    with (
        _exporting(target, metadata) as draft,
        (draft / DATASET).open("w", encoding="utf-8") as file,
    ):
        file.writelines(lines)
    return metadata


@contextmanager
def _exporting(target: Path, metadata: Mapping[str, Any]) -> Iterator[Path]:
    """Yield the folder to write an export to."""
    with writing_folder(target) as draft:
        yield draft
        text = json.dumps(metadata, indent=2, ensure_ascii=False) + "\n"
        (draft / METADATA).write_text(text, encoding="utf-8")


def check_target(target: Path, files: Collection[str], *, overwrite: bool) -> None:
    """Check that a folder to write is not there, or is an earlier export.

    :param files: what an export holds.
    :raises InputError: if it holds anything else, or must not be overwritten.
    """
    if not target.is_dir():
        return  # what else it may be, `writing_folder` says
    held = {path.name for path in target.iterdir()}
    others = sorted(held - set(files))
    if others:
        raise InputError(
            f"{target}: expected no folder, or one of an earlier export, found {others[0]!r:.60} "
            "in it; choose another place"
        )
    if held and not overwrite:
        raise InputError(f"{target}: holds an export already; replace it with --overwrite")


def describe(
    pairs: Sequence[PreferencePair], *, embeddings: Embeddings | None = None
) -> dict[str, Any]:
    """Return the content of metadata.json.

    :raises InputError: if embeddings differ in length.
    """
    items = {item.item_id: item for pair in pairs for item in (pair.a, pair.b)}
    vectors = (_embedding(item, embeddings or {}) for item in items.values())
    lengths = sorted({len(vector) for vector in vectors if vector is not None})
    if len(lengths) > 1:
        raise InputError(
            f"expected embeddings of one length, found lengths {lengths}; export one --item-type "
            "at a time"
        )
    names = dict.fromkeys(name for item in items.values() for name in item.metrics)
    seeds = {seed_of(item.reference_id) for item in items.values()} - {None}
    return {
        "format_version": PAIRS_FORMAT,
        "created_at": plain(utc_now()),
        "pairs": len(pairs),
        "items": len(items),
        "feature_names": list(names),
        "embedding_dim": lengths[0] if lengths else None,
        "labels": _counted((str(pair.label) for pair in pairs), ("-1", "0", "1")),
        "sources": _counted(pair.source.value for pair in pairs),
        "item_types": _counted(pair.a.item_type for pair in pairs),
        "reason_tags": _counted(tag for pair in pairs for tag in pair.reason_tags),
        "bootstrap_seeds": sorted(seed for seed in seeds if seed is not None),
    }


def _item_row(item: PreferenceItem, embeddings: Embeddings) -> dict[str, Any]:
    vector = _embedding(item, embeddings)
    row = {
        "id": item.item_id,
        "item_type": item.item_type,
        "item_reference_id": item.reference_id,
        "embedding": None if vector is None else list(vector),
        "embedding_id": item.embedding_id,
        "metrics": dict(item.metrics),
        "created_at": plain(item.created_at),
    }
    without = [name for name in ("embedding", "embedding_id") if row[name] is None]
    return {name: value for name, value in row.items() if name not in without}


def _embedding(item: PreferenceItem, embeddings: Embeddings) -> Sequence[float] | None:
    return item.embedding or embeddings.get(item.embedding_id or "")


def _counted(values: Iterable[str], expected: Sequence[str] = ()) -> dict[str, int]:
    counts = Counter(values)
    return {name: counts[name] for name in (*expected, *sorted(counts.keys() - set(expected)))}


@dataclass(frozen=True, slots=True)
class Filled:
    """Pairs with what their candidates are made of, and what stood in the way of others.

    :param without_listing: the listing_id of each pair whose listing is not in the store.
    :param without_gpu: gpu_ids of pairs that the registry lacks.
    :param not_retrieved: how many of the pairs have a GPU that their listing does not retrieve.
    """

    pairs: list[PreferencePair]
    without_listing: list[str] = field(default_factory=list)
    without_gpu: list[str] = field(default_factory=list)
    not_retrieved: int = 0


class CandidateLookup:
    """Fills in candidates' features and similarity; loads index and model when it must."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    @cached_property
    def serving(self) -> tuple[RoutedRetriever, Resolver]:
        """The index and the resolver that serve."""
        retriever, manifest = open_retriever(self._workspace)
        return retriever, resolver_over(self._workspace, retriever, manifest)

    def fill(self, store: Store, pairs: Sequence[PreferencePair]) -> Filled:
        """Give bare candidates their features, and their pairs the similarity of the two GPUs.

        A GPU that its listing does not retrieve is judged as one candidate more: these are the
        errors of retrieval.

        :raises FaultsError: if a candidate's reference is malformed or a pair is of two listings.
        """
        bare = [pair for pair in pairs if _is_bare(pair.a) or _is_bare(pair.b)]
        if not bare:
            return Filled(list(pairs))
        wanted = _wanted(bare)
        with store.reading() as session:
            listings = [item.listing for item in read_listings(session, list(wanted))]
        stored = {listing.listing_id for listing in listings}
        retriever, resolver = self.serving
        items = candidate_items(resolver, listings, wanted)
        missing = [
            (listing, gpu_id)
            for listing in listings
            for gpu_id in sorted(wanted[listing.listing_id])
            if (listing.listing_id, gpu_id) not in items
        ]
        added = added_items(resolver, missing, self._similarity)
        known = {item.item_id: item for item in (items | added).values()}
        registry = {record.gpu_id for record in retriever.records}
        found, filled = Filled([]), list[PreferencePair]()
        n_added = 0
        for pair in pairs:
            keys = [parse_reference(i.reference_id) for i in (pair.a, pair.b) if _is_bare(i)]
            unknown = [listing_id for listing_id, _ in keys[:1] if listing_id not in stored]
            lacking = [gpu_id for _, gpu_id in keys if gpu_id not in registry]
            found.without_listing.extend(unknown)
            found.without_gpu.extend(lacking)
            if not unknown and not lacking:
                a, b = (known[i.item_id] if _is_bare(i) else i for i in (pair.a, pair.b))
                filled.append(replace(pair, a=a, b=b))
                n_added += any(key in added for key in keys)
        return replace(found, pairs=self.with_similarity(filled), not_retrieved=n_added)

    def with_similarity(self, pairs: Sequence[PreferencePair]) -> list[PreferencePair]:
        """Give pairs of candidates that have none the cosine of their GPUs' embeddings."""
        vectors = self.embeddings_of(pairs)
        return [
            replace(pair, similarity=_cosine(vectors[a], vectors[b]))
            if pair.similarity is None and a in vectors and b in vectors
            else pair
            for pair, a, b in ((p, p.a.embedding_id or "", p.b.embedding_id or "") for p in pairs)
        ]

    def embeddings_of(self, pairs: Iterable[PreferencePair]) -> dict[str, list[float]]:
        """Return vectors of the index for the candidates in pairs, by embedding_id."""
        ids = {item.embedding_id or "" for pair in pairs for item in (pair.a, pair.b)}
        if not any(name.startswith(INDEX_PREFIX) for name in ids):
            return {}
        retriever, _ = self.serving
        records = [r for r in retriever.records if INDEX_PREFIX + r.gpu_id in ids]
        vectors = retriever.embedder.encode([descriptor(record) for record in records])
        names = (INDEX_PREFIX + record.gpu_id for record in records)
        return dict(zip(names, vectors.tolist(), strict=True))

    def _similarity(
        self, listings: Sequence[Listing], records: Sequence[GpuRecord]
    ) -> NDArray[np.float32]:
        """Return the cosine of each listing and the GPU in the same place."""
        encode = self.serving[0].embedder.encode
        queries = encode([listing_text(listing).embedded for listing in listings])
        vectors = encode([descriptor(record) for record in records])
        return np.asarray(np.einsum("ij,ij->i", queries, vectors), np.float32)


def _wanted(pairs: Iterable[PreferencePair]) -> Mapping[str, set[str]]:
    """Return gpu_ids by listing.

    :raises FaultsError: if a reference is malformed or a pair's candidates are of two listings.
    """
    wanted: dict[str, set[str]] = {}
    faults = []
    for pair in pairs:
        try:
            keys = [parse_reference(item.reference_id) for item in (pair.a, pair.b)]
        except InputError as exc:
            faults.append(str(exc))
            continue
        if keys[0][0] != keys[1][0]:
            faults.append(
                "expected two candidates of one listing, whose features can be compared, got "
                f"{keys[0][0]!r:.80} and {keys[1][0]!r:.80}"
            )
        for listing_id, gpu_id in keys:
            wanted.setdefault(listing_id, set()).add(gpu_id)
    if faults:
        raise FaultsError("preference pairs", faults)
    return wanted


def _is_bare(item: PreferenceItem) -> bool:
    return item.item_type == CANDIDATE_TYPE and not item.metrics


def _cosine(a: Sequence[float], b: Sequence[float]) -> float:
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return 0.0 if lengths == 0 else round(min(1.0, max(-1.0, float(np.dot(a, b)) / lengths)), 4)


def state_pairs(
    workspace: Workspace, pairs: Sequence[PreferencePair], *, wait_s: float, overwrite: bool
) -> PairsSaved:
    """Save what somebody said; candidates given without metrics get those of the ranker.

    :raises FaultsError: if a candidate cannot be looked up, or a pair is not sound.
    :raises PreferenceConflictError: if a pair contradicts a stored one; see `save_pairs`.
    """
    store = Store(workspace.store_path, wait_s=wait_s)
    filled = CandidateLookup(workspace).fill(store, pairs)
    import_it = "is not in the store: import it with `rerank store import listings`"
    faults = [f"listing {key!r:.80} {import_it}" for key in filled.without_listing]
    faults += [
        f"no GPU of the registry has the gpu_id {key!r:.80}: `rerank search` shows gpu_ids"
        for key in filled.without_gpu
    ]
    if faults:
        raise FaultsError(
            "candidates whose features cannot be looked up (mend them or give the metrics)",
            list(dict.fromkeys(faults)),
        )
    with store.writing() as session:
        return save_pairs(session, filled.pairs, overwrite=overwrite)


def add_bootstrap_pairs(
    workspace: Workspace, n_pairs: int, *, seed: int, wait_s: float, overwrite: bool
) -> PairsSaved:
    """Save pairs of generated listings; see `rerank.annotation.preference_pairs`."""
    lookup = CandidateLookup(workspace)
    _, resolver = lookup.serving
    pairs = lookup.with_similarity(bootstrap_pairs(resolver, n_pairs, seed=seed))
    with Store(workspace.store_path, wait_s=wait_s).writing() as session:
        return save_pairs(session, pairs, overwrite=overwrite)


def follow_annotations(workspace: Workspace, *, wait_s: float, overwrite: bool) -> str:
    """Make the pairs that come from annotations those that annotations imply now.

    :returns: in words what changed, and what could not be followed.
    :raises PreferenceConflictError: if an annotator stated the opposite by hand.
    """
    store, lookup = Store(workspace.store_path, wait_s=wait_s), CandidateLookup(workspace)
    with store.reading() as session:
        annotations = read_annotations(session)
        stored = {p.pair_id: p for p in read_pairs(session, source=PairSource.ANNOTATION)}
    retriever, _ = lookup.serving
    implied, left_out = implied_pairs(annotations, {r.gpu_id: r.model for r in retriever.records})
    current = {pair.pair_id: pair for pair in implied}
    stale = [key for key in stored if key not in current]
    fresh = [pair for key, pair in current.items() if key not in stored]
    kept = ((stored[key], pair) for key, pair in current.items() if key in stored)
    changed = [pair for before, pair in kept if before.preferred != pair.preferred]
    filled = lookup.fill(store, fresh)
    with store.writing() as session:
        delete_pairs(session, stale)
        turned = save_pairs(session, changed, overwrite=True)
        saved = save_pairs(session, filled.pairs, overwrite=overwrite)
    there = len(current) - len(changed) - len(fresh) + saved.unchanged
    saved = PairsSaved(saved.added, turned.replaced + saved.replaced, there)
    lines = [f"{saved.line()}, {len(stale)} removed"]
    if filled.not_retrieved:
        lines.append(
            f"not retrieved: {filled.not_retrieved} new pairs with a GPU that the listing does not "
            "retrieve"
        )
    numbers = {
        "pairs whose listing is not in the store": len(filled.without_listing),
        **{why: left_out[why] for why in (WITHOUT_GPU, WITHOUT_SHOWN, OVERRULED)},
    }
    return "\n".join([*lines, *(f"left out: {n} {what}" for what, n in numbers.items() if n)])


PACKS_FORMAT = 1
TRAIN, VALID = "train.jsonl", "valid.jsonl"
DEFAULT_NEGATIVES, DEFAULT_SEED = 19, 7
_SEED_PLACE = 21  # seeds of generated listings: 0 to 2 train the ranker, 11 and 12 the embedder


def export_query_packs(
    workspace: Workspace,
    target: Path,
    *,
    bootstrap: int = 0,
    negatives: int = DEFAULT_NEGATIVES,
    seed: int = DEFAULT_SEED,
    overwrite: bool = False,
    warn: Callable[[str], None] = lambda message: None,
) -> dict[str, Any]:
    """Write packs of annotated listings and of generated ones; return metadata.json's content.

    :param bootstrap: how many generated listings to add, 0 or more.
    :param negatives: of a pack, at most.
    :param warn: is told of annotations that gave no pack.
    :raises InputError: if there is nothing to export, or ``target`` holds anything else.
    """
    check_target(target, {TRAIN, VALID, METADATA}, overwrite=overwrite)
    retriever, manifest = open_retriever(workspace)
    resolver = resolver_over(workspace, retriever, manifest)
    built = [
        build_packs(labelled, resolver, negatives=negatives, style=style)
        for style, labelled in (
            ("annotation", _annotated(workspace, retriever, warn)),
            ("bootstrap", _generated(retriever, bootstrap, seed)),
        )
    ]
    train = [pack for part in built for pack in part.train]
    known = {pack.query_text for pack in train}
    valid = [pack for part in built for pack in part.valid if pack.query_text not in known]
    if not train:
        raise InputError(
            "expected listings to make query packs of, found none; say what some sell with "
            "`rerank annotate`, or generate some with --bootstrap 3000"
        )
    metadata = {
        "format_version": PACKS_FORMAT,
        "train": len(train),
        "valid": len(valid),
        "annotated": _counts(built[0]),
        "generated": _counts(built[1]),
        "negatives": negatives,
        "seed": seed,
        "index_version": manifest.fingerprint,
        "model_version": resolver.model.version,
    }
    with _exporting(target, metadata) as draft:
        write_packs(train, draft / TRAIN)
        write_packs(valid, draft / VALID)
    return metadata


def _counts(built: PacksBuilt) -> dict[str, int]:
    return {
        "train": len(built.train),
        "valid": len(built.valid),
        "kept_out": built.kept_out,
        "without_match": built.without_match,
        "on_both_sides": built.on_both_sides,
    }


def _annotated(
    workspace: Workspace, retriever: RoutedRetriever, warn: Callable[[str], None]
) -> Sequence[LabelledListing]:
    """Return what annotators settled on, as labelled listings; none without a store."""
    with Store(workspace.store_path).reading() as session:
        settled, stored = read_settled(session)
    listings = {key: item.listing for key, item in stored.items()}
    labelled, unusable = card_tools().labelled_of(settled, listings, retriever)
    if unusable.of_unknown or unusable.without_text:
        warn(
            f"left out {unusable.of_unknown} annotated listings of GPUs that the index lacks and "
            f"{unusable.without_text} whose text is not in the store"
        )
    return labelled


def _generated(retriever: RoutedRetriever, listings: int, seed: int) -> Sequence[LabelledListing]:
    """Generate listings that sell a GPU of any model that is not kept for tests."""
    if not listings:
        return []
    records = retriever.table.records
    models = [
        model for split in Split if split is not Split.TEST for model in models_of(records, split)
    ]
    return card_tools().generate(
        records, listings, seed=seed * 1000 + _SEED_PLACE, nil_share=0.0, models=models
    )


_MOST_SHOWN = 20


def counts_text(counts: PreferenceCounts) -> str:
    """Return what the store holds, at most 20 rows of a kind."""
    groups = {
        "source": counts.sources,
        "label": counts.labels,
        "item type": counts.item_types,
        "reason tag": counts.tags,
        "annotator": counts.annotators,
    }
    rows = [["pairs", "", str(counts.pairs)]]
    for name, numbers in groups.items():
        shown = [[cut(value, 44), str(number)] for value, number in numbers.items()]
        if len(shown) > _MOST_SHOWN:
            shown[_MOST_SHOWN:] = [[f"... and {len(shown) - _MOST_SHOWN} more", ""]]
        rows += [["" if at else name, *cells] for at, cells in enumerate(shown)]
    rows += [
        ["items", "", str(counts.items)],
        ["", "with an embedding", str(counts.embedded)],
        ["", "with the id of one", str(counts.referenced)],
        ["conflicts", "two items, different answers", str(counts.conflicts)],
        ["circles", "three items, each better than the next", str(counts.circles)],
    ]
    return table(("", "", "number"), rows, left=(0, 1))
