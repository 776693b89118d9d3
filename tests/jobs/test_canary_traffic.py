"""Two models over the same listings: A/B tests and canaries, from the answers to the history."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest
from second_model import add_version, listings, sql

from rerank.index.errors import RefusedError, StoreBusyError
from rerank.jobs.files.listings import ListingBatch
from rerank.jobs.models.serving_traffic import CanaryAnswerer
from rerank.jobs.scoring.answering import ScoreOptions
from rerank.lifecycle.canary import CanarySettings, arm_of
from rerank.lifecycle.model_registry import AliasChange, ModelRegistry
from rerank.lifecycle.traffic import BothModels, CanaryKeeper, Side, start_canary
from rerank.lifecycle.versions import VersionRef
from rerank.settings import settings_of
from rerank.workspace import Workspace

SHIPPED = VersionRef("ltr", "shipped")
SETTINGS = settings_of(
    CanarySettings, {"steps": [0.2, 0.5], "window_listings": 40, "windows_per_step": 2, "group": 10}
)


class Clock:
    """Seconds that pass only when a model is asked."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def side(resolver, version, clock, *, seconds=1.0, edit=lambda table: table):
    """Return a resolver as a model of another name, speed and temper."""

    def ask(rows, faults):
        clock.now += seconds
        answers = resolver.resolve_table(rows, faults=faults, top_k=1)
        at = answers.column_names.index("model_version")
        named = pa.array([version] * len(rows))
        return edit(answers.set_column(at, answers.schema.field(at), named))

    return Side(version, ask)


def refuse(table):
    at = table.column_names.index("decision")
    return table.set_column(at, table.schema.field(at), pa.array(["no_match"] * table.num_rows))


def fail(table):
    raise ValueError("out of order")


@pytest.fixture
def registry(home):
    return ModelRegistry(Workspace(home))


@pytest.fixture
def challenger(home, tmp_path):
    return add_version(home, tmp_path / "draft")


@pytest.fixture
def night(registry, shipped_resolver, challenger):
    """Run a canary over listings with an invented challenger; return answers and what was said."""

    def run(table, *, seconds=1.0, edit=lambda table: table, keep=lambda keeper: None):
        clock, said = Clock(), []
        models = BothModels(
            side(shipped_resolver, "champ", clock),
            side(shipped_resolver, "chall", clock, seconds=seconds, edit=edit),
            clock,
        )
        keeper = CanaryKeeper(registry, registry.pointer(), said.append)
        keep(keeper)
        answerer = CanaryAnswerer(models, keeper, ScoreOptions(1), index_version="i")
        answers = answerer.answer(ListingBatch(table))
        answerer.finish()
        return answers, said

    return run


@pytest.fixture
def started(registry, challenger):
    return start_canary(registry, challenger, SETTINGS, salt="s", why="try it")


def served(answers):
    return answers.column("model_version").to_pylist()


def test_a_good_challenger_becomes_champion(home, registry, night, started, challenger):
    answers, said = night(listings(1000))
    assert answers.num_rows == 1000
    pointer = registry.pointer()
    assert (pointer.champion, pointer.previous) == (challenger, SHIPPED)
    assert pointer.canary is None
    assert "passed, it is champion" in said[-1]
    actions = [each.action for each in registry.history()]
    assert actions == [
        "canary start",
        "canary window",
        "canary step",
        "canary window",
        "canary passed",
    ]
    windows = sql(
        home,
        "SELECT window_number, step, share, listings, outcome FROM canary_windows ORDER BY ALL",
    )
    assert windows == [
        (1, 1, 0.2, 40, "goes on"),
        (2, 1, 0.2, 40, "next step"),
        (3, 2, 0.5, 40, "goes on"),
        (4, 2, 0.5, 40, "passed"),
    ]
    assert set(served(answers)[-300:]) == {"chall"}


def test_rows_keep_their_order_and_their_arm(night, started):
    table = listings(150)
    answers, _ = night(table)
    inside = arm_of(table.column("listing_id").to_pylist(), "s", 0.2)
    assert inside.sum() < 80  # the first step only
    assert served(answers) == ["chall" if each else "champ" for each in inside]
    models = answers.column("model").to_pylist()
    assert models[0] == "GeForce RTX 3080"
    assert models[1] == "Radeon RX 6600"
    assert models[149] == "Zotac GTX 1060 6GB".replace("Zotac GTX 1060 6GB", "GeForce GTX 1060")


def test_both_decisions_of_the_share_are_logged(home, night, started):
    night(listings(150))
    rows = sql(
        home,
        "SELECT listing_id, model_version, served_version, arm, latency_ms FROM "
        "traffic_decisions ORDER BY listing_id, model_version",
    )
    table = listings(150)
    ids = table.column("listing_id").to_pylist()
    inside = sorted(key for key, chosen in zip(ids, arm_of(ids, "s", 0.2), strict=True) if chosen)
    assert [row[0] for row in rows[::2]] == inside
    assert {row[1:4] for row in rows} == {
        ("champ", "chall", "challenger"),
        ("chall", "chall", "challenger"),
    }


