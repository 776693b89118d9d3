"""What a cross-encoder reads of a listing and of a GPU."""

from __future__ import annotations

from functools import lru_cache

from index.records import GpuRecord, Listing
from index.text import normalise, spaced

_DESCRIPTION_CHARS = 120  # behind them stand terms of sale
_ALIASES = 2


def query_text(listing: Listing) -> str:
    """Return a listing as a query: title, vendor and the start of the description.

    Letters and digits stand apart, as in what the index embeds: a transformer's vocabulary does
    not know ``rtx4060ti``. The vendor is left out where the title names it.
    """
    title, vendor = normalise(listing.title), normalise(listing.vendor)
    if vendor and vendor.split(" ")[0] in title:
        vendor = ""
    extra = normalise(listing.description)[:_DESCRIPTION_CHARS] if listing.description else ""
    return spaced(f"{title} {vendor} {extra}")


@lru_cache(maxsize=16384)
def gpu_text(record: GpuRecord) -> str:
    """Return a GPU as a document: chip vendor, model, memory, form factor and aliases."""
    size = f"{record.memory_gb:g}gb" if record.memory_gb >= 1 else f"{record.memory_gb * 1024:g}mb"
    parts = (
        record.vendor,
        record.model,
        size,
        record.memory_type,
        record.form_factor,
        *record.aliases[:_ALIASES],
    )
    return spaced(normalise(" ".join(parts)))
