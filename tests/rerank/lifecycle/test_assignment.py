"""The split of listings: the same everywhere and always."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from rerank.lifecycle.canary import arm_of, below, positions

GOLDEN = {
    "1": 5415925449694317985,
    "listing-42": 1602421109126404498,
    "Ünïcode ☃": 9420102305326551155,
    "": 10852737129258598613,
    "\ud800": 2190756413190016365,
}
"""int.from_bytes(hashlib.sha256(b"ab\\0" + id).digest()[:8], "big")"""


def test_positions_are_those_of_sha256():
    assert positions(list(GOLDEN), "ab").tolist() == list(GOLDEN.values())


def test_arms_are_the_same_in_every_run():
    ids = [str(number) for number in range(20)]
    assert np.flatnonzero(arm_of(ids, "salt", 0.25)).tolist() == [0, 1, 4, 5, 6, 9, 13, 16, 19]


def test_nobody_leaves_the_arm_as_the_share_grows():
    ids = [f"sku-{number}" for number in range(5000)]
    shares = (0.0, 0.01, 0.1, 0.5, 1.0)
    arms = [arm_of(ids, "s", share) for share in shares]
    for smaller, larger in pairwise(arms):
        assert not (smaller & ~larger).any()
    assert arms[0].sum() == 0
    assert arms[-1].sum() == 5000


def test_a_share_is_kept_and_salts_are_independent():
    ids = [str(number) for number in range(100_000)]
    one, other = arm_of(ids, "a", 0.1), arm_of(ids, "b", 0.1)
    assert one.mean() == pytest.approx(0.1, abs=0.003)
    assert (one & other).mean() == pytest.approx(0.01, abs=0.001)


def test_the_ends_of_the_range_are_exact():
    ends = np.array([0, 2**64 - 1], np.uint64)
    assert below(ends, 1.0).tolist() == [True, True]
    assert below(ends, 0.0).tolist() == [False, False]
    assert below(np.array([2**63 - 1, 2**63], np.uint64), 0.5).tolist() == [True, False]
