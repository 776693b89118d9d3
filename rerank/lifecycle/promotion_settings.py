"""What a model must show before it serves: `configs/promotion.yaml`, checked whole.

All faults are reported at once. What a file does not say keeps the default, and the file that
ships says the defaults.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from index.errors import FaultsError, InputError
from rerank.evaluation.catalogue import METRICS
from rerank.evaluation.queries import SLICES
from rerank.settings_sections import number, read_yaml, section_of, unknown_keys

Bounds = Mapping[str, float]
"""Of metrics by name, the least value, or the greatest where lower is better."""

HARD_SET, GENERATED, ANNOTATED = "hard_set", "bootstrap_test", "annotations"
SET_SLICE = "set"  # the set a listing is from, guarded as any other slice
GUARDED = (SET_SLICE, "chip vendor", "generation", "language", "model", "memory")
# Two systems are paired over the same listings: not over those that each of them accepted.
PAIRED_METRICS = tuple(
    metric.name for metric in METRICS if metric.over in (None, "is_match", "is_nil")
)

_METRIC_NAMES = tuple(metric.name for metric in METRICS)
DEFAULT_FLOORS: Mapping[str, Bounds] = {
    HARD_SET: {
        "precision_at_1": 0.90,
        "accepted_share": 0.65,
        "precision_of_accepted": 0.95,
        "nil_false_match_rate": 0.05,
        "ece": 0.10,
    },
    GENERATED: {
        "precision_at_1": 0.90,
        "accepted_share": 0.75,
        "precision_of_accepted": 0.97,
        "nil_false_match_rate": 0.05,
        "ece": 0.05,
    },
}
DEFAULT_GAIN: Bounds = {"precision_at_1": -0.003, "accepted_share": -0.01}


@dataclass(frozen=True, slots=True)
class SetSettings:
    """What is measured on.

    :param hard_set: the shipped hard set.
    :param generated: listings of models that nothing was trained on; 0 for none.
    :param annotations: the store's annotated listings that training keeps out.
    :param gold: gold files; a path counts from the folder of the settings' file.
    """

    hard_set: bool = True
    generated: int = number(4000, 0, 1_000_000)
    annotations: bool = True
    gold: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GainSettings:
    """What the candidate must gain over the champion, over all sets together.

    :param require: at least one of the metrics must be better beyond chance.
    :param lowest: of each metric, the least that the low end of the interval of its gain may be.
    """

    require: bool = False
    lowest: Bounds = field(default_factory=lambda: dict(DEFAULT_GAIN))


@dataclass(frozen=True, slots=True)
class SliceSettings:
    """Which parts of the listings must not get worse.

    :param guarded: slices of `rerank evaluate`, and ``set``.
    :param metrics: what must not get worse on them.
    :param min_listings: slices with fewer are not judged.
    :param level: chance that any slice of an equal model is taken for worse.
    """

    guarded: tuple[str, ...] = GUARDED
    metrics: tuple[str, ...] = ("precision_at_1", "accepted_share", "nil_false_match_rate")
    min_listings: int = number(30, 1, 1_000_000)
    level: float = number(0.05, 1e-4, 0.5)


@dataclass(frozen=True, slots=True)
class LatencySettings:
    """How long one listing may take, the fastest of its runs; ratios are to the champion.

    :param listings: how many are timed; 0 for none, and no budget.
    :param runs: of each listing by each model, in turns.
    """

    listings: int = number(200, 0, 100_000)
    runs: int = number(3, 1, 100)
    p50_ms: float = number(10.0, 0.001, 1e6)
    p99_ms: float = number(40.0, 0.001, 1e6)
    p50_ratio: float = number(1.5, 0.01, 1e6)
    p99_ratio: float = number(3.0, 0.01, 1e6)


@dataclass(frozen=True, slots=True)
class PromotionSettings:
    """All gates.

    :param samples: resamples behind each interval; ``seed`` draws them.
    :param size_mb: of the model's folder, in millions of bytes.
    :param parity: a model without reference answers is refused.
    :param floors: of each set, of each metric, the least value, or the greatest where lower is
        better; a set that is not measured is not judged.
    """

    seed: int = number(20, 0, 2**31 - 1)
    samples: int = number(1000, 20, 100_000)
    size_mb: float = number(60.0, 0.001, 1e6)
    parity: bool = False
    sets: SetSettings = field(default_factory=SetSettings)
    gain: GainSettings = field(default_factory=GainSettings)
    slices: SliceSettings = field(default_factory=SliceSettings)
    latency: LatencySettings = field(default_factory=LatencySettings)
    floors: Mapping[str, Bounds] = field(default_factory=lambda: dict(DEFAULT_FLOORS))


def read_promotion_settings(path: Path) -> PromotionSettings:
    """Read and check a file of settings; its gold files count from its own folder.

    :raises InputError: if the file cannot be read or is no YAML mapping.
    :raises FaultsError: with all unknown keys and all values that cannot be.
    """
    settings = promotion_settings_of(read_yaml(path) or {}, where=str(path))
    gold = tuple(str(path.parent / name) for name in settings.sets.gold)
    return replace(settings, sets=replace(settings.sets, gold=gold))


def promotion_settings_of(content: object, *, where: str = "settings") -> PromotionSettings:
    """Check a mapping as read from YAML.

    :raises InputError: if it is no mapping.
    :raises FaultsError: with all its faults.
    """
    if not isinstance(content, Mapping):
        raise InputError(f"{where}: expected keys and values, found {type(content).__name__}")
    faults: list[str] = []
    rest = dict(content)
    floors = _floors(rest.pop("floors", DEFAULT_FLOORS), faults)
    gain, lowest = rest.get("gain"), DEFAULT_GAIN
    if isinstance(gain, Mapping):
        rest["gain"] = {key: value for key, value in gain.items() if key != "lowest"}
        lowest = _bounds(gain.get("lowest", lowest), "gain.lowest", PAIRED_METRICS, faults)
    settings: PromotionSettings = section_of(PromotionSettings, rest, "", faults)
    faults += _odd_names(settings.slices.guarded, "slices.guarded", (SET_SLICE, *SLICES))
    faults += _odd_names(settings.slices.metrics, "slices.metrics", PAIRED_METRICS)
    if settings.gain.require and not lowest:
        faults.append("gain.require: expected a metric in gain.lowest that is to gain, found none")
    if faults:
        raise FaultsError(where, faults)
    return replace(settings, floors=floors, gain=replace(settings.gain, lowest=lowest))


def _floors(content: object, faults: list[str]) -> dict[str, Bounds]:
    if not isinstance(content, Mapping):
        faults.append(f"floors: expected sets with their metrics, found {content!r:.40}")
        return {}
    return {
        str(name): _bounds(bounds, f"floors.{name}", _METRIC_NAMES, faults)
        for name, bounds in content.items()
    }


def _bounds(
    content: object, where: str, known: Sequence[str], faults: list[str]
) -> dict[str, float]:
    """Return bounds by metric; metrics are shares, so bounds lie between -1 and 1."""
    if not isinstance(content, Mapping):
        faults.append(f"{where}: expected metrics with their bounds, found {content!r:.40}")
        return {}
    faults += unknown_keys(content, list(known), f"{where}.")
    found = {}
    for name, value in content.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not -1 <= value <= 1:
            faults.append(f"{where}.{name}: expected a number from -1 to 1, found {value!r:.40}")
        else:
            found[str(name)] = float(value)
    return found


def _odd_names(names: Sequence[str], where: str, known: Sequence[str]) -> list[str]:
    return [
        f"{where}: expected some of {', '.join(known)}; found {name!r:.40}"
        for name in names
        if name not in known
    ]
