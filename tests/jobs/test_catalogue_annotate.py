"""Asking people about listings of any catalogue: what they see, choose and import."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from small_catalogue import CatalogueHome, build_catalogue_home

from rerank.annotation.queue import QueueItem
from rerank.domain import Choices, domain_named
from rerank.index.errors import FaultsError, InputError
from rerank.index.records import Listing
from rerank.jobs.annotation.asking import Queue, take_in
from rerank.jobs.annotation.dialogue import Dialogue, Key, summary
from rerank.jobs.annotation.screen import Screen, Size
from rerank.jobs.files.store_files import Contents, import_file
from rerank.packs.generic.measuring import labels_of
from rerank.packs.generic.pack_data import read_pack
from rerank.packs.generic.product_answers import ProductCandidate, ProductResolution
from rerank.packs.generic.source import ProductSource
from rerank.resolution import Decision
from rerank.store.database import Store
from rerank.store.importing import OnConflict
from rerank.store.names import KnownNames
from rerank.store.rows import Annotation, Verdict, read_annotations, read_listings
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
    talk = asked(choices, saved.append, 4)
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
