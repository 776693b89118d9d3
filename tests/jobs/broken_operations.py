"""What is broken at every call: commands over small workspaces, and what must hold behind each.

A command runs in a process that is forked off this one, over a copy of a folder made ready before.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from failing_disk import KILLED, Disk, Fault, put_under

HOME = Path("home")
TRAINING = ("train-ltr", "--scale", "0.05", "--seed", "1")
_DRAFTS = (".draft", ".scoring", ".scratch")
_OUTPUT = "output.txt"
_LOADED_ONCE = ("rerank", "duckdb", "pyarrow", "numpy", "faiss", "filelock", "tokenizers")


@dataclass(frozen=True)
class Operation:
    """A command and what counts of what it leaves.

    :param work: does it, in the folder it was made ready in.
    :param prepare: makes the folder ready, which it is run in.
    :param state: what the folder holds; equal to that before the command or that behind it
        (or in between, if `partly` says so), and in the end to that of an unbroken run.
    :param partly: whether a state that is neither may be met.
    :param said: words with which it may refuse to be done twice.
    """

    name: str
    work: Callable[[], None]
    prepare: Callable[[], None]
    state: Callable[[], Any]
    partly: Callable[[Any, Any, Any], bool] = lambda met, before, after: False
    said: tuple[str, ...] = ()


@dataclass(frozen=True)
class Broken:
    """What a fault led to that must not be."""

    operation: str
    at: int
    call: str
    fault: Fault
    what: str

    def __str__(self) -> str:
        return f"{self.operation}, {self.fault.name} at call {self.at} ({self.call}): {self.what}"


def in_child(folder: Path, work: Callable[[], Any], into: Path) -> int:
    """Run a function in a folder in a process of its own; return how it ended.

    :param into: a file for what it prints; what it returns is written beside it as JSON.
    """
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 99
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        warnings.simplefilter("default")  # tests let them be errors
        os.chdir(folder)
        output = os.open(into, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for descriptor in (1, 2):
            os.dup2(output, descriptor)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        into.with_suffix(".json").write_text(json.dumps(work()))
        status = 0
    except SystemExit as exc:
        status = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    except BaseException:
        traceback.print_exc(file=sys.stderr)
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)


def command(*arguments: str) -> Callable[[], None]:
    """Return what runs `rerank` in its process, which ends with it."""

    def run() -> None:
        from rerank.jobs.cli import main

        main([*arguments, "--home", str(HOME)])

    return run


class Bench:
    """Runs operations whole and broken.

    :param root: an empty folder for all of it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._ready: dict[str, tuple[Path, Any, Any, list[str]]] = {}

    def calls(self, operation: Operation) -> list[str]:
        """Return the calls of an unbroken run."""
        return self._made_ready(operation)[3]

    def broken(self, operation: Operation, at: int, fault: Fault) -> Broken | None:
        """Let the ``at``-th call of an operation meet a fault, run it again, and look."""
        template, before, after, calls = self._made_ready(operation)
        name = calls[at - 1] if at <= len(calls) else "?"

        def fails(what: str) -> Broken:
            return Broken(operation.name, at, name, fault, what)

        with self._copy(template) as folder:
            status, said, _ = self._run(operation.work, folder, at, fault)
            if "Traceback" in said:
                return fails(f"a traceback: {said[-1500:]}")
            expected = {Fault.KILL: {KILLED}, Fault.LOST: {KILLED}}.get(fault, {0, 1, 2, 130})
            if status not in expected:
                return fails(f"ended with status {status}: {said[-500:]}")
            met = self._state(operation, folder)
            if isinstance(met, str):
                return fails(f"cannot be opened: {met}")
            if met not in (before, after) and not operation.partly(met, before, after):
                return fails(f"neither as before nor as behind it: {met}")
            if status == 0 and met != after:
                return fails("ended with status 0, and what it should have done is not there")
            status, said, _ = self._run(operation.work, folder)
            allowed = met == after and any(words in said for words in operation.said)
            if status != 0 and not allowed:
                return fails(f"run again it ended with status {status}: {said[-700:]}")
            met = self._state(operation, folder)
            if met != after:
                return fails(f"run again it is another than unbroken: {met}, not {after}")
        return None

    def _made_ready(self, operation: Operation) -> tuple[Path, Any, Any, list[str]]:
        if operation.name not in self._ready:
            template = self._root / f"ready-{operation.name}"
            template.mkdir()
            status = in_child(template, operation.prepare, self._root / _OUTPUT)
            assert status == 0, (self._root / _OUTPUT).read_text()
            before = self._state(operation, template)
            with self._copy(template) as folder:
                status, said, calls = self._run(operation.work, folder)
                assert status == 0, said
                after = self._state(operation, folder)
            assert not isinstance(after, str), after
            assert before != after
            self._ready[operation.name] = template, before, after, calls
        return self._ready[operation.name]

    @contextmanager
    def _copy(self, template: Path) -> Iterator[Path]:
        """Yield a copy in a place that is always the same one."""
        folder = self._root / "here"
        shutil.copytree(template, folder, symlinks=True)
        (self._root / "spare").mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder)
            shutil.rmtree(self._root / "spare")

    def _run(
        self, work: Callable[[], None], folder: Path, at: int = 0, fault: Fault = Fault.KILL
    ) -> tuple[int, str, list[str]]:
        output, counted = self._root / _OUTPUT, self._root / "calls.json"
        counted.unlink(missing_ok=True)

        def through_disk() -> None:
            disk = Disk(folder, self._root / "spare", at, fault)
            put_under(disk)
            try:
                work()
            finally:
                counted.write_text(json.dumps([disk.calls, sorted(sys.modules)]))

        status = in_child(folder, through_disk, output)
        calls, modules = json.loads(counted.read_text()) if counted.exists() else ([], [])
        for name in modules:  # what is loaded here is loaded for those forked off next
            if name not in sys.modules and name.partition(".")[0] in _LOADED_ONCE:
                with suppress(ImportError):
                    import_module(name)
        return status, output.read_text(errors="replace"), calls

    def _state(self, operation: Operation, folder: Path) -> Any:
        """Return a state as another process finds it; text if it finds none."""
        output = self._root / "state.txt"
        if in_child(folder, operation.state, output) != 0:
            return output.read_text(errors="replace")[-1500:] or "no word"
        return json.loads(output.with_suffix(".json").read_text())


