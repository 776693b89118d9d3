"""Go on from a trained network: its weights, its columns and how it prepares them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from index.errors import ArtifactError, InputError, MismatchError
from rerank.pairwise.artifact import Layout
from rerank.pairwise.feature_space import EMBEDDING, FeatureSpace
from rerank.pairwise.items import PairItem
from rerank.pairwise.network import (
    INVERSE_SCALE,
    LAYERS,
    MEAN,
    Weights,
    load_state,
)
from rerank.pairwise.parameters import PairwiseParameters


@dataclass(frozen=True, slots=True, eq=False)
class Continued:
    """A network to go on from.

    :param space: its columns; their scaling stays, because the weights are in its units.
    :param described: which file it was: name and sha256.
    """

    weights: Weights
    space: FeatureSpace
    described: dict[str, str]

    @classmethod
    def read(cls, path: Path) -> Continued:
        """Read ``NAME.pth`` and the ``NAME_metadata.json`` beside it.

        :raises InputError: if the file has another ending.
        :raises ArtifactError: if one of them is missing, damaged or not of the other.
        """
        if path.suffix != ".pth":
            raise InputError(f"{path}: expected the NAME.pth of a pairwise ranker to go on from")
        beside = path.with_name(Layout(path.stem).metadata)
        try:
            said: dict[str, Any] = json.loads(beside.read_text(encoding="utf-8"))
            names = tuple(said["feature_names"])
            dim, indicators = int(said["embedding_dim"]), list(said["indicators"])
            columns = [
                0 if name == EMBEDDING and dim and name not in names else dim + names.index(name)
                for name in indicators
            ]
        except (OSError, ValueError, TypeError, KeyError) as exc:
            raise ArtifactError(
                f"{beside}: expected the metadata of {path.name}, found something else "
                f"({type(exc).__name__}: {exc}); keep the two files together"
            ) from exc
        state = load_state(path)
        mean, inverse_scale = state.pop(MEAN), state.pop(INVERSE_SCALE)
        space = FeatureSpace(names, dim, tuple(columns), mean, inverse_scale)
        takes = state[f"{LAYERS[0]}.weight"].shape[1]
        if len(mean) != space.width or takes != space.n_inputs:
            raise ArtifactError(
                f"{path}: a network of {takes} inputs, {space.n_inputs} by its metadata; keep the "
                "two files together"
            )
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        return cls(state, space, {"name": path.stem, "sha256": sha256})

    def space_for(
        self, items: Sequence[PairItem], embedding_dim: int, parameters: PairwiseParameters
    ) -> FeatureSpace:
        """Return the columns, if the network can be taught with these items.

        :raises MismatchError: if they have other metrics or embeddings than it reads, or it has
            another hidden layer than asked for.
        """
        hidden_dim = len(self.weights[f"{LAYERS[0]}.bias"])
        unknown = {
            name: None
            for item in items
            for name in item.metrics
            if name not in self.space.metric_names
        }
        anew = "train a new one without --continue-from"
        own_dim = self.space.embedding_dim
        for what, expected, found, remedy in (
            (
                "embeddings of length",
                own_dim,
                embedding_dim,
                anew if own_dim else "leave them out with --embedding-dim 0",
            ),
            (
                "a hidden layer of",
                hidden_dim,
                parameters.hidden_dim,
                f"give --hidden-dim {hidden_dim}, or {anew}",
            ),
            ("unknown metrics", 0, len(unknown), anew),
        ):
            if expected != found:
                named = f" ({', '.join(list(unknown)[:6])})" if what == "unknown metrics" else ""
                raise MismatchError(
                    f"{self.described['name']}.pth: expected {what} {expected}, as it was trained "
                    f"with, got {found}{named}; {remedy}"
                )
        return self.space
