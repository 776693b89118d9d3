"""Import listings and answers: a file's rows are read, checked and written by one policy.

Everything is checked before anything is written, and one transaction writes everything. All of it
is set-wise: a million rows are a handful of queries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import pyarrow as pa

from rerank.evaluation.gold import GoldKind
from rerank.index.errors import FaultsError, InputError
from rerank.index.records import GpuRecord
from rerank.index.rows import TEXT_TYPES, listed
from rerank.store.database import Session, Store, scratch, utc_now
from rerank.store.rows import KnownNames, NamedGpu, Verdict, save_registry

PRICE = "TRY_CAST(NULLIF(trim(price), '') AS DOUBLE)"
_TEXTS = ("title", "vendor", "description", "shop", "language")
LISTING_CONTENT = ("title", "vendor", "description", "price", "shop", "language")
"""What makes up a listing besides its key."""


class OnConflict(Enum):
    """What becomes of a row whose key the store has with other content."""

    REFUSE = "refuse"
    KEEP = "keep"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What an import did.

    :param conflicts: rows that the store had with other content: kept or replaced.
    :param listings_added: listings that came along with answers.
    :param listings_differing: listings that came along but are stored with another title; the
        stored one stays.
    """

    added: int
    unchanged: int
    conflicts: int
    listings_added: int = 0
    listings_differing: int = 0


def import_listings(
    store: Store, incoming: Incoming, *, on_conflict: OnConflict = OnConflict.REFUSE
) -> ImportSummary:
    """Write a file of listings to the store.

    A column that the file lacks is neither compared nor changed.

    :raises InputError: if the file lacks a column.
    :raises FaultsError: if rows are faulty, or in conflict with the store and that is refused.
    """
    incoming.require("listing_id", "title")
    faults = RowFaults(incoming)
    with scratch() as session:
        listings = checked_listings(session, incoming, faults)
    faults.raise_all()
    given = [name for name in LISTING_CONTENT if name in incoming.given]
    with store.writing() as session:
        return ImportSummary(*_write(session, incoming, listings, _LISTINGS, given, on_conflict))


@dataclass(frozen=True, slots=True)
class _Target:
    """A table that rows are written into.

    :param content: columns besides the keys; the last one is the time.
    :param is_whole: whether a row is replaced with its time and with what the file does not say.
    :param also_differs: when a row ``i`` is in conflict with the stored ``s`` beside its content.
    :param shown: columns of both that `told` puts in words for a conflict that is refused, with
        the names of those that differ behind them.
    """

    name: str
    keys: tuple[str, ...]
    content: tuple[str, ...]
    is_whole: bool
    also_differs: str
    shown: str
    told: Callable[..., str]


_LISTINGS = _Target(
    "listings",
    ("listing_id",),
    (*LISTING_CONTENT, "added_at"),
    is_whole=False,
    also_differs="false",
    shown="left(listing_id, 60)",
    told="listing {!r}: {}".format,
)


def _write(
    session: Session,
    incoming: Incoming,
    rows: pa.Table,
    target: _Target,
    compared: Sequence[str],
    on_conflict: OnConflict,
) -> tuple[int, int, int]:
    """Write rows into a table; return how many were added, were there already, and differed.

    :param compared: columns whose difference is a conflict.
    :raises FaultsError: if rows are in conflict and that is refused.
    """
    into, key = target.name, ", ".join(target.keys)
    names = ", ".join((*target.keys, *target.content))
    differ = {name: f"i.{name} IS DISTINCT FROM s.{name}" for name in compared}
    differing = (
        f"rows_in i JOIN {into} s USING ({key}) "
        f"WHERE {' OR '.join((*differ.values(), target.also_differs))}"
    )
    with session.visible("rows_in", rows):
        conflicts = count(session, differing)
        if conflicts and on_conflict is OnConflict.REFUSE:
            named = ", ".join(
                f"CASE WHEN {test} THEN '{name}' END" for name, test in differ.items()
            )
            found = session.rows(
                "find conflicts",
                f"SELECT place, {target.shown}, concat_ws(', ', {named}) FROM {differing} "
                "ORDER BY place",
            )
            raise FaultsError(
                f"{incoming.source}: the store has other content for these rows; nothing was "
                "written; --on-conflict keep writes the rest, --on-conflict replace writes these "
                "too",
                [
                    f"{incoming.place_word} {place}: {target.told(*values)}"
                    for place, *values in found
                ],
            )
        known = count(session, f"rows_in SEMI JOIN {into} USING ({key})")
        # The differing rows only: overwriting a million equal ones takes half a minute. And they
        # come first: afterwards the rows that were missing are equal to those handed in.
        if conflicts and on_conflict is OnConflict.REPLACE:
            new = target.content if target.is_whole else compared
            values = ", ".join(
                (*target.keys, *(f"{'i' if n in new else 's'}.{n}" for n in target.content))
            )
            session.execute(
                f"replace {into}",
                f"INSERT OR REPLACE INTO {into} ({names}) SELECT {values} FROM {differing}",
            )
        session.execute(
            f"add {into}",
            f"INSERT INTO {into} ({names}) SELECT {names} FROM rows_in ANTI JOIN {into} "
            f"USING ({key})",
        )
    return rows.num_rows - known, known - conflicts, conflicts


