from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from review_home import Notebook

from rerank.annotation.queue import QueueItem
from rerank.domain import FoundChoices
from rerank.index.records import GpuRecord, Listing
from rerank.jobs.annotation.asking import POOL, Queue, read_pool
from rerank.jobs.annotation.dialogue import (
    LEAST_HEIGHT,
    Dialogue,
    Key,
    Screen,
    Size,
    help_screen,
    question_screen,
    search_screen,
    summary,
    wrapped,
)
from rerank.jobs.annotation.session import Question
from rerank.jobs.tables import width_of
from rerank.packs.gpu.choices import Contrast, GpuChoices, choice_of, find_by_words
from rerank.resolution import Resolution, ScoredCandidate
from rerank.store.database import Store
from rerank.store.rows import (
    Annotation,
    StoredListing,
    Verdict,
    read_annotations,
    read_listings,
    save_annotations,
    save_listings,
)

ANSI = re.compile(r"\x1b\[[?\d;]*[A-Za-z]")
NASTY_TITLES = {
    "long": "Palit GeForce RTX 3080 " + "with many words " * 25,
    "one word": "X" * 400,
    "Chinese": "七彩虹 战斧 显卡 RTX 3080 全新 " * 12,
    "right to left": "كرت شاشة \u202eRTX 3080\u202c كרטיס מסך",
    "emoji": "🔥🔥 RTX 3080 👨‍👩‍👧 ❤️ brand new " * 6,
    "controls": "RTX\x1b[2J\x1b]0;owned\x07 3080\r\n\x00\x9b31mred\ttab",
    "half a pair": "RTX \ud83d 3080",
    "combining": "Z\u0336\u0321a\u0336l\u0336g\u0336o\u0336 RTX 3080",
}


def question(title: str, *, n_choices: int = 5, answer: str = "") -> Question:
    shown = tuple(
        ScoredCandidate(
            f"gpu-{at}", f"GeForce RTX 30{at}0 Ti SUPER", 10.0, "Max-Q", 0.5, 1.0, 0.5, 1.0
        )
        for at in range(n_choices)
    )
    resolution = Resolution(
        "gpu-0",
        "GeForce RTX 3080 Ti SUPER",
        10.0,
        "PCIe",
        "GeForce RTX 3080 Ti SUPER",
        0.734,
        False,
        0.9,
        0.1,
        "review",
        "model number agrees; but sold with 大型 " + "words " * 30,
        shown,
        "m",
        "i",
    )
    listing = Listing("1", title, "Vendor 微星 " * 9, "", 1234.5)
    choices = tuple(
        choice_of(
            GpuRecord(
                one.gpu_id,
                one.model,
                "NVIDIA",
                "GeForce",
                "30",
                10.0,
                "GDDR6X",
                one.form_factor,
                2020,
            )
        )
        for one in shown
    )
    apart = Contrast(("Ti",), ("SUPER", "D"), ("XT",), "", "title states 12 GB", "Max-Q unsaid")
    item = QueueItem(listing, "a shop", resolution, ())
    told = ("; ".join(apart.parts),) * n_choices
    return Question(item, choices, told, GpuChoices.words, shares=(0.5,) * n_choices, answer=answer)


NOTHING = FoundChoices((), 0)


def text_of(screen: Screen) -> str:
    return "\n".join(line.text for line in screen.lines)


@pytest.mark.parametrize("title", NASTY_TITLES.values(), ids=NASTY_TITLES)
@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_screen_never_leaves_its_window(title: str, width: int) -> None:
    for height in (20, 24, 50):
        for n_choices in (0, 5, 9):
            screen = question_screen(
                question(title, n_choices=n_choices, answer="unsure " * 40),
                Size(width, height),
                progress="1 of 2 answered " * 20,
                message="saved " * 50,
            )
            assert len(screen.lines) <= height
            assert max(width_of(line.text) for line in screen.lines) <= width
            assert all(line.text.isprintable() for line in screen.lines)
            assert screen.n_choices == sum(
                bool(re.match(r"\d GeForce", line.text)) for line in screen.lines
            )
            assert screen.is_complete


