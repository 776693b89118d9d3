"""`rerank train-cross-encoder` and the query packs it reads, end to end with a tiny model."""

from __future__ import annotations

import json

import pytest
import yaml

from rerank.cross_encoder.packs import read_packs
from rerank.cross_encoder.ranker import CrossEncoderScorer
from rerank.evaluation.gold import Split, split_of
from rerank.index.artifacts import write_manifest, writing_folder
from rerank.index.records import Listing
from rerank.store.database import Store
from rerank.store.rows import Annotation, StoredListing, Verdict, save_annotations, save_listings
from rerank.workspace import Workspace

EXPORT = ("pairs", "export", "--format", "query-packs")


def pack(number: int) -> dict[str, object]:
    return {
        "query_text": f"card {number}",
        "positives": [{"doc_id": f"p{number}", "text": f"geforce gtx {number}"}],
        "negatives": [{"doc_id": f"n{number}", "text": f"radeon rx {number}"}],
        "source_chunk": "chunk",
        "meta": {"domain": "test"},
    }


@pytest.fixture
def write_config(tmp_path, tiny_bert):
    """Write a configuration and its packs; arguments replace keys."""

    def write(**changed):
        lines = "".join(json.dumps(pack(number)) + "\n" for number in range(10, 30))
        (tmp_path / "train.jsonl").write_text(lines + changed.pop("more_lines", ""))
        content = {
            "model": {"name": str(tiny_bert)},
            "data": {"train": str(tmp_path / "train.jsonl")},
            "lengths": {"pair": 24, "query": 12},
            "optimizer": {"learning_rate": 0.01},
            "steps": {"epochs": 1, "batch_queries": 6, "checkpoint_every": 1},
            "lora": {"r": 2},
            **changed,
        }
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


@pytest.mark.smoke
def test_a_model_is_trained_into_the_workspace_and_served(run, home, write_config):
    result = run("train-cross-encoder", "--config", write_config(export={"int8": True}))
    assert result.exit_code == 0, result.output
    folder = home / "models" / "cross-encoder"
    scorer = CrossEncoderScorer.load(folder)
    assert result.stdout.startswith(f"cross-encoder {scorer.version} in {folder}: graph and torch")
    assert "3 steps in" in result.stderr
    assert "on 2 queries: precision@1" in result.stderr
    assert scorer.manifest.parameters["queries"] == {"train": 18, "valid": 2}
    assert sorted(path.name for path in folder.parent.iterdir()) == ["cross-encoder"]


def test_output_of_the_call_wins_over_that_of_the_file(run, home, tmp_path, write_config):
    config = write_config(output=str(tmp_path / "file"))
    result = run("train-cross-encoder", "--config", config, "--output", tmp_path / "call")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "call" / "model.onnx").is_file()
    assert not (tmp_path / "file").exists()
    assert not home.exists()


def test_all_faults_of_a_file_are_shown_and_nothing_is_written(run, home, write_config):
    config = write_config(sead=3, precision="fp8", quantization="nf4 ")
    result = run("train-cross-encoder", "--config", config)
    assert result.exit_code == 1
    assert "config.yaml: 3 faults" in result.output
    assert "sead: unknown key; did you mean 'seed'?" in result.output
    assert "quantization: expected one of none, nf4, found 'nf4 '" in result.output
    assert not home.exists()


def test_malformed_lines_are_shown_with_their_numbers_or_stop_the_run(run, write_config):
    config = write_config(more_lines="{\n", data=None)
    content = yaml.safe_load(config.read_text())
    content["data"] = {"train": str(config.with_name("train.jsonl")), "max_malformed_share": 0.1}
    config.write_text(yaml.safe_dump(content))
    result = run("train-cross-encoder", "--config", config)
    assert result.exit_code == 0, result.output
    assert "passed over 1 malformed lines: line 21: " in result.stderr
    content["data"]["max_malformed_share"] = 0.01
    config.write_text(yaml.safe_dump(content))
    result = run("train-cross-encoder", "--config", config)
    assert result.exit_code == 1
    assert "1 of 21 lines are no query pack, more than the share of 0.01" in result.output


def test_a_checkpoint_is_gone_on_from_or_in_the_way(run, home, write_config):
    config = write_config()
    whole = run("train-cross-encoder", "--config", config)
    version = whole.stdout.split()[1]
    left = home / "models" / "cross-encoder.checkpoint"
    left.mkdir()
    result = run("train-cross-encoder", "--config", config)
    assert result.exit_code == 1
    assert "holds the checkpoint of a run that was stopped; go on with --resume" in result.output
    result = run("train-cross-encoder", "--config", config, "--resume")
    assert result.exit_code == 1
    assert "not a complete cross-encoder checkpoint" in result.output
    left.rmdir()
    again = run("train-cross-encoder", "--config", config, "--resume")
    assert again.exit_code == 0, again.output
    assert again.stdout.split()[1] == version  # the same in every file


