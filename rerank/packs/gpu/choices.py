"""Graphics cards as people choose among them: what sets candidates apart, and search by words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rerank.annotation.queue import WordContrast, holds_in_order, word_contrasts
from rerank.domain import AskingWords, CatalogueChoice, FoundChoices
from rerank.index.records import DEFAULT_FORM_FACTOR, GpuRecord
from rerank.index.text import normalise, runs, squash
from rerank.packs.gpu.lexicon import CodeFound, Lexicon, TitleReading
from rerank.resolution import ScoredCandidate, memory, same_size

if TYPE_CHECKING:
    from rerank.packs.gpu.retriever import Retriever

_WIDEST = 44  # columns of a model's name
_SHORTEST_CODE = 4  # letters and digits: fewer begin part numbers by chance


class GpuChoices:
    """The registry's cards; see `rerank.domain.Choices`."""

    words = AskingWords(
        catalogue="registry",
        chosen="this candidate, with its memory and form factor",
        unlisted="a GPU, but not in the registry",
        not_one="not a GPU",
        such_as="an accessory, a laptop, a whole computer, a box",
        several="several cards",
        any_variant="this model, memory unknown",
    )

    def __init__(self, retriever: Retriever) -> None:
        self._records, self._lexicon = retriever.records, retriever.lexicon
        self._by_id = {record.gpu_id: record for record in retriever.records}

    def of(self, key: str) -> CatalogueChoice:
        """Return a card by its gpu_id."""
        return choice_of(self._by_id[key])

    def apart(self, candidates: Sequence[ScoredCandidate], title: str) -> list[str]:
        """Return what sets each candidate of a title apart from the others."""
        return ["; ".join(each.parts) for each in contrasts(candidates, title, self._lexicon)]

    def search(self, query: str, most: int) -> FoundChoices:
        """Return the cards of whose names each word of a query begins a word."""
        found = find_by_words(self._records, query)
        return FoundChoices([choice_of(record) for record in found[:most]], len(found))


def choice_of(record: GpuRecord) -> CatalogueChoice:
    """Return a card as people choose it: model, memory, memory type and form factor."""
    size, kind, form = memory(record.memory_gb), record.memory_type, record.form_factor
    return CatalogueChoice(
        record.gpu_id,
        record.model,
        name=f"{record.model} {size} {kind} {form}",
        heading=record.model,
        cells=f"{size:>7} {kind:7} {form:11}",
        widest=_WIDEST,
    )


def find_by_words(records: Sequence[GpuRecord], query: str) -> list[GpuRecord]:
    """Return the GPUs of whose names each word of a query begins a word.

    A name is the model, the aliases, the memory size and the form factor; so `406` and `4060 16`
    find an RTX 4060 Ti with 16 GB. A query of four signs or more that begins a part number finds
    its GPU too. Names with the fewest other words come first, equals in the order of the registry.
    """
    wanted = [run.text for run in runs(normalise(query))]
    if not wanted:
        return []
    code = "".join(wanted)
    found = []
    for at, record in enumerate(records):
        name = (record.model, *record.aliases, f"{record.memory_gb:g} gb", record.form_factor)
        held = {run.text for run in runs(normalise(" ".join(name)))}
        if all(any(word.startswith(start) for word in held) for start in wanted) or (
            len(code) >= _SHORTEST_CODE
            and any(squash(number).startswith(code) for number in record.part_numbers)
        ):
            found.append((len(runs(normalise(record.model))), at))
    return [records[at] for _, at in sorted(found)]


_NUMBER_AND_LETTERS = re.compile(r"\b(\d{3,})([A-Za-z]+)\b")
_LEFT_OUT = frozenset(["GeForce", "Radeon"])  # sellers leave them out: that is no evidence
_FORM_WORDS = {
    "mobile": ("mobile", "laptop", "notebook"),
    "Max-Q": ("max", "maxq"),
    "server": ("server", "passive"),
}


@dataclass(frozen=True, slots=True)
class Contrast(WordContrast):
    """What speaks for and against one candidate, without what all candidates share.

    :param code: the part number or alias in the title that names its model; then nothing is unsaid.
    :param memory: how its memory compares with the title's; empty where that tells nothing.
    :param form: how its form factor compares with the title's; empty for the ordinary PCIe card,
        and where all candidates have the same.
    """

    code: str = ""
    memory: str = ""
    form: str = ""

    @property
    def parts(self) -> list[str]:
        """What people are told, a few words each."""
        named = self.code and f"{self.code} names it"
        words = WordContrast(self.said, self.unsaid, self.unexplained).parts
        return [part for part in (*words, named, self.memory, self.form) if part]


def contrasts(
    candidates: Sequence[ScoredCandidate], title: str, lexicon: Lexicon
) -> list[Contrast]:
    """Return what sets each candidate of a title apart from the others, in their order."""
    reading = lexicon.read(title)
    names = [_words(candidate.model) for candidate in candidates]
    words = word_contrasts(names, lambda word: _says(reading, lexicon.affixes, word))
    named = {lexicon.models[code.model]: _text(reading, code) for code in reading.codes}
    found = []
    for candidate, own in zip(candidates, words, strict=True):
        unsaid = tuple(word for word in own.unsaid if word not in _LEFT_OUT)
        code = named.get(candidate.model, "")
        found.append(
            Contrast(
                said=own.said,
                unsaid=() if code else unsaid,
                unexplained=own.unexplained,
                code=code if any(other.model not in named for other in candidates) else "",
                memory=_memory(candidate, candidates, reading.memory_gb),
                form=_form(candidate, candidates, reading),
            )
        )
    return found


def _text(reading: TitleReading, code: CodeFound) -> str:
    return reading.text[reading.runs[code.at].start : reading.runs[code.end - 1].end]


def _words(model: str) -> list[str]:
    """Return a name's words; a letter behind a number is one of its own (6600M: 6600 and M)."""
    return _NUMBER_AND_LETTERS.sub(r"\1 \2", model).split()


def _says(reading: TitleReading, affixes: Mapping[str, int], word: str) -> bool:
    """Say whether a title holds a word of a name, also in a seller's spelling (4080S: SUPER)."""
    wanted = [run.text for run in runs(normalise(word))]
    if holds_in_order([run.text for run in reading.runs], wanted):
        return True
    bit = affixes.get(word.lower())
    return bit is not None and any(
        (mention.before | mention.after) >> bit & 1 for mention in reading.mentions
    )


def _memory(
    candidate: ScoredCandidate, siblings: Sequence[ScoredCandidate], stated: Sequence[float]
) -> str:
    if not stated:
        sizes = {sibling.memory_gb for sibling in siblings if sibling.model == candidate.model}
        return "memory unsaid" if len(sizes) > 1 else ""
    if any(same_size(size, candidate.memory_gb) for size in stated):
        alike = all(same_size(sibling.memory_gb, candidate.memory_gb) for sibling in siblings)
        return "" if alike else "memory as stated"
    return f"title states {' and '.join(f'{size:g}' for size in stated)} GB"


def _form(
    candidate: ScoredCandidate, siblings: Sequence[ScoredCandidate], reading: TitleReading
) -> str:
    form = candidate.form_factor
    if form == DEFAULT_FORM_FACTOR or all(other.form_factor == form for other in siblings):
        return ""
    words = _FORM_WORDS.get(form, ())
    said = any(run.text in words for run in reading.runs) or form.lower() in reading.text
    return f"{form} as stated" if said else f"{form} unsaid"
