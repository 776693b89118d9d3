"""`rerank score --since`: listings that have not changed keep their answer."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from echo_answerer import EchoAnswerer, score_all

from rerank.jobs.files.listings import ColumnNames, ListingBatch
from rerank.jobs.files.places import place_of
from rerank.jobs.scoring.answering import RememberingAnswerer, ScoreOptions


class Counting(EchoAnswerer):
    """Remembers which titles it was asked for."""

    def __init__(self, *args, **named):
        super().__init__(*args, **named)
        self.asked = []

    def answer(self, batch):
        self.asked += [listing.title for listing in batch.listings()]
        return super().answer(batch)


def write(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def listing(number, title, **more):
    return {"listing_id": f"l{number}", "title": title, "vendor": "x", **more}


@pytest.fixture
def monday(tmp_path):
    rows = [listing(n, f"card {n}") for n in range(6)] + [listing(9, "")]
    write(tmp_path / "monday.in.parquet", rows)
    score_all(str(tmp_path / "monday.in.parquet"), place_of(tmp_path / "monday.parquet"))
    return tmp_path / "monday.parquet"


def tuesday(tmp_path, rows, monday, fresh):
    source = write(tmp_path / "tuesday.in.parquet", rows)
    answerer = RememberingAnswerer(fresh, [place_of(monday)])
    score_all(str(source), place_of(tmp_path / "tuesday.parquet"), answerer=answerer)
    score_all(str(source), place_of(tmp_path / "plain.parquet"))
    return answerer


def test_only_what_changed_is_resolved_and_the_output_is_the_same(tmp_path, monday):
    rows = [
        listing(5, "card 5", colour="red"),
        listing(0, "card 0 changed"),
        listing(2, "card 2"),
        {**listing(3, "card 3"), "vendor": "y"},
        listing(77, "card 4"),
        listing(1, "card 1"),
    ]
    fresh = Counting()
    answerer = tuesday(tmp_path, rows, monday, fresh)
    assert fresh.asked == ["card 0 changed", "card 3", "card 4"]
    assert (answerer.n_known, answerer.n_reused) == (7, 3)
    assert (tmp_path / "tuesday.parquet").read_bytes() == (tmp_path / "plain.parquet").read_bytes()


@pytest.mark.parametrize(
    "fresh",
    [Counting(model_version="m2"), Counting(index_version="i2"), Counting(ScoreOptions(top_k=3))],
    ids=["model", "index", "options"],
)
def test_answers_made_in_another_way_are_not_reused(tmp_path, monday, fresh):
    answerer = RememberingAnswerer(fresh, [place_of(monday)])
    assert answerer.n_known == 0


def test_own_names_of_columns_do_not_matter(tmp_path, monday):
    rows = [{"sku": "l1", "model": "card 1", "vendor": "x"}]
    source = write(tmp_path / "own.parquet", rows)
    fresh = Counting(ScoreOptions(columns=ColumnNames("sku", "model")))
    answerer = RememberingAnswerer(fresh, [place_of(monday)])
    score_all(str(source), place_of(tmp_path / "own.out.parquet"), answerer=answerer)
    assert (fresh.asked, answerer.n_reused) == ([], 1)
    renamed = pq.read_table(tmp_path / "own.out.parquet").to_pylist()[0]
    assert (renamed["input_model"], renamed["model"]) == ("card 1", "card 1")
    back = RememberingAnswerer(Counting(), [place_of(tmp_path / "own.out.parquet")])
    score_all(
        str(tmp_path / "monday.in.parquet"), place_of(tmp_path / "again.parquet"), answerer=back
    )
    assert (back.n_known, back.n_reused) == (1, 1)


def test_rows_that_could_not_be_read_are_read_again(tmp_path):
    (tmp_path / "in.csv").write_text("listing_id,title\n1,card,too many\n2,card\n")
    score_all(str(tmp_path / "in.csv"), place_of(tmp_path / "first.parquet"))
    (tmp_path / "in.csv").write_text("listing_id,title\n1,card\n2,card,too many\n")
    answerer = RememberingAnswerer(EchoAnswerer(), [place_of(tmp_path / "first.parquet")])
    score_all(str(tmp_path / "in.csv"), place_of(tmp_path / "second.parquet"), answerer=answerer)
    rows = pq.read_table(tmp_path / "second.parquet").to_pylist()
    assert [row["reason"] for row in rows] == ["echo", "bad row: 3 fields, expected 2"]
    assert answerer.n_reused == 0


def test_row_groups_that_give_too_little_are_not_read(tmp_path):
    rows = [listing(n, f"card {n}") for n in range(1000)]
    write(tmp_path / "in.parquet", rows)
    score_all(str(tmp_path / "in.parquet"), place_of(tmp_path / "monday.parquet"))
    for n_same, expected in ((10, 0), (20, 20)):
        fresh = Counting()
        answerer = RememberingAnswerer(fresh, [place_of(tmp_path / "monday.parquet")])
        table = pq.read_table(write(tmp_path / "t.parquet", rows[:n_same]))
        answers = answerer.answer(ListingBatch(table))
        assert answers.equals(EchoAnswerer().answer(ListingBatch(table)))
        assert (answerer.n_reused, len(fresh.asked)) == (expected, n_same - expected)


def test_the_command_reuses_what_it_wrote(run, write_listings, tmp_path):
    rows = [listing(1, "rtx 3080 10gb"), listing(2, "tesla p40 24gb")]
    source = write_listings("in.csv", rows)
    run("score", source, tmp_path / "monday.parquet")
    write_listings("in.csv", [*rows, listing(3, "gtx 1060 6gb")])
    result = run(
        "score",
        source,
        tmp_path / "tuesday.parquet",
        "--since",
        tmp_path / "monday.parquet",
        "--summary",
        tmp_path / "s.json",
    )
    assert result.exit_code == 0, result.output
    assert "2 earlier answers of this model, index and options" in result.stderr
    assert "2 answers reused" in result.stderr
    assert json.loads((tmp_path / "s.json").read_text())["reused_rows"] == 2
    run("score", source, tmp_path / "plain.parquet")
    plain, reused = (pq.read_table(tmp_path / f"{n}.parquet") for n in ("plain", "tuesday"))
    assert reused.select(["listing_id", "gpu_id", "decision"]).equals(
        plain.select(["listing_id", "gpu_id", "decision"])
    )


def test_an_earlier_output_is_not_overwritten_while_it_is_read(run, write_listings, tmp_path):
    source = write_listings("in.csv", [listing(1, "rtx 3080")])
    target = tmp_path / "out.parquet"
    run("score", source, target)
    result = run("score", source, target, "--since", target, "--overwrite")
    assert result.exit_code == 1
    assert "cannot be read with --since and written in one run" in result.stderr


def test_an_earlier_output_that_is_not_there_is_a_wrong_call(run, write_listings, tmp_path):
    source = write_listings("in.csv", [listing(1, "rtx 3080")])
    result = run("score", source, tmp_path / "out.parquet", "--since", tmp_path / "none")
    assert result.exit_code == 2
    assert "does not exist" in result.stderr


def test_earlier_answers_of_which_none_fits_are_a_warning(run, write_listings, tmp_path):
    source = write_listings("in.csv", [listing(1, "rtx 3080")])
    monday = tmp_path / "monday.parquet"
    run("score", source, monday)
    result = run("score", source, tmp_path / "out.parquet", "--since", monday, "--top-k", 3)
    assert result.exit_code == 0
    assert "Warning: no earlier answers of this model, index and options" in result.stderr


def test_what_is_no_earlier_output_is_a_warning(run, write_listings, tmp_path):
    source = write_listings("in.csv", [listing(1, "rtx 3080")])
    (tmp_path / "earlier").mkdir()
    run("score", source, tmp_path / "earlier/whole.parquet")
    (tmp_path / "earlier/cut.parquet").write_bytes(b"PAR1 cut off")
    (tmp_path / "earlier/gone.parquet").symlink_to(tmp_path / "nothing")
    result = run("score", source, tmp_path / "out.parquet", "--since", tmp_path / "earlier")
    assert result.exit_code == 0
    folder = tmp_path / "earlier"
    assert result.stderr.splitlines()[:3] == [
        f"Warning: {folder}/gone.parquet: expected a file, found a link to nothing; mend or remove "
        "it; no earlier answers are kept from it",
        f"Warning: {folder}/cut.parquet: damaged, or no output of `rerank score`; no earlier "
        "answers are kept from it",
        "1 earlier answers of this model, index and options",
    ]


@pytest.mark.parametrize("column", ["title", "model"])
def test_damaged_pages_of_an_earlier_output_are_a_warning_and_answered_anew(
    tmp_path, monday, column
):
    file = pq.ParquetFile(monday)
    chunks = file.metadata.row_group(0)
    at = next(
        chunks.column(n)
        for n in range(chunks.num_columns)
        if chunks.column(n).path_in_schema == column
    ).data_page_offset
    file.close()
    content = bytearray(monday.read_bytes())
    content[at : at + 8] = b"\xff" * 8
    monday.write_bytes(content)
    source, said = tmp_path / "monday.in.parquet", []
    answerer = RememberingAnswerer(EchoAnswerer(), [place_of(monday)], say=said.append)
    score_all(str(source), place_of(tmp_path / "tuesday.parquet"), answerer=answerer)
    score_all(str(source), place_of(tmp_path / "plain.parquet"))
    assert (tmp_path / "tuesday.parquet").read_bytes() == (tmp_path / "plain.parquet").read_bytes()
    assert answerer.n_reused == 0
    assert [text[: len(str(monday)) + 18] for text in said] == [f"Warning: {monday}: damaged"]
