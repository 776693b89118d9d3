"""Artifacts that are consistent and wrong: each ends in one sentence, none answers."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from bench.forging import GONE, ODD, changed, copied, places, sign
from rerank.cross_encoder.ranker import (
    CROSS_ENCODER_FORMAT,
    CROSS_ENCODER_KIND,
    CrossEncoderScorer,
)
from rerank.cross_encoder.ranker import LAYOUT as TOKENS
from rerank.index.artifacts import MANIFEST, write_manifest
from rerank.index.embedder import StaticEmbedder
from rerank.index.errors import ArtifactError, MissingExtraError, RerankError
from rerank.index.records import shipped
from rerank.model import RerankModel
from rerank.packs.generic.source import load_source
from rerank.packs.gpu.retriever import build_index, load_retriever
from rerank.rankers.dual import DualModel
from rerank.rankers.pairwise import PairwiseRanker
from tests.small_catalogue import build_catalogue_home

Load = Callable[[Path], object]
EARLIER = Path(__file__).parent / "earlier"
EACH_PAIR = ("Cast", {"to": 1}), ("ReduceMax", {"axes": [1]})


@pytest.fixture(scope="module")
def sound(tmp_path_factory, tiny_registry, hash_embedder) -> dict[str, tuple[Path, Load]]:
    """An artifact of each kind, and what opens it."""
    folder = tmp_path_factory.mktemp("sound")
    build_index(tiny_registry, hash_embedder, folder / "cards")
    (folder / "catalogue").mkdir()
    home = build_catalogue_home(folder / "catalogue").home
    write_cross_encoder(folder / "cross-encoder")
    return {
        "model": (shipped("model"), RerankModel.load),
        "embedder": (shipped("embedder"), StaticEmbedder.load),
        "cards": (folder / "cards", lambda path: load_retriever(path, hash_embedder)),
        "catalogue": (home / "index", load_source),
        "pairwise": (EARLIER / "pairwise", PairwiseRanker.load),
        "dual": (EARLIER / "dual", DualModel.load),
        "cross-encoder": (folder / "cross-encoder", CrossEncoderScorer.load),
    }


def graph(fed: str, shape: list[int | None], *steps: tuple[str, Any], outputs: int = 1) -> bytes:
    """Return a graph of one input, a chain of steps, whose end is each of its outputs."""
    from onnx import TensorProto, helper

    kind = TensorProto.INT64 if fed == "attention_mask" else TensorProto.FLOAT
    values = [fed, *map(str, range(len(steps)))]
    nodes = [
        helper.make_node(op, [one], [other], **attributes)
        for (op, attributes), one, other in zip(steps, values[:-1], values[1:], strict=True)
    ]
    names = [f"out{at}" for at in range(outputs)]
    nodes += [helper.make_node("Identity", [values[-1]], [name]) for name in names]
    made = helper.make_graph(
        nodes,
        "made up",
        [helper.make_tensor_value_info(fed, kind, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names],
    )
    opsets = [helper.make_opsetid("", 12)]
    return bytes(helper.make_model(made, opset_imports=opsets, ir_version=8).SerializeToString())


def write_cross_encoder(folder: Path) -> None:
    """Write a cross-encoder that gives each pair of texts the same score."""
    from tokenizers import Tokenizer, models

    folder.mkdir()
    tokenizer = Tokenizer(models.WordLevel({"?": 0, "a": 1}, unk_token="?"))
    tokenizer.save(str(folder / TOKENS.tokenizer))
    (folder / TOKENS.graph).write_bytes(graph("attention_mask", [None, None], *EACH_PAIR))
    write_manifest(
        folder,
        kind=CROSS_ENCODER_KIND,
        format_version=CROSS_ENCODER_FORMAT,
        parameters={"encoding": {"pair_tokens": 32, "query_tokens": 16, "pad_id": 0}},
    )


@pytest.fixture
def forged(sound, tmp_path) -> Callable[[str], tuple[Path, Load]]:
    def make(kind: str) -> tuple[Path, Load]:
        folder, load = sound[kind]
        return copied(folder, tmp_path / kind), load

    return make


def refusal(load: Load, folder: Path) -> str:
    """Return the sentence that an artifact is refused with."""
    with pytest.raises(RerankError) as found:
        load(folder)
    said = str(found.value)
    assert str(folder) in said
    assert len(said.splitlines()) == 1
    assert len(said) < 1_000
    return said


def test_what_was_copied_and_signed_again_opens(sound, forged):
    for kind in sound:
        folder, load = forged(kind)
        sign(folder)
        load(folder)


DECIDES = {
    "model": ("thresholds", "candidate_features", "index"),
    "cards": ("embedder_fingerprint", "embedder", "kind", "registry_fingerprint"),
    "catalogue": ("pack", "one", "products", "layout", "registry_fingerprint"),
    "pairwise": ("rankers",),
    "dual": ("schema", "label"),
    "cross-encoder": ("encoding",),
}
# What has no answer of its own: a fingerprint that nothing compares, words on a screen.
ANY_TEXT = {"embedder", "kind", "registry_fingerprint", "pack", "one", "embedder_fingerprint"}


@pytest.mark.parametrize("kind", DECIDES)
def test_a_manifest_of_other_types_is_refused_field_by_field(forged, kind):
    folder, load = forged(kind)
    parameters = json.loads((folder / MANIFEST).read_text())["parameters"]
    for name in DECIDES[kind]:
        for value in (*ODD, GONE):
            if (kind, name) == ("model", "index") and value in ({}, GONE, None):
                continue  # made before models knew their index
            if name in ANY_TEXT and value == "x":
                continue
            if isinstance(parameters[name], int) and type(value) is int and name != "layout":
                continue
            sign(folder, changed(parameters, (name,), value))
            refusal(load, folder)


FILES = [
    ("model", "calibrator.json"),
    ("model", "candidate_sets.json"),
    ("catalogue", "settings.json"),
    ("catalogue", "texts.json"),
    ("pairwise", "pairwise_ranker_metadata.json"),
    ("pairwise", "active_model.json"),
    ("dual", "calibrators.json"),
    ("cross-encoder", "tokenizer.json"),
]


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_a_file_of_other_types_is_refused_or_harmless(forged, kind, name):
    folder, load = forged(kind)
    content = json.loads((folder / name).read_text())
    refused = 0
    for place in list(places(content))[:12]:
        for value in (None, "x", -1, GONE) if place else ODD:
            (folder / name).write_text(json.dumps(changed(content, place, value)))
            sign(folder)
            try:
                load(folder)
            except RerankError:
                refused += 1
    assert refused >= len(ODD)


def rewritten(folder: Path, name: str, change: Callable[[Any], Any]) -> None:
    path = folder / name
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


WRONG_VALUES = {
    "a calibrator that falls": (
        "calibrator.json",
        lambda c: {**c, "probability": c["probability"][::-1]},
        "numbers that rise",
    ),
    "knots in another order": (
        "calibrator.json",
        lambda c: {**c, "log_odds": c["log_odds"][::-1]},
        "numbers that rise",
    ),
    "a knot that is no number": (
        "calibrator.json",
        lambda c: {**c, "log_odds": [*c["log_odds"][:-1], 1e999]},
        "Infinity",
    ),
    "a probability of 2": (
        "calibrator.json",
        lambda c: {**c, "probability": [*c["probability"][:-1], 2.0]},
        "from 0 to 1",
    ),
    "fewer probabilities": (
        "calibrator.json",
        lambda c: {**c, "probability": c["probability"][1:]},
        "as many log_odds",
    ),
    "scores of sets that fall": (
        "candidate_sets.json",
        lambda c: changed(c, ("groups", "match", "scores"), c["groups"]["match"]["scores"][::-1]),
        "numbers that rise",
    ),
    "more reached than there were": (
        "candidate_sets.json",
        lambda c: changed(c, ("groups", "match", "listings"), 3),
        "how many listings",
    ),
    "a group that is no decision": (
        "candidate_sets.json",
        lambda c: {**c, "groups": {"perhaps": c["groups"]["match"]}},
        "groups: expected match",
    ),
}


@pytest.mark.parametrize("case", WRONG_VALUES)
def test_values_that_would_answer_wrongly_are_refused(forged, case):
    name, change, said = WRONG_VALUES[case]
    folder, load = forged("model")
    rewritten(folder, name, change)
    sign(folder)
    assert said in refusal(load, folder)


@pytest.mark.parametrize(
    "thresholds",
    [
        {"match": 0.2, "review": 0.9, "precision": 0.9},
        {"match": 1.02, "review": 0.9, "precision": 0.9},
        {"match": 0.5, "review": -0.1, "precision": 0.9},
        {"match": 0.5, "review": 0.1, "precision": 7},
        {"match": 0.5, "review": 0.1},
        {"match": 0.5, "review": 0.1, "precision": 0.9, "other": 1.0},
        {"match": float("nan"), "review": 0.1, "precision": 0.9},
    ],
)
def test_thresholds_that_decide_nothing_are_refused(forged, thresholds):
    folder, load = forged("model")
    parameters = json.loads((folder / MANIFEST).read_text())["parameters"]
    sign(folder, {**parameters, "thresholds": thresholds})
    refusal(load, folder)


@pytest.mark.parametrize("kind", ["ltr", "pairwise", "dual", "cross-encoder", "of nobody", 7])
def test_a_ranker_of_another_kind_than_its_files_is_refused(forged, kind):
    folder, load = forged("model")
    parameters = json.loads((folder / MANIFEST).read_text())["parameters"]
    if kind == "ltr":
        (folder / "ranker.txt").unlink()
    sign(folder, {**parameters, "ranker_kind": kind})
    if kind in ("of nobody", 7):
        with pytest.raises(MissingExtraError, match="expected a ranker, one of ltr"):
            load(folder)
    else:
        with pytest.raises(ArtifactError, match=r"lacks ranker.txt|no [-a-z ]+ here"):
            load(folder)


TREES = {
    "a circle": ("left_child=", "0 "),
    "a child that is not there": ("right_child=", "999 "),
    "a feature that rows have not": ("split_feature=", "5000 "),
    "a threshold that is no number": ("threshold=", "nan "),
    "a leaf without end": ("leaf_value=", "inf "),
}


@pytest.mark.parametrize("case", TREES)
def test_trees_that_lead_nowhere_are_not_walked(forged, case):
    field, value = TREES[case]
    folder, load = forged("model")
    text = (folder / "offer.txt").read_text()
    head, found, rest = text.partition(f"\n{field}")
    (folder / "offer.txt").write_text(head + found + value + rest.partition(" ")[2])
    (folder / "offer.onnx").write_bytes(b"no graph")  # is run where the text is not taken
    sign(folder)
    assert "expected an ONNX graph" in refusal(load, folder)


def test_a_graph_of_other_columns_or_outputs_is_refused(forged, linear_scorer):
    folder, load = forged("model")
    (folder / "offer.txt").write_text("")
    for graph, said in (
        (linear_scorer(["one", "two"], {}), "of .* columns"),
        ((folder / "ranker.onnx").read_bytes(), "of .* columns"),
    ):
        (folder / "offer.onnx").write_bytes(graph)
        sign(folder)
        with pytest.raises(ArtifactError, match=f"expected a graph with 1 inputs {said}"):
            load(folder)


ROWS = [("ReduceSum", {"axes": [1], "keepdims": 0})]
GRAPHS = {
    "a column, not a row": ("pairwise", [("ReduceSum", {"axes": [1]})], 1),
    "one score for all": ("pairwise", [("ReduceSum", {"keepdims": 0})], 1),
    "scores without end": ("pairwise", [*ROWS, ("Log", {})], 1),
    "two scores": ("pairwise", ROWS, 2),
    "no members": ("dual", ROWS, 2),
    "one head": ("dual", [("ReduceSum", {"axes": [1]}), ("Transpose", {"perm": [1, 0]})], 1),
    "a score of all pairs": ("cross-encoder", [*EACH_PAIR, ("ReduceSum", {"keepdims": 0})], 1),
    "scores that are no numbers": ("cross-encoder", [*EACH_PAIR, ("Neg", {}), ("Log", {})], 1),
}


@pytest.mark.parametrize("case", GRAPHS)
def test_a_ranker_whose_graph_says_something_else_is_refused(forged, case):
    kind, steps, outputs = GRAPHS[case]
    folder, load = forged(kind)
    inputs = json.loads((folder / MANIFEST).read_text())["parameters"].get("inputs")
    name, fed, width = {
        "pairwise": ("pairwise_ranker_scorer.onnx", "rows", 8),
        "dual": ("ensemble.onnx", "rows", inputs and len(inputs)),
        "cross-encoder": (TOKENS.graph, "attention_mask", None),
    }[kind]
    path = folder / name
    path.write_bytes(graph(fed, [None, width], *steps, outputs=outputs))
    sign(folder)
    assert "expected a" in refusal(load, folder)
    path.write_bytes(graph("others", [None, width], *steps[-1:], outputs=outputs))
    sign(folder)
    refusal(load, folder)


PLACES = [
    ("pairwise_ranker_metadata.json", ("feature_names", 0), 5, "feature_names"),
    ("pairwise_ranker_metadata.json", ("embedding_dim",), 10**9, "embedding_dim"),
    ("pairwise_ranker_metadata.json", ("embedding_dim",), True, "embedding_dim"),
    ("pairwise_ranker_metadata.json", ("preference", "scale"), -1.0, "preference"),
    (MANIFEST, ("label", "compliance_weight"), 1.5, "compliance_weight"),
    (MANIFEST, ("label", "ranges", ""), GONE, "lacks ''"),
    (MANIFEST, ("label", "ranges", "coffee"), [0.9, 0.1], "numbers that rise"),
    (MANIFEST, ("schema", "widths", "query.clip_text"), 10**9, "widths"),
    (MANIFEST, ("schema", "widths", "query.clip_text"), 7, "width of each embedding"),
    (MANIFEST, ("schema", "widths", "query.clip_text"), GONE, "width of each embedding"),
    (MANIFEST, ("schema", "alone"), ["query.sound"], "width of each embedding"),
    (MANIFEST, ("schema", "pairs", 0), ["query.clip_text"], "not enough values"),
    (MANIFEST, ("schema", "conflicts", 0), None, "conflicts: 0: expected str"),
    (MANIFEST, ("schema", "products"), 1, "products"),
]


@pytest.mark.parametrize(("name", "place", "value", "said"), PLACES)
def test_values_that_a_ranker_could_not_score_with_are_refused(forged, name, place, value, said):
    folder, load = forged("dual" if name == MANIFEST else "pairwise")
    content = json.loads((folder / name).read_text())
    if name == MANIFEST:
        sign(folder, changed(content["parameters"], place, value))
    else:
        (folder / name).write_text(json.dumps(changed(content, place, value)))
        sign(folder)
    assert said in refusal(load, folder)


def nans(path: Path, name: str) -> None:
    arrays = load_file(path)
    arrays[name] = np.full_like(arrays[name], np.nan)
    save_file(arrays, path)


def shorter(path: Path, name: str) -> None:
    arrays = load_file(path)
    arrays[name] = np.ascontiguousarray(arrays[name][:1])
    save_file(arrays, path)


def far(path: Path, name: str) -> None:
    arrays = load_file(path)
    arrays[name] = np.full_like(arrays[name], np.iinfo(arrays[name].dtype).max)
    save_file(arrays, path)


ARRAYS = [
    ("embedder", "embeddings.safetensors", nans, "embeddings"),
    ("embedder", "embeddings.safetensors", shorter, "embeddings"),
    *(
        ("catalogue", "readings.safetensors", change, name)
        for name in ("atoms.values", "tokens.offsets", "starts", "kinds", "brand", "vocabulary")
        for change in ((shorter, far) if name in ("atoms.values", "tokens.offsets") else (shorter,))
    ),
    *(
        ("catalogue", "ngrams.safetensors", change, name)
        for name, change in (
            ("column", far),
            ("record", far),
            ("offsets", far),
            ("basis", nans),
            ("weight", shorter),
            ("vectors", shorter),
            ("counts", shorter),
        )
    ),
]


@pytest.mark.parametrize(
    ("kind", "name", "change", "array"), ARRAYS, ids=lambda value: getattr(value, "__name__", value)
)
def test_arrays_of_another_shape_or_range_are_refused(forged, kind, name, change, array):
    folder, load = forged(kind)
    change(folder / name, array)
    sign(folder)
    refusal(load, folder)


def test_an_index_file_is_read_by_faiss_only_if_its_head_fits(forged, monkeypatch):
    monkeypatch.setattr("rerank.index.vector_index._faiss", None)  # it is not asked
    folder, load = forged("cards")
    whole = (folder / "index.faiss").read_bytes()
    for content, said in (
        (b"", "not a FAISS index"),
        (b"IxPT" + whole[4:], "not a FAISS index"),
        (whole[:4] + b"\xff\xff\xff\x7f" + whole[8:], "expected 21 vectors of 128 numbers"),
        (whole[:8] + b"\xff" * 7 + b"\x7f" + whole[16:], "expected 21 vectors of 128 numbers"),
        (whole[:60], "in 60 bytes"),
        (whole[:-4] + b"\x00\x00\xc0\x7f", "are no numbers"),
    ):
        (folder / "index.faiss").write_bytes(content)
        sign(folder)
        assert said in refusal(load, folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", 5),
        ("memory_gb", "8"),
        ("memory_gb", -1),
        ("aliases", [1]),
        ("rare", "yes"),
        ("release_year", None),
        ("gpu_id", "geforce-rtx-4060-8gb-gddr6"),
        ("model", GONE),
        ("colour", "green"),
    ],
)
def test_a_record_of_other_types_is_refused(forged, field, value):
    folder, load = forged("cards")
    lines = (folder / "records.jsonl").read_text().splitlines()
    lines[0] = json.dumps(changed(json.loads(lines[0]), (field,), value))
    (folder / "records.jsonl").write_text("\n".join(lines) + "\n")
    sign(folder)
    assert "records.jsonl" in refusal(load, folder)


def test_json_that_is_nested_without_end_is_refused(forged):
    for kind, name in [*FILES, ("embedder", "tokenizer.json"), ("model", MANIFEST)]:
        folder, load = forged(kind)
        (folder / name).write_text("[" * 100_000)
        if name != MANIFEST:
            sign(folder)
        refusal(load, folder)
        shutil.rmtree(folder)


def elsewhere(folder: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    def link(target: Path | str, name: str = "extra") -> None:
        (folder / name).symlink_to(target)

    yield "/etc/hostname", lambda: None
    yield "../x.json", lambda: (folder.parent / "x.json").write_text("{}") and None
    yield "/proc/self/status", lambda: None
    yield "/dev/zero", lambda: None
    yield "./calibrator.json", lambda: None
    yield "", lambda: None
    yield "a\0b", lambda: None
    yield "extra", partial(link, "/dev/zero")
    yield "linked/x", partial(link, "/proc/self", "linked")
    yield "pipe", lambda: os.mkfifo(folder / "pipe")
    yield "folder", (folder / "folder").mkdir


def test_names_of_files_that_lie_elsewhere_are_refused_unread(forged, monkeypatch):
    folder, load = forged("model")
    whole = json.loads((folder / MANIFEST).read_text())
    monkeypatch.setattr("rerank.index.artifacts._fingerprint", lambda *_: whole["fingerprint"])
    for name, make in elsewhere(folder):
        make()
        files = {**whole["files"], name: "0" * 64}
        (folder / MANIFEST).write_text(json.dumps({**whole, "files": files}))
        try:
            said = refusal(load, folder)
        except OSError as exc:  # commands say it in one sentence
            said = str(exc)
        assert name in ("pipe", "folder") or "names of files in this folder" in said
