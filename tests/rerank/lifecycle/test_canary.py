"""The canary's steps, its state, its settings, and how often it errs, simulated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from simulated_traffic import CHALLENGER, CHAMPION, Traffic, new_canary, run_canary

from rerank.evaluation.paired import PairedCounts
from rerank.index.errors import ArtifactError, FaultsError
from rerank.lifecycle.canary import (
    CanaryOutcome,
    CanarySettings,
    CanaryState,
    look,
)
from rerank.settings import as_content, read_settings, settings_of

ROOT = Path(__file__).resolve().parents[3]
RUNS = 200


def same_answers(n):
    """Return counts of listings that both models answer alike."""
    bins = np.zeros((8, 8), int)
    bins[7, 7] = n
    return PairedCounts(listings=n, bins=tuple(map(tuple, bins.tolist())), ratios=(1.0,))


def test_the_shipped_file_says_the_defaults():
    path = ROOT / "configs" / "canary.yaml"
    assert read_settings(CanarySettings, path) == CanarySettings()
    assert yaml.safe_load(path.read_text()) == as_content(CanarySettings())


def test_all_faults_of_a_file_are_reported_at_once():
    content = {"steps": [0.5, 0.1], "alpha": 2, "guardrails": {"psy": 0.1, "latency_ratio": "x"}}
    with pytest.raises(FaultsError, match=r"canary\.yaml: 4 faults") as caught:
        settings_of(CanarySettings, content, where="canary.yaml")
    assert any("steps: expected a list of rising shares" in each for each in caught.value.faults)
    assert any("did you mean 'guardrails.psi'?" in each for each in caught.value.faults)


def test_a_canary_goes_through_its_steps_to_the_end():
    state, outcomes, shares = new_canary(), [], []
    while True:
        seen = look(state, same_answers(500))
        outcomes.append(seen.outcome)
        shares.append(seen.share)
        if seen.outcome is CanaryOutcome.PASSED:
            break
        state = seen.state
    on, step = CanaryOutcome.GOES_ON, CanaryOutcome.NEXT_STEP
    assert outcomes == [on, step, on, step, on, CanaryOutcome.PASSED]
    assert shares == [0.01, 0.01, 0.1, 0.1, 0.5, 0.5]
    assert seen.state.windows == 6


def test_windows_of_any_size_add_up():
    state = new_canary()
    for n in (100, 130, 770):
        state = look(state, same_answers(n)).state
    assert (state.step, state.share, state.windows) == (2, 0.1, 3)


def test_the_state_comes_back_from_json():
    state = look(new_canary(), Traffic(1).group(250)).state
    again = CanaryState.from_json(state.as_json())
    assert again.as_json() == state.as_json()
    assert (again.challenger, again.champion) == (CHALLENGER, CHAMPION)


def test_a_damaged_state_says_how_to_end_the_canary():
    content = new_canary().as_json() | {"counts": {}}
    with pytest.raises(ArtifactError, match="canary stop"):
        CanaryState.from_json(content)


def ends(n=RUNS, **kind):
    found = [run_canary(Traffic(seed, **kind)) for seed in range(n)]
    stopped = [
        each.state.counts.listings for each in found if each.outcome is CanaryOutcome.BREACHED
    ]
    return found, stopped


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_a_good_challenger_is_not_stopped(noise):
    """The same model with other noise: no false alarm in 200 canaries, so at most 1.5 % of them."""
    found, stopped = ends(noise=noise)
    assert stopped == []
    assert {each.state.counts.listings for each in found} == {3000}


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [{"dropped": 0.01}, {"slower": 1.5}, {"failing": 0.001}],
    ids=["accepts 1 point less", "1.5 times slower", "fails on 0.1 %"],
)
def test_at_its_limits_a_challenger_is_stopped_no_more_often_than_alpha(kind):
    _, stopped = ends(noise=0.0, **kind)
    assert len(stopped) / RUNS <= 0.05


@pytest.mark.parametrize(
    ("kind", "median", "late"),
    [
        ({"dropped": 0.05}, 500, 750),
        ({"shift": -1.0}, 250, 250),
        ({"slower": 3.0}, 250, 250),
        ({"failing": 1.0}, 250, 250),
        ({"failing": 0.02}, 250, 500),
    ],
    ids=["accepts 5 points less", "shifted", "3 times slower", "always fails", "fails on 2 %"],
)
def test_a_bad_challenger_is_caught_within_stated_listings(kind, median, late):
    """Median and 95th percentile of the listings that both answered: docs/canary.md states them."""
    _, stopped = ends(**kind)
    assert len(stopped) == RUNS
    assert np.median(stopped) == median
    assert np.quantile(stopped, 0.95) == late