def test_a_screen_of_80_by_20_shows_five_candidates_with_evidence_and_all_keys() -> None:
    screen = question_screen(
        question("Palit RTX 3080"), Size(80, 20), progress="12 of 300 answered", message="saved"
    )
    text = text_of(screen)
    assert screen.n_choices == 5
    assert text.count("title has Ti; title lacks SUPER D; unexplained XT; title states 12 GB") == 5
    for words in (
        "12 of 300 answered",
        "Palit RTX 3080",
        "vendor Vendor 微星",
        "price 1,234.50",
        "shop a shop",
        "we say: review, probability 0.73, best guess GeForce RTX 3080 Ti SUPER",
        "because: model number agrees",
        "1-5 a candidate",
        "n none of these",
        "x not a GPU",
        "u unsure",
        "s skip",
        "b back",
        "/ search",
        "? help",
        "q quit",
    ):
        assert words in text
    assert screen.lines[-1].text == "saved"


def test_a_low_window_offers_only_the_candidates_that_fit() -> None:
    screen = question_screen(
        question("Palit RTX 3080", n_choices=9), Size(80, 16), progress="", message=""
    )
    assert screen.n_choices == 4
    assert len(screen.lines) <= 16


@pytest.mark.parametrize("size", [Size(30, 24), Size(80, LEAST_HEIGHT - 1), Size(1, 1)])
def test_a_window_too_small_to_judge_by_says_so(size: Size) -> None:
    for screen in (
        question_screen(question("RTX 3080"), size, progress="", message=""),
        search_screen("rtx", NOTHING, size, catalogue="", is_typing=True, message=""),
    ):
        assert not screen.is_complete
        assert len(screen.lines) <= size.height
        assert max(width_of(line.text) for line in screen.lines) <= size.width
    assert not question_screen(question("t"), Size(30, 24), progress="", message="").n_choices


def test_search_and_help_fit_their_windows() -> None:
    found = FoundChoices(question("t", n_choices=9).choices, 9)
    named = {"catalogue": "registry"}
    for width, height in ((60, 20), (80, 24), (200, 60)):
        for screen in (
            search_screen(
                "rtx 显卡" * 50, found, Size(width, height), **named, is_typing=True, message=""
            ),
            search_screen(
                "rtx", found, Size(width, height), **named, is_typing=False, message="m" * 300
            ),
            help_screen(GpuChoices.words, Size(width, height)),
        ):
            assert len(screen.lines) <= height
            assert max(width_of(line.text) for line in screen.lines) <= width


def test_wrapping_cuts_between_words_if_it_can() -> None:
    assert wrapped("one two three", 7) == ["one two", "three"]
    assert wrapped("abcdefgh ij", 3) == ["abc", "def", "gh", "ij"]
    assert wrapped("显卡显", 4) == ["显卡", "显"]
    assert wrapped("a\x1b[2Jb\u202ec", 80) == ["a [2Jb c"]
    assert wrapped("", 10) == [""]


def test_contrast_in_words() -> None:
    assert Contrast().parts == []
    assert Contrast(("4060", "Ti"), (), (), "n970", "memory unsaid", "").parts == [
        "title has 4060 Ti",
        "n970 names it",
        "memory unsaid",
    ]


def test_gpus_are_found_by_the_beginnings_of_words(tiny_registry: list[GpuRecord]) -> None:
    def found(query: str) -> list[str]:
        return [record.gpu_id for record in find_by_words(tiny_registry, query)]

    assert found("4060 16") == ["geforce-rtx-4060-ti-16gb-gddr6"]
    assert found("406") == [
        "geforce-rtx-4060-8gb-gddr6",
        "geforce-rtx-4060-ti-8gb-gddr6",
        "geforce-rtx-4060-ti-16gb-gddr6",
    ]
    assert found("4080s") == ["geforce-rtx-4080-super-16gb-gddr6x"]
    assert found("p4-616") == found("P4 61") == ["geforce-gtx-1060-6gb-gddr5"]
    assert found(" ") == found("5090") == found("zzzz") == found("4060 zzzz") == []


