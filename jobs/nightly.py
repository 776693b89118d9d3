"""The nightly job: index, scores and a report of one day, in a folder named by the day.

    OUT/2026-01-31/                  outputs, as `rerank score` mirrors the listings
    OUT/2026-01-31/_summary.json     written last: a day that has it is finished

Run again on the same day, it goes on where it was, however it ended.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any

from pyarrow import fs

from index.errors import InputError
from jobs.listing_files.selection import Selection, select_files
from jobs.places import Place
from jobs.scoring import (
    Engine,
    Existing,
    ScoreOptions,
    ScoreSummary,
    plan_score,
    run_scoring,
)
from jobs.scoring.drafts import drafting, exclusive, remove_left_overs
from jobs.scoring.summary import DECISIONS
from jobs.scoring.tally import Progress
from jobs.tables import table
from jobs.workspace import Workspace

SUMMARY = "_summary.json"
"""Of a day's folder: readers of folders of parquet pass over names with an underscore."""
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class Night:
    """What a night's work is.

    :param registry: to keep the index up to date with; None leaves the index as it is.
    :param out: the folder of days.
    """

    workspace: Workspace
    listings: Selection
    out: Place
    day: date
    registry: Path | None = None
    options: ScoreOptions = field(default_factory=ScoreOptions)
    engine: Engine = field(default_factory=Engine)


