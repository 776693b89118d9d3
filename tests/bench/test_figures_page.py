"""docs/figures.md is made from reports: no number of it is typed."""

from __future__ import annotations

import json
import re
from pathlib import Path

from bench.figures import KEPT, PAGE, page

GOLDEN = Path(__file__).resolve().parents[1] / "guard/evaluate.txt"


def test_the_page_is_what_its_reports_say():
    kept = json.loads(KEPT.read_text(encoding="utf-8"))
    assert PAGE.read_text(encoding="utf-8") == page(kept), "run `python -m bench.figures`"


def test_the_shipped_sets_have_the_figures_that_the_guard_holds():
    kept = json.loads(KEPT.read_text(encoding="utf-8"))["evaluate"]
    golden = dict(
        re.split(r" +\| ", line.strip(), maxsplit=1)
        for line in GOLDEN.read_text(encoding="utf-8").splitlines()
        if " | " in line
    )
    for name in ("hard_set", "bootstrap_test"):
        for metric, figure in kept[name]["metrics"].items():
            assert str(figure["value"]) in golden[f"{name} metrics {metric}"], (name, metric)
