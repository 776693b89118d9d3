"""Score one file of listings into parquet and rejects that appear when complete."""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import (
    ExitStack,
    closing,
    contextmanager,
    nullcontext,
    suppress,
)
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rerank.answer_columns import strings
from rerank.index.artifacts import locked, sync
from rerank.index.errors import InputError, os_error_words
from rerank.jobs.files.listings import (
    BATCH_ROWS,
    ROW_NUMBER,
    ListingBatch,
    ListingFile,
    as_text,
    json_values,
    open_listings,
    taken,
)
from rerank.jobs.files.places import Fetched, Place
from rerank.jobs.scoring.answering import Answerer, Moves, output_schema
from rerank.jobs.scoring.plan import (
    AS_TEXT,
    MARK_KEY,
    PARQUET,
    RECORD_KEY,
    REJECTS_SCHEMA,
    ScorePlan,
    SharedColumns,
    Target,
    Task,
    column_types,
    differences,
    is_rejects_file,
    read_record,
)
from rerank.jobs.tables import plural

if TYPE_CHECKING:
    from rerank.jobs.scoring.flat_files import FlatFile


@dataclass(frozen=True, slots=True)
class FileCounts:
    """What came out of one file."""

    rows: int
    rejects: int
    decisions: dict[str, int]


def score_one(
    listings: ListingFile,
    target: Target,
    answerer: Answerer,
    *,
    schema: pa.Schema,
    record: Mapping[str, Any],
    progress: Callable[[int], None],
    check_source: Callable[[], None],
    say: Callable[[str], None] = lambda text: None,
    group: DraftGroup,
) -> FileCounts:
    """Resolve every listing of a file, in order, none left out.

    :param schema: `output_schema` of the listings.
    :param record: how the file is made, and of which columns; goes into its footer with its counts.
    :param progress: takes the number of rows done.
    :param check_source: called before anything appears; raises if the input is not what it was.
    :param say: takes what is odd about the ids.
    :param group: takes what is to appear.
    :raises InputError: if the input is not what its reader found at first.
    """
    rejects = RejectsFile(target.rejects)
    with ExitStack() as undone:
        draft = undone.enter_context(drafting(target.resolved))
        undone.callback(rejects.discard)
        ids = IdsSeen()
        with closing(writer_of(target.resolved, draft.sink, schema)) as resolved:
            counts = _score_rows(listings, answerer, resolved, rejects, progress, ids)
            check_source()
            if not counts.rows == listings.n_rows == sum(counts.decisions.values()):
                raise InputError(
                    f"{target.resolved}: expected {listings.n_rows} rows, found {counts.rows}: the "
                    "input changed while it was read; run again"
                )
            kept = {**record, "counts": asdict(counts)}
            resolved.finish({RECORD_KEY: json.dumps(kept, sort_keys=True)})
        draft.finish()
        rejects.finish()
        group.add(draft, rejects, undone.pop_all())
    for fault in ids.faults():
        say(fault)
    return counts


def writer_of(target: Place, sink: Any, schema: pa.Schema) -> ResolvedFile | FlatFile:
    """Return what writes an output, by the ending of its name."""
    if target.suffix == PARQUET:
        return ResolvedFile(sink, schema)
    from rerank.jobs.scoring.flat_files import FLAT, flat_schema  # few need it

    return FLAT[target.suffix](sink, flat_schema(schema))


def _score_rows(
    listings: ListingFile,
    answerer: Answerer,
    resolved: ResolvedFile | FlatFile,
    rejects: RejectsFile,
    progress: Callable[[int], None],
    ids: IdsSeen,
) -> FileCounts:
    decisions: Counter[str] = Counter()
    rows = 0
    for batch, answers in answerer.answers(listings.batches(BATCH_ROWS)):
        if answers.num_rows != batch.table.num_rows:
            raise AssertionError(f"{batch.table.num_rows} rows in, {answers.num_rows} answers out")
        resolved.add(batch.table, answers)
        ids.add(batch)
        rejects.add(batch, answers.column("reason"))
        for pair in pc.value_counts(answers.column("decision")).to_pylist():
            decisions[pair["values"]] += pair["counts"]
        rows += answers.num_rows
        progress(rows)
    return FileCounts(rows, rejects.n_rows, dict(sorted(decisions.items())))


