"""What a part-number builder sees: one GPU variant, parsed."""

from __future__ import annotations

from dataclasses import dataclass

from index.records import GpuRecord
from rerank.bootstrap.model_name import ModelName


@dataclass(frozen=True, slots=True)
class Product:
    """A registry record with its name in parts."""

    record: GpuRecord
    name: ModelName

    @property
    def megabytes(self) -> int:
        """Return the memory size in MB."""
        return round(self.record.memory_gb * 1024)

    @property
    def size(self) -> str:
        """Return the size as part numbers write it: ``8G``, ``512M``, ``1536M``."""
        whole, rest = divmod(self.megabytes, 1024)
        return f"{self.megabytes}M" if rest else f"{whole}G"

    @property
    def memory_digit(self) -> str:
        """Return the generation digit of the memory type: 5 of GDDR5X, 3 of DDR3."""
        return next((c for c in self.record.memory_type if c.isdigit()), "1")

    @property
    def year(self) -> int:
        """Return the release year."""
        return self.record.release_year

    @property
    def geforce(self) -> bool:
        """Return whether the model is a GeForce."""
        return self.name.brand == ("GeForce",)

    @property
    def radeon(self) -> bool:
        """Return whether the model is a consumer Radeon."""
        return self.name.brand == ("Radeon",)
