"""Cut rows into batches."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def chunks(items: Iterator[T], size: int) -> Iterator[list[T]]:
    """Cut an iterator into lists of ``size``, the last one shorter."""
    while chunk := list(islice(items, size)):
        yield chunk
