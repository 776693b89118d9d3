"""Versions for tests: folders that nothing can load, and copies of the shipped model."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from rerank.domain import feature_names
from rerank.index.artifacts import Manifest, write_manifest
from rerank.index.records import shipped
from rerank.lifecycle.model_registry import AliasChange, ModelRegistry, verified_manifest
from rerank.lifecycle.opening import schema_of_features
from rerank.lifecycle.versions import CARD, CHAMPION, Pointer, VersionCard, VersionRef
from rerank.model import MODEL_FORMAT


def card_of(kind: str, manifest: Manifest, **facts) -> VersionCard:
    card = VersionCard(
        kind=kind,
        version=manifest.fingerprint,
        created_at="2026-03-01T08:00:00Z",
        created_by="ann",
        files=manifest.files,
        parameters={"seed": 7},
    )
    return replace(card, **facts)


def hollow_version(registry: ModelRegistry, number: int, kind: str = "ltr", **facts) -> VersionRef:
    """Register a folder with a sound manifest and nothing that could serve."""
    with tempfile.TemporaryDirectory(dir=registry.workspace.home.parent) as scratch:
        draft = Path(scratch) / "model"
        draft.mkdir()
        (draft / "content.txt").write_text(f"{kind} {number}")
        parameters = {"number": number, "thresholds": {"match": 0.9, "review": 0.3}}
        manifest = write_manifest(
            draft, kind="ranker", format_version=MODEL_FORMAT, parameters=parameters
        )
        return registry.register(draft, card_of(kind, manifest, **facts))


def working_version(registry: ModelRegistry, review: float, **facts) -> VersionRef:
    """Register the shipped model with another threshold, which gives it another version."""
    with tempfile.TemporaryDirectory(dir=registry.workspace.home.parent) as scratch:
        draft = Path(scratch) / "model"
        shutil.copytree(shipped("model"), draft, ignore=shutil.ignore_patterns(CARD))
        parameters = verified_manifest(draft, "ltr").parameters
        parameters["thresholds"]["review"] = review
        manifest = write_manifest(
            draft, kind="ranker", format_version=MODEL_FORMAT, parameters=parameters
        )
        card = card_of(
            "ltr", manifest, feature_schema=schema_of_features(feature_names({})), **facts
        )
        return registry.register(draft, card)


def make_champion(registry: ModelRegistry, ref: VersionRef, action: str = "promote") -> Pointer:
    """Let a version serve, without gates."""
    change = AliasChange(action=action, alias=CHAMPION, to=ref)
    return registry.change(change, expected_generation=registry.pointer().generation)


def flip(path: Path) -> None:
    """Damage a file in its middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
