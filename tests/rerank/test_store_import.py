"""Imports into the store: names of GPUs, checks, conflicts, and what stays as it was."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from rerank.index.errors import FaultsError, InputError
from rerank.index.records import Listing
from rerank.packs.gpu.names import GpuNames
from rerank.store.database import Store
from rerank.store.importing import (
    PLACE,
    ImportSummary,
    Incoming,
    OnConflict,
    annotations_table,
    import_annotations,
    import_listings,
    listings_table,
)
from rerank.store.rows import (
    Annotation,
    NamedGpu,
    StoredListing,
    Verdict,
    read_annotations,
    read_listings,
    save_annotations,
    save_listings,
)

AT = datetime(2026, 1, 2, 3, 4, 5)
EIGHT_GB = "geforce-rtx-4060-8gb-gddr6"
VERDICTS = ", ".join(verdict.value for verdict in Verdict)
HOSTILE = "'; DROP TABLE listings; --"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store.duckdb")


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    """The file that `with_listings` copies: making its tables takes a tenth of a second."""
    path = tmp_path_factory.mktemp("listings") / "store.duckdb"
    with Store(path).writing() as session:
        save_listings(session, [StoredListing(Listing(key, f"card {key}")) for key in "abc"])
    return path


@pytest.fixture
def with_listings(made_once, store):
    """A store with the listings a, b and c."""
    shutil.copy(made_once, store.path)
    return store


@pytest.fixture
def answer(with_listings, tiny_registry):
    """Import answers given as rows into the store with listings."""

    def run(rows, **options):
        options = {"registry_version": "v1", **options}
        file = rows if isinstance(rows, Incoming) else incoming(rows)
        return import_annotations(
            with_listings, file, GpuNames(tiny_registry), tiny_registry, **options
        )

    return run


@pytest.fixture
def names(tiny_registry):
    return GpuNames(tiny_registry)


def incoming(rows, *, unread=()):
    table = pa.Table.from_pylist(rows) if isinstance(rows, list) else rows
    numbers = pa.array(range(1, table.num_rows + 1), pa.int64())
    return Incoming("answers.csv", table.append_column(PLACE, numbers), "row", unread)


def match(listing_id="a", gpu="RTX 4060", annotator="ann", **others):
    return {
        "listing_id": listing_id,
        "annotator": annotator,
        "verdict": "match",
        "gpu_id": gpu,
        **others,
    }


def answers(store):
    with store.reading() as session:
        return {(a.listing_id, a.annotator): a for a in read_annotations(session)}


def listings(store):
    with store.reading() as session:
        return read_listings(session)


def dump(store):
    with store.reading() as session:
        return [
            session.rows("t", f"SELECT * FROM {name} ORDER BY ALL")
            for name in ("listings", "annotations", "registry_snapshots")
        ]


# names


@pytest.mark.parametrize(
    ("name", "model", "gpu_id"),
    [
        ("geforce-rtx-4060-ti-16gb-gddr6", "GeForce RTX 4060 Ti", "geforce-rtx-4060-ti-16gb-gddr6"),
        (" geforce-rtx-4060-8gb-gddr6 ", "GeForce RTX 4060", "geforce-rtx-4060-8gb-gddr6"),
        ("GeForce RTX 4060 Ti", "GeForce RTX 4060 Ti", None),
        ("geforce rtx4060TI", "GeForce RTX 4060 Ti", None),
        ("RTX 4060", "GeForce RTX 4060", "geforce-rtx-4060-8gb-gddr6"),
        ("RTX 4060 Ti 16GB", "GeForce RTX 4060 Ti", "geforce-rtx-4060-ti-16gb-gddr6"),
        ("RTX4060Ti 16 GB", "GeForce RTX 4060 Ti", "geforce-rtx-4060-ti-16gb-gddr6"),
        ("RTX 4060 Ti (8192 MB)", "GeForce RTX 4060 Ti", "geforce-rtx-4060-ti-8gb-gddr6"),
        ("4080S", "GeForce RTX 4080 SUPER", "geforce-rtx-4080-super-16gb-gddr6x"),
        ("RTX 4080 Super", "GeForce RTX 4080 SUPER", "geforce-rtx-4080-super-16gb-gddr6x"),
        ("P4-616", "GeForce GTX 1060", "geforce-gtx-1060-6gb-gddr5"),
        ("RTX 3080", "GeForce RTX 3080", None),
        ("RTX 3080 16GB", "GeForce RTX 3080", "geforce-rtx-3080-16gb-gddr6-mobile"),
        ("RTX 3080 mobile", "GeForce RTX 3080", "geforce-rtx-3080-16gb-gddr6-mobile"),
        ("RTX 3080 8 GB GDDR6 Max-Q", "GeForce RTX 3080", "geforce-rtx-3080-8gb-gddr6-max-q"),
        ("A100 80GB", "A100", "a100-80gb-hbm2e-sxm4"),
        ("NVIDIA A100", "A100", None),
        ("RTX 4000", "Quadro RTX 4000", "quadro-rtx-4000-8gb-gddr6"),
        ("RTX 4000 Ada Generation", "RTX 4000 Ada", "rtx-4000-ada-20gb-gddr6"),
    ],
)
def test_a_name_stands_for_a_model_and_if_it_says_so_for_a_variant(names, name, model, gpu_id):
    assert names.find(name) == NamedGpu(model, gpu_id)


def test_every_record_is_found_by_its_id_its_model_and_its_full_name(names, tiny_registry):
    for record in tiny_registry:
        assert names.find(record.gpu_id) == NamedGpu(record.model, record.gpu_id)
        assert names.find(record.model).model == record.model
        full = f"{record.model} {record.memory_gb:g}GB {record.memory_type} {record.form_factor}"
        assert names.find(full) == NamedGpu(record.model, record.gpu_id)


@pytest.mark.parametrize(
    "name", ["RTX 9999", "", " ", "16GB", "GeForce", "../../etc/passwd", HOSTILE, "x" * 1_000_000]
)
def test_unknown_names_are_errors_of_a_readable_length(names, name):
    with pytest.raises(InputError, match=r"no GPU of the registry is called .{2,90}$"):
        names.find(name)


def test_a_variant_that_the_model_lacks_is_an_error_that_lists_those_it_has(names):
    with pytest.raises(InputError, match=r"4060 Ti has no variant .* 8 GB GDDR6 PCIe, 16 GB GDDR6"):
        names.find("RTX 4060 Ti 24GB")


def test_a_size_without_a_form_means_a_card(make_gpu):
    names = GpuNames([make_gpu("GeForce RTX 1", 8), make_gpu("GeForce RTX 1", 8, form="mobile")])
    assert names.find("RTX 1 8GB").gpu_id == "geforce-rtx-1-8gb-gddr6"
    assert names.find("RTX 1").gpu_id is None
    assert names.find("RTX 1 8GB mobile").gpu_id == "geforce-rtx-1-8gb-gddr6-mobile"


def test_a_name_of_two_models_is_an_error_unless_one_fits_better(make_gpu):
    names = GpuNames(
        [
            make_gpu("GeForce FX 5500", 1),
            make_gpu("Quadro FX 5500", 1),
            make_gpu("Radeon HD 7970", 3),
            make_gpu("Radeon HD 7970 GHz Edition", 3),
        ]
    )
    with pytest.raises(InputError, match="'FX 5500' may be GeForce FX 5500 or Quadro FX 5500"):
        names.find("FX 5500")
    assert names.find("HD 7970").model == "Radeon HD 7970"
    assert names.find("HD 7970 GHz Edition").model == "Radeon HD 7970 GHz Edition"


def test_the_first_known_of_several_names_counts_and_hints_pick_its_variant(names):
    assert names.find_first(["RTX 9999", "RTX 4060 Ti"]) == NamedGpu("GeForce RTX 4060 Ti", None)
    found = names.find_first(["RTX 4060 Ti"], memory_gb=16.0)
    assert found.gpu_id == "geforce-rtx-4060-ti-16gb-gddr6"
    assert names.find_first(["RTX 4060 Ti"], memory_gb=12.0).gpu_id is None
    assert names.find_first(["RTX 3080"], form_factor="Max-Q").gpu_id == (
        "geforce-rtx-3080-8gb-gddr6-max-q"
    )
    with pytest.raises(InputError, match=r"'RTX 9998'.*'RTX 9999'"):
        names.find_first(["RTX 9998", "RTX 9999"])


# answers


def test_answers_are_added_with_the_gpus_their_names_stand_for(answer, with_listings):
    summary = answer(
        [
            match("a", "RTX 4060 Ti 16GB", note="sure", annotated_at="2026-01-02T03:04:05Z"),
            match("b", "RTX 4060 Ti", annotated_at="2026-01-02 05:04:05+02:00"),
            match("c", "", verdict="not_gpu", annotated_at="2026-01-02T03:04:05"),
            match("c", None, "bob", verdict="none_of_these", annotated_at="2026-01-02T03:04:05"),
        ]
    )
    assert summary == ImportSummary(added=4, unchanged=0, conflicts=0)
    sixteen = "geforce-rtx-4060-ti-16gb-gddr6"
    assert list(answers(with_listings).values()) == [
        Annotation(
            "a", "ann", Verdict.MATCH, sixteen, "GeForce RTX 4060 Ti", note="sure", annotated_at=AT
        ),
        Annotation("b", "ann", Verdict.MATCH, None, "GeForce RTX 4060 Ti", annotated_at=AT),
        Annotation("c", "ann", Verdict.NOT_GPU, annotated_at=AT),
        Annotation("c", "bob", Verdict.NONE_OF_THESE, annotated_at=AT),
    ]


def test_a_model_column_names_the_gpu_where_gpu_id_does_not(answer, with_listings):
    rows = [match("a", "", model="RTX 4060"), match("b", "4080S", model="GeForce RTX 4080 SUPER")]
    answer(rows)
    found = answers(with_listings)
    assert found["a", "ann"].gpu_id == "geforce-rtx-4060-8gb-gddr6"
    assert found["b", "ann"].gpu_id == "geforce-rtx-4080-super-16gb-gddr6x"
    with pytest.raises(
        FaultsError, match="gpu_id is a GeForce RTX 4060, model says GeForce RTX 4080"
    ):
        answer([match("c", "RTX 4060", model="RTX 4080")])


def test_the_registry_that_names_were_looked_up_in_is_kept(answer, with_listings, tiny_registry):
    answer([match("a")])
    answer([match("b")])
    with with_listings.reading() as session:
        count = "SELECT count(*) FROM registry_gpus WHERE registry_version = 'v1'"
        assert session.rows("count", count) == [(len(tiny_registry),)]


def test_an_answer_without_a_time_is_given_the_time_of_the_import(answer, with_listings):
    before = datetime.now(UTC).replace(tzinfo=None)
    answer([match("a"), match("b", annotated_at=None)])
    times = [item.annotated_at for item in answers(with_listings).values()]
    assert times[0] == times[1]
    assert before <= times[0] <= datetime.now(UTC).replace(tzinfo=None)


def test_the_same_file_again_changes_nothing(answer, with_listings):
    rows = [match("a"), match("b", "RTX 4060 Ti", "bob"), match("c", "", verdict="unsure")]
    assert answer(rows).added == 3
    before = dump(with_listings)
    for on_conflict in OnConflict:
        again = answer(rows, on_conflict=on_conflict)
        assert again == ImportSummary(added=0, unchanged=3, conflicts=0)
    assert dump(with_listings) == before


def test_columns_that_the_file_lacks_make_no_difference(answer, with_listings):
    stored = Annotation(
        "a", "ann", Verdict.NOT_GPU, shown=("g1",), model_version="m", note="box", annotated_at=AT
    )
    with with_listings.writing() as session:
        save_annotations(session, [stored])
    assert answer([match("a", "", verdict="not_gpu")]).unchanged == 1
    assert answers(with_listings)["a", "ann"] == stored


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"gpu_id": "RTX 4060 Ti"}, f"stored match {EIGHT_GB}, file match GeForce RTX 4060 Ti"),
        ({"gpu_id": "", "verdict": "unsure"}, f"stored match {EIGHT_GB}, file unsure"),
        ({"note": "other"}, "file the same with another note, time or origin"),
        ({"annotated_at": datetime(2026, 5, 5)}, "file the same with another note"),
    ],
)
def test_other_content_is_a_listed_conflict_and_nothing_is_written(
    answer, with_listings, change, told
):
    answer([match("a", note="first", annotated_at=AT)])
    before = dump(with_listings)
    rows = [
        match("b", note="", annotated_at=AT),
        {**match("a", note="first", annotated_at=AT), **change},
    ]
    with pytest.raises(FaultsError, match="nothing was written; --on-conflict keep") as raised:
        answer(rows)
    (fault,) = raised.value.faults
    assert fault.startswith("row 2: listing 'a' by 'ann': ")
    assert told in fault
    assert dump(with_listings) == before


def test_keep_leaves_stored_answers_and_writes_the_rest(answer, with_listings):
    answer([match("a")])
    summary = answer([match("a", "RTX 4080"), match("b")], on_conflict=OnConflict.KEEP)
    assert summary == ImportSummary(added=1, unchanged=0, conflicts=1)
    found = answers(with_listings)
    assert found["a", "ann"].model == "GeForce RTX 4060"
    assert found["b", "ann"].model == "GeForce RTX 4060"


def test_replace_overwrites_what_differs_whole_and_nothing_else(answer, with_listings):
    with with_listings.writing() as session:
        save_annotations(
            session,
            [
                Annotation(key, "ann", Verdict.UNSURE, None, None, ("g",), "m", annotated_at=AT)
                for key in "ab"
            ],
        )
    rows = [match("a"), match("b", "", verdict="unsure"), match("c")]
    summary = answer(rows, on_conflict=OnConflict.REPLACE)
    assert summary == ImportSummary(added=1, unchanged=1, conflicts=1)
    found = answers(with_listings)
    assert (found["a", "ann"].model, found["a", "ann"].shown) == ("GeForce RTX 4060", ())
    assert found["a", "ann"].model_version == ""
    assert (found["b", "ann"].shown, found["b", "ann"].annotated_at) == (("g",), AT)


def test_unknown_names_are_listed_all_at_once_with_their_rows(answer, with_listings):
    before = dump(with_listings)
    rows = [
        match("a", "RTX 9999"),
        match("b", "RTX 4060 Ti 24GB"),
        match("c", "RTX 9999"),
        match("c"),
    ]
    with pytest.raises(FaultsError, match=r"answers\.csv: 3 faults") as raised:
        answer(rows)
    assert raised.value.faults[0] == "rows 1 and 3: no GPU of the registry is called 'RTX 9999'"
    assert raised.value.faults[1].startswith("row 2: GeForce RTX 4060 Ti has no variant")
    assert raised.value.faults[2] == (
        "listing_id 'c' of annotator 'ann' stands in rows 3 and 4 with different content"
    )
    assert dump(with_listings) == before


def test_every_kind_of_fault_is_told_in_one_go(answer, with_listings):
    before = dump(with_listings)
    table = pa.Table.from_pylist(
        [
            match("nowhere"),
            match("a", "RTX 9999"),
            match("b", verdict="mach"),
            match(""),
            match("c"),
            match("c", "RTX 4080"),
            match("n"),
            match("m"),
            match("m", annotator="bob"),
        ]
    ).append_column("title", pa.array([None] * 6 + ["card", "a", "b"]))
    with pytest.raises(FaultsError, match="7 faults") as raised:
        answer(table.append_column("note", pa.array([1] * 9)))
    assert raised.value.faults == (
        "column 'note': expected text, found int64",
        "row 1: listing_id is not in the store and the row has no title, got 'nowhere'",
        "row 2: no GPU of the registry is called 'RTX 9999'",
        f"row 3: verdict must be one of {VERDICTS}, got 'mach'",
        "row 4: listing_id is empty",
        "listing_id 'c' of annotator 'ann' stands in rows 5 and 6 with different content",
        "listing_id 'm' stands in rows 8 and 9 with different content",
    )
    assert dump(with_listings) == before


def test_what_could_not_be_read_is_told_with_the_rest_and_has_no_faults_of_its_own(answer):
    table = pa.Table.from_pylist(
        [
            {**match(None), PLACE: 1},
            {**match("a", None), PLACE: 2},
            {**match("zz"), PLACE: 4},
        ]
    )
    file = Incoming(
        "answers.jsonl",
        table,
        "line",
        unread_rows=((1, "listing_id must be text"), (2, "gpu_id must be text"), (3, "no JSON")),
        unread_cells=((1, "listing_id"), (2, "gpu_id")),
    )
    with pytest.raises(FaultsError, match="4 faults") as raised:
        answer(file)
    assert raised.value.faults == (
        "line 1: listing_id must be text",
        "line 2: gpu_id must be text",
        "line 3: no JSON",
        "line 4: listing_id is not in the store and the row has no title, got 'zz'",
    )


def test_an_unknown_name_is_told_with_those_that_are_much_like_it(names):
    with pytest.raises(InputError, match=r"called '4060 ti'; is it GeForce RTX 4060 Ti\?$"):
        names.find("4060 ti")
    with pytest.raises(InputError, match=r"is it Radeon RX 6600 XT or Radeon RX 6600\?$"):
        names.find("RX 6600 XL")


def test_a_fault_of_many_rows_names_the_first_of_them(answer):
    rows = [match("a", "RTX 9999", f"ann{n}") for n in range(9)]
    with pytest.raises(FaultsError, match=r"rows 1, 2, 3, 4, 5 and 4 more: no GPU of the registry"):
        answer(rows)


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"verdict": "mach"}, f"verdict must be one of {VERDICTS}, got 'mach'"),
        ({"verdict": None}, f"verdict must be one of {VERDICTS}, got ''"),
        ({"verdict": HOSTILE}, 'got "\'; DROP TABLE listings; --"'),
        ({"gpu_id": ""}, "a match names no GPU in gpu_id or model"),
        ({"verdict": "unsure"}, "model but verdict is no match, got 'unsure'"),
        ({"annotator": ""}, "annotator is empty"),
        ({"listing_id": None}, "listing_id is empty"),
        ({"annotator": "x" * 1001}, "annotator is longer than 1000 characters, got 'xxx"),
        ({"annotated_at": "soon"}, "must be a time (2026-01-31T12:00:00Z) or empty, got 'soon'"),
        ({"annotated_at": "infinity"}, "annotated_at must be a time"),
        ({"annotated_at": "12026-01-01"}, "annotated_at must be a time"),
        ({"shown": "{"}, "shown must be a JSON list of text"),
        ({"shown": '["a", null]'}, "shown must be a JSON list of text"),
        ({"shown": ["a", None]}, "shown must be a JSON list of text"),
        ({"listing_id": "zz"}, "is not in the store and the row has no title, got 'zz'"),
    ],
)
def test_a_faulty_value_is_named_with_its_row(answer, with_listings, row, fault):
    before = dump(with_listings)
    with pytest.raises(FaultsError, match="row 1: ") as raised:
        answer([{**match("a"), **row}])
    assert any(fault in told for told in raised.value.faults), raised.value.faults
    assert dump(with_listings) == before


def test_the_same_answer_twice_in_a_file_is_fine_once(answer, with_listings):
    assert answer([match("a"), match("a"), match("b")]).added == 2
    with pytest.raises(
        FaultsError, match="listing_id 'a' of annotator 'ann' stands in rows 1 and 2 with different"
    ):
        answer([match("a"), match("a", "RTX 4080")])


def test_all_unknown_listings_are_reported_at_once(answer):
    rows = [match("zz"), match("yy"), match("a"), match("zz", annotator="bob")]
    with pytest.raises(FaultsError, match="2 faults") as raised:
        answer(rows)
    assert raised.value.faults == (
        "rows 1 and 4: listing_id is not in the store and the row has no title, got 'zz'",
        "row 2: listing_id is not in the store and the row has no title, got 'yy'",
    )


def test_listings_come_along_where_the_row_has_a_title(answer, with_listings):
    rows = [
        match("new", title="RTX 4060 Dual", vendor="Asus", price="199.5", shop="s", language="en"),
        match(
            "new",
            annotator="bob",
            title="RTX 4060 Dual",
            vendor="Asus",
            price="199.50",
            shop="s",
            language="en",
        ),
        match("a", title="another title than the stored one"),
        match("b", title=""),
    ]
    summary = answer(rows)
    assert summary == ImportSummary(4, 0, 0, listings_added=1, listings_differing=1)
    stored = {item.listing.listing_id: item for item in listings(with_listings)}
    assert stored["new"] == StoredListing(
        Listing("new", "RTX 4060 Dual", "Asus", "", 199.5), "s", "en"
    )
    assert stored["a"].listing.title == "card a"


def test_a_listing_that_comes_along_in_two_ways_is_a_fault(answer):
    with pytest.raises(
        FaultsError, match="listing_id 'n' stands in rows 1 and 2 with different content"
    ):
        answer([match("n", title="RTX 4060"), match("n", annotator="bob", title="RTX 4080")])


def test_who_answered_is_a_column_or_an_option(answer, with_listings):
    row = {"listing_id": "a", "verdict": "unsure"}
    with pytest.raises(
        InputError, match=r"expected a column 'annotator', found none; .*--annotator"
    ):
        answer([row])
    assert answer([row], annotator="carl").added == 1
    rows = [match("b", annotator=""), match("c", annotator="dora")]
    assert answer(rows, annotator="carl").added == 2
    assert set(answers(with_listings)) == {("a", "carl"), ("b", "carl"), ("c", "dora")}


def test_a_gold_file_is_a_file_of_answers(answer, with_listings):
    gold = [
        ("g1", "RTX 4060 Ti 16 gigs", "match", "RTX 9999; RTX 4060 Ti;RTX 4080", "16", ""),
        ("g2", "RTX 4060 Ti", "match", "RTX 4060 Ti", "", ""),
        ("g3", "a holder", "nil", "", "", ""),
        ("g4", "a card", "ambiguous", "RTX 4060;RTX 4080", "", ""),
        ("g5", "3080 Max-Q", "match", "RTX 3080", None, "Max-Q"),
    ]
    columns = ("listing_id", "title", "kind", "gold_models", "gold_memory_gb", "gold_form")
    rows = [dict(zip(columns, row, strict=True)) for row in gold]
    assert answer(rows, annotator="gold") == ImportSummary(5, 0, 0, listings_added=5)
    found = {key: item for (key, _), item in answers(with_listings).items()}
    assert found["g1"].gpu_id == "geforce-rtx-4060-ti-16gb-gddr6"
    assert (found["g2"].gpu_id, found["g2"].model) == (None, "GeForce RTX 4060 Ti")
    assert (found["g3"].verdict, found["g3"].note) == (Verdict.NOT_GPU, "nil")
    assert (found["g4"].verdict, found["g4"].model) == (Verdict.UNSURE, None)
    assert found["g5"].gpu_id == "geforce-rtx-3080-8gb-gddr6-max-q"
    assert answer(rows, annotator="gold") == ImportSummary(0, 5, 0)


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"kind": "mach"}, "kind must be one of match, nil, ambiguous, got 'mach'"),
        ({"gold_models": ""}, "a match names no GPU in gold_models"),
        ({"gold_models": "RTX 9999"}, "no GPU of the registry is called 'RTX 9999'"),
        ({"kind": "nil"}, "names a GPU in gold_models but kind is no match"),
        ({"gold_memory_gb": "lots"}, "gold_memory_gb must be a finite number or empty, got 'lots'"),
    ],
)
def test_faults_of_a_gold_file_speak_of_its_columns(answer, row, fault):
    base = {"listing_id": "a", "kind": "match", "gold_models": "RTX 4060", "gold_memory_gb": ""}
    with pytest.raises(FaultsError, match="row 1: ") as raised:
        answer([{**base, **row}], annotator="gold")
    assert any(fault in told for told in raised.value.faults), raised.value.faults


@pytest.mark.parametrize("missing", ["listing_id", "verdict"])
def test_a_missing_column_is_named_with_those_there_are(answer, missing):
    row = match("a")
    del row[missing]
    with pytest.raises(InputError, match=rf"missing {missing}, found annotator, gpu_id"):
        answer([row])


@pytest.mark.parametrize(
    ("column", "values", "told"),
    [
        ("verdict", pa.array([1]), "column 'verdict': expected text, found int64"),
        ("listing_id", pa.array([1.5]), "column 'listing_id': expected text or whole numbers"),
        ("note", pa.array([["a"]]), "column 'note': expected text, found list"),
        ("annotated_at", pa.array([5]), "column 'annotated_at': expected times"),
        ("annotated_at", pa.array([2**60], pa.timestamp("s")), "'annotated_at': expected times"),
        ("shown", pa.array([[1]]), "column 'shown': expected lists of text"),
        ("title", pa.array([b"x"]), "column 'title': expected text, found binary"),
        ("price", pa.array([True]), "column 'price': expected numbers, found bool"),
    ],
)
def test_columns_of_another_type_are_named(answer, column, values, told):
    table = pa.Table.from_pylist([match("a")])
    if column in table.column_names:
        table = table.drop_columns(column)
    with pytest.raises(FaultsError, match="1 fault") as raised:
        answer(table.append_column(column, values))
    assert told in raised.value.faults[0]


def test_typed_columns_are_read_as_what_they_are(answer, with_listings):
    table = pa.table(
        {
            "listing_id": pa.array([7, 8]),
            "title": pa.array(["x", "y"]).dictionary_encode(),
            "annotator": pa.array(["ann", "ann"], pa.large_string()),
            "verdict": pa.array(["match", "unsure"]).dictionary_encode(),
            "gpu_id": pa.array(["RTX 4060", None], pa.string_view()),
            "shown": pa.array([["g1", "g2"], None], pa.large_list(pa.large_string())),
            "note": pa.nulls(2),
            "price": pa.array([1, None], pa.int8()),
            "annotated_at": pa.array(
                [AT.replace(tzinfo=UTC)] * 2, pa.timestamp("ns", "Asia/Tokyo")
            ),
        }
    )
    assert answer(table).added == 2
    found = answers(with_listings)["7", "ann"]
    assert (found.shown, found.annotated_at, found.note) == (("g1", "g2"), AT, "")
    assert next(item for item in listings(with_listings) if item.listing.price == 1.0)


# listings


def test_listings_are_added_and_the_same_again_changes_nothing(store):
    rows = [
        {"listing_id": "a", "title": "RTX 4060", "price": 199.99, "shop": "s"},
        {"listing_id": HOSTILE, "title": HOSTILE, "price": None, "shop": None},
        {"listing_id": "../../etc", "title": "x" * 1_000_000, "price": 0.0, "shop": ""},
    ]
    assert import_listings(store, incoming(rows)) == ImportSummary(3, 0, 0)
    before = dump(store)
    assert import_listings(store, incoming(rows)) == ImportSummary(0, 3, 0)
    assert dump(store) == before
    assert listings(store) == [
        StoredListing(Listing(HOSTILE, HOSTILE)),
        StoredListing(Listing("../../etc", "x" * 1_000_000, price=0.0)),
        StoredListing(Listing("a", "RTX 4060", price=199.99), "s"),
    ]


def test_conflicting_listings_name_the_columns_that_differ(with_listings):
    before = dump(with_listings)
    rows = [{"listing_id": "a", "title": "other", "price": 1.0}, {"listing_id": "n", "title": "t"}]
    with pytest.raises(FaultsError, match="row 1: listing 'a': title, price"):
        import_listings(with_listings, incoming(rows))
    assert dump(with_listings) == before


def test_keep_and_replace_decide_about_listings(with_listings):
    with with_listings.writing() as session:
        save_listings(session, [StoredListing(Listing("a", "card a", "v", "d", 5.0), "shop", "en")])
    rows = incoming([{"listing_id": "a", "title": "new title"}, {"listing_id": "n", "title": "t"}])
    kept = import_listings(with_listings, rows, on_conflict=OnConflict.KEEP)
    assert kept == ImportSummary(added=1, unchanged=0, conflicts=1)
    assert listings(with_listings)[0].listing.title == "card a"
    replaced = import_listings(with_listings, rows, on_conflict=OnConflict.REPLACE)
    assert replaced == ImportSummary(added=0, unchanged=1, conflicts=1)
    assert listings(with_listings)[0] == StoredListing(
        Listing("a", "new title", "v", "d", 5.0), "shop", "en"
    )


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"title": ""}, "row 1: title is empty"),
        ({"listing_id": ""}, "row 1: listing_id is empty"),
        ({"listing_id": "x" * 1_000_000}, "row 1: listing_id is longer than 1000 characters"),
        ({"price": "cheap"}, "row 1: price must be a finite number or empty, got 'cheap'"),
        ({"price": float("nan")}, "row 1: price must be a finite number or empty, got 'nan'"),
        ({"price": float("inf")}, "row 1: price must be a finite number or empty, got 'inf'"),
        ({"price": "1e999"}, "row 1: price must be a finite number or empty, got '1e999'"),
    ],
)
def test_faulty_listings_are_named_and_make_no_store(store, row, fault):
    with pytest.raises(FaultsError, match="1 fault") as raised:
        import_listings(store, incoming([{"listing_id": "a", "title": "t", **row}]))
    assert fault in raised.value.faults[0]
    assert len(str(raised.value)) < 300
    assert not store.path.exists()


def test_a_listing_given_twice_with_other_content_is_a_fault(store):
    rows = [{"listing_id": "a", "title": t} for t in ("x", "y")]
    with pytest.raises(
        FaultsError, match="listing_id 'a' stands in rows 1 and 2 with different content"
    ):
        import_listings(store, incoming(rows))
    assert import_listings(store, incoming([rows[0], rows[0]])).added == 1


def test_files_without_rows_change_nothing(store):
    empty = pa.table({"listing_id": pa.array([], pa.string()), "title": pa.array([], pa.string())})
    assert import_listings(store, incoming(empty)) == ImportSummary(0, 0, 0)


def test_exports_give_what_imports_read(answer, with_listings):
    answer([match("b", "RTX 4060 Ti", shown=["g2", "g1"], annotated_at=AT), match("a")])
    with with_listings.reading() as session:
        answers_out = annotations_table(session)
        with_titles = annotations_table(session, with_listings=True)
        listings_out = listings_table(session)
    assert answers_out.column_names == [
        "listing_id",
        "annotator",
        "verdict",
        "gpu_id",
        "model",
        "shown",
        "model_version",
        "note",
        "annotated_at",
    ]
    assert answers_out.column("listing_id").to_pylist() == ["a", "b"]
    assert answers_out.to_pylist()[1]["shown"] == ["g2", "g1"]
    assert with_titles.column("title").to_pylist() == ["card a", "card b"]
    assert listings_out.column_names == [
        "listing_id",
        "title",
        "vendor",
        "description",
        "price",
        "shop",
        "language",
    ]
