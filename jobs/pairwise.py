"""Train a pairwise ranker from a file of pairs, with the embeddings that a workspace can give."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.workspace import Workspace, open_retriever
from rerank.annotation.candidate_items import CANDIDATE_TYPE, INDEX_PREFIX
from rerank.pairwise.dataset import PairDataset, read_dataset, shown_faults
from rerank.pairwise.embedding_file import read_embeddings
from rerank.pairwise.splitting import KeptTogether
from rerank.pairwise.training import TrainingPlan, train_pairwise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MOST_NAMED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PairInput:
    """Where pairs and their embeddings come from.

    :param embeddings: JSON lines of embeddings by id; None if there is no such file.
    :param index_embeddings: whether ``index:GPU_ID`` is looked up in the index that serves.
    :param max_bad_share: share of lines that may be no pair, 0 to 1.
    """

    dataset: Path
    embeddings: Path | None = None
    index_embeddings: bool = False
    max_bad_share: float


def train_pairwise_ranker(
    workspace: Workspace,
    source: PairInput,
    plan: TrainingPlan,
    *,
    warn: Callable[[str], None] = lambda message: None,
    progress: Callable[[float], None] = lambda share: None,
) -> dict[str, Any]:
    """Read the pairs, train and write a ranker; return its metadata.

    :param warn: is told of what was left out or is odd about the data.
    :raises InputError: if the data or the plan cannot be used.
    """
    plan.check()
    dataset = read_dataset(source.dataset, max_bad_share=source.max_bad_share)
    for fault in shown_faults(dataset.malformed):
        warn(f"left out: {fault}")
    if plan.embedding_dim != 0:
        dataset = _with_embeddings(workspace, source, dataset, warn)
    metadata = train_pairwise(dataset, plan, progress=progress)
    for message in oddities(metadata):
        warn(message)
    return metadata


def index_vectors(
    workspace: Workspace, embedding_ids: Collection[str]
) -> dict[str, NDArray[np.float32]]:
    """Return the vectors of ``index:GPU_ID`` in the index that serves; others are left out."""
    wanted = {i.removeprefix(INDEX_PREFIX) for i in embedding_ids if i.startswith(INDEX_PREFIX)}
    if not wanted:
        return {}
    from index.embedder import descriptor

    retriever, _ = open_retriever(workspace)
    records = [record for record in retriever.records if record.gpu_id in wanted]
    vectors = retriever.embedder.encode([descriptor(record) for record in records])
    names = (INDEX_PREFIX + record.gpu_id for record in records)
    return dict(zip(names, vectors, strict=True))


def oddities(metadata: Mapping[str, Any]) -> list[str]:
    """Return what a person should know of the data a ranker was trained on, a line each."""
    features, dataset = metadata["features"], metadata["dataset"]
    found = []
    for what, names in (
        ("are constant and were neutralised", features["constant"]),
        ("are missing of some items, which an input of their own says", features["missing"]),
        ("are not finite in some items, where the mean stands for them", features["non_finite"]),
    ):
        if names:
            shown = ", ".join(list(names)[:_MOST_NAMED])
            more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
            found.append(f"metrics that {what}: {shown}{more}")
    for what in ("embeddings_missing", "embeddings_non_finite", "embedding_columns_constant"):
        if features[what]:
            found.append(f"{what.replace('_', ' ')}: {features[what]}")
    if not dataset["validation_pairs"]:
        found.append("no pairs were held out: figures are of the training pairs, none stopped it")
    elif dataset["kept_together"] == KeptTogether.PAIRS.value:
        found.append(
            "nearly all items hang together by their pairs: held-out pairs are new, their "
            "items are not"
        )
    if CANDIDATE_TYPE in dataset["item_types"] and metadata["embedding_dim"]:
        found.append(
            "candidates of listings are ranked by their metrics only: to serve there, "
            "train with --embedding-dim 0"
        )
    return found


def _with_embeddings(
    workspace: Workspace, source: PairInput, dataset: PairDataset, warn: Callable[[str], None]
) -> PairDataset:
    vectors: dict[str, NDArray[np.float32]] = {}
    if source.embeddings is not None:
        vectors |= read_embeddings(source.embeddings)
    if source.index_embeddings:
        vectors |= index_vectors(workspace, dataset.embedding_ids - vectors.keys())
    resolved = dataset.with_embeddings(vectors)
    unknown = resolved.embedding_ids
    if not vectors:  # candidates name the index's vectors, and are best ranked without them
        unknown = {name for name in unknown if not name.startswith(INDEX_PREFIX)}
    if unknown:
        remedy = "give them with --embeddings" if source.embeddings is None else "correct the file"
        warn(
            f"{len(unknown)} embeddings named by their id are not known, such as "
            f"{min(unknown)!r:.80}; {remedy}"
        )
    return resolved
