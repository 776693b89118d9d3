"""The registry: what ships, every fault at once with its place, three file formats, one content."""

from __future__ import annotations

import csv
import random
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rerank.index.errors import FaultsError, InputError
from rerank.index.records import (
    FORM_FACTORS,
    GpuRecord,
    read_records,
    registry_fingerprint,
    shipped,
    write_records,
)
from rerank.index.text import squash
from rerank.packs.gpu.naming import catalogue_name
from rerank.packs.gpu.registry import (
    VENDORS,
    gpu_slug,
    load_registry,
)

GOOD = """\
vendor: NVIDIA
families:
  - generation: GeForce 40
    line: GeForce
    models:
      - {name: GeForce RTX 4060 Ti, chip: AD106, year: 2023, variants: [8GB GDDR6, 16GB GDDR6]}
      - {name: GeForce RTX 4080 SUPER, chip: [AD103], year: 2024, variants: [16GB GDDR6X],
         aliases: [4080S], part_numbers: [ZT-D40820]}
      - {name: GeForce 210, year: 2009, variants: [512MB DDR3, 1GB DDR3 MXM]}
"""
MODEL = "vendor: NVIDIA\nfamilies:\n  - generation: g\n    line: l\n    models:\n"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def faults_of(source: Path) -> list[str]:
    with pytest.raises(FaultsError, match=r"registry .*: \d+ faults?") as caught:
        load_registry(source)
    return list(caught.value.faults)


