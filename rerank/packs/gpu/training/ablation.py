"""Ablation: what each kind of evidence and each feature group earns, on the same candidates.

Features are computed once for generated training listings and once for the gold listings. Each
system of `ablated_systems` is then trained on its columns, by the same listings, parameters and
seed, and ranks the gold listings' candidates; the one with all features is what the others are
compared with. Only listings that sell a GPU are ranked: decisions are not ablated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.evaluation.baselines import this_machine
from rerank.evaluation.gold import GoldKind, GoldListing
from rerank.evaluation.intervals import DEFAULT_SAMPLES, Comparison, Resampling
from rerank.evaluation.metrics import MRR, NDCG_AT_10, PRECISION_AT_1, recall
from rerank.evaluation.paired import PairedTable, plain
from rerank.index.errors import InputError
from rerank.model import OnnxTrees
from rerank.packs.gpu.candidates import CANDIDATE_DIRECTIONS, CANDIDATE_FEATURES
from rerank.packs.gpu.name_evidence import NAME_FEATURES
from rerank.packs.gpu.training.evidence import Prepared, Preparer, RankerRows, joined, ranker_rows
from rerank.packs.gpu.training.sets import Stage, TrainingParameters, generated_listings
from rerank.packs.gpu.training.shortlists import prepare_gold
from rerank.trees import train_lambdarank

COSINE, FUZZY = "cosine", "token_set_ratio"
"""Columns besides `CANDIDATE_FEATURES`: the unrounded cosine of listing and GPU embeddings, -1 to
1, and RapidFuzz's token_set_ratio of title and model name, 0 to 100."""
COLUMNS = (*CANDIDATE_FEATURES, COSINE, FUZZY)
FULL = "all_features"


class ScoreLearner(Enum):
    """What makes a score of features."""

    ALONE = "the one feature itself"
    LINEAR = "pairwise logistic regression"
    TREES = "LambdaRank"


class Part(Enum):
    """Which part of an ablation a system belongs to."""

    LADDER = "ladder"
    LEFT_OUT = "left_out"


@dataclass(frozen=True, slots=True)
class FeatureGroup:
    """Features that say one kind of thing.

    :param words: what they say, for people.
    """

    name: str
    words: str
    features: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class System:
    """One way to rank candidates.

    :param features: the columns it reads.
    :param shown: the features it is about: those it reads, or those that were left out.
    """

    name: str
    label: str
    part: Part
    learner: ScoreLearner
    features: tuple[str, ...]
    shown: tuple[str, ...]


FEATURE_GROUPS = (
    FeatureGroup("similarity", "similarity", ("similarity", "similarity_gap")),
    FeatureGroup(
        "number",
        "number, part number",
        ("named", "prefix_fit", "glued_foreign", "code_length", "code_certain", "code_gap"),
    ),
    FeatureGroup(
        "name_quality",
        "name as a whole",
        ("name_quality", "quality_gap", "exact_rivals", "named_models"),
    ),
    FeatureGroup(
        "suffix", "suffixes", ("suffix_missing", "suffix_absent", "suffix_extra", "suffix_exact")
    ),
    FeatureGroup("line", "line words", ("line_shared", "line_absent", "line_conflict")),
    FeatureGroup(
        "words", "token overlap", ("words_shared", "words_absent", "words_foreign", "rival_words")
    ),
    FeatureGroup(
        "memory",
        "memory",
        ("memory_fit", "model_memory_fit", "memory_type_fit", "memory_rival", "memory_glued"),
    ),
    FeatureGroup("form", "form factor", ("form_fit",)),
    FeatureGroup("vendor", "vendor, partner", ("vendor_fit", "partner_fit")),
    FeatureGroup(
        "context", "place and context", ("mention_at", "mention_order", "compared", "meant_for")
    ),
    FeatureGroup("priors", "variant priors", ("variant_rank", "special_form")),
)
"""Every feature of `CANDIDATE_FEATURES` once. Some sum up others: name_quality holds suffix, line
and prefix evidence, it and similarity_gap the contradiction of memory_rival, and similarity_gap
whether a model is named. So a group left out is not forgotten: its figure is what its columns add
to all the others, a lower bound of what its evidence is worth."""

_OVERLAP = (COSINE, "named", "words_shared", "words_absent", "vendor_fit", "partner_fit")
_CONTRADICTIONS = (
    "suffix_missing",
    "suffix_absent",
    "suffix_extra",
    "line_absent",
    "line_conflict",
    "prefix_fit",
    "glued_foreign",
    "words_foreign",
    "rival_words",
    "memory_fit",
    "model_memory_fit",
    "memory_type_fit",
    "form_fit",
    "memory_rival",
    "compared",
    "meant_for",
)


def _step(name: str, label: str, learner: ScoreLearner, features: tuple[str, ...]) -> System:
    return System(name, label, Part.LADDER, learner, features, features)


