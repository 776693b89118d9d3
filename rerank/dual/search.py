"""Search for settings with Optuna on the validation split; a journal lets it go on later."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from index.errors import ArtifactError, MismatchError, MissingExtraError
from rerank.dual.config import DualConfig, as_content
from rerank.dual.figures import outcomes_of
from rerank.dual.fitting import DualData, fit_system
from rerank.dual.journal_lock import JournalLock

JOURNAL = "search.jsonl"
_OBJECTIVE = "ndcg_at_10"
_DATA = "searched"
_JOURNAL_BEGINS = b'{"op_code"'


def search(
    data: DualData,
    config: DualConfig,
    journal: Path,
    *,
    progress: Callable[[str, float], None] = lambda stage, share: None,
) -> tuple[DualConfig, dict[str, Any]]:
    """Return the configuration with the best settings found, and what was tried.

    Each trial trains on the training split and is judged by nDCG@10 on the validation split, by
    Optuna's TPE (Bergstra et al., Algorithms for Hyper-Parameter Optimization, 2011). Trials of a
    journal that is there count: with 20 of 30 done, 10 follow. What a trial draws follows from the
    seed and the trials completed before it, so a search that was stopped goes on as if it had not
    been.

    :param journal: a file of JSON lines, made if it is not there.
    :raises ArtifactError: if the journal is none.
    :raises MismatchError: if it is of other data or another configuration.
    :raises MissingExtraError: if Optuna is not installed.
    """
    study = _study(journal, data, config)
    bounds = config.search
    ends = time.monotonic() + bounds.minutes * 60 if bounds.minutes else math.inf
    done = _completed(study)
    while (not bounds.trials or len(done) < bounds.trials) and time.monotonic() < ends:
        progress("searching settings", len(done) / (bounds.trials or len(done) + 1))
        _try_settings(study, data, config, seed=config.seed + len(done))
        done = _completed(study)
    report: dict[str, Any] = {"objective": _OBJECTIVE, "trials": len(done), "best": None}
    if not done:
        return config, report
    best = study.best_trial
    report["best"] = {"number": best.number, "value": round(best.value, 4), "settings": best.params}
    return _with(config, best.params), report


def _try_settings(study: Any, data: DualData, config: DualConfig, *, seed: int) -> None:
    import optuna

    # Trials come one after the other: one that still runs was killed, and tells nothing.
    study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=False)
    trial = study.ask()
    study.tell(trial, _validation_gain(data, _suggested(trial, config)))


def _study(journal: Path, data: DualData, config: DualConfig) -> Any:
    try:
        import optuna
    except ImportError as exc:
        raise MissingExtraError(
            "searching settings needs Optuna: install it with `pip install 'rerank[neural]'`, or "
            "set search.trials and search.minutes to 0"
        ) from exc
    optuna.logging.set_verbosity(logging.WARNING)
    study = _opened(journal)
    fingerprint = _fingerprint(data, config)
    known = study.user_attrs.get(_DATA)
    if known is None:
        study.set_user_attr(_DATA, fingerprint)
    elif known != fingerprint:
        raise MismatchError(
            f"{journal}: is a search over other data or another configuration ({known}, now "
            f"{fingerprint}); remove it or choose another output"
        )
    return study


def _opened(journal: Path) -> Any:
    """Return the study of a journal, or a new one."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    journal.parent.mkdir(parents=True, exist_ok=True)
    _cut_unfinished_line(journal)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            lock: Any = JournalLock(journal)
            storage = JournalStorage(JournalFileBackend(str(journal), lock_obj=lock))
            return optuna.create_study(
                storage=storage,
                study_name="train-dual",
                direction="maximize",
                load_if_exists=True,
            )
        except (ValueError, KeyError, TypeError) as exc:
            raise ArtifactError(
                f"{journal}: expected Optuna's journal, found something else ({exc}); remove it "
                "or choose another output"
            ) from exc


def _cut_unfinished_line(journal: Path) -> None:
    """Drop a last line that a run which was killed, or a full disk, left without its end: Optuna
    would append to it, and no longer read the journal.
    """
    if not journal.is_file():
        return
    content = journal.read_bytes()
    if content.startswith(_JOURNAL_BEGINS) and not content.endswith(b"\n"):
        os.truncate(journal, content.rfind(b"\n") + 1)


def _completed(study: Any) -> list[Any]:
    return [trial for trial in study.trials if trial.state.name == "COMPLETE"]


def _suggested(trial: Any, config: DualConfig) -> DualConfig:
    return _with(
        config,
        {
            "hidden": trial.suggest_categorical("hidden", [16, 32, 64, 128]),
            "layers": trial.suggest_int("layers", 1, 3),
            "dropout": trial.suggest_float("dropout", 0.0, 0.4),
            "learning_rate": trial.suggest_float("learning_rate", 3e-4, 2e-2, log=True),
            "weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True),
            "batch_queries": trial.suggest_categorical("batch_queries", [32, 64, 128]),
            "conflict_weight": trial.suggest_float("conflict_weight", 0.1, 3.0, log=True),
        },
    )


def _with(config: DualConfig, settings: dict[str, Any]) -> DualConfig:
    network = {name: own for name, own in settings.items() if name in asdict(config.network)}
    training = {name: own for name, own in settings.items() if name in asdict(config.training)}
    return replace(
        config,
        network=replace(config.network, **network),
        training=replace(config.training, **training),
    )


def _validation_gain(data: DualData, config: DualConfig) -> float:
    columns = np.arange(len(data.schema.inputs))
    system = fit_system(data, config.network, config.training, columns=columns, seed=config.seed)
    rows = data.rows.validation
    outcomes = outcomes_of(data.splits.validation, system.score(rows).score, rows.label, None)
    return float(outcomes.by_query[_OBJECTIVE].mean())


def _fingerprint(data: DualData, config: DualConfig) -> str:
    """Return what a search is of: training and validation rows, and all settings but its bounds."""
    content = {
        name: own
        for name, own in as_content(config).items()
        if name not in ("search", "data", "output", "evaluation")
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for rows in (data.rows.train, data.rows.validation):
        for column in rows:
            digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()[:16]
