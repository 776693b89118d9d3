"""The pointer: one small file that says what serves, replaced in one step of the file system.

Whoever reads it finds the old content or the new one. Changes are ordered by ``generation``, which
counts up: a clock may go back.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from index.artifacts import write_json
from index.errors import ArtifactError, InputError
from rerank.lifecycle.versions import DECISION_KINDS, KINDS, SHIPPED_MODEL, VersionRef, checked_name

CHAMPION, CHALLENGER = "champion", "challenger"
_LARGEST_GENERATION = 2**62  # what the history can keep, with room to count on


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """What serves, what else has a name, and the last change.

    :param champion: the model that serves.
    :param previous: what served before it, and serves in its place if it is damaged.
    :param aliases: other names; ``challenger`` is the one usually compared with the champion, a
        kind's name stands for the newest version of that kind.
    :param generation: number of changes so far.
    :param transition: the last change in full; the store's history has it as well, or gets it from
        here if the process ended in between.
    :param canary: state of a running canary.
    """

    champion: VersionRef = SHIPPED_MODEL
    previous: VersionRef | None = None
    aliases: dict[str, VersionRef] = field(default_factory=dict)
    generation: int = 0
    transition: dict[str, Any] | None = None
    canary: dict[str, Any] | None = None

    def named(self, alias: str) -> VersionRef | None:
        """Return what an alias names, None if nothing."""
        return self.champion if alias == CHAMPION else self.aliases.get(alias)

    def names_of(self, ref: VersionRef) -> list[str]:
        """Return the aliases of a version, the champion's first."""
        own = [CHAMPION] if ref == self.champion else []
        return own + sorted(alias for alias, named in self.aliases.items() if named == ref)


def read_pointer(path: Path) -> Pointer:
    """Read the pointer; without a file, what ships serves.

    :raises ArtifactError: if it is damaged or names what can be no version.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Pointer(
            champion=_model(content),
            previous=None if content.get("previous") is None else _model(content["previous"]),
            aliases={
                checked_name(alias, "alias"): _ref(named, KINDS)
                for alias, named in dict(content.get("aliases") or {}).items()
            },
            generation=_generation(content.get("generation", 0)),
            transition=_object(content.get("transition")),
            canary=_object(content.get("canary")),
        )
    except FileNotFoundError:
        return Pointer()
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
        InputError,
    ) as exc:
        raise ArtifactError(
            f"{path}: expected JSON with 'name' and 'version', found something else "
            f"({type(exc).__name__}: {exc}); run `rerank train-ltr`, or `rerank models rollback "
            "--to VERSION`"
        ) from exc


def replace_pointer(path: Path, pointer: Pointer) -> None:
    """Write the pointer in the place of the old one, on disk when this returns.

    :raises OSError: if it cannot be written; the old one stays.
    """
    content = {
        **pointer.champion.as_dict(),
        "previous": None if pointer.previous is None else pointer.previous.as_dict(),
        "aliases": {alias: named.as_dict() for alias, named in sorted(pointer.aliases.items())},
        "generation": pointer.generation,
        "transition": pointer.transition,
        "canary": pointer.canary,
    }
    write_json(content, path)


def _model(content: Any) -> VersionRef:
    return _ref(content, DECISION_KINDS)


def _ref(content: Any, kinds: tuple[str, ...]) -> VersionRef:
    kind, version = content["name"], content["version"]
    if kind not in kinds:
        raise ValueError(f"name: expected one of {', '.join(kinds)}, found {kind!r:.40}")
    if not isinstance(version, str):
        raise TypeError(f"version: expected text, found {version!r:.40}")
    return VersionRef(kind, checked_name(version, "version"))


def _generation(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _LARGEST_GENERATION:
        raise ValueError(f"generation: expected a whole number from 0, found {value!r:.40}")
    return value


def _object(value: Any) -> dict[str, Any] | None:
    if value is not None and not isinstance(value, dict):
        raise TypeError(f"expected a JSON object or null, found {value!r:.40}")
    return value
