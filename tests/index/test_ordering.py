"""Orders and places against numpy's own sorts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank.index.records import (
    distinct,
    falling_order,
    first_rows,
    grouped,
    place_in_group,
)

VALUES = st.floats(width=32, allow_nan=False)
ROWS = st.lists(st.tuples(st.integers(0, 5), VALUES), max_size=60)


@given(ROWS, st.sampled_from([0, 2**40]), st.randoms(use_true_random=False))
def test_orders_as_lexsort_does_whether_the_keys_fit_or_not(rows, offset, random):
    group = np.array([row[0] for row in rows], np.int64) + offset
    value = np.array([row[1] for row in rows], np.float32)
    tie = np.array(random.sample(range(len(rows)), len(rows)), np.int64)
    np.testing.assert_array_equal(
        falling_order(group, value), np.lexsort((np.arange(len(rows)), -value, group))
    )
    np.testing.assert_array_equal(
        falling_order(group, value, tie), np.lexsort((tie, -value, group))
    )


def test_zeros_of_both_signs_are_equal_and_infinities_stand_at_the_ends():
    value = np.array([0.0, -np.inf, -0.0, 1e-45, np.inf, -1e-45], np.float32)
    assert falling_order(np.zeros(6, np.int64), value).tolist() == [4, 3, 0, 2, 5, 1]


@given(st.lists(st.integers(0, 6), max_size=60), st.sampled_from([0, 2**60]))
def test_places_count_what_stands_before_in_the_same_group(numbers, offset):
    places = place_in_group(np.array(numbers, np.int64) + offset)
    assert places.tolist() == [numbers[:at].count(each) for at, each in enumerate(numbers)]


@given(st.lists(st.integers(0, 6), max_size=60), st.sampled_from([0, 2**60]))
def test_groups_are_those_of_unique(numbers, offset):
    keys = np.array(numbers, np.int64) + offset
    values, first, group = np.unique(keys, return_index=True, return_inverse=True)
    for mine, expected in zip(grouped(keys), (first, group), strict=True):
        np.testing.assert_array_equal(mine, expected)
    np.testing.assert_array_equal(first_rows(keys), first)
    np.testing.assert_array_equal(distinct(keys), values)


@pytest.mark.parametrize("tie", [None, np.zeros(0, np.int64)])
def test_no_rows_have_no_order(tie):
    assert falling_order(np.zeros(0, np.int64), np.zeros(0, np.float32), tie).tolist() == []
