"""docs/figures.md out of reports, so that no figure is typed by hand.

`python -m bench.figures HOME [HOME ...]` takes what the page shows out of the reports in those
workspaces, keeps it in docs/figures.json and writes the page; without a workspace it writes the
page anew from what is kept. Figures and names of sets are kept, no listing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from rerank.index.artifacts import write_json

ROOT = Path(__file__).resolve().parent.parent
KEPT, PAGE = ROOT / "docs/figures.json", ROOT / "docs/figures.md"
_SETS = {
    "hard_set": "hard set",
    "bootstrap_test": "generated, unseen models",
    "distributor": "distributor",
    "part_lists": "part lists",
    "silent_titles": "silent titles",
    "people": "people's posts",
}
_METRICS = {
    "precision_at_1": "precision@1",
    "recall_at_10": "recall@10",
    "memory_variant_accuracy": "right memory, where stated",
    "open_memory_accuracy": "right memory, where the title is silent",
    "nil_false_match_rate": "false matches among no match",
    "accepted_share": "share accepted",
    "precision_of_accepted": "precision of the accepted",
    "ece": "ECE",
}
_BASELINES = {
    "token_coverage": "token-coverage rule",
    "char_ngram_tfidf": "character 2-4-gram TF-IDF",
    "rapidfuzz_token_set_ratio": "RapidFuzz `token_set_ratio`",
    "rapidfuzz_wratio": "RapidFuzz `WRatio`",
}
Figures = dict[str, Any]
_FEW = 20  # a share of fewer listings says nothing


def kept_of(home: Path) -> Figures:
    """Return what the page shows of the reports in a workspace: those that are there."""
    found: Figures = {}
    reports = home / "reports"
    if (path := reports / "reranker_metrics.json").exists():
        report = json.loads(path.read_text(encoding="utf-8"))
        made = {key: report[key] for key in ("model_version", "index_version", "seed", "samples")}
        found["evaluate"] = {
            name: {**made, "machine": report["machine"], **_evaluated(content)}
            for name, content in report["sets"].items()
        }
    if (path := reports / "reranker_ablation.json").exists():
        report = json.loads(path.read_text(encoding="utf-8"))
        found["ablate"] = {
            name: {
                step["label"]: {
                    **step["metrics"]["precision_at_1"],
                    "differs": _differs(step["difference"].get("precision_at_1")),
                }
                for step in content["steps"]
            }
            for name, content in report["sets"].items()
        }
    if (path := reports / "rankers.json").exists():
        report = json.loads(path.read_text(encoding="utf-8"))
        found["rankers"] = {
            name: {
                ranker: {
                    **each["metrics"]["precision_at_1"],
                    "differs": _differs(each.get("differences", {}).get("precision_at_1")),
                }
                for ranker, each in content["rankers"].items()
            }
            for name, content in report["sets"].items()
        }
    if (path := reports / "pairs.json").exists():
        found["pairs"] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _evaluated(content: Mapping[str, Any]) -> Figures:
    return {
        "n": content["n"],
        "no_match": content["kinds"]["nil"],
        "metrics": {name: content["metrics"][name] for name in _METRICS},
        "baselines": {name: content["baselines"][name]["precision_at_1"] for name in _BASELINES},
        "routes": {name: route["recall_at_20"] for name, route in content["routes"].items()},
        "candidate_sets": content["candidate_sets"],
        "loss_budget": content["loss_budget"],
    }


def _differs(difference: Mapping[str, Any] | None) -> bool:
    """Return whether a paired difference is significant after Holm's correction."""
    return difference is not None and (difference.get("p_adjusted") or 1.0) < 0.05


def page(kept: Figures) -> str:
    """Return docs/figures.md."""
    sets = {name: kept["evaluate"][name] for name in _SETS if name in kept["evaluate"]}
    parts = [_HEAD, _table(["", *(_SETS[name] for name in sets)], _headlines(sets)), _SETS_TEXT]
    parts += ["## Against baselines", _AGAINST]
    rows = [["rerank", *(_share(each["metrics"]["precision_at_1"]) for each in sets.values())]]
    rows += [
        [label, *(_share(each["baselines"][name]) for each in sets.values())]
        for name, label in _BASELINES.items()
    ]
    parts += [_table(["precision@1", *(_SETS[name] for name in sets)], rows)]
    parts += ["## What is lost where", _LOSSES, _table(_LOST, _losses(sets))]
    parts += ["## Candidates by route", "recall@20 of the right model."]
    routes = {"vector": "vectors (FAISS)", "name": "names (lexicon)", "fused": "both, fused"}
    rows = [
        [label, *(_share(each["routes"][name]) for each in sets.values())]
        for name, label in routes.items()
    ]
    parts += [_table(["", *(_SETS[name] for name in sets)], rows)]
    parts += ["## Candidate sets", _CANDIDATE_SETS, _table(_COVERAGE, _covered(sets))]
    for key, text in (("ablate", _ABLATE), ("rankers", _RANKERS)):
        if key in kept:
            parts += [text, _compared(kept[key])]
    if "pairs" in kept:
        parts += [_PAIRS, _table(_PAIR_COLUMNS, _pairs(kept["pairs"]))]
    return "\n\n".join(parts) + "\n"


def _pairs(by_name: Mapping[str, Figures]) -> list[list[str]]:
    return [
        [
            name,
            _interval(each["f1"]),
            *_PUBLISHED.get(name, ("", "")),
            f"{each['n']:,}, {each['n_matches']:,}",
            f"{each['labels']:,}",
            f"{each['cpu_s']:.0f} s",
        ]
        for name, each in by_name.items()
    ]


