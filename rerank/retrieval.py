"""What ranking needs of retrieval, as protocols: it works with any source of candidates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from index.lexicon import Reading
from index.name_evidence import NameEvidence
from index.records import GpuRecord, Listing

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


class Candidates(Protocol):
    """Candidates of a batch of listings; listing i owns rows offsets[i]:offsets[i + 1]."""

    @property
    def readings(self) -> Sequence[Reading]:
        """What each title shows."""

    @property
    def names(self) -> NameEvidence:
        """How well each named model fits its mention."""

    @property
    def offsets(self) -> Ints:
        """Shape (listings + 1,)."""

    @property
    def record(self) -> Ints:
        """Shape (rows,): registry row of each candidate."""

    @property
    def similarity(self) -> Floats:
        """Shape (rows,): cosine of listing and candidate."""

    @property
    def listing(self) -> Ints:
        """Shape (rows,): listing of each candidate."""


class ModelTable(Protocol):
    """The registry's models as arrays."""

    @property
    def records(self) -> Sequence[GpuRecord]:
        """All variants."""

    @property
    def model_of_record(self) -> NDArray[np.int32]:
        """Shape (records,): number of each variant's model."""

    @property
    def n_models(self) -> int:
        """Number of models."""

    @property
    def before_mask(self) -> NDArray[np.uint64]:
        """Shape (models, mask words): line words."""

    @property
    def after_mask(self) -> NDArray[np.uint64]:
        """Shape (models, mask words): suffixes."""

    @property
    def variant_rank(self) -> NDArray[np.float32]:
        """Shape (records,): place of each variant among its model's, 0 the most common."""

    @property
    def tie_rank(self) -> NDArray[np.int64]:
        """Shape (records,): place of each variant by gpu_id; orders equal scores."""

    def mask_words(self, masks: Sequence[int]) -> NDArray[np.uint64]:
        """Return masks as an array of shape (masks, mask words)."""


class Retriever(Protocol):
    """Proposes candidates."""

    @property
    def table(self) -> ModelTable:
        """The models candidates come from."""

    def retrieve(self, listings: Sequence[Listing], *, n_candidates: int = 20) -> Candidates:
        """Return up to ``n_candidates`` variants of each listing."""
