"""Scored queries as JSON lines: read, split by canonical id, and written."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rerank.evaluation.gold import percent_of
from rerank.index.errors import InputError
from rerank.index.rows import read_json_lines

Floats = NDArray[np.float32]

DEFAULT_MAX_BAD_SHARE = 0.01
_TOO_MANY_BAD = "of {lines} lines at most {share:.2%} may be faulty"


class ReadLines(NamedTuple):
    """What a file held.

    :param lines: lines that are not blank.
    :param faults: of the lines left out, each with its number.
    """

    scored: ScoredSet
    lines: int
    faults: tuple[str, ...]


def read_scored(path: Path, *, max_bad_share: float = DEFAULT_MAX_BAD_SHARE) -> ReadLines:
    """Read scored JSONL, as `rerank.rankers.scored` describes its lines.

    Lines of one query need not stand together. A faulty line is left out whole.

    :param max_bad_share: faulty lines that are borne, as a share of all.
    :raises FaultsError: if more of them are faulty; names each with its line number.
    :raises InputError: if the file cannot be read or no sound line is left.
    """
    queries = _Queries()
    read = read_json_lines(path, queries.take, bad_share=max_bad_share, told=_TOO_MANY_BAD)
    if not queries.by_id:
        raise InputError(f"{path}: expected scored queries, one JSON object a line, found none")
    return ReadLines(queries.assembled(), read.lines, read.faults)


Vector = NDArray[np.float32]

DEFAULT_DOMAIN = "all"
_HUGE = 2**63
# Beyond, differences of features and squares of components overflow float32: no measurement.
_LARGEST_FEATURE, _LARGEST_COMPONENT = 1e30, 1e15
_VECTOR_KEYS = frozenset(["vector_id", "vector"])
_QUERY_KEYS = frozenset(["query_id", "canonical_id", "domain", "text", "query_embeddings"])
_CANDIDATE_KEYS = frozenset(["candidate_id", "compliance", "conflict", "features", "embeddings"])


class _Candidate(NamedTuple):
    """A candidate as it was written; a missing feature or vector is not in its mapping."""

    candidate_id: str
    compliance: float
    conflict: float
    features: dict[str, float]
    vectors: dict[str, Vector]


class _Query(NamedTuple):
    """A query with the candidates of its lines so far."""

    query_id: str
    canonical_id: str
    domain: str
    text: str
    vectors: dict[str, Vector]
    candidates: dict[str, _Candidate]


class _Queries:
    """Takes lines in turn; remembers named vectors and the width of each embedding."""

    def __init__(self) -> None:
        self.by_id: dict[str, _Query] = {}
        self._named: dict[str, Vector] = {}
        self._widths: dict[str, int] = {}

    def take(self, content: dict[str, Any]) -> None:
        """Take a query with its candidates, one of them, or a named vector.

        :raises InputError: if the line is not of the format; nothing of it is kept.
        """
        if "vector_id" in content:
            _check_keys(content, _VECTOR_KEYS, _VECTOR_KEYS)
            self._named[_text(content, "vector_id")] = _numbers("vector", content["vector"])
            return
        whole = "candidates" in content
        known = _QUERY_KEYS | ({"candidates"} if whole else _CANDIDATE_KEYS)
        _check_keys(content, known, {"query_id", "canonical_id"})
        rows = content["candidates"] if whole else [content]
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise InputError("candidates: expected a list of objects")
        for row in rows if whole else ():
            _check_keys(row, _CANDIDATE_KEYS, {"candidate_id", "compliance", "conflict"})
        widths = dict(self._widths)
        query = _Query(
            query_id=_text(content, "query_id"),
            canonical_id=_text(content, "canonical_id"),
            domain=_text(content, "domain", DEFAULT_DOMAIN),
            text=str(content.get("text") or ""),
            vectors=self._vectors("query", content.get("query_embeddings"), widths),
            candidates={},
        )
        candidates = [self._candidate(row, widths) for row in rows]
        self._widths = widths
        self._add(query, candidates)

    def _add(self, line: _Query, candidates: Sequence[_Candidate]) -> None:
        query = self.by_id.get(line.query_id, line)
        if (query.canonical_id, query.domain) != (line.canonical_id, line.domain):
            raise InputError(
                f"query {line.query_id!r} has canonical_id and domain {query.canonical_id!r}, "
                f"{query.domain!r} in a line before, here {line.canonical_id!r}, {line.domain!r}"
            )
        added: dict[str, _Candidate] = {}
        for candidate in candidates:
            name = candidate.candidate_id
            if name in query.candidates or name in added:
                raise InputError(f"query {line.query_id!r} has the candidate {name!r} twice")
            added[name] = candidate
        self.by_id[line.query_id] = query
        query.vectors.update(line.vectors)
        query.candidates.update(added)

    def _candidate(self, row: dict[str, Any], widths: dict[str, int]) -> _Candidate:
        features = row.get("features") or {}
        if not isinstance(features, dict):
            raise InputError("features: expected an object of names and numbers")
        numbers = {name: _feature(name, value) for name, value in features.items()}
        return _Candidate(
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

    def assembled(self) -> ScoredSet:
        """Return all that was taken."""
        queries = list(self.by_id.values())
        rows = [candidate for query in queries for candidate in query.candidates.values()]
        names = tuple(sorted({name for row in rows for name in row.features}))
        query_id, canonical_id, domain, text, query_vectors, candidates = zip(*queries, strict=True)
        columns = list(zip(*rows, strict=True)) or [()] * len(_Candidate._fields)
        candidate_id, compliance, conflict, _, vectors = columns
        values = (row.features.get(name, math.nan) for row in rows for name in names)
        return ScoredSet(
            query_id=query_id,
            canonical_id=canonical_id,
            domain=domain,
            text=text,
            offsets=np.cumsum([0, *map(len, candidates)]).astype(np.int64),
            candidate_id=candidate_id,
            compliance=np.array(compliance, np.float64),
            conflict=np.array(conflict, np.float64),
            feature_names=names,
            features=np.fromiter(values, np.float32).reshape(len(rows), len(names)),
            query_vectors=_stacked(query_vectors),
            candidate_vectors=_stacked(vectors),
        )


def _stacked(rows: Sequence[dict[str, Vector]]) -> dict[str, Floats]:
    found: dict[str, Floats] = {}
    for at, row in enumerate(rows):
        for name, vector in row.items():
            if name not in found:
                found[name] = np.full((len(rows), len(vector)), np.nan, np.float32)
            found[name][at] = vector
    return dict(sorted(found.items()))


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


Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ScoredSet:
    """Queries and their candidates, flat; query i owns rows offsets[i]:offsets[i + 1].

    :param canonical_id: of each query: what it is about; what is split by, so that nothing is
        trained on and measured on at once.
    :param domain: of each query; labels are normalised within it.
    :param text: of each query, for people; may be empty.
    :param offsets: shape (queries + 1,).
    :param candidate_id: of each candidate, unique within its query.
    :param compliance: shape (candidates,), 0 to 1: how far the candidate does what is asked.
    :param conflict: shape (candidates,), 0 to 1: a label, or how probable a conflict is.
    :param features: shape (candidates, len(feature_names)), NaN where a value is missing.
    :param query_vectors: by name, shape (queries, width), NaN rows where missing.
    :param candidate_vectors: by name, shape (candidates, width), NaN rows where missing.
    """

    query_id: tuple[str, ...]
    canonical_id: tuple[str, ...]
    domain: tuple[str, ...]
    text: tuple[str, ...]
    offsets: Ints
    candidate_id: tuple[str, ...]
    compliance: NDArray[np.float64]
    conflict: NDArray[np.float64]
    feature_names: tuple[str, ...]
    features: Floats
    query_vectors: Mapping[str, Floats]
    candidate_vectors: Mapping[str, Floats]

    @property
    def n_queries(self) -> int:
        """How many queries there are."""
        return len(self.query_id)

    @property
    def query(self) -> Ints:
        """Shape (candidates,): the query each candidate belongs to."""
        return np.repeat(np.arange(self.n_queries), np.diff(self.offsets))

    def of_queries(self, kept: NDArray[np.bool_]) -> ScoredSet:
        """Return the queries that a mask of shape (queries,) selects, in their order."""
        rows = np.flatnonzero(kept[self.query])
        numbers = np.flatnonzero(kept)
        sizes = np.diff(self.offsets)[numbers]
        return ScoredSet(
            query_id=tuple(self.query_id[at] for at in numbers),
            canonical_id=tuple(self.canonical_id[at] for at in numbers),
            domain=tuple(self.domain[at] for at in numbers),
            text=tuple(self.text[at] for at in numbers),
            offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            candidate_id=tuple(self.candidate_id[at] for at in rows),
            compliance=self.compliance[rows],
            conflict=self.conflict[rows],
            feature_names=self.feature_names,
            features=self.features[rows],
            query_vectors={name: own[numbers] for name, own in self.query_vectors.items()},
            candidate_vectors={name: own[rows] for name, own in self.candidate_vectors.items()},
        )


class SplitSet(NamedTuple):
    """Three sets that share no canonical id."""

    train: ScoredSet
    validation: ScoredSet
    test: ScoredSet


def split_by_canonical_id(
    scored: ScoredSet, *, validation_percent: int, test_percent: int
) -> SplitSet:
    """Split by a hash of the canonical id: the same in every run, and when data are added.

    The highest percents are the test's, those below the validation's. GPU models fall with 10 and
    10 exactly as in `rerank.evaluation.gold`: what LambdaRank is tested on, this ranker is.

    :raises InputError: if a split is left without queries.
    """
    percent = _percents(scored)
    from_test = 100 - test_percent
    from_validation = from_test - validation_percent
    masks: dict[str, NDArray[np.bool_]] = {
        "train": percent < from_validation,
        "validation": (percent >= from_validation) & (percent < from_test),
        "test": percent >= from_test,
    }
    empty = [name for name, mask in masks.items() if not mask.any()]
    if empty:
        known = len(set(scored.canonical_id))
        raise InputError(
            f"the {empty[0]} split has no queries: {known} canonical ids are split "
            f"{from_validation}, {validation_percent} and {test_percent} percent; add queries of "
            "other ids or raise its percent"
        )
    return SplitSet(*(scored.of_queries(mask) for mask in masks.values()))


def held_out(scored: ScoredSet, *, test_percent: int) -> ScoredSet:
    """Return the queries of which a model that kept this percent for testing has seen none.

    :raises InputError: if there are none.
    """
    kept = _percents(scored) >= 100 - test_percent
    if not kept.any():
        raise InputError(
            f"none of the {scored.n_queries} queries is about a canonical id of the test split, "
            f"the highest {test_percent} percent by hash; measure on more queries, or on all"
        )
    return scored.of_queries(kept)


def _percents(scored: ScoredSet) -> NDArray[np.int64]:
    return np.array([percent_of(name) for name in scored.canonical_id], np.int64)


_DIGITS = 4  # of a component: a cosine is off by 1e-4 at most


class ScoredLines:
    """Writes sets in turn; remembers which vectors stand in a line already.

    :param share_vectors: a candidate's vectors are named by its id and written once: right where
        a candidate, such as a GPU, is that of many queries.
    """

    def __init__(self, *, share_vectors: bool = False) -> None:
        self._share = share_vectors
        self._written: set[str] = set()

    def lines(self, scored: ScoredSet) -> Iterator[str]:
        """Yield the lines of a set, each with its newline."""
        for number in range(scored.n_queries):
            rows = range(scored.offsets[number], scored.offsets[number + 1])
            candidates = []
            for row in rows:
                vectors: dict[str, Any] = {}
                for name, own in scored.candidate_vectors.items():
                    vector = _plain(own[row])
                    if self._share and vector is not None:
                        vector_id = f"{name}:{scored.candidate_id[row]}"
                        if vector_id not in self._written:
                            self._written.add(vector_id)
                            yield _line({"vector_id": vector_id, "vector": vector})
                        vectors[name] = vector_id
                    else:
                        vectors[name] = vector
                candidates.append(_candidate(scored, row, vectors))
            yield _line(
                {
                    "query_id": scored.query_id[number],
                    "canonical_id": scored.canonical_id[number],
                    "domain": scored.domain[number],
                    "text": scored.text[number],
                    "query_embeddings": {
                        name: _plain(own[number]) for name, own in scored.query_vectors.items()
                    },
                    "candidates": candidates,
                }
            )


def _candidate(scored: ScoredSet, row: int, vectors: dict[str, Any]) -> dict[str, Any]:
    values = scored.features[row].tolist()
    return {
        "candidate_id": scored.candidate_id[row],
        "compliance": round(float(scored.compliance[row]), _DIGITS),
        "conflict": round(float(scored.conflict[row]), _DIGITS),
        "features": {
            name: None if value != value else float(f"{value:.6g}")
            for name, value in zip(scored.feature_names, values, strict=True)
        },
        "embeddings": vectors,
    }


def _plain(vector: NDArray[np.float32]) -> list[float] | None:
    if np.isnan(vector).any():
        return None
    return [round(value, _DIGITS) for value in vector.astype(np.float64).tolist()]


def _line(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"


Doubles = NDArray[np.float64]

DOMAINS = ("cocktails", "coffee", "mocktails")
FEATURES = (
    "glass_confidence",
    "garnish_confidence",
    "ice_coverage",
    "color_delta_e",
    "subject_ratio",
    "conflict_ingredient",
    "conflict_vessel",
)
_WIDTH, _DRINKS, _CANDIDATES = 32, 60, 12
_MISSING_SHARE = 0.06
_SAME_DRINK = 0.45


class _Shown(NamedTuple):
    """What the photographs show, each of shape (candidates,); true where it is as asked."""

    drink: NDArray[np.bool_]
    glass: NDArray[np.bool_]
    garnish: NDArray[np.bool_]
    forbidden: NDArray[np.bool_]


def synthetic_candidates(n_queries: int, *, seed: int) -> ScoredSet:
    """Return ``n_queries`` requests with 12 photographs each, the same for the same seed."""
    rng = np.random.default_rng(seed)
    rows = n_queries * _CANDIDATES
    drinks = _unit(rng.normal(size=(_DRINKS, _WIDTH)))
    asked = rng.integers(0, _DRINKS, n_queries)
    wanted = np.repeat(asked, _CANDIDATES)
    same = rng.random(rows) < _SAME_DRINK
    shown_drink = np.where(same, wanted, rng.integers(0, _DRINKS, rows))
    shown = _Shown(
        shown_drink == wanted,
        rng.random(rows) < 0.5,
        rng.random(rows) < 0.5,
        rng.random(rows) < 0.3,
    )
    image = drinks[shown_drink] + rng.normal(size=(rows, _WIDTH)) * 0.11
    caption = drinks[shown_drink] + rng.normal(size=(rows, _WIDTH)) * 0.16
    features = _features(shown, rng)
    features[rng.random(features.shape) < _MISSING_SHARE] = np.nan
    compliance = shown.drink * (0.4 + 0.35 * shown.glass + 0.25 * shown.garnish)
    request = drinks[asked] + rng.normal(size=(n_queries, _WIDTH)) * 0.05
    return ScoredSet(
        query_id=tuple(f"request-{number:06d}" for number in range(n_queries)),
        canonical_id=tuple(f"drink-{drink:02d}" for drink in asked),
        domain=tuple(DOMAINS[drink % len(DOMAINS)] for drink in asked),
        text=tuple(f"a photograph of drink {drink}" for drink in asked),
        offsets=np.arange(n_queries + 1, dtype=np.int64) * _CANDIDATES,
        candidate_id=tuple(f"photo-{row:07d}" for row in range(rows)),
        compliance=np.asarray(np.round(compliance, 4), np.float64),
        conflict=shown.forbidden.astype(np.float64),
        feature_names=FEATURES,
        features=np.round(features, 4).astype(np.float32),
        query_vectors={"clip_text": _unit(request).astype(np.float32)},
        candidate_vectors={
            "clip_image": _unit(image).astype(np.float32),
            "clip_caption": _unit(caption).astype(np.float32),
        },
    )


def _features(shown: _Shown, rng: np.random.Generator) -> Doubles:
    """Return what detectors say, noisy, shape (candidates, len(FEATURES)).

    A vessel detector is confident only of large subjects, and each conflict detector sees half
    of the conflicts: what they say counts together.
    """
    rows = len(shown.drink)
    ratio = rng.uniform(0.2, 0.9, rows)
    detected = rng.random(rows) < 0.5
    columns = [
        0.5 + (shown.glass - 0.5) * ratio + rng.normal(size=rows) * 0.08,
        0.5 + (shown.garnish - 0.5) * 0.8 + rng.normal(size=rows) * 0.25,
        rng.beta(2, 2, rows),
        np.where(shown.drink, 8.0, 22.0) + rng.normal(size=rows) * 6.0,
        ratio,
        (shown.forbidden & detected) * 0.7 + rng.beta(2, 8, rows) * 0.6,
        (shown.forbidden & ~detected) * 0.7 + rng.beta(2, 8, rows) * 0.6,
    ]
    return np.column_stack(columns)


def _unit(vectors: Doubles) -> Doubles:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float64)
