"""`rerank models` and `monitor` in a home that holds a catalogue of its own."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from conftest import Run
from small_catalogue import build_catalogue_home

from rerank.jobs.cli import main
from rerank.lifecycle.model_registry import ModelRegistry
from rerank.store.database import Store
from rerank.workspace import Workspace

ANSWERS = """\
listing_id,title,verdict,product_id
1,Lumo Firefly 400 Headlamp blue,match,C20
2,Norrfjell Vidda 2 Tent,match,Norrfjell Vidda 2 Tent
3,Gas cartridge,not_gpu,
4,a tent,unsure,
"""
QUICK = "samples: 50\nsets: {generated: 200}\nlatency: {listings: 0}\n"


class Trained(NamedTuple):
    """A home with two versions over the small catalogue."""

    home: Path
    listings: Path
    champion: str
    challenger: str


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    made = build_catalogue_home(tmp_path_factory.mktemp("camping"))
    for seed in (1, 2):
        done = CliRunner().invoke(
            main, ["train-ltr", "--scale", "0.1", "--seed", str(seed), "--home", str(made.home)]
        )
        assert done.exit_code == 0, done.output
    pointer = ModelRegistry(Workspace(made.home)).pointer()
    return Trained(
        made.home, made.listings, pointer.champion.version, pointer.aliases["challenger"].version
    )


@pytest.fixture(autouse=True)
def own_home(trained: Trained, home: Path) -> None:
    """Put a copy of the trained home where commands look."""
    shutil.copytree(trained.home, home)


@pytest.fixture
def gates(tmp_path: Path) -> Path:
    path = tmp_path / "gates.yaml"
    path.write_text(QUICK, encoding="utf-8")
    return path


def with_gold(path: Path, listings: Path, **changes: str) -> Path:
    """Write the listings with what they sell, as gold; ``changes`` are of products, by listing."""
    with listings.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["listing_id", "title", "vendor", "price", "product_ids"])
        for row in rows:
            sold = changes.get(row["offer_id"], row["product_id"])
            writer.writerow([row["offer_id"], row["title"], row["vendor"], row["price"], sold])
    return path


def test_versions_are_listed_without_what_ships(run: Run, trained: Trained) -> None:
    rows = json.loads(run("models", "list", "--format", "json").stdout)
    assert {(row["kind"], row["version"]) for row in rows} >= {
        ("ltr", trained.champion),
        ("ltr", trained.challenger),
    }
    assert {row["kind"] for row in rows} == {"ltr", "index"}
    assert "shipped" not in {row["version"] for row in rows}
    assert all(row["precision_at_1"]["n"] > 100 for row in rows if row["kind"] == "ltr")


def test_versions_are_sound_and_show_what_they_were_measured_on(run: Run, trained: Trained) -> None:
    done = run("models", "verify")
    assert done.exit_code == 0, done.output
    assert done.stdout.count("answers as on the machine that trained it".split()[0]) >= 2
    assert "embedder" not in done.stdout
    shown = run("models", "show", "challenger").stdout
    assert "on 1,000 listings made up from the catalogue" in shown
    assert trained.challenger in shown


def test_a_version_is_judged_on_gold_and_on_listings_made_up(
    run: Run, trained: Trained, gates: Path, tmp_path: Path
) -> None:
    gold = with_gold(tmp_path / "mine.csv", trained.listings, K05="C13; C14")
    done = run(
        *("models", "promote", "challenger", "--gold", gold, "--config", gates),
        *("--force", "--why", "to see it"),
    )
    assert done.exit_code == 0, done.output
    change = json.loads(run("models", "history", "--format", "json").stdout)[-1]
    sets = change["metrics"]["sets"]
    assert set(sets) == {"made_up", "mine"}
    assert sets["mine"]["candidate"]["precision_at_1"]["n"] == 12
    assert sets["mine"]["candidate"]["precision_at_1"]["value"] >= 0.75
    assert sets["mine"]["candidate"]["nil_false_match_rate"]["n"] == 6
    names = [gate["name"] for gate in change["gates"]]
    assert not any(name.startswith("hard_set") for name in names)
    back = run("models", "rollback", "--why", "seen")
    assert back.exit_code == 0, back.output
    assert f"ltr {trained.champion} serves" in back.stdout


def test_gold_of_the_home_is_taken_where_none_is_named(
    run: Run, trained: Trained, gates: Path, home: Path
) -> None:
    (home / "gold").mkdir()
    with_gold(home / "gold" / "shop.csv", trained.listings)
    judged = ("models", "promote", "challenger", "--config", gates, "--force", "--why", "x")
    done = run(*judged)
    assert done.exit_code == 0, done.output
    sets = json.loads(run("models", "history", "--format", "json").stdout)[-1]["metrics"]["sets"]
    assert set(sets) == {"made_up", "shop"}


def test_gold_of_another_catalogue_is_refused(
    run: Run, trained: Trained, gates: Path, tmp_path: Path
) -> None:
    others = {f"K{at:02}": f"X{at}" for at in range(1, 16)}
    gold = with_gold(tmp_path / "mine.csv", trained.listings, **others)
    done = run("models", "promote", "challenger", "--gold", gold, "--config", gates)
    assert done.exit_code == 1
    assert "listings of products that the catalogue lacks, such as 'X1'" in done.stderr
    twice = tmp_path / "twice.csv"
    lines = gold.read_text(encoding="utf-8").splitlines()
    twice.write_text("\n".join([*lines[:1], *(["K01,Vidda 2,,,C01"] * 2)]), encoding="utf-8")
    done = run("models", "promote", "challenger", "--gold", twice, "--config", gates)
    assert done.exit_code == 1
    assert "listing_id 'K01' stands 2 times" in done.stderr


def test_answers_that_taught_neither_version_are_measured_on(
    run: Run, gates: Path, tmp_path: Path
) -> None:
    answers = tmp_path / "answers.csv"
    answers.write_text(ANSWERS, encoding="utf-8")
    imported = run("store", "import", "annotations", answers, "--annotator", "anna")
    assert imported.exit_code == 0, imported.output
    judged = ("models", "promote", "challenger", "--config", gates, "--force", "--why", "x")
    assert run(*judged).exit_code == 0
    sets = json.loads(run("models", "history", "--format", "json").stdout)[-1]["metrics"]["sets"]
    assert set(sets) == {"made_up", "annotations"}
    figures = sets["annotations"]["candidate"]
    assert figures["precision_at_1"]["n"] == 2  # the unsure answer says nothing
    assert figures["nil_false_match_rate"]["n"] == 1
    taught = run("train-ltr", "--scale", "0.1")
    assert taught.exit_code == 0, taught.output
    run(*judged)
    sets = json.loads(run("models", "history", "--format", "json").stdout)[-1]["metrics"]["sets"]
    assert set(sets) == {"made_up"}


def test_a_model_of_cards_does_not_serve_a_catalogue(run: Run) -> None:
    done = run("models", "rollback", "--to", "shipped")
    assert done.exit_code == 1
    assert "no model is trained over this catalogue yet" in done.stderr


def test_versions_are_compared_in_the_catalogue_s_columns(
    run: Run, trained: Trained, tmp_path: Path
) -> None:
    gold, out = with_gold(tmp_path / "mine.csv", trained.listings), tmp_path / "changed.parquet"
    asked = ("models", "compare", "champion", "challenger", "--listings", trained.listings)
    done = run(*asked, "--gold", gold, "--out", out, "--samples", 50)
    assert done.exit_code == 0, done.output
    assert "product id" in done.stdout
    assert "18 judged" in done.stdout
    columns = pq.read_schema(out).names
    assert columns[4:8] == ["a_decision", "a_product_id", "a_name", "a_best_guess"]
    report = json.loads(run(*asked, "--format", "json").stdout)
    assert set(report["agreement"]) == {"decision", "model", "product_id"}
    assert report["judged"] == 0  # nobody has answered anything


def test_a_split_logs_what_both_versions_answer(
    run: Run, trained: Trained, home: Path, tmp_path: Path
) -> None:
    out = tmp_path / "answers.parquet"
    done = run(
        *("models", "ab", trained.listings, out, "--challenger", "challenger", "--log-both"),
    )
    assert done.exit_code == 0, done.output
    rows = pq.read_table(out).to_pylist()
    assert {row["model_version"] for row in rows} <= {trained.champion, trained.challenger}
    assert [row["listing_id"] for row in rows] == [row["offer_id"] for row in rows]
    with Store(Workspace(home).store_path).reading() as session:
        logged = session.rows("test", "SELECT listing_id, gpu_id, model FROM traffic_decisions")
    assert len(logged) == 36
    sold = {(key, name) for _, key, name in logged if key is not None}
    assert all(key.startswith("C") and name for key, name in sold)


def test_a_canary_serves_a_catalogue(run: Run, trained: Trained, tmp_path: Path) -> None:
    assert run("models", "canary", "start", "challenger").exit_code == 0
    done = run("models", "canary", "run", trained.listings, tmp_path / "answers.parquet")
    assert done.exit_code == 0, done.output
    assert pq.read_table(tmp_path / "answers.parquet").num_rows == 18


def test_a_feed_is_compared_with_that_of_the_training(
    run: Run, trained: Trained, tmp_path: Path
) -> None:
    done = run("monitor", trained.listings, "--format", "json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    names = [each["measure"] for each in report["measures"]]
    assert names == ["decision", "margin", "probability", "unknown words", "variant stated"]
    assert not report["moved"]


def test_goods_of_another_kind_move_words_and_answers(run: Run, tmp_path: Path) -> None:
    for name, title in (("old", "Lumo Firefly 400 Headlamp"), ("new", "Bücherregal Eiche")):
        rows = [f"K{at},{title} {at},," for at in range(300)]
        text = "\n".join(["listing_id,title,vendor,price", *rows])
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    files = tmp_path / "new.csv", "--reference", tmp_path / "old.csv"
    moved = json.loads(run("monitor", *files, "--format", "json").stdout)
    levels = {each["measure"]: each["moved"] for each in moved["measures"]}
    assert levels["unknown words"] == "strongly"
    assert moved["advice"][0].startswith("The answers moved")


def test_resolved_files_are_compared_as_they_are(
    run: Run, trained: Trained, tmp_path: Path
) -> None:
    out = tmp_path / "resolved.parquet"
    assert run("score", trained.listings, out).exit_code == 0
    done = run("monitor", out, "--reference", out)
    assert done.exit_code == 0, done.output
    assert "resolving it first" not in done.stderr
    assert "variant stated" in done.stdout
