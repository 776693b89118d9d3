"""An evaluation run in the store: its listings, answers, outcomes and figures, and their joins."""

from __future__ import annotations

import json
import secrets
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from rerank.answer_columns import OUTPUT_SCHEMA, answer_columns
from rerank.evaluation.gold import GoldListing
from rerank.evaluation.intervals import Comparison, Figure
from rerank.evaluation.outcomes import Failure, judge, lost_to
from rerank.evaluation.paired import GoldFacts, judged_rows
from rerank.resolution import Resolution
from rerank.store.database import Session, utc_now

OWN_SYSTEM = "rerank"
Run = Mapping[str, Any]
"""A row of `evaluation_runs`: what an evaluation was made with."""


@dataclass(frozen=True, slots=True)
class AnsweredSet:
    """A set of gold listings with what the systems made of it.

    :param failures: why listings went wrong.
    :param candidate_sets: the outcomes in each listing's set; empty if there are none.
    :param covers: whether each candidate set holds the truth; as long as ``candidate_sets``.
    :param other_ranks: of each other system, the rank by listing_id.
    """

    name: str
    gold: Sequence[GoldListing]
    answers: Sequence[Resolution]
    failures: Sequence[Failure]
    candidate_sets: Sequence[Sequence[str]]
    covers: Sequence[bool]
    other_ranks: Mapping[str, Mapping[str, float]]


def begin_run(command: str, **columns: Any) -> Run:
    """Return a run of a command that begins now, under an id that sorts by time.

    :param command: ``evaluate`` or ``ablate``.
    :param columns: the others of the table; ``machine``, cores, Python and platform, as plain
        values.
    """
    now = utc_now()
    run_id = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    return {"run_id": run_id, "started_at": now, "command": command, **columns}


def record_run(session: Session, run: Run) -> None:
    """Write the run itself."""
    row = {**run, "machine": json.dumps(run["machine"])}
    session.insert("record run", "evaluation_runs", _rows([row], _RUN))


def record_set(session: Session, run: Run, answered: AnsweredSet, facts: GoldFacts) -> None:
    """Write a set's listings, predictions and outcomes, ours and other systems'."""
    keys = {"run_id": run["run_id"], "set_name": answered.name}
    listings = [
        {
            **keys,
            "listing_id": item.listing_id,
            "title": item.title,
            "vendor": item.vendor,
            "kind": item.kind.value,
            "gold_models": list(item.gold_models),
            "gold_model": facts.model(item),
            "gold_memory_gb": item.gold_memory_gb,
            "gold_form": item.gold_form,
            "listing_group": item.group,
            "shop": item.shop,
            "language": item.language,
            "unseen": facts.is_unseen(item),
        }
        for item in answered.gold
    ]
    session.insert("record listings", "evaluation_listings", _rows(listings, _LISTING))
    session.insert("record predictions", "predictions", _predictions(run, answered))
    outcomes = [{**keys, **row} for row in _own_outcomes(answered, facts.names or None)]
    outcomes += [
        {**keys, "system": system, "listing_id": key, "rank": _finite(rank), "grades": []}
        for system, ranks in answered.other_ranks.items()
        for key, rank in ranks.items()
    ]
    session.insert("record outcomes", "evaluation_outcomes", _rows(outcomes, _OUTCOME))


def record_figures(
    session: Session,
    run_id: str,
    set_name: str,
    figures: Mapping[tuple[str, str, str], Mapping[str, Figure]],
    comparisons: Sequence[Comparison] = (),
) -> None:
    """Write figures, by (system, slice, slice value), and comparisons.

    The slice of a whole set is ``all`` with the value ``all``.
    """
    rows = [
        {
            "run_id": run_id,
            "set_name": set_name,
            "system": system,
            "slice": slice_name,
            "slice_value": value,
            "metric": metric,
            "value": figure.value,
            "low": figure.ci95[0] if figure.ci95 else None,
            "high": figure.ci95[1] if figure.ci95 else None,
            "n": figure.n,
        }
        for (system, slice_name, value), found in figures.items()
        for metric, figure in found.items()
    ]
    session.insert("record figures", "evaluation_figures", _rows(rows, _FIGURE))
    compared = [
        {
            "run_id": run_id,
            "set_name": set_name,
            "metric": item.metric,
            "system": item.system,
            "baseline": item.baseline,
            "difference": item.difference,
            "low": item.ci95[0] if item.ci95 else None,
            "high": item.ci95[1] if item.ci95 else None,
            "p_value": item.p_value,
            "p_adjusted": item.p_adjusted,
            "n": item.n,
        }
        for item in comparisons
    ]
    session.insert("record comparisons", "evaluation_comparisons", _rows(compared, _COMPARISON))


def record_ablation(session: Session, run: Run, report: Mapping[str, Any]) -> None:
    """Write what `rerank.packs.gpu.training.ablation.ablate` reports as a run of its own.

    A step is a system; each but the full one is compared with the full one.
    """
    record_run(session, run)
    for set_name, content in report["sets"].items():
        steps = content["steps"]
        (full,) = (step["name"] for step in steps if not step["difference"])
        figures = {
            (step["name"], "all", "all"): {
                metric: _figure(found) for metric, found in step["metrics"].items()
            }
            for step in steps
        }
        compared = [
            Comparison(
                metric,
                step["name"],
                full,
                found["value"],
                tuple(found["ci95"]),
                found["p_value"],
                found["p_adjusted"],
                content["n"],
            )
            for step in steps
            for metric, found in step["difference"].items()
        ]
        record_figures(session, run["run_id"], set_name, figures, compared)


