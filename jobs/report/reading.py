"""What a page may say: values of a report that may lack anything, and texts that may be hostile."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from markupsafe import Markup

from rerank.evaluation.baselines import BASELINE_LABELS
from rerank.evaluation.metrics import METRICS, PRODUCT_METRICS, Better
from rerank.jobs.tables import ReportFigure, count, number, plural, whole

# Longer text is hostile or a mistake; a title of 1 MB would be the page.
MAX_TEXT: Final = 500

# Controls end no line and close no string here, but they hide text, or turn it around (bidi
# overrides); lone surrogates cannot be written as UTF-8.
_UNREADABLE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff"
    "\ud800-\udfff]"
)

Content = Mapping[str, Any]


def escaped(value: object) -> Markup:
    """Return readable text of at most 500 characters, nothing for None; what was cut is said.

    What is HTML already stays as it is.
    """
    if isinstance(value, Markup):
        return value
    text = "" if value is None else str(value)
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}… ({len(text):,} characters)"
    return Markup(html.escape(_UNREADABLE.sub("\ufffd", text)))


def part(content: Content | None, key: str) -> Content:
    """Return the mapping under a key, an empty one if there is none."""
    found = (content or {}).get(key)
    return found if isinstance(found, Mapping) else {}


def items(content: Content | None, key: str) -> list[Any]:
    """Return the list under a key, an empty one if there is none."""
    found = (content or {}).get(key)
    return list(found) if isinstance(found, Sequence) and not isinstance(found, str) else []


def records(content: Content | None, key: str) -> list[Content]:
    """Return the mappings in the list under a key."""
    return [item for item in items(content, key) if isinstance(item, Mapping)]


def figure(content: Content | None, key: str) -> ReportFigure:
    """Return the figure under a key, an empty one if there is none."""
    return ReportFigure.read(part(content, key))


def text(content: Content | None, key: str) -> str:
    """Return the text under a key, empty if there is none."""
    found = (content or {}).get(key)
    return "" if found is None else str(found)


def day(content: Content) -> str:
    """Return when a report was made, to the second, empty if it does not say."""
    return text(content, "started_at").replace("T", " ").removesuffix("Z")


def tally(found: Sequence[Content], key: str) -> list[tuple[str, int]]:
    """Return the texts under a key with how often each stands there, the most frequent first."""
    counts = Counter(text(item, key) for item in found)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def largest(values: Iterable[Any]) -> float:
    """Return the greatest absolute number, 1 where there is none: what bars are a share of."""
    known = (abs(value) for each in values if (value := number(each)) is not None)
    return max(known, default=0.0) or 1.0


CARD = "GPU"
"""What one of the goods is called where a report does not say."""


def kinds_text(content: Content, one: str = CARD) -> str:
    """Say how many listings a set has and of which kinds.

    :param one: what its goods are called.
    """
    kinds, n = part(content, "kinds"), count(content.get("n"))
    words = {
        "match": f"sell a {one} of the {'registry' if one == CARD else 'catalogue'}",
        "nil": "sell something else",
        "ambiguous": "could mean several and are not judged",
    }
    known = ((count(kinds.get(kind)), told) for kind, told in words.items())
    told = ", ".join(f"{whole(found)} {told}" for found, told in known if found)
    return ": ".join(filter(None, ["" if n is None else plural(n, "judged listing"), told]))


_METRICS = {metric.name: metric for metric in (*METRICS, *PRODUCT_METRICS)}
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
    return name in _METRICS and _METRICS[name].better is Better.LOWER


def system_label(name: str) -> str:
    """Return what a system is called."""
    return BASELINE_LABELS.get(name, name)


def metrics_of(contents: Iterable[Content]) -> list[str]:
    """Return the metrics of any of some contents in the catalogue's order, unknown ones behind."""
    order = {name: at for at, name in enumerate(_METRICS)}
    names = {name for content in contents for name in content}
    return sorted(names, key=lambda name: (order.get(name, len(order)), name))


def definitions(one: str = CARD) -> list[tuple[str, str]]:
    """Return each term of the page with what it means in one line.

    :param one: what its goods are called.
    """
    of_metrics = [
        (metric.label, f"{metric.definition.replace(CARD, one)} ({metric.better.value} is better)")
        for metric in (METRICS if one == CARD else PRODUCT_METRICS)
    ]
    return [*of_metrics, *OTHER_DEFINITIONS]


def spoken(name: object) -> str:
    """Return a key as words."""
    return str(name).replace("_at_", "@").replace("_", " ")
