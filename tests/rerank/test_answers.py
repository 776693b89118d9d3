"""Answers in arrays: equal to one listing at a time in plain Python, as objects and as a table."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerank.answer_columns import OUTPUT_SCHEMA, answer_columns, numbers, strings, truths
from rerank.answers import Answers, joined
from rerank.index.errors import InputError
from rerank.index.records import GpuRecord, Listing
from rerank.model import RerankModel
from rerank.packs.gpu.candidates import RANKED_MODELS
from rerank.packs.gpu.cues import CueReader
from rerank.packs.gpu.pack import GpuResolver
from rerank.packs.gpu.retriever import Retriever
from rerank.ranking import first_cut
from rerank.resolution import Resolution
from rerank.resolver import Resolver

CUES = CueReader({"box": ["box"], "with": ["with"], "holder": ["holder"], "laptop": ["laptop"]})
RANKER = {"name_quality": 1.0, "memory_fit": 0.5, "form_fit": 0.5}
OFFER = {"named": 6.0, "exact_rivals": -1.5, "box_before": -6.0, "laptop_after": -6.0}
TITLES = [
    "Zotac RTX4060Ti 16GB",
    "RTX 4060 or A770",
    "box for RTX 3080",
    "",
    "see photos",
    "4080S",
    "RTX 3080 with box",
    "A100 SXM4 80GB",
    "RX 6600 XT holder",
    "RTX 3080 laptop",
]


@pytest.fixture(scope="module")
def resolver(tiny_retriever: Retriever, linear_model: Callable[..., RerankModel]) -> Resolver:
    model = linear_model(RANKER, OFFER, -3.0)
    return GpuResolver(tiny_retriever, model, CUES, index_version="index-1")


def as_listings(titles: list[str]) -> list[Listing]:
    return [Listing(str(at), title) for at, title in enumerate(titles)]


def as_table(answers: list[Resolution]) -> pa.Table:
    return pa.Table.from_arrays(answer_columns(answers), schema=OUTPUT_SCHEMA)


batches = st.lists(st.sampled_from(TITLES), max_size=12)


# --- one logic, checked against plain Python ---


@settings(max_examples=40, deadline=None)
@given(titles=batches, top_k=st.integers(1, 25))
def test_the_table_holds_what_the_objects_say(
    titles: list[str], top_k: int, resolver: Resolver
) -> None:
    listings = as_listings(titles)
    table = resolver.resolve_table(listings, top_k=top_k)
    assert table.schema == OUTPUT_SCHEMA
    assert table.equals(as_table(resolver.resolve_many(listings, top_k=top_k)))
    table.validate(full=True)


@settings(max_examples=40, deadline=None)
@given(titles=batches, top_k=st.integers(1, 25))
def test_a_batch_answers_each_listing_as_if_it_were_alone(
    titles: list[str], top_k: int, resolver: Resolver
) -> None:
    listings = as_listings(titles)
    alone = [resolver.resolve(listing, top_k=top_k) for listing in listings]
    assert resolver.resolve_many(listings, top_k=top_k) == alone


@pytest.mark.parametrize("title", [title for title in TITLES if title])
def test_probabilities_and_order_equal_plain_python(title: str, resolver: Resolver) -> None:
    evidence = resolver.evidence([Listing("1", title)])
    found = resolver.resolve(Listing("1", title))
    batch = evidence.proposed
    assert batch is not None
    records = [resolver.table.records[row] for row in batch.record.tolist()]
    best: dict[str, float] = {}
    for score, row in zip(evidence.scores, evidence.candidates.record.tolist(), strict=True):
        best[resolver.table.records[row].model] = float(score)
    lowest, first_of_all = min(best.values()), float(batch.shortlist[0])
    for shortlist, record in zip(batch.shortlist.tolist(), records, strict=True):
        best.setdefault(record.model, lowest - 20 - (first_of_all - shortlist))
    first = {
        model: min(r.gpu_id for r in resolver.table.records if r.model == model) for model in best
    }
    variants = batch.variant_probability.tolist()
    ordered = sorted(
        zip(records, variants, strict=True),
        key=lambda p: (-best[p[0].model], first[p[0].model], -p[1]),
    )
    ranked = [(best[record.model], record) for record, _ in ordered]
    assert [c.gpu_id for c in found.candidates] == [record.gpu_id for _, record in ranked]
    scores = [c.score for c in found.candidates]
    assert scores == pytest.approx([score for score, _ in ranked], abs=1e-4)
    assert [c.variant_probability for c in found.candidates] == [round(p, 4) for _, p in ordered]
    top = ranked[0][1].model
    sure = found.match_probability
    weight = {model: float(np.exp(score - best[top])) for model, score in best.items()}
    total = sum(weight.values())
    shares = {model: min(sure, (1 - sure) * part / total) for model, part in weight.items()}
    shares[top] = sure
    for candidate in found.candidates:
        assert candidate.probability == pytest.approx(shares[candidate.model], abs=1e-12)
    rivals = [share for model, share in shares.items() if model != top]
    assert found.margin == pytest.approx(sure - max(rivals, default=0.0), abs=1e-12)


@pytest.mark.parametrize("models", [1, 3, 8])
def test_the_first_cut_equals_plain_python(
    models: int, resolver: Resolver, tiny_retriever: Retriever
) -> None:
    batch = tiny_retriever.retrieve(as_listings(TITLES))
    expected = []
    for start, stop in itertools.pairwise(batch.offsets.tolist()):
        seen: list[int] = []
        for row in range(start, stop):
            model = int(tiny_retriever.table.model_of_record[batch.record[row]])
            if model not in seen and len(seen) < models:
                own = [r for r in range(start, stop) if batch.pair[r] == batch.pair[row]]
                seen.append(model)
                expected.append(max(own, key=lambda r: batch.variant_probability[r]))
    assert first_cut(batch, models).tolist() == expected


def test_what_is_not_ranked_stands_behind_without_a_probability(resolver: Resolver) -> None:
    evidence = resolver.evidence([Listing("1", "RTX 3080 or 4060")])
    ranked = {resolver.table.records[row].model for row in evidence.candidates.record.tolist()}
    assert len(ranked) == len(evidence.candidates.record) == RANKED_MODELS
    candidates = resolver.resolve("RTX 3080 or 4060").candidates
    behind = [c.model not in ranked for c in candidates]
    assert sorted(behind) == behind
    assert any(behind)
    lowest = min(c.score for c in candidates if c.model in ranked)
    for candidate in candidates:
        assert (candidate.score < lowest) == (candidate.model not in ranked)
        assert candidate.model in ranked or 0 <= candidate.probability < 1e-6


def test_what_is_judged_besides_changes_no_other_score(resolver: Resolver) -> None:
    listings = as_listings(TITLES)
    plain = resolver.evidence(listings)
    assert plain.proposed is not None
    rows = np.flatnonzero(plain.proposed.place == 1)
    more = resolver.weigh(listings, plain.proposed, also=rows.tolist())
    assert len(more.features) == len(plain.features) + len(rows)
    kept = np.isin(more.candidates.place, 0)
    np.testing.assert_array_equal(more.scores[kept], plain.scores)


def test_more_listings_than_a_block_are_answered_in_order(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    listings = as_listings(TITLES)
    expected = resolver.resolve_many(listings)
    monkeypatch.setattr("rerank.resolver._BLOCK", 3)
    assert resolver.resolve_many(listings) == expected
    assert resolver.resolve_table(listings).equals(as_table(expected))


# --- equal texts ---


def test_listings_of_equal_text_are_resolved_once(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    plain = resolver.evidence

    def evidence(listings: list[Listing], *, n_candidates: int = 20) -> object:
        seen.extend(listing.title for listing in listings)
        return plain(listings, n_candidates=n_candidates)

    monkeypatch.setattr(resolver, "evidence", evidence)
    again = as_listings(["4080S", "see photos", "4080S", "RTX 4060 or A770", "4080S"])
    answers = resolver.resolve_many(again)
    assert seen == ["4080S", "see photos", "RTX 4060 or A770"]
    assert answers[0] == answers[2] == answers[4] != answers[1]
    assert [a.candidates[0].gpu_id for a in answers] == [
        resolver.resolve(listing).candidates[0].gpu_id for listing in again
    ]


def test_another_vendor_or_description_is_another_text(resolver: Resolver) -> None:
    listings = [
        Listing("1", "4060 8GB"),
        Listing("2", "4060 8GB", vendor="Sapphire"),
        Listing("3", "4060 8GB", description="Radeon HD 7970 for spares"),
    ]
    plain, vendor, described = resolver.resolve_many(listings)
    assert plain.candidates != vendor.candidates != described.candidates != plain.candidates


# --- arrays ---


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_taking_and_cutting_equal_the_same_on_objects(
    data: st.DataObject, resolver: Resolver
) -> None:
    answers = resolver.answers(as_listings(TITLES)).cut(7)
    objects = resolver.resolutions(answers)
    places = data.draw(st.lists(st.integers(-1, len(TITLES) - 1), max_size=8))
    top_k = data.draw(st.integers(1, 9))
    taken = resolver.resolutions(answers.take(np.array(places, np.int64)).cut(top_k))
    for place, found in zip(places, taken, strict=True):
        if place < 0:
            assert found == Resolution(
                *(None,) * 5, 0.0, False, 0.0, 0.0, "no_match", "", (), "model-1", "index-1"
            )
        else:
            whole = objects[place]
            assert found == replace(whole, candidates=whole.candidates[:top_k])


def test_joining_the_parts_of_a_batch_gives_the_batch(resolver: Resolver) -> None:
    listings = as_listings(TITLES)
    parts = [resolver.answers(listings[at : at + 4]) for at in range(0, len(listings), 4)]
    whole = resolver.answers(listings)
    assert resolver.resolutions(joined(parts)) == resolver.resolutions(whole)
    assert joined([whole]) is whole


def test_a_batch_without_listings(resolver: Resolver) -> None:
    answers = resolver.answers([])
    assert isinstance(answers, Answers)
    assert len(answers) == 0
    assert resolver.resolve_table([]).equals(OUTPUT_SCHEMA.empty_table())
    taken = resolver.resolve_table([]).num_rows, len(answers.take(np.array([-1])))
    assert taken == (0, 1)


def test_no_candidates_asked_for_is_an_error(resolver: Resolver) -> None:
    with pytest.raises(InputError, match="top_k must be at least 1, got 0"):
        resolver.resolve_table([Listing("1", "4080S")], top_k=0)


# --- what is known, but not sold apart ---


@pytest.mark.parametrize(
    ("title", "sold"),
    [
        ("Ryzen mini PC Radeon 780M 32GB", None),
        ("AMD Radeon 780M", None),
        ("GeForce GTX 780M 4GB MXM", "GeForce GTX 780M"),
        ("GTX780M", "GeForce GTX 780M"),
        ("Radeon HD 7970 3GB", "Radeon HD 7970"),
    ],
)
def test_what_is_not_sold_apart_is_ranked_and_never_matched(
    title: str,
    sold: str | None,
    make_gpu: Callable[..., GpuRecord],
    linear_model: Callable[..., RerankModel],
    make_retriever: Callable[[list[GpuRecord]], Retriever],
) -> None:
    inside = replace(
        make_gpu("Radeon 780M", 0, "shared", vendor="AMD", form="integrated"), sold_apart=False
    )
    records = [
        make_gpu("GeForce GTX 780M", 4, "GDDR5", form="mobile"),
        make_gpu("Radeon HD 7970", 3, "GDDR5", vendor="AMD"),
        inside,
    ]
    model = linear_model(RANKER, OFFER, -3.0)
    answer = GpuResolver(make_retriever(records), model, CUES, index_version="i").resolve(title)
    if sold:
        assert answer.model == sold
        assert answer.decision != "no_match"
    else:
        assert answer.candidates[0].model == inside.model
        assert (answer.decision, answer.match_probability, answer.margin) == ("no_match", 0, 0)
        assert (answer.gpu_id, answer.reason) == (None, "integrated graphics, not sold apart")


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), max_size=20),
    rows=st.lists(st.tuples(st.integers(-9, 9), st.booleans()), max_size=20),
)
def test_arrays_are_those_that_pyarrow_makes(
    texts: list[str], rows: list[tuple[int, bool]]
) -> None:
    assert strings(texts).equals(pa.array(texts, pa.string()))
    values = np.array([value for value, _ in rows], np.int64)
    valid = np.array([there for _, there in rows], np.bool_)
    assert numbers(values).equals(pa.array(values))
    assert numbers(values / 4).equals(pa.array(values / 4))
    assert numbers(values, valid).equals(pa.array(values, mask=~valid))
    assert truths(valid).equals(pa.array(valid))


def test_answers_become_a_table_without_pandas() -> None:
    code = (
        "import sys, rerank\n"
        "rerank.open_resolver('none').resolve_table(['RTX 4060 Ti 16GB', 'box'])\n"
        "print('pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


# --- what a person decides ---


def test_what_is_held_is_named_and_left_to_a_person(
    make_gpu: Callable[..., GpuRecord],
    linear_model: Callable[..., RerankModel],
    make_retriever: Callable[[list[GpuRecord]], Retriever],
) -> None:
    records = [
        replace(make_gpu("M9125", 0.5, "DDR2", vendor="Matrox"), held=True),
        make_gpu("Radeon HD 7970", 3, "GDDR5", vendor="AMD"),
    ]
    model = linear_model(RANKER, OFFER, -3.0)
    resolver = GpuResolver(make_retriever(records), model, CUES, index_version="i")
    held, sold, box = resolver.resolve_many(
        as_listings(["Matrox M9125 512MB", "Radeon HD 7970 3GB", "box of Matrox M9125"])
    )
    assert (held.decision, held.model, held.best_guess) == ("review", "M9125", "M9125")
    assert held.match_probability >= model.thresholds.match
    assert held.reason == "display card, a person decides: model number + memory agree"
    assert sold.decision == "match"
    assert (box.decision, box.best_guess) == ("no_match", "M9125")
    assert "person" not in box.reason
