"""Artifact folders: a manifest, verified files, written beside and renamed into place.

An index or a model is a folder. Its `manifest.json` names the format, the parameters and the
sha256 of every file, so that a damaged or half-copied folder is found before it answers.

A folder is replaced by exchanging it with its successor in one step of the file system (Linux's
renameat2), so that a reader finds the old or the new one even if the writer is killed; what a
killed writer leaves is a hidden `.NAME.*.draft` beside it. Where the file system cannot exchange
(NFS, macOS), two renames do it: every exception puts the old folder back, but a kill between the
two leaves it in `.NAME.*.draft`, to be renamed by hand.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import hashlib
import json
import os
import platform
import secrets
import shutil
import stat
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from rerank.index.errors import FULL, ArtifactError, InputError, RerankWarning

MANIFEST = "manifest.json"
INDEX_FORMAT = 1
ALLOCATIONS = 100_000
"""Before Python looks for garbage: thousands of titles make no cycles."""
INDEX_REMEDY = "rerank build-index"
Record = TypeVar("Record")
# <linux/fs.h> and <fcntl.h>; glibc has the call since 2.28
_RENAME_EXCHANGE, _AT_FDCWD = 2, -100
_CANNOT_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)
_POLL_S = 0.02
_SCRATCH = ".scratch"
_JUST_MADE_S = 60.0


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an artifact folder says about itself.

    :param kind: what the folder holds, such as ``index`` or ``ranker``.
    :param format_version: raised when an older reader could misread the files.
    :param parameters: everything needed to make it again, the seed included.
    :param fingerprint: sha256 over all files; the artifact's identity (16 hex digits).
    :param seconds: that making it took, where that was measured; no part of its identity.
    """

    kind: str
    format_version: int
    parameters: dict[str, Any]
    libraries: dict[str, str]
    files: dict[str, str]
    fingerprint: str
    seconds: float | None = None


@contextmanager
def writing_folder(target: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Yield a temporary sibling folder that replaces ``target`` when the block ends well.

    Folders and files get the modes the umask gives, whatever the libraries that wrote them chose.

    :raises ArtifactError: if ``target`` exists and must not be overwritten, or is a file.
    """
    if target.exists() and not overwrite:
        raise ArtifactError(f"{target} exists already; remove it or choose another place")
    if target.exists() and not target.is_dir():
        raise ArtifactError(f"{target}: expected a folder, found a file; remove it")
    target = target.resolve()  # a link stays a link
    draft = _draft_beside(target)
    try:
        with _naming(target, draft):
            draft.mkdir(parents=True)
            yield draft
            _make_readable(draft)
            _replace_folder(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on disk, where they would else come some seconds later."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def writing_file(target: Path) -> Iterator[Path]:
    """Yield a temporary sibling path that replaces ``target`` when the block ends well.

    File and name are on disk then.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft_beside(target)
    try:
        with _naming(target, draft):
            draft.touch(exist_ok=False)
            yield draft
            with draft.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(draft, target)
            sync_folder(target.parent)
    finally:
        with suppress(OSError):  # a read-only file system refuses even what is not there
            draft.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, busy: Callable[[], Exception], *, wait_s: float = 0.0) -> Iterator[int]:
    """Hold the one lock of a file or folder; yield its descriptor.

    The kernel frees the lock when its holder ends, however it ends. Whoever waits asks again and
    again instead of sleeping in the kernel, so that Ctrl-C ends the wait.

    :param path: a folder, or a file, which is made if there is none.
    :param busy: returns the error to raise while another holder keeps it.
    :param wait_s: how long to wait for that one, in seconds.
    """
    from filelock import lock_descriptor  # not FileLock: that does not lock folders

    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT
    descriptor = os.open(path, flags, 0o666)
    try:
        deadline = time.monotonic() + wait_s
        while not lock_descriptor(descriptor, blocking=False):
            if time.monotonic() >= deadline:
                raise busy()
            time.sleep(_POLL_S)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _naming(target: Path, draft: Path) -> Iterator[None]:
    """Let errors name the target: nobody asked for the draft, and a full disk names no file."""
    try:
        yield
    except OSError as exc:
        of_draft = str(exc.filename).startswith(str(draft))
        if exc.errno is None or not (of_draft or (exc.filename is None and exc.errno in FULL)):
            raise
        raise OSError(exc.errno, os.strerror(exc.errno), str(target)) from exc


def write_json(content: Mapping[str, Any], target: Path) -> None:
    """Write JSON that people read too, whole or not at all.

    :raises ValueError: if a number is not finite, which JSON does not know.
    """
    with writing_file(target) as draft:
        text = json.dumps(content, indent=2, allow_nan=False) + "\n"
        draft.write_text(text, encoding="utf-8")


