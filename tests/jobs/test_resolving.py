"""Resolving into a table: row by row what resolving into objects answers."""

from __future__ import annotations

import pyarrow as pa
import pytest

from rerank.answer_columns import CANDIDATE_SET_FIELD, OUTPUT_SCHEMA, answer_columns
from rerank.index.errors import InputError
from rerank.index.records import Listing
from rerank.index.text import MAX_TITLE_CHARS
from rerank.resolver import Resolver

LISTINGS = [
    Listing("1", "Palit RTX 4070 Ti Super 16GB"),
    Listing("2", "   "),
    Listing("3", "empty box of a 6800 XT"),
    Listing("4", "this row has a fault"),
    Listing("5", "Palit RTX 4070 Ti Super 16GB"),
    Listing("6", "Palit RTX 4070 Ti Super 16GB", vendor="Sapphire"),
    Listing("7", "quiet Vega 56 " + "fast " * MAX_TITLE_CHARS),
    Listing("8", "<b></b>"),
    Listing("9", "Palit RTX 4070 Ti Super 16GB"),
]
FAULTS = {3: "bad row: 2 fields, expected 3"}


@pytest.mark.parametrize("top_k", [1, 5, 20, 33])
def test_the_table_equals_the_objects(top_k: int, shipped_resolver: Resolver) -> None:
    answers = shipped_resolver.resolve_many(LISTINGS, top_k=top_k, faults=FAULTS)
    table = shipped_resolver.resolve_table(LISTINGS, top_k=top_k, faults=FAULTS)
    assert table.equals(pa.Table.from_arrays(answer_columns(answers), schema=OUTPUT_SCHEMA))
    sizes = [min(len(found), 20) for found in table.column("candidates").to_pylist()]
    full = min(top_k, 20)  # beyond 20, few titles have as many candidates as are asked for
    assert sizes == [full, 0, full, 0, full, full, full, 0, full]


def test_rows_that_cannot_be_resolved_say_why(shipped_resolver: Resolver) -> None:
    table = shipped_resolver.resolve_table(LISTINGS, faults=FAULTS)
    reasons, decisions = table.column("reason").to_pylist(), table.column("decision").to_pylist()
    assert reasons[1] == reasons[7] == "no title"
    assert reasons[3] == FAULTS[3]
    assert reasons[6].endswith("; title cut at 400 characters")
    assert [decisions[at] for at in (1, 3, 7)] == ["no_match"] * 3
    assert [table.column("model").to_pylist()[at] for at in (1, 3, 7)] == [None] * 3


def test_equal_texts_get_equal_answers_but_keep_their_own_faults(
    shipped_resolver: Resolver,
) -> None:
    rows = shipped_resolver.resolve_table(LISTINGS, faults={0: "twice"}).to_pylist()
    assert rows[4] == rows[8]
    assert (rows[0]["reason"], rows[0]["candidates"]) == ("twice", [])
    assert rows[4]["gpu_id"] == "geforce-rtx-4070-ti-super-16gb-gddr6x"


def test_candidate_sets_are_one_more_column(shipped_resolver: Resolver) -> None:
    answers = shipped_resolver.resolve_many(LISTINGS, top_k=3, faults=FAULTS)
    whole = shipped_resolver.resolve_many(LISTINGS, faults=FAULTS)
    sets = [shipped_resolver.candidate_set(each, coverage=0.95) for each in whole]
    table = shipped_resolver.resolve_table(LISTINGS, coverage=0.95, top_k=3, faults=FAULTS)
    assert table.schema.names == [*OUTPUT_SCHEMA.names, CANDIDATE_SET_FIELD.name]
    assert table.column("candidate_set").to_pylist() == [list(models) for models in sets]
    plain = table.drop_columns([CANDIDATE_SET_FIELD.name])
    assert plain.equals(pa.Table.from_arrays(answer_columns(answers), schema=OUTPUT_SCHEMA))


def test_a_coverage_out_of_reach_is_an_error(shipped_resolver: Resolver) -> None:
    with pytest.raises(InputError, match=r"coverage 0\.9999 is out of reach"):
        shipped_resolver.resolve_table(LISTINGS, coverage=0.9999)


def test_no_listings_make_an_empty_table(shipped_resolver: Resolver) -> None:
    assert shipped_resolver.resolve_table([]).equals(OUTPUT_SCHEMA.empty_table())
