"""The history of what served, in the store: versions as their cards say, and every change."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from index.errors import ArtifactError
from rerank.lifecycle.pointer import CHAMPION
from rerank.lifecycle.versions import Card, VersionRef
from rerank.store import Session

_CARD_COLUMNS = (
    "kind",
    "version",
    "created_at",
    "created_by",
    "code_version",
    "parent",
    "parameters",
    "data",
    "feature_schema",
    "metrics",
    "files",
)
_JSON_COLUMNS = ("parameters", "data", "feature_schema", "metrics", "files")
_COLUMNS = (
    "transition_id",
    "generation",
    "action",
    "alias",
    "from_kind",
    "from_version",
    "to_kind",
    "to_version",
    "who",
    "changed_at",
    "why",
    "forced",
    "gates",
    "metrics",
)


_TYPES = {
    "id": str,
    "generation": int,
    "action": str,
    "alias": str,
    "who": str,
    "why": str,
    "forced": bool,
    "gates": list,
    "metrics": dict,
}
_PLAIN_COLUMNS = ("generation", "action", "alias", "who", "why", "forced")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A change of what an alias names, as the pointer and the history keep it.

    :param generation: the number of the change; it orders them.
    :param before: what the alias named; None if nothing.
    :param to: what it names since; None if nothing.
    :param at: UTC, ISO 8601.
    :param forced: whether failing gates were overruled.
    :param gates: each gate that was judged, as JSON values.
    :param metrics: figures the change was decided on, as JSON values.
    """

    id: str
    generation: int
    action: str
    alias: str
    before: VersionRef | None
    to: VersionRef | None
    who: str
    at: str
    why: str = ""
    forced: bool = False
    gates: list[Any] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return it as the pointer keeps it, JSON values."""
        content = asdict(self)
        content["from"] = None if self.before is None else self.before.as_dict()
        content["to"] = None if self.to is None else self.to.as_dict()
        del content["before"]
        return content

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Transition:
        """Return what `as_dict` gave.

        :raises ArtifactError: if it is something else.
        """
        try:
            plain = {name: value for name, value in content.items() if name not in ("from", "to")}
            found = cls(**plain, before=_named(content["from"]), to=_named(content["to"]))
            _moment(found.at)
            odd = [name for name, kind in _TYPES.items() if type(getattr(found, name)) is not kind]
            if odd:
                raise TypeError(f"{odd[0]}: found {getattr(found, odd[0])!r:.40}")
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise ArtifactError(
                f"transition: expected the last change, found something else "
                f"({type(exc).__name__}: {exc})"
            ) from exc
        return found

    def words(self) -> str:
        """Return it in a few words: what was done by whom and when."""
        named = "nothing" if self.to is None else str(self.to)
        return f"{self.action} of {self.alias} to {named} by {self.who} at {self.at}"


def save_cards(session: Session, cards: Iterable[Card]) -> None:
    """Insert versions that the store does not have yet."""
    for card in cards:
        content = asdict(card)
        values = [_as_kept(content[name]) for name in _CARD_COLUMNS]
        values[_CARD_COLUMNS.index("created_at")] = _moment(card.created_at)
        _insert(session, "save version", "model_versions", _CARD_COLUMNS, values)


def known_versions(session: Session) -> set[VersionRef]:
    """Return the versions the store has."""
    found = session.rows("read versions", "SELECT kind, version FROM model_versions")
    return {VersionRef(*row) for row in found}


def read_card(session: Session, ref: VersionRef) -> dict[str, Any] | None:
    """Return what the store keeps of a version's card, as JSON values; None if nothing."""
    rows = session.rows(
        "read version",
        f"SELECT {', '.join(_CARD_COLUMNS)} FROM model_versions WHERE kind = ? AND version = ?",
        [*ref],
    )
    if not rows:
        return None
    content = dict(zip(_CARD_COLUMNS, rows[0], strict=True))
    for name in _JSON_COLUMNS:
        content[name] = json.loads(content[name])
    content["created_at"] = utc_text(content["created_at"].replace(tzinfo=UTC))
    return {**content, "reference": None, "distribution": None}