def test_the_summary_counts_verdicts_and_what_is_left() -> None:
    from collections import Counter

    counts = Counter({Verdict.MATCH: 3, Verdict.NOT_GPU: 1})
    assert summary(counts, GpuChoices.words, 1004, None) == (
        "answered 4 (3 match, 1 not a GPU), left 1,000; go on with `rerank annotate`"
    )
    assert (
        summary(counts, GpuChoices.words, 4, None)
        == "answered 4 (3 match, 1 not a GPU), nothing left to ask"
    )
    assert summary(Counter(), GpuChoices.words, 2, Path("a.csv")) == (
        "answered 0, left 2; go on with `rerank annotate a.csv`"
    )


class ScriptedTerminal:
    """A terminal whose keys are known beforehand.

    ``drawn`` is all it showed, ``screens`` what it showed when a key was read.
    """

    def __init__(self, keys: list[str | Key], height: int = 24) -> None:
        self.keys, self.height = keys, height
        self.drawn, self.screens = list[str](), list[str]()
        self.forgotten = 0

    def size(self) -> Size:
        return Size(80, self.height)

    def show(self, screen: Screen) -> None:
        self.drawn.append(text_of(screen))

    def read(self) -> str | Key:
        self.screens.append(self.drawn[-1])
        return self.keys.pop(0) if self.keys else Key.CLOSED

    def forget(self) -> None:
        self.forgotten += 1


def dialogue(
    retriever: object,
    save: Callable[[Annotation], None],
    n: int = 3,
    save_patiently: Callable[[Annotation], None] | None = None,
    *,
    alike: bool = False,
) -> Dialogue:
    items = []
    for at in range(n):
        shown = tuple(
            ScoredCandidate(gpu_id, model, 8.0, "PCIe", 0.5, 1.0, 0.5, 1.0)
            for gpu_id, model in (
                ("geforce-rtx-4060-8gb-gddr6", "GeForce RTX 4060"),
                ("geforce-rtx-4060-ti-8gb-gddr6", "GeForce RTX 4060 Ti"),
            )
        )
        answer = Resolution(
            "geforce-rtx-4060-8gb-gddr6",
            "GeForce RTX 4060",
            8.0,
            "PCIe",
            "GeForce RTX 4060",
            0.5,
            False,
            1.0,
            0.0,
            "review",
            "",
            shown,
            "model-1",
            "index-1",
        )
        title = f"rtx 4060 in a lot, 482190{at}" if alike and at else f"rtx 4060 number {at}"
        items.append(QueueItem(Listing(str(at), title), "", answer, ()))
    queue = Queue(items, n_answered=7, n_today=2, n_left=n, unanswered=items)
    return Dialogue(
        queue,
        GpuChoices(retriever),
        Notebook(save),
        patient_book=None if save_patiently is None else Notebook(save_patiently),
        annotator="anna",
        top_k=5,
        label="queue: x",
    )


def test_each_key_saves_its_verdict(tiny_retriever: object) -> None:
    saved: list[Annotation] = []
    terminal = ScriptedTerminal(["2", "n", "x", "u"])
    talk = dialogue(tiny_retriever, saved.append, n=4)
    talk.run(terminal)
    assert [one.verdict for one in saved] == [
        Verdict.MATCH,
        Verdict.NONE_OF_THESE,
        Verdict.NOT_GPU,
        Verdict.UNSURE,
    ]
    assert saved[0] == Annotation(
        "0",
        "anna",
        Verdict.MATCH,
        "geforce-rtx-4060-ti-8gb-gddr6",
        "GeForce RTX 4060 Ti",
        ("geforce-rtx-4060-8gb-gddr6", "geforce-rtx-4060-ti-8gb-gddr6"),
        "model-1",
    )
    assert (saved[1].gpu_id, saved[1].model, saved[1].listing_id) == (None, None, "1")
    assert terminal.screens[1].startswith("8 of 11 answered, 3 today   queue: x")


