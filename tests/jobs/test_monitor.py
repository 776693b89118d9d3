"""`rerank monitor`: what moved, and what to do."""

from __future__ import annotations

import json

import pytest
from second_model import add_version

from jobs.lifecycle.distributions import answer_distribution
from jobs.lifecycle.registry import Change, ModelRegistry
from jobs.workspace import Workspace, open_retriever
from rerank.bootstrap import generate


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
def trained(home, tmp_path, retriever, shipped_resolver, generated):
    """A champion whose card says how its answers were spread at training."""
    spread = answer_distribution(retriever, shipped_resolver, generated[:600])
    ref = add_version(home, tmp_path / "draft", distribution=spread.as_json())
    registry = ModelRegistry(Workspace(home))
    registry.change(Change(action="serve", alias="champion", to=ref), expected_generation=0)
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


def test_without_anything_to_compare_with_it_says_what_to_give(run, write, generated):
    done = run("monitor", write("day.parquet", generated[:10]))
    assert done.exit_code == 1
    assert "give a file that was resolved earlier with --reference" in done.output
