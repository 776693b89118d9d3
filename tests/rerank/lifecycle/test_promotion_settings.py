"""The settings of the gates."""

from __future__ import annotations

from pathlib import Path

import pytest

from rerank.index.errors import FaultsError, InputError
from rerank.lifecycle.gates import CataloguePromotion, PromotionSettings, read_promotion_settings
from rerank.settings import settings_of

SHIPPED = Path(__file__).resolve().parents[3] / "configs" / "promotion.yaml"


def test_the_file_that_ships_says_the_defaults():
    assert read_promotion_settings(SHIPPED) == PromotionSettings()
    assert settings_of(PromotionSettings, {}) == PromotionSettings()


def test_any_goods_have_more_time_and_wider_gains(tmp_path):
    path = tmp_path / "promotion.yaml"
    path.write_text("latency: {p99_ms: 900}\n", encoding="utf-8")
    found = read_promotion_settings(path, CataloguePromotion)
    assert (found.latency.p50_ms, found.latency.p99_ms) == (100.0, 900.0)
    path.write_text("gain: {require: true}\n", encoding="utf-8")
    gain = read_promotion_settings(path, CataloguePromotion).gain
    assert gain.require
    assert gain.lowest == {"precision_at_1": -0.01, "accepted_share": -0.07}
    assert found.slices == PromotionSettings().slices


def test_what_a_file_says_replaces_the_default_beside_it():
    settings = settings_of(
        PromotionSettings,
        {
            "floors": {"mine": {"ece": 0.2}},
            "gain": {"require": True, "lowest": {"mrr": 0}},
            "slices": {"guarded": ["shop"]},
            "latency": {"p99_ms": 5},
        },
    )
    assert settings.floors == {"mine": {"ece": 0.2}}
    assert (settings.gain.require, settings.gain.lowest) == (True, {"mrr": 0.0})
    assert (settings.slices.guarded, settings.slices.min_listings) == (("shop",), 30)
    assert (settings.latency.p99_ms, settings.latency.p50_ms) == (5.0, 10.0)


def test_gold_files_count_from_the_folder_of_the_settings(tmp_path):
    path = tmp_path / "gates.yaml"
    path.write_text("sets: {gold: [mine.csv, /elsewhere/other.csv]}", encoding="utf-8")
    found = read_promotion_settings(path).sets.gold
    assert found == (str(tmp_path / "mine.csv"), "/elsewhere/other.csv")


def test_all_faults_are_reported_at_once():
    content = {
        "seeds": 1,
        "floors": {"hard_set": {"precision": 0.9, "ece": "low"}, "mine": 3},
        "gain": {"lowest": {"precision_of_accepted": 0, "ece": 7}},
        "slices": {"guarded": ["colour"], "metrics": ["precision_of_accepted"], "level": 0.9},
        "latency": 5,
    }
    with pytest.raises(FaultsError, match="mine: 10 faults") as raised:
        settings_of(PromotionSettings, content, where="mine")
    starts = [fault.split(":")[0] for fault in raised.value.faults]
    assert sorted(starts) == [
        "floors.hard_set.ece",
        "floors.hard_set.precision",
        "floors.mine",
        "gain.lowest.ece",
        "gain.lowest.precision_of_accepted",
        "latency",
        "seeds",
        "slices.guarded",
        "slices.level",
        "slices.metrics",
    ]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), True, None, [], -1.5])
def test_a_bound_that_is_no_share_is_a_fault(bad):
    with pytest.raises(FaultsError, match="expected a number from -1 to 1, found"):
        settings_of(PromotionSettings, {"floors": {"hard_set": {"ece": bad}}})


def test_a_gain_can_be_required_of_something_only():
    with pytest.raises(FaultsError, match=r"gain\.require: expected a metric in gain\.lowest"):
        settings_of(PromotionSettings, {"gain": {"require": True, "lowest": {}}})


def test_a_file_that_is_no_mapping_is_one_error(tmp_path):
    path = tmp_path / "gates.yaml"
    path.write_text("- floors", encoding="utf-8")
    with pytest.raises(InputError, match=r"gates\.yaml: expected keys and values, found list"):
        read_promotion_settings(path)
