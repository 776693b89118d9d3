"""Lay out answers as text of at most 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any
from unicodedata import east_asian_width

if TYPE_CHECKING:
    from rerank.explanation import Contribution, Explanation
    from rerank.resolver import Resolution

WIDTH = 80


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


def cut(text: str, width: int) -> str:
    """Return printable text of at most ``width`` columns."""
    text = "".join(char if char.isprintable() else " " for char in text)
    if width_of(text) <= width:
        return text
    text = text[: width - 1]
    while width_of(text) >= width:
        text = text[:-1]
    return text + "…"


def memory(memory_gb: float | None) -> str:
    """Return a memory size as people write it."""
    if memory_gb is None:
        return "-"
    return f"{memory_gb:g} GB" if memory_gb >= 1 else f"{memory_gb * 1024:g} MB"


def resolution_text(
    title: str, answer: Resolution, candidate_set: Sequence[str] | None = None
) -> str:
    """Return one answer: the title, the decision, the reason and the candidates.

    :param candidate_set: the models that the listing may sell; None if it was not asked for.
    """
    name = " ".join(
        part for part in (answer.model, memory(answer.memory_gb), answer.form_factor) if part
    )
    decision = answer.decision.replace("_", " ")
    if answer.model is None:
        subject = ""
    else:
        subject = f"{name}" if decision == "match" else f"best guess: {name}"
    lines = [
        cut(" ".join(title.split()), WIDTH),
        "",
        f"  {decision:9} {subject}".rstrip(),
        f"  {'':9} probability {answer.match_probability:.3f}, margin {answer.margin:.3f}",
        f"  {'reason':9} {cut(answer.reason, WIDTH - 12)}",
    ]
    if answer.gpu_id:
        lines.append(f"  {'gpu id':9} {answer.gpu_id}")
    if candidate_set is not None:
        lines.append(_candidate_set_text(candidate_set))
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


def _candidate_set_text(candidate_set: Sequence[str]) -> str:
    label = "  candidate set  "
    return fill(
        "{" + ", ".join(candidate_set) + "}",
        WIDTH,
        initial_indent=label,
        subsequent_indent=" " * (len(label) + 1),
        break_on_hyphens=False,
    )


def _candidates_text(answer: Resolution) -> str:
    rows = [
        [
            str(number),
            cut(c.model, 28),
            memory(c.memory_gb),
            c.form_factor,
            f"{c.similarity:.3f}",
            f"{c.score:.2f}",
            f"{c.probability:.3f}",
        ]
        for number, c in enumerate(answer.candidates, 1)
    ]
    header = ("", "candidate", "memory", "form", "similarity", "score", "probability")
    return table(header, rows, left=(1, 3))


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
    rows = [
        [
            str(number),
            cut(hit["model"], 30),
            memory(hit["memory_gb"]),
            hit["form_factor"],
            f"{hit['similarity']:.3f}",
            f"{hit['shortlist']:.3f}",
        ]
        for number, hit in enumerate(hits, 1)
    ]
    header = ("", "candidate", "memory", "form", "similarity", "shortlist")
    return table(header, rows, left=(1, 3))


def width_of(text: str) -> int:
    """Return the columns a text takes on a terminal: Chinese characters take two."""
    return sum(2 if east_asian_width(char) in "WF" else 1 for char in text)
