"""Folders of pairwise rankers: one or several by name, and which of them serves.

NAME.pth             state dict of tensors, to train on from
NAME.onnx            input_a, input_b -> score_diff
NAME_scorer.onnx     input -> score
NAME_metadata.json   configuration, columns, loss history, figures
active_model.json    which NAME serves; the one file that may be edited
manifest.json        sha256 of all others
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from index.artifacts import MANIFEST, read_manifest, write_manifest, writing_folder
from index.errors import ArtifactError, InputError
from rerank.pairwise.network import Weights, save_state

FORMAT_VERSION = 1
KIND = "pairwise ranker"
REMEDY = "rerank train-pairwise"
ACTIVE = "active_model.json"
LIBRARIES = ("numpy", "onnx", "onnxruntime", "torch")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SCORER = "_scorer"


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of one ranker."""

    name: str

    @property
    def network(self) -> str:
        """The state dict."""
        return f"{self.name}.pth"

    @property
    def comparer(self) -> str:
        """The graph of pairs."""
        return f"{self.name}.onnx"

    @property
    def scorer(self) -> str:
        """The graph of single items."""
        return f"{self.name}{_SCORER}.onnx"

    @property
    def metadata(self) -> str:
        """What it is and how good."""
        return f"{self.name}_metadata.json"

    @property
    def files(self) -> tuple[str, ...]:
        """All of them."""
        return self.network, self.comparer, self.scorer, self.metadata


@dataclass(frozen=True, slots=True)
class RankerFiles:
    """The content of a ranker's files."""

    state: Weights
    comparer: bytes
    scorer: bytes
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StoredRanker:
    """A ranker as it lies in its folder, verified."""

    name: str
    scorer: bytes
    metadata: dict[str, Any]


def check_name(name: str) -> None:
    """Check that a name can open the names of files.

    :raises InputError: if it cannot.
    """
    if not _NAME.fullmatch(name) or name.endswith(_SCORER):
        raise InputError(
            f"expected a name of letters, digits, '.', '_' and '-' that does not end in "
            f"{_SCORER}, got {name!r:.120}"
        )


def check_target(folder: Path) -> None:
    """Check that a ranker can be written into a folder, before it is trained.

    :raises InputError: if the folder holds anything but pairwise rankers.
    :raises ArtifactError: if it is a file, or rankers in it are damaged.
    """
    if folder.exists() and not folder.is_dir():
        raise ArtifactError(f"{folder}: expected a folder, found a file; choose another place")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not (folder / MANIFEST).exists():
        odd = sorted(path.name for path in folder.iterdir())[0]
        raise InputError(
            f"{folder}: expected no folder, or one of pairwise rankers, found {odd!r:.60} in it; "
            "choose another place"
        )
    _manifest(folder)


def write_ranker(folder: Path, name: str, files: RankerFiles) -> None:
    """Write a ranker and let it serve; rankers of other names in the folder stay.

    :raises InputError: if the folder holds anything else.
    """
    check_name(name)
    check_target(folder)
    others = _others(folder, name)
    layout = Layout(name)
    with writing_folder(folder) as draft:
        for file in (file for other in others for file in Layout(other).files):
            shutil.copy2(folder / file, draft / file)
        save_state(draft / layout.network, files.state)
        (draft / layout.comparer).write_bytes(files.comparer)
        (draft / layout.scorer).write_bytes(files.scorer)
        text = json.dumps(files.metadata, indent=2, allow_nan=False) + "\n"
        (draft / layout.metadata).write_text(text, encoding="utf-8")
        described = {
            "feature_names": files.metadata["feature_names"],
            "configuration": files.metadata["configuration"],
        }
        write_manifest(
            draft,
            kind=KIND,
            format_version=FORMAT_VERSION,
            libraries=LIBRARIES,
            parameters={"rankers": {**others, name: described}},
        )
        # After the manifest, which does not verify it: people may let another ranker serve.
        active = {
            "name": name,
            "model": layout.comparer,
            "scorer": layout.scorer,
            "metadata": layout.metadata,
        }
        (draft / ACTIVE).write_text(json.dumps(active, indent=2) + "\n", encoding="utf-8")


def read_ranker(folder: Path, name: str | None = None) -> StoredRanker:
    """Read a ranker, verified.

    :param name: None reads the one that serves.
    :raises ArtifactError: if it is missing or damaged.
    """
    known = _manifest(folder)
    name = name or _active_name(folder)
    if name not in known:
        raise ArtifactError(
            f"{folder}: expected one of the rankers {', '.join(sorted(known))}, got {name!r:.80}; "
            f"correct {ACTIVE} or the name, or run `{REMEDY}`"
        )
    layout = Layout(name)
    try:
        metadata = json.loads((folder / layout.metadata).read_text(encoding="utf-8"))
    except ValueError as exc:
        raise ArtifactError(f"{folder / layout.metadata}: unreadable ({exc})") from exc
    return StoredRanker(name, (folder / layout.scorer).read_bytes(), metadata)


def _active_name(folder: Path) -> str:
    path = folder / ACTIVE
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["name"])
    except (OSError, ValueError, TypeError, KeyError) as exc:
        raise ArtifactError(
            f"{path}: expected JSON with the name of the ranker that serves, found something else "
            f'({type(exc).__name__}: {exc}); write {{"name": NAME}} into it, or run `{REMEDY}`'
        ) from exc


def _manifest(folder: Path) -> dict[str, Any]:
    """Return what the folder's manifest says of each of its rankers, by name."""
    manifest = read_manifest(folder, kind=KIND, format_version=FORMAT_VERSION, remedy=REMEDY)
    rankers = manifest.parameters.get("rankers")
    if not isinstance(rankers, dict):
        raise ArtifactError(f"{folder / MANIFEST}: lacks its rankers; run `{REMEDY}`")
    absent = [file for name in rankers for file in Layout(name).files if file not in manifest.files]
    if absent:
        raise ArtifactError(f"{folder}: lacks {', '.join(absent)}; run `{REMEDY}`")
    return rankers


def _others(folder: Path, name: str) -> dict[str, Any]:
    known = _manifest(folder) if (folder / MANIFEST).exists() else {}
    return {other: said for other, said in known.items() if other != name}
