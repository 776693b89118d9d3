"""`rerank review`: what is asked, what is saved and taken back; the pages without a browser."""

from __future__ import annotations

import re
import signal
import subprocess
import urllib.parse
import urllib.request
from contextlib import contextmanager

import processes
import pytest
from review_home import NASTY, PHOTO, TITLES, Notebook, answers, filled_home

from bench.pictures import service_of
from rerank.annotation.queue import QueueItem
from rerank.index.errors import InputError
from rerank.index.records import Listing
from rerank.jobs.annotation.asking import AnswerBook, Queue, QueueKind, prepare, take_in
from rerank.jobs.annotation.session import AnswerSession, Given, Leases
from rerank.jobs.service.access import Role, new_key
from rerank.jobs.service.app import application
from rerank.packs.gpu.choices import GpuChoices
from rerank.resolution import Decision, Resolution, ScoredCandidate
from rerank.store.database import Store
from rerank.store.importing import OnConflict
from rerank.store.rows import Annotation, Verdict, read_links, save_annotations
from rerank.verdicts import open_verdicts
from rerank.workspace import Workspace, open_source

ANY = QueueKind.UNCERTAIN
CARD = "geforce-rtx-4060-8gb-gddr6"
TI = "geforce-rtx-4060-ti-8gb-gddr6"


def item(key, title):
    shown = tuple(
        ScoredCandidate(gpu_id, model, 8.0, "PCIe", 0.5, 1.0, 0.5, 1.0)
        for gpu_id, model in ((TI, "GeForce RTX 4060 Ti"), (CARD, "GeForce RTX 4060"))
    )
    answer = Resolution(
        *(TI, "GeForce RTX 4060 Ti", 8.0, "PCIe", "GeForce RTX 4060 Ti", 0.5, False, 1.0, 0.0),
        *(Decision.REVIEW, "why", shown, "model-1", "index-1"),
    )
    return QueueItem(Listing(key, title), "", answer, ())


@pytest.fixture
def desk(tiny_retriever):
    """A session of three listings, its clock, and what it wrote."""

    class Desk(Notebook):
        now, ticks = 0.0, 0

        def clock(self):
            self.ticks += 1
            return self.now + self.ticks / 1000

    made = Desk()
    leases = Leases(lease_s=60, clock=made.clock)
    made.session = AnswerSession(GpuChoices(tiny_retriever), made, top_k=5, leases=leases)
    items = [item("a", "rtx 4060 blue"), item("b", "rtx 4060 red"), item("c", "rtx 4060 green")]
    alike = [*items, item("a2", "RTX-4060 blue, 123456"), item("z", "arc a770")]
    made.session.open("anna", ANY, Queue(items, 0, 0, 3, unanswered=alike))
    return made


def shown(desk, person, kind=ANY):
    question = desk.session.ask(person, kind)
    return None if question is None else question.listing.listing_id


def match(desk, key=CARD, **own):
    return Given(Verdict.MATCH, desk.session.choices.of(key), **own)


def test_two_people_are_never_asked_the_same(desk):
    assert shown(desk, "anna") == shown(desk, "anna") == "a"
    assert shown(desk, "ben") == "b"
    desk.session.answer("anna", ANY, "a", Given(Verdict.UNSURE))
    assert shown(desk, "anna") == "c"
    assert shown(desk, "cleo") is None
    desk.session.answer("ben", ANY, "b", Given(Verdict.NOT_GPU))
    assert shown(desk, "ben") is None
    assert desk.session.progress("cleo", ANY) == (2, 3, 2)


def test_what_somebody_leaves_is_asked_again_after_a_while(desk):
    assert (shown(desk, "anna"), shown(desk, "ben")) == ("a", "b")
    desk.now = 61.0
    assert shown(desk, "cleo") == "a"
    desk.session.skip("ben", ANY, "b")
    assert shown(desk, "dora") == "b"


