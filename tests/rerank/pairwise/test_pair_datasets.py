"""Files of pairs: what is read, what is a fault, and what stays on one side of a split."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rerank.index.errors import FaultsError, InputError
from rerank.index.rows import first_faults
from rerank.rankers.pairs import (
    KeptTogether,
    PairItem,
    Pairs,
    item_of,
    read_dataset,
    read_embeddings,
    split_pairs,
)


def item(name, **more):
    return {"item_type": "project", "item_reference_id": name, "metrics": {"size": 1.0}, **more}


def line(a="p1", b="p2", label=1):
    return {"item_a": item(a), "item_b": item(b), "label": label}


def test_items_are_read_once_and_pairs_name_their_rows(write_rows):
    path = write_rows([line(), "", line("p2", "p3", -1), line("p3", "p1", 0)])
    dataset = read_dataset(path)
    assert [each.reference_id for each in dataset.items] == ["p1", "p2", "p3"]
    assert dataset.pairs.a.tolist() == [0, 1, 2]
    assert dataset.pairs.b.tolist() == [1, 2, 0]
    assert dataset.pairs.label.tolist() == [1, -1, 0]
    assert (dataset.lines, dataset.malformed) == (3, ())
    assert len(dataset.sha256) == 64


def test_an_item_of_which_lines_say_different_things_is_kept_both_ways(write_rows):
    other = {**line(), "item_a": item("p1", metrics={"size": 2.0})}
    dataset = read_dataset(write_rows([line(), other]))
    assert [dict(each.metrics) for each in dataset.items] == [{"size": 1}, {"size": 1}, {"size": 2}]
    assert dataset.pairs.a.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        ("{", "expected a JSON object"),
        ("[1]", r"expected a JSON object, found '\[1\]'"),
        ({"item_a": {}, "label": 1}, "lacks item_b"),
        ({**line(), "label": 2}, "expected the label 1, 0 or -1, found 2"),
        ({**line(), "label": True}, "expected the label 1, 0 or -1, found True"),
        ({**line(), "label": [1]}, r"expected the label 1, 0 or -1, found \[1\]"),
        ({**line(), "item_a": "p1"}, "item_a: expected an item as an object, found str"),
        ({**line(), "item_b": {"metrics": {}}}, "item_b: expected item_reference_id or id"),
        (line("p1", "p1"), "expected two items, found 'p1' twice"),
        ({**line(), "item_a": item("p1", metrics=[1])}, "expected metrics as numbers by name"),
        ({**line(), "item_a": item("p1", metrics={"size": "big"})}, "expected metric 'size'"),
        ({**line(), "item_a": item("p1", embedding=[])}, "an embedding as a list of numbers"),
        ({**line(), "item_a": item("p1", embedding=[1, "2"])}, "as a list of numbers"),
    ],
)
def test_a_line_that_is_no_pair_is_left_out_or_stops_the_reading(write_rows, bad, fault):
    path = write_rows([line(), line("p1", "p3"), bad])
    dataset = read_dataset(path, max_bad_share=0.5)
    assert len(dataset.pairs.label) == 2
    assert [each.split(":")[0] for each in dataset.malformed] == ["line 3"]
    with pytest.raises(FaultsError, match=rf"1 of 3 lines are no pairs(.|\n)*line 3: .*{fault}"):
        read_dataset(path)


def test_only_the_first_faults_are_shown(write_rows):
    dataset = read_dataset(write_rows([line(), *["{"] * 8]), max_bad_share=1)
    shown = first_faults(dataset.malformed)
    assert len(shown) == 6
    assert shown[0].startswith("line 2: ")
    assert shown[-1] == "and 3 more such lines"


def test_text_that_is_no_utf8_is_a_fault_of_its_line(tmp_path):
    path = tmp_path / "dataset.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(line()).encode() + b"\n\xff\n")
    dataset = read_dataset(path, max_bad_share=0.5)
    assert len(dataset.pairs.label) == 1
    assert dataset.malformed == ("line 2: expected UTF-8 text, found 0xff; save the file as UTF-8",)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "expected a pair of items a line, found no pairs"),
        ([line(label=0), line("p3", "p4", 0)], "all 2 pairs have the label 0"),
    ],
)
def test_data_without_an_order_are_refused(write_rows, rows, message):
    with pytest.raises(InputError, match=message):
        read_dataset(write_rows(rows))


def test_embeddings_of_different_lengths_are_one_error(write_rows):
    rows = [
        {**line(), "item_a": item("p1", embedding=[1, 2]), "item_b": item("p2", embedding=[1, 2])},
        {**line("p3"), "item_a": item("p3", embedding=[1, 2, 3])},
    ]
    dataset = read_dataset(write_rows(rows))
    with pytest.raises(InputError, match=r"found 2 \(2 items\), 3 \(1 items\).*'p3'"):
        dataset.embedding_dim()
    assert dataset.without_embeddings().embedding_dim() == 0


def test_embeddings_are_found_by_their_id(write_rows):
    rows = [
        {
            **line(),
            "item_a": item("p1", embedding_id="v:1"),
            "item_b": item("p2", embedding_id="v:2", embedding=[3, 4]),
        }
    ]
    dataset = read_dataset(write_rows(rows))
    assert dataset.embedding_ids == {"v:1"}
    path = write_rows([{"embedding_id": "v:1", "embedding": [1, 2]}], "vectors.jsonl")
    resolved = dataset.with_embeddings(read_embeddings(path))
    assert [each.embedding.tolist() for each in resolved.items] == [[1, 2], [3, 4]]
    assert resolved.embedding_ids == set()


def test_all_faults_of_an_embeddings_file_are_told_at_once(write_rows):
    good = {"embedding_id": "v:1", "embedding": [1, 2]}
    path = write_rows([good, "{", {"embedding_id": "v:2"}, good], "vectors.jsonl")
    told = r"3 faults(.|\n)*line 2(.|\n)*line 3(.|\n)*line 4: 'v:1'"
    with pytest.raises(FaultsError, match=told):
        read_embeddings(path)
    with pytest.raises(InputError, match="expected an embedding a line, found none"):
        read_embeddings(write_rows([], "none.jsonl"))


def test_null_and_numbers_beyond_all_bounds_are_metrics_that_are_not_finite():
    read = item_of({"id": 7, "metrics": {"a": None, "b": 10**400, "c": True}})
    assert read.reference_id == "7"
    assert np.isnan(read.metrics["a"])
    assert read.metrics["b"] == np.inf
    assert read.metrics["c"] == 1.0


def pairs_of(*rows):
    return Pairs(*(np.array(column, np.int64) for column in zip(*rows, strict=True)))


def test_candidates_of_one_listing_stay_on_one_side():
    items = [PairItem("gpu_candidate", f"l{at // 4}::gpu-{at % 4}") for at in range(80)]
    pairs = pairs_of(*((4 * at + low, 4 * at + low + 1, 1) for at in range(20) for low in (0, 2)))
    split = split_pairs(items, pairs, share=0.25, seed=1)
    assert split.kept_together is KeptTogether.ITEMS
    assert split.validation.sum() == 10
    assert (split.validation[0::2] == split.validation[1::2]).all()
    assert (split.group[0::2] == split.group[1::2]).all()


def test_pairs_that_share_an_item_stay_on_one_side():
    items = [PairItem("project", f"p{at}") for at in range(30)]
    pairs = pairs_of(*((3 * at + low, 3 * at + low + 1, 1) for at in range(10) for low in (0, 1)))
    split = split_pairs(items, pairs, share=0.3, seed=2)
    assert split.validation.sum() == 6
    sides = [
        {*pairs.at(mask).a, *pairs.at(mask).b} for mask in (split.validation, ~split.validation)
    ]
    assert sides[0] & sides[1] == set()


def test_where_all_items_hang_together_the_same_two_items_stay_on_one_side():
    items = [PairItem("project", f"p{at}") for at in range(11)]
    chain = [(at, at + 1, 1) for at in range(10)]
    pairs = pairs_of(*chain, *((b, a, -1) for a, b, _ in chain))
    split = split_pairs(items, pairs, share=0.2, seed=2)
    assert split.kept_together is KeptTogether.PAIRS
    assert split.validation.sum() == 4
    assert (split.validation[:10] == split.validation[10:]).all()


def test_no_share_holds_nothing_out():
    items = [PairItem("project", name) for name in "ab"]
    split = split_pairs(items, pairs_of((0, 1, 1)), share=0, seed=1)
    assert not split.validation.any()
    assert split.kept_together is KeptTogether.ITEMS
