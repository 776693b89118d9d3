"""Pairwise preferences: what makes a sound one, and adding some to those already stated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from index.errors import FaultsError
from rerank.store.database import Session
from rerank.store.preferences import (
    PreferenceItem,
    PreferencePair,
    read_items,
    read_pairs,
    write_items,
    write_pairs,
)

_SHOWN = 60
_OTHER = "metrics or another embedding"


class PreferenceConflictError(FaultsError):
    """Pairs that contradict stored ones, or each other."""


@dataclass(frozen=True, slots=True)
class PairsSaved:
    """What saving pairs changed, in pairs."""

    added: int
    replaced: int
    unchanged: int

    def line(self) -> str:
        """Return it as a line of text."""
        return f"{self.added} added, {self.replaced} replaced, {self.unchanged} there already"


def save_pairs(
    session: Session, pairs: Sequence[PreferencePair], *, overwrite: bool = False
) -> PairsSaved:
    """Write pairs and their items; all or nothing.

    A pair that is stored with the same preference stays as it is, its source and time included.
    What an item is given without (metrics, embedding, embedding_id) stays as it is stored.

    :param overwrite: replace what differs from the pairs given instead of raising.
    :raises FaultsError: if pairs are not sound; see `check_pairs`.
    :raises PreferenceConflictError: if pairs given contradict each other, or if stored ones do
        and ``overwrite`` is not set: another label, or an item with other metrics or embedding.
    """
    check_pairs(pairs)
    given, items = _once(pairs), _items_once(pairs)
    stored = {pair.pair_id: pair for pair in read_pairs(session, pair_ids=list(given))}
    known = read_items(session, list(items))
    changed = [key for key, pair in given.items() if key in stored and _differs(pair, stored[key])]
    items_changed = [key for key, item in items.items() if _changes(item, known.get(key))]
    if not overwrite:
        contradicted = [key for key in changed if given[key].preferred != stored[key].preferred]
        _refuse(
            [_contradiction(given[key], stored[key]) for key in contradicted]
            + [f"{_shown(items[key])}: stored with other {_OTHER}" for key in items_changed],
            "nothing was saved; --replace takes the new ones",
        )
    write_items(
        session,
        [_merged(items[key], known[key]) for key in items_changed]
        + [item for key, item in items.items() if key not in known],
    )
    fresh = [key for key in given if key not in stored]
    replaced = changed if overwrite else []
    write_pairs(session, [given[key] for key in (*fresh, *replaced)])
    return PairsSaved(len(fresh), len(replaced), len(given) - len(fresh) - len(replaced))


def check_pairs(pairs: Iterable[PreferencePair]) -> None:
    """Check that pairs can be stored and learned from.

    :raises FaultsError: with all faults: an empty type or reference, text that is no Unicode,
        equal items, items of two types, a label or similarity out of range, numbers that are not
        finite.
    """
    faults = [fault for pair in pairs for fault in _pair_faults(pair)]
    if faults:
        raise FaultsError("preference pairs", list(dict.fromkeys(faults)))


def _pair_faults(pair: PreferencePair) -> list[str]:
    a, b = pair.a, pair.b
    faults = [*_item_faults(a), *_item_faults(b)]
    if a.item_type != b.item_type:
        faults.append(f"expected two items of one type, got {_shown(a)} and {_shown(b)}")
    elif a.reference_id == b.reference_id:
        faults.append(f"expected two different items, got {_shown(a)} twice")
    if pair.label not in (-1, 0, 1):
        faults.append(f"expected a label of 1, 0 or -1, got {pair.label!r}")
    if pair.similarity is not None and not -1 <= pair.similarity <= 1:
        faults.append(f"expected a similarity from -1 to 1, got {pair.similarity!r}")
    texts = [*pair.reason_tags, pair.annotator]
    return faults + [f"{_clipped(text)}: no Unicode text" for text in texts if not _is_text(text)]


def _item_faults(item: PreferenceItem) -> list[str]:
    texts = [item.item_type, item.reference_id, item.embedding_id or "", *item.metrics]
    faults = [f"{_clipped(text)}: no Unicode text" for text in texts if not _is_text(text)]
    if not item.item_type.strip() or not item.reference_id.strip():
        faults.append(f"{_shown(item)}: expected a type and a reference, found an empty one")
    for name, value in item.metrics.items():
        if not math.isfinite(value):
            faults.append(f"{_shown(item)}: metric {name!r} is {value}, expected a finite number")
    vector = item.embedding
    if vector is not None and not (vector and all(map(math.isfinite, vector))):
        faults.append(f"{_shown(item)}: expected an embedding of finite numbers")
    return faults


def _once(pairs: Iterable[PreferencePair]) -> dict[str, PreferencePair]:
    """Return each pair once, by id.

    :raises PreferenceConflictError: if one is given with two preferences.
    """
    given: dict[str, PreferencePair] = {}
    conflicts = []
    for pair in pairs:
        first = given.setdefault(pair.pair_id, pair)
        if first.preferred != pair.preferred:
            conflicts.append(_contradiction(pair, first))
    _refuse(conflicts, "nothing was saved; state each pair once")
    return given


def _items_once(pairs: Iterable[PreferencePair]) -> dict[str, PreferenceItem]:
    """Return each item once, by id, its embedding rounded as it is stored.

    :raises PreferenceConflictError: if one is given with two contents.
    """
    items: dict[str, PreferenceItem] = {}
    conflicts = []
    for item in (item for pair in pairs for item in (pair.a, pair.b)):
        if item.embedding is not None:
            rounded = np.asarray(item.embedding, np.float32).tolist()
            item = replace(item, embedding=tuple(rounded))
        if _changes(item, items.setdefault(item.item_id, item)):
            conflicts.append(f"{_shown(item)}: given twice with other {_OTHER}")
    _refuse(conflicts, "nothing was saved; give each item one content")
    return items


def _refuse(conflicts: Sequence[str], remedy: str) -> None:
    if conflicts:
        heading = f"conflicts with what was stated before ({remedy})"
        raise PreferenceConflictError(heading, conflicts)


def _contradiction(pair: PreferencePair, before: PreferencePair) -> str:
    who = f" by {_clipped(before.annotator)}" if before.annotator else ""
    return f"{_sentence(pair)}, but stated before{who} ({before.source.value}): {_sentence(before)}"


def _sentence(pair: PreferencePair) -> str:
    words = {1: "is better than", 0: "equals", -1: "is worse than"}[pair.label]
    return f"{_shown(pair.a)} {words} {_shown(pair.b)}"


def _shown(item: PreferenceItem) -> str:
    return f"{_clipped(item.item_type)} {_clipped(item.reference_id)}"


def _clipped(text: str) -> str:
    """Return text in quotes, on one line, cut if it is long."""
    return repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}..."


def _differs(pair: PreferencePair, stored: PreferencePair) -> bool:
    """Tell whether a statement says anything else than the stored one; who and when aside."""
    given = (pair.preferred, pair.reason_tags, pair.similarity)
    return given != (stored.preferred, stored.reason_tags, stored.similarity)


def _changes(item: PreferenceItem, stored: PreferenceItem | None) -> bool:
    """Tell whether what is given of an item differs from what is stored."""
    return stored is not None and _merged(item, stored) != stored


def _merged(item: PreferenceItem, stored: PreferenceItem) -> PreferenceItem:
    """Return the stored item with what is given of the new one."""
    return replace(
        stored,
        metrics=item.metrics or stored.metrics,
        embedding=item.embedding or stored.embedding,
        embedding_id=item.embedding_id or stored.embedding_id,
    )


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, or an argument that is no UTF-8
        return False
    return True
