"""A canary: a share of the listings goes to a challenger, step by step, until it is champion.

The state is a value: what the pointer keeps, and all that the next look needs. Every look takes
what was counted since the one before; a step is over when its listings are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from index.errors import ArtifactError, InputError
from rerank.lifecycle.canary_settings import CanarySettings, canary_settings_of
from rerank.lifecycle.guardrails import GuardrailFigure, judge, level_between
from rerank.lifecycle.paired_counts import PairedCounts
from rerank.lifecycle.versions import VersionRef, checked_name


class Outcome(Enum):
    """What a canary does after a look."""

    GOES_ON = "goes on"
    NEXT_STEP = "next step"
    PASSED = "passed"
    BREACHED = "breached"


@dataclass(frozen=True, slots=True)
class CanaryState:
    """A running canary.

    :param experiment: its name in the log.
    :param champion: what it is compared with.
    :param salt: of the split of listings.
    :param windows: looks so far.
    :param counts: of all listings so far.
    """

    experiment: str
    challenger: VersionRef
    champion: VersionRef
    salt: str
    settings: CanarySettings = field(default_factory=CanarySettings)
    windows: int = 0
    counts: PairedCounts = field(default_factory=PairedCounts)

    @property
    def step(self) -> int:
        """The number of the step, from 1."""
        done = self.counts.listings // self.settings.step_listings
        return min(done + 1, len(self.settings.steps))

    @property
    def share(self) -> float:
        """The share of listings that the challenger answers, 0 to 1."""
        return self.settings.steps[self.step - 1]

    def as_json(self) -> dict[str, Any]:
        """Return it as the pointer keeps it."""
        return {
            "experiment": self.experiment,
            "challenger": self.challenger.as_dict(),
            "champion": self.champion.as_dict(),
            "salt": self.salt,
            "settings": self.settings.as_json(),
            "windows": self.windows,
            "counts": self.counts.as_json(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> CanaryState:
        """Return what `as_json` made plain.

        :raises ArtifactError: if it is damaged.
        """
        try:
            return cls(
                str(content["experiment"]),
                _ref(content["challenger"]),
                _ref(content["champion"]),
                str(content["salt"]),
                canary_settings_of(content["settings"]),
                int(content["windows"]),
                PairedCounts.from_json(content["counts"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError, InputError) as exc:
            raise ArtifactError(
                f"canary: expected its state, found something else ({type(exc).__name__}: {exc}); "
                "end it with `rerank models canary stop`, and start another"
            ) from exc


@dataclass(frozen=True, slots=True)
class Look:
    """A look at the guardrails.

    :param state: after it.
    :param window: what was counted since the look before.
    :param step: that it belongs to; ``share``: of the listings that the challenger answered.
    """

    state: CanaryState
    outcome: Outcome
    window: PairedCounts
    step: int
    share: float
    figures: tuple[GuardrailFigure, ...]

    @property
    def breached(self) -> tuple[GuardrailFigure, ...]:
        """The guardrails that are breached."""
        return tuple(figure for figure in self.figures if figure.breached)

    def words(self) -> str:
        """Return what came out of it in one line."""
        n, planned = self.state.counts.listings, self.state.settings.planned
        said = f"canary of {self.state.challenger}, {n} of {planned} listings"
        if self.breached:
            return f"{said}: stopped, {'; '.join(figure.words() for figure in self.breached)}"
        if self.outcome is Outcome.PASSED:
            return f"{said}: passed, it is champion"
        if self.outcome is Outcome.NEXT_STEP:
            return f"{said}: on to {self.state.share:.0%} of the listings"
        return f"{said}: goes on at {self.share:.0%}"


def look(state: CanaryState, window: PairedCounts) -> Look:
    """Judge the guardrails after a window, which may be of any size."""
    settings = state.settings
    after = replace(state, windows=state.windows + 1, counts=state.counts + window)
    level = level_between(
        state.counts.listings / settings.planned,
        after.counts.listings / settings.planned,
        settings.alpha,
    )
    figures = tuple(judge(after.counts, settings.guardrails, level))
    if any(figure.breached for figure in figures):
        outcome = Outcome.BREACHED
    elif after.counts.listings >= settings.planned:
        outcome = Outcome.PASSED
    else:
        outcome = Outcome.NEXT_STEP if after.step > state.step else Outcome.GOES_ON
    return Look(after, outcome, window, state.step, state.share, figures)


def _ref(content: Mapping[str, str]) -> VersionRef:
    return VersionRef(content["name"], checked_name(content["version"], "version"))
