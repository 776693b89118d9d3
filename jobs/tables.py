"""Write figures, shares and durations, and lay out answers as text of at most 80 columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, NamedTuple
from unicodedata import east_asian_width

from rerank.domain import CatalogueProposal
from rerank.explanation import Contribution, Explanation
from rerank.index.artifacts import Manifest
from rerank.resolution import Resolution, memory

if TYPE_CHECKING:
    from jinja2 import Environment

WIDTH = 80


def template_environment(folder: Path, finalize: Callable[[Any], Any]) -> Environment:
    """Return what renders the pages of a folder: all they write is escaped, nothing is guessed.

    :param finalize: makes of a value what a template writes.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        finalize=finalize,
        keep_trailing_newline=True,
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )


def contents_of_index(facts: Mapping[str, Any]) -> str:
    """Return what an index holds, by its manifest's parameters."""
    if "many" in facts:
        plural = "s" if facts["models"] != 1 else ""
        models = (
            f" of {facts['models']} model{plural}" if facts["models"] < facts["products"] else ""
        )
        return f"{facts['products']} {facts['many']}{models}, pack {facts['pack']}"
    return f"{facts['gpus']} GPUs of {facts['models']} models, {facts['kind']}"


def index_text(folder: Path, manifest: Manifest) -> str:
    """Return a line that says what an index holds, and what made it."""
    facts = manifest.parameters
    made = (
        f"{facts['listings']} listing{'s' if facts['listings'] != 1 else ''} to learn from"
        if "many" in facts
        else f"{facts['kind']}, embedder {facts['embedder']} ({facts['dimension']} dimensions)"
    )
    return f"index {manifest.fingerprint} in {folder}: {contents_of_index(facts)}, {made}"


MISSING = "–"
"""What a page writes for a figure that nobody could measure; a terminal writes `-`."""


class ReportFigure(NamedTuple):
    """A value with its 95 % interval over ``n`` cases; None is what nobody could measure."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None

    @classmethod
    def read(cls, content: Mapping[str, Any] | None, key: str = "value") -> ReportFigure:
        """Return a record's number under a key, its ``ci95`` and ``n``; None for what is odd."""
        content = content or {}
        bounds = content.get("ci95")
        low, high = (
            bounds if isinstance(bounds, list | tuple) and len(bounds) == 2 else (None, None)
        )
        return cls(number(content.get(key)), number(low), number(high), count(content.get("n")))

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Both ends of the interval, or None."""
        return None if self.low is None or self.high is None else (self.low, self.high)


def number(value: Any) -> float | None:
    """Return a finite number, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def count(value: Any) -> int | None:
    """Return a whole number, None for anything else."""
    found = number(value)
    return None if found is None else round(found)


def decimal(value: float | None, places: int = 3, *, signed: bool = False) -> str:
    """Write a number for a terminal: ``0.973``, ``+0.660``, ``-``."""
    return "-" if value is None else f"{value:{'+' if signed else ''}.{places}f}"


def decimals(found: ReportFigure, places: int = 3, *, signed: bool = False, to: str = "-") -> str:
    """Write an interval for a terminal: ``0.947-0.993``, ``-``."""
    if found.bounds is None:
        return "-"
    return to.join(decimal(bound, places, signed=signed) for bound in found.bounds)


def with_decimals(content: Mapping[str, Any] | None) -> str:
    """Write a figure with its interval for a terminal: ``0.973 (0.947-0.993)``, ``-``."""
    found = ReportFigure.read(content)
    return "-" if found.value is None else f"{decimal(found.value)} ({decimals(found)})"


def share(value: float | None, *, signed: bool = False) -> str:
    """Write a share with three places and without the zero in front: ``.973``, ``+.660``."""
    if value is None:
        return MISSING
    digits = f"{abs(value):.3f}"
    digits = digits[1:] if digits.startswith("0.") else digits
    if value < 0 and digits.strip(".0"):
        return f"\N{MINUS SIGN}{digits}"
    return f"+{digits}" if signed and digits.strip(".0") else digits


def interval(found: ReportFigure, *, signed: bool = False) -> str:
    """Write the interval alone: ``[.947–.993]``, empty if there is none."""
    if found.bounds is None:
        return ""
    bounds = (share(bound, signed=signed) for bound in found.bounds)
    return f"[{(' to ' if signed else '–').join(bounds)}]"


def with_interval(found: ReportFigure, *, signed: bool = False) -> str:
    """Write a figure with its interval: ``.973 [.947–.993]``."""
    return f"{share(found.value, signed=signed)} {interval(found, signed=signed)}".rstrip()


