"""Agreement, disputes and suspected labels, as text for people and plain values for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jobs.annotation.judging import SuspectReport
from jobs.storing.plain_values import plain
from jobs.tables import WIDTH, cut, table
from rerank.annotation.agreement import Agreement, Dispute
from rerank.annotation.consensus import label_of
from rerank.annotation.suspects import Suspect
from rerank.evaluation.intervals import Figure
from rerank.store.annotations import Annotation


def agreement_text(agreements: Sequence[Agreement]) -> str:
    """Return a row for each two annotators."""
    if not agreements:
        return "No two annotators answered the same listing."
    rows = [
        [
            cut(item.first, 12),
            cut(item.second, 12),
            str(item.n),
            _figure(item.agreed),
            _figure(item.kappa),
        ]
        for item in agreements
    ]
    header = ("annotator", "annotator", "listings", "agreed", "kappa")
    return table(header, rows, left=(0, 1, 3, 4))


def disputes_text(disputes: Sequence[Dispute], titles: Mapping[str, str]) -> str:
    """Return each listing with its answers, an annotator a line."""
    if not disputes:
        return "No disputes."
    return "\n\n".join(_dispute_text(dispute, titles) for dispute in disputes)


def dispute_values(dispute: Dispute, titles: Mapping[str, str]) -> dict[str, Any]:
    """Return a dispute for JSON."""
    return {
        "listing_id": dispute.listing_id,
        "title": titles.get(dispute.listing_id),
        "answers": [_answer_values(answer) for answer in dispute.answers],
    }


def suspects_text(report: SuspectReport, shown: Sequence[Suspect]) -> str:
    """Return each suspected label with what the model says instead."""
    if not shown:
        return f"No suspects among {report.judged} labels."
    return "\n\n".join(_suspect_text(suspect, report.titles) for suspect in shown)


def suspect_values(suspect: Suspect, titles: Mapping[str, str]) -> dict[str, Any]:
    """Return a suspected label for JSON, probabilities rounded to 4 digits."""
    label = suspect.label
    return {
        "listing_id": label.listing_id,
        "title": titles.get(label.listing_id),
        "label": label.label,
        "annotators": list(label.annotators),
        "label_probability": round(suspect.self_confidence, 4),
        "suggestion": suspect.suggestion,
        "probability": round(suspect.probability, 4),
    }


def answer_text(answer: Annotation) -> str:
    """Return what was answered: a variant, a model, or the verdict in words."""
    if answer.model is None:
        return label_of(answer).replace("_", " ")
    return answer.model if answer.gpu_id is None else f"{answer.model} ({answer.gpu_id})"


def _dispute_text(dispute: Dispute, titles: Mapping[str, str]) -> str:
    width = min(20, max(len(answer.annotator) for answer in dispute.answers))
    lines = [_heading(dispute.listing_id, titles)]
    for answer in dispute.answers:
        note = f"; {answer.note}" if answer.note else ""
        who = cut(answer.annotator, width)
        lines.append(cut(f"  {who:{width}}  {answer_text(answer)}{note}", WIDTH))
    return "\n".join(lines)


def _suspect_text(suspect: Suspect, titles: Mapping[str, str]) -> str:
    label = suspect.label
    who = cut(", ".join(label.annotators), 20)
    return "\n".join(
        [
            _heading(label.listing_id, titles),
            f"  {suspect.self_confidence:.3f}  {cut(label.label.replace('_', ' '), 40)} said by "
            f"{who}",
            f"  {suspect.probability:.3f}  {cut(suspect.suggestion, 40)} says the model",
        ]
    )


def _heading(listing_id: str, titles: Mapping[str, str]) -> str:
    title = " ".join(titles.get(listing_id, "(not in the store)").split())
    return cut(f"{cut(listing_id, 40)}  {title}", WIDTH)


def _answer_values(answer: Annotation) -> dict[str, Any]:
    return {
        "annotator": answer.annotator,
        "verdict": answer.verdict.value,
        "model": answer.model,
        "gpu_id": answer.gpu_id,
        "note": answer.note,
        "annotated_at": plain(answer.annotated_at),
    }


def _figure(figure: Figure) -> str:
    if figure.value is None or figure.ci95 is None:
        return "-"
    low, high = figure.ci95
    return f"{figure.value:.2f} ({low:.2f} to {high:.2f})"
