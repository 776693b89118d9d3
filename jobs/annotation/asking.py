"""What is asked about listings and what becomes of it: the queue, judging answers, simulating.

First what `rerank annotate` and `rerank review` ask, in the order of a queue; then what `rerank
annotations` says of the answers: agreement, disputes, suspects; then what `rerank simulate-queue`
measures of queues.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from itertools import repeat
from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from rerank.annotation.agreement import (
    ADJUDICATOR,
    Agreement,
    Dispute,
    Suspect,
    by_listing,
    disputes,
    label_of,
    standing_labels,
    suspects,
)
from rerank.annotation.queue import MEASURES, QueueItem, QueueStrategy, SimulationPlan, order_queue
from rerank.domain import Choices, card_tools, domain_in, domain_named
from rerank.evaluation.intervals import Figure
from rerank.evaluation.metrics import Better
from rerank.index.artifacts import Manifest
from rerank.index.errors import InputError
from rerank.index.records import Listing
from rerank.jobs.files.listings import OUR_NAMES, ColumnNames
from rerank.jobs.files.store_files import plain
from rerank.jobs.files.store_files import read_listings as read_feed
from rerank.jobs.options import progress_bar
from rerank.jobs.tables import WIDTH, ReportFigure, cut, decimal, decimals, table
from rerank.lifecycle.opening import resolver_over
from rerank.ranking import CandidateSource
from rerank.resolution import Decision, Resolution
from rerank.resolver import Resolver
from rerank.store.database import Session, Store, utc_now
from rerank.store.importing import OnConflict, import_listings
from rerank.store.rows import (
    LISTING_FIELDS,
    Annotation,
    KnownNames,
    ListingLinks,
    StoredListing,
    TakenBack,
    Verdict,
    answer_listings,
    read_annotations,
    read_links,
    read_listings,
    save_annotations,
    save_links,
    stored_listings,
    take_back,
)
from rerank.workspace import Workspace, columns_of_feed, open_retriever, open_source

Progress = Callable[[float], None]

POOL = 5_000
"""Listings without an answer that the queue chooses among: some seconds of resolving."""

_BATCH = 500
_GIVEN = "FROM annotations WHERE $annotator IS NULL OR annotator = $annotator"
_ANSWERED = f"SELECT listing_id {_GIVEN}"
# Listings of a file, if one is given; titles of white space alone leave nothing to ask.
_ASKABLE = (
    "listings l WHERE regexp_matches(l.title, '\\S') "
    "AND ($all OR l.listing_id IN (SELECT listing_id FROM asked_about))"
)


class QueueKind(StrEnum):
    """What is asked about, and what first.

    The first three are those of `rerank.annotation.queue.QueueStrategy`, over what has no answer.
    ``REVIEW``: of that, what the model holds for a person. ``SECOND``: what one other person
    answered, blind. ``DISPUTES``: on what annotators differ; ``SUSPECTS``: labels that a confident
    model contradicts; answers to these two settle them.
    """

    UNCERTAIN = "uncertain"
    DISAGREEMENT = "disagreement"
    RANDOM = "random"
    REVIEW = "review"
    SECOND = "second"
    DISPUTES = "disputes"
    SUSPECTS = "suspects"

    @property
    def settles(self) -> bool:
        """Whether an answer counts instead of all others."""
        return self in (QueueKind.DISPUTES, QueueKind.SUSPECTS)

    @property
    def is_of_answered(self) -> bool:
        """Whether people have said something of what is asked about."""
        return self.settles or self is QueueKind.SECOND

    @property
    def strategy(self) -> QueueStrategy:
        """What orders it, as far as it is not in an order of its own."""
        return {each.value: each for each in QueueStrategy}.get(self.value, QueueStrategy.UNCERTAIN)


@dataclass(frozen=True, slots=True)
class Pool:
    """Listings that may be asked about, and those that are answered.

    :param unanswered: a sample, if there are more than `POOL`.
    :param answered: the latest ones, at most `POOL`.
    :param n_unanswered: how many there are in all; so is ``n_answered``.
    :param n_today: answers given since midnight, local time.
    """

    unanswered: list[StoredListing]
    answered: list[StoredListing]
    n_unanswered: int
    n_answered: int
    n_today: int


@dataclass(frozen=True, slots=True)
class Queue:
    """What is asked, in this order.

    :param n_answered: answers before; so is ``n_today``.
    :param n_left: questions that are open, asked now or another time.
    :param said: what people have said of listings, by listing_id.
    :param suggested: what the model says instead, in words, by listing_id.
    :param links: where listings and their photos are, by listing_id.
    :param unanswered: what else has no answer, for what looks like what is asked.
    """

    items: list[QueueItem]
    n_answered: int
    n_today: int
    n_left: int
    said: Mapping[str, tuple[Annotation, ...]] = field(default_factory=dict)
    suggested: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, ListingLinks] = field(default_factory=dict)
    unanswered: Sequence[QueueItem] = ()


_LINKS = ("link", "url", "listing_url", "product_url", "href")
_PHOTOS = ("photo", "image", "image_url", "photo_url", "picture", "thumbnail")
_SHOWABLE = ("https://", "http://")
_DECISION = "decision"


def take_in(
    workspace: Workspace,
    store: Store,
    path: Path,
    *,
    on_conflict: OnConflict,
    columns: ColumnNames | None = None,
    encoding: str | None = None,
    decision: Decision | None = None,
) -> list[str]:
    """Save a file's listings to the store, with what leads to them, and return their ids.

    What the file has that is no listing is left out, and said.

    :param columns: the user's names; None for those that the workspace's domain sees.
    :param encoding: of text; None lets the file say.
    :param decision: return those alone of which the file says this, as `rerank score` writes it.
    :raises InputError: if the file cannot be read or lacks a column.
    :raises FaultsError: if rows differ from the store and that is refused.
    """
    if columns is None:
        columns = OUR_NAMES.renamed(columns_of_feed(workspace, path))
    beside = [*map(_spellings, _LINKS), *map(_spellings, _PHOTOS), [_DECISION]]
    found = read_feed(
        path, columns, also=[name for each in beside for name in each], encoding=encoding
    )
    for remark in found.remarks:
        click.echo(remark, err=True)
    import_listings(store, found.incoming, on_conflict=on_conflict)
    rows = found.incoming.rows
    keys: list[str] = rows.column("listing_id").to_pylist()
    links = dict(
        zip(keys, map(ListingLinks, _urls(rows, _LINKS), _urls(rows, _PHOTOS)), strict=True)
    )
    if any(map(any, links.values())):
        with store.writing() as session:
            save_links(session, {key: each for key, each in links.items() if any(each)})
    if decision is None:
        return keys
    if _DECISION not in rows.column_names:
        raise InputError(f"{path}: expected a column 'decision', as `rerank score` writes it")
    said = rows.column(_DECISION).to_pylist()
    return [key for key, own in zip(keys, said, strict=True) if own == decision]


def _spellings(name: str) -> list[str]:
    """Return how a header may spell a name."""
    words = name.replace("_", " ")
    return list(dict.fromkeys((name, name.upper(), words, words.title(), words.capitalize())))


def _urls(rows: pa.Table, names: Sequence[str]) -> list[str]:
    """Return of each row the first of some columns that holds an address, "" for none."""
    there = [name for each in names for name in _spellings(each) if name in rows.column_names]
    columns = [rows.column(name).to_pylist() for name in there]
    cells = zip(*columns, strict=True) if columns else repeat((), rows.num_rows)
    return [
        next((cell for cell in row if cell and cell.lower().startswith(_SHOWABLE)), "")
        for row in cells
    ]


def read_pool(
    session: Session, annotator: str | None, *, seed: int, listing_ids: Sequence[str] | None = None
) -> Pool:
    """Return what may be asked about.

    :param annotator: whose answers count; None for everybody's.
    :param listing_ids: the only ones that matter; None for all of the store.
    :param seed: of the sample, if there are too many.
    """
    midnight = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    values = {"annotator": annotator, "all": listing_ids is None}
    asked = pa.table({"listing_id": pa.array(listing_ids or [], pa.string())})
    with session.visible("asked_about", asked):
        unanswered = session.rows(
            "choose listings to ask about",
            f"SELECT {LISTING_FIELDS} FROM {_ASKABLE} AND l.listing_id NOT IN ({_ANSWERED}) "
            "ORDER BY md5(concat_ws(' ', l.listing_id, $seed)), l.listing_id LIMIT $pool",
            {**values, "seed": str(seed), "pool": POOL},
        )
        answered = session.rows(
            "read answered listings",
            f"SELECT {LISTING_FIELDS} FROM {_ASKABLE} AND l.listing_id IN ({_ANSWERED} "
            "ORDER BY annotated_at DESC LIMIT $pool) ORDER BY l.listing_id",
            {**values, "pool": POOL},
        )
        ((n_all, n_answered, n_today),) = session.rows(
            "count answers",
            "SELECT count(*), count(a.annotated_at), "
            "count(*) FILTER (a.annotated_at >= $midnight) FROM (SELECT l.listing_id FROM "
            f"{_ASKABLE}) LEFT JOIN (SELECT listing_id, max(annotated_at) AS annotated_at {_GIVEN} "
            "GROUP BY listing_id) a USING (listing_id)",
            {**values, "midnight": midnight.astimezone(UTC).replace(tzinfo=None)},
        )
    return Pool(
        stored_listings(unanswered),
        stored_listings(answered),
        n_all - n_answered,
        n_answered,
        n_today,
    )


def prepare(
    workspace: Workspace,
    store: Store,
    annotator: str,
    *,
    kind: QueueKind,
    seed: int,
    limit: int | None = None,
    listing_ids: Sequence[str] | None = None,
    shared: bool = False,
    opened: tuple[CandidateSource, Manifest] | None = None,
) -> tuple[Queue, Choices]:
    """Return what one annotator is asked, and what may be chosen.

    :param listing_ids: the only ones that matter; None for all of the store.
    :param shared: ask about nothing that anybody has answered, where no answers are judged.
    :param opened: the index that serves and its manifest, if they are open already.
    :raises InputError: if there is no listing to ask about, answered or not.
    """
    source, manifest = opened or open_source(workspace)
    resolver = resolver_over(workspace, source, manifest)
    choices = domain_named(domain_in(manifest.parameters)).choices(source, manifest)
    if kind.is_of_answered:
        queue = _answered_queue(store, resolver, annotator, kind, seed, listing_ids)
    else:
        queue = _open_queue(store, resolver, None if shared else annotator, kind, seed, listing_ids)
    items = queue.items[:limit]
    with store.reading() as session:
        links = read_links(session, [item.listing.listing_id for item in items])
    return replace(queue, items=items, links=links), choices


def _open_queue(
    store: Store,
    resolver: Resolver,
    annotator: str | None,
    kind: QueueKind,
    seed: int,
    listing_ids: Sequence[str] | None,
) -> Queue:
    """Return what has no answer, what is most worth one first."""
    with store.reading() as session:
        pool = read_pool(session, annotator, seed=seed, listing_ids=listing_ids)
    if not pool.n_unanswered + pool.n_answered:
        raise InputError(
            f"{store.path}: expected listings with a title to ask about, found none; hand in a "
            "file of them: rerank annotate LISTINGS.csv"
        )
    if pool.n_unanswered > POOL:
        click.echo(f"choosing among {POOL:,} of {pool.n_unanswered:,} listings", err=True)
    stored = [*pool.unanswered, *pool.answered]
    with progress_bar("resolving listings") as progress:
        items = _items(resolver, stored, progress)
    asked, answered = items[: len(pool.unanswered)], items[len(pool.unanswered) :]
    held = asked
    if kind is QueueKind.REVIEW:
        held = [item for item in asked if item.resolution.decision == kind.value]
    order = order_queue(held, strategy=kind.strategy, seed=seed, answered=answered)
    n_left = len(order) + pool.n_unanswered - len(asked)
    return Queue(
        [held[at] for at in order], pool.n_answered, pool.n_today, n_left, unanswered=asked
    )


def _answered_queue(
    store: Store,
    resolver: Resolver,
    annotator: str,
    kind: QueueKind,
    seed: int,
    listing_ids: Sequence[str] | None,
) -> Queue:
    """Return what people have answered and that an answer is wanted on again."""
    with store.reading() as session:
        annotations = read_annotations(session)
        said = {key: tuple(answers) for key, answers in by_listing(annotations)}
        if listing_ids is not None:
            said = {key: said[key] for key in {*listing_ids} & said.keys()}
        if kind is QueueKind.DISPUTES:
            wanted = {dispute.listing_id for dispute in disputes(annotations)}
        elif kind is QueueKind.SECOND:
            wanted = {
                key
                for key, given in said.items()
                if len(given) == 1 and given[0].annotator not in (annotator, ADJUDICATOR)
            }
        else:
            wanted = set(said)
        stored = read_listings(session, sorted(wanted & said.keys()))
    with progress_bar("resolving listings") as progress:
        items = _items(resolver, stored, progress)
    suggested: dict[str, str] = {}
    if kind is QueueKind.SUSPECTS:
        resolved = {item.listing.listing_id: item for item in items}
        labels = [label for label in standing_labels(annotations) if label.listing_id in resolved]
        for each in suspects([(each, resolved[each.listing_id].resolution) for each in labels]):
            words = f"{each.suggestion}, probability {each.probability:.2f}"
            suggested.setdefault(each.label.listing_id, words)
        items = [resolved[key] for key in suggested]
    elif kind is QueueKind.SECOND:  # by chance: agreement is measured on it
        items = [items[at] for at in order_queue(items, strategy=QueueStrategy.RANDOM, seed=seed)]
    return Queue(items, 0, 0, len(items), said=said, suggested=suggested)


class AnswerBook:
    """Where a session of answering keeps what people say: a store.

    :raises StoreBusyError: in all, if another process uses the store for longer than it waits.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def save(self, person: str, kind: QueueKind, answers: Sequence[Annotation]) -> None:
        """Write the answers of one act; when this returns, they are on disk."""
        with self._store.writing() as session:
            answer_listings(session, person, kind.value, answers)

    def undo(self, person: str, kind: QueueKind) -> list[TakenBack]:
        """Take the last act of a person in a queue back, of an earlier process too."""
        with self._store.writing() as session:
            return take_back(session, person, kind.value)


