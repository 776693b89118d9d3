"""Scored JSON lines in and out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerank.index.errors import FaultsError, InputError
from rerank.rankers.scored import ScoredLines, read_scored, synthetic_candidates


def candidate(name: str = "k1", **other: Any) -> dict[str, Any]:
    return {"candidate_id": name, "compliance": 0.5, "conflict": 0, **other}


def query(name: str = "q1", *candidates: dict[str, Any], **other: Any) -> dict[str, Any]:
    rows = list(candidates or (candidate(),))
    return {"query_id": name, "canonical_id": "c1", "candidates": rows, **other}


def write(folder: Path, *lines: Any) -> Path:
    path = folder / "scored.jsonl"
    text = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return path


def test_a_query_line_and_candidate_lines_say_the_same(tmp_path):
    one, two = candidate("a", features={"x": 1}), candidate("b", features={"y": None})
    whole = read_scored(write(tmp_path, query("q", one, two, domain="d"))).scored
    head = {"query_id": "q", "canonical_id": "c1", "domain": "d"}
    apart = read_scored(write(tmp_path, {**head, **one}, {**head, **two})).scored
    for scored in (whole, apart):
        assert (scored.query_id, scored.domain) == (("q",), ("d",))
        assert scored.candidate_id == ("a", "b")
        assert scored.offsets.tolist() == [0, 2]
        assert scored.feature_names == ("x",)
        np.testing.assert_array_equal(scored.features, [[1], [np.nan]])


def test_vectors_stand_in_place_or_under_a_name_and_may_be_missing(tmp_path):
    path = write(
        tmp_path,
        {"vector_id": "v", "vector": [1, 2]},
        query(
            "q",
            candidate("a", embeddings={"image": "v"}),
            candidate("b", embeddings={"image": [3, 4]}),
            candidate("c"),
            query_embeddings={"text": [5, 6, 7]},
        ),
    )
    scored = read_scored(path).scored
    expected = [[1, 2], [3, 4], [np.nan, np.nan]]
    np.testing.assert_array_equal(scored.candidate_vectors["image"], expected)
    np.testing.assert_array_equal(scored.query_vectors["text"], [[5, 6, 7]])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{not json", "expected a JSON object, found '{not json' (Expecting"),
        ([1], "expected a JSON object, found '[1]'"),
        ({"query_id": "q"}, "lacks canonical_id"),
        (query("q", colour="red"), "unknown key 'colour'"),
        (query("q", candidate(compliance=1.5)), "compliance: expected a number from 0 to 1"),
        (query("q", candidate(conflict=None)), "conflict: expected a number from 0 to 1"),
        (query("q", candidate(features={"x": "big"})), "feature x: expected a number or null"),
        (query("q", candidate(features={"x": 10**400})), "feature x: expected a number or null"),
        (query("q", candidate(features={"x": float("inf")})), "feature x: expected a number or"),
        (query("q", candidate(features={"x": 1e300})), "at most 1e+30 in size, found 1e+300"),
        (query("q", candidate(embeddings={"i": [1e20]})), "embedding i: expected finite numbers"),
        (query("q", candidate(embeddings={"i": [1e300]})), "embedding i: expected finite numbers"),
        (query("q", candidate(embeddings={"i": [1, "2"]})), "embedding i: expected a list of num"),
        (query("q", candidate(embeddings={"v": "no"})), "no line before has the vector_id 'no'"),
        (
            query("q", candidate(embeddings={"i": [1, 2]}), candidate("b", embeddings={"i": [1]})),
            "embedding i of the candidate: expected 2 numbers as in the lines before, found 1",
        ),
        (query("q", candidate("a"), candidate("a")), "has the candidate 'a' twice"),
    ],
)
def test_a_faulty_line_is_named_with_its_number(tmp_path, line, message):
    path = write(tmp_path, query("sound"), line)
    with pytest.raises(FaultsError) as raised:
        read_scored(path)
    assert raised.value.faults[0].startswith("line 2: ")
    assert message in raised.value.faults[0]
    read = read_scored(path, max_bad_share=0.5)
    assert (read.lines, len(read.faults), read.scored.query_id) == (2, 1, ("sound",))


def test_lines_of_a_query_must_agree_on_what_it_is_about(tmp_path):
    path = write(
        tmp_path, query("q", candidate("a")), {**query("q", candidate("b")), "canonical_id": "c2"}
    )
    with pytest.raises(FaultsError, match="'c1', 'all' in a line before, here 'c2', 'all'"):
        read_scored(path)


def test_a_file_without_queries_is_an_error(tmp_path):
    with pytest.raises(InputError, match="expected scored queries, one JSON object a line"):
        read_scored(write(tmp_path, {"vector_id": "v", "vector": [1]}))


@pytest.mark.parametrize("share", [False, True])
def test_what_is_written_is_read_back(tmp_path, share):
    scored = synthetic_candidates(5, seed=1)
    path = tmp_path / "written.jsonl"
    lines = list(ScoredLines(share_vectors=share).lines(scored))
    path.write_text("".join(lines), encoding="utf-8")
    assert len(lines) == (5 + 2 * 60 if share else 5)  # two vectors of each of 60 photographs
    found = read_scored(path).scored
    names = [scored.feature_names.index(name) for name in found.feature_names]
    np.testing.assert_allclose(found.features, scored.features[:, names], atol=1e-6)
    np.testing.assert_allclose(
        found.candidate_vectors["clip_image"], scored.candidate_vectors["clip_image"], atol=5.1e-5
    )
    np.testing.assert_array_equal(found.compliance, scored.compliance)
    assert found.candidate_id == scored.candidate_id
