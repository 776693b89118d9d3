"""Failure analysis: causes by hand-made evidence, the shipped model on titles with twisted gold.

The gold of most listings here is wrong on purpose, so that a right answer counts as the error
that is to be explained.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from rerank.evaluation.gold import GoldKind, GoldListing
from rerank.evaluation.outcomes import Cause, Failure, causes, errors_of
from rerank.explanation import contributions
from rerank.index.embedder import StaticEmbedder
from rerank.index.errors import InputError
from rerank.index.records import GpuRecord, shipped
from rerank.model import RerankModel
from rerank.packs.gpu.candidates import CANDIDATE_FEATURES
from rerank.packs.gpu.cues import CueReader
from rerank.packs.gpu.failures import Situation, cause_of, failures, has_code
from rerank.packs.gpu.lexicon import Lexicon
from rerank.packs.gpu.offers import OFFER_FEATURES
from rerank.packs.gpu.pack import GpuResolver
from rerank.packs.gpu.retriever import load_retriever
from rerank.resolution import Resolution
from rerank.resolver import Resolver


def gold(listing_id: str, title: str, *models: str, memory: float | None = None) -> GoldListing:
    kind = GoldKind.MATCH if models else GoldKind.NIL
    return GoldListing(listing_id, title, "", kind, models, memory)


GOLD = [
    gold("right", "RTX 3080 10GB", "GeForce RTX 3080", memory=10),
    gold("suffix", "Gigabyte GeForce RTX 4060 Ti Eagle", "GeForce RTX 4060"),
    gold("memory", "MSI GeForce RTX 3080 12GB Suprim", "GeForce RTX 3080", memory=10),
    gold("unknown", "Zotac GeForce RTX 9999 24GB", "GeForce RTX 9999"),
    gold("goods", "MSI GeForce RTX 4070 12GB Gaming X"),
    gold("box", "RTX 3080 box only", "GeForce RTX 3080"),
    gold("form", "Asus GTX 950M 2GB", "GeForce GTX 950"),
    gold("number", "Gigabyte GeForce RTX 3070 Gaming OC", "GeForce RTX 3090"),
    gold("code", "gigabyte kq8f7zz12hd graphics", "GeForce RTX 3090"),
    gold("traded", "Asus R9 290 trade for GTX 970", "GeForce GTX 970"),
    GoldListing("either", "RTX 3070 or 3080", "", GoldKind.AMBIGUOUS),
]


@pytest.fixture(scope="module")
def resolver() -> Resolver:
    retriever, manifest = load_retriever(shipped("index"), StaticEmbedder.load(shipped("embedder")))
    return GpuResolver(
        retriever,
        RerankModel.load(shipped("model")),
        CueReader.load(shipped("cues.txt")),
        index_version=manifest.fingerprint,
    )


def answers_of(resolver: Resolver, listings: Sequence[GoldListing]) -> list[Resolution]:
    return resolver.resolve_many([item.listing for item in listings])


@pytest.fixture(scope="module")
def found(resolver: Resolver) -> dict[str, Failure]:
    return {f.listing_id: f for f in failures(resolver, GOLD, answers_of(resolver, GOLD))}


# --- the shipped model ----------------------------------------------------------------------


def test_every_error_is_explained_and_nothing_else(resolver: Resolver, found: dict[str, Failure]):
    errors = errors_of(GOLD, answers_of(resolver, GOLD))
    assert list(found) == [error["listing_id"] for error in errors]
    assert set(found) == {item.listing_id for item in GOLD} - {"right", "either"}


@pytest.mark.parametrize(
    ("listing_id", "lost_to", "cause", "right"),
    [
        ("suffix", "ranking", Cause.SUFFIX, "GeForce RTX 4060 8 GB PCIe"),
        ("memory", "ranking", Cause.MEMORY, "GeForce RTX 3080 10 GB PCIe"),
        ("unknown", "label", Cause.NOT_IN_REGISTRY, None),
        ("goods", "decision", Cause.ACCESSORY_ACCEPTED, None),
        ("form", "ranking", Cause.FORM, "GeForce GTX 950 2 GB PCIe"),
        ("number", "retrieval", Cause.MISREAD, None),
        ("code", "retrieval", Cause.PART_NUMBER, None),
        ("traded", "ranking", Cause.OTHER_CARD, "GeForce GTX 970 4 GB PCIe"),
    ],
)
def test_causes_and_right_candidates(
    found: dict[str, Failure], listing_id: str, lost_to: str, cause: Cause, right: str | None
):
    failure = found[listing_id]
    assert (failure.lost_to, failure.cause, failure.right) == (lost_to, cause, right)


def test_a_card_refused_for_its_box(found: dict[str, Failure]):
    failure = found["box"]
    assert (failure.lost_to, failure.cause) == ("decision", Cause.CARD_REFUSED)
    assert (failure.decision, failure.want) == ("no_match", "GeForce RTX 3080")
    assert failure.right is not None
    assert failure.right.startswith("GeForce RTX 3080 ")
    shown = {gap.feature: gap for gap in failure.features}
    assert shown["box_after"].words == "words of kind 'box' after the name"
    assert shown["box_after"].chosen == 1
    assert shown["box_after"].right is None
    assert shown["box_after"].contribution < 0


def test_what_put_a_sibling_first(found: dict[str, Failure]):
    gaps = found["memory"].features
    sizes = [abs(gap.contribution) for gap in gaps]
    assert sizes == sorted(sizes, reverse=True)
    assert 0 < len(gaps) <= 8
    memory = next(gap for gap in gaps if gap.feature == "memory_fit")
    assert (memory.right, memory.chosen) == (-1, 1)
    assert memory.contribution > 0


def test_contributions_are_those_of_the_models(resolver: Resolver, found: dict[str, Failure]):
    """Chosen less right by the ranker, or the offer's alone, each explained by itself."""
    item = next(item for item in GOLD if item.listing_id == "suffix")
    evidence = resolver.evidence([item.listing])
    records = [resolver.table.records[row] for row in evidence.candidates.record]
    names = [f"{r.model} {r.memory_gb:g} GB {r.form_factor}" for r in records]
    (answer,) = answers_of(resolver, [item])
    chosen = [record.gpu_id for record in records].index(answer.candidates[0].gpu_id)
    right = names.index(str(found["suffix"].right))
    shares = contributions(resolver.model.ranker_text, evidence.features[[chosen, right]])
    lead = dict(zip(CANDIDATE_FEATURES, shares[0] - shares[1], strict=False))
    for gap in found["suffix"].features:
        assert gap.contribution == pytest.approx(lead[gap.feature], abs=1e-4)
        column = CANDIDATE_FEATURES.index(gap.feature)
        assert gap.right == pytest.approx(evidence.features[right, column], abs=1e-4)
    assert sum(lead.values()) == pytest.approx(
        float(evidence.scores[chosen] - evidence.scores[right]), abs=1e-3
    )
    goods = next(item for item in GOLD if item.listing_id == "goods")
    offers = contributions(resolver.model.offer_text, resolver.evidence([goods.listing]).offers)
    accept = dict(zip(OFFER_FEATURES, offers[0], strict=False))
    for gap in found["goods"].features:
        assert gap.contribution == pytest.approx(accept[gap.feature], abs=1e-4)


