"""Registry snapshots: what a gpu_id meant when an answer was given or a figure measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import pyarrow as pa

from index.errors import InputError
from index.records import GpuRecord
from rerank.store.database import Session, utc_now

SCHEMA = pa.schema(
    [
        ("registry_version", pa.string()),
        ("gpu_id", pa.string()),
        ("model", pa.string()),
        ("vendor", pa.string()),
        ("line", pa.string()),
        ("generation", pa.string()),
        ("memory_gb", pa.float64()),
        ("memory_type", pa.string()),
        ("form_factor", pa.string()),
        ("release_year", pa.int32()),
        ("codenames", pa.list_(pa.string())),
        ("aliases", pa.list_(pa.string())),
        ("part_numbers", pa.list_(pa.string())),
    ]
)
_FIELDS = ", ".join(SCHEMA.names[1:])


def save_registry(session: Session, records: Sequence[GpuRecord], version: str) -> bool:
    """Write a registry unless it is there already; return whether it was written.

    :param version: its fingerprint, which changes with the content, so that equal versions need
        no comparison.
    """
    known = "SELECT 1 FROM registry_snapshots WHERE registry_version = ?"
    if session.rows("find registry", known, [version]):
        return False
    session.execute(
        "save registry",
        "INSERT INTO registry_snapshots (registry_version, taken_at, gpus) VALUES (?, ?, ?)",
        [version, utc_now(), len(records)],
    )
    rows = [{"registry_version": version, **asdict(record)} for record in records]
    session.insert("save registry", "registry_gpus", pa.Table.from_pylist(rows, SCHEMA))
    return True


def read_registry(session: Session, version: str) -> list[GpuRecord]:
    """Return the records of a snapshot, ordered by gpu_id.

    :raises InputError: if the store has no snapshot of this version.
    """
    rows = session.rows(
        "read registry",
        f"SELECT {_FIELDS} FROM registry_gpus WHERE registry_version = ? ORDER BY gpu_id",
        [version],
    )
    if not rows:
        raise InputError(
            f"expected a registry snapshot of version {version!r} in the store, found none; "
            '`rerank store sql "SELECT * FROM registry_snapshots"` lists those there are'
        )
    records = []
    for row in rows:
        fields = dict(zip(SCHEMA.names[1:], row, strict=True))
        lists = {name: tuple(fields[name]) for name in ("codenames", "aliases", "part_numbers")}
        records.append(GpuRecord(**{**fields, **lists}))
    return records
