"""Which variant a listing means: what it states, and what is common where it is silent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from rerank.index.records import GpuRecord, Listing
from rerank.packs.gpu.registry import gpu_slug
from rerank.packs.gpu.retriever import Retriever

MakeRetriever = Callable[[Sequence[GpuRecord]], Retriever]


def variants(model: str, *texts: str) -> list[GpuRecord]:
    """Return variants in the registry's order, each written as `8GB GDDR6 mobile rare`."""
    records = []
    for text in texts:
        size, memory_type, *rest = text.split()
        form = next((word for word in rest if word != "rare"), "PCIe")
        memory = float(size.removesuffix("GB"))
        records.append(
            GpuRecord(
                gpu_slug(model, memory_gb=memory, memory_type=memory_type, form_factor=form),
                model,
                "NVIDIA",
                "GeForce",
                "any",
                memory,
                memory_type,
                form,
                2020,
                rare="rare" in rest,
            )
        )
    return records


REGISTRY = [
    *variants(
        "GeForce RTX 3080",
        "10GB GDDR6X",
        "12GB GDDR6X",
        "16GB GDDR6 mobile",
        "8GB GDDR6 mobile",
        "8GB GDDR6 Max-Q",
        "16GB GDDR6 Max-Q",
        "20GB GDDR6X rare",
    ),
    *variants("GeForce GTX 1060", "6GB GDDR5", "3GB GDDR5", "6GB GDDR5 mobile", "6GB GDDR5X rare"),
    *variants("GeForce GT 1030", "2GB GDDR5", "2GB DDR4"),
    *variants("GeForce RTX 3060 Ti", "8GB GDDR6", "8GB GDDR6X"),
    *variants("GeForce RTX 4070", "12GB GDDR6X", "8GB GDDR6 mobile"),
    *variants("H100", "80GB HBM2e", "80GB HBM3 SXM5", "94GB HBM3 SXM5", "96GB HBM3 rare"),
    *variants("Tesla V100", "16GB HBM2", "16GB HBM2 SXM2", "32GB HBM2 SXM2", "32GB HBM2 SXM3 rare"),
    *variants("RTX PRO 6000", "96GB GDDR7 workstation", "96GB GDDR7 Max-Q", "96GB GDDR7 server"),
    *variants("Radeon RX 6600M", "8GB GDDR6", "8GB GDDR6 mobile"),
    *variants("GeForce RTX 4090", "24GB GDDR6X", "16GB GDDR6 mobile", "48GB GDDR6X rare"),
]


@pytest.fixture(scope="module")
def retriever(make_retriever: MakeRetriever) -> Retriever:
    return make_retriever(REGISTRY)


def answered(retriever: Retriever, title: str) -> tuple[GpuRecord, float]:
    """Return the variant that stands first, and how probable it is."""
    batch = retriever.retrieve([Listing("1", title)])
    return retriever.records[batch.record[0]], float(batch.variant_probability[0])


@pytest.mark.parametrize(
    ("title", "memory_gb", "memory_type", "form"),
    [
        # silence means the common one
        ("KFA2 RTX 3080 SG", 10, "GDDR6X", "PCIe"),
        ("placa de vídeo RTX 4090 usada", 24, "GDDR6X", "PCIe"),
        ("GTX1060 OC", 6, "GDDR5", "PCIe"),
        ("Nvidia H100", 80, "HBM2e", "PCIe"),
        ("RTX PRO 6000 sealed", 96, "GDDR7", "workstation"),
        # a stated size, of a rare variant or a laptop's too
        ("RTX 3080 12GB", 12, "GDDR6X", "PCIe"),
        ("RTX 3080 20GB", 20, "GDDR6X", "PCIe"),
        ("RTX 4090 48 GB blower", 48, "GDDR6X", "PCIe"),
        ("RTX 4090 16GB", 16, "GDDR6", "mobile"),
        # a stated type
        ("GTX 1060 6GB GDDR5X", 6, "GDDR5X", "PCIe"),
        ("GT 1030 DDR4 passiv", 2, "DDR4", "PCIe"),
        ("Gainward 3060 Ti GDDR6X", 8, "GDDR6X", "PCIe"),
        ("H100 80GB HBM3", 80, "HBM3", "SXM5"),
        ("H100 HBM2e 80GB", 80, "HBM2e", "PCIe"),
        # sellers leave the X out
        ("RTX 3080 GDDR6", 10, "GDDR6X", "PCIe"),
        ("RTX 4070 12GB GDDR6", 12, "GDDR6X", "PCIe"),
        # a stated form
        ("H100 SXM", 80, "HBM3", "SXM5"),
        ("H100 PCIe accelerator", 80, "HBM2e", "PCIe"),
        ("Tesla V100 SXM2", 16, "HBM2", "SXM2"),
        ("Tesla V100 SXM3", 32, "HBM2", "SXM3"),
        ("RTX PRO 6000 Server Edition", 96, "GDDR7", "server"),
        ("RTX PRO 6000 Max-Q Workstation", 96, "GDDR7", "Max-Q"),
        # a laptop's card
        ("RTX 4070 Laptop GPU", 8, "GDDR6", "mobile"),
        ("rtx4070m", 8, "GDDR6", "mobile"),
        ("RTX 4070-M chip", 8, "GDDR6", "mobile"),
        ("GTX 1060 M module", 6, "GDDR5", "mobile"),
        ("RTX 3080 Max-Q", 8, "GDDR6", "Max-Q"),
        ("RTX 3080 mobility 8GB", 8, "GDDR6", "mobile"),
        ("carte pour ordinateur portable RTX 4090", 16, "GDDR6", "mobile"),
        ("видеокарта для ноутбука RTX 4090", 16, "GDDR6", "mobile"),
        ("笔记本显卡 RTX4090", 16, "GDDR6", "mobile"),
        ("N17E-G1 GTX 1060", 6, "GDDR5", "mobile"),
        # an M that says nothing of it
        ("Radeon RX 6600M", 8, "GDDR6", "PCIe"),
        ("RX 6600M for laptops", 8, "GDDR6", "mobile"),
        ("RTX 4070 M.2 bracket", 12, "GDDR6X", "PCIe"),
        ("Zotac ZT-D40700E-10M", 12, "GDDR6X", "PCIe"),
        ("RTX 4070 MSI", 12, "GDDR6X", "PCIe"),
    ],
)
def test_the_variant_a_title_means(
    title: str, memory_gb: float, memory_type: str, form: str, retriever: Retriever
) -> None:
    found, _ = answered(retriever, title)
    assert (found.memory_gb, found.memory_type, found.form_factor) == (
        memory_gb,
        memory_type,
        form,
    )


