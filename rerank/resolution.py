"""The answer about one listing: its decision, its candidates and the thresholds it was held to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from html import escape


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where `match_probability` becomes a decision.

    At or above ``match``: match. Below ``review``: no_match. Between: review. Both in [0, 1.01];
    1.01 means that no listing of the validation data could be accepted at ``precision``.
    """

    match: float
    review: float
    precision: float


class Decision(StrEnum):
    """What to do with a listing; each is equal to its text."""

    MATCH = "match"
    REVIEW = "review"
    NO_MATCH = "no_match"


DECISIONS = tuple(Decision)
"""The decisions in the order of their numbers in arrays."""


@dataclass(frozen=True, slots=True)
class ScoredCandidate:
    """One candidate of a resolved listing.

    ``score`` is comparable within its listing only; ``probability`` is the probability that its
    *model* is what the listing sells.
    """

    gpu_id: str
    model: str
    memory_gb: float
    form_factor: str
    similarity: float
    score: float
    probability: float


_SHOWN = 5  # candidates of a notebook's table


@dataclass(frozen=True, slots=True, repr=False)
class Resolution:
    """The answer for one listing; the columns `rerank score` adds, in this order.

    :param candidates: best first, as many as were asked for; the others are decided on as well.
    """

    gpu_id: str | None
    model: str | None
    memory_gb: float | None
    form_factor: str | None
    match_probability: float
    margin: float
    decision: Decision
    reason: str
    candidates: tuple[ScoredCandidate, ...]
    model_version: str
    index_version: str

    def __repr__(self) -> str:
        return f"<{self._headline()}; {len(self.candidates)} candidates>"

    def _repr_html_(self) -> str:
        """Return a table for notebooks: the answer, and its best candidates."""
        rows = "".join(
            f"<tr><td>{escape(each.model)}</td><td>{each.memory_gb:g} GB</td>"
            f"<td>{escape(each.form_factor)}</td><td>{each.probability:.3f}</td></tr>"
            for each in self.candidates[:_SHOWN]
        )
        head = "<tr><th>candidate</th><th>memory</th><th>form</th><th>probability</th></tr>"
        return f"<p><b>{escape(self._headline())}</b></p><table>{head}{rows}</table>"

    def _headline(self) -> str:
        best = f"{self.model} {self.memory_gb:g} GB {self.form_factor}" if self.model else "no GPU"
        guess = "best guess " if self.model and self.decision != Decision.MATCH else ""
        decided = f"{self.decision.replace('_', ' ')}: {guess}{best}"
        return f"{decided}, probability {self.match_probability:.3f}; {self.reason}"
