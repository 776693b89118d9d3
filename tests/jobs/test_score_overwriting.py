"""What `rerank score` never replaces or removes: inputs, and files of somebody else."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from echo_answerer import score_all

from rerank.index.errors import FaultsError, InputError
from rerank.jobs.files.places import place_of
from rerank.jobs.scoring.plan import MARK_KEY, REJECTS_SCHEMA, Existing, is_rejects_file

EVERY = pytest.mark.parametrize("existing", list(Existing), ids=lambda existing: existing.value)


def write(path, titles):
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = [f"{path.stem}-{n}" for n in range(len(titles))]
    pq.write_table(pa.table({"listing_id": ids, "title": titles}), path)
    return path


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@EVERY
@pytest.mark.parametrize("titles", [["a"], [""]], ids=["without rejects", "with rejects"])
def test_an_input_in_the_place_of_the_rejects_is_never_touched(tmp_path, existing, titles):
    write(tmp_path / "x.rejects.parquet", titles)
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"x\.rejects\.parquet: is an input of this run, and wh"):
        score_all(f"{tmp_path}/x.rejects.parquet", place_of(tmp_path / "x.parquet"), existing)
    assert contents(tmp_path) == before


@EVERY
def test_an_input_behind_a_link_is_never_an_output(tmp_path, existing):
    write(tmp_path / "feeds/a.parquet", ["a"])
    write(tmp_path / "out/a.parquet", ["b"])
    (tmp_path / "feeds/b.parquet").symlink_to(tmp_path / "out/a.parquet")
    before = contents(tmp_path)
    with pytest.raises(
        InputError, match=r"out/a\.parquet: is an input of this run.* the output of"
    ):
        score_all(str(tmp_path / "feeds"), place_of(tmp_path / "out"), existing)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("existing", [Existing.REFUSE, Existing.RESUME])
@pytest.mark.parametrize("is_parquet", [True, False])
def test_a_foreign_file_in_the_place_of_the_rejects_stays(tmp_path, existing, is_parquet):
    source, foreign = write(tmp_path / "in.parquet", ["a"]), tmp_path / "out.rejects.parquet"
    write(foreign, ["mine"])
    if not is_parquet:
        foreign.write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(InputError, match="is no rejects file of `rerank score`; choose another"):
        score_all(str(source), place_of(tmp_path / "out.parquet"), existing)
    assert contents(tmp_path) == before


def test_foreign_files_in_a_folder_of_rejects_are_named_all_at_once(tmp_path):
    for name in "ab":
        write(tmp_path / f"feeds/{name}.parquet", ["a"])
        write(tmp_path / f"out/_rejects/{name}.parquet", ["mine"])
    with pytest.raises(FaultsError, match="outputs that exist already: 2 faults"):
        score_all(str(tmp_path / "feeds"), place_of(tmp_path / "out"))


def test_overwriting_replaces_a_foreign_file_by_rejects_but_removes_it_for_none(tmp_path):
    foreign, target = tmp_path / "out.rejects.parquet", place_of(tmp_path / "out.parquet")
    foreign.write_text("mine")
    source = write(tmp_path / "in.parquet", ["a"])
    score_all(str(source), target, Existing.OVERWRITE)
    assert foreign.read_text() == "mine"
    write(source, [""])
    score_all(str(source), target, Existing.OVERWRITE)
    assert pq.read_table(foreign).column("reason").to_pylist() == ["no title"]


def test_a_folder_in_the_place_of_the_rejects_is_an_error(tmp_path):
    (tmp_path / "out.rejects.parquet").mkdir()
    source = write(tmp_path / "in.parquet", ["a"])
    with pytest.raises(InputError, match="is a folder, and where rejects would go"):
        score_all(str(source), place_of(tmp_path / "out.parquet"), Existing.OVERWRITE)


def test_rejects_are_known_by_their_mark_and_those_without_by_their_columns(tmp_path):
    score_all(str(write(tmp_path / "in.parquet", [""])), place_of(tmp_path / "out.parquet"))
    rejects = tmp_path / "out.rejects.parquet"
    assert pq.ParquetFile(rejects).metadata.metadata[MARK_KEY.encode()] == b"1"
    assert is_rejects_file(place_of(rejects))
    pq.write_table(REJECTS_SCHEMA.empty_table(), tmp_path / "old.parquet")
    assert is_rejects_file(place_of(tmp_path / "old.parquet"))
    assert not is_rejects_file(place_of(tmp_path / "in.parquet"))
    assert not is_rejects_file(place_of(tmp_path / "none.parquet"))


def test_an_id_that_is_null_is_null_in_the_rejects(tmp_path):
    table = pa.table({"listing_id": ["a", None], "title": pa.array([None, None], pa.string())})
    pq.write_table(table, tmp_path / "in.parquet")
    score_all(str(tmp_path / "in.parquet"), place_of(tmp_path / "out.parquet"))
    rejects = pq.read_table(tmp_path / "out.rejects.parquet")
    assert rejects.column("listing_id").to_pylist() == ["a", None]


# --- the summary ---


@pytest.fixture
def feeds(tmp_path):
    for name in "ab":
        write(tmp_path / f"feeds/{name}.parquet", ["rtx 3080 10gb", ""])
    return tmp_path / "feeds"


@pytest.mark.parametrize("more", [(), ("--overwrite",), ("--resume",)], ids=str)
@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("feeds/a.parquet", "is an input of this run"),
        ("feeds/link.json", "is an input of this run"),
        ("out/b.parquet", "is where the output of .*/b.parquet goes"),
        ("out/_rejects/b.parquet", "is where the rejects of .*/b.parquet go"),
        ("feeds/deeper/s.json", "lies in .*feeds, where the input is read"),
        ("out", "is where the output of .*/a.parquet goes"),
    ],
)
def test_a_summary_takes_the_place_of_nothing(run, feeds, tmp_path, name, fault, more):
    (feeds / "link.json").symlink_to(feeds / "a.parquet")
    before = contents(tmp_path)
    result = run("score", feeds, tmp_path / "out", "--summary", tmp_path / name, *more)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Error: {tmp_path / name}: ")
    with pytest.raises(InputError, match=f"{fault}; choose another name for the summary"):
        raise InputError(line)
    assert contents(tmp_path) == before


def test_a_summary_may_lie_beside_what_a_glob_matches_and_among_the_outputs(run, feeds, tmp_path):
    for summary in (feeds / "s.json", tmp_path / "out/s.json"):
        result = run(
            "score", "--resume", f"{feeds}/*.parquet", tmp_path / "out", "--summary", summary
        )
        assert result.exit_code == 0, result.output
        assert summary.exists()


def test_a_summary_is_no_earlier_output_that_is_read(run, feeds, tmp_path):
    monday = tmp_path / "monday.parquet"
    run("score", feeds / "a.parquet", monday)
    result = run(
        "score",
        feeds / "b.parquet",
        tmp_path / "tuesday.parquet",
        "--since",
        monday,
        "--overwrite",
        "--summary",
        monday,
    )
    assert result.exit_code == 1
    assert "is an earlier output that --since reads" in result.stderr
    assert pq.read_table(monday).num_rows == 2