def checked_listings(
    session: Session, incoming: Incoming, faults: RowFaults, *, optional: bool = False
) -> pa.Table:
    """Return a file's listings, each once, with `PLACE` and their values.

    :param faults: notes values that are wrong, and listings with different content.
    :param optional: listings come along with something else, which checks their keys; rows without
        a title bring none. Otherwise such rows are faults.
    """
    text, wrong = as_text(incoming, LISTING_COLUMNS)
    faults.add_columns(wrong)
    texts = ", ".join(f"coalesce({name}, '') AS {name}" for name in _TEXTS)
    with session.visible("handed", text):
        session.execute(
            "read listings",
            f"CREATE OR REPLACE TABLE offered AS SELECT place, coalesce(listing_id, '') AS "
            f"listing_id, {texts}, {PRICE} AS price, price AS price_text FROM handed"
            + (" WHERE title <> ''" if optional else ""),
        )
    checks = f"""
        SELECT place, 'title is empty', NULL FROM offered WHERE title = ''
        UNION ALL SELECT place, 'price must be {NUMBER}', price_text FROM offered
            WHERE trim(price_text) <> '' AND NOT coalesce(isfinite(price), false)"""
    if not optional:
        checks += f" UNION ALL {key_checks('offered', 'listing_id')}"
    faults.check(session, checks)
    faults.check_repeated(session, "offered", ("listing_id",), LISTING_CONTENT)
    names = ", ".join(LISTING_CONTENT)
    return session.table(
        "collect listings",
        f"SELECT DISTINCT ON (listing_id) place, listing_id, {names}, ?::TIMESTAMP AS added_at "
        "FROM offered",
        [utc_now()],
    )


def count(session: Session, rows: str) -> int:
    """Return how many rows a FROM clause gives."""
    ((n,),) = session.rows("count", f"SELECT count(*) FROM {rows}")
    return int(n)


def import_annotations(
    store: Store,
    incoming: Incoming,
    names: KnownNames,
    records: Sequence[GpuRecord] = (),
    *,
    registry_version: str = "",
    annotator: str | None = None,
    on_conflict: OnConflict = OnConflict.REFUSE,
) -> ImportSummary:
    """Write a file of answers to the store, and the listings it brings along.

    The file has the columns of `ANNOTATION_COLUMNS`, or those of a gold file (``kind``,
    ``gold_models``, ...). Columns that it lacks are not compared; an answer that is replaced is
    replaced whole.

    :param names: of what the catalogue holds.
    :param records: a registry of which a snapshot is kept; ``registry_version`` is its fingerprint.
    :param annotator: who answered, for a file that does not say.
    :raises InputError: if the file lacks a column.
    :raises FaultsError: if rows are faulty, name unknown GPUs or unknown listings, or are in
        conflict with the store and that is refused.
    """
    is_gold = "kind" in incoming.given and "verdict" not in incoming.given
    incoming.require("listing_id", *(("kind", "gold_models") if is_gold else ("verdict",)))
    if annotator is None and "annotator" not in incoming.given:
        raise InputError(
            f"{incoming.source}: expected a column 'annotator', found none; name who answered "
            "with --annotator"
        )
    faults = RowFaults(incoming)
    with scratch() as session:
        listings = checked_listings(session, incoming, faults, optional=True)
        answers = checked_answers(
            session, incoming, names, annotator or "", is_gold=is_gold, faults=faults
        )
    if faults:  # with the listings that are nowhere, as a part of all that is to be mended
        with store.reading() as session:
            _check_listings_exist(session, listings, answers, faults)
        faults.raise_all()
    told = {*incoming.given, *ANSWER_CONTENT[:3], *(("note",) if is_gold else ())}
    compared = [name for name in ANSWER_CONTENT if name in told]
    with store.writing() as session:
        _check_listings_exist(session, listings, answers, faults)
        faults.raise_all()
        written = _write(session, incoming, answers, _ANSWERS, compared, on_conflict)
        added, _, differing = _write(
            session, incoming, listings, _LISTINGS, ("title",), OnConflict.KEEP
        )
        if records:
            save_registry(session, records, registry_version)
    return ImportSummary(*written, listings_added=added, listings_differing=differing)


