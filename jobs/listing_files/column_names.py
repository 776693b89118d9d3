"""Which of the user's columns are the listing's id, title, vendor, description and price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import yaml

from index.errors import FaultsError, InputError
from index.yaml_loader import FastSafeLoader

REQUIRED = ("listing_id", "title")
OPTIONAL = ("vendor", "description", "price")
_COLUMNS_SHOWN = 20
_WHAT = {type(None): "nothing", dict: "no lines", list: "a list", str: "text"}


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """The user's name of each column that is read; by default ours."""

    listing_id: str = "listing_id"
    title: str = "title"
    vendor: str = "vendor"
    description: str = "description"
    price: str = "price"

    def renamed(self, names: Mapping[str, str]) -> ColumnNames:
        """Return these with some of them replaced, by our name."""
        return replace(self, **names)

    def own(self) -> dict[str, str]:
        """Return the user's names by ours, where they differ."""
        return {ours: theirs for ours, theirs in asdict(self).items() if ours != theirs}

    def check_apart(self) -> None:
        """Check that no column of the user's was named for two things.

        Where only one was named, the other has its own name by default, and the user need not
        know: a file whose title is its id may say so.

        :raises InputError: if one was.
        """
        named = self.own()
        for theirs in named.values():
            same = [ours for ours, name in named.items() if name == theirs]
            if len(same) > 1:
                raise InputError(
                    f"column {theirs!r}: expected a column of its own for each of "
                    f"{' and '.join(same)}, found it named for both; name another"
                )

    def check(self, place: object, names: Sequence[str]) -> None:
        """Check that a file has the columns it needs, each once.

        :param place: the file, for the message.
        :raises InputError: if one is missing, or stands there twice.
        """
        own = self.own()
        wanted = [getattr(self, ours) for ours in REQUIRED]
        wanted += [own[ours] for ours in OPTIONAL if ours in own]
        missing = [name for name in wanted if name not in names]
        if missing:
            found = ", ".join(names[:_COLUMNS_SHOWN]) or "none"
            found += ", ..." if len(names) > _COLUMNS_SHOWN else ""
            optional = ", ".join(name for name in OPTIONAL if name not in own)
            optional = f" (optional: {optional})" if optional else ""
            raise InputError(
                f"{place}: expected columns {', '.join(wanted)}{optional}, missing "
                f"{', '.join(missing)}, found {found}; {_hint(place, names)}"
            )
        twice = sorted({name for name in names if list(names).count(name) > 1})
        if twice:
            raise InputError(
                f"{place}: expected each column once, found twice {', '.join(twice)}; rename one"
            )


OUR_NAMES = ColumnNames()
"""The names that are read unless the user names others."""


def _hint(place: object, names: Sequence[str]) -> str:
    if str(place).lower().endswith(".csv") and len(names) == 1:
        return "separate columns by commas"
    return "add the columns, or name yours with --title-column and the like"


def read_column_names(path: Path) -> ColumnNames:
    """Read a mapping from YAML: ``title: product_name``, one line a column.

    :raises InputError: if the file is no YAML mapping, or has nothing in it.
    :raises FaultsError: if it names columns that are not read, or gives something but text.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.load(text, Loader=FastSafeLoader)
        node = yaml.compose(text, Loader=FastSafeLoader)
    except (yaml.YAMLError, ValueError) as exc:
        first_line = str(exc).splitlines()[0]
        raise InputError(f"{path}: not readable as YAML ({first_line}); correct it") from exc
    known = [field.name for field in fields(ColumnNames)]
    if not isinstance(content, dict) or not content:
        raise InputError(
            f"{path}: expected lines such as `title: product_name`, found "
            f"{_WHAT.get(type(content), 'a value')}; columns to name: {', '.join(known)}"
        )
    # a mapping keeps the last of a key given twice; its node has both
    keys = [key.value for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
    faults = [
        f"{ours}: given twice; keep one of the lines"
        for ours in dict.fromkeys(keys)
        if keys.count(ours) > 1
    ]
    faults += [
        f"{ours!r}: not a column that is read; expected one of {', '.join(known)}"
        for ours in content
        if ours not in known
    ]
    faults += [
        f"{ours}: expected the name of a column, found {theirs!r}"
        for ours, theirs in content.items()
        if not isinstance(theirs, str) or not theirs
    ]
    if faults:
        raise FaultsError(str(path), faults)
    return ColumnNames(**content)