def whole(value: int | None) -> str:
    """Write a count with commas between thousands."""
    return MISSING if value is None else f"{value:,}"


def percent(value: float) -> str:
    """Write a share as a percentage with one place; none and all have none."""
    return f"{100 * value:.{0 if value in (0, 1) else 1}f}\N{NO-BREAK SPACE}%"


def p_text(value: float | None) -> str:
    """Write a p-value; below .001 no digits are worth their place."""
    return "<\N{NO-BREAK SPACE}.001" if value is not None and value < 0.001 else share(value)


def plural(n: int, one: str) -> str:
    """Write a count with its noun."""
    return f"{n:,} {one if n == 1 else one + 's'}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[int]) -> str:
    """Return rows under a header, columns two spaces apart.

    :param left: numbers of the columns that are aligned left.
    """
    widths = [max(map(width_of, column)) for column in zip(header, *rows, strict=True)]
    lines = []
    for row in (header, *rows):
        cells = []
        for at, (cell, width) in enumerate(zip(row, widths, strict=True)):
            blank = " " * (width - width_of(cell))
            cells.append(cell + blank if at in left else blank + cell)
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def printable(text: str) -> str:
    """Return text with a space for each character that controls what shows it, or its direction."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " for char in text)


def cut(text: str, width: int) -> str:
    """Return printable text of at most ``width`` columns."""
    text = printable(text)
    if width_of(text) <= width:
        return text
    text = text[: width - 1]
    while width_of(text) >= width:
        text = text[:-1]
    return text + "…"


def resolution_text(
    title: str, answer: Resolution, candidate_set: Sequence[str] | None = None
) -> str:
    """Return one answer: the title, the decision, the reason and the candidates.

    :param candidate_set: the models that the listing may sell; None if it was not asked for.
    """
    decision = answer.decision.replace("_", " ")
    subject = "" if answer.best_guess is None else answer.subject
    lines = [
        cut(" ".join(title.split()), WIDTH),
        "",
        f"  {decision:9} {subject}".rstrip(),
        f"  {'':9} P(model) {answer.match_probability:.3f}, margin {answer.margin:.3f}",
        f"  {'reason':9} {cut(answer.reason, WIDTH - 12)}",
    ]
    told = (
        answer.details
        if answer.provenance is None
        else {**answer.provenance.details, **answer.details}
    )
    lines += [f"  {label:9} {cut(text, WIDTH - 12)}" for label, text in told.items()]
    if candidate_set is not None:
        label = "  candidate set  "
        lines.append(
            fill(
                "{" + ", ".join(candidate_set) + "}",
                WIDTH,
                initial_indent=label,
                subsequent_indent=" " * (len(label) + 1),
                break_on_hyphens=False,
            )
        )
    if answer.candidates:
        lines += ["", _candidates_text(answer)]
    return "\n".join(lines)


def explanation_text(explanation: Explanation) -> str:
    """Return what decided, strongest first."""
    if explanation.best is None:
        return "No candidate, nothing to explain."
    against = f"before {explanation.rival}" if explanation.rival else "alone"
    return "\n".join(
        [
            f"Why {explanation.best} comes {against} (score):",
            _contributions_text(explanation.ranking),
            "",
            "What the offer's probability rests on (log-odds):",
            _contributions_text(explanation.offer),
        ]
    )


def _candidates_text(answer: Resolution) -> str:
    rows = [
        [
            str(number),
            *(cut(text, 40 if len(c.shown) < _NARROW else 28) for text in c.shown.values()),
            f"{c.similarity:.3f}",
            f"{c.score:.{1 if c.score <= -10 else 2}f}",  # of candidates far behind
            f"{c.probability:.3f}",
            f"{c.variant_probability:.3f}",
        ]
        for number, c in enumerate(answer.candidates, 1)
    ]
    shown = list(answer.candidates[0].shown)
    header = ("", *shown, "similarity", "score", "P(model)", "P(variant)")
    return table(header, rows, left=(1, len(shown)))


def _contributions_text(parts: Sequence[Contribution]) -> str:
    rows = []
    for part in parts:
        rival = [] if part.rival is None else [f"{part.rival:g}"]
        rows.append([f"{part.contribution:+.2f}", cut(part.words, 46), f"{part.value:g}", *rival])
    header = ["  effect", "feature", "value"]
    if parts and parts[0].rival is not None:
        header.append("rival's")
    return table(header, rows, left=(1,))


def hits_text(hits: Sequence[Mapping[str, Any]]) -> str:
    """Return retrieved candidates as a table."""
    if not hits:
        return "no candidates"
    texts = [name for name in hits[0] if name not in (*_HIT_FIGURES, "gpu_id")]
    rows = [
        [
            str(number),
            *(
                memory(hit[name]) if name == "memory_gb" else cut(str(hit[name]), 30)
                for name in texts
            ),
            *(f"{hit[name]:.3f}" for name in _HIT_FIGURES),
        ]
        for number, hit in enumerate(hits, 1)
    ]
    header = ("", *(_HIT_HEADS.get(name, name.replace("_", " ")) for name in texts), *_HIT_FIGURES)
    return table(header, rows, left=(1, len(texts)))


_HIT_FIGURES = ("similarity", "shortlist")
_HIT_HEADS = {
    "model": "candidate",
    "name": "candidate",
    "memory_gb": "memory",
    "form_factor": "form",
}
_NARROW = 3  # columns of a candidate that leave room for a long name


def width_of(text: str) -> int:
    """Return the columns a text takes on a terminal: Chinese characters take two."""
    return sum(2 if east_asian_width(char) in "WF" else 1 for char in text)


_PARTS = ("retrieval", "ranking", "decision", "label")


def report_text(report: dict[str, Any]) -> str:
    """Return the figures of every set, its routes and baselines, and the latency."""
    parts = [set_text(name, content) for name, content in report["sets"].items()]
    latency = report["latency_ms"]
    if latency["p50"] is not None:
        parts.append(
            f"one listing in-process: p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms"
        )
    return "\n\n".join(parts)


def set_text(name: str, content: dict[str, Any]) -> str:
    """Return one set: figures with 95 % intervals, what was lost where, routes, baselines."""
    from rerank.evaluation.metrics import METRICS, PRODUCT_METRICS

    known = {metric.name: metric for metric in (*METRICS, *PRODUCT_METRICS)}
    rows = [
        [known[key].label, decimal(found.value), decimals(found), str(figure["n"])]
        for key, figure in content["metrics"].items()
        if key in known
        for found in [ReportFigure.read(figure)]
    ]
    parts = [f"{name}: {content['n']} listings", table(("", "value", "95 %", "n"), rows, left=(0,))]
    if content.get("loss_budget"):
        parts.append(budget_text(content["loss_budget"]))
    if sets := content.get("candidate_sets"):
        parts.append(
            f"candidate sets for a coverage of {sets['level']:g}: {_value(sets['coverage'])} "
            f"reached, {_value(sets['mean_size'])} outcomes on average"
        )
    if content.get("routes"):
        parts.append(_routes_text(content["routes"]))
    if content.get("baselines"):
        parts.append(baselines_text(content))
    return "\n\n".join(parts)


def budget_text(budget: dict[str, int]) -> str:
    """Return how many listings each part lost."""
    lost = ", ".join(f"{budget[part]} to {part}" for part in _PARTS)
    return f"{budget['right']} of {budget['listings']} right; {budget['errors']} lost: {lost}"


def baselines_text(content: dict[str, Any]) -> str:
    """Return one set's baselines beside our own figures."""
    from rerank.evaluation.baselines import BASELINE_LABELS

    keys = ("precision_at_1", "recall_at_3", "recall_at_10", "mrr")
    rows = [["rerank", *(_value(content["metrics"].get(key)) for key in keys), ""]]
    for name, figures in content["baselines"].items():
        rows.append(
            [
                BASELINE_LABELS.get(name, name),
                *(_value(figures.get(key)) for key in keys),
                decimal(ReportFigure.read(figures.get("gain_precision_at_1")).value, signed=True),
            ]
        )
    return table(("", "precision@1", "recall@3", "recall@10", "MRR", "gain"), rows, left=(0,))


