"""Which GPU a person means: a gpu_id, a model's name, an alias, or a name and its memory."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from rerank.evaluation.gold import canonical_key
from rerank.index.errors import InputError
from rerank.index.records import DEFAULT_FORM_FACTOR, GpuRecord
from rerank.index.text import normalise, spaced, squash
from rerank.store.rows import NamedGpu

_MEMORY = r"(?P<size>\d+(?:\.\d+)?)\s*(?P<unit>gb|gib|g|mb|mib)"
_MOST_SHOWN = 5
_MOST_NEAREST = 3
_NEAR = 78.0  # of 100: `4060 ti` is near `RTX 4060 Ti`, `RTX 9999` is near nothing
_LONGEST_NAME = 200  # characters; a pattern's search in longer ones would take too long


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a name says about the variant; None and empty where it says nothing."""

    memory_gb: float | None = None
    memory_type: str = ""
    form_factor: str = ""

    def fits(self, record: GpuRecord) -> bool:
        return (
            (self.memory_gb is None or abs(record.memory_gb - self.memory_gb) < 0.01)
            and self.memory_type in ("", record.memory_type.casefold())
            and self.form_factor in ("", record.form_factor.casefold())
        )


class GpuNames:
    """The names of a registry's GPUs.

    :param records: the registry; a model's name, alias or part number stands for one model.
    """

    one, key = "GPU", "gpu_id"

    def __init__(self, records: Sequence[GpuRecord]) -> None:
        self._by_id = {record.gpu_id: record for record in records}
        self._by_name: dict[str, dict[str, GpuRecord]] = defaultdict(dict)
        self._by_key: dict[str, dict[str, GpuRecord]] = defaultdict(dict)
        for record in records:
            for name in (record.model, *record.aliases, *record.part_numbers):
                self._by_name[squash(name)][record.gpu_id] = record
            self._by_key[_key(record.model)][record.gpu_id] = record
        types = {record.memory_type for record in records}
        forms = {record.form_factor for record in records}
        self._tail = re.compile(
            rf"[\s,(/|-]+(?:{_MEMORY}|(?P<type>{_any_of(types)})|(?P<form>{_any_of(forms)}))\s*\)?$",
            re.IGNORECASE,
        )

    def find(self, name: str) -> NamedGpu:
        """Return what a name stands for.

        Tried in turn: a gpu_id; a model's name, alias or part number, signs and case aside; the
        same without the words that sellers leave out (``RTX 4080`` for ``GeForce RTX 4080``);
        the same with memory size, memory type or form factor behind it, where a size without a
        form means a card for a PCIe slot.

        :raises InputError: if the name is unknown, fits several models or names a variant that
            its model does not have.
        """
        record = self._by_id.get(name.strip())
        if record is not None:
            return NamedGpu(record.model, record.gpu_id)
        rest, wanted = name.strip(), _Wanted()
        while rest and len(rest) <= _LONGEST_NAME:
            found = self._named(rest)
            if found:
                return _choose(found, wanted, name)
            tail = self._tail.search(rest)
            if tail is None:
                break
            rest, wanted = rest[: tail.start()].rstrip(), _more(wanted, tail)
        raise InputError(f"no GPU of the registry is called {name!r:.80}{self._nearest(name)}")

    def find_first(
        self, names: Sequence[str], *, memory_gb: float | None = None, form_factor: str = ""
    ) -> NamedGpu:
        """Return what the first of several accepted names stands for that the registry knows.

        :param memory_gb: picks the variant if the model has one of this size; else it is left open.
        :param form_factor: likewise.
        :raises InputError: if none of them is known.
        """
        faults = []
        for name in names:
            try:
                found = self.find(name)
            except InputError as exc:
                faults.append(str(exc))
                continue
            wanted = _Wanted(memory_gb, form_factor=form_factor.casefold())
            return found if found.gpu_id else self._narrowed(found, wanted)
        raise InputError("; ".join(faults[:_MOST_SHOWN]) or "no GPU is named")

    def _named(self, name: str) -> list[GpuRecord]:
        """Return the variants of all models that a name without memory may stand for."""
        squashed, key = squash(name), _key(name)
        if squashed in self._by_name:
            return list(self._by_name[squashed].values())
        found = list(self._by_key[key].values()) if key and key in self._by_key else []
        # HD 7970 is the Radeon HD 7970, though the GHz Edition has the same key.
        ending = [record for record in found if squash(record.model).endswith(squashed)]
        return ending or found

    def _nearest(self, name: str) -> str:
        """Return a hint at models whose names are much like a name, empty if there are none."""
        from rapidfuzz import fuzz, process

        if len(name) > _LONGEST_NAME or not any(char.isdigit() for char in name):
            return ""
        close = process.extract(
            _key(name),
            list(self._by_key),
            scorer=fuzz.ratio,
            score_cutoff=_NEAR,
            limit=_MOST_NEAREST,
        )
        models = dict.fromkeys(
            record.model for key, _, _ in close for record in self._by_key[key].values()
        )
        return f"; is it {' or '.join(list(models)[:_MOST_NEAREST])}?" if models else ""

    def _narrowed(self, found: NamedGpu, wanted: _Wanted) -> NamedGpu:
        variants = self._by_name[squash(found.model)].values()
        fitting = [r.gpu_id for r in variants if r.model == found.model and wanted.fits(r)]
        return NamedGpu(found.model, fitting[0] if len(fitting) == 1 else None)


def _choose(records: Sequence[GpuRecord], wanted: _Wanted, name: str) -> NamedGpu:
    models = sorted({record.model for record in records})
    if len(models) > 1:
        raise InputError(f"{name!r:.80} may be {' or '.join(models[:_MOST_SHOWN])}")
    fitting = [record for record in records if wanted.fits(record)]
    if not fitting:
        known = sorted({(r.memory_gb, r.memory_type, r.form_factor) for r in records})
        shown = ", ".join(f"{size:g} GB {kind} {form}" for size, kind, form in known[:_MOST_SHOWN])
        more = ", ..." if len(known) > _MOST_SHOWN else ""
        raise InputError(f"{models[0]} has no variant {name!r:.80}; it has {shown}{more}")
    if wanted.memory_gb is not None and not wanted.form_factor:
        # as in registry files, a variant named without its form is a card for a PCIe slot
        cards = [record for record in fitting if record.form_factor == DEFAULT_FORM_FACTOR]
        fitting = cards or fitting
    return NamedGpu(models[0], fitting[0].gpu_id if len(fitting) == 1 else None)


def _more(wanted: _Wanted, tail: re.Match[str]) -> _Wanted:
    """Add what stood behind a name."""
    memory_gb, memory_type, form = wanted.memory_gb, wanted.memory_type, wanted.form_factor
    if tail["size"]:
        memory_gb = float(tail["size"]) / (1024 if tail["unit"].lower().startswith("m") else 1)
    return _Wanted(
        memory_gb, (tail["type"] or memory_type).casefold(), (tail["form"] or form).casefold()
    )


def _key(text: str) -> str:
    """Return what is left of a name without chip vendor, line words and spaces."""
    return canonical_key(spaced(normalise(text))).replace(" ", "")


def _any_of(words: set[str]) -> str:
    """Return a pattern for any of some words, the longest first; for none, one that never fits."""
    return "|".join(re.escape(word) for word in sorted(words, key=lambda w: (-len(w), w))) or "(?!)"
