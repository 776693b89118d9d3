"""The front door: what `from rerank import ...` gives, and how it meets a stranger's values."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rerank
from rerank import Decision, Listing, Resolver, open_resolver, predict_match_score
from rerank.evaluation.gold import read_gold
from rerank.index.errors import DISTRIBUTION, MissingExtraError
from rerank.index.records import N_CANDIDATES, shipped
from rerank.packs.gpu.pack import GpuResolver
from rerank.resolution import Resolution, ScoredCandidate

TITLE = "gigabyte RTX5070Ti windforce sff 16g"


@pytest.fixture(scope="module")
def resolver(tmp_path_factory: pytest.TempPathFactory) -> Resolver:
    return open_resolver(tmp_path_factory.mktemp("empty"))


@pytest.fixture(scope="module")
def hard() -> list[Listing]:
    return [item.listing for item in read_gold(shipped("hard_set.csv"))]


def test_the_door_opens_what_it_names() -> None:
    assert rerank.__version__ == version(DISTRIBUTION)
    assert (Path(rerank.__file__).parent / "py.typed").is_file()
    assert predict_match_score([1, 0], [[0, 1], [1, 0]]) == [(1, 1.0), (0, 0.0)]


def test_a_decision_is_one_of_the_three_and_its_text(resolver: Resolver) -> None:
    answer = resolver.resolve(TITLE)
    assert answer.decision is Decision.MATCH
    assert (answer.decision, json.dumps(answer.decision)) == ("match", '"match"')
    assert f"{Decision.NO_MATCH}" == "no_match"


def test_titles_and_listings_may_be_mixed(resolver: Resolver) -> None:
    listing = Listing("7", TITLE, vendor="Gigabyte")
    answers = resolver.resolve_many([TITLE, listing, TITLE])
    assert answers == [resolver.resolve(each) for each in (TITLE, listing, TITLE)]
    assert resolver.resolve_many(title for title in [TITLE]) == answers[:1]


# --- the contract of a row ---

SOLD = ("gpu_id", "model", "memory_gb", "form_factor")


def row_of(answer: Resolution) -> tuple[Any, ...]:
    return tuple(getattr(answer, name) for name in SOLD)


@pytest.mark.parametrize(
    ("title", "model", "memory", "stated"),
    [
        ("MSI GeForce RTX 4090 Suprim X", "GeForce RTX 4090", 24, False),
        ("Verkaufe RTX 2080 Ti von Gainward, funktioniert", "GeForce RTX 2080 Ti", 11, False),
        ("Carte graphique Gigabyte RTX 3080 Aorus Xtreme", "GeForce RTX 3080", 10, False),
        ("Видеокарта Gainward GeForce RTX 3060 Ghost", "GeForce RTX 3060", 12, False),
        ("Asus Dual RTX 3060 8GB", "GeForce RTX 3060", 8, True),
        ("Gigabyte GeForce GTX 1060 3GB", "GeForce GTX 1060", 3, True),
    ],
)
def test_what_is_open_is_the_common_desktop_card_and_what_is_stated_holds(
    resolver: Resolver, title: str, model: str, memory: float, stated: bool
) -> None:
    answer = resolver.resolve(title)
    assert answer.decision is Decision.MATCH
    assert row_of(answer)[1:] == (model, memory, "PCIe")
    assert answer.best_guess == model
    assert answer.memory_stated is stated
    assert ("memory not stated" in answer.reason) is not stated
    assert 0.5 < answer.variant_probability <= 1


@pytest.mark.parametrize(
    "title",
    [
        "WTB RTX 3080, paying today",
        "Leere OVP RTX 4090 Strix, ohne Karte",
        "Куплю rx 6600 xt",
        "Support anti-affaissement pour RTX 4080",
        "oak bookshelf",
    ],
)
def test_where_no_card_is_sold_the_row_names_none(resolver: Resolver, title: str) -> None:
    answer = resolver.resolve(title)
    assert answer.decision is Decision.NO_MATCH
    assert row_of(answer) == (None,) * 4
    assert answer.best_guess == (answer.candidates[0].model if answer.candidates else None)


def test_no_title_has_no_best_guess(resolver: Resolver) -> None:
    answer = resolver.resolve(" ")
    assert (*row_of(answer), answer.best_guess, answer.memory_stated) == (None,) * 5 + (False,)


def test_every_row_keeps_the_contract(resolver: Resolver, hard: list[Listing]) -> None:
    variants = Counter(record.model for record in resolver.table.records)
    for answer in resolver.resolve_many(hard):
        sold = answer.decision is not Decision.NO_MATCH
        best = answer.candidates[0]
        own = (best.gpu_id, best.model, best.memory_gb, best.form_factor)
        assert row_of(answer) == (own if sold else (None,) * 4), answer
        assert answer.best_guess == best.model
        assert answer.variant_probability == best.variant_probability
        by_model: dict[str, list[ScoredCandidate]] = {}
        for candidate in answer.candidates:
            by_model.setdefault(candidate.model, []).append(candidate)
        for model, shown in by_model.items():
            assert len({candidate.probability for candidate in shown}) == 1
            whole = sum(candidate.variant_probability for candidate in shown)
            assert whole <= 1 + 0.0001 * len(shown)
            if len(shown) == variants[model]:
                assert whole == pytest.approx(1, abs=0.0001 * len(shown)), answer
        assert sum(shown[0].probability for shown in by_model.values()) <= 1.001


# --- empty and wrong values ---


class NAType:
    """What pandas has where nothing stands, without pandas."""

    def __eq__(self, other: object) -> Any:
        raise TypeError("boolean value of NA is ambiguous")


@pytest.mark.parametrize("nothing", [None, float("nan"), np.float32("nan"), NAType()])
def test_what_is_missing_is_empty(nothing: Any, resolver: Resolver) -> None:
    listing = Listing(nothing, nothing, nothing, nothing, nothing)
    assert listing == Listing("", "", "", "", None) == Listing()
    assert resolver.resolve(listing).reason == "no title"


@pytest.mark.parametrize("price", [300, 299.5, np.float32(299.5), Decimal("299.5")])
def test_a_price_is_any_number(price: Any) -> None:
    assert Listing("1", TITLE, price=price).price == price


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("title", 123, "Listing(title=...): pass a text (str) or None, got int"),
        ("vendor", ["MSI"], "Listing(vendor=...): pass a text (str) or None, got list"),
        ("listing_id", 7, "Listing(listing_id=...): pass a text (str) or None, got int"),
        ("description", b"", "Listing(description=...): pass a text (str) or None, got bytes"),
        ("price", "300 EUR", "Listing(price=...): pass a number or None, got str"),
    ],
)
def test_a_wrong_field_says_what_to_pass(field: str, value: Any, said: str) -> None:
    with pytest.raises(TypeError) as found:
        Listing(**{field: value})
    assert str(found.value) == said


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda r: r.resolve(123), "resolve: pass a title (str) or a Listing, got int"),
        (lambda r: r.resolve(None), "resolve: pass a title (str) or a Listing, got NoneType"),
        (lambda r: r.explain([TITLE]), "explain: pass a title (str) or a Listing, got list"),
        (
            lambda r: r.resolve_many(TITLE),
            "expected listings: pass a list of titles (str) or Listings, got str",
        ),
        (
            lambda r: r.resolve_many({"title": [TITLE]}),
            "expected listings: pass a list of titles (str) or Listings, got dict",
        ),
        (
            lambda r: r.resolve_table(5),
            "expected listings: pass a list of titles (str) or Listings, got int",
        ),
        (
            lambda r: r.resolve_many([TITLE, 5]),
            "listing 1: pass a title (str) or a Listing, got int",
        ),
        (
            lambda r: r.resolve(TITLE, top_k="3"),
            "top_k: pass a whole number from 1, got str",
        ),
        (
            lambda r: open_resolver(3),  # type: ignore[arg-type]
            "expected a workspace: pass its folder (str or Path), got int",
        ),
        (
            lambda r: predict_match_score("a", [[1.0]]),
            "expected embeddings: pass arrays of numbers; could not convert string to float: 'a'",
        ),
    ],
)
def test_a_wrong_argument_says_what_to_pass(wrong: Any, said: str, resolver: Resolver) -> None:
    with pytest.raises(TypeError) as found:
        wrong(resolver)
    assert str(found.value) == said


def test_a_ranker_goes_by_its_name_and_an_unknown_one_is_explained() -> None:
    assert open_resolver(ranker="ltr").resolve(TITLE).decision is Decision.MATCH
    with pytest.raises(MissingExtraError, match="expected a ranker, one of ltr, pairwise"):
        open_resolver(ranker="lrt")


# --- how answers look ---


def test_an_answer_is_one_line(resolver: Resolver) -> None:
    assert repr(resolver.resolve("")) == (
        "<no match: no GPU, probability 0.000; no title; 0 candidates>"
    )
    found = repr(resolver.resolve(TITLE))
    assert found.startswith("<match: GeForce RTX 5070 Ti 16 GB PCIe, probability 0.9")
    assert found.endswith("; 20 candidates>")
    assert "best guess GeForce RTX 3080" in repr(resolver.resolve("box of an RTX 3080"))
    assert repr(resolver).startswith("<Resolver of model ")


def test_a_notebook_s_table_is_escaped(resolver: Resolver) -> None:
    html = resolver.resolve(TITLE)._repr_html_()
    assert html.count("<tr>") == 6
    odd = ScoredCandidate("x", "<b>X&Y", 8.0, "<i>", 0.5, 1.0, 0.5, 1.0)
    answer = Resolution(
        gpu_id="x",
        model="<b>X&Y",
        memory_gb=8.0,
        form_factor="<i>",
        best_guess="<b>X&Y",
        match_probability=0.5,
        memory_stated=True,
        variant_probability=1.0,
        margin=0.5,
        decision=Decision.REVIEW,
        reason="<script>",
        candidates=(odd,),
        model_version="m",
        index_version="i",
    )
    html = answer._repr_html_()
    assert "<td>&lt;b&gt;X&amp;Y</td>" in html
    assert not any(text in html for text in ("<script>", "<i>", "<b>X"))


# --- top_k shows, it does not decide ---


@pytest.mark.parametrize("top_k", [1, 3, N_CANDIDATES, 50])
def test_top_k_cuts_what_is_shown_and_nothing_else(
    top_k: int, resolver: Resolver, hard: list[Listing]
) -> None:
    whole = resolver.resolve_many(hard)
    assert max(len(answer.candidates) for answer in whole) == N_CANDIDATES
    for answer, shown in zip(whole, resolver.resolve_many(hard, top_k=top_k), strict=True):
        assert shown.candidates == answer.candidates[:top_k]
        for name in ("gpu_id", "decision", "match_probability", "margin", "reason", "best_guess"):
            assert getattr(shown, name) == getattr(answer, name)


# --- copies, processes and threads ---


def test_a_resolver_is_copied_and_sent_by_what_opened_it(
    resolver: Resolver, hard: list[Listing]
) -> None:
    expected = resolver.resolve_many(hard[:40])
    content = pickle.dumps(resolver)
    assert len(content) < 2000  # a place and a version, not models
    for other in (pickle.loads(content), copy.copy(resolver), copy.deepcopy(resolver)):
        assert other is not resolver
        assert other.resolve_many(hard[:40]) == expected


def test_a_resolver_put_together_by_hand_cannot_be_copied(resolver: Resolver) -> None:
    own = GpuResolver(resolver._source, resolver.model, resolver._cues, index_version="i")
    with pytest.raises(TypeError, match="cannot be copied; make it with open_resolver"):
        copy.copy(own)


FORKS = """
import os, sys
from rerank import open_resolver
titles = [f"rtx {n} ti {memory} gb" for n in (3060, 3070, 4070) for memory in range(2, 30)]
resolver = open_resolver()
before = resolver.resolve_many(titles)
child = os.fork()
if not child:
    os._exit(0 if resolver.resolve_many(titles) == before else 7)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_resolver_survives_a_fork(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKS], cwd=tmp_path, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr


