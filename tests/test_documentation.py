"""What the docs and docstrings point at is there: files, headings, modules and what they hold."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
CODE = [
    path
    for room in ("rerank", "index", "jobs", "bench")
    for path in sorted((ROOT / room).rglob("*.py"))
    if not {"index", "jobs", "data"} & set(path.relative_to(ROOT / room).parts[:1])
]
SETTINGS = [ROOT / "pyproject.toml", ROOT / "Makefile", *sorted((ROOT / "configs").glob("*.yaml"))]
NO_MODULES = {"rerank.score", "rerank.rejects", "rerank.rankers", "rerank.timer", "rerank.service"}
"""Marks in footers, a group of entry points, units of systemd."""
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_DOTTED = re.compile(r"(?<![\w./\"-])rerank(?:\.[A-Za-z_]\w*)+")
_FILE = re.compile(r"(?<![\w./-])(?:index|rerank|jobs|bench|tests|configs|docs)/[a-z_/0-9]+\.\w+\b")


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _anchors(page: Path) -> set[str]:
    """Return what a link can name of a page: its headings, as GitHub writes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.strip().lower()).replace(" ", "-") for each in headings}


def _resolves(dotted: str) -> bool:
    """Tell whether a dotted name is a module, or something in one."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for name in parts[count:]:
            if not hasattr(found, name):
                return False
            found = getattr(found, name)
        return True
    return False


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page):
    broken = []
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"https?:|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        led_to = page.parent / path if path else page
        if not led_to.exists() or (anchor and anchor not in _anchors(led_to)):
            broken.append(target)
    assert broken == []


def test_modules_that_are_named_exist():
    named = {
        (_name(path), found)
        for path in [*PAGES, *CODE, *SETTINGS]
        for found in _DOTTED.findall(path.read_text(encoding="utf-8"))
    }
    assert len(named) > 500
    assert {each for each in named if each[1] not in NO_MODULES and not _resolves(each[1])} == set()


def test_files_that_are_named_exist():
    named = {
        (_name(path), found)
        for path in [*PAGES, *CODE, *SETTINGS]
        for found in _FILE.findall(path.read_text(encoding="utf-8"))
    }
    assert len(named) > 30
    assert {each for each in named if not (ROOT / each[1]).exists()} == set()
