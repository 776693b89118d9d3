"""Versions of what decides: their names, and the card each carries.

A version is an artifact folder that never changes, named by the fingerprint of its manifest. Its
card, `version.json`, lies beside the manifest and says where it comes from: the manifest says what
it is. Versions without a card were made before there were any; they serve as well.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from index.artifacts import writing_file
from index.errors import ArtifactError, InputError
from index.file_faults import os_error_text

CARD = "version.json"
DECISION_KINDS = ("ltr", "pairwise", "dual", "cross-encoder")
"""Kinds of which a version decides by itself: a ranker with all that was made on its scores."""
KINDS = (*DECISION_KINDS, "index", "embedder")
SHIPPED = "shipped"
"""The version's name of what ships with the project; the workspace has no folder of it."""

MISSING_VALUES = "never NaN: 0 where a listing says nothing, -1 where a title names no model"
"""What features hold where nothing is known; what is trained by one rule serves by no other."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]{0,63}", re.ASCII)
_FIELD_TYPES: dict[str, tuple[type, ...]] = {
    "kind": (str,),
    "version": (str,),
    "created_at": (str,),
    "created_by": (str,),
    "code_version": (str, type(None)),
    "parent": (str, type(None)),
    "parameters": (dict,),
    "data": (dict,),
    "feature_schema": (dict,),
    "metrics": (dict,),
    "files": (dict,),
    "reference": (dict, type(None)),
    "distribution": (dict, type(None)),
}


class VersionRef(NamedTuple):
    """Names a version: what it is a version of, and which."""

    kind: str
    version: str

    def __str__(self) -> str:
        return f"{self.kind} {self.version}"

    def as_dict(self) -> dict[str, str]:
        """Return it as the pointer keeps it."""
        return {"name": self.kind, "version": self.version}


SHIPPED_MODEL = VersionRef("ltr", SHIPPED)


def checked_name(text: str, what: str) -> str:
    """Return a version's or alias's name that cannot lead out of its folder.

    :param what: what the name is of, for the error.
    :raises InputError: unless it is 1 to 64 letters, digits, ``_``, ``+`` or ``-`` and begins with
        a letter or digit: no path separator, no dot, no control character.
    """
    if not _NAME.fullmatch(text):
        raise InputError(
            f"{what} {text[:80]!r}: expected 1 to 64 letters, digits, '_', '+' or '-', the first "
            "a letter or digit; `rerank models list` shows those there are"
        )
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """Where a version comes from.

    :param created_at: UTC, ISO 8601, by the clock of the machine that made it.
    :param created_by: the user's name.
    :param code_version: release, with the commit if run from a checkout; None if unknown.
    :param parent: what served when it was made: a version or ``shipped``; None if nothing did.
    :param parameters: all it was made with.
    :param data: what it was trained on: fingerprints, numbers and seeds.
    :param feature_schema: names in order, their fingerprint, and the missing-value rule.
    :param metrics: figures on validation listings, each with its 95 % interval.
    :param files: sha256 of each file of the version.
    :param reference: listings with the answers it must give wherever it serves; None if unknown.
    :param distribution: how its answers were spread when it was made; None if unknown.
    """

    kind: str
    version: str
    created_at: str
    created_by: str
    code_version: str | None = None
    parent: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    feature_schema: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    reference: dict[str, Any] | None = None
    distribution: dict[str, Any] | None = None

    @property
    def ref(self) -> VersionRef:
        """The version this is the card of."""
        return VersionRef(self.kind, self.version)

    def write(self, folder: Path) -> None:
        """Write it into the version's folder, with a sha256 of its own content."""
        content = asdict(self)
        with writing_file(folder / CARD) as path:
            text = json.dumps({**content, "sha256": _digest(content)}, indent=1, sort_keys=True)
            path.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Card | None:
        """Read a version's card; None if the version was made before there were cards.

        :raises ArtifactError: if it is damaged or cannot be read.
        """
        path = folder / CARD
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            found = content.pop("sha256")
            if found != (expected := _digest(content)):
                raise ValueError(f"expected sha256 {expected[:12]}, found {found!r:.20}")
            card = cls(**content)
            for name, kinds in _FIELD_TYPES.items():
                if not isinstance(value := getattr(card, name), kinds):
                    raise TypeError(f"{name}: found {value!r:.40}")
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise ArtifactError(os_error_text(exc)) from exc
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
            raise ArtifactError(
                f"{path}: damaged card ({exc}); the version may be sound, but nothing says what "
                "it was made from: train it again, or restore this file"
            ) from exc
        return card


def feature_schema(names: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return what a model reads, as its card keeps it, with the rule for missing values.

    :param names: of each table of features, its columns in their order.
    """
    ordered = {table: list(columns) for table, columns in names.items()}
    return {"features": ordered, "sha256": _digest(ordered), "missing": MISSING_VALUES}


def _digest(content: Mapping[str, Any]) -> str:
    """Return the sha256 of JSON values, the same whatever the order of their keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
