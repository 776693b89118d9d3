"""Days of a shop by a seed: what must hold holds after each step of each day.

The suite lives few; `make simulate DAYS=1000 SEED=1` as many as one likes.
"""

from __future__ import annotations

import os

from broken_operations import warm_what_ships
from simulated_days import Shop

SEED = int(os.environ.get("RERANK_SIMULATED_SEED", "1"))
DAYS = int(os.environ.get("RERANK_SIMULATED_DAYS", "4"))


def test_whatever_a_day_brings_what_must_hold_holds(tmp_path, monkeypatch):
    (tmp_path / "warm").mkdir()
    warm_what_ships(tmp_path / "warm", monkeypatch)
    (tmp_path / "shop").mkdir()
    shop = Shop((tmp_path / "shop").resolve(), SEED)
    for day in range(DAYS):
        shop.live(day)