def test_lots_open_variants_and_undo(tiny_retriever: object) -> None:
    terminal = ScriptedTerminal(["z", "m", "1", "l", "m", "n", "z", "z", "m", "/", Key.ESCAPE, "2"])
    talk = dialogue(tiny_retriever, lambda annotation: None)
    stored = talk._book.stored
    talk.run(terminal)
    assert [screen.splitlines()[-1] for screen in terminal.screens[1:9]] == [
        "there is no answer to take back",
        "this model, memory unknown: a digit or / chooses",
        "saved: GeForce RTX 4060, memory unknown",
        "saved: several cards",
        "this model, memory unknown: a digit or / chooses",
        "saved: none of these",
        "taken back: none of these",
        "taken back: several cards",
    ]
    assert {key: (each.verdict, each.gpu_id) for (key, _), each in stored.items()} == {
        "0": (Verdict.MATCH, None),
        "1": (Verdict.MATCH, "geforce-rtx-4060-ti-8gb-gddr6"),
    }


def test_notes_and_groups_are_as_in_the_browser(tiny_retriever: object) -> None:
    saved: list[Annotation] = []
    keys = ["g", "t", *"lot", Key.BACKSPACE, "g", Key.ENTER, "t", "!", Key.ESCAPE, "l", "g", "1"]
    terminal = ScriptedTerminal([*keys, "g", "n", "z", "g", "a", "1", Key.ESCAPE, "u", "q"])
    dialogue(tiny_retriever, saved.append, n=4, alike=True).run(terminal)
    assert [(one.listing_id, one.verdict, one.note) for one in saved] == [
        ("0", Verdict.SEVERAL, "log"),
        *((key, Verdict.NONE_OF_THESE, "") for key in "12"),
        *((key, Verdict.UNSURE, "") for key in "13"),
    ]
    shown = "\n".join(terminal.screens)
    for words in (
        "no other listing looks the same",
        "note: log",
        "2 more look the same: g shows them",
        "1 [x] rtx 4060 in a lot, 4821902",
        "the answer holds for 1 of 2 more that look the same",
        "saved: none of these, and of 1 more",
        "2 [x] rtx 4060 in a lot, 4821903",
    ):
        assert words in shown
    assert "note: log!" not in shown


def test_a_dispute_shows_what_was_said_and_a_second_answer_nothing() -> None:
    asked = question("Palit RTX 3080")
    said = asked._replace(said=(("ben", "not a GPU"),), suggested="no match, probability 0.98")
    text = text_of(question_screen(said, Size(80, 24), progress="", message=""))
    assert "ben said: not a GPU" in text
    assert "the model says: no match, probability 0.98" in text
    blind = asked._replace(blind=True, shares=())
    text = text_of(question_screen(blind, Size(80, 24), progress="", message=""))
    assert "we say" not in text
    assert "0.5" not in text


def test_back_changes_an_answer_and_returns_to_where_it_was(tiny_retriever: object) -> None:
    saved: list[Annotation] = []
    terminal = ScriptedTerminal(["1", "s", "b", "b", "x", "u"])
    talk = dialogue(tiny_retriever, saved.append)
    talk.run(terminal)
    assert [(one.listing_id, one.verdict) for one in saved] == [
        ("0", Verdict.MATCH),
        ("0", Verdict.NOT_GPU),
        ("2", Verdict.UNSURE),
    ]
    assert "your answer: GeForce RTX 4060 8 GB GDDR6 PCIe" in terminal.screens[4]
    assert talk.counts == {Verdict.NOT_GPU: 1, Verdict.UNSURE: 1}


def test_the_last_answer_can_be_changed(tiny_retriever: object) -> None:
    saved: list[Annotation] = []
    terminal = ScriptedTerminal(["x", "1", Key.RESIZED, "b", "n", "q"])
    dialogue(tiny_retriever, saved.append, n=1).run(terminal)
    assert [one.verdict for one in saved] == [Verdict.NOT_GPU, Verdict.NONE_OF_THESE]
    assert terminal.screens[1].splitlines()[-1] == "saved: not a GPU"


def test_keys_without_meaning_save_nothing_and_say_so(tiny_retriever: object) -> None:
    saved: list[Annotation] = []
    terminal = ScriptedTerminal(["3", "y", Key.OTHER, "ж", "0", "b", Key.RESIZED, "?", "1", "q"])
    dialogue(tiny_retriever, saved.append).run(terminal)
    assert saved == []
    hints = [screen.splitlines()[-1] for screen in terminal.screens]
    assert hints[1] == "key '3' does nothing here; ? lists the keys"
    assert hints[3] == "this key does nothing here; ? lists the keys"
    assert hints[6] == hints[7] == "this is the first listing of this session"
    assert terminal.screens[8].startswith("What does the listing sell?")


