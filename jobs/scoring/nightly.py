"""The nightly job: index, scores and a report of one day, in a folder named by the day.

    OUT/2026-01-31/                  outputs, as `rerank score` mirrors the listings
    OUT/2026-01-31/_summary.json     written last: a day that has it is finished

Run again on the same day, it goes on where it was, however it ended.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from pyarrow import fs

from rerank.index.artifacts import Manifest, read_manifest, sync
from rerank.index.errors import InputError
from rerank.index.records import GpuRecord
from rerank.jobs.files.places import Place
from rerank.jobs.files.selection import Selection, select_files
from rerank.jobs.report.page import history_page
from rerank.jobs.scoring.answering import Moves, ScoreOptions, index_touched_since
from rerank.jobs.scoring.one_file import drafting, exclusive, remove_left_overs
from rerank.jobs.scoring.plan import (
    REJECTS_FOLDER,
    Existing,
    ScorePlan,
    opened_parquet,
    plan_score,
    read_record,
)
from rerank.jobs.scoring.run import Engine, Progress, ScoreSummary, run_scoring
from rerank.jobs.tables import WIDTH, cut, index_text, table
from rerank.resolution import Decision
from rerank.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Night:
    """What a night's work is.

    :param registry: to keep the index up to date with; None leaves the index as it is.
    :param out: the folder of days.
    :param shop: the column that says which shop a listing is of; None takes ``shop``, if any.
    :param least_share: of matches, 0 to 1, below which the night tells of a fall.
    :param most_fall: of the share of matches since the day before, likewise.
    """

    workspace: Workspace
    listings: Selection
    out: Place
    day: date
    registry: Path | None = None
    options: ScoreOptions = field(default_factory=ScoreOptions)
    engine: Engine = field(default_factory=Engine)
    shop: str | None = None
    least_share: float | None = None
    most_fall: float | None = None

    @property
    def folder(self) -> Place:
        """The folder of the day."""
        return self.out.child(self.day.isoformat())


def run_night(
    night: Night,
    *,
    progress: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Bring the index up to date, score the listings, write the day's summary and return it.

    Listings that have not changed since the day it is compared with keep their answers.

    :param say: takes what is done, warnings and the failures of single files, as they come.
    :raises InputError: if another run is in the folder, there are other files where outputs go, the
        day's folder has outputs of other listings, or the listings are one file and that fails.
    :raises FaultsError: if the registry has faults; nothing is scored then.
    """
    if night.out.info().type == fs.FileType.File:
        raise InputError(f"{night.out}: expected a folder for the days' outputs, found a file")
    with exclusive(night.out):
        if night.workspace.pointer().canary is not None:
            say(
                "Warning: a canary runs, but only `rerank models canary run` serves it: the "
                "champion answers all of this night"
            )
        plan = _plan(night)
        index_rebuilt = _begin(night, say)
        earlier = earlier_day(night.out, before=night.day)
        since = None if earlier is None else _earlier_answers(night, earlier, say)
        scored = run_scoring(
            night.workspace.home,
            plan,
            night.options,
            night.engine,
            since=since,
            progress=progress,
            say=say,
        )
        _remove_stale(night.folder, plan, scored, say)
        previous = None if earlier is None else earlier.summary
        content = summary_content(night.day, scored, previous, index_rebuilt=index_rebuilt)
        content |= _parts(night, plan, scored, previous or {})
        content["fallen"] = fallen(content, night.least_share, night.most_fall)
        write_summary(night.folder, content)
        _write_text(night.out.child(HISTORY), history_page(list(_summaries(night.out))))
    return content


