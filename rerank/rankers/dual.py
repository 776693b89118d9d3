"""The dual-objective model as a ranker: what serves, and the folder it is kept in."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.calibration import Calibrator
from rerank.domain import GPU, domain_named
from rerank.index.artifacts import (
    MANIFEST,
    Manifest,
    read_json,
    read_manifest,
    read_regular,
    reading,
    write_manifest,
    writing_folder,
)
from rerank.index.errors import ArtifactError, MismatchError
from rerank.rankers.inputs import (
    GPU_VECTOR,
    LISTING_VECTOR,
    DualLabel,
    InputSchema,
    doubt_of_first,
    gap_to_best,
)
from rerank.rankers.networks import OnnxNetwork
from rerank.rankers.parameters import DualConfig
from rerank.rankers.scored import ScoredSet
from rerank.ranking import RankingBatch
from rerank.settings import as_content, settings_of

Doubles = NDArray[np.float64]
Inputs = NDArray[np.float32]
Ints = NDArray[np.int64]

DUAL_FORMAT = 1
DUAL_KIND = "dual ranker"
DUAL_REMEDY = "rerank train-dual"
_CALIBRATORS = "calibrators.json"
FILES = ("ensemble.onnx", _CALIBRATORS)
HEADS = ("scores", "conflict_log_odds")
"""What the graph says of ``inputs``, for each member."""
_LIBRARIES = ("torch", "onnx", "onnxruntime", "optuna", "numpy")


@dataclass(frozen=True, slots=True, eq=False)
class DualScores:
    """What the model says of candidates and queries.

    :param score: shape (candidates,), comparable within a query only: the members' mean, each
        member's scores centred on its mean over the query.
    :param conflict_probability: shape (candidates,), calibrated, in [0, 1].
    :param doubt: shape (queries,), of `uncertainty.doubt_of_first`: orders queries by how
        uncertain the first candidate is.
    :param error_probability: shape (queries,), in [0, 1]: the same calibrated, the chance that
        another candidate has a higher label than the first; 1 without candidates.
    """

    score: Doubles
    conflict_probability: Doubles
    doubt: Doubles
    error_probability: Doubles


@dataclass(frozen=True, slots=True, eq=False)
class DualEnsemble:
    """A trained ensemble with its calibrators, as it serves.

    :param network: of ``onnx``; its outputs are the `HEADS`, each of shape (members, candidates).
    :param conflict_calibrator: from the members' mean log-odds of a conflict.
    :param error_calibrator: from `doubt_of_first` to the chance of an error.
    """

    onnx: bytes
    network: OnnxNetwork
    conflict_calibrator: Calibrator
    error_calibrator: Calibrator

    def score(self, inputs: Inputs, offsets: Ints) -> DualScores:
        """Score rows of inputs in one call of ONNX Runtime.

        :param inputs: shape (candidates, inputs), NaN where missing.
        :param offsets: shape (queries + 1,), rows of each query.
        """
        scores, log_odds = self.network.outputs(inputs)
        centred = centred_on_query(scores, offsets)
        doubt = doubt_of_first(centred, offsets)
        return DualScores(
            centred.mean(axis=0),
            self.conflict_calibrator(log_odds.mean(axis=0, dtype=np.float64)),
            doubt,
            np.where(np.diff(offsets) > 0, self.error_calibrator(doubt), 1.0),
        )


@dataclass(frozen=True, slots=True, eq=False)
class DualModel:
    """A trained ensemble with what it reads and was taught."""

    schema: InputSchema
    label: DualLabel
    ensemble: DualEnsemble
    config: DualConfig
    version: str = ""

    def score(self, scored: ScoredSet) -> DualScores:
        """Score queries as they were read.

        :raises InputError: if a feature or an embedding is lacking or of another width.
        """
        return self.ensemble.score(self.schema.compute(scored), scored.offsets)

    @classmethod
    def load(cls, folder: Path) -> DualModel:
        """Load a model folder.

        :raises ArtifactError: if it is missing, damaged or half-written.
        """
        manifest = read_manifest(
            folder, kind=DUAL_KIND, format_version=DUAL_FORMAT, remedy=DUAL_REMEDY
        )
        absent = [name for name in FILES if name not in manifest.files]
        if absent:
            raise ArtifactError(f"{folder}: lacks {', '.join(absent)}; run `{DUAL_REMEDY}`")
        return cls._of(folder, manifest)

    @classmethod
    def _of(cls, folder: Path, manifest: Manifest) -> DualModel:
        own = manifest.parameters
        with reading(folder / MANIFEST, "what a dual ranker reads", DUAL_REMEDY):
            schema = InputSchema.from_dict(own["schema"])
            label = DualLabel.from_dict(own["label"])
            config = settings_of(DualConfig, own["config"], where=f"{folder}: config")
            width = len(schema.inputs)
        with reading(folder / _CALIBRATORS, "knots of calibrators", DUAL_REMEDY):
            knots = read_json(folder / _CALIBRATORS)
            calibrators = [Calibrator.from_dict(knots[of]) for of in ("conflict", "error")]
        graph = folder / "ensemble.onnx"
        onnx = read_regular(graph)
        network = served(onnx, str(graph), width)
        ensemble = DualEnsemble(onnx, network, *calibrators)
        return cls(schema, label, ensemble, config, manifest.fingerprint)

    def save(
        self, folder: Path, summary: Mapping[str, Any], *, seconds: float | None = None
    ) -> Manifest:
        """Write a model folder, whole or not at all.

        :param summary: plain values on how it was trained, for the manifest.
        :param seconds: that training took.
        """
        with writing_folder(folder) as draft:
            (draft / "ensemble.onnx").write_bytes(self.ensemble.onnx)
            knots = {
                "conflict": asdict(self.ensemble.conflict_calibrator),
                "error": asdict(self.ensemble.error_calibrator),
            }
            text = json.dumps(knots, indent=1)
            (draft / _CALIBRATORS).write_text(text + "\n", encoding="utf-8")
            parameters = {
                "config": as_content(self.config),
                "seed": self.config.seed,
                "inputs": [each.name for each in self.schema.inputs],
                "schema": self.schema.as_dict(),
                "label": asdict(self.label),
                "training": dict(summary),
            }
            return write_manifest(
                draft,
                kind=DUAL_KIND,
                format_version=DUAL_FORMAT,
                parameters=parameters,
                libraries=_LIBRARIES,
                seconds=seconds,
            )


def served(onnx: bytes, where: str, width: int) -> OnnxNetwork:
    """Return what runs an exported ensemble.

    :param where: what messages name.
    :param width: of rows of inputs.
    :raises ArtifactError: if it is none.
    """
    return OnnxNetwork(
        onnx, where=where, remedy=DUAL_REMEDY, width=width, outputs=len(HEADS), axes=2
    )


def centred_on_query(scores: NDArray[np.floating[Any]], offsets: Ints) -> Doubles:
    """Return scores of shape (members, candidates) less each member's mean over the query.

    RankNet leaves open what it adds to all candidates of a query, so members differ in that for
    no reason.
    """
    sizes = np.diff(offsets)
    query = np.repeat(np.arange(len(sizes)), sizes)
    values = scores.astype(np.float64)
    sums = np.stack([np.bincount(query, own, len(sizes)) for own in values])
    return np.asarray(values - (sums / np.maximum(sizes, 1))[:, query], np.float64)


Floats = NDArray[np.float32]

_PAIR = f"(query.{LISTING_VECTOR},candidate.{GPU_VECTOR})"
_COSINE, _COSINE_GAP = f"cosine{_PAIR}", f"cosine_gap{_PAIR}"


class DualCandidateRanker:
    """Scores candidates of listings by a model that was trained on GPU data.

    Embeddings enter by their cosine alone, which retrieval has computed: one call of ONNX Runtime
    a batch, and no vector is read.

    :raises MismatchError: if the model reads inputs that candidates of listings do not have.
    """

    def __init__(self, model: DualModel) -> None:
        self._ensemble = model.ensemble
        self._columns = [_reader(each.name) for each in model.schema.inputs]

    @classmethod
    def load(cls, folder: Path) -> DualCandidateRanker:
        """Load a model folder.

        :raises ArtifactError: if it is missing or damaged.
        :raises MismatchError: if it was trained on other data than GPU candidates.
        """
        return cls(DualModel.load(folder))

    def score(self, batch: RankingBatch) -> Floats:
        return self.judge(batch).score.astype(np.float32)

    def judge(self, batch: RankingBatch) -> DualScores:
        """Return scores, calibrated chances of a conflict and, of each listing, the doubt."""
        inputs = np.empty((len(batch.features), len(self._columns)), np.float32)
        for at, read in enumerate(self._columns):
            inputs[:, at] = read(batch)
        return self._ensemble.score(inputs, batch.candidates.offsets)


def _reader(name: str) -> Callable[[RankingBatch], Floats]:
    if name == _COSINE:
        return lambda batch: batch.candidates.similarity
    if name == _COSINE_GAP:
        return lambda batch: gap_to_best(batch.candidates.similarity, batch.candidates.offsets)
    known = domain_named(GPU).features.candidate
    if name in known:
        column = known.index(name)
        return lambda batch: batch.features[:, column]
    raise MismatchError(
        f"the dual ranker reads {name!r}, which candidates of listings do not have; train it on "
        "the file that `rerank dual-data --gpu` writes, without embedding_products: "
        f"`{DUAL_REMEDY}`"
    )


NO_ROW = -1


def ranked_rows(scored: ScoredSet, scores: NDArray[np.floating[Any]]) -> Ints:
    """Return rows by query and falling score; equal scores by candidate_id."""
    _, tie = np.unique(np.array(scored.candidate_id, np.str_), return_inverse=True)
    return np.lexsort((tie, -scores, scored.query))


def first_rows(scored: ScoredSet, scores: NDArray[np.floating[Any]]) -> Ints:
    """Return the row of each query's first candidate, -1 where it has none."""
    order = ranked_rows(scored, scores)
    found = np.full(scored.n_queries, NO_ROW, np.int64)
    filled = np.diff(scored.offsets) > 0
    found[filled] = order[scored.offsets[:-1][filled]]
    return found


def in_places(scored: ScoredSet, values: NDArray[np.floating[Any]], order: Ints) -> Any:
    """Return values as a grid of shape (queries, most candidates) in ranked order, NaN beyond."""
    sizes = np.diff(scored.offsets)
    grid = np.full((scored.n_queries, max(1, int(sizes.max(initial=0)))), np.nan)
    place = np.arange(len(order)) - scored.offsets[:-1][scored.query]
    grid[scored.query, place] = values[order]
    return grid