def test_another_queue_gives_back_what_was_shown(desk):
    desk.session.open("anna", QueueKind.REVIEW, Queue([item("r", "rtx 4060 review")], 0, 0, 1))
    assert shown(desk, "anna") == "a"
    assert shown(desk, "anna", QueueKind.REVIEW) == "r"
    assert shown(desk, "ben") == "a"


def test_what_was_answered_in_one_queue_is_settled_in_another(desk):
    desk.session.answer("anna", ANY, shown(desk, "anna"), Given(Verdict.UNSURE))
    disputed = Queue([item("a", "rtx 4060 blue")], 0, 0, 1)
    desk.session.open("anna", QueueKind.DISPUTES, disputed)
    assert shown(desk, "anna", QueueKind.DISPUTES) == "a"
    desk.session.answer("anna", QueueKind.DISPUTES, "a", match(desk))
    assert set(desk.stored) == {("a", "anna"), ("a", "adjudicator")}
    desk.session.undo("anna", QueueKind.DISPUTES)
    assert set(desk.stored) == {("a", "anna")}
    assert desk.session.undo("anna", QueueKind.DISPUTES) == ""


def test_an_answer_given_while_a_queue_is_made_is_not_asked_again(desk):
    since = desk.session.now()
    shown(desk, "anna")
    desk.session.answer("anna", ANY, "a", Given(Verdict.UNSURE))
    again = Queue([item("a", "rtx 4060 blue"), item("b", "rtx 4060 red")], 0, 0, 2)
    desk.session.open("ben", ANY, again, since=since)
    assert shown(desk, "ben") == "b"


def test_what_was_skipped_is_asked_again_with_the_next_queue(desk):
    assert shown(desk, "anna") == "a"
    desk.session.skip("anna", ANY, "a")
    assert shown(desk, "anna") == "b"
    desk.session.open("anna", ANY, Queue([item("a", "rtx 4060 blue")], 0, 0, 1))
    assert shown(desk, "anna") == "a"


def test_an_answer_in_one_queue_is_not_asked_in_another(desk):
    desk.session.open("anna", QueueKind.REVIEW, Queue([item("a", "rtx 4060 blue")], 0, 0, 1))
    shown(desk, "ben")
    desk.session.answer("ben", ANY, "a", Given(Verdict.UNSURE))
    assert shown(desk, "anna", QueueKind.REVIEW) is None


def test_a_model_whose_variant_is_unknown(desk):
    shown(desk, "anna")
    words = desk.session.answer("anna", ANY, "a", match(desk, any_variant=True, note="n"))
    assert words == "GeForce RTX 4060, memory unknown"
    saved = desk.stored["a", "anna"]
    assert (saved.verdict, saved.gpu_id, saved.model) == (Verdict.MATCH, None, "GeForce RTX 4060")
    assert (saved.note, saved.shown, saved.model_version) == ("n", (TI, CARD), "model-1")


def test_undo_takes_an_answer_back_and_asks_again(desk):
    assert desk.session.undo("anna", ANY) == ""
    shown(desk, "anna")
    desk.session.answer("anna", ANY, "a", match(desk))
    shown(desk, "anna")
    desk.session.answer("anna", ANY, "b", Given(Verdict.UNSURE))
    assert desk.session.undo("anna", ANY) == "unsure"
    assert (list(desk.stored), shown(desk, "anna")) == ([("a", "anna")], "b")
    assert shown(desk, "ben") == "c"
    assert desk.session.undo("anna", ANY) == "GeForce RTX 4060 8 GB GDDR6 PCIe"
    assert (desk.stored, shown(desk, "anna")) == ({}, "a")
    assert desk.session.undo("anna", ANY) == ""


