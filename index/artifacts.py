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
import itertools
import json
import os
import platform
import secrets
import shutil
import stat
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from io import BufferedReader
from pathlib import Path, PurePosixPath
from types import UnionType
from typing import Any, NoReturn, TypeVar, get_args, get_origin, get_type_hints

from rerank.index.errors import FULL, NO_FILE, ArtifactError, InputError, RerankError, RerankWarning

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
_SHOWN = 300  # letters of what is wrong with a content
_JUST_MADE_S = 60.0


def open_regular(path: Path) -> BufferedReader:
    """Open a file that is to be read; all that reads what others wrote opens it here.

    Only regular files are taken: a pipe would be waited for, a device may never end.

    :raises OSError: if it is none, or cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe is opened without waiting
    try:
        check_regular(path, os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def check_regular(path: object, mode: int) -> None:
    """Check that a file is a regular one, for what is opened by others.

    :param path: for messages.
    :param mode: as `os.stat` gives it.
    :raises OSError: if it is none.
    """
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.ENXIO, NO_FILE, str(path))


def read_regular(path: Path) -> bytes:
    """Return a file's content; see `open_regular`."""
    with open_regular(path) as file:
        return file.read()


def read_text(path: Path) -> str:
    """Return a file's text; see `open_regular`.

    :raises UnicodeDecodeError: if it is no UTF-8.
    """
    return read_regular(path).decode("utf-8")


def read_json(path: Path) -> Any:
    """Return what a JSON file holds; see `open_regular`.

    :raises ValueError: if it is no JSON, is nested without end or holds what JSON does not know.
    """
    return parsed_json(read_text(path))


def parsed_json(text: str) -> Any:
    """Return what JSON holds.

    :raises ValueError: as `read_json`.
    """
    try:
        return _DECODER.decode(text)
    except RecursionError as exc:
        raise ValueError("it is nested too deeply") from exc


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"found {name}, which JSON does not know")


_DECODER = json.JSONDecoder(parse_constant=_no_number)


@contextmanager
def reading(where: object, expected: str, remedy: str) -> Iterator[None]:
    """Say in one sentence what is wrong with what an artifact holds, though its files are whole.

    Whatever a reader or a library raises on made-up content ends here: what they raise is theirs.

    :param expected: what it should hold.
    :raises ArtifactError: in the place of any other error.
    """
    try:
        yield
    except (ImportError, OSError, RerankError) as exc:
        if not isinstance(exc, InputError):
            raise
        found = " ".join(str(exc).split())
        raise ArtifactError(f"{where}: {found[:_SHOWN]}; run `{remedy}`") from exc
    except Exception as exc:  # of json, numpy, pyarrow, tokenizers, safetensors, our own readers
        said = " ".join(str(exc).split())
        said = f"lacks {said}" if isinstance(exc, KeyError) else said or type(exc).__name__
        raise ArtifactError(
            f"{where}: expected {expected}, found something else ({said[:_SHOWN]}); run `{remedy}`"
        ) from exc


def numbers(
    values: Any, name: str, low: float, high: float, *, rising: bool = False
) -> tuple[float, ...]:
    """Return JSON's list of numbers in a range.

    :param rising: whether none may be below the one before it.
    :raises ValueError: if it is anything else.
    """
    if not isinstance(values, list) or not {*map(type, values)} <= {int, float}:
        raise ValueError(f"{name}: expected a list of numbers, found {values!r:.40}")
    odd = [value for value in values if not low <= value <= high]
    if odd:
        raise ValueError(f"{name}: expected numbers from {low:g} to {high:g}, found {odd[0]!r:.40}")
    found = tuple(map(float, values))
    if rising and any(one > other for one, other in itertools.pairwise(found)):
        raise ValueError(f"{name}: expected numbers that rise")
    return found


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

    Folders and files get the modes the umask gives, whatever the libraries that wrote them chose;
    they and their names are on disk then.

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
            for path in (draft, *draft.rglob("*")):
                sync(path)
            _replace_folder(draft, target)
            sync(target.parent)  # whatever names it next must find it after a power cut
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def sync(path: Path) -> None:
    """Put a file, or the names in a folder, on disk, where they would else come seconds later."""
    handle = os.open(path, os.O_RDONLY)
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
            sync(draft)
            os.replace(draft, target)
            sync(target.parent)
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
    """Write the manifest of a folder whose files are complete."""
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
        manifest = typed_record(Manifest, read_json(path))
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
    try:
        check_values(manifest.parameters, _PARAMETERS.get(kind, {}))
    except TypeError as exc:
        raise ArtifactError(f"{path}: parameters: {exc}; run `{remedy}`") from exc
    return manifest


