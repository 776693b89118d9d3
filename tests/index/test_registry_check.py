"""The registry against a table of facts."""

from __future__ import annotations

from pathlib import Path

import pytest

from rerank.index.errors import InputError
from rerank.index.registry_check import (
    FACT_COLUMNS,
    Fact,
    FindingKind,
    check_registry,
    folded,
    read_facts,
)


def fact(
    name: str, year: int, memory_gb: float, memory_type: str = "GDDR6", vendor: str = "NVIDIA"
):
    return Fact(name, vendor, year, memory_gb, memory_type)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("GeForce GTX 1060 6 GB Rev. 2", "geforce gtx 1060"),
        ("GeForce GTX 1650 TU106", "geforce gtx 1650"),
        ("Quadro RTX 6000 Mobile", "quadro rtx 6000"),
        ("A100 PCIe 80 GB", "a100"),
        ("Radeon RX 580 2048SP", "radeon rx 580 2048sp"),
        ("GeForce RTX 3060 12 GB (GA104)", "geforce rtx 3060"),
    ],
)
def test_names_fold_to_models(name, model):
    assert folded(name) == model
    assert folded(folded(name)) == folded(name)


def test_agreement_finds_nothing(tiny_registry):
    facts = [
        fact("GeForce RTX 4060 Ti 16 GB", 2023, 16),
        fact("GeForce RTX 3080 Mobile", 2021, 16),
        fact("RTX 4000 Ada Generation", 2023, 20),
        fact("A100 SXM4 80 GB", 2020, 80, "HBM2e"),
    ]
    assert check_registry(tiny_registry, facts) == []


def test_a_missing_model_is_found_once(tiny_registry):
    facts = [fact("GeForce RTX 4090", 2022, 24), fact("GeForce RTX 4090 Mobile", 2023, 16)]
    (finding,) = check_registry(tiny_registry, facts)
    assert (finding.kind, finding.model) == (FindingKind.MISSING, "GeForce RTX 4090")


@pytest.mark.parametrize(
    ("claim", "kind"),
    [
        (fact("GeForce RTX 4060", 2023, 12), FindingKind.MEMORY),
        (fact("GeForce RTX 4060", 2023, 8, "HBM2"), FindingKind.MEMORY_TYPE),
        (fact("GeForce RTX 4060", 2019, 8), FindingKind.YEAR),
    ],
)
def test_a_contradiction_is_named(tiny_registry, claim, kind):
    (finding,) = check_registry(tiny_registry, [claim])
    assert (finding.kind, finding.model) == (kind, "GeForce RTX 4060")
    assert finding.registry
    assert "GeForce RTX 4060" in finding.facts


def test_a_dual_card_may_be_given_by_the_memory_of_one_gpu(make_gpu):
    card = make_gpu("Radeon HD 4870 X2", 2, "GDDR5", vendor="AMD", year=2008)
    assert check_registry([card], [fact("Radeon HD 4870 X2", 2008, 1, "GDDR5", "AMD")]) == []


ROWS = f"""{",".join(FACT_COLUMNS)}
GeForce RTX 4060,nvidia,2023-06-29,PCIe 4.0 x8,8,GDDR6
Voodoo2 12 MB,3dfx,1998-02-02,PCI,0.012,EDO
GeForce 256,nvidia,1999-10-11,AGP 4x,0.032,SDR
Vega 8,amd,2021-01-01,IGP,,System Shared
Playstation 5 GPU,amd,2020-11-12,PCIe 4.0 x16,16,GDDR6
"""


def test_only_cards_people_sell_are_in_scope(tmp_path: Path):
    (tmp_path / "f.csv").write_text(ROWS)
    assert [item.name for item in read_facts(tmp_path / "f.csv")] == ["GeForce RTX 4060"]


def test_a_bad_row_names_its_line(tmp_path: Path):
    (tmp_path / "f.csv").write_text(ROWS + "X,nvidia,2023-01-01,PCIe,lots,GDDR6\n")
    with pytest.raises(InputError, match=r"f\.csv:7: .*lots"):
        read_facts(tmp_path / "f.csv")


def test_missing_columns_are_named(tmp_path: Path):
    (tmp_path / "f.csv").write_text("name,vendor\n")
    with pytest.raises(InputError, match="missing release_date, bus_interface"):
        read_facts(tmp_path / "f.csv")


def test_facts_of_another_encoding_are_an_input_error(tmp_path):
    path = tmp_path / "facts.csv"
    path.write_bytes(
        ",".join(FACT_COLUMNS).encode() + "\nÉ 1,AMD,2020,PCIe,1,DDR\n".encode("latin-1")
    )
    with pytest.raises(InputError, match="line 2: expected UTF-8 text, found 0xc9"):
        read_facts(path)


def test_a_row_of_facts_that_ends_early_says_no_more(tmp_path):
    path = tmp_path / "facts.csv"
    path.write_text(",".join(FACT_COLUMNS) + "\nGeForce RTX 4090,NVIDIA,2022-10-12\n")
    (found,) = read_facts(path)
    assert (found.memory_gb, found.memory_type) == (0, "")
