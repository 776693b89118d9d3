"""What commands say of an index, and what they find in it by words."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rerank.index.artifacts import Manifest, writing_folder
from rerank.index.records import GpuRecord, shipped
from rerank.index.text import normalise, runs, squash
from rerank.workspace import Workspace

if TYPE_CHECKING:
    pass


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


_SHORTEST_CODE = 4  # letters and digits: fewer begin part numbers by chance


def find_by_words(records: Sequence[GpuRecord], query: str) -> list[GpuRecord]:
    """Return the GPUs of whose names each word of a query begins a word.

    A name is the model, the aliases, the memory size and the form factor; so `406` and `4060 16`
    find an RTX 4060 Ti with 16 GB. A query of four signs or more that begins a part number finds
    its GPU too. Names with the fewest other words come first, equals in the order of the registry.
    """
    wanted = [run.text for run in runs(normalise(query))]
    if not wanted:
        return []
    code = "".join(wanted)
    found = []
    for at, record in enumerate(records):
        name = (record.model, *record.aliases, f"{record.memory_gb:g} gb", record.form_factor)
        held = {run.text for run in runs(normalise(" ".join(name)))}
        if all(any(word.startswith(start) for word in held) for start in wanted) or (
            len(code) >= _SHORTEST_CODE
            and any(squash(number).startswith(code) for number in record.part_numbers)
        ):
            found.append((len(runs(normalise(record.model))), at))
    return [records[at] for _, at in sorted(found)]
