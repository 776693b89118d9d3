"""The workspace's own index: to add to it, it must not be the shipped one."""

from __future__ import annotations

import shutil
from pathlib import Path

from index.artifacts import Manifest, writing_folder
from index.shipped import shipped
from jobs.workspace import Workspace


def own_index(workspace: Workspace) -> Path:
    """Return the workspace's index folder, a copy of the shipped one if it had none."""
    if not workspace.index_folder.exists():
        with writing_folder(workspace.index_folder) as draft:
            shutil.copytree(shipped("index"), draft, dirs_exist_ok=True)
    return workspace.index_folder


def describe(folder: Path, manifest: Manifest) -> str:
    """Return a line that says what an index holds."""
    facts = manifest.parameters
    return (
        f"index {manifest.fingerprint} in {folder}: {facts['gpus']} GPUs of {facts['models']} "
        f"models, {facts['kind']}, embedder {facts['embedder']} ({facts['dimension']} dimensions)"
    )