def save_transition(session: Session, transition: Transition) -> None:
    """Insert a change unless it is there already: it may be saved again after a kill."""
    before, to = transition.before or (None, None), transition.to or (None, None)
    values = [
        transition.id,
        transition.generation,
        transition.action,
        transition.alias,
        *before,
        *to,
        transition.who,
        _moment(transition.at),
        transition.why,
        transition.forced,
        json.dumps(transition.gates),
        json.dumps(transition.metrics),
    ]
    _insert(session, "save transition", "model_transitions", _COLUMNS, values)


def has_transition(session: Session, transition_id: str) -> bool:
    """Return whether the history has a change."""
    sql = "SELECT 1 FROM model_transitions WHERE transition_id = ?"
    return bool(session.rows("find transition", sql, [transition_id]))


def read_transitions(session: Session) -> list[Transition]:
    """Return all changes in their order."""
    rows = session.rows(
        "read transitions",
        f"SELECT {', '.join(_COLUMNS)} FROM model_transitions ORDER BY generation, transition_id",
    )
    found = []
    for row in rows:
        values = dict(zip(_COLUMNS, row, strict=True))
        plain = {name: values[name] for name in _PLAIN_COLUMNS}
        found.append(
            Transition(
                id=values["transition_id"],
                before=_pair(values["from_kind"], values["from_version"]),
                to=_pair(values["to_kind"], values["to_version"]),
                at=utc_text(values["changed_at"].replace(tzinfo=UTC)),
                gates=json.loads(values["gates"]),
                metrics=json.loads(values["metrics"]),
                **plain,
            )
        )
    return found


def on_day(transitions: Iterable[Transition], day: date) -> list[Transition]:
    """Return the changes of the champion that tell what served on a day, UTC.

    Those made on the day, after the last one before it: what it named served when the day began.
    A day is found by the clocks of the machines that made the changes.
    """
    begin = datetime.combine(day, datetime.min.time())
    champions = [each for each in transitions if each.alias == CHAMPION]
    before = [each for each in champions if _moment(each.at) < begin]
    within = [each for each in champions if begin <= _moment(each.at) < begin + timedelta(days=1)]
    return [*before[-1:], *within]


def served_by(
    transitions: Iterable[Transition], version: str, alias: str = CHAMPION
) -> list[tuple[str, str | None]]:
    """Return when a version was champion: from when, and until when; None if it still is.

    :param alias: ``index`` or ``embedder`` for when it served as that.
    """
    spans: list[tuple[str, str | None]] = []
    since = None
    for each in transitions:
        if each.alias != alias:
            continue
        if since is not None:
            spans.append((since, each.at))
        since = each.at if each.to is not None and each.to.version == version else None
    return spans if since is None else [*spans, (since, None)]


def utc_text(moment: datetime | None = None) -> str:
    """Return a time, by default now, as cards and transitions keep it: ``2026-05-01T09:30:00Z``."""
    moment = (moment or datetime.now(UTC)).astimezone(UTC)
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def _moment(text: str) -> datetime:
    """Return a kept time as the store takes it: UTC, without a zone."""
    return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)


def _insert(
    session: Session, step: str, table: str, columns: tuple[str, ...], values: list[Any]
) -> None:
    marks = ", ".join("?" for _ in columns)
    session.execute(
        step,
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks}) ON CONFLICT DO NOTHING",
        values,
    )


def _as_kept(value: Any) -> Any:
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value


def _named(content: dict[str, str] | None) -> VersionRef | None:
    return None if content is None else VersionRef(content["name"], content["version"])


def _pair(kind: str | None, version: str | None) -> VersionRef | None:
    return None if kind is None or version is None else VersionRef(kind, version)