def _check_listings_exist(
    session: Session, listings: pa.Table, answers: pa.Table, faults: RowFaults
) -> None:
    """Note the answers whose listing is neither stored nor comes along."""
    with session.visible("listings_in", listings), session.visible("answers_in", answers):
        faults.check(
            session,
            "SELECT place, 'listing_id is not in the store and the row has no title', listing_id "
            "FROM answers_in ANTI JOIN listings USING (listing_id) "
            "ANTI JOIN listings_in USING (listing_id) WHERE listing_id <> ''",
        )


ANSWER_CONTENT = ("verdict", "gpu_id", "model", "shown", "model_version", "note")
"""What makes up an answer besides its key and its time."""


def _told(key: str, who: str, stored: str, new: str, columns: str) -> str:
    change = new if new != stored else "the same with another note, time or origin"
    return f"listing {key!r} by {who!r}: stored {stored}, file {change}"


_ANSWERS = _Target(
    "annotations",
    ("listing_id", "annotator"),
    (*ANSWER_CONTENT, "annotated_at"),
    is_whole=True,
    also_differs="i.is_timed AND i.annotated_at <> s.annotated_at",
    shown="left(listing_id, 60), left(annotator, 60), "
    "concat_ws(' ', s.verdict, coalesce(s.gpu_id, s.model)), "
    "concat_ws(' ', i.verdict, coalesce(i.gpu_id, i.model))",
    told=_told,
)

_VERDICTS = ", ".join(verdict.value for verdict in Verdict)
_NIL_NOTE = GoldKind.NIL.value
_TIMES = "TIMESTAMP '1970-01-01' AND TIMESTAMP '9999-12-31 23:59:59'"
_NAMED = pa.schema(
    [
        ("gpu_name", pa.string()),
        ("model_name", pa.string()),
        ("memory", pa.string()),
        ("form", pa.string()),
        ("gpu_id", pa.string()),
        ("model", pa.string()),
        ("fault", pa.string()),
    ]
)
_NAME_KEY = ", ".join(_NAMED.names[:4])


def checked_answers(
    session: Session,
    incoming: Incoming,
    names: KnownNames,
    annotator: str,
    *,
    is_gold: bool,
    faults: RowFaults,
) -> pa.Table:
    """Return the file's answers, each once, with `PLACE` and the GPUs their names stand for.

    :param annotator: who answered where the row does not say; empty if each row must.
    :param is_gold: read ``kind`` and the ``gold_`` columns instead of ``verdict`` and ``gpu_id``.
    :param faults: notes values that are wrong, names that are unknown, and answers that stand there
        twice with different content.
    """
    handed, wrong = as_text(incoming, ANNOTATION_COLUMNS | PRODUCT_COLUMNS | GOLD_COLUMNS)
    faults.add_columns(wrong)
    with session.visible("handed", handed):
        as_list = pa.types.is_list(handed.column("shown").type)
        session.execute(
            "read answers", _answers_sql(is_gold=is_gold, as_list=as_list), {"annotator": annotator}
        )
    with session.visible("named", _named_gpus(session, names, is_gold=is_gold)):
        session.execute(
            "name GPUs",
            f"CREATE TABLE answers AS SELECT * FROM answered LEFT JOIN named USING ({_NAME_KEY})",
        )
    faults.check(session, _checks_sql(names, is_gold=is_gold))
    keys = ("listing_id", "annotator")
    faults.check_repeated(session, "answers", keys, (*ANSWER_CONTENT, "annotated_at"))
    content = ", ".join(ANSWER_CONTENT)
    return session.table(
        "collect answers",
        f"SELECT DISTINCT ON (listing_id, annotator) place, listing_id, annotator, {content}, "
        "answers.annotated_at IS NOT NULL AS is_timed, "
        "coalesce(answers.annotated_at, ?::TIMESTAMP) AS annotated_at FROM answers",
        [utc_now()],
    )


