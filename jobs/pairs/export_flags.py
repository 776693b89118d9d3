"""The flags of `rerank pairs export`, and which of them belong to which format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

PAIRS, QUERY_PACKS = "pairs", "query-packs"


@dataclass(frozen=True, slots=True)
class ExportFlags:
    """What was given; None or False is a flag that was not."""

    out: Path | None
    item_type: str | None
    embeddings: bool
    only_stats: bool
    n_generated: int | None
    negatives: int | None
    seed: int | None
    overwrite: bool

    def check(self, export_format: str) -> None:
        """Check that the flags go together.

        :raises click.UsageError: if one is of the other format, or nothing says where to write.
        """
        of_pairs = {
            "--item-type": self.item_type is not None,
            "--embeddings": self.embeddings,
            "--stats": self.only_stats,
        }
        of_packs = {
            "--bootstrap": self.n_generated is not None,
            "--negatives": self.negatives is not None,
            "--seed": self.seed is not None,
        }
        foreign = of_pairs if export_format == QUERY_PACKS else of_packs
        wrong = [name for name, given in foreign.items() if given]
        if wrong:
            raise click.UsageError(f"--format {export_format}: does not take {', '.join(wrong)}")
        if self.out is None and not self.only_stats:
            raise click.UsageError(
                "expected --out DIR"
                + (", or --stats to write nothing" if export_format == PAIRS else "")
            )
