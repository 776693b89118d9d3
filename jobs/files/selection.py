"""Which files of listings a path, a folder, a glob or a URI means; what lies in a folder."""

from __future__ import annotations

import os
import re
import stat
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pyarrow import fs

from rerank.index.errors import FaultsError, InputError, os_error_words
from rerank.jobs.files.listings import ENDINGS
from rerank.jobs.files.places import Place, is_uri, place_of

REJECTS_ENDING = ".rejects.parquet"
_WILD = re.compile(r"[*?\[]")
_WILD_IN_URI = re.compile(r"[*\[]")  # a question mark begins the options of a file system


@dataclass(frozen=True, slots=True)
class Selection:
    """Files to read.

    :param root: the one file, or the folder all files lie in.
    :param files: paths relative to the folder, sorted; empty if ``root`` is the one file.
    :param left_out: what else the folder holds: names that end otherwise.
    :param pattern: what the files match, if they were asked for by a glob.
    :param faults: what would be read, but cannot be: the message by the name, as files set aside
        have it. Links to nothing, pipes, folders that may not be entered.
    """

    root: Place
    files: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    pattern: str | None = None
    faults: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return str(self.root if self.pattern is None else self.root.child(self.pattern))

    @property
    def is_folder(self) -> bool:
        """Whether a folder, or a part of one, is to be read."""
        return bool(self.files)

    def places(self) -> list[Place]:
        """Return where the files are."""
        return [self.root.child(name) for name in self.files] or [self.root]

    def would_read(self, place: Place) -> bool:
        """Return whether a file, if it were there, would be among the files."""
        inside = place.inside(self.root)
        if not self.is_folder or inside is None:
            return False
        return self.pattern is None or bool(_as_regex(self.pattern).fullmatch(inside))


def select_files(source: str | Place) -> Selection:
    """Find the files that a source means: itself, those of a folder, those a glob matches.

    Names that begin with a point or an underscore, and rejects of earlier runs, are passed over.
    Folders behind links are read as well, each real folder once.

    :param source: a path or URI; ``*``, ``?``, ``[...]`` match within a name, ``**`` folders.
    :raises FileNotFoundError: if a path without wildcards names nothing.
    :raises InputError: if there is no file of listings in the folder, no file that a glob matches,
        or the source is a pipe.
    :raises FaultsError: if what is there are only things that cannot be read.
    """
    if isinstance(source, Place):
        return _of_place(source)
    base, options = _without_options(source)
    wild = (_WILD_IN_URI if is_uri(source) else _WILD).search(base)
    if wild is None or (not is_uri(source) and Path(source).exists()):
        return _of_place(place_of(source))
    head, slash, _ = base[: wild.start()].rpartition("/")
    root = place_of(head + options or slash or ".")
    return select_matching(root, base[len(head + slash) :])


def select_matching(root: Place, pattern: str) -> Selection:
    """Find the files under a folder whose relative paths match a glob.

    :raises InputError: if there is none.
    :raises FaultsError: if what matches cannot be read.
    """
    regex = _as_regex(pattern)
    deep = "**" in pattern or "/" in pattern
    content = folder_content(root, deep=deep) if root.is_folder() else FolderContent([], {}, {})
    found = [name for name in _listings(content) if regex.fullmatch(name)]
    odd = {name: fault for name, fault in content.odd.items() if regex.fullmatch(name)}
    faults = _messages(root, {**odd, **content.closed})
    if not found:
        where = pattern if root.shown == "." else root.child(pattern)
        expected = f"{where}: expected files of listings, found none that match"
        raise _nothing(expected, "correct the glob, or put files there", faults)
    return Selection(root, tuple(found), pattern=pattern, faults=faults)


def _without_options(source: str) -> tuple[str, str]:
    """Cut off the options of a URI's file system: ``?region=...``."""
    if not is_uri(source):
        return source, ""
    base, mark, options = source.partition("?")
    return base, mark + options


def _of_place(place: Place) -> Selection:
    kind = place.info().type
    if kind == fs.FileType.NotFound:
        raise FileNotFoundError(f"{place} does not exist")
    if kind == fs.FileType.Unknown:
        raise InputError(
            f"{place}: expected a file or a folder, found a pipe, socket or device; write the "
            "listings to a file first"
        )
    if kind != fs.FileType.Directory:
        return Selection(place)
    content = folder_content(place, deep=True)
    names = _listings(content)
    files = tuple(name for name in names if _ends_well(name))
    odd = {name: fault for name, fault in content.odd.items() if _ends_well(name)}
    faults = _messages(place, {**odd, **content.closed})
    if not files:
        raise _nothing(
            f"{place}: expected files ending in {', '.join(ENDINGS)}, found {len(names)} other "
            "files",
            "give the folder of the listings",
            faults,
        )
    others = [name for name in (*names, *content.odd) if not _ends_well(name)]
    return Selection(place, files, tuple(sorted(others)), faults=faults)


def _listings(content: FolderContent) -> list[str]:
    return [name for name in content.files if not name.endswith(REJECTS_ENDING)]


def _ends_well(name: str) -> bool:
    return name.lower().endswith(ENDINGS)


def _messages(root: Place, faults: Mapping[str, str]) -> dict[str, str]:
    shown = {str(root.child(name)): faults[name] for name in sorted(faults)}
    return {name: f"{name}: {fault}" for name, fault in shown.items()}


def _nothing(expected: str, remedy: str, faults: Mapping[str, str]) -> InputError:
    """Return the error for a source without a file, with what is there and cannot be read."""
    if faults:
        return FaultsError(f"{expected} that can be read", list(faults.values()))
    return InputError(f"{expected}; {remedy}")


_GLOB = re.compile(r"\*\*/|\*\*|\[(?P<negated>!?)(?P<chars>[^\]]+)\]|.", re.DOTALL)
_GLOB_PARTS = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def _as_regex(pattern: str) -> re.Pattern[str]:
    """Translate a glob: ``*`` and ``?`` stay within a name, ``**/`` is any folders or none."""

    def translated(part: re.Match[str]) -> str:
        if part["chars"]:
            kept = re.escape(part["chars"]).replace(r"\-", "-")
            return f"[{'^' if part['negated'] else ''}{kept}]"
        return _GLOB_PARTS.get(part[0], re.escape(part[0]))

    return re.compile(_GLOB.sub(translated, pattern))


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
            content.closed[name] = os_error_words(exc)
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
    fault = _fault(entry) if readable == name else "expected a name in UTF-8; rename it"
    if fault is None:
        content.files.append(name)
    else:
        content.odd[readable] = fault


def _fault(entry: os.DirEntry[str]) -> str | None:
    """Return why an entry that is no folder is no file either; None if it is one."""
    try:
        mode = entry.stat().st_mode
    except OSError as exc:
        if entry.is_symlink() and not isinstance(exc, PermissionError):
            return "expected a file, found a link to nothing; mend or remove it"
        return os_error_words(exc)
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
