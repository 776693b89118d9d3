"""Name evidence: columns by hand, and one row for each listing and model."""

from __future__ import annotations

import numpy as np
import pytest

from rerank.index.records import GpuRecord
from rerank.packs.gpu.lexicon import Lexicon
from rerank.packs.gpu.name_evidence import NAME_FEATURES, NameEvidence, name_evidence, surely_named
from rerank.packs.gpu.title_columns import TitleReadings

TITLES = [
    "Gigabyte GeForce RTX 4060 Ti Eagle 8GB",
    "see photos",
    "GV-N406TEAGLE OC-8GD",
    "A770",
    "RTX 4080 SUPER or 4060",
    "GTX 10606GB",
    "EVGA 06G-P4-6163-KR GTX 1060",
    "",
    "RX6600XT 6600",
]


@pytest.fixture(scope="module")
def lexicon(tiny_registry: list[GpuRecord]) -> Lexicon:
    return Lexicon(tiny_registry)


def read_columns(lexicon: Lexicon, *titles: str) -> TitleReadings:
    return TitleReadings.of(lexicon, [lexicon.read(title) for title in titles])


def evidence_of(lexicon: Lexicon, *titles: str) -> NameEvidence:
    return name_evidence(lexicon, read_columns(lexicon, *titles))


def rows_of(lexicon: Lexicon, title: str) -> dict[str, dict[str, float]]:
    found = evidence_of(lexicon, title)
    return {
        lexicon.models[model]: dict(zip(NAME_FEATURES, row.tolist(), strict=True))
        for model, row in zip(found.model, found.values, strict=True)
    }


@pytest.mark.parametrize(
    "title", ["Palit NE64060019P1-1070D GeForce RTX 4060", "GeForce RTX 4060 NE64060019P1-1070D"]
)
def test_a_number_beside_the_name_adds_to_it(title: str, lexicon: Lexicon) -> None:
    own = rows_of(lexicon, title)["GeForce RTX 4060"]
    named = rows_of(lexicon, "GeForce RTX 4060")["GeForce RTX 4060"]
    assert own["code_length"] == len("ne64060")
    assert own["line_shared"] == named["line_shared"] > 0
    assert own["name_quality"] >= named["name_quality"] - 0.1


def test_the_named_model_and_its_sibling(lexicon: Lexicon) -> None:
    rows = rows_of(lexicon, "Palit GeForce RTX 4060 Ti")
    assert set(rows) == {"GeForce RTX 4060", "GeForce RTX 4060 Ti"}
    own, sibling = rows["GeForce RTX 4060 Ti"], rows["GeForce RTX 4060"]
    assert {name: own[name] for name in NAME_FEATURES[:13]} == {
        "suffix_missing": 0,
        "suffix_absent": 0,
        "suffix_extra": 0,
        "suffix_exact": 1,
        "line_shared": 2,
        "line_absent": 0,
        "line_conflict": 0,
        "prefix_fit": 0,
        "glued_foreign": 0,
        "code_length": 0,
        "code_certain": 0,
        "mention_at": 3,
        "memory_glued": 0,
    }
    assert (sibling["suffix_missing"], sibling["suffix_extra"]) == (0, 1)
    assert sibling["suffix_exact"] == 0
    assert own["name_quality"] > sibling["name_quality"]


