import numpy as np
import pytest

from rerank.packs.generic.fields import Fields
from rerank.packs.generic.pack_data import IdentifierRules, Pack, Unit
from rerank.packs.generic.reading import (
    BARE,
    CUE_FEATURES,
    IdentifierKind,
    Reader,
    Readings,
    TokenKind,
    normalised,
    token_hash,
    token_kind,
)
from rerank.packs.generic.token_arrays import Ragged, hash_membership, short_hash

PACK = Pack(
    name="test",
    units={
        "gb": Unit({1: ("gb",), 1000: ("tb",)}),
        "gbps": Unit({1: ("gb/s",)}),
        "l": Unit({1: ("l", "litres", "Lítres")}),
        "in": Unit({1: ("in", "inch", '"'), 0.3937: ("cm",)}, shy=("in",), tolerance=0.02),
    },
    synonyms=(("red", "rot", "rouge"), ("built in", "builtin", "einbau")),
    cues={
        "accessory": {
            "en": ("case", "cover", "decal*"),
            "de": ("hülle", "cover"),
            "ja": ("~ケース",),
        },
        "wanted": {"en": ("looking for",)},
    },
    identifiers=IdentifierRules(
        patterns=(r"\bzz\d{2}-\d{2}\b",),
        endings=("box$",),
        shared=(r"^\d{3,4}[ip]$", "^socket"),
        inner=(r"\bbx80(\d{4})",),
    ),
)


def read(*rows: Fields | str) -> Readings:
    return Reader(PACK).read([Fields(name=row) if isinstance(row, str) else row for row in rows])


def quantities(readings: Readings, row: int = 0) -> list[tuple[int, float]]:
    at = slice(*readings.units.offsets[row : row + 2])
    return list(zip(readings.units.values[at].tolist(), readings.values[at].tolist(), strict=True))


def has(readings: Readings, form: str, row: int = 0) -> bool:
    return token_hash(form) in readings.atoms[row].tolist()


def test_text_is_lower_case_without_accents() -> None:
    assert normalised("  Réfrigérateur\u00a0 COMBINÉ ") == "refrigerateur combine"
    assert normalised("Ｋ－５００") == "k-500"


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        ("kx52b", TokenKind.CODE),
        ("70431", TokenKind.CODE),
        ("4070", TokenKind.DIGIT),
        ("500gb", TokenKind.DIGIT),
        ("i5", TokenKind.DIGIT),
        ("iii", TokenKind.DIGIT),
        ("kettle", TokenKind.WORD),
    ],
)
def test_tokens_are_codes_numbers_or_words(token: str, kind: TokenKind) -> None:
    assert token_kind(token, PACK.scales()) is kind


def test_tokens_stand_once_and_in_order() -> None:
    readings = read("Moulin MX-40 red moulin", "")
    assert readings.words(0) == ["moulin", "mx", "40", "red"]
    assert readings.words(1) == []
    assert readings.packed[0] == "moulinmx40redmoulin"


@pytest.mark.parametrize("form", ["tf900x", "tf", "900", "900x", "tf900", "proline", "line"])
def test_a_token_is_found_in_all_its_forms(form: str) -> None:
    assert has(read("Kettle TF-900X Pro Line"), form)


def test_a_hash_of_neighbours_is_that_of_one_word() -> None:
    assert has(read("note book"), "notebook")
    assert has(read("wind screen wiper"), "screenwiper")
    assert not has(read("note book"), "booknote")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("disk 2 TB", (1, 2000.0)),
        ("disk 2tb,", (1, 2000.0)),
        ("disk 16gb/2tb", (1, 2000.0)),
        ("cable 10gb/s", (2, 10.0)),
        ("cable 10 gb/s", (2, 10.0)),
        ("1,5 litres", (3, 1.5)),
        ('screen 15.6"', (4, 15.6)),
        ("screen 40 cm", (4, 15.748)),
        ("frame 10 in", (4, 10.0)),
        ("model 7", (BARE, 7.0)),
    ],
)
def test_quantities_are_read_in_base_units(text: str, expected: tuple[int, float]) -> None:
    assert expected in quantities(read(text))


def test_a_shy_unit_before_a_number_is_a_word() -> None:
    assert all(unit == BARE for unit, _ in quantities(read("3 in 1 kettle")))


def test_columns_add_their_quantities() -> None:
    reader = Reader(PACK)
    readings = reader.read([Fields(name="fridge", quantities=(("l", 310.0), ("shelves", 4.0)))])
    assert reader.units[-1] == "shelves"
    assert quantities(readings) == [(3, 310.0), (len(reader.units) - 1, 4.0)]


def test_units_in_short_descriptions_count_too() -> None:
    assert (3, 12.0) in quantities(read(Fields(name="bag", text="holds 12 l, 3 pockets")))
    assert quantities(read(Fields(name="bag", text="holds 12 l" + " x" * 300))) == []


def test_identifiers_in_columns_and_names() -> None:
    readings = read(
        Fields(name="mixer KM-2200", identifiers=("km 2200", "4006381333931")),
        "mixer 4006381333931 kx52b",
        Fields(name="mixer", identifiers=("4.00638E+12", "n/a", "12")),
    )
    kinds = [
        sorted(readings.sources[slice(*readings.identifiers.offsets[at : at + 2])])
        for at in range(3)
    ]
    assert kinds[0] == [IdentifierKind.GTIN, IdentifierKind.STATED]  # the name's code is the same
    assert kinds[1] == [IdentifierKind.GTIN, IdentifierKind.NAMED]
    assert kinds[2] == [IdentifierKind.SHORT]
    assert set(readings.identifiers[1].tolist()) & set(readings.identifiers[0].tolist())


