"""Training: it learns, it is repeatable, and a run that was stopped ends as if it had not been."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from rerank.cross_encoder.base_model import (
    encoder_linears,
    head_modules,
    load_base,
    trained_parameters,
    with_adapter,
)
from rerank.cross_encoder.finetuning import prepare, train
from rerank.cross_encoder.packs import Document, PackSets, QueryPack, split_by_query
from rerank.index.errors import ArtifactError, InputError, MismatchError


class Stopped(Exception):
    """What a test stops a run with."""


def stopping_at(step: int, n_steps: int):
    """Return a progress function that stops a run before a step, counted from 0."""

    def progress(stage: str, share: float) -> None:
        if stage.startswith("training") and round(share * n_steps) == step:
            raise Stopped

    return progress


def weights_of(trained):
    return {name: each.numpy() for name, each in trained.scorer.weights().items()}


def assert_same(one, other):
    assert one.history == other.history
    assert (one.best, one.best_step, one.steps) == (other.best, other.best_step, other.steps)
    left, right = weights_of(one), weights_of(other)
    assert left.keys() == right.keys()
    for name, values in left.items():
        np.testing.assert_array_equal(values, right[name], err_msg=name)


@pytest.fixture(scope="module")
def whole(tiny_bert, number_sets, make_settings, tmp_path_factory):
    """An unbroken run of 12 steps, with validations and checkpoints out of step with epochs."""
    settings = make_settings(steps={"validate_every": 5})
    return train(tiny_bert, number_sets, settings, tmp_path_factory.mktemp("ck") / "c")


@pytest.mark.smoke
def test_a_run_validates_where_it_was_told_to(whole):
    assert [entry["step"] for entry in whole.history] == [5, 10, 12]
    assert [entry["queries"] for entry in whole.history] == [10, 10, 10]
    assert whole.steps == 12
    assert whole.history[0]["training_loss"] == pytest.approx(1.0, abs=0.2)


def test_two_runs_with_one_seed_agree_exactly_and_another_seed_differs(
    whole, tiny_bert, number_sets, make_settings, tmp_path
):
    torch.manual_seed(12345)  # of no consequence
    settings = make_settings(steps={"validate_every": 5})
    assert_same(whole, train(tiny_bert, number_sets, settings, tmp_path / "again"))
    other = make_settings(steps={"validate_every": 5}, seed=8)
    found = train(tiny_bert, number_sets, other, tmp_path / "other")
    assert found.history != whole.history


def test_training_leaves_the_callers_random_numbers_alone(
    tiny_bert, number_sets, make_settings, tmp_path
):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(tiny_bert, number_sets, make_settings(steps={"max_steps": 1}), tmp_path / "c")
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("step", [4, 7, 9])
def test_a_stopped_run_goes_on_to_the_same_end(
    whole, tiny_bert, number_sets, make_settings, tmp_path, step
):
    settings = make_settings(steps={"validate_every": 5})
    with pytest.raises(Stopped):
        train(tiny_bert, number_sets, settings, tmp_path / "c", progress=stopping_at(step, 12))
    progress = json.loads((tmp_path / "c" / "progress.json").read_text())
    assert progress["steps"] == step // 4 * 4
    with pytest.raises(InputError, match="go on with --resume, or remove the folder"):
        train(tiny_bert, number_sets, settings, tmp_path / "c")
    assert_same(whole, train(tiny_bert, number_sets, settings, tmp_path / "c", resume=True))


def test_a_run_stopped_before_its_first_checkpoint_starts_anew(
    whole, tiny_bert, number_sets, make_settings, tmp_path
):
    settings = make_settings(steps={"validate_every": 5})
    with pytest.raises(Stopped):
        train(tiny_bert, number_sets, settings, tmp_path / "c", progress=stopping_at(2, 12))
    assert_same(whole, train(tiny_bert, number_sets, settings, tmp_path / "c", resume=True))


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_refused(
    tiny_bert, number_sets, make_settings, tmp_path
):
    settings = make_settings(steps={"max_steps": 2})
    train(tiny_bert, number_sets, settings, tmp_path / "c")
    other = make_settings(steps={"max_steps": 2}, lora={"r": 2}, seed=9)
    with pytest.raises(MismatchError, match=r"settings\.lora\.r: 4 then, 2 now; settings\.seed: 7"):
        train(tiny_bert, number_sets, other, tmp_path / "c", resume=True)
    (tmp_path / "c" / "progress.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"progress\.json: damaged"):
        train(tiny_bert, number_sets, settings, tmp_path / "c", resume=True)


def test_accumulated_passes_make_the_same_step_as_one(
    tiny_bert, number_sets, make_settings, tmp_path
):
    sure = shutil.copytree(tiny_bert, tmp_path / "bert")
    config = json.loads((sure / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (sure / "config.json").write_text(json.dumps(config))
    steps = []
    for batch, accumulate in ((6, 1), (2, 3), (5, 2)):
        settings = make_settings(
            steps={"batch_queries": batch, "accumulate": accumulate, "max_steps": 1},
            lora={"dropout": 0},
        )
        sets = PackSets(number_sets.train[:6], number_sets.valid)
        trained = train(sure, sets, settings, tmp_path / f"{batch}")
        steps.append((trained.history[0]["training_loss"], trained.scorer.weights()))
    for loss, weights in steps[1:]:
        assert loss == pytest.approx(steps[0][0], abs=1e-6)
        for name, values in steps[0][1].items():
            if not name.endswith("classifier.modules_to_save.default.bias"):  # its gradient is 0
                # The rate is 0.01, and a first step of Adam goes by the gradient's sign.
                assert float((values - weights[name]).abs().mean()) < 2e-4, name


def test_only_adapters_and_head_are_trained(tiny_bert, make_settings):
    base = load_base(tiny_bert, quantization="none", seed=7)
    assert head_modules(base) == ["bert.pooler", "classifier"]
    assert len(encoder_linears(base)) == 12
    frozen = {name: each.clone() for name, each in base.named_parameters()}
    model = with_adapter(base, make_settings(lora={"targets": ["query", "value"]}))
    names = list(trained_parameters(model))
    assert sum("lora_" in name for name in names) == 2 * 2 * 2
    assert sum("modules_to_save" in name for name in names) == 4
    assert len(names) == 12
    assert len(frozen) > 30


def test_a_target_that_names_no_layer_says_which_there_are(tiny_bert, make_settings):
    base = load_base(tiny_bert, quantization="none", seed=7)
    with pytest.raises(InputError, match=r"no linear layer q_proj .* some of dense, key, query"):
        with_adapter(base, make_settings(lora={"targets": ["query", "q_proj"]}))


def test_pairs_longer_than_the_model_reads_are_refused(tiny_bert, make_settings):
    with pytest.raises(InputError, match=r"lengths\.pair: the model tiny reads at most 64 tokens"):
        prepare(tiny_bert, make_settings(lengths={"pair": 65}))


def test_a_loss_that_is_no_number_ends_the_run(tiny_bert, number_sets, make_settings, tmp_path):
    broken = shutil.copytree(tiny_bert, tmp_path / "bert")
    weights = load_file(broken / "model.safetensors")
    weights["embeddings.word_embeddings.weight"] *= float("inf")
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    settings = make_settings(optimizer={"learning_rate": 1.0})
    with pytest.raises(InputError, match=r"step 1: the loss is nan; lower optimizer.* found 1$"):
        train(broken, number_sets, settings, tmp_path / "c")


def test_a_folder_that_is_no_model_is_an_input_error(tmp_path, make_settings):
    (tmp_path / "config.json").write_text('{"model_type": "nothing"}')
    with pytest.raises(InputError, match="expected a model that transformers can give a head"):
        prepare(tmp_path, make_settings())


def test_a_model_without_its_tokenizer_is_not_trained_on_unknown_words(
    tiny_bert, tmp_path, make_settings
):
    for name in ("config.json", "model.safetensors"):
        shutil.copy(tiny_bert / name, tmp_path / name)
    with pytest.raises(InputError, match=r"expected a tokenizer with its words, .* found none"):
        prepare(tmp_path, make_settings())


def test_a_tokenizer_of_another_model_is_refused(tiny_bert, tmp_path, make_settings):
    shutil.copytree(tiny_bert, tmp_path / "bert")
    path = tmp_path / "bert" / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"]["voodoo"] = 40
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"at most 40 tokens, .* found 'voodoo' with the number 4"):
        prepare(tmp_path / "bert", make_settings())


def test_damaged_weights_are_an_input_error(tiny_bert, tmp_path, make_settings):
    shutil.copytree(tiny_bert, tmp_path / "bert")
    (tmp_path / "bert" / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"loading it failed .*header too small"):
        prepare(tmp_path / "bert", make_settings())


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_two_layers_learn_which_word_a_positive_has(tiny_bert, make_settings, tmp_path, precision):
    packs = [
        QueryPack(
            f"card {at}",
            (Document("p", f"geforce gtx {at}"),),
            tuple(Document(f"n{n}", f"radeon rx {at + n}") for n in range(4)),
        )
        for at in range(10, 50)
    ]
    settings = make_settings(
        steps={"epochs": 8, "batch_queries": 10, "validate_every": 8}, precision=precision
    )
    sets = split_by_query(packs, valid_share=0.25, seed=1)
    trained = train(tiny_bert, sets, settings, tmp_path / "c")
    losses = [entry["training_loss"] for entry in trained.history]
    assert losses[-1] < 0.5 * losses[0]
    assert trained.best.precision_at_1 == 1.0