def test_a_batch_explains_as_each_listing_by_itself(resolver: Resolver, found: dict[str, Failure]):
    for item in GOLD[1:5]:
        (alone,) = failures(resolver, [item], answers_of(resolver, [item]))
        assert alone == found[item.listing_id]


def test_the_limit_keeps_the_costliest(resolver: Resolver, found: dict[str, Failure]):
    answers = answers_of(resolver, GOLD)
    assert failures(resolver, GOLD, answers, limit=3) == list(found.values())[:3]
    assert failures(resolver, GOLD, answers, limit=0) == []
    assert failures(resolver, [], []) == []
    with pytest.raises(InputError, match="limit must be at least 0, got -1"):
        failures(resolver, GOLD, answers, limit=-1)


def test_ids_that_repeat_do_not_mix_listings_up(resolver: Resolver):
    same = [replace(item, listing_id="x") for item in GOLD]
    found = failures(resolver, same, answers_of(resolver, same))
    assert len({failure.title for failure in found}) == len(found) == 9


def test_answers_of_another_resolver_are_refused(resolver: Resolver):
    answers = answers_of(resolver, GOLD)
    swapped = [*answers[:4], answers[2], *answers[5:]]  # accepted, as goods must not be
    with pytest.raises(InputError, match=r"'goods': the answer has .* pass the resolver that gave"):
        failures(resolver, GOLD, swapped)


