"""The registry against a table of facts."""

from __future__ import annotations

from pathlib import Path

import pytest

from rerank.index.errors import InputError
from rerank.index.records import shipped
from rerank.packs.gpu.registry import load_registry
from rerank.packs.gpu.registry_check import (
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


# --- tables of PCI devices ---

PCI = """\
# A table in the form of pci.ids: vendors, their devices, subsystems, classes.

1002  Advanced Micro Devices, Inc. [AMD/ATI]
\t164e  Raphael
\t1681  Rembrandt [Radeon 680M]
\t5960  RV280 [Radeon 9200 PRO / 9250]
\t\t17af 2020  Excalibur Radeon 9250
\t73df  Navi 22 [Radeon RX 6700/6700 XT/6750 XT / 6800M/6850M XT]
\t6819  Pitcairn PRO [Radeon HD 7850 / R7 265 / R9 270 1024SP]
\t9999  Navi 99 [Radeon RX 9990 XT/9990 XTX]
\tab30  Navi 21/23 HDMI/DP Audio Controller
10de  NVIDIA Corporation
\t03d0  C61 [GeForce 6150SE nForce 430]
\t1c21  GP107M [GeForce GTX 1050 Mobile / Max-Q]
\t249c  GA104M [GeForce RTX 3080 Mobile / Max-Q 8GB/16GB]
\t20b0  GA100 [A100 SXM4 40GB]
\t22ba  AD102 High Definition Audio Controller
\t2684  AD102 [GeForce RTX 4090]
\t\t1043 0889  ROG Strix GeForce RTX 4090 Gaming OC
\t2504  GA106 [GeForce RTX 3060 Lite Hash Rate]
\t2fff  XX999 [GeForce RTX 9999 Ti]
15b3  Mellanox Technologies
\t1013  MT27700 Family [ConnectX-4]
8086  Intel Corporation
\t56a0  DG2 [Arc A770]
\t5916  HD Graphics 620
C 03  Display controller
\t00  VGA compatible controller
\t\t00  VGA controller
"""


def test_a_table_of_pci_devices_names_what_the_registry_lacks(tmp_path: Path):
    path = tmp_path / "anything.txt"
    path.write_text(PCI)
    facts = read_facts(path)
    assert [item.name for item in facts if item.vendor == "AMD"] == [
        "Radeon 680M",
        "Radeon 9200 PRO",
        "Radeon 9250",
        "Radeon RX 6700",
        "Radeon RX 6700 XT",
        "Radeon RX 6750 XT",
        "Radeon RX 6800M",
        "Radeon RX 6850M XT",
        "Radeon HD 7850",
        "Radeon R7 265",
        "Radeon R9 270 1024SP",
        "Radeon RX 9990 XT",
        "Radeon RX 9990 XTX",
    ]
    findings = check_registry(load_registry(shipped("registry")), facts)
    assert [(f.kind.value, f.vendor, f.model, f.facts) for f in findings] == [
        ("missing", "AMD", "Radeon R9 270 1024SP", "1002:6819 Pitcairn PRO"),
        ("missing", "AMD", "Radeon RX 9990 XT", "1002:9999 Navi 99"),
        ("missing", "AMD", "Radeon RX 9990 XTX", "1002:9999 Navi 99"),
        ("missing", "NVIDIA", "GeForce RTX 9999 Ti", "10de:2fff XX999"),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2684 AD102", "expected '10de  vendor', a tab and '2684  device'"),
        ("\tAD102 [GeForce RTX 4090]", "got 'AD102 .GeForce RTX 4090.'"),
    ],
)
def test_a_line_that_is_none_of_pci_ids_is_named(tmp_path: Path, line: str, message: str):
    path = tmp_path / "pci.ids"
    path.write_text(f"10de  NVIDIA Corporation\n{line}\n")
    with pytest.raises(InputError, match=rf"pci\.ids:2: .*{message}"):
        read_facts(path)


def test_a_table_of_pci_devices_in_another_encoding_is_an_input_error(tmp_path: Path):
    path = tmp_path / "pci.ids"
    path.write_bytes("10de  NVIDIA\n\t0001  É [GeForce RTX 4090]\n".encode("latin-1"))
    with pytest.raises(InputError, match="line 2: expected UTF-8 text, found 0xc9"):
        read_facts(path)
