"""Which listings a challenger answers: decided by the listing's id alone.

The same id and salt give the same arm in every run, on every machine and release of Python. As the
share grows, listings join the challenger's arm; none leaves it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_RANGE = 2**64


def positions(listing_ids: Sequence[str], salt: str) -> NDArray[np.uint64]:
    """Return where listings lie in the range of arms, shape (listings,), even over 64 bits.

    The first 8 bytes, big endian, of sha256(salt, a zero byte, id).

    :param salt: another one gives another split, independent of the first.
    """
    start = hashlib.sha256(_bytes(salt) + b"\0")
    found = np.empty(len(listing_ids), np.uint64)
    for at, listing_id in enumerate(listing_ids):
        digest = start.copy()
        digest.update(_bytes(listing_id))
        found[at] = int.from_bytes(digest.digest()[:8], "big")
    return found


def below(found: NDArray[np.uint64], share: float) -> NDArray[np.bool_]:
    """Return which positions lie in the first ``share`` of the range.

    :param share: 0 to 1; 0 takes none, 1 all of them.
    """
    bound = int(share * _RANGE)  # exact: a float times a power of two
    if bound >= _RANGE:
        return np.ones(len(found), np.bool_)
    return np.asarray(found < np.uint64(bound), np.bool_)


def arm_of(listing_ids: Sequence[str], salt: str, share: float) -> NDArray[np.bool_]:
    """Return which listings fall to the challenger, shape (listings,).

    :param share: of all ids, 0 to 1.
    """
    return below(positions(listing_ids, salt), share)


def _bytes(text: str) -> bytes:
    """Return text as UTF-8; half of a surrogate pair, which JSON can spell, keeps its own bytes."""
    return text.encode("utf-8", "surrogatepass")
