"""The contract of an embedder, held by the hashing one, a freshly trained one and the default."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from rerank.index.embedder import (
    Embedder,
    HashEmbedder,
    RunTexts,
    StaticEmbedder,
    save_static_embedder,
    unit_rows,
    wordpiece_vocabulary,
)
from rerank.index.errors import ArtifactError, InputError
from rerank.index.records import GpuRecord, Listing, shipped
from rerank.index.text import descriptor, listing_text

TITLES = [
    "asus dual geforce rtx 4060 ti white 16 gb",
    "gigabyte rtx 3080 gaming oc 10 g",
    "rx 6600",
    "видеокарта radeon",
    "显卡",
    "a",
    "quadro rtx 4000 8 gb",
    "arc a 770 limited edition 16 gb",
]

TINY_TOKENIZER = (
    '{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [],'
    '"normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"},'
    '"post_processor": null, "decoder": null,'
    '"model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",'
    '"max_input_chars_per_word": 24, "vocab": {"[UNK]": 0, "rtx": 1, "3080": 2, "ti": 3}}}'
)


def pairs_of(records: Sequence[GpuRecord], n: int) -> list[tuple[str, str, str]]:
    shapes = ["{m} {g:g} gb", "asus {m}", "used {m} graphics card", "{m} oc {g:g} g", "{m}"]
    rng = np.random.default_rng(5)
    made = []
    for at in range(n):
        record = records[at % len(records)]
        shape = shapes[rng.integers(len(shapes))]
        title = shape.format(m=record.model, g=record.memory_gb)
        made.append(
            (record.model, listing_text(Listing(str(at), title)).embedded, descriptor(record))
        )
    return made


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_registry: list[GpuRecord]) -> Path:
    """An embedder folder trained on 200 pairs; takes seconds, mostly importing torch."""
    from rerank.index.embedder_training import EmbedderParameters, train_embedder

    folder = tmp_path_factory.mktemp("embedder") / "tiny"
    pairs = pairs_of(tiny_registry, 200)
    parameters = EmbedderParameters(dimension=32, vocabulary=300, epochs=6, batch_size=64)
    losses = train_embedder(pairs, [text for _, *two in pairs for text in two], folder, parameters)
    assert len(losses) == 6
    assert losses[-1] < 0.8 * losses[0]
    return folder


@pytest.fixture(
    params=["hash", "static", pytest.param("trained", marks=pytest.mark.slow), "shipped"]
)
def embedder(request: pytest.FixtureRequest, tmp_path: Path) -> Embedder:
    if request.param == "hash":
        return HashEmbedder(64)
    if request.param == "static":
        return tiny_static(tmp_path / "e")
    if request.param == "trained":
        return StaticEmbedder.load(request.getfixturevalue("trained"))
    try:
        return StaticEmbedder.load(shipped("embedder"))
    except ArtifactError as missing:
        if "is missing" not in str(missing):
            raise
        pytest.skip("no default embedder is shipped yet")


def tiny_static(folder: Path) -> StaticEmbedder:
    """Write and load a table of four tokens with known vectors."""
    table = np.array([[0, 0, 0, 2], [1, 0, 0, 0], [0, 3, 0, 0], [0, 0, 1, 0]], np.float32)
    save_static_embedder(table, TINY_TOKENIZER, folder, {"seed": 1})
    return StaticEmbedder.load(folder)


# --- the contract ---


def test_a_table_that_lies_by_columns_is_stored_as_one_by_rows(tmp_path: Path):
    table = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    for name, given in (("rows", table), ("columns", np.asfortranarray(table))):
        save_static_embedder(given, TINY_TOKENIZER, tmp_path / name, {"seed": 1})
    rows, columns = (StaticEmbedder.load(tmp_path / name) for name in ("rows", "columns"))
    assert rows.fingerprint == columns.fingerprint


def test_rows_are_of_unit_length(embedder: Embedder) -> None:
    vectors = embedder.encode(TITLES)
    assert vectors.shape == (len(TITLES), embedder.dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_a_text_without_tokens_gives_zeros(embedder: Embedder) -> None:
    vectors = embedder.encode(["", "rtx 3080", ""])
    np.testing.assert_array_equal(vectors[[0, 2]], 0)
    assert np.linalg.norm(vectors[1]) == pytest.approx(1.0, abs=1e-5)


def test_texts_by_numbered_runs_are_embedded_as_texts_are(tmp_path: Path) -> None:
    dice, static = np.random.default_rng(3), tiny_static(tmp_path / "e")
    vocabulary = ["", "rtx", "3080", "ti", "odd"]
    for grown in ([], ["3080", "xyz"], ["rtx"] * 3):
        vocabulary += grown
        counts = dice.integers(0, 9, 600)
        texts = RunTexts(vocabulary, dice.integers(1, len(vocabulary), counts.sum()), counts)
        expected = static.encode(texts.joined())
        np.testing.assert_array_equal(static.encode_runs(texts), expected)
    others = RunTexts(["", "ti"], np.array([1, 1]), np.array([1, 0, 1]))
    np.testing.assert_array_equal(static.encode_runs(others), static.encode(["ti", "", "ti"]))


def test_no_texts_give_no_rows(embedder: Embedder) -> None:
    assert embedder.encode([]).shape == (0, embedder.dimension)


def test_a_batch_equals_single_texts_in_any_order(embedder: Embedder) -> None:
    texts = [*TITLES, "", TITLES[0]]
    batch = embedder.encode(texts)
    single = np.concatenate([embedder.encode([text]) for text in texts])
    np.testing.assert_allclose(batch, single, atol=1e-6)
    np.testing.assert_allclose(embedder.encode(texts[::-1]), batch[::-1], atol=1e-6)
    np.testing.assert_array_equal(batch[-1], batch[0])


def test_encoding_is_deterministic(embedder: Embedder) -> None:
    np.testing.assert_array_equal(embedder.encode(TITLES), embedder.encode(TITLES))


def test_a_long_text_counts_only_at_its_start(embedder: Embedder) -> None:
    vector = embedder.encode(["rtx 3080 " * 500])
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


def test_a_text_is_nearest_to_itself_and_names_are_told_apart(embedder: Embedder) -> None:
    vectors = embedder.encode(["rtx 3080", "ti", "3080 rtx"])
    similarity = vectors @ vectors.T
    np.testing.assert_allclose(np.diag(similarity), 1.0, atol=1e-5)
    assert similarity[0, 2] > similarity[0, 1]


def test_it_has_a_name_and_a_fingerprint(embedder: Embedder) -> None:
    assert embedder.name
    assert embedder.fingerprint
    assert embedder.dimension > 0


# --- the static embedder ---


def test_the_vector_is_the_normalised_mean_of_the_token_vectors(tmp_path: Path) -> None:
    vectors = tiny_static(tmp_path / "e").encode(["rtx 3080", "rtx", "rtx xyz", "ti ti ti"])
    expected = [[1, 3, 0, 0], [1, 0, 0, 0], [1, 0, 0, 2], [0, 0, 1, 0]]
    np.testing.assert_allclose(vectors, unit_rows(np.array(expected, np.float32)), atol=1e-6)


def test_more_texts_than_one_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = tiny_static(tmp_path / "e")
    texts = ["", "rtx", "", "3080", "ti rtx", "", "", ""]
    whole = embedder.encode(texts)
    monkeypatch.setattr("rerank.index.embedder._CHUNK", 3)
    np.testing.assert_array_equal(embedder.encode(texts), whole)


def test_a_saved_embedder_has_the_identity_of_its_content(tmp_path: Path) -> None:
    first = tiny_static(tmp_path / "one")
    second = tiny_static(tmp_path / "two")
    assert (first.name, second.name) == ("one", "two")
    assert first.fingerprint == second.fingerprint
    table = np.ones((4, 4), np.float32)
    save_static_embedder(table, TINY_TOKENIZER, tmp_path / "three", {"seed": 1})
    assert StaticEmbedder.load(tmp_path / "three").fingerprint != first.fingerprint


@pytest.mark.parametrize("name", ["embeddings.safetensors", "tokenizer.json"])
def test_a_damaged_file_is_found(tmp_path: Path, name: str) -> None:
    tiny_static(tmp_path / "e")
    path = tmp_path / "e" / name
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=rf"{name}: damaged: .*rerank train-embedder"):
        StaticEmbedder.load(tmp_path / "e")


def test_a_missing_embedder_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no embedder here; make one with `rerank train-emb"):
        StaticEmbedder.load(tmp_path / "absent")


# --- training ---


@pytest.mark.slow
def test_a_trained_embedder_finds_most_models(
    trained: Path, tiny_registry: list[GpuRecord]
) -> None:
    embedder = StaticEmbedder.load(trained)
    queries = embedder.encode([listing_text(Listing("", r.model)).embedded for r in tiny_registry])
    gpus = embedder.encode([descriptor(record) for record in tiny_registry])
    best = (queries @ gpus.T).argmax(axis=1)
    hits = [tiny_registry[at].model == r.model for at, r in zip(best, tiny_registry, strict=True)]
    assert np.mean(hits) >= 0.9


@pytest.mark.slow
def test_training_reports_its_progress(tmp_path: Path, tiny_registry: list[GpuRecord]) -> None:
    from rerank.index.embedder_training import EmbedderParameters, train_embedder

    pairs = pairs_of(tiny_registry, 80)
    parameters = EmbedderParameters(dimension=8, vocabulary=200, epochs=2, batch_size=16)
    shares: list[float] = []
    corpus = [text for _, *two in pairs for text in two]
    train_embedder(pairs, corpus, tmp_path / "e", parameters, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert StaticEmbedder.load(tmp_path / "e").dimension == 8


VOCABULARY_IN_A_PROCESS = """
import json, sys
from rerank.index.embedder_training import _train_tokenizer
print(_train_tokenizer(json.load(sys.stdin), 300).to_str())
"""


def test_the_vocabulary_is_the_same_at_every_training(tiny_registry: list[GpuRecord]) -> None:
    from rerank.index.embedder_training import _train_tokenizer

    corpus = [text for _, *two in pairs_of(tiny_registry, 200) for text in two]
    here = _train_tokenizer(corpus, 300).to_str()
    for seed in ("0", "1", "2"):
        made = subprocess.run(
            [sys.executable, "-c", VOCABULARY_IN_A_PROCESS],
            input=json.dumps(corpus),
            text=True,
            capture_output=True,
            check=True,
            timeout=300,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        assert made.stdout.strip() == here


def test_the_order_of_the_corpus_does_not_change_the_vocabulary() -> None:
    corpus = ["rtx 3080 ti", "rx 580", "gtx 1080 ti", "rtx 3070"] * 3
    assert wordpiece_vocabulary(corpus, 40) == wordpiece_vocabulary(corpus[::-1], 40)


def test_a_vocabulary_holds_letters_then_words_then_pieces_by_count() -> None:
    corpus = ["abc abc abc", "abd abd", "xyz"]
    letters = [prefix + letter for prefix in ("", "##") for letter in "abcdxyz"]
    found = {size: wordpiece_vocabulary(corpus, size) for size in (3, 16, 17, 18, 19, 100)}
    for size, pieces in found.items():
        assert pieces[0] == "[UNK]"
        assert pieces[1:] == sorted(set(pieces[1:])), size
    assert set(found[3][1:]) == set(letters)
    added = [sorted(set(found[size][1:]) - set(letters)) for size in (16, 17, 18, 19)]
    assert added == [["abc"], ["abc", "abd"], ["ab", "abc", "abd"], ["##bc", "ab", "abc", "abd"]]
    assert "xyz" not in found[100]  # seen once
    assert set(found[100]) == {"[UNK]", *letters, "abc", "abd", "ab", "##bc", "##bd"}


def test_an_empty_corpus_leaves_the_unknown_piece() -> None:
    assert wordpiece_vocabulary([], 10) == ["[UNK]"]


def test_training_needs_two_models(tmp_path: Path) -> None:
    from rerank.index.embedder_training import train_embedder

    with pytest.raises(InputError, match="at least two models"):
        train_embedder([("a", "t", "d")] * 5, ["t"], tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_batches_hold_each_model_once_and_every_pair_of_a_full_round() -> None:
    from rerank.index.embedder_training import _batches

    pairs = [(f"m{at % 7}", f"t{at}", "d") for at in range(70)]
    batches = _batches(pairs, 4, np.random.default_rng(2))
    for batch in batches:
        models = [pairs[row][0] for row in batch]
        assert len(set(models)) == len(models)
        assert 2 <= len(batch) <= 4
    assert sorted(row for batch in batches for row in batch) == list(range(70))


# --- what is embedded ---


@pytest.mark.parametrize(
    ("listing", "expected"),
    [
        (Listing("1", "RTX4060Ti  8GB"), "rtx 4060 ti 8 gb"),
        (Listing("1", "RTX 3080", vendor="ASUS"), "asus rtx 3080"),
        (Listing("1", "ASUS RTX 3080", vendor="ASUS TeK"), "asus rtx 3080"),
        (Listing("1", "RTX 3080", description="<b>10 GB</b>"), "rtx 3080 10 gb"),
        (Listing("1", "RTX 3080", description="x" * 500), "rtx 3080 " + "x" * 120),
        (Listing("1", ""), ""),
        (Listing("1", "🎮 !!!"), ""),
    ],
)
def test_the_text_of_a_listing(listing: Listing, expected: str) -> None:
    assert listing_text(listing).embedded == expected


def test_the_text_of_a_gpu(tiny_registry: list[GpuRecord]) -> None:
    texts = {record.gpu_id: descriptor(record) for record in tiny_registry}
    assert texts["geforce-rtx-4060-ti-16gb-gddr6"] == "nvidia geforce rtx 4060 ti 16 gb gddr 6"
    assert texts["a100-80gb-hbm2e-sxm4"] == "nvidia a 100 80 gb hbm 2 e sxm 4"
    assert texts["geforce-rtx-4080-super-16gb-gddr6x"] == (
        "nvidia geforce rtx 4080 super 16 gb gddr 6 x 4080 s"
    )
    assert len(set(texts.values())) == len(texts)


def test_unit_rows_scale_and_leave_zeros() -> None:
    rows = unit_rows(np.array([[3, 4], [0, 0], [-2, 0]], np.float32))
    expected = np.array([[0.6, 0.8], [0.0, 0.0], [-1.0, 0.0]])
    np.testing.assert_allclose(rows, expected, atol=1e-7)


def test_the_hash_embedder_ranks_by_shared_trigrams() -> None:
    vectors = HashEmbedder(512).encode(["rtx 4060 ti", "rtx 4060", "radeon hd 7970"])
    assert vectors[0] @ vectors[1] > 0.6 > 0.3 > vectors[0] @ vectors[2]
    assert HashEmbedder(64).fingerprint != HashEmbedder(128).fingerprint


def test_ids_by_words_are_those_of_whole_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plain twin: the tokenizer over each whole text; few words are remembered at once."""
    monkeypatch.setattr("rerank.index.embedder._MOST_WORDS", 50)
    embedder = StaticEmbedder.load(shipped("embedder"))
    rng = np.random.default_rng(3)
    odd = list("abrtx0346809 gé显\u0416\u00a0\x1c\t  ")
    texts = ["".join(rng.choice(odd, size)) for size in rng.integers(0, 90, 100)]
    texts += [" ".join(["".join(rng.choice(odd[:12], 5)) for _ in range(9)]) for _ in range(300)]
    texts += ["##ti rtx", "an unknown \U0001f600 word", "b" * 40 + " c"]
    plain = embedder._tokenizer.encode_batch(texts, add_special_tokens=False)
    for _ in range(2):
        ids, counts = embedder._words.tokens(texts)
        np.testing.assert_array_equal(ids, np.concatenate([each.ids for each in plain]))
        np.testing.assert_array_equal(counts, [len(each.ids) for each in plain])
    sums = np.zeros((len(texts), embedder.dimension), np.float32)
    for row, each in enumerate(plain):
        for token in each.ids[:128]:
            sums[row] += embedder._table[token]
    np.testing.assert_array_equal(embedder.encode(texts), unit_rows(sums))
