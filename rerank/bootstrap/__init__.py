"""Generated training listings: every GPU of a registry, sold and merely mentioned."""

from __future__ import annotations

from rerank.bootstrap.generator import generate
from rerank.bootstrap.listing import LabelledListing

__all__ = ["LabelledListing", "generate"]
