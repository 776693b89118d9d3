"""The log of A/B tests and canaries in the store: who decided what on which listing."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rerank.lifecycle.canary import Look
from rerank.store.database import Session, utc_now

DECISIONS = pa.schema(
    [
        ("experiment", pa.string()),
        ("window_number", pa.int32()),
        ("listing_id", pa.string()),
        ("arm", pa.string()),
        ("served_version", pa.string()),
        ("model_version", pa.string()),
        ("gpu_id", pa.string()),
        ("model", pa.string()),
        ("match_probability", pa.float64()),
        ("decision", pa.string()),
        ("latency_ms", pa.float64()),
        ("logged_at", pa.timestamp("us")),
    ]
)
_TAKEN = ("gpu_id", "model", "match_probability", "decision")


def decision_rows(
    listing_ids: Sequence[str],
    answers: pa.Table,
    *,
    arm: str,
    served_version: pa.Array,
    model_version: str,
    latency_ms: float | None,
    failed: NDArray[np.bool_] | None = None,
) -> pa.Table:
    """Return one model's answers to some listings as rows of the log, without an experiment.

    :param answers: with the columns of `rerank.answers.OUTPUT_SCHEMA`.
    :param arm: of all of them.
    :param served_version: of each listing, the model whose answer was given out.
    :param failed: where the model raised an error; what it decided there is null.
    """
    n = len(listing_ids)
    columns = {name: answers.column(name).combine_chunks() for name in _TAKEN}
    if failed is not None and failed.any():
        mask = pa.array(~failed)
        columns = {
            name: pc.if_else(mask, values, pa.scalar(None, values.type))
            for name, values in columns.items()
        }
    columns |= {
        "experiment": pa.repeat("", n),
        "window_number": pa.repeat(pa.scalar(0, pa.int32()), n),
        "listing_id": pa.array(listing_ids, pa.string()),
        "arm": pa.repeat(arm, n),
        "served_version": served_version,
        "model_version": pa.repeat(model_version, n),
        "latency_ms": pa.array([latency_ms] * n, pa.float64()),
        "logged_at": pa.array([utc_now()] * n, pa.timestamp("us")),
    }
    return pa.table([columns[name] for name in DECISIONS.names], schema=DECISIONS)


def save_decisions(
    session: Session, rows: pa.Table, *, experiment: str, window_number: int = 0
) -> None:
    """Insert rows of an experiment; those of the same listings and window are replaced."""
    numbers = pa.repeat(pa.scalar(window_number, pa.int32()), rows.num_rows)
    for name, values in (
        ("experiment", pa.repeat(experiment, rows.num_rows)),
        ("window_number", numbers),
    ):
        rows = rows.set_column(rows.column_names.index(name), name, values)
    with session.visible("logged", rows):
        session.execute(
            "replace logged decisions",
            """DELETE FROM traffic_decisions WHERE experiment = ? AND window_number = ?
            AND listing_id IN (SELECT listing_id FROM logged)""",
            [experiment, window_number],
        )
    session.insert("log decisions", "traffic_decisions", rows)


def save_window(session: Session, seen: Look) -> None:
    """Insert a window of a canary with its guardrails."""
    state = seen.state
    session.execute(
        "save canary window",
        """INSERT OR REPLACE INTO canary_windows (experiment, window_number, step, share, listings,
        guardrails, breached, outcome, closed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        [
            state.experiment,
            state.windows,
            seen.step,
            seen.share,
            seen.window.listings,
            json.dumps([figure.as_json() for figure in seen.figures]),
            bool(seen.breached),
            seen.outcome.value,
            utc_now(),
        ],
    )


def forget_after(session: Session, experiment: str, window_number: int) -> None:
    """Remove windows that the pointer does not know: a process ended before it told it of them."""
    for table in ("traffic_decisions", "canary_windows"):
        session.execute(
            "forget unknown windows",
            f"DELETE FROM {table} WHERE experiment = ? AND window_number > ?",
            [experiment, window_number],
        )


def logged_listings(session: Session, experiment: str, window_number: int) -> set[str]:
    """Return the ids of the listings that an experiment has counted up to a window."""
    rows = session.rows(
        "read counted listings",
        """SELECT DISTINCT listing_id FROM traffic_decisions
        WHERE experiment = ? AND window_number <= ?""",
        [experiment, window_number],
    )
    return {row[0] for row in rows}
