"""What lies in a folder and in those below it: files, and what is there but cannot be read."""

from __future__ import annotations

import os
import stat
from collections import deque
from pathlib import Path
from typing import NamedTuple

from pyarrow import fs

from index.file_faults import os_error_text
from jobs.places import Place

_HIDDEN = (".", "_")


class FolderContent(NamedTuple):
    """What a folder holds, names that begin with a point or an underscore left out.

    :param files: relative paths, sorted.
    :param odd: what is wrong with entries that are neither file nor folder, by relative path.
    :param closed: what is wrong with folders that cannot be listed, by relative path.
    """

    files: list[str]
    odd: dict[str, str]
    closed: dict[str, str]


def folder_content(root: Place, *, deep: bool) -> FolderContent:
    """Find what is in a folder.

    Links are followed, each real folder once: first those that are no links, so that a folder
    keeps its own name, and a link back to where the walk came from leads nowhere.

    :param deep: walk into folders, whatever they are called.
    :raises OSError: if the folder itself cannot be listed.
    """
    return _listed(root, deep=deep) if root.local is None else _walked(root.local, deep=deep)


def _listed(root: Place, *, deep: bool) -> FolderContent:
    """Ask a file system that has neither links nor pipes."""
    start = len(root.path.strip("/"))
    found = root.filesystem.get_file_info(fs.FileSelector(root.path, recursive=deep))
    names = [
        info.path.strip("/")[start:].lstrip("/") for info in found if info.type == fs.FileType.File
    ]
    kept = [name for name in names if not any(part.startswith(_HIDDEN) for part in name.split("/"))]
    return FolderContent(sorted(kept), {}, {})


def _walked(root: Path, *, deep: bool) -> FolderContent:
    content = FolderContent([], {}, {})
    real = root.resolve()
    visited = {_identity(folder) for folder in real.parents}
    folders, links = deque([""]), deque[str]()
    while folders or links:
        name = folders.popleft() if folders else links.popleft()
        try:
            identity = _identity(root / name)
            if identity in visited:
                continue
            visited.add(identity)
            with os.scandir(root / name) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as exc:
            if not name:
                raise
            content.closed[name] = _words(exc)
            continue
        for entry in entries:
            if not entry.name.startswith(_HIDDEN):
                inside = f"{name}/{entry.name}".lstrip("/")
                if _is_folder(entry):
                    (links if entry.is_symlink() else folders).append(inside)
                else:
                    _put(content, inside, entry)
        if not deep:
            break
    content.files.sort()
    return content


def _put(content: FolderContent, name: str, entry: os.DirEntry[str]) -> None:
    readable = os.fsencode(name).decode("utf-8", "replace")
    if readable != name:
        content.odd[readable] = "expected a name in UTF-8; rename it"
        return
    fault = _fault(entry)
    if fault is None:
        content.files.append(name)
    else:
        content.odd[name] = fault


def _fault(entry: os.DirEntry[str]) -> str | None:
    """Return why an entry that is no folder is no file either; None if it is one."""
    try:
        mode = entry.stat().st_mode
    except OSError as exc:
        if entry.is_symlink() and not isinstance(exc, PermissionError):
            return "expected a file, found a link to nothing; mend or remove it"
        return _words(exc)
    if stat.S_ISREG(mode):
        return None
    return "expected a file, found a pipe, socket or device; write the listings to a file"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link through a folder that may not be entered, or to itself
        return False


def _identity(folder: Path) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _words(exc: OSError) -> str:
    """Return what is wrong without the path, which the caller names."""
    return os_error_text(OSError(exc.errno, exc.strerror))
