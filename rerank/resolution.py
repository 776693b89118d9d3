"""The answer about one listing: its decision, its candidates and the thresholds it was held to."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from html import escape
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rerank.index.artifacts import typed_record

_NEVER = 1.01


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where `match_probability` becomes a decision.

    At or above ``match``: match. Below ``review``: no_match. Between: review. Both in [0, 1.01];
    1.01 means that no listing of the validation data could be accepted at ``precision``.
    """

    match: float
    review: float
    precision: float

    @classmethod
    def from_dict(cls, content: Any) -> Thresholds:
        """Return what `dataclasses.asdict` gave.

        :raises TypeError: if a field is unknown, missing or no number.
        :raises ValueError: if one is out of range, or review above match.
        """
        found = typed_record(cls, content)
        if not (0 <= found.review <= found.match <= _NEVER and 0 <= found.precision <= 1):
            raise ValueError(
                f"expected thresholds with 0 <= review <= match <= {_NEVER} and a precision in "
                f"[0, 1], found {found}"
            )
        return found


class Decision(StrEnum):
    """What to do with a listing; each is equal to its text."""

    MATCH = "match"
    REVIEW = "review"
    NO_MATCH = "no_match"


DECISIONS = tuple(Decision)
"""The decisions in the order of their numbers in arrays."""


def memory(memory_gb: float | None) -> str:
    """Return a memory size as people write it, ``-`` where there is none or no own memory."""
    if not memory_gb:
        return "-"
    return f"{memory_gb:g} GB" if memory_gb >= 1 else f"{memory_gb * 1024:g} MB"


_SAME_SIZE = 0.02  # the closest sizes of one model, the H100's 94 and 96 GB, are 2.1 % apart
_IN_MB_BELOW = 2.0
_Sizes = NDArray[np.floating[Any]] | np.float32 | float


def same_size(stated: _Sizes, own: _Sizes) -> NDArray[np.bool_]:
    """Return where a stated size is a GPU's own, within 2 % of it; NaN is no size."""
    return np.asarray(np.abs(stated - own) < _SAME_SIZE * own, np.bool_)


def same_size_by_hand(written: float, own: float) -> bool:
    """Return whether a size that a person wrote down is a GPU's own.

    Old cards have sizes in MB, which people turn into GB by 1000 too: 1280 MB is 1.25 and 1.28.
    """
    in_thousands = written < _IN_MB_BELOW and same_size(written / 1.024, own)
    return bool(same_size(written, own) or in_thousands)


@dataclass(frozen=True, slots=True)
class ScoredCandidate:
    """One candidate of a resolved listing.

    ``score`` is that of its model, comparable within its listing only; ``probability`` is the
    probability that its *model* is what the listing sells, and ``variant_probability`` that, if
    so, it is this variant.
    """

    gpu_id: str
    model: str
    memory_gb: float
    form_factor: str
    similarity: float
    score: float
    probability: float
    variant_probability: float

    @property
    def key(self) -> str:
        """What tells it from all others."""
        return self.gpu_id

    @property
    def shown(self) -> dict[str, str]:
        """What a person is shown of it, by the heads of columns."""
        size = memory(self.memory_gb)
        return {"candidate": self.model, "memory": size, "form": self.form_factor}


def headline(decision: Decision, subject: str, probability: float, reason: str) -> str:
    """Return an answer to a listing of whatever goods, in one line."""
    decided = f"{decision.replace('_', ' ')}: {subject}"
    return f"{decided}, probability {probability:.3f}; {reason}"


