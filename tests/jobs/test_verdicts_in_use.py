"""People's verdicts in resolve, score and nightly: what is equal to what, and who reads them."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from echo_answerer import score_all
from judge import Judge

from rerank.answer_columns import OUTPUT_SCHEMA
from rerank.index.records import Listing
from rerank.jobs.files.listings import ListingBatch
from rerank.jobs.files.places import place_of
from rerank.jobs.scoring import answering
from rerank.jobs.scoring.answering import (
    RememberingAnswerer,
    ResolverAnswerer,
    ScoreOptions,
    batch_answerer,
    pinned,
)
from rerank.jobs.scoring.plan import Existing, read_record
from rerank.lifecycle.opening import LiveResolver, heeding_people, open_resolver
from rerank.packs.gpu.pack import GpuResolver
from rerank.verdicts import open_verdicts
from rerank.workspace import Workspace

TI8, TI16 = "geforce-rtx-4060-ti-8gb-gddr6", "geforce-rtx-4060-ti-16gb-gddr6"
TI = "GeForce RTX 4060 Ti"
TITLES = ["RTX 4060 Ti", "RTX 3080", "see photos", "RTX 4060", "", "RX 6600 XT"]


@pytest.fixture(scope="module")
def plain(tiny_retriever, linear_model):
    model = linear_model({"name_quality": 1.0, "memory_fit": 0.5}, {"named": 6.0}, -3.0)
    return GpuResolver(tiny_retriever, model, index_version="index-1")


@pytest.fixture
def workspace(home):
    return Workspace(home)


@pytest.fixture
def judge(workspace):
    return Judge(workspace)


@pytest.fixture
def source(tmp_path):
    rows = [{"listing_id": f"l{at}", "title": title} for at, title in enumerate(TITLES)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    return tmp_path / "in.parquet"


class Counting(ResolverAnswerer):
    """Remembers which titles it was asked for."""

    def __init__(self, *args):
        super().__init__(*args)
        self.asked = []

    def answer(self, batch):
        self.asked += [listing.title for listing in batch.listings()]
        return super().answer(batch)


def answerer_of(plain, workspace):
    return Counting(heeding_people(workspace, plain, open_verdicts(workspace)))


def scored(source, target, answerer, existing=Existing.REFUSE, **callbacks):
    score_all(str(source), place_of(target), existing, answerer, **callbacks)
    return pq.read_table(target)


def test_without_verdicts_nothing_is_other_than_it_was(plain, workspace, judge, source, tmp_path):
    never = scored(source, tmp_path / "never.parquet", ResolverAnswerer(plain))
    judge.say("RTX 3080", "not_gpu")
    judge.undo("RTX 3080")
    scored(source, tmp_path / "none.parquet", answerer_of(plain, workspace))
    assert never.column_names == ["listing_id", "title", *OUTPUT_SCHEMA.names]
    files = [(tmp_path / name).read_bytes() for name in ("never.parquet", "none.parquet")]
    assert files[0] == files[1]


def test_results_are_corrected_as_if_they_were_answered_anew(
    plain, workspace, judge, source, tmp_path, run, monkeypatch
):
    monkeypatch.setattr(
        answering, "resolver_answerer", lambda home, options: answerer_of(plain, workspace)
    )
    names = ("before", "corrected", "anew", "again")
    before, corrected, anew, again = (tmp_path / f"{name}.parquet" for name in names)
    first = scored(source, before, ResolverAnswerer(plain))
    assert "expected verdicts" in run("verdicts", "apply", before, corrected).output
    judge.say("RTX 3080", "several")
    judge.say("RTX 4060 Ti", "match", TI16, TI)
    result = run("verdicts", "apply", before, corrected)
    assert result.stdout == f"{corrected}: 6 rows, 2 corrected by people\n"
    expected = scored(source, anew, answerer_of(plain, workspace))
    assert pq.read_table(corrected).equals(expected)
    assert run("verdicts", "apply", corrected, corrected, "--overwrite").exit_code == 1
    judge.undo("RTX 3080")
    assert run("verdicts", "apply", corrected, again).exit_code == 0
    found = pq.read_table(again)
    assert found.column("decision_source").to_pylist() == ["person", *["model"] * 5]
    assert found.slice(1).select(first.column_names).equals(first.slice(1))
    assert run("verdicts", "apply", before, tmp_path / "flat.csv").exit_code == 0
    flat = tmp_path / "flat.csv"
    assert run("verdicts", "apply", flat, tmp_path / "flat.jsonl").exit_code == 0
    rows = [json.loads(line) for line in (tmp_path / "flat.jsonl").read_text().splitlines()]
    assert [row["gpu_id"] or None for row in rows] == found.column("gpu_id").to_pylist()
    assert "no column 'decision'" in run("verdicts", "apply", source, again, "--overwrite").output


def test_only_what_verdicts_touch_is_answered_again(plain, workspace, judge, source, tmp_path):
    steps = [
        (lambda: None, TITLES),
        (lambda: judge.say("RTX 3080", "not_gpu"), ["RTX 3080"]),
        (lambda: None, []),
        (lambda: judge.say("RTX 4060 Ti", "match", TI16, TI), ["RTX 4060 Ti", "RTX 3080"]),
        (lambda: judge.say("see photos", "not_this", TI16, TI), None),
        (lambda: judge.undo("RTX 3080"), None),
        (lambda: judge.undo("RTX 4060 Ti"), None),
        (lambda: judge.undo("see photos"), ["see photos"]),
    ]
    earlier = []
    for number, (change, asked) in enumerate(steps):
        change()
        kept, anew = tmp_path / f"kept{number}.parquet", tmp_path / f"anew{number}.parquet"
        fresh = answerer_of(plain, workspace)
        scored(source, kept, RememberingAnswerer(fresh, [place_of(path) for path in earlier]))
        scored(source, anew, answerer_of(plain, workspace))
        assert kept.read_bytes() == anew.read_bytes(), number
        if asked is not None:
            assert sorted(set(fresh.asked)) == sorted(asked), number
        earlier = [kept]


def test_a_run_that_goes_on_notices_that_verdicts_changed(
    plain, workspace, judge, source, tmp_path
):
    target = tmp_path / "out.parquet"

    def run_again():
        said = []
        scored(source, target, answerer_of(plain, workspace), Existing.RESUME, say=said.append)
        return [text for text in said if "verdicts" in text]

    changed = [f"{source}: scored again, people's verdicts changed"]
    assert run_again() == []
    assert "verdicts" not in read_record(place_of(target))
    judge.say("RTX 3080", "not_gpu")
    assert run_again() == changed
    assert read_record(place_of(target))["verdicts"] == open_verdicts(workspace).version
    assert run_again() == []
    judge.undo("RTX 3080")
    assert run_again() == changed
    assert run_again() == []


def test_an_input_with_columns_of_our_names_keeps_them(plain, workspace, judge, tmp_path):
    rows = [{"listing_id": "1", "title": "RTX 3080", "decision_source": "theirs"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    scored(tmp_path / "in.parquet", tmp_path / "one.parquet", answerer_of(plain, workspace))
    judge.say("RTX 4060", "not_gpu")
    fresh = answerer_of(plain, workspace)
    answerer = RememberingAnswerer(fresh, [place_of(tmp_path / "one.parquet")])
    found = scored(tmp_path / "in.parquet", tmp_path / "two.parquet", answerer).to_pylist()[0]
    assert (fresh.asked, answerer.n_reused) == ([], 1)
    assert (found["input_decision_source"], found["decision_source"]) == ("theirs", "model")


def test_workers_and_pickled_resolvers_have_the_verdicts_of_the_run(home, judge, workspace):
    judge.say("RTX 4060 Ti 8GB", "match", TI16, TI)
    options, people = pinned(home, ScoreOptions(verdicts=True))
    assert options.verdicts == people.version
    judge.say("RTX 4060 Ti 8GB", "not_gpu")
    table = pa.table({"listing_id": ["1"], "title": ["RTX 4060 Ti 8GB"]})
    row = batch_answerer(home, options)(ListingBatch(table)).to_pylist()[0]
    assert (row["gpu_id"], row["model_gpu_id"]) == (TI16, TI8)
    assert (row["decision_source"], row["decided_by"]) == ("person", "kim")
    opened = open_resolver(home, verdicts=True)
    assert opened.resolve("RTX 4060 Ti 8GB").decision == "no_match"
    make, arguments = opened.__reduce__()
    assert make(*arguments).people.version == opened.people.version


def test_who_does_not_ask_for_verdicts_reads_none(home, judge, monkeypatch):
    judge.annotate(Listing("1", "RTX 4060 Ti 8GB"), "ann", "not_gpu")
    with monkeypatch.context() as patched:
        patched.setattr("rerank.verdicts.open_verdicts", None)
        for resolver in (open_resolver(home), LiveResolver(home).current):
            answer = resolver.resolve("RTX 4060 Ti 8GB")
            assert (answer.gpu_id, answer.provenance, resolver.people) == (TI8, None, None)
    assert pinned(home, ScoreOptions()) == (ScoreOptions(), None)
    assert not (home / "verdicts").exists()


def test_a_live_resolver_follows_what_people_say(home, judge):
    live = LiveResolver(home, verdicts=True)
    assert live.resolve("RTX 4060 Ti 8GB").gpu_id == TI8
    plain = live.current
    judge.annotate(Listing("1", "RTX 4060 Ti 8GB"), "ann", "not_gpu")
    assert live.resolve("RTX 4060 Ti 8GB").gpu_id is None
    assert live.current.model is plain.model
    judge.undo("RTX 4060 Ti 8GB")
    assert live.resolve("RTX 4060 Ti 8GB") == plain.resolve("RTX 4060 Ti 8GB")


def test_commands_say_what_stands_and_take_it_back(run, home, tmp_path, write_listings):
    title = "RTX 4060 Ti 8GB lot 1234567"
    assert run("verdicts", "list").stdout == "No verdict stands.\n"
    assert not home.exists()
    said = run("verdicts", "set", title, "--gpu", "RTX 4060 Ti 16GB", "--annotator", "kim")
    assert said.stdout == f"{title}: {TI16}, said by kim\n"
    assert said.stderr == f"take it back with `rerank verdicts undo '{title}'`\n"
    answer = json.loads(run("resolve", title, "--format", "json").stdout)
    assert (answer["gpu_id"], answer["decision_source"]) == (TI16, "person")
    assert (answer["decided_by"], answer["model_gpu_id"]) == ("kim", TI8)
    assert list(answer)[-6:-4] == ["decision_source", "decided_by"]
    assert "decided   by kim, " in run("resolve", title).stdout
    model = json.loads(run("resolve", "--no-verdicts", title, "--format", "json").stdout)
    assert model["gpu_id"] == TI8
    assert "decision_source" not in model
    feed = write_listings(
        "in.csv", [{"listing_id": "1", "title": title.replace("1234567", "7654321")}]
    )
    near = run("verdicts", "near", feed, "--format", "json")
    assert [row["verdict"] for row in json.loads(near.stdout)] == [TI16]
    found = []
    for more in ([], ["--near-verdicts"], ["--no-verdicts"]):
        target = tmp_path / f"out{len(found)}.parquet"
        result = run("score", feed, target, *more, "--summary", tmp_path / "s.json", "--overwrite")
        assert result.exit_code == 0, result.output
        found.append(pq.read_table(target).to_pylist()[0])
        assert ("verdicts_version" in json.loads((tmp_path / "s.json").read_text())) is (
            more != ["--no-verdicts"]
        )
    assert [row.get("decision_source") for row in found] == ["model", "person", None]
    (listed,) = json.loads(run("verdicts", "list", "--format", "json").stdout)
    assert (listed["title"], listed["gpu_id"], listed["stale"]) == (title.lower(), TI16, False)
    assert json.loads(run("status", "--format", "json").stdout)["verdicts"] == {
        "standing": 1,
        "stale": 0,
    }
    assert (
        run("verdicts", "undo", title).stdout == f"{title}: match undone; now the model answers\n"
    )
    assert run("verdicts", "undo", title).exit_code == 1


def test_what_left_the_registry_is_listed_as_a_question(run, home, judge):
    judge.say("RTX 4060 Ti", "match", "gone-1gb", TI)
    judge.say("RTX 3080", "none_of_these")
    rows = json.loads(run("verdicts", "list", "--stale", "--format", "json").stdout)
    assert [(row["gpu_id"], row["stale"]) for row in rows] == [("gone-1gb", True)]
    assert "? gone-1gb" in run("verdicts", "list").stdout
    assert "rerank verdicts list --stale" in run("status").stdout


def test_a_wrong_call_says_what_was_expected(run):
    assert "--gpu: expected with the verdicts match" in run("verdicts", "set", "RTX 3080").output
    result = run("verdicts", "set", "RTX 3080", "--gpu", "RTX 9999")
    assert "no GPU of the registry is called 'RTX 9999'" in result.output
    assert run("verdicts", "set", " ", "--verdict", "not_gpu").exit_code == 1


def test_nightly_heeds_verdicts_and_says_which(run, home, judge, write_listings, tmp_path):
    write_listings("in.csv", [{"listing_id": "1", "title": "RTX 4060 Ti 8GB"}])
    out = tmp_path / "days"
    (tmp_path / "feeds").mkdir()
    (tmp_path / "in.csv").rename(tmp_path / "feeds" / "in.csv")

    def night(day, *more):
        result = run("nightly", tmp_path / "feeds", out, "--date", day, *more)
        assert result.exit_code == 0, result.output
        summary = json.loads((out / day / "_summary.json").read_text())
        row = pq.read_table(out / day / "in.parquet").to_pylist()[0]
        return row["gpu_id"], summary.get("verdicts_version"), summary["reused_rows"]

    assert night("2026-03-01") == (TI8, None, 0)
    judge.annotate(Listing("7", "RTX 4060 ti 8GB"), "ann", "match", TI16, TI)
    judge.say("another", "not_gpu")
    assert night("2026-03-02") == (TI16, open_verdicts(Workspace(home)).version, 0)
    assert night("2026-03-03", "--no-verdicts") == (TI8, None, 0)
    assert night("2026-03-04", "--no-verdicts") == (TI8, None, 1)
