"""Train a pairwise ranker on a data set of pairs: split, fit, measure, export, write."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.errors import InputError
from rerank.pairwise.artifact import (
    FORMAT_VERSION,
    LIBRARIES,
    RankerFiles,
    check_name,
    check_target,
    write_ranker,
)
from rerank.pairwise.continuing import Continued
from rerank.pairwise.dataset import PairDataset, Pairs
from rerank.pairwise.exporting import export
from rerank.pairwise.feature_space import FeatureSpace
from rerank.pairwise.heuristic import heuristic_scores
from rerank.pairwise.items import PairItem
from rerank.pairwise.judging import Preference, pair_figures
from rerank.pairwise.network import INVERSE_SCALE, MEAN, fit_network
from rerank.pairwise.parameters import PairwiseParameters
from rerank.pairwise.scoring import OnnxScorer
from rerank.pairwise.splitting import PairSplit, split_pairs

Floats = NDArray[np.float32]

DEFAULT_NAME = "pairwise_ranker"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """What is trained, and where it goes.

    :param embedding_dim: what the data are expected to have; None takes what they have, 0 leaves
        embeddings out.
    :param continue_from: the ``.pth`` of a ranker to go on from, its metadata beside it.
    """

    folder: Path
    name: str = DEFAULT_NAME
    parameters: PairwiseParameters = field(default_factory=PairwiseParameters)
    embedding_dim: int | None = None
    continue_from: Path | None = None

    def check(self) -> None:
        """Check what can be checked before any data are read.

        :raises InputError: if the name, the folder or a parameter cannot be used.
        :raises ArtifactError: if the folder holds damaged rankers.
        """
        check_name(self.name)
        check_target(self.folder)
        if self.parameters.hidden_dim < 2:
            raise InputError(
                f"expected a hidden layer of at least 2, got {self.parameters.hidden_dim}"
            )


def train_pairwise(
    dataset: PairDataset,
    plan: TrainingPlan,
    *,
    progress: Callable[[float], None] = lambda share: None,
) -> dict[str, Any]:
    """Train a ranker, write it and let it serve in its folder; return its metadata.

    :raises InputError: if the data cannot be learnt from, or are not as the plan expects.
    :raises MismatchError: if a network to go on from reads something else.
    :raises RerankError: if the exported graphs score otherwise than torch; nothing is written.
    """
    plan.check()
    started = time.perf_counter()
    task = _Task.prepare(dataset, plan)
    raw = task.space.raw(task.dataset.items)
    fitted = fit_network(
        task.space.prepared(raw),
        task.training,
        task.validation,
        plan.parameters,
        start=None if task.continued is None else task.continued.weights,
        progress=progress,
    )
    exported = export(task.space, fitted.weights, raw)
    scores = OnnxScorer(exported.scorer, where="exported scorer").score(raw)
    metadata = {
        **task.described(plan),
        "loss_history": _rounded(fitted.losses),
        "validation_loss_history": _rounded(fitted.validation_losses),
        "best_epoch": fitted.best_epoch,
        **_judged(task.dataset, task.split, scores, plan.parameters.seed),
        "parity": exported.parity,
        "training_time": round(time.perf_counter() - started, 3),
    }
    state = {MEAN: task.space.mean, INVERSE_SCALE: task.space.inverse_scale, **fitted.weights}
    files = RankerFiles(state, exported.comparer, exported.scorer, metadata)
    write_ranker(plan.folder, plan.name, files)
    return metadata


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """What is learnt from what: data, their split and the columns read of them."""

    dataset: PairDataset
    split: PairSplit
    taught: list[PairItem]
    space: FeatureSpace
    continued: Continued | None

    @classmethod
    def prepare(cls, dataset: PairDataset, plan: TrainingPlan) -> _Task:
        dataset, embedding_dim = _with_embedding_dim(dataset, plan.embedding_dim)
        continued = None if plan.continue_from is None else Continued.read(plan.continue_from)
        share, seed = plan.parameters.validation_share, plan.parameters.seed
        split = split_pairs(dataset.items, dataset.pairs, share=share, seed=seed)
        training = dataset.pairs.at(~split.validation)
        if not training.label.any():
            raise InputError(
                f"expected training pairs with a label of 1 or -1, found none among "
                f"{len(training.label)}; lower --validation-share or collect more pairs"
            )
        taught = _items_of(dataset.items, training)
        if continued is None:
            space = FeatureSpace.fit(taught, embedding_dim)
        else:
            space = continued.space_for(dataset.items, embedding_dim, plan.parameters)
        return cls(dataset, split, taught, space, continued)

    @property
    def training(self) -> Pairs:
        return self.dataset.pairs.at(~self.split.validation)

    @property
    def validation(self) -> Pairs:
        return self.dataset.pairs.at(self.split.validation)

    def described(self, plan: TrainingPlan) -> dict[str, Any]:
        return {
            "format_version": FORMAT_VERSION,
            "name": plan.name,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "configuration": plan.parameters.as_dict(),
            "continued_from": None if self.continued is None else self.continued.described,
            **_described_space(self.space),
            "features": self.space.report(self.taught),
            "dataset": _described_dataset(self.dataset, self.split),
            "libraries": {library: version(library) for library in LIBRARIES},
        }


def _with_embedding_dim(dataset: PairDataset, expected: int | None) -> tuple[PairDataset, int]:
    """Return the data and the length of the embeddings that are read of them."""
    if expected == 0:
        return dataset.without_embeddings(), 0
    found = dataset.embedding_dim()
    if expected is not None and expected != found:
        have = f"embeddings of {found} numbers" if found else "no embeddings"
        raise InputError(
            f"expected embeddings of {expected} numbers, as --embedding-dim says, found {have}; "
            "leave --embedding-dim out to take what the data have, or give 0 to read no embeddings"
        )
    return dataset, found


def _items_of(items: Sequence[PairItem], pairs: Pairs) -> list[PairItem]:
    rows = np.unique(np.concatenate([pairs.a, pairs.b]))
    return [items[row] for row in rows.tolist()]


def _described_space(space: FeatureSpace) -> dict[str, Any]:
    return {
        "feature_names": list(space.metric_names),
        "embedding_dim": space.embedding_dim,
        "metric_dim": len(space.metric_names),
        "input_dim": space.width,
        "network_input_dim": space.n_inputs,
        "indicators": space.indicator_names,
    }


def _described_dataset(dataset: PairDataset, split: PairSplit) -> dict[str, Any]:
    labels = Counter(dataset.pairs.label.tolist())
    types = Counter(item.item_type for item in dataset.items)
    return {
        "sha256": dataset.sha256,
        "lines": dataset.lines,
        "malformed": len(dataset.malformed),
        "pairs": len(dataset.pairs.label),
        "items": len(dataset.items),
        "labels": {str(label): labels[label] for label in (-1, 0, 1)},
        "item_types": dict(sorted(types.items())),
        "training_pairs": int((~split.validation).sum()),
        "validation_pairs": int(split.validation.sum()),
        "kept_together": split.kept_together.value,
    }


def _judged(dataset: PairDataset, split: PairSplit, scores: Floats, seed: int) -> dict[str, Any]:
    """Return figures of both sides, and how differences become preferences: learnt on validation
    pairs where these state a preference, else on those of training.
    """
    pairs, unseen = dataset.pairs, split.validation
    difference = scores[pairs.a] - scores[pairs.b]
    rule = heuristic_scores(dataset.items)
    by_rule = rule[pairs.a] - rule[pairs.b]

    def figures(side: NDArray[np.bool_]) -> dict[str, Any]:
        return pair_figures(
            difference[side], by_rule[side], pairs.label[side], split.group[side], seed=seed
        )

    learnt_on = unseen if pairs.label[unseen].any() else ~unseen
    preference = Preference.fit(difference[learnt_on], pairs.label[learnt_on])
    return {
        "metrics": {"training": figures(~unseen), "validation": figures(unseen)},
        "preference": {"scale": preference.scale, "equal_within": preference.equal_within},
    }


def _rounded(losses: Sequence[float]) -> list[float]:
    return [round(loss, 6) for loss in losses]