MODEL, PERSON = "model", "person"
"""Who may decide."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Who decided an answer, and what the model answers itself.

    :param decided_by: the people whose verdict it is; None if the model decided, as ``decided_at``.
    :param decided_at: when they said so, UTC without a zone.
    :param model_key: the id of what the model says is sold; None for no match.
    """

    decided_by: str | None
    decided_at: datetime | None
    model_decision: Decision
    model_key: str | None
    model_probability: float

    @property
    def decision_source(self) -> str:
        """`MODEL` or `PERSON`."""
        return MODEL if self.decided_by is None else PERSON

    def columns(self, key: str) -> dict[str, Any]:
        """Return it as the columns of a row, the time as text.

        :param key: what the column of ids is called.
        """
        told = asdict(self)
        at = None if self.decided_at is None else f"{self.decided_at.isoformat()}Z"
        told |= {"decided_at": at, f"model_{key}": told.pop("model_key")}
        told["model_probability"] = told.pop("model_probability")  # the last, as in tables
        return {"decision_source": self.decision_source, **told}

    @property
    def details(self) -> dict[str, str]:
        """What a person is told, by labels; nothing where the model decided."""
        if self.decided_by is None or self.decided_at is None:
            return {}
        said = self.model_decision.replace("_", " ")
        named = f" {self.model_key}" if self.model_key else ""
        return {
            "decided": f"by {self.decided_by}, {self.decided_at.isoformat()[:10]}",
            "model": f"{said}{named}, probability {self.model_probability:.3f}",
        }


_SHOWN = 5  # candidates of a notebook's table


@dataclass(frozen=True, slots=True, repr=False)
class Resolution:
    """The answer for one listing; the columns `rerank score` adds, in this order.

    :param gpu_id: with the three that follow, the variant that is sold; None for `no_match`.
    :param best_guess: the model of the first candidate, whatever is decided; None without one.
    :param match_probability: that the best guess is the model that is sold.
    :param memory_stated: whether the listing states the memory of the first candidate.
    :param variant_probability: that the first candidate is the variant that is sold, if its model
        is; 0 without one.
    :param candidates: best first, as many as were asked for; the others are decided on as well.
        The variants of a model follow each other.
    """

    key_column: ClassVar[str] = "gpu_id"
    """What the column of ids is called."""

    gpu_id: str | None
    model: str | None
    memory_gb: float | None
    form_factor: str | None
    best_guess: str | None
    match_probability: float
    memory_stated: bool
    variant_probability: float
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
            f"<td>{escape(each.form_factor)}</td><td>{each.probability:.3f}</td>"
            f"<td>{each.variant_probability:.3f}</td></tr>"
            for each in self.candidates[:_SHOWN]
        )
        names = ("candidate", "memory", "form", "model's probability", "variant's")
        head = "<tr>" + "".join(f"<th>{name}</th>" for name in names) + "</tr>"
        return f"<p><b>{escape(self._headline())}</b></p><table>{head}{rows}</table>"

    @property
    def key(self) -> str | None:
        """What is sold; None for no match."""
        return self.gpu_id

    @property
    def provenance(self) -> Provenance | None:
        """Who decided, where people's verdicts are in use; else None."""
        return None

    @property
    def label(self) -> str | None:
        """What is sold as people tell it from others; None for no match."""
        return self.gpu_id

    @property
    def variant_stated(self) -> bool:
        """Whether the listing states what tells the first candidate from its model's others."""
        return self.memory_stated

    @property
    def subject(self) -> str:
        """What is sold in words, or the best guess; the variant only of what is sold."""
        if self.model is None:
            return f"best guess {self.best_guess}" if self.best_guess else "no GPU"
        sold = f"{self.model} {self.memory_gb:g} GB {self.form_factor}"
        return sold if self.decision == Decision.MATCH else f"best guess {sold}"

    @property
    def details(self) -> dict[str, str]:
        """What a person is told of what is sold, by labels."""
        told = {}
        if self.memory_gb is not None and not self.memory_stated:
            said = "another is stated" if "memory size" in self.reason else "not stated"
            told["memory"] = f"{said}; this variant {self.variant_probability:.3f}"
        return {**told, "gpu id": self.gpu_id} if self.gpu_id else told

    def _headline(self) -> str:
        return headline(self.decision, self.subject, self.match_probability, self.reason)


@dataclass(frozen=True, slots=True, repr=False)
class SettledResolution(Resolution):
    """The answer where people's verdicts are in use, whoever decided it."""

    provenance: Provenance = field()