def _answers_sql(*, is_gold: bool, as_list: bool) -> str:
    """Return the statement that reads ``handed``; a gold file's answers look like any other's."""
    verdict, name, note = (
        "coalesce(verdict, '')",
        "coalesce(NULLIF(gpu_id, ''), product_id)",
        "coalesce(note, '')",
    )
    if is_gold:
        verdict = (
            "CASE kind WHEN 'nil' THEN 'not_gpu' WHEN 'ambiguous' THEN 'unsure' "
            "ELSE coalesce(kind, '') END"
        )
        name = "CASE WHEN kind <> 'ambiguous' THEN gold_models END"
        note = (
            f"CASE WHEN coalesce(note, '') = '' AND kind = 'nil' THEN '{_NIL_NOTE}' ELSE {note} END"
        )
    shown = (
        "shown" if as_list else ("TRY_CAST(TRY_CAST(NULLIF(trim(shown), '') AS JSON) AS VARCHAR[])")
    )
    return f"""
        CREATE TABLE answered AS SELECT
            place, coalesce(listing_id, '') AS listing_id,
            coalesce(NULLIF(annotator, ''), $annotator) AS annotator, {verdict} AS verdict,
            trim(coalesce({name}, '')) AS gpu_name, trim(coalesce(model, '')) AS model_name,
            trim(coalesce(gold_memory_gb, '')) AS memory, trim(coalesce(gold_form, '')) AS form,
            coalesce({shown}, []) AS shown,
            {"false" if as_list else "trim(shown) <> '' AND " + shown + " IS NULL"} AS no_list,
            coalesce(model_version, '') AS model_version, {note} AS note,
            TRY_CAST(NULLIF(trim(annotated_at), '') AS TIMESTAMPTZ)
                AT TIME ZONE 'UTC' AS annotated_at,
            annotated_at AS time_text
        FROM handed"""


def _checks_sql(names: KnownNames, *, is_gold: bool) -> str:
    named = "(gpu_name <> '' OR model_name <> '')"
    verdict, words, column, told = "verdict", _VERDICTS, f"{names.key} or model", "verdict"
    if is_gold:
        verdict, column, told = "kind", "gold_models", "NULL"  # its kinds are verdicts by now
        words = ", ".join(kind.value for kind in GoldKind)
    allowed = ", ".join(f"'{member.value}'" for member in Verdict)
    return f"""{key_checks("answers", "listing_id")}
        UNION ALL {key_checks("answers", "annotator")}
        UNION ALL SELECT place, '{verdict} must be one of {words}', verdict FROM answers
            WHERE verdict NOT IN ({allowed})
        UNION ALL SELECT place, 'a match names no {names.one} in {column}', NULL FROM answers
            WHERE verdict = 'match' AND NOT {named}
        UNION ALL SELECT place, 'names a {names.one} in {column} but {verdict} is no match', {told}
            FROM answers WHERE verdict <> 'match' AND verdict IN ({allowed}) AND {named}
        UNION ALL SELECT place, fault, NULL FROM answers WHERE fault IS NOT NULL
        UNION ALL SELECT place, 'shown must be {LIST}', NULL FROM answers
            WHERE no_list OR list_count(shown) <> len(shown)
        UNION ALL SELECT place, 'annotated_at must be {TIME}',
            time_text FROM answers WHERE trim(time_text) <> ''
            AND NOT coalesce(annotated_at BETWEEN {_TIMES}, false)"""


