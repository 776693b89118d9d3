"""A model that is being trained: what one step changes, and what the next one depends on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from index.errors import InputError
from rerank.cross_encoder.adapter import trained_parameters
from rerank.cross_encoder.negative_sampling import DrawnQuery
from rerank.cross_encoder.pair_encoding import PairEncoder, TextPair
from rerank.cross_encoder.settings import CrossEncoderSettings
from rerank.cross_encoder.torch_scorer import TorchScorer

_DROPOUT_STRIDE = 1_000_003  # a prime: runs of neighbouring seeds share no step's seed
_FIRST, _SECOND, _WEIGHTS = "exp_avg", "exp_avg_sq", "weights"


class Learner:
    """Weights and optimiser. All that a step does follows from them, its number and its queries.

    ``scorer`` scores pairs with the present weights.
    """

    def __init__(self, model: Any, encoder: PairEncoder, settings: CrossEncoderSettings) -> None:
        import torch

        self.scorer = TorchScorer(model, encoder)
        self._model, self._settings = model, settings
        self._parameters = trained_parameters(model)
        self._optimizer: Any = torch.optim.AdamW(
            list(self._parameters.values()),
            lr=settings.optimizer.learning_rate,
            weight_decay=settings.optimizer.weight_decay,
        )

    def step(self, number: int, queries: Sequence[DrawnQuery], *, rate_factor: float) -> float:
        """Change the weights once; return the loss, a mean over queries, before the change.

        :param number: of the step; dropout is drawn from it and the seed.
        :param rate_factor: what the learning rate is multiplied with.
        :raises InputError: if the loss is no finite number.
        """
        import torch

        torch.manual_seed(self._settings.seed * _DROPOUT_STRIDE + number)
        self._model.train()
        self._optimizer.zero_grad()
        size, total = self._settings.steps.batch_queries, 0.0
        for start in range(0, len(queries), size):
            part = [query for query in queries[start : start + size] if query.negatives]
            if part:
                loss = self._loss(part) / len(queries)
                loss.backward()
                total += float(loss.detach())
        if not math.isfinite(total):
            raise InputError(
                f"step {number + 1}: the loss is {total}; lower optimizer.learning_rate, found "
                f"{self._settings.optimizer.learning_rate:g}"
            )
        chosen = self._settings.optimizer
        torch.nn.utils.clip_grad_norm_(list(self._parameters.values()), chosen.max_grad_norm)
        for group in self._optimizer.param_groups:
            group["lr"] = chosen.learning_rate * rate_factor
        self._optimizer.step()
        return total

    def weights(self) -> dict[str, Any]:
        """Return a copy of the weights that are trained, by name."""
        return {name: each.detach().clone() for name, each in self._parameters.items()}

    def set_weights(self, weights: Mapping[str, Any]) -> None:
        """Put saved weights in the place of the present ones."""
        import torch

        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(weights[name])

    def state(self) -> dict[str, Any]:
        """Return all tensors that the next step depends on, by name."""
        tensors = {f"{_WEIGHTS}/{name}": each for name, each in self.weights().items()}
        for name, parameter in self._parameters.items():
            moments = self._optimizer.state.get(parameter, {})
            for kind in (_FIRST, _SECOND):
                if kind in moments:
                    tensors[f"{kind}/{name}"] = moments[kind].clone()
        return tensors

    def set_state(self, tensors: Mapping[str, Any], *, steps_done: int) -> None:
        """Go on from what `state` returned after a number of steps."""
        import torch

        self.set_weights({name: tensors[f"{_WEIGHTS}/{name}"] for name in self._parameters})
        for name, parameter in self._parameters.items():
            if f"{_FIRST}/{name}" in tensors:
                self._optimizer.state[parameter] = {
                    "step": torch.tensor(float(steps_done)),
                    _FIRST: tensors[f"{_FIRST}/{name}"].clone(),
                    _SECOND: tensors[f"{_SECOND}/{name}"].clone(),
                }

    def _loss(self, queries: Sequence[DrawnQuery]) -> Any:
        """Return the sum over queries of the mean margin loss over their pairs."""
        import torch

        texts = [
            TextPair(query.query_text, text)
            for query in queries
            for text in (*query.positives, *query.negatives)
        ]
        with torch.autocast("cpu", torch.bfloat16, enabled=self._settings.precision == "bf16"):
            scores = self.scorer.forward(texts).float()
        sizes = [len(query.positives) + len(query.negatives) for query in queries]
        losses = []
        for query, own in zip(queries, scores.split(sizes), strict=True):
            positives, negatives = own.split([len(query.positives), len(query.negatives)])
            gaps = positives[:, None] - negatives[None, :]
            losses.append(torch.relu(self._settings.loss.margin - gaps).mean())
        return torch.stack(losses).sum()
