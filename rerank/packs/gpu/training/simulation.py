"""What a queue earns: gold labels revealed as they are asked for, in memory, over and over.

Each repeat halves the gold listings into a pool to ask about and a rest to measure on. Each queue
asks for its first answers, a model is trained with them, which then orders what is asked next, and
every model is measured on the rest. All queues start from one model that knows no answer, and ask
for the same numbers of answers over the same halves, so their differences are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from rerank.annotation.agreement import Consensus
from rerank.annotation.queue import (
    MEASURES,
    Halving,
    QueueItem,
    QueueStrategy,
    SimulationPlan,
    order_queue,
    title_key,
)
from rerank.domain import GPU
from rerank.evaluation.gold import GoldKind, GoldListing, canonical_key
from rerank.evaluation.intervals import estimate
from rerank.evaluation.outcomes import Outcomes, judge
from rerank.index.errors import InputError
from rerank.index.records import LabelledListing, Listing
from rerank.packs.gpu.cues import CueReader
from rerank.packs.gpu.training.evidence import Prepared, Preparer
from rerank.packs.gpu.training.labelling import AnnotatedListings, labelled_of, on_sides, words_of
from rerank.packs.gpu.training.sets import Stage, TrainingParameters, generated_listings, held_out
from rerank.packs.gpu.training.train import fit
from rerank.ranking import CandidateSource
from rerank.resolver import Resolver, resolver_of
from rerank.store.rows import Verdict
from rerank.trees import TreeParameters

MakeItems = Callable[[Resolver, Sequence[Listing], Sequence[str]], list[QueueItem]]
Teach = Callable[..., AnnotatedListings]


teach_all: Teach = partial(on_sides, all_teach=True)
"""Train on every answer: as in training, but TEST models teach like any other."""


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
    ) -> list[SimulatedRun]:
        """Return every measurement: of the base, then of each queue and number of answers."""
        runs = []
        for repeat in range(plan.repeats):
            pool, rest = halved(self._gold, plan.halving, seed=plan.seed * 1000 + repeat)
            runs.append(SimulatedRun(repeat, None, 0, self._measured(self._base, rest)))
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
    ) -> list[SimulatedRun]:
        """Ask in rounds, train after each, and measure."""
        runs: list[SimulatedRun] = []
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
            runs.append(SimulatedRun(repeat, queue, number, self._measured(items, rest)))
        return runs

    def _taught(self, asked: Sequence[int], weight: float) -> AnnotatedListings:
        keys = (self._gold[row].listing_id for row in asked)
        answers = [self._truth[key] for key in keys if key in self._truth]
        return self._teach(answers, weight=weight)

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


def answers_of(
    gold: Sequence[GoldListing], retriever: CandidateSource
) -> dict[str, LabelledListing]:
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


@dataclass(frozen=True, slots=True)
class SimulatedRun:
    """One model measured.

    :param queue: what asked; None for the model without answers.
    :param answers: how many were asked for.
    :param values: by the measure's name; None where nothing was measured.
    """

    repeat: int
    queue: QueueStrategy | None
    answers: int
    values: dict[str, float | None]


def measured(outcomes: Outcomes) -> dict[str, float | None]:
    """Return every measure of a model's outcomes by name."""
    return {measure.name: outcomes.value(measure) for measure in MEASURES}


def figures(runs: Sequence[SimulatedRun], *, seed: int) -> dict[str, Any]:
    """Return means, lifts over the base and paired differences to the random queue, for JSON.

    A lift is a model's value less that of the base of its repeat, a difference less that of the
    random queue with as many answers; each a mean over repeats with its 95 % bootstrap interval.
    ``over_random`` is empty if the random queue was not simulated.

    :param seed: of the bootstrap.
    """
    table = {(run.queue, run.answers, run.repeat): run.values for run in runs}
    repeats = sorted({run.repeat for run in runs})
    arms = dict.fromkeys((run.queue, run.answers) for run in runs if run.queue is not None)

    def values(arm: Any, name: str) -> list[float | None]:
        return [table[*arm, repeat][name] for repeat in repeats]

    def means(arm: Any) -> dict[str, Any]:
        return {m.name: _mean(values(arm, m.name)) for m in MEASURES}

    def against(arm: Any, other: Any) -> dict[str, Any]:
        return {
            m.name: _difference(zip(values(arm, m.name), values(other, m.name), strict=True), seed)
            for m in MEASURES
        }

    return {
        "base": means((None, 0)),
        "arms": [
            {
                "queue": queue.value,
                "answers": answers,
                "mean": means((queue, answers)),
                "lift": against((queue, answers), (None, 0)),
                "over_random": (
                    against((queue, answers), (QueueStrategy.RANDOM, answers))
                    if (QueueStrategy.RANDOM, answers) in arms and queue is not QueueStrategy.RANDOM
                    else {}
                ),
            }
            for queue, answers in arms
            if queue is not None
        ],
    }


def _difference(pairs: Iterable[tuple[float | None, float | None]], seed: int) -> dict[str, Any]:
    """Return the mean difference of pairs and its interval, to 6 digits: lifts are small."""
    gaps = np.array([a - b for a, b in pairs if a is not None and b is not None], np.float64)
    figure = estimate(lambda values: float(values.mean()) if len(values) else None, gaps, seed=seed)
    bounds = [None, None] if figure.ci95 is None else [round(end, 6) for end in figure.ci95]
    value = None if figure.value is None else round(figure.value, 6)
    return {"value": value, "ci95": bounds, "n": figure.n}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), 6) if known else None


# A quarter of the trees that are trained for use, each four times as steep: hundreds of trainings
# are compared with each other, none is used.
_FEWER_TREES = 4
# The threshold for a stated precision rests on a few errors; on few listings it jumps about, and
# so would the share accepted. Listings to calibrate on cost little: no tree is trained on them.
_MORE_VALIDATION = 4


class Laboratory:
    """Generated listings with all that needs no model, computed once and kept in memory.

    :param parameters: sizes and seed; trees are fewer and steeper than it says, and it calibrates
        on four times as many listings.
    """

    def __init__(
        self,
        retriever: CandidateSource,
        cues: CueReader,
        parameters: TrainingParameters,
        *,
        progress: Callable[[float], None] = lambda share: None,
    ) -> None:
        self._retriever, self._cues = retriever, cues
        self._parameters = replace(
            parameters,
            ranker=_steeper(parameters.ranker),
            offer=_steeper(parameters.offer),
            validation_listings=parameters.validation_listings * _MORE_VALIDATION,
        )
        self._preparer = Preparer(retriever, cues)
        self._prepared: dict[Stage, Sequence[Prepared]] = {}
        generated = generated_listings(retriever.table.records, self._parameters)
        for stage, listings in generated.items():
            progress(len(self._prepared) / len(Stage))
            lost = held_out(len(listings), parameters) if stage is Stage.OFFER else None
            self._prepared[stage] = list(self._preparer.batches(listings, held_out=lost))

    @property
    def retriever(self) -> CandidateSource:
        """What proposes candidates."""
        return self._retriever

    def resolver(self, annotated: AnnotatedListings) -> Resolver:
        """Train a model with annotations and return a resolver that carries it."""
        fitted = fit(self._prepared.__getitem__, annotated, self._preparer, self._parameters)
        return resolver_of(
            GPU, self._retriever, fitted.model(), index_version="simulation", cues=self._cues
        )


def _steeper(trees: TreeParameters) -> TreeParameters:
    return replace(
        trees,
        trees=max(1, trees.trees // _FEWER_TREES),
        learning_rate=trees.learning_rate * _FEWER_TREES,
    )