def test_eight_threads_get_the_same_answers(resolver: Resolver, hard: list[Listing]) -> None:
    expected = resolver.resolve_many(hard)
    parts = [hard[at::8] for at in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(resolver.resolve_many, parts * 2))
    assert found == [expected[at::8] for at in range(8)] * 2


# --- one import name ---

SCRIPT = """
import sys
import data, index, jobs
assert {data.OWN, index.OWN, jobs.OWN} == {"the user's"}
from rerank import open_resolver
print(open_resolver().resolve(sys.argv[1]).model)
"""


@pytest.mark.parametrize("named", [False, True], ids=["beside the script", "on PYTHONPATH"])
def test_a_folder_with_modules_of_our_folders_names_is_left_alone(
    named: bool, tmp_path: Path
) -> None:
    (tmp_path / "jobs").mkdir()
    for name in ("index.py", "data.py", "jobs/__init__.py"):
        (tmp_path / name).write_text('OWN = "the user\'s"\n')
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {name: value for name, value in os.environ.items() if name != "RERANK_HOME"}
    if named:
        before = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(tmp_path), before]))
    command = str(Path(sys.executable).with_name("rerank"))
    for started, said in (
        ([sys.executable, "script.py", TITLE], "GeForce RTX 5070 Ti"),
        ([command, "resolve", "--format", "json", TITLE], '"model": "GeForce RTX 5070 Ti"'),
    ):
        done = subprocess.run(
            started, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stderr
        assert said in done.stdout


# --- what a run costs ---

SCORES = """
import sys
from rerank.jobs.cli import main
try:
    main(["score", sys.argv[1], sys.argv[2]])
except SystemExit as exc:
    assert not exc.code
print(*sys.modules)
"""


def test_score_loads_neither_generator_nor_training(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(f"listing_id,title\n1,{TITLE}\n")
    done = subprocess.run(
        [sys.executable, "-c", SCORES, "in.csv", "out.parquet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    loaded = done.stdout.split()
    assert "rerank.resolver" in loaded
    heavy = (
        "rerank.packs.gpu.bootstrap",
        "rerank.packs.gpu.training",
        "rerank.trees",
        "torch",
        "lightgbm",
        "sklearn",
        "duckdb",
    )
    assert [name for name in loaded if name.startswith(heavy)] == []


@pytest.mark.parametrize("command", ["resolve", "score"])
def test_an_explained_listing_is_resolved_once(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    from rerank.jobs.cli import main

    (tmp_path / "in.csv").write_text(f"listing_id,title\n1,{TITLE}\n2,\n")
    asked: list[str] = []
    plain = Resolver.evidence

    def evidence(
        self: Resolver, listings: list[Listing], *, n_candidates: int = N_CANDIDATES
    ) -> Any:
        asked.extend(listing.title for listing in listings)
        return plain(self, listings, n_candidates=n_candidates)

    monkeypatch.setattr(Resolver, "evidence", evidence)
    what = [TITLE] if command == "resolve" else ["in.csv", "out.parquet"]
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, [command, *what, "--explain"])
    assert done.exit_code == 0, done.output
    assert asked.count(TITLE) == 1