FILE_FAULTS = (InputError, OSError, pa.ArrowException)
"""What is wrong with a single file, or the disk; the files after it may do."""


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """What became of a file.

    :param counts: None if it failed.
    :param error: the message that names the file and the fault, if it failed.
    :param n_reused: rows of it that were answered from earlier outputs.
    :param moves: what became of rows that a change of the index may have touched.
    """

    kind: Literal["scored", "kept", "failed"]
    counts: FileCounts | None = None
    error: str = ""
    n_reused: int = 0
    moves: Moves = field(default_factory=Moves)

    def as_json(self) -> dict[str, Any]:
        """Return the same as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> FileOutcome:
        """Return what `as_json` made plain."""
        counts, moves = content["counts"], Moves.read(content["moves"])
        counts = None if counts is None else FileCounts(**counts)
        return cls(**{**content, "counts": counts, "moves": moves})


_ROUNDED = re.compile(r"\d([.,]\d+)?E\+\d+", re.IGNORECASE)
_NO_ID = [hash(text) | 1 for text in ("", "None", "nan")]


class IdsSeen:
    """The ids of a file, 8 bytes each, and what is odd about them."""

    def __init__(self) -> None:
        self._hashes: list[NDArray[np.int64]] = []
        self._rounded = 0
        self._first_rounded = ""

    def add(self, batch: ListingBatch) -> None:
        """Take the ids of the next rows."""
        if batch.columns.listing_id == ROW_NUMBER:
            return
        found = batch.ids()
        if "E+" in "".join(found):
            rounded = [each for each in found if _ROUNDED.fullmatch(each)]
            self._rounded += len(rounded)
            self._first_rounded = self._first_rounded or "".join(rounded[:1])
        hashes = np.fromiter(map(hash, found), np.int64, len(found)) | 1
        hashes[np.isin(hashes, _NO_ID)] = 0
        self._hashes.append(hashes)

    def faults(self) -> list[str]:
        """Say which ids a spreadsheet has rounded, and how many stand for several rows."""
        said = []
        if self._rounded:
            said.append(
                f"{self._rounded:,} ids such as {self._first_rounded} were rounded by a "
                "spreadsheet; export them as text"
            )
        if sum(map(len, self._hashes)) < 2:
            return said
        hashes = np.concatenate(self._hashes)
        order = np.argsort(hashes, kind="stable")
        ordered = hashes[order]
        again = np.flatnonzero((ordered[1:] == ordered[:-1]) & (ordered[1:] != 0))
        if len(again):
            first = again[np.argmin(order[again + 1])]
            one, other = order[first] + 1, order[first + 1] + 1
            said.append(
                f"{len(again):,} rows have the id of a row before them, as row {other:,} has that "
                f"of row {one:,}"
            )
        return said


def score_task(
    task: Task,
    answerer: Answerer,
    columns: SharedColumns,
    *,
    resume: bool,
    progress: Callable[[float, int], None] = lambda share, rows: None,
    say: Callable[[str], None] = lambda text: None,
    group: DraftGroup | None = None,
) -> FileOutcome:
    """Score a file, or keep what an earlier run made of it.

    :param resume: keep an output that is there if it is what would be made now.
    :param progress: takes the share and the number of the file's rows that are done.
    :param say: takes warnings, and why an output that is there is made again.
    :param group: takes the output, to let it appear with others; None lets it appear at once.
    """
    known, options = answerer.n_reused, answerer.options
    answerer.moves = Moves()
    progress(0.0, 0)
    with ExitStack() as opened:
        listings: ListingFile | None = None
        try:
            content = opened.enter_context(Fetched(task.source))
            if resume or task.source.suffix == ".parquet":
                content.fingerprint()  # rows of text are hashed while they are counted
            if not resume:  # workers load meanwhile what they answer with
                listings = open_listings(content, options.columns, options.encoding)
        except FILE_FAULTS as exc:
            return failed_outcome(task, exc)
        answerer.ready()
        try:
            if resume and (kept := _finished(task, content, answerer, columns, say)):
                return FileOutcome("kept", kept)
            listings = listings or open_listings(content, options.columns, options.encoding)
            own = group or opened.enter_context(DraftGroup())
            counts = _score_read(task, content, listings, answerer, columns, progress, say, own)
            for fault in own.publish() if group is None else ():
                if fault is not None:
                    raise fault
        except FILE_FAULTS as exc:
            return failed_outcome(task, exc)
    return FileOutcome("scored", counts, "", answerer.n_reused - known, answerer.moves)


def _score_read(
    task: Task,
    content: Fetched,
    listings: ListingFile,
    answerer: Answerer,
    columns: SharedColumns,
    progress: Callable[[float, int], None],
    say: Callable[[str], None],
    group: DraftGroup,
) -> FileCounts:
    for remark in listings.remarks:
        say(remark)
    fingerprint = content.fingerprint()
    types = column_types(listings.schema)
    conflicts = columns.check(task.source, types)
    for name, why in conflicts.items():
        say(f"Warning: {task.source}: {name} is read as text: {why}")
    listings = as_text(listings, conflicts)
    schema = output_schema(listings.schema, answerer.schema)
    record = {"input": fingerprint, "columns": types, **answerer.expectation()}
    if conflicts:
        record[AS_TEXT] = sorted(conflicts)
    for old, new in zip(listings.schema.names, schema.names, strict=False):
        if old != new:
            say(f"Warning: your column {old!r} is kept as {new!r}")
    return score_one(
        listings,
        task.target,
        answerer,
        schema=schema,
        record=record,
        check_source=content.check_unchanged,
        progress=lambda rows: progress(rows / max(listings.n_rows, rows), rows),
        say=lambda text: say(f"Warning: {task.source}: {text}"),
        group=group,
    )


def _finished(
    task: Task,
    content: Fetched,
    answerer: Answerer,
    columns: SharedColumns,
    say: Callable[[str], None],
) -> FileCounts | None:
    """Return the counts of a file that an earlier run finished; None if it is to be done again."""
    record = read_record(task.target.resolved)
    if record is None:
        return None
    expected = {"input": content.fingerprint(), **answerer.expectation()}
    changed = differences(record, expected)
    if not changed and record["counts"]["rejects"] and not task.target.rejects.exists():
        changed = ["its rejects are gone"]
    if not changed:
        conflicts = sorted(columns.check(task.source, record["columns"]))
        changed = [] if conflicts == record.get(AS_TEXT, []) else ["other columns are text"]
    if changed:
        say(f"{task.source}: scored again, {' and '.join(changed)}")
        return None
    return FileCounts(**record["counts"])


def failed_outcome(task: Task, exc: Exception) -> FileOutcome:
    """Return what became of a file that could not be read or written."""
    return FileOutcome("failed", error=_message(task, exc))


def _message(task: Task, exc: Exception) -> str:
    """Return an error's text with the file: a full disk names none."""
    if isinstance(exc, InputError):
        return str(exc)
    words = os_error_words(exc) if isinstance(exc, OSError) else " ".join(str(exc).split())
    return f"{task.source}: not scored into {task.target.resolved}: {words}"


