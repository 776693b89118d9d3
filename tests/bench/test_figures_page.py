"""docs/figures.md is made from reports: no number of it is typed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from bench.figures import KEPT, PAGE, page
from bench.pairs import f1, read_task

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


def test_a_match_that_is_a_test_pair_is_no_label(tmp_path):
    tables = {
        "products": [["id", "name"], ["p1", "blue kettle"], ["p2", "red kettle"]],
        "listings": [["id", "title"], ["a", "kettle, blue"], ["b", "kettle, red or blue"]],
        "matches": [["listing", "products"], ["a", "p1"], ["b", "p1;p2"]],
        "pairs": [["l", "r", "label"], ["b", "p2", "1"], ["a", "p2", "0"], ["a", "p9", "0"]],
    }
    for name, rows in tables.items():
        tmp_path.joinpath(name).write_text("\n".join(map(",".join, rows)), encoding="utf-8")
    task = read_task(*(tmp_path / name for name in tables))
    assert task.taught == {"a": ["p1"], "b": ["p1"]}
    assert task.pairs == {("b", "p2"): True, ("a", "p2"): False}
    assert task.left_out == 1


def test_pairwise_f1_counts_pairs_that_were_called_a_match_and_are_one():
    said, true = np.array([True, True, False, False]), np.array([True, False, True, False])
    assert f1(said, true) == (0.5, 0.5, 0.5)
    assert f1(~said & said, true) == (0.0, 0.0, 0.0)
