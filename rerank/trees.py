"""Train tree ensembles with LightGBM and export them to ONNX. The only place lightgbm is imported.

Training gives two files: LightGBM's own text (to read, to explain, to go on from) and an ONNX
graph that serves. Feature values are multiples of 1/1024, which float32 thresholds separate
exactly; every export is compared with LightGBM before it is returned.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.index.errors import RerankError
from rerank.index.records import Doubles, Floats
from rerank.model import OnnxTrees

TREE_PARITY_TOLERANCE = 1e-4
_PARITY_ROWS = 4096


@dataclass(frozen=True, slots=True)
class TreeParameters:
    """LightGBM parameters that matter here; stored in the model's manifest."""

    trees: int = 160
    leaves: int = 31
    learning_rate: float = 0.08
    min_rows_in_leaf: int = 40
    feature_fraction: float = 0.7
    l2: float = 5.0
    seed: int = 7


@dataclass(frozen=True, slots=True)
class TrainedTrees:
    """A trained ensemble in both forms."""

    text: str
    onnx: bytes
    importance: dict[str, float]

    def top_importance(self, limit: int = 20) -> dict[str, float]:
        """Return the features of the largest share of the gain, the largest first."""
        ranked = sorted(self.importance.items(), key=lambda item: -item[1])
        return dict(ranked[:limit])


def train_lambdarank(
    features: Floats,
    relevance: NDArray[np.integer[Any]],
    group_sizes: Sequence[int],
    names: Sequence[str],
    parameters: TreeParameters,
    *,
    directions: Mapping[str, int] | None = None,
    weights: Doubles | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> TrainedTrees:
    """Train LambdaRank (Burges 2010) on graded relevance 0..2 within each listing's candidates.

    :param features: shape (candidates, features), rows grouped by listing.
    :param group_sizes: candidates of each listing, in row order.
    :param directions: features the score may only rise (1) or fall (-1) with.
    :param weights: shape (listings,), how many listings each counts as; None: all count as one.
        LightGBM multiplies the gradients of every candidate of the listing by it.
    """
    settings = {
        "objective": "lambdarank",
        "label_gain": [0, 2, 3],
        "lambdarank_truncation_level": 5,
        "metric": "None",
        "monotone_constraints": [(directions or {}).get(name, 0) for name in names],
    }
    by_row = None if weights is None else np.repeat(weights, group_sizes)
    labels = {"label": relevance, "group": list(group_sizes), "weight": by_row}
    return _train(settings, features, labels, names, parameters, progress)


def train_classifier(
    features: Floats,
    labels: NDArray[np.bool_],
    names: Sequence[str],
    parameters: TreeParameters,
    *,
    directions: Mapping[str, int] | None = None,
    weights: Doubles | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> TrainedTrees:
    """Train a binary classifier; its ONNX form gives raw log-odds.

    :param directions: features the log-odds may only rise (1) or fall (-1) with.
    :param weights: shape (rows,), how many rows each counts as; None: all count as one.
    """
    settings = {
        "objective": "binary",
        "metric": "None",
        "monotone_constraints": [(directions or {}).get(name, 0) for name in names],
    }
    weighted = {"label": labels.astype(int), "weight": weights}
    return _train(settings, features, weighted, names, parameters, progress)


def predictor(text: str, *, threads: int) -> Callable[[Floats], Doubles]:
    """Return LightGBM's own raw scores as a function of features: what serving is measured by."""
    import lightgbm as lgb

    booster = lgb.Booster(model_str=text)
    return lambda features: np.asarray(
        booster.predict(features, raw_score=True, num_threads=threads), np.float64
    )


def _train(
    settings: dict[str, Any],
    features: Floats,
    labels: Mapping[str, Any],
    names: Sequence[str],
    parameters: TreeParameters,
    progress: Callable[[float], None],
) -> TrainedTrees:
    import lightgbm as lgb

    if not np.isfinite(features).all():
        raise ValueError("expected features without missing values: those of no evidence say so")
    settings = {
        **settings,
        "num_leaves": parameters.leaves,
        "learning_rate": parameters.learning_rate,
        "min_data_in_leaf": parameters.min_rows_in_leaf,
        "lambda_l2": parameters.l2,
        "feature_fraction": parameters.feature_fraction,
        "seed": parameters.seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
        "max_bin": 255,
    }
    booster = lgb.train(
        settings,
        lgb.Dataset(features, **labels, feature_name=list(names)),
        parameters.trees,
        callbacks=[lambda env: progress((env.iteration + 1) / parameters.trees)],
    )
    onnx = _to_onnx(booster, len(names))
    _check_parity(booster, onnx, features[:_PARITY_ROWS])
    gains = booster.feature_importance("gain")
    total = max(float(gains.sum()), 1e-12)
    importance = {n: round(float(g) / total, 6) for n, g in zip(names, gains, strict=True)}
    return TrainedTrees(booster.model_to_string(), onnx, importance)


def _to_onnx(booster: Any, width: int) -> bytes:
    """Export the raw sum of the trees: a classifier's sigmoid is left to the calibrator."""
    import lightgbm as lgb
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    raw = booster.model_to_string()
    raw = re.sub(r"(?m)^objective=.*$", "objective=regression", raw)
    raw = re.sub(r"\[objective: .*\]", "[objective: regression]", raw)
    model = convert_lightgbm(
        lgb.Booster(model_str=raw),
        initial_types=[("features", FloatTensorType([None, width]))],
        target_opset=15,
        name="trees",
    )
    # Its order, and by default the graph's name, are random: no version would repeat itself.
    model.opset_import.sort(key=lambda opset: opset.domain)
    _expect_no_missing_values(model)
    return bytes(model.SerializeToString())


def _expect_no_missing_values(model: Any) -> None:
    """Spare each step of a tree the question whether the value is missing: a tenth of the time."""
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "nodes_missing_value_tracks_true":
                attribute.ints[:] = [0] * len(attribute.ints)


def _check_parity(booster: Any, onnx: bytes, features: Floats) -> None:
    expected = np.asarray(booster.predict(features, raw_score=True))
    found = OnnxTrees(onnx).score(features)
    worst = float(np.abs(expected - found).max(initial=0.0))
    if worst > TREE_PARITY_TOLERANCE:
        raise RerankError(
            f"ONNX export differs from LightGBM by {worst:.2g}, more than {TREE_PARITY_TOLERANCE}"
        )