def _named_gpus(session: Session, names: KnownNames, *, is_gold: bool) -> pa.Table:
    """Resolve each different name once: a million answers name some thousand GPUs."""
    keys = session.rows(
        "collect names",
        f"SELECT DISTINCT {_NAME_KEY} FROM answered WHERE verdict = 'match' "
        "AND (gpu_name <> '' OR model_name <> '')",
    )
    rows = []
    for key in keys:
        try:
            found = _gold_gpu(names, *key) if is_gold else _gpu(names, *key[:2])
            rows.append((*key, found.gpu_id, found.model, None))
        except InputError as exc:
            rows.append((*key, None, None, str(exc)))
    columns = list(zip(*rows, strict=True)) or [()] * len(_NAMED)
    return pa.Table.from_arrays(
        [pa.array(column, pa.string()) for column in columns], schema=_NAMED
    )


def _gpu(names: KnownNames, gpu_name: str, model_name: str) -> NamedGpu:
    """Return the GPU of an answer.

    :raises InputError: if a name is unknown or the two name different models.
    """
    found = names.find(gpu_name or model_name)
    if gpu_name and model_name:
        model = names.find(model_name).model
        if model != found.model:
            raise InputError(f"{names.key} is a {found.model}, model says {model}")
    return found


def _gold_gpu(
    names: KnownNames, accepted: str, model_name: str, memory: str, form: str
) -> NamedGpu:
    """Return the GPU of a gold row: the first accepted name that the registry knows.

    :raises InputError: if none is known or the memory is no number.
    """
    try:
        memory_gb = float(memory) if memory else None
    except ValueError:
        raise InputError(f"gold_memory_gb must be {NUMBER}, got {memory!r:.80}") from None
    listed = [name.strip() for name in accepted.split(";") if name.strip()]
    return names.find_first(listed or [model_name], memory_gb=memory_gb, form_factor=form)


PLACE = "place"
NUMBER = "a finite number or empty"
TIME = "a time (2026-01-31T12:00:00Z) or empty"
LIST = "a JSON list of text"


class ColumnKind(Enum):
    """What a column holds, and what one cell of it does.

    ``KEY``: text or whole numbers; ``LIST``: texts, in text as JSON.
    """

    KEY = "text or whole numbers", "text or a whole number"
    TEXT = "text", "text"
    NUMBER = "numbers", NUMBER
    TIME = "times, or text such as 2026-01-31T12:00:00Z", TIME
    LIST = "lists of text, or text that holds a JSON list", LIST

    def __init__(self, many: str, one: str) -> None:
        self.many, self.one = many, one


LISTING_COLUMNS = {
    "listing_id": ColumnKind.KEY,
    "title": ColumnKind.TEXT,
    "vendor": ColumnKind.TEXT,
    "description": ColumnKind.TEXT,
    "price": ColumnKind.NUMBER,
    "shop": ColumnKind.TEXT,
    "language": ColumnKind.TEXT,
}
ANNOTATION_COLUMNS = {
    "listing_id": ColumnKind.KEY,
    "annotator": ColumnKind.KEY,
    "verdict": ColumnKind.TEXT,
    "gpu_id": ColumnKind.TEXT,
    "model": ColumnKind.TEXT,
    "shown": ColumnKind.LIST,
    "model_version": ColumnKind.TEXT,
    "note": ColumnKind.TEXT,
    "annotated_at": ColumnKind.TIME,
}
PRODUCT_COLUMNS = {"product_id": ColumnKind.KEY}
"""What catalogues other than the registry call ``gpu_id``."""
GOLD_COLUMNS = {
    "kind": ColumnKind.TEXT,
    "gold_models": ColumnKind.TEXT,
    "gold_memory_gb": ColumnKind.NUMBER,
    "gold_form": ColumnKind.TEXT,
}


@dataclass(frozen=True, slots=True)
class Incoming:
    """A file's rows, before they are checked.

    :param source: the file, named in errors.
    :param rows: known columns only, and `PLACE`: the line or row each came from.
    :param place_word: ``line`` or ``row``.
    :param unread: the file's columns that mean nothing here.
    :param unread_rows: (place, what is wrong) of rows or cells that could not be read.
    :param unread_cells: (place, column) of such cells; they are null in the rows.
    """

    source: str
    rows: pa.Table
    place_word: str
    unread: tuple[str, ...] = ()
    unread_rows: tuple[tuple[int, str], ...] = ()
    unread_cells: tuple[tuple[int, str], ...] = ()

    @property
    def given(self) -> frozenset[str]:
        """The known columns that the file has."""
        return frozenset(self.rows.column_names) - {PLACE}

    def require(self, *names: str) -> None:
        """Check that the file has some columns.

        :raises InputError: if it lacks one; with what could not be read, if that is it not the
            reason.
        """
        missing = [name for name in names if name not in self.given]
        if not missing:
            return
        found = listed([*sorted(self.given), *self.unread]) or "none"
        told = (
            f"expected the columns {', '.join(names)}, missing {', '.join(missing)}, found "
            f"{found}; rename or add the columns"
        )
        if not self.unread_rows:
            raise InputError(f"{self.source}: {told}")
        unread = [f"{self.place_word} {place}: {wrong}" for place, wrong in self.unread_rows]
        raise FaultsError(self.source, [told, *unread] if self.rows.num_rows else unread)