def _routes_text(routes: dict[str, Any]) -> str:
    keys = {key for figures in routes.values() for key in figures}
    cutoffs = sorted(keys, key=lambda key: int(key.rpartition("_")[2]))
    rows = [
        [f"route {name}", *(_value(figures.get(key)) for key in cutoffs)]
        for name, figures in routes.items()
    ]
    header = ("", *(key.replace("recall_at_", "recall@") for key in cutoffs))
    return table(header, rows, left=(0,))


def _value(figure: Mapping[str, Any] | None) -> str:
    return decimal(ReportFigure.read(figure).value)


def findings_text(findings: Sequence[Any]) -> str:
    """Return the differences between registry and facts, one a line, by kind.

    :param findings: as of `rerank.domain.CardTools.check_registry`.
    """
    lines = []
    for kind in dict.fromkeys(finding.kind for finding in findings):
        own = [finding for finding in findings if finding.kind is kind]
        lines.append(f"{kind.value}: {len(own)}")
        for item in own:
            told = f"registry {item.registry}; facts " if item.registry else ""
            lines.append(f"  {item.vendor:6} {item.model} | {told}{item.facts}")
    return "\n".join(lines) or "no differences"


def catalogue_text(products: Path, target: Path, proposal: CatalogueProposal) -> str:
    """Return what was seen of a table of products, what was odd, and what to do next."""
    rows = [
        [
            cut(column.name, 20),
            column.role,
            column.unit or "-",
            f"{column.filled:.0%}",
            cut(" | ".join(column.examples), 31),
        ]
        for column in proposal.columns
    ]
    models = f" of {proposal.n_models:,} models" if proposal.n_models < proposal.n_products else ""
    alike: dict[str, list[str]] = {}
    for column in proposal.columns:
        if column.remark:
            alike.setdefault(column.remark, []).append(column.name)
    odd = [f"{', '.join(names)}: {remark}" for remark, names in alike.items()]
    odd += proposal.remarks
    parts = [
        cut(f"{products}: {proposal.n_rows:,} rows", WIDTH),
        table(("column", "role", "unit", "filled", "examples"), rows, left=(0, 1, 2, 4)),
        f"{proposal.n_products:,} {proposal.many}{models}",
        "\n".join(fill(line, WIDTH, initial_indent="! ", subsequent_indent="  ") for line in odd),
        f"{target} says so. Correct the roles there that are wrong, then\n"
        f"  rerank build-index --catalogue {target}\n"
        "  rerank train-ltr\n"
        "  rerank score LISTINGS.csv resolved.parquet",
    ]
    return "\n\n".join(part for part in parts if part)