def queue_items(
    resolver: Resolver,
    listings: Sequence[Listing],
    shops: Sequence[str],
    *,
    progress: Progress = lambda share: None,
) -> list[QueueItem]:
    """Resolve listings and let three rankers vote on each: what the queue is made from.

    The rankers: the model; the cosine of its candidates alone; its domain's plain rule.

    :param shops: of the listings, empty where unknown.
    """
    thresholds = (resolver.model.thresholds.match, resolver.model.thresholds.review)
    titles = [listing.title for listing in listings]
    rules = domain_named(resolver.domain).plain_guesses(resolver.source, titles)
    answers = _resolved(resolver, listings, progress)
    items: list[QueueItem] = []
    for listing, shop, answer, rule in zip(listings, shops, answers, rules, strict=True):
        nearest = max(answer.candidates, key=lambda c: c.similarity, default=None)
        votes = (answer.best_guess or "", nearest.model if nearest else "", rule)
        items.append(QueueItem(listing, shop, answer, votes, thresholds))
    return items


def _items(
    resolver: Resolver, stored: Sequence[StoredListing], progress: Progress
) -> list[QueueItem]:
    listings, shops = [each.listing for each in stored], [each.shop for each in stored]
    return queue_items(resolver, listings, shops, progress=progress)


def _resolved(
    resolver: Resolver, listings: Sequence[Listing], progress: Progress
) -> list[Resolution]:
    """Resolve listings, telling the share done."""
    answers: list[Resolution] = []
    while len(answers) < len(listings):
        answers += resolver.resolve_many(listings[len(answers) : len(answers) + _BATCH])
        progress(len(answers) / len(listings))
    return answers


