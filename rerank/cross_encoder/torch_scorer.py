"""Score pairs with a torch model: in training, and to compare what was saved with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.cross_encoder.base_model import reads_token_types
from rerank.cross_encoder.pair_encoding import PairEncoder, TextPair

_BATCH = 64


class TorchScorer:
    """A model with the encoder of its pairs."""

    def __init__(self, model: Any, encoder: PairEncoder) -> None:
        self.model, self._encoder = model, encoder
        self._token_types = reads_token_types(model)

    def forward(self, pairs: Sequence[TextPair]) -> Any:
        """Return a tensor of scores, shape (pairs,), in the mode and precision that are set."""
        import torch

        arrays = dict(self._encoder.encode(pairs))
        if not self._token_types:
            del arrays["token_type_ids"]
        feed = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return self.model(**feed).logits.squeeze(-1)

    def score(self, pairs: Sequence[TextPair]) -> NDArray[np.float32]:
        """Score pairs without dropout, in fp32; shape (pairs,)."""
        import torch

        self.model.eval()
        scores = np.zeros(len(pairs), np.float32)
        order = sorted(range(len(pairs)), key=lambda at: sum(map(len, pairs[at])))
        with torch.no_grad():
            for start in range(0, len(pairs), _BATCH):
                rows = order[start : start + _BATCH]
                scores[rows] = self.forward([pairs[row] for row in rows]).numpy()
        return scores
