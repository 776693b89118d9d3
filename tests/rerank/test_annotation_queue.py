from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest

from rerank.annotation.queue import (
    Diversity,
    QueueItem,
    QueueStrategy,
    TitleSimilarity,
    disagreement,
    order_queue,
    title_key,
    uncertainty,
    vote_entropy,
)
from rerank.index.errors import InputError
from rerank.index.records import Listing
from rerank.packs.gpu.choices import Contrast, contrasts
from rerank.packs.gpu.lexicon import Lexicon
from rerank.resolution import Resolution, ScoredCandidate

UNCERTAIN, RANDOM = QueueStrategy.UNCERTAIN, QueueStrategy.RANDOM
DISAGREEMENT = QueueStrategy.DISAGREEMENT


def candidate(model, probability, *, memory_gb=8.0, form="PCIe", similarity=0.5):
    gpu_id = f"{model}-{memory_gb:g}-{form}".lower().replace(" ", "-")
    return ScoredCandidate(gpu_id, model, memory_gb, form, similarity, 0.0, probability, 1.0)


def item(
    key,
    title,
    *,
    model="GeForce RTX 3080",
    probability=0.5,
    rivals=(),
    shop="",
    votes=("a", "a"),
    thresholds=(0.5,),
):
    ranked = (
        ()
        if model is None
        else (candidate(model, probability), *(candidate(name, share) for name, share in rivals))
    )
    answer = Resolution(
        *(None, model, 8.0, "PCIe"),
        model,
        probability,
        False,
        1.0,
        0.0,
        "review",
        "",
        ranked,
        "model-1",
        "index-1",
    )
    return QueueItem(Listing(key, title), shop, answer, votes, thresholds)


def asked(items, **options):
    options = {"strategy": UNCERTAIN, "seed": 1, **options}
    return [items[at].listing.listing_id for at in order_queue(items, **options)]


@pytest.mark.parametrize(
    ("probability", "rivals", "thresholds", "expected"),
    [
        # classes .5 and .5 (no match): margin 0; on the threshold: closeness 1
        (0.5, (), (0.5,), 1.0),
        # classes .6, .3 and .1: margin .3; odds 1.5 against 1: closeness 2/3
        (0.6, (("B", 0.3),), (0.5,), (0.7 + 2 / 3) / 2),
        # classes .9 and .1: margin .8; odds 9 against 9 and 1
        (0.9, (), (0.9, 0.5), (0.2 + 1.0) / 2),
        # classes .2 and .8 (no match): margin .6; odds 1/4 against 1
        (0.2, (), (0.5,), (0.4 + 0.25) / 2),
        # thresholds beyond probability decide nothing
        (0.5, (), (1.01, 0.0), 0.5),
    ],
)
def test_uncertainty_is_the_mean_of_margin_and_closeness(probability, rivals, thresholds, expected):
    one = item("1", "t", model="A", probability=probability, rivals=rivals, thresholds=thresholds)
    assert uncertainty(one) == pytest.approx(expected)


def test_a_listing_without_candidates_is_certain():
    assert uncertainty(item("1", "t", model=None, probability=0.0)) == 0.0


def test_variants_of_one_model_are_one_class():
    two = (candidate("A", 0.9), candidate("A", 0.9, memory_gb=16.0))
    answer = replace(item("1", "t", model="A", probability=0.9).resolution, candidates=two)
    single = item("1", "t", model="A", probability=0.9)
    assert uncertainty(QueueItem(Listing("1", "t"), "", answer, ())) == uncertainty(single)


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ((), 0.0),
        (("a",), 0.0),
        (("a", "a", "a"), 0.0),
        (("a", "b", "c"), 1.0),
        (("a", "a", "b"), (-2 / 3 * math.log(2 / 3) - 1 / 3 * math.log(1 / 3)) / math.log(3)),
        (("a", "b"), 1.0),
    ],
)
def test_vote_entropy_by_hand(votes, expected):
    assert vote_entropy(votes) == pytest.approx(expected)


def test_disagreement_outweighs_any_uncertainty():
    split = item("1", "t", probability=0.999, votes=("a", "a", "b"))
    unsure = item("2", "t", probability=0.5, votes=("a", "a", "a"))
    assert uncertainty(unsure) == 1.0
    assert (
        disagreement(split)
        > disagreement(unsure)
        > disagreement(item("3", "t", probability=0.9, votes=("a", "a", "a")))
    )


def test_the_most_uncertain_comes_first():
    items = [
        item("1", "palit storm 1010", model="A", probability=0.99),
        item("2", "inno frost 2020", model="B", probability=0.5),
        item("3", "zotac amp 3030", model="C", probability=0.8),
    ]
    assert asked(items) == ["2", "3", "1"]


