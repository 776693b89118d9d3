"""Listings answered by an invented champion and challengers, good and bad, for canaries."""

from __future__ import annotations

import numpy as np

from rerank.evaluation.paired import Decided, PairedCounts, paired_counts
from rerank.lifecycle.canary import CanaryOutcome, CanarySettings, CanaryState, look
from rerank.lifecycle.versions import VersionRef

CHAMPION, CHALLENGER = VersionRef("ltr", "shipped"), VersionRef("ltr", "b" * 16)


def new_canary(settings=None) -> CanaryState:
    return CanaryState("test", CHALLENGER, CHAMPION, "salt", settings or CanarySettings())


def decided(probability):
    return Decided(probability, probability >= 0.9, probability < 0.1)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Traffic:
    """A champion like the shipped model: two thirds accepted, a third refused, few between.

    A challenger is its log-odds with noise, a shift, a share of acceptances it drops, a factor of
    time and a share of errors.
    """

    def __init__(self, seed, *, noise=0.3, shift=0.0, dropped=0.0, slower=1.0, failing=0.0):
        self.random = np.random.default_rng(seed)
        self.noise, self.shift, self.dropped = noise, shift, dropped
        self.slower, self.failing = slower, failing

    def group(self, n) -> PairedCounts:
        draw = self.random
        sells = draw.random(n) < 0.68
        odds = np.where(sells, draw.normal(5, 1.5, n), draw.normal(-5, 1.5, n))
        other = odds + self.shift + draw.normal(0, self.noise, n)
        champion, challenger = sigmoid(odds), sigmoid(other)
        drops = (draw.random(n) < self.dropped / 0.65) & (champion >= 0.9)
        challenger = np.where(drops, np.minimum(challenger, 0.85), challenger)
        failed = draw.random(n) < self.failing
        ratio = self.slower * np.exp(draw.normal(0, 0.25))
        return paired_counts(decided(champion), decided(challenger), failed, ratio=ratio)


def run_canary(traffic, settings=None):
    """Return how a canary ends, and after how many listings that both models were asked."""
    state = new_canary(settings)
    while True:
        window = PairedCounts()
        while window.listings < state.settings.window_listings:
            window += traffic.group(state.settings.group)
        seen = look(state, window)
        if seen.outcome in (CanaryOutcome.BREACHED, CanaryOutcome.PASSED):
            return seen
        state = seen.state
