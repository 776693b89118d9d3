"""Pairwise F1 of a catalogue home's path, beside what is published for the same pairs.

`python -m bench.pairs NAME HOME --catalogue products.csv --listings feed.csv --matches gold.csv
--pairs test.csv` goes the way a user goes (`rerank init`, `build-index`, `train-ltr --labels`,
`score`) with the matches that are no test pair as labels, and writes HOME/reports/pairs.json.
The data are their publishers'; none of it is kept.

A pair is called a match where the probability of its candidate is at least a threshold, chosen on
pairs of listings whose labels were held back: where their F1 is best. The pairs without a match
are these listings' first candidates, as many for each match as the test pairs have.
"""

from __future__ import annotations

import csv
import resource
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import pyarrow.parquet as pq

from rerank.evaluation.baselines import this_machine
from rerank.index.artifacts import write_json

_HELD_BACK = 5  # every fifth listing with a match chooses the threshold
_SAMPLES = 1_000
_LEVEL = (2.5, 97.5)

Pair = tuple[str, str]


class Task(NamedTuple):
    """What pairs are judged of.

    :param header: columns of ``listings``, the first of them their id.
    :param matches: products that each listing sells, test pairs among them.
    :param pairs: the test pairs whose product is in the catalogue, with their labels.
    :param left_out: test pairs whose product the catalogue lacks.
    """

    header: Sequence[str]
    listings: Sequence[Sequence[str]]
    matches: Mapping[str, Sequence[str]]
    pairs: Mapping[Pair, bool]
    left_out: int

    @property
    def taught(self) -> dict[str, list[str]]:
        """Return the matches that are no test pair."""
        kept = {
            listing: [product for product in products if (listing, product) not in self.pairs]
            for listing, products in self.matches.items()
        }
        return {listing: products for listing, products in kept.items() if products}


def read_task(catalogue: Path, listings: Path, matches: Path, pairs: Path) -> Task:
    """Read tables whose first column is the id; products of a listing are parted by `;`."""
    header, *rows = _rows(listings)
    known = {row[0] for row in _rows(catalogue)[1:]}
    found = {row[0]: row[1].split(";") for row in _rows(matches)[1:] if row[1]}
    labels = {(left, right): label == "1" for left, right, label in _rows(pairs)[1:]}
    kept = {pair: label for pair, label in labels.items() if pair[1] in known}
    return Task(header, rows, found, kept, len(labels) - len(kept))


def f1(said: np.ndarray, true: np.ndarray) -> tuple[float, float, float]:
    """Return F1, precision and recall of what was called a match."""
    both = int((said & true).sum())
    precision, recall = both / max(int(said.sum()), 1), both / max(int(true.sum()), 1)
    return 2 * both / max(int(said.sum()) + int(true.sum()), 1), precision, recall


def measured(task: Task, home: Path, catalogue: Path, listings: Path, seed: int) -> dict[str, Any]:
    """Train, score and judge the test pairs; returns figures with 95 % bootstrap intervals."""
    taught = task.taught
    held_back = set(sorted(taught, key=lambda key: (len(key), key))[::_HELD_BACK])
    labels = home / "labels.csv"
    _write_labels(labels, task, {k: v for k, v in taught.items() if k not in held_back})
    described, scored = home / "catalogue.yaml", home / "scored.parquet"
    at_home = ("--home", home / "home")
    _rerank("init", catalogue, "--listings", listings, "--output", described)
    _rerank("build-index", "--catalogue", described, *at_home)
    _rerank("train-ltr", "--labels", labels, "--seed", seed, *at_home)
    _rerank("score", listings, scored, *at_home)
    probability = _probabilities(scored, task.header[0])
    pairs = list(task.pairs)
    true = np.array([task.pairs[pair] for pair in pairs])
    ratio = float((~true).sum() / true.sum())
    threshold = _threshold(probability, taught, held_back, ratio)
    said = np.array([probability.get(pair, 0.0) for pair in pairs]) >= threshold
    value, precision, recall = f1(said, true)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "f1": {"value": value, "ci95": _interval(pairs, said, true, seed)},
        "precision": precision,
        "recall": recall,
        "threshold": threshold,
        "n": len(pairs),
        "n_matches": int(true.sum()),
        "left_out": task.left_out,
        "labels": sum(len(v) for k, v in taught.items() if k not in held_back),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "seed": seed,
        "machine": this_machine(),
    }


