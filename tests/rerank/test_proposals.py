"""Products that listings sell and a catalogue lacks."""

from __future__ import annotations

import random

from rerank.domain import domain_named
from rerank.index.text import normalise
from rerank.proposals import Unmatched, marks_of, propose

TITLES = [
    "ASUS Dual GeForce RTX 5060 Ti 16GB GDDR7",
    "MSI RTX5060Ti Gaming OC 16G",
    "Palit GeForce 5060 Ti 8GB PCIe 5.0 x8",
    "Gigabyte RTX 5060 Ti Windforce 16 GB GV-N506TWF2OC-16GD",
    "Gigabyte GV-N506TWF2OC-16GD GeForce RTX 5060 Ti",
    "NVIDIA Tesla K20X 6GB GDDR5",
    "tesla k20x 6 gb server card",
    "Dell Tesla K20X 0J4MN",
    "RTX 3080 holder",
    "Intel Core i7 9700K",
    "500W power supply",
    "wooden chair 1200",
    "wooden chair 1200 white",
    "wooden chair 1200 black",
]


def listings(titles):
    return [Unmatched(str(at), title) for at, title in enumerate(titles)]


def test_listings_of_one_unknown_product_become_one_proposal(tiny_registry):
    found = propose(listings(TITLES), [*tiny_registry, *_of_lines(tiny_registry)])
    assert [each.name for each in found] == ["GeForce RTX 5060 Ti", "Tesla K20X"]
    first, second = found
    assert first.listings == (0, 1, 2, 3, 4)
    assert (first.vendor, first.line, first.sizes) == ("NVIDIA", "GeForce", (16.0, 8.0))
    assert (first.memory_type, first.assumed) == ("GDDR7", ())
    assert first.part_numbers == ("GV-N506TWF2OC-16GD",)
    assert first.examples[0] == TITLES[0]
    assert (second.sizes, second.memory_type) == ((6.0,), "GDDR5")


def _of_lines(registry):
    """Cards by which words are known to begin names."""
    make = type(registry[0])
    names = ["GeForce RTX 2060", "GeForce RTX 2070", "Tesla K10", "Tesla K40", "Tesla P40"]
    for name in names:
        line = name.split()[0]
        kind = "GDDR7" if name == "GeForce RTX 2070" else "GDDR5"
        yield make(name, name, "NVIDIA", line, "", 8.0, kind, "PCIe", 2020)


def test_the_order_of_listings_changes_no_proposal(tiny_registry):
    records = [*tiny_registry, *_of_lines(tiny_registry)]
    mixed = random.Random(3).sample(TITLES, len(TITLES))
    names = [
        [(each.name, each.sizes, len(each.listings)) for each in propose(listings(of), records)]
        for of in (TITLES, mixed)
    ]
    assert names[0] == names[1]


def test_what_no_listing_states_is_the_lines_and_said_to_be_assumed(tiny_registry):
    records = [*tiny_registry, *_of_lines(tiny_registry)]
    titles = ["Tesla K20X", "nvidia tesla k20x card", "TESLA K20X new"]
    (found,) = propose(listings(titles), records)
    assert (found.sizes, found.memory_type) == ((8.0,), "GDDR5")
    assert found.assumed == ("memory_gb", "memory_type")
    (row,) = found.rows()
    assert (row["model"], row["memory_gb"], row["assumed"]) == (
        "Tesla K20X",
        8.0,
        "memory_gb memory_type",
    )


def test_fewer_titles_than_wanted_are_no_product(tiny_registry):
    records = [*tiny_registry, *_of_lines(tiny_registry)]
    same = ["Tesla K20X 6GB"] * 5
    assert propose(listings(same), records) == []
    assert propose(listings(["Tesla K20X", "Tesla K20X 6GB"]), records, least=2)


def test_marks_are_numbers_with_their_letters_and_suffixes():
    def marks(title):
        return [mark.text for mark in marks_of(normalise(title), frozenset(["rx"]))]

    assert marks("RX6600 XT 8GB") == ["6600xt"]
    assert marks("Quadro P4000 8 GB") == ["p4000"]
    assert marks("RTX 4070 Ti SUPER, 750W") == ["4070tisuper"]
    assert marks("GV-N4070WF3OC-12GD 2505MHz") == []


def test_names_of_a_table_of_goods_do_as_well():
    names = [f"Trailhead {size} Rucksack" for size in (20, 25, 30, 45)]
    titles = ["Norda Trailhead 55 red", "trailhead 55 rucksack", "Trailhead 55, as new"]
    (found,) = propose(listings(titles), names)
    assert (found.name, found.vendor, found.sizes) == ("Trailhead 55", "", ())


def test_what_sells_nothing_is_told_by_the_words_of_its_pack():
    cards, goods = (domain_named(name).refusals for name in ("gpu", "generic"))
    assert all(each.startswith(cards) for each in ("accessory: bracket", "whole laptop: ideapad"))
    assert "built into something else: kit".startswith(goods)
    for reason in ("model number agrees, memory not stated", "several at once"):
        assert not reason.startswith((*cards, *goods))
