"""The network learns what its losses ask for; its state can be saved and trained on."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest

from rerank.index.errors import ArtifactError, InputError
from rerank.rankers.inputs import Scaling
from rerank.rankers.networks import (
    STATE_LAYERS,
    Fitted,
    Network,
    fit_pairs,
    load_state,
    save_state,
)
from rerank.rankers.pairs import Pairs
from rerank.rankers.parameters import Loss, PairwiseParameters

RNG = np.random.default_rng(11)
INPUTS = RNG.normal(size=(120, 4)).astype(np.float32)
WORTH = INPUTS[:, 0] - 2 * INPUTS[:, 1]
NO_PAIRS = Pairs(*(np.zeros(0, np.int64) for _ in range(3)))
AS_THEY_ARE = Scaling(np.zeros(4, np.float32), np.ones(4, np.float32), (), 100.0)


def ordered_pairs(start: int, stop: int) -> Pairs:
    a = np.arange(start, stop, dtype=np.int64)
    b = start + (a - start + 7) % (stop - start)
    return Pairs(a, b, np.sign(WORTH[a] - WORTH[b]).astype(np.int64))


def small(**more) -> PairwiseParameters:
    return PairwiseParameters(hidden_dim=16, epochs=40, learning_rate=0.01, **more)


def scores_of(fitted: Fitted) -> np.ndarray:
    """What the network says of `INPUTS`."""
    return Network(AS_THEY_ARE, fitted.layers).outputs(INPUTS)[:, 0]


@pytest.mark.parametrize("loss", list(Loss), ids=lambda loss: loss.value)
def test_unseen_pairs_are_ordered_as_taught(loss):
    training, validation = ordered_pairs(0, 90), ordered_pairs(90, 120)
    fitted = fit_pairs(INPUTS, training, validation, small(loss=loss))
    scores = scores_of(fitted)
    ahead = (scores[validation.a] - scores[validation.b]) * validation.label
    assert (ahead > 0).mean() >= 0.9
    assert fitted.losses[-1] < fitted.losses[0] / 3
    assert len(fitted.validation_losses) == len(fitted.losses)


def test_equals_are_drawn_together():
    ordered = ordered_pairs(0, 120)
    equals = Pairs(ordered.a, ordered.b, np.where(np.arange(120) % 2, ordered.label, 0))
    free = scores_of(fit_pairs(INPUTS, ordered, NO_PAIRS, small()))
    held = scores_of(fit_pairs(INPUTS, equals, NO_PAIRS, small()))
    same = equals.label == 0

    def gap(scores):
        return np.abs(scores[equals.a] - scores[equals.b])[same].mean()

    assert gap(held) < gap(free) / 2


def test_a_better_item_far_enough_ahead_costs_nothing_in_the_margin_loss():
    fitted = fit_pairs(INPUTS, ordered_pairs(0, 30), NO_PAIRS, small(margin=0.01, dropout=0.0))
    assert fitted.losses[-1] == pytest.approx(0, abs=1e-4)


def test_one_seed_gives_one_network_and_leaves_the_global_generator_alone():
    import torch

    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    fits = [fit_pairs(INPUTS, ordered_pairs(0, 60), NO_PAIRS, small(seed=s)) for s in (1, 1, 2)]
    assert torch.equal(before, torch.random.get_rng_state())
    assert fits[0].losses == fits[1].losses
    assert fits[0].losses != fits[2].losses
    for layer, same in zip(fits[0].layers, fits[1].layers, strict=True):
        for array, other in zip(layer, same, strict=True):
            np.testing.assert_array_equal(array, other)


def test_training_stops_early_and_keeps_the_best_epoch():
    training, validation = ordered_pairs(0, 90), ordered_pairs(90, 120)
    contrary = Pairs(validation.a, validation.b, -validation.label)
    fitted = fit_pairs(INPUTS, training, contrary, small(patience=3))
    assert len(fitted.losses) == fitted.best_epoch + 3
    best = min(fitted.validation_losses)
    assert fitted.validation_losses[fitted.best_epoch - 1] == best
    scores = scores_of(fitted)
    ahead = (scores[contrary.a] - scores[contrary.b]) * contrary.label
    assert np.maximum(0, 1 - ahead).mean() == pytest.approx(best, rel=1e-4)


def test_without_patience_all_epochs_count():
    training, validation = ordered_pairs(0, 90), ordered_pairs(90, 120)
    contrary = Pairs(validation.a, validation.b, -validation.label)
    fitted = fit_pairs(INPUTS, training, contrary, small(patience=0))
    assert (len(fitted.losses), fitted.best_epoch) == (40, 40)


def test_training_goes_on_where_it_stopped():
    pairs = ordered_pairs(0, 90)
    first = fit_pairs(INPUTS, pairs, NO_PAIRS, small())
    second = fit_pairs(INPUTS, pairs, NO_PAIRS, small(), start=first.layers)
    assert second.losses[0] < first.losses[0] / 3


def test_a_loss_that_is_no_number_is_an_error():
    with pytest.raises(InputError, match=r"loss that is a number, found .* lower --learning-rate"):
        fit_pairs(
            INPUTS,
            ordered_pairs(0, 90),
            NO_PAIRS,
            PairwiseParameters(hidden_dim=8, learning_rate=1e30, epochs=9),
        )


def test_a_state_dict_is_read_back_and_loads_with_weights_only(tmp_path):
    import torch

    fitted = fit_pairs(INPUTS, ordered_pairs(0, 30), NO_PAIRS, small())
    scaling = Scaling(np.ones(4, np.float32), np.full(4, 2, np.float32), (), 8.0)
    path = tmp_path / "ranker.pth"
    save_state(path, Network(scaling, fitted.layers))
    state = torch.load(path, weights_only=True)
    layers = [f"{name}.{part}" for name in STATE_LAYERS for part in ("weight", "bias")]
    assert list(state) == ["features.mean", "features.inverse_scale", *layers]
    assert state["shared.0.weight"].shape == (16, 4)
    arrays, back = load_state(path)
    np.testing.assert_array_equal(arrays["features.mean"], scaling.mean)
    np.testing.assert_array_equal(arrays["features.inverse_scale"], scaling.inverse_scale)
    for layer, same in zip(fitted.layers, back, strict=True):
        for array, other in zip(layer, same, strict=True):
            np.testing.assert_array_equal(array, other)


def test_what_is_no_state_dict_of_ours_is_an_artifact_error(tmp_path):
    import torch

    path = tmp_path / "ranker.pth"
    path.write_bytes(b"no state")
    with pytest.raises(ArtifactError, match="expected a state dict of tensors, found something"):
        load_state(path)
    torch.save({"head.weight": torch.ones(1, 2)}, path)
    with pytest.raises(ArtifactError, match=r"lacks features.inverse_scale, .*head.bias"):
        load_state(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("features.mean", np.float32(0)),
        ("features.mean", np.zeros(3)),
        ("features.inverse_scale", np.full(4, np.nan)),
        ("shared.0.weight", np.zeros((16, 4, 1))),
        ("shared.0.weight", np.float32(1)),
        ("shared.3.weight", np.zeros((8, 15))),
        ("head.weight", np.zeros((2, 8))),
        ("head.bias", np.zeros(2)),
        ("head.bias", np.array([np.inf])),
    ],
)
def test_a_state_dict_whose_layers_do_not_fit_together_is_refused(tmp_path, name, value):
    import torch

    shapes = {"shared.0": (16, 4), "shared.3": (8, 16), "head": (1, 8)}
    state = {"features.mean": np.zeros(4), "features.inverse_scale": np.ones(4)}
    for layer, shape in shapes.items():
        state |= {f"{layer}.weight": np.zeros(shape), f"{layer}.bias": np.zeros(shape[0])}
    path = tmp_path / "ranker.pth"
    for content, fits in ((state, True), (state | {name: value}, False)):
        torch.save({each: torch.tensor(array) for each, array in content.items()}, path)
        with nullcontext() if fits else pytest.raises(ArtifactError, match="layers of finite"):
            load_state(path)
