"""Write the card of the model that ships: ``python -m jobs.lifecycle.shipped_card``.

A version that `rerank train-ltr` wrote brings its card along. This makes the card anew where the
model stays and what the card tells of changes: the shipped index, the grammar of generated
listings, or what cards hold. The model's fingerprint covers no card, so it stays as well.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from index.shipped import shipped
from jobs.lifecycle.training_cards import Learnt, trained_card
from jobs.workspace import Workspace, open_retriever
from rerank.lifecycle.versions import SHIPPED_MODEL, Card
from rerank.model import RerankModel

_MAKER = "rerank"  # a release has no user


def shipped_card() -> Card:
    """Try the model that ships over the index that ships and return its card.

    :raises ArtifactError: if one of them is damaged.
    """
    folder = shipped("model")
    with tempfile.TemporaryDirectory() as empty:
        retriever, index = open_retriever(Workspace(Path(empty)))
        seed = RerankModel.load(folder).parameters["training"]["seed"]
        learnt = Learnt(retriever, index, seed)
        card = trained_card(folder, SHIPPED_MODEL.kind, learnt, parent=None)
    return replace(card, created_by=_MAKER, code_version=version("rerank"))


if __name__ == "__main__":
    shipped_card().write(shipped("model"))
