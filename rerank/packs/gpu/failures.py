"""Failure analysis: each wrong answer with what was right, where the two differ, and the cause."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from operator import gt, lt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.evaluation.gold import GoldKind, GoldListing, canonical_key
from rerank.evaluation.metrics import TOP_GRADE
from rerank.evaluation.outcomes import Cause, Failure, FeatureGap, errors_of, grade, lost_to
from rerank.explanation import contributions, ranking_shares, strongest, words_of
from rerank.index.errors import InputError
from rerank.index.records import GpuRecord
from rerank.index.text import runs
from rerank.packs.gpu.candidates import CANDIDATE_FEATURES
from rerank.packs.gpu.card_answers import SYSTEM_KINDS
from rerank.packs.gpu.lexicon import TitleReading
from rerank.packs.gpu.naming import parse_model
from rerank.packs.gpu.offers import OFFER_FEATURES
from rerank.ranking import Evidence, ModelTable
from rerank.resolution import Resolution, ScoredCandidate
from rerank.resolver import Resolver


def failures(
    resolver: Resolver,
    gold: Sequence[GoldListing],
    answers: Sequence[Resolution],
    evidence: Sequence[Evidence] = (),
    *,
    limit: int = 200,
) -> list[Failure]:
    """Return what went wrong and why, the costliest first, in the order of `errors_of`.

    Importing LightGBM takes 2 s; some hundred failures then take a second.

    :param answers: of this resolver with as many candidates as it takes unasked, in the order of
        ``gold``.
    :param evidence: of the answers, batch by batch; without any it is gathered again.
    :param limit: how many failures are analysed, from 0.
    :raises InputError: if the limit is negative or answers are not those of the resolver.
    """
    if limit < 0:
        raise InputError(f"limit must be at least 0, got {limit}")
    seen = evidence or [resolver.evidence([item.listing for item in gold])]
    cases = find_cases(gold, answers, seen, resolver, limit=limit)
    ranking, offers = ranker_shares(resolver, cases), offer_shares(resolver, cases)
    known, table = KnownModels(resolver.table), resolver.table
    return [
        _failure(
            case,
            known,
            _situation(case, known, table, offers.get(at)),
            _gaps(case, ranking.get(at), offers.get(at)),
        )
        for at, case in enumerate(cases)
    ]


def _failure(
    case: Case, known: KnownModels, situation: Situation, gaps: tuple[FeatureGap, ...]
) -> Failure:
    right, error = situation.right, case.error
    part = lost_to(case.gold, case.answer, known.by_key)
    return Failure(
        listing_id=case.gold.listing_id,
        title=case.gold.title,
        want=error["want"],
        got=error["got"],
        decision=error["decision"],
        probability=error["probability"],
        lost_to=error["kind"] if part is None else part.value,
        cause=cause_of(situation),
        right=f"{right.model} {right.memory_gb:g} GB {right.form_factor}" if right else None,
        features=gaps,
    )


def _situation(
    case: Case, known: KnownModels, table: ModelTable, shares: Shares | None
) -> Situation:
    evidence = case.evidence
    return Situation(
        reading=evidence.candidates.readings[case.number],
        is_match=case.gold.kind is GoldKind.MATCH,
        in_registry=known.holds(case.gold),
        named=known.is_named(case.gold, evidence, case.number),
        chosen=_record(case.chosen, evidence, table),
        right=_record(case.right, evidence, table),
        chosen_values=_by_name(CANDIDATE_FEATURES, evidence.features, case.chosen),
        right_values=_by_name(CANDIDATE_FEATURES, evidence.features, case.right),
        offer_values=_by_name(OFFER_FEATURES, evidence.offers, case.number),
        offer_shares={} if shares is None else dict(zip(OFFER_FEATURES, shares, strict=True)),
    )


def _gaps(case: Case, ranking: Shares | None, offer: Shares | None) -> tuple[FeatureGap, ...]:
    right: NDArray[np.float32] | None = None
    evidence = case.evidence
    if offer is not None:
        names, shares, chosen = OFFER_FEATURES, offer, evidence.offers[case.number]
    elif ranking is not None:
        names, shares, chosen = CANDIDATE_FEATURES, ranking, evidence.features[case.chosen]
        right = None if case.right == NO_ROW else evidence.features[case.right]
    else:
        return ()
    return tuple(
        FeatureGap(
            names[at],
            words_of(names[at]),
            None if right is None else _rounded(right[at]),
            _rounded(chosen[at]),
            _rounded(shares[at]),
        )
        for at in strongest(names, shares)
    )


def _record(row: int, evidence: Evidence, table: ModelTable) -> GpuRecord | None:
    return None if row == NO_ROW else table.records[int(evidence.candidates.record[row])]


def _by_name(names: Sequence[str], values: NDArray[np.float32], row: int) -> dict[str, float]:
    return {} if row == NO_ROW else dict(zip(names, values[row].tolist(), strict=True))


def _rounded(value: float) -> float:
    return round(float(value), 4)


NO_ROW = -1

Shares = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Case:
    """A wrong answer.

    :param error: what `errors_of` says of it.
    :param evidence: of the batch its listing was answered in.
    :param number: its listing's place in the evidence.
    :param chosen: row of the first candidate in the evidence, -1 if there was no candidate.
    :param right: row of the best-ranked right candidate, -1 if there is none.
    """

    error: dict[str, Any]
    gold: GoldListing
    answer: Resolution
    evidence: Evidence
    number: int
    chosen: int
    right: int

    @property
    def is_decision(self) -> bool:
        """Whether the order left nothing to wish for, so that only the decision was wrong."""
        return self.gold.kind is GoldKind.NIL or (self.chosen == self.right != NO_ROW)


class KnownModels:
    """Which records of a registry a gold listing may mean."""

    def __init__(self, table: ModelTable) -> None:
        self._table = table

    @cached_property
    def by_key(self) -> dict[str, list[int]]:
        """Rows of the registry by `canonical_key` of their model."""
        rows: dict[str, list[int]] = {}
        for row, record in enumerate(self._table.records):
            rows.setdefault(canonical_key(record.model), []).append(row)
        return rows

    def holds(self, gold: GoldListing) -> bool:
        """Say whether a right model is there, in the memory size the listing states."""
        return any(fits(gold, self._table.records[row]) for row in self._rows(gold))

    def is_named(self, gold: GoldListing, evidence: Evidence, number: int) -> bool:
        """Say whether the lexicon reads a right model in the title of a listing."""
        models = np.unique(self._table.model_of_record[self._rows(gold)]).astype(np.int64)
        listing = np.full(len(models), number, np.int64)
        found = evidence.candidates.names.find(listing, models, len(self._table.models))
        return bool((found >= 0).any())

    def _rows(self, gold: GoldListing) -> list[int]:
        keys = dict.fromkeys(canonical_key(model) for model in gold.gold_models)
        return [row for key in keys for row in self.by_key.get(key, ())]


def find_cases(
    gold: Sequence[GoldListing],
    answers: Sequence[Resolution],
    evidence: Sequence[Evidence],
    resolver: Resolver,
    *,
    limit: int,
) -> list[Case]:
    """Return the first ``limit`` wrong answers, costliest first.

    :raises InputError: if answers are not made from this evidence.
    """
    # Ids may repeat where sets were put together; places do not.
    placed = [replace(item, listing_id=f"{at:09d}") for at, item in enumerate(gold)]
    starts = np.cumsum([0, *(len(each.candidates.offsets) - 1 for each in evidence)]).tolist()
    errors = {int(error["listing_id"]): error for error in errors_of(placed, answers)[:limit]}
    cases = {}
    for own, start, stop in zip(evidence, starts, starts[1:], strict=False):
        wrong = [place for place in errors if start <= place < stop]
        rights = {place: _right(gold[place], answers[place].candidates) for place in wrong}
        seen, behind = own, []
        for place, right in rights.items():
            rows = _places(own, place - start, resolver.table)
            _check_made_of(rows, gold[place], answers[place])
            behind += [rows[right.gpu_id]] if right else []
        if own.proposed is not None and behind:  # a right one may be none of those ranked
            listings = [item.listing for item in gold[start:stop]]
            seen = replace(resolver.weigh(listings, own.proposed, also=behind), offers=own.offers)
        for place, right in rights.items():
            first = next(iter(answers[place].candidates), None)
            described = (
                _row_of(one, seen, place - start, resolver.table) for one in (first, right)
            )
            cases[place] = Case(
                errors[place], gold[place], answers[place], seen, place - start, *described
            )
    return [cases[place] for place in errors]


def _places(evidence: Evidence, number: int, table: ModelTable) -> dict[str, int]:
    """Return the rows of a listing's candidates in all that were proposed, by gpu_id."""
    batch = evidence.proposed or evidence.candidates
    start, stop = batch.offsets[number : number + 2].tolist()
    records = batch.record[start:stop].tolist()
    return {table.records[record].gpu_id: start + at for at, record in enumerate(records)}


