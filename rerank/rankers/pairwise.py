"""The pairwise ranker: trained on pairs, kept by name in a folder, beside a heuristic.

NAME.pth             state dict of tensors, to train on from
NAME.onnx            input_a, input_b -> score_diff
NAME_scorer.onnx     input -> score
NAME_metadata.json   configuration, columns, loss history, figures
active_model.json    which NAME serves; the one file that may be edited
manifest.json        sha256 of all others
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rerank.domain import GPU, domain_named
from rerank.evaluation.intervals import Resampling
from rerank.evaluation.metrics import AVERAGE, SHARE, Metric
from rerank.index.artifacts import (
    MANIFEST,
    check_replaceable,
    check_values,
    numbers,
    read_json,
    read_manifest,
    read_regular,
    reading,
    typed_record,
    write_manifest,
    writing_folder,
)
from rerank.index.errors import ArtifactError, InputError, MismatchError
from rerank.rankers.inputs import (
    EMBEDDING,
    MOST_DEVIATIONS,
    WIDEST,
    FeatureSpace,
    Scaling,
    raw_rows,
)
from rerank.rankers.networks import (
    INVERSE_SCALE,
    MEAN,
    Layers,
    Network,
    OnnxNetwork,
    exported,
    fit_pairs,
    load_state,
    save_state,
)
from rerank.rankers.pairs import (
    CANDIDATE_TYPE,
    AnyItem,
    PairDataset,
    PairItem,
    Pairs,
    PairSplit,
    item_of,
    split_pairs,
)
from rerank.rankers.parameters import PairwiseParameters
from rerank.ranking import RankingBatch

PAIRWISE_FORMAT = 1
PAIRWISE_KIND = "pairwise ranker"
PAIRWISE_REMEDY = "rerank train-pairwise"
ACTIVE = "active_model.json"
LIBRARIES = ("numpy", "onnx", "onnxruntime", "torch")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SCORER = "_scorer"


class PairwiseLayout(NamedTuple):
    """The files of one ranker: state dict, graph of pairs, graph of single items, and what it is
    and how good.
    """

    network: str
    comparer: str
    scorer: str
    metadata: str

    @classmethod
    def of(cls, name: str) -> PairwiseLayout:
        """Return the files of a ranker of this name."""
        endings = (".pth", ".onnx", f"{_SCORER}.onnx", "_metadata.json")
        return cls(*(name + ending for ending in endings))


@dataclass(frozen=True, slots=True)
class StoredRanker:
    """A ranker as it lies in its folder, verified."""

    name: str
    scorer: bytes
    metadata: dict[str, Any]


def check_name(name: str) -> None:
    """Check that a name can open the names of files.

    :raises InputError: if it cannot.
    """
    if not _NAME.fullmatch(name) or name.endswith(_SCORER):
        raise InputError(
            f"expected a name of letters, digits, '.', '_' and '-' that does not end in "
            f"{_SCORER}, got {name!r:.120}"
        )


def check_target(folder: Path) -> dict[str, Any]:
    """Check that a ranker can be written into a folder, before it is trained; return what the
    manifest says of each ranker that is there, by name.

    :raises InputError: if the folder holds anything but pairwise rankers.
    :raises ArtifactError: if it is a file, or rankers in it are damaged.
    """
    check_replaceable(folder, kind=PAIRWISE_KIND)
    return _manifest(folder) if (folder / MANIFEST).exists() else {}


def write_ranker(
    folder: Path, name: str, network: Network, graphs: tuple[bytes, bytes], metadata: dict[str, Any]
) -> None:
    """Write a ranker and let it serve; rankers of other names in the folder stay.

    :param graphs: that of single items, and that of pairs.
    :raises InputError: if the folder holds anything else.
    """
    others = {other: said for other, said in check_target(folder).items() if other != name}
    layout = PairwiseLayout.of(name)
    with writing_folder(folder) as draft:
        for file in (file for other in others for file in PairwiseLayout.of(other)):
            shutil.copy2(folder / file, draft / file)
        save_state(draft / layout.network, network)
        for file, graph in zip((layout.scorer, layout.comparer), graphs, strict=True):
            (draft / file).write_bytes(graph)
        text = json.dumps(metadata, indent=2, allow_nan=False) + "\n"
        (draft / layout.metadata).write_text(text, encoding="utf-8")
        described = {key: metadata[key] for key in ("feature_names", "configuration")}
        write_manifest(
            draft,
            kind=PAIRWISE_KIND,
            format_version=PAIRWISE_FORMAT,
            libraries=LIBRARIES,
            parameters={"rankers": {**others, name: described}},
        )
        # After the manifest, which does not verify it: people may let another ranker serve.
        active = {
            "name": name,
            "model": layout.comparer,
            "scorer": layout.scorer,
            "metadata": layout.metadata,
        }
        (draft / ACTIVE).write_text(json.dumps(active, indent=2) + "\n", encoding="utf-8")


def read_ranker(folder: Path, name: str | None = None) -> StoredRanker:
    """Read a ranker, verified.

    :param name: None reads the one that serves.
    :raises ArtifactError: if it is missing or damaged.
    """
    known = _manifest(folder)
    name = name or _active_name(folder)
    if name not in known:
        raise ArtifactError(
            f"{folder}: expected one of the rankers {', '.join(sorted(known))}, got {name!r:.80}; "
            f"correct {ACTIVE} or the name, or run `{PAIRWISE_REMEDY}`"
        )
    layout = PairwiseLayout.of(name)
    try:
        metadata = read_json(folder / layout.metadata)
    except ValueError as exc:
        raise ArtifactError(f"{folder / layout.metadata}: unreadable ({exc})") from exc
    return StoredRanker(name, read_regular(folder / layout.scorer), metadata)


def _active_name(folder: Path) -> str:
    path = folder / ACTIVE
    try:
        return str(read_json(path)["name"])
    except (OSError, ValueError, TypeError, KeyError) as exc:
        raise ArtifactError(
            f"{path}: expected JSON with the name of the ranker that serves, found something else "
            f'({type(exc).__name__}: {exc}); write {{"name": NAME}} into it, or run '
            f"`{PAIRWISE_REMEDY}`"
        ) from exc


def _manifest(folder: Path) -> dict[str, Any]:
    """Return what the folder's manifest says of each of its rankers, by name."""
    manifest = read_manifest(
        folder, kind=PAIRWISE_KIND, format_version=PAIRWISE_FORMAT, remedy=PAIRWISE_REMEDY
    )
    rankers = manifest.parameters.get("rankers")
    if not isinstance(rankers, dict):
        raise ArtifactError(f"{folder / MANIFEST}: lacks its rankers; run `{PAIRWISE_REMEDY}`")
    absent = [
        file for name in rankers for file in PairwiseLayout.of(name) if file not in manifest.files
    ]
    if absent:
        raise ArtifactError(f"{folder}: lacks {', '.join(absent)}; run `{PAIRWISE_REMEDY}`")
    return rankers