def write_csv(folder: Path, rows: list[dict[str, Any]], name: str = "gpus.csv") -> Path:
    path = folder / name
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_parquet(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "gpus.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


ROW = {"model": "GeForce RTX 3080", "vendor": "NVIDIA", "memory_gb": 10, "memory_type": "GDDR6X"}


# --- what ships ---


@pytest.fixture(scope="module")
def shipped_records() -> list[GpuRecord]:
    return load_registry(shipped("registry"))


def test_the_shipped_registry_is_large_and_its_ids_are_unique(
    shipped_records: list[GpuRecord],
) -> None:
    assert len({record.model for record in shipped_records}) >= 1000
    assert len(shipped_records) >= 1600
    assert len({record.gpu_id for record in shipped_records}) == len(shipped_records)


def test_the_shipped_records_are_well_formed(shipped_records: list[GpuRecord]) -> None:
    for record in shipped_records:
        assert re.fullmatch(r"[a-z0-9.]+(-[a-z0-9.]+)*", record.gpu_id), record
        assert record.vendor in VENDORS
        assert record.form_factor in FORM_FACTORS
        assert (0 < record.memory_gb <= 1024) is record.sold_apart, record
        assert (record.form_factor == "integrated") is not record.sold_apart, record
        assert 1995 <= record.release_year <= 2026, record
        assert not record.model.startswith(record.vendor), record
        assert record.line, record
        assert record.generation, record


def test_the_shipped_models_have_names_of_their_own(shipped_records: list[GpuRecord]) -> None:
    by_name: dict[str, set[str]] = {}
    for record in shipped_records:
        by_name.setdefault(squash(record.model), set()).add(record.model)
    assert [names for names in by_name.values() if len(names) > 1] == []
    assert {record.vendor for record in shipped_records} == set(VENDORS)


@pytest.mark.parametrize(
    "gpu_id",
    [
        "geforce-rtx-4060-ti-16gb-gddr6",
        "radeon-rx-9070-xt-16gb-gddr6",
        "arc-a770-16gb-gddr6",
        "geforce-rtx-5090-32gb-gddr7",
        "radeon-hd-7870-2gb-gddr5",
        "rtx-6000-ada-48gb-gddr6",
    ],
)
def test_known_ids_are_stable(gpu_id: str, shipped_records: list[GpuRecord]) -> None:
    assert gpu_id in {record.gpu_id for record in shipped_records}


def test_the_commonest_variant_of_a_model_stands_first(shipped_records: list[GpuRecord]) -> None:
    variants: dict[str, list[GpuRecord]] = {}
    for record in shipped_records:
        variants.setdefault(record.model, []).append(record)
    for model, records in variants.items():
        assert not records[0].rare, model
        assert [r.rare for r in records] == sorted(r.rare for r in records), model
        told = [r for r in records if not r.rare]
        if any(r.form_factor == "workstation" for r in told):
            continue  # Max-Q is the name of a desktop card there
        mobile = [r.form_factor in ("mobile", "Max-Q") for r in told if r.form_factor != "MXM"]
        assert mobile == sorted(mobile), model


@pytest.mark.parametrize(
    ("model", "memory_gb"),
    [
        ("GeForce RTX 4090", 24),
        ("GeForce RTX 2080 Ti", 11),
        ("GeForce RTX 3080", 10),
        ("GeForce RTX 3060", 12),
        ("GeForce RTX 3050", 8),
        ("GeForce GTX 1060", 6),
        ("GeForce GTX 960", 2),
        ("GeForce GTX 770", 2),
        ("GeForce GT 730", 2),
        ("GeForce GT 710", 2),
        ("Radeon RX 470", 4),
        ("Radeon RX 480", 8),
        ("Radeon RX 570", 4),
        ("Radeon RX 580", 8),
        ("Radeon RX 5500 XT", 8),
        ("Tesla K80", 24),
        ("Tesla P100", 16),
        ("Tesla V100", 16),
        ("A100", 80),
        ("H100", 80),
    ],
)
def test_what_a_bare_name_means(
    model: str, memory_gb: float, shipped_records: list[GpuRecord]
) -> None:
    first = next(record for record in shipped_records if record.model == model)
    assert (first.memory_gb, first.form_factor) == (memory_gb, "PCIe")


@pytest.mark.parametrize("model", ["Millennium G450", "Millennium G550", "M9120", "M9138", "M9148"])
def test_display_cards_are_known_and_held(model: str, shipped_records: list[GpuRecord]) -> None:
    found = [record for record in shipped_records if record.model == model]
    assert found
    assert all((record.vendor, record.held) == ("Matrox", True) for record in found)


# --- YAML ---


def test_a_family_may_be_held_for_a_person(tmp_path: Path) -> None:
    line = "      - {name: RTX 1, year: 2020, variants: [8GB GDDR6, 4GB GDDR6]}\n"
    family = MODEL.replace("    models:", "    held: true\n    models:") + line
    assert [r.held for r in load_registry(write(tmp_path, "r.yaml", family))] == [True, True]
    records = load_registry(write(tmp_path, "r.yaml", MODEL + line))
    assert not any(record.held for record in records)
    words = family.replace("held: true", "held: maybe")
    assert faults_of(write(tmp_path, "r.yaml", words)) == [
        f"{tmp_path / 'r.yaml'}:3: held must be true or false, got 'maybe'"
    ]
    path = write_csv(tmp_path, [{**ROW, "held": "yes"}])
    assert load_registry(path)[0].held


def test_a_variant_may_be_rare_and_a_family_not_sold_apart(tmp_path: Path) -> None:
    variants = "8GB GDDR6, 16GB GDDR6 mobile rare, 22GB GDDR6 rare"
    line = f"      - {{name: RTX 1, year: 2020, variants: [{variants}]}}\n"
    records = load_registry(write(tmp_path, "r.yaml", MODEL + line))
    told = [(r.memory_gb, r.form_factor, r.rare, r.sold_apart) for r in records]
    assert told == [
        (8, "PCIe", False, True),
        (16, "mobile", True, True),
        (22, "PCIe", True, True),
    ]
    family = MODEL.replace("    models:", "    sold_apart: false\n    models:")
    inside = "      - {name: RTX 1, year: 2020}\n"
    records = load_registry(write(tmp_path, "r.yaml", family + inside))
    (record,) = records
    assert (record.gpu_id, record.sold_apart) == ("rtx-1-shared-integrated", False)
    assert (record.memory_gb, record.form_factor) == (0, "integrated")
    words = family.replace("sold_apart: false", "sold_apart: never")
    assert faults_of(write(tmp_path, "r.yaml", words + line)) == [
        f"{tmp_path / 'r.yaml'}:3: sold_apart must be true or false, got 'never'"
    ]
    (fault,) = faults_of(write(tmp_path, "r.yaml", family + line))
    assert fault.startswith(f"{tmp_path / 'r.yaml'}:7: unknown keys variants; allowed: ")


def test_a_yaml_file_gives_its_records_in_order(tmp_path: Path) -> None:
    records = load_registry(write(tmp_path, "r.yaml", GOOD))
    assert [record.gpu_id for record in records] == [
        "geforce-rtx-4060-ti-8gb-gddr6",
        "geforce-rtx-4060-ti-16gb-gddr6",
        "geforce-rtx-4080-super-16gb-gddr6x",
        "geforce-210-512mb-ddr3",
        "geforce-210-1gb-ddr3-mxm",
    ]
    assert records[2] == GpuRecord(
        "geforce-rtx-4080-super-16gb-gddr6x",
        "GeForce RTX 4080 SUPER",
        "NVIDIA",
        "GeForce",
        "GeForce 40",
        16.0,
        "GDDR6X",
        "PCIe",
        2024,
        ("AD103",),
        ("4080S",),
        ("ZT-D40820",),
    )
    assert (records[3].memory_gb, records[4].form_factor) == (0.5, "MXM")
    assert records[0].codenames == ("AD106",)


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    write(tmp_path, "b.yml", MODEL + "      - {name: RTX 2, year: 2020, variants: [1GB GDDR6]}\n")
    write(tmp_path, "a.yaml", MODEL + "      - {name: RTX 1, year: 2020, variants: [1GB GDDR6]}\n")
    write(tmp_path, "notes.txt", "not a registry")
    assert [record.model for record in load_registry(tmp_path)] == ["RTX 1", "RTX 2"]


def test_every_kind_of_fault_is_reported_at_once_with_file_and_line(tmp_path: Path) -> None:
    faulty = write(
        tmp_path,
        "faulty.yaml",
        """\
vendor: NVIDIA
colour: green
families:
  - generation: g
    line: l
    shape: round
    models:
      - {name: RTX 1, year: 2020, variants: [1GB GDDR6], speed: 3}
      - {name: RTX 2, variants: [1GB GDDR6]}
      - {name: RTX 3, year: 2020, variants: [1 gigabyte, 2GB GDDR6 brick, 4GB GDDR6]}
      - {name: RTX 4, year: 1889, variants: [1GB GDDR6]}
      - {name: 4090, year: 2020, variants: [1GB GDDR6]}
      - {name: RTX 5, year: 2020, variants: []}
      - RTX 6
      - {name: RTX 7, year: 2020, variants: [1GB GDDR6], aliases: [RTX-3]}
      - {name: RTX 1, year: 2020, variants: [1GB GDDR6]}
  - line: l
    models: []
  - generation: h
""",
    )
    other = write(tmp_path, "vendor.yaml", GOOD.replace("NVIDIA", "3dfx"))
    broken = write(tmp_path, "broken.yaml", "vendor: [unclosed")
    faults = faults_of(tmp_path)
    expected = [
        (f"{broken}", "not readable as YAML"),
        (f"{faulty}:", "unknown keys colour; allowed: families, vendor"),
        (f"{faulty}:4:", "unknown keys shape"),
        (f"{faulty}:8:", "unknown keys speed; allowed: aliases, chip, name, part_numbers"),
        (f"{faulty}:9:", "missing year"),
        (f"{faulty}:10:", "got '1 gigabyte'"),
        (f"{faulty}:10:", "got '2GB GDDR6 brick'"),
        (f"{faulty}:11:", "year must be 1990-2100, got 1889"),
        (f"{faulty}:12:", "name must be text, got 4090"),
        (f"{faulty}:13:", "'variants' must be a list with at least one entry"),
        (f"{faulty}:4:", "a model must be a mapping, got 'RTX 6'"),
        (f"{faulty}:17:", "missing generation"),
        (f"{faulty}:", "each family needs a list 'models'"),
        (f"{other}:", "vendor must be one of NVIDIA, AMD, Intel, Matrox, got '3dfx'"),
        (f"{faulty}:16:", f"gpu_id 'rtx-1-1gb-gddr6' stands already at {faulty}:8"),
        (f"{faulty}:15:", f"alias 'RTX-3' of RTX 7 belongs to RTX 3 ({faulty}:10)"),
    ]
    for place, text in expected:
        assert any(fault.startswith(place) and text in fault for fault in faults), (place, text)
    assert len(faults) == len(expected), faults


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vendor: NVIDIA\n  families: []", ":2: not readable as YAML: mapping values are not"),
        ("vendor: \x01", ": not readable as YAML: (control|special) characters are not"),
        ("vendor: NVIDIA\nyear: 2020-99-99", ": not readable as YAML: month must be in 1"),
    ],
    ids=["syntax", "character", "date"],
)
def test_yaml_that_cannot_be_read_is_one_line_with_its_place(
    tmp_path: Path, text: str, expected: str
) -> None:
    path = write(tmp_path, "broken.yaml", text)
    (fault,) = faults_of(tmp_path)
    assert re.match(f"{re.escape(str(path))}{expected}", fault), fault
    assert "\n" not in fault
    assert "<" not in fault


