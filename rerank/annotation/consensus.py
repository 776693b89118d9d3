"""One answer for each listing out of what several annotators said of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from rerank.store.annotations import Annotation, Verdict

ADJUDICATOR = "adjudicator"
"""The annotator whose answer settles a listing, whatever the others said."""


@dataclass(frozen=True, slots=True)
class Consensus:
    """What a listing sells as far as its annotators agree.

    :param model: set exactly if ``verdict`` is `Verdict.MATCH`.
    :param gpu_id: the variant, if those who hold the answer and name one name the same.
    :param annotators: people who answered, the adjudicator and the unsure among them.
    :param disputed: whether opinions differ and nobody adjudicated.
    """

    listing_id: str
    verdict: Verdict
    model: str | None
    gpu_id: str | None
    annotators: int
    disputed: bool


def consensus(annotations: Iterable[Annotation]) -> list[Consensus]:
    """Return one answer for each annotated listing, ordered by listing.

    The adjudicator's answer counts alone. Otherwise an opinion is a label (see `label_of`) other
    than unsure: if all opinions are one, it is the answer; if they differ, it is the one that at
    least two and more than half of them hold, marked as disputed; if there is none such, or no
    opinion at all, the verdict is `Verdict.UNSURE`. Variants of one model are no dispute: the
    model stands and ``gpu_id`` is None.

    :param annotations: at most one for each listing and annotator, in any order.
    """
    ordered = sorted(annotations, key=lambda item: item.listing_id)
    return [
        _settled(listing_id, list(answers))
        for listing_id, answers in groupby(ordered, key=lambda item: item.listing_id)
    ]


def label_of(annotation: Annotation) -> str:
    """Return what answers are compared by: the model of a match, else the verdict's value."""
    return annotation.verdict.value if annotation.model is None else annotation.model


def opinions_of(answers: Iterable[Annotation]) -> list[Annotation]:
    """Return the answers that are opinions: all but the unsure ones."""
    return [item for item in answers if item.verdict is not Verdict.UNSURE]


def adjudication_of(answers: Iterable[Annotation]) -> Annotation | None:
    """Return the adjudicator's answer for a listing, if there is one."""
    return next((item for item in answers if item.annotator == ADJUDICATOR), None)


def is_disputed(answers: Sequence[Annotation]) -> bool:
    """Tell whether the answers for one listing hold different opinions and none settles them."""
    if adjudication_of(answers) is not None:
        return False
    return len({label_of(item) for item in opinions_of(answers)}) > 1


def _settled(listing_id: str, answers: Sequence[Annotation]) -> Consensus:
    settling = adjudication_of(answers)
    holders = [settling] if settling is not None else _majority(opinions_of(answers))
    if not holders:
        verdict, model, gpu_id = Verdict.UNSURE, None, None
    else:
        variants = {item.gpu_id for item in holders if item.gpu_id is not None}
        verdict, model = holders[0].verdict, holders[0].model
        gpu_id = variants.pop() if len(variants) == 1 else None
    return Consensus(listing_id, verdict, model, gpu_id, len(answers), is_disputed(answers))


def _majority(opinions: Sequence[Annotation]) -> list[Annotation]:
    """Return those who hold the winning label; none if no label wins."""
    if not opinions:
        return []
    [(label, held)] = Counter(label_of(item) for item in opinions).most_common(1)
    if held < len(opinions) and (held < 2 or 2 * held <= len(opinions)):
        return []
    return [item for item in opinions if label_of(item) == label]
