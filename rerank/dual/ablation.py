"""The ablation: what embeddings, attributes, conflict features and the network each earn.

Up to the last step the same linear model, trained by the same losses, reads ever more inputs; the
last step reads what the one before reads and is the network, so that what it adds is what the
network earns. All are measured on the same test queries with the same bootstrap samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rerank.dual.config import DualConfig
from rerank.dual.figures import QUERY_METRICS, RankedOutcomes, Resamplings, outcomes_of
from rerank.dual.fitting import DualData, FittedSystem, fit_system
from rerank.dual.inputs import Kind
from rerank.evaluation.catalogue import Metric
from rerank.evaluation.comparison import Comparison, adjusted, compare
from rerank.evaluation.intervals import Resampling, interval, rounded


@dataclass(frozen=True, slots=True)
class Step:
    """One system of the ablation.

    :param linear: whether it has no hidden layer, whatever the configuration says.
    """

    name: str
    label: str
    kinds: frozenset[Kind]
    linear: bool


EMBEDDING_ONLY, FULL = "embedding_only", "reranker"
STEPS = (
    Step(EMBEDDING_ONLY, "embedding only", frozenset([Kind.EMBEDDING]), True),
    Step("attributes", "+ attributes", frozenset([Kind.EMBEDDING, Kind.ATTRIBUTE]), True),
    Step("conflict", "+ conflict", frozenset(Kind), True),
    Step(FULL, "+ reranker", frozenset(Kind), False),
)


@dataclass(frozen=True, slots=True, eq=False)
class AblatedStep:
    """A trained step and what it came to on the test queries."""

    step: Step
    system: FittedSystem
    outcomes: RankedOutcomes


def run_steps(
    data: DualData,
    config: DualConfig,
    *,
    progress: Callable[[str, float], None] = lambda stage, share: None,
) -> list[AblatedStep]:
    """Train every step that has inputs of its own; the last one is the model that is kept.

    Without embeddings, or without conflict features, the step about them is left out.
    """
    kinds = np.array([each.kind.value for each in data.schema.inputs])
    done: list[AblatedStep] = []
    read: set[tuple[bool, bytes]] = set()
    for step in STEPS:
        columns = np.flatnonzero(np.isin(kinds, [kind.value for kind in step.kinds]))
        key = step.linear, columns.tobytes()
        if not len(columns) or key in read:
            continue
        read.add(key)
        network = replace(config.network, layers=0) if step.linear else config.network

        def show(share: float, label: str = step.label) -> None:
            progress(f"training: {label}", share)

        system = fit_system(
            data, network, config.training, columns=columns, seed=config.seed, progress=show
        )
        scores = system.score(data.rows.test)
        outcomes = outcomes_of(
            data.splits.test, scores.score, data.rows.test.label, scores.conflict_probability
        )
        done.append(AblatedStep(step, system, outcomes))
    return done


def ablation_report(steps: Sequence[AblatedStep], resamplings: Resamplings) -> list[dict[str, Any]]:
    """Return each step's figures, and its gains over the first step, as plain values."""
    gains = gains_over(
        resamplings.queries,
        {each.step.name: each.outcomes for each in steps},
        baseline=steps[0].step.name,
    )
    return [
        {
            "name": each.step.name,
            "label": each.step.label,
            "inputs": len(each.system.columns),
            "linear": each.step.linear,
            "epochs": len(each.system.trained.losses),
            "metrics": {
                name: figure.as_dict()
                for name, figure in resamplings.figures(each.outcomes).items()
            },
            "gain": gains.get(each.step.name, {}),
        }
        for each in steps
    ]


def gains_over(
    resampling: Resampling, systems: Mapping[str, RankedOutcomes], *, baseline: str
) -> dict[str, dict[str, Any]]:
    """Compare each system with the baseline on the same queries, metric by metric.

    ``difference`` with its interval and p-value (Holm over the systems), and ``relative``, the
    difference as a share of the baseline's value, with its interval, both resampled together.
    """
    base = systems[baseline].by_query
    others = [name for name in systems if name != baseline]
    found: dict[str, dict[str, Any]] = {name: {} for name in others}
    for metric in QUERY_METRICS:
        compared = adjusted(
            [
                compare(
                    resampling,
                    metric,
                    [systems[name].by_query[metric.name]],
                    [base[metric.name]],
                    system=name,
                    baseline=baseline,
                )
                for name in others
            ]
        )
        for item in compared:
            ours = systems[item.system].by_query[metric.name]
            relative = _relative(resampling, metric, ours, base[metric.name])
            found[item.system][metric.name] = {**_difference(item), **relative}
    return found


def _difference(item: Comparison) -> dict[str, Any]:
    plain = item.as_dict()
    return {key: plain[key] for key in ("difference", "ci95", "p_value", "p_adjusted")}


def _relative(
    resampling: Resampling, metric: Metric, ours: np.ndarray[Any, Any], base: np.ndarray[Any, Any]
) -> dict[str, Any]:
    own, other = metric(ours), metric(base)
    if own is None or not other:
        return {"relative": None, "relative_ci95": [None, None]}
    below = resampling.values(metric, base)
    sampled = resampling.values(metric, ours) / np.where(below > 0, below, np.nan) - 1.0
    value = own / other - 1.0
    low, high = interval(sampled, value)
    return {"relative": rounded(value), "relative_ci95": [rounded(low), rounded(high)]}
