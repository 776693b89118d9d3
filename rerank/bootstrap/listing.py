"""The record the generator makes: a listing and the truth about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from index.records import Listing


@dataclass(frozen=True, slots=True)
class LabelledListing:
    """A generated listing with its label.

    ``gpu_id`` is a variant consistent with everything the text states, ``model`` its model; both
    are None for ``nil``. ``mentions`` is the model a nil listing names without selling it, and
    ``template`` the name of the grammar that made it.
    """

    listing: Listing
    kind: Literal["match", "nil"]
    gpu_id: str | None
    model: str | None
    memory_stated: bool
    form_stated: bool
    mentions: str | None
    template: str
