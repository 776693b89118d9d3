"""What serves in a workspace, and what there is to train on."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from index.artifacts import read_manifest
from index.errors import ArtifactError, MismatchError
from jobs.lifecycle.version_folders import verified_manifest
from jobs.tables import WIDTH, cut, table
from jobs.workspace import Workspace
from rerank.cross_encoder import layout
from rerank.lifecycle.versions import VersionRef
from rerank.model import FORMAT_VERSION, ranker_in
from rerank.pairwise.candidate_ranker import PairwiseCandidateRanker
from rerank.pairwise.ranker import PairwiseRanker
from rerank.ranker_folder import RankerFolder, RankerKind
from rerank.store import Store
from rerank.store.preference_counts import preference_counts

_IN_PLACE = "in place of the champion: `rerank models verify`"
_COUNTED = ("listings", "annotations")


def serving_status(workspace: Workspace) -> dict[str, Any]:
    """Return what serves: the index, the ranker of listings, those that `--ranker` and `--cascade`
    choose instead, the pairwise ranker of items; and what the store holds, None if there is none.

    :raises ArtifactError: if an index, a model or a ranker is damaged.
    :raises StoreError: if the store is.
    """
    return {
        "home": str(workspace.home),
        "index": _index(workspace),
        "ranker": _ranker(workspace),
        "served": _served(workspace),
        "cascade": _cascade(workspace.cross_encoder_folder),
        "pairwise": _pairwise(workspace.pairwise_folder),
        "store": _store(workspace.store_path),
    }


def status_text(status: dict[str, Any]) -> str:
    """Return it for people."""
    index, ranker, pairwise = status["index"], status["ranker"], status["pairwise"]
    rows = [
        [
            "index",
            index["source"],
            f"{index['gpus']} GPUs, embedder {index['embedder']}, version {index['version']}",
        ],
        ["ranker", ranker["source"], f"{ranker['name']}, version {ranker['version']}"],
        *([["", "", _IN_PLACE]] if ranker["fault"] else []),
        *[
            ["", f"--ranker {kind}", f"version {version}"]
            for kind, version in status["served"].items()
        ],
        *([["", "--cascade", f"cross-encoder {status['cascade']}"]] if status["cascade"] else []),
        ["pairwise", pairwise["provenance"], _pairwise_words(pairwise)],
        ["", "candidates", pairwise["candidates"]],
    ]
    store = status["store"]
    if store is None:
        rows.append(["store", "none", "nothing was said or measured yet"])
    else:
        rows += [
            ["store" if at == 0 else "", name, str(store[name])]
            for at, name in enumerate((*_COUNTED, "pairs"))
        ]
        for name in ("labels", "item_types"):
            said = ", ".join(f"{key}: {number}" for key, number in store[name].items())
            rows += [["", name.replace("_", " "), said]] if said else []
    width = WIDTH - 12 - max(len(row[1]) for row in rows)
    rows = [[*row[:2], cut(row[2], width)] for row in rows]
    return table(("", "", f"in {cut(status['home'], WIDTH - 30)}"), rows, left=(0, 1, 2))


def _index(workspace: Workspace) -> dict[str, Any]:
    from index.gpu_index import FORMAT_VERSION, REMEDY

    folder = workspace.active_index()
    manifest = read_manifest(folder, kind="index", format_version=FORMAT_VERSION, remedy=REMEDY)
    said = manifest.parameters
    return {
        "source": _source(workspace, folder),
        "version": manifest.fingerprint,
        "gpus": said["gpus"],
        "embedder": said["embedder"],
    }


def _ranker(workspace: Workspace) -> dict[str, Any]:
    """Return the champion, or the one before it if the champion is damaged: `fault` says how."""
    champion, *before = workspace.serving_versions()
    try:
        return {**_ranker_in(workspace, champion), "fault": None}
    except ArtifactError as exc:
        for other in before:
            with suppress(ArtifactError):
                return {**_ranker_in(workspace, other), "fault": str(exc)}
        raise


def _ranker_in(workspace: Workspace, ref: VersionRef) -> dict[str, Any]:
    folder = workspace.version_folder(ref)
    manifest = verified_manifest(folder, ref.kind)
    found = ranker_in(folder, manifest)
    name = found.kind.value if isinstance(found, RankerFolder) else "LambdaRank"
    return {"source": _source(workspace, folder), "name": name, "version": manifest.fingerprint}


def _served(workspace: Workspace) -> dict[str, str]:
    """Return the version of each ranker that `rerank train-decision` made serve, by kind."""
    versions = {}
    for kind in (kind for kind in RankerKind if kind is not RankerKind.LTR):
        if workspace.served_folder(kind).is_dir():
            versions[kind.value] = read_manifest(
                workspace.model_of(kind),
                kind="ranker",
                format_version=FORMAT_VERSION,
                remedy=f"rerank train-decision {kind.value}",
            ).fingerprint
    return versions


def _cascade(folder: Path) -> str | None:
    """Return the version of the cross-encoder that `--cascade` puts behind, None without one."""
    if not folder.is_dir():
        return None
    return read_manifest(
        folder, kind=layout.KIND, format_version=layout.FORMAT_VERSION, remedy=layout.REMEDY
    ).fingerprint


def _pairwise(folder: Path) -> dict[str, Any]:
    ranker = PairwiseRanker.load(folder)
    trained = ranker.trained
    try:
        candidates: str = PairwiseCandidateRanker(ranker).provenance
    except MismatchError:
        candidates = "not ranked: it reads what candidates of listings do not have"
    return {
        "provenance": ranker.provenance,
        "why_heuristic": ranker.why_heuristic,
        "name": None if trained is None else trained.name,
        "metrics": None if trained is None else list(trained.metric_names),
        "embedding_dim": None if trained is None else trained.embedding_dim,
        "held_out": None if trained is None else trained.metadata["metrics"]["validation"],
        "candidates": candidates,
    }


def _pairwise_words(pairwise: dict[str, Any]) -> str:
    if pairwise["name"] is None:
        return str(pairwise["why_heuristic"])
    figure = pairwise["held_out"]["pair_accuracy"]
    right = "" if figure["value"] is None else f", {figure['value']:.3f} of pairs right"
    return f"{pairwise['name']}: {len(pairwise['metrics'])} metrics{right}"


def _store(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    with Store(path).reading() as session:
        counts = preference_counts(session)
        numbers = {
            name: int(session.rows(f"count {name}", f"SELECT count(*) FROM {name}")[0][0])
            for name in _COUNTED
        }
    return {
        **numbers,
        "pairs": counts.pairs,
        "labels": counts.labels,
        "item_types": counts.item_types,
        "sources": counts.sources,
    }


def _source(workspace: Workspace, folder: Path) -> str:
    return "workspace" if folder.is_relative_to(workspace.home) else "shipped"
