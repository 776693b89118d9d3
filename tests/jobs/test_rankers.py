"""`--ranker` and `--cascade` wherever listings are resolved; `train-decision`; `--explain`."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rerank.index.records import Listing
from rerank.lifecycle.changing import TrainedVersion
from rerank.lifecycle.opening import open_resolver
from rerank.lifecycle.versions import SHIPPED_MODEL
from rerank.model import RerankModel
from rerank.rankers.kinds import RankerKind
from rerank.workspace import Workspace

TITLES = [
    "Gigabyte RTX5070Ti windforce sff 16g",
    "backplate for RTX 3080",
    "wooden chair",
    "MSI Gaming X GTX 1060 / 1070 untested",
]


@pytest.fixture
def listings(write_listings) -> Path:
    rows = [{"listing_id": str(at), "title": title} for at, title in enumerate([*TITLES, ""])]
    return write_listings("listings.csv", rows)


def train_pairwise(run, tmp_path: Path) -> None:
    assert run("pairs", "bootstrap", "--n-pairs", 150).exit_code == 0
    assert run("pairs", "export", "--out", tmp_path / "pairs").exit_code == 0
    data = tmp_path / "pairs" / "dataset.jsonl"
    trained = run("train-pairwise", "--input", data, "--epochs", 6, "--hidden-dim", 16)
    assert trained.exit_code == 0, trained.output


@pytest.mark.slow
def test_a_trained_ranker_serves_with_what_decides_on_its_scores(run, home, tmp_path, listings):
    train_pairwise(run, tmp_path)
    made = run("train-decision", "pairwise", "--scale", 0.03)
    assert made.exit_code == 0, made.output
    (folder,) = (home / "models" / "served" / "pairwise").iterdir()
    model = RerankModel.load(folder)
    assert folder.name == model.version
    assert made.stdout.startswith(f"model {model.version} in {folder}: match from ")
    assert "it is the challenger" in made.stdout
    pointer = Workspace(home).pointer()
    assert pointer.champion == SHIPPED_MODEL
    assert pointer.named("challenger") == ("pairwise", model.version)
    assert model.parameters["ranker_kind"] == "pairwise"
    assert model.candidate_sets is not None

    answer = json.loads(
        run("resolve", TITLES[0], "--ranker", "pairwise", "--format", "json").stdout
    )
    assert (answer["model"], answer["model_version"]) == ("GeForce RTX 5070 Ti", model.version)
    out = tmp_path / "out.parquet"
    plain = json.loads(run("resolve", TITLES[0], "--format", "json").stdout)
    assert plain["model_version"] != model.version
    scored = run("score", listings, out, "--ranker", "pairwise")
    assert scored.exit_code == 0, scored.output
    rows = pq.read_table(out).to_pylist()
    assert {row["model_version"] for row in rows} == {model.version}
    assert rows[0]["candidates"][:5] == answer["candidates"]
    gold = run(
        "evaluate",
        "--bootstrap",
        60,
        "--no-baselines",
        "--samples",
        20,
        "--ranker",
        "pairwise",
        "--format",
        "json",
    )
    assert json.loads(gold.stdout)["model_version"] == model.version
    gates = tmp_path / "gates.yaml"
    gates.write_text("sets: {generated: 100}\nsamples: 20\nlatency: {listings: 0}\n")
    served = run("models", "promote", "challenger", "--config", gates, "--force", "--why", "a try")
    assert served.exit_code == 0, served.output
    plain = json.loads(run("resolve", TITLES[0], "--format", "json").stdout)
    assert plain["model_version"] == model.version


def test_a_ranker_that_was_not_trained_says_how_to(run, home, listings, tmp_path):
    result = run("score", listings, tmp_path / "out.parquet", "--ranker", "dual")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"Error: {home / 'models' / 'served' / 'dual'}: no dual ranker serves here; train one with "
        "`rerank train-dual`, then what decides on its scores with `rerank train-decision dual`"
    ]
    assert not (tmp_path / "out.parquet").exists()
    result = run("train-decision", "pairwise")
    assert result.exit_code == 1
    assert "no trained pairwise ranker here; make one with `rerank train-pairwise`" in result.stderr
    result = run("resolve", "rtx 3080", "--cascade")
    assert result.exit_code == 1
    assert "train-cross-encoder" in result.stderr


def test_a_threshold_that_no_probability_reaches_is_warned_of(tmp_path):
    def warned(match: float) -> str:
        summary = {"thresholds": {"match": match, "review": 0.5, "precision": 0.99}}
        return TrainedVersion(SHIPPED_MODEL, tmp_path, False, summary, 0.93).warning()

    assert warned(0.93) == ""
    assert warned(1.01) == warned(0.95)
    assert warned(0.95).startswith("nothing will ever be a match: it states probabilities up to")


def test_an_unknown_ranker_is_a_wrong_call(run):
    result = run("resolve", "rtx 3080", "--ranker", "magic")
    assert result.exit_code == 2
    assert "'ltr', 'pairwise', 'dual', 'cross-encoder'" in result.stderr


def test_a_cascade_answers_as_ltr_does_where_that_is_sure(run, home, tmp_path, tiny_bert):
    """The cross-encoder is random: it may only touch what is uncertain."""
    import yaml

    pack = {
        "query_text": "rtx 3080",
        "positives": [{"doc_id": "p", "text": "geforce rtx 3080"}],
        "negatives": [{"doc_id": "n", "text": "radeon rx 580"}],
        "source_chunk": "c",
        "meta": {},
    }
    packs = [json.dumps({**pack, "query_text": f"rtx {number}"}) for number in range(20)]
    (tmp_path / "train.jsonl").write_text("\n".join(packs) + "\n")
    config = tmp_path / "config.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "model": {"name": str(tiny_bert)},
                "data": {"train": str(tmp_path / "train.jsonl")},
                "lengths": {"pair": 24, "query": 12},
                "lora": {"r": 2},
                "steps": {"epochs": 1, "batch_queries": 6},
            }
        )
    )
    assert run("train-cross-encoder", "--config", config).exit_code == 0
    plain, cascade = open_resolver(home), open_resolver(home, cascade=True)
    assert cascade.model.version.startswith(f"{plain.model.version}+")
    alike, other = (
        resolver.resolve_many([Listing(str(at), title) for at, title in enumerate(TITLES)])
        for resolver in (plain, cascade)
    )
    assert [each.decision for each in alike[:2]] == ["match", "no_match"]
    assert [each.candidates for each in alike[:2]] == [each.candidates for each in other[:2]]
    for first, second in zip(alike, other, strict=True):
        assert sorted(c.score for c in first.candidates) == pytest.approx(
            sorted(c.score for c in second.candidates), abs=1e-3
        )


def test_score_explains_each_listing_as_resolve_does(run, tmp_path, listings, shipped_resolver):
    out = tmp_path / "out.parquet"
    result = run("score", listings, out, "--explain", "--only-decisions")
    assert result.exit_code == 0, result.output
    table = pq.read_table(out)
    assert table.column_names[-1] == "explanation"
    for title, row in zip(TITLES, table.to_pylist()[: len(TITLES)], strict=True):
        expected = shipped_resolver.explain(Listing("", title))
        found = row["explanation"]
        assert (found["best"], found["rival"]) == (expected.best, expected.rival)
        assert [each["feature"] for each in found["ranking"]] == [
            each.feature for each in expected.ranking
        ]
        assert [each["contribution"] for each in found["offer"]] == [
            each.contribution for each in expected.offer
        ]
    empty = table.to_pylist()[-1]["explanation"]
    assert empty == {"best": None, "rival": None, "ranking": [], "offer": []}


def test_a_batch_is_explained_as_each_listing_by_itself(shipped_resolver):
    listings = [Listing(str(at), title) for at, title in enumerate(TITLES)]
    alone = [shipped_resolver.explain(listing) for listing in listings]
    assert shipped_resolver.answers(listings, explain=True).explanations == alone
    assert shipped_resolver.answers([], explain=True).explanations == []


def test_ranker_kinds_are_what_the_command_line_names():
    assert [str(kind) for kind in RankerKind] == ["ltr", "pairwise", "dual", "cross-encoder"]
