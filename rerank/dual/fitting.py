"""Fit one system: the ensemble on the training split, its calibrators on the validation split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rerank.calibration import Calibrator, fit_calibrator
from rerank.dual.config import DualConfig, NetworkSettings, TrainingSettings
from rerank.dual.inputs import InputSchema
from rerank.dual.labels import DualLabel
from rerank.dual.model import DualScores, centred_on_query, mean_log_odds, scores_of
from rerank.dual.network import OnnxEnsemble
from rerank.dual.order import NO_ROW, first_rows
from rerank.dual.scored_set import ScoredSet
from rerank.dual.splitting import SplitSet, split_by_canonical_id
from rerank.dual.training import LabelledRows, TrainedEnsemble, train_ensemble
from rerank.dual.uncertainty import doubt_of_first

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

CONFLICT_FROM = 0.5  # a conflict given as a probability counts as one from here
# Labels are sums of decimal shares: below this two are the same.
SAME_LABEL = 1e-6


class SplitRows(NamedTuple):
    """The candidates of each split as a network reads them."""

    train: LabelledRows
    validation: LabelledRows
    test: LabelledRows


@dataclass(frozen=True, slots=True, eq=False)
class DualData:
    """Three splits with their inputs and labels.

    :param rows: of each split, all inputs of ``schema``.
    """

    splits: SplitSet
    schema: InputSchema
    label: DualLabel
    rows: SplitRows

    @classmethod
    def prepare(cls, scored: ScoredSet, config: DualConfig) -> DualData:
        """Split by canonical id; fit labels and schema on the training split alone.

        :raises InputError: if a split is empty or a pattern of the configuration fits no feature.
        """
        splits = split_by_canonical_id(
            scored,
            validation_percent=config.split.validation_percent,
            test_percent=config.split.test_percent,
        )
        schema = InputSchema.of(
            splits.train,
            conflict_features=config.inputs.conflict_features,
            ignored_features=config.inputs.ignored_features,
            products=config.inputs.embedding_products,
        )
        label = DualLabel.fit(splits.train, config.label.compliance_weight)
        rows = SplitRows(*(rows_of(each, schema, label) for each in splits))
        return cls(splits, schema, label, rows)


def rows_of(scored: ScoredSet, schema: InputSchema, label: DualLabel) -> LabelledRows:
    """Return a set's candidates with inputs and labels."""
    return LabelledRows(schema.compute(scored), label.of(scored), scored.conflict, scored.offsets)


@dataclass(frozen=True, slots=True, eq=False)
class FittedSystem:
    """A trained ensemble over some of the inputs, with its calibrators.

    :param columns: numbers of the inputs it reads.
    """

    columns: NDArray[np.int64]
    trained: TrainedEnsemble
    network: OnnxEnsemble
    conflict_calibrator: Calibrator
    error_calibrator: Calibrator

    def score(self, rows: LabelledRows) -> DualScores:
        """Score rows of all inputs, by ONNX Runtime as it will serve."""
        outputs = self.network.outputs(rows.inputs[:, self.columns])
        return scores_of(outputs, rows.offsets, self.conflict_calibrator, self.error_calibrator)


def fit_system(
    data: DualData,
    network: NetworkSettings,
    training: TrainingSettings,
    *,
    columns: NDArray[np.int64],
    seed: int,
    progress: Callable[[float], None] = lambda share: None,
) -> FittedSystem:
    """Train on the training split, calibrate on the validation split; the test split is unread."""
    train, validation, _ = (part._replace(inputs=part.inputs[:, columns]) for part in data.rows)
    trained = train_ensemble(train, validation, network, training, seed=seed, progress=progress)
    served = OnnxEnsemble(trained.onnx)
    outputs = served.outputs(validation.inputs)
    centred = centred_on_query(outputs.scores, validation.offsets)
    wrong = is_error(data.splits.validation, centred.mean(axis=0), validation.label)
    filled = np.diff(validation.offsets) > 0
    doubt = doubt_of_first(centred, validation.offsets)
    return FittedSystem(
        columns=columns,
        trained=trained,
        network=served,
        conflict_calibrator=_calibrator(
            mean_log_odds(outputs), validation.conflict >= CONFLICT_FROM
        ),
        error_calibrator=_calibrator(doubt[filled], wrong[filled]),
    )


def is_error(scored: ScoredSet, scores: Floats, label: Floats) -> Bools:
    """Return of each query whether another candidate has a higher label than the first one.

    A query without candidates is an error.
    """
    first = first_rows(scored, scores)
    wrong = np.ones(scored.n_queries, bool)
    filled = first != NO_ROW
    best = np.maximum.reduceat(label, scored.offsets[:-1][filled]) if filled.any() else label[:0]
    wrong[filled] = label[first[filled]] < best - SAME_LABEL
    return wrong


def _calibrator(values: Floats, happened: Bools) -> Calibrator:
    """Fit isotonic regression; where only one outcome occurred, Laplace's share of it for all."""
    if not len(happened) or happened.all() or not happened.any():
        share = (float(happened.sum()) + 1.0) / (len(happened) + 2.0)
        return Calibrator((0.0,), (share,))
    return fit_calibrator(values, happened)
