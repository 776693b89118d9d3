"""Which GPU is it, and how sure? Features, rankers, calibration and decisions."""

from rerank.resolution import Decision, Resolution, ScoredCandidate

__all__ = ["Decision", "Resolution", "ScoredCandidate"]
