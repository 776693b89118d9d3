"""What an ablated system trains on and how: all columns once, then each system on its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.name_evidence import NAME_FEATURES
from rerank.evaluation.ablated_systems import COLUMNS, COSINE, Learner, System
from rerank.features import CANDIDATE_DIRECTIONS
from rerank.pairwise_training import fit_pairwise
from rerank.training_evidence import Prepared, Preparer, RankerRows, ranker_rows
from rerank.training_sets import Stage, TrainingParameters, generated_listings
from rerank.tree_training import train_lambdarank
from rerank.trees import OnnxTrees

Columns = NDArray[np.float32]
Scorer = Callable[[Columns], NDArray[np.floating[Any]]]

_QUANTUM = 1024.0  # as of the features: float32 trees agree with LightGBM's on multiples of 1/1024
_NAMED = COLUMNS.index("named")


def training_rows(
    preparer: Preparer, parameters: TrainingParameters, progress: Callable[[float], None]
) -> RankerRows:
    """Return the rows the ranker trains on, as `rerank.training.train` makes them, all columns."""
    only_ranker = replace(parameters, offer_listings=0, validation_listings=0)
    labelled = generated_listings(preparer.table.records, only_ranker)[Stage.RANKER]
    return RankerRows.joined(
        [
            ranker_rows(replace(prepared, features=columns_of(prepared, preparer)), preparer.table)
            for prepared in preparer.batches(labelled, progress=progress)
        ]
    )


def columns_of(prepared: Prepared, preparer: Preparer) -> Columns:
    """Return the candidates' features, then their cosine and token_set_ratio."""
    batch = prepared.candidates
    cosine = np.round(batch.similarity * _QUANTUM) / _QUANTUM
    titles = [item.listing.title for item in prepared.labelled]
    models = [preparer.table.records[row].model for row in batch.record.tolist()]
    ratio = _token_set_ratios(titles, models, batch.listing.tolist())
    return np.column_stack([prepared.features, cosine, ratio]).astype(np.float32)


def _token_set_ratios(
    titles: Sequence[str], models: Sequence[str], listing: Sequence[int]
) -> list[float]:
    """Compare each candidate's model with its listing's title, lower case without punctuation."""
    from rapidfuzz import fuzz, utils

    plain_titles = [utils.default_process(title) for title in titles]
    plain_models = {model: utils.default_process(model) for model in set(models)}
    return [
        fuzz.token_set_ratio(plain_titles[at], plain_models[model])
        for at, model in zip(listing, models, strict=True)
    ]


def train_system(
    system: System,
    rows: RankerRows,
    parameters: TrainingParameters,
    progress: Callable[[float], None],
) -> Scorer:
    """Train a system on its columns; return what scores rows of all columns."""
    progress(0.0)
    read = [COLUMNS.index(name) for name in system.features]
    if system.learner is Learner.ALONE:
        return lambda columns: columns[:, read[0]]
    if system.learner is Learner.LINEAR:
        ranker = fit_pairwise(_plain(rows.features, read), rows.relevance, rows.sizes.tolist())
        return lambda columns: ranker.score(_plain(columns, read))
    directions = {**CANDIDATE_DIRECTIONS, COSINE: 1}
    trained = train_lambdarank(
        rows.features[:, read],
        rows.relevance,
        rows.sizes.tolist(),
        system.features,
        parameters.ranker,
        directions=directions,
        progress=progress,
    )
    trees = OnnxTrees(trained.onnx)
    return lambda columns: trees.score(columns[:, read])


def _plain(columns: Columns, read: Sequence[int]) -> Columns:
    """Return columns as a weighted sum can read them: no -1 for "not named" among the counts."""
    unnamed = columns[:, _NAMED] < 1
    of_names = np.isin(read, range(len(NAME_FEATURES)))
    return np.where(unnamed[:, None] & of_names, np.float32(0), columns[:, read])
