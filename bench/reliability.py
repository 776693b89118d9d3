"""The page of what was tried and held: `python -m bench.reliability` writes docs/reliability.md.

A section is a function that returns lines of Markdown, in `SECTIONS` under its heading: whoever has
more to show adds one.
"""

from __future__ import annotations

import json
import platform
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.forging import GONE, ODD, changed, copied, places, sign
from bench.supply import CONSTRAINTS, HERE, checked, pinned
from rerank.index.artifacts import MANIFEST, writing_file
from rerank.index.embedder import StaticEmbedder
from rerank.index.errors import RerankError
from rerank.index.records import shipped
from rerank.model import RerankModel
from rerank.rankers.dual import DualModel
from rerank.rankers.pairwise import ACTIVE, PairwiseRanker

PAGE = HERE.parent / "docs" / "reliability.md"
Load = Callable[[Path], object]

_EARLIER = HERE.parent / "tests" / "rerank" / "earlier"
_FORGED: dict[str, tuple[Path, Load, tuple[str, ...]]] = {
    "model": (
        shipped("model"),
        RerankModel.load,
        (MANIFEST, "calibrator.json", "candidate_sets.json"),
    ),
    "embedder": (shipped("embedder"), StaticEmbedder.load, (MANIFEST, "tokenizer.json")),
    "pairwise ranker": (
        _EARLIER / "pairwise",
        PairwiseRanker.load,
        (MANIFEST, "pairwise_ranker_metadata.json", ACTIVE),
    ),
    "dual ranker": (_EARLIER / "dual", DualModel.load, (MANIFEST, "calibrators.json")),
}
_MOST_PLACES = 40  # of a file


def forged_artifacts() -> list[str]:
    """Put other values into the shipped artifacts, sign their manifests anew, and open them."""
    lines = [
        "Each value of these artifacts' JSON (of lists the first, of objects eight) was",
        "replaced by `null`, a negative number, text, an empty list, an empty object and a number",
        "of 401 digits, and taken out; then the checksums were made to fit. *Harmless* is what no",
        "answer reads. Graphs of other inputs, outputs and shapes, and cross-encoders, are held in",
        "tests.",
        "",
        "| artifact | file | tried | refused in a sentence | harmless | tracebacks |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for kind, (source, load, names) in _FORGED.items():
        for name in names:
            counts = _forged(source, name, load)
            shown = " | ".join(f"{number:,}" for number in (sum(counts), *counts))
            lines.append(f"| {kind} | `{name}` | {shown} |")
    return lines


def _forged(source: Path, name: str, load: Load) -> tuple[int, int, int]:
    """Return how many changes of a file were refused, were harmless and ended in a traceback."""
    refused = harmless = tracebacks = 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = copied(source, Path(scratch) / source.name)
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        content = content["parameters"] if name == MANIFEST else content
        for place in list(places(content))[:_MOST_PLACES]:
            for value in (*ODD, GONE) if place else ODD:
                found = changed(content, place, value)
                if name != MANIFEST:
                    (folder / name).write_text(json.dumps(found), encoding="utf-8")
                elif not isinstance(found, dict):
                    continue  # no manifest can be written of it
                sign(folder, found if name == MANIFEST else None)
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        load(folder)
                    harmless += 1
                except RerankError:
                    refused += 1
                except Exception:  # what is counted
                    tracebacks += 1
    return refused, harmless, tracebacks


def lengthy_runs() -> list[str]:
    """Say what the runs came to that take too long to be repeated for a page."""
    return [
        "`make fuzz` (seed 1, 2026-11-30): 92,000 hostile titles answered, the slowest in",
        "15.6 ms of CPU, memory 106 MB more; 4,000 files, 1,000 artifacts and 2,000 bodies",
        "without a traceback. Of 1,000 commands 855 were run: two messages were too long, one",
        "is mended. `make simulate`: 615 days of seed 1 and 10 of seed 2 without a finding;",
        "1,000 were not finished. `make faults`: every point of a `score` of one file, some 400",
        "of the other operations'. `make same`: files of 50,000 titles are the same to the last",
        "byte with 1, 2 and 3 workers, on Ray, resumed and since; tables in batches of 7",
        "differed for titles with loose combining marks, since mended; 50,000 were not run",
        "again.",
    ]


_COVERED = {
    "lexicon": (1096, 1102),
    "evidence of any goods, of names": (560, 560),
    "calibration and candidate sets": (264, 267),
    "artifacts": (462, 468),
    "gates": (184, 184),
    "canary": (228, 228),
    "lifecycle as a whole": (2228, 2325),
    "decisions, with how they are shown": (126, 150),
}
_MUTANTS = {"calibration and candidate sets": (633, 648), "gates": (309, 313)}


def tested_tests() -> list[str]:
    """Say which branches tests take, and which changes of the code they notice."""
    return [
        "`make coverage` counts the lines and branches of what decides that tests take. These are",
        "of the tests beside them and of the commands on versions (2026-11-30), not of the whole",
        "suite: without most trainings, nights and requests, the lifecycle is short of 98 %.",
        "",
        "| part | lines and branches | taken |",
        "| --- | ---: | ---: |",
        *_shares(_COVERED),
        "",
        "`make mutation` changes each expression of what calibrates, covers and gates, one at a",
        "time, and asks whether the fast tests of these modules fail (mutmut 3.8, 2026-11-30).",
        "",
        "| module | mutants | noticed |",
        "| --- | ---: | ---: |",
        *_shares(_MUTANTS),
        "",
        "Unnoticed are changes that change nothing: `zip` without `strict` over lists of a length,",
        "arrays of floats made floats again, Newton's method with another curvature or damping,",
        "bounds of odds beyond which a probability is 0 or 1 anyway.",
    ]


def _shares(counts: Mapping[str, tuple[int, int]]) -> list[str]:
    """Return rows of a table: what, all of it, and the share of so many."""
    return [
        f"| {name} | {every:,} | {some / every:.1%} |" for name, (some, every) in counts.items()
    ]


def supply_chain() -> list[str]:
    """Say what dependencies were held against."""
    lists = json.loads((HERE / "supply.json").read_text(encoding="utf-8"))
    packages = pinned(CONSTRAINTS.read_text(encoding="utf-8"))
    installed, wrong = checked(packages, lists)
    return [
        f"Of {len(packages)} packages that `constraints.txt` pins, {installed} were installed;",
        "their licences and versions were held against `bench/supply.json`",
        f"(checked {lists['checked']}): {len(wrong)} findings. `make supply` does it again,",
        "without a network; `make sbom` writes what an installation is made of as CycloneDX.",
        "The wheel is",
        "the same to the last byte if it is built twice at one `SOURCE_DATE_EPOCH` and umask.",
    ]


SECTIONS: dict[str, Callable[[], list[str]]] = {
    "Artifacts that are whole and made up": forged_artifacts,
    "Hostile inputs, days by seed, same answers": lengthy_runs,
    "What tests take and notice": tested_tests,
    "What it is built of": supply_chain,
}


def page() -> str:
    """Return the page, all sections made anew."""
    lines = [
        "# Reliability",
        "",
        "What was tried, and what came of it. `make reliability` makes this page anew (last with",
        f"Python {platform.python_version()}, {platform.system()}); `SECURITY.md` says what is",
        "trusted.",
    ]
    for heading, make in SECTIONS.items():
        lines += ["", f"## {heading}", "", *make()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    text = page()
    with writing_file(PAGE) as draft:
        draft.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