def test_undo_of_a_changed_answer_brings_the_first_one_back(desk):
    shown(desk, "anna")
    desk.session.answer("anna", ANY, "a", match(desk))
    assert desk.session.back("anna", ANY)
    assert desk.session.ask("anna", ANY).answer == "GeForce RTX 4060 8 GB GDDR6 PCIe"
    desk.session.answer("anna", ANY, "a", Given(Verdict.NOT_GPU))
    assert shown(desk, "anna") == "b"
    desk.session.undo("anna", ANY)
    assert desk.stored["a", "anna"].gpu_id == CARD
    assert desk.session.ask("anna", ANY).answer == "GeForce RTX 4060 8 GB GDDR6 PCIe"
    assert not desk.session.back("anna", ANY)


def test_one_answer_for_what_looks_the_same(desk):
    question = desk.session.ask("anna", ANY)
    assert [(each.listing.listing_id, each.same) for each in question.alike] == [("a2", True)]
    with pytest.raises(InputError, match="'z' is not like 'a'"):
        desk.session.answer("anna", ANY, "a", match(desk), also=["z"])
    assert desk.stored == {}
    desk.session.answer("anna", ANY, "a", match(desk), also=["a2"])
    assert {key: each.gpu_id for (key, _), each in desk.stored.items()} == {"a": CARD, "a2": CARD}
    desk.session.undo("anna", ANY)
    assert desk.stored == {}
    with pytest.raises(InputError, match="'q' is not asked about"):
        desk.session.answer("anna", ANY, "q", match(desk))


def test_a_store_that_is_busy_keeps_the_question(desk):
    class Busy:
        def save(self, *given):
            raise InputError("busy")

        undo = save

    shown(desk, "anna")
    with pytest.raises(InputError, match="busy"):
        desk.session.answer("anna", ANY, "a", match(desk), book=Busy())
    assert (shown(desk, "anna"), desk.stored) == ("a", {})
    desk.session.answer("anna", ANY, "a", match(desk))
    with pytest.raises(InputError, match="busy"):
        desk.session.undo("anna", ANY, book=Busy())
    assert list(desk.stored) == [("a", "anna")]


@pytest.fixture(scope="module")
def annotated(tmp_path_factory):
    """A workspace in which three people have said something."""
    home = filled_home(tmp_path_factory.mktemp("annotated"))
    rtx = {"gpu_id": "geforce-rtx-3080-10gb-gddr6x", "model": "GeForce RTX 3080"}
    given = [
        Annotation("t1", "ben", Verdict.MATCH, **rtx),
        Annotation("t2", "ben", Verdict.MATCH, **rtx),
        Annotation("t3", "ben", Verdict.NONE_OF_THESE),
        Annotation("t3", "cleo", Verdict.NOT_GPU),
        Annotation("t6", "anna", Verdict.UNSURE),
    ]
    with Store(home / "store.duckdb").writing() as session:
        save_annotations(session, given)
    return home


@pytest.fixture(scope="module")
def asked_in(annotated):
    """Return a function that makes a queue of it."""
    workspace = Workspace(annotated)
    store, opened = Store(workspace.store_path), open_source(workspace)

    def asked(kind, person="anna", **own):
        made = prepare(workspace, store, person, kind=kind, seed=1, opened=opened, **own)
        asked.choices = made[1]
        return made[0]

    return asked


def test_queues_of_what_was_answered(asked_in):
    def ids(kind, **own):
        return {each.listing.listing_id for each in asked_in(kind, **own).items}

    assert ids(QueueKind.SECOND) == {"t1", "t2"}
    assert ids(QueueKind.SECOND, person="ben") == {"t6"}
    assert ids(QueueKind.SECOND, listing_ids=["t2", "t9"]) == {"t2"}
    disputes = asked_in(QueueKind.DISPUTES)
    assert [each.listing.listing_id for each in disputes.items] == ["t3"]
    assert [each.annotator for each in disputes.said["t3"]] == ["ben", "cleo"]
    suspects = asked_in(QueueKind.SUSPECTS)
    assert "t2" in suspects.suggested
    assert suspects.suggested["t2"].startswith("no match, probability")
    assert "t1" not in suspects.suggested
    mine = ids(QueueKind.RANDOM)
    assert mine & {"t1", "t2"}
    assert not ids(QueueKind.RANDOM, shared=True) & {"t1", "t2", "t3", "t6"}
    held = asked_in(QueueKind.REVIEW, shared=True)
    assert {each.resolution.decision for each in held.items} <= {Decision.REVIEW}