def as_text(incoming: Incoming, columns: dict[str, ColumnKind]) -> tuple[pa.Table, dict[str, str]]:
    """Return the rows with exactly these columns, and `PLACE`; all text, lists as they are.

    Numbers and times become the text that DuckDB reads back to the same value. A column that the
    file lacks is all null; so is one that holds another type than it should, and what is wrong
    with it is returned under its name.
    """
    arrays = dict.fromkeys(columns, pa.nulls(incoming.rows.num_rows, pa.string()))
    faults = {}
    for name in filter(incoming.given.__contains__, columns):
        kind, column = columns[name], incoming.rows.column(name)
        found: object = column.type
        try:
            if _fits(column.type, kind):
                arrays[name] = _text_of(column, kind)
                continue
        except pa.ArrowInvalid as exc:
            found = exc
        faults[name] = f"expected {kind.many}, found {found}"
    return pa.table({PLACE: incoming.rows.column(PLACE), **arrays}), faults


_OTHERS: dict[ColumnKind, tuple[Callable[[pa.DataType], bool], ...]] = {
    ColumnKind.KEY: (pa.types.is_integer,),
    ColumnKind.TEXT: (),
    ColumnKind.NUMBER: (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal),
    ColumnKind.TIME: (pa.types.is_timestamp, pa.types.is_date),
    ColumnKind.LIST: (lambda kind: _is_list(kind) and str(kind.value_type) in TEXT_TYPES,),
}


def _fits(found: pa.DataType, kind: ColumnKind) -> bool:
    if pa.types.is_dictionary(found):
        found = found.value_type
    return str(found) in TEXT_TYPES or any(test(found) for test in _OTHERS[kind])


def _is_list(found: pa.DataType) -> bool:
    return bool(pa.types.is_list(found) or pa.types.is_large_list(found))


def _text_of(column: pa.ChunkedArray, kind: ColumnKind) -> pa.ChunkedArray:
    found = column.type
    if _is_list(found):
        return column.cast(pa.list_(pa.string()))
    if kind is ColumnKind.TIME and (pa.types.is_timestamp(found) or pa.types.is_date(found)):
        # with a zone, Arrow keeps UTC; what is finer than microseconds is cut
        fine = pa.types.is_timestamp(found) and found.unit == "ns"
        column = column.cast(pa.timestamp("us"), safe=not fine)
    return column.cast(pa.string())


LONGEST_KEY = 1_000
"""Characters of a listing_id or an annotator: they are keys, not texts."""

_FIRST_PLACES = 5
_SHOWN_CHARS = 60


