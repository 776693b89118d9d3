"""Every command that the docs and `--help` show runs as it is copied.

The commands of a document run in order, in a folder of files with the names that the docs use and
in the workspace of that folder. Those of `NOT_RUN` are parsed only, as a call would parse them.
"""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from second_model import add_version

from rerank.index.records import shipped
from rerank.jobs.cli import main

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    path.relative_to(ROOT).as_posix()
    for path in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
]
LONG, TERMINAL = "takes half a minute or more", "asks in a terminal"
CLUSTER, STORAGE = "needs a cluster", "needs an object store"
MACHINE = "installs or schedules something on the machine"
TRAINED = "needs what one of the trainings wrote"
NOT_RUN = {
    r"rerank annotate\b": TERMINAL,
    r"rerank (serve (?!--new-key)|review\b)": "answers until it is told to end",
    r"rerank (train-\S+|ablate|compare-rankers|demo|simulate-queue)\b": LONG,
    r"rerank evaluate(?!-dual| --annotations\b)": LONG,
    r"rerank dual-data --gpu\b": LONG,
    r"rerank resolve --ranker pairwise\b": TRAINED,
    r"rerank evaluate-dual\b": TRAINED,
    r"rerank models rollback --part index\b": "needs two indexes, some minutes to build",
    r"rerank .*--home tools\b": "needs a catalogue's index and what training makes of it",
    r"rerank .*s3://": STORAGE,
    r"rerank .*--engine ray\b": CLUSTER,
    r"ray job submit\b": CLUSTER,
    r"flock\b": STORAGE,
    r"(git|make|cd|pip|python3.11|\.venv/bin/\S+) ": MACHINE,
}
"""What is parsed and not run: patterns of commands, and why."""
PYTHON_NOT_RUN = {"docs/cross-encoder.md": TRAINED}
SQL_ELSEWHERE = {"docs/store.md": "test_store_command.py asks each query and knows its rows"}
ALTERNATIVES = {"docs/score.md"}
"""Documents whose commands are several ways to write one output: each runs by itself."""

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block of a document."""

    document: str
    line: int
    language: str
    text: str


class Example(NamedTuple):
    """A command as it is copied: where it stands, its words, what it is shown to print."""

    place: str
    words: tuple[str, ...]
    shown: str = ""

    @property
    def not_run(self) -> str | None:
        """Why it is not run; None if it is."""
        text = f"{' '.join(self.words)} "
        return next((why for pattern, why in NOT_RUN.items() if re.match(pattern, text)), None)

    @property
    def ours(self) -> list[str] | None:
        """The words behind `rerank`, in a command that Ray or cron calls as well; else None."""
        names = [Path(word).name for word in self.words]
        if "rerank" not in names or self.words[0] in ("git", "cd", "pip"):
            return None
        return list(self.words[names.index("rerank") + 1 :])


def blocks(document: str) -> list[Block]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return [
        Block(document, text[: found.start()].count("\n") + 1, found[1], found[2])
        for found in _FENCE.finditer(text)
    ]


def commands(text: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of each command; open quotes and a last backslash go on in the next line."""
    held = ""
    for line in text.replace("\\\n", " ").splitlines():
        held = f"{held}\n{line}" if held else line
        try:
            words = shlex.split(held, comments=True)
        except ValueError:
            continue  # a quote is open
        held = ""
        for part in " ".join(map(shlex.quote, words)).split(" '&&' "):
            before = re.split(r" '(?:<|>|>>)' ", part)[0]
            if before:
                yield tuple(shlex.split(before))
    assert not held, f"no end of {held!r}"


def examples(block: Block) -> list[Example]:
    """Return the commands of a block in a shell's language, none of another block."""
    place = f"{block.document}:{block.line}"
    if block.language == "sh":
        return [Example(place, words) for words in commands(block.text)]
    found = []
    if block.language == "console":
        for session in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            typed, _, shown = session.partition("\n")
            found += [Example(place, words, shown) for words in commands(typed)]
    if block.language in ("cron", "ini"):
        calls = re.findall(r"\S*/rerank .*", block.text)
        found += [Example(place, words) for call in calls for words in commands(call)]
    return found


