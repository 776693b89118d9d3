"""Read what an evaluation run recorded: every figure of a report starts at one of these queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rerank.evaluation.outcomes import GRADED_PLACES, Outcomes
from rerank.store import Session

Texts = NDArray[np.object_]

UNKNOWN = "unknown"
NO_MATCH = "no match"
SLICES = {
    "chip vendor": f"CASE WHEN l.kind = 'nil' THEN '{NO_MATCH}' ELSE coalesce(g.vendor, '') END",
    "generation": f"CASE WHEN l.kind = 'nil' THEN '{NO_MATCH}' ELSE coalesce(g.generation, '') END",
    "shop": "l.shop",
    "language": "l.language",
    "model": f"CASE WHEN l.kind = 'nil' THEN '{NO_MATCH}' "
    "WHEN l.unseen THEN 'unseen in training' ELSE 'seen in training' END",
    "memory": f"CASE WHEN l.kind = 'nil' THEN '{NO_MATCH}' "
    "WHEN l.gold_memory_gb IS NULL THEN 'not stated' ELSE 'stated' END",
}
"""Each slice of the judged listings, as SQL over a listing ``l`` and its model's facts ``g``."""

_OUTCOMES = """
WITH models AS (
    SELECT registry_version, model, min(vendor) AS vendor, min(generation) AS generation
    FROM registry_gpus GROUP BY registry_version, model)
SELECT l.listing_id, l.kind = 'match' AS is_match, l.listing_group,
    coalesce(o.rank::DOUBLE, 'inf') AS rank, o.grades, o.probability, o.accepted,
    coalesce(o.memory_agrees, false) AS memory_agrees,
    o.memory_agrees IS NOT NULL AS memory_judged,
    o.set_covers, o.set_size, {slices}
FROM evaluation_outcomes AS o
JOIN evaluation_listings AS l USING (run_id, set_name, listing_id)
JOIN evaluation_runs AS r USING (run_id)
LEFT JOIN models AS g ON g.registry_version = r.registry_version AND g.model = l.gold_model
WHERE o.run_id = $run AND o.set_name = $set AND o.system = $system
ORDER BY l.listing_id
""".format(slices=", ".join(f'{sql} AS "{name}"' for name, sql in SLICES.items()))

_RANKS = """
SELECT o.listing_id, coalesce(o.rank::DOUBLE, 'inf') AS rank
FROM evaluation_outcomes AS o
WHERE o.run_id = $run AND o.set_name = $set AND o.system = $system ORDER BY o.listing_id
"""

_BUDGET = """
SELECT count(*) AS listings, count(*) FILTER (lost_to IS NULL) AS "right",
    count(lost_to) AS errors, count(*) FILTER (lost_to = 'retrieval') AS retrieval,
    count(*) FILTER (lost_to = 'ranking') AS ranking,
    count(*) FILTER (lost_to = 'decision') AS decision,
    count(*) FILTER (lost_to = 'label') AS label
FROM evaluation_outcomes
WHERE run_id = $run AND set_name = $set AND system = $system
"""

_CONFUSIONS = """
SELECT l.gold_model AS gold, p.model AS found, count(*) AS n,
    list(l.listing_id ORDER BY l.listing_id)[1:5] AS listing_ids
FROM evaluation_outcomes AS o
JOIN evaluation_listings AS l USING (run_id, set_name, listing_id)
JOIN predictions AS p USING (run_id, set_name, listing_id)
WHERE o.run_id = $run AND o.set_name = $set AND o.system = $system AND l.kind = 'match'
    AND o.rank IS DISTINCT FROM 1 AND l.gold_model IS NOT NULL AND p.model IS NOT NULL
GROUP BY l.gold_model, p.model ORDER BY n DESC, gold, found LIMIT 50
"""

_CAUSES = """
SELECT cause, count(*) AS n FROM evaluation_outcomes
WHERE run_id = $run AND set_name = $set AND system = $system AND cause IS NOT NULL
GROUP BY cause ORDER BY n DESC, cause
"""


@dataclass(frozen=True, slots=True)
class JudgedSet:
    """One system's outcomes on the judged listings of a set, ordered by listing_id.

    :param groups: what is resampled as one.
    :param slices: of each slice, the value of every listing; empty text where it is unknown.
    :param set_covers: whether the candidate set holds the truth; empty if there are none.
    :param set_size: outcomes in the candidate set; empty if there are none.
    """

    listing_ids: Texts
    groups: Texts
    outcomes: Outcomes
    slices: Mapping[str, Texts]
    set_covers: NDArray[np.bool_]
    set_size: NDArray[np.float64]


def judged_set(session: Session, run_id: str, set_name: str, system: str) -> JudgedSet:
    """Read a system's outcomes with everything they can be sliced by."""
    table = session.table("outcomes", _OUTCOMES, _keys(run_id, set_name, system))
    column = {name: _array(table, name) for name in table.column_names if name != "grades"}
    grades = table.column("grades").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    outcomes = Outcomes(
        is_match=column["is_match"].astype(np.bool_),
        ranks=column["rank"].astype(np.float64),
        grades=np.asarray(grades, np.float64).reshape(-1, GRADED_PLACES),
        probability=column["probability"].astype(np.float64),
        accepted=column["accepted"].astype(np.bool_),
        memory_agrees=column["memory_agrees"].astype(np.bool_),
        memory_judged=column["memory_judged"].astype(np.bool_),
    )
    with_sets = table.column("set_covers").null_count == 0
    empty = np.zeros(0)
    return JudgedSet(
        listing_ids=column["listing_id"],
        groups=column["listing_group"],
        outcomes=outcomes,
        slices={name: column[name] for name in SLICES},
        set_covers=(column["set_covers"] if with_sets else empty).astype(np.bool_),
        set_size=(column["set_size"] if with_sets else empty).astype(np.float64),
    )


def ranks_of(
    session: Session, run_id: str, set_name: str, system: str
) -> tuple[Texts, NDArray[np.float64]]:
    """Return the ids and ranks of the listings another system was measured on, ordered by id."""
    found = session.columns("ranks", _RANKS, _keys(run_id, set_name, system))
    return found["listing_id"].astype(object), found["rank"].astype(np.float64)


def loss_budget(session: Session, run_id: str, set_name: str, system: str) -> dict[str, int]:
    """Return how many listings are right and how many each part lost; the parts sum to errors."""
    (row,) = session.table("loss budget", _BUDGET, _keys(run_id, set_name, system)).to_pylist()
    return {name: int(count) for name, count in row.items()}


def confusions(session: Session, run_id: str, set_name: str, system: str) -> list[dict[str, Any]]:
    """Return which model was taken for which, how often, and up to 5 listings each."""
    keys = _keys(run_id, set_name, system)
    rows: list[dict[str, Any]] = session.table("confusions", _CONFUSIONS, keys).to_pylist()
    return rows


def cause_counts(session: Session, run_id: str, set_name: str, system: str) -> dict[str, int]:
    """Return how many errors have each cause, the most frequent first."""
    keys = _keys(run_id, set_name, system)
    return {cause: int(n) for cause, n in session.rows("causes", _CAUSES, keys)}


def _keys(run_id: str, set_name: str, system: str) -> dict[str, str]:
    return {"run": run_id, "set": set_name, "system": system}


def _array(table: pa.Table, name: str) -> NDArray[Any]:
    return np.asarray(table.column(name).to_numpy(zero_copy_only=False))