_PARAMETERS: dict[str, dict[str, Any]] = {
    "index": {
        **dict.fromkeys(("embedder", "embedder_fingerprint", "registry_fingerprint", "kind"), str),
        **dict.fromkeys(("dimension", "gpus", "models", "products", "listings"), int | None),
        **dict.fromkeys(("pack", "one", "many"), str | None),
    },
    "ranker": {
        **dict.fromkeys(("thresholds", "index", "importance"), dict[str, Any] | None),
        "thresholds": dict[str, float],
    },
}
"""What manifests say, by their kind, of the types that all readers take for granted."""


def check_values(content: Mapping[str, Any], kinds: Mapping[str, Any]) -> None:
    """Check the types of values; what may be None may be missing.

    :raises TypeError: with the first that is of another type, or if it is no object.
    """
    if not isinstance(content, dict):
        raise TypeError(f"expected a JSON object, found {type(content).__name__}")
    for name, wanted in kinds.items():
        _check_type(name, content.get(name), wanted)


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
    check_values(content, {})
    record = kind(**content)
    for name, wanted in _type_hints(kind).items():
        _check_type(name, getattr(record, name), wanted)
    return record


_type_hints: Callable[[Any], dict[str, Any]] = cache(get_type_hints)


def _check_type(name: str, value: Any, wanted: Any) -> None:
    options = get_args(wanted) if isinstance(wanted, UnionType) else (wanted,)
    kinds = [get_origin(each) or each for each in options]
    if Any in kinds or (type(value) is int and float in kinds):  # JSON writes 3 for 3.0
        return
    if type(value) not in kinds:
        expected = "a number" if kinds[0] is float else kinds[0].__name__
        raise TypeError(f"{name}: expected {expected}, found {value!r:.40}")
    of = next((get_args(each) for each in options if get_origin(each) is type(value)), None)
    if of:
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            _check_type(f"{name}: {key}", each, of[-1])


def _verify(folder: Path, manifest: Manifest, remedy: str) -> None:
    found = _fingerprint(manifest.files, manifest.parameters)
    if found != manifest.fingerprint:
        raise ArtifactError(
            f"{folder / MANIFEST}: damaged: expected fingerprint {manifest.fingerprint}, found "
            f"{found} (its parameters or its list of files were changed); run `{remedy}`"
        )
    for name, expected in manifest.files.items():
        path = folder / name
        if not _lies_in(folder, name):
            raise ArtifactError(
                f"{folder / MANIFEST}: expected names of files in this folder, no links, found "
                f"{name!r:.80}; run `{remedy}`"
            )
        try:
            found = _sha256(path)
        except (FileNotFoundError, NotADirectoryError):
            raise ArtifactError(
                f"{path}: missing from this {manifest.kind}; run `{remedy}`"
            ) from None
        if found != expected:
            raise ArtifactError(
                f"{path}: damaged: expected sha256 {expected[:12]}, found {found[:12]}; "
                f"run `{remedy}`"
            )


