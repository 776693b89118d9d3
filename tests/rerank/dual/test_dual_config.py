"""The configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from rerank.index.errors import FaultsError, InputError
from rerank.rankers.parameters import DualConfig, with_bounds
from rerank.settings import as_content, read_settings, settings_of

CONFIGS = Path(__file__).resolve().parents[3] / "configs"


@pytest.mark.parametrize("name", ["cotrr_lite.yaml", "dual_gpu.yaml"])
def test_the_configurations_that_ship_are_sound(name):
    config = read_settings(DualConfig, CONFIGS / name)
    assert config.inputs.conflict_features
    assert config.seed == 7


def test_what_a_file_does_not_say_keeps_its_default():
    assert settings_of(DualConfig, {}) == DualConfig()
    assert settings_of(DualConfig, {"label": {"lambda": 1}}).label.compliance_weight == 1.0


def test_a_configuration_survives_being_written():
    config = settings_of(
        DualConfig, {"label": {"lambda": 0.3}, "inputs": {"conflict_features": ["a", "b_*"]}}
    )
    assert settings_of(DualConfig, as_content(config)) == config


def test_all_faults_are_reported_at_once():
    content = {
        "sed": 1,
        "seed": -1,
        "label": {"lamda": 0.5},
        "network": 3,
        "training": {"epochs": 2.5},
        "inputs": {"ignored_features": "x"},
    }
    with pytest.raises(FaultsError, match="mine: 6 faults") as raised:
        settings_of(DualConfig, content, where="mine")
    assert set(raised.value.faults) == {
        "sed: unknown key; did you mean 'seed'?",
        "seed: expected a whole number from 0 to 2.14748e+09, found -1",
        "label.lamda: unknown key; did you mean 'label.lambda'?",
        "network: expected keys and values, found 3",
        "training.epochs: expected a whole number from 1 to 1000, found 2.5",
        "inputs.ignored_features: expected a list of texts, found 'x'",
    }


def test_a_file_that_is_no_yaml_is_one_error(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("label: [", encoding="utf-8")
    with pytest.raises(InputError, match=r"bad\.yaml: expected YAML, found something else"):
        read_settings(DualConfig, path)


def test_the_command_line_bounds_the_search():
    config = settings_of(DualConfig, {"search": {"trials": 4, "minutes": 2}})
    assert with_bounds(config, trials=9).search.trials == 9
    assert with_bounds(config, trials=9).search.minutes == 2
    assert with_bounds(config).search == config.search