def _columns_in(metadata: dict[str, Any]) -> tuple[tuple[str, ...], int]:
    """Return the names of metrics that a ranker reads, and the numbers of its embedding.

    :raises TypeError: if they are of other types.
    :raises ValueError: if no embedding is so wide.
    """
    check_values(metadata, {"feature_names": list[str], "embedding_dim": int})
    (dim,) = numbers([metadata["embedding_dim"]], "embedding_dim", 0, WIDEST)
    return tuple(metadata["feature_names"]), int(dim)


Floats = NDArray[np.float32]


class PairwiseCandidateRanker:
    """A `rerank.ranking.Ranker` over the features of candidates.

    :param ranker: a network trained on pairs of ``gpu_candidate`` items without embeddings, or the
        heuristic.
    :raises MismatchError: if the network reads what candidates do not have.
    """

    def __init__(self, ranker: PairwiseRanker) -> None:
        self._ranker = ranker
        self._columns = _columns(ranker.trained) if ranker.trained is not None else None

    @classmethod
    def load(cls, folder: Path, *, name: str | None = None) -> PairwiseCandidateRanker:
        """Load a folder; without one, or without onnxruntime, the heuristic ranks.

        :raises ArtifactError: if the folder is damaged.
        :raises MismatchError: if its network reads what candidates do not have.
        """
        return cls(PairwiseRanker.load(folder, name=name))

    @property
    def provenance(self) -> Provenance:
        """What makes the scores."""
        return self._ranker.provenance

    def score(self, batch: RankingBatch) -> Floats:
        """Return raw scores, shape (candidates,); comparable within one listing only."""
        return self.score_features(batch.features)

    def score_features(self, features: Floats) -> Floats:
        """Return a score a row, shape (rows,), all rows in one run of the network.

        :param features: shape (rows, candidate features).
        """
        if self._ranker.trained is None:
            return heuristic_candidate_scores(features)
        return self._ranker.trained.score(
            features if self._columns is None else features[:, self._columns]
        )


