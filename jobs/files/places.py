"""Places of files: a path on this machine, or a URI of any file system that pyarrow knows."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath
from typing import IO, Any

import pyarrow as pa
from pyarrow import fs

from rerank.index.artifacts import check_regular
from rerank.index.errors import InputError, os_error_words

_OBJECT_STORES = ("s3", "gcs", "abfs")
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """A file or folder of a file system, there or not.

    :param path: as the file system writes it; absolute if it is this machine's.
    :param shown: as the user wrote it; what messages name.
    :param local: the path, if it is of this machine.
    :param name: the last part of the path.
    :param suffix: the ending of the name with its point, in small letters; of packed files both:
        ``.csv.gz``.
    """

    filesystem: fs.FileSystem
    path: str
    shown: str
    local: Path | None = field(init=False, repr=False, compare=False)
    name: str = field(init=False, repr=False, compare=False)
    suffix: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        posix, is_local = PurePosixPath(self.path), self.filesystem.type_name == "local"
        object.__setattr__(self, "local", Path(self.path) if is_local else None)
        object.__setattr__(self, "name", posix.name)
        endings = posix.suffixes[-2 if posix.suffix.lower() == ".gz" else -1 :]
        object.__setattr__(self, "suffix", "".join(endings).lower())

    def __str__(self) -> str:
        return self.shown

    def info(self) -> fs.FileInfo:
        """Ask the file system what is here, links followed.

        :raises OSError: with the name of this place, if it may not be asked.
        """
        try:
            return self.filesystem.get_file_info(self.path)
        except OSError as exc:
            if exc.errno is None or exc.filename is not None:
                raise
            raise OSError(exc.errno, os.strerror(exc.errno), self.shown) from exc

    def exists(self) -> bool:
        """Return whether there is anything here."""
        return bool(self.info().type != fs.FileType.NotFound)

    def is_folder(self) -> bool:
        """Return whether this is a folder that is there."""
        return bool(self.info().type == fs.FileType.Directory)

    def size(self) -> int:
        """Return the bytes of the file that is here, 0 if there is none."""
        return self.info().size or 0

    def stream(self) -> io.BufferedReader:
        """Open the file that is here, to be read from its start."""
        self._check_regular()
        return io.BufferedReader(self.filesystem.open_input_stream(self.path, compression=None))

    def file(self) -> IO[bytes]:
        """Open the file that is here, to be read anywhere."""
        self._check_regular()
        found: IO[bytes] = self.filesystem.open_input_file(self.path)
        return found

    def _check_regular(self) -> None:
        if self.local is not None:
            check_regular(self.shown, self.local.stat().st_mode)

    def child(self, relative: str) -> Place:
        """Return a place under this folder.

        :param relative: a path with slashes.
        """
        shown = f"{self.shown.rstrip('/')}/{relative}"
        return Place(self.filesystem, f"{self.path.rstrip('/')}/{relative}", shown)

    def sibling(self, name: str) -> Place:
        """Return a place in the same folder."""
        path = PurePosixPath(self.path)
        head = self.shown[: len(self.shown) - len(path.name)] if path.name else self.shown
        return Place(self.filesystem, str(path.with_name(name)), head + name)

    def is_same_as(self, other: Place) -> bool:
        """Return whether both are one file, links followed."""
        if self.local is not None and other.local is not None:
            return self.local.resolve() == other.local.resolve()
        return bool(self.filesystem.equals(other.filesystem)) and self.path == other.path

    def inside(self, folder: Place) -> str | None:
        """Return the path from a folder to this, at any depth, links followed; None if outside."""
        own: PurePath = PurePosixPath(self.path)
        other: PurePath = PurePosixPath(folder.path)
        if self.local is not None and folder.local is not None:
            own, other = self.local.resolve(), folder.local.resolve()
        elif not self.filesystem.equals(folder.filesystem):
            return None
        return str(own.relative_to(other)) if own.is_relative_to(other) else None

    def make_parent(self) -> None:
        """Make the folder this lies in; object stores have none."""
        if self.filesystem.type_name in _OBJECT_STORES:
            return
        parent = str(PurePosixPath(self.path).parent)
        if self.local is not None:
            os.makedirs(parent, exist_ok=True)
        else:
            self.filesystem.create_dir(parent, recursive=True)


class Fetched:
    """A file whose content leaves its place once, to be read as often as one likes.

    It is hashed while it is read first. What comes from another machine is kept in a temporary
    file until the context ends; what lies on this one is read there again.

    :raises OSError: with the name of the place, if it may not be asked.
    """

    def __init__(self, place: Place) -> None:
        self.place, self.info = place, place.info()
        self.known: dict[str, Any] | None = None
        """What `fingerprint` returns, once the content was read to its end."""
        self.copy = None if place.local else tempfile.NamedTemporaryFile(prefix="rerank-")

    def __enter__(self) -> Fetched:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.copy is not None:
            self.copy.close()

    def __str__(self) -> str:
        return str(self.place)

    def check_unchanged(self) -> None:
        """Check that the file is what it was when this was made.

        :raises InputError: if it has another size, or was written since.
        """
        before, after = self.info, self.place.info()
        if (before.size, before.mtime_ns) != (after.size, after.mtime_ns):
            raise InputError(f"{self.place}: changed while it was read; run again")

    def fingerprint(self) -> dict[str, Any]:
        """Return size and sha256 of the content, which is read unless it was.

        :raises InputError: if it cannot be read.
        """
        if self.known is None:
            with self.stream() as stream:
                while stream.read(_BLOCK_BYTES):
                    pass
        return self.known or {}

    def stream(self) -> io.BufferedReader:
        """Open the content, to be read from its start.

        :raises InputError: if it cannot be read.
        """
        if self.known is None:
            return io.BufferedReader(_Hashed(self), _BLOCK_BYTES)
        return self.place.stream() if self.copy is None else Path(self.copy.name).open("rb")

    def file(self) -> IO[bytes]:
        """Open the content, to be read anywhere."""
        if self.copy is None or self.known is None:
            return self.place.file()
        return Path(self.copy.name).open("rb")


class _Hashed(io.RawIOBase):
    """Content on its way from its place."""

    def __init__(self, content: Fetched) -> None:
        self._content, self._digest, self._size = content, hashlib.sha256(), 0
        with _naming(content.place):
            self._source = content.place.stream()
        if content.copy is not None:
            content.copy.seek(0)
            content.copy.truncate()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._content
        with _naming(content.place):
            size = self._source.readinto(buffer)
            self._digest.update(buffer[:size])
            self._size += size
            if content.copy is not None:
                content.copy.write(buffer[:size])
                content.copy.flush()
        if not size:
            content.known = {"bytes": self._size, "sha256": self._digest.hexdigest()}
        return size

    def close(self) -> None:
        self._source.close()
        super().close()


@contextmanager
def _naming(place: Place) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise InputError(f"{place}: cannot be read: {os_error_words(exc)}") from exc


def place_of(text: str | Path) -> Place:
    """Return the place that a path or a URI (``s3://``, ``gs://``, ``file://``, ...) names.

    :raises InputError: if the URI is of no file system that pyarrow was built with.
    """
    written = os.fspath(text)
    if not is_uri(written):
        return Place(fs.LocalFileSystem(), os.path.abspath(written), written)
    try:
        filesystem, path = fs.FileSystem.from_uri(written)
        if not path:
            raise ValueError("it names no bucket")
    except (pa.ArrowException, OSError, ValueError, ImportError) as exc:
        raise InputError(
            f"{written}: expected a path or a URI such as s3://bucket/listings, found one that "
            f"cannot be opened ({exc})"
        ) from exc
    return Place(filesystem, path, written.partition("?")[0])


def is_uri(text: str) -> bool:
    """Return whether a name is a URI rather than a path of this machine."""
    scheme, separator, _ = text.partition("://")
    return bool(separator) and scheme.replace("+", "").isalnum()