_ENDING = ".scoring"


class Draft:
    """A file that is being written; once it is open, ``sink`` takes its bytes.

    It is made before it is opened, so that Ctrl-C at any moment finds it to be discarded.
    """

    def __init__(self, target: Place) -> None:
        self._target = target
        self._place = target.sibling(f".{target.name}.{secrets.token_hex(4)}{_ENDING}")
        self._held = ExitStack()
        self._lock: int | None = None
        self.sink: Any = None

    def open(self) -> None:
        """Let the file appear, empty and locked."""
        self._target.make_parent()
        if self._place.local is not None:
            self._lock = self._held.enter_context(locked(self._place.local, BlockingIOError))
        self.sink = self._place.filesystem.open_output_stream(self._place.path)

    def finish(self) -> None:
        """Hand all bytes over; the target is not touched yet."""
        self.sink.close()

    def sync(self) -> None:
        """Put all bytes on disk."""
        if self._lock is not None:
            os.fsync(self._lock)

    def publish(self) -> Path | None:
        """Rename the finished draft to its target; return the folder that is to be put on disk."""
        if self._place.local is None or self._target.local is None:
            self._place.filesystem.move(self._place.path, self._target.path)
            return None
        os.replace(self._place.local, self._target.local)
        return self._target.local.parent

    def discard(self) -> None:
        """Remove what was not published, and let go."""
        with suppress(OSError, pa.ArrowException):
            if self.sink is not None:
                self.sink.close()
        with suppress(OSError, pa.ArrowException):
            self._place.filesystem.delete_file(self._place.path)
        self._held.close()


