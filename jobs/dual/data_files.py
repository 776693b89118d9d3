"""Write scored queries: GPU candidates of generated listings, or invented photographs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from index.artifacts import writing_file
from index.embedder import descriptor, listing_text
from index.records import Listing
from index.shipped import shipped
from jobs.workspace import Workspace, open_retriever
from rerank.dual.gpu_candidates import generated_listings, gpu_candidates
from rerank.dual.synthetic import synthetic_candidates
from rerank.dual.writing import ScoredLines
from rerank.features import CueReader
from rerank.training_evidence import Preparer

if TYPE_CHECKING:
    from index.retriever import Retriever


def write_synthetic(path: Path, n_queries: int, *, seed: int) -> None:
    """Write requests for drinks with invented photographs."""
    with writing_file(path) as draft, draft.open("w", encoding="utf-8") as file:
        file.writelines(ScoredLines().lines(synthetic_candidates(n_queries, seed=seed)))


def write_gpu(
    workspace: Workspace,
    path: Path,
    n_queries: int,
    *,
    seed: int,
    progress: Callable[[float], None] = lambda share: None,
) -> None:
    """Write generated listings with the candidates that the workspace's index proposes.

    :raises ArtifactError: if the index is damaged.
    """
    retriever, _ = open_retriever(workspace)
    write_gpu_of(retriever, path, n_queries, seed=seed, progress=progress)


def write_gpu_of(
    retriever: Retriever,
    path: Path,
    n_queries: int,
    *,
    seed: int,
    progress: Callable[[float], None] = lambda share: None,
) -> None:
    """Do so with the candidates of any retriever."""

    def encode(listings: Sequence[Listing]) -> NDArray[np.float32]:
        return retriever.embedder.encode([listing_text(listing) for listing in listings])

    gpu_vectors = retriever.embedder.encode([descriptor(record) for record in retriever.records])
    preparer = Preparer(retriever, CueReader.load(shipped("cues.yaml")))
    labelled = generated_listings(retriever.records, n_queries, seed=seed)
    writer = ScoredLines(share_vectors=True)
    parts = gpu_candidates(preparer, labelled, encode, gpu_vectors, progress=progress)
    with writing_file(path) as draft, draft.open("w", encoding="utf-8") as file:
        file.writelines(chain.from_iterable(map(writer.lines, parts)))
