"""Hold what is installed against lists in the repository: `python -m bench.supply`, no network.

`supply.json` names the licences that may be used, and versions that are known to be vulnerable, as
of the day in it. Nobody keeps it but us: a dependency that is raised is looked up by whoever raises
it. Exit code 1 if anything is found.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

from packaging.version import Version

HERE = Path(__file__).resolve().parent
CONSTRAINTS = HERE.parent / "constraints.txt"
_JOINTS = re.compile(r"\s+(?:AND|OR|WITH)\s+|\s+/\s+|[()]")


def pinned(text: str) -> dict[str, str]:
    """Return the versions of packages in a file of constraints, by name."""
    return dict(re.findall(r"(?m)^([\w.-]+)==([^\s;]+)", text))


def licence_of(package: str) -> str:
    """Return what an installed package says of its licence, "" if nothing."""
    said = metadata(package)
    classified = [
        line.rsplit(" :: ", 1)[-1]
        for line in said.get_all("Classifier") or ()
        if line.startswith("License :: ") and line.count(" :: ") > 1
    ]
    stated = (said.get_all(name) or [""] for name in ("License-Expression", "License"))
    expression, text = (found[0] for found in stated)
    return expression or " / ".join(classified) or text


def findings(
    packages: Mapping[str, str], licences: Mapping[str, str], lists: Mapping[str, Any]
) -> Iterator[str]:
    """Yield what is wrong, a sentence each.

    :param packages: versions by name; ``licences`` what those that are installed say.
    :param lists: of `supply.json`.
    """
    known = {*lists["licences"]}
    for name, said in licences.items():
        parts = [part.strip() for part in _JOINTS.split(said) if part.strip()]
        odd = [part for part in parts if part not in known]
        if odd or not parts:
            yield f"{name}: licence {said[:80]!r} is not among those of supply.json"
    for entry in lists["vulnerable"]:
        found = packages.get(entry["name"])
        if found is not None and Version(found) < Version(entry["below"]):
            yield f"{entry['name']} {found}: {entry['id']}; take {entry['below']} or later"


def checked(packages: Mapping[str, str], lists: Mapping[str, Any]) -> tuple[int, Sequence[str]]:
    """Return how many of the packages are installed, and what is wrong."""
    licences = {}
    for name in packages:
        try:
            licences[name] = licence_of(name)
        except PackageNotFoundError:
            continue
    return len(licences), list(findings(packages, licences, lists))


def main() -> None:
    """Check what constraints.txt pins, and say what was found."""
    lists = json.loads((HERE / "supply.json").read_text(encoding="utf-8"))
    packages = {
        name.lower(): version
        for name, version in pinned(CONSTRAINTS.read_text(encoding="utf-8")).items()
    }
    installed, wrong = checked(packages, lists)
    for line in wrong:
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(
        f"{len(packages)} packages pinned, {installed} installed and their licences read, "
        f"{len(lists['vulnerable'])} known faults of {lists['checked']}: {len(wrong)} findings\n"
    )
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
