"""`rerank store`: files in and out, queries, tables, and what docs/store.md says of them."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

from rerank.index.artifacts import read_manifest
from rerank.index.records import Listing, shipped
from rerank.jobs.cli import main
from rerank.jobs.files.store_files import result_lines
from rerank.packs.gpu.retriever import index_records
from rerank.store.database import Store
from rerank.store.importing import annotations_table, listings_table
from rerank.store.rows import Annotation, StoredListing, Verdict, save_annotations, save_listings

ROOT = Path(__file__).resolve().parents[2]
DOCS = (ROOT / "docs" / "store.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"```sql\n(.*?)```", DOCS, re.DOTALL)
ENDINGS = ("csv", "jsonl", "parquet")
LISTING = {"listing_id": "a", "title": "Zotac RTX 4060 Twin Edge", "price": 199.5, "shop": "north"}
ANSWER = {"listing_id": "a", "annotator": "ann", "verdict": "match", "gpu_id": "RTX 4060 8GB"}


@pytest.fixture
def store(home):
    return Store(home / "store.duckdb")


@pytest.fixture(scope="module")
def filled_home(tmp_path_factory):
    """The workspace that `filled` copies: imports open the whole index, for the names of GPUs."""
    folder = tmp_path_factory.mktemp("filled")
    listings = [LISTING, {**LISTING, "listing_id": "b", "title": "riser cable", "price": ""}]
    answers = [
        ANSWER,
        {**ANSWER, "listing_id": "b", "verdict": "not_gpu", "gpu_id": ""},
        {**ANSWER, "annotator": "bob", "verdict": "unsure", "gpu_id": ""},
    ]
    for contents, rows in (("listings", listings), ("annotations", answers)):
        path = folder / f"{contents}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        words = ["store", "import", contents, str(path), "--home", str(folder / "home")]
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0, result.output
    return folder / "home"


@pytest.fixture
def filled(filled_home, home, store):
    """A store with two listings and an answer to each, by two people."""
    shutil.copytree(filled_home, home)
    return store


def dump(store):
    with store.reading() as session:
        return listings_table(session).to_pylist(), annotations_table(session).to_pylist()


# import and export


@pytest.mark.parametrize("ending", ENDINGS)
def test_files_of_every_format_are_imported_once(run, write_listings, store, ending):
    listings = write_listings(f"listings.{ending}", [LISTING])
    answers = write_listings(f"answers.{ending}", [ANSWER])
    assert run("store", "import", "listings", listings).stdout == (
        "added 1, unchanged 0, conflicts 0\n"
    )
    result = run("store", "import", "annotations", answers)
    assert result.stdout == "added 1, unchanged 0, conflicts 0\n"
    assert "not read" not in result.stderr
    before = dump(store)
    for contents, path in (("listings", listings), ("annotations", answers)):
        result = run("store", "import", contents, path)
        assert (result.exit_code, result.stdout) == (0, "added 0, unchanged 1, conflicts 0\n")
    assert dump(store) == before
    ((row,), (answer,)) = before
    assert (row["price"], row["shop"], row["language"]) == (199.5, "north", "")
    assert (answer["gpu_id"], answer["model"]) == ("geforce-rtx-4060-8gb-gddr6", "GeForce RTX 4060")


def test_the_index_that_serves_names_the_gpus_and_is_kept_as_a_snapshot(run, filled):
    manifest = read_manifest(shipped("index"), kind="index", format_version=1, remedy="")
    records = index_records(shipped("index"))
    with filled.reading() as session:
        assert session.rows("t", "SELECT registry_version, gpus FROM registry_snapshots") == [
            (manifest.parameters["registry_fingerprint"], len(records))
        ]


def test_columns_not_read_are_named_in_one_line_on_stderr(run, write_listings):
    path = write_listings("listings.csv", [{**LISTING, "colour": "red", "stock": "3"}])
    result = run("store", "import", "listings", path)
    assert result.stderr.startswith("columns not read: colour, stock\n")


def test_the_shipped_hard_set_can_be_imported_as_it_is(run):
    result = run(
        "store", "import", "annotations", ROOT / "data/hard_set.csv", "--annotator", "gold"
    )
    assert result.stdout == "added 360, unchanged 0, conflicts 0\nlistings added 360\n"
    assert result.stderr.startswith("columns not read: trap\n")
    query = "SELECT verdict, note, count(*) AS n FROM annotations GROUP BY ALL ORDER BY ALL"
    found = json.loads(run("store", "sql", query, "--format", "json").stdout)
    assert found == [
        {"verdict": "match", "note": "", "n": 192},
        {"verdict": "not_gpu", "note": "nil", "n": 168},
    ]


def test_conflicts_are_listed_and_the_option_decides(run, write_listings, filled):
    path = write_listings("other.jsonl", [{**ANSWER, "gpu_id": "RTX 4070"}])
    before = dump(filled)
    result = run("store", "import", "annotations", path)
    assert result.exit_code == 1
    assert "line 1: listing 'a' by 'ann': stored match geforce-rtx-4060-8gb-gddr6" in result.stderr
    assert "--on-conflict replace" in result.stderr
    assert dump(filled) == before
    kept = run("store", "import", "annotations", path, "--on-conflict", "keep")
    assert kept.stdout == "added 0, unchanged 0, conflicts 1 (kept)\n"
    assert dump(filled) == before
    replaced = run("store", "import", "annotations", path, "--on-conflict", "replace")
    assert replaced.stdout == "added 0, unchanged 0, conflicts 1 (replaced)\n"
    assert dump(filled)[1][0]["model"] == "GeForce RTX 4070"


def test_options_of_annotations_are_no_options_of_listings(run, write_listings, tmp_path):
    path = write_listings("listings.csv", [LISTING])
    result = run("store", "import", "listings", path, "--annotator", "ann")
    assert (result.exit_code, "--annotator goes with annotations" in result.stderr) == (2, True)
    result = run("store", "export", "listings", tmp_path / "x.csv", "--with-listings")
    assert (result.exit_code, "--with-listings goes with annotations" in result.stderr) == (2, True)


@pytest.mark.parametrize("ending", ENDINGS)
def test_exports_imported_into_an_empty_store_give_the_same(run, filled, tmp_path, ending):
    before = dump(filled)
    for contents, rows in (("listings", 2), ("annotations", 3)):
        result = run("store", "export", contents, tmp_path / f"out-{contents}.{ending}")
        assert result.stdout.startswith(f"{rows} {contents} written to ")
    filled.path.unlink()
    for contents in ("listings", "annotations"):
        assert (
            run("store", "import", contents, tmp_path / f"out-{contents}.{ending}").exit_code == 0
        )
    assert dump(filled) == before


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_export_with_listings_needs_no_other_file(run, filled, tmp_path, ending):
    before = dump(filled)
    path = tmp_path / f"all.{ending}"
    assert run("store", "export", "annotations", path, "--with-listings").exit_code == 0
    filled.path.unlink()
    result = run("store", "import", "annotations", path)
    assert result.stdout == "added 3, unchanged 0, conflicts 0\nlistings added 2\n"
    assert dump(filled) == before


def test_an_export_replaces_a_file_only_if_told_so(run, filled, tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("mine")
    result = run("store", "export", "listings", path)
    assert result.exit_code == 1
    assert "exists already; choose another name or say --overwrite" in result.stderr
    assert path.read_text() == "mine"
    assert run("store", "export", "listings", path, "--overwrite").exit_code == 0
    assert path.read_text().startswith("listing_id,title,vendor,")
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("out.txt", "ending in .csv, .jsonl, .parquet"),
        ("out", "'no ending'"),
        (".", "ending in .csv"),
        ("folder.csv", "found a folder"),
    ],
)
def test_an_export_needs_the_name_of_a_format(run, filled, tmp_path, name, told):
    (tmp_path / "folder.csv").mkdir()
    result = run("store", "export", "listings", tmp_path / name, "--overwrite")
    assert result.exit_code == 1
    assert told in result.stderr


# queries


def test_a_table_shows_null_lists_and_numbers_readably(run, filled):
    query = (
        "SELECT 'a' AS t, NULL AS n, [1, 2] AS l, {'x': 'y'} AS s, MAP {'k': 0.5} AS m, "
        "1.23456789 AS d, 12 AS i"
    )
    assert run("store", "sql", query).stdout.splitlines() == [
        "t  n  l       s           m                 d   i",
        'a  -  [1, 2]  {"x": "y"}  {"k": 0.5}  1.23457  12',
    ]


def test_csv_and_json_carry_every_value(run, filled):
    query = (
        "SELECT NULL AS n, ['a', NULL] AS l, 0.1::DOUBLE + 0.2 AS d, 'x,\"y' AS t, "
        "TIMESTAMP '2026-01-02 03:04:05' AS at, 'nan'::DOUBLE AS nan, sum(2) AS h"
    )
    (row,) = csv.DictReader(run("store", "sql", query, "--format", "csv").stdout.splitlines())
    assert row == {
        "n": "",
        "l": '["a", null]',
        "d": "0.30000000000000004",
        "t": 'x,"y',
        "at": "2026-01-02T03:04:05Z",
        "nan": "nan",
        "h": "2",
    }
    (row,) = json.loads(run("store", "sql", query, "--format", "json").stdout)
    assert row == {
        "n": None,
        "l": ["a", None],
        "d": 0.1 + 0.2,
        "t": 'x,"y',
        "at": "2026-01-02T03:04:05Z",
        "nan": None,
        "h": 2,
    }
    assert run("store", "sql", query, "--format", "jsonl").stdout == json.dumps(row) + "\n"


def test_no_rows_are_a_header_or_an_empty_list(run, filled):
    query = "SELECT listing_id, price FROM listings WHERE false"
    assert run("store", "sql", query).stdout == "listing_id  price\n"
    assert run("store", "sql", query, "--format", "csv").stdout == "listing_id,price\n"
    assert run("store", "sql", query, "--format", "json").stdout == "[]\n"
    assert run("store", "sql", query, "--format", "jsonl").stdout == ""


def test_a_table_is_cut_and_says_so_and_other_formats_are_not(run, filled):
    query = "SELECT range AS x FROM range(12000)"
    result = run("store", "sql", query)
    assert len(result.stdout.splitlines()) == 51
    assert result.stderr.startswith("11,950 of 12,000 rows not shown; see --limit\n")
    assert len(run("store", "sql", query, "--format", "csv").stdout.splitlines()) == 12001
    result = run("store", "sql", query, "--format", "jsonl", "--limit", "2")
    assert result.stdout == '{"x": 0}\n{"x": 1}\n'
    assert result.stderr == "11,998 of 12,000 rows not shown; see --limit\n"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT repeat('x', 500) AS a, repeat('显', 300) AS b, 1 AS c",
        "SELECT * FROM listings, annotations",
        "SELECT " + ", ".join(f"'{n}' AS a_rather_long_name_{n}" for n in range(40)),
        "SELECT 'two\nlines' AS \"odd\nname\"",
    ],
)
def test_a_table_keeps_to_80_columns(run, filled, query):
    lines = run("store", "sql", query).stdout.splitlines()
    assert lines
    assert max(map(len, lines)) <= 80


def test_rows_of_many_columns_are_laid_out_one_below_the_other():
    rows = pa.table({f"column_{n:02}": [n, None] for n in range(20)})
    lines = list(result_lines(rows, "table"))
    assert lines[:3] == ["row 1", "  column_00  0", "  column_01  1"]
    assert lines[21:23] == ["row 2", "  column_00  -"]


def test_columns_of_one_name_are_told_apart_in_every_format(run, filled):
    query = "SELECT 1 AS a, 2 AS a, 3 AS a"
    result = run("store", "sql", query, "--format", "jsonl")
    assert json.loads(result.stdout) == {"a": 1, "a_2": 2, "a_3": 3}
    assert run("store", "sql", query, "--format", "csv").stdout == "a,a_2,a_3\n1,2,3\n"
    assert run("store", "sql", query).stdout == "a  a_2  a_3\n1    2    3\n"


def test_a_table_tells_nan_and_infinity_from_null(run, filled):
    query = "SELECT 'nan'::DOUBLE AS a, '-inf'::DOUBLE AS b, 'inf'::DOUBLE AS c, NULL AS d"
    assert run("store", "sql", query).stdout.splitlines()[1].split() == ["nan", "-inf", "inf", "-"]


@pytest.mark.parametrize(
    ("interval", "shown"),
    [
        ("3 days", "3 days"),
        ("1 day", "1 day"),
        ("14 months", "1 year 2 months"),
        ("-1 month", "-1 month"),
        ("-3723.5 seconds", "-01:02:03.5"),
        ("0 days", "00:00:00"),
        ("2 years 1 day 100 hours", "2 years 1 day 100:00:00"),
    ],
)
def test_intervals_are_written_as_duckdb_does(run, filled, interval, shown):
    query = f"SELECT INTERVAL '{interval}' AS i, (INTERVAL '{interval}')::VARCHAR AS theirs"
    (row,) = json.loads(run("store", "sql", query, "--format", "json").stdout)
    assert row == {"i": shown, "theirs": shown}


def test_a_list_of_intervals_is_a_list(run, filled):
    query = "SELECT [INTERVAL '1 day', INTERVAL '3 hours'] AS i"
    assert json.loads(run("store", "sql", query, "--format", "jsonl").stdout) == {
        "i": ["1 day", "03:00:00"]
    }


def test_rows_that_columns_would_cut_to_pieces_are_laid_out_one_below_the_other(run, filled):
    lines = run("store", "sql", "SELECT * FROM annotations ORDER BY ALL").stdout.splitlines()
    assert lines[:4] == [
        "row 1",
        "  listing_id     a",
        "  annotator      ann",
        "  verdict        match",
    ]
    assert "  gpu_id         geforce-rtx-4060-8gb-gddr6" in lines


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("SELEC 1", 'Parser Error: syntax error at or near "SELEC"'),
        ("FROM listing", 'name listing does not exist! Did you mean "listings"?'),
        ("SELECT nope FROM listings", "nope"),
        ("", "expected a query, found nothing that returns rows"),
        ("/* only words */", "expected a query, found nothing that returns rows"),
        ("DROP TABLE listings", "read-only"),
        ("DELETE FROM listings", "read-only"),
        ("SELECT * FROM read_csv('/etc/passwd')", "Permission Error"),
        ("COPY listings TO 'out.csv'", "Permission Error"),
        ("FROM zzz", "zzz does not exist! `rerank store tables` lists what there is"),
        ("SELECT 1; DROP TABLE listings", "expected one query, found 2; run each by itself"),
        ("SELECT error('oh no')", "oh no"),
    ],
)
def test_a_wrong_query_is_one_clear_line(run, filled, query, told):
    before = dump(filled)
    result = run("store", "sql", query)
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: query: ")
    assert told in line
    assert dump(filled) == before


def test_a_query_on_a_workspace_without_a_store_sees_empty_tables(run, store):
    assert run("store", "sql", "SELECT count(*) AS n FROM listings").stdout == "n\n0\n"
    assert run("store", "sql", "DROP TABLE listings").exit_code == 1
    assert not store.path.exists()


# tables and docs


def test_the_documentation_is_what_the_command_prints(run):
    printed = run("store", "tables", "--format", "markdown").stdout
    marker = "<!-- `rerank store tables --format markdown` -->\n"
    assert DOCS.split(marker)[1] == printed, "write the command's output below the marker"


def test_tables_are_listed_in_80_columns_and_as_json(run):
    lines = run("store", "tables").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "annotations: one person's answer for one listing; a later one replaces it" in lines
    assert "  annotator      who answered" in lines
    tables = {t["table"]: t for t in json.loads(run("store", "tables", "--format", "json").stdout)}
    assert tables["annotations"]["columns"][1] == {
        "column": "annotator",
        "type": "VARCHAR",
        "meaning": "who answered",
    }


RUNS = ("20260101T000000-a", "20260102T000000-b")


def _add_runs(session):
    """Two runs over three listings: in the second one b is accepted wrongly and c has changed.

    An ablation came after them.
    """
    for run_id, command in (*((run_id, "evaluate") for run_id in RUNS), ("20260103", "ablate")):
        session.execute(
            "t",
            "INSERT INTO evaluation_runs BY NAME (SELECT $run AS run_id, "
            "$command AS command, now() AS started_at, 'm' AS model_version, 'i' AS index_version, "
            "'r' AS registry_version, 7 AS seed, 1000 AS samples, '{}' AS machine, "
            "0 AS latency_listings)",
            {"run": run_id, "command": command},
        )
    for run_id in RUNS:
        last = run_id.endswith("b")
        rows = [  # listing, gold, shop, decision, model, margin, rank, accepted
            ("a", "GeForce RTX 4060", "north", "match", "GeForce RTX 4060", 0.9, 1, True),
            ("b", "GeForce RTX 4070", "south", "match", "GeForce RTX 4060", 0.5, 3, True),
            (
                "c",
                "Radeon RX 6600",
                "south",
                "match" if last else "review",
                "Radeon RX 6600",
                0.1 if last else 0.2,
                1,
                last,
            ),
        ]
        for key, gold, shop, decision, model, margin, rank, accepted in rows:
            common = {"run": run_id, "key": key}
            session.execute(
                "t",
                "INSERT INTO evaluation_listings BY NAME (SELECT $run AS run_id, "
                "'mine' AS set_name, $key AS listing_id, 'title ' || $key AS title, '' AS vendor, "
                "'match' AS kind, [$gold] AS gold_models, $gold AS gold_model, '' AS gold_form, "
                "$key AS listing_group, $shop AS shop, '' AS language, false AS unseen)",
                {**common, "gold": gold, "shop": shop},
            )
            session.execute(
                "t",
                "INSERT INTO predictions BY NAME (SELECT $run AS run_id, "
                "'mine' AS set_name, $key AS listing_id, $model AS best_guess, "
                "0.9 AS match_probability, $margin AS margin, $decision AS decision, "
                "'' AS reason, [] AS candidates, "
                "[] AS candidate_set, 'm' AS model_version, 'i' AS index_version)",
                {**common, "model": model, "margin": margin, "decision": decision},
            )
            session.execute(
                "t",
                "INSERT INTO evaluation_outcomes BY NAME (SELECT $run AS run_id, "
                "'mine' AS set_name, 'rerank' AS system, $key AS listing_id, $rank AS rank, "
                "[] AS grades, $accepted AS accepted)",
                {**common, "rank": rank, "accepted": accepted},
            )
    for version, generation in (("r", "GeForce 40"), ("old", "GeForce 39")):
        session.execute(
            "t",
            "INSERT INTO registry_gpus VALUES ($v, 'g', 'GeForce RTX 4070', "
            "'NVIDIA', 'GeForce', $g, 12, 'GDDR6X', 'PCIe', 2023, [], [], [], false, true, false)",
            {"v": version, "g": generation},
        )
    save_listings(session, [StoredListing(Listing(key, f"title {key}")) for key in "abc"])
    save_annotations(
        session,
        [
            Annotation("a", "ann", Verdict.MATCH, None, "GeForce RTX 4060"),
            Annotation("a", "bob", Verdict.MATCH, None, "GeForce RTX 4070"),
            Annotation("a", "carl", Verdict.UNSURE),
            Annotation("c", "ann", Verdict.NOT_GPU),
            Annotation("c", "bob", Verdict.NOT_GPU),
        ],
    )


EXPECTED = [
    [
        {
            "listing_id": "a",
            "title": "title a",
            "said": ["ann: GeForce RTX 4060", "bob: GeForce RTX 4070"],
        }
    ],
    [
        {"set_name": "mine", "shop": "south", "accepted": 2, "wrong": 1, "wrong_share": 0.5},
        {"set_name": "mine", "shop": "north", "accepted": 1, "wrong": 0, "wrong_share": 0.0},
    ],
    [
        {
            "gold_model": "GeForce RTX 4070",
            "generation": "GeForce 40",
            "wrong": 1,
            "mostly_taken_for": "GeForce RTX 4060",
        }
    ],
    [
        {
            "listing_id": "c",
            "annotator": who,
            "said": "not_gpu",
            "decided_before": "review",
            "decides_now": "match",
            "guess_now": "Radeon RX 6600",
        }
        for who in ("ann", "bob")
    ],
    [
        {
            "listing_id": "b",
            "title": "title b",
            "decision": "match",
            "best_guess": "GeForce RTX 4060",
            "margin": 0.5,
        }
    ],
]


def test_the_documentation_has_five_queries():
    assert len(QUERIES) == len(EXPECTED) == 5


@pytest.mark.parametrize("number", range(len(EXPECTED)))
def test_the_queries_of_the_documentation_find_what_they_promise(run, store, number):
    assert run("store", "sql", QUERIES[number], "--format", "json").stdout == "[]\n"
    with store.writing() as session:
        _add_runs(session)
    result = run("store", "sql", QUERIES[number], "--format", "json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == EXPECTED[number]