def test_a_second_opinion_is_blind_and_a_dispute_is_settled(asked_in):
    queue, saved = asked_in(QueueKind.SECOND), []
    session = AnswerSession(asked_in.choices, Notebook(saved.append), top_k=5)
    session.open("anna", QueueKind.SECOND, queue)
    question = session.ask("anna", QueueKind.SECOND)
    assert (question.blind, question.shares, question.said) == (True, (), ())
    names = [choice.name for choice in question.choices]
    assert names == sorted(names)
    session.open("anna", QueueKind.DISPUTES, asked_in(QueueKind.DISPUTES))
    question = session.ask("anna", QueueKind.DISPUTES)
    assert question.said == (("ben", "none of these"), ("cleo", "not a GPU"))
    session.answer("anna", QueueKind.DISPUTES, "t3", Given(Verdict.NOT_GPU, note="see photo"))
    (settled,) = saved
    assert (settled.annotator, settled.note) == ("adjudicator", "anna: see photo")


def test_a_file_brings_links_and_its_decisions_choose(home, write_listings):
    rows = [
        {
            "listing_id": f"q{at}",
            "title": f"rtx 30{at}0",
            "decision": said,
            "url": url,
            "image": pic,
        }
        for at, (said, url, pic) in enumerate(
            [
                ("review", "https://e.org/1", ""),
                ("match", "", "http://e.org/p"),
                ("review", "x", "y"),
            ]
        )
    ]
    path, store = write_listings("scored.csv", rows), Store(home / "store.duckdb")
    taken = take_in(
        Workspace(home), store, path, on_conflict=OnConflict.REFUSE, decision=Decision.REVIEW
    )
    assert taken == ["q0", "q2"]
    with store.reading() as session:
        assert read_links(session, ["q0", "q1", "q2"]) == {
            "q0": ("https://e.org/1", ""),
            "q1": ("", "http://e.org/p"),
        }
    bare = write_listings("bare.csv", [{"listing_id": "b", "title": "rtx 3080"}])
    with pytest.raises(InputError, match="expected a column 'decision'"):
        take_in(
            Workspace(home), store, bare, on_conflict=OnConflict.REFUSE, decision=Decision.MATCH
        )


def test_two_processes_never_ask_the_same(tmp_path, tiny_retriever):
    path, book = tmp_path / "home" / "leases.json", Notebook()
    queue = Queue([item(key, f"rtx 4060 {key}") for key in "abc"], 0, 0, 3)
    one, other = (
        AnswerSession(GpuChoices(tiny_retriever), book, top_k=5, leases=Leases(path))
        for _ in range(2)
    )
    for session, person in ((one, "anna"), (other, "ben"), (other, "cleo")):
        session.open(person, ANY, queue)
    asked = [each.ask(who, ANY) for each, who in ((one, "anna"), (other, "ben"), (one, "anna"))]
    assert [each.listing.listing_id for each in asked] == ["a", "b", "a"]
    one.answer("anna", ANY, "a", Given(Verdict.UNSURE))
    assert other.ask("cleo", ANY).listing.listing_id == "c"
    assert (one.ask("anna", ANY), other.progress("cleo", ANY)) == (None, (1, 3, 1))
    other.skip("cleo", ANY, "c")
    assert one.ask("anna", ANY).listing.listing_id == "c"
    again = AnswerSession(GpuChoices(tiny_retriever), book, top_k=5, leases=Leases(path))
    again.open("anna", ANY, queue)  # after a restart
    assert again.undo("anna", ANY) == "unsure"
    assert again.ask("anna", ANY).listing.listing_id == "a"
    path.write_text("[")  # damaged: nobody is asked about anything
    assert other.ask("cleo", ANY) is None or other.ask("cleo", ANY).listing.listing_id in "abc"