def _row_of(
    candidate: ScoredCandidate | None, evidence: Evidence, number: int, table: ModelTable
) -> int:
    """Return a candidate's row among those that are described."""
    if candidate is None:
        return NO_ROW
    return _places(replace(evidence, proposed=None), number, table)[candidate.gpu_id]


def _check_made_of(rows: Mapping[str, int], gold: GoldListing, answer: Resolution) -> None:
    """Check that an answer's candidates are those of some rows.

    :raises InputError: if not.
    """
    unknown = [c.gpu_id for c in answer.candidates if c.gpu_id not in rows]
    if unknown:
        raise InputError(
            f"listing {gold.listing_id!r}: the answer has the candidate {unknown[0]!r}, which the "
            "resolver does not retrieve for it; pass the resolver that gave the answers"
        )


def fits(gold: GoldListing, variant: GpuRecord | ScoredCandidate) -> bool:
    """Say whether this is a right model in the memory size the listing states, if it does."""
    bare = ScoredCandidate("", variant.model, variant.memory_gb, "", 0.0, 0.0, 0.0, 0.0)
    return grade(replace(gold, gold_form=""), bare) == TOP_GRADE


def ranker_shares(resolver: Resolver, cases: Sequence[Case]) -> dict[int, Shares]:
    """Return what each feature did for the chosen candidate, less for the right one if there is.

    In units of the ranker's score, shape (features,), by the place of each case that is no mere
    wrong decision. One call explains all rows.
    """
    read = [
        (at, sign, case.evidence.features[row])
        for at, case in enumerate(cases)
        for sign, row in ((1, case.chosen), (-1, case.right))
        if row != NO_ROW and case.chosen != NO_ROW and not case.is_decision
    ]
    found: dict[int, Shares] = {}
    if read:
        shares = ranking_shares(resolver.model, np.stack([row for _, _, row in read]))
        for (at, sign, _), own in zip(read, shares, strict=True):
            found[at] = found.get(at, np.zeros(len(own))) + sign * own
    return found