def test_what_cannot_be_seen_is_not_judged(tiny_retriever: object) -> None:
    saved: list[Annotation] = []
    dialogue(tiny_retriever, saved.append).run(
        ScriptedTerminal(["1", "n", "x", "u", "/"], height=9)
    )
    assert saved == []


def test_search_picks_a_gpu_that_was_not_shown(tiny_retriever: object) -> None:
    saved: list[Annotation] = []
    terminal = ScriptedTerminal(
        [
            "/",
            "1",
            "z",
            Key.BACKSPACE,
            "2",
            Key.CLEAR,
            *"a770 8",
            Key.ENTER,
            "w",
            "/",
            "g",
            Key.ENTER,
            "1",
            "/",
            "x",
            Key.ESCAPE,
            "q",
        ]
    )
    dialogue(tiny_retriever, saved.append).run(terminal)
    assert [(one.listing_id, one.gpu_id) for one in saved] == [("0", "arc-a770-8gb-gddr6")]
    assert saved[0].shown == ("geforce-rtx-4060-8gb-gddr6", "geforce-rtx-4060-ti-8gb-gddr6")
    assert "/ 12_" in terminal.screens[5]


def test_a_busy_store_loses_neither_question_nor_session(tiny_retriever: object) -> None:
    from rerank.index.errors import StoreBusyError

    saved: list[Annotation] = []
    refusals = [StoreBusyError("store.duckdb: another process is writing to it")]

    def save(annotation: Annotation) -> None:
        if refusals:
            raise refusals.pop()
        saved.append(annotation)

    terminal = ScriptedTerminal(["1", "1", "q"])
    dialogue(tiny_retriever, save).run(terminal)
    assert [one.listing_id for one in saved] == ["0"]
    assert terminal.screens[1].splitlines()[-1].startswith("not saved: store.duckdb: another")
    assert "rtx 4060 number 0" in terminal.screens[1]
    assert terminal.forgotten == 2  # keys pressed while it waited answer nothing


def test_an_answer_that_waits_for_the_store_never_looks_saved(tiny_retriever: object) -> None:
    from rerank.index.errors import StoreBusyError

    saved: list[Annotation] = []

    def save(annotation: Annotation) -> None:
        if saved:
            raise StoreBusyError("store.duckdb: another process is writing to it")
        saved.append(annotation)

    terminal = ScriptedTerminal(["x", "n", "q"])
    dialogue(tiny_retriever, save, save_patiently=saved.append).run(terminal)
    assert [(one.listing_id, one.verdict) for one in saved] == [
        ("0", Verdict.NOT_GPU),
        ("1", Verdict.NONE_OF_THESE),
    ]
    assert [screen.splitlines()[-1] for screen in terminal.drawn[1:]] == [
        "saving: not a GPU",
        "saved: not a GPU",
        "saving: none of these",
        "not saved yet: waiting for another process that writes to the store",
        "saved: none of these",
    ]
    assert all("rtx 4060 number 1" in screen for screen in terminal.drawn[2:5])


def test_a_search_shows_only_what_has_all_words(tiny_retriever: object) -> None:
    def shown(query: str) -> list[str]:
        terminal = ScriptedTerminal(["/", *query])
        dialogue(tiny_retriever, lambda annotation: None).run(terminal)
        lines = terminal.screens[len(query) + 1].splitlines()[3:]
        return [line for line in lines if line and "Esc" not in line]

    assert shown("zzzz") == ["Nothing found: no name has all words."]
    assert shown("4060 16") == ["1 GeForce RTX 4060 Ti                          16 GB GDDR6   PCIe"]
    assert shown("   ") == ["Type a name."]
    many = shown("g")
    assert [line[0] for line in many[:9]] == list("123456789")
    assert many[9:] == ["12 more: type more words"]