def _parts(
    night: Night, plan: ScorePlan, scored: ScoreSummary, previous: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the figures of each file, and of each shop where a column says which.

    :param previous: the summary of the day to compare with.
    """
    root = night.listings.root
    by_file = {}
    for task in plan.tasks:
        counts = scored.by_file.get(str(task.source))
        if counts is not None:
            name = task.source.inside(root) or task.source.name
            by_file[name] = _part_figures(counts.decisions, previous, "by_file", name)
    by_shop: dict[str, Counter[str]] = {}
    for task in plan.tasks:
        if str(task.source) in scored.by_file:
            for shop, decision, n in _shops_of(task.target.resolved, night.shop):
                by_shop.setdefault(shop, Counter())[decision] += n
    common = sorted(by_shop.items(), key=lambda each: (-each[1].total(), each[0]))
    shops = {
        shop: _part_figures(counts, previous, "by_shop", shop)
        for shop, counts in common[:_MOST_SHOPS]
    }
    return {"by_file": by_file, "by_shop": shops}


_MOST_SHOPS = 1000
_SHOP = "shop"


def _shops_of(output: Place, column: str | None) -> list[tuple[str, str, int]]:
    """Return how many listings of each shop were decided how.

    :raises InputError: if the column that was named is not there.
    """
    with opened_parquet(output) as file:
        if (column or _SHOP) not in file.schema_arrow.names:
            if column is None:
                return []
            raise InputError(f"{output}: has no column {column!r}; name another --shop-column")
        rows = file.read([column or _SHOP, "decision"])
    counted = rows.group_by([column or _SHOP, "decision"]).aggregate([([], "count_all")])
    return [
        ("" if shop is None else str(shop), decision, n)
        for shop, decision, n in zip(*(each.to_pylist() for each in counted.columns), strict=True)
    ]


def _part_figures(
    decisions: Mapping[str, int], previous: Mapping[str, Any], part: str, name: str
) -> dict[str, Any]:
    """Return the figures of a file or shop, and how its share of matches changed, None if new."""
    rows = sum(decisions.values())
    named = {kind: decisions.get(kind, 0) for kind in Decision}
    share = round(named[Decision.MATCH] / max(rows, 1), 6)
    was = previous.get(part, {}).get(name, {}).get("match_share")
    change = None if was is None else round(share - was, 6)
    return {"rows": rows, "decisions": named, "match_share": share, "change": change}


def fallen(
    content: Mapping[str, Any], least_share: float | None, most_fall: float | None
) -> list[str]:
    """Say in what the share of matches is lower than it may be; nothing where it is not."""
    share, previous = content["shares"][Decision.MATCH], content["previous"]
    said = []
    if least_share is not None and share < least_share:
        said.append(f"the share of matches is {share:.1%}, below {least_share:.1%}")
    if most_fall is not None and previous is not None:
        fall = -previous["changes"][Decision.MATCH]
        if fall > most_fall:
            told = f"the share of matches fell by {100 * fall:.1f} points since {previous['date']}"
            said.append(f"{told}, more than {100 * most_fall:.1f}")
    return said


def changed_registry(workspace: Workspace, registry: Path) -> Sequence[GpuRecord] | None:
    """Return the records of a registry; None if the index that serves was built from the same.

    :raises FaultsError: if the registry has faults.
    """
    from rerank.domain import card_tools

    tools = card_tools()
    records = tools.load_registry(registry)
    built_from = _serving_index(workspace).parameters["registry_fingerprint"]
    return None if tools.registry_fingerprint(records) == built_from else records


def rebuild_index(
    workspace: Workspace, records: Sequence[GpuRecord], say: Callable[[str], None]
) -> None:
    """Bring the workspace's index up to a registry.

    Where all else stayed, what it lacks is added. Its kind and its embedder stay what they are, so
    that the model still fits.
    """
    from rerank.domain import card_tools
    from rerank.lifecycle.changing import keeping_part
    from rerank.workspace import embedder_of_index

    serving = workspace.active_index()
    embedder = embedder_of_index(workspace, serving)
    with keeping_part(workspace, "index"):
        manifest, added = card_tools().update_index(
            records, embedder, serving, workspace.index_folder
        )
    said = "" if added is None else f", {added} added"
    say(f"The registry changed: {index_text(workspace.index_folder, manifest)}{said}")


def _serving_index(workspace: Workspace) -> Manifest:
    from rerank.index.artifacts import INDEX_FORMAT, INDEX_REMEDY

    folder = workspace.active_index()
    return read_manifest(folder, kind="index", format_version=INDEX_FORMAT, remedy=INDEX_REMEDY)


def _plan(night: Night) -> ScorePlan:
    """Plan the day's files, those that are finished included.

    :raises InputError: if something may not be written, or the day's folder has outputs of other
        listings, which a summary of this run would not count.
    """
    listings, target = night.listings, night.folder
    if not listings.is_folder:
        target = target.child(str(PurePosixPath(listings.root.name).with_suffix(".parquet")))
    plan = plan_score(listings, target, existing=Existing.RESUME)
    others = outputs_besides(night.folder, [task.target.resolved for task in plan.tasks])
    day = read_day(night.folder)
    if others and (day is None or day.listings != name_of(listings)):
        of = "" if day is None else f" of {day.listings}"
        raise InputError(
            f"{night.folder}: has outputs{of} that listings in {listings.root} do not give, such "
            f"as {others[0]}; choose another OUT for these, or remove the day's folder"
        )
    return plan


def _begin(night: Night, say: Callable[[str], None]) -> bool:
    """Bring the index up to date and return whether this or an earlier run of the day rebuilt it.

    The day's record comes before the index: else a run killed after it would not be known to have
    rebuilt it.
    """
    records = None
    if night.registry is not None:
        records = changed_registry(night.workspace, night.registry)
    earlier_run = read_day(night.folder)
    rebuilt = records is not None or (earlier_run is not None and earlier_run.index_rebuilt)
    day = DayRecord(name_of(night.listings), rebuilt)
    if day != earlier_run:
        write_day(night.folder, day)
    if records is not None:
        rebuild_index(night.workspace, records, say)
    return rebuilt


def _earlier_answers(
    night: Night, earlier: EarlierDay, say: Callable[[str], None]
) -> Selection | None:
    """Return the outputs of the day that is compared with; None if no answer of it can be kept."""
    say(earlier.line())
    day = earlier.summary["date"]
    version = earlier.summary["index_version"]
    if version != _serving_index(night.workspace).fingerprint:
        if index_touched_since(night.workspace.home)(version) is None:
            say(f"The index is another than on {day}: no answers of that day are kept")
            return None
        say(f"GPUs were added since {day}: what these can touch is answered again")
    folder = night.out.child(day)
    try:
        return select_files(folder)
    except InputError:
        say(f"{folder}: finished, but its outputs are gone; no earlier answers are kept")
        return None


def _remove_stale(
    folder: Place, plan: ScorePlan, scored: ScoreSummary, say: Callable[[str], None]
) -> None:
    """Remove outputs of earlier runs of the day that the summary does not count.

    Their input is no longer there, or was set aside by this run.
    """
    finished = [
        task.target.resolved for task in plan.tasks if str(task.source) not in scored.failures
    ]
    planned = {task.target.resolved.path for task in plan.tasks}
    for output in outputs_besides(folder, finished):
        why = "was set aside" if output.path in planned else "is gone or cannot be read"
        remove_output(folder, output)
        say(f"{output}: removed, its input {why}")


HISTORY = "_history.html"
"""Of the folder of days: a page of all of them."""
SUMMARY = "_summary.json"
"""Of a day's folder: readers of folders of parquet pass over names with an underscore."""
RECORD = "_day.json"
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class DayRecord:
    """What the runs of a day leave for each other.

    :param listings: the one file, the folder that all files lie in, or the glob they match.
    :param index_rebuilt: whether a run of the day rebuilt the index, or was about to.
    """

    listings: str
    index_rebuilt: bool = False


class EarlierDay(NamedTuple):
    """The day that another one is compared with.

    :param summary: of that day, with its ``date``.
    :param passed_over: dates of finished days between the two that have failures, latest first.
    """

    summary: dict[str, Any]
    passed_over: tuple[str, ...] = ()

    def line(self) -> str:
        """Return a line that says which day it is, and why."""
        said = f"Compared with {self.summary['date']}"
        if self.summary["failures"]:
            return f"{said}, of which files were set aside: no earlier day is without"
        if self.passed_over:
            return f"{said}, not with {self.passed_over[0]}, of which files were set aside"
        return said


def earlier_day(out: Place, *, before: date) -> EarlierDay | None:
    """Return the latest finished day before a day that has rows and no failures.

    If all finished days have failures, it is the latest of them; None if there is none.
    """
    with_failures: list[dict[str, Any]] = []
    for summary in _summaries(out, before):
        if not summary["failures"]:
            return EarlierDay(summary, tuple(day["date"] for day in with_failures))
        with_failures.append(summary)
    return EarlierDay(with_failures[0]) if with_failures else None


def write_summary(folder: Place, content: Mapping[str, Any]) -> None:
    """Write the summary that makes a day a finished one."""
    _write(folder.child(SUMMARY), content)


def read_day(folder: Place) -> DayRecord | None:
    """Return what earlier runs of a day left; None if there was none, or it cannot be read."""
    content = _read(folder.child(RECORD))
    if not isinstance(content, dict) or not isinstance(content.get("listings"), str):
        return None
    return DayRecord(content["listings"], content.get("index_rebuilt") is True)


def write_day(folder: Place, day: DayRecord) -> None:
    """Write what a later run of the day must know."""
    _write(folder.child(RECORD), asdict(day))


def name_of(listings: Selection) -> str:
    """Return what listings are known by from one run to the next: where they lie, and the glob."""
    root = listings.root
    if root.local is not None:
        name = str(root.local.resolve())
    else:
        name = f"{root.filesystem.type_name}://{root.path.lstrip('/')}"
    return name if listings.pattern is None else f"{name}/{listings.pattern}"


def outputs_besides(folder: Place, made: Sequence[Place]) -> list[Place]:
    """Return the outputs of `rerank score` in a day's folder that are none of some files."""
    try:
        found = select_files(folder).places()
    except (FileNotFoundError, InputError):
        return []
    known = {place.path for place in made}
    return [
        place
        for place in found
        if place.path not in known and place.suffix == ".parquet" and read_record(place) is not None
    ]


def remove_output(folder: Place, output: Place) -> None:
    """Remove an output of a day's folder, with its rejects.

    The rejects go first: a run that is killed in between leaves what the next one finds.
    """
    rejects = folder.child(f"{REJECTS_FOLDER}/{output.inside(folder)}")
    for place in (rejects, output):
        if place.exists():
            place.filesystem.delete_file(place.path)


def _summaries(out: Place, before: date = date.max) -> Iterator[dict[str, Any]]:
    """Yield the summaries of finished days that have rows, with their ``date``, latest first."""
    if not out.is_folder():
        return
    infos = out.filesystem.get_file_info(fs.FileSelector(out.path))
    names = {info.base_name for info in infos if _DAY.fullmatch(info.base_name)}
    for name in sorted(names, reverse=True):
        if name < before.isoformat():
            content = _read(out.child(name).child(SUMMARY))
            if _is_summary(content) and content["rows"]:
                yield {**content, "date": name}


def _is_summary(content: Any) -> bool:
    wanted = {"rows", "model_version", "index_version", "failures"}
    try:
        shares_of(content)
        return wanted <= set(content)
    except (TypeError, KeyError):
        return False


def _read(place: Place) -> Any:
    """Return the content of a file of JSON; None if there is none, or it cannot be read."""
    if not place.exists():
        return None
    with place.stream() as stream:
        text = stream.read()
    try:
        return json.loads(text)
    except ValueError:
        return None


def _write(place: Place, content: Mapping[str, Any]) -> None:
    _write_text(place, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _write_text(place: Place, text: str) -> None:
    remove_left_overs([place])
    with drafting(place) as draft:
        draft.sink.write(text.encode())
        draft.finish()
        draft.sync()
        if (folder := draft.publish()) is not None:
            sync(folder)


def summary_content(
    day: date, scored: ScoreSummary, previous: Mapping[str, Any] | None, *, index_rebuilt: bool
) -> dict[str, Any]:
    """Return a day's summary as plain values: what `rerank score` says, shares and a comparison.

    :param previous: the summary of the day to compare with.
    :param index_rebuilt: whether a run of the day rebuilt the index.
    """
    content = {"date": day.isoformat(), **scored.as_json(), "index_rebuilt": index_rebuilt}
    shares = shares_of(content)
    compared = None
    if previous is not None:
        earlier = shares_of(previous)
        compared = {
            "date": previous["date"],
            "rows": previous["rows"],
            "shares": earlier,
            "changes": {name: round(shares[name] - earlier[name], 6) for name in shares},
            "model_version": previous["model_version"],
            "index_version": previous["index_version"],
        }
    return {**content, "shares": shares, "previous": compared}


def nightly_text(content: Mapping[str, Any]) -> str:
    """Return a day's summary for people."""
    lines = [
        _decisions_table(content),
        "",
        f"rejects {content['rejects']:,}, answers kept from earlier {content['reused_rows']:,}",
    ]
    if content["kept_rows"]:
        lines.append(f"rows kept from an earlier run of the day {content['kept_rows']:,}")
    lines.append(f"model {content['model_version']}, index {content['index_version']}")
    lines += _moves_lines(content)
    lines += [_parts_text(content, part) for part in ("by_file", "by_shop") if _told(content, part)]
    lines += [f"Warning: {said}" for said in content.get("fallen", [])]
    lines += [f"set aside: {failure['error']}" for failure in content["failures"]]
    return "\n".join(lines)


def _moves_lines(content: Mapping[str, Any]) -> list[str]:
    """Say what a change of the model or the index did to answers of the day before."""
    previous = content["previous"]
    if previous is None:
        return []
    names = ("model", "index")
    changed = [n for n in names if content[f"{n}_version"] != previous[f"{n}_version"]]
    if changed and not content["reused_rows"] and "moves" not in content:
        said = " and ".join(changed)
        return [f"another {said} than on {previous['date']}: its answers are not kept"]
    if "moves" not in content:
        return []
    moves = Moves.read(content["moves"])
    shown = moves.examples[:_MOVES_SHOWN]
    return [moves.line(), *(cut(f"  {title}: {was} -> {now}", WIDTH) for title, was, now in shown)]


_MOVES_SHOWN = 5


_PARTS_SHOWN = 10


def _told(content: Mapping[str, Any], part: str) -> bool:
    return len(content.get(part, ())) > 1


def _parts_text(content: Mapping[str, Any], part: str) -> str:
    """Return the figures of files or shops: those whose share of matches fell most come first."""
    found = content[part].items()
    rows = sorted(found, key=lambda each: (each[1]["change"] or 0.0, -each[1]["rows"], each[0]))
    cells = [
        [
            cut(name or "-", 40),
            f"{own['rows']:,}",
            f"{own['match_share']:.1%}",
            "" if own["change"] is None else f"{100 * own['change']:+.1f} pp",
        ]
        for name, own in rows[:_PARTS_SHOWN]
    ]
    more = len(rows) - len(cells)
    text = table((part.removeprefix("by_"), "rows", "match", "change"), cells, left=(0,))
    return f"\n{text}" + (f"\nand {more:,} more: {SUMMARY}" if more else "")


def shares_of(content: Mapping[str, Any]) -> dict[str, float]:
    """Return the share of rows with each decision, 0 to 1; 0 where there are no rows."""
    total = max(content["rows"], 1)
    return {name: round(content["decisions"][name] / total, 6) for name in Decision}


def _decisions_table(content: Mapping[str, Any]) -> str:
    previous = content["previous"]
    days = [content] if previous is None else [content, previous]
    rows = [["rows", *(f"{day['rows']:,}" for day in days)]]
    rows += [
        [name.replace("_", " "), *(f"{day['shares'][name]:.1%}" for day in days)]
        for name in Decision
    ]
    header = ["", *(day["date"] for day in days)]
    if previous is not None:
        header.append("change")
        rows[0].append(f"{content['rows'] - previous['rows']:+,}")
        for row, name in zip(rows[1:], Decision, strict=True):
            row.append(f"{100 * previous['changes'][name]:+.1f} pp")
    return table(header, rows, left=(0,))