def offer_shares(resolver: Resolver, cases: Sequence[Case]) -> dict[int, Shares]:
    """Return what each feature did for accepting, by the place of each wrong decision.

    In log-odds, shape (offer features,). One call explains all rows.
    """
    read = [at for at, case in enumerate(cases) if case.is_decision]
    if not read:
        return {}
    offers = np.stack([cases[at].evidence.offers[cases[at].number] for at in read])
    shares = contributions(resolver.model.offer_text, offers)[:, :-1]
    return dict(zip(read, shares, strict=True))


def _right(gold: GoldListing, candidates: Sequence[ScoredCandidate]) -> ScoredCandidate | None:
    """Return the best-ranked right candidate: the first itself, unless it is wrong.

    Of several behind it, one that has the stated form as well comes first.
    """
    if candidates and fits(gold, candidates[0]):
        return candidates[0]
    exact = (c for c in candidates if grade(gold, c) == TOP_GRADE)
    return next(exact, None) or next((c for c in candidates if fits(gold, c)), None)


OTHER_GOODS_KINDS = (
    "empty",
    "box",
    "holder",
    "cooling",
    "connector",
    "picture",
    "wanted",
    "service",
    "cpu",
    "storage",
    "other_part",
    "video_gear",
    "defect",
)
_MOBILE = frozenset(["mobile", "Max-Q", "MXM"])
# A part number mixes letters and digits at length: GV-N1656OC, 36NOL7MD1VOC; RTX5070Ti does not.
_CODE_LETTERS, _CODE_RUNS, _UNBROKEN_CODE_RUNS = 7, 3, 4
_WORD = re.compile(r"\S+")
_SMALL_LEAD = 3.0  # of scores; a lead over a model of another number is 5 to 9
_NOTICEABLE = -0.1  # log-odds; less pulls a probability down by 0.025 at most


