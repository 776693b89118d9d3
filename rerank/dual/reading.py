"""Read scored JSONL; faulty lines are counted, named, and beyond a stated share they stop it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index.errors import FaultsError, InputError
from rerank.dual.scored_lines import CandidateLine, LineParser, QueryLine, Vector
from rerank.dual.scored_set import ScoredSet

Floats = NDArray[np.float32]

DEFAULT_MAX_BAD_SHARE = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class ReadLines:
    """What a file held.

    :param lines: lines that are not blank.
    :param faults: of the lines left out, each with its number.
    """

    scored: ScoredSet
    lines: int
    faults: tuple[str, ...]


@dataclass(slots=True)
class _Query:
    first: QueryLine
    vectors: dict[str, Vector] = field(default_factory=dict)
    candidates: dict[str, CandidateLine] = field(default_factory=dict)


def read_scored(path: Path, *, max_bad_share: float = DEFAULT_MAX_BAD_SHARE) -> ReadLines:
    """Read scored JSONL, as `rerank.dual.scored_lines` describes its lines.

    Lines of one query need not stand together. A faulty line is left out whole.

    :param max_bad_share: faulty lines that are borne, as a share of all.
    :raises FaultsError: if more of them are faulty; names each with its line number.
    :raises InputError: if the file cannot be read or no sound line is left.
    """
    parser, queries = LineParser(), dict[str, _Query]()
    faults: list[str] = []
    lines = 0
    for number, line in _lines(path):
        lines += 1
        try:
            found = parser.parse(_decoded(line))
            if found is not None:
                _add(queries, found)
        except InputError as exc:
            faults.append(f"line {number}: {exc}")
    if lines and len(faults) > max_bad_share * lines:
        raise FaultsError(
            f"{path}: of {lines} lines at most {max_bad_share:.2%} may be faulty", faults
        )
    if not queries:
        raise InputError(f"{path}: expected scored queries, one JSON object a line, found none")
    return ReadLines(_assembled(list(queries.values())), lines, tuple(faults))


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line
    except OSError as exc:
        raise InputError(f"{path}: cannot be read: {exc.strerror}") from exc


def _decoded(line: bytes) -> object:
    try:
        return json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as exc:
        raise InputError(f"expected a JSON object, found {line[:30]!r} ({exc})") from exc


def _add(queries: dict[str, _Query], line: QueryLine) -> None:
    known = queries.get(line.query_id)
    first = line if known is None else known.first
    if (first.canonical_id, first.domain) != (line.canonical_id, line.domain):
        raise InputError(
            f"query {line.query_id!r} has canonical_id and domain {first.canonical_id!r}, "
            f"{first.domain!r} in a line before, here {line.canonical_id!r}, {line.domain!r}"
        )
    ids = [candidate.candidate_id for candidate in line.candidates]
    held = set() if known is None else set(known.candidates)
    twice = [name for at, name in enumerate(ids) if name in held or name in ids[:at]]
    if twice:
        raise InputError(f"query {line.query_id!r} has the candidate {twice[0]!r} twice")
    query = queries.setdefault(line.query_id, _Query(line))
    query.vectors.update(line.vectors)
    query.candidates.update(zip(ids, line.candidates, strict=True))


def _assembled(queries: Sequence[_Query]) -> ScoredSet:
    rows = [candidate for query in queries for candidate in query.candidates.values()]
    names = tuple(sorted({name for row in rows for name in row.features}))
    column = {name: at for at, name in enumerate(names)}
    features = np.full((len(rows), len(names)), np.nan, np.float32)
    for at, row in enumerate(rows):
        for name, value in row.features.items():
            features[at, column[name]] = value
    return ScoredSet(
        query_id=tuple(query.first.query_id for query in queries),
        canonical_id=tuple(query.first.canonical_id for query in queries),
        domain=tuple(query.first.domain for query in queries),
        text=tuple(query.first.text for query in queries),
        offsets=np.cumsum([0, *(len(query.candidates) for query in queries)]).astype(np.int64),
        candidate_id=tuple(row.candidate_id for row in rows),
        compliance=np.array([row.compliance for row in rows], np.float64),
        conflict=np.array([row.conflict for row in rows], np.float64),
        feature_names=names,
        features=features,
        query_vectors=_stacked([query.vectors for query in queries]),
        candidate_vectors=_stacked([dict(row.vectors) for row in rows]),
    )


def _stacked(rows: Sequence[dict[str, Vector]]) -> dict[str, Floats]:
    found: dict[str, Floats] = {}
    for at, row in enumerate(rows):
        for name, vector in row.items():
            if name not in found:
                found[name] = np.full((len(rows), len(vector)), np.nan, np.float32)
            found[name][at] = vector
    return dict(sorted(found.items()))
