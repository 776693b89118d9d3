"""Records that cross package borders: a GPU variant, a listing, a route to candidates."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

FORM_FACTORS = (
    "PCIe AGP PCI mobile Max-Q MXM SXM SXM2 SXM3 SXM4 SXM5 SXM6 OAM server workstation NVL"
).split()
DEFAULT_FORM_FACTOR = "PCIe"


class Route(Enum):
    """Which lists of candidates a retriever uses."""

    VECTOR = "vector"
    NAME = "name"
    FUSED = "fused"


@dataclass(frozen=True, slots=True)
class GpuRecord:
    """One row of the registry: a product *variant* of a GPU model.

    ``model`` is the marketing name without chip vendor, memory size or form factor
    (``GeForce RTX 4060 Ti``); ``memory_gb`` is in GB (0.5 for 512 MB).
    """

    gpu_id: str
    model: str
    vendor: str
    line: str
    generation: str
    memory_gb: float
    memory_type: str
    form_factor: str
    release_year: int
    codenames: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    part_numbers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listing:
    """What a seller wrote; ``vendor`` is the brand field, often a board partner or a shop."""

    listing_id: str
    title: str
    vendor: str = ""
    description: str = ""
    price: float | None = None
