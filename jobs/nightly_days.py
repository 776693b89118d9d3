"""The folders of days: what their runs leave for each other, and which day one is compared with.

`_day.json` is written before any output: what a later run of the day must know. `_summary.json` is
written last: a day that has it is finished.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, NamedTuple

from pyarrow import fs

from index.errors import InputError
from jobs.listing_files.selection import Selection, select_files
from jobs.nightly_report import shares_of
from jobs.places import Place
from jobs.scoring.drafts import drafting, remove_left_overs
from jobs.scoring.plan import REJECTS_FOLDER
from jobs.scoring.provenance import read_record

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


def _summaries(out: Place, before: date) -> Iterator[dict[str, Any]]:
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
    with place.filesystem.open_input_stream(place.path) as stream:
        text = stream.read()
    try:
        return json.loads(text)
    except ValueError:
        return None


def _write(place: Place, content: Mapping[str, Any]) -> None:
    remove_left_overs(place)
    with drafting(place) as draft:
        draft.sink.write((json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
        draft.finish()
        draft.publish()
