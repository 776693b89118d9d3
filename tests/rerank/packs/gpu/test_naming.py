"""Model names taken apart: the table a reader can check against the boxes in a shop."""

from __future__ import annotations

import pytest

from rerank.index.records import GpuRecord
from rerank.packs.gpu.naming import parse_model

# (name, line words, letters before the number, core, suffixes, key)
NAMES = [
    ("GeForce RTX 4060 Ti", "geforce rtx", "", "4060", "ti", "4060"),
    ("GeForce RTX 4070 Ti SUPER", "geforce rtx", "", "4070", "ti super", "4070"),
    ("GeForce RTX 4090 D", "geforce rtx", "", "4090", "d", "4090"),
    ("GeForce GTX 970M", "geforce gtx", "", "970", "m", "970"),
    ("GeForce GTX 560 Ti 448", "geforce gtx", "", "560", "ti 448", "560"),
    ("GeForce 9600 GT", "geforce", "", "9600", "gt", "9600"),
    ("GeForce 9800 GTX+", "geforce", "", "9800", "gtx plus", "9800"),
    ("GeForce 210", "geforce", "", "210", "", "210"),
    ("GeForce MX450", "geforce", "mx", "450", "", "450"),
    ("GeForce4 MX 440 SE", "geforce mx", "", "440", "se", "440"),
    ("Quadro4 980 XGL", "quadro", "", "980", "xgl", "980"),
    ("MSI Ventus 2X GeForce RTX 4070 OC", "msi ventus x geforce rtx", "", "4070", "oc", "4070"),
    ("Quadro2 Pro", "", "quadro", "2", "pro", "quadro2"),
    ("Radeon 780M", "radeon", "", "780", "m", "780"),
    ("GeForce GTX TITAN X", "geforce gtx", "", "titan", "x", "titan"),
    ("TITAN RTX", "", "", "titan", "rtx", "titan"),
    ("TITAN Xp", "", "", "titan", "xp", "titan"),
    ("Quadro P4000", "quadro", "p", "4000", "", "4000"),
    ("Quadro RTX 4000", "quadro rtx", "", "4000", "", "4000"),
    ("Quadro 600", "quadro", "", "600", "", "600"),
    ("Quadro FX 5800", "quadro fx", "", "5800", "", "5800"),
    ("Quadro NVS 295", "quadro nvs", "", "295", "", "295"),
    ("RTX A6000", "rtx", "a", "6000", "", "6000"),
    ("RTX 6000 Ada", "rtx", "", "6000", "ada", "6000"),
    ("RTX 6000 Ada Generation", "rtx", "", "6000", "ada", "6000"),
    ("RTX 4000 SFF Ada", "rtx", "", "4000", "sff ada", "4000"),
    ("RTX PRO 6000 Blackwell", "rtx pro", "", "6000", "blackwell", "6000"),
    ("T1000", "", "t", "1000", "", "1000"),
    ("Tesla V100", "tesla", "v", "100", "", "100"),
    ("Tesla T4", "tesla", "t", "4", "", "t4"),
    ("L4", "", "l", "4", "", "l4"),
    ("L40S", "", "l", "40", "s", "l40"),
    ("H100 NVL", "", "h", "100", "nvl", "100"),
    ("GRID K2", "grid", "k", "2", "", "k2"),
    ("P106-100", "", "p", "106", "100", "106"),
    ("CMP 170HX", "cmp", "", "170", "hx", "170"),
    ("Radeon HD 7970 GHz Edition", "radeon hd", "", "7970", "ghz", "7970"),
    ("Radeon X1950 XTX", "radeon", "x", "1950", "xtx", "1950"),
    ("Radeon R9 280X", "radeon r9", "", "280", "x", "280"),
    ("Radeon R9 Fury X", "radeon r9", "", "fury", "x", "fury"),
    ("Radeon R9 Nano", "radeon r9", "", "nano", "", "nano"),
    ("Radeon RX 6600M", "radeon rx", "", "6600", "m", "6600"),
    ("Radeon RX 7900 GRE", "radeon rx", "", "7900", "gre", "7900"),
    ("Radeon RX Vega 64", "radeon rx", "", "vega", "64", "vega"),
    ("Radeon VII", "radeon", "", "vii", "", "vii"),
    ("Radeon Pro Duo", "radeon pro", "", "duo", "", "duo"),
    ("FirePro W9100", "firepro", "w", "9100", "", "9100"),
    ("Instinct MI210", "instinct", "mi", "210", "", "210"),
    ("Radeon AI PRO R9700S", "radeon ai pro", "r", "9700", "s", "9700"),
    ("Arc A770", "arc", "a", "770", "", "770"),
    ("Arc B580", "arc", "b", "580", "", "580"),
    ("Iris Xe MAX", "iris", "", "xe", "max", "xe"),
    ("Data Center GPU Max 1550", "data center max", "", "1550", "", "1550"),
]


@pytest.mark.parametrize(("model", "line", "prefix", "core", "suffix", "key"), NAMES)
def test_known_names(model: str, line: str, prefix: str, core: str, suffix: str, key: str) -> None:
    name = parse_model(model)
    assert (" ".join(name.line), name.prefix, name.core) == (line, prefix, core)
    assert (" ".join(name.suffix), name.key) == (suffix, key)


@pytest.mark.parametrize("model", [row[0] for row in NAMES])
def test_spelling_and_case_do_not_matter(model: str) -> None:
    assert parse_model(model.upper()) == parse_model(model.lower()) == parse_model(f" {model} ")


def test_words_are_in_reading_order() -> None:
    assert parse_model("GeForce RTX 4060 Ti").words == ("geforce", "rtx", "4060", "ti")
    assert parse_model("Quadro P4000").words == ("quadro", "p4000")


@pytest.mark.parametrize("model", ["", "---", " * "])
def test_names_without_letters_and_digits_are_refused(model: str) -> None:
    with pytest.raises(ValueError, match="letters or digits"):
        parse_model(model)


def test_siblings_differ_in_their_parts(tiny_registry: list[GpuRecord]) -> None:
    models = {record.model for record in tiny_registry}
    assert len({parse_model(model) for model in models}) == len(models)
