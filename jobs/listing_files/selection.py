"""Which files of listings a path, a folder, a glob or a URI means."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pyarrow import fs

from index.errors import InputError
from jobs.listing_files.opening import ENDINGS
from jobs.places import Place, is_uri, place_of

REJECTS_ENDING = ".rejects.parquet"
_WILD = re.compile(r"[*?\[]")
_WILD_IN_URI = re.compile(r"[*\[]")  # a question mark begins the options of a file system


@dataclass(frozen=True, slots=True)
class Selection:
    """Files to read.

    :param root: the one file, or the folder all files lie in.
    :param files: paths relative to the folder, sorted; empty if ``root`` is the one file.
    :param left_out: files of the folder whose names end otherwise.
    :param pattern: what the files match, if they were asked for by a glob.
    """

    root: Place
    files: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    pattern: str | None = None

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

    :param source: a path or URI; ``*``, ``?``, ``[...]`` match within a name, ``**`` folders.
    :raises FileNotFoundError: if there is nothing.
    :raises InputError: if there is no file of listings in the folder.
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

    :raises FileNotFoundError: if there is none.
    """
    regex = _as_regex(pattern)
    deep = "**" in pattern or "/" in pattern
    names = _names(root, deep=deep) if root.is_folder() else []
    found = [name for name in names if regex.fullmatch(name)]
    if not found:
        raise FileNotFoundError(f"no file matches {root.child(pattern)}")
    return Selection(root, tuple(found), pattern=pattern)


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
    if kind != fs.FileType.Directory:
        return Selection(place)
    names = _names(place, deep=True)
    files = tuple(name for name in names if name.lower().endswith(ENDINGS))
    if not files:
        raise InputError(
            f"{place}: expected files ending in {', '.join(ENDINGS)}, found "
            f"{len(names)} other files; give the folder of the listings"
        )
    return Selection(place, files, tuple(name for name in names if name not in files))


def _names(root: Place, *, deep: bool) -> list[str]:
    """Return the relative paths of a folder's files, sorted."""
    start = len(root.path.strip("/"))
    selector = fs.FileSelector(root.path, recursive=deep)
    found = []
    for info in root.filesystem.get_file_info(selector):
        name = info.path.strip("/")[start:].lstrip("/")
        hidden = any(part.startswith((".", "_")) for part in name.split("/"))
        if info.type == fs.FileType.File and not hidden and not name.endswith(REJECTS_ENDING):
            found.append(name)
    return sorted(found)


def _as_regex(pattern: str) -> re.Pattern[str]:
    """Translate a glob: ``*`` and ``?`` stay within a name, ``**/`` is any folders or none."""
    parts, at = [], 0
    while at < len(pattern):
        bracket = re.match(r"\[(!?)([^\]]+)\]", pattern[at:])
        if pattern.startswith("**/", at):
            parts.append("(?:[^/]+/)*")
            at += 3
        elif pattern.startswith("**", at):
            parts.append(".*")
            at += 2
        elif bracket:
            negated, chars = bracket.groups()
            kept = re.escape(chars).replace(r"\-", "-")
            parts.append(f"[{'^' if negated else ''}{kept}]")
            at += bracket.end()
        else:
            parts.append({"*": "[^/]*", "?": "[^/]"}.get(pattern[at], re.escape(pattern[at])))
            at += 1
    return re.compile("".join(parts))