def test_an_alias_may_not_be_two_models_alias(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "r.yaml",
        MODEL
        + "      - {name: RTX 1, year: 2020, variants: [1GB GDDR6, 2GB GDDR6], aliases: [Turbo]}\n"
        + "      - {name: RTX 2, year: 2020, variants: [1GB GDDR6], part_numbers: [tur-bo]}\n",
    )
    assert faults_of(path) == [f"{path}:7: alias 'tur-bo' of RTX 2 belongs to RTX 1 ({path}:6)"]


def test_an_alias_of_ones_own_is_no_collision(tmp_path: Path) -> None:
    line = "      - {name: RTX 1, year: 2020, variants: [1GB GDDR6, 2GB GDDR6], aliases: [RTX1]}\n"
    assert len(load_registry(write(tmp_path, "r.yaml", MODEL + line))) == 2


def test_a_long_list_of_faults_is_counted_but_not_printed_whole(tmp_path: Path) -> None:
    lines = "".join(f"      - {{name: RTX {n}, year: 2020}}\n" for n in range(50))
    with pytest.raises(FaultsError, match=r"50 faults(.|\n)*\.\.\. and 30 more") as caught:
        load_registry(write(tmp_path, "r.yaml", MODEL + lines))
    assert len(caught.value.faults) == 50
    assert len(str(caught.value).splitlines()) == 22


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("empty.yaml", "", "expected the keys 'vendor' and 'families'"),
        ("list.yaml", "[1, 2]", "expected the keys 'vendor' and 'families'"),
        ("none.yaml", "vendor: AMD\nfamilies: []\n", "at least one GPU, found none"),
        ("empty.csv", "", "at least one GPU, found none"),
        ("header.csv", "model,vendor,memory_gb,memory_type\n", "at least one GPU, found none"),
        ("bad.parquet", "PAR1 no", "not readable as parquet"),
        ("gpus.json", "{}", "expected .yaml, .csv or .parquet, got '.json'"),
    ],
)
def test_files_with_nothing_to_read_say_so(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    path = write(tmp_path, name, text)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        load_registry(path)
    assert str(path) in str(caught.value)


def test_missing_places_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent: no such file or folder"):
        load_registry(tmp_path / "absent")
    with pytest.raises(InputError, match=r"expected \.yaml files in this folder, found none"):
        load_registry(tmp_path)


# --- tables ---

TABLE = [
    {**ROW, "release_year": 2020, "aliases": "3080OG;Thirty Eighty", "codenames": "GA102"},
    {**ROW, "memory_gb": 16, "memory_type": "GDDR6", "form_factor": "mobile", "gpu_id": "my-id"},
    {
        "model": "Radeon HD 7970",
        "vendor": "AMD",
        "memory_gb": 3,
        "memory_type": "GDDR5",
        "line": "Radeon",
        "generation": "HD 7000",
        "part_numbers": "21197; 11197-01",
    },
]


@pytest.mark.parametrize("writer", [write_csv, write_parquet], ids=["csv", "parquet"])
def test_a_table_gives_the_same_records(
    tmp_path: Path, writer: Callable[[Path, list[dict[str, Any]]], Path]
) -> None:
    columns = list(dict.fromkeys(key for row in TABLE for key in row))
    rows = [{column: row.get(column) for column in columns} for row in TABLE]
    assert load_registry(writer(tmp_path, rows)) == [
        GpuRecord(
            "geforce-rtx-3080-10gb-gddr6x",
            "GeForce RTX 3080",
            "NVIDIA",
            "",
            "",
            10.0,
            "GDDR6X",
            "PCIe",
            2020,
            ("GA102",),
            ("3080OG", "Thirty Eighty"),
            (),
        ),
        GpuRecord(
            "my-id",
            "GeForce RTX 3080",
            "NVIDIA",
            "",
            "",
            16.0,
            "GDDR6",
            "mobile",
            0,
        ),
        GpuRecord(
            "radeon-hd-7970-3gb-gddr5",
            "Radeon HD 7970",
            "AMD",
            "Radeon",
            "HD 7000",
            3.0,
            "GDDR5",
            "PCIe",
            0,
            (),
            (),
            ("21197", "11197-01"),
        ),
    ]


@pytest.mark.parametrize(
    ("value", "rare"), [("true", True), ("Yes", True), ("1", True), ("FALSE", False), ("0", False)]
)
def test_a_table_says_what_is_rare(tmp_path: Path, value: str, rare: bool) -> None:
    assert load_registry(write_csv(tmp_path, [{**ROW, "rare": value}]))[0].rare is rare
    path = write_parquet(tmp_path, [{**ROW, "rare": rare, "sold_apart": not rare}])
    assert load_registry(path)[0].rare is rare
    assert load_registry(path)[0].sold_apart is not rare


def test_a_flag_that_is_neither_true_nor_false_is_a_fault(tmp_path: Path) -> None:
    path = write_csv(tmp_path, [{**ROW, "rare": "a bit"}])
    assert faults_of(path) == [f"{path}:2: rare must be true or false, got 'a bit'"]


def test_parquet_lists_are_read_as_lists(tmp_path: Path) -> None:
    path = write_parquet(tmp_path, [{**ROW, "aliases": ["a;b", "c"], "codenames": []}])
    assert load_registry(path)[0].aliases == ("a;b", "c")


def test_every_fault_of_a_table_is_reported_with_its_row(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path,
        [
            ROW,
            {**ROW, "memory_gb": "ten"},
            {**ROW, "model": ""},
            {**ROW, "vendor": "ASUS", "memory_gb": -1, "form_factor": "brick"},
            {**ROW, "model": "***"},
            ROW,
            {**ROW, "memory_gb": "nan"},
            {**ROW, "memory_gb": 12, "release_year": "soon"},
            {**ROW, "model": "RTX 1", "aliases": "geforce rtx3080"},
        ],
    )
    faults = faults_of(path)
    expected = [
        (3, "memory_gb must be a number of GB, got 'ten'"),
        (4, "missing model"),
        (5, "memory_gb must be 0.001-2048 GB (or with a unit, as '512 MB'), got -1.0"),
        (5, "vendor must be one of NVIDIA, AMD, Intel, Matrox, got 'ASUS'"),
        (5, "form_factor must be one of"),
        (6, "model must hold letters or digits, got '***'"),
        (8, "memory_gb must be 0.001-2048 GB"),
        (9, "release_year must be a number, got 'soon'"),
        (7, f"gpu_id 'geforce-rtx-3080-10gb-gddr6x' stands already at {path}:2"),
        (10, f"alias 'geforce rtx3080' of RTX 1 belongs to GeForce RTX 3080 ({path}:2)"),
    ]
    for row, text in expected:
        assert any(f.startswith(f"{path}:{row}: ") and text in f for f in faults), (row, text)
    assert len(faults) == len(expected), faults


@pytest.mark.parametrize("writer", [write_csv, write_parquet], ids=["csv", "parquet"])
def test_missing_and_misspelled_columns_are_named_together(
    tmp_path: Path, writer: Callable[[Path, list[dict[str, Any]]], Path]
) -> None:
    path = writer(tmp_path, [{"model": "RTX 1", "vendor": "NVIDIA", "memory": 3, "price": 4}])
    assert faults_of(path) == [
        f"{path}: column 'memory': did you mean 'memory_gb'? Call it so, or otherwise",
        f"{path}: columns missing: memory_gb, memory_type; found: model, vendor, memory, price",
    ]


# --- catalogues as people have them ---


@pytest.mark.parametrize(
    ("size", "memory_gb"),
    [
        ("12GB", 12),
        ("12 GB", 12),
        ("12288 MB", 12),
        ("12,288 MB", 12),
        ("12288MiB", 12),
        ("12", 12),
        (" 12 gb ", 12),
        ("1,5 GB", 1.5),
        ("512mb", 0.5),
        ("16M", 0.015625),
    ],
)
def test_sizes_are_understood_with_their_units(tmp_path: Path, size: str, memory_gb: float) -> None:
    (record,) = load_registry(write_csv(tmp_path, [{**ROW, "memory_gb": size}]))
    assert record.memory_gb == memory_gb


@pytest.mark.parametrize("size", ["1.6e-05", "0", "-8", "9999", "12884901888", "0 MB", "12288"])
def test_sizes_no_card_has_are_faults(tmp_path: Path, size: str) -> None:
    (fault,) = faults_of(write_csv(tmp_path, [{**ROW, "memory_gb": size}]))
    assert "memory_gb must be 0.001-2048 GB (or with a unit, as '512 MB'), got " in fault


@pytest.mark.parametrize("size", ["much", "12 TBC", "8-16", "12 GB or 8 GB", "twelve"])
def test_sizes_that_are_none_are_faults(tmp_path: Path, size: str) -> None:
    (fault,) = faults_of(write_csv(tmp_path, [{**ROW, "memory_gb": size}]))
    assert fault.endswith(f"memory_gb must be a number of GB, got {size!r}")


@pytest.mark.parametrize(
    ("written", "vendor"),
    [
        ("nvidia", "NVIDIA"),
        ("Nvidia Corporation", "NVIDIA"),
        ("NVIDIA Corp.", "NVIDIA"),
        ("ATI", "AMD"),
        ("AMD/ATI", "AMD"),
        ("ATI Technologies Inc.", "AMD"),
        ("Advanced Micro Devices, Inc. [AMD/ATI]", "AMD"),
        ("intel", "Intel"),
        ("Intel Corporation", "Intel"),
        ("matrox", "Matrox"),
        ("Matrox Graphics Inc.", "Matrox"),
    ],
)
def test_chip_vendors_are_understood(tmp_path: Path, written: str, vendor: str) -> None:
    assert load_registry(write_csv(tmp_path, [{**ROW, "vendor": written}]))[0].vendor == vendor
    text = GOOD.replace("vendor: NVIDIA", f'vendor: "{written}"')
    assert load_registry(write(tmp_path, "r.yaml", text))[0].vendor == vendor


@pytest.mark.parametrize("written", ["ASUS", "Graphics Inc.", "nvidia or amd", "GeForce"])
def test_other_vendors_are_faults(tmp_path: Path, written: str) -> None:
    (fault,) = faults_of(write_csv(tmp_path, [{**ROW, "vendor": written}]))
    assert fault.endswith(f"vendor must be one of NVIDIA, AMD, Intel, Matrox, got {written!r}")


@pytest.mark.parametrize(
    ("cells", "gpu_id"),
    [
        ({"model": "GeForce RTX 3060 12GB"}, "geforce-rtx-3060-12gb-gddr6"),
        ({"model": "NVIDIA GeForce RTX 3060 12GB"}, "geforce-rtx-3060-12gb-gddr6"),
        ({"model": "RTX 4060 Ti 16 GB"}, "rtx-4060-ti-16gb-gddr6"),
        ({"model": "GTX 1060 3GB/6GB", "memory_gb": "3"}, "gtx-1060-3gb-gddr6"),
        ({"model": "RTX 4070 Laptop GPU", "memory_gb": 8}, "rtx-4070-8gb-gddr6-mobile"),
        ({"model": "A100 PCIe 80GB", "memory_type": "HBM2e"}, "a100-80gb-hbm2e"),
        ({"model": "A100-SXM4-80GB", "form_factor": "SXM4"}, "a100-80gb-gddr6-sxm4"),
        ({"model": "RTX 2080 Max-Q", "memory_gb": 8}, "rtx-2080-8gb-gddr6-max-q"),
        ({"model": "GT 1030 DDR4", "memory_gb": 2, "memory_type": ""}, "gt-1030-2gb-ddr4"),
        ({"model": "RX 580 8GB GDDR5", "memory_type": "DDR5"}, "rx-580-8gb-ddr5"),
        ({"model": "H100 NVL 94GB", "memory_gb": "94 GB"}, "h100-nvl-94gb-gddr6"),
        ({"model": "RTX 5070 12G", "form_factor": "pcie"}, "rtx-5070-12gb-gddr6"),
    ],
)
def test_what_names_of_catalogues_carry_is_taken_off(
    tmp_path: Path, cells: dict[str, Any], gpu_id: str
) -> None:
    row = {"vendor": "nvidia", "memory_gb": "", "memory_type": "GDDR6", **cells}
    (record,) = load_registry(write_csv(tmp_path, [row]))
    assert record.gpu_id == gpu_id
    assert catalogue_name(record.model).model == record.model


@pytest.mark.parametrize(
    ("cells", "fault"),
    [
        (
            {"model": "RTX 3060 12GB", "memory_gb": 8},
            "memory_gb 8.0 contradicts model 'RTX 3060 12GB', which says 12",
        ),
        (
            {"model": "GTX 1060 3GB/6GB", "memory_gb": 5},
            "memory_gb 5.0 contradicts model 'GTX 1060 3GB/6GB', which says 3 and 6",
        ),
        (
            {"model": "RTX 3060 GDDR6", "memory_type": "GDDR6X"},
            "memory_type 'GDDR6X' contradicts model 'RTX 3060 GDDR6', which says GDDR6",
        ),
        (
            {"model": "RTX 3080 Laptop GPU", "form_factor": "PCIe"},
            "form_factor 'PCIe' contradicts model 'RTX 3080 Laptop GPU', which says mobile",
        ),
    ],
)
def test_a_column_that_contradicts_the_name_is_a_fault(
    tmp_path: Path, cells: dict[str, Any], fault: str
) -> None:
    path = write_csv(tmp_path, [{**ROW, **cells}])
    assert faults_of(path) == [f"{path}:2: {fault}"]


def test_names_of_yaml_are_taken_apart_too(tmp_path: Path) -> None:
    line = "      - {name: RTX 3080 16GB Laptop GPU, year: 2021, variants: [16GB GDDR6]}\n"
    (record,) = load_registry(write(tmp_path, "r.yaml", MODEL + line))
    assert record.gpu_id == "rtx-3080-16gb-gddr6-mobile"
    line = "      - {name: RTX 3060 12GB, year: 2021, variants: [12GB GDDR6, 8GB GDDR6]}\n"
    path = write(tmp_path, "r.yaml", MODEL + line)
    wanted = "memory_gb 8.0 contradicts model 'RTX 3060 12GB', which says 12"
    assert faults_of(path) == [f"{path}:6: {wanted}"]


def test_shipped_names_carry_nothing_besides(shipped_records: list[GpuRecord]) -> None:
    for record in shipped_records:
        assert catalogue_name(record.model) == (record.model, (), "", "")


_FORM_WORDS = {
    "mobile": "Laptop GPU",
    "Max-Q": "with Max-Q Design",
    "server": "Server Edition",
    "workstation": "Workstation Edition",
}
_COMPANIES = {
    "NVIDIA": "Nvidia Corporation",
    "AMD": "AMD/ATI",
    "Intel": "intel",
    "Matrox": "MATROX",
}


def test_the_shipped_registry_written_as_a_catalogue_is_the_same_registry(
    tmp_path: Path, shipped_records: list[GpuRecord]
) -> None:
    """So whatever it is asked, it answers the same."""
    sold = [record for record in shipped_records if record.sold_apart]
    rows = []
    for at, record in enumerate(sold):
        gb = record.memory_gb
        size = f"{gb:g}GB" if gb >= 1 and gb == int(gb) else f"{gb * 1024:.0f} MB"
        form = _FORM_WORDS.get(record.form_factor, record.form_factor)
        form = "" if form == "PCIe" and at % 3 else form
        told = (f"{record.vendor} {record.model} {form} {size}", f"{record.model} {size} {form}")
        lists = {name: getattr(record, name) for name in ("codenames", "aliases", "part_numbers")}
        rows.append(
            {
                "sku": at,
                "model": told[at % 2],
                "vendor": _COMPANIES[record.vendor],
                "memory_gb": ("", f"{gb:g}", f"{gb:g} GB", f"{gb * 1024:g} MB")[at % 4],
                "memory_type": record.memory_type,
                "line": record.line,
                "generation": record.generation,
                "release_year": record.release_year,
                "rare": record.rare,
                "held": record.held,
                **{name: ";".join(values) for name, values in lists.items()},
            }
        )
    assert load_registry(write_csv(tmp_path, rows)) == sold


@pytest.mark.parametrize(
    "code",
    [
        "4.71E+12",
        "4,71E+12",
        "1e+05",
        "10-May",
        "10. Mai",
        "Mar-50",
        "2026-05-10",
        "2026-05-10 00:00:00",
        "05/10/2026",
        "#REF!",
        "#NAME?",
        "########",
    ],
)
@pytest.mark.parametrize("column", ["gpu_id", "aliases", "part_numbers"])
def test_codes_a_spreadsheet_has_changed_are_faults(tmp_path: Path, code: str, column: str) -> None:
    path = write_csv(tmp_path, [{**ROW, column: code}, {**ROW, "memory_gb": 0, "gpu_id": "x"}])
    damaged, other = faults_of(path)
    assert damaged.startswith(f"{path}:2: {column} holds {code!r}, a code that a spreadsheet")
    assert other.startswith(f"{path}:3: memory_gb")


@pytest.mark.parametrize(
    "code", ["11265-01", "4719072", "900-2G500-0000", "GV-N3060", "9E12", "MAY-10X", "1.2", "10-D6"]
)
def test_sound_codes_are_none(tmp_path: Path, code: str) -> None:
    (record,) = load_registry(write_csv(tmp_path, [{**ROW, "part_numbers": code}]))
    assert record.part_numbers == (code,)


def test_numbers_that_parquet_holds_as_floats(tmp_path: Path) -> None:
    path = write_parquet(tmp_path, [{**ROW, "part_numbers": 4719072890123.0}])
    assert load_registry(path)[0].part_numbers == ("4719072890123",)
    path = write_parquet(tmp_path, [{**ROW, "part_numbers": 4.719072890123e18}])
    (fault,) = faults_of(path)
    assert "part_numbers holds '4.719072890123e+18'" in fault


def test_boards_of_one_variant_have_ids_of_their_own(tmp_path: Path) -> None:
    boards = [{**ROW, "gpu_id": f"board-{at}", "part_numbers": f"TUF-{at}X"} for at in range(3)]
    records = load_registry(write_csv(tmp_path, boards))
    assert [record.gpu_id for record in records] == ["board-0", "board-1", "board-2"]
    assert {record.model for record in records} == {ROW["model"]}


# --- records on disk, ids and fingerprints ---


def test_records_survive_writing_and_reading(
    tmp_path: Path, tiny_registry: list[GpuRecord]
) -> None:
    records = [*tiny_registry, replace(tiny_registry[0], gpu_id="é\u2028\n", aliases=("б", ""))]
    records += [
        replace(tiny_registry[0], gpu_id="rare", rare=True),
        replace(tiny_registry[0], gpu_id="inside", sold_apart=False),
        replace(tiny_registry[0], gpu_id="held", held=True),
    ]
    write_records(records, tmp_path / "records.jsonl")
    assert read_records(tmp_path / "records.jsonl") == records


@pytest.mark.parametrize(
    "line", ["not json", "[]", "3", "{}", '{"gpu_id": "x"}'], ids=["text", "list", "int", "{}", "x"]
)
def test_a_line_that_is_no_record_is_named(
    tmp_path: Path, line: str, tiny_registry: list[GpuRecord]
) -> None:
    path = tmp_path / "records.jsonl"
    write_records(tiny_registry[:2], path)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(InputError, match=re.escape(f"{path}:3: not a GPU record")):
        read_records(path)


def test_records_without_flags_are_written_as_before_there_were_any(
    tmp_path: Path, tiny_registry: list[GpuRecord]
) -> None:
    path = tmp_path / "records.jsonl"
    write_records(tiny_registry, path)
    assert "rare" not in path.read_text()
    assert "sold_apart" not in path.read_text()
    assert "held" not in path.read_text()
    rare = [replace(record, rare=True) for record in tiny_registry]
    assert registry_fingerprint(rare) != registry_fingerprint(tiny_registry)


def test_the_fingerprint_follows_content_and_not_order(tiny_registry: list[GpuRecord]) -> None:
    shuffled = random.Random(3).sample(tiny_registry, len(tiny_registry))
    fingerprint = registry_fingerprint(tiny_registry)
    assert re.fullmatch(r"[0-9a-f]{16}", fingerprint)
    assert registry_fingerprint(shuffled) == fingerprint
    assert registry_fingerprint(tiny_registry[1:]) != fingerprint
    changed = [replace(tiny_registry[0], aliases=("x",)), *tiny_registry[1:]]
    assert registry_fingerprint(changed) != fingerprint


@pytest.mark.parametrize(
    ("model", "memory_gb", "memory_type", "form", "slug"),
    [
        ("GeForce RTX 4060 Ti", 16, "GDDR6", "PCIe", "geforce-rtx-4060-ti-16gb-gddr6"),
        ("GeForce GTX 580", 1.5, "GDDR5", "PCIe", "geforce-gtx-580-1.5gb-gddr5"),
        ("GeForce 8800 GTS", 0.3125, "GDDR3", "PCIe", "geforce-8800-gts-320mb-gddr3"),
        ("GeForce 9800 GTX+", 0.5, "GDDR3", "PCIe", "geforce-9800-gtx-plus-512mb-gddr3"),
        ("A100", 80, "HBM2e", "SXM4", "a100-80gb-hbm2e-sxm4"),
        ("GeForce RTX 3080", 8, "GDDR6", "Max-Q", "geforce-rtx-3080-8gb-gddr6-max-q"),
    ],
)
def test_ids(model: str, memory_gb: float, memory_type: str, form: str, slug: str) -> None:
    found = gpu_slug(model, memory_gb=memory_gb, memory_type=memory_type, form_factor=form)
    assert found == slug


# --- one fault hides no other ---


def test_a_wrong_vendor_does_not_hide_other_faults(tmp_path: Path) -> None:
    bad = MODEL.replace("NVIDIA", "3dfx") + "      - {name: RTX 1, year: 2020, variants: [x]}\n"
    faults = faults_of(write(tmp_path, "r.yaml", bad))
    assert any("vendor must be" in fault for fault in faults)
    assert any("variant must read" in fault for fault in faults)
    assert len(faults) == 2


@pytest.mark.parametrize(
    "fields",
    ["name: RTX 1, year: 1889", "name: RTX 1, chip: x", "year: 2020", "name: 1, year: 2020"],
)
def test_one_fault_of_a_model_does_not_hide_another(tmp_path: Path, fields: str) -> None:
    line = f"      - {{{fields}, variants: [x, 0GB GDDR6]}}\n"
    faults = faults_of(write(tmp_path, "r.yaml", MODEL + line))
    assert len(faults) == 3, faults


def test_a_fault_does_not_hide_a_collision(tmp_path: Path) -> None:
    lines = "".join(
        f"      - {{name: RTX 1, year: {year}, variants: [1GB GDDR6]}}\n" for year in (2020, 1889)
    )
    faults = faults_of(write(tmp_path, "r.yaml", MODEL + lines))
    assert any("year must be 1990-2100, got 1889" in fault for fault in faults)
    assert any("gpu_id 'rtx-1-1gb-gddr6' stands already" in fault for fault in faults)


@pytest.mark.parametrize("size", ["0GB", "0.0MB", "99999GB"])
def test_a_size_out_of_range_is_a_fault(tmp_path: Path, size: str) -> None:
    line = f"      - {{name: RTX 1, year: 2020, variants: [{size} GDDR6]}}\n"
    path = write(tmp_path, "r.yaml", MODEL + line)
    [fault] = faults_of(path)
    assert f"{path}:6: variant '{size} GDDR6': memory_gb must be 0.001-2048 GB" in fault


def test_a_name_or_alias_without_letters_is_a_fault(tmp_path: Path) -> None:
    lines = (
        "      - {name: '***', year: 2020, variants: [1GB GDDR6]}\n"
        "      - {name: RTX 1, year: 2020, variants: [1GB GDDR6], aliases: ['!!']}\n"
        "      - {name: RTX 2, year: 2020, variants: [1GB GDDR6], part_numbers: ['??']}\n"
    )
    path = write(tmp_path, "r.yaml", MODEL + lines)
    assert faults_of(path) == [
        f"{path}:6: name must hold letters or digits, got '***'",
        f"{path}:7: alias must hold letters or digits, got '!!'",
        f"{path}:8: alias must hold letters or digits, got '??'",
    ]


def test_two_models_may_not_share_a_spelling(tmp_path: Path) -> None:
    lines = "".join(
        f"      - {{name: {name}, year: 2020, variants: [24GB GDDR6X, 48GB GDDR6X]}}\n"
        for name in ("RTX 4090D", "RTX 4090 D")
    )
    path = write(tmp_path, "r.yaml", MODEL + lines)
    [fault] = faults_of(path)
    assert fault == f"{path}:7: model 'RTX 4090 D' is spelled as 'RTX 4090D' ({path}:6)"


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        (MODEL + "      - {name: R 1, year: 2020, year: 2021, variants: [1GB DDR]}\n", 6, "year"),
        (GOOD + "vendor: AMD\n", 1, "vendor"),
        (GOOD.replace("    line: GeForce\n", "    line: GeForce\n    line: Quadro\n"), 3, "line"),
    ],
    ids=["model", "file", "family"],
)
def test_a_key_given_twice_is_a_fault(tmp_path: Path, text: str, line: int, key: str) -> None:
    path = write(tmp_path, "r.yaml", text)
    assert faults_of(path) == [f"{path}:{line}: key {key!r} stands there twice"]