def _figure(found: Mapping[str, Any]) -> Figure:
    low, high = found["ci95"]
    return Figure(found["value"], None if low is None else (low, high), found["n"])


def _predictions(run: Run, answered: AnsweredSet) -> pa.Table:
    table = pa.Table.from_arrays(answer_columns(answered.answers), schema=OUTPUT_SCHEMA)
    rows = len(answered.gold)
    sets = answered.candidate_sets or [()] * rows
    own = {
        "run_id": [run["run_id"]] * rows,
        "set_name": [answered.name] * rows,
        "listing_id": [item.listing_id for item in answered.gold],
        "candidate_set": pa.array([list(models) for models in sets], pa.list_(pa.string())),
    }
    for name, column in own.items():
        table = table.append_column(name, column if isinstance(column, pa.Array) else [column])
    return table


def _own_outcomes(
    answered: AnsweredSet, known_keys: Container[str] | None
) -> Iterator[dict[str, Any]]:
    rows = judged_rows(answered.gold)
    outcomes = judge([answered.gold[at] for at in rows], [answered.answers[at] for at in rows])
    causes = {failure.listing_id: failure.cause.value for failure in answered.failures}
    has_set = bool(answered.candidate_sets)
    for row, at in enumerate(rows):
        item = answered.gold[at]
        lost = lost_to(item, answered.answers[at], known_keys)
        yield {
            "system": OWN_SYSTEM,
            "listing_id": item.listing_id,
            "rank": _finite(float(outcomes.ranks[row])),
            "grades": outcomes.grades[row].astype(int).tolist(),
            "probability": float(outcomes.probability[row]),
            "accepted": bool(outcomes.accepted[row]),
            "memory_agrees": (
                bool(outcomes.memory_agrees[row]) if outcomes.memory_judged[row] else None
            ),
            "lost_to": lost.value if lost else None,
            "cause": causes.get(item.listing_id),
            "set_covers": bool(answered.covers[at]) if has_set else None,
            "set_size": len(answered.candidate_sets[at]) if has_set else None,
        }


def _finite(rank: float) -> int | None:
    return int(rank) if np.isfinite(rank) else None


def _rows(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist([dict(row) for row in rows], schema)


def _schema(texts: str, **others: pa.DataType) -> pa.Schema:
    return pa.schema([*((name, pa.string()) for name in texts.split()), *others.items()])


_DOUBLE = pa.float64()
_TEXTS = pa.list_(pa.string())
_INTERVAL = {"low": _DOUBLE, "high": _DOUBLE, "n": pa.int32()}
_RUN = _schema(
    "run_id command model_version index_version registry_version machine",
    started_at=pa.timestamp("us"),
    seed=pa.int32(),
    samples=pa.int32(),
    latency_p50_ms=_DOUBLE,
    latency_p99_ms=_DOUBLE,
    latency_listings=pa.int32(),
)
_LISTING = _schema(
    "run_id set_name listing_id title vendor kind gold_model gold_form listing_group shop language",
    gold_models=_TEXTS,
    gold_memory_gb=_DOUBLE,
    unseen=pa.bool_(),
)
_OUTCOME = _schema(
    "run_id set_name system listing_id lost_to cause",
    rank=pa.int32(),
    grades=pa.list_(pa.int8()),
    probability=_DOUBLE,
    accepted=pa.bool_(),
    memory_agrees=pa.bool_(),
    set_covers=pa.bool_(),
    set_size=pa.int32(),
)
_FIGURE = _schema("run_id set_name system slice slice_value metric", value=_DOUBLE, **_INTERVAL)
_COMPARISON = _schema(
    "run_id set_name metric system baseline",
    difference=_DOUBLE,
    p_value=_DOUBLE,
    p_adjusted=_DOUBLE,
    **_INTERVAL,
)

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
SELECT l.gold_model AS gold, p.best_guess AS found, count(*) AS n,
    list(l.listing_id ORDER BY l.listing_id)[1:5] AS listing_ids
FROM evaluation_outcomes AS o
JOIN evaluation_listings AS l USING (run_id, set_name, listing_id)
JOIN predictions AS p USING (run_id, set_name, listing_id)
WHERE o.run_id = $run AND o.set_name = $set AND o.system = $system AND l.kind = 'match'
    AND o.rank IS DISTINCT FROM 1 AND l.gold_model IS NOT NULL AND p.best_guess IS NOT NULL
GROUP BY l.gold_model, p.best_guess ORDER BY n DESC, gold, found LIMIT 50
"""

_CAUSES = """
SELECT cause, count(*) AS n FROM evaluation_outcomes
WHERE run_id = $run AND set_name = $set AND system = $system AND cause IS NOT NULL
GROUP BY cause ORDER BY n DESC, cause
"""


def counted(session: Session, run_id: str, set_name: str) -> dict[str, Any]:
    """Return what of our answers was lost where, by joins over a recorded set.

    ``loss_budget``: how many listings are right and how many each part lost; the parts sum to
    errors. ``confusions``: which model was taken for which, how often, and up to 5 listings each.
    ``causes``: how many errors have each cause, the most frequent first.
    """
    keys = {"run": run_id, "set": set_name, "system": OWN_SYSTEM}
    (budget,) = session.table("loss budget", _BUDGET, keys).to_pylist()
    return {
        "loss_budget": {name: int(n) for name, n in budget.items()},
        "confusions": session.table("confusions", _CONFUSIONS, keys).to_pylist(),
        "causes": {cause: int(n) for cause, n in session.rows("causes", _CAUSES, keys)},
    }
