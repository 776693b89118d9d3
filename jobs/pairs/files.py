"""Export preference pairs as a folder: dataset.jsonl, a pair a line, and metadata.json."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from index.artifacts import writing_folder
from index.errors import InputError
from jobs.storing.plain_values import plain
from rerank.annotation.bootstrap_pairs import seed_of
from rerank.store import utc_now
from rerank.store.preferences import PreferenceItem, PreferencePair

FORMAT_VERSION = 1
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
    with writing_folder(target) as draft:
        with (draft / DATASET).open("w", encoding="utf-8") as file:
            for pair in pairs:
                row = pair_row(pair, embeddings=embeddings or {})
                file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
        text = json.dumps(metadata, indent=2, ensure_ascii=False) + "\n"
        (draft / METADATA).write_text(text, encoding="utf-8")
    return metadata


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


def pair_row(pair: PreferencePair, *, embeddings: Embeddings) -> dict[str, Any]:
    """Return a pair as a line of dataset.jsonl."""
    return {
        "item_a": _item_row(pair.a, embeddings),
        "item_b": _item_row(pair.b, embeddings),
        "label": pair.label,
        "reason_tags": list(pair.reason_tags),
        "similarity": pair.similarity,
    }


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
        "format_version": FORMAT_VERSION,
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
    row: dict[str, Any] = {
        "id": item.item_id,
        "item_type": item.item_type,
        "item_reference_id": item.reference_id,
    }
    vector = _embedding(item, embeddings)
    if vector is not None:
        row["embedding"] = list(vector)
    if item.embedding_id is not None:
        row["embedding_id"] = item.embedding_id
    return {**row, "metrics": dict(item.metrics), "created_at": plain(item.created_at)}


def _embedding(item: PreferenceItem, embeddings: Embeddings) -> Sequence[float] | None:
    return item.embedding or embeddings.get(item.embedding_id or "")


def _counted(values: Iterable[str], expected: Sequence[str] = ()) -> dict[str, int]:
    counts = Counter(values)
    return {name: counts[name] for name in (*expected, *sorted(counts.keys() - set(expected)))}