LADDER = (
    _step("fuzzy", "fuzzy names only", ScoreLearner.ALONE, (FUZZY,)),
    _step("cosine", "cosine only", ScoreLearner.ALONE, (COSINE,)),
    _step("overlap_and_vendor", "+ token overlap, vendor", ScoreLearner.LINEAR, _OVERLAP),
    _step("contradictions", "+ contradictions", ScoreLearner.LINEAR, (*_OVERLAP, *_CONTRADICTIONS)),
    _step("lambdarank", "+ LambdaRank", ScoreLearner.TREES, (*_OVERLAP, *_CONTRADICTIONS)),
    _step(FULL, "+ all other features", ScoreLearner.TREES, CANDIDATE_FEATURES),
)
LEFT_OUT = tuple(
    System(
        f"without_{group.name}",
        f"without {group.words}",
        Part.LEFT_OUT,
        ScoreLearner.TREES,
        tuple(name for name in CANDIDATE_FEATURES if name not in group.features),
        group.features,
    )
    for group in FEATURE_GROUPS
)
SYSTEMS = (*LADDER, *LEFT_OUT)

Progress = Callable[[str, float], None]
Ranks = tuple[NDArray[np.float64], NDArray[np.float64]]

# Measured of each system; all read ranks or grades alone.
METRICS = (PRECISION_AT_1, MRR, NDCG_AT_10, recall(3))


def ablate(
    preparer: Preparer,
    sets: Mapping[str, Sequence[GoldListing]],
    parameters: TrainingParameters,
    *,
    systems: Sequence[System] = SYSTEMS,
    samples: int = DEFAULT_SAMPLES,
    progress: Progress = lambda stage, share: None,
) -> dict[str, Any]:
    """Measure systems on named sets of gold listings; return a report of plain values.

    ``sets`` holds, by name, ``n`` and ``steps``: name, label, group (ladder or left_out), the
    features a step reads or leaves out, metrics with intervals, and their differences to the
    system with all features with interval, p-value and the p-value corrected over all systems by
    Holm; the full system has no difference. ``seed`` is that of training and of the intervals.

    :param systems: to measure; with the full one among them.
    :raises InputError: if a set has no listing that is a match, or the full system is missing.
    """
    if FULL not in {system.name for system in systems}:
        raise InputError(f"expected the system {FULL!r} to compare with, it is not there")
    chosen = {name: _matches(name, gold) for name, gold in sets.items()}
    progress("features of training listings", 0.0)
    rows = training_rows(preparer, parameters, partial(progress, "features of training listings"))
    tests = {
        name: prepare_gold(preparer, gold, progress=partial(progress, f"features of {name}"))
        for name, gold in chosen.items()
    }
    columns = {
        name: np.concatenate([columns_of(batch, preparer) for batch in test.batches])
        for name, test in tests.items()
    }
    ranked: dict[str, dict[str, Ranks]] = {name: {} for name in tests}
    for system in systems:
        scorer = train_system(
            system, rows, parameters, partial(progress, f"training: {system.label}")
        )
        for name, test in tests.items():
            ranked[name][system.name] = test.truth.outcomes(scorer(columns[name]))
    progress("metrics", 0.0)
    return {
        "seed": parameters.seed,
        "machine": this_machine(),
        "sets": {
            name: {
                "n": len(test.gold),
                "steps": _steps(test.gold, systems, ranked[name], parameters.seed, samples),
            }
            for name, test in tests.items()
        },
    }


def _matches(name: str, gold: Sequence[GoldListing]) -> list[GoldListing]:
    found = [item for item in gold if item.kind is GoldKind.MATCH]
    if not found:
        raise InputError(f"{name}: expected listings of kind match, found none among {len(gold)}")
    return found


def _steps(
    gold: Sequence[GoldListing],
    systems: Sequence[System],
    ranked: Mapping[str, Ranks],
    seed: int,
    samples: int,
) -> list[dict[str, Any]]:
    """Measure all systems and compare the others with the full one."""
    all_matches = np.ones(len(gold), np.bool_)
    table = PairedTable(
        {
            name: {"ranks": ranks, "grades": grades, "is_match": all_matches}
            for name, (ranks, grades) in ranked.items()
        },
        Resampling.draw((item.group for item in gold), seed=seed, samples=samples),
    )
    compared = [item for metric in METRICS for item in table.against(FULL, metric)]
    return [
        {
            "name": system.name,
            "label": system.label,
            "group": system.part.value,
            "learner": system.learner.value,
            "features": list(system.shown),
            "metrics": plain(table.figures(system.name, METRICS)),
            "difference": {
                item.metric: _difference(item) for item in compared if item.system == system.name
            },
        }
        for system in systems
    ]


