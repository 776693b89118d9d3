"""`train-ltr` with annotations of the store, and `simulate-queue`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from rerank.evaluation.gold import Split, split_of
from rerank.index.records import Listing, shipped
from rerank.store.database import Store
from rerank.store.rows import Annotation, StoredListing, Verdict, save_annotations, save_listings

RANKED = ("GeForce GTX 1660 SUPER", "GeForce RTX 2060", "Radeon RX 580", "Tesla V100")


def annotate(
    home: Path, answers: Sequence[tuple[str, str | None]], *, with_text: bool = True
) -> None:
    """Save titles with the model each sells, None for no GPU."""
    with Store(home / "store.duckdb").writing() as session:
        keys = [f"a{at}" for at in range(len(answers))]
        if with_text:
            plain = (Listing(key, title) for key, (title, _) in zip(keys, answers, strict=True))
            save_listings(session, [StoredListing(listing, "shop", "en") for listing in plain])
        save_annotations(
            session,
            [
                Annotation(key, "kim", Verdict.MATCH if model else Verdict.NOT_GPU, model=model)
                for key, (_, model) in zip(keys, answers, strict=True)
            ],
        )


def parameters_of(home: Path) -> dict:
    """Return what the newest version says it was made with."""
    pointer = json.loads((home / "models" / "active_model.json").read_text())
    folder = home / "models" / "ltr" / pointer["aliases"]["ltr"]["version"]
    return json.loads((folder / "manifest.json").read_text())["parameters"]


@pytest.mark.slow
def test_train_ltr_uses_the_annotations_of_the_store(run, home):
    known = [model for model in RANKED if split_of(model) in (Split.RANKER, Split.EMBEDDER)]
    assert known
    answers = [
        *((f"{model} used, tested", model) for model in known),
        ("gpu anti sag holder", None),
        ("rtx 9999 prototype", "GeForce RTX 9999"),
        ("some rtx 3080", "GeForce RTX 3080"),
    ]
    annotate(home, answers)
    result = run("train-ltr", "--scale", 0.01, "--annotation-weight", 6)
    assert result.exit_code == 0, result.output
    assert "left out 1 annotated listings: the index knows no GeForce RTX 9999" in result.stderr
    used = parameters_of(home)["annotations"]
    assert used["ranker"] == len(known)
    assert used["weight"] == 6.0
    assert used["listings"] + used["kept_out"] == len(known) + 2
    assert used["kept_out"] >= 1  # GeForce RTX 3080 is kept for tests
    assert f"annotated listings: {len(known)} for the ranker" in result.stderr
    without = run("train-ltr", "--scale", 0.01, "--no-annotations", "--serve")
    assert without.exit_code == 0, without.output
    assert "annotations" not in parameters_of(home)
    assert "annotated" not in without.stderr


@pytest.mark.slow
def test_train_ltr_without_annotations_is_the_same_whatever_the_store_has(run, home):
    assert run("train-ltr", "--scale", 0.01).exit_code == 0
    assert "annotations" not in parameters_of(home)
    first = (home / "models" / "active_model.json").read_text()
    annotate(home, [("rtx 2060 in box", "GeForce RTX 2060")], with_text=False)
    result = run("train-ltr", "--scale", 0.01)
    assert "left out 1 annotated listings whose text is not in the store" in result.stderr
    assert (home / "models" / "active_model.json").read_text() == first


def test_a_damaged_store_is_an_error_before_anything_is_trained(run, home):
    home.mkdir()
    (home / "store.duckdb").write_bytes(b"no database" * 500)
    result = run("train-ltr", "--scale", 0.01)
    assert result.exit_code == 1
    assert "expected a store" in result.stderr
    assert not (home / "models").exists()


@pytest.mark.parametrize("weight", ["0", "-1", "heavy"])
def test_a_weight_must_be_above_zero(run, weight):
    result = run("train-ltr", "--annotation-weight", weight)
    assert result.exit_code == 2
    assert "--annotation-weight" in result.stderr


LONG = "listings_of_a_distributor_with_a_long_name"


def some_gold(path: Path) -> Path:
    rows = shipped("hard_set.csv").read_text(encoding="utf-8").splitlines(True)
    path.write_text("".join([rows[0], *rows[1:61], *rows[-60:]]), encoding="utf-8")
    return path


@pytest.mark.slow
def test_simulate_queue_reports_and_keeps_nothing(run, home, tmp_path):
    gold, out = some_gold(tmp_path / f"{LONG}.csv"), tmp_path / "queue.json"
    arguments = (
        "simulate-queue",
        "--gold",
        gold,
        "--answers",
        "5,10",
        "--repeats",
        2,
        "--scale",
        0.01,
        "--queue",
        "uncertain,random",
        "--out",
        out,
    )
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert not home.exists()
    assert max(map(len, result.stdout.splitlines())) <= 80
    for words in (f"{LONG} (120)", "precision@1", "Brier score", "over random", "uncertain"):
        assert words in " ".join(result.stdout.split())
    report = json.loads(out.read_text())
    assert report["sets"] == {LONG: 120}
    assert report["plan"] == {
        "answers": [5, 10],
        "repeats": 2,
        "queues": ["uncertain", "random"],
        "halving": "model",
        "weight": report["plan"]["weight"],
        "seed": 7,
    }
    arms = [(arm["queue"], arm["answers"]) for arm in report["arms"]]
    assert arms == [("uncertain", 5), ("uncertain", 10), ("random", 5), ("random", 10)]
    assert len(report["runs"]) == 2 * (1 + 4)
    printed = json.loads(run(*arguments[:-2], "--format", "json").stdout)
    assert printed == report


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--answers", "50,25", "expected rising numbers above 0 such as 25,50, got '50,25'"),
        ("--answers", "many", "expected rising numbers"),
        ("--answers", "0,5", "expected rising numbers"),
        ("--queue", "uncertain,best", "got 'best'"),
    ],
)
def test_simulate_queue_refuses_what_it_cannot_do(run, tmp_path, option, value, words):
    gold = some_gold(tmp_path / "mine.csv")
    result = run("simulate-queue", "--gold", gold, option, value)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())


def test_simulate_queue_wants_files_of_different_names(run, tmp_path):
    (tmp_path / "b").mkdir()
    files = some_gold(tmp_path / "mine.csv"), some_gold(tmp_path / "b" / "mine.csv")
    result = run("simulate-queue", "--gold", files[0], "--gold", files[1])
    assert result.exit_code == 1
    assert "expected different names, found mine.csv, mine.csv; rename one" in result.stderr
