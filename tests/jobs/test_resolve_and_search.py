"""`rerank resolve` and `rerank search`."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from rerank.explanation import words_of
from rerank.index.records import Listing
from rerank.index.text import MAX_TITLE_CHARS
from rerank.packs.gpu.candidates import CANDIDATE_FEATURES
from rerank.packs.gpu.offers import OFFER_FEATURES
from rerank.resolution import Resolution

TITLE = "gigabyte RTX5070Ti windforce sff 16g"


@pytest.mark.smoke
def test_resolves_a_title_on_the_shipped_defaults(run, home):
    result = run("resolve", TITLE)
    assert result.exit_code == 0
    assert "match     GeForce RTX 5070 Ti 16 GB PCIe" in result.output
    assert "geforce-rtx-5070-ti-16gb-gddr7" in result.output
    assert max(map(len, result.output.splitlines())) <= 80
    assert not home.exists()


def test_json_carries_the_contract(run):
    result = run("resolve", TITLE, "--vendor", "Gigabyte", "--format", "json", "--top-k", 3)
    row = json.loads(result.stdout)
    assert list(row) == ["title", "vendor", *(field.name for field in fields(Resolution))]
    assert (row["title"], row["vendor"]) == (TITLE, "Gigabyte")
    assert (row["decision"], row["model"]) == ("match", "GeForce RTX 5070 Ti")
    assert len(row["candidates"]) == 3
    assert row["candidates"][0]["gpu_id"] == row["gpu_id"]


def test_reads_titles_from_stdin(run):
    result = run("resolve", "-", "--format", "json", text="rtx 4090 24gb\n\nRTX 3080 box only\n")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["decision"] for row in rows] == ["match", "no_match", "no_match"]
    assert rows[1]["reason"] == "no title"
    assert [rows[2][name] for name in ("gpu_id", "model", "memory_gb", "form_factor")] == [None] * 4
    assert rows[2]["best_guess"] == "GeForce RTX 3080"


def test_several_titles_are_answered_in_their_order_stdin_among_them(run):
    result = run(
        "resolve", "rtx 4090 24gb", "-", "RTX 3080 box only", "--format", "json", text="-\nrx 6600"
    )
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    titles = ["rtx 4090 24gb", "-", "rx 6600", "RTX 3080 box only"]
    assert [row["title"] for row in rows] == titles
    assert [row["decision"] for row in rows] == ["match", "no_match", "match", "no_match"]
    assert run("resolve").exit_code == 2


def test_stdin_may_hold_bytes_that_are_no_text(run):
    result = run("resolve", "-", "--format", "json", text=b"\xff\xfe rtx 4090 24gb\n")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["model"] == "GeForce RTX 4090"


def test_explains_in_json(run):
    row = json.loads(run("resolve", TITLE, "--explain", "--format", "json").stdout)
    why = row["explanation"]
    assert why["best"] == "GeForce RTX 5070 Ti"
    assert why["rival"] not in (None, why["best"])
    assert {part["feature"] for part in why["ranking"]} <= set(CANDIDATE_FEATURES)
    assert {part["feature"] for part in why["offer"]} <= set(OFFER_FEATURES)
    sizes = [abs(part["contribution"]) for part in why["ranking"]]
    assert sizes == sorted(sizes, reverse=True)


def test_explains_in_a_table_of_80_columns(run):
    result = run("resolve", "RTX 3080 box only", "--explain")
    assert "words of kind 'box' after the name" in result.output
    assert max(map(len, result.output.splitlines())) <= 80


def test_explanation_gives_the_best_candidate_of_the_answer(shipped_resolver):
    listing = Listing("1", "Sapphire Nitro+ RX6700XT 12G")
    assert shipped_resolver.explain(listing).best == shipped_resolver.resolve(listing).model


def test_feature_names_read_as_words():
    assert words_of("box_before") == "words of kind 'box' before the name"
    assert words_of("memory_fit") == "memory fit"
    assert all(words_of(name) for name in OFFER_FEATURES)


def test_fewer_candidates_shown_is_the_same_answer(shipped_resolver):
    listing = Listing("1", TITLE)
    (few,) = shipped_resolver.resolve_many([listing], top_k=2)
    (many,) = shipped_resolver.resolve_many([listing], top_k=20)
    assert few.candidates == many.candidates[:2]
    assert few.match_probability == many.match_probability


def test_a_long_title_is_cut_and_says_so(shipped_resolver):
    listing = Listing("1", TITLE + " free shipping" * 10_000)
    (answer,) = shipped_resolver.resolve_many([listing])
    assert answer.reason.endswith(f"; title cut at {MAX_TITLE_CHARS} characters")
    assert answer.model == "GeForce RTX 5070 Ti"


@pytest.mark.parametrize("title", ["", "   ", "<b></b>", "\n"])
def test_no_title_is_no_match(shipped_resolver, title):
    (answer,) = shipped_resolver.resolve_many([Listing("1", title)])
    assert (answer.decision, answer.reason, answer.match_probability) == (
        "no_match",
        "no title",
        0.0,
    )
    assert answer.candidates == ()
    assert answer.index_version == shipped_resolver.index_version


@pytest.mark.parametrize("title", ["😀😀", "&amp;&lt;", "....", "\x00\x01 rtx", "0" * 300, "ﷺ"])
def test_odd_titles_are_answered(run, title):
    result = run("resolve", title)
    assert result.exit_code == 0
    assert "P(model)" in result.output


@pytest.mark.parametrize("route", ["vector", "name", "fused"])
def test_search_shows_candidates_of_each_route(run, route):
    result = run("search", "RTX4090 founders edition 24gb", "--route", route, "--format", "json")
    found = json.loads(result.stdout)
    assert found["route"] == route
    assert "GeForce RTX 4090" in {hit["model"] for hit in found["candidates"]}
    assert len(found["candidates"]) <= 10


def test_search_table_is_80_columns_at_most(run):
    result = run("search", "quadro p2000 5gb", "-k", "5")
    assert "Quadro P2000" in result.output
    assert max(map(len, result.output.splitlines())) <= 80


def test_search_by_name_may_find_nothing(run):
    assert "no candidates" in run("search", "see photos", "--route", "name").output


@pytest.mark.parametrize("k", [0, -1, 1001])
def test_impossible_k_is_a_usage_error(run, k):
    assert run("resolve", TITLE, "--top-k", k).exit_code == 2
    assert run("search", TITLE, "-k", k).exit_code == 2
