"""Trainings into a workspace: LambdaRank, decisions, pairwise, dual, cross-encoder."""

from __future__ import annotations

import csv
import json
import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rerank.annotation.preference_pairs import INDEX_PREFIX
from rerank.cross_encoder.base_model import model_folder
from rerank.cross_encoder.finetuning import save_trained, train
from rerank.cross_encoder.hyperparameters import CrossEncoderSettings
from rerank.cross_encoder.packs import PackSets, QueryPack, given_sets, read_packs, split_by_query
from rerank.cross_encoder.ranker import CROSS_ENCODER_KIND
from rerank.domain import TrainingRequest, card_tools, domain_in, domain_named
from rerank.index.artifacts import check_replaceable, writing_file
from rerank.index.errors import ArtifactError, InputError, MissingExtraError
from rerank.index.records import LabelledListing, Progress
from rerank.index.rows import first_faults
from rerank.index.text import descriptor
from rerank.jobs.tables import WIDTH, ReportFigure, cut, decimal, decimals, table, with_decimals
from rerank.lifecycle.changing import Learnt, TrainedVersion, registered
from rerank.rankers.kinds import RankerFolder, RankerKind
from rerank.rankers.pairs import (
    CANDIDATE_TYPE,
    KeptTogether,
    PairDataset,
    read_dataset,
    read_embeddings,
)
from rerank.rankers.pairwise import TrainingPlan, train_pairwise
from rerank.rankers.scored import ScoredLines, synthetic_candidates
from rerank.settings import read_settings
from rerank.workspace import Workspace, open_retriever, open_source, packaged_folder


def train_workspace_model(
    workspace: Workspace,
    request: TrainingRequest,
    *,
    serve: bool = False,
    warn: Callable[[str], None] = lambda message: None,
    progress: Progress = lambda stage, share: None,
) -> TrainedVersion:
    """Train on the workspace's index, as its domain does, and register the new version.

    :param serve: let it serve at once, whatever serves now.
    :param warn: is told of annotations that could not be used.
    """
    source, index = open_source(workspace)
    domain = domain_named(domain_in(index.parameters))
    lesson = domain.lesson(workspace, source, index, request, warn=warn, progress=progress)
    learnt = Learnt(source, index, request.seed, lesson.annotated)
    kind = RankerKind.LTR.value
    return registered(workspace, kind, lesson.into, learnt, serve=serve, progress=progress)


def train_workspace_decision(
    workspace: Workspace,
    trained: RankerFolder,
    request: TrainingRequest,
    *,
    serve: bool = False,
    progress: Progress = lambda stage, share: None,
) -> TrainedVersion:
    """Train what decides on a ranker's scores, and register the version of both.

    :param serve: let it serve at once, whatever serves now.
    :raises ArtifactError: if the ranker's folder is missing or damaged.
    :raises MismatchError: if the ranker reads what candidates of listings do not have.
    """
    if not trained.folder.is_dir():
        raise ArtifactError(
            f"{trained.folder}: no trained {trained.kind.value} ranker here; make one with "
            f"{trained.kind.maker}, or name its folder with --from"
        )
    retriever, manifest = open_retriever(workspace)
    lesson = card_tools().decision_lesson(retriever, manifest, request, trained, progress=progress)
    learnt = Learnt(retriever, manifest, request.seed)
    kind = trained.kind.value
    return registered(workspace, kind, lesson.into, learnt, serve=serve, progress=progress)


_MOST_NAMED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PairInput:
    """Where pairs and their embeddings come from.

    :param embeddings: JSON lines of embeddings by id; None if there is no such file.
    :param index_embeddings: whether ``index:GPU_ID`` is looked up in the index that serves.
    :param max_bad_share: share of lines that may be no pair, 0 to 1.
    """

    dataset: Path
    embeddings: Path | None = None
    index_embeddings: bool = False
    max_bad_share: float


def train_pairwise_ranker(
    workspace: Workspace,
    source: PairInput,
    plan: TrainingPlan,
    *,
    warn: Callable[[str], None] = lambda message: None,
    progress: Callable[[float], None] = lambda share: None,
) -> dict[str, Any]:
    """Read the pairs, train and write a ranker; return its metadata.

    :param warn: is told of what was left out or is odd about the data.
    :raises InputError: if the data or the plan cannot be used.
    """
    plan.check()
    dataset = read_dataset(source.dataset, max_bad_share=source.max_bad_share)
    for fault in first_faults(dataset.malformed):
        warn(f"left out: {fault}")
    if plan.embedding_dim != 0:
        dataset = _with_embeddings(workspace, source, dataset, warn)
    metadata = train_pairwise(dataset, plan, progress=progress)
    for message in oddities(metadata):
        warn(message)
    return metadata


