"""Query packs: files, sides, and what is drawn of them in each epoch."""

from __future__ import annotations

import json

import pytest

from rerank.cross_encoder.hyperparameters import SamplingSettings
from rerank.cross_encoder.packs import (
    Document,
    NegativeSampler,
    QueryPack,
    given_sets,
    merged_by_query,
    pack_of,
    read_packs,
    split_by_query,
    write_packs,
)
from rerank.index.errors import FaultsError, InputError


def docs(*names: str) -> tuple[Document, ...]:
    return tuple(Document(name, f"text {name}") for name in names)


def row(**changed: object) -> dict[str, object]:
    return {
        "query_text": "q",
        "positives": [{"doc_id": "p", "text": "good"}],
        "negatives": [{"doc_id": "n", "text": "bad"}],
        "source_chunk": "c7",
        "meta": {"domain": "cmu", "prompt_style": "qg_v1"},
        **changed,
    }


def test_what_is_written_is_read(tmp_path):
    packs = [pack_of(row()), QueryPack("größe", docs("a", "b"), docs("c"))]
    write_packs(packs, tmp_path / "t.jsonl")
    read = read_packs(tmp_path / "t.jsonl", max_malformed_share=0)
    assert read.packs == packs
    assert read.packs[0].meta == {"domain": "cmu", "prompt_style": "qg_v1"}
    assert read.malformed == ()


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"positives": []}, "positives: expected at least one document, found none"),
        ({"positives": None}, "positives: expected a list of documents, found None"),
        ({"query_text": " "}, "query_text: expected text, found ' '"),
        ({"query_text": "half \ud83d"}, "query_text: expected text, found"),
        ({"positives": [{"doc_id": "p", "text": " "}]}, r"positives\[0\]: expected doc_id"),
        ({"negatives": [{"doc_id": "n"}]}, r"negatives\[0\]: expected doc_id and text"),
        ({"negative": []}, "unknown key 'negative'; expected query_text, positives"),
        ({"negatives": [{"doc_id": "p", "text": "x"}]}, "'p' is both a positive and a negative"),
        ({"negatives": [{"doc_id": "x", "text": "good"}]}, "'x' is both a positive and a negative"),
        ({"meta": 3}, "source_chunk, meta: expected text and a JSON object"),
        (
            {"positives": [{"doc_id": "p", "text": "1"}, {"doc_id": "p", "text": "2"}]},
            r"positives\[1\]: doc_id 'p' stands twice with other texts",
        ),
    ],
)
def test_a_line_that_is_no_pack_says_why(changed, fault):
    with pytest.raises(InputError, match=fault):
        pack_of(row(**changed))


def test_negatives_source_and_meta_may_be_missing():
    pack = pack_of({"query_text": "q", "positives": [{"doc_id": "p", "text": "t"}]})
    assert (pack.negatives, pack.source_chunk, pack.meta) == ((), "", {})


def test_malformed_lines_are_passed_over_up_to_a_share_and_told_with_their_numbers(tmp_path):
    path = tmp_path / "t.jsonl"
    good = json.dumps(row()).encode()
    path.write_bytes(b"\n".join([good, b"{", b"", good, b"[1]", b"\xff", good, good]))
    with pytest.raises(FaultsError, match=r"3 of 7 lines are no query pack, .* 0.4 ") as caught:
        read_packs(path, max_malformed_share=0.4)
    assert [fault.split(":")[0] for fault in caught.value.faults] == ["line 2", "line 5", "line 6"]
    read = read_packs(path, max_malformed_share=0.43)
    assert len(read.packs) == 4
    assert read.malformed == caught.value.faults


def test_a_byte_order_mark_is_no_fault_and_endless_brackets_are_one(tmp_path):
    path = tmp_path / "t.jsonl"
    good = json.dumps(row()).encode()
    path.write_bytes(b"\xef\xbb\xbf" + good + b"\n" + b"[" * 100_000 + b"\n")
    read = read_packs(path, max_malformed_share=0.5)
    assert len(read.packs) == 1
    assert [fault.split(":")[0] for fault in read.malformed] == ["line 2"]


def test_a_file_without_lines_or_none_at_all_is_an_input_error(tmp_path):
    (tmp_path / "t.jsonl").write_text("\n")
    with pytest.raises(InputError, match="expected query packs, found no line"):
        read_packs(tmp_path / "t.jsonl", max_malformed_share=0)
    with pytest.raises(InputError, match="expected a file of query packs, found none"):
        read_packs(tmp_path / "no.jsonl", max_malformed_share=0)


# --- sides ---


def test_a_query_is_on_one_side_whatever_its_capitals_and_the_order_of_lines():
    packs = [QueryPack(f"query {at % 20}", docs(f"p{at}"), docs("n")) for at in range(40)]
    packs += [QueryPack("QUERY  3", docs("p99"), docs("n"))]
    sets = split_by_query(packs, valid_share=0.2, seed=5)
    train, valid = ({pack.query_text for pack in side} for side in (sets.train, sets.valid))
    assert (len(train), len(valid), train & valid) == (16, 4, set())
    again = split_by_query(packs[::-1], valid_share=0.2, seed=5)
    assert {p.query_text.lower().replace("  ", " ") for p in again.valid} == valid
    assert {p.query_text for p in split_by_query(packs, valid_share=0.2, seed=6).valid} != valid


