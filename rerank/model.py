"""The model folder: a ranker, and what was made on its scores and goes with no other.

That is the offer classifier, the calibrator, the thresholds and the candidate sets. `OnnxTrees`
scores by the trees of both.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.calibration import Calibrator, CandidateSets
from rerank.domain import FeatureNames, feature_names
from rerank.index.artifacts import (
    MANIFEST,
    Manifest,
    open_session,
    read_json,
    read_manifest,
    read_regular,
    read_text,
    reading,
    write_manifest,
    writing_folder,
)
from rerank.index.errors import ArtifactError, MismatchError
from rerank.index.records import Floats
from rerank.quickscorer import QuickScorer
from rerank.rankers.kinds import RankerFolder, RankerKind
from rerank.ranking import Ranker, RankingBatch
from rerank.resolution import Thresholds

MODEL_FORMAT = 1
MODEL_REMEDY = "rerank train-ltr"
_TREES = ("ranker.txt", "ranker.onnx")
_CALIBRATOR = "calibrator.json"
_DECISION = ("offer.txt", "offer.onnx", _CALIBRATOR)
_RANKER_FOLDER = "ranker"  # of a ranker that is no LambdaRank, as its own training wrote it
_KIND = "ranker_kind"  # models trained before there were other rankers lack it
_CANDIDATE_SETS = "candidate_sets.json"  # models trained before there were candidate sets lack it
_LIBRARIES = ("lightgbm", "onnxmltools", "onnxruntime", "numpy")


@dataclass(frozen=True, slots=True)
class RerankModel:
    """Everything that decides. A domain's `lesson` makes one, `load` loads one.

    :param ranker_text: LightGBM's text of LambdaRank; empty for another ranker.
    :param candidate_sets: None if the model was trained before there were any.
    :param folder: it was read from; None of one that was just trained.
    """

    ranker_text: str
    ranker: Ranker
    offer_text: str
    offer: OnnxTrees
    calibrator: Calibrator
    thresholds: Thresholds
    version: str
    parameters: dict[str, Any] = field(default_factory=dict)
    candidate_sets: CandidateSets | None = None
    folder: Path | None = None

    @classmethod
    def load(cls, folder: Path, *, remedy: str = MODEL_REMEDY) -> RerankModel:
        """Load a model folder.

        :param remedy: the command that makes it anew, for messages.
        :raises ArtifactError: if the folder is missing, damaged or half-written.
        :raises MismatchError: if it was trained with other features than this release computes.
        """
        manifest = read_manifest(folder, kind="ranker", format_version=MODEL_FORMAT, remedy=remedy)
        found = ranker_in(folder, manifest)
        needed = _DECISION if isinstance(found, RankerFolder) else (*_TREES, *_DECISION)
        absent = [name for name in needed if name not in manifest.files]
        if absent:
            raise ArtifactError(f"{folder}: lacks {', '.join(absent)}; run `{remedy}`")
        check_features(folder, manifest.parameters)
        names = feature_names(manifest.parameters)
        text, ranker = _read_ranker(folder, found, len(names.candidate), remedy)
        offer_text, offer = _trees(folder, "offer", len(names.offer), remedy)
        with reading(folder / _CALIBRATOR, "knots of a calibrator", remedy):
            calibrator = Calibrator.from_dict(read_json(folder / _CALIBRATOR))
        with reading(folder / MANIFEST, "what a model was trained for", remedy):
            thresholds = Thresholds.from_dict(manifest.parameters["thresholds"])
        return cls(
            ranker_text=text,
            ranker=ranker,
            offer_text=offer_text,
            offer=offer,
            calibrator=calibrator,
            thresholds=thresholds,
            version=manifest.fingerprint,
            parameters=manifest.parameters,
            candidate_sets=_read_candidate_sets(folder, manifest, remedy),
            folder=folder,
        )

    def probability(self, offers: Floats) -> NDArray[np.float64]:
        """Return calibrated probabilities of offer features, shape (listings,)."""
        return self.calibrator(self.offer.score(offers))


def save_model(
    folder: Path,
    *,
    ranker: tuple[str, bytes] | RankerFolder,
    offer: tuple[str, bytes],
    calibrator: Calibrator,
    thresholds: Thresholds,
    parameters: dict[str, Any],
    candidate_sets: CandidateSets | None = None,
    seconds: float | None = None,
    attached: Mapping[str, bytes] | None = None,
) -> str:
    """Write a model folder; return its version.

    :param ranker: LambdaRank's text and ONNX, or the folder of another ranker, which is copied.
    :param offer: text and ONNX.
    :param parameters: `rerank.domain.marked` with the domain whose features the trees read.
    :param seconds: that training took, without that of a ranker that is copied.
    :param attached: files by name that the domain reads beside the trees.
    """
    with writing_folder(folder) as draft:
        _write_trees(draft, "offer", offer)
        if isinstance(ranker, RankerFolder):
            shutil.copytree(ranker.folder, draft / _RANKER_FOLDER)
            parameters = {**parameters, _KIND: ranker.kind.value}
        else:
            _write_trees(draft, "ranker", ranker)
        for name, content in (attached or {}).items():
            (draft / name).write_bytes(content)
        knots = json.dumps(asdict(calibrator), indent=1)
        (draft / _CALIBRATOR).write_text(knots + "\n", encoding="utf-8")
        described = {
            **parameters,
            "thresholds": asdict(thresholds),
            **described_features(feature_names(parameters)),
        }
        return _complete(draft, described, candidate_sets, seconds)


def described_features(names: FeatureNames) -> dict[str, list[str]]:
    """Return the names of features as manifests keep them."""
    return {"candidate_features": list(names.candidate), "offer_features": list(names.offer)}


def _write_trees(draft: Path, name: str, trees: tuple[str, bytes]) -> None:
    text, onnx = trees
    (draft / f"{name}.txt").write_text(text, encoding="utf-8")
    (draft / f"{name}.onnx").write_bytes(onnx)


def ranker_in(folder: Path, manifest: Manifest) -> RankerFolder | Path:
    """Return where a model folder's ranker lies: a folder, or the file of LambdaRank's trees."""
    kind = RankerKind(str(manifest.parameters.get(_KIND, RankerKind.LTR.value)))
    _, onnx = _TREES
    return folder / onnx if kind is RankerKind.LTR else RankerFolder(kind, folder / _RANKER_FOLDER)


def _read_ranker(
    folder: Path, found: RankerFolder | Path, width: int, remedy: str
) -> tuple[str, Ranker]:
    """Return LambdaRank's text, empty for another ranker, and the ranker."""
    if isinstance(found, RankerFolder):
        return "", found.load()
    text, trees = _trees(folder, "ranker", width, remedy)
    return text, FeatureRanker(trees)