def _headlines(sets: Mapping[str, Figures]) -> list[list[str]]:
    rows = [
        ["listings, of them no match", *(f"{s['n']:,}, {s['no_match']:,}" for s in sets.values())]
    ]
    for name, label in _METRICS.items():
        figures = [each["metrics"][name] for each in sets.values()]
        rows.append([label, *(_interval(f) if f.get("n", _FEW) >= _FEW else "" for f in figures)])
    return rows


def _losses(sets: Mapping[str, Figures]) -> list[list[str]]:
    keys = ("right", "retrieval", "ranking", "decision", "label")
    return [
        [_SETS[name], *(f"{each['loss_budget'][key]:,}" for key in keys)]
        for name, each in sets.items()
    ]


def _covered(sets: Mapping[str, Figures]) -> list[list[str]]:
    found = ((name, each["candidate_sets"]) for name, each in sets.items())
    return [
        [
            _SETS[name],
            f"{s['level']:.2f}",
            _interval(s["coverage"]),
            f"{s['mean_size']['value']:.2f}",
        ]
        for name, s in found
        if s
    ]


def _compared(by_set: Mapping[str, Mapping[str, Any]]) -> str:
    names = [name for name in _SETS if name in by_set]
    systems = list(dict.fromkeys(system for name in names for system in by_set[name]))
    rows = []
    for system in systems:
        cells = []
        for name in names:
            figure = by_set[name].get(system)
            mark = "*" if figure and figure["differs"] else ""
            cells.append(f"{_interval(figure)}{mark}" if figure else "")
        rows.append([system, *cells])
    return _table(["precision@1", *(_SETS[name] for name in names)], rows)


def _share(figure: Mapping[str, Any]) -> str:
    """Return a share as the page writes it: three digits, no zero before the point."""
    value = figure["value"]
    return "" if value is None else f"{value:.3f}".removeprefix("0")


def _interval(figure: Mapping[str, Any]) -> str:
    limits = figure.get("ci95")
    if figure["value"] is None or not limits or limits[0] == limits[1]:
        return _share(figure)
    low, high = (f"{limit:.3f}".removeprefix("0") for limit in limits)
    return f"{_share(figure)} ({low}-{high})"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


_HEAD = """# Figures

Of the shipped defaults, with 95 % bootstrap intervals over listings. This page is made from
reports by `python -m bench.figures HOME ...`; speed and memory stand in
[benchmarks.md](benchmarks.md), which `make bench` makes. Yours: `rerank evaluate --gold
my_gold.csv`."""
_SETS_TEXT = """\
The hard set (`data/hard_set.csv`, 23 languages) was written by hand, about half of it no match, and
never trained on; its errors guided general fixes, so read it as a regression test. Generated
listings of unseen models share their grammar with the training data and flatter. The others are
listings of shops and people that nothing was trained on, kept outside this repository; their
errors, too, were looked at for general causes. "Silent titles" state no memory: the shop's own
field is held against the variant answered. `rerank evaluate` makes the first two columns."""
_AGAINST = (
    "In the same run, on the same listings that sell a card; none of the baselines is trained."
)
_LOSSES = """\
Each wrong answer is lost to the first step that fails: the right model is not among the
candidates, is not first, or is first and held for review or refused; a listing whose label
contradicts itself counts apart."""
_LOST = ["", "right", "retrieval", "ranking", "decision", "label"]
_CANDIDATE_SETS = """\
`--candidate-set 0.95` promises the truth in the set for listings like those it was calibrated
on, which are generated, and for mixes in which hard ones are up to 4 times as frequent."""
_COVERAGE = ["", "stated", "reached", "outcomes a set"]
_ABLATE = """## What each kind of evidence earns

`rerank ablate`: trained anew on 9,000 generated listings, the same candidates behind the first
cut. A star marks a significant difference to all features (paired tests, Holm-corrected)."""
_PAIRS = """## Catalogues of other goods, pair by pair

Pairwise F1 on the test pairs that Peeters, Steiner and Bizer (arXiv 2310.11244) drew of the usual
splits: all their matches, 1,000 of the others. Trained by `train-ltr --labels` on the matches that
are no test pair (`python -m bench.pairs`), everything from bare tables to answers on a CPU. Ditto
(Li et al., VLDB 2021; RoBERTa, fine-tuned) stands as published for the whole of the splits, which
hold more pairs without a match; GPT-4o mini, fine-tuned, as Steiner, Peeters and Bizer
published it (arXiv 2409.08185). Of Abt-Buy, a fifth of the products is missing here, and with
them their pairs, so that row is an estimate. A large language model reads what no word of a pair
says (that two titles of software mean one edition); it costs a request for each pair, and knows no
catalogue: somebody must propose the pairs."""
_PAIR_COLUMNS = ["F1", "rerank", "Ditto", "GPT-4o mini", "pairs, matches", "labels", "CPU in all"]
_PUBLISHED = {"abt-buy": (".893", ".941"), "amazon-google": (".756", "")}
_RANKERS = """## All rankers, measured together

`rerank compare-rankers --limit 300`: the same candidates of the same listings. A star marks a
significant difference to LambdaRank.
[rankers.md](rankers.md) says which to use when."""


@click.command()
@click.argument(
    "homes", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="HOME"
)
def main(homes: tuple[Path, ...]) -> None:
    """Take figures out of the reports of workspaces, keep them, and write docs/figures.md."""
    kept: Figures = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    for home in homes:
        for kind, content in kept_of(home).items():
            kept[kind] = {**kept.get(kind, {}), **content}
    write_json(kept, KEPT)
    PAGE.write_text(page(kept), encoding="utf-8")
    click.echo(f"{KEPT.relative_to(ROOT)} and {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