def test_packs_of_one_query_are_joined_and_positives_win():
    one = QueryPack("a card", docs("p1"), docs("n1", "p2"))
    other = QueryPack("A  card", docs("p2"), docs("n1", "n2"))
    [joined] = merged_by_query([one, other])
    assert joined == QueryPack("a card", docs("p1", "p2"), docs("n1", "n2"))


def test_validation_gets_a_query_even_of_two_and_one_query_is_too_few():
    packs = [QueryPack(q, docs("p"), docs("n")) for q in ("a", "b")]
    sets = split_by_query(packs, valid_share=0.01, seed=1)
    assert (len(sets.train), len(sets.valid)) == (1, 1)
    with pytest.raises(InputError, match="at least two different queries"):
        split_by_query(packs[:1], valid_share=0.5, seed=1)


def test_given_sides_must_not_share_a_query():
    a, b = QueryPack("a", docs("p"), ()), QueryPack("b", docs("p"), docs("n"))
    assert given_sets([a], [b]).valid == [b]
    with pytest.raises(InputError, match=r"found 1 queries in both files \('a'\)"):
        given_sets([a, b], [QueryPack("A ", docs("x"), ())])


# --- sampling ---

PACKS = [
    QueryPack(f"q{at}", docs(f"p{at}a", f"p{at}b"), docs(*(f"h{at}{n}" for n in range(6))))
    for at in range(10)
]


@pytest.mark.parametrize(("share", "hard"), [(0.0, 0), (0.5, 2), (0.75, 3), (1.0, 4)])
def test_hard_and_random_negatives_are_mixed_by_the_ratio(share, hard):
    sampler = NegativeSampler(PACKS, SamplingSettings(1, 4, share), seed=1)
    for at in range(10):
        drawn = sampler.draw(at, epoch=0)
        negatives = [item.text for item in drawn.negatives]
        own = [text for text in negatives if text.startswith(f"text h{at}")]
        assert (len(own), len(set(negatives)), len(drawn.positives)) == (hard, 4, 1)
        assert not {f"text p{at}a", f"text p{at}b"} & set(negatives)


def test_each_epoch_draws_anew_and_the_same_again():
    sampler = NegativeSampler(PACKS, SamplingSettings(1, 4, 0.5), seed=1)
    again = NegativeSampler(PACKS, SamplingSettings(1, 4, 0.5), seed=1)
    other = NegativeSampler(PACKS, SamplingSettings(1, 4, 0.5), seed=2)
    epochs = [[sampler.draw(at, epoch) for at in range(10)] for epoch in range(2)]
    assert epochs[0] != epochs[1]
    assert [again.draw(at, 1) for at in reversed(range(10))][::-1] == epochs[1]
    assert [other.draw(at, 0) for at in range(10)] != epochs[0]
    assert sampler.order(0) != sampler.order(1)
    assert again.order(1) == sampler.order(1)
    assert sorted(sampler.order(1)) == list(range(10))


def test_over_the_epochs_every_hard_negative_and_positive_comes():
    sampler = NegativeSampler(PACKS, SamplingSettings(1, 4, 0.5), seed=1)
    drawn = [sampler.draw(0, epoch) for epoch in range(30)]
    assert {item.text for each in drawn for item in each.positives} == {"text p0a", "text p0b"}
    texts = {item.text for each in drawn for item in each.negatives}
    assert len([text for text in texts if text.startswith("text h0")]) == 6


def test_one_kind_of_negatives_stands_in_for_the_other():
    no_hard = [QueryPack(f"q{at}", docs(f"p{at}"), ()) for at in range(10)]
    drawn = NegativeSampler(no_hard, SamplingSettings(1, 4, 1.0), seed=1).draw(0, 0)
    assert len(drawn.negatives) == 4
    alone = [QueryPack("q", docs("p"), docs("a", "b", "c"))]
    drawn = NegativeSampler(alone, SamplingSettings(1, 2, 0.0), seed=1).draw(0, 0)
    assert len(drawn.negatives) == 2


def test_validation_without_a_negative_measures_nothing_and_is_refused():
    packs = [QueryPack(f"q{at}", docs(f"p{at}"), ()) for at in range(6)]
    with pytest.raises(InputError, match=r"expected validation queries with negatives, .* in 3;"):
        split_by_query(packs, valid_share=0.5, seed=1)
    valid = [QueryPack("v", docs("p"), docs("n"))]
    assert given_sets(packs, valid).valid == valid
    with pytest.raises(InputError, match=r"expected validation queries with negatives, .* in 6;"):
        given_sets(valid, packs)