@dataclass(frozen=True, slots=True)
class Situation:
    """What a cause is read from.

    :param is_match: whether the listing sells a GPU; if not, it was accepted by mistake.
    :param in_registry: whether the registry has the model sold, with the size stated.
    :param named: whether the title names a right model as far as the lexicon can read.
    :param chosen: the best candidate; None if there was none.
    :param right: the best-ranked right candidate; None if there is none, ``chosen`` if it is right.
    :param chosen_values: the chosen candidate's features by name.
    :param right_values: those of the right one, empty without one.
    :param offer_values: features of the offer by name.
    :param offer_shares: their contributions in log-odds; empty unless the decision was wrong.
    """

    reading: TitleReading
    is_match: bool
    in_registry: bool
    named: bool
    chosen: GpuRecord | None
    right: GpuRecord | None
    chosen_values: Mapping[str, float]
    right_values: Mapping[str, float]
    offer_values: Mapping[str, float]
    offer_shares: Mapping[str, float]


def cause_of(situation: Situation) -> Cause:
    """Return the cause of a wrong answer by the rules of this module."""
    if not situation.is_match:
        return _of_accepted_goods(situation)
    chosen, right = situation.chosen, situation.right
    if chosen is None or right is None:
        return _of_loss(situation)
    if right is chosen:
        return _of_held_back(situation)
    if right.model == chosen.model:
        return Cause.MEMORY
    return _of_confusion(situation, chosen, right)


def has_code(reading: TitleReading) -> bool:
    """Say whether a word of a title looks like a part number: long, letters and digits mixed."""
    return any(_is_code(match[0]) for match in _WORD.finditer(reading.text))


def _is_code(word: str) -> bool:
    pieces = runs(word)
    letters = sum(len(piece.text) for piece in pieces)
    enough = _UNBROKEN_CODE_RUNS if word.isalnum() else _CODE_RUNS
    mixed = any(p.text.isdigit() for p in pieces) and not all(p.text.isdigit() for p in pieces)
    return letters >= _CODE_LETTERS and len(pieces) >= enough and mixed


def _of_loss(situation: Situation) -> Cause:
    if not situation.in_registry:
        return Cause.NOT_IN_REGISTRY
    return Cause.NOT_RETRIEVED if situation.named else _of_unread(situation.reading)


def _of_unread(reading: TitleReading) -> Cause:
    return Cause.PART_NUMBER if has_code(reading) else Cause.MISREAD


