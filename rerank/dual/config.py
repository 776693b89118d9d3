"""The configuration of `rerank train-dual`: YAML, checked whole, all faults reported at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from index.errors import FaultsError, InputError
from index.yaml_loader import FastSafeLoader


def _number(default: float, low: float, high: float, key: str = "") -> Any:
    """Declare a number with the range it may lie in and, if it differs, its key in the file."""
    return field(default=default, metadata={"range": (low, high), "key": key})


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """What is learnt.

    :param compliance_weight: lambda: y = lambda * compliance + (1 - lambda) * (1 - conflict).
    """

    compliance_weight: float = _number(0.5, 0.0, 1.0, "lambda")


@dataclass(frozen=True, slots=True)
class InputSettings:
    """What is read; see `rerank.dual.inputs`.

    :param max_bad_share: lines that may be faulty, as a share of all.
    """

    conflict_features: tuple[str, ...] = ()
    ignored_features: tuple[str, ...] = ()
    embedding_products: bool = False
    max_bad_share: float = _number(0.01, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class SplitSettings:
    """Percent of canonical ids that are held back."""

    validation_percent: int = _number(10, 1, 49)
    test_percent: int = _number(10, 1, 49)


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """The network's shape.

    :param hidden: units of each hidden layer.
    :param layers: hidden layers; 0 is a linear model.
    :param members: networks of the ensemble.
    """

    hidden: int = _number(64, 1, 1024)
    layers: int = _number(2, 0, 6)
    dropout: float = _number(0.1, 0.0, 0.9)
    members: int = _number(5, 1, 50)


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How it is trained.

    :param batch_queries: queries a step.
    :param patience: epochs without a better validation loss before it ends.
    :param min_gap: difference of y from which two candidates of a query are a pair.
    :param conflict_weight: weight of the conflict head's loss beside RankNet's.
    """

    learning_rate: float = _number(0.003, 1e-6, 1.0)
    weight_decay: float = _number(1e-4, 0.0, 1.0)
    batch_queries: int = _number(64, 1, 4096)
    epochs: int = _number(40, 1, 1000)
    patience: int = _number(6, 1, 1000)
    min_gap: float = _number(0.02, 0.0, 1.0)
    conflict_weight: float = _number(1.0, 0.0, 100.0)


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """How it is measured: bootstrap samples of queries."""

    samples: int = _number(1000, 1, 100_000)


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """Bounds of the search for settings; with neither there is none.

    :param trials: of the whole study, those of earlier runs included.
    :param minutes: of this run; no trial begins after them.
    """

    trials: int = _number(0, 0, 100_000)
    minutes: float = _number(0.0, 0.0, 100_000.0)


@dataclass(frozen=True, slots=True)
class DualConfig:
    """Everything `rerank train-dual` is told; stored with the model.

    :param data: path of the scored JSONL; empty if the command line names it.
    :param output: folder to write to; empty for the workspace's.
    """

    data: str = ""
    output: str = ""
    seed: int = _number(7, 0, 2**31 - 1)
    label: LabelSettings = field(default_factory=LabelSettings)
    inputs: InputSettings = field(default_factory=InputSettings)
    split: SplitSettings = field(default_factory=SplitSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    search: SearchSettings = field(default_factory=SearchSettings)


def read_config(path: Path) -> DualConfig:
    """Read and check a configuration.

    :raises InputError: if the file cannot be read or is no YAML mapping.
    :raises FaultsError: with all unknown keys and all values out of range.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=FastSafeLoader)
    except OSError as exc:
        raise InputError(f"{path}: cannot be read: {exc.strerror}") from exc
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        problem = " ".join(str(exc).split())
        raise InputError(f"{path}: expected YAML, found something else: {problem}") from exc
    return config_of(content or {}, where=str(path))


def config_of(content: object, *, where: str = "configuration") -> DualConfig:
    """Check a mapping as read from YAML; what it does not say keeps its default.

    :raises InputError: if it is no mapping.
    :raises FaultsError: with all its faults.
    """
    if not isinstance(content, Mapping):
        raise InputError(f"{where}: expected keys and values, found {type(content).__name__}")
    faults: list[str] = []
    config = _section(DualConfig, content, "", faults)
    if faults:
        raise FaultsError(where, faults)
    assert isinstance(config, DualConfig)
    return config


def with_bounds(
    config: DualConfig, *, trials: int | None = None, minutes: float | None = None
) -> DualConfig:
    """Return the configuration with other bounds of its search; None keeps its own."""
    own = config.search
    return replace(
        config,
        search=SearchSettings(
            own.trials if trials is None else trials, own.minutes if minutes is None else minutes
        ),
    )


def as_content(settings: Any) -> dict[str, Any]:
    """Return settings as the mapping that `config_of` reads."""
    found: dict[str, Any] = {}
    for each in fields(settings):
        value = getattr(settings, each.name)
        if is_dataclass(value):
            value = as_content(value)
        found[_key(each)] = list(value) if isinstance(value, tuple) else value
    return found


def _section(kind: Any, content: Mapping[Any, Any], at: str, faults: list[str]) -> Any:
    known = {_key(each): each for each in fields(kind)}
    faults += _unknown(content, list(known), at)
    types, values = get_type_hints(kind), {}
    for key, each in known.items():
        if key not in content:
            continue
        value, wanted = content[key], types[each.name]
        if is_dataclass(wanted):
            if isinstance(value, Mapping):
                values[each.name] = _section(wanted, value, f"{at}{key}.", faults)
            else:
                faults.append(f"{at}{key}: expected keys and values, found {value!r:.40}")
            continue
        fault = _fault(wanted, value, each.metadata.get("range"))
        if fault:
            faults.append(f"{at}{key}: {fault}")
        else:
            values[each.name] = _converted(wanted, value)
    return kind(**values)


def _key(each: Field[Any]) -> str:
    return each.metadata.get("key") or each.name


def _unknown(content: Mapping[Any, Any], known: list[str], at: str) -> Iterator[str]:
    for key in content:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            yield f"{at}{key}: unknown key; {hint}"


def _fault(wanted: Any, value: Any, bounds: tuple[float, float] | None) -> str:
    if wanted is bool:
        return "" if isinstance(value, bool) else f"expected true or false, found {value!r:.40}"
    if wanted is str:
        return "" if isinstance(value, str) else f"expected a text, found {value!r:.40}"
    if bounds is None:
        sound = isinstance(value, list) and all(isinstance(name, str) for name in value)
        return "" if sound else f"expected a list of texts, found {value!r:.40}"
    low, high = bounds
    kinds = (int,) if wanted is int else (int, float)
    sound = isinstance(value, kinds) and not isinstance(value, bool) and low <= value <= high
    noun = "a whole number" if wanted is int else "a number"
    hint = ""
    if isinstance(value, str) and wanted is float:
        hint = " (YAML reads 1e-4 as text; write 1.0e-4)"
    return "" if sound else f"expected {noun} from {low:g} to {high:g}, found {value!r:.40}{hint}"


def _converted(wanted: Any, value: Any) -> Any:
    if wanted is float:
        return float(value)
    return tuple(value) if isinstance(value, list) else value
