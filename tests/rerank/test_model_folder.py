"""The model folder: what is saved is loaded, and what does not fit says where."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerank.calibration import Calibrator
from rerank.index.artifacts import read_manifest, write_manifest
from rerank.index.errors import ArtifactError, MismatchError
from rerank.model import MODEL_FORMAT, OnnxTrees, RerankModel, save_model
from rerank.packs.gpu.candidates import CANDIDATE_FEATURES
from rerank.packs.gpu.offers import OFFER_FEATURES
from rerank.resolution import Thresholds

LinearScorer = Callable[..., bytes]

CALIBRATOR = Calibrator((-4.0, 0.0, 4.0), (0.01, 0.25, 0.99))
THRESHOLDS = Thresholds(match=0.93, review=0.3, precision=0.99)


def save(folder: Path, linear_scorer: LinearScorer, **parameters: Any) -> str:
    return save_model(
        folder,
        ranker=("ranker text ü", linear_scorer(CANDIDATE_FEATURES, {"name_quality": 2.0}, 1.0)),
        offer=("offer text", linear_scorer(OFFER_FEATURES, {"lead": 1.0})),
        calibrator=CALIBRATOR,
        thresholds=THRESHOLDS,
        parameters=parameters,
    )


@pytest.fixture
def folder(tmp_path: Path, linear_scorer: LinearScorer) -> Path:
    save(tmp_path / "model", linear_scorer, seed=7)
    return tmp_path / "model"


def rewrite_manifest(folder: Path, **changes: Any) -> None:
    """Write a sound manifest with other parameters over the folder's files."""
    manifest = read_manifest(folder, kind="ranker", format_version=MODEL_FORMAT, remedy="-")
    write_manifest(
        folder,
        kind="ranker",
        format_version=MODEL_FORMAT,
        parameters={**manifest.parameters, **changes},
    )


def test_a_loaded_model_is_what_was_saved(tmp_path: Path, linear_scorer: LinearScorer) -> None:
    version = save(tmp_path / "m", linear_scorer, seed=7, training={"trees": 3})
    model = RerankModel.load(tmp_path / "m")
    assert re.fullmatch(r"[0-9a-f]{16}", version)
    assert model.version == version
    assert (model.ranker_text, model.offer_text) == ("ranker text ü", "offer text")
    assert (model.calibrator, model.thresholds) == (CALIBRATOR, THRESHOLDS)
    assert (model.parameters["seed"], model.parameters["training"]) == (7, {"trees": 3})
    assert model.parameters["candidate_features"] == list(CANDIDATE_FEATURES)
    assert model.parameters["offer_features"] == list(OFFER_FEATURES)


def test_scores_and_probabilities_survive(folder: Path, linear_scorer: LinearScorer) -> None:
    model = RerankModel.load(folder)
    rows = np.random.default_rng(4).normal(size=(9, len(CANDIDATE_FEATURES))).astype(np.float32)
    expected = 1 + 2 * rows[:, CANDIDATE_FEATURES.index("name_quality")]
    np.testing.assert_allclose(model.ranker.scorer.score(rows), expected, atol=1e-6)
    offers = np.zeros((4, len(OFFER_FEATURES)), np.float32)
    offers[:, OFFER_FEATURES.index("lead")] = [-9, 0, 2, 9]
    np.testing.assert_allclose(model.probability(offers), [0.01, 0.25, 0.62, 0.99], atol=1e-6)
    assert model.ranker.scorer.score(rows[:0]).shape == (0,)


def test_the_version_follows_the_content(tmp_path: Path, linear_scorer: LinearScorer) -> None:
    first = save(tmp_path / "a", linear_scorer, seed=7)
    assert save(tmp_path / "b", linear_scorer, seed=7) == first
    assert save(tmp_path / "a", linear_scorer, seed=8) != first


@pytest.mark.parametrize("name", ["candidate_features", "offer_features"])
@pytest.mark.parametrize(
    ("change", "at", "found", "wanted"),
    [
        (lambda names: ["other", *names[1:]], 0, "other", lambda names: names[0]),
        (lambda names: [names[1], names[0], *names[2:]], 0, 1, lambda names: names[0]),
        (lambda names: names[:-1], -1, "nothing", lambda names: names[-1]),
        (lambda names: [*names, "extra"], None, "extra", lambda names: "nothing"),
        (lambda names: [*names[:5], *names[6:]], 5, 6, lambda names: names[5]),
        (lambda names: [], 0, "nothing", lambda names: names[0]),
    ],
    ids=["renamed", "swapped", "one missing", "one more", "gap", "none"],
)
def test_other_features_are_refused_with_the_first_difference(
    folder: Path, name: str, change: Any, at: int | None, found: Any, wanted: Any
) -> None:
    own = list(CANDIDATE_FEATURES if name == "candidate_features" else OFFER_FEATURES)
    rewrite_manifest(folder, **{name: change(own)})
    place = len(own) if at is None else at % len(own)
    stored = own[found] if isinstance(found, int) else found
    message = (
        f"{folder}: {name}[{place}] is {stored!r}, this release computes {wanted(own)!r}; "
        "run `rerank train-ltr`"
    )
    with pytest.raises(MismatchError, match=re.escape(message)):
        RerankModel.load(folder)


@pytest.mark.parametrize(
    "name", ["ranker.txt", "ranker.onnx", "offer.txt", "offer.onnx", "calibrator.json"]
)
def test_damaged_lost_and_unlisted_files_are_named(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=rf"{re.escape(name)}: damaged: .*rerank train-ltr"):
        RerankModel.load(folder)
    (folder / name).unlink()
    with pytest.raises(ArtifactError, match=rf"{re.escape(name)}: missing from this ranker"):
        RerankModel.load(folder)
    parameters = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["parameters"]
    write_manifest(folder, kind="ranker", format_version=1, parameters=parameters)
    with pytest.raises(ArtifactError, match=rf"lacks {re.escape(name)}; run `rerank train-ltr`"):
        RerankModel.load(folder)


def test_no_model_and_another_artifact_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no ranker here; make one with `rerank train-ltr`"):
        RerankModel.load(tmp_path / "absent")
    (tmp_path / "index").mkdir()
    write_manifest(tmp_path / "index", kind="index", format_version=1, parameters={})
    with pytest.raises(ArtifactError, match="expected a ranker, found a index"):
        RerankModel.load(tmp_path / "index")


def test_a_failing_save_leaves_the_old_model(
    folder: Path, linear_scorer: LinearScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = RerankModel.load(folder).version

    def broken(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("rerank.model.write_manifest", broken)
    with pytest.raises(OSError, match="disk full"):
        save(folder, linear_scorer, seed=99)
    assert RerankModel.load(folder).version == version


def test_trees_score_single_rows_and_batches_alike(linear_scorer: LinearScorer) -> None:
    trees = OnnxTrees(linear_scorer(["a", "b"], {"a": 1.0, "b": -2.0}, 0.5))
    rows = np.array([[1, 0], [0, 1], [2, 2]], np.float32)
    assert trees.score(rows).tolist() == [1.5, -1.5, -1.5]
    assert [float(trees.score(row[None])[0]) for row in rows] == [1.5, -1.5, -1.5]
    assert trees.score(rows).dtype == np.float32
