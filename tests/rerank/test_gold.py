"""Gold files: names compare, faults are reported together, generated gold is of unseen models."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerank.evaluation.gold import (
    GoldKind,
    GoldListing,
    Split,
    bootstrap_gold,
    canonical_key,
    read_gold,
    split_of,
)
from rerank.index.errors import FaultsError, InputError
from rerank.index.records import GpuRecord, Listing, shipped
from rerank.packs.gpu.registry import load_registry

HEADER = "listing_id,title,vendor,kind,gold_models,gold_memory_gb,gold_form"
SEED = 31


def write(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "gold.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


# --- names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("NVIDIA Tesla T4", "T4"),
        ("RTX 6000 Ada Generation", "RTX 6000 Ada"),
        ("Quadro RTX 4000", "rtx 4000"),
        ("AMD Radeon RX 6600 XT", "RX 6600 XT"),
        ("GeForce RTX 3060 (LHR)", "GeForce RTX 3060"),
        ("Intel Arc A770 Graphics", "Arc A770"),
    ],
)
def test_spellings_of_one_model_are_equal(one: str, other: str):
    assert canonical_key(one) == canonical_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("GeForce RTX 4060", "GeForce RTX 4060 Ti"),
        ("RTX 4000 Ada", "Quadro RTX 4000"),
        ("RTX 4000 SFF Ada", "RTX 4000 Ada"),
        ("GeForce 6800", "Radeon RX 6800"),
        ("GeForce 9800 GTX", "GeForce 9800 GTX+"),
        ("Radeon RX 7900 XT", "Radeon RX 7900 XTX"),
    ],
)
def test_models_are_told_apart(one: str, other: str):
    assert canonical_key(one) != canonical_key(other)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_keys_are_stable(name: str):
    key = canonical_key(name)
    assert canonical_key(key) == key
    assert key == key.strip().lower()


# --- reading --------------------------------------------------------------------------------


def test_reads_every_kind(tmp_path: Path):
    path = write(
        tmp_path,
        '1,"RTX 4500, used",PNY,match,RTX 4500 Ada; RTX PRO 4500 Blackwell,24,PCIe',
        "2,a bracket,,nil,,,",
        "3,4000 card,,ambiguous,RTX 4000 Ada;Quadro RTX 4000,,",
    )
    assert read_gold(path) == [
        GoldListing(
            "1",
            "RTX 4500, used",
            "PNY",
            GoldKind.MATCH,
            ("RTX 4500 Ada", "RTX PRO 4500 Blackwell"),
            24.0,
            "PCIe",
        ),
        GoldListing("2", "a bracket", "", GoldKind.NIL),
        GoldListing("3", "4000 card", "", GoldKind.AMBIGUOUS, ("RTX 4000 Ada", "Quadro RTX 4000")),
    ]


def test_columns_come_in_any_order_and_others_are_ignored(tmp_path: Path):
    header = "trap,gold_form,gold_memory_gb,gold_models,kind,vendor,title,listing_id,description"
    path = write(tmp_path, "slang,,,T4,match,,tesla t4,7,as new", header=header)
    assert [item.listing for item in read_gold(path)] == [Listing("7", "tesla t4", "", "as new")]


def test_a_byte_order_mark_is_no_part_of_a_column(tmp_path: Path):
    path = tmp_path / "gold.csv"
    path.write_text(f"\ufeff{HEADER}\n1,x,,nil,,,\n", encoding="utf-8")
    assert len(read_gold(path)) == 1


def test_all_faults_are_reported_at_once_with_their_lines(tmp_path: Path):
    path = write(
        tmp_path,
        "1,fine,,nil,,,",
        "2,x,,maybe,,,",
        "3,x,,match,,,",
        "4,x,,nil,T4,,",
        "5,x,,match,T4,eight,",
        "6,x,,match,T4,-8,",
        "7,x,,match,NVIDIA,,",
        "8,x,,nil",
        "9,x,,nil,,,,surplus",
        ",x,,nil,,,",
        "1,again,,nil,,,",
    )
    with pytest.raises(FaultsError, match=r"gold\.csv: 10 faults") as caught:
        read_gold(path)
    assert caught.value.faults == (
        "line 3: kind must be match, nil or ambiguous, got 'maybe'",
        "line 4: a match names no gold_models",
        "line 5: a nil listing names gold_models 'T4'",
        "line 6: gold_memory_gb must be a number above 0, got 'eight'",
        "line 7: gold_memory_gb must be a number above 0, got '-8'",
        "line 8: gold_models names no GPU: 'NVIDIA'",
        "line 9: has another number of fields than the header",
        "line 10: has another number of fields than the header",
        "line 11: listing_id is empty",
        "line 12: listing_id '1' stands in line 2 already",
    )


def test_a_quote_that_is_never_closed_swallows_no_rows(tmp_path: Path):
    path = write(tmp_path, '1,"RTX 3080,,nil,,,', "2,x,,nil,,,")
    with pytest.raises(InputError, match="line 2: a quote that opens a cell swallows the lines"):
        read_gold(path)


def test_missing_columns_are_named(tmp_path: Path):
    path = write(tmp_path, "1,x", header="listing_id,title")
    message = r"missing vendor, kind, gold_models, .*; found listing_id, title"
    with pytest.raises(InputError, match=message):
        read_gold(path)


def test_of_long_names_and_many_the_beginning_is_shown(tmp_path: Path):
    path = write(tmp_path, "1", header=",".join(["x" * 100_000, *"abcdefghijklmnopqrstuvw"]))
    with pytest.raises(InputError, match=r"found x{60}\.\.\., a, .*, s, \.\.\.$"):
        read_gold(path)


def test_an_empty_file_has_no_columns(tmp_path: Path):
    path = tmp_path / "gold.csv"
    path.touch()
    with pytest.raises(InputError, match="found nothing"):
        read_gold(path)


def test_a_header_alone_is_no_gold(tmp_path: Path):
    with pytest.raises(InputError, match="at least one listing"):
        read_gold(write(tmp_path))


def test_unreadable_files_are_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"absent.csv: cannot be read: No such file"):
        read_gold(tmp_path / "absent.csv")
    path = tmp_path / "gold.csv"
    path.write_bytes(HEADER.encode() + b"\n1,\xff\xfe\xfa,,nil,,,\n")
    with pytest.raises(InputError, match=r"line 2: expected UTF-8 text, found 0xff; save the file"):
        read_gold(path)


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_a_gold_file_of_another_format_is_told_to_be_csv(tmp_path: Path, ending: str):
    path = tmp_path / f"gold.{ending}"
    path.write_bytes(b"PAR1\xff")
    with pytest.raises(InputError, match=rf"gold files are CSV, found a name ending in \.{ending}"):
        read_gold(path)


@pytest.fixture(scope="module")
def registry() -> list[GpuRecord]:
    return load_registry(shipped("registry"))


def test_the_shipped_hard_set_is_sound():
    gold = read_gold(shipped("hard_set.csv"))
    kinds = [item.kind for item in gold]
    assert (len(gold), kinds.count(GoldKind.MATCH), kinds.count(GoldKind.NIL)) == (360, 192, 168)


def test_the_hard_set_asks_for_models_and_sizes_that_the_registry_has(registry: list[GpuRecord]):
    sizes: dict[str, set[float]] = {}
    for record in registry:
        sizes.setdefault(canonical_key(record.model), set()).add(record.memory_gb)
    for item in read_gold(shipped("hard_set.csv")):
        keys = [canonical_key(model) for model in item.gold_models]
        assert sizes.keys() >= set(keys), item
        if item.gold_memory_gb is not None:
            assert any(item.gold_memory_gb in sizes[key] for key in keys), item


# --- generated gold -------------------------------------------------------------------------


def test_generated_gold_is_of_unseen_models(registry: list[GpuRecord]):
    gold = bootstrap_gold(registry, 400, SEED)
    matches = [item for item in gold if item.kind is GoldKind.MATCH]
    assert len(gold) == 400
    assert len(matches) == pytest.approx(260, abs=40)
    assert {split_of(model) for item in matches for model in item.gold_models} == {Split.TEST}
    assert all(not item.gold_models for item in gold if item.kind is GoldKind.NIL)


def test_generated_gold_states_what_its_titles_state(registry: list[GpuRecord]):
    sizes = {(record.model, record.memory_gb) for record in registry}
    matches = [g for g in bootstrap_gold(registry, 400, SEED) if g.kind is GoldKind.MATCH]
    stated = [item for item in matches if item.gold_memory_gb is not None]
    assert len(matches) > len(stated) > 0
    assert all((item.gold_models[0], item.gold_memory_gb) in sizes for item in stated)


def test_generated_gold_repeats_with_its_seed(registry: list[GpuRecord]):
    assert bootstrap_gold(registry, 40, SEED) == bootstrap_gold(registry, 40, SEED)
    assert bootstrap_gold(registry, 40, SEED) != bootstrap_gold(registry, 40, SEED + 1)


def test_a_registry_without_unseen_models_is_an_error(registry: list[GpuRecord]):
    seen = [record for record in registry if split_of(record.model) is not Split.TEST][:5]
    with pytest.raises(InputError, match="no models for the test split"):
        bootstrap_gold(seen, 10, SEED)