def write_manifest(
    folder: Path,
    *,
    kind: str,
    format_version: int,
    parameters: dict[str, Any],
    libraries: Sequence[str] = (),
    seconds: float | None = None,
) -> Manifest:
    """Write the manifest of a folder whose files are complete, and flush them to disk."""
    parameters = json.loads(json.dumps(parameters))  # as they are read: lists, keys of text
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != MANIFEST:
            files[path.relative_to(folder).as_posix()] = _sha256(path)
    manifest = Manifest(
        kind=kind,
        format_version=format_version,
        parameters=parameters,
        libraries={"python": platform.python_version(), **library_versions(libraries)},
        files=files,
        fingerprint=_fingerprint(files, parameters),
        seconds=None if seconds is None else round(seconds, 1),
    )
    content = {name: getattr(manifest, name) for name in Manifest.__slots__}
    if seconds is None:
        del content["seconds"]
    text = json.dumps(content, indent=2, sort_keys=True) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    return manifest


def read_manifest(
    folder: Path, *, kind: str, format_version: int, remedy: str, whole: bool = True
) -> Manifest:
    """Read and verify the manifest of an artifact folder.

    :param remedy: the command that makes the artifact anew, shown in every error.
    :param whole: verify all files too; False for who asks what a folder is, before it is loaded.
    :raises ArtifactError: if the folder is missing, of another kind or format, or damaged.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        raise ArtifactError(f"{folder}: no {kind} here; make one with `{remedy}`")
    try:
        manifest = typed_record(Manifest, json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ArtifactError(
            f"{folder}: expected {MANIFEST}, found none: not a complete {kind}; run `{remedy}`"
        ) from None
    except (ValueError, TypeError) as exc:
        raise ArtifactError(f"{path}: unreadable manifest ({exc}); run `{remedy}`") from exc
    if manifest.kind != kind:
        raise ArtifactError(f"{folder}: expected a {kind}, found a {manifest.kind}; run `{remedy}`")
    if manifest.format_version != format_version:
        raise ArtifactError(
            f"{folder}: expected format {format_version}, found {manifest.format_version}; "
            f"run `{remedy}`"
        )
    if whole:
        _verify(folder, manifest, remedy)
    return manifest


@contextmanager
def collecting_seldom() -> Iterator[None]:
    """Let Python look for garbage as seldom as workers do, and afterwards as before.

    What an index and a model are made of has no cycles, and walking it again and again while it
    grows takes a seventh of the time to load them.
    """
    before = gc.get_threshold()
    gc.set_threshold(ALLOCATIONS)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def typed_record(kind: type[Record], content: Any) -> Record:
    """Return a dataclass of JSON values, each of the type that its field states.

    pydantic would do this too, but takes longer to import than the rest of `rerank resolve` may.

    :raises TypeError: if a field is unknown, missing or of another type.
    """
    if not isinstance(content, dict):
        raise TypeError(f"expected a JSON object, found {type(content).__name__}")
    record = kind(**content)
    for name, wanted in get_type_hints(kind).items():
        _check_type(name, getattr(record, name), wanted)
    return record


def _check_type(name: str, value: Any, wanted: Any) -> None:
    options = get_args(wanted) if isinstance(wanted, UnionType) else (wanted,)
    kinds = [get_origin(each) or each for each in options]
    if Any in kinds or (type(value) is int and float in kinds):  # JSON writes 3 for 3.0
        return
    if type(value) not in kinds:
        expected = "a number" if kinds[0] is float else kinds[0].__name__
        raise TypeError(f"{name}: expected {expected}, found {value!r:.40}")
    if isinstance(value, dict):
        for key, each in value.items():
            _check_type(f"{name}: {key}", each, get_args(options[0])[1])


def _verify(folder: Path, manifest: Manifest, remedy: str) -> None:
    found = _fingerprint(manifest.files, manifest.parameters)
    if found != manifest.fingerprint:
        raise ArtifactError(
            f"{folder / MANIFEST}: damaged: expected fingerprint {manifest.fingerprint}, found "
            f"{found} (its parameters or its list of files were changed); run `{remedy}`"
        )
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise ArtifactError(f"{path}: missing from this {manifest.kind}; run `{remedy}`")
        found = _sha256(path)
        if found != expected:
            raise ArtifactError(
                f"{path}: damaged: expected sha256 {expected[:12]}, found {found[:12]}; "
                f"run `{remedy}`"
            )


def check_replaceable(folder: Path, *, kind: str) -> None:
    """Check that a folder is absent, empty or an earlier artifact of the same kind.

    What is damaged may be replaced as well, if its manifest still says what it was.

    :param kind: that of its manifest.
    :raises ArtifactError: if there is a file in its place.
    :raises InputError: if it holds anything else.
    """
    if folder.exists() and not folder.is_dir():
        raise ArtifactError(f"{folder}: expected a folder, found a file; choose another place")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    found = _kind_of(folder / MANIFEST)
    if found != kind:
        first = min(path.name for path in folder.iterdir())
        odd = f"an artifact of kind {found!r}" if found else f"{first!r:.60}"
        raise InputError(
            f"{folder}: expected no folder, or that of an earlier {kind}, found {odd} in it; "
            "choose another place with --output"
        )


def _kind_of(manifest: Path) -> str:
    """Return what a manifest says its folder is; nothing if it is none of ours."""
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return ""
    ours = isinstance(content, dict) and {"kind", "format_version", "files"} <= content.keys()
    return str(content["kind"]) if ours else ""


@contextmanager
def scratch_in(parent: Path) -> Iterator[Path]:
    """Yield a hidden folder in a folder, held by a lock, which is gone when the block ends.

    What killed runs left of theirs is removed, and said in a `RerankWarning`.
    """
    parent.mkdir(parents=True, exist_ok=True)
    left = sum(map(_removed_if_left, sorted(parent.glob(f".*{_SCRATCH}"))))
    if left:
        files = "a half-made folder" if left == 1 else f"{left} half-made folders"
        warnings.warn(
            f"{parent}: removed {files} that a run left there when it was killed",
            RerankWarning,
            stacklevel=3,
        )
    scratch = Path(tempfile.mkdtemp(prefix=".", suffix=_SCRATCH, dir=parent))
    try:
        with locked(scratch, lambda: ArtifactError(f"{scratch}: another run holds it")):
            yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _removed_if_left(scratch: Path) -> bool:
    """Remove what no process holds; one that was just made may not be held yet."""
    with suppress(OSError):  # held, or another run was faster
        if time.time() - scratch.stat().st_mtime < _JUST_MADE_S:
            return False
        with locked(scratch, BlockingIOError):
            shutil.rmtree(scratch)
            return True
    return False


def _draft_beside(target: Path) -> Path:
    """Return a new name beside ``target``, hidden, with its suffix, which libraries read."""
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.draft{target.suffix}")


def _make_readable(draft: Path) -> None:
    """Give files the mode of an ordinary file: safetensors writes 0600, out of others' reach."""
    mode = stat.S_IMODE(draft.stat().st_mode) & 0o666  # mkdir asked the umask
    for path in draft.rglob("*"):
        if path.is_file():
            path.chmod(mode)