@contextmanager
def drafting(target: Place) -> Iterator[Draft]:
    """Yield a draft, to be finished and published; otherwise it is gone when the block ends."""
    draft = Draft(target)
    try:
        draft.open()
        yield draft
    finally:
        draft.discard()


_GROUP_FILES = 64
_GROUP_S = 0.05
_SYNCS_AT_ONCE = 16


class DraftGroup:
    """Finished drafts that appear together: a disk puts many files in place as fast as one.

    A file appears when it is complete and on disk, as ever; the group only says when. What was not
    published is gone when its context ends.
    """

    def __init__(self) -> None:
        self._drafts: list[tuple[Draft, RejectsFile, ExitStack]] = []
        self._since = time.monotonic()

    def __enter__(self) -> DraftGroup:
        return self

    def __exit__(self, *exc: object) -> None:
        while self._drafts:
            self._drafts.pop()[2].close()

    def add(self, draft: Draft, rejects: RejectsFile, undone: ExitStack) -> None:
        """Take a file that is written.

        :param undone: removes what is not published.
        """
        self._drafts.append((draft, rejects, undone))

    @property
    def is_due(self) -> bool:
        """Whether enough files or time have passed."""
        return len(self._drafts) >= _GROUP_FILES or time.monotonic() - self._since >= _GROUP_S

    def publish(self) -> list[Exception | None]:
        """Let all files appear, each with its rejects; return what went wrong with each."""
        drafts, self._drafts, self._since = self._drafts, [], time.monotonic()
        with ExitStack() as undone:
            for _, _, own in drafts:
                undone.push(own)
            faults = _each(_synced, drafts)
            folders: set[Path] = set()
            for at, (draft, rejects, _) in enumerate(drafts):
                if faults[at] is None:
                    faults[at] = _published(draft, rejects, folders)
            for folder in folders:
                sync(folder)
        return faults


def _each(
    function: Callable[[Any], Exception | None], items: Sequence[Any]
) -> list[Exception | None]:
    if len(items) < 2:  # a thread costs more than one file
        return list(map(function, items))
    with ThreadPoolExecutor(_SYNCS_AT_ONCE) as threads:
        return list(threads.map(function, items))


def _synced(item: tuple[Draft, RejectsFile, ExitStack]) -> Exception | None:
    draft, rejects, _ = item
    try:
        rejects.sync()
        draft.sync()
    except OSError as exc:
        return exc
    return None


def _published(draft: Draft, rejects: RejectsFile, folders: set[Path]) -> Exception | None:
    try:  # rejects first: a file that is there is complete with them
        folders.update(filter(None, (rejects.publish(), draft.publish())))
    except FILE_FAULTS as exc:
        return exc
    return None


@contextmanager
def exclusive(folder: Place) -> Iterator[None]:
    """Let one run at a time write to a folder of this machine.

    :raises InputError: if another run is writing to it.
    """
    if folder.local is None:
        yield
        return
    folder.local.mkdir(parents=True, exist_ok=True)
    busy = f"{folder}: another run is scoring into it; wait until it has ended"
    with locked(folder.local, lambda: InputError(busy)):
        yield


_JUST_MADE_S = 60.0  # a draft of another run may not be locked yet


