"""Memory sizes a title states, held against those that GPUs have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from index.lexicon import Reading

Floats = NDArray[np.float32]

# Sizes of one model differ by 8 % at least; 1280 MB is written 1.25 and 1.28 GB.
_SAME_SIZE = 0.02


def stated_sizes(readings: Sequence[Reading]) -> Floats:
    """Return the sizes each title states, in GB, shape (titles, most stated), filled with NaN."""
    return padded([reading.memory_gb for reading in readings])


def padded(rows: Sequence[Sequence[float]]) -> Floats:
    """Return ragged rows as one array, filled up with NaN; one column at least."""
    width = max((len(row) for row in rows), default=0)
    out = np.full((len(rows), max(width, 1)), np.nan, np.float32)
    for at, row in enumerate(rows):
        out[at, : len(row)] = row
    return out


def same_size(stated: Floats, own: Floats | np.float32) -> NDArray[np.bool_]:
    """Return where a stated size is a GPU's own, within 2 % of it; NaN is no size."""
    return np.asarray(np.abs(stated - own) < _SAME_SIZE * own, np.bool_)


def agreement(agrees: NDArray[np.bool_], said: NDArray[np.bool_]) -> Floats:
    """Return 1 where what was said agrees, -1 where it does not, 0 where nothing was said."""
    return np.where(said, np.where(agrees, 1.0, -1.0), 0.0).astype(np.float32)


def memory_agreement(stated: Floats, memory_gb: Floats) -> Floats:
    """Return 1 where candidates have a size their listing states, -1 another, 0 if it is unsaid.

    :param stated: shape (candidates, most stated), `stated_sizes` of each candidate's listing.
    :param memory_gb: shape (candidates,).
    """
    agrees = np.any(same_size(stated, memory_gb[:, None]), axis=1)
    return agreement(np.asarray(agrees, np.bool_), ~np.isnan(stated[:, 0]))
