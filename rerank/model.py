"""The model folder: a ranker, and the offer classifier, calibrator, thresholds and candidate sets
that were made on its scores.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.artifacts import Manifest, read_manifest, write_manifest, writing_folder
from index.errors import ArtifactError, MismatchError
from rerank.calibration import Calibrator
from rerank.conformal import CandidateSets
from rerank.features import CANDIDATE_FEATURES, OFFER_FEATURES
from rerank.ranker_folder import RankerFolder, RankerKind
from rerank.ranking import FeatureRanker, Ranker
from rerank.trees import OnnxTrees

FORMAT_VERSION = 1
REMEDY = "rerank train-ltr"
_TREES = ("ranker.txt", "ranker.onnx")
_DECISION = ("offer.txt", "offer.onnx", "calibrator.json")
_RANKER_FOLDER = "ranker"  # of a ranker that is no LambdaRank, as its own training wrote it
_KIND = "ranker_kind"  # models trained before there were other rankers lack it
_CANDIDATE_SETS = "candidate_sets.json"  # models trained before there were candidate sets lack it
_LIBRARIES = ("lightgbm", "onnxmltools", "onnxruntime", "numpy")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where `match_probability` becomes a decision.

    At or above ``match``: match. Below ``review``: no_match. Between: review. Both in [0, 1.01];
    1.01 means that no listing of the validation data could be accepted at ``precision``.
    """

    match: float
    review: float
    precision: float


@dataclass(frozen=True, slots=True)
class RerankModel:
    """Everything that decides. Make one with `rerank.training.train`, load one with `load`.

    :param ranker_text: LightGBM's text of LambdaRank; empty for another ranker.
    :param candidate_sets: None if the model was trained before there were any.
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

    @classmethod
    def load(cls, folder: Path, *, remedy: str = REMEDY) -> RerankModel:
        """Load a model folder.

        :param remedy: the command that makes it anew, for messages.
        :raises ArtifactError: if the folder is missing, damaged or half-written.
        :raises MismatchError: if it was trained with other features than this release computes.
        """
        manifest = read_manifest(
            folder, kind="ranker", format_version=FORMAT_VERSION, remedy=remedy
        )
        found = ranker_in(folder, manifest)
        needed = _DECISION if isinstance(found, RankerFolder) else (*_TREES, *_DECISION)
        absent = [name for name in needed if name not in manifest.files]
        if absent:
            raise ArtifactError(f"{folder}: lacks {', '.join(absent)}; run `{remedy}`")
        _check_features(folder, manifest.parameters)
        calibrator = json.loads((folder / "calibrator.json").read_text(encoding="utf-8"))
        text, ranker = _read_ranker(folder, found)
        return cls(
            ranker_text=text,
            ranker=ranker,
            offer_text=(folder / "offer.txt").read_text(encoding="utf-8"),
            offer=OnnxTrees((folder / "offer.onnx").read_bytes()),
            calibrator=Calibrator(tuple(calibrator["log_odds"]), tuple(calibrator["probability"])),
            thresholds=Thresholds(**manifest.parameters["thresholds"]),
            version=manifest.fingerprint,
            parameters=manifest.parameters,
            candidate_sets=_read_candidate_sets(folder, manifest),
        )

    def probability(self, offers: NDArray[np.float32]) -> NDArray[np.float64]:
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
) -> str:
    """Write a model folder; return its version.

    :param ranker: LambdaRank's text and ONNX, or the folder of another ranker, which is copied.
    :param offer: text and ONNX.
    :param seconds: that training took, without that of a ranker that is copied.
    """
    with writing_folder(folder) as draft:
        _write_trees(draft, "offer", offer)
        if isinstance(ranker, RankerFolder):
            shutil.copytree(ranker.folder, draft / _RANKER_FOLDER)
            parameters = {**parameters, _KIND: ranker.kind.value}
        else:
            _write_trees(draft, "ranker", ranker)
        knots = json.dumps(asdict(calibrator), indent=1)
        (draft / "calibrator.json").write_text(knots + "\n", encoding="utf-8")
        described = {
            **parameters,
            "thresholds": asdict(thresholds),
            "candidate_features": list(CANDIDATE_FEATURES),
            "offer_features": list(OFFER_FEATURES),
        }
        return _complete(draft, described, candidate_sets, seconds)


def _write_trees(draft: Path, name: str, trees: tuple[str, bytes]) -> None:
    text, onnx = trees
    (draft / f"{name}.txt").write_text(text, encoding="utf-8")
    (draft / f"{name}.onnx").write_bytes(onnx)


def ranker_in(folder: Path, manifest: Manifest) -> RankerFolder | Path:
    """Return where a model folder's ranker lies: a folder, or the file of LambdaRank's trees."""
    kind = RankerKind(manifest.parameters.get(_KIND, RankerKind.LTR.value))
    _, onnx = _TREES
    return folder / onnx if kind is RankerKind.LTR else RankerFolder(kind, folder / _RANKER_FOLDER)


def _read_ranker(folder: Path, found: RankerFolder | Path) -> tuple[str, Ranker]:
    """Return LambdaRank's text, empty for another ranker, and the ranker."""
    if isinstance(found, RankerFolder):
        return "", found.load()
    text, onnx = (folder / name for name in _TREES)
    return text.read_text(encoding="utf-8"), FeatureRanker(OnnxTrees(onnx.read_bytes()))


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
        format_version=FORMAT_VERSION,
        parameters=parameters,
        libraries=_LIBRARIES,
        seconds=seconds,
    )
    return manifest.fingerprint


def _read_candidate_sets(folder: Path, manifest: Manifest) -> CandidateSets | None:
    if _CANDIDATE_SETS not in manifest.files:
        return None
    content = json.loads((folder / _CANDIDATE_SETS).read_text(encoding="utf-8"))
    return CandidateSets.from_dict(content)


def _check_features(folder: Path, parameters: dict[str, Any]) -> None:
    for name, own in (
        ("candidate_features", CANDIDATE_FEATURES),
        ("offer_features", OFFER_FEATURES),
    ):
        stored: Sequence[str] = parameters.get(name, ())
        if list(stored) != list(own):
            pairs = list(zip(stored, own, strict=False))
            at = next((i for i, (a, b) in enumerate(pairs) if a != b), len(pairs))
            found = stored[at] if at < len(stored) else "nothing"
            wanted = own[at] if at < len(own) else "nothing"
            raise MismatchError(
                f"{folder}: {name}[{at}] is {found!r}, this release computes {wanted!r}; "
                f"run `{REMEDY}`"
            )
