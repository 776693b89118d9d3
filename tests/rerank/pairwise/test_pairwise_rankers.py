"""Trained rankers: their folder, what they answer, and the heuristic in their place."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from rerank.index.errors import ArtifactError, InputError, MismatchError
from rerank.index.records import Listing
from rerank.packs.gpu.candidates import CANDIDATE_FEATURES
from rerank.rankers.pairs import read_dataset
from rerank.rankers.pairwise import (
    CANDIDATE_WEIGHTS,
    PairwiseCandidateRanker,
    PairwiseRanker,
    TrainingPlan,
    train_pairwise,
)
from rerank.rankers.parameters import PairwiseParameters
from rerank.ranking import RankingBatch

GOOD = {
    "item_type": "project",
    "id": "good",
    "metrics": {"impact": 0.9, "clarity": 0.9, "size": 100.0, "year": 2024.0},
}
FAIR = {
    "item_type": "project",
    "id": "fair",
    "metrics": {"impact": 0.5, "clarity": 0.5, "size": 500.0, "year": 2024.0},
}
POOR = {
    "item_type": "project",
    "id": "poor",
    "metrics": {"impact": 0.1, "clarity": 0.2, "size": 900.0, "year": 2024.0},
}

SMALL = PairwiseParameters(hidden_dim=16, epochs=3)


def test_metadata_say_what_was_trained_and_how_good_it_is(trained):
    folder, metadata = trained
    assert json.loads((folder / "pairwise_ranker_metadata.json").read_text()) == metadata
    assert metadata["feature_names"] == ["impact", "clarity", "size", "year", "stars"]
    assert metadata["indicators"] == ["stars"]
    assert metadata["features"]["constant"] == ["year"]
    assert (metadata["input_dim"], metadata["network_input_dim"]) == (5, 6)
    assert metadata["dataset"]["training_pairs"] == 240
    assert metadata["dataset"]["validation_pairs"] == 60
    assert metadata["configuration"]["seed"] == 7
    assert len(metadata["loss_history"]) == len(metadata["validation_loss_history"]) <= 20
    assert metadata["training_time"] > 0
    figure = metadata["metrics"]["validation"]["pair_accuracy"]
    assert figure["value"] >= 0.95
    assert figure["ci95"][0] <= figure["value"] <= figure["ci95"][1]
    assert metadata["metrics"]["validation"]["gain_over_heuristic"]["value"] > 0.05
    assert max(metadata["parity"]["score"], metadata["parity"]["score_diff"]) < 1e-5
    assert 1 < metadata["parity"]["largest_score"] < 10
    assert metadata["parity"]["tolerance"] == 1e-5


def test_the_folder_holds_what_it_should(trained):
    folder, _ = trained
    assert {path.name for path in folder.iterdir()} == {
        "pairwise_ranker.pth",
        "pairwise_ranker.onnx",
        "pairwise_ranker_scorer.onnx",
        "pairwise_ranker_metadata.json",
        "active_model.json",
        "manifest.json",
    }
    active = json.loads((folder / "active_model.json").read_text())
    assert active["name"] == "pairwise_ranker"
    assert (folder / active["model"]).exists()


def test_onnx_runs_on_raw_rows_without_us(trained):
    import onnxruntime

    folder, _ = trained
    session = onnxruntime.InferenceSession((folder / "pairwise_ranker.onnx").read_bytes())
    assert [each.name for each in session.get_inputs()] == ["input_a", "input_b"]
    rows = np.array([[0.9, 0.9, 100, 2024, np.nan], [0.1, 0.2, 900, 2024, np.nan]], np.float32)
    (found,) = session.run(["score_diff"], {"input_a": rows, "input_b": rows[::-1].copy()})
    ranker = PairwiseRanker.load(folder)
    expected = ranker.score_item(GOOD).score - ranker.score_item(POOR).score
    np.testing.assert_allclose(found, [expected, -expected], atol=1e-5)


def test_items_are_scored_compared_and_ranked(trained):
    ranker = PairwiseRanker.load(trained[0])
    assert ranker.provenance == "onnx"
    found = ranker.compare(GOOD, POOR)
    assert (found.preference, found.provenance) == (1, "onnx")
    assert found.a_score == pytest.approx(ranker.score_item(GOOD).score, abs=1e-6)
    assert found.confidence > 0.95
    back = ranker.compare(POOR, GOOD)
    assert (back.preference, back.confidence) == (-1, pytest.approx(found.confidence, abs=1e-6))
    assert ranker.compare(GOOD, {**GOOD, "id": "twin"})[2:] == (0, 0.5, "onnx")
    ranked = ranker.rank([POOR, GOOD, FAIR])
    assert [each.item.reference_id for each in ranked] == ["good", "fair", "poor"]
    assert all(one.score > next_.score for one, next_ in pairwise(ranked))
    assert ranker.rank([]) == []


def test_equal_items_are_ranked_by_their_reference(trained):
    ranker = PairwiseRanker.load(trained[0])
    twins = [{**GOOD, "id": name} for name in ("c", "a", "b")]
    assert [each.item.reference_id for each in ranker.rank(twins)] == ["a", "b", "c"]


def test_an_item_may_lack_metrics_or_hold_others_but_not_nothing_that_is_read(trained):
    ranker = PairwiseRanker.load(trained[0])
    more = {**GOOD, "metrics": {**GOOD["metrics"], "colour": 3.0, "stars": float("nan")}}
    assert ranker.score_item(more) == ranker.score_item(GOOD)
    assert np.isfinite(ranker.score_item({"id": "x", "metrics": {"impact": 1}}).score)
    with pytest.raises(InputError, match=r"'x': expected some of what .* reads \(impact, clarity"):
        ranker.score_item({"id": "x", "metrics": {"colour": 1}})


def test_rankers_of_other_names_stay_and_the_newest_serves(
    trained, tmp_path, write_rows, make_projects
):
    folder = tmp_path / "rankers"
    shutil.copytree(trained[0], folder)
    first = PairwiseRanker.load(folder).score_item(GOOD)
    dataset = read_dataset(write_rows(make_projects(40, seed=9)))
    train_pairwise(dataset, TrainingPlan(folder=folder, name="second", parameters=SMALL))
    assert PairwiseRanker.load(folder).trained.name == "second"
    assert PairwiseRanker.load(folder, name="pairwise_ranker").score_item(GOOD) == first
    (folder / "active_model.json").write_text('{"name": "pairwise_ranker"}')
    assert PairwiseRanker.load(folder).score_item(GOOD) == first
    (folder / "active_model.json").write_text('{"name": "third"}')
    with pytest.raises(ArtifactError, match="expected one of the rankers pairwise_ranker, second"):
        PairwiseRanker.load(folder)
    (folder / "active_model.json").write_text("[]")
    with pytest.raises(ArtifactError, match="expected JSON with the name of the ranker"):
        PairwiseRanker.load(folder)


@pytest.mark.parametrize("file", ["pairwise_ranker.pth", "pairwise_ranker_scorer.onnx"])
def test_a_damaged_file_is_found(trained, tmp_path, file):
    folder = tmp_path / "rankers"
    shutil.copytree(trained[0], folder)
    (folder / file).write_bytes((folder / file).read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactError, match=f"{file}: damaged"):
        PairwiseRanker.load(folder)


def test_a_folder_of_something_else_is_not_touched(tmp_path, write_rows, make_projects):
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "todo.txt").write_text("mine")
    dataset = read_dataset(write_rows(make_projects(20)))
    with pytest.raises(InputError, match=r"of an earlier pairwise ranker, found 'todo\.txt' in it"):
        train_pairwise(dataset, TrainingPlan(folder=folder, parameters=SMALL))
    assert [path.name for path in folder.iterdir()] == ["todo.txt"]


@pytest.mark.parametrize("name", ["", "a/b", "..", "x_scorer", "a b"])
def test_a_name_that_cannot_open_file_names_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="expected a name of letters"):
        TrainingPlan(folder=tmp_path / "r", name=name).check()


def test_training_goes_on_from_a_network(trained, tmp_path, write_rows, make_projects):
    dataset = read_dataset(write_rows(make_projects(60, seed=8)))
    plan = TrainingPlan(
        folder=tmp_path / "r",
        parameters=replace(SMALL, hidden_dim=32),
        continue_from=trained[0] / "pairwise_ranker.pth",
    )
    metadata = train_pairwise(dataset, plan)
    assert metadata["continued_from"]["name"] == "pairwise_ranker"
    assert metadata["loss_history"][0] < trained[1]["loss_history"][0] / 2
    assert metadata["metrics"]["validation"]["pair_accuracy"]["value"] >= 0.8
    assert metadata["feature_names"] == trained[1]["feature_names"]


def test_what_a_network_was_not_trained_on_cannot_go_on_with_it(
    trained, tmp_path, write_rows, make_projects
):
    rows = make_projects(20)
    path = trained[0] / "pairwise_ranker.pth"
    plan = TrainingPlan(folder=tmp_path / "r", parameters=SMALL, continue_from=path)
    with pytest.raises(MismatchError, match=r"layer of 32, .* got 16; give --hidden-dim 32, or"):
        train_pairwise(read_dataset(write_rows(rows)), plan)
    rows[0]["item_a"]["metrics"]["colour"] = 1
    plan = replace(plan, parameters=replace(SMALL, hidden_dim=32))
    with pytest.raises(MismatchError, match=r"unknown metrics 0, .* got 1 \(colour\)"):
        train_pairwise(read_dataset(write_rows(rows)), plan)
    assert not (tmp_path / "r").exists()


def test_embeddings_must_be_of_the_stated_length(tmp_path, write_rows, make_projects):
    rows = make_projects(20)
    for row in rows:
        row["item_a"]["embedding"], row["item_b"]["embedding"] = [1, 0.5, 2], [0, 1, 0.25]
    dataset = read_dataset(write_rows(rows))
    plan = TrainingPlan(folder=tmp_path / "r", parameters=SMALL, embedding_dim=4)
    with pytest.raises(InputError, match=r"expected embeddings of 4 numbers, .* found embeddings"):
        train_pairwise(dataset, plan)
    assert train_pairwise(dataset, replace(plan, embedding_dim=None))["embedding_dim"] == 3
    ranker = PairwiseRanker.load(plan.folder, embeddings={"v:1": np.ones(3, np.float32)})
    by_id = ranker.score_item({**GOOD, "embedding_id": "v:1"})
    assert by_id == ranker.score_item({**GOOD, "embedding": [1, 1, 1]})
    assert by_id != ranker.score_item(GOOD)
    with pytest.raises(InputError, match="expected an embedding of 3 numbers, found 2"):
        ranker.score_item({**GOOD, "embedding": [1, 1]})
    with pytest.raises(MismatchError, match="reads embeddings of 3 as well"):
        PairwiseCandidateRanker(ranker)
    assert train_pairwise(dataset, replace(plan, embedding_dim=0))["embedding_dim"] == 0


def test_the_heuristic_serves_where_there_is_no_ranker(tmp_path):
    ranker = PairwiseRanker.load(tmp_path / "none")
    assert ranker.provenance == "heuristic"
    assert "rerank train-pairwise" in ranker.why_heuristic
    item = {"metrics": {"clarity": 0.8, "impact": 0.7, "keyword_score": 0.5, "relevance": 0.9}}
    assert ranker.score_item(item) == (pytest.approx(0.67), "heuristic")
    assert ranker.score_item({"metrics": {"keyword": 1.0, "clarity": float("nan")}}).score == (
        pytest.approx(0.3)
    )
    found = ranker.compare(item, {"metrics": {"clarity": 0.8}})
    assert (found.preference, found.provenance) == (1, "heuristic")
    assert 0.5 < found.confidence < 1


def test_the_heuristic_serves_without_onnxruntime(trained, monkeypatch):
    monkeypatch.setattr("rerank.rankers.pairwise.find_spec", lambda name: None)
    ranker = PairwiseRanker.load(trained[0])
    assert (ranker.provenance, ranker.trained) == ("heuristic", None)
    assert ranker.why_heuristic == "onnxruntime is not installed"


def test_a_network_of_projects_does_not_rank_candidates(trained):
    with pytest.raises(MismatchError, match="reads impact, clarity, size, year, stars, which"):
        PairwiseCandidateRanker.load(trained[0])


@pytest.fixture(scope="module")
def candidate_folder(tmp_path_factory):
    """A ranker of pairs of candidates, of which the better one has more name_quality."""
    rng, rows = np.random.default_rng(2), []
    for at in range(60):
        items = []
        for gpu in "ab":
            values = rng.random(3).round(3).tolist()
            metrics = dict(zip(("memory_fit", "name_quality", "vendor_fit"), values, strict=True))
            items.append(
                {
                    "item_type": "gpu_candidate",
                    "metrics": metrics,
                    "item_reference_id": f"l{at}::{gpu}",
                }
            )
        gap = items[0]["metrics"]["name_quality"] - items[1]["metrics"]["name_quality"]
        rows.append({"item_a": items[0], "item_b": items[1], "label": int(np.sign(gap))})
    folder = tmp_path_factory.mktemp("candidates")
    path = folder / "dataset.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    plan = TrainingPlan(folder=folder / "r", parameters=replace(SMALL, epochs=30))
    train_pairwise(read_dataset(path), plan)
    return plan.folder


def test_a_network_of_candidates_ranks_them_by_the_columns_it_reads(
    candidate_folder, tiny_retriever
):
    ranker = PairwiseCandidateRanker.load(candidate_folder)
    assert ranker.provenance == "onnx"
    listings = [Listing("1", "rtx 3080 10gb"), Listing("2", "arc a770")]
    candidates = tiny_retriever.retrieve(listings, n_candidates=5)
    features = np.zeros((len(candidates.record), len(CANDIDATE_FEATURES)), np.float32)
    column = CANDIDATE_FEATURES.index("name_quality")
    features[:, column] = np.linspace(0, 1, len(features))
    scores = ranker.score(RankingBatch(listings, candidates, features, tiny_retriever.table))
    assert scores.shape == (len(features),)
    assert (np.diff(scores) > 0).all()
    metrics = {"memory_fit": 0.0, "name_quality": 1.0, "vendor_fit": 0.0}
    alone = PairwiseRanker.load(candidate_folder).score_item({"id": "x", "metrics": metrics})
    assert scores[-1] == pytest.approx(alone.score, abs=1e-6)


def test_the_heuristic_ranks_candidates_by_its_stated_weights(tmp_path):
    ranker = PairwiseCandidateRanker.load(tmp_path / "none")
    rng = np.random.default_rng(3)
    features = rng.normal(size=(4, len(CANDIDATE_FEATURES))).astype(np.float32)
    items = [
        {
            "item_type": "gpu_candidate",
            "metrics": dict(zip(CANDIDATE_FEATURES, row.tolist(), strict=True)),
        }
        for row in features
    ]
    expected = PairwiseRanker().score_items(items)
    np.testing.assert_allclose(ranker.score_features(features), expected, rtol=1e-5)
    assert set(CANDIDATE_WEIGHTS) <= set(CANDIDATE_FEATURES)