def index_vectors(
    workspace: Workspace, embedding_ids: Collection[str]
) -> dict[str, NDArray[np.float32]]:
    """Return the vectors of ``index:GPU_ID`` in the index that serves; others are left out."""
    wanted = {i.removeprefix(INDEX_PREFIX) for i in embedding_ids if i.startswith(INDEX_PREFIX)}
    if not wanted:
        return {}

    retriever, _ = open_retriever(workspace)
    records = [record for record in retriever.records if record.gpu_id in wanted]
    vectors = retriever.embedder.encode([descriptor(record) for record in records])
    return dict(zip((INDEX_PREFIX + record.gpu_id for record in records), vectors, strict=True))


def oddities(metadata: Mapping[str, Any]) -> list[str]:
    """Return what a person should know of the data a ranker was trained on, a line each."""
    features, dataset = metadata["features"], metadata["dataset"]
    found = []
    for what, names in (
        ("are constant and were neutralised", features["constant"]),
        ("are missing of some items, which an input of their own says", features["missing"]),
        ("are not finite in some items, where the mean stands for them", features["non_finite"]),
    ):
        if names:
            shown = ", ".join(list(names)[:_MOST_NAMED])
            more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
            found.append(f"metrics that {what}: {shown}{more}")
    for what in ("embeddings_missing", "embeddings_non_finite", "embedding_columns_constant"):
        if features[what]:
            found.append(f"{what.replace('_', ' ')}: {features[what]}")
    if not dataset["validation_pairs"]:
        found.append("no pairs were held out: figures are of the training pairs, none stopped it")
    elif dataset["kept_together"] == KeptTogether.PAIRS.value:
        found.append(
            "nearly all items hang together by their pairs: held-out pairs are new, their "
            "items are not"
        )
    if CANDIDATE_TYPE in dataset["item_types"] and metadata["embedding_dim"]:
        found.append(
            "candidates of listings are ranked by their metrics only: to serve there, "
            "train with --embedding-dim 0"
        )
    return found


def _with_embeddings(
    workspace: Workspace, source: PairInput, dataset: PairDataset, warn: Callable[[str], None]
) -> PairDataset:
    vectors: dict[str, NDArray[np.float32]] = {}
    if source.embeddings is not None:
        vectors |= read_embeddings(source.embeddings)
    if source.index_embeddings:
        vectors |= index_vectors(workspace, dataset.embedding_ids - vectors.keys())
    resolved = dataset.with_embeddings(vectors)
    unknown = resolved.embedding_ids
    if not vectors:  # candidates name the index's vectors, and are best ranked without them
        unknown = {name for name in unknown if not name.startswith(INDEX_PREFIX)}
    if unknown:
        remedy = "give them with --embeddings" if source.embeddings is None else "correct the file"
        warn(
            f"{len(unknown)} embeddings named by their id are not known, such as "
            f"{min(unknown)!r:.80}; {remedy}"
        )
    return resolved


CHECKPOINT_SUFFIX = ".checkpoint"

Warn = Callable[[str], None]


def train_cross_encoder(
    config: Path,
    workspace: Workspace,
    *,
    output: Path | None = None,
    resume: bool = False,
    warn: Warn = lambda message: None,
    progress: Progress = lambda stage, share: None,
) -> tuple[str, str]:
    """Train and save; a stopped run leaves a checkpoint beside the output to go on from.

    :param output: the folder to write; by default what the file says, else the workspace's.
    :returns: how training went and what was saved, for people.
    :raises InputError: if file, data, model or output cannot be used; nothing is written then.
    :raises ArtifactError: if the output is a file.
    :raises MissingExtraError: if peft or bitsandbytes is not installed.
    """
    settings = read_settings(CrossEncoderSettings, config)
    target = output or (Path(settings.output) if settings.output else None)
    target = target or workspace.cross_encoder_folder
    check_replaceable(target, kind=CROSS_ENCODER_KIND)
    _check_libraries(settings)
    sets = read_sets(settings, warn)

    base = packaged_folder(settings.model.name) or model_folder(settings.model.name)
    checkpoints = target.with_name(target.name + CHECKPOINT_SUFFIX)
    started = time.perf_counter()
    trained = train(base, sets, settings, checkpoints, resume=resume, progress=progress)
    seconds = time.perf_counter() - started
    progress("saving", 0.0)
    saved = save_trained(trained, base, sets, settings, target, seconds=None if resume else seconds)
    shutil.rmtree(checkpoints, ignore_errors=True)
    best = trained.best
    int8 = "" if saved.int8_difference is None else f", of 8 bits {saved.int8_difference:.1g}"
    return (
        f"{trained.steps} steps in {seconds:.0f} s; step {trained.best_step} validated "
        f"best, on {best.queries} queries: precision@1 {best.precision_at_1:.3f}, "
        f"MRR {best.mrr:.3f}, loss {best.loss:.3f}",
        f"cross-encoder {saved.version} in {target}: graph and torch differ by at most "
        f"{saved.parity:.1g}{int8}",
    )