def _replace_folder(draft: Path, target: Path) -> None:
    """Put ``draft`` where ``target`` is, and what was there, if anything, where ``draft`` was."""
    if not target.exists():
        os.rename(draft, target)
    elif not _exchange(draft, target):
        _exchange_by_renames(draft, target)


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths change places in one step; return whether the file system can do that."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    names = os.fsencode(one), os.fsencode(other)
    if renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _CANNOT_EXCHANGE:
        return False
    raise OSError(code, os.strerror(code), str(one), None, str(other))


def _exchange_by_renames(draft: Path, target: Path) -> None:
    """Do so in steps; if anything but a kill interrupts them, ``target`` is back in its place."""
    retired = _draft_beside(target)
    try:
        os.rename(target, retired)
        os.rename(draft, target)
    finally:
        if not target.exists():
            os.rename(retired, target)
    shutil.rmtree(retired, ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fingerprint(files: dict[str, str], parameters: dict[str, Any]) -> str:
    text = json.dumps([files, parameters], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def library_versions(libraries: Sequence[str]) -> dict[str, str]:
    """Return the versions of installed libraries, by name; "not installed" for the others."""
    found = {}
    for library in libraries:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "not installed"
    return found


def open_session(graph: bytes | Path, *, where: str, remedy: str, threads: int = 1) -> Any:
    """Return an `onnxruntime.InferenceSession` on the processor.

    :param graph: its content, or its file.
    :param where: what messages name.
    :param remedy: the command that makes it anew, for messages.
    :param threads: of the session; 0 for one on each core. A few rows take less time than waking
        more than one does.
    :raises ImportError: if onnxruntime is not installed.
    :raises ArtifactError: if it is no graph that onnxruntime runs.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Threads that spin while they wait make it many times slower where cores are shared.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source = graph if isinstance(graph, bytes) else str(graph)
    try:
        return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # its own classes, which share no other base
        raise ArtifactError(
            f"{where}: expected an ONNX graph, found something onnxruntime does not run "
            f"({str(exc)[:200]}); run `{remedy}`"
        ) from exc