def remove_left_overs(targets: Iterable[Place]) -> int:
    """Remove the drafts that killed runs left beside some targets; none that is being written.

    :returns: how many there were.
    """
    own: dict[Path, set[str]] = {}
    for target in targets:
        if target.local is not None:
            own.setdefault(target.local.parent, set()).add(target.name)
    found = 0
    for folder, names in own.items():
        for draft in _drafts_in(folder, names):
            with suppress(OSError), locked(draft, BlockingIOError):
                draft.unlink()
                found += 1
    return found


def _drafts_in(folder: Path, names: set[str]) -> list[Path]:
    """Return the drafts in a folder: those of targets of ours, and those of others that are old."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        drafts = [each for each in entries if each.name[0] == "." and each.name.endswith(_ENDING)]
    found = []
    for entry in drafts:
        with suppress(OSError):  # gone meanwhile
            target = entry.name[1:].rsplit(".", 2)[0]
            if target in names or time.time() - entry.stat().st_mtime > _JUST_MADE_S:
                found.append(Path(entry.path))
    return found


_MARK = "1"  # the format
_NO_TITLE = strings(["no title"])[0]  # of a str, pyarrow asks pandas, which it imports for that


class RejectsFile:
    """The rejects of one file of listings; there is no file until there is a reject."""

    def __init__(self, target: Place) -> None:
        self._target = target
        self._draft: Draft | None = None
        self._writer: pq.ParquetWriter | None = None
        self._first_row = 1
        self.n_rows = 0

    def add(self, batch: ListingBatch, reasons: pa.ChunkedArray) -> None:
        """Take the rejects of the next batch.

        :param reasons: of every row's answer.
        """
        without = pc.indices_nonzero(pc.equal(reasons, _NO_TITLE)).to_pylist()
        rows = sorted({*without, *batch.bad_rows})
        if rows:
            self._write(batch, rows, reasons.to_pylist())
        self._first_row += len(reasons)

    def finish(self) -> None:
        """Put all rows on disk; nothing appears yet."""
        if self._draft is not None and self._writer is not None:
            self._writer.add_key_value_metadata({MARK_KEY: _MARK})
            self._writer.close()
            self._draft.finish()

    def sync(self) -> None:
        """Put all bytes on disk."""
        if self._draft is not None:
            self._draft.sync()

    def publish(self) -> Path | None:
        """Let the file appear, or let one of an earlier run disappear if there are no rejects.

        What somebody else keeps under that name stays if there is nothing to write.

        :returns: the folder that is to be put on disk.
        """
        if self._draft is not None:
            return self._draft.publish()
        if is_rejects_file(self._target):
            self._target.filesystem.delete_file(self._target.path)
        return None

    def discard(self) -> None:
        """Remove what was not published."""
        if self._writer is not None:
            with suppress(OSError, pa.ArrowException):
                self._writer.close()  # before what it writes to is closed
        if self._draft is not None:
            self._draft.discard()

    def _write(self, batch: ListingBatch, rows: list[int], reasons: list[str]) -> None:
        if self._writer is None:
            self._draft = Draft(self._target)
            self._draft.open()
            self._writer = pq.ParquetWriter(self._draft.sink, REJECTS_SCHEMA)
        listing_ids = batch.table.column(batch.columns.listing_id).to_pylist()
        columns = [
            [self._first_row + at for at in rows],
            [None if listing_ids[at] is None else str(listing_ids[at]) for at in rows],
            [reasons[at] for at in rows],
            _contents(batch, rows),
        ]
        self._writer.write_table(
            pa.table([pa.array(values) for values in columns], schema=REJECTS_SCHEMA)
        )
        self.n_rows += len(rows)


def _contents(batch: ListingBatch, rows: list[int]) -> list[str]:
    """Return rows as JSON, as they were read."""
    table = taken(batch.table, rows)
    columns = [json_values(column) for column in table.columns]
    read = (
        dict(zip(table.column_names, values, strict=True)) for values in zip(*columns, strict=True)
    )
    return [
        _json(batch.bad_rows[at].row if at in batch.bad_rows else row)
        for at, row in zip(rows, read, strict=True)
    ]


def _json(row: Any) -> str:
    """Return a row as JSON; what JSON does not know is text."""
    text = json.dumps(row, ensure_ascii=False, default=str)
    return text.encode("utf-8", "replace").decode()  # JSON may hold half a surrogate pair


# Some 15 MB with 20 candidates a row; groups of twice the rows make files 3 % smaller.
GROUP_ROWS = 4 * BATCH_ROWS
# Of the input: descriptions of 20 kB would make 650 MB of such a group, and two are held.
GROUP_BYTES = 64 << 20


_SELDOM_AGAIN = re.compile(r"candidates\..*\.(score|probability)")


@lru_cache(16)
def _encoding(schema: pa.Schema) -> tuple[list[str], list[str]]:
    """Return the leaves of columns that are worth a dictionary, and those worth statistics.

    Scores of candidates are too many for the one, and nobody looks for what stands in lists by the
    other: without, candidates are written in two thirds of the time and take less room.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), sink)
    leaves = pq.ParquetFile(pa.BufferReader(sink.getvalue())).schema
    paths = [leaves.column(at).path for at in range(len(leaves))]
    told = [path for path in paths if not path.startswith("candidates.")]
    return [path for path in paths if not _SELDOM_AGAIN.fullmatch(path)], told


