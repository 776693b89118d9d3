"""The learning rate over the steps."""

from __future__ import annotations

import math

from rerank.cross_encoder.settings import ScheduleSettings


def rate_factor(step: int, n_steps: int, settings: ScheduleSettings) -> float:
    """Return what the learning rate is multiplied with in a step, in (0, 1].

    It rises to 1 in equal parts over the warmup; then it stays (constant), falls in equal parts
    (linear) or as half a cosine wave (cosine) towards 0, which it would reach after the last step.

    :param step: counted from 0.
    """
    warmup = round(n_steps * settings.warmup_share)
    if step < warmup:
        return (step + 1) / warmup
    if settings.name == "constant":
        return 1.0
    done = (step - warmup) / max(1, n_steps - warmup)
    return 1.0 - done if settings.name == "linear" else (1.0 + math.cos(math.pi * done)) / 2
