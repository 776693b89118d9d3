"""What a model folder's ranker costs: the bytes that serve it and the seconds that made it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from index.artifacts import read_manifest
from rerank.cross_encoder import layout as cross_encoder
from rerank.dual import model as dual
from rerank.model import FORMAT_VERSION, REMEDY, ranker_in
from rerank.pairwise.artifact import Layout, read_ranker
from rerank.ranker_folder import RankerFolder, RankerKind


@dataclass(frozen=True, slots=True)
class RankerCosts:
    """Of a ranker and what decides on its scores.

    :param kind: what orders candidates.
    :param variant: a word on how it was trained, such as ``QLoRA``; empty if there is but one way.
    :param size_bytes: of the files that are read to order candidates; what decides is left out,
        since it is alike for all rankers.
    :param training_seconds: of the ranker and of what decides; None if one was not recorded.
    """

    kind: RankerKind
    variant: str
    size_bytes: int
    training_seconds: float | None


def ranker_costs(folder: Path) -> RankerCosts:
    """Return the costs of a model folder, LambdaRank's or what `rerank train-decision` wrote.

    :raises ArtifactError: if it is missing or damaged.
    """
    manifest = read_manifest(folder, kind="ranker", format_version=FORMAT_VERSION, remedy=REMEDY)
    found = ranker_in(folder, manifest)
    if not isinstance(found, RankerFolder):
        return RankerCosts(RankerKind.LTR, "", _size([found]), manifest.seconds)
    own = trained_costs(found)
    return replace(own, training_seconds=both(own.training_seconds, manifest.seconds))


def trained_costs(ranker: RankerFolder) -> RankerCosts:
    """Return the costs of a ranker as its training wrote it, without what decides.

    :raises ArtifactError: if it is missing or damaged.
    """
    files, seconds, variant = _of_folder(ranker)
    return RankerCosts(ranker.kind, variant, _size(files), seconds)


def both(seconds: float | None, others: float | None) -> float | None:
    """Return the sum of two times, None if one is not known."""
    return None if seconds is None or others is None else seconds + others


def _of_folder(ranker: RankerFolder) -> tuple[list[Path], float | None, str]:
    """Return what is read to score, the seconds of training and the variant."""
    folder = ranker.folder
    if ranker.kind is RankerKind.PAIRWISE:
        stored = read_ranker(folder)
        layout = Layout(stored.name)
        files = [folder / layout.scorer, folder / layout.metadata]
        return files, stored.metadata.get("training_time"), ""
    if ranker.kind is RankerKind.DUAL:
        manifest = read_manifest(
            folder, kind=dual.KIND, format_version=dual.FORMAT_VERSION, remedy=dual.REMEDY
        )
        return [folder / name for name in dual.FILES], manifest.seconds, ""
    manifest = read_manifest(
        folder,
        kind=cross_encoder.KIND,
        format_version=cross_encoder.FORMAT_VERSION,
        remedy=cross_encoder.REMEDY,
    )
    served = (cross_encoder.LAYOUT.graph, cross_encoder.LAYOUT.tokenizer)
    quantised = manifest.parameters["settings"]["quantization"] == "nf4"
    return [folder / name for name in served], manifest.seconds, "QLoRA" if quantised else "LoRA"


def _size(files: list[Path]) -> int:
    return sum(file.stat().st_size for file in files)
