"""What serves in a workspace, what there is to train on; the smoke test and the demo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rerank.cross_encoder.ranker import (
    CROSS_ENCODER_FORMAT,
    CROSS_ENCODER_KIND,
    CROSS_ENCODER_REMEDY,
)
from rerank.domain import GPU, TrainingRequest, build_catalogue_index, card_tools, init_catalogue
from rerank.index.artifacts import INDEX_FORMAT, INDEX_REMEDY, read_manifest
from rerank.index.errors import ArtifactError, MismatchError, RerankError, os_error_text
from rerank.index.records import Listing, shipped
from rerank.jobs.evaluating import EvaluationPlan, evaluate_workspace
from rerank.jobs.files.places import place_of
from rerank.jobs.files.selection import select_files
from rerank.jobs.scoring.answering import ResolverAnswerer
from rerank.jobs.scoring.plan import Existing, plan_score
from rerank.jobs.scoring.run import ScoreSummary, run_plan
from rerank.jobs.tables import (
    WIDTH,
    baselines_text,
    contents_of_index,
    cut,
    decimal,
    table,
)
from rerank.jobs.training import train_workspace_model
from rerank.lifecycle.changing import TrainedVersion, keeping_part
from rerank.lifecycle.model_registry import verified_manifest
from rerank.lifecycle.opening import open_resolver
from rerank.lifecycle.versions import SHIPPED, VersionRef
from rerank.model import MODEL_FORMAT, ranker_in
from rerank.rankers.kinds import RankerFolder, RankerKind
from rerank.rankers.pairs import PairItem
from rerank.rankers.pairwise import PairwiseCandidateRanker, PairwiseRanker, TrainedScorer
from rerank.ranking import RankingBatch
from rerank.resolution import memory
from rerank.resolver import Resolver
from rerank.store.database import Store
from rerank.store.rows import preference_counts
from rerank.verdicts import StandingVerdicts, VerdictSnapshot, open_verdicts
from rerank.workspace import Workspace, default_embedder, domain_of_index, open_source

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
        "served": {
            kind.value: _version_in(
                workspace.model_of(kind),
                kind="ranker",
                format_version=MODEL_FORMAT,
                remedy=f"rerank train-decision {kind.value}",
            )
            for kind in _prepared(workspace)
        },
        "cascade": _version_in(
            workspace.cross_encoder_folder,
            kind=CROSS_ENCODER_KIND,
            format_version=CROSS_ENCODER_FORMAT,
            remedy=CROSS_ENCODER_REMEDY,
        )
        if workspace.cross_encoder_folder.is_dir()
        else None,
        "pairwise": _pairwise(workspace.pairwise_folder),
        "store": _store(workspace.store_path),
        "verdicts": _verdicts(workspace),
    }


def status_text(status: dict[str, Any]) -> str:
    """Return it for people."""
    index, ranker, pairwise = status["index"], status["ranker"], status["pairwise"]
    cards = f"{index.get('gpus')} GPUs, embedder {index['embedder']}"
    holds = contents_of_index(index) if "many" in index else cards
    rows = [
        ["index", index["source"], f"{holds}, version {index['version']}"],
        ["ranker", ranker["source"], f"{ranker['name']}, version {ranker['version']}"],
        *([["", "", _IN_PLACE]] if ranker["fault"] else []),
        *[
            ["", f"--ranker {kind}", f"version {version}"]
            for kind, version in status["served"].items()
        ],
        *([["", "--cascade", f"cross-encoder {status['cascade']}"]] if status["cascade"] else []),
    ]
    if "gpus" in index or pairwise["name"] is not None:  # the heuristic is one of cards
        rows += [
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
    if verdicts := status["verdicts"]:
        rows.append(["verdicts", "stand", str(verdicts["standing"])])
        if verdicts["stale"]:
            rows.append(["", "stale", f"{verdicts['stale']}: `rerank verdicts list --stale`"])
    width = WIDTH - 12 - max(len(row[1]) for row in rows)
    rows = [[*row[:2], cut(row[2], width)] for row in rows]
    return table(("", "", f"in {cut(status['home'], WIDTH - 30)}"), rows, left=(0, 1, 2))


def _index(workspace: Workspace) -> dict[str, Any]:
    folder = workspace.active_index()
    manifest = read_manifest(folder, kind="index", format_version=INDEX_FORMAT, remedy=INDEX_REMEDY)
    of_goods = "many" in manifest.parameters
    told = ("products", "models", "many", "pack", "embedder") if of_goods else ("gpus", "embedder")
    return {
        "source": _source(workspace, folder),
        "version": manifest.fingerprint,
        **{key: manifest.parameters[key] for key in told},
    }


def _ranker(workspace: Workspace) -> dict[str, Any]:
    """Return the champion, or the one before it if the champion is damaged: `fault` says how."""
    champion, *before = workspace.serving_versions()
    holds_cards = domain_of_index(workspace.active_index()).name == GPU
    if champion.version == SHIPPED and not holds_cards:
        return {
            "source": "none",
            "name": "none yet: rerank train-ltr",
            "version": "-",
            "fault": None,
        }
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


def _prepared(workspace: Workspace) -> list[RankerKind]:
    """Return the rankers that `rerank train-decision` made ready for `--ranker`."""
    others = (kind for kind in RankerKind if kind is not RankerKind.LTR)
    return [kind for kind in others if workspace.served_folder(kind).is_dir()]


def _version_in(folder: Path, **artifact: Any) -> str:
    return read_manifest(folder, **artifact).fingerprint


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
        pairs = preference_counts(session).as_dict()
        return {
            **{
                name: int(session.rows(f"count {name}", f"SELECT count(*) FROM {name}")[0][0])
                for name in _COUNTED
            },
            **{name: pairs[name] for name in ("pairs", "labels", "item_types", "sources")},
        }


def _verdicts(workspace: Workspace) -> dict[str, int] | None:
    people = open_verdicts(workspace)
    if people is None:
        return None
    return {"standing": people.n_standing, "stale": len(stale_verdicts(workspace, people))}


def stale_verdicts(workspace: Workspace, people: VerdictSnapshot | None) -> NDArray[np.int64]:
    """Return the rows of verdicts on what the index that serves does not have."""
    if people is None:
        return np.zeros(0, np.int64)
    source, _ = open_source(workspace)
    key = domain_of_index(workspace.active_index()).key_column
    return StandingVerdicts(people, source.table, key).questions()


def _source(workspace: Workspace, folder: Path) -> str:
    return "workspace" if folder.is_relative_to(workspace.home) else "shipped"


_HEURISTIC_METRICS = ("clarity", "impact", "keyword_score")


Attempt = Callable[[], tuple[str, str]]


def smoke_test(workspace: Workspace) -> list[dict[str, Any]]:
    """Try the pieces of a workspace one after the other; one that fails stops no other.

    :returns: of each ``piece`` whether it ``works``, its ``provenance``, and ``said``: the answer
        or what is wrong.
    """
    served = opened = cache(partial(open_resolver, workspace.home))
    pieces: dict[str, Attempt] = {
        "resolver": lambda: _resolved(served()),
        "pairwise ranker": lambda: _compared(workspace.pairwise_folder),
        "candidate ranker": lambda: _ordered(workspace.pairwise_folder, served),
    }
    for kind in _prepared(workspace):
        pieces[f"--ranker {kind.value}"] = partial(lambda own: _resolved(opened(ranker=own)), kind)
    if workspace.cross_encoder_folder.is_dir():
        pieces["--cascade"] = lambda: _resolved(opened(cascade=True))
    return [_tried(piece, attempt) for piece, attempt in pieces.items()]


def _compared(folder: Path) -> tuple[str, str]:
    ranker = PairwiseRanker.load(folder)
    found = ranker.compare(*_items(ranker.trained))
    _check_finite("scores", np.array([found.a_score, found.b_score]))
    return ranker.provenance, f"prefers {found.preference:+d}, confidence {found.confidence:.2f}"


def _ordered(folder: Path, served: Callable[[], Resolver]) -> tuple[str, str]:
    try:
        ranker = PairwiseCandidateRanker.load(folder)
    except MismatchError:
        return "-", "the pairwise ranker is not one of candidates"
    resolver = served()
    if resolver.domain != GPU:
        return "-", "pairwise rankers order graphics cards only"
    listing = _listing(resolver)
    evidence = resolver.evidence([listing])
    scores = ranker.score(
        RankingBatch([listing], evidence.candidates, evidence.features, resolver.table)
    )
    _check_finite("scores", scores)
    best = resolver.table.records[int(evidence.candidates.record[int(np.argmax(scores))])]
    return ranker.provenance, f"first of {len(scores)}: {best.model}"


def smoke_text(tried: list[dict[str, Any]]) -> str:
    """Return what was tried, for people."""
    width = WIDTH - 23 - max(len(each["piece"]) for each in tried)
    rows = [
        [
            each["piece"],
            "ok" if each["works"] else "FAILED",
            each["provenance"],
            cut(each["said"], width),
        ]
        for each in tried
    ]
    return table(("piece", "", "provenance", "answer"), rows, left=(0, 1, 2, 3))


def _tried(piece: str, attempt: Attempt) -> dict[str, Any]:
    works, provenance = False, "-"
    try:
        provenance, said = attempt()
        works = True
    except RerankError as exc:
        said = str(exc)
    except OSError as exc:
        said = os_error_text(exc)
    except ModuleNotFoundError as exc:
        said = f"{exc.name} is not installed"
    return {"piece": piece, "works": works, "provenance": provenance, "said": said}


def _resolved(resolver: Resolver) -> tuple[str, str]:
    answer = resolver.resolve(_listing(resolver))
    _check_finite("a match probability", np.array([answer.match_probability]))
    return "onnx", f"{answer.decision}: {answer.subject}, P(model) {answer.match_probability:.3f}"


def _listing(resolver: Resolver) -> Listing:
    """Return a listing of a model of the catalogue, whatever catalogue it is."""
    return Listing("smoke", resolver.table.records[0].model)


def _items(trained: TrainedScorer | None) -> tuple[PairItem, PairItem]:
    """Return two items with all that is read of one: 1 of everything, and 0."""
    names = _HEURISTIC_METRICS if trained is None else trained.metric_names
    dim = 0 if trained is None else trained.embedding_dim

    def item(value: float) -> PairItem:
        vector = np.full(dim, value, np.float32) if dim else None
        return PairItem("smoke", f"all {value:g}", dict.fromkeys(names, value), vector)

    return item(1.0), item(0.0)


def _check_finite(what: str, values: NDArray[np.floating]) -> None:
    if not (len(values) and np.isfinite(values).all()):
        raise ArtifactError(f"expected {what} that are numbers, got {values.tolist()}")


_ROWS_SHOWN = 12
_RESOLVED = "demo_resolved.parquet"
_HEADLINES = (
    ("precision@1", "precision_at_1"),
    ("recall@10", "recall_at_10"),
    ("MRR", "mrr"),
    ("precision of the accepted", "precision_of_accepted"),
    ("share accepted", "accepted_share"),
    ("false matches of no-match listings", "nil_false_match_rate"),
    ("ECE", "ece"),
)


def run_demo(
    workspace: Workspace,
    request: TrainingRequest | None = None,
    *,
    bootstrap: int = 2000,
    progress: Callable[[str, float], None] = lambda stage, share: None,
) -> tuple[str, ScoreSummary]:
    """Build the index, train, evaluate and score the shipped listings.

    By default it makes again what ships.

    :param bootstrap: generated listings in the evaluation.
    :returns: a dozen resolved rows, the figures and where the files lie; how scoring went.
    """
    progress("building the index", 0.0)
    tools = card_tools()
    records = tools.load_registry(shipped("registry"))
    with keeping_part(workspace, "index"):
        tools.build_index(records, default_embedder(workspace), workspace.index_folder)
    trained = train_workspace_model(
        workspace, request or TrainingRequest(), serve=True, progress=progress
    )
    report = evaluate_workspace(workspace, EvaluationPlan(bootstrap=bootstrap), progress=progress)
    progress("scoring the shipped listings", 0.0)
    scored, summary = _scored(workspace, shipped("demo_listings.parquet"))
    sets = report["sets"]
    parts = [
        "Some of the shipped listings, resolved:",
        _rows_text(scored, "GPU, or why none"),
        "Measured on the shipped hard set and on models that training never saw:",
        table(("", *sets), [_headline(label, key, sets) for label, key in _HEADLINES], left=(0,)),
        *(
            f"Against baselines, {name}:\n{baselines_text(content)}"
            for name, content in sets.items()
        ),
        _files_text(workspace, trained, report=workspace.report_page),
    ]
    return "\n\n".join(parts), summary


def _headline(label: str, key: str, sets: dict[str, Any]) -> list[str]:
    return [label, *(decimal(content["metrics"][key]["value"]) for content in sets.values())]


def _scored(workspace: Workspace, listings: Path) -> tuple[list[dict[str, Any]], ScoreSummary]:
    """Score listings into the workspace; return the rows that were written."""
    target = workspace.home / _RESOLVED
    plan = plan_score(select_files(str(listings)), place_of(target), existing=Existing.OVERWRITE)
    summary = run_plan(plan, ResolverAnswerer(open_resolver(workspace.home)))
    return pq.read_table(target).to_pylist(), summary


def _files_text(workspace: Workspace, trained: TrainedVersion, **others: Path) -> str:
    files = {
        "resolved listings": workspace.home / _RESOLVED,
        "index": workspace.index_folder,
        "model": trained.folder,
        **others,
    }
    return "\n".join(f"{name:18} {path}" for name, path in files.items())


def run_catalogue_demo(
    workspace: Workspace,
    request: TrainingRequest,
    *,
    progress: Callable[[str, float], None] = lambda stage, share: None,
) -> tuple[str, ScoreSummary]:
    """Go from the shipped table of power tools to resolved listings: what one would do oneself.

    :returns: a dozen resolved rows, what of all came out right, and where the files lie; how
        scoring went.
    :raises ArtifactError: if the workspace has a `catalogue.yaml` already.
    """
    folder = shipped("demo_catalogue")
    listings, file = folder / "listings.csv", workspace.home / "catalogue.yaml"
    progress("looking at the table", 0.0)
    proposal = init_catalogue(folder / "products.csv", [listings], file, pack="generic")
    with keeping_part(workspace, "index"):
        build_catalogue_index(file, workspace.index_folder, progress=progress)
    trained = train_workspace_model(workspace, request, serve=True, progress=progress)
    progress("scoring the listings", 0.0)
    rows, summary = _scored(workspace, listings)
    gold = {
        row["listing_id"]: frozenset(filter(None, row["product_ids"].split(";")))
        for row in pacsv.read_csv(folder / "gold.csv", convert_options=_AS_TEXT).to_pylist()
    }
    sold = [row for row in rows if gold[row["listing_id"]]]
    matched = [row for row in rows if row["decision"] == "match"]
    n_wrong = sum(not gold[row["listing_id"]] for row in matched)

    def right(row: dict[str, Any]) -> bool:
        best = row["candidates"][0]["product_id"] if row["candidates"] else ""
        return best in gold[row["listing_id"]]

    figures = [
        ["right product first", f"{sum(map(right, sold))} of {len(sold)} that sell one"],
        ["matches that are right", f"{sum(map(right, matched))} of {len(matched)}"],
        ["of those that sell none, matched", f"{n_wrong} of {len(rows) - len(sold)}"],
    ]
    parts = [
        f"Some of the shipped listings, resolved to a catalogue of {proposal.many}:",
        _rows_text(rows, "product, or why none"),
        table(("", ""), figures, left=(0, 1)),
        f"{'catalogue':18} {file}\n{_files_text(workspace, trained)}",
    ]
    return "\n\n".join(parts), summary


_AS_TEXT = pacsv.ConvertOptions(
    column_types={"listing_id": pa.string(), "product_ids": pa.string()}, strings_can_be_null=False
)


def _rows_text(rows: Sequence[dict[str, Any]], what: str) -> str:
    step = max(1, len(rows) // _ROWS_SHOWN)
    cells = []
    for row in rows[::step][:_ROWS_SHOWN]:
        said = row["decision"].replace("_", " ")
        name = row["reason"] if row["decision"] == "no_match" else _name_of(row)
        probability = f"{row['match_probability']:.2f}"
        cells.append([cut(row["title"] or "(none)", 30), said, probability, cut(name, 26)])
    return table(("title", "decision", "P(model)", what), cells, left=(0, 1, 3))


def _name_of(row: dict[str, Any]) -> str:
    if "name" in row:
        return str(row["name"])
    return f"{row['model']} {memory(row['memory_gb'])}"
