"""One line of scored JSONL, checked: a query with candidates, one candidate, or a named vector.

    {"vector_id": "v1", "vector": [0.1, -0.2]}
    {"query_id": "q1", "canonical_id": "c1", "domain": "d", "text": "...",
     "query_embeddings": {"text": [..]}, "candidates": [CANDIDATE, CANDIDATE]}
    {"query_id": "q1", "canonical_id": "c1", ..., and the keys of one CANDIDATE}

A CANDIDATE has ``candidate_id``, ``compliance`` and ``conflict`` from 0 to 1, and may have
``features`` (name to number, null where missing) and ``embeddings`` (name to a list of numbers, to
the ``vector_id`` of an earlier line, or to null).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.errors import InputError

Vector = NDArray[np.float32]

DEFAULT_DOMAIN = "all"
_HUGE = 2**63
# Beyond, differences of features and squares of components overflow float32: no measurement.
_LARGEST_FEATURE, _LARGEST_COMPONENT = 1e30, 1e15
_VECTOR_KEYS = frozenset(["vector_id", "vector"])
_QUERY_KEYS = frozenset(["query_id", "canonical_id", "domain", "text", "query_embeddings"])
_CANDIDATE_KEYS = frozenset(["candidate_id", "compliance", "conflict", "features", "embeddings"])


@dataclass(frozen=True, slots=True)
class CandidateLine:
    """A candidate as it was written; a missing feature or vector is not in its mapping."""

    candidate_id: str
    compliance: float
    conflict: float
    features: Mapping[str, float]
    vectors: Mapping[str, Vector]


@dataclass(frozen=True, slots=True)
class QueryLine:
    """A query with the candidates of one line."""

    query_id: str
    canonical_id: str
    domain: str
    text: str
    vectors: Mapping[str, Vector]
    candidates: tuple[CandidateLine, ...]


class LineParser:
    """Parses lines in turn; remembers named vectors and the width of each embedding."""

    def __init__(self) -> None:
        self._named: dict[str, Vector] = {}
        self._widths: dict[str, int] = {}

    def parse(self, content: Any) -> QueryLine | None:
        """Return a query with its candidates; None of a line that names a vector.

        :raises InputError: if the line is not of the format; nothing of it is remembered.
        """
        if not isinstance(content, dict):
            raise InputError(f"expected a JSON object, found {type(content).__name__}")
        if "vector_id" in content:
            _check_keys(content, _VECTOR_KEYS, _VECTOR_KEYS)
            self._named[_text(content, "vector_id")] = _numbers("vector", content["vector"])
            return None
        widths = dict(self._widths)
        found = self._query(content, widths)
        self._widths = widths
        return found

    def _query(self, content: dict[str, Any], widths: dict[str, int]) -> QueryLine:
        whole = "candidates" in content
        known = _QUERY_KEYS | ({"candidates"} if whole else _CANDIDATE_KEYS)
        _check_keys(content, known, {"query_id", "canonical_id"})
        if whole:
            rows = content["candidates"]
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise InputError("candidates: expected a list of objects")
            for row in rows:
                _check_keys(row, _CANDIDATE_KEYS, {"candidate_id", "compliance", "conflict"})
        else:
            rows = [content]
        return QueryLine(
            query_id=_text(content, "query_id"),
            canonical_id=_text(content, "canonical_id"),
            domain=_text(content, "domain", DEFAULT_DOMAIN),
            text=str(content.get("text") or ""),
            vectors=self._vectors("query", content.get("query_embeddings"), widths),
            candidates=tuple(self._candidate(row, widths) for row in rows),
        )

    def _candidate(self, row: dict[str, Any], widths: dict[str, int]) -> CandidateLine:
        features = row.get("features") or {}
        if not isinstance(features, dict):
            raise InputError("features: expected an object of names and numbers")
        numbers = {name: _feature(name, value) for name, value in features.items()}
        return CandidateLine(
            candidate_id=_text(row, "candidate_id"),
            compliance=_share(row, "compliance"),
            conflict=_share(row, "conflict"),
            features={name: value for name, value in numbers.items() if not math.isnan(value)},
            vectors=self._vectors("candidate", row.get("embeddings"), widths),
        )

    def _vectors(self, side: str, content: Any, widths: dict[str, int]) -> dict[str, Vector]:
        if content is None:
            return {}
        if not isinstance(content, dict):
            raise InputError(f"embeddings of the {side}: expected an object of names and vectors")
        found = {}
        for name, value in content.items():
            if value is None:
                continue
            vector = self._vector(name, value)
            width = widths.setdefault(f"{side}.{name}", len(vector))
            if len(vector) != width:
                raise InputError(
                    f"embedding {name} of the {side}: expected {width} numbers as in the lines "
                    f"before, found {len(vector)}"
                )
            found[name] = vector
        return found

    def _vector(self, name: str, value: Any) -> Vector:
        if not isinstance(value, str):
            return _numbers(f"embedding {name}", value)
        if value not in self._named:
            raise InputError(f"embedding {name}: no line before has the vector_id {value!r}")
        return self._named[value]


def _check_keys(content: Mapping[str, Any], known: Iterable[str], required: Iterable[str]) -> None:
    missing = sorted(set(required) - set(content))
    foreign = sorted(set(content) - set(known))
    if missing:
        raise InputError(f"lacks {', '.join(missing)}")
    if foreign:
        raise InputError(f"unknown key {foreign[0]!r}; known: {', '.join(sorted(known))}")


def _text(content: Mapping[str, Any], name: str, default: str = "") -> str:
    value = content.get(name, default)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise InputError(f"{name}: expected a text, found {value!r:.40}")
    return str(value)


def _is_number(value: Any) -> bool:
    """Return whether a value is a number (true and false are 1 and 0) that a float can hold."""
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < _HUGE)


def _share(content: Mapping[str, Any], name: str) -> float:
    value = content.get(name)
    if not _is_number(value) or not 0 <= float(value or 0) <= 1:
        raise InputError(f"{name}: expected a number from 0 to 1, found {value!r:.40}")
    return float(value or 0)


def _feature(name: str, value: Any) -> float:
    if value is None:
        return math.nan
    if not _is_number(value) or abs(value) > _LARGEST_FEATURE:
        raise InputError(
            f"feature {name}: expected a number or null, at most {_LARGEST_FEATURE:g} in size, "
            f"found {value!r:.40}"
        )
    return float(value)


def _numbers(name: str, value: Any) -> Vector:
    if not isinstance(value, list) or not value or not all(map(_is_number, value)):
        raise InputError(f"{name}: expected a list of numbers, found {value!r:.40}")
    numbers = np.array(value, np.float64)
    if not (np.abs(numbers) <= _LARGEST_COMPONENT).all():
        raise InputError(
            f"{name}: expected finite numbers, at most {_LARGEST_COMPONENT:g} in size, found others"
        )
    return numbers.astype(np.float32)