class RowFaults:
    """Collects what is wrong with a file; begins with what could not be read of it.

    A cell that could not be read is null in the rows, and so is a column of another type. What a
    check finds wrong with them is no fault of its own: such checks name the column.
    """

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._found: dict[str, int] = {}  # each with the first of its places
        by_fault: dict[str, list[int]] = {}
        for place, wrong in incoming.unread_rows:
            by_fault.setdefault(wrong, []).append(place)
        for wrong, places in by_fault.items():
            self._add(places, len(places), wrong)
        cells = list(zip(*incoming.unread_cells, strict=True)) or [(), ()]
        self._unread = pa.table(
            {"place": pa.array(cells[0], pa.int64()), "name": pa.array(cells[1], pa.string())}
        )
        self._columns: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def add_columns(self, wrong: Mapping[str, str]) -> None:
        """Note what is wrong with whole columns, by name; they are null in the rows."""
        self._found.update({f"column {name!r}: {told}": 0 for name, told in wrong.items()})
        self._columns += wrong

    def check(self, session: Session, checks: str) -> None:
        """Note faults of rows, equal ones together.

        :param checks: a query for (place, what is wrong, the value that is), a row a fault. What is
            wrong names the columns it is about.
        """
        with session.visible("unread_cells", self._unread):
            rows = session.rows(
                "check rows",
                f"SELECT wrong, left(value, {_SHOWN_CHARS + 1}) AS value, "
                f"list(place ORDER BY place)[1:{_FIRST_PLACES}], count(*) "
                f"FROM ({checks}) AS checks(place, wrong, value) "
                "WHERE NOT EXISTS (FROM unread_cells u "
                "WHERE u.place = checks.place AND contains(wrong, u.name)) "
                "GROUP BY ALL ORDER BY min(place), wrong",
            )
        for wrong, value, places, n in rows:
            if not any(name in wrong for name in self._columns):
                self._add(places, n, f"{wrong}{_shown(value)}")

    def check_repeated(
        self, session: Session, table: str, keys: Sequence[str], content: Iterable[str]
    ) -> None:
        """Note the rows of a table that give one key different content."""
        key, row = ", ".join(keys), ", ".join(content)
        empty = " OR ".join(f"{name} = ''" for name in keys)
        # Two steps: comparing rows is dear, and few keys, if any, stand there twice.
        with session.visible("unread_cells", self._unread):
            rows = session.rows(
                "find repeated rows",
                f"SELECT list(place ORDER BY place)[1:{_FIRST_PLACES}], count(*), {key} "
                f"FROM {table} SEMI JOIN (SELECT {key} FROM {table} GROUP BY {key} "
                f"HAVING count(*) > 1) USING ({key}) ANTI JOIN unread_cells USING (place) "
                f"WHERE NOT ({empty}) GROUP BY {key} HAVING count(DISTINCT row({row})) > 1",
            )
        for places, n, *values in rows:
            named = " of ".join(
                f"{name} {value[:_SHOWN_CHARS]!r}" for name, value in zip(keys, values, strict=True)
            )
            told = f"{named} stands in {self._places(places, n)} with different content"
            self._found[told] = places[0]

    def raise_all(self) -> None:
        """Raise what was noted, in the order of the rows.

        :raises FaultsError: if anything was.
        """
        if self._found:
            raise FaultsError(
                self._incoming.source, sorted(self._found, key=self._found.__getitem__)
            )

    def _add(self, places: Sequence[int], n: int, wrong: str) -> None:
        self._found[f"{self._places(places[:_FIRST_PLACES], n)}: {wrong}"] = places[0]

    def _places(self, places: Sequence[int], n: int) -> str:
        shown = [str(place) for place in places]
        if n > len(shown):
            shown.append(f"{n - len(shown)} more")
        *first, last = shown
        word = self._incoming.place_word
        return f"{word}s {', '.join(first)} and {last}" if first else f"{word} {last}"


def key_checks(table: str, column: str) -> str:
    """Return a query for the rows of a table whose key is empty or too long."""
    return f"""
        SELECT place, '{column} is empty', NULL FROM {table} WHERE {column} = ''
        UNION ALL SELECT place, '{column} is longer than {LONGEST_KEY} characters', {column}
            FROM {table} WHERE length({column}) > {LONGEST_KEY}"""


def _shown(value: str | None) -> str:
    if value is None:
        return ""
    return f", got {value[:_SHOWN_CHARS]!r}{'...' if len(value) > _SHOWN_CHARS else ''}"


def listings_table(session: Session) -> pa.Table:
    """Return all listings, as `import_listings` reads them back."""
    names = ", ".join(LISTING_COLUMNS)
    return session.table("export listings", f"SELECT {names} FROM listings ORDER BY listing_id")


def annotations_table(session: Session, *, with_listings: bool = False) -> pa.Table:
    """Return all answers, as `import_annotations` reads them back.

    :param with_listings: add the columns of their listings, so that the file needs no other.
    """
    names = ", ".join(ANNOTATION_COLUMNS)
    if with_listings:
        names += ", " + ", ".join(name for name in LISTING_COLUMNS if name != "listing_id")
    return session.table(
        "export annotations",
        f"SELECT {names} FROM annotations LEFT JOIN listings USING (listing_id) "
        "ORDER BY listing_id, annotator",
    )
