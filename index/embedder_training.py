"""Train the default embedder: a static token table, contrastive, on (listing, descriptor) pairs.

The method is sentence-transformers' StaticEmbedding with MultipleNegativesRankingLoss: in each
batch the other descriptors are the negatives. torch is imported here and nowhere on the way to
an answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.index.artifacts import silence_libraries
from rerank.index.embedder import CONTINUATION, UNKNOWN, save_static_embedder, wordpiece_vocabulary
from rerank.index.errors import InputError

_LONGEST_TOKEN = 24


@dataclass(frozen=True, slots=True)
class EmbedderParameters:
    """How the embedder is trained; stored in its manifest."""

    dimension: int = 256
    vocabulary: int = 8000
    epochs: int = 4
    batch_size: int = 512
    learning_rate: float = 0.02
    scale: float = 20.0
    seed: int = 7


def train_embedder(
    pairs: Sequence[tuple[str, str, str]],
    corpus: Sequence[str],
    folder: Path,
    parameters: EmbedderParameters | None = None,
    *,
    progress: Callable[[float], None] = lambda share: None,
) -> list[float]:
    """Train on pairs and write an embedder folder; return the mean loss of each epoch.

    :param pairs: (model, listing text, descriptor); texts as `rerank.index.embedder` makes them.
        One
        batch holds each model once, so that no descriptor is its own negative.
    :param corpus: texts from which the vocabulary is learned.
    :raises InputError: if there are fewer than two models in the pairs.
    """
    parameters = parameters or EmbedderParameters()
    if len({model for model, _, _ in pairs}) < 2:
        raise InputError("training an embedder needs pairs of at least two models")
    tokenizer = _train_tokenizer(corpus, parameters.vocabulary)
    table, losses = _fit(pairs, tokenizer, parameters, progress)
    save_static_embedder(
        table,
        tokenizer.to_str(),
        folder,
        {**asdict(parameters), "pairs": len(pairs), "loss": [round(x, 4) for x in losses]},
    )
    return losses


def _train_tokenizer(corpus: Sequence[str], vocabulary: int) -> Any:
    """Learn a WordPiece vocabulary over the words of a corpus."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    pieces = wordpiece_vocabulary(corpus, vocabulary)
    tokenizer = Tokenizer(
        models.WordPiece(
            {piece: at for at, piece in enumerate(pieces)},
            unk_token=UNKNOWN,
            max_input_chars_per_word=_LONGEST_TOKEN,
            continuing_subword_prefix=CONTINUATION,
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def _fit(
    pairs: Sequence[tuple[str, str, str]],
    tokenizer: Any,
    parameters: EmbedderParameters,
    progress: Callable[[float], None],
) -> tuple[NDArray[np.float32], list[float]]:
    import torch

    silence_libraries()
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    torch.manual_seed(parameters.seed)
    rng = np.random.default_rng(parameters.seed)
    module = StaticEmbedding(tokenizer, embedding_dim=parameters.dimension)
    model = SentenceTransformer(modules=[module], device="cpu")
    loss_of = MultipleNegativesRankingLoss(model, scale=parameters.scale)
    module.embedding.sparse = True  # a batch touches a tenth of the table: a third of the time
    optimiser: Any = torch.optim.SparseAdam(module.parameters(), lr=parameters.learning_rate)
    per_epoch = [_batches(pairs, parameters.batch_size, rng) for _ in range(parameters.epochs)]
    steps = sum(map(len, per_epoch))
    done, losses = 0, []
    for batches in per_epoch:
        total = 0.0
        for batch in batches:
            rate = parameters.learning_rate * (1 - done / steps)
            for group in optimiser.param_groups:
                group["lr"] = rate
            columns = ([pairs[i][1] for i in batch], [pairs[i][2] for i in batch])
            loss = loss_of([model.preprocess(texts) for texts in columns], None)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += float(loss.detach())
            done += 1
            progress(done / steps)
        losses.append(total / max(1, len(batches)))
    return module.embedding.weight.detach().numpy().astype(np.float32), losses


def _batches(
    pairs: Sequence[tuple[str, str, str]], size: int, rng: np.random.Generator
) -> list[list[int]]:
    """Shuffle pairs into batches in which every model occurs once."""
    seen: dict[str, int] = defaultdict(int)
    rounds: dict[int, list[int]] = defaultdict(list)
    for at in rng.permutation(len(pairs)).tolist():
        model = pairs[at][0]
        rounds[seen[model]].append(at)
        seen[model] += 1
    waiting = [at for number in sorted(rounds) for at in rounds[number]]
    batches: list[list[int]] = []
    while waiting:
        batch: dict[str, int] = {}
        taken = 0
        for at in waiting:
            if pairs[at][0] in batch:
                break
            batch[pairs[at][0]] = at
            taken += 1
            if taken == size:
                break
        batches.append(list(batch.values()))
        waiting = waiting[taken:]
    return [batch for batch in batches if len(batch) > 1]
