"""What a queue earns: gold labels revealed as they are asked for, in memory, over and over.

Each repeat halves the gold listings into a pool to ask about and a rest to measure on. Each queue
asks for its first answers, a model is trained with them, which then orders what is asked next, and
every model is measured on the rest. All queues start from one model that knows no answer, and ask
for the same numbers of answers over the same halves, so their differences are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from index.errors import InputError
from index.records import Listing
from rerank.annotation.consensus import Consensus
from rerank.annotation.diversity import title_key
from rerank.annotation.labelling import (
    DEFAULT_WEIGHT,
    AnnotatedListings,
    labelled_of,
    side_of,
    words_of,
)
from rerank.annotation.laboratory import Laboratory
from rerank.annotation.queue import QueueItem, QueueStrategy, order_queue
from rerank.annotation.simulation_figures import Run, measured
from rerank.bootstrap import LabelledListing
from rerank.evaluation.gold import GoldKind, GoldListing, canonical_key
from rerank.evaluation.outcomes import judge
from rerank.resolver import Resolver
from rerank.retrieval import Retriever
from rerank.splits import Split
from rerank.store.annotations import Verdict

MakeItems = Callable[[Resolver, Sequence[Listing], Sequence[str]], list[QueueItem]]
Teach = Callable[[Sequence[LabelledListing], float], AnnotatedListings]


class Halving(Enum):
    """What stays together when gold listings are halved.

    ``MODEL``: the listings of a model, and those without one that share their words; what is
    measured is what answers about some models teach about others. ``LISTING``: listings of one
    title; the models of the rest recur in the pool, as in a shop's next feed.
    """

    MODEL = "model"
    LISTING = "listing"


@dataclass(frozen=True, slots=True)
class SimulationPlan:
    """What is simulated.

    :param answers: numbers of answers after which a model is trained, rising.
    :param weight: how many generated listings an answer counts as.
    """

    answers: tuple[int, ...] = (25, 50, 100)
    repeats: int = 20
    queues: tuple[QueueStrategy, ...] = tuple(QueueStrategy)
    halving: Halving = Halving.MODEL
    weight: float = DEFAULT_WEIGHT
    seed: int = 7

    def __post_init__(self) -> None:
        rising = sorted(set(self.answers))
        if not rising or rising != list(self.answers) or rising[0] < 1:
            raise InputError(f"expected rising numbers of answers, got {list(self.answers)}")
        if self.repeats < 1 or not self.queues:
            raise InputError(
                f"expected at least 1 repeat and 1 queue, got {self.repeats} and {len(self.queues)}"
            )


def teach_all(labelled: Sequence[LabelledListing], weight: float) -> AnnotatedListings:
    """Train on every answer: as in training, but TEST models teach like any other.

    Answers of VALIDATION models fit the calibrator and the thresholds, all others the ranker and
    the offer classifier.
    """
    sides = [side_of(item) is Split.VALIDATION for item in labelled]
    taught = [item for item, judges in zip(labelled, sides, strict=True) if not judges]
    validation = [item for item, judges in zip(labelled, sides, strict=True) if judges]
    matches = [item for item in taught if item.model is not None]
    return AnnotatedListings(matches, taught, validation, weight=weight)


class Simulation:
    """Gold listings, what answers about them teach, and what the model without answers thinks.

    :param gold: with different listing_ids.
    :param shops: where each gold listing was found.
    :param make_items: what resolves listings of shops and asks all rankers for their votes.
    :param teach: what is trained on answers; the splits by model are off, as the rest is unseen.
    :raises InputError: if two gold listings share an id.
    """

    def __init__(
        self,
        laboratory: Laboratory,
        gold: Sequence[GoldListing],
        shops: Sequence[str],
        *,
        make_items: MakeItems,
        teach: Teach = teach_all,
    ) -> None:
        if len({item.listing_id for item in gold}) != len(gold):
            raise InputError("expected gold listings of different ids, found some twice")
        self._laboratory, self._gold, self._shops = laboratory, gold, shops
        self._make_items, self._teach = make_items, teach
        self._listings = [item.listing for item in gold]
        self._truth = answers_of(gold, laboratory.retriever)
        self._base = self._items(laboratory.resolver(AnnotatedListings()))

    def run(
        self, plan: SimulationPlan, *, progress: Callable[[float], None] = lambda share: None
    ) -> list[Run]:
        """Return every measurement: of the base, then of each queue and number of answers."""
        runs = []
        for repeat in range(plan.repeats):
            pool, rest = halved(self._gold, plan.halving, seed=plan.seed * 1000 + repeat)
            runs.append(Run(repeat, None, 0, self._measured(self._base, rest)))
            for at, queue in enumerate(plan.queues):
                progress((repeat + at / len(plan.queues)) / plan.repeats)
                runs += self._asked(plan, queue, repeat, pool, rest)
        return runs

    def _asked(
        self,
        plan: SimulationPlan,
        queue: QueueStrategy,
        repeat: int,
        pool: Sequence[int],
        rest: Sequence[int],
    ) -> list[Run]:
        """Ask in rounds, train after each, and measure."""
        runs: list[Run] = []
        items, asked = self._base, list[int]()
        for number in plan.answers:
            known = set(asked)
            open_rows = [row for row in pool if row not in known]
            order = order_queue(
                [items[row] for row in open_rows],
                strategy=queue,
                seed=plan.seed * 1000 + repeat,
                limit=number - len(asked),
                answered=[items[row] for row in asked],
            )
            asked += [open_rows[at] for at in order]
            items = self._items(self._laboratory.resolver(self._taught(asked, plan.weight)))
            runs.append(Run(repeat, queue, number, self._measured(items, rest)))
        return runs

    def _taught(self, asked: Sequence[int], weight: float) -> AnnotatedListings:
        keys = (self._gold[row].listing_id for row in asked)
        return self._teach([self._truth[key] for key in keys if key in self._truth], weight)

    def _items(self, resolver: Resolver) -> list[QueueItem]:
        return self._make_items(resolver, self._listings, self._shops)

    def _measured(self, items: Sequence[QueueItem], rest: Sequence[int]) -> dict[str, float | None]:
        gold = [self._gold[row] for row in rest]
        return measured(judge(gold, [items[row].resolution for row in rest]))


def halved(
    gold: Sequence[GoldListing], halving: Halving, *, seed: int
) -> tuple[list[int], list[int]]:
    """Return the rows of the pool and of the rest: groups in random order, the first half of all.

    Listings of a group are in one half.
    """
    groups: dict[str, list[int]] = {}
    for row, item in enumerate(gold):
        groups.setdefault(_group_of(item, halving), []).append(row)
    names = list(groups)
    pool: list[int] = []
    for at in np.random.default_rng(seed).permutation(len(names)).tolist():
        if 2 * len(pool) < len(gold):
            pool += groups[names[at]]
    inside = set(pool)
    return sorted(pool), [row for row in range(len(gold)) if row not in inside]


def answers_of(gold: Sequence[GoldListing], retriever: Retriever) -> dict[str, LabelledListing]:
    """Return what a person who knows the gold would teach, by listing_id.

    A match is answered with the first accepted name that the registry has, with "none of these" if
    it has none; an ambiguous listing with "unsure", which teaches nothing and is not returned.
    """
    names: dict[str, str] = {}
    for record in retriever.table.records:
        names.setdefault(canonical_key(record.model), record.model)
    names |= {record.model: record.model for record in retriever.table.records}
    settled = [_answer(item, names) for item in gold]
    labelled, _ = labelled_of(settled, {g.listing_id: g.listing for g in gold}, retriever)
    return {item.listing.listing_id: item for item in labelled}


def _answer(gold: GoldListing, names: Mapping[str, str]) -> Consensus:
    verdict, model = Verdict.UNSURE, None
    if gold.kind is GoldKind.NIL:
        verdict = Verdict.NOT_GPU
    elif gold.kind is GoldKind.MATCH:
        known = (names.get(m) or names.get(canonical_key(m)) for m in gold.gold_models)
        model = next((name for name in known if name), None)
        verdict = Verdict.MATCH if model else Verdict.NONE_OF_THESE
    return Consensus(gold.listing_id, verdict, model, None, annotators=1, disputed=False)


def _group_of(gold: GoldListing, halving: Halving) -> str:
    if halving is Halving.LISTING:
        return title_key(gold.title)
    if gold.kind is GoldKind.MATCH:
        return f"model {canonical_key(gold.gold_models[0])}"
    return f"words {words_of(gold.title)}"
