"""Causes: why a listing was answered wrongly, by rules over what its title and features show.

`cause_of` goes down one of four ladders and takes the first rule that holds:

no right candidate    no such model or size in the registry; the title names it, so retrieval cut
                      it; the title holds a word like a part number; else its name was not read
wrong variant         the right size was a candidate: memory
wrong model           not named by number or part number: as above; another number; then what
                      sets two models of one number apart: form, stated memory, suffix, line
wrong decision        of a GPU held back: the kind of evidence that lowered the log-odds most;
                      of something else accepted: a computer's words, digits inside a longer word,
                      a name no model of the registry has, else an accessory
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from index.lexicon import Reading
from index.naming import parse_model
from index.records import GpuRecord
from index.text import runs

SYSTEM_KINDS = ("laptop", "system", "rig")
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


class Cause(Enum):
    """Why a listing was answered wrongly; the value is its key in reports."""

    NOT_IN_REGISTRY = "registry lacks the model"
    NOT_RETRIEVED = "not retrieved"
    PART_NUMBER = "part number unknown"
    MISREAD = "number misread"
    OTHER_CARD = "another card is named"
    MEMORY = "memory size"
    FORM = "mobile or desktop"
    SUFFIX = "suffix"
    LINE = "sibling line"
    WHOLE_SYSTEM = "whole computer"
    ACCESSORY_ACCEPTED = "accessory taken for a card"
    CARD_REFUSED = "card taken for an accessory"
    SHORT_NAME = "name incomplete"
    CODE_ALONE = "part number alone"
    CLOSE_RIVAL = "close rival"
    LOW_CONFIDENCE = "low confidence"

    @property
    def sentence(self) -> str:
        """What it means, for people."""
        return _SENTENCES[self]


_SENTENCES = {
    Cause.NOT_IN_REGISTRY: "The registry has no such model, or not with this memory size.",
    Cause.NOT_RETRIEVED: "The title names the model, but it was cut from the candidates.",
    Cause.PART_NUMBER: "Only a part number that no rule and no list reads names the model.",
    Cause.MISREAD: "The model's number was not read, or digits of something else were.",
    Cause.OTHER_CARD: "The title names another card, which was taken or cast doubt.",
    Cause.MEMORY: "The memory size told the cards apart, and did not decide.",
    Cause.FORM: "A mobile and a desktop card of one number were confused.",
    Cause.SUFFIX: "Models that differ in a suffix (Ti, XT, SUPER, Ada) were confused.",
    Cause.LINE: "Models of one number in different lines (GT, GTX, RX, Pro) were confused.",
    Cause.WHOLE_SYSTEM: "Words for a laptop, a computer or a rig decided.",
    Cause.ACCESSORY_ACCEPTED: "Something else is sold that is named after the card.",
    Cause.CARD_REFUSED: "Words for a box, a cooler or other goods cast doubt on a card.",
    Cause.SHORT_NAME: "The title leaves out words of the name (GeForce, GTX, Radeon).",
    Cause.CODE_ALONE: "A part number was read rightly, but nothing else confirms it.",
    Cause.CLOSE_RIVAL: "Another model is about as plausible by what the title shows.",
    Cause.LOW_CONFIDENCE: "The answer is right, and the evidence too thin to accept it.",
}


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

    reading: Reading
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


def has_code(reading: Reading) -> bool:
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


def _of_unread(reading: Reading) -> Cause:
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


def _some(value: float) -> bool:
    return value > 0


def _contrary(value: float) -> bool:
    return value < 0


def _several(value: float) -> bool:
    return value > 1


def _small(value: float) -> bool:
    return value < _SMALL_LEAD


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