def test_probabilities_are_over_all_variants_of_a_model(retriever: Retriever) -> None:
    batch = retriever.retrieve([Listing("1", "RTX 3080"), Listing("2", "see photos")])
    for pair in np.unique(batch.pair):
        rows = np.flatnonzero(batch.pair == pair)
        rows = rows[np.argsort(batch.place[rows])]
        assert batch.place[rows].tolist() == list(range(len(rows)))
        assert (np.diff(batch.variant_probability[rows]) <= 0).all()
        of_model = [
            record
            for record in retriever.records
            if record.model == retriever.records[batch.record[rows[0]]].model
        ]
        total = batch.variant_probability[rows].sum()
        if len(of_model) == len(rows):
            assert total == pytest.approx(1, abs=1e-5)
        else:
            assert 0.9 < total < 1


def test_what_a_title_states_makes_surer(retriever: Retriever) -> None:
    _, silent = answered(retriever, "RTX 3080")
    _, stated = answered(retriever, "RTX 3080 10GB")
    _, wrong = answered(retriever, "RTX 3080 GDDR6")
    assert wrong < silent < 0.96 < 0.99 < stated


def test_of_five_variants_the_one_that_is_meant_is_among_the_candidates(
    retriever: Retriever,
) -> None:
    batch = retriever.retrieve([Listing("1", "RTX 3080 Max-Q 16GB")], n_candidates=1)
    found = retriever.records[batch.record[0]]
    assert (found.memory_gb, found.form_factor) == (16, "Max-Q")


def test_a_part_number_names_the_very_variant(make_retriever: MakeRetriever) -> None:
    first, second = variants("GeForce RTX 3060", "12GB GDDR6", "8GB GDDR6")
    own = [
        replace(first, part_numbers=("QX-3060-12",)),
        replace(second, part_numbers=("QX-3060-8",)),
    ]
    retriever = make_retriever(own)
    assert answered(retriever, "RTX 3060 QX-3060-8")[0].memory_gb == 8
    assert answered(retriever, "QX-3060-12")[0].memory_gb == 12
    assert answered(retriever, "RTX 3060")[0].memory_gb == 12


def test_in_a_registry_without_flags_the_order_of_rows_decides(
    make_retriever: MakeRetriever,
) -> None:
    common, other = variants("GeForce RTX 3060", "8GB GDDR6", "12GB GDDR6")
    assert answered(make_retriever([common, other]), "3060 RTX Zotac")[0] == common
    assert answered(make_retriever([other, common]), "3060 RTX Zotac")[0] == other


def test_similarities_are_those_of_the_variants_shown(retriever: Retriever) -> None:
    from rerank.index.text import descriptor, spaced

    batch = retriever.retrieve([Listing("1", "rtx 3080 max-q")])
    pair = retriever.embedder.encode(
        [spaced("rtx 3080 max-q"), *(descriptor(retriever.records[row]) for row in batch.record)]
    )
    np.testing.assert_allclose(batch.similarity, pair[1:] @ pair[0], atol=1e-5)
