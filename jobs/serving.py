"""What commands say of an index, and the workspace's own copy of it."""

from __future__ import annotations

import shutil
from pathlib import Path

from rerank.index.artifacts import Manifest, writing_folder
from rerank.index.records import shipped
from rerank.workspace import Workspace


def own_index(workspace: Workspace) -> Path:
    """Return the workspace's index folder, a copy of the shipped one if it had none."""
    if not workspace.index_folder.exists():
        with writing_folder(workspace.index_folder) as draft:
            shutil.copytree(shipped("index"), draft, dirs_exist_ok=True)
    return workspace.index_folder


def describe(folder: Path, manifest: Manifest) -> str:
    """Return a line that says what an index holds."""
    facts = manifest.parameters
    if "many" in facts:
        models = f" of {facts['models']} models" if facts["models"] < facts["products"] else ""
        return (
            f"index {manifest.fingerprint} in {folder}: {facts['products']} {facts['many']}"
            f"{models}, pack {facts['pack']}, {facts['listings']} listings to learn from"
        )
    return (
        f"index {manifest.fingerprint} in {folder}: {facts['gpus']} GPUs of {facts['models']} "
        f"models, {facts['kind']}, embedder {facts['embedder']} ({facts['dimension']} dimensions)"
    )
