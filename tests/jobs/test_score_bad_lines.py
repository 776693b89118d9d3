"""Lines that cannot be read are rejects with their number, not the end of their file."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
from echo_answerer import score_all

from rerank.index.errors import InputError
from rerank.jobs.files.listings import open_listings
from rerank.jobs.files.places import place_of


def scored(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    score_all(str(tmp_path / name), place_of(tmp_path / "out.parquet"))
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    return rows, pq.read_table(tmp_path / "out.rejects.parquet").to_pylist()


LINES = {
    b'{"title": "b': "what is no JSON (character 11: Unterminated string starting)",
    b"[1, 2]": "a list",
    b'"text"': "text",
    b"17": "a number",
    b"null": "null",
    b'{"title": "\xff"}': "text that is no UTF-8 (0xff at byte 12)",
}


@pytest.mark.parametrize("line", LINES, ids=str)
def test_a_line_that_is_no_json_object_is_a_reject(tmp_path, line):
    good = b'{"listing_id": 7, "title": "card", "price": 3}\n'
    rows, rejects = scored(tmp_path, "in.jsonl", good + b"\n" + line + b"\n" + good)
    text = line.decode("utf-8", "replace")
    reason = f"bad row: line 3: expected a JSON object, found {LINES[line]}: {text}"
    assert [(row["listing_id"], row["title"], row["price"]) for row in rows] == [
        (7, "card", 3),
        (None, None, None),
        (7, "card", 3),
    ]
    assert [row["reason"] for row in rows] == ["echo", reason, "echo"]
    assert rejects == [
        {
            "row": 2,
            "listing_id": None,
            "reason": reason,
            "content": json.dumps(text, ensure_ascii=False),
        },
    ]


def test_a_file_without_a_json_object_is_an_error(tmp_path):
    (tmp_path / "in.jsonl").write_bytes(b"\nnothing\nof it\n")
    with pytest.raises(InputError, match=r"in\.jsonl:2: expected a JSON object a line, found what"):
        open_listings(tmp_path / "in.jsonl")


def test_a_title_that_is_no_text_is_named_in_words(tmp_path):
    content = b'{"listing_id": 1, "title": ["a"]}\n{"listing_id": 2, "title": {"a": 1}}\n'
    rows, _ = scored(tmp_path, "in.jsonl", content)
    assert [row["reason"] for row in rows] == [
        "bad row: title is a list, expected text",
        "bad row: title is an object, expected text",
    ]


def test_a_row_of_csv_that_is_no_utf8_is_a_reject(tmp_path):
    rows, rejects = scored(
        tmp_path, "in.csv", b'listing_id,title,price\n1,"two\nlines",3\n2,f\xfcr,4\n3,\xc3\xbc,5\n'
    )
    reason = "bad row: line 4: expected UTF-8 text, found 0xfc"
    assert [(row["title"], row["price"], row["reason"]) for row in rows] == [
        ("two\nlines", 3.0, "echo"),
        ("f\ufffdr", 4.0, reason),
        ("ü", 5.0, "echo"),
    ]
    assert [(row["row"], row["reason"]) for row in rejects] == [(2, reason)]
    assert json.loads(rejects[0]["content"]) == ["2", "f\ufffdr", "4"]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("listing_id,title\n1,für\n2,ü\n".encode("latin-1"), "line 2: expected UTF-8 text, found"),
        ("listing_id,title,größe\n1,a,b\n".encode("latin-1"), "line 1: expected UTF-8 text, found"),
        ("listing_id,title\n1,a\n".encode("utf-16"), "line 1: expected UTF-8 text, found 0xff"),
    ],
    ids=["rows", "header", "utf-16"],
)
def test_csv_of_another_encoding_than_was_asked_for_is_an_error(tmp_path, content, fault):
    (tmp_path / "in.csv").write_bytes(content)
    with pytest.raises(InputError, match=rf"in\.csv: {fault}.*; save the file as UTF-8"):
        open_listings(tmp_path / "in.csv", encoding="utf-8")
