"""Training from scored queries to model, report and failures."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from rerank.index.errors import ArtifactError, InputError, MismatchError
from rerank.rankers.dual import DualCandidateRanker, DualModel
from rerank.rankers.dual_experiment import DualData, evaluate_dual, search, train_dual
from rerank.rankers.parameters import SearchSettings
from rerank.rankers.scored import ReadLines, held_out, synthetic_candidates


def test_every_step_of_the_ablation_is_measured_on_the_held_out_queries(trained, photographs):
    folder, report = trained
    names = [step["name"] for step in report["steps"]]
    assert names == ["embedding_only", "attributes", "conflict", "reranker"]
    test = held_out(photographs, test_percent=20)
    assert report["data"]["split"]["test"]["queries"] == test.n_queries
    for step in report["steps"]:
        assert sorted(step["metrics"]) == [
            "compliance_at_1",
            "compliance_at_3",
            "compliance_at_5",
            "conflict_at_1",
            "conflict_auc",
            "conflict_ece",
            "ndcg_at_10",
        ]
        for figure in step["metrics"].values():
            low, high = figure["ci95"]
            assert 0 <= low <= high <= 1
    assert [step["inputs"] for step in report["steps"]] == [6, 11, 13, 13]
    assert report == json.loads((folder / "report.json").read_text(encoding="utf-8"))


def test_the_reranker_gains_over_embeddings_alone_beyond_chance(trained):
    _, report = trained
    last = report["steps"][-1]
    assert last["gain"]["compliance_at_1"]["ci95"][0] > 0.03
    assert last["gain"]["ndcg_at_10"]["relative_ci95"][0] > 0.06
    assert (
        last["metrics"]["conflict_auc"]["value"]
        > report["steps"][0]["metrics"]["conflict_auc"]["value"]
    )


def test_doubt_is_larger_where_errors_are_more_frequent(trained):
    found = trained[1]["uncertainty"]
    assert found["auc"]["ci95"][0] > 0.5
    bins = [each["share_wrong"] for each in found["bins"]]
    assert bins[0] < bins[-1]


def test_failures_name_candidates_causes_and_inputs(trained):
    _, report = trained
    failures = report["failures"]
    assert sum(report["failure_causes"].values()) == len(failures)
    share = report["uncertainty"]["share_wrong"]
    assert len(failures) == round(share["value"] * share["n"])
    first = failures[0]
    assert first["chosen"] != first["best"]
    assert first["cause"] in report["failure_causes"]
    doubts = [failure["error_probability"] for failure in failures]
    assert doubts == sorted(doubts)


def test_a_saved_model_scores_as_the_one_that_was_trained(trained, photographs):
    folder, report = trained
    model = DualModel.load(folder / "model")
    test = held_out(photographs, test_percent=20)
    again = evaluate_dual(model, test, samples=200, seed=3)
    assert again["steps"][-1]["metrics"] == report["steps"][-1]["metrics"]
    assert again["uncertainty"] == report["uncertainty"]
    assert again["steps"][0]["label"] == "cosine"
    scores = model.score(test)
    assert ((scores.conflict_probability >= 0) & (scores.conflict_probability <= 1)).all()
    assert scores.error_probability.shape == (test.n_queries,)


def test_queries_are_scored_alone_as_in_a_batch(trained, photographs):
    model = DualModel.load(trained[0] / "model")
    whole = model.score(photographs.of_queries(np.arange(700) < 8))
    alone = [model.score(photographs.of_queries(np.arange(700) == at)) for at in range(8)]
    np.testing.assert_allclose(np.concatenate([s.score for s in alone]), whole.score, atol=1e-5)
    doubts = np.concatenate([s.doubt for s in alone])
    np.testing.assert_allclose(doubts, whole.doubt, atol=1e-5)


def test_two_runs_with_one_seed_agree(tmp_path, small_config):
    scored = synthetic_candidates(120, seed=9)
    config = replace(small_config, training=replace(small_config.training, epochs=2))
    reports = [
        train_dual(ReadLines(scored, 120, ()), config, tmp_path / name) for name in ("a", "b")
    ]
    assert reports[0] == reports[1]
    models = [(tmp_path / name / "model" / "ensemble.onnx").read_bytes() for name in ("a", "b")]
    assert models[0] == models[1]


def test_a_damaged_model_is_refused(trained, tmp_path):
    source, target = trained[0] / "model", tmp_path / "model"
    target.mkdir()
    for path in source.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    (target / "calibrators.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"calibrators\.json: damaged: expected sha256"):
        DualModel.load(target)


def test_a_model_of_other_data_ranks_no_gpus(trained):
    with pytest.raises(MismatchError, match=r"the dual ranker reads 'cosine\(query\.clip_text"):
        DualCandidateRanker.load(trained[0] / "model")


def test_a_search_goes_on_where_it_stopped_and_knows_its_data(tmp_path, small_config):
    pytest.importorskip("optuna")
    scored = synthetic_candidates(60, seed=2)
    config = replace(
        small_config,
        training=replace(small_config.training, epochs=1),
        search=SearchSettings(trials=1),
    )
    data, journal = DualData.prepare(scored, config), tmp_path / "search.jsonl"
    first, report = search(data, config, journal)
    assert report["trials"] == 1
    assert first.network.hidden == report["best"]["settings"]["hidden"]
    more = replace(config, search=SearchSettings(trials=3))
    assert search(data, more, journal)[1]["trials"] == 3
    found, report = search(data, more, journal)
    assert report["trials"] == 3
    assert found == search(data, more, journal)[0]
    assert found.training.learning_rate == report["best"]["settings"]["learning_rate"]
    with pytest.raises(MismatchError, match="is a search over other data or another configuration"):
        search(data, replace(more, seed=99), journal)


def test_a_journal_that_is_none_is_refused(tmp_path, small_config):
    pytest.importorskip("optuna")
    journal = tmp_path / "search.jsonl"
    journal.write_text("not a journal\nat all\n", encoding="utf-8")
    data = DualData.prepare(synthetic_candidates(60, seed=2), small_config)
    with pytest.raises(ArtifactError, match=r"search\.jsonl: expected Optuna's journal, found"):
        search(data, small_config, journal)


def test_a_search_ends_with_its_minutes(tmp_path, small_config):
    pytest.importorskip("optuna")
    config = replace(
        small_config,
        training=replace(small_config.training, epochs=1),
        search=SearchSettings(minutes=1e-6),
    )
    data = DualData.prepare(synthetic_candidates(60, seed=2), config)
    assert search(data, config, tmp_path / "search.jsonl")[1]["trials"] <= 1


def test_a_search_that_was_killed_ends_as_one_that_was_not(tmp_path, small_config):
    pytest.importorskip("optuna")
    config = replace(
        small_config,
        training=replace(small_config.training, epochs=1),
        network=replace(small_config.network, members=1),
        search=SearchSettings(trials=14),
    )
    data = DualData.prepare(synthetic_candidates(40, seed=2), config)
    whole, stopped = tmp_path / "whole.jsonl", tmp_path / "stopped.jsonl"
    expected, report = search(data, config, whole)
    lines = whole.read_bytes().splitlines(keepends=True)
    completed = [at for at, line in enumerate(lines) if b'"op_code":6' in line]
    # Killed in the midst of the twelfth trial, and of writing a line.
    stopped.write_bytes(b"".join(lines[: completed[10] + 4]) + lines[completed[10] + 4][:-20])
    stopped.with_name("stopped.jsonl.lock").symlink_to(stopped)  # as Optuna's lock is left
    found, again = search(data, config, stopped)
    assert again["trials"] == 14
    assert again["best"]["settings"] == report["best"]["settings"]
    assert found == expected
    tried = [json.loads(line) for line in stopped.read_text(encoding="utf-8").splitlines()]
    values = [each["values"] for each in tried if each["op_code"] == 6]
    assert values == [json.loads(lines[at])["values"] for at in completed]


def test_a_file_of_others_keeps_its_last_line(tmp_path, small_config):
    pytest.importorskip("optuna")
    journal = tmp_path / "search.jsonl"
    journal.write_text("dear diary\ntoday", encoding="utf-8")
    data = DualData.prepare(synthetic_candidates(60, seed=2), small_config)
    with pytest.raises(ArtifactError, match=r"search\.jsonl: expected Optuna's journal, found"):
        search(data, small_config, journal)
    assert journal.read_text(encoding="utf-8") == "dear diary\ntoday"


def test_what_others_put_in_the_output_folder_is_not_replaced(tmp_path, small_config):
    read = ReadLines(synthetic_candidates(60, seed=2), 60, ())
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"found 'thesis\.txt' in it; choose another place"):
        train_dual(read, small_config, tmp_path)
    assert (tmp_path / "model" / "thesis.txt").read_text() == "years of work"
    other = tmp_path / "other"
    other.mkdir()
    (other / "report.json").write_text("{}")
    with pytest.raises(InputError, match="or one beside the model that it is of"):
        train_dual(read, small_config, other)
    assert (other / "report.json").read_text() == "{}"
