"""What came out of a run, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DECISIONS = ("match", "review", "no_match")


@dataclass(frozen=True, slots=True)
class ScoreSummary:
    """What came out of a run.

    :param rows: of all finished files, those that an earlier run had finished included.
    :param decisions: how many rows got each decision.
    :param seconds: spent on the rows scored now.
    :param kept_rows: rows of files that an earlier run had finished.
    :param reused_rows: rows scored now whose answer an earlier output already had.
    :param files: how many were ``scored``, ``kept`` or ``failed``.
    :param failures: of files that were set aside: the message by the name of the file.
    """

    rows: int
    decisions: Mapping[str, int]
    seconds: float
    rejects: int = 0
    kept_rows: int = 0
    reused_rows: int = 0
    model_version: str = ""
    index_version: str = ""
    files: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)

    @property
    def rows_per_second(self) -> float:
        """Rows scored in this run, by the second."""
        return (self.rows - self.kept_rows) / max(self.seconds, 1e-9)

    def line(self) -> str:
        """Return the one line that is shown at the end."""
        said = ", ".join(f"{self.decisions.get(name, 0)} {name}" for name in DECISIONS)
        parts = [
            f"{self.rows} rows: {said}; {self.seconds:.1f} s, {self.rows_per_second:,.0f} rows/s"
        ]
        if self.rejects:
            parts.append(f"{self.rejects} rejects")
        if self.kept_rows:
            parts.append(f"{self.kept_rows} rows kept from an earlier run")
        if self.reused_rows:
            parts.append(f"{self.reused_rows} answers reused")
        if sum(self.files.values()) > 1:
            parts.append(", ".join(f"{n} files {what}" for what, n in self.files.items() if n))
        parts.append(f"model {self.model_version}, index {self.index_version}")
        return "; ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """Return the same as plain values."""
        return {
            "rows": self.rows,
            "decisions": {name: self.decisions.get(name, 0) for name in DECISIONS},
            "rejects": self.rejects,
            "kept_rows": self.kept_rows,
            "reused_rows": self.reused_rows,
            "seconds": round(self.seconds, 3),
            "rows_per_second": round(self.rows_per_second, 1),
            "model_version": self.model_version,
            "index_version": self.index_version,
            "files": dict(self.files),
            "failures": [{"file": file, "error": text} for file, text in self.failures.items()],
        }
