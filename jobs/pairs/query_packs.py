"""Export query packs, which a cross-encoder is trained on: train.jsonl and valid.jsonl."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from index.artifacts import writing_folder
from index.errors import InputError
from jobs.pairs.files import METADATA, check_target
from jobs.serving import resolver_over
from jobs.workspace import Workspace, open_retriever

if TYPE_CHECKING:
    from index.retriever import Retriever
    from rerank.bootstrap import LabelledListing
    from rerank.cross_encoder.pack_building import PacksBuilt

FORMAT_VERSION = 1
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
    from rerank.cross_encoder.pack_building import build_packs
    from rerank.cross_encoder.query_packs import write_packs

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
        "format_version": FORMAT_VERSION,
        "train": len(train),
        "valid": len(valid),
        "annotated": _counts(built[0]),
        "generated": _counts(built[1]),
        "negatives": negatives,
        "seed": seed,
        "index_version": manifest.fingerprint,
        "model_version": resolver.model.version,
    }
    with writing_folder(target) as draft:
        write_packs(train, draft / TRAIN)
        write_packs(valid, draft / VALID)
        text = json.dumps(metadata, indent=2, ensure_ascii=False) + "\n"
        (draft / METADATA).write_text(text, encoding="utf-8")
    return metadata


def _annotated(
    workspace: Workspace, retriever: Retriever, warn: Callable[[str], None]
) -> Sequence[LabelledListing]:
    """Return what annotators settled on, as labelled listings; none without a store."""
    from rerank.annotation.consensus import consensus
    from rerank.annotation.labelling import labelled_of
    from rerank.store import Store
    from rerank.store.annotations import read_annotations
    from rerank.store.listings import read_listings

    if not workspace.store_path.exists():
        return []
    with Store(workspace.store_path).reading() as session:
        settled = consensus(read_annotations(session))
        stored = read_listings(session) if settled else []
    listings = {item.listing.listing_id: item.listing for item in stored}
    labelled, unusable = labelled_of(settled, listings, retriever)
    if unusable.of_unknown or unusable.without_text:
        warn(
            f"left out {unusable.of_unknown} annotated listings of GPUs that the index lacks and "
            f"{unusable.without_text} whose text is not in the store"
        )
    return labelled


def _generated(retriever: Retriever, listings: int, seed: int) -> Sequence[LabelledListing]:
    """Generate listings that sell a GPU of any model that is not kept for tests."""
    from rerank.bootstrap import generate
    from rerank.splits import Split, models_of

    if not listings:
        return []
    records = retriever.table.records
    models = [
        model for split in Split if split is not Split.TEST for model in models_of(records, split)
    ]
    return generate(records, listings, seed=seed * 1000 + _SEED_PLACE, nil_share=0.0, models=models)


def _counts(built: PacksBuilt) -> dict[str, int]:
    return {
        "train": len(built.train),
        "valid": len(built.valid),
        "kept_out": built.kept_out,
        "without_match": built.without_match,
        "on_both_sides": built.on_both_sides,
    }