def test_the_slow_loader_reads_the_same(tmp_path: Path) -> None:
    """PyYAML may lack the C library: lines and repeated keys must not depend on it."""
    text = GOOD.replace("year: 2024", "year: 2024, year: 1889")
    path = write(tmp_path, "r.yaml", text)
    code = (
        "import sys, yaml; vars(yaml).pop('CSafeLoader', None)\n"
        "from pathlib import Path; from rerank.index.errors import FaultsError\n"
        "from rerank.packs.gpu.registry import _LineLoader, load_registry\n"
        "assert issubclass(_LineLoader, yaml.SafeLoader)\n"
        "try: load_registry(Path(sys.argv[1]))\n"
        "except FaultsError as fault: print(*fault.faults, sep=chr(10))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert done.stdout.splitlines() == faults_of(path)
    assert len(faults_of(path)) == 2


# --- odd tables ---


def test_a_csv_of_another_encoding_is_an_input_error(tmp_path: Path) -> None:
    path = tmp_path / "gpus.csv"
    path.write_bytes("model,vendor,memory_gb,memory_type\nÉ 1,AMD,1,GDDR6\n".encode("latin-1"))
    message = f"{path}: line 2: expected UTF-8 text, found 0xc9; save the file as UTF-8"
    with pytest.raises(InputError, match=re.escape(message)):
        load_registry(path)


def test_every_csv_row_with_too_many_cells_is_a_fault(tmp_path: Path) -> None:
    path = write_csv(tmp_path, [{**ROW, "memory_gb": size} for size in (8, 10, 12)])
    first, *rows = path.read_text().splitlines()
    path.write_text("\n".join([first, *(row + ",stray" for row in rows)]) + "\n")
    assert faults_of(path) == [
        f"{path}:{line}: 5 cells, expected 4: 'stray' is in no column" for line in (2, 3, 4)
    ]


def test_misspelled_columns_do_not_hide_the_faults_of_rows(tmp_path: Path) -> None:
    rows = [{**ROW, "part_number": "x"}, {**ROW, "memory_gb": 0, "part_number": "y"}]
    path = write_csv(tmp_path, rows)
    wanted = "column 'part_number': did you mean 'part_numbers'? Call it so, or otherwise"
    assert faults_of(path) == [
        f"{path}: {wanted}",
        f"{path}:3: memory_gb must be 0.001-2048 GB (or with a unit, as '512 MB'), got 0.0",
    ]


def test_headers_may_have_capitals_and_spaces(tmp_path: Path) -> None:
    row = {"Model": "RTX 1", " Vendor": "NVIDIA", "Memory GB": 8, "memory_type": "GDDR6"}
    (record,) = load_registry(write_csv(tmp_path, [row]))
    assert (record.model, record.memory_gb) == ("RTX 1", 8)
    path = write_csv(tmp_path, [{**row, "model": "RTX 2"}])
    assert faults_of(path) == [f"{path}: columns there twice: model"]


def test_a_file_that_is_not_separated_by_commas_is_told_so(tmp_path: Path) -> None:
    path = write(tmp_path, "g.csv", "model;vendor;memory_gb;memory_type\nRTX 1;NVIDIA;8;GDDR6\n")
    (fault,) = faults_of(path)
    assert fault.endswith(
        "found: model;vendor;memory_gb;memory_type; is the file separated by commas?"
    )


@pytest.mark.parametrize("writer", [write_csv, write_parquet], ids=["csv", "parquet"])
def test_further_columns_of_a_catalogue_pass(
    tmp_path: Path, writer: Callable[[Path, list[dict[str, Any]]], Path]
) -> None:
    extra = {"price": 4.5, "stock": "yes", "memory": "big", "tdp_w": 170, "brand": "ASUS"}
    assert load_registry(writer(tmp_path, [{**ROW, **extra}])) == load_registry(
        writer(tmp_path, [ROW])
    )


def test_a_column_given_twice_is_a_fault(tmp_path: Path) -> None:
    path = write(tmp_path, "g.csv", "model,vendor,memory_gb,memory_type,model\nA 1,AMD,1,DDR,A 2\n")
    assert faults_of(path) == [f"{path}: columns there twice: model"]


def test_lines_are_counted_past_blank_ones(tmp_path: Path) -> None:
    text = "model,vendor,memory_gb,memory_type\n\nA 1,AMD,1,GDDR6\n\nA 2,S3,1,GDDR6\n"
    path = write(tmp_path, "g.csv", text)
    assert [fault.split(" ")[0] for fault in faults_of(path)] == [f"{path}:5:"]


def test_numbers_in_the_text_columns_of_a_parquet_file_become_text(tmp_path: Path) -> None:
    row = {**ROW, "gpu_id": 17, "line": 5, "generation": 40.0, "codenames": 3}
    record = load_registry(write_parquet(tmp_path, [row]))[0]
    assert (record.gpu_id, record.line, record.generation) == ("17", "5", "40")
    assert record.codenames == ("3",)


def test_a_missing_number_that_pandas_wrote_as_nan_is_missing(tmp_path: Path) -> None:
    rows = [{**ROW, "release_year": 2020.0}, {**ROW, "memory_gb": 12, "release_year": float("nan")}]
    assert [r.release_year for r in load_registry(write_parquet(tmp_path, rows))] == [2020, 0]
    rows[0]["memory_gb"] = float("nan")
    path = write_parquet(tmp_path, rows)
    assert faults_of(path) == [f"{path}: row 1: missing memory_gb"]


@pytest.mark.parametrize("writer", [write_csv, write_parquet], ids=["csv", "parquet"])
@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"release_year": 99999}, "release_year must be 1990-2100, got 99999"),
        ({"release_year": 2020.5}, "release_year must be 1990-2100, got 2020.5"),
        ({"release_year": float("inf")}, "release_year must be 1990-2100, got inf"),
        ({"memory_gb": float("inf")}, "(or with a unit, as '512 MB'), got inf"),
    ],
    ids=["99999", "2020.5", "inf", "inf GB"],
)
def test_a_number_out_of_range_is_a_fault(
    tmp_path: Path,
    cells: dict[str, Any],
    message: str,
    writer: Callable[[Path, list[dict[str, Any]]], Path],
) -> None:
    [fault] = faults_of(writer(tmp_path, [{**ROW, **cells}]))
    assert fault.endswith(message)


def test_the_faults_of_a_row_are_reported_together(tmp_path: Path) -> None:
    row = {**ROW, "vendor": "", "memory_gb": "ten", "release_year": 1889, "form_factor": "brick"}
    faults = faults_of(write_csv(tmp_path, [row]))
    words = ["missing vendor", "memory_gb", "release_year", "form_factor"]
    assert len(faults) == len(words)
    assert all(word in fault for word, fault in zip(words, faults, strict=True))
