"""What all files of settings share: one reader, whichever way a number is spelled."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pytest

from rerank.annotation.preference_pairs import PreferenceConflictError
from rerank.cross_encoder.hyperparameters import CrossEncoderSettings
from rerank.index.errors import FaultsError, InputError
from rerank.lifecycle.canary import CanarySettings
from rerank.lifecycle.gates import PromotionSettings
from rerank.rankers.parameters import DualConfig
from rerank.settings import Settings, between, read_settings, settings_of

KINDS = [CrossEncoderSettings, DualConfig, PromotionSettings, CanarySettings]


@dataclass(frozen=True, slots=True)
class Inner(Settings):
    rate: Annotated[float, between(0, 1)] = 0.5


@dataclass(frozen=True, slots=True)
class Outer(Settings):
    inner: Inner = field(default_factory=Inner)
    count: Annotated[int, between(1, 9)] = 1
    names: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("kind", "text", "name"),
    [
        (CrossEncoderSettings, "optimizer: {weight_decay: 5e-4}", "optimizer.weight_decay"),
        (DualConfig, "training: {weight_decay: 5e-4}", "training.weight_decay"),
        (PromotionSettings, "slices: {level: 5e-4}", "slices.level"),
        (CanarySettings, "guardrails: {error_rate: 5e-4}", "guardrails.error_rate"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_number_without_a_point_is_a_number_in_every_file(tmp_path, kind, text, name):
    path = tmp_path / "c.yaml"
    least = "model: {name: m}\ndata: {train: t}\n" if kind is CrossEncoderSettings else ""
    path.write_text(least + text, encoding="utf-8")
    section, _, key = name.partition(".")
    assert getattr(getattr(read_settings(kind, path), section), key) == 0.0005


def test_metrics_have_numbers_without_a_point_too(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("gain: {lowest: {mrr: -5e-4}}\nfloors: {hard_set: {ece: 1e-1}}\n")
    found = read_settings(PromotionSettings, path)
    assert (found.gain.lowest, found.floors) == ({"mrr": -0.0005}, {"hard_set": {"ece": 0.1}})


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_is_read_alike(tmp_path, kind):
    path = tmp_path / "c.yaml"
    path.write_text("seed: 1\nseed: 2\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"the key 'seed' stands twice .* line 2"):
        read_settings(kind, path)
    path.write_text("- seed", encoding="utf-8")
    with pytest.raises(InputError, match=r"c\.yaml: expected keys and values, found list"):
        read_settings(kind, path)
    path.write_text("day: 2020-99-99", encoding="utf-8")
    with pytest.raises(InputError, match=r"c\.yaml: expected YAML, found something else: month"):
        read_settings(kind, path)
    path.write_text("nothing_like_it: 2", encoding="utf-8")
    with pytest.raises(FaultsError, match=r"nothing_like_it: unknown key; known: "):
        read_settings(kind, path)
    with pytest.raises(InputError, match=r"absent\.yaml: cannot be read: No such file"):
        read_settings(kind, tmp_path / "absent.yaml")


def test_empty_sections_and_files_hold_the_defaults():
    assert settings_of(Outer, None) == settings_of(Outer, {"inner": None}) == Outer()


@pytest.mark.parametrize("bad", [True, None, [], "half", "nan", float("inf"), "1e999", 10**400])
def test_what_spells_no_number_of_the_range_is_a_fault(bad):
    with pytest.raises(FaultsError, match=r"inner\.rate: expected a number from 0 to 1, found"):
        settings_of(Outer, {"inner": {"rate": bad}})


@pytest.mark.parametrize("bad", [True, "5", 2.5, 2.0, 10, 0])
def test_a_whole_number_is_not_converted(bad):
    with pytest.raises(FaultsError, match="count: expected a whole number from 1 to 9, found"):
        settings_of(Outer, {"count": bad})


def test_keys_that_are_no_text_and_items_of_lists_are_named():
    with pytest.raises(FaultsError, match="mine: 2 faults") as caught:
        settings_of(Outer, {7: 1, "names": ["a", 3]}, where="mine")
    assert set(caught.value.faults) == {
        "7: unknown key; known: inner, count, names",
        "names: expected text, found 3",
    }


@pytest.mark.parametrize("kind", [FaultsError, PreferenceConflictError])
def test_faults_survive_being_sent_by_a_worker(kind):
    error = kind("feed.csv", [f"line {number}: odd" for number in range(30)])
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.faults) == (kind, str(error), error.faults)
    assert "... and 10 more" in str(again)


def test_settings_load_pydantic_only_when_a_file_is_read():
    code = (
        "import sys, rerank.lifecycle.canary, rerank.lifecycle.gates, rerank.rankers.parameters\n"
        "import rerank.cross_encoder.hyperparameters\n"
        "assert not {'pydantic', 'pydantic_core'} & set(sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, timeout=300)


def test_what_is_no_yaml_is_placed_by_line_and_column(tmp_path):
    path = tmp_path / "mine.yaml"
    for text, said in (
        ("count: 1\ncount: 2\n", "the key 'count' stands twice at line 2, column 1"),
        ("count: [1\n", "did not find expected ',' or ']' at line 2, column 1"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError) as caught:
            read_settings(Outer, path)
        assert str(caught.value).startswith(f"{path}: expected YAML, found something else: ")
        assert str(caught.value).endswith(said)