def _trees(folder: Path, name: str, width: int, remedy: str) -> tuple[str, OnnxTrees]:
    """Return LightGBM's text and what scores rows of so many features."""
    with reading(folder / f"{name}.txt", "LightGBM's text of trees", remedy):
        text = read_text(folder / f"{name}.txt")
    graph = folder / f"{name}.onnx"
    return text, OnnxTrees(read_regular(graph), text, width=width, where=str(graph))


def _complete(
    draft: Path,
    parameters: dict[str, Any],
    candidate_sets: CandidateSets | None,
    seconds: float | None,
) -> str:
    """Write what a draft still lacks: candidate sets and manifest; return its version."""
    if candidate_sets is not None:
        content = json.dumps(candidate_sets.as_dict())
        (draft / _CANDIDATE_SETS).write_text(content + "\n", encoding="utf-8")
        parameters = {**parameters, "candidate_sets": candidate_sets.summary()}
    manifest = write_manifest(
        draft,
        kind="ranker",
        format_version=MODEL_FORMAT,
        parameters=parameters,
        libraries=_LIBRARIES,
        seconds=seconds,
    )
    return manifest.fingerprint


def _read_candidate_sets(folder: Path, manifest: Manifest, remedy: str) -> CandidateSets | None:
    if _CANDIDATE_SETS not in manifest.files:
        return None
    with reading(folder / _CANDIDATE_SETS, "scores of candidate sets", remedy):
        return CandidateSets.from_dict(read_json(folder / _CANDIDATE_SETS))


