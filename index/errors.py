"""The exceptions of the project.

RerankError
├── InputError        a file, table or value handed in is not what was expected
│   └── FaultsError   several such faults, collected and reported at once
├── ArtifactError     an index or model folder is missing, damaged or of another format
│   └── MismatchError a sound artifact of another embedder, registry or feature schema
├── StoreError        the store is damaged, of a newer release, or a query on it failed
│   └── StoreBusyError another process is using it
├── RefusedError      a change of what serves that gates or another change forbid
└── MissingExtraError an optional library is needed for what was asked

`RerankWarning` is given where something is wrong and work goes on all the same.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

_MAX_FAULTS_SHOWN = 20


DISTRIBUTION = "listing-rerank"
"""The name it is installed by; it is imported, and typed, as `rerank`."""


_TRAINING = ("lightgbm", "onnxmltools", "sentence_transformers", "sklearn", "torch")
EXTRAS = {
    "train": _TRAINING,
    "neural": (*_TRAINING, "accelerate", "bitsandbytes", "onnxscript", "optuna", "peft"),
    "ray": ("ray",),
    "sign": ("cryptography",),
    "tables": ("narwhals", "openpyxl"),
    "serve": ("httptools", "orjson", "prometheus_client", "starlette", "uvicorn"),
}
"""What each extra of the distribution brings, by the names that are imported."""


class RerankError(Exception):
    """Root of every error this project raises on purpose."""


class InputError(RerankError):
    """Input that cannot be used: says what was expected, what was found and where."""


class FaultsError(InputError):
    """All faults of one input, reported together."""

    def __init__(self, heading: str, faults: Sequence[str]) -> None:
        self.heading, self.faults = heading, tuple(faults)
        lines = [f"{heading}: {len(faults)} fault{'s' if len(faults) != 1 else ''}"]
        lines += [f"  - {fault}" for fault in faults[:_MAX_FAULTS_SHOWN]]
        if len(faults) > _MAX_FAULTS_SHOWN:
            lines.append(f"  ... and {len(faults) - _MAX_FAULTS_SHOWN} more")
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[type[FaultsError], tuple[str, tuple[str, ...]]]:
        """Pickle as it was made: workers raise it in their parent."""
        return type(self), (self.heading, self.faults)


class ArtifactError(RerankError):
    """An artifact folder is missing, damaged, half-written or of an unknown format."""


class MismatchError(ArtifactError):
    """A sound artifact that does not fit the others it is used with."""


class StoreError(RerankError):
    """The store cannot be used, or a query on it failed; names the step and the SQL."""


class StoreBusyError(StoreError):
    """Another process is using the store."""


class RefusedError(RerankError):
    """A change of what serves that was not made: a gate failed, or another change came first."""


class MissingExtraError(RerankError):
    """An optional dependency is not installed."""


class RerankWarning(UserWarning):
    """Something is wrong, and work goes on: says what, and what is done instead."""


def require(extra: str, purpose: str, *libraries: str) -> None:
    """Make sure that what an extra brings can be imported; imports nothing.

    :param purpose: what needs it, as the message begins.
    :param libraries: those of the extra that are needed; all, if none is named.
    :raises MissingExtraError: if one is not installed; says what to install.
    """
    for name in libraries or EXTRAS[extra]:
        if find_spec(name) is None:
            raise MissingExtraError(
                f"{purpose} needs {name}, which is not installed: "
                f"`pip install '{DISTRIBUTION}[{extra}]'`"
            )


def extra_of(library: str) -> str | None:
    """Return the smallest extra that brings a library, None if none does."""
    return next((extra for extra, names in EXTRAS.items() if library in names), None)


FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up"}
FORBIDDEN = {errno.EACCES: "permission denied", errno.EPERM: "operation not permitted"}
NO_FILE = "expected a regular file, found a pipe, a socket or a device"
READ_ONLY = {errno.EROFS: "the file system is read-only"}
_FAULTS = {
    **{code: (words, "free some space and run it again") for code, words in FULL.items()},
    **{code: (words, "check who may use it and its folder") for code, words in FORBIDDEN.items()},
    **{code: (words, "choose another place") for code, words in READ_ONLY.items()},
    errno.ENOENT: ("there is no such file or folder", "check the path"),
    errno.ENOTDIR: ("a part of the path is no folder", "check the path"),
    errno.EISDIR: ("expected a file, found a folder", "check the path"),
    errno.ENXIO: (NO_FILE, "check the path"),
    errno.EEXIST: ("something of this name is in the way", "choose another name"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter one"),
    errno.EMFILE: ("too many files are open", "raise the limit that `ulimit -n` shows"),
    errno.EIO: ("the disk reports an error", "check the disk"),
}


def os_error_text(exc: OSError) -> str:
    """Return an error of the operating system as one line: the path, what is wrong, what to do."""
    if exc.errno is None:
        return str(exc)
    where = "" if exc.filename is None else f"{exc.filename}: "
    words, remedy = _FAULTS.get(exc.errno, (os.strerror(exc.errno), "check the path and the disk"))
    return f"{where}{words}; {remedy}"


def os_error_words(exc: OSError) -> str:
    """Return the same without the path, which the caller names."""
    if exc.errno is None:
        return " ".join(str(exc).split())
    return os_error_text(OSError(exc.errno, os.strerror(exc.errno)))


def not_utf8_text(path: Path) -> str:
    """Return where a file that is no UTF-8 is so first: its path, the line and the byte."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as exc:
                return f"{path}: line {number}: {undecodable(exc)}"
    return f"{path}: expected UTF-8 text; save the file as UTF-8"


def undecodable(exc: UnicodeDecodeError) -> str:
    """Return what stands in the place of UTF-8."""
    return f"expected UTF-8 text, found {exc.object[exc.start]:#04x}; save the file as UTF-8"
