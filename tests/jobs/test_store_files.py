"""Files for the store: any text goes out and comes back, a bad file is one error."""

from __future__ import annotations

import sqlite3
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rerank.index import rows
from rerank.index.errors import InputError
from rerank.index.records import Listing
from rerank.jobs.files import store_files
from rerank.jobs.files.listings import open_listings
from rerank.jobs.files.store_files import read_incoming, write_table
from rerank.packs.gpu.names import GpuNames
from rerank.store.database import Store
from rerank.store.importing import (
    ANNOTATION_COLUMNS,
    GOLD_COLUMNS,
    LISTING_COLUMNS,
    annotations_table,
    import_annotations,
    import_listings,
    listings_table,
)
from rerank.store.rows import (
    Annotation,
    StoredListing,
    Verdict,
    read_annotations,
    read_listings,
    save_annotations,
    save_listings,
)

ENDINGS = ("csv", "jsonl", "parquet")
LISTING = {"listing_id": "a", "title": "Zotac RTX 4060 Twin Edge", "price": 199.5, "shop": "north"}


@pytest.fixture
def store(home):
    return Store(home / "store.duckdb")


@pytest.fixture
def filled(store):
    """A store with a listing and an answer."""
    with store.writing() as session:
        save_listings(session, [StoredListing(Listing("a", "Zotac RTX 4060"), "north")])
        save_annotations(session, [Annotation("a", "ann", Verdict.UNSURE)])
    return store


def dump(store):
    with store.reading() as session:
        return listings_table(session).to_pylist(), annotations_table(session).to_pylist()


TEXT = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(
    [
        "\x00",
        '"',
        "'",
        ",",
        "\n",
        "\r",
        "\r\n",
        " lead",
        "\ufeff",
        "\u2028",
        "a\x00b",
        "-",
        "null",
        "é",
        "显卡",
        "🙂",
        "=1+1",
        "\\",
        "\\n",
        "[]",
        "NaN",
        "  ",
        "\t",
        '""',
        "x\r",
    ]
)
KEYS = TEXT.filter(lambda text: text != "")
TIMES = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9999, 12, 31))
LISTINGS = st.builds(
    StoredListing,
    st.builds(
        Listing,
        KEYS,
        KEYS,
        TEXT,
        TEXT,
        st.none() | st.floats(allow_nan=False, allow_infinity=False),
    ),
    TEXT,
    TEXT,
)
ANSWERS = st.builds(
    Annotation,
    st.none(),
    KEYS,
    st.sampled_from([v for v in Verdict if v is not Verdict.MATCH]),
    shown=st.lists(TEXT, max_size=3).map(tuple),
    model_version=TEXT,
    note=TEXT,
    annotated_at=TIMES,
)


@pytest.mark.parametrize("ending", ENDINGS)
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    listings=st.lists(
        LISTINGS, min_size=1, max_size=12, unique_by=lambda item: item.listing.listing_id
    ),
    answers=st.lists(ANSWERS, max_size=12, unique_by=lambda item: item.annotator),
)
def test_any_text_survives_export_and_import(
    tmp_path_factory, tiny_registry, ending, listings, answers
):
    folder = tmp_path_factory.mktemp("trip")
    one, other = Store(folder / "one.duckdb"), Store(folder / "other.duckdb")
    key = listings[0].listing.listing_id
    answers = [
        Annotation(
            key,
            a.annotator,
            a.verdict,
            None,
            None,
            a.shown,
            a.model_version,
            a.note,
            a.annotated_at,
        )
        for a in answers
    ]
    with one.writing() as session:
        save_listings(session, listings)
        save_annotations(session, answers)
    with one.reading() as session:
        write_table(listings_table(session), folder / f"l.{ending}", overwrite=False)
        write_table(annotations_table(session), folder / f"a.{ending}", overwrite=False)
        expected = read_listings(session), read_annotations(session)
    import_listings(other, read_incoming(folder / f"l.{ending}", LISTING_COLUMNS))
    columns = ANNOTATION_COLUMNS | GOLD_COLUMNS | LISTING_COLUMNS
    incoming = read_incoming(folder / f"a.{ending}", columns)
    import_annotations(
        other, incoming, GpuNames(tiny_registry), tiny_registry, registry_version="v"
    )
    with other.reading() as session:
        assert (read_listings(session), read_annotations(session)) == expected


def _utf8_broken(path):
    path.write_bytes(b"listing_id,title\na,\xff\xfe\n")


def _truncated(path):
    pq.write_table(pa.table({"listing_id": ["a"] * 1000, "title": ["t"] * 1000}), path)
    path.write_bytes(path.read_bytes()[:-40])


