"""Pairwise ranking: learn from pairs of items which is better; then score, compare, rank."""

from rerank.pairwise.candidate_ranker import PairwiseCandidateRanker
from rerank.pairwise.items import PairItem
from rerank.pairwise.ranker import Comparison, PairwiseRanker, RankedItem

__all__ = ["Comparison", "PairItem", "PairwiseCandidateRanker", "PairwiseRanker", "RankedItem"]