def test_an_act_is_taken_back_and_what_was_changed_since_stays(run, home):
    book, store = AnswerBook(Store(home / "store.duckdb")), Store(home / "store.duckdb")
    first = [Annotation(key, "anna", Verdict.UNSURE, note="n") for key in "xy"]
    book.save("anna", ANY, first)
    book.save("anna", QueueKind.DISPUTES, [Annotation("x", "anna", Verdict.NOT_GPU)])
    with store.writing() as session:
        save_annotations(session, [Annotation("y", "anna", Verdict.SEVERAL)])
    ((taken, again),) = book.undo("anna", QueueKind.DISPUTES)
    assert (taken.verdict, again.verdict, again.note) == (Verdict.NOT_GPU, Verdict.UNSURE, "n")
    assert book.undo("anna", QueueKind.DISPUTES) == book.undo("ben", ANY) == []
    result = run("annotations", "undo", "--annotator", "anna")
    assert result.stdout == "x: unsure taken back, now it has no answer\n"
    assert {key: each.verdict for (key, _), each in answers(home).items()} == {"y": Verdict.SEVERAL}
    result = run("annotations", "undo", "--annotator", "anna")
    assert "expected an answer of 'anna' to take back, found none" in result.output
    assert result.exit_code == 1


@contextmanager
def client_of(home, **own):
    from starlette.testclient import TestClient

    app = application(service_of(home, **own))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    home = filled_home(tmp_path_factory.mktemp("reviewed"))
    with client_of(home, person="anna") as client:
        client.home = home
        yield client


def listing_in(page):
    return re.search(r'name="listing" value="([^"]*)"', page).group(1)


def press(client, do, **more):
    """Press a button of the page that is shown, and return the next page."""
    page = client.get("/review").text
    sent = {"queue": "uncertain", "listing": listing_in(page), "do": do, **more}
    return client.post("/review", data=sent).text


def until(client, key):
    """Skip until a listing is shown."""
    for _ in TITLES:
        page = client.get("/review").text
        if listing_in(page) == key:
            return page
        press(client, "skip")
    raise AssertionError(key)


def test_a_page_shows_a_listing_and_keeps_to_itself(client):
    answer = client.get("/review?queue=uncertain")
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self'; img-src 'self'; ")
    assert not re.search(
        r'(src|href)="(https?:)?//', answer.text.replace("https://example.org", "")
    )
    for label in ("none of these", "not a GPU", "several cards", "unsure", ", memory unknown"):
        assert label in answer.text
    for name, kind in (("pages.css", "text/css"), ("pages.js", "text/javascript")):
        assert client.get(f"/assets/{name}").headers["content-type"].startswith(kind)
    assert client.get("/assets/../pages.py").status_code == 404
    assert not {path for path in client.get("/openapi.json").json()["paths"] if "review" in path}


def test_what_sellers_write_is_escaped(client):
    page = until(client, "t9")
    assert "<script>document" not in page
    assert "&lt;script&gt;document.title=&#39;owned&#39;" in page
    assert "<b>V</b>" not in page
    assert not set(page) & set("\x1b\x07\u202e")
    tried = client.get("/try", params={"title": NASTY, "vendor": "<i>"}).text
    assert "<script>document" not in tried
    assert "<i>" not in tried
    found = client.get("/review/search", params={"q": "<script>"}).text
    assert "<script>" not in found


def test_a_photo_is_loaded_only_where_it_is_asked_for(client):
    page = until(client, "t6")
    assert PHOTO not in page
    assert 'rel="noreferrer noopener"' in page
    assert "https://example.org/6?a=1&amp;b=2" in page
    shown = client.get("/review?photo=1")
    assert f'src="{PHOTO}"' in shown.text
    assert "img-src 'self' https://photos.example.org;" in shown.headers["content-security-policy"]