def _damaged_inside(path):
    pq.write_table(
        pa.table({"listing_id": [str(n) for n in range(5000)], "title": ["title"] * 5000}),
        path,
        compression="zstd",
    )
    content = bytearray(path.read_bytes())
    content[200:400] = bytes(200)
    path.write_bytes(bytes(content))


def _parquet_with_bad_utf8(path):
    raw = pa.array([b"RTX 3080", b"\xff\xfe"], pa.binary())
    text = pa.StringArray.from_buffers(2, raw.buffers()[1], raw.buffers()[2])
    pq.write_table(pa.table({"listing_id": pa.array(["1", "2"]), "title": text}), path)


def _parquet_with_a_column_twice(path):
    table = pa.table(
        [pa.array(["a"]), pa.array(["b"]), pa.array(["c"])], names=["listing_id", "title", "title"]
    )
    pq.write_table(table, path)


def _other_database(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()


def _text(content):
    return lambda path: path.write_text(content, encoding="utf-8")


BAD_LISTINGS = {
    "no bytes.csv": (_text(""), "found a file of 0 bytes"),
    "no bytes.parquet": (_text(""), "found a file of 0 bytes"),
    "not utf-8.csv": (_utf8_broken, "line 2: expected UTF-8 text, found 0xff; save"),
    "not utf-8.jsonl": (_utf8_broken, "line 2: expected UTF-8 text, found 0xff; save"),
    "truncated.parquet": (_truncated, "not readable as parquet"),
    "damaged.parquet": (_damaged_inside, "not readable as parquet"),
    "bad text.parquet": (_parquet_with_bad_utf8, "not readable as parquet"),
    "csv in.parquet": (_text("listing_id,title\na,b\n"), "not readable as parquet"),
    "sqlite.parquet": (_other_database, "not readable as parquet"),
    "twice.parquet": (_parquet_with_a_column_twice, "found twice 'title'"),
    "twice.csv": (_text("listing_id,title,title\na,b,c\n"), "found twice 'title'"),
    "twice.jsonl": (_text('{"title": "b", "title": "c"}\n'), "a key stands there twice: 'title'"),
    "no title.csv": (_text("listing_id,name\na,b\n"), "missing title, found listing_id, name"),
    "no title.jsonl": (_text('{"listing_id": "a"}\n'), "missing title, found listing_id"),
    "only blanks.csv": (_text("\n\n\n"), "missing listing_id, title, found none"),
    "only blanks.jsonl": (_text("\n\n\n"), "missing listing_id, title, found none"),
    "semicolons.csv": (_text("listing_id;title\na;b\n"), "found listing_id;title"),
    "fields.csv": (_text("listing_id,title\na,b,c\nd\n"), "line 2: 3 fields, expected 2"),
    "open quote.csv": (_text('listing_id,title\na,"b\nc,d\n'), "line 2: a quote that opens a cell"),
    "list.jsonl": (_text('{"listing_id": "a", "title": ["b"]}\n'), 'title must be text, got ["b"]'),
    "bool.jsonl": (_text('{"listing_id": true, "title": "b"}\n'), "a whole number, got true"),
    "price.jsonl": (
        _text('{"listing_id": "a", "title": "b", "price": true}\n'),
        "line 1: price must be a finite number or empty, got true",
    ),
    "half.jsonl": (
        _text('{"listing_id": "a", "title": "RTX \\ud83d 3080"}\n'),
        'line 1: title holds half of a surrogate pair, which is no text: "RTX \\ud83d 3080"',
    ),
    "bad.jsonl": (_text("{bad\n"), "line 1: expected a JSON object, found '{bad' (Expecting"),
    "array.jsonl": (_text('["a"]\n'), "line 1: expected a JSON object, found '[\"a\"]'"),
    "deep.jsonl": (_text("[" * 100_000 + "\n"), "line 1: expected a JSON object"),
    "nan.jsonl": (_text('{"listing_id": "a", "title": "b", "price": NaN}\n'), "be a finite"),
    "price.csv": (_text("listing_id,title,price\na,b,'; DROP TABLE x\n"), "be a finite"),
    "long id.csv": (_text(f"listing_id,title\n{'x' * 1_000_000},b\n"), "is longer than 1000"),
    "ending.txt": (_text("listing_id,title\na,b\n"), "expected a file name ending in"),
}


@pytest.mark.parametrize("name", BAD_LISTINGS)
@pytest.mark.parametrize("exists", [True, False])
def test_a_bad_file_is_one_clear_error_and_changes_nothing(
    request, run, store, tmp_path, name, exists
):
    if exists:
        request.getfixturevalue("filled")
    make, told = BAD_LISTINGS[name]
    path = tmp_path / name
    make(path)
    before = dump(store)
    result = run("store", "import", "listings", path)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"Error: {path}")
    assert told in result.stderr
    assert len(result.stderr) < 600 + len(str(path))
    assert dump(store) == before
    assert store.path.exists() == exists


