"""Which GPU is it, and how sure? Features, rankers, calibration and decisions."""

from rerank.resolver import Decision, Resolution, Resolver, ScoredCandidate, predict_match_score

__all__ = ["Decision", "Resolution", "Resolver", "ScoredCandidate", "predict_match_score"]