def _columns(trained: TrainedScorer) -> NDArray[np.int64] | None:
    """Return the columns that the network reads; None if they are all, in order."""
    if trained.embedding_dim:
        raise MismatchError(
            f"ranker {trained.name}: expected one that reads candidates' features only, found one "
            f"that reads embeddings of {trained.embedding_dim} as well; run `{PAIRWISE_REMEDY} "
            "--embedding-dim 0`"
        )
    known = domain_named(GPU).features.candidate
    unknown = [name for name in trained.metric_names if name not in known]
    if unknown:
        raise MismatchError(
            f"ranker {trained.name}: reads {', '.join(unknown[:6])}, which candidates of this "
            f"release do not have; run `{PAIRWISE_REMEDY}` on pairs of gpu_candidate items"
        )
    if trained.metric_names == known:
        return None
    return np.array([known.index(name) for name in trained.metric_names], np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Continued:
    """A network to go on from.

    :param space: its columns; their scaling stays, because the layers are in its units.
    :param described: which file it was: name and sha256.
    """

    layers: Layers
    space: FeatureSpace
    described: dict[str, str]

    @classmethod
    def read(cls, path: Path) -> Continued:
        """Read ``NAME.pth`` and the ``NAME_metadata.json`` beside it.

        :raises InputError: if the file has another ending.
        :raises ArtifactError: if one of them is missing, damaged or not of the other.
        """
        if path.suffix != ".pth":
            raise InputError(f"{path}: expected the NAME.pth of a pairwise ranker to go on from")
        beside = path.with_name(PairwiseLayout.of(path.stem).metadata)
        try:
            said: dict[str, Any] = read_json(beside)
            names, dim = _columns_in(said)
            check_values(said, {"indicators": list[str]})
            columns = [
                0 if name == EMBEDDING and dim and name not in names else dim + names.index(name)
                for name in said["indicators"]
            ]
        except (OSError, ValueError, TypeError, KeyError) as exc:
            raise ArtifactError(
                f"{beside}: expected the metadata of {path.name}, found something else "
                f"({type(exc).__name__}: {exc}); keep the two files together"
            ) from exc
        state, layers = load_state(path)
        scaling = Scaling(state[MEAN], state[INVERSE_SCALE], tuple(columns), MOST_DEVIATIONS)
        space, takes = FeatureSpace(names, dim, scaling), len(layers[0][0])
        if len(scaling.mean) != space.width or takes != scaling.n_inputs:
            raise ArtifactError(
                f"{path}: a network of {takes} inputs, {scaling.n_inputs} by its metadata; keep "
                "the two files together"
            )
        sha256 = hashlib.sha256(read_regular(path)).hexdigest()
        return cls(layers, space, {"name": path.stem, "sha256": sha256})

    def space_for(
        self, items: Sequence[PairItem], embedding_dim: int, parameters: PairwiseParameters
    ) -> FeatureSpace:
        """Return the columns, if the network can be taught with these items.

        :raises MismatchError: if they have other metrics or embeddings than it reads, or it has
            another hidden layer than asked for.
        """
        _, biases = self.layers[0]
        unknown = {
            name: None
            for item in items
            for name in item.metrics
            if name not in self.space.metric_names
        }
        anew = "train a new one without --continue-from"
        own_dim = self.space.embedding_dim
        for what, expected, found, remedy in (
            (
                "embeddings of length",
                own_dim,
                embedding_dim,
                anew if own_dim else "leave them out with --embedding-dim 0",
            ),
            (
                "a hidden layer of",
                len(biases),
                parameters.hidden_dim,
                f"give --hidden-dim {len(biases)}, or {anew}",
            ),
            ("unknown metrics", 0, len(unknown), anew),
        ):
            if expected != found:
                named = f" ({', '.join(list(unknown)[:6])})" if what == "unknown metrics" else ""
                raise MismatchError(
                    f"{self.described['name']}.pth: expected {what} {expected}, as it was trained "
                    f"with, got {found}{named}; {remedy}"
                )
        return self.space


PROFILE_WEIGHTS = {"clarity": 0.3, "impact": 0.4, "keyword_score": 0.3}
_OTHER_NAMES = {"keyword_score": "keyword"}

CANDIDATE_WEIGHTS = {
    "name_quality": 1.0,  # -1 unnamed to about 4: the number, its suffixes and line words
    "similarity_gap": 1.0,  # -0.8 to 0: breaks ties of names
    "memory_fit": 1.0,  # the next three: 1 equal, 0 unsaid, -1 another
    "memory_type_fit": 0.5,
    "form_fit": 0.5,
    "vendor_fit": 0.3,
    "rival_words": -0.1,  # 0..40: words that fit another candidate
    "variant_rank": -0.02,  # 0..: of equals, the most common variant
}

PROFILE_CONFIDENCE, CANDIDATE_CONFIDENCE = 4.0, 1.0
"""Log-odds of a preference for a difference of 1 in score; not calibrated."""


@cache
def _candidate_column() -> Floats:
    """Return the weight of each candidate feature, shape (candidate features,)."""
    known = domain_named(GPU).features.candidate
    return np.array([CANDIDATE_WEIGHTS.get(name, 0.0) for name in known], np.float32)


def heuristic_scores(items: Sequence[PairItem]) -> Floats:
    """Return a score an item, shape (items,); comparable among items of one kind."""
    return np.array([_score(item) for item in items], np.float32)


def heuristic_candidate_scores(features: Floats) -> Floats:
    """Return a score a row, shape (rows,).

    :param features: shape (rows, candidate features).
    """
    return np.asarray(features @ _candidate_column(), np.float32)


def _score(item: PairItem) -> float:
    weights = CANDIDATE_WEIGHTS if item.item_type == CANDIDATE_TYPE else PROFILE_WEIGHTS
    return sum(weight * _metric(item.metrics, name) for name, weight in weights.items())


def _metric(metrics: Mapping[str, float], name: str) -> float:
    value = metrics.get(name, metrics.get(_OTHER_NAMES.get(name, name), 0.0))
    return value if math.isfinite(value) else 0.0


Ints = NDArray[np.int64]

_SCALES = np.logspace(-2, 2, 161)


@dataclass(frozen=True, slots=True)
class Preference:
    """How a difference of scores becomes a preference.

    :param scale: log-odds that the item of the higher score is the better one, if either is, for a
        difference of 1.
    :param equal_within: a difference up to this is no preference.
    """

    scale: float = 1.0
    equal_within: float = 0.0

    @classmethod
    def fit(cls, difference: Floats, label: Ints) -> Preference:
        """Fit both on pairs that taught nothing."""
        return cls(_scale(difference, label), _equal_within(difference, label))

    def label(self, difference: float) -> int:
        """Return 1 if the first item is better, -1 if the second is, 0 if neither."""
        if abs(difference) <= self.equal_within:
            return 0
        return 1 if difference > 0 else -1

    def confidence(self, difference: float) -> float:
        """Return the probability that the item of the higher score is the better one, if either
        is: 0.5 to 1.
        """
        return float(1 / (1 + np.exp(-min(self.scale * abs(difference), 500.0))))


def right(difference: Floats, label: Ints) -> NDArray[np.float64]:
    """Return 1 for each pair whose better item has the higher score, 0.5 for equal scores, else 0;
    of the pairs with a better item.
    """
    stated = label != 0
    ahead = np.sign(difference[stated] * label[stated])
    return np.asarray(0.5 + 0.5 * ahead, np.float64)


def pair_figures(
    difference: Floats, heuristic: Floats, label: Ints, group: Ints, *, seed: int
) -> dict[str, Any]:
    """Return the pair accuracy of scores and of the heuristic on the same pairs, and what the
    first gains, each with its 95 % interval over resampled groups.

    :param difference: shape (pairs,), score of a less that of b.
    :param heuristic: shape (pairs,), the same of the heuristic.
    :param group: shape (pairs,), number of what belongs together.
    """
    ours, theirs = right(difference, label), right(heuristic, label)
    resampling = Resampling.draw(group[label != 0].tolist(), seed=seed)

    def figure(column: NDArray[np.float64], metric: Metric = SHARE) -> dict[str, Any]:
        return resampling.figure(metric, column).as_dict()

    equals = np.abs(difference[label == 0])
    return {
        "pair_accuracy": figure(ours),
        "heuristic_pair_accuracy": figure(theirs),
        "gain_over_heuristic": figure(ours - theirs, AVERAGE),
        "equals": {
            "pairs": len(equals),
            "mean_difference": round(float(equals.mean()), 4) if len(equals) else None,
        },
    }


def _scale(difference: Floats, label: Ints) -> float:
    """Return the scale of the highest likelihood, from 0.01 to 100.

    Targets are those of Platt (Probabilistic Outputs for Support Vector Machines, 1999): pairs
    without an error do not make for certainty, only for n + 1 in n + 2.
    """
    stated = label != 0
    ahead = (difference[stated] * label[stated]).astype(np.float64)
    if not len(ahead):
        return 1.0
    target = (len(ahead) + 1) / (len(ahead) + 2)
    losses = [
        float(
            np.mean(
                np.logaddexp(0, -s * ahead) * target + np.logaddexp(0, s * ahead) * (1 - target)
            )
        )
        for s in _SCALES
    ]
    return float(_SCALES[int(np.argmin(losses))])


def _equal_within(difference: Floats, label: Ints) -> float:
    """Return the bound that answers most pairs right, equals among them; 0 without equals."""
    if not (label == 0).any():
        return 0.0
    order = np.argsort(np.abs(difference), kind="stable")
    size = np.abs(difference)[order]
    equal = label[order] == 0
    correct = np.sign(difference[order]) == np.where(equal, 2, label[order])
    below = np.concatenate([[0], np.cumsum(equal)])
    above = np.concatenate([np.cumsum(correct[::-1])[::-1], [0]])
    cut = int(np.argmax(below + above))  # the first `cut` pairs are taken for equals
    if cut == 0:
        return 0.0
    return float(size[cut - 1] if cut == len(size) else (size[cut - 1] + size[cut]) / 2)


Provenance = Literal["onnx", "heuristic"]

_MOST_SHOWN = 6
logger = logging.getLogger(__name__)


class ItemScore(NamedTuple):
    """A score, comparable among the scores of one ranker, and what made it."""

    score: float
    provenance: Provenance


class PairPreference(NamedTuple):
    """Which of two items is better.

    ``preference`` is 1 for a, -1 for b, 0 for neither; ``confidence`` is the probability that the
    item of the higher score is the better one, if either is: 0.5 to 1, calibrated on the validation
    pairs of a trained network, a rule of thumb of the heuristic.
    """

    a_score: float
    b_score: float
    preference: int
    confidence: float
    provenance: Provenance


class RankedItem(NamedTuple):
    """An item in its place."""

    item: PairItem
    score: float
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class TrainedScorer:
    """An exported network and what it reads.

    :param metric_names: columns after the embedding's, in order.
    :param embedding_dim: 0 if it reads no embedding.
    """

    name: str
    network: OnnxNetwork
    metric_names: tuple[str, ...]
    embedding_dim: int
    preference: Preference
    metadata: Mapping[str, Any]

    def score(self, rows: Floats) -> Floats:
        """Return scores of raw rows, shape (rows,)."""
        (scores,) = self.network.outputs(rows)
        return scores


class PairwiseRanker:
    """Ranks items; make one with `load`.

    :param trained: None lets the heuristic serve.
    :param why_heuristic: why it does; empty if it does not.
    :param embeddings: vectors of items that name theirs by ``embedding_id``.
    """

    def __init__(
        self,
        trained: TrainedScorer | None = None,
        *,
        why_heuristic: str = "",
        embeddings: Mapping[str, Floats] | None = None,
    ) -> None:
        self.trained = trained
        self.why_heuristic = why_heuristic
        self._embeddings = embeddings or {}

    @classmethod
    def load(
        cls,
        folder: Path | str,
        *,
        name: str | None = None,
        embeddings: Mapping[str, Floats] | None = None,
    ) -> PairwiseRanker:
        """Load the ranker of a folder that serves, or the one of a name.

        Where there is no folder, or onnxruntime is not installed, the heuristic serves.

        :raises ArtifactError: if there is a folder and it is damaged, or of something else.
        """
        folder = Path(folder)
        if not folder.exists():
            return cls(why_heuristic=f"no ranker there: run `{PAIRWISE_REMEDY}`")
        stored = read_ranker(folder, name)
        if find_spec("onnxruntime") is None:
            why = "onnxruntime is not installed"
            logger.warning("%s: the heuristic serves in place of %s", why, stored.name)
            return cls(why_heuristic=why)
        where = f"{folder}: ranker {stored.name}"
        with reading(where, "what this release reads", PAIRWISE_REMEDY):
            said = stored.metadata
            names, dim = _columns_in(said)
            preference = typed_record(Preference, said["preference"])
            numbers([*asdict(preference).values()], "preference", 0, sys.float_info.max)
            width = dim + len(names)
            network = OnnxNetwork(stored.scorer, where=where, remedy=PAIRWISE_REMEDY, width=width)
            trained = TrainedScorer(stored.name, network, names, dim, preference, said)
        return cls(trained, embeddings=embeddings)

    @property
    def provenance(self) -> Provenance:
        """What makes the scores."""
        return "heuristic" if self.trained is None else "onnx"

    def score_item(self, item: AnyItem) -> ItemScore:
        """Score one item.

        :raises InputError: if it is malformed, or holds nothing that the network reads.
        """
        return ItemScore(float(self.score_items([item])[0]), self.provenance)

    def score_items(self, items: Sequence[AnyItem]) -> Floats:
        """Return scores of items, shape (items,).

        :raises InputError: if one is malformed, or holds nothing that the network reads.
        """
        read = [item_of(item) for item in items]
        if self.trained is None:
            return heuristic_scores(read)
        read = [item.resolved(self._embeddings) for item in read]
        self._check(read, self.trained)
        rows = raw_rows(read, self.trained.metric_names, self.trained.embedding_dim)
        return self.trained.score(rows)

    def compare(self, a: AnyItem, b: AnyItem) -> PairPreference:
        """Say which of two items is better.

        :raises InputError: if one is malformed, or holds nothing that the network reads.
        """
        first, second = item_of(a), item_of(b)
        a_score, b_score = self.score_items([first, second]).tolist()
        if self.trained is not None:
            preference = self.trained.preference
        else:
            is_candidate = first.item_type == CANDIDATE_TYPE
            preference = Preference(CANDIDATE_CONFIDENCE if is_candidate else PROFILE_CONFIDENCE)
        difference = a_score - b_score
        return PairPreference(
            a_score,
            b_score,
            preference.label(difference),
            preference.confidence(difference),
            self.provenance,
        )

    def rank(self, items: Sequence[AnyItem]) -> list[RankedItem]:
        """Return items, the best first, equal ones by type and reference.

        :raises InputError: if one is malformed, or holds nothing that the network reads.
        """
        read = [item_of(item) for item in items]
        scores = self.score_items(read).tolist()
        ranked = [
            RankedItem(item, score, self.provenance)
            for item, score in zip(read, scores, strict=True)
        ]
        return sorted(ranked, key=lambda each: (-each.score, each.item.key))

    @staticmethod
    def _check(items: Sequence[PairItem], trained: TrainedScorer) -> None:
        """Refuse items of which the network would see nothing: their scores would be its mean."""
        known = set(trained.metric_names)
        for item in items:
            if known.isdisjoint(item.metrics) and not (
                trained.embedding_dim and item.embedding is not None
            ):
                names = ", ".join(trained.metric_names[:_MOST_SHOWN])
                more = ", ..." if len(trained.metric_names) > _MOST_SHOWN else ""
                raise InputError(
                    f"{item.item_type or 'item'} {item.reference_id!r:.80}: expected some of what "
                    f"ranker {trained.name} reads ({names}{more}; embeddings of "
                    f"{trained.embedding_dim}), found {sorted(item.metrics)[:_MOST_SHOWN]}"
                )


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
    fitted = fit_pairs(
        task.space.scaling.apply(raw),
        task.training,
        task.validation,
        plan.parameters,
        start=None if task.continued is None else task.continued.layers,
        progress=progress,
    )
    network = Network(task.space.scaling, fitted.layers)
    scorer = exported(network, raw, inputs=("input",), outputs=("score",))
    pair = exported(network, raw, inputs=("input_a", "input_b"), outputs=("score_diff",))
    served = OnnxNetwork(
        scorer.graph, where="exported scorer", remedy=PAIRWISE_REMEDY, width=raw.shape[1]
    )
    (scores,) = served.outputs(raw)
    metadata = {
        **task.described(plan),
        "loss_history": [round(loss, 6) for loss in fitted.losses],
        "validation_loss_history": [round(loss, 6) for loss in fitted.validation_losses],
        "best_epoch": fitted.best_epoch,
        **_judged(task.dataset, task.split, scores, plan.parameters.seed),
        "parity": {
            "score": scorer.worst,
            "score_diff": pair.worst,
            "tolerance": scorer.tolerance,
            "largest_score": scorer.largest,
        },
        "training_time": round(time.perf_counter() - started, 3),
    }
    write_ranker(plan.folder, plan.name, network, (scorer.graph, pair.graph), metadata)
    return metadata


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """What is learnt from what: data, their split and the columns read of them."""

    dataset: PairDataset
    split: PairSplit
    training: Pairs
    validation: Pairs
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
        rows = np.unique(np.concatenate([training.a, training.b]))
        taught = [dataset.items[row] for row in rows.tolist()]
        if continued is None:
            space = FeatureSpace.fit(taught, embedding_dim)
        else:
            space = continued.space_for(dataset.items, embedding_dim, plan.parameters)
        validation = dataset.pairs.at(split.validation)
        return cls(dataset, split, training, validation, taught, space, continued)

    def described(self, plan: TrainingPlan) -> dict[str, Any]:
        return {
            "format_version": PAIRWISE_FORMAT,
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


def _described_space(space: FeatureSpace) -> dict[str, Any]:
    return {
        "feature_names": list(space.metric_names),
        "embedding_dim": space.embedding_dim,
        "metric_dim": len(space.metric_names),
        "input_dim": space.width,
        "network_input_dim": space.scaling.n_inputs,
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
