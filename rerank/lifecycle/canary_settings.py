"""What a canary is told: `configs/canary.yaml`, checked whole; all faults are reported at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from index.errors import FaultsError
from rerank.settings_sections import number, read_yaml, section_of

DEFAULT_STEPS = (0.01, 0.1, 0.5)


@dataclass(frozen=True, slots=True)
class GuardrailLimits:
    """How far a challenger may fall behind the champion on the listings both answer.

    :param accepted_loss: of the share accepted, in parts of 1.
    :param no_match_change: of the share without a match, up or down.
    :param psi: population stability index of the probabilities, against the champion's.
    :param latency_ratio: median over groups of listings of its time to the champion's.
    :param error_rate: share of the listings on which it raises an error.
    """

    accepted_loss: float = number(0.01, 0.0001, 1)
    no_match_change: float = number(0.02, 0.0001, 1)
    psi: float = number(0.1, 0.001, 10)
    latency_ratio: float = number(1.5, 0.01, 1000)
    error_rate: float = number(0.001, 1e-6, 0.99)


@dataclass(frozen=True, slots=True)
class CanarySettings:
    """All keys of the file.

    :param steps: shares of the listings that the challenger answers, rising.
    :param window_listings: listings both answer between two looks at the guardrails.
    :param windows_per_step: before the next step.
    :param alpha: chance that a challenger within all limits is stopped, over the whole canary.
    :param group: listings timed together; each group gives one ratio of times.
    """

    steps: tuple[float, ...] = DEFAULT_STEPS
    window_listings: int = number(250, 20, 1_000_000)
    windows_per_step: int = number(4, 1, 1000)
    alpha: float = number(0.05, 1e-6, 0.5)
    group: int = number(25, 1, 10_000)
    guardrails: GuardrailLimits = field(default_factory=GuardrailLimits)

    @property
    def step_listings(self) -> int:
        """Listings of a step."""
        return self.window_listings * self.windows_per_step

    @property
    def planned(self) -> int:
        """Listings of the whole canary."""
        return self.step_listings * len(self.steps)

    def as_json(self) -> dict[str, Any]:
        """Return the keys and values of the file."""
        return {**asdict(self), "steps": list(self.steps)}


def read_canary_settings(path: Path) -> CanarySettings:
    """Read a YAML file; what it does not say keeps its default.

    :raises InputError: if it cannot be read as YAML.
    :raises FaultsError: if keys are unknown, or values of the wrong type or size.
    """
    return canary_settings_of(read_yaml(path), name=str(path))


def canary_settings_of(content: Any, *, name: str = "settings") -> CanarySettings:
    """Return the settings that keys and values say.

    :param name: what errors call them.
    :raises FaultsError: as `read_canary_settings`.
    """
    content = {} if content is None else content
    if not isinstance(content, Mapping):
        raise FaultsError(name, [f"expected keys and values, found {content!r:.40}"])
    faults: list[str] = []
    others = {key: value for key, value in content.items() if key != "steps"}
    settings: CanarySettings = section_of(CanarySettings, others, "", faults)
    steps = content.get("steps", list(DEFAULT_STEPS))
    if not _are_steps(steps):
        faults.append(
            "steps: expected a list of rising shares, each more than 0 and less than 1, found "
            f"{steps!r:.60}"
        )
    if faults:
        raise FaultsError(name, faults)
    return replace(settings, steps=tuple(float(step) for step in steps))


def _are_steps(steps: Any) -> bool:
    if not isinstance(steps, list) or not steps:
        return False
    if not all(isinstance(each, float) and 0 < each < 1 for each in steps):
        return False
    return steps == sorted(set(steps))