class ResolvedFile:
    """A parquet file that is written on a thread of its own.

    Encoding takes 13 us a row, with 20 candidates, which resolving need not wait for. At most one
    row group is being written while another is put together.

    :param sink: takes the bytes; closed by its owner.
    """

    def __init__(self, sink: Any, schema: pa.Schema) -> None:
        self._schema = schema
        encoded, told = _encoding(schema)
        self._writer = pq.ParquetWriter(sink, schema, use_dictionary=encoded, write_statistics=told)
        self._thread: ThreadPoolExecutor | None = None  # a file of one group needs none
        self._pending: Future[None] | None = None
        self._held: list[pa.Table] = []
        self._held_rows = self._held_bytes = 0

    def add(self, rows: pa.Table, answers: pa.Table) -> None:
        """Take the next rows of the input, with their answers.

        :raises OSError: if rows before them could not be written.
        """
        columns = [*rows.columns, *answers.columns]
        table = pa.Table.from_arrays(columns, schema=self._schema)
        self._held.append(table)
        self._held_rows += table.num_rows
        # not of the answers: those of another process may have other buffers for the same values
        self._held_bytes += rows.nbytes
        if self._held_rows >= GROUP_ROWS or self._held_bytes >= GROUP_BYTES:
            self._write()

    def finish(self, metadata: dict[str, str]) -> None:
        """Write what is left, and key-value metadata into the footer.

        :raises OSError: if not all could be written.
        """
        self._wait()
        if self._held:
            self._writer.write_table(self._taken())
        self._writer.add_key_value_metadata(metadata)

    def close(self) -> None:
        """Write the footer and end the thread."""
        try:
            self._wait()
        finally:
            if self._thread is not None:
                self._thread.shutdown()
            self._writer.close()

    def _write(self) -> None:
        self._wait()
        self._thread = self._thread or ThreadPoolExecutor(1)
        self._pending = self._thread.submit(self._writer.write_table, self._taken())

    def _taken(self) -> pa.Table:
        group = pa.concat_tables(self._held)
        self._held, self._held_rows, self._held_bytes = [], 0, 0
        return group

    def _wait(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()


@contextmanager
def alone_in(plan: ScorePlan, say: Callable[[str], None]) -> Iterator[None]:
    """Let no other run write to the plan's folder, and remove what killed runs left there.

    :raises InputError: when it is entered, if another run is writing to it.
    """
    with nullcontext() if plan.folder is None else exclusive(plan.folder):
        if left := remove_left_overs(targets_of(plan)):
            where = plan.folder or plan.tasks[0].target.resolved
            say(f"{where}: {plural(left, 'draft')} of runs that were killed removed")
        yield


def targets_of(plan: ScorePlan) -> list[Place]:
    """Return the places of all outputs and rejects."""
    return [place for task in plan.tasks for place in (task.target.resolved, task.target.rejects)]
