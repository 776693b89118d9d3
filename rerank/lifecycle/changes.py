"""Changes of what serves, before they are made: what an alias is to name, and what follows."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import Any

from rerank.lifecycle.history import Transition, utc_text
from rerank.lifecycle.pointer import CHALLENGER, CHAMPION, Pointer
from rerank.lifecycle.versions import VersionRef

TRAINED = ("first", "train", "serve")
"""Actions of a training, which also let the kind's name stand for the new version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is to become of an alias, and why.

    :param to: None takes the alias away.
    :param forced: whether failing gates were overruled.
    :param canary: the state of the canary afterwards; ``...`` keeps it, unless the champion
        changes, which ends it.
    :param previous: what is to serve if the new champion is damaged; ``...`` for what was champion.
    :param also: other aliases that are set in the same step.
    """

    action: str
    alias: str
    to: VersionRef | None
    why: str = ""
    forced: bool = False
    gates: Sequence[Any] = ()
    metrics: dict[str, Any] | None = None
    canary: dict[str, Any] | EllipsisType | None = ...
    previous: VersionRef | EllipsisType | None = ...
    also: dict[str, VersionRef] | None = None


def transition_of(change: Change, before: Pointer, who: str) -> Transition:
    """Return a change as the history keeps it, made now."""
    return Transition(
        id=secrets.token_hex(8),
        generation=before.generation + 1,
        action=change.action,
        alias=change.alias,
        before=before.named(change.alias),
        to=change.to,
        who=who,
        at=utc_text(),
        why=change.why,
        forced=change.forced,
        gates=list(change.gates),
        metrics=change.metrics or {},
    )


def changed(before: Pointer, change: Change, transition: Transition) -> Pointer:
    """Return the pointer after a change."""
    aliases = {**before.aliases, **(change.also or {})}
    champion, previous, canary = before.champion, before.previous, before.canary
    if change.alias == CHAMPION and change.to is not None:
        if change.to != champion:
            champion, previous, canary = change.to, champion, None
        if aliases.get(CHALLENGER) == champion:
            del aliases[CHALLENGER]
    elif change.to is None:
        aliases.pop(change.alias, None)
    else:
        aliases[change.alias] = change.to
    if not isinstance(change.previous, EllipsisType):
        previous = change.previous
    if not isinstance(change.canary, EllipsisType):
        canary = change.canary
    return Pointer(
        champion=champion,
        previous=previous,
        aliases=aliases,
        generation=transition.generation,
        transition=transition.as_dict(),
        canary=canary,
    )