def warm(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Load into this process what those forked off it would load and make again each time.

    The shipped index and model, and what one training of the small catalogue gives.

    :param folder: an empty one.
    :param patch: takes all of it back.
    """
    from small_catalogue import build_catalogue_home

    from rerank.jobs.cli import main
    from rerank.packs.generic import learning

    warm_what_ships(folder, patch)
    train, made = learning.train, []

    def learn(*given: Any, **more: Any) -> Any:
        if not made:
            made.append(train(*given, **more))
        return made[-1]

    patch.setattr(learning, "train", learn)
    home = build_catalogue_home(folder).home
    with redirect_stderr(StringIO()), redirect_stdout(StringIO()):
        main([*TRAINING, "--home", str(home)], standalone_mode=False)


def warm_what_ships(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Load the shipped index and model; each is then opened at once.

    :param folder: an empty one.
    :param patch: takes all of it back.
    """
    from rerank.index.records import shipped
    from rerank.model import RerankModel
    from rerank.workspace import Workspace, domain_of_index

    cards = domain_of_index(shipped("index"))
    index, model = cards.open_source(shipped("index"), Workspace(folder)), shipped("model")
    loaded = RerankModel.load(model)
    open_source, load = type(cards).open_source, RerankModel.load

    def opened(self: Any, where: Path, workspace: Workspace) -> Any:
        ours = where == shipped("index") and not workspace.embedder_folder.exists()
        return index if ours else open_source(self, where, workspace)

    def load_once(where: Path, **more: Any) -> Any:
        return loaded if where == model else load(where, **more)

    patch.setattr(type(cards), "open_source", opened)
    patch.setattr(RerankModel, "load", load_once)


def files(*folders: str) -> dict[str, str]:
    """Return what lies under the names that are not hidden, by path."""
    found = {}
    for folder in map(Path, folders):
        for path in sorted([folder] if folder.is_file() else folder.rglob("*")):
            if path.is_file() and not path.name.endswith(_DRAFTS):
                found[str(path)] = _digest(path)
    return found


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def some_files(met: Any, before: Any, after: Any) -> bool:
    """Say whether each file that is there is as an unbroken run leaves it."""
    return all(after.get(name) == content for name, content in met.items())


def outputs() -> Any:
    return files("out", "out.parquet")


def what_serves() -> Any:
    """Return the pointer and its history; each version it names opens, and the log agrees."""
    from rerank.lifecycle.model_registry import ModelRegistry, verified_manifest
    from rerank.lifecycle.opening import open_resolver
    from rerank.lifecycle.versions import SHIPPED_MODEL
    from rerank.workspace import Workspace

    registry = ModelRegistry(Workspace(HOME))
    pointer = registry.pointer()
    if pointer.champion != SHIPPED_MODEL or not Path("catalogue.yaml").exists():
        open_resolver(HOME)
    for ref in filter(None, [pointer.champion, pointer.previous, *pointer.aliases.values()]):
        verified_manifest(registry.folder(ref), ref.kind)
    changes = [[change.action, str(change.to)] for change in registry.history()]
    names = {name: str(ref) for name, ref in sorted(pointer.aliases.items())}
    return {
        "champion": str(pointer.champion),
        "previous": str(pointer.previous),
        "names": names,
        "canary": pointer.canary is not None,
        "history": changes,
    }


def what_is_stored() -> Any:
    """Return the rows of the store's tables of people's words, without times."""
    from rerank.store.database import Store

    found = {}
    with Store(HOME / "store.duckdb").reading() as session:
        for table in ("listings", "annotations", "verdicts"):
            names = [
                name
                for (name,) in session.rows(
                    "t", f"SELECT column_name FROM duckdb_columns() WHERE table_name = '{table}'"
                )
                if not name.endswith(("_at", "_id")) or name == "listing_id"
            ]
            rows = session.rows("t", f"SELECT {', '.join(names)} FROM {table} ORDER BY ALL")
            found[table] = [list(row) for row in sorted({tuple(map(str, row)) for row in rows})]
    return found


def _feeds() -> None:
    from small_feeds import write_feeds

    write_feeds(Path("feeds"))


def _scored_in_part() -> None:
    _feeds()
    Path("first").mkdir()
    os.rename("feeds/a.parquet", "first/a.parquet")
    with suppress(SystemExit):
        command("score", "first", "out")()
    os.rename("first/a.parquet", "feeds/a.parquet")


def _night_before() -> None:
    _feeds()
    with suppress(SystemExit):
        command("nightly", "--date", "2026-03-01", "feeds", "out")()
    table = pq.read_table("feeds/a.parquet")
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), "feeds/a.parquet")


