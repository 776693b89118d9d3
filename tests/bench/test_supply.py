"""Licences and known faults of dependencies, by the lists in the repository."""

from __future__ import annotations

import json

from bench.supply import CONSTRAINTS, HERE, checked, findings, pinned

LISTS = json.loads((HERE / "supply.json").read_text(encoding="utf-8"))


def test_what_is_pinned_has_known_licences_and_no_known_fault():
    packages = pinned(CONSTRAINTS.read_text(encoding="utf-8"))
    installed, wrong = checked(packages, LISTS)
    assert installed > 0.8 * len(packages) > 50
    assert wrong == []


def test_a_strange_licence_and_a_version_with_a_fault_are_told():
    lists = {
        "licences": ["MIT", "Apache-2.0"],
        "vulnerable": [{"name": "wobble", "below": "2.0", "id": "CVE-0"}],
    }
    licences = {"fine": "MIT AND (Apache-2.0 OR MIT)", "odd": "Beerware", "silent": ""}
    assert list(findings({"wobble": "1.10"}, licences, lists)) == [
        "odd: licence 'Beerware' is not among those of supply.json",
        "silent: licence '' is not among those of supply.json",
        "wobble 1.10: CVE-0; take 2.0 or later",
    ]
    assert list(findings({"wobble": "2.0"}, {}, lists)) == []
