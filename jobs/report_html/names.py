"""What metrics, baselines and slices are called on the page, and what each metric means."""

from __future__ import annotations

from collections.abc import Iterable

from rerank.evaluation.baselines import BASELINE_LABELS
from rerank.evaluation.catalogue import METRICS, Better

_METRICS = {metric.name: metric for metric in METRICS}
OTHER_DEFINITIONS = (
    ("difference", "ours less the baseline's on the same listings, with a paired interval"),
    (
        "p, corrected",
        "chance of such a difference if both were equally good (paired "
        "randomisation), multiplied up for the number of comparisons after Holm",
    ),
    (
        "[low–high]",
        "95 % interval: bootstrap, listings that belong together drawn as one; "
        "Wilson's for the bins of the reliability diagram",
    ),
    ("n", "how many listings, answers or sets the figure is made from"),
    ("candidate set", "the models, or no match, that hold the truth with the stated coverage"),
    (
        "contribution",
        "what a feature did to the score (SHAP); of a wrong order: less what it did "
        "for the right candidate; of a wrong decision: in log-odds of accepting",
    ),
)


def metric_label(name: str) -> str:
    """Return what people call a metric, or its key in words if it is not in the catalogue."""
    metric = _METRICS.get(name)
    return metric.label if metric else spoken(name)


def lower_is_better(name: str) -> bool:
    """Tell whether a metric counts what goes wrong."""
    metric = _METRICS.get(name)
    return metric is not None and metric.better is Better.LOWER


def system_label(name: str) -> str:
    """Return what a system is called."""
    return BASELINE_LABELS.get(name, name)


def in_report_order(names: Iterable[str]) -> list[str]:
    """Return metric names in the order of the catalogue, unknown ones behind it."""
    order = {name: at for at, name in enumerate(_METRICS)}
    return sorted(names, key=lambda name: (order.get(name, len(order)), name))


def definitions() -> list[tuple[str, str]]:
    """Return each term of the page with what it means in one line."""
    of_metrics = [
        (metric.label, f"{metric.definition} ({metric.better.value} is better)")
        for metric in METRICS
    ]
    return [*of_metrics, *OTHER_DEFINITIONS]


def spoken(name: str) -> str:
    """Return a key as words."""
    return name.replace("_at_", "@").replace("_", " ")
