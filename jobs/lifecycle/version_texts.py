"""Versions, their differences and their history as text of at most 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

from jobs.tables import WIDTH, cut, table
from rerank.lifecycle.history import Transition
from rerank.lifecycle.versions import DECISION_KINDS, VersionRef

_HEADLINES = (
    ("precision_at_1", "precision@1"),
    ("accepted_share", "share accepted"),
    ("precision_of_accepted", "precision of accepted"),
    ("recall_at_10", "recall@10"),
    ("recall_at_20", "recall@20"),
    ("nil_false_match_rate", "false matches among none"),
    ("ece", "ECE"),
)
_LABEL = 16
_FIGURES = "metrics.figures."
_GONE = "not in this workspace any more"
_NOT_COMPARED = ("reference", "distribution", "files", "sha256")


def list_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return versions as a table."""
    if not rows:
        return "no versions"
    cells = [
        [
            row["kind"],
            row["version"],
            cut(", ".join(row["names"]), 22),
            (row["created_at"] or "-")[:10],
            _figure_text(row["precision_at_1"]),
        ]
        for row in rows
    ]
    header = ("kind", "version", "names", "made", "precision@1")
    return table(header, cells, left=(0, 1, 2, 3, 4))


def card_text(said: Mapping[str, Any]) -> str:
    """Return what is known of a version."""
    card = said["card"]
    lines = [
        _line("version", f"{said['kind']} {said['version']}"),
        *_lines("names", ", ".join(said["names"]) or "none"),
        f"{'folder':{_LABEL}}{said['folder'] or _GONE}",
    ]
    if said["fault"]:
        lines += _lines("WRONG", said["fault"])
    if card is None:
        lines.append(_line("card", "none: made before there were cards"))
    else:
        lines += _card_lines(card)
    label = "champion" if said["kind"] in DECISION_KINDS else "served"
    lines += [
        _line(label, f"from {since} to {until or 'now'}") for since, until in said["served"]
    ] or [_line(label, "never, as far as the history knows")]
    return "\n".join(lines)


def diff_text(names: tuple[str, str], rows: Sequence[tuple[str, str, str]]) -> str:
    """Return what two versions differ in as a table."""
    if not rows:
        return f"{names[0]} and {names[1]} differ in nothing that their cards say"
    cells = [
        [cut(key.removeprefix(_FIGURES), 36), cut(one, 20), cut(other, 20)]
        for key, one, other in rows
    ]
    return table(("", *(cut(name, 20) for name in names)), cells, left=(0, 1, 2))


def history_text(changes: Sequence[Transition]) -> str:
    """Return changes, two lines or more each, oldest first."""
    if not changes:
        return "no changes"
    return "\n".join(line for change in changes for line in _change_lines(change))


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the entries of two cards that differ: the key with dots, and both values."""
    first, second = _flat(one), _flat(other)
    found = []
    for key in sorted({*first, *second}):
        values = first.get(key), second.get(key)
        if values[0] != values[1]:
            found.append((key, _shown(values[0]), _shown(values[1])))
    return found


def _card_lines(card: Mapping[str, Any]) -> list[str]:
    lines = [
        _line("made", f"{card['created_at']} by {card['created_by']}, code {card['code_version']}"),
        _line("parent", card["parent"] or "none"),
    ]
    for name, value in card["data"].items():
        lines += _lines(name.removesuffix("_fingerprint"), _shown(value))
    training = card["parameters"].get("training") or card["parameters"]
    lines += _listed("parameters", [f"{name} {_shown(value)}" for name, value in training.items()])
    if thresholds := card["parameters"].get("thresholds"):
        lines += _lines("thresholds", _shown(thresholds))
    lines += _listed("validation", _figure_lines(card["metrics"]))
    features = card["feature_schema"].get("features", {})
    counts = ", ".join(f"{len(names)} of {table}" for table, names in features.items())
    if counts:
        rule = card["feature_schema"]["missing"]
        lines += _lines("features", f"{counts}; missing values: {rule}")
    if card["reference"]:
        n = len(card["reference"].get("answers", ()))
        lines.append(_line("reference", f"{n} answers that it must give wherever it serves"))
    return lines


def _figure_lines(metrics: Mapping[str, Any]) -> list[str]:
    figures, on = metrics.get("figures"), metrics.get("measured_on")
    if not figures:
        return []
    words = [
        f"{words} {_figure_text(figures[name])}" for name, words in _HEADLINES if name in figures
    ]
    return words if on is None else [*words, f"on {on['listings']:,} {on['of']}"]


def _change_lines(change: Transition) -> list[str]:
    before = "nothing" if change.before is None else str(change.before)
    to = "nothing" if change.to is None else str(change.to)
    head = f"{change.generation:4}  {change.at}  {change.action} {change.alias}, by {change.who}"
    lines = [cut(head, WIDTH), cut(f"      {before} -> {to}", WIDTH)]
    if change.gates:
        failed = sum(not gate.get("passed") for gate in change.gates)
        words = f"{len(change.gates) - failed} of {len(change.gates)} gates passed"
        lines.append(f"      {words}{', overruled' if change.forced else ''}")
    if change.why:
        lines.append(cut(f"      why: {change.why}", WIDTH))
    return lines


def _line(label: str, text: str) -> str:
    return f"{label:{_LABEL}}{cut(text, WIDTH - _LABEL)}"


def _lines(label: str, text: str) -> list[str]:
    """Return a text that may be long under its label, all of it."""
    parts = wrap(text, WIDTH - _LABEL, break_on_hyphens=False) or [""]
    return [_line(label if at == 0 else "", part) for at, part in enumerate(parts)]


def _listed(label: str, texts: Sequence[str]) -> list[str]:
    """Return texts below each other, with the label before the first."""
    return [
        line for at, text in enumerate(texts) for line in _lines(label if at == 0 else "", text)
    ]


def _figure_text(figure: Mapping[str, Any] | None) -> str:
    if not figure or figure.get("value") is None:
        return "-"
    low, high = figure["ci95"]
    return f"{figure['value']:.3f} ({low:.3f}-{high:.3f})"


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in content.items():
        if not prefix and key in _NOT_COMPARED:
            continue
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and set(value) != {"value", "ci95", "n"}:
            found |= _flat(value, f"{name}.")
        else:
            found[name] = value
    return found


def _shown(value: Any) -> str:
    if isinstance(value, Mapping) and "ci95" in value:
        return _figure_text(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_shown(each)}" for key, each in value.items())
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def names_text(ref: VersionRef, names: Sequence[str]) -> str:
    """Return a version with its names in brackets."""
    return f"{ref} ({', '.join(names)})" if names else str(ref)