def _second_version() -> None:
    from second_model import add_version, write

    version = add_version(HOME, Path("draft"), match=0.5).version
    write(Path("feed.parquet"), 12)
    Path("version").write_text(version)


def _promote() -> None:
    """Change the champion as `rerank models promote` does once all is judged."""
    from rerank.lifecycle.model_registry import CHAMPION, AliasChange, ModelRegistry
    from rerank.lifecycle.versions import VersionRef
    from rerank.workspace import Workspace

    registry = ModelRegistry(Workspace(HOME))
    pointer, to = registry.pointer(), VersionRef("ltr", Path("version").read_text())
    if pointer.champion != to:
        change = AliasChange(action="promote", alias=CHAMPION, to=to)
        registry.change(change, expected_generation=pointer.generation)


def _promoted() -> None:
    _second_version()
    _promote()


def _canary_begun() -> None:
    _second_version()
    Path("canary.yaml").write_text(
        "steps: [0.9]\nwindow_listings: 4\nwindows_per_step: 100\ngroup: 4\n"
    )
    with suppress(SystemExit):
        on_version("canary", "start", "--config", "canary.yaml")()


def as_command(work: Callable[[], None]) -> Callable[[], None]:
    """Return what ends as a command does: with status 1 and a word where it cannot go on."""

    def run() -> None:
        from rerank.index.errors import RerankError

        try:
            work()
        except (RerankError, OSError, KeyboardInterrupt) as exc:
            sys.exit(f"Error: {exc}")

    return run


def on_version(*arguments: str) -> Callable[[], None]:
    """Return `rerank models` on the version that was added."""

    def run() -> None:
        names = 2 if arguments[0] == "canary" else 1
        version = Path("version").read_text()
        command("models", *arguments[:names], version, *arguments[names:])()

    return run