def test_answers_are_saved_stand_and_are_taken_back(client):
    until(client, "t6")
    page = press(client, "key:geforce-rtx-4060-ti-16gb-gddr6", note=" seen ")
    assert "Saved: GeForce RTX 4060 Ti 16 GB GDDR6 PCIe" in page
    saved = answers(client.home)["t6", "anna"]
    assert (saved.gpu_id, saved.note) == ("geforce-rtx-4060-ti-16gb-gddr6", "seen")
    snapshot = open_verdicts(Workspace(client.home))
    hits = snapshot.of([Listing("other", TITLES["t6"].lower(), "<b>V</b>")])
    assert snapshot.rows(hits.row)[0]["key"] == "geforce-rtx-4060-ti-16gb-gddr6"
    page = client.post("/review", data={"queue": "uncertain", "do": "undo"}).text
    assert ("Taken back: GeForce RTX 4060 Ti 16 GB" in page, listing_in(page)) == (True, "t6")
    assert answers(client.home) == {}


def test_a_group_is_answered_after_it_was_seen(client):
    page = until(client, "t6")
    assert set(re.findall(r'name="also:([^"]*)"', page)) == {"t7", "t8"}
    press(client, "several", **{"also:t7": "1", "also:t8": "1"})
    saved = answers(client.home)
    assert {(key, each.verdict, each.note) for (key, _), each in saved.items()} == {
        (key, Verdict.SEVERAL, "") for key in ("t6", "t7", "t8")
    }
    client.post("/review", data={"queue": "uncertain", "do": "undo"})
    assert answers(client.home) == {}


def test_moving_without_an_answer(client):
    first = listing_in(client.get("/review").text)
    assert "Choose what it sells" in press(client, "")
    second = listing_in(press(client, "skip"))
    page = client.post("/review", data={"queue": "uncertain", "do": "back"}).text
    assert (listing_in(page), second != first) == (first, True)
    client.post("/review", data={"queue": "uncertain", "do": "skip", "listing": first})


def test_other_pages(client):
    assert "Nothing waits in this queue." in client.get("/review?queue=disputes").text
    client.get("/review?queue=uncertain")
    assert "Nobody has answered yet" in client.get("/review/progress").text
    found = client.get("/review/search", params={"q": "a770 16"}).text
    assert "arc-a770-16gb-gddr6" in found
    assert "Nothing found" in client.get("/review/search", params={"q": "zzzz"}).text
    assert 'id="found"' in client.get("/review", params={"q": "a770"}).text


def test_trying_a_title(client):
    page = client.get("/try", params={"title": "Zotac Twin Edge RTX4060Ti OC"}).text
    assert "<b>match</b> GeForce RTX 4060 Ti 8 GB PCIe" in page
    told = re.sub(r"<[^>]*>", "", page)
    assert re.search(r"without RTX4060Ti\s+(no match|review)", told)
    assert re.search(r"with 16GB\s+match GeForce RTX 4060 Ti 16 GB", told)
    assert "Why it comes before" in told
    part = client.get("/try", params={"title": "RTX 3080 box only", "part": "1"}).text
    assert ("no match" in part, "<html" in part) == (True, False)
    assert client.get("/try", params={"title": " \x00\ud7ff "}).status_code == 200
    assert client.get("/try", params={"title": "x" * 20_000}).status_code == 200


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        ({"queue": "none"}, 422, "queue: expected one of"),
        ({"queue": "random", "do": "key:nothing", "listing": "t1"}, 422, "registry has no"),
        ({"queue": "random", "do": "sell", "listing": "t1"}, 422, "do: expected an answer"),
        ({"queue": "random", "do": "none", "listing": "zz"}, 422, "is not asked about"),
        ({"queue": "random", "do": "none", "listing": "t1", "also:t2": "1"}, 422, "is not like"),
        ({"queue": "random", "do": "none", "listing": "t1", "note": "x" * 1001}, 422, "note"),
    ],
)
def test_odd_answers_are_told_as_json(client, sent, status, said):
    answer = client.post("/review", data=sent)
    assert (answer.status_code, said in answer.json()["error"]) == (status, True), answer.text
    assert answers(client.home) == {}


