"""Commands on a catalogue of any goods: asking, importing, measuring, and those that refuse."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from review_home import Notebook
from small_catalogue import CatalogueHome, build_catalogue_home

from bench.pictures import service_of
from rerank.annotation.queue import QueueItem
from rerank.domain import Choices, domain_named
from rerank.index.errors import FaultsError, InputError
from rerank.index.records import Listing
from rerank.jobs.annotation.asking import AnswerBook, Queue, QueueKind, prepare, take_in
from rerank.jobs.annotation.dialogue import Dialogue, Key, Screen, Size, summary
from rerank.jobs.cli import main
from rerank.jobs.files.store_files import Contents, import_file
from rerank.jobs.service.app import application
from rerank.packs.generic.measuring import labels_of
from rerank.packs.generic.pack_data import read_pack
from rerank.packs.generic.product_answers import ProductCandidate, ProductResolution
from rerank.packs.generic.source import ProductSource
from rerank.resolution import Decision
from rerank.store.database import Store
from rerank.store.importing import OnConflict
from rerank.store.rows import Annotation, KnownNames, Verdict, read_annotations, read_listings
from rerank.workspace import Workspace, open_source

NAME = {"C12": "Cindervale Ember 100 Gas Stove", "C13": "Cindervale Ember 300 Gas Stove"}
NAME["C14"] = "Cindervale Ember 300 Gas Stove piezo"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> CatalogueHome:
    """The index of the catalogue; tests write into copies."""
    return build_catalogue_home(tmp_path_factory.mktemp("camping"))


@pytest.fixture
def workspace(built: CatalogueHome, tmp_path: Path) -> Workspace:
    return Workspace(Path(shutil.copytree(built.home, tmp_path / "home")))


@pytest.fixture(scope="module")
def source(built: CatalogueHome) -> ProductSource:
    opened, _ = open_source(Workspace(built.home))
    assert isinstance(opened, ProductSource)
    return opened


@pytest.fixture(scope="module")
def choices(built: CatalogueHome) -> Choices:
    return domain_named("generic").choices(*open_source(Workspace(built.home)))


@pytest.fixture
def names(workspace: Workspace) -> KnownNames:
    known: KnownNames = domain_named("generic").names(workspace.index_folder).names
    return known


def candidates(*keys: str) -> tuple[ProductCandidate, ...]:
    return tuple(ProductCandidate(key, NAME[key], 0.5, 1.0, 0.4, 1.0, NAME[key]) for key in keys)


def test_words_of_names_and_columns_set_candidates_apart(choices: Choices) -> None:
    shown = candidates("C12", "C13", "C14")
    assert choices.apart(shown, "CINDERVALE ember 300 with piezo") == [
        "title lacks 100; unexplained 300 piezo; weight_g 98; part_number CV-E100",
        "title has 300; unexplained piezo; weight_g 310; part_number CV-E300",
        "title has 300 piezo; weight_g 330; part_number CV-E301",
    ]
    assert choices.apart(candidates("C13"), "ember 300") == [""]
    assert choices.apart((), "ember 300") == []


def test_products_are_found_by_the_beginnings_of_words_ids_and_part_numbers(
    choices: Choices,
) -> None:
    def found(query: str) -> list[str]:
        return [each.key for each in choices.search(query, 9).best]

    assert found("ember 300") == ["C13", "C14"]
    assert found("EMB 30 pie") == ["C14"]
    assert found("c07") == ["C07"]
    assert found("lu-f4rb") == found("LUF4RB") == ["C21"]
    assert found("  ") == found("ember zzzz") == found("") == []
    many = choices.search("tent", 3)
    assert ([each.key for each in many.best], many.total) == (["C08", "C09", "C01"], 11)


def test_products_of_a_catalogue_are_made_one_by_one(source: ProductSource) -> None:
    records = source.table.records
    assert len(records) == len(list(records)) == 30
    assert records[1] == records[:2][1] == ("C02", records[1].name, "Norrfjell Vidda 2 Tent")
    with pytest.raises(IndexError):
        records[30]


def test_a_choice_says_name_and_id(choices: Choices) -> None:
    choice = choices.of("C09")
    assert (choice.key, choice.model) == ("C09", "Karwendel Biwak 2 Tent")
    assert choice.name == "Karwendel Biwak 2 Tent (C09)"
    assert choice.cells == "C09"


def test_names_are_ids_and_exact_names(names: KnownNames) -> None:
    assert names.find("C20").gpu_id == "C20"
    assert names.find(" lumo  FIREFLY 400 headlamp blue ").gpu_id == "C20"
    found = names.find("Norrfjell Vidda 2 Tent")
    assert (found.gpu_id, found.model) == (None, "Norrfjell Vidda 2 Tent")
    assert names.find_first(["Lumo Nothing", "C22"]).gpu_id == "C22"
    with pytest.raises(InputError, match="no product of the catalogue has the id or the name"):
        names.find("Firefly")
    with pytest.raises(InputError, match="no product is named"):
        names.find_first([])


class ScriptedWindow:
    """A terminal of 90 by 24 whose keys are known beforehand; ``seen`` is what it showed."""

    def __init__(self, keys: list[str | Key]) -> None:
        self.keys, self.seen, self.last = keys, list[str](), ""

    def size(self) -> Size:
        return Size(90, 24)

    def show(self, screen: Screen) -> None:
        self.last = "\n".join(line.text for line in screen.lines)

    def read(self) -> str | Key:
        self.seen.append(self.last)
        return self.keys.pop(0) if self.keys else Key.CLOSED

    def forget(self) -> None:
        pass


def asked(choices: Choices, save: Callable[[Annotation], None], n: int) -> Dialogue:
    answer = ProductResolution(
        "C13",
        NAME["C13"],
        {},
        NAME["C13"],
        0.4,
        True,
        1.0,
        0.1,
        Decision.REVIEW,
        "code agrees",
        candidates("C13", "C14", "C12"),
        "model-1",
        "index-1",
    )
    items = [QueueItem(Listing(str(at), f"Ember 300 no. {at}"), "", answer, ()) for at in range(n)]
    return Dialogue(
        Queue(items, 0, 0, n), choices, save, annotator="anna", top_k=5, label="queue: x"
    )


def test_a_dialogue_uses_the_catalogues_own_words(choices: Choices) -> None:
    saved: list[Annotation] = []
    window = ScriptedWindow(["?", "z", "2", "n", "x", "u", "b", "/", *"lu f4r", Key.ENTER, "1"])
    talk = asked(choices, Notebook(saved.append), 4)
    talk.run(window)
    assert [(one.listing_id, one.verdict.value, one.gpu_id) for one in saved] == [
        ("0", "match", "C14"),
        ("1", "none_of_these", None),
        ("2", "not_gpu", None),
        ("3", "unsure", None),
        ("3", "match", "C21"),
    ]
    assert saved[0].shown == ("C13", "C14", "C12")
    assert saved[0].model == NAME["C14"]
    text = "\n".join(window.seen)
    assert "n    none of these: a product, but not in the catalogue (search first)" in text
    assert "x    not such goods: an accessory, a spare part" in text
    assert "Search the catalogue" in text
    assert "saved: not such goods" in text
    assert "1 Cindervale Ember 300 Gas Stove" in text
    assert not any(word in text for word in ("GPU", "registry", "memory", "form factor"))
    assert summary(talk.counts, choices.words, 4, None) == (
        "answered 4 (2 match, 1 none of these, 1 not such goods), nothing left to ask"
    )


def test_a_feed_is_taken_in_by_the_columns_that_are_seen(
    workspace: Workspace, built: CatalogueHome
) -> None:
    store = Store(workspace.store_path)
    ids = take_in(workspace, store, built.listings, on_conflict=OnConflict.REFUSE)
    assert ids[:2] == ["K01", "K02"]
    with store.reading() as session:
        first = read_listings(session, ["K01"])[0].listing
    assert (first.title, first.vendor, first.price) == (
        "Vidda 2 Zelt Norrfjell grün",
        "zeltkiste",
        279.0,
    )


def imported(workspace: Workspace, folder: Path, text: str) -> list[Annotation]:
    path = folder / "answers.csv"
    path.write_text(text, encoding="utf-8")
    import_file(
        workspace,
        path,
        Contents.ANNOTATIONS,
        annotator="anna",
        on_conflict=OnConflict.REFUSE,
        wait_s=0,
    )
    with Store(workspace.store_path).reading() as session:
        return read_annotations(session)


ANSWERS = """\
listing_id,title,verdict,product_id
1,Ember 300,match,C13
2,Beacon 9,match,brightwell beacon 9 lantern
3,Vidda 2,match,Norrfjell Vidda 2 Tent
4,Gas cartridge,not_gpu,
5,Vidda 9,none_of_these,
6,a tent,unsure,
"""


def test_answers_are_imported_by_ids_and_names_and_teach(
    workspace: Workspace, tmp_path: Path, source: ProductSource
) -> None:
    found = imported(workspace, tmp_path, ANSWERS)
    assert [(one.gpu_id, one.model) for one in found[:3]] == [
        ("C13", NAME["C13"]),
        ("C25", "Brightwell Beacon 9 Lantern"),
        (None, "Norrfjell Vidda 2 Tent"),
    ]
    assert found[3].verdict is Verdict.NOT_GPU
    pack = read_pack("generic")
    labels = labels_of([], workspace.store_path, source.table, pack, lambda message: None)
    rows = [{source.table.records[row].product_id for row in right} for _, right in labels]
    assert rows == [{"C13"}, {"C25"}, {"C01", "C02"}, set(), set()]


def test_our_own_column_names_are_read_too(workspace: Workspace, tmp_path: Path) -> None:
    text = ANSWERS.replace("product_id", "gpu_id")
    assert [one.gpu_id for one in imported(workspace, tmp_path, text)][:2] == ["C13", "C25"]


def test_unknown_products_are_refused_and_nothing_is_written(
    workspace: Workspace, tmp_path: Path
) -> None:
    wrong = "listing_id,title,verdict,product_id\n1,x,match,C99\n2,y,match,\n3,z,not_gpu,C01\n"
    with pytest.raises(FaultsError) as told:
        imported(workspace, tmp_path, wrong)
    text = str(told.value)
    assert "line 2: no product of the catalogue has the id or the name 'C99'" in text
    assert "line 3: a match names no product in product_id or model" in text
    assert "line 4: names a product in product_id or model but verdict is no match" in text
    assert not workspace.store_path.exists()


def run(home: Path, *arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)], env={"RERANK_HOME": str(home)})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> CatalogueHome:
    """A home whose ranker serves; tests that write do so where no other looks."""
    made = build_catalogue_home(tmp_path_factory.mktemp("trained"))
    done = run(made.home, "train-ltr", "--scale", "0.3", "--listings", made.listings)
    assert done.exit_code == 0, done.output
    return made


FOREIGN = re.compile(r"\bGPUs?\b|\bmemory\b|\bregistry\b|graphics card")


def readable(page: str) -> str:
    """Return what a page says, without its style, script and tags."""
    text = re.sub(r"<style.*?</style>|<script.*?</script>", "", page, flags=re.DOTALL)
    return re.sub(r"<[^>]+>", " ", text)


def test_without_gold_listings_made_up_are_measured(trained: CatalogueHome) -> None:
    done = run(trained.home, "evaluate", "--bootstrap", "60", "--samples", "10")
    assert done.exit_code == 0, done.output
    assert "made_up: 60 listings" in done.stdout
    none = run(trained.home, "evaluate", "--bootstrap", "0")
    assert none.exit_code == 1
    assert "gold: expected files of listings with what they sell, found none" in none.stderr


def test_a_gold_file_of_the_home_is_measured_and_reported_in_its_words(
    trained: CatalogueHome, tmp_path: Path
) -> None:
    home = Path(shutil.copytree(trained.home, tmp_path / "home"))
    (home / "gold").mkdir()
    text = trained.listings.read_text("utf-8").replace("offer_id", "listing_id")
    (home / "gold" / "camping.csv").write_text(text, encoding="utf-8")
    done = run(home, "evaluate", "--samples", "50")
    assert done.exit_code == 0, done.output
    report = json.loads((home / "reports" / "reranker_metrics.json").read_text("utf-8"))
    found = report["sets"]["camping"]
    assert found["kinds"] == {"match": 12, "nil": 6, "ambiguous": 0}
    figures = {name: each["value"] for name, each in found["metrics"].items()}
    assert figures["precision_at_1"] >= 0.9
    assert figures["variant_at_1"] <= figures["precision_at_1"]
    assert figures["recall_at_10"] == 1
    assert 0.5 <= figures["best_f1"] <= 1
    assert found["metrics"]["ece"]["ci95"][0] is not None
    assert next(iter(found["routes"])) == "fused"
    assert found["routes"]["fused"]["recall_at_10"]["value"] == 1
    assert found["routes"]["identifiers"]["recall_at_10"]["value"] < 0.5
    assert all(each["features"] == [] for each in found["failures"])
    for words in ("precision@1, variant included", "best F1", "no-match accepted", "route words"):
        assert words in done.stdout
    page = readable((home / "reports" / "reranker_report.html").read_text("utf-8"))
    assert "sell a product of the catalogue" in page
    assert not FOREIGN.search(done.stdout)
    assert not FOREIGN.search(page)
    sizes = "SELECT count(*), count(memory_gb) FROM predictions WHERE set_name = 'camping'"
    with Store(home / "store.duckdb").reading() as session:
        assert session.rows("count answers", sizes) == [(18, 0)]


def test_a_queue_of_the_feed_is_made_and_what_is_answered_is_measured(
    trained: CatalogueHome, tmp_path: Path
) -> None:
    workspace = Workspace(Path(shutil.copytree(trained.home, tmp_path / "home")))
    store = Store(workspace.store_path)
    text = trained.listings.read_text("utf-8").replace("offer_id", "listing_id")
    feed = tmp_path / "feed.csv"
    feed.write_text(re.sub(r",[^,\n]*$", "", text, flags=re.MULTILINE), encoding="utf-8")
    ids = take_in(workspace, store, feed, on_conflict=OnConflict.REFUSE)
    queue, choices = prepare(
        workspace, store, "anna", kind=QueueKind.UNCERTAIN, seed=1, listing_ids=ids
    )
    assert len(queue.items) == len(ids) == 18
    by_id = {item.listing.listing_id: item for item in queue.items}
    assert by_id["K03"].votes == ("Karwendel Biwak 2 Tent",) * 3
    window = ScriptedWindow(["1", "2", "x", "n", "q"])
    talk = Dialogue(queue, choices, AnswerBook(store), annotator="anna", top_k=5, label="")
    talk.run(window)
    assert talk.counts.total() == 4
    done = run(workspace.home, "evaluate", "--annotations", "--samples", "20", "--format", "json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["sets"]["annotations"]["n"] == 4
    from starlette.testclient import TestClient

    app = application(service_of(workspace.home, person="ben", listing_ids=ids))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        page = client.get("/review").text
        tried = client.get("/try", params={"title": "Karwendel Biwak 2 tent green"}).text
    for words in ("several products", "not such goods", ", variant unknown", "4 of 18 answered"):
        assert words in page
    assert "Karwendel Biwak 2 Tent" in tried
    assert not FOREIGN.search(re.sub(r"<[^>]*>", "", page + tried))
    assert run(workspace.home, "annotations", "suspects").exit_code == 0
    told = run(
        workspace.home,
        *("annotations", "adjudicate", "K01", "--verdict", "match", "--product", "C01"),
    )
    assert told.stdout == "K01: Norrfjell Vidda 2 Tent (C01), said by adjudicator\n"


def test_status_says_what_a_catalogues_home_holds(
    trained: CatalogueHome, built: CatalogueHome
) -> None:
    told = run(trained.home, "status")
    assert "30 products of 26 models, pack generic" in told.stdout
    assert "LambdaRank" in told.stdout
    assert not FOREIGN.search(told.stdout)
    untrained = json.loads(run(built.home, "status", "--format", "json").stdout)
    assert untrained["index"]["products"] == 30
    assert untrained["ranker"]["name"] == "none yet: rerank train-ltr"


GOLD_OF_CARDS = "listing_id,title,vendor,kind,gold_models,gold_memory_gb,gold_form\n1,x,,nil,,,\n"


@pytest.mark.parametrize(
    "command",
    [
        "train-embedder",
        "dual-data FOLDER/dual.jsonl",
        "pairs bootstrap",
        "pairs from-annotations",
        "pairs export --format query-packs --out FOLDER/packs",
        "compare-rankers",
        "ablate",
        "simulate-queue --gold FOLDER/gold.csv",
    ],
)
def test_what_knows_cards_only_says_so_and_writes_nothing(
    command: str, built: CatalogueHome, tmp_path: Path
) -> None:
    (tmp_path / "gold.csv").write_text(GOLD_OF_CARDS, encoding="utf-8")
    before = sorted(built.home.rglob("*"))
    told = run(built.home, *command.replace("FOLDER", str(tmp_path)).split())
    assert told.exit_code == 1
    assert told.stderr.splitlines()[-1] == (
        f"Error: {built.home}: holds the catalogue of the domain 'generic'; this command works on "
        "graphics cards only"
    )
    assert sorted(built.home.rglob("*")) == before
    assert [path.name for path in tmp_path.iterdir()] == ["gold.csv"]