def read_sets(settings: CrossEncoderSettings, warn: Warn) -> PackSets:
    """Read the packs and put each query on one side.

    :param warn: is told of malformed lines that are passed over.
    :raises InputError: if a file cannot be used, or queries stand in both.
    """
    train = _packs(settings.data.train, settings, warn)
    if settings.data.valid is not None:
        return given_sets(train, _packs(settings.data.valid, settings, warn))
    return split_by_query(train, valid_share=settings.data.valid_share, seed=settings.seed)


def _packs(name: str, settings: CrossEncoderSettings, warn: Warn) -> list[QueryPack]:
    read = read_packs(Path(name), max_malformed_share=settings.data.max_malformed_share)
    if read.malformed:
        shown = "; ".join(first_faults(read.malformed))
        warn(f"{name}: passed over {len(read.malformed)} malformed lines: {shown}")
    return read.packs


def _check_libraries(settings: CrossEncoderSettings) -> None:
    needed = ["peft", *(["bitsandbytes"] if settings.quantization == "nf4" else [])]
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"training a cross-encoder needs {' and '.join(missing)}; install "
            "`pip install 'listing-rerank[neural]'`"
        )


def write_queries(
    workspace: Workspace | None,
    path: Path,
    n_queries: int,
    *,
    seed: int,
    progress: Callable[[float], None] = lambda share: None,
) -> None:
    """Write generated listings with the candidates that a workspace's index proposes.

    :param workspace: None writes requests for drinks with invented photographs.
    :raises ArtifactError: if the index is damaged.
    """
    if workspace is None:
        lines = ScoredLines().lines(synthetic_candidates(n_queries, seed=seed))
    else:
        retriever, _ = open_retriever(workspace)
        parts = card_tools().scored_queries(retriever, n_queries, seed=seed, progress=progress)
        lines = chain.from_iterable(map(ScoredLines(share_vectors=True).lines, parts))
    with writing_file(path) as draft, draft.open("w", encoding="utf-8") as file:
        file.writelines(lines)


_COMPLIANCE = (
    ("compliance@1", "compliance_at_1"),
    ("@3", "compliance_at_3"),
    ("@5", "compliance_at_5"),
)
_RANKING = (
    ("nDCG@10", "ndcg_at_10"),
    ("conflict@1", "conflict_at_1"),
)
_CONFLICT = (("conflict AUC", "conflict_auc"), ("conflict ECE", "conflict_ece"))
_GAINS = (("compliance@1", "compliance_at_1"), ("nDCG@10", "ndcg_at_10"))


def dual_text(report: Mapping[str, Any]) -> str:
    """Return steps, their gains, the doubt and the failures as text."""
    steps = report["steps"]
    parts = [_figures(steps, columns) for columns in (_COMPLIANCE, _RANKING, _CONFLICT)]
    if any(step["gain"] for step in steps):
        parts.append(f"gain over {steps[0]['label']}\n\n{_gains(steps)}")
    causes = [[str(n), cut(cause, WIDTH - 10)] for cause, n in report["failure_causes"].items()]
    failures = f"failures\n\n{table(('', 'cause'), causes, left=(1,))}" if causes else "no failures"
    return "\n\n".join([*parts, _uncertainty(report["uncertainty"]), failures])


def _figures(steps: list[Mapping[str, Any]], columns: tuple[tuple[str, str], ...]) -> str:
    rows = [
        [step["label"], *(with_decimals(step["metrics"].get(key)) for _, key in columns)]
        for step in steps
    ]
    return table(("", *(label for label, _ in columns)), rows, left=(0,))