def test_odd_requests_are_told_as_json(client):
    for body, media, status in (
        (b"{}", "application/json", 415),
        (b"do=%", "application/x-www-form-urlencoded", 422),
        (b"\xff", "application/x-www-form-urlencoded", 400),
        (b"a=1&" * 200, "application/x-www-form-urlencoded", 400),
    ):
        answer = client.post("/review", content=body, headers={"content-type": media})
        assert answer.status_code == status
        assert "Traceback" not in answer.json()["error"]
    assert client.get("/review?queue=x").status_code == 422
    assert client.get("/review", headers={"cookie": "\x01;=;;rerank_person=%ff"}).status_code == 200


def test_a_page_of_another_site_cannot_answer(client):
    sent = {"queue": "uncertain", "do": "none", "listing": "t1"}
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        answer = client.post("/review", data=sent, headers=headers)
        assert (answer.status_code, answer.json()["error"][:22]) == (403, "a page of another site")
    assert client.get("/review", headers={"host": "evil.example"}).status_code == 403


def test_two_reviewers_at_once_by_name(client):
    client.get("/review?queue=uncertain")
    seen = {}
    for name in ("ben", "Müller, Ö"):
        client.cookies.clear()
        answer = client.post("/review/person", data={"name": name})
        assert name in answer.text
        seen[name] = listing_in(client.get("/review?queue=uncertain").text)
    client.cookies.clear()
    assert len({*seen.values(), listing_in(client.get("/review").text)}) == 3
    assert client.post("/review/person", data={"name": "\x1b"}).status_code == 422


def test_keys_open_the_pages(tmp_path):
    home = filled_home(tmp_path)
    judge, _ = new_key(home / "serve-keys.json", "ben", Role.JUDGE)
    read, _ = new_key(home / "serve-keys.json", "shop", Role.READ)
    with client_of(home) as client:
        door = client.get("/review")
        assert (door.status_code, "Your key" in door.text) == (401, True)
        assert client.post("/review", data={"queue": "uncertain"}).status_code == 401
        wrong = client.post("/review/person", data={"key": "rr_guess"})
        assert (wrong.status_code, "not known" in wrong.text) == (401, True)
        page = client.post("/review/person", data={"key": judge})
        assert "ben" in page.text
        assert press(client, "none").count("Saved: none of these") == 1
        assert {who for _, who in answers(home)} == {"ben"}
        client.cookies.clear()
        client.post("/review/person", data={"key": read})
        assert client.get("/review").status_code == 403
        assert client.get("/try?title=rtx").status_code == 200
        own = {"Authorization": f"Bearer {judge}"}
        client.cookies.clear()
        assert client.get("/review", headers=own).status_code == 200


def test_nothing_that_was_answered_is_lost_by_a_kill(tmp_path):
    home = filled_home(tmp_path)
    started = processes.started(
        home,
        "review",
        "--port",
        0,
        "--annotator",
        "anna",
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = started.stdout.readline().strip()
        with urllib.request.urlopen(url) as page:
            key = listing_in(page.read().decode())
        sent = {"queue": "uncertain", "listing": key, "do": "unsure"}
        body = urllib.parse.urlencode(sent).encode()
        with urllib.request.urlopen(url, body) as page:
            assert "Saved: unsure" in page.read().decode()
    finally:
        started.send_signal(signal.SIGKILL)
        started.wait()
        started.stdout.close()
    assert list(answers(home)) == [(key, "anna")]