def test_the_pool_holds_what_one_annotator_has_not_answered(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.duckdb")
    titles = {"a": "rtx 3080", "b": "rtx 3070", "c": " \t", "d": "rtx 3060"}
    with store.writing() as session:
        save_listings(session, [StoredListing(Listing(k, t), "x") for k, t in titles.items()])
        save_annotations(
            session,
            [
                Annotation("a", "anna", Verdict.UNSURE),
                Annotation("b", "ben", Verdict.UNSURE),
            ],
        )
    with store.reading() as session:
        pool = read_pool(session, "anna", seed=1)
        assert sorted(one.listing.listing_id for one in pool.unanswered) == ["b", "d"]
        assert [one.listing.listing_id for one in pool.answered] == ["a"]
        assert (pool.n_unanswered, pool.n_answered, pool.n_today) == (2, 1, 1)
        only = read_pool(session, "anna", seed=1, listing_ids=["d", "a", "zz"])
        assert [one.listing.listing_id for one in only.unanswered] == ["d"]
        assert (only.n_unanswered, only.n_answered) == (1, 1)
        assert read_pool(session, "anna", seed=1, listing_ids=[]).n_unanswered == 0


def test_a_large_store_is_sampled_by_seed(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.duckdb")
    with store.writing() as session:
        save_listings(
            session, [StoredListing(Listing(f"{at:05}", "rtx")) for at in range(POOL + 50)]
        )
    with store.reading() as session:
        one, again, other = (read_pool(session, "anna", seed=seed) for seed in (1, 1, 2))
    assert len(one.unanswered) == POOL
    assert one.n_unanswered == POOL + 50
    assert one == again != other


# The terminal becomes the one that Ctrl-C of the program comes from.
PROGRAM = (
    "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "from rerank.jobs.cli import main; main()"
)


class Session:
    """A `rerank annotate` in a pseudo-terminal, driven as a person would."""

    def __init__(self, home: Path, *arguments: object, width: int = 80, height: int = 24) -> None:
        self.terminal, program_side = pty.openpty()
        self.resize(width, height)
        self.mode = termios.tcgetattr(self.terminal)
        environment = {**os.environ, "RERANK_HOME": str(home), "TERM": "xterm"}
        for name in ("COLUMNS", "LINES", "NO_COLOR"):
            environment.pop(name, None)
        self.program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "annotate", *map(str, arguments)],
            stdin=program_side,
            stdout=program_side,
            stderr=program_side,
            env=environment,
            start_new_session=True,
        )
        os.close(program_side)
        self.seen = ""

    def resize(self, width: int, height: int) -> None:
        size = struct.pack("HHHH", height, width, 0, 0)
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, size)

    def wait_for(self, words: str, *, seconds: float = 300) -> str:
        """Return the text since the last call, up to and with some words."""
        deadline = time.monotonic() + seconds
        while words not in ANSI.sub("", self.seen):
            left = deadline - time.monotonic()
            assert left > 0, f"no {words!r} in {self.seen!r}"
            if select.select([self.terminal], [], [], left)[0]:
                try:
                    self.seen += os.read(self.terminal, 65536).decode("utf-8", "replace")
                except OSError:  # Linux: the other side was closed
                    assert words in ANSI.sub("", self.seen), (
                        f"ended without {words!r}: {self.seen!r}"
                    )
        text, self.seen = ANSI.sub("", self.seen), ""
        return text

    def press(self, key: str, words: str) -> str:
        """Press a key and wait for words."""
        self.seen = ""
        os.write(self.terminal, key.encode())
        return self.wait_for(words)

    def end(self) -> int:
        """Wait for the program's end and return its exit status, as a shell shows it."""
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            if select.select([self.terminal], [], [], 0.05)[0]:
                try:
                    os.read(self.terminal, 65536)
                except OSError:
                    break
        return self.program.wait(timeout=300)

    def close(self) -> None:
        self.program.kill()
        self.program.wait(timeout=300)
        os.close(self.terminal)