def test_a_hub_name_without_network_and_another_folder_are_one_clear_error(
    run, home, tmp_path, write_config, monkeypatch
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    result = run("train-cross-encoder", "--config", write_config(model={"name": "no/such"}))
    assert result.exit_code == 1
    assert "model 'no/such': no such folder" in result.output
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    result = run("train-cross-encoder", "--config", write_config(), "--output", tmp_path / "mine")
    assert result.exit_code == 1
    assert "expected no folder, or that of an earlier cross-encoder" in result.output
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_other_artifacts_and_files_are_refused_before_anything_is_trained(
    run, tmp_path, write_config
):
    with writing_folder(tmp_path / "index") as draft:
        write_manifest(draft, kind="index", format_version=1, parameters={})
    result = run("train-cross-encoder", "--config", write_config(), "--output", tmp_path / "index")
    assert result.exit_code == 1
    assert "found an artifact of kind 'index' in it" in result.output
    file = tmp_path / "file"
    file.write_text("dear")
    result = run("train-cross-encoder", "--config", write_config(output=str(file)))
    assert result.exit_code == 1
    assert "file: expected a folder, found a file" in result.output
    assert "training the cross-encoder" not in result.stderr
    assert not (tmp_path / "file.checkpoint").exists()


# --- query packs ---


def test_generated_packs_are_written_by_side(run, tmp_path):
    out = tmp_path / "packs"
    result = run(*EXPORT, "--bootstrap", 60, "--negatives", 5, "--out", out)
    assert result.exit_code == 0, result.output
    train, valid = (
        read_packs(out / f"{n}.jsonl", max_malformed_share=0).packs for n in ("train", "valid")
    )
    assert result.stdout == (
        f"{len(train)} query packs to train on and {len(valid)} to validate on in {out}\n"
    )
    assert len(train) + len(valid) == 60
    assert {split_of(p.meta["model"]) for p in train} == {Split.EMBEDDER, Split.RANKER}
    assert {split_of(p.meta["model"]) for p in valid} == {Split.VALIDATION}
    assert {len(p.negatives) for p in train} == {5}
    metadata = json.loads((out / "metadata.json").read_text())
    assert (metadata["seed"], metadata["negatives"], metadata["generated"]["kept_out"]) == (7, 5, 0)
    again = tmp_path / "again"
    run(*EXPORT, "--bootstrap", 60, "--negatives", 5, "--out", again)
    assert (again / "train.jsonl").read_bytes() == (out / "train.jsonl").read_bytes()
    result = run(*EXPORT, "--bootstrap", 60, "--out", out)
    assert "holds an export already; replace it with --overwrite" in result.output


def test_annotated_listings_become_packs(run, home, tmp_path):
    titles = {"L1": "msi gtx 1060 gaming 6gb", "L2": "gpu holder", "L3": "rtx 4080 super x"}
    models = {"L1": "GeForce GTX 1060", "L3": "GeForce RTX 4080 SUPER"}
    with Store(Workspace(home).store_path).writing() as session:
        save_listings(session, [StoredListing(Listing(k, title)) for k, title in titles.items()])
        save_annotations(
            session,
            [
                Annotation(
                    key,
                    "ann",
                    Verdict.MATCH if key in models else Verdict.NOT_GPU,
                    model=models.get(key),
                )
                for key in titles
            ],
        )
    result = run(*EXPORT, "--out", tmp_path / "packs")
    assert result.exit_code == 0, result.output
    packs = read_packs(tmp_path / "packs" / "train.jsonl", max_malformed_share=0).packs
    assert {p.source_chunk: p.meta["model"] for p in packs} == models
    assert {p.meta["prompt_style"] for p in packs} == {"annotation"}
    first = next(p for p in packs if p.source_chunk == "L1")
    assert first.query_text == "msi gtx 1060 gaming 6 gb"
    assert "geforce-gtx-1060-6gb-gddr5" in {d.doc_id for d in first.positives}
    assert len(first.negatives) > 10
    metadata = json.loads((tmp_path / "packs" / "metadata.json").read_text())
    assert metadata["annotated"]["without_match"] == 1


def test_nothing_to_export_says_what_to_do(run, tmp_path):
    result = run(*EXPORT, "--out", tmp_path / "packs")
    assert result.exit_code == 1
    assert "generate some with --bootstrap 3000" in result.output
    assert not (tmp_path / "packs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*EXPORT, "--out", "x", "--stats"), "--format query-packs: does not take --stats"),
        ((*EXPORT, "--bootstrap", 3), "expected --out DIR"),
        (("pairs", "export", "--out", "x", "--seed", 3), "--format pairs: does not take --seed"),
    ],
)
def test_flags_of_the_other_format_are_refused(run, arguments, message):
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.output