def _difference(item: Comparison) -> dict[str, Any]:
    found = item.as_dict()
    return {
        "value": found["difference"],
        "ci95": found["ci95"],
        "p_value": found["p_value"],
        "p_adjusted": found["p_adjusted"],
    }


Columns = NDArray[np.float32]
Scorer = Callable[[Columns], NDArray[np.floating[Any]]]

_QUANTUM = 1024.0  # as of the features: float32 trees agree with LightGBM's on multiples of 1/1024
_NAMED = COLUMNS.index("named")


def training_rows(
    preparer: Preparer, parameters: TrainingParameters, progress: Callable[[float], None]
) -> RankerRows:
    """Return the rows that `rerank.packs.gpu.training.train.train` trains on, all columns."""
    only_ranker = replace(parameters, offer_listings=0, validation_listings=0)
    labelled = generated_listings(preparer.table.records, only_ranker)[Stage.RANKER]
    return joined(
        [
            ranker_rows(replace(prepared, features=columns_of(prepared, preparer)), preparer.table)
            for prepared in preparer.batches(labelled, progress=progress)
        ]
    )


def columns_of(prepared: Prepared, preparer: Preparer) -> Columns:
    """Return the candidates' features, then their cosine and token_set_ratio."""
    batch = prepared.candidates
    cosine = np.round(batch.similarity * _QUANTUM) / _QUANTUM
    titles = [listing.title for listing in prepared.listings]
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
    if system.learner is ScoreLearner.ALONE:
        return lambda columns: columns[:, read[0]]
    if system.learner is ScoreLearner.LINEAR:
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


Floats = NDArray[np.float64]

_L2 = 1e-4  # of the mean loss; keeps the weights of separable pairs finite
_STEPS = 50
_CONVERGED = 1e-8


@dataclass(frozen=True, slots=True, eq=False)
class LinearRanker:
    """Scores candidates by a weighted sum.

    :param weights: shape (features,), in units of the features as they are.
    """

    weights: Floats

    def score(self, features: NDArray[np.floating[Any]]) -> Floats:
        """Return one score a row, comparable within a listing only, shape (rows,)."""
        return np.asarray(features.astype(np.float64) @ self.weights, np.float64)


def fit_pairwise(
    features: NDArray[np.floating[Any]],
    relevance: NDArray[np.integer[Any]],
    sizes: Sequence[int],
) -> LinearRanker:
    """Fit a pairwise logistic model: the better candidate of a pair is to have the higher score.

    Of each listing, its best-graded candidate (the first of several) is paired with every one of a
    lower grade; the mean of log(1 + exp(-difference)) is minimised by Newton's method over
    standardised features, with a little L2. Source: Burges et al., Learning to Rank using Gradient
    Descent, 2005 (RankNet), with a linear score.

    :param features: shape (candidates, features), rows grouped by listing.
    :param relevance: shape (candidates,), higher is better.
    :param sizes: candidates of each listing, in row order.
    :raises InputError: if sizes do not add up, or no listing has candidates of different grades.
    """
    if int(np.sum(sizes)) != len(features) or len(relevance) != len(features):
        raise InputError(
            f"expected a grade for each of {len(features)} candidates and sizes that add up to "
            f"them, got {len(relevance)} grades and a sum of {int(np.sum(sizes))}"
        )
    better, worse = _pairs(relevance, np.asarray(sizes, np.int64))
    if not len(better):
        raise InputError("expected candidates of different grades in some listing, found none")
    spread = features.std(axis=0, dtype=np.float64)
    scale = np.where(spread > 0, spread, 1.0)
    differences = (features[better].astype(np.float64) - features[worse]) / scale
    return LinearRanker(_minimised(differences) / scale)


def _pairs(
    relevance: NDArray[np.integer[Any]], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows of each listing's best candidate and of those below it, one row a pair."""
    filled = sizes[sizes > 0]
    starts = np.cumsum(filled) - filled
    listing = np.repeat(np.arange(len(filled)), filled)
    order = np.lexsort((np.arange(len(relevance)), -relevance, listing))
    best = order[starts][listing] if len(starts) else np.zeros(0, np.int64)
    worse = np.flatnonzero(relevance < relevance[best])
    return best[worse], worse


def _minimised(differences: Floats) -> Floats:
    pairs, width = differences.shape
    weights = np.zeros(width)
    for _ in range(_STEPS):
        # The loss is flat far out: clipping changes nothing but keeps exp finite.
        doubt = 1.0 / (1.0 + np.exp(np.clip(differences @ weights, -500, 500)))
        slope = _L2 * weights - differences.T @ doubt / pairs
        curve = (differences * (doubt * (1 - doubt))[:, None]).T @ differences / pairs
        step = np.linalg.solve(curve + _L2 * np.eye(width), slope)
        weights = weights - step
        if float(np.abs(step).max(initial=0.0)) < _CONVERGED:
            break
    return weights