@pytest.mark.parametrize(
    ("title", "model", "column", "value"),
    [
        ("RTX 4060", "GeForce RTX 4060 Ti", "suffix_missing", 1),
        ("RTX 4060", "GeForce RTX 4060 Ti", "suffix_absent", 1),
        ("RTX 4060 OC white Ti", "GeForce RTX 4060 Ti", "suffix_missing", 1),
        ("RTX 4060 OC white Ti", "GeForce RTX 4060 Ti", "suffix_absent", 0),
        ("Ti 4060 RTX", "GeForce RTX 4060 Ti", "suffix_exact", 1),
        ("RTX 4060", "GeForce RTX 4060", "line_shared", 1),
        ("RTX 4060", "GeForce RTX 4060", "line_absent", 1),
        ("4060", "GeForce RTX 4060", "line_absent", 2),
        ("Quadro 4060", "GeForce RTX 4060", "line_conflict", 1),
        ("Quadro RTX 4000", "RTX 4000 Ada", "suffix_missing", 1),
        ("Quadro RTX 4000", "Quadro RTX 4000", "line_shared", 2),
        ("Arc A770", "Arc A770", "prefix_fit", 1),
        ("Arc 770", "Arc A770", "prefix_fit", -1),
        ("A4060", "GeForce RTX 4060", "prefix_fit", -1),
        ("RTX 4060", "GeForce RTX 4060", "prefix_fit", 0),
        ("XYZ4060", "GeForce RTX 4060", "glued_foreign", 1),
        ("RTX4060", "GeForce RTX 4060", "glued_foreign", 0),
        ("GTX 10606GB", "GeForce GTX 1060", "memory_glued", 1),
        ("new in box: 4060", "GeForce RTX 4060", "mention_at", 3),
        ("GV-N406TEAGLE", "GeForce RTX 4060 Ti", "code_length", len("gvn406t")),
        ("GV-N406TEAGLE", "GeForce RTX 4060 Ti", "code_certain", 0),
        ("P4-6163", "GeForce GTX 1060", "code_certain", 1),
        ("P4-6163", "GeForce GTX 1060", "code_length", len("p4616")),
        ("P4-6163 GTX 1060", "GeForce GTX 1060", "code_certain", 1),
        ("P4-6163 GTX 1060", "GeForce GTX 1060", "suffix_exact", 1),
    ],
)
def test_columns_by_hand(
    title: str, model: str, column: str, value: float, lexicon: Lexicon
) -> None:
    assert rows_of(lexicon, title)[model][column] == value


@pytest.mark.parametrize(
    ("title", "best"),
    [
        ("MSI RTX 4060 Ti Ventus", "GeForce RTX 4060 Ti"),
        ("4060ti", "GeForce RTX 4060 Ti"),
        ("MSI RTX 4060 Ventus", "GeForce RTX 4060"),
        ("4060", "GeForce RTX 4060"),
        ("RTX 4080 Super", "GeForce RTX 4080 SUPER"),
        ("nvidia 4080", "GeForce RTX 4080"),
        ("Quadro RTX 4000", "Quadro RTX 4000"),
        ("RTX 4000 Ada 20GB", "RTX 4000 Ada"),
        ("6600xt sapphire", "Radeon RX 6600 XT"),
        ("RX 6600 8G", "Radeon RX 6600"),
        ("A100 PCIe", "A100"),
        ("HD7970", "Radeon HD 7970"),
        ("a770 LE", "Arc A770"),
        ("GV-N406TEAGLE OC-8GD", "GeForce RTX 4060 Ti"),
    ],
)
def test_the_best_name_is_the_right_one(title: str, best: str, lexicon: Lexicon) -> None:
    rows = rows_of(lexicon, title)
    assert max(rows, key=lambda model: rows[model]["name_quality"]) == best


def test_one_sorted_row_for_each_listing_and_model(lexicon: Lexicon) -> None:
    found = evidence_of(lexicon, *TITLES, "4060 4060 4060 ti 4060")
    keys = (found.listing * len(lexicon.models) + found.model).tolist()
    assert keys == sorted(set(keys))
    assert found.values.shape == (len(keys), len(NAME_FEATURES))
    assert found.values.dtype == np.float32
    assert 1 not in found.listing
    assert 7 not in found.listing


def test_the_best_mention_of_a_model_is_kept(lexicon: Lexicon) -> None:
    row = rows_of(lexicon, "4060 in title, GeForce RTX 4060 Ti")["GeForce RTX 4060 Ti"]
    assert (row["suffix_exact"], row["mention_at"]) == (1, 5)