def check_features(folder: Path, parameters: Mapping[str, Any]) -> None:
    """Check that a model was trained on the features that its domain computes in this release.

    :param parameters: of the folder's manifest.
    :raises MismatchError: if not, with the first difference.
    """
    for name, own in described_features(feature_names(parameters)).items():
        said = parameters.get(name)
        stored: Sequence[str] = said if isinstance(said, list) else ()
        if list(stored) != list(own):
            pairs = list(zip(stored, own, strict=False))
            at = next((i for i, (a, b) in enumerate(pairs) if a != b), len(pairs))
            found = stored[at] if at < len(stored) else "nothing"
            wanted = own[at] if at < len(own) else "nothing"
            raise MismatchError(
                f"{folder}: {name}[{at}] is {found!r}, this release computes {wanted!r}; "
                f"run `{MODEL_REMEDY}`"
            )


class OnnxTrees:
    """An ONNX tree ensemble over rows of features.

    :param text: LightGBM's of the same trees. They are scored by it, to the same last digit and
        without onnxruntime, which takes longer to load than one listing to resolve; trees that
        `QuickScorer` does not take, and a graph without a text, are run.
    :param width: features of a row; None for trees that were just trained.
    :param where: what messages name.
    :param threads: of the session; one listing's rows take 0.3 ms, less than waking more saves.
    :raises ArtifactError: if it is to be run and onnxruntime does not, or it is another graph.
    """

    def __init__(
        self,
        content: bytes,
        text: str = "",
        *,
        width: int | None = None,
        where: str = "exported trees",
        threads: int = 1,
    ) -> None:
        self._by_text = _quick_scorer(text, width)
        if self._by_text is None:
            self._graph = open_session(content, where=where, remedy=MODEL_REMEDY, threads=threads)
            self._graph.expect(1, outputs=1, width=width)
            (self._input,) = self._graph.inputs
            with reading(where, "trees that score each row", MODEL_REMEDY):
                tried = self.score(np.zeros((2, width or self._width), np.float32))
                if not np.isfinite(tried).all():
                    raise ValueError("its scores are no numbers")

    @property
    def _width(self) -> int:
        return int(self._graph.inputs[self._input].shape[1])

    def score(self, features: Floats) -> Floats:
        """Return the sum of the trees for each row, shape (rows,)."""
        if not len(features):
            return np.zeros(0, np.float32)
        return self._run(features) if self._by_text is None else self._by_text.score(features)

    def _run(self, features: Floats) -> Floats:
        """Run the graph, equal rows once: one in four is a variant of which titles say as little.

        In order, because a tree walks similar rows one after the other a quarter faster.
        """
        order = _by_bytes(features)
        rows = features[order]
        new = np.ones(len(rows), bool)
        new[1:] = (rows[1:] != rows[:-1]).any(axis=1)
        (distinct,) = self._graph.run({self._input: np.ascontiguousarray(rows[new])})
        scores = np.empty(len(rows), np.float32)
        scores[order] = np.asarray(distinct, np.float32).reshape(-1)[np.cumsum(new) - 1]
        return scores


@dataclass(frozen=True, slots=True)
class FeatureRanker:
    """A ranker that reads features only: LambdaRank's trees."""

    scorer: OnnxTrees

    def score(self, batch: RankingBatch) -> Floats:
        return self.scorer.score(batch.features)


def _quick_scorer(text: str, width: int | None) -> QuickScorer | None:
    """Return what sums the trees of a text; None for trees that it does not take, and no text."""
    try:
        return QuickScorer(text, width)
    except (ValueError, KeyError):
        return None


def _by_bytes(rows: Floats) -> NDArray[np.int64]:
    """Return an order in which equal rows are neighbours and similar ones are near."""
    whole = np.dtype((np.void, rows.shape[1] * rows.itemsize))
    return np.argsort(np.ascontiguousarray(rows).view(whole).ravel())
