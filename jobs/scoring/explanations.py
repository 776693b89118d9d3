"""The column of `rerank score --explain`: what put the best candidate first and what decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import pyarrow as pa

from index.records import Listing
from index.text import normalise
from rerank.explanation import NOTHING, explain_many

if TYPE_CHECKING:
    from rerank.resolver import Resolver

_CONTRIBUTION = pa.struct(
    [
        ("feature", pa.string()),
        ("words", pa.string()),
        ("contribution", pa.float64()),
        ("value", pa.float64()),
        ("rival", pa.float64()),
    ]
)
EXPLANATION_FIELD = pa.field(
    "explanation",
    pa.struct(
        [
            ("best", pa.string()),
            ("rival", pa.string()),
            ("ranking", pa.list_(_CONTRIBUTION)),
            ("offer", pa.list_(_CONTRIBUTION)),
        ]
    ),
)
"""The fields of `rerank.explanation.Explanation`."""


def explanation_column(
    resolver: Resolver, listings: Sequence[Listing], *, faults: Mapping[int, str]
) -> pa.Array:
    """Explain the answer to each listing; those that are not resolved get an empty explanation.

    :param faults: what is wrong with a row, by its number.
    """
    explained = [NOTHING] * len(listings)
    good = [
        at for at, listing in enumerate(listings) if at not in faults and normalise(listing.title)
    ]
    found = explain_many(resolver, [listings[at] for at in good])
    for at, explanation in zip(good, found, strict=True):
        explained[at] = explanation
    return pa.array([asdict(each) for each in explained], EXPLANATION_FIELD.type)
