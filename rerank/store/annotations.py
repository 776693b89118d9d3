"""Annotations in the store: what a person said a listing sells."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

import pyarrow as pa

from rerank.store.database import Session, utc_now


class Verdict(Enum):
    """What a person may say of a listing.

    ``NONE_OF_THESE``: it sells a GPU, but none of the registry. ``NOT_GPU``: it sells no GPU (an
    accessory, a whole computer). ``UNSURE``: the text does not tell.
    """

    MATCH = "match"
    NONE_OF_THESE = "none_of_these"
    NOT_GPU = "not_gpu"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class Annotation:
    """One person's answer for one listing; a later answer replaces it.

    :param gpu_id: the variant, if it is known; never without ``model``.
    :param model: canonical name; set exactly if ``verdict`` is `MATCH`.
    :param shown: gpu_ids that were offered, in their order; empty for imported answers.
    :param model_version: what had ranked them; empty for imported answers.
    :param annotated_at: UTC; None means now.
    """

    listing_id: str
    annotator: str
    verdict: Verdict
    gpu_id: str | None = None
    model: str | None = None
    shown: tuple[str, ...] = field(default=())
    model_version: str = ""
    note: str = ""
    annotated_at: datetime | None = None


SCHEMA = pa.schema(
    [
        ("listing_id", pa.string()),
        ("annotator", pa.string()),
        ("verdict", pa.string()),
        ("gpu_id", pa.string()),
        ("model", pa.string()),
        ("shown", pa.list_(pa.string())),
        ("model_version", pa.string()),
        ("note", pa.string()),
        ("annotated_at", pa.timestamp("us")),
    ]
)


def save_annotations(session: Session, annotations: Iterable[Annotation]) -> None:
    """Write answers; one of the same annotator for the same listing is replaced."""
    rows = [
        {
            "listing_id": item.listing_id,
            "annotator": item.annotator,
            "verdict": item.verdict.value,
            "gpu_id": item.gpu_id,
            "model": item.model,
            "shown": list(item.shown),
            "model_version": item.model_version,
            "note": item.note,
            "annotated_at": item.annotated_at or utc_now(),
        }
        for item in annotations
    ]
    session.insert(
        "save annotations", "annotations", pa.Table.from_pylist(rows, SCHEMA), replace=True
    )


def read_annotations(session: Session, *, annotator: str | None = None) -> list[Annotation]:
    """Return all answers, or one person's, ordered by listing and annotator."""
    rows = session.rows(
        "read annotations",
        "SELECT listing_id, annotator, verdict, gpu_id, model, shown, model_version, note, "
        "annotated_at FROM annotations WHERE $annotator IS NULL OR annotator = $annotator "
        "ORDER BY listing_id, annotator",
        {"annotator": annotator},
    )
    return [
        Annotation(key, who, Verdict(verdict), gpu_id, model, tuple(shown), version, note, at)
        for key, who, verdict, gpu_id, model, shown, version, note, at in rows
    ]
