"""`rerank models`: the group; each of its commands lies in a file of its own."""

from __future__ import annotations

import click

from jobs.cli import LazyGroup

SUBCOMMANDS = {
    "list": "The versions, what names them, and which serves.",
    "show": "A version's card; from when to when it served.",
    "diff": "What two versions differ in.",
    "verify": "Check files, cards and answers of versions.",
    "alias": "Name a version, or take a name away.",
    "compare": "Let two versions answer the same listings.",
    "promote": "Let a version serve, if it passes the gates.",
    "rollback": "Let the version before serve again, or a named one.",
    "history": "Every change: who, when, from, to, why.",
    "ab": "Split listings between two versions.",
    "canary": "Give a version a growing share of the listings.",
}


@click.group("models", cls=LazyGroup, lines=SUBCOMMANDS, prefix="models_")
def command() -> None:
    """Versions of what decides, and which of them serves.

    Each training writes a version that never changes. `champion` is the one that serves,
    `challenger` the one to compare with it. docs/lifecycle.md explains all of it.

    \b
    Example:
      rerank models list
      rerank models promote challenger
      rerank models rollback
    """
