"""`rerank nightly`: one command for cron, that can be run again however it ended."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from processes import started

from rerank.index.records import shipped
from rerank.jobs.files.places import place_of
from rerank.jobs.scoring.nightly import RECORD, SUMMARY, earlier_day, nightly_text, summary_content
from rerank.jobs.scoring.one_file import exclusive
from rerank.jobs.scoring.run import ScoreSummary
from rerank.packs.gpu.registry import load_registry

DOCS = Path(__file__).resolve().parents[2] / "docs/nightly.md"
TITLES = {"a": ["Palit RTX 3080 GamingPro 10GB", "RTX 3080 box only"], "b": ["RX6700XT 12G", ""]}
FIRST, SECOND = "2026-01-01", "2026-01-03"


def write(path, titles):
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = [f"{path.stem}-{n}" for n in range(len(titles))]
    pq.write_table(pa.table({"listing_id": ids, "title": titles}), path)


def tables(folder):
    return {
        path.relative_to(folder).as_posix(): pq.read_table(path).to_pylist()
        for path in folder.rglob("*.parquet")
        if not path.name.startswith(".")
    }


def summary_of(folder):
    return json.loads((folder / SUMMARY).read_text(encoding="utf-8"))


@pytest.fixture
def feeds(tmp_path):
    for name, titles in TITLES.items():
        write(tmp_path / f"feeds/{name}.parquet", titles)
    return tmp_path / "feeds"


@pytest.fixture
def night(run, feeds, tmp_path):
    def at(day, *more):
        return run("nightly", "--date", day, *more, feeds, tmp_path / "out")

    return at


@pytest.fixture
def registry(tmp_path):
    """A copy of the shipped registry, to be changed."""
    return Path(shutil.copytree(shipped("registry"), tmp_path / "registry"))


def test_a_canary_that_a_night_does_not_serve_is_told_of(night, home):
    path = home / "models" / "active_model.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"name": "ltr", "version": "shipped", "canary": {"step": 0}}')
    result = night(FIRST)
    assert result.exit_code == 0, result.output
    assert "a canary runs, but only `rerank models canary run` serves it" in result.stderr
    path.unlink()
    assert "a canary runs" not in night(SECOND).stderr


def test_a_day_is_scored_into_its_folder_as_score_does_it(run, night, feeds, tmp_path):
    result = night(FIRST)
    assert result.exit_code == 0, result.output
    assert run("score", feeds, tmp_path / "plain").exit_code == 0
    assert tables(tmp_path / "out" / FIRST) == tables(tmp_path / "plain")
    content = summary_of(tmp_path / "out" / FIRST)
    assert (content["date"], content["rows"], content["rejects"]) == (FIRST, 4, 1)
    assert content["decisions"] == {"match": 2, "review": 0, "no_match": 2}
    assert content["shares"] == {"match": 0.5, "review": 0.0, "no_match": 0.5}
    assert (content["previous"], content["index_rebuilt"]) == (None, False)
    assert result.stdout.splitlines()[:5] == [
        "          2026-01-01",
        "rows               4",
        "match          50.0%",
        "review          0.0%",
        "no match       50.0%",
    ]


def test_the_next_day_keeps_answers_of_the_latest_finished_day_and_compares(night, feeds, tmp_path):
    night(FIRST)
    write(tmp_path / "out/2026-01-02/a.parquet", ["not finished"])
    write(feeds / "b.parquet", ["RX6700XT 12G", "Tesla P40 24GB"])
    result = night(SECOND)
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ "
    said = f"{stamp}Compared with 2026-01-01\n{stamp}4 earlier answers of this model, index"
    assert re.match(said, result.stderr)
    content = summary_of(tmp_path / "out" / SECOND)
    assert content["reused_rows"] == 3
    assert content["previous"] == {
        "date": FIRST,
        "rows": 4,
        "shares": {"match": 0.5, "review": 0.0, "no_match": 0.5},
        "changes": {"match": 0.25, "review": 0.0, "no_match": -0.25},
        "model_version": content["model_version"],
        "index_version": content["index_version"],
    }
    assert "match          75.0%       50.0%  +25.0 pp" in result.stdout
    assert "rejects 0, answers kept from earlier 3\n" in result.stdout
    assert "another" not in result.stdout


def test_a_later_day_is_no_earlier_one(night, tmp_path):
    night(SECOND)
    night(FIRST)
    assert summary_of(tmp_path / "out" / FIRST)["previous"] is None


def test_run_again_on_the_same_day_it_does_only_what_is_missing(night, tmp_path):
    night(FIRST)
    whole = tables(tmp_path / "out")
    (tmp_path / "out" / FIRST / "b.parquet").unlink()
    (tmp_path / "out" / FIRST / SUMMARY).unlink()
    assert night(FIRST).exit_code == 0
    assert tables(tmp_path / "out") == whole
    assert summary_of(tmp_path / "out" / FIRST)["files"] == {"scored": 1, "kept": 1, "failed": 0}


def test_one_file_goes_into_the_days_folder_too(run, feeds, tmp_path):
    for day in (FIRST, SECOND):
        result = run("nightly", "--date", day, feeds / "b.parquet", tmp_path / "out")
        assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "out" / SECOND).iterdir()) == [
        RECORD,
        SUMMARY,
        "b.parquet",
        "b.rejects.parquet",
    ]
    assert summary_of(tmp_path / "out" / SECOND)["reused_rows"] == 2


def test_files_set_aside_end_with_exit_code_1_and_stand_in_the_report(night, feeds, tmp_path):
    (feeds / "c.parquet").write_bytes(b"PAR1 cut off")
    result = night(FIRST)
    assert result.exit_code == 1
    assert f"set aside: {feeds}/c.parquet: not readable as parquet" in result.stdout
    content = summary_of(tmp_path / "out" / FIRST)
    assert content["files"] == {"scored": 2, "kept": 0, "failed": 1}
    assert [failure["file"] for failure in content["failures"]] == [f"{feeds}/c.parquet"]


def test_the_index_is_rebuilt_only_when_the_registrys_content_changed(night, registry, tmp_path):
    night(FIRST, "--registry", registry)
    before = summary_of(tmp_path / "out" / FIRST)
    assert before["index_rebuilt"] is False
    (registry / "mine.yaml").write_text(
        "vendor: NVIDIA\nfamilies:\n  - generation: GeForce 90\n    line: GeForce\n    models:\n"
        "      - {name: GeForce RTX 9099, chip: GX999, year: 2031, variants: [99GB GDDR7]}\n",
        encoding="utf-8",
    )
    result = night(SECOND, "--registry", registry)
    assert result.exit_code == 0, result.output
    n_gpus = len(load_registry(registry))
    assert re.search(
        f"The registry changed: index [0-9a-f]{{16}} in .*: {n_gpus} GPUs of ", result.stderr
    )
    assert f"GPUs were added since {FIRST}: what these can touch is answered again" in result.stderr
    assert "0 touched" not in result.stdout
    content = summary_of(tmp_path / "out" / SECOND)
    assert (content["index_rebuilt"], content["reused_rows"]) == (True, 4)
    assert content["index_version"] != before["index_version"]
    assert content["model_version"] == before["model_version"]
    night("2026-01-04", "--registry", registry)
    last = summary_of(tmp_path / "out/2026-01-04")
    assert (last["index_rebuilt"], last["reused_rows"]) == (False, 4)


def test_answers_after_gpus_were_added_are_those_of_a_run_that_answers_all(
    run, night, registry, feeds, tmp_path
):
    titles = ["PNY GeForce RTX 9099 16GB", *TITLES["a"]]
    write(feeds / "a.parquet", titles)
    night(FIRST, "--registry", registry)
    (registry / "mine.yaml").write_text(
        "vendor: NVIDIA\nfamilies:\n  - generation: GeForce 90\n    line: GeForce\n    models:\n"
        "      - {name: GeForce RTX 9099, chip: GX999, year: 2031, variants: [16GB GDDR7]}\n",
        encoding="utf-8",
    )
    result = night(SECOND, "--registry", registry)
    assert result.exit_code == 0, result.output
    assert run("score", feeds, tmp_path / "anew").exit_code == 0
    assert tables(tmp_path / "out" / SECOND) == tables(tmp_path / "anew")
    moves = summary_of(tmp_path / "out" / SECOND)["moves"]
    assert (moves["again"], sum(moves["moved"].values())) == (1, 1)
    ((title, _, now),) = moves["examples"]
    assert (title, now) == (titles[0], "match: geforce-rtx-9099-16gb-gddr7")
    assert "1 touched by added GPUs and answered again, 1 moved" in result.stdout
    assert f"  {titles[0]}: " in result.stdout


def test_a_night_tells_of_files_and_shops_and_of_a_fall(night, feeds, tmp_path):
    def sold(titles, shops):
        rows = {"listing_id": [str(n) for n in range(len(titles))], "title": titles, "shop": shops}
        pq.write_table(pa.table(rows), feeds / "a.parquet")

    card, other = "Palit RTX 3080 GamingPro 10GB", "a kitchen chair"
    pq.write_table(
        pa.table({"listing_id": ["9"], "title": [card], "shop": ["<b>"]}), feeds / "b.parquet"
    )
    sold([card, card], ["<b>", None])
    first = night(FIRST, "--min-match-share", "0.9", "--max-fall", "0.1")
    assert first.exit_code == 0, first.output
    sold([card, other], ["<b>", None])
    result = night(SECOND, "--min-match-share", "0.9", "--max-fall", "0.1")
    assert result.exit_code == 3
    content = summary_of(tmp_path / "out" / SECOND)
    decisions = {"match": 1, "review": 0, "no_match": 1}
    assert content["by_file"]["a.parquet"] == {
        "rows": 2,
        "decisions": decisions,
        "match_share": 0.5,
        "change": -0.5,
    }
    shares = {shop: own["match_share"] for shop, own in content["by_shop"].items()}
    assert shares == {"<b>": 1.0, "": 0.0}
    assert content["fallen"] == [
        "the share of matches is 66.7%, below 90.0%",
        "the share of matches fell by 33.3 points since 2026-01-01, more than 10.0",
    ]
    assert re.search(r"a\.parquet +2 +50\.0% +-50\.0 pp", result.stdout)
    assert "Warning: the share of matches is 66.7%, below 90.0%" in result.stdout
    page = (tmp_path / "out" / "_history.html").read_text(encoding="utf-8")
    assert "2 finished days, the latest 2026-01-03" in page
    assert "&lt;b&gt;" in page
    assert "<b>" not in page.split("<main>")[1]
    assert night("2026-01-04", "--shop-column", "dealer").exit_code == 1


def test_without_a_registry_the_workspaces_own_index_stays(run, night, registry, tmp_path):
    for path in registry.glob("*.yaml"):
        if "intel" not in path.name.lower():
            path.unlink()
    assert run("build-index", "--registry", registry).exit_code == 0
    manifest = (tmp_path / "home/index/manifest.json").read_bytes()
    assert night(FIRST).exit_code == 0
    assert (tmp_path / "home/index/manifest.json").read_bytes() == manifest


def test_a_registry_with_faults_stops_before_anything_is_written(night, tmp_path):
    bad = tmp_path / "bad.csv"
    bad.write_text("model,vendor\nX,NVIDIA\n", encoding="utf-8")
    result = night(FIRST, "--registry", bad)
    assert result.exit_code == 1
    assert "bad.csv" in result.stderr
    assert list((tmp_path / "out").iterdir()) == []
    assert not (tmp_path / "home").exists()


def test_two_nights_do_not_write_to_one_folder_at_a_time(night, tmp_path):
    with exclusive(place_of(tmp_path / "out")):
        result = night(FIRST)
    assert result.exit_code == 1
    assert f"{tmp_path}/out: another run is scoring into it" in result.stderr


def test_a_file_where_the_days_should_go_is_an_error(night, tmp_path):
    (tmp_path / "out").write_bytes(b"x")
    result = night(FIRST)
    assert result.exit_code == 1
    assert "expected a folder for the days' outputs, found a file" in result.stderr


@pytest.mark.parametrize("text", ["{", "[]", '{"rows": 4}', '{"rows": 0, "decisions": {}}'])
def test_a_summary_that_cannot_be_read_is_of_no_finished_day(night, tmp_path, text):
    night(FIRST)
    damaged = tmp_path / "out/2026-01-02"
    damaged.mkdir()
    (damaged / SUMMARY).write_text(text, encoding="utf-8")
    found = earlier_day(place_of(tmp_path / "out"), before=date(2026, 1, 3))
    assert found is not None
    assert found.summary["date"] == FIRST


def test_outputs_that_are_gone_are_no_earlier_answers(night, tmp_path):
    night(FIRST)
    for path in (tmp_path / "out" / FIRST).glob("*.parquet"):
        path.unlink()
    result = night(SECOND)
    assert result.exit_code == 0
    assert "its outputs are gone; no earlier answers are kept" in result.stderr
    assert summary_of(tmp_path / "out" / SECOND)["reused_rows"] == 0


def test_a_wrong_date_is_a_wrong_call(run, feeds, tmp_path):
    result = run("nightly", "--date", "tomorrow", feeds, tmp_path / "out")
    assert result.exit_code == 2
    assert "expected a day as YYYY-MM-DD, got 'tomorrow'" in result.output
    result = run("nightly", "--date", "2026-02-30", feeds, tmp_path / "out")
    assert result.exit_code == 2
    assert "expected a day of the calendar, got 2026-02-30: no such day" in result.output
    assert not (tmp_path / "out").exists()


def test_a_night_without_rows_has_shares_of_zero_and_a_report():
    scored = ScoreSummary(0, {}, 0.0, model_version="m", index_version="i")
    content = summary_content(date(2026, 1, 1), scored, None, index_rebuilt=False)
    assert content["shares"] == {"match": 0.0, "review": 0.0, "no_match": 0.0}
    assert "match           0.0%" in nightly_text(content)


def test_the_document_names_every_key_of_the_summary(night, tmp_path):
    night(FIRST)
    night(SECOND)
    text = DOCS.read_text(encoding="utf-8")
    content = summary_of(tmp_path / "out" / SECOND)
    named = set(re.findall(r"`(\w+)`", text))
    assert set(content) | set(content["previous"]) <= named


# --- a day that is run again, days with files set aside ---


def test_folder_and_summary_agree_after_an_input_is_gone(run, night, feeds, tmp_path):
    night(FIRST)
    (feeds / "b.parquet").unlink()
    write(feeds / "a.parquet", TITLES["a"])
    result = night(FIRST)
    day = tmp_path / "out" / FIRST
    assert result.exit_code == 0
    assert f"{day}/b.parquet: removed, its input is gone or cannot be read" in result.stderr
    assert list(tables(day)) == ["a.parquet"]
    assert summary_of(day)["rows"] == 2
    assert "rows kept from an earlier run of the day 2\n" in result.stdout


def test_the_output_of_a_file_that_is_set_aside_now_is_removed_with_its_rejects(
    night, feeds, tmp_path
):
    night(FIRST)
    day = tmp_path / "out" / FIRST
    assert (day / "_rejects/b.parquet").exists()
    (feeds / "b.parquet").write_bytes(b"PAR1 cut off")
    result = night(FIRST)
    assert result.exit_code == 1
    assert f"{day}/b.parquet: removed, its input was set aside" in result.stderr
    assert list(tables(day)) == ["a.parquet"]


def test_what_somebody_else_keeps_in_the_days_folder_stays(night, tmp_path):
    night(FIRST)
    write(tmp_path / "out" / FIRST / "mine.parquet", ["precious"])
    assert night(FIRST).exit_code == 0
    assert pq.read_table(tmp_path / "out" / FIRST / "mine.parquet").num_rows == 1


@pytest.mark.parametrize("source", ["other", "feeds/a*.parquet"])
def test_other_listings_on_one_day_are_an_error_before_any_work(
    run, night, feeds, tmp_path, source
):
    night(FIRST)
    before = tables(tmp_path / "out"), summary_of(tmp_path / "out" / FIRST)
    write(tmp_path / "other/c.parquet", ["RTX 3080 10GB"])
    result = run("nightly", "--date", FIRST, tmp_path / source, tmp_path / "out")
    assert result.exit_code == 1
    assert f"{tmp_path}/out/{FIRST}: has outputs of {feeds} that listings in" in result.stderr
    assert "choose another OUT for these, or remove the day's folder" in result.stderr
    assert (tables(tmp_path / "out"), summary_of(tmp_path / "out" / FIRST)) == before


def test_that_the_index_was_rebuilt_is_known_to_a_later_run_of_the_day(night, registry, tmp_path):
    (registry / "mine.yaml").write_text(
        "vendor: NVIDIA\nfamilies:\n  - generation: GeForce 90\n    line: GeForce\n    models:\n"
        "      - {name: GeForce RTX 9099, chip: GX999, year: 2031, variants: [99GB GDDR7]}\n",
        encoding="utf-8",
    )
    first = night(FIRST, "--registry", registry)
    assert "answers of that day" not in first.stderr
    assert summary_of(tmp_path / "out" / FIRST)["index_rebuilt"] is True
    night(FIRST, "--registry", registry)
    assert summary_of(tmp_path / "out" / FIRST)["index_rebuilt"] is True
    night(SECOND, "--registry", registry)
    assert summary_of(tmp_path / "out" / SECOND)["index_rebuilt"] is False


def test_a_day_with_files_set_aside_is_not_what_the_next_is_compared_with(night, feeds, tmp_path):
    night(FIRST)
    (feeds / "c.parquet").write_bytes(b"PAR1 cut off")
    night(SECOND)
    (feeds / "c.parquet").unlink()
    result = night("2026-01-04")
    assert (
        f"Compared with {FIRST}, not with {SECOND}, of which files were set aside" in result.stderr
    )
    assert summary_of(tmp_path / "out/2026-01-04")["previous"]["date"] == FIRST


def test_where_every_day_has_files_set_aside_the_latest_is_compared_with(night, feeds, tmp_path):
    (feeds / "c.parquet").write_bytes(b"PAR1 cut off")
    for day in (FIRST, SECOND):
        night(day)
    result = night("2026-01-04")
    assert f"Compared with {SECOND}, of which files were set aside: no earlier" in result.stderr
    assert summary_of(tmp_path / "out/2026-01-04")["previous"]["date"] == SECOND


@pytest.mark.slow
def test_a_killed_night_is_finished_by_the_next_run_of_the_day(run, feeds, tmp_path):
    for name in "cd":
        write(feeds / f"{name}.parquet", [f"RTX 30{n}0 10GB" for n in range(3_000)])
    words = ["nightly", "--date", FIRST, "--only-decisions", feeds, tmp_path / "out"]
    child = started(tmp_path / "home", *words, stderr=subprocess.DEVNULL)
    day = tmp_path / "out" / FIRST
    while child.poll() is None and not list(day.glob(".c.parquet.*")):
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not (day / SUMMARY).exists()
    again = run(*words)
    assert again.exit_code == 0, again.output
    assert again.stdout
    assert run("score", "--only-decisions", feeds, tmp_path / "plain").exit_code == 0
    assert tables(day) == tables(tmp_path / "plain")
    assert [path.name for path in day.rglob(".*")] == []
    # Small files appear in groups: what was finished last may wait for those that follow.
    assert summary_of(day)["files"]["kept"] >= 1