LAST_LINE = "q quit"
LISTINGS = [
    {"listing_id": "t1", "title": "Palit Storm rtx 3080 10gb grey", "price": 300, "shop": "north"},
    {"listing_id": "t2", "title": "Holder for graphics cards, steel", "price": 9, "shop": "north"},
    {"listing_id": "t3", "title": "sapphire nitro rx 6600 maybe xt", "price": 150, "shop": "south"},
    {"listing_id": "t4", "title": "Inno3D gtx 1060 3gb or 6gb", "price": 60, "shop": "south"},
    {"listing_id": "t5", "title": "PALIT STORM RTX-3080 (10GB) grey", "price": 310, "shop": "east"},
]


@pytest.fixture
def open_session(home: Path) -> Iterator[object]:
    sessions = []

    def start(*arguments: object, **window: int) -> Session:
        sessions.append(Session(home, *arguments, **window))
        return sessions[-1]

    yield start
    for session in sessions:
        session.close()


def answers(home: Path, annotator: str = "anna") -> dict[str, Annotation]:
    with Store(home / "store.duckdb").reading() as session:
        return {one.listing_id: one for one in read_annotations(session, annotator=annotator)}


def title_shown(screen: str) -> str:
    """Return the listing drawn last: before it, an answer to another one may have been saved."""
    place = {str(row["listing_id"]): screen.rfind(str(row["title"])) for row in LISTINGS}
    key = max(place, key=place.__getitem__)
    assert place[key] >= 0
    return key


def test_a_session_over_every_key(open_session, home, write_listings) -> None:
    path = write_listings("listings.csv", LISTINGS)
    session = open_session(path, "--annotator", "anna")
    first = title_shown(session.wait_for(LAST_LINE))
    screen = session.press("1", "saved: ")
    second = title_shown(screen)
    assert "1 of 4 answered, 1 today   queue: uncertain   anna" in screen
    assert answers(home)[first].verdict is Verdict.MATCH
    assert first in title_shown(session.press("b", "your answer: "))
    assert title_shown(session.press("n", "saved: none of these")) == second
    assert answers(home)[first].verdict is Verdict.NONE_OF_THESE
    assert title_shown(session.press("s", "skipped")) not in (first, second)
    session.press("?", "Any key returns")
    session.press("z", LAST_LINE)
    session.press("y", "key 'y' does nothing here")
    session.press("\x1b[A", "this key does nothing here")
    third = title_shown(
        session.press("/", "Search the registry") + session.press("\x1b", LAST_LINE)
    )
    session.press("/", "Type a name.")
    session.press("a770 16", "/ a770 16_")
    session.press("\r", "1-2 choose")
    fourth = title_shown(session.press("1", "saved: Arc A770 16 GB"))
    assert answers(home)[third].gpu_id == "arc-a770-16gb-gddr6"
    session.press("u", "That was the last one.")
    session.press("b", "your answer: unsure")
    session.press("s", "That was the last one.")
    session.press("q", "answered 3 (1 match, 1 none of these, 1 unsure), left 1; go on with")
    assert session.end() == 0
    assert answers(home)[fourth].verdict is Verdict.UNSURE
    kept = answers(home)
    assert set(kept) == {first, third, fourth}
    assert {one.annotator for one in kept.values()} == {"anna"}
    assert all(one.model_version and one.annotated_at for one in kept.values())
    assert len(kept[third].shown) == 5

    session = open_session("--annotator", "anna", "--queue", "random")
    screen = session.wait_for(LAST_LINE)
    assert title_shown(screen) == second
    assert "3 of 4 answered, 3 today   queue: random" in screen
    session.press("x", "That was the last one.")
    session.press("q", "answered 1 (1 not a GPU), nothing left to ask")
    assert session.end() == 0
    session = open_session("--annotator", "anna")
    session.wait_for("answered 0, nothing left to ask")
    assert session.end() == 0

    session = open_session("--annotator", "ben", "--limit", "1", "--queue", "disagreement")
    assert "0 of 1 answered" in session.wait_for(LAST_LINE)
    session.press("u", "That was the last one.")
    session.press("q", "answered 1 (1 unsure), left 3")
    assert session.end() == 0
    assert len(answers(home, "ben")) == 1
    assert answers(home) == {**kept, second: answers(home)[second]}


