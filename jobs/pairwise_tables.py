"""Pairwise rankers as text for people, at most 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobs.tables import table


def ranker_text(metadata: Mapping[str, Any], folder: Path) -> str:
    """Return what was trained, on what, and how good it is."""
    dataset, sides = metadata["dataset"], metadata["metrics"]
    dim = metadata["embedding_dim"]
    reads = f"{metadata['metric_dim']} metrics, " + (
        f"embeddings of {dim}" if dim else "no embeddings"
    )
    epochs = len(metadata["loss_history"])
    lines = [
        f"ranker {metadata['name']} in {folder}",
        "",
        f"  reads     {reads}",
        f"  pairs     {dataset['training_pairs']} taught it, {dataset['validation_pairs']} held "
        f"out, {dataset['malformed']} lines left out",
        f"  training  {epochs} epochs in {metadata['training_time']:.1f} s, the weights are of "
        f"epoch {metadata['best_epoch']}",
        f"  parity    torch and ONNX differ by at most {metadata['parity']['score']:.1e}",
        "",
    ]
    header = ("pairs right", "training", "95 % interval", "held out", "95 % interval")
    rows = [
        [label, *(cell for side in ("training", "validation") for cell in _cells(sides[side][key]))]
        for label, key in (
            ("network", "pair_accuracy"),
            ("heuristic", "heuristic_pair_accuracy"),
            ("difference", "gain_over_heuristic"),
        )
    ]
    return "\n".join([*lines, table(header, rows, left=(0,))])


def _cells(figure: Mapping[str, Any]) -> tuple[str, str]:
    low, high = figure["ci95"]
    if figure["value"] is None:
        return "-", "-"
    return f"{figure['value']:.3f}", f"{low:.3f} to {high:.3f}"