@pytest.mark.parametrize(
    ("temper", "why"),
    [
        ({"edit": refuse}, "share accepted"),
        ({"seconds": 3.0}, "latency"),
        ({"edit": fail}, "errors"),
    ],
    ids=["refuses all", "3 times slower", "raises errors"],
)
def test_a_bad_challenger_is_stopped_and_the_champion_serves(registry, night, started, temper, why):
    settled, _ = night(listings(1000), **temper)
    pointer = registry.pointer()
    assert (pointer.champion, pointer.canary) == (SHIPPED, None)
    last = registry.history()[-1]
    assert last.action == "canary breach"
    assert why in last.why
    breached = [gate["name"] for gate in last.gates if not gate["passed"]]
    assert why in breached
    assert last.metrics["listings"] <= 120
    assert settled.num_rows == 1000
    assert set(served(settled)[-300:]) == {"champ"}


def test_no_listing_goes_without_an_answer_when_the_challenger_fails(home, night, started):
    def odd_ones_fail(table):
        if any("#7" in reason for reason in table.column("reason").to_pylist()):
            fail(table)
        if table.num_rows > 1:
            fail(table)
        return table

    answers, _ = night(listings(150), edit=odd_ones_fail)
    assert answers.num_rows == 150
    assert Counter(answers.column("decision").to_pylist())["match"] > 90
    ((errors,),) = sql(home, "SELECT count(*) FROM traffic_decisions WHERE decision IS NULL")
    assert errors == 0


def test_it_goes_on_the_next_night_and_a_listing_counts_once(registry, night, started):
    night(listings(150))
    first = registry.pointer().canary["counts"]["listings"]
    night(listings(150))
    assert registry.pointer().canary["counts"]["listings"] == first
    night(listings(150, start=150))
    assert registry.pointer().canary["counts"]["listings"] > first


class Killed(BaseException):
    """Stands for a process that ends at once."""


@pytest.mark.parametrize("step", ["before the store", "between store and pointer"])
def test_a_kill_loses_at_most_the_running_window(home, registry, night, started, monkeypatch, step):
    def die(*args, **kwargs):
        raise Killed

    seen = []

    def dying_at_second(keeper):
        real = keeper.close_window

        def close(window, log):
            if seen and step == "before the store":
                raise Killed
            if seen:
                monkeypatch.setattr(keeper, "_changed", die)
            seen.append(window)
            return real(window, log)

        monkeypatch.setattr(keeper, "close_window", close)

    with pytest.raises(Killed):
        night(listings(1000), keep=dying_at_second)
    pointer = registry.pointer()
    assert pointer.champion == SHIPPED
    assert pointer.canary["windows"] == 1
    night(listings(30, start=5000))
    known = registry.pointer().canary
    counted = sql(
        home, "SELECT count(DISTINCT listing_id), max(window_number) FROM traffic_decisions"
    )
    assert counted == [(known["counts"]["listings"], 2)]
    assert sql(home, "SELECT sum(listings), max(window_number) FROM canary_windows") == [
        (known["counts"]["listings"], 2)
    ]


def test_another_promotion_ends_it_and_no_row_fails(registry, night, started, challenger):
    def overtake(keeper):
        change = AliasChange(action="serve", alias="champion", to=challenger)
        registry.change(change, expected_generation=registry.pointer().generation)

    answers, said = night(listings(500), keep=overtake)
    assert answers.num_rows == 500
    assert "the canary ends here, the champion serves: another change came in between" in said[-1]
    assert registry.pointer().champion == challenger


def test_another_alias_does_not_disturb_it(registry, night, started, challenger):
    def name(keeper):
        change = AliasChange(action="alias", alias="spring", to=challenger)
        registry.change(change, expected_generation=registry.pointer().generation)

    night(listings(150), keep=name)
    pointer = registry.pointer()
    assert pointer.canary["windows"] == 1
    assert pointer.aliases["spring"] == challenger


def test_a_store_that_is_busy_costs_the_window_only(registry, night, started, monkeypatch):
    def busy(keeper):
        def writing():
            raise StoreBusyError("held by another")

        monkeypatch.setattr(keeper._store, "writing", writing)

    answers, said = night(listings(150), keep=busy)
    assert answers.num_rows == 150
    assert "listings of the canary do not count: held by another" in said[0]
    assert registry.pointer().canary["windows"] == 0


def test_a_second_canary_is_refused(registry, started, challenger):
    with pytest.raises(RefusedError, match="a canary runs already"):
        start_canary(registry, challenger, SETTINGS)