def every_command(
    command: click.Command = main, path: tuple[str, ...] = ("rerank",)
) -> Iterator[tuple[str, click.Command]]:
    """Yield all commands, groups too, with what one types to call them."""
    yield " ".join(path), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from every_command(found, (*path, name))


def shown_examples() -> list[Example]:
    """Return what is only shown: the table of docs/commands.md, and all that `--help` ends with."""
    table = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    found = [
        Example("docs/commands.md", words)
        for text in re.findall(r"\| `(rerank [^`]+)` \|$", table, re.MULTILINE)
        for words in commands(text)
    ]
    for name, command in every_command():
        text = (command.help or "").partition("Example:\n")[2]
        found += [Example(f"{name} --help", words) for words in commands(text)]
    return found


LISTINGS = """listing_id,title,vendor,price,sku,name
L1,Gigabyte GeForce RTX 4070 WINDFORCE OC 12G,Gigabyte,589,S1,Gigabyte RTX 4070 12G
L2,anti-sag bracket for RTX 4090,,14.90,S2,bracket for RTX 4090
L3,MSI GeForce RTX 3060 Ti 8GB Ventus,MSI,210,S3,MSI RTX 3060 Ti 8GB
L17,palit geforce rtx 4060 ti dual 16gb gddr6,Palit,430,S17,palit rtx 4060 ti 16gb
L20,asus tuf oc geforce rtx 3080 10gb gddr6x,ASUS,350,S20,asus rtx 3080 10gb
"""
ANSWERS = """listing_id,title,annotator,verdict,model,note
L2,anti-sag bracket for RTX 4090,ann,not_gpu,,
L2,anti-sag bracket for RTX 4090,bob,not_gpu,,
L3,MSI GeForce RTX 3060 Ti 8GB Ventus,ann,match,RTX 3060 Ti,
L3,MSI GeForce RTX 3060 Ti 8GB Ventus,bob,match,RTX 3060 Ti,
L17,palit geforce rtx 4060 ti dual 16gb gddr6,ann,match,RTX 4060 Ti,
L17,palit geforce rtx 4060 ti dual 16gb gddr6,bob,match,RTX 4060,
L20,asus tuf oc geforce rtx 3080 10gb gddr6x,ann,match,RTX 3080,
L20,asus tuf oc geforce rtx 3080 10gb gddr6x,bob,not_gpu,,no price
"""
PRODUCTS = """sku,name,brand,weight_kg,colour,price
B1,Trailhead 20 Rucksack red,Norda,0.7,red,59.90
B2,Trailhead 20 Rucksack blue,Norda,0.7,blue,59.90
B3,Summit 45 Rucksack,Norda,1.6,grey,149
"""
REGISTRY = "model,vendor,memory_gb,memory_type\nGeForce RTX 4070,NVIDIA,12,GDDR6X\n"
GOLD_OF_FEED = "A1,Gigabyte GeForce RTX 4070 WINDFORCE OC 12G,,match,GeForce RTX 4070,12,,en,\n"
QUICK_GATES = """samples: 20
sets: {generated: 200}
latency: {listings: 0}
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small files of the names that the docs use."""
    folder = tmp_path_factory.mktemp("reader")
    (feed,) = [block.text for block in blocks("docs/tutorial.md") if block.language == "csv"]
    gold = (ROOT / "data/hard_set.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    texts = {
        "feed.csv": feed,
        "listings.csv": LISTINGS,
        "today.csv": LISTINGS,
        "feeds/a.csv": LISTINGS,
        "my_gold.csv": "".join([gold[0], GOLD_OF_FEED, *gold[1:300:15]]),
        "gpus.csv": REGISTRY,
        "products.csv": PRODUCTS,
        "columns.yaml": "title: name\n",
    }
    tables = {"listings": LISTINGS, "feed": feed, "answers": ANSWERS, "feeds/day=2/b": LISTINGS}
    for name in (*texts, *tables):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    for name, text in tables.items():
        pq.write_table(pa.csv.read_csv(pa.BufferReader(text.encode())), folder / f"{name}.parquet")
    return folder


