"""`rerank init`: what it prints of a table, what it writes, and what it leaves alone."""

from __future__ import annotations

import pytest

TENTS = """sku,title,maker,weight,poles,price
N1,Arctic 2 tent green,Norda,2.1 kg,2,199
N2,Arctic 3 tent green,Norda,2900 g,3,249
N3,Breeze tarp,Solvei,0.7 kg,several,59
N4,Breeze tarp XL,Solvei,0.9 kg,1,
N4,Breeze tarp XL,Solvei,0.9 kg,1,
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "tents.csv"
    path.write_text(TENTS, "utf-8")
    return path


def test_it_shows_what_it_saw_and_what_to_do_next(run, table, tmp_path):
    target = tmp_path / "shop" / "catalogue.yaml"
    result = run("init", table, "--listings", table, "-o", target)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert [line.split()[:2] for line in lines[3:9]] == [
        ["sku", "id"],
        ["title", "name"],
        ["maker", "brand"],
        ["weight", "number"],
        ["poles", "category"],
        ["price", "price"],
    ]
    told = " ".join(result.output.split())
    assert "4 tents" in told
    assert "! poles: mixed: 80% numbers, the rest text such as 'several'" in told
    assert "! weight: units differ (3 in kg, 1 in g): each is read by its own" in told
    assert "! 1 row equal to another in all cells, left out" in told
    assert f"rerank build-index --catalogue {target}" in result.output
    written = target.read_text("utf-8")
    assert "products: ../tents.csv" in written.replace('"', "")
    assert "{role: number, unit: kg}" in written
    assert "file: ../tents.csv" in written.replace('"', "")


def test_it_takes_the_words_of_a_pack(run, table, tmp_path):
    target = tmp_path / "c.yaml"
    result = run("init", table, "--pack", "processors", "-o", target)
    assert "4 processors" in result.output
    assert "pack: processors" in target.read_text("utf-8")
    result = run("init", table, "--pack", "tents", "-o", tmp_path / "d.yaml")
    assert result.exit_code == 1
    assert "pack 'tents': there is none; known: generic, processors" in result.output


def test_nothing_that_exists_is_overwritten(run, table, tmp_path):
    target = tmp_path / "catalogue.yaml"
    target.write_text("mine", "utf-8")
    result = run("init", table, "-o", target)
    assert result.exit_code == 1
    assert "exists already: edit it, remove it, or name another file with -o" in result.output
    assert target.read_text("utf-8") == "mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found an empty file"),
        ("sku,price\nA,3\nB,4\n", "expected a column of products' names"),
        ("sku,title\nA,Tent\n", "expected at least 2 products, found one"),
        ("sku,title\nA,Tent\nA,Tarp\nB,Pole\n", "id 'A' stands 2 times with different cells"),
    ],
)
def test_what_is_no_catalogue_is_refused_in_a_line_and_nothing_is_written(
    run, tmp_path, text, message
):
    path = tmp_path / "tents.csv"
    path.write_text(text, "utf-8")
    result = run("init", path, "-o", tmp_path / "c.yaml")
    assert result.exit_code == 1
    assert message in result.output
    assert [each.name for each in tmp_path.iterdir()] == ["tents.csv"]


def test_files_that_are_missing_are_named(run, table, tmp_path):
    missing = run("init", table, "--listings", tmp_path / "feed.csv", "-o", tmp_path / "c.yaml")
    assert missing.exit_code == 1
    assert "feed.csv: expected a file, found none; check the path" in missing.output
    assert run("init", tmp_path / "nowhere.csv").exit_code == 2
    assert not (tmp_path / "c.yaml").exists()
