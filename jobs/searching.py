"""Retrieve the candidates of one listing as plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from index.records import Listing, Route

if TYPE_CHECKING:
    from index.retriever import Retriever


def search(
    retriever: Retriever, listing: Listing, *, n_candidates: int, route: Route = Route.FUSED
) -> list[dict[str, Any]]:
    """Return candidates best first.

    ``similarity`` is the cosine of the embeddings; ``shortlist`` the value that ordered them,
    comparable within one answer only.
    """
    batch = retriever.retrieve([listing], n_candidates=n_candidates, route=route)
    found = []
    for row, similarity, shortlist in zip(
        batch.record.tolist(), batch.similarity.tolist(), batch.shortlist.tolist(), strict=True
    ):
        record = retriever.records[row]
        found.append({
            "gpu_id": record.gpu_id, "model": record.model, "memory_gb": record.memory_gb,
            "form_factor": record.form_factor, "similarity": round(similarity, 4),
            "shortlist": round(shortlist, 4),
        })  # fmt: skip
    return found
