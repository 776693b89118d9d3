"""docs/evaluation.md says what the code measures and writes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rerank.evaluation.metrics import METRICS
from rerank.jobs.evaluating import EvaluationPlan, evaluate_workspace
from rerank.workspace import Workspace

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_is_documented_as_the_code_defines_it(metric):
    better = f"{metric.lowest:g} to {metric.highest:g}, {metric.better.value}"
    cells = (f"`{metric.name}`", metric.label, metric.definition, better, metric.source)
    assert f"| {' | '.join(cells)} |" in TEXT


def test_every_key_of_the_report_is_documented(home):
    report = evaluate_workspace(
        Workspace(home), EvaluationPlan(bootstrap=0, baselines=False, samples=20)
    )
    documented = set(re.findall(r"`\.?(?:sets\.NAME\.)?([a-z_]+)`", TEXT))
    assert {*report, *report["sets"]["hard_set"]} - {"sets"} <= documented