def test_an_answer_without_candidates_has_no_features(resolver: Resolver):
    (answer,) = answers_of(resolver, GOLD[:1])
    empty = replace(answer, candidates=(), best_guess=None, decision="no_match")
    (failure,) = failures(resolver, GOLD[:1], [empty])
    assert (failure.features, failure.right, failure.got) == ((), None, "no candidates")
    assert failure.cause is Cause.NOT_RETRIEVED


def test_failures_are_plain_json(found: dict[str, Failure]):
    row = json.loads(json.dumps(found["suffix"].as_dict(), allow_nan=False))
    assert list(row) == [
        "listing_id",
        "title",
        "want",
        "got",
        "decision",
        "probability",
        "lost_to",
        "cause",
        "right",
        "features",
    ]
    assert row["cause"] == "suffix"
    assert list(row["features"][0]) == ["feature", "words", "right", "chosen", "contribution"]


def test_causes_are_counted_the_most_frequent_first(found: dict[str, Failure]):
    counts = causes(found[name].cause.value for name in ("box", "suffix", "form", "box"))
    assert list(counts.items()) == [
        ("card taken for an accessory", 2),
        ("mobile or desktop", 1),
        ("suffix", 1),
    ]
    assert causes([]) == {}


# --- the rules, by hand ---------------------------------------------------------------------


@pytest.fixture
def situation(tiny_registry: list[GpuRecord]) -> Callable[..., Situation]:
    """Return a function that makes a situation of nothing but what it is told."""
    lexicon = Lexicon(tiny_registry)
    nothing = dict.fromkeys(OFFER_FEATURES, 0.0)

    def make(title: str = "", **given: Any) -> Situation:
        values = {
            name: {**nothing, **given.pop(name, {})} for name in list(given) if "_val" in name
        }
        empty = dict.fromkeys(["chosen_values", "right_values", "offer_values"], nothing)
        plain: dict[str, Any] = {
            "is_match": True,
            "in_registry": True,
            "named": True,
            "chosen": None,
            "right": None,
            "offer_shares": nothing,
        }
        return Situation(lexicon.read(title), **{**plain, **empty, **values, **given})

    return make


def variant(records: Sequence[GpuRecord], model: str, form: str = "PCIe") -> GpuRecord:
    return next(r for r in records if r.model == model and r.form_factor == form)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"in_registry": False}, Cause.NOT_IN_REGISTRY),
        ({}, Cause.NOT_RETRIEVED),
        ({"named": False}, Cause.MISREAD),
        ({"named": False, "title": "xx GV-Q1656OC-4GD"}, Cause.PART_NUMBER),
    ],
)
def test_no_right_candidate(situation: Any, given: dict[str, Any], expected: Cause):
    assert cause_of(situation(**given)) is expected


@pytest.mark.parametrize(
    ("right", "chosen", "right_values", "expected"),
    [
        ("RTX 4000 Ada", "GeForce RTX 4080", {}, Cause.MISREAD),
        ("RTX 4000 Ada", "GeForce RTX 4080", {"named": 1}, Cause.OTHER_CARD),
        ("RTX 4000 Ada", "Quadro RTX 4000", {"named": 1}, Cause.SUFFIX),
        ("RTX 4000 Ada", "Quadro RTX 4000", {"named": 1, "memory_fit": 1}, Cause.MEMORY),
        ("GeForce RTX 4080", "GeForce RTX 4080 SUPER", {"named": 1}, Cause.SUFFIX),
    ],
)
def test_another_model_first(
    situation: Any,
    tiny_registry: list[GpuRecord],
    right: str,
    chosen: str,
    right_values: dict[str, float],
    expected: Cause,
):
    made = situation(
        right=variant(tiny_registry, right),
        chosen=variant(tiny_registry, chosen),
        right_values=right_values,
        chosen_values={"named": 1},
    )
    assert cause_of(made) is expected