def test_faults_of_reading_and_of_content_are_told_together(run, store, tmp_path):
    path = tmp_path / "listings.jsonl"
    path.write_text(
        '{"listing_id": "a", "title": 5}\n{"listing_id": null, "title": "b"}\n{bad\n'
        '{"listing_id": "d", "title": "", "price": []}\n',
        encoding="utf-8",
    )
    result = run("store", "import", "listings", path)
    heading, *faults = result.stderr.splitlines()
    assert heading == f"Error: {path}: 5 faults"
    assert [fault[:43] for fault in faults] == [
        "  - line 1: title must be text, got 5",
        "  - line 2: listing_id is empty",
        "  - line 3: expected a JSON object, found '{bad' (Expecting"[:43],
        "  - line 4: price must be a finite number or empty"[:43],
        "  - line 4: title is empty",
    ]
    assert not store.path.exists()


def test_an_export_without_rows_can_be_imported(run, store, tmp_path):
    for contents in ("listings", "annotations"):
        path = tmp_path / f"{contents}.jsonl"
        assert run("store", "export", contents, path).exit_code == 0
        assert path.read_bytes() == b""
        result = run("store", "import", contents, path)
        assert result.stdout == "added 0, unchanged 0, conflicts 0\n", result.output


def test_a_folder_and_a_missing_file_are_usage_errors(run, tmp_path):
    for path in (tmp_path, tmp_path / "nowhere.csv"):
        assert run("store", "import", "listings", path).exit_code == 2


@pytest.mark.parametrize("ending", ENDINGS)
def test_odd_but_legal_values_are_stored_as_they_are(run, write_listings, store, ending):
    drop = "'; DROP TABLE listings; --"
    rows = [
        {"listing_id": drop, "title": drop, "description": "x" * 1_000_000},
        {"listing_id": "../../../etc/passwd", "title": "\u202ertl \x07 bell", "description": ""},
        {"listing_id": "C:\\con", "title": "{{7*7}} ${HOME} %s", "description": "<script>"},
    ]
    result = run("store", "import", "listings", write_listings(f"odd.{ending}", rows))
    assert result.exit_code == 0, result.output
    with store.reading() as session:
        found = {item.listing.listing_id: item.listing for item in read_listings(session)}
    assert [(key, found[key].title, found[key].description) for key in found] == sorted(
        (row["listing_id"], row["title"], row["description"]) for row in rows
    )


def test_a_store_that_is_garbage_is_one_clear_error_and_stays(run, write_listings, home):
    home.mkdir()
    (home / "store.duckdb").write_bytes(b"garbage" * 100)
    path = write_listings("listings.csv", [LISTING])
    for arguments in (
        ("import", "listings", path),
        ("sql", "SELECT 1"),
        ("export", "listings", path.with_name("out.csv")),
    ):
        result = run("store", *arguments)
        assert result.exit_code == 1
        (line,) = result.stderr.splitlines()
        assert "expected a store, found something DuckDB cannot open" in line
    assert (home / "store.duckdb").read_bytes() == b"garbage" * 100
    assert not path.with_name("out.csv").exists()


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_more_than_can_be_held_is_refused(tmp_path, monkeypatch, ending):
    monkeypatch.setattr(store_files, "MOST_BYTES", 4_000)
    rows = [{"listing_id": str(n), "title": "x" * 1000} for n in range(5)]
    path = tmp_path / f"a.{ending}"
    write_table(pa.Table.from_pylist(rows), path, overwrite=False)
    with pytest.raises(InputError, match="import it in parts"):
        read_incoming(path, LISTING_COLUMNS)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_cell_that_nobody_wrote_is_refused_with_its_place(tmp_path, monkeypatch, ending):
    for module in (rows, store_files):
        monkeypatch.setattr(module, "MOST_CELL_CHARS", 50)
    found = [{"listing_id": "a", "title": "b"}, {"listing_id": "c", "title": "ж" * 51}]
    path = tmp_path / f"a.{ending}"
    write_table(pa.Table.from_pylist(found), path, overwrite=False)
    place = {"csv": "line 3", "jsonl": "line 2", "parquet": "row 2"}[ending]
    with pytest.raises(InputError, match=f"{place}: a cell of 51 characters, expected at most 50"):
        read_incoming(path, LISTING_COLUMNS)
    if ending == "csv":
        (batch,) = open_listings(path).batches()
        assert batch.faults == {
            1: f"bad row: {place}: a cell of 51 characters, expected at most 50"
        }
