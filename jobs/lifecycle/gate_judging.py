"""Let the gates judge a version before it may serve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from jobs.lifecycle.promoting import Judged
from jobs.workspace import Workspace
from rerank.lifecycle.versions import VersionRef

_SETTINGS = Path("configs") / "promotion.yaml"


def judged_by_gates(
    workspace: Workspace,
    candidate: VersionRef,
    champion: VersionRef,
    settings: Path | None,
    gold: Sequence[Path],
    progress: Callable[[str, float], None],
) -> tuple[str, Judged]:
    """Return the gates with their figures as text, and what the history keeps of them.

    :param settings: None for those of the folder this runs in, else the defaults.
    :raises ArtifactError: if the candidate is damaged or does not fit the index.
    :raises FaultsError: if the settings are faulty.
    """
    from jobs.lifecycle.judging import judge
    from jobs.lifecycle.verdict_text import verdict_text
    from rerank.lifecycle.promotion_settings import PromotionSettings, read_promotion_settings

    path = settings or (_SETTINGS if _SETTINGS.is_file() else None)
    chosen = PromotionSettings() if path is None else read_promotion_settings(path)
    verdict = judge(workspace, candidate, champion, chosen, gold=gold, progress=progress)
    gates = [gate.as_dict() for gate in verdict.gates]
    return verdict_text(verdict), Judged(gates, verdict.metrics, verdict.failed)