def _listings_file() -> None:
    from small_feeds import write_feed

    write_feed(Path("listings.parquet"), ["RTX 3080 10GB", "RX6700XT", "RTX 3080 box only"])


def _stored() -> None:
    _listings_file()
    with suppress(SystemExit):
        command("store", "import", "listings", "listings.parquet")()


def _answers_file() -> None:
    _stored()
    rows = {
        "listing_id": ["listings-0", "listings-2"],
        "annotator": ["ann", "ann"],
        "verdict": ["match", "not_gpu"],
        "gpu_id": ["RTX 3080 10GB", None],
    }
    pq.write_table(pa.table(rows), "answers.parquet")


def _annotate() -> None:
    from rerank.store.database import Store
    from rerank.store.rows import Annotation, Verdict, save_annotations

    for listing in ("listings-0", "listings-1"):
        with Store(HOME / "store.duckdb").writing() as session:
            save_annotations(session, [Annotation(listing, "ann", Verdict.UNSURE)])


def _verdict() -> None:
    command("verdicts", "set", "RTX 3080 waterblock", "--verdict", "not_gpu", "--annotator", "a")()


def _verdict_before() -> None:
    with suppress(SystemExit):
        _verdict()
    _listings_file()


def _new_gpus() -> None:
    Path("new.csv").write_text(
        "model,vendor,memory_gb,memory_type\nGeForce RTX 7090,NVIDIA,48,GDDR8\n"
    )


def _catalogue() -> None:
    from small_catalogue import build_catalogue_home

    build_catalogue_home(Path())


def _index() -> Any:
    found = files("home/index")
    if found:
        from rerank.workspace import Workspace, open_source

        open_source(Workspace(HOME))
    return found


def _the_shipped_index(met: Any, before: Any, after: Any) -> bool:
    """Say whether it is the copy that GPUs are added to."""
    from rerank.index.records import shipped

    contents = map(_digest, shipped("index").iterdir())
    return set(met.values()) <= set(contents)


def _stored_subset(met: Any, before: Any, after: Any) -> bool:
    return all(row in after[table] for table, rows in met.items() for row in rows)


_RUN_TWICE = ("no version served before", "runs already")

OPERATIONS = (
    Operation(
        "score", command("score", "feeds/a.parquet", "out.parquet", "--overwrite"), _feeds, outputs
    ),
    Operation(
        "a folder", command("score", "feeds", "out", "--resume"), _feeds, outputs, some_files
    ),
    Operation(
        "resume", command("score", "feeds", "out", "--resume"), _scored_in_part, outputs, some_files
    ),
    Operation(
        "nightly",
        command("nightly", "--date", "2026-03-02", "feeds", "out"),
        _night_before,
        lambda: {name: found for name, found in outputs().items() if name.endswith(".parquet")},
        some_files,
    ),
    Operation("promote", as_command(_promote), _second_version, what_serves),
    Operation("rollback", command("models", "rollback"), _promoted, what_serves, said=_RUN_TWICE),
    Operation(
        "canary start", on_version("canary", "start"), _second_version, what_serves, said=_RUN_TWICE
    ),
    Operation(
        "canary run",
        command("models", "canary", "run", "feed.parquet", "out.parquet", "--overwrite"),
        _canary_begun,
        outputs,
    ),
    Operation(
        "store import",
        command("store", "import", "listings", "listings.parquet"),
        _listings_file,
        what_is_stored,
    ),
    Operation(
        "import annotations",
        command("store", "import", "annotations", "answers.parquet"),
        _answers_file,
        what_is_stored,
    ),
    Operation("annotate", as_command(_annotate), _stored, what_is_stored, _stored_subset),
    Operation("verdict", _verdict, _stored, what_is_stored),
    Operation(
        "score with verdicts",
        command("score", "listings.parquet", "out.parquet", "--overwrite"),
        _verdict_before,
        outputs,
    ),
    Operation(
        "build-index --add",
        command("build-index", "--add", "new.csv"),
        _new_gpus,
        _index,
        _the_shipped_index,
    ),
    Operation("train-ltr", command(*TRAINING), _catalogue, what_serves),
)
