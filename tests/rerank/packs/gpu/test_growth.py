"""GPUs added to an index: what does not name them is answered as before, to the last digit."""

from __future__ import annotations

import random

import pytest

from rerank.index.embedder import StaticEmbedder
from rerank.index.records import Listing, shipped
from rerank.model import RerankModel
from rerank.packs.gpu.bootstrap.generator import generate
from rerank.packs.gpu.pack import GpuResolver
from rerank.packs.gpu.registry import load_registry
from rerank.packs.gpu.retriever import build_index, load_retriever, touched_since, update_index

LISTINGS = 1500
ADDED = ["GeForce RTX 4070 SUPER", "L4", "Radeon Pro W7900", "GeForce GT 1030", "A100"]
ODD = [
    "asus RTX 4O7O super",
    "видеокарта РТХ ４０７０ супер",
    "nvidia l 4 24gb",
    "PNY L-4",
    "GTX 1660 super",
    "rtx <b>4070</b>&nbsp;super 12&nbsp;GB",
    "radeon pro w٧٩٠٠",
    "zotac gt1030 2gb",
    "nvidia a 100 pcie 40gb",
    "bracket for graphics cards",
]


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """An index without some models, the same with them, and what answers from each."""
    folder = tmp_path_factory.mktemp("grown")
    records = load_registry(shipped("registry"))
    models = sorted({record.model for record in records} - set(ADDED))
    added = {*ADDED, *random.Random(5).sample(models, 5)}
    embedder = StaticEmbedder.load(shipped("embedder"))
    base = build_index([r for r in records if r.model not in added], embedder, folder / "base")
    manifest, n = update_index(records, embedder, folder / "base", folder / "grown")
    assert n == sum(record.model in added for record in records)
    assert manifest.parameters["gpus"] == len(records)
    return folder, base.fingerprint, records, embedder


def test_only_touched_titles_are_answered_otherwise_and_few_are_touched(grown):
    folder, before, records, embedder = grown
    listings = [item.listing for item in generate(records, LISTINGS, seed=3)]
    listings += [Listing("", title) for title in ODD]
    model = RerankModel.load(shipped("model"))
    answers = []
    for name in ("base", "grown"):
        retriever, _ = load_retriever(folder / name, embedder)
        resolver = GpuResolver(retriever, model, index_version="i")
        answers.append(resolver.resolve_table(listings).to_pylist())
    touched = touched_since(folder / "grown", before)
    found = set(touched([listing.title for listing in listings]))
    pairs = enumerate(zip(*answers, strict=True))
    differ = {at for at, (was, now) in pairs if was != now}
    assert differ - found == set()
    assert 10 < len(differ)
    assert len(found) < 0.12 * len(listings)
    odd = {listings[at].title for at in found if at >= LISTINGS}
    assert odd == set(ODD) - {"GTX 1660 super", "bracket for graphics cards"}
    assert {row["model"] for row in answers[1][LISTINGS:]} >= {"GeForce RTX 4070 SUPER", "L4"}


@pytest.mark.parametrize(
    ("name", "titles"),
    [
        (
            "Arc 130T",
            [
                "rtx 2060 tản nhiệt",  # a letter of its own before one that is not of Latin words
                "RTX 2060  t",
                "RTX 2060 T\N{COMBINING ACUTE ACCENT}",
                "GTX 1660 ти t",
                "Arc 1\N{ZERO WIDTH SPACE}30",
                "arc 13&#48;",
                "arc <b>1</b>30 13o",
            ],
        ),
        (
            "Radeon RX 7300",
            [
                "AX RX\N{TRADE MARK SIGN}7300",
                "рх 7300",
                "Sapphire рх7300",
                "rx\N{NO-BREAK SPACE}\N{NO-BREAK SPACE}7300 8gb",
                "RX-73O0",
                "RX 7\N{FULLWIDTH DIGIT THREE}00",
                "rx (7300)",
            ],
        ),
    ],
)
def test_a_name_is_found_however_it_is_written(grown, tmp_path, make_gpu, name, titles):
    *_, records, embedder = grown
    others = [record for record in records if record.model not in (name, "Arc 130T", "Arc 140T")]
    base = build_index(others, embedder, tmp_path / "base").fingerprint
    update_index([*others, make_gpu(name, 8)], embedder, tmp_path / "base", tmp_path / "grown")
    touched = touched_since(tmp_path / "grown", base)
    assert touched(titles) == list(range(len(titles)))
    assert touched(["RTX 3060 Ti", "видеокарта ASUS RX 580 8 ГБ", "géforce 9800 GT", ""]) == []


def test_what_changes_more_than_titles_that_name_it_touches_all(grown, tmp_path, make_gpu):
    folder, before, records, embedder = grown
    assert touched_since(folder / "grown", "0123456789abcdef") is None
    assert touched_since(folder / "base", before) is None  # never added to
    variant = make_gpu(records[0].model, 77)
    update_index([*records, variant], embedder, folder / "grown", tmp_path / "variant")
    assert touched_since(tmp_path / "variant", before) is None
    size = make_gpu("GeForce RTX 9999", 18)
    update_index([*records, size], embedder, folder / "grown", tmp_path / "size")
    touched = touched_since(tmp_path / "size", before)
    assert touched(["RTX 3080 18GB", "RTX 3080 18432 MiB", "RTX 3080 10GB"]) == [0, 1]


def test_a_registry_that_changed_otherwise_is_built_anew(grown, tmp_path):
    folder, _, records, embedder = grown
    _, added = update_index(records[1:], embedder, folder / "grown", tmp_path / "fewer")
    assert added is None
    assert sorted(path.name for path in (tmp_path / "fewer").iterdir()) == [
        "index.faiss",
        "manifest.json",
        "records.jsonl",
    ]