def run_night(
    night: Night,
    *,
    progress: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Bring the index up to date, score the listings, write the day's summary and return it.

    Listings that have not changed since the latest finished day before keep their answers.

    :param say: takes what is done, warnings and the failures of single files, as they come.
    :raises InputError: if another run is in the folder, there are other files where outputs go, or
        the listings are one file and that fails.
    :raises FaultsError: if the registry has faults; nothing is scored then.
    """
    folder = night.out.child(night.day.isoformat())
    if night.out.info().type == fs.FileType.File:
        raise InputError(f"{night.out}: expected a folder for the days' outputs, found a file")
    with exclusive(night.out):
        rebuilt = night.registry is not None and refresh_index(night.workspace, night.registry, say)
        target = folder
        if not night.listings.is_folder:
            name = PurePosixPath(night.listings.root.name).with_suffix(".parquet")
            target = folder.child(str(name))
        plan = plan_score(night.listings, target, existing=Existing.RESUME)
        previous = latest_summary(night.out, before=night.day)
        since = None if previous is None else _outputs(night.out.child(previous["date"]), say)
        scored = run_scoring(
            night.workspace.home, plan, night.options, night.engine, since=since,
            progress=progress, say=say,
        )  # fmt: skip
        content = summary_content(night.day, scored, previous, index_rebuilt=rebuilt)
        _write(folder.child(SUMMARY), content)
    return content


def refresh_index(workspace: Workspace, registry: Path, say: Callable[[str], None]) -> bool:
    """Rebuild the index if the content of a registry is not what it was built from.

    Its kind and its embedder stay what they are, so that the model still fits.

    :return: whether it was rebuilt.
    :raises FaultsError: if the registry has faults; the index is then as it was.
    """
    from index.artifacts import read_manifest
    from index.gpu_index import FORMAT_VERSION, REMEDY, build_index
    from index.registry import load_registry, registry_fingerprint
    from index.vector_index import IndexKind
    from jobs.embedders import embedder_of_index
    from jobs.indexing import describe

    folder = workspace.active_index()
    serving = read_manifest(folder, kind="index", format_version=FORMAT_VERSION, remedy=REMEDY)
    records = load_registry(registry)
    if registry_fingerprint(records) == serving.parameters["registry_fingerprint"]:
        return False
    kind = IndexKind(serving.parameters["kind"])
    embedder = embedder_of_index(workspace, folder)
    manifest = build_index(records, embedder, workspace.index_folder, kind=kind)
    say(f"The registry changed: {describe(workspace.index_folder, manifest)}")
    say("Earlier answers are of another index and are not kept")
    return True


def latest_summary(out: Place, *, before: date) -> dict[str, Any] | None:
    """Return the summary of the latest finished day before a day that has rows; None if none."""
    if not out.is_folder():
        return None
    infos = out.filesystem.get_file_info(fs.FileSelector(out.path))
    names = sorted(
        (info.base_name for info in infos if _DAY.fullmatch(info.base_name)), reverse=True
    )
    for name in names:
        if name < before.isoformat():
            content = _read(out.child(name).child(SUMMARY))
            if content is not None and content["rows"]:
                return {**content, "date": name}
    return None


def summary_content(
    day: date, scored: ScoreSummary, previous: Mapping[str, Any] | None, *, index_rebuilt: bool
) -> dict[str, Any]:
    """Return a day's summary as plain values: what `rerank score` says, shares and a comparison.

    :param previous: the summary of the day to compare with.
    """
    content = {"date": day.isoformat(), **scored.as_json(), "index_rebuilt": index_rebuilt}
    shares = _shares(content)
    compared = None
    if previous is not None:
        earlier = _shares(previous)
        compared = {
            "date": previous["date"],
            "rows": previous["rows"],
            "shares": earlier,
            "changes": {name: round(shares[name] - earlier[name], 6) for name in shares},
            "model_version": previous["model_version"],
            "index_version": previous["index_version"],
        }
    return {**content, "shares": shares, "previous": compared}


def report_text(content: Mapping[str, Any]) -> str:
    """Return a day's summary for people."""
    previous = content["previous"]
    days = [content] if previous is None else [content, previous]
    rows = [["rows", *(f"{day['rows']:,}" for day in days)]]
    rows += [
        [name.replace("_", " "), *(f"{day['shares'][name]:.1%}" for day in days)]
        for name in DECISIONS
    ]
    header = ["", *(day["date"] for day in days)]
    if previous is not None:
        header.append("change")
        rows[0].append(f"{content['rows'] - previous['rows']:+,}")
        for row, name in zip(rows[1:], DECISIONS, strict=True):
            row.append(f"{100 * previous['changes'][name]:+.1f} pp")
    lines = [
        table(header, rows, left=(0,)),
        "",
        f"rejects {content['rejects']:,}, answers kept from earlier {content['reused_rows']:,}",
        f"model {content['model_version']}, index {content['index_version']}",
    ]
    if previous is not None:
        changed = [
            name for name in ("model", "index")
            if content[f"{name}_version"] != previous[f"{name}_version"]
        ]  # fmt: skip
        if changed:
            said = " and ".join(changed)
            lines.append(f"another {said} than on {previous['date']}: its answers are not kept")
    lines += [f"set aside: {failure['error']}" for failure in content["failures"]]
    return "\n".join(lines)


def _outputs(folder: Place, say: Callable[[str], None]) -> Selection | None:
    """Return the outputs of an earlier day; None if they are gone."""
    try:
        outputs = select_files(folder)
    except InputError:
        say(f"{folder}: finished, but its outputs are gone; no earlier answers are kept")
        return None
    say(f"Listings that have not changed since {folder.name} keep their answers")
    return outputs


def _shares(content: Mapping[str, Any]) -> dict[str, float]:
    """Return the share of rows with each decision, 0 where there are no rows."""
    total = max(content["rows"], 1)
    return {name: round(content["decisions"][name] / total, 6) for name in DECISIONS}


def _write(place: Place, content: Mapping[str, Any]) -> None:
    remove_left_overs(place)
    with drafting(place) as draft:
        draft.sink.write((json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
        draft.finish()
        draft.publish()


def _read(place: Place) -> dict[str, Any] | None:
    """Return a day's summary; None if there is none, or one that cannot be read."""
    if not place.exists():
        return None
    with place.filesystem.open_input_stream(place.path) as stream:
        text = stream.read()
    try:
        content = json.loads(text)
        _shares(content)
    except (ValueError, TypeError, KeyError):
        return None
    wanted = {"rows", "model_version", "index_version"}
    return content if wanted <= set(content) else None
