"""Query packs: a query with its positive and negative documents, one JSON object a line.

    {"query_text": "...", "positives": [{"doc_id": "p1", "text": "..."}],
     "negatives": [{"doc_id": "n1", "text": "..."}], "source_chunk": "...", "meta": {...}}

``source_chunk`` and ``meta`` say where a pack comes from and may be missing, as may negatives:
other queries' documents are drawn then.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from index.errors import FaultsError, InputError

_SURROGATE = re.compile("[\ud800-\udfff]")
_KEYS = ("query_text", "positives", "negatives", "source_chunk", "meta")


@dataclass(frozen=True, slots=True)
class Document:
    """A text that may answer a query."""

    doc_id: str
    text: str


@dataclass(frozen=True, slots=True)
class QueryPack:
    """A query with documents that answer it, at least one, and some that do not."""

    query_text: str
    positives: tuple[Document, ...]
    negatives: tuple[Document, ...]
    source_chunk: str = ""
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PacksRead:
    """The packs of a file and what is wrong with its other lines.

    :param malformed: a fault for each line that is no pack, with its number.
    """

    packs: list[QueryPack]
    malformed: tuple[str, ...]


def read_packs(path: Path, *, max_malformed_share: float) -> PacksRead:
    """Read a file of packs; empty lines are passed over.

    :param max_malformed_share: of the lines, in [0, 1].
    :raises FaultsError: if more lines than that are malformed.
    :raises InputError: if there is no pack or no such file.
    """
    if not path.is_file():
        raise InputError(
            f"{path}: expected a file of query packs, found none; write one with `rerank pairs "
            "export --format query-packs`"
        )
    packs, faults = [], []
    for number, line in _lines(path):
        try:
            packs.append(pack_of(json.loads(line.decode("utf-8-sig"))))
        except (ValueError, RecursionError, InputError) as exc:  # no JSON, or no UTF-8
            faults.append(f"line {number}: {exc}")
    if len(faults) > max_malformed_share * (len(faults) + len(packs)):
        raise FaultsError(
            f"{path}: {len(faults)} of {len(faults) + len(packs)} lines are no query pack, more "
            f"than the share of {max_malformed_share:g} that is passed over",
            faults,
        )
    if not packs:
        raise InputError(f"{path}: expected query packs, found no line")
    return PacksRead(packs, tuple(faults))


def write_packs(packs: Iterable[QueryPack], path: Path) -> None:
    """Write a pack a line."""
    with path.open("w", encoding="utf-8") as file:
        for pack in packs:
            file.write(json.dumps(asdict(pack), ensure_ascii=False, allow_nan=False) + "\n")


def pack_of(content: Any) -> QueryPack:
    """Return a pack out of a line's content.

    :raises InputError: if a key is missing or unknown or a value is of another type, if there is
        no positive, or if a document stands twice with other texts or on both sides.
    """
    if not isinstance(content, dict):
        raise InputError(f"expected a JSON object, found {content!r:.60}")
    unknown = sorted(set(content) - set(_KEYS))
    if unknown:
        raise InputError(f"unknown key {unknown[0]!r:.60}; expected {', '.join(_KEYS)}")
    query = content.get("query_text")
    if not _is_text(query):
        raise InputError(f"query_text: expected text, found {query!r:.60}")
    positives = _documents(content.get("positives"), "positives")
    negatives = _documents(content.get("negatives", []), "negatives")
    if not positives:
        raise InputError("positives: expected at least one document, found none")
    _check_sides(positives, negatives)
    source, meta = content.get("source_chunk") or "", content.get("meta") or {}
    if not isinstance(source, str) or not isinstance(meta, dict):
        raise InputError("source_chunk, meta: expected text and a JSON object")
    return QueryPack(query, positives, negatives, source, meta)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line


def _documents(content: Any, name: str) -> tuple[Document, ...]:
    if not isinstance(content, list):
        raise InputError(f"{name}: expected a list of documents, found {content!r:.60}")
    documents: dict[str, Document] = {}
    for at, item in enumerate(content):
        doc_id, text = (
            (item.get("doc_id"), item.get("text")) if isinstance(item, dict) else (None, None)
        )
        if not _is_text(doc_id) or not _is_text(text):
            raise InputError(f"{name}[{at}]: expected doc_id and text, found {item!r:.60}")
        if documents.setdefault(doc_id, Document(doc_id, text)).text != text:
            raise InputError(f"{name}[{at}]: doc_id {doc_id!r:.60} stands twice with other texts")
    return tuple(documents.values())


def _is_text(value: Any) -> TypeGuard[str]:
    """Return whether a value is text, not blank, and no half of a surrogate pair, which no
    tokenizer takes.
    """
    return isinstance(value, str) and bool(value.strip()) and not _SURROGATE.search(value)


def _check_sides(positives: tuple[Document, ...], negatives: tuple[Document, ...]) -> None:
    ids, texts = {item.doc_id for item in positives}, {item.text for item in positives}
    both = [item.doc_id for item in negatives if item.doc_id in ids or item.text in texts]
    if both:
        raise InputError(f"document {both[0]!r:.60} is both a positive and a negative")