def test_a_gtin_column_adds_no_token() -> None:
    readings = read(Fields(name="mixer", identifiers=("4006381333931", "KM2200")))
    assert readings.words(0) == ["mixer", "km2200"]


def test_a_brand_joins_a_name_that_lacks_it() -> None:
    readings = read(
        Fields(name="Toaster 2", brand="Ohm & Sons"), Fields(name="OHM toaster", brand="Ohm")
    )
    assert readings.words(0) == ["ohm", "sons", "toaster", "2"]
    assert readings.words(1) == ["ohm", "toaster"]
    assert readings.brands == ["ohm & sons", "ohm"]
    assert readings.brand.tolist() == [token_hash("ohm")] * 2


def test_rows_read_alone_say_the_same() -> None:
    rows = [Fields(name=f"pan {at} TF-{at}00X 2 l", text="with lid") for at in range(20)]
    together = Reader(PACK).read(rows)
    apart = Readings.joined([Reader(PACK).read([row]) for row in rows])
    for name in Readings.__slots__:
        one, two = getattr(together, name), getattr(apart, name)
        if isinstance(one, Ragged):
            np.testing.assert_array_equal(one.offsets, two.offsets)
            one, two = one.values, two.values
        np.testing.assert_array_equal(one, two)


def test_a_reader_of_settings_reads_the_same() -> None:
    reader = Reader(PACK)
    reader.read([Fields(name="x", quantities=(("shelves", 4.0),))])
    assert Reader.of_settings(reader.settings()).units == reader.units


def test_parts_of_packed_texts() -> None:
    texts = read("kettle kf 2200 x", "pan 2200", "")
    parts = read("kf2200x 22", "f2200 2200")
    rows, tokens = np.meshgrid(np.arange(3), np.arange(4), indexing="ij")
    found = texts.texts().contain(rows.ravel(), parts.texts(), tokens.ravel())
    expected = [[True, False, True, True], [False, False, False, True], [False] * 4]
    assert found.reshape(3, 4).tolist() == expected


def test_common_starts_and_ends_of_codes() -> None:
    one, two = read("kur15a50 b12"), read("kur15b50gb b12")
    start, end = one.texts().common(np.array([0, 1]), two.texts(), np.array([0, 1]))
    assert start.tolist() == [5, 3]
    assert end.tolist() == [0, 3]


def test_membership_tells_pairs_apart() -> None:
    readings = read(*[" ".join(f"w{row}x{at}" for at in range(40)) for row in range(30)])
    held = hash_membership(readings.atoms)
    rows, at = np.meshgrid(np.arange(30), np.arange(30 * 40), indexing="ij")
    words = np.array(
        [token_hash(f"w{row}x{at}") for row in range(30) for at in range(40)], np.uint64
    )
    found = held(rows.ravel(), short_hash(words[at.ravel()])).reshape(30, 30, 40)
    assert found.sum(axis=2).tolist() == (np.eye(30, dtype=int) * 40).tolist()


def test_words_that_mean_the_same_are_one() -> None:
    readings = read("oven red", "oven ROUGE", "oven built-in red", "einbau oven", "oven built in")
    assert readings.tokens[0].tolist() == readings.tokens[1].tolist()
    assert readings.words(1) == ["oven", "rouge"]
    for row in (2, 3, 4):
        assert has(readings, "builtin", row)


def test_identifiers_follow_the_rules_of_the_goods() -> None:
    readings = read(
        "tv zz12-34 x", "tv 1080p set", Fields(name="tv", identifiers=("abc77box", "socket 12"))
    )
    assert token_hash("zz1234") in readings.identifiers[0].tolist()
    assert readings.identifiers[1].tolist() == []
    assert set(readings.identifiers[2].tolist()) == {token_hash("abc77box"), token_hash("abc77")}


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("case for oven", ["accessory"]),
        ("oven decals", ["accessory"]),
        ("looking for an oven", ["wanted"]),
        ("looking at it for an oven", []),
        ("オーブンケース", ["accessory"]),
        ("suitcase", []),
        ("Ofenhülle", ["accessory", "for"]),
        ("Hülle Nova 9", ["accessory", "for"]),
        ("Nova 9 Hülle", ["accessory"]),
        ("Hülle-Box Nova", ["accessory"]),  # a box
        ("case Nova 9", ["accessory"]),
        ("recover disc", []),  # "cover" is English, too
    ],
)
def test_cues_tell_what_is_offered(name: str, kinds: list[str]) -> None:
    bits = int(read(name).cues[0])
    assert [kind for at, kind in enumerate(CUE_FEATURES) if bits >> at & 1] == kinds


def test_tolerances_are_the_units() -> None:
    reader = Reader(PACK, ["", "shelves"])
    assert reader.units[1] == "shelves"
    named = dict(zip(reader.units, reader.tolerances.tolist(), strict=True))
    assert (named["in"], named["shelves"]) == (0.02, 0.005)


def test_a_part_number_holds_a_models_number() -> None:
    assert has(read("cpu bx806700k"), "6700")