def test_a_batch_equals_single_titles(lexicon: Lexicon) -> None:
    batch = evidence_of(lexicon, *TITLES)
    for at, title in enumerate(TITLES):
        one, mine = evidence_of(lexicon, title), batch.listing == at
        np.testing.assert_array_equal(batch.model[mine], one.model)
        np.testing.assert_array_equal(batch.values[mine], one.values)


def test_the_order_of_the_registry_does_not_matter(tiny_registry: list[GpuRecord]) -> None:
    for title in TITLES:
        turned = Lexicon(tiny_registry[::-1])
        assert rows_of(Lexicon(tiny_registry), title) == rows_of(turned, title)


def test_rows_are_found_by_pair(lexicon: Lexicon) -> None:
    found = evidence_of(lexicon, *TITLES)
    pairs = [(at, model) for at in range(len(TITLES)) for model in range(len(lexicon.models))]
    listing, model = np.array(pairs).T
    rows = found.find(listing, model, len(lexicon.models))
    present = set(zip(found.listing.tolist(), found.model.tolist(), strict=True))
    for (at, number), row in zip(pairs, rows.tolist(), strict=True):
        if (at, number) in present:
            assert (found.listing[row], found.model[row]) == (at, number)
        else:
            assert row == -1


@pytest.mark.parametrize(
    ("title", "model"),
    [
        ("GeForce RTX 4060 Ti 16GB", "GeForce RTX 4060 Ti"),
        ("rtx 4060", "GeForce RTX 4060"),
        ("A770 LE", "Arc A770"),
        ("RTX 4060 Ti or RTX 3080", "GeForce RTX 4060 Ti"),
        ("Radeon 4060", None),  # another's line
        ("see photos", None),
    ],
)
def test_a_name_is_sure_where_nothing_speaks_against_it(
    title: str, model: str | None, lexicon: Lexicon
) -> None:
    readings = read_columns(lexicon, title)
    (found,) = surely_named(name_evidence(lexicon, readings), readings).tolist()
    assert (lexicon.models[found] if found >= 0 else None) == model


def test_sure_names_equal_plain_python(lexicon: Lexicon) -> None:
    readings = read_columns(lexicon, *TITLES)
    names = name_evidence(lexicon, readings)
    expected = [-1] * len(TITLES)
    best = [-np.inf] * len(TITLES)
    for at, model, values in zip(names.listing, names.model, names.values, strict=True):
        row = dict(zip(NAME_FEATURES, values.tolist(), strict=True))
        fits = row["suffix_exact"] == 1 and row["line_conflict"] == 0 and row["prefix_fit"] >= 0
        if fits and not readings.doubts[at] and row["name_quality"] > best[at]:
            best[at], expected[at] = row["name_quality"], int(model)
    assert surely_named(names, readings).tolist() == expected


def test_nothing_named_gives_no_rows(lexicon: Lexicon) -> None:
    for titles in ([], [""], ["see photos", "box"]):
        found = evidence_of(lexicon, *titles)
        assert found.values.shape == (0, len(NAME_FEATURES))
        assert found.find(np.array([0]), np.array([1]), len(lexicon.models)).tolist() == [-1]


def test_absent_suffixes_are_part_of_the_missing_ones(lexicon: Lexicon) -> None:
    missing, absent, extra, exact = (evidence_of(lexicon, *TITLES).values[:, at] for at in range(4))
    named = evidence_of(lexicon, *TITLES).values[:, NAME_FEATURES.index("line_absent")] > 0
    assert (absent <= missing).all()
    assert (missing[exact == 1] == 0).all()
    assert (extra[exact == 1] == 0).all()
    assert named.any()


def test_a_suffix_that_follows_is_not_absent(lexicon: Lexicon) -> None:
    row = rows_of(lexicon, "RTX 4060TIOC")["GeForce RTX 4060 Ti"]
    assert row["suffix_missing"] == 0
    assert row["suffix_absent"] == 0
