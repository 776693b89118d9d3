"""Failure analysis: queries whose first candidate is not the best, and which inputs decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.dual.fitting import CONFLICT_FROM, is_error
from rerank.dual.inputs import Input, Kind
from rerank.dual.model import DualModel, DualScores
from rerank.dual.order import NO_ROW, first_rows
from rerank.dual.scored_set import ScoredSet
from rerank.dual.training import LabelledRows
from rerank.evaluation.intervals import rounded

Row = NDArray[np.float32]

_SHOWN_INPUTS = 3


class Cause(Enum):
    """Why another candidate came first; the first that fits, in this order."""

    NO_CANDIDATES = "the query has no candidates"
    NO_DIFFERENCE = "both candidates have the same inputs"
    MISSING = "the best candidate lacks values that the chosen one has"
    CONFLICT_NOT_SEEN = "the chosen one conflicts, and its p_conflict is below .5"
    CONFLICT_OUTWEIGHED = "the chosen one conflicts, its p_conflict is .5 or more, yet it won"
    EMBEDDING = "the chosen one complies less; an embedding speaks for it most"
    EVIDENCE = "the chosen one complies less; a numeric feature speaks for it most"


@dataclass(frozen=True, slots=True)
class Deciding:
    """An input that spoke for the chosen candidate.

    :param chosen: its value there, None if missing; ``best`` the same of the best candidate.
    :param effect: what the chosen one's score loses when it is given the best one's value.
    """

    name: str
    chosen: float | None
    best: float | None
    effect: float


@dataclass(frozen=True, slots=True)
class DualFailure:
    """A query whose first candidate is not the best."""

    query_id: str
    text: str
    domain: str
    cause: str
    chosen: str | None
    chosen_compliance: float | None
    chosen_conflict: float | None
    chosen_conflict_probability: float | None
    best: str | None
    best_compliance: float | None
    error_probability: float
    deciding: tuple[Deciding, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "deciding": [asdict(each) for each in self.deciding]}


def failures_of(
    scored: ScoredSet, rows: LabelledRows, model: DualModel, scores: DualScores
) -> list[DualFailure]:
    """Describe every failure of a model on a set, the most certain errors first."""
    wrong = np.flatnonzero(is_error(scored, scores.score, rows.label))
    first, best = first_rows(scored, scores.score), first_rows(scored, rows.label)
    found = [
        _failure(scored, rows, model, scores, (number, int(first[number]), int(best[number])))
        for number in wrong.tolist()
    ]
    return sorted(found, key=lambda item: (item.error_probability, item.query_id))


def causes(found: Iterable[DualFailure]) -> dict[str, int]:
    """Count failures by cause, the most frequent first."""
    counts = Counter(failure.cause for failure in found)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _failure(
    scored: ScoredSet,
    rows: LabelledRows,
    model: DualModel,
    scores: DualScores,
    at: tuple[int, int, int],
) -> DualFailure:
    number, chosen, best = at
    none = chosen == NO_ROW
    deciding: Sequence[Deciding] = ()
    if not none:
        deciding = decided_by(
            rows.inputs[chosen],
            rows.inputs[best],
            model.schema.inputs,
            lambda inputs: model.network.outputs(inputs).scores.mean(axis=0),
        )
    probability = 0.0 if none else float(scores.conflict_probability[chosen])
    conflicts = not none and rows.conflict[chosen] >= CONFLICT_FROM > rows.conflict[best]
    pair = None if none else (rows.inputs[chosen], rows.inputs[best])
    cause = _cause(pair, conflicts, probability, deciding, model.schema.inputs)
    return DualFailure(
        query_id=scored.query_id[number],
        text=scored.text[number],
        domain=scored.domain[number],
        cause=cause.value,
        chosen=None if none else scored.candidate_id[chosen],
        chosen_compliance=None if none else rounded(float(scored.compliance[chosen])),
        chosen_conflict=None if none else rounded(float(scored.conflict[chosen])),
        chosen_conflict_probability=None if none else rounded(probability),
        best=None if none else scored.candidate_id[best],
        best_compliance=None if none else rounded(float(scored.compliance[best])),
        error_probability=round(float(scores.error_probability[number]), 4),
        deciding=tuple(deciding),
    )


def decided_by(
    chosen: Row, best: Row, inputs: Sequence[Input], score: Callable[[Any], Any]
) -> list[Deciding]:
    """Return the inputs that lifted the chosen candidate most, up to 3, strongest first.

    Each differing input in turn is given the best candidate's value, all others left as they are;
    inputs that make up for each other show less than they are worth together.
    """
    differing = np.flatnonzero(~np.isclose(chosen, best, rtol=0, atol=1e-7, equal_nan=True))
    if not len(differing):
        return []
    changed = np.repeat(chosen[None], len(differing) + 1, axis=0)
    changed[np.arange(len(differing)), differing] = best[differing]
    values = score(changed)
    effects = values[-1] - values[:-1]
    order = np.argsort(-effects, kind="stable")[:_SHOWN_INPUTS]
    return [
        Deciding(
            inputs[differing[at]].name,
            _plain(chosen[differing[at]]),
            _plain(best[differing[at]]),
            round(float(effects[at]), 4),
        )
        for at in order.tolist()
        if effects[at] > 0
    ]


def _cause(
    pair: tuple[Row, Row] | None,
    conflicts: bool,
    probability: float,
    deciding: Sequence[Deciding],
    inputs: Sequence[Input],
) -> Cause:
    if pair is None:
        return Cause.NO_CANDIDATES
    chosen, best = pair
    if np.allclose(chosen, best, rtol=0, atol=1e-7, equal_nan=True):
        return Cause.NO_DIFFERENCE
    if (np.isnan(best) & ~np.isnan(chosen)).any():
        return Cause.MISSING
    if conflicts:
        seen = probability >= CONFLICT_FROM
        return Cause.CONFLICT_OUTWEIGHED if seen else Cause.CONFLICT_NOT_SEEN
    embeddings = {each.name for each in inputs if each.kind is Kind.EMBEDDING}
    strongest = deciding[0].name if deciding else ""
    return Cause.EMBEDDING if strongest in embeddings else Cause.EVIDENCE


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
