"""Preferences that annotations imply: the chosen candidate above each other one shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from rerank.annotation.candidate_items import CANDIDATE_TYPE, candidate_reference
from rerank.annotation.consensus import adjudication_of, label_of
from rerank.store.annotations import Annotation
from rerank.store.preferences import PairSource, PreferenceItem, PreferencePair


@dataclass(frozen=True, slots=True)
class Implied:
    """What annotations imply.

    :param pairs: without metrics, by listing, annotator and place on the screen.
    :param without_shown: matches that record no shown candidates, such as imported ones.
    :param overruled: matches that the adjudicator decided otherwise.
    :param without_gpu: matches with a GPU that the registry lacks.
    """

    pairs: tuple[PreferencePair, ...]
    without_shown: int
    overruled: int
    without_gpu: int


def implied_pairs(annotations: Iterable[Annotation], models: Mapping[str, str]) -> Implied:
    """Return the pairs that matches imply: the chosen candidate is better than each other shown.

    If the annotator chose no variant, the first shown variant of the model stands for it, and the
    model's other variants are not compared. Other verdicts compare no candidates.

    :param models: model by gpu_id; shown GPUs without one are left out.
    """
    ordered = sorted(annotations, key=lambda item: (item.listing_id, item.annotator))
    pairs: list[PreferencePair] = []
    without_shown = overruled = without_gpu = 0
    for _, group in groupby(ordered, key=lambda item: item.listing_id):
        answers = list(group)
        settling = adjudication_of(answers)
        for answer in answers:
            if answer.model is None or answer is settling:
                continue
            if settling is not None and label_of(settling) != label_of(answer):
                overruled += 1
            elif not answer.shown:
                without_shown += 1
            elif answer.gpu_id is not None and answer.gpu_id not in models:
                without_gpu += 1
            else:
                pairs += _pairs_of(answer, models)
    return Implied(tuple(pairs), without_shown, overruled, without_gpu)


def _pairs_of(answer: Annotation, models: Mapping[str, str]) -> list[PreferencePair]:
    shown = [gpu_id for gpu_id in dict.fromkeys(answer.shown) if gpu_id in models]
    variants = [gpu_id for gpu_id in shown if models[gpu_id] == answer.model]
    chosen = answer.gpu_id or next(iter(variants), None)
    if chosen is None:
        return []
    undecided = set(variants) if answer.gpu_id is None else {chosen}
    others = [gpu_id for gpu_id in shown if gpu_id not in undecided]
    return [
        PreferencePair(
            _item(answer.listing_id, chosen),
            _item(answer.listing_id, other),
            1,
            PairSource.ANNOTATION,
            answer.annotator,
            created_at=answer.annotated_at,
        )
        for other in others
    ]


def _item(listing_id: str, gpu_id: str) -> PreferenceItem:
    return PreferenceItem(CANDIDATE_TYPE, candidate_reference(listing_id, gpu_id))
