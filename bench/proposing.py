"""How much of what a registry lacks `rerank propose` brings back: `python -m bench.proposing`.

A tenth of the registry's models is taken out, by a seed, and an index of the rest is built; the
shipped model answers generated listings of the models left out, mixed with as many of the others
and with what sells no card at all. Generated listings are written by the same grammar that taught
the model, so that figures on real feeds differ.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from rerank.domain import GPU, card_tools, domain_named
from rerank.index.embedder import StaticEmbedder
from rerank.index.records import shipped
from rerank.lifecycle.opening import open_resolver
from rerank.proposals import Unmatched, propose
from rerank.resolution import Decision
from rerank.workspace import Workspace

_LEAST = 3


def measured(seed: int, n: int) -> dict[str, Any]:
    """Return how many models come back, and how pure their groups are.

    :param n: listings of the models left out, and as many of the others.
    """
    tools = card_tools()
    records = tools.load_registry(shipped("registry"))
    refusals = domain_named(GPU).refusals
    models = sorted({record.model for record in records if record.sold_apart})
    out = set(random.Random(seed).sample(models, len(models) // 10))
    rest = [record for record in records if record.model not in out]
    lacking = tools.generate(records, n, seed=seed, nil_share=0.3, models=out)
    items = [*lacking, *tools.generate(rest, n, seed=seed + 1, nil_share=0.5)]
    with TemporaryDirectory() as home:
        folder = Workspace(Path(home)).index_folder
        tools.build_index(rest, StaticEmbedder.load(shipped("embedder")), folder)
        answers = open_resolver(Path(home)).resolve_many([item.listing for item in items])
    pool = [
        item
        for item, answer in zip(items, answers, strict=True)
        if answer.decision != Decision.MATCH and not answer.reason.startswith(refusals)
    ]
    found = propose([Unmatched("", item.listing.title) for item in pool], rest, least=_LEAST)
    counts = Counter(item.model for item in pool if item.model in out)
    could = {model for model in out if counts[model] >= _LEAST}
    return {
        "left out": len(out),
        "with three listings": len(could),
        **_judged(found, pool, could, out),
    }


def _judged(
    found: Sequence[Any], pool: Sequence[Any], could: set[str], out: set[str]
) -> dict[str, Any]:
    came, pure, total, exact, wrong = set(), 0, 0, 0, 0
    for each in found:
        models = Counter(pool[at].model for at in each.listings)
        ((model, n),) = models.most_common(1)
        total, pure = total + len(each.listings), pure + n
        came.add(model)
        wrong += model not in out
        exact += each.name == model
    back = len(came & could)
    return {
        "came back": back,
        "share": round(back / max(len(could), 1), 3),
        "groups": len(found),
        "groups of something else": wrong,
        "purity": round(pure / max(total, 1), 3),
        "named exactly": exact,
    }


@click.command()
@click.option("--seed", "seeds", type=int, multiple=True, default=(1, 2, 3), show_default=True)
@click.option("--n", type=int, default=3000, show_default=True)
def main(seeds: tuple[int, ...], n: int) -> None:
    """Print figures, a line a seed."""
    for seed in seeds:
        click.echo(f"seed {seed}: {measured(seed, n)}")


if __name__ == "__main__":
    main()