def _gains(steps: list[Mapping[str, Any]]) -> str:
    rows = []
    for step in steps[1:]:
        for label, key in _GAINS:
            gain = step["gain"][key]
            low, high = gain["ci95"]
            rows.append(
                [
                    step["label"],
                    label,
                    f"{gain['difference']:+.4f}",
                    f"{low:+.4f} to {high:+.4f}",
                    "-" if gain["relative"] is None else f"{gain['relative']:+.1%}",
                    f"{gain['p_adjusted']:.4f}",
                ]
            )
    return table(("", "metric", "gain", "95 %", "relative", "p (Holm)"), rows, left=(0, 1))


def _uncertainty(found: Mapping[str, Any]) -> str:
    rows = [
        [
            str(number),
            str(each["n"]),
            f"{each['mean_doubt']:.3f}",
            f"{each['mean_error_probability']:.3f}",
            f"{each['share_wrong']:.3f}",
            decimals(ReportFigure.read(each)),
        ]
        for number, each in enumerate(found["bins"], 1)
    ]
    header = ("quarter", "queries", "doubt", "stated errors", "share wrong", "95 %")
    return (
        f"first candidate not the best: {with_decimals(found['share_wrong'])}\n"
        f"AUC of doubt for that {with_decimals(found['auc'])}, "
        f"ECE {with_decimals(found['ece'])}\n\n"
        f"{table(header, rows, left=())}"
    )


def ranker_text(metadata: Mapping[str, Any], folder: Path) -> str:
    """Return what was trained, on what, and how good it is."""
    dataset, sides = metadata["dataset"], metadata["metrics"]
    dim = metadata["embedding_dim"]
    reads = f"{metadata['metric_dim']} metrics, " + (
        f"embeddings of {dim}" if dim else "no embeddings"
    )
    epochs = len(metadata["loss_history"])
    lines = [
        f"ranker {metadata['name']} in {folder}",
        "",
        f"  reads     {reads}",
        f"  pairs     {dataset['training_pairs']} taught it, {dataset['validation_pairs']} held "
        f"out, {dataset['malformed']} lines left out",
        f"  training  {epochs} epochs in {metadata['training_time']:.1f} s, the weights are of "
        f"epoch {metadata['best_epoch']}",
        f"  parity    torch and ONNX differ by at most {metadata['parity']['score']:.1e}",
        "",
    ]
    header = ("pairs right", "training", "95 % interval", "held out", "95 % interval")
    rows = [
        [
            label,
            *(
                cell
                for side in ("training", "validation")
                for found in [ReportFigure.read(sides[side][key])]
                for cell in (decimal(found.value), decimals(found, to=" to "))
            ),
        ]
        for label, key in (
            ("network", "pair_accuracy"),
            ("heuristic", "heuristic_pair_accuracy"),
            ("difference", "gain_over_heuristic"),
        )
    ]
    return "\n".join([*lines, table(header, rows, left=(0,))])


SCHEMA = pa.schema(
    [
        ("listing_id", pa.string()),
        ("title", pa.string()),
        ("vendor", pa.string()),
        ("description", pa.string()),
        ("kind", pa.string()),
        ("gpu_id", pa.string()),
        ("model", pa.string()),
        ("memory_stated", pa.bool_()),
        ("form_stated", pa.bool_()),
        ("mentions", pa.string()),
        ("template", pa.string()),
    ]
)
SUFFIXES = (".parquet", ".csv", ".jsonl")


def check_suffix(path: Path) -> None:
    """Check that a file name says how to write it.

    :raises InputError: if it does not end in one of `SUFFIXES`.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(
            f"{path}: expected a name ending in {', '.join(SUFFIXES)}, found "
            f"{path.suffix or 'no ending'!r}"
        )


def write_labelled(listings: Sequence[LabelledListing], path: Path) -> None:
    """Write listings and labels as parquet, CSV or JSONL, by the file's suffix."""
    check_suffix(path)
    rows = [_row(item) for item in listings]
    with writing_file(path) as draft:
        if path.suffix == ".parquet":
            pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), draft)
        elif path.suffix == ".csv":
            with draft.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, SCHEMA.names)
                writer.writeheader()
                writer.writerows(rows)
        else:
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
            draft.write_text("".join(lines), encoding="utf-8")


def _row(item: LabelledListing) -> dict[str, Any]:
    values = {**asdict(item.listing), **asdict(item)}
    return {name: values[name] for name in SCHEMA.names}
