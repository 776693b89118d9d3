"""A comparison of two versions as text of at most 80 columns, and its changed listings as rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from textwrap import wrap

import pyarrow as pa

from jobs.lifecycle.comparing import VersionComparison
from jobs.tables import WIDTH, cut, table
from rerank.evaluation.intervals import Figure
from rerank.lifecycle.agreement import Answered, Change, Shown
from rerank.lifecycle.paired_metrics import PairedMetric
from rerank.lifecycle.sample_size import LEVEL, POWER
from rerank.resolution import DECISIONS

_ASPECT_WORDS = {"decision": "decision", "sold_model": "model", "gpu_id": "gpu id"}
_SCHEMA = pa.schema(
    [
        ("listing_id", pa.string()),
        ("title", pa.string()),
        ("vendor", pa.string()),
        ("changed", pa.string()),
        *(
            (f"{side}_{name}", kind)
            for side in "ab"
            for name, kind in (
                ("decision", pa.string()),
                ("model", pa.string()),
                ("memory_gb", pa.float64()),
                ("gpu_id", pa.string()),
                ("match_probability", pa.float64()),
                ("reason", pa.string()),
            )
        ),
        ("arm", pa.string()),
    ]
)


def comparison_text(found: VersionComparison, *, most: int) -> str:
    """Return what two versions agree on, where they differ, and which is right more often.

    :param most: changed listings to show.
    """
    n = f"{found.listings:,} listings"
    left_out = f", {found.left_out:,} rows left out" if found.left_out else ""
    parts = [
        f"A  {found.first}\nB  {found.second}\n{n}{left_out}{_arms(found)}",
        _agreement(found),
        _decisions(found),
        _changes(found.changes, most),
        _metrics(found),
    ]
    return "\n\n".join(part for part in parts if part)


def changed_rows(found: VersionComparison) -> pa.Table:
    """Return the changed listings as a table, in their order.

    :returns: listing_id, title, vendor; ``changed``, what of it: decision, model or variant; of A
        and B decision, model, memory_gb, gpu_id, match_probability and reason; with a salt the
        arm, ``a`` or ``b``.
    """
    rows = []
    for each in found.changes:
        listing, change = each.listing, each.change
        row = {
            "listing_id": listing.listing_id,
            "title": listing.title,
            "vendor": listing.vendor,
            "changed": None if change is None else change.value,
        }
        for side, shown in (("a", each.first), ("b", each.second)):
            row |= {f"{side}_{name}": getattr(shown, name) for name in Shown.__slots__}
        if found.arms is not None:
            row["arm"] = "b" if found.arms[listing.listing_id] else "a"
        rows.append(row)
    full = pa.Table.from_pylist(rows, _SCHEMA)
    return full if found.arms is not None else full.drop_columns(["arm"])


def _arms(found: VersionComparison) -> str:
    if found.arms is None:
        return ""
    in_b = sum(found.arms.values())
    return f"; by the salt {len(found.arms) - in_b:,} fall to A, {in_b:,} to B"


def _agreement(found: VersionComparison) -> str:
    rows = [[words, _share(found.agreement[name])] for name, words in _ASPECT_WORDS.items()]
    return table(("the same", "share [95 %]"), rows, left=(0,))


def _decisions(found: VersionComparison) -> str:
    names = [decision.value.replace("_", " ") for decision in DECISIONS]
    rows = [
        [f"A {name}", *(f"{count:,}" for count in counts)]
        for name, counts in zip(names, found.decisions, strict=True)
    ]
    return table(("decisions", *(f"B {name}" for name in names)), rows, left=(0,))


def _changes(changes: Sequence[Answered], most: int) -> str:
    if not changes:
        return "No listing comes out otherwise."
    counts = Counter(each.change for each in changes)
    parts = ", ".join(f"{counts[kind]:,} by {kind.value}" for kind in Change if counts[kind])
    lines = [f"{len(changes):,} listings come out otherwise: {parts}"]
    for each in changes[:most]:
        title = " ".join(each.listing.title.split())
        lines += ["", cut(f"{each.listing.listing_id}  {title}", WIDTH)]
        lines += [_answer("A", each.first), _answer("B", each.second)]
    left = len(changes) - most
    return "\n".join([*lines, *(["", f"... and {left:,} more"] if left > 0 else [])])


def _answer(side: str, shown: Shown) -> str:
    guess = "no candidate" if shown.model is None else f"guess: {shown.model}"
    decision = shown.decision.replace("_", " ")
    return (
        f"  {side} {decision:8}  {cut(shown.gpu_id or guess, 50):50}  {shown.match_probability:.3f}"
    )


def _metrics(found: VersionComparison) -> str:
    if not found.metrics:
        words = (
            "No listing of the file has a known truth. `rerank annotate` asks for it, --gold reads "
            "it from a file; the changed listings are worth most."
        )
        return "\n".join(wrap(words, WIDTH))
    rows = [
        [
            each.metric.label,
            _value(each.first),
            _value(each.second),
            f"{each.gain.difference:+.4f} {_interval(each.gain.ci95)}",
            _p(each.gain.p_adjusted),
        ]
        for each in found.metrics
    ]
    header = (f"{found.judged:,} judged", "A", "B", "gain of B [95 %]", "p (Holm)")
    needs = [line for each in found.metrics if each.discordance for line in _needed(each)]
    return "\n".join([table(header, rows, left=(0,)), "", *needs])


def _needed(each: PairedMetric) -> list[str]:
    counts = each.discordance
    assert counts is not None
    right = f"{each.metric.label}: only B right {counts.gained}, only A {counts.lost}"
    if each.needed is None:
        words = f"{right} of {counts.n}: no difference to find"
    elif each.needed <= counts.n:
        words = f"{right} of {counts.n}: enough listings for such a difference"
    else:
        words = (
            f"{right} of {counts.n}: for such a difference {each.needed:,} are needed, "
            f"{each.needed - counts.n:,} more (power {POWER:.0%}, level {LEVEL:.0%})"
        )
    return wrap(words, WIDTH, subsequent_indent="  ")


def _share(figure: Figure) -> str:
    return f"{_value(figure)} {_interval(figure.ci95)}"


def _value(figure: Figure) -> str:
    return "-" if figure.value is None else f"{figure.value:.4f}"


def _interval(bounds: tuple[float, float] | None) -> str:
    return "" if bounds is None else f"[{bounds[0]:.4f}, {bounds[1]:.4f}]"


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