def test_two_people_answer_at_the_same_time(open_session, home, write_listings) -> None:
    anna = open_session(write_listings("listings.csv", LISTINGS), "--annotator", "anna")
    anna.wait_for(LAST_LINE)
    ben = open_session("--annotator", "ben")
    ben.wait_for(LAST_LINE)
    for at, key in enumerate("xun", 1):
        os.write(anna.terminal, key.encode())
        os.write(ben.terminal, key.encode())
        anna.wait_for(f"{at} of 4 answered")
        ben.wait_for(f"{at} of 4 answered")
    assert len(answers(home, "anna")) == len(answers(home, "ben")) == 3


def test_an_answer_waits_for_another_writer_and_says_so(open_session, home, write_listings) -> None:
    anna = open_session(write_listings("listings.csv", LISTINGS), "--annotator", "anna")
    anna.wait_for(LAST_LINE)
    with Store(home / "store.duckdb").writing():
        anna.press("x", "not saved yet: waiting for another process that writes to the store")
    anna.wait_for("saved: not a GPU")
    assert len(answers(home)) == 1


def test_killed_right_after_an_answer_was_confirmed(open_session, home, write_listings) -> None:
    session = open_session(write_listings("listings.jsonl", LISTINGS), "--annotator", "anna")
    first = title_shown(session.wait_for(LAST_LINE))
    session.press("2", "saved: ")
    session.program.kill()
    assert session.end() == -signal.SIGKILL
    assert list(answers(home)) == [first]
    session = open_session("--annotator", "anna")
    assert title_shown(session.wait_for(LAST_LINE)) != first
    session.press("q", "answered 0, left 3")


@pytest.mark.parametrize(
    ("key", "number", "status"),
    [("q", None, 0), ("\x03", None, 0), ("\x04", None, 0), (None, signal.SIGTERM, 143)],
    ids=["q", "Ctrl-C", "Ctrl-D", "SIGTERM"],
)
def test_the_terminal_is_as_before(key, number, status, open_session, write_listings) -> None:
    session = open_session(write_listings("listings.csv", LISTINGS), "--annotator", "anna")
    session.wait_for(LAST_LINE)
    assert not termios.tcgetattr(session.terminal)[3] & (termios.ICANON | termios.ECHO)
    if key:
        session.press(key, "answered 0, left 4")
    else:
        session.program.send_signal(number)
    assert session.end() == status
    assert termios.tcgetattr(session.terminal)[3] == session.mode[3]


def test_a_window_that_changes_its_size_is_drawn_again(open_session, write_listings) -> None:
    session = open_session(
        write_listings("listings.csv", LISTINGS), "--annotator", "anna", width=200, height=50
    )
    session.wait_for(LAST_LINE)
    session.resize(60, 20)
    session.program.send_signal(signal.SIGWINCH)
    screen = session.wait_for(LAST_LINE)
    assert max(width_of(line) for line in screen.splitlines()) <= 60
    session.press("q", "answered 0")


def test_a_terminal_is_needed(run, home) -> None:
    done = run("annotate", "--annotator", "anna")
    assert done.exit_code == 1
    assert "stdin is not one; run it in a terminal" in done.output
    assert not home.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--annotator", " "], "expected a name of 1 to 100 printable characters"),
        (["--annotator", "a\x1b[2Jb"], "expected a name of 1 to 100 printable characters"),
        (["--annotator", "anna"], "expected listings with a title to ask about, found none"),
    ],
)
def test_wrong_calls_are_one_message(arguments, message, open_session) -> None:
    session = open_session(*arguments)
    session.wait_for(message)
    assert session.end() == 1


def test_a_file_in_conflict_with_the_store_changes_nothing(
    open_session, home, write_listings
) -> None:
    with Store(home / "store.duckdb").writing() as session:
        save_listings(session, [StoredListing(Listing("t1", "quite another title"))])
    path = write_listings("listings.csv", LISTINGS)
    program = open_session(path, "--annotator", "anna")
    program.wait_for("'t1': title")
    assert program.end() == 1
    with Store(home / "store.duckdb").reading() as session:
        assert [one.listing.listing_id for one in read_listings(session)] == ["t1"]
    program = open_session(path, "--annotator", "anna", "--on-conflict", "keep", "--limit", "9")
    program.wait_for("0 of 5 answered")