def test_the_largest_disagreement_comes_first():
    items = [
        item("1", "palit storm 1010", model="A", votes=("A", "A", "A")),
        item("2", "inno frost 2020", model="B", probability=0.9, votes=("A", "B", "C")),
        item("3", "zotac amp 3030", model="C", votes=("C", "C", "B")),
    ]
    assert asked(items, strategy=DISAGREEMENT) == ["2", "3", "1"]


@pytest.mark.parametrize("strategy", QueueStrategy)
def test_titles_equal_but_for_punctuation_and_article_numbers_are_asked_once(strategy):
    items = [
        item("1", "Palit RTX 3080 Storm 10GB"),
        item("2", "PALIT RTX-3080 (Storm), 10 GB - 4711223344"),
        item("3", "Palit RTX 3080 Storm 12GB", model="B"),
    ]
    found = asked(items, strategy=strategy)
    assert len(found) == 2
    assert "3" in found


def test_near_identical_titles_are_asked_once_unless_their_models_differ():
    words = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu"
    items = [
        item("1", f"{words} nu"),
        item("2", f"nu {words}"),  # the same words in another order
        item("3", f"{words} xi", model="GeForce RTX 3080 Ti"),
    ]
    assert asked(items) == ["1", "3"]


def test_what_was_answered_is_not_asked_in_other_words():
    items = [item("1", "RTX 3080 palit storm"), item("2", "gainward phantom 3090", model="B")]
    answered = [item("9", "Palit RTX 3080 Storm!")]
    assert asked(items, answered=answered) == ["2"]
    assert asked(items, strategy=RANDOM, answered=[item("9", "rtx 3080 PALIT storm")]) == ["2"]