@dataclass(frozen=True, slots=True)
class SuspectReport:
    """Suspected labels, the most suspicious first.

    :param judged: how many labels were held against the model.
    :param without_listing: how many could not be: their listings are not in the store.
    """

    suspects: list[Suspect]
    titles: dict[str, str]
    judged: int
    without_listing: int


def read_answers(store: Store) -> tuple[list[Annotation], dict[str, str]]:
    """Read what people said, and the titles of its listings by listing_id."""
    with store.reading() as session:
        annotations = read_annotations(session)
        listings = read_listings(session, sorted({item.listing_id for item in annotations}))
    return annotations, {item.listing.listing_id: item.listing.title for item in listings}


def find_suspects(
    store: Store,
    resolver: Resolver,
    *,
    threshold: float | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> SuspectReport:
    """Resolve the annotated listings and return the labels that the model contradicts."""
    with store.reading() as session:
        labels = standing_labels(read_annotations(session))
        stored = read_listings(session, sorted({label.listing_id for label in labels}))
    listings = [item.listing for item in stored]
    answers = _resolved(resolver, listings, progress)
    resolved = {listing.listing_id: a for listing, a in zip(listings, answers, strict=True)}
    judged = [
        (label, resolved[label.listing_id]) for label in labels if label.listing_id in resolved
    ]
    return SuspectReport(
        suspects(judged, threshold=threshold),
        {listing.listing_id: listing.title for listing in listings},
        judged=len(judged),
        without_listing=len(labels) - len(judged),
    )


def adjudicate(
    store: Store,
    names: KnownNames | None,
    listing_id: str,
    verdict: Verdict,
    *,
    gpu: str | None,
    annotator: str,
    note: str = "",
) -> Annotation:
    """Save an answer that was given by name; return it.

    :param names: of what ``gpu`` may mean; None where nothing is meant.
    :param gpu: what is sold, by its id or name; for a match only.
    :raises InputError: if the listing is neither stored nor annotated, or the GPU is unknown.
    """
    named = None if gpu is None or names is None else names.find(gpu)
    with store.writing() as session:
        known = bool(read_listings(session, [listing_id]))
        if not known and all(a.listing_id != listing_id for a in read_annotations(session)):
            raise InputError(
                f"expected a listing of the store, got {listing_id!r:.80}; "
                "`rerank annotations disputes` names those to decide"
            )
        answer = Annotation(
            listing_id,
            annotator,
            verdict,
            gpu_id=named.gpu_id if named else None,
            model=named.model if named else None,
            note=note,
            annotated_at=utc_now(),
        )
        save_annotations(session, [answer])
    return answer


def agreement_text(agreements: Sequence[Agreement]) -> str:
    """Return a row for each two annotators."""
    if not agreements:
        return "No two annotators answered the same listing."
    rows = [
        [
            cut(item.first, 12),
            cut(item.second, 12),
            str(item.n),
            figure_text(item.agreed),
            figure_text(item.kappa),
        ]
        for item in agreements
    ]
    header = ("annotator", "annotator", "listings", "agreed", "kappa")
    return table(header, rows, left=(0, 1, 3, 4))


def disputes_text(disputes: Sequence[Dispute], titles: Mapping[str, str]) -> str:
    """Return each listing with its answers, an annotator a line."""
    return "\n\n".join(_dispute_text(dispute, titles) for dispute in disputes) or "No disputes."


def dispute_values(dispute: Dispute, titles: Mapping[str, str]) -> dict[str, Any]:
    """Return a dispute for JSON."""
    return {
        "listing_id": dispute.listing_id,
        "title": titles.get(dispute.listing_id),
        "answers": [
            {
                "annotator": answer.annotator,
                "verdict": answer.verdict.value,
                "model": answer.model,
                "gpu_id": answer.gpu_id,
                "note": answer.note,
                "annotated_at": plain(answer.annotated_at),
            }
            for answer in dispute.answers
        ],
    }


def suspects_text(report: SuspectReport, shown: Sequence[Suspect]) -> str:
    """Return each suspected label with what the model says instead."""
    told = "\n\n".join(_suspect_text(suspect, report.titles) for suspect in shown)
    return told or f"No suspects among {report.judged} labels."


def suspect_values(suspect: Suspect, titles: Mapping[str, str]) -> dict[str, Any]:
    """Return a suspected label for JSON, probabilities rounded to 4 digits."""
    label = suspect.label
    return {
        "listing_id": label.listing_id,
        "title": titles.get(label.listing_id),
        "label": label.label,
        "annotators": list(label.annotators),
        "label_probability": round(suspect.self_confidence, 4),
        "suggestion": suspect.suggestion,
        "probability": round(suspect.probability, 4),
    }


def answer_text(answer: Annotation) -> str:
    """Return what was answered: a variant, a model, or the verdict in words."""
    if answer.model is None:
        return label_of(answer).replace("_", " ")
    return answer.model if answer.gpu_id is None else f"{answer.model} ({answer.gpu_id})"


def _dispute_text(dispute: Dispute, titles: Mapping[str, str]) -> str:
    width = min(20, max(len(answer.annotator) for answer in dispute.answers))
    said = (
        f"  {cut(answer.annotator, width):{width}}  {answer_text(answer)}"
        + (f"; {answer.note}" if answer.note else "")
        for answer in dispute.answers
    )
    return "\n".join([_heading(dispute.listing_id, titles), *(cut(line, WIDTH) for line in said)])


def _suspect_text(suspect: Suspect, titles: Mapping[str, str]) -> str:
    label = suspect.label
    said, who = cut(label.label.replace("_", " "), 40), cut(", ".join(label.annotators), 20)
    return (
        f"{_heading(label.listing_id, titles)}\n"
        f"  {suspect.self_confidence:.3f}  {said} said by {who}\n"
        f"  {suspect.probability:.3f}  {cut(suspect.suggestion, 40)} says the model"
    )


def _heading(listing_id: str, titles: Mapping[str, str]) -> str:
    title = " ".join(titles.get(listing_id, "(not in the store)").split())
    return cut(f"{cut(listing_id, 40)}  {title}", WIDTH)


def figure_text(figure: Figure) -> str:
    """Return a figure with two decimals and its interval."""
    told = ReportFigure(figure.value, *(figure.ci95 or (None, None)))
    ends = "" if told.bounds is None else f" ({decimals(told, 2, to=' to ')})"
    return f"{decimal(told.value, 2)}{ends}"


SimulationProgress = Callable[[str, float], None]

# Not `accepted_at_99`: with hindsight, it hangs on the two or three worst errors of a rest.
_SHOWN = (
    "precision_at_1",
    "brier",
    "log_loss",
    "accepted_share",
    "precision_of_accepted",
    "nil_false_match_rate",
)


def simulate_queues(
    workspace: Workspace,
    gold_files: Sequence[Path],
    plan: SimulationPlan,
    *,
    scale: float,
    progress: SimulationProgress = lambda stage, share: None,
) -> dict[str, Any]:
    """Return a report of plain values; nothing that is trained is kept.

    :param gold_files: each is a shop.
    :param scale: generated listings to train on, as a multiple of the default.
    :raises InputError: if files share a name or one is no gold file.
    """
    from rerank.jobs.evaluating import read_gold_files

    sets = read_gold_files(gold_files)
    shops = [name for name, listings in sets.items() for _ in listings]
    gold = [  # a file's name in front keeps the ids of several apart
        replace(listing, listing_id=f"{name}/{listing.listing_id}")
        for name, listings in sets.items()
        for listing in listings
    ]
    retriever, index = open_retriever(workspace)
    runs, figures = card_tools().simulate(
        retriever, gold, shops, plan, scale=scale, make_items=queue_items, progress=progress
    )
    return {
        "sets": {name: len(content) for name, content in sets.items()},
        "index_version": index.fingerprint,
        "scale": scale,
        "plan": {
            **asdict(plan),
            "queues": [queue.value for queue in plan.queues],
            "halving": plan.halving.value,
            "answers": list(plan.answers),
        },
        **figures,
        "runs": [{**asdict(run), "queue": run.queue.value if run.queue else None} for run in runs],
    }


def simulation_text(report: dict[str, Any]) -> str:
    """Return the lifts of the main measures and what each queue adds to the random one."""
    plan = report["plan"]
    names = ", ".join(f"{name} ({count})" for name, count in report["sets"].items())
    heading = (
        f"Simulated answers about half of {names}, measured on the other half; halves by "
        f"{plan['halving']}, {plan['repeats']} repeats, weight {plan['weight']:g}, scale "
        f"{report['scale']:g}. Lift: over the same model without answers. Means with 95 % "
        "intervals over repeats; + better than random order, - worse, as far as repeats can tell."
    )
    parts = [textwrap.fill(heading, WIDTH)]
    shown = [measure for measure in MEASURES if measure.name in _SHOWN]
    parts += [_measure_text(report, m.name, m.label, m.better is Better.HIGHER) for m in shown]
    return "\n\n".join(parts)


def _measure_text(report: dict[str, Any], name: str, label: str, higher: bool) -> str:
    rows = [
        [
            arm["queue"],
            str(arm["answers"]),
            _number(arm["mean"][name]),
            _with_interval(arm["lift"][name]),
            *_over_random(arm["over_random"].get(name), higher),
        ]
        for arm in report["arms"]
    ]
    heading = f"{label} ({'higher' if higher else 'lower'} is better), without answers "
    heading += _number(report["base"][name])
    header = ("queue", "asked", "mean", "lift", "over random", "")
    return f"{heading}\n{table(header, rows, left=(0,))}"


def _number(value: float | None, *, signed: bool = False) -> str:
    """Return a number of at most 1 without its leading zero."""
    if value is None:
        return "-"
    text = f"{value:+.4f}" if signed else f"{value:.4f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def _with_interval(figure: dict[str, Any]) -> str:
    value, (low, high) = figure["value"], figure["ci95"]
    if value is None:
        return "-"
    ends = ", ".join(_number(end, signed=True) for end in (low, high))
    return f"{_number(value, signed=True)} ({ends})"


def _over_random(over: dict[str, Any] | None, higher: bool) -> tuple[str, str]:
    """Return what a queue adds to the random one, and a mark if that is sure."""
    if over is None:
        return "", ""
    low, high = over["ci95"]
    sure = low is not None and not low <= 0 <= high
    return _with_interval(over), ("+" if (low > 0) == higher else "-") if sure else ""
