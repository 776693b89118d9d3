"""Count how a workspace's answers are spread, with what its embedder and registry know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from index.records import Listing
    from index.retriever import Retriever
    from rerank.lifecycle.distribution import Distribution, TitleReader
    from rerank.resolver import Resolver


def title_reader(retriever: Retriever) -> TitleReader:
    """Return what reads titles for what the retriever does not know.

    Only a static embedder says which words it knows.
    """
    from index.embedder import StaticEmbedder
    from rerank.lifecycle.distribution import TitleReader

    embedder = retriever.embedder
    words = embedder.words if isinstance(embedder, StaticEmbedder) else None
    return TitleReader(retriever.lexicon, words)


def answer_distribution(
    retriever: Retriever, resolver: Resolver, listings: Sequence[Listing]
) -> Distribution:
    """Resolve listings and return how they and their answers are spread: what a card keeps.

    :param resolver: on the retriever.
    """
    from rerank.lifecycle.distribution import distribution_of, resolved_rows

    rows = resolved_rows(resolver, listings)
    return distribution_of(rows, title_reader(retriever), retriever.lexicon)