def _threshold(
    probability: Mapping[Pair, float],
    taught: Mapping[str, Sequence[str]],
    held_back: set[str],
    ratio: float,
) -> float:
    """Return the threshold of the best F1 on held-back listings' pairs.

    The pairs without a match are each listing's first candidates that no label names.
    """
    matches = [(listing, product) for listing in sorted(held_back) for product in taught[listing]]
    wrong = defaultdict(list)
    for pair in probability:  # a listing's candidates stand best first
        if pair[0] in held_back and pair[1] not in taught[pair[0]]:
            wrong[pair[0]].append(pair)
    most = round(ratio * len(matches) / max(len(held_back), 1))
    others = [pair for listing in sorted(wrong) for pair in wrong[listing][:most]]
    values = np.array([probability.get(pair, 0.0) for pair in [*matches, *others]])
    true = np.arange(len(values)) < len(matches)
    found = [(f1(values >= at, true)[0], at) for at in np.unique(values)]
    return float(max(found)[1])


def _interval(
    pairs: Sequence[Pair], said: np.ndarray, true: np.ndarray, seed: int
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of F1 over listings."""
    by_listing = defaultdict(list)
    for at, (listing, _) in enumerate(pairs):
        by_listing[listing].append(at)
    groups = [np.array(rows) for rows in by_listing.values()]
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(_SAMPLES):
        rows = np.concatenate([groups[g] for g in rng.integers(0, len(groups), len(groups))])
        values.append(f1(said[rows], true[rows])[0])
    low, high = np.percentile(values, _LEVEL)
    return float(low), float(high)


def _probabilities(scored: Path, id_column: str) -> dict[Pair, float]:
    table = pq.read_table(scored, columns=[id_column, "candidates"])
    return {
        (str(listing), str(candidate["product_id"])): candidate["probability"] or 0.0
        for listing, found in zip(*(column.to_pylist() for column in table.columns), strict=True)
        for candidate in found
    }


def _write_labels(path: Path, task: Task, taught: Mapping[str, Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*task.header, "product_id"])
        for row in task.listings:
            writer.writerows([*row, product] for product in taught.get(row[0], ()))


def _rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def _rerank(*words: object) -> None:
    subprocess.run([Path(sys.executable).with_name("rerank"), *map(str, words)], check=True)


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("name")
@click.argument("home", type=click.Path(file_okay=False, path_type=Path))
@click.option("--catalogue", type=_FILE, required=True, help="Products, the first column their id.")
@click.option("--listings", type=_FILE, required=True, help="Listings, the first column their id.")
@click.option("--matches", type=_FILE, required=True, help="A listing's id, its products' ids.")
@click.option("--pairs", type=_FILE, required=True, help="Test pairs: listing, product, 0 or 1.")
@click.option("--seed", type=click.IntRange(0), default=7, show_default=True)
def main(
    name: str, home: Path, catalogue: Path, listings: Path, matches: Path, pairs: Path, seed: int
) -> None:
    """Measure pairwise F1 under NAME, in the new folder HOME; for docs/figures.md."""
    home.mkdir(parents=True)
    task = read_task(catalogue, listings, matches, pairs)
    figures = measured(task, home, catalogue, listings, seed)
    (home / "reports").mkdir()
    write_json({name: figures}, home / "reports" / "pairs.json")
    low, high = figures["f1"]["ci95"]
    click.echo(
        f"{name}: F1 {figures['f1']['value']:.3f} ({low:.3f}-{high:.3f}) on {figures['n']:,} "
        f"pairs, {figures['labels']:,} labels, {figures['cpu_s']:,.0f} s of CPU"
    )


if __name__ == "__main__":
    main()