@pytest.fixture
def folder(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of these files to work in, without a workspace."""
    monkeypatch.delenv("RERANK_HOME", raising=False)
    here = tmp_path / "here"
    shutil.copytree(files, here)
    monkeypatch.chdir(here)
    return here


def run(example: Example) -> None:
    """Run an example where one stands; it succeeds and prints what it is shown to print."""
    if example.words[0] != "rerank":
        program = sys.executable if example.words[0] == "python" else example.words[0]
        subprocess.run([program, *example.words[1:]], check=True, capture_output=True)
        return
    result = CliRunner().invoke(main, list(example.words[1:]))
    assert result.exit_code == 0, (example, result.output)
    if example.shown:
        said, *_ = re.split(r"^(?:workspace |no workspace yet)", result.output, flags=re.MULTILINE)
        assert said.strip() == example.shown.strip(), example


def type_in(*lines: str) -> None:
    for line in lines:
        for words in commands(line):
            run(Example("before", words))


def _answers() -> None:
    """What `annotate` would have asked."""
    type_in("rerank store import annotations answers.parquet")


def _versions() -> None:
    """Two versions such as trainings leave: one that people call 8e22, and the challenger."""
    home = Path(".rerank")
    card = json.loads((shipped("model") / "version.json").read_text(encoding="utf-8"))
    first = add_version(home, Path("draft"), match=0.9, distribution=card["distribution"])
    second = add_version(home, Path("draft"))
    (home / "promotion.yaml").write_text(QUICK_GATES, encoding="utf-8")
    type_in(
        f"rerank models alias 8e22 {first.version}",
        f"rerank models alias challenger {second.version}",
        "rerank models alias before-easter champion",
    )


BEFORE: dict[str, list[Callable[[], None]]] = {
    "README.md": [_answers, _versions],
    "docs/tutorial.md": [_answers, _versions, lambda: shutil.rmtree("feeds")],
    "docs/agreement.md": [_answers],
    "docs/canary.md": [_versions],
    "docs/evaluation.md": [_answers],
    "docs/lifecycle.md": [_versions],
    "docs/monitoring.md": [
        _versions,
        lambda: type_in(
            "rerank score listings.csv resolved/today.parquet",
            "rerank score listings.csv resolved/may.parquet",
        ),
    ],
    "docs/promotion.md": [_versions],
    "docs/score.md": [
        lambda: type_in("rerank score feeds/ monday/", "rerank score feeds/a.csv a.parquet")
    ],
}
"""What the reader of a document has done before, in place of what takes long or asks."""


def run_python(block: Block) -> None:
    code = compile(block.text, f"{block.document}:{block.line}", "exec")
    if block.document not in PYTHON_NOT_RUN:
        exec(code, {"__name__": "example"})
        return
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            assert all(hasattr(module, alias.name) for alias in node.names)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_a_document_shows_runs_as_copied(document, folder, monkeypatch):
    for step in BEFORE.get(document, []):
        step()
    begun = folder.with_name("begun")
    shutil.copytree(folder, begun)
    for block in blocks(document):
        if block.language == "python":
            run_python(block)
        if block.language == "sql" and document not in SQL_ELSEWHERE:
            run(Example(f"{document}:{block.line}", ("rerank", "store", "sql", block.text)))
        for example in examples(block):
            if example.not_run is not None or block.language in ("cron", "ini"):
                continue
            if document in ALTERNATIVES:
                shutil.rmtree(folder)
                shutil.copytree(begun, folder)
                monkeypatch.chdir(folder)
            run(example)


LENIENT_GATES = """floors: {}
gain: {lowest: {precision_at_1: -1, accepted_share: -1}}
slices: {guarded: []}
"""


@pytest.mark.slow
def test_the_readme_trains_compares_promotes_and_rolls_back(folder):
    (folder / ".rerank").mkdir()
    gates = folder / ".rerank/promotion.yaml"  # a model this small would not pass the default ones
    gates.write_text(f"{QUICK_GATES}{LENIENT_GATES}", encoding="utf-8")
    (block,) = [x for x in blocks("README.md") if "rerank models rollback" in x.text]
    train, listed, *_ = found = examples(block)
    assert [" ".join(example.words[1:3]) for example in found] == [
        "train-ltr",
        "models list",
        "models compare",
        "models promote",
        "models rollback",
    ]
    run(train._replace(words=(*train.words, "--scale", "0.01")))
    for example in found[1:]:
        run(example)
    result = CliRunner().invoke(main, list(listed.words[1:]))
    (champion,) = [line for line in result.stdout.splitlines() if "champion" in line]
    assert champion.split()[:2] == ["ltr", "shipped"]


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[str]], None]:
    """Return a function that parses a call of `rerank` as the call would, without making it.

    It raises click.UsageError for a command or option that there is not, too few arguments or too
    many, and a value that an option does not take. Paths are taken whether they are there or not.
    """

    def path(self: click.Path, value: Any, *_: Any) -> Path:
        return Path(value)

    def parse(words: Sequence[str]) -> None:
        command: click.Command = main
        rest = list(words)
        while isinstance(command, click.Group):
            name = rest.pop(0) if rest else ""
            found = command.get_command(click.Context(command), name)
            if found is None:
                raise click.UsageError(f"no command {name!r}")
            command = found
        for parameter in command.params:  # what looks for the files that a path names
            monkeypatch.setattr(parameter, "callback", None)
        command.make_context(command.name, rest)

    monkeypatch.setattr(click.Path, "convert", path)
    return parse


IN_BLOCKS = [
    example for document in DOCUMENTS for block in blocks(document) for example in examples(block)
]


@pytest.mark.parametrize(
    "example",
    [*IN_BLOCKS, *shown_examples()],
    ids=lambda example: f"{example.place} {example.words[-1]}",
)
def test_what_is_shown_is_a_call_that_parses(example, parse):
    words = example.ours
    if words is None:
        assert example.not_run == MACHINE or example.words[0] in ("python", "mkdir", "cp")
        return
    parse(words)
    assert [
        word for word in words if word.startswith("configs/") and not (ROOT / word).exists()
    ] == []


def test_all_commands_but_groups_show_an_example():
    shown = {example.place for example in shown_examples()}
    assert {f"{name} --help" for name, _ in every_command()} == shown - {"docs/commands.md"}


def test_each_reason_not_to_run_something_still_has_something():
    texts = [f"{' '.join(example.words)} " for example in IN_BLOCKS]
    assert [pattern for pattern in NOT_RUN if not any(re.match(pattern, x) for x in texts)] == []
    assert {block.document for name in PYTHON_NOT_RUN for block in blocks(name)} == {
        *PYTHON_NOT_RUN
    }


@pytest.mark.parametrize(
    "wrong",
    ["scroe a.csv b.parquet", "score a.csv", "score a.csv b c", "score --loud a.csv b.parquet"],
)
def test_a_call_that_does_not_parse_is_found(wrong, parse):
    with pytest.raises(click.UsageError):
        parse(shlex.split(wrong))


def test_options_named_in_running_text_exist():
    named = []
    for document in DOCUMENTS:
        text = _FENCE.sub("", (ROOT / document).read_text(encoding="utf-8"))
        for span in re.findall(r"`(rerank [a-z][^`]*)`", text):
            if span == "rerank bench":
                continue  # the changelog says where it went
            words = span.split()[1:]
            command: click.Command = main
            while isinstance(command, click.Group) and words and re.fullmatch("[a-z-]+", words[0]):
                found = command.get_command(click.Context(command), words[0])
                assert found is not None, (document, span)
                command = found
                words.pop(0)
            known = {
                option for each in command.params for option in (*each.opts, *each.secondary_opts)
            }
            unknown = (
                {word for word in words if re.fullmatch("--[a-z-]+", word)}
                - known
                - {"--help", "--version"}
            )
            assert not unknown, (document, span)
            named.append(span)
    assert len(named) > 50
