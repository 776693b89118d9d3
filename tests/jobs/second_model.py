"""For tests with two models: a second version, listings, and the store's log."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rerank.index.records import shipped
from rerank.lifecycle.model_registry import ModelRegistry
from rerank.lifecycle.versions import VersionCard, VersionRef
from rerank.model import RerankModel, save_model
from rerank.store.database import Store
from rerank.workspace import Workspace

PARTS = (
    "Palit RTX 3080 GamingPro 10GB",
    "Sapphire RX 6600 8GB",
    "MSI RTX 4060 Ti 16G",
    "RTX 3080 box only",
    "gaming laptop with RTX 4060",
    "Zotac GTX 1060 6GB",
)
_MADE_BY_SAVING = ("thresholds", "candidate_features", "offer_features", "candidate_sets")


def add_version(home: Path, draft: Path, *, match=None, distribution=None) -> VersionRef:
    """Register the shipped model under other thresholds; return its version.

    :param match: from which probability it accepts; None for as shipped.
    """
    folder = shipped("model")
    model = RerankModel.load(folder)
    thresholds = model.thresholds if match is None else replace(model.thresholds, match=match)
    parameters = {
        key: value for key, value in model.parameters.items() if key not in _MADE_BY_SAVING
    }
    version = save_model(
        draft,
        ranker=(model.ranker_text, (folder / "ranker.onnx").read_bytes()),
        offer=(model.offer_text, (folder / "offer.onnx").read_bytes()),
        calibrator=model.calibrator,
        thresholds=thresholds,
        candidate_sets=model.candidate_sets,
        parameters={**parameters, "doctored": asdict(thresholds)},
    )
    card = VersionCard(
        kind="ltr",
        version=version,
        created_at="2026-05-01T09:30:00Z",
        created_by="tester",
        distribution=distribution,
    )
    return ModelRegistry(Workspace(home)).register(draft, card)


def listings(n, start=0):
    ids = [f"L{number}" for number in range(start, start + n)]
    titles = [f"{PARTS[number % len(PARTS)]} #{number}" for number in range(start, start + n)]
    return pa.table({"listing_id": ids, "title": titles})


def sql(home, text):
    with Store(Workspace(home).store_path).reading() as session:
        return session.rows("test", text)


def write(path, n=60):
    pq.write_table(listings(n), path)
    return path