def test_models_and_shops_take_turns():
    words = ["amber", "birch", "cedar", "dahlia", "elder", "fern", "gorse", "hazel"]
    items = [
        item(str(at), word, model="AABB"[at % 4], shop="xy"[at // 4])
        for at, word in enumerate(words)
    ]
    order = [items[int(key)] for key in asked(items)]
    assert [one.listing.listing_id for one in order[:2]] == ["0", "6"]
    assert sorted(one.resolution.model for one in order[:4]) == ["A", "A", "B", "B"]
    assert sorted(one.shop for one in order[:4]) == ["x", "x", "y", "y"]


def test_a_listing_unlike_those_asked_comes_before_a_similar_one_of_equal_value():
    items = [
        item("1", "palit storm black"),
        item("2", "palit storm white", model="B"),
        item("3", "sapphire nitro green", model="C"),
    ]
    assert asked(items) == ["1", "3", "2"]


@pytest.mark.parametrize("strategy", QueueStrategy)
def test_the_order_depends_on_the_listings_alone(strategy):
    rng = random.Random(5)
    items = [
        item(
            f"{at:03}",
            f"brand{rng.randrange(5)} word{rng.randrange(40)} {rng.randrange(9)}",
            model=f"M{rng.randrange(6)}",
            probability=rng.random(),
            shop=rng.choice("xyz"),
            votes=tuple(rng.choice("abc") for _ in range(3)),
        )
        for at in range(120)
    ]
    shuffled = rng.sample(items, len(items))
    found = asked(items, strategy=strategy)
    assert asked(items, strategy=strategy) == found
    assert asked(shuffled, strategy=strategy) == found
    assert asked(items, strategy=strategy, limit=7) == found[:7]
    assert len(set(found)) == len(found)


def test_ties_go_by_listing_id():
    items = [item(key, f"{key} title", model=key) for key in ("c", "a", "b")]
    assert asked(items, limit=1) == ["a"]


def test_random_order_follows_its_seed():
    items = [item(f"{at:02}", f"word{at}") for at in range(30)]
    one, two = (asked(items, strategy=RANDOM, seed=seed) for seed in (1, 2))
    assert sorted(one) == sorted(two) == [f"{at:02}" for at in range(30)]
    assert one != two != [f"{at:02}" for at in range(30)]


def test_an_empty_queue_and_a_limit_of_none():
    assert order_queue([], strategy=UNCERTAIN, seed=0) == []
    assert asked([item("1", "t")], limit=0) == []
    assert asked([item("1", "t")], limit=9) == ["1"]


@pytest.mark.parametrize(("limit", "seed"), [(-1, 0), (1, -1)])
def test_a_negative_limit_or_seed_is_an_error(limit, seed):
    with pytest.raises(InputError, match="seed and limit must not be negative"):
        order_queue([], strategy=RANDOM, seed=seed, limit=limit)


@pytest.mark.parametrize(
    ("title", "key"),
    [
        ("MSI  RTX3080-Ti!", "msi rtx 3080 ti"),
        ("MSI RTX 3080 0123456789", "msi rtx 3080"),
        ("MSI RTX 3080 12345", "msi rtx 3080 12345"),
        (" *** ", "***"),
        ("1234567", "1234567"),
    ],
)
def test_title_keys(title, key):
    assert title_key(title) == key


def test_similarity_equals_a_naive_cosine():
    keys = ["rtx 3080 palit", "rtx 3080 ti", "sapphire nitro", "***", ""]
    held = [set(key.split()) for key in keys]
    vocabulary = sorted(set().union(*held))
    weight = {w: math.log(1 + len(keys) / sum(w in one for one in held)) for w in vocabulary}
    vectors = np.array([[weight[w] * (w in one) for w in vocabulary] for one in held])
    norms = np.linalg.norm(vectors, axis=1)
    similarity = TitleSimilarity(keys)
    for at in range(len(keys)):
        both = norms * norms[at]
        expected = np.where(both > 0, vectors @ vectors[at] / np.where(both > 0, both, 1), 0)
        assert similarity.to(at) == pytest.approx(expected)


def test_titles_without_any_word_resemble_nothing():
    assert TitleSimilarity(["", ""]).to(0).tolist() == [0.0, 0.0]


def test_discounts_by_hand():
    diversity = Diversity(["amber", "birch", "cedar"], ["A", "A", "B"], ["x", "y", "x"])
    assert diversity.discount().tolist() == [1.0, 1.0, 1.0]
    diversity.take(0)
    assert diversity.open.tolist() == [False, True, True]
    assert diversity.discount()[1:] == pytest.approx([2**-0.5, 2**-0.25])


def contrasts_of(title, shown, records):
    return contrasts(shown, title, Lexicon(records))


def test_contrast_names_what_siblings_do_not_share(tiny_registry):
    shown = [
        candidate("GeForce RTX 4060 Ti", 0.9, memory_gb=16.0),
        candidate("GeForce RTX 4060 Ti", 0.9),
        candidate("GeForce RTX 4060", 0.1),
    ]
    assert contrasts_of("Palit RTX4060Ti 16GB", shown, tiny_registry) == [
        Contrast(said=("Ti",), memory="memory as stated"),
        Contrast(said=("Ti",), memory="title states 16 GB"),
        Contrast(unexplained=("Ti",), memory="title states 16 GB"),
    ]


def test_contrast_reads_a_sellers_spelling_of_a_suffix(tiny_registry):
    shown = [candidate("GeForce RTX 4080 SUPER", 0.9), candidate("GeForce RTX 4080", 0.1)]
    for title in ("zotac rtx 4080 sup trinity", "zotac rtx 4080 Super"):
        with_suffix, without = contrasts_of(title, shown, tiny_registry)
        assert (with_suffix.said, without.unexplained) == (("SUPER",), ("SUPER",))
    with_suffix, without = contrasts_of("zotac 4080 trinity", shown, tiny_registry)
    assert (with_suffix.unsaid, without) == (("SUPER",), Contrast())


def test_contrast_names_the_alias_or_part_number_of_one_candidate_only(tiny_registry):
    shown = [candidate("GeForce RTX 4080 SUPER", 0.9), candidate("GeForce RTX 4080", 0.1)]
    assert contrasts_of("zotac 4080S trinity", shown, tiny_registry) == [
        Contrast(code="4080s"),
        Contrast(),
    ]
    both = [candidate("GeForce GTX 1060", 0.9), candidate("GeForce GTX 1060", 0.9, memory_gb=3.0)]
    assert [one.code for one in contrasts_of("evga P4-616 sc", both, tiny_registry)] == ["", ""]


def test_contrast_of_variants_is_memory_and_form(tiny_registry):
    shown = [
        candidate("GeForce RTX 3080", 0.9, memory_gb=10.0),
        candidate("GeForce RTX 3080", 0.9, memory_gb=16.0, form="mobile"),
    ]
    assert contrasts_of("RTX 3080", shown, tiny_registry) == [
        Contrast(memory="memory unsaid"),
        Contrast(memory="memory unsaid", form="mobile unsaid"),
    ]
    _, mobile = contrasts_of("RTX 3080 16GB laptop gpu", shown, tiny_registry)
    assert (mobile.memory, mobile.form) == ("memory as stated", "mobile as stated")


def test_contrast_splits_a_letter_from_its_number():
    shown = [candidate("Radeon RX 6600", 0.9), candidate("Radeon RX 6600M", 0.1)]
    plain, mobile = contrasts_of("rx 6600 pulse", shown, [])
    assert (plain, mobile.unsaid) == (Contrast(), ("M",))


def test_nothing_sets_nothing_apart():
    assert contrasts_of("rtx 3080", [], []) == []
