"""`rerank monitor`: what moved, and what to do."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from second_model import add_version

from rerank.lifecycle.drift import answer_distribution
from rerank.lifecycle.model_registry import AliasChange, ModelRegistry
from rerank.packs.gpu.bootstrap.generator import generate
from rerank.workspace import Workspace, open_retriever


@pytest.fixture(scope="module")
def retriever(tmp_path_factory):
    return open_retriever(Workspace(tmp_path_factory.mktemp("none")))[0]


@pytest.fixture(scope="module")
def generated(retriever):
    return [item.listing for item in generate(retriever.records, 1000, seed=3)]


@pytest.fixture
def write(write_listings):
    def file(name, listings, *, title=lambda text: text):
        rows = [{"listing_id": each.listing_id, "title": title(each.title)} for each in listings]
        return write_listings(name, rows)

    return file


@pytest.fixture
def trained(home, tmp_path, shipped_resolver, generated):
    """A champion whose card says how its answers were spread at training."""
    spread = answer_distribution(shipped_resolver, generated[:600])
    ref = add_version(home, tmp_path / "draft", distribution=spread.as_json())
    registry = ModelRegistry(Workspace(home))
    registry.change(AliasChange(action="serve", alias="champion", to=ref), expected_generation=0)
    return ref


def test_more_listings_of_the_same_kind_have_not_moved(run, write, trained, generated):
    done = run("monitor", "--fail-on-drift", write("day.parquet", generated[600:]))
    assert done.exit_code == 0, done.output
    assert f"400 listings against 600 of {trained}, at training" in done.stdout
    assert "Nothing moved: nothing to do." in done.stdout
    assert max(map(len, done.stdout.splitlines()[:12])) <= 80


def test_listings_of_models_the_registry_lacks_are_named(run, write, trained, generated):
    day = write("day.csv", generated[600:], title=lambda text: f"RTX 6090 32GB {text[:5]}")
    done = run("monitor", "--fail-on-drift", "--format", "json", day)
    assert done.exit_code == 1
    report = json.loads(done.stdout)
    moved = {each["measure"]: each["moved"] for each in report["measures"]}
    assert moved["unseen models"] == "strongly"
    assert moved["memory stated"] == "strongly"
    assert report["advice"][0].startswith("The registry lacks models that listings name (rtx 6090")


def test_a_resolved_file_is_compared_with_another_as_it_is(run, write, tmp_path, generated):
    old, new = tmp_path / "old.parquet", tmp_path / "new.parquet"
    for target, part in ((old, generated[:500]), (new, generated[500:])):
        assert run("score", write("in.parquet", part), target).exit_code == 0
    done = run("monitor", new, "--reference", old)
    assert done.exit_code == 0, done.output
    assert "resolving it first" not in done.output
    assert f"500 listings against 500 of {old}"[:60] in done.stdout
    assert "Nothing moved: nothing to do." in done.stdout


def test_in_an_empty_workspace_the_shipped_model_says_how_its_answers_were(run, write, generated):
    done = run("monitor", write("day.parquet", generated))
    assert done.exit_code == 0, done.output
    assert "1,000 listings against 1,000 of ltr shipped, at training" in done.stdout


def test_a_file_with_other_columns_of_these_names_is_refused_with_all_faults(run, tmp_path):
    path = tmp_path / "odd.parquet"
    pq.write_table(
        pa.table(
            {
                "title": [["gtx 1060"]],
                "best_guess": ["x"],
                "match_probability": ["often"],
                "margin": [1],
                "decision": ["match"],
            }
        ),
        path,
    )
    done = run("monitor", path)
    assert done.exit_code == 1
    assert "odd.parquet: 2 faults" in done.stderr
    assert "  - column title: expected string, found list<" in done.stderr
    assert "  - column match_probability: expected double, found string" in done.stderr


def test_titles_that_the_input_had_as_numbers_are_read_as_text(run, tmp_path):
    path = tmp_path / "numbers.parquet"
    pq.write_table(
        pa.table(
            {
                "title": [1080, 3080],
                "model": ["GeForce GTX 1080", None],  # as until no match had no model
                "match_probability": [0.9, 0.1],
                "margin": [0.5, 0.0],
                "decision": pa.array(["match", "review"]).dictionary_encode(),
            }
        ),
        path,
    )
    done = run("monitor", path, "--format", "json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["listings"] == 2


def test_without_anything_to_compare_with_it_says_what_to_give(
    run, write, home, tmp_path, generated
):
    ref = add_version(home, tmp_path / "draft")  # its card says nothing of its answers
    done = run("monitor", write("day.parquet", generated[:10]), "--reference", ref.version)
    assert done.exit_code == 1
    assert "give a file that was resolved earlier with --reference" in done.output
