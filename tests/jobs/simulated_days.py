"""Days of a shop by a seed: nights, promotions, canaries, people, and what breaks meanwhile.

Each step is a command in a process of its own, forked off this one; many meet a fault of the disk.
What must hold is looked at after each.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from datetime import date, datetime, timedelta
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from broken_operations import HOME, OPERATIONS, command, files, in_child, what_serves
from failing_disk import KILLED, Disk, Fault, put_under
from second_model import PARTS, write

from rerank import lifecycle, store
from rerank.jobs import commands, models, scoring
from rerank.jobs.scoring.plan import REJECTS_FOLDER
from rerank.model import RerankModel

WORK = {operation.name: operation.work for operation in OPERATIONS}
FIRST = date(2026, 1, 1)
FEEDS = ("a", "b", "c")
_ENDINGS = {0, 1, 2, 130}


class Shop:
    """A workspace, its feeds and its nights.

    :param root: an empty folder for all of it.
    """

    def __init__(self, root: Path, seed: int) -> None:
        self._root, self._seed, self._day = root, seed, 0
        self._here, self._spare = root / "here", root / "spare"
        self._here.mkdir()
        self._feeds: dict[str, list[tuple[str, str]]] = {name: [] for name in FEEDS}
        self._settled: set[str] = set()  # titles of which a verdict was acknowledged
        self._labelled: set[str] = set()  # listings of which an annotation was
        self._served: set[str] = set()
        self._finished: dict[str, str] = {}  # outputs of days that are over
        self._log: list[str] = []
        for package in (commands, lifecycle, models, scoring, store):  # once, not in each child
            for module in iter_modules(package.__path__, f"{package.__name__}."):
                import_module(module.name)
        self._do("a second version", _second_version)
        version = (self._here / "version").read_text()
        RerankModel.load(self._here / "home/models/ltr" / version)
        self._look()

    def live(self, day: int) -> None:
        """Let a day pass.

        :raises AssertionError: if something does not hold; it says after which steps of the day.
        """
        self._dice, self._day, self._log = random.Random(f"{self._seed} {day}"), day, []
        steps = [self._night, self._verdict, self._annotations, self._pointer, self._pointer]
        steps += [self._damaged_version, self._canary_night]
        try:
            for step in [*self._dice.sample(steps[1:], 2), self._night]:
                step()
                self._look()
        except AssertionError as exc:
            raise AssertionError(f"seed {self._seed}, day {day}, {self._log}: {exc}") from exc

    # -- steps -------------------------------------------------------------------------------

    def _night(self) -> None:
        self._write_feeds()
        expected = {name: rows for name, rows in self._feeds.items() if name in self._good}
        work = command("nightly", "--date", self._date(), "feeds", "out")
        kind = self._dice.randrange(4)
        if kind == 0:
            self._do("half a night", work, broken=True)
        elif kind == 1:
            self._two_at_once(work)
        elif kind == 2 and self._finished:  # what the night would take its answers from
            path = self._dice.choice(sorted(self._finished))
            self._flip(Path(path))
            self._finished.pop(path)
        status = self._do("a night", work)
        assert status == int(self._broken), f"the night ended with {status}: {self._said()}"
        found = self._asked(lambda: _day(Path("out") / self._date()))
        assert sorted(found) == sorted(expected), f"{sorted(found)}, not {sorted(expected)}"
        for name, rows in expected.items():
            ids, titles, decisions, versions, rejects = found[name]
            assert list(zip(ids, titles, strict=True)) == rows, f"{name}: other rows than the feed"
            assert rejects == sum(not title for _, title in rows), f"{name}: {rejects} rejects"
            assert set(versions) <= self._served, f"{versions} answered and never served"
            for title, decision in zip(titles, decisions, strict=True):
                assert title not in self._settled or decision == "no_match", f"{title}: {decision}"

    def _write_feeds(self) -> None:
        folder, dice = self._here / "feeds", self._dice
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self._good, self._broken = [], False
        for name, rows in self._feeds.items():
            for _ in range(dice.randrange(4)):
                title = f"{dice.choice(PARTS)} {dice.randrange(99)}"
                title = dice.choice([title, title, "", *sorted(self._settled)[-3:]])
                rows.append((f"{name}-{self._day}-{dice.randrange(10**6)}", title))
            if rows and dice.random() < 0.3:
                rows.append(dice.choice(rows))  # twice
            if rows and dice.random() < 0.3:
                at = dice.randrange(len(rows))
                rows[at] = (rows[at][0], dice.choice(PARTS))
            del rows[: max(0, len(rows) - 8)]
            path, kind = folder / f"{name}.parquet", dice.randrange(8)
            columns = {"listing_id": [row[0] for row in rows], "title": [row[1] for row in rows]}
            types = pa.schema([("listing_id", pa.string()), ("title", pa.string())])
            if name == FEEDS[0] or kind > 1:
                pq.write_table(pa.table(columns, types), path)
                self._good.append(name)
            elif kind == 1:
                path.write_bytes(b"PAR1 half a file")
                self._broken = True

    def _two_at_once(self, work: Callable[[], None]) -> None:
        self._log.append("two nights at once")
        child = os.fork()
        if child == 0:
            os._exit(in_child(self._here, work, self._root / "other.txt") % 256)
        status = in_child(self._here, work, self._root / "output.txt")
        other = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said = self._said() + (self._root / "other.txt").read_text(errors="replace")
        assert "Traceback" not in said, said[-1500:]
        assert {status, other} <= {0, 1}, f"{status} and {other}: {said[-700:]}"

    def _verdict(self) -> None:
        title = f"RTX 3080 cooler {self._day}"
        words = ("verdicts", "set", title, "--verdict", "not_gpu", "--annotator", "ann")
        self._until_done("a verdict", command(*words))
        self._settled.add(title)

    def _annotations(self) -> None:
        listing = f"seen-{self._day}"
        row = {"listing_id": listing, "title": PARTS[0], "annotator": "ann", "verdict": "not_gpu"}
        pq.write_table(pa.Table.from_pylist([row]), self._here / "answers.parquet")
        work = command("store", "import", "annotations", "answers.parquet")
        self._until_done("annotations", work)
        self._labelled.add(listing)

    def _pointer(self) -> None:
        name = self._dice.choice(["promote", "rollback", "canary start", "canary stop"])
        work = WORK[name] if name in WORK else command("models", "canary", "stop")
        work = _two_days_ago(work) if self._dice.random() < 0.2 else work
        self._do(name, work, broken=self._dice.random() < 0.5)

    def _canary_night(self) -> None:
        write(self._here / "feed.parquet", 12)
        words = ("models", "canary", "run", "feed.parquet", "out.parquet", "--overwrite")
        self._until_done("a canary's night", command(*words))
        versions = pq.read_table(self._here / "out.parquet")["model_version"].to_pylist()
        assert len(versions) == 12, f"{len(versions)} of 12 rows"
        assert set(versions) <= self._served, f"{versions} answered and never served"

    def _damaged_version(self) -> None:
        """A byte of a version is turned: what serves says so, or what served before serves."""
        version = (self._here / "version").read_text()
        path = Path("home/models/ltr") / version / "offer.onnx"
        write(self._here / "feed.parquet", 3)
        at = self._flip(path)
        status = self._do("a damaged version", command("score", "feed.parquet", "d", "--overwrite"))
        assert status in (0, 1), f"{status}: {self._said()}"
        self._flip(path, at)

    # -- running and looking ------------------------------------------------------------------

    def _until_done(self, name: str, work: Callable[[], None]) -> None:
        if self._dice.random() < 0.5:
            self._do(name, work, broken=True)
        status = self._do(name, work)
        assert status == 0, f"{name} ended with {status}: {self._said()}"

    def _do(self, name: str, work: Callable[[], None], broken: bool = False) -> int:
        """Run a step and return how it ended, in a sentence at worst."""
        expected, run = _ENDINGS, work
        if broken:
            at, fault = self._dice.randrange(1, 60), self._dice.choice(list(Fault))
            name = f"{name}, {fault.name} at {at}"
            expected = expected | {KILLED}
            shutil.rmtree(self._spare, ignore_errors=True)
            self._spare.mkdir()

            def run() -> None:
                put_under(Disk(self._here, self._spare, at, fault))
                work()

        self._log.append(name)
        status = in_child(self._here, run, self._root / "output.txt")
        assert "Traceback" not in self._said(), self._said()
        assert status in expected, f"{name} ended with status {status}: {self._said()}"
        return status

    def _said(self) -> str:
        return (self._root / "output.txt").read_text(errors="replace")[-1500:]

    def _asked(self, work: Callable[[], Any]) -> Any:
        into = self._root / "state.txt"
        status = in_child(self._here, work, into)
        assert status == 0, f"cannot be opened: {into.read_text(errors='replace')[-1500:]}"
        return json.loads(into.with_suffix(".json").read_text())

    def _look(self) -> None:
        """Look at what must hold whatever happened."""
        found = self._asked(_state)
        assert found["champion"] == found["by history"], f"pointer and history differ: {found}"
        self._served |= set(found["serving"])
        assert self._settled <= set(found["verdicts"]), "a verdict is gone"
        assert self._labelled <= set(found["annotations"]), "an annotation is gone"
        today = f"out/{self._date()}/"
        kept = {path: now for path, now in found["days"].items() if today not in path}
        for path, was in self._finished.items():
            assert kept.get(path, was) == was or today in path, f"{path} has changed"
            assert path in found["days"] or today in path, f"{path} is gone"
        self._finished |= kept

    def _date(self) -> str:
        return (FIRST + timedelta(days=self._day)).isoformat()

    def _flip(self, path: Path, at: int | None = None) -> int:
        self._log.append(f"a byte of {path} is turned")
        content = bytearray((self._here / path).read_bytes())
        at = self._dice.randrange(len(content)) if at is None else at
        content[at] ^= 0x10
        (self._here / path).write_bytes(content)
        return at


def _second_version() -> None:
    from second_model import add_version

    Path("version").write_text(add_version(HOME, Path("draft"), match=0.5).version)


def _two_days_ago(work: Callable[[], None]) -> Callable[[], None]:
    """Return what works while the clock has stepped back."""

    class Earlier(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) - timedelta(days=2)

    def run() -> None:
        from rerank.lifecycle import model_registry, versions
        from rerank.store import database

        for module in (model_registry, versions, database):
            if hasattr(module, "datetime"):
                module.datetime = Earlier
        work()

    return run


def _state() -> dict[str, Any]:
    from rerank.index.records import shipped
    from rerank.lifecycle.model_registry import CHAMPION, ModelRegistry
    from rerank.lifecycle.versions import SHIPPED_MODEL
    from rerank.store.database import Store
    from rerank.workspace import Workspace

    what_serves()  # all that is named opens
    registry = ModelRegistry(Workspace(HOME))
    pointer = registry.pointer()
    changes = [each.to for each in registry.history() if each.alias == CHAMPION and each.to]
    serving = [pointer.champion.version]
    if SHIPPED_MODEL in (pointer.champion, pointer.previous) or not changes:
        serving.append(RerankModel.load(shipped("model")).version)
    if pointer.canary is not None:
        serving.append(Path("version").read_text())
    with Store(HOME / "store.duckdb").reading() as session:
        verdicts = session.rows("t", "SELECT title FROM verdicts")
        annotations = session.rows("t", "SELECT listing_id FROM annotations")
    return {
        "champion": str(pointer.champion),
        "by history": str(changes[-1] if changes else SHIPPED_MODEL),
        "serving": serving,
        "verdicts": [title for (title,) in verdicts],
        "annotations": [listing for (listing,) in annotations],
        "days": {path: now for path, now in files("out").items() if path.endswith(".parquet")},
    }


def _day(folder: Path) -> dict[str, list[Any]]:
    """Return of each output its ids, titles, decisions and versions, and how many rejects."""
    found = {}
    for name in FEEDS:
        path = folder / f"{name}.parquet"
        if path.exists():
            table = pq.read_table(path)
            columns = ("listing_id", "title", "decision", "model_version")
            rejects = folder / REJECTS_FOLDER / path.name
            n = pq.read_metadata(rejects).num_rows if rejects.exists() else 0
            found[name] = [*(table[column].to_pylist() for column in columns), n]
    return found