def test_lines_and_forms_of_one_number(situation: Any, make_gpu: Any):
    rx, pro = make_gpu("Radeon RX 5500", 8), make_gpu("Radeon Pro 5500", 8)
    mobile = make_gpu("Radeon Pro 5500M", 8, form="mobile")
    named = {"right_values": {"named": 1}, "chosen_values": {"named": 1}}
    assert cause_of(situation(right=rx, chosen=pro, **named)) is Cause.LINE
    assert cause_of(situation(right=rx, chosen=mobile, **named)) is Cause.FORM
    bigger = make_gpu("Radeon RX 5500", 16)
    assert cause_of(situation(right=rx, chosen=bigger, **named)) is Cause.MEMORY


@pytest.mark.parametrize(
    ("offer_values", "expected"),
    [
        ({}, Cause.ACCESSORY_ACCEPTED),
        ({"cooling_after": 1, "suffix_extra": 1}, Cause.ACCESSORY_ACCEPTED),
        ({"rig_before": 1, "box_after": 1}, Cause.WHOLE_SYSTEM),
        ({"box_excused": 1, "glued_foreign": 1}, Cause.MISREAD),
        ({"suffix_extra": 1}, Cause.NOT_IN_REGISTRY),
        ({"model_memory_fit": -1}, Cause.NOT_IN_REGISTRY),
    ],
)
def test_something_else_accepted(situation: Any, offer_values: dict[str, float], expected: Cause):
    assert cause_of(situation(is_match=False, offer_values=offer_values)) is expected


@pytest.mark.parametrize(
    ("offer_values", "offer_shares", "expected"),
    [
        ({}, {"box_after": -2.0}, Cause.LOW_CONFIDENCE),  # no box is mentioned
        ({"box_after": 1}, {"box_after": -2.0}, Cause.CARD_REFUSED),
        ({"box_after": 1}, {"box_after": -0.05}, Cause.LOW_CONFIDENCE),
        ({"box_after": 1, "rig_after": 1}, {"box_after": -1, "rig_after": -2}, Cause.WHOLE_SYSTEM),
        ({"memory_fit": -1}, {"memory_fit": -1}, Cause.MEMORY),
        ({"memory_fit": 1}, {"memory_fit": -1}, Cause.LOW_CONFIDENCE),
        ({"suffix_missing": 1}, {"suffix_missing": -1}, Cause.SUFFIX),
        ({"prefix_fit": -1}, {"prefix_fit": -1}, Cause.LINE),
        ({"form_fit": -1}, {"form_fit": -1}, Cause.FORM),
        ({"line_absent": 1}, {"line_absent": -1}, Cause.SHORT_NAME),
        ({"compared": 1}, {"compared": -1}, Cause.OTHER_CARD),
        ({"lead": 2.5}, {"lead": -1}, Cause.CLOSE_RIVAL),
        ({"lead": 8.0}, {"lead": -1}, Cause.LOW_CONFIDENCE),
        ({"code_length": 6}, {"code_length": 0.5}, Cause.CODE_ALONE),
    ],
)
def test_a_card_held_back(
    situation: Any,
    tiny_registry: list[GpuRecord],
    offer_values: dict[str, float],
    offer_shares: dict[str, float],
    expected: Cause,
):
    card = tiny_registry[0]
    shares = {**dict.fromkeys(OFFER_FEATURES, 0.0), **offer_shares}
    made = situation(right=card, chosen=card, offer_values=offer_values, offer_shares=shares)
    assert cause_of(made) is expected


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Gigabyte GV-N1656OC-4GD", True),
        ("36NOL7MD1VOC", True),
        ("GS250XZSL4", True),
        ("RTX5070Ti 16GB", False),
        ("directx12 card", False),
        ("gaming laptop", False),
        ("1234567-89-1", False),
        ("", False),
    ],
)
def test_what_looks_like_a_part_number(tiny_registry: list[GpuRecord], title: str, expected: bool):
    assert has_code(Lexicon(tiny_registry).read(title)) is expected


def test_every_cause_has_a_sentence_and_a_key_of_its_own():
    assert len({cause.value for cause in Cause}) == len(Cause)
    assert all(cause.sentence.endswith(".") for cause in Cause)