_METRICS = {"precision_at_1": "precision@1", "ndcg_at_10": "nDCG@10", "ece": "ECE"}
_SIGNIFICANT = 0.05
_NAME_WIDTH = 20
_NOTE = (
    "95 % intervals. * differs from LambdaRank: p below .05, paired, Holm-corrected.\n"
    "size: files that are read to rank. trained: ranker and what decides. ranked/s:\n"
    "ranking and decision on given candidates; resolved/s: from title to answer;\n"
    "both in one process."
)


def comparison_text(report: Mapping[str, Any]) -> str:
    """Return what rankers cost, then a table for each set."""
    sets = [_set_text(name, content, report) for name, content in report["sets"].items()]
    return "\n\n".join([_costs_text(report), *sets, _NOTE])


def size_text(size_bytes: float | None) -> str:
    """Write a size in kB or MB."""
    if size_bytes is None:
        return "-"
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:.0f} kB"


def duration_text(seconds: float | None) -> str:
    """Write a duration in seconds or minutes."""
    if seconds is None:
        return "-"
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def rate_text(measured: Mapping[str, Any] | None) -> str:
    """Write a rate with three digits."""
    if measured is None:
        return "-"
    rate = float(f"{measured['rate']['median']:.3g}")
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:g}"


def _costs_text(report: Mapping[str, Any]) -> str:
    rows = [
        [
            cut(each["name"], _NAME_WIDTH),
            cut((each["version"] or "-").partition("+")[0], 16),
            size_text(each["size_bytes"]),
            duration_text(each["training_seconds"]),
            rate_text(each["ranking"]),
            rate_text(each["resolving"]),
        ]
        for each in report["rankers"]
    ]
    return table(("", "version", "size", "trained", "ranked/s", "resolved/s"), rows, left=(0, 1))


def _set_text(name: str, content: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    n, of = content["n"], content["of"]
    drawn = f"{n} of {of} listings, drawn with seed {report['seed']}" if n < of else f"{n} listings"
    rows = [
        [cut(ranker, _NAME_WIDTH), *(_cell(own, metric) for metric in _METRICS)]
        for ranker, own in content["rankers"].items()
    ]
    header = ("", *_METRICS.values())
    told = cut(f"{name}: {drawn}, {content['matches']} sell a GPU", WIDTH)
    return told + "\n\n" + table(header, rows, left=(0,))


def _cell(own: Mapping[str, Any], metric: str) -> str:
    found = ReportFigure.read(own["metrics"].get(metric))
    if found.value is None:
        return "- "
    p_adjusted = own["differences"].get(metric, {}).get("p_adjusted")
    mark = "*" if p_adjusted is not None and p_adjusted < _SIGNIFICANT else " "
    return f"{decimal(found.value)} {decimals(found)}{mark}"