def _lies_in(folder: Path, name: str) -> bool:
    """Return whether a manifest's name is that of a file below its folder, reached by no link."""
    parts = PurePosixPath(name).parts
    if not parts or name != "/".join(parts) or "\0" in name or {"..", "/"} & {*parts}:
        return False
    steps = itertools.accumulate(parts, Path.joinpath, initial=folder)
    return not any(step.is_symlink() for step in itertools.islice(steps, 1, None))


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
        content = read_json(manifest)
    except (OSError, ValueError):
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
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fingerprint(files: dict[str, str], parameters: dict[str, Any]) -> str:
    text = json.dumps([files, parameters], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def library_versions(libraries: Sequence[str]) -> dict[str, str]:
    """Return the versions of installed libraries, by name; "not installed" for the others."""
    return {library: library_version(library) or "not installed" for library in libraries}


def library_version(library: str) -> str | None:
    """Return the version of an installed library, None of another."""
    from importlib.metadata import PackageNotFoundError, version  # not for who only resolves

    try:
        return version(library)
    except PackageNotFoundError:
        return None


_MOST_MEMORY = 4 * 2**30  # bytes that all graphs of a process may hold at once


class OnnxGraph:
    """A graph that onnxruntime runs, within `_MOST_MEMORY`."""

    def __init__(self, session: Any, where: str, remedy: str) -> None:
        self._session, self._where, self._remedy = session, where, remedy
        self.inputs = {each.name: each for each in session.get_inputs()}
        self.outputs = list(session.get_outputs())

    def run(self, fed: Mapping[str, Any]) -> list[Any]:
        """Return the outputs of arrays by the names of inputs.

        :raises ArtifactError: if it cannot be run on them, or would take too much memory.
        """
        with _running(self._where, self._remedy):
            found: list[Any] = self._session.run(None, dict(fed))
        return found

    def expect(self, names: Iterable[str] | int, outputs: int, width: int | None = None) -> None:
        """Check what goes in and comes out.

        :param names: all that inputs may be called, or how many there are.
        :param width: of the rows of the first input; None for any.
        :raises ArtifactError: if it is a graph of something else.
        """
        found = list(self.inputs)
        shape = next(iter(self.inputs.values())).shape if found else []
        fits = len(found) == names if isinstance(names, int) else {*found} <= {*names} != set()
        wide = width is None or (len(shape) == 2 and shape[1] in (width, None))
        if not found or not fits or not wide or len(self.outputs) != outputs:
            wanted = f"{names} inputs" if isinstance(names, int) else f"inputs {', '.join(names)}"
            rows = "" if width is None else f" of {width} columns"
            raise ArtifactError(
                f"{self._where}: expected a graph with {wanted}{rows} and {outputs} outputs, found "
                f"inputs {', '.join(found)[:_SHOWN]} of shape {shape} and {len(self.outputs)} "
                f"outputs; run `{self._remedy}`"
            )


@contextmanager
def _running(where: str, remedy: str) -> Iterator[None]:
    try:
        yield
    except Exception as exc:  # its own classes, which share no other base
        raise ArtifactError(
            f"{where}: expected an ONNX graph, found something onnxruntime does not run "
            f"({' '.join(str(exc).split())[:_SHOWN]}); run `{remedy}`"
        ) from exc


@cache
def _onnxruntime() -> Any:
    """Import onnxruntime, silent and with a bound on what its graphs allocate."""
    silence_libraries()  # importing it alone writes an id of the machine into the user's cache
    import onnxruntime as ort

    ort.disable_telemetry_events()
    memory = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    arena = ort.OrtArenaCfg({"max_mem": _MOST_MEMORY, "arena_extend_strategy": 1})
    ort.create_and_register_allocator(memory, arena)
    return ort


def silence_libraries() -> None:
    """Switch off what libraries tell their makers, before the first of them is imported.

    What the user has set stays.
    """
    for name, value in _SILENT.items():
        os.environ.setdefault(name, value)


_SILENT = {
    "ORT_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def open_session(graph: bytes | Path, *, where: str, remedy: str, threads: int = 1) -> OnnxGraph:
    """Return a graph that runs on the processor.

    :param graph: its content, or its file.
    :param where: what messages name.
    :param remedy: the command that makes it anew, for messages.
    :param threads: of the session; 0 for one on each core. A few rows take less time than waking
        more than one does.
    :raises ImportError: if onnxruntime is not installed.
    :raises ArtifactError: if it is no graph that onnxruntime runs.
    """
    ort = _onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    # Threads that spin while they wait make it many times slower where cores are shared.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.use_env_allocators", "1")
    source = graph if isinstance(graph, bytes) else str(graph)
    with _running(where, remedy):
        session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return OnnxGraph(session, where, remedy)