def _of_confusion(situation: Situation, chosen: GpuRecord, right: GpuRecord) -> Cause:
    """Return why another model came first: unread, another number, or what sets siblings apart."""
    if situation.right_values["named"] < 1:
        return _of_unread(situation.reading)
    own, other = parse_model(right.model), parse_model(chosen.model)
    if own.key != other.key:
        is_named = situation.chosen_values["named"] >= 1
        return Cause.OTHER_CARD if is_named else Cause.CLOSE_RIVAL
    if (right.form_factor in _MOBILE) is not (chosen.form_factor in _MOBILE):
        return Cause.FORM
    if situation.right_values["memory_fit"] > situation.chosen_values["memory_fit"]:
        return Cause.MEMORY
    return Cause.SUFFIX if set(own.suffix) != set(other.suffix) else Cause.LINE


def _of_accepted_goods(situation: Situation) -> Cause:
    values = situation.offer_values
    if any(_cues(values, kind) for kind in SYSTEM_KINDS):
        return Cause.WHOLE_SYSTEM
    if any(_cues(values, kind) for kind in OTHER_GOODS_KINDS):
        return Cause.ACCESSORY_ACCEPTED
    if values["glued_foreign"] > 0 or values["prefix_fit"] < 0:
        return Cause.MISREAD
    misfits = values["suffix_extra"] > 0 or values["line_conflict"] > 0
    if misfits or values["model_memory_fit"] < 0 or values["vendor_fit"] < 0:
        return Cause.NOT_IN_REGISTRY
    return Cause.ACCESSORY_ACCEPTED


def _of_held_back(situation: Situation) -> Cause:
    """Return the kind of evidence whose contributions lowered the log-odds most.

    Only evidence that is there counts: that no box is mentioned lowers nothing.
    """
    values, shares = situation.offer_values, situation.offer_shares
    harm = {
        cause: sum(shares[name] for name, is_there in signs.items() if is_there(values[name]))
        for cause, signs in _SIGNS.items()
    }
    worst = min(harm, key=lambda cause: harm[cause])
    if harm[worst] <= _NOTICEABLE:
        return worst
    return Cause.CODE_ALONE if values["code_length"] > 0 else Cause.LOW_CONFIDENCE


def _cues(values: Mapping[str, float], kind: str) -> float:
    """Return how many unexcused words of a kind the title holds."""
    return values[f"{kind}_before"] + values[f"{kind}_after"]


_some, _contrary, _several = partial(lt, 0), partial(gt, 0), partial(lt, 1)
_small = partial(gt, _SMALL_LEAD)


def _cue_columns(kinds: tuple[str, ...]) -> dict[str, Callable[[float], bool]]:
    return {f"{kind}_{where}": _some for kind in kinds for where in ("before", "after", "excused")}


_SIGNS: dict[Cause, dict[str, Callable[[float], bool]]] = {
    Cause.WHOLE_SYSTEM: _cue_columns(SYSTEM_KINDS),
    Cause.CARD_REFUSED: {
        **_cue_columns((*OTHER_GOODS_KINDS, "for", "only", "story", "sale_of_many")),
        "meant_for": _some,
    },
    Cause.SUFFIX: {"suffix_missing": _some, "suffix_absent": _some, "suffix_extra": _some},
    Cause.MEMORY: {
        "memory_fit": _contrary,
        "model_memory_fit": _contrary,
        "memory_type_fit": _contrary,
        "memory_rival": _some,
    },
    Cause.FORM: {"form_fit": _contrary},
    Cause.LINE: {
        "line_conflict": _some,
        "prefix_fit": _contrary,
        "glued_foreign": _some,
        "vendor_fit": _contrary,
        "partner_fit": _contrary,
    },
    Cause.OTHER_CARD: {"mention_order": _some, "compared": _some, **_cue_columns(("than",))},
    Cause.CLOSE_RIVAL: {"lead": _small, "exact_rivals": _some, "named_models": _several},
    Cause.SHORT_NAME: {"line_absent": _some, "words_absent": _some},
    Cause.CODE_ALONE: {"code_length": _some, "code_certain": _some},
}
"""The evidence that may speak against a right answer, and when a feature's value is such."""
